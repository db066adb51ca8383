//! The end of a process: what its apartments are asked, and what comes of it (rule LT-8).
//!
//! # Protocol
//!
//! One thread ends the process; the phase (see [`Ends`]) keeps others from it. What it does is in `apartment/end.rs`.
//!
//! *The query.* For each apartment that is asked there is a place in the [`Query`] and an [`Asked`] in the apartment's
//! queue, which fills the place once:
//!
//! | place | filled by |
//! |---|---|
//! | agrees, refuses, panicked | the apartment's thread, when the handler has returned |
//! | nobody | whoever drops the question unasked: the apartment refuses it, or ends; or its thread finds no handler |
//!
//! The asker waits until all are filled or its time is up, and then counts, once. What is not filled by then is a refusal. A
//! question that is found after the count is not asked any more; an answer that comes after it finds that out under the same
//! lock, and if it was a yes the thread tells its handler itself that it came to nothing. So who has said yes hears either
//! that the process ends or that it does not, and who has not answered in time has not agreed.
//!
//! The news of a failed query is sent before the phase goes back, and ahead of the queue like the query: the next query is
//! behind it.
//!
//! *The end.* All waits of it end at the deadline, so it ends whatever the handlers do: what it tells them it does not lend.
//! An apartment is *gone* when its last thread has left the library; one that is not gone at the deadline is cut off (see
//! `mailbox/end.rs`), which is a bit of its monitor and not a step of its door: the door goes on being moved by the
//! apartment's own threads, which find their objects and drop them as ever.

use super::Process;
use super::coming::Coming;
use crate::describe::ApartmentName;
use crate::error::{CallError, CantCallOut};
use crate::mailbox::Mailbox;
use crate::sync::{Arc, Bell, Mutex, Weak};
use std::error::Error as StdError;
use std::fmt;

/// An STA's say when its process is about to end, and its last chance to do something while all others are still there
/// (rule LT-8). One per STA, registered with [`register_end_handler`](crate::register_end_handler) or made with
/// [`StaBuilder::end_handler`](crate::StaBuilder::end_handler), and called on its thread only, with no lock held.
/// [`Process::end`] says when.
#[doc(alias("WM_QUERYENDSESSION", "WM_ENDSESSION"))]
pub trait EndHandler {
    /// Whether the process may end. It is asked as an input-synchronized call (rule CK-3): ahead of what is queued, under
    /// every re-entrancy policy, without asking the filter; nothing else comes in meanwhile, and no synchronous call can
    /// leave the apartment. A panic is a no.
    fn query_end(&self) -> bool {
        true
    }

    /// Somebody else has refused: the process does not end. Told to those who agreed; called as a one-way call.
    fn end_cancelled(&self) {}

    /// The process ends. Called as an ordinary call, and may call out: all apartments are still there. Nothing new can be
    /// made any more. What fails here, a panic too, is ignored and recorded.
    fn ending(&self) {}
}

/// A process has ended; what is left of it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Ended {
    /// The apartments whose threads are still in: entered threads that have not left, and threads that are busy. Calls to
    /// them are `Disconnected`, and what was queued is answered; they drop their objects when they leave.
    pub still_in: Vec<ApartmentName>,
    /// Whether it had been ended before, by somebody else or an earlier call.
    pub before: bool,
}

/// A process does not end, and nothing has changed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum EndRefused {
    /// These apartments did not agree.
    By(Vec<Refusal>),
    /// It cannot be ended from where the calling thread stands.
    NotFromHere(NotFromHere),
    /// Somebody is ending it already.
    UnderWay,
}

/// An apartment that did not agree to the end of its process.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Refusal {
    /// The apartment.
    pub apartment: ApartmentName,
    /// Why.
    pub why: WhyRefused,
}

/// Why an apartment's answer counts as a refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WhyRefused {
    /// Its handler said no.
    Refused,
    /// There was no answer in time: its thread is busy, or does not pump.
    NoAnswer,
    /// Its handler panicked; with the panic's message.
    Panicked(Arc<str>),
}

/// Why a process cannot be ended from where the calling thread stands; mostly it would wait for apartments that wait for
/// it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NotFromHere {
    /// A filter's method or an input-synchronized call is running, in which a wait serves nothing (rules CK-3, CK-4).
    CantCallOut(CantCallOut),
    /// A call of another thread's is being served, which waits for its end.
    InCall,
    /// Under strict rules: the thread is in no apartment, and there is no MTA (rule ST-1).
    NotInitialized,
    /// The thread's host lets nothing block it (rule AP-9).
    MayNotBlock,
}

impl fmt::Display for EndRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::By(refusals) => {
                f.write_str("the process does not end: ")?;
                for (n, Refusal { apartment, why }) in refusals.iter().enumerate() {
                    let and = if n > 0 { "; " } else { "" };
                    match why {
                        WhyRefused::Refused => write!(f, "{and}{apartment} refused")?,
                        WhyRefused::NoAnswer => write!(f, "{and}{apartment} did not answer in time")?,
                        WhyRefused::Panicked(message) => write!(f, "{and}{apartment} panicked: {message}")?,
                    }
                }
                Ok(())
            }
            Self::NotFromHere(NotFromHere::CantCallOut(why)) => {
                write!(f, "the process cannot be ended from here: {why}")
            }
            Self::NotFromHere(NotFromHere::InCall) => {
                f.write_str("the process cannot be ended from here: a call is being served whose caller waits for it")
            }
            Self::NotFromHere(NotFromHere::NotInitialized) => {
                write!(f, "the process cannot be ended from here: {}", CallError::NotInitialized)
            }
            Self::NotFromHere(NotFromHere::MayNotBlock) => {
                f.write_str("the process cannot be ended from here: the thread's host lets nothing block it")
            }
            Self::UnderWay => f.write_str("the process is being ended already"),
        }
    }
}

impl StdError for EndRefused {}

/// The apartments of a process and how far its end has come. It has a lock of its own, the *list's*, never held together
/// with any other.
///
/// | phase | apartments are made | moved on by |
/// |---|---|---|
/// | `Lives` | yes | who ends it, and is the only one from here on: `Asking` |
/// | `Asking` | yes | the same: `Lives` if somebody refused, or `Ending` |
/// | `Ending` | no | the same: `Over` |
/// | `Over` | no | nobody |
///
/// An apartment is put on the list before anything else knows of it, and the step to `Ending` takes the list under the
/// same lock: so every apartment is on the list, or was refused.
pub(super) struct Ends(Mutex<State>);

struct State {
    phase: Phase,
    /// In the order of their making; those that are gone may still be there.
    apartments: Vec<Weak<Mailbox>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Lives,
    Asking,
    Ending,
    Over,
}

/// What somebody who wants to end the process finds.
pub(crate) enum Begins {
    /// It is theirs to end.
    Here,
    UnderWay,
    Over,
}

impl Ends {
    pub(super) fn new() -> Self {
        Self(Mutex::new(State { phase: Phase::Lives, apartments: Vec::new() }))
    }
}

impl Process {
    /// An apartment is about to be made.
    pub(crate) fn apartment_begins(&self, mailbox: &Arc<Mailbox>) -> Result<(), CallError> {
        let mut state = self.ends().0.lock();
        if matches!(state.phase, Phase::Ending | Phase::Over) {
            return Err(CallError::ServerStopping);
        }
        let listed = &mut state.apartments;
        if listed.len() == listed.capacity() {
            // Those that have gone are struck off when there is no room left; else each that begins would look at all.
            listed.retain(|listed| listed.strong_count() > 0);
            listed.reserve(listed.len() + 1);
        }
        listed.push(Arc::downgrade(mailbox));
        Ok(())
    }

    /// The apartments that there are, in the order of their making.
    pub(crate) fn apartments(&self) -> Vec<Arc<Mailbox>> {
        let state = self.ends().0.lock();
        state.apartments.iter().filter_map(Weak::upgrade).collect()
    }

    pub(crate) fn begin_query(&self) -> Begins {
        let mut state = self.ends().0.lock();
        match state.phase {
            Phase::Lives => {
                state.phase = Phase::Asking;
                Begins::Here
            }
            Phase::Asking | Phase::Ending => Begins::UnderWay,
            Phase::Over => Begins::Over,
        }
    }

    /// Somebody refused.
    pub(crate) fn query_failed(&self) {
        self.ends().0.lock().phase = Phase::Lives;
    }

    /// All agreed: nothing is made from here on. Gives the apartments in the order in which they leave: the youngest
    /// first, hosts after the others, the main STA last.
    pub(crate) fn begin_ending(&self) -> Vec<Arc<Mailbox>> {
        let mut state = self.ends().0.lock();
        state.phase = Phase::Ending;
        self.common().stops();
        let apartments: Vec<_> = state.apartments.iter().filter_map(Weak::upgrade).collect();
        drop(state);
        self.wake_watching();
        in_leaving_order(apartments, |mailbox| (self.is_main(mailbox), mailbox.is_host()))
    }

    pub(crate) fn has_ended(&self) {
        self.ends().0.lock().phase = Phase::Over;
    }
}

/// From the order of their making into that of their leaving, by whether they are the main STA, and hosts.
fn in_leaving_order<T>(mut apartments: Vec<T>, is_main_is_host: impl Fn(&T) -> (bool, bool)) -> Vec<T> {
    apartments.reverse();
    apartments.sort_by_key(is_main_is_host);
    apartments
}

/// One question to all apartments that have a handler, and what they answer. Guarded by a lock of its own, under which
/// nothing else is locked and no user code runs.
pub(crate) struct Query {
    state: Mutex<Answers>,
    asker: Arc<Bell>,
}

struct Answers {
    asked: Vec<(Arc<Mailbox>, Option<Answer>)>,
    /// The asker has counted the answers: who comes now is too late.
    counted: bool,
}

#[derive(Clone)]
pub(crate) enum Answer {
    Agrees,
    Refuses,
    Panicked(Arc<str>),
    /// There is nobody to ask: the handler or the apartment has gone.
    Nobody,
}

/// What the answers come to.
pub(crate) struct Count {
    pub(crate) refusals: Vec<Refusal>,
    /// Who is to be told that it comes to nothing.
    pub(crate) agreed: Vec<Arc<Mailbox>>,
}

impl Query {
    pub(crate) fn new(asker: Arc<Bell>) -> Arc<Self> {
        Arc::new(Self { state: Mutex::new(Answers { asked: Vec::new(), counted: false }), asker })
    }

    /// One more is asked. None if it has been already.
    pub(crate) fn asks(self: &Arc<Self>, mailbox: &Arc<Mailbox>) -> Option<Asked> {
        let mut state = self.state.lock();
        if state.asked.iter().any(|(asked, _)| Arc::ptr_eq(asked, mailbox)) {
            return None;
        }
        state.asked.push((Arc::clone(mailbox), None));
        Some(Asked { query: Arc::clone(self), at: state.asked.len() - 1 })
    }

    /// Whether every answer is there.
    pub(crate) fn is_answered(&self) -> bool {
        self.state.lock().asked.iter().all(|(_, answer)| answer.is_some())
    }

    /// What the answers come to. Those that are missing come too late from here on, and count as refusals.
    pub(crate) fn count(&self) -> Count {
        let mut state = self.state.lock();
        state.counted = true;
        let mut count = Count { refusals: Vec::new(), agreed: Vec::new() };
        for (mailbox, answer) in &state.asked {
            let why = match answer {
                Some(Answer::Nobody) => continue,
                Some(Answer::Agrees) => {
                    count.agreed.push(Arc::clone(mailbox));
                    continue;
                }
                Some(Answer::Refuses) => WhyRefused::Refused,
                Some(Answer::Panicked(message)) => WhyRefused::Panicked(Arc::clone(message)),
                None => WhyRefused::NoAnswer,
            };
            count.refusals.push(Refusal { apartment: mailbox.name.clone(), why });
        }
        count
    }
}

/// The question as it stands in one apartment's queue. Dropped there unanswered, it says that there is nobody to ask.
pub(crate) struct Asked {
    query: Arc<Query>,
    at: usize,
}

impl Asked {
    pub(crate) fn is_too_late(&self) -> bool {
        self.query.state.lock().counted
    }

    /// False if that comes too late.
    pub(crate) fn answer(&self, answer: Answer) -> bool {
        let mut state = self.query.state.lock();
        let in_time = !state.counted;
        let (_, place) = &mut state.asked[self.at];
        if place.is_none() {
            *place = Some(answer);
        }
        drop(state);
        self.query.asker.ring();
        in_time
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.answer(Answer::Nobody);
    }
}

/// Tells whoever waits, when it is dropped: what they wait for has run, or never will.
pub(crate) struct TellsOver(pub(crate) Arc<Coming>);

impl Drop for TellsOver {
    fn drop(&mut self) {
        self.0.settle(Ok(()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lt_8_the_youngest_leaves_first_then_hosts_then_the_main_sta() {
        let (main, host) = ((true, false), (false, true));
        let made = vec![("a", main), ("b", host), ("c", (false, false)), ("d", host), ("e", (false, false))];
        let leave = in_leaving_order(made, |(_, is)| *is);
        assert_eq!(leave.iter().map(|(name, _)| *name).collect::<String>(), "ecdba");
        let host_main = vec![("a", (true, true)), ("b", (false, false)), ("c", host)];
        let leave = in_leaving_order(host_main, |(_, is)| *is);
        assert_eq!(leave.iter().map(|(name, _)| *name).collect::<String>(), "bca");
    }
}
