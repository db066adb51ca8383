//! An argument goes to the object's thread.
use apartment::{interface, CallError};
use std::cell::Cell;
use std::rc::Rc;

interface! {
    pub trait Sheet {
        //~ an argument of type `Rc<str>` cannot go to another apartment
        fn owned(&self, name: Rc<str>) -> Result<(), CallError>;
        //~ an argument of type `&Cell<f64>` cannot go to another apartment
        fn lent(&self, value: &Cell<f64>) -> Result<(), CallError>;
        //~ an argument of type `&mut Rc<u8>` cannot go to another apartment
        fn changed(&self, value: &mut Rc<u8>) -> Result<(), CallError>;
        //~ an argument of type `Option<&Rc<u16>>` cannot go to another apartment
        fn optional(&self, value: Option<&Rc<u16>>) -> Result<(), CallError>;
        //~ an argument of type `Rc<u32>` cannot go to another apartment
        fn sent(&self, value: Rc<u32>) -> Result<(), CallError> as one_way;
        //~ an argument of type `Vec<*const u8>` cannot go to another apartment
        fn copied(&self, value: &[*const u8]) -> Result<(), CallError> as one_way;
    }
}

fn main() {}
