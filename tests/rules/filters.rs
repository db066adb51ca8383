//! MF-10: the filters that come with the library.

use crate::stage::{Gate, Key, Stage, gate, hresult, incoming, like, millis, pending, play, secs};
use crate::support::forget;
use apartment::{
    BusyAnswer, BusyCall, BusyDialogue, BusyState, CallError, CallKind, CallType, CancelAfter, Event, IncomingCall,
    MessageClass, MessageFilter, Outcome, PendingAction, PendingAnswer, PendingMessage, PostOptions, Proxy,
    RejectWhileOut, RejectedCall, Retry, RetryFor, ServerCall, Sta, WaitFor, What, WhyBusy, discard_messages,
    implements, interface, register_filter,
};
use crossbeam_channel::{Receiver, unbounded};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

interface! {
    trait Look {
        fn peek(&self) -> Result<u32, CallError> as input_sync;
    }
}

impl Look for Cell<u32> {
    fn peek(&self) -> Result<u32, CallError> {
        Ok(self.get())
    }
}
struct Counter(Cell<u32>);
impl Look for Counter {
    fn peek(&self) -> Result<u32, CallError> {
        self.0.peek()
    }
}
implements!(Counter: dyn Look);

fn add(counter: &Counter) {
    counter.0.set(counter.0.get() + 1);
}

fn counter() -> Counter {
    Counter(Cell::new(0))
}

fn seen_as<T>(result: Result<T, CallError>) -> Option<u32> {
    result.err().map(|error| {
        assert_eq!(error.outcome(), Outcome::NotStarted);
        error.hresult()
    })
}

const LATER: Option<u32> = Some(hresult::RETRY_LATER);
const REJECTED: Option<u32> = Some(hresult::CALL_REJECTED);

// ---- BusyState

#[test]
fn mf_10_a_busy_state_sends_callers_away_while_a_guard_is_held() {
    play(|stage| {
        for (answer, told) in [(ServerCall::RetryLater, LATER), (ServerCall::Rejected, REJECTED)] {
            let busy = BusyState::new().answer(answer);
            let filter = busy.clone();
            let word = stage.sta("word").filter(|| filter).spawn()?;
            let text = word.create(counter)?;
            text.call(add)?;
            assert!(!busy.is_busy());
            let (outer, inner) = (busy.begin(), busy.begin());
            drop(outer);
            assert!(busy.is_busy(), "guards nest, whichever goes first");
            assert_eq!(seen_as(text.call(add)), told);
            assert_eq!(seen_as(word.create(counter)), told, "creations too");
            stage.begin();
            text.post(add)?;
            stage.until(word.apartment(), like!(Ended));
            drop(inner);
            text.call(add)?;
            assert_eq!(text.call(|text| text.0.get())?, 3, "what no filter can refuse has run");
        }
        Ok(())
    });
}

#[test]
fn mf_10_a_busy_guard_may_be_held_across_calls_whose_callbacks_come_in() {
    play(|stage| {
        let busy = BusyState::default();
        let filter = busy.clone();
        let (word, excel) = (stage.sta("word").filter(|| filter).spawn()?, stage.sta("excel").spawn()?);
        let (text, sheet) = (word.create(counter)?, excel.create(|| ())?);
        stage.begin();
        let (key, gate) = gate();
        thread::scope(|s| {
            let call = s.spawn(|| {
                text.call(|_| {
                    let _printing = busy.begin();
                    sheet.call(|()| (text.call(add), gate.pass()).0).unwrap()
                })
            });
            // The callback has run.
            stage.until(word.apartment(), like!(Ended));
            assert_eq!(seen_as(text.call(add)), LATER, "a third party");
            let third = excel.apartment().clone();
            let other = stage.sta("other").spawn().unwrap();
            let look = text.cast::<dyn Look>();
            let from_other = other.create(|| ()).unwrap();
            assert_eq!(from_other.call(|()| look.peek()).unwrap().unwrap(), 1, "an input-synchronized call");
            drop(third);
            key.open();
            call.join().unwrap().unwrap().unwrap();
        });
        text.call(add)?;
        assert_eq!(text.call(|text| text.0.get())?, 2);
        Ok(())
    });
}

#[test]
fn mf_10_a_busy_guard_may_be_dropped_on_another_thread_and_by_a_panic() {
    play(|stage| {
        let busy = BusyState::new();
        let filter = busy.clone();
        let word = stage.sta("word").filter(|| filter).spawn()?;
        let text = word.create(counter)?;
        let guard = text.call(|_| busy.begin())?;
        assert_eq!(seen_as(text.call(add)), LATER);
        thread::scope(|s| s.spawn(|| drop(guard)).join().unwrap());
        text.call(add)?;
        let panics = text.call(|_| {
            let _printing = busy.begin();
            panic!("out of paper")
        });
        assert_eq!(panics.unwrap_err().hresult(), hresult::SERVER_FAULT);
        text.call(add)?;
        Ok(())
    });
}

// ---- RejectWhileOut

#[test]
fn mf_10_reject_while_out_sends_third_parties_away_while_a_call_is_out() {
    play(|stage| {
        for (answer, told) in [(ServerCall::RetryLater, LATER), (ServerCall::Rejected, REJECTED)] {
            let bank = stage.sta("bank").filter(move || RejectWhileOut::default().answer(answer)).spawn()?;
            let audit = stage.sta("audit").spawn()?;
            let (account, auditor) = (bank.create(counter)?, audit.create(|| ())?);
            account.call(add)?;
            stage.begin();
            let (key, gate) = gate();
            thread::scope(|s| {
                let call = s.spawn(|| account.call(|_| auditor.call(|()| (account.call(add), gate.pass()).0).unwrap()));
                stage.until(bank.apartment(), like!(Ended));
                assert_eq!(seen_as(account.call(add)), told);
                assert_eq!(seen_as(bank.create(counter)), told);
                account.post(add).unwrap();
                stage.until_nth(2, bank.apartment(), like!(Ended));
                key.open();
                call.join().unwrap().unwrap().unwrap();
            });
            assert_eq!(account.call(|account| account.0.get())?, 3);
        }
        Ok(())
    });
}

// ---- What both of the others need: a window whose call is out

/// Runs `meanwhile` while the window has a call out, and gives what became of the call.
fn while_out(
    stage: &Stage,
    window: &Sta,
    meanwhile: impl FnOnce(&Sta, &mut dyn FnMut()),
) -> Result<Result<(), CallError>, CallError> {
    let callee = stage.sta("excel").spawn()?;
    let (at_window, at_callee) = (window.create(|| ())?, callee.create(|| ())?);
    stage.begin();
    let (key, gate): (Key, Gate) = gate();
    let mut key = Some(key);
    thread::scope(|s| {
        let call = s.spawn(|| at_window.call(|()| at_callee.call(|()| gate.pass())));
        // The call runs: nobody can take it back.
        stage.until(callee.apartment(), like!(Began));
        meanwhile(&callee, &mut || drop(key.take()));
        drop(key);
        call.join().unwrap()
    })
}

fn send(window: &Sta, class: MessageClass) -> Receiver<()> {
    let (ran, runs) = unbounded();
    window.apartment().post_message(class, move || ran.send(()).unwrap()).unwrap();
    runs
}

/// How often the filter was asked so far.
fn asked(stage: &Stage, window: &Sta, nth: usize) -> Event {
    stage.until_nth(nth, window.apartment(), like!(PendingAsked))
}

// ---- CancelAfter

#[test]
fn mf_10_cancel_after_cancels_a_call_that_keeps_a_message_waiting_too_long() {
    play(|stage| {
        for class in [MessageClass::Input, MessageClass::User] {
            let window = stage.sta("window").filter(|| CancelAfter::new(secs(5))).spawn()?;
            let mut ran = None;
            let result = while_out(stage, &window, |callee, _| {
                stage.clock.advance(secs(1));
                ran = Some(send(&window, class));
                asked(stage, &window, 1);
                stage.clock.advance(millis(3_999));
                // What has been asked then shows that the time had not come.
                send(&window, MessageClass::Paint).recv().unwrap();
                assert_eq!(stage.count(callee.apartment(), like!(CancelAsked)), 0);
                stage.clock.advance(millis(1));
                stage.until(callee.apartment(), like!(CancelAsked));
            })?;
            let error = result.unwrap_err();
            assert_eq!((error.hresult(), error.outcome()), (hresult::CALL_CANCELED, Outcome::MayHaveRun), "{class:?}");
            ran.unwrap().recv().unwrap();
        }
        Ok(())
    });
}

#[test]
fn mf_10_cancel_after_leaves_a_call_alone_that_keeps_nobody_waiting() {
    play(|stage| {
        let window = stage.sta("window").filter(|| CancelAfter::new(secs(5))).spawn()?;
        while_out(stage, &window, |_, _| {
            stage.clock.advance(secs(60));
            send(&window, MessageClass::Paint).recv().unwrap();
            send(&window, MessageClass::Activation).recv().unwrap();
        })?
    });
}

// ---- BusyDialogue

/// A window with a dialogue that shows what it is asked, and is answered by the test.
fn dialogue(
    stage: &Stage,
    set: impl FnOnce(
        BusyDialogue<Box<dyn Fn(&BusyCall) -> BusyAnswer>>,
    ) -> BusyDialogue<Box<dyn Fn(&BusyCall) -> BusyAnswer>>
    + Send
    + 'static,
) -> Result<(Sta, Receiver<BusyCall>, crossbeam_channel::Sender<BusyAnswer>), CallError> {
    let (ask, asked) = unbounded();
    let (answer, answers) = unbounded::<BusyAnswer>();
    let process = stage.process.clone();
    let filter = move || {
        let dialogue: Box<dyn Fn(&BusyCall) -> BusyAnswer> = Box::new(move |busy: &BusyCall| {
            ask.send(busy.clone()).unwrap();
            process.note("asked");
            answers.recv().unwrap()
        });
        set(BusyDialogue::new(dialogue))
    };
    Ok((stage.sta("window").filter(filter).spawn()?, asked, answer))
}

#[test]
fn mf_10_the_busy_dialogue_is_shown_to_who_wants_attention_and_not_to_who_types_ahead() {
    play(|stage| {
        let (window, asked_about, answer) = dialogue(stage, |dialogue| dialogue)?;
        let result = while_out(stage, &window, |callee, go| {
            stage.clock.advance(secs(1));
            let typed = [send(&window, MessageClass::Input), send(&window, MessageClass::Input)];
            let user = send(&window, MessageClass::User);
            asked(stage, &window, 3);
            stage.clock.advance(millis(1_999));
            send(&window, MessageClass::Paint).recv().unwrap();
            assert!(asked_about.is_empty(), "typed ahead");
            stage.clock.advance(millis(1));
            let busy = asked_about.recv().unwrap();
            assert_eq!((busy.why, busy.elapsed), (WhyBusy::NoAnswer, secs(3)));
            assert_eq!(busy.callee.id, callee.apartment().id());
            assert_eq!(busy.to_string(), "excel has not answered for 3 s");
            // Thrown away before it is shown.
            for runs in typed {
                runs.recv().unwrap_err();
            }
            assert_eq!(stage.count(window.apartment(), like!(MessageDropped { class: MessageClass::Input })), 2);
            assert_eq!(window.apartment().queued(), 1, "the other one keeps its room, and theirs is free");
            // Time that is spent looking at it does not count.
            stage.clock.advance(secs(60));
            answer.send(BusyAnswer::GoOn).unwrap();
            // Whoever goes on is left in peace for as long as before.
            let again = send(&window, MessageClass::Input);
            asked(stage, &window, 6);
            stage.clock.advance(millis(2_999));
            send(&window, MessageClass::Paint).recv().unwrap();
            assert!(asked_about.is_empty());
            stage.clock.advance(millis(1));
            assert_eq!(asked_about.recv().unwrap().elapsed, secs(66));
            again.recv().unwrap_err();
            answer.send(BusyAnswer::GoOn).unwrap();
            go();
            user.recv().unwrap();
        })?;
        assert_eq!(stage.count(window.apartment(), like!(MessageDropped)), 3);
        result
    });
}

#[test]
fn mf_10_the_busy_dialogue_can_give_up_a_call_that_is_out() {
    play(|stage| {
        let (window, asked_about, answer) = dialogue(stage, |dialogue| dialogue.input_delay(secs(2)))?;
        let result = while_out(stage, &window, |callee, _| {
            stage.clock.advance(secs(2));
            let click = send(&window, MessageClass::Input);
            asked_about.recv().unwrap();
            answer.send(BusyAnswer::GiveUp).unwrap();
            stage.until(callee.apartment(), like!(CancelAsked));
            click.recv().unwrap_err();
        })?;
        assert_eq!(result.unwrap_err().hresult(), hresult::CALL_CANCELED);
        Ok(())
    });
}

#[test]
fn mf_10_the_busy_dialogue_switches_to_the_callee_and_goes_on() {
    play(|stage| {
        let excel = stage.sta("excel").spawn()?;
        let (in_front, front) = unbounded();
        let to = excel.apartment().clone();
        let (window, asked_about, answer) = dialogue(stage, move |dialogue| {
            dialogue.on_switch(move |busy| {
                assert_eq!(&*busy.callee.name, to.name());
                let in_front = in_front.clone();
                to.post_message(MessageClass::Activation, move || in_front.send(()).unwrap()).unwrap();
            })
        })?;
        while_out(stage, &window, |_, _| {
            stage.clock.advance(secs(3));
            let click = send(&window, MessageClass::Input);
            asked_about.recv().unwrap();
            answer.send(BusyAnswer::SwitchTo).unwrap();
            front.recv().unwrap();
            click.recv().unwrap_err();
        })?
    });
}

/// An apartment that answers so as long as the flag is set, except to creations.
fn busy_while(stage: &Stage, answer: ServerCall, left: &'static AtomicU32) -> Result<(Sta, Proxy<Counter>), CallError> {
    let filter = move || {
        incoming(move |call| {
            let busy = call.kind == CallKind::Synchronous
                && left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok();
            if busy { answer } else { ServerCall::Handled }
        })
    };
    let sta = stage.sta("excel").filter(filter).spawn()?;
    let object = sta.create(counter)?;
    Ok((sta, object))
}

/// Lets the caller's delays pass, one after the other, until somebody is asked, which is noted; `step` counts both.
fn until_asked(stage: &Stage, window: &Sta, step: &mut usize) {
    loop {
        *step += 1;
        let nth = Cell::new(0);
        let event = stage.until_any(|event| {
            let delay = event.apartment == Some(window.apartment().id())
                && matches!(event.what, What::WaitTurned { on: WaitFor::RetryTime, .. });
            let hit = delay || matches!(event.what, What::Note { .. });
            nth.set(nth.get() + usize::from(hit));
            hit && nth.get() == *step
        });
        let What::WaitTurned { until: Some(until), .. } = event.what else { return };
        stage.clock.advance(until - stage.clock.now());
    }
}

#[test]
fn mf_10_the_busy_dialogue_tries_a_busy_callee_again_before_it_asks() {
    static LEFT: AtomicU32 = AtomicU32::new(u32::MAX);
    play(|stage| {
        let (_excel, sheet) = busy_while(stage, ServerCall::RetryLater, &LEFT)?;
        let (window, asked_about, answer) = dialogue(stage, |dialogue| dialogue)?;
        let at_window = window.create(|| ())?;
        stage.begin();
        let result = thread::scope(|s| {
            let call = s.spawn(|| at_window.call(|()| sheet.call(add)).unwrap());
            let mut steps = 0;
            until_asked(stage, &window, &mut steps);
            let busy = asked_about.recv().unwrap();
            assert_eq!((busy.why, busy.elapsed), (WhyBusy::Rejected(ServerCall::RetryLater), secs(30)));
            assert_eq!(busy.to_string(), "excel has been busy for 30 s");
            assert!(steps > 30, "silently until then: {steps}");
            stage.clock.advance(secs(100));
            answer.send(BusyAnswer::GoOn).unwrap();
            until_asked(stage, &window, &mut steps);
            let busy = asked_about.recv().unwrap();
            assert_eq!(busy.elapsed, secs(160), "30 s after the first attempt that came behind the answer");
            answer.send(BusyAnswer::GiveUp).unwrap();
            call.join().unwrap()
        });
        assert_eq!(seen_as(result), REJECTED);
        assert_eq!(sheet.call(add).unwrap_err().hresult(), hresult::RETRY_LATER);
        Ok(())
    });
}

#[test]
fn mf_10_the_busy_dialogue_over_a_retry_discards_input_and_may_go_on_to_success() {
    static LEFT: AtomicU32 = AtomicU32::new(2);
    play(|stage| {
        let (_excel, sheet) = busy_while(stage, ServerCall::RetryLater, &LEFT)?;
        let set = |dialogue: BusyDialogue<_>| dialogue.retry_delay(millis(100)).input_delay(Duration::MAX);
        let (window, asked_about, answer) = dialogue(stage, set)?;
        let at_window = window.create(|| ())?;
        stage.begin();
        thread::scope(|s| {
            let call = s.spawn(|| at_window.call(|()| sheet.call(add)).unwrap());
            stage.until(window.apartment(), like!(WaitTurned { on: WaitFor::RetryTime }));
            let typed = send(&window, MessageClass::Input);
            asked(stage, &window, 1);
            stage.clock.advance(millis(100));
            asked_about.recv().unwrap();
            typed.recv().unwrap_err();
            answer.send(BusyAnswer::GoOn).unwrap();
            call.join().unwrap().unwrap();
        });
        assert_eq!(sheet.call(|sheet| sheet.0.get())?, 1);
        Ok(())
    });
}

#[test]
fn mf_10_the_busy_dialogue_asks_nobody_about_what_was_rejected_outright() {
    static LEFT: AtomicU32 = AtomicU32::new(1);
    play(|stage| {
        let (_excel, sheet) = busy_while(stage, ServerCall::Rejected, &LEFT)?;
        let (window, asked_about, _answer) = dialogue(stage, |dialogue| dialogue)?;
        assert_eq!(seen_as(window.create(|| ())?.call(|()| sheet.call(add))?), REJECTED);
        assert!(asked_about.is_empty());
        Ok(())
    });
}

#[test]
fn mf_10_a_busy_dialogue_that_panics_gives_up_a_rejected_call_and_goes_on_with_one_that_is_out() {
    static LEFT: AtomicU32 = AtomicU32::new(1);
    play(|stage| {
        let panics = |_: &BusyCall| -> BusyAnswer { panic!("no screen") };
        let filter = move || BusyDialogue::new(panics).retry_delay(Duration::ZERO).input_delay(Duration::ZERO);
        let window = stage.sta("window").filter(filter).spawn()?;
        let (_excel, sheet) = busy_while(stage, ServerCall::RetryLater, &LEFT)?;
        assert_eq!(seen_as(window.create(|| ())?.call(|()| sheet.call(add))?), REJECTED);
        let result = while_out(stage, &window, |_, _| {
            let click = send(&window, MessageClass::Input);
            asked(stage, &window, 1);
            click.recv().unwrap_err();
        })?;
        assert_eq!(stage.count(window.apartment(), like!(Contained { place: "message_pending" })), 1);
        result
    });
}

#[test]
fn mf_10_a_nested_calls_dialogue_starts_with_a_patience_of_its_own() {
    let asked = Rc::new(Cell::new(0));
    let asks = Rc::clone(&asked);
    let filter = BusyDialogue::new(move |_: &BusyCall| (asks.set(asks.get() + 1), BusyAnswer::GoOn).1);
    let click = |call: u64, elapsed: u64| {
        let mut message = PendingMessage::new("excel", MessageClass::Input).elapsed(secs(elapsed));
        message.call.count = call;
        filter.message_pending(&message)
    };
    assert_eq!(click(1, 1).asks_again(), Some(secs(2)));
    assert_eq!((click(1, 3).asks_again(), asked.get()), (None, 1));
    assert_eq!(click(1, 4).asks_again(), Some(secs(3)));
    // An inner call, on top of the first.
    assert_eq!(click(2, 1).asks_again(), Some(secs(2)));
    assert_eq!((click(2, 3).asks_again(), asked.get()), (None, 2));
    for class in [MessageClass::Paint, MessageClass::Activation, MessageClass::User] {
        let message = PendingMessage::new("excel", class).elapsed(secs(99));
        assert_eq!(filter.message_pending(&message), PendingAnswer::wait_def_process());
    }
}

#[test]
fn mf_10_whoever_goes_on_is_asked_again_after_the_whole_delay_whatever_was_asked_meanwhile() {
    let asked = Rc::new(Cell::new(0));
    let asks = Rc::clone(&asked);
    let filter = BusyDialogue::new(move |_: &BusyCall| (asks.set(asks.get() + 1), BusyAnswer::GoOn).1);
    let rejected = |call: u64, attempt: u32, elapsed: u64| {
        let mut call_rejected = RejectedCall::new("excel", ServerCall::RetryLater).attempt(attempt, secs(elapsed));
        call_rejected.call.count = call;
        filter.retry_rejected(&call_rejected)
    };
    assert_eq!((rejected(1, 30, 30), asked.get()), (Retry::Now, 1));
    assert_eq!((rejected(1, 31, 30), asked.get()), (Retry::After(secs(1)), 1));
    // While it waits to be tried again something is served that calls out, and is asked about.
    let mut message = PendingMessage::new("word", MessageClass::Input).elapsed(secs(3));
    message.call.count = 2;
    assert_eq!((filter.message_pending(&message).action(), asked.get()), (PendingAction::WaitDefProcess, 2));
    assert_eq!((rejected(1, 32, 36), asked.get()), (Retry::After(secs(1)), 2));
    assert_eq!((rejected(1, 90, 60), asked.get()), (Retry::Now, 3));
    // However many calls were asked about, each is remembered while it is new.
    (3..1_000).for_each(|call| assert_eq!(rejected(call, 30, 30), Retry::Now));
    assert_eq!((rejected(999, 31, 31), asked.get()), (Retry::After(secs(1)), 1_000));
}

#[test]
fn mf_10_a_dialogue_that_panicked_counts_as_shown() {
    let asked = Rc::new(Cell::new(0));
    let asks = Rc::clone(&asked);
    let filter = BusyDialogue::new(move |_: &BusyCall| -> BusyAnswer {
        asks.set(asks.get() + 1);
        panic!("no screen")
    });
    let click = |elapsed| {
        let message = PendingMessage::new("excel", MessageClass::Input).elapsed(secs(elapsed));
        catch_unwind(AssertUnwindSafe(|| filter.message_pending(&message)))
    };
    assert!(click(3).is_err());
    assert_eq!((click(4).unwrap().asks_again(), asked.get()), (Some(secs(3)), 1));
    assert!(click(7).is_err());
}

#[test]
fn mf_10_the_busy_dialogue_s_hook_may_do_whatever_a_filter_may() {
    play(|stage| {
        let (told, tells) = unbounded();
        let (process, clock, busy) = (stage.process.clone(), stage.clock.clone(), BusyState::new());
        let other = stage.sta("third").spawn()?;
        let at_other = other.create(counter)?;
        let to_other = at_other.clone();
        let filter = move || {
            let own = busy.clone();
            let hook = move |_: &BusyCall| {
                // Long, and in the middle of it the filter is exchanged: this is its last reference.
                clock.advance(secs(100));
                assert!(register_filter(Some(Rc::new(RetryFor::new(secs(1)))))?.is_some());
                let guard = own.begin();
                assert_eq!(discard_messages(MessageClass::Input)?, 0, "it has thrown them away before");
                assert_eq!(discard_messages(MessageClass::User)?, 1);
                let snapshot = process.snapshot();
                let subscription = process.subscribe(2);
                process.note("in the hook");
                to_other.post(add)?;
                let refused = to_other.call(add).unwrap_err().hresult();
                drop((guard, subscription));
                told.send((refused, snapshot.apartments.len())).unwrap();
                Ok::<_, CallError>(BusyAnswer::GoOn)
            };
            (BusyDialogue::new(move |busy: &BusyCall| hook(busy).unwrap()).input_delay(Duration::ZERO), busy)
        };
        let window = stage.sta("window").filter(filter).spawn()?;
        while_out(stage, &window, |_, _| {
            let user = send(&window, MessageClass::User);
            asked(stage, &window, 1);
            let click = send(&window, MessageClass::Input);
            asked(stage, &window, 2);
            assert!(user.recv().is_err() && click.recv().is_err());
            assert_eq!(tells.recv().unwrap().0, hresult::CANT_CALL_OUT_IN_FILTER);
        })??;
        assert_eq!(stage.count(window.apartment(), like!(Contained)), 0);
        assert_eq!(at_other.call(|counter| counter.0.get())?, 1);
        Ok(())
    });
}

#[test]
fn mf_10_a_busy_guard_that_is_forgotten_keeps_it_busy_and_nested_ones_count() {
    play(|stage| {
        let busy = BusyState::new();
        let filter = busy.clone();
        let sta = stage.sta("sta").filter(|| filter).spawn()?;
        let at = sta.create(counter)?;
        let guards = [busy.begin(), busy.begin(), busy.clone().begin()];
        for guard in guards {
            assert_eq!(seen_as(at.call(add)), LATER);
            // Elsewhere, by a panic, while the call may come in.
            thread::spawn(move || {
                let _held = guard;
                panic!("expected");
            })
            .join()
            .unwrap_err();
        }
        at.call(add)?;
        forget(busy.begin());
        assert_eq!(seen_as(at.call(add)), LATER);
        at.post(add)?;
        assert!(busy.is_busy());
        Ok(())
    });
}

// ---- Discarding

#[test]
fn mf_10_messages_discarded_in_a_nested_wait_are_not_asked_about_in_the_outer_one() {
    play(|stage| {
        let filter = || pending(|_| PendingAnswer::wait_def_process().ask_again_after(secs(1)));
        let window = stage.sta("window").filter(filter).spawn()?;
        let at_window = window.create(|| ())?;
        while_out(stage, &window, |_, open| {
            let clicks = [send(&window, MessageClass::Input), send(&window, MessageClass::Input)];
            asked(stage, &window, 2);
            // Served in the wait.
            let discarded = at_window.call(|()| discard_messages(MessageClass::Input).unwrap()).unwrap();
            assert_eq!(discarded, 2);
            clicks.iter().for_each(|click| assert!(click.recv().is_err()));
            let (before, last) = (stage.count(window.apartment(), like!(PendingAsked)), like!(PendingAsked));
            stage.clock.advance(secs(5));
            at_window.call(|()| ()).unwrap();
            assert_eq!((before, stage.count(window.apartment(), last)), (2, 2));
            open();
        })?
    });
}

#[test]
fn mf_8_a_message_that_its_own_question_discards_does_not_run() {
    play(|stage| {
        let filter = || {
            pending(|message| {
                assert_eq!(discard_messages(message.class).unwrap(), 1);
                PendingAnswer::wait_def_process().ask_again_after(secs(1))
            })
        };
        let window = stage.sta("window").filter(filter).spawn()?;
        while_out(stage, &window, |_, open| {
            for class in [MessageClass::Paint, MessageClass::Activation, MessageClass::User] {
                send(&window, class).recv().unwrap_err();
            }
            stage.clock.advance(secs(5));
            open();
        })??;
        assert_eq!(stage.count(window.apartment(), like!(PendingAsked)), 3);
        assert_eq!(stage.count(window.apartment(), like!(MessageBegan)), 0);
        Ok(())
    });
}

#[test]
fn mf_10_discarded_messages_give_their_room_to_who_waits_for_it() {
    play(|stage| {
        let ui = stage.sta("ui").capacity(2).enter()?;
        let at_ui = ui.create(counter)?;
        let sent: Vec<_> = (0..2).map(|_| send_to(&ui, MessageClass::Input)).collect();
        stage.begin();
        thread::scope(|s| {
            s.spawn(|| at_ui.with(&PostOptions::new().wait_for_room()).post(add).unwrap());
            stage.until_any(|event| matches!(event.what, What::WaitBegan { on: WaitFor::Room, .. }));
            assert_eq!(discard_messages(MessageClass::User).unwrap(), 0);
            assert_eq!(ui.apartment().queued(), 2);
            assert_eq!(discard_messages(MessageClass::Input).unwrap(), 2);
        });
        assert_eq!(ui.apartment().queued(), 1);
        assert_eq!(ui.pump(), 1);
        assert_eq!(at_ui.call(|counter| counter.0.get())?, 1);
        sent.into_iter().for_each(|runs| assert!(runs.recv().is_err()));
        assert_eq!(stage.count(ui.apartment(), like!(MessageDropped { class: MessageClass::Input })), 2);
        Ok(())
    });
}

fn send_to(ui: &apartment::Entered, class: MessageClass) -> Receiver<()> {
    let (ran, runs) = unbounded();
    ui.apartment().post_message(class, move || ran.send(()).unwrap()).unwrap();
    runs
}

#[test]
fn mf_10_the_closures_of_discarded_messages_are_dropped_with_no_lock_held_and_their_panics_contained() {
    /// Uses in its destructor what takes the apartment's lock, and panics.
    struct Falls(apartment::Apartment, crossbeam_channel::Sender<usize>);
    impl Drop for Falls {
        fn drop(&mut self) {
            self.0.post_message(MessageClass::Input, || ()).unwrap();
            self.1.send(self.0.queued()).unwrap();
            panic!("dropped");
        }
    }
    play(|stage| {
        let ui = stage.sta("ui").enter()?;
        let (fell, falls) = unbounded();
        for _ in 0..2 {
            let falls = Falls(ui.apartment().clone(), fell.clone());
            ui.apartment().post_message(MessageClass::Input, move || drop(falls))?;
        }
        stage.begin();
        assert_eq!(discard_messages(MessageClass::Input)?, 2);
        assert_eq!(falls.try_iter().collect::<Vec<_>>(), [1, 2]);
        let place = "the destructor of a closure that never ran";
        let contained = stage.all(ui.apartment(), like!(Contained));
        assert_eq!(contained.len(), 2);
        assert!(
            contained.iter().all(|event| matches!(&event.what, What::Contained { place: told, .. } if *told == place))
        );
        assert_eq!(ui.pump(), 2, "what came meanwhile stays");
        Ok(())
    });
}

#[test]
fn mf_10_messages_are_discarded_on_their_own_thread_only() {
    play(|stage| {
        let not_here = || discard_messages(MessageClass::Input).unwrap_err().hresult();
        assert_eq!(not_here(), hresult::NOT_SUPPORTED);
        let mta = stage.mta().spawn()?;
        let entered = mta.enter()?;
        assert_eq!(not_here(), hresult::NOT_SUPPORTED);
        entered.leave();
        Ok(())
    });
}

// ---- Several filters as one

/// Says the same whatever it is asked, and counts.
struct Says(ServerCall, Retry, PendingAnswer, Rc<Cell<u32>>);

impl MessageFilter for Says {
    fn handle_incoming(&self, _: &IncomingCall) -> ServerCall {
        self.3.set(self.3.get() + 1);
        self.0
    }

    fn retry_rejected(&self, _: &RejectedCall) -> Retry {
        self.3.set(self.3.get() + 1);
        self.1
    }

    fn message_pending(&self, _: &PendingMessage) -> PendingAnswer {
        self.3.set(self.3.get() + 1);
        self.2
    }
}

#[test]
fn mf_10_of_several_filters_the_first_with_an_opinion_is_heard() {
    let count = Rc::new(Cell::new(0));
    let says = |call, retry, pending| Says(call, retry, pending, Rc::clone(&count));
    let (wait, later) = (PendingAnswer::wait_def_process(), Retry::After(secs(1)));
    let none = || says(ServerCall::Handled, Retry::GiveUp, wait);
    let one = says(ServerCall::RetryLater, later, wait.ask_again_after(secs(3)));
    let two = says(ServerCall::Rejected, Retry::Now, PendingAnswer::wait_no_process().ask_again_after(secs(5)));
    let filter = (none(), one, two);
    let incoming = IncomingCall::new(CallType::TopLevel);
    let rejected = RejectedCall::new("excel", ServerCall::RetryLater);
    let message = PendingMessage::new("excel", MessageClass::Paint);
    assert_eq!((filter.handle_incoming(&incoming), count.take()), (ServerCall::RetryLater, 2));
    assert_eq!((filter.retry_rejected(&rejected), count.take()), (later, 2));
    let pending = filter.message_pending(&message);
    assert_eq!((pending.action(), pending.asks_again()), (PendingAction::WaitNoProcess, Some(secs(3))));
    assert_eq!(count.take(), 3, "all of them are asked about a message");
    // Nobody has one: as without a filter. And tuples of tuples are tuples.
    let filter = ((none(), none()), none(), (none(), none(), none(), none()));
    assert_eq!(filter.handle_incoming(&incoming), ServerCall::Handled);
    assert_eq!(filter.retry_rejected(&rejected), Retry::GiveUp);
    assert_eq!((filter.message_pending(&message), count.take()), (wait, 21));
}

#[test]
fn mf_10_of_two_answers_about_a_message_the_more_cautious_one_holds() {
    let answers = [PendingAnswer::cancel_call(), PendingAnswer::wait_no_process(), PendingAnswer::wait_def_process()];
    for (at, first) in answers.into_iter().enumerate() {
        for (other, second) in answers.into_iter().enumerate() {
            assert_eq!(first.and(second), answers[at.min(other)]);
        }
        let [soon, late] = [1, 9].map(|s| first.ask_again_after(secs(s)));
        assert_eq!((soon.and(late), late.and(soon), late.and(first)), (soon, soon, late));
    }
}

#[test]
fn mf_10_a_busy_guard_and_retries_go_together_in_one_apartment() {
    static LEFT: AtomicU32 = AtomicU32::new(1);
    play(|stage| {
        let (_excel, sheet) = busy_while(stage, ServerCall::RetryLater, &LEFT)?;
        let busy = BusyState::new();
        let filter = (busy.clone(), RejectWhileOut::new(), RetryFor::new(secs(30)));
        let word = stage.sta("word").filter(|| filter).spawn()?;
        let text = word.create(counter)?;
        let guard = busy.begin();
        assert_eq!(seen_as(text.call(add)), LATER);
        drop(guard);
        stage.begin();
        thread::scope(|s| {
            let call = s.spawn(|| text.call(|_| sheet.call(add)));
            stage.until(word.apartment(), like!(WaitTurned { on: WaitFor::RetryTime }));
            assert_eq!(seen_as(text.call(add)), LATER, "a call that waits to be tried again is out");
            stage.clock.advance(millis(100));
            call.join().unwrap().unwrap().unwrap();
        });
        assert_eq!(sheet.call(|sheet| sheet.0.get())?, 1);
        Ok(())
    });
}

#[test]
fn mf_10_whatever_leads_to_a_filter_is_one() {
    play(|stage| {
        let asked = Rc::new(Cell::new(0));
        let says = || Says(ServerCall::Rejected, Retry::GiveUp, PendingAnswer::cancel_call(), Rc::clone(&asked));
        let _ui = stage.sta("ui").enter()?;
        let kept: Rc<dyn MessageFilter> = Rc::new(says());
        register_filter(Some(Rc::new((Rc::clone(&kept), Box::new(says()) as Box<dyn MessageFilter>))))?;
        let both = register_filter(None)?.unwrap();
        let own = says();
        let all = (&own, both, kept);
        let call = IncomingCall::new(CallType::TopLevel);
        assert_eq!((all.handle_incoming(&call), asked.take()), (ServerCall::Rejected, 1));
        let message = PendingMessage::new("excel", MessageClass::Paint);
        assert_eq!((all.message_pending(&message), asked.take()), (PendingAnswer::cancel_call(), 4));
        let rejected = RejectedCall::new("excel", ServerCall::Rejected);
        assert_eq!((all.retry_rejected(&rejected), asked.take()), (Retry::GiveUp, 4));
        Ok(())
    });
}

#[test]
fn mf_10_a_filter_can_be_asked_by_a_test_of_its_user() {
    let line = line!() + 1;
    let call = IncomingCall::new(CallType::AsyncCallPending).elapsed(secs(2));
    assert_eq!((call.kind, call.elapsed, call.caller.apartment.is_none()), (CallKind::OneWay, Some(secs(2)), true));
    assert_eq!(call.target.location.line(), line);
    assert_eq!(IncomingCall::new(CallType::Nested).kind, CallKind::Synchronous);
    let call = RejectedCall::new("excel", ServerCall::Rejected).attempt(3, secs(4));
    let expected = ("excel", ServerCall::Rejected, 3, secs(4));
    assert_eq!((&*call.callee.name, call.rejected, call.attempts, call.elapsed), expected);
    let message = PendingMessage::new("excel", MessageClass::User).elapsed(secs(1));
    assert_eq!((&*message.callee.name, message.class, message.elapsed), ("excel", MessageClass::User, secs(1)));
}
