//! What a thread knows of itself: its number and bell, the apartment it is in, what it is serving, what it waits for.
//!
//! All of it is the thread's own; nobody else reads or writes it. No `RefCell` of it is borrowed while user code runs.

mod cancel;
mod drops;
mod frame;
mod home;
mod objects;
mod stirs;
mod tell;

pub use cancel::CancelHandle;
pub(crate) use cancel::{Target, Watched};
pub(crate) use drops::{Going, contain, drop_payload, drop_shared, drop_unrun, panic_message};
pub(crate) use frame::{Borrow, Frame, Holder, LooksAfter, Outgoing};
pub(crate) use home::{Adopted, Home, MtaHome, StaHome};
pub(crate) use objects::Objects;

use crate::call::record::{Waiter, Why};
use crate::call::{Record, Ticket};
use crate::common::Common;
use crate::cycle::Deadlock;
use crate::describe::{CallKind, Caller};
use crate::error::CallError;
use crate::id::{CallId, ChainId, ObjectId, PacketId, ThreadId};
use crate::mailbox::{Accepted, Entry, Mailbox, NoRoom, NotAccepted, Place, Who};
use crate::sync::{Arc, Bell, Patience, Ring, Spin, local, next_thread_number};
use crate::wait_graph::{Asleep, Doer};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::mem::ManuallyDrop;
use std::rc::Rc;

pub(crate) struct Thread {
    id: ThreadId,
    /// Its locals are being destroyed: nothing is kept of it from one look to the next, but while it drops objects.
    is_foreign: bool,
    bell: Arc<Bell>,
    /// How long it looks before it sleeps on that.
    patience: Patience,
    /// How many calls it has made: the counts of their ids.
    calls: Cell<u64>,
    /// How many references it has marshalled.
    packets: Cell<u64>,
    /// How many waits it has begun, for telling once per wait what is held.
    waits: Cell<u32>,
    /// How many waits it is in.
    waiting: Cell<u32>,
    /// Waits, served calls and messages that are open.
    open: Cell<u16>,
    /// How many filter methods are on its stack: while there is one nothing is dispatched (rule CK-4).
    filters: Cell<u32>,
    home: RefCell<Option<Home>>,
    /// Whether it belongs to an event loop, and is an STA.
    is_adopted: Cell<bool>,
    /// The apartment that begins with it, while the hook around its life runs: it is in none yet.
    begins: RefCell<Option<Arc<Mailbox>>>,
    /// What it brings about, innermost last.
    does: RefCell<Vec<Arc<Doer>>>,
    /// As whom it last visited an MTA: kept, for such a call allocates nothing once warm.
    visitor: RefCell<Option<Rc<MtaHome>>>,
    frames: RefCell<Vec<Frame>>,
    /// A place for the next entry that it sends: it got it for the last one.
    spare: Cell<Option<Place>>,
    outgoing: RefCell<Vec<Outgoing>>,
    /// Call records that are free, each with the last call that went through it: as many as its calls were ever nested.
    records: RefCell<Vec<Ticket>>,
    /// Objects to be dropped, in a loop rather than in each other (rule LT-1).
    dropping: RefCell<VecDeque<Going>>,
    is_dropping: Cell<bool>,
    /// While it sleeps in a wait, its place in the graph of waits.
    asleep: Cell<Option<Asleep>>,
    /// What its innermost wait was told while something ran on top of it.
    told: RefCell<Option<Arc<Deadlock>>>,
}

/// What the thread-local holds. It is dropped with the thread's locals: a thread that is still in an apartment then has
/// leaked its guard, and the apartment ends abnormally (rule LT-3).
struct Slot(Rc<Thread>);

impl Drop for Slot {
    fn drop(&mut self) {
        // The program exits in the middle of these calls, which will not end. Who has lent something is not answered.
        let owned = |frame: &Frame| frame.owned.then(|| frame.ticket.clone()).flatten();
        let died: Vec<_> = self.0.with_frames(|frames| frames.iter().filter_map(owned).collect());
        died.iter().for_each(Ticket::died);
        let home = self.0.home.borrow_mut().take();
        if let Some(home) = home {
            home.abandon(&self.0);
        }
    }
}

local! {
    static CURRENT: RefCell<Option<Slot>> = RefCell::new(None);
}

local! {
    /// The thread whose locals are being destroyed, while it drops objects. It has no destructor of its own, and so is
    /// still there.
    static FOREIGN: ManuallyDrop<RefCell<Option<Rc<Thread>>>> = ManuallyDrop::new(RefCell::new(None));
}

impl Thread {
    fn new(bell: Arc<Bell>, is_foreign: bool) -> Rc<Self> {
        Rc::new(Self {
            id: ThreadId(next_thread_number()),
            is_foreign,
            bell,
            patience: Patience::default(),
            calls: Cell::new(0),
            packets: Cell::new(0),
            waits: Cell::new(0),
            waiting: Cell::new(0),
            open: Cell::new(0),
            filters: Cell::new(0),
            home: RefCell::new(None),
            is_adopted: Cell::new(false),
            begins: RefCell::new(None),
            does: RefCell::new(Vec::new()),
            visitor: RefCell::new(None),
            frames: RefCell::new(Vec::new()),
            spare: Cell::new(None),
            outgoing: RefCell::new(Vec::new()),
            records: RefCell::new(Vec::new()),
            dropping: RefCell::new(VecDeque::new()),
            is_dropping: Cell::new(false),
            asleep: Cell::new(None),
            told: RefCell::new(None),
        })
    }

    /// The calling thread. One whose locals are being destroyed counts as foreign: it is in no apartment.
    pub(crate) fn current() -> Rc<Self> {
        let known = CURRENT.try_with(|slot| {
            let mut slot = slot.borrow_mut();
            Rc::clone(&slot.get_or_insert_with(|| Slot(Self::new(Arc::new(Bell::new()), false))).0)
        });
        known.unwrap_or_else(|_| {
            let foreign = FOREIGN.try_with(|foreign| foreign.borrow().clone()).ok().flatten();
            foreign.unwrap_or_else(|| Self::new(Arc::new(Bell::new()), true))
        })
    }

    /// The calling thread, looked at and not kept. What looks neither calls nor drops anything of the user's.
    #[inline]
    pub(crate) fn with_current<R>(look: impl FnOnce(&Rc<Self>) -> R) -> R {
        let mut look = Some(look);
        let seen = CURRENT.try_with(|slot| {
            let slot = slot.borrow();
            slot.as_ref().and_then(|slot| look.take().map(|look| look(&slot.0)))
        });
        match (seen, look) {
            (Ok(Some(seen)), _) => seen,
            (_, Some(look)) => look(&Self::current()),
            (_, None) => crate::broken("what has looked has seen"),
        }
    }

    /// A thread whose locals are being destroyed is the same from one look to the next while the guard lives: what is
    /// dropped in a loop finds the loop.
    pub(crate) fn stays_known(self: &Rc<Self>) -> StaysKnown {
        // The outermost guard forgets it.
        let keep =
            |foreign: &ManuallyDrop<RefCell<Option<Rc<Self>>>>| foreign.borrow_mut().replace(Rc::clone(self)).is_none();
        StaysKnown(self.is_foreign && FOREIGN.try_with(keep).unwrap_or(false))
    }

    /// The calling thread, which was just started and whose bell its maker knows already.
    pub(crate) fn started(bell: Arc<Bell>) -> Rc<Self> {
        let thread = Self::new(bell, false);
        let slot = Slot(Rc::clone(&thread));
        if CURRENT.try_with(|current| *current.borrow_mut() = Some(slot)).is_err() {
            crate::broken("a thread that was just started has no locals");
        }
        thread
    }

    pub(crate) fn bell(&self) -> &Arc<Bell> {
        &self.bell
    }

    /// Looks a few times whether its bell is rung before it sleeps on it, and consumes the ring.
    pub(crate) fn spin(&self, spin: Spin) -> Option<Ring> {
        self.patience.look(spin, || self.bell.take())
    }

    /// Whether its locals are being destroyed: what it is in and what it serves is not known then.
    pub(crate) fn is_foreign(&self) -> bool {
        self.is_foreign
    }

    /// Whether it can be in an apartment: not any more while its locals are being destroyed.
    pub(crate) fn may_enter(&self) -> Result<(), CallError> {
        match self.is_foreign {
            true => {
                Err(CallError::NotSupported { what: "entering an apartment while the thread's locals are destroyed" })
            }
            false => Ok(()),
        }
    }

    /// Who does what it does now, for the events.
    pub(crate) fn who(&self) -> Who {
        (self.id, self.open.get())
    }

    pub(crate) fn new_call(&self) -> CallId {
        self.calls.set(self.calls.get() + 1);
        CallId { thread: self.id, count: self.calls.get() }
    }

    pub(crate) fn new_packet(&self) -> PacketId {
        self.packets.set(self.packets.get() + 1);
        PacketId { thread: self.id, count: self.packets.get() }
    }

    pub(crate) fn new_wait(&self) -> u32 {
        self.waits.set(self.waits.get().wrapping_add(1).max(1));
        self.waits.get()
    }

    /// One more wait, served call or message is open while the guard lives.
    pub(crate) fn opened(&self) -> Opened<'_> {
        self.open.set(self.open.get().saturating_add(1));
        Opened(self)
    }

    /// Counts a wait for as long as the guard lives.
    pub(crate) fn waits(&self) -> Waiting<'_> {
        self.waiting.set(self.waiting.get() + 1);
        Waiting(self)
    }

    pub(crate) fn waits_open(&self) -> u32 {
        self.waiting.get()
    }

    // ---- where it is

    pub(crate) fn home(&self) -> Option<Home> {
        self.home.borrow().clone()
    }

    /// Where it is; looked at, not kept.
    pub(crate) fn with_home<R>(&self, look: impl FnOnce(Option<&Home>) -> R) -> R {
        look(self.home.borrow().as_ref())
    }

    pub(crate) fn sta(&self) -> Option<Rc<StaHome>> {
        match &*self.home.borrow() {
            Some(Home::Sta(home)) => Some(Rc::clone(home)),
            _ => None,
        }
    }

    /// Whether it matters when exactly it made a call that goes there: out of an apartment, whose filter is told for how long
    /// it has been out; and wherever others may wait for it, for of the waits that close a cycle the youngest fails.
    #[inline]
    pub(crate) fn counts_exactly(&self, callee: &Arc<Mailbox>) -> bool {
        self.home.borrow().as_ref().is_some_and(|home| !home.is_at(callee)) || !self.does.borrow().is_empty()
    }

    /// Under strict rules a thread does nothing before it is in an apartment; one in none is as good as in the MTA, once
    /// there is an MTA (rule ST-1).
    pub(crate) fn is_initialized(&self, process: &Common) -> Result<(), CallError> {
        let outside = process.strict && process.mta().is_none() && self.home.borrow().is_none();
        if outside { Err(CallError::NotInitialized) } else { Ok(()) }
    }

    pub(crate) fn set_home(&self, home: Option<Home>) {
        self.is_adopted.set(matches!(&home, Some(Home::Sta(home)) if home.is_adopted()));
        if home.is_some() {
            // It serves, mostly one thing at a time, and frames are not small: a vector's own first step would be to four.
            self.frames.borrow_mut().reserve_exact(1);
        }
        let before = self.home.replace(home);
        drop(before);
    }

    /// The apartment that begins with it, from now on; gives what was said before.
    pub(crate) fn set_begins(&self, mailbox: Option<Arc<Mailbox>>) -> Option<Arc<Mailbox>> {
        self.begins.replace(mailbox)
    }

    /// The apartment that it cannot wait for, which begins with it.
    pub(crate) fn begins(&self) -> Option<Arc<Mailbox>> {
        self.begins.borrow().clone()
    }

    /// It is the one who brings that about, as long as the guard lives.
    pub(crate) fn does(self: &Rc<Self>, what: Arc<Doer>) -> Does {
        what.begins(self.id, &self.bell);
        self.does.borrow_mut().push(what);
        Does(Rc::clone(self))
    }

    /// Whether somebody waits for what it brings about.
    pub(crate) fn is_awaited(&self) -> bool {
        self.does.borrow().iter().any(|what| what.is_awaited())
    }

    /// Whether it has nothing to do in a wait but to sleep, whatever comes meanwhile: it serves nobody, nobody can come to
    /// wait for it, there is nothing to drop, and no call of its own that would have to be looked after.
    pub(crate) fn only_sleeps(&self) -> bool {
        let is_alone = self.home.borrow().is_none() && self.does.borrow().is_empty();
        is_alone && !self.has_something_to_drop() && self.looks_after().is_nothing()
    }

    /// It as an implicit thread of that MTA.
    pub(crate) fn visitor(&self, mta: &Arc<Mailbox>) -> Rc<MtaHome> {
        let known = self.visitor.borrow().clone();
        if let Some(known) = known.filter(|known| Arc::ptr_eq(&known.mailbox, mta)) {
            return known;
        }
        let visitor = Rc::new(MtaHome::new(Arc::clone(mta), false, true));
        let before = self.visitor.replace(Some(Rc::clone(&visitor)));
        // With no borrow: it may be the last to hold an MTA, and what that holds of the user's.
        drop(before);
        visitor
    }

    /// The MTA that it visited is ending.
    pub(crate) fn forget_visit(&self) {
        let visitor = self.visitor.take();
        drop(visitor);
    }

    /// It as the caller of something.
    pub(crate) fn caller(&self) -> Caller {
        Caller { thread: self.id, apartment: self.home.borrow().as_ref().map(|home| home.mailbox().name.clone()) }
    }

    /// A wait inside a destructor serves releases like any other, rather than leave them to the loop below it.
    pub(crate) fn drops_afresh(&self) -> DropsAfresh<'_> {
        DropsAfresh(self, self.is_dropping.replace(false))
    }

    /// Whether there is something on the list of what is to be dropped.
    #[inline]
    pub(crate) fn has_something_to_drop(&self) -> bool {
        !self.dropping.borrow().is_empty()
    }

    /// Whether it may sleep at all: a host can say that nothing blocks its thread (rule AP-9).
    pub(crate) fn may_block(&self) -> Result<(), CallError> {
        let adopted = if self.is_adopted.get() { self.sta().and_then(|home| home.adopted()) } else { None };
        match adopted {
            Some(adopted) if !adopted.may_block => Err(CallError::NotSupported {
                what: "waiting on this thread, whose host lets nothing block it; `Proxy::call_async` gives a future instead",
            }),
            _ => Ok(()),
        }
    }

    /// Whether it belongs to an event loop, and is an STA.
    pub(crate) fn is_adopted(&self) -> bool {
        self.is_adopted.get()
    }

    // ---- leaving

    /// Whether something of the user's is on the stack that still counts on the apartment.
    pub(crate) fn is_in_the_middle(&self) -> bool {
        // Between two attempts a call is out and nothing waits: a filter's destructor may run then.
        let is_out = self.with_outgoing(|calls| !calls.is_empty());
        is_out || self.depth() > 0 || self.waits_open() > 0 || self.in_filter() || self.is_dropping.get()
    }

    /// Something has returned: the loop below it may have to be woken. If it was the outermost call and the last guard left
    /// meanwhile, now is the time.
    #[inline]
    pub(crate) fn leave_if_due(self: &Rc<Self>) {
        let leaves = |home: &Home| match home {
            Home::Sta(home) => home.leaves_later.get(),
            Home::Mta(home) => home.leaves_later.get(),
        };
        if self.is_adopted.get() || self.with_home(|home| home.is_some_and(leaves)) {
            self.leave_now_if_due();
        }
    }

    #[cold]
    fn leave_now_if_due(self: &Rc<Self>) {
        if self.is_adopted.get()
            && let Some(home) = self.sta()
        {
            home.on_the_way_out(self);
        }
        if self.is_in_the_middle() {
            return;
        }
        match self.home() {
            Some(Home::Sta(home)) if home.leaves_later.get() && !home.is_leaving.get() => (home.leave)(self, &home),
            // It may have entered once more meanwhile.
            Some(Home::Mta(home)) if home.leaves_later.replace(false) && home.enters.get() == 0 => home.leave(self),
            _ => {}
        }
    }

    // ---- filters

    pub(crate) fn in_filter(&self) -> bool {
        self.filters.get() > 0
    }

    /// Whether it serves an input-synchronized call, innermost or not.
    pub(crate) fn in_input_synchronized(&self) -> bool {
        self.with_frames(|frames| frames.iter().any(|frame| frame.kind == CallKind::InputSynchronized))
    }

    /// While a filter's method runs, or an input-synchronized call is served, nothing is dispatched (rules CK-3, CK-4).
    pub(crate) fn dispatches_nothing(&self) -> bool {
        self.in_filter() || self.in_input_synchronized()
    }

    /// Runs a filter's method.
    pub(crate) fn filtering<R>(&self, method: impl FnOnce() -> R) -> R {
        struct Left<'a>(&'a Cell<u32>);
        impl Drop for Left<'_> {
            fn drop(&mut self) {
                self.0.set(self.0.get() - 1);
            }
        }
        self.filters.set(self.filters.get() + 1);
        let _left = Left(&self.filters);
        method()
    }

    // ---- what it serves

    #[inline]
    pub(crate) fn push_frame(&self, frame: impl FnOnce() -> Frame) {
        let mut frames = self.frames.borrow_mut();
        if frames.len() == frames.capacity() {
            frames.reserve(1);
        }
        // In its place: it is not small.
        frames.push(frame());
    }

    #[inline]
    pub(crate) fn pop_frame(&self) {
        let left = self.frames.borrow_mut().pop();
        drop(left);
    }

    pub(crate) fn depth(&self) -> u32 {
        u32::try_from(self.frames.borrow().len()).unwrap_or(u32::MAX)
    }

    /// What it is serving, innermost; looked at, not kept.
    pub(crate) fn with_frame<R>(&self, look: impl FnOnce(Option<&Frame>) -> R) -> R {
        look(self.frames.borrow().last())
    }

    /// Why the call that it is serving, innermost, is cancelled, if it is.
    pub(crate) fn served_is_cancelled(&self) -> Option<Why> {
        self.with_frame(|frame| frame.and_then(Frame::cancelled))
    }

    pub(crate) fn with_frames<R>(&self, look: impl FnOnce(&[Frame]) -> R) -> R {
        look(&self.frames.borrow())
    }

    /// The innermost call has borrowed its object.
    pub(crate) fn holds(&self, borrow: Borrow) {
        if let Some(frame) = self.frames.borrow().last() {
            frame.borrow.set(borrow);
        }
    }

    /// Who holds an object, and whether waiting for it could help a call of that chain.
    pub(crate) fn holder(&self, object: Option<ObjectId>, chain: ChainId) -> Holder {
        frame::holder(&self.frames.borrow(), object, chain)
    }

    // ---- what it sends

    /// Sends an entry: it comes in, waits for room, or comes back. True if it stands in the line for room. The entry is
    /// filled with no lock held, and takes only its place to the other side.
    #[inline]
    pub(crate) fn sends(&self, callee: &Arc<Mailbox>, entry: Entry, no_room: NoRoom) -> Result<bool, Box<NotAccepted>> {
        let place = match self.spare.take() {
            Some(mut place) => {
                *place = entry;
                place
            }
            None => Place::new(entry),
        };
        let Accepted { in_line, vacant } = callee.accept(place, no_room, self.who())?;
        self.spare.set(vacant);
        Ok(in_line)
    }

    // ---- what it waits for

    /// A call goes out; gives its place among those that are. It is made in its place.
    #[inline]
    pub(crate) fn push_outgoing(&self, call: impl FnOnce() -> Outgoing) -> usize {
        let mut outgoing = self.outgoing.borrow_mut();
        let place = outgoing.len();
        if place == outgoing.capacity() {
            outgoing.reserve(1);
        }
        outgoing.push(call());
        place
    }

    /// The call at that place is tried, and may wait for room until then.
    pub(crate) fn attempts(&self, at: usize, attempt: u32, room_until: Option<u64>) {
        if let Some(outgoing) = self.outgoing.borrow_mut().get_mut(at) {
            outgoing.attempt = attempt;
            outgoing.room_until = room_until;
        }
    }

    /// The time for room of the call at that place is up.
    pub(crate) fn room_is_over(&self, at: usize) {
        if let Some(outgoing) = self.outgoing.borrow_mut().get_mut(at) {
            outgoing.room_until = None;
        }
    }

    /// The innermost has ended. Who made it still has all that it holds, so nobody's destructor runs in here.
    #[inline]
    pub(crate) fn pop_outgoing(&self) {
        let mut outgoing = self.outgoing.borrow_mut();
        let below = outgoing.len().saturating_sub(1);
        outgoing.truncate(below);
    }

    pub(crate) fn outgoing(&self, at: usize) -> Option<Outgoing> {
        self.outgoing.borrow().get(at).cloned()
    }

    pub(crate) fn with_outgoing<R>(&self, look: impl FnOnce(&[Outgoing]) -> R) -> R {
        look(&self.outgoing.borrow())
    }

    /// What a wait that begins now has to look after.
    #[inline]
    pub(crate) fn looks_after(&self) -> LooksAfter {
        LooksAfter::of(&self.outgoing.borrow())
    }

    /// A call record for as long as `call` runs: one that is free, or a new one. A warm call allocates none.
    #[inline]
    pub(crate) fn with_ticket<R>(&self, call: impl FnOnce(&Ticket) -> R) -> R {
        let free = self.records.borrow_mut().pop();
        let ticket = free.unwrap_or_else(|| self.new_record()).next();
        let result = call(&ticket);
        // Of a call that was left while it ran the callee still asks whether it is cancelled.
        if !ticket.is_detached() {
            self.records.borrow_mut().push(ticket);
        }
        result
    }

    #[cold]
    fn new_record(&self) -> Ticket {
        Record::new(Waiter::Thread(Arc::clone(&self.bell))).unused()
    }
}

/// See [`Thread::opened`].
pub(crate) struct Opened<'a>(&'a Thread);

impl Drop for Opened<'_> {
    fn drop(&mut self) {
        self.0.open.set(self.0.open.get().saturating_sub(1));
    }
}

/// See [`Thread::does`].
pub(crate) struct Does(Rc<Thread>);

impl Drop for Does {
    fn drop(&mut self) {
        let what = self.0.does.borrow_mut().pop();
        drop(what);
    }
}

/// See [`Thread::drops_afresh`].
pub(crate) struct DropsAfresh<'a>(&'a Thread, bool);

impl Drop for DropsAfresh<'_> {
    fn drop(&mut self) {
        self.0.is_dropping.set(self.1);
    }
}

/// See [`Thread::stays_known`].
pub(crate) struct StaysKnown(bool);

impl Drop for StaysKnown {
    fn drop(&mut self) {
        if self.0 {
            let known = FOREIGN.try_with(|foreign| foreign.borrow_mut().take());
            drop(known);
        }
    }
}

/// See [`Thread::waits`].
pub(crate) struct Waiting<'a>(&'a Thread);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.set(self.0.waiting.get() - 1);
    }
}
