//! The detector against a judge: small programs, enumerated outside of the models. In every execution of each the program
//! ends, or somebody is told `Deadlock` and then it ends; and whoever is told could, as the judge knows it, never have gone
//! on. Each says of itself whether one is told always, never, or in some executions only.
//!
//! Two that wait for each other are here; longer rings, and those that others meddle with, are in `judged_rings`.
#![cfg(loom)]

use apartment::{Process, Reentrancy, Reentrancy::Classic, Reentrancy::None, Reentrancy::SameCausality};
use apartment_models::{Ghost, Kept, Object, judged};
use loom::sync::mpsc;

const ROOMY: usize = 10;

// Two calls: one is told unless one of the two waits lets in everything.
judged! {
    bound 2;
    call_classic_against_call_classic: Never, |ghost| pair(ghost, Forward::Call, Classic, Back::Call, Classic);
    call_classic_against_call_same_causality: Never,
        |ghost| pair(ghost, Forward::Call, Classic, Back::Call, SameCausality);
    call_classic_against_call_none: Never, |ghost| pair(ghost, Forward::Call, Classic, Back::Call, None);
    call_same_causality_against_call_classic: Never,
        |ghost| pair(ghost, Forward::Call, SameCausality, Back::Call, Classic);
    call_same_causality_against_call_same_causality: Always,
        |ghost| pair(ghost, Forward::Call, SameCausality, Back::Call, SameCausality);
    call_same_causality_against_call_none: Always, |ghost| pair(ghost, Forward::Call, SameCausality, Back::Call, None);
    call_none_against_call_classic: Never, |ghost| pair(ghost, Forward::Call, None, Back::Call, Classic);
    call_none_against_call_same_causality: Always, |ghost| pair(ghost, Forward::Call, None, Back::Call, SameCausality);
    call_none_against_call_none: Always, |ghost| pair(ghost, Forward::Call, None, Back::Call, None);
}

// A call, against what is none: the other's post waits for room, or its call comes in under every policy.
judged! {
    bound 2;
    call_none_against_wait_for_room_classic: Never,
        |ghost| pair(ghost, Forward::Call, None, Back::PostThatWaitsForRoom, Classic);
    call_none_against_wait_for_room_none: Always,
        |ghost| pair(ghost, Forward::Call, None, Back::PostThatWaitsForRoom, None);
    call_same_causality_against_input_synchronized_call_classic: Never,
        |ghost| pair(ghost, Forward::Call, SameCausality, Back::InputSynchronizedCall, Classic);
    call_none_against_input_synchronized_call_classic: Never,
        |ghost| pair(ghost, Forward::Call, None, Back::InputSynchronizedCall, Classic);
}

// A wait for room, which comes as soon as B lets in what is queued there.
judged! {
    bound 2;
    wait_for_room_classic_against_call_none: Never,
        |ghost| pair(ghost, Forward::PostThatWaitsForRoom, Classic, Back::Call, None);
    wait_for_room_same_causality_in_a_chain_against_call_none: Always,
        |ghost| pair_in_a_chain(ghost, Forward::PostThatWaitsForRoom, SameCausality, Back::Call, None);
    wait_for_room_none_against_call_none: Always,
        |ghost| pair(ghost, Forward::PostThatWaitsForRoom, None, Back::Call, None);
    wait_for_room_none_against_wait_for_room_classic: Never,
        |ghost| pair(ghost, Forward::PostThatWaitsForRoom, None, Back::PostThatWaitsForRoom, Classic);
    wait_for_room_none_against_wait_for_room_none: Always,
        |ghost| pair(ghost, Forward::PostThatWaitsForRoom, None, Back::PostThatWaitsForRoom, None);
}

// An input-synchronized call, which B lets in whatever it waits for.
judged! {
    bound 2;
    input_synchronized_call_classic_against_call: Never,
        |ghost| pair(ghost, Forward::InputSynchronizedCall, Classic, Back::Call, Classic);
    input_synchronized_call_none_against_call: Never,
        |ghost| pair(ghost, Forward::InputSynchronizedCall, None, Back::Call, Classic);
    input_synchronized_call_classic_against_input_synchronized_call: Never,
        |ghost| pair(ghost, Forward::InputSynchronizedCall, Classic, Back::InputSynchronizedCall, Classic);
    input_synchronized_call_none_against_input_synchronized_call: Never,
        |ghost| pair(ghost, Forward::InputSynchronizedCall, None, Back::InputSynchronizedCall, Classic);
    input_synchronized_call_classic_against_wait_for_room: Never,
        |ghost| pair(ghost, Forward::InputSynchronizedCall, Classic, Back::PostThatWaitsForRoom, Classic);
    input_synchronized_call_none_against_wait_for_room: Never,
        |ghost| pair(ghost, Forward::InputSynchronizedCall, None, Back::PostThatWaitsForRoom, Classic);
}

// Ends: of B, of a worker, of the calls on an object that is disconnected; this may come before the call has begun, which then
// never does. No input-synchronized call comes from a worker, which is in no apartment.
judged! {
    bound 2;
    join_classic_in_a_chain_against_call: Never,
        |ghost| pair_in_a_chain(ghost, Forward::Join, Classic, Back::Call, Classic);
    join_same_causality_against_call: Never, |ghost| pair(ghost, Forward::Join, SameCausality, Back::Call, Classic);
    join_same_causality_in_a_chain_against_call: Always,
        |ghost| pair_in_a_chain(ghost, Forward::Join, SameCausality, Back::Call, Classic);
    join_none_against_call: Always, |ghost| pair(ghost, Forward::Join, None, Back::Call, Classic);
    join_none_against_wait_for_room: Always,
        |ghost| pair(ghost, Forward::Join, None, Back::PostThatWaitsForRoom, Classic);
    join_none_against_input_synchronized_call: Never,
        |ghost| pair(ghost, Forward::Join, None, Back::InputSynchronizedCall, Classic);
    drop_classic_in_a_chain_against_call: Never,
        |ghost| pair_in_a_chain(ghost, Forward::DropOfTheHandle, Classic, Back::Call, Classic);
    drop_same_causality_against_call: Never,
        |ghost| pair(ghost, Forward::DropOfTheHandle, SameCausality, Back::Call, Classic);
    drop_same_causality_in_a_chain_against_call: Always,
        |ghost| pair_in_a_chain(ghost, Forward::DropOfTheHandle, SameCausality, Back::Call, Classic);
    drop_none_against_call: Always, |ghost| pair(ghost, Forward::DropOfTheHandle, None, Back::Call, Classic);
    drop_none_against_wait_for_room: Always,
        |ghost| pair(ghost, Forward::DropOfTheHandle, None, Back::PostThatWaitsForRoom, Classic);
    drop_none_against_input_synchronized_call: Never,
        |ghost| pair(ghost, Forward::DropOfTheHandle, None, Back::InputSynchronizedCall, Classic);
    join_of_a_worker_classic_in_a_chain_against_call: Never,
        |ghost| pair_in_a_chain(ghost, Forward::JoinOfAWorker, Classic, Back::Call, Classic);
    join_of_a_worker_same_causality_against_call: Never,
        |ghost| pair(ghost, Forward::JoinOfAWorker, SameCausality, Back::Call, Classic);
    join_of_a_worker_same_causality_in_a_chain_against_call: Always,
        |ghost| pair_in_a_chain(ghost, Forward::JoinOfAWorker, SameCausality, Back::Call, Classic);
    join_of_a_worker_none_against_call: Always, |ghost| pair(ghost, Forward::JoinOfAWorker, None, Back::Call, Classic);
    join_of_a_worker_none_against_wait_for_room: Always,
        |ghost| pair(ghost, Forward::JoinOfAWorker, None, Back::PostThatWaitsForRoom, Classic);
    disconnect_classic_in_a_chain_against_call: Never,
        |ghost| pair_in_a_chain(ghost, Forward::Disconnect, Classic, Back::Call, Classic);
    disconnect_same_causality_against_call: Never,
        |ghost| pair(ghost, Forward::Disconnect, SameCausality, Back::Call, Classic);
    disconnect_same_causality_in_a_chain_against_call: Sometimes,
        |ghost| pair_in_a_chain(ghost, Forward::Disconnect, SameCausality, Back::Call, Classic);
    disconnect_none_against_call: Sometimes, |ghost| pair(ghost, Forward::Disconnect, None, Back::Call, Classic);
    disconnect_none_against_wait_for_room: Sometimes,
        |ghost| pair(ghost, Forward::Disconnect, None, Back::PostThatWaitsForRoom, Classic);
    disconnect_none_against_input_synchronized_call: Never,
        |ghost| pair(ghost, Forward::Disconnect, None, Back::InputSynchronizedCall, Classic);
}

// A pool: its only thread is blocked, or there may be another.
judged! {
    bound 2;
    call_of_a_pool_of_one_classic_against_call: Never,
        |ghost| pair(ghost, Forward::CallOfAPoolOf(1), Classic, Back::Call, Classic);
    call_of_a_pool_of_one_same_causality_against_call: Always,
        |ghost| pair(ghost, Forward::CallOfAPoolOf(1), SameCausality, Back::Call, Classic);
    call_of_a_pool_of_one_none_against_call: Always,
        |ghost| pair(ghost, Forward::CallOfAPoolOf(1), None, Back::Call, Classic);
    call_of_a_pool_of_one_none_against_wait_for_room: Always,
        |ghost| pair(ghost, Forward::CallOfAPoolOf(1), None, Back::PostThatWaitsForRoom, Classic);
    call_of_a_pool_of_two_none_against_call: Never,
        |ghost| pair(ghost, Forward::CallOfAPoolOf(2), None, Back::Call, Classic);
}

/// What A does that waits for B.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Forward {
    Call,
    InputSynchronizedCall,
    PostThatWaitsForRoom,
    Join,
    DropOfTheHandle,
    JoinOfAWorker,
    Disconnect,
    CallOfAPoolOf(usize),
}

/// What runs at B meanwhile, and waits for A.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Back {
    Call,
    InputSynchronizedCall,
    PostThatWaitsForRoom,
}

/// Two that wait for each other, if both their waits hold what would end the other.
#[derive(Clone, Copy)]
struct Pair {
    forward: Forward,
    a: Reentrancy,
    back: Back,
    b: Reentrancy,
    /// What A does, it does in a post, and so in a chain.
    in_a_chain: bool,
}

fn pair(ghost: &Ghost, forward: Forward, a: Reentrancy, back: Back, b: Reentrancy) {
    Pair { forward, a, back, b, in_a_chain: false }.run(ghost);
}

fn pair_in_a_chain(ghost: &Ghost, forward: Forward, a: Reentrancy, back: Back, b: Reentrancy) {
    Pair { forward, a, back, b, in_a_chain: true }.run(ghost);
}

impl Pair {
    /// The program. The main thread is A.
    fn run(self, ghost: &Ghost) {
        let Self { forward, a, back, in_a_chain, .. } = self;
        let is_recorded = forward == Forward::DropOfTheHandle;
        let process = if is_recorded { Process::builder().record(1_000).build() } else { Process::new() };
        let is_full = back == Back::PostThatWaitsForRoom;
        let here = ghost.enter(&process, Kept("a", a, if is_full { 1 } else { ROOMY }));
        let at_a = here.create(|| Object);
        // Nobody waits for B's end where it is told that it would wait for ever.
        let (over, is_over) = mpsc::channel();
        let over = matches!(forward, Forward::Join | Forward::DropOfTheHandle | Forward::JoinOfAWorker).then_some(over);
        let waits_for_b = over.is_some();
        let meanwhile = {
            let at_a = at_a.clone();
            move || {
                match back {
                    Back::Call => drop(at_a.call(|_| ())),
                    Back::InputSynchronizedCall => drop(at_a.focus(|| ())),
                    Back::PostThatWaitsForRoom => {
                        drop(at_a.post_waiting(|_| ()));
                        drop(at_a.post_waiting(|_| ()));
                    }
                }
                if let Some(over) = over {
                    over.send(()).unwrap();
                }
            }
        };
        let forward = {
            let (ghost, process) = (ghost.clone(), process.clone());
            move || self.forward(&ghost, &process, meanwhile)
        };
        let kept = if in_a_chain {
            let (tell, told) = mpsc::channel();
            at_a.post(move |_| tell.send(forward()).unwrap()).unwrap();
            here.pump();
            told.recv().unwrap()
        } else {
            forward()
        };
        // What is still to be served here is served.
        drop((at_a, here));
        if waits_for_b {
            is_over.recv().unwrap();
        }
        drop(kept);
    }

    /// Makes B, where that runs, and waits for it. Gives what is to be dropped later.
    fn forward(self, ghost: &Ghost, process: &Process, meanwhile: impl FnOnce() + Send + 'static) -> Box<dyn Send> {
        match self.forward {
            Forward::JoinOfAWorker => {
                drop(ghost.work("b", meanwhile).join());
                Box::new(())
            }
            Forward::CallOfAPoolOf(threads) => {
                let pool = ghost.pool(process, threads);
                let at_b = pool.create(|| Object);
                at_b.post(move |_| meanwhile()).unwrap();
                drop(at_b.call(|_| ()));
                Box::new((at_b, pool))
            }
            forward => {
                let capacity = if forward == Forward::PostThatWaitsForRoom { 1 } else { ROOMY };
                let there = ghost.spawn(process, Kept("b", self.b, capacity));
                let at_b = there.create(|| Object);
                at_b.post(move |_| meanwhile()).unwrap();
                match forward {
                    Forward::Call => drop(at_b.call(|_| ())),
                    Forward::InputSynchronizedCall => drop(at_b.focus(|| ())),
                    Forward::Disconnect => drop(at_b.disconnect()),
                    Forward::PostThatWaitsForRoom => {
                        // The first gets its room once the post before it has begun, and keeps it.
                        drop(at_b.post_waiting(|_| ()));
                        drop(at_b.post_waiting(|_| ()));
                    }
                    Forward::Join => {
                        drop(there.join());
                        return Box::new(at_b);
                    }
                    _ => {
                        there.drop_it(process);
                        return Box::new(at_b);
                    }
                }
                Box::new((at_b, there))
            }
        }
    }
}
