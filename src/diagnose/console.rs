//! A scene as text for a console: columns of characters, measured in the cells that a terminal gives them.

use super::placing::numbered;
use super::scene::{Head, Row, Scene, Shape, State};
use super::words;
use std::fmt::{self, Write};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// What is longer is cut.
const NAME: usize = 20;
const LABEL: usize = 32;
const REASON: usize = 90;

/// The least room between two lanes, and what an arrow needs besides its label.
const GAP: usize = 7;
const SHAFT: usize = 6;

/// Draws the lanes' names, the rows, and what the lines mean.
pub(super) fn draw(scene: &Scene, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if scene.rows.is_empty() {
        return f.write_str("nothing happened\n");
    }
    let page = Page::of(scene);
    let mut names = Line::default();
    for (name, lane) in page.names.iter().zip(&page.lanes) {
        names.put(lane - (name.width() / 2).min(*lane), name);
    }
    names.write(f)?;
    let states = scene.states();
    let mut told = None;
    for (row, at) in scene.rows.iter().zip(1..) {
        let mut line = Line::default();
        let time = words::time(row.at);
        if told.as_ref() != Some(&time) {
            line.put(page.times - time.width(), &time);
            told = Some(time);
        }
        page.row(&mut line, row, &states[at - 1], &states[at]);
        line.write(f)?;
        for more in &row.more {
            let mut line = Line::default();
            page.bars(&mut line, |lane| states[at][lane]);
            line.put(page.reasons, &cut(more, REASON));
            line.write(f)?;
        }
    }
    Ok(())
}

/// Where things stand.
struct Page {
    names: Vec<String>,
    /// The columns of the lanes.
    lanes: Vec<usize>,
    /// Where the times end, and the reasons begin.
    times: usize,
    reasons: usize,
}

impl Page {
    fn of(scene: &Scene) -> Self {
        // Cut names may be equal again.
        let names = numbered(scene.lanes.iter().map(|lane| cut(&lane.name, NAME)).collect());
        let times = scene.rows.iter().map(|row| words::time(row.at).width()).max().unwrap_or_default();
        let mut gaps = vec![GAP; names.len().saturating_sub(1)];
        for (gap, pair) in gaps.iter_mut().zip(names.windows(2)) {
            *gap = (*gap).max(pair[0].width().div_ceil(2) + pair[1].width() / 2 + 2);
        }
        for row in &scene.rows {
            // A label stands beside the lane that its arrow comes from.
            if let Shape::Arrow { from, to, label, .. } = &row.shape {
                let beside = if from < to { *from } else { from - 1 };
                let label = cut(label, LABEL).width();
                gaps[beside] = gaps[beside].max(if label == 0 { 0 } else { label + SHAFT });
            }
        }
        let first = times + 3 + names.first().map_or(0, |name| name.width() / 2);
        let mut lanes = vec![first];
        for gap in gaps {
            lanes.push(lanes[lanes.len() - 1] + gap + 1);
        }
        lanes.truncate(names.len());
        let reasons = lanes.last().map_or(first, |last| last + 4);
        Self { names, lanes, times, reasons }
    }

    fn row(&self, line: &mut Line, row: &Row, before: &[State], after: &[State]) {
        self.bars(line, |lane| match row.shape {
            // Who sends something does so before what comes of it.
            Shape::Arrow { from, .. } if from == lane => before[lane].or_there(),
            Shape::Arrow { to, .. } if to == lane => after[lane].or_there(),
            _ => after[lane],
        });
        match &row.shape {
            Shape::Arrow { from, to, head, label } => self.arrow(line, *from, *to, *head, label),
            Shape::Mark { lane, failed } => line.put(self.lanes[*lane], if *failed { "✗" } else { "●" }),
            Shape::Line => {
                let text = format!("── {} ", cut(&row.reason, REASON));
                let from = self.lanes.first().copied().unwrap_or(self.reasons);
                line.put(from, &text);
                (from + text.width()..self.reasons - 2).for_each(|at| line.put(at, "─"));
                return;
            }
        }
        line.put(self.reasons, &cut(&row.reason, REASON));
    }

    fn bars(&self, line: &mut Line, state: impl Fn(usize) -> State) {
        for (lane, at) in self.lanes.iter().enumerate() {
            line.put(*at, line_of(state(lane)));
        }
    }

    fn arrow(&self, line: &mut Line, from: usize, to: usize, head: Head, label: &str) {
        let rightwards = from < to;
        let (left, right) = if rightwards { (from, to) } else { (to, from) };
        let shaft = if head == Head::Answer { "╌" } else { "─" };
        let (first, last) = (self.lanes[left] + 1, self.lanes[right] - 1);
        let crossed = &self.lanes[left + 1..right];
        let there = |at: &usize| crossed.contains(at) && line.is_there(*at);
        let free: Vec<_> = (first..=last).filter(|at| !there(at)).collect();
        free.into_iter().for_each(|at| line.put(at, shaft));
        let tip = match (head, rightwards) {
            (Head::Call | Head::Answer, true) => "▶",
            (Head::Call | Head::Answer, false) => "◀",
            (Head::OneWay, true) => "▷",
            (Head::OneWay, false) => "◁",
            (Head::Refused, _) => "✗",
        };
        line.put(if rightwards { last } else { first }, tip);
        if label.is_empty() {
            return;
        }
        let label = cut(label, LABEL);
        // Beside the lane that it comes from.
        let (start, end) =
            if rightwards { (first, self.lanes[from + 1] - 1) } else { (self.lanes[from - 1] + 1, last) };
        let room = (end + 1 - start).saturating_sub(label.width() + 2);
        let shift = if rightwards { room.div_ceil(2).saturating_sub(1) } else { room / 2 + 1 };
        line.put(start + shift.min(room), &format!(" {label} "));
    }
}

impl State {
    /// Who sends or gets something is there.
    fn or_there(self) -> Self {
        if self == Self::Away { Self::There } else { self }
    }
}

fn line_of(state: State) -> &'static str {
    match state {
        State::Away => " ",
        State::There => "│",
        State::Serves => "┃",
        State::Pumps => "┆",
        State::Blocks => "╎",
    }
}

/// A line of cells. What is put later covers what was there.
#[derive(Default)]
struct Line {
    /// What begins in each cell; nothing where the character before is wider than one.
    cells: Vec<String>,
}

impl Line {
    fn put(&mut self, mut at: usize, text: &str) {
        // Characters that join are one piece, of another width than the sum of theirs.
        let (joined, sum) = (text.width(), text.chars().map(|c| c.width().unwrap_or_default()).sum::<usize>());
        if joined != sum && joined > 0 {
            self.cells.resize(self.cells.len().max(at + joined), " ".to_owned());
            self.cells[at] = text.to_owned();
            self.cells[at + 1..at + joined].fill(String::new());
            return;
        }
        for c in text.chars() {
            let width = c.width().unwrap_or_default();
            if width == 0 {
                // It belongs to the character before.
                if let Some(cell) = at.checked_sub(1).and_then(|at| self.cells.get_mut(at)) {
                    cell.push(c);
                }
                continue;
            }
            if self.cells.len() < at + width {
                self.cells.resize(at + width, " ".to_owned());
            }
            self.cells[at] = c.to_string();
            self.cells[at + 1..at + width].fill(String::new());
            at += width;
        }
    }

    fn is_there(&self, at: usize) -> bool {
        self.cells.get(at).is_some_and(|cell| cell != " ")
    }

    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.cells.concat().trim_end())
    }
}

/// What would break the line, or turn it round.
fn is_control(c: char) -> bool {
    matches!(c, '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        || c.is_control()
}

/// In one line without control characters, and cut if it is wider than that.
fn cut(text: &str, width: usize) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        if is_control(c) {
            plain.extend(c.escape_default());
        } else {
            plain.push(c);
        }
    }
    if plain.width() <= width {
        return plain;
    }
    let mut room = width.saturating_sub(1);
    let fits = |c: &char| {
        let needed = c.width().unwrap_or_default();
        let fits = needed <= room;
        room = room.saturating_sub(needed);
        fits
    };
    let mut short: String = plain.chars().take_while(fits).collect();
    let _written = short.write_char('…');
    short
}
