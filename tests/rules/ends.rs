//! Disconnecting an object, and the end of a process in two phases.

use crate::support::{Gate, Log, at, count, hold, join, must_end, nth, recorded};
use apartment::{
    Apartment, ApartmentId, CallError, CallKind, CallOptions, CancelHandle, CantCallOut, Class, EndHandler, EndRefused,
    Event, Local, MessageClass, MessageFilter, Method, NotFromHere, Process, Proxy, Recording, Reentrancy,
    RejectedCall, Retry, ServerCall, Table, WaitFor, What, WhyDisconnected, WhyRefused, implements,
    register_end_handler,
};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

/// Says something when it is dropped.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// Whether the call found its object disconnected, its apartment living.
#[track_caller]
fn object_gone<T: std::fmt::Debug>(result: Result<T, CallError>) {
    match result {
        Err(CallError::Disconnected(why)) => assert_eq!(why.why, WhyDisconnected::ObjectGone, "{why}"),
        other => panic!("{other:?}"),
    }
}

fn disconnects(what: &What) -> bool {
    matches!(what, What::WaitBegan { on: WaitFor::Disconnect, .. })
}

/// Waits until somebody waits for an object's calls to end.
fn until_it_waits(recording: &Recording) {
    recording.until(|event| disconnects(&event.what));
}

/// Disconnects from a thread of its own, which is in no apartment.
fn disconnecting<T: 'static>(object: &Proxy<T>) -> thread::JoinHandle<Result<(), CallError>> {
    let object = object.clone();
    thread::spawn(move || object.disconnect())
}

// ---- LT-5: disconnecting an object

#[test]
fn lt_5_a_disconnected_object_takes_no_calls_and_goes_at_home() {
    must_end(|| {
        let (process, recording) = recorded();
        let sta = process.sta("home").spawn().unwrap();
        let dropped_on = Log::new();
        let log = dropped_on.clone();
        let object = sta.create(move || OnDrop(move || log.add(thread::current().name().map(str::to_owned)))).unwrap();
        let another = object.clone();
        object.disconnect().unwrap();
        recording.until(at(sta.apartment(), |what| matches!(what, What::ObjectDropped { .. })));
        object_gone(another.call(|_| ()));
        let refused = another.post(|_| panic!("it does not run")).unwrap_err();
        object_gone(Err::<(), _>(refused.error().clone()));
        object_gone(another.with(&CallOptions::new().wait_for_room()).call(|_| ()));
        assert!(another.local().is_none());
        // The apartment goes on.
        assert_eq!(sta.create(|| 7).unwrap().call(|n| *n).unwrap(), 7);
        assert_eq!(dropped_on.take(), [Some("home".to_owned())]);
        let told =
            |event: &Event| matches!(event.what, What::ObjectDisconnected { object: id } if id == object.object_id());
        assert_eq!(count(&recording, told), 1);
    });
}

#[test]
fn lt_5_who_asks_again_or_too_late_gets_what_was_asked_for() {
    must_end(|| {
        let process = Process::new();
        let sta = process.sta("home").spawn().unwrap();
        let (object, other) = (sta.create(|| ()).unwrap(), sta.create(|| ()).unwrap());
        object.disconnect().unwrap();
        object.disconnect().unwrap();
        drop(sta);
        object.disconnect().unwrap();
        other.disconnect().unwrap();
        // The end of the apartment is what a call finds then.
        for object in [object, other] {
            match object.call(|()| ()) {
                Err(CallError::Disconnected(why)) => assert_eq!(why.why, WhyDisconnected::Ended),
                other => panic!("{other:?}"),
            }
        }
    });
}

#[test]
fn lt_5_disconnecting_waits_for_the_call_that_runs() {
    must_end(|| {
        let (process, recording) = recorded();
        let sta = process.sta("home").spawn().unwrap();
        let ended = std::sync::Arc::new(AtomicBool::new(false));
        let object = sta.create(|| ()).unwrap();
        let (gate, seen) = (Gate::new(), ended.clone());
        let stop = gate.stop();
        object
            .post(move |()| {
                stop.wait();
                seen.store(true, SeqCst);
            })
            .unwrap();
        gate.met();
        let disconnecting = disconnecting(&object);
        until_it_waits(&recording);
        assert!(!disconnecting.is_finished());
        gate.open();
        join(disconnecting).unwrap();
        assert!(ended.load(SeqCst));
        object_gone(object.call(|()| ()));
    });
}

#[test]
fn lt_5_calls_that_have_not_started_are_disconnected_and_posts_are_dropped_and_reported() {
    must_end(|| {
        let (process, recording) = recorded();
        let sta = process.sta("home").spawn().unwrap();
        let (object, other) = (sta.create(|| ()).unwrap(), sta.create(|| 1).unwrap());
        // The apartment is busy with another object: nothing runs on this one.
        let gate = hold(&other);
        let queued = thread::spawn({
            let object = object.clone();
            move || object.call(|()| panic!("it does not run"))
        });
        let queued_other = thread::spawn({
            let other = other.clone();
            move || other.call(|n| *n)
        });
        recording.until(nth(4, at(sta.apartment(), |what| matches!(what, What::Queued { .. }))));
        object.post(|()| panic!("it does not run")).unwrap();
        object.disconnect().unwrap();
        // Answered at once, though the apartment serves nothing now.
        object_gone::<()>(join(queued));
        gate.open();
        assert_eq!(join(queued_other).unwrap(), 1);
        let dropped = recording.until(at(sta.apartment(), |what| matches!(what, What::PostDropped { .. })));
        assert!(matches!(dropped.what, What::PostDropped { error } if error.hresult == 0x8001_0108));
        assert_eq!(sta.apartment().queued(), 0);
    });
}

#[test]
fn lt_5_a_call_that_waits_for_room_is_disconnected() {
    must_end(|| {
        let (process, recording) = recorded();
        let sta = process.sta("home").capacity(1).spawn().unwrap();
        let (object, other) = (sta.create(|| ()).unwrap(), sta.create(|| 1).unwrap());
        let gate = hold(&other);
        other.post(|_| ()).unwrap();
        let waiting = thread::spawn({
            let object = object.clone();
            move || object.with(&CallOptions::new().wait_for_room()).call(|()| panic!("it does not run"))
        });
        recording.until(|event| matches!(event.what, What::WaitTurned { on: WaitFor::Room, .. }));
        object.disconnect().unwrap();
        object_gone::<()>(join(waiting));
        gate.open();
    });
}

#[test]
fn lt_5_the_room_of_a_disconnected_call_goes_to_the_first_who_waits() {
    must_end(|| {
        let (process, recording) = recorded();
        let sta = process.sta("home").capacity(1).spawn().unwrap();
        let (object, other) = (sta.create(|| ()).unwrap(), sta.create(|| 1).unwrap());
        let gate = hold(&other);
        let queued = thread::spawn({
            let object = object.clone();
            move || object.call(|()| ())
        });
        recording.until(nth(4, at(sta.apartment(), |what| matches!(what, What::Queued { .. }))));
        let waiting = thread::spawn({
            let other = other.clone();
            move || other.with(&CallOptions::new().wait_for_room()).call(|n| *n)
        });
        recording.until(|event| matches!(event.what, What::WaitTurned { on: WaitFor::Room, .. }));
        object.disconnect().unwrap();
        object_gone(join(queued));
        recording.until(nth(5, at(sta.apartment(), |what| matches!(what, What::Queued { .. }))));
        gate.open();
        assert_eq!(join(waiting).unwrap(), 1);
    });
}

#[test]
fn lt_5_a_rejected_callers_retry_finds_the_object_gone() {
    struct Busy;
    impl MessageFilter for Busy {
        fn handle_incoming(&self, call: &apartment::IncomingCall) -> ServerCall {
            if call.kind == CallKind::Create { ServerCall::Handled } else { ServerCall::RetryLater }
        }
    }
    must_end(|| {
        let process = Process::new();
        let sta = process.sta("busy").filter(|| Busy).spawn().unwrap();
        let object = sta.create(|| ()).unwrap();
        let policy = |call: &RejectedCall| {
            if call.attempts == 3 {
                object.disconnect().unwrap();
            }
            Retry::Now
        };
        object_gone(object.with(&CallOptions::new().retry(policy)).call(|()| ()));
    });
}

#[test]
fn lt_5_an_sta_pumps_while_it_waits() {
    must_end(|| {
        let (process, recording) = recorded();
        let here = process.sta("here").enter().unwrap();
        let sta = process.sta("home").spawn().unwrap();
        let object = sta.create(|| ()).unwrap();
        let back = here.create(|| Cell::new(0)).unwrap();
        let gate = Gate::new();
        let stop = gate.stop();
        let (done, called_back) = std::sync::mpsc::channel();
        let caller = back.clone();
        object
            .post(move |()| {
                stop.wait();
                done.send(caller.call(|n| n.set(n.get() + 1))).unwrap();
            })
            .unwrap();
        gate.met();
        let opener = thread::spawn(move || {
            until_it_waits(&recording);
            gate.open();
        });
        object.disconnect().unwrap();
        // What it waited for called in here.
        called_back.try_recv().unwrap().unwrap();
        assert_eq!(back.call(Cell::get).unwrap(), 1);
        join(opener);
        drop(here);
    });
}

#[test]
fn lt_5_called_inside_the_object_it_returns_at_once_and_takes_effect_when_that_call_ends() {
    must_end(|| {
        let (process, recording) = recorded();
        let sta = process.sta("home").spawn().unwrap();
        let dropped = Log::new();
        let log = dropped.clone();
        let object = sta.create(move || OnDrop(move || log.add("dropped"))).unwrap();
        let (me, log) = (object.clone(), dropped.clone());
        let kept = object
            .call(move |_| {
                me.call(|_| me.disconnect()).unwrap().unwrap();
                me.disconnect().unwrap();
                // It has not taken effect: what this call makes still gets in, and the object is whole.
                let still = me.call(|_| 7);
                log.add("ends");
                still
            })
            .unwrap();
        assert_eq!(kept.unwrap(), 7);
        recording.until(at(sta.apartment(), |what| matches!(what, What::ObjectDropped { .. })));
        object_gone(object.call(|_| ()));
        assert_eq!(sta.create(|| 1).unwrap().call(|n| *n).unwrap(), 1);
        assert_eq!(dropped.take(), ["ends", "dropped"]);
        assert_eq!(count(&recording, |event| disconnects(&event.what)), 0, "nobody waited");
    });
}

#[test]
fn lt_5_called_by_what_a_call_of_the_object_waits_for_it_returns_at_once() {
    must_end(|| {
        let (process, recording) = recorded();
        let (home, other) = (process.sta("home").spawn().unwrap(), process.sta("other").spawn().unwrap());
        let (object, helper) = (home.create(|| ()).unwrap(), other.create(|| ()).unwrap());
        let me = object.clone();
        let disconnected = object.call(move |()| helper.call(|()| me.disconnect())).unwrap().unwrap();
        disconnected.unwrap();
        object_gone(object.call(|()| ()));
        assert_eq!(count(&recording, |event| disconnects(&event.what)), 0, "nobody waited");
    });
}

#[test]
fn lt_5_called_on_top_of_a_buried_call_of_the_object_it_returns_at_once() {
    must_end(|| {
        let (process, recording) = recorded();
        let (home, other) = (process.sta("home").spawn().unwrap(), process.sta("other").spawn().unwrap());
        let (object, third) = (home.create(|| ()).unwrap(), home.create(|| ()).unwrap());
        let elsewhere = other.create(|| ()).unwrap();
        let gate = Gate::new();
        let stop = gate.stop();
        let buried = thread::spawn({
            let object = object.clone();
            move || object.call(move |()| elsewhere.call(|()| stop.wait()))
        });
        gate.met();
        // The home's thread waits for the other apartment, and serves this one, of another chain, on top.
        let me = object.clone();
        third.call(move |()| me.disconnect()).unwrap().unwrap();
        assert_eq!(count(&recording, |event| disconnects(&event.what)), 0, "nobody waited");
        object_gone(object.call(|()| ()));
        gate.open();
        join(buried).unwrap().unwrap();
    });
}

#[test]
fn lt_5_a_call_of_ones_own_chain_that_does_not_wait_for_the_asker_is_waited_for() {
    must_end(|| {
        let (process, recording) = recorded();
        let (home, here) = (process.sta("home").spawn().unwrap(), process.sta("here").spawn().unwrap());
        let (object, at_here, third) =
            (home.create(|| ()).unwrap(), here.create(|| ()).unwrap(), here.create(|| ()).unwrap());
        let gate = Gate::new();
        let stop = gate.stop();
        // Here is served a call that has one out to the object; on top of that wait, another is served, which disconnects.
        let below = thread::spawn({
            let object = object.clone();
            move || at_here.call(move |()| object.call(|()| stop.wait()))
        });
        gate.met();
        let asker = thread::spawn({
            let object = object.clone();
            move || third.call(move |()| object.disconnect())
        });
        until_it_waits(&recording);
        assert!(!asker.is_finished());
        gate.open();
        join(asker).unwrap().unwrap();
        join(below).unwrap().unwrap();
    });
}

#[test]
fn lt_5_while_it_is_waited_for_the_chains_that_run_get_in_and_others_do_not() {
    must_end(|| {
        let (process, recording) = recorded();
        let (home, other) = (process.sta("home").spawn().unwrap(), process.sta("other").spawn().unwrap());
        let (object, helper) = (home.create(|| 5).unwrap(), other.create(|| ()).unwrap());
        let gate = Gate::new();
        let stop = gate.stop();
        let running = thread::spawn({
            let (object, me) = (object.clone(), object.clone());
            move || {
                object.call(move |_| {
                    helper.call(|()| {
                        stop.wait();
                        me.call(|n| *n)
                    })
                })
            }
        });
        gate.met();
        let disconnecting = disconnecting(&object);
        until_it_waits(&recording);
        // Served on top of the call that runs, while the object's apartment waits: another chain.
        object_gone(object.call(|n| *n));
        gate.open();
        join(disconnecting).unwrap();
        assert_eq!(join(running).unwrap().unwrap().unwrap(), 5, "its own callback");
    });
}

#[test]
fn lt_5_a_direct_call_is_waited_for() {
    must_end(|| {
        let (process, recording) = recorded();
        let here = process.sta("here").enter().unwrap();
        let object = here.create(|| 3).unwrap();
        let asker = object
            .call(|_| {
                let asker = disconnecting(&object);
                until_it_waits(&recording);
                assert!(!asker.is_finished());
                asker
            })
            .unwrap();
        join(asker).unwrap();
        object_gone(object.call(|n| *n));
        drop(here);
    });
}

#[test]
fn lt_5_every_call_of_an_object_of_the_mta_is_waited_for() {
    must_end(|| {
        let (process, recording) = recorded();
        let mta = process.mta().threads(2).spawn().unwrap();
        let sta = process.sta("caller").spawn().unwrap();
        let dropped = std::sync::Arc::new(AtomicU32::new(0));
        let seen = dropped.clone();
        let object = mta
            .create(move || {
                let seen = seen.clone();
                Mutex::new(OnDrop(move || {
                    seen.fetch_add(1, SeqCst);
                }))
            })
            .unwrap();
        let caller = sta.create(|| ()).unwrap();
        let (by_pool, directly) = (Gate::new(), Gate::new());
        let (stop, stop_directly) = (by_pool.stop(), directly.stop());
        // One call runs on a thread of the pool, one on a thread that is in no apartment and calls directly.
        let at_sta = object.clone();
        let first = thread::spawn(move || caller.call(move |()| at_sta.call(|_| stop.wait())));
        let here = object.clone();
        let second = thread::spawn(move || here.call(|_| stop_directly.wait()));
        by_pool.met();
        directly.met();
        let asker = disconnecting(&object);
        until_it_waits(&recording);
        directly.open();
        join(second).unwrap();
        assert!(!asker.is_finished());
        object_gone(object.call(|_| ()));
        by_pool.open();
        join(first).unwrap().unwrap();
        join(asker).unwrap();
        recording.until(at(mta.apartment(), |what| matches!(what, What::ObjectDropped { .. })));
        drop(mta);
        assert_eq!(dropped.load(SeqCst), 1);
        object.disconnect().unwrap();
    });
}

#[test]
fn lt_5_inside_an_object_of_the_mta_it_takes_effect_when_the_last_call_has_ended() {
    must_end(|| {
        let (process, recording) = recorded();
        let mta = process.mta().threads(2).spawn().unwrap();
        let object = mta.create(|| ()).unwrap();
        let gate = Gate::new();
        let stop = gate.stop();
        let other = object.clone();
        let running = thread::spawn(move || other.call(|()| stop.wait()));
        gate.met();
        object.call(|()| object.disconnect()).unwrap().unwrap();
        assert_eq!(count(&recording, |event| matches!(event.what, What::ObjectDisconnected { .. })), 0);
        object_gone(object.call(|()| ()));
        gate.open();
        join(running).unwrap();
        assert_eq!(count(&recording, |event| matches!(event.what, What::ObjectDisconnected { .. })), 1);
    });
}

#[test]
fn lt_5_a_thread_of_the_pool_that_waits_counts_as_blocked() {
    must_end(|| {
        let (process, recording) = recorded();
        let mta = process.mta().threads(1).max_threads(2).spawn().unwrap();
        let sta = process.sta("home").spawn().unwrap();
        let object = sta.create(|| ()).unwrap();
        let gate = hold(&object);
        let (asker, other) = (mta.create(|| ()).unwrap(), mta.create(|| 1).unwrap());
        let target = object.clone();
        asker.post(move |()| target.disconnect().unwrap()).unwrap();
        until_it_waits(&recording);
        let third = process.sta("third").spawn().unwrap();
        let at_third = third.create(|| ()).unwrap();
        assert_eq!(at_third.call(move |()| other.call(|n| *n)).unwrap().unwrap(), 1);
        gate.open();
    });
}

#[test]
fn lt_5_an_object_that_a_local_holds_stays_and_cannot_be_marshalled_from_it() {
    must_end(|| {
        let process = Process::new();
        let here = process.sta("here").enter().unwrap();
        let dropped = Rc::new(Cell::new(false));
        let seen = dropped.clone();
        let object = here.create(move || OnDrop(move || seen.set(true))).unwrap();
        let local: Local<_> = object.local().unwrap();
        local.proxy().unwrap().disconnect().unwrap();
        assert!(!dropped.get());
        object_gone(local.proxy());
        object_gone(object.call(|_| ()));
        assert!(object.local().is_none());
        drop(local);
        assert!(dropped.get());
        drop(here);
    });
}

#[test]
fn lt_5_at_home_the_object_goes_at_once() {
    must_end(|| {
        let process = Process::new();
        let here = process.sta("here").enter().unwrap();
        let dropped = Rc::new(Cell::new(false));
        let seen = dropped.clone();
        let object = here.create(move || OnDrop(move || seen.set(true))).unwrap();
        object.disconnect().unwrap();
        assert!(dropped.get());
        drop(here);
    });
}

#[test]
fn lt_5_an_object_whose_destructor_disconnects_it_goes_once() {
    struct Own(RefCell<Option<Proxy<Own>>>, Rc<Cell<u32>>);
    impl Drop for Own {
        fn drop(&mut self) {
            self.1.set(self.1.get() + 1);
            if let Some(me) = self.0.take() {
                me.disconnect().unwrap();
                object_gone(me.call(|_| ()));
            }
        }
    }
    must_end(|| {
        let process = Process::new();
        let here = process.sta("here").enter().unwrap();
        let drops = Rc::new(Cell::new(0));
        let count = drops.clone();
        let object = here.create(move || Own(RefCell::new(None), count)).unwrap();
        let local = object.local().unwrap();
        *local.0.borrow_mut() = Some(object.clone());
        drop(local);
        object.disconnect().unwrap();
        assert_eq!(drops.get(), 1);
        drop(here);
    });
}

/// Disconnects what it was given when it is asked about a rejected call.
struct Disconnects(Rc<RefCell<Vec<Proxy<()>>>>, Rc<RefCell<Vec<Result<(), CallError>>>>);

impl MessageFilter for Disconnects {
    fn retry_rejected(&self, _: &RejectedCall) -> Retry {
        let results = self.0.borrow().iter().map(Proxy::disconnect).collect::<Vec<_>>();
        self.1.borrow_mut().extend(results);
        Retry::GiveUp
    }
}

#[test]
fn lt_5_in_a_filters_method_it_does_not_wait_and_says_so() {
    struct Closed;
    impl MessageFilter for Closed {
        fn handle_incoming(&self, call: &apartment::IncomingCall) -> ServerCall {
            if call.kind == CallKind::Create { ServerCall::Handled } else { ServerCall::Rejected }
        }
    }
    must_end(|| {
        let process = Process::new();
        let here = process.sta("here").enter().unwrap();
        let (home, closed) =
            (process.sta("home").spawn().unwrap(), process.sta("closed").filter(|| Closed).spawn().unwrap());
        let (running, idle) = (home.create(|| ()).unwrap(), home.create(|| ()).unwrap());
        let shut = closed.create(|| ()).unwrap();
        let gate = hold(&running);
        let results = Rc::new(RefCell::new(Vec::new()));
        let objects = Rc::new(RefCell::new(vec![running.clone(), idle.clone()]));
        apartment::register_filter(Some(Rc::new(Disconnects(objects, results.clone())))).unwrap();
        shut.call(|()| ()).unwrap_err();
        apartment::register_filter(None).unwrap();
        let results = results.take();
        assert!(matches!(results[0], Err(CallError::CantCallOut(CantCallOut::InFilter))), "{results:?}");
        assert!(results[1].is_ok(), "there was nothing to wait for");
        gate.open();
        // Nothing had changed.
        running.call(|()| ()).unwrap();
        object_gone(idle.call(|()| ()));
        drop(here);
    });
}

#[test]
fn lt_5_in_an_input_synchronized_call_it_does_not_wait_and_says_so() {
    static FOCUS: Method = Method::new("View", "focus", 0, CallKind::InputSynchronized);
    must_end(|| {
        let process = Process::new();
        let here = process.sta("here").enter().unwrap();
        let (home, view) = (process.sta("home").spawn().unwrap(), process.sta("view").spawn().unwrap());
        let (running, at_view) = (home.create(|| ()).unwrap(), view.create(|| ()).unwrap());
        let gate = hold(&running);
        let target = running.clone();
        let result = apartment::__private::call(&at_view, &FOCUS, move |()| target.disconnect()).unwrap();
        assert!(matches!(result, Err(CallError::CantCallOut(CantCallOut::InInputSyncCall))), "{result:?}");
        gate.open();
        running.call(|()| ()).unwrap();
        drop(here);
    });
}

#[test]
fn lt_5_an_apartment_that_ends_meanwhile_ends_the_wait() {
    must_end(|| {
        let (process, recording) = recorded();
        let sta = process.sta("home").spawn().unwrap();
        let object = sta.create(|| ()).unwrap();
        let gate = hold(&object);
        let disconnecting = disconnecting(&object);
        until_it_waits(&recording);
        sta.quit();
        gate.open();
        join(disconnecting).unwrap();
        drop(sta);
        object.call(|()| ()).unwrap_err();
    });
}

#[test]
fn lt_5_a_call_that_panics_has_ended() {
    must_end(|| {
        let (process, recording) = recorded();
        let sta = process.sta("home").spawn().unwrap();
        let object = sta.create(|| ()).unwrap();
        let gate = Gate::new();
        let stop = gate.stop();
        let other = object.clone();
        let running = thread::spawn(move || {
            other.call(|()| {
                stop.wait();
                panic!("on purpose")
            })
        });
        gate.met();
        let disconnecting = disconnecting(&object);
        until_it_waits(&recording);
        gate.open();
        join(disconnecting).unwrap();
        assert_eq!(join(running).unwrap_err().hresult(), 0x8001_0105);
        object_gone(object.call(|()| ()));
    });
}

#[test]
fn lt_5_two_that_ask_at_once_both_wait_and_it_goes_once() {
    must_end(|| {
        let (process, recording) = recorded();
        let sta = process.sta("home").spawn().unwrap();
        let object = sta.create(|| ()).unwrap();
        let gate = hold(&object);
        let askers = [disconnecting(&object), disconnecting(&object)];
        recording.until(nth(2, |event| disconnects(&event.what)));
        assert!(askers.iter().all(|asker| !asker.is_finished()));
        gate.open();
        askers.into_iter().for_each(|asker| join(asker).unwrap());
        let told = |event: &Event| matches!(event.what, What::ObjectDisconnected { .. });
        assert_eq!(count(&recording, told), 1);
    });
}

#[test]
fn lt_5_a_free_threaded_object_has_no_apartment_that_could_disconnect_it() {
    let process = Process::new();
    let object = process.free_threaded(7).unwrap();
    assert_eq!(object.disconnect().unwrap_err().hresult(), 0x8000_4021);
    assert_eq!(object.call(|n| *n).unwrap(), 7);
}

#[test]
fn lt_5_under_strict_rules_it_is_a_use_of_the_proxy() {
    must_end(|| {
        let process = Process::builder().strict_rules().build();
        let sta = process.sta("home").spawn().unwrap();
        let here = process.sta("here").enter().unwrap();
        let object = sta.create(|| ()).unwrap();
        let elsewhere = object.clone();
        let outside = thread::spawn(move || elsewhere.disconnect());
        assert_eq!(join(outside).unwrap_err().hresult(), 0x8004_01F0);
        object.call(|()| ()).unwrap();
        object.disconnect().unwrap();
        object_gone(object.call(|()| ()));
        drop(here);
    });
}

#[test]
fn lt_5_packets_of_a_disconnected_object_unmarshal_to_disconnected() {
    must_end(|| {
        let process = Process::new();
        let sta = process.sta("home").spawn().unwrap();
        let object = sta.create(|| ()).unwrap();
        let (packet, strong) = (object.marshal().unwrap(), object.marshal_table(Table::Strong).unwrap());
        let weak = object.marshal_table(Table::Weak).unwrap();
        let table = process.global_table();
        let cookie = table.register(&object).unwrap();
        object.disconnect().unwrap();
        object_gone(packet.unmarshal());
        object_gone(strong.unmarshal());
        object_gone(table.get(&cookie));
        object_gone(object.marshal());
        assert!(matches!(weak.unmarshal(), Err(CallError::ObjectNotRegistered)));
        // With its last reference the apartment forgets that there was such an object.
        table.revoke(&cookie).unwrap();
        drop((object, strong));
        sta.create(|| ()).unwrap().call(|()| ()).unwrap();
    });
}

#[test]
fn lt_5_two_apartments_that_disconnect_each_others_objects_both_do() {
    must_end(|| {
        let process = Process::new();
        let (a, b) = (process.sta("a").spawn().unwrap(), process.sta("b").spawn().unwrap());
        let (at_a, at_b) = (a.create(|| ()).unwrap(), b.create(|| ()).unwrap());
        let (by_a, by_b) = (a.create(|| ()).unwrap(), b.create(|| ()).unwrap());
        let both = std::sync::Arc::new(std::sync::Barrier::new(2));
        let (first, second) = (both.clone(), both);
        let (target_a, target_b) = (at_a.clone(), at_b.clone());
        let one = thread::spawn(move || {
            by_a.call(|()| {
                first.wait();
                target_b.disconnect()
            })
        });
        let two = thread::spawn(move || {
            by_b.call(|()| {
                second.wait();
                target_a.disconnect()
            })
        });
        join(one).unwrap().unwrap();
        join(two).unwrap().unwrap();
        object_gone(at_a.call(|()| ()));
        object_gone(at_b.call(|()| ()));
    });
}

#[test]
fn lt_5_against_many_callers_nothing_runs_after_it() {
    must_end(|| {
        for _ in 0..50 {
            let process = Process::new();
            let mta = process.mta().threads(2).spawn().unwrap();
            let sta = process.sta("home").spawn().unwrap();
            let running = std::sync::Arc::new(AtomicU32::new(0));
            let disconnected = std::sync::Arc::new(AtomicBool::new(false));
            let objects = [sta.create(|| ()).unwrap(), mta.create(|| ()).unwrap()];
            let callers: Vec<_> = (0..4)
                .map(|n| {
                    let (object, running, disconnected) =
                        (objects[n % 2].clone(), running.clone(), disconnected.clone());
                    thread::spawn(move || {
                        let one = |_: &()| {
                            running.fetch_add(1, SeqCst);
                            assert!(!disconnected.load(SeqCst), "it runs though it is disconnected");
                            running.fetch_sub(1, SeqCst);
                        };
                        loop {
                            match object.call(one) {
                                Ok(()) => {}
                                Err(error) => return object_gone(Err::<(), _>(error)),
                            }
                        }
                    })
                })
                .collect();
            objects.iter().for_each(|object| object.disconnect().unwrap());
            assert_eq!(running.load(SeqCst), 0);
            disconnected.store(true, SeqCst);
            callers.into_iter().for_each(join);
        }
    });
}

#[test]
fn lt_5_under_strict_rules_a_post_that_waits_comes_back_with_its_closure() {
    must_end(|| {
        let process = Process::builder().strict_rules().record(100_000).build();
        let recording = process.recording().unwrap();
        let _usage = process.mta_usage().unwrap();
        let sta = process.sta("home").spawn().unwrap();
        let (object, other) = (sta.create(|| ()).unwrap(), sta.create(|| ()).unwrap());
        let gate = Gate::new();
        let stop = gate.stop();
        let busy = thread::spawn(move || other.call(|()| stop.wait()));
        gate.met();
        let target = object.clone();
        let posting = thread::spawn(move || match target.post(|()| panic!("it does not run")) {
            Ok(()) => None,
            Err(refused) => {
                let (error, _closure) = refused.into_parts();
                Some(error)
            }
        });
        recording.until(nth(4, at(sta.apartment(), |what| matches!(what, What::Queued { .. }))));
        object.disconnect().unwrap();
        object_gone(join(posting).map_or(Ok(()), Err));
        gate.open();
        join(busy).unwrap();
    });
}

// ---- LT-8: the end of a process

/// Longer than any test: with a driven clock, for ever.
const LONG: Duration = Duration::from_secs(60);

const SERVER_STOPPING: u32 = 0x8008_0008;

/// A handler that says what it is told, and agrees or not.
struct Says {
    name: &'static str,
    agrees: bool,
    log: Log<String>,
}

impl EndHandler for Says {
    fn query_end(&self) -> bool {
        self.log.add(format!("{} asked", self.name));
        self.agrees
    }

    fn end_cancelled(&self) {
        self.log.add(format!("{} cancelled", self.name));
    }

    fn ending(&self) {
        self.log.add(format!("{} ending", self.name));
    }
}

fn says(name: &'static str, agrees: bool, log: &Log<String>) -> impl FnOnce() -> Says + Send + use<> {
    let log = log.clone();
    move || Says { name, agrees, log }
}

/// A handler put together from closures.
struct Does<Q: Fn() -> bool, E: Fn()>(Q, E);

impl<Q: Fn() -> bool, E: Fn()> EndHandler for Does<Q, E> {
    fn query_end(&self) -> bool {
        (self.0)()
    }

    fn ending(&self) {
        (self.1)();
    }
}

/// The apartments that refused, by name, and why.
#[track_caller]
fn refusals(refused: EndRefused) -> Vec<(String, WhyRefused)> {
    match refused {
        EndRefused::By(refusals) => {
            let mut refusals: Vec<_> =
                refusals.into_iter().map(|refusal| (refusal.apartment.name.to_string(), refusal.why)).collect();
            refusals.sort_by(|a, b| a.0.cmp(&b.0));
            refusals
        }
        other => panic!("{other:?}"),
    }
}

/// The apartments in the order in which they ended.
fn ended(recording: &Recording) -> Vec<ApartmentId> {
    let ended = |event: &Event| matches!(event.what, What::ApartmentEnded { .. });
    recording.events().into_iter().filter(ended).filter_map(|event| event.apartment).collect()
}

fn number<T>(result: Result<T, CallError>) -> u32 {
    result.err().map_or(0, |error| error.hresult())
}

#[test]
fn lt_8_the_youngest_leaves_first_then_hosts_and_the_main_sta_last() {
    struct Part;
    implements!(Part);
    must_end(|| {
        let (process, recording) = recorded();
        let main = process.sta("main").spawn().unwrap();
        process.register_class("Part", Class::apartment(|| Part)).unwrap();
        // From no apartment: it needs a host, which is made after the main STA and before the others.
        let part = process.create_instance::<Part>("Part").unwrap();
        let host = part.apartment().unwrap().id();
        let second = process.sta("second").spawn().unwrap();
        let mta = process.mta().spawn().unwrap();
        let last = process.sta("last").spawn().unwrap();
        let done = process.end(LONG).unwrap();
        assert!(done.still_in.is_empty() && !done.before, "{done:?}");
        let id = Apartment::id;
        let order = [id(last.apartment()), id(mta.apartment()), id(second.apartment()), host, id(main.apartment())];
        assert_eq!(ended(&recording), order);
        assert_eq!(number(part.call(|_| ())), 0x8001_0108);
        // The handles find them gone.
        drop((main, second, mta, last));
    });
}

#[test]
fn lt_8_objects_are_dropped_at_home_and_everything_is_disconnected() {
    must_end(|| {
        let process = Process::new();
        let sta = process.sta("home").spawn().unwrap();
        let dropped_on = Log::new();
        let log = dropped_on.clone();
        let object = sta.create(move || OnDrop(move || log.add(thread::current().name().map(str::to_owned)))).unwrap();
        process.end(LONG).unwrap();
        assert_eq!(dropped_on.take(), [Some("home".to_owned())]);
        match object.call(|_| ()) {
            Err(CallError::Disconnected(why)) => assert_eq!(why.why, WhyDisconnected::Ended),
            other => panic!("{other:?}"),
        }
        assert!(process.main_sta().is_none());
    });
}

#[test]
fn lt_8_if_one_refuses_those_who_agreed_are_told_and_nothing_has_changed() {
    must_end(|| {
        let process = Process::new();
        let log = Log::new();
        let agrees = process.sta("agrees").end_handler(says("agrees", true, &log)).spawn().unwrap();
        let refuses = process.sta("refuses").end_handler(says("refuses", false, &log)).spawn().unwrap();
        let silent = process.sta("silent").spawn().unwrap();
        let refused = process.end(LONG).unwrap_err();
        assert_eq!(refused.to_string(), "the process does not end: apartment \"refuses\" refused");
        assert_eq!(refusals(refused), [("refuses".to_owned(), WhyRefused::Refused)]);
        // Everybody is there, and makes and serves.
        for sta in [&agrees, &refuses, &silent] {
            assert_eq!(sta.create(|| 7).unwrap().call(|n| *n).unwrap(), 7);
        }
        let mut told = log.take();
        told.sort();
        assert_eq!(told, ["agrees asked", "agrees cancelled", "refuses asked"]);
        // And the next one asks anew.
        let object = refuses.create(|| ()).unwrap();
        object.call(|()| register_end_handler(None).unwrap().map(drop)).unwrap().unwrap();
        process.end(LONG).unwrap();
        assert_eq!(log.take(), ["agrees asked", "agrees ending"]);
    });
}

#[test]
fn lt_8_a_process_ends_the_same_in_a_direct_call_that_was_cancelled() {
    must_end(|| {
        let process = Process::new();
        let log = Log::new();
        let here = process.sta("here").end_handler(says("here", true, &log)).enter().unwrap();
        let object = here.create(|| ()).unwrap();
        let cancel = CancelHandle::new();
        let mut ended = None;
        let call = object.with(&CallOptions::new().cancel(&cancel)).call(|()| {
            cancel.cancel();
            ended = Some(process.end(LONG));
        });
        assert!(matches!(call, Err(CallError::CallCanceled { .. })), "{call:?}");
        ended.unwrap().unwrap();
        assert_eq!(log.take(), ["here asked", "here ending"]);
    });
}

#[test]
fn lt_8_no_filter_is_asked_about_the_process_end() {
    struct Any;
    impl MessageFilter for Any {}
    must_end(|| {
        let (process, recording) = recorded();
        let log = Log::new();
        let sta = process.sta("a").filter(|| Any).end_handler(says("a", true, &log)).spawn().unwrap();
        process.end(LONG).unwrap();
        assert_eq!(log.take(), ["a asked", "a ending"]);
        assert_eq!(count(&recording, at(sta.apartment(), |what| matches!(what, What::Filtered { .. }))), 0);
    });
}

#[test]
fn lt_8_a_panic_in_the_answer_is_a_refusal() {
    must_end(|| {
        let (process, recording) = recorded();
        let sta = process.sta("worried").end_handler(|| Does(|| panic!("not now"), || ())).spawn().unwrap();
        let refused = process.end(LONG).unwrap_err();
        assert_eq!(refused.to_string(), "the process does not end: apartment \"worried\" panicked: not now");
        assert_eq!(refusals(refused), [("worried".to_owned(), WhyRefused::Panicked("not now".into()))]);
        recording.until(at(sta.apartment(), |what| matches!(what, What::Contained { place: "query_end", .. })));
        assert_eq!(sta.create(|| 7).unwrap().call(|n| *n).unwrap(), 7);
        let object = sta.create(|| ()).unwrap();
        object.call(|()| register_end_handler(None).unwrap().map(drop)).unwrap().unwrap();
        process.end(LONG).unwrap();
    });
}

#[test]
fn lt_8_no_answer_in_time_is_a_refusal_and_who_agrees_too_late_is_told() {
    must_end(|| {
        let (process, recording) = recorded();
        let log = Log::new();
        let late = process.sta("late").end_handler(says("late", true, &log)).spawn().unwrap();
        let never = process.sta("never").end_handler(says("never", true, &log)).spawn().unwrap();
        let prompt = process.sta("prompt").end_handler(says("prompt", true, &log)).spawn().unwrap();
        // One is busy with its answer when the time is up, one with something else.
        let gate = Gate::new();
        let (stop, told) = (gate.stop(), log.clone());
        struct Slow(crate::support::Stop, Log<String>);
        impl EndHandler for Slow {
            fn query_end(&self) -> bool {
                self.0.wait();
                self.1.add("late agrees".to_owned());
                true
            }
            fn end_cancelled(&self) {
                self.1.add("late cancelled".to_owned());
            }
        }
        let object = late.create(|| ()).unwrap();
        object
            .call(move |()| register_end_handler(Some(Rc::new(Slow(stop, told)))).unwrap().map(drop))
            .unwrap()
            .unwrap();
        let busy = hold(&never.create(|| ()).unwrap());
        let ending = {
            let process = process.clone();
            thread::spawn(move || process.end(Duration::from_secs(5)))
        };
        gate.met();
        recording.until(at(prompt.apartment(), |what| matches!(what, What::EndAnswered { agrees: true })));
        // It tells its answer before it gives it: what it serves next comes after both.
        drop(prompt.create(|| ()).unwrap());
        process.clock().advance(Duration::from_secs(5));
        let refused = refusals(join(ending).unwrap_err());
        assert_eq!(refused, [("late".to_owned(), WhyRefused::NoAnswer), ("never".to_owned(), WhyRefused::NoAnswer)]);
        gate.open();
        busy.open();
        // Both go on; the one that answered too late learns that it came to nothing, the other is not asked any more.
        assert_eq!(object.call(|()| 1).unwrap(), 1);
        assert_eq!(never.create(|| 2).unwrap().call(|n| *n).unwrap(), 2);
        assert_eq!(prompt.create(|| 3).unwrap().call(|n| *n).unwrap(), 3);
        let mut told = log.take();
        told.sort();
        assert_eq!(told, ["late agrees", "late cancelled", "prompt asked", "prompt cancelled"]);
    });
}

#[test]
fn lt_8_the_query_goes_ahead_of_the_queue_and_no_filter_is_asked() {
    struct Closed;
    impl MessageFilter for Closed {
        fn handle_incoming(&self, call: &apartment::IncomingCall) -> ServerCall {
            if call.kind == CallKind::Create || call.kind.is_one_way() {
                ServerCall::Handled
            } else {
                ServerCall::Rejected
            }
        }
    }
    must_end(|| {
        let (process, recording) = recorded();
        let log = Log::new();
        let sta =
            process.sta("home").capacity(1).filter(|| Closed).end_handler(says("home", false, &log)).spawn().unwrap();
        let object = sta.create(|| ()).unwrap();
        let gate = hold(&object);
        // The mailbox is full.
        let told = log.clone();
        object.post(move |()| told.add("posted".to_owned())).unwrap();
        let ending = {
            let process = process.clone();
            thread::spawn(move || process.end(LONG))
        };
        recording.until(at(sta.apartment(), |what| matches!(what, What::EndAsked)));
        recording.until(|event| matches!(event.what, What::WaitBegan { on: WaitFor::EndHandlers, .. }));
        gate.open();
        refusals(join(ending).unwrap_err());
        recording.until(nth(4, at(sta.apartment(), |what| matches!(what, What::Ended { .. }))));
        assert_eq!(log.take(), ["home asked", "posted"]);
    });
}

#[test]
fn lt_8_every_policy_lets_the_query_in() {
    for policy in [Reentrancy::Classic, Reentrancy::SameCausality, Reentrancy::None] {
        must_end(move || {
            let process = Process::new();
            let log = Log::new();
            let waits =
                process.sta("waits").reentrancy(policy).end_handler(says("waits", false, &log)).spawn().unwrap();
            let other = process.sta("other").spawn().unwrap();
            let (at_waits, at_other) = (waits.create(|| ()).unwrap(), other.create(|| ()).unwrap());
            let gate = Gate::new();
            let stop = gate.stop();
            let waiting = thread::spawn(move || at_waits.call(move |()| at_other.call(|()| stop.wait())));
            gate.met();
            refusals(process.end(LONG).unwrap_err());
            assert_eq!(log.take(), ["waits asked"]);
            gate.open();
            join(waiting).unwrap().unwrap();
        });
    }
}

#[test]
fn lt_8_nobody_can_call_out_while_answering() {
    must_end(|| {
        let process = Process::new();
        let other = process.sta("other").spawn().unwrap();
        let object = other.create(|| 1).unwrap();
        let tried = Log::new();
        let log = tried.clone();
        let _sta = process
            .sta("calls")
            .end_handler(move || {
                Does(
                    move || {
                        log.add(number(object.call(|n| *n)));
                        // A one-way call may go.
                        object.post(|_| ()).is_ok()
                    },
                    || (),
                )
            })
            .spawn()
            .unwrap();
        process.end(LONG).unwrap();
        assert_eq!(tried.take(), [0x8001_010D]);
    });
}

#[test]
fn lt_8_whoever_ends_it_is_asked_directly() {
    must_end(|| {
        let process = Process::new();
        let log = Log::new();
        let here = process.sta("here").end_handler(says("here", false, &log)).enter().unwrap();
        let _other = process.sta("other").end_handler(says("other", true, &log)).spawn().unwrap();
        assert_eq!(refusals(process.end(LONG).unwrap_err()), [("here".to_owned(), WhyRefused::Refused)]);
        let mut told = log.take();
        told.sort();
        // "other" hears of it ahead of anything else that it could be asked.
        assert!(told == ["here asked", "other asked"] || told == ["here asked", "other asked", "other cancelled"]);
        register_end_handler(None).unwrap();
        process.end(LONG).unwrap();
        drop(here);
        assert_eq!(log.take().last().unwrap(), "other ending");
    });
}

#[test]
fn lt_8_the_query_may_come_from_any_thread() {
    must_end(|| {
        let process = Process::new();
        let log = Log::new();
        let _sta = process.sta("asked").end_handler(says("asked", false, &log)).spawn().unwrap();
        let mta = process.mta().spawn().unwrap();
        refusals(process.end(LONG).unwrap_err());
        let inside = process.clone();
        let guard = mta.enter().unwrap();
        refusals(inside.end(LONG).unwrap_err());
        drop(guard);
        let (done, ended) = std::sync::mpsc::channel();
        let pool = mta.create(|| ()).unwrap();
        let by_pool = process.clone();
        let sender = process.sta("sender").spawn().unwrap();
        let at_sender = sender.create(|| ()).unwrap();
        at_sender
            .call(move |()| pool.post(move |()| done.send(by_pool.end(LONG)).unwrap()).map_err(|_| ()))
            .unwrap()
            .unwrap();
        refusals(ended.recv().unwrap().unwrap_err());
        let another = Process::new();
        let elsewhere = another.sta("elsewhere").enter().unwrap();
        refusals(process.end(LONG).unwrap_err());
        drop(elsewhere);
        assert_eq!(log.take().iter().filter(|told| *told == "asked asked").count(), 4);
    });
}

#[test]
fn lt_8_an_apartment_that_begins_while_the_others_answer_is_asked_too() {
    must_end(|| {
        let process = Process::new();
        let log = Log::new();
        let (maker, told, made) = (process.clone(), log.clone(), Log::new());
        let keep = made.clone();
        let _first = process
            .sta("first")
            .end_handler(move || {
                Does(
                    move || {
                        // Started on a thread of its own: nothing can be waited for in here.
                        let builder = maker.sta("second").end_handler(says("second", false, &told));
                        keep.add(thread::spawn(move || builder.spawn().unwrap()).join().unwrap());
                        true
                    },
                    || (),
                )
            })
            .spawn()
            .unwrap();
        assert_eq!(refusals(process.end(LONG).unwrap_err()), [("second".to_owned(), WhyRefused::Refused)]);
        assert_eq!(log.take(), ["second asked"]);
        drop(made.take());
    });
}

#[test]
fn lt_8_an_apartment_that_leaves_is_not_asked() {
    must_end(|| {
        let (process, recording) = recorded();
        let log = Log::new();
        let leaving = process.sta("leaving").end_handler(says("leaving", false, &log)).spawn().unwrap();
        let gate = hold(&leaving.create(|| ()).unwrap());
        leaving.quit();
        let ending = {
            let process = process.clone();
            thread::spawn(move || process.end(LONG))
        };
        recording.until(|event| matches!(event.what, What::WaitBegan { on: WaitFor::Thread, .. }));
        gate.open();
        assert!(join(ending).unwrap().still_in.is_empty());
        assert_eq!(log.take(), Vec::<String>::new());
    });
}

#[test]
fn lt_8_an_apartment_that_ends_unasked_has_nothing_against_it() {
    must_end(|| {
        let (process, recording) = recorded();
        let log = Log::new();
        let leaving = process.sta("leaving").end_handler(says("leaving", false, &log)).enter().unwrap();
        let ending = {
            let process = process.clone();
            thread::spawn(move || process.end(LONG))
        };
        recording.until(|event| matches!(event.what, What::WaitBegan { on: WaitFor::EndHandlers, .. }));
        // Its thread panics rather than answer.
        let unwound = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
            let _guard = leaving;
            std::panic::panic_any("on purpose");
        }));
        unwound.unwrap_err();
        assert!(join(ending).unwrap().still_in.is_empty());
        assert_eq!(log.take(), Vec::<String>::new());
    });
}

#[test]
fn lt_8_handlers_are_told_while_everybody_is_there_and_may_call_out() {
    must_end(|| {
        let (process, recording) = recorded();
        let other = process.sta("other").spawn().unwrap();
        let object = other.create(|| 41).unwrap();
        let log = Log::new();
        let (told, panics) = (log.clone(), process.sta("panics"));
        let panics = panics.end_handler(|| Does(|| true, || panic!("on purpose"))).spawn().unwrap();
        let _sta = process
            .sta("calls")
            .end_handler(move || Does(|| true, move || told.add(object.call(|n| *n + 1))))
            .spawn()
            .unwrap();
        assert!(process.end(LONG).unwrap().still_in.is_empty());
        assert_eq!(log.take().into_iter().map(Result::unwrap).collect::<Vec<_>>(), [42]);
        recording.until(at(panics.apartment(), |what| matches!(what, What::Contained { place: "ending", .. })));
        // The youngest is told first, and all are told before the first leaves.
        let events = recording.events();
        let first_quit = events.iter().position(|event| matches!(event.what, What::QuitAsked)).unwrap();
        let told = events.iter().rposition(|event| matches!(event.what, What::Contained { .. })).unwrap();
        assert!(told < first_quit);
    });
}

#[test]
fn lt_8_nothing_is_made_once_the_end_has_begun() {
    struct Part;
    implements!(Part);
    must_end(|| {
        let process = Process::new();
        let main = process.sta("main").spawn().unwrap();
        process.register_class("Part", Class::both(|| Part).free_threaded()).unwrap();
        let tried = Log::new();
        let (log, maker) = (tried.clone(), process.clone());
        let sta = std::sync::Arc::new(main);
        let handle = std::sync::Arc::downgrade(&sta);
        let _sta = process
            .sta("makes")
            .end_handler(move || {
                let tries = move || {
                    let here = maker.sta("again").enter().unwrap();
                    let main = handle.upgrade().unwrap();
                    log.add(("an STA", number(maker.sta("new").spawn())));
                    log.add(("the MTA", number(maker.mta().spawn())));
                    log.add(("a usage", number(maker.mta_usage())));
                    log.add(("an object", number(main.create(|| ()))));
                    log.add(("one at home", number(here.create(|| ()))));
                    log.add(("a free-threaded one", number(maker.free_threaded(()))));
                    log.add(("an instance", number(maker.create_instance::<Part>("Part"))));
                };
                Does(|| true, tries)
            })
            .spawn()
            .unwrap();
        process.end(LONG).unwrap();
        let tried = tried.take();
        assert_eq!(tried.len(), 7);
        for (what, number) in tried {
            assert_eq!(number, SERVER_STOPPING, "{what}");
        }
        assert_eq!(number(process.sta("late").spawn()), SERVER_STOPPING);
        assert_eq!(number(process.sta("late").enter()), SERVER_STOPPING);
    });
}

#[test]
fn lt_8_chains_that_run_may_finish() {
    must_end(|| {
        let (process, recording) = recorded();
        let (a, b) = (process.sta("a").spawn().unwrap(), process.sta("b").spawn().unwrap());
        let (at_a, at_b) = (a.create(|| 1).unwrap(), b.create(|| 2).unwrap());
        let gate = Gate::new();
        let stop = gate.stop();
        let back = at_a.clone();
        let running = thread::spawn(move || {
            at_a.call(move |one| {
                let there = at_b.call(|two| {
                    stop.wait();
                    // A callback into an apartment whose turn to leave comes later, and of a chain that it waits for.
                    *two + back.call(|one| *one).unwrap()
                });
                there.unwrap() + one
            })
        });
        gate.met();
        let ending = {
            let process = process.clone();
            thread::spawn(move || process.end(LONG))
        };
        recording.until(at(b.apartment(), |what| matches!(what, What::DoorClosed)));
        gate.open();
        assert_eq!(join(running).unwrap(), 4);
        assert!(join(ending).unwrap().still_in.is_empty());
    });
}

#[test]
fn lt_8_an_entered_thread_is_asked_to_quit_and_waited_for() {
    must_end(|| {
        let (process, recording) = recorded();
        let entered = {
            let process = process.clone();
            thread::spawn(move || {
                let here = process.sta("entered").enter().unwrap();
                here.run();
                drop(here);
            })
        };
        recording.until(|event| matches!(event.what, What::ThreadEntered { .. }));
        assert!(process.end(LONG).unwrap().still_in.is_empty());
        join(entered);
    });
}

#[test]
fn lt_8_one_that_stays_leaves_the_others_time_to_leave_in_order() {
    must_end(|| {
        let (process, recording) = recorded();
        let main = process.sta("main").spawn().unwrap();
        let old = process.sta("old").spawn().unwrap();
        let gate = Gate::new();
        let entered = {
            let (process, stop) = (process.clone(), gate.stop());
            thread::spawn(move || {
                let here = process.sta("the youngest").enter().unwrap();
                stop.wait();
                drop(here);
            })
        };
        gate.met();
        let ending = {
            let process = process.clone();
            thread::spawn(move || process.end(Duration::from_secs(6)))
        };
        let waits = |event: &Event| matches!(event.what, What::WaitBegan { on: WaitFor::Thread, .. });
        recording.until(waits);
        let asked = recording.events().iter().any(at(old.apartment(), |what| matches!(what, What::QuitAsked)));
        assert!(!asked, "the youngest has a third of the time");
        process.clock().advance(Duration::from_secs(2));
        let ended = |what: &What| matches!(what, What::ApartmentEnded { abnormal: false, .. });
        let old_ended = recording.until(at(old.apartment(), ended));
        let main_ended = recording.until(at(main.apartment(), ended));
        assert!(old_ended.seq < main_ended.seq);
        // In time after all.
        gate.open();
        assert!(join(ending).unwrap().still_in.is_empty());
        join(entered);
    });
}

#[test]
fn lt_8_each_is_waited_for_its_share_of_the_time_that_is_left() {
    must_end(|| {
        let (process, recording) = recorded();
        let stas = ["old", "young"].map(|name| process.sta(name).spawn().unwrap());
        let busy = [0, 1].map(|at| hold(&stas[at].create(|| ()).unwrap()));
        let ender = process.clone();
        let ending = thread::spawn(move || ender.end(Duration::from_secs(6)));
        let until_it_waits_until = |seconds| {
            let until = Some(Duration::from_secs(seconds));
            recording.until(
                |event| matches!(event.what, What::WaitBegan { on: WaitFor::Thread, until: told, .. } if told == until),
            );
        };
        // A half for the young one; what is left of the other for the old one.
        until_it_waits_until(3);
        process.clock().advance(Duration::from_secs(2));
        busy[1].open();
        until_it_waits_until(6);
        busy[0].open();
        assert!(join(ending).unwrap().still_in.is_empty());
    });
}

#[test]
fn lt_8_what_is_asked_and_told_is_told_in_the_process_of_who_ends_it() {
    must_end(|| {
        let ((process, recording), (another, elsewhere)) = (recorded(), recorded());
        let log = Log::new();
        let _sta = process.sta("asked").end_handler(says("asked", true, &log)).spawn().unwrap();
        let here = another.sta("elsewhere").enter().unwrap();
        process.end(LONG).unwrap();
        assert_eq!(log.take(), ["asked asked", "asked ending"]);
        let made = |event: &Event| matches!(event.what, What::CallMade(_));
        assert_eq!((count(&elsewhere, made), count(&recording, made)), (2, 0), "the query, and that it ends");
        // Nobody waits for the query as for a call; that it ends was heard in time.
        let returned = |event: &Event| matches!(event.what, What::Returned { error: None });
        let failed = |event: &Event| matches!(event.what, What::Returned { error: Some(_) });
        assert_eq!((count(&elsewhere, returned), count(&elsewhere, failed)), (1, 0));
        drop(here);
    });
}

#[test]
fn lt_8_a_thread_that_entered_the_mta_is_waited_for_and_reported() {
    must_end(|| {
        for in_time in [true, false] {
            let (process, recording) = recorded();
            let mta = process.mta().spawn().unwrap();
            let name = mta.apartment().name().to_owned();
            let gate = Gate::new();
            let stop = gate.stop();
            let entered = thread::spawn(move || {
                let entered = mta.enter().unwrap();
                stop.wait();
                drop((entered, mta));
            });
            gate.met();
            let ending = {
                let process = process.clone();
                thread::spawn(move || process.end(Duration::from_secs(5)).unwrap())
            };
            recording.until(|event| matches!(event.what, What::WaitBegan { on: WaitFor::Thread, .. }));
            if in_time {
                gate.open();
                assert!(join(ending).still_in.is_empty());
            } else {
                process.clock().advance(Duration::from_secs(5));
                let still_in: Vec<_> = join(ending).still_in.iter().map(|still| still.name.to_string()).collect();
                assert_eq!(still_in, [name]);
                gate.open();
            }
            join(entered);
        }
    });
}

#[test]
fn lt_8_a_chain_of_a_thread_that_entered_the_mta_may_finish() {
    must_end(|| {
        let (process, recording) = recorded();
        let mta = process.mta().spawn().unwrap();
        let sta = process.sta("sta").spawn().unwrap();
        let (object, there) = (mta.create(|| 7).unwrap(), sta.create(|| ()).unwrap());
        let home = mta.apartment().clone();
        let gate = Gate::new();
        let stop = gate.stop();
        let caller = thread::spawn(move || {
            let entered = mta.enter().unwrap();
            let result = there.call(|()| {
                stop.wait();
                object.call(|n| *n)
            });
            drop((entered, mta));
            result
        });
        gate.met();
        home.quit();
        let ending = {
            let process = process.clone();
            thread::spawn(move || process.end(LONG).unwrap())
        };
        recording.until(|event| matches!(event.what, What::WaitBegan { on: WaitFor::Thread, .. }));
        gate.open();
        assert_eq!(join(caller).unwrap().unwrap(), 7);
        assert!(join(ending).still_in.is_empty());
    });
}

#[test]
fn lt_8_a_thread_that_is_still_in_is_reported_and_cut_off_and_drops_its_objects_itself() {
    must_end(|| {
        let (process, recording) = recorded();
        let dropped_on = Log::new();
        let here = process.sta("stays").capacity(1).enter().unwrap();
        let stays = here.apartment().clone();
        let log = dropped_on.clone();
        let object = here.create(move || OnDrop(move || log.add(thread::current().id()))).unwrap();
        let local = object.local().unwrap();
        let elsewhere = object.clone();
        // Somebody is queued, and somebody waits for room.
        let (queued, post) = (object.clone(), object.clone());
        let queued = thread::spawn(move || queued.call(|_| panic!("it does not run")));
        recording.until(at(&stays, |what| matches!(what, What::Queued { .. })));
        let waiting = thread::spawn(move || post.with(&CallOptions::new().wait_for_room()).call(|_| ()));
        recording.until(|event| matches!(event.what, What::WaitTurned { on: WaitFor::Room, .. }));
        let ending = {
            let process = process.clone();
            thread::spawn(move || process.end(Duration::from_secs(5)))
        };
        recording.until(at(&stays, |what| matches!(what, What::QuitAsked)));
        recording.until(|event| matches!(event.what, What::WaitBegan { on: WaitFor::Thread, .. }));
        process.clock().advance(Duration::from_secs(5));
        let done = join(ending).unwrap();
        assert_eq!(done.still_in.iter().map(|name| name.id).collect::<Vec<_>>(), [stays.id()]);
        recording.until(at(&stays, |what| matches!(what, What::LeftBehind)));
        for refused in [join(queued), join(waiting), thread::spawn(move || elsewhere.call(|_| ())).join().unwrap()] {
            assert_eq!(number(refused), 0x8001_0108);
        }
        assert_eq!(number(local.proxy().map(drop)), 0x8001_0108);
        assert_eq!(stays.queued(), 0);
        // Its thread still has its objects, and drops them when it leaves.
        assert_eq!(object.call(|_| 7).unwrap(), 7, "directly");
        assert_eq!(dropped_on.take(), []);
        assert!(process.end(LONG).unwrap().before);
        drop(local);
        drop(here);
        assert_eq!(dropped_on.take(), [thread::current().id()]);
        assert!(process.end(LONG).unwrap().still_in.is_empty());
    });
}

#[test]
fn lt_8_a_busy_thread_is_reported_and_ends_when_it_is_done() {
    must_end(|| {
        let (process, recording) = recorded();
        let sta = process.sta("busy").spawn().unwrap();
        let object = sta.create(|| ()).unwrap();
        let gate = hold(&object);
        let (never, runs) = (std::sync::Arc::new(()), std::sync::Arc::new(AtomicU32::new(0)));
        let (held, counted) = (never.clone(), runs.clone());
        object
            .post(move |()| {
                let _held = &held;
                counted.fetch_add(1, SeqCst);
            })
            .unwrap();
        let done = process.end(Duration::ZERO).unwrap();
        assert_eq!(done.still_in.len(), 1);
        recording.until(at(sta.apartment(), |what| matches!(what, What::PostDropped { .. })));
        assert_eq!(std::sync::Arc::strong_count(&never), 1, "what was queued is gone");
        let again = process.end(Duration::ZERO).unwrap();
        assert!(again.before && again.still_in.len() == 1);
        gate.open();
        sta.join().unwrap();
        assert_eq!(runs.load(SeqCst), 0);
        assert!(process.end(Duration::ZERO).unwrap().still_in.is_empty());
    });
}

#[test]
fn lt_8_dropping_the_handle_of_one_that_was_given_up_on_waits_for_nothing() {
    must_end(|| {
        let (process, recording) = recorded();
        let sta = process.sta("busy").spawn().unwrap();
        let home = sta.apartment().clone();
        let gate = hold(&sta.create(|| ()).unwrap());
        assert_eq!(process.end(Duration::ZERO).unwrap().still_in.len(), 1);
        drop(sta);
        gate.open();
        recording.until(at(&home, |what| matches!(what, What::ApartmentEnded { abnormal: false, .. })));
    });
}

#[test]
fn lt_8_a_busy_mta_is_cut_off_and_drops_its_objects_when_it_is_done() {
    must_end(|| {
        let (process, recording) = recorded();
        let mta = process.mta().threads(1).spawn().unwrap();
        let sta = process.sta("caller").spawn().unwrap();
        let dropped = std::sync::Arc::new(AtomicBool::new(false));
        let seen = dropped.clone();
        let object = mta.create(move || Mutex::new(OnDrop(move || seen.store(true, SeqCst)))).unwrap();
        let caller = sta.create(|| ()).unwrap();
        let gate = Gate::new();
        let (stop, target) = (gate.stop(), object.clone());
        // On a thread of the pool, which lets nobody in meanwhile.
        caller.call(move |()| target.post(move |_| stop.wait()).map_err(|_| ())).unwrap().unwrap();
        gate.met();
        let ending = {
            let process = process.clone();
            thread::spawn(move || process.end(Duration::from_secs(1)))
        };
        recording.until(at(mta.apartment(), |what| matches!(what, What::DoorClosed)));
        process.clock().advance(Duration::from_secs(1));
        let done = join(ending).unwrap();
        assert!(done.still_in.iter().any(|name| name.id == mta.apartment().id()), "{done:?}");
        assert_eq!(number(object.call(|_| ())), 0x8001_0108);
        assert!(!dropped.load(SeqCst));
        gate.open();
        mta.join().unwrap();
        assert!(dropped.load(SeqCst));
    });
}

#[test]
fn lt_8_the_callers_own_apartment_is_asked_to_quit_and_not_waited_for() {
    must_end(|| {
        let process = Process::new();
        let here = process.sta("here").enter().unwrap();
        let object = here.create(|| 7).unwrap();
        let other = process.sta("other").spawn().unwrap();
        assert!(process.end(LONG).unwrap().still_in.is_empty());
        // It is still this thread's, though nobody new comes in.
        assert_eq!(object.call(|n| *n).unwrap(), 7);
        let elsewhere = object.clone();
        assert_eq!(number(join(thread::spawn(move || elsewhere.call(|n| *n)))), 0x8001_0108);
        here.run();
        drop((here, other));
        assert_eq!(number(object.call(|n| *n)), 0x8001_0108);
    });
}

#[test]
fn lt_8_the_wait_pumps_and_what_ends_may_call_back() {
    must_end(|| {
        let process = Process::new();
        let here = process.sta("here").enter().unwrap();
        let count = here.create(|| Cell::new(0)).unwrap();
        let other = process.sta("other").spawn().unwrap();
        let back = count.clone();
        let _object = other.create(move || OnDrop(move || back.call(|n| n.set(n.get() + 1)).unwrap())).unwrap();
        assert!(process.end(LONG).unwrap().still_in.is_empty());
        assert_eq!(count.call(Cell::get).unwrap(), 1);
        drop(here);
    });
}

#[test]
fn lt_8_a_second_end_is_refused_while_one_is_under_way_and_told_when_it_is_over() {
    must_end(|| {
        let process = Process::new();
        let gate = Gate::new();
        let stop = gate.stop();
        let _sta = process
            .sta("slow")
            .end_handler(move || {
                Does(
                    move || {
                        stop.wait();
                        true
                    },
                    || (),
                )
            })
            .spawn()
            .unwrap();
        let ending = {
            let process = process.clone();
            thread::spawn(move || process.end(LONG))
        };
        gate.met();
        let second = process.end(LONG).unwrap_err();
        assert!(matches!(second, EndRefused::UnderWay));
        assert_eq!(second.to_string(), "the process is being ended already");
        gate.open();
        assert!(!join(ending).unwrap().before);
        assert!(process.end(LONG).unwrap().before);
    });
}

#[test]
fn lt_8_a_deadline_of_zero_and_one_without_end() {
    must_end(|| {
        let process = Process::new();
        let log = Log::new();
        let sta = process.sta("asked").end_handler(says("asked", true, &log)).spawn().unwrap();
        let gate = hold(&sta.create(|| ()).unwrap());
        assert_eq!(refusals(process.end(Duration::ZERO).unwrap_err()), [("asked".to_owned(), WhyRefused::NoAnswer)]);
        gate.open();
        assert!(process.end(Duration::MAX).unwrap().still_in.is_empty());
    });
    must_end(|| {
        let process = Process::new();
        assert!(process.end(Duration::ZERO).unwrap().still_in.is_empty(), "there is nobody");
        assert_eq!(number(process.sta("late").spawn()), SERVER_STOPPING);
    });
}

#[test]
fn lt_8_it_cannot_be_ended_from_a_call_that_somebody_waits_for() {
    must_end(|| {
        let process = Process::new();
        let (home, other) = (process.sta("home").spawn().unwrap(), process.sta("other").spawn().unwrap());
        let (object, at_other) = (home.create(|| ()).unwrap(), other.create(|| ()).unwrap());
        let from_a_call = |process: &Process| match process.end(LONG) {
            Err(EndRefused::NotFromHere(why)) => why,
            other => panic!("{other:?}"),
        };
        let process_2 = process.clone();
        let target = object.clone();
        let why = at_other.call(move |()| target.call(move |()| from_a_call(&process_2))).unwrap().unwrap();
        assert_eq!(why, NotFromHere::InCall);
        let process_2 = process.clone();
        static FOCUS: Method = Method::new("View", "focus", 0, CallKind::InputSynchronized);
        let here = process.sta("here").enter().unwrap();
        let why = apartment::__private::call(&object, &FOCUS, move |()| from_a_call(&process_2)).unwrap();
        assert_eq!(why, NotFromHere::CantCallOut(CantCallOut::InInputSyncCall));
        // A direct call is nobody else's.
        let own = here.create(|| ()).unwrap();
        assert!(own.call(|()| process.end(LONG)).unwrap().unwrap().still_in.is_empty());
        drop(here);
    });
}

#[test]
fn lt_8_it_cannot_be_ended_from_a_filters_method() {
    struct Ends(Process, Rc<RefCell<Vec<EndRefused>>>);
    impl MessageFilter for Ends {
        fn retry_rejected(&self, _: &RejectedCall) -> Retry {
            self.1.borrow_mut().extend(self.0.end(LONG).err());
            Retry::GiveUp
        }
    }
    struct Closed;
    impl MessageFilter for Closed {
        fn handle_incoming(&self, call: &apartment::IncomingCall) -> ServerCall {
            if call.kind == CallKind::Create { ServerCall::Handled } else { ServerCall::Rejected }
        }
    }
    must_end(|| {
        let process = Process::new();
        let here = process.sta("here").enter().unwrap();
        let closed = process.sta("closed").filter(|| Closed).spawn().unwrap();
        let shut = closed.create(|| ()).unwrap();
        let refused = Rc::default();
        apartment::register_filter(Some(Rc::new(Ends(process.clone(), Rc::clone(&refused))))).unwrap();
        shut.call(|()| ()).unwrap_err();
        apartment::register_filter(None).unwrap();
        let refused = refused.take();
        assert!(matches!(refused[..], [EndRefused::NotFromHere(NotFromHere::CantCallOut(CantCallOut::InFilter))]));
        assert_eq!(closed.create(|| 7).unwrap().apartment().unwrap(), *closed.apartment());
        drop(here);
    });
}

#[test]
fn lt_8_a_post_and_a_message_may_end_it() {
    for by_post in [true, false] {
        must_end(move || {
            let process = Process::new();
            let (home, other) = (process.sta("home").spawn().unwrap(), process.sta("other").spawn().unwrap());
            let (done, ended) = std::sync::mpsc::channel();
            let ends = process.clone();
            let end = move || done.send(ends.end(LONG).unwrap()).unwrap();
            if by_post {
                home.create(|| ()).unwrap().post(move |()| end()).unwrap();
            } else {
                home.apartment().post_message(MessageClass::User, end).unwrap();
            }
            assert!(ended.recv().unwrap().still_in.is_empty());
            home.join().unwrap();
            other.join().unwrap();
        });
    }
}

#[test]
fn lt_8_an_end_handler_belongs_to_an_sta_and_goes_with_it() {
    must_end(|| {
        let process = Process::new();
        let agrees = || -> Rc<dyn EndHandler> { Rc::new(Does(|| true, || ())) };
        assert_eq!(number(register_end_handler(Some(agrees())).map(drop)), 0x8000_4021);
        let mta = process.mta().spawn().unwrap();
        let guard = mta.enter().unwrap();
        assert_eq!(number(register_end_handler(Some(agrees())).map(drop)), 0x8000_4021);
        drop(guard);
        let dropped = Rc::new(Cell::new(0));
        struct Counts(Rc<Cell<u32>>);
        impl EndHandler for Counts {}
        impl Drop for Counts {
            fn drop(&mut self) {
                self.0.set(self.0.get() + 1);
                panic!("on purpose");
            }
        }
        let here = process.sta("here").enter().unwrap();
        assert!(register_end_handler(Some(agrees())).unwrap().is_none());
        assert!(register_end_handler(Some(Rc::new(Counts(dropped.clone())))).unwrap().is_some());
        drop(here);
        assert_eq!(dropped.get(), 1);
        let failed = process.sta("fails").end_handler(|| -> Does<fn() -> bool, fn()> { panic!("on purpose") });
        assert_eq!(number(failed.spawn()), 0x8001_0100);
        let failed = process.sta("fails").end_handler(|| -> Does<fn() -> bool, fn()> { panic!("on purpose") });
        assert_eq!(number(failed.enter()), 0x8001_0100);
        assert!(process.end(LONG).unwrap().still_in.is_empty());
        drop(mta);
    });
}

#[test]
fn lt_8_what_could_not_be_made_is_not_waited_for() {
    must_end(|| {
        let process = Process::new();
        let failed = process.mta().around(|| Err::<(), _>("on purpose")).spawn();
        assert_eq!(number(failed), 0x8001_0100);
        let failed = process.sta("hook").around(|| Err::<(), _>("on purpose")).spawn();
        assert_eq!(number(failed), 0x8001_0100);
        let failed = process.sta("hook").around(|| Err::<(), _>("on purpose")).enter();
        assert_eq!(number(failed), 0x8001_0100);
        assert!(process.end(Duration::ZERO).unwrap().still_in.is_empty());
    });
}
