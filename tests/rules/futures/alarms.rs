//! A future's times, which its callee looks after: which thread does, and what is left when the future is over.

use super::*;
use crate::stage::{Stage, incoming};
use apartment::{
    Budget, Doorbell, EntryAt, Parked, PoolSeen, Reentrancy, RejectedCall, Retry, ServerCall, Signal, Sta, WaitFor,
    wait_any,
};

/// An STA that waits for another and lets nothing in, until the key is turned. It looks after times all the same.
fn waiting(stage: &Stage) -> Result<(Sta, Sta, Proxy<()>, Key), CallError> {
    let (a, b) = (stage.sta("a").reentrancy(Reentrancy::None).spawn()?, stage.sta("b").spawn()?);
    let (at_a, at_b) = (a.create(|| ())?, b.create(|| ())?);
    let (key, gate) = gate();
    let (arrived, arrives) = unbounded();
    let stops = move || {
        arrived.send(()).unwrap();
        gate.pass();
    };
    at_a.post(move |()| at_b.call(move |()| stops()).unwrap())?;
    arrives.recv().unwrap();
    Ok((a, b, at_a, key))
}

#[test]
fn ca_3_of_several_futures_each_is_woken_at_its_own_deadline() {
    play(|stage| {
        let (_a, _b, at_a, key) = waiting(stage)?;
        let mut calls = [5, 3, 4].map(|n| (at_a.within(secs(n)).call_async(|()| ()), waker()));
        for (call, (waker, _)) in &mut calls {
            assert!(is_pending(call, waker));
        }
        stage.clock.advance(secs(3));
        for next in [1, 2, 0] {
            let (call, (waker, woken)) = &mut calls[next];
            woken.recv().unwrap();
            assert_eq!(seen_as(ready(call, waker).unwrap_err()), TIMED_OUT);
            stage.clock.advance(secs(1));
        }
        key.open();
        Ok(())
    });
}

#[test]
fn ca_3_a_future_that_is_over_leaves_no_time_behind_to_be_looked_at() {
    play(|stage| {
        let ui = stage.sta("ui").enter()?;
        let at_ui = ui.create(|| 7)?;
        let at = at_ui.clone();
        let caller = thread::spawn(move || pollster::block_on(at.within(secs(5)).call_async(|n| *n)));
        while ui.pump() == 0 {
            thread::yield_now();
        }
        assert_eq!(caller.join().unwrap()?, 7);
        stage.clock.advance(secs(5));
        assert_eq!(ui.dispatch(Budget::ALL).served, 0, "nobody is to be woken any more");
        Ok(())
    });
}

fn pool(stage: &Stage) -> PoolSeen {
    stage.process.snapshot().apartments.into_iter().find_map(|seen| seen.pool).expect("there is the MTA")
}

#[test]
fn di_3_a_pool_s_thread_that_woke_at_a_time_is_rung_no_more_while_it_is_busy() {
    play(|stage| {
        let mta = stage.mta().threads(3).spawn()?;
        let in_mta = mta.create(|| ())?;
        let idle = |many| {
            while pool(stage).idle != many {
                thread::yield_now();
            }
        };
        idle(1);
        let (first, gate_of_first) = gate();
        let (method, told) = hangs(gate_of_first);
        let mut call = in_mta.with(&AsyncOptions::new().within(secs(5))).call_async(method);
        let (waker, woken) = waker();
        assert!(is_pending(&mut call, &waker));
        told.recv().unwrap();
        // A second one knows of the time, wakes the future, and is idle again.
        idle(1);
        stage.clock.advance(secs(5));
        woken.recv().unwrap();
        idle(1);
        // It is busy from here on; so for the next a third is started.
        let (second, gate_of_second) = gate();
        let (arrived, arrives) = unbounded();
        in_mta.post(move |()| {
            arrived.send(()).unwrap();
            gate_of_second.pass();
        })?;
        arrives.recv().unwrap();
        let (ran, has_run) = unbounded();
        in_mta.post(move |()| ran.send(()).unwrap())?;
        has_run.recv().unwrap();
        second.open();
        first.open();
        told.recv().unwrap();
        Ok(())
    });
}

#[test]
fn ap_9_a_wait_that_is_over_wakes_the_loop_below_for_a_future_s_time_and_for_nothing_else() {
    play(|stage| {
        let (doorbell, rings) = Doorbell::new();
        let (clock, inside) = (stage.clock.clone(), rings.clone());
        // Time passes in its turn inside the wait, and whatever has rung by then is heard there.
        let turning = doorbell.turning(move |_| {
            clock.advance(secs(1));
            while inside.try_recv().is_ok() {}
            Parked::Looped
        });
        let ui = stage.sta("ui").filter(|| incoming(|_| ServerCall::RetryLater)).host(turning).enter()?;
        let waits = || wait_any(&[&Signal::manual()], Some(secs(1))).unwrap_err();
        assert!(matches!(waits(), CallError::CallPending));
        assert!(rings.try_recv().is_err(), "there is nothing to look at");
        let at_ui = ui.create(|| ())?;
        let ((calls, has_called), (rests, has_rested), (over, is_over)) = (unbounded(), unbounded(), unbounded::<()>());
        let caller = thread::spawn(move || {
            let later = |_: &RejectedCall| Retry::After(secs(100));
            let mut call = at_ui.with(&AsyncOptions::new().retry(later)).call_async(|()| ());
            let (waker, woken) = waker();
            assert!(is_pending(&mut call, &waker));
            calls.send(()).unwrap();
            woken.recv().unwrap();
            assert!(is_pending(&mut call, &waker));
            rests.send(()).unwrap();
            is_over.recv().unwrap();
        });
        has_called.recv().unwrap();
        while ui.dispatch(Budget::ALL).served == 0 {
            thread::yield_now();
        }
        has_rested.recv().unwrap();
        assert!(matches!(waits(), CallError::CallPending));
        assert!(rings.try_recv().is_ok(), "the time of its next attempt");
        over.send(()).unwrap();
        caller.join().unwrap();
        Ok(())
    });
}

// ---- room

#[test]
fn mb_1_room_that_becomes_free_goes_to_the_first_of_those_who_wait_for_it_alone() {
    play(|stage| {
        let a = stage.sta("a").capacity(1).spawn()?;
        let at_a = a.create(|| ())?;
        let busy = occupy(stage, &a);
        let (key, gate) = gate();
        at_a.post(move |()| gate.pass())?;
        let patient = AsyncOptions::new().wait_for_room();
        let calls = [3, 4].map(|n| at_a.with(&patient).call_async(move |()| n));
        let began = stage.count(a.apartment(), like!(Began));
        busy.open();
        stage.until_nth(began + 1, a.apartment(), like!(Began));
        let snapshot = stage.process.snapshot();
        let entries: Vec<_> = snapshot.apartments[0].entries.iter().map(|entry| entry.at).collect();
        assert_eq!((a.apartment().queued(), entries), (1, vec![EntryAt::Room, EntryAt::Line]));
        key.open();
        for (call, n) in calls.into_iter().zip([3, 4]) {
            assert_eq!(pollster::block_on(call)?, n);
        }
        Ok(())
    });
}

#[test]
fn dg_2_a_caller_that_has_got_its_room_says_so_though_nobody_serves_it_yet() {
    play(|stage| {
        let a = stage.sta("a").capacity(1).spawn()?;
        let at_a = a.create(|| ())?;
        let busy = occupy(stage, &a);
        let (key, gate) = gate();
        at_a.post(move |()| gate.pass())?;
        thread::scope(|s| {
            let caller = s.spawn(|| at_a.with(&CallOptions::new().wait_for_room()).call(|()| 3));
            stage.until_any(|event| matches!(event.what, What::WaitTurned { on: WaitFor::Room, .. }));
            busy.open();
            stage.until_any(|event| matches!(event.what, What::WaitTurned { on: WaitFor::Reply, .. }));
            assert_eq!(a.apartment().queued(), 1);
            key.open();
            assert_eq!(caller.join().unwrap().unwrap(), 3);
        });
        Ok(())
    });
}

// ---- what is found past its deadline

#[test]
fn ck_7_a_waker_runs_while_its_callee_has_nothing_else_in_hand() {
    play(|stage| {
        let a = stage.sta("a").spawn()?;
        let at_a = a.create(|| ())?;
        let (key, gate) = gate();
        let (arrived, arrives) = unbounded();
        at_a.post(move |()| {
            arrived.send(()).unwrap();
            gate.pass();
            arrived.send(()).unwrap();
        })?;
        arrives.recv().unwrap();
        let (tell, told) = unbounded();
        let process = stage.process.clone();
        let waker = runs(move || {
            let runs: usize = process.snapshot().apartments.iter().map(|seen| seen.executing.len()).sum();
            tell.send(runs).unwrap();
        });
        let mut call = at_a.within(secs(1)).call_async(|()| ());
        assert!(is_pending(&mut call, &waker));
        at_a.post(|()| ())?;
        key.open();
        // The time comes while it looks, or before, or when the call has run.
        arrives.recv().unwrap();
        stage.clock.advance(secs(1));
        assert_eq!(told.recv().unwrap(), 0);
        let _ended = ready(&mut call, Waker::noop());
        Ok(())
    });
}

#[test]
fn di_3_a_pump_does_not_count_what_it_finds_past_its_deadline() {
    play(|stage| {
        let (ui, s) = (stage.sta("ui").enter()?, stage.sta("s").spawn()?);
        let (at_ui, at_s) = (ui.create(|| ())?, s.create(|| ())?);
        let (ended, ends) = unbounded();
        let calls = at_ui.clone();
        at_s.post(move |()| ended.send(calls.within(secs(1)).call(|()| ())).unwrap())?;
        stage.until_nth(1, ui.apartment(), like!(Queued));
        // Its caller is too busy to look after its deadline.
        let (key, gate) = gate();
        let (arrived, arrives) = unbounded();
        at_s.post(move |()| {
            arrived.send(()).unwrap();
            gate.pass();
        })?;
        arrives.recv().unwrap();
        stage.clock.advance(secs(1));
        at_ui.post(|()| ())?;
        assert_eq!(ui.pump(), 1, "the post alone was served");
        key.open();
        assert_eq!(seen_as(ends.recv().unwrap().unwrap_err()), TIMED_OUT);
        Ok(())
    });
}
