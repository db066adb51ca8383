//! How a model is searched, and what it has to show for it.

use std::cell::Cell;
use std::fmt::Write;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread::Result;
use std::time::Instant;

/// What would end a search early, or begin it in the middle, and still call it a success.
const CUTS: [&str; 4] = ["LOOM_MAX_DURATION", "LOOM_MAX_PERMUTATIONS", "LOOM_MAX_PREEMPTIONS", "LOOM_CHECKPOINT_FILE"];

/// Caps the bound of every model, for a quick look that proves less.
const CAP: &str = "MODELS_AT_MOST";

/// How often one execution may branch before it counts as a livelock.
const BRANCHES: usize = 20_000;

thread_local! {
    /// Whether this test's last search was capped: not every outcome has to be in it then.
    static CAPPED: Cell<bool> = const { Cell::new(false) };
}

/// A model by name, whose search is not chosen yet: [`preemptions`](Model::preemptions) or
/// [`unbounded`](Model::unbounded).
pub struct Model(&'static str);

impl Model {
    /// A model. No two share a name: `.ci/models` counts the names.
    pub fn new(name: &'static str) -> Model {
        Model(name)
    }

    /// Looks at every execution in which at most `bound` threads are interrupted where they could have gone on: first at
    /// those with one interruption, then with two, and so on, for what is found at all is found soonest so.
    pub fn preemptions(self, bound: usize) -> Search {
        Search::new(self.0, (1..=bound).map(Some).collect())
    }

    /// Looks at every execution there is, after those with one, two and three interruptions.
    pub fn unbounded(self) -> Search {
        Search::new(self.0, vec![Some(1), Some(2), Some(3), None])
    }
}

/// A model and how it is searched.
pub struct Search {
    name: &'static str,
    /// One search after the other; the last is what the model claims.
    bounds: Vec<Option<usize>>,
    branches: usize,
}

impl Search {
    fn new(name: &'static str, bounds: Vec<Option<usize>>) -> Search {
        Search { name, bounds, branches: BRANCHES }
    }

    /// How often one execution may branch, instead of 20,000 times.
    pub fn branches(self, branches: usize) -> Search {
        Search { branches, ..self }
    }

    /// Searches all of it, running `body` once in every execution, and prints one line that says how many there were.
    ///
    /// `body` is the model's main thread: it has a stack of 32 KiB (see [`big_stack`]) and counts among the five
    /// threads that an execution may ever start. It fails where loom fails, and where there was only one
    /// execution: such a model shows nothing.
    ///
    /// `MODELS_AT_MOST=2` in the environment caps the bound of every model, for a quick look: the line then says so.
    pub fn check(self, body: impl Fn() + Send + Sync + 'static) {
        for cut in CUTS {
            assert!(
                std::env::var_os(cut).is_none(),
                "{cut} is set: a model is searched as it says itself, and to its end",
            );
        }
        let own = *self.bounds.last().expect("a model has a bound");
        let bounds = capped(&self.bounds);
        let is_capped = bounds.last() != Some(&own);
        CAPPED.set(is_capped);
        let cap = if is_capped { format!(" CAPPED, its own is {}", named(own)) } else { String::new() };

        let body = Arc::new(body);
        let start = Instant::now();
        let mut before = String::new();
        let mut count = 0;
        for (at, &bound) in bounds.iter().enumerate() {
            let outcome;
            (count, outcome) = self.search(bound, body.clone());
            if at + 1 == bounds.len() || outcome.is_err() {
                let (name, bound, time) = (self.name, named(bound), start.elapsed().as_secs_f64());
                let how = if outcome.is_ok() { "executions" } else { "executions, the last one failed" };
                println!("model {name}: bound {bound}{cap}, {count} {how}, {time:.1}s{before}");
            }
            if let Err(panic) = outcome {
                resume_unwind(panic);
            }
            let and = if at == 0 { "; before it, by bound" } else { "," };
            write!(before, "{and} {}: {count}", named(bound)).expect("a string takes all");
        }
        assert!(is_capped || count > 1, "model {}: one execution only, so no two threads ever met in it", self.name);
    }

    /// One search: how many executions there were, and whether the last one failed.
    fn search(&self, bound: Option<usize>, body: Arc<impl Fn() + Send + Sync + 'static>) -> (usize, Result<()>) {
        let mut search = loom::model::Builder::new();
        search.preemption_bound = bound;
        search.max_branches = self.branches;
        let executions = Arc::new(AtomicUsize::new(0));
        let counted = executions.clone();
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            search.check(move || {
                counted.fetch_add(1, Relaxed);
                body();
            });
        }));
        (executions.load(Relaxed), outcome)
    }
}

/// The bounds, none of them above what the environment allows.
fn capped(bounds: &[Option<usize>]) -> Vec<Option<usize>> {
    let Ok(most) = std::env::var(CAP) else { return bounds.to_vec() };
    let most = most.parse().ok().filter(|&most| most > 0).unwrap_or_else(|| panic!("{CAP} is not a bound: {most}"));
    match bounds.last() {
        Some(Some(own)) if *own <= most => bounds.to_vec(),
        _ => (1..=most).map(Some).collect(),
    }
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

    /// Fails unless each of them was seen, or the search before was capped by the environment.
    #[track_caller]
    pub fn all(&self) {
        if CAPPED.get() {
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
