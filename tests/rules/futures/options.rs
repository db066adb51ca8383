//! A future's deadline, its wait for room, its retries, and what cancels it.

use super::*;
use crate::stage::{Answers, incoming, millis};
use apartment::{Reentrancy, RejectedCall, Retry, ServerCall, current_call};

/// Refuses calls of a future, that many times; everything that is made before lets in.
fn refuses(many: u32, answer: ServerCall) -> impl Fn() -> Answers + Send + Sync + 'static {
    move || {
        let (made, refused) = (Cell::new(false), Cell::new(0));
        incoming(move |_| {
            // The first call makes the object.
            if !made.replace(true) || refused.get() == many {
                return ServerCall::Handled;
            }
            refused.set(refused.get() + 1);
            answer
        })
    }
}

// ---- room

#[test]
fn mb_2_a_full_mailbox_refuses_a_future_s_call_and_its_first_poll_says_so() {
    play(|stage| {
        let a = stage.sta("a").capacity(1).spawn()?;
        let at_a = a.create(|| ())?;
        let busy = occupy(stage, &a);
        at_a.post(|()| ())?;
        let dropped = Log::new();
        let held = Tells(dropped.clone());
        let mut call = at_a.call_async(move |()| drop(held));
        assert_eq!(dropped.take().len(), 1);
        let error = ready(&mut call, Waker::noop()).unwrap_err();
        assert_eq!(seen_as(error), (hresult::SYS_CALL_FAILED, Outcome::NotStarted));
        busy.open();
        Ok(())
    });
}

#[test]
fn mb_3_futures_stand_in_the_line_for_room_in_their_order() {
    play(|stage| {
        let a = stage.sta("a").capacity(1).spawn()?;
        let at_a = a.create(Log::<u32>::new)?;
        let busy = occupy(stage, &a);
        at_a.post(|log| log.add(1))?;
        let patient = AsyncOptions::new().wait_for_room();
        let calls: Vec<_> = (2..5).map(|n| at_a.with(&patient).call_async(move |log| log.add(n))).collect();
        assert!(at_a.post(|log| log.add(0)).is_err(), "who does not wait does not overtake");
        busy.open();
        for call in calls {
            pollster::block_on(call)?;
        }
        assert_eq!(at_a.call(Log::take)?, [1, 2, 3, 4]);
        Ok(())
    });
}

#[test]
fn mb_3_a_future_s_time_in_the_line_ends() {
    play(|stage| {
        let a = stage.sta("a").capacity(1).reentrancy(Reentrancy::None).spawn()?;
        let b = stage.sta("b").spawn()?;
        let (at_a, at_b) = (a.create(|| ())?, b.create(|| ())?);
        let (key, gate) = gate();
        let (arrived, arrives) = unbounded();
        thread::scope(|s| {
            s.spawn(|| {
                at_a.call(|()| {
                    at_b.call(|()| {
                        arrived.send(()).unwrap();
                        gate.pass();
                    })
                })
            });
            arrives.recv().unwrap();
            at_a.post(|()| ()).unwrap();
            let options = AsyncOptions::new().wait_for_room_within(secs(2)).within(secs(9));
            let mut call = at_a.with(&options).call_async(|()| ());
            let (waker, woken) = waker();
            assert!(is_pending(&mut call, &waker));
            stage.clock.advance(secs(1));
            assert!(is_pending(&mut call, &waker));
            stage.clock.advance(secs(1));
            // A waits and lets nothing in; but it wakes who called it.
            woken.recv().unwrap();
            let error = ready(&mut call, &waker).unwrap_err();
            assert!(matches!(error, CallError::MailboxFull(_)), "{error:?}");
            key.open();
        });
        Ok(())
    });
}

// ---- deadlines

#[test]
fn ca_3_the_callee_wakes_a_future_whose_deadline_has_passed_in_its_queue() {
    play(|stage| {
        let a = stage.sta("a").reentrancy(Reentrancy::None).spawn()?;
        let b = stage.sta("b").spawn()?;
        let (at_a, at_b) = (a.create(|| Cell::new(0))?, b.create(|| ())?);
        let (key, gate) = gate();
        let (arrived, arrives) = unbounded();
        let mut call = thread::scope(|s| {
            s.spawn(|| {
                at_a.call(|_| {
                    at_b.call(|()| {
                        arrived.send(()).unwrap();
                        gate.pass();
                    })
                })
            });
            arrives.recv().unwrap();
            let mut call = at_a.within(secs(5)).call_async(|count| count.set(1));
            let (waker, woken) = waker();
            assert!(is_pending(&mut call, &waker));
            stage.clock.advance(secs(5));
            woken.recv().unwrap();
            assert_eq!(a.apartment().queued(), 1, "what is to be done then is the future's");
            assert_eq!(seen_as(ready(&mut call, &waker).unwrap_err()), TIMED_OUT);
            assert_eq!(a.apartment().queued(), 0);
            key.open();
            call
        });
        assert_eq!(at_a.call(Cell::get)?, 0);
        assert!(is_over(&mut call));
        Ok(())
    });
}

fn is_over<R>(call: &mut CallFuture<R>) -> bool {
    format!("{call:?}").contains("over")
}

#[test]
fn ca_3_whoever_polls_a_future_past_its_deadline_learns_so_at_once() {
    play(|stage| {
        let a = stage.sta("a").spawn()?;
        let at_a = a.create(|| Cell::new(0))?;
        let busy = occupy(stage, &a);
        let mut call = at_a.within(secs(5)).call_async(|count| count.set(1));
        assert!(is_pending(&mut call, Waker::noop()));
        stage.clock.advance(secs(5));
        assert_eq!(seen_as(ready(&mut call, Waker::noop()).unwrap_err()), TIMED_OUT);
        assert_eq!(a.apartment().queued(), 0);
        busy.open();
        assert_eq!(at_a.call(Cell::get)?, 0);
        Ok(())
    });
}

#[test]
fn ca_3_a_future_whose_deadline_nobody_looked_at_completes_when_its_callee_looks() {
    play(|stage| {
        let a = stage.sta("a").enter()?;
        let at_a = a.create(|| Cell::new(0))?;
        let (made, makes) = unbounded();
        let clock = stage.clock.clone();
        let waits = {
            let at_a = at_a.clone();
            thread::spawn(move || {
                let call = at_a.within(secs(5)).call_async(|count| count.set(1));
                made.send(()).unwrap();
                seen_as(pollster::block_on(call).unwrap_err())
            })
        };
        makes.recv().unwrap();
        clock.advance(secs(5));
        a.pump();
        assert_eq!(waits.join().unwrap(), TIMED_OUT);
        assert_eq!(at_a.call(Cell::get)?, 0);
        Ok(())
    });
}

#[test]
fn ca_3_a_future_leaves_a_call_that_runs_past_its_deadline() {
    play(|stage| {
        let mta = stage.mta().threads(2).spawn()?;
        let in_mta = mta.create(|| ())?;
        // A second thread of the pool, which is idle then.
        let (key, gate_of_two) = gate();
        let two: Vec<_> = (0..2).map(|_| gate_of_two.clone()).collect();
        let began = stage.count(mta.apartment(), like!(Began));
        let mut posts = two.into_iter().map(|gate| in_mta.post(move |()| gate.pass()).map_err(CallError::from));
        posts.try_for_each(|post| post)?;
        stage.until_nth(began + 2, mta.apartment(), like!(Began));
        key.open();
        let (key, gate) = gate();
        let (method, told) = hangs(gate);
        let mut call = in_mta.within(secs(5)).call_async(method);
        assert!(!told.recv().unwrap());
        let (waker, woken) = waker();
        assert!(is_pending(&mut call, &waker));
        stage.clock.advance(secs(5));
        woken.recv().unwrap();
        assert_eq!(seen_as(ready(&mut call, &waker).unwrap_err()), TIMED_OUT_RUNNING);
        key.open();
        assert!(told.recv().unwrap());
        stage.until(mta.apartment(), like!(ResultDropped));
        Ok(())
    });
}

#[test]
fn ca_3_a_deadline_of_the_system_s_clock_completes_a_future() {
    must_end(|| {
        let process = Process::new();
        let mta = process.mta().threads(2).spawn().unwrap();
        let in_mta = mta.create(|| ()).unwrap();
        let (key, gate) = gate();
        let (method, told) = hangs(gate);
        let call = in_mta.within(millis(1)).call_async(method);
        let error = pollster::block_on(call).unwrap_err();
        assert_eq!(error.hresult(), hresult::TIMED_OUT);
        key.open();
        drop(told);
    });
}

#[test]
fn ca_3_futures_inherit_a_deadline_from_sta_to_mta_to_sta() {
    play(|stage| {
        let (a, b) = (stage.sta("a").spawn()?, stage.sta("b").spawn()?);
        let mta = stage.mta().spawn()?;
        let (at_a, at_b, in_mta) = (a.create(|| ())?, b.create(|| ())?, mta.create(|| ())?);
        let seen = at_a.within(secs(10)).call_async(move |()| {
            let here = current_call().unwrap();
            let below = in_mta.call_async(move |()| {
                let here = current_call().unwrap();
                let below = at_b.within(secs(60)).call_async(|()| {
                    let here = current_call().unwrap();
                    vec![(here.chain(), here.depth(), here.remaining())]
                });
                let mut seen = pollster::block_on(below).unwrap();
                seen.push((here.chain(), here.depth(), here.remaining()));
                seen
            });
            let mut seen = pollster::block_on(below).unwrap();
            seen.push((here.chain(), here.depth(), here.remaining()));
            seen
        });
        let seen = pollster::block_on(seen)?;
        let (chain, ten) = (seen[0].0, Some(secs(10)));
        assert_eq!(seen, [(chain, 3, ten), (chain, 2, ten), (chain, 1, ten)]);
        Ok(())
    });
}

#[test]
fn ca_3_a_future_made_past_the_deadline_of_its_call_fails_at_once() {
    play(|stage| {
        let (a, b) = (stage.sta("a").spawn()?, stage.sta("b").spawn()?);
        let (at_a, at_b) = (a.create(|| ())?, b.create(|| ())?);
        let clock = stage.clock.clone();
        let (seen, sees) = unbounded();
        let outer = at_a.within(secs(1)).call_owned(move |()| {
            clock.advance(secs(1));
            let error = ready(&mut at_b.call_async(|()| ()), Waker::noop()).unwrap_err();
            seen.send(seen_as(error)).unwrap();
        });
        assert_eq!(seen_as(outer.unwrap_err()).0, hresult::TIMED_OUT);
        assert_eq!(sees.recv().unwrap(), TIMED_OUT);
        Ok(())
    });
}

// ---- cancelling

#[test]
fn ca_2_a_handle_cancels_a_future_s_call_wherever_it_is() {
    play(|stage| {
        let a = stage.sta("a").spawn()?;
        let at_a = a.create(|| ())?;
        let cancel = CancelHandle::new();
        let options = AsyncOptions::new().cancel(&cancel);
        let (key, gate) = gate();
        let (method, told) = hangs(gate);
        let mut runs = at_a.with(&options).call_async(method);
        told.recv().unwrap();
        let mut queued = at_a.with(&options).call_async(|()| ());
        let ((first, first_told), (second, second_told)) = (waker(), waker());
        assert!(is_pending(&mut runs, &first) && is_pending(&mut queued, &second));
        cancel.cancel();
        first_told.recv().unwrap();
        second_told.recv().unwrap();
        assert_eq!(seen_as(ready(&mut runs, &first).unwrap_err()), CANCELED_RUNNING, "its callee runs on");
        assert_eq!(seen_as(ready(&mut queued, &second).unwrap_err()), CANCELED);
        assert_eq!(seen_as(ready(&mut at_a.with(&options).call_async(|()| ()), &first).unwrap_err()), CANCELED);
        key.open();
        assert!(told.recv().unwrap());
        stage.until(a.apartment(), like!(ResultDropped));
        Ok(())
    });
}

#[test]
fn ca_2_a_future_s_call_is_cancelled_with_the_call_it_was_made_in() {
    play(|stage| {
        let (a, b) = (stage.sta("a").spawn()?, stage.sta("b").spawn()?);
        let (at_a, at_b) = (a.create(|| ())?, b.create(|| ())?);
        let cancel = CancelHandle::new();
        let (key, gate) = gate();
        let (method, told) = hangs(gate);
        let (seen, sees) = unbounded();
        thread::scope(|s| {
            let call = s.spawn(|| {
                let method = move |(): &()| {
                    // Blocks this STA without pumping: the waker alone ends that.
                    seen.send(pollster::block_on(at_b.call_async(method)).map_err(seen_as)).unwrap();
                };
                at_a.with(&CallOptions::new().cancel(&cancel)).call_owned(method).unwrap_err()
            });
            assert!(!told.recv().unwrap());
            cancel.cancel();
            assert_eq!(seen_as(call.join().unwrap()), CANCELED_RUNNING);
        });
        assert_eq!(sees.recv().unwrap(), Err(CANCELED_RUNNING));
        key.open();
        assert!(told.recv().unwrap());
        Ok(())
    });
}

#[test]
fn ca_2_a_future_s_call_is_cancelled_with_the_direct_call_it_was_made_in() {
    play(|stage| {
        let (a, b) = (stage.sta("a").enter()?, stage.sta("b").spawn()?);
        let (at_a, at_b) = (a.create(|| ())?, b.create(|| ())?);
        let busy = occupy(stage, &b);
        let cancel = CancelHandle::new();
        let inner = cancel.clone();
        let error = at_a.with(&CallOptions::new().cancel(&cancel)).call_owned(move |()| {
            let mut call = at_b.call_async(|()| ());
            assert!(is_pending(&mut call, Waker::noop()));
            inner.cancel();
            seen_as(ready(&mut call, Waker::noop()).unwrap_err())
        });
        assert_eq!(seen_as(error.unwrap_err()), CANCELED_RUNNING);
        assert_eq!(b.apartment().queued(), 0);
        busy.open();
        Ok(())
    });
}

// ---- retries

#[test]
fn mf_5_a_rejected_future_without_a_policy_fails_whatever_its_maker_s_filter_says() {
    play(|stage| {
        let _ui = stage.sta("ui").filter(|| crate::stage::rejected(|_| Retry::Now)).enter()?;
        for (answer, expected) in
            [(ServerCall::Rejected, hresult::CALL_REJECTED), (ServerCall::RetryLater, hresult::RETRY_LATER)]
        {
            let a = stage.sta("a").filter(refuses(1, answer)).spawn()?;
            let at_a = a.create(|| ())?;
            let error = pollster::block_on(at_a.call_async(|()| ())).unwrap_err();
            assert_eq!(seen_as(error), (expected, Outcome::NotStarted));
        }
        Ok(())
    });
}

#[test]
fn mf_6_a_future_s_own_policy_is_asked_and_its_time_waited_for_by_the_callee() {
    play(|stage| {
        let a = stage.sta("a").filter(refuses(2, ServerCall::RetryLater)).spawn()?;
        let at_a = a.create(|| Cell::new(0))?;
        let (ask, asked) = unbounded();
        let policy = move |call: &RejectedCall| {
            ask.send((call.attempts, call.elapsed, call.rejected)).unwrap();
            if call.attempts == 1 { Retry::Now } else { Retry::After(millis(500)) }
        };
        stage.begin();
        let mut call = at_a.with(&AsyncOptions::new().retry(policy)).call_async(|count| count.set(count.get() + 1));
        let (waker, woken) = waker();
        while asked.len() < 2 {
            assert!(is_pending(&mut call, &waker));
            if asked.len() < 2 {
                woken.recv().unwrap();
            }
        }
        let zero = millis(0);
        assert_eq!(asked.try_iter().collect::<Vec<_>>(), [1, 2].map(|n| (n, zero, ServerCall::RetryLater)));
        stage.clock.advance(millis(499));
        assert!(is_pending(&mut call, &waker));
        assert_eq!(stage.count(a.apartment(), like!(Filtered)), 2);
        stage.clock.advance(millis(1));
        let result = loop {
            woken.recv().unwrap();
            if let Poll::Ready(result) = poll(&mut call, &waker) {
                break result;
            }
        };
        result?;
        assert_eq!(stage.count(a.apartment(), like!(Filtered)), 3);
        assert_eq!(at_a.call(Cell::get)?, 1);
        assert_eq!(stage.count(a.apartment(), like!(Began)), 2, "the method ran once");
        Ok(())
    });
}

#[test]
fn mf_6_a_future_s_policy_is_a_filter_s_method_on_the_thread_that_polls() {
    play(|stage| {
        let (a, b) = (stage.sta("a").filter(refuses(1, ServerCall::Rejected)).spawn()?, stage.sta("b").spawn()?);
        let (at_a, at_b) = (a.create(|| ())?, b.create(|| ())?);
        let (ask, asked) = unbounded();
        let policy = move |_: &RejectedCall| {
            ask.send((thread::current().id(), at_b.call(|()| ()).unwrap_err().hresult())).unwrap();
            panic!("which gives up")
        };
        let call = at_a.with(&AsyncOptions::new().retry(policy)).call_async(|()| ());
        let error = pollster::block_on(call).unwrap_err();
        assert_eq!(seen_as(error), (hresult::CALL_REJECTED, Outcome::NotStarted));
        let here = thread::current().id();
        assert_eq!(asked.recv().unwrap(), (here, hresult::CANT_CALL_OUT_IN_FILTER));
        stage.until_any(|event| matches!(&event.what, What::Contained { place: "retry_rejected", .. }));
        Ok(())
    });
}

#[test]
fn mf_6_a_future_that_rests_is_woken_when_its_callee_ends_and_finds_the_door_closed() {
    play(|stage| {
        let a = stage.sta("a").filter(refuses(1, ServerCall::RetryLater)).spawn()?;
        let at_a = a.create(|| ())?;
        let options = AsyncOptions::new().retry(|_: &RejectedCall| Retry::After(secs(60)));
        let mut call = at_a.with(&options).call_async(|()| ());
        let (waker, woken) = waker();
        while stage.events().iter().all(|event| !matches!(event.what, What::RetryAsked { .. })) {
            assert!(is_pending(&mut call, &waker));
            stage.until(a.apartment(), like!(Filtered { answer: ServerCall::RetryLater }));
        }
        while woken.try_recv().is_ok() {}
        assert!(is_pending(&mut call, &waker));
        a.quit();
        a.join()?;
        woken.recv().unwrap();
        let error = ready(&mut call, &waker).unwrap_err();
        assert_eq!(seen_as(error), (hresult::DISCONNECTED, Outcome::NotStarted));
        Ok(())
    });
}

#[test]
fn ca_2_a_future_that_rests_can_be_cancelled() {
    play(|stage| {
        let a = stage.sta("a").filter(refuses(1, ServerCall::RetryLater)).spawn()?;
        let at_a = a.create(|| ())?;
        let cancel = CancelHandle::new();
        let later = |_: &RejectedCall| Retry::After(secs(60));
        let mut call = at_a.with(&AsyncOptions::new().retry(later).cancel(&cancel)).call_async(|()| ());
        let (waker, woken) = waker();
        while stage.events().iter().all(|event| !matches!(event.what, What::RetryAsked { .. })) {
            assert!(is_pending(&mut call, &waker));
        }
        while woken.try_recv().is_ok() {}
        assert!(is_pending(&mut call, &waker));
        cancel.cancel();
        woken.recv().unwrap();
        assert_eq!(seen_as(ready(&mut call, &waker).unwrap_err()), CANCELED);
        Ok(())
    });
}
