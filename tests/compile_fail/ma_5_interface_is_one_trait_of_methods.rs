//! Several interfaces of an object are declared with its type, not as super-traits.
use apartment::{interface, CallError};

interface! {
    //~ an interface has no super-traits
    pub trait Sheet: Send {
        //~ an interface has methods only, no constants
        const CELLS: usize;
        //~ an interface has methods only, no types
        type Cell;
        fn cell(&self) -> Result<f64, CallError>;
    }

    //~ an interface cannot be generic
    pub trait Table<T> {
        fn cell(&self) -> Result<f64, CallError>;
    }

    //~ an interface is a safe trait
    pub unsafe trait Raw {}
}

fn main() {}
