//! The object stays in its apartment, and what a caller gets is the caller's.
use apartment::{interface, CallError};
use std::borrow::Cow;

interface! {
    pub trait Sheet {
        //~ a result cannot borrow from the object, which stays in its apartment: return what owns its data
        fn name(&self) -> Result<&str, CallError>;
        //~ a result cannot borrow from the object, which stays in its apartment: return what owns its data
        fn title(&self) -> Result<Cow<'_, str>, CallError>;
        //~ nothing that a caller has can borrow from the object, which stays in its apartment: write `&self`
        fn cell<'a>(&'a self, name: &'a str) -> Result<&'a f64, CallError>;
    }
}

fn main() {}
