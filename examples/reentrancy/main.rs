//! What an apartment lets in while it waits: `cargo run --example reentrancy`.
//!
//! The same story under each of the three policies. *word* calls *excel*, which calls *word* back before it answers: A, B,
//! A. In between a customer calls *word*, too.
//!
//! 1. *Classic*, as in COM: while *word* waits it serves whoever comes. Its method is re-entered by a stranger, and has to
//!    be written for that.
//! 2. *Same causality*, as in the application STA of Windows: the callback is of the chain that *word* waits for, and comes
//!    in; the customer waits until *word* is back in its loop.
//! 3. *None*: nothing comes in. The callback would wait for *word*, which waits for it: it fails at once with the cycle.
//!
//! The clock is driven, so that the three pictures can be compared line by line.

use std::cell::Cell;
use std::io::{self, Write};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use apartment::{CallError, Clock, Diagram, Error, Event, Process, Reentrancy, What};

/// In *word*.
#[derive(Default)]
struct Letter {
    written: Cell<u32>,
}

impl Letter {
    fn write(&self) {
        self.written.set(self.written.get() + 1);
    }
}

/// In *word*, too: what the customer wants to pay.
#[derive(Default)]
struct Invoice {
    paid: Cell<bool>,
}

/// In *excel*.
struct Sheet;

fn main() -> ExitCode {
    let mut told = String::new();
    let result =
        [Reentrancy::Classic, Reentrancy::SameCausality, Reentrancy::None].into_iter().try_for_each(|policy| {
            told.push_str(&story(policy)?);
            Ok::<_, Error>(())
        });
    // A reader that has gone away misses nothing.
    let _ = write!(io::stdout(), "{told}");
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn story(policy: Reentrancy) -> Result<String, Error> {
    let clock = Clock::driven();
    let process = Process::builder().clock(clock.clone()).record(1_000).build();
    let recording = process.recording().expect("it was made to record");
    let word = process.sta("word").reentrancy(policy).spawn()?;
    let excel = process.sta("excel").spawn()?;
    let letter = word.create(Letter::default)?;
    let invoice = word.create(Invoice::default)?;
    let sheet = excel.create(|| Sheet)?;
    let begin = recording.events().last().map_or(0, |event| event.seq);

    let (called_back, paid) = thread::scope(|scope| {
        let fill = || {
            let customer = scope.spawn(|| invoice.call(|invoice| invoice.paid.set(true)));
            // Until it was served, or has to wait.
            recording
                .until(|event| event.seq > begin && matches!(event.what, What::Held { .. } | What::Returned { .. }));
            clock.advance(Duration::from_millis(1));
            (letter.call(Letter::write), customer)
        };
        let (called_back, customer) = letter.call(|_| sheet.call(|_| fill()))??;
        let paid = customer.join().expect("the customer only calls");
        Ok::<_, CallError>((called_back, paid))
    })?;
    paid?;
    let mut events = recording.events();
    let pays =
        |event: &Event| matches!(&event.what, What::CallMade(made) if made.target.object == Some(invoice.object_id()));
    let (payer, payment) = events
        .iter()
        .find(|event| pays(event))
        .and_then(|event| Some((event.thread, event.call?.id)))
        .expect("the customer has called");
    // Whether *word* still sees the callback before that is taken back is open; that the customer is held is not.
    let is_payment = |event: &Event| event.call.is_some_and(|call| call.id == payment);
    events.retain(|event| !matches!(event.what, What::Held { .. }) || is_payment(event));
    let diagram = Diagram::of(&events).since(begin).named(payer, "customer");
    let called_back = match called_back {
        Ok(()) => "the letter is written".to_owned(),
        Err(error) => format!("the letter is not written: {error}"),
    };
    Ok(format!("{policy:?}: {called_back}\n\n{diagram}\n"))
}
