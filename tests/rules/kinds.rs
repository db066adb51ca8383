//! CK-2's ban and CK-3: what one-way methods of an interface and input-synchronized calls may and may not do.

use crate::stage::{Gate, Stage, gate, hresult, incoming, like, pending, play, rejected, secs};
use apartment::__private::{self, Calls};
use apartment::{
    CallError, CallKind, CallOptions, CallType, CancelHandle, Entered, HeldBy, MessageClass, Method, Mta, Outcome,
    PendingAnswer, PostOptions, Process, Proxy, Reentrancy, RejectedCall, Retry, ServerCall, Serves, Sta, WaitFor,
    What, current_call, is_cancelled, register_filter,
};
use crossbeam_channel::{Receiver, Sender, unbounded};
use std::cell::{Cell, RefCell};
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{self, ThreadId};

static FOCUS: Method = Method::new("Sheet", "focus", 0, CallKind::InputSynchronized);
static CHANGED: Method = Method::new("Sheet", "changed", 1, CallKind::OneWay);

/// An input-synchronized method.
#[track_caller]
fn focus<T: 'static, R: Send>(object: &impl Calls<T>, run: impl FnOnce(&T) -> R + Send) -> Result<R, CallError> {
    __private::call(object, &FOCUS, run)
}

/// A posted closure: one-way, and no method of an interface.
#[track_caller]
fn post<T: 'static>(object: &Proxy<T>, run: impl FnOnce(&T) + Send + 'static) -> Result<(), CallError> {
    Ok(object.post(run)?)
}

/// A one-way method of an interface.
#[track_caller]
fn changed<T: 'static>(object: &Proxy<T>, run: impl FnOnce(&T) + Send + 'static) -> Result<(), CallError> {
    __private::post(object, &CHANGED, run)
}

const POLICIES: [Reentrancy; 3] = [Reentrancy::Classic, Reentrancy::SameCausality, Reentrancy::None];

fn here() -> ThreadId {
    thread::current().id()
}

fn told<T>(result: Result<T, CallError>) -> (u32, Outcome) {
    match result {
        Ok(_) => (0, Outcome::MayHaveRun),
        Err(error) => (error.hresult(), error.outcome()),
    }
}

const IN_ASYNC: (u32, Outcome) = (0x8001_0004, Outcome::NotStarted);
const IN_INPUT_SYNC: (u32, Outcome) = (0x8001_010D, Outcome::NotStarted);
const FINE: (u32, Outcome) = (0, Outcome::MayHaveRun);

/// Says that it is dropped.
struct Tells(Sender<()>);

impl Drop for Tells {
    fn drop(&mut self) {
        self.0.send(()).unwrap();
    }
}

/// An apartment with an object that keeps a list, and others that call it.
struct Sheet<'a> {
    stage: &'a Stage,
    a: Sta,
    at_a: Proxy<RefCell<Vec<u32>>>,
    b: Sta,
    at_b: Proxy<()>,
    _c: Sta,
    at_c: Proxy<()>,
}

impl<'a> Sheet<'a> {
    fn with(stage: &'a Stage, a: apartment::StaBuilder) -> Result<Self, CallError> {
        let (a, b, c) = (a.spawn()?, stage.sta("b").spawn()?, stage.sta("c").spawn()?);
        let (at_a, at_b, at_c) = (a.create(RefCell::default)?, b.create(|| ())?, c.create(|| ())?);
        stage.begin();
        Ok(Self { stage, a, at_a, b, at_b, _c: c, at_c })
    }

    fn of(stage: &'a Stage, policy: Reentrancy) -> Result<Self, CallError> {
        Self::with(stage, stage.sta("a").reentrancy(policy))
    }

    /// From `b`, an input-synchronized call that puts the number on the list.
    fn focus_from_b(&self, number: u32) -> Result<(), CallError> {
        self.at_b.call(|()| focus(&self.at_a, |list| list.borrow_mut().push(number)))?
    }

    fn focus_from_c(&self, number: u32) -> Result<(), CallError> {
        self.at_c.call(|()| focus(&self.at_a, |list| list.borrow_mut().push(number)))?
    }

    fn add(&self, number: u32) -> Result<(), CallError> {
        self.at_a.call(|list| list.borrow_mut().push(number))
    }

    fn list(&self) -> Vec<u32> {
        self.at_a.with(&CallOptions::new().wait_for_room()).call(RefCell::take).unwrap()
    }

    /// Until an n-th entry has come into `a`'s mailbox.
    fn queued(&self, nth: usize) {
        self.stage.until_nth(nth, self.a.apartment(), like!(Queued));
    }

    /// Until `a` serves nothing before the gate is open.
    fn hold(&self, gate: Gate) {
        self.at_a.post(move |_| gate.pass()).unwrap();
        self.stage.until(self.a.apartment(), like!(Began));
        self.stage.begin();
    }
}

// ---- CK-3: how it comes in

#[test]
fn ck_3_an_input_synchronized_call_goes_ahead_of_all_that_is_queued() {
    play(|stage| {
        for policy in POLICIES {
            let s = &Sheet::of(stage, policy)?;
            let (key, gate) = gate();
            s.hold(gate);
            thread::scope(|scope| {
                scope.spawn(|| s.add(1).unwrap());
                s.queued(1);
                let order = s.at_a.clone();
                let message = move || order.call(|list| list.borrow_mut().push(2)).unwrap();
                s.a.apartment().post_message(MessageClass::Input, message).unwrap();
                s.at_a.post(|list| list.borrow_mut().push(3)).unwrap();
                scope.spawn(|| s.focus_from_b(4).unwrap());
                s.queued(3);
                key.open();
            });
            assert_eq!(s.list(), [4, 1, 2, 3], "{policy:?}");
        }
        Ok(())
    });
}

#[test]
fn mb_6_input_synchronized_calls_overtake_all_but_each_other() {
    play(|stage| {
        let s = &Sheet::of(stage, Reentrancy::Classic)?;
        let d = stage.sta("d").spawn()?;
        let at_d = d.create(|| ())?;
        let (key, gate) = gate();
        s.hold(gate);
        thread::scope(|scope| {
            scope.spawn(|| s.add(1).unwrap());
            s.queued(1);
            scope.spawn(|| s.focus_from_b(2).unwrap());
            s.queued(2);
            scope.spawn(|| s.add(3).unwrap());
            s.queued(3);
            scope.spawn(|| s.focus_from_c(4).unwrap());
            s.queued(4);
            scope.spawn(|| at_d.call(|()| focus(&s.at_a, |list| list.borrow_mut().push(5))).unwrap().unwrap());
            s.queued(5);
            key.open();
        });
        assert_eq!(s.list(), [2, 4, 5, 1, 3]);
        Ok(())
    });
}

#[test]
fn mb_6_an_input_synchronized_call_overtakes_what_its_own_apartment_sent_before() {
    play(|stage| {
        let s = &Sheet::of(stage, Reentrancy::Classic)?;
        let (key, gate) = gate();
        s.hold(gate);
        thread::scope(|scope| {
            scope.spawn(|| {
                let sends = || {
                    s.at_a.post(|list| list.borrow_mut().push(1)).unwrap();
                    changed(&s.at_a, |list| list.borrow_mut().push(2)).unwrap();
                    focus(&s.at_a, |list| list.borrow_mut().push(3)).unwrap();
                };
                s.at_b.call(|()| sends()).unwrap();
            });
            s.queued(3);
            key.open();
        });
        assert_eq!(s.list(), [3, 1, 2]);
        Ok(())
    });
}

#[test]
fn ck_3_it_needs_no_room_and_is_not_counted() {
    play(|stage| {
        for policy in POLICIES {
            let s = &Sheet::with(stage, stage.sta("a").capacity(1).reentrancy(policy))?;
            let a = s.a.apartment();
            let (key, gate) = gate();
            s.hold(gate);
            thread::scope(|scope| {
                s.at_a.post(|list| list.borrow_mut().push(1)).unwrap();
                // Not even in front of those who wait for room does it stand in a line.
                scope.spawn(|| {
                    let patient = CallOptions::new().wait_for_room();
                    s.at_a.with(&patient).call(|list| list.borrow_mut().push(2)).unwrap();
                });
                stage.until_any(|event| matches!(event.what, What::WaitTurned { .. }));
                scope.spawn(|| s.focus_from_b(3).unwrap());
                s.queued(2);
                scope.spawn(|| s.focus_from_c(4).unwrap());
                s.queued(3);
                assert_eq!(a.queued(), 1);
                for queued in stage.all(a, like!(Queued)) {
                    assert!(matches!(queued.what, What::Queued { queued: 1, capacity: 1 }), "{queued:?}");
                }
                let full = s.at_a.post(|_| ()).unwrap_err();
                assert_eq!(full.error().hresult(), hresult::SYS_CALL_FAILED);
                key.open();
            });
            assert_eq!(s.list(), [3, 4, 1, 2], "{policy:?}");
            assert_eq!(a.queued(), 0);
        }
        Ok(())
    });
}

/// While an apartment of that policy does what `waits` does, from what `began` waits for to what `ends` it, an
/// input-synchronized call comes in.
fn comes_in(
    stage: &Stage,
    policy: Reentrancy,
    waits: impl FnOnce(&Sheet<'_>, Gate) + Send,
    began: impl Fn(&What) -> bool,
    ends: impl FnOnce(),
) -> Result<(), CallError> {
    let s = &Sheet::of(stage, policy)?;
    let (key, gate) = gate();
    thread::scope(|scope| {
        scope.spawn(move || waits(s, gate));
        stage.until(s.a.apartment(), began);
        s.focus_from_c(7).unwrap();
        ends();
        key.open();
    });
    assert_eq!(s.list(), [7], "{policy:?}");
    Ok(())
}

#[test]
fn di_12_input_synchronized_calls_come_in_under_every_policy_in_a_calls_wait() {
    play(|stage| {
        for policy in POLICIES {
            let waits = |s: &Sheet<'_>, gate: Gate| s.at_a.call(|_| s.at_b.call(|()| gate.pass()).unwrap()).unwrap();
            comes_in(stage, policy, waits, like!(WaitBegan), || ())?;
        }
        Ok(())
    });
}

#[test]
fn di_12_input_synchronized_calls_come_in_under_every_policy_in_a_wait_for_room() {
    play(|stage| {
        for (policy, posts) in POLICIES.into_iter().flat_map(|policy| [(policy, true), (policy, false)]) {
            let full = stage.sta("full").capacity(1).spawn()?;
            let at_full = full.create(|| ())?;
            let waits = |s: &Sheet<'_>, gate: Gate| {
                at_full.post(move |()| gate.pass()).unwrap();
                stage.until(full.apartment(), like!(Began));
                at_full.post(|()| ()).unwrap();
                s.at_a
                    .call(|_| match posts {
                        true => at_full.with(&PostOptions::new().wait_for_room()).post(|()| ()).unwrap(),
                        false => at_full.with(&CallOptions::new().wait_for_room()).call(|()| ()).unwrap(),
                    })
                    .unwrap();
            };
            comes_in(stage, policy, waits, like!(WaitBegan), || ())?;
        }
        Ok(())
    });
}

#[test]
fn di_12_input_synchronized_calls_come_in_under_every_policy_in_the_wait_for_a_retry() {
    play(|stage| {
        for policy in POLICIES {
            let asked = Cell::new(0);
            let refuses = move || {
                incoming(move |call| {
                    asked.set(asked.get() + u32::from(call.kind == CallKind::Synchronous));
                    if asked.get() == 1 { ServerCall::RetryLater } else { ServerCall::Handled }
                })
            };
            let busy = stage.sta("busy").filter(refuses).spawn()?;
            let at_busy = busy.create(|| ())?;
            let waits = |s: &Sheet<'_>, gate: Gate| {
                let later = || CallOptions::new().retry(|_: &RejectedCall| Retry::After(secs(1)));
                s.at_a.call(|_| at_busy.with(&later()).call(|()| ()).unwrap()).unwrap();
                gate.pass();
            };
            comes_in(stage, policy, waits, like!(WaitTurned), || stage.clock.advance(secs(1)))?;
        }
        Ok(())
    });
}

#[test]
fn di_12_input_synchronized_calls_come_in_under_every_policy_in_plain_waits_and_pumps() {
    play(|stage| {
        for policy in POLICIES {
            let process = stage.process.clone();
            // Until an apartment has started.
            let late = |s: &Sheet<'_>, gate: Gate| {
                let filter = move || (gate.pass(), rejected(|_| Retry::GiveUp)).1;
                s.at_a.call(|_| drop(process.sta("late").filter(filter).spawn().unwrap())).unwrap();
            };
            comes_in(stage, policy, late, like!(WaitBegan), || ())?;
            // Until one has ended.
            let old = stage.sta("old").spawn()?;
            let at_old = old.create(|| ())?;
            let joins = move |s: &Sheet<'_>, gate: Gate| {
                at_old.post(move |()| gate.pass()).unwrap();
                s.at_a.call(move |_| drop(old)).unwrap();
            };
            comes_in(stage, policy, joins, like!(WaitBegan), || ())?;
            // A pump inside a served call.
            let pumps = |s: &Sheet<'_>, gate: Gate| {
                let pumps = || {
                    let again = stage.sta("a, once more").enter().unwrap();
                    while again.pump() == 0 {
                        thread::yield_now();
                    }
                };
                s.at_a.call(|_| pumps()).unwrap();
                gate.pass();
            };
            comes_in(stage, policy, pumps, like!(Began), || ())?;
        }
        Ok(())
    });
}

#[test]
fn di_12_input_synchronized_calls_come_in_into_waits_nested_too_deep_for_others() {
    play(|stage| {
        let s = &Sheet::with(stage, stage.sta("a").nested_waits(0))?;
        let (key, gate) = gate();
        thread::scope(|scope| {
            scope.spawn(|| s.at_a.call(|_| s.at_b.call(|()| gate.pass()).unwrap()).unwrap());
            stage.until(s.a.apartment(), like!(WaitBegan { serves: Serves::Chain }));
            scope.spawn(|| s.add(1).unwrap());
            stage.until(s.a.apartment(), like!(Held { by: HeldBy::Policy }));
            s.focus_from_c(2).unwrap();
            key.open();
        });
        assert_eq!(s.list(), [2, 1]);
        Ok(())
    });
}

#[test]
fn ck_3_a_callback_may_be_input_synchronized() {
    play(|stage| {
        for policy in POLICIES {
            let s = &Sheet::with(stage, stage.sta("a").capacity(1).reentrancy(policy))?;
            let chain = || current_call().unwrap().chain();
            let (outer, inner) = s.at_a.call(|_| {
                // Its only place is taken meanwhile.
                s.at_a.post(|list| list.borrow_mut().push(2)).unwrap();
                let inner = s.at_b.call(|()| focus(&s.at_a, |list| (list.borrow_mut().push(1), chain()).1));
                (chain(), inner.unwrap().unwrap())
            })?;
            assert_eq!(outer, inner);
            let mut list = s.list();
            if policy == Reentrancy::Classic {
                // There the wait lets in the other one, too.
                list.sort_unstable();
            }
            assert_eq!(list, [1, 2], "{policy:?}");
        }
        Ok(())
    });
}

#[test]
fn mf_4_an_input_synchronized_call_is_dispatched_whatever_the_filter_answers() {
    play(|stage| {
        let answers: [fn() -> ServerCall; 4] = [
            || ServerCall::Handled,
            || ServerCall::Rejected,
            || ServerCall::RetryLater,
            || resume_unwind(Box::new("the filter panics")),
        ];
        for answer in answers {
            for policy in POLICIES {
                let (tell, calls) = unbounded();
                let filter = move || {
                    incoming(move |call| match call.kind {
                        CallKind::InputSynchronized => (tell.send(call.clone()).unwrap(), answer()).1,
                        _ => ServerCall::Handled,
                    })
                };
                let s = &Sheet::with(stage, stage.sta("a").reentrancy(policy).filter(filter))?;
                let calls_once = || {
                    let asked = |_: &RejectedCall| -> Retry { panic!("nobody is asked to try again") };
                    focus(&s.at_a.with(&CallOptions::new().retry(asked)), |list| list.borrow_mut().push(1))
                };
                s.at_b.call(|()| calls_once())??;
                assert_eq!(s.list(), [1]);
                let call = calls.recv().unwrap();
                assert_eq!((call.call_type, call.kind), (CallType::TopLevel, CallKind::InputSynchronized));
                assert_eq!(call.target.method, Some(&FOCUS));
                assert_eq!(call.caller.apartment.unwrap().id, s.b.apartment().id());
                assert_eq!((calls.len(), stage.count(s.a.apartment(), like!(Filtered))), (0, 2), "asked once");
            }
        }
        Ok(())
    });
}

#[test]
fn ck_3_a_filter_is_told_the_call_type_as_for_a_synchronous_call() {
    play(|stage| {
        for policy in POLICIES {
            let (tell, calls) = unbounded();
            let filter = move || incoming(move |call| (tell.send(call.clone()).unwrap(), ServerCall::Handled).1);
            let s = &Sheet::with(stage, stage.sta("a").reentrancy(policy).filter(filter))?;
            while calls.try_recv().is_ok() {}
            let (key, gate) = gate();
            let calls_back = || {
                stage.clock.advance(secs(2));
                focus(&s.at_a, |_| ()).unwrap();
                gate.pass();
            };
            thread::scope(|scope| {
                scope.spawn(|| s.at_a.call(|_| s.at_b.call(|()| calls_back()).unwrap()).unwrap());
                stage.until(s.a.apartment(), like!(Ended));
                stage.clock.advance(secs(1));
                s.focus_from_c(1).unwrap();
                key.open();
            });
            let seen: Vec<_> = calls.try_iter().map(|call| (call.kind, call.call_type, call.elapsed)).collect();
            let expected = [
                (CallKind::Synchronous, CallType::TopLevel, None),
                (CallKind::InputSynchronized, CallType::Nested, Some(secs(2))),
                (CallKind::InputSynchronized, CallType::TopLevelCallPending, Some(secs(3))),
            ];
            assert_eq!(seen, expected, "{policy:?}");
        }
        Ok(())
    });
}

#[test]
fn mf_3_an_input_synchronized_call_that_is_out_is_pending() {
    play(|stage| {
        let (tell, calls) = unbounded();
        let filter = move || incoming(move |call| (tell.send(call.clone()).unwrap(), ServerCall::Handled).1);
        let s = &Sheet::with(stage, stage.sta("a").filter(filter))?;
        while calls.try_recv().is_ok() {}
        let (key, gate) = gate();
        thread::scope(|scope| {
            scope.spawn(|| s.at_a.call(|_| focus(&s.at_b, |()| gate.pass()).unwrap()).unwrap());
            stage.until(s.b.apartment(), like!(Began));
            stage.clock.advance(secs(3));
            s.focus_from_c(1).unwrap();
            key.open();
        });
        let second = calls.try_iter().nth(1).unwrap();
        assert_eq!((second.call_type, second.elapsed), (CallType::TopLevelCallPending, Some(secs(3))));
        Ok(())
    });
}

#[test]
fn ck_3_a_closing_door_refuses_it_and_what_was_accepted_is_served() {
    play(|stage| {
        for policy in POLICIES {
            let s = &Sheet::of(stage, policy)?;
            let (key, gate) = gate();
            s.hold(gate);
            thread::scope(|scope| {
                let accepted = scope.spawn(|| s.focus_from_b(1));
                s.queued(1);
                s.a.quit();
                assert_eq!(told(s.focus_from_c(2)), (hresult::DISCONNECTED, Outcome::NotStarted));
                key.open();
                accepted.join().unwrap().unwrap();
            });
            stage.until(s.a.apartment(), like!(ApartmentEnded));
            assert_eq!(told(s.focus_from_c(3)), (hresult::DISCONNECTED, Outcome::NotStarted));
        }
        Ok(())
    });
}

#[test]
fn ck_3_a_closing_door_lets_it_in_as_a_callback() {
    play(|stage| {
        for policy in POLICIES {
            let s = &Sheet::of(stage, policy)?;
            let callback = s.at_a.call(|_| {
                s.a.quit();
                s.at_b.call(|()| focus(&s.at_a, |list| list.borrow().len())).unwrap()
            })?;
            assert_eq!(callback?, 0);
        }
        Ok(())
    });
}

#[test]
fn ck_3_a_destructors_callback_may_be_input_synchronized() {
    struct Last(Proxy<()>, Proxy<u32>, Sender<Result<u32, CallError>>);
    impl Drop for Last {
        fn drop(&mut self) {
            let Self(at_b, at_a, tell) = self;
            tell.send(at_b.call(|()| focus(at_a, |n| *n)).unwrap()).unwrap();
        }
    }
    play(|stage| {
        for policy in POLICIES {
            let (a, b) = (stage.sta("a").reentrancy(policy).spawn()?, stage.sta("b").spawn()?);
            let (at_a, at_b) = (a.create(|| 7)?, b.create(|| ())?);
            let (tell, result) = unbounded();
            // Its reference does not go before the apartment does.
            let last = a.create(|| Last(at_b.clone(), at_a.clone(), tell))?;
            a.quit();
            assert_eq!(result.recv().unwrap()?, 7);
            a.join()?;
            drop(last);
        }
        Ok(())
    });
}

// ---- CK-3: while one is served

/// The ways in which an input-synchronized call may stand on a thread.
#[derive(Clone, Copy, Debug)]
enum Way {
    CameIn,
    Direct,
    BelowADirectCall,
}

const WAYS: [Way; 3] = [Way::CameIn, Way::Direct, Way::BelowADirectCall];

impl Sheet<'_> {
    /// Runs `inside` in `a` while an input-synchronized call stands on its thread.
    fn inside<R: Send>(&self, way: Way, inside: impl FnOnce(&RefCell<Vec<u32>>) -> R + Send) -> Result<R, CallError> {
        match way {
            Way::CameIn => self.at_b.call(|()| focus(&self.at_a, inside))?,
            Way::Direct => self.at_a.call(|_| focus(&self.at_a, inside))?,
            Way::BelowADirectCall => self.at_b.call(|()| focus(&self.at_a, |_| self.at_a.call(inside)))??,
        }
    }

    /// The thread that `a` runs on enters it once more.
    fn again(&self) -> Entered {
        self.stage.sta("a, once more").enter().unwrap()
    }
}

fn in_all_ways(mut test: impl FnMut(Reentrancy, Way) -> Result<(), CallError>) -> Result<(), CallError> {
    POLICIES
        .into_iter()
        .flat_map(|policy| WAYS.map(|way| (policy, way)))
        .try_for_each(|(policy, way)| test(policy, way))
}

#[test]
fn ck_3_while_one_is_served_nothing_else_is_dispatched() {
    play(|stage| {
        in_all_ways(|policy, way| {
            let s = &Sheet::of(stage, policy)?;
            let (dropped, drops) = unbounded();
            let goes = s.a.create(|| Tells(dropped))?;
            stage.begin();
            let (key, gate) = gate();
            let inside = |list: &RefCell<Vec<u32>>| {
                gate.pass();
                (s.again().pump(), list.borrow().len(), drops.len())
            };
            thread::scope(|scope| {
                let served = scope.spawn(|| s.inside(way, inside).unwrap());
                stage.until(s.a.apartment(), like!(Began));
                scope.spawn(|| s.add(1).unwrap());
                s.queued(2);
                scope.spawn(|| s.focus_from_c(2).unwrap());
                s.queued(3);
                s.at_a.post(|list| list.borrow_mut().push(3)).unwrap();
                s.a.apartment().post_message(MessageClass::Activation, || ()).unwrap();
                drop(goes);
                key.open();
                assert_eq!(served.join().unwrap(), (0, 0, 0), "{policy:?} {way:?}");
            });
            drops.recv().unwrap();
            stage.until(s.a.apartment(), like!(MessageEnded));
            assert_eq!(s.list(), [2, 1, 3], "{policy:?} {way:?}");
            Ok(())
        })
    });
}

#[test]
fn ck_3_while_one_is_served_waits_do_not_pump() {
    play(|stage| {
        in_all_ways(|policy, way| {
            let s = &Sheet::of(stage, policy)?;
            let full = stage.sta("full").capacity(1).spawn()?;
            let at_full = full.create(|| ())?;
            stage.begin();
            let (key, gate) = gate();
            let late = gate.clone();
            at_full.post(move |()| gate.pass())?;
            stage.until(full.apartment(), like!(Began));
            at_full.post(|()| ())?;
            let (process, room) = (&stage.process, PostOptions::new().wait_for_room());
            let filter = move || (late.pass(), rejected(|_| Retry::GiveUp)).1;
            // For room, for an apartment to start.
            let inside = |list: &RefCell<Vec<u32>>| {
                at_full.with(&room).post(|()| ()).unwrap();
                let late = process.sta("late").filter(filter).spawn().unwrap();
                (list.borrow().len(), late).0
            };
            thread::scope(|scope| {
                let served = scope.spawn(|| s.inside(way, inside).unwrap());
                let wait = stage.until(s.a.apartment(), like!(WaitBegan { serves: Serves::Nothing })).seq;
                scope.spawn(|| s.add(1).unwrap());
                s.queued(2);
                scope.spawn(|| s.focus_from_c(2).unwrap());
                s.queued(3);
                key.open();
                assert_eq!(served.join().unwrap(), 0, "{policy:?} {way:?}");
                let last = stage.until_nth(2, s.a.apartment(), like!(WaitBegan { serves: Serves::Nothing })).seq;
                assert!(wait < last);
            });
            assert_eq!(s.list(), [2, 1], "{policy:?} {way:?}");
            Ok(())
        })
    });
}

/// Whom a served call may want to reach.
#[derive(Clone)]
struct Probe {
    away: Proxy<()>,
    elsewhere: Arc<Sta>,
    mta: Arc<Mta>,
    in_mta: Proxy<()>,
}

#[derive(Debug, PartialEq)]
struct Tried {
    /// A call, one to the MTA, one with a deadline, an input-synchronized one, an object made in an STA, in the MTA.
    out: [(u32, Outcome); 6],
    /// A post, one at home, a one-way method, a message.
    sent: [(u32, Outcome); 4],
}

impl Probe {
    fn of(stage: &Stage) -> Result<Self, CallError> {
        let (elsewhere, mta) = (Arc::new(stage.sta("elsewhere").spawn()?), Arc::new(stage.mta().spawn()?));
        Ok(Self { away: elsewhere.create(|| ())?, in_mta: mta.create(|| ())?, elsewhere, mta })
    }

    fn try_out<T: 'static>(&self, own: &Proxy<T>) -> Tried {
        let message = self.elsewhere.apartment().post_message(MessageClass::User, || ());
        Tried {
            out: [
                told(self.away.call(|()| ())),
                told(self.in_mta.call(|()| ())),
                told(self.away.within(secs(1)).call(|()| ())),
                told(focus(&self.away, |()| ())),
                told(self.elsewhere.create(|| ())),
                told(self.mta.create(|| ())),
            ],
            sent: [
                told(post(&self.away, |()| ())),
                told(post(own, |_| ())),
                told(changed(&self.away, |()| ())),
                told(message.map_err(CallError::from)),
            ],
        }
    }
}

#[test]
fn ck_3_while_one_is_served_no_synchronous_call_leaves_the_apartment() {
    play(|stage| {
        let probe = Probe::of(stage)?;
        in_all_ways(|policy, way| {
            let s = &Sheet::of(stage, policy)?;
            let tried = s.inside(way, |_| probe.try_out(&s.at_a))?;
            assert_eq!(tried, Tried { out: [IN_INPUT_SYNC; 6], sent: [FINE; 4] }, "{policy:?} {way:?}");
            // Nothing of it came into a queue; it is told by who was refused.
            stage.until(probe.elsewhere.apartment(), like!(MessageEnded));
            assert_eq!(stage.count(probe.elsewhere.apartment(), like!(Queued)), 2);
            assert_eq!(stage.count(probe.mta.apartment(), like!(Queued)), 0);
            assert_eq!(stage.count(s.a.apartment(), like!(Refused)), 6);
            // Direct calls are no calls out; and afterwards calls may leave again.
            let home = s.at_a.call(|_| here())?;
            assert_eq!(s.inside(way, |_| s.at_a.call(|_| here()))??, home);
            s.at_a.call(|_| probe.away.call(|()| ()))?
        })
    });
}

#[test]
fn ck_3_a_call_is_refused_below_a_call_that_is_below_one() {
    play(|stage| {
        let s = &Sheet::of(stage, Reentrancy::Classic)?;
        let direct = |_: &RefCell<Vec<u32>>| s.at_a.call(|_| s.at_a.call(|_| told(s.at_c.call(|()| ()))));
        assert_eq!(s.inside(Way::Direct, direct)???, IN_INPUT_SYNC);
        Ok(())
    });
}

#[test]
fn ck_3_a_handle_dropped_while_one_is_served_asks_to_quit_and_does_not_join() {
    play(|stage| {
        in_all_ways(|policy, way| {
            let s = &Sheet::of(stage, policy)?;
            let (owned, mta) = (stage.sta("owned").spawn()?, stage.mta().spawn()?);
            let (at_owned, in_mta) = (owned.create(|| ())?, mta.create(|| ())?);
            // What they still have to do calls the owner, which cannot answer now.
            let (key, gate) = gate();
            let (one, two) = (s.at_a.clone(), s.at_a.clone());
            let (first, second) = (gate.clone(), gate);
            at_owned.post(move |()| (first.pass(), one.call(|_| ()).unwrap()).1)?;
            in_mta.post(move |()| (second.pass(), two.call(|_| ()).unwrap()).1)?;
            s.inside(way, move |_| drop((owned, mta, key)))?;
            stage.until(&at_owned.apartment().unwrap(), like!(ApartmentEnded { abnormal: false }));
            stage.until(&in_mta.apartment().unwrap(), like!(ApartmentEnded { abnormal: false }));
            stage.until(&in_mta.apartment().unwrap(), like!(ThreadLeft));
            Ok(())
        })
    });
}

#[test]
fn ck_3_a_panic_in_one_is_its_callers_and_the_apartment_goes_on() {
    play(|stage| {
        in_all_ways(|policy, way| {
            let s = &Sheet::of(stage, policy)?;
            let panics = |_: &RefCell<Vec<u32>>| resume_unwind(Box::new("in the middle"));
            let error = s.inside::<()>(way, panics).unwrap_err();
            assert_eq!((error.hresult(), error.outcome()), (hresult::SERVER_FAULT, Outcome::MayHaveRun));
            // The ban is gone with it: calls come in, in a wait too, and go out.
            s.at_a.call(|_| s.at_b.call(|()| focus(&s.at_a, |list| list.borrow_mut().push(1))))???;
            assert_eq!(s.list(), [1]);
            Ok(())
        })
    });
}

#[test]
fn lt_6_quit_asked_for_in_an_input_synchronized_call_takes_effect_after_it() {
    play(|stage| {
        in_all_ways(|policy, way| {
            let s = &Sheet::of(stage, policy)?;
            let quits = |_: &RefCell<Vec<u32>>| {
                s.a.quit();
                // It serves nobody, and so does not end either.
                (s.again().pump(), told(s.at_a.call(|_| ())))
            };
            assert_eq!(s.inside(way, quits)?, (0, FINE));
            stage.until(s.a.apartment(), like!(ApartmentEnded));
            assert_eq!(told(s.focus_from_c(1)), (hresult::DISCONNECTED, Outcome::NotStarted));
            Ok(())
        })
    });
}

#[test]
fn lt_2_leaving_in_an_input_synchronized_call_takes_effect_after_it() {
    play(|stage| {
        for policy in POLICIES {
            let (caller, other) = (stage.sta("caller").spawn()?, stage.sta("other").spawn()?);
            let (at_caller, at_other) = (caller.create(|| ())?, other.create(|| ())?);
            stage.begin();
            let ui = stage.sta("ui").reentrancy(policy).enter()?;
            let slot = ui.create(|| RefCell::new(None))?;
            let (apartment, local) = (ui.apartment().clone(), slot.local().unwrap());
            *local.borrow_mut() = Some(ui);
            drop(local);
            let left = || {
                focus(&slot, |slot: &RefCell<Option<Entered>>| {
                    drop(slot.take());
                    current_call().unwrap().kind()
                })
            };
            thread::scope(|s| {
                let call = s.spawn(|| at_caller.call(|()| left()).unwrap().unwrap());
                // It serves while it waits for somebody, and leaves when it has waited.
                at_other.call(|()| drop(stage.until(&apartment, like!(Ended)))).unwrap();
                assert_eq!(call.join().unwrap(), CallKind::InputSynchronized);
            });
            stage.until(&apartment, like!(ApartmentEnded { abnormal: false }));
        }
        Ok(())
    });
}

#[test]
fn lt_3_an_input_synchronized_call_queued_when_its_callee_dies_has_not_started() {
    play(|stage| {
        let (send, receive) = unbounded();
        let (key, gate) = gate();
        let s = &Sheet::of(stage, Reentrancy::Classic)?;
        thread::scope(|scope| {
            let owner = scope.spawn(|| {
                let ui = stage.sta("ui").enter().unwrap();
                send.send((ui.create(|| ()).unwrap(), ui.apartment().clone())).unwrap();
                gate.pass();
                resume_unwind(Box::new("the owner of the thread panics"));
            });
            let (at_ui, apartment) = receive.recv().unwrap();
            let call = scope.spawn(move || s.at_b.call(|()| told(focus(&at_ui, |()| ()))).unwrap());
            stage.until(&apartment, like!(Queued));
            key.open();
            assert_eq!(call.join().unwrap(), (hresult::SERVER_DIED_DNE, Outcome::NotStarted));
            owner.join().unwrap_err();
        });
        Ok(())
    });
}

#[test]
fn lt_2_an_apartment_that_drops_its_objects_serves_no_input_synchronized_call_of_others() {
    /// Calls away, and is called back, while an ending apartment drops it.
    struct Last(Proxy<()>, Option<Gate>);
    impl Drop for Last {
        fn drop(&mut self) {
            let gate = self.1.take().unwrap();
            self.0.call(|()| gate.pass()).unwrap();
        }
    }
    play(|stage| {
        let s = &Sheet::of(stage, Reentrancy::Classic)?;
        let ((send, receive), (key, panics), (last_key, last)) = (unbounded(), gate(), gate());
        thread::scope(|scope| {
            let owner = scope.spawn(|| {
                let ui = stage.sta("ui").enter().unwrap();
                let object = ui.create(|| Last(s.at_c.clone(), Some(last))).unwrap();
                send.send((object, ui.apartment().clone())).unwrap();
                panics.pass();
                resume_unwind(Box::new("the owner of the thread panics"));
            });
            let (at_ui, apartment) = receive.recv().unwrap();
            let call = scope.spawn(move || s.at_b.call(|()| told(focus(&at_ui, |_| panic!("it ran")))).unwrap());
            stage.until(&apartment, like!(Queued));
            key.open();
            stage.until(&apartment, like!(Held { by: HeldBy::Ending }));
            last_key.open();
            assert_eq!(call.join().unwrap(), (hresult::SERVER_DIED_DNE, Outcome::NotStarted));
            owner.join().unwrap_err();
        });
        Ok(())
    });
}

// ---- CK-3: its caller

#[test]
fn ck_3_the_callers_wait_serves_other_input_synchronized_calls_only() {
    play(|stage| {
        for policy in POLICIES {
            let asked = |_: &apartment::PendingMessage| -> PendingAnswer { panic!("no message is asked about") };
            let s = &Sheet::with(stage, stage.sta("a").reentrancy(policy).filter(move || pending(asked)))?;
            let (dropped, drops) = unbounded();
            let goes = s.a.create(|| Tells(dropped))?;
            let a = s.a.apartment();
            stage.begin();
            let (key, gate) = gate();
            thread::scope(|scope| {
                let other = scope.spawn(|| s.at_a.call(|_| focus(&s.at_b, |()| gate.pass()).unwrap()).unwrap());
                stage.until(a, like!(WaitBegan { serves: Serves::InputSynchronized }));
                let one = scope.spawn(|| s.add(1).unwrap());
                stage.until(a, like!(Held { by: HeldBy::InputSynchronized }));
                a.post_message(MessageClass::Activation, || ()).unwrap();
                s.at_a.post(|list| list.borrow_mut().push(2)).unwrap();
                stage.until_nth(2, a, like!(Held { by: HeldBy::InputSynchronized }));
                s.focus_from_c(3).unwrap();
                drop(goes);
                drops.recv().unwrap();
                assert_eq!(a.queued(), 3);
                key.open();
                other.join().unwrap();
                one.join().unwrap();
            });
            stage.until(a, like!(MessageEnded));
            assert_eq!(s.list(), [3, 1, 2], "{policy:?}");
            let over = stage.until(a, like!(WaitEnded)).seq;
            let began = stage.all(a, |what| matches!(what, What::Began { .. } | What::MessageBegan { .. }));
            let before = began.iter().filter(|event| event.seq < over).count();
            assert_eq!(before, 2, "the call that called, and the input-synchronized one");
            assert_eq!(stage.count(a, like!(Held)), 2);
        }
        Ok(())
    });
}

#[test]
fn ck_3_a_destructor_in_the_callers_wait_waits_as_it_would_elsewhere() {
    /// Makes a call of its own.
    struct Calls(Proxy<()>, Gate);
    impl Drop for Calls {
        fn drop(&mut self) {
            self.0.call(|()| self.1.pass()).unwrap();
        }
    }
    play(|stage| {
        let s = &Sheet::of(stage, Reentrancy::Classic)?;
        let (inner_key, inner) = gate();
        let goes = s.a.create(|| Calls(s.at_c.clone(), inner))?;
        stage.begin();
        let (key, gate) = gate();
        thread::scope(|scope| {
            scope.spawn(|| s.at_a.call(|_| focus(&s.at_b, |()| gate.pass()).unwrap()).unwrap());
            stage.until(s.a.apartment(), like!(WaitBegan { serves: Serves::InputSynchronized }));
            drop(goes);
            stage.until(s.a.apartment(), like!(WaitBegan { serves: Serves::Everything }));
            s.add(1).unwrap();
            inner_key.open();
            key.open();
        });
        assert_eq!(s.list(), [1]);
        Ok(())
    });
}

#[test]
fn ck_3_two_stas_that_focus_each_other_at_once_both_complete() {
    play(|stage| {
        for (first, second) in POLICIES.into_iter().flat_map(|first| POLICIES.map(|second| (first, second))) {
            let a = stage.sta("a").capacity(1).reentrancy(first).spawn()?;
            let b = stage.sta("b").capacity(1).reentrancy(second).spawn()?;
            let (at_a, at_b) = (a.create(|| Cell::new(0))?, b.create(|| Cell::new(0))?);
            let add = |n: &Cell<u32>| n.set(n.get() + 1);
            thread::scope(|s| {
                s.spawn(|| at_a.call(|_| (0..50).for_each(|_| focus(&at_b, add).unwrap())).unwrap());
                s.spawn(|| at_b.call(|_| (0..50).for_each(|_| focus(&at_a, add).unwrap())).unwrap());
            });
            assert_eq!((at_a.call(Cell::get)?, at_b.call(Cell::get)?), (50, 50));
        }
        Ok(())
    });
}

#[test]
fn ck_3_a_ring_of_stas_that_focus_each_other_completes_among_other_calls() {
    play(|stage| {
        for policy in POLICIES {
            let stas: Vec<_> = (0..3).map(|_| stage.sta("one of three").reentrancy(policy).spawn().unwrap()).collect();
            let objects: Vec<_> = stas.iter().map(|sta| sta.create(|| Cell::new(0)).unwrap()).collect();
            let outside = stage.sta("outside").spawn()?.create(|| ())?;
            let add = |n: &Cell<u32>| n.set(n.get() + 1);
            thread::scope(|s| {
                for at in 0..3 {
                    let (own, next) = (&objects[at], &objects[(at + 1) % 3]);
                    s.spawn(move || own.call(|_| (0..50).for_each(|_| focus(next, add).unwrap())).unwrap());
                    // Held meanwhile, and lost by nobody.
                    s.spawn(move || (0..50).for_each(|_| own.call(add).unwrap()));
                }
                drop(outside);
            });
            for object in &objects {
                assert_eq!(object.call(Cell::get)?, 100);
            }
        }
        Ok(())
    });
}

#[test]
fn ck_3_it_borrows_carries_its_chain_and_knows_its_kind() {
    play(|stage| {
        for policy in POLICIES {
            let s = &Sheet::of(stage, policy)?;
            let (text, mut seen) = (String::from("lent"), Vec::new());
            let context = s.at_b.call(|()| {
                let outer = current_call().unwrap();
                let lent: (&str, _) = focus(&s.at_a, |_| (seen.push(1), (&*text, current_call().unwrap())).1).unwrap();
                assert_eq!((lent.0, lent.1.chain(), lent.1.depth()), ("lent", outer.chain(), 2));
                lent.1
            })?;
            assert_eq!((seen.len(), context.kind()), (1, CallKind::InputSynchronized));
            let made = stage.until_any(
                |event| matches!(&event.what, What::CallMade(made) if made.kind == CallKind::InputSynchronized),
            );
            let What::CallMade(made) = made.what else { unreachable!() };
            assert_eq!((made.target.method, made.borrows), (Some(&FOCUS), true));
        }
        Ok(())
    });
}

#[test]
fn mb_7_an_input_synchronized_call_that_has_not_started_leaves_the_queue_at_once() {
    play(|stage| {
        for by_clock in [true, false] {
            let s = &Sheet::of(stage, Reentrancy::Classic)?;
            let (key, gate) = gate();
            s.hold(gate);
            let cancel = CancelHandle::new();
            let options = || match by_clock {
                true => CallOptions::new().within(secs(1)),
                false => CallOptions::new().cancel(&cancel),
            };
            thread::scope(|scope| {
                let call = scope
                    .spawn(|| s.at_b.call(|()| told(focus(&s.at_a.with(&options()), |_| panic!("it ran")))).unwrap());
                s.queued(1);
                stage.clock.advance(secs(1));
                cancel.cancel();
                let expected = if by_clock { hresult::TIMED_OUT } else { hresult::CALL_CANCELED };
                assert_eq!(call.join().unwrap(), (expected, Outcome::NotStarted));
                assert_eq!(stage.count(s.a.apartment(), like!(Revoked { queued: 0 })), 1);
                key.open();
            });
            assert!(s.list().is_empty());
        }
        Ok(())
    });
}

#[test]
fn ca_2_an_input_synchronized_call_that_runs_is_asked_to_end_and_waited_for() {
    play(|stage| {
        for by_clock in [true, false] {
            let s = &Sheet::of(stage, Reentrancy::Classic)?;
            let cancel = CancelHandle::new();
            let (key, gate) = gate();
            let options = || match by_clock {
                true => CallOptions::new().within(secs(1)),
                false => CallOptions::new().cancel(&cancel),
            };
            let runs = |list: &RefCell<Vec<u32>>| {
                gate.pass();
                list.borrow_mut().push(u32::from(is_cancelled()));
            };
            thread::scope(|scope| {
                let call = scope.spawn(|| s.at_b.call(|()| told(focus(&s.at_a.with(&options()), runs))).unwrap());
                stage.until(s.a.apartment(), like!(Began));
                stage.clock.advance(secs(1));
                cancel.cancel();
                stage.until(s.a.apartment(), like!(CancelAsked));
                key.open();
                let expected = if by_clock { hresult::TIMED_OUT } else { hresult::CALL_CANCELED };
                assert_eq!(call.join().unwrap(), (expected, Outcome::MayHaveRun));
            });
            assert_eq!(s.list(), [1]);
        }
        Ok(())
    });
}

#[test]
fn ca_3_an_input_synchronized_call_inherits_its_chains_deadline() {
    play(|stage| {
        let s = &Sheet::of(stage, Reentrancy::Classic)?;
        let left = || focus(&s.at_a, |_| current_call().unwrap().remaining()).unwrap();
        assert_eq!(s.at_b.within(secs(5)).call(|()| left())?, Some(secs(5)));
        Ok(())
    });
}

// ---- CK-3: the MTA

/// What an error says is not supported.
fn unsupported(result: Result<(), CallError>) -> &'static str {
    match result {
        Err(error @ CallError::NotSupported { what }) => {
            assert_eq!((error.hresult(), error.outcome()), (hresult::NOT_SUPPORTED, Outcome::NotStarted));
            what
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn ck_3_a_thread_that_is_in_no_sta_cannot_make_one() {
    play(|stage| {
        let a = stage.sta("a").spawn()?;
        let mta = stage.mta().spawn()?;
        let (at_a, in_mta) = (a.create(|| ())?, mta.create(|| ())?);
        stage.begin();
        let attempt = || unsupported(focus(&at_a, |()| ()));
        let by_mta = "an input-synchronized call by a thread of the MTA: only STAs make such calls";
        // On a thread of the pool, on one that is in the MTA for a direct call, on one that entered, on one in no apartment.
        assert_eq!(at_a.call(|()| in_mta.call(|()| attempt()).unwrap())?, by_mta);
        assert_eq!(in_mta.call(|()| attempt())?, by_mta);
        let entered = mta.enter()?;
        assert_eq!(attempt(), by_mta);
        drop(entered);
        assert_eq!(attempt(), "an input-synchronized call by a thread in no apartment: only STAs make such calls");
        assert_eq!(stage.count(a.apartment(), like!(Queued)), 1, "the one that asked the pool");
        assert_eq!(stage.count(mta.apartment(), like!(Refused)), 3);
        Ok(())
    });
}

#[test]
fn ck_3_an_object_of_the_mta_cannot_get_one() {
    play(|stage| {
        let a = stage.sta("a").spawn()?;
        let mta = stage.mta().spawn()?;
        let (at_a, in_mta) = (a.create(|| ())?, mta.create(|| ())?);
        stage.begin();
        let of_mta = "an input-synchronized call to an object of the MTA: only those of STAs get such calls";
        let attempt = || unsupported(focus(&in_mta, |()| panic!("it ran")));
        assert_eq!(at_a.call(|()| attempt())?, of_mta);
        assert_eq!(attempt(), of_mta);
        let entered = mta.enter()?;
        assert_eq!(attempt(), of_mta);
        drop(entered);
        assert_eq!(stage.count(mta.apartment(), like!(Queued)), 0);
        assert_eq!(stage.count(mta.apartment(), like!(Began)), 0);
        assert_eq!(stage.count(mta.apartment(), like!(ThreadEntered { implicit: true })), 0, "nobody visited it");
        Ok(())
    });
}

// ---- CK-2: the ban on calling back

#[test]
fn ck_2_a_one_way_method_cannot_call_back_the_apartment_that_sent_it() {
    play(|stage| {
        for policy in POLICIES {
            let s = &Sheet::of(stage, policy)?;
            let other = Arc::new(stage.sta("other").spawn()?);
            let at_other = other.create(|| ())?;
            let (at_b, b) = (s.at_b.clone(), Arc::new(stage.sta("sender").spawn()?));
            let at_sender = b.create(|| ())?;
            stage.begin();
            let (tell, tried) = unbounded();
            let (own, back, sender) = (s.at_a.clone(), at_sender.clone(), Arc::clone(&b));
            let method = move |_: &RefCell<Vec<u32>>| {
                let banned = [
                    told(back.call(|()| ())),
                    told(back.within(secs(1)).call(|()| ())),
                    told(focus(&back, |()| ())),
                    told(sender.create(|| ())),
                    // On top of a direct call.
                    told(own.call(|_| back.call(|()| ())).unwrap()),
                ];
                let allowed = [
                    told(own.call(|_| ())),
                    told(at_b.call(|()| ())),
                    told(at_other.call(|()| ())),
                    told(focus(&at_other, |()| ())),
                    told(other.create(|| ())),
                    told(post(&back, |()| ())),
                    told(changed(&back, |()| ())),
                ];
                tell.send((banned, allowed)).unwrap();
            };
            at_sender.call(|()| changed(&s.at_a, method))??;
            let (banned, allowed) = tried.recv().unwrap();
            assert_eq!((banned, allowed), ([IN_ASYNC; 5], [FINE; 7]), "{policy:?}");
            // Nothing of it came into a queue; it is told by who was refused. Later it may call again.
            assert_eq!(stage.count(s.a.apartment(), like!(Refused)), 5);
            at_sender.call(|()| ())?;
            assert_eq!(stage.count(b.apartment(), like!(Queued)), 4, "two calls from outside, a post and a method");
            assert_eq!(s.at_a.call(|_| told(at_sender.call(|()| ())))?, FINE);
        }
        Ok(())
    });
}

#[test]
fn ck_2_the_ban_holds_for_what_is_served_on_top_of_the_method() {
    play(|stage| {
        for policy in [Reentrancy::Classic, Reentrancy::SameCausality] {
            let s = &Sheet::of(stage, policy)?;
            let (tell, tried) = unbounded();
            // a serves b's method, which calls c, which calls a back: from there b is still its sender.
            let (own, back, at_c) = (s.at_a.clone(), s.at_b.clone(), s.at_c.clone());
            let method = move |_: &RefCell<Vec<u32>>| {
                let calls_back = || own.call(|_| told(back.call(|()| ()))).unwrap();
                tell.send(at_c.call(|()| calls_back()).unwrap()).unwrap();
            };
            s.at_b.call(|()| changed(&s.at_a, method))??;
            assert_eq!(tried.recv().unwrap(), IN_ASYNC, "{policy:?}");
        }
        Ok(())
    });
}

#[test]
fn ck_2_the_ban_holds_on_the_methods_own_thread_only() {
    play(|stage| {
        for policy in POLICIES {
            let s = &Sheet::of(stage, policy)?;
            let (tell, tried) = unbounded();
            let (back, at_c) = (s.at_b.clone(), s.at_c.clone());
            let method = move |_: &RefCell<Vec<u32>>| {
                tell.send(at_c.call(|()| told(back.call(|()| ()))).unwrap()).unwrap();
            };
            s.at_b.call(|()| changed(&s.at_a, method))??;
            assert_eq!(tried.recv().unwrap(), FINE, "{policy:?}");
        }
        Ok(())
    });
}

#[test]
fn ck_2_the_ban_concerns_no_other_chain() {
    play(|stage| {
        let s = &Sheet::of(stage, Reentrancy::Classic)?;
        let (key, gate) = gate();
        let at_c = s.at_c.clone();
        s.at_b.call(|()| changed(&s.at_a, move |_| at_c.call(|()| gate.pass()).unwrap()))??;
        stage.until(s.a.apartment(), like!(WaitBegan));
        // Served in the method's wait: a third party's call, a post of the sender's, a method that another has sent.
        assert_eq!(s.at_a.call(|_| told(s.at_b.call(|()| ())))?, FINE);
        let (tell, tried) = unbounded();
        let (one, two) = ((tell.clone(), s.at_b.clone()), (tell, s.at_b.clone()));
        s.at_b.call(|()| post(&s.at_a, move |_| one.0.send(told(one.1.call(|()| ()))).unwrap()))??;
        assert_eq!(tried.recv().unwrap(), FINE);
        let d = stage.sta("d").spawn()?;
        let sends = || changed(&s.at_a, move |_| two.0.send(told(two.1.call(|()| ()))).unwrap());
        d.create(|| ())?.call(|()| sends())??;
        assert_eq!(tried.recv().unwrap(), FINE);
        key.open();
        Ok(())
    });
}

#[test]
fn ck_2_after_a_panic_of_the_method_calls_may_go_back_again() {
    play(|stage| {
        let s = &Sheet::of(stage, Reentrancy::Classic)?;
        s.at_b.call(|()| changed(&s.at_a, |_| resume_unwind(Box::new("in the middle"))))??;
        stage.until(s.a.apartment(), like!(Ended { panicked: Some(_) }));
        assert_eq!(s.at_a.call(|_| told(s.at_b.call(|()| ())))?, FINE);
        Ok(())
    });
}

#[test]
fn ck_2_a_posted_closure_may_call_back_its_sender() {
    play(|stage| {
        for policy in POLICIES {
            let s = &Sheet::of(stage, policy)?;
            let (tell, tried) = unbounded();
            let back = s.at_b.clone();
            s.at_b.call(|()| post(&s.at_a, move |_| tell.send(told(back.call(|()| ()))).unwrap()))??;
            assert_eq!(tried.recv().unwrap(), FINE, "{policy:?}");
        }
        Ok(())
    });
}

#[test]
fn ck_2_a_sender_may_be_the_mta_and_one_in_no_apartment_cannot_be_called_back() {
    play(|stage| {
        let s = &Sheet::of(stage, Reentrancy::Classic)?;
        let mta = stage.mta().spawn()?;
        let in_mta = mta.create(|| ())?;
        let (tell, tried) = unbounded();
        let send = || {
            let (tell, back) = (tell.clone(), in_mta.clone());
            changed(&s.at_a, move |_| tell.send(told(back.call(|()| ()))).unwrap())
        };
        // From a thread of the pool, from one that entered, from one that calls there directly.
        s.at_b.call(|()| in_mta.call(|()| send()).unwrap())??;
        assert_eq!(tried.recv().unwrap(), IN_ASYNC);
        mta.enter().map(|_entered| send())??;
        assert_eq!(tried.recv().unwrap(), IN_ASYNC);
        in_mta.call(|()| send())??;
        assert_eq!(tried.recv().unwrap(), IN_ASYNC);
        // From one that is in no apartment at all: its calls have no apartment to go back to.
        send()?;
        assert_eq!(tried.recv().unwrap(), FINE);
        Ok(())
    });
}

#[test]
fn ck_2_a_method_served_in_the_mta_may_call_back_its_sender() {
    play(|stage| {
        let s = &Sheet::of(stage, Reentrancy::Classic)?;
        let mta = stage.mta().spawn()?;
        let in_mta = mta.create(|| ())?;
        let (tell, tried) = unbounded();
        let back = s.at_b.clone();
        s.at_b.call(|()| changed(&in_mta, move |()| tell.send(told(back.call(|()| ()))).unwrap()))??;
        assert_eq!(tried.recv().unwrap(), FINE);
        Ok(())
    });
}

#[test]
fn ck_2_a_sender_of_another_process_is_another_apartment_though_the_numbers_are_the_same() {
    play(|stage| {
        let s = &Sheet::of(stage, Reentrancy::Classic)?;
        let process = Process::builder().clock(stage.clock.clone()).build();
        let _first = process.sta("another first").spawn()?;
        let far = process.sta("another b").spawn()?;
        assert_eq!(far.apartment().id().to_string(), s.b.apartment().id().to_string());
        let at_far = far.create(|| ())?;
        let (tell, tried) = unbounded();
        let (back, other) = (at_far.clone(), s.at_b.clone());
        let method = move |_: &RefCell<Vec<u32>>| {
            tell.send((told(back.call(|()| ())), told(other.call(|()| ())))).unwrap();
        };
        at_far.call(|()| changed(&s.at_a, method))??;
        assert_eq!(tried.recv().unwrap(), (IN_ASYNC, FINE));
        Ok(())
    });
}

#[test]
fn ck_2_a_destructor_of_a_released_object_is_in_no_one_way_call() {
    /// Calls when it is dropped.
    struct Calls(Proxy<()>, Sender<(u32, Outcome)>);
    impl Drop for Calls {
        fn drop(&mut self) {
            self.1.send(told(self.0.call(|()| ()))).unwrap();
        }
    }
    play(|stage| {
        let s = &Sheet::of(stage, Reentrancy::Classic)?;
        let (tell, tried) = unbounded();
        let goes = s.a.create(|| Calls(s.at_b.clone(), tell))?;
        s.at_b.call(move |()| drop(goes))?;
        assert_eq!(tried.recv().unwrap(), FINE);
        Ok(())
    });
}

// ---- CK-2 under strict rules

/// A process with strict rules, where a proxy is made where it is used: what is called in `a` is an `At`.
struct Strict {
    a: Sta,
    b: Sta,
    c: Sta,
    mta: Mta,
    process: Process,
}

/// An object that has proxies of its own apartment's to three others.
struct At {
    b: Proxy<()>,
    c: Proxy<()>,
    mta: Proxy<()>,
}

impl Strict {
    fn of(stage: &Stage) -> Result<Self, CallError> {
        let process = Process::builder().strict_rules().clock(stage.clock.clone()).build();
        let mta = process.mta().spawn()?;
        let sta = |name| process.sta(name).spawn();
        Ok(Self { a: sta("a")?, b: sta("b")?, c: sta("c")?, mta, process: process.clone() })
    }

    /// Sends from `b` to an object in `a`, and gives what the method reports.
    fn sent_by_b<R: Send + 'static>(
        &self,
        send: impl FnOnce(&Proxy<At>, Sender<R>) -> Result<(), CallError> + Send,
    ) -> Result<R, CallError> {
        let (tell, told) = unbounded();
        let make = || {
            Ok::<_, CallError>(At { b: self.b.create(|| ())?, c: self.c.create(|| ())?, mta: self.mta.create(|| ())? })
        };
        self.b.create(|| ())?.call(|()| send(&self.a.try_create(make)??, tell))??;
        Ok(told.recv().unwrap())
    }
}

impl At {
    fn call_out(&self) -> [(u32, Outcome); 3] {
        [&self.b, &self.c, &self.mta].map(|object| told(object.call(|()| ())))
    }
}

#[test]
fn ck_2_under_strict_rules_a_one_way_method_calls_no_other_apartment() {
    play(|stage| {
        let strict = Strict::of(stage)?;
        let out = strict.sent_by_b(|at_a, tell| changed(at_a, move |at| tell.send(at.call_out()).unwrap()))?;
        assert_eq!(out, [IN_ASYNC; 3]);
        Ok(())
    });
}

#[test]
fn ck_2_under_strict_rules_posted_closures_count_too() {
    play(|stage| {
        let strict = Strict::of(stage)?;
        let out = strict.sent_by_b(|at_a, tell| post(at_a, move |at| tell.send(at.call_out()).unwrap()))?;
        assert_eq!(out, [IN_ASYNC; 3]);
        // One-way calls are allowed.
        let sent = strict.sent_by_b(|at_a, tell| {
            Ok(at_a.post(move |at| {
                let sent = [told(post(&at.b, |()| ())), told(changed(&at.c, |()| ()))];
                tell.send(sent).unwrap();
            })?)
        })?;
        assert_eq!(sent, [FINE; 2]);
        Ok(())
    });
}

#[test]
fn ck_2_under_strict_rules_messages_and_synchronous_calls_may_call_out() {
    play(|stage| {
        let strict = Strict::of(stage)?;
        let (tell, tried) = unbounded();
        let c = Arc::new(strict.c);
        let called = Arc::clone(&c);
        strict
            .a
            .apartment()
            .post_message(MessageClass::User, move || tell.send(told(called.create(|| ()))).unwrap())?;
        assert_eq!(tried.recv().unwrap(), FINE);
        assert_eq!(strict.a.create(|| told(c.create(|| ())))?.call(|made| *made)?, FINE);
        Ok(())
    });
}

#[test]
fn ck_2_under_strict_rules_it_holds_in_the_mta_too() {
    play(|stage| {
        let strict = Strict::of(stage)?;
        let c = Arc::new(strict.c);
        for by_method in [true, false] {
            let (tell, tried) = unbounded();
            let c = Arc::clone(&c);
            let runs = move |(): &()| tell.send(told(c.create(|| ()))).unwrap();
            let send = || {
                let in_mta = strict.mta.create(|| ())?;
                match by_method {
                    true => changed(&in_mta, runs),
                    false => post(&in_mta, runs),
                }
            };
            strict.b.create(|| ())?;
            strict.b.try_create(send)??;
            assert_eq!(tried.recv().unwrap(), IN_ASYNC);
        }
        Ok(())
    });
}

#[test]
fn ck_2_under_strict_rules_it_concerns_no_other_chain() {
    play(|stage| {
        let strict = Strict::of(stage)?;
        let c = Arc::new(strict.c);
        let at_a = strict.a.create(|| Arc::clone(&c))?;
        // Posted by an STA, for a thread that is in none would wait for it.
        let from_b = strict.b.create(|| strict.a.create(|| ()).unwrap())?;
        let (process, own) = (strict.process.clone(), Arc::clone(&c));
        let (tell, tried) = unbounded();
        let pumps = move |(): &()| {
            // It serves a call of somebody else's, on top of it.
            let again = process.sta("a, once more").enter().unwrap();
            while again.pump() == 0 {
                thread::yield_now();
            }
            tell.send(told(own.create(|| ()))).unwrap();
        };
        from_b.call(|at_a| post(at_a, pumps))??;
        assert_eq!(at_a.call(|c| told(c.create(|| ())))?, FINE);
        assert_eq!(tried.recv().unwrap(), IN_ASYNC);
        Ok(())
    });
}

// ---- both, in an interface

apartment::interface! {
    trait Desk {
        fn focus(&self, text: &str) -> Result<usize, CallError> as input_sync;
        fn changed(&self, by: &Proxy<dyn Desk>) -> Result<(), CallError> as one_way;
        fn ask(&self) -> Result<u32, CallError>;
    }
}

/// Asks another whenever it may, and tells what came of it.
struct Table {
    other: RefCell<Option<Proxy<dyn Desk>>>,
    tell: Sender<(u32, Outcome)>,
}

impl Desk for Table {
    fn focus(&self, text: &str) -> Result<usize, CallError> {
        if let Some(other) = &*self.other.borrow() {
            self.tell.send(told(other.ask())).unwrap();
        }
        Ok(text.len())
    }

    fn changed(&self, by: &Proxy<dyn Desk>) -> Result<(), CallError> {
        self.tell.send(told(by.ask())).unwrap();
        self.tell.send(told(by.focus(""))).unwrap();
        self.tell.send(told(by.changed(by))).unwrap();
        Ok(())
    }

    fn ask(&self) -> Result<u32, CallError> {
        Ok(7)
    }
}

apartment::implements!(Table: dyn Desk);

/// A desk, and what it tells.
type Told = (Proxy<dyn Desk>, Receiver<(u32, Outcome)>);

/// Two desks; the first knows the second.
fn desks(a: &Sta, b: &Sta) -> Result<[Told; 2], CallError> {
    let desk = |sta: &Sta| {
        let (tell, tried) = unbounded();
        let made = sta.create(|| Table { other: RefCell::new(None), tell })?;
        Ok::<_, CallError>((made, tried))
    };
    let ((one, tried), (two, others)) = (desk(a)?, desk(b)?);
    let other = two.cast::<dyn Desk>();
    one.call(|table| *table.other.borrow_mut() = Some(other))?;
    Ok([(one.cast(), tried), (two.cast(), others)])
}

#[test]
fn ck_3_an_interface_marks_its_input_synchronized_methods() {
    play(|stage| {
        let (a, b) = (stage.sta("a").reentrancy(Reentrancy::None).spawn()?, stage.sta("b").spawn()?);
        let [(at_a, tried), (at_b, _)] = desks(&a, &b)?;
        let in_b = b.create(|| ())?;
        let text = String::from("here");
        let (key, gate) = gate();
        thread::scope(|s| -> Result<(), CallError> {
            let in_a = a.create(|| ())?;
            stage.begin();
            s.spawn(move || in_a.call(|()| in_b.call(|()| gate.pass()).unwrap()).unwrap());
            stage.until(a.apartment(), like!(WaitBegan { serves: Serves::InputSynchronized }));
            // From the STA `c`, though `a` waits and lets in nothing else.
            let c = stage.sta("c").spawn()?;
            assert_eq!(c.create(|| at_a.focus(&text))?.call(Result::clone)??, 4);
            assert_eq!(tried.recv().unwrap(), IN_INPUT_SYNC);
            key.open();
            Ok(())
        })?;
        let by_nobody = unsupported(at_a.focus("there").map(drop));
        assert!(by_nobody.contains("by a thread in no apartment"), "{by_nobody}");
        assert_eq!(at_b.ask()?, 7);
        Ok(())
    });
}

#[test]
fn ck_2_an_interface_marks_its_one_way_methods() {
    play(|stage| {
        for strict in [false, true] {
            let builder = Process::builder().clock(stage.clock.clone());
            let process = if strict { builder.strict_rules() } else { builder }.build();
            let _mta = process.mta().spawn()?;
            let (a, b) = (process.sta("a").spawn()?, process.sta("b").spawn()?);
            // `b` has a desk of its own, and one of `a`'s.
            let there = b.create(|| -> Result<_, CallError> {
                let [(at_a, tried), (own, _)] = desks(&a, &b)?;
                Ok((at_a, own, tried))
            })?;
            let tried = there.call(|desks| {
                let (at_a, own, tried) = desks.as_ref().unwrap();
                at_a.changed(own).map(|()| tried.clone())
            })??;
            let all: Vec<_> = tried.iter().take(3).collect();
            assert_eq!(all, [IN_ASYNC, IN_ASYNC, FINE], "strict: {strict}");
        }
        Ok(())
    });
}

// ---- above a call that waits to be tried again

#[test]
fn ck_3_a_retry_that_falls_due_below_an_input_synchronized_call_waits_for_that_to_end() {
    play(|stage| {
        // In time, or past the deadline by then.
        for late in [false, true] {
            let sta = |name| stage.sta(name).spawn();
            let (a, b, c) = (sta("a")?, sta("b")?, sta("c")?);
            let (at_a, at_b, at_c) = (a.create(|| ())?, b.create(|| ())?, c.create(|| ())?);
            let busy = Arc::new(AtomicBool::new(true));
            let says = Arc::clone(&busy);
            let answer = move |busy: &AtomicBool| match busy.load(Relaxed) {
                true => ServerCall::RetryLater,
                false => ServerCall::Handled,
            };
            at_b.call(move |()| {
                let filter = incoming(move |_| answer(&says));
                register_filter(Some(std::rc::Rc::new(filter))).map(drop)
            })??;
            stage.begin();
            let (key, gate) = gate();
            thread::scope(|scope| {
                let waits = scope.spawn(|| {
                    let retry = |_: &RejectedCall| Retry::After(secs(1));
                    let options = || CallOptions::new().within(secs(5)).retry(retry);
                    at_a.call(|()| at_b.with(&options()).call(|()| ())).unwrap()
                });
                stage.until(a.apartment(), like!(RetryAsked));
                stage.until(a.apartment(), like!(WaitTurned { on: WaitFor::RetryTime }));
                let (c, gate) = (at_c.clone(), gate.clone());
                at_a.post(move |()| focus(&c, |()| gate.pass()).unwrap()).unwrap();
                stage.until(a.apartment(), like!(WaitBegan { serves: Serves::InputSynchronized }));
                let other = at_c.apartment().unwrap();
                stage.until(&other, like!(Began));
                busy.store(false, Relaxed);
                stage.clock.advance(secs(if late { 9 } else { 2 }));
                // It has looked again, and neither tries nor returns.
                let fills = scope.spawn(|| focus_from(&at_b, &at_a));
                fills.join().unwrap();
                assert_eq!(stage.count(a.apartment(), like!(RetryAsked)), 1);
                assert_eq!(stage.count(b.apartment(), like!(Filtered { answer: ServerCall::Handled })), 1);
                key.open();
                let result = told(waits.join().unwrap());
                assert_eq!(result, if late { (hresult::TIMED_OUT, Outcome::NotStarted) } else { FINE });
                assert_eq!(stage.count(a.apartment(), like!(Held)), 0);
            });
        }
        Ok(())
    });
}

/// An input-synchronized call from the one to the other.
fn focus_from(from: &Proxy<()>, to: &Proxy<()>) {
    from.call(|()| focus(to, |()| ())).unwrap().unwrap();
}
