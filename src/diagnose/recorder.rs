//! The event sink: a leaf lock under which events are numbered and given to whoever listens. It takes no other lock, runs no
//! user code, and rings nobody but those who read.
//!
//! # A listener that comes late
//!
//! A *listener* is a recording or a subscription. One that is there from the making of the process hears everything. One
//! that comes later joins the apartments one after the other:
//!
//! 1. It is put on the sink's list as *joining*, and from here on [`Recorder::is_on`] says so.
//! 2. For each apartment on the process' list: under that apartment's lock its state is told to this listener alone, as the
//!    events that would have said it (the *prologue*), and the listener has joined it.
//! 3. It is joining no more.
//!
//! While it joins it hears of an apartment only what is told after it has joined it; of one that begins meanwhile,
//! everything; and what is no apartment's.
//!
//! *Nothing is said twice, and nothing falls between.* A step that changes what the prologue would say of an apartment is
//! made, and told, under that apartment's lock: before the joining, then the prologue says it; or after it, then it is told,
//! because whoever takes that lock later sees that somebody listens. An apartment that is not on the list in step 2 is put
//! there later, and is told of after that, to a listener that hears of its beginning. An apartment on the list that has not
//! told of its beginning has no prologue: it tells of it under its lock, later.
//!
//! Three things are done without the apartment's lock when nobody listens, since taking it would cost:
//!
//! - *The end of what is served.* The thread looks whether anybody listens, and tells, or does not. If somebody joins just
//!   then and was told that it runs, the thread's next step under the lock, which takes the frame off, says that it has ended
//!   (`mailbox/seen.rs`). So each beginning has one end; that one may come after the caller's return.
//! - *A step that leaves nothing behind*, such as a call's return or a refusal. It was before the listener, or is told.
//! - *A call that is direct*, which no monitor sees, and one of a thread in no apartment, of which its callee knows. Who comes
//!   while one is under way may hear of its end alone.
//!
//! A call between two apartments may be told by one of them only, if it ends between the joinings of the two.

use super::event::{CallRef, Event, What};
use crate::id::{ApartmentId, CallId, ThreadId};
use crate::sync::{Arc, AtomicU64, Clock, Condvar, Mutex, MutexGuard, Ordering};
use crossbeam_channel::{Sender, TrySendError};
use std::collections::HashSet;
use std::time::Duration;

/// Where a process' events go.
pub(crate) struct Recorder {
    /// How many listen. While nobody does, a step costs one look at that.
    listening: AtomicU64,
    sink: Mutex<Sink>,
    added: Condvar,
    clock: Clock,
}

pub(super) struct Sink {
    next: u64,
    listeners_made: u64,
    listeners: Vec<Listener>,
}

struct Listener {
    id: ListenerId,
    /// None once it hears everything.
    joining: Option<Joining>,
    /// Whether it hears of what is being told just now.
    hears: bool,
    ear: Ear,
}

/// Numbered from 1 within a process, never used again.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct ListenerId(u64);

#[derive(Default)]
struct Joining {
    /// The apartments it has joined, or heard the beginning of.
    joined: Vec<ApartmentId>,
    /// The calls whose making it was told: several apartments may know of one.
    made: HashSet<CallId>,
}

pub(super) enum Ear {
    Keeps(Kept),
    Sends(Sends),
}

/// A subscription's events, on their way.
pub(super) struct Sends {
    channel: Sender<Event>,
    lost: u64,
    /// The number and the time of the last one that was lost.
    last_lost: (u64, Duration),
    at_end: AtEnd,
}

/// What was lost and found no more room, left there when nothing more can come.
pub(super) type AtEnd = Arc<Mutex<Option<Event>>>;

/// A recording's events.
pub(super) struct Kept {
    pub(super) events: Vec<Event>,
    pub(super) bound: usize,
    pub(super) lost: u64,
    /// The number of the last one that was lost.
    pub(super) last_lost: u64,
}

/// A step of a prologue: what an event would have said.
pub(crate) struct Standing {
    pub(crate) apartment: Option<ApartmentId>,
    pub(crate) who: (ThreadId, u16),
    pub(crate) call: Option<CallRef>,
    /// Since when.
    pub(crate) at: Duration,
    pub(crate) what: What,
}

impl Recorder {
    pub(crate) fn new(clock: Clock) -> Self {
        let sink = Sink { next: 1, listeners_made: 0, listeners: Vec::new() };
        Self { listening: AtomicU64::new(0), sink: Mutex::new(sink), added: Condvar::new(), clock }
    }

    /// Whether anybody listens. Whoever has to allocate for an event asks first. Under an apartment's lock it is true for all
    /// who have joined the apartment; elsewhere somebody may come just now.
    pub(crate) fn is_on(&self) -> bool {
        self.listening.load(Ordering::Relaxed) != 0
    }

    /// Numbers an event, gives it its time and passes it on. For a step of an apartment, called under that apartment's lock.
    pub(crate) fn push(&self, apartment: Option<ApartmentId>, who: (ThreadId, u16), call: Option<CallRef>, what: What) {
        self.push_under(apartment, apartment, who, call, what);
    }

    /// The same for a step that is told under the lock of an apartment other than its own: the callee's.
    pub(crate) fn push_under(
        &self,
        under: Option<ApartmentId>,
        apartment: Option<ApartmentId>,
        (thread, frame): (ThreadId, u16),
        call: Option<CallRef>,
        what: What,
    ) {
        let mut sink = self.sink.lock();
        for listener in &mut sink.listeners {
            listener.hears = listener.is_to_hear(under, call, &what);
        }
        // What nobody hears has no number: a gap says that somebody else was told.
        let Some(last) = sink.listeners.iter().rposition(|listener| listener.hears) else { return };
        let event = Event { seq: sink.number(), at: self.clock.now(), apartment, thread, frame, call, what };
        for listener in sink.listeners[..last].iter_mut().filter(|listener| listener.hears) {
            listener.ear.take(event.clone());
        }
        sink.listeners[last].ear.take(event);
        drop(sink);
        self.added.notify_all();
    }

    /// One more listens: from the beginning of everything, or joining.
    pub(super) fn listen(&self, ear: Ear, late: bool) -> ListenerId {
        let mut sink = self.sink.lock();
        sink.listeners_made += 1;
        let id = ListenerId(sink.listeners_made);
        let joining = late.then(Joining::default);
        sink.listeners.push(Listener { id, joining, hears: false, ear });
        self.listening.fetch_add(1, Ordering::Relaxed);
        id
    }

    /// It joins an apartment, whose lock is held. Nothing if it has heard of its beginning.
    pub(crate) fn join(&self, id: ListenerId, apartment: ApartmentId, prologue: impl FnOnce() -> Vec<Standing>) {
        let mut sink = self.sink.lock();
        if sink.joining(id).is_none_or(|joining| joining.joined.contains(&apartment)) {
            return;
        }
        for Standing { apartment, who: (thread, frame), call, at, what } in prologue() {
            let made = matches!(what, What::CallMade(_)).then_some(call).flatten();
            let told = sink.joining(id).is_some_and(|joining| made.is_some_and(|call| !joining.makes(call.id)));
            if told {
                continue;
            }
            let event = Event { seq: sink.number(), at, apartment, thread, frame, call, what };
            if let Some(listener) = sink.listener(id) {
                listener.ear.take(event);
            }
        }
        if let Some(joining) = sink.joining(id) {
            joining.joined.push(apartment);
        }
        drop(sink);
        self.added.notify_all();
    }

    /// It has joined all that there are.
    pub(crate) fn joined(&self, id: ListenerId) {
        if let Some(listener) = self.sink.lock().listener(id) {
            listener.joining = None;
        }
    }

    /// It listens no more.
    pub(super) fn leave(&self, id: ListenerId) {
        let mut sink = self.sink.lock();
        let at = sink.listeners.iter().position(|listener| listener.id == id);
        let gone = at.map(|at| sink.listeners.remove(at));
        self.listening.fetch_sub(u64::from(gone.is_some()), Ordering::Relaxed);
        drop(sink);
        drop(gone);
    }

    pub(super) fn now(&self) -> Duration {
        self.clock.now()
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Sink> {
        self.sink.lock()
    }

    /// Sleeps until something was told.
    pub(super) fn sleep<'a>(&'a self, sink: MutexGuard<'a, Sink>) -> MutexGuard<'a, Sink> {
        self.added.wait(sink, None)
    }
}

impl Sink {
    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next - 1
    }

    fn listener(&mut self, id: ListenerId) -> Option<&mut Listener> {
        self.listeners.iter_mut().find(|listener| listener.id == id)
    }

    fn joining(&mut self, id: ListenerId) -> Option<&mut Joining> {
        self.listener(id).and_then(|listener| listener.joining.as_mut())
    }

    /// What a recording has kept.
    pub(super) fn kept(&self, id: ListenerId) -> &Kept {
        match self.listeners.iter().find(|listener| listener.id == id) {
            Some(Listener { ear: Ear::Keeps(kept), .. }) => kept,
            _ => crate::broken("a recording listens as long as somebody holds it"),
        }
    }

    /// What a subscription has lost goes into its stream, if there is room now.
    pub(super) fn say_lost(&mut self, id: ListenerId, now: Duration) {
        if let Some(Listener { ear: Ear::Sends(sends), .. }) = self.listener(id) {
            sends.say_lost(now);
        }
    }
}

impl Joining {
    /// A call's making is about to be told. False if it was.
    fn makes(&mut self, call: CallId) -> bool {
        self.made.insert(call)
    }
}

impl Listener {
    /// Whether it is to hear of what is told under that apartment's lock.
    fn is_to_hear(&mut self, under: Option<ApartmentId>, call: Option<CallRef>, what: &What) -> bool {
        let (Some(joining), Some(under)) = (&mut self.joining, under) else { return true };
        if matches!(what, What::ApartmentBegan { .. }) {
            joining.joined.push(under);
        }
        let hears = joining.joined.contains(&under);
        if let (true, What::CallMade(_), Some(call)) = (hears, what, call) {
            joining.makes(call.id);
        }
        hears
    }
}

impl Ear {
    fn take(&mut self, event: Event) {
        match self {
            Self::Keeps(kept) if kept.events.len() < kept.bound => kept.events.push(event),
            Self::Keeps(kept) => {
                kept.lost += 1;
                kept.last_lost = event.seq;
            }
            Self::Sends(sends) => sends.send(event),
        }
    }
}

impl Sends {
    pub(super) fn new(channel: Sender<Event>, at_end: AtEnd) -> Self {
        Self { channel, lost: 0, last_lost: (0, Duration::ZERO), at_end }
    }

    fn send(&mut self, event: Event) {
        self.say_lost(event.at);
        let last = (event.seq, event.at);
        // What was lost has to be said first. If there is room now, a reader has just made it.
        if self.lost > 0 || matches!(self.channel.try_send(event), Err(TrySendError::Full(_))) {
            self.lost += 1;
            self.last_lost = last;
        }
    }

    /// Says what was lost, where it was.
    fn say_lost(&mut self, at: Duration) {
        if self.lost > 0 && self.channel.try_send(self.lost_event(at)).is_ok() {
            self.lost = 0;
        }
    }

    fn lost_event(&self, at: Duration) -> Event {
        let what = What::Lost { count: self.lost };
        Event { seq: self.last_lost.0, at, apartment: None, thread: ThreadId(0), frame: 0, call: None, what }
    }
}

impl Drop for Sends {
    fn drop(&mut self) {
        // Before the channel is closed: its reader looks when that is.
        if self.lost > 0 {
            *self.at_end.lock() = Some(self.lost_event(self.last_lost.1));
        }
    }
}
