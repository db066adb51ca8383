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
    CallOptions, CallType, Error, IncomingCall, MessageFilter, Process, Proxy, RejectedCall, Retry, ServerCall,
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
    let process = Process::new();
    let busy = Arc::new(AtomicU32::new(0));
    let filter = Busy(Arc::clone(&busy));
    let client = process.sta("client").filter(|| filter).spawn()?;
    let server = process.mta().spawn()?;
    let (at_client, at_server) = (client.create(|| ())?, server.create(|| ())?);

    // So that all is there that is made once.
    retry(&busy, &at_client, &at_server, retries / 10)?;
    let before = count();
    let began = Instant::now();
    let attempts = retry(&busy, &at_client, &at_server, retries)?;
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

/// One call of the client's into the MTA, whose callback is sent away that often before it runs: how often it was tried.
fn retry(busy: &AtomicU32, client: &Proxy<()>, server: &Proxy<()>, times: u32) -> Result<u32, Error> {
    busy.store(times, Relaxed);
    let attempts = AtomicU32::new(1);
    let again = |_: &RejectedCall| {
        attempts.fetch_add(1, Relaxed);
        Retry::Now
    };
    client.call(|()| server.call(|()| client.with(&CallOptions::new().retry(again)).call(|()| ())))???;
    Ok(attempts.into_inner())
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
