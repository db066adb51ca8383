//! CA: causality, context, cancelling.

use crate::cancels::{CANCELED, CANCELED_RUNNING, TIMED_OUT, TIMED_OUT_RUNNING, occupy, seen_as};
use crate::stage::{Stage, gate, hresult, incoming, like, play, secs};
use apartment::{
    CallContext, CallError, CallKind, CallOptions, CancelHandle, CancelReason, ChainId, MessageClass, Outcome, Process,
    Proxy, Retry, ServerCall, Sta, WaitFor, What, current_call, is_cancelled,
};
use crossbeam_channel::unbounded;
use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::panic::resume_unwind;
use std::sync::Mutex;
use std::thread;

fn context() -> CallContext {
    current_call().unwrap()
}

// ---- CA-1

#[test]
fn ca_1_every_top_level_call_starts_a_chain_with_a_new_id() {
    play(|stage| {
        let a = stage.sta("a").spawn()?;
        let at_a = a.create(|| ())?;
        let chains = Mutex::new(Vec::new());
        thread::scope(|s| {
            for _ in 0..4 {
                s.spawn(|| {
                    for _ in 0..50 {
                        let call = at_a.call(|()| context()).unwrap();
                        assert_eq!((call.chain(), call.depth()), (ChainId(call.id()), 1));
                        chains.lock().unwrap().push(call.chain());
                    }
                });
            }
        });
        let chains = chains.into_inner().unwrap();
        assert_eq!(chains.iter().collect::<HashSet<_>>().len(), 200);
        Ok(())
    });
}

#[test]
fn ca_1_nested_calls_carry_the_chain_across_stas_the_mta_and_callbacks() {
    play(|stage| {
        let (a, b) = (stage.sta("a").spawn()?, stage.sta("b").spawn()?);
        let mta = stage.mta().spawn()?;
        let (at_a, own, at_b, in_mta) = (a.create(|| ())?, a.create(|| 1)?, b.create(|| ())?, mta.create(|| ())?);
        let calls = Mutex::new(Vec::new());
        let serving = || calls.lock().unwrap().push(context());
        at_a.call(|()| {
            serving();
            let direct = || own.call(|_| serving()).unwrap();
            let callback = || {
                serving();
                direct();
            };
            let to_a = || {
                serving();
                at_a.call(|()| callback()).unwrap();
            };
            let to_b = || {
                serving();
                at_b.call(|()| to_a()).unwrap();
            };
            in_mta.call(|()| to_b()).unwrap();
        })?;
        let calls = calls.into_inner().unwrap();
        assert_eq!(calls.iter().map(CallContext::depth).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
        assert_eq!(calls.iter().map(CallContext::chain).collect::<HashSet<_>>().len(), 1);
        assert_eq!(calls.iter().map(CallContext::id).collect::<HashSet<_>>().len(), 5);
        assert!(calls.iter().all(|call| call.from_chain().is_none()));
        Ok(())
    });
}

#[test]
fn ca_1_unrelated_chains_served_in_one_apartment_never_share_an_id() {
    play(|stage| {
        let (a, b, c) = (stage.sta("a").spawn()?, stage.sta("b").spawn()?, stage.sta("c").spawn()?);
        let (at_a, at_b, at_c) = (a.create(|| ())?, b.create(|| ())?, c.create(|| ())?);
        stage.begin();
        let (key, gate) = gate();
        thread::scope(|s| {
            let outer = s.spawn(|| {
                at_a.call(|()| {
                    let before = context();
                    at_b.call(|()| gate.pass()).unwrap();
                    // What was served in the wait has left nothing behind.
                    assert_eq!(context().id(), before.id());
                    let next = at_b.call(|()| context().chain()).unwrap();
                    (before.chain(), next)
                })
                .unwrap()
            });
            stage.until(a.apartment(), like!(WaitBegan));
            // A third party, in that wait, and what it calls from there.
            let (third, nested) =
                at_a.call(|()| (context().chain(), at_c.call(|()| context().chain()).unwrap())).unwrap();
            key.open();
            let (chain, next) = outer.join().unwrap();
            assert_eq!((third, chain), (nested, next));
            assert_ne!(third, chain);
        });
        Ok(())
    });
}

#[test]
fn ca_1_a_one_way_call_starts_a_new_chain_and_names_the_one_it_came_from() {
    play(|stage| {
        let (a, b) = (stage.sta("a").spawn()?, stage.sta("b").spawn()?);
        let (at_a, at_b) = (a.create(|| ())?, b.create(|| ())?);
        let (tell, told) = unbounded();
        let origin = at_a.call(|()| {
            for to in [at_b.clone(), at_a.clone()] {
                let (tell, back) = (tell.clone(), at_a.clone());
                let posted = move |_: &()| tell.send((context(), back.call(|()| context()).unwrap())).unwrap();
                to.post(posted).unwrap();
            }
            context().chain()
        })?;
        let mut chains = HashSet::from([origin]);
        for (post, nested) in [told.recv().unwrap(), told.recv().unwrap()] {
            assert_eq!((post.from_chain(), post.depth(), post.kind()), (Some(origin), 1, CallKind::OneWay));
            assert_eq!(post.chain(), ChainId(post.id()));
            // What it calls is of its own chain.
            assert_eq!((nested.chain(), nested.depth(), nested.from_chain()), (post.chain(), 2, None));
            assert!(chains.insert(post.chain()));
        }
        // Made in no call, it came from none.
        at_b.post(move |()| tell.send((context(), context())).unwrap())?;
        assert_eq!(told.recv().unwrap().0.from_chain(), None);
        Ok(())
    });
}

#[test]
fn ca_1_a_one_way_call_inherits_no_deadline_and_no_cancellation() {
    play(|stage| {
        let (a, b) = (stage.sta("a").spawn()?, stage.sta("b").spawn()?);
        let (at_a, at_b) = (a.create(|| ())?, b.create(|| ())?);
        let cancel = CancelHandle::new();
        let (tell, told) = unbounded();
        stage.begin();
        let key = occupy(stage, &b);
        stage.begin();
        let options = CallOptions::new().within(secs(1)).cancel(&cancel);
        let error = at_a.with(&options).call(|()| {
            let tell_from_post = || {
                let tell = tell.clone();
                at_b.post(move |()| tell.send((context().remaining(), is_cancelled())).unwrap()).unwrap();
            };
            tell_from_post();
            cancel.cancel();
            stage.clock.advance(secs(2));
            assert!(is_cancelled());
            // Nor does its sender's being cancelled keep it from being made.
            tell_from_post();
        });
        assert_eq!(seen_as(error.unwrap_err()), CANCELED_RUNNING);
        key.open();
        assert_eq!([told.recv().unwrap(), told.recv().unwrap()], [(None, false); 2]);
        Ok(())
    });
}

#[test]
fn ca_1_the_context_can_be_read_while_serving() {
    play(|stage| {
        let (a, b) = (stage.sta("a").spawn()?, stage.sta("bureau").spawn()?);
        let (at_a, at_b) = (a.create(|| ())?, b.create(|| ())?);
        stage.begin();
        let call = at_b.call(|()| at_a.within(secs(3)).call(|()| context()).unwrap())?;
        let made = stage.until(b.apartment(), like!(CallMade));
        assert_eq!(Some(call.id()), made.call.map(|call| call.id), "the id that the events know it by");
        assert_eq!(call.caller().thread, made.thread);
        let apartment = call.caller().apartment.clone().unwrap();
        assert_eq!((apartment.id, &*apartment.name), (b.apartment().id(), "bureau"));
        assert_eq!((call.kind(), call.remaining(), call.is_cancelled()), (CallKind::Synchronous, Some(secs(3)), false));
        // Of the other kinds, and from a thread in no apartment.
        let made = Mutex::new(None);
        drop(a.create(|| *made.lock().unwrap() = Some(context()))?);
        let create = made.into_inner().unwrap().unwrap();
        assert_eq!((create.kind(), create.remaining()), (CallKind::Create, None));
        assert!(create.caller().apartment.is_none());
        let (tell, told) = unbounded();
        at_a.post(move |()| tell.send(context()).unwrap())?;
        let post = told.recv().unwrap();
        assert_eq!((post.kind(), post.caller().thread), (CallKind::OneWay, create.caller().thread));
        Ok(())
    });
}

#[test]
fn ca_1_outside_a_call_there_is_none() {
    play(|stage| {
        let none = || current_call().unwrap_err().hresult() == hresult::CALL_COMPLETE && !is_cancelled();
        assert!(none(), "on a thread in no apartment");
        let ui = stage.sta("ui").enter()?;
        assert!(none(), "on an STA that serves nothing");
        let b = stage.sta("b").spawn()?;
        b.create(|| ())?.call(|()| ())?;
        assert!(none(), "after a call");
        let (tell, told) = unbounded();
        let message = || {
            let tell = tell.clone();
            move || tell.send(none()).unwrap()
        };
        ui.apartment().post_message(MessageClass::User, message())?;
        ui.pump();
        assert!(told.recv().unwrap(), "in an application message");
        let at_ui = ui.create(|| ())?;
        at_ui.call(|()| {
            // Dispatched while a call is served; the message is none all the same.
            let again = stage.sta("ui, once more").enter().unwrap();
            again.apartment().post_message(MessageClass::User, message()).unwrap();
            again.pump();
        })?;
        assert!(told.recv().unwrap(), "in an application message inside a call");
        assert!(none());
        Ok(())
    });
}

// ---- CA-2

#[test]
fn ca_2_a_call_that_has_not_started_is_revoked_and_never_runs() {
    play(|stage| {
        let a = stage.sta("a").spawn()?;
        let at_a = a.create(|| Cell::new(0))?;
        let key = occupy(stage, &a);
        stage.begin();
        let cancel = CancelHandle::new();
        thread::scope(|s| {
            let call = s.spawn(|| at_a.with(&CallOptions::new().cancel(&cancel)).call(|n| n.set(1)).unwrap_err());
            stage.until(a.apartment(), like!(Queued));
            cancel.cancel();
            // It left the queue before the canceller came back.
            assert_eq!(a.apartment().queued(), 0);
            assert_eq!(stage.count(a.apartment(), like!(Revoked { why: CancelReason::Handle })), 1);
            assert_eq!(seen_as(call.join().unwrap()), CANCELED);
        });
        key.open();
        assert_eq!(at_a.call(Cell::get)?, 0);
        Ok(())
    });
}

#[test]
fn ca_2_a_running_call_is_asked_and_waited_for_and_fails_whatever_it_gives() {
    play(|stage| {
        let a = stage.sta("a").spawn()?;
        let at_a = a.create(|| ())?;
        let cancel = CancelHandle::new();
        stage.begin();
        let (key, gate) = gate();
        let (arrived, arrives) = unbounded();
        let mut seen = Vec::new();
        thread::scope(|s| {
            let call = s.spawn(|| {
                let mut method = |()| {
                    seen.push((is_cancelled(), context().is_cancelled()));
                    arrived.send(()).unwrap();
                    gate.pass();
                    seen.push((is_cancelled(), context().is_cancelled()));
                    "done all the same"
                };
                at_a.with(&CallOptions::new().cancel(&cancel)).call(|_: &()| method(())).unwrap_err()
            });
            arrives.recv().unwrap();
            cancel.cancel();
            stage.until(a.apartment(), like!(CancelAsked { why: CancelReason::Handle }));
            key.open();
            assert_eq!(seen_as(call.join().unwrap()), CANCELED_RUNNING);
        });
        assert_eq!(seen, [(false, false), (true, true)]);
        let returned = stage.until_any(|event| matches!(event.what, What::Returned { .. })).seq;
        assert!(stage.until(a.apartment(), like!(Ended)).seq < returned);
        Ok(())
    });
}

#[test]
fn ca_2_a_cancelled_call_that_panics_fails_as_cancelled() {
    play(|stage| {
        let a = stage.sta("a").spawn()?;
        let at_a = a.create(|| ())?;
        let cancel = CancelHandle::new();
        let error = at_a.with(&CallOptions::new().cancel(&cancel)).call(|()| {
            cancel.cancel();
            resume_unwind(Box::new("in the middle"))
        });
        assert_eq!(seen_as(error.unwrap_err()), CANCELED_RUNNING);
        Ok(())
    });
}

/// Has an STA wait for a call whose reply is there, while it serves another; `late` comes between the two.
fn replied_before<'a>(
    stage: &Stage,
    options: impl Fn() -> CallOptions<'a> + Sync,
    late: impl FnOnce(),
) -> Result<u32, CallError> {
    let (a, b) = (stage.sta("a").spawn()?, stage.sta("b").spawn()?);
    let (at_a, at_b) = (a.create(|| ())?, b.create(|| ())?);
    stage.begin();
    let (replies, reply) = gate();
    let (ends, third) = gate();
    thread::scope(|s| {
        let call = s.spawn(|| {
            at_a.call(|()| {
                at_b.with(&options()).call(|()| {
                    reply.pass();
                    7
                })
            })
            .unwrap()
        });
        stage.until(a.apartment(), like!(WaitBegan));
        s.spawn(|| at_a.call(|()| third.pass()).unwrap());
        stage.until_nth(2, a.apartment(), like!(Began));
        replies.open();
        stage.until(b.apartment(), like!(Ended));
        // Served after it: the reply is recorded by now.
        at_b.call(|()| ()).unwrap();
        late();
        ends.open();
        call.join().unwrap()
    })
}

#[test]
fn ca_2_a_reply_recorded_before_the_cancel_wins() {
    play(|stage| {
        let cancel = CancelHandle::new();
        let options = || CallOptions::new().cancel(&cancel);
        assert_eq!(replied_before(stage, options, || cancel.cancel())?, 7);
        Ok(())
    });
}

#[test]
fn ca_2_nested_waits_unwind_in_order_for_cancelled_calls_too() {
    play(|stage| {
        let (a, b, c) = (stage.sta("a").spawn()?, stage.sta("b").spawn()?, stage.sta("c").spawn()?);
        let (at_a, at_b, at_c) = (a.create(|| ())?, b.create(|| ())?, c.create(|| ())?);
        let busy = occupy(stage, &b);
        let cancel = CancelHandle::new();
        stage.begin();
        let (key, gate) = gate();
        thread::scope(|s| {
            let call = s.spawn(|| {
                let options = || CallOptions::new().cancel(&cancel);
                at_a.call(|()| at_b.with(&options()).call(|()| ()).unwrap_err()).unwrap()
            });
            let outer = stage.until(a.apartment(), like!(WaitBegan)).call;
            s.spawn(|| at_a.call(|()| at_c.call(|()| gate.pass()).unwrap()).unwrap());
            let inner = stage.until_nth(2, a.apartment(), like!(WaitBegan)).call;
            stage.until(b.apartment(), like!(Queued));
            cancel.cancel();
            assert_eq!(b.apartment().queued(), 0, "buried, it leaves the queue at once");
            key.open();
            assert_eq!(seen_as(call.join().unwrap()), CANCELED);
            let ended: Vec<_> = stage.all(a.apartment(), like!(WaitEnded)).iter().map(|event| event.call).collect();
            assert_eq!(ended, [inner, outer]);
        });
        busy.open();
        Ok(())
    });
}

#[test]
fn ca_2_what_a_cancelled_call_has_out_is_cancelled_with_it() {
    play(|stage| {
        let (a, b) = (stage.sta("a").spawn()?, stage.sta("b").spawn()?);
        let mta = stage.mta().spawn()?;
        let (at_a, at_b, in_mta) = (a.create(|| ())?, b.create(|| ())?, mta.create(|| ())?);
        let cancel = CancelHandle::new();
        let seen = Mutex::new(Vec::new());
        let see = |place: &'static str, error: Option<CallError>| {
            seen.lock().unwrap().push((place, is_cancelled(), error.map(seen_as)));
        };
        stage.begin();
        // A → the MTA → B, where it arrives last.
        let in_b = || {
            cancel.cancel();
            stage.until(b.apartment(), like!(CancelAsked { why: CancelReason::Handle }));
            see("b", None);
        };
        let in_pool = || see("the MTA", at_b.call(|()| in_b()).err());
        let error =
            at_a.with(&CallOptions::new().cancel(&cancel)).call(|()| see("a", in_mta.call(|()| in_pool()).err()));
        assert_eq!(seen_as(error.unwrap_err()), CANCELED_RUNNING);
        let expected =
            [("b", true, None), ("the MTA", true, Some(CANCELED_RUNNING)), ("a", true, Some(CANCELED_RUNNING))];
        assert_eq!(seen.into_inner().unwrap(), expected);
        Ok(())
    });
}

#[test]
fn ca_2_what_a_cancelled_call_has_in_a_queue_is_revoked_with_it() {
    play(|stage| {
        let (a, b) = (stage.sta("a").spawn()?, stage.sta("b").spawn()?);
        let (at_a, at_b) = (a.create(|| ())?, b.create(|| Cell::new(0))?);
        let key = occupy(stage, &b);
        let cancel = CancelHandle::new();
        stage.begin();
        thread::scope(|s| {
            let call = s.spawn(|| {
                let mut nested = None;
                let outer = at_a.with(&CallOptions::new().cancel(&cancel)).call(|()| {
                    nested = at_b.call(|n| n.set(1)).err();
                });
                (seen_as(outer.unwrap_err()), seen_as(nested.unwrap()))
            });
            stage.until(b.apartment(), like!(Queued));
            cancel.cancel();
            assert_eq!(call.join().unwrap(), (CANCELED_RUNNING, CANCELED));
        });
        key.open();
        assert_eq!(at_b.call(Cell::get)?, 0, "it never ran");
        Ok(())
    });
}

#[test]
fn ca_2_what_a_cancelled_call_has_out_is_cancelled_before_more_is_served() {
    play(|stage| {
        let (a, b) = (stage.sta("a").spawn()?, stage.sta("b").spawn()?);
        let (at_a, at_b) = (a.create(|| ())?, b.create(|| ())?);
        let b_key = occupy(stage, &b);
        let cancel = CancelHandle::new();
        let (key, gate) = gate();
        stage.begin();
        thread::scope(|s| {
            let call = s.spawn(|| at_a.with(&CallOptions::new().cancel(&cancel)).call(|()| drop(at_b.call(|()| ()))));
            stage.until(b.apartment(), like!(Queued));
            // Served in the wait for the nested call; the second is there already when the first has ended.
            at_a.post(move |()| gate.pass()).unwrap();
            stage.until_nth(2, a.apartment(), like!(Began));
            at_a.post(|()| ()).unwrap();
            cancel.cancel();
            key.open();
            assert_eq!(seen_as(call.join().unwrap().unwrap_err()), CANCELED_RUNNING);
        });
        stage.until_nth(3, a.apartment(), like!(Began));
        let order = stage.all(a.apartment(), |what| matches!(what, What::Began { .. } | What::Returned { .. }));
        let began: Vec<bool> = order.iter().map(|event| matches!(event.what, What::Began { .. })).collect();
        assert_eq!(began, [true, true, false, true], "the nested call is back before the second post begins");
        b_key.open();
        Ok(())
    });
}

#[test]
fn ca_2_a_call_made_in_a_cancelled_one_fails_at_once() {
    play(|stage| {
        let (a, b) = (stage.sta("a").spawn()?, stage.sta("b").spawn()?);
        let (at_a, at_b) = (a.create(|| ())?, b.create(|| ())?);
        let cancel = CancelHandle::new();
        stage.begin();
        let mut nested = None;
        let outer = at_a.with(&CallOptions::new().cancel(&cancel)).call(|()| {
            cancel.cancel();
            nested = at_b.call(|()| ()).err();
        });
        assert_eq!((seen_as(outer.unwrap_err()), seen_as(nested.unwrap())), (CANCELED_RUNNING, CANCELED));
        assert_eq!(stage.count(b.apartment(), like!(Queued)), 0);
        Ok(())
    });
}

#[test]
fn ca_2_a_direct_call_can_be_cancelled_too() {
    play(|stage| {
        let a = stage.sta("a").enter()?;
        let at_a = a.create(|| ())?;
        let cancel = CancelHandle::new();
        let options = CallOptions::new().cancel(&cancel);
        let mut seen = Vec::new();
        let error = at_a.with(&options).call(|()| {
            seen.push(is_cancelled());
            cancel.cancel();
            seen.push(is_cancelled());
        });
        assert_eq!(seen_as(error.unwrap_err()), CANCELED_RUNNING);
        assert_eq!(seen, [false, true]);
        assert_eq!(seen_as(at_a.with(&options).call(|()| ()).unwrap_err()), CANCELED);
        Ok(())
    });
}

#[test]
fn ca_2_what_a_cancelled_direct_call_has_out_is_cancelled_with_it() {
    play(|stage| {
        let (a, b) = (stage.sta("a").spawn()?, stage.sta("b").spawn()?);
        let (at_a, own, at_b) = (a.create(|| ())?, a.create(|| 1)?, b.create(|| ())?);
        let cancel = CancelHandle::new();
        stage.begin();
        let mut nested = None;
        let direct = at_a.call(|()| {
            own.with(&CallOptions::new().cancel(&cancel)).call(|_| {
                nested = at_b
                    .call(|()| {
                        cancel.cancel();
                        stage.until(b.apartment(), like!(CancelAsked));
                    })
                    .err();
            })
        })?;
        assert_eq!((seen_as(direct.unwrap_err()), nested.map(seen_as)), (CANCELED_RUNNING, Some(CANCELED_RUNNING)));
        Ok(())
    });
}

#[test]
fn ca_2_a_call_made_in_a_cancelled_direct_one_fails_at_once() {
    play(|stage| {
        let (a, b) = (stage.sta("a").spawn()?, stage.sta("b").spawn()?);
        let (at_a, own, at_b) = (a.create(|| ())?, a.create(|| 1)?, b.create(|| ())?);
        let cancel = CancelHandle::new();
        stage.begin();
        let mut nested = None;
        let direct = at_a.call(|()| {
            own.with(&CallOptions::new().cancel(&cancel)).call(|_| {
                cancel.cancel();
                nested = at_b.call(|()| ()).err();
            })
        })?;
        assert_eq!((seen_as(direct.unwrap_err()), nested.map(seen_as)), (CANCELED_RUNNING, Some(CANCELED)));
        Ok(())
    });
}

#[test]
fn ca_2_cancelling_ends_the_wait_for_room() {
    play(|stage| {
        let full = stage.sta("full").capacity(1).spawn()?;
        let at_full = full.create(|| Cell::new(0))?;
        let key = occupy(stage, &full);
        at_full.post(|_| ())?;
        let cancel = CancelHandle::new();
        stage.begin();
        thread::scope(|s| {
            let options = || CallOptions::new().cancel(&cancel).wait_for_room();
            let call = s.spawn(move || at_full.with(&options()).call(|n| n.set(1)).unwrap_err());
            stage.until_any(|event| matches!(event.what, What::WaitTurned { on: WaitFor::Room, .. }));
            cancel.cancel();
            assert_eq!(seen_as(call.join().unwrap()), CANCELED);
        });
        key.open();
        Ok(())
    });
}

#[test]
fn ca_2_a_handle_cancels_all_its_calls_and_stays_cancelled() {
    play(|stage| {
        let (a, b) = (stage.sta("a").spawn()?, stage.sta("b").spawn()?);
        let (at_a, at_b) = (a.create(|| ())?, b.create(|| ())?);
        let keys = [occupy(stage, &a), occupy(stage, &b)];
        let cancel = CancelHandle::new();
        let clone = cancel.clone();
        stage.begin();
        thread::scope(|s| {
            let options = || CallOptions::new().cancel(&cancel);
            let calls =
                [&at_a, &at_b].map(|at| s.spawn(move || seen_as(at.with(&options()).call(|()| ()).unwrap_err())));
            stage.until(a.apartment(), like!(Queued));
            stage.until(b.apartment(), like!(Queued));
            // From a thread of its own, through a clone.
            s.spawn(move || clone.cancel());
            assert_eq!(calls.map(|call| call.join().unwrap()), [CANCELED; 2]);
            stage.begin();
            assert!(cancel.is_cancelled());
            assert_eq!(seen_as(at_a.with(&options()).call(|()| ()).unwrap_err()), CANCELED);
            assert_eq!(stage.count(a.apartment(), like!(Queued)), 0);
        });
        drop(keys);
        Ok(())
    });
}

#[test]
fn ca_2_a_handle_whose_call_is_over_cancels_no_other() {
    play(|stage| {
        let a = stage.sta("a").spawn()?;
        let at_a = a.create(|| ())?;
        let (late, other) = (CancelHandle::new(), CancelHandle::new());
        at_a.with(&CallOptions::new().cancel(&late)).call(|()| ())?;
        // The next call of the same thread, which reuses what the first one used.
        let cancelled = at_a.with(&CallOptions::new().cancel(&other)).call(|()| {
            late.cancel();
            is_cancelled()
        })?;
        assert!(!cancelled);
        at_a.call(|()| ())
    });
}

// ---- CA-3

#[test]
fn ca_3_a_deadline_revokes_a_call_that_has_not_started() {
    play(|stage| {
        let a = stage.sta("a").spawn()?;
        let at_a = a.create(|| Cell::new(0))?;
        let key = occupy(stage, &a);
        stage.begin();
        thread::scope(|s| {
            let call = s.spawn(|| at_a.within(secs(5)).call(|n| n.set(1)).unwrap_err());
            stage.until(a.apartment(), like!(Queued));
            stage.clock.advance(secs(4));
            assert_eq!(a.apartment().queued(), 1);
            stage.clock.advance(secs(1));
            assert_eq!(seen_as(call.join().unwrap()), TIMED_OUT);
        });
        let revoked = stage.until(a.apartment(), like!(Revoked { why: CancelReason::Deadline, queued: 0 }));
        assert_eq!(revoked.at, secs(5));
        key.open();
        assert_eq!(at_a.call(Cell::get)?, 0, "it never ran");
        Ok(())
    });
}

#[test]
fn ca_3_a_deadline_asks_a_call_that_runs_and_it_fails_when_it_lets_go() {
    play(|stage| {
        let a = stage.sta("a").spawn()?;
        let at_a = a.create(|| ())?;
        stage.begin();
        let mut seen = Vec::new();
        let error = at_a.within(secs(5)).call(|()| {
            seen.push((context().remaining(), is_cancelled()));
            stage.clock.advance(secs(5));
            stage.until(a.apartment(), like!(CancelAsked { why: CancelReason::Deadline }));
            seen.push((context().remaining(), is_cancelled()));
        });
        assert_eq!(seen_as(error.unwrap_err()), TIMED_OUT_RUNNING);
        assert_eq!(seen, [(Some(secs(5)), false), (Some(secs(0)), true)]);
        Ok(())
    });
}

#[test]
fn ca_3_a_deadline_that_has_passed_already_fails_at_once() {
    play(|stage| {
        let a = stage.sta("a").spawn()?;
        let at_a = a.create(|| ())?;
        stage.begin();
        assert_eq!(seen_as(at_a.within(secs(0)).call(|()| ()).unwrap_err()), TIMED_OUT);
        assert_eq!(stage.count(a.apartment(), like!(Queued)), 0);
        Ok(())
    });
}

#[test]
fn ca_3_a_reply_recorded_before_the_deadline_wins() {
    play(|stage| {
        let options = || CallOptions::new().within(secs(5));
        assert_eq!(replied_before(stage, options, || stage.clock.advance(secs(60)))?, 7);
        Ok(())
    });
}

#[test]
fn ca_3_nested_calls_inherit_what_is_left() {
    play(|stage| {
        let (a, b) = (stage.sta("a").spawn()?, stage.sta("b").spawn()?);
        let mta = stage.mta().spawn()?;
        let (at_a, own, at_b, in_mta) = (a.create(|| ())?, a.create(|| 1)?, b.create(|| ())?, mta.create(|| ())?);
        let left = Mutex::new(Vec::new());
        let passes = |seconds| {
            left.lock().unwrap().push(context().remaining().unwrap().as_secs());
            stage.clock.advance(secs(seconds));
        };
        let direct = || {
            passes(1);
            own.call(|_| passes(1)).unwrap();
        };
        let in_b = || {
            passes(3);
            at_a.call(|()| direct()).unwrap();
            // Its own, if that is earlier; never a later one.
            at_a.within(secs(2)).call(|()| passes(0)).unwrap();
            at_a.within(secs(900)).call(|()| passes(0)).unwrap();
        };
        let in_pool = || {
            passes(2);
            at_b.call(|()| in_b()).unwrap();
        };
        at_a.within(secs(20)).call(|()| {
            passes(1);
            in_mta.call(|()| in_pool()).unwrap();
        })?;
        assert_eq!(left.into_inner().unwrap(), [20, 19, 17, 14, 13, 2, 12]);
        // The chain is over, and its deadline with it.
        assert_eq!(at_a.call(|()| context().remaining())?, None);
        Ok(())
    });
}

#[test]
fn ca_3_a_call_made_past_the_deadline_of_its_call_reaches_no_queue() {
    play(|stage| {
        let (a, b) = (stage.sta("a").spawn()?, stage.sta("b").spawn()?);
        let (at_a, at_b) = (a.create(|| ())?, b.create(|| ())?);
        stage.begin();
        let mut inner = None;
        let outer = at_a.within(secs(5)).call(|()| {
            stage.clock.advance(secs(5));
            inner = Some(seen_as(at_b.call(|()| ()).unwrap_err()));
        });
        assert_eq!((seen_as(outer.unwrap_err()), inner), (TIMED_OUT_RUNNING, Some(TIMED_OUT)));
        assert_eq!(stage.count(b.apartment(), like!(Queued)), 0);
        Ok(())
    });
}

#[test]
fn ca_3_an_inherited_deadline_ends_nested_calls_through_stas_and_the_mta() {
    play(|stage| {
        let (a, b, c) = (stage.sta("a").spawn()?, stage.sta("b").spawn()?, stage.sta("c").spawn()?);
        let mta = stage.mta().spawn()?;
        let (at_a, at_b, at_c, in_mta) = (a.create(|| ())?, b.create(|| ())?, c.create(|| ())?, mta.create(|| ())?);
        let key = occupy(stage, &c);
        let errors = Mutex::new(Vec::new());
        let keep = |result: Result<(), CallError>| errors.lock().unwrap().push(result.map_err(seen_as).unwrap_err());
        let timed_out =
            |at: &Sta| drop(stage.until(at.apartment(), like!(CancelAsked { why: CancelReason::Deadline })));
        stage.begin();
        thread::scope(|s| {
            s.spawn(|| {
                let in_b = || {
                    keep(at_c.call(|()| ()));
                    // All that run are told before the first of them ends.
                    timed_out(&b);
                    stage.until(mta.apartment(), like!(CancelAsked { why: CancelReason::Deadline }));
                    timed_out(&a);
                };
                let in_pool = || keep(at_b.call(|()| in_b()));
                keep(at_a.within(secs(5)).call(|()| keep(in_mta.call(|()| in_pool()))));
            });
            // The innermost one is queued and never starts.
            stage.until(c.apartment(), like!(Queued));
            stage.clock.advance(secs(5));
        });
        let running = TIMED_OUT_RUNNING;
        assert_eq!(errors.into_inner().unwrap(), [TIMED_OUT, running, running, running]);
        assert_eq!(stage.until(c.apartment(), like!(Revoked)).at, secs(5));
        key.open();
        Ok(())
    });
}

#[test]
fn ca_3_a_call_that_ends_after_its_deadline_has_timed_out() {
    play(|stage| {
        let (a, b) = (stage.sta("a").spawn()?, stage.sta("b").spawn()?);
        let (at_a, at_b) = (a.create(|| ())?, b.create(|| ())?);
        // Whether or not its caller has looked at the clock in between.
        for _ in 0..100 {
            let late = || at_a.within(secs(5)).call(|()| stage.clock.advance(secs(5))).map_err(seen_as);
            assert_eq!(late(), Err(TIMED_OUT_RUNNING));
            assert_eq!(at_b.call(|()| late())?, Err(TIMED_OUT_RUNNING));
        }
        Ok(())
    });
}

#[test]
fn ca_3_a_nested_calls_own_earlier_deadline_ends_that_call_alone() {
    play(|stage| {
        let (a, b) = (stage.sta("a").spawn()?, stage.sta("b").spawn()?);
        let (at_a, at_b) = (a.create(|| ())?, b.create(|| ())?);
        let key = occupy(stage, &b);
        stage.begin();
        thread::scope(|s| {
            let nested = || at_b.within(secs(1)).call(|()| ()).map_err(seen_as);
            let call = s.spawn(move || at_a.within(secs(5)).call(|()| nested()));
            stage.until(b.apartment(), like!(Queued));
            stage.clock.advance(secs(1));
            assert_eq!(call.join().unwrap()?, Err(TIMED_OUT));
            Ok::<(), CallError>(())
        })?;
        key.open();
        Ok(())
    });
}

#[test]
fn ca_3_a_buried_call_leaves_its_queue_at_its_deadline_and_returns_in_its_turn() {
    play(|stage| {
        let (a, b, c) = (stage.sta("a").spawn()?, stage.sta("b").spawn()?, stage.sta("c").spawn()?);
        let (at_a, at_b, at_c) = (a.create(|| ())?, b.create(|| ())?, c.create(|| ())?);
        let busy = occupy(stage, &b);
        stage.begin();
        let (key, gate) = gate();
        thread::scope(|s| {
            let call = s.spawn(|| at_a.call(|()| at_b.within(secs(5)).call(|()| ()).map_err(seen_as)).unwrap());
            let outer = stage.until(a.apartment(), like!(WaitBegan)).call;
            s.spawn(|| at_a.call(|()| at_c.call(|()| gate.pass()).unwrap()).unwrap());
            let inner = stage.until_nth(2, a.apartment(), like!(WaitBegan)).call;
            stage.until(b.apartment(), like!(Queued));
            stage.clock.advance(secs(5));
            stage.until(b.apartment(), like!(Revoked { why: CancelReason::Deadline, queued: 0 }));
            assert_eq!(b.apartment().queued(), 0);
            key.open();
            assert_eq!(call.join().unwrap(), Err(TIMED_OUT));
            let ended: Vec<_> = stage.all(a.apartment(), like!(WaitEnded)).iter().map(|event| event.call).collect();
            assert_eq!(ended, [inner, outer]);
        });
        busy.open();
        Ok(())
    });
}

#[test]
fn ca_3_a_call_past_its_deadline_holds_no_room_even_if_its_caller_is_busy() {
    play(|stage| {
        let (a, b) = (stage.sta("a").spawn()?, stage.sta("b").capacity(1).spawn()?);
        let (at_a, at_b) = (a.create(|| ())?, b.create(|| ())?);
        let busy = occupy(stage, &b);
        stage.begin();
        let (key, gate) = gate();
        thread::scope(|s| {
            s.spawn(|| at_a.call(|()| at_b.within(secs(5)).call(|()| ()).unwrap_err()).unwrap());
            stage.until(b.apartment(), like!(Queued));
            // The thread that waits for it serves somebody else and looks at no clock.
            s.spawn(|| at_a.call(|()| gate.pass()).unwrap());
            stage.until_nth(2, a.apartment(), like!(Began));
            stage.clock.advance(secs(5));
            let accepted = at_b.post(|()| ()).map_err(CallError::from);
            key.open();
            accepted.unwrap();
        });
        busy.open();
        Ok(())
    });
}

#[test]
fn ca_3_a_direct_call_has_a_deadline_too() {
    play(|stage| {
        let ui = stage.sta("ui").enter()?;
        let at_ui = ui.create(|| ())?;
        let error = at_ui.within(secs(5)).call(|()| {
            assert_eq!((context().remaining(), is_cancelled()), (Some(secs(5)), false));
            stage.clock.advance(secs(5));
            assert!(is_cancelled());
        });
        assert_eq!(seen_as(error.unwrap_err()), TIMED_OUT_RUNNING);
        assert_eq!(seen_as(at_ui.within(secs(0)).call(|()| ()).unwrap_err()), TIMED_OUT);
        Ok(())
    });
}

// ---- CA-4

#[test]
fn ca_4_each_failure_tells_whether_the_call_may_have_run() {
    play(|stage| {
        let a = stage.sta("a").spawn()?;
        let at_a = a.create(|| ())?;
        let panics = |()| -> () { panic!("in the middle") };
        let faults = [at_a.call(|_| panics(())).unwrap_err(), a.create(|| panics(())).unwrap_err()];
        for fault in faults {
            assert_eq!(seen_as(fault), (hresult::SERVER_FAULT, Outcome::MayHaveRun));
        }
        // What was refused at the door, or by the object.
        let cell = a.create(|| RefCell::new(()))?;
        let busy = cell.call_mut(|()| cell.call_mut(|()| ()).unwrap_err())?;
        assert_eq!(seen_as(busy), (hresult::RETRY, Outcome::NotStarted));
        let full = stage.sta("full").capacity(1).spawn()?;
        let at_full = full.create(|| ())?;
        let key = occupy(stage, &full);
        at_full.post(|()| ())?;
        assert_eq!(seen_as(at_full.call(|()| ()).unwrap_err()), (hresult::SYS_CALL_FAILED, Outcome::NotStarted));
        let post = at_full.post(|()| ()).unwrap_err();
        assert_eq!(seen_as(post.error().clone()), (hresult::SYS_CALL_FAILED, Outcome::NotStarted));
        key.open();
        for (answer, hresult) in
            [(ServerCall::Rejected, hresult::CALL_REJECTED), (ServerCall::RetryLater, hresult::RETRY_LATER)]
        {
            let refuses = stage.sta("refuses").filter(move || incoming(move |_| answer)).spawn()?;
            assert_eq!(seen_as(refuses.create(|| ()).unwrap_err()), (hresult, Outcome::NotStarted));
        }
        // What the caller, or its clock, took back; and what it may not do.
        let cancel = CancelHandle::new();
        let running = at_a.with(&CallOptions::new().cancel(&cancel)).call(|()| cancel.cancel()).unwrap_err();
        let early = at_a.with(&CallOptions::new().cancel(&cancel)).call(|()| ()).unwrap_err();
        assert_eq!((seen_as(running), seen_as(early)), (CANCELED_RUNNING, CANCELED));
        stage.begin();
        let running = at_a.within(secs(1)).call(|()| {
            stage.clock.advance(secs(1));
            stage.until(a.apartment(), like!(CancelAsked));
        });
        let running = running.unwrap_err();
        let early = at_a.within(secs(0)).call(|()| ()).unwrap_err();
        assert_eq!((seen_as(running), seen_as(early)), (TIMED_OUT_RUNNING, TIMED_OUT));
        let (tell, told) = unbounded();
        let policy = |_: &apartment::RejectedCall| {
            tell.send(seen_as(at_a.call(|()| ()).unwrap_err())).unwrap();
            Retry::GiveUp
        };
        let refuses = stage.sta("refuses").filter(|| incoming(|call| only_creations(call.kind))).spawn()?;
        let refused = refuses.create(|| ())?;
        refused.with(&CallOptions::new().retry(policy)).call(|()| ()).unwrap_err();
        assert_eq!(told.recv().unwrap(), (hresult::CANT_CALL_OUT_IN_FILTER, Outcome::NotStarted));
        // What has ended.
        drop(a);
        assert_eq!(seen_as(at_a.call(|()| ()).unwrap_err()), (hresult::DISCONNECTED, Outcome::NotStarted));
        assert_eq!(seen_as(at_a.post(|()| ()).unwrap_err().into()), (hresult::DISCONNECTED, Outcome::NotStarted));
        Ok(())
    });
}

fn only_creations(kind: CallKind) -> ServerCall {
    if kind == CallKind::Create { ServerCall::Handled } else { ServerCall::Rejected }
}

#[test]
fn ca_4_of_an_apartment_that_dies_what_was_queued_has_not_started() {
    play(|stage| {
        let (send, receive) = unbounded();
        let (key, gate) = gate();
        thread::scope(|s| {
            let owner = s.spawn(|| {
                let ui = stage.sta("ui").enter().unwrap();
                send.send((ui.create(|| ()).unwrap(), ui.apartment().clone())).unwrap();
                gate.pass();
                resume_unwind(Box::new("the owner of the thread panics"));
            });
            let (at_ui, apartment): (Proxy<()>, _) = receive.recv().unwrap();
            let call = s.spawn(move || seen_as(at_ui.call(|()| ()).unwrap_err()));
            stage.until(&apartment, like!(Queued));
            key.open();
            assert_eq!(call.join().unwrap(), (hresult::SERVER_DIED_DNE, Outcome::NotStarted));
            owner.join().unwrap_err();
        });
        Ok(())
    });
}

/// The ring of a cancel and that of an inner reply are one ring, which the inner wait consumes as it ends.
#[test]
fn ca_2_a_cancel_that_comes_with_an_inner_reply_reaches_the_outer_call() {
    for _ in 0..20 {
        let process = Process::new();
        let (a, b) = (process.sta("a").spawn().unwrap(), process.sta("b").spawn().unwrap());
        let (at_a, at_b) = (a.create(|| ()).unwrap(), b.create(|| ()).unwrap());
        let handle = CancelHandle::new();
        let options = CallOptions::new().cancel(&handle);
        let cancelled = at_a.with(&options).call(|()| {
            let waits_to_be_told = at_b.call(|()| {
                let inner = at_a.call(|()| at_b.call(|()| handle.cancel()));
                assert!(!matches!(inner, Ok(Err(CallError::ServerFault { .. }))));
                while !is_cancelled() {
                    thread::yield_now();
                }
            });
            assert!(matches!(waits_to_be_told, Err(CallError::CallCanceled { outcome: Outcome::MayHaveRun })));
        });
        assert!(matches!(cancelled, Err(CallError::CallCanceled { outcome: Outcome::MayHaveRun })));
    }
}

#[test]
fn ca_3_nothing_is_tried_again_once_the_deadline_has_passed() {
    play(|stage| {
        let refuses = |call: &apartment::IncomingCall| match call.kind {
            CallKind::Create => ServerCall::Handled,
            _ => ServerCall::RetryLater,
        };
        let a = stage.sta("a").filter(move || incoming(refuses)).spawn()?;
        let at_a = a.create(|| ())?;
        stage.begin();
        // It passes while the policy is asked.
        let policy = |_: &apartment::RejectedCall| {
            stage.clock.advance(secs(5));
            Retry::Now
        };
        let error = at_a.with(&CallOptions::new().within(secs(5)).retry(policy)).call(|()| ()).unwrap_err();
        assert_eq!(seen_as(error), TIMED_OUT);
        assert_eq!(stage.count(a.apartment(), like!(Queued)), 1, "the second attempt does not go out");
        Ok(())
    });
}
