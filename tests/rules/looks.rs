//! What a look passes over, and what it takes along.

use crate::stage::{incoming, secs};
use crate::support::{join, must_end};
use apartment::{
    __private, Budget, CallKind, Clock, MessageClass, MessageFilter, Method, Process, Reentrancy, RejectedCall, Retry,
    ServerCall, Signal, dispatch, register_filter, wait_any,
};
use std::cell::Cell;
use std::rc::Rc;
use std::sync::mpsc::channel;
use std::thread;

static FOCUS: Method = Method::new("Looks", "focus", 0, CallKind::InputSynchronized);

#[test]
fn mb_7_who_is_behind_what_a_look_drops_is_still_served() {
    must_end(|| {
        let clock = Clock::driven();
        let process = Process::builder().clock(clock.clone()).build();
        let other = process.sta("other").spawn().unwrap();
        let sta = process.sta("full").capacity(2).reentrancy(Reentrancy::SameCausality).spawn().unwrap();
        let (from, at) = (other.create(|| ()).unwrap(), sta.create(|| ()).unwrap());
        let signal = Signal::manual();
        let (go, goes) = channel::<()>();
        let (made, is_made) = channel::<()>();
        let stranger = at.clone();
        let stranger = thread::spawn(move || {
            goes.recv().unwrap();
            let held = stranger.within(secs(10)).call_async(|()| ());
            made.send(()).unwrap();
            held
        });
        from.call(move |()| {
            let (tell, told) = channel();
            let (waits, begun) = (signal.clone(), tell.clone());
            let _waits = at.call_async(move |()| {
                begun.send("waits").unwrap();
                wait_any(&[&waits], None).unwrap();
            });
            assert_eq!(told.recv().unwrap(), "waits");
            // Of another chain: the wait passes over it.
            go.send(()).unwrap();
            is_made.recv().unwrap();
            let (stop, stops) = channel::<()>();
            let begun = tell.clone();
            let _stands = at.call_async(move |()| {
                begun.send("stands").unwrap();
                stops.recv().unwrap();
            });
            assert_eq!(told.recv().unwrap(), "stands");
            // It is full now, and the next look drops what is past its deadline, in front of this one.
            let _behind = at.call_async(move |()| tell.send("behind").unwrap());
            clock.advance(secs(10));
            stop.send(()).unwrap();
            assert_eq!(told.recv().unwrap(), "behind");
            signal.set();
        })
        .unwrap();
        drop(join(stranger));
    });
}

/// Takes itself off when it is asked about a rejected call, and does something as it goes.
struct GoesWith<F: FnOnce()>(Cell<Option<F>>);

impl<F: FnOnce() + 'static> MessageFilter for GoesWith<F> {
    fn retry_rejected(&self, _: &RejectedCall) -> Retry {
        register_filter(None).unwrap();
        Retry::Now
    }
}

impl<F: FnOnce()> Drop for GoesWith<F> {
    fn drop(&mut self) {
        self.0.take().into_iter().for_each(|last| last());
    }
}

#[test]
fn di_12_a_pump_between_two_attempts_holds_what_is_of_another_chain() {
    must_end(|| {
        let process = Process::new();
        let callee = process.sta("callee").spawn().unwrap();
        let object = callee.create(|| ()).unwrap();
        let third = process.sta("third").spawn().unwrap();
        let from = third.create(|| ()).unwrap();
        let here = Rc::new(process.sta("here").reentrancy(Reentrancy::SameCausality).enter().unwrap());
        let at_here = here.create(|| Cell::new(0)).unwrap();
        object
            .call(|()| {
                let first = Cell::new(true);
                let rejects_one = incoming(move |_| match first.replace(false) {
                    true => ServerCall::Rejected,
                    false => ServerCall::Handled,
                });
                register_filter(Some(Rc::new(rejects_one))).unwrap();
            })
            .unwrap();
        let (at, pumped, of) = (at_here.clone(), Rc::clone(&here), process.clone());
        let ran = Rc::new(Cell::new(None));
        let seen = Rc::clone(&ran);
        let pumps = move || {
            at.post(|count| count.set(count.get() + 1)).unwrap();
            let goes_first = at.clone();
            let caller = thread::spawn(move || {
                from.call(|()| __private::call(&goes_first, &FOCUS, |_: &Cell<i32>| ()).unwrap()).unwrap();
            });
            let both =
                || of.snapshot().apartments.iter().any(|it| it.name.name.as_ref() == "here" && it.entries.len() == 2);
            while !both() {
                thread::yield_now();
            }
            // The input-synchronized call comes in, the post behind it does not.
            pumped.pump();
            seen.set(Some(at.call(Cell::get).unwrap()));
            join(caller);
        };
        register_filter(Some(Rc::new(GoesWith(Cell::new(Some(pumps)))))).unwrap();
        object.call(|()| ()).unwrap();
        assert_eq!(ran.get(), Some(0), "a post ran that the policy holds");
        here.pump();
        assert_eq!(at_here.call(Cell::get).unwrap(), 1);
    });
}

#[test]
fn di_12_a_dispatch_in_a_callback_serves_the_message_that_the_wait_around_it_has_passed_over() {
    must_end(|| {
        let process = Process::new();
        let ui = process.sta("ui").enter().unwrap();
        let worker = process.sta("worker").spawn().unwrap();
        let (at_ui, job) = (ui.create(|| ()).unwrap(), worker.create(|| ()).unwrap());
        let (tell, told) = channel();
        ui.apartment().post_message(MessageClass::User, move || tell.send(()).unwrap()).unwrap();
        let served = job.call(|()| at_ui.call(|()| dispatch(Budget::ALL).unwrap().served).unwrap()).unwrap();
        assert_eq!((served, told.try_recv()), (1, Ok(())));
        ui.leave();
    });
}
