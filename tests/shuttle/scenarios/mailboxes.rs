//! Many senders to one mailbox.

use super::Scenario;
use super::common::{Count, Homely, join, start};
use crate::seen::saw;
use apartment::{CallError, CallOptions, Outcome, PostOptions, Process, What};
use std::cell::RefCell;

pub(super) const ALL: &[Scenario] = &[
    Scenario {
        name: "small_mailbox",
        threads: 33,
        rules: "MB-1 to MB-4, MB-8",
        outcomes: &["all had room", "some found it full"],
        program: small_mailbox,
    },
    Scenario {
        name: "posts_and_listeners",
        threads: 8,
        rules: "MB-6, MB-8, DG-1, DG-2",
        outcomes: &["queued more than one"],
        program: posts_and_listeners,
    },
];

/// Thirty-two callers for three places: half of them wait for room, the others are told that there is none.
fn small_mailbox() {
    const CALLERS: usize = 32;
    let here = Process::new().sta("callee").capacity(3).enter().unwrap();
    let drops = Count::default();
    let object = here.create(|| (Homely::new(&drops), RefCell::new(Vec::new()))).unwrap();
    let done = Count::default();
    let callers = start(CALLERS, {
        let object = object.clone();
        move |number| {
            let lent = &mut 0;
            let mine = |(_, order): &(_, RefCell<Vec<_>>)| {
                *lent += 1;
                order.borrow_mut().push(number);
                number
            };
            let called = if number % 2 == 0 {
                let waits = CallOptions::new().wait_for_room();
                Ok(object.with(&waits).call(mine).unwrap())
            } else {
                object.call(mine)
            };
            let ran = match called {
                Ok(answer) => {
                    assert_eq!((answer, *lent), (number, 1));
                    true
                }
                Err(error) => {
                    assert!(matches!(error, CallError::MailboxFull(_)), "{error}");
                    assert_eq!((error.outcome(), *lent), (Outcome::NotStarted, 0));
                    false
                }
            };
            if done.add() == CALLERS {
                object.apartment().unwrap().quit();
            }
            ran
        }
    });
    here.run();
    let ran = join(callers);
    let mut order = object.local().unwrap().1.take();
    order.sort_unstable();
    assert_eq!(order, (0..CALLERS).filter(|number| ran[*number]).collect::<Vec<_>>(), "who ran says so, once");
    saw(if ran.iter().all(|ran| *ran) { "all had room" } else { "some found it full" });
    assert_eq!(here.apartment().queued(), 0);
    drop(object);
    drop(here);
    assert_eq!(drops.get(), 1);
}

/// Five senders post, two of them waiting for room; one listens and one looks meanwhile. Each sender's posts run in their
/// order, and the stream tells of each.
fn posts_and_listeners() {
    const SENDERS: usize = 5;
    const POSTS: usize = 3;
    let process = Process::new();
    let here = process.sta("home").capacity(SENDERS * POSTS).enter().unwrap();
    let home = here.apartment().id();
    let object = here.create(|| RefCell::new(Vec::new())).unwrap();
    let seen = process.subscribe(1_000);
    let done = Count::default();
    let senders = start(SENDERS, {
        let (object, done) = (object.clone(), done.clone());
        move |sender| {
            let options = PostOptions::new().wait_for_room();
            for post in 0..POSTS {
                let run = move |order: &RefCell<Vec<_>>| order.borrow_mut().push((sender, post));
                match sender {
                    0 | 1 => object.with(&options).post(run).unwrap(),
                    _ => object.post(run).unwrap(),
                }
            }
            if done.add() == SENDERS + 1 {
                object.apartment().unwrap().quit();
            }
        }
    });
    let looks = start(1, {
        let (process, apartment) = (process.clone(), here.apartment().clone());
        move |_| {
            let mut most = 0;
            for _ in 0..3 {
                let snapshot = process.snapshot();
                let home = snapshot.apartments.iter().find(|seen| seen.name.id == home);
                let Some(home) = home else { continue };
                assert_eq!(home.entries.len(), home.queued, "what is queued holds room");
                most = most.max(home.queued);
            }
            if done.add() == SENDERS + 1 {
                apartment.quit();
            }
            most
        }
    });
    let late = start(1, {
        let process = process.clone();
        move |_| process.subscribe(1_000)
    });
    here.run();
    join(senders);
    if join(looks)[0] > 1 {
        saw("queued more than one");
    }
    let late = join(late).remove(0);
    let order = object.local().unwrap().take();
    assert_eq!(order.len(), SENDERS * POSTS);
    for sender in 0..SENDERS {
        let posts = order.iter().filter(|(from, _)| *from == sender).map(|(_, post)| *post);
        assert!(posts.eq(0..POSTS), "each sender's in its order: {order:?}");
    }
    for (listener, whole) in [(seen, true), (late, false)] {
        let events: Vec<_> = std::iter::from_fn(|| listener.try_next()).collect();
        assert!(events.windows(2).all(|pair| pair[0].seq < pair[1].seq), "in the order of their numbers");
        let count = |is: fn(&What) -> bool| {
            events
                .iter()
                .filter(|event| event.apartment == Some(home) && event.call.is_some() && is(&event.what))
                .count()
        };
        let began = count(|what| matches!(what, What::Began { .. }));
        assert_eq!(began, count(|what| matches!(what, What::Ended { .. })), "what begins ends");
        assert!(if whole { began == SENDERS * POSTS } else { began <= SENDERS * POSTS }, "{began} began");
    }
}
