//! What a caller may say about one call or one post.

use super::future::SharedPolicy;
use crate::filter::RetryPolicy;
use crate::sync::Arc;
use crate::thread::CancelHandle;
use std::fmt;
use std::time::Duration;

/// What to do when the callee's mailbox is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Room {
    #[default]
    Refuse,
    Within(Duration),
    Wait,
}

/// Options of a call, to be borrowed by [`Proxy::with`](crate::Proxy::with) as often as one likes.
///
/// ```
/// use apartment::{CallOptions, Retry, Sta};
/// use std::time::Duration;
///
/// let sta = Sta::builder("db").capacity(1).spawn()?;
/// let db = sta.create(|| String::from("rows"))?;
/// let patient = CallOptions::new()
///     .within(Duration::from_secs(5))
///     .wait_for_room()
///     .retry(|call: &apartment::RejectedCall| if call.attempts < 3 { Retry::Now } else { Retry::GiveUp });
/// assert_eq!(db.with(&patient).call(|rows| rows.len())?, 4);
/// # Ok::<(), apartment::Error>(())
/// ```
#[derive(Default)]
pub struct CallOptions<'a> {
    pub(crate) within: Option<Duration>,
    pub(crate) room: Room,
    pub(crate) retry: Option<Box<dyn RetryPolicy + 'a>>,
    pub(crate) cancel: Option<&'a CancelHandle>,
}

impl<'a> CallOptions<'a> {
    /// As a call without options: no deadline of its own, no waiting for room.
    pub fn new() -> Self {
        Self::default()
    }

    /// A deadline, from the making of the call (rule CA-3): `TimedOut`. A call that has started by then is asked to end
    /// and waited for. What is left of it also holds for the calls that the callee makes meanwhile.
    #[must_use]
    pub fn within(self, time: Duration) -> Self {
        Self { within: Some(time), ..self }
    }

    /// Waits for room in a full mailbox, until the deadline if there is one, for ever otherwise (rule MB-3). The wait is
    /// part of the call: an STA pumps in it, other threads block.
    #[must_use]
    pub fn wait_for_room(self) -> Self {
        Self { room: Room::Wait, ..self }
    }

    /// Waits for room for that long, or until the call's deadline if that is earlier; then `MailboxFull`.
    #[must_use]
    pub fn wait_for_room_within(self, time: Duration) -> Self {
        Self { room: Room::Within(time), ..self }
    }

    /// Asked when the callee rejects the call, instead of the caller's filter (rule MF-6).
    #[must_use]
    pub fn retry(self, policy: impl RetryPolicy + 'a) -> Self {
        Self { retry: Some(Box::new(policy)), ..self }
    }

    /// Lets the handle cancel the call.
    #[must_use]
    pub fn cancel(self, handle: &'a CancelHandle) -> Self {
        Self { cancel: Some(handle), ..self }
    }
}

impl fmt::Debug for CallOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallOptions")
            .field("within", &self.within)
            .field("room", &self.room)
            .field("retry", &self.retry.is_some())
            .field("cancel", &self.cancel)
            .finish()
    }
}

/// Options of a call that gives a future, which takes them along: to be borrowed by [`Proxy::with`](crate::Proxy::with) as
/// often as one likes.
///
/// ```
/// use apartment::{AsyncOptions, RetryFor, Sta};
/// use std::time::Duration;
///
/// let sta = Sta::builder("db").capacity(1).spawn()?;
/// let db = sta.create(|| String::from("rows"))?;
/// let patient = AsyncOptions::new()
///     .within(Duration::from_secs(5))
///     .wait_for_room()
///     .retry(RetryFor::new(Duration::from_secs(2)));
/// let (length, first) = (db.with(&patient).call_async(|rows| rows.len()), db.with(&patient).call_async(|rows| rows.chars().next()));
/// assert_eq!(pollster::block_on(length)?, 4);
/// assert_eq!(pollster::block_on(first)?, Some('r'));
/// # Ok::<(), apartment::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct AsyncOptions {
    pub(crate) within: Option<Duration>,
    pub(crate) room: Room,
    pub(crate) retry: Option<SharedPolicy>,
    pub(crate) cancel: Option<CancelHandle>,
}

impl AsyncOptions {
    /// As a call without options: no deadline of its own, no waiting for room.
    pub fn new() -> Self {
        Self::default()
    }

    /// A deadline, from the making of the call (rule CA-3): `TimedOut`. What is left of it also holds for the calls that
    /// the callee makes meanwhile.
    ///
    /// No thread of this library sleeps for it. It is looked at whenever the future is polled, and the callee's apartment
    /// wakes the future when it has come, as long as that apartment looks at its queue, or when it does so next: a
    /// callee that is busy with one method, or that nobody pumps, is late. Where that is too late, use your runtime's
    /// own timeout: it drops the future, which takes the call back or detaches it.
    #[must_use]
    pub fn within(self, time: Duration) -> Self {
        Self { within: Some(time), ..self }
    }

    /// Waits for room in a full mailbox, until the deadline if there is one, for ever otherwise (rule MB-3). The call
    /// stands in the line, not the caller.
    #[must_use]
    pub fn wait_for_room(self) -> Self {
        Self { room: Room::Wait, ..self }
    }

    /// Waits for room for that long, or until the call's deadline if that is earlier; then `MailboxFull`. As late as a
    /// [deadline](AsyncOptions::within) may be.
    #[must_use]
    pub fn wait_for_room_within(self, time: Duration) -> Self {
        Self { room: Room::Within(time), ..self }
    }

    /// Asked when the callee rejects the call (rule MF-6), on the thread that polls: a future has no filter. The next
    /// attempt goes out when the future is polled after the time that it names.
    #[must_use]
    pub fn retry(self, policy: impl RetryPolicy + Send + Sync + 'static) -> Self {
        Self { retry: Some(Arc::new(policy)), ..self }
    }

    /// Lets the handle cancel the call, until its future is dropped.
    #[must_use]
    pub fn cancel(self, handle: &CancelHandle) -> Self {
        Self { cancel: Some(handle.clone()), ..self }
    }
}

impl fmt::Debug for AsyncOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncOptions")
            .field("within", &self.within)
            .field("room", &self.room)
            .field("retry", &self.retry.is_some())
            .field("cancel", &self.cancel)
            .finish()
    }
}

/// Options of a post: a post has no reply to cancel or retry, only room to wait for.
///
/// ```
/// use apartment::{CallOptions, PostOptions, Sta};
/// use std::time::Duration;
///
/// let sta = Sta::builder("log").capacity(1).spawn()?;
/// let log = sta.create(|| std::cell::RefCell::new(Vec::new()))?;
/// let patient = PostOptions::new().wait_for_room_within(Duration::from_secs(1));
/// for line in 0..100 {
///     log.with(&patient).post(move |log| log.borrow_mut().push(line))?;
/// }
/// let patient = CallOptions::new().wait_for_room();
/// assert_eq!(log.with(&patient).call_ref(|log| log.len())?, 100);
/// # Ok::<(), apartment::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct PostOptions {
    pub(crate) within: Option<Duration>,
    pub(crate) room: Room,
}

impl PostOptions {
    /// As a post without options: refused at once where there is no room.
    pub fn new() -> Self {
        Self::default()
    }

    /// A deadline for the wait for room: `TimedOut`. Once accepted, a post has none.
    #[must_use]
    pub fn within(self, time: Duration) -> Self {
        Self { within: Some(time), ..self }
    }

    /// Waits for room, until the deadline if there is one, for ever otherwise (rule MB-3). An STA pumps in this wait,
    /// other threads block.
    #[must_use]
    pub fn wait_for_room(self) -> Self {
        Self { room: Room::Wait, ..self }
    }

    /// Waits for room for that long, or until the deadline if that is earlier; then `MailboxFull`.
    #[must_use]
    pub fn wait_for_room_within(self, time: Duration) -> Self {
        Self { room: Room::Within(time), ..self }
    }
}
