//! What an STA's thread has taken over from its queue all at once: it is still queued, for everybody, until it starts.
//!
//! That happens where a look finds more than one entry and nobody records: so each test fills an apartment that is held,
//! lets it go, and stops it in the first of what it has taken over. A look from outside, be it for how much is queued,
//! gives the rest back to the queue: so what a test is about comes before it.

use crate::stage::incoming;
use crate::support::{Gate, Log, hold, join, must_end};
use apartment::__private;
use apartment::{
    ApartmentSeen, AsyncOptions, CallError, CallKind, CallOptions, CallType, CancelHandle, Clock, EntryAt, Event,
    MailboxFull, MessageClass, Method, Outcome, PostOptions, Process, Proxy, Reentrancy, ServerCall, Sta, What,
    WhyDisconnected, discard_messages, is_cancelled, register_filter,
};
use std::rc::Rc;
use std::sync::mpsc::channel;
use std::thread::{self, JoinHandle};
use std::time::Duration;

static FOCUS: Method = Method::new("Batch", "focus", 0, CallKind::InputSynchronized);

/// The order in which entries run.
type Order = Log<u32>;

/// An STA that is filled, and then stands in the first of what was there.
struct Filled {
    /// Where it stands before it is filled.
    held: Gate,
    first: Gate,
}

impl Filled {
    /// It stands, and the first of what will be its batch is queued.
    fn begin<T: 'static>(object: &Proxy<T>) -> Self {
        let (held, first) = (hold(object), Gate::new());
        let stop = first.stop();
        object.post(move |_| stop.wait()).unwrap();
        Self { held, first }
    }

    /// It takes over what is queued, and stops in the first.
    fn take_over(self) -> Gate {
        self.held.open();
        self.first.met();
        self.first
    }
}

/// An STA that stands in the first of a batch, and `fill` has queued the rest.
fn batch<T: 'static>(object: &Proxy<T>, fill: impl FnOnce()) -> Gate {
    let filled = Filled::begin(object);
    fill();
    filled.take_over()
}

/// Posts what only says that it runs.
fn say<T: 'static>(object: &Proxy<T>, order: &Order, number: u32) {
    let order = order.clone();
    object.post(move |_| order.add(number)).unwrap();
}

/// Until that many are queued in an apartment that stands.
fn until_queued(sta: &Sta, many: usize) {
    while sta.apartment().queued() < many {
        thread::yield_now();
    }
}

/// A thread calls, and the call is the n-th that is queued.
fn calls<T: 'static>(
    sta: &Sta,
    nth: usize,
    object: &Proxy<T>,
    call: impl FnOnce(&Proxy<T>) -> Result<(), CallError> + Send + 'static,
) -> JoinHandle<Result<(), CallError>> {
    let object = object.clone();
    let caller = thread::spawn(move || call(&object));
    until_queued(sta, nth);
    caller
}

/// Everything that is queued there has run.
fn served<T: 'static>(object: &Proxy<T>) {
    object.with(&CallOptions::new().wait_for_room()).call(|_| ()).unwrap();
}

fn full(error: &CallError) -> &MailboxFull {
    match error {
        CallError::MailboxFull(full) => full,
        other => panic!("{other}"),
    }
}

fn driven() -> (Process, Clock) {
    let clock = Clock::driven();
    (Process::builder().clock(clock.clone()).build(), clock)
}

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn seen(process: &Process, sta: &Sta) -> ApartmentSeen {
    let found = process.snapshot().apartments.into_iter().find(|seen| seen.name.id == sta.apartment().id());
    found.expect("it is there")
}

// ---- MB-1, MB-2, MB-3: room

#[test]
fn mb_1_what_a_thread_has_taken_over_holds_its_room_until_it_starts() {
    must_end(|| {
        let sta = Process::new().sta("sta").capacity(4).spawn().unwrap();
        let (object, order) = (sta.create(|| ()).unwrap(), Order::new());
        let second = Gate::new();
        let stop = second.stop();
        let first = batch(&object, || {
            object.post(move |()| stop.wait()).unwrap();
            (3..=4).for_each(|n| say(&object, &order, n));
        });
        // The second to the fourth: there is room for one.
        say(&object, &order, 5);
        assert_eq!(full(object.post(|()| ()).unwrap_err().error()).queued, 4);
        assert_eq!(sta.apartment().queued(), 4);
        first.open();
        second.met();
        say(&object, &order, 6);
        assert_eq!(full(object.post(|()| ()).unwrap_err().error()).queued, 4);
        second.open();
        served(&object);
        assert_eq!(order.take(), [3, 4, 5, 6]);
        assert_eq!(sta.apartment().queued(), 0);
    });
}

#[test]
fn mb_1_the_room_of_what_has_started_is_free_though_its_thread_has_told_nobody() {
    must_end(|| {
        let sta = Process::new().sta("sta").capacity(4).spawn().unwrap();
        let (object, order) = (sta.create(|| ()).unwrap(), Order::new());
        let third = Gate::new();
        let stop = third.stop();
        let told = order.clone();
        let first = batch(&object, || {
            say(&object, &order, 2);
            object
                .post(move |()| {
                    told.add(3);
                    stop.wait();
                })
                .unwrap();
            say(&object, &order, 4);
        });
        first.open();
        third.met();
        // Two have started since anybody looked; the fourth alone has room.
        (5..=7).for_each(|n| say(&object, &order, n));
        assert_eq!(full(object.post(|()| ()).unwrap_err().error()).queued, 4);
        assert_eq!(sta.apartment().queued(), 4);
        third.open();
        served(&object);
        assert_eq!(order.take(), [2, 3, 4, 5, 6, 7]);
        assert_eq!(sta.apartment().queued(), 0, "each gave its room back once");
    });
}

#[test]
fn mb_2_the_diagnosis_knows_what_a_thread_runs_of_what_it_has_taken_over() {
    must_end(|| {
        let (process, clock) = driven();
        let sta = process.sta("sta").capacity(2).spawn().unwrap();
        let (object, other) = (sta.create(|| ()).unwrap(), sta.create(|| 7).unwrap());
        let second = Gate::new();
        let stop = second.stop();
        let first = batch(&object, || other.post(move |_| stop.wait()).unwrap());
        clock.advance(secs(3));
        first.open();
        second.met();
        (1..=2).for_each(|_| object.post(|()| ()).unwrap());
        clock.advance(secs(4));
        let error = object.call(|()| ()).unwrap_err();
        let told = full(&error);
        assert_eq!((told.queued, told.capacity, told.waiting), (2, 2, 0));
        let (target, since) = told.executing.expect("the second runs");
        assert_eq!((target.object, since, told.idle_for), (Some(other.object_id()), secs(4), secs(4)));
    });
}

#[test]
fn mb_3_who_waits_for_room_gets_it_from_what_starts_of_a_batch_and_comes_behind_it() {
    must_end(|| {
        let sta = Process::new().sta("sta").capacity(3).spawn().unwrap();
        let (object, order) = (sta.create(|| ()).unwrap(), Order::new());
        let second = Gate::new();
        let stop = second.stop();
        let first = batch(&object, || {
            object.post(move |()| stop.wait()).unwrap();
            say(&object, &order, 3);
        });
        say(&object, &order, 4);
        let (patient, told) = (object.clone(), order.clone());
        let waiter = thread::spawn(move || {
            patient.with(&PostOptions::new().wait_for_room()).post(move |()| told.add(5)).unwrap();
        });
        while full(object.post(|()| ()).unwrap_err().error()).waiting == 0 {
            thread::yield_now();
        }
        first.open();
        second.met();
        // The second has given it its room.
        join(waiter);
        assert_eq!(full(object.post(|()| ()).unwrap_err().error()).queued, 3);
        second.open();
        served(&object);
        assert_eq!(order.take(), [3, 4, 5]);
    });
}

#[test]
fn mb_3_while_several_wait_for_room_each_that_starts_gives_its_own_to_the_next() {
    must_end(|| {
        let sta = Process::new().sta("sta").capacity(3).spawn().unwrap();
        let object = sta.create(|| ()).unwrap();
        let [second, third] = [Gate::new(), Gate::new()];
        let filled = Filled::begin(&object);
        for gate in [&second, &third] {
            let stop = gate.stop();
            object.post(move |()| stop.wait()).unwrap();
        }
        let patient = AsyncOptions::new().wait_for_room();
        let calls: Vec<_> = (0..3).map(|n| object.with(&patient).call_async(move |()| n)).collect();
        // Two are left in the line, so nothing is taken over.
        let first = filled.take_over();
        first.open();
        second.met();
        let refused = object.post(|()| ()).unwrap_err();
        let told = full(refused.error());
        assert_eq!((told.queued, told.waiting), (3, 1));
        second.open();
        third.met();
        let refused = object.post(|()| ()).unwrap_err();
        let told = full(refused.error());
        assert_eq!((told.queued, told.waiting), (3, 0));
        third.open();
        for (n, call) in calls.into_iter().enumerate() {
            assert_eq!(pollster::block_on(call).unwrap(), n);
        }
    });
}

// ---- MB-6, CK-3, DI-9, DI-12, LT-1: order

#[test]
fn mb_6_one_sender_s_order_is_kept_over_what_is_taken_over_and_given_back() {
    must_end(|| {
        let sta = Process::new().sta("sta").spawn().unwrap();
        let (object, order) = (sta.create(|| ()).unwrap(), Order::new());
        // How many are taken over, and how many come behind them: the longer part, and the shorter one, is moved.
        for (taken, behind) in [(1, 5), (5, 1), (3, 3)] {
            let mut number = 0..;
            let mut says = |many: usize| number.by_ref().take(many).for_each(|n| say(&object, &order, n));
            let first = batch(&object, || says(taken));
            says(behind);
            assert_eq!(sta.apartment().queued(), taken + behind, "a look gives it back");
            says(2);
            // What is queued now is taken over anew.
            first.open();
            says(2);
            served(&object);
            assert!(order.take().into_iter().eq(0..taken as u32 + behind as u32 + 4), "{taken} and {behind}");
        }
    });
}

#[test]
fn ck_3_an_input_synchronized_call_overtakes_what_a_thread_has_taken_over() {
    must_end(|| {
        let process = Process::new();
        let [a, b, c] = ["a", "b", "c"].map(|name| process.sta(name).spawn().unwrap());
        let (object, order) = (a.create(|| ()).unwrap(), Order::new());
        let (at_b, at_c) = (b.create(|| ()).unwrap(), c.create(|| ()).unwrap());
        let first = batch(&object, || (1..=2).for_each(|n| say(&object, &order, n)));
        say(&object, &order, 3);
        let (begins, has_begun) = channel();
        let caller = thread::spawn({
            let (object, at_b, told) = (object.clone(), at_b.clone(), order.clone());
            move || {
                at_b.call(|()| {
                    begins.send(()).unwrap();
                    __private::call(&object, &FOCUS, |()| told.add(4))
                })
            }
        });
        has_begun.recv().unwrap();
        // Served in b's wait: its own call is queued by then, and nobody has looked.
        at_c.call(|()| __private::call(&at_b, &FOCUS, |()| ())).unwrap().unwrap();
        first.open();
        join(caller).unwrap().unwrap();
        served(&object);
        assert_eq!(order.take(), [4, 1, 2, 3]);
    });
}

#[test]
fn di_9_what_a_thread_has_taken_over_is_served_in_a_wait_of_what_runs_of_it() {
    must_end(|| {
        let process = Process::new();
        let (sta, b) = (process.sta("a").spawn().unwrap(), process.sta("b").spawn().unwrap());
        let (object, at_b, order) = (sta.create(|| ()).unwrap(), b.create(|| ()).unwrap(), Order::new());
        let (gate, held) = (Gate::new(), hold(&object));
        let (stop, told) = (gate.stop(), order.clone());
        object
            .post(move |()| {
                told.add(1);
                at_b.call(|()| stop.wait()).unwrap();
                told.add(4);
            })
            .unwrap();
        say(&object, &order, 2);
        let told = order.clone();
        // Without it the first would not end.
        object
            .post(move |()| {
                told.add(3);
                gate.open();
            })
            .unwrap();
        held.open();
        drop(sta);
        assert_eq!(order.take(), [1, 2, 3, 4]);
    });
}

#[test]
fn di_12_what_a_thread_has_taken_over_is_held_by_the_policy_and_runs_afterwards_in_its_order() {
    must_end(|| {
        for policy in [Reentrancy::SameCausality, Reentrancy::None] {
            let process = Process::new();
            let sta = process.sta("a").reentrancy(policy).spawn().unwrap();
            let b = process.sta("b").spawn().unwrap();
            let (object, at_b, order) = (sta.create(|| ()).unwrap(), b.create(|| ()).unwrap(), Order::new());
            let (held, told, back) = (hold(&object), order.clone(), object.clone());
            object
                .post(move |()| {
                    told.add(1);
                    let calls_back = policy == Reentrancy::SameCausality;
                    at_b.call(|()| {
                        say(&back, &told, 5);
                        if calls_back {
                            back.call(|()| told.add(2)).unwrap();
                        } else {
                            told.add(2);
                        }
                    })
                    .unwrap();
                })
                .unwrap();
            say(&object, &order, 3);
            say(&object, &order, 4);
            held.open();
            // Behind the post of the other apartment, which comes while the first runs.
            served(&object);
            while sta.apartment().queued() > 0 {
                thread::yield_now();
            }
            served(&object);
            assert_eq!(order.take(), [1, 2, 3, 4, 5], "{policy:?}");
        }
    });
}

#[test]
fn lt_1_a_release_is_served_before_the_rest_of_what_a_thread_has_taken_over() {
    struct Tells(Order);
    impl Drop for Tells {
        fn drop(&mut self) {
            self.0.add(0);
        }
    }
    must_end(|| {
        let sta = Process::new().sta("sta").spawn().unwrap();
        let (object, order) = (sta.create(|| ()).unwrap(), Order::new());
        let told = order.clone();
        let released = sta.create(move || Tells(told)).unwrap();
        let first = batch(&object, || (1..=2).for_each(|n| say(&object, &order, n)));
        drop(released);
        first.open();
        served(&object);
        assert_eq!(order.take(), [0, 1, 2]);
    });
}

#[test]
fn di_3_what_comes_while_a_thread_works_off_what_it_has_taken_over_is_not_forgotten() {
    must_end(|| {
        let sta = Process::new().sta("sta").spawn().unwrap();
        let (object, order) = (sta.create(|| ()).unwrap(), Order::new());
        for _ in 0..50 {
            let first = batch(&object, || (1..=2).for_each(|n| say(&object, &order, n)));
            let (ran, has_run) = channel();
            object.post(move |()| ran.send(()).unwrap()).unwrap();
            first.open();
            // Nobody else comes, and nobody looks.
            has_run.recv().unwrap();
            assert_eq!(order.take(), [1, 2]);
        }
    });
}

// ---- MB-7, CA-2, CK-7: taken back

#[test]
fn mb_7_a_cancelled_call_that_a_thread_has_taken_over_leaves_at_once_and_its_room_with_it() {
    must_end(|| {
        let sta = Process::new().sta("sta").capacity(3).spawn().unwrap();
        let (object, order) = (sta.create(|| ()).unwrap(), Order::new());
        let cancel = CancelHandle::new();
        let filled = Filled::begin(&object);
        let own = cancel.clone();
        let caller = calls(&sta, 2, &object, move |object| {
            object.with(&CallOptions::new().cancel(&own)).call(|()| unreachable!("it was taken back"))
        });
        say(&object, &order, 1);
        let first = filled.take_over();
        say(&object, &order, 2);
        cancel.cancel();
        let error = join(caller).unwrap_err();
        assert_eq!((error.hresult(), error.outcome()), (0x8001_0002, Outcome::NotStarted));
        assert_eq!(sta.apartment().queued(), 2);
        say(&object, &order, 3);
        assert_eq!(full(object.post(|()| ()).unwrap_err().error()).queued, 3);
        first.open();
        served(&object);
        assert_eq!(order.take(), [1, 2, 3]);
    });
}

#[test]
fn mb_7_a_timed_out_call_that_a_thread_has_taken_over_leaves_at_once() {
    must_end(|| {
        let (process, clock) = driven();
        let sta = process.sta("sta").capacity(3).spawn().unwrap();
        let (object, order) = (sta.create(|| ()).unwrap(), Order::new());
        let filled = Filled::begin(&object);
        let caller = calls(&sta, 2, &object, |object| object.within(secs(1)).call(|()| unreachable!("it is too late")));
        say(&object, &order, 1);
        let first = filled.take_over();
        clock.advance(secs(1));
        let error = join(caller).unwrap_err();
        assert!(matches!(error, CallError::TimedOut { outcome: Outcome::NotStarted }), "{error}");
        assert_eq!(sta.apartment().queued(), 1);
        first.open();
        served(&object);
        assert_eq!(order.take(), [1]);
    });
}

#[test]
fn ca_2_a_call_that_runs_of_what_a_thread_has_taken_over_is_asked_and_waited_for() {
    must_end(|| {
        let sta = Process::new().sta("sta").spawn().unwrap();
        let (object, order) = (sta.create(|| ()).unwrap(), Order::new());
        let (cancel, gate) = (CancelHandle::new(), Gate::new());
        let filled = Filled::begin(&object);
        let (own, stop, told) = (cancel.clone(), gate.stop(), order.clone());
        let caller = calls(&sta, 2, &object, move |object| {
            object.with(&CallOptions::new().cancel(&own)).call(|()| {
                stop.wait();
                told.add(is_cancelled().into());
            })
        });
        say(&object, &order, 2);
        filled.take_over().open();
        gate.met();
        cancel.cancel();
        assert!(!caller.is_finished());
        gate.open();
        let error = join(caller).unwrap_err();
        assert_eq!((error.hresult(), error.outcome()), (0x8001_0002, Outcome::MayHaveRun));
        served(&object);
        assert_eq!(order.take(), [1, 2]);
    });
}

#[test]
fn ck_7_a_future_that_is_dropped_takes_its_call_back_from_what_a_thread_has_taken_over() {
    must_end(|| {
        let sta = Process::new().sta("sta").capacity(3).spawn().unwrap();
        let (object, order) = (sta.create(|| ()).unwrap(), Order::new());
        let mut call = None;
        let first = batch(&object, || {
            call = Some(object.call_async(|()| unreachable!("it was taken back")));
            say(&object, &order, 1);
        });
        drop(call);
        assert_eq!(sta.apartment().queued(), 1);
        first.open();
        served(&object);
        assert_eq!(order.take(), [1]);
    });
}

// ---- LT-2, LT-5, MF-10: answered, or dropped

#[test]
fn lt_2_quit_drops_the_messages_that_a_thread_has_taken_over_and_serves_the_rest() {
    must_end(|| {
        let sta = Process::new().sta("sta").spawn().unwrap();
        let (object, order) = (sta.create(|| ()).unwrap(), Order::new());
        let filled = Filled::begin(&object);
        let told = order.clone();
        sta.apartment().post_message(MessageClass::User, move || told.add(9)).unwrap();
        say(&object, &order, 1);
        let told = order.clone();
        let caller = calls(&sta, 4, &object, move |object| object.call(|()| told.add(2)));
        let first = filled.take_over();
        sta.quit();
        let error = object.call(|()| ()).unwrap_err();
        assert!(matches!(&error, CallError::Disconnected(it) if it.why == WhyDisconnected::Quitting), "{error}");
        first.open();
        join(caller).unwrap();
        sta.join().unwrap();
        assert_eq!(order.take(), [1, 2]);
    });
}

#[test]
fn lt_2_quit_drops_the_messages_that_stand_behind_what_is_started_next() {
    must_end(|| {
        let sta = Process::new().sta("sta").spawn().unwrap();
        let (object, order) = (sta.create(|| ()).unwrap(), Order::new());
        let held = hold(&object);
        say(&object, &order, 1);
        let told = order.clone();
        sta.apartment().post_message(MessageClass::User, move || told.add(9)).unwrap();
        say(&object, &order, 2);
        sta.quit();
        held.open();
        sta.join().unwrap();
        assert_eq!(order.take(), [1, 2]);
    });
}

#[test]
fn lt_5_calls_that_a_thread_has_taken_over_are_answered_when_their_object_is_disconnected() {
    must_end(|| {
        let sta = Process::new().sta("sta").capacity(4).spawn().unwrap();
        let (object, other, order) = (sta.create(|| ()).unwrap(), sta.create(|| 7).unwrap(), Order::new());
        let filled = Filled::begin(&object);
        let caller = calls(&sta, 2, &other, |other| other.call(|_| unreachable!("it is disconnected")));
        say(&other, &order, 9);
        say(&object, &order, 1);
        let first = filled.take_over();
        other.disconnect().unwrap();
        let error = join(caller).unwrap_err();
        assert!(matches!(&error, CallError::Disconnected(it) if it.why == WhyDisconnected::ObjectGone), "{error}");
        assert_eq!(sta.apartment().queued(), 2, "the call's room is free, and the post keeps its place");
        first.open();
        served(&object);
        assert_eq!(order.take(), [1]);
    });
}

#[test]
fn lt_8_what_a_thread_has_taken_over_is_answered_when_its_process_ends_without_it() {
    must_end(|| {
        let process = Process::new();
        let sta = process.sta("sta").spawn().unwrap();
        let (object, order) = (sta.create(|| ()).unwrap(), Order::new());
        let filled = Filled::begin(&object);
        let caller = calls(&sta, 2, &object, |object| object.call(|()| unreachable!("it is cut off")));
        say(&object, &order, 1);
        let first = filled.take_over();
        assert_eq!(process.end(Duration::ZERO).unwrap().still_in.len(), 1);
        let error = join(caller).unwrap_err();
        assert_eq!((error.hresult(), error.outcome()), (0x8001_0108, Outcome::NotStarted));
        assert_eq!(sta.apartment().queued(), 0);
        first.open();
        while !process.snapshot().apartments.is_empty() {
            thread::yield_now();
        }
        assert!(order.take().is_empty(), "the post was dropped");
    });
}

#[test]
fn mf_10_messages_that_a_thread_has_taken_over_are_discarded() {
    must_end(|| {
        let sta = Process::new().sta("sta").spawn().unwrap();
        let (object, order) = (sta.create(|| ()).unwrap(), Order::new());
        let held = hold(&object);
        let told = order.clone();
        object.post(move |()| told.add(discard_messages(MessageClass::Input).unwrap() as u32)).unwrap();
        for class in [MessageClass::Input, MessageClass::Paint, MessageClass::Input] {
            let told = order.clone();
            let run = move || told.add(if class == MessageClass::Input { 9 } else { 10 });
            sta.apartment().post_message(class, run).unwrap();
        }
        held.open();
        served(&object);
        assert_eq!(order.take(), [2, 10]);
    });
}

// ---- MF-2: filters

#[test]
fn mf_2_a_filter_that_is_set_by_what_runs_of_a_batch_is_asked_about_the_rest() {
    must_end(|| {
        let sta = Process::new().sta("sta").spawn().unwrap();
        let (object, other, order) = (sta.create(|| ()).unwrap(), sta.create(|| 7).unwrap(), Order::new());
        let held = hold(&object);
        let (told, refuses) = (order.clone(), other.object_id());
        object
            .post(move |()| {
                let filter = incoming(move |call| {
                    assert_eq!(
                        (call.call_type, call.elapsed),
                        (if call.kind.is_one_way() { CallType::Async } else { CallType::TopLevel }, None)
                    );
                    told.add(10);
                    if call.target.object == Some(refuses) { ServerCall::Rejected } else { ServerCall::Handled }
                });
                register_filter(Some(Rc::new(filter))).unwrap();
            })
            .unwrap();
        say(&object, &order, 1);
        let caller = calls(&sta, 3, &other, |other| other.call(|_| unreachable!("it is refused")));
        say(&object, &order, 2);
        held.open();
        let error = join(caller).unwrap_err();
        assert_eq!((error.hresult(), error.outcome()), (0x8001_0001, Outcome::NotStarted));
        served(&object);
        assert_eq!(order.take(), [10, 1, 10, 10, 2, 10]);
    });
}

#[test]
fn mf_2_a_filter_that_is_removed_is_asked_no_more_about_what_comes_all_at_once() {
    must_end(|| {
        let order = Order::new();
        let told = order.clone();
        let filter = move || {
            let told = told.clone();
            incoming(move |_| {
                told.add(10);
                ServerCall::Handled
            })
        };
        let sta = Process::new().sta("sta").filter(filter).spawn().unwrap();
        let object = sta.create(|| ()).unwrap();
        let held = hold(&object);
        order.take();
        object.post(|()| drop(register_filter(None).unwrap())).unwrap();
        (1..=3).for_each(|n| say(&object, &order, n));
        held.open();
        served(&object);
        assert_eq!(order.take(), [10, 1, 2, 3]);
    });
}

// ---- DG-1, DG-2: seen from outside

#[test]
fn dg_1_a_snapshot_shows_what_a_thread_has_taken_over_as_queued_and_what_it_runs_of_it() {
    must_end(|| {
        let (process, clock) = driven();
        let sta = process.sta("sta").capacity(5).spawn().unwrap();
        let (object, other) = (sta.create(|| ()).unwrap(), sta.create(|| 7).unwrap());
        let second = Gate::new();
        let stop = second.stop();
        let filled = Filled::begin(&object);
        other.post(move |_| stop.wait()).unwrap();
        let caller = calls(&sta, 3, &other, |other| other.call(|_| ()));
        object.post(|()| ()).unwrap();
        let first = filled.take_over();
        clock.advance(secs(2));
        first.open();
        second.met();
        clock.advance(secs(3));
        object.post(|()| ()).unwrap();
        let seen = seen(&process, &sta);
        let [runs] = &seen.executing[..] else { panic!("{seen:?}") };
        assert_eq!((runs.target.object, runs.since), (Some(other.object_id()), secs(2)));
        assert_eq!((seen.queued, seen.last_dispatch), (3, secs(2)));
        let entries: Vec<_> = seen.entries.iter().map(|it| (it.target.object, it.kind, it.since, it.at)).collect();
        let (object_id, other_id, at) = (Some(object.object_id()), Some(other.object_id()), EntryAt::Room);
        let expected = [
            (other_id, CallKind::Synchronous, secs(0), at),
            (object_id, CallKind::OneWay, secs(0), at),
            (object_id, CallKind::OneWay, secs(5), at),
        ];
        assert_eq!(entries, expected);
        assert_eq!(process.snapshot().waits_for_whom().len(), 1, "the caller waits");
        second.open();
        join(caller).unwrap();
    });
}

#[test]
fn dg_2_who_comes_while_a_thread_works_off_what_it_has_taken_over_is_told_of_the_rest() {
    must_end(|| {
        let process = Process::new();
        let sta = process.sta("sta").spawn().unwrap();
        let (object, order) = (sta.create(|| ()).unwrap(), Order::new());
        let second = Gate::new();
        let stop = second.stop();
        let first = batch(&object, || {
            object.post(move |()| stop.wait()).unwrap();
            (3..=4).for_each(|n| say(&object, &order, n));
        });
        first.open();
        second.met();
        say(&object, &order, 5);
        let recording = process.record(1_000);
        let steps = |events: &[Event]| {
            let here = Some(sta.apartment().id());
            let step = |event: &Event| match event.what {
                What::Queued { queued, .. } => Some(("queued", queued, event.call)),
                What::Began { queued, .. } => Some(("began", queued, event.call)),
                What::Ended { .. } => Some(("ended", 0, event.call)),
                _ => None,
            };
            let calls: Vec<_> = events.iter().filter(|event| event.apartment == here).filter_map(step).collect();
            calls
        };
        let told: Vec<_> = steps(&recording.events()).into_iter().map(|(what, queued, _)| (what, queued)).collect();
        // The second runs, and three are queued.
        assert_eq!(told, [("began", 3), ("queued", 1), ("queued", 2), ("queued", 3)]);
        second.open();
        served(&object);
        let mut ended = 0;
        recording.until(|event| {
            ended += usize::from(matches!(event.what, What::Ended { .. }));
            ended == 5
        });
        assert_eq!(order.take(), [3, 4, 5]);
        let all = steps(&recording.events());
        for (_, _, call) in all.iter().filter(|(what, ..)| *what == "queued") {
            let of: Vec<_> = all.iter().filter(|(.., other)| other == call).map(|(what, ..)| *what).collect();
            assert_eq!(of, ["queued", "began", "ended"]);
        }
        let began = all.iter().filter(|(what, ..)| *what == "began").map(|(.., call)| call.expect("a call").id);
        let began: Vec<_> = began.collect();
        assert!(began.len() == 5 && began.is_sorted(), "each once, in the order in which they came: {all:?}");
    });
}
