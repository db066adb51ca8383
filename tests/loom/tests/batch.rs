//! What an STA's thread has taken over all at once: it is its queue all the same, for everybody.
//!
//! A batch comes about where a look finds more than one entry: so each apartment here is filled before it serves.
#![cfg(loom)]

use apartment::{
    Budget, CallError, CallOptions, CancelHandle, Entered, MessageClass, Outcome, PostOptions, Process, Proxy,
    Reentrancy, Signal, What, wait_any,
};
use apartment_models::{Borrowed, Model, Seen};
use loom::sync::atomic::{AtomicU32, Ordering::SeqCst};
use loom::thread;
use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// The order in which entries run.
type Order = RefCell<Vec<u32>>;

/// Posts what only says that it runs.
fn say(object: &Proxy<Order>, number: u32) {
    object.post(move |order| order.borrow_mut().push(number)).unwrap();
}

/// The rings for what is queued have been heard: a sleep is ended by another one.
fn rung(here: &Entered) {
    assert_eq!(here.dispatch(Budget { entries: 0, ..Budget::ALL }).served, 0);
}

/// The first of a batch calls out, and is answered only when the second has run: in its wait. What the callee posts comes
/// behind the whole batch.
#[test]
fn wait_with_a_batch() {
    Model::new("a wait with a batch").preemptions(3).check(|| {
        let process = Process::new();
        let here = process.sta("a").enter().unwrap();
        let a = here.create(Order::default).unwrap();
        let b = process.sta("b").spawn().unwrap();
        let at_b = b.create(|| ()).unwrap();
        let (second, answered) = (Signal::manual(), Arc::new(AtomicBool::new(false)));
        let (back, ran, is_answered) = (a.clone(), second.clone(), answered.clone());
        a.post(move |order| {
            order.borrow_mut().push(1);
            at_b.call(|()| {
                say(&back, 4);
                wait_any(&[&ran], None).unwrap();
            })
            .unwrap();
            is_answered.store(true, Relaxed);
        })
        .unwrap();
        a.post(move |order| {
            order.borrow_mut().push(2);
            second.set();
        })
        .unwrap();
        say(&a, 3);
        here.pump();
        assert!(answered.load(Relaxed));
        assert_eq!(a.call(|order| order.take()).unwrap(), [1, 2, 3, 4], "the order is kept");
        drop(b);
        drop(here);
    });
}

/// The first of a batch calls out, and is called back, under policy *same causality*: the rest is held, and runs afterwards
/// in its order, ahead of what the callee has posted.
#[test]
fn held_batch() {
    Model::new("a batch that is held").preemptions(2).check(|| {
        let process = Process::new();
        let here = process.sta("a").reentrancy(Reentrancy::SameCausality).enter().unwrap();
        let a = here.create(Order::default).unwrap();
        let b = process.sta("b").spawn().unwrap();
        let at_b = b.create(|| ()).unwrap();
        let answered = Arc::new(AtomicBool::new(false));
        let (back, is_answered) = (a.clone(), answered.clone());
        a.post(move |order| {
            order.borrow_mut().push(1);
            let lent = Borrowed::new();
            at_b.call(|()| {
                say(&back, 5);
                back.call(|order| {
                    lent.add();
                    order.borrow_mut().push(2);
                })
            })
            .unwrap()
            .unwrap();
            is_answered.store(lent.get() == 1, Relaxed);
        })
        .unwrap();
        say(&a, 3);
        say(&a, 4);
        here.pump();
        assert!(answered.load(Relaxed));
        assert_eq!(a.call(|order| order.take()).unwrap(), [1, 2, 3, 4, 5], "the order is kept");
        drop(b);
        drop(here);
    });
}

/// A call lies in a batch, or is just being started from it, and is cancelled: it has run, or it has not and its room is
/// free at once, though its callee has not come to it.
#[test]
fn cancel_in_a_batch() {
    let seen = Seen::new(&["ran", "taken back", "asked"]);
    let see = seen.clone();
    Model::new("a cancel in a batch").preemptions(3).check(move || {
        let here = Process::new().sta("callee").capacity(2).enter().unwrap();
        let object = here.create(|| ()).unwrap();
        let (own, sent) = (object.clone(), Arc::new(AtomicBool::new(false)));
        let is_sent = sent.clone();
        // With the call that lies in the batch the mailbox is full from here on.
        object.post(move |()| is_sent.store(own.post(|()| ()).is_ok(), Relaxed)).unwrap();
        let cancel = CancelHandle::new();
        let caller = thread::spawn({
            let (object, cancel) = (object.clone(), cancel.clone());
            move || {
                let lent = Borrowed::new();
                let options = CallOptions::new().cancel(&cancel);
                let result = object.with(&options).call(|()| lent.add());
                match result.map_err(|error| error.outcome()) {
                    Ok(()) => ("ran", lent.get()),
                    Err(Outcome::NotStarted) => ("taken back", lent.get() + 1),
                    Err(Outcome::MayHaveRun) => ("asked", lent.get()),
                }
            }
        });
        while here.apartment().queued() < 2 {
            thread::yield_now();
        }
        rung(&here);
        let canceller = thread::spawn(move || {
            cancel.cancel();
            // The first of the two, or what it has posted, may still hold room. The other one's is free, whatever became
            // of it.
            let callee = object.apartment().unwrap();
            object.post(move |()| callee.quit()).expect("a call that was taken back holds no room");
        });
        here.run();
        drop(here);
        canceller.join().unwrap();
        assert!(sent.load(Relaxed), "the first holds no room while it runs");
        let (outcome, ran) = caller.join().unwrap();
        assert_eq!(ran, 1, "{outcome}");
        see.saw(outcome);
    });
    seen.all();
}

/// A sender against an owner that works off a full mailbox: it is refused only while there is no room, and what it is told
/// then is true.
#[test]
fn room_of_a_batch() {
    let seen = Seen::new(&["refused", "accepted"]);
    let see = seen.clone();
    Model::new("the room of a batch").preemptions(5).check(move || {
        let here = Process::new().sta("callee").capacity(2).enter().unwrap();
        let object = here.create(|| ()).unwrap();
        let started = Arc::new(AtomicU32::new(0));
        let starts = |object: &Proxy<()>| {
            let started = started.clone();
            object.post(move |()| _ = started.fetch_add(1, SeqCst))
        };
        starts(&object).unwrap();
        starts(&object).unwrap();
        rung(&here);
        let sender = thread::spawn({
            let (started, see) = (started.clone(), see.clone());
            move || {
                let mut sent = 0;
                for _ in 0..2 {
                    // Two were there, and have room until they start.
                    let has_room = 2 + sent - started.load(SeqCst) < 2;
                    match object.post({
                        let started = started.clone();
                        move |()| _ = started.fetch_add(1, SeqCst)
                    }) {
                        Ok(()) => {
                            sent += 1;
                            see.saw("accepted");
                        }
                        Err(refused) => {
                            assert!(!has_room, "there is room, and it was refused");
                            let full = refused.error();
                            assert!(matches!(full, CallError::MailboxFull(full) if full.queued == 2), "{full}");
                            see.saw("refused");
                        }
                    }
                }
                object.apartment().unwrap().quit();
                sent
            }
        });
        here.run();
        assert_eq!(here.apartment().queued(), 0);
        drop(here);
        assert_eq!(sender.join().unwrap() + 2, started.load(SeqCst), "what was accepted ran");
    });
    seen.all();
}

/// One who waits for room in a full mailbox gets it from what its owner starts, and comes behind it.
#[test]
fn waiting_for_the_room_of_a_batch() {
    Model::new("waiting for the room of a batch").preemptions(5).check(|| {
        let here = Process::new().sta("callee").capacity(2).enter().unwrap();
        let object = here.create(Order::default).unwrap();
        let local = object.local().unwrap();
        say(&object, 1);
        say(&object, 2);
        rung(&here);
        let sender = thread::spawn(move || {
            let patient = PostOptions::new().wait_for_room();
            object.with(&patient).post(|order| order.borrow_mut().push(3)).unwrap();
            object.with(&patient).post(|order| order.borrow_mut().push(4)).unwrap();
            object.apartment().unwrap().quit();
        });
        here.run();
        assert_eq!(local.take(), [1, 2, 3, 4]);
        drop(local);
        drop(here);
        sender.join().unwrap();
    });
}

/// Somebody looks at the mailbox while its owner works off the batch: what has come since stays behind the rest of it, and
/// what comes afterwards rings again.
#[test]
fn look_at_a_batch() {
    Model::new("a look at a batch").threads(2).unbounded().check(|| {
        let here = Process::new().sta("callee").enter().unwrap();
        let object = here.create(Order::default).unwrap();
        let (local, apartment) = (object.local().unwrap(), here.apartment().clone());
        (1..=3).for_each(|number| say(&object, number));
        rung(&here);
        let sender = thread::spawn(move || {
            say(&object, 4);
            assert!(apartment.queued() <= 4);
            object
                .post(move |order| {
                    order.borrow_mut().push(5);
                    apartment.quit();
                })
                .unwrap();
        });
        here.run();
        assert_eq!(local.take(), [1, 2, 3, 4, 5], "the order is kept");
        drop(local);
        drop(here);
        sender.join().unwrap();
    });
}

/// What is posted while the owner works off its batch rings nobody, and runs all the same before it sleeps: the last one
/// asks it to quit, and nobody else does.
#[test]
fn post_behind_a_batch() {
    Model::new("a post behind a batch").threads(2).unbounded().check(|| {
        let here = Process::new().sta("callee").enter().unwrap();
        let object = here.create(Order::default).unwrap();
        let (local, apartment) = (object.local().unwrap(), here.apartment().clone());
        say(&object, 1);
        say(&object, 2);
        rung(&here);
        let sender = thread::spawn(move || {
            say(&object, 3);
            object
                .post(move |order| {
                    order.borrow_mut().push(4);
                    apartment.quit();
                })
                .unwrap();
        });
        here.run();
        assert_eq!(local.take(), [1, 2, 3, 4]);
        drop(local);
        drop(here);
        sender.join().unwrap();
    });
}

/// A snapshot while the owner works off its batch: what it shows is what is left, in its order, and what runs is the one
/// before it.
#[test]
fn snapshot_of_a_batch() {
    let seen = Seen::new(&["all queued", "the first runs", "the second runs", "the third runs", "nothing"]);
    let see = seen.clone();
    Model::new("a snapshot of a batch").threads(2).unbounded().check(move || {
        let process = Process::new();
        let here = process.sta("callee").enter().unwrap();
        let object = here.create(Order::default).unwrap();
        (1..=3).for_each(|number| say(&object, number));
        let looks = thread::spawn(move || process.snapshot());
        here.pump();
        assert_eq!(object.call(|order| order.take()).unwrap(), [1, 2, 3]);
        let snapshot = looks.join().unwrap();
        drop(object);
        drop(here);
        let callee = &snapshot.apartments[0];
        assert_eq!(callee.queued, callee.entries.len(), "what is counted is shown: {snapshot}");
        let left = callee.entries.iter().map(|entry| entry.call.id);
        let all: Vec<_> =
            callee.executing.iter().filter_map(|frame| frame.call).map(|call| call.id).chain(left).collect();
        assert!(all.is_sorted(), "{snapshot}");
        see.saw(match (callee.executing.len(), callee.entries.len()) {
            (0, 3) => "all queued",
            (1, 2) => "the first runs",
            (1, 1) => "the second runs",
            (1, 0) => "the third runs",
            (0, 0) => "nothing",
            _ => panic!("{snapshot}"),
        });
    });
    seen.all();
}

/// Somebody subscribes while the owner works off its batch: whatever is told to begin, by the prologue or by the stream, is
/// told once, and so is its end.
#[test]
fn subscribe_to_a_batch() {
    let seen = Seen::new(&["not at all", "the last", "the last two", "all"]);
    let see = seen.clone();
    Model::new("a subscription to a batch").threads(2).unbounded().check(move || {
        let process = Process::new();
        let here = process.sta("callee").enter().unwrap();
        let object = here.create(Order::default).unwrap();
        let local = object.local().unwrap();
        (1..=3).for_each(|number| say(&object, number));
        let listener = thread::spawn(move || process.subscribe(100));
        here.pump();
        assert_eq!(local.take(), [1, 2, 3]);
        let subscription = listener.join().unwrap();
        drop((local, object));
        drop(here);
        let events: Vec<_> = std::iter::from_fn(|| subscription.try_next()).collect();
        let calls = |is: fn(&What) -> bool| -> Vec<_> {
            events.iter().filter(|event| is(&event.what)).filter_map(|event| event.call).map(|call| call.id).collect()
        };
        let queued = calls(|what| matches!(what, What::Queued { .. }));
        let began = calls(|what| matches!(what, What::Began { .. }));
        let ended = calls(|what| matches!(what, What::Ended { .. }));
        assert_eq!(began, ended, "what begins ends, and nothing else does: {events:?}");
        assert!(began.is_sorted() && began.ends_with(&queued), "{events:?}");
        assert!(began.len() <= queued.len() + 1, "one of them runs: {events:?}");
        see.saw(["not at all", "the last", "the last two", "all"][began.len()]);
    });
    seen.all();
}

/// Somebody asks the apartment to quit while its owner works off its batch: the posts run, and a message only if it has
/// begun before.
#[test]
fn quit_against_a_batch() {
    let seen = Seen::new(&["the message ran", "the message was dropped"]);
    let see = seen.clone();
    Model::new("quit against a batch").threads(2).unbounded().check(move || {
        let here = Process::new().sta("callee").enter().unwrap();
        let object = here.create(Order::default).unwrap();
        let (local, apartment) = (object.local().unwrap(), here.apartment().clone());
        let asked = Arc::new(AtomicU32::new(0));
        let (before, ran) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
        say(&object, 1);
        let (was_asked, told) = (asked.clone(), before.clone());
        object
            .post(move |order| {
                order.borrow_mut().push(2);
                told.store(was_asked.load(SeqCst), SeqCst);
            })
            .unwrap();
        let runs = ran.clone();
        apartment.post_message(MessageClass::User, move || runs.store(1, SeqCst)).unwrap();
        say(&object, 3);
        rung(&here);
        let quitter = thread::spawn(move || {
            apartment.quit();
            asked.store(1, SeqCst);
        });
        here.run();
        quitter.join().unwrap();
        assert_eq!(local.take(), [1, 2, 3]);
        let (before, ran) = (before.load(SeqCst) == 1, ran.load(SeqCst) == 1);
        assert!(!(before && ran), "a message runs though the door was closed before");
        see.saw(if ran { "the message ran" } else { "the message was dropped" });
        drop((local, object));
        drop(here);
    });
    seen.all();
}
