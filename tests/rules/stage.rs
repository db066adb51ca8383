//! What a test is played on: a process whose clock is driven and whose events are recorded, and gates that hold a
//! thread until the test lets it on.

use crate::patience::in_time;
use apartment::{
    Apartment, CallError, Clock, Event, IncomingCall, MessageFilter, MtaBuilder, PendingAnswer, PendingMessage,
    Process, ProcessBuilder, Recording, RejectedCall, Retry, ServerCall, StaBuilder, What,
};
use crossbeam_channel::{Receiver, Sender, bounded};
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A process of the test's own.
pub(crate) struct Stage {
    pub(crate) process: Process,
    pub(crate) clock: Clock,
    recording: Recording,
    /// The number of the last event that only set the scene.
    scene: AtomicU64,
}

/// Whether an event is of that kind: `like!(Queued)`, `like!(WaitEnded { by: WaitEnd::Done })`.
macro_rules! like {
    ($kind:ident) => {
        |what: &apartment::What| matches!(what, apartment::What::$kind { .. })
    };
    (CallMade: $made:ident => $is:expr) => {
        |what: &apartment::What| matches!(what, apartment::What::CallMade($made) if $is)
    };
    ($kind:ident { $($fields:tt)* }) => {
        |what: &apartment::What| matches!(what, apartment::What::$kind { $($fields)*, .. })
    };
}
pub(crate) use like;

/// Plays a test on a thread of its own, which is in no apartment.
pub(crate) fn play(body: impl FnOnce(&Stage) -> Result<(), CallError> + Send + 'static) {
    play_in(Process::builder(), body);
}

/// The same in such a process, but for its clock and its recording, which are the stage's.
pub(crate) fn play_in(process: ProcessBuilder, body: impl FnOnce(&Stage) -> Result<(), CallError> + Send + 'static) {
    let clock = Clock::driven();
    let process = process.clock(clock.clone()).record(1_000_000).build();
    let recording = process.recording().expect("the process was made to record");
    let seen = recording.clone();
    let stage = Stage { process, clock, recording, scene: AtomicU64::new(0) };
    match in_time(move || body(&stage)) {
        Some(Ok(result)) => result.expect("nothing that the test expects to succeed fails"),
        Some(Err(panic)) => resume_unwind(panic),
        None => {
            let events = seen.events();
            for event in &events[events.len().saturating_sub(60)..] {
                let Event { seq, apartment, thread, call, what, .. } = event;
                println!(
                    "{seq} {apartment:?} {thread} {} {what:?}",
                    call.map_or(String::new(), |call| call.id.to_string())
                );
            }
            panic!("the test hangs; above are its last events");
        }
    }
}

impl Stage {
    pub(crate) fn sta(&self, name: &str) -> StaBuilder {
        self.process.sta(name)
    }

    pub(crate) fn mta(&self) -> MtaBuilder {
        self.process.mta()
    }

    /// The scene is set: what follows looks at later events only.
    pub(crate) fn begin(&self) {
        let last = self.recording.events().last().map_or(0, |event| event.seq);
        self.scene.store(last, Ordering::Relaxed);
    }

    fn scene(&self) -> u64 {
        self.scene.load(Ordering::Relaxed)
    }

    /// The events since the scene was set.
    pub(crate) fn events(&self) -> Vec<Event> {
        let scene = self.scene();
        self.recording.events().into_iter().filter(|event| event.seq > scene).collect()
    }

    /// Waits for the first event of that kind in that apartment.
    pub(crate) fn until(&self, at: &Apartment, like: impl Fn(&What) -> bool) -> Event {
        self.until_nth(1, at, like)
    }

    /// Waits for the n-th event of that kind in that apartment.
    pub(crate) fn until_nth(&self, nth: usize, at: &Apartment, like: impl Fn(&What) -> bool) -> Event {
        let (scene, at, mut left) = (self.scene(), Some(at.id()), nth);
        self.recording.until(|event| {
            let hit = event.seq > scene && event.apartment == at && like(&event.what);
            left -= usize::from(hit && left > 0);
            hit && left == 0
        })
    }

    /// Waits for an event of any apartment, or of none.
    pub(crate) fn until_any(&self, is: impl Fn(&Event) -> bool) -> Event {
        let scene = self.scene();
        self.recording.until(|event| event.seq > scene && is(event))
    }

    /// All events so far of that kind in that apartment.
    pub(crate) fn all(&self, at: &Apartment, like: impl Fn(&What) -> bool) -> Vec<Event> {
        let at = Some(at.id());
        self.events().into_iter().filter(|event| event.apartment == at && like(&event.what)).collect()
    }

    /// How many there were so far.
    pub(crate) fn count(&self, at: &Apartment, like: impl Fn(&What) -> bool) -> usize {
        self.all(at, like).len()
    }
}

/// Holds whoever waits at it until the key is turned, or dropped: a test that fails lets everybody go.
#[derive(Clone)]
pub(crate) struct Gate(Receiver<()>);

pub(crate) struct Key(Sender<()>);

pub(crate) fn gate() -> (Key, Gate) {
    let (open, closed) = bounded(0);
    (Key(open), Gate(closed))
}

impl Gate {
    pub(crate) fn pass(&self) {
        let _opened = self.0.recv();
    }
}

impl Key {
    pub(crate) fn open(self) {
        drop(self.0);
    }
}

/// A filter put together from answers; where there is none it answers as without a filter.
#[derive(Default)]
pub(crate) struct Answers {
    incoming: Option<Answer<IncomingCall, ServerCall>>,
    rejected: Option<Answer<RejectedCall, Retry>>,
    pending: Option<Answer<PendingMessage, PendingAnswer>>,
}

type Answer<Question, Reply> = Box<dyn Fn(&Question) -> Reply>;

impl Answers {
    pub(crate) fn incoming(self, answer: impl Fn(&IncomingCall) -> ServerCall + 'static) -> Self {
        Self { incoming: Some(Box::new(answer)), ..self }
    }

    pub(crate) fn rejected(self, answer: impl Fn(&RejectedCall) -> Retry + 'static) -> Self {
        Self { rejected: Some(Box::new(answer)), ..self }
    }

    pub(crate) fn pending(self, answer: impl Fn(&PendingMessage) -> PendingAnswer + 'static) -> Self {
        Self { pending: Some(Box::new(answer)), ..self }
    }
}

impl MessageFilter for Answers {
    fn handle_incoming(&self, call: &IncomingCall) -> ServerCall {
        self.incoming.as_ref().map_or(ServerCall::Handled, |answer| answer(call))
    }

    fn retry_rejected(&self, call: &RejectedCall) -> Retry {
        self.rejected.as_ref().map_or(Retry::GiveUp, |answer| answer(call))
    }

    fn message_pending(&self, message: &PendingMessage) -> PendingAnswer {
        self.pending.as_ref().map_or_else(PendingAnswer::wait_def_process, |answer| answer(message))
    }
}

pub(crate) fn incoming(answer: impl Fn(&IncomingCall) -> ServerCall + 'static) -> Answers {
    Answers::default().incoming(answer)
}

pub(crate) fn rejected(answer: impl Fn(&RejectedCall) -> Retry + 'static) -> Answers {
    Answers::default().rejected(answer)
}

pub(crate) fn pending(answer: impl Fn(&PendingMessage) -> PendingAnswer + 'static) -> Answers {
    Answers::default().pending(answer)
}

/// A number of seconds.
pub(crate) const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A number of milliseconds.
pub(crate) const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// The HRESULTs of the errors that the rules name.
pub(crate) mod hresult {
    pub(crate) const CALL_REJECTED: u32 = 0x8001_0001;
    pub(crate) const CALL_CANCELED: u32 = 0x8001_0002;
    pub(crate) const CANT_CALL_OUT_IN_FILTER: u32 = 0x8001_0005;
    pub(crate) const SERVER_DIED_DNE: u32 = 0x8001_0012;
    pub(crate) const SYS_CALL_FAILED: u32 = 0x8001_0100;
    pub(crate) const SERVER_FAULT: u32 = 0x8001_0105;
    pub(crate) const DISCONNECTED: u32 = 0x8001_0108;
    pub(crate) const RETRY: u32 = 0x8001_0109;
    pub(crate) const RETRY_LATER: u32 = 0x8001_010A;
    pub(crate) const CALL_COMPLETE: u32 = 0x8001_0117;
    pub(crate) const TIMED_OUT: u32 = 0x8001_011F;
    pub(crate) const NOT_SUPPORTED: u32 = 0x8000_4021;
}
