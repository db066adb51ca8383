//! On the system's clock: since-whens come by its ticks, and so the calls of one tick all seem to have been made at once.
//! What is told in order is in order all the same, and what decides something is exact.

use crate::support::{join, must_end};
use apartment::{CancelAfter, MessageClass, Process, Reentrancy, What, current_call, register_filter};
use std::rc::Rc;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

#[test]
fn dg_1_of_the_waits_of_one_tick_the_outer_one_is_shown_first() {
    let process = Process::new();
    // In the other order than that in which they call.
    let [inner, middle, outer] = ["inner", "middle", "outer"].map(|name| process.sta(name).spawn().unwrap());
    let [at_inner, at_middle, at_outer] = [&inner, &middle, &outer].map(|sta| sta.create(|| ()).unwrap());
    let of = process.clone();
    let seen = at_outer.call(|()| at_middle.call(|()| at_inner.call(|()| of.snapshot()).unwrap()).unwrap()).unwrap();
    let whom: Vec<_> = seen.waits_for_whom().iter().map(|wait| wait.to.name.to_string()).collect();
    assert_eq!(whom, ["outer", "middle", "inner"]);
}

#[test]
fn dg_2_a_late_listener_hears_of_a_making_before_its_beginning() {
    let process = Process::new();
    // The callee is older: its prologue comes first, and tells of a call that its caller's has yet to tell of.
    let [callee, caller] = ["callee", "caller"].map(|name| process.sta(name).spawn().unwrap());
    let [at, from] = [&callee, &caller].map(|sta| sta.create(|| ()).unwrap());
    let of = process.clone();
    let inside = |()| (current_call().unwrap().id(), of.record(1_000));
    let (id, late) = from.call(|()| at.call(|&()| inside(())).unwrap()).unwrap();
    let events = late.events();
    let at = |is: fn(&What) -> bool| {
        events.iter().position(|event| event.call.is_some_and(|call| call.id == id) && is(&event.what)).unwrap()
    };
    assert!(at(|what| matches!(what, What::CallMade(_))) < at(|what| matches!(what, What::Began { .. })));
}

#[test]
fn dg_2_the_times_of_a_prologue_never_go_back() {
    let process = Process::new();
    let sta = process.sta("just made").spawn().unwrap();
    let object = sta.create(|| ()).unwrap();
    let of = process.clone();
    let late = object.call(|()| of.record(1_000)).unwrap();
    let times: Vec<_> = late.events().iter().map(|event| event.at).collect();
    assert!(times.is_sorted(), "{times:?}");
}

#[test]
fn dl_1_of_two_calls_of_one_tick_the_one_that_closes_the_ring_fails() {
    must_end(|| {
        let process = Process::new();
        let [a, b] = ["a", "b"].map(|name| process.sta(name).reentrancy(Reentrancy::None).spawn().unwrap());
        let [at_a, at_b] = [&a, &b].map(|sta| sta.create(|| ()).unwrap());
        let (is_in, comes_in) = channel();
        let (of, from_b, to_a) = (process.clone(), at_b.clone(), at_a.clone());
        let closes = thread::spawn(move || {
            from_b
                .call(move |()| {
                    is_in.send(()).unwrap();
                    let is_out = || {
                        of.snapshot()
                            .waits_for_whom()
                            .iter()
                            .any(|wait| wait.to.name.as_ref() == "b" && wait.from.is_some())
                    };
                    while !is_out() {
                        thread::yield_now();
                    }
                    to_a.call(|()| ()).is_err()
                })
                .unwrap()
        });
        comes_in.recv().unwrap();
        let older = at_a.call(move |()| at_b.call(|()| ()).is_err()).unwrap();
        assert!(!older, "the older one failed");
        assert!(join(closes), "the one that closed the ring did not fail");
    });
}

#[test]
fn mf_8_a_filter_is_told_of_no_more_time_than_has_passed() {
    const AFTER: Duration = Duration::from_millis(15);
    must_end(|| {
        let process = Process::new();
        let callee = process.sta("callee").spawn().unwrap();
        let object = callee.create(|| ()).unwrap();
        let here = process.sta("here").enter().unwrap();
        register_filter(Some(Rc::new(CancelAfter::new(AFTER)))).unwrap();
        here.apartment().post_message(MessageClass::Input, || ()).unwrap();
        let (end, ends) = channel::<()>();
        let made = Instant::now();
        let result = object.call_owned(move |()| ends.recv().is_err());
        assert!(made.elapsed() >= AFTER, "cancelled after {:?}", made.elapsed());
        result.unwrap_err();
        drop(end);
    });
}
