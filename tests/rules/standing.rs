//! DG-1, DG-2: what stands, for a snapshot and for a listener that comes late. What has ended, or was undone, does not.

use crate::stage::{incoming, like, play, secs};
use crate::support::{Gate, hold, join, must_end};
use apartment::{
    ApartmentSeen, Budget, CallOptions, Clock, Event, Process, Recording, RejectedCall, Retry, ServerCall, WaitFor,
    What, register_filter,
};
use crossbeam_channel::unbounded;
use std::cell::Cell;
use std::rc::Rc;
use std::thread;
use std::time::Duration;

fn driven() -> (Process, Clock) {
    let clock = Clock::driven();
    (Process::builder().clock(clock.clone()).build(), clock)
}

/// The one apartment there is.
fn only(process: &Process) -> ApartmentSeen {
    let mut apartments = process.snapshot().apartments;
    assert_eq!(apartments.len(), 1);
    apartments.remove(0)
}

/// When each event came of which `at` is so.
fn times(recording: &Recording, is: impl Fn(&What) -> bool) -> Vec<Duration> {
    recording.events().iter().filter(|event| is(&event.what)).map(|event| event.at).collect()
}

#[test]
fn dg_1_a_thread_that_has_left_is_shown_no_more_and_the_others_are() {
    must_end(|| {
        let (process, clock) = driven();
        let mta = process.mta().threads(1).spawn().unwrap();
        while only(&process).threads.is_empty() {
            thread::yield_now();
        }
        clock.advance(secs(1));
        let entered = mta.enter().unwrap();
        clock.advance(secs(1));
        thread::scope(|s| s.spawn(|| drop(mta.enter().unwrap())).join().unwrap());
        let since: Vec<_> = only(&process).threads.iter().map(|thread| thread.since).collect();
        assert_eq!(since, [secs(0), secs(1)], "the pool's, and this one");
        let late = process.record(100);
        assert_eq!(times(&late, |what| matches!(what, What::ThreadEntered { .. })), [secs(0), secs(1)]);
        assert_eq!(times(&late, |what| matches!(what, What::ApartmentBegan { .. })), [secs(0)]);
        assert_eq!(times(&late, |what| matches!(what, What::ThreadLeft)), []);
        entered.leave();
    });
}

#[test]
fn dg_1_a_filter_that_was_removed_is_shown_no_more_and_a_second_one_once() {
    must_end(|| {
        let (process, clock) = driven();
        let ui = process.sta("ui").enter().unwrap();
        let sets = |set: bool| {
            clock.advance(secs(1));
            let filter = || Rc::new(incoming(|_| ServerCall::Handled)) as _;
            drop(register_filter(set.then(filter)).unwrap());
            let told = times(&process.record(100), |what| matches!(what, What::FilterSet { .. }));
            (only(&process).filter, told)
        };
        assert_eq!(sets(true), (true, vec![secs(1)]));
        assert_eq!(sets(true), (true, vec![secs(2)]));
        assert_eq!(sets(false), (false, vec![]));
        ui.leave();
    });
}

#[test]
fn dg_1_what_a_pump_or_a_dispatch_has_served_is_shown_to_run_no_more() {
    must_end(|| {
        let process = Process::new();
        let ui = process.sta("ui").enter().unwrap();
        let object = ui.create(|| ()).unwrap();
        object.post(|()| ()).unwrap();
        assert_eq!((ui.pump(), only(&process).executing.len()), (1, 0));
        object.post(|()| ()).unwrap();
        assert_eq!((ui.dispatch(Budget::ALL).served, only(&process).executing.len()), (1, 0));
        ui.leave();
    });
}

#[test]
fn dg_1_an_apartment_is_shown_when_its_beginning_is_told_and_not_before() {
    must_end(|| {
        let process = Process::new();
        let ((comes, has_come), (looks, has_looked)) = (unbounded(), unbounded::<()>());
        let other = thread::spawn({
            let process = process.clone();
            move || {
                comes.send(()).unwrap();
                let entered = process.sta("other").enter().unwrap();
                has_looked.recv().unwrap();
                entered.leave();
            }
        });
        has_come.recv().unwrap();
        // Before, while or after it is made.
        for seen in process.snapshot().apartments {
            assert!(seen.reentrancy.is_some(), "what an STA is told to be is known of it: {seen:?}");
        }
        looks.send(()).unwrap();
        join(other);
    });
}

#[test]
fn dg_2_a_late_listener_is_told_nothing_of_an_apartment_that_is_gone() {
    must_end(|| {
        let process = Process::new();
        let sta = process.sta("gone").spawn().unwrap();
        let apartment = sta.apartment().clone();
        let object = sta.create(|| ()).unwrap();
        sta.quit();
        sta.join().unwrap();
        let late = process.record(100);
        process.note("the first");
        let events = late.events();
        assert!(matches!(&events[..], [Event { what: What::Note { .. }, .. }]), "{events:?}");
        drop((apartment, object));
    });
}

#[test]
fn dg_2_of_a_pool_s_threads_a_late_listener_is_told_of_the_one_first_that_began_first() {
    must_end(|| {
        let (process, clock) = driven();
        let mta = process.mta().threads(2).spawn().unwrap();
        let object = mta.create(|| ()).unwrap();
        let first = hold(&object);
        clock.advance(secs(1));
        let second = hold(&object);
        let late = process.record(100);
        assert_eq!(times(&late, |what| matches!(what, What::Began { .. })), [secs(0), secs(1)]);
        second.open();
        first.open();
    });
}

#[test]
fn dg_2_what_is_queued_is_told_since_when_though_what_runs_began_later() {
    must_end(|| {
        let (process, clock) = driven();
        let sta = process.sta("sta").spawn().unwrap();
        let object = sta.create(|| ()).unwrap();
        let (held, next) = (hold(&object), Gate::new());
        let stop = next.stop();
        clock.advance(secs(1));
        object.post(move |()| stop.wait()).unwrap();
        object.post(|()| ()).unwrap();
        clock.advance(secs(4));
        held.open();
        next.met();
        let late = process.record(100);
        assert_eq!(times(&late, |what| matches!(what, What::Began { .. })), [secs(5)]);
        assert_eq!(times(&late, |what| matches!(what, What::Queued { .. })), [secs(1)]);
        next.open();
    });
}

#[test]
fn dg_2_a_call_of_a_thread_in_no_apartment_is_told_with_its_deadline_and_its_making_once() {
    play(|stage| {
        // Refuses the second, which is the first attempt of the call; the first makes the object.
        let filter = || {
            let asked = Cell::new(0);
            incoming(move |_| {
                asked.set(asked.get() + 1);
                if asked.get() == 2 { ServerCall::RetryLater } else { ServerCall::Handled }
            })
        };
        let a = stage.sta("a").filter(filter).spawn()?;
        let at_a = a.create(|| 7)?;
        stage.begin();
        let options = CallOptions::new().within(secs(5)).retry(|_: &RejectedCall| Retry::Now);
        assert_eq!(at_a.with(&options).call(|n| *n)?, 7);
        let (mut made, mut began) = (Vec::new(), Vec::new());
        for event in stage.events() {
            match event.what {
                What::CallMade(call) => made.push((call.from, call.deadline)),
                What::WaitBegan { on, until, .. } => began.push((on, until)),
                _ => {}
            }
        }
        let until = Some(secs(5));
        assert_eq!((made, began), (vec![(None, until)], vec![(WaitFor::Reply, until)]));
        assert_eq!(stage.count(a.apartment(), like!(Queued)), 2, "two attempts");
        Ok(())
    });
}
