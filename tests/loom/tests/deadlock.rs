//! Deadlocks of each kind: with the detection one of those in the cycle is told and everybody ends, in every execution;
//! without it the same program waits for ever in some.
#![cfg(loom)]

use apartment::{CallError, PostOptions, Process, Proxy, Reentrancy, Sta, Worker, implements, interface};
use apartment_models::{Model, Seen};
use loom::sync::mpsc;
use loom::thread;
use std::cell::RefCell;
use std::process::Command;

/// Set in the child that looks at the same model without the detection.
const UNDETECTED: &str = "APARTMENT_MODEL_UNDETECTED";

/// A kind of deadlock: a program that says who was told.
struct Kind {
    model: &'static str,
    test: &'static str,
    bound: usize,
    /// Who may be told, each of them in some execution. Time stands still in a model, and of a call and a join that begin at
    /// once the join is told.
    told: &'static [&'static str],
    program: fn(Process) -> &'static str,
}

impl Kind {
    fn check(self) {
        let Self { model, test, bound, told, program } = self;
        if std::env::var_os(UNDETECTED).is_some() {
            Model::new(model).preemptions(bound).check(move || {
                program(Process::builder().without_deadlock_detection().build());
            });
            return;
        }
        let seen = Seen::new(told);
        let see = seen.clone();
        Model::new(model).preemptions(bound).check(move || see.saw(program(Process::new())));
        seen.all();
        // A deadlock stops the program, for its frames cannot be unwound: so it has one of its own.
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", test, "--nocapture"]).envs([(UNDETECTED, "1"), ("RUST_BACKTRACE", "0")]);
        let output = child.output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        // As the model checker says it: a panic in this file names the file, which says "deadlock", too.
        let deadlocks = !output.status.success() && said.contains("deadlock; threads");
        assert!(deadlocks, "without the detection it ends: {said}");
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
        process: &Process,
        tell: &mpsc::Sender<Proxy<()>>,
        other: &mpsc::Receiver<Proxy<()>>,
    ) -> Result<(), CallError> {
        let here = process.sta("one").reentrancy(Reentrancy::SameCausality).enter().unwrap();
        tell.send(here.create(|| ()).unwrap()).unwrap();
        let there = other.recv().unwrap();
        let called = there.call(|()| there.apartment().unwrap().quit());
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
        program: |process| {
            let (to_first, first) = mpsc::channel();
            let (to_second, second) = mpsc::channel();
            let other = thread::spawn({
                let process = process.clone();
                move || side(&process, &to_first, &second)
            });
            let mine = side(&process, &to_second, &first);
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
        program: |process| {
            let here = process.sta("b").enter().unwrap();
            let b = here.create(|| ()).unwrap();
            let other = thread::spawn(move || {
                let here = process.sta("a").reentrancy(Reentrancy::None).enter().unwrap();
                let a = here.create(|| ()).unwrap();
                let called = b.call(|()| {
                    told(a.call(|()| ()));
                    b.apartment().unwrap().quit();
                });
                called.unwrap();
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
        program: |process| {
            let here = process.sta("a").enter().unwrap();
            let a = here.create(|| ()).unwrap();
            let local = std::rc::Rc::new(here);
            let object = local.create({
                let local = local.clone();
                move || local
            });
            let object = object.unwrap();
            let other = thread::spawn(move || {
                let here = process.sta("x").reentrancy(Reentrancy::None).enter().unwrap();
                let x = here.create(|| ()).unwrap();
                let called = object.call(|entered| {
                    // On top of this call the post is served, and calls whoever waits for this.
                    a.post(move |()| told(x.call(|()| ()))).unwrap();
                    assert_eq!(entered.pump(), 1);
                    entered.apartment().quit();
                });
                called.unwrap();
                drop(object);
            });
            local.run();
            drop(local);
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
        program: |process| {
            let here = process.sta("sta").enter().unwrap();
            let mta = process.mta().threads(1).max_threads(1).spawn().unwrap();
            let (shared, home) = (mta.create(|| ()).unwrap(), here.create(|| ()).unwrap());
            shared.call(|()| home.call(|()| told(shared.call(|()| ())))).unwrap().unwrap();
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
        program: |process| {
            let here = process.sta("a").reentrancy(Reentrancy::None).enter().unwrap();
            let z = process.sta("z").spawn().unwrap();
            let (a, at_z) = (here.create(|| ()).unwrap(), z.create(|| ()).unwrap());
            let (tell, called) = mpsc::channel();
            at_z.post(move |()| tell.send(a.call(|()| ())).unwrap()).unwrap();
            z.quit();
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
        program: |process| {
            let here = process.sta("a").reentrancy(Reentrancy::None).enter().unwrap();
            let a = here.create(|| ()).unwrap();
            let (tell, called) = mpsc::channel();
            let worker = Worker::spawn("w", move || tell.send(a.call(|()| ())).unwrap()).unwrap();
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
        program: |process| {
            let here = process.sta("a").reentrancy(Reentrancy::None).enter().unwrap();
            let z = process.sta("z").spawn().unwrap();
            let (a, at_z) = (here.create(|| ()).unwrap(), z.create(|| ()).unwrap());
            let (tell, called) = mpsc::channel();
            let (begin, began) = mpsc::channel();
            at_z.post(move |()| {
                begin.send(()).unwrap();
                tell.send(a.call(|()| ())).unwrap();
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
        program: |process| {
            let here = process.sta("b").enter().unwrap();
            let b = here.create(|| ()).unwrap();
            let other = thread::spawn(move || {
                let here = process.sta("a").reentrancy(Reentrancy::None).capacity(1).enter().unwrap();
                let a = here.create(|| ()).unwrap();
                let called = b.call(|()| {
                    a.post(|()| ()).unwrap();
                    let wait = PostOptions::new().wait_for_room();
                    let (error, _closure) = a.with(&wait).post(|()| ()).unwrap_err().into_parts();
                    told::<()>(Err(error));
                    b.apartment().unwrap().quit();
                });
                called.unwrap();
                drop(a);
                drop(here);
            });
            here.run();
            drop(here);
            other.join().unwrap();
            "the post"
        },
    };
    kind.check();
}

interface! {
    trait Joins {
        fn join(&self) -> Result<bool, CallError> as input_sync;
    }
}

/// What joins an apartment, and whom it tells that before.
struct Handle(RefCell<Option<Sta>>, mpsc::Sender<()>);

impl Joins for Handle {
    fn join(&self) -> Result<bool, CallError> {
        self.1.send(()).unwrap();
        let joined = self.0.take().map(Sta::join);
        Ok(joined.is_some_and(|joined| is_deadlock(&joined)))
    }
}

implements!(Handle: dyn Joins);

/// An apartment that waits for its input-synchronized call serves none but others of that kind.
#[test]
fn dl_3_input_synchronized_wait() {
    let kind = Kind {
        model: "an input-synchronized wait",
        test: "dl_3_input_synchronized_wait",
        bound: 2,
        told: &["the join"],
        program: |process| {
            let here = process.sta("a").enter().unwrap();
            let z = process.sta("z").spawn().unwrap();
            let b = process.sta("b").spawn().unwrap();
            let (a, at_z) = (here.create(|| ()).unwrap(), z.create(|| ()).unwrap());
            let (tell, called) = mpsc::channel();
            let (begin, began) = mpsc::channel();
            // Once `a` waits for its input-synchronized call.
            at_z.post(move |()| {
                began.recv().unwrap();
                tell.send(a.call(|()| ())).unwrap();
            })
            .unwrap();
            drop(at_z);
            z.quit();
            let handle: Proxy<dyn Joins> = b.create(|| Handle(RefCell::new(Some(z)), begin)).unwrap().cast();
            let join_told = handle.join().unwrap();
            drop(handle);
            drop(here);
            let call_told = is_deadlock(&called.recv().unwrap());
            drop(b);
            match (join_told, call_told) {
                (true, false) => "the join",
                (false, true) => "the call",
                _ => panic!("both were told, or nobody"),
            }
        },
    };
    kind.check();
}
