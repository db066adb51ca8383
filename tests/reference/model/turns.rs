//! Turns: what a thread does when it is let go on, in steps between which others can move.

use super::words::*;
use super::{Frame, Model};

/// How far a thread that waits has come with its look. Others can move between two questions: what it has found is what
/// was then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Look {
    /// Is what it waits for there?
    Afresh,
    /// Is a call of this stack cancelled, or past its deadline? And whether one was.
    Cancels(bool),
    /// Is there something to serve?
    Serves,
}

/// What a thread has done that was let go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moved {
    /// There is nothing for it to do.
    Nothing,
    /// It has asked itself one more question.
    Looked,
    Acted,
}

impl Moved {
    fn acted(acted: bool) -> Self {
        if acted { Self::Acted } else { Self::Nothing }
    }
}

impl Model {
    /// Lets all threads go on until each is in its own code, or waits.
    pub(super) fn settle(&mut self) {
        loop {
            let mut moved = false;
            for thread in 0..self.threads.len() {
                moved |= self.goes_as_far_as_it_can(thread);
            }
            // Only when nobody moves any more is it known who cannot (rule DL-1).
            if !moved && !self.tells_of_a_deadlock(0) {
                return;
            }
        }
    }

    /// Whether it has done anything but look, or has told anything.
    fn goes_as_far_as_it_can(&mut self, thread: Thread) -> bool {
        let told = self.told.len();
        let mut moved = false;
        loop {
            match self.goes_on(thread) {
                Moved::Nothing => return moved || self.told.len() > told,
                Moved::Looked => {}
                Moved::Acted => moved = true,
            }
        }
    }

    /// Lets a thread do the next thing.
    pub(crate) fn goes_on(&mut self, thread: Thread) -> Moved {
        if let Some(call) = self.threads[thread].begins.take() {
            self.looks_where_it_is(thread, call);
            return Moved::Acted;
        }
        let Some(frame) = self.threads[thread].stack.last().cloned() else { return Moved::Nothing };
        match frame {
            Frame::Base | Frame::Serves { .. } | Frame::Asked { .. } | Frame::AskedAgain { .. } => Moved::Nothing,
            Frame::Loop { wait } | Frame::Leave { wait } => {
                let leaves = matches!(frame, Frame::Leave { .. });
                Moved::acted(self.serve_one(thread, wait) || self.ends(thread, leaves))
            }
            Frame::Pump { wait, left, round, served } => Moved::acted(self.pumps(thread, wait, left, round, served)),
            Frame::ServesFirst { call, wait, left } => Moved::acted(self.serves_first(thread, call, wait, left)),
            Frame::Waits { .. } | Frame::WaitsToRetry { .. } | Frame::WaitsForRoom { .. } => self.looks(thread, &frame),
        }
    }

    /// A wait looks, in this order: is what it waits for there? is a call of this stack cancelled, or past its deadline? is
    /// there something to serve? (rules DI-5, DI-9) If nothing of that, it sleeps, and looks again when it is woken.
    fn looks(&mut self, thread: Thread, frame: &Frame) -> Moved {
        match self.threads[thread].look {
            Look::Afresh => {
                let over = match *frame {
                    Frame::Waits { call, in_line, .. } => self.waits(thread, call, in_line),
                    Frame::WaitsToRetry { call, .. } => self.waits_to_retry(thread, call),
                    Frame::WaitsForRoom { call, .. } => self.waits_for_room(thread, call),
                    _ => false,
                };
                if over {
                    return Moved::Acted;
                }
                self.threads[thread].look = Look::Cancels(false);
                Moved::Looked
            }
            Look::Cancels(any) => {
                let attends = self.attends(thread);
                self.threads[thread].look = match (attends, any) {
                    (true, _) => Look::Cancels(true),
                    (false, true) => Look::Afresh,
                    (false, false) => Look::Serves,
                };
                if attends { Moved::Acted } else { Moved::Looked }
            }
            Look::Serves => {
                self.threads[thread].look = Look::Afresh;
                let over = match *frame {
                    Frame::WaitsToRetry { call, until, .. } => self.is_time_to_retry(thread, call, until),
                    Frame::WaitsForRoom { call, until, .. } => self.has_waited_for_room(thread, call, until),
                    _ => false,
                };
                let (Frame::Waits { wait, .. } | Frame::WaitsToRetry { wait, .. } | Frame::WaitsForRoom { wait, .. }) =
                    *frame
                else {
                    return Moved::Nothing;
                };
                Moved::acted(over || self.serve_one(thread, wait))
            }
        }
    }

    /// Until it has done one thing. False if there is nothing to do.
    pub(crate) fn goes_until_it_acts(&mut self, thread: Thread) -> bool {
        loop {
            match self.goes_on(thread) {
                Moved::Looked => {}
                moved => return moved == Moved::Acted,
            }
        }
    }

    /// Whether nobody has anything to do, or to tell.
    pub(crate) fn is_at_rest(&self) -> bool {
        let rests = |thread: Thread| {
            let mut model = self.clone();
            model.looks_afresh();
            !model.goes_as_far_as_it_can(thread)
        };
        (0..self.threads.len()).all(rests) && self.stuck().is_empty()
    }

    /// This state, and those that differ from it by nothing but how far the threads that wait have come with a look that finds
    /// nothing.
    pub(crate) fn looks_of_before(&self) -> Vec<Self> {
        let mut all = vec![self.clone()];
        for thread in 0..self.threads.len() {
            let mut next = self.clone();
            let mut looks = vec![Look::Afresh];
            while next.goes_on(thread) == Moved::Looked {
                looks.push(next.threads[thread].look);
            }
            let with = |model: &Self, look: &Look| {
                let mut model = model.clone();
                model.threads[thread].look = *look;
                model
            };
            all = all.iter().flat_map(|model| looks.iter().map(move |look| with(model, look))).collect();
        }
        all
    }

    /// Nobody has begun to look.
    pub(crate) fn looks_afresh(&mut self) {
        self.threads.iter_mut().for_each(|thread| thread.look = Look::Afresh);
    }
}
