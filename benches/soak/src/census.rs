//! What must come out even: objects made and dropped, closures accepted and run.

use anyhow::{Result, ensure};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

static MADE: AtomicU64 = AtomicU64::new(0);
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// Lives in each object, and counts it.
pub(crate) struct Counted(());

impl Counted {
    pub(crate) fn new() -> Self {
        MADE.fetch_add(1, Relaxed);
        Self(())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        DROPPED.fetch_add(1, Relaxed);
    }
}

#[derive(Default)]
struct Errands {
    made: AtomicU64,
    ran: AtomicU64,
    unrun: AtomicU64,
}

impl Errands {
    const fn new() -> Self {
        Self { made: AtomicU64::new(0), ran: AtomicU64::new(0), unrun: AtomicU64::new(0) }
    }
}

/// Of these the sender knows whether they ran.
static CERTAIN: Errands = Errands::new();
/// Of these nobody can: the future was dropped, or the apartment may have ended first.
static EITHER: Errands = Errands::new();
/// What the senders were told.
static ACCEPTED: AtomicU64 = AtomicU64::new(0);
static REFUSED: AtomicU64 = AtomicU64::new(0);

/// Goes with a closure that is handed over, and counts whether it ran or was dropped unrun: one of both, once.
pub(crate) struct Errand {
    of: &'static Errands,
    ran: bool,
}

impl Errand {
    fn new(of: &'static Errands) -> Self {
        of.made.fetch_add(1, Relaxed);
        Self { of, ran: false }
    }

    /// One whose sender will say [`accepted`] or [`refused`].
    pub(crate) fn certain() -> Self {
        Self::new(&CERTAIN)
    }

    pub(crate) fn either() -> Self {
        Self::new(&EITHER)
    }

    pub(crate) fn run(mut self) {
        self.ran = true;
    }
}

impl Drop for Errand {
    fn drop(&mut self) {
        let count = if self.ran { &self.of.ran } else { &self.of.unrun };
        count.fetch_add(1, Relaxed);
    }
}

pub(crate) fn accepted() {
    ACCEPTED.fetch_add(1, Relaxed);
}

pub(crate) fn refused() {
    REFUSED.fetch_add(1, Relaxed);
}

static WRONG: AtomicBool = AtomicBool::new(false);
static WHAT: Mutex<String> = Mutex::new(String::new());

/// Something is wrong where no result can say so: in an object, or in its destructor.
pub(crate) fn wrong(what: String) {
    if !WRONG.swap(true, Relaxed) {
        *WHAT.lock().expect("nobody panics under this lock") = what;
    }
}

/// Whether something was [`wrong`].
pub(crate) fn nothing_wrong() -> Result<()> {
    ensure!(!WRONG.load(Relaxed), "{}", WHAT.lock().expect("nobody panics under this lock"));
    Ok(())
}

/// Whether everything that was made has been dropped.
pub(crate) fn all_dropped() -> bool {
    let settled =
        |errands: &Errands| errands.made.load(Relaxed) == errands.ran.load(Relaxed) + errands.unrun.load(Relaxed);
    MADE.load(Relaxed) == DROPPED.load(Relaxed) && settled(&CERTAIN) && settled(&EITHER)
}

/// That all is even, once nothing is under way any more.
pub(crate) fn even() -> Result<()> {
    nothing_wrong()?;
    let (made, dropped) = (MADE.load(Relaxed), DROPPED.load(Relaxed));
    ensure!(made == dropped, "{made} objects were made, and {dropped} dropped");
    for (name, errands) in [("certain", &CERTAIN), ("other", &EITHER)] {
        let (made, ran, unrun) = (errands.made.load(Relaxed), errands.ran.load(Relaxed), errands.unrun.load(Relaxed));
        ensure!(made == ran + unrun, "of {made} {name} closures {ran} ran and {unrun} were dropped unrun");
    }
    let (ran, unrun) = (CERTAIN.ran.load(Relaxed), CERTAIN.unrun.load(Relaxed));
    let (accepted, refused) = (ACCEPTED.load(Relaxed), REFUSED.load(Relaxed));
    ensure!(
        (ran, unrun) == (accepted, refused),
        "{accepted} closures were accepted and {refused} refused, but {ran} ran and {unrun} did not"
    );
    Ok(())
}

/// Objects made, closures handed over: for the report.
pub(crate) fn made() -> (u64, u64) {
    (MADE.load(Relaxed), CERTAIN.made.load(Relaxed) + EITHER.made.load(Relaxed))
}
