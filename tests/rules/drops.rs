//! LT-1, LT-2, AP-2: what goes in every order, and on a thread that is in the middle of something.

use crate::ma::with_the_locals;
use crate::stage::{Gate, Key, gate, incoming, like, play};
use crate::support::{Log, join};
use apartment::{
    CallError, Entered, EnteredMta, Event, GlobalTable, HeldBy, Kind, MessageFilter, Process, Proxy, Recording,
    Reentrancy, RejectedCall, Retry, ServerCall, Table, WaitEnd, What, current, current_call, register_filter,
};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;

thread_local! {
    // A call's closure is `Send`, and a guard is not.
    static IN_MTA: RefCell<Option<EnteredMta>> = const { RefCell::new(None) };
    static IN_STA: RefCell<Option<Entered>> = const { RefCell::new(None) };
}

/// Says where it is dropped.
struct Tells(u32, Sender<(u32, thread::ThreadId)>);

impl Drop for Tells {
    fn drop(&mut self) {
        self.1.send((self.0, thread::current().id())).unwrap();
    }
}

// ---- at home

#[test]
fn lt_2_the_mta_s_objects_go_at_its_end_the_youngest_first() {
    play(|stage| {
        let mta = stage.mta().threads(1).spawn()?;
        let (tell, told) = channel();
        let made = [1, 2, 3].map(|n| mta.create(|| Tells(n, tell.clone())).unwrap());
        assert!(made.is_sorted_by_key(Proxy::object_id));
        drop(mta);
        assert_eq!([told.recv(), told.recv(), told.recv()].map(|told| told.unwrap().0), [3, 2, 1]);
        drop(made);
        Ok(())
    });
}

#[test]
fn lt_7_an_mta_s_object_that_a_direct_reference_keeps_goes_at_home_though_its_holder_has_left() {
    play(|stage| {
        let mta = stage.mta().threads(1).spawn()?;
        let (tell, told) = channel();
        let here = thread::current().id();
        let object = mta.create(|| Tells(1, tell.clone()))?;
        let entered = mta.enter()?;
        let local = object.local().unwrap();
        entered.leave();
        object.disconnect()?;
        // The pool's thread has let it go, and sleeps.
        let seen = || stage.process.snapshot().apartments.remove(0);
        while seen().objects > 0 || seen().pool.unwrap().idle == 0 {
            thread::yield_now();
        }
        drop(local);
        let (n, on) = told.recv().unwrap();
        assert!(n == 1 && on != here, "a thread of the pool drops it");
        // Where there is no home any more it goes where it is.
        let object = mta.create(|| Tells(2, tell))?;
        let entered = mta.enter()?;
        let local = object.local().unwrap();
        entered.leave();
        drop(mta);
        drop((local, object));
        assert_eq!(told.recv().unwrap(), (2, here));
        Ok(())
    });
}

#[test]
fn lt_2_while_an_sta_drops_its_objects_those_that_are_left_can_be_called_back() {
    struct Asks(Proxy<()>, Proxy<u32>, Sender<Result<u32, CallError>>);
    impl Drop for Asks {
        fn drop(&mut self) {
            let Self(other, older, tell) = self;
            tell.send(other.call(|()| older.call(|n| *n)).unwrap()).unwrap();
        }
    }
    play(|stage| {
        let (a, b) = (stage.sta("a").spawn()?, stage.sta("b").spawn()?);
        let (older, at_b) = (a.create(|| 7)?, b.create(|| ())?);
        let (tell, told) = channel();
        let asked = older.clone();
        let younger = a.create(move || Asks(at_b, asked, tell))?;
        drop(a);
        assert_eq!(told.recv().unwrap()?, 7);
        drop((older, younger));
        Ok(())
    });
}

#[test]
fn lt_3_an_apartment_that_drops_its_objects_out_of_order_serves_nothing_that_was_queued() {
    /// Waits, while an apartment drops it, until what is queued there is held.
    struct Asks(Proxy<()>, Recording);
    impl Drop for Asks {
        fn drop(&mut self) {
            let held = |event: &Event| matches!(event.what, What::Held { by: HeldBy::Ending });
            self.0.call(|()| drop(self.1.until(held))).unwrap();
        }
    }
    struct NoFilter;
    impl MessageFilter for NoFilter {}
    play(|stage| {
        let b = stage.sta("b").spawn()?;
        let at_b = b.create(|| ())?;
        let log = Log::new();
        let (process, told) = (stage.process.clone(), log.clone());
        let (keep, _kept) = channel();
        // What its maker did there goes with it.
        let filter = move || -> NoFilter {
            let here = process.sta("here").enter().unwrap();
            let (older, younger) =
                (here.create(|| ()).unwrap(), here.create(|| Asks(at_b, process.recording().unwrap())).unwrap());
            older.post(move |()| told.add(())).unwrap();
            keep.send((older, younger)).unwrap();
            panic!("no filter");
        };
        stage.sta("a").filter(filter).enter().unwrap_err();
        assert_eq!(log.take().len(), 0);
        stage.until_any(|event| matches!(event.what, What::PostDropped { .. }));
        Ok(())
    });
}

// ---- leaving in the middle

#[test]
fn ap_2_a_thread_that_leaves_the_mta_in_a_direct_call_is_in_it_until_that_returns() {
    /// Tells in which kind of apartment it is dropped.
    struct Where(Log<Option<Kind>>);
    impl Drop for Where {
        fn drop(&mut self) {
            self.0.add(current().kind);
        }
    }
    play(|stage| {
        let mta = stage.mta().spawn()?;
        let apartment = mta.apartment().clone();
        let log = Log::new();
        let object = mta.create(|| Where(log.clone()))?;
        IN_MTA.set(Some(mta.enter()?));
        let joins = thread::spawn(move || drop(mta));
        let inside = object.call(|_| {
            drop(IN_MTA.take());
            let before = current().kind;
            let nested = object.call(|_| current().kind).unwrap();
            [before, nested, current().kind]
        })?;
        assert_eq!(inside, [Some(Kind::Mta); 3]);
        assert_eq!(current().kind, None);
        stage.until(&apartment, like!(ApartmentEnded));
        join(joins);
        assert_eq!(log.take(), [Some(Kind::Mta)]);
        Ok(())
    });
}

#[test]
fn ap_3_a_thread_that_enters_the_mta_once_more_in_the_call_in_which_it_left_stays() {
    play(|stage| {
        let mta = stage.mta().spawn()?;
        let object = mta.create(|| ())?;
        IN_MTA.set(Some(mta.enter()?));
        object.call(|()| {
            drop(IN_MTA.take());
            IN_MTA.set(Some(mta.enter().unwrap()));
        })?;
        assert_eq!(current().kind, Some(Kind::Mta));
        assert_eq!(object.call(|()| current().kind)?, Some(Kind::Mta));
        drop(IN_MTA.take());
        assert_eq!(current().kind, None);
        Ok(())
    });
}

#[test]
fn lt_2_a_guard_that_goes_with_a_filter_while_a_call_is_out_leaves_when_that_returns() {
    /// Takes itself off when it is asked, and the thread out of its apartment.
    struct Leaves;
    impl MessageFilter for Leaves {
        fn retry_rejected(&self, _: &RejectedCall) -> Retry {
            drop(register_filter(None).unwrap());
            Retry::Now
        }
    }
    impl Drop for Leaves {
        fn drop(&mut self) {
            drop(IN_STA.take());
        }
    }
    play(|stage| {
        let rejects = Arc::<AtomicBool>::default();
        let busy = Arc::clone(&rejects);
        let answer = move |busy: &AtomicBool| match busy.swap(false, SeqCst) {
            true => ServerCall::Rejected,
            false => ServerCall::Handled,
        };
        let sta = stage.sta("b").filter(move || incoming(move |_| answer(&busy))).spawn()?;
        let object = sta.create(|| 7)?;
        for policy in [Reentrancy::None, Reentrancy::SameCausality, Reentrancy::Classic] {
            let guard = stage.sta("a").reentrancy(policy).enter()?;
            let (own, a) = (guard.create(|| ())?, guard.apartment().clone());
            IN_STA.set(Some(guard));
            register_filter(Some(Rc::new(Leaves)))?;
            own.post(|()| ()).unwrap();
            rejects.store(true, SeqCst);
            assert_eq!(object.call(|n| *n)?, 7);
            let ended = stage.until(&a, like!(ApartmentEnded { abnormal: false }));
            let returned = stage.until(&a, like!(WaitEnded { by: WaitEnd::Done }));
            assert!(returned.seq < ended.seq, "it was left after the call");
            assert_eq!(stage.count(&a, like!(Ended { panicked: None })), 1, "and served what it had accepted");
            assert_eq!(current().kind, None);
        }
        Ok(())
    });
}

// ---- a destructor that waits

#[test]
fn lt_1_a_destructor_that_waits_lets_what_it_has_dropped_go() {
    struct Says(Option<Key>);
    impl Drop for Says {
        fn drop(&mut self) {
            self.0.take().unwrap().open();
        }
    }
    /// Drops the next, and asks somebody who waits for that to be gone.
    struct Waits(Option<Proxy<Says>>, Proxy<()>, Gate);
    impl Drop for Waits {
        fn drop(&mut self) {
            drop(self.0.take());
            self.1.call(|()| self.2.pass()).unwrap();
        }
    }
    play(|stage| {
        let (other, home) = (stage.sta("other").spawn()?, stage.sta("home").spawn()?);
        let asks = other.create(|| ())?;
        let waits = || {
            let (key, gone) = gate();
            let next = home.create(|| Says(Some(key)))?;
            home.create(|| Waits(Some(next), asks.clone(), gone))
        };
        // Released from elsewhere, and dropped at home.
        drop(waits()?);
        let object = waits()?;
        home.create(|| ())?.call(move |()| drop(object))?;
        Ok(())
    });
}

#[test]
fn lt_1_a_destructor_of_a_free_threaded_object_that_waits_lets_what_it_has_dropped_go() {
    struct Says(Sender<()>);
    impl Drop for Says {
        fn drop(&mut self) {
            self.0.send(()).unwrap();
        }
    }
    struct Waits(Option<Proxy<Says>>, Proxy<()>, Mutex<Receiver<()>>);
    impl Drop for Waits {
        fn drop(&mut self) {
            drop(self.0.take());
            self.1.call(|()| self.2.lock().unwrap().recv().unwrap()).unwrap();
        }
    }
    play(|stage| {
        let (other, home, mta) = (stage.sta("other").spawn()?, stage.sta("home").spawn()?, stage.mta().spawn()?);
        let asks = other.create(|| ())?;
        let waits = || {
            let (says, gone) = channel();
            let next = stage.process.free_threaded(Says(says))?;
            stage.process.free_threaded(Waits(Some(next), asks.clone(), Mutex::new(gone)))
        };
        drop(waits()?);
        let (in_sta, in_mta) = (waits()?, waits()?);
        home.create(|| ())?.call(move |()| drop(in_sta))?;
        let pool = mta.create(|| ())?;
        home.create(|| ())?.call(move |()| pool.call(move |()| drop(in_mta)))??;
        let with_locals = waits()?;
        join(thread::spawn(move || with_the_locals(with_locals)));
        Ok(())
    });
}

// ---- every order

/// What a destructor does.
#[derive(Clone, Copy, Debug)]
enum Does {
    Nothing,
    Panics,
    CallsBack,
    CallsBackThroughAFreeOne,
    UsesTheTable,
}

struct Ends {
    does: Does,
    gone: Arc<AtomicUsize>,
    /// Somebody at home, or elsewhere.
    calls: Proxy<()>,
    free: Proxy<()>,
    table: GlobalTable,
}

impl Drop for Ends {
    fn drop(&mut self) {
        let Self { does, gone, calls, free, table } = self;
        gone.fetch_add(1, SeqCst);
        match does {
            Does::Nothing => {}
            Does::Panics => panic!("it panics"),
            Does::CallsBack => calls.call(|()| ()).unwrap(),
            Does::CallsBackThroughAFreeOne => free.call(|()| calls.call(|()| ()).unwrap()).unwrap(),
            Does::UsesTheTable => {
                let cookie = table.register(calls).unwrap();
                assert!(table.get(&cookie).is_ok());
                table.revoke(&cookie).unwrap();
            }
        }
    }
}

fn orders(of: usize) -> Vec<Vec<usize>> {
    if of == 0 {
        return vec![vec![]];
    }
    let with = |order: Vec<usize>, at| [&order[..at], &[of - 1], &order[at..]].concat();
    orders(of - 1).into_iter().flat_map(|order| (0..of).map(move |at| with(order.clone(), at))).collect()
}

#[test]
fn lt_1_references_of_all_kinds_may_go_in_any_order_whatever_the_destructor_does() {
    play(|stage| {
        let (process, table) = (&stage.process, stage.process.global_table());
        let (home, other, mta) = (stage.sta("home").spawn()?, stage.sta("other").spawn()?, stage.mta().spawn()?);
        let (at_home, at_other, free) = (home.create(|| ())?, other.create(|| ())?, process.free_threaded(())?);
        let many = [Does::Nothing, Does::Panics, Does::CallsBack, Does::CallsBackThroughAFreeOne, Does::UsesTheTable];
        for (does, order, place) in many.iter().flat_map(|does| {
            orders(4).into_iter().flat_map(move |order| (0..4).map(move |place| (*does, order.clone(), place)))
        }) {
            let gone = Arc::<AtomicUsize>::default();
            let calls = if order[0] == 0 { &at_home } else { &at_other }.clone();
            let ends = Ends { does, gone: Arc::clone(&gone), calls, free: free.clone(), table: table.clone() };
            let object = match place {
                0 | 1 => home.create(|| ends)?,
                2 => process.free_threaded(ends)?,
                _ => mta.create(|| ends)?,
            };
            let weak = object.marshal_table(Table::Weak)?;
            let (packet, strong) = (object.marshal()?, object.marshal_table(Table::Strong)?);
            let cookie = table.register(&object)?;
            let table = table.clone();
            let mut all: [Option<Box<dyn FnOnce() + Send>>; 4] = [
                Some(Box::new(|| drop(object))),
                Some(Box::new(|| drop(packet))),
                Some(Box::new(|| drop(strong))),
                Some(Box::new(move || table.revoke(&cookie).unwrap())),
            ];
            let mut let_go = || {
                for at in &order {
                    drop(weak.unmarshal().unwrap());
                    assert_eq!(gone.load(SeqCst), 0);
                    all[*at].take().unwrap()();
                }
            };
            if place == 1 {
                at_home.call(|()| let_go())?
            } else {
                let_go()
            }
            assert!(matches!(weak.unmarshal(), Err(CallError::ObjectNotRegistered)), "{does:?} {order:?} {place}");
            match place {
                // A release goes before calls.
                0 => at_home.call(|()| ())?,
                3 => while_none(&gone),
                _ => {}
            }
            assert_eq!(gone.load(SeqCst), 1, "{does:?} {order:?} {place}");
        }
        Ok(())
    });
}

/// Until a thread of the pool has come to it.
fn while_none(gone: &AtomicUsize) {
    while gone.load(SeqCst) == 0 {
        thread::yield_now();
    }
}

/// A free-threaded object that calls back when it goes: its maker's apartment, which has ended, and one that has not.
struct CallsBack {
    ended: Proxy<()>,
    lives: Proxy<()>,
    next: Option<Proxy<CallsBack>>,
    log: Log<(bool, bool, bool)>,
}

impl Drop for CallsBack {
    fn drop(&mut self) {
        let ended = matches!(self.ended.call(|()| ()), Err(CallError::Disconnected(_)));
        drop(self.next.take());
        let lives = self.lives.call(|()| self.lives.call(|()| ()).unwrap()).is_ok();
        self.log.add((ended, lives, current_call().is_err()));
    }
}

#[test]
fn ma_7_free_threaded_objects_may_call_back_while_thread_locals_are_destroyed() {
    play(|stage| {
        for library_first in [false, true] {
            let log = Log::new();
            let sta = stage.sta("lives").spawn()?;
            let (process, lives, logs) = (stage.process.clone(), sta.create(|| ())?, log.clone());
            join(thread::spawn(move || {
                let enter = |process: &Process| process.sta("ends").enter().unwrap();
                let first = library_first.then(|| enter(&process));
                with_the_locals(0);
                let guard = first.unwrap_or_else(|| enter(&process));
                let ended = guard.create(|| ()).unwrap();
                let mut last = None;
                for _ in 0..500 {
                    let (ended, lives, log) = (ended.clone(), lives.clone(), logs.clone());
                    last = Some(process.free_threaded(CallsBack { ended, lives, next: last, log }).unwrap());
                }
                with_the_locals(last);
            }));
            assert_eq!(log.take(), [(true, true, true); 500]);
        }
        Ok(())
    });
}
