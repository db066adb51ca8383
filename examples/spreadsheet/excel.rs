//! The `excel` apartment: the workbook, and the filter that stands before it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use apartment::{CallKind, CallType, IncomingCall, MessageFilter, Proxy, ServerCall, implements, register_filter};

use crate::grid::Grid;
use crate::office::{Listener, Progress, Recalculated, Sheet, SheetError};
use crate::person::{ask, say};
use crate::value::{Pos, Value};

/// What excel is busy with.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Mode {
    Ready,
    /// The person is typing into a cell.
    Formula(Pos),
    Recalculating,
}

/// What the person types into the cell, once asked.
pub(crate) enum Typing {
    AtTheTerminal,
    /// Nothing leaves the cell as it is.
    Script(Option<String>),
}

pub(crate) struct Workbook {
    grid: RefCell<Grid>,
    mode: Rc<Cell<Mode>>,
    typing: Typing,
    listeners: RefCell<Vec<Proxy<dyn Listener>>>,
}

impl Workbook {
    /// Opens it in the apartment of this thread, which so gets its filter.
    pub(crate) fn open(csv: &str, typing: Typing) -> Result<Workbook, SheetError> {
        let grid = Grid::read(csv).map_err(SheetError::Csv)?;
        match grid.end() {
            Some(end) => say("excel", format_args!("opens cells up to {end}, {} of them formulas", grid.formulas())),
            None => say("excel", "opens an empty sheet"),
        }
        let mode = Rc::new(Cell::new(Mode::Ready));
        register_filter(Some(Rc::new(Door { mode: Rc::clone(&mode), has_explained: Cell::new(false) })))?;
        Ok(Workbook { grid: RefCell::new(grid), mode, typing, listeners: RefCell::default() })
    }

    /// The person begins to type into a cell.
    pub(crate) fn begin_formula(&self, at: Pos) {
        if self.mode.get() == Mode::Ready {
            self.mode.set(Mode::Formula(at));
            let content = self.grid.borrow().content(at);
            say("excel", format_args!("somebody begins to type into {at}, which holds `{content}`: formula mode"));
        }
    }

    /// The person turns to excel, and can type to the end.
    pub(crate) fn activate(&self) {
        let Mode::Formula(at) = self.mode.get() else { return };
        let content = self.grid.borrow().content(at);
        let question = format!("{at} holds `{content}`. What shall it hold (nothing: the same)?");
        match &self.typing {
            Typing::Script(None) => {}
            Typing::Script(Some(typed)) => {
                say("excel", format_args!("{question} {typed}"));
                self.type_into(at, typed);
            }
            Typing::AtTheTerminal => loop {
                match ask("excel", &question) {
                    Some(typed) if !typed.is_empty() && !self.type_into(at, &typed) => {}
                    _ => break,
                }
            },
        }
        self.end_formula();
    }

    /// The person has typed to the end.
    pub(crate) fn end_formula(&self) {
        if let Mode::Formula(at) = self.mode.get() {
            self.mode.set(Mode::Ready);
            say("excel", format_args!("{at} holds `{}`: formula mode ends", self.grid.borrow().content(at)));
        }
    }

    /// Whether that can be typed.
    fn type_into(&self, at: Pos, content: &str) -> bool {
        if let Err(why) = self.set(at, content) {
            say("excel", why);
            return false;
        }
        for listener in self.listeners.borrow().iter() {
            // Who has gone meanwhile need not know.
            let _ = listener.changed(at, content);
        }
        true
    }
}

implements!(Workbook: dyn Sheet);

impl Sheet for Workbook {
    fn advise(&self, listener: &Proxy<dyn Listener>) -> Result<(), SheetError> {
        self.listeners.borrow_mut().push(listener.clone());
        Ok(())
    }

    fn cell(&self, at: Pos) -> Result<Value, SheetError> {
        let grid = self.grid.borrow();
        match grid.end() {
            Some(end) if at.row <= end.row && at.column <= end.column => Ok(grid.value(at).clone()),
            end => Err(SheetError::NoCell { at, end }),
        }
    }

    fn edited(&self) -> Result<Option<Pos>, SheetError> {
        Ok(if let Mode::Formula(at) = self.mode.get() { Some(at) } else { None })
    }

    fn recalculate(&self, progress: &Proxy<dyn Progress>) -> Result<Recalculated, SheetError> {
        if self.mode.get() == Mode::Recalculating {
            return Err(SheetError::Recalculating);
        }
        let _busy = Busy::new(&self.mode);
        let plan = self.grid.borrow_mut().plan();
        for (nth, at) in (1..).zip(&plan.order) {
            self.grid.borrow_mut().work_out(*at);
            // Whoever hears of it may ask for cells: nothing is borrowed meanwhile.
            progress.step(*at, nth, plan.order.len())?;
        }
        Ok(Recalculated { formulas: plan.order.len(), cycles: plan.cycles })
    }

    fn set(&self, at: Pos, content: &str) -> Result<(), SheetError> {
        if self.mode.get() == Mode::Recalculating {
            return Err(SheetError::Recalculating);
        }
        self.grid.borrow_mut().set(at, content).map_err(|why| SheetError::NoFormula { at, why })
    }
}

struct Busy<'a>(&'a Cell<Mode>, Mode);

impl Busy<'_> {
    fn new(mode: &Cell<Mode>) -> Busy<'_> {
        Busy(mode, mode.replace(Mode::Recalculating))
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.set(self.1);
    }
}

/// The filter: while excel is busy, it lets in only the calls that come of its own.
struct Door {
    mode: Rc<Cell<Mode>>,
    has_explained: Cell<bool>,
}

impl MessageFilter for Door {
    fn handle_incoming(&self, call: &IncomingCall) -> ServerCall {
        let what = call.target.method.map_or(call.target.type_name, |method| method.name);
        let who = call.caller.apartment.as_ref().map_or("somebody", |apartment| &apartment.name);
        match (self.mode.get(), call.call_type) {
            (Mode::Ready, _) => ServerCall::Handled,
            // It would come in anyway.
            _ if call.kind == CallKind::InputSynchronized => ServerCall::Handled,
            (_, CallType::Nested) => {
                if !self.has_explained.replace(true) {
                    say("excel", format_args!("is busy, but lets in `{what}` from {who}: it is part of its own call"));
                }
                ServerCall::Handled
            }
            (mode, kind) => {
                let mode = if mode == Mode::Recalculating { "recalculating" } else { "in formula mode" };
                say("excel", format_args!("is {mode}: `{what}` ({kind:?}) from {who} is to come again later"));
                ServerCall::RetryLater
            }
        }
    }
}
