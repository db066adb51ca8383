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

    pub trait Bounded
    //~ an interface has no `where`
    where
        Self: Sync,
    {
        //~ an interface has methods only, no macros
        methods!();
        //~ an argument is there on both ends: put the `cfg` on the method
        fn cell(&self, #[cfg(any())] name: &str) -> Result<f64, CallError>;
    }
}

interface! {
    //~ `interface!` takes traits
    pub struct Chart;
}

interface! {
    pub trait Named {
        //~ a method of a trait is as visible as the trait: leave `pub` out
        pub fn name(&self) -> Result<String, CallError>;
    }
}

interface! {
    pub trait Unfinished {
        //~ after a method of an interface comes `;`, its body, `as one_way` or `as input_sync`
        fn name(&self) -> Result<String, CallError>
        fn other(&self) -> Result<String, CallError>;
    }
}

fn main() {}
