//! DL: deadlock.

use crate::stage::{Key, Stage, gate, hresult, like, play, secs};
use apartment::{
    Awaited, CallError, CallOptions, CancelHandle, Deadlock, MessageClass, Outcome, PostOptions, Process, Proxy,
    Reentrancy, ServerCall, Serves, Sta, WaitEnd, WaitFor, What, implements, interface, register_filter,
};
use crossbeam_channel::unbounded;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::{Arc, Barrier, Mutex};
use std::thread;

const CHAIN: Reentrancy = Reentrancy::SameCausality;
const NONE: Reentrancy = Reentrancy::None;

interface! {
    trait Focus {
        fn focus(&self) -> Result<(), CallError> as input_sync;
    }
    trait Text {
        fn selection(&self) -> Result<u32, CallError>;
    }
}

/// What the one was told who could not go on.
#[track_caller]
pub(crate) fn told<T>(result: Result<T, CallError>) -> Arc<Deadlock> {
    match result {
        Err(error @ CallError::Deadlock(_)) => {
            assert_eq!((error.hresult(), error.outcome()), (0x8004_E005, Outcome::NotStarted));
            let CallError::Deadlock(deadlock) = error else { unreachable!() };
            deadlock
        }
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("it went on"),
    }
}

/// The same of the only one of them.
#[track_caller]
pub(crate) fn only_told<T: std::fmt::Debug>(results: impl IntoIterator<Item = Result<T, CallError>>) -> Arc<Deadlock> {
    let failed: Vec<_> = results.into_iter().filter(Result::is_err).collect();
    let [failed] = <[_; 1]>::try_from(failed).expect("exactly one is told");
    told(failed)
}

/// The names of those in the cycle, from the one that was told.
pub(crate) fn names(deadlock: &Deadlock) -> Vec<String> {
    deadlock.cycle.iter().map(|waiter| waiter.apartment.as_ref().map_or("-".into(), |a| a.name.to_string())).collect()
}

/// An apartment with an object.
pub(crate) struct Home {
    pub(crate) sta: Sta,
    pub(crate) object: Proxy<()>,
}

pub(crate) fn home(stage: &Stage, name: &str, policy: Reentrancy) -> Result<Home, CallError> {
    let sta = stage.sta(name).reentrancy(policy).spawn()?;
    let object = sta.create(|| ())?;
    Ok(Home { sta, object })
}

impl Home {
    fn deadlocks(&self, stage: &Stage) -> usize {
        stage.count(self.sta.apartment(), like!(Deadlock))
    }
}

// ---- DL-1: who is told, and who goes on

#[test]
fn dl_1_of_two_chains_that_cross_one_is_told_and_the_other_goes_on() {
    play(|stage| {
        for policies in [[CHAIN, CHAIN], [NONE, CHAIN], [NONE, NONE]] {
            let (a, b) = (home(stage, "a", policies[0])?, home(stage, "b", policies[1])?);
            stage.begin();
            let both = Barrier::new(2);
            let cross = |from: &Home, to: &Home| {
                let crossed = from.object.call(|()| {
                    both.wait();
                    to.object.call(|()| 7)
                });
                crossed.unwrap()
            };
            let results = thread::scope(|s| {
                let one = s.spawn(|| cross(&a, &b));
                let two = s.spawn(|| cross(&b, &a));
                [one.join().unwrap(), two.join().unwrap()]
            });
            assert_eq!(results.iter().filter(|result| matches!(result, Ok(7))).count(), 1, "one goes on");
            let deadlock = told(results.into_iter().find(Result::is_err).unwrap());
            let mut ring = names(&deadlock);
            let first = if ring[0] == "a" { &a } else { &b };
            let ended = stage.all(first.sta.apartment(), like!(WaitEnded { by: WaitEnd::Deadlock }));
            assert_eq!((ended.len(), a.deadlocks(stage) + b.deadlocks(stage), first.deadlocks(stage)), (1, 1, 1));
            ring.sort();
            assert_eq!(ring, ["a", "b"]);
            for waiter in &deadlock.cycle {
                assert!(matches!(&waiter.awaits, Awaited::Call { started: false, .. }), "{deadlock}");
                assert!(matches!(waiter.serves, Serves::Chain | Serves::InputSynchronized));
                assert_eq!(waiter.serving.len(), 1);
            }
            // Nothing is left of it.
            assert_eq!(a.object.call(|()| b.object.call(|()| 1))??, 1);
            assert_eq!(b.object.call(|()| a.object.call(|()| 2))??, 2);
        }
        Ok(())
    });
}

/// Who stands in calls of `a`, `b`, and so on, each of a chain of its own; then each calls the next, and the last the first.
fn ring(stage: &Stage, homes: &[Home]) -> Vec<Result<u32, CallError>> {
    let all = Barrier::new(homes.len());
    stage.begin();
    thread::scope(|s| {
        let call = |at: usize| {
            let (from, to) = (&homes[at], &homes[(at + 1) % homes.len()]);
            let all = &all;
            move || {
                let called = from.object.call(|()| {
                    all.wait();
                    to.object.call(|()| 1)
                });
                called.unwrap()
            }
        };
        let threads: Vec<_> = (0..homes.len()).map(|at| s.spawn(call(at))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

#[test]
fn dl_1_of_a_ring_of_any_length_one_is_told() {
    play(|stage| {
        for length in 2..=6 {
            for policy in [CHAIN, NONE] {
                let homes: Result<Vec<_>, _> = (0..length).map(|n| home(stage, &format!("h{n}"), policy)).collect();
                let results = ring(stage, &homes?);
                let (went_on, failed): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
                assert_eq!((went_on.len(), failed.len()), (length - 1, 1));
                let deadlock = told(failed.into_iter().next().unwrap());
                assert_eq!(deadlock.cycle.len(), length);
                // Each waits for the next, and the last for the first.
                let ring = names(&deadlock);
                for (at, waiter) in deadlock.cycle.iter().enumerate() {
                    let Awaited::Call { callee, .. } = &waiter.awaits else { panic!("{deadlock}") };
                    assert_eq!(*callee.name, ring[(at + 1) % length]);
                }
            }
        }
        Ok(())
    });
}

#[test]
fn dl_1_classic_apartments_serve_each_other_and_nobody_is_told() {
    play(|stage| {
        let homes: Result<Vec<_>, _> = (0..4).map(|n| home(stage, &format!("h{n}"), Reentrancy::Classic)).collect();
        for _ in 0..20 {
            assert!(ring(stage, homes.as_ref().unwrap()).into_iter().all(|result| matches!(result, Ok(1))));
        }
        Ok(())
    });
}

#[test]
fn dl_1_a_chain_re_enters_the_apartments_it_came_through() {
    play(|stage| {
        for policy in [Reentrancy::Classic, CHAIN] {
            let [a, b, c] = ["a", "b", "c"].map(|name| home(stage, name, policy).unwrap());
            stage.begin();
            let around = || {
                b.object.call(|()| c.object.call(|()| a.object.call(|()| b.object.call(|()| 1))).unwrap().unwrap())?
            };
            assert_eq!(a.object.call(|()| around())??, 1);
            assert_eq!(stage.events().iter().filter(|event| matches!(event.what, What::Deadlock(_))).count(), 0);
        }
        Ok(())
    });
}

#[test]
fn dl_1_a_call_of_one_s_own_apartment_is_no_cycle() {
    play(|stage| {
        for policy in [Reentrancy::Classic, CHAIN, NONE] {
            let a = home(stage, "a", policy)?;
            assert_eq!(a.object.call(|()| a.object.call(|()| a.object.call(|()| 3)))???, 3);
            // Through a post: that one's call is direct.
            let (sent, got) = unbounded();
            let object = a.object.clone();
            a.object.post(move |()| sent.send(object.call(|()| 4).unwrap()).unwrap())?;
            assert_eq!(got.recv().unwrap(), 4);
        }
        Ok(())
    });
}

#[test]
fn dl_1_a_constructor_and_a_destructor_call_back() {
    struct Calls(Proxy<()>, crossbeam_channel::Sender<Result<u32, CallError>>);
    impl Drop for Calls {
        fn drop(&mut self) {
            self.1.send(self.0.call(|()| 5)).unwrap();
        }
    }
    play(|stage| {
        let (sent, got) = unbounded();
        for policy in [Reentrancy::Classic, CHAIN] {
            let (a, b) = (home(stage, "a", policy)?, home(stage, "b", policy)?);
            // While `a` waits for the making, which calls it back.
            let sent = sent.clone();
            let made = a.object.call(|()| {
                b.sta.create(|| {
                    assert_eq!(a.object.call(|()| 6).unwrap(), 6);
                    Calls(a.object.clone(), sent)
                })
            })??;
            drop(made);
            assert_eq!(got.recv().unwrap()?, 5);
        }
        // A destructor is in no chain: one that calls an apartment which lets nobody in waits for that one's call.
        let (a, b) = (home(stage, "a", NONE)?, home(stage, "b", Reentrancy::Classic)?);
        let object = b.sta.create({
            let (a, sent) = (a.object.clone(), sent.clone());
            || Calls(a, sent)
        })?;
        // `a` waits for a call of `b`, in which the object goes, whose destructor calls `a`.
        let object = Mutex::new(Some(object));
        a.object.call(|()| {
            b.object.call(|()| {
                let local = object.lock().unwrap().as_ref().unwrap().local().unwrap();
                drop(object.lock().unwrap().take());
                drop(local);
            })
        })??;
        assert_eq!(names(&told(got.recv().unwrap())), ["b", "a"]);
        Ok(())
    });
}

#[test]
fn dl_1_a_deadline_ends_a_wait_and_nobody_is_told() {
    play(|stage| {
        let (a, b) = (home(stage, "a", CHAIN)?, home(stage, "b", CHAIN)?);
        stage.begin();
        let both = Barrier::new(2);
        thread::scope(|s| {
            let with_deadline = s.spawn(|| {
                a.object.call(|()| {
                    both.wait();
                    b.object.within(secs(5)).call(|()| ())
                })
            });
            let without = s.spawn(|| {
                b.object.call(|()| {
                    both.wait();
                    a.object.call(|()| ())
                })
            });
            stage.until_nth(2, a.sta.apartment(), like!(Queued));
            stage.until_nth(2, b.sta.apartment(), like!(Queued));
            stage.until(a.sta.apartment(), like!(WaitBegan));
            stage.until(b.sta.apartment(), like!(WaitBegan));
            stage.clock.advance(secs(5));
            assert_eq!(with_deadline.join().unwrap().unwrap().unwrap_err().hresult(), hresult::TIMED_OUT);
            without.join().unwrap().unwrap().unwrap();
        });
        assert_eq!((a.deadlocks(stage), b.deadlocks(stage)), (0, 0));
        Ok(())
    });
}

#[test]
fn dl_1_a_cancel_handle_that_somebody_holds_is_no_end() {
    play(|stage| {
        let (a, b) = (home(stage, "a", NONE)?, home(stage, "b", CHAIN)?);
        let cancel = CancelHandle::new();
        let with = |cancel| CallOptions::new().cancel(cancel);
        let back = || a.object.with(&with(&cancel)).call(|()| ());
        let result = a.object.call(|()| b.object.with(&with(&cancel)).call(|()| back()))??;
        assert_eq!(names(&told(result)), ["b", "a"]);
        Ok(())
    });
}

#[test]
fn dl_1_nobody_is_asked_about_a_deadlock_and_it_is_not_tried_again() {
    play(|stage| {
        let (asked, count) = unbounded();
        let a = home(stage, "a", NONE)?;
        let b = stage.sta("b").filter(move || {
            crate::stage::rejected(move |_| {
                asked.send(()).unwrap();
                apartment::Retry::Now
            })
        });
        let b = b.spawn()?;
        let at_b = b.create(|| ())?;
        let options = || CallOptions::new().retry(|_: &apartment::RejectedCall| apartment::Retry::Now);
        told(a.object.call(|()| at_b.call(|()| a.object.call(|()| ())))??);
        told(a.object.call(|()| at_b.call(|()| a.object.with(&options()).call(|()| ())))??);
        assert!(count.is_empty());
        Ok(())
    });
}

#[test]
fn dl_1_a_cycle_through_another_process_is_not_seen() {
    play(|stage| {
        let other = Process::builder().clock(stage.clock.clone()).build();
        let a = home(stage, "a", NONE)?;
        let sta = other.sta("b").spawn()?;
        let at_b = sta.create(|| ())?;
        stage.begin();
        thread::scope(|s| {
            let waits = s.spawn(|| a.object.call(|()| at_b.call(|()| a.object.within(secs(9)).call(|()| ()))));
            stage.until_nth(2, a.sta.apartment(), like!(Queued));
            stage.clock.advance(secs(9));
            assert_eq!(waits.join().unwrap().unwrap().unwrap().unwrap_err().hresult(), hresult::TIMED_OUT);
        });
        Ok(())
    });
}

/// Apartments and objects have their numbers from their process: who waits for one of another process waits for nobody
/// of its own who has that number.
#[test]
fn dl_1_who_waits_for_another_process_waits_for_nobody_of_its_own() {
    play(|stage| {
        let other = Process::builder().clock(stage.clock.clone()).build();
        let there = other.sta("there").reentrancy(NONE).capacity(1).spawn()?;
        let further = other.sta("further").spawn()?;
        let (at_there, last, at_further) = (there.create(|| ())?, there.create(|| ())?, further.create(|| ())?);
        let here = stage.sta("here").reentrancy(NONE).enter()?;
        let own = here.create(|| ())?;
        let home = here.apartment().clone();
        assert_eq!(home.id(), there.apartment().id());
        let ((room, first), (calls, second), (end, third)) = (gate(), gate(), gate());
        thread::scope(|s| {
            s.spawn(|| {
                for (key, waits) in [(room, WaitFor::Room), (calls, WaitFor::Disconnect), (end, WaitFor::Thread)] {
                    stage.until(&home, |what| matches!(what, What::WaitBegan { on, .. } if *on == waits));
                    key.open();
                }
            });
            let (begins, begun) = unbounded();
            let again = begins.clone();
            // For room, while the owner sleeps in a wait of its own.
            let stands = move || {
                begins.send(()).unwrap();
                first.pass();
            };
            at_there.post(move |()| at_further.call(|()| stands()).unwrap())?;
            begun.recv().unwrap();
            at_there.post(|()| ())?;
            at_there.with(&PostOptions::new().wait_for_room()).post(|()| ())?;
            // For the calls on an object, from inside one on its own that has the same number.
            let made_room = || last.with(&CallOptions::new().wait_for_room()).call(|()| ());
            made_room()?;
            at_there.post(move |()| {
                again.send(()).unwrap();
                second.pass();
            })?;
            begun.recv().unwrap();
            own.call(|()| at_there.disconnect())??;
            // For its end.
            made_room()?;
            last.post(move |()| third.pass())?;
            there.quit();
            there.join()
        })
    });
}

#[test]
fn dl_1_a_cycle_is_shown_as_a_ring() {
    struct Sheet;
    struct Document(Proxy<Sheet>);
    impl Text for Document {
        fn selection(&self) -> Result<u32, CallError> {
            self.0.call(|_| 1)
        }
    }
    implements!(Document: dyn Text);
    let called_back = line!() - 4;
    play(move |stage| {
        let excel = stage.sta("excel").reentrancy(NONE).spawn()?;
        let word = stage.sta("word").reentrancy(CHAIN).spawn()?;
        let sheet = excel.create(|| Sheet)?;
        let text: Proxy<dyn Text> = word.create(|| Document(sheet.clone()))?.cast();
        let called = line!() + 1;
        let result = sheet.call(|_| text.selection())?;
        let file = file!();
        let ring = format!(
            "deadlock: nobody here can go on\n\
             ╭─▶ word waits for excel in Sheet at {file}:{called_back} (for 0.0 s), serves its own chain only\n\
             ╰── excel waits for word in Text::selection at {file}:{called} (for 0.0 s), serves input-synchronized calls only"
        );
        assert_eq!(told(result).to_string(), ring);
        Ok(())
    });
}

// ---- DL-2: the kinds

#[test]
fn dl_2_an_apartment_that_lets_nobody_in_is_called_back() {
    play(|stage| {
        let (a, b) = (home(stage, "a", NONE)?, home(stage, "b", Reentrancy::Classic)?);
        stage.begin();
        let deadlock = told(a.object.call(|()| b.object.call(|()| a.object.call(|()| ())))??);
        assert_eq!(names(&deadlock), ["b", "a"]);
        let [told, waits] = &deadlock.cycle[..] else { panic!("{deadlock}") };
        assert!(matches!(&told.awaits, Awaited::Call { started: false, .. }), "{deadlock}");
        assert!(matches!(&waits.awaits, Awaited::Call { started: true, .. }), "{deadlock}");
        assert_eq!((told.serves, waits.serves), (Serves::Everything, Serves::InputSynchronized));
        assert_eq!((a.deadlocks(stage), b.deadlocks(stage)), (0, 1));
        assert_eq!(stage.count(a.sta.apartment(), like!(Revoked { why: apartment::CancelReason::Deadlock })), 1);
        assert_eq!(a.sta.apartment().queued(), 0);
        Ok(())
    });
}

#[test]
fn dl_2_a_call_that_is_buried_on_its_stack_waits_for_what_is_above_it() {
    play(|stage| {
        let (a, b, x) =
            (home(stage, "a", Reentrancy::Classic)?, home(stage, "b", Reentrancy::Classic)?, home(stage, "x", NONE)?);
        let (key, gate) = gate();
        stage.begin();
        thread::scope(|s| {
            // `x` waits for a call that runs in `a`, which waits for `b`.
            let below = s.spawn(|| x.object.call(|()| a.object.call(|()| b.object.call(|()| gate.pass()))));
            stage.until(b.sta.apartment(), like!(Began));
            // On top of that wait `a` serves a call that calls `x`.
            let above = a.object.call(|()| x.object.call(|()| ())).unwrap();
            let deadlock = told(above);
            assert_eq!(names(&deadlock), ["a", "x"]);
            assert_eq!(deadlock.cycle[0].serving.len(), 2, "the buried call, and the one above it");
            key.open();
            below.join().unwrap().unwrap().unwrap().unwrap();
        });
        Ok(())
    });
}

#[test]
fn dl_2_a_pool_at_its_maximum_with_every_thread_blocked() {
    play(|stage| {
        for maximum in 1..=3 {
            let mta = stage.mta().threads(1).max_threads(maximum).spawn()?;
            let shared = mta.create(|| ())?;
            let homes: Result<Vec<_>, _> =
                (0..maximum).map(|n| home(stage, &format!("h{n}"), Reentrancy::Classic)).collect();
            let homes = homes?;
            stage.begin();
            let all = Barrier::new(maximum);
            // Each goes through the pool to an apartment that calls the pool once more.
            let results: Vec<_> = thread::scope(|s| {
                let (all, shared) = (&all, &shared);
                let threads: Vec<_> = homes
                    .iter()
                    .map(|home| {
                        s.spawn(move || {
                            home.object.call(|()| {
                                shared.call(|()| {
                                    home.object.call(|()| {
                                        all.wait();
                                        shared.call(|()| 1)
                                    })
                                })
                            })
                        })
                    })
                    .collect();
                threads.into_iter().map(|thread| thread.join().unwrap().unwrap().unwrap().unwrap()).collect()
            });
            let deadlock = only_told(results);
            assert!(deadlock.cycle.iter().any(|waiter| waiter.in_mta), "{deadlock}");
            drop(mta);
        }
        Ok(())
    });
}

#[test]
fn dl_2_a_pool_that_can_still_grow_is_no_cycle() {
    play(|stage| {
        let mta = stage.mta().threads(1).max_threads(2).spawn()?;
        let shared = mta.create(|| ())?;
        let a = home(stage, "a", Reentrancy::Classic)?;
        let deep = a.object.call(|()| shared.call(|()| a.object.call(|()| shared.call(|()| 1))));
        assert_eq!(deep????, 1);
        Ok(())
    });
}

#[test]
fn dl_2_an_input_synchronized_wait() {
    struct Joins(RefCell<Option<Sta>>, RefCell<Option<Result<(), CallError>>>);
    impl Focus for Joins {
        fn focus(&self) -> Result<(), CallError> {
            if let Some(sta) = self.0.take() {
                let joined = sta.join();
                *self.1.borrow_mut() = Some(joined);
            }
            Ok(())
        }
    }
    implements!(Joins: dyn Focus);
    play(|stage| {
        let [a, c, z] = ["a", "c", "z"].map(|name| home(stage, name, Reentrancy::Classic).unwrap());
        let b = stage.sta("b").spawn()?;
        let (at_a, at_z, z_apartment) = (a.object.clone(), z.object.clone(), z.sta.apartment().clone());
        let joins = b.create(|| Joins(RefCell::new(Some(z.sta)), RefCell::new(None)))?;
        let focus: Proxy<dyn Focus> = joins.cast();
        let (key, gate) = gate();
        stage.begin();
        thread::scope(|s| {
            // `z` is to call `a`, and `b`, in an input-synchronized call of `c`'s, waits for its end.
            let calls = s.spawn(|| {
                at_z.call(|()| {
                    gate.pass();
                    at_a.call(|()| ())
                })
            });
            stage.until(&z_apartment, like!(Began));
            let from_c = s.spawn(|| c.object.call(|()| focus.focus()));
            stage.until(b.apartment(), like!(WaitBegan { on: WaitFor::Thread }));
            z_apartment.quit();
            // `a` makes such a call of `b`, which serves nothing; and serves none but others of that kind itself.
            let from_a = s.spawn(|| a.object.call(|()| focus.focus()));
            stage.until(a.sta.apartment(), like!(WaitBegan { serves: Serves::InputSynchronized }));
            key.open();
            from_c.join().unwrap().unwrap().unwrap();
            let called = [calls.join().unwrap().unwrap(), from_a.join().unwrap().unwrap()];
            let joined = joins.call(|joins| joins.1.take()).unwrap().unwrap();
            // Whoever of the three came to sleep last, and nobody else.
            let deadlock = only_told(called.into_iter().chain([joined]));
            let first = names(&deadlock);
            let at = ["a", "b", "z"].iter().position(|name| *name == first[0]).unwrap();
            assert_eq!(first, [["a", "b", "z"], ["b", "z", "a"], ["z", "a", "b"]][at]);
        });
        Ok(())
    });
}

#[test]
fn dl_2_a_join_of_an_apartment_that_waits_for_the_joining_one() {
    play(|stage| {
        let (a, z) = (home(stage, "a", NONE)?, home(stage, "z", Reentrancy::Classic)?);
        let (at_z, z_apartment) = (z.object.clone(), z.sta.apartment().clone());
        let (key, gate) = gate();
        stage.begin();
        let z = Mutex::new(Some(z.sta));
        let both = Barrier::new(2);
        let results = thread::scope(|s| {
            let calls = s.spawn(|| {
                at_z.call(|()| {
                    both.wait();
                    gate.pass();
                    a.object.call(|()| ())
                })
            });
            let joins = s.spawn(|| {
                a.object.call(|()| {
                    both.wait();
                    z_apartment.quit();
                    z.lock().unwrap().take().unwrap().join()
                })
            });
            stage.until(a.sta.apartment(), like!(WaitBegan { on: WaitFor::Thread }));
            key.open();
            [calls.join().unwrap().unwrap(), joins.join().unwrap().unwrap()]
        });
        // The call closed the cycle, so it is told, and the join goes on; or the other way round, as they come to sleep.
        let mut ring = names(&only_told(results));
        ring.sort();
        assert_eq!(ring, ["a", "z"]);
        Ok(())
    });
}

/// `z` stands in a call that waits for `a`, which lets nobody in; then `a` does something to `z`.
fn z_waits_for_a<R: Send>(
    stage: &Stage,
    act: impl FnOnce(Sta, &Proxy<()>) -> R + Send,
) -> Result<(R, Result<(), CallError>), CallError> {
    let (a, z) = (home(stage, "a", NONE)?, home(stage, "z", Reentrancy::Classic)?);
    let b = home(stage, "b", Reentrancy::Classic)?;
    let object = z.object.clone();
    let sta = Mutex::new(Some(z.sta));
    let act = Mutex::new(Some(act));
    let (key, gate) = gate();
    stage.begin();
    let (acted, called) = thread::scope(|s| {
        let (a, b, gate, sta, act, object) = (&a, &b, &gate, &sta, &act, &object);
        // `a` cannot serve until it acts: it is in a call of `b`'s.
        let acts = s.spawn(move || {
            a.object.call(|()| {
                b.object.call(|()| gate.pass()).unwrap();
                let sta = sta.lock().unwrap().take().unwrap();
                act.lock().unwrap().take().unwrap()(sta, object)
            })
        });
        stage.until(b.sta.apartment(), like!(Began));
        let calls = s.spawn(move || object.call(|()| a.object.call(|()| ())));
        stage.until_nth(2, a.sta.apartment(), like!(Queued));
        key.open();
        (acts.join().unwrap(), calls.join().unwrap())
    });
    Ok((acted?, called?))
}

#[test]
fn dl_2_a_join_that_would_close_a_cycle_is_told_and_the_apartment_quits() {
    play(|stage| {
        let (joined, called) = z_waits_for_a(stage, |z, _| {
            let apartment = z.apartment().clone();
            let line = line!() + 1;
            (z.join(), line, apartment)
        })?;
        let (joined, line, z) = joined;
        let deadlock = told(joined);
        assert_eq!(names(&deadlock), ["a", "z"]);
        match &deadlock.cycle[0].awaits {
            Awaited::End { of, location: Some(location) } => {
                assert_eq!((&*of.name, location.file(), location.line()), ("z", file!(), line));
            }
            other => panic!("{other:?}"),
        }
        called?;
        stage.until(&z, like!(ApartmentEnded));
        Ok(())
    });
}

#[test]
fn dl_2_a_drop_that_would_close_a_cycle_asks_to_quit_and_does_not_join() {
    play(|stage| {
        let (z, called) = z_waits_for_a(stage, |z, _| {
            let apartment = z.apartment().clone();
            drop(z);
            apartment
        })?;
        called?;
        let seen = stage.until_any(|event| matches!(event.what, What::Deadlock(_)));
        let What::Deadlock(deadlock) = seen.what else { unreachable!() };
        assert_eq!(names(&deadlock), ["a", "z"]);
        assert!(matches!(deadlock.cycle[0].awaits, Awaited::End { location: None, .. }));
        stage.until(&z, like!(ApartmentEnded));
        Ok(())
    });
}

#[test]
fn dl_2_a_disconnect_of_an_object_whose_call_waits_for_the_asking_one() {
    play(|stage| {
        let (disconnected, called) = z_waits_for_a(stage, |z, object| {
            let result = object.disconnect();
            (result, z)
        })?;
        let (result, z) = disconnected;
        let deadlock = told(result);
        assert_eq!(names(&deadlock), ["a", "z"]);
        assert!(matches!(&deadlock.cycle[0].awaits, Awaited::Disconnect { of, .. } if &*of.name == "z"), "{deadlock}");
        called?;
        drop(z);
        Ok(())
    });
}

#[test]
fn lt_5_a_disconnect_that_was_a_deadlock_has_changed_nothing() {
    play(|stage| {
        let ((result, object, z), called) = z_waits_for_a(stage, |z, object| {
            let result = object.disconnect();
            (result, object.clone(), z)
        })?;
        told(result);
        called?;
        assert_eq!(object.call(|()| 8)?, 8, "it takes calls as before");
        object.disconnect()?;
        assert_eq!(object.call(|()| 8).unwrap_err().hresult(), hresult::DISCONNECTED);
        drop(z);
        Ok(())
    });
}

#[test]
fn dl_2_a_destructor_joins_an_mta_whose_entered_thread_waits_for_it() {
    play(|stage| {
        let a = home(stage, "a", NONE)?;
        let mta = stage.mta().threads(1).spawn()?;
        let (key, gate) = gate();
        stage.begin();
        let mta = Mutex::new(Some(mta));
        thread::scope(|s| {
            let (enters_tells, has_entered) = unbounded();
            let (mta, a, gate) = (&mta, &a, &gate);
            let enters = s.spawn(move || {
                let entered = mta.lock().unwrap().as_ref().unwrap().enter().unwrap();
                enters_tells.send(()).unwrap();
                gate.pass();
                let result = a.object.call(|()| ());
                drop(entered);
                result
            });
            has_entered.recv().unwrap();
            let joins = s.spawn(|| {
                a.object.call(|()| {
                    let mta = mta.lock().unwrap().take().unwrap();
                    mta.quit();
                    mta.join()
                })
            });
            stage.until(a.sta.apartment(), like!(WaitBegan { on: WaitFor::Thread }));
            key.open();
            let results = [enters.join().unwrap(), joins.join().unwrap().unwrap()];
            let mut ring = names(&only_told(results));
            ring.sort();
            assert_eq!(ring, ["a", "mta"]);
        });
        Ok(())
    });
}

/// `x`, of one place, holds an entry of a foreign chain and waits for `z`, which sends `x` something.
struct Full {
    x: Home,
    z: Home,
}

fn full(stage: &Stage, capacity: usize) -> Result<Full, CallError> {
    Ok(Full { x: small(stage, capacity)?, z: home(stage, "z", Reentrancy::Classic)? })
}

fn small(stage: &Stage, capacity: usize) -> Result<Home, CallError> {
    let sta = stage.sta("x").reentrancy(NONE).capacity(capacity).spawn()?;
    let object = sta.create(|| ())?;
    Ok(Home { sta, object })
}

impl Full {
    /// What becomes of `x` calling `z`, which does that once so many entries are queued in `x`.
    fn run<R: Send>(
        &self,
        stage: &Stage,
        others: impl FnOnce(Key) + Send,
        act: impl FnOnce() -> R + Send,
    ) -> Result<R, CallError> {
        let (key, gate) = gate();
        stage.begin();
        thread::scope(|s| {
            let act = Mutex::new(Some(act));
            let waits = s.spawn(move || {
                self.x.object.call(|()| {
                    self.z.object.call(|()| {
                        gate.pass();
                        act.lock().unwrap().take().unwrap()()
                    })
                })
            });
            stage.until(self.z.sta.apartment(), like!(Began));
            others(key);
            waits.join().unwrap()?
        })
    }
}

#[test]
fn dl_2_a_post_waits_for_room_in_a_full_mailbox_whose_owner_waits_for_the_sender() {
    play(|stage| {
        let full = full(stage, 1)?;
        let (ran, seen) = unbounded();
        let refused = full.run(
            stage,
            |key| {
                full.x.object.post(|()| ()).unwrap();
                key.open();
            },
            || full.x.object.with(&PostOptions::new().wait_for_room()).post(move |()| ran.send(9).unwrap()),
        )?;
        let (error, closure) = refused.unwrap_err().into_parts();
        let deadlock = told::<()>(Err(error));
        assert_eq!(names(&deadlock), ["z", "x"]);
        match &deadlock.cycle[0].awaits {
            Awaited::Room { callee, queued: 1, capacity: 1, .. } => assert_eq!(&*callee.name, "x"),
            other => panic!("{other:?}"),
        }
        assert!(deadlock.to_string().contains("waits for room in x (1 of 1 queued)"), "{deadlock}");
        closure(&());
        assert_eq!(seen.recv().unwrap(), 9, "the closure came back");
        Ok(())
    });
}

#[test]
fn dl_2_a_filter_s_method_waits_for_room_in_a_mailbox_whose_owner_waits_for_its_apartment() {
    play(|stage| {
        let x = small(stage, 1)?;
        let ui = stage.sta("ui").enter()?;
        let own = ui.create(|| ())?;
        let (say, said) = unbounded();
        let room = x.object.clone();
        let filter = crate::stage::incoming(move |_| {
            let posted = room.with(&PostOptions::new().wait_for_room()).post(|()| ());
            say.send(posted.map_err(CallError::from)).unwrap();
            ServerCall::Handled
        });
        register_filter(Some(Rc::new(filter)))?;
        stage.begin();
        x.object.post(move |()| own.call(|()| ()).unwrap())?;
        stage.until(ui.apartment(), like!(Queued));
        x.object.post(|()| ())?;
        // It would serve everything, but not in a filter's method; and its wait begins last.
        stage.clock.advance(secs(1));
        assert!(ui.pump() > 0);
        assert_eq!(names(&told(said.recv().unwrap())), ["ui", "x"]);
        Ok(())
    });
}

#[test]
fn dl_1_a_waiter_for_room_that_will_come_is_told_nothing() {
    play(|stage| {
        let full = full(stage, 2)?;
        let posted = full.run(
            stage,
            |key| {
                thread::scope(|s| {
                    // One entry that stays, and one that goes at its deadline.
                    full.x.object.post(|()| ()).unwrap();
                    let goes = s.spawn(|| full.x.object.within(secs(3)).call(|()| ()));
                    stage.until_nth(3, full.x.sta.apartment(), like!(Queued));
                    key.open();
                    stage.until(full.z.sta.apartment(), like!(WaitBegan { on: WaitFor::Room }));
                    stage.clock.advance(secs(3));
                    assert_eq!(goes.join().unwrap().unwrap_err().hresult(), hresult::TIMED_OUT);
                });
            },
            || full.x.object.with(&PostOptions::new().wait_for_room()).post(|()| ()),
        )?;
        posted?;
        assert_eq!((full.x.deadlocks(stage), full.z.deadlocks(stage)), (0, 0));
        Ok(())
    });
}

#[test]
fn dl_2_a_waiter_for_room_is_told_when_the_room_it_counted_on_went_to_another() {
    play(|stage| {
        let full = full(stage, 2)?;
        let posted = full.run(
            stage,
            |key| {
                thread::scope(|s| {
                    full.x.object.post(|()| ()).unwrap();
                    let goes = s.spawn(|| full.x.object.within(secs(3)).call(|()| ()));
                    stage.until_nth(3, full.x.sta.apartment(), like!(Queued));
                    // Before `z` in the line.
                    let first = s.spawn(|| full.x.object.with(&PostOptions::new().wait_for_room()).post(|()| ()));
                    stage.until_any(|event| matches!(event.what, What::WaitBegan { on: WaitFor::Room, .. }));
                    key.open();
                    stage.until(full.z.sta.apartment(), like!(WaitBegan { on: WaitFor::Room }));
                    stage.clock.advance(secs(3));
                    assert_eq!(goes.join().unwrap().unwrap_err().hresult(), hresult::TIMED_OUT);
                    first.join().unwrap().unwrap();
                });
            },
            || full.x.object.with(&PostOptions::new().wait_for_room()).post(|()| ()),
        )?;
        assert_eq!(names(&told(posted.map_err(CallError::from))), ["z", "x"]);
        Ok(())
    });
}

#[test]
fn dl_2_a_call_in_the_line_for_room() {
    play(|stage| {
        let full = full(stage, 1)?;
        let y = home(stage, "y", CHAIN)?;
        let result = full.run(
            stage,
            |key| {
                full.x.object.post(|()| ()).unwrap();
                key.open();
            },
            || {
                // Of another chain, so that it needs room: made in a post, for which `z` waits by disconnecting its object.
                let (made, seen) = unbounded();
                let x = full.x.object.clone();
                y.object
                    .post(move |()| made.send(x.with(&CallOptions::new().wait_for_room()).call(|()| ())).unwrap())
                    .unwrap();
                let apartment = y.sta.apartment().clone();
                stage.until(&apartment, like!(WaitBegan));
                (y.object.disconnect(), seen)
            },
        )?;
        let (disconnected, seen) = result;
        let deadlock = only_told([disconnected, seen.recv().unwrap()]);
        assert!(deadlock.cycle.iter().any(|waiter| matches!(waiter.awaits, Awaited::Room { .. })), "{deadlock}");
        Ok(())
    });
}

#[test]
fn dl_2_a_post_waits_for_room_that_messages_hold_while_the_owner_serves_calls() {
    play(|stage| {
        let z = home(stage, "z", Reentrancy::Classic)?;
        let x = stage.sta("x").capacity(1).enter()?;
        let object = x.create(|| ())?;
        x.apartment().post_message(MessageClass::User, || ()).unwrap();
        let room = PostOptions::new().wait_for_room();
        let posted = z.object.call(|()| object.with(&room).post(|()| ()).map_err(CallError::from))?;
        assert_eq!(names(&told(posted)), ["z", "x"]);
        Ok(())
    });
}
