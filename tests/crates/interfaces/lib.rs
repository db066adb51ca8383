//! Interfaces in a crate of their own: neither their objects nor their users are known to it. What is written about them is
//! kept: without it this crate would not compile.
#![deny(missing_docs)]

use apartment::{CallError, Marshal, Proxy, interface};

interface! {
    /// A table of numbers.
    pub trait Sheet {
        /// What that cell holds.
        fn cell(&self, name: &str) -> SheetResult<f64>;
        /// Puts the cell in the place of the one of its name.
        fn set(&self, cell: Cell) -> SheetResult;
        /// What these cells hold.
        fn cells(&self, names: &[&str]) -> SheetResult<Vec<f64>>;
        /// Tells each listener of every cell.
        fn tell(&self, listeners: &Listeners) -> SheetResult<usize>;
        /// Leaves no cell.
        fn clear(&self) -> SheetResult as one_way;
    }

    /// What can be saved.
    pub trait Persist {
        /// Gives all of it as a text.
        fn save(&self) -> SheetResult<String>;
    }

    /// Is told of cells.
    pub trait Listen {
        /// That cell holds something else now.
        fn changed(&self, cell: &Cell) -> SheetResult;
    }
}

/// A cell.
#[derive(Clone, Debug, PartialEq, Marshal)]
pub struct Cell {
    /// Which.
    pub name: String,
    /// What it holds.
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
    /// There is no cell of that name.
    NoSuchCell(String),
    /// The call failed on its way.
    Call(CallError),
}

impl From<CallError> for SheetError {
    fn from(error: CallError) -> Self {
        Self::Call(error)
    }
}
