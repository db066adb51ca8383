//! How a model is searched, and what it has to show for it.

use crate::counterexample;
use std::cell::Cell;
use std::fmt::Write;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread::Result;
use std::time::Instant;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt;

/// What would end a search early, or begin it in the middle, and still call it a success. The only other things that do in
/// loom 0.7 are `loom::stop_exploring` and `loom::skip_branch`, which `.ci/words` keeps out of the models.
const CUTS: [&str; 4] = ["LOOM_MAX_DURATION", "LOOM_MAX_PERMUTATIONS", "LOOM_MAX_PREEMPTIONS", "LOOM_CHECKPOINT_FILE"];

/// Caps the bound of every model, for a quick look that proves less.
const CAP: &str = "MODELS_AT_MOST";

/// Raises the bound of every model that has one, for a long look that proves more.
const DEEPER: &str = "MODELS_DEEPER";

/// How often one execution may branch before it counts as a livelock.
const BRANCHES: usize = 20_000;

thread_local! {
    /// Whether this test's last search was capped, or a replay: not every outcome has to be in it then.
    static PARTIAL: Cell<bool> = const { Cell::new(false) };
}

/// A model by name, whose search is not chosen yet: [`preemptions`](Model::preemptions) or
/// [`unbounded`](Model::unbounded).
pub struct Model {
    name: &'static str,
    file: &'static str,
    threads: usize,
    may_be_alone: bool,
}

impl Model {
    /// A model, which is a test of its own: `.ci/models` asks each test for one line.
    #[track_caller]
    pub fn new(name: &'static str) -> Model {
        Model { name, file: Location::caller().file(), threads: loom::MAX_THREADS, may_be_alone: false }
    }

    /// A test that a rule has anyway, and that is looked at as a model, too: in some there is only one thread.
    pub fn rule(name: &'static str) -> Model {
        Model { name, file: "rules.rs", threads: loom::MAX_THREADS, may_be_alone: true }
    }

    /// How many threads there may be, the main one and those that have ended included, instead of five: an execution
    /// that starts one more fails.
    pub fn threads(self, threads: usize) -> Model {
        Model { threads, ..self }
    }

    /// Looks at executions in which at most `bound` threads are interrupted where they could have gone on: first at
    /// those with one interruption, then with two, and so on, for what is found at all is found soonest so. After the last
    /// interruption loom follows one order only.
    pub fn preemptions(self, bound: usize) -> Search {
        Search { model: self, bound: Some(bound), branches: BRANCHES }
    }

    /// Looks at every execution there is, after those with one, two and three interruptions.
    pub fn unbounded(self) -> Search {
        Search { model: self, bound: None, branches: BRANCHES }
    }
}

/// A model and how it is searched.
pub struct Search {
    model: Model,
    bound: Option<usize>,
    branches: usize,
}

impl Search {
    /// How often one execution may branch, instead of 20,000 times.
    pub fn branches(self, branches: usize) -> Search {
        Search { branches, ..self }
    }

    /// Searches all of it, running `body` once in every execution, and prints one line that says how many there were.
    ///
    /// `body` is the model's main thread: it has a stack of 32 KiB (see [`big_stack`]) and counts among the five
    /// threads that an execution may ever start. It fails where loom fails, and where there was only one
    /// execution: such a model shows nothing. A search that fails leaves a file for `.ci/replay`.
    ///
    /// In the environment `MODELS_AT_MOST=2` caps the bound of every model, for a quick look (0 for the quickest), and
    /// `MODELS_DEEPER=1` raises each that has one: the line then says so.
    pub fn check(self, body: impl Fn() + Send + Sync + 'static) {
        for cut in CUTS {
            assert!(
                std::env::var_os(cut).is_none(),
                "{cut} is set: a model is searched as it says itself, and to its end",
            );
        }
        let body = Arc::new(body);
        if let Some(file) = counterexample::to_replay() {
            return self.replay(&file, body);
        }
        let Model { name, threads, may_be_alone, .. } = self.model;
        let bounds = self.bounds();
        let last = *bounds.last().expect("there is always a bound");
        let is_capped = last.is_some_and(|last| self.bound.is_none_or(|own| last < own));
        PARTIAL.set(is_capped);
        let own = match named(self.bound) {
            own if is_capped => format!(" CAPPED, its own is {own}"),
            own if last != self.bound => format!(" DEEPER, its own is {own}"),
            _ => String::new(),
        };

        let start = Instant::now();
        let mut before = String::new();
        let mut count = 0;
        for &bound in &bounds {
            let outcome;
            (count, outcome) = self.search(bound, body.clone());
            if bound == last || outcome.is_err() {
                let (bound, time) = (named(bound), start.elapsed().as_secs_f64());
                let how = if outcome.is_ok() { "executions" } else { "executions, the last one failed" };
                println!(
                    "model {name}: bound {bound}{own}, {count} {how}, {time:.1}s, at most {threads} threads{before}"
                );
            }
            if let Err(panic) = outcome {
                resume_unwind(panic);
            }
            let and = if before.is_empty() { "; before it, by bound" } else { "," };
            write!(before, "{and} {}: {count}", named(bound)).expect("a string takes all");
        }
        assert!(
            is_capped || may_be_alone || count > 1,
            "model {name}: one execution only, so no two threads ever met in it"
        );
    }

    /// One bound after the other; the last is the model's own, unless the environment says otherwise.
    fn bounds(&self) -> Vec<Option<usize>> {
        let own = self.bound.map(|bound| bound + number(DEEPER).unwrap_or(0));
        match (own, number(CAP)) {
            (None, None) => vec![Some(1), Some(2), Some(3), None],
            (Some(0), _) | (_, Some(0)) => vec![Some(0)],
            (own, most) => (1..=own.unwrap_or(usize::MAX).min(most.unwrap_or(usize::MAX))).map(Some).collect(),
        }
    }

    fn builder(&self, bound: Option<usize>) -> loom::model::Builder {
        let mut search = loom::model::Builder::new();
        search.preemption_bound = bound;
        search.max_branches = self.branches;
        search.max_threads = self.model.threads;
        search
    }

    /// One search: how many executions there were, and whether the last one failed.
    fn search(&self, bound: Option<usize>, body: Arc<impl Fn() + Send + Sync + 'static>) -> (usize, Result<()>) {
        let mut search = self.builder(bound);
        let place = counterexample::place(self.model.file);
        if let Some(place) = &place {
            counterexample::mark(&mut search, place);
        }
        let executions = Arc::new(AtomicUsize::new(0));
        let counted = executions.clone();
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            search.check(move || {
                counted.fetch_add(1, Relaxed);
                body();
            });
        }));
        if let (Ok(()), Some(place)) = (&outcome, &place) {
            counterexample::forget(place);
        }
        (executions.load(Relaxed), outcome)
    }

    /// From a failing search's file on until the failure is met, with what `LOOM_LOG` and `LOOM_LOCATION` ask for.
    fn replay(&self, file: &Path, body: Arc<impl Fn() + Send + Sync + 'static>) {
        PARTIAL.set(true);
        let name = self.model.name;
        println!("model {name}: REPLAY of {}", file.display());
        let mut search = self.builder(self.bound);
        counterexample::replay(&mut search, file);
        let log = EnvFilter::from_env("LOOM_LOG");
        let log = tracing_subscriber::fmt().with_env_filter(log).without_time().with_ansi(false).set_default();
        let executions = Arc::new(AtomicUsize::new(0));
        let counted = executions.clone();
        search.check(move || {
            if counted.fetch_add(1, Relaxed) == 1 {
                println!("model {name}: the replay's first execution does not fail, so it goes on");
            }
            body();
        });
        drop(log);
        println!("model {name}: none of {} executions from there on fails", executions.load(Relaxed));
    }
}

/// A number from the environment.
fn number(variable: &str) -> Option<usize> {
    let value = std::env::var(variable).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{variable} is no number: {value}")))
}

fn named(bound: Option<usize>) -> String {
    bound.map_or("none".into(), |bound| bound.to_string())
}

/// What has to have been seen, each at least once, when all executions are over. It is std's own and no part of
/// the model: counting adds no executions.
///
/// ```text
/// let seen = Seen::new(&["reply", "timed out"]);
/// let see = seen.clone();
/// Model::new("…").unbounded().check(move || { …; see.saw("reply"); … });
/// seen.all();
/// ```
#[derive(Clone)]
pub struct Seen(Arc<[(&'static str, AtomicUsize)]>);

impl Seen {
    /// The outcomes that there must be.
    pub fn new(outcomes: &[&'static str]) -> Seen {
        Seen(outcomes.iter().map(|&outcome| (outcome, AtomicUsize::new(0))).collect())
    }

    /// This execution ended so.
    #[track_caller]
    pub fn saw(&self, outcome: &str) {
        let known = self.0.iter().find(|(name, _)| *name == outcome);
        known.unwrap_or_else(|| panic!("{outcome:?} is none of the outcomes there can be")).1.fetch_add(1, Relaxed);
    }

    /// Fails unless each of them was seen, or the search before was a part of its own: capped by the environment, or a replay.
    #[track_caller]
    pub fn all(&self) {
        if PARTIAL.get() {
            return;
        }
        let counts: Vec<_> = self.0.iter().map(|(name, count)| (*name, count.load(Relaxed))).collect();
        assert!(counts.iter().all(|(_, count)| *count > 0), "an outcome was never seen: {counts:?}");
    }
}

/// The stack of [`big_stack`], 512 KiB: loom counts it in words.
pub const BIG_STACK: usize = 65_536;

/// Starts a thread with a large stack: for what nests deeper than 32 KiB allow.
#[track_caller]
pub fn big_spawn<R: Send + 'static>(body: impl FnOnce() -> R + Send + 'static) -> loom::thread::JoinHandle<R> {
    let thread = loom::thread::Builder::new().stack_size(BIG_STACK).spawn(body);
    thread.expect("loom always starts a thread")
}

/// Runs `body` to its end on such a thread. It is one of the five threads.
#[track_caller]
pub fn big_stack<R: Send + 'static>(body: impl FnOnce() -> R + Send + 'static) -> R {
    big_spawn(body).join().expect("loom ends the model at a panic")
}
