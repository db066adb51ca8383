//! The mailbox: what comes in, what waits for room, and what is found first.

use super::words::*;
use super::{Door, Entry, Model, Phase};

/// What a wait lets in (rule DI-12).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    Everything,
    /// The chains that are out, and that of the call that is served.
    Chains(Option<Call>),
    /// The wait for an input-synchronized call lets in others of that kind (rule CK-3).
    InputSynchronized,
    Nothing,
}

impl Model {
    /// How many entries hold room. Callbacks do not (rule MB-4).
    pub(super) fn queued(&self, apartment: Apartment) -> usize {
        self.apartments[apartment].entries.iter().filter(|entry| entry.room).count()
    }

    /// Whether the apartment has a call of that chain out.
    pub(super) fn chain_is_out(&self, apartment: Apartment, chain: Call) -> bool {
        self.out(self.apartments[apartment].thread).any(|call| self.calls[&call].chain == chain)
    }

    /// A synchronous call of a chain of which its callee has a call out.
    pub(super) fn is_callback(&self, call: Call) -> bool {
        let state = &self.calls[&call];
        state.kind != Kind::OneWay && self.chain_is_out(state.to, state.chain)
    }

    /// An entry comes in, waits for room, or is refused.
    pub(super) fn accept(&mut self, call: Call) -> Result<(), Failure> {
        let (to, thread, room) = (self.calls[&call].to, self.calls[&call].thread, self.calls[&call].room);
        let capacity = self.apartments[to].options.capacity;
        // What is past its deadline will not run, and keeps nobody out (rule MB-7).
        if self.queued(to) >= capacity {
            while let Some(expired) = self.apartments[to].entries.iter().position(|entry| {
                entry.room && self.calls[&entry.call].deadline.is_some_and(|deadline| deadline <= self.now)
            }) {
                self.revoke_queued(to, expired, Why::Deadline, thread);
            }
        }
        let callback = self.is_callback(call);
        match self.apartments[to].door {
            Door::Open => {}
            // Callbacks of chains that it waits for are let in (rule LT-2).
            Door::Closing if callback => {}
            Door::Closing => return Err(Failure::Quitting),
            Door::Ended => return Err(Failure::Ended),
        }
        let (queued, waiting) = (self.queued(to), self.apartments[to].line.len());
        if callback || self.calls[&call].kind == Kind::InputSynchronized {
            // It completes work that the apartment waits for: it needs no room (rule MB-4). The other never does (rule CK-3).
            self.enqueue(call, false, thread);
        } else if queued < capacity && waiting == 0 {
            self.enqueue(call, true, thread);
        } else if room == Room::Refuse {
            return Err(Failure::Full { queued, capacity, waiting });
        } else {
            // Nobody overtakes those that wait (rule MB-3).
            self.apartments[to].line.push_back(call);
            self.call_mut(call).phase = Phase::InLine;
        }
        Ok(())
    }

    fn enqueue(&mut self, call: Call, room: bool, by: Thread) {
        let to = self.calls[&call].to;
        self.call_mut(call).phase = Phase::Queued;
        let goes_ahead = |call: Call| self.calls[&call].kind == Kind::InputSynchronized;
        let entries = &self.apartments[to].entries;
        let ahead = entries.iter().take_while(|entry| goes_ahead(entry.call)).count();
        // Ahead of all that is queued, but for others of its kind (rule CK-3).
        let at = if goes_ahead(call) { ahead } else { entries.len() };
        self.apartments[to].entries.insert(at, Entry { call, room, held_told: 0 });
        let (queued, capacity) = (self.queued(to), self.apartments[to].options.capacity);
        self.tells_there(call, by, What::Queued { queued, capacity });
    }

    /// An entry leaves the queue. Its room goes to the first of the line (rule MB-3).
    pub(super) fn unqueue(&mut self, apartment: Apartment, at: usize, by: Thread) -> Call {
        let entry = self.apartments[apartment].entries.remove(at).expect("what was found is there");
        if entry.room {
            while self.queued(apartment) < self.apartments[apartment].options.capacity
                && let Some(next) = self.apartments[apartment].line.pop_front()
            {
                self.enqueue(next, true, by);
            }
        }
        entry.call
    }

    /// An entry is taken back before it started: its room is free at once (rule MB-7).
    pub(super) fn revoke_queued(&mut self, apartment: Apartment, at: usize, why: Why, by: Thread) {
        let call = self.unqueue(apartment, at, by);
        let state = self.call_mut(call);
        state.phase = Phase::Revoked;
        state.why = state.why.or(Some(why));
        let queued = self.queued(apartment);
        self.tells_there(call, by, What::Revoked { why, queued });
    }

    /// The first entry that may come in now. Those in front of it that may not are held, in order (rules DI-12, MB-6); that
    /// is told once per entry and wait.
    pub(super) fn first_admitted(&mut self, apartment: Apartment, scope: Scope, wait: u64) -> Option<usize> {
        let thread = self.apartments[apartment].thread;
        for at in 0..self.apartments[apartment].entries.len() {
            let Entry { call, held_told, .. } = self.apartments[apartment].entries[at];
            if self.admits(call, scope) {
                return Some(at);
            }
            if held_told != wait {
                self.apartments[apartment].entries[at].held_told = wait;
                let by = if scope == Scope::InputSynchronized { Holds::InputSynchronized } else { Holds::Policy };
                self.tells_there(call, thread, What::Held { by });
            }
        }
        None
    }

    /// A wait inside a filter's method lets in nothing (rule CK-4), nor does one inside an input-synchronized call (rule CK-3).
    pub(super) fn holds_all(&mut self, apartment: Apartment, wait: u64, by: Holds) {
        let thread = self.apartments[apartment].thread;
        for at in 0..self.apartments[apartment].entries.len() {
            let entry = &mut self.apartments[apartment].entries[at];
            let call = entry.call;
            if std::mem::replace(&mut entry.held_told, wait) != wait {
                self.tells_there(call, thread, What::Held { by });
            }
        }
    }

    pub(super) fn admits(&self, call: Call, scope: Scope) -> bool {
        match scope {
            Scope::Everything => true,
            // It comes in under every policy (rule DI-12).
            _ if self.calls[&call].kind == Kind::InputSynchronized => true,
            Scope::InputSynchronized => false,
            Scope::Chains(served) => self.is_callback(call) || served == Some(self.calls[&call].chain),
            Scope::Nothing => false,
        }
    }

    /// As what a call comes (rule MF-3).
    pub(super) fn call_type(&self, call: Call) -> CallType {
        let state = &self.calls[&call];
        let any = self.out(self.apartments[state.to].thread).next().is_some();
        match (state.kind == Kind::OneWay, any) {
            (true, false) => CallType::Async,
            (true, true) => CallType::AsyncCallPending,
            (false, false) => CallType::TopLevel,
            (false, true) if self.chain_is_out(state.to, state.chain) => CallType::Nested,
            (false, true) => CallType::TopLevelCallPending,
        }
    }
}
