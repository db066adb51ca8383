//! What the ghost keeps of what it is told.

use super::judge::Moment;
use super::{At, Call, Kind, On, Party, Sent};
use apartment::{Deadlock, Reentrancy};
use loom::thread::{ThreadId, current};
use std::sync::Arc;

pub(super) struct Apartment {
    pub(super) name: String,
    /// None: the MTA.
    pub(super) policy: Option<Reentrancy>,
    pub(super) threads: usize,
    pub(super) capacity: usize,
    /// Its door is closed.
    pub(super) closing: bool,
}

pub(super) struct Thread {
    pub(super) name: String,
    pub(super) id: Option<ThreadId>,
    pub(super) at: Option<At>,
    /// Whose thread it was, if it has left.
    pub(super) was_at: Option<At>,
    pub(super) is_of_pool: bool,
    /// What it is in, innermost last.
    pub(super) stack: Vec<Frame>,
    /// When it last was stuck in the wait that it is in.
    pub(super) stuck: Option<Arc<Moment>>,
    /// Whether it is since then that nobody has been told, or has taken a hand in it from outside.
    pub(super) undisturbed: bool,
}

#[derive(Clone, Copy)]
pub(super) enum Frame {
    Serves(Call),
    Waits(On),
}

pub(super) struct Entry {
    pub(super) sent: Sent,
    pub(super) chain: usize,
    pub(super) needs_room: bool,
    /// It ends by itself, if it has not begun.
    pub(super) ends: bool,
    pub(super) stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Sent,
    Begun(Party),
    Over,
}

#[derive(Default)]
pub(crate) struct State {
    pub(super) apartments: Vec<Apartment>,
    pub(super) threads: Vec<Thread>,
    pub(super) calls: Vec<Entry>,
    pub(super) chains: usize,
    pub(super) objects: u32,
    pub(super) cancels: Vec<bool>,
    pub(super) disconnected: Vec<u32>,
    pub(super) meddling: usize,
    pub(super) told: usize,
    pub(super) failed: Option<String>,
}

impl Thread {
    pub(super) fn waits(&self) -> Option<On> {
        match self.stack.last() {
            Some(Frame::Waits(on)) => Some(*on),
            _ => None,
        }
    }
}

impl State {
    pub(super) fn apartment(&mut self, name: &str, policy: Option<Reentrancy>, threads: usize, capacity: usize) -> At {
        let name = name.to_owned();
        self.apartments.push(Apartment { name, policy, threads, capacity, closing: false });
        At(self.apartments.len() - 1)
    }

    pub(super) fn thread(&mut self, name: String, at: Option<At>, id: Option<ThreadId>) -> usize {
        let is_of_pool = at.is_some_and(|At(at)| self.apartments[at].policy.is_none());
        self.threads.push(Thread {
            name,
            id,
            at,
            was_at: None,
            is_of_pool,
            stack: Vec::new(),
            stuck: None,
            undisturbed: false,
        });
        self.threads.len() - 1
    }

    pub(super) fn calling(&mut self) -> usize {
        let id = Some(current().id());
        let known = self.threads.iter().position(|thread| thread.id == id);
        known.unwrap_or_else(|| self.thread(format!("thread {:?}", current().id()), None, id))
    }

    pub(super) fn innermost(&mut self) -> Option<Frame> {
        let by = self.calling();
        self.threads[by].stack.last().copied()
    }

    /// An STA's thread, until that has left.
    pub(super) fn owner(&self, at: At) -> Option<usize> {
        self.threads.iter().position(|thread| thread.at == Some(at))
    }

    /// That handle's calls end by themselves.
    pub(crate) fn cancelled(&mut self, handle: u32) {
        self.cancels[handle as usize] = true;
    }

    /// No call on that object begins any more.
    pub(crate) fn disconnected(&mut self, object: u32) {
        self.disconnected.push(object);
    }

    /// Nobody new comes in there.
    pub(crate) fn closed(&mut self, At(at): At) {
        self.apartments[at].closing = true;
    }

    /// The calling thread is in no apartment any more.
    pub(crate) fn left(&mut self, at: At) {
        self.closed(at);
        if let Some(owner) = self.owner(at) {
            self.threads[owner].was_at = self.threads[owner].at.take();
        }
    }

    pub(super) fn send(&mut self, by: usize, sent: Sent) -> Call {
        let served = self.served(by).map(|call| &self.calls[call.0]);
        let (chain, deadline, cancel) = match served {
            Some(served) if sent.kind != Kind::Post => (served.chain, served.sent.has_deadline, served.sent.cancel),
            _ => {
                self.chains += 1;
                (self.chains, false, None)
            }
        };
        let sent = Sent { has_deadline: sent.has_deadline || deadline, cancel: sent.cancel.or(cancel), ..sent };
        let is_callback =
            sent.kind == Kind::Call && self.threads_at(sent.to).any(|at| self.out(at).any(|out| out == chain));
        let needs_room = sent.kind != Kind::InputSynchronized && !is_callback;
        let ends = self.apartments[sent.to.0].closing && !is_callback;
        self.calls.push(Entry { sent, chain, needs_room, ends, stage: Stage::Sent });
        Call(self.calls.len() - 1)
    }

    pub(super) fn begins(&mut self, call: Call) {
        let to = self.calls[call.0].sent.to;
        let id = Some(current().id());
        let by = match self.threads.iter().position(|thread| thread.id == id) {
            Some(known) => known,
            None if self.apartments[to.0].policy.is_some() => {
                self.owner(to).expect("whose thread has left serves nothing")
            }
            None => {
                let name = format!("pool thread {}", self.threads_at(to).count() + 1);
                self.thread(name, Some(to), id)
            }
        };
        self.threads[by].id = id;
        if self.threads[by].waits().is_some() && !self.lets_in(by, call) {
            self.fail(format!("{} let in what its wait holds back", self.threads[by].name));
        }
        self.calls[call.0].stage = Stage::Begun(Party(by));
        self.threads[by].stack.push(Frame::Serves(call));
        self.look();
    }

    pub(super) fn waits(&mut self, by: usize, on: On) {
        self.threads[by].stack.push(Frame::Waits(on));
        (self.threads[by].stuck, self.threads[by].undisturbed) = (None, false);
        self.look();
    }

    pub(super) fn ends_wait(&mut self, told: Option<&Deadlock>) {
        let by = self.calling();
        match told {
            Some(deadlock) => {
                self.told += 1;
                if let Err(wrong) = self.judge(by, deadlock) {
                    self.fail(wrong);
                }
                // Who depended on it is stuck only if it still is when this one has gone on.
                for thread in &mut self.threads {
                    if thread.stuck.as_ref().is_some_and(|moment| moment.is_stuck(by)) {
                        thread.stuck = None;
                    }
                }
                self.disturb();
            }
            // It may have been on its way when the door was closed.
            None if self.threads[by].undisturbed && !self.waits_at_a_closed_door(by) => {
                self.fail(format!("{} went on, though by the rules it never could", self.threads[by].name));
            }
            None => {}
        }
        self.threads[by].stack.pop();
        self.threads[by].stuck = None;
        self.look();
    }

    fn waits_at_a_closed_door(&self, at: usize) -> bool {
        match self.threads[at].waits() {
            Some(On::Reply(call) | On::Room(call)) => self.apartments[self.calls[call.0].sent.to.0].closing,
            _ => false,
        }
    }

    /// Somebody goes on who could not by itself: it was told, or another has cancelled its call.
    pub(super) fn disturb(&mut self) {
        self.threads.iter_mut().for_each(|thread| thread.undisturbed = false);
    }

    pub(super) fn fail(&mut self, why: String) {
        // A panic of here would be caught with the method it is in.
        let waits: Vec<_> = (0..self.threads.len()).map(|at| self.describe(at)).collect();
        self.failed.get_or_insert(format!("{why}: {}", waits.join("; ")));
    }

    pub(super) fn describe(&self, at: usize) -> String {
        let on = |on| match on {
            On::Reply(Call(of)) => {
                let Entry { sent, stage, .. } = &self.calls[of];
                let stage = match stage {
                    Stage::Sent => "that has not begun",
                    Stage::Begun(_) => "that has begun",
                    Stage::Over => "that is over",
                };
                format!("a call of {} {stage}", self.apartments[sent.to.0].name)
            }
            On::Room(Call(of)) => format!("room at {}", self.apartments[self.calls[of].sent.to.0].name),
            On::End(At(of)) => format!("the end of {}", self.apartments[of].name),
            On::Calls(At(of), _) => format!("calls on an object of {}", self.apartments[of].name),
            On::Worker(Party(of)) => format!("the end of {}", self.threads[of].name),
            On::Anybody => "what anybody may do".to_owned(),
        };
        let thread = &self.threads[at];
        format!(
            "{} {}",
            thread.name,
            thread.waits().map_or("waits for nothing".to_owned(), |of| format!("waits for {}", on(of)))
        )
    }
}
