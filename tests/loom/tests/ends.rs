//! Disconnecting an object against calls of it, and the end of a process against a call that is under way.
#![cfg(loom)]

use apartment::Process;
use apartment_models::{Borrowed, Model, Seen};
use loom::thread;
use std::sync::Arc;
use std::time::Duration;

/// With a clock that stands still: for ever.
const LONG: Duration = Duration::from_secs(1);

/// A direct call against a disconnecting from elsewhere: it ran to its end before that returned, or it did not run.
#[test]
fn disconnect_against_a_running_call() {
    let seen = Seen::new(&["ran", "disconnected"]);
    let see = seen.clone();
    Model::new("disconnect against a running call").threads(2).unbounded().check(move || {
        let here = Process::new().sta("home").enter().unwrap();
        let object = here.create(|| ()).unwrap();
        let guarded = Arc::new(Borrowed::new());
        let other = thread::spawn({
            let (object, guarded) = (object.clone(), guarded.clone());
            move || {
                object.disconnect().unwrap();
                // Nothing runs on the object any more that could touch it, too.
                guarded.add();
            }
        });
        see.saw(match object.call(|()| guarded.add()) {
            Ok(()) => "ran",
            Err(error) => {
                assert_eq!(error.hresult(), 0x8001_0108);
                "disconnected"
            }
        });
        other.join().unwrap();
        assert!(object.call(|()| ()).is_err());
        drop(here);
    });
    seen.all();
}

/// A call from elsewhere against a disconnecting from a third thread: it ran and was answered, or was turned away; the
/// object is dropped once, at home.
#[test]
fn disconnect_against_a_queued_call() {
    struct Object {
        home: thread::ThreadId,
        _leaks: loom::alloc::Track<()>,
    }
    impl Drop for Object {
        fn drop(&mut self) {
            assert_eq!(thread::current().id(), self.home, "an object is dropped on its apartment's thread");
        }
    }
    let seen = Seen::new(&["ran", "disconnected"]);
    let see = seen.clone();
    Model::new("disconnect against a queued call").preemptions(4).check(move || {
        let here = Process::new().sta("home").enter().unwrap();
        let object =
            here.create(|| Object { home: thread::current().id(), _leaks: loom::alloc::Track::new(()) }).unwrap();
        let caller = thread::spawn({
            let object = object.clone();
            move || {
                let lent = Borrowed::new();
                let result = object.call(|_| lent.add());
                assert_eq!(lent.get(), u32::from(result.is_ok()));
                result.map_err(|error| error.hresult())
            }
        });
        let other = thread::spawn(move || object.disconnect().unwrap());
        drop(here);
        other.join().unwrap();
        match caller.join().unwrap() {
            Ok(()) => see.saw("ran"),
            Err(number) => {
                assert_eq!(number, 0x8001_0108);
                see.saw("disconnected");
            }
        }
    });
    seen.all();
}

/// A process of two STAs ends while one of them calls the other and is called back: the chain ends in order, or is told
/// that it came too late, and everybody leaves.
#[test]
fn end_against_a_call_under_way() {
    let seen = Seen::new(&["finished", "too late"]);
    let see = seen.clone();
    Model::new("the process' end against a call under way").preemptions(2).check(move || {
        let process = Process::new();
        let (a, b) = (process.sta("a").spawn().unwrap(), process.sta("b").spawn().unwrap());
        let (at_a, at_b) = (a.create(|| 1_u32).unwrap(), b.create(|| 10_u32).unwrap());
        let ender = thread::spawn(move || process.end(LONG).unwrap().still_in.len());
        let called = at_a.call(|one| {
            let there = at_b.call(|ten| at_a.call(|one| *one).map(|again| ten + again));
            there.and_then(|sum| sum).map(|sum| sum + one)
        });
        assert_eq!(ender.join().unwrap(), 0);
        match called.and_then(|sum| sum) {
            Ok(sum) => {
                assert_eq!(sum, 12);
                see.saw("finished");
            }
            Err(error) => {
                assert_eq!(error.hresult(), 0x8001_0108);
                see.saw("too late");
            }
        }
        drop((a, b));
    });
    seen.all();
}

/// Two end the same process at once: one does, and the other is told so.
#[test]
fn two_ends_at_once() {
    let seen = Seen::new(&["under way", "over"]);
    let see = seen.clone();
    Model::new("two ends of a process at once").preemptions(3).check(move || {
        let process = Process::new();
        let sta = process.sta("sta").spawn().unwrap();
        let other = thread::spawn({
            let process = process.clone();
            move || process.end(LONG).map(|ended| ended.before)
        });
        let mine = process.end(LONG).map(|ended| ended.before);
        let (first, second) = match (mine, other.join().unwrap()) {
            (Ok(false), second) => (true, second),
            (second, Ok(false)) => (true, second),
            _ => (false, Ok(false)),
        };
        assert!(first, "one of them ends it");
        match second {
            Ok(before) => {
                assert!(before);
                see.saw("over");
            }
            Err(_) => see.saw("under way"),
        }
        drop(sta);
    });
    seen.all();
}

/// An MTA that is refused, for there is one, against the end of the process: that does not wait for what was not made.
#[test]
fn end_against_a_refused_mta() {
    let seen = Seen::new(&["refused", "stopping"]);
    let see = seen.clone();
    Model::new("end against a refused MTA").preemptions(2).check(move || {
        let process = Process::new();
        let mta = process.mta().threads(1).spawn().unwrap();
        let other = thread::spawn({
            let process = process.clone();
            move || process.mta().threads(1).spawn().unwrap_err().hresult()
        });
        let ended = process.end(LONG).unwrap();
        assert!(ended.still_in.is_empty());
        see.saw(match other.join().unwrap() {
            0x8000_4021 => "refused",
            0x8008_0008 => "stopping",
            other => panic!("{other:x}"),
        });
        drop(mta);
    });
    seen.all();
}

/// Two disconnect an object at once: when one of them has returned, the object cannot be had any more.
#[test]
fn two_disconnect_at_once() {
    Model::new("two disconnect an object at once").threads(2).unbounded().check(|| {
        let here = Process::new().sta("home").enter().unwrap();
        let object = here.create(|| ()).unwrap();
        let other = thread::spawn({
            let object = object.clone();
            move || object.disconnect().unwrap()
        });
        object.disconnect().unwrap();
        assert!(object.local().is_none());
        other.join().unwrap();
        drop(here);
    });
}
