//! A call at home, or of a free-threaded object: direct, on the caller's own thread.

use super::making::{Around, Making};
use super::serve::{busy_directly, drop_late};
use crate::call::record::{Attempt, Load, Why};
use crate::diagnose::What;
use crate::error::{CallError, Outcome};
use crate::mailbox::{Header, Mailbox, Use, cancelled};
use crate::sync::{Arc, Clock};
use crate::thread::{Borrow, CancelHandle, Frame, Going, Home, Thread};
use std::any::Any;
use std::cell::Cell;
use std::rc::Rc;

/// A thread in no apartment is in the MTA for as long as this lives.
pub(super) struct Visit {
    thread: Rc<Thread>,
    callee: Arc<Mailbox>,
}

impl Visit {
    pub(super) fn begin(thread: &Rc<Thread>, callee: &Arc<Mailbox>) -> Result<Option<Self>, CallError> {
        if !callee.use_begins(Use::Thread) {
            return Err(callee.disconnected(callee.door(), None));
        }
        thread.set_home(Some(Home::Mta(thread.visitor(callee))));
        let entered = || What::ThreadEntered { name: Arc::clone(&callee.name.name), implicit: true };
        callee.tell(thread.who(), None, entered);
        Ok(Some(Self { thread: Rc::clone(thread), callee: Arc::clone(callee) }))
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.callee.tell(self.thread.who(), None, || What::ThreadLeft);
        self.thread.set_home(None);
        if self.callee.use_ends(Use::Thread, self.thread.who()) {
            self.thread.forget_visit();
        }
    }
}

/// What a direct call runs in.
pub(super) fn frame(header: &Header, clock: &Clock, around: Around, cancel: Option<&CancelHandle>) -> Frame {
    Frame {
        id: header.id,
        chain: Some(header.chain),
        from_chain: header.from_chain,
        depth: header.depth,
        kind: header.kind,
        caller: header.caller.clone(),
        target: header.target,
        deadline: header.deadline.map(|at| (clock.clone(), at)),
        ticket: around.ticket,
        owned: false,
        cancel: cancel.cloned(),
        around: around.cancels,
        sender: None,
        borrow: Cell::new(Borrow::Nothing),
    }
}

/// Runs a call that has begun. Says what came of it, and why it is cancelled, if it is.
pub(super) fn run_here(thread: &Thread, frame: Frame, target: &dyn Any, load: &mut Load<'_>) -> (Attempt, Option<Why>) {
    let _opened = thread.opened();
    thread.push_frame(|| frame);
    let attempt = load.run(target);
    let why = thread.with_frame(|frame| frame.and_then(Frame::cancelled));
    thread.pop_frame();
    (attempt, why)
}

/// What a direct call that ran to its end has come to: one that was cancelled fails all the same (rule CA-2).
pub(super) fn ran(header: &Header, why: Option<Why>, panicked: Option<Arc<str>>) -> Result<(), CallError> {
    match (why, panicked) {
        (Some(why), _) => Err(cancelled(why, Outcome::MayHaveRun)),
        (None, Some(message)) => Err(CallError::ServerFault { target: header.target, message }),
        (None, None) => Ok(()),
    }
}

/// Direct: no queue, no filter, no other thread (rule DI-2).
pub(super) fn call_directly(thread: &Rc<Thread>, making: &Making<'_>, load: &mut Load<'_>) -> Result<(), CallError> {
    let Making { callee, header, .. } = making;
    let id = header.target.object;
    let frame = frame(header, &callee.common.clock, making.around.clone(), making.terms.cancel);
    if let Some(why) = frame.cancelled() {
        return Err(cancelled(why, Outcome::NotStarted));
    }
    let own = id.and_then(|id| thread.sta().and_then(|home| home.object(id)));
    let shared = if own.is_none() { id.and_then(|id| callee.shared(id)) } else { None };
    let target: &dyn Any = match (&own, &shared, id) {
        (Some(own), ..) => &**own,
        (_, Some(shared), _) => &**shared,
        (None, None, None) => &(),
        (None, None, Some(_)) => return Err(callee.object_gone(id)),
    };
    let call = header.call_ref();
    callee.tell(thread.who(), Some(call), || What::Began { call_type: None, queued: 0 });
    let (attempt, why) = run_here(thread, frame, target, load);
    let result = match attempt {
        Attempt::Gone => {
            let error = callee.object_gone(id);
            callee.tell(thread.who(), Some(call), || What::Gone { error: (&error).into() });
            Err(error)
        }
        Attempt::Busy => {
            let holder = thread.holder(id, header.chain).call.map(|(id, _)| id);
            callee.tell(thread.who(), Some(call), || What::Busy { holder });
            Err(busy_directly(thread, id, header.chain))
        }
        Attempt::Ran(panicked) => {
            let fault = panicked.clone();
            callee.tell(thread.who(), Some(call), || What::Ended { panicked });
            let result = ran(header, why, fault);
            if let (Load::Owned(work), Err(_)) = (load, &result) {
                drop_late(thread, callee, call, &***work);
            }
            result
        }
    };
    if let Some(own) = own {
        thread.drop_object(Going::Own(own));
    }
    if let Some(shared) = shared {
        crate::thread::drop_shared(callee, thread, shared);
    }
    result
}
