//! What a type declares that it answers to, it implements.
use apartment::{implements, interface, CallError};

interface! {
    pub trait Sheet {
        fn cell(&self) -> Result<f64, CallError>;
    }
}

struct Workbook;

//~ `Workbook` does not implement the interface `Sheet`
//~ no `impl Sheet for Workbook`
implements!(Workbook: dyn Sheet);

struct Chart;

//~ `dyn Debug` is no interface
implements!(Chart: dyn std::fmt::Debug);

//~ an interface is written `dyn Sheet`
implements!(Chart: Sheet);

//~ first the type, then its interfaces: `Workbook: dyn Sheet`
implements!(dyn Sheet: Chart);

fn main() {}
