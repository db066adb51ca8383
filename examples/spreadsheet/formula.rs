//! A cell's formula: read into postfix form, so that working it out needs no recursion.
//!
//! What binds tighter comes first: `-x`, `^`, `* /`, `+ -`, `= <> < <= > >=`. Equals group from the left and `-2^2` is 4,
//! as in Excel.

use std::cmp::Ordering;
use std::fmt;
use std::iter;
use std::str::FromStr;

use crate::grid::Grid;
use crate::value::{Pos, Value, Wrong};

/// Excel's own limits.
const LONGEST: usize = 8192;
const DEEPEST: u32 = 64;

/// A step of a formula: the operands before it are on a stack.
#[derive(Clone, Debug, PartialEq)]
enum Step {
    Value(Value),
    /// One cell, or a rectangle from its first to its last.
    Cells(Pos, Pos),
    Negate,
    Operator(&'static str),
    Call(Function, usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Function {
    Average,
    Count,
    If,
    Max,
    Min,
    Sum,
    Unknown,
}

/// How tight each operator binds; a longer one is looked for before the one that it begins with.
const OPERATORS: [(&str, u8); 11] =
    [("<>", 1), ("<=", 1), (">=", 1), ("<", 1), (">", 1), ("=", 1), ("+", 2), ("-", 2), ("*", 3), ("/", 3), ("^", 4)];

#[derive(Clone, Debug)]
pub(crate) struct Formula {
    text: String,
    steps: Vec<Step>,
}

impl fmt::Display for Formula {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "={}", self.text)
    }
}

impl FromStr for Formula {
    type Err = String;

    /// Reads what stands after the `=`.
    fn from_str(text: &str) -> Result<Formula, String> {
        if text.len() > LONGEST {
            return Err(format!("it is longer than {LONGEST} bytes"));
        }
        let mut reader = Reader { text, at: 0, depth: 0, steps: Vec::new() };
        let read = reader.expression(0).and_then(|()| match reader.peek() {
            None => Ok(()),
            Some(c) => Err(format!("`{c}` is not expected here")),
        });
        let Reader { at, steps, .. } = reader;
        // The `=` is its first character.
        read.map_err(|why| format!("{why} (character {} of `={text}`)", text[..at].chars().count() + 2))?;
        Ok(Formula { text: text.to_owned(), steps })
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: u32,
    steps: Vec<Step>,
}

impl<'a> Reader<'a> {
    fn peek(&mut self) -> Option<char> {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start().len();
        self.text[self.at..].chars().next()
    }

    fn eat(&mut self, what: &str) -> bool {
        self.peek();
        let found = self.text[self.at..].starts_with(what);
        self.at += if found { what.len() } else { 0 };
        found
    }

    fn expect(&mut self, what: &str) -> Result<(), String> {
        if self.eat(what) { Ok(()) } else { Err(format!("`{what}` is missing")) }
    }

    fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> &'a str {
        let rest = &self.text[self.at..];
        let length = rest.find(|c| !wanted(c)).unwrap_or(rest.len());
        self.at += length;
        &rest[..length]
    }

    fn expression(&mut self, least: u8) -> Result<(), String> {
        self.operand()?;
        loop {
            self.peek();
            let rest = &self.text[self.at..];
            let Some((sign, binds)) = OPERATORS.iter().find(|(sign, _)| rest.starts_with(sign)) else { return Ok(()) };
            if *binds < least {
                return Ok(());
            }
            self.at += sign.len();
            self.expression(binds + 1)?;
            self.steps.push(Step::Operator(sign));
        }
    }

    /// What is read inside something else is read by recursion, so there is an end to it.
    fn nested(&mut self, read: impl FnOnce(&mut Self) -> Result<(), String>) -> Result<(), String> {
        if self.depth == DEEPEST {
            return Err(format!("it is nested more than {DEEPEST} deep"));
        }
        self.depth += 1;
        read(self)?;
        self.depth -= 1;
        Ok(())
    }

    fn operand(&mut self) -> Result<(), String> {
        match self.peek() {
            Some('-') => {
                self.at += 1;
                self.nested(Self::operand)?;
                self.steps.push(Step::Negate);
            }
            Some('(') => {
                self.at += 1;
                self.nested(|reader| reader.expression(0))?;
                self.expect(")")?;
            }
            Some('"') => {
                self.at += 1;
                let mut text = self.take_while(|c| c != '"').to_owned();
                self.expect("\"")?;
                // Two quotes are one of the text's own.
                while self.text[self.at..].starts_with('"') {
                    self.at += 1;
                    text.push('"');
                    text.push_str(self.take_while(|c| c != '"'));
                    self.expect("\"")?;
                }
                self.steps.push(Step::Value(Value::Text(text)));
            }
            Some(c) if c.is_ascii_digit() || c == '.' => {
                let number = self.number()?;
                self.steps.push(Step::Value(number));
            }
            Some(c) if c.is_alphabetic() || matches!(c, '_' | '$') => self.name()?,
            Some(c) => return Err(format!("`{c}` is not expected here, but a value")),
            None => return Err("it ends where a value is expected".to_owned()),
        }
        Ok(())
    }

    fn number(&mut self) -> Result<Value, String> {
        let start = self.at;
        self.take_while(|c| c.is_ascii_digit() || c == '.');
        let mantissa = self.at;
        if !self.take_while(|c| matches!(c, 'e' | 'E')).is_empty() {
            self.take_while(|c| matches!(c, '+' | '-'));
            if self.take_while(|c| c.is_ascii_digit()).is_empty() {
                self.at = mantissa;
            }
        }
        let number = &self.text[start..self.at];
        match number.parse::<f64>() {
            Ok(value) if value.is_finite() => Ok(Value::Number(value)),
            Ok(_) => Err(format!("{number} is too large")),
            Err(_) => Err(format!("`{number}` is no number")),
        }
    }

    fn name(&mut self) -> Result<(), String> {
        let name = self.take_while(|c| c.is_alphanumeric() || matches!(c, '_' | '$' | '.')).to_ascii_uppercase();
        if self.eat("(") {
            return self.call(&name);
        }
        let step = match (name.as_str(), cell(&name)) {
            ("TRUE", _) => Step::Value(Value::Truth(true)),
            ("FALSE", _) => Step::Value(Value::Truth(false)),
            (_, Err(wrong)) => Step::Value(Value::Error(wrong)),
            (_, Ok(first)) if self.eat(":") => {
                self.peek();
                let last = self.take_while(|c| c.is_ascii_alphanumeric() || c == '$').to_ascii_uppercase();
                match cell(&last) {
                    Ok(last) => {
                        let corner = |pick: fn(u32, u32) -> u32| Pos {
                            row: pick(first.row, last.row),
                            column: pick(first.column, last.column),
                        };
                        Step::Cells(corner(u32::min), corner(u32::max))
                    }
                    Err(_) if last.is_empty() => return Err("a cell is missing after `:`".to_owned()),
                    Err(wrong) => Step::Value(Value::Error(wrong)),
                }
            }
            (_, Ok(one)) => Step::Cells(one, one),
        };
        self.steps.push(step);
        Ok(())
    }

    /// The arguments of a function whose name and `(` have been read.
    fn call(&mut self, name: &str) -> Result<(), String> {
        let function = match name {
            "AVERAGE" => Function::Average,
            "COUNT" => Function::Count,
            "IF" => Function::If,
            "MAX" => Function::Max,
            "MIN" => Function::Min,
            "SUM" => Function::Sum,
            _ => Function::Unknown,
        };
        let mut count = 0;
        if !self.eat(")") {
            loop {
                self.nested(|reader| reader.expression(0))?;
                count += 1;
                if !self.eat(",") {
                    break;
                }
            }
            self.expect(")")?;
        }
        match (function, count) {
            (Function::If, 2 | 3) | (Function::Unknown, _) => {}
            (Function::If, _) => return Err(format!("IF has 2 or 3 arguments, not {count}")),
            (_, 0) => return Err(format!("{name} has at least one argument")),
            _ => {}
        }
        self.steps.push(Step::Call(function, count));
        Ok(())
    }
}

/// The cell of that name; a `$`, which is for copying formulas, does not change it.
fn cell(name: &str) -> Result<Pos, Wrong> {
    let name = name.replace('$', "");
    let digits = name.trim_start_matches(|c: char| c.is_ascii_uppercase());
    let looks_like_one = (1..=3).contains(&(name.len() - digits.len()));
    match name.parse() {
        Ok(pos) => Ok(pos),
        Err(_) if looks_like_one && !digits.is_empty() && digits.bytes().all(|c| c.is_ascii_digit()) => {
            Err(Wrong::Reference)
        }
        Err(_) => Err(Wrong::Name),
    }
}

/// What is on the stack while a formula is worked out.
enum Item {
    One(Value),
    Cells(Pos, Pos),
}

impl Formula {
    /// The rectangles of cells that it asks for.
    pub(crate) fn asks_for(&self) -> impl Iterator<Item = (Pos, Pos)> {
        self.steps.iter().filter_map(|step| match step {
            Step::Cells(first, last) => Some((*first, *last)),
            _ => None,
        })
    }

    /// Its value, of the values that the cells now have.
    pub(crate) fn work_out(&self, grid: &Grid) -> Value {
        let mut stack = Vec::new();
        for step in &self.steps {
            let item = match step {
                Step::Value(value) => Item::One(value.clone()),
                Step::Cells(first, last) => Item::Cells(*first, *last),
                Step::Negate => Item::One(number(&pop(&mut stack, grid)).map(|number| (-number).into()).into()),
                Step::Operator(sign) => {
                    let (right, left) = (pop(&mut stack, grid), pop(&mut stack, grid));
                    Item::One(operate(sign, &left, &right).into())
                }
                Step::Call(function, count) => {
                    let arguments = stack.split_off(stack.len() - count);
                    Item::One(call(*function, arguments, grid).into())
                }
            };
            stack.push(item);
        }
        match pop(&mut stack, grid) {
            // A formula that is nothing but the name of an empty cell shows 0, as everywhere.
            Value::Empty => Value::Number(0.0),
            value => value,
        }
    }
}

/// The topmost item as one value. A formula that has been read leaves no operator without its operands.
fn pop(stack: &mut Vec<Item>, grid: &Grid) -> Value {
    stack.pop().map_or(Value::Empty, |item| single(item, grid))
}

fn single(item: Item, grid: &Grid) -> Value {
    match item {
        Item::One(value) => value,
        Item::Cells(first, last) if first == last => grid.value(first).clone(),
        Item::Cells(..) => Value::Error(Wrong::Value),
    }
}

fn number(value: &Value) -> Result<f64, Wrong> {
    match value {
        Value::Empty => Ok(0.0),
        Value::Number(number) => Ok(*number),
        Value::Truth(truth) => Ok(f64::from(u8::from(*truth))),
        Value::Text(_) => Err(Wrong::Value),
        Value::Error(wrong) => Err(*wrong),
    }
}

fn operate(sign: &str, left: &Value, right: &Value) -> Result<Value, Wrong> {
    if let (Value::Error(wrong), _) | (_, Value::Error(wrong)) = (left, right) {
        return Err(*wrong);
    }
    let truth = match sign {
        "=" => compare(left, right).is_eq(),
        "<>" => compare(left, right).is_ne(),
        "<" => compare(left, right).is_lt(),
        "<=" => compare(left, right).is_le(),
        ">" => compare(left, right).is_gt(),
        ">=" => compare(left, right).is_ge(),
        _ => {
            let (left, right) = (number(left)?, number(right)?);
            return match sign {
                "+" => Ok((left + right).into()),
                "-" => Ok((left - right).into()),
                "*" => Ok((left * right).into()),
                "/" if right == 0.0 => Err(Wrong::DividedByZero),
                "/" => Ok((left / right).into()),
                _ if left == 0.0 && right < 0.0 => Err(Wrong::DividedByZero),
                _ => Ok(left.powf(right).into()),
            };
        }
    };
    Ok(Value::Truth(truth))
}

/// Numbers come before texts, texts before truths; an empty cell is what it is compared with, but the least of it.
fn compare(left: &Value, right: &Value) -> Ordering {
    let rank = |value: &Value| match value {
        Value::Number(_) => Some(0),
        Value::Text(_) => Some(1),
        Value::Truth(_) => Some(2),
        Value::Empty | Value::Error(_) => None,
    };
    let text = |value: &Value| if let Value::Text(text) = value { text.to_lowercase() } else { String::new() };
    let kind = rank(left).or(rank(right));
    match (rank(left).or(kind), rank(right).or(kind)) {
        (Some(1), Some(1)) => text(left).cmp(&text(right)),
        (one, other) if one == other => number(left).ok().partial_cmp(&number(right).ok()).unwrap_or(Ordering::Equal),
        (one, other) => one.cmp(&other),
    }
}

fn call(function: Function, arguments: Vec<Item>, grid: &Grid) -> Result<Value, Wrong> {
    match function {
        Function::Unknown => return Err(Wrong::Name),
        Function::If => {
            let mut arguments = arguments.into_iter().map(|item| single(item, grid));
            let holds = number(&arguments.next().unwrap_or(Value::Empty))? != 0.0;
            let chosen = if holds { arguments.next() } else { arguments.nth(1) };
            return Ok(chosen.unwrap_or(Value::Truth(false)));
        }
        _ => {}
    }
    let counts = function == Function::Count;
    let mut numbers = Vec::new();
    for item in &arguments {
        let (cells, one): (Box<dyn Iterator<Item = &Value>>, _) = match item {
            Item::One(value) => (Box::new(iter::once(value)), true),
            Item::Cells(first, last) => (Box::new(grid.values(*first, *last)), false),
        };
        for value in cells {
            match value {
                Value::Number(number) => numbers.push(*number),
                Value::Error(wrong) if !counts => return Err(*wrong),
                // What is not a number is passed over in cells, but not in the formula itself.
                value if one && !counts => numbers.push(number(value)?),
                _ => {}
            }
        }
    }
    let (count, sum) = (numbers.len() as f64, numbers.iter().fold(0.0, |sum, number| sum + number));
    Ok(match function {
        Function::Average if numbers.is_empty() => return Err(Wrong::DividedByZero),
        Function::Average => (sum / count).into(),
        Function::Count => count.into(),
        Function::Max => numbers.into_iter().reduce(f64::max).unwrap_or(0.0).into(),
        Function::Min => numbers.into_iter().reduce(f64::min).unwrap_or(0.0).into(),
        _ => sum.into(),
    })
}
