//! A method is called on an object, which stays where it is.
use apartment::{interface, CallError};

interface! {
    pub trait Sheet {
        //~ a method of an interface takes `&self`: the object stays in its apartment
        fn close(self) -> Result<(), CallError>;
        //~ a method of an interface takes `&self`: the object stays in its apartment
        fn unbox(self: Box<Self>) -> Result<(), CallError>;
        //~ a method of an interface is called on an object: give it `&self`
        fn open(path: &str) -> Result<(), CallError>;
    }
}

fn main() {}
