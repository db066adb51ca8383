//! The global interface table: get against revoke.
#![cfg(loom)]

use apartment::{CallError, Cookie, GlobalTable, Process};
use apartment_models::{Model, Seen};
use loom::thread;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

/// An object that knows its thread, if it has one, and counts its drops.
struct Object {
    home: Option<thread::ThreadId>,
    drops: Arc<AtomicU32>,
    _leaks: loom::alloc::Track<()>,
}

impl Object {
    fn new(home: Option<thread::ThreadId>, drops: &Arc<AtomicU32>) -> Object {
        Object { home, drops: Arc::clone(drops), _leaks: loom::alloc::Track::new(()) }
    }
}

impl Drop for Object {
    fn drop(&mut self) {
        let here = thread::current().id();
        assert!(self.home.is_none_or(|home| home == here), "an object is dropped on its apartment's thread");
        self.drops.fetch_add(1, SeqCst);
    }
}

/// Gets the entry while another thread revokes it. Who has a reference has an object that is there.
fn get(table: &GlobalTable, cookie: Cookie<Object>, drops: &Arc<AtomicU32>) -> &'static str {
    match table.get(&cookie) {
        Ok(proxy) => {
            assert_eq!(drops.load(SeqCst), 0, "what was had is there");
            drop(proxy);
            "had"
        }
        Err(error) => {
            assert!(matches!(error, CallError::InvalidCookie), "{error}");
            "revoked"
        }
    }
}

/// An entry is had while it is revoked at the object's home, where there is another reference: it is had, or it is not
/// there any more; and the object goes once, at home.
#[test]
fn get_against_revoke() {
    let seen = Seen::new(&["had", "revoked"]);
    let see = seen.clone();
    Model::new("get against revoke").threads(2).unbounded().check(move || {
        let drops = Arc::new(AtomicU32::new(0));
        let process = Process::new();
        let table = process.global_table();
        let here = process.sta("home").enter().unwrap();
        let object = here.create(|| Object::new(Some(thread::current().id()), &drops)).unwrap();
        let cookie = table.register(&object).unwrap();
        let getter = thread::spawn({
            let (table, drops) = (table.clone(), drops.clone());
            move || get(&table, cookie, &drops)
        });
        table.revoke(&cookie).unwrap();
        assert!(matches!(table.get(&cookie), Err(CallError::InvalidCookie)), "revoked is revoked");
        see.saw(getter.join().unwrap());
        assert_eq!(drops.load(SeqCst), 0);
        drop(object);
        assert_eq!(drops.load(SeqCst), 1);
        drop(here);
    });
    seen.all();
}

/// The same where the entry is the last to hold the object: whoever has it from the table keeps it, and with whoever is
/// last it goes, once, at home.
#[test]
fn get_against_revoke_of_the_last_reference() {
    let seen = Seen::new(&["had", "revoked"]);
    let see = seen.clone();
    Model::new("get against revoke of the last reference").threads(2).unbounded().check(move || {
        let drops = Arc::new(AtomicU32::new(0));
        let process = Process::new();
        let table = process.global_table();
        let here = process.sta("home").enter().unwrap();
        let cookie = {
            let object = here.create(|| Object::new(Some(thread::current().id()), &drops)).unwrap();
            table.register(&object).unwrap()
        };
        let getter = thread::spawn({
            let (table, drops) = (table.clone(), drops.clone());
            move || get(&table, cookie, &drops)
        });
        table.revoke(&cookie).unwrap();
        see.saw(getter.join().unwrap());
        // The getter may have been the last, and left a release.
        here.pump();
        assert_eq!(drops.load(SeqCst), 1);
        drop(here);
    });
    seen.all();
}

/// Two threads revoke, and one of them gets: the entry goes once, and a free-threaded object with whoever is last.
#[test]
fn get_against_two_revokes_of_a_free_threaded_object() {
    let seen = Seen::new(&["had, and revoked by the same", "had, and revoked by the other", "not had"]);
    let see = seen.clone();
    Model::new("get against two revokes of a free-threaded object").threads(2).unbounded().check(move || {
        let drops = Arc::new(AtomicU32::new(0));
        let process = Process::new();
        let table = process.global_table();
        let cookie = table.register(&process.free_threaded(Object::new(None, &drops)).unwrap()).unwrap();
        let other = thread::spawn({
            let (table, drops) = (table.clone(), drops.clone());
            move || (get(&table, cookie, &drops), table.revoke(&cookie).is_ok())
        });
        let revoked = table.revoke(&cookie).is_ok();
        let (got, revoked_there) = other.join().unwrap();
        assert!(revoked != revoked_there, "it is revoked once");
        see.saw(match (got, revoked_there) {
            ("had", true) => "had, and revoked by the same",
            ("had", false) => "had, and revoked by the other",
            _ => "not had",
        });
        assert_eq!(drops.load(SeqCst), 1);
    });
    seen.all();
}
