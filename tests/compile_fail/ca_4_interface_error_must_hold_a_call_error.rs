//! What went wrong on the way is told in the method's own error, whatever the `Result` is called.
use apartment::interface;

pub struct NoSuchCell;
pub type SheetResult<T> = Result<T, NoSuchCell>;

interface! {
    pub trait Sheet {
        //~ the error type `NoSuchCell` cannot hold a `CallError`
        //~ write `impl From<apartment::CallError> for NoSuchCell`
        fn cell(&self) -> SheetResult<f64>;
        //~ the error type `String` cannot hold a `CallError`
        fn changed(&self) -> Result<(), String> as one_way;
    }
}

fn main() {}
