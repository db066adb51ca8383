//! CK: kinds of call.

use crate::stage::{gate, hresult, incoming, like, play, rejected, secs};
use apartment::{
    CallError, CallOptions, CancelHandle, MessageClass, Outcome, PendingAnswer, PostOptions, Proxy, RejectedCall,
    Retry, ServerCall, Serves, Sta, What, register_filter,
};
use crossbeam_channel::unbounded;
use std::cell::{Cell, RefCell};
use std::panic::resume_unwind;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::{self, ThreadId};

fn here() -> ThreadId {
    thread::current().id()
}

// ---- CK-1

#[test]
fn ck_1_the_caller_of_a_synchronous_call_waits_for_its_result() {
    play(|stage| {
        let a = stage.sta("a").spawn()?;
        let at_a = a.create(|| 40)?;
        stage.begin();
        assert_eq!(at_a.call(|n| n + 2)?, 42);
        let ended = stage.until(a.apartment(), like!(Ended)).seq;
        let returned = stage.until_any(|event| matches!(event.what, What::Returned { error: None })).seq;
        assert!(ended < returned);
        Ok(())
    });
}

#[test]
fn ck_1_an_sta_pumps_meanwhile_and_other_threads_block() {
    play(|stage| {
        let (a, b) = (stage.sta("a").spawn()?, stage.sta("b").spawn()?);
        let mta = stage.mta().spawn()?;
        let (at_a, at_b, in_mta) = (a.create(|| ())?, b.create(|| ())?, mta.create(|| ())?);
        stage.begin();
        // On an STA, on a thread of the pool, on one that entered the MTA, on one that is in no apartment.
        at_a.call(|()| at_b.call(|()| ()).unwrap())?;
        at_a.call(|()| in_mta.call(|()| at_b.call(|()| ()).unwrap()).unwrap())?;
        mta.enter().map(|_entered| at_b.call(|()| ()))??;
        at_b.call(|()| ())?;
        let waits = |at| {
            let waits = stage.events().into_iter().filter(move |event| event.apartment == at);
            waits.filter_map(|event| match event.what {
                What::WaitBegan { serves, .. } => Some(serves),
                _ => None,
            })
        };
        assert!(waits(Some(a.apartment().id())).all(|serves| serves == Serves::Everything));
        let blocking: Vec<_> = waits(Some(mta.apartment().id())).collect();
        assert_eq!(blocking, [Serves::Nothing, Serves::Nothing]);
        let outside: Vec<_> = waits(None).collect();
        assert_eq!(outside, [Serves::Nothing, Serves::Nothing, Serves::Nothing]);
        Ok(())
    });
}

// ---- CK-2

#[test]
fn ck_2_the_caller_of_a_one_way_call_goes_on() {
    play(|stage| {
        let a = stage.sta("a").spawn()?;
        let at_a = a.create(|| Cell::new(0))?;
        let (key, gate) = gate();
        at_a.post(move |_| gate.pass())?;
        // The apartment serves nothing now: whoever waited for it would not come here.
        at_a.post(|n| n.set(7))?;
        key.open();
        assert_eq!(at_a.call(Cell::get)?, 7);
        Ok(())
    });
}

#[test]
fn ck_2_a_one_way_call_at_home_is_queued_and_runs_in_its_turn() {
    play(|stage| {
        let a = stage.sta("a").spawn()?;
        let at_a = a.create(|| RefCell::new(Vec::new()))?;
        at_a.call(|order| {
            at_a.post(|order| order.borrow_mut().push("posted")).unwrap();
            order.borrow_mut().push("goes on");
        })?;
        assert_eq!(at_a.call(|order| order.borrow().clone())?, ["goes on", "posted"]);
        Ok(())
    });
}

#[test]
fn ck_2_a_one_way_call_cannot_be_rejected_by_a_filter() {
    play(|stage| {
        for answer in [ServerCall::Rejected, ServerCall::RetryLater] {
            let a = stage.sta("a").enter()?;
            let at_a = a.create(|| Cell::new(0))?;
            register_filter(Some(Rc::new(incoming(move |_| answer))))?;
            thread::scope(|s| s.spawn(|| at_a.post(|n| n.set(7)).unwrap()).join().unwrap());
            stage.begin();
            assert_eq!(a.pump(), 1);
            assert_eq!(stage.count(a.apartment(), |what| asked_and_told(what, answer)), 1);
            assert_eq!(at_a.call(Cell::get)?, 7);
        }
        Ok(())
    });
}

fn asked_and_told(what: &What, told: ServerCall) -> bool {
    matches!(what, What::Filtered { answer, .. } if *answer == told)
}

#[test]
fn ck_2_a_posted_closure_may_call_whom_it_likes() {
    play(|stage| {
        let (a, b, c) = (stage.sta("a").spawn()?, stage.sta("b").spawn()?, stage.sta("c").spawn()?);
        let (at_a, at_b, at_c) = (a.create(|| 1)?, b.create(|| ())?, Arc::new(c));
        let (done, result) = unbounded();
        let back = at_a.clone();
        // Also the apartment that sent it, which is a method's in the middle.
        at_a.call(|_| {
            at_b.post(move |()| {
                let (sender, other) = (back.call(|n| *n), at_c.create(|| 2).and_then(|two| two.call(|n| *n)));
                back.post(move |_| done.send((sender, other)).unwrap()).unwrap();
            })
            .map_err(CallError::from)
        })??;
        let (sender, other) = result.recv().unwrap();
        assert_eq!((sender?, other?), (1, 2));
        Ok(())
    });
}

// ---- CK-4

/// What a filter's method may and may not do, tried out.
#[derive(Clone)]
struct Probe {
    away: Proxy<()>,
    elsewhere: Arc<Sta>,
    in_mta: Proxy<()>,
    /// Of the apartment that the method runs in.
    own: Proxy<u8>,
}

#[derive(Debug, PartialEq)]
struct Tried {
    refused: [(u32, Outcome); 4],
    direct: Option<ThreadId>,
    posted: [bool; 2],
}

impl Probe {
    fn try_out(&self) -> Tried {
        let told = |result: Result<(), CallError>| match result {
            Ok(()) => (0, Outcome::MayHaveRun),
            Err(error) => (error.hresult(), error.outcome()),
        };
        Tried {
            refused: [
                told(self.away.call(|()| ())),
                told(self.elsewhere.create(|| ()).map(drop)),
                told(self.in_mta.call(|()| ())),
                told(self.away.within(secs(1)).call(|()| ())),
            ],
            direct: self.own.call(|_| here()).ok(),
            posted: [self.away.post(|()| ()).is_ok(), self.own.post(|_| ()).is_ok()],
        }
    }

    fn expected(home: ThreadId) -> Tried {
        let no = (hresult::CANT_CALL_OUT_IN_FILTER, Outcome::NotStarted);
        Tried { refused: [no; 4], direct: Some(home), posted: [true; 2] }
    }
}

#[test]
fn ck_4_no_synchronous_call_leaves_the_apartment_from_a_filters_method() {
    play(|stage| {
        let (a, b) = (stage.sta("a").spawn()?, stage.sta("b").spawn()?);
        let busy =
            stage.sta("busy").filter(|| incoming(|call| refuse_all_but(call.target.type_name, "u16"))).spawn()?;
        let mta = stage.mta().spawn()?;
        let (at_a, at_b, at_busy) = (a.create(|| 0_u8)?, b.create(|| ())?, busy.create(|| 0_u16)?);
        let refuses = at_busy.call(|_| busy.create(|| ()))??;
        let probe = Probe {
            away: at_b.clone(),
            elsewhere: Arc::new(stage.sta("elsewhere").spawn()?),
            in_mta: mta.create(|| ())?,
            own: at_a.clone(),
        };
        let (tell, told) = unbounded();
        let home = at_a.call(|_| {
            let [one, two, three] = [(probe.clone(), tell.clone()), (probe.clone(), tell.clone()), (probe, tell)];
            let filter = incoming(move |_| (one.1.send(("incoming", one.0.try_out())).unwrap(), ServerCall::Handled).1)
                .rejected(move |_| (two.1.send(("rejected", two.0.try_out())).unwrap(), Retry::GiveUp).1)
                .pending(move |_| {
                    three.1.send(("pending", three.0.try_out())).unwrap();
                    PendingAnswer::wait_def_process()
                });
            register_filter(Some(Rc::new(filter))).map(drop).map(|()| here())
        })??;
        stage.begin();
        // In the methods themselves calls may leave again: each of these makes one.
        at_a.call(|_| assert_eq!(refuses.call(|()| ()).unwrap_err().hresult(), hresult::CALL_REJECTED))?;
        at_a.call(|_| {
            let message = || {
                a.apartment().post_message(MessageClass::User, || ()).unwrap();
                stage.until(a.apartment(), like!(PendingAsked));
            };
            at_b.call(|()| message()).unwrap();
        })?;
        let told: Vec<_> = told.try_iter().collect();
        let methods: Vec<_> = told.iter().map(|(method, _)| *method).collect();
        assert_eq!(methods, ["incoming", "rejected", "incoming", "pending"]);
        for (method, tried) in told {
            assert_eq!(tried, Probe::expected(home), "{method}");
        }
        Ok(())
    });
}

fn refuse_all_but(type_name: &str, allowed: &str) -> ServerCall {
    if type_name == allowed { ServerCall::Handled } else { ServerCall::Rejected }
}

#[test]
fn ck_4_while_a_filters_method_runs_nothing_is_dispatched() {
    play(|stage| {
        let a = stage.sta("a").spawn()?;
        let (at_a, shown) = (a.create(|| Cell::new(0))?, a.create(|| 0_u8)?);
        let (dropped, drops) = unbounded();
        let goes = a.create(|| Tells(dropped))?;
        let (key, gate) = gate();
        let process = stage.process.clone();
        let (tell, told) = unbounded();
        let (arrived, arrives) = unbounded();
        at_a.call(|_| {
            let pumps = move || {
                arrived.send(()).unwrap();
                gate.pass();
                let pumped = process.sta("a, once more").enter().unwrap().pump();
                tell.send((pumped, drops.len())).unwrap();
            };
            let asked = move |shown: &str| {
                if shown == "u8" {
                    pumps()
                }
            };
            let filter = incoming(move |call| (asked(call.target.type_name), ServerCall::Handled).1);
            register_filter(Some(Rc::new(filter))).map(drop)
        })??;
        stage.begin();
        thread::scope(|s| {
            s.spawn(|| shown.call(|_| ()).unwrap());
            arrives.recv().unwrap();
            s.spawn(|| at_a.call(|n| n.set(n.get() + 1)).unwrap());
            stage.until_nth(2, a.apartment(), like!(Queued));
            at_a.post(|n| n.set(n.get() + 1)).unwrap();
            a.apartment().post_message(MessageClass::Activation, || ()).unwrap();
            drop(goes);
            key.open();
            assert_eq!(told.recv().unwrap(), (0, 0), "nothing pumped, nothing released");
        });
        stage.until(a.apartment(), like!(MessageEnded));
        assert_eq!(at_a.call(Cell::get)?, 2);
        let released = stage.until(a.apartment(), like!(ObjectDropped)).seq;
        assert!(stage.until(a.apartment(), like!(Filtered)).seq < released);
        Ok(())
    });
}

/// Says that it is dropped.
struct Tells(crossbeam_channel::Sender<()>);

impl Drop for Tells {
    fn drop(&mut self) {
        self.0.send(()).unwrap();
    }
}

#[test]
fn ck_4_a_wait_inside_a_filters_method_does_not_pump() {
    play(|stage| {
        let a = stage.sta("a").spawn()?;
        let full = stage.sta("full").capacity(1).spawn()?;
        let (at_a, shown, at_full) = (a.create(|| ())?, a.create(|| 0_u8)?, full.create(|| ())?);
        let (key, gate) = gate();
        let (process, late) = (stage.process.clone(), gate.clone());
        at_full.post(move |()| gate.pass())?;
        at_a.call(|()| {
            let waits = move || {
                // For an apartment to start, for one to end, for room.
                let late = late.clone();
                let filter = move || {
                    late.pass();
                    rejected(|_| Retry::GiveUp)
                };
                drop(process.sta("late").filter(filter).spawn().unwrap());
                at_full.with(&PostOptions::new().wait_for_room()).post(|()| ()).unwrap();
            };
            let waits = move |shown: &str| {
                if shown == "u8" {
                    waits()
                }
            };
            let filter = incoming(move |call| (waits(call.target.type_name), ServerCall::Handled).1);
            register_filter(Some(Rc::new(filter))).map(drop)
        })??;
        stage.begin();
        thread::scope(|s| {
            s.spawn(|| shown.call(|_| ()).unwrap());
            stage.until_any(|event| matches!(&event.what, What::ThreadEntered { name, .. } if &**name == "late"));
            s.spawn(|| at_a.call(|()| ()).unwrap());
            stage.until_nth(2, a.apartment(), like!(Queued));
            key.open();
        });
        let filtered = stage.until(a.apartment(), like!(Filtered)).seq;
        for began in stage.all(a.apartment(), like!(Began)) {
            assert!(filtered < began.seq);
        }
        Ok(())
    });
}

#[test]
fn ck_4_a_handle_dropped_in_a_filters_method_waits_for_nobody() {
    play(|stage| {
        let b = stage.sta("b").spawn()?;
        let (at_b, home) = (b.create(|| ())?, b.apartment().clone());
        let (key, gate) = gate();
        at_b.post(move |()| gate.pass())?;
        let ui = stage.sta("ui").enter()?;
        let own = ui.create(|| ())?;
        let handle = Cell::new(Some(b));
        let filter = incoming(move |_| (drop(handle.take()), ServerCall::Handled).1);
        register_filter(Some(Rc::new(filter)))?;
        thread::scope(|s| {
            let caller = s.spawn(|| own.call(|()| ()));
            stage.until(ui.apartment(), like!(Queued));
            assert_eq!(ui.pump(), 1);
            caller.join().unwrap()
        })?;
        assert_eq!((stage.count(&home, like!(QuitAsked)), stage.count(&home, like!(ApartmentEnded))), (1, 0));
        key.open();
        stage.until(&home, like!(ApartmentEnded));
        Ok(())
    });
}

#[test]
fn ck_4_a_calls_own_retry_policy_is_a_filters_method_in_this_too() {
    play(|stage| {
        let (a, b) = (stage.sta("a").spawn()?, stage.sta("b").spawn()?);
        let busy =
            stage.sta("busy").filter(|| incoming(|call| refuse_all_but(call.target.type_name, "u16"))).spawn()?;
        let mta = stage.mta().spawn()?;
        let (at_a, at_b, in_mta) = (a.create(|| 0_u8)?, b.create(|| ())?, mta.create(|| ())?);
        let refuses = busy.create(|| 0_u16)?.call(|_| busy.create(|| ()))??;
        let (asked, tried) = unbounded();
        let try_out = || {
            let policy = |_: &RejectedCall| {
                let out = at_b.call(|()| ()).map_err(|error| (error.hresult(), error.outcome()));
                let created = b.create(|| ()).map(drop).map_err(|error| (error.hresult(), error.outcome()));
                asked.send((out, created, in_mta.call(|()| here()).ok(), at_b.post(|()| ()).is_ok())).unwrap();
                Retry::GiveUp
            };
            refuses.with(&CallOptions::new().retry(policy)).call(|()| ()).unwrap_err();
            here()
        };
        let no = Err((hresult::CANT_CALL_OUT_IN_FILTER, Outcome::NotStarted));
        // On a thread in no apartment, and on one of the MTA: to the MTA they call directly.
        let own = try_out();
        assert_eq!(tried.recv().unwrap(), (no, no, Some(own), true));
        let pool = at_a.call(|_| in_mta.call(|()| try_out()).unwrap())?;
        assert_eq!(tried.recv().unwrap(), (no, no, Some(pool), true));
        // On an STA.
        at_a.call(|_| try_out())?;
        assert_eq!(tried.recv().unwrap(), (no, no, None, true));
        // Afterwards calls may leave again.
        at_b.call(|()| ())
    });
}

#[test]
fn ck_4_while_a_calls_own_retry_policy_runs_nothing_is_dispatched() {
    play(|stage| {
        let ui = stage.sta("ui").enter()?;
        let at_ui = ui.create(|| ())?;
        let busy =
            stage.sta("busy").filter(|| incoming(|call| refuse_all_but(call.target.type_name, "u16"))).spawn()?;
        let refuses = busy.create(|| 0_u16)?.call(|_| busy.create(|| ()))??;
        let pumped = Cell::new(None);
        let options = CallOptions::new().retry(|_: &RejectedCall| {
            at_ui.post(|()| ()).unwrap();
            pumped.set(Some(ui.pump()));
            Retry::GiveUp
        });
        refuses.with(&options).call(|()| ()).unwrap_err();
        assert_eq!(pumped.get(), Some(0));
        assert_eq!(ui.pump(), 1);
        Ok(())
    });
}

// ---- CK-5

#[test]
fn ck_5_arguments_and_results_cross_by_borrow() {
    play(|stage| {
        let a = stage.sta("a").spawn()?;
        let at_a = a.create(|| String::from("hello"))?;
        let (prefix, mut seen) = (String::from("hel"), Vec::new());
        let lent: &str = at_a.call(|text| (seen.push(text.strip_prefix(&*prefix).map(str::len)), &*prefix).1)?;
        assert_eq!(lent, "hel");
        assert_eq!(seen, [Some(2)]);
        Ok(())
    });
}

#[test]
fn ck_5_arguments_and_results_cross_by_move() {
    play(|stage| {
        let a = stage.sta("a").spawn()?;
        let at_a = a.create(|| String::from("hello"))?;
        let (name, drops) = (String::from(", world"), AtomicU32::new(0));
        let token = Token(&drops);
        let (text, token) = at_a.call(move |hello| (hello.clone() + &name, token))?;
        assert_eq!((text.as_str(), drops.load(Ordering::Relaxed)), ("hello, world", 0));
        drop(token);
        assert_eq!(drops.load(Ordering::Relaxed), 1);
        Ok(())
    });
}

/// Counts its drops on somebody's stack.
struct Token<'a>(&'a AtomicU32);

impl Drop for Token<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Lends to a call that is not to run what lives in this frame alone.
fn lends_in_vain(at: &Proxy<()>, options: &CallOptions<'_>) -> CallError {
    let (mut text, drops) = (String::from("mine"), AtomicU32::new(0));
    let token = Token(&drops);
    let method = |()| (text.push_str(" no more"), drop(token)).1;
    let error = at.with(options).call(|_: &()| method(())).unwrap_err();
    assert_eq!((drops.load(Ordering::Relaxed), text.as_str()), (1, "mine"), "{error}");
    assert_eq!(error.outcome(), Outcome::NotStarted, "{error}");
    error
}

#[test]
fn ck_5_what_a_panicking_call_borrowed_comes_back() {
    play(|stage| {
        let a = stage.sta("a").spawn()?;
        let at_a = a.create(|| ())?;
        let (mut text, drops) = (String::from("mine"), AtomicU32::new(0));
        let token = Token(&drops);
        let panics = || -> () { panic!("in the middle") };
        let method = |()| {
            text.push_str(" too");
            drop(token);
            panics();
        };
        let error = at_a.call(|_: &()| method(())).unwrap_err();
        assert_eq!((error.hresult(), error.outcome()), (hresult::SERVER_FAULT, Outcome::MayHaveRun));
        assert_eq!((drops.load(Ordering::Relaxed), text.as_str()), (1, "mine too"));
        Ok(())
    });
}

#[test]
fn ck_5_what_a_refused_call_would_have_borrowed_stays() {
    play(|stage| {
        let refuses =
            stage.sta("a").filter(|| incoming(|call| refuse_all_but(call.target.type_name, "u16"))).spawn()?;
        let at_a = refuses.create(|| 0_u16)?.call(|_| refuses.create(|| ()))??;
        assert_eq!(lends_in_vain(&at_a, &CallOptions::new()).hresult(), hresult::CALL_REJECTED);
        // Again and again: the closure is lent anew for each attempt.
        let three = |call: &RejectedCall| if call.attempts < 3 { Retry::Now } else { Retry::GiveUp };
        let error = lends_in_vain(&at_a, &CallOptions::new().retry(three));
        assert_eq!(error.hresult(), hresult::CALL_REJECTED);
        Ok(())
    });
}

#[test]
fn ck_5_what_a_revoked_call_would_have_borrowed_stays() {
    play(|stage| {
        let a = stage.sta("a").capacity(1).spawn()?;
        let at_a = a.create(|| ())?;
        let (key, gate) = gate();
        at_a.post(move |()| gate.pass())?;
        stage.until_nth(2, a.apartment(), like!(Began));
        stage.begin();
        let cancel = CancelHandle::new();
        thread::scope(|s| {
            let by_deadline = s.spawn(|| lends_in_vain(&at_a, &CallOptions::new().within(secs(1))).hresult());
            stage.until(a.apartment(), like!(Queued));
            // The mailbox is full.
            assert_eq!(lends_in_vain(&at_a, &CallOptions::new()).hresult(), hresult::SYS_CALL_FAILED);
            stage.clock.advance(secs(1));
            assert_eq!(by_deadline.join().unwrap(), hresult::TIMED_OUT);
            let by_handle = s.spawn(|| lends_in_vain(&at_a, &CallOptions::new().cancel(&cancel)).hresult());
            stage.until_nth(2, a.apartment(), like!(Queued));
            cancel.cancel();
            assert_eq!(by_handle.join().unwrap(), hresult::CALL_CANCELED);
            key.open();
        });
        Ok(())
    });
}

#[test]
fn ck_5_what_a_disconnected_call_would_have_borrowed_stays() {
    play(|stage| {
        let a = stage.sta("a").spawn()?;
        let at_a = a.create(|| ())?;
        drop(a);
        assert_eq!(lends_in_vain(&at_a, &CallOptions::new()).hresult(), hresult::DISCONNECTED);
        Ok(())
    });
}

#[test]
fn ck_5_what_a_call_dropped_unrun_would_have_borrowed_stays() {
    play(|stage| {
        let (send, receive) = unbounded();
        let (key, gate) = gate();
        thread::scope(|s| {
            let owner = s.spawn(|| {
                let ui = stage.sta("ui").enter().unwrap();
                send.send((ui.create(|| ()).unwrap(), ui.apartment().clone())).unwrap();
                gate.pass();
                // As a panic would, and without its message.
                resume_unwind(Box::new("the owner of the thread panics"));
            });
            let (at_ui, apartment) = receive.recv().unwrap();
            let call = s.spawn(move || lends_in_vain(&at_ui, &CallOptions::new()).hresult());
            stage.until(&apartment, like!(Queued));
            key.open();
            assert_eq!(call.join().unwrap(), hresult::SERVER_DIED_DNE);
            owner.join().unwrap_err();
        });
        Ok(())
    });
}

#[test]
fn ck_5_what_a_busy_objects_call_would_have_borrowed_stays() {
    play(|stage| {
        let a = stage.sta("a").spawn()?;
        let cell = a.create(|| RefCell::new(()))?;
        let (mut text, drops) = (String::from("mine"), AtomicU32::new(0));
        let error = cell.call_mut(|()| {
            let token = Token(&drops);
            cell.call_mut(|()| (text.push_str(" no more"), drop(token)).1).unwrap_err()
        })?;
        assert_eq!(error.hresult(), hresult::RETRY);
        assert_eq!((drops.load(Ordering::Relaxed), text.as_str()), (1, "mine"));
        Ok(())
    });
}

#[test]
fn ck_5_a_call_does_not_return_before_the_callee_has_let_go() {
    play(|stage| {
        let a = stage.sta("a").spawn()?;
        let at_a = a.create(|| ())?;
        for by_clock in [true, false] {
            let cancel = CancelHandle::new();
            stage.begin();
            let (key, gate) = gate();
            let steps = thread::scope(|s| {
                let call = s.spawn(|| {
                    let mut steps = Vec::new();
                    let mut method = |()| {
                        steps.push("began");
                        gate.pass();
                        steps.push("ended");
                    };
                    let options = match by_clock {
                        true => CallOptions::new().within(secs(1)),
                        false => CallOptions::new().cancel(&cancel),
                    };
                    at_a.with(&options).call(|_: &()| method(())).unwrap_err();
                    steps
                });
                stage.until(a.apartment(), like!(Began));
                stage.clock.advance(secs(1));
                cancel.cancel();
                stage.until(a.apartment(), like!(CancelAsked));
                key.open();
                call.join().unwrap()
            });
            assert_eq!(steps, ["began", "ended"]);
        }
        Ok(())
    });
}

// ---- CK-6

#[test]
fn ck_6_a_reference_as_an_argument_is_a_proxy_where_it_comes_to() {
    play(|stage| {
        let (a, b) = (stage.sta("a").spawn()?, stage.sta("b").spawn()?);
        let mta = stage.mta().spawn()?;
        let (at_a, at_b, in_mta) = (a.create(|| ())?, b.create(|| ())?, mta.create(|| ())?);
        let home = at_b.call(|()| here())?;
        let through = |reference: &Proxy<()>| (reference.local().is_none(), reference.call(|()| here()).unwrap());
        assert_eq!(at_a.call(|()| through(&at_b))?, (true, home));
        let owned = at_b.clone();
        assert_eq!(at_a.call(move |()| through(&owned))?, (true, home));
        assert_eq!(at_a.call(|()| in_mta.call(|()| through(&at_b)).unwrap())?, (true, home));
        Ok(())
    });
}

#[test]
fn ck_6_at_home_a_reference_is_the_object_itself() {
    play(|stage| {
        let (a, b) = (stage.sta("a").spawn()?, stage.sta("b").spawn()?);
        let mta = stage.mta().spawn()?;
        let (x, at_b) = (a.create(|| Cell::new(7))?, b.create(|| ())?);
        let address = |cell: &Cell<i32>| std::ptr::from_ref(cell).addr();
        let object = x.call(address)?;
        let itself = |reference: &Proxy<Cell<i32>>| reference.local().map(|local| address(&local));
        // As an argument, directly and over another apartment; as a result.
        assert_eq!(x.call(|_| itself(&x))?, Some(object));
        assert_eq!(at_b.call(|()| x.call(|_| itself(&x)).unwrap())?, Some(object));
        assert_eq!(x.call(|_| itself(&at_b.call(|()| x.clone()).unwrap()))?, Some(object));
        // In the MTA.
        let m = mta.create(|| AtomicU32::new(7))?;
        let entered = mta.enter()?;
        assert_eq!(m.local().unwrap().load(Ordering::Relaxed), 7);
        entered.leave();
        assert!(m.local().is_none());
        Ok(())
    });
}

#[test]
fn ck_6_a_reference_as_a_result_works_where_it_comes_to() {
    play(|stage| {
        let (a, b) = (stage.sta("a").spawn()?, stage.sta("b").spawn()?);
        let (at_a, at_b) = (a.create(|| ())?, b.create(|| ())?);
        // Made there, given back through two apartments.
        let made = at_b.call(|()| at_a.call(|()| a.create(|| 5)).unwrap())??;
        assert_eq!(made.call(|n| (*n, here()))?, (5, at_a.call(|()| here())?));
        assert_eq!(at_b.call(|()| made.call(|n| *n).unwrap())?, 5);
        assert_eq!(made.apartment().as_ref(), Some(a.apartment()));
        Ok(())
    });
}

#[test]
fn ck_4_a_handle_dropped_in_a_filters_method_asks_to_quit_and_does_not_join() {
    struct Owner(RefCell<Option<Sta>>);
    impl apartment::MessageFilter for Owner {
        fn handle_incoming(&self, call: &apartment::IncomingCall) -> ServerCall {
            if call.kind == apartment::CallKind::Synchronous {
                drop(self.0.take());
            }
            ServerCall::Handled
        }
    }
    play(|stage| {
        let owned = stage.sta("owned").spawn()?;
        let at_owned = owned.create(|| ())?;
        let owner = stage.sta("owner").filter(move || Owner(RefCell::new(Some(owned)))).spawn()?;
        let at_owner = owner.create(|| ())?;
        // What the owned one still has to do calls the owner, which cannot answer inside its filter's method.
        let owner_again = at_owner.clone();
        at_owned.post(move |()| owner_again.call(|()| ()).unwrap())?;
        at_owner.call(|()| ())?;
        stage.until(&at_owned.apartment().unwrap(), like!(ApartmentEnded));
        Ok(())
    });
}
