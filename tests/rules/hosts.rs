//! AP-9: when a host is woken, and when it is parked. The host here does what the test says instead of running a loop.

use crate::support::{hold, join, must_end, recorded};
use apartment::{
    Budget, CallError, Clock, Host, MessageClass, NotWoken, Parked, Parking, PostOptions, Process, Reentrancy, WaitFor,
    Wake, What, dispatch,
};
use crossbeam_channel::{Receiver, Sender, unbounded};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::thread;
use std::time::Duration;

/// After so long a wake counts as swallowed.
const LATE: Duration = Duration::from_millis(100);
const LONG: Duration = Duration::from_secs(60);

/// Sends something for each wake.
struct Told {
    wakes: Sender<()>,
    blocks: bool,
    park: Box<dyn Fn(&Parking) -> Parked>,
}

impl Told {
    /// A host that parks so.
    fn parks(park: impl Fn(&Parking, &Receiver<()>) -> Parked + 'static) -> (Self, Receiver<()>) {
        let (wakes, woken) = unbounded();
        let own = woken.clone();
        (Self { wakes, blocks: true, park: Box::new(move |parking| park(parking, &own)) }, woken)
    }

    /// One that cannot be parked.
    fn stays() -> (Self, Receiver<()>) {
        Self::parks(|_, _| Parked::Cannot)
    }
}

impl Host for Told {
    fn waker(&self) -> Box<dyn Wake> {
        let wakes = self.wakes.clone();
        Box::new(move || wakes.send(()).map_err(|_| NotWoken))
    }

    fn may_block(&self) -> bool {
        self.blocks
    }

    fn park(&self, parking: &Parking) -> Parked {
        (self.park)(parking)
    }
}

fn driven() -> Process {
    Process::builder().clock(Clock::driven()).build()
}

#[test]
fn ap_9_a_wait_on_top_of_a_parked_one_wakes_the_loop_for_what_it_has_consumed() {
    must_end(|| {
        let process = driven();
        let [one, two] = ["one", "two"].map(|name| process.sta(name).spawn().unwrap());
        let (at_one, at_two) = (one.create(|| ()).unwrap(), two.create(|| ()).unwrap());
        let (free_one, one_goes) = unbounded::<()>();
        let (free_two, two_goes) = unbounded::<()>();
        let (tell, answered) = unbounded();
        let depths = Rc::new(RefCell::new(Vec::new()));
        let (seen, behind) = (depths.clone(), [at_one.clone(), at_two.clone()]);
        let (inner, two_waits) = (at_two.clone(), two_goes.clone());
        let (host, woken) = Told::parks(move |parking, woken| {
            seen.borrow_mut().push(parking.depth());
            let turn = seen.borrow().len();
            match turn {
                // The loop makes a call of its own, on top of the wait.
                1 => {
                    let waits = two_waits.clone();
                    inner.call(move |()| waits.recv().unwrap()).unwrap();
                }
                2 => {
                    // Both are answered in its wait, which then consumes all there is.
                    for at in &behind {
                        let tell = tell.clone();
                        at.post(move |()| tell.send(()).unwrap()).unwrap();
                    }
                    free_one.send(()).unwrap();
                    free_two.send(()).unwrap();
                    for _ in &behind {
                        answered.recv().unwrap();
                    }
                    while woken.try_recv().is_ok() {}
                    return Parked::Looped;
                }
                _ => free_two.send(()).unwrap(),
            }
            woken.recv().unwrap();
            Parked::Looped
        });
        let _ui = process.sta("ui").host(host).enter().unwrap();
        at_one.call(move |()| one_goes.recv().unwrap()).unwrap();
        assert_eq!(*depths.borrow(), [1, 2]);
        assert!(woken.try_recv().is_err(), "nothing is left to look at");
        at_two.call(move |()| two_goes.recv().unwrap()).unwrap();
        assert!(woken.try_recv().is_err(), "there was no wait below");
    });
}

#[test]
fn ap_9_room_whose_wake_is_swallowed_is_told_again_after_a_time() {
    must_end(|| {
        let process = driven();
        let full = process.sta("full").capacity(1).spawn().unwrap();
        let at_full = full.create(|| ()).unwrap();
        let held = Cell::new(Some(hold(&at_full)));
        at_full.post(|()| ()).unwrap();
        let wakes = Rc::new(Cell::new(0));
        let (counted, clock) = (wakes.clone(), process.clock().clone());
        let (host, _woken) = Told::parks(move |_, woken| {
            drop(held.take());
            woken.recv().unwrap();
            counted.set(counted.get() + 1);
            clock.advance(LATE);
            woken.recv().unwrap();
            counted.set(counted.get() + 1);
            Parked::Looped
        });
        let _ui = process.sta("ui").host(host).enter().unwrap();
        at_full.with(&PostOptions::new().wait_for_room()).post(|()| ()).unwrap();
        assert_eq!(wakes.get(), 2);
    });
}

#[test]
fn ap_9_where_nothing_may_block_what_need_not_wait_is_as_ever() {
    must_end(|| {
        let process = driven();
        let other = process.sta("other").spawn().unwrap();
        let at_other = other.create(|| Cell::new(0)).unwrap();
        let (host, _woken) = Told::stays();
        let ui = process.sta("ui").host(Told { blocks: false, ..host }).enter().unwrap();
        let here = ui.create(|| Cell::new(0)).unwrap();
        let add = |n: &Cell<u32>| n.set(n.get() + 1);
        at_other.post(add).unwrap();
        let refused = at_other.with(&PostOptions::new().wait_for_room()).post(add).unwrap_err();
        assert!(matches!(refused.error(), CallError::NotSupported { .. }), "{refused}");
        assert!(matches!(at_other.call(add), Err(CallError::NotSupported { .. })));
        here.post(add).unwrap();
        ui.run();
        assert_eq!(here.call(Cell::get).unwrap(), 1);
    });
}

#[test]
fn ap_9_who_waits_for_room_at_a_loop_that_has_swallowed_a_wake_wakes_it_again() {
    must_end(|| {
        let (process, recording) = recorded();
        let (give, given) = unbounded();
        let of = process.clone();
        let ui = thread::spawn(move || {
            let (host, woken) = Told::stays();
            let ui = of.sta("ui").capacity(1).host(host).enter().unwrap();
            give.send(ui.create(|| Cell::new(0)).unwrap()).unwrap();
            // Swallowed.
            woken.recv().unwrap();
            recording.until(|event| matches!(event.what, What::WaitBegan { on: WaitFor::Room, .. }));
            of.clock().advance(LATE);
            let mut served = 0;
            while served < 2 {
                woken.recv().unwrap();
                served += ui.dispatch(Budget::ALL).served;
            }
        });
        let here = given.recv().unwrap();
        let add = |n: &Cell<u32>| n.set(n.get() + 1);
        here.post(add).unwrap();
        here.with(&PostOptions::new().wait_for_room()).post(add).unwrap();
        join(ui);
    });
}

#[test]
fn lt_8_a_process_that_ends_wakes_a_loop_that_has_swallowed_a_wake_again() {
    must_end(|| {
        let (process, recording) = recorded();
        let (entered, enters) = unbounded();
        let of = process.clone();
        let ui = thread::spawn(move || {
            let (host, woken) = Told::stays();
            let ui = of.sta("ui").host(host).enter().unwrap();
            entered.send(()).unwrap();
            // Swallowed.
            woken.recv().unwrap();
            recording.until(|event| matches!(event.what, What::WaitBegan { .. }));
            of.clock().advance(LATE);
            loop {
                woken.recv().unwrap();
                if ui.dispatch(Budget::ALL).quits {
                    break;
                }
            }
        });
        enters.recv().unwrap();
        assert!(process.end(LONG).unwrap().still_in.is_empty());
        join(ui);
    });
}

#[test]
fn ca_3_a_wait_of_the_callee_wakes_a_future_whose_time_is_up() {
    use apartment::AsyncOptions;
    use std::pin::pin;
    use std::sync::Arc;
    use std::task::{Context, Poll};

    struct Tells(Sender<()>);
    impl std::task::Wake for Tells {
        fn wake(self: Arc<Self>) {
            let _nobody_waits = self.0.send(());
        }
    }

    must_end(|| {
        let process = driven();
        let waits = process.sta("waits").reentrancy(Reentrancy::None).spawn().unwrap();
        let other = process.sta("other").capacity(1).spawn().unwrap();
        let (at_waits, at_other) = (waits.create(|| ()).unwrap(), other.create(|| ()).unwrap());
        let held = hold(&at_other);
        at_other.post(|()| ()).unwrap();
        let (tell, told) = unbounded();
        at_waits
            .post(move |()| {
                tell.send(()).unwrap();
                // At the end there may be nobody any more.
                let _comes_in = at_other.with(&PostOptions::new().wait_for_room()).post(|()| ());
            })
            .unwrap();
        told.recv().unwrap();
        let (wakes, woken) = unbounded();
        let waker = Arc::new(Tells(wakes)).into();
        let options = AsyncOptions::new().within(LONG);
        let mut future = pin!(at_waits.with(&options).call_async(|()| ()));
        assert!(future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        process.clock().advance(LONG);
        woken.recv().unwrap();
        let Poll::Ready(result) = future.as_mut().poll(&mut Context::from_waker(&waker)) else {
            panic!("it was woken for nothing")
        };
        assert!(matches!(result, Err(CallError::TimedOut { .. })), "{result:?}");
        held.open();
    });
}

#[test]
fn dl_1_a_message_that_a_parked_loop_may_handle_closes_no_ring() {
    must_end(|| {
        let (process, recording) = recorded();
        let other = process.sta("other").spawn().unwrap();
        let at_other = other.create(|| ()).unwrap();
        let (seen, first) = (recording.clone(), Cell::new(true));
        let (host, _woken) = Told::parks(move |_, woken| {
            if first.replace(false) {
                seen.until(|event| matches!(event.what, What::WaitBegan { on: WaitFor::Room, .. }));
                assert_eq!(dispatch(Budget::ALL).unwrap().served, 1);
            } else {
                woken.recv().unwrap();
            }
            Parked::Looped
        });
        let ui = process.sta("ui").reentrancy(Reentrancy::SameCausality).capacity(1).host(host).enter().unwrap();
        let here = ui.create(|| ()).unwrap();
        ui.apartment().post_message(MessageClass::Input, || ()).unwrap();
        // Its callee waits for the room that the message holds.
        let posted = at_other.call(|()| here.with(&PostOptions::new().wait_for_room()).post(|()| ()));
        assert!(posted.unwrap().is_ok());
    });
}

#[test]
fn ap_9_a_call_that_is_refused_leaves_nothing_to_look_at() {
    must_end(|| {
        let process = driven();
        let full = process.sta("full").capacity(1).spawn().unwrap();
        let at_full = full.create(|| ()).unwrap();
        let held = hold(&at_full);
        at_full.post(|()| ()).unwrap();
        let (host, woken) = Told::stays();
        let _ui = process.sta("ui").host(host).enter().unwrap();
        assert!(matches!(at_full.call(|()| ()), Err(CallError::MailboxFull(_))));
        assert!(woken.try_recv().is_err());
        held.open();
    });
}
