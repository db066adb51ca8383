//! How a model is searched: to its end, one bound after the other, and not in vain. This file is there to be copied.

use apartment::loom::model::Builder;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, Once};
use std::{env, panic};

thread_local! {
    /// The execution that is searched: its model, its bound, its number. (In std's, for loom's does not survive an execution.)
    static NOW: Cell<Option<(&'static str, usize, usize)>> = const { Cell::new(None) };
}

/// Runs a model in every order of steps in which a thread is interrupted at most once where it could have gone on; then at
/// most twice; and so on up to `deepest`, or to what `LOOM_MAX_PREEMPTIONS` says. So what takes few interruptions is found
/// with few.
///
/// Each execution returns how it ended, or panics. When all are over, each of `outcomes` has been seen, and no other: a
/// model in which what matters never happens shows nothing.
pub fn search(
    name: &'static str,
    deepest: usize,
    outcomes: &[&str],
    model: impl Fn() -> &'static str + Send + Sync + 'static,
) {
    tell_where_it_panics();
    let deepest = env::var("LOOM_MAX_PREEMPTIONS").map_or(deepest, |bound| bound.parse().expect("a bound is a number"));
    let file = env::var_os("LOOM_CHECKPOINT_FILE");
    let replays = file.as_ref().is_some_and(|file| Path::new(file).exists());
    let shallowest = if file.is_some() { deepest } else { 1 };
    let model = Arc::new(model);
    let mut seen = BTreeMap::new();
    for bound in shallowest..=deepest {
        let mut search = Builder::new();
        search.preemption_bound = Some(bound);
        search.max_branches = 20_000; // in one execution; more is a loop that nobody ends
        (search.max_duration, search.max_permutations) = (None, None); // it would stop there, and call that a success

        let counts = Arc::new(Mutex::new((0, BTreeMap::new())));
        let (model, counted) = (model.clone(), counts.clone());
        search.check(move || {
            let execution = {
                let mut counts = counted.lock().unwrap();
                counts.0 += 1;
                counts.0
            };
            NOW.set((!replays).then_some((name, bound, execution)));
            let outcome = model();
            *counted.lock().unwrap().1.entry(outcome).or_insert(0) += 1;
        });
        NOW.set(None);
        let executions;
        (executions, seen) = std::mem::take(&mut *counts.lock().unwrap());
        println!("model {name}: bound {bound}, {executions} executions: {seen:?}");
        assert!(executions > 1, "one execution only: no two threads have met");
    }
    assert!(!replays, "the execution in LOOM_CHECKPOINT_FILE does not fail any more: search without it");
    assert_eq!(seen.into_keys().collect::<Vec<_>>(), outcomes, "how executions ended, by the alphabet");
}

/// A panic says, too, in which execution it was, and how that is kept.
fn tell_where_it_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            before(panic);
            if let Some((name, bound, execution)) = NOW.get() {
                eprintln!("model {name}: that was execution {execution} of bound {bound}; to keep it in a file:");
                eprintln!(
                    "LOOM_CHECKPOINT_FILE={name}.json LOOM_CHECKPOINT_INTERVAL={execution} LOOM_MAX_PREEMPTIONS={bound}"
                );
            }
        }));
    });
}
