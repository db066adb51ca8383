//! Who does what, and whether they get on: a thread that does not is reported with a look at its processes.

use apartment::Process;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

/// The limit of all waits: longer than anybody's patience, so that what hangs is seen from outside first.
pub(crate) const LONG: Duration = Duration::from_secs(3_600);

/// A driver's last step, as anybody may read it.
struct Step {
    count: AtomicU64,
    kind: AtomicUsize,
    busy: AtomicU64,
}

static STEPS: [Step; 17] =
    [const { Step { count: AtomicU64::new(0), kind: AtomicUsize::new(0), busy: AtomicU64::new(0) } }; 17];
/// The last one is not a driver's, but the program's own.
const PROGRAM: usize = 16;
static ROUND: AtomicU64 = AtomicU64::new(0);
static SEED: AtomicU64 = AtomicU64::new(0);
static LIVE: Mutex<Vec<(u64, Process)>> = Mutex::new(Vec::new());

/// While it lives, a driver or the program itself is expected to get on.
pub(crate) struct Busy(usize);

impl Busy {
    pub(crate) fn driver(index: usize) -> Self {
        STEPS[index].busy.store(1, Relaxed);
        Self(index)
    }

    pub(crate) fn program() -> Self {
        Self::driver(PROGRAM)
    }

    /// It does that now.
    pub(crate) fn step(&self, kind: usize) {
        let step = &STEPS[self.0];
        step.kind.store(kind, Relaxed);
        step.count.fetch_add(1, Relaxed);
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        STEPS[self.0].busy.store(0, Relaxed);
    }
}

/// While it lives, a report shows the process.
pub(crate) struct Shown(u64);

impl Shown {
    pub(crate) fn new(process: &Process) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let id = NEXT.fetch_add(1, Relaxed);
        LIVE.lock().expect("nobody panics under this lock").push((id, process.clone()));
        Self(id)
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        let mut live = LIVE.lock().expect("nobody panics under this lock");
        let place = live.iter().position(|(id, _)| *id == self.0);
        // Dropped without the lock.
        let process = place.map(|place| live.swap_remove(place));
        drop(live);
        drop(process);
    }
}

pub(crate) fn round(seed: u64, round: u64) {
    SEED.store(seed, Relaxed);
    ROUND.store(round, Relaxed);
}

/// Watches until the program ends.
pub(crate) fn begin(patience: Duration) {
    LIVE.lock().expect("nobody panics under this lock").reserve(256);
    let mut last = STEPS.each_ref().map(|_| (0, Instant::now()));
    let watch = move || {
        loop {
            thread::sleep(Duration::from_secs(1));
            for (index, (step, (count, since))) in STEPS.iter().zip(&mut last).enumerate() {
                let now = step.count.load(Relaxed);
                if step.busy.load(Relaxed) == 0 || now != *count {
                    (*count, *since) = (now, Instant::now());
                } else if since.elapsed() > patience {
                    let who = if index == PROGRAM { "the program".to_owned() } else { format!("driver {index}") };
                    stop(&format!("{who} has not got on for {patience:?}: it hangs"), 3);
                }
            }
        }
    };
    thread::Builder::new().name("watch".into()).spawn(watch).expect("a thread can be started");
}

/// Says what is wrong, and what all processes look like, and ends the program.
pub(crate) fn stop(what: &str, code: i32) -> ! {
    static STOPPING: Mutex<()> = Mutex::new(());
    // Whoever comes second waits for the end.
    let _one = STOPPING.lock();
    eprintln!("\n{what}");
    eprintln!("seed {}, round {}", SEED.load(Relaxed), ROUND.load(Relaxed));
    for (index, step) in STEPS.iter().enumerate().filter(|(_, step)| step.busy.load(Relaxed) == 1) {
        let who = if index == PROGRAM { "program".to_owned() } else { format!("driver {index}") };
        let name = crate::kinds::name(step.kind.load(Relaxed));
        eprintln!("{who:10} step {:6}: {name}", step.count.load(Relaxed));
    }
    let live = LIVE.lock().map(|live| live.clone()).unwrap_or_default();
    for (_, process) in &live {
        eprintln!("\n{}", process.snapshot());
        // How it came to that, if it was recorded, and else what there is now, and goes on.
        let recording = process.recording().unwrap_or_else(|| {
            let recording = process.record(500);
            thread::sleep(Duration::from_millis(100));
            recording
        });
        eprintln!("{}", recording.diagram());
    }
    std::process::exit(code)
}
