//! The harness itself: what it must find and what it must refuse.
#![cfg(loom)]

use apartment_models::{Model, Seen, big_stack};
use loom::sync::Mutex;
use loom::thread;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

/// Which of two threads comes first is open, and both are seen.
#[test]
fn every_order_is_seen() {
    let seen = Seen::new(&["main first", "main second"]);
    let see = seen.clone();
    Model::new("every order is seen").unbounded().check(move || {
        let first = Arc::new(Mutex::new(None));
        let other = thread::spawn({
            let first = first.clone();
            move || {
                first.lock().unwrap().get_or_insert("main second");
            }
        });
        let order = *first.lock().unwrap().get_or_insert("main first");
        other.join().unwrap();
        see.saw(order);
    });
    seen.all();
}

/// An outcome that cannot be is missed.
#[test]
#[should_panic(expected = "(\"lost\", 0)")]
fn an_outcome_that_never_comes_is_missed() {
    let seen = Seen::new(&["joined", "lost"]);
    let see = seen.clone();
    Model::new("an outcome that never comes is missed").preemptions(2).check(move || {
        let lock = Arc::new(Mutex::new(()));
        let other = thread::spawn({
            let lock = lock.clone();
            move || drop(lock.lock().unwrap())
        });
        drop(lock.lock().unwrap());
        other.join().unwrap();
        see.saw("joined");
    });
    seen.all();
}

/// What would end a search before its end is refused; without it the same model passes.
#[test]
fn a_search_that_would_be_cut_is_refused() {
    let plain = model_in_a_child("every_order_is_seen", None);
    let printed = String::from_utf8_lossy(&plain.stdout);
    let line = printed.split_once("model ").and_then(|(_, rest)| rest.lines().next());
    println!("model {}", line.expect("a model prints its line"));
    assert!(plain.status.success());

    for cut in ["LOOM_MAX_DURATION", "LOOM_MAX_PERMUTATIONS", "LOOM_MAX_PREEMPTIONS", "LOOM_CHECKPOINT_FILE"] {
        let refused = model_in_a_child("every_order_is_seen", Some(cut));
        let said = String::from_utf8_lossy(&refused.stderr);
        assert!(said.contains(&format!("{cut} is set")), "{said}");
        assert!(!refused.status.success());
    }
}

/// A cap makes a search smaller, says so, and asks for no outcome; without it the same model misses one.
#[test]
fn a_capped_search_says_so() {
    let capped = model_in_a_child("an_outcome_that_never_comes_is_missed", Some("MODELS_AT_MOST"));
    let printed = String::from_utf8_lossy(&capped.stdout);
    assert!(printed.contains("bound 1 CAPPED, its own is 2, 2 executions"), "{printed}");
    assert!(printed.contains("test did not panic as expected"), "{printed}");
    let whole = model_in_a_child("every_order_is_seen", None);
    assert!(whole.status.success() && !String::from_utf8_lossy(&whole.stdout).contains("CAPPED"));
}

/// One of the models above in a process of its own, with a variable set to 1 there.
fn model_in_a_child(test: &str, variable: Option<&str>) -> Output {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", test, "--nocapture"]).env_remove("MODELS_AT_MOST");
    child.envs(variable.map(|name| (name, "1"))).output().unwrap()
}

/// Without two threads that meet there is one execution, and nothing is shown by it.
#[test]
#[should_panic(expected = "one execution only")]
fn one_execution_is_a_failure() {
    Model::new("one execution is a failure").unbounded().check(|| thread::spawn(|| ()).join().unwrap());
}

/// A wait that nothing ends is a failure, and the line of the model says so.
#[test]
#[should_panic(expected = "deadlock")]
fn a_deadlock_is_a_failure() {
    Model::new("a deadlock is a failure").preemptions(1).check(|| {
        let locks = Arc::new((Mutex::new(()), Mutex::new(())));
        let other = thread::spawn({
            let locks = locks.clone();
            move || {
                let _one = locks.1.lock().unwrap();
                let _two = locks.0.lock().unwrap();
            }
        });
        {
            let _one = locks.0.lock().unwrap();
            let _two = locks.1.lock().unwrap();
        }
        other.join().unwrap();
    });
}

/// A search that fails leaves a file, from which a replay comes to the same failure; the file it leaves is the execution that
/// failed, and the next replay fails in its first.
#[test]
fn a_failure_leaves_a_file_that_replays() {
    const FAILS: &str = "APARTMENT_MODEL_FAILS";
    if std::env::var_os(FAILS).is_some() {
        Model::new("a failure leaves a file").preemptions(2).check(|| {
            let met = Arc::new(Mutex::new(0));
            let other = thread::spawn({
                let met = met.clone();
                move || *met.lock().unwrap() += 1
            });
            let before = *met.lock().unwrap();
            let after = *met.lock().unwrap();
            assert!(before == after, "somebody was there in between");
            other.join().unwrap();
        });
    }
    let child = |replay: Option<&Path>| {
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "a_failure_leaves_a_file_that_replays", "--nocapture"]).env(FAILS, "1");
        let output = child.envs(replay.map(|file| ("MODELS_REPLAY", file))).output().unwrap();
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(!output.status.success() && said.contains("somebody was there in between"), "{said}");
        said
    };
    let searched = child(None);
    assert!(searched.contains("executions, the last one failed"), "{searched}");
    let build = std::env::current_exe().unwrap();
    let left =
        build.ancestors().nth(3).unwrap().join("counterexamples/harness/a_failure_leaves_a_file_that_replays.json");
    let goes_on = "the replay's first execution does not fail";
    let near = child(Some(&left));
    assert!(near.contains(goes_on), "{near}");
    let exact = child(Some(&left));
    assert!(exact.contains("REPLAY") && !exact.contains(goes_on), "{exact}");
}

/// A loop that no other thread ends is a failure too, not a search without end.
#[test]
#[should_panic(expected = "Model exceeded maximum number of branches")]
fn a_livelock_is_a_failure() {
    Model::new("a livelock is a failure").unbounded().branches(100).check(|| {
        let lock = Arc::new(Mutex::new(false));
        let _other = thread::spawn({
            let lock = lock.clone();
            move || drop(lock.lock().unwrap())
        });
        while !*lock.lock().unwrap() {
            thread::yield_now();
        }
    });
}

/// 300 KiB of frames are no trouble on the big stack.
#[test]
fn the_big_stack_is_big() {
    fn deep(levels: usize) -> usize {
        let frame = std::hint::black_box([levels; 128]);
        if levels == 0 { 0 } else { deep(levels - 1) + frame[0] / levels }
    }
    Model::new("the big stack is big").unbounded().check(|| {
        let sum = Arc::new(Mutex::new(0));
        let other = thread::spawn({
            let sum = sum.clone();
            move || *sum.lock().unwrap() += 1
        });
        big_stack({
            let sum = sum.clone();
            move || *sum.lock().unwrap() += deep(300)
        });
        other.join().unwrap();
        assert_eq!(*sum.lock().unwrap(), 301);
    });
}
