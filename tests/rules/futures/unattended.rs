//! Futures that nobody looks after, and what their callers, policies and wakers do where they are not expected to.

use super::*;
use crate::stage::{incoming, millis};
use crate::support::forget;
use apartment::{Entered, EntryAt, Reentrancy, RejectedCall, Retry, RetryPolicy, ServerCall, WaitFor};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};

thread_local! {
    /// The guard of the thread's own apartment, where a waker gets at it.
    static HERE: Cell<Option<Entered>> = const { Cell::new(None) };
}

#[test]
fn mb_7_a_future_past_its_deadline_that_nobody_polls_makes_room() {
    play(|stage| {
        let a = stage.sta("a").capacity(1).reentrancy(Reentrancy::None).spawn()?;
        let b = stage.sta("b").spawn()?;
        let (at_a, at_b) = (a.create(|| ())?, b.create(|| ())?);
        let (key, gate) = gate();
        stage.begin();
        thread::scope(|s| {
            s.spawn(|| at_a.call(|()| at_b.call(|()| gate.pass()).unwrap()).unwrap());
            stage.until(b.apartment(), like!(Began));
            stage.begin();
            let forgotten = at_a.with(&AsyncOptions::new().within(secs(1))).call_async(|()| ());
            let behind = s.spawn(|| at_a.with(&CallOptions::new().wait_for_room()).call(|()| 3).unwrap());
            stage.until_any(|event| matches!(event.what, What::WaitTurned { on: WaitFor::Room, .. }));
            stage.clock.advance(secs(1));
            stage.until(a.apartment(), like!(Revoked { why: CancelReason::Deadline }));
            stage.until_nth(2, a.apartment(), like!(Queued));
            assert_eq!(seen_as(pollster::block_on(forgotten).unwrap_err()), TIMED_OUT);
            key.open();
            assert_eq!(behind.join().unwrap(), 3);
        });
        Ok(())
    });
}

#[test]
fn lt_2_a_thread_leaves_when_a_waker_has_dropped_its_guard() {
    play(|stage| {
        let a = stage.sta("a").spawn()?;
        let at_a = a.create(|| ())?;
        let busy = occupy(stage, &a);
        let here = stage.sta("here").enter()?;
        let own = here.apartment().clone();
        HERE.set(Some(here));
        let cancel = CancelHandle::new();
        let mut call = at_a.with(&AsyncOptions::new().cancel(&cancel)).call_async(|()| ());
        assert!(is_pending(&mut call, &runs(|| drop(HERE.take()))));
        cancel.cancel();
        assert!(stage.process.current().apartment.is_none());
        assert_eq!(stage.count(&own, like!(ApartmentEnded)), 1);
        assert_eq!(seen_as(ready(&mut call, Waker::noop()).unwrap_err()), CANCELED);
        busy.open();
        Ok(())
    });
}

#[test]
fn lt_2_a_thread_leaves_when_a_future_s_policy_has_dropped_its_guard() {
    play(|stage| {
        let made = stage.sta("busy").filter(busy_after_the_first).spawn()?;
        let object = made.create(|| ())?;
        let here = stage.sta("here").enter()?;
        HERE.set(Some(here));
        let gives_up = |_: &RejectedCall| {
            drop(HERE.take());
            Retry::GiveUp
        };
        let mut call = object.with(&AsyncOptions::new().retry(gives_up)).call_async(|()| ());
        let (waker, woken) = waker();
        if is_pending(&mut call, &waker) {
            woken.recv().unwrap();
            ready(&mut call, &waker).unwrap_err();
        }
        assert!(stage.process.current().apartment.is_none());
        Ok(())
    });
}

/// Lets in what makes the object, and nothing else.
fn busy_after_the_first() -> crate::stage::Answers {
    let made = Cell::new(false);
    incoming(move |_| if made.replace(true) { ServerCall::RetryLater } else { ServerCall::Handled })
}

/// A policy whose destructor panics.
struct Policy;

impl RetryPolicy for Policy {
    fn retry_rejected(&self, _: &RejectedCall) -> Retry {
        Retry::After(secs(100))
    }
}

impl Drop for Policy {
    fn drop(&mut self) {
        panic!("a policy goes");
    }
}

#[test]
fn mf_9_a_panic_of_a_future_s_policy_s_drop_is_contained() {
    play(|stage| {
        let a = stage.sta("a").spawn()?;
        let at_a = a.create(|| 3)?;
        let contained = || {
            let goes = |what: &What| matches!(what, What::Contained { message, .. } if &**message == "a policy goes");
            stage.events().iter().filter(|event| goes(&event.what)).count()
        };
        // With the result, and with a future that is dropped while something unwinds.
        let call = at_a.with(&AsyncOptions::new().retry(Policy)).call_async(|n| *n);
        assert_eq!(pollster::block_on(call)?, 3);
        assert_eq!(contained(), 1);
        let busy = occupy(stage, &a);
        let unwound = catch_unwind(AssertUnwindSafe(|| {
            let _call = at_a.with(&AsyncOptions::new().retry(Policy)).call_async(|n| *n);
            panic!("the caller goes");
        }));
        assert_eq!(unwound.unwrap_err().downcast_ref(), Some(&"the caller goes"));
        assert_eq!(contained(), 2);
        busy.open();
        Ok(())
    });
}

#[test]
fn dg_1_a_future_s_next_attempt_is_queued_since_it_came() {
    play(|stage| {
        let filter = || {
            let made = Cell::new(0);
            incoming(move |_| {
                made.set(made.get() + 1);
                if made.get() == 2 { ServerCall::RetryLater } else { ServerCall::Handled }
            })
        };
        let a = stage.sta("a").filter(filter).spawn()?;
        let at_a = a.create(|| ())?;
        let asked = Arc::new(AtomicBool::new(false));
        let asks = Arc::clone(&asked);
        let later = move |_: &RejectedCall| {
            asks.store(true, Ordering::Relaxed);
            Retry::After(secs(5))
        };
        let mut call = at_a.with(&AsyncOptions::new().retry(later)).call_async(|()| ());
        let (waker, woken) = waker();
        // It is refused before the first poll, or after it.
        while is_pending(&mut call, &waker) && !asked.load(Ordering::Relaxed) {
            woken.recv().unwrap();
        }
        let busy = occupy(stage, &a);
        stage.clock.advance(secs(5));
        assert!(is_pending(&mut call, &waker));
        let snapshot = stage.process.snapshot();
        let entries = &snapshot.apartments[0].entries;
        assert_eq!((entries.len(), entries[0].at, entries[0].since), (1, EntryAt::Room, secs(5)));
        busy.open();
        pollster::block_on(call)
    });
}

/// A result whose destructor takes its time.
struct Slow {
    arrived: Sender<()>,
    gate: Gate,
    then: Box<dyn FnMut() + Send>,
}

impl Drop for Slow {
    fn drop(&mut self) {
        self.arrived.send(()).unwrap();
        self.gate.pass();
        (self.then)();
    }
}

#[test]
fn lt_2_the_mta_ends_after_a_late_result_has_gone() {
    play(|stage| {
        let mta = stage.mta().threads(2).spawn()?;
        let in_mta = mta.create(|| ())?;
        // Both threads of the pool are there.
        let (first, gate_of_first) = gate();
        let (method, told) = hangs(gate_of_first);
        let held = in_mta.call_async(method);
        told.recv().unwrap();
        in_mta.call_async(|()| ()).await_here()?;
        first.open();
        held.await_here()?;

        let (key, gate_of_method) = gate();
        let (leave, gate_of_drop) = gate();
        let (method, told) = hangs(gate_of_method);
        let (arrived, arrives) = unbounded();
        let (seen, sees) = unbounded();
        let again = in_mta.clone();
        let then = Box::new(move || {
            // Time for the others to end what is to be ended.
            (0..2_000).for_each(|_| thread::yield_now());
            seen.send(again.call(|()| ()).is_ok()).unwrap();
        });
        let call = in_mta.call_async(move |object| {
            method(object);
            Slow { arrived, gate: gate_of_drop, then }
        });
        told.recv().unwrap();
        drop(call);
        key.open();
        arrives.recv().unwrap();
        mta.quit();
        leave.open();
        assert!(sees.recv().unwrap(), "the result goes before the objects do");
        mta.join()
    });
}

trait AwaitHere {
    type Output;
    fn await_here(self) -> Self::Output;
}

impl<F: Future> AwaitHere for F {
    type Output = F::Output;
    fn await_here(self) -> F::Output {
        pollster::block_on(self)
    }
}

// ---- sound: kept as they are

#[test]
fn ck_7_a_waker_may_drop_the_future_that_it_is_of_and_the_last_proxy_and_quit() {
    play(|stage| {
        for cancelled in [false, true] {
            let a = stage.sta("a").spawn()?;
            let at_a = a.create(|| ())?;
            let (key, gate) = gate();
            let (method, told) = hangs(gate);
            let busy = if cancelled { Some(occupy(stage, &a)) } else { None };
            let dropped = Log::new();
            let result = Tells(dropped.clone());
            let cancel = CancelHandle::new();
            let call = at_a.with(&AsyncOptions::new().cancel(&cancel)).call_async(move |object| {
                method(object);
                result
            });
            let slot = Arc::new(Mutex::new(Some((call, at_a))));
            let (done, ended) = unbounded();
            let (inner, apartment) = (Arc::clone(&slot), a.apartment().clone());
            let waker = runs(move || {
                let taken = inner.lock().unwrap().take();
                drop(taken);
                apartment.quit();
                done.send(()).unwrap();
            });
            if let Some((call, _)) = &mut *slot.lock().unwrap() {
                assert!(is_pending(call, &waker));
            }
            if cancelled {
                cancel.cancel();
            } else {
                told.recv().unwrap();
                key.open();
            }
            ended.recv().unwrap();
            drop(busy);
            a.join()?;
            assert_eq!(dropped.take().len(), 1);
        }
        Ok(())
    });
}

#[test]
fn lt_1_a_future_goes_in_a_thread_local_s_destructor() {
    struct Last(Option<Box<dyn FnOnce()>>);
    impl Drop for Last {
        fn drop(&mut self) {
            (self.0.take().unwrap())();
        }
    }
    thread_local! {
        static LAST: Cell<Option<Last>> = const { Cell::new(None) };
    }
    play(|stage| {
        let a = stage.sta("a").spawn()?;
        let at_a = a.create(|| Cell::new(0))?;
        let busy = occupy(stage, &a);
        let (seen, sees) = unbounded();
        let inner = at_a.clone();
        let clock = stage.clock.clone();
        let last = thread::spawn(move || {
            // First this one's destructor is registered, so that the library's own locals go before it.
            let mut queued = inner.call_async(|n| n.set(1));
            let policy = |_: &RejectedCall| Retry::Now;
            let last = move || {
                assert!(is_pending(&mut queued, Waker::noop()));
                drop(queued);
                let options = AsyncOptions::new().within(secs(1)).retry(policy);
                let mut made = inner.with(&options).call_async(|n| n.set(2));
                let (waker, woken) = waker();
                assert!(is_pending(&mut made, &waker));
                clock.advance(secs(1));
                seen.send(seen_as(ready(&mut made, &waker).unwrap_err())).unwrap();
                drop((made, woken));
            };
            LAST.set(Some(Last(Some(Box::new(last)))));
        });
        last.join().unwrap();
        assert_eq!(sees.recv().unwrap(), TIMED_OUT);
        busy.open();
        assert_eq!(at_a.call(Cell::get)?, 0);
        Ok(())
    });
}

#[test]
fn ck_7_a_future_is_polled_on_its_object_s_own_thread() {
    play(|stage| {
        let here = stage.sta("here").enter()?;
        let object = here.create(|| 3)?;
        let mut call = thread::scope(|s| s.spawn(|| object.call_async(|n| *n)).join().unwrap());
        let (waker, woken) = waker();
        assert!(is_pending(&mut call, &waker));
        here.pump();
        assert_eq!(woken.recv().unwrap(), thread::current().id());
        assert_eq!(ready(&mut call, &waker)?, 3);
        Ok(())
    });
}

#[test]
fn ck_7_a_forgotten_future_s_call_runs_and_holds_nobody_up() {
    play(|stage| {
        let a = stage.sta("a").spawn()?;
        let at_a = a.create(|| Cell::new(0))?;
        let busy = occupy(stage, &a);
        let options = AsyncOptions::new().within(secs(1));
        let mut polled = at_a.with(&options).call_async(|n| n.set(n.get() + 1));
        assert!(is_pending(&mut polled, Waker::noop()));
        forget(polled);
        forget(at_a.call_async(|n| n.set(n.get() + 10)));
        busy.open();
        assert_eq!(at_a.call(Cell::get)?, 11);
        stage.clock.advance(secs(2));
        assert_eq!(at_a.call(Cell::get)?, 11);
        a.quit();
        a.join()
    });
}

#[test]
fn ck_7_times_without_end_and_of_no_length() {
    play(|stage| {
        let a = stage.sta("a").capacity(1).spawn()?;
        let at_a = a.create(|| 3)?;
        let for_ever = std::time::Duration::MAX;
        let later = move |_: &RejectedCall| Retry::After(for_ever);
        let options = AsyncOptions::new().within(for_ever).wait_for_room_within(for_ever).retry(later);
        assert_eq!(pollster::block_on(at_a.with(&options).call_async(|n| *n))?, 3);
        let none = at_a.within(millis(0)).call_async(|n| *n);
        assert_eq!(seen_as(pollster::block_on(none).unwrap_err()), TIMED_OUT);
        let busy = occupy(stage, &a);
        at_a.post(|_| ())?;
        let options = AsyncOptions::new().wait_for_room_within(millis(0));
        let mut call = at_a.with(&options).call_async(|n| *n);
        assert!(matches!(ready(&mut call, Waker::noop()), Err(CallError::MailboxFull(_))));
        busy.open();
        Ok(())
    });
}

#[test]
fn ca_2_an_owned_call_s_late_callback_finds_whoever_left_it() {
    play(|stage| {
        let a = stage.sta("a").reentrancy(Reentrancy::SameCausality).spawn()?;
        let b = stage.sta("b").spawn()?;
        let (at_a, at_b) = (a.create(|| Cell::new(0))?, b.create(|| ())?);
        let (key, gate) = gate();
        let (arrived, arrives) = unbounded();
        let (seen, sees) = unbounded();
        let cancel = CancelHandle::new();
        thread::scope(|s| {
            let left = s.spawn(|| {
                at_a.call(|_| {
                    let back = at_a.clone();
                    let options = CallOptions::new().cancel(&cancel);
                    at_b.with(&options).call_owned(move |()| {
                        arrived.send(()).unwrap();
                        gate.pass();
                        let nested = back.call(|n| n.set(1)).map_err(seen_as);
                        let posted = back.post(|n| n.set(n.get() + 10)).is_ok();
                        seen.send((nested, posted)).unwrap();
                    })
                })
            });
            arrives.recv().unwrap();
            cancel.cancel();
            assert_eq!(seen_as(left.join().unwrap().unwrap().unwrap_err()), CANCELED_RUNNING);
        });
        key.open();
        assert_eq!(sees.recv().unwrap(), (Err(CANCELED), true));
        assert_eq!(at_a.call(Cell::get)?, 10);
        Ok(())
    });
}
