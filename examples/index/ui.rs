//! What is seen: the bar, and the lines that are printed.

use std::fmt;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use apartment::{IncomingCall, MessageFilter, ServerCall};
use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};

/// What the filters see: the calls that `writer` and `db` serve, those that `ui` serves, and those that are tried again.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) calls: AtomicU64,
    pub(crate) callbacks: AtomicU64,
    pub(crate) retries: AtomicU64,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tally { calls, callbacks, retries } = self;
        let [calls, callbacks, retries] = [calls, callbacks, retries].map(|n| n.load(Relaxed));
        write!(f, "{calls} calls, {callbacks} callbacks, {retries} retries")
    }
}

/// The filter of `ui`: it refuses nothing.
pub(crate) struct Callbacks(pub(crate) Arc<Tally>);

impl MessageFilter for Callbacks {
    fn handle_incoming(&self, _: &IncomingCall) -> ServerCall {
        self.0.callbacks.fetch_add(1, Relaxed);
        ServerCall::Handled
    }
}

pub(crate) struct Screen {
    /// It draws nothing where standard error is not a terminal.
    bar: ProgressBar,
    files: usize,
    words: usize,
    bytes: usize,
    unchanged: usize,
    gone: usize,
    skipped: usize,
}

impl Screen {
    pub(crate) fn new() -> Screen {
        let style = ProgressStyle::with_template("{msg:20} [{wide_bar}] {pos}/{len}, {eta}");
        let bar = ProgressBar::no_length().with_finish(ProgressFinish::AndClear);
        bar.set_style(style.expect("the template is well formed"));
        Screen { bar, files: 0, words: 0, bytes: 0, unchanged: 0, gone: 0, skipped: 0 }
    }

    pub(crate) fn doing(&mut self, what: String) {
        self.bar.set_message(what);
    }

    pub(crate) fn found(&mut self, missing: usize, unchanged: usize, gone: usize) {
        self.bar.set_length(missing as u64);
        (self.unchanged, self.gone) = (unchanged, gone);
    }

    pub(crate) fn read(&mut self, words: usize, bytes: usize) {
        self.files += 1;
        self.words += words;
        self.bytes += bytes;
        self.bar.set_message("reading");
        self.bar.inc(1);
    }

    pub(crate) fn skipped(&mut self, what: &str) {
        self.skipped += 1;
        self.bar.suspend(|| say(&format!("skipped {what}")));
        self.bar.inc(1);
    }

    pub(crate) fn done(&self) {
        self.bar.finish_and_clear();
    }

    pub(crate) fn figures(&self, took: Duration) -> String {
        let Screen { files, words, bytes, unchanged, gone, skipped, .. } = self;
        let seconds = took.as_secs_f64();
        format!(
            "{files} files, {words} words, {bytes} bytes in {seconds:.2} seconds; \
             {unchanged} unchanged, {gone} gone, {skipped} skipped"
        )
    }
}

/// Prints a line, if it can: whoever has closed the pipe may still want the index.
pub(crate) fn say(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}

pub(crate) fn complain(line: &str) {
    let _ = writeln!(io::stderr(), "index: {line}");
}
