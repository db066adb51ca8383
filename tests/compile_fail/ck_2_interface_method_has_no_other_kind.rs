//! A method is synchronous, one-way, or input-synchronized.
use apartment::{interface, CallError};

interface! {
    pub trait Sheet {
        //~ there is no such kind of method: write `as one_way`, `as input_sync`, or nothing
        fn changed(&self) -> Result<(), CallError> as async_call;
    }
}

fn main() {}
