//! Interfaces in a crate of their own: neither their objects nor their users are known to it.

use apartment::{CallError, Marshal, Proxy, interface};

interface! {
    /// A table of numbers.
    pub trait Sheet {
        fn cell(&self, name: &str) -> SheetResult<f64>;
        fn set(&self, cell: Cell) -> SheetResult;
        fn cells(&self, names: &[&str]) -> SheetResult<Vec<f64>>;
        /// Tells each listener of every cell.
        fn tell(&self, listeners: &Listeners) -> SheetResult<usize>;
        fn clear(&self) -> SheetResult as one_way;
    }

    /// What can be saved.
    pub trait Persist {
        fn save(&self) -> SheetResult<String>;
    }

    /// Is told of cells.
    pub trait Listen {
        fn changed(&self, cell: &Cell) -> SheetResult;
    }
}

/// A cell.
#[derive(Clone, Debug, PartialEq, Marshal)]
pub struct Cell {
    pub name: String,
    pub value: f64,
}

/// Who is told.
#[derive(Clone, Default, Marshal)]
pub struct Listeners(pub Vec<Proxy<dyn Listen>>);

/// What a sheet's methods return.
pub type SheetResult<T = ()> = Result<T, SheetError>;

/// What can go wrong with a sheet.
#[derive(Debug)]
pub enum SheetError {
    NoSuchCell(String),
    Call(CallError),
}

impl From<CallError> for SheetError {
    fn from(error: CallError) -> Self {
        Self::Call(error)
    }
}
