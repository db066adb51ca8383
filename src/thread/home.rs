//! The apartment a thread is in, as the thread itself sees it.

use super::objects::Objects;
use super::{Going, Thread, contain, drop_unrun};
use crate::describe::Reentrancy;
use crate::diagnose::What;
use crate::filter::MessageFilter;
use crate::host::Host;
use crate::id::ObjectId;
use crate::mailbox::{Mailbox, Use};
use crate::process::{EndHandler, Process};
use crate::sync::Arc;
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Instant;

/// A thread is in at most one apartment (rules AP-3, AP-11).
#[derive(Clone)]
pub(crate) enum Home {
    Sta(Rc<StaHome>),
    Mta(Rc<MtaHome>),
}

/// What belongs to an STA's thread alone: above all its objects, which need not be `Send`.
pub(crate) struct StaHome {
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) process: Process,
    pub(crate) reentrancy: Reentrancy,
    /// How deep waits nest before they serve their own chain only.
    pub(crate) nested_waits: u32,
    pub(crate) main: bool,
    pub(crate) objects: Objects,
    pub(crate) filter: RefCell<Option<Rc<dyn MessageFilter>>>,
    /// Whether its top loop has taken over a batch of what is queued.
    pub(crate) batch: Cell<bool>,
    /// Asked before the process ends.
    pub(crate) end_handler: RefCell<Option<Rc<dyn EndHandler>>>,
    /// Guards that have entered it and not left.
    pub(crate) enters: Cell<u32>,
    /// The last guard left while a call was being served: the apartment ends when the outermost one returns.
    pub(crate) leaves_later: Cell<bool>,
    /// It is being left, or has been: who enters and leaves once more meanwhile changes nothing.
    pub(crate) is_leaving: Cell<bool>,
    /// How it is left in order; told by the layer above, which serves.
    pub(crate) leave: fn(&Rc<Thread>, &Rc<Self>),
    /// Whose life ends with the apartment's: the guard that the hook around the thread's life made.
    pub(crate) guard: RefCell<Option<Box<dyn Any>>>,
    /// The event loop that the thread belongs to, if it does (rule AP-9).
    pub(crate) adopted: RefCell<Option<Rc<Adopted>>>,
}

/// A thread's own event loop, as the thread sees it.
pub(crate) struct Adopted {
    pub(crate) host: Rc<dyn Host>,
    pub(crate) may_block: bool,
    /// After how long a wake is repeated.
    pub(crate) late_after: u64,
    /// When the wait that parks in the loop now ends by itself.
    pub(crate) until: Cell<Option<Instant>>,
    /// How many waits park in the loop now, one on top of the other.
    pub(crate) parks: Cell<u32>,
    /// Whether a dispatch has said that the apartment was asked to quit.
    pub(crate) told_to_quit: Cell<bool>,
    /// What is to happen whenever something returns on the thread; told by the layer above, which looks.
    way_out: fn(&Rc<Thread>, &Rc<StaHome>),
}

impl Adopted {
    pub(crate) fn new(
        host: Rc<dyn Host>,
        may_block: bool,
        late_after: u64,
        way_out: fn(&Rc<Thread>, &Rc<StaHome>),
    ) -> Self {
        let (until, parks, told_to_quit) = (Cell::new(None), Cell::new(0), Cell::new(false));
        Self { host, may_block, late_after, until, parks, told_to_quit, way_out }
    }
}

pub(crate) struct MtaHome {
    pub(crate) mailbox: Arc<Mailbox>,
    /// One of the pool's, which serves the queue, or one that entered.
    pub(crate) pool_thread: bool,
    /// A thread that is in no apartment and calls an object of the MTA directly (rule AP-5).
    pub(crate) implicit: bool,
    pub(crate) enters: Cell<u32>,
    /// The last guard left during a direct call: the thread leaves when the outermost one returns, and is one of the
    /// MTA's until then, for it may be the one to drop the object (rule AP-2).
    pub(crate) leaves_later: Cell<bool>,
    /// The thread's locals went before its guards did, which have nothing left to do.
    pub(crate) abandoned: Cell<bool>,
}

impl Home {
    pub(crate) fn mailbox(&self) -> &Arc<Mailbox> {
        match self {
            Self::Sta(home) => &home.mailbox,
            Self::Mta(home) => &home.mailbox,
        }
    }

    pub(crate) fn is_at(&self, mailbox: &Arc<Mailbox>) -> bool {
        Arc::ptr_eq(self.mailbox(), mailbox)
    }

    pub(crate) fn is_pool_thread(&self) -> bool {
        matches!(self, Self::Mta(home) if home.pool_thread)
    }

    /// The thread's locals are being destroyed while it is still in an apartment: the guard was leaked (rule LT-3).
    pub(crate) fn abandon(self, thread: &Rc<Thread>) {
        match self {
            Self::Sta(home) => home.end(thread, true),
            Self::Mta(home) => {
                home.abandoned.set(true);
                if !home.pool_thread {
                    home.mailbox.note(thread.who(), What::ThreadLeft);
                    home.mailbox.use_ends(Use::Thread, thread.who());
                }
            }
        }
    }
}

impl MtaHome {
    pub(crate) fn new(mailbox: Arc<Mailbox>, pool_thread: bool, implicit: bool) -> Self {
        let (leaves_later, abandoned) = (Cell::new(false), Cell::new(false));
        Self { mailbox, pool_thread, implicit, enters: Cell::new(1), leaves_later, abandoned }
    }

    /// The last guard of a thread that entered is gone.
    pub(crate) fn leave(&self, thread: &Thread) {
        self.mailbox.note(thread.who(), What::ThreadLeft);
        thread.set_home(None);
        self.mailbox.use_ends(Use::Thread, thread.who());
    }
}

impl StaHome {
    #[inline]
    pub(crate) fn object(&self, id: ObjectId) -> Option<Rc<dyn Any>> {
        self.objects.get(id)
    }

    /// The loop that the thread belongs to, if it does.
    pub(crate) fn adopted(&self) -> Option<Rc<Adopted>> {
        self.adopted.borrow().clone()
    }

    pub(crate) fn is_adopted(&self) -> bool {
        self.adopted.borrow().is_some()
    }

    /// Whether the thread is not in it any more: a guard was kept longer.
    pub(crate) fn has_left(&self, thread: &Thread) -> bool {
        thread.sta().is_none_or(|home| !std::ptr::eq(&*home, self))
    }

    /// Something has returned on its thread: the loop below may have to be woken (rule AP-9).
    pub(crate) fn on_the_way_out(self: &Rc<Self>, thread: &Rc<Thread>) {
        if let Some(adopted) = self.adopted() {
            (adopted.way_out)(thread, self);
        }
    }

    /// The thread leaves its loop to itself.
    fn leave_loop(&self, thread: &Thread) {
        let wakes = thread.bell().left();
        let adopted = self.adopted.borrow_mut().take();
        drop(wakes);
        contain(&self.mailbox, thread, "the destructor of a host", || drop(adopted));
    }

    /// Puts an object on the thread's table. Once the apartment has ended there is none: the object is dropped here.
    pub(crate) fn keep(&self, thread: &Rc<Thread>, object: Rc<dyn Any>, type_name: &'static str) -> Option<ObjectId> {
        let Some(id) = self.mailbox.new_object() else {
            thread.drop_object(Going::Own(object));
            return None;
        };
        self.objects.insert(id, object);
        self.mailbox.tell(thread.who(), None, || What::ObjectMade { object: id, type_name });
        Some(id)
    }

    /// The apartment's own reference to an object goes; the object too, unless a direct reference or a running call
    /// still holds it.
    pub(crate) fn let_go(&self, thread: &Rc<Thread>, id: ObjectId) {
        let object = self.objects.remove(id);
        if let Some(object) = object {
            self.mailbox.object_dropped(id, thread.who());
            thread.drop_object(Going::Own(object));
        }
    }

    /// Closes the door if it is open, drops the objects here, disconnects their proxies (rule LT-2). In order, what was
    /// accepted has been served before.
    pub(crate) fn end(&self, thread: &Rc<Thread>, abnormal: bool) {
        self.is_leaving.set(true);
        if abnormal {
            self.mailbox.close(thread.who(), false);
        }
        self.mailbox.begin_end(true);
        let mut dropped = 0;
        self.objects.empty(|id| {
            self.let_go(thread, id);
            dropped += 1;
        });
        // A filter's destructor may register the next.
        while let Some(filter) = self.filter.take() {
            contain(&self.mailbox, thread, "a filter's destructor", || drop(filter));
        }
        while let Some(handler) = self.end_handler.take() {
            contain(&self.mailbox, thread, "an end handler's destructor", || drop(handler));
        }
        let unrun = self.mailbox.end(abnormal, dropped, thread.who());
        drop_unrun(&self.mailbox, thread, unrun);
        // What destructors brought in between.
        self.objects.empty(|id| {
            let late = self.objects.remove(id);
            late.into_iter().for_each(|object| thread.drop_object(Going::Own(object)));
        });
        self.process.sta_ended(&self.mailbox);
        self.mailbox.note(thread.who(), What::ThreadLeft);
        let guard = self.guard.borrow_mut().take();
        contain(&self.mailbox, thread, "the destructor of the guard around the thread", || drop(guard));
        thread.set_home(None);
        self.leave_loop(thread);
        self.mailbox.thread_gone();
    }
}
