//! What a run tells: on the console, as a table and as a plot.

mod machine;
mod number;
mod plot;
mod table;

pub(crate) use machine::Machine;
pub(crate) use table::console;

use crate::measure::Measured;
use std::error::Error;
use std::fs::{create_dir_all, write};
use std::path::Path;

/// All that a run has found out.
pub(crate) struct Report {
    pub(crate) machine: Machine,
    /// What could not be measured here.
    pub(crate) notes: Vec<String>,
    pub(crate) measured: Vec<Measured>,
}

impl Report {
    pub(crate) fn new(machine: Machine) -> Self {
        Self { machine, notes: Vec::new(), measured: Vec::new() }
    }

    /// Writes the table and the plot.
    pub(crate) fn write(&self, folder: &Path) -> Result<(), Box<dyn Error>> {
        create_dir_all(folder)?;
        write(folder.join("table.md"), table::markdown(self))?;
        write(folder.join("plot.svg"), plot::svg(self)?)?;
        Ok(())
    }
}
