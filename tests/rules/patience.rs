//! How long a test may take.

use crossbeam_channel::bounded;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::Duration;

/// How long a test may take before it counts as hanging: a wake-up that is lost is a failure, not a test without end. A
/// machine that is slow, or one that is played by another, says how many seconds it needs.
pub(crate) fn patience() -> Duration {
    let seconds = std::env::var("APARTMENT_TEST_PATIENCE");
    Duration::from_secs(seconds.map_or(30, |seconds| seconds.parse().expect("a number of seconds")))
}

/// Runs a body on a thread of its own, which is in no apartment: what came of it, or none if it hangs.
pub(crate) fn in_time<T: Send + 'static>(body: impl FnOnce() -> T + Send + 'static) -> Option<thread::Result<T>> {
    let (done, ended) = bounded(1);
    let player = thread::Builder::new().name(thread::current().name().unwrap_or("a rule").to_owned());
    let player = player.spawn(move || {
        let result = catch_unwind(AssertUnwindSafe(body));
        // Nobody listens if the test was given up.
        let _given_up = done.send(result);
    });
    let player = player.expect("a thread for the test can be started");
    let result = ended.recv_timeout(patience()).ok()?;
    player.join().expect("the test's thread catches the test's panics");
    Some(result)
}
