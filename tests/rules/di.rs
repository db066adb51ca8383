//! DI: dispatch, waiting, re-entrancy.

use crate::stage::{Key, Stage, gate, hresult, incoming, like, millis, play, rejected, secs};
use apartment::{
    CallError, CallOptions, CallType, HeldBy, MessageClass, Outcome, PostOptions, Proxy, Reentrancy, RejectedCall,
    Retry, Route, ServerCall, Serves, Sta, WaitFor, What,
};
use crossbeam_channel::unbounded;
use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::{self, ThreadId};

fn here() -> ThreadId {
    thread::current().id()
}

const POLICIES: [Reentrancy; 3] = [Reentrancy::Classic, Reentrancy::SameCausality, Reentrancy::None];

// ---- DI-1

#[test]
fn di_1_an_sta_runs_one_call_at_a_time() {
    play(|stage| {
        let a = stage.sta("a").spawn()?;
        let at_a = a.create(|| ())?;
        stage.begin();
        let (key, gate) = gate();
        thread::scope(|s| {
            s.spawn(|| at_a.call(|()| gate.pass()).unwrap());
            stage.until(a.apartment(), like!(Began));
            s.spawn(|| at_a.call(|()| ()).unwrap());
            s.spawn(|| at_a.call(|()| ()).unwrap());
            stage.until_nth(3, a.apartment(), like!(Queued));
            key.open();
        });
        let steps = stage.all(a.apartment(), |what| matches!(what, What::Began { .. } | What::Ended { .. }));
        let ends: Vec<_> = steps.iter().map(|step| matches!(step.what, What::Ended { .. })).collect();
        assert_eq!(ends, [false, true, false, true, false, true]);
        Ok(())
    });
}

#[test]
fn di_1_inside_a_wait_too_calls_run_one_at_a_time() {
    play(|stage| {
        let (a, b) = (stage.sta("a").spawn()?, stage.sta("b").spawn()?);
        let (at_a, at_b) = (a.create(|| ())?, b.create(|| ())?);
        stage.begin();
        let (wait_key, wait_gate) = gate();
        let (first_key, first_gate) = gate();
        thread::scope(|s| {
            s.spawn(|| at_a.call(|()| at_b.call(|()| wait_gate.pass()).unwrap()).unwrap());
            stage.until(a.apartment(), like!(WaitBegan));
            let first = s.spawn(|| at_a.call(|()| first_gate.pass()).unwrap());
            stage.until_nth(2, a.apartment(), like!(Began));
            let second = s.spawn(|| at_a.call(|()| ()).unwrap());
            stage.until_nth(3, a.apartment(), like!(Queued));
            first_key.open();
            first.join().unwrap();
            second.join().unwrap();
            wait_key.open();
        });
        let steps = stage.all(a.apartment(), |what| matches!(what, What::Began { .. } | What::Ended { .. }));
        let ends: Vec<_> = steps.iter().map(|step| matches!(step.what, What::Ended { .. })).collect();
        assert_eq!(ends, [false, false, true, false, true, true]);
        Ok(())
    });
}

// ---- DI-2

#[test]
fn di_2_a_call_inside_one_apartment_is_direct() {
    play(|stage| {
        let a = stage.sta("a").filter(|| incoming(|call| refuse_all_but(call.target.type_name, "u8"))).spawn()?;
        let outer = a.create(|| 0_u8)?;
        let inner = outer.call(|_| a.create(|| "the filter would refuse me"))??;
        stage.begin();
        let (there, inside) = outer.call(|_| (here(), inner.call(|_| here()).unwrap()))?;
        assert_eq!(inside, there, "no thread change");
        assert_eq!(stage.count(a.apartment(), like!(Queued)), 1, "no queue: only the outer call was queued");
        assert_eq!(stage.count(a.apartment(), like!(Filtered)), 1, "no filter: only the outer call was shown to it");
        let direct = stage.all(a.apartment(), like!(CallMade: made => made.route == Route::Direct));
        assert_eq!(direct.len(), 1);
        Ok(())
    });
}

fn refuse_all_but(type_name: &str, allowed: &str) -> ServerCall {
    if type_name == allowed { ServerCall::Handled } else { ServerCall::Rejected }
}

#[test]
fn di_2_an_entered_thread_calls_its_own_objects_directly() {
    play(|stage| {
        let ui = stage.sta("ui").filter(|| incoming(|_| ServerCall::Rejected)).enter()?;
        let object = ui.create(|| RefCell::new(0))?;
        stage.begin();
        // Nobody pumps: through the mailbox it would wait for ever.
        assert_eq!(object.call(|_| here())?, here());
        assert_eq!(object.call_mut(|_| here())?, here());
        assert_eq!(object.call_ref(|_| here())?, here());
        assert_eq!(stage.count(ui.apartment(), |what| matches!(what, What::Queued { .. } | What::Filtered { .. })), 0);
        assert_eq!(stage.count(ui.apartment(), like!(Began { call_type: None })), 3);
        Ok(())
    });
}

// ---- DI-3

#[test]
fn di_3_calls_wait_while_an_sta_does_not_pump() {
    play(|stage| {
        let ui = stage.sta("ui").enter()?;
        let list = &ui.create(|| RefCell::new(Vec::new()))?;
        stage.begin();
        thread::scope(|s| {
            for n in 0..5 {
                s.spawn(move || assert_eq!(list.call(|list| list.borrow_mut().push(n)).map(|()| n).unwrap(), n));
            }
            list.post(|list| list.borrow_mut().push(5)).unwrap();
            stage.until_nth(6, ui.apartment(), like!(Queued));
            assert_eq!(stage.count(ui.apartment(), like!(Began)), 0, "it does not pump");
            assert_eq!(ui.apartment().queued(), 6, "none is lost");
            assert_eq!(ui.pump(), 6, "they run when it pumps");
        });
        let mut served = list.call(|list| list.borrow().clone())?;
        served.sort_unstable();
        assert_eq!(served, [0, 1, 2, 3, 4, 5]);
        Ok(())
    });
}

// ---- DI-4

#[test]
fn di_4_mta_objects_are_called_concurrently_on_pool_threads() {
    play(|stage| {
        let mta = stage.mta().threads(2).spawn()?;
        let stas = [stage.sta("creator").spawn()?, stage.sta("x").spawn()?, stage.sta("y").spawn()?];
        let at = stas.each_ref().map(|sta| sta.create(|| ()).unwrap());
        let (creator, meeting) = at[0].call(|()| (here(), mta.create(|| (Barrier::new(2), here())).unwrap()))?;
        let makers_thread = at[1].call(|()| meeting.call(|(_, maker)| *maker).unwrap())?;
        assert_ne!(makers_thread, creator, "it is made on a pool thread");
        // Each of the two calls ends only if the other one runs at the same time.
        let call = |from: &Proxy<()>| from.call(|()| (here(), meeting.call(|(both, _)| meet(both)).unwrap())).unwrap();
        let threads: Vec<ThreadId> = thread::scope(|s| {
            let calls = [s.spawn(|| call(&at[1])), s.spawn(|| call(&at[2]))];
            calls.into_iter().map(|call| call.join().unwrap()).flat_map(|(caller, served)| [caller, served]).collect()
        });
        let distinct: HashSet<_> = threads.iter().copied().chain([creator]).collect();
        assert_eq!(distinct.len(), 5, "two callers, two pool threads, and the creator's: {threads:?}");
        Ok(())
    });
}

fn meet(both: &Barrier) -> ThreadId {
    both.wait();
    here()
}

#[test]
fn di_4_a_caller_in_the_mta_calls_directly() {
    play(|stage| {
        let mta = stage.mta().threads(1).spawn()?;
        let sta = stage.sta("caller").spawn()?;
        let from_sta = sta.create(|| ())?;
        let (outer, inner) = (mta.create(|| 1_u8)?, mta.create(|| 2_u8)?);
        stage.begin();
        let entered = mta.enter()?;
        assert_eq!(inner.call(|_| here())?, here());
        entered.leave();
        // A pool thread too.
        let (pool, direct) = from_sta.call(|()| outer.call(|_| (here(), inner.call(|_| here()).unwrap())).unwrap())?;
        assert_eq!(direct, pool);
        assert_eq!(stage.count(mta.apartment(), like!(Queued)), 1, "only the call from the STA was queued");
        Ok(())
    });
}

// ---- DI-5

#[test]
fn di_5_a_waiting_sta_serves_its_callee_and_third_parties() {
    play(|stage| {
        let (a, b, c) = (stage.sta("a").spawn()?, stage.sta("b").spawn()?, stage.sta("c").spawn()?);
        let (at_a, at_b, at_c) = (a.create(|| ())?, b.create(|| ())?, c.create(|| ())?);
        let mta = stage.mta().spawn()?;
        let in_mta = mta.create(|| ())?;
        stage.begin();
        let (key, gate) = gate();
        let called_back = || (at_a.call(|()| ()).unwrap(), gate.pass()).1;
        thread::scope(|s| {
            s.spawn(|| at_a.call(|()| at_b.call(|()| called_back()).unwrap()).unwrap());
            // The callee's callback has been served.
            stage.until(a.apartment(), like!(Ended));
            // Third parties of every kind: each returns although the wait does not end.
            at_a.call(|()| ()).unwrap();
            at_c.call(|()| at_a.call(|()| ()).unwrap()).unwrap();
            at_c.call(|()| in_mta.call(|()| at_a.call(|()| ()).unwrap()).unwrap()).unwrap();
            at_a.post(|()| ()).unwrap();
            stage.until_nth(5, a.apartment(), like!(Ended));
            assert_eq!(stage.count(a.apartment(), like!(WaitEnded)), 0);
            key.open();
        });
        let threads: HashSet<_> = stage.all(a.apartment(), like!(Began)).iter().map(|event| event.thread).collect();
        assert_eq!(threads.len(), 1, "all on its own thread");
        Ok(())
    });
}

#[test]
fn di_5_what_a_waiting_sta_serves_is_subject_to_its_filter() {
    play(|stage| {
        let no_third_party = || {
            incoming(|call| match call.call_type {
                CallType::TopLevelCallPending => ServerCall::Rejected,
                _ => ServerCall::Handled,
            })
        };
        let (a, b) = (stage.sta("a").filter(no_third_party).spawn()?, stage.sta("b").spawn()?);
        let (at_a, at_b) = (a.create(|| ())?, b.create(|| ())?);
        stage.begin();
        let (key, gate) = gate();
        thread::scope(|s| {
            s.spawn(|| {
                let callback = at_a.call(|()| at_b.call(|()| (gate.pass(), at_a.call(|()| 7)).1)).unwrap().unwrap();
                assert_eq!(callback.unwrap(), 7, "the callee's callback is let in");
            });
            stage.until(a.apartment(), like!(WaitBegan));
            let third = at_a.call(|()| ()).unwrap_err();
            assert_eq!(third.hresult(), hresult::CALL_REJECTED);
            key.open();
        });
        Ok(())
    });
}

// ---- DI-6

#[test]
fn di_6_nested_waits_unwind_last_in_first_out() {
    play(|stage| {
        let (a, b, c) = (stage.sta("a").spawn()?, stage.sta("b").spawn()?, stage.sta("c").spawn()?);
        let (at_a, at_b, at_c) = (a.create(|| ())?, b.create(|| ())?, c.create(|| ())?);
        stage.begin();
        let (outer_key, outer_gate) = gate();
        let (inner_key, inner_gate) = gate();
        thread::scope(|s| {
            s.spawn(|| at_a.call(|()| at_b.call(|()| outer_gate.pass()).unwrap()).unwrap());
            let outer = stage.until(a.apartment(), like!(WaitBegan)).call;
            s.spawn(|| at_a.call(|()| at_c.call(|()| inner_gate.pass()).unwrap()).unwrap());
            let inner = stage.until_nth(2, a.apartment(), like!(WaitBegan)).call;
            outer_key.open();
            stage.until(b.apartment(), like!(Ended));
            // Served after the outer call: its reply is there by now.
            at_b.call(|()| ()).unwrap();
            inner_key.open();
            stage.until_nth(2, a.apartment(), like!(WaitEnded));
            let ended: Vec<_> = stage.all(a.apartment(), like!(WaitEnded)).iter().map(|event| event.call).collect();
            assert_eq!(ended, [inner, outer]);
        });
        Ok(())
    });
}

// ---- DI-7

#[test]
fn di_7_a_blocked_mta_thread_is_not_re_entered() {
    play(|stage| {
        let mta = stage.mta().threads(1).spawn()?;
        let (s, a) = (stage.sta("s").spawn()?, stage.sta("a").spawn()?);
        let (at_s, at_a, in_mta) = (s.create(|| ())?, a.create(|| ())?, mta.create(|| ())?);
        let call_back = || (here(), at_a.call(|()| in_mta.call(|()| here()).unwrap()).unwrap());
        let (blocked, served_by) = at_s.call(|()| in_mta.call(|()| call_back()).unwrap())?;
        assert_ne!(blocked, served_by, "the callback is served by another pool thread");
        Ok(())
    });
}

#[test]
fn di_7_the_pool_grows_while_its_threads_are_blocked_in_outgoing_calls() {
    play(|stage| {
        let mta = stage.mta().threads(1).spawn()?;
        let busy = stage.sta("busy").spawn()?;
        let (at_busy, in_mta) = (busy.create(|| ())?, mta.create(|| ())?);
        stage.begin();
        let (key, gate) = gate();
        for _ in 0..5 {
            let (at_busy, gate) = (at_busy.clone(), gate.clone());
            in_mta.post(move |()| at_busy.call(|()| gate.pass()).unwrap())?;
        }
        // All five run although only one thread at a time is to run.
        stage.until_nth(5, mta.apartment(), like!(WaitBegan));
        let began = stage.all(mta.apartment(), like!(Began));
        let threads: HashSet<_> = began.iter().map(|event| event.thread).collect();
        assert_eq!((began.len(), threads.len()), (5, 5));
        key.open();
        Ok(())
    });
}

#[test]
fn di_7_the_pool_grows_up_to_its_maximum() {
    play(|stage| {
        let mta = stage.mta().threads(1).max_threads(2).spawn()?;
        let busy = stage.sta("busy").spawn()?;
        let (at_busy, in_mta) = (busy.create(|| ())?, mta.create(|| ())?);
        stage.begin();
        let (key, gate) = gate();
        for _ in 0..3 {
            let (at_busy, gate) = (at_busy.clone(), gate.clone());
            in_mta.post(move |()| at_busy.call(|()| gate.pass()).unwrap())?;
        }
        stage.until_nth(2, mta.apartment(), like!(WaitBegan));
        key.open();
        stage.until_nth(3, mta.apartment(), like!(Ended));
        let steps = stage.all(mta.apartment(), |what| matches!(what, What::Began { .. } | What::Ended { .. }));
        let threads: HashSet<_> = steps.iter().map(|step| step.thread).collect();
        assert_eq!(threads.len(), 2);
        assert!(matches!(steps[2].what, What::Ended { .. }), "the third waited until a thread was free: {steps:#?}");
        Ok(())
    });
}

// ---- DI-8

#[test]
fn di_8_two_stas_that_call_each_other_at_once_both_complete() {
    play(|stage| {
        let (a, b) = (stage.sta("a").spawn()?, stage.sta("b").spawn()?);
        let (at_a, at_b) = (a.create(|| Cell::new(0))?, b.create(|| Cell::new(0))?);
        let both = Barrier::new(2);
        let cross = |from: &Proxy<Cell<u32>>, to: &Proxy<Cell<u32>>| {
            for _ in 0..300 {
                from.call(|_| (both.wait(), to.call(|count| count.set(count.get() + 1)).unwrap())).unwrap();
            }
        };
        thread::scope(|s| {
            s.spawn(|| cross(&at_a, &at_b));
            s.spawn(|| cross(&at_b, &at_a));
        });
        assert_eq!((at_a.call(Cell::get)?, at_b.call(Cell::get)?), (300, 300));
        Ok(())
    });
}

#[test]
fn di_8_recursion_of_depth_40_completes() {
    play(|stage| {
        fn descend(depth: u32, to: &Proxy<Cell<u32>>, back: &Proxy<Cell<u32>>) -> u32 {
            match depth {
                0 => 0,
                _ => to.call(|served| (served.set(served.get() + 1), 1 + descend(depth - 1, back, to)).1).unwrap(),
            }
        }
        let (a, b) = (stage.sta("a").spawn()?, stage.sta("b").spawn()?);
        let (at_a, at_b) = (a.create(|| Cell::new(0))?, b.create(|| Cell::new(0))?);
        assert_eq!(descend(40, &at_a, &at_b), 40);
        assert_eq!((at_a.call(Cell::get)?, at_b.call(Cell::get)?), (20, 20));
        Ok(())
    });
}

#[test]
fn di_8_a_ring_of_three_at_depth_4_completes_300_rounds() {
    play(|stage| {
        fn around(depth: usize, next: usize, ring: &[Proxy<Cell<u32>>]) {
            if depth > 0 {
                ring[next % 3]
                    .call(|served| (served.set(served.get() + 1), around(depth - 1, next + 1, ring)).1)
                    .unwrap();
            }
        }
        let stas = [stage.sta("0").spawn()?, stage.sta("1").spawn()?, stage.sta("2").spawn()?];
        let ring = &stas.each_ref().map(|sta| sta.create(|| Cell::new(0)).unwrap());
        let together = &Barrier::new(3);
        thread::scope(|s| {
            for first in 0..3 {
                s.spawn(move || (0..300).for_each(|_| (together.wait(), around(4, first, ring)).1));
            }
        });
        let served: Vec<u32> = ring.iter().map(|at| at.call(Cell::get).unwrap()).collect();
        // Three chains a round, of four calls each: every apartment gets the first and the last of one, and one of each
        // of the others.
        assert_eq!(served, [1200, 1200, 1200]);
        Ok(())
    });
}

// ---- DI-9

#[test]
fn di_9_what_was_queued_when_the_wait_begins_is_served_inside_it() {
    play(|stage| {
        let ui = stage.sta("ui").enter()?;
        let b = stage.sta("b").spawn()?;
        let at_ui = &ui.create(|| Cell::new(0))?;
        let at_b = b.create(|| ())?;
        stage.begin();
        let (key, gate) = gate();
        thread::scope(|s| {
            let count = |count: &Cell<u32>| count.set(count.get() + 1);
            // The post first: the reply may come as soon as the callers have been served.
            at_ui.post(count).unwrap();
            let callers: Vec<_> = (0..3).map(|_| s.spawn(move || at_ui.call(count).unwrap())).collect();
            stage.until_nth(4, ui.apartment(), like!(Queued));
            // The callee goes on only when all three have been served.
            s.spawn(move || {
                callers.into_iter().for_each(|caller| caller.join().unwrap());
                key.open();
            });
            at_b.call(|()| gate.pass()).unwrap();
        });
        assert_eq!(at_ui.call(Cell::get)?, 4);
        Ok(())
    });
}

// ---- DI-10

#[test]
fn di_10_application_messages_stay_in_order_during_an_outgoing_call() {
    play(|stage| {
        let ui = stage.sta("ui").enter()?;
        let b = stage.sta("b").spawn()?;
        let at_b = b.create(|| ())?;
        let (ran, order) = unbounded();
        let (painted, paint) = unbounded();
        let window = ui.apartment().clone();
        at_b.call(|()| {
            for (class, name) in
                [(MessageClass::Input, "key down"), (MessageClass::User, "user"), (MessageClass::Input, "key up")]
            {
                let ran = ran.clone();
                window.post_message(class, move || ran.send(name).unwrap()).unwrap();
            }
            window.post_message(MessageClass::Paint, move || painted.send(()).unwrap()).unwrap();
            // The waiting thread has looked at all of them by the time it paints.
            paint.recv().unwrap();
        })?;
        assert!(order.is_empty(), "they stay in the queue");
        assert_eq!(ui.apartment().queued(), 3);
        ui.pump();
        assert_eq!(order.try_iter().collect::<Vec<_>>(), ["key down", "user", "key up"]);
        Ok(())
    });
}

// ---- DI-11

#[test]
fn di_11_quit_asked_for_during_a_call_takes_effect_after_it() {
    play(|stage| {
        let ui = stage.sta("ui").enter()?;
        let b = stage.sta("b").spawn()?;
        let (at_ui, at_b) = (ui.create(|| ())?, b.create(|| ())?);
        let apartment = ui.apartment().clone();
        stage.begin();
        // The callback shows that the apartment still serves its call.
        let result = at_b.call(|()| (apartment.quit(), at_ui.call(|()| 7).unwrap()).1)?;
        assert_eq!(result, 7, "the call completes with its own result");
        assert_eq!(stage.count(&apartment, like!(ApartmentEnded)), 0);
        // It serves until it is asked to quit, which it has been.
        ui.run();
        let outside = thread::scope(|s| s.spawn(|| at_ui.call(|()| ()).unwrap_err()).join().unwrap());
        assert_eq!(outside.hresult(), hresult::DISCONNECTED);
        Ok(())
    });
}

#[test]
fn di_11_a_spawned_sta_quits_after_the_calls_it_has_out() {
    play(|stage| {
        let (a, b) = (stage.sta("a").spawn()?, stage.sta("b").spawn()?);
        let (at_a, at_b) = (a.create(|| ())?, b.create(|| ())?);
        stage.begin();
        assert_eq!(at_a.call(|()| at_b.call(|()| (a.quit(), 7).1).unwrap())?, 7);
        let apartment = a.apartment().clone();
        a.join()?;
        let asked = stage.until(&apartment, like!(QuitAsked)).seq;
        let returned = stage.until(&apartment, like!(WaitEnded)).seq;
        let ended = stage.until(&apartment, like!(ApartmentEnded)).seq;
        assert!(asked < returned && returned < ended);
        Ok(())
    });
}

// ---- DI-12

/// An apartment that waits in a call until the gate is passed, and what is needed to look at it.
struct Waits<'a> {
    stage: &'a Stage,
    a: Sta,
    at_a: Proxy<Cell<u32>>,
    b: Sta,
    at_b: Proxy<()>,
}

impl<'a> Waits<'a> {
    fn with(stage: &'a Stage, policy: Reentrancy) -> Result<Self, CallError> {
        let (a, b) = (stage.sta("a").reentrancy(policy).spawn()?, stage.sta("b").spawn()?);
        let (at_a, at_b) = (a.create(|| Cell::new(0))?, b.create(|| ())?);
        stage.begin();
        Ok(Self { stage, a, at_a, b, at_b })
    }

    /// The calls that were served, in order: by the order of their events.
    fn served(&self) -> Vec<Option<apartment::CallRef>> {
        self.stage.all(self.a.apartment(), like!(Began)).iter().map(|event| event.call).collect()
    }
}

#[test]
fn di_12_classic_is_the_default_and_lets_everybody_in() {
    play(|stage| {
        let (a, b) = (stage.sta("a").spawn()?, stage.sta("b").spawn()?);
        let (at_a, at_b) = (a.create(|| ())?, b.create(|| ())?);
        stage.begin();
        let (key, gate) = gate();
        thread::scope(|s| {
            s.spawn(|| at_a.call(|()| at_b.call(|()| gate.pass()).unwrap()).unwrap());
            stage.until(a.apartment(), like!(WaitBegan { serves: Serves::Everything }));
            at_a.call(|()| ()).unwrap();
            key.open();
        });
        assert_eq!(stage.count(a.apartment(), like!(Held)), 0);
        Ok(())
    });
}

#[test]
fn di_12_same_causality_lets_in_its_own_chain_and_holds_the_others_in_order() {
    play(|stage| {
        let w = Waits::with(stage, Reentrancy::SameCausality)?;
        let a = w.a.apartment();
        let (key, gate) = gate();
        thread::scope(|s| {
            s.spawn(|| {
                let callback = w.at_a.call(|_| w.at_b.call(|()| (gate.pass(), w.at_a.call(|_| 7).unwrap()).1));
                assert_eq!(callback.unwrap().unwrap(), 7);
            });
            let first = stage.until(a, like!(WaitBegan { serves: Serves::Chain }));
            s.spawn(|| w.at_a.call(|_| ()).unwrap());
            let one = stage.until_nth(2, a, like!(Queued)).call;
            w.at_a.post(|_| ()).unwrap();
            let two = stage.until_nth(3, a, like!(Queued)).call;
            s.spawn(|| w.at_a.call(|_| ()).unwrap());
            let three = stage.until_nth(4, a, like!(Queued)).call;
            stage.until_nth(3, a, like!(Held { by: HeldBy::Policy }));
            assert_eq!(a.queued(), 3, "they stay queued");
            key.open();
            stage.until_nth(5, a, like!(Ended));
            let served = w.served();
            assert_eq!(served[1].unwrap().chain, first.call.unwrap().chain, "the callback came in");
            assert_eq!(served[2..], [one, two, three], "the others run when the call is back, in order");
        });
        let returned = stage.until(a, like!(WaitEnded)).seq;
        let began = stage.until_nth(3, a, like!(Began)).seq;
        assert!(returned < began);
        Ok(())
    });
}

#[test]
fn di_12_a_post_of_the_callee_is_of_another_chain() {
    play(|stage| {
        let w = Waits::with(stage, Reentrancy::SameCausality)?;
        let a = w.a.apartment();
        w.at_a.call(|_| {
            w.at_b
                .call(|()| {
                    w.at_a.post(|count| count.set(1)).unwrap();
                    stage.until(a, like!(Held { by: HeldBy::Policy }));
                })
                .unwrap();
        })?;
        assert_eq!(w.at_a.call(Cell::get)?, 1);
        let returned = stage.until(a, like!(WaitEnded)).seq;
        assert!(stage.until_nth(2, a, like!(Began)).seq > returned);
        Ok(())
    });
}

#[test]
fn di_12_none_lets_nothing_in_during_any_wait() {
    play(|stage| {
        let w = Waits::with(stage, Reentrancy::None)?;
        let a = w.a.apartment();
        let (painted, paint) = unbounded();
        let (key, gate) = gate();
        thread::scope(|s| {
            s.spawn(|| w.at_a.call(|_| w.at_b.call(|()| gate.pass()).unwrap()).unwrap());
            stage.until(a, like!(WaitBegan { serves: Serves::InputSynchronized }));
            s.spawn(|| w.at_a.call(|_| ()).unwrap());
            stage.until(a, like!(Held { by: HeldBy::Policy }));
            a.post_message(MessageClass::Paint, move || painted.send(()).unwrap()).unwrap();
            w.at_a.post(|_| ()).unwrap();
            // It has passed over the message to tell that it holds the post.
            stage.until_nth(2, a, like!(Held { by: HeldBy::Policy }));
            assert!(paint.is_empty());
            key.open();
        });
        paint.recv().unwrap();
        let returned = stage.until(a, like!(WaitEnded)).seq;
        for began in &stage.all(a, |what| matches!(what, What::Began { .. } | What::MessageBegan { .. }))[1..] {
            assert!(began.seq > returned, "{began:?}");
        }
        Ok(())
    });
}

#[test]
fn di_12_none_holds_callbacks_too() {
    play(|stage| {
        let w = Waits::with(stage, Reentrancy::None)?;
        let call_back = || w.at_a.within(secs(1)).call(|_| ());
        let result = thread::scope(|s| {
            let call = s.spawn(|| w.at_a.call(|_| w.at_b.call(|()| call_back()).unwrap()).unwrap());
            stage.until(w.a.apartment(), like!(Held { by: HeldBy::Policy }));
            stage.clock.advance(secs(1));
            call.join().unwrap()
        });
        let error = result.unwrap_err();
        assert_eq!((error.hresult(), error.outcome()), (hresult::TIMED_OUT, Outcome::NotStarted));
        Ok(())
    });
}

#[test]
fn di_12_releases_come_in_under_every_policy() {
    play(|stage| {
        for policy in POLICIES {
            let w = Waits::with(stage, policy)?;
            let (dropped, drops) = unbounded();
            let goes = w.a.create(|| Tells(dropped))?;
            let (key, gate) = gate();
            thread::scope(|s| {
                s.spawn(|| w.at_a.call(|_| w.at_b.call(|()| gate.pass()).unwrap()).unwrap());
                let home = stage.until(w.a.apartment(), like!(WaitBegan)).thread;
                drop(goes);
                drops.recv().unwrap();
                assert_eq!(stage.until(w.a.apartment(), like!(ObjectDropped)).thread, home);
                key.open();
            });
        }
        Ok(())
    });
}

/// Says that it is dropped, and on which thread.
struct Tells(crossbeam_channel::Sender<ThreadId>);

impl Drop for Tells {
    fn drop(&mut self) {
        self.0.send(here()).unwrap();
    }
}

#[test]
fn di_12_in_the_top_loop_everything_comes_in() {
    play(|stage| {
        for policy in POLICIES {
            let ui = stage.sta("ui").reentrancy(policy).enter()?;
            let at_ui = ui.create(|| Cell::new(0))?;
            let add = |count: &Cell<u32>| count.set(count.get() + 1);
            at_ui.post(add)?;
            thread::scope(|s| {
                stage.begin();
                s.spawn(|| at_ui.call(add).unwrap());
                stage.until(ui.apartment(), like!(Queued));
                assert_eq!(ui.pump(), 2, "{policy:?}");
            });
            assert_eq!(at_ui.call(Cell::get)?, 2);
        }
        Ok(())
    });
}

#[test]
fn di_12_a_classic_wait_nested_too_deep_serves_its_own_chain_only() {
    play(|stage| {
        let sta = stage.sta("a").nested_waits(2).spawn()?;
        let mta = stage.mta().threads(4).spawn()?;
        let (a, at_a, in_mta) = (sta.apartment(), sta.create(|| ())?, mta.create(|| ())?);
        stage.begin();
        let (keys, gates): (Vec<_>, Vec<_>) = (0..3).map(|_| gate()).unzip();
        thread::scope(|s| {
            let mut keys = keys;
            for gate in &gates {
                let waits = stage.count(a, like!(WaitBegan));
                let called_back = || (gate.pass(), at_a.call(|()| ()).unwrap()).1;
                s.spawn({
                    let (at_a, in_mta) = (&at_a, &in_mta);
                    move || at_a.call(|()| in_mta.call(|()| called_back()).unwrap()).unwrap()
                });
                stage.until_nth(waits + 1, a, like!(WaitBegan));
            }
            let third = s.spawn(|| at_a.call(|()| ()).unwrap());
            stage.until(a, like!(Held { by: HeldBy::Policy }));
            assert_eq!(stage.count(a, like!(Began)), 3);
            // The innermost wait lets in its own chain and ends; the one below it is not too deep.
            keys.pop().unwrap().open();
            third.join().unwrap();
            assert_eq!(stage.count(a, like!(WaitEnded)), 1);
            drop(keys);
        });
        let serves = stage.events().into_iter().filter_map(|event| match event.what {
            What::WaitBegan { serves, .. } if event.apartment == Some(a.id()) => Some(serves),
            _ => None,
        });
        assert_eq!(serves.collect::<Vec<_>>(), [Serves::Everything, Serves::Everything, Serves::Chain]);
        Ok(())
    });
}

#[test]
fn di_12_a_classic_apartments_waits_nest_64_deep_by_default() {
    play(|stage| {
        let sta = stage.sta("a").spawn()?;
        let mta = stage.mta().threads(70).max_threads(70).spawn()?;
        let (a, at_a, in_mta) = (sta.apartment(), sta.create(|| ())?, mta.create(|| ())?);
        stage.begin();
        let (key, gate) = gate();
        for _ in 0..66 {
            let (in_mta, gate) = (in_mta.clone(), gate.clone());
            at_a.post(move |()| in_mta.call(|()| gate.pass()).unwrap())?;
        }
        stage.until(a, like!(Held { by: HeldBy::Policy }));
        assert_eq!(stage.count(a, like!(Began)), 65, "64 waits let the next one in, the 65th does not");
        key.open();
        stage.until_nth(66, a, like!(Ended));
        Ok(())
    });
}

#[test]
fn di_12_a_pump_inside_a_served_call_lets_in_that_calls_chain_only() {
    play(|stage| {
        for (policy, served) in [(Reentrancy::Classic, 1), (Reentrancy::SameCausality, 0)] {
            let w = Waits::with(stage, policy)?;
            let a = w.a.apartment();
            let (key, gate) = gate();
            let pumped = thread::scope(|s| {
                let pumps = s.spawn(|| {
                    w.at_a.call(|_| (gate.pass(), stage.sta("a, once more").enter().unwrap().pump()).1).unwrap()
                });
                stage.until(a, like!(Began));
                s.spawn(|| w.at_a.call(|_| ()).unwrap());
                stage.until_nth(2, a, like!(Queued));
                key.open();
                pumps.join().unwrap()
            });
            assert_eq!(pumped, served, "{policy:?}");
            assert_eq!(stage.count(a, like!(Held { by: HeldBy::Policy })), 1 - served, "{policy:?}");
        }
        Ok(())
    });
}

#[test]
fn di_12_a_plain_wait_inside_a_served_call_lets_in_that_calls_chain_only() {
    play(|stage| {
        for policy in [Reentrancy::Classic, Reentrancy::SameCausality] {
            let w = Waits::with(stage, policy)?;
            let (a, joined) = (w.a.apartment(), w.b);
            let (key, gate) = gate();
            thread::scope(|s| {
                s.spawn(|| w.at_b.call(|()| gate.pass()).unwrap());
                stage.until(joined.apartment(), like!(Began));
                s.spawn(|| w.at_a.call(|_| (joined.quit(), joined.join().unwrap()).1).unwrap());
                stage.until_any(|event| matches!(event.what, What::QuitAsked));
                let third = s.spawn(|| w.at_a.call(|_| ()).unwrap());
                if policy == Reentrancy::Classic {
                    third.join().unwrap();
                } else {
                    stage.until(a, like!(Held { by: HeldBy::Policy }));
                }
                key.open();
            });
            let ended: Vec<_> = stage.all(a, like!(Ended)).iter().map(|event| event.call).collect();
            let began: Vec<_> = stage.all(a, like!(Began)).iter().map(|event| event.call).collect();
            let nested = policy == Reentrancy::Classic;
            assert_eq!(ended[0] == began[1], nested, "{policy:?}: {began:?}, {ended:?}");
        }
        Ok(())
    });
}

#[test]
fn di_12_a_chain_may_re_enter_two_same_causality_apartments() {
    play(|stage| {
        fn descend(depth: u32, to: &Proxy<()>, back: &Proxy<()>) -> u32 {
            if depth == 0 { 0 } else { to.call(|()| 1 + descend(depth - 1, back, to)).unwrap() }
        }
        let policy = Reentrancy::SameCausality;
        let stas = [stage.sta("a").reentrancy(policy).spawn()?, stage.sta("b").reentrancy(policy).spawn()?];
        let [at_a, at_b] = stas.each_ref().map(|sta| sta.create(|| ()).unwrap());
        assert_eq!(descend(10, &at_a, &at_b), 10);
        Ok(())
    });
}

// ---- DI-13

/// Objects in an apartment that can be made to call out while they are borrowed.
struct Cells {
    a: Sta,
    x: Proxy<RefCell<u32>>,
    y: Proxy<RefCell<u32>>,
    /// Where they call to: each of its calls is served by a thread of its own.
    out: Proxy<()>,
    _mta: apartment::Mta,
}

impl Cells {
    fn on(stage: &Stage, policy: Reentrancy) -> Result<Self, CallError> {
        let a = stage.sta("a").reentrancy(policy).spawn()?;
        let (x, y) = (a.create(|| RefCell::new(0))?, a.create(|| RefCell::new(0))?);
        let mta = stage.mta().threads(8).spawn()?;
        let out = mta.create(|| ())?;
        stage.begin();
        Ok(Self { a, x, y, out, _mta: mta })
    }

    /// Calls out of the apartment; to be called in it.
    fn out(&self, run: impl FnOnce() + Send) {
        self.out.call(|()| run()).unwrap();
    }
}

fn reentrant(error: CallError) -> apartment::Reentrant {
    assert_eq!((error.hresult(), error.outcome()), (hresult::RETRY, Outcome::NotStarted), "{error}");
    match error {
        CallError::Reentrant(reentrant) => (*reentrant).clone(),
        other => panic!("{other}"),
    }
}

#[test]
fn di_13_a_method_called_by_shared_reference_may_be_re_entered() {
    play(|stage| {
        let c = Cells::on(stage, Reentrancy::Classic)?;
        // Each call gets the cell itself.
        let seen = c.x.call(|cell: &RefCell<u32>| {
            c.out(|| c.x.call(|again| *again.borrow_mut() += 1).unwrap());
            *cell.borrow()
        })?;
        assert_eq!(seen, 1);
        Ok(())
    });
}

#[test]
fn di_13_call_mut_and_call_ref_take_the_borrow_for_the_caller() {
    play(|stage| {
        let c = Cells::on(stage, Reentrancy::Classic)?;
        c.x.call_mut(|x: &mut u32| *x += 5)?;
        assert_eq!(c.x.call_ref(|x: &u32| *x)?, 5);
        // Within options too.
        let options = CallOptions::new();
        c.x.with(&options).call_mut(|x| *x += 1)?;
        c.x.within(secs(1)).call_mut(|x| *x += 1)?;
        assert_eq!(c.x.with(&options).call_ref(|x| *x)?, 7);
        assert_eq!(c.x.within(secs(1)).call_ref(|x| *x)?, 7);
        Ok(())
    });
}

#[test]
fn di_13_readers_share_the_borrow() {
    play(|stage| {
        let c = Cells::on(stage, Reentrancy::Classic)?;
        let mut inner = None;
        c.x.call_ref(|_| c.out(|| inner = Some(c.x.call_ref(|x| *x))))?;
        assert_eq!(inner.unwrap()?, 0);
        Ok(())
    });
}

/// Runs `third` while a call has `x` borrowed and is out, and lets that call go on when told to.
fn while_borrowed<R: Send>(stage: &Stage, c: &Cells, third: impl FnOnce(&mut dyn FnMut()) -> R + Send) -> R {
    let (key, gate) = gate();
    let mut key = Some(key);
    thread::scope(|s| {
        s.spawn(|| c.x.call_mut(|_| c.out(|| gate.pass())).unwrap());
        stage.until(c.a.apartment(), like!(WaitBegan));
        let result = third(&mut || key.take().unwrap().open());
        drop(key);
        result
    })
}

#[test]
fn di_13_without_filter_and_policy_a_busy_object_fails_naming_the_call_that_holds_it() {
    play(|stage| {
        let c = Cells::on(stage, Reentrancy::Classic)?;
        let (key, gate) = gate();
        thread::scope(|s| {
            let line = line!() + 1;
            s.spawn(|| c.x.call_mut(|_| c.out(|| gate.pass())).unwrap());
            stage.until(c.a.apartment(), like!(WaitBegan));
            for error in [c.x.call_mut(|x| *x = 9).unwrap_err(), c.x.call_ref(|_| ()).unwrap_err()] {
                let shown = error.to_string();
                let busy = reentrant(error);
                let holder = busy.holder.unwrap();
                assert_eq!((holder.location.file(), holder.location.line()), (file!(), line));
                assert_eq!((busy.object, holder.object), (c.x.object_id(), Some(c.x.object_id())));
                assert!(shown.contains(&format!("{}:{line}", file!())), "{shown}");
            }
            // Another object of the same apartment is not busy.
            c.y.call_mut(|y| *y = 1).unwrap();
            key.open();
        });
        assert_eq!(c.x.call_ref(|x| *x)?, 0, "the method has not run");
        Ok(())
    });
}

#[test]
fn di_13_a_busy_object_is_an_answer_like_retry_later_to_the_callers_filter() {
    play(|stage| {
        let c = Cells::on(stage, Reentrancy::Classic)?;
        let (asked, questions) = unbounded();
        let patient = move || {
            rejected(move |call: &RejectedCall| {
                asked.send(call.clone()).unwrap();
                Retry::After(millis(150))
            })
        };
        let caller = stage.sta("caller").filter(patient).spawn()?;
        let at_caller = caller.create(|| ())?;
        while_borrowed(stage, &c, |let_go| {
            thread::scope(|s| {
                s.spawn(|| at_caller.call(|()| c.x.call_mut(|x| *x += 1).unwrap()).unwrap());
                let question = questions.recv().unwrap();
                assert_eq!((question.rejected, question.attempts), (ServerCall::RetryLater, 1));
                stage.until(caller.apartment(), like!(WaitTurned { on: WaitFor::RetryTime }));
                let_go();
                stage.until(c.a.apartment(), like!(WaitEnded));
                stage.clock.advance(millis(150));
            });
        });
        assert_eq!(c.x.call_ref(|x| *x)?, 1);
        assert!(questions.is_empty());
        Ok(())
    });
}

#[test]
fn di_13_a_busy_object_is_an_answer_like_retry_later_to_the_calls_own_policy() {
    play(|stage| {
        let c = Cells::on(stage, Reentrancy::Classic)?;
        while_borrowed(stage, &c, |let_go| {
            let let_go = RefCell::new(let_go);
            let options = CallOptions::new().retry(|call: &RejectedCall| {
                assert_eq!(call.rejected, ServerCall::RetryLater);
                if call.attempts == 3 {
                    (let_go.borrow_mut())();
                    // From here on it can only take as long as the holder needs to end.
                    stage.until(c.a.apartment(), like!(WaitEnded));
                }
                Retry::Now
            });
            c.x.with(&options).call_mut(|x| *x += 1).unwrap();
        });
        assert_eq!(c.x.call_ref(|x| *x)?, 1);
        let attempts = stage.all(c.a.apartment(), like!(Busy)).len();
        assert!(attempts >= 3, "{attempts}");
        Ok(())
    });
}

#[test]
fn di_13_a_borrow_taken_by_hand_is_said_to_be_so() {
    play(|stage| {
        let c = Cells::on(stage, Reentrancy::Classic)?;
        let (key, gate) = gate();
        thread::scope(|s| {
            s.spawn(|| c.x.call(|cell| (cell.borrow_mut(), c.out(|| gate.pass())).1).unwrap());
            stage.until(c.a.apartment(), like!(WaitBegan));
            let error = c.x.call_mut(|_| ()).unwrap_err();
            assert!(error.to_string().contains("by hand"), "{error}");
            assert!(reentrant(error).holder.is_none());
            // Trying again may help.
            let asked = AtomicU32::new(0);
            let options =
                CallOptions::new().retry(|_: &RejectedCall| (asked.fetch_add(1, Ordering::Relaxed), Retry::GiveUp).1);
            c.x.with(&options).call_mut(|_| ()).unwrap_err();
            assert_eq!(asked.load(Ordering::Relaxed), 1);
            key.open();
        });
        Ok(())
    });
}

#[test]
fn di_13_a_direct_reference_borrows_by_hand() {
    play(|stage| {
        let ui = stage.sta("ui").enter()?;
        let x = ui.create(|| RefCell::new(0))?;
        let local = x.local().unwrap();
        let borrowed = local.borrow_mut();
        stage.begin();
        let error = thread::scope(|s| {
            let call = s.spawn(|| x.call_mut(|_| ()).unwrap_err());
            stage.until(ui.apartment(), like!(Queued));
            ui.pump();
            call.join().unwrap()
        });
        assert!(reentrant(error).holder.is_none());
        drop(borrowed);
        x.call_mut(|_| ())
    });
}

#[test]
fn di_13_of_several_holders_the_innermost_running_call_is_named() {
    play(|stage| {
        let c = Cells::on(stage, Reentrancy::Classic)?;
        let (key, gate) = gate();
        thread::scope(|s| {
            s.spawn(|| c.x.call_ref(|_| c.out(|| gate.pass())).unwrap());
            stage.until_nth(1, c.a.apartment(), like!(WaitBegan));
            let line = line!() + 1;
            s.spawn(|| c.x.call_ref(|_| c.out(|| gate.pass())).unwrap());
            stage.until_nth(2, c.a.apartment(), like!(WaitBegan));
            let holder = reentrant(c.x.call_mut(|_| ()).unwrap_err()).holder.unwrap();
            assert_eq!(holder.location.line(), line);
            key.open();
        });
        Ok(())
    });
}

/// A policy that must not be asked: trying again cannot help.
fn never(_: &RejectedCall) -> Retry {
    panic!("asked although trying again cannot help")
}

fn assert_helpless(stage: &Stage, error: CallError) {
    assert!(!reentrant(error).retryable);
    let asked = stage.events().iter().filter(|event| matches!(event.what, What::RetryAsked { .. })).count();
    assert_eq!(asked, 0, "trying again cannot help, so nobody is asked");
}

#[test]
fn di_13_a_direct_call_to_a_busy_object_fails_at_once() {
    play(|stage| {
        let a = stage.sta("a").filter(|| rejected(never)).spawn()?;
        let x = a.create(|| RefCell::new(0))?;
        stage.begin();
        let options = CallOptions::new().retry(never);
        for error in [
            x.call_mut(|_| x.call_mut(|_| ()))?,
            x.call_mut(|_| x.call_ref(|_| ()))?,
            x.call_ref(|_| x.call_mut(|_| ()))?,
            x.call_mut(|_| x.with(&CallOptions::new().retry(never)).call_mut(|_| ()))?,
            x.call(|cell| (cell.borrow_mut(), x.call_mut(|_| ())).1)?,
        ] {
            assert_helpless(stage, error.unwrap_err());
        }
        // A reader among readers is none of this.
        x.with(&options).call_ref(|_| x.call_ref(|_| ()))??;
        Ok(())
    });
}

#[test]
fn di_13_where_the_holder_is_an_ancestor_the_call_fails_at_once() {
    play(|stage| {
        let c = Cells::on(stage, Reentrancy::Classic)?;
        let mut error = None;
        let options = || CallOptions::new().retry(never);
        c.x.call_mut(|_| c.out(|| error = c.x.with(&options()).call_mut(|_| ()).err()))?;
        assert_helpless(stage, error.unwrap());
        Ok(())
    });
}

#[test]
fn di_13_where_the_holder_is_buried_under_an_ancestor_the_call_fails_at_once() {
    play(|stage| {
        let c = Cells::on(stage, Reentrancy::Classic)?;
        let error = while_borrowed(stage, &c, |_| {
            // Served in the holder's wait: the holder cannot end before this call does, and this one waits for the next.
            let mut error = None;
            let options = || CallOptions::new().retry(never);
            c.y.call(|_| c.out(|| error = c.x.with(&options()).call_mut(|_| ()).err())).unwrap();
            error.unwrap()
        });
        assert_helpless(stage, error);
        Ok(())
    });
}

#[test]
fn di_13_an_ancestor_among_several_holders_is_enough_to_fail_at_once() {
    play(|stage| {
        let c = Cells::on(stage, Reentrancy::Classic)?;
        let (first_key, first_gate) = gate();
        let (second_key, second_gate) = gate();
        let error = thread::scope(|s| {
            let ancestor = s.spawn(|| {
                let mut error = None;
                let options = || CallOptions::new().retry(never);
                let write = || error = (first_gate.pass(), c.x.with(&options()).call_mut(|_| ()).err()).1;
                c.x.call_ref(|_| c.out(write)).unwrap();
                error.unwrap()
            });
            stage.until_nth(1, c.a.apartment(), like!(WaitBegan));
            // Another reader, innermost, which could end by itself.
            s.spawn(|| c.x.call_ref(|_| c.out(|| second_gate.pass())).unwrap());
            stage.until_nth(2, c.a.apartment(), like!(WaitBegan));
            first_key.open();
            stage.until(c.a.apartment(), like!(Busy));
            second_key.open();
            ancestor.join().unwrap()
        });
        assert_helpless(stage, error);
        Ok(())
    });
}

#[test]
fn di_13_after_a_panic_the_borrow_is_given_back_and_nothing_is_poisoned() {
    play(|stage| {
        let c = Cells::on(stage, Reentrancy::Classic)?;
        for _ in 0..2 {
            let error =
                c.x.call_mut(|x| {
                    *x += 1;
                    panic!("half done")
                })
                .unwrap_err();
            assert_eq!(error.hresult(), hresult::SERVER_FAULT);
        }
        let error = c.x.call_ref(|_| panic!("while reading")).unwrap_err();
        assert_eq!(error.hresult(), hresult::SERVER_FAULT);
        assert_eq!(c.x.call_mut(|x| *x)?, 2);
        // A panic in a call that the method has out, and at home.
        c.x.call_mut(|_| assert!(c.out.call(|()| panic!("out")).is_err()))?;
        c.y.call(|_| assert!(c.x.call_mut(|_| panic!("at home")).is_err()))?;
        assert_eq!(c.x.call_mut(|x| *x)?, 2);
        Ok(())
    });
}

#[test]
fn di_13_same_causality_keeps_others_away_from_what_is_borrowed() {
    play(|stage| {
        let c = Cells::on(stage, Reentrancy::SameCausality)?;
        while_borrowed(stage, &c, |let_go| {
            thread::scope(|s| {
                let other = s.spawn(|| c.x.call_mut(|x| *x += 1));
                stage.until(c.a.apartment(), like!(Held { by: HeldBy::Policy }));
                let_go();
                other.join().unwrap().unwrap();
            });
        });
        assert_eq!(stage.count(c.a.apartment(), like!(Busy)), 0);
        Ok(())
    });
}

#[test]
fn di_13_the_object_is_never_dropped_under_a_running_call() {
    play(|stage| {
        let (a, b) = (stage.sta("a").spawn()?, stage.sta("b").spawn()?);
        let (dropped, drops) = unbounded();
        let (object, at_b) = (a.create(|| Tells(dropped))?, b.create(|| ())?);
        let weak = object.downgrade();
        stage.begin();
        let (key, gate) = gate();
        let (alive, lives) = unbounded();
        object.post(move |object| {
            // It pumps: a release that came now would be carried out.
            at_b.call(|()| gate.pass()).unwrap();
            alive.send(object.0.is_empty()).unwrap();
        })?;
        stage.until(a.apartment(), like!(WaitBegan));
        drop(object);
        assert!(weak.upgrade().is_some(), "the running call holds a reference");
        // Served in the same wait, after the release would have been.
        a.create(|| ())?;
        assert!(drops.is_empty());
        key.open();
        assert!(lives.recv().unwrap());
        drops.recv().unwrap();
        Ok(())
    });
}

// ---- DI-14

/// Runs `full` while the MTA's one thread is busy and its queue, with room for one, is full.
fn while_full(
    stage: &Stage,
    full: impl FnOnce(&apartment::Mta, &Proxy<AtomicU32>, &mut dyn FnMut()),
) -> Result<(), CallError> {
    let mta = stage.mta().threads(1).max_threads(1).capacity(1).spawn()?;
    let count = mta.create(|| AtomicU32::new(0))?;
    stage.begin();
    let (key, gate) = gate();
    let mut key = Some(key);
    count.post(move |_| gate.pass())?;
    stage.until(mta.apartment(), like!(Began));
    count.post(|count| _ = count.fetch_add(1, Ordering::Relaxed))?;
    full(&mta, &count, &mut || drop(key.take()));
    drop(key);
    Ok(())
}

#[test]
fn di_14_the_mtas_queue_has_a_capacity_and_refuses_at_once_when_it_is_full() {
    play(|stage| {
        while_full(stage, |mta, count, _| {
            let from = stage.sta("caller").spawn().unwrap();
            let from = from.create(|| ()).unwrap();
            let error = from.call(|()| count.call(|_| ())).unwrap().unwrap_err();
            assert_eq!((error.hresult(), error.outcome()), (hresult::SYS_CALL_FAILED, Outcome::NotStarted));
            let CallError::MailboxFull(full) = error else { panic!("{error}") };
            assert_eq!((full.queued, full.capacity, &*full.callee.name), (1, 1, "mta"));
            assert!(full.executing.is_some());
            let token = Box::new(5);
            let refused = count.post(move |_| drop(token)).unwrap_err();
            assert_eq!(refused.error().hresult(), hresult::SYS_CALL_FAILED);
            let _handed_back = refused.into_closure();
            assert_eq!(mta.apartment().queued(), 1, "nothing was queued");
        })
    });
}

#[test]
fn di_14_a_caller_may_wait_for_room_in_the_mtas_queue() {
    play(|stage| {
        while_full(stage, |mta, count, let_go| {
            let from = stage.sta("caller").spawn().unwrap();
            let at = from.create(|| ()).unwrap();
            let options = || CallOptions::new().wait_for_room();
            thread::scope(|s| {
                let waits = s.spawn(|| at.call(|()| count.with(&options()).call(|_| ())).unwrap().unwrap());
                stage.until(from.apartment(), like!(WaitTurned { on: WaitFor::Room }));
                assert_eq!(mta.apartment().queued(), 1);
                let_go();
                waits.join().unwrap();
            });
        })
    });
}

#[test]
fn di_14_a_callback_into_the_waiting_mta_needs_no_room() {
    play(|stage| {
        let mta = stage.mta().threads(1).max_threads(2).capacity(1).spawn()?;
        let (s, a) = (stage.sta("s").spawn()?, stage.sta("a").spawn()?);
        let (in_mta, at_s, at_a) = (mta.create(|| ())?, s.create(|| ())?, a.create(|| ())?);
        stage.begin();
        let (key, gate) = gate();
        let full = || {
            // One call takes the second thread, the next one the room.
            in_mta.post(move |()| gate.pass()).unwrap();
            stage.until_nth(2, mta.apartment(), like!(Began));
            in_mta.post(|()| ()).unwrap();
            assert_eq!(in_mta.post(|()| ()).unwrap_err().error().hresult(), hresult::SYS_CALL_FAILED);
        };
        thread::scope(|scope| {
            let call_back = || (full(), in_mta.call(|()| 7).unwrap()).1;
            let call = scope.spawn(|| at_s.call(|()| in_mta.call(|()| at_a.call(|()| call_back()).unwrap()).unwrap()));
            let callback = stage.until_nth(4, mta.apartment(), like!(Queued));
            assert!(matches!(callback.what, What::Queued { queued: 1, capacity: 1 }), "it takes no room: {callback:?}");
            key.open();
            assert_eq!(call.join().unwrap().unwrap(), 7);
        });
        Ok(())
    });
}

/// Counts its calls and says at its end how many there were.
struct Counts(AtomicU32, crossbeam_channel::Sender<u32>);

impl Counts {
    fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Counts {
    fn drop(&mut self) {
        self.1.send(*self.0.get_mut()).unwrap();
    }
}

#[test]
fn di_14_every_call_that_the_mta_accepted_runs_exactly_once() {
    play(|stage| {
        let mta = stage.mta().threads(3).spawn()?;
        let (end, ends) = unbounded();
        let count = mta.create(|| Counts(AtomicU32::new(0), end))?;
        let stas: Vec<_> = (0..4).map(|n| stage.sta(&format!("caller {n}")).spawn().unwrap()).collect();
        thread::scope(|s| {
            for sta in &stas {
                let (from, count) = (sta.create(|| ()).unwrap(), &count);
                let both = || (count.call(Counts::add).unwrap(), count.post(Counts::add).unwrap());
                s.spawn(move || from.call(|()| (0..100).for_each(|_| _ = both())).unwrap());
            }
        });
        drop(mta);
        assert_eq!(ends.recv().unwrap(), 800);
        Ok(())
    });
}

#[test]
fn di_14_the_pools_maximum_is_64_by_default() {
    play(|stage| {
        let mta = stage.mta().threads(1).spawn()?;
        let busy = stage.sta("busy").spawn()?;
        let (at_busy, in_mta) = (busy.create(|| ())?, mta.create(|| ())?);
        stage.begin();
        let (key, gate) = gate();
        for _ in 0..65 {
            let (at_busy, gate) = (at_busy.clone(), gate.clone());
            in_mta.post(move |()| at_busy.call(|()| gate.pass()).unwrap())?;
        }
        stage.until_nth(64, mta.apartment(), like!(WaitBegan));
        key.open();
        let last = stage.until_nth(65, mta.apartment(), like!(Began));
        let threads: HashSet<_> = stage.all(mta.apartment(), like!(Began)).iter().map(|began| began.thread).collect();
        assert_eq!(threads.len(), 64);
        assert!(stage.until(mta.apartment(), like!(Ended)).seq < last.seq, "it waited until a thread was free");
        Ok(())
    });
}

/// Blocks the only thread that is to run in what `blocks` does; another one is to serve what comes meanwhile.
fn assert_counts_as_blocked(stage: &Stage, key: Key, blocks: impl FnOnce() + Send + 'static) -> Result<(), CallError> {
    let mta = stage.mta().threads(1).max_threads(2).spawn()?;
    let in_mta = mta.create(|| ())?;
    stage.begin();
    in_mta.post(move |()| blocks())?;
    stage.until(mta.apartment(), like!(Began));
    in_mta.post(|()| ())?;
    let ended = stage.until(mta.apartment(), like!(Ended));
    assert_eq!(ended.call, stage.all(mta.apartment(), like!(Began))[1].call);
    key.open();
    Ok(())
}

#[test]
fn di_14_a_thread_in_an_outgoing_call_counts_as_blocked() {
    play(|stage| {
        let busy = stage.sta("busy").spawn()?;
        let at_busy = busy.create(|| ())?;
        let (key, gate) = gate();
        assert_counts_as_blocked(stage, key, move || at_busy.call(|()| gate.pass()).unwrap())
    });
}

#[test]
fn di_14_a_thread_that_waits_for_room_counts_as_blocked() {
    play(|stage| {
        let full = stage.sta("full").capacity(1).spawn()?;
        let at_full = full.create(|| ())?;
        let (key, gate) = gate();
        at_full.post(move |()| gate.pass())?;
        stage.until_nth(2, full.apartment(), like!(Began));
        at_full.post(|()| ())?;
        assert_counts_as_blocked(stage, key, move || {
            at_full.with(&PostOptions::new().wait_for_room()).post(|()| ()).unwrap();
        })
    });
}

#[test]
fn di_14_a_thread_that_waits_for_an_apartment_to_start_counts_as_blocked() {
    play(|stage| {
        let (key, gate) = gate();
        let builder = stage.sta("late").filter(move || (gate.pass(), rejected(|_| Retry::GiveUp)).1);
        assert_counts_as_blocked(stage, key, move || drop(builder.spawn().unwrap()))
    });
}

#[test]
fn di_14_a_thread_in_a_join_counts_as_blocked() {
    play(|stage| {
        let busy = stage.sta("busy").spawn()?;
        let at_busy = busy.create(|| ())?;
        let (key, gate) = gate();
        at_busy.post(move |()| gate.pass())?;
        assert_counts_as_blocked(stage, key, move || drop(busy))
    });
}

#[test]
fn di_14_the_mta_ends_when_its_last_thread_has_left_and_its_last_usage_is_gone() {
    play(|stage| {
        let mta = stage.mta().threads(1).spawn()?;
        let apartment = mta.apartment().clone();
        let caller = stage.sta("caller").spawn()?;
        let at_caller = caller.create(|| ())?;
        let (dropped, drops) = unbounded();
        let object = mta.create(|| Tells(dropped))?;
        let call = || at_caller.call(|()| object.call(|_| here())).unwrap();
        let (usage, entered) = (mta.usage()?, mta.enter()?);
        drop(mta);
        call()?;
        entered.leave();
        let pool_thread = call()?;
        assert!(drops.is_empty());
        drop(usage);
        assert_eq!(drops.recv().unwrap(), pool_thread, "its objects are dropped on a pool thread");
        stage.until(&apartment, like!(ApartmentEnded));
        let error = call().unwrap_err();
        assert_eq!((error.hresult(), error.outcome()), (hresult::DISCONNECTED, Outcome::NotStarted));
        Ok(())
    });
}

#[test]
fn di_14_a_thread_that_entered_keeps_the_mta_after_its_last_usage() {
    play(|stage| {
        let mta = stage.mta().spawn()?;
        let apartment = mta.apartment().clone();
        let object = mta.create(|| 7)?;
        let entered = mta.enter()?;
        drop(mta);
        assert_eq!(object.call(|n| *n)?, 7);
        entered.leave();
        stage.until(&apartment, like!(ApartmentEnded));
        assert_eq!(object.call(|n| *n).unwrap_err().hresult(), hresult::DISCONNECTED);
        Ok(())
    });
}

#[test]
fn di_14_an_ending_mta_serves_what_it_accepted() {
    play(|stage| {
        let mta = stage.mta().threads(1).spawn()?;
        let apartment = mta.apartment().clone();
        let (end, ends) = unbounded();
        let count = mta.create(|| Counts(AtomicU32::new(0), end))?;
        let (key, gate) = gate();
        count.post(move |_| gate.pass())?;
        (0..3).try_for_each(|_| count.post(Counts::add))?;
        thread::scope(|s| {
            s.spawn(|| drop(mta));
            stage.until(&apartment, like!(DoorClosed));
            assert_eq!(count.post(Counts::add).unwrap_err().error().hresult(), hresult::DISCONNECTED);
            key.open();
        });
        assert_eq!(ends.recv().unwrap(), 3);
        Ok(())
    });
}
