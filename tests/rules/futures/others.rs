//! What other rules say, of calls that give a future.

use super::*;
use crate::stage::incoming;
use apartment::Doorbell;
use apartment::{Budget, Parked, RejectedCall, Retry, ServerCall, current, current_call, interface};

#[test]
fn ca_1_a_future_s_call_made_in_a_served_method_carries_the_chain() {
    play(|stage| {
        let (a, b) = (stage.sta("a").spawn()?, stage.sta("b").spawn()?);
        let (at_a, at_b) = (a.create(|| ())?, b.create(|| ())?);
        let context = || (current_call().unwrap().chain(), current_call().unwrap().depth());
        let (outer, call) = at_a.call(move |()| (context(), at_b.call_async(move |()| context())))?;
        // Polled elsewhere, and when the method is over.
        let inner = pollster::block_on(call)?;
        assert_eq!(inner, (outer.0, outer.1 + 1));
        let (first, second) = (at_a.call_async(move |()| context()), at_a.call_async(move |()| context()));
        assert_ne!(pollster::block_on(first)?.0, pollster::block_on(second)?.0, "unrelated ones share none");
        Ok(())
    });
}

#[test]
fn dg_2_the_making_of_a_future_s_call_into_another_process_is_told_by_its_maker_s() {
    play(|stage| {
        let other = Process::builder().clock(stage.clock.clone()).record(1_000).build();
        let there = other.sta("there").spawn()?;
        let (here, at_there) = (stage.sta("here").enter()?, there.create(|| 7)?);
        let before = other.recording().unwrap().events().len();
        stage.begin();
        assert_eq!(pollster::block_on(at_there.call_async(|n| *n))?, 7);
        let made =
            |events: &[apartment::Event]| events.iter().filter(|event| matches!(event.what, What::CallMade(_))).count();
        assert_eq!(made(&stage.events()), 1);
        assert_eq!(made(&other.recording().unwrap().events()[before..]), 0);
        drop(here);
        Ok(())
    });
}

#[test]
fn di_2_a_future_s_call_at_home_is_direct_and_its_future_ready() {
    play(|stage| {
        let a = stage.sta("a").enter()?;
        let at_a = a.create(|| ())?;
        stage.begin();
        let here = thread::current().id();
        // An executor that pumps nothing, on the object's own thread.
        assert_eq!(pollster::block_on(at_a.call_async(|()| thread::current().id()))?, here);
        let mut call = at_a.call_async(|()| 1);
        assert_eq!(ready(&mut call, Waker::noop())?, 1);
        assert_eq!(stage.count(a.apartment(), like!(Queued)), 0);
        let mta = stage.mta().spawn()?;
        let in_mta = mta.create(|| ())?;
        let inner = in_mta.clone();
        let both = in_mta.call(move |()| {
            let mut call = inner.call_async(|()| thread::current().id());
            (thread::current().id(), ready(&mut call, Waker::noop()).unwrap())
        })?;
        assert_eq!(both.0, both.1);
        Ok(())
    });
}

#[test]
fn di_4_a_future_s_call_of_a_thread_in_no_apartment_goes_to_the_mta_s_pool() {
    play(|stage| {
        let mta = stage.mta().spawn()?;
        let in_mta = mta.create(|| ())?;
        let (key, gate) = gate();
        let mut call = in_mta.call_async(move |()| {
            gate.pass();
            (thread::current().id(), current().implicit)
        });
        // It does not keep its maker, an async runtime's thread for example.
        assert!(is_pending(&mut call, Waker::noop()));
        key.open();
        let (there, implicit) = pollster::block_on(call)?;
        assert_ne!(there, thread::current().id());
        assert!(!implicit);
        Ok(())
    });
}

#[test]
fn ma_7_a_future_s_call_of_a_free_threaded_object_has_run() {
    play(|stage| {
        let number = stage.process.free_threaded(4)?;
        let here = thread::current().id();
        let mut call = number.call_async(|n| (*n, thread::current().id()));
        assert_eq!(ready(&mut call, Waker::noop())?, (4, here));
        let cancel = CancelHandle::new();
        cancel.cancel();
        let mut call = number.with(&AsyncOptions::new().cancel(&cancel)).call_async(|n| *n);
        assert_eq!(seen_as(ready(&mut call, Waker::noop()).unwrap_err()), CANCELED);
        Ok(())
    });
}

#[test]
fn mf_2_a_filter_is_asked_about_a_future_s_call_as_about_a_synchronous_one() {
    play(|stage| {
        let (ask, asked) = unbounded();
        let filter = move || {
            let ask = ask.clone();
            incoming(move |call| {
                ask.send((call.kind, call.call_type, call.caller.thread)).unwrap();
                ServerCall::Handled
            })
        };
        let a = stage.sta("a").filter(filter).spawn()?;
        let at_a = a.create(|| ())?;
        at_a.call(|()| ())?;
        pollster::block_on(at_a.call_async(|()| ()))?;
        let seen: Vec<_> = asked.try_iter().skip(1).collect();
        assert_eq!(seen.len(), 2);
        assert_eq!(seen[0], seen[1]);
        Ok(())
    });
}

interface! {
    trait Sends {
        fn begin(&self) -> Result<(), CallError> as one_way;
    }
}

#[test]
fn ck_2_a_future_s_call_may_go_back_to_where_a_one_way_call_came_from() {
    struct Receiver(Proxy<u32>, Sender<CallFuture<u32>>, Sender<u32>);
    impl Sends for Receiver {
        fn begin(&self) -> Result<(), CallError> {
            self.2.send(self.0.call(|n| *n).unwrap_err().hresult()).unwrap();
            self.1.send(self.0.call_async(|n| *n)).unwrap();
            Ok(())
        }
    }
    apartment::implements!(Receiver: dyn Sends);
    play(|stage| {
        let (ui, b) = (stage.sta("ui").enter()?, stage.sta("b").spawn()?);
        let number = ui.create(|| 8)?;
        let ((give, given), (refuse, refused)) = (unbounded(), unbounded());
        let receiver = b.create(move || Receiver(number, give, refuse))?.cast::<dyn Sends>();
        receiver.begin()?;
        assert_eq!(refused.recv().unwrap(), 0x8001_0004, "a synchronous one must not");
        let mut call = given.recv().unwrap();
        ui.pump();
        assert_eq!(ready(&mut call, Waker::noop())?, 8);
        Ok(())
    });
}

#[test]
fn lt_4_a_future_s_call_that_panics_is_server_fault() {
    play(|stage| {
        let a = stage.sta("a").spawn()?;
        let at_a = a.create(|| ())?;
        let error = pollster::block_on(at_a.call_async(|()| -> u32 { panic!("on purpose") })).unwrap_err();
        assert_eq!(error.hresult(), hresult::SERVER_FAULT);
        assert!(error.to_string().contains("on purpose"), "{error}");
        Ok(())
    });
}

#[test]
fn lt_3_a_future_s_call_to_a_dead_apartment_is_disconnected() {
    play(|stage| {
        let a = stage.sta("a").spawn()?;
        let at_a = a.create(|| ())?;
        a.quit();
        a.join()?;
        let mut call = at_a.call_async(|()| ());
        let error = ready(&mut call, Waker::noop()).unwrap_err();
        assert_eq!(seen_as(error), (hresult::DISCONNECTED, Outcome::NotStarted));
        Ok(())
    });
}

#[test]
fn lt_3_a_future_whose_callee_ends_abnormally_is_told_so() {
    play(|stage| {
        let (hand, handed) = unbounded();
        let process = stage.process.clone();
        let (go, goes) = unbounded::<()>();
        let owner = thread::spawn(move || {
            let a = process.sta("a").enter().unwrap();
            hand.send(a.create(|| ()).unwrap()).unwrap();
            goes.recv().unwrap();
            panic!("the owner's own");
        });
        let at_a = handed.recv().unwrap();
        let mut call = at_a.call_async(|()| ());
        let (waker, woken) = waker();
        assert!(is_pending(&mut call, &waker));
        go.send(()).unwrap();
        woken.recv().unwrap();
        assert_eq!(ready(&mut call, &waker).unwrap_err().hresult(), hresult::SERVER_DIED_DNE);
        assert!(owner.join().is_err());
        Ok(())
    });
}

#[test]
fn lt_5_a_future_s_call_on_an_object_that_is_disconnected_is_answered() {
    play(|stage| {
        let a = stage.sta("a").spawn()?;
        let at_a = a.create(|| ())?;
        let busy = occupy(stage, &a);
        let mut call = at_a.call_async(|()| ());
        let (waker, woken) = waker();
        assert!(is_pending(&mut call, &waker));
        at_a.disconnect()?;
        woken.recv().unwrap();
        assert_eq!(seen_as(ready(&mut call, &waker).unwrap_err()), (hresult::DISCONNECTED, Outcome::NotStarted));
        busy.open();
        Ok(())
    });
}

#[test]
fn lt_1_a_future_keeps_its_object_until_its_call_has_ended() {
    play(|stage| {
        let a = stage.sta("a").spawn()?;
        let at_a = a.create(|| 3)?;
        let busy = occupy(stage, &a);
        let weak = at_a.downgrade();
        let call = at_a.call_async(|n| *n);
        drop(at_a);
        busy.open();
        assert_eq!(pollster::block_on(call)?, 3);
        // What the callee has left to do of it goes before the next call does.
        a.create(|| ())?;
        assert!(weak.upgrade().is_none());
        Ok(())
    });
}

#[test]
fn lt_8_a_process_that_ends_answers_its_futures() {
    play(|stage| {
        let (a, b) = (stage.sta("a").spawn()?, stage.sta("b").spawn()?);
        let (at_a, at_b) = (a.create(|| ())?, b.create(|| ())?);
        let call = at_b.call_async(move |()| pollster::block_on(at_a.call_async(|()| 3)));
        let result = pollster::block_on(call)?;
        assert_eq!(result?, 3);
        let late = at_b.call_async(|()| ());
        stage.process.end(secs(10)).expect("nobody is against it");
        assert!(pollster::block_on(late).is_ok(), "it was accepted");
        assert_eq!(pollster::block_on(at_b.call_async(|()| ())).unwrap_err().hresult(), hresult::DISCONNECTED);
        Ok(())
    });
}

#[test]
fn st_2_a_future_s_call_through_a_proxy_of_another_apartment_is_wrong_thread() {
    let process = Process::builder().strict_rules().build();
    let a = process.sta("a").spawn().unwrap();
    let ui = process.sta("ui").enter().unwrap();
    let number = a.create(|| 1).unwrap();
    let call = number.call_async(|n| *n);
    // The use is the making: its future may be polled by anybody.
    assert_eq!(thread::spawn(move || pollster::block_on(call)).join().unwrap().unwrap(), 1);
    let other = process.sta("other").spawn().unwrap();
    let at_other = other.create(|| ()).unwrap();
    let wrong = at_other.call_owned(move |()| ready(&mut number.call_async(|n| *n), Waker::noop()));
    assert_eq!(wrong.unwrap().unwrap_err().hresult(), 0x8001_010E);
    drop(ui);
}

#[test]
fn st_1_a_thread_in_no_apartment_makes_no_future_while_there_is_no_mta() {
    let process = Process::builder().strict_rules().build();
    let ui = process.sta("ui").enter().unwrap();
    let number = ui.create(|| 1).unwrap();
    let made = thread::spawn(move || ready(&mut number.call_async(|n| *n), Waker::noop()).unwrap_err().hresult());
    assert_eq!(made.join().unwrap(), 0x8004_01F0);
    drop(ui);
}

#[test]
fn ck_4_under_strict_rules_no_future_s_call_leaves_from_a_filter_s_method() {
    for strict in [false, true] {
        let builder = Process::builder();
        let process = if strict { builder.strict_rules() } else { builder }.build();
        let mta = process.mta_usage().unwrap();
        let other = process.sta("other").spawn().unwrap();
        let (see, seen) = unbounded();
        let (give, given) = unbounded::<Proxy<()>>();
        let filter = move || {
            let (see, given) = (see.clone(), given.clone());
            incoming(move |_| {
                if let Ok(other) = given.try_recv() {
                    see.send(pollster::block_on(other.call_async(|()| ())).map_err(|error| error.hresult())).unwrap();
                }
                ServerCall::Handled
            })
        };
        let a = process.sta("a").filter(filter).spawn().unwrap();
        let at_a = a.create(|| ()).unwrap();
        let there = other.create(|| ()).unwrap();
        if strict {
            // Marshalled to where the filter is, as a packet would.
            drop(there);
            let sent = at_a.call_owned(move |()| give.send(other.create(|| ()).unwrap()).unwrap());
            sent.unwrap();
        } else {
            give.send(there).unwrap();
        }
        at_a.call(|()| ()).unwrap();
        let expected = if strict { Err(hresult::CANT_CALL_OUT_IN_FILTER) } else { Ok(()) };
        assert_eq!(seen.recv().unwrap(), expected);
        drop(mta);
    }
}

/// Whoever calls sets an alarm while the loop's thread waits for him: the wait hears of it, and the loop afterwards.
#[test]
fn ap_9_an_alarm_that_was_set_during_a_wait_is_told_to_the_loop_below() {
    // On a clock that passes: on a driven one the loop is told of no time.
    let process = Process::new();
    let (doorbell, rings) = Doorbell::new();
    let heard = rings.clone();
    let turning = doorbell.turning(move |_| {
        heard.recv().unwrap();
        Parked::Looped
    });
    let ui = process.sta("ui").filter(|| incoming(|_| ServerCall::RetryLater)).host(turning).enter().unwrap();
    let here = ui.create(|| ()).unwrap();
    let worker = process.sta("worker").spawn().unwrap();
    let job = worker.create(|| ()).unwrap();
    for _ in 0..20 {
        while rings.try_recv().is_ok() {
            let _none = ui.dispatch(Budget::ALL);
        }
        let here = here.clone();
        let future = job.call(move |()| {
            let (ask, asked) = unbounded();
            let later = move |_: &RejectedCall| {
                ask.send(()).unwrap();
                Retry::After(secs(3600))
            };
            let mut future = here.with(&AsyncOptions::new().retry(later)).call_async(|()| ());
            let (waker, woken) = waker();
            while is_pending(&mut future, &waker) && asked.is_empty() {
                woken.recv().unwrap();
            }
            future
        });
        assert!(rings.try_recv().is_ok(), "the loop sleeps on");
        assert!(ui.dispatch(Budget::ALL).next_deadline.is_some());
        drop(future);
    }
}
