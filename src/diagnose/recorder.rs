//! The event sink: a leaf lock under which events are numbered and kept. It takes no other lock and runs no user code.

use super::event::{CallRef, Event, What};
use crate::id::{ApartmentId, ThreadId};
use crate::sync::{Arc, Clock, Condvar, Mutex};
use std::fmt;

/// Where a process' events go. `None` inside: nobody records, and a step costs one look at that.
#[derive(Clone)]
pub(crate) struct Recorder {
    sink: Option<Arc<Sink>>,
    clock: Clock,
}

struct Sink {
    kept: Mutex<Kept>,
    added: Condvar,
}

struct Kept {
    events: Vec<Event>,
    next: u64,
    bound: usize,
    lost: u64,
}

impl Recorder {
    pub(crate) fn new(clock: Clock, bound: Option<usize>) -> Self {
        let sink = bound.map(|bound| {
            let kept = Kept { events: Vec::new(), next: 1, bound, lost: 0 };
            Arc::new(Sink { kept: Mutex::new(kept), added: Condvar::new() })
        });
        Self { sink, clock }
    }

    /// Whether anybody records. Whoever has to allocate for an event asks first.
    pub(crate) fn is_on(&self) -> bool {
        self.sink.is_some()
    }

    /// Numbers an event, gives it its time and keeps it. For a step of an apartment, called under that apartment's lock.
    pub(crate) fn push(
        &self,
        apartment: Option<ApartmentId>,
        (thread, frame): (ThreadId, u16),
        call: Option<CallRef>,
        what: What,
    ) {
        let Some(sink) = &self.sink else { return };
        let mut kept = sink.kept.lock();
        let seq = kept.next;
        kept.next += 1;
        if kept.events.len() < kept.bound {
            let at = self.clock.now();
            kept.events.push(Event { seq, at, apartment, thread, frame, call, what });
        } else {
            kept.lost += 1;
        }
        drop(kept);
        sink.added.notify_all();
    }

    pub(crate) fn recording(&self) -> Option<Recording> {
        self.sink.as_ref().map(|sink| Recording { sink: Arc::clone(sink) })
    }
}

/// The events of a process since its making, which [`ProcessBuilder::record`](crate::ProcessBuilder::record) asked for
/// (rule DG-2). Below its bound nothing is lost.
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
pub struct Recording {
    sink: Arc<Sink>,
}

impl Recording {
    /// All events so far, in their order; a last one says how many were lost, if any were.
    pub fn events(&self) -> Vec<Event> {
        let kept = self.sink.kept.lock();
        let mut events = kept.events.clone();
        if let (true, Some(last)) = (kept.lost > 0, events.last().cloned()) {
            events.push(Event {
                seq: kept.next,
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
        let mut seen = 0;
        let mut kept = self.sink.kept.lock();
        loop {
            // Looked at as a copy and with the lock released: the condition is the user's code.
            let new = kept.events[seen..].to_vec();
            seen = kept.events.len();
            drop(kept);
            if let Some(found) = new.into_iter().find(|event| condition(event)) {
                return found;
            }
            kept = self.sink.kept.lock();
            while kept.events.len() == seen {
                kept = self.sink.added.wait(kept, None);
            }
        }
    }
}

impl fmt::Debug for Recording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kept = self.sink.kept.lock();
        f.debug_struct("Recording").field("events", &kept.events.len()).field("lost", &kept.lost).finish()
    }
}
