//! A cast is to an interface that the type declares; a query to anything, of a type that declares something.
use apartment::{implements, interface, CallError, Proxy, Sta};

interface! {
    pub trait Sheet {
        fn cell(&self) -> Result<f64, CallError>;
    }
    pub trait Persist {
        fn save(&self) -> Result<(), CallError>;
    }
}

struct Workbook;

impl Sheet for Workbook {
    fn cell(&self) -> Result<f64, CallError> {
        Ok(0.0)
    }
}

implements!(Workbook: dyn Sheet);

fn save(document: &impl Persist) -> Result<(), CallError> {
    document.save()
}

fn main() -> Result<(), CallError> {
    let home = Sta::spawn("home")?;
    let book = home.create(|| Workbook)?;
    let _sheet: Proxy<dyn Sheet> = book.cast();
    //~ `Workbook` does not declare that it answers to `dyn Persist`
    book.cast::<dyn Persist>();
    //~ `u8` does not say which interfaces it answers to
    let _ = home.create(|| 7u8)?.query::<dyn Sheet>();
    //~ `Proxy<Workbook>` does not implement the interface `Persist`
    save(&book)
}
