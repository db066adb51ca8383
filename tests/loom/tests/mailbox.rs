//! Full mailboxes: what they may refuse, and what they can never hold up.
#![cfg(loom)]

use apartment::{CallError, CallOptions, PostOptions, Process, Reentrancy};
use apartment_models::{Borrowed, Model, Seen};
use loom::thread;
use std::cell::Cell;

/// A's one place is taken, and A waits for B. B's callback and B's reply come in all the same: they need no room.
#[test]
fn full_mailbox_and_reply() {
    Model::new("full mailbox, callback and reply").preemptions(3).check(|| {
        let process = Process::new();
        let here = process.sta("b").enter().unwrap();
        let b = here.create(|| ()).unwrap();
        let other = thread::spawn(move || {
            let here = process.sta("a").capacity(1).reentrancy(Reentrancy::SameCausality).enter().unwrap();
            let a = here.create(|| Cell::new(1)).unwrap();
            let lent = Borrowed::new();
            let answer = b.call(|()| {
                // Stays queued, room held, for as long as A waits: it is of another chain.
                a.post(|value| value.set(value.get() + 1)).unwrap();
                let refused = a.post(|_| unreachable!("there is no room for it")).unwrap_err();
                assert!(matches!(refused.error(), CallError::MailboxFull(full) if full.queued == 1));
                let value = a.call(|value| {
                    lent.add();
                    value.get()
                });
                b.apartment().unwrap().quit();
                value
            });
            assert_eq!(answer.unwrap().unwrap(), 1, "the post was held");
            assert_eq!(lent.get(), 1);
            assert_eq!(here.pump(), 1);
            assert_eq!(a.call(Cell::get).unwrap(), 2);
        });
        here.run();
        drop(here);
        other.join().unwrap();
    });
}

/// A caller and a poster wait for room in the same mailbox: both get it, in the order in which they came.
#[test]
fn waiting_for_room() {
    Model::new("waiting for room").preemptions(3).check(|| {
        let process = Process::new();
        let here = process.sta("callee").capacity(1).enter().unwrap();
        let object = here.create(|| Cell::new(0)).unwrap();
        let sender = thread::spawn(move || {
            let patient = PostOptions::new().wait_for_room();
            object.post(|seen| seen.set(seen.get() * 10 + 1)).unwrap();
            object.with(&patient).post(|seen| seen.set(seen.get() * 10 + 2)).unwrap();
            let options = CallOptions::new().wait_for_room();
            let seen = object.with(&options).call(|seen| {
                object.apartment().unwrap().quit();
                seen.get()
            });
            assert_eq!(seen.unwrap(), 12);
        });
        here.run();
        drop(here);
        sender.join().unwrap();
    });
}

/// Somebody who waits for room is turned away when the door closes; nobody is left waiting, and no closure is lost.
#[test]
fn waiting_for_room_against_quit() {
    let seen = Seen::new(&["ran", "turned away", "quit before it was sent"]);
    let see = seen.clone();
    Model::new("waiting for room against quit").threads(2).unbounded().check(move || {
        let here = Process::new().sta("callee").capacity(1).enter().unwrap();
        let object = here.create(|| Cell::new(0)).unwrap();
        let local = object.local().unwrap();
        let sender = thread::spawn(move || {
            if object.post(|count| count.set(count.get() + 1)).is_err() {
                return "quit before it was sent";
            }
            match object.with(&PostOptions::new().wait_for_room()).post(|count| count.set(count.get() + 1)) {
                Ok(()) => "ran",
                Err(refused) => {
                    assert_eq!(refused.error().hresult(), 0x8001_0108);
                    "turned away"
                }
            }
        });
        here.pump();
        drop(here);
        let outcome = sender.join().unwrap();
        let ran = match outcome {
            "ran" => 2,
            "turned away" => 1,
            _ => 0,
        };
        assert_eq!(local.get(), ran, "what was accepted ran, and nothing else");
        see.saw(outcome);
    });
    seen.all();
}
