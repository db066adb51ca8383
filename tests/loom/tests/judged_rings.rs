//! More of `judged`: chains that come back, longer rings, and others who take a hand in them.
#![cfg(loom)]

use apartment::{Clock, Process, Reentrancy, Reentrancy::Classic, Reentrancy::None, Reentrancy::SameCausality};
use apartment::{Signal, blocking_wait_any};
use apartment_models::{Ghost, Kept, Object, Watched, judged};
use loom::thread;
use std::rc::Rc;
use std::time::Duration;

const ROOMY: usize = 10;

judged! {
    bound 2;
    callback_classic: Never, |ghost| callback(ghost, Classic);
    callback_same_causality: Never, |ghost| callback(ghost, SameCausality);
    callback_none: Always, |ghost| callback(ghost, None);
}

/// A → B → A, in one chain: it comes in unless A lets in nothing.
fn callback(ghost: &Ghost, a: Reentrancy) {
    let process = Process::new();
    let here = ghost.enter(&process, Kept("a", a, ROOMY));
    let there = ghost.spawn(&process, Kept("b", Classic, ROOMY));
    let (at_a, at_b) = (here.create(|| Object), there.create(|| Object));
    at_b.call(|_| drop(at_a.call(|_| ()))).unwrap();
    drop((at_a, at_b, there, here));
}

judged! {
    bound 2;
    callback_of_a_callback_classic: Never, |ghost| callback_of_a_callback(ghost, Classic);
    callback_of_a_callback_same_causality: Never, |ghost| callback_of_a_callback(ghost, SameCausality);
    callback_of_a_callback_none: Always, |ghost| callback_of_a_callback(ghost, None);
}

/// A → B → A → B: both waits have to let their chain in.
fn callback_of_a_callback(ghost: &Ghost, b: Reentrancy) {
    let process = Process::new();
    let here = ghost.enter(&process, Kept("a", SameCausality, ROOMY));
    let there = ghost.spawn(&process, Kept("b", b, ROOMY));
    let (at_a, at_b) = (here.create(|| Object), there.create(|| Object));
    at_b.call(|_| at_a.call(|_| drop(at_b.call(|_| ()))).unwrap()).unwrap();
    drop((at_a, at_b, there, here));
}

judged! {
    bound 2;
    callback_into_a_full_mailbox_classic: Never, |ghost| into_a_full_mailbox(ghost, Classic, true);
    callback_into_a_full_mailbox_same_causality: Never, |ghost| into_a_full_mailbox(ghost, SameCausality, true);
    callback_into_a_full_mailbox_none: Always, |ghost| into_a_full_mailbox(ghost, None, true);
    post_into_a_full_mailbox_classic: Never, |ghost| into_a_full_mailbox(ghost, Classic, false);
    post_into_a_full_mailbox_same_causality: Always, |ghost| into_a_full_mailbox(ghost, SameCausality, false);
    post_into_a_full_mailbox_none: Always, |ghost| into_a_full_mailbox(ghost, None, false);
}

/// A → B, and B's post waits for room at A, which is full of another; but a call that is let in needs none.
fn into_a_full_mailbox(ghost: &Ghost, a: Reentrancy, is_call: bool) {
    let process = Process::new();
    let here = ghost.enter(&process, Kept("a", a, 1));
    let there = ghost.spawn(&process, Kept("b", Classic, ROOMY));
    let (at_a, at_b) = (here.create(|| Object), there.create(|| Object));
    let called = at_b.call(|_| {
        drop(at_a.post(|_| ()));
        if is_call { at_a.call_waiting(|_| ()).err() } else { at_a.post_waiting(|_| ()).err() }
    });
    drop(called);
    drop((at_a, at_b, there, here));
}

judged! {
    bound 2;
    callback_to_a_pool_of_one_classic: Always, |ghost| callback_to_the_pool(ghost, Classic, 1);
    callback_to_a_pool_of_one_same_causality: Always, |ghost| callback_to_the_pool(ghost, SameCausality, 1);
    callback_to_a_pool_of_one_none: Always, |ghost| callback_to_the_pool(ghost, None, 1);
    callback_to_a_pool_of_two_same_causality: Never, |ghost| callback_to_the_pool(ghost, SameCausality, 2);
}

/// A → the MTA → A → the MTA: the second call needs a second thread.
fn callback_to_the_pool(ghost: &Ghost, a: Reentrancy, threads: usize) {
    let process = Process::new();
    let here = ghost.enter(&process, Kept("a", a, ROOMY));
    let pool = ghost.pool(&process, threads);
    let (at_a, shared) = (here.create(|| Object), pool.create(|| Object));
    shared.call(|_| drop(at_a.call(|_| drop(shared.call(|_| ()))))).unwrap();
    drop((at_a, shared, pool, here));
}

judged! {
    bound 2;
    a_deadline_that_passes: Never, |ghost| deadline(ghost);
}

/// A → B → A where A lets nothing in, and the chain has a deadline that passes.
fn deadline(ghost: &Ghost) {
    let clock = Clock::driven();
    let process = Process::builder().clock(clock.clone()).build();
    let here = ghost.enter(&process, Kept("a", None, ROOMY));
    let there = ghost.spawn(&process, Kept("b", Classic, ROOMY));
    let (at_a, at_b) = (here.create(|| Object), there.create(|| Object));
    let called = at_b.call_within(Duration::from_secs(1), |_| {
        let time = thread::spawn(move || clock.advance(Duration::from_secs(1)));
        at_a.call(|_| ()).unwrap_err();
        time.join().unwrap();
    });
    assert_eq!(called.unwrap_err().hresult(), 0x8001_011F);
    drop((at_a, at_b, there, here));
}

judged! {
    bound 1;
    a_cancel_at_any_time: Sometimes, |ghost| cancel(ghost);
}

/// A and B call each other, and let nothing in; a third cancels one of the calls, at any time: before the ring closes, or
/// when it has. That it could is no end that the call has of itself.
fn cancel(ghost: &Ghost) {
    let process = Process::new();
    let here = ghost.enter(&process, Kept("a", None, ROOMY));
    let there = ghost.spawn(&process, Kept("b", None, ROOMY));
    let (at_a, at_b) = (here.create(|| Object), there.create(|| Object));
    let cancel = ghost.canceller();
    let third = thread::spawn({
        let cancel = cancel.clone();
        move || cancel.cancel()
    });
    at_b.post(move |_| drop(at_a.call(|_| ()))).unwrap();
    drop(at_b.call_until(&cancel, |_| ()));
    drop((here, at_b, there));
    third.join().unwrap();
}

judged! {
    bound 2;
    ring_that_may_not_close: Sometimes, |ghost| late_ring(ghost);
}

/// A and B call each other, and let nothing in; but who posts that to B comes at any time.
fn late_ring(ghost: &Ghost) {
    let process = Process::new();
    let here = ghost.enter(&process, Kept("a", SameCausality, ROOMY));
    let there = ghost.spawn(&process, Kept("b", SameCausality, ROOMY));
    let (at_a, at_b) = (here.create(|| Object), there.create(|| Object));
    let third = thread::spawn({
        let at_b = at_b.clone();
        move || {
            let posted = at_b.post(move |_| drop(at_a.call(|_| ())));
            drop((posted, at_b));
        }
    });
    drop(at_b.call(|_| ()));
    drop(here);
    third.join().unwrap();
    drop((at_b, there));
}

judged! {
    bound 2;
    a_signal_that_a_third_sets: Never, |ghost| signal(ghost);
}

/// A blocks until somebody sets a signal, and lets nothing in; B calls it meanwhile. A third sets it.
fn signal(ghost: &Ghost) {
    let process = Process::new();
    let here = ghost.enter(&process, Kept("a", None, ROOMY));
    let there = ghost.spawn(&process, Kept("b", None, ROOMY));
    let (at_a, at_b) = (here.create(|| Object), there.create(|| Object));
    at_b.post(move |_| drop(at_a.call(|_| ()))).unwrap();
    let set = Signal::manual();
    let third = thread::spawn({
        let set = set.clone();
        move || set.set()
    });
    ghost.in_a_wait(|| blocking_wait_any(&[&set], Option::None)).unwrap();
    drop((here, at_b, there));
    third.join().unwrap();
}

judged! {
    bound 2;
    a_quit_at_any_time: Sometimes, |ghost| quit(ghost);
}

/// A waits for room at B, which waits for A; a third asks B to quit, and so whoever waits for room there is refused.
fn quit(ghost: &Ghost) {
    let process = Process::new();
    let here = ghost.enter(&process, Kept("a", None, ROOMY));
    let there = ghost.spawn(&process, Kept("b", None, 1));
    let (at_a, at_b) = (here.create(|| Object), there.create(|| Object));
    at_b.post(move |_| drop(at_a.call(|_| ()))).unwrap();
    let third = thread::spawn({
        let at_b = at_b.clone();
        move || at_b.quit()
    });
    drop(at_b.post_waiting(|_| ()));
    drop(at_b.post_waiting(|_| ()));
    drop((here, at_b, there));
    third.join().unwrap();
}

judged! {
    bound 2;
    buried_call_classic: Never, |ghost| buried_call(ghost, Classic);
    buried_call_same_causality: Always, |ghost| buried_call(ghost, SameCausality);
    buried_call_none: Always, |ghost| buried_call(ghost, None);
}

/// On top of a call that X waits for, A calls X: it goes on if X's wait lets that in, which is of another chain.
fn buried_call(ghost: &Ghost, x: Reentrancy) {
    let process = Process::new();
    let here = Rc::new(ghost.enter(&process, Kept("a", Classic, ROOMY)));
    let at_a = here.create(|| Object);
    let local = here.clone();
    let pumps = here.create(move || local);
    let other = thread::spawn({
        let ghost = ghost.clone();
        move || {
            let here = ghost.enter(&process, Kept("x", x, ROOMY));
            let at_x = here.create(|| Object);
            let called = pumps.call(|a| {
                at_a.post(move |_| drop(at_x.call(|_| ()))).unwrap();
                a.pump();
                a.quit();
            });
            called.unwrap();
            drop((pumps, at_a, here));
        }
    });
    here.run();
    drop(here);
    other.join().unwrap();
}

judged! {
    bound 1;
    one_who_is_in_no_ring: Always, |ghost| one_beside(ghost);
}

/// B and C both call A, which calls B, and lets in nothing: one ring only, and C waits for whoever is in it.
fn one_beside(ghost: &Ghost) {
    let process = Process::new();
    let here = ghost.enter(&process, Kept("a", None, ROOMY));
    let there = ghost.spawn(&process, Kept("b", None, ROOMY));
    let (at_a, at_b) = (here.create(|| Object), there.create(|| Object));
    let other = ghost.work("c", {
        let at_a = at_a.clone();
        move || drop(at_a.call(|_| ()))
    });
    at_b.post({
        let at_a = at_a.clone();
        move |_| drop(at_a.call(|_| ()))
    })
    .unwrap();
    drop(at_b.call(|_| ()));
    drop((at_a, here, at_b, there));
    other.join().unwrap();
}

judged! {
    bound 1;
    ring_of_three_classic_none_none: Never, |ghost| ring_of_three(ghost, [Classic, None, None]);
    ring_of_three_none_classic_none: Never, |ghost| ring_of_three(ghost, [None, Classic, None]);
    ring_of_three_none_none_classic: Never, |ghost| ring_of_three(ghost, [None, None, Classic]);
    ring_of_three_same_causality_none_same_causality: Always, |ghost| ring_of_three(ghost, [SameCausality, None, SameCausality]);
    ring_of_three_none_none_none: Always, |ghost| ring_of_three(ghost, [None, None, None]);
}

/// A → B → C → A at once, each call of its own chain: if one lets in everything, all go on.
fn ring_of_three(ghost: &Ghost, [a, b, c]: [Reentrancy; 3]) {
    let process = Process::new();
    let here = ghost.enter(&process, Kept("a", a, ROOMY));
    let [to_b, to_c] = [("b", b), ("c", c)].map(|(name, policy)| ghost.spawn(&process, Kept(name, policy, ROOMY)));
    let (at_a, at_b, at_c) = (here.create(|| Object), to_b.create(|| Object), to_c.create(|| Object));
    let calls = |next: &Watched<Object>| {
        let next = next.clone();
        move |_: &Object| drop(next.call(|_| ()))
    };
    at_c.post(calls(&at_a)).unwrap();
    at_b.post(calls(&at_c)).unwrap();
    drop(at_b.call(|_| ()));
    drop((at_a, here, at_b, at_c, to_b, to_c));
}

judged! {
    bound 1;
    chain_of_three_same_causality: Never, |ghost| chain_of_three(ghost, SameCausality);
    chain_of_three_none: Always, |ghost| chain_of_three(ghost, None);
}

/// A → B → C → A in one chain.
fn chain_of_three(ghost: &Ghost, a: Reentrancy) {
    let process = Process::new();
    let here = ghost.enter(&process, Kept("a", a, ROOMY));
    let [to_b, to_c] = ["b", "c"].map(|name| ghost.spawn(&process, Kept(name, SameCausality, ROOMY)));
    let (at_a, at_b, at_c) = (here.create(|| Object), to_b.create(|| Object), to_c.create(|| Object));
    at_b.call(|_| at_c.call(|_| drop(at_a.call(|_| ()))).unwrap()).unwrap();
    drop((at_a, at_b, at_c, to_b, to_c, here));
}
