//! The cells: what is typed into them, what they show, and in which order they are worked out.

use std::collections::BTreeMap;

use petgraph::algo::kosaraju_scc;
use petgraph::graphmap::DiGraphMap;

use crate::formula::Formula;
use crate::value::{Pos, Value, Wrong};

#[derive(Debug, Default)]
pub(crate) struct Grid {
    cells: BTreeMap<Pos, Cell>,
    end: Option<Pos>,
}

#[derive(Debug)]
struct Cell {
    formula: Option<Formula>,
    /// A formula's is as old as the last time it was worked out.
    value: Value,
}

/// What working out the whole grid takes.
#[derive(Debug, PartialEq)]
pub(crate) struct Plan {
    /// The formulas, each after those that it asks for.
    pub(crate) order: Vec<Pos>,
    /// Those that ask for themselves: each as a way around.
    pub(crate) cycles: Vec<Vec<Pos>>,
}

impl Grid {
    /// Reads comma-separated values. What begins with `=` is a formula.
    pub(crate) fn read(csv: &str) -> Result<Grid, String> {
        let csv = csv.trim_start_matches('\u{feff}');
        let mut grid = Grid::default();
        let mut row = 0;
        let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(csv.as_bytes());
        for record in reader.records() {
            let record = record.map_err(|error| error.to_string())?;
            // The reader passes over empty lines, but they are rows, too. A line's `\r` may end the record before.
            let (before, after) = csv.split_at(record.position().map_or(0, |place| place.byte() as usize));
            let ends = after.bytes().take_while(|c| matches!(c, b'\r' | b'\n')).filter(|c| *c == b'\n').count();
            row += ends - usize::from(before.ends_with('\r') && after.starts_with('\n'));
            for (column, content) in record.iter().enumerate() {
                let at = Pos::new(row, column)?;
                grid.set(at, content).map_err(|why| format!("{at}: {why}"))?;
            }
            row += 1;
        }
        Ok(grid)
    }

    /// Types something into a cell. If it is a formula, it shows nothing before it is worked out.
    pub(crate) fn set(&mut self, at: Pos, content: &str) -> Result<(), String> {
        let content = content.trim();
        let (formula, value) = match (content.strip_prefix('='), content.parse::<f64>()) {
            (Some(formula), _) => (Some(formula.parse()?), Value::Empty),
            (None, Ok(number)) if number.is_finite() => (None, Value::Number(number)),
            (None, _) => (None, Value::Text(content.to_owned())),
        };
        if content.is_empty() {
            self.cells.remove(&at);
        } else {
            self.cells.insert(at, Cell { formula, value });
            let end = self.end.unwrap_or(at);
            self.end = Some(Pos { row: end.row.max(at.row), column: end.column.max(at.column) });
        }
        Ok(())
    }

    /// What has been typed into a cell.
    pub(crate) fn content(&self, at: Pos) -> String {
        match self.cells.get(&at) {
            Some(Cell { formula: Some(formula), .. }) => formula.to_string(),
            _ => self.value(at).to_string(),
        }
    }

    pub(crate) fn value(&self, at: Pos) -> &Value {
        self.cells.get(&at).map_or(&Value::Empty, |cell| &cell.value)
    }

    /// The values of a rectangle's cells, without the empty ones.
    pub(crate) fn values(&self, first: Pos, last: Pos) -> impl Iterator<Item = &Value> {
        self.rectangle(first, last).map(|(_, cell)| &cell.value)
    }

    fn rectangle(&self, first: Pos, last: Pos) -> impl Iterator<Item = (Pos, &Cell)> {
        let columns = first.column..=last.column;
        self.cells.range(first..=last).map(|(at, cell)| (*at, cell)).filter(move |(at, _)| columns.contains(&at.column))
    }

    /// The last row and column that have been used.
    pub(crate) fn end(&self) -> Option<Pos> {
        self.end
    }

    /// How many cells have formulas.
    pub(crate) fn formulas(&self) -> usize {
        self.cells.values().filter(|cell| cell.formula.is_some()).count()
    }

    /// The order in which to work out the formulas. Those of a cycle have none; they show an error from here on.
    pub(crate) fn plan(&mut self) -> Plan {
        let mut graph = DiGraphMap::new();
        for (&at, cell) in &self.cells {
            let Some(formula) = &cell.formula else { continue };
            graph.add_node(at);
            for (first, last) in formula.asks_for() {
                for (other, _) in self.rectangle(first, last).filter(|(_, cell)| cell.formula.is_some()) {
                    graph.add_edge(at, other, ());
                }
            }
        }
        let mut plan = Plan { order: Vec::new(), cycles: Vec::new() };
        // A component comes after those that it asks for; one of several cells is a knot of cycles.
        for knot in kosaraju_scc(&graph) {
            if let [alone] = knot[..]
                && !graph.contains_edge(alone, alone)
            {
                plan.order.push(alone);
                continue;
            }
            for at in &knot {
                if let Some(cell) = self.cells.get_mut(at) {
                    cell.value = Value::Error(Wrong::Cycle);
                }
            }
            plan.cycles.push(way_around(&graph, &knot));
        }
        plan.cycles.sort();
        plan
    }

    /// Works out a cell's formula, of what the cells show that it asks for.
    pub(crate) fn work_out(&mut self, at: Pos) {
        let Some(value) = self.cells.get(&at).and_then(|cell| Some(cell.formula.as_ref()?.work_out(self))) else {
            return;
        };
        if let Some(cell) = self.cells.get_mut(&at) {
            cell.value = value;
        }
    }
}

/// A cycle in a knot: from its first cell always to the first that is asked for, until one has been met before.
fn way_around(graph: &DiGraphMap<Pos, ()>, knot: &[Pos]) -> Vec<Pos> {
    let mut way = Vec::new();
    let mut met: BTreeMap<Pos, Option<usize>> = knot.iter().map(|at| (*at, None)).collect();
    let mut next = met.keys().next().copied();
    while let Some(at) = next {
        if let Some(before) = met.insert(at, Some(way.len())).flatten() {
            return way.split_off(before);
        }
        way.push(at);
        next = graph.neighbors(at).filter(|other| met.contains_key(other)).min();
    }
    way
}
