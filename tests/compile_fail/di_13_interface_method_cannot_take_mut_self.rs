//! An object may be called again while it waits, so its methods take `&self`.
use apartment::{interface, CallError};

interface! {
    pub trait Sheet {
        //~ a method of an interface takes `&self`: its object may be called again while it waits
        fn set(&mut self, value: f64) -> Result<(), CallError>;
    }
}

fn main() {}
