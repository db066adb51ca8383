//! MA-7: free-threaded objects; and what of AP-2 and LT-1 is about them.

use crate::ma::{Told, here, with_the_locals};
use crate::stage::{play, secs};
use crate::support::{Log, in_child, is_child, join};
use apartment::{
    CallError, CallKind, CallOptions, CancelHandle, Event, Outcome, Process, Proxy, Reentrancy, Route, ServerCall,
    What, current_call, implements, interface, is_cancelled,
};
use std::cell::RefCell;
use std::panic::panic_any;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;

/// The events of a recording about one call, by what they say.
fn of_call(events: &[Event], call: apartment::CallId) -> Vec<&Event> {
    events.iter().filter(|event| event.call.is_some_and(|seen| seen.id == call)).collect()
}

// ---- MA-7

#[test]
fn ma_7_a_free_threaded_object_is_called_on_the_caller_s_thread_from_everywhere() {
    let (process, other) = (Process::new(), Process::new());
    let free = process.free_threaded(7).unwrap();
    assert_eq!(free.call(|n| (*n, here())).unwrap(), (7, here()), "a thread in no apartment");
    let stas = [process.sta("a").spawn().unwrap(), process.sta("b").spawn().unwrap(), other.sta("c").spawn().unwrap()];
    for sta in &stas {
        let (there, home) = sta.create(|| ()).unwrap().call(|()| (free.call(|_| here()).unwrap(), here())).unwrap();
        assert_eq!(there, home);
        assert_ne!(there, here());
    }
    for process in [&process, &other] {
        let mta = process.mta().spawn().unwrap();
        let in_mta = mta.create(|| ()).unwrap();
        let from_sta = stas[0].create(|| ()).unwrap();
        let (there, home) =
            from_sta.call(|()| in_mta.call(|()| (free.call(|_| here()).unwrap(), here())).unwrap()).unwrap();
        assert_eq!(there, home, "a thread of the pool");
    }
    assert_eq!(free.apartment(), None);
}

#[test]
fn ma_7_calls_of_a_free_threaded_object_run_side_by_side() {
    let process = Process::new();
    let meeting = process.free_threaded(std::sync::Barrier::new(3)).unwrap();
    let stas = ["a", "b"].map(|name| process.sta(name).spawn().unwrap());
    for sta in &stas {
        let meeting = meeting.clone();
        sta.create(|| ()).unwrap().post(move |()| drop(meeting.call(|all| all.wait()))).unwrap();
    }
    // All three are in it at once, or nobody comes out.
    meeting.call(|all| all.wait()).unwrap();
}

#[test]
fn ma_7_a_free_threaded_object_survives_the_apartment_that_made_it() {
    let process = Process::new();
    let log = Log::new();
    let sta = process.sta("maker").spawn().unwrap();
    let maker = sta.create(|| ()).unwrap();
    let free = maker.call(|()| process.free_threaded(Told("object", log.clone())).unwrap()).unwrap();
    drop(maker);
    sta.quit();
    sta.join().unwrap();
    assert_eq!(free.call(|told| told.0).unwrap(), "object");
    assert_eq!(log.take(), []);
    drop(free);
    assert_eq!(log.take(), [("object", here())]);
}

#[test]
fn ma_7_a_call_of_a_free_threaded_object_is_a_call() {
    play(|stage| {
        let free = stage.process.free_threaded(())?;
        let sta = stage.sta("a").spawn()?;
        let object = sta.create(|| ())?;
        let (outer, inner) = object
            .within(secs(5))
            .call(|()| (current_call().unwrap(), free.call(|()| current_call().unwrap()).unwrap()))?;
        assert_eq!((inner.chain(), inner.depth(), inner.kind()), (outer.chain(), 2, CallKind::Synchronous));
        assert_ne!(inner.id(), outer.id());
        assert_eq!(inner.caller().apartment.as_ref().map(|name| name.id), Some(sta.apartment().id()));
        assert_eq!(inner.remaining(), Some(secs(5)), "what is left of its chain's deadline");
        let top = free.call(|()| current_call().unwrap())?;
        assert_eq!((top.depth(), top.chain().0, top.remaining()), (1, top.id(), None));
        assert!(top.caller().apartment.is_none());
        assert!(current_call().is_err(), "and it is over");
        Ok(())
    });
}

#[test]
fn ma_7_a_chain_goes_through_a_free_threaded_object_and_back_home() {
    play(|stage| {
        let (a, b) = (stage.sta("a").reentrancy(Reentrancy::SameCausality).spawn()?, stage.sta("b").spawn()?);
        let (at_a, at_b) = (a.create(|| 1)?, b.create(|| ())?);
        let free = stage.process.free_threaded((at_a.clone(), at_b))?;
        let back = at_a
            .call(|_| free.call(|(at_a, at_b)| at_b.call(|()| at_a.call(|n| (*n, current_call().unwrap().depth())))))?;
        assert_eq!(back???, (1, 4));
        Ok(())
    });
}

#[test]
fn ma_7_a_free_threaded_object_has_its_events() {
    play(|stage| {
        let sta = stage.sta("a").spawn()?;
        let object = sta.create(|| ())?;
        stage.begin();
        let free = stage.process.free_threaded(7_u8)?;
        let id = free.object_id();
        let call = object.call(|()| free.call(|_| current_call().unwrap().id()).unwrap())?;
        let events = stage.events();
        let made = events.iter().find(|event| matches!(event.what, What::ObjectMade { object, .. } if object == id));
        assert_eq!(made.unwrap().apartment, None, "it is in none");
        let events = of_call(&events, call);
        let at = Some(sta.apartment().id());
        assert!(events.iter().all(|event| event.apartment == at), "told by the apartment on whose thread it runs");
        let [made, began, ended, returned] = events[..] else { panic!("{events:?}") };
        let What::CallMade(made) = &made.what else { panic!("{made:?}") };
        assert_eq!((made.route, made.from, made.to), (Route::FreeThreaded, at, None));
        assert_eq!((made.target.object, made.target.type_name, made.borrows), (Some(id), "u8", true));
        assert!(matches!(began.what, What::Began { call_type: None, queued: 0 }));
        assert!(matches!(ended.what, What::Ended { panicked: None }));
        assert!(matches!(returned.what, What::Returned { error: None }));
        drop(free);
        let gone = |event: &Event| {
            event.apartment.is_none() && matches!(event.what, What::ObjectDropped { object } if object == id)
        };
        assert_eq!(stage.events().iter().filter(|event| gone(event)).count(), 1);
        Ok(())
    });
}

#[test]
fn ma_7_a_panic_in_a_free_threaded_object_is_a_server_fault() {
    play(|stage| {
        let free = stage.process.free_threaded(7)?;
        let error = free.call(|_| panic!("no")).map(|(): ()| ()).unwrap_err();
        let CallError::ServerFault { message, target } = &error else { panic!("{error}") };
        assert_eq!((&**message, target.object), ("no", Some(free.object_id())));
        assert_eq!(free.call(|n| *n)?, 7, "it goes on");
        Ok(())
    });
}

#[test]
fn ma_7_deadlines_and_cancel_handles_work_in_a_free_threaded_object() {
    play(|stage| {
        let free = stage.process.free_threaded(())?;
        let clock = &stage.clock;
        let error = free.within(secs(2)).call(|()| {
            assert!(!is_cancelled());
            clock.advance(secs(2));
            assert!(is_cancelled());
        });
        assert!(matches!(error, Err(CallError::TimedOut { outcome: Outcome::MayHaveRun })));
        let cancel = CancelHandle::new();
        let options = CallOptions::new().cancel(&cancel);
        let error = free.with(&options).call(|()| {
            cancel.cancel();
            assert!(is_cancelled());
        });
        assert!(matches!(error, Err(CallError::CallCanceled { outcome: Outcome::MayHaveRun })));
        let error = free.with(&options).call(|()| panic!("it must not run"));
        assert!(matches!(error, Err(CallError::CallCanceled { outcome: Outcome::NotStarted })));

        // A deadline, and a handle, reach through it to what it calls.
        let sta = stage.sta("a").spawn()?;
        let object = sta.create(|| ())?;
        let through = free.within(secs(3)).call(|()| object.call(|()| current_call().unwrap().remaining()));
        assert_eq!(through??, Some(secs(3)));
        Ok(())
    });
}

#[test]
fn ma_7_a_free_threaded_object_can_be_called_from_inside_a_filter() {
    play(|stage| {
        let free = stage.process.free_threaded(AtomicUsize::new(0))?;
        let posted = stage.process.free_threaded(AtomicUsize::new(0))?;
        let asked = (free.clone(), posted.clone());
        let filter = move || {
            crate::stage::incoming(move |_| {
                asked.0.call(|n| n.fetch_add(1, Relaxed)).unwrap();
                let add = |n: &AtomicUsize| _ = n.fetch_add(1, Relaxed);
                asked.1.post(add).unwrap();
                ServerCall::Handled
            })
        };
        let sta = stage.sta("a").filter(filter).spawn()?;
        sta.create(|| ())?.call(|()| ())?;
        assert_eq!((free.call(|n| n.load(Relaxed))?, posted.call(|n| n.load(Relaxed))?), (2, 2));
        Ok(())
    });
}

interface! {
    trait Window {
        fn focus(&self) -> Result<CallKind, CallError> as input_sync;
        fn changed(&self) -> Result<(), CallError> as one_way;
    }
}

/// Calls something, says what came of it, and how it was called itself.
struct Tries<T: 'static>(Proxy<T>, Log<(CallKind, bool)>);

impl<T> Tries<T> {
    fn tries(&self) -> Result<CallKind, CallError> {
        let kind = current_call()?.kind();
        self.1.add((kind, self.0.call(|_| ()).is_ok()));
        Ok(kind)
    }
}

impl<T> Window for Tries<T> {
    fn focus(&self) -> Result<CallKind, CallError> {
        self.tries()
    }

    fn changed(&self) -> Result<(), CallError> {
        self.tries().map(drop)
    }
}

implements!(Tries<u8>: dyn Window);
implements!(Tries<String>: dyn Window);

#[test]
fn ma_7_a_free_threaded_object_can_be_called_where_no_call_can_leave_the_apartment() {
    play(|stage| {
        let (a, b) = (stage.sta("a").spawn()?, stage.sta("b").spawn()?);
        let log = Log::new();
        let at_a = a.create(|| ())?;
        let (free, back) = (stage.process.free_threaded(7_u8)?, a.create(String::new)?);
        let windows = [
            b.create(|| Tries(free.clone(), log.clone()))?.cast::<dyn Window>(),
            b.create(|| Tries(back.clone(), log.clone()))?.cast::<dyn Window>(),
        ];
        for window in &windows {
            at_a.call(|()| window.focus().and(window.changed()))??;
            b.create(|| ())?;
        }
        let (focus, changed) = (CallKind::InputSynchronized, CallKind::OneWay);
        assert_eq!(log.take(), [(focus, true), (changed, true), (focus, false), (changed, false)]);
        Ok(())
    });
}

#[test]
fn ma_7_every_kind_of_method_of_a_free_threaded_object_runs_on_every_thread() {
    play(|stage| {
        let log = Log::new();
        let window = stage.process.free_threaded(7_u8)?;
        let window = stage.process.free_threaded(Tries(window, log.clone()))?.cast::<dyn Window>();
        let (sta, mta) = (stage.sta("a").spawn()?, stage.mta().spawn()?);
        let (at_sta, in_mta) = (sta.create(|| ())?, mta.create(|| ())?);
        let both = |(): &()| (window.focus(), window.changed(), here());
        // Of the MTA, and in no apartment, no input-synchronized call could be made to anybody else.
        let kinds = [at_sta.call(both)?, at_sta.call(|()| in_mta.call(both))??, both(&())];
        for (focus, changed, _) in kinds {
            assert!(matches!((focus, changed), (Ok(CallKind::InputSynchronized), Ok(()))));
        }
        assert_eq!(log.take().len(), 6);
        Ok(())
    });
}

#[test]
fn ma_7_a_post_to_a_free_threaded_object_runs_at_once() {
    play(|stage| {
        let free = stage.process.free_threaded(())?;
        let log = Log::new();
        let seen = log.clone();
        let call = free.within(secs(9)).call(|()| {
            let posted = seen.clone();
            free.post(move |()| posted.add((here(), current_call().unwrap()))).unwrap();
            current_call().unwrap()
        })?;
        let (thread, posted) = log.take().remove(0);
        assert_eq!(thread, here());
        assert_eq!((posted.kind(), posted.depth(), posted.remaining()), (CallKind::OneWay, 1, None));
        assert_eq!((posted.from_chain(), posted.chain().0), (Some(call.chain()), posted.id()), "a chain of its own");

        free.post(|()| panic!("nobody hears of it")).unwrap();
        let panicked =
            |what: &What| matches!(what, What::Ended { panicked: Some(text) } if &**text == "nobody hears of it");
        stage.until_any(|event| panicked(&event.what));
        Ok(())
    });
}

#[test]
fn ma_7_a_free_threaded_object_is_its_own_local_reference_everywhere() {
    let process = Process::new();
    let free = process.free_threaded(String::from("text")).unwrap();
    let local = free.local().unwrap();
    assert_eq!((&**local, local.proxy().unwrap() == free), ("text", true));
    let second = local.clone();
    assert_eq!(second, local);
    drop((local, free));
    assert_eq!(second.len(), 4, "it keeps the object");
    let sta = process.sta("a").spawn().unwrap();
    let again = second.proxy().unwrap();
    assert_eq!(sta.create(|| ()).unwrap().call(|()| again.local().unwrap().len()).unwrap(), 4);
}

#[test]
fn ma_7_a_free_threaded_object_may_hold_proxies() {
    let process = Process::new();
    let sta = process.sta("home").spawn().unwrap();
    let free = process.free_threaded(sta.create(|| 7).unwrap()).unwrap();
    let other = process.sta("other").spawn().unwrap();
    let there = other.create(|| ()).unwrap().call(|()| free.call(|held| held.call(|n| *n)));
    assert_eq!(there.unwrap().unwrap().unwrap(), 7);
}

#[test]
fn ma_7_free_threaded_objects_are_told_apart_from_each_other_and_from_others() {
    let process = Process::new();
    let ui = process.sta("ui").enter().unwrap();
    let (one, two) = (process.free_threaded(1).unwrap(), process.free_threaded(1).unwrap());
    let at_home = ui.create(|| 1).unwrap();
    assert_eq!(one.object_id(), at_home.object_id());
    assert!(one == one.clone() && one != two && one != at_home);
    let weak = one.downgrade();
    assert_eq!(weak.upgrade().as_ref(), Some(&one));
    drop(one);
    assert!(weak.upgrade().is_none());
    assert_eq!(format!("{two:?}"), "Proxy<i32>(object 2, free-threaded)");
}

#[test]
fn ma_7_under_strict_rules_a_free_threaded_object_is_usable_in_every_apartment() {
    let process = Process::builder().strict_rules().build();
    assert!(matches!(process.free_threaded(7), Err(CallError::NotInitialized)));
    let maker = process.sta("maker").enter().unwrap();
    let free = process.free_threaded(7).unwrap();
    let (elsewhere, posted) = (free.clone(), free.clone());
    join(thread::spawn(move || {
        assert!(matches!(elsewhere.call(|n| *n), Err(CallError::NotInitialized)));
        assert!(matches!(elsewhere.post(|_| ()).unwrap_err().error(), CallError::NotInitialized));
        assert!(elsewhere.local().is_none());
    }));
    let local = free.local().unwrap();
    maker.leave();
    assert_eq!(*local, 7, "it is no reference of an apartment");
    assert!(matches!(local.proxy(), Err(CallError::NotInitialized)));
    let thread = thread::spawn(move || {
        let other = process.sta("other").enter().unwrap();
        assert_eq!(free.call(|n| *n).unwrap(), 7);
        assert_eq!(*free.local().unwrap(), 7);
        posted.post(|n| assert_eq!(*n, 7)).unwrap();
        other.leave();
    });
    join(thread);
}

// ---- AP-2, LT-1: where a free-threaded object goes

#[test]
fn ap_2_a_free_threaded_object_is_dropped_on_the_thread_that_drops_the_last_reference() {
    play(|stage| {
        let log = Log::new();
        let sta = stage.sta("a").spawn()?;
        let object = sta.create(|| ())?;
        let free = stage.process.free_threaded(Told("in an STA", log.clone()))?;
        let thread = object.call(move |()| {
            drop(free);
            here()
        })?;
        let free = stage.process.free_threaded(Told("in no apartment", log.clone()))?;
        let second = free.clone();
        drop(free);
        drop(second);
        let free = stage.process.free_threaded(Told("with the locals", log.clone()))?;
        let last = join(thread::spawn(move || {
            with_the_locals(free);
            here()
        }));
        assert_eq!(log.take(), [("in an STA", thread), ("in no apartment", here()), ("with the locals", last)]);
        Ok(())
    });
}

#[test]
fn lt_1_a_free_threaded_object_is_dropped_in_no_call_and_no_chain() {
    struct Asks(Log<(bool, u32)>, Proxy<()>);
    impl Drop for Asks {
        fn drop(&mut self) {
            let depth = self.1.call(|()| current_call().unwrap().depth()).unwrap();
            self.0.add((current_call().is_err(), depth));
        }
    }
    play(|stage| {
        let log = Log::new();
        let (a, b) = (stage.sta("a").spawn()?, stage.sta("b").spawn()?);
        let (at_a, at_b) = (a.create(|| ())?, b.create(|| ())?);
        let free = stage.process.free_threaded(Asks(log.clone(), at_b.clone()))?;
        at_a.call(move |()| {
            drop(free);
            assert_eq!(current_call().unwrap().depth(), 1);
        })?;
        // Also as part of another object that goes.
        let free = stage.process.free_threaded(Asks(log.clone(), at_b))?;
        let holder = a.create(move || RefCell::new(Some(free)))?;
        holder.call(|held| drop(held.take()))?;
        assert_eq!(log.take(), [(true, 1), (true, 1)]);
        Ok(())
    });
}

#[test]
fn lt_1_a_free_threaded_object_whose_destructor_panics_is_contained_and_told() {
    struct Panics(u8);
    impl Drop for Panics {
        fn drop(&mut self) {
            panic_any("it panics");
        }
    }
    play(|stage| {
        let free = stage.process.free_threaded(Panics(1))?;
        assert_eq!(free.call(|panics| panics.0)?, 1);
        drop(free);
        // Also while the thread unwinds already.
        let free = stage.process.free_threaded(Panics(2))?;
        let unwinds = thread::spawn(move || {
            let _free = free;
            panic_any("the owner panics");
        });
        assert_eq!(*unwinds.join().unwrap_err().downcast::<&str>().unwrap(), "the owner panics");
        let contained = |event: &&Event| matches!(&event.what, What::Contained { place: "a destructor", message } if &**message == "it panics");
        assert_eq!(stage.events().iter().filter(contained).count(), 2);
        Ok(())
    });
}

/// One link of a chain: its destructor drops the next.
struct Link {
    _next: Option<Proxy<Link>>,
    dropped: Arc<AtomicUsize>,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.dropped.fetch_add(1, Relaxed);
    }
}

const CHAIN: usize = 100_000;

/// The first of a chain of that many free-threaded objects.
fn chain(process: &Process, dropped: &Arc<AtomicUsize>) -> Proxy<Link> {
    let link = |next| process.free_threaded(Link { _next: next, dropped: Arc::clone(dropped) }).unwrap();
    let mut first = link(None);
    for _ in 1..CHAIN {
        first = link(Some(first));
    }
    first
}

#[test]
fn lt_1_a_chain_of_100_000_free_threaded_objects_does_not_overflow_the_stack() {
    let process = Process::new();
    let dropped = Arc::default();
    drop(chain(&process, &dropped));
    assert_eq!(dropped.load(Relaxed), CHAIN);
    let sta = process.sta("a").spawn().unwrap();
    let first = chain(&process, &dropped);
    sta.create(|| ()).unwrap().call(move |()| drop(first)).unwrap();
    assert_eq!(dropped.load(Relaxed), 2 * CHAIN);
}

#[test]
fn lt_1_a_chain_of_free_threaded_objects_goes_with_the_thread_s_locals_without_overflow() {
    if !is_child() {
        in_child("free::lt_1_a_chain_of_free_threaded_objects_goes_with_the_thread_s_locals_without_overflow");
        return;
    }
    let process = Process::new();
    let dropped = Arc::default();
    for library_first in [false, true] {
        let (process, count) = (process.clone(), Arc::clone(&dropped));
        join(thread::spawn(move || {
            if library_first {
                apartment::current();
            }
            with_the_locals(chain(&process, &count));
        }));
    }
    assert_eq!(dropped.load(Relaxed), 2 * CHAIN);
}
