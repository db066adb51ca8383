//! A letter with places to be filled in: `{B7}` for what a cell shows, `{B7:2}` for a number with two decimals, and
//! `{{` for a brace of its own.

use crate::value::{Pos, Value};

#[derive(Debug, PartialEq)]
pub(crate) struct Letter {
    /// The text before each place, and the place.
    places: Vec<(String, Place)>,
    end: String,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Place {
    pub(crate) cell: Pos,
    pub(crate) line: usize,
    decimals: Option<usize>,
}

impl Letter {
    pub(crate) fn read(text: &str) -> Result<Letter, String> {
        let (mut places, mut before, mut rest, mut line) = (Vec::new(), String::new(), text, 1);
        while let Some((plain, after)) = rest.split_once('{') {
            before.push_str(plain);
            line += plain.matches('\n').count();
            if let Some(after) = after.strip_prefix('{') {
                before.push('{');
                rest = after;
                continue;
            }
            let end = after.find(['}', '{', '\n']).filter(|end| after[*end..].starts_with('}'));
            let end = end.ok_or_else(|| format!("line {line}: a `{{` has no `}}` in its line"))?;
            let (field, after) = (&after[..end], &after[end + 1..]);
            let place = Place::read(field, line).map_err(|why| format!("line {line}: {{{field}}}: {why}"))?;
            places.push((std::mem::take(&mut before), place));
            rest = after;
        }
        Ok(Letter { places, end: before + rest })
    }

    pub(crate) fn places(&self) -> impl ExactSizeIterator<Item = Place> {
        self.places.iter().map(|(_, place)| *place)
    }

    /// The letter with each place filled in by what is asked for it.
    pub(crate) fn fill<E>(&self, mut ask: impl FnMut(Place) -> Result<Value, E>) -> Result<String, E> {
        let mut text = String::new();
        for (before, place) in &self.places {
            text.push_str(before);
            match (ask(*place)?, place.decimals) {
                (Value::Number(number), Some(decimals)) => text.push_str(&format!("{number:.decimals$}")),
                (value, _) => text.push_str(&value.to_string()),
            }
        }
        Ok(text + &self.end)
    }
}

impl Place {
    fn read(field: &str, line: usize) -> Result<Place, String> {
        let (name, decimals) = match field.split_once(':') {
            None => (field, None),
            Some((name, decimals)) => match decimals.trim().parse() {
                Ok(decimals @ 0..=20) => (name, Some(decimals)),
                _ => return Err(format!("`{decimals}` is no number of decimals, from 0 to 20")),
            },
        };
        Ok(Place { cell: name.trim().parse()?, line, decimals })
    }
}
