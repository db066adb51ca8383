//! Objects whose interfaces are another crate's.

use apartment::implements;
use sheet_interfaces::{Cell, Listen, Listeners, Persist, Sheet, SheetError, SheetResult};
use std::cell::RefCell;
use std::rc::Rc;

/// Stays on its thread.
#[derive(Default)]
pub struct Workbook {
    cells: RefCell<Vec<Rc<Cell>>>,
}

impl Sheet for Workbook {
    fn cell(&self, name: &str) -> SheetResult<f64> {
        let cells = self.cells.borrow();
        let cell = cells.iter().find(|cell| cell.name == name);
        cell.map(|cell| cell.value).ok_or_else(|| SheetError::NoSuchCell(name.to_owned()))
    }

    fn set(&self, cell: Cell) -> SheetResult {
        self.cells.borrow_mut().push(Rc::new(cell));
        Ok(())
    }

    fn cells(&self, names: &[&str]) -> SheetResult<Vec<f64>> {
        names.iter().map(|name| self.cell(name)).collect()
    }

    fn tell(&self, listeners: &Listeners) -> SheetResult<usize> {
        // A listener may come back for a cell meanwhile.
        let cells = self.cells.borrow().clone();
        for listener in &listeners.0 {
            cells.iter().try_for_each(|cell| listener.changed(cell))?;
        }
        Ok(cells.len())
    }

    fn clear(&self) -> SheetResult {
        self.cells.borrow_mut().clear();
        Ok(())
    }
}

impl Persist for Workbook {
    fn save(&self) -> SheetResult<String> {
        Ok(self.cells.borrow().iter().map(|cell| format!("{}={};", cell.name, cell.value)).collect())
    }
}

implements!(Workbook: dyn Sheet, dyn Persist);

/// A type of another crate, wrapped.
pub struct Note(pub String);

impl Persist for Note {
    fn save(&self) -> SheetResult<String> {
        Ok(self.0.clone())
    }
}

implements!(Note: dyn Persist);
