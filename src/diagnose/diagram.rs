//! The diagram of a recording: what it is made of and what it shows.

use super::console;
use super::event::Event;
use super::recording::Recording;
use super::story;
use crate::id::ThreadId;
use std::fmt;

/// A recording as a sequence diagram in text (rule DG-3): a column per thread, an arrow for all that goes from one to
/// another, the time at the left and the reason at the right. It is a function of the events alone and shows them in
/// [canonical order](Event::canonical).
///
/// What a thread does at a row is its line: `│` it is there, `┃` it serves a call or a message, `┆` it waits and lets in
/// what may come in, `╎` it waits and is blocked. `──▶` is a call, `◀╌╌` its answer, `──▷` something for which nobody
/// waits, `──✗` a call that did not arrive; `●` is where something happened, `✗` where something failed. A thread bears
/// the name of its apartment; of the others the one that began the recording is `main`.
///
/// Briefly, as it is by default, it shows calls, refusals, filters' answers, cancels, messages, drops, ends and notes.
///
/// ```
/// use apartment::{Clock, Process};
///
/// let process = Process::builder().clock(Clock::driven()).record(1_000).build();
/// let (word, excel) = (process.sta("word").spawn()?, process.sta("excel").spawn()?);
/// let letter = word.create(|| "Dear Sir")?;
/// let sheet = excel.create(|| 12.5)?;
/// let recording = process.recording().unwrap();
/// let begin = recording.events().last().unwrap().seq;
/// letter.call(|_| sheet.call(|_| letter.call(|_| ()).unwrap()).unwrap())?;
/// let expected = "
///        main            word            excel
/// 0 ms     │─ call &str ──▶┃               │
///          ╎               ┃── call f64 ──▶┃
///          ╎               ┃◀── call &str ─┃
///          ╎               ┃╌╌╌╌╌╌╌╌╌╌╌╌╌╌▶┃
///          ╎               ┃◀╌╌╌╌╌╌╌╌╌╌╌╌╌╌┃
///          │◀╌╌╌╌╌╌╌╌╌╌╌╌╌╌┃               │
/// ";
/// assert_eq!(format!("\n{}", recording.diagram().since(begin)), expected);
/// # Ok::<(), apartment::Error>(())
/// ```
#[derive(Clone)]
pub struct Diagram {
    pub(super) events: Vec<Event>,
    pub(super) since: u64,
    pub(super) names: Vec<(ThreadId, String)>,
    levels: [Level; TOPICS],
}

/// What of a recording a [`Diagram`] shows or hides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Topic {
    /// Calls and posts: sent, begun, answered, refused.
    Calls,
    /// What a wait passes over. Briefly: once for each call, however many waits do.
    Holds,
    /// For what threads wait. Briefly: room.
    Waits,
    /// What filters and retry policies are asked and say.
    Filters,
    /// Cancels and deadlines.
    Cancels,
    /// Application messages.
    Messages,
    /// Objects. Briefly: their drops, and what disconnects them.
    Objects,
    /// The coming and going of apartments and threads. Briefly: words to quit, ends.
    Lives,
    /// Packets. Briefly: those that fail.
    Packets,
    /// Where objects of classes are made, and servers.
    Classes,
    /// Panics that were contained.
    Faults,
    /// The user's notes.
    Notes,
    /// What belongs to none of these. Briefly: nothing.
    Other,
}

const TOPICS: usize = Topic::Other as usize + 1;

/// How much of a topic is shown.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Nothing,
    Brief,
    All,
}

impl Diagram {
    /// The diagram of these events, whatever their order; what is missing among them is missing in it.
    pub fn of(events: &[Event]) -> Self {
        Self { events: events.to_vec(), since: 0, names: Vec::new(), levels: [Level::Brief; TOPICS] }
    }

    /// Shows only what comes after the event of that number. Earlier ones still say who is who.
    pub fn since(self, seq: u64) -> Self {
        Self { since: seq, ..self }
    }

    /// Gives a thread's column a name.
    pub fn named(mut self, thread: ThreadId, name: impl Into<String>) -> Self {
        self.names.push((thread, name.into()));
        self
    }

    /// Shows everything.
    pub fn verbose(self) -> Self {
        Self { levels: [Level::All; TOPICS], ..self }
    }

    /// Shows all that belongs to a topic.
    pub fn show(self, topic: Topic) -> Self {
        self.level(topic, Level::All)
    }

    /// Shows nothing that belongs to a topic.
    pub fn hide(self, topic: Topic) -> Self {
        self.level(topic, Level::Nothing)
    }

    fn level(mut self, topic: Topic, level: Level) -> Self {
        self.levels[topic as usize] = level;
        self
    }

    pub(super) fn shows(&self, topic: Topic, detail: bool) -> bool {
        self.levels[topic as usize] >= if detail { Level::All } else { Level::Brief }
    }
}

impl fmt::Display for Diagram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        console::draw(&story::scene(self), f)
    }
}

impl fmt::Debug for Diagram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Diagram")
            .field("events", &self.events.len())
            .field("since", &self.since)
            .finish_non_exhaustive()
    }
}

impl Recording {
    /// A sequence diagram of all that is recorded so far. Takes a copy of the events and does not wait.
    pub fn diagram(&self) -> Diagram {
        Diagram::of(&self.events())
    }
}
