//! What a filter may answer, times what it may be asked: each answer is a search of its own.
#![cfg(loom)]

use apartment::{
    Apartment, CallError, CallType, IncomingCall, MessageClass, MessageFilter, Outcome, PendingAnswer, PendingMessage,
    PendingType, Process, Proxy, RejectedCall, Retry, ServerCall, register_filter,
};
use apartment_models::{Borrowed, Model, Seen, big_spawn};
use loom::thread;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::{Arc, Mutex};

/// Answers each call of one type so, and lets in all others. Writes down what it was asked: a panic of a filter's is contained.
struct Answers {
    of: CallType,
    answer: ServerCall,
    asked: Asked,
}

/// The types that a filter was asked about, in one execution. It is std's own, and no part of the model.
#[derive(Clone, Default)]
struct Asked(Arc<Mutex<Vec<CallType>>>);

impl Asked {
    fn types(&self) -> Vec<CallType> {
        self.0.lock().unwrap().clone()
    }
}

impl MessageFilter for Answers {
    fn handle_incoming(&self, call: &IncomingCall) -> ServerCall {
        self.asked.0.lock().unwrap().push(call.call_type);
        if call.call_type == self.of { self.answer } else { ServerCall::Handled }
    }
}

/// The same, and what it is asked about is the last thing that its apartment accepts.
struct Last(Answers, Apartment);

impl MessageFilter for Last {
    fn handle_incoming(&self, call: &IncomingCall) -> ServerCall {
        self.1.quit();
        self.0.handle_incoming(call)
    }
}

/// Whether the verdict let the call run; if not, that its caller was told which it was. Nobody is there to ask about a retry.
fn ran(answer: ServerCall, result: Result<(), CallError>, lent: &Borrowed) {
    match (answer, result) {
        (ServerCall::Handled, Ok(())) => assert_eq!(lent.get(), 1),
        (ServerCall::Rejected, Err(error)) => assert_eq!((error.hresult(), lent.get()), (0x8001_0001, 0)),
        (ServerCall::RetryLater, Err(error)) => assert_eq!((error.hresult(), lent.get()), (0x8001_010A, 0)),
        (answer, result) => panic!("{answer:?}, and {result:?}"),
    }
}

/// A call of a thread in no apartment, of an STA that has nothing out: top level.
fn top_level(name: &'static str, answer: ServerCall) {
    Model::new(name).threads(2).unbounded().check(move || {
        let asked = Asked::default();
        let here = Process::new().sta("callee").enter().unwrap();
        let filter = Answers { of: CallType::TopLevel, answer, asked: asked.clone() };
        register_filter(Some(Rc::new(Last(filter, here.apartment().clone())))).unwrap();
        let object = here.create(|| ()).unwrap();
        let caller = thread::spawn(move || {
            let lent = Borrowed::new();
            ran(answer, object.call(|()| lent.add()), &lent);
        });
        here.run();
        drop(here);
        caller.join().unwrap();
        assert_eq!(asked.types(), [CallType::TopLevel]);
    });
}

#[test]
fn top_level_handled() {
    top_level("top level, handled", ServerCall::Handled);
}

#[test]
fn top_level_rejected() {
    top_level("top level, rejected", ServerCall::Rejected);
}

#[test]
fn top_level_retry_later() {
    top_level("top level, retry later", ServerCall::RetryLater);
}

/// A post to an STA that has nothing out: asynchronous. It runs, whatever the answer.
fn asynchronous(name: &'static str, answer: ServerCall) {
    Model::new(name).threads(2).unbounded().check(move || {
        let asked = Asked::default();
        let filter = Answers { of: CallType::Async, answer, asked: asked.clone() };
        let here = Process::new().sta("callee").filter(|| filter).enter().unwrap();
        let object = here.create(|| Cell::new(0)).unwrap();
        let local = object.local().unwrap();
        let sender = thread::spawn(move || {
            object.post(|n| n.set(n.get() + 1)).unwrap();
            object.apartment().unwrap().quit();
        });
        here.run();
        assert_eq!(local.get(), 1, "a one-way call cannot be rejected");
        drop(local);
        drop(here);
        sender.join().unwrap();
        assert_eq!(asked.types(), [CallType::Async]);
    });
}

#[test]
fn asynchronous_handled() {
    asynchronous("asynchronous, handled", ServerCall::Handled);
}

#[test]
fn asynchronous_rejected() {
    asynchronous("asynchronous, rejected", ServerCall::Rejected);
}

#[test]
fn asynchronous_retry_later() {
    asynchronous("asynchronous, retry later", ServerCall::RetryLater);
}

/// A waits for B, and B does something to A meanwhile. A's filter answers calls of that type so. Gives what it was asked, and
/// how often something was posted.
fn while_a_waits(
    of: CallType,
    answer: ServerCall,
    meanwhile: impl FnOnce(&Proxy<Cell<u32>>) + Send + 'static,
) -> (Vec<CallType>, u32) {
    let process = Process::new();
    let here = process.sta("b").enter().unwrap();
    let b = here.create(|| ()).unwrap();
    let other = big_spawn(move || {
        let asked = Asked::default();
        let filter = Answers { of, answer, asked: asked.clone() };
        let here = process.sta("a").filter(|| filter).enter().unwrap();
        let a = here.create(|| Cell::new(0)).unwrap();
        let local = a.local().unwrap();
        b.call(|()| meanwhile(&a)).unwrap();
        here.pump();
        b.apartment().unwrap().quit();
        (asked.types(), local.get())
    });
    here.run();
    drop(here);
    other.join().unwrap()
}

/// B calls A back in A's call: nested.
fn nested(name: &'static str, answer: ServerCall) {
    Model::new(name).preemptions(3).check(move || {
        let back = move |a: &Proxy<Cell<u32>>| {
            let lent = Borrowed::new();
            ran(answer, a.call(|_| lent.add()), &lent);
        };
        assert_eq!(while_a_waits(CallType::Nested, answer, back).0, [CallType::Nested]);
    });
}

#[test]
fn nested_handled() {
    nested("nested, handled", ServerCall::Handled);
}

#[test]
fn nested_rejected() {
    nested("nested, rejected", ServerCall::Rejected);
}

#[test]
fn nested_retry_later() {
    nested("nested, retry later", ServerCall::RetryLater);
}

/// B posts to A in A's call: asynchronous with a call pending, or, if A has its answer before it looks, without. It runs,
/// whatever the answer.
fn asynchronous_with_a_call_pending(name: &'static str, answer: ServerCall) {
    let seen = Seen::new(&["pending", "answered"]);
    let see = seen.clone();
    Model::new(name).preemptions(3).check(move || {
        let post = |a: &Proxy<Cell<u32>>| a.post(|n| n.set(n.get() + 1)).unwrap();
        let (asked, ran) = while_a_waits(CallType::AsyncCallPending, answer, post);
        assert_eq!(ran, 1, "a one-way call cannot be rejected");
        see.saw(match asked[..] {
            [CallType::AsyncCallPending] => "pending",
            [CallType::Async] => "answered",
            _ => panic!("asked about {asked:?}"),
        });
    });
    seen.all();
}

#[test]
fn asynchronous_with_a_call_pending_handled() {
    asynchronous_with_a_call_pending("asynchronous, call pending, handled", ServerCall::Handled);
}

#[test]
fn asynchronous_with_a_call_pending_rejected() {
    asynchronous_with_a_call_pending("asynchronous, call pending, rejected", ServerCall::Rejected);
}

#[test]
fn asynchronous_with_a_call_pending_retry_later() {
    asynchronous_with_a_call_pending("asynchronous, call pending, retry later", ServerCall::RetryLater);
}

/// A waits for B, which first runs what A had posted there: that calls A, in a chain of its own. Top level, with a call
/// pending; or without, if B has answered A in the wait for that.
fn top_level_with_a_call_pending(name: &'static str, answer: ServerCall) {
    let seen = Seen::new(&["pending", "answered"]);
    let see = seen.clone();
    Model::new(name).preemptions(3).check(move || {
        let process = Process::new();
        let here = process.sta("b").enter().unwrap();
        let b = here.create(|| ()).unwrap();
        let came = Arc::new(Mutex::new(None));
        let comes = came.clone();
        let other = big_spawn(move || {
            let asked = Asked::default();
            let filter = Answers { of: CallType::TopLevelCallPending, answer, asked: asked.clone() };
            let here = process.sta("a").filter(|| filter).enter().unwrap();
            let a = here.create(|| ()).unwrap();
            let calls = b.post(move |()| {
                let lent = Borrowed::new();
                let result = a.call(|()| lent.add());
                *comes.lock().unwrap() = Some((result, lent));
            });
            calls.unwrap();
            b.call(|()| ()).unwrap();
            b.apartment().unwrap().quit();
            drop(here);
            asked.types()
        });
        here.run();
        drop(here);
        let asked = other.join().unwrap();
        let (result, lent) = came.lock().unwrap().take().expect("the post ran");
        see.saw(match asked[..] {
            [CallType::TopLevelCallPending] => {
                ran(answer, result, &lent);
                "pending"
            }
            // It comes while A ends.
            _ if asked.is_empty() || asked[..] == [CallType::TopLevel] => "answered",
            _ => panic!("asked about {asked:?}"),
        });
    });
    seen.all();
}

#[test]
fn top_level_with_a_call_pending_handled() {
    top_level_with_a_call_pending("top level, call pending, handled", ServerCall::Handled);
}

#[test]
fn top_level_with_a_call_pending_rejected() {
    top_level_with_a_call_pending("top level, call pending, rejected", ServerCall::Rejected);
}

#[test]
fn top_level_with_a_call_pending_retry_later() {
    top_level_with_a_call_pending("top level, call pending, retry later", ServerCall::RetryLater);
}

/// Answers about messages, and says what it was asked.
struct Pending(PendingAnswer);

impl MessageFilter for Pending {
    fn message_pending(&self, message: &PendingMessage) -> PendingAnswer {
        assert_eq!((message.class, message.pending_type), (MessageClass::Paint, PendingType::TopLevel));
        self.0
    }
}

/// A message comes to A while it waits for B: it runs in the wait or stays queued, or A's call is cancelled, as the filter
/// says. If it comes too late for the wait, it runs in its turn.
fn message_pending(name: &'static str, answer: PendingAnswer, outcomes: &[&'static str]) {
    let seen = Seen::new(outcomes);
    let see = seen.clone();
    Model::new(name).preemptions(3).check(move || {
        let process = Process::new();
        let here = process.sta("b").enter().unwrap();
        let b = here.create(|| ()).unwrap();
        let other = big_spawn(move || {
            let here = process.sta("a").filter(move || Pending(answer)).enter().unwrap();
            let ran = Rc::new(Cell::new(0));
            let a = here.create(|| ran.clone()).unwrap();
            let apartment = here.apartment().clone();
            let poster = b.clone();
            // B posts it when it gets to that, which is before A's call; that may take until the message has been seen.
            let posts = poster.post(move |()| {
                let message = move || a.local().unwrap().set(1);
                apartment.post_message(MessageClass::Paint, message).unwrap();
            });
            posts.unwrap();
            let lent = Borrowed::new();
            let result = b.call(|()| {
                lent.add();
                thread::yield_now();
            });
            let in_the_wait = ran.get() == 1;
            b.apartment().unwrap().quit();
            here.pump();
            assert_eq!(ran.get(), 1, "a message runs, sooner or later");
            match result.map_err(|error| error.outcome()) {
                Ok(()) if in_the_wait => "in the wait",
                Ok(()) => "after it",
                Err(Outcome::NotStarted) => {
                    assert_eq!(lent.get(), 0);
                    "cancelled, not started"
                }
                Err(Outcome::MayHaveRun) => {
                    assert_eq!(lent.get(), 1);
                    "cancelled"
                }
            }
        });
        here.run();
        drop(here);
        see.saw(other.join().unwrap());
    });
    seen.all();
}

#[test]
fn message_pending_processed() {
    message_pending("message pending, processed", PendingAnswer::wait_def_process(), &["in the wait", "after it"]);
}

#[test]
fn message_pending_left() {
    message_pending("message pending, left", PendingAnswer::wait_no_process(), &["after it"]);
}

#[test]
fn message_pending_cancels() {
    let outcomes = ["after it", "cancelled, not started", "cancelled"];
    message_pending("message pending, cancels", PendingAnswer::cancel_call(), &outcomes);
}

/// A filter that posts to its own apartment whenever it is asked, and to whom it is told.
struct Busybody(RefCell<Option<Proxy<Cell<u32>>>>);

impl MessageFilter for Busybody {
    fn handle_incoming(&self, call: &IncomingCall) -> ServerCall {
        if call.call_type == CallType::TopLevel
            && let Some(own) = self.0.take()
        {
            own.post(|n| n.set(n.get() + 1)).unwrap();
            assert_eq!(own.apartment().unwrap().queued(), 2, "what it is asked about is still queued");
        }
        ServerCall::Handled
    }

    fn retry_rejected(&self, _: &RejectedCall) -> Retry {
        unreachable!("it calls nobody")
    }
}

/// A filter uses its own apartment while it is asked, and the call that it is asked about is cancelled by its deadline or
/// not: nothing is locked while a filter runs.
#[test]
fn filter_that_uses_its_apartment() {
    Model::new("a filter that uses its apartment").threads(2).unbounded().check(|| {
        let here = Process::new().sta("callee").enter().unwrap();
        let object = here.create(|| Cell::new(0)).unwrap();
        let local = object.local().unwrap();
        let filter = Busybody(RefCell::new(Some(object.clone())));
        register_filter(Some(Rc::new(filter))).unwrap();
        let caller = thread::spawn(move || {
            let last = object.call(|n| {
                n.set(n.get() + 10);
                object.apartment().unwrap().quit();
            });
            last.unwrap();
        });
        here.run();
        assert_eq!(local.get(), 11);
        drop(local);
        drop(here);
        caller.join().unwrap();
    });
}
