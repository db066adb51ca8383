//! The MTA's pool when it cannot do what is asked of it at once: at its maximum, while it grows, and when that fails.
#![cfg(loom)]

use apartment::{CallError, Process};
use apartment_models::{Borrowed, Model, Seen, big_stack};
use loom::thread;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

/// A hook that fails for some of the pool's threads, by their number from zero.
fn fails_for(numbers: &'static [usize]) -> impl Fn() -> Result<(), &'static str> + Send + Sync + 'static {
    let made = Arc::new(AtomicUsize::new(0));
    move || match numbers.contains(&made.fetch_add(1, SeqCst)) {
        true => Err("no more"),
        false => Ok(()),
    }
}

/// STA → MTA → STA → MTA in a pool of one: nobody could ever serve the innermost call, and its caller is told so.
#[test]
fn nested_calls_at_the_maximum() {
    Model::new("nested calls in a pool at its maximum").preemptions(3).check(|| {
        big_stack(|| {
            let process = Process::new();
            let here = process.sta("sta").enter().unwrap();
            let mta = process.mta().threads(1).max_threads(1).spawn().unwrap();
            let (shared, home) = (mta.create(|| ()).unwrap(), here.create(|| ()).unwrap());
            let innermost = shared.call(|()| home.call(|()| shared.call(|()| ())).unwrap()).unwrap();
            assert!(matches!(innermost, Err(CallError::Deadlock(_))), "{innermost:?}");
            assert_eq!(shared.call(|()| 1).unwrap(), 1);
            drop((shared, home));
            drop(mta);
            drop(here);
        });
    });
}

/// The same in a pool that may have two threads: it grows for the innermost call, for its only one is blocked.
#[test]
fn nested_calls_below_the_maximum() {
    Model::new("nested calls in a pool below its maximum").preemptions(2).check(|| {
        big_stack(|| {
            let process = Process::new();
            let here = process.sta("sta").enter().unwrap();
            let mta = process.mta().threads(1).max_threads(2).spawn().unwrap();
            let (shared, home) = (mta.create(|| 1).unwrap(), here.create(|| 10).unwrap());
            let lent = Borrowed::new();
            let sum = shared.call(|one| {
                let inner = home.call(|ten| {
                    let innermost = shared.call(|one| {
                        lent.add();
                        *one
                    });
                    ten + innermost.unwrap()
                });
                one + inner.unwrap()
            });
            assert_eq!(sum.unwrap(), 12);
            assert_eq!(lent.get(), 1);
            drop((shared, home));
            drop(mta);
            drop(here);
        });
    });
}

/// The pool is to grow for the innermost call, and its second thread dies in its hook: the call is answered, for nobody else
/// would serve it. The next one finds the first thread.
#[test]
fn growth_that_fails() {
    Model::new("a pool's growth that fails").preemptions(2).check(|| {
        big_stack(|| {
            let process = Process::new();
            let here = process.sta("sta").enter().unwrap();
            let mta = process.mta().threads(1).max_threads(2).around(fails_for(&[1])).spawn().unwrap();
            let (shared, home) = (mta.create(|| ()).unwrap(), here.create(|| ()).unwrap());
            let lent = Borrowed::new();
            let innermost = shared.call(|()| home.call(|()| shared.call(|()| lent.add())).unwrap()).unwrap();
            assert_eq!(innermost.unwrap_err().hresult(), 0x8001_0100);
            assert_eq!(lent.get(), 0);
            drop((shared, home));
            drop(mta);
            drop(here);
        });
    });
}

/// The same, and the innermost call is made again: in the place of the thread that died another is started.
#[test]
fn growth_after_one_that_fails() {
    Model::new("a pool's growth after one that fails").preemptions(2).check(|| {
        big_stack(|| {
            let process = Process::new();
            let here = process.sta("sta").enter().unwrap();
            let mta = process.mta().threads(1).max_threads(2).around(fails_for(&[1])).spawn().unwrap();
            let (shared, home) = (mta.create(|| ()).unwrap(), here.create(|| ()).unwrap());
            let lent = Borrowed::new();
            let innermost = shared.call(|()| {
                home.call(|()| {
                    shared.call(|()| ()).unwrap_err();
                    shared.call(|()| lent.add())
                })
            });
            innermost.unwrap().unwrap().expect("another thread in its place");
            assert_eq!(lent.get(), 1);
            drop((shared, home));
            drop(mta);
            drop(here);
        });
    });
}

/// Two STAs call a pool of one thread at once: one is served after the other, or the one that comes while the thread goes
/// idle wakes it.
#[test]
fn two_callers_of_one_thread() {
    let seen = Seen::new(&["first", "second"]);
    let see = seen.clone();
    Model::new("two callers of a pool's one thread").preemptions(2).check(move || {
        let process = Process::new();
        let mta = process.mta().threads(1).max_threads(1).spawn().unwrap();
        let shared = mta.create(|| AtomicUsize::new(0)).unwrap();
        let call = |name: &'static str| {
            let (process, shared) = (process.clone(), shared.clone());
            move || {
                let here = process.sta(name).enter().unwrap();
                let before = shared.call(|n| n.fetch_add(1, SeqCst)).unwrap();
                drop(shared);
                drop(here);
                before
            }
        };
        let other = thread::spawn(call("other"));
        let own = call("own")();
        assert_eq!(own + other.join().unwrap(), 1);
        see.saw(if own == 0 { "first" } else { "second" });
        drop(shared);
        drop(mta);
    });
    seen.all();
}

/// A pool of two threads, both of them idle, ends: each leaves, whoever closes the door.
#[test]
fn end_of_two_idle_threads() {
    Model::new("the end of a pool's two idle threads").preemptions(2).check(|| {
        let process = Process::new();
        let here = process.sta("sta").enter().unwrap();
        let mta = process.mta().threads(1).max_threads(2).spawn().unwrap();
        let (shared, home) = (mta.create(|| ()).unwrap(), here.create(|| ()).unwrap());
        // Blocked in this, its thread has another started for the post.
        shared.call(|()| home.call(|()| shared.post(|()| ()).unwrap()).unwrap()).unwrap();
        drop((shared, home));
        drop(mta);
        drop(here);
    });
}
