//! Text in columns.

use std::fmt;

/// A head and rows, each column as wide as its widest cell.
pub(crate) struct Table(Vec<Vec<String>>);

impl Table {
    pub(crate) fn new(head: impl Iterator<Item = String>) -> Table {
        Table(vec![head.collect()])
    }

    pub(crate) fn row(&mut self, cells: impl Iterator<Item = String>) {
        self.0.push(cells.collect());
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |column: usize| self.0.iter().filter_map(|row| row.get(column)).map(String::len).max().unwrap_or(0);
        let columns = self.0.iter().map(Vec::len).max().unwrap_or(0);
        let line = |cells: &[String]| {
            let cells = cells.iter().enumerate().map(|(column, cell)| format!("{cell:width$}", width = width(column)));
            cells.collect::<Vec<_>>().join(" | ")
        };
        for (at, row) in self.0.iter().enumerate() {
            writeln!(f, "{}", line(row).trim_end())?;
            if at == 0 {
                let rules = (0..columns).map(|column| "-".repeat(width(column)));
                writeln!(f, "{}", rules.collect::<Vec<_>>().join("-|-"))?;
            }
        }
        Ok(())
    }
}
