//! What waits serve and how they end where several rules meet: the pool, the policies, room, deadlines, direct calls.

use crate::support::{Gate, at, count, hold, join, must_end, nth, recorded};
use apartment::{
    AsyncOptions, Awaited, CallError, CallKind, CallOptions, CancelHandle, Clock, Entered, Event, IncomingCall,
    MessageClass, MessageFilter, Outcome, PostOptions, Process, Proxy, Reentrancy, RejectedCall, Retry, ServerCall,
    Serves, WaitEnd, WaitFor, Waiter, What, current_call, is_cancelled, register_filter,
};
use std::cell::{Cell, RefCell};
use std::pin::pin;
use std::rc::{Rc, Weak};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::task::Context;
use std::thread;
use std::time::Duration;

const MAILBOX_FULL: u32 = 0x8001_0100;
const TIMED_OUT: u32 = 0x8001_011F;
const DISCONNECTED: u32 = 0x8001_0108;

/// Says something when it is dropped.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// Lets creations in and puts all calls off.
struct Later;

impl MessageFilter for Later {
    fn handle_incoming(&self, call: &IncomingCall) -> ServerCall {
        if call.kind == CallKind::Create { ServerCall::Handled } else { ServerCall::RetryLater }
    }
}

/// The same, but a call only once.
struct Once(Cell<bool>);

impl MessageFilter for Once {
    fn handle_incoming(&self, call: &IncomingCall) -> ServerCall {
        let comes_again = call.kind == CallKind::Create || self.0.replace(true);
        if comes_again { ServerCall::Handled } else { ServerCall::RetryLater }
    }
}

fn queued(what: &What) -> bool {
    matches!(what, What::Queued { .. })
}

fn number<T>(result: Result<T, CallError>) -> Option<u32> {
    result.err().map(|error| error.hresult())
}

// ---- The pool

#[test]
fn di_7_the_pool_grows_for_a_release_that_waits_while_its_threads_are_blocked() {
    must_end(|| {
        let process = Process::new();
        let mta = process.mta().threads(1).max_threads(4).spawn().unwrap();
        let (sta, caller) = (process.sta("sta").spawn().unwrap(), process.sta("caller").spawn().unwrap());
        let (at_sta, at_caller) = (sta.create(|| ()).unwrap(), caller.create(|| ()).unwrap());
        let object = mta.create(|| ()).unwrap();
        let (gone, goes) = channel::<()>();
        let (gone, goes) = (Mutex::new(gone), Mutex::new(goes));
        let victim = mta.create(|| OnDrop(move || gone.lock().unwrap().send(()).unwrap())).unwrap();
        let elsewhere = process.sta("elsewhere").spawn().unwrap();
        let at_elsewhere = elsewhere.create(|| ()).unwrap();
        // The pool's only thread waits for the STA, and that for the destructor.
        at_caller
            .call(move |()| {
                object.call(|()| {
                    at_elsewhere.post(move |()| drop(victim)).unwrap();
                    at_sta.call(|()| goes.lock().unwrap().recv().unwrap()).unwrap();
                })
            })
            .unwrap()
            .unwrap();
    });
}

#[test]
fn lt_1_a_reference_dropped_on_a_pool_thread_that_then_blocks_releases_its_object() {
    must_end(|| {
        let process = Process::new();
        let mta = process.mta().threads(1).max_threads(4).spawn().unwrap();
        let (sta, caller) = (process.sta("sta").spawn().unwrap(), process.sta("caller").spawn().unwrap());
        let (at_sta, at_caller) = (sta.create(|| ()).unwrap(), caller.create(|| ()).unwrap());
        let object = mta.create(|| ()).unwrap();
        let (gone, goes) = channel::<()>();
        let (gone, goes) = (Mutex::new(gone), Mutex::new(goes));
        let victim = mta.create(|| OnDrop(move || gone.lock().unwrap().send(()).unwrap())).unwrap();
        at_caller
            .call(move |()| {
                object.call(move |()| {
                    drop(victim);
                    at_sta.call(move |()| goes.lock().unwrap().recv().unwrap()).unwrap();
                })
            })
            .unwrap()
            .unwrap();
    });
}

#[test]
fn di_14_a_thread_that_blocks_in_a_policy_of_a_call_it_has_out_counts_once() {
    must_end(|| {
        let (process, recording) = recorded();
        let mta = process.mta().threads(1).max_threads(4).spawn().unwrap();
        let busy = process.sta("busy").filter(|| Later).spawn().unwrap();
        let log = process.sta("log").capacity(1).spawn().unwrap();
        let (at_busy, at_log) = (busy.create(|| ()).unwrap(), log.create(|| ()).unwrap());
        let held = hold(&at_log);
        at_log.post(|()| ()).unwrap();
        let callers = ["one", "two"].map(|name| process.sta(name).spawn().unwrap());
        let [one, two] = callers.each_ref().map(|caller| caller.create(|| ()).unwrap());
        let object = mta.create(|| ()).unwrap();
        let again = object.clone();
        let first = thread::spawn(move || {
            one.call(move |()| {
                object.call(|()| {
                    let options = CallOptions::new().retry(|_: &RejectedCall| {
                        at_log.with(&PostOptions::new().wait_for_room()).post(|()| ()).unwrap();
                        Retry::GiveUp
                    });
                    number(at_busy.with(&options).call(|()| ()))
                })
            })
        });
        recording.until(|event| matches!(event.what, What::WaitBegan { on: WaitFor::Room, .. }));
        // Another thread of the pool serves this meanwhile.
        assert_eq!(two.call(move |()| again.call(|()| 7)).unwrap().unwrap(), 7);
        held.open();
        assert_eq!(join(first).unwrap().unwrap(), Some(0x8001_0001));
    });
}

/// The pool's threads, and how many of them are blocked.
fn pool(process: &Process) -> (usize, usize) {
    let pool = process.snapshot().apartments.into_iter().find_map(|seen| seen.pool).unwrap();
    (pool.threads, pool.blocked)
}

#[test]
fn di_14_a_thread_whose_policy_waits_for_room_is_blocked_once() {
    must_end(|| {
        let (process, recording) = recorded();
        let mta = process.mta().threads(1).spawn().unwrap();
        let busy = process.sta("busy").filter(|| Later).spawn().unwrap();
        let full = process.sta("full").capacity(1).spawn().unwrap();
        let (at_busy, at_full) = (busy.create(|| ()).unwrap(), full.create(|| ()).unwrap());
        let object = mta.create(|| ()).unwrap();
        let held = hold(&at_full);
        at_full.post(|()| ()).unwrap();
        let (tell, told) = channel();
        let observed = process.clone();
        object
            .post(move |()| {
                let options = CallOptions::new().retry(|_: &RejectedCall| {
                    at_full.with(&PostOptions::new().wait_for_room()).post(|()| ()).unwrap();
                    Retry::GiveUp
                });
                assert_eq!(number(at_busy.with(&options).call(|()| ())), Some(0x8001_0001));
                tell.send(pool(&observed)).unwrap();
            })
            .unwrap();
        recording.until(|event| matches!(event.what, What::WaitBegan { on: WaitFor::Room, .. }));
        assert_eq!(pool(&process), (1, 1));
        held.open();
        assert_eq!(told.recv().unwrap(), (1, 0));
    });
}

#[test]
fn di_14_a_thread_that_rings_a_future_which_calls_is_blocked_once() {
    /// Does it when a future is woken.
    struct Wakes<F>(F);
    impl<F: Fn() + Send + Sync> std::task::Wake for Wakes<F> {
        fn wake(self: Arc<Self>) {
            (self.0)();
        }
    }
    must_end(|| {
        let process = Process::builder().clock(Clock::driven()).build();
        let mta = process.mta().threads(1).spawn().unwrap();
        let full = process.sta("full").capacity(1).spawn().unwrap();
        let other = process.sta("other").spawn().unwrap();
        let (at_full, at_other) = (full.create(|| ()).unwrap(), other.create(|| ()).unwrap());
        let object = mta.create(|| ()).unwrap();
        let held = hold(&at_full);
        let (tell, told) = channel();
        let (tell, observed) = (Mutex::new(tell), process.clone());
        let waker = Arc::new(Wakes(move || {
            let seen = at_other.call(|()| pool(&observed)).unwrap();
            tell.lock().unwrap().send(seen).unwrap();
        }));
        let options = AsyncOptions::new().within(Duration::from_secs(5));
        let mut future = pin!(at_full.with(&options).call_async(|()| ()));
        assert!(future.as_mut().poll(&mut Context::from_waker(&waker.into())).is_pending());
        process.clock().advance(Duration::from_secs(5));
        // A thread of the pool finds the mailbox full of what will not run any more, and so rings whose it was.
        let again = at_full.clone();
        object.post(move |()| again.call(|()| ()).unwrap()).unwrap();
        assert_eq!(told.recv().unwrap(), (1, 1));
        held.open();
    });
}

#[test]
fn di_14_a_thread_that_waits_for_room_inside_a_wait_for_room_is_blocked_once() {
    /// Drops another of its kind while it is dropped, and posts.
    struct Nested(Option<Proxy<Nested>>, Proxy<()>);
    impl Drop for Nested {
        fn drop(&mut self) {
            drop(self.0.take());
            self.1.with(&PostOptions::new().wait_for_room()).post(|()| ()).unwrap();
        }
    }
    must_end(|| {
        let (process, recording) = recorded();
        let mta = process.mta().threads(1).spawn().unwrap();
        let full = process.sta("full").capacity(1).spawn().unwrap();
        let at_full = full.create(|| ()).unwrap();
        let object = mta.create(|| ()).unwrap();
        let inner = process.free_threaded(Nested(None, at_full.clone())).unwrap();
        let outer = process.free_threaded(Nested(Some(inner), at_full.clone())).unwrap();
        let held = hold(&at_full);
        at_full.post(|()| ()).unwrap();
        let (tell, told) = channel();
        object
            .post(move |()| {
                drop(outer);
                tell.send(()).unwrap();
            })
            .unwrap();
        recording.until(nth(2, |event| matches!(event.what, What::WaitBegan { on: WaitFor::Room, .. })));
        assert_eq!(pool(&process), (1, 1));
        held.open();
        told.recv().unwrap();
        assert_eq!(pool(&process), (1, 0));
    });
}

#[test]
fn wa_3_joins_inside_served_calls_of_the_pool_and_of_an_sta_end() {
    must_end(|| {
        let process = Process::new();
        let mta = process.mta().threads(1).max_threads(3).spawn().unwrap();
        let [a, b, c] = ["a", "b", "c"].map(|name| process.sta(name).spawn().unwrap());
        let (at_mta, at_a) = (mta.create(|| ()).unwrap(), a.create(|| ()).unwrap());
        let (at_b, at_c) = (b.create(|| ()).unwrap(), c.create(|| ()).unwrap());
        // A thread of the pool joins an apartment whose work needs the pool.
        let needs = at_mta.clone();
        at_b.post(move |()| needs.call(|()| ()).unwrap()).unwrap();
        at_a.call(|()| at_mta.call(move |()| drop(b)).unwrap()).unwrap();
        // An STA joins one whose work needs it.
        let needs = at_a.clone();
        at_c.post(move |()| needs.call(|()| ()).unwrap()).unwrap();
        at_a.call(move |()| drop(c)).unwrap();
        // And it drops the MTA, whose work needs it.
        let needs = at_a.clone();
        at_a.call(|()| {
            at_mta.post(move |()| needs.call(|()| ()).unwrap()).unwrap();
            drop(mta);
        })
        .unwrap();
        assert_eq!(number(at_mta.call(|()| ())), Some(DISCONNECTED));
    });
}

#[test]
fn lt_2_an_mta_asked_to_quit_by_what_its_thread_waits_for_lets_the_callback_in() {
    must_end(|| {
        let process = Process::new();
        for _ in 0..10 {
            let mta = process.mta().threads(1).max_threads(8).spawn().unwrap();
            let (sta, caller) = (process.sta("sta").spawn().unwrap(), process.sta("caller").spawn().unwrap());
            let (at_sta, at_caller) = (sta.create(|| ()).unwrap(), caller.create(|| ()).unwrap());
            let (object, apartment) = (mta.create(|| ()).unwrap(), mta.apartment());
            at_caller
                .call(|()| {
                    object.call(|()| {
                        at_sta.call(|()| {
                            apartment.quit();
                            object.call(|()| ()).unwrap();
                        })
                    })
                })
                .unwrap()
                .unwrap()
                .unwrap();
            drop(mta);
            assert_eq!(number(object.call(|()| ())), Some(DISCONNECTED));
        }
    });
}

// ---- The policies

#[test]
fn di_12_with_no_call_out_and_none_served_everything_comes_in_whatever_the_policy() {
    must_end(|| {
        for policy in [Reentrancy::Classic, Reentrancy::SameCausality] {
            let process = Process::new();
            let ui = Rc::new(process.sta("ui").reentrancy(policy).enter().unwrap());
            let object = ui.create(|| Cell::new(0)).unwrap();
            let weak = Rc::downgrade(&ui);
            let home = ui.create(move || (weak, Cell::new(None))).unwrap();
            // Pumped in an application message.
            let pumps = home.clone();
            let message = move || {
                let (weak, pumped): &(Weak<Entered>, _) = &pumps.local().unwrap();
                pumped.set(Some(weak.upgrade().unwrap().pump()));
            };
            ui.apartment().post_message(MessageClass::User, message).unwrap();
            object.post(|n| n.set(1)).unwrap();
            ui.pump();
            assert_eq!(home.call(|(_, pumped)| pumped.get()).unwrap(), Some(1), "{policy:?}");
        }
    });
}

#[test]
fn wa_3_an_apartment_of_same_causality_joins_one_whose_work_needs_it() {
    must_end(|| {
        let process = Process::new();
        let ui = process.sta("ui").reentrancy(Reentrancy::SameCausality).enter().unwrap();
        let object = ui.create(|| Cell::new(0)).unwrap();
        let worker = process.sta("worker").spawn().unwrap();
        let needs = object.clone();
        worker.create(|| ()).unwrap().post(move |()| needs.call(|n| n.set(1)).unwrap()).unwrap();
        drop(worker);
        assert_eq!(object.call(Cell::get).unwrap(), 1);
    });
}

#[test]
fn mb_3_an_sta_of_same_causality_that_waits_for_room_in_its_own_mailbox_makes_it() {
    must_end(|| {
        let process = Process::new();
        let ui = process.sta("ui").capacity(1).reentrancy(Reentrancy::SameCausality).enter().unwrap();
        let object = ui.create(|| Cell::new(0)).unwrap();
        for _ in 0..3 {
            object.with(&PostOptions::new().wait_for_room()).post(|n| n.set(n.get() + 1)).unwrap();
        }
        assert_eq!(ui.pump(), 1);
        assert_eq!(object.call(Cell::get).unwrap(), 3);
    });
}

#[test]
fn di_12_a_pump_in_a_destructor_during_a_same_causality_wait_lets_no_other_chain_in() {
    struct Pumps(Weak<Entered>, Rc<Cell<Option<usize>>>);
    impl Drop for Pumps {
        fn drop(&mut self) {
            self.1.set(Some(self.0.upgrade().unwrap().pump()));
        }
    }
    must_end(|| {
        let (process, recording) = recorded();
        let ui = Rc::new(process.sta("ui").reentrancy(Reentrancy::SameCausality).enter().unwrap());
        let object = ui.create(|| Cell::new(0)).unwrap();
        let pumped = Rc::new(Cell::new(None));
        let victim = ui.create(|| Pumps(Rc::downgrade(&ui), Rc::clone(&pumped))).unwrap();
        let worker = process.sta("worker").spawn().unwrap();
        let apartment = ui.apartment().clone();
        let at_worker = worker.create(|| ()).unwrap();
        at_worker
            .call(move |()| {
                // Of another chain, so it is held.
                object.post(|n| n.set(1)).unwrap();
                drop(victim);
                recording.until(at(&apartment, |what| matches!(what, What::ObjectDropped { .. })));
            })
            .unwrap();
        assert_eq!(pumped.get(), Some(0));
        assert_eq!(ui.pump(), 1);
    });
}

#[test]
fn ck_4_a_loop_inside_a_filters_method_ends_with_quit() {
    struct Loops(RefCell<Option<Entered>>);
    impl MessageFilter for Loops {
        fn handle_incoming(&self, _: &IncomingCall) -> ServerCall {
            let guard = self.0.borrow();
            let guard = guard.as_ref().unwrap();
            guard.apartment().quit();
            guard.run();
            ServerCall::Handled
        }
    }
    must_end(|| {
        let (process, recording) = recorded();
        let ui = process.sta("ui").enter().unwrap();
        let filter = Loops(RefCell::new(Some(process.sta("ui").enter().unwrap())));
        register_filter(Some(Rc::new(filter))).unwrap();
        let object = ui.create(|| 7).unwrap();
        let caller = thread::spawn(move || object.call(|n| *n));
        recording.until(at(ui.apartment(), queued));
        ui.pump();
        assert_eq!(join(caller).unwrap(), 7);
        drop(register_filter(None).unwrap());
        drop(ui);
        assert_eq!(process.current().kind, None);
    });
}

fn a_full_mailbox_of_calls_that_call_out(policy: Reentrancy) {
    must_end(move || {
        let process = Process::new();
        let ui = process.sta("ui").reentrancy(policy).enter().unwrap();
        let object = ui.create(|| Cell::new(0)).unwrap();
        let worker = process.sta("worker").spawn().unwrap();
        let at_worker = worker.create(|| ()).unwrap();
        for n in 0..10_000 {
            let at_worker = at_worker.clone();
            let counts = move |seen: &Cell<u32>| {
                seen.set(seen.get() + 1);
                if n % 10 == 0 {
                    at_worker.call(|()| ()).unwrap();
                }
            };
            object.post(counts).unwrap();
        }
        assert_eq!(number(object.post(|_| ()).map_err(CallError::from)), Some(MAILBOX_FULL));
        for _ in 0..10 {
            at_worker.call(|()| ()).unwrap();
        }
        ui.pump();
        assert_eq!(object.call(Cell::get).unwrap(), 10_000, "{policy:?}");
    });
}

#[test]
fn mb_8_a_full_mailbox_of_calls_that_call_out_is_served_whole_under_every_policy() {
    for policy in [Reentrancy::Classic, Reentrancy::SameCausality, Reentrancy::None] {
        a_full_mailbox_of_calls_that_call_out(policy);
    }
}

#[test]
fn lt_2_leaving_serves_calls_that_call_out_and_are_called_back() {
    must_end(|| {
        let (process, recording) = recorded();
        let ui = process.sta("ui").enter().unwrap();
        let apartment = ui.apartment().clone();
        let object = ui.create(|| ()).unwrap();
        let worker = process.sta("worker").spawn().unwrap();
        let at_worker = worker.create(|| ()).unwrap();
        for _ in 0..1000 {
            let (at_worker, back) = (at_worker.clone(), object.clone());
            let calls_out = move |(): &()| {
                at_worker.call(|()| back.call(|()| ()).unwrap()).unwrap();
                // The door stays closed for what is new.
                back.post(|()| panic!("it must not run")).unwrap_err();
            };
            object.post(calls_out).unwrap();
        }
        drop(ui);
        let ended = count(&recording, at(&apartment, |what| matches!(what, What::Ended { .. })));
        assert_eq!(ended, 2000, "each post, and its callback");
    });
}

#[test]
fn ap_11_a_chain_returns_through_two_processes_many_times() {
    must_end(|| {
        let (p, q) = (Process::new(), Process::new());
        let (a, b) = (p.sta("a").spawn().unwrap(), q.sta("b").spawn().unwrap());
        let (m, n) = (p.mta().spawn().unwrap(), q.mta().threads(1).spawn().unwrap());
        let (at_a, at_b) = (a.create(|| ()).unwrap(), b.create(|| ()).unwrap());
        let (at_m, at_n) = (m.create(|| ()).unwrap(), n.create(|| ()).unwrap());
        let way = [&at_a, &at_b, &at_m, &at_n, &at_a, &at_n, &at_m, &at_b];
        fn go(way: &[&apartment::Proxy<()>]) -> u32 {
            match way {
                [] => current_call().unwrap().depth(),
                [next, rest @ ..] => next.call(|()| go(rest)).unwrap(),
            }
        }
        assert_eq!(go(&way), 8);
        drop((p, q, b, a));
        assert_eq!(number(at_b.call(|()| ())), Some(DISCONNECTED));
        drop((n, m));
        assert_eq!(number(at_n.call(|()| ())), Some(DISCONNECTED));
    });
}

// ---- Direct calls that are cancelled

#[test]
fn ca_2_a_direct_call_inside_a_cancelled_direct_one_sees_the_cancel() {
    let process = Process::new();
    let ui = process.sta("ui").enter().unwrap();
    let (outer, inner) = (ui.create(|| ()).unwrap(), ui.create(|| ()).unwrap());
    let cancel = CancelHandle::new();
    let mut seen = (false, false);
    let result = outer.with(&CallOptions::new().cancel(&cancel)).call(|()| {
        cancel.cancel();
        seen = (is_cancelled(), inner.call(|()| is_cancelled()).unwrap_or(true));
    });
    assert_eq!(seen, (true, true));
    assert!(matches!(result, Err(CallError::CallCanceled { outcome: Outcome::MayHaveRun })), "{result:?}");
}

#[test]
fn ca_2_what_a_cancelled_direct_call_of_a_thread_in_no_apartment_has_in_a_queue_is_revoked() {
    must_end(|| {
        let (process, recording) = recorded();
        let (mta, sta) = (process.mta().spawn().unwrap(), process.sta("sta").spawn().unwrap());
        let (at_mta, at_sta) = (mta.create(|| ()).unwrap(), sta.create(|| ()).unwrap());
        let held = hold(&at_sta);
        let cancel = CancelHandle::new();
        let caller = thread::spawn({
            let cancel = cancel.clone();
            move || {
                let mut nested = None;
                let options = CallOptions::new().cancel(&cancel);
                let direct = at_mta.with(&options).call(|()| nested = at_sta.call(|()| panic!("revoked")).err());
                (direct.unwrap_err(), nested.unwrap())
            }
        });
        // The making of the object, the post that stands at the gate, and the call.
        recording.until(nth(3, at(sta.apartment(), queued)));
        cancel.cancel();
        let (direct, nested) = join(caller);
        held.open();
        assert!(matches!(direct, CallError::CallCanceled { outcome: Outcome::MayHaveRun }), "{direct}");
        assert!(matches!(nested, CallError::CallCanceled { outcome: Outcome::NotStarted }), "{nested}");
    });
}

// ---- Time and room

#[test]
fn mb_7_a_post_that_gets_the_room_of_a_timed_out_call_is_told_so() {
    must_end(|| {
        let (process, recording) = recorded();
        let (ui, a) = (process.sta("ui").capacity(1).enter().unwrap(), process.sta("a").spawn().unwrap());
        let (at_ui, at_a) = (ui.create(|| ()).unwrap(), a.create(|| ()).unwrap());
        // A call of `a` is queued here, and `a` is busy meanwhile.
        let caller = thread::spawn({
            let (at_ui, at_a) = (at_ui.clone(), at_a.clone());
            move || at_a.call(move |()| at_ui.within(Duration::from_secs(1)).call(|()| ())).unwrap()
        });
        recording.until(at(ui.apartment(), queued));
        let held = hold(&at_a);
        // A post stands in the line.
        let sender = thread::spawn({
            let at_ui = at_ui.clone();
            move || at_ui.with(&PostOptions::new().wait_for_room()).post(|()| ()).map_err(CallError::from)
        });
        recording.until(|event| matches!(event.what, What::WaitBegan { on: WaitFor::Room, .. }));
        process.clock().advance(Duration::from_secs(1));
        // The newcomer finds out that the call is over, and is refused: the post was first.
        assert_eq!(join(thread::spawn(move || number(at_ui.call(|()| ())))), Some(MAILBOX_FULL));
        join(sender).unwrap();
        held.open();
        assert_eq!(number(join(caller)), Some(TIMED_OUT));
    });
}

#[test]
fn ca_3_a_loop_on_top_of_a_wait_revokes_the_call_that_has_timed_out() {
    must_end(|| {
        let (process, recording) = recorded();
        let ui = Rc::new(process.sta("ui").enter().unwrap());
        let apartment = ui.apartment().clone();
        let own = Rc::clone(&ui);
        let home = ui.create(move || own).unwrap();
        let busy = process.sta("busy").spawn().unwrap();
        let at_busy = busy.create(|| ()).unwrap();
        let held = hold(&at_busy);
        let clock = process.clock().clone();
        let loops = home.clone();
        let other = thread::spawn(move || {
            recording.until(at(&apartment, |what| matches!(what, What::WaitBegan { on: WaitFor::Reply, .. })));
            loops.post(|ui| ui.run()).unwrap();
            recording.until(at(&apartment, |what| matches!(what, What::Began { .. })));
            clock.advance(Duration::from_secs(5));
            recording.until(|event| matches!(event.what, What::Revoked { .. }));
            apartment.quit();
        });
        assert_eq!(number(at_busy.within(Duration::from_secs(5)).call(|()| ())), Some(TIMED_OUT));
        join(other);
        held.open();
    });
}

#[test]
fn ca_3_times_without_end_are_taken_as_they_are() {
    must_end(|| {
        let process = Process::new();
        let sta = process.sta("sta").capacity(1).spawn().unwrap();
        let ui = process.sta("ui").enter().unwrap();
        let (object, at_ui) = (sta.create(|| 7).unwrap(), ui.create(|| 5).unwrap());
        let forever = Duration::MAX;
        let options = PostOptions::new().within(forever).wait_for_room_within(forever);
        for _ in 0..10 {
            object.with(&options).post(|_| ()).unwrap();
        }
        let options = CallOptions::new().within(forever).wait_for_room_within(forever);
        assert_eq!(object.with(&options).call(|n| *n).unwrap(), 7);
        let nested = object.with(&options).call(|_| at_ui.within(forever).call(|n| *n));
        assert_eq!(nested.unwrap().unwrap(), 5);
        assert_eq!(number(object.within(Duration::ZERO).call(|_| ())), Some(TIMED_OUT));
    });
}

#[test]
fn mf_6_a_retry_after_for_ever_can_be_cancelled_and_times_out() {
    must_end(|| {
        let (process, recording) = recorded();
        let sta = process.sta("sta").filter(|| Later).spawn().unwrap();
        let object = sta.create(|| ()).unwrap();
        let retries = |event: &apartment::Event| matches!(event.what, What::WaitTurned { on: WaitFor::RetryTime, .. });
        let cancel = CancelHandle::new();
        let (ends, clock) = (cancel.clone(), process.clock().clone());
        let other = thread::spawn(move || {
            recording.until(nth(1, retries));
            ends.cancel();
            recording.until(nth(2, retries));
            clock.advance(Duration::from_secs(1));
        });
        let forever = || CallOptions::new().retry(|_: &RejectedCall| Retry::After(Duration::MAX));
        let error = object.with(&forever().cancel(&cancel)).call(|()| ()).unwrap_err();
        assert!(matches!(error, CallError::CallCanceled { outcome: Outcome::NotStarted }), "{error}");
        let error = object.with(&forever().within(Duration::from_secs(1))).call(|()| ()).unwrap_err();
        assert!(matches!(error, CallError::TimedOut { outcome: Outcome::NotStarted }), "{error}");
        join(other);
    });
}

#[test]
fn ca_3_a_driven_clock_never_goes_back() {
    let clock = Clock::driven();
    clock.advance(Duration::MAX);
    let then = clock.now();
    clock.advance(Duration::from_secs(1));
    assert!(clock.now() >= then);
}

#[test]
fn mb_1_a_capacity_without_bound_is_taken_as_it_is() {
    must_end(|| {
        let process = Process::new();
        let sta = process.sta("sta").capacity(usize::MAX).nested_waits(usize::MAX).spawn().unwrap();
        let object = sta.create(|| Cell::new(0)).unwrap();
        for _ in 0..20_000 {
            object.post(|n| n.set(n.get() + 1)).unwrap();
        }
        assert_eq!(object.call(Cell::get).unwrap(), 20_000);
    });
}

#[test]
fn di_12_the_wait_that_is_one_too_many_is_told_as_one_that_serves_its_own_chain_only() {
    must_end(|| {
        let (process, recording) = recorded();
        let a = process.sta("a").nested_waits(1).enter().unwrap();
        let b = process.sta("b").capacity(1).reentrancy(Reentrancy::None).spawn().unwrap();
        let (at_a, at_b) = (a.create(|| ()).unwrap(), b.create(|| ()).unwrap());
        // In the wait for b's reply `a` waits for room there, in vain.
        at_b.call(|()| {
            at_b.post(|()| ()).unwrap();
            let other = at_b.clone();
            at_a.call(move |()| {
                let options = PostOptions::new().wait_for_room_within(Duration::ZERO);
                let full = other.with(&options).post(|()| ()).unwrap_err();
                assert_eq!(full.error().hresult(), MAILBOX_FULL);
            })
            .unwrap();
        })
        .unwrap();
        let serves = recording.events().into_iter().filter_map(|event| match event.what {
            What::WaitBegan { on: WaitFor::Room, serves, .. } => Some(serves),
            _ => None,
        });
        assert_eq!(serves.collect::<Vec<_>>(), [Serves::Chain]);
    });
}

#[test]
fn di_12_no_nested_waits_at_all_still_let_a_calls_own_chain_in() {
    must_end(|| {
        let process = Process::new();
        let a = process.sta("a").nested_waits(0).spawn().unwrap();
        let b = process.sta("b").spawn().unwrap();
        let (at_a, at_b) = (a.create(|| 7).unwrap(), b.create(|| ()).unwrap());
        assert_eq!(at_a.call(|_| at_b.call(|()| at_a.call(|n| *n).unwrap()).unwrap()).unwrap(), 7);
    });
}

#[test]
fn lt_6_an_apartment_of_one_place_that_quits_while_it_waits_is_still_called_back() {
    must_end(|| {
        let process = Process::new();
        for _ in 0..20 {
            let [a, b] = ["a", "b"].map(|name| process.sta(name).capacity(1).spawn().unwrap());
            let (at_a, at_b) = (a.create(|| ()).unwrap(), b.create(|| ()).unwrap());
            let (back, apartment) = (at_a.clone(), a.apartment().clone());
            at_a.call(move |()| {
                at_b.call(move |()| {
                    apartment.quit();
                    back.call(|()| back.call(|()| ()).unwrap()).unwrap();
                })
            })
            .unwrap()
            .unwrap();
            assert_eq!(number(at_a.call(|()| ())), Some(DISCONNECTED));
        }
    });
}

#[test]
fn lt_2_a_dropped_message_may_hold_the_handle_of_its_own_apartment_or_of_another() {
    must_end(|| {
        for _ in 0..10 {
            let (process, recording) = recorded();
            let [a, b] = ["a", "b"].map(|name| process.sta(name).spawn().unwrap());
            let apartments = [a.apartment().clone(), b.apartment().clone()];
            let held: Gate = hold(&a.create(|| ()).unwrap());
            apartments[0].post_message(MessageClass::User, move || drop(b)).unwrap();
            apartments[0].post_message(MessageClass::User, move || drop(a)).unwrap();
            apartments[0].quit();
            held.open();
            for apartment in &apartments {
                recording.until(at(apartment, |what| matches!(what, What::ApartmentEnded { .. })));
            }
        }
    });
}

// ---- What a call that is out says of itself

fn for_its_reply(event: &Event) -> bool {
    matches!(event.what, What::WaitTurned { on: WaitFor::Reply, .. })
}

#[test]
fn dg_2_a_call_that_finds_no_room_says_when_it_waits_for_that_and_when_for_its_reply_again() {
    must_end(|| {
        let (process, recording) = recorded();
        let a = process.sta("a").enter().unwrap();
        let b = process.sta("b").capacity(1).spawn().unwrap();
        let at_b = b.create(|| ()).unwrap();
        let held = hold(&at_b);
        at_b.post(|()| ()).unwrap();
        let (is, turns) = (a.apartment().clone(), recording.clone());
        let opens = thread::spawn(move || {
            turns.until(|event| matches!(event.what, What::WaitTurned { on: WaitFor::Room, .. }));
            held.open();
        });
        let seen = &recording;
        // It runs until its caller has seen that it left the line: else that might find the reply as well.
        at_b.with(&CallOptions::new().wait_for_room()).call(|()| drop(seen.until(for_its_reply))).unwrap();
        join(opens);
        let turned = recording.events().into_iter().filter_map(|event| match event.what {
            What::WaitTurned { on, .. } if event.apartment == Some(is.id()) => Some(on),
            _ => None,
        });
        assert_eq!(turned.collect::<Vec<_>>(), [WaitFor::Room, WaitFor::Reply]);
    });
}

#[test]
fn ca_3_a_deadline_that_passes_in_a_later_attempt_says_which_it_was() {
    must_end(|| {
        let (process, recording) = recorded();
        let a = process.sta("a").filter(|| Once(Cell::new(false))).spawn().unwrap();
        let at_a = a.create(|| ()).unwrap();
        let options = CallOptions::new().within(Duration::from_secs(5)).retry(|_: &RejectedCall| Retry::Now);
        let cancelled = at(a.apartment(), |what| matches!(what, What::CancelAsked { .. }));
        let seen = &recording;
        let call = at_a.with(&options).call(|()| {
            process.clock().advance(Duration::from_secs(5));
            seen.until(&cancelled).call.unwrap().attempt
        });
        assert_eq!(number(call), Some(TIMED_OUT));
        let asked = recording.events().into_iter().find(|event| cancelled(event)).unwrap();
        assert_eq!(asked.call.unwrap().attempt, 2);
    });
}

#[test]
fn mf_6_a_policy_that_waits_for_less_than_100_ms_tries_again_at_once() {
    must_end(|| {
        // Nobody moves its clock.
        let process = Process::builder().clock(Clock::driven()).build();
        let a = process.sta("a").filter(|| Once(Cell::new(false))).spawn().unwrap();
        let at_a = a.create(|| ()).unwrap();
        let options = CallOptions::new().retry(|_: &RejectedCall| Retry::After(Duration::from_millis(99)));
        at_a.with(&options).call(|()| ()).unwrap();
    });
}

#[test]
fn ca_3_a_result_that_came_before_the_deadline_counts_however_late_its_caller_looks() {
    must_end(|| {
        let process = Process::builder().clock(Clock::driven()).build();
        let a = process.sta("a").enter().unwrap();
        let b = process.sta("b").spawn().unwrap();
        let (at_a, at_b) = (a.create(|| ()).unwrap(), b.create(|| ()).unwrap());
        let (tell, told) = channel();
        let (again, clock) = (at_b.clone(), process.clock().clone());
        let (comes, came) = channel();
        let nested = move || {
            comes.send(()).unwrap();
            // Its turn comes when the call below is answered.
            let tell = tell.clone();
            again.post(move |()| tell.send(()).unwrap()).unwrap();
            told.recv().unwrap();
            clock.advance(Duration::from_secs(5));
            again.call(|()| ()).unwrap();
        };
        let options = CallOptions::new().within(Duration::from_secs(5));
        let result = at_b.with(&options).call(move |()| {
            at_a.post(move |()| nested()).unwrap();
            came.recv().unwrap();
            7
        });
        assert_eq!(result.unwrap(), 7);
    });
}

#[test]
fn dl_1_a_wait_for_room_that_would_close_a_ring_ends_and_says_by_what() {
    must_end(|| {
        let (process, recording) = recorded();
        let a = process.sta("a").reentrancy(Reentrancy::None).enter().unwrap();
        let b = process.sta("b").reentrancy(Reentrancy::None).capacity(1).spawn().unwrap();
        let (at_a, at_b) = (a.create(|| ()).unwrap(), b.create(|| ()).unwrap());
        let (tell, told) = channel();
        let back = at_a.clone();
        at_b.post(move |()| tell.send(back.call(|()| ()).err()).unwrap()).unwrap();
        recording.until(at(a.apartment(), queued));
        at_b.post(|()| ()).unwrap();
        let here = at_b.with(&PostOptions::new().wait_for_room()).post(|()| ()).err();
        a.pump();
        // Who was the last to sleep is told.
        let is_deadlock = |error: &CallError| matches!(error, CallError::Deadlock(_));
        let (here, there) = (here.map(|refused| is_deadlock(refused.error())), told.recv().unwrap());
        let expected = match (here, there.as_ref().map(is_deadlock)) {
            (Some(true), None) => a.apartment().id(),
            (None, Some(true)) => b.apartment().id(),
            told => panic!("{told:?}"),
        };
        let ended = recording
            .events()
            .into_iter()
            .filter(|event| matches!(event.what, What::WaitEnded { by: WaitEnd::Deadlock }));
        assert_eq!(ended.map(|event| event.apartment).collect::<Vec<_>>(), [Some(expected)]);
    });
}

#[test]
fn dl_1_a_call_that_waits_for_room_is_shown_as_one_that_does() {
    must_end(|| {
        let (process, recording) = recorded();
        let a = process.sta("a").reentrancy(Reentrancy::None).enter().unwrap();
        let b = process.sta("b").reentrancy(Reentrancy::None).capacity(1).spawn().unwrap();
        let (at_a, at_b) = (a.create(|| ()).unwrap(), b.create(|| ()).unwrap());
        let (tell, told) = channel();
        let back = at_a.clone();
        at_b.post(move |()| tell.send(back.call(|()| ()).err()).unwrap()).unwrap();
        recording.until(at(a.apartment(), queued));
        at_b.post(|()| ()).unwrap();
        let here = at_b.with(&CallOptions::new().wait_for_room()).call(|()| ()).err();
        a.pump();
        // Who was the last to sleep is told.
        let told = match (here, told.recv().unwrap()) {
            (Some(told), None) | (None, Some(told)) => told,
            both => panic!("{both:?}"),
        };
        let CallError::Deadlock(deadlock) = told else { panic!("{told:?}") };
        let is_room = |waiter: &Waiter| matches!(&waiter.awaits, Awaited::Room { callee, .. } if &*callee.name == "b");
        assert!(deadlock.cycle.iter().any(is_room), "{deadlock}");
    });
}

#[test]
fn ca_2_a_call_that_is_cancelled_before_it_is_made_waits_for_nobody() {
    must_end(|| {
        let process = Process::new();
        let a = process.sta("a").spawn().unwrap();
        let at_a = a.create(|| ()).unwrap();
        let held = hold(&at_a);
        let cancel = CancelHandle::new();
        cancel.cancel();
        let result = at_a.with(&CallOptions::new().cancel(&cancel)).call(|()| ());
        assert!(matches!(result, Err(CallError::CallCanceled { outcome: Outcome::NotStarted })), "{result:?}");
        assert_eq!(a.apartment().queued(), 0);
        held.open();
    });
}

#[test]
fn mf_6_who_is_asked_about_a_call_again_is_told_which_attempt_it_was() {
    must_end(|| {
        let (process, recording) = recorded();
        let a = process.sta("a").filter(|| Later).spawn().unwrap();
        let at_a = a.create(|| ()).unwrap();
        let twice = |call: &RejectedCall| if call.attempts < 2 { Retry::Now } else { Retry::GiveUp };
        at_a.with(&CallOptions::new().retry(twice)).call(|()| ()).unwrap_err();
        let asked = recording.events().into_iter().filter(|event| matches!(event.what, What::RetryAsked { .. }));
        assert_eq!(asked.map(|event| event.call.unwrap().attempt).collect::<Vec<_>>(), [1, 2]);
    });
}

#[test]
fn dg_2_a_later_attempt_that_finds_no_room_says_which_it_is() {
    must_end(|| {
        let (process, recording) = recorded();
        let a = process.sta("a").filter(|| Once(Cell::new(false))).capacity(1).spawn().unwrap();
        let at_a = a.create(|| ()).unwrap();
        let turns = recording.clone();
        let (meets, met) = channel();
        let opens = thread::spawn(move || {
            let held: Gate = met.recv().unwrap();
            turns.until(|event| matches!(event.what, What::WaitTurned { on: WaitFor::Room, .. }));
            held.open();
        });
        let policy = |_: &RejectedCall| {
            // The next attempt finds a mailbox that is full.
            meets.send(hold(&at_a)).unwrap();
            at_a.post(|()| ()).unwrap();
            Retry::Now
        };
        let b = process.sta("b").enter().unwrap();
        let seen = &recording;
        let options = CallOptions::new().wait_for_room().retry(policy);
        at_a.with(&options).call(|()| drop(seen.until(for_its_reply))).unwrap();
        join(opens);
        let turned = at(b.apartment(), |what| matches!(what, What::WaitTurned { .. }));
        let turned = recording.events().into_iter().filter(|event| turned(event));
        assert_eq!(turned.map(|event| event.call.unwrap().attempt).collect::<Vec<_>>(), [2, 2]);
    });
}

#[test]
fn ca_2_a_future_s_call_at_home_is_cancelled_by_its_handle() {
    must_end(|| {
        let process = Process::new();
        let a = process.sta("a").enter().unwrap();
        let at_a = a.create(|| ()).unwrap();
        let cancel = CancelHandle::new();
        let (options, cancels) = (AsyncOptions::new().cancel(&cancel), cancel.clone());
        let (tell, told) = channel();
        let call = at_a.with(&options).call_async(move |()| {
            cancels.cancel();
            tell.send(is_cancelled()).unwrap();
        });
        let result = pollster::block_on(call);
        assert!(matches!(result, Err(CallError::CallCanceled { outcome: Outcome::MayHaveRun })), "{result:?}");
        assert!(told.recv().unwrap());
    });
}
