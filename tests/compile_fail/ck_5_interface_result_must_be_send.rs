//! A result comes back from the object's thread, and so does an error.
use apartment::{interface, CallError};
use std::rc::Rc;

pub struct Failed(Rc<str>);

impl From<CallError> for Failed {
    fn from(error: CallError) -> Self {
        Self(error.to_string().into())
    }
}

interface! {
    pub trait Sheet {
        //~ a result with a `Rc<str>` cannot come back from another apartment
        fn value(&self) -> Result<Rc<str>, CallError>;
        //~ a result with a `Failed` cannot come back from another apartment
        fn error(&self) -> Result<f64, Failed>;
    }
}

fn main() {}
