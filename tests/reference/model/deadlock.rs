//! Deadlock: when nobody in a cycle can go on, and who is told (rules DL-1, DL-2).

use super::mailbox::Scope;
use super::words::*;
use super::{Frame, Model, Phase};

impl Model {
    /// If there are threads that can never go on, one of a ring is told: the one whose wait began last, of those whose call has
    /// not started. False if everybody can go on, or waits for somebody who can. Which ring, if there are several, is
    /// whoever's who slept last: `first` is the thread from which they are looked for.
    pub(crate) fn tells_of_a_deadlock(&mut self, first: Thread) -> bool {
        let stuck = self.stuck();
        let from = |thread: &&Thread| **thread >= first;
        let Some(ring) = stuck.iter().filter(from).find_map(|thread| self.ring(*thread, &stuck)) else { return false };
        let not_started = |call: &Call| matches!(self.calls[call].phase, Phase::Queued | Phase::InLine);
        let waits = ring.iter().filter_map(|thread| self.waits_for(*thread));
        let told = waits.filter(not_started).max_by_key(|call| self.calls[call].made);
        let call = told.expect("of those in a ring, one waits for what has not started");
        let (to, thread) = (self.calls[&call].to, self.calls[&call].thread);
        let post = self.calls[&call].kind == Kind::OneWay;
        match self.apartments[to].entries.iter().position(|entry| entry.call == call) {
            Some(at) => drop(self.unqueue(to, at, thread)),
            None => self.apartments[to].line.retain(|waiting| *waiting != call),
        }
        self.call_mut(call).phase = Phase::Failed(Failure::Deadlock);
        if !post {
            let queued = self.queued(to);
            self.tells_there(call, thread, What::Revoked { why: Why::Deadlock, queued });
        }
        self.tells_at_home(call, What::Deadlock);
        true
    }

    /// The threads that can never go on: all that wait, less those that go on by themselves, less whom those keep waiting, and
    /// so on. Who is on its way to look, for a deadline of a call below or for what it holds, is still one of them.
    pub(crate) fn stuck(&self) -> Vec<Thread> {
        let mut stuck: Vec<Thread> = (0..self.threads.len()).filter(|thread| self.blocker(*thread).is_some()).collect();
        loop {
            let still = stuck.clone();
            stuck.retain(|thread| self.blocker(*thread).is_some_and(|other| still.contains(&other)));
            if stuck.len() == still.len() {
                return stuck;
            }
        }
    }

    /// The threads of a ring through that one.
    fn ring(&self, from: Thread, stuck: &[Thread]) -> Option<Vec<Thread>> {
        let mut ring = vec![from];
        for _ in stuck {
            let next = self.blocker(*ring.last()?)?;
            if next == from {
                return Some(ring);
            }
            ring.push(next);
        }
        None
    }

    /// What a thread's innermost wait is for.
    fn waits_for(&self, thread: Thread) -> Option<Call> {
        match self.threads[thread].stack.last()? {
            Frame::Waits { call, .. } | Frame::WaitsForRoom { call, until: None, .. } => Some(*call),
            _ => None,
        }
    }

    /// Who has to go on before that thread can; none if it needs nobody. A wait that ends by itself is no edge.
    fn blocker(&self, thread: Thread) -> Option<Thread> {
        let call = self.waits_for(thread)?;
        let state = &self.calls[&call];
        let has_end = state.deadline.is_some() && self.is_open(call);
        let leaves_line = state.room_until.is_some() && state.phase == Phase::InLine;
        if has_end || leaves_line {
            return None;
        }
        let owner = self.apartments[state.to].thread;
        match state.phase {
            // It goes on when what stands above its callee's frame has ended (rule DI-6).
            Phase::Running => Some(owner),
            Phase::Queued if self.lets_in(owner, call) => None,
            Phase::InLine => {
                let room = self.apartments[state.to].entries.iter().filter(|entry| entry.room);
                let has_end = |call: Call| self.calls[&call].deadline.is_some();
                let mut comes = room.map(|entry| has_end(entry.call) || self.lets_in(owner, entry.call));
                let held = state.kind != Kind::OneWay && !self.lets_in(owner, call);
                if !held && comes.any(|comes| comes) { None } else { Some(owner) }
            }
            Phase::Queued => Some(owner),
            _ => None,
        }
    }

    /// Whether the innermost wait of an apartment's thread lets a call in.
    fn lets_in(&self, owner: Thread, call: Call) -> bool {
        let scope = self.scope(owner, self.waits_open(owner), true, false);
        self.dispatches_nothing(owner).is_none() && (scope == Scope::Everything || self.admits(call, scope))
    }
}
