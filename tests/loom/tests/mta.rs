//! The MTA: concurrent calls, callbacks to a thread that is blocked, and its end.
#![cfg(loom)]

use apartment::Process;
use apartment_models::{Borrowed, Model};
use loom::thread;

/// STA → MTA → STA → MTA: the pool's first thread is blocked in its own call, so the callback runs on a second one, which
/// the pool grows for it.
#[test]
fn mta_callback() {
    Model::new("MTA callback").preemptions(2).check(|| {
        let process = Process::new();
        let here = process.sta("sta").enter().unwrap();
        let mta = process.mta().threads(1).max_threads(2).spawn().unwrap();
        let shared = mta.create(|| 1_u32).unwrap();
        let home = here.create(|| 10_u32).unwrap();
        let lent = Borrowed::new();
        let sum = shared.call(|one| {
            let ten = home.call(|ten| {
                let one = shared.call(|one| {
                    lent.add();
                    *one
                });
                ten + one.unwrap()
            });
            ten.unwrap() + one
        });
        assert_eq!(sum.unwrap(), 12);
        assert_eq!(lent.get(), 1);
        drop((shared, home));
        drop(mta);
        drop(here);
    });
}

/// A call against the end of the MTA, whose last usage is given back meanwhile.
#[test]
fn mta_end_against_a_call() {
    Model::new("the MTA's end against a call").preemptions(2).check(|| {
        let process = Process::new();
        let mta = process.mta().threads(1).spawn().unwrap();
        let shared = mta.create(|| 1_u32).unwrap();
        let caller = thread::spawn({
            let process = process.clone();
            move || {
                let here = process.sta("caller").enter().unwrap();
                let lent = Borrowed::new();
                match shared.call(|one| {
                    lent.add();
                    *one
                }) {
                    Ok(one) => assert_eq!((one, lent.get()), (1, 1)),
                    Err(error) => assert_eq!((error.hresult(), lent.get()), (0x8001_0108, 0)),
                }
                drop(here);
            }
        });
        drop(mta);
        caller.join().unwrap();
    });
}

/// An STA gives up the last reference to an object of the MTA: a thread of the pool drops it, never the STA's.
#[test]
fn mta_release() {
    struct Shared {
        not_here: thread::ThreadId,
    }
    impl Drop for Shared {
        fn drop(&mut self) {
            assert_ne!(thread::current().id(), self.not_here, "an object of the MTA is dropped on a thread of the MTA");
        }
    }
    Model::new("a release into the MTA").preemptions(3).check(|| {
        let process = Process::new();
        let mta = process.mta().threads(1).spawn().unwrap();
        let here = process.sta("sta").enter().unwrap();
        let not_here = thread::current().id();
        let shared = mta.create(|| Shared { not_here }).unwrap();
        drop(shared);
        drop(mta);
        drop(here);
    });
}

/// A thread in no apartment calls the MTA directly while somebody asks it to quit: it ends all the same, and is joined.
#[test]
fn visit_against_quit() {
    Model::new("a visit against quit").preemptions(2).check(|| {
        let process = Process::new();
        let mta = process.mta().threads(1).spawn().unwrap();
        let shared = mta.create(|| 1_u32).unwrap();
        let quitter = thread::spawn({
            let apartment = mta.apartment().clone();
            move || apartment.quit()
        });
        match shared.call(|one| *one) {
            Ok(one) => assert_eq!(one, 1),
            Err(error) => assert_eq!(error.hresult(), 0x8001_0108),
        }
        quitter.join().unwrap();
        drop(mta);
        drop(shared);
    });
}
