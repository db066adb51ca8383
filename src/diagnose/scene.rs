//! What a picture of a recording shows, before it has a form: who stands where, what each does when, and what goes from one
//! to another. Text is one form of it; every form is made from this alone, and this from the events alone (rule DG-3).

use std::time::Duration;

/// A picture: its lanes from left to right, its rows from top to bottom, and what the lanes do over which rows.
#[derive(Debug, Default)]
pub(super) struct Scene {
    pub(super) lanes: Vec<Lane>,
    pub(super) rows: Vec<Row>,
    /// Outer ones before those within them.
    pub(super) bands: Vec<Band>,
}

/// A thread.
#[derive(Debug)]
pub(super) struct Lane {
    /// The apartment's name whose thread it is, if it is one's.
    pub(super) name: String,
}

/// One thing that happened.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) at: Duration,
    pub(super) shape: Shape,
    /// What is to be said of it; may be empty.
    pub(super) reason: String,
    /// What is to be said below that, line by line.
    pub(super) more: Vec<String>,
}

/// How it is drawn.
#[derive(Debug)]
pub(super) enum Shape {
    /// Something goes from one lane to another.
    Arrow { from: usize, to: usize, head: Head, label: String },
    /// Something happens on one lane; a failure, if it is one.
    Mark { lane: usize, failed: bool },
    /// Something concerns them all.
    Line,
}

/// What goes from one lane to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Head {
    /// A call that its caller waits for.
    Call,
    /// What nobody waits for: a post, a message, a cancel, a word to quit.
    OneWay,
    /// An answer.
    Answer,
    /// A call that does not arrive.
    Refused,
}

/// What a lane does from one row to another. Rows count from 1; 0 is what was before the first.
#[derive(Debug)]
pub(super) struct Band {
    pub(super) lane: usize,
    pub(super) from: usize,
    /// The first row that it no longer covers.
    pub(super) to: usize,
    pub(super) state: State,
}

/// What a lane does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum State {
    /// Not there: not yet, or no longer.
    #[default]
    Away,
    /// There: idle in its loop, or at work that nobody asked it for.
    There,
    /// It serves a call or a message.
    Serves,
    /// It waits, and lets in what may come in.
    Pumps,
    /// It waits, and lets in nothing.
    Blocks,
}

impl Scene {
    /// What each lane does at a row, for all rows: `0` before the first.
    pub(super) fn states(&self) -> Vec<Vec<State>> {
        let mut states = vec![vec![State::Away; self.lanes.len()]; self.rows.len() + 1];
        for band in &self.bands {
            for row in band.from.min(states.len())..band.to.min(states.len()) {
                states[row][band.lane] = band.state;
            }
        }
        states
    }
}
