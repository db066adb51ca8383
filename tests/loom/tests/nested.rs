//! Calls in the waits of other calls: what comes back inside, and what has to wait for its turn.
#![cfg(loom)]

use apartment::{Process, Proxy};
use apartment_models::{Borrowed, Model, Seen, big_spawn, big_stack};
use loom::sync::mpsc;
use loom::thread;
use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// A → B → A → B: four calls deep on two threads. Each wait serves the next call, and each reply finds its own call.
#[test]
fn callback_of_a_callback() {
    Model::new("callback of a callback (A calls B calls A calls B)").preemptions(2).check(|| {
        big_stack(|| {
            let process = Process::new();
            let sta = process.sta("b").spawn().unwrap();
            let here = process.sta("a").enter().unwrap();
            let (a, b) = (here.create(|| 10).unwrap(), sta.create(|| 2).unwrap());
            let lent = Borrowed::new();
            let sum = b.call(|two| {
                let inner = a.call(|ten| {
                    let innermost = b.call(|two| {
                        lent.add();
                        *two
                    });
                    ten + innermost.unwrap()
                });
                two + inner.unwrap()
            });
            assert_eq!(sum.unwrap(), 14);
            assert_eq!(lent.get(), 1);
            drop((a, b));
            drop(sta);
            drop(here);
        });
    });
}

/// A's call is answered while A, in the wait for it, serves a post and calls out in that: the inner wait may consume the
/// ring of the outer reply. The inner call comes back first, and the outer one is not forgotten.
#[test]
fn outer_reply_in_an_inner_wait() {
    Model::new("the outer reply in an inner wait").preemptions(3).check(|| {
        let process = Process::new();
        let here = process.sta("b").enter().unwrap();
        let b = here.create(|| ()).unwrap();
        let other = big_spawn(move || {
            let here = process.sta("a").enter().unwrap();
            let a = here.create(|| RefCell::new(Vec::new())).unwrap();
            let local = a.local().unwrap();
            let (outer, inner) = (Borrowed::new(), b.clone());
            b.call(|()| {
                outer.add();
                a.post(move |log| {
                    log.borrow_mut().push("inner begins");
                    let lent = Borrowed::new();
                    inner.call(|()| lent.add()).unwrap();
                    assert_eq!(lent.get(), 1, "the inner call has its own reply");
                    log.borrow_mut().push("inner ends");
                })
                .unwrap();
            })
            .unwrap();
            assert_eq!(outer.get(), 1);
            local.borrow_mut().push("outer ends");
            here.pump();
            b.apartment().unwrap().quit();
            let log = local.borrow();
            let at = |what| log.iter().position(|entry| *entry == what).unwrap();
            // The post ran in the wait, or after it; the waits end as they nest.
            assert!(at("outer ends") < at("inner begins") || at("inner ends") < at("outer ends"), "{log:?}");
        });
        here.run();
        drop(here);
        other.join().unwrap();
    });
}

/// The same where the inner call is to a third apartment, which answers only when the outer reply has been given: the outer
/// call still returns after the inner one.
#[test]
fn outer_reply_before_the_inner_one() {
    let seen = Seen::new(&["in the wait", "after it"]);
    let see = seen.clone();
    Model::new("the outer reply before the inner one").preemptions(2).check(move || {
        let process = Process::new();
        let (replied, has_replied) = mpsc::channel();
        let b = process.sta("b").spawn().unwrap();
        let at_b = b.create(|| ()).unwrap();
        let c = process.sta("c").enter().unwrap();
        let at_c = c.create(|| Cell::new(Some(has_replied))).unwrap();
        let done = Arc::new(AtomicU32::new(0));
        let other = big_spawn({
            let (process, done) = (process.clone(), Arc::clone(&done));
            move || {
                let here = process.sta("a").enter().unwrap();
                let a = here.create(|| Cell::new(false)).unwrap();
                let local = a.local().unwrap();
                let (inner, ended) = (at_c.clone(), Arc::clone(&done));
                let outer = at_b.call(|()| {
                    a.post(move |in_the_wait| {
                        in_the_wait.set(ended.load(Relaxed) == 0);
                        // Its answer takes until B runs what comes after A's call.
                        inner.call(|replied| replied.take().unwrap().recv().unwrap()).unwrap();
                        ended.fetch_add(1, Relaxed);
                    })
                    .unwrap();
                    let own = at_b.clone();
                    own.post(move |()| replied.send(()).unwrap()).unwrap();
                });
                outer.unwrap();
                let before = done.fetch_add(10, Relaxed);
                here.pump();
                at_c.apartment().unwrap().quit();
                assert_eq!(before == 1, local.get(), "what began in the wait ended before it");
                if local.get() { "in the wait" } else { "after it" }
            }
        });
        c.run();
        drop(c);
        see.saw(other.join().unwrap());
        drop(b);
    });
    seen.all();
}

/// B posts to A and calls A back in the same breath: A, in its wait, runs them in the order in which B has sent them.
#[test]
fn order_of_a_post_and_a_callback() {
    Model::new("the order of a post and a callback").preemptions(3).check(|| {
        let process = Process::new();
        let here = process.sta("b").enter().unwrap();
        let b = here.create(|| ()).unwrap();
        let other = thread::spawn(move || {
            let here = process.sta("a").enter().unwrap();
            let a = here.create(|| Cell::new(0)).unwrap();
            let seen = b.call(|()| {
                a.post(|n| n.set(1)).unwrap();
                let seen = a.call(Cell::get);
                b.apartment().unwrap().quit();
                seen.unwrap()
            });
            assert_eq!(seen.unwrap(), 1, "the callback came after the post");
        });
        here.run();
        drop(here);
        other.join().unwrap();
    });
}

/// Knows its home, and says when it is dropped.
struct Home {
    thread: thread::ThreadId,
    dropped: mpsc::Sender<()>,
}

impl Drop for Home {
    fn drop(&mut self) {
        assert_eq!(thread::current().id(), self.thread, "an object of an STA is dropped at home");
        self.dropped.send(()).unwrap();
    }
}

/// B, while A waits for it, gives up the last reference to an object of A's and waits until that is dropped: A drops it in
/// its wait.
#[test]
fn last_release_in_a_call() {
    Model::new("the last release in a call").preemptions(4).check(|| {
        let process = Process::new();
        let here = process.sta("b").enter().unwrap();
        let b = here.create(|| ()).unwrap();
        let other = thread::spawn(move || {
            let here = process.sta("a").enter().unwrap();
            let (dropped, is_dropped) = mpsc::channel();
            let object: Proxy<Home> = here.create(|| Home { thread: thread::current().id(), dropped }).unwrap();
            b.call(move |()| {
                drop(object);
                is_dropped.recv().unwrap();
            })
            .unwrap();
            b.apartment().unwrap().quit();
            drop(here);
        });
        here.run();
        drop(here);
        other.join().unwrap();
    });
}

/// The last reference to an object is given up in a call of that object, on its own thread: it goes when the call has
/// ended, not under it.
#[test]
fn own_release_in_a_call() {
    struct Object(Cell<bool>);
    impl Drop for Object {
        fn drop(&mut self) {
            assert!(!self.0.get(), "it is dropped under its own call");
        }
    }
    Model::new("the release of an object in its own call").threads(2).unbounded().check(|| {
        let here = Process::new().sta("callee").enter().unwrap();
        let object = here.create(|| Object(Cell::new(false))).unwrap();
        let apartment = here.apartment().clone();
        let caller = thread::spawn(move || {
            let last = object.clone();
            let runs = object.post(move |object| {
                object.0.set(true);
                drop(last);
                object.0.set(false);
            });
            runs.unwrap();
            drop(object);
            apartment.quit();
        });
        here.run();
        drop(here);
        caller.join().unwrap();
    });
}

/// An object owns the handle of the apartment that it lives in, and is dropped there: the handle's drop does not wait for
/// its own thread.
#[test]
fn own_handle_dropped_at_home() {
    Model::new("an apartment's own handle dropped at home").preemptions(3).check(|| {
        // Told of the deadlock, the handle would not wait.
        let process = Process::builder().without_deadlock_detection().build();
        let sta = process.sta("owns itself").spawn().unwrap();
        let apartment = sta.apartment().clone();
        let object = sta.create(|| Cell::new(None)).unwrap();
        let lent = Borrowed::new();
        object.call(|own| own.set(Some(sta))).unwrap();
        object
            .call(|own| {
                lent.add();
                drop(own.take());
            })
            .unwrap();
        assert_eq!(lent.get(), 1);
        // It was asked to quit by that, and ends without anybody.
        assert!(object.call(|_| ()).is_err());
        drop((object, apartment));
    });
}
