//! AP-9: threads that belong to an event loop. The loop here is a `select!` over crossbeam's channels.

use crate::stage::{Stage, gate, hresult, like, millis, play, secs};
use crate::support::{Log, forget, join};
use apartment::Doorbell;
use apartment::{
    ApartmentHow, Budget, CallError, CallOptions, CancelHandle, Clock, Dispatched, EndHandler, Entered, Host,
    MessageClass, NotWoken, Parked, Parking, PostOptions, Process, Proxy, Reentrancy, ServerCall, Serves, Signal,
    StaBuilder, Wake, What, blocking_wait_any, current, dispatch, implements, interface, register_filter, wait_any,
};
use crossbeam_channel::{Receiver, Sender, bounded, never, select, unbounded};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

/// A loop with two sources: what the apartment is woken by, and a queue of the loop's own events.
struct Loop {
    rings: Receiver<()>,
    events: Receiver<Event>,
    send: Sender<Event>,
    turns: Cell<usize>,
    depths: RefCell<Vec<(usize, Serves)>>,
    /// Whether a wake is answered with a dispatch where the loop runs inside a wait.
    dispatches: bool,
}

type Event = Box<dyn FnOnce() + Send>;

impl Loop {
    /// The loop and its host.
    fn new(dispatches: bool) -> (Rc<Self>, Doorbell) {
        let (doorbell, rings) = Doorbell::new();
        let (send, events) = unbounded();
        let (turns, depths) = (Cell::new(0), RefCell::new(Vec::new()));
        let own = Rc::new(Self { rings, events, send, turns, depths, dispatches });
        let turning = own.clone();
        (own, doorbell.turning(move |parking| turning.park(parking)))
    }

    /// One turn, inside a wait.
    fn park(&self, parking: &Parking) -> Parked {
        self.depths.borrow_mut().push((parking.depth(), parking.serves()));
        self.turns.set(self.turns.get() + 1);
        let timeout = parking.until().map_or_else(never, crossbeam_channel::at);
        select! {
            recv(self.rings) -> _ => if self.dispatches { let _ = dispatch(Budget::ALL).unwrap(); },
            recv(self.events) -> event => event.unwrap()(),
            recv(timeout) -> _ => {}
        }
        Parked::Looped
    }

    /// The loop itself, until the apartment is asked to quit.
    fn run(&self, ui: &Entered) -> usize {
        let mut served = 0;
        loop {
            select! {
                recv(self.rings) -> _ => {
                    let Dispatched { served: some, quits, .. } = ui.dispatch(Budget::default());
                    served += some;
                    if quits {
                        return served;
                    }
                },
                recv(self.events) -> event => event.unwrap()(),
            }
        }
    }
}

/// Counts its wakes, and may do something else at each.
struct Counting {
    wakes: Arc<AtomicUsize>,
    on_wake: Arc<dyn Fn(usize) -> Result<(), NotWoken> + Send + Sync>,
    blocks: bool,
}

impl Counting {
    fn new(on_wake: impl Fn(usize) -> Result<(), NotWoken> + Send + Sync + 'static) -> (Self, Arc<AtomicUsize>) {
        let wakes = Arc::new(AtomicUsize::new(0));
        (Self { wakes: wakes.clone(), on_wake: Arc::new(on_wake), blocks: true }, wakes)
    }
}

impl Host for Counting {
    fn waker(&self) -> Box<dyn Wake> {
        let (wakes, on_wake) = (self.wakes.clone(), self.on_wake.clone());
        Box::new(move || on_wake(wakes.fetch_add(1, SeqCst) + 1))
    }

    fn may_block(&self) -> bool {
        self.blocks
    }

    fn park(&self, _: &Parking) -> Parked {
        Parked::Cannot
    }
}

/// An apartment whose loop is run by a thread of the test's: made there, given out as a proxy, run until it quits.
fn loops(
    builder: StaBuilder,
    dispatches: bool,
) -> (Proxy<RefCell<Vec<u32>>>, Sender<Event>, thread::JoinHandle<usize>) {
    let (made, given) = bounded(1);
    let thread = thread::spawn(move || {
        let (own, doorbell) = Loop::new(dispatches);
        let ui = builder.host(doorbell).enter().unwrap();
        let list = ui.create(|| RefCell::new(Vec::new())).unwrap();
        made.send((list, own.send.clone())).unwrap();
        own.run(&ui)
    });
    let (list, send) = given.recv().unwrap();
    (list, send, thread)
}

#[test]
fn ap_9_an_event_loop_s_own_thread_becomes_an_sta() {
    play(|stage| {
        let (list, events, ui) = loops(stage.sta("ui"), false);
        let here = list.apartment().unwrap();
        let began = stage.until(&here, like!(ApartmentBegan));
        assert!(matches!(began.what, What::ApartmentBegan { how: ApartmentHow::Adopted, sta: true, .. }));
        // Calls, a post and a message come in by the loop, in between its own events.
        list.call_mut(|list| list.push(1))?;
        list.post(|list| list.borrow_mut().push(2))?;
        let seen = list.clone();
        let (said, say) = bounded(1);
        let look = move || said.send((current().apartment, seen.call_ref(Vec::len))).unwrap();
        events.send(Box::new(look)).unwrap();
        let (apartment, length) = say.recv().unwrap();
        assert_eq!(apartment, Some(here.id()), "the loop's own events run in the apartment");
        assert!(length? >= 1, "and call its objects directly");
        let told = list.clone();
        here.post_message(MessageClass::User, move || told.call_mut(|list| list.push(3)).unwrap())?;
        assert_eq!(list.call_ref(Vec::clone)?, [1, 2, 3]);
        here.quit();
        assert_eq!(join(ui), 4, "two calls, a post, a message");
        assert_eq!(list.call_ref(Vec::len).unwrap_err().hresult(), hresult::DISCONNECTED);
        Ok(())
    });
}

#[test]
fn ap_9_the_loop_s_own_events_go_on_during_a_call_it_waits_for() {
    play(|stage| {
        let (own, doorbell) = Loop::new(false);
        let ui = stage.sta("ui").host(doorbell).enter()?;
        let here = ui.create(|| Cell::new(0))?;
        let worker = stage.sta("worker").spawn()?;
        let job = worker.create(|| ())?;
        let (key, gate) = gate();
        // The callee returns only when the loop has handled an event of its own, and a call back.
        own.send.send(Box::new(move || key.open())).unwrap();
        let back = here.clone();
        let seen = job.call(move |()| {
            gate.pass();
            back.call(|n| n.replace(1))
        })?;
        assert_eq!((seen?, here.call(Cell::get)?), (0, 1));
        assert!(own.turns.get() >= 2);
        assert!(own.depths.borrow().iter().all(|seen| *seen == (1, Serves::Everything)), "{:?}", own.depths);
        Ok(())
    });
}

#[test]
fn ap_9_a_dispatch_inside_a_wait_serves_for_it_and_the_wait_goes_on() {
    play(|stage| {
        // The loop consumes every wake itself, the reply's too: it is the wait's all the same.
        let (own, doorbell) = Loop::new(true);
        let ui = stage.sta("ui").host(doorbell).enter()?;
        let here = ui.create(|| Cell::new(0))?;
        let worker = stage.sta("worker").spawn()?;
        let job = worker.create(|| ())?;
        for round in 0..20 {
            let back = here.clone();
            let (key, gate) = gate();
            own.send.send(Box::new(move || key.open())).unwrap();
            job.call(move |()| {
                gate.pass();
                back.call(|n| n.set(n.get() + 1))
            })??;
            assert_eq!(here.call(Cell::get)?, round + 1);
        }
        assert!(own.turns.get() >= 20);
        Ok(())
    });
}

/// The loop handles a wake before all else: it would get to nothing else if each look at the mailbox woke it again.
#[test]
fn ap_9_a_look_that_finds_nothing_wakes_nobody() {
    for policy in [Reentrancy::Classic, Reentrancy::SameCausality] {
        play(move |stage| {
            let (doorbell, rings) = Doorbell::new();
            let (key, gate) = gate();
            let key = RefCell::new(Some(key));
            let woken = rings.clone();
            let turning = doorbell.turning(move |_| {
                if woken.try_recv().is_ok() {
                    assert!(!dispatch(Budget::ALL).unwrap().quits);
                } else if let Some(key) = key.take() {
                    key.open();
                } else {
                    return Parked::Cannot;
                }
                Parked::Looped
            });
            let ui = stage.sta("ui").reentrancy(policy).host(turning).enter()?;
            let (own, held) = (ui.create(|| ())?, ui.create(|| ())?);
            let worker = stage.sta("worker").spawn()?;
            let job = worker.create(|| ())?;
            // From inside a call that another thread waits for, and with an entry that is held under one of the policies.
            let caller = thread::spawn(move || {
                own.call(move |()| {
                    job.call(move |()| {
                        held.post(|()| ()).unwrap();
                        gate.pass();
                    })
                })
            });
            while rings.recv().is_ok() && ui.dispatch(Budget::ALL).served == 0 {}
            join(caller)??;
            Ok(())
        });
    }
}

#[test]
fn ap_9_a_swallowed_wake_is_repeated_by_a_post_that_waits_for_room() {
    play(|stage| {
        let (host, _) = Counting::new(|_| Ok(()));
        let ui = stage.sta("ui").capacity(1).host(host).enter()?;
        let here = ui.create(|| ())?;
        here.post(|()| ())?;
        let posts = here.clone();
        let at = ui.apartment();
        let poster = thread::spawn(move || posts.with(&PostOptions::new().wait_for_room()).post(|()| ()).is_ok());
        stage.until_any(|event| matches!(event.what, What::WaitBegan { .. }));
        stage.clock.advance(millis(100));
        stage.until(at, like!(Woken { before: true }));
        assert_eq!(ui.dispatch(Budget::ALL).served, 2);
        assert!(join(poster));
        Ok(())
    });
}

#[test]
fn ap_9_a_call_from_a_loop_s_event_parks_on_top_of_the_wait_below() {
    play(|stage| {
        let (own, doorbell) = Loop::new(false);
        let ui = stage.sta("ui").host(doorbell).enter()?;
        let here = ui.create(|| ())?;
        let (first, second) = (stage.sta("first").spawn()?, stage.sta("second").spawn()?);
        let (slow, quick) = (first.create(|| ())?, second.create(|| ())?);
        let (key, gate) = gate();
        let log = Log::new();
        let inner = log.clone();
        let (inner_key, inner_gate) = crate::stage::gate();
        // During the call to the first the loop's own event calls the second, which calls back, and waits for another event.
        own.send
            .send(Box::new(move || {
                let calls_back = move |(): &()| {
                    inner_gate.pass();
                    here.call(|()| ())
                };
                quick.call(calls_back).unwrap().unwrap();
                inner.add("inner");
                key.open();
            }))
            .unwrap();
        own.send.send(Box::new(move || inner_key.open())).unwrap();
        slow.call(|()| gate.pass())?;
        log.add("outer");
        assert_eq!(log.take(), ["inner", "outer"]);
        let depths = own.depths.borrow();
        assert!(depths.contains(&(1, Serves::Everything)) && depths.contains(&(2, Serves::Everything)), "{depths:?}");
        Ok(())
    });
}

interface! {
    trait Focus {
        fn focus(&self) -> Result<(), CallError> as input_sync;
    }
}

struct Window;

impl Focus for Window {
    fn focus(&self) -> Result<(), CallError> {
        Ok(())
    }
}

implements!(Window: dyn Focus);

#[test]
fn ap_9_a_wait_that_lets_nothing_in_never_runs_the_loop() {
    play(|stage| {
        let worker = stage.sta("worker").spawn()?;
        let (job, window) = (worker.create(|| ())?, worker.create(|| Window)?.cast::<dyn Focus>());
        for policy in [Reentrancy::None, Reentrancy::Classic] {
            let (own, doorbell) = Loop::new(true);
            let ui = stage.sta("ui").reentrancy(policy).host(doorbell).enter()?;
            let here = ui.create(|| ())?;
            let (key, gate) = gate();
            own.send.send(Box::new(|| key.open())).unwrap();
            // Input-synchronized calls only.
            window.focus()?;
            assert_eq!(own.turns.get(), 0, "{policy:?}");
            // Nothing at all, or everything.
            let posts = here.clone();
            job.call(move |()| {
                if policy == Reentrancy::Classic {
                    gate.pass();
                }
                posts.post(|()| ()).map_err(CallError::from)
            })??;
            assert_eq!(own.turns.get() > 0, policy == Reentrancy::Classic, "{policy:?}");
            assert_eq!(own.events.len(), usize::from(policy == Reentrancy::None));
        }
        Ok(())
    });
}

#[test]
fn ap_9_a_wake_is_outstanding_until_a_dispatch_consumes_it() {
    play(|stage| {
        let (host, wakes) = Counting::new(|_| Ok(()));
        let ui = stage.sta("ui").host(host).enter()?;
        let here = ui.create(|| ())?;
        for _ in 0..3 {
            here.post(|()| ())?;
        }
        assert_eq!(wakes.load(SeqCst), 1);
        assert_eq!(ui.dispatch(Budget::ALL).served, 3);
        here.post(|()| ())?;
        assert_eq!(wakes.load(SeqCst), 2);
        // What is taken by other means than a dispatch leaves the wake as it is; the loop comes once too often.
        assert_eq!(ui.pump(), 1);
        let Dispatched { served, more, quits, .. } = ui.dispatch(Budget::ALL);
        assert_eq!((served, more, quits), (0, false, false));
        let told = stage.all(ui.apartment(), like!(Woken { before: false, after: true }));
        assert_eq!(told.len(), 2);
        Ok(())
    });
}

#[test]
fn ap_9_a_wake_that_fails_is_not_outstanding() {
    play(|stage| {
        let (host, wakes) = Counting::new(|nth| if nth < 3 { Err(NotWoken) } else { Ok(()) });
        let ui = stage.sta("ui").host(host).enter()?;
        let here = ui.create(|| ())?;
        for _ in 0..5 {
            here.post(|()| ())?;
        }
        assert_eq!(wakes.load(SeqCst), 3, "two fail, the third is outstanding");
        assert_eq!(stage.count(ui.apartment(), like!(Woken { before: false, after: false })), 2);
        assert_eq!(stage.count(ui.apartment(), like!(Woken { before: false, after: true })), 1);
        assert_eq!(ui.dispatch(Budget::ALL).served, 5);
        Ok(())
    });
}

#[test]
fn ap_9_a_wait_that_is_over_is_woken_by_no_cancel() {
    play(|stage| {
        let (host, wakes) = Counting::new(|_| Ok(()));
        let ui = stage.sta("ui").host(host).enter()?;
        let here = ui.create(|| ())?;
        let (cancel, never) = (CancelHandle::new(), Signal::manual());
        let waited =
            here.with(&CallOptions::new().cancel(&cancel)).call(|()| wait_any(&[&never], Some(Duration::ZERO)))?;
        assert!(matches!(waited, Err(CallError::CallPending)), "{waited:?}");
        let _ = ui.dispatch(Budget::ALL);
        let before = wakes.load(SeqCst);
        cancel.cancel();
        assert_eq!(wakes.load(SeqCst), before);
        Ok(())
    });
}

#[test]
fn ap_9_a_waker_that_panics_is_contained_and_counts_as_failed() {
    play(|stage| {
        let (host, wakes) = Counting::new(|nth| if nth == 1 { panic!("no loop") } else { Ok(()) });
        let ui = stage.sta("ui").host(host).enter()?;
        let here = ui.create(|| ())?;
        here.post(|()| ())?;
        here.post(|()| ())?;
        here.post(|()| ())?;
        assert_eq!(wakes.load(SeqCst), 2);
        let contained = stage.until(ui.apartment(), like!(Contained));
        let What::Contained { place, message } = contained.what else { unreachable!() };
        assert_eq!((place, &*message), ("a host's waker", "no loop"));
        assert_eq!(ui.dispatch(Budget::ALL).served, 3);
        Ok(())
    });
}

#[test]
fn ap_9_a_swallowed_wake_is_repeated_by_the_next_arrival() {
    play(|stage| {
        for (time, builder) in [(millis(100), stage.sta("ui")), (millis(7), stage.sta("ui"))] {
            let (host, wakes) = Counting::new(|_| Ok(()));
            let mut builder = builder.host(host);
            if time != millis(100) {
                builder = builder.wake_again_after(time);
            }
            let ui = builder.enter()?;
            let here = ui.create(|| ())?;
            here.post(|()| ())?;
            stage.clock.advance(time - Duration::from_nanos(1));
            here.post(|()| ())?;
            assert_eq!(wakes.load(SeqCst), 1, "it is not late yet");
            stage.clock.advance(Duration::from_nanos(1));
            here.post(|()| ())?;
            here.post(|()| ())?;
            assert_eq!(wakes.load(SeqCst), 2, "repeated, and outstanding again");
            assert_eq!(stage.count(ui.apartment(), like!(Woken { before: true, after: true })), 1);
        }
        Ok(())
    });
}

#[test]
fn ap_9_a_swallowed_wake_is_repeated_by_the_caller_that_waits() {
    play(|stage| {
        let (rung, rings) = unbounded();
        // The loop hears nothing of the first two.
        let (host, _) = Counting::new(move |nth| if nth > 2 { rung.send(()).map_err(|_| NotWoken) } else { Ok(()) });
        let ui = stage.sta("ui").host(host).enter()?;
        let here = ui.create(|| 7)?;
        let calls = here.clone();
        let caller = thread::spawn(move || calls.call(|n| *n));
        let at = ui.apartment();
        stage.until(at, like!(Woken { before: false }));
        // Whoever moves the clock wakes the caller, which then looks; it repeats as often as it takes.
        while rings.try_recv().is_err() {
            let so_far = stage.count(at, like!(Woken));
            stage.clock.advance(millis(100));
            stage.until_nth(so_far + 1, at, like!(Woken));
        }
        assert_eq!(ui.dispatch(Budget::ALL).served, 1);
        assert_eq!(join(caller)?, 7);
        Ok(())
    });
}

#[test]
fn ap_9_what_a_wait_held_wakes_the_loop_when_the_wait_is_over() {
    play(|stage| {
        let (own, doorbell) = Loop::new(false);
        let ui = stage.sta("ui").reentrancy(Reentrancy::None).host(doorbell).enter()?;
        let here = ui.create(|| Cell::new(0))?;
        let worker = stage.sta("worker").spawn()?;
        let job = worker.create(|| ())?;
        let posts = here.clone();
        job.call(move |()| posts.post(|n| n.set(1)).map_err(CallError::from))??;
        assert_eq!(here.call(Cell::get)?, 0, "held");
        // It woke the wait, which held it; now the loop is woken for it.
        own.rings.recv().unwrap();
        let Dispatched { served, more, .. } = ui.dispatch(Budget::ALL);
        assert_eq!((served, more, here.call(Cell::get)?), (1, false, 1));
        Ok(())
    });
}

#[test]
fn ap_9_what_a_direct_call_held_wakes_the_loop_when_the_call_has_returned() {
    play(|stage| {
        let (own, doorbell) = Loop::new(false);
        let ui = stage.sta("ui").reentrancy(Reentrancy::SameCausality).host(doorbell).enter()?;
        let here = ui.create(|| Cell::new(0))?;
        let other = here.clone();
        let rings = own.rings.clone();
        here.call(move |n| {
            // A loop inside the call: what another chain sends is held there.
            join(thread::spawn(move || other.post(|n| n.set(1)))).unwrap();
            rings.recv().unwrap();
            let Dispatched { served, more, .. } = dispatch(Budget::ALL).unwrap();
            assert_eq!((served, more, n.get()), (0, false, 0));
            assert!(rings.is_empty(), "what cannot be dispatched yet wakes nobody");
        })?;
        own.rings.recv().unwrap();
        assert_eq!(ui.dispatch(Budget::ALL).served, 1);
        Ok(())
    });
}

#[test]
fn ap_9_an_entry_that_may_not_be_dispatched_yet_suppresses_no_wake() {
    play(|stage| {
        let (own, doorbell) = Loop::new(false);
        let ui = stage.sta("ui").reentrancy(Reentrancy::SameCausality).host(doorbell).enter()?;
        let here = ui.create(|| Cell::new(0))?;
        let worker = stage.sta("worker").spawn()?;
        let job = worker.create(|| ())?;
        let (held, back) = (here.clone(), here.clone());
        let (key, gate) = gate();
        own.send.send(Box::new(move || key.open())).unwrap();
        let seen = job.call(move |()| {
            // Of a chain of its own: the wait holds it. It has been looked at, and stays, when the callback comes.
            held.post(|n| n.set(n.get() + 10)).unwrap();
            gate.pass();
            back.call(|n| n.replace(1))
        })??;
        assert_eq!(seen, 0);
        own.rings.recv().unwrap();
        assert_eq!(ui.dispatch(Budget::ALL).served, 1);
        assert_eq!(here.call(Cell::get)?, 11);
        Ok(())
    });
}

#[test]
fn ap_9_a_dispatch_keeps_to_its_budget_and_wakes_for_the_rest() {
    play(|stage| {
        let (host, wakes) = Counting::new(|_| Ok(()));
        let ui = stage.sta("ui").host(host).enter()?;
        let here = ui.create(|| ())?;
        for _ in 0..7 {
            let clock = stage.clock.clone();
            here.post(move |()| clock.advance(millis(2)))?;
        }
        let budget = |entries, time| Budget { entries, time };
        let did = |budget| {
            let before = wakes.load(SeqCst);
            let Dispatched { served, more, .. } = ui.dispatch(budget);
            (served, more, wakes.load(SeqCst) - before)
        };
        assert_eq!(did(budget(0, secs(1))), (0, true, 1));
        assert_eq!(did(budget(2, secs(1))), (2, true, 1));
        assert_eq!(did(budget(9, Duration::ZERO)), (1, true, 1), "one at least");
        assert_eq!(did(budget(9, millis(3))), (2, true, 1), "the second ends behind the time");
        assert_eq!(did(budget(9, millis(2))), (1, true, 1), "the first ends with the time");
        assert_eq!(did(budget(1, secs(1))), (1, false, 0), "nothing is left");
        assert_eq!(did(Budget::ALL), (0, false, 0));
        Ok(())
    });
}

#[test]
fn ap_9_a_dispatch_tells_the_next_deadline() {
    // On a clock that passes: on a driven one there is no such time.
    let process = Process::new();
    let turns = Rc::new(RefCell::new(Vec::new()));
    let (doorbell, _rings) = Doorbell::new();
    let told = turns.clone();
    let (key, gate) = gate();
    let key = RefCell::new(Some(key));
    let turning = doorbell.turning(move |parking| {
        if parking.until().is_some_and(|until| until < Instant::now() + secs(4000)) {
            told.borrow_mut().push((parking.until(), dispatch(Budget::ALL).unwrap().next_deadline));
            drop(key.take());
        }
        Parked::Cannot
    });
    let ui = process.sta("ui").host(turning).wake_again_after(secs(100_000)).enter().unwrap();
    assert_eq!(ui.dispatch(Budget::ALL).next_deadline, None, "nothing is out");
    let worker = process.sta("worker").spawn().unwrap();
    let job = worker.create(|| ()).unwrap();
    let before = Instant::now();
    job.within(secs(3600)).call(|()| gate.pass()).unwrap();
    let after = Instant::now();
    let (until, next) = turns.borrow()[0];
    assert_eq!(until, next);
    let next = next.unwrap();
    assert!(next >= before + secs(3600) && next <= after + secs(3600));
}

#[test]
fn ap_9_a_park_ends_when_a_wake_for_it_would_be_late() {
    let process = Process::new();
    let until = Rc::new(Cell::new(None));
    let (doorbell, _rings) = Doorbell::new();
    let told = until.clone();
    let (key, gate) = gate();
    let key = RefCell::new(Some(key));
    let turning = doorbell.turning(move |parking| {
        assert!(parking.timeout() <= Some(millis(50)));
        told.set(parking.until());
        drop(key.take());
        Parked::Cannot
    });
    let _ui = process.sta("ui").host(turning).wake_again_after(millis(50)).enter().unwrap();
    let worker = process.sta("worker").spawn().unwrap();
    let before = Instant::now();
    worker.create(move || gate.pass()).unwrap();
    let until = until.get().expect("it parked");
    assert!(until >= before + millis(50) && until <= Instant::now() + millis(50));
}

#[test]
fn ap_9_a_dispatch_never_unwinds() {
    struct Bad;
    impl Drop for Bad {
        fn drop(&mut self) {
            panic!("in a destructor")
        }
    }
    play(|stage| {
        let (host, _) = Counting::new(|_| Ok(()));
        let ui = stage.sta("ui").filter(|| crate::stage::incoming(|_| panic!("in a filter"))).host(host).enter()?;
        let (here, bad) = (ui.create(|| ())?, ui.create(|| Bad)?);
        let remote = here.clone();
        let refused = thread::spawn(move || remote.call(|()| ()));
        stage.until(ui.apartment(), like!(Queued));
        here.post(|()| panic!("in a post"))?;
        here.post(|()| std::panic::panic_any(Bad))?;
        ui.apartment().post_message(MessageClass::Input, || panic!("in a message"))?;
        join(thread::spawn(move || drop(bad)));
        assert_eq!(ui.dispatch(Budget::ALL).served, 5);
        assert_eq!(join(refused).unwrap_err().hresult(), hresult::CALL_REJECTED);
        let contained = stage.count(ui.apartment(), like!(Contained));
        assert_eq!(contained, 2, "the filter's and the destructor's; the others are told with what they ended");
        Ok(())
    });
}

#[test]
fn ap_9_a_dispatch_may_be_called_at_any_depth() {
    play(|stage| {
        let (host, _) = Counting::new(|_| Ok(()));
        let ui = Rc::new(stage.sta("ui").host(host).enter()?);
        let here = ui.create(|| ui.clone())?;
        let log = Log::new();
        fn down(here: &Proxy<Rc<Entered>>, log: &Log<(u32, usize)>, left: u32) {
            let (next, log) = (here.clone(), log.clone());
            here.post(move |ui| {
                if left > 0 {
                    down(&next, &log, left - 1);
                }
                log.add((left, ui.dispatch(Budget::ALL).served));
            })
            .unwrap();
        }
        down(&here, &log, 20);
        assert_eq!(ui.dispatch(Budget::ALL).served, 1);
        let expected: Vec<_> = (0..=20).map(|left| (left, usize::from(left > 0))).collect();
        assert_eq!(log.take(), expected, "the innermost first");
        // Its object held a guard: that has to go before the last one.
        drop(here);
        assert!(!ui.dispatch(Budget::ALL).quits);
        Ok(())
    });
}

#[test]
fn ap_9_a_dispatch_inside_a_filter_s_method_serves_and_consumes_nothing() {
    play(|stage| {
        let (host, wakes) = Counting::new(|_| Ok(()));
        let ui = stage.sta("ui").host(host).enter()?;
        let here = ui.create(|| ())?;
        let (count, posts) = (wakes.clone(), here.clone());
        let filter = crate::stage::incoming(move |_| {
            posts.post(|()| ()).unwrap();
            let outstanding = count.load(SeqCst);
            let Dispatched { served, more, .. } = dispatch(Budget::ALL).unwrap();
            posts.post(|()| ()).unwrap();
            assert_eq!((served, more, count.load(SeqCst)), (0, false, outstanding));
            ServerCall::Handled
        });
        register_filter(Some(Rc::new(filter)))?;
        let callers: Vec<_> =
            (0..2).map(|_| here.clone()).map(|here| thread::spawn(move || here.call(|()| ()))).collect();
        stage.until_nth(2, ui.apartment(), like!(Queued));
        assert_eq!(ui.dispatch(Budget::ALL).served, 6, "two calls, and two posts for each");
        callers.into_iter().try_for_each(join)
    });
}

/// Each change by itself, with the wake before it consumed.
#[test]
fn ap_9_everything_that_arrives_wakes_the_loop() {
    play(|stage| {
        let (host, wakes) = Counting::new(|_| Ok(()));
        let ui = stage.sta("ui").host(host).enter()?;
        let here = ui.apartment();
        let (object, window) = (ui.create(|| ())?, ui.create(|| Window)?.cast::<dyn Focus>());
        let released = ui.create(|| ())?;
        let before = Cell::new(0);
        let woken = |what: &str| {
            // A reply's own ring may come behind the reply, and is one too many.
            loop {
                stage.until_nth(before.get() + 1, here, like!(Woken));
                before.set(before.get() + 1);
                let Dispatched { served, quits, .. } = ui.dispatch(Budget::ALL);
                if served > 0 || quits {
                    return assert_eq!(served, usize::from(!quits), "{what}");
                }
            }
        };
        object.post(|()| ())?;
        woken("a post");
        here.post_message(MessageClass::Paint, || ())?;
        woken("a message");
        join(thread::spawn(move || drop(released)));
        woken("a release");
        let calls = object.clone();
        let caller = thread::spawn(move || calls.call(|()| ()));
        woken("a call");
        join(caller)?;
        let other = stage.sta("other").spawn()?;
        let focus = other.create(move || window)?;
        focus.post(|window| window.focus().unwrap())?;
        woken("an input-synchronized call");
        here.quit();
        woken("a quit");
        assert!(before.get() <= wakes.load(SeqCst));
        Ok(())
    });
}

/// In a wait that runs the loop, each that can let it go on ends it: the loop returns from nothing else.
#[test]
fn ap_9_everything_that_lets_a_wait_go_on_wakes_the_loop() {
    play(|stage| {
        let (own, doorbell) = Loop::new(false);
        let ui = stage.sta("ui").host(doorbell).enter()?;
        let worker = stage.sta("worker").capacity(1).spawn()?;
        let job = worker.create(|| ())?;
        // A reply.
        job.call(|()| ())?;
        // A deadline, by the clock that is moved from another thread.
        let busy = crate::support::hold(&job);
        let clock = stage.clock.clone();
        let (at, recording) = (worker.apartment().clone(), stage.process.recording().unwrap());
        let queued = crate::support::count(&recording, crate::support::at(&at, like!(Queued)));
        let moves = thread::spawn(move || {
            recording.until(crate::support::nth(queued + 1, crate::support::at(&at, like!(Queued))));
            clock.advance(secs(5));
        });
        assert_eq!(job.within(secs(5)).call(|()| ()).unwrap_err().hresult(), hresult::TIMED_OUT);
        join(moves);
        // A cancel.
        let cancel = CancelHandle::new();
        let cancels = cancel.clone();
        own.send.send(Box::new(move || cancels.cancel())).unwrap();
        let options = CallOptions::new().cancel(&cancel);
        assert_eq!(job.with(&options).call(|()| ()).unwrap_err().hresult(), hresult::CALL_CANCELED);
        // Room, for a call and for a post.
        job.post(|()| ())?;
        own.send.send(Box::new(move || busy.open())).unwrap();
        job.with(&CallOptions::new().wait_for_room()).call(|()| ())?;
        let busy = crate::support::hold(&job);
        job.post(|()| ())?;
        own.send.send(Box::new(move || busy.open())).unwrap();
        job.with(&PostOptions::new().wait_for_room()).post(|()| ())?;
        job.with(&CallOptions::new().wait_for_room()).call(|()| ())?;
        // The end of a call on what is being disconnected, and of a thread.
        let busy = crate::support::hold(&job);
        own.send.send(Box::new(move || busy.open())).unwrap();
        job.disconnect()?;
        let apartment = worker.apartment().clone();
        drop(job);
        own.send.send(Box::new(move || apartment.quit())).unwrap();
        worker.join()?;
        assert!(own.turns.get() >= 6, "{}", own.turns.get());
        drop(ui);
        Ok(())
    });
}

#[test]
fn ap_9_a_waker_is_called_with_no_lock_held() {
    play(|stage| {
        let list = Arc::new(AtomicBool::new(false));
        let elsewhere = stage.sta("elsewhere").spawn()?;
        let counter = elsewhere.create(|| Cell::new(0))?;
        let (process, clock, posts, entered) =
            (stage.process.clone(), stage.clock.clone(), counter.clone(), list.clone());
        // It uses all there is, what it is woken about included.
        let (host, wakes) = Counting::new(move |_| {
            if let Some(main) = process.main_sta() {
                assert!(main.queued() <= 10_000);
            }
            assert!(!entered.swap(true, SeqCst), "it is not called inside itself");
            posts.post(|n| n.set(n.get() + 1)).unwrap();
            clock.advance(Duration::from_nanos(1));
            process.recording().unwrap().events();
            entered.store(false, SeqCst);
            Ok(())
        });
        let ui = stage.sta("ui").host(host).enter()?;
        let here = ui.create(|| Cell::new(0))?;
        let calls = here.clone();
        let caller = thread::spawn(move || (0..20).try_for_each(|_| calls.call(|n| n.set(n.get() + 1))));
        while here.call(Cell::get)? < 20 {
            let _ = ui.dispatch(Budget::ALL);
            thread::yield_now();
        }
        join(caller)?;
        drop(here);
        ui.apartment().quit();
        assert!(wakes.load(SeqCst) > 1);
        Ok(())
    });
}

#[test]
fn ap_9_a_host_that_panics_in_park_is_contained_and_the_wait_goes_on() {
    play(|stage| {
        let parks = Rc::new(Cell::new(0));
        let (doorbell, _rings) = Doorbell::new();
        let count = parks.clone();
        let turning = doorbell.turning(move |_| {
            count.set(count.get() + 1);
            panic!("the loop is broken")
        });
        let ui = stage.sta("ui").host(turning).enter()?;
        let here = ui.create(|| Cell::new(0))?;
        let worker = stage.sta("worker").spawn()?;
        let job = worker.create(|| ())?;
        // The creation may have had to wait, too.
        let before = parks.get();
        for round in 1..=2 {
            let back = here.clone();
            let (key, gate) = gate();
            let at = ui.apartment().clone();
            let (recording, nth) = (stage.process.recording().unwrap(), before + round);
            let opens = thread::spawn(move || {
                recording.until(crate::support::nth(nth, crate::support::at(&at, like!(Contained))));
                key.open();
            });
            // It sleeps on the bell from then on, and serves.
            job.call(move |()| {
                gate.pass();
                back.call(|n| n.set(n.get() + 1))
            })??;
            join(opens);
            assert_eq!((here.call(Cell::get)?, parks.get()), (round, before + round), "once for each wait");
        }
        let What::Contained { place, message } = stage.until(ui.apartment(), like!(Contained)).what else {
            unreachable!()
        };
        assert_eq!((place, &*message), ("a host's park", "the loop is broken"));
        Ok(())
    });
}

#[test]
fn ap_9_a_host_may_refuse_that_its_thread_blocks() {
    play(|stage| {
        let worker = stage.sta("worker").spawn()?;
        let elsewhere = worker.create(|| Cell::new(0))?;
        let (mut host, wakes) = Counting::new(|_| Ok(()));
        host.blocks = false;
        let ui = stage.sta("ui").host(host).enter()?;
        let here = ui.create(|| Cell::new(0))?;
        stage.begin();
        let refused = |error: CallError| {
            assert_eq!(error.hresult(), hresult::NOT_SUPPORTED);
            assert!(error.to_string().contains("call_async"), "{error}");
        };
        refused(elsewhere.call(Cell::get).unwrap_err());
        refused(worker.create(|| ()).unwrap_err());
        let patient = PostOptions::new().wait_for_room();
        refused(elsewhere.with(&patient).post(|_| ()).unwrap_err().error().clone());
        refused(stage.sta("filtered").filter(|| crate::stage::incoming(|_| ServerCall::Handled)).spawn().unwrap_err());
        refused(stage.mta().around(|| Ok::<_, CallError>(())).spawn().unwrap_err());
        assert!(stage.process.end(secs(1)).unwrap_err().to_string().contains("lets nothing block it"));
        let (set, never) = (Signal::auto(), Signal::auto());
        refused(wait_any(&[&never], Some(secs(1))).unwrap_err());
        assert!(matches!(wait_any(&[&never], Some(Duration::ZERO)), Err(CallError::CallPending)), "only a look");
        set.set();
        assert_eq!(wait_any(&[&never, &set], None)?, 1, "it is there");
        assert_eq!(stage.count(worker.apartment(), like!(Queued)), 0, "nothing has been made of them");
        // What need not wait is as ever.
        here.call(|n| n.set(1))?;
        elsewhere.post(|n| n.set(1))?;
        stage.until(worker.apartment(), like!(Ended));
        let other = here.clone();
        let caller = thread::spawn(move || other.call(|n| n.replace(2)));
        stage.until(ui.apartment(), like!(Woken));
        assert!(wakes.load(SeqCst) > 0);
        assert_eq!(ui.dispatch(Budget::ALL).served, 1);
        assert_eq!(join(caller)?, 1);
        // A loop that is its own would block: it serves what is there.
        here.post(|n| n.set(3))?;
        ui.run();
        assert_eq!(here.call(Cell::get)?, 3);
        // A join fails, a drop asks to quit and does not wait.
        refused(stage.sta("joined").spawn()?.join().unwrap_err());
        let at = worker.apartment().clone();
        drop(worker);
        stage.until(&at, like!(ApartmentEnded));
        Ok(())
    });
}

#[test]
fn ap_9_leaving_gives_the_thread_back_to_its_loop() {
    struct Told(Log<&'static str>, &'static str);
    impl Drop for Told {
        fn drop(&mut self) {
            self.0.add(self.1);
            panic!("in its destructor")
        }
    }
    struct Leaves {
        _told: Told,
        log: Log<&'static str>,
    }
    impl Host for Leaves {
        fn waker(&self) -> Box<dyn Wake> {
            let told = Told(self.log.clone(), "waker");
            let log = self.log.clone();
            Box::new(move || {
                let _whole = &told;
                log.add("woken");
                Ok(())
            })
        }

        fn park(&self, _: &Parking) -> Parked {
            Parked::Cannot
        }
    }
    play(|stage| {
        let log = Log::new();
        let ui = stage.sta("ui").host(Leaves { _told: Told(log.clone(), "host"), log: log.clone() }).enter()?;
        let at = ui.apartment().clone();
        let here = ui.create(|| ())?;
        here.post(|()| ())?;
        assert_eq!(log.take(), ["woken"]);
        // What was accepted is served; then both halves go, and the panics of their destructors are contained.
        drop(ui);
        assert_eq!(log.take(), ["waker", "host"]);
        assert_eq!(stage.count(&at, like!(Ended)), 1);
        assert_eq!(stage.count(&at, like!(Contained { place: "the destructor of a host's waker" })), 1);
        assert_eq!(stage.count(&at, like!(Contained { place: "the destructor of a host" })), 1);
        // The thread is nobody's, and may be an ordinary STA.
        let plain = stage.sta("plain").enter()?;
        plain.create(|| ())?.post(|()| ())?;
        assert_eq!(plain.pump(), 1);
        assert!(log.take().is_empty());
        Ok(())
    });
}

#[test]
fn ap_9_leaving_in_the_middle_takes_effect_when_the_outermost_returns() {
    play(|stage| {
        let (own, doorbell) = Loop::new(true);
        let guard = Rc::new(RefCell::new(Some(stage.sta("ui").host(doorbell).enter()?)));
        let worker = stage.sta("worker").spawn()?;
        let job = worker.create(|| ())?;
        let here = guard.borrow().as_ref().map(|ui| ui.create(|| guard.clone())).unwrap()?;
        let at = here.apartment().unwrap();
        let back = here.clone();
        // Inside the wait's loop, in a served call: the guard goes.
        let left = job.call(move |()| back.call(|guard| drop(guard.borrow_mut().take())))?;
        left?;
        assert!(own.turns.get() > 0);
        assert_eq!(stage.count(&at, like!(ApartmentEnded)), 1);
        assert!(dispatch(Budget::ALL).is_err(), "the thread is in no apartment");
        Ok(())
    });
}

#[test]
fn ap_9_a_quit_that_a_wait_has_consumed_wakes_the_loop_afterwards() {
    play(|stage| {
        let (own, doorbell) = Loop::new(false);
        let ui = stage.sta("ui").reentrancy(Reentrancy::None).host(doorbell).enter()?;
        let worker = stage.sta("worker").spawn()?;
        let (job, here) = (worker.create(|| ())?, ui.create(|| ())?);
        let at = ui.apartment().clone();
        job.call(move |()| at.quit())?;
        own.rings.recv().unwrap();
        assert!(ui.dispatch(Budget::ALL).quits);
        // The reply's own ring may have come behind the reply.
        job.post(|()| ())?;
        stage.until_nth(3, worker.apartment(), like!(Began));
        let _late = own.rings.try_recv();
        assert!(ui.dispatch(Budget::ALL).quits);
        // Told once: a loop that takes its time is not woken for ever.
        here.call(|()| ())?;
        assert!(own.rings.is_empty());
        Ok(())
    });
}

#[test]
fn ap_9_an_owner_that_unwinds_or_leaks_its_guard_gives_the_thread_back() {
    play(|stage| {
        for leaks in [true, false] {
            let (host, wakes) = Counting::new(|_| Ok(()));
            let builder = stage.sta("ui");
            let (made, given) = bounded(1);
            let (key, gate) = gate();
            let owner = thread::spawn(move || {
                let ui = builder.host(host).enter().unwrap();
                made.send(ui.create(|| ()).unwrap()).unwrap();
                gate.pass();
                if leaks {
                    forget(ui);
                } else {
                    std::panic::resume_unwind(Box::new("the loop is over"));
                }
            });
            let here = given.recv().unwrap();
            let calls = here.clone();
            let caller = thread::spawn(move || calls.call(|()| ()));
            stage.until(&here.apartment().unwrap(), like!(Woken));
            key.open();
            assert_eq!(join(caller).unwrap_err().hresult(), hresult::SERVER_DIED_DNE);
            assert_eq!(owner.join().is_err(), !leaks);
            let before = wakes.load(SeqCst);
            assert!(here.post(|()| ()).is_err());
            assert_eq!(wakes.load(SeqCst), before, "nobody is woken any more");
        }
        Ok(())
    });
}

#[test]
fn ap_9_entering_again_keeps_the_host() {
    play(|stage| {
        let (host, wakes) = Counting::new(|_| Ok(()));
        let (second, others) = Counting::new(|_| Ok(()));
        let ui = stage.sta("ui").host(host).enter()?;
        let again = stage.sta("again").host(second).enter()?;
        assert!(again.is_nested());
        let here = ui.create(|| ())?;
        here.post(|()| ())?;
        assert_eq!(again.dispatch(Budget::ALL).served, 1);
        drop(ui);
        here.post(|()| ())?;
        assert_eq!((wakes.load(SeqCst), others.load(SeqCst)), (2, 0));
        assert_eq!(again.dispatch(Budget::ALL).served, 1);
        Ok(())
    });
}

#[test]
fn ap_9_a_filter_that_cannot_be_made_leaves_the_loop_its_thread() {
    play(|stage| {
        let (host, wakes) = Counting::new(|_| Ok(()));
        let failed = stage.sta("ui").filter(|| -> crate::stage::Answers { panic!("no filter") }).host(host).enter();
        assert_eq!(failed.unwrap_err().hresult(), hresult::SYS_CALL_FAILED);
        let before = wakes.load(SeqCst);
        let plain = stage.sta("plain").enter()?;
        plain.create(|| ())?.post(|()| ())?;
        assert_eq!((plain.pump(), wakes.load(SeqCst)), (1, before));
        Ok(())
    });
}

#[test]
fn ap_9_calls_between_processes_wake_by_the_clock_of_the_loop_s_own() {
    play(|stage: &Stage| {
        // The caller is of a process whose clock stands still.
        let other = Process::builder().clock(Clock::driven()).build();
        let caller = other.sta("caller").spawn()?;
        let (host, wakes) = Counting::new(|_| Ok(()));
        let ui = stage.sta("ui").host(host).enter()?;
        let here = ui.create(|| Cell::new(3))?;
        // By another thread: the answer to one that waits here may wake the loop.
        let reaches = thread::scope(|s| s.spawn(|| caller.create(move || here)).join()).unwrap()?;
        reaches.post(|here| here.call(|n| n.set(4)).unwrap())?;
        let at = ui.apartment();
        stage.until(at, like!(Woken { before: false }));
        other.clock().advance(secs(9));
        stage.clock.advance(millis(100));
        stage.until(at, like!(Woken { before: true }));
        assert_eq!(wakes.load(SeqCst), 2);
        assert_eq!(ui.dispatch(Budget::ALL).served, 1);
        // And out of the loop into the other process, whose apartment calls back.
        let back = reaches.call(|here| here.call(Cell::get))??;
        assert_eq!(back, 4);
        drop(reaches);
        drop(caller);
        Ok(())
    });
}

/// A loop that runs, inside a wait, until it has handled a wake; its own events are handled on the way.
fn patient() -> (Sender<Event>, Doorbell) {
    let (doorbell, rings) = Doorbell::new();
    let (send, events) = unbounded::<Event>();
    let turning = doorbell.turning(move |_| {
        loop {
            select! {
                recv(rings) -> _ => return Parked::Looped,
                recv(events) -> event => event.unwrap()(),
            }
        }
    });
    (send, turning)
}

/// The ring that was the lower wait's is consumed by the one on top of it, in the loop or on the bell.
#[test]
fn ap_9_a_wait_on_top_of_a_park_leaves_a_wake_for_the_wait_below() {
    for policy in [Reentrancy::Classic, Reentrancy::SameCausality] {
        for on_the_bell in [false, true] {
            play(move |stage| {
                let (events, doorbell) = patient();
                let _ui = stage.sta("ui").reentrancy(policy).host(doorbell).enter()?;
                let (first, second) = (stage.sta("first").spawn()?, stage.sta("second").spawn()?);
                let (slow, quick) = (first.create(|| ())?, second.create(|| ())?);
                let (key, gate) = gate();
                let behind = slow.clone();
                let event = move || {
                    if on_the_bell {
                        let ended = Signal::manual();
                        let tells = ended.clone();
                        quick
                            .post(move |()| {
                                key.open();
                                behind.call(|()| ()).unwrap();
                                tells.set();
                            })
                            .unwrap();
                        blocking_wait_any(&[&ended], None).unwrap();
                    } else {
                        quick
                            .call(move |()| {
                                key.open();
                                behind.call(|()| ()).unwrap();
                            })
                            .unwrap();
                    }
                };
                events.send(Box::new(event)).unwrap();
                slow.call(move |()| gate.pass())?;
                Ok(())
            });
        }
    }
}

#[test]
fn ap_9_a_swallowed_wake_is_repeated_by_who_ends_the_process() {
    struct Agrees;
    impl EndHandler for Agrees {}
    play(|_| {
        for handles in [false, true] {
            let clock = Clock::driven();
            let process = Process::builder().clock(clock.clone()).record(10_000).build();
            let recording = process.recording().unwrap();
            let (said, say) = bounded(1);
            let builder = if handles { process.sta("ui").end_handler(|| Agrees) } else { process.sta("ui") };
            let ui = thread::spawn(move || {
                let (rung, rings) = unbounded();
                // Every other wake is lost.
                let hears =
                    move |nth: usize| if nth.is_multiple_of(2) { rung.send(()).map_err(|_| NotWoken) } else { Ok(()) };
                let (host, _) = Counting::new(hears);
                let ui = builder.host(host).enter().unwrap();
                said.send(()).unwrap();
                while !ui.dispatch(Budget::ALL).quits {
                    rings.recv().unwrap();
                }
            });
            say.recv().unwrap();
            let ender = process.clone();
            let ended = thread::spawn(move || ender.end(secs(1_000)));
            // Whoever moves the clock wakes who ends the process, and that one the loop.
            let mut seen = 0;
            loop {
                let next = recording.until(|event| {
                    event.seq > seen && matches!(event.what, What::Woken { .. } | What::ApartmentEnded { .. })
                });
                if matches!(next.what, What::ApartmentEnded { .. }) {
                    break;
                }
                seen = next.seq;
                clock.advance(millis(100));
            }
            assert!(join(ended).unwrap().still_in.is_empty());
            join(ui);
        }
        Ok(())
    });
}

#[test]
fn ap_9_a_time_of_zero_for_a_wake_is_no_storm_of_wakes() {
    let process = Process::builder().record(100_000).build();
    let (rung, rings) = unbounded();
    let (host, wakes) = Counting::new(move |_| rung.send(()).map_err(|_| NotWoken));
    let ui = process.sta("ui").host(host).wake_again_after(Duration::ZERO).enter().unwrap();
    let here = ui.create(|| ()).unwrap();
    let (calls, began) = (here.clone(), Instant::now());
    let caller = thread::spawn(move || calls.call(|()| ()));
    while wakes.load(SeqCst) < 3 {
        thread::yield_now();
    }
    let (wakes, time) = (wakes.load(SeqCst), began.elapsed().as_millis());
    assert!(wakes as u128 <= time + 1, "{wakes} wakes in {time} milliseconds");
    rings.recv().unwrap();
    assert_eq!(ui.dispatch(Budget::ALL).served, 1);
    join(caller).unwrap();
}

#[test]
fn ap_9_adopted_threads_call_each_other_within_a_process_and_across() {
    for across in [false, true] {
        play(move |stage| {
            let other = Process::builder().clock(Clock::driven()).build();
            let builder = if across { other.sta("other") } else { stage.sta("other") };
            let (list, _, others) = loops(builder, true);
            let (mine, doorbell) = Loop::new(false);
            let ui = stage.sta("ui").host(doorbell).enter()?;
            let own = ui.create(|| Cell::new(0))?;
            for depth in [0u32, 1, 2, 7] {
                fn down(list: &Proxy<RefCell<Vec<u32>>>, own: &Proxy<Cell<u32>>, depth: u32) -> Result<(), CallError> {
                    let (next, back) = (list.clone(), own.clone());
                    list.call(move |list| {
                        list.borrow_mut().push(depth);
                        let again = back.clone();
                        back.call(move |own| {
                            own.set(own.get() + 1);
                            if depth > 0 { down(&next, &again, depth - 1) } else { Ok(()) }
                        })?
                    })?
                }
                down(&list, &own, depth)?;
            }
            // 1 + 2 + 3 + 8
            assert_eq!((own.call(Cell::get)?, list.call_ref(Vec::len)?), (14, 14));
            list.apartment().unwrap().quit();
            join(others);
            let _ = mine;
            Ok(())
        });
    }
}

#[test]
fn ap_9_a_future_s_call_comes_from_a_host_that_refuses_to_block() {
    play(|stage| {
        let worker = stage.sta("worker").spawn()?;
        let elsewhere = worker.create(|| Cell::new(1))?;
        let (rung, rings) = unbounded();
        let (mut host, _) = Counting::new(move |_| rung.send(()).map_err(|_| NotWoken));
        host.blocks = false;
        let ui = stage.sta("ui").host(host).enter()?;
        let here = ui.create(|| Cell::new(0))?;
        struct Flag(Sender<()>);
        impl std::task::Wake for Flag {
            fn wake(self: Arc<Self>) {
                let _ = self.0.send(());
            }
        }
        let (tells, told) = unbounded();
        let waker = std::task::Waker::from(Arc::new(Flag(tells)));
        let mut context = std::task::Context::from_waker(&waker);
        let mut future = Box::pin(elsewhere.call_async(move |n| here.post(move |h| h.set(1)).map(|()| n.get())));
        let got = loop {
            match future.as_mut().poll(&mut context) {
                std::task::Poll::Ready(got) => break got,
                std::task::Poll::Pending => told.recv().unwrap(),
            }
        };
        assert_eq!(got??, 1);
        rings.recv().unwrap();
        assert_eq!(ui.dispatch(Budget::ALL).served, 1);
        Ok(())
    });
}

#[test]
fn ap_9_a_dispatch_with_no_budget_serves_nothing_and_says_that_there_is_more() {
    play(|stage| {
        let (doorbell, rings) = Doorbell::new();
        let ui = stage.sta("ui").host(doorbell).enter()?;
        let here = ui.create(|| ())?;
        here.post(|()| ())?;
        let nothing = Budget { entries: 0, time: Duration::ZERO };
        for _ in 0..3 {
            rings.recv().unwrap();
            let dispatched = ui.dispatch(nothing);
            assert_eq!((dispatched.served, dispatched.more), (0, true));
        }
        rings.recv().unwrap();
        assert_eq!(ui.dispatch(Budget { time: Duration::ZERO, ..Budget::ALL }).served, 1);
        assert!(!ui.dispatch(nothing).more && rings.is_empty());
        Ok(())
    });
}

#[test]
fn dl_1_messages_that_a_loop_runs_inside_a_wait_hold_room_for_nobody_for_ever() {
    play(|stage| {
        let (list, events, ui) = loops(stage.sta("ui").capacity(1), true);
        let here = list.apartment().unwrap();
        let worker = stage.sta("worker").spawn()?;
        let job = worker.create(|| ())?;
        let at = worker.apartment().clone();
        let (key, closed) = gate();
        let (say, said) = unbounded();
        let room = list.clone();
        job.post(move |()| {
            closed.pass();
            say.send(room.with(&CallOptions::new().wait_for_room()).call(|_| ())).unwrap();
        })?;
        let (tell, told) = unbounded();
        let joins = move || {
            worker.quit();
            tell.send(worker.join()).unwrap();
        };
        events.send(Box::new(joins)).unwrap();
        stage.until(&here, like!(WaitBegan));
        // An event of the loop's own holds it up inside the wait, while a message takes the only place.
        let (begin, began) = bounded(1);
        let (own_key, own) = gate();
        let event = move || {
            begin.send(()).unwrap();
            own.pass();
        };
        events.send(Box::new(event)).unwrap();
        began.recv().unwrap();
        here.post_message(MessageClass::User, || ())?;
        key.open();
        stage.until(&at, like!(WaitTurned));
        own_key.open();
        said.recv().unwrap()?;
        told.recv().unwrap()?;
        here.quit();
        join(ui);
        Ok(())
    });
}
