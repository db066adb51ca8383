//! A call can fail on its way, so a method of an interface returns a `Result`.
use apartment::interface;

interface! {
    pub trait Sheet {
        //~ a method of an interface returns a `Result<_, E>` with an `E: From<CallError>`
        fn changed(&self);
    }
}

interface! {
    pub trait Row {
        //~ a method of an interface returns a `Result`, and `f64` is none
        fn plain(&self) -> f64;
        //~ a method of an interface returns a `Result`, and `Option<f64>` is none
        //~ a call can fail on its way: return a `Result<_, E>` with an `E: From<CallError>`
        fn cell(&self) -> Option<f64>;
    }
}

fn main() {}
