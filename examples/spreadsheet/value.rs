//! Where a cell is, and what it shows.

use std::fmt;
use std::str::FromStr;

/// Excel's own limits.
const ROWS: u32 = 1 << 20;
const COLUMNS: u32 = 1 << 14;
const LIMITS: &str = "cells go from A1 to XFD1048576";

/// Where a cell is, counted from 0; ordered as one reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Pos {
    pub(crate) row: u32,
    pub(crate) column: u32,
}

impl Pos {
    /// The cell in this row and column.
    pub(crate) fn new(row: usize, column: usize) -> Result<Pos, String> {
        match (u32::try_from(row), u32::try_from(column)) {
            (Ok(row @ 0..ROWS), Ok(column @ 0..COLUMNS)) => Ok(Pos { row, column }),
            _ => Err(format!("there is no cell in row {} and column {}: {}", row + 1, column + 1, LIMITS)),
        }
    }
}

impl fmt::Display for Pos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut letters, mut left) = (Vec::new(), self.column + 1);
        while left > 0 {
            letters.push(b'A' + ((left - 1) % 26) as u8);
            left = (left - 1) / 26;
        }
        letters.iter().rev().try_for_each(|letter| write!(f, "{}", char::from(*letter)))?;
        write!(f, "{}", self.row + 1)
    }
}

impl FromStr for Pos {
    type Err = String;

    fn from_str(name: &str) -> Result<Pos, String> {
        let no = || format!("`{name}` is not a cell's name, such as B7");
        let at = name.find(|c: char| !c.is_ascii_alphabetic()).ok_or_else(no)?;
        let (letters, digits) = name.split_at(at);
        if letters.is_empty() || !digits.bytes().all(|c| c.is_ascii_digit()) {
            return Err(no());
        }
        let place = |letter: u8| u32::from(letter.to_ascii_uppercase() - b'A') + 1;
        let column = letters.bytes().fold(0u32, |sum, letter| sum.saturating_mul(26).saturating_add(place(letter)));
        let row = digits.parse().unwrap_or(u32::MAX);
        if !(1..=ROWS).contains(&row) || column > COLUMNS {
            return Err(format!("there is no cell {name}: {LIMITS}"));
        }
        Ok(Pos { row: row - 1, column: column - 1 })
    }
}

/// What a cell shows.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Empty,
    Number(f64),
    Text(String),
    Truth(bool),
    Error(Wrong),
}

/// Why a cell cannot show a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// It asks for itself, maybe through others.
    Cycle,
    DividedByZero,
    /// A name that is neither a cell's nor a function's.
    Name,
    /// Too large, or no real number.
    Number,
    /// A cell that cannot be.
    Reference,
    /// A text, or several cells, where one number is asked for.
    Value,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Wrong::Cycle => "#CYCLE!",
            Wrong::DividedByZero => "#DIV/0!",
            Wrong::Name => "#NAME?",
            Wrong::Number => "#NUM!",
            Wrong::Reference => "#REF!",
            Wrong::Value => "#VALUE!",
        })
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Empty => Ok(()),
            // Fifteen digits: what a sum of tenths has more is noise.
            Value::Number(number) => match format!("{number:.14e}").parse::<f64>().unwrap_or(*number) {
                0.0 => f.write_str("0"),
                rounded if (1e-9..1e15).contains(&rounded.abs()) => write!(f, "{rounded}"),
                rounded => write!(f, "{rounded:e}"),
            },
            Value::Text(text) => f.write_str(text),
            Value::Truth(truth) => f.write_str(if *truth { "TRUE" } else { "FALSE" }),
            Value::Error(wrong) => write!(f, "{wrong}"),
        }
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Value {
        if number.is_finite() { Value::Number(number) } else { Value::Error(Wrong::Number) }
    }
}

impl From<Result<Value, Wrong>> for Value {
    fn from(result: Result<Value, Wrong>) -> Value {
        result.unwrap_or_else(Value::Error)
    }
}
