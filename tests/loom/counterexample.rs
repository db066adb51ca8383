//! A failing execution as a file, and its replay.
//!
//! A search leaves a mark every so often, loom's own checkpoint: what it looks at next. One that ends takes its mark away;
//! one that fails, or brings the process down, leaves it, and a replay goes on from there, marking each execution: the
//! mark it leaves is the execution that failed, and the next replay fails at once. `.ci/replay` does both.

use loom::model::Builder;
use std::path::{Path, PathBuf};

/// Names the file that is replayed instead of a search.
const REPLAY: &str = "MODELS_REPLAY";

/// A mark is a tenth of a millisecond's work: one in so many executions cannot be felt.
const INTERVAL: usize = 5_000;

/// The file in the environment that this test has to replay.
pub(crate) fn to_replay() -> Option<PathBuf> {
    std::env::var_os(REPLAY).map(PathBuf::from)
}

/// Where the search of this test leaves its marks: `counterexamples/FILE/TEST.json` in the build's directory. A binary
/// that was moved from there leaves none, nor does a test on a thread that has not its name (with `--test-threads=1`).
pub(crate) fn place(file: &str) -> Option<PathBuf> {
    let binary = std::env::current_exe().ok()?;
    let deps = binary.parent().filter(|parent| parent.ends_with("deps"))?;
    let thread = std::thread::current();
    let test = thread.name().filter(|name| *name != "main")?;
    let folder = deps.parent()?.parent()?.join("counterexamples").join(Path::new(file).file_stem()?);
    std::fs::create_dir_all(&folder).ok()?;
    Some(folder.join(format!("{test}.json")))
}

/// The search leaves its marks there from its first execution on.
pub(crate) fn mark(search: &mut Builder, place: &Path) {
    forget(place);
    search.checkpoint_file = Some(place.into());
    // A search that is over before it began marks its beginning.
    (search.checkpoint_interval, search.max_permutations) = (1, Some(1));
    search.check(|| unreachable!("no execution is within the limit"));
    (search.checkpoint_interval, search.max_permutations) = (INTERVAL, None);
}

/// The search has ended, and has found nothing.
pub(crate) fn forget(place: &Path) {
    // There may be none.
    let _ = std::fs::remove_file(place);
}

/// Looks at the executions that follow the mark, up to where the search would have left the next one, and marks each.
pub(crate) fn replay(search: &mut Builder, place: &Path) {
    assert!(place.exists(), "there is no file {} to replay", place.display());
    search.checkpoint_file = Some(place.into());
    (search.checkpoint_interval, search.max_permutations) = (1, Some(INTERVAL + 1));
}
