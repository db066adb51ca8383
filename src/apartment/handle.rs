//! An apartment as anybody may hold it: by name, without keeping it alive.

use super::context::Kind;
use super::making::Terms;
use super::post::send;
use crate::describe::CallTarget;
use crate::error::{CallError, PostError};
use crate::filter::MessageClass;
use crate::id::ApartmentId;
use crate::mailbox::{Ask, Body, Closure, Mailbox, Sent};
use crate::sync::Arc;
use crate::thread::Thread;
use std::any::Any;
use std::fmt;
use std::panic::Location;

/// A handle to an apartment that does not keep it alive: to know it, to send it messages, to ask it to quit.
#[derive(Clone)]
pub struct Apartment(pub(crate) Arc<Mailbox>);

impl Apartment {
    /// Its id: fresh, never used again (rule AP-7).
    pub fn id(&self) -> ApartmentId {
        self.0.name.id
    }

    /// Its name, which need not be unique.
    pub fn name(&self) -> &str {
        &self.0.name.name
    }

    /// STA or MTA.
    pub fn kind(&self) -> Kind {
        if self.0.is_sta() { Kind::Sta } else { Kind::Mta }
    }

    /// How many entries have room in its mailbox (rule MB-1).
    pub fn capacity(&self) -> usize {
        self.0.capacity
    }

    /// How many entries hold room now. Replies, releases, callbacks and input-synchronized calls hold none
    /// (rules MB-4, CK-3).
    pub fn queued(&self) -> usize {
        self.0.queued()
    }

    /// Asks it to quit (rule LT-2). The door closes at once: new chains, and callers that wait for room, get
    /// `Disconnected`. What was accepted is served; then its objects are dropped, on its thread. Never waits; asking
    /// twice is as asking once. Inside a method being served, that call completes with its own result (rule LT-6).
    #[doc(alias("PostQuitMessage", "WM_QUIT"))]
    pub fn quit(&self) {
        self.0.close(Thread::current().who(), true);
    }

    /// Posts an application message: a closure for the apartment rather than for one of its objects (rule MB-9). It runs
    /// in its loop, in its turn; while a call of the apartment is out, only if the class is let through (rule MF-8).
    /// Does not wait: without room it is refused, and the closure handed back.
    ///
    /// ```
    /// use apartment::{MessageClass, Sta};
    ///
    /// let (drawn, seen) = std::sync::mpsc::channel();
    /// let ui = Sta::spawn("ui")?;
    /// ui.apartment().post_message(MessageClass::Paint, move || drawn.send("drawn").unwrap())?;
    /// assert_eq!(seen.recv().unwrap(), "drawn");
    /// # Ok::<(), apartment::Error>(())
    /// ```
    ///
    /// # Errors
    /// `MailboxFull`; `Disconnected` once it is asked to quit; `NotSupported` for the MTA, which has no message loop.
    #[doc(alias = "PostMessage")]
    #[track_caller]
    pub fn post_message<F: FnOnce() + Send + 'static>(&self, class: MessageClass, run: F) -> Result<(), PostError<F>> {
        if !self.0.is_sta() {
            let what = "the MTA has no message loop; application messages are for STAs";
            return Err(PostError::new(CallError::NotSupported { what }, run));
        }
        let target = CallTarget {
            object: None,
            type_name: std::any::type_name::<F>(),
            method: None,
            location: Location::caller(),
        };
        let body = |run| Body::Message { class, run, ask: Ask::NotYet };
        send(&self.0, target, Terms::default(), body, Sent::new(Message(run)))
            .map_err(|refused| PostError::new(refused.0, refused.1.give_back::<Message<F>>().0))
    }
}

struct Message<F>(F);

impl<F: FnOnce() + Send + 'static> Closure for Message<F> {
    fn run(self, _: &dyn Any) -> Option<Self> {
        (self.0)();
        None
    }
}

impl PartialEq for Apartment {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Apartment {}

impl fmt::Debug for Apartment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Apartment")
            .field("id", &self.id())
            .field("name", &self.name())
            .field("kind", &self.kind())
            .finish()
    }
}
