//! MF-8, case by case: what becomes of an application message that arrives while a call is out.

use crate::stage::{Gate, Stage, gate, hresult, like, pending, play, rejected, secs};
use apartment::{
    CallError, HeldBy, MessageClass, Outcome, PendingAnswer, PendingMessage, PendingType, PostOptions, Proxy,
    Reentrancy, Retry, Sta, WaitFor, What, implements, interface,
};
use crossbeam_channel::{Receiver, unbounded};
use std::cell::Cell;
use std::panic::resume_unwind;
use std::thread;

const POLICIES: [Reentrancy; 3] = [Reentrancy::Classic, Reentrancy::SameCausality, Reentrancy::None];
const CLASSES: [MessageClass; 4] =
    [MessageClass::Input, MessageClass::Paint, MessageClass::Activation, MessageClass::User];

/// What the filter says about a message.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Says {
    /// There is none.
    NoFilter,
    Cancel,
    NoProcess,
    Default,
    Panics,
}

const ANSWERS: [Says; 5] = [Says::NoFilter, Says::Cancel, Says::NoProcess, Says::Default, Says::Panics];

impl Says {
    fn answer(self) -> PendingAnswer {
        match self {
            Says::Cancel => PendingAnswer::cancel_call(),
            Says::NoProcess => PendingAnswer::wait_no_process(),
            Says::Default => PendingAnswer::wait_def_process(),
            Says::NoFilter | Says::Panics => resume_unwind(Box::new("the filter panics")),
        }
    }

    fn lets_run(self, class: MessageClass) -> bool {
        match self {
            Says::NoFilter | Says::Default => matches!(class, MessageClass::Paint | MessageClass::Activation),
            Says::NoProcess | Says::Panics => class == MessageClass::Activation,
            Says::Cancel => false,
        }
    }
}

/// An STA with that policy whose filter says so and shows what it is asked.
fn window(stage: &Stage, policy: Reentrancy, says: Says) -> Result<(Sta, Receiver<PendingMessage>), CallError> {
    let (asked, questions) = unbounded();
    let sta = stage.sta("window").reentrancy(policy);
    if says == Says::NoFilter {
        return Ok((sta.spawn()?, questions));
    }
    let filter = move || {
        pending(move |message: &PendingMessage| {
            asked.send(message.clone()).unwrap();
            says.answer()
        })
    };
    Ok((sta.filter(filter).spawn()?, questions))
}

/// The sequence number of the first event of that kind in the window, if it comes to that.
fn first(stage: &Stage, window: &Sta, like: impl Fn(&What) -> bool) -> Option<u64> {
    stage.all(window.apartment(), like).first().map(|event| event.seq)
}

/// A message of that class arrives while the window has a call out, which it made at top level or while serving a call.
fn arrives(stage: &Stage, policy: Reentrancy, says: Says, class: MessageClass, nested: bool) -> Result<(), CallError> {
    let case = format!("{policy:?}, {says:?}, {class:?}, {}", if nested { "nested" } else { "top level" });
    let (window, questions) = window(stage, policy, says)?;
    let callee = stage.sta("callee").spawn()?;
    let (at_window, at_callee) = (window.create(|| Cell::new(0))?, callee.create(|| ())?);
    let runs = says.lets_run(class) && policy != Reentrancy::None;
    stage.begin();
    let (ran, ran_once) = unbounded();
    let (ended, result) = unbounded();
    thread::scope(|s| {
        let (key, gate) = gate();
        let call = {
            let at_callee = at_callee.clone();
            move || ended.send(at_callee.call(|()| gate.pass())).unwrap()
        };
        if nested {
            let at_window = &at_window;
            s.spawn(move || at_window.call(|_| call()).unwrap());
        } else {
            window.apartment().post_message(MessageClass::User, call).unwrap();
        }
        // It runs: nobody can take it back.
        stage.until(callee.apartment(), like!(Began));
        stage.clock.advance(secs(3));
        window.apartment().post_message(class, move || ran.send(()).unwrap()).unwrap();
        match says {
            _ if runs => drop(stage.until(window.apartment(), like!(MessageEnded))),
            Says::Cancel => drop(stage.until(callee.apartment(), like!(CancelAsked))),
            Says::NoFilter if policy == Reentrancy::None => {
                // Looked at in the same look as this.
                at_window.post(|_| ()).unwrap();
                stage.until(window.apartment(), like!(Held { by: HeldBy::Policy }));
            }
            Says::NoFilter => {
                // Looked at after it.
                let (painted, paint) = unbounded();
                let paints = move || painted.send(()).unwrap();
                window.apartment().post_message(MessageClass::Paint, paints).unwrap();
                paint.recv().unwrap();
            }
            _ => drop(stage.until(window.apartment(), like!(PendingAsked))),
        }
        key.open();
    });
    let result = result.recv().unwrap();
    match says {
        Says::Cancel => {
            let error = result.unwrap_err();
            assert_eq!((error.hresult(), error.outcome()), (hresult::CALL_CANCELED, Outcome::MayHaveRun), "{case}");
        }
        _ => result?,
    }
    ran_once.recv().unwrap();
    let over = first(stage, &window, like!(WaitEnded)).unwrap();
    // The message that made the call is no message of the case.
    let began = stage.all(window.apartment(), like!(MessageBegan));
    let own = began[usize::from(!nested)..]
        .iter()
        .find(|event| matches!(event.what, What::MessageBegan { class: told, .. } if told == class));
    assert_eq!(own.unwrap().seq < over, runs, "{case}");
    let asked: Vec<_> = questions.try_iter().collect();
    assert_eq!(asked.len(), usize::from(says != Says::NoFilter), "asked once: {case}");
    for message in asked {
        let expected = if nested { PendingType::Nested } else { PendingType::TopLevel };
        assert_eq!((message.class, message.pending_type, message.elapsed), (class, expected, secs(3)), "{case}");
        assert_eq!(message.callee.id, callee.apartment().id(), "{case}");
    }
    let contained = stage.count(window.apartment(), like!(Contained { place: "message_pending" }));
    assert_eq!(contained, usize::from(says == Says::Panics), "{case}");
    drop(window);
    assert!(ran_once.is_empty(), "nothing runs twice: {case}");
    Ok(())
}

fn every_case(policy: Reentrancy) {
    play(move |stage| {
        for says in ANSWERS {
            for class in CLASSES {
                for nested in [false, true] {
                    arrives(stage, policy, says, class, nested)?;
                }
            }
        }
        Ok(())
    });
}

#[test]
fn mf_8_every_class_meets_every_answer_in_a_classic_apartment() {
    every_case(Reentrancy::Classic);
}

#[test]
fn mf_8_every_class_meets_every_answer_in_an_apartment_of_same_causality() {
    every_case(Reentrancy::SameCausality);
}

#[test]
fn mf_8_every_class_meets_every_answer_where_nothing_comes_in_and_none_of_them_runs() {
    every_case(Reentrancy::None);
}

#[test]
fn mf_8_every_class_is_asked_about_again_after_the_time_that_any_answer_names() {
    play(|stage| {
        for (policy, class) in POLICIES.into_iter().flat_map(|policy| CLASSES.map(|class| (policy, class))) {
            let (asked, questions) = unbounded();
            let filter = move || {
                pending(move |message: &PendingMessage| {
                    asked.send(message.elapsed).unwrap();
                    match message.elapsed.as_secs() {
                        0 => PendingAnswer::wait_no_process().ask_again_after(secs(2)),
                        2 => PendingAnswer::wait_def_process().ask_again_after(secs(3)),
                        _ => PendingAnswer::cancel_call(),
                    }
                })
            };
            let window = stage.sta("window").reentrancy(policy).filter(filter).spawn()?;
            let callee = stage.sta("callee").spawn()?;
            let (at_window, at_callee) = (window.create(|| ())?, callee.create(|| ())?);
            stage.begin();
            let call = at_window.call(|()| {
                at_callee.call(|()| {
                    window.apartment().post_message(class, || ()).unwrap();
                    stage.until(window.apartment(), like!(PendingAsked));
                    stage.clock.advance(secs(2));
                    let asked_again = policy == Reentrancy::None
                        || matches!(class, MessageClass::Input | MessageClass::User | MessageClass::Paint);
                    if asked_again {
                        stage.until_nth(2, window.apartment(), like!(PendingAsked));
                    }
                    stage.clock.advance(secs(3));
                    if policy == Reentrancy::None || matches!(class, MessageClass::Input | MessageClass::User) {
                        stage.until(callee.apartment(), like!(CancelAsked));
                    }
                })
            })?;
            let seen: Vec<_> = questions.try_iter().collect();
            let expected = match class {
                MessageClass::Input | MessageClass::User => vec![secs(0), secs(2), secs(5)],
                _ if policy == Reentrancy::None => vec![secs(0), secs(2), secs(5)],
                // The second answer let it run, or the first one.
                MessageClass::Paint => vec![secs(0), secs(2)],
                MessageClass::Activation => vec![secs(0)],
            };
            assert_eq!(seen, expected, "{policy:?}, {class:?}");
            assert_eq!(call.is_err(), expected.len() == 3, "{policy:?}, {class:?}");
        }
        Ok(())
    });
}

#[test]
fn mf_8_what_stays_queued_keeps_its_order_and_runs_when_the_call_is_over() {
    play(|stage| {
        for policy in POLICIES {
            let (window, questions) = window(stage, policy, Says::NoProcess)?;
            let callee = stage.sta("callee").spawn()?;
            let (at_window, at_callee) = (window.create(|| ())?, callee.create(|| ())?);
            stage.begin();
            let (ran, order) = unbounded();
            at_window.call(|()| {
                let callee = || {
                    for n in 0..3 {
                        for class in [MessageClass::User, MessageClass::Input, MessageClass::Paint] {
                            let ran = ran.clone();
                            window.apartment().post_message(class, move || ran.send((n, class)).unwrap()).unwrap();
                        }
                    }
                    stage.until_nth(9, window.apartment(), like!(PendingAsked));
                };
                at_callee.call(|()| callee()).unwrap();
                assert!(order.is_empty());
            })?;
            let ran: Vec<_> = (0..9).map(|_| order.recv().unwrap()).collect();
            let sent = (0..3)
                .flat_map(|n| [MessageClass::User, MessageClass::Input, MessageClass::Paint].map(|class| (n, class)));
            assert_eq!(ran, sent.collect::<Vec<_>>(), "{policy:?}");
            let asked: Vec<_> = questions.try_iter().map(|message| message.class).collect();
            assert_eq!(asked, ran.iter().map(|(_, class)| *class).collect::<Vec<_>>(), "in order, once: {policy:?}");
        }
        Ok(())
    });
}

#[test]
fn mf_8_in_nested_waits_the_innermost_asks_and_no_other_asks_again() {
    play(|stage| {
        const DEPTH: usize = 4;
        let (window, questions) = window(stage, Reentrancy::SameCausality, Says::NoProcess)?;
        let callee = stage.sta("callee").spawn()?;
        let (at_window, at_callee) = (window.create(|| ())?, callee.create(|| ())?);
        stage.begin();
        /// Goes to and fro that often, and then does what is to be done in the innermost call.
        fn descend(depth: usize, to: &Proxy<()>, back: &Proxy<()>, run: &(dyn Fn() + Sync)) {
            match depth {
                0 => run(),
                _ => to.call(|()| descend(depth - 1, back, to, run)).unwrap(),
            }
        }
        let innermost = || {
            window.apartment().post_message(MessageClass::Input, || ()).unwrap();
            stage.until(window.apartment(), like!(PendingAsked));
        };
        descend(2 * DEPTH, &at_window, &at_callee, &innermost);
        stage.until(window.apartment(), like!(MessageEnded));
        let asked: Vec<_> = questions.try_iter().collect();
        assert_eq!(asked.len(), 1, "asked in the innermost wait, and in none of the three below it");
        // It is told which call: the last that the window made.
        let made: Vec<_> = stage.all(window.apartment(), like!(WaitBegan)).iter().map(|event| event.call).collect();
        assert_eq!(made.len(), DEPTH);
        assert_eq!(made[DEPTH - 1].unwrap().id, asked[0].call);
        Ok(())
    });
}

interface! {
    trait Peek {
        fn peek(&self) -> Result<(), CallError> as input_sync;
    }
}

/// Runs something while it is peeked at.
struct Peeked(Box<dyn Fn()>);

impl Peek for Peeked {
    fn peek(&self) -> Result<(), CallError> {
        (self.0)();
        Ok(())
    }
}
implements!(Peeked: dyn Peek);

#[test]
fn mf_8_the_wait_for_an_input_synchronized_call_asks_nobody() {
    play(|stage| {
        let (window, questions) = window(stage, Reentrancy::Classic, Says::Default)?;
        let (at_window, goes) = (window.create(|| ())?, window.create(|| ())?);
        let callee = stage.sta("callee").spawn()?;
        let (key, gate) = gate();
        let peeked = callee.create(|| Peeked(Box::new(move || gate.pass())))?.cast::<dyn Peek>();
        stage.begin();
        thread::scope(|s| {
            s.spawn(|| at_window.call(|()| peeked.peek().unwrap()).unwrap());
            stage.until(callee.apartment(), like!(Began));
            window.apartment().post_message(MessageClass::Paint, || ()).unwrap();
            // It has looked at its queue: a release comes in everywhere.
            drop(goes);
            stage.until(window.apartment(), like!(ObjectDropped));
            key.open();
        });
        let ran = stage.until(window.apartment(), like!(MessageBegan));
        assert!(first(stage, &window, like!(WaitEnded)).unwrap() < ran.seq);
        assert!(questions.is_empty());
        Ok(())
    });
}

#[test]
fn mf_8_no_other_wait_asks_under_any_policy() {
    play(|stage| {
        for policy in POLICIES {
            let (window, questions) = window(stage, policy, Says::Default)?;
            let at_window = window.create(|| ())?;
            // A join; a post that waits for room; an apartment's start.
            let other = stage.sta("other").spawn()?;
            let at_other = other.create(|| ())?;
            let full = stage.sta("full").capacity(1).spawn()?;
            let at_full = full.create(|| ())?;
            let waits: [Box<dyn FnOnce(Gate) + Send + '_>; 3] = [
                Box::new(move |gate| {
                    at_other.post(move |()| gate.pass()).unwrap();
                    drop(other);
                }),
                Box::new(move |gate| {
                    at_full.post(move |()| gate.pass()).unwrap();
                    stage.until(full.apartment(), like!(Began));
                    at_full.post(|()| ()).unwrap();
                    at_full.with(&PostOptions::new().wait_for_room()).post(|()| ()).unwrap();
                }),
                Box::new(move |gate| {
                    let filter = move || (gate.pass(), rejected(|_| Retry::GiveUp)).1;
                    drop(stage.sta("late").filter(filter).spawn().unwrap());
                }),
            ];
            for wait in waits {
                let goes = window.create(|| ())?;
                stage.begin();
                let (key, gate) = gate();
                thread::scope(|s| {
                    let at_window = &at_window;
                    s.spawn(move || at_window.call(|()| wait(gate)).unwrap());
                    let began = stage.until(window.apartment(), like!(WaitBegan));
                    assert!(!matches!(began.what, What::WaitBegan { on: WaitFor::Reply, .. }));
                    window.apartment().post_message(MessageClass::Paint, || ()).unwrap();
                    // It has looked at its queue: a release comes in everywhere.
                    drop(goes);
                    stage.until(window.apartment(), like!(ObjectDropped));
                    key.open();
                });
                let over = first(stage, &window, like!(WaitEnded)).unwrap();
                let ran = stage.until(window.apartment(), like!(MessageBegan));
                assert!(ran.seq > over, "{policy:?}");
            }
            assert!(questions.is_empty(), "{policy:?}");
        }
        Ok(())
    });
}
