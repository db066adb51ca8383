//! The control: an interface may be named as anything, and so may its methods and their arguments; nothing of it is a
//! warning.
#![deny(warnings)]
#![allow(dead_code)]
use apartment::CallError;

mod names {
    use super::CallError;

    type Outcome<T> = ::std::result::Result<T, CallError>;

    apartment::interface! {
        pub trait Send { fn f(&self, x: &str, y: std::option::Option<&str>) -> Outcome<u8>; fn g(&self, x: &str) -> Outcome<()> as one_way; }
        pub trait Sized { fn f(&self, x: &str, y: &mut u8) -> Outcome<u8>; }
        pub trait Result { fn f(&self, x: &str, y: u8) -> Outcome<u8>; }
        pub trait Option { fn f(&self, x: &str, y: u8) -> Outcome<u8>; }
        pub trait Proxy { fn f(&self, x: &str, y: u8) -> Outcome<u8>; }
        pub trait Method { fn f(&self, x: &str, y: u8) -> Outcome<u8>; }
        pub trait Kind { fn f(&self, x: &str, y: u8) -> Outcome<u8>; fn g(&self, x: &str) -> Outcome<()> as one_way; }
    }

    pub struct Thing;
    impl Result for Thing {
        fn f(&self, _: &str, _: u8) -> Outcome<u8> {
            Ok(1)
        }
    }
    impl Option for Thing {
        fn f(&self, _: &str, _: u8) -> Outcome<u8> {
            Ok(1)
        }
    }
    apartment::implements!(Thing: dyn Result, dyn Option);
}

/// As the expansion's own names.
mod arguments {
    use super::CallError;

    apartment::interface! {
        pub trait Arguments {
            fn a(&self, journey: u8, sent: &str, object: &mut u8, result: Option<&str>, error: u8) -> Result<u8, CallError>;
            fn b(&self, caller: String, value: &[u8], argument_0: u8, argument_1: &str, sends: u8) -> Result<u8, CallError>;
            fn c(&self, journey: &str, sent: Option<&str>, can_own: u8, error: u8) -> Result<(), CallError> as one_way;
        }
    }
}

/// As those of `Proxy`, of traits that everybody has, and of what the expansion stands on.
mod methods {
    use super::CallError;

    apartment::interface! {
        pub trait Methods {
            fn call(&self, x: u8) -> Result<u8, CallError>;
            fn post(&self) -> Result<(), CallError> as one_way;
            fn query(&self) -> Result<u8, CallError>;
            fn clone(&self) -> Result<u8, CallError>;
            fn drop(&self, x: Option<&str>) -> Result<u8, CallError>;
            fn into(&self) -> Result<u8, CallError>;
            fn borrow(&self, x: &str, y: Option<&str>) -> Result<(), CallError> as one_way;
            fn as_ref(&self, x: Option<&str>) -> Result<u8, CallError>;
            fn take(&self, x: &mut u8) -> Result<u8, CallError>;
            fn argument_0(&self, x: &str) -> Result<u8, CallError>;
            fn r#match(&self, x: &str) -> Result<u8, CallError>;
        }
    }
}

/// As in COM. The `expect` is for the trait alone: what is made of it has no such lint.
mod com {
    use super::CallError;

    apartment::interface! {
        #[expect(non_snake_case)]
        pub trait ISheet {
            fn GetCell(&self, Name: &str) -> Result<f64, CallError>;
            fn Changed(&self, Name: &str) -> Result<(), CallError> as one_way;
        }
        pub trait IPersist {
            #[expect(non_snake_case)]
            fn Save(&self) -> Result<(), CallError>;
        }
    }
}

/// As something that its types name.
mod in_types {
    use super::CallError;

    const METHOD: usize = 2;

    const fn length() -> usize {
        2
    }

    apartment::interface! {
        pub trait InTypes {
            fn length(&self) -> Result<[u8; length()], CallError>;
            fn method(&self, x: &[u8; METHOD]) -> Result<[u8; METHOD], CallError>;
            fn sent(&self, x: &[u8; METHOD], y: Option<&[u8; METHOD]>) -> Result<(), CallError> as one_way;
        }
    }
}

/// Everything has these methods, and so has what the expansion stands on.
mod for_all {
    use super::CallError;

    pub trait ForAll: Sized {
        fn take(self) {}
        fn take_or_not(self) {}
        fn lend(self) {}
        fn lend_or_not(self) {}
        fn lent(self) {}
        fn as_ref(self) {}
        fn as_deref_mut(self) {}
        fn done(&self) {}
        fn borrow(self) {}
    }

    impl<T> ForAll for T {}

    apartment::interface! {
        pub trait Everything {
            fn a(&self, a: u8, b: &mut u8, c: &str, d: Option<&str>, e: Option<&mut u8>) -> Result<u8, CallError>;
            fn b(&self, a: u8, b: &str, c: Option<&str>) -> Result<(), CallError> as one_way;
        }
    }
}

/// Made by a macro, with names from both sides.
mod made {
    use super::CallError;

    macro_rules! make {
        ($(#[$meta:meta])* $vis:vis $name:ident { $($method:ident($($argument:ident: $ty:ty),*) -> $result:ty;)* }) => {
            apartment::interface! {
                $(#[$meta])*
                $vis trait $name {
                    $(fn $method(&self, $($argument: $ty),*) -> $result;)*
                    fn added(&self, sent: &str) -> Result<u8, CallError>;
                }
            }
        };
    }

    make!(#[deprecated] pub Made {
        one(x: &str, y: Option<&str>, z: &mut Vec<u8>, u: Option<&mut u8>) -> Result<u8, CallError>;
        sent(journey: &str) -> Result<(), CallError>;
    });
}

fn main() {}
