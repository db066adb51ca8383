//! A searchable index of a folder of text, kept in SQLite:
//! `cargo run --release --example index -- DIR --db FILE --find "words"`.
//!
//! ```text
//!    ui ──── run ───▶ Job ── a post per file ──▶ Reader      ui      this thread: the bar, and Ctrl-C
//!    ▲                 │                         │   │       Job     in the MTA: looks what has changed
//!    │               merge                     a row │       Reader  in the MTA: reads, on many threads
//!    │                 ▼                         ▼   │       Writer  in `writer`: hands over, with patience
//!    ├─── progress ── Index ◀───── a row ───── Writer│       Index   in `db`: the connection
//!    └─── progress ──────────────────────────────────┘
//! ```
//!
//! All but the posts are calls, which wait for their answer. An STA that waits can be called meanwhile: `ui`, which so
//! draws the bar, and `db`, when it waits for the bar. What then comes to `db` its filter sends away for a while.

mod db;
mod job;
mod stop;
mod ui;

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{env, fs, io, thread};

use apartment::{Mta, Proxy, Reentrancy, RetryFor, Sta};
use clap::Parser;

use crate::db::{Index, Patience, Writer};
use crate::job::{Job, Reader};
use crate::stop::{Cancelled, Failure, Stop};
use crate::ui::{Callbacks, Screen, Tally, complain, say};

/// How much may wait for an apartment: little, so that the readers are never far ahead of the database.
const MAILBOX: usize = 8;
/// How long `writer` tries to get a row into `db` while that is merging.
const PATIENCE: Duration = Duration::from_secs(60);

/// Keeps a searchable index of a folder of text in an SQLite file.
///
/// Indexing again reads only what has changed. Binary and unreadable files are skipped, and so are folders named `.git`
/// or `target`. After Ctrl-C, the index is as it was, or up to date.
#[derive(Parser)]
#[command(name = "index")]
struct Args {
    /// The folder to index [default: the project's own]
    dir: Option<PathBuf>,
    /// The file that holds the index, of one folder at a time [default: a file beside this program]
    #[arg(long, value_name = "FILE")]
    db: Option<PathBuf>,
    /// Prints the best hits for these words, once the index is up to date
    #[arg(long, value_name = "WORDS")]
    find: Option<String>,
}

fn main() -> ExitCode {
    let Err(failure) = run(Args::parse()) else { return ExitCode::SUCCESS };
    complain(&failure.to_string());
    // 130 is what a shell makes of a program that Ctrl-C has ended.
    if failure.is::<Cancelled>() { ExitCode::from(130) } else { ExitCode::FAILURE }
}

fn run(args: Args) -> Result<(), Failure> {
    let dir = args.dir.unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    // It is opened here too, so that a folder which cannot be read does not pass for an empty one.
    let root = fs::canonicalize(&dir)
        .and_then(|root| fs::read_dir(&root).map(|_| root))
        .map_err(|error| format!("cannot read the folder {}: {error}", dir.display()))?;
    let file = match args.db {
        Some(file) => file,
        None => env::current_exe()?.with_extension("sqlite"),
    };
    let stop = Stop::default();
    let ctrl_c = stop.clone();
    ctrlc::set_handler(move || {
        // What the end says, which may come at once, is said behind this.
        let _says = io::stderr().lock();
        ctrl_c.because(Cancelled.into());
        complain("cancelling");
    })?;
    work(&root, &file, args.find.as_deref(), &stop)
        .map_err(|failure| db::explain(stop.cause().unwrap_or(failure), &file))
}

fn work(root: &Path, file: &Path, find: Option<&str>, stop: &Stop) -> Result<(), Failure> {
    let started = Instant::now();
    let tally = Arc::new(Tally::default());
    let filter = Callbacks(Arc::clone(&tally));
    let ui = Sta::builder("ui").capacity(MAILBOX).filter(|| filter).enter()?;
    let screen = ui.create(|| RefCell::new(Screen::new()))?;
    let db = Sta::builder("db").capacity(MAILBOX).spawn()?;
    let index = db.try_create(|| Index::open(file, &screen, stop, &tally))??;

    update(root, file, &index, &screen, stop, &tally)?;
    screen.call_ref(|screen| screen.done())?;
    if let Some(words) = find {
        let hits = index.with(&stop.calls()).call(|index| index.find(words))??;
        if hits.is_empty() {
            say(&format!("nothing found for: {words}"));
        }
        for (path, snippet) in hits {
            let path = Path::new(&path);
            say(&path.strip_prefix(root).unwrap_or(path).display().to_string());
            say(&format!("    {}", snippet.split_whitespace().collect::<Vec<_>>().join(" ")));
        }
    }
    let figures = screen.call_ref(|screen| screen.figures(started.elapsed()))?;
    say(&format!("{figures}; {tally}"));
    Ok(())
}

/// Brings the index up to date. If that fails, everything ends in turn: the readers, `writer`, and in the end `db`,
/// whose transaction then has not been committed.
fn update(
    root: &Path,
    file: &Path,
    index: &Proxy<Index>,
    screen: &Proxy<RefCell<Screen>>,
    stop: &Stop,
    tally: &Arc<Tally>,
) -> Result<(), Failure> {
    // Other rows stay in its mailbox while it hands one over: served meanwhile, they would find `db` as busy, and each
    // would wait inside the one before.
    let writing = Sta::builder("writer").capacity(MAILBOX).reentrancy(Reentrancy::SameCausality);
    let filter = Patience { retry: RetryFor::new(PATIENCE), tally: Arc::clone(tally) };
    let writing = writing.filter(|| filter).spawn()?;
    let writer = writing.create(|| Writer { index: index.clone(), stop: stop.clone() })?;

    // A reader that waits for `writer` has another take over, until as many wait as read. And one thread is the job's.
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let mta = Mta::builder().capacity(MAILBOX).threads(cores).max_threads(2 * cores + 1).spawn()?;
    let reader = mta.create(|| Reader { writer, screen: screen.clone(), stop: stop.clone() })?;
    let job = mta.create(|| Job { index: index.clone(), screen: screen.clone(), reader, stop: stop.clone() })?;

    let calls = stop.calls();
    job.with(&calls).call(|job| job.run(root, file))??;
    // By now all files are handed out; the MTA ends when they are read.
    mta.join()?;
    index.with(&calls).call(|index| index.merge(usize::MAX))??;
    // From here on Ctrl-C is too late: a commit that is called cancelled may still have been one.
    index.call(|index| index.commit())?
}
