//! Conformance: scenarios of the rules, each played on a driven clock, and what happened compared with a picture that is
//! kept. `docs/scenarios.md` lists them all; it is made from here.
//!
//! # How to write one
//!
//! A scenario is a function in a file of `scenarios/`, one file for a group of rules, and a line in that file's table:
//!
//! ```ignore
//! scenarios! {
//!     /// While `word` waits for `excel`, `excel` calls back, and `word` serves that inside its wait.
//!     di_5_callback: "A callback comes in while its receiver waits", ["DI-5", "CA-1"];
//! }
//!
//! fn di_5_callback(stage: &Play) -> Result<(), CallError> {
//!     let (word, excel) = (stage.sta("word").spawn()?, stage.sta("excel").spawn()?);
//!     let (letter, sheet) = (word.create(|| Letter)?, excel.create(|| Workbook)?);
//!     stage.begin();                                  // what came before sets the scene and is not drawn
//!     letter.call(|_| sheet.call(|_| letter.call(|_| ()).unwrap()).unwrap())?;
//!     stage.end();                                    // and what comes after is not drawn either
//!     Ok(())
//! }
//! ```
//!
//! The name begins with the id of the rule that it is about, and is the golden file's; the sentence above it says what it
//! shows; the list has all the rules that it rests on. A new file needs a line in `scenarios/mod.rs`. The function makes
//! the assertions that are worth making, but the picture is the point: run it with `APARTMENT_BLESS=1`, which writes the
//! golden files and the table, and *read what it drew* before it is kept.
//!
//! ```text
//! APARTMENT_BLESS=1 cargo test --test conformance di_5_callback
//! APARTMENT_BLESS=1 cargo test --test conformance table
//! cargo test --test conformance
//! ```
//!
//! # That it is always the same picture
//!
//! The picture is drawn in canonical order, which removes what the rules leave open *between* threads and apartments. What
//! happens in one apartment stays in the order in which it happened, so the play has to fix that order: it waits for events,
//! never for time.
//!
//! - `stage.until(apartment, like!(Held))` waits until that has happened there, `until_nth` for the n-th; a call is in the
//!   callee's queue with `like!(Queued)`, has begun with `like!(Began)`. That it has come to its object too, and would not
//!   find it disconnected, only its closure can say, at a gate.
//! - Two calls from different threads to one apartment: wait for the first one's `Queued` before the second is made.
//! - A post is served some time: hold its apartment (`gate()`) while more is sent, or wait for its `Ended`.
//! - `stage.clock.advance(millis(150))` moves the time, once who is to wait for it waits (`WaitTurned { on: RetryTime }`).
//! - `stage.later()` moves it by 1 ms, for what the events do not order: a key that `main` turns, an actor that `main` starts
//!   only now. What is done after it is drawn after all that came before, if that has been waited for.
//! - Threads that are no apartment's are started with `stage.actor(scope, "customer", || …)`, which names their column. The
//!   test's own thread is `main`; in pictures it goes on when all others have come to rest.
//! - Proxies stay the body's own: an actor that takes one along drops it when it ends, which is an event.
//! - `stage.end()` before anything of the scene is dropped, and when all that is to be seen has happened.
//! - `stage.show(Topic::Lives)`, `stage.hide(Topic::Objects)`: what the picture shows; `stage.note("…")` is a line across it.
//!
//! What is named after one of the strict rules, `st_`, is played in a process that has them.
//!
//! Methods of an interface have a name, closures only their object's type: `call Letter`, `post Letter`. So objects of
//! different types tell the calls of a picture apart.

mod golden;
mod harness;
#[path = "../rules/patience.rs"]
mod patience;
mod scenarios;
// What the rules' tests are played on; a play needs only some of it.
#[allow(dead_code)]
#[path = "../rules/stage.rs"]
mod stage;
mod table;
