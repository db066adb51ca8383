//! A mailbox that fills because its owner does not dispatch: `cargo run --example full_mailbox`.
//!
//! COM says `RPC_E_SYS_CALL_FAILED` then, and whoever gets that has to find out alone that the callee's queue is full, and
//! why. Here a window waits for its disk in a way of its own, on a channel, and serves nothing meanwhile:
//!
//! 1. Its mailbox, with room for four, fills. The fifth line to draw is refused, and the error says which apartment it is,
//!    how full, since when it has dispatched nothing, what it executes instead and since when.
//! 2. A sender that can wait for room does, and has it when the window is back in its loop.
//! 3. The window had better wait with a call: it dispatches meanwhile, and a hundred lines go through its four places.
//!
//! The clock is driven, so that seconds pass at once.

use std::cell::Cell;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use apartment::{CallError, CallOptions, Clock, Error, MailboxFull, PostOptions, Process, Recording, WaitFor, What};

#[derive(Default)]
struct Window {
    lines: Cell<u32>,
}

impl Window {
    fn draw(&self) {
        self.lines.set(self.lines.get() + 1);
    }

    /// The mistake: the thread sleeps, and its apartment with it.
    fn wait_for_disk(&self, disk: &Receiver<()>) {
        // What it waits for is the other end's drop.
        let _gone = disk.recv();
    }
}

fn main() -> ExitCode {
    let mut told = Vec::new();
    let result = run(&mut |line: String| told.push(line));
    // A reader that has gone away misses nothing.
    let _ = writeln!(io::stdout(), "{}", told.join("\n"));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(say: &mut dyn FnMut(String)) -> Result<(), Error> {
    let clock = Clock::driven();
    let process = Process::builder().clock(clock.clone()).record(10_000).build();
    let recording = process.recording().expect("it was made to record");
    let ui = process.sta("ui").capacity(4).spawn()?;
    let window = ui.create(Window::default)?;
    let begin = last(&recording);

    say("1. The window waits for its disk on a channel, and dispatches nothing.".into());
    let (disk, ready) = channel::<()>();
    window.post(move |window| {
        window.lines.set(0);
        window.wait_for_disk(&ready);
    })?;
    // Its making was the first thing that the apartment did.
    nth(&recording, 2, |what| matches!(what, What::Began { .. }));
    clock.advance(Duration::from_secs(7));
    let refused = loop {
        match window.post(Window::draw) {
            Ok(()) => say(format!("   a line to draw; {} of {} places are taken", ui.apartment().queued(), 4)),
            Err(refused) => break refused,
        }
    };
    let (error, line) = refused.into_parts();
    say(format!("   another line: {error}"));
    let CallError::MailboxFull(full) = &error else { return Err(error) };
    diagnose(full, &error, say);
    say(format!("\n{}", recording.diagram().since(begin)));

    say("2. A sender that waits for room has it when the window is back in its loop.".into());
    let patient = PostOptions::new().wait_for_room();
    let begin = last(&recording);
    let sender = thread::scope(|s| {
        let sender = s.spawn(|| window.with(&patient).post(line).map_err(CallError::from));
        let waits = recording.until(|event| matches!(event.what, What::WaitBegan { on: WaitFor::Room, .. }));
        say(format!("   the same line again; it waits, with {} of 4 places taken", ui.apartment().queued()));
        drop(disk);
        sender.join().expect("a post does not panic").map(|()| waits.thread)
    })?;
    // Those two, and five lines.
    nth(&recording, 7, |what| matches!(what, What::Ended { .. }));
    let diagram = recording.diagram().since(begin).named(sender, "sender");
    say(format!("   {} lines are drawn\n\n{diagram}", window.call(|window| window.lines.get())?));

    say("3. The window waits for its disk with a call, and dispatches meanwhile.".into());
    let disk = process.sta("disk").spawn()?;
    let file = disk.create(|| ())?;
    window.call(|_| {
        file.call(|()| (0..100).try_for_each(|_| window.with(&patient).post(Window::draw).map_err(CallError::from)))
    })???;
    // Behind the last four lines, which may fill it.
    let in_turn = CallOptions::new().wait_for_room();
    let lines = window.with(&in_turn).call(|window| window.lines.get())?;
    say(format!("   {lines} lines are drawn, and none was refused"));
    Ok(())
}

/// The number of the last event so far: a diagram can begin behind it.
fn last(recording: &Recording) -> u64 {
    recording.events().last().map_or(0, |event| event.seq)
}

/// Waits for the how manieth event of a kind.
fn nth(recording: &Recording, nth: u32, is: impl Fn(&What) -> bool) {
    let mut seen = 0;
    recording.until(|event| {
        seen += u32::from(is(&event.what));
        seen == nth
    });
}

/// What the error knows, piece by piece: for a log, or a program that has to decide.
fn diagnose(full: &MailboxFull, error: &CallError, say: &mut dyn FnMut(String)) {
    say(format!("     HRESULT           {:#010X}, {:?}", error.hresult(), error.outcome()));
    say(format!("     apartment         {:?}", full.callee.name));
    say(format!("     queued            {} of {}", full.queued, full.capacity));
    say(format!("     dispatched last   {} s ago", full.idle_for.as_secs()));
    match &full.executing {
        Some((target, since)) => say(format!("     executing         {target}, for {} s", since.as_secs())),
        None => say("     executing         nothing".into()),
    }
}
