//! Disconnecting an object, and the end of a process in two phases.

use crate::support::{Gate, Log, at, count, hold, join, must_end, nth, recorded};
use apartment::{
    CallError, CallKind, CallOptions, CantCallOut, Event, Local, MessageFilter, Method, Process, Proxy, Recording,
    RejectedCall, Retry, ServerCall, WaitFor, What, WhyDisconnected,
};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use std::thread;

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
