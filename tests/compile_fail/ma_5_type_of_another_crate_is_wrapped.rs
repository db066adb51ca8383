//! What a type answers to is said where the type is: one of another crate is wrapped in one's own.
use apartment::{implements, interface, CallError};

interface! {
    pub trait Text {
        fn text(&self) -> Result<String, CallError>;
    }
}

impl Text for String {
    fn text(&self) -> Result<String, CallError> {
        Ok(self.clone())
    }
}

//~ only traits defined in the current crate can be implemented for types defined outside of the crate
implements!(String: dyn Text);

struct Wrapped(String);

impl Text for Wrapped {
    fn text(&self) -> Result<String, CallError> {
        self.0.text()
    }
}

implements!(Wrapped: dyn Text);

fn main() {}
