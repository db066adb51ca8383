//! Listeners that come while calls are in flight, and looks at them.
#![cfg(loom)]

use apartment::{ApartmentId, Event, Process, Subscription, What};
use apartment_models::{Model, Seen};
use loom::thread;
use std::cell::Cell;

/// Everything that has come.
fn all(subscription: &Subscription) -> Vec<Event> {
    std::iter::from_fn(|| subscription.try_next()).collect()
}

/// How many of them are of that kind, in that apartment, or in none.
fn count(events: &[Event], apartment: Option<ApartmentId>, is: fn(&What) -> bool) -> usize {
    events.iter().filter(|event| event.apartment == apartment && event.call.is_some() && is(&event.what)).count()
}

fn made(what: &What) -> bool {
    matches!(what, What::CallMade(_))
}

fn queued(what: &What) -> bool {
    matches!(what, What::Queued { .. })
}

fn began(what: &What) -> bool {
    matches!(what, What::Began { .. })
}

fn ended(what: &What) -> bool {
    matches!(what, What::Ended { .. })
}

fn wait_began(what: &What) -> bool {
    matches!(what, What::WaitBegan { .. })
}

fn wait_ended(what: &What) -> bool {
    matches!(what, What::WaitEnded { .. })
}

/// What is told of one call, however late the listener came: each beginning once, by the prologue or by the stream, and
/// its end.
fn once(events: &[Event], caller: Option<ApartmentId>, callee: ApartmentId) -> &'static str {
    let callee = Some(callee);
    assert!(events.windows(2).all(|pair| pair[0].seq + 1 == pair[1].seq), "no gaps");
    let (made, queued) = (count(events, caller, made), count(events, callee, queued));
    let (began, ended) = (count(events, callee, began), count(events, callee, ended));
    let (waits, waited) = (count(events, caller, wait_began), count(events, caller, wait_ended));
    assert!(made <= 1 && queued <= 1 && began <= 1 && waits <= 1, "{events:?}");
    assert_eq!(began, ended, "what begins ends, and nothing else does: {events:?}");
    assert!(made >= began && made >= queued && made >= waits, "{events:?}");
    assert!(waited >= waits, "{events:?}");
    match (queued, began) {
        (1, 1) => "from its coming on",
        (0, 1) => "while it runs",
        (0, 0) => "not at all",
        _ => panic!("queued, and never run: {events:?}"),
    }
}

/// A thread in no apartment calls an STA while somebody subscribes.
#[test]
fn subscribe_against_a_call() {
    let seen = Seen::new(&["from its coming on", "while it runs", "not at all"]);
    let see = seen.clone();
    Model::new("a subscription against a call").preemptions(3).check(move || {
        let process = Process::new();
        let here = process.sta("callee").enter().unwrap();
        let object = here.create(|| Cell::new(0)).unwrap();
        let callee = here.apartment().id();
        let caller = thread::spawn(move || {
            object.call(|count| count.set(1)).unwrap();
            object.apartment().unwrap().quit();
        });
        let listener = thread::spawn(move || process.subscribe(100));
        here.run();
        drop(here);
        caller.join().unwrap();
        let events = all(&listener.join().unwrap());
        // What stands on no monitor may be told from any step on.
        assert!(count(&events, None, wait_ended) <= 1);
        see.saw(once(&events, None, callee));
    });
    seen.all();
}

/// An STA calls another while somebody subscribes: both tell their side of it.
#[test]
fn subscribe_against_a_call_between_stas() {
    let seen = Seen::new(&["from its coming on", "while it runs", "not at all"]);
    let see = seen.clone();
    Model::new("a subscription against a call between STAs").preemptions(2).check(move || {
        let process = Process::new();
        let here = process.sta("callee").enter().unwrap();
        let object = here.create(|| ()).unwrap();
        let callee = here.apartment().id();
        let caller = thread::spawn({
            let process = process.clone();
            move || {
                let here = process.sta("caller").enter().unwrap();
                object.call(|()| ()).unwrap();
                object.apartment().unwrap().quit();
                here.apartment().id()
            }
        });
        let listener = thread::spawn(move || process.subscribe(100));
        here.run();
        drop(here);
        let caller = caller.join().unwrap();
        let events = all(&listener.join().unwrap());
        let (waits, waited) = (count(&events, Some(caller), wait_began), count(&events, Some(caller), wait_ended));
        assert_eq!(waits, waited, "a wait that is told to begin is told to end, and the other way round: {events:?}");
        assert!(count(&events, Some(caller), made) <= 1);
        assert_eq!(count(&events, Some(callee), began), count(&events, Some(callee), ended), "{events:?}");
        assert!(events.windows(2).all(|pair| pair[0].seq < pair[1].seq));
        see.saw(match (count(&events, Some(callee), queued), count(&events, Some(callee), began)) {
            (1, 1) => "from its coming on",
            (0, 1) => "while it runs",
            (0, 0) => "not at all",
            _ => panic!("{events:?}"),
        });
    });
    seen.all();
}

/// A snapshot at any moment of a call: it is in one place, or in none.
#[test]
fn snapshot_against_a_call() {
    let seen = Seen::new(&["queued", "runs", "neither"]);
    let see = seen.clone();
    Model::new("a snapshot against a call").preemptions(4).check(move || {
        let process = Process::new();
        let here = process.sta("callee").enter().unwrap();
        let object = here.create(|| ()).unwrap();
        let caller = thread::spawn(move || {
            object.call(|()| ()).unwrap();
            object.apartment().unwrap().quit();
        });
        let looks = thread::spawn(move || process.snapshot());
        here.run();
        drop(here);
        caller.join().unwrap();
        let snapshot = looks.join().unwrap();
        let waits = snapshot.waits_for_whom().len();
        let [seen] = &snapshot.apartments[..] else { return };
        assert_eq!(seen.queued, seen.entries.len());
        // At its end it drops its object.
        let runs = seen.executing.iter().filter(|frame| frame.call.is_some()).count();
        see.saw(match (seen.entries.len(), runs) {
            (1, 0) if waits == 1 => "queued",
            (0, 1) if waits == 1 => "runs",
            (0, 0) if waits == 0 => "neither",
            _ => panic!("{snapshot}"),
        });
    });
    seen.all();
}
