//! Serving: what a thread of an apartment does with what it finds.

use super::mailbox::Scope;
use super::words::*;
use super::{Frame, Model, Phase};

impl Model {
    /// How many waits stand on a thread's stack.
    pub(super) fn waits_open(&self, thread: Thread) -> usize {
        let waits = |frame: &&Frame| {
            matches!(
                frame,
                Frame::Waits { .. }
                    | Frame::ServesFirst { .. }
                    | Frame::WaitsToRetry { .. }
                    | Frame::WaitsForRoom { .. }
            )
        };
        self.threads[thread].stack.iter().filter(waits).count()
    }

    /// Whether a filter's method runs (rule CK-4), or an input-synchronized call is served (rule CK-3), anywhere on the stack:
    /// then nothing is dispatched, and no call goes out.
    pub(super) fn dispatches_nothing(&self, thread: Thread) -> Option<Ban> {
        let stack = &self.threads[thread].stack;
        let filters = |frame: &Frame| matches!(frame, Frame::Asked { .. } | Frame::AskedAgain { .. });
        if stack.iter().any(filters) {
            return Some(Ban::Filter);
        }
        let kind = |frame: &Frame| if let Frame::Serves { call } = frame { Some(self.calls[call].kind) } else { None };
        let synchronized = |frame: &Frame| kind(frame) == Some(Kind::InputSynchronized);
        stack.iter().any(synchronized).then_some(Ban::InputSync)
    }

    /// Whether its innermost wait is for an input-synchronized call.
    fn waits_for_input_synchronized(&self, thread: Thread) -> bool {
        let top = self.threads[thread].stack.last();
        matches!(top, Some(Frame::Waits { call, .. }) if self.calls[call].kind == Kind::InputSynchronized)
    }

    /// What comes in on a thread, that many waits deep (rule DI-12); `calls`: with one more call out.
    pub(super) fn scope(&self, thread: Thread, waits: usize, in_wait: bool, calls: bool) -> Scope {
        let Some(home) = self.threads[thread].home else { return Scope::Nothing };
        if self.waits_for_input_synchronized(thread) {
            return Scope::InputSynchronized;
        }
        let Options { policy, nested_waits, .. } = self.apartments[home].options;
        if policy == Policy::Classic && waits <= nested_waits {
            return Scope::Everything;
        }
        // In the top loop everything comes in: there is no chain to keep to.
        let served = self.serving(thread).map(|call| self.calls[&call].chain);
        let in_a_chain = calls || served.is_some() || self.out(thread).next().is_some();
        match policy {
            Policy::None if in_wait || in_a_chain => Scope::Nothing,
            Policy::Classic | Policy::SameCausality if in_a_chain => Scope::Chains(served),
            _ => Scope::Everything,
        }
    }

    /// How many things an apartment has to do.
    pub(super) fn waiting_entries(&self, thread: Thread) -> usize {
        let of = |home: usize| self.apartments[home].entries.len() + self.apartments[home].releases.len();
        self.threads[thread].home.map_or(0, of)
    }

    /// Serves one thing that may come in now: releases first, whatever the policy (rule DI-12), then the first entry. False if
    /// there is none.
    pub(super) fn serve_one(&mut self, thread: Thread, wait: u64) -> bool {
        let Some(home) = self.threads[thread].home else { return false };
        if let Some(ban) = self.dispatches_nothing(thread) {
            let by = if ban == Ban::Filter { Holds::Filter } else { Holds::InputSynchronized };
            self.holds_all(home, wait, by);
            return false;
        }
        if let Some(object) = self.apartments[home].releases.pop_front() {
            self.drops(object, thread);
            return true;
        }
        let in_wait = !matches!(
            self.threads[thread].stack.last(),
            Some(Frame::Loop { .. } | Frame::Leave { .. } | Frame::Pump { .. })
        );
        let scope = self.scope(thread, self.waits_open(thread), in_wait, false);
        while let Some(at) = self.first_admitted(home, scope, wait) {
            let call = self.apartments[home].entries[at].call;
            // A deadline is a cancel by clock (rule CA-3): what is past it is not asked about, and never runs.
            if self.calls[&call].deadline.is_some_and(|deadline| deadline <= self.now) {
                self.revoke_queued(home, at, Why::Deadline, thread);
                continue;
            }
            // What an apartment posts to itself comes from nobody else (rule MF-2).
            let own = self.calls[&call].from == Some(home);
            if self.apartments[home].options.filter && !own {
                self.ask(thread, call);
            } else {
                self.start(thread, call);
            }
            return true;
        }
        false
    }

    /// Asks the filter about an entry, which keeps its place and its room (rules MF-2, MF-3, MB-1).
    fn ask(&mut self, thread: Thread, call: Call) {
        let call_type = self.call_type(call);
        let (kind, from) = (self.calls[&call].kind, self.calls[&call].from);
        let elapsed = self.out(thread).next_back().map(|out| self.now - self.calls[&out].made);
        self.threads[thread].stack.push(Frame::Asked { call, call_type, elapsed });
        self.says(thread, Said::Asked { call_type, kind, from, elapsed });
    }

    /// A filter answers. If the entry was taken back meanwhile, the answer is about nothing.
    pub(super) fn answer(&mut self, thread: Thread, answer: Verdict) {
        let Some(Frame::Asked { call, call_type, elapsed }) = self.threads[thread].stack.pop() else { return };
        let to = self.calls[&call].to;
        let Some(at) = self.apartments[to].entries.iter().position(|entry| entry.call == call) else { return };
        self.tells_there(call, thread, What::Filtered { call_type, elapsed, answer });
        // A one-way call cannot be rejected, nor one that is input-synchronized (rules CK-2, CK-3, MF-4).
        let rejectable = !matches!(self.calls[&call].kind, Kind::OneWay | Kind::InputSynchronized);
        if answer == Verdict::Handled || !rejectable {
            if self.calls[&call].deadline.is_some_and(|deadline| deadline <= self.now) {
                self.revoke_queued(to, at, Why::Deadline, thread);
            } else {
                self.start(thread, call);
            }
        } else {
            // A rejected call gives its room back (rule MF-6).
            self.unqueue(to, at, thread);
            self.call_mut(call).phase = Phase::Rejected(answer);
        }
    }

    /// An entry leaves the queue and runs (rules DI-1, MB-8): room counts until here (rule MB-1).
    fn start(&mut self, thread: Thread, call: Call) {
        let to = self.calls[&call].to;
        let at = self.apartments[to].entries.iter().position(|entry| entry.call == call).expect("it is queued");
        self.unqueue(to, at, thread);
        let (call_type, queued) = (Some(self.call_type(call)), self.queued(to));
        self.call_mut(call).phase = Phase::Running;
        self.tells_there(call, thread, What::Began { call_type, queued });
        self.serves(thread, call);
    }

    /// A call's closure begins.
    pub(super) fn serves(&mut self, thread: Thread, call: Call) {
        self.threads[thread].stack.push(Frame::Serves { call });
        self.threads[thread].begins = Some(call);
    }

    /// It looks where it is: by then what it runs in may have been cancelled (rule CA-2).
    pub(super) fn looks_where_it_is(&mut self, thread: Thread, call: Call) {
        let depth = self.calls[&call].depth;
        let remaining = self.calls[&call].deadline.map(|deadline| deadline.saturating_sub(self.now));
        let cancelled = self.served_why(call).is_some();
        self.says(thread, Said::Serving { call, depth, remaining, cancelled });
    }

    /// A call's closure ends: with its number as the result, with an object, or with a panic (rule LT-4).
    pub(super) fn returns(&mut self, thread: Thread, panicked: bool) {
        let Some(Frame::Serves { call }) = self.threads[thread].stack.pop() else { return };
        let state = self.calls[&call].clone();
        if state.kind == Kind::Create && !panicked {
            let object = self.makes_object(state.to, thread);
            self.call_mut(call).object = Some(object);
        }
        if state.kind == Kind::OneWay {
            self.unreference_of(call, thread);
            self.call_mut(call).phase = Phase::Done { panicked };
            self.tells_there(call, thread, What::Ended { panicked });
            return;
        }
        if state.direct {
            return self.returned_directly(thread, call, panicked);
        }
        self.tells_there(call, thread, What::Ended { panicked });
        // A deadline that has passed came before the reply (rule CA-3).
        if state.deadline.is_some_and(|deadline| deadline <= self.now) && state.why.is_none() {
            self.call_mut(call).why = Some(Why::Deadline);
        }
        let late = state.phase == Phase::Detached || self.calls[&call].why.is_some();
        self.call_mut(call).phase = Phase::Done { panicked };
        // Nobody waits for what an owned call gives any more: it is dropped at home (rule CA-2).
        if state.owned && late && !panicked {
            self.tells_there(call, thread, What::ResultDropped);
        }
        if state.phase == Phase::Detached {
            self.unreference_of(call, thread);
        }
    }

    fn returned_directly(&mut self, thread: Thread, call: Call, panicked: bool) {
        let why = self.served_why(call);
        self.tells_there(call, thread, What::Ended { panicked });
        let result = match why {
            Some(why) => Err(super::cancel::cancelled(why, true)),
            None if panicked => Err(Failure::Fault),
            None => Ok(()),
        };
        if self.calls[&call].owned && why.is_some() && !panicked {
            self.tells_there(call, thread, What::ResultDropped);
        }
        self.call_mut(call).phase = Phase::Done { panicked };
        self.comes_back(call, result);
    }

    pub(super) fn unreference_of(&mut self, call: Call, thread: Thread) {
        if let Some(object) = self.calls[&call].object {
            self.unreference(object, thread);
        }
    }

    /// Serves what is there, round by round, until a round finds nothing.
    pub(super) fn pumps(&mut self, thread: Thread, wait: u64, left: usize, round: usize, served: usize) -> bool {
        self.threads[thread].stack.pop();
        let pump = |left, round, served| Frame::Pump { wait, left, round, served };
        if left > 0 {
            // Below what it serves.
            self.threads[thread].stack.push(pump(left - 1, round + 1, served + 1));
            if self.serve_one(thread, wait) {
                return true;
            }
            self.threads[thread].stack.pop();
        }
        if round > 0 {
            let (wait, left) = (self.new_wait(thread), self.waiting_entries(thread));
            self.threads[thread].stack.push(Frame::Pump { wait, left, round: 0, served });
        } else {
            self.says(thread, Said::Pumped(served));
        }
        true
    }
}
