//! A judge of the detector: who waits for whom, as a model's own program says it, and who of them could still move by the
//! rules.
//!
//! It reads nothing of the engine's. What it knows are the steps of the program, which [`watched`](crate::watched) tells it
//! from the outside: this thread calls that apartment now, it has begun to serve that call, its call has returned. Whoever
//! is told `Deadlock` is then judged: was there a moment in its wait in which nobody of those on whom it depends could have
//! gone on, whatever came? Its mutex is std's, is never held over a step of the model, and adds no executions.

mod judge;
mod rules;
mod state;

use apartment::{Deadlock, Reentrancy};
use loom::thread::current;
use state::{Frame, Stage, State};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// See the module's documentation. One for each execution; it goes along by clones.
#[derive(Clone, Default)]
pub struct Ghost(Arc<Mutex<State>>);

/// An apartment that it knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct At(usize);

/// A thread that it knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Party(usize);

/// A call or post that it knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Call(usize);

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Call,
    InputSynchronized,
    Post,
}

/// A call or post as its sender describes it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    pub(crate) kind: Kind,
    pub(crate) to: At,
    pub(crate) object: u32,
    pub(crate) waits_for_room: bool,
    /// It ends by itself, and with it all calls that are made in it.
    pub(crate) has_deadline: bool,
    /// Which handle cancels it, and with it all calls that are made in it.
    pub(crate) cancel: Option<u32>,
}

/// What a thread waits for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum On {
    Reply(Call),
    Room(Call),
    End(At),
    /// The calls that run on an object there.
    Calls(At, u32),
    Worker(Party),
    /// What anybody may bring about.
    Anybody,
}

/// What the program tells it.
impl Ghost {
    /// One that knows nobody yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many were told `Deadlock` in this execution, which is over. Fails if one of these was no deadlock, or if somebody
    /// did what the rules do not allow.
    #[track_caller]
    pub fn verdict(&self) -> usize {
        let state = self.state();
        let waits = state.threads.iter().find(|thread| thread.waits().is_some());
        let waits = waits.map(|thread| format!("{} waits at the end", thread.name));
        let (failed, told) = (state.failed.clone().or(waits), state.told);
        drop(state);
        if let Some(failed) = failed {
            panic!("{failed}");
        }
        told
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An STA, whose thread is the first that serves there or [enters](Self::enters).
    pub(crate) fn sta(&self, name: &str, policy: Reentrancy, capacity: usize) -> At {
        let mut state = self.state();
        let at = state.apartment(name, Some(policy), 1, capacity);
        state.thread(name.to_owned(), Some(at), None);
        at
    }

    /// The MTA, with so many threads at most.
    pub(crate) fn mta(&self, threads: usize) -> At {
        self.state().apartment("mta", None, threads, usize::MAX)
    }

    /// The calling thread is that STA's.
    pub(crate) fn enters(&self, at: At) {
        let mut state = self.state();
        let owner = state.owner(at).expect("it has just been made");
        state.threads[owner].id = Some(current().id());
    }

    /// A worker's thread, which has not begun.
    pub(crate) fn worker(&self, name: &str) -> Party {
        Party(self.state().thread(name.to_owned(), None, None))
    }

    /// The calling thread is that.
    pub(crate) fn works(&self, Party(worker): Party) {
        self.state().threads[worker].id = Some(current().id());
    }

    pub(crate) fn object(&self) -> u32 {
        let mut state = self.state();
        state.objects += 1;
        state.objects
    }

    pub(crate) fn cancel_handle(&self) -> u32 {
        let mut state = self.state();
        state.cancels.push(false);
        state.cancels.len() as u32 - 1
    }

    /// Somebody takes a hand in it from outside: what that changes, it changes at some moment between the two, and whoever goes
    /// on meanwhile may have been let go.
    pub(crate) fn meddles<R>(&self, with: impl FnOnce() -> R, so: impl FnOnce(&mut State)) -> R {
        self.state().meddling += 1;
        self.state().disturb();
        let result = with();
        let mut state = self.state();
        state.meddling -= 1;
        so(&mut state);
        state.disturb();
        result
    }

    /// The calling thread makes a call, and waits for it if it is none of its own apartment's; or it posts.
    pub(crate) fn sends(&self, sent: Sent) -> Call {
        let mut state = self.state();
        let by = state.calling();
        let call = state.send(by, sent);
        match sent.kind {
            Kind::Post if sent.waits_for_room => state.waits(by, On::Room(call)),
            Kind::Post => {}
            _ if state.threads[by].at == Some(sent.to) => {}
            _ => state.waits(by, On::Reply(call)),
        }
        call
    }

    /// It is back, or was refused.
    pub(crate) fn is_back(&self, call: Call, waited: bool, refused: bool, told: Option<&Deadlock>) {
        let mut state = self.state();
        let entry = &mut state.calls[call.0];
        if entry.sent.kind != Kind::Post || refused {
            entry.stage = Stage::Over;
        } else {
            // It has its room.
            entry.sent.waits_for_room = false;
        }
        if waited && matches!(state.innermost(), Some(Frame::Waits(On::Reply(of) | On::Room(of))) if of == call) {
            state.ends_wait(told);
        } else if told.is_some() {
            state.fail("reported to one that does not wait".to_owned());
        }
    }

    /// The calling thread waits for something else than a call.
    pub(crate) fn begins_wait(&self, on: On) {
        let mut state = self.state();
        let by = state.calling();
        state.waits(by, on);
    }

    pub(crate) fn ends_wait(&self, told: Option<&Deadlock>) {
        self.state().ends_wait(told);
    }

    /// The calling thread begins to serve it.
    pub(crate) fn begins(&self, call: Call) {
        self.state().begins(call);
    }

    pub(crate) fn ends(&self, call: Call) {
        let mut state = self.state();
        state.calls[call.0].stage = Stage::Over;
        let by = state.calling();
        state.threads[by].stack.pop();
        state.look();
    }
}
