//! Objects are asked for `dyn Sheet`, so each of its methods is one method.
use apartment::{interface, CallError};

interface! {
    pub trait Sheet {
        //~ a method of an interface cannot be generic: it is called through `dyn Sheet`
        fn cell<T: Send>(&self, name: T) -> Result<f64, CallError>;
        //~ a method of an interface cannot be generic: it is called through `dyn Sheet`
        fn cells<const N: usize>(&self, names: [String; N]) -> Result<f64, CallError>;
        //~ a method of an interface cannot take `impl …`: it is called through `dyn Sheet`
        fn each(&self, call: impl Fn(f64) + Send) -> Result<(), CallError>;
        //~ a method of an interface cannot return `impl …`
        fn all(&self) -> Result<impl Iterator<Item = f64>, CallError>;
        //~ a caller does not know the object's type, `Self`
        fn add(&self, other: Self) -> Result<(), CallError>;
        //~ a method of an interface has no bounds on types
        fn sized(&self) -> Result<(), CallError>
        where
            Self: Sized;
    }
}

fn main() {}
