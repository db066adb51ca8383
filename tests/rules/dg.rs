//! DG: seeing. Here DG-2 as a recording from the making of the process.

use crate::stage::{Answers, Stage, gate, hresult, incoming, like, millis, pending, play, secs};
use apartment::{
    Apartment, ApartmentHow, CallError, CallKind, CallMade, CallOptions, CallRef, CallType, CancelHandle, CancelReason,
    Clock, Event, HeldBy, MessageClass, Outcome, PendingAction, PendingAnswer, PendingType, PostOptions, Process,
    Proxy, Reentrancy, RejectedCall, Retry, Route, ServerCall, Serves, Sta, WaitEnd, WaitFor, What, current_call,
    register_filter,
};
use crossbeam_channel::unbounded;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::thread;

fn add(count: &Cell<u32>) {
    count.set(count.get() + 1);
}

/// The name of an event's kind.
fn kind(what: &What) -> String {
    let debug = format!("{what:?}");
    debug.split([' ', '(']).next().unwrap_or_default().to_owned()
}

fn kinds(events: &[Event]) -> Vec<String> {
    events.iter().map(|event| kind(&event.what)).collect()
}

fn made(event: &Event) -> &CallMade {
    match &event.what {
        What::CallMade(made) => made,
        other => panic!("{other:?}"),
    }
}

/// The events of one call, in order.
fn of_call(stage: &Stage, call: CallRef) -> Vec<Event> {
    stage.events().into_iter().filter(|event| event.call.is_some_and(|of| of.id == call.id)).collect()
}

// ---- the recording

#[test]
fn dg_2_a_recording_begins_with_the_making_of_the_process_and_has_no_gaps() {
    let process = Process::builder().name("played").record(100).build();
    let recording = process.recording().unwrap();
    assert!(recording.events().is_empty());
    let sta = process.sta("a").spawn().unwrap();
    sta.create(|| ()).unwrap().call(|()| ()).unwrap();
    drop(sta);
    let events = recording.events();
    assert!(matches!(&events[0].what, What::ApartmentBegan { name, .. } if &**name == "a"));
    assert!(events.iter().map(|event| event.seq).eq(1..=u64::try_from(events.len()).unwrap()));
}

#[test]
fn dg_2_below_its_bound_a_recording_loses_nothing_and_says_what_it_lost_above() {
    let process = Process::builder().record(10).build();
    (1..=10).for_each(|n| process.note(format!("note {n}")));
    let recording = process.recording().unwrap();
    assert_eq!(kinds(&recording.events()), ["Note"; 10]);
    (11..=15).for_each(|n| process.note(format!("note {n}")));
    let events = recording.events();
    assert_eq!((events.len(), &*kinds(&events)[10]), (11, "Lost"));
    assert!(matches!(events[10].what, What::Lost { count: 5 }), "{:?}", events[10]);
    let last = events[9].clone();
    assert!(matches!(&last.what, What::Note { text } if &**text == "note 10"));
    assert!(events[10].seq > last.seq);
}

#[test]
fn dg_2_when_nobody_listens_there_is_no_recording_and_ids_are_given_all_the_same() {
    play(|_| {
        let quiet = Process::new();
        assert!(quiet.recording().is_none());
        let sta = quiet.sta("a").spawn()?;
        let at = sta.create(|| ())?;
        let (one, two) = (at.call(|()| current_call().unwrap())?, at.call(|()| current_call().unwrap())?);
        assert_eq!(one.id().count + 1, two.id().count, "counted by the thread that calls");
        assert_ne!(one.chain(), two.chain());
        assert_eq!(one.caller().thread, two.caller().thread);
        assert_eq!(one.id().thread, one.caller().thread);
        Ok(())
    });
}

#[test]
fn dg_2_until_finds_past_events_and_waits_for_later_ones() {
    let process = Process::builder().record(100).build();
    let recording = process.recording().unwrap();
    let note =
        |expected: &'static str| move |event: &Event| matches!(&event.what, What::Note { text } if &**text == expected);
    process.note("past");
    assert_eq!(recording.until(note("past")).seq, 1);
    thread::scope(|s| {
        let waits = s.spawn(|| recording.until(note("later")).seq);
        process.note("something else");
        process.note("later");
        assert_eq!(waits.join().unwrap(), 3);
    });
}

// ---- the header

#[test]
fn dg_2_an_event_has_the_time_of_the_process_clock() {
    play(|stage| {
        let sta = stage.sta("a").spawn()?;
        let at = sta.create(|| ())?;
        stage.clock.advance(secs(2));
        stage.begin();
        at.call(|()| stage.clock.advance(millis(500)))?;
        assert_eq!(stage.until(sta.apartment(), like!(Began)).at, secs(2));
        assert_eq!(stage.until(sta.apartment(), like!(Ended)).at, millis(2_500));
        Ok(())
    });
}

#[test]
fn dg_2_an_event_names_whose_state_changed_and_who_did_it() {
    play(|stage| {
        let (a, b) = (stage.sta("a").spawn()?, stage.sta("b").spawn()?);
        let (at_a, at_b) = (a.create(|| ())?, b.create(|| ())?);
        stage.begin();
        at_a.call(|()| at_b.call(|()| ()).unwrap())?;
        let outer = stage.until(a.apartment(), like!(Began));
        let nested = stage.until(b.apartment(), like!(Began));
        assert_ne!(outer.thread, nested.thread, "each on its own thread");
        // What the caller does to the callee's mailbox: the callee's state, the caller's thread.
        let queued = stage.until(b.apartment(), like!(Queued));
        assert_eq!((queued.apartment, queued.thread), (Some(b.apartment().id()), outer.thread));
        let made = stage.until(a.apartment(), like!(CallMade));
        assert_eq!((made.apartment, made.thread), (Some(a.apartment().id()), outer.thread));
        // A thread in no apartment has its own lane.
        let outside = stage.until_any(|event| matches!(event.what, What::CallMade(_)));
        assert_eq!(outside.apartment, None);
        assert!(outside.thread != outer.thread && outside.thread != nested.thread);
        Ok(())
    });
}

#[test]
fn dg_2_events_of_a_call_have_its_id_its_chain_and_the_attempt() {
    play(|stage| {
        let filter = || {
            let refused = Cell::new(false);
            incoming(move |call| match call.kind {
                CallKind::Synchronous if !refused.replace(true) => ServerCall::RetryLater,
                _ => ServerCall::Handled,
            })
        };
        let (a, b) = (stage.sta("a").filter(filter).spawn()?, stage.sta("b").spawn()?);
        let (at_a, at_b) = (a.create(|| ())?, b.create(|| ())?);
        stage.begin();
        let retries = || CallOptions::new().retry(|_: &RejectedCall| Retry::Now);
        let context = at_b.call(|()| at_a.with(&retries()).call(|()| current_call().unwrap()).unwrap())?;
        let nested = stage.until(b.apartment(), like!(CallMade)).call.unwrap();
        assert_eq!((nested.id, nested.chain, nested.attempt), (context.id(), context.chain(), 1));
        let top = stage.until_any(|event| matches!(event.what, What::CallMade(_))).call.unwrap();
        assert_eq!((top.id, top.chain.0), (nested.chain.0, top.id), "a chain's id is that of its top-level call");
        let attempts: Vec<_> = of_call(stage, nested)
            .iter()
            .filter(|event| event.apartment == Some(a.apartment().id()))
            .map(|event| (kind(&event.what), event.call.unwrap().attempt))
            .collect();
        let expected = [("Queued", 1), ("Filtered", 1), ("Queued", 2), ("Filtered", 2), ("Began", 2), ("Ended", 2)];
        assert_eq!(attempts, expected.map(|(kind, attempt)| (kind.to_owned(), attempt)));
        Ok(())
    });
}

/// The frame of the one event of that kind.
fn frame(stage: &Stage, nth: usize, at: &Apartment, like: impl Fn(&What) -> bool) -> u16 {
    stage.until_nth(nth, at, like).frame
}

#[test]
fn dg_2_a_frame_says_how_deep_a_thread_stands() {
    play(|stage| {
        let (a, b) = (stage.sta("a").spawn()?, stage.sta("b").spawn()?);
        let (at_a, own, at_b) = (a.create(|| ())?, a.create(|| 1)?, b.create(|| ())?);
        stage.begin();
        let callback = || at_a.call(|()| own.call(|_| ()).unwrap()).unwrap();
        at_a.call(|()| {
            let callee = || {
                callback();
                a.apartment().post_message(MessageClass::Paint, || ()).unwrap();
                stage.until(a.apartment(), like!(MessageEnded));
            };
            at_b.call(|()| callee()).unwrap();
        })?;
        let a = a.apartment();
        // The call, its wait, the callback served in it, the direct call in that; a message, in the wait again.
        assert_eq!(frame(stage, 1, a, like!(Began)), 0);
        assert_eq!(frame(stage, 1, a, like!(CallMade)), 1);
        assert_eq!(frame(stage, 1, a, like!(WaitBegan)), 1);
        assert_eq!(frame(stage, 2, a, like!(Began)), 2);
        assert_eq!(frame(stage, 3, a, like!(Began)), 3);
        assert_eq!(frame(stage, 1, a, like!(MessageBegan)), 2);
        // An end has the frame of its beginning: that is how the two are matched when others are lost.
        assert_eq!(frame(stage, 1, a, like!(Ended)), 3);
        assert_eq!(frame(stage, 2, a, like!(Ended)), 2);
        assert_eq!(frame(stage, 1, a, like!(MessageEnded)), 2);
        assert_eq!(frame(stage, 1, a, like!(WaitEnded)), 1);
        assert_eq!(frame(stage, 3, a, like!(Ended)), 0);
        Ok(())
    });
}

#[test]
fn dg_2_what_is_served_before_a_retry_at_once_is_inside_the_calls_wait() {
    play(|stage| {
        let filter = || {
            let refused = Cell::new(false);
            incoming(move |call| match call.kind {
                CallKind::Synchronous if !refused.replace(true) => ServerCall::RetryLater,
                _ => ServerCall::Handled,
            })
        };
        let busy = stage.sta("busy").filter(filter).spawn()?;
        let at_busy = busy.create(|| Cell::new(0))?;
        let ui = stage.sta("ui").enter()?;
        let at_ui = ui.create(|| Cell::new(0))?;
        stage.begin();
        // While the policy is asked nothing is served, so the post is there when it answers.
        let policy = |_: &RejectedCall| {
            at_ui.post(add).unwrap();
            Retry::Now
        };
        at_busy.with(&CallOptions::new().retry(policy)).call(add)?;
        assert_eq!(stage.count(ui.apartment(), like!(Ended)), 1);
        let wait = frame(stage, 1, ui.apartment(), like!(WaitBegan));
        assert_eq!(frame(stage, 1, ui.apartment(), like!(Began)), wait + 1);
        Ok(())
    });
}

#[test]
fn dg_2_a_wait_that_turns_stays_the_same_wait() {
    play(|stage| {
        let filter = || {
            let refused = Cell::new(false);
            incoming(move |call| match call.kind {
                CallKind::Synchronous if !refused.replace(true) => ServerCall::RetryLater,
                _ => ServerCall::Handled,
            })
        };
        let busy = stage.sta("busy").capacity(1).filter(filter).spawn()?;
        let (caller, at_busy) = (stage.sta("caller").spawn()?, busy.create(|| ())?);
        let at_caller = caller.create(|| ())?;
        let c = caller.apartment();
        let key = fill(stage, &busy, &at_busy);
        stage.begin();
        thread::scope(|s| {
            let options = || {
                let later = |_: &RejectedCall| Retry::After(secs(1));
                CallOptions::new().wait_for_room().retry(later)
            };
            s.spawn(move || at_caller.call(|()| at_busy.with(&options()).call(|()| ()).unwrap()).unwrap());
            stage.until(c, like!(WaitTurned { on: WaitFor::Room }));
            key.open();
            stage.until(c, like!(WaitTurned { on: WaitFor::RetryTime }));
            stage.clock.advance(secs(1));
        });
        let turns: Vec<_> = stage
            .all(c, |what| matches!(what, What::WaitBegan { .. } | What::WaitTurned { .. } | What::WaitEnded { .. }))
            .into_iter()
            .map(|event| match event.what {
                What::WaitBegan { on, .. } => format!("began for {on:?}"),
                What::WaitTurned { on, until } => format!("turned to {on:?} until {until:?}"),
                What::WaitEnded { by } => format!("ended by {by:?}"),
                other => panic!("{other:?}"),
            })
            // Between room and the rejection the wait may be for the reply too briefly to be seen.
            .filter({
                let mut rejected = false;
                move |turn| {
                    rejected |= turn.contains("RetryTime");
                    rejected || !turn.contains("turned to Reply")
                }
            })
            .collect();
        let expected = [
            "began for Reply",
            "turned to Room until None",
            "turned to RetryTime until Some(1s)",
            "turned to Reply until None",
            "ended by Done",
        ];
        assert_eq!(turns, expected);
        let depths: Vec<_> = stage.all(c, like!(WaitTurned)).iter().map(|event| event.frame).collect();
        assert!(depths.iter().all(|depth| *depth == depths[0]), "all of one wait, all at one depth: {depths:?}");
        Ok(())
    });
}

/// Occupies an STA with room for one until the key is turned, and takes that room.
fn fill(stage: &Stage, sta: &Sta, object: &Proxy<()>) -> crate::stage::Key {
    let (key, gate) = gate();
    let began = stage.count(sta.apartment(), like!(Began));
    object.post(move |()| gate.pass()).unwrap();
    stage.until_nth(began + 1, sta.apartment(), like!(Began));
    object.post(|()| ()).unwrap();
    key
}

// ---- order

/// Three STAs that call each other in chains, posts and messages among them.
fn busy_play(stage: &Stage) -> Result<[Sta; 3], CallError> {
    fn around(depth: usize, next: usize, ring: &[Proxy<Cell<u32>>]) {
        if depth > 0 {
            ring[next % 3].post(add).unwrap();
            ring[next % 3].call(|_| around(depth - 1, next + 1, ring)).unwrap();
        }
    }
    let stas = [stage.sta("0").spawn()?, stage.sta("1").spawn()?, stage.sta("2").spawn()?];
    let ring = &stas.each_ref().map(|sta| sta.create(|| Cell::new(0)).unwrap());
    let windows = &stas.each_ref().map(|sta| sta.apartment().clone());
    stage.begin();
    thread::scope(|s| {
        for (first, window) in windows.iter().enumerate() {
            s.spawn(move || {
                for _ in 0..30 {
                    window.post_message(MessageClass::Paint, || ()).unwrap();
                    around(4, first, ring);
                }
            });
        }
    });
    // What was posted last is served last.
    ring.iter().try_for_each(|at| at.call(|_| ()))?;
    Ok(stas)
}

#[test]
fn dg_2_a_cause_has_a_smaller_number_than_its_effect() {
    play(|stage| {
        let _stas = busy_play(stage)?;
        let events = stage.events();
        assert!(events.windows(2).all(|two| two[0].seq + 1 == two[1].seq && two[0].at <= two[1].at));
        let mut calls: HashMap<_, Vec<String>> = HashMap::new();
        for event in &events {
            if let Some(call) = event.call {
                calls.entry(call.id).or_default().push(kind(&event.what));
            }
        }
        let synchronous = ["CallMade", "WaitBegan", "Queued", "Began", "Ended", "WaitEnded", "Returned"];
        let post = ["CallMade", "Queued", "Began", "Ended"];
        let message = ["CallMade", "MessageQueued", "MessageBegan", "MessageEnded"];
        let mut counts = [0; 3];
        for (call, steps) in calls {
            // Calls that a wait passes over tell so; nobody's policy does here.
            let at = [&synchronous[..], &post, &message].iter().position(|expected| *expected == steps);
            let at = at.unwrap_or_else(|| panic!("{call}: {steps:?}"));
            counts[at] += 1;
        }
        assert_eq!(counts, [3 * 30 * 4 + 3, 3 * 30 * 4, 3 * 30]);
        Ok(())
    });
}

#[test]
fn dg_2_the_order_of_one_apartments_events_is_that_in_which_they_happened() {
    play(|stage| {
        let sta = stage.sta("a").spawn()?;
        let at = &sta.create(|| Cell::new(0))?;
        stage.begin();
        thread::scope(|s| {
            for _ in 0..4 {
                s.spawn(move || {
                    for _ in 0..100 {
                        at.post(add).unwrap();
                        at.call(add).unwrap();
                    }
                });
            }
        });
        at.call(add)?;
        // Every gauge follows from the one before it.
        let mut room = 0;
        for event in stage.all(sta.apartment(), |_| true) {
            match event.what {
                What::Queued { queued, capacity } => {
                    room += 1;
                    assert_eq!((queued, capacity), (room, 10_000));
                }
                What::Began { queued, .. } => {
                    room -= 1;
                    assert_eq!(queued, room);
                }
                _ => {}
            }
        }
        assert_eq!(room, 0);
        assert_eq!(at.call(Cell::get)?, 801);
        Ok(())
    });
}

#[test]
fn dg_2_calls_of_one_thread_are_served_and_told_in_frames_that_nest() {
    play(|stage| {
        let stas = busy_play(stage)?;
        for sta in &stas {
            let thread = stage.until(sta.apartment(), like!(Began)).thread;
            let mut open: Vec<(u16, CallRef)> = Vec::new();
            for event in stage.events().into_iter().filter(|event| event.thread == thread) {
                let Some(call) = event.call else { continue };
                match event.what {
                    What::Began { .. } | What::WaitBegan { .. } | What::MessageBegan { .. } => {
                        assert_eq!(usize::from(event.frame), open.len());
                        open.push((event.frame, call));
                    }
                    What::Ended { .. } | What::WaitEnded { .. } | What::MessageEnded { .. } => {
                        assert_eq!(open.pop(), Some((event.frame, call)), "last in, first out");
                    }
                    _ => {}
                }
            }
            assert!(open.is_empty());
        }
        Ok(())
    });
}

#[test]
fn dg_2_a_revoke_is_told_before_the_canceller_comes_back() {
    play(|stage| {
        let sta = stage.sta("a").spawn()?;
        let at = sta.create(|| ())?;
        let (key, gate) = gate();
        at.post(move |()| gate.pass())?;
        stage.until_nth(2, sta.apartment(), like!(Began));
        let cancel = CancelHandle::new();
        stage.begin();
        thread::scope(|s| {
            let call = s.spawn(|| at.with(&CallOptions::new().cancel(&cancel)).call(|()| ()).unwrap_err());
            stage.until(sta.apartment(), like!(Queued));
            cancel.cancel();
            stage.process.note("cancelled");
            call.join().unwrap();
        });
        let noted = stage.until_any(|event| matches!(event.what, What::Note { .. }));
        let asked = stage.until(sta.apartment(), like!(CancelAsked { why: CancelReason::Handle }));
        let revoked = stage.until(sta.apartment(), like!(Revoked { why: CancelReason::Handle, queued: 0 }));
        assert!(asked.seq < revoked.seq && revoked.seq < noted.seq);
        assert_eq!((asked.thread, revoked.thread), (noted.thread, noted.thread), "who cancelled");
        assert_eq!((asked.call, revoked.call), (revoked.call, of_first_wait(stage)));
        key.open();
        Ok(())
    });
}

fn of_first_wait(stage: &Stage) -> Option<CallRef> {
    stage.until_any(|event| matches!(event.what, What::WaitBegan { .. })).call
}

// ---- the kinds

#[test]
fn dg_2_an_apartments_life_is_told() {
    play(|stage| {
        let process = Process::builder().name("played").clock(Clock::driven()).record(1_000).build();
        let spawned = process.sta("spawned").capacity(5).reentrancy(Reentrancy::SameCausality).spawn()?;
        let entered = process.sta("entered").enter()?;
        let mta = process.mta().name("pool").threads(1).spawn()?;
        let ids = [spawned.apartment().id(), entered.apartment().id(), mta.apartment().id()];
        let object = spawned.create(|| 7_u8)?;
        let kept = spawned.create(|| 8_u8)?;
        let (first, second) = (object.object_id(), kept.object_id());
        drop(object);
        kept.call(|_| ())?;
        drop((mta, entered, spawned));
        let recording = process.recording().unwrap();
        let events = recording.events();
        let told = |at: usize, like: fn(&What) -> bool| -> Vec<&Event> {
            events.iter().filter(|event| event.apartment == Some(ids[at]) && like(&event.what)).collect()
        };
        let began: Vec<_> = (0..3).map(|at| told(at, like!(ApartmentBegan))[0]).collect();
        let fields = |event: &Event| match event.what.clone() {
            What::ApartmentBegan { name, sta, how, main, capacity, reentrancy, process, .. } => {
                assert_eq!(&*process, "played");
                (name.to_string(), sta, how, main, capacity, reentrancy)
            }
            other => panic!("{other:?}"),
        };
        let policy = Some(Reentrancy::SameCausality);
        assert_eq!(fields(began[0]), ("spawned".into(), true, ApartmentHow::Spawned, true, 5, policy));
        let policy = Some(Reentrancy::Classic);
        assert_eq!(fields(began[1]), ("entered".into(), true, ApartmentHow::Entered, false, 10_000, policy));
        assert_eq!(fields(began[2]), ("pool".into(), false, ApartmentHow::Spawned, false, 10_000, None));
        // A thread comes before it serves, and goes after the apartment's end.
        for (at, name) in ["spawned", "entered", "pool"].into_iter().enumerate() {
            let (came, went) = (told(at, like!(ThreadEntered)), told(at, like!(ThreadLeft)));
            assert_eq!((came.len(), went.len()), (1, 1), "{name}");
            let named =
                matches!(&came[0].what, What::ThreadEntered { name: told, implicit: false, .. } if **told == *name);
            assert!(named, "{:?}", came[0]);
            let ended = told(at, like!(ApartmentEnded { abnormal: false, messages_dropped: 0 }))[0];
            assert!(began[at].seq < came[0].seq && came[0].seq < ended.seq && ended.seq < went[0].seq);
            assert_eq!(came[0].thread, went[0].thread);
        }
        assert_eq!(told(1, like!(ThreadEntered))[0].thread, began[1].thread, "the thread that entered");
        // Quit: by whom, the door, the end.
        let quit = told(0, like!(QuitAsked))[0];
        assert_eq!(quit.thread, began[0].thread);
        assert!(quit.seq < told(0, like!(DoorClosed))[0].seq);
        assert!(told(0, like!(DoorClosed))[0].seq < told(0, like!(ApartmentEnded))[0].seq);
        // Objects.
        let objects: Vec<_> = told(0, like!(ObjectMade)).iter().map(|event| object_made(event)).collect();
        assert_eq!(objects, [(first, "u8"), (second, "u8")]);
        let dropped: Vec<_> = told(0, like!(ObjectDropped)).iter().map(|event| object_dropped(event)).collect();
        assert_eq!(dropped, [first, second]);
        assert_eq!(told(0, like!(ApartmentEnded { objects_dropped: 1 })).len(), 1, "one at its end");
        drop(stage.sta("another").spawn()?);
        Ok(())
    });
}

fn object_made(event: &Event) -> (apartment::ObjectId, &'static str) {
    match event.what {
        What::ObjectMade { object, type_name } => (object, type_name),
        ref other => panic!("{other:?}"),
    }
}

fn object_dropped(event: &Event) -> apartment::ObjectId {
    match event.what {
        What::ObjectDropped { object } => object,
        ref other => panic!("{other:?}"),
    }
}

#[test]
fn dg_2_threads_that_enter_the_mta_and_those_that_only_count_as_its_own_are_told() {
    play(|stage| {
        let mta = stage.mta().spawn()?;
        let at = mta.create(|| ())?;
        let m = mta.apartment();
        stage.begin();
        at.call(|()| ())?;
        let implicit = stage.until(m, like!(ThreadEntered { implicit: true }));
        let entered = mta.enter()?;
        stage.until(m, like!(ThreadEntered { implicit: false }));
        entered.leave();
        let own = |what: &What| matches!(what, What::ThreadEntered { .. } | What::ThreadLeft);
        let steps: Vec<_> = stage.all(m, own).into_iter().filter(|event| event.thread == implicit.thread).collect();
        assert_eq!(kinds(&steps), ["ThreadEntered", "ThreadLeft", "ThreadEntered", "ThreadLeft"]);
        Ok(())
    });
}

#[test]
fn dg_2_a_call_is_told_from_its_making_to_its_return() {
    play(|stage| {
        let sta = stage.sta("a").spawn()?;
        let at = sta.create(|| ())?;
        stage.begin();
        at.call(|()| ())?;
        let events = of_call(stage, of_first_wait(stage).unwrap());
        let steps = ["CallMade", "WaitBegan", "Queued", "Began", "Ended", "WaitEnded", "Returned"];
        assert_eq!(kinds(&events), steps);
        let a = Some(sta.apartment().id());
        let on: Vec<_> = events.iter().map(|event| event.apartment).collect();
        assert_eq!(on, [None, None, a, a, a, None, None]);
        assert!(matches!(events[1].what, What::WaitBegan { on: WaitFor::Reply, serves: Serves::Nothing, until: None }));
        assert!(matches!(events[2].what, What::Queued { queued: 1, capacity: 10_000 }));
        assert!(matches!(events[3].what, What::Began { call_type: Some(CallType::TopLevel), queued: 0 }));
        assert!(matches!(events[4].what, What::Ended { panicked: None }));
        assert!(matches!(events[5].what, What::WaitEnded { by: WaitEnd::Done }));
        assert!(matches!(events[6].what, What::Returned { error: None }));
        Ok(())
    });
}

#[test]
fn dg_2_a_direct_call_waits_for_nothing() {
    play(|stage| {
        let ui = stage.sta("ui").enter()?;
        let at = ui.create(|| ())?;
        stage.begin();
        at.call(|()| ())?;
        let events = stage.events();
        assert_eq!(kinds(&events), ["CallMade", "Began", "Ended", "Returned"]);
        assert_eq!(made(&events[0]).route, Route::Direct);
        assert!(events.iter().all(|event| event.apartment == Some(ui.apartment().id())));
        Ok(())
    });
}

#[test]
fn dg_2_the_making_of_a_call_tells_what_is_known_of_it() {
    play(|stage| {
        let (a, b) = (stage.sta("a").spawn()?, stage.sta("b").spawn()?);
        let (at_a, at_b) = (a.create(|| ())?, b.create(|| 7_u8)?);
        stage.clock.advance(secs(1));
        stage.begin();
        let line = line!() + 2;
        at_a.call(|()| {
            at_b.within(secs(5)).call(|_| ()).unwrap();
            at_b.post(|_| ()).unwrap();
            drop(b.create(|| 8_u16).unwrap());
        })?;
        let top = stage.until_any(|event| matches!(event.what, What::CallMade(_)));
        assert_eq!((made(&top).from, made(&top).to, made(&top).parent), (None, Some(a.apartment().id()), None));
        let nested = stage.all(a.apartment(), like!(CallMade));
        let [call, post, create] = [0, 1, 2].map(|at| made(&nested[at]));
        for made in [call, post, create] {
            assert_eq!((made.from, made.to), (Some(a.apartment().id()), Some(b.apartment().id())));
            assert_eq!((made.parent, made.route), (top.call.map(|call| call.id), Route::Mailbox));
            assert_eq!((made.target.location.file(), made.target.method), (file!(), None));
        }
        assert_eq!([call, post, create].map(|made| made.target.location.line()), [line, line + 1, line + 2]);
        assert_eq!([call.kind, post.kind, create.kind], [CallKind::Synchronous, CallKind::OneWay, CallKind::Create]);
        assert_eq!([call, post, create].map(|made| made.target.type_name), ["u8", "u8", "u16"]);
        assert_eq!([call, post, create].map(|made| made.target.object.is_some()), [true, true, false]);
        assert_eq!(call.target.object, Some(at_b.object_id()));
        assert_eq!([call, post, create].map(|made| made.deadline), [Some(secs(6)), None, None]);
        assert_eq!([call, post, create].map(|made| made.borrows), [true, false, true]);
        let chain = top.call.map(|call| call.chain);
        assert_eq!([call, post, create].map(|made| made.from_chain), [None, chain, None]);
        assert_eq!(nested[1].call.unwrap().chain.0, nested[1].call.unwrap().id, "a chain of its own");
        Ok(())
    });
}

#[test]
fn dg_2_what_a_filter_is_asked_and_says_is_told() {
    play(|stage| {
        let filter = || {
            incoming(|call| match call.call_type {
                CallType::TopLevelCallPending => ServerCall::Rejected,
                _ => ServerCall::Handled,
            })
        };
        let (a, b) = (stage.sta("a").filter(filter).spawn()?, stage.sta("b").spawn()?);
        let (at_a, at_b) = (a.create(|| ())?, b.create(|| ())?);
        stage.begin();
        let (key, gate) = gate();
        thread::scope(|s| {
            s.spawn(|| at_a.call(|()| at_b.call(|()| gate.pass()).unwrap()).unwrap());
            stage.until(a.apartment(), like!(WaitBegan));
            stage.clock.advance(secs(3));
            at_a.call(|()| ()).unwrap_err();
            key.open();
        });
        let asked: Vec<_> = stage
            .all(a.apartment(), like!(Filtered))
            .into_iter()
            .map(|event| match event.what {
                What::Filtered { call_type, elapsed, answer, .. } => (call_type, elapsed, answer),
                other => panic!("{other:?}"),
            })
            .collect();
        let expected = [
            (CallType::TopLevel, None, ServerCall::Handled),
            (CallType::TopLevelCallPending, Some(secs(3)), ServerCall::Rejected),
        ];
        assert_eq!(asked, expected);
        Ok(())
    });
}

#[test]
fn dg_2_a_busy_object_names_the_call_that_holds_it() {
    play(|stage| {
        let (a, b) = (stage.sta("a").spawn()?, stage.sta("b").spawn()?);
        let (cell, at_b) = (a.create(|| RefCell::new(0))?, b.create(|| ())?);
        stage.begin();
        let (key, gate) = gate();
        thread::scope(|s| {
            s.spawn(|| cell.call_mut(|_| at_b.call(|()| gate.pass()).unwrap()).unwrap());
            stage.until(a.apartment(), like!(WaitBegan));
            cell.call_mut(|_| ()).unwrap_err();
            key.open();
        });
        let holder = stage.until(a.apartment(), like!(Began)).call.unwrap().id;
        let busy = stage.until(a.apartment(), like!(Busy));
        assert!(matches!(busy.what, What::Busy { holder: Some(named) } if named == holder), "{busy:?}");
        Ok(())
    });
}

#[test]
fn dg_2_a_direct_call_to_a_busy_object_is_told_to_its_end_too() {
    play(|stage| {
        let ui = stage.sta("ui").enter()?;
        let cell = ui.create(|| RefCell::new(0))?;
        stage.begin();
        cell.call_mut(|_| cell.call_mut(|_| ()).unwrap_err())?;
        let [outer, nested] = [0, 1].map(|nth| stage.all(ui.apartment(), like!(CallMade))[nth].call.unwrap());
        let events = of_call(stage, nested);
        assert_eq!(kinds(&events), ["CallMade", "Began", "Busy", "Returned"]);
        assert!(matches!(events[2].what, What::Busy { holder: Some(holder) } if holder == outer.id));
        Ok(())
    });
}

#[test]
fn dg_2_what_a_wait_holds_is_told_once_per_entry_and_wait() {
    play(|stage| {
        let (a, b) = (stage.sta("a").reentrancy(Reentrancy::SameCausality).spawn()?, stage.sta("b").spawn()?);
        let (at_a, at_b) = (a.create(|| ())?, b.create(|| ())?);
        stage.begin();
        at_a.call(|()| {
            let first = || {
                at_a.post(|()| ()).unwrap();
                stage.until_nth(1, a.apartment(), like!(Held { by: HeldBy::Policy }));
                // The wait looks at the first one again, and passes over it in silence.
                at_a.post(|()| ()).unwrap();
                stage.until_nth(2, a.apartment(), like!(Held { by: HeldBy::Policy }));
            };
            at_b.call(|()| first()).unwrap();
            at_b.call(|()| drop(stage.until_nth(4, a.apartment(), like!(Held)))).unwrap();
        })?;
        let held: Vec<_> = stage.all(a.apartment(), like!(Held)).iter().map(|event| event.call).collect();
        assert_eq!(held.len(), 4);
        assert_eq!(held[..2], held[2..], "two in each wait");
        assert_ne!(held[0], held[1]);
        Ok(())
    });
}

#[test]
fn dg_2_errors_and_panics_are_told_where_they_are_seen() {
    play(|stage| {
        let sta = stage.sta("a").capacity(1).spawn()?;
        let at = sta.create(|| ())?;
        let fails = |_: &()| -> () { panic!("in the middle") };
        stage.begin();
        let error = at.call(fails).unwrap_err();
        let ended = stage.until(sta.apartment(), like!(Ended));
        assert!(matches!(&ended.what, What::Ended { panicked: Some(message) } if &**message == "in the middle"));
        let seen = stage.until_any(|event| matches!(event.what, What::Returned { .. }));
        let What::Returned { error: Some(seen) } = seen.what else { panic!("{seen:?}") };
        assert_eq!((seen.hresult, seen.outcome), (hresult::SERVER_FAULT, Outcome::MayHaveRun));
        assert_eq!(*seen.message, *error.to_string());
        // What never reaches a queue.
        let key = fill(stage, &sta, &at);
        stage.begin();
        at.call(|()| ()).unwrap_err();
        at.post(|()| ()).unwrap_err();
        sta.apartment().post_message(MessageClass::User, || ()).unwrap_err();
        key.open();
        let refused: Vec<_> = stage
            .events()
            .into_iter()
            .filter_map(|event| match event.what {
                What::Refused { error } => Some((error.hresult, error.outcome)),
                _ => None,
            })
            .collect();
        assert_eq!(refused, [(hresult::SYS_CALL_FAILED, Outcome::NotStarted); 3]);
        Ok(())
    });
}

#[test]
fn dg_2_a_wait_tells_what_it_is_for_what_it_serves_and_how_it_ended() {
    play(|stage| {
        let refuses = || incoming(|call| only_creations(call.kind));
        let (busy, idle) = (stage.sta("busy").filter(refuses).spawn()?, stage.sta("idle").spawn()?);
        let (at_busy, at_idle) = (busy.create(|| ())?, idle.create(|| ())?);
        for (policy, serves) in [
            (Reentrancy::Classic, Serves::Everything),
            (Reentrancy::SameCausality, Serves::Chain),
            (Reentrancy::None, Serves::InputSynchronized),
        ] {
            let sta = stage.sta("caller").reentrancy(policy).spawn()?;
            let at = sta.create(|| ())?;
            let cancel = CancelHandle::new();
            let began = stage.clock.now();
            stage.begin();
            at.call(|()| {
                at_idle.call(|()| ()).unwrap();
                at_busy.call(|()| ()).unwrap_err();
                let cancelled = || {
                    cancel.cancel();
                    stage.until(idle.apartment(), like!(CancelAsked { why: CancelReason::Handle }));
                };
                at_idle.with(&CallOptions::new().cancel(&cancel)).call(|()| cancelled()).unwrap_err();
                let late = || {
                    stage.clock.advance(secs(4));
                    stage.until(idle.apartment(), like!(CancelAsked { why: CancelReason::Deadline }));
                };
                at_idle.within(secs(4)).call(|()| late()).unwrap_err();
            })?;
            let begins: Vec<_> = stage.all(sta.apartment(), like!(WaitBegan)).into_iter().map(wait_began).collect();
            let until = [None, None, None, Some(began + secs(4))];
            assert_eq!(begins, until.map(|until| (WaitFor::Reply, serves, until)));
            let ends: Vec<_> = stage.all(sta.apartment(), like!(WaitEnded)).into_iter().map(wait_ended).collect();
            assert_eq!(ends, [WaitEnd::Done, WaitEnd::Rejected, WaitEnd::Cancelled, WaitEnd::TimedOut]);
        }
        Ok(())
    });
}

fn only_creations(kind: CallKind) -> ServerCall {
    if kind == CallKind::Create { ServerCall::Handled } else { ServerCall::Rejected }
}

fn wait_began(event: Event) -> (WaitFor, Serves, Option<std::time::Duration>) {
    match event.what {
        What::WaitBegan { on, serves, until } => (on, serves, until),
        other => panic!("{other:?}"),
    }
}

fn wait_ended(event: Event) -> WaitEnd {
    match event.what {
        What::WaitEnded { by } => by,
        other => panic!("{other:?}"),
    }
}

/// Waits for room with a post, and for the end of an apartment; each ends only once its beginning has been told as a
/// step of that apartment.
fn waits_for_no_call(stage: &Stage, lane: Option<&Apartment>) {
    let full = stage.sta("full").capacity(1).spawn().unwrap();
    let at_full = full.create(|| ()).unwrap();
    let room = fill(stage, &full, &at_full);
    let joined = stage.sta("joined").spawn().unwrap();
    let (end, gate) = gate();
    joined.create(|| ()).unwrap().post(move |()| gate.pass()).unwrap();
    stage.begin();
    let lane = lane.map(Apartment::id);
    let told = |on: WaitFor| {
        stage.until_any(|event| {
            event.apartment == lane && matches!(event.what, What::WaitBegan { on: told, .. } if told == on)
        })
    };
    thread::scope(|s| {
        s.spawn(|| {
            told(WaitFor::Room);
            room.open();
        });
        at_full.with(&PostOptions::new().wait_for_room()).post(|()| ()).unwrap();
    });
    thread::scope(|s| {
        s.spawn(|| {
            told(WaitFor::Thread);
            end.open();
        });
        drop(joined);
    });
    let ended = |event: &&Event| event.apartment == lane && matches!(event.what, What::WaitEnded { by: WaitEnd::Done });
    assert_eq!(stage.events().iter().filter(ended).count(), 2);
}

#[test]
fn dg_2_waits_that_are_for_no_call_are_told_too() {
    play(|stage| {
        let sta = stage.sta("a").spawn()?;
        let mta = stage.mta().spawn()?;
        let (at, in_mta) = (sta.create(|| ())?, mta.create(|| ())?);
        at.call(|()| waits_for_no_call(stage, Some(sta.apartment())))?;
        at.call(|()| in_mta.call(|()| waits_for_no_call(stage, Some(mta.apartment()))).unwrap())?;
        Ok(())
    });
}

#[test]
fn dg_2_waits_that_are_for_no_call_are_told_of_a_thread_in_no_apartment_too() {
    play(|stage| {
        waits_for_no_call(stage, None);
        Ok(())
    });
}

#[test]
fn dg_2_what_is_asked_about_a_rejected_call_is_told() {
    play(|stage| {
        let refuses = || incoming(|call| only_creations(call.kind));
        let busy = stage.sta("busy").filter(refuses).spawn()?;
        let at_busy = busy.create(|| ())?;
        let filter = || Answers::default().rejected(|_| Retry::GiveUp);
        let caller = stage.sta("caller").filter(filter).spawn()?;
        let at = caller.create(|| ())?;
        stage.begin();
        thread::scope(|s| {
            let once = |call: &RejectedCall| if call.attempts == 1 { Retry::After(secs(2)) } else { Retry::GiveUp };
            s.spawn(move || {
                at.call(|()| {
                    at_busy.with(&CallOptions::new().retry(once)).call(|()| ()).unwrap_err();
                    at_busy.call(|()| ()).unwrap_err();
                })
            });
            stage.until(caller.apartment(), like!(WaitTurned { on: WaitFor::RetryTime }));
            stage.clock.advance(secs(2));
        });
        let asked: Vec<_> = stage
            .all(caller.apartment(), like!(RetryAsked))
            .into_iter()
            .map(|event| match event.what {
                What::RetryAsked { rejected, elapsed, answer, own_policy, .. } => {
                    (rejected, elapsed, answer, own_policy)
                }
                other => panic!("{other:?}"),
            })
            .collect();
        let expected = [
            (ServerCall::Rejected, secs(0), Retry::After(secs(2)), true),
            (ServerCall::Rejected, secs(2), Retry::GiveUp, true),
            (ServerCall::Rejected, secs(0), Retry::GiveUp, false),
        ];
        assert_eq!(asked, expected);
        Ok(())
    });
}

#[test]
fn dg_2_application_messages_are_told() {
    play(|stage| {
        let filter = || pending(|_| PendingAnswer::wait_no_process().ask_again_after(secs(9)));
        let ui = stage.sta("ui").capacity(9).filter(filter).enter()?;
        let b = stage.sta("b").spawn()?;
        let at_b = b.create(|| ())?;
        let window = ui.apartment().clone();
        stage.begin();
        at_b.call(|()| {
            stage.clock.advance(secs(2));
            window.post_message(MessageClass::Activation, || ()).unwrap();
            stage.until(&window, like!(MessageEnded));
            window.post_message(MessageClass::Input, || panic!("in a message")).unwrap();
            stage.until_nth(2, &window, like!(PendingAsked));
        })?;
        ui.pump();
        window.post_message(MessageClass::User, || ())?;
        ui.leave();
        let steps: Vec<_> = stage.all(&window, |what| format!("{what:?}").contains("class"));
        let (class, action) = (MessageClass::Activation, PendingAction::WaitNoProcess);
        assert!(matches!(steps[0].what, What::MessageQueued { class: told, queued: 1, capacity: 9 } if told == class));
        let What::PendingAsked { class: told, elapsed, nested, answer, .. } = steps[1].what else {
            panic!("{steps:?}")
        };
        assert_eq!((told, elapsed, nested, answer), (class, secs(2), PendingType::TopLevel, action));
        assert!(matches!(steps[2].what, What::MessageBegan { class: told, queued: 0 } if told == class));
        let class = MessageClass::Input;
        let classes = ["MessageQueued", "PendingAsked", "MessageBegan"];
        assert_eq!(kinds(&steps[3..6]), classes);
        assert!(matches!(steps[5].what, What::MessageBegan { class: told, queued: 0 } if told == class));
        assert_eq!(kinds(&steps[6..]), ["MessageQueued", "MessageDropped"]);
        assert!(matches!(steps[7].what, What::MessageDropped { class: MessageClass::User }));
        let ended = stage.all(&window, like!(MessageEnded));
        let ended = ended.iter().map(|event| match &event.what {
            What::MessageEnded { panicked } => panicked.as_deref(),
            other => panic!("{other:?}"),
        });
        assert_eq!(ended.collect::<Vec<_>>(), [None, Some("in a message")]);
        assert_eq!(stage.count(&window, like!(ApartmentEnded { messages_dropped: 1 })), 1);
        Ok(())
    });
}

#[test]
fn dg_2_setting_and_removing_a_filter_is_told() {
    play(|stage| {
        let ui = stage.sta("ui").filter(Answers::default).enter()?;
        register_filter(None)?;
        register_filter(Some(Rc::new(Answers::default())))?;
        let told = stage.all(ui.apartment(), like!(FilterSet));
        let told = told.iter().map(|event| matches!(event.what, What::FilterSet { set: true }));
        assert_eq!(told.collect::<Vec<_>>(), [true, false, true], "the builder's too");
        Ok(())
    });
}

#[test]
fn dg_2_a_one_way_call_that_cannot_run_is_told_with_its_outcome() {
    play(|stage| {
        let (send, receive) = unbounded();
        let (key, gate) = gate();
        thread::scope(|s| {
            let owner = s.spawn(|| {
                let ui = stage.sta("ui").enter().unwrap();
                send.send((ui.create(|| ()).unwrap(), ui.apartment().clone())).unwrap();
                gate.pass();
                std::panic::resume_unwind(Box::new("the owner of the thread panics"));
            });
            let (at_ui, apartment): (Proxy<()>, Apartment) = receive.recv().unwrap();
            at_ui.post(|()| ()).unwrap();
            key.open();
            owner.join().unwrap_err();
            let dropped = stage.until(&apartment, like!(PostDropped));
            let What::PostDropped { error } = &dropped.what else { panic!("{dropped:?}") };
            assert_eq!((error.hresult, error.outcome), (hresult::SERVER_DIED_DNE, Outcome::NotStarted));
            let posted = stage.until_any(|event| matches!(event.what, What::CallMade(_)));
            assert_eq!(dropped.call, posted.call);
            stage.until(&apartment, like!(ApartmentEnded { abnormal: true }));
        });
        Ok(())
    });
}

#[test]
fn dg_2_a_contained_panic_is_told_with_its_place() {
    play(|stage| {
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                panic!("in a destructor");
            }
        }
        let sta = stage.sta("a").spawn()?;
        let bomb = sta.create(|| Bomb)?;
        drop(bomb);
        let told = stage.until(sta.apartment(), like!(Contained));
        let What::Contained { place, message } = &told.what else { panic!("{told:?}") };
        assert_eq!((*place, &**message), ("a destructor", "in a destructor"));
        Ok(())
    });
}

#[test]
fn dg_2_a_remark_of_the_users_is_told_in_its_place() {
    play(|stage| {
        let sta = stage.sta("a").spawn()?;
        let at = sta.create(|| ())?;
        stage.begin();
        at.call(|()| stage.process.note("here"))?;
        let noted = stage.until_any(|event| matches!(&event.what, What::Note { text } if &**text == "here"));
        let began = stage.until(sta.apartment(), like!(Began));
        assert_eq!(noted.thread, began.thread);
        assert!(began.seq < noted.seq && noted.seq < stage.until(sta.apartment(), like!(Ended)).seq);
        Ok(())
    });
}
