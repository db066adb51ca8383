//! What tests of cancelled calls need, however these are made: what they are told, and callees that take their time.

use crate::stage::{Gate, Key, Stage, gate, hresult, like};
use crate::support::Log;
use apartment::{CallError, Outcome, Sta, is_cancelled};
use crossbeam_channel::{Receiver, unbounded};
use std::thread::{self, ThreadId};

pub(crate) const CANCELED: (u32, Outcome) = (hresult::CALL_CANCELED, Outcome::NotStarted);
pub(crate) const CANCELED_RUNNING: (u32, Outcome) = (hresult::CALL_CANCELED, Outcome::MayHaveRun);
pub(crate) const TIMED_OUT: (u32, Outcome) = (hresult::TIMED_OUT, Outcome::NotStarted);
pub(crate) const TIMED_OUT_RUNNING: (u32, Outcome) = (hresult::TIMED_OUT, Outcome::MayHaveRun);

pub(crate) fn seen_as(error: CallError) -> (u32, Outcome) {
    (error.hresult(), error.outcome())
}

/// Occupies an STA until the key is turned.
pub(crate) fn occupy(stage: &Stage, sta: &Sta) -> Key {
    let object = sta.create(|| ()).unwrap();
    let (key, gate) = gate();
    let began = stage.count(sta.apartment(), like!(Began));
    object.post(move |()| gate.pass()).unwrap();
    stage.until_nth(began + 1, sta.apartment(), like!(Began));
    key
}

/// Says on which thread it was dropped.
pub(crate) struct Tells(pub(crate) Log<ThreadId>);

impl Drop for Tells {
    fn drop(&mut self) {
        self.0.add(thread::current().id());
    }
}

/// A method that says that it has come, passes the gate, and says what it then saw of being cancelled.
pub(crate) fn hangs(gate: Gate) -> (impl FnOnce(&()) + Send + 'static, Receiver<bool>) {
    let (tell, told) = unbounded();
    let method = move |(): &()| {
        tell.send(is_cancelled()).unwrap();
        gate.pass();
        tell.send(is_cancelled()).unwrap();
    };
    (method, told)
}
