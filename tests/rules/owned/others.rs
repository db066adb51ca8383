//! What other rules say, of calls that own what they hand over.

use super::*;

#[test]
fn ca_3_an_owned_call_past_its_deadline_returns_while_its_callee_runs_on() {
    play(|stage| {
        let a = stage.sta("a").spawn()?;
        let at_a = a.create(|| ())?;
        let (key, gate) = gate();
        let (method, told) = hangs(gate);
        thread::scope(|s| {
            let call = s.spawn(|| at_a.within(secs(5)).call_owned(method).unwrap_err());
            assert!(!told.recv().unwrap());
            stage.clock.advance(secs(5));
            assert_eq!(seen_as(call.join().unwrap()), TIMED_OUT_RUNNING);
        });
        key.open();
        assert!(told.recv().unwrap());
        stage.until(a.apartment(), like!(ResultDropped));
        Ok(())
    });
}

#[test]
fn mf_8_cancel_call_ends_the_wait_for_an_owned_call_at_once() {
    play(|stage| {
        let ui = stage.sta("ui").filter(|| pending(|_| PendingAnswer::cancel_call())).enter()?;
        let b = stage.sta("b").spawn()?;
        let at_b = b.create(|| ())?;
        let (key, gate) = gate();
        let (method, told) = hangs(gate);
        let window = ui.apartment().clone();
        let error = thread::scope(|s| {
            s.spawn(|| {
                told.recv().unwrap();
                window.post_message(MessageClass::User, || ()).unwrap();
            });
            at_b.call_owned(method).unwrap_err()
        });
        assert_eq!(seen_as(error), CANCELED_RUNNING);
        key.open();
        assert!(told.recv().unwrap());
        stage.until(b.apartment(), like!(ResultDropped));
        ui.pump();
        Ok(())
    });
}

#[test]
fn mb_7_a_revoked_owned_call_frees_its_slot_at_once_and_never_runs() {
    play(|stage| {
        let a = stage.sta("a").capacity(1).spawn()?;
        let at_a = a.create(|| ())?;
        let busy = occupy(stage, &a);
        let (cancel, dropped) = (CancelHandle::new(), Log::new());
        let held = Tells(dropped.clone());
        stage.begin();
        let error = thread::scope(|s| {
            let call = s.spawn(|| {
                let options = CallOptions::new().cancel(&cancel);
                at_a.with(&options).call_owned(move |()| drop(held)).unwrap_err()
            });
            stage.until(a.apartment(), like!(Queued));
            assert_eq!(at_a.post(|()| ()).unwrap_err().into_parts().0.hresult(), hresult::SYS_CALL_FAILED);
            cancel.cancel();
            at_a.post(|()| ()).expect("its slot is free");
            call.join().unwrap()
        });
        assert_eq!(seen_as(error), CANCELED);
        assert_eq!(dropped.take().len(), 1, "its closure was dropped unrun");
        busy.open();
        at_a.with(&CallOptions::new().wait_for_room()).call(|()| ())?;
        assert_eq!(stage.count(a.apartment(), like!(ResultDropped)), 0);
        Ok(())
    });
}

#[test]
fn ca_3_an_owned_call_whose_deadline_passes_in_the_queue_never_runs() {
    play(|stage| {
        let a = stage.sta("a").spawn()?;
        let at_a = a.create(|| Cell::new(0))?;
        let busy = occupy(stage, &a);
        stage.begin();
        thread::scope(|s| {
            let call = s.spawn(|| at_a.within(secs(1)).call_owned(|count| count.set(1)).unwrap_err());
            stage.until(a.apartment(), like!(Queued));
            stage.clock.advance(secs(1));
            assert_eq!(seen_as(call.join().unwrap()), TIMED_OUT);
        });
        busy.open();
        assert_eq!(at_a.call(Cell::get)?, 0);
        Ok(())
    });
}

#[test]
fn mb_3_cancelling_an_owned_call_ends_its_wait_for_room() {
    play(|stage| {
        let a = stage.sta("a").capacity(1).spawn()?;
        let at_a = a.create(|| ())?;
        let busy = occupy(stage, &a);
        at_a.post(|()| ())?;
        let cancel = CancelHandle::new();
        stage.begin();
        thread::scope(|s| {
            let call = s.spawn(|| {
                let options = CallOptions::new().cancel(&cancel).wait_for_room();
                at_a.with(&options).call_owned(|()| ()).unwrap_err()
            });
            stage.until_any(|event| matches!(event.what, What::WaitTurned { .. }));
            cancel.cancel();
            assert_eq!(seen_as(call.join().unwrap()), CANCELED);
        });
        busy.open();
        Ok(())
    });
}

#[test]
fn ca_3_owned_calls_inherit_a_deadline_from_sta_to_mta_to_sta() {
    play(|stage| {
        let (a, b) = (stage.sta("a").spawn()?, stage.sta("b").spawn()?);
        let mta = stage.mta().spawn()?;
        let (at_a, at_b, in_mta) = (a.create(|| ())?, b.create(|| ())?, mta.create(|| ())?);
        let (key, gate) = gate();
        let (method, told) = hangs(gate);
        let (seen, sees) = unbounded();
        thread::scope(|s| {
            let call = s.spawn(|| {
                let seen_in_pool = seen.clone();
                let in_pool = move |(): &()| {
                    let left = apartment::current_call().unwrap().remaining();
                    let error = at_b.within(secs(60)).call_owned(method).map_err(seen_as);
                    seen_in_pool.send(("the MTA", left, error)).unwrap();
                };
                let in_a = move |(): &()| {
                    let left = apartment::current_call().unwrap().remaining();
                    let error = in_mta.call_owned(in_pool).map_err(seen_as);
                    seen.send(("a", left, error)).unwrap();
                };
                at_a.within(secs(10)).call_owned(in_a).unwrap_err()
            });
            assert!(!told.recv().unwrap());
            stage.clock.advance(secs(10));
            assert_eq!(seen_as(call.join().unwrap()), TIMED_OUT_RUNNING);
        });
        let mut seen = [sees.recv().unwrap(), sees.recv().unwrap()];
        seen.sort_by_key(|(place, ..)| *place);
        let ten = Some(secs(10));
        assert_eq!(seen, [("a", ten, Err(TIMED_OUT_RUNNING)), ("the MTA", ten, Err(TIMED_OUT_RUNNING))]);
        key.open();
        assert!(told.recv().unwrap());
        Ok(())
    });
}

#[test]
fn ma_7_an_owned_call_of_a_free_threaded_object_runs_here() {
    play(|stage| {
        let number = stage.process.free_threaded(4)?;
        let here = thread::current().id();
        assert_eq!(number.call_owned(|n| (*n, thread::current().id()))?, (4, here));
        let cancel = CancelHandle::new();
        cancel.cancel();
        let options = CallOptions::new().cancel(&cancel);
        assert_eq!(seen_as(number.with(&options).call_owned(|n| *n).unwrap_err()), CANCELED);
        Ok(())
    });
}

#[test]
fn lt_4_an_owned_call_that_panics_is_server_fault() {
    play(|stage| {
        let a = stage.sta("a").spawn()?;
        let at_a = a.create(|| ())?;
        let error = at_a.call_owned(|()| -> u32 { panic!("on purpose") }).unwrap_err();
        assert_eq!(error.hresult(), hresult::SERVER_FAULT);
        assert!(error.to_string().contains("on purpose"), "{error}");
        assert_eq!(at_a.call_owned(|()| 1)?, 1);
        Ok(())
    });
}

#[test]
fn mf_6_a_rejected_owned_call_is_tried_again_with_the_same_closure() {
    play(|stage| {
        let answers = Cell::new(0);
        let refuse_twice = move || {
            incoming(move |_| {
                answers.set(answers.get() + 1);
                if answers.get() <= 3 && answers.get() > 1 { ServerCall::RetryLater } else { ServerCall::Handled }
            })
        };
        let b = stage.sta("b").filter(refuse_twice).spawn()?;
        let _ui = stage.sta("ui").filter(|| rejected(|_| Retry::Now)).enter()?;
        let at_b = b.create(|| Cell::new(0))?;
        stage.begin();
        let moved = String::from("moved once");
        let result = at_b.call_owned(move |count| {
            count.set(count.get() + 1);
            moved
        })?;
        assert_eq!(result, "moved once");
        assert_eq!(at_b.call(Cell::get)?, 1);
        assert_eq!(stage.count(b.apartment(), like!(Filtered { answer: ServerCall::RetryLater })), 2);
        Ok(())
    });
}

#[test]
fn mf_5_a_rejected_owned_call_with_nobody_to_ask_fails() {
    play(|stage| {
        let first = Cell::new(true);
        let refuse =
            move || incoming(move |_| if first.replace(false) { ServerCall::Handled } else { ServerCall::Rejected });
        let b = stage.sta("b").filter(refuse).spawn()?;
        let at_b = b.create(|| ())?;
        let dropped = Log::new();
        let held = Tells(dropped.clone());
        let error = at_b.call_owned(move |()| drop(held)).unwrap_err();
        assert_eq!(seen_as(error), (hresult::CALL_REJECTED, Outcome::NotStarted));
        assert_eq!(dropped.take(), [thread::current().id()]);
        Ok(())
    });
}

#[test]
fn lt_1_an_object_stays_until_the_owned_call_that_was_left_has_ended() {
    struct Object(Log<&'static str>);
    impl Drop for Object {
        fn drop(&mut self) {
            self.0.add("dropped");
        }
    }
    play(|stage| {
        let a = stage.sta("a").spawn()?;
        let log = Log::new();
        let made = log.clone();
        let at_a: Proxy<Object> = a.create(move || Object(made))?;
        let (key, gate) = gate();
        let (arrived, arrives) = unbounded();
        thread::scope(|s| {
            let call = s.spawn(|| {
                let method = move |object: &Object| {
                    arrived.send(()).unwrap();
                    gate.pass();
                    object.0.add("ran to its end");
                };
                at_a.within(secs(1)).call_owned(method).unwrap_err()
            });
            arrives.recv().unwrap();
            stage.clock.advance(secs(1));
            call.join().unwrap();
        });
        drop(at_a);
        assert!(log.take().is_empty());
        key.open();
        stage.until(a.apartment(), like!(ObjectDropped));
        a.quit();
        a.join()?;
        assert_eq!(log.take(), ["ran to its end", "dropped"]);
        Ok(())
    });
}

#[test]
fn lt_2_an_apartment_that_ends_waits_for_the_owned_call_that_was_left() {
    play(|stage| {
        let a = stage.sta("a").spawn()?;
        let at_a = a.create(|| ())?;
        let (key, gate) = gate();
        let (method, told) = hangs(gate);
        stage.begin();
        thread::scope(|s| {
            let call = s.spawn(|| at_a.within(secs(1)).call_owned(method).unwrap_err());
            told.recv().unwrap();
            stage.clock.advance(secs(1));
            call.join().unwrap();
        });
        a.quit();
        key.open();
        a.join()?;
        assert!(told.recv().unwrap());
        let late = stage.until_any(|event| matches!(event.what, What::ResultDropped));
        assert!(late.seq < stage.until_any(|event| matches!(event.what, What::ApartmentEnded { .. })).seq);
        Ok(())
    });
}

#[test]
fn lt_3_an_owned_call_to_a_dead_apartment_is_disconnected() {
    play(|stage| {
        let a = stage.sta("a").spawn()?;
        let at_a = a.create(|| ())?;
        a.quit();
        a.join()?;
        let error = at_a.call_owned(|()| ()).unwrap_err();
        assert_eq!(seen_as(error), (hresult::DISCONNECTED, Outcome::NotStarted));
        Ok(())
    });
}

#[test]
fn st_2_an_owned_call_through_a_proxy_of_another_apartment_is_wrong_thread() {
    let process = Process::builder().strict_rules().build();
    let a = process.sta("a").spawn().unwrap();
    let ui = process.sta("ui").enter().unwrap();
    let number = a.create(|| 1).unwrap();
    assert_eq!(number.call_owned(|n| *n).unwrap(), 1);
    let other = process.sta("other").spawn().unwrap();
    let at_other = other.create(|| ()).unwrap();
    let wrong = at_other.call_owned(move |()| number.call_owned(|n| *n)).unwrap();
    assert_eq!(wrong.unwrap_err().hresult(), 0x8001_010E);
    drop(ui);
}
