//! The caller of a one-way method does not wait for a result.
use apartment::{interface, CallError};

interface! {
    pub trait Sheet {
        //~ a one-way method returns `Result<(), E>`, and this one returns a `f64`
        fn changed(&self) -> Result<f64, CallError> as one_way;
        //~ a method of an interface returns a `Result`, and `()` is none
        fn closed(&self) -> () as one_way;
    }
}

fn main() {}
