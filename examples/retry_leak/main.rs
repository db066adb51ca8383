//! A million retries, and what they leave behind: `cargo run --release --example retry_leak [RETRIES]`.
//!
//! In old versions of COM each retry of a refused call could leak an event handle and some memory (KB Q305661), where
//! a client in an STA calls into the MTA, whose object calls back, and the client's message filter says `RetryLater`. That
//! is what happens here, as often as is asked for. The process' memory, handles and threads are counted before and after, as
//! the system counts them. The program fails if any of them has grown with the number of retries.

use std::env;
use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Instant;

use apartment::{
    CallOptions, CallType, Clock, Error, IncomingCall, MessageFilter, Mta, Process, Proxy, RejectedCall, Retry,
    ServerCall, Sta,
};
use sysinfo::{ProcessesToUpdate, System, get_current_pid};

/// More than the noise, and less than one byte for each of a million retries.
const NOISE: u64 = 1 << 19;

/// The client's filter: sends so many callbacks away.
struct Busy(Arc<AtomicU32>);

impl MessageFilter for Busy {
    fn handle_incoming(&self, call: &IncomingCall) -> ServerCall {
        let sends_away = || self.0.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok();
        if call.call_type == CallType::Nested && sends_away() { ServerCall::RetryLater } else { ServerCall::Handled }
    }
}

/// What this process has, as far as the system tells.
struct Has {
    memory: Option<u64>,
    handles: Option<usize>,
    threads: Option<usize>,
}

fn main() -> ExitCode {
    let retries = match env::args().nth(1).map(|retries| retries.parse()) {
        None => 1_000_000,
        Some(Ok(retries)) => retries,
        Some(Err(error)) => {
            eprintln!("the first argument is the number of retries: {error}");
            return ExitCode::FAILURE;
        }
    };
    match run(retries) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(retries: u32) -> Result<bool, Error> {
    // The first two on a stage of their own: a recording of a million would be what leaks.
    let stage = Process::builder().clock(Clock::driven()).record(1_000).build();
    let scene = Scene::new(&stage)?;
    let recording = stage.recording().expect("it was made to record");
    let begin = recording.events().last().map_or(0, |event| event.seq);
    scene.retry(2)?;
    say(format_args!("Two retries:\n\n{}", recording.diagram().since(begin)));
    drop(scene);

    let scene = Scene::new(&Process::new())?;
    // So that all is there that is made once.
    scene.retry(retries / 10)?;
    let before = count();
    let began = Instant::now();
    let attempts = scene.retry(retries)?;
    let took = began.elapsed();
    let after = count();

    say(format_args!("{retries} retries in {:.1} s: attempt {attempts} was let in", took.as_secs_f64()));
    say(format_args!("{:8} {:>12} {:>12}", "", "before", "after"));
    say(row("memory", before.memory, after.memory));
    say(row("handles", before.handles, after.handles));
    say(row("threads", before.threads, after.threads));
    let more_memory = after.memory.zip(before.memory).is_some_and(|(after, before)| after > before + NOISE);
    let leaks = more_memory || after.handles > before.handles || after.threads > before.threads;
    say(if leaks { "They have left something behind." } else { "They have left nothing behind." });
    Ok(!leaks)
}

fn row(name: &str, before: Option<impl Display>, after: Option<impl Display>) -> String {
    let shown = |count: Option<String>| count.unwrap_or_else(|| "not told".into());
    let (before, after) = (before.map(|count| count.to_string()), after.map(|count| count.to_string()));
    format!("{name:8} {:>12} {:>12}", shown(before), shown(after))
}

/// The client, the server, and an object in each.
struct Scene {
    busy: Arc<AtomicU32>,
    client: Proxy<()>,
    server: Proxy<()>,
    _apartments: (Sta, Mta),
}

impl Scene {
    fn new(process: &Process) -> Result<Scene, Error> {
        let busy = Arc::new(AtomicU32::new(0));
        let filter = Busy(Arc::clone(&busy));
        let sta = process.sta("client").filter(|| filter).spawn()?;
        // One thread, so that none is started in the middle.
        let mta = process.mta().threads(1).spawn()?;
        Ok(Scene { busy, client: sta.create(|| ())?, server: mta.create(|| ())?, _apartments: (sta, mta) })
    }

    /// One call of the client's into the MTA, whose callback is sent away that often before it runs: how often it was
    /// tried.
    fn retry(&self, times: u32) -> Result<u32, Error> {
        self.busy.store(times, Relaxed);
        let attempts = AtomicU32::new(1);
        let again = |_: &RejectedCall| {
            attempts.fetch_add(1, Relaxed);
            Retry::Now
        };
        let call_back = || self.client.with(&CallOptions::new().retry(again)).call(|()| ());
        self.client.call(|()| self.server.call(|()| call_back()))???;
        Ok(attempts.into_inner())
    }
}

/// What the system says of this process.
fn count() -> Has {
    let own = get_current_pid().ok();
    let mut system = System::new();
    system.refresh_processes(ProcessesToUpdate::Some(own.as_slice()), true);
    let process = own.and_then(|own| system.process(own));
    Has {
        memory: process.map(|process| process.memory()),
        handles: process.and_then(|process| process.open_files()),
        threads: process.and_then(|process| process.tasks()).map(|tasks| tasks.len()),
    }
}

/// A reader that has gone away misses nothing.
fn say(line: impl Display) {
    let _ = writeln!(io::stdout(), "{line}");
}
