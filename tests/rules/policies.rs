//! DI-9 and DI-12: what a wait lets in, wait by wait and policy by policy.

use crate::stage::{Gate, Stage, gate, incoming, like, play, rejected, secs};
use apartment::{
    CallError, CallKind, CallOptions, HeldBy, MessageClass, PostOptions, Proxy, Reentrancy, RejectedCall, Retry,
    ServerCall, Signal, Sta, What, Worker, wait_all, wait_any,
};
use crossbeam_channel::{Sender, unbounded};
use std::cell::Cell;
use std::thread;

const POLICIES: [Reentrancy; 3] = [Reentrancy::Classic, Reentrancy::SameCausality, Reentrancy::None];

fn add(count: &Cell<u32>) {
    count.set(count.get() + 1);
}

/// A wait of an apartment that serves a call: what it does on the apartment's thread until the gate is passed.
type Wait<'a> = Box<dyn FnOnce(Gate) + Send + 'a>;

/// Every kind of wait, made anew.
fn waits<'a>(stage: &'a Stage) -> Result<Vec<(&'static str, Wait<'a>)>, CallError> {
    let callee = stage.sta("callee").spawn()?;
    let at_callee = callee.create(|| ())?;
    let call: Wait<'a> = Box::new(move |gate| {
        at_callee.call(|()| gate.pass()).unwrap();
        drop(callee);
    });
    let full = |name| -> Result<(Sta, Proxy<()>), CallError> {
        let full = stage.sta(name).capacity(1).spawn()?;
        let at_full = full.create(|| ())?;
        Ok((full, at_full))
    };
    let fill = move |full: &Sta, at_full: &Proxy<()>, gate: Gate| {
        let began = stage.count(full.apartment(), like!(Began));
        at_full.post(move |()| gate.pass()).unwrap();
        stage.until_nth(began + 1, full.apartment(), like!(Began));
        at_full.post(|()| ()).unwrap();
    };
    let (full_for_calls, at_full) = full("full for calls")?;
    let room: Wait<'a> = Box::new(move |gate| {
        fill(&full_for_calls, &at_full, gate);
        at_full.with(&CallOptions::new().wait_for_room()).call(|()| ()).unwrap();
    });
    let (full_for_posts, at_full) = full("full for posts")?;
    let post: Wait<'a> = Box::new(move |gate| {
        fill(&full_for_posts, &at_full, gate);
        at_full.with(&PostOptions::new().wait_for_room()).post(|()| ()).unwrap();
    });
    let other = stage.sta("other").spawn()?;
    let at_other = other.create(|| ())?;
    let join: Wait<'a> = Box::new(move |gate| {
        at_other.post(move |()| gate.pass()).unwrap();
        drop(other);
    });
    let late = stage.sta("late");
    let start: Wait<'a> = Box::new(move |gate| {
        drop(late.filter(move || (gate.pass(), rejected(|_| Retry::GiveUp)).1).spawn().unwrap());
    });
    let signal: Wait<'a> = Box::new(move |gate| {
        let signal = Signal::manual();
        let sets = signal.clone();
        // A thread of nobody's.
        let setter = thread::spawn(move || (gate.pass(), sets.set()).1);
        wait_any(&[&signal], None).unwrap();
        setter.join().unwrap();
    });
    let worker: Wait<'a> = Box::new(move |gate| {
        Worker::spawn("worker", move || gate.pass()).unwrap().join().unwrap().unwrap();
    });
    let calls = [("call", call), ("room", room), ("room for a post", post)];
    let others = [("join", join), ("start", start), ("signal", signal), ("worker", worker)];
    Ok(calls.into_iter().chain(others).collect())
}

/// Says that it is dropped.
struct Tells(Sender<()>);

impl Drop for Tells {
    fn drop(&mut self) {
        self.0.send(()).unwrap();
    }
}

#[test]
fn di_9_what_was_queued_when_a_wait_begins_is_served_in_it_whatever_it_is_for() {
    play(|stage| {
        for (name, wait) in waits(stage)? {
            let a = stage.sta("a").spawn()?;
            let at_a = a.create(|| Cell::new(0))?;
            stage.begin();
            let (begin, begins) = gate();
            let (key, gate) = gate();
            thread::scope(|s| {
                let at_a = &at_a;
                s.spawn(move || at_a.call(|_| (begins.pass(), wait(gate)).1).unwrap());
                stage.until(a.apartment(), like!(Began));
                let (served, serves) = unbounded();
                at_a.post(move |count| (add(count), served.send(()).unwrap()).1).unwrap();
                let caller = s.spawn(move || at_a.call(add).unwrap());
                stage.until_nth(3, a.apartment(), like!(Queued));
                begin.open();
                // The wait ends only when they have been served.
                serves.recv().unwrap();
                caller.join().unwrap();
                key.open();
            });
            let over = stage.until(a.apartment(), like!(WaitEnded)).seq;
            assert!(stage.until_nth(3, a.apartment(), like!(Began)).seq < over, "{name}");
        }
        Ok(())
    });
}

#[test]
fn di_9_what_the_policy_holds_when_a_wait_begins_is_served_behind_it_in_order() {
    play(|stage| {
        for policy in [Reentrancy::SameCausality, Reentrancy::None] {
            for (name, wait) in waits(stage)? {
                let a = stage.sta("a").reentrancy(policy).spawn()?;
                let at_a = a.create(|| Cell::new(0))?;
                stage.begin();
                let (begin, begins) = gate();
                let (key, gate) = gate();
                thread::scope(|s| {
                    let at_a = &at_a;
                    s.spawn(move || at_a.call(|_| (begins.pass(), wait(gate)).1).unwrap());
                    stage.until(a.apartment(), like!(Began));
                    let ids: Vec<_> = (0..3)
                        .map(|n| {
                            at_a.post(add).unwrap();
                            stage.until_nth(n + 2, a.apartment(), like!(Queued)).call
                        })
                        .collect();
                    begin.open();
                    stage.until_nth(3, a.apartment(), like!(Held { by: HeldBy::Policy }));
                    key.open();
                    stage.until_nth(4, a.apartment(), like!(Ended));
                    let began: Vec<_> = stage.all(a.apartment(), like!(Began)).iter().map(|event| event.call).collect();
                    assert_eq!(began[1..], ids, "{policy:?}, {name}");
                });
                let over = stage.until(a.apartment(), like!(WaitEnded)).seq;
                assert!(stage.until_nth(2, a.apartment(), like!(Began)).seq > over, "{policy:?}, {name}");
            }
        }
        Ok(())
    });
}

#[test]
fn di_12_releases_come_in_in_every_wait_under_every_policy() {
    play(|stage| {
        for policy in POLICIES {
            for (_, wait) in waits(stage)? {
                let a = stage.sta("a").reentrancy(policy).spawn()?;
                let at_a = a.create(|| Cell::new(0))?;
                let (dropped, drops) = unbounded();
                let goes = a.create(move || Tells(dropped))?;
                stage.begin();
                let (key, gate) = gate();
                thread::scope(|s| {
                    let at_a = &at_a;
                    s.spawn(move || at_a.call(|_| wait(gate)).unwrap());
                    stage.until(a.apartment(), like!(WaitBegan));
                    drop(goes);
                    drops.recv().unwrap();
                    key.open();
                });
            }
        }
        Ok(())
    });
}

#[test]
fn di_12_the_wait_for_a_retry_holds_what_the_policy_holds_and_lets_releases_in() {
    play(|stage| {
        for policy in POLICIES {
            let refused = Cell::new(false);
            let filter = move || {
                incoming(move |call| match call.kind {
                    CallKind::Synchronous if !refused.replace(true) => ServerCall::RetryLater,
                    _ => ServerCall::Handled,
                })
            };
            let busy = stage.sta("busy").filter(filter).spawn()?;
            let a = stage.sta("a").reentrancy(policy).spawn()?;
            let (at_busy, at_a) = (busy.create(|| ())?, a.create(|| Cell::new(0))?);
            let (dropped, drops) = unbounded();
            let goes = a.create(move || Tells(dropped))?;
            stage.begin();
            let later = || CallOptions::new().retry(|_: &RejectedCall| Retry::After(secs(1)));
            thread::scope(|s| {
                s.spawn(|| at_a.call(|_| at_busy.with(&later()).call(|()| ()).unwrap()).unwrap());
                stage.until(a.apartment(), like!(WaitTurned));
                drop(goes);
                drops.recv().unwrap();
                at_a.post(add).unwrap();
                match policy {
                    Reentrancy::Classic => drop(stage.until(a.apartment(), like!(Ended))),
                    _ => drop(stage.until(a.apartment(), like!(Held { by: HeldBy::Policy }))),
                }
                stage.clock.advance(secs(1));
            });
        }
        Ok(())
    });
}

#[test]
fn di_12_a_pump_or_loop_inside_a_served_call_under_none_lets_in_releases_alone() {
    play(|stage| {
        for runs in [false, true] {
            let a = stage.sta("a").reentrancy(Reentrancy::None).spawn()?;
            let at_a = a.create(|| Cell::new(0))?;
            let (dropped, drops) = unbounded();
            let goes = a.create(move || Tells(dropped))?;
            stage.begin();
            let (key, gate) = gate();
            thread::scope(|s| {
                let pumps = s.spawn(|| {
                    at_a.call(|count| {
                        let again = stage.sta("a, once more").enter().unwrap();
                        gate.pass();
                        if runs {
                            again.run()
                        } else {
                            again.pump();
                        }
                        count.get()
                    })
                    .unwrap()
                });
                stage.until(a.apartment(), like!(Began));
                at_a.post(add).unwrap();
                a.apartment().post_message(MessageClass::Paint, || ()).unwrap();
                drop(goes);
                if runs {
                    // A loop in the call ends when its apartment is to quit, and nothing is left that may come in.
                    a.quit();
                }
                key.open();
                assert_eq!(pumps.join().unwrap(), 0, "loop: {runs}");
                drops.recv().unwrap();
            });
            let ended = stage.until(a.apartment(), like!(Ended)).seq;
            assert!(stage.until(a.apartment(), like!(ObjectDropped)).seq < ended, "loop: {runs}");
            assert!(stage.until_nth(2, a.apartment(), like!(Began)).seq > ended, "loop: {runs}");
        }
        Ok(())
    });
}

#[test]
fn di_12_with_none_and_no_call_served_the_loop_and_every_plain_wait_keep_to_the_table() {
    play(|stage| {
        // In no chain: the loop lets everything in, and so does a wait of the other two policies; none lets nothing in.
        for policy in POLICIES {
            let (begun, begins) = unbounded();
            let (key, gate) = gate();
            let other = stage.sta("other").spawn()?;
            let at_other = other.create(|| ())?;
            at_other.post(move |()| gate.pass())?;
            let ui = stage.sta("ui").reentrancy(policy).enter()?;
            let at_ui = ui.create(|| Cell::new(0))?;
            stage.begin();
            thread::scope(|s| {
                let at_ui = &at_ui;
                let apartment = ui.apartment().clone();
                s.spawn(move || {
                    begins.recv().unwrap();
                    stage.until(&apartment, like!(WaitBegan));
                    at_ui.post(add).unwrap();
                    match policy {
                        Reentrancy::None => drop(stage.until(&apartment, like!(Held { by: HeldBy::Policy }))),
                        _ => drop(stage.until(&apartment, like!(Ended))),
                    }
                    key.open();
                });
                begun.send(()).unwrap();
                // A join, in no call.
                drop(other);
            });
            assert_eq!(ui.pump(), usize::from(policy == Reentrancy::None), "{policy:?}");
        }
        Ok(())
    });
}

#[test]
fn di_12_messages_do_not_pile_waits_up_without_bound_either() {
    play(|stage| {
        for policy in [Reentrancy::Classic, Reentrancy::SameCausality] {
            let window = stage.sta("window").nested_waits(3).reentrancy(policy).spawn()?;
            let mta = stage.mta().threads(8).spawn()?;
            let (busy, goes) = (mta.create(|| ())?, window.create(|| ())?);
            stage.begin();
            let (key, gate) = gate();
            for _ in 0..6 {
                let (busy, gate) = (busy.clone(), gate.clone());
                // Each of them calls out, and so lets the next one in.
                window.apartment().post_message(MessageClass::Paint, move || busy.call(|()| gate.pass()).unwrap())?;
            }
            stage.until_nth(4, window.apartment(), like!(WaitBegan));
            // The fourth wait has looked at its queue: a release comes in everywhere.
            drop(goes);
            stage.until(window.apartment(), like!(ObjectDropped));
            key.open();
            stage.until_nth(6, window.apartment(), like!(MessageEnded));
            let mut open = 0;
            let steps =
                stage.all(window.apartment(), |what| matches!(what, What::WaitBegan { .. } | What::WaitEnded { .. }));
            let deepest = steps.iter().map(|step| {
                open += if matches!(step.what, What::WaitBegan { .. }) { 1 } else { -1 };
                open
            });
            assert_eq!(deepest.max(), Some(4), "three waits let the next one in, the fourth does not: {policy:?}");
        }
        Ok(())
    });
}

#[test]
fn di_12_a_plain_wait_inside_a_served_call_lets_in_what_a_future_of_that_call_calls_back() {
    play(|stage| {
        let a = stage.sta("a").reentrancy(Reentrancy::SameCausality).spawn()?;
        let (at_a, at_b) = (a.create(|| Cell::new(0))?, stage.sta("b").spawn()?);
        let at_b_object = at_b.create(|| ())?;
        let (back, ended) = (at_a.clone(), Signal::manual());
        let tells = ended.clone();
        // No call of `a`'s is waited for: the chain is the served call's, which the future carries.
        let seen = at_a.call(move |count| {
            let future = at_b_object.call_async(move |()| {
                back.call(add).unwrap();
                tells.set();
            });
            wait_any(&[&ended], None).unwrap();
            drop(future);
            count.get()
        })?;
        assert_eq!(seen, 1);
        Ok(())
    });
}

#[test]
fn dl_1_branches_of_one_call_call_each_other_and_nobody_is_told() {
    play(|stage| {
        let sta = |name| stage.sta(name).reentrancy(Reentrancy::SameCausality).spawn();
        let (root, left, right) = (sta("root")?, sta("left")?, sta("right")?);
        let (at_root, at_left, at_right) = (root.create(|| ())?, left.create(|| ())?, right.create(|| ())?);
        let all = [Signal::manual(), Signal::manual(), Signal::manual(), Signal::manual()];
        let [left_began, right_began, left_ended, right_ended] = all.clone();
        at_root.call(move |()| {
            let branch = |own: &Proxy<()>, other: &Proxy<()>, began: &Signal, others: &Signal, ended: &Signal| {
                let (other, began, others, ended) = (other.clone(), began.clone(), others.clone(), ended.clone());
                own.call_async(move |()| {
                    began.set();
                    wait_any(&[&others], None).unwrap();
                    // Both at once, of one chain: each is let in by the other's wait.
                    other.call(|()| ()).unwrap();
                    ended.set();
                })
            };
            let _left = branch(&at_left, &at_right, &left_began, &right_began, &left_ended);
            let _right = branch(&at_right, &at_left, &right_began, &left_began, &right_ended);
            wait_all(&[&left_ended, &right_ended], None).unwrap();
        })?;
        assert!(all.iter().all(Signal::is_set));
        Ok(())
    });
}
