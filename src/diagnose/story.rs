//! From events to a scene: who is drawn, which events get a row of their own, and which say more of the row before.
//!
//! The frames that are open on a thread follow from each event's `frame`, so a beginning or an end that was lost costs no
//! more than its own band.

use super::canonical::ordered;
use super::cast::Cast;
use super::diagram::{Diagram, Topic};
use super::event::{CallRef, Event, WaitFor, What};
use super::scene::{Band, Head, Row, Scene, Shape, State};
use super::words;
use crate::id::{ApartmentId, CallId};
use std::collections::{HashMap, HashSet};
use std::time::Duration;

/// The scene that a diagram shows.
pub(super) fn scene(diagram: &Diagram) -> Scene {
    let events = ordered(&diagram.events, diagram.since);
    let is_told = |what: &What| match what {
        // That a pool gets one more thread for a call is no news of its own.
        What::ThreadEntered { .. } => diagram.shows(Topic::Lives, true),
        // When a caller sees that it has room, be it that it has its answer already, is not fixed.
        What::WaitTurned { on, .. } => diagram.shows(Topic::Waits, *on != WaitFor::Room),
        _ => true,
    };
    let mut story = Story::new(diagram, Cast::of(&events, is_told));
    for (place, event) in events.iter().enumerate() {
        story.visible = event.seq > diagram.since;
        story.at = story.at.max(event.at);
        story.place = place;
        story.tell(event);
    }
    story.close()
}

/// Something that is open on a thread.
pub(super) struct Open {
    pub(super) frame: u16,
    pub(super) from: usize,
    pub(super) state: State,
    pub(super) call: Option<CallId>,
    /// What it is, for those that never end.
    pub(super) what: String,
}

pub(super) struct Story<'a> {
    pub(super) diagram: &'a Diagram,
    pub(super) cast: Cast<'a>,
    pub(super) scene: Scene,
    pub(super) open: Vec<Vec<Open>>,
    /// Since which row a thread is there.
    pub(super) there: Vec<Option<usize>>,
    /// The rows in which calls came to their callees, that begin with them.
    pub(super) asked: HashMap<CallId, usize>,
    /// The rows in which calls were answered, whose callers come back with them.
    pub(super) answered: HashMap<CallId, usize>,
    /// The row in which a call was last asked to be cancelled.
    pub(super) cancelled: Option<(CallId, usize)>,
    pub(super) held: HashSet<CallId>,
    pub(super) place: usize,
    pub(super) at: Duration,
    pub(super) visible: bool,
}

impl<'a> Story<'a> {
    pub(super) fn new(diagram: &'a Diagram, cast: Cast<'a>) -> Self {
        let lanes = cast.threads.len();
        let open = (0..lanes).map(|_| Vec::new()).collect();
        Self {
            diagram,
            cast,
            scene: Scene::default(),
            open,
            there: vec![None; lanes],
            asked: HashMap::new(),
            answered: HashMap::new(),
            cancelled: None,
            held: HashSet::new(),
            place: 0,
            at: Duration::ZERO,
            visible: false,
        }
    }

    /// The row that comes next.
    pub(super) fn next_row(&self) -> usize {
        self.scene.rows.len() + 1
    }

    /// Adds a row, unless it is not to be shown.
    pub(super) fn row(&mut self, (topic, detail): (Topic, bool), shape: Shape, reason: impl Into<String>) -> bool {
        let shown = self.visible && self.diagram.shows(topic, detail);
        if shown {
            self.scene.rows.push(Row { at: self.at, shape, reason: reason.into(), more: Vec::new() });
        }
        shown
    }

    pub(super) fn mark(&mut self, topic: (Topic, bool), lane: usize, reason: impl Into<String>) -> bool {
        self.row(topic, Shape::Mark { lane, failed: false }, reason)
    }

    pub(super) fn failure(&mut self, topic: (Topic, bool), lane: usize, reason: impl Into<String>) -> bool {
        self.row(topic, Shape::Mark { lane, failed: true }, reason)
    }

    /// An arrow; a mark where it would end where it begins, or nobody knows where it goes.
    pub(super) fn arrow(
        &mut self,
        topic: Topic,
        ends: (usize, Option<usize>),
        head: Head,
        label: String,
        reason: String,
    ) -> bool {
        match ends {
            (from, Some(to)) if from != to => self.row((topic, false), Shape::Arrow { from, to, head, label }, reason),
            (from, _) => {
                let reason = if reason.is_empty() { label } else { format!("{label}: {reason}") };
                self.row((topic, false), Shape::Mark { lane: from, failed: head == Head::Refused }, reason)
            }
        }
    }

    /// Says more of a row.
    pub(super) fn add(&mut self, row: usize, more: &str) {
        let says_so = |row: &&mut Row| more.is_empty() || row.reason.ends_with(more);
        if let Some(row) = self.scene.rows.get_mut(row.wrapping_sub(1)).filter(|row| !says_so(row)) {
            let between = if row.reason.is_empty() { "" } else { "; " };
            row.reason.push_str(between);
            row.reason.push_str(more);
        }
    }

    /// A call has come to its callee, in the last row: what comes of it at once is in that row.
    pub(super) fn came(&mut self, call: CallRef, callee: Option<usize>, apartment: Option<ApartmentId>) {
        let row = self.scene.rows.len();
        if callee.is_some_and(|callee| self.cast.goes_on(call, callee, apartment, self.place)) {
            self.asked.insert(call.id, row);
        } else {
            self.asked.remove(&call.id);
        }
    }

    /// A call was answered, in the last row: so is its caller's return, if that is next.
    pub(super) fn answers(&mut self, call: CallRef, caller: usize) {
        if self.cast.comes_back(call, caller, self.place) {
            self.answered.insert(call.id, self.scene.rows.len());
        }
    }

    pub(super) fn begin(&mut self, lane: usize, event: &Event, from: usize, state: State, what: String) {
        let call = event.call.map(|call| call.id);
        self.open[lane].push(Open { frame: event.frame, from, state, call, what });
    }

    /// Closes what is open above that depth; `to` is the first row that it no longer covers.
    pub(super) fn close_above(&mut self, lane: usize, depth: u32, to: usize) {
        while let Some(open) = self.open[lane].pop_if(|open| u32::from(open.frame) >= depth) {
            self.scene.bands.push(Band { lane, from: open.from, to, state: open.state });
        }
    }

    pub(super) fn tell(&mut self, event: &Event) {
        if let What::Lost { count } = event.what {
            let lost =
                format!("{} lost here", words::count(usize::try_from(count).unwrap_or(usize::MAX), "event", "events"));
            self.row((Topic::Notes, false), Shape::Line, lost);
            return;
        }
        let lane = self.cast.lanes[&event.thread];
        let next = self.next_row();
        let before = if self.visible { next } else { 0 };
        // A pool's threads come when they do. Unless that is shown, each is there from what it does first.
        if self.diagram.shows(Topic::Lives, true) || !matches!(event.what, What::ThreadEntered { .. }) {
            self.there[lane].get_or_insert(before);
        }
        self.settle(event, lane);
        match (event.call, &event.what) {
            (_, What::Deadlock(deadlock)) => {
                if self.failure((Topic::Faults, false), lane, "deadlock: nobody here can go on") {
                    self.scene.rows.last_mut().into_iter().for_each(|row| row.more = words::ring(deadlock));
                    event.call.into_iter().for_each(|call| self.answers(call, lane));
                }
            }
            (Some(call), _) => self.tell_of_call(event, lane, call),
            (None, _) => self.tell_of_others(event, lane),
        }
        if self.cast.last[lane].0 == event.seq {
            let foreign = !self.cast.homes.contains_key(&lane);
            if self.cast.last[lane].1 || foreign && self.open[lane].is_empty() {
                self.leaves(lane);
            }
        }
    }

    /// Closes what must have ended before this event, by the depth at which its thread stands.
    pub(super) fn settle(&mut self, event: &Event, lane: usize) {
        let frame = u32::from(event.frame);
        let begins = matches!(event.what, What::Began { .. } | What::MessageBegan { .. } | What::WaitBegan { .. });
        // Steps of a call that is out stand at the depth of its wait, or within it; its end is told later.
        let of = event.call.map(|call| call.id);
        let same = |open: &Open| open.frame == event.frame && open.call == of;
        let stays = !begins && self.open[lane].iter().rev().any(same);
        self.close_above(lane, if stays { frame + 1 } else { frame }, self.next_row());
    }

    pub(super) fn leaves(&mut self, lane: usize) {
        let to = self.next_row();
        self.close_above(lane, 0, to);
        if let Some(from) = self.there[lane].take() {
            self.scene.bands.push(Band { lane, from, to, state: State::There });
        }
    }
}
