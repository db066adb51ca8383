//! DL: rings that close elsewhere than in a call: in an end, in a start, in what a worker does; and threads that are in none.

use crate::dl::{home, names, only_told, told};
use crate::stage::{gate, hresult, incoming, like, pending, play, secs};
use apartment::{
    AsyncOptions, Awaited, Budget, CallError, CallKind, CallOptions, CancelHandle, Doorbell, MessageClass, Parked,
    PendingAnswer, PostOptions, Proxy, Reentrancy, ServerCall, WaitFor, What, Worker, dispatch, register_filter,
};
use crossbeam_channel::{Sender, unbounded};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::thread;

const CHAIN: Reentrancy = Reentrancy::SameCausality;
const NONE: Reentrancy = Reentrancy::None;
const CLASSIC: Reentrancy = Reentrancy::Classic;

/// Calls when it is dropped.
struct Calls(Proxy<()>, Sender<Result<(), CallError>>);

impl Drop for Calls {
    fn drop(&mut self) {
        self.1.send(self.0.call(|()| ())).unwrap();
    }
}

#[test]
fn dl_2_a_destructor_waits_for_one_whose_call_the_end_of_its_apartment_holds() {
    play(|stage| {
        for policy in [CHAIN, NONE] {
            let b = home(stage, "b", policy)?;
            let (sent, called) = unbounded();
            let (told_of, known) = unbounded();
            stage.begin();
            thread::scope(|s| {
                let b = &b;
                let owner = s.spawn(move || {
                    let unwinds = catch_unwind(AssertUnwindSafe(|| {
                        let x = stage.sta("x").enter().unwrap();
                        let object = x.create(|| ()).unwrap();
                        let calls = x.create(|| Calls(b.object.clone(), sent)).unwrap();
                        told_of.send((object, x.apartment().clone())).unwrap();
                        stage.until(x.apartment(), like!(Queued));
                        // What is accepted is not served any more, and answered when the objects are gone.
                        let _keep = (x, calls);
                        panic!("the owner of x");
                    }));
                    assert!(unwinds.is_err());
                });
                let (object, x) = known.recv().unwrap();
                let from_b = s.spawn(move || b.object.call(|()| object.call(|()| ())).unwrap());
                owner.join().unwrap();
                let (from_x, from_b) = (called.recv().unwrap(), from_b.join().unwrap());
                // Whoever came to sleep last. What `b` waits for is answered when the destructor goes on.
                if from_x.is_err() {
                    assert_eq!(names(&told(from_x)), ["x", "b"]);
                    assert_eq!(from_b.unwrap_err().hresult(), hresult::SERVER_DIED_DNE);
                } else {
                    assert_eq!(names(&told(from_b)), ["b", "x"]);
                }
                stage.until(&x, like!(ApartmentEnded));
            });
        }
        Ok(())
    });
}

#[test]
fn dl_1_a_destructor_in_an_ending_apartment_is_called_back() {
    play(|stage| {
        for policy in [CLASSIC, CHAIN] {
            let (x, b) = (home(stage, "x", policy)?, home(stage, "b", CHAIN)?);
            let (sent, called) = unbounded();
            struct Back(Proxy<()>, Proxy<()>, Sender<Result<(), CallError>>);
            impl Drop for Back {
                fn drop(&mut self) {
                    let Self(b, x, sent) = self;
                    sent.send(b.call(|()| x.call(|()| ())).and_then(|back| back)).unwrap();
                }
            }
            let back = x.sta.create(|| Back(b.object.clone(), x.object.clone(), sent))?;
            drop(x.sta);
            called.recv().unwrap()?;
            drop(back);
        }
        Ok(())
    });
}

#[test]
fn dl_2_a_message_that_a_filter_is_to_be_asked_about_again_holds_room_in_a_plain_wait() {
    play(|stage| {
        let z = home(stage, "z", CLASSIC)?;
        let x = stage
            .sta("x")
            .capacity(1)
            .filter(|| pending(|_| PendingAnswer::wait_no_process().ask_again_after(secs(5))))
            .enter()?;
        let object = x.create(|| ())?;
        stage.begin();
        let (asked, wait_asked) = gate();
        let (waits, wait_waits) = gate();
        let results = thread::scope(|s| {
            let x_apartment = x.apartment().clone();
            s.spawn(move || {
                stage.until(&x_apartment, like!(PendingAsked));
                asked.open();
                stage.until(&x_apartment, like!(WaitBegan { on: WaitFor::Disconnect }));
                waits.open();
            });
            x.apartment().post_message(MessageClass::User, || ()).unwrap();
            z.object.call(|()| wait_asked.pass())?;
            let (begins, began) = unbounded();
            let (z, object) = (&z, &object);
            let posts = s.spawn(move || {
                z.object.call(|()| {
                    begins.send(()).unwrap();
                    wait_waits.pass();
                    let room = PostOptions::new().wait_for_room();
                    object.with(&room).post(|()| ()).map_err(CallError::from)
                })
            });
            began.recv().unwrap();
            let disconnected = z.object.disconnect();
            // The message runs, if the post is still there to get its room.
            x.pump();
            Ok::<_, CallError>([disconnected, posts.join().unwrap()?])
        })?;
        let mut ring = names(&only_told(results));
        ring.sort();
        assert_eq!(ring, ["x", "z"]);
        Ok(())
    });
}

#[test]
fn di_14_a_thread_of_the_pool_is_blocked_once_however_its_waits_nest() {
    /// Drops another of its kind while it is dropped, and calls.
    struct Nested(Option<Proxy<Nested>>, Box<dyn Fn() + Send + Sync>);
    impl Drop for Nested {
        fn drop(&mut self) {
            drop(self.0.take());
            (self.1)();
        }
    }
    play(|stage| {
        let mta = stage.mta().threads(1).max_threads(1).spawn()?;
        let shared = mta.create(|| ())?;
        let (outer, inner) = (home(stage, "outer", CLASSIC)?, home(stage, "inner", CLASSIC)?);
        let (key, gate) = gate();
        let key = Mutex::new(Some(key));
        let (ran, runs) = unbounded();
        let second = {
            let (inner, shared) = (inner.object.clone(), shared.clone());
            let process = stage.process.clone();
            move || {
                inner
                    .call(|()| {
                        // The pool's only thread is in two waits.
                        let pool = process.snapshot().apartments.into_iter().find_map(|seen| seen.pool).unwrap();
                        assert_eq!((pool.threads, pool.blocked), (1, 1));
                        let ran = ran.clone();
                        shared.post(move |()| ran.send(()).unwrap()).unwrap();
                        key.lock().unwrap().take().unwrap().open();
                    })
                    .unwrap();
            }
        };
        let second = stage.process.free_threaded(Nested(None, Box::new(second)))?;
        let first = {
            let outer = outer.object.clone();
            move || outer.call(|()| gate.pass()).unwrap()
        };
        let first = stage.process.free_threaded(Nested(Some(second), Box::new(first)))?;
        shared.post(move |()| drop(first)).unwrap();
        runs.recv().unwrap();
        drop(mta);
        Ok(())
    });
}

#[test]
fn dl_2_the_join_of_a_worker_that_calls_the_joining_apartment() {
    play(|stage| {
        for policy in [CHAIN, NONE] {
            let (a, c) = (home(stage, "a", policy)?, home(stage, "c", CLASSIC)?);
            // Directly, and through another.
            for through in [None, Some(c.object.clone())] {
                stage.begin();
                let (sent, called) = unbounded();
                let joined = a.object.call(|()| {
                    let back = a.object.clone();
                    let worker = Worker::spawn("copies", move || {
                        let result = match through {
                            None => back.call(|()| ()),
                            Some(c) => c.call(|()| back.call(|()| ())).and_then(|called| called),
                        };
                        sent.send(result).unwrap();
                    });
                    worker?.join().map(|ended| ended.unwrap())
                })?;
                let called = called.recv().unwrap();
                // Whoever of the two closed the ring.
                let deadlock = only_told([joined, called]);
                assert!(
                    deadlock.cycle.iter().any(|waiter| matches!(&waiter.awaits, Awaited::Worker { .. })),
                    "{deadlock}"
                );
                assert!(deadlock.to_string().contains("waits for the end of worker \"copies\""), "{deadlock}");
                assert_eq!(
                    stage.events().iter().filter(|event| matches!(event.what, What::Deadlock(_))).count(),
                    1,
                    "{deadlock}"
                );
            }
        }
        Ok(())
    });
}

#[test]
fn dl_2_a_worker_that_waits_already_is_joined_by_whom_it_waits_for() {
    play(|stage| {
        let a = home(stage, "a", NONE)?;
        stage.begin();
        let (sent, called) = unbounded();
        let joined = a.object.call(|()| {
            let back = a.object.clone();
            let worker = Worker::spawn("calls", move || sent.send(back.call(|()| ())).unwrap());
            stage.until_nth(2, a.sta.apartment(), like!(Queued));
            worker?.join().map(|ended| ended.unwrap())
        })?;
        only_told([joined, called.recv().unwrap()]);
        // One that is joined by nobody waits for its call.
        let (sent, called) = unbounded();
        let worker = a.object.call(|()| {
            let back = a.object.clone();
            let worker = Worker::spawn("calls", move || sent.send(back.call(|()| ())).unwrap());
            stage.until_nth(4, a.sta.apartment(), like!(Queued));
            worker
        })?;
        called.recv().unwrap()?;
        worker?.join()?.unwrap();
        Ok(())
    });
}

#[test]
fn dl_1_a_worker_is_an_apartment_itself_and_no_alarm_is_false() {
    play(|stage| {
        let (a, c) = (home(stage, "a", CHAIN)?, home(stage, "c", CLASSIC)?);
        let process = stage.process.clone();
        let (to_a, to_c) = (a.object.clone(), c.object.clone());
        // It calls somebody else, and, with a deadline, the one that joins it.
        let joined = a.object.call(|()| {
            Worker::spawn("is an apartment", move || {
                let here = process.sta("own").enter().unwrap();
                to_c.call(|()| ()).unwrap();
                let late = to_a.within(secs(0)).call(|()| ()).unwrap_err();
                drop(here);
                late
            })?
            .join()
        })??;
        assert_eq!(joined.unwrap().hresult(), hresult::TIMED_OUT);
        // Without one it is told, or the one that joins it.
        let (sent, called) = unbounded();
        let (process, to_a) = (stage.process.clone(), a.object.clone());
        let joined = a.object.call(|()| {
            let worker = Worker::spawn("is an apartment", move || {
                let here = process.sta("own").enter().unwrap();
                sent.send(to_a.call(|()| ())).unwrap();
                drop(here);
            });
            worker?.join().map(|ended| ended.unwrap())
        })?;
        let mut ring = names(&only_told([joined, called.recv().unwrap()]));
        ring.sort();
        assert_eq!(ring, ["a", "own"]);
        // One that a classic apartment joins calls it as it likes.
        let to_c = c.object.clone();
        c.object.call(|()| Worker::spawn("calls", move || to_c.call(|()| ()))?.join())??.unwrap()?;
        Ok(())
    });
}

/// A little randomness, the same for the same seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    fn another(&mut self) -> Self {
        Self(self.roll(u64::MAX))
    }
}

/// Calls, posts and joins at random, each of which does the same; all that may go wrong is a deadlock.
fn at_random(mut dice: Dice, depth: u64, all: &Arc<Vec<Proxy<()>>>) {
    if depth == 0 {
        return;
    }
    for _ in 0..=dice.roll(2) {
        let to = &all[usize::try_from(dice.roll(all.len() as u64)).unwrap()];
        let (next, others) = (dice.another(), Arc::clone(all));
        let went = match dice.roll(8) {
            0 | 1 => {
                let post = PostOptions::new().wait_for_room();
                to.with(&post).post(move |()| at_random(next, depth - 1, &others)).map_err(CallError::from)
            }
            2 => {
                let to = to.clone();
                let worker = Worker::spawn("any", move || to.call(|()| at_random(next, depth - 1, &others)));
                worker.and_then(Worker::join).and_then(|ended| ended.unwrap())
            }
            _ => to.with(&CallOptions::new().wait_for_room()).call(|()| at_random(next, depth - 1, &others)),
        };
        assert!(matches!(went, Ok(()) | Err(CallError::Deadlock(_) | CallError::MailboxFull(_))), "{went:?}");
    }
}

#[test]
fn dl_1_whatever_calls_whom_nobody_waits_for_ever() {
    play(|stage| {
        for seed in 0..40 {
            let mut dice = Dice(seed);
            let process = apartment::Process::new();
            let sta = |dice: &mut Dice| {
                let policy = [CLASSIC, CHAIN, NONE][usize::try_from(dice.roll(3)).unwrap()];
                let capacity = usize::try_from(dice.roll(3)).unwrap() + 1;
                process.sta("any").reentrancy(policy).nested_waits(3).capacity(capacity).spawn()
            };
            let stas: Vec<_> = (0..3).map(|_| sta(&mut dice)).collect::<Result<_, _>>()?;
            let mta = process.mta().threads(1).max_threads(2).capacity(2).spawn()?;
            let mut all: Vec<_> = stas.iter().map(|sta| sta.create(|| ())).collect::<Result<_, _>>()?;
            all.push(mta.create(|| ())?);
            let all = Arc::new(all);
            thread::scope(|s| {
                for _ in 0..3 {
                    let (dice, all) = (dice.another(), &all);
                    s.spawn(move || at_random(dice, 4, all));
                }
            });
            stage.process.note(format!("seed {seed}"));
            drop(all);
        }
        Ok(())
    });
}

// ---- room: who waits for it looks at what holds it

#[test]
fn dl_2_a_message_that_holds_the_room_stays_while_its_apartment_joins_the_one_that_waits_for_it() {
    play(|stage| {
        let x = stage.sta("x").capacity(1).enter()?;
        let (object, z) = (x.create(|| ())?, home(stage, "z", CLASSIC)?);
        x.apartment().post_message(MessageClass::User, || ()).unwrap();
        let (tell, told_of) = unbounded();
        let back = object.clone();
        z.object.post(move |()| {
            let refused = back.with(&PostOptions::new().wait_for_room()).post(|()| ()).err();
            tell.send(refused.map_or(Ok(()), |refused| Err(CallError::from(refused)))).unwrap();
        })?;
        z.sta.quit();
        let joined = z.sta.join();
        // Whoever of them is told, the other goes on: the post when `x` closes.
        let posted = joined.is_ok().then(|| told_of.recv().unwrap());
        x.leave();
        let posted = posted.unwrap_or_else(|| told_of.recv().map(|_closed| Ok(())).unwrap());
        let mut ring = names(&only_told([joined, posted]));
        ring.sort();
        assert_eq!(ring, ["x", "z"]);
        Ok(())
    });
}

#[test]
fn dl_2_what_a_filter_is_asked_about_stays_while_that_waits_for_who_waits_for_its_room() {
    play(|stage| {
        let z = home(stage, "z", CLASSIC)?;
        let joins = Mutex::new(Some(z.sta));
        let (key, gate) = gate();
        let (asks, asked) = unbounded();
        let (tell, told_of) = unbounded();
        let joined = tell.clone();
        let filter = move || {
            incoming(move |call| {
                if call.kind == CallKind::OneWay {
                    asks.send(()).unwrap();
                    gate.pass();
                    if let Some(z) = joins.lock().unwrap().take() {
                        joined.send(z.join()).unwrap();
                    }
                }
                ServerCall::Handled
            })
        };
        let x = stage.sta("x").capacity(1).filter(filter).spawn()?;
        let object = x.create(|| ())?;
        object.post(|()| ())?;
        asked.recv().unwrap();
        let back = object.clone();
        z.object.post(move |()| {
            let refused = back.with(&PostOptions::new().wait_for_room()).post(|()| ()).err();
            tell.send(refused.map_or(Ok(()), |refused| Err(CallError::from(refused)))).unwrap();
        })?;
        z.object.apartment().unwrap().quit();
        key.open();
        let results = [told_of.recv().unwrap(), told_of.recv().unwrap()];
        let mut ring = names(&only_told(results));
        ring.sort();
        assert_eq!(ring, ["x", "z"]);
        Ok(())
    });
}

#[test]
fn dl_2_a_waiter_for_room_in_the_mta_is_told_when_what_it_counted_on_has_let_in_another() {
    play(|stage| {
        let x = stage.mta().threads(1).max_threads(1).capacity(2).spawn()?;
        let (at_x, z) = (x.create(|| ())?, home(stage, "z", CLASSIC)?);
        let (key, gate) = gate();
        let (tell, told_of) = unbounded();
        let (at_z, back) = (z.object.clone(), at_x.clone());
        stage.begin();
        at_x.post(move |()| {
            at_z.call(|()| {
                gate.pass();
                let refused = back.with(&PostOptions::new().wait_for_room()).post(|()| ()).err();
                tell.send(refused.map_or(Ok(()), |refused| Err(CallError::from(refused)))).unwrap();
            })
            .unwrap();
        })?;
        stage.until(z.sta.apartment(), like!(Began));
        // Its only thread is blocked, and is rung for nothing: who waits looks for itself.
        at_x.post(|()| ())?;
        let cancel = CancelHandle::new();
        let goes = at_x.with(&AsyncOptions::new().within(secs(3)).cancel(&cancel)).call_async(|()| ());
        let first = at_x.with(&AsyncOptions::new().wait_for_room()).call_async(|()| ());
        key.open();
        stage.until(z.sta.apartment(), like!(WaitBegan { on: WaitFor::Room }));
        cancel.cancel();
        let deadlock = told(told_of.recv().unwrap());
        let room = &deadlock.cycle[0].awaits;
        assert!(matches!(room, Awaited::Room { queued: 2, capacity: 2, .. }), "{room:?}");
        drop((goes, first));
        Ok(())
    });
}

#[test]
fn dl_1_a_message_that_a_filter_will_be_asked_about_again_gives_its_room_back_and_nobody_is_told() {
    play(|stage| {
        let z = home(stage, "z", CLASSIC)?;
        let x = stage.sta("x").capacity(1).enter()?;
        let asked = Cell::new(0);
        let filter = pending(move |_| {
            asked.set(asked.get() + 1);
            match asked.get() {
                1 => PendingAnswer::wait_no_process().ask_again_after(secs(5)),
                _ => PendingAnswer::wait_def_process(),
            }
        });
        register_filter(Some(Rc::new(filter)))?;
        let object = x.create(|| ())?;
        x.apartment().post_message(MessageClass::Paint, || ()).unwrap();
        let (room, apartment) = (PostOptions::new().wait_for_room(), x.apartment().clone());
        thread::scope(|s| {
            s.spawn(|| {
                stage.until(&apartment, like!(PendingAsked));
                stage.until(z.sta.apartment(), like!(WaitBegan { on: WaitFor::Room }));
                stage.clock.advance(secs(5));
            });
            z.object.call(|()| object.with(&room).post(|()| ()).map_err(CallError::from))?
        })?;
        x.leave();
        Ok(())
    });
}

#[test]
fn dl_1_a_message_that_holds_the_room_runs_where_a_loop_runs_inside_the_wait_and_nobody_is_told() {
    play(|stage| {
        let z = home(stage, "z", CLASSIC)?;
        let (go, goes) = unbounded();
        let (doorbell, _rings) = Doorbell::new();
        // The loop gets to what its apartment has when `z` waits; until then it sleeps as well as any.
        let turning = doorbell.turning(move |_| {
            if goes.try_recv().is_err() {
                return Parked::Cannot;
            }
            let _served = dispatch(Budget::ALL).unwrap();
            Parked::Looped
        });
        let x = stage.sta("x").capacity(1).host(turning).enter()?;
        let object = x.create(|| ())?;
        x.apartment().post_message(MessageClass::User, || ()).unwrap();
        let room = PostOptions::new().wait_for_room();
        thread::scope(|s| {
            s.spawn(|| {
                stage.until(z.sta.apartment(), like!(WaitBegan { on: WaitFor::Room }));
                go.send(()).unwrap();
                stage.clock.advance(secs(1));
            });
            z.object.call(|()| object.with(&room).post(|()| ()).map_err(CallError::from))?
        })?;
        x.leave();
        Ok(())
    });
}
