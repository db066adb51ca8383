//! A call is over when its method returns.
use apartment::{interface, CallError};

interface! {
    pub trait Sheet {
        //~ a method of an interface cannot be `async`
        async fn cell(&self, name: &str) -> Result<f64, CallError>;
        //~ a method of an interface is a plain `fn`
        unsafe fn raw(&self) -> Result<f64, CallError>;
    }
}

fn main() {}
