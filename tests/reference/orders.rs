//! The orders that the rules leave open.
//!
//! What one command sets off runs side by side, and no rule says which of two threads is the faster. So a step has as many
//! outcomes as there are orders in which the model's threads can take their turns, one question or one action at a time. What
//! was seen must be one of these, and all of it: this looks for the order in which it can have happened.

use crate::model::words::*;
use crate::model::{Model, Moved, Step};
use std::collections::HashSet;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

/// What was seen of one step: its events in their order, what each thread said in its order.
#[derive(Default)]
pub(crate) struct Observed {
    pub(crate) events: Vec<Event>,
    pub(crate) said: Vec<(Thread, Said)>,
}

/// How many places of a search are looked at. There are few threads, and each has few things to do.
const PLACES: usize = 300_000;

impl Observed {
    /// Whether that was seen, all of it and nothing else.
    pub(crate) fn is(&self, step: &Step) -> bool {
        let mut explained = Explained::new(self, true);
        explained.takes(step) && explained.is_all()
    }

    /// The state in which an order ends that explains all of this.
    pub(crate) fn explains(&self, before: &Model, command: &Command) -> Option<Model> {
        self.search(before, command, true)
    }

    /// Whether there is an order that explains all of this, though more is to come.
    pub(crate) fn may_go_on(&self, before: &Model, command: &Command) -> bool {
        self.search(before, command, false).is_some()
    }

    /// First those orders in which everybody who looks finds the answers to all of its questions at once. Then those in which
    /// others move between two questions; who waits can have asked some of them before the command was given.
    fn search(&self, before: &Model, command: &Command, whole: bool) -> Option<Model> {
        [false, true].into_iter().find_map(|split| {
            let mut search = Search { split, whole, seen: HashSet::default() };
            let befores = if split { before.looks_of_before() } else { vec![before.clone()] };
            befores.into_iter().find_map(|mut begun| {
                let mut explained = Explained::new(self, whole);
                begun.begins(command);
                if explained.takes(&begun.takes()) { search.from(&begun, &explained) } else { None }
            })
        })
    }
}

/// How much of what was seen has been explained.
#[derive(Clone)]
struct Explained<'a> {
    observed: &'a Observed,
    whole: bool,
    events: Vec<bool>,
    said: Vec<bool>,
    /// What ought to have been seen and was not, and is to come.
    to_come: Step,
}

impl<'a> Explained<'a> {
    fn new(observed: &'a Observed, whole: bool) -> Self {
        let (events, said) = (vec![false; observed.events.len()], vec![false; observed.said.len()]);
        Self { observed, whole, events, said, to_come: Step::default() }
    }

    /// Whether what comes of an action is what was seen next.
    fn takes(&mut self, step: &Step) -> bool {
        step.events.iter().all(|event| self.takes_event(event)) && step.said.iter().all(|said| self.takes_said(said))
    }

    fn takes_event(&mut self, event: &Event) -> bool {
        if self.to_come.events.iter().any(|before| is_ordered(before, event)) {
            self.to_come.events.push(event.clone());
            return true;
        }
        for (at, seen) in self.observed.events.iter().enumerate() {
            if self.events[at] {
                continue;
            }
            if seen == event {
                self.events[at] = true;
                return true;
            }
            if is_ordered(seen, event) {
                return false;
            }
        }
        self.to_come.events.push(event.clone());
        !self.whole
    }

    fn takes_said(&mut self, said: &(Thread, Said)) -> bool {
        let next = (0..self.said.len()).find(|at| !self.said[*at] && self.observed.said[*at].0 == said.0);
        if let Some(at) = next {
            self.said[at] = self.observed.said[at].1 == said.1;
            return self.said[at];
        }
        self.to_come.said.push(said.clone());
        !self.whole
    }

    fn is_all(&self) -> bool {
        self.events.iter().chain(&self.said).all(|explained| *explained)
    }
}

struct Search {
    split: bool,
    whole: bool,
    seen: HashSet<u64, BuildHasherDefault<DefaultHasher>>,
}

impl Search {
    fn from(&mut self, model: &Model, explained: &Explained<'_>) -> Option<Model> {
        if !self.whole && explained.is_all() {
            return Some(model.clone());
        }
        let place = self.seen.hasher().hash_one((model, &explained.events, &explained.said));
        if !self.seen.insert(place) || self.seen.len() > PLACES {
            return None;
        }
        let mut ends = true;
        for thread in 0..model.threads.len() {
            let mut next = model.clone();
            let moved = if self.split {
                next.goes_on(thread)
            } else {
                next.looks_afresh();
                if next.goes_until_it_acts(thread) { Moved::Acted } else { Moved::Nothing }
            };
            let step = next.takes();
            let acted = moved == Moved::Acted || !step.events.is_empty() || !step.said.is_empty();
            if !acted && moved == Moved::Nothing {
                continue;
            }
            ends &= !acted;
            let mut explained = explained.clone();
            if explained.takes(&step)
                && let Some(found) = self.from(&next, &explained)
            {
                return Some(found);
            }
        }
        for first in model.stuck() {
            let mut next = model.clone();
            if next.tells_of_a_deadlock(first) {
                ends = false;
                let mut explained = explained.clone();
                if explained.takes(&next.takes())
                    && let Some(found) = self.from(&next, &explained)
                {
                    return Some(found);
                }
            }
        }
        let mut rests = model.clone();
        rests.looks_afresh();
        (ends && explained.is_all() && (!self.split || rests.is_at_rest())).then_some(rests)
    }
}

/// Whether the rules say which of two steps of one apartment comes first, when one command has led to both: what one thread
/// does, what happens to one call, and what changes the mailbox. Of what belongs to no apartment each thread's is in order.
fn is_ordered(one: &Event, other: &Event) -> bool {
    let of_the_mailbox = |event: &Event| {
        matches!(
            event.what,
            What::Queued { .. }
                | What::Began { .. }
                | What::Revoked { .. }
                | What::DoorClosed
                | What::ApartmentEnded { .. }
        )
    };
    let call = |event: &Event| event.call.map(|(call, ..)| call);
    one.apartment == other.apartment
        && (one.thread == other.thread
            || one.apartment.is_some()
                && (call(one).is_some() && call(one) == call(other) || of_the_mailbox(one) && of_the_mailbox(other)))
}
