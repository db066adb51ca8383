//! What is written on an interface and its methods stays on the trait, and whoever uses them hears of it.
#![deny(deprecated, unused_must_use)]
use apartment::{interface, CallError, Proxy};

interface! {
    #[deprecated = "tables are called sheets"]
    pub trait Table {
        fn rows(&self) -> Result<u32, CallError>;
    }
    pub trait Sheet {
        #[deprecated = "a cell has two numbers"]
        fn cell(&self, number: u32) -> Result<f64, CallError>;
        #[must_use = "it may not have been saved"]
        fn save(&self) -> Result<bool, CallError>;
    }
}

//~ use of deprecated trait `Table`: tables are called sheets
fn rows(table: &Proxy<dyn Table>) -> Result<u32, CallError> {
    table.rows()
}

fn main() -> Result<(), CallError> {
    let sheet: Option<Proxy<dyn Sheet>> = None;
    if let Some(sheet) = sheet {
        //~ use of deprecated method `Sheet::cell`: a cell has two numbers
        sheet.cell(1)?;
        //~ it may not have been saved
        sheet.save();
    }
    let _ = rows;
    Ok(())
}
