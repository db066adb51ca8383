//! The caller of a one-way method goes on, so the method owns what it gets.
use apartment::{interface, CallError};

pub struct Once;

interface! {
    pub trait Sheet {
        //~ so nothing can come back through `&mut`
        fn count(&self, cells: &mut usize) -> Result<(), CallError> as one_way;
        //~ so what it sends cannot borrow: send what owns its data
        fn names(&self, names: Vec<&str>) -> Result<(), CallError> as one_way;
        //~ so what it sends cannot borrow: send what owns its data
        fn name<'a>(&self, name: std::borrow::Cow<'a, str>) -> Result<(), CallError> as one_way;
    }
}

interface! {
    pub trait Row {
        //~ a one-way method cannot be lent a `Once`
        fn once(&self, once: &Once) -> Result<(), CallError> as one_way;
    }
}

fn main() {}
