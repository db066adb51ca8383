//! What a filter may answer, times what it may be asked: each answer is a search of its own.
#![cfg(loom)]

use apartment::{
    CallError, CallType, IncomingCall, MessageClass, MessageFilter, Outcome, PendingAnswer, PendingMessage,
    PendingType, Process, Proxy, RejectedCall, Retry, ServerCall,
};
use apartment_models::{Borrowed, Model, Seen, big_spawn};
use loom::thread;
use std::cell::{Cell, RefCell};

const ANSWERS: [ServerCall; 3] = [ServerCall::Handled, ServerCall::Rejected, ServerCall::RetryLater];

/// Answers each call of one type so, and lets in all others. Expects no further type.
struct Answers {
    of: CallType,
    answer: ServerCall,
    others: &'static [CallType],
}

impl MessageFilter for Answers {
    fn handle_incoming(&self, call: &IncomingCall) -> ServerCall {
        if call.call_type == self.of {
            return self.answer;
        }
        assert!(self.others.contains(&call.call_type), "a call of type {:?}", call.call_type);
        ServerCall::Handled
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
#[test]
fn top_level() {
    for (answer, name) in
        ANSWERS.into_iter().zip(["top level, handled", "top level, rejected", "top level, retry later"])
    {
        Model::new(name).unbounded().check(move || {
            let filter = move || Answers { of: CallType::TopLevel, answer, others: &[] };
            let here = Process::new().sta("callee").filter(filter).enter().unwrap();
            let object = here.create(|| ()).unwrap();
            let caller = thread::spawn(move || {
                let lent = Borrowed::new();
                ran(answer, object.call(|()| lent.add()), &lent);
                object.apartment().unwrap().quit();
            });
            here.run();
            drop(here);
            caller.join().unwrap();
        });
    }
}

/// A post to an STA that has nothing out: asynchronous. It runs, whatever the answer.
#[test]
fn asynchronous() {
    let names = ["asynchronous, handled", "asynchronous, rejected", "asynchronous, retry later"];
    for (answer, name) in ANSWERS.into_iter().zip(names) {
        Model::new(name).unbounded().check(move || {
            let filter = move || Answers { of: CallType::Async, answer, others: &[] };
            let here = Process::new().sta("callee").filter(filter).enter().unwrap();
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
        });
    }
}

/// A waits for B, and B does something to A meanwhile. A's filter answers calls of that type so.
fn while_a_waits(
    of: CallType,
    answer: ServerCall,
    others: &'static [CallType],
    meanwhile: impl FnOnce(&Proxy<Cell<u32>>) + Send + 'static,
    then: impl FnOnce(u32) + Send + 'static,
) {
    let process = Process::new();
    let here = process.sta("b").enter().unwrap();
    let b = here.create(|| ()).unwrap();
    let other = big_spawn(move || {
        let here = process.sta("a").filter(move || Answers { of, answer, others }).enter().unwrap();
        let a = here.create(|| Cell::new(0)).unwrap();
        let local = a.local().unwrap();
        b.call(|()| meanwhile(&a)).unwrap();
        here.pump();
        b.apartment().unwrap().quit();
        then(local.get());
    });
    here.run();
    drop(here);
    other.join().unwrap();
}

/// B calls A back in A's call: nested.
#[test]
fn nested() {
    for (answer, name) in ANSWERS.into_iter().zip(["nested, handled", "nested, rejected", "nested, retry later"]) {
        Model::new(name).preemptions(3).check(move || {
            let back = move |a: &Proxy<Cell<u32>>| {
                let lent = Borrowed::new();
                ran(answer, a.call(|_| lent.add()), &lent);
            };
            while_a_waits(CallType::Nested, answer, &[], back, |_| ());
        });
    }
}

/// B posts to A in A's call: asynchronous with a call pending, or, if A has its answer before it looks, without. It runs,
/// whatever the answer.
#[test]
fn asynchronous_with_a_call_pending() {
    let names = [
        "asynchronous, call pending, handled",
        "asynchronous, call pending, rejected",
        "asynchronous, call pending, retry later",
    ];
    for (answer, name) in ANSWERS.into_iter().zip(names) {
        Model::new(name).preemptions(3).check(move || {
            let post = |a: &Proxy<Cell<u32>>| a.post(|n| n.set(n.get() + 1)).unwrap();
            while_a_waits(CallType::AsyncCallPending, answer, &[CallType::Async], post, |ran| {
                assert_eq!(ran, 1, "a one-way call cannot be rejected");
            });
        });
    }
}

/// A waits for B, which first runs what A had posted there: that calls A, in a chain of its own. Top level, with a call
/// pending.
#[test]
fn top_level_with_a_call_pending() {
    let names = [
        "top level, call pending, handled",
        "top level, call pending, rejected",
        "top level, call pending, retry later",
    ];
    for (answer, name) in ANSWERS.into_iter().zip(names) {
        Model::new(name).preemptions(3).check(move || {
            let process = Process::new();
            let here = process.sta("b").enter().unwrap();
            let b = here.create(|| ()).unwrap();
            let other = big_spawn(move || {
                let filter = move || Answers { of: CallType::TopLevelCallPending, answer, others: &[] };
                let here = process.sta("a").filter(filter).enter().unwrap();
                let a = here.create(|| ()).unwrap();
                let calls = b.post(move |()| {
                    let lent = Borrowed::new();
                    ran(answer, a.call(|()| lent.add()), &lent);
                });
                calls.unwrap();
                b.call(|()| ()).unwrap();
                b.apartment().unwrap().quit();
                drop(here);
            });
            here.run();
            drop(here);
            other.join().unwrap();
        });
    }
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
#[test]
fn message_pending() {
    let answers = [
        ("message pending, process", PendingAnswer::wait_def_process(), &["in the wait", "after it"][..]),
        ("message pending, no process", PendingAnswer::wait_no_process(), &["after it"]),
        ("message pending, cancel", PendingAnswer::cancel_call(), &["after it", "cancelled, not started", "cancelled"]),
    ];
    for (name, answer, outcomes) in answers {
        let seen = Seen::new(outcomes);
        let see = seen.clone();
        Model::new(name).preemptions(3).check(move || {
            let process = Process::new();
            let here = process.sta("b").enter().unwrap();
            let b = here.create(|| ()).unwrap();
            let other = big_spawn(move || {
                let here = process.sta("a").filter(move || Pending(answer)).enter().unwrap();
                let ran = std::rc::Rc::new(Cell::new(0));
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
    Model::new("a filter that uses its apartment").unbounded().check(|| {
        let here = Process::new().sta("callee").enter().unwrap();
        let object = here.create(|| Cell::new(0)).unwrap();
        let local = object.local().unwrap();
        let filter = Busybody(RefCell::new(Some(object.clone())));
        apartment::register_filter(Some(std::rc::Rc::new(filter))).unwrap();
        let caller = thread::spawn(move || {
            object.call(|n| n.set(n.get() + 10)).unwrap();
            object.apartment().unwrap().quit();
        });
        here.run();
        assert_eq!(local.get(), 11);
        drop(local);
        drop(here);
        caller.join().unwrap();
    });
}
