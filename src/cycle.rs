//! A cycle in which nobody can be served, as errors and events show it.

use crate::describe::{ApartmentName, CallTarget, Serves};
use crate::id::{ObjectId, ThreadId};
use crate::sync::Arc;
use std::fmt;
use std::panic::Location;
use std::time::Duration;

/// The cycle that a call, a join or a disconnecting would have closed (rule DL-1): who waits for whom, and in what.
///
/// It is shown as a ring, with a line for each waiter:
///
/// ```text
/// deadlock: nobody here can go on
/// ╭─▶ excel waits for word in Text::selection at src/excel.rs:120 (for 0.3 s), serves its own chain only
/// │   word waits for db in Table::find at src/word.rs:77 (for 0.2 s), serves its own chain only
/// ╰── db waits for excel in Sheet::value at src/db.rs:31 (for 0.0 s), serves its own chain only
/// ```
///
/// ```
/// use apartment::{CallError, Process, Reentrancy};
/// use std::sync::Barrier;
///
/// let process = Process::new();
/// let own_chain = |name| process.sta(name).reentrancy(Reentrancy::SameCausality).spawn();
/// let (excel, word) = (own_chain("excel")?, own_chain("word")?);
/// let (sheet, text) = (excel.create(|| ())?, word.create(|| ())?);
/// let both = Barrier::new(2);
/// // Each is in a call, and calls the other, which lets in its own chain only.
/// let crossed = std::thread::scope(|s| {
///     let one = s.spawn(|| sheet.call(|()| (both.wait(), text.call(|()| ())).1).unwrap());
///     let two = s.spawn(|| text.call(|()| (both.wait(), sheet.call(|()| ())).1).unwrap());
///     [one.join().unwrap(), two.join().unwrap()]
/// });
/// // One of the two was told, and the other went on.
/// let [told] = &crossed.iter().filter_map(|result| result.as_ref().err()).collect::<Vec<_>>()[..] else {
///     panic!("{crossed:?}")
/// };
/// let CallError::Deadlock(deadlock) = told else { panic!("{told}") };
/// assert_eq!(deadlock.cycle.len(), 2);
/// # Ok::<(), apartment::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Deadlock {
    /// Each waits for the one after it, and the last for the first, which is the one that was told.
    pub cycle: Vec<Waiter>,
}

/// One who waits in a [`Deadlock`].
#[derive(Clone, Debug)]
pub struct Waiter {
    /// The thread.
    pub thread: ThreadId,
    /// The thread's apartment; none if it is in none.
    pub apartment: Option<ApartmentName>,
    /// Whether that is the MTA, of which others may be waiting, too.
    pub in_mta: bool,
    /// What it waits for.
    pub awaits: Awaited,
    /// What it serves meanwhile.
    pub serves: Serves,
    /// The calls and messages that stand on its stack, innermost last: they end when this wait has ended.
    pub serving: Vec<CallTarget>,
    /// For how long it has waited.
    pub waited: Duration,
}

/// What a [`Waiter`] waits for.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Awaited {
    /// A call's reply.
    Call {
        /// Where it was sent.
        callee: ApartmentName,
        /// What it asks for, and from where in the source.
        target: CallTarget,
        /// Whether it has begun to run. It waits to be let in otherwise.
        started: bool,
    },
    /// Room in a mailbox.
    Room {
        /// Whose mailbox.
        callee: ApartmentName,
        /// What is to be put there, and from where in the source.
        target: CallTarget,
        /// How many entries held room.
        queued: usize,
        /// How many can.
        capacity: usize,
    },
    /// The end of an apartment: a join, or the drop of the handle that owns it.
    End {
        /// The apartment.
        of: ApartmentName,
        /// Where in the source it is joined; not known of a drop.
        location: Option<&'static Location<'static>>,
    },
    /// The end of the calls that run on an object which is being disconnected.
    Disconnect {
        /// The object's apartment.
        of: ApartmentName,
        /// The object.
        object: ObjectId,
        /// Where in the source it is disconnected.
        location: &'static Location<'static>,
    },
    /// The start of an apartment.
    Start {
        /// The apartment.
        of: ApartmentName,
    },
    /// The loading of a server (rule CL-5).
    Server {
        /// The server.
        server: Arc<str>,
    },
    /// The end of a worker (rule WA-3).
    Worker {
        /// Its name.
        name: Arc<str>,
        /// Where in the source it is joined.
        location: &'static Location<'static>,
    },
}

impl fmt::Display for Deadlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("deadlock: nobody here can go on")?;
        let last = self.cycle.len().saturating_sub(1);
        for (at, waiter) in self.cycle.iter().enumerate() {
            let edge = match at {
                0 => "╭─▶",
                at if at == last => "╰──",
                _ => "│  ",
            };
            write!(f, "\n{edge} {waiter}")?;
        }
        if last == 0 { f.write_str("\n╰── which is itself") } else { Ok(()) }
    }
}

impl fmt::Display for Waiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.apartment {
            Some(name) if self.in_mta => write!(f, "{} ({})", name.name, self.thread)?,
            Some(name) => f.write_str(&name.name)?,
            None => write!(f, "{}", self.thread)?,
        }
        let Self { awaits, waited, .. } = self;
        let serves = match self.serves {
            Serves::Everything => "everything",
            Serves::Chain => "its own chain only",
            Serves::InputSynchronized => "input-synchronized calls only",
            Serves::Nothing => "nothing",
        };
        write!(f, " waits for {awaits} (for {:.1} s), serves {serves}", waited.as_secs_f64())
    }
}

impl fmt::Display for Awaited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Call { callee, target, .. } => write!(f, "{} in {}", callee.name, Named(target)),
            Self::Room { callee, target, queued, capacity } => {
                write!(f, "room in {} ({queued} of {capacity} queued) for {}", callee.name, Named(target))
            }
            Self::End { of, location } => {
                write!(f, "the end of {}", of.name)?;
                location.map_or(Ok(()), |location| write!(f, " at {}", Place(location)))
            }
            Self::Disconnect { of, object, location } => {
                write!(f, "the calls on {object} of {}, which it disconnects at {}", of.name, Place(location))
            }
            Self::Start { of } => write!(f, "the start of {}", of.name),
            Self::Server { server } => write!(f, "the loading of server {server:?}"),
            Self::Worker { name, location } => write!(f, "the end of worker {name:?} at {}", Place(location)),
        }
    }
}

/// What was called, and from where.
struct Named<'a>(&'a CallTarget);

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.write_name(f)?;
        write!(f, " at {}", Place(self.0.location))
    }
}

struct Place(&'static Location<'static>);

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.0.file(), self.0.line())
    }
}
