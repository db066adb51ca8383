//! CK-7: calls that give a future.

mod alarms;
mod options;
mod others;
mod unattended;

use crate::cancels::{CANCELED, CANCELED_RUNNING, TIMED_OUT, TIMED_OUT_RUNNING, Tells, hangs, occupy, seen_as};
use crate::stage::{Gate, Key, gate, hresult, like, play, secs};
use crate::support::{Log, must_end};
use apartment::{
    AsyncOptions, CallError, CallFuture, CallOptions, CancelHandle, CancelReason, Outcome, Process, Proxy, What,
};
use crossbeam_channel::{Receiver, Sender, unbounded};
use std::cell::Cell;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, ThreadId};

/// A waker made by hand, which says on which thread it is woken.
struct Told(Sender<ThreadId>);

impl Wake for Told {
    fn wake(self: Arc<Self>) {
        // Nobody listens once the test is over.
        let _over = self.0.send(thread::current().id());
    }
}

fn waker() -> (Waker, Receiver<ThreadId>) {
    let (tell, told) = unbounded();
    (Waker::from(Arc::new(Told(tell))), told)
}

/// A waker that runs something.
struct Runs<F>(F);

impl<F: Fn() + Send + Sync + 'static> Wake for Runs<F> {
    fn wake(self: Arc<Self>) {
        (self.0)();
    }
}

fn runs(run: impl Fn() + Send + Sync + 'static) -> Waker {
    Waker::from(Arc::new(Runs(run)))
}

fn poll<R>(future: &mut CallFuture<R>, waker: &Waker) -> Poll<Result<R, CallError>> {
    Pin::new(future).poll(&mut Context::from_waker(waker))
}

fn is_pending<R>(future: &mut CallFuture<R>, waker: &Waker) -> bool {
    poll(future, waker).is_pending()
}

fn ready<R>(future: &mut CallFuture<R>, waker: &Waker) -> Result<R, CallError> {
    match poll(future, waker) {
        Poll::Ready(result) => result,
        Poll::Pending => panic!("it is not ready"),
    }
}

fn assert_send<T: Send>(value: T) -> T {
    value
}

// ---- on every runtime

async fn three_calls(list: Proxy<Mutex<Vec<u32>>>) -> Result<u32, CallError> {
    for n in [1, 2] {
        list.call_async(move |list| list.lock().unwrap().push(n)).await?;
    }
    list.call_async(|list| list.lock().unwrap().iter().sum()).await
}

#[test]
fn ck_7_a_future_needs_no_runtime_of_its_own() {
    must_end(|| {
        let process = Process::new();
        let sta = process.sta("list").spawn().unwrap();
        let mta = process.mta().spawn().unwrap();
        for list in [sta.create(Mutex::default).unwrap(), mta.create(Mutex::default).unwrap()] {
            assert_eq!(pollster::block_on(three_calls(list)).unwrap(), 3);
        }
        let list = sta.create(Mutex::default).unwrap();
        let one = tokio::runtime::Builder::new_current_thread().build().unwrap();
        assert_eq!(one.block_on(three_calls(list)).unwrap(), 3);
        let several = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
        let lists: Vec<_> = (0..8).map(|_| sta.create(Mutex::default).unwrap()).collect();
        let tasks: Vec<_> = lists.into_iter().map(|list| several.spawn(assert_send(three_calls(list)))).collect();
        for task in tasks {
            assert_eq!(several.block_on(task).unwrap().unwrap(), 3);
        }
    });
}

#[test]
fn ck_7_a_timeout_of_the_runtime_drops_the_future_and_takes_the_call_back() {
    play(|stage| {
        let a = stage.sta("a").spawn()?;
        let at_a = a.create(|| Cell::new(0))?;
        let busy = occupy(stage, &a);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let call = at_a.call_async(|count| count.set(1));
        let elapsed = runtime.block_on(async { tokio::time::timeout(std::time::Duration::ZERO, call).await });
        assert!(elapsed.is_err());
        assert_eq!(a.apartment().queued(), 0);
        busy.open();
        assert_eq!(at_a.call(Cell::get)?, 0);
        Ok(())
    });
}

#[test]
fn ck_7_a_reply_wakes_whoever_polled_last() {
    play(|stage| {
        let a = stage.sta("a").spawn()?;
        let at_a = a.create(|| ())?;
        let (key, gate) = gate();
        let mut call = at_a.call_async(move |()| (gate.pass(), 5).1);
        let ((first, first_told), (second, second_told)) = (waker(), waker());
        assert!(is_pending(&mut call, &first));
        let (mut call, second) = thread::scope(|s| {
            let other = s.spawn(move || (is_pending(&mut call, &second), call, second));
            let (pending, call, second) = other.join().unwrap();
            assert!(pending, "from any thread");
            (call, second)
        });
        key.open();
        let home = at_a.call(|()| thread::current().id())?;
        assert_eq!(second_told.recv().unwrap(), home);
        assert_eq!(ready(&mut call, &second)?, 5);
        assert!(first_told.is_empty());
        Ok(())
    });
}

#[test]
fn ck_7_a_call_is_made_when_its_future_is_and_calls_keep_their_order() {
    play(|stage| {
        let a = stage.sta("a").spawn()?;
        let at_a = a.create(Log::<u32>::new)?;
        let first = at_a.call_async(|log| log.add(1));
        at_a.post(|log| log.add(2))?;
        let third = at_a.call_async(|log| log.add(3));
        let fourth = at_a.call(|log| (log.add(4), log.take()).1)?;
        assert_eq!(fourth, [1, 2, 3, 4], "though nobody has polled");
        pollster::block_on(third)?;
        pollster::block_on(first)
    });
}

#[test]
#[should_panic = "polled after it was ready"]
fn ck_7_a_future_that_is_polled_after_it_was_ready_panics() {
    let sta = Process::new().sta("a").spawn().unwrap();
    let object = sta.create(|| ()).unwrap();
    let mut call = object.call_async(|()| ());
    pollster::block_on(&mut call).unwrap();
    let _pending = poll(&mut call, Waker::noop());
}

// ---- dropped

#[test]
fn ck_7_a_future_dropped_before_its_call_started_takes_it_back() {
    play(|stage| {
        let a = stage.sta("a").capacity(1).spawn()?;
        let at_a = a.create(|| Cell::new(0))?;
        let busy = occupy(stage, &a);
        stage.begin();
        for polled in [false, true] {
            let dropped = Log::new();
            let held = Tells(dropped.clone());
            let mut call = at_a.call_async(move |count| {
                drop(held);
                count.set(1);
            });
            assert_eq!(a.apartment().queued(), 1);
            assert!(!polled || is_pending(&mut call, Waker::noop()));
            drop(call);
            assert_eq!(a.apartment().queued(), 0, "its room is free at once");
            assert_eq!(dropped.take(), [thread::current().id()]);
        }
        assert_eq!(stage.count(a.apartment(), like!(Revoked { why: CancelReason::Dropped })), 2);
        busy.open();
        assert_eq!(at_a.with(&CallOptions::new().wait_for_room()).call(Cell::get)?, 0);
        Ok(())
    });
}

#[test]
fn ck_7_a_future_dropped_in_the_line_for_room_leaves_it() {
    play(|stage| {
        let a = stage.sta("a").capacity(1).spawn()?;
        let at_a = a.create(Log::<u32>::new)?;
        let busy = occupy(stage, &a);
        at_a.post(|log| log.add(1))?;
        let patient = AsyncOptions::new().wait_for_room();
        let second = at_a.with(&patient).call_async(|log| log.add(2));
        let third = at_a.with(&patient).call_async(|log| log.add(3));
        drop(second);
        busy.open();
        pollster::block_on(third)?;
        assert_eq!(at_a.call(Log::take)?, [1, 3]);
        Ok(())
    });
}

#[test]
fn ck_7_a_future_dropped_while_its_call_runs_detaches_it() {
    play(|stage| {
        let a = stage.sta("a").spawn()?;
        let at_a = a.create(|| ())?;
        let home = at_a.call(|()| thread::current().id())?;
        let (key, gate) = gate();
        let (method, told) = hangs(gate);
        let (cancel, dropped) = (CancelHandle::new(), Log::new());
        let result = Tells(dropped.clone());
        stage.begin();
        let options = AsyncOptions::new().cancel(&cancel);
        let mut call = at_a.with(&options).call_async(move |object| {
            method(object);
            result
        });
        let (waker, woken) = waker();
        assert!(is_pending(&mut call, &waker));
        assert!(!told.recv().unwrap());
        drop(call);
        assert_eq!(stage.count(a.apartment(), like!(Detached)), 1);
        cancel.cancel();
        key.open();
        assert!(!told.recv().unwrap(), "it is not asked to end");
        stage.until(a.apartment(), like!(ResultDropped));
        at_a.call(|()| ())?;
        assert_eq!(dropped.take(), [home]);
        assert!(woken.is_empty(), "nobody is woken for it");
        Ok(())
    });
}

#[test]
fn ck_7_a_future_dropped_after_the_reply_has_the_result_and_drops_it() {
    play(|stage| {
        let a = stage.sta("a").spawn()?;
        let at_a = a.create(|| ())?;
        let dropped = Log::new();
        let result = Tells(dropped.clone());
        let call = at_a.call_async(move |()| result);
        at_a.call(|()| ())?;
        assert!(dropped.take().is_empty());
        drop(call);
        assert_eq!(dropped.take(), [thread::current().id()]);
        assert_eq!(stage.count(a.apartment(), like!(ResultDropped)), 0);
        Ok(())
    });
}

#[test]
fn lt_2_an_apartment_that_ends_serves_a_detached_call_to_its_end() {
    play(|stage| {
        let a = stage.sta("a").spawn()?;
        let at_a = a.create(|| ())?;
        let (key, gate) = gate();
        let (method, told) = hangs(gate);
        let call = at_a.call_async(method);
        told.recv().unwrap();
        drop(call);
        a.quit();
        key.open();
        a.join()?;
        assert!(!told.recv().unwrap());
        Ok(())
    });
}

// ---- wakers are user code

#[test]
fn ck_7_a_waker_may_call_back_into_the_apartment_that_wakes_it() {
    play(|stage| {
        let a = stage.sta("a").spawn()?;
        let b = stage.sta("b").spawn()?;
        let (at_a, at_b) = (a.create(|| Cell::new(0))?, b.create(|| 7)?);
        let (key, gate) = gate();
        let mut call = at_a.call_async(move |_| gate.pass());
        let (seen, sees) = unbounded();
        let inner = at_a.clone();
        let waker = runs(move || {
            // On A's thread, directly; and from there to B, while A serves.
            let there = inner.call(|count| (count.set(1), at_b.call(|n| *n).unwrap()).1);
            seen.send((thread::current().id(), there.unwrap())).unwrap();
        });
        assert!(is_pending(&mut call, &waker));
        key.open();
        let home = at_a.call(|_| thread::current().id())?;
        assert_eq!(sees.recv().unwrap(), (home, 7));
        ready(&mut call, &waker)?;
        assert_eq!(at_a.call(Cell::get)?, 1);
        Ok(())
    });
}

#[test]
fn ck_7_a_waker_of_a_cancelled_call_may_wait_for_the_apartment_that_it_was_to() {
    play(|stage| {
        let a = stage.sta("a").capacity(1).spawn()?;
        let at_a = a.create(|| 3)?;
        let busy = occupy(stage, &a);
        let cancel = CancelHandle::new();
        let mut call = at_a.with(&AsyncOptions::new().cancel(&cancel)).call_async(|n| *n);
        let key = Mutex::new(Some(busy));
        let (seen, sees) = unbounded();
        let inner = at_a.clone();
        let waker = runs(move || {
            // The room of the call that was taken back is free, and the apartment serves.
            let key = key.lock().unwrap().take();
            key.into_iter().for_each(Key::open);
            seen.send(inner.call(|n| *n).unwrap()).unwrap();
        });
        assert!(is_pending(&mut call, &waker));
        cancel.cancel();
        assert_eq!(sees.recv().unwrap(), 3);
        assert_eq!(seen_as(ready(&mut call, &waker).unwrap_err()), CANCELED);
        Ok(())
    });
}

#[test]
fn ck_7_a_waker_that_polls_another_future_finds_that_woken_too() {
    play(|stage| {
        let a = stage.sta("a").spawn()?;
        let at_a = a.create(|| ())?;
        let (key, gate) = gate();
        let mut first = at_a.call_async(move |()| gate.pass());
        let second = Mutex::new(at_a.call_async(|()| 2));
        let (waker_of_second, told) = waker();
        let waker_of_first = runs(move || {
            assert!(is_pending(&mut second.lock().unwrap(), &waker_of_second), "its turn has not come");
            waker_of_second.wake_by_ref();
        });
        assert!(is_pending(&mut first, &waker_of_first));
        key.open();
        told.recv().unwrap();
        told.recv().unwrap();
        Ok(())
    });
}

#[test]
fn ck_7_panics_of_a_waker_are_contained() {
    struct Panics(&'static str);
    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            if self.0 == "in wake" {
                panic!("in wake");
            }
        }
    }
    impl Drop for Panics {
        fn drop(&mut self) {
            if self.0 == "in drop" {
                panic!("in drop");
            }
        }
    }
    play(|stage| {
        let a = stage.sta("a").spawn()?;
        let at_a = a.create(|| ())?;
        let contained = |place: &'static str, said: &'static str| {
            stage.until_any(|event| {
                matches!(&event.what, What::Contained { place: at, message } if *at == place && &**message == said)
            })
        };
        let (key, gate) = gate();
        let mut call = at_a.call_async(move |()| gate.pass());
        assert!(is_pending(&mut call, &Waker::from(Arc::new(Panics("in wake")))));
        key.open();
        contained("a waker", "in wake");
        at_a.call(|()| ()).expect("it goes on serving");
        ready(&mut call, Waker::noop())?;
        // Dropped when another takes its place, and with the future.
        for replaced in [true, false] {
            let busy = occupy(stage, &a);
            let mut call = at_a.call_async(|()| ());
            stage.begin();
            // Its clone in the future is the last there is.
            assert!(is_pending(&mut call, &Waker::from(Arc::new(Panics("in drop")))));
            if replaced {
                assert!(is_pending(&mut call, Waker::noop()));
            }
            drop(call);
            contained("a waker's destructor", "in drop");
            busy.open();
        }
        Ok(())
    });
}
