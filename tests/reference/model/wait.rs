//! Calls and posts: how they go out, wait, are tried again, and come back.

use super::cancel::cancelled;
use super::mailbox::Scope;
use super::words::*;
use super::{CallState, Door, Frame, Model, Phase};

impl Model {
    /// A call as it is made: its chain, its depth, its deadline and what cancels it come from the call that is being served
    /// (rules CA-1, CA-3); a one-way call begins a chain, and inherits neither (rule CA-1).
    fn make(&mut self, thread: Thread, kind: Kind, calls: &Calls) {
        let served = self.serving(thread);
        let from = self.threads[thread].home;
        let one_way = kind == Kind::OneWay;
        let joins = served.filter(|_| !one_way).map(|served| self.calls[&served].clone());
        let inherited = joins.as_ref().and_then(|served| served.deadline);
        let around = served.filter(|_| !one_way).and_then(|served| {
            let state = &self.calls[&served];
            match state.kind {
                Kind::OneWay => None,
                _ if state.direct => state.around,
                _ => Some(served),
            }
        });
        let state = CallState {
            kind,
            thread,
            from,
            to: calls.to,
            object: calls.object,
            direct: !one_way && from == Some(calls.to),
            owned: calls.owned,
            chain: joins.as_ref().map_or(calls.call, |served| served.chain),
            depth: joins.as_ref().map_or(1, |served| served.depth + 1),
            parent: served,
            from_chain: served.filter(|_| one_way).map(|served| self.calls[&served].chain),
            around,
            made: self.now,
            deadline: calls.within.map(|within| self.now + within).into_iter().chain(inherited).min(),
            room: calls.room,
            room_until: None,
            handle: calls.handle,
            own_policy: calls.own_policy,
            method: false,
            attempt: 1,
            phase: Phase::Out,
            why: None,
            back: false,
        };
        self.calls.insert(calls.call, state);
    }

    fn tells_made(&mut self, call: Call) {
        let CallState { kind, direct, from, to, parent, from_chain, object, deadline, owned, .. } = self.calls[&call];
        let borrows = !owned && kind != Kind::OneWay;
        let made = Made { kind, direct, from, to, parent, from_chain, object, deadline, borrows };
        self.tells_at_home(call, What::CallMade(Box::new(made)));
    }

    /// A thread makes a synchronous call, or an object.
    pub(super) fn call(&mut self, thread: Thread, calls: &Calls) {
        let call = calls.call;
        let kind = match calls.object {
            Some(_) if calls.input_sync => Kind::InputSynchronized,
            Some(_) => Kind::Synchronous,
            None => Kind::Create,
        };
        self.make(thread, kind, calls);
        self.tells_made(call);
        let around = self.calls[&call].around.and_then(|around| self.calls[&around].why);
        let past = self.calls[&call].deadline.is_some_and(|deadline| deadline <= self.now);
        let why = around.or(past.then_some(Why::Deadline));
        if kind == Kind::InputSynchronized && self.threads[thread].home.is_none() {
            // Only STAs make such calls (rule CK-3).
            return self.refused(call, Failure::NotSupported);
        }
        if self.calls[&call].direct {
            // At home: no queue, no filter, no other thread (rule DI-2).
            if let Some(why) = why {
                return self.comes_back(call, Err(cancelled(why, false)));
            }
            self.call_mut(call).phase = Phase::Running;
            self.tells_there(call, thread, What::Began { call_type: None, queued: 0 });
            return self.serves(thread, call);
        }
        let refused = if let Some(ban) = self.ban(thread, call) {
            Some(Failure::CantCallOut(ban))
        } else if let Some(why) = why {
            Some(cancelled(why, false))
        } else if calls.handle == Handle::Cancelled {
            Some(Failure::Canceled { may_have_run: false })
        } else {
            None
        };
        if let Some(error) = refused {
            return self.refused(call, error);
        }
        if calls.owned {
            self.reference(calls.object);
        }
        let serves = self.would_serve(thread, Some(kind));
        let until = self.calls[&call].deadline;
        self.tells_at_home(call, What::WaitBegan { on: On::Reply, serves, until });
        self.attempts(thread, call);
    }

    /// What a wait that begins now serves: for a call, which is out then, or for room.
    fn would_serve(&self, thread: Thread, for_call: Option<Kind>) -> Serves {
        if self.threads[thread].home.is_none() || self.dispatches_nothing(thread).is_some() {
            return Serves::Nothing;
        }
        match self.scope(thread, self.waits_open(thread) + 1, true, for_call.is_some()) {
            _ if for_call == Some(Kind::InputSynchronized) => Serves::InputSynchronized,
            Scope::Everything => Serves::Everything,
            Scope::Chains(_) => Serves::Chain,
            Scope::Nothing | Scope::InputSynchronized => Serves::InputSynchronized,
        }
    }

    /// Why no synchronous call leaves the apartment from here (rules CK-2 to CK-4): asked of all that stands on the thread. While
    /// a one-way method is served, none of its chain goes back to the apartment that sent it.
    fn ban(&self, thread: Thread, call: Call) -> Option<Ban> {
        let CallState { chain, to, .. } = self.calls[&call];
        let sent = |frame: &Frame| {
            let Frame::Serves { call } = frame else { return false };
            let served = &self.calls[call];
            served.method && served.chain == chain && served.from == Some(to)
        };
        let in_async = || self.threads[thread].stack.iter().any(sent);
        self.dispatches_nothing(thread).or_else(|| in_async().then_some(Ban::Async))
    }

    /// Hands a call over, and waits. While it waits, an STA serves (rule DI-5); a thread in no apartment does not (rule AP-5).
    fn attempts(&mut self, thread: Thread, call: Call) {
        if let Room::Within(time) = self.calls[&call].room {
            self.call_mut(call).room_until = Some(self.now + time);
        }
        let wait = self.new_wait(thread);
        // The call is out before it comes in there: a callback finds it (rule MB-4).
        self.threads[thread].stack.push(Frame::Waits { call, wait, in_line: false });
        if let Err(error) = self.accept(call) {
            self.tells_as_made(call, What::Refused { error: seen(error) });
            self.wait_ends(thread, call, Err(error));
        }
    }

    /// A call's wait: is its call over? Says when it turns from one for a reply into one for room, and back.
    pub(super) fn waits(&mut self, thread: Thread, call: Call, in_line: bool) -> bool {
        let waits = self.calls[&call].phase == Phase::InLine;
        if waits != in_line {
            let state = &self.calls[&call];
            let (on, until) = if waits { (On::Room, state.room_until) } else { (On::Reply, state.deadline) };
            if let Some(Frame::Waits { in_line, .. }) = self.threads[thread].stack.last_mut() {
                *in_line = waits;
            }
            self.tells_at_home(call, What::WaitTurned { on, until });
            return true;
        }
        let CallState { phase, why, owned, .. } = self.calls[&call];
        let result = match (phase, why) {
            (Phase::Done { .. }, Some(why)) => Err(cancelled(why, true)),
            (Phase::Done { panicked: true }, None) => Err(Failure::Fault),
            (Phase::Done { panicked: false }, None) => Ok(()),
            // Who lends nothing need not wait for the callee to let go (rule CA-2).
            (Phase::Running, Some(why)) if owned => {
                self.call_mut(call).phase = Phase::Detached;
                Err(cancelled(why, true))
            }
            // Also one that was turned away before, if its caller has not looked since (rule CA-2).
            (Phase::Revoked | Phase::Rejected(_) | Phase::Failed(_), Some(why)) => Err(cancelled(why, false)),
            (Phase::Rejected(verdict), None) => return self.rejected(thread, call, verdict),
            (Phase::Failed(error), None) => Err(error),
            // It waited for room long enough (rule MB-3).
            (Phase::Revoked, None) => {
                let to = self.calls[&call].to;
                let (queued, waiting) = (self.queued(to), self.apartments[to].line.len());
                let error = Failure::Full { queued, capacity: self.apartments[to].options.capacity, waiting };
                self.tells_as_made(call, What::Refused { error: seen(error) });
                Err(error)
            }
            _ => return false,
        };
        self.wait_ends(thread, call, result);
        true
    }

    /// A rejected caller is asked: by its own policy, by its apartment's filter; without either it fails (rules MF-5, MF-6).
    fn rejected(&mut self, thread: Thread, call: Call, rejected: Verdict) -> bool {
        let state = &self.calls[&call];
        let filter = state.from.is_some_and(|from| self.apartments[from].options.filter);
        if !state.own_policy && !filter {
            let error = if rejected == Verdict::RetryLater { Failure::RetryLater } else { Failure::Rejected };
            self.wait_ends(thread, call, Err(error));
            return true;
        }
        let (elapsed, attempts) = (self.now - state.made, state.attempt);
        self.threads[thread].stack.pop();
        self.threads[thread].stack.push(Frame::AskedAgain { call, rejected, elapsed });
        self.says(thread, Said::AskedAgain { rejected, attempts, elapsed });
        true
    }

    /// What it answers (rule MF-6).
    pub(super) fn answer_again(&mut self, thread: Thread, answer: Again) {
        let Some(Frame::AskedAgain { call, rejected, elapsed }) = self.threads[thread].stack.pop() else { return };
        let own_policy = self.calls[&call].own_policy;
        self.tells_at_home(call, What::RetryAsked { rejected, elapsed, answer, own_policy });
        let wait = self.new_wait(thread);
        match answer {
            Again::GiveUp => {
                self.threads[thread].stack.push(Frame::Waits { call, wait, in_line: false });
                self.wait_ends(thread, call, Err(Failure::Rejected));
            }
            Again::Now => {
                let left = self.waiting_entries(thread);
                self.threads[thread].stack.push(Frame::ServesFirst { call, wait, left });
            }
            Again::After(delay) => {
                let until = self.now + delay;
                self.tells_at_home(call, What::WaitTurned { on: On::RetryTime, until: Some(until) });
                self.threads[thread].stack.push(Frame::WaitsToRetry { call, wait, until });
            }
        }
    }

    /// At once, after serving what is already waiting (rule MF-6).
    pub(super) fn serves_first(&mut self, thread: Thread, call: Call, wait: u64, left: usize) -> bool {
        if left == 0 {
            self.tries_again(thread, call);
            return true;
        }
        let Some(below) = self.threads[thread].stack.len().checked_sub(1) else { return false };
        let served = self.serve_one(thread, wait);
        self.threads[thread].stack[below] = Frame::ServesFirst { call, wait, left: if served { left - 1 } else { 0 } };
        true
    }

    /// The wait for the next attempt is the call's wait (rule MF-6): a cancel ends it.
    pub(super) fn waits_to_retry(&mut self, thread: Thread, call: Call) -> bool {
        self.calls[&call].why.is_some() && self.turns_to_retry(thread, call)
    }

    pub(super) fn is_time_to_retry(&mut self, thread: Thread, call: Call, until: Time) -> bool {
        until <= self.now && self.turns_to_retry(thread, call)
    }

    fn turns_to_retry(&mut self, thread: Thread, call: Call) -> bool {
        let deadline = self.calls[&call].deadline;
        self.tells_at_home(call, What::WaitTurned { on: On::Reply, until: deadline });
        self.threads[thread].stack.pop();
        let wait = self.new_wait(thread);
        self.threads[thread].stack.push(Frame::ServesFirst { call, wait, left: 0 });
        true
    }

    /// A retry is a new offer at the tail, and needs room like a new call (rules MB-6, MF-6).
    fn tries_again(&mut self, thread: Thread, call: Call) {
        self.threads[thread].stack.pop();
        let past = self.calls[&call].deadline.is_some_and(|deadline| deadline <= self.now);
        if let Some(why) = self.calls[&call].why.or(past.then_some(Why::Deadline)) {
            let wait = self.new_wait(thread);
            self.threads[thread].stack.push(Frame::Waits { call, wait, in_line: false });
            return self.wait_ends(thread, call, Err(cancelled(why, false)));
        }
        self.call_mut(call).attempt += 1;
        self.call_mut(call).phase = Phase::Out;
        self.attempts(thread, call);
    }

    fn refused(&mut self, call: Call, error: Failure) {
        self.tells_at_home(call, What::Refused { error: seen(error) });
        self.comes_back(call, Err(error));
    }

    fn wait_ends(&mut self, thread: Thread, call: Call, result: Result<(), Failure>) {
        self.threads[thread].stack.pop();
        let by = match result {
            Ok(()) | Err(Failure::Fault) => End::Done,
            Err(Failure::TimedOut { .. }) => End::TimedOut,
            Err(Failure::Canceled { .. }) => End::Cancelled,
            Err(Failure::Deadlock) => End::Deadlock,
            Err(_) => End::Rejected,
        };
        self.tells_as_made(call, What::WaitEnded { by });
        if self.calls[&call].owned && self.calls[&call].phase != Phase::Detached {
            self.unreference_of(call, thread);
        }
        self.comes_back(call, result);
    }

    /// A call is over for its caller.
    pub(super) fn comes_back(&mut self, call: Call, result: Result<(), Failure>) {
        self.tells_as_made(call, What::Returned { error: result.err().map(seen) });
        let state = self.call_mut(call);
        state.back = true;
        let (thread, value) = (state.thread, if state.kind == Kind::Create { 0 } else { call });
        let made = state.object.filter(|_| state.kind == Kind::Create);
        match (made, result) {
            (Some(object), Ok(())) => self.driver_has(object, true),
            // What was made for a call that failed all the same goes (rule CA-2).
            (Some(object), Err(_)) => self.unreference(object, thread),
            (None, _) => {}
        }
        self.says(thread, Said::Back { call, result: result.map(|()| value) });
    }

    /// A thread posts a closure: a one-way call (rule CK-2).
    pub(super) fn post(&mut self, thread: Thread, posts: &Posts) {
        let Posts { call, to, object, room, method } = *posts;
        let without = Handle::Without;
        let calls = Calls {
            call,
            to,
            object: Some(object),
            owned: true,
            within: None,
            room,
            handle: without,
            own_policy: false,
            input_sync: false,
        };
        self.make(thread, Kind::OneWay, &calls);
        self.call_mut(call).method = method;
        self.tells_made(call);
        // It keeps its object until it has run.
        self.reference(Some(object));
        if let Err(error) = self.accept(call) {
            self.posted(thread, call, Err(error));
        } else if self.calls[&call].phase == Phase::InLine {
            let until = if let Room::Within(time) = room { Some(self.now + time) } else { None };
            let serves = self.would_serve(thread, None);
            self.tells_at_home(call, What::WaitBegan { on: On::Room, serves, until });
            let wait = self.new_wait(thread);
            self.threads[thread].stack.push(Frame::WaitsForRoom { call, wait, until });
        } else {
            self.posted(thread, call, Ok(()));
        }
    }

    /// A post's wait for room (rule MB-3): does it stand in the line no more?
    pub(super) fn waits_for_room(&mut self, thread: Thread, call: Call) -> bool {
        let (by, result) = match self.calls[&call].phase {
            Phase::InLine => return false,
            Phase::Failed(Failure::Deadlock) => (End::Deadlock, Err(Failure::Deadlock)),
            Phase::Failed(error) => (End::Done, Err(error)),
            _ => (End::Done, Ok(())),
        };
        self.has_room(thread, call, by, result)
    }

    pub(super) fn has_waited_for_room(&mut self, thread: Thread, call: Call, until: Option<Time>) -> bool {
        let (to, phase) = (self.calls[&call].to, self.calls[&call].phase);
        if phase != Phase::InLine || until.is_none_or(|until| until > self.now) {
            return false;
        }
        self.apartments[to].line.retain(|waiting| *waiting != call);
        let (queued, waiting) = (self.queued(to), self.apartments[to].line.len());
        let capacity = self.apartments[to].options.capacity;
        self.has_room(thread, call, End::TimedOut, Err(Failure::Full { queued, capacity, waiting }))
    }

    fn has_room(&mut self, thread: Thread, call: Call, by: End, result: Result<(), Failure>) -> bool {
        self.threads[thread].stack.pop();
        self.tells_at_home(call, What::WaitEnded { by });
        self.posted(thread, call, result);
        true
    }

    /// A refused post hands its closure back (rule MB-2).
    fn posted(&mut self, thread: Thread, call: Call, result: Result<(), Failure>) {
        if let Err(error) = result {
            self.tells_at_home(call, What::Refused { error: seen(error) });
            self.unreference_of(call, thread);
        }
        self.call_mut(call).back = true;
        self.says(thread, Said::Back { call, result: result.map(|()| 0) });
    }

    /// Whether an apartment can still be called.
    pub(crate) fn is_there(&self, apartment: Apartment) -> bool {
        self.apartments[apartment].door != Door::Ended
    }
}

/// As an event shows it.
fn seen(failure: Failure) -> Seen {
    let (name, hresult, may_have_run) = failure.seen();
    (name.to_owned(), hresult, may_have_run)
}
