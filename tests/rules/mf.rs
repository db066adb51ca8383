//! MF: message filters.

use crate::stage::{Answers, Gate, Key, Stage, gate, hresult, incoming, like, millis, pending, play, secs};
use apartment::{
    Apartment, CallError, CallKind, CallOptions, CallType, CancelHandle, Clock, HeldBy, IncomingCall, MessageClass,
    MessageFilter, Outcome, PendingAnswer, PendingMessage, PendingType, Process, Proxy, Reentrancy, RejectedCall,
    Retry, RetryFor, ServerCall, Sta, WaitFor, What, current_call, register_filter,
};
use crossbeam_channel::{Receiver, Sender, unbounded};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

/// An STA, an object in it, and what its filter was asked.
type Asked<Q> = Result<(Sta, Proxy<Cell<u32>>, Receiver<Q>), CallError>;

/// A filter that shows every incoming call to the test and lets it in.
fn shows(seen: Sender<IncomingCall>) -> Answers {
    incoming(move |call| {
        seen.send(call.clone()).unwrap();
        ServerCall::Handled
    })
}

/// An STA whose filter shows its incoming calls, and an object in it whose making they do not include.
fn shown(stage: &Stage, name: &str) -> Asked<IncomingCall> {
    let (seen, calls) = unbounded();
    let sta = stage.sta(name).filter(move || shows(seen)).spawn()?;
    let object = sta.create(|| Cell::new(0))?;
    calls.recv().unwrap();
    Ok((sta, object, calls))
}

/// An STA that answers all calls so, but for those that make objects.
fn answering(stage: &Stage, name: &str, answer: ServerCall) -> Result<(Sta, Proxy<Cell<u32>>), CallError> {
    let filter = move || {
        incoming(move |call| match call.kind {
            CallKind::Create => ServerCall::Handled,
            _ => answer,
        })
    };
    let sta = stage.sta(name).filter(filter).spawn()?;
    let object = sta.create(|| Cell::new(0))?;
    Ok((sta, object))
}

/// An STA that refuses the first synchronous calls and lets in everything else.
fn refusing(stage: &Stage, name: &str, first: u32, answer: ServerCall) -> Result<(Sta, Proxy<Cell<u32>>), CallError> {
    let filter = move || {
        let left = Cell::new(first);
        incoming(move |call| {
            if call.kind != CallKind::Synchronous || left.get() == 0 {
                return ServerCall::Handled;
            }
            left.set(left.get() - 1);
            answer
        })
    };
    let sta = stage.sta(name).filter(filter).spawn()?;
    let object = sta.create(|| Cell::new(0))?;
    Ok((sta, object))
}

fn add(count: &Cell<u32>) {
    count.set(count.get() + 1);
}

fn seen_as(error: CallError) -> (u32, Outcome) {
    (error.hresult(), error.outcome())
}

const REJECTED: (u32, Outcome) = (hresult::CALL_REJECTED, Outcome::NotStarted);
const RETRY_LATER: (u32, Outcome) = (hresult::RETRY_LATER, Outcome::NotStarted);

// ---- MF-1

fn filter() -> Rc<dyn MessageFilter> {
    Rc::new(Answers::default())
}

fn is(there: &Option<Rc<dyn MessageFilter>>, expected: &Rc<dyn MessageFilter>) -> bool {
    there.as_ref().is_some_and(|there| std::ptr::addr_eq(Rc::as_ptr(there), Rc::as_ptr(expected)))
}

#[test]
fn mf_1_registering_returns_the_filter_before() {
    play(|stage| {
        let _ui = stage.sta("ui").enter()?;
        let (first, second) = (filter(), filter());
        assert!(register_filter(Some(Rc::clone(&first)))?.is_none());
        assert!(is(&register_filter(Some(Rc::clone(&second)))?, &first));
        assert!(is(&register_filter(None)?, &second));
        assert!(register_filter(None)?.is_none());
        Ok(())
    });
}

#[test]
fn mf_1_the_builders_filter_is_the_first_one() {
    play(|stage| {
        let _ui = stage.sta("ui").filter(Answers::default).enter()?;
        assert!(register_filter(None)?.is_some());
        assert!(register_filter(None)?.is_none());
        Ok(())
    });
}

#[test]
fn mf_1_registering_none_removes_the_filter() {
    play(|stage| {
        let (_a, at_a) = answering(stage, "a", ServerCall::Rejected)?;
        assert_eq!(seen_as(at_a.call(add).unwrap_err()), REJECTED);
        at_a.post(|_| drop(register_filter(None).unwrap()))?;
        at_a.call(add)?;
        Ok(())
    });
}

#[test]
fn mf_1_each_sta_has_its_own() {
    play(|stage| {
        let (_a, at_a) = answering(stage, "a", ServerCall::Rejected)?;
        let b = stage.sta("b").spawn()?;
        let at_b = b.create(|| ())?;
        assert!(at_b.call(|()| register_filter(None).unwrap().is_none())?);
        assert_eq!(seen_as(at_a.call(add).unwrap_err()), REJECTED);
        Ok(())
    });
}

#[test]
fn mf_1_on_other_threads_it_is_not_supported() {
    play(|stage| {
        let refused = || register_filter(Some(filter())).map(drop).unwrap_err().hresult();
        assert_eq!(refused(), hresult::NOT_SUPPORTED, "in no apartment");
        let mta = stage.mta().spawn()?;
        let in_mta = mta.create(|| ())?;
        assert_eq!(refused(), hresult::NOT_SUPPORTED, "implicitly in the MTA");
        assert_eq!(in_mta.call(|()| refused())?, hresult::NOT_SUPPORTED, "serving a direct call there");
        let entered = mta.enter()?;
        assert_eq!(refused(), hresult::NOT_SUPPORTED, "entered the MTA");
        entered.leave();
        let a = stage.sta("a").spawn()?;
        let from = a.create(|| ())?;
        assert_eq!(from.call(|()| in_mta.call(|()| refused()).unwrap())?, hresult::NOT_SUPPORTED, "of the pool");
        // Nothing has changed: who may have a filter has none.
        assert!(from.call(|()| register_filter(None).unwrap().is_none())?);
        Ok(())
    });
}

// ---- MF-2

#[test]
fn mf_2_a_filter_is_asked_before_each_call_from_another_apartment() {
    play(|stage| {
        let (a, at_a, calls) = shown(stage, "a")?;
        let (b, mta) = (stage.sta("b").spawn()?, stage.mta().spawn()?);
        let (at_b, in_mta) = (b.create(|| ())?, mta.create(|| ())?);
        let cell = a.create(|| RefCell::new(0))?;
        let kinds = || calls.try_iter().map(|call| call.kind).collect::<Vec<_>>();
        kinds();
        let each_kind = || {
            at_a.call(add).unwrap();
            cell.call_mut(|n| *n += 1).unwrap();
            cell.call_ref(|n| *n).unwrap();
            at_a.within(secs(1)).call(add).unwrap();
            at_a.post(add).unwrap();
            drop(a.create(|| ()).unwrap());
            assert!(a.try_create(|| Err::<(), _>("no")).unwrap().is_err());
        };
        let sync = CallKind::Synchronous;
        let expected = [sync, sync, sync, sync, CallKind::OneWay, CallKind::Create, CallKind::Create];
        // From a thread in no apartment, from an STA, from the MTA.
        each_kind();
        assert_eq!(kinds(), expected);
        at_b.call(|()| each_kind())?;
        assert_eq!(kinds(), expected);
        at_b.call(|()| in_mta.call(|()| each_kind()).unwrap())?;
        assert_eq!(kinds(), expected);
        Ok(())
    });
}

#[test]
fn mf_2_it_is_asked_before_the_call_runs() {
    play(|stage| {
        let (a, at_a, _calls) = shown(stage, "a")?;
        stage.begin();
        at_a.call(add)?;
        let asked = stage.until(a.apartment(), like!(Filtered { answer: ServerCall::Handled })).seq;
        assert!(asked < stage.until(a.apartment(), like!(Began)).seq);
        Ok(())
    });
}

#[test]
fn mf_2_a_filter_is_not_asked_about_anything_else() {
    play(|stage| {
        let (seen, calls) = unbounded();
        let ui = stage.sta("ui").filter(move || shows(seen)).enter()?;
        let object = ui.create(|| Cell::new(0))?;
        let goes = ui.create(|| ())?;
        let cancel = CancelHandle::new();
        stage.begin();
        // Direct calls, also in a served one; what is posted at home.
        object.call(add)?;
        object.post(add)?;
        ui.create(|| ())?;
        assert_eq!(ui.pump(), 1);
        thread::scope(|s| {
            // Calls that were cancelled or are past their deadline.
            let revoked = s.spawn(|| object.with(&CallOptions::new().cancel(&cancel)).call(add).unwrap_err());
            stage.until_nth(2, ui.apartment(), like!(Queued));
            let expired = s.spawn(|| object.within(secs(1)).call(add).unwrap_err());
            stage.until_nth(3, ui.apartment(), like!(Queued));
            cancel.cancel();
            stage.clock.advance(secs(1));
            // Releases, messages, quit.
            s.spawn(|| drop(goes)).join().unwrap();
            ui.apartment().post_message(MessageClass::User, || ()).unwrap();
            ui.pump();
            ui.apartment().quit();
            ui.run();
            assert_eq!(revoked.join().unwrap().hresult(), hresult::CALL_CANCELED);
            assert_eq!(expired.join().unwrap().hresult(), hresult::TIMED_OUT);
        });
        assert_eq!(stage.count(ui.apartment(), like!(MessageEnded)), 1);
        assert!(stage.count(ui.apartment(), like!(ObjectDropped)) >= 1);
        assert!(calls.is_empty(), "{calls:?}", calls = calls.try_iter().collect::<Vec<_>>());
        Ok(())
    });
}

#[test]
fn mf_2_a_call_past_its_deadline_is_not_asked_about_even_if_its_caller_has_not_noticed() {
    play(|stage| {
        let (seen, calls) = unbounded();
        let ui = stage.sta("ui").filter(move || shows(seen)).enter()?;
        let at_ui = ui.create(|| Cell::new(0))?;
        let a = stage.sta("a").spawn()?;
        let at_a = a.create(|| ())?;
        stage.begin();
        let (key, gate) = gate();
        thread::scope(|s| {
            let call = s.spawn(|| at_a.call(|()| at_ui.within(secs(1)).call(add).unwrap_err()).unwrap());
            stage.until(ui.apartment(), like!(Queued));
            // The thread that waits for it serves somebody else and looks at no clock.
            s.spawn(|| at_a.call(|()| gate.pass()).unwrap());
            stage.until_nth(2, a.apartment(), like!(Began));
            stage.clock.advance(secs(1));
            ui.pump();
            key.open();
            assert_eq!(seen_as(call.join().unwrap()), (hresult::TIMED_OUT, Outcome::NotStarted));
        });
        assert_eq!(at_ui.call(Cell::get)?, 0);
        assert!(calls.is_empty());
        Ok(())
    });
}

#[test]
fn mf_2_anything_in_the_mta_is_not_asked_about() {
    play(|stage| {
        let (a, at_a, calls) = shown(stage, "a")?;
        let mta = stage.mta().spawn()?;
        let m = mta.create(|| AtomicU32::new(0))?;
        // The caller's filter has no say in what it calls.
        at_a.call(|_| {
            m.call(|n| n.fetch_add(1, Ordering::Relaxed)).unwrap();
            m.post(|_| ()).unwrap();
            drop(mta.create(|| ()).unwrap());
        })?;
        assert_eq!(calls.try_iter().count(), 1, "only the call into the STA");
        assert_eq!(stage.count(mta.apartment(), like!(Filtered)), 0);
        drop(a);
        Ok(())
    });
}

#[test]
fn mf_2_it_is_asked_once_per_offer() {
    play(|stage| {
        let (a, at_a) = refusing(stage, "a", 2, ServerCall::RetryLater)?;
        stage.begin();
        at_a.with(&CallOptions::new().retry(|_: &RejectedCall| Retry::Now)).call(add)?;
        assert_eq!(stage.count(a.apartment(), like!(Queued)), 3);
        assert_eq!(stage.count(a.apartment(), like!(Filtered)), 3);
        Ok(())
    });
}

#[test]
fn mf_2_it_is_asked_when_no_policy_holds_the_entry_any_more() {
    play(|stage| {
        let (seen, calls) = unbounded();
        let a = stage.sta("a").reentrancy(Reentrancy::SameCausality).filter(move || shows(seen)).spawn()?;
        let b = stage.sta("b").spawn()?;
        let (at_a, at_b) = (a.create(|| ())?, b.create(|| ())?);
        stage.begin();
        let (key, gate) = gate();
        let held = thread::scope(|s| {
            s.spawn(|| at_a.call(|()| at_b.call(|()| gate.pass()).unwrap()).unwrap());
            stage.until(a.apartment(), like!(WaitBegan));
            s.spawn(|| at_a.call(|()| ()).unwrap());
            let held = stage.until(a.apartment(), like!(Held { by: HeldBy::Policy })).call.unwrap();
            key.open();
            held
        });
        let asked = stage.all(a.apartment(), like!(Filtered));
        let asked: Vec<_> = asked.iter().filter(|asked| asked.call == Some(held)).collect();
        assert_eq!(asked.len(), 1, "once");
        assert!(stage.until(a.apartment(), like!(WaitEnded)).seq < asked[0].seq, "not while it is held");
        let types: Vec<_> = calls.try_iter().map(|call| call.call_type).collect();
        assert_eq!(types, [CallType::TopLevel; 3], "with the call type of that moment");
        Ok(())
    });
}

// ---- MF-3

#[test]
fn mf_3_while_no_call_is_out_a_call_is_top_level_and_a_one_way_one_async() {
    play(|stage| {
        let (_a, at_a, calls) = shown(stage, "a")?;
        stage.clock.advance(secs(9));
        at_a.call(add)?;
        at_a.post(add)?;
        at_a.call(add)?;
        let seen: Vec<_> = calls.try_iter().map(|call| (call.call_type, call.elapsed)).collect();
        assert_eq!(seen, [(CallType::TopLevel, None), (CallType::Async, None), (CallType::TopLevel, None)]);
        assert_eq!([CallType::TopLevel as u32, CallType::Async as u32], [1, 3]);
        Ok(())
    });
}

#[test]
fn mf_3_while_a_call_is_out_its_own_chain_is_nested_and_the_others_are_call_pending() {
    play(|stage| {
        let (a, at_a, calls) = shown(stage, "a")?;
        let b = stage.sta("b").spawn()?;
        let at_b = b.create(|| ())?;
        stage.begin();
        let (key, gate) = gate();
        let callee = || {
            stage.clock.advance(secs(2));
            at_a.call(add).unwrap();
            at_a.post(add).unwrap();
            gate.pass();
        };
        thread::scope(|s| {
            s.spawn(|| at_a.call(|_| at_b.call(|()| callee()).unwrap()).unwrap());
            stage.until_nth(2, a.apartment(), like!(Ended));
            stage.clock.advance(secs(1));
            at_a.call(add).unwrap();
            at_a.post(add).unwrap();
            stage.until_nth(4, a.apartment(), like!(Ended));
            key.open();
        });
        let seen: Vec<_> = calls.try_iter().map(|call| (call.call_type, call.elapsed)).collect();
        let expected = [
            (CallType::TopLevel, None),
            (CallType::Nested, Some(secs(2))),
            (CallType::AsyncCallPending, Some(secs(2))),
            (CallType::TopLevelCallPending, Some(secs(3))),
            (CallType::AsyncCallPending, Some(secs(3))),
        ];
        assert_eq!(seen, expected);
        let numbers = [CallType::Nested, CallType::TopLevelCallPending, CallType::AsyncCallPending].map(|t| t as u32);
        assert_eq!(numbers, [2, 4, 5]);
        Ok(())
    });
}

#[test]
fn mf_3_a_call_is_nested_if_it_is_of_the_chain_of_any_pending_call() {
    play(|stage| {
        let (a, at_a, calls) = shown(stage, "a")?;
        let (b, c) = (stage.sta("b").spawn()?, stage.sta("c").spawn()?);
        let (at_b, at_c) = (b.create(|| ())?, c.create(|| ())?);
        stage.begin();
        let (outer_key, outer_gate) = gate();
        let (inner_key, inner_gate) = gate();
        let called_back = |gate: &Gate| {
            gate.pass();
            at_a.call(add).unwrap();
        };
        thread::scope(|s| {
            let outer = s.spawn(|| at_a.call(|_| at_b.call(|()| called_back(&outer_gate)).unwrap()).unwrap());
            stage.until(a.apartment(), like!(WaitBegan));
            stage.clock.advance(secs(1));
            s.spawn(|| at_a.call(|_| at_c.call(|()| called_back(&inner_gate)).unwrap()).unwrap());
            stage.until_nth(2, a.apartment(), like!(WaitBegan));
            stage.clock.advance(secs(1));
            // The callback of the call that is buried: nested all the same.
            outer_key.open();
            stage.until(a.apartment(), like!(Ended));
            inner_key.open();
            outer.join().unwrap();
        });
        let seen: Vec<_> = calls.try_iter().map(|call| (call.call_type, call.elapsed)).collect();
        let innermost_for_a_second = Some(secs(1));
        let expected = [
            (CallType::TopLevel, None),
            (CallType::TopLevelCallPending, Some(secs(1))),
            (CallType::Nested, innermost_for_a_second),
            (CallType::Nested, innermost_for_a_second),
        ];
        assert_eq!(seen, expected);
        Ok(())
    });
}

/// What a third party's call is seen as while the apartment does what `waits` does, up to that event in it.
fn seen_meanwhile(
    stage: &Stage,
    waits: impl FnOnce() + Send,
    until: impl FnOnce(&Apartment),
    let_go: impl FnOnce(),
) -> Result<(CallType, Option<Duration>), CallError> {
    let (a, at_a, calls) = shown(stage, "a")?;
    stage.begin();
    thread::scope(|s| {
        s.spawn(|| at_a.call(|_| waits()).unwrap());
        calls.recv().unwrap();
        until(a.apartment());
        stage.clock.advance(secs(4));
        at_a.call(add).unwrap();
        let seen = calls.recv().unwrap();
        let_go();
        Ok((seen.call_type, seen.elapsed))
    })
}

#[test]
fn mf_3_a_call_that_waits_to_be_retried_is_pending() {
    play(|stage| {
        let (_busy, at_busy) = refusing(stage, "busy", 1, ServerCall::RetryLater)?;
        let options = || CallOptions::new().retry(|_: &RejectedCall| Retry::After(secs(9)));
        let seen = seen_meanwhile(
            stage,
            || at_busy.with(&options()).call(add).unwrap(),
            |a| drop(stage.until(a, like!(WaitTurned { on: WaitFor::RetryTime }))),
            || stage.clock.advance(secs(5)),
        )?;
        assert_eq!(seen, (CallType::TopLevelCallPending, Some(secs(4))));
        Ok(())
    });
}

#[test]
fn mf_3_a_call_that_waits_for_room_is_pending() {
    play(|stage| {
        let full = stage.sta("full").capacity(1).spawn()?;
        let at_full = full.create(|| ())?;
        let key = fill(stage, &full, &at_full);
        let seen = seen_meanwhile(
            stage,
            || at_full.with(&CallOptions::new().wait_for_room()).call(|()| ()).unwrap(),
            |a| drop(stage.until(a, like!(WaitTurned { on: WaitFor::Room }))),
            || key.open(),
        )?;
        assert_eq!(seen, (CallType::TopLevelCallPending, Some(secs(4))));
        Ok(())
    });
}

/// Occupies an STA with room for one until the key is turned, and takes that room.
fn fill<T: 'static>(stage: &Stage, sta: &Sta, object: &Proxy<T>) -> Key {
    let (key, gate) = gate();
    let began = stage.count(sta.apartment(), like!(Began));
    object.post(move |_| gate.pass()).unwrap();
    stage.until_nth(began + 1, sta.apartment(), like!(Began));
    object.post(|_| ()).unwrap();
    key
}

#[test]
fn mf_3_a_plain_wait_is_no_pending_call() {
    play(|stage| {
        let other = stage.sta("other").spawn()?;
        let at_other = other.create(|| ())?;
        let ends = other.apartment().clone();
        let (key, gate) = gate();
        at_other.post(move |()| gate.pass())?;
        let seen =
            seen_meanwhile(stage, || drop(other), |_| drop(stage.until(&ends, like!(QuitAsked))), || key.open())?;
        assert_eq!(seen, (CallType::TopLevel, None));
        Ok(())
    });
}

#[test]
fn mf_3_the_elapsed_time_is_told_right_across_processes_too() {
    play(|stage| {
        let (a, at_a, calls) = shown(stage, "a")?;
        let clock = Clock::driven();
        let abroad = Process::builder().clock(clock.clone()).build();
        let b = abroad.sta("b").spawn()?;
        let at_b = b.create(|| ())?;
        stage.clock.advance(secs(100));
        let callee = || {
            stage.clock.advance(secs(2));
            at_a.call(add).unwrap();
        };
        at_a.call(|_| at_b.call(|()| callee()).unwrap())?;
        let seen: Vec<_> = calls.try_iter().map(|call| (call.call_type, call.elapsed)).collect();
        assert_eq!(seen, [(CallType::TopLevel, None), (CallType::Nested, Some(secs(2)))]);
        drop(a);
        Ok(())
    });
}

#[test]
fn mf_3_it_learns_the_caller() {
    play(|stage| {
        let (_a, at_a, calls) = shown(stage, "a")?;
        let (b, mta) = (stage.sta("b").spawn()?, stage.mta().name("pool").spawn()?);
        let (at_b, in_mta) = (b.create(|| ())?, mta.create(|| ())?);
        // What the filter learns of the caller, and what the method that is called does.
        let caller = || {
            let (thread, apartment) = at_a
                .call(|_| {
                    let caller = current_call().unwrap().caller().clone();
                    (caller.thread, caller.apartment.map(|name| (name.id, name.name)))
                })
                .unwrap();
            let seen = calls.recv().unwrap().caller;
            assert_eq!(seen.thread, thread);
            assert_eq!(seen.apartment.map(|name| (name.id, name.name)), apartment);
            (thread, apartment)
        };
        let (outside, none) = caller();
        assert_eq!(none, None, "a thread alone");
        let (on_b, apartment) = at_b.call(|()| caller())?;
        assert_eq!(apartment, Some((b.apartment().id(), "b".into())));
        let (in_pool, apartment) = at_b.call(|()| in_mta.call(|()| caller()).unwrap())?;
        assert_eq!(apartment, Some((mta.apartment().id(), "pool".into())));
        assert!(outside != on_b && on_b != in_pool && in_pool != outside);
        Ok(())
    });
}

#[test]
fn mf_3_it_learns_the_kind_and_what_is_asked_for() {
    play(|stage| {
        let (a, at_a, calls) = shown(stage, "a")?;
        let file_and_line = |call: &IncomingCall| (call.target.location.file(), call.target.location.line());

        let line = line!() + 1;
        at_a.call(add)?;
        let call = calls.recv().unwrap();
        assert_eq!(call.kind, CallKind::Synchronous);
        assert_eq!(call.target.object, Some(at_a.object_id()));
        assert_eq!(call.target.type_name, std::any::type_name::<Cell<u32>>());
        assert_eq!(call.target.method, None, "a call by closure");
        assert_eq!(file_and_line(&call), (file!(), line));

        let line = line!() + 1;
        at_a.post(add)?;
        let post = calls.recv().unwrap();
        assert_eq!((post.kind, post.target.object), (CallKind::OneWay, Some(at_a.object_id())));
        assert_eq!(file_and_line(&post), (file!(), line));

        let line = line!() + 1;
        let made = a.create(|| RefCell::new(0_u8))?;
        let create = calls.recv().unwrap();
        assert_eq!((create.kind, create.target.object), (CallKind::Create, None));
        assert_eq!(create.target.type_name, std::any::type_name::<RefCell<u8>>());
        assert_eq!(file_and_line(&create), (file!(), line));

        let line = line!() + 1;
        made.with(&CallOptions::new()).call_mut(|n| *n += 1)?;
        let call = calls.recv().unwrap();
        assert_eq!(call.target.object, Some(made.object_id()));
        assert_eq!(file_and_line(&call), (file!(), line));
        Ok(())
    });
}

// ---- MF-4

#[test]
fn mf_4_handled_lets_a_call_run_rejected_and_retry_later_do_not() {
    play(|stage| {
        for (answer, number) in [(ServerCall::Handled, 0), (ServerCall::Rejected, 1), (ServerCall::RetryLater, 2)] {
            let (a, at_a) = answering(stage, "a", answer)?;
            stage.begin();
            let ran = at_a.call(add).is_ok();
            assert_eq!(ran, answer == ServerCall::Handled);
            assert_eq!(stage.count(a.apartment(), like!(Began)), usize::from(ran));
            assert_eq!(answer as u32, number);
        }
        Ok(())
    });
}

#[test]
fn mf_4_one_way_calls_are_dispatched_whatever_the_answer() {
    play(|stage| {
        for answer in [ServerCall::Rejected, ServerCall::RetryLater] {
            let (a, at_a) = answering(stage, "a", answer)?;
            let (ran, runs) = unbounded();
            stage.begin();
            at_a.post(move |_| ran.send(()).unwrap())?;
            runs.recv().unwrap();
            let asked = stage.until(a.apartment(), like!(Filtered));
            assert!(matches!(asked.what, What::Filtered { answer: told, .. } if told == answer));
        }
        Ok(())
    });
}

// ---- MF-5

#[test]
fn mf_5_a_rejected_caller_without_a_filter_fails_and_the_method_has_not_run() {
    play(|stage| {
        let b = stage.sta("b").spawn()?;
        let mta = stage.mta().spawn()?;
        let (at_b, in_mta) = (b.create(|| ())?, mta.create(|| ())?);
        for (answer, error) in [(ServerCall::Rejected, REJECTED), (ServerCall::RetryLater, RETRY_LATER)] {
            let (a, at_a) = answering(stage, "a", answer)?;
            stage.begin();
            let fails = || seen_as(at_a.call(add).unwrap_err());
            // From no apartment, an STA, the MTA.
            assert_eq!(fails(), error);
            assert_eq!(at_b.call(|()| fails())?, error);
            assert_eq!(at_b.call(|()| in_mta.call(|()| fails()).unwrap())?, error);
            assert_eq!(stage.count(a.apartment(), like!(Began)), 0);
        }
        Ok(())
    });
}

#[test]
fn mf_5_a_rejected_creation_fails_alike() {
    play(|stage| {
        for (answer, error) in [(ServerCall::Rejected, REJECTED), (ServerCall::RetryLater, RETRY_LATER)] {
            let a = stage.sta("a").filter(move || incoming(move |_| answer)).spawn()?;
            let made = Cell::new(false);
            let make = a.create(|| ()).map(|_| made.set(true));
            assert_eq!(seen_as(make.unwrap_err()), error);
            assert!(!made.get());
        }
        Ok(())
    });
}

// ---- MF-6

/// An STA whose filter answers so to rejections and shows what it was asked.
fn asking(stage: &Stage, answer: impl Fn(&RejectedCall) -> Retry + Send + 'static) -> Asked<RejectedCall> {
    let (asked, questions) = unbounded();
    let filter = move || {
        Answers::default().rejected(move |call| {
            asked.send(call.clone()).unwrap();
            answer(call)
        })
    };
    let caller = stage.sta("caller").filter(filter).spawn()?;
    let at_caller = caller.create(|| Cell::new(0))?;
    Ok((caller, at_caller, questions))
}

#[test]
fn mf_6_a_caller_with_a_filter_is_asked_for_both_answers() {
    play(|stage| {
        for answer in [ServerCall::Rejected, ServerCall::RetryLater] {
            let (busy, at_busy) = answering(stage, "busy", answer)?;
            let once = |call: &RejectedCall| if call.attempts == 1 { Retry::After(millis(250)) } else { Retry::GiveUp };
            let (caller, at_caller, questions) = asking(stage, once)?;
            stage.begin();
            let line = line!() + 2;
            thread::scope(|s| {
                let call = s.spawn(|| at_caller.call(|_| at_busy.call(add).unwrap_err()).unwrap());
                stage.until(caller.apartment(), like!(WaitTurned { on: WaitFor::RetryTime }));
                stage.clock.advance(millis(250));
                assert_eq!(seen_as(call.join().unwrap()), REJECTED);
            });
            let asked: Vec<_> = questions.try_iter().collect();
            for call in &asked {
                assert_eq!(
                    (call.callee.id, &*call.callee.name, call.rejected),
                    (busy.apartment().id(), "busy", answer)
                );
                assert_eq!((call.target.object, call.target.location.line()), (Some(at_busy.object_id()), line));
            }
            let times: Vec<_> = asked.iter().map(|call| (call.attempts, call.elapsed)).collect();
            assert_eq!(times, [(1, secs(0)), (2, millis(250))], "the time since the first attempt");
        }
        Ok(())
    });
}

#[test]
fn mf_6_minus_one_and_below_gives_up() {
    play(|stage| {
        for number in [-1, -2, i32::MIN] {
            assert_eq!(Retry::from(number), Retry::GiveUp);
            for answer in [ServerCall::Rejected, ServerCall::RetryLater] {
                let (busy, at_busy) = answering(stage, "busy", answer)?;
                let (_caller, at_caller, _questions) = asking(stage, move |_| Retry::from(number))?;
                stage.begin();
                assert_eq!(seen_as(at_caller.call(|_| at_busy.call(add).unwrap_err())?), REJECTED);
                assert_eq!(stage.count(busy.apartment(), like!(Queued)), 1);
            }
        }
        Ok(())
    });
}

#[test]
fn mf_6_up_to_99_tries_again_at_once() {
    play(|stage| {
        for number in [0, 1, 99] {
            let (busy, at_busy) = refusing(stage, "busy", 3, ServerCall::RetryLater)?;
            let (_caller, at_caller, questions) = asking(stage, move |_| Retry::from(number))?;
            stage.begin();
            // The clock stands still.
            at_caller.call(|_| at_busy.call(add).unwrap())?;
            assert_eq!(questions.try_iter().map(|call| call.attempts).collect::<Vec<_>>(), [1, 2, 3]);
            assert_eq!(stage.count(busy.apartment(), like!(Queued)), 4);
        }
        Ok(())
    });
}

#[test]
fn mf_6_at_once_is_after_serving_what_is_already_waiting() {
    play(|stage| {
        let (busy, at_busy) = refusing(stage, "busy", 1, ServerCall::RetryLater)?;
        let (arrived, arrives) = unbounded::<()>();
        // While the filter is asked nothing is served, so what comes then is waiting when it answers.
        let (caller, at_caller, questions) = asking(stage, move |_| {
            arrives.recv().unwrap();
            Retry::Now
        })?;
        stage.begin();
        thread::scope(|s| {
            s.spawn(|| at_caller.call(|_| at_busy.call(add).unwrap()).unwrap());
            questions.recv().unwrap();
            s.spawn(|| at_caller.call(add).unwrap());
            stage.until_nth(2, caller.apartment(), like!(Queued));
            at_caller.post(add).unwrap();
            caller.apartment().post_message(MessageClass::Paint, || ()).unwrap();
            arrived.send(()).unwrap();
        });
        let tried_again = stage.until_nth(2, busy.apartment(), like!(Queued)).seq;
        assert!(stage.until_nth(3, caller.apartment(), like!(Began)).seq < tried_again);
        assert!(stage.until(caller.apartment(), like!(MessageEnded)).seq < tried_again);
        Ok(())
    });
}

#[test]
fn mf_6_from_100_on_it_waits_that_many_milliseconds() {
    play(|stage| {
        for number in [100, 1_500] {
            let (busy, at_busy) = refusing(stage, "busy", 1, ServerCall::RetryLater)?;
            let (caller, at_caller, _questions) = asking(stage, move |_| Retry::from(number))?;
            stage.begin();
            let (began, delay) = (stage.clock.now(), millis(u64::from(number.unsigned_abs())));
            thread::scope(|s| {
                s.spawn(|| at_caller.call(|_| at_busy.call(add).unwrap()).unwrap());
                stage.until(caller.apartment(), like!(WaitTurned { on: WaitFor::RetryTime }));
                stage.clock.advance(delay - millis(1));
                // Served in that wait, which has looked at the time by then: it is not over.
                at_caller.call(add).unwrap();
                stage.clock.advance(millis(1));
            });
            assert_eq!(stage.until_nth(2, busy.apartment(), like!(Queued)).at, began + delay);
        }
        Ok(())
    });
}

/// Has an STA wait for the time of a retry in 10 s and runs `meanwhile`; gives what became of the call.
fn while_waiting_to_retry<'a>(
    stage: &Stage,
    caller: &Sta,
    options: impl Fn() -> CallOptions<'a> + Sync,
    meanwhile: impl FnOnce(),
) -> Result<(), CallError> {
    let (_busy, at_busy) = refusing(stage, "busy", 1, ServerCall::RetryLater)?;
    let at_caller = caller.create(|| Cell::new(0))?;
    stage.begin();
    let later = |_: &RejectedCall| Retry::After(secs(10));
    thread::scope(|s| {
        let call = s.spawn(|| at_caller.call(|_| at_busy.with(&options().retry(later)).call(add)).unwrap());
        stage.until(caller.apartment(), like!(WaitTurned { on: WaitFor::RetryTime }));
        meanwhile();
        call.join().unwrap()
    })
}

#[test]
fn mf_6_the_wait_for_a_retry_serves_incoming_calls() {
    play(|stage| {
        let caller = stage.sta("caller").spawn()?;
        let at_caller = caller.create(|| Cell::new(0))?;
        while_waiting_to_retry(stage, &caller, CallOptions::new, || {
            at_caller.call(add).unwrap();
            stage.clock.advance(secs(10));
        })
    });
}

#[test]
fn mf_6_the_wait_for_a_retry_is_subject_to_the_re_entrancy_policy() {
    play(|stage| {
        for policy in [Reentrancy::SameCausality, Reentrancy::None] {
            let caller = stage.sta("caller").reentrancy(policy).spawn()?;
            let at_caller = caller.create(|| Cell::new(0))?;
            thread::scope(|s| {
                while_waiting_to_retry(stage, &caller, CallOptions::new, || {
                    s.spawn(|| at_caller.call(add).unwrap());
                    stage.until(caller.apartment(), like!(Held { by: HeldBy::Policy }));
                    stage.clock.advance(secs(10));
                })
            })?;
            let third = stage.until(caller.apartment(), like!(Held)).call;
            let began = stage.all(caller.apartment(), like!(Began));
            let began = began.iter().find(|began| began.call == third).unwrap().seq;
            assert!(stage.until(caller.apartment(), like!(WaitEnded)).seq < began);
        }
        Ok(())
    });
}

#[test]
fn mf_6_the_wait_for_a_retry_asks_about_application_messages() {
    play(|stage| {
        let (asked, questions) = unbounded();
        let filter = move || {
            pending(move |message| {
                asked.send((message.class, message.elapsed)).unwrap();
                PendingAnswer::wait_def_process()
            })
        };
        let caller = stage.sta("caller").filter(filter).spawn()?;
        while_waiting_to_retry(stage, &caller, CallOptions::new, || {
            stage.clock.advance(secs(4));
            let (painted, paint) = unbounded();
            caller.apartment().post_message(MessageClass::Paint, move || painted.send(()).unwrap()).unwrap();
            paint.recv().unwrap();
            stage.clock.advance(secs(6));
        })?;
        assert_eq!(questions.try_iter().collect::<Vec<_>>(), [(MessageClass::Paint, secs(4))]);
        Ok(())
    });
}

#[test]
fn mf_6_cancelling_ends_the_wait_for_a_retry() {
    play(|stage| {
        let cancel = CancelHandle::new();
        let options = || CallOptions::new().cancel(&cancel);
        let caller = stage.sta("caller").spawn()?;
        let result = while_waiting_to_retry(stage, &caller, options, || cancel.cancel());
        assert_eq!(seen_as(result.unwrap_err()), (hresult::CALL_CANCELED, Outcome::NotStarted));
        Ok(())
    });
}

#[test]
fn mf_6_a_deadline_ends_the_wait_for_a_retry() {
    play(|stage| {
        let options = || CallOptions::new().within(secs(3));
        let caller = stage.sta("caller").spawn()?;
        let result = while_waiting_to_retry(stage, &caller, options, || stage.clock.advance(secs(3)));
        assert_eq!(seen_as(result.unwrap_err()), (hresult::TIMED_OUT, Outcome::NotStarted));
        Ok(())
    });
}

/// An STA with room for one that refuses the first synchronous call, and a call to it that is to be retried in 10 s.
fn retry_into(
    stage: &Stage,
    options: fn() -> CallOptions<'static>,
    meanwhile: impl FnOnce(&Sta, &Proxy<Cell<u32>>),
) -> Result<(), CallError> {
    let filter = || {
        let refused = Cell::new(false);
        incoming(move |call| match call.kind {
            CallKind::Synchronous if !refused.replace(true) => ServerCall::RetryLater,
            _ => ServerCall::Handled,
        })
    };
    let busy = stage.sta("busy").capacity(1).filter(filter).spawn()?;
    let at_busy = busy.create(|| Cell::new(0))?;
    stage.begin();
    let later = |_: &RejectedCall| Retry::After(secs(10));
    thread::scope(|s| {
        let call = s.spawn(|| at_busy.with(&options().retry(later)).call(add));
        stage.until_any(|event| matches!(event.what, What::WaitTurned { on: WaitFor::RetryTime, .. }));
        meanwhile(&busy, &at_busy);
        call.join().unwrap()
    })
}

#[test]
fn mf_6_a_rejected_call_gives_its_slot_back() {
    play(|stage| {
        retry_into(stage, CallOptions::new, |busy, at_busy| {
            assert_eq!(busy.apartment().queued(), 0);
            at_busy.call(add).unwrap();
            stage.clock.advance(secs(10));
        })
    });
}

#[test]
fn mf_6_a_retry_needs_room_like_a_new_call() {
    play(|stage| {
        let mut key = None;
        let result = retry_into(stage, CallOptions::new, |busy, at_busy| {
            key = Some(fill(stage, busy, at_busy));
            stage.clock.advance(secs(10));
            stage.until_any(|event| matches!(event.what, What::Refused { .. }));
            drop(key.take());
        });
        assert_eq!(seen_as(result.unwrap_err()), (hresult::SYS_CALL_FAILED, Outcome::NotStarted));
        Ok(())
    });
}

#[test]
fn mf_6_a_retry_may_wait_for_room() {
    play(|stage| {
        let patient = || CallOptions::new().wait_for_room();
        retry_into(stage, patient, |busy, at_busy| {
            let key = fill(stage, busy, at_busy);
            stage.clock.advance(secs(10));
            stage.until_any(|event| matches!(event.what, What::WaitTurned { on: WaitFor::Room, .. }));
            key.open();
        })
    });
}

#[test]
fn mf_6_the_retry_of_a_callback_needs_no_room() {
    play(|stage| {
        let filter = || {
            let refused = Cell::new(false);
            incoming(move |call| match call.call_type {
                CallType::Nested if !refused.replace(true) => ServerCall::RetryLater,
                _ => ServerCall::Handled,
            })
        };
        let a = stage.sta("a").capacity(1).reentrancy(Reentrancy::SameCausality).filter(filter).spawn()?;
        let b = stage.sta("b").spawn()?;
        let (at_a, at_b) = (a.create(|| Cell::new(0))?, b.create(|| ())?);
        stage.begin();
        let callee = || {
            // Held, and takes the only room.
            at_a.post(add).unwrap();
            stage.until(a.apartment(), like!(Held));
            assert_eq!(at_a.post(add).unwrap_err().error().hresult(), hresult::SYS_CALL_FAILED);
            at_a.with(&CallOptions::new().retry(|_: &RejectedCall| Retry::Now)).call(add)
        };
        at_a.call(|_| at_b.call(|()| callee()).unwrap())??;
        // The callback, the call itself, the post.
        stage.until_nth(3, a.apartment(), like!(Ended));
        assert_eq!(at_a.call(Cell::get)?, 2);
        Ok(())
    });
}

#[test]
fn mf_6_each_retry_asks_the_callees_filter_again() {
    play(|stage| {
        let (busy, at_busy) = refusing(stage, "busy", 2, ServerCall::Rejected)?;
        let (_caller, at_caller, _questions) = asking(stage, |_| Retry::Now)?;
        stage.begin();
        at_caller.call(|_| at_busy.call(add).unwrap())?;
        let answers = stage.events().into_iter().filter_map(|event| match event.what {
            What::Filtered { answer, .. } if event.apartment == Some(busy.apartment().id()) => Some(answer),
            _ => None,
        });
        let expected = [ServerCall::Rejected, ServerCall::Rejected, ServerCall::Handled];
        assert_eq!(answers.collect::<Vec<_>>(), expected);
        assert_eq!(at_busy.call(Cell::get)?, 1, "it ran once");
        Ok(())
    });
}

#[test]
fn mf_6_a_rejected_creation_is_retried_too() {
    play(|stage| {
        let filter = || {
            let refused = Cell::new(false);
            incoming(move |_| if refused.replace(true) { ServerCall::Handled } else { ServerCall::RetryLater })
        };
        let busy = stage.sta("busy").filter(filter).spawn()?;
        let (_caller, at_caller, questions) = asking(stage, |_| Retry::Now)?;
        let made = at_caller.call(|_| busy.create(|| 7))??;
        assert_eq!(made.call(|n| *n)?, 7);
        assert_eq!(questions.try_iter().count(), 1);
        Ok(())
    });
}

#[test]
fn mf_6_a_calls_own_policy_is_asked_instead_of_the_filter() {
    play(|stage| {
        let (busy, at_busy) = refusing(stage, "busy", 2, ServerCall::RetryLater)?;
        let (caller, at_caller, questions) = asking(stage, |_| Retry::GiveUp)?;
        stage.begin();
        let asked = AtomicU32::new(0);
        let policy = |call: &RejectedCall| {
            assert_eq!((call.rejected, &*call.callee.name), (ServerCall::RetryLater, "busy"));
            assert_eq!(asked.fetch_add(1, Ordering::Relaxed) + 1, call.attempts);
            Retry::Now
        };
        at_caller.call(|_| at_busy.with(&CallOptions::new().retry(policy)).call(add).unwrap())?;
        assert_eq!(asked.load(Ordering::Relaxed), 2);
        assert!(questions.is_empty());
        assert_eq!(stage.count(caller.apartment(), like!(RetryAsked { own_policy: true })), 2);
        drop(busy);
        Ok(())
    });
}

#[test]
fn mf_6_a_calls_own_policy_serves_callers_that_can_have_no_filter() {
    play(|stage| {
        let a = stage.sta("a").spawn()?;
        let mta = stage.mta().spawn()?;
        let (at_a, in_mta) = (a.create(|| ())?, mta.create(|| ())?);
        let patient = |answer: ServerCall| {
            let (busy, at_busy) = refusing(stage, "busy", 1, answer).unwrap();
            stage.begin();
            thread::scope(|s| {
                s.spawn(|| {
                    let turned = |event: &apartment::Event| {
                        matches!(event.what, What::WaitTurned { on: WaitFor::RetryTime, .. })
                    };
                    stage.until_any(turned);
                    stage.clock.advance(secs(1));
                });
                let later = |_: &RejectedCall| Retry::After(secs(1));
                at_busy.with(&CallOptions::new().retry(later)).call(add).unwrap();
            });
            drop(busy);
        };
        for answer in [ServerCall::Rejected, ServerCall::RetryLater] {
            // In no apartment; of the pool; in the MTA.
            patient(answer);
            at_a.call(|()| in_mta.call(|()| patient(answer)).unwrap())?;
            let entered = mta.enter()?;
            patient(answer);
            entered.leave();
        }
        Ok(())
    });
}

// ---- MF-8

/// What becomes of an application message that arrives while a call of the thread is out.
#[derive(Debug, PartialEq)]
struct Arrival {
    /// Whether it ran while the call was out.
    ran_meanwhile: bool,
    /// How often the filter was asked about it.
    asked: usize,
    call: Option<(u32, Outcome)>,
}

fn arrives(stage: &Stage, answer: Option<PendingAnswer>, class: MessageClass) -> Result<Arrival, CallError> {
    let ui = stage.sta("ui").enter()?;
    let (asked, questions) = unbounded();
    if let Some(answer) = answer {
        let filter = pending(move |message: &PendingMessage| {
            asked.send(message.class).unwrap();
            answer
        });
        register_filter(Some(Rc::new(filter)))?;
    }
    let b = stage.sta("b").spawn()?;
    let at_b = b.create(|| ())?;
    stage.begin();
    let (ran, runs) = unbounded();
    let window = ui.apartment().clone();
    let call = at_b.call(|()| {
        window.post_message(class, move || ran.send(()).unwrap()).unwrap();
        if answer == Some(PendingAnswer::cancel_call()) {
            stage.until(b.apartment(), like!(CancelAsked));
        } else if answer.is_some() {
            stage.until(&window, like!(PendingAsked));
        } else {
            // Looked at after it.
            let (painted, paint) = unbounded();
            window.post_message(MessageClass::Paint, move || painted.send(()).unwrap()).unwrap();
            paint.recv().unwrap();
        }
    });
    // This thread is the apartment's: nothing more comes in until it pumps.
    let arrival =
        Arrival { ran_meanwhile: !runs.is_empty(), asked: questions.try_iter().count(), call: call.err().map(seen_as) };
    ui.pump();
    assert_eq!(runs.try_iter().count(), 1, "nothing is ever discarded, and nothing runs twice");
    Ok(arrival)
}

const CLASSES: [MessageClass; 4] =
    [MessageClass::Input, MessageClass::Paint, MessageClass::Activation, MessageClass::User];

#[test]
fn mf_8_without_a_filter_paint_and_activation_messages_are_dispatched() {
    play(|stage| {
        for class in CLASSES {
            let ran_meanwhile = matches!(class, MessageClass::Paint | MessageClass::Activation);
            assert_eq!(arrives(stage, None, class)?, Arrival { ran_meanwhile, asked: 0, call: None }, "{class:?}");
        }
        Ok(())
    });
}

#[test]
fn mf_8_wait_def_process_dispatches_paint_and_activation_messages() {
    play(|stage| {
        for class in CLASSES {
            let ran_meanwhile = matches!(class, MessageClass::Paint | MessageClass::Activation);
            let arrival = arrives(stage, Some(PendingAnswer::wait_def_process()), class)?;
            assert_eq!(arrival, Arrival { ran_meanwhile, asked: 1, call: None }, "{class:?}");
        }
        Ok(())
    });
}

#[test]
fn mf_8_wait_no_process_dispatches_activation_messages_only() {
    play(|stage| {
        for class in CLASSES {
            let ran_meanwhile = class == MessageClass::Activation;
            let arrival = arrives(stage, Some(PendingAnswer::wait_no_process()), class)?;
            assert_eq!(arrival, Arrival { ran_meanwhile, asked: 1, call: None }, "{class:?}");
        }
        Ok(())
    });
}

#[test]
fn mf_8_cancel_call_cancels_the_call_that_runs() {
    play(|stage| {
        for class in CLASSES {
            let arrival = arrives(stage, Some(PendingAnswer::cancel_call()), class)?;
            assert_eq!(arrival.asked, 1, "{class:?}");
            assert_eq!(arrival.call, Some((hresult::CALL_CANCELED, Outcome::MayHaveRun)), "{class:?}");
        }
        Ok(())
    });
}

#[test]
fn mf_8_cancel_call_revokes_a_call_that_has_not_started() {
    play(|stage| {
        let ui = stage.sta("ui").filter(|| pending(|_| PendingAnswer::cancel_call())).enter()?;
        let b = stage.sta("b").spawn()?;
        let at_b = b.create(|| Cell::new(0))?;
        let (key, gate) = gate();
        at_b.post(move |_| gate.pass())?;
        stage.until_nth(2, b.apartment(), like!(Began));
        stage.begin();
        let window = ui.apartment().clone();
        let error = thread::scope(|s| {
            s.spawn(|| {
                stage.until(b.apartment(), like!(Queued));
                window.post_message(MessageClass::User, || ()).unwrap();
            });
            at_b.call(add).unwrap_err()
        });
        assert_eq!(seen_as(error), (hresult::CALL_CANCELED, Outcome::NotStarted));
        assert_eq!(b.apartment().queued(), 0);
        key.open();
        assert_eq!(at_b.call(Cell::get)?, 0, "it never ran");
        Ok(())
    });
}

#[test]
fn mf_8_cancel_call_asks_the_callee_that_runs() {
    play(|stage| {
        let ui = stage.sta("ui").filter(|| pending(|_| PendingAnswer::cancel_call())).enter()?;
        let b = stage.sta("b").spawn()?;
        let at_b = b.create(|| ())?;
        let window = ui.apartment().clone();
        stage.begin();
        let mut seen = Vec::new();
        let error = at_b.call(|()| {
            seen.push(apartment::is_cancelled());
            window.post_message(MessageClass::User, || ()).unwrap();
            stage.until(b.apartment(), like!(CancelAsked { why: apartment::CancelReason::Filter }));
            seen.push(apartment::is_cancelled());
        });
        assert_eq!(seen_as(error.unwrap_err()), (hresult::CALL_CANCELED, Outcome::MayHaveRun));
        assert_eq!(seen, [false, true]);
        Ok(())
    });
}

/// An STA whose filter shows what it is asked about pending messages and answers so.
fn with_pending(
    stage: &Stage,
    answer: impl Fn(&PendingMessage) -> PendingAnswer + Send + 'static,
) -> Asked<PendingMessage> {
    let (asked, questions) = unbounded();
    let filter = move || {
        pending(move |message| {
            asked.send(message.clone()).unwrap();
            answer(message)
        })
    };
    let sta = stage.sta("a").filter(filter).spawn()?;
    let object = sta.create(|| Cell::new(0))?;
    Ok((sta, object, questions))
}

#[test]
fn mf_8_cancel_call_cancels_the_innermost_call_alone() {
    play(|stage| {
        let (a, at_a, _questions) = with_pending(stage, |_| PendingAnswer::cancel_call())?;
        let (b, c) = (stage.sta("b").spawn()?, stage.sta("c").spawn()?);
        let (at_b, at_c) = (b.create(|| ())?, c.create(|| ())?);
        stage.begin();
        let (key, gate) = gate();
        let cancelled = || {
            a.apartment().post_message(MessageClass::Input, || ()).unwrap();
            stage.until(c.apartment(), like!(CancelAsked));
        };
        thread::scope(|s| {
            let outer = s.spawn(|| at_a.call(|_| at_b.call(|()| gate.pass())).unwrap());
            stage.until(a.apartment(), like!(WaitBegan));
            let inner = at_a.call(|_| at_c.call(|()| cancelled())).unwrap();
            assert_eq!(inner.unwrap_err().hresult(), hresult::CALL_CANCELED);
            key.open();
            outer.join().unwrap().unwrap();
        });
        Ok(())
    });
}

#[test]
fn mf_8_it_learns_the_class_the_callee_and_the_time_since_the_call_was_made() {
    play(|stage| {
        let (asked, questions) = unbounded();
        let filter = move || {
            pending(move |message| {
                asked.send(message.clone()).unwrap();
                PendingAnswer::wait_def_process()
            })
        };
        let ui = stage.sta("ui").filter(filter).enter()?;
        let b = stage.sta("bureau").spawn()?;
        let at_b = b.create(|| ())?;
        let window = ui.apartment().clone();
        stage.clock.advance(secs(7));
        for class in CLASSES {
            stage.begin();
            at_b.call(|()| {
                stage.clock.advance(secs(3));
                window.post_message(class, || ()).unwrap();
                stage.until(&window, like!(PendingAsked));
            })?;
            let message = questions.recv().unwrap();
            assert_eq!((message.class, message.elapsed), (class, secs(3)));
            assert_eq!((message.callee.id, &*message.callee.name), (b.apartment().id(), "bureau"));
            assert_eq!((message.pending_type, message.pending_type as u32), (PendingType::TopLevel, 1));
            ui.pump();
        }
        Ok(())
    });
}

#[test]
fn mf_8_it_learns_whether_the_apartment_is_itself_serving_a_call() {
    play(|stage| {
        let (a, at_a, questions) = with_pending(stage, |_| PendingAnswer::wait_def_process())?;
        let b = stage.sta("b").spawn()?;
        let at_b = b.create(|| ())?;
        stage.begin();
        at_a.call(|_| {
            let callee = || {
                a.apartment().post_message(MessageClass::Paint, || ()).unwrap();
                stage.until(a.apartment(), like!(MessageEnded));
            };
            at_b.call(|()| callee()).unwrap();
        })?;
        let nested = questions.recv().unwrap().pending_type;
        assert_eq!((nested, nested as u32), (PendingType::Nested, 2));
        // An application message is no call.
        let (window, other) = (a.apartment().clone(), at_b.clone());
        a.apartment().post_message(MessageClass::User, move || {
            let (painted, paint) = unbounded();
            let callee = |_: &()| {
                window.post_message(MessageClass::Paint, move || painted.send(()).unwrap()).unwrap();
                paint.recv().unwrap();
            };
            other.call(callee).unwrap();
        })?;
        assert_eq!(questions.recv().unwrap().pending_type, PendingType::TopLevel);
        Ok(())
    });
}

#[test]
fn mf_8_it_is_not_asked_about_incoming_calls() {
    play(|stage| {
        let (_a, at_a, questions) = with_pending(stage, |_| PendingAnswer::wait_def_process())?;
        let b = stage.sta("b").spawn()?;
        let at_b = b.create(|| ())?;
        let callee = || {
            at_a.call(add).unwrap();
            at_a.post(add).unwrap();
            at_a.call(add).unwrap();
        };
        at_a.call(|_| at_b.call(|()| callee()).unwrap())?;
        assert_eq!(at_a.call(Cell::get)?, 3);
        assert!(questions.is_empty());
        Ok(())
    });
}

#[test]
fn mf_8_it_is_not_asked_in_a_plain_wait_or_in_the_loop() {
    play(|stage| {
        let (a, at_a, questions) = with_pending(stage, |_| PendingAnswer::wait_def_process())?;
        let other = stage.sta("other").spawn()?;
        let at_other = other.create(|| ())?;
        let ends = other.apartment().clone();
        let (key, gate) = gate();
        at_other.post(move |()| gate.pass())?;
        stage.begin();
        thread::scope(|s| {
            s.spawn(|| at_a.call(|_| drop(other)).unwrap());
            stage.until(&ends, like!(QuitAsked));
            a.apartment().post_message(MessageClass::User, || ()).unwrap();
            // Served in that wait, which so has looked at its queue.
            at_a.call(add).unwrap();
            key.open();
        });
        stage.until(a.apartment(), like!(MessageEnded));
        a.apartment().post_message(MessageClass::User, || ())?;
        stage.until_nth(2, a.apartment(), like!(MessageEnded));
        assert!(questions.is_empty());
        Ok(())
    });
}

#[test]
fn mf_8_the_same_message_is_asked_about_once() {
    play(|stage| {
        let (a, at_a, questions) = with_pending(stage, |_| PendingAnswer::wait_no_process())?;
        let b = stage.sta("b").spawn()?;
        let at_b = b.create(|| ())?;
        stage.begin();
        let input_and_calls = || {
            a.apartment().post_message(MessageClass::Input, || ()).unwrap();
            stage.until(a.apartment(), like!(PendingAsked));
            stage.clock.advance(secs(60));
            at_a.call(add).unwrap();
        };
        let activation = || {
            a.apartment().post_message(MessageClass::Activation, || ()).unwrap();
            stage.until(a.apartment(), like!(MessageEnded));
        };
        at_a.call(|_| {
            // In one wait, and in a later one of the same served call.
            at_b.call(|()| input_and_calls()).unwrap();
            at_b.call(|()| activation()).unwrap();
        })?;
        let asked: Vec<_> = questions.try_iter().map(|message| message.class).collect();
        assert_eq!(asked, [MessageClass::Input, MessageClass::Activation]);
        Ok(())
    });
}

#[test]
fn mf_8_it_is_asked_again_after_the_time_it_names_about_what_is_still_queued() {
    play(|stage| {
        let first = Cell::new(true);
        let answer = move |message: &PendingMessage| match message.class {
            MessageClass::Input if first.replace(false) => PendingAnswer::wait_no_process().ask_again_after(secs(5)),
            // Dispatched: there is nothing to ask again about.
            MessageClass::Activation => PendingAnswer::wait_no_process().ask_again_after(secs(5)),
            _ => PendingAnswer::wait_no_process(),
        };
        let (a, at_a, questions) = with_pending(stage, answer)?;
        let b = stage.sta("b").spawn()?;
        let at_b = b.create(|| ())?;
        stage.begin();
        let callee = || {
            let send = |class| a.apartment().post_message(class, || ()).unwrap();
            send(MessageClass::Input);
            send(MessageClass::Activation);
            stage.until(a.apartment(), like!(MessageEnded));
            stage.clock.advance(secs(4));
            at_a.call(add).unwrap();
            stage.clock.advance(secs(1));
            stage.until_nth(3, a.apartment(), like!(PendingAsked));
            // It named no time any more.
            stage.clock.advance(secs(60));
            send(MessageClass::User);
            stage.until_nth(4, a.apartment(), like!(PendingAsked));
        };
        at_a.call(|_| at_b.call(|()| callee()).unwrap())?;
        let asked: Vec<_> = questions.try_iter().map(|message| (message.class, message.elapsed)).collect();
        let expected = [
            (MessageClass::Input, secs(0)),
            (MessageClass::Activation, secs(0)),
            (MessageClass::Input, secs(5)),
            (MessageClass::User, secs(65)),
        ];
        assert_eq!(asked, expected);
        Ok(())
    });
}

#[test]
fn mf_8_when_it_is_asked_again_it_may_answer_otherwise() {
    play(|stage| {
        let first = Cell::new(true);
        let answer = move |_: &PendingMessage| match first.replace(false) {
            true => PendingAnswer::wait_no_process().ask_again_after(secs(5)),
            false => PendingAnswer::wait_def_process(),
        };
        let (a, at_a, _questions) = with_pending(stage, answer)?;
        let b = stage.sta("b").spawn()?;
        let at_b = b.create(|| ())?;
        stage.begin();
        let callee = || {
            a.apartment().post_message(MessageClass::Paint, || ()).unwrap();
            stage.until(a.apartment(), like!(PendingAsked));
            // Served after the answer has been taken in.
            at_a.call(add).unwrap();
            stage.clock.advance(secs(5));
            // Only the second answer lets it run, and it runs in this wait.
            stage.until(a.apartment(), like!(MessageEnded));
        };
        at_a.call(|_| at_b.call(|()| callee()).unwrap())?;
        assert_eq!(stage.count(a.apartment(), like!(PendingAsked)), 2);
        Ok(())
    });
}

// ---- MF-9

#[test]
fn mf_9_filter_methods_run_with_no_lock_held() {
    play(|stage| {
        let busy = answering(stage, "busy", ServerCall::RetryLater)?;
        let ui = stage.sta("ui").enter()?;
        let at_ui = ui.create(|| Cell::new(0))?;
        let (process, window, own, other) =
            (stage.process.clone(), ui.apartment().clone(), at_ui.clone(), busy.1.apartment().unwrap());
        let cancel = CancelHandle::new();
        // Each of these takes a lock that a method might be called under.
        let takes_locks = move || {
            window.queued();
            other.queued();
            own.post(add).unwrap();
            drop(own.clone());
            drop(process.main_sta());
            drop(process.recording().unwrap().events());
            process.clock().advance(secs(1));
            cancel.cancel();
            register_filter(None).unwrap();
        };
        let takes_locks = Rc::new(takes_locks);
        let (one, two, three) = (Rc::clone(&takes_locks), Rc::clone(&takes_locks), takes_locks);
        let asked = Rc::new(Cell::new(0));
        let filters: [Rc<dyn MessageFilter>; 3] = [
            Rc::new(incoming({
                let asked = Rc::clone(&asked);
                move |_| {
                    one();
                    asked.set(asked.get() + 1);
                    ServerCall::Handled
                }
            })),
            Rc::new(Answers::default().rejected({
                let asked = Rc::clone(&asked);
                move |_| {
                    two();
                    asked.set(asked.get() + 10);
                    Retry::GiveUp
                }
            })),
            Rc::new(pending({
                let asked = Rc::clone(&asked);
                move |_| {
                    three();
                    asked.set(asked.get() + 100);
                    PendingAnswer::wait_def_process()
                }
            })),
        ];
        let [incoming, rejected, pending] = filters;
        register_filter(Some(incoming))?;
        thread::scope(|s| {
            stage.begin();
            let call = s.spawn(|| at_ui.call(add).unwrap());
            stage.until(ui.apartment(), like!(Queued));
            ui.pump();
            call.join().unwrap();
        });
        register_filter(Some(rejected))?;
        busy.1.call(add).unwrap_err();
        register_filter(Some(pending))?;
        ui.apartment().post_message(MessageClass::User, || ())?;
        let idle = stage.sta("idle").spawn()?;
        let window = ui.apartment().clone();
        idle.create(|| ())?.call(|()| drop(stage.until(&window, like!(PendingAsked))))?;
        assert_eq!(asked.get(), 111);
        Ok(())
    });
}

fn contained(stage: &Stage, at: &Apartment) -> Vec<(&'static str, String)> {
    let contained = stage.all(at, like!(Contained)).into_iter().map(|event| match event.what {
        What::Contained { place, message } => (place, message.to_string()),
        other => panic!("{other:?}"),
    });
    contained.collect()
}

#[test]
fn mf_9_a_panic_in_handle_incoming_counts_as_rejected() {
    play(|stage| {
        let a = stage.sta("a").spawn()?;
        let at_a = a.create(|| Cell::new(0))?;
        at_a.call(|_| register_filter(Some(Rc::new(incoming(|_| panic!("at the door"))))).map(drop))??;
        stage.begin();
        assert_eq!(seen_as(at_a.call(add).unwrap_err()), REJECTED);
        at_a.post(add)?;
        // What cannot be rejected runs all the same, and the filter stays where it is.
        stage.until(a.apartment(), like!(Ended));
        assert_eq!(seen_as(at_a.call(add).unwrap_err()), REJECTED);
        let expected = ("handle_incoming", String::from("at the door"));
        assert_eq!(contained(stage, a.apartment()), vec![expected; 3]);
        Ok(())
    });
}

#[test]
fn mf_9_a_panic_in_retry_rejected_counts_as_giving_up() {
    play(|stage| {
        let (_busy, at_busy) = answering(stage, "busy", ServerCall::RetryLater)?;
        let (caller, at_caller, _questions) = asking(stage, |_| panic!("once more?"))?;
        stage.begin();
        assert_eq!(seen_as(at_caller.call(|_| at_busy.call(add).unwrap_err())?), REJECTED);
        assert_eq!(contained(stage, caller.apartment()), [("retry_rejected", "once more?".into())]);
        assert_eq!(stage.count(caller.apartment(), like!(RetryAsked { answer: Retry::GiveUp })), 1);
        Ok(())
    });
}

#[test]
fn mf_9_a_panic_in_a_calls_own_policy_counts_as_giving_up_on_any_thread() {
    play(|stage| {
        let (_busy, at_busy) = answering(stage, "busy", ServerCall::RetryLater)?;
        let a = stage.sta("a").spawn()?;
        let at_a = a.create(|| ())?;
        stage.begin();
        let panics = |_: &RejectedCall| -> Retry { panic!("once more?") };
        let fails = || seen_as(at_busy.with(&CallOptions::new().retry(panics)).call(add).unwrap_err());
        assert_eq!(fails(), REJECTED);
        let outside = |event: &apartment::Event| {
            let here = event.apartment.is_none();
            here && matches!(&event.what, What::Contained { place: "retry_rejected", .. })
        };
        stage.until_any(outside);
        assert_eq!(at_a.call(|()| fails())?, REJECTED);
        assert_eq!(contained(stage, a.apartment()), [("retry_rejected", "once more?".into())]);
        Ok(())
    });
}

#[test]
fn mf_9_a_panic_in_message_pending_counts_as_wait_no_process() {
    play(|stage| {
        let ui = stage.sta("ui").filter(|| pending(|_| panic!("a message"))).enter()?;
        let b = stage.sta("b").spawn()?;
        let at_b = b.create(|| ())?;
        let (ran, runs) = unbounded();
        let window = ui.apartment().clone();
        stage.begin();
        at_b.call(|()| {
            for class in CLASSES {
                let ran = ran.clone();
                window.post_message(class, move || ran.send(class).unwrap()).unwrap();
            }
            stage.until_nth(4, &window, like!(PendingAsked));
        })?;
        assert_eq!(runs.try_iter().collect::<Vec<_>>(), [MessageClass::Activation]);
        assert_eq!(contained(stage, ui.apartment()), vec![("message_pending", String::from("a message")); 4]);
        Ok(())
    });
}

// ---- MF-10: RetryFor

/// What `RetryFor` answers to a callee that is never free, each time after the delay that it asked for; and the end.
fn answers_of(stage: &Stage, policy: RetryFor, answer: ServerCall) -> Result<(Vec<Retry>, CallError), CallError> {
    let (_busy, at_busy) = answering(stage, "busy", answer)?;
    stage.begin();
    let mut answers = Vec::new();
    let error = thread::scope(|s| {
        let call = s.spawn(|| at_busy.with(&CallOptions::new().retry(policy)).call(add).unwrap_err());
        loop {
            let asked = nth_of_any(stage, answers.len() + 1, like!(RetryAsked));
            let What::RetryAsked { answer, .. } = asked.what else { panic!("{asked:?}") };
            answers.push(answer);
            match answer {
                Retry::GiveUp => break call.join().unwrap(),
                Retry::Now => {}
                Retry::After(delay) => {
                    nth_of_any(stage, answers.len(), like!(WaitTurned { on: WaitFor::RetryTime }));
                    stage.clock.advance(delay);
                }
            }
        }
    });
    Ok((answers, error))
}

fn nth_of_any(stage: &Stage, nth: usize, like: impl Fn(&What) -> bool) -> apartment::Event {
    let seen = Cell::new(0);
    stage.until_any(|event| {
        let hit = like(&event.what);
        seen.set(seen.get() + usize::from(hit));
        hit && seen.get() == nth
    })
}

fn after(delays: &[u64]) -> Vec<Retry> {
    let delays = delays.iter().map(|delay| Retry::After(millis(*delay)));
    delays.chain([Retry::GiveUp]).collect()
}

#[test]
fn mf_10_retry_for_tries_again_for_a_time_with_back_off() {
    play(|stage| {
        let (answers, error) = answers_of(stage, RetryFor::new(secs(5)), ServerCall::RetryLater)?;
        assert_eq!(answers, after(&[100, 200, 400, 800, 1000, 1000, 1000, 500]));
        assert_eq!(seen_as(error), REJECTED);
        assert_eq!(stage.clock.now(), secs(5));
        Ok(())
    });
}

#[test]
fn mf_10_retry_for_keeps_to_the_delays_of_choice() {
    play(|stage| {
        let policy = RetryFor::new(secs(2)).first_delay(millis(300)).max_delay(millis(500));
        let (answers, _) = answers_of(stage, policy, ServerCall::RetryLater)?;
        assert_eq!(answers, after(&[300, 500, 500, 500, 200]));
        // Less than COM's shortest wait would be no wait at all.
        let policy = RetryFor::new(millis(250)).first_delay(millis(1)).max_delay(millis(1));
        let (answers, _) = answers_of(stage, policy, ServerCall::RetryLater)?;
        assert_eq!(answers, after(&[100, 100]));
        Ok(())
    });
}

#[test]
fn mf_10_retry_for_gives_up_on_what_was_rejected_outright_unless_told_otherwise() {
    play(|stage| {
        let (answers, error) = answers_of(stage, RetryFor::new(secs(1)), ServerCall::Rejected)?;
        assert_eq!((answers, seen_as(error)), (after(&[]), REJECTED));
        let (answers, error) = answers_of(stage, RetryFor::new(millis(300)).rejected_too(), ServerCall::Rejected)?;
        assert_eq!((answers, seen_as(error)), (after(&[100, 200]), REJECTED));
        Ok(())
    });
}

#[test]
fn mf_10_retry_for_is_a_filter_for_all_calls_of_an_apartment() {
    play(|stage| {
        let (busy, at_busy) = refusing(stage, "busy", 2, ServerCall::RetryLater)?;
        let caller = stage.sta("caller").filter(|| RetryFor::new(secs(30))).spawn()?;
        let at_caller = caller.create(|| Cell::new(0))?;
        stage.begin();
        thread::scope(|s| {
            s.spawn(|| at_caller.call(|_| at_busy.call(add).unwrap()).unwrap());
            for (nth, delay) in [(1, 100), (2, 200)] {
                stage.until_nth(nth, caller.apartment(), like!(WaitTurned { on: WaitFor::RetryTime }));
                // Everything else is as without a filter: incoming calls are served.
                at_caller.call(add).unwrap();
                stage.clock.advance(millis(delay));
            }
        });
        assert_eq!(at_busy.call(Cell::get)?, 1);
        drop(busy);
        Ok(())
    });
}
