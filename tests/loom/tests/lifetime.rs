//! Quitting, ending and the last release, against calls that come in meanwhile.
#![cfg(loom)]

use apartment::{CallError, Outcome, Process};
use apartment_models::{Borrowed, Model, Seen};
use loom::thread;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

/// A call against quit: it runs and is answered, or it has not run and says so.
#[test]
fn quit_against_a_call() {
    let seen = Seen::new(&["ran", "disconnected"]);
    let see = seen.clone();
    Model::new("quit against a call").threads(2).unbounded().check(move || {
        let here = Process::new().sta("callee").enter().unwrap();
        let object = here.create(|| ()).unwrap();
        let caller = thread::spawn(move || {
            let lent = Borrowed::new();
            match object.call(|()| lent.add()) {
                Ok(()) => {
                    assert_eq!(lent.get(), 1);
                    "ran"
                }
                Err(error) => {
                    assert!(matches!(error, CallError::Disconnected(_)));
                    assert_eq!((error.outcome(), lent.get()), (Outcome::NotStarted, 0));
                    "disconnected"
                }
            }
        });
        drop(here);
        see.saw(caller.join().unwrap());
    });
    seen.all();
}

/// Quit against a post: what was accepted runs, what was not is handed back.
#[test]
fn quit_against_a_post() {
    let seen = Seen::new(&["ran", "handed back"]);
    let see = seen.clone();
    Model::new("quit against a post").threads(2).unbounded().check(move || {
        let here = Process::new().sta("callee").enter().unwrap();
        let object = here.create(|| ()).unwrap();
        // std's own: counting is no part of the model.
        let runs = Arc::new(AtomicU32::new(0));
        let sender = thread::spawn({
            let runs = runs.clone();
            move || {
                let run = move |(): &()| {
                    runs.fetch_add(1, SeqCst);
                };
                object.post(run).is_ok()
            }
        });
        drop(here);
        let accepted = sender.join().unwrap();
        assert_eq!(runs.load(SeqCst), u32::from(accepted), "what was accepted runs, and nothing else");
        see.saw(if accepted { "ran" } else { "handed back" });
    });
    seen.all();
}

/// An object that knows its thread and counts its drops.
struct Object {
    home: thread::ThreadId,
    drops: Arc<AtomicU32>,
    _leaks: loom::alloc::Track<()>,
}

impl Drop for Object {
    fn drop(&mut self) {
        assert_eq!(thread::current().id(), self.home, "an object is dropped on its apartment's thread");
        self.drops.fetch_add(1, SeqCst);
    }
}

/// The last reference goes while the apartment ends: the object is dropped once, at home, and not leaked.
#[test]
fn last_release_against_quit() {
    Model::new("last release against quit").threads(2).unbounded().check(|| {
        let drops = Arc::new(AtomicU32::new(0));
        let here = Process::new().sta("home").enter().unwrap();
        let object = {
            let drops = drops.clone();
            let make = || Object { home: thread::current().id(), drops, _leaks: loom::alloc::Track::new(()) };
            here.create(make).unwrap()
        };
        let other = thread::spawn(move || drop(object));
        drop(here);
        assert_eq!(drops.load(SeqCst), 1, "dropped when its apartment ended, or before");
        other.join().unwrap();
    });
}

/// Two threads give up their references while the owner serves: the last of them releases, and the object is dropped at
/// home, once.
#[test]
fn last_release_of_two() {
    Model::new("last release of two").unbounded().check(|| {
        let drops = Arc::new(AtomicU32::new(0));
        let here = Process::new().sta("home").enter().unwrap();
        let object = {
            let drops = drops.clone();
            let make = || Object { home: thread::current().id(), drops, _leaks: loom::alloc::Track::new(()) };
            here.create(make).unwrap()
        };
        let one = thread::spawn({
            let object = object.clone();
            move || drop(object)
        });
        let two = thread::spawn(move || drop(object));
        one.join().unwrap();
        two.join().unwrap();
        here.pump();
        assert_eq!(drops.load(SeqCst), 1);
        drop(here);
    });
}
