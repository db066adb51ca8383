//! Recordings and subscriptions: what somebody who listens holds.

use super::event::{Event, What};
use super::recorder::{AtEnd, Ear, Kept, ListenerId, Recorder, Sends};
use crate::sync::{Arc, Mutex, Weak};
use crossbeam_channel::{Receiver, TryRecvError, bounded};
use std::fmt;

/// The events of a process (rule DG-2): since its making, which
/// [`ProcessBuilder::record`](crate::ProcessBuilder::record) asks for, or since [`Process::record`](crate::Process::record).
/// Below its bound nothing is lost. Clones are the same recording; it ends when the last is dropped.
///
/// ```
/// use apartment::{Process, What};
///
/// let process = Process::builder().record(1_000).build();
/// let sta = process.sta("db").spawn()?;
/// let number = sta.create(|| 7)?;
/// assert_eq!(number.call(|n| *n)?, 7);
/// let began = process.recording().unwrap().events().iter().filter(|e| matches!(e.what, What::Began { .. })).count();
/// assert_eq!(began, 2); // the making of the object, and the call
/// # Ok::<(), apartment::Error>(())
/// ```
#[derive(Clone)]
pub struct Recording(Arc<Listens>);

/// As long as it lives, a recording listens.
struct Listens {
    recorder: Arc<Recorder>,
    id: ListenerId,
}

impl Drop for Listens {
    fn drop(&mut self) {
        self.recorder.leave(self.id);
    }
}

impl Recording {
    /// It listens from here on: to everything, or, late, to what it joins.
    pub(crate) fn begin(recorder: &Arc<Recorder>, bound: usize, late: bool) -> Self {
        let kept = Kept { events: Vec::new(), bound, lost: 0, last_lost: 0 };
        let id = recorder.listen(Ear::Keeps(kept), late);
        Self(Arc::new(Listens { recorder: Arc::clone(recorder), id }))
    }

    pub(crate) fn id(&self) -> ListenerId {
        self.0.id
    }

    /// All events so far, in their order; a last one says how many were lost, if any were.
    pub fn events(&self) -> Vec<Event> {
        let sink = self.0.recorder.lock();
        let kept = sink.kept(self.0.id);
        let mut events = kept.events.clone();
        if let (true, Some(last)) = (kept.lost > 0, events.last().cloned()) {
            events.push(Event {
                seq: kept.last_lost,
                apartment: None,
                call: None,
                what: What::Lost { count: kept.lost },
                ..last
            });
        }
        events
    }

    /// The first event that meets the condition, past ones included; if there is none yet, waits for it. The condition
    /// is called with no lock held.
    ///
    /// For tests, which wait for what happens and never for time: it blocks until the event comes, for ever if it does
    /// not, and pumps nothing.
    pub fn until(&self, mut condition: impl FnMut(&Event) -> bool) -> Event {
        let Listens { recorder, id } = &*self.0;
        let mut seen = 0;
        let mut sink = recorder.lock();
        loop {
            // Looked at as a copy and with the lock released: the condition is the user's code.
            let kept = sink.kept(*id);
            let new = kept.events[seen..].to_vec();
            seen = kept.events.len();
            drop(sink);
            if let Some(found) = new.into_iter().find(|event| condition(event)) {
                return found;
            }
            sink = recorder.lock();
            while sink.kept(*id).events.len() == seen {
                sink = recorder.sleep(sink);
            }
        }
    }
}

impl fmt::Debug for Recording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sink = self.0.recorder.lock();
        let kept = sink.kept(self.0.id);
        f.debug_struct("Recording").field("events", &kept.events.len()).field("lost", &kept.lost).finish()
    }
}

/// The events of a process as they happen, made by [`Process::subscribe`](crate::Process::subscribe) (rule DG-2).
///
/// It begins with a prologue: what is there when it is made, told as the events that would have said it. It holds as many
/// events as it was made for. What comes while it is full is dropped and counted, and the stream says so where it happened,
/// with a [`What::Lost`]: nobody who is told of is ever slowed down. Dropped, it listens no more.
///
/// ```
/// use apartment::{Process, What};
///
/// let process = Process::new();
/// let sta = process.sta("db").spawn()?;
/// let number = sta.create(|| 7)?;
/// let events = process.subscribe(100);
/// number.call(|n| *n)?;
/// let first = events.next().unwrap();
/// assert!(matches!(first.what, What::ApartmentBegan { .. }));      // the prologue
/// assert!(events.iter().any(|event| matches!(event.what, What::Ended { .. })));
/// # Ok::<(), apartment::Error>(())
/// ```
pub struct Subscription {
    /// Not kept alive: when the process and its apartments are gone, nothing more can come.
    recorder: Weak<Recorder>,
    id: ListenerId,
    receiver: Receiver<Event>,
    at_end: AtEnd,
}

impl Subscription {
    pub(crate) fn begin(recorder: &Arc<Recorder>, capacity: usize) -> Self {
        assert!(capacity > 0, "a subscription's capacity is at least 1");
        let (channel, receiver) = bounded(capacity);
        let at_end: AtEnd = Arc::new(Mutex::new(None));
        let id = recorder.listen(Ear::Sends(Sends::new(channel, Arc::clone(&at_end))), true);
        Self { recorder: Arc::downgrade(recorder), id, receiver, at_end }
    }

    pub(crate) fn id(&self) -> ListenerId {
        self.id
    }

    /// The next event, if there is one. Does not wait.
    pub fn try_next(&self) -> Option<Event> {
        let next = self.receiver.try_recv().or_else(|_| {
            self.say_lost();
            self.receiver.try_recv()
        });
        match next {
            Ok(event) => Some(event),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => self.at_end.lock().take(),
        }
    }

    /// The next event; if there is none yet, waits for it. None when the process and all its apartments are gone. It blocks,
    /// and pumps nothing: on an STA's thread use [`try_next`](Subscription::try_next), or read on another thread. (Not for
    /// models: there, too, it would block for good.)
    pub fn next(&self) -> Option<Event> {
        self.try_next().or_else(|| self.receiver.recv().ok()).or_else(|| self.at_end.lock().take())
    }

    /// Iterates with [`next`](Subscription::next): blocks between the events, and pumps nothing.
    pub fn iter(&self) -> impl Iterator<Item = Event> + '_ {
        std::iter::from_fn(|| self.next())
    }

    /// The channel itself, for your own `select!`. What was lost since the last event that fitted is said with the next one
    /// that does, or by [`try_next`](Subscription::try_next).
    pub fn receiver(&self) -> &Receiver<Event> {
        &self.receiver
    }

    /// The channel is empty: what was lost at its end has room now.
    fn say_lost(&self) {
        if let Some(recorder) = self.recorder.upgrade() {
            let now = recorder.now();
            recorder.lock().say_lost(self.id, now);
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        if let Some(recorder) = self.recorder.upgrade() {
            recorder.leave(self.id);
        }
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let capacity = self.receiver.capacity();
        f.debug_struct("Subscription").field("capacity", &capacity).field("held", &self.receiver.len()).finish()
    }
}
