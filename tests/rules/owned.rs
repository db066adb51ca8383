//! CA-2 for calls that own what they hand over: their callers can leave them.

mod others;

use crate::cancels::{CANCELED, CANCELED_RUNNING, TIMED_OUT, TIMED_OUT_RUNNING, Tells, hangs, occupy, seen_as};
use crate::stage::{gate, hresult, incoming, like, pending, play, rejected, secs};
use crate::support::Log;
use apartment::{
    CallOptions, CancelHandle, CancelReason, MessageClass, Outcome, PendingAnswer, Process, Proxy, Retry, ServerCall,
    What, is_cancelled,
};
use crossbeam_channel::unbounded;
use std::cell::Cell;
use std::thread::{self};

#[test]
fn ca_2_an_owned_call_gives_its_result_and_pumps_like_any_other() {
    play(|stage| {
        let (a, b) = (stage.sta("a").spawn()?, stage.sta("b").spawn()?);
        let (at_a, at_b) = (a.create(|| Cell::new(0))?, b.create(|| 7)?);
        let back = at_a.clone();
        let result = at_a.call_owned(move |_| {
            at_b.call_owned(move |seven| {
                back.call(|count| count.set(*seven)).unwrap();
                String::from("seven")
            })
        })??;
        assert_eq!(result, "seven");
        assert_eq!(at_a.call(Cell::get)?, 7);
        Ok(())
    });
}

#[test]
fn ca_2_a_cancelled_owned_call_returns_while_its_callee_runs_on() {
    play(|stage| {
        let a = stage.sta("a").spawn()?;
        let at_a = a.create(|| ())?;
        let home = at_a.call(|()| thread::current().id())?;
        let cancel = CancelHandle::new();
        let (key, gate) = gate();
        let (method, told) = hangs(gate);
        let dropped = Log::new();
        let result = Tells(dropped.clone());
        stage.begin();
        thread::scope(|s| {
            let call = s.spawn(|| {
                let method = move |object: &()| {
                    method(object);
                    result
                };
                at_a.with(&CallOptions::new().cancel(&cancel)).call_owned(method).err().unwrap()
            });
            assert!(!told.recv().unwrap());
            cancel.cancel();
            assert_eq!(seen_as(call.join().unwrap()), CANCELED_RUNNING, "the callee stands at the gate all the while");
        });
        assert_eq!(stage.count(a.apartment(), like!(Ended)), 0);
        key.open();
        assert!(told.recv().unwrap(), "it is told that nobody waits for it");
        let late = stage.until(a.apartment(), like!(ResultDropped));
        assert!(stage.until(a.apartment(), like!(Ended)).seq < late.seq);
        at_a.call(|()| ())?;
        assert_eq!(dropped.take(), [home], "its result is dropped at home");
        Ok(())
    });
}

#[test]
fn ca_2_a_late_reply_reaches_no_later_wait() {
    play(|stage| {
        let (a, b) = (stage.sta("a").spawn()?, stage.sta("b").spawn()?);
        let (at_a, at_b) = (a.create(|| ())?, b.create(|| ())?);
        let cancel = CancelHandle::new();
        let (late, late_gate) = gate();
        let (method, told) = hangs(late_gate);
        let (next, next_gate) = gate();
        let (arrived, arrives) = unbounded();
        stage.begin();
        let second = thread::scope(|s| {
            let caller = s.spawn(|| {
                let options = CallOptions::new().cancel(&cancel);
                let left = at_a.with(&options).call_owned(move |object| (method(object), 1).1).unwrap_err();
                assert_eq!(seen_as(left), CANCELED_RUNNING);
                // The same thread, on the next call it makes.
                at_b.call_owned(move |()| {
                    arrived.send(()).unwrap();
                    next_gate.pass();
                    2
                })
            });
            assert!(!told.recv().unwrap());
            cancel.cancel();
            arrives.recv().unwrap();
            late.open();
            assert!(told.recv().unwrap(), "asked though its caller has another call out by now");
            stage.until(a.apartment(), like!(ResultDropped));
            assert_eq!(stage.count(b.apartment(), like!(Ended)), 0);
            next.open();
            caller.join().unwrap()
        })?;
        assert_eq!(second, 2);
        Ok(())
    });
}

#[test]
fn ca_2_a_panic_of_a_late_result_s_drop_is_contained() {
    struct Panics;
    impl Drop for Panics {
        fn drop(&mut self) {
            panic!("nobody wants it");
        }
    }
    play(|stage| {
        let a = stage.sta("a").spawn()?;
        let at_a = a.create(|| ())?;
        let cancel = CancelHandle::new();
        let (key, gate) = gate();
        let (method, told) = hangs(gate);
        thread::scope(|s| {
            s.spawn(|| {
                let options = CallOptions::new().cancel(&cancel);
                let method = move |object: &()| {
                    method(object);
                    Panics
                };
                at_a.with(&options).call_owned(method).err().unwrap()
            });
            told.recv().unwrap();
            cancel.cancel();
        });
        key.open();
        stage.until(
            a.apartment(),
            |what| matches!(what, What::Contained { message, .. } if &**message == "nobody wants it"),
        );
        at_a.call(|()| ()).expect("it goes on serving");
        Ok(())
    });
}

#[test]
fn ca_2_a_panic_of_a_revoked_closure_s_drop_is_contained() {
    struct Panics;
    impl Drop for Panics {
        fn drop(&mut self) {
            panic!("never run");
        }
    }
    play(|stage| {
        let a = stage.sta("a").spawn()?;
        let at_a = a.create(|| ())?;
        let busy = occupy(stage, &a);
        let held = Panics;
        stage.begin();
        thread::scope(|s| {
            let call = s.spawn(|| at_a.within(secs(1)).call_owned(move |()| drop(held)).unwrap_err());
            stage.until(a.apartment(), like!(Queued));
            stage.clock.advance(secs(1));
            assert_eq!(seen_as(call.join().unwrap()), TIMED_OUT);
        });
        stage.until_any(|event| matches!(&event.what, What::Contained { message, .. } if &**message == "never run"));
        busy.open();
        Ok(())
    });
}

#[test]
fn di_6_a_cancelled_owned_call_that_is_buried_returns_in_its_turn() {
    play(|stage| {
        let (a, b, c) = (stage.sta("a").spawn()?, stage.sta("b").spawn()?, stage.sta("c").spawn()?);
        let (at_a, at_b, at_c) = (a.create(|| ())?, b.create(|| ())?, c.create(|| ())?);
        let cancel = CancelHandle::new();
        let (outer_key, outer_gate) = gate();
        let (inner_key, inner_gate) = gate();
        let (method, told) = hangs(outer_gate);
        stage.begin();
        thread::scope(|s| {
            let outer = s.spawn(|| {
                at_a.call(|()| at_b.with(&CallOptions::new().cancel(&cancel)).call_owned(method).unwrap_err()).unwrap()
            });
            assert!(!told.recv().unwrap());
            let inner = s.spawn(|| at_a.call(|()| at_c.call(|()| inner_gate.pass()).unwrap()).unwrap());
            stage.until(c.apartment(), like!(Began));
            cancel.cancel();
            stage.until(b.apartment(), like!(CancelAsked { why: CancelReason::Handle }));
            // Cancelled, and its callee still runs: it could return, but for the one above it.
            at_a.call(|()| ()).expect("A serves all the same");
            assert_eq!(stage.count(a.apartment(), like!(WaitEnded)), 0);
            inner_key.open();
            inner.join().unwrap();
            assert_eq!(seen_as(outer.join().unwrap()), CANCELED_RUNNING);
        });
        outer_key.open();
        assert!(told.recv().unwrap());
        Ok(())
    });
}

#[test]
fn ca_2_a_reply_of_an_owned_call_that_was_recorded_before_the_cancel_wins() {
    play(|stage| {
        let (a, b) = (stage.sta("a").spawn()?, stage.sta("b").spawn()?);
        let (at_a, at_b) = (a.create(|| ())?, b.create(|| ())?);
        let cancel = CancelHandle::new();
        let (key, gate) = gate();
        let (back, inner) = (at_a.clone(), cancel.clone());
        stage.begin();
        let result = thread::scope(|s| {
            let call = s.spawn(|| {
                at_a.call(|()| {
                    at_b.with(&CallOptions::new().cancel(&cancel)).call_owned(move |()| {
                        // Buries the wait of its caller, and comes back while that is buried.
                        back.post(move |()| gate.pass()).unwrap();
                        5
                    })
                })
            });
            stage.until(b.apartment(), like!(Ended));
            // One look at the record is enough for the reply; the handle comes behind it.
            at_b.call(|()| ()).unwrap();
            inner.cancel();
            key.open();
            call.join().unwrap()
        })??;
        assert_eq!(result, 5);
        assert_eq!(stage.count(b.apartment(), like!(ResultDropped)), 0);
        Ok(())
    });
}

#[test]
fn ca_2_what_a_left_owned_call_has_out_is_cancelled_with_it() {
    play(|stage| {
        let (a, b) = (stage.sta("a").spawn()?, stage.sta("b").spawn()?);
        let (at_a, at_b) = (a.create(|| ())?, b.create(|| ())?);
        let cancel = CancelHandle::new();
        let (key, gate) = gate();
        let (method, told) = hangs(gate);
        let (seen, sees) = unbounded();
        thread::scope(|s| {
            let call = s.spawn(|| {
                let nested = move |(): &()| seen.send(at_b.call_owned(method).map_err(seen_as)).unwrap();
                at_a.with(&CallOptions::new().cancel(&cancel)).call_owned(nested).unwrap_err()
            });
            assert!(!told.recv().unwrap());
            cancel.cancel();
            assert_eq!(seen_as(call.join().unwrap()), CANCELED_RUNNING);
        });
        assert_eq!(sees.recv().unwrap(), Err(CANCELED_RUNNING), "the nested one owns, too, and need not wait either");
        key.open();
        assert!(told.recv().unwrap());
        stage.until(b.apartment(), like!(ResultDropped));
        Ok(())
    });
}

#[test]
fn ca_2_an_owned_call_at_home_is_direct_and_runs_to_its_end() {
    play(|stage| {
        let a = stage.sta("a").enter()?;
        let at_a = a.create(|| ())?;
        let cancel = CancelHandle::new();
        let dropped = Log::new();
        let (result, inner) = (Tells(dropped.clone()), cancel.clone());
        stage.begin();
        assert_eq!(at_a.call_owned(|()| 3)?, 3);
        let error = at_a.with(&CallOptions::new().cancel(&cancel)).call_owned(move |()| {
            inner.cancel();
            assert!(is_cancelled());
            result
        });
        assert_eq!(seen_as(error.err().unwrap()), CANCELED_RUNNING);
        assert_eq!(dropped.take(), [thread::current().id()]);
        assert_eq!(stage.count(a.apartment(), like!(Queued)), 0);
        assert_eq!(stage.count(a.apartment(), like!(ResultDropped)), 1);
        Ok(())
    });
}

#[test]
fn ca_2_a_left_owned_call_that_panics_has_no_result_to_drop() {
    play(|stage| {
        let a = stage.sta("a").spawn()?;
        let at_a = a.create(|| ())?;
        let (key, gate) = gate();
        let (method, told) = hangs(gate);
        stage.begin();
        thread::scope(|s| {
            let call = s.spawn(|| {
                let method = move |object: &()| -> u32 {
                    method(object);
                    panic!("nobody hears it")
                };
                at_a.within(secs(1)).call_owned(method).unwrap_err()
            });
            told.recv().unwrap();
            stage.clock.advance(secs(1));
            assert_eq!(seen_as(call.join().unwrap()), TIMED_OUT_RUNNING);
        });
        key.open();
        stage.until(a.apartment(), like!(Ended { panicked: Some(_) }));
        at_a.call(|()| ())?;
        assert_eq!(stage.count(a.apartment(), like!(ResultDropped)), 0);
        Ok(())
    });
}

#[test]
fn ca_2_a_late_result_of_the_mta_is_dropped_by_its_pool() {
    play(|stage| {
        let mta = stage.mta().spawn()?;
        let in_mta = mta.create(|| ())?;
        let a = stage.sta("a").enter()?;
        let (key, gate) = gate();
        let (method, told) = hangs(gate);
        let dropped = Log::new();
        let result = Tells(dropped.clone());
        let (pool, of_pool) = unbounded();
        let clock = stage.clock.clone();
        thread::scope(|s| {
            s.spawn(|| {
                told.recv().unwrap();
                clock.advance(secs(1));
            });
            let method = move |object: &()| {
                pool.send(thread::current().id()).unwrap();
                method(object);
                result
            };
            assert_eq!(seen_as(in_mta.within(secs(1)).call_owned(method).err().unwrap()), TIMED_OUT_RUNNING);
        });
        key.open();
        stage.until(mta.apartment(), like!(ResultDropped));
        drop(a);
        mta.quit();
        mta.join()?;
        assert_eq!(dropped.take(), [of_pool.recv().unwrap()]);
        Ok(())
    });
}
