//! Deadlocks of each kind: with the detection one of those in the cycle is told and everybody ends, in every execution;
//! without it the same program waits for ever in some. Whether it was one is judged by a ghost.
#![cfg(loom)]

use apartment::{CallError, Process, Reentrancy};
use apartment_models::{Ghost, Kept, Model, Object, Seen, Watched};
use loom::sync::mpsc;
use loom::thread;
use std::process::Command;
use std::rc::Rc;

/// Set in the child that looks at the same model without the detection.
const UNDETECTED: &str = "APARTMENT_MODEL_UNDETECTED";

const ROOMY: usize = 10;

/// A kind of deadlock: a program that says who was told.
struct Kind {
    model: &'static str,
    test: &'static str,
    bound: usize,
    /// Who may be told, each of them in some execution. Time stands still in a model, and of a call and a join that begin at
    /// once the join is told.
    told: &'static [&'static str],
    program: fn(&Ghost, Process) -> &'static str,
}

impl Kind {
    fn check(self) {
        let Self { model, test, bound, told, program } = self;
        if std::env::var_os(UNDETECTED).is_some() {
            Model::new(model).preemptions(bound).check(move || {
                program(&Ghost::new(), Process::builder().without_deadlock_detection().build());
            });
            return;
        }
        // A deadlock stops the program, for its frames cannot be unwound: so it has one of its own.
        let mut child = Command::new(std::env::current_exe().unwrap());
        // In a program of several files of models it bears this one's name before its own.
        let test = module_path!().split_once("::").map_or(test.to_owned(), |(_, file)| format!("{file}::{test}"));
        child.args(["--exact", &test, "--nocapture"]).envs([(UNDETECTED, "1"), ("RUST_BACKTRACE", "0")]);
        let output = child.output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        // As the model checker says it: a panic in this file names the file, which says "deadlock", too.
        let deadlocks = !output.status.success() && said.contains("deadlock; threads");
        assert!(deadlocks, "without the detection it ends: {said}");
        // Afterwards, for this takes away the counterexample that the other has left.
        let seen = Seen::new(told);
        let see = seen.clone();
        Model::new(model).preemptions(bound).check(move || {
            let ghost = Ghost::new();
            see.saw(program(&ghost, Process::new()));
            assert_eq!(ghost.verdict(), 1, "one is told");
        });
        seen.all();
    }
}

fn is_deadlock<T>(result: &Result<T, CallError>) -> bool {
    matches!(result, Err(CallError::Deadlock(_)))
}

#[track_caller]
fn told<T>(result: Result<T, CallError>) {
    assert!(is_deadlock(&result), "{}", result.err().map_or("it went on".to_owned(), |error| error.to_string()));
}

/// Who of the two was told; the other went on.
#[track_caller]
fn one_of<T, U>(
    first: (&'static str, Result<T, CallError>),
    second: (&'static str, Result<U, CallError>),
) -> &'static str {
    match (&first.1, &second.1) {
        (Err(CallError::Deadlock(_)), Ok(_)) => first.0,
        (Ok(_), Err(CallError::Deadlock(_))) => second.0,
        (Ok(_), Ok(_)) => panic!("nobody was told"),
        _ => panic!("both were told, or something else went wrong"),
    }
}

/// Two apartments that let in their own chain only call each other at once.
#[test]
fn dl_3_crossed_chains() {
    fn side(
        ghost: &Ghost,
        process: &Process,
        name: &'static str,
        tell: &mpsc::Sender<Watched<Object>>,
        other: &mpsc::Receiver<Watched<Object>>,
    ) -> Result<(), CallError> {
        let here = ghost.enter(process, Kept(name, Reentrancy::SameCausality, ROOMY));
        tell.send(here.create(|| Object)).unwrap();
        let there = other.recv().unwrap();
        let called = there.call(|_| there.quit());
        if is_deadlock(&called) {
            // The other's call has still to be served: it asks this apartment to quit.
            here.run();
        }
        drop(here);
        called
    }
    let kind = Kind {
        model: "crossed chains",
        test: "dl_3_crossed_chains",
        bound: 4,
        told: &["first", "second"],
        program: |ghost, process| {
            let (to_first, first) = mpsc::channel();
            let (to_second, second) = mpsc::channel();
            let other = thread::spawn({
                let (ghost, process) = (ghost.clone(), process.clone());
                move || side(&ghost, &process, "second", &to_first, &second)
            });
            let mine = side(ghost, &process, "first", &to_second, &first);
            one_of(("first", mine), ("second", other.join().unwrap()))
        },
    };
    kind.check();
}

/// An apartment that lets nobody in is called back.
#[test]
fn dl_3_called_back_where_nobody_comes_in() {
    let kind = Kind {
        model: "called back where nobody comes in",
        test: "dl_3_called_back_where_nobody_comes_in",
        bound: 3,
        told: &["the callback"],
        program: |ghost, process| {
            let here = ghost.enter(&process, Kept("b", Reentrancy::Classic, ROOMY));
            let b = here.create(|| Object);
            let other = thread::spawn({
                let ghost = ghost.clone();
                move || {
                    let here = ghost.enter(&process, Kept("a", Reentrancy::None, ROOMY));
                    let a = here.create(|| Object);
                    let called = b.call(|_| {
                        told(a.call(|_| ()));
                        b.quit();
                    });
                    called.unwrap();
                }
            });
            here.run();
            drop(here);
            other.join().unwrap();
            "the callback"
        },
    };
    kind.check();
}

/// A call that is buried under another on its stack.
#[test]
fn dl_3_buried_call() {
    let kind = Kind {
        model: "a buried call",
        test: "dl_3_buried_call",
        bound: 2,
        told: &["what is above it"],
        program: |ghost, process| {
            let here = Rc::new(ghost.enter(&process, Kept("a", Reentrancy::Classic, ROOMY)));
            let a = here.create(|| Object);
            let local = here.clone();
            let object = here.create(move || local);
            let other = thread::spawn({
                let ghost = ghost.clone();
                move || {
                    let here = ghost.enter(&process, Kept("x", Reentrancy::None, ROOMY));
                    let x = here.create(|| Object);
                    let called = object.call(|entered| {
                        // On top of this call the post is served, and calls whoever waits for this.
                        a.post(move |_| told(x.call(|_| ()))).unwrap();
                        assert_eq!(entered.pump(), 1);
                        entered.quit();
                    });
                    called.unwrap();
                    drop(object);
                }
            });
            here.run();
            drop(here);
            other.join().unwrap();
            "what is above it"
        },
    };
    kind.check();
}

/// The pool's only thread is blocked in a call, and called once more.
#[test]
fn dl_3_pool_at_its_maximum() {
    let kind = Kind {
        model: "a pool at its maximum",
        test: "dl_3_pool_at_its_maximum",
        bound: 3,
        told: &["the inner call"],
        program: |ghost, process| {
            let here = ghost.enter(&process, Kept("sta", Reentrancy::Classic, ROOMY));
            let mta = ghost.pool(&process, 1);
            let (shared, home) = (mta.create(|| Object), here.create(|| Object));
            shared.call(|_| home.call(|_| told(shared.call(|_| ())))).unwrap().unwrap();
            drop((shared, home));
            drop(mta);
            drop(here);
            "the inner call"
        },
    };
    kind.check();
}

/// An apartment that lets nobody in joins one that calls it.
#[test]
fn dl_3_join() {
    let kind = Kind {
        model: "a join",
        test: "dl_3_join",
        bound: 2,
        told: &["the join"],
        program: |ghost, process| {
            let here = ghost.enter(&process, Kept("a", Reentrancy::None, ROOMY));
            let z = ghost.spawn(&process, Kept("z", Reentrancy::Classic, ROOMY));
            let (a, at_z) = (here.create(|| Object), z.create(|| Object));
            let (tell, called) = mpsc::channel();
            at_z.post(move |_| tell.send(a.call(|_| ())).unwrap()).unwrap();
            let joined = z.join();
            drop(at_z);
            // What `z` has still to do is served here.
            drop(here);
            one_of(("the join", joined), ("the call", called.recv().unwrap().map(drop)))
        },
    };
    kind.check();
}

/// An apartment that lets nobody in joins a worker that calls it.
#[test]
fn dl_3_worker() {
    let kind = Kind {
        model: "a worker's join",
        test: "dl_3_worker",
        bound: 2,
        told: &["the join"],
        program: |ghost, process| {
            let here = ghost.enter(&process, Kept("a", Reentrancy::None, ROOMY));
            let a = here.create(|| Object);
            let (tell, called) = mpsc::channel();
            let worker = ghost.work("w", move || tell.send(a.call(|_| ())).unwrap());
            let joined = worker.join();
            // If the join was told, the call is still to be served.
            drop(here);
            one_of(("the join", joined), ("the call", called.recv().unwrap()))
        },
    };
    kind.check();
}

/// An apartment that lets nobody in disconnects an object whose call calls it.
#[test]
fn dl_3_disconnect() {
    let kind = Kind {
        model: "a disconnecting",
        test: "dl_3_disconnect",
        bound: 2,
        told: &["the disconnecting"],
        program: |ghost, process| {
            let here = ghost.enter(&process, Kept("a", Reentrancy::None, ROOMY));
            let z = ghost.spawn(&process, Kept("z", Reentrancy::Classic, ROOMY));
            let (a, at_z) = (here.create(|| Object), z.create(|| Object));
            let (tell, called) = mpsc::channel();
            let (begin, began) = mpsc::channel();
            at_z.post(move |_| {
                begin.send(()).unwrap();
                tell.send(a.call(|_| ())).unwrap();
            })
            .unwrap();
            began.recv().unwrap();
            let disconnected = at_z.disconnect();
            drop(at_z);
            drop(here);
            let who = one_of(("the disconnecting", disconnected), ("the call", called.recv().unwrap()));
            drop(z);
            who
        },
    };
    kind.check();
}

/// A post waits for room in a mailbox whose owner waits for the sender.
#[test]
fn dl_3_room() {
    let kind = Kind {
        model: "a wait for room",
        test: "dl_3_room",
        bound: 3,
        told: &["the post"],
        program: |ghost, process| {
            let here = ghost.enter(&process, Kept("b", Reentrancy::Classic, ROOMY));
            let b = here.create(|| Object);
            let other = thread::spawn({
                let ghost = ghost.clone();
                move || {
                    let here = ghost.enter(&process, Kept("a", Reentrancy::None, 1));
                    let a = here.create(|| Object);
                    let called = b.call(|_| {
                        a.post(|_| ()).unwrap();
                        told(a.post_waiting(|_| ()));
                        b.quit();
                    });
                    called.unwrap();
                    drop(a);
                    drop(here);
                }
            });
            here.run();
            drop(here);
            other.join().unwrap();
            "the post"
        },
    };
    kind.check();
}

/// An apartment that waits for its input-synchronized call serves none but others of that kind.
#[test]
fn dl_3_input_synchronized_wait() {
    let kind = Kind {
        model: "an input-synchronized wait",
        test: "dl_3_input_synchronized_wait",
        bound: 2,
        told: &["the join"],
        program: |ghost, process| {
            let here = ghost.enter(&process, Kept("a", Reentrancy::Classic, ROOMY));
            let b = ghost.spawn(&process, Kept("b", Reentrancy::Classic, ROOMY));
            let at_b = b.create(|| Object);
            let (tell, called) = mpsc::channel();
            let mut calls = Some((here.create(|| Object), tell));
            let mut joined = Ok(());
            let focused = at_b.focus(|| {
                let (a, tell) = calls.take().unwrap();
                joined = ghost.work("w", move || tell.send(a.call(|_| ())).unwrap()).join();
            });
            focused.unwrap();
            drop(here);
            let who = one_of(("the join", joined), ("the call", called.recv().unwrap()));
            drop((at_b, b));
            who
        },
    };
    kind.check();
}

/// A lets nothing in and waits for B, which calls it back; a third cancels that: also when a look has found who is stuck, and
/// before it has found the ring.
#[test]
fn dl_1_cancel_against_the_look() {
    let seen = Seen::new(&["cancelled", "told"]);
    let see = seen.clone();
    Model::new("a cancel against the look").preemptions(1).check(move || {
        let ghost = Ghost::new();
        let process = Process::new();
        let here = ghost.enter(&process, Kept("a", Reentrancy::None, ROOMY));
        let there = ghost.spawn(&process, Kept("b", Reentrancy::Classic, ROOMY));
        let (a, b) = (here.create(|| Object), there.create(|| Object));
        let called = b.call(|_| {
            let cancel = ghost.canceller();
            let canceller = thread::spawn({
                let cancel = cancel.clone();
                move || cancel.cancel()
            });
            let called = a.call_until(&cancel, |_| ());
            canceller.join().unwrap();
            called
        });
        see.saw(match called.unwrap() {
            Err(CallError::CallCanceled { .. }) => "cancelled",
            Err(CallError::Deadlock(_)) => "told",
            called => panic!("{called:?}"),
        });
        drop((a, b, there, here));
        ghost.verdict();
    });
    seen.all();
}
