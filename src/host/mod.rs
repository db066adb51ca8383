//! Hosts: a thread that belongs to somebody's event loop becomes an apartment (rule AP-9).

mod doorbell;

pub use doorbell::Doorbell;

use crate::describe::Serves;
use crate::sync::time_left;
use std::fmt;
use std::time::{Duration, Instant};

/// How an event loop's own thread is woken, and how it sleeps while it waits (rule AP-9).
///
/// A thread that belongs to a loop, a window system's say, cannot give itself to [`Entered::run`](crate::Entered::run): it
/// has events of its own to handle. It enters with a host, by
/// [`StaBuilder::host`](crate::StaBuilder::host), which has two halves:
///
/// - [`Wake`], called on other threads: the loop is to come round and call [`dispatch`](crate::dispatch()), which serves
///   what is in the mailbox.
/// - [`park`](Host::park), called on this thread where a call made on it, or another wait, would sleep: it runs the loop, so
///   that timers and windows go on. When it returns, the wait looks again.
///
/// [`Doorbell`] is a host for loops that wait on channels.
///
/// ```
/// use apartment::{Budget, Host, NotWoken, Parked, Parking, Sta, Wake};
/// use std::sync::mpsc::{Receiver, Sender, channel};
///
/// enum Event {
///     Apartment,
///     Key(char),
/// }
///
/// /// The loop is a channel of events.
/// struct Events {
///     send: Sender<Event>,
/// }
///
/// impl Host for Events {
///     fn waker(&self) -> Box<dyn Wake> {
///         let send = self.send.clone();
///         Box::new(move || send.send(Event::Apartment).map_err(|_| NotWoken))
///     }
///
///     // Where this thread waits for a call, its events wait, too.
///     fn park(&self, _: &Parking) -> Parked {
///         Parked::Cannot
///     }
/// }
///
/// let (send, events) = channel();
/// let ui = Sta::builder("ui").host(Events { send: send.clone() }).enter()?;
/// let text = ui.create(|| std::cell::RefCell::new(String::new()))?;
///
/// let other = text.clone();
/// std::thread::spawn(move || {
///     other.call_mut(|text| text.push('a'))?;                        // served by the loop below
///     send.send(Event::Key('b')).unwrap();
///     Ok::<(), apartment::Error>(())
/// });
/// while text.call_ref(|text| text.len())? < 2 {
///     match events.recv().unwrap() {
///         Event::Key(key) => text.call_mut(|text| text.push(key))?,
///         Event::Apartment => assert!(!ui.dispatch(Budget::default()).quits),
///     }
/// }
/// assert_eq!(text.call_ref(|text| text.clone())?, "ab");
/// # Ok::<(), apartment::Error>(())
/// ```
#[doc(alias = "MsgWaitForMultipleObjects")]
pub trait Host: 'static {
    /// The half that others call. Asked for once, when the thread enters.
    fn waker(&self) -> Box<dyn Wake>;

    /// Whether this thread may block at all. Asked for once, when the thread enters.
    ///
    /// Where it may not, as on a thread of an async runtime, whatever would wait fails with `NotSupported` before anything
    /// is made of it; `Proxy::call_async` gives a future instead. What need not wait is as ever:
    /// direct calls, posts, serving.
    fn may_block(&self) -> bool {
        true
    }

    /// Sleeps in the loop: runs it until its thread is woken ([`Wake`]), or until [`Parking::until`].
    ///
    /// It may return early, for whatever reason: the wait looks again, and parks again if there is nothing. It has to return
    /// once the loop has handled a wake. The loop's own events follow the loop's rules; among them
    /// [`dispatch`](crate::dispatch()) may be called, at any depth, and whatever else may be called on this thread, calls
    /// included, which then wait, and park, on top of this wait.
    ///
    /// It is called with no lock held. It is not called, and the thread sleeps on the library's own bell, in a wait that lets
    /// in no calls or input-synchronized ones only; and in one in which it has panicked, which is contained and
    /// recorded.
    fn park(&self, parking: &Parking) -> Parked;
}

/// The half of a [`Host`] that others call: wakes the loop.
///
/// It is called on the thread of whoever changed something, at any moment and with no lock held: an arrival, a reply, a
/// cancel, room, a quit. It should say so to the loop (set a flag, send an event, write to a pipe) and return: it delays a
/// caller who wants nothing of it. A panic is contained and recorded, and counts as a failure.
///
/// One wake is outstanding at a time: until this thread has consumed it, by [`dispatch`](crate::dispatch()) or by going on
/// with a wait, nobody wakes it again. A wake that is not consumed in time (100 ms; see
/// [`AdoptedBuilder::wake_again_after`](crate::AdoptedBuilder::wake_again_after)) counts as swallowed, as some loops do
/// under load: the next arrival repeats it, and so does a caller that waits.
///
/// Closures are wakers: `move || send.try_send(()).map_err(|_| NotWoken)`.
pub trait Wake: Send + Sync + 'static {
    /// Wakes the loop.
    ///
    /// # Errors
    /// `NotWoken`: the loop was not told. The wake is not outstanding then, so the next arrival tries again.
    fn wake(&self) -> Result<(), NotWoken>;
}

impl<F: Fn() -> Result<(), NotWoken> + Send + Sync + 'static> Wake for F {
    fn wake(&self) -> Result<(), NotWoken> {
        self()
    }
}

/// A loop could not be told that it is to wake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotWoken;

impl fmt::Display for NotWoken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the loop could not be woken")
    }
}

impl std::error::Error for NotWoken {}

/// What came of [`Host::park`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Parked {
    /// The loop ran: the wait looks again.
    Looped,
    /// The loop cannot run here: it has no way to run inside itself, for example. The thread sleeps on the library's own
    /// bell instead, until there is something to look at; the loop's events wait meanwhile.
    Cannot,
}

/// The wait in which a host parks its thread.
#[derive(Clone, Copy, Debug)]
pub struct Parking {
    until: Option<Instant>,
    depth: usize,
    serves: Serves,
}

impl Parking {
    pub(crate) fn new(until: Option<Instant>, depth: usize, serves: Serves) -> Self {
        Self { until, depth, serves }
    }

    /// When to return at the latest; none if only a wake ends it. On a clock that a test drives there is no such time:
    /// who moves it wakes.
    pub fn until(&self) -> Option<Instant> {
        self.until
    }

    /// The same as the time that is left, which most loops want: none if only a wake ends it.
    pub fn timeout(&self) -> Option<Duration> {
        self.until.map(time_left)
    }

    /// How many waits are nested on this thread, this one included.
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// What the wait serves: everything, or its own chains only.
    pub fn serves(&self) -> Serves {
        self.serves
    }
}
