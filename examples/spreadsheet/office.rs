//! What the two have in common: how each is called by the other.

use apartment::{CallError, Proxy, interface};

use crate::value::{Pos, Value};

interface! {
    /// What excel has for others.
    pub(crate) trait Sheet {
        /// Whom to tell what somebody types.
        fn advise(&self, listener: &Proxy<dyn Listener>) -> Result<(), SheetError>;

        /// What a cell shows.
        fn cell(&self, at: Pos) -> Result<Value, SheetError>;

        /// The cell that somebody is typing into. It is answered at once, however busy excel is.
        fn edited(&self) -> Result<Option<Pos>, SheetError> as input_sync;

        /// Works out every formula, after those that it asks for, and says so each time.
        fn recalculate(&self, progress: &Proxy<dyn Progress>) -> Result<Recalculated, SheetError>;

        /// Writes into a cell.
        fn set(&self, at: Pos, content: &str) -> Result<(), SheetError>;
    }

    /// Who waits for a recalculation.
    pub(crate) trait Progress {
        /// A cell has been worked out: one more of all.
        fn step(&self, at: Pos, nth: usize, of: usize) -> Result<(), SheetError>;
    }

    /// Who wants to know what somebody types.
    pub(crate) trait Listener {
        /// A cell has another content.
        fn changed(&self, at: Pos, content: &str) -> Result<(), SheetError> as one_way;
    }
}

/// What has been recalculated.
#[derive(Debug)]
pub(crate) struct Recalculated {
    pub(crate) formulas: usize,
    /// The cells that ask for themselves, each time as a way around.
    pub(crate) cycles: Vec<Vec<Pos>>,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum SheetError {
    #[error("{0}")]
    Csv(String),
    #[error("the sheet has no cell {at}: {}", .end.map_or("it is empty".to_owned(), |end| format!("it ends at {end}")))]
    NoCell { at: Pos, end: Option<Pos> },
    #[error("{at}: {why}")]
    NoFormula { at: Pos, why: String },
    #[error("the sheet is being recalculated")]
    Recalculating,
    #[error("{0} ({hresult:#010X}, {outcome:?})", hresult = .0.hresult(), outcome = .0.outcome())]
    Call(#[from] CallError),
}
