//! DG-2: listeners that come late, and subscriptions.

use crate::stage::{gate, hresult, incoming, like, play, secs};
use crate::support::{at, must_end, nth};
use apartment::{
    ApartmentId, CallId, CallOptions, CancelHandle, Clock, Event, HeldBy, MessageClass, PostOptions, Process,
    Reentrancy, ServerCall, Subscription, ThreadId, WaitFor, What, current_call,
};
use crossbeam_channel::{never, select, unbounded};
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// The name of an event's kind.
fn kind(what: &What) -> String {
    let debug = format!("{what:?}");
    debug.split([' ', '(']).next().unwrap_or_default().to_owned()
}

fn kinds<'a>(events: impl IntoIterator<Item = &'a Event>) -> Vec<String> {
    events.into_iter().map(|event| kind(&event.what)).collect()
}

fn of_call(events: &[Event], call: CallId) -> Vec<Event> {
    events.iter().filter(|event| event.call.is_some_and(|of| of.id == call)).cloned().collect()
}

fn all(subscription: &Subscription) -> Vec<Event> {
    std::iter::from_fn(|| subscription.try_next()).collect()
}

fn note(event: &Event) -> Option<&str> {
    match &event.what {
        What::Note { text } => Some(text),
        _ => None,
    }
}

// ---- the prologue

#[test]
fn dg_2_a_late_listener_is_first_told_what_apartments_and_threads_there_are() {
    play(|stage| {
        let process = Process::builder().name("late").clock(stage.clock.clone()).build();
        stage.clock.advance(secs(1));
        let ui = process.sta("ui").filter(|| incoming(|_| ServerCall::Handled)).spawn()?;
        stage.clock.advance(secs(1));
        let mta = process.mta().name("pool").threads(1).spawn()?;
        let entered = mta.enter()?;
        let (key, closed) = gate();
        let at = ui.create(|| ())?;
        // The pool's thread has come once it has served something.
        let (comes, has_come) = unbounded();
        mta.create(|| ())?.post(move |()| comes.send(()).unwrap())?;
        has_come.recv().unwrap();
        at.post(move |()| closed.pass())?;
        ui.quit();
        stage.clock.advance(secs(1));
        let events = process.record(1_000).events();
        let (ui, pool) = (Some(ui.apartment().id()), Some(mta.apartment().id()));
        // (The making of the post is this thread's, and told where the post is.)
        let of = |id| events.iter().filter(move |e: &&Event| e.apartment == id && kind(&e.what) != "CallMade");
        let expected = ["ApartmentBegan", "ThreadEntered", "FilterSet", "DoorClosed"];
        assert_eq!(kinds(of(ui))[..4], expected);
        let began = of(ui).next().unwrap();
        assert_eq!((began.at, began.seq), (secs(1), 1), "since when, and the first number: nobody listened before");
        assert!(matches!(&began.what, What::ApartmentBegan { name, sta: true, main: true, process, .. }
            if &**name == "ui" && &**process == "late"));
        assert!(of(ui).skip(1).take(3).all(|event| event.thread != began.thread || kind(&event.what) == "DoorClosed"));
        assert_eq!(kinds(of(pool))[0], "ApartmentBegan");
        assert!(of(pool).all(|event| event.at == secs(2)));
        let threads: Vec<ThreadId> = of(pool).filter(|e| kind(&e.what) == "ThreadEntered").map(|e| e.thread).collect();
        assert_eq!(threads.len(), 2, "one of the pool, and this one");
        assert_eq!(threads.iter().filter(|thread| **thread == began.thread).count(), 1);
        key.open();
        entered.leave();
        Ok(())
    });
}

#[test]
fn dg_2_a_late_listener_is_told_of_each_call_that_is_in_flight_and_of_its_end_once() {
    play(|stage| {
        let process = Process::builder().clock(stage.clock.clone()).record(1_000).build();
        // What is queued stays queued.
        let (a, b) = (process.sta("a").reentrancy(Reentrancy::None).spawn()?, process.sta("b").spawn()?);
        let (at_a, at_b) = (a.create(|| ())?, b.create(|| ())?);
        let mut seen = None;
        let mut inside = || {
            // Three calls run; a post and a message are queued.
            at_a.post(|()| ()).unwrap();
            a.apartment().post_message(MessageClass::Paint, || ()).unwrap();
            stage.clock.advance(secs(1));
            seen = Some((process.record(1_000), current_call().unwrap().chain()));
            stage.clock.advance(secs(1));
        };
        let mut middle = || at_b.call(|()| inside()).unwrap();
        at_a.call(|()| middle())?;
        let (late, chain) = seen.unwrap();
        process.note("over");
        late.until(|event| kind(&event.what) == "MessageEnded");
        let (whole, late) = (process.recording().unwrap().events(), late.events());
        let mut calls: Vec<_> = late.iter().filter_map(|event| event.call).map(|call| call.id).collect();
        calls.sort();
        calls.dedup();
        assert_eq!(calls.len(), 4);
        for call in calls {
            let (whole, late) = (of_call(&whole, call), of_call(&late, call));
            // Whoever runs is not told to have been queued; all else is there, once, and in its order.
            let runs = late.iter().any(|event| event.call.unwrap().chain == chain);
            let whole: Vec<_> = whole.iter().filter(|event| !runs || kind(&event.what) != "Queued").collect();
            // That a wait passes over something is told once, perhaps before the listener came.
            let is_seen = |event: &&Event| kind(&event.what) != "Held";
            let whole = whole.into_iter().filter(|event| is_seen(event));
            let late = late.iter().filter(is_seen);
            let key = |event: &Event| (kind(&event.what), event.apartment, event.thread, event.frame, event.at);
            assert_eq!(late.map(key).collect::<Vec<_>>(), whole.map(key).collect::<Vec<_>>());
        }
        assert!(late.iter().zip(&late[1..]).all(|(one, next)| one.seq + 1 == next.seq));
        Ok(())
    });
}

#[test]
fn dg_2_a_late_listener_is_told_what_threads_wait_for() {
    play(|stage| {
        let process = Process::builder().clock(stage.clock.clone()).record(1_000).build();
        let (a, b) = (process.sta("a").spawn()?, process.sta("b").capacity(1).spawn()?);
        let (at_a, at_b) = (a.create(|| ())?, b.create(|| ())?);
        let (key, closed) = gate();
        at_b.post(move |()| closed.pass())?;
        let whole = process.recording().unwrap();
        whole.until(nth(2, at(b.apartment(), |what| matches!(what, What::Began { .. }))));
        at_b.post(|()| ())?;
        let patient = || at_b.with(&PostOptions::new().wait_for_room()).post(|()| ()).unwrap();
        thread::scope(|s| {
            s.spawn(|| at_a.call(|()| patient()).unwrap());
            whole.until(|event| matches!(event.what, What::WaitBegan { on: WaitFor::Room, .. }));
            stage.clock.advance(secs(1));
            let late = process.record(1_000);
            let waits = |event: &&Event| matches!(event.what, What::WaitBegan { .. } | What::WaitEnded { .. });
            let told = |events: Vec<Event>| {
                let of_a = |event: &Event| event.apartment == Some(a.apartment().id());
                let key = |event: &Event| (kind(&event.what), event.thread, event.frame, event.at, event.call);
                events.iter().filter(|e| of_a(e)).filter(waits).map(key).collect::<Vec<_>>()
            };
            assert_eq!(told(late.events()), told(whole.events()));
            let last = told(late.events()).pop().unwrap();
            let posted = last.4.expect("the call that waits for room");
            key.open();
            whole.until(|event| matches!(event.what, What::WaitEnded { .. }) && event.call == Some(posted));
            assert_eq!(told(late.events()), told(whole.events()), "and of its end");
        });
        Ok(())
    });
}

/// What is open in an apartment after these events: frames and waits that have begun and not ended. Fails if something
/// begins twice, or ends without having begun.
fn open(events: &[Event]) -> HashMap<(ApartmentId, ThreadId, u16), CallId> {
    let mut open = HashMap::new();
    for event in events {
        let (Some(apartment), Some(call)) = (event.apartment, event.call) else { continue };
        let at = (apartment, event.thread, event.frame);
        match event.what {
            What::Began { .. } | What::MessageBegan { .. } | What::WaitBegan { .. } => {
                let before = open.insert(at, call.id);
                assert_eq!(before, None, "begun in the middle of another: {event:?}");
            }
            What::Ended { .. } | What::MessageEnded { .. } | What::WaitEnded { .. } => {
                assert_eq!(open.remove(&at), Some(call.id), "ended without a beginning: {event:?}");
            }
            _ => {}
        }
    }
    open
}

/// Calls through two apartments and a pool, to and fro; none is direct.
fn busy(process: &Process, listen: impl Fn(&AtomicBool) + Sync) {
    let (a, b) = (process.sta("a").spawn().unwrap(), process.sta("b").spawn().unwrap());
    let mta = process.mta().threads(2).spawn().unwrap();
    let (at_a, at_b) = (a.create(|| ()).unwrap(), b.create(|| ()).unwrap());
    let pooled = at_a.call(|()| mta.create(|| ()).unwrap()).unwrap();
    let done = AtomicBool::new(false);
    thread::scope(|s| {
        let calls = [0, 1].map(|_| {
            s.spawn(|| {
                for _ in 0..300 {
                    let deep = || at_a.call(|()| at_b.post(|()| ()).unwrap()).unwrap();
                    let pool = || pooled.call(|()| at_b.call(|()| deep()).unwrap()).unwrap();
                    at_a.call(|()| pool()).unwrap();
                }
            })
        });
        let listens = [0, 1].map(|_| s.spawn(|| listen(&done)));
        calls.into_iter().for_each(|calls| calls.join().unwrap());
        done.store(true, Ordering::Relaxed);
        listens.into_iter().for_each(|listens| listens.join().unwrap());
    });
}

#[test]
fn dg_2_whenever_a_listener_comes_each_beginning_it_is_told_has_one_end_and_no_end_lacks_its_beginning() {
    must_end(|| {
        let process = Process::new();
        let late = Mutex::new(Vec::new());
        busy(&process, |done| {
            while !done.load(Ordering::Relaxed) {
                // Some are heard to the end, some are dropped in the middle.
                let recording = process.record(1_000_000);
                let mut late = late.lock().unwrap();
                if late.len() < 50 {
                    late.push(recording);
                } else {
                    open(&recording.events());
                }
            }
        });
        let late = late.into_inner().unwrap();
        assert!(late.len() > 1);
        for recording in late {
            let events = recording.events();
            assert!(events.iter().zip(&events[1..]).all(|(one, next)| one.seq < next.seq));
            let open = open(&events);
            assert!(open.is_empty(), "begun and never ended: {open:?}");
        }
    });
}

// ---- listening, and listening no more

#[test]
fn dg_2_events_are_numbered_while_somebody_listens_and_listeners_agree_on_their_numbers() {
    let process = Process::new();
    let first = process.record(100);
    process.note("first alone");
    let second = process.record(100);
    process.note("both");
    let note_of =
        |events: Vec<Event>, text: &str| events.iter().find(|event| note(event) == Some(text)).map(|event| event.seq);
    assert_eq!(note_of(first.events(), "first alone"), Some(1));
    assert_eq!(note_of(second.events(), "first alone"), None);
    assert_eq!(note_of(first.events(), "both"), Some(2));
    assert_eq!(note_of(second.events(), "both"), Some(2));
    drop(first.clone());
    process.note("still both");
    assert_eq!(note_of(first.events(), "still both"), Some(3), "the last clone ends it");
    drop((first, second));
    (0..10).for_each(|_| process.note("nobody"));
    let third = process.record(100);
    process.note("third");
    assert_eq!(note_of(third.events(), "third"), Some(4));
    assert_eq!(third.events().len(), 1);
}

#[test]
fn dg_2_a_process_that_records_from_its_making_can_be_recorded_late_too() {
    let process = Process::builder().record(100).build();
    let _sta = process.sta("a").spawn().unwrap();
    let late = process.record(100);
    process.note("both");
    let (all, late) = (process.recording().unwrap().events(), late.events());
    // The STA may have something to tell afterwards.
    let both = |events: &[Event]| events.iter().find(|event| note(event) == Some("both")).unwrap().seq;
    assert_eq!(both(&all), both(&late));
    assert_eq!((kind(&all[0].what), kind(&late[0].what)), ("ApartmentBegan".into(), "ApartmentBegan".into()));
    assert!(all[0].seq < late[0].seq);
}

// ---- subscriptions

#[test]
fn dg_2_a_subscription_passes_on_what_happens_after_its_prologue() {
    play(|stage| {
        let process = Process::builder().clock(stage.clock.clone()).build();
        let a = process.sta("a").spawn()?;
        let at = a.create(|| ())?;
        let events = process.subscribe(100);
        assert_eq!(kinds(&all(&events)), ["ApartmentBegan", "ThreadEntered"]);
        assert!(events.try_next().is_none());
        at.call(|()| ())?;
        let (sent, got) = unbounded();
        thread::scope(|s| {
            s.spawn(|| {
                let call = events.iter().take(8).collect::<Vec<_>>();
                sent.send(kinds(&call)).unwrap();
            });
            process.note("the eighth");
        });
        let call = ["CallMade", "WaitBegan", "Queued", "Began", "Ended", "WaitEnded", "Returned"];
        let told = got.recv().unwrap();
        assert_eq!(told[..7], call);
        Ok(())
    });
}

#[test]
fn dg_2_a_subscription_that_is_full_drops_and_counts_and_says_so_where_it_happened() {
    let process = Process::builder().clock(Clock::driven()).build();
    let events = process.subscribe(4);
    (1..=6).for_each(|n| process.note(format!("{n}")));
    let read = |events: &Subscription| -> Vec<(u64, String)> {
        let said = |event: &Event| match &event.what {
            What::Lost { count } => format!("lost {count}"),
            _ => note(event).unwrap().to_owned(),
        };
        all(events).iter().map(|event| (event.seq, said(event))).collect()
    };
    // Room for two: one says what is lost, and has the number of the last of it.
    assert_eq!(note(&events.try_next().unwrap()), Some("1"));
    assert_eq!(note(&events.try_next().unwrap()), Some("2"));
    process.note("7");
    assert_eq!(read(&events), [(3, "3"), (4, "4"), (6, "lost 2"), (7, "7")].map(|(n, s)| (n, s.to_owned())));
    // What is lost at the end is said to who reads so far.
    (8..=13).for_each(|n| process.note(format!("{n}")));
    let last = [(8, "8"), (9, "9"), (10, "10"), (11, "11"), (13, "lost 2")];
    assert_eq!(read(&events), last.map(|(n, s)| (n, s.to_owned())));
    assert!(events.try_next().is_none());
    process.note("14");
    assert_eq!(read(&events), [(14, "14".to_owned())]);
}

#[test]
fn dg_2_several_subscriptions_each_lose_their_own() {
    let process = Process::new();
    let (small, large) = (process.subscribe(2), process.subscribe(100));
    (0..10).for_each(|n| process.note(format!("{n}")));
    assert_eq!(all(&large).len(), 10);
    assert_eq!(kinds(&all(&small)), ["Note", "Note", "Lost"]);
    drop(large);
    process.note("one");
    assert_eq!(all(&small).len(), 1);
}

#[test]
fn dg_2_a_subscriptions_channel_can_be_selected_on() {
    let process = Process::new();
    let events = process.subscribe(10);
    process.note("now");
    let other = never::<()>();
    select! {
        recv(events.receiver()) -> event => assert_eq!(note(&event.unwrap()), Some("now")),
        recv(other) -> _ => unreachable!(),
    }
}

#[test]
fn dg_2_a_subscription_ends_when_its_process_and_all_its_apartments_are_gone() {
    must_end(|| {
        let process = Process::new();
        let sta = process.sta("a").spawn().unwrap();
        let events = process.subscribe(1_000);
        let reader = thread::spawn(move || events.iter().map(|event| kind(&event.what)).collect::<Vec<_>>());
        drop((sta, process));
        let told = reader.join().unwrap();
        assert_eq!(told[0], "ApartmentBegan");
        assert!(told.contains(&"ThreadLeft".to_owned()));
    });
}

#[test]
fn dg_2_what_a_full_subscription_lost_is_said_when_its_process_is_gone_too() {
    let full = |notes: usize| {
        let process = Process::builder().clock(Clock::driven()).build();
        let events = process.subscribe(2);
        (0..notes).for_each(|n| process.note(format!("{n}")));
        events
    };
    let lost = |event: Option<Event>| event.map(|event| (event.seq, kind(&event.what)));
    for read in [Subscription::try_next, Subscription::next] {
        let events = full(5);
        assert_eq!([0; 2].map(|_| note(&read(&events).unwrap()).unwrap().to_owned()), ["0", "1"]);
        assert_eq!(lost(read(&events)), Some((5, "Lost".to_owned())));
        assert!(read(&events).is_none() && read(&events).is_none());
        let events = full(2);
        assert_eq!([0; 3].map(|_| read(&events).is_some()), [true, true, false]);
    }
}

#[test]
fn dg_2_a_thousand_subscriptions_come_and_go_within_a_filter() {
    play(|stage| {
        let (tell, told) = unbounded();
        let process = stage.process.clone();
        let filter = move || {
            let held = RefCell::new(Vec::new());
            incoming(move |_| {
                let mut held = held.borrow_mut();
                if held.is_empty() {
                    held.extend((0..1_000).map(|_| process.subscribe(1)));
                    tell.send(kinds(&held[999].try_next())).unwrap();
                } else {
                    // Dropped in the middle, full and never read.
                    held.drain(100..).step_by(2).for_each(drop);
                }
                ServerCall::Handled
            })
        };
        let sta = stage.sta("sta").filter(filter).spawn()?;
        let at = sta.create(|| ())?;
        assert_eq!(told.recv().unwrap(), ["ApartmentBegan"]);
        (0..10).try_for_each(|_| at.call(|()| ()))?;
        Ok(())
    });
}

#[test]
fn dg_2_a_late_listener_is_told_of_no_wait_that_is_over_already() {
    play(|stage| {
        let process = Process::builder().clock(stage.clock.clone()).build();
        let sta = process.sta("sta").spawn()?;
        let at = sta.create(|| ())?;
        let (key, closed) = gate();
        let (began, begins) = unbounded();
        let cancel = CancelHandle::new();
        thread::scope(|s| {
            let hangs = move |(): &()| {
                began.send(()).unwrap();
                closed.pass();
            };
            let caller = s.spawn(|| at.with(&CallOptions::new().cancel(&cancel)).call_owned(hangs).unwrap_err());
            begins.recv().unwrap();
            assert_eq!(process.snapshot().waits_for_whom().len(), 1);
            cancel.cancel();
            assert_eq!(caller.join().unwrap().hresult(), hresult::CALL_CANCELED);
        });
        let snapshot = process.snapshot();
        assert_eq!((snapshot.apartments[0].executing.len(), snapshot.waits_for_whom().len()), (1, 0), "{snapshot}");
        let told = kinds(&process.record(100).events());
        assert_eq!(told, ["ApartmentBegan", "ThreadEntered", "CallMade", "Began"]);
        key.open();
        Ok(())
    });
}

#[test]
fn dg_1_nobody_waits_for_a_futures_call() {
    play(|stage| {
        let sta = stage.sta("sta").spawn()?;
        let at = sta.create(|| ())?;
        let (key, closed) = gate();
        let began = stage.count(sta.apartment(), like!(Began));
        let runs = at.call_async(move |()| closed.pass());
        stage.until_nth(began + 1, sta.apartment(), like!(Began));
        let queued = at.call_async(|()| ());
        let snapshot = stage.process.snapshot();
        let own = &snapshot.apartments[0];
        assert_eq!((own.executing.len(), own.entries.len()), (1, 1));
        assert!(!own.executing[0].waited_for && !own.entries[0].waited_for);
        assert!(snapshot.waits_for_whom().is_empty(), "{snapshot}");
        key.open();
        drop((runs, queued));
        Ok(())
    });
}

#[test]
fn dg_2_a_prologue_of_a_full_mailbox_is_told_whole() {
    let process = Process::new();
    let sta = process.sta("sta").capacity(20_000).spawn().unwrap();
    let at = sta.create(|| ()).unwrap();
    let (key, closed) = gate();
    at.post(move |()| closed.pass()).unwrap();
    (1..15_000).for_each(|_| at.post(|()| ()).unwrap());
    let told = process.record(100_000).events();
    assert!(told.len() >= 2 * 14_998);
    key.open();
}

#[test]
fn dg_2_a_subscription_slows_nobody_down_however_full_it_is() {
    must_end(|| {
        let process = Process::new();
        let never_read = process.subscribe(1);
        busy(&process, |done| {
            let events = process.subscribe(16);
            while !done.load(Ordering::Relaxed) {
                thread::yield_now();
                let numbers: Vec<_> = all(&events).iter().map(|event| event.seq).collect();
                assert!(numbers.is_sorted_by(|one, next| one < next), "{numbers:?}");
            }
        });
        assert_eq!(kinds(&all(&never_read)), ["ApartmentBegan", "Lost"]);
    });
}

#[test]
#[should_panic(expected = "a subscription's capacity is at least 1")]
fn dg_2_a_subscription_without_room_is_a_mistake() {
    Process::new().subscribe(0);
}

// ---- what was told of nowhere

#[test]
fn dg_2_a_wait_inside_a_filters_method_tells_that_the_filter_holds_what_comes() {
    play(|stage| {
        let (a, b) = (stage.sta("a").spawn()?, stage.sta("b").capacity(1).spawn()?);
        let at_b = b.create(|| ())?;
        let (key, closed) = gate();
        let (full, holds) = (at_b.clone(), at_b.clone());
        let filter = move || {
            incoming(move |call| {
                if call.kind == apartment::CallKind::OneWay {
                    // It waits for room, which is allowed here; nothing comes in meanwhile.
                    full.with(&PostOptions::new().wait_for_room()).post(|()| ()).unwrap();
                }
                ServerCall::Handled
            })
        };
        let c = stage.sta("c").filter(filter).spawn()?;
        let at_c = c.create(|| ())?;
        stage.begin();
        holds.post(move |()| closed.pass())?;
        stage.until(b.apartment(), like!(Began));
        at_b.post(|()| ())?;
        at_c.post(|()| ())?;
        stage.until(c.apartment(), like!(WaitBegan { on: WaitFor::Room }));
        at_c.post(|()| ())?;
        let first = stage.until_nth(1, c.apartment(), like!(Held { by: HeldBy::Filter }));
        let second = stage.until_nth(2, c.apartment(), like!(Held { by: HeldBy::Filter }));
        assert_ne!(first.call, second.call, "the one that is asked about, and the one that came");
        key.open();
        stage.until_nth(2, c.apartment(), like!(Ended));
        drop(a);
        Ok(())
    });
}

#[test]
fn dg_2_a_posts_wait_for_room_names_the_post() {
    play(|stage| {
        let (a, b) = (stage.sta("a").spawn()?, stage.sta("b").capacity(1).spawn()?);
        let (at_a, at_b) = (a.create(|| ())?, b.create(|| ())?);
        let (key, closed) = gate();
        stage.begin();
        at_b.post(move |()| closed.pass())?;
        stage.until(b.apartment(), like!(Began));
        at_b.post(|()| ())?;
        let patient = || at_b.with(&PostOptions::new().wait_for_room()).post(|()| ()).unwrap();
        thread::scope(|s| {
            s.spawn(|| at_a.call(|()| patient()).unwrap());
            s.spawn(patient);
            stage.until(a.apartment(), like!(WaitBegan { on: WaitFor::Room }));
            stage.until_any(|e| matches!(e.what, What::WaitBegan { on: WaitFor::Room, .. }) && e.apartment.is_none());
            key.open();
        });
        for wait in stage.events().iter().filter(|e| matches!(e.what, What::WaitBegan { on: WaitFor::Room, .. })) {
            let call = wait.call.expect("the post");
            let told = of_call(&stage.events(), call.id);
            let own = told.iter().filter(|event| event.apartment == wait.apartment);
            assert_eq!(kinds(own), ["CallMade", "WaitBegan", "WaitEnded"].map(str::to_owned), "{told:?}");
            assert!(told.iter().any(|event| matches!(event.what, What::Queued { .. })));
        }
        Ok(())
    });
}

#[test]
fn dg_2_a_call_that_began_and_whose_object_is_gone_is_told_to_have_not_run() {
    play(|stage| {
        let (a, b) = (stage.sta("a").spawn()?, stage.sta("b").spawn()?);
        let (at_a, at_b) = (a.create(|| ())?, b.create(|| ())?);
        let (key, closed) = gate();
        stage.begin();
        // The object waits in a call; meanwhile somebody disconnects it, and another chain calls it.
        let stays = || at_b.call(|()| closed.pass()).unwrap();
        thread::scope(|s| {
            let runs = s.spawn(|| at_a.call(|()| stays()).unwrap());
            stage.until(b.apartment(), like!(Began));
            let cuts = s.spawn(|| at_a.disconnect().unwrap());
            stage.until_any(|event| matches!(event.what, What::WaitBegan { on: WaitFor::Disconnect, .. }));
            let error = at_a.call(|()| unreachable!()).unwrap_err();
            assert_eq!(error.hresult(), hresult::DISCONNECTED);
            key.open();
            cuts.join().unwrap();
            runs.join().unwrap();
        });
        let gone = stage.until(a.apartment(), like!(Gone));
        let What::Gone { error } = &gone.what else { unreachable!() };
        assert_eq!(error.hresult, hresult::DISCONNECTED);
        let told = kinds(&of_call(&stage.events(), gone.call.unwrap().id));
        assert_eq!(told, ["CallMade", "WaitBegan", "Queued", "Began", "Gone", "WaitEnded", "Returned"]);
        Ok(())
    });
}
