//! A thread that sleeps in a wait as the others see it, and what becomes of a wait that closes a cycle (rule DL-1).

use super::park::Sleeps;
use super::serve::{Situation, asks_about_messages, scope};
use crate::call::Ticket;
use crate::common::Common;
use crate::cycle::{Awaited, Deadlock};
use crate::diagnose::{CallRef, What};
use crate::error::CallError;
use crate::id::ObjectId;
use crate::mailbox::{Header, Mailbox};
use crate::sync::{Arc, Clock};
use crate::thread::{Frame, Home, Outgoing, StaHome, Thread};
use crate::wait_graph::{Doer, Entry, Node, On, Place, Scope, Serving};
use std::cell::{Cell, OnceCell};
use std::panic::Location;
use std::rc::Rc;
use std::time::Instant;

/// On whom a wait depends that is for no call.
#[derive(Clone, Copy)]
pub(crate) enum Depends<'a> {
    /// That is not known, or the wait ends by itself: it is in no cycle.
    Unknown,
    /// A post's sender waits for room.
    Room(&'a Arc<Mailbox>, &'a Ticket, &'a Header),
    /// An apartment is to end.
    End(&'a Arc<Mailbox>, Option<&'static Location<'static>>),
    /// The calls that run on an object are to end.
    Calls(&'a Arc<Mailbox>, ObjectId, &'static Location<'static>),
    /// Somebody's thread is to bring that about.
    Doer(&'a Arc<Doer>, &'a Awaited),
}

/// One wait, for all the times that it sleeps.
pub(super) struct Wait<'a> {
    pub(super) thread: &'a Rc<Thread>,
    pub(super) situation: Situation<'a>,
    pub(super) depends: Depends<'a>,
    pub(super) until: Option<(&'a Clock, u64)>,
    home: Option<Home>,
    /// When it began, for one that is for no call.
    began: u64,
    /// Other threads are waited for until the wait is over.
    of: OnceCell<WaitsForThreads>,
    /// Nobody could have gone on, and so what it was for was taken back.
    pub(super) is_taken_back: Cell<bool>,
}

/// Somebody waits for an apartment's end, for calls on its objects, or for room in its mailbox, which messages can hold
/// though its thread serves every call; or for what a thread brings about. See
/// [`Seat::is_awaited`](crate::wait_graph::Seat::is_awaited).
enum WaitsForThreads {
    Of(Arc<Mailbox>),
    Doer(Arc<Doer>),
}

impl WaitsForThreads {
    /// They are to be seen from here on; who sleeps already wakes once for that.
    fn begin(self) -> Self {
        match &self {
            Self::Of(mailbox) => {
                mailbox.seat().begins_to_be_awaited();
                mailbox.ring_owner();
            }
            Self::Doer(doer) => doer.begins_to_be_awaited(),
        }
        self
    }
}

impl Drop for WaitsForThreads {
    fn drop(&mut self) {
        match self {
            Self::Of(mailbox) => mailbox.seat().is_awaited_no_more(),
            Self::Doer(doer) => doer.is_awaited_no_more(),
        }
    }
}

impl<'a> Wait<'a> {
    #[inline]
    pub(super) fn new(
        thread: &'a Rc<Thread>,
        situation: Situation<'a>,
        depends: Depends<'a>,
        until: Option<(&'a Clock, u64)>,
    ) -> Self {
        let home = thread.home();
        let began = match (&home, depends) {
            (_, Depends::Unknown) => 0,
            (Some(home), _) => home.mailbox().common.clock.nanos(),
            (None, Depends::Room(of, ..) | Depends::End(of, _) | Depends::Calls(of, ..)) => of.common.clock.nanos(),
            (None, Depends::Doer(..)) => 0,
        };
        Self { thread, situation, depends, until, home, began, of: OnceCell::new(), is_taken_back: Cell::new(false) }
    }

    /// The STA that the thread is, if it is one.
    pub(super) fn sta(&self) -> Option<&Rc<StaHome>> {
        match &self.home {
            Some(Home::Sta(home)) => Some(home),
            Some(Home::Mta(_)) | None => None,
        }
    }

    /// Whose threads it waits for, whatever they serve meanwhile.
    fn waits_for_threads_of(&self) -> Option<WaitsForThreads> {
        match (self.situation, self.depends) {
            (Situation::Call(at), _) => self.thread.with_outgoing(|calls| {
                let in_line = |call: &&Outgoing| call.waits_for_room && call.callee.waits_for_room(&call.ticket);
                calls.get(at).filter(in_line).map(|call| WaitsForThreads::Of(Arc::clone(&call.callee)))
            }),
            (_, Depends::End(of, _) | Depends::Calls(of, ..) | Depends::Room(of, ..)) => {
                Some(WaitsForThreads::Of(Arc::clone(of)))
            }
            (_, Depends::Doer(doer, _)) => Some(WaitsForThreads::Doer(Arc::clone(doer))),
            (_, Depends::Unknown) => None,
        }
    }

    /// Sleeps on the thread's bell until then; says whether a call was cancelled. Meanwhile the thread is seen in its process'
    /// graph of waits, if others could depend on it, and it on others. Fails if nobody of these could ever go on.
    #[inline]
    pub(super) fn rest(&self, sleeps: &Sleeps<'_>, until: Option<Instant>) -> Result<bool, Arc<Deadlock>> {
        if self.home.is_none() && !self.thread.is_awaited() {
            return Ok(sleeps.until(until).cancelled);
        }
        if self.of.get().is_none()
            && let Some(of) = self.waits_for_threads_of()
        {
            self.of.get_or_init(|| of.begin());
        }
        if !self.somebody_may_depend() {
            return Ok(sleeps.until(until).cancelled);
        }
        self.rest_seen(sleeps, until)
    }

    fn rest_seen(&self, sleeps: &Sleeps<'_>, until: Option<Instant>) -> Result<bool, Arc<Deadlock>> {
        let seen = self.process().and_then(|common| self.on(&common).map(|on| (common, on)));
        let Some((common, on)) = seen else { return Ok(sleeps.until(until).cancelled) };
        self.thread.asleep(common.graph.sleeps(&common.clock, |node| self.fill(node, on, sleeps)));
        let cancelled = sleeps.until(until).cancelled;
        match self.thread.awake(&common.graph) {
            Some(told) => self.hear(told, &common).map(|()| cancelled),
            None => Ok(cancelled),
        }
    }

    /// In whose graph it is: that of the thread's own apartment, or of what it waits for.
    fn process(&self) -> Option<Arc<Common>> {
        match (&self.home, self.situation, self.depends) {
            (Some(home), ..) => Some(Arc::clone(&home.mailbox().common)),
            (None, Situation::Call(at), _) => {
                self.thread.with_outgoing(|calls| calls.get(at).map(|call| Arc::clone(&call.callee.common)))
            }
            (None, _, Depends::Room(of, ..) | Depends::End(of, _) | Depends::Calls(of, ..)) => {
                Some(Arc::clone(&of.common))
            }
            (None, _, Depends::Doer(..) | Depends::Unknown) => None,
        }
    }

    /// Whether anybody can have to wait for this thread: not if it is in no apartment and nobody joins it, nor if it is an
    /// STA's, serves all there is, is not about to end, runs nothing that another thread waits for, and nobody waits for
    /// its end.
    fn somebody_may_depend(&self) -> bool {
        if self.thread.is_awaited() {
            return true;
        }
        let home = match &self.home {
            None => return false,
            Some(Home::Mta(_)) => return true,
            Some(Home::Sta(home)) => home,
        };
        let own = self.thread.who().0;
        let waits = |frame: &Frame| frame.chain.is_some() && !frame.kind.is_one_way() && frame.caller.thread != own;
        self.lets_less(home)
            || home.is_leaving.get()
            || self.thread.with_frames(|frames| frames.iter().any(waits))
            || home.mailbox.seat().is_awaited()
    }

    fn lets_less(&self, home: &StaHome) -> bool {
        let Self { thread, situation, .. } = self;
        thread.dispatches_nothing() || scope(home, thread, *situation, thread.waits_open()) != Scope::Everything
    }

    /// What it waits for; none if that, or the wait itself, ends by itself, or is elsewhere: in another process, or unknown.
    fn on(&self, common: &Arc<Common>) -> Option<On> {
        let ours = |mailbox: &Arc<Mailbox>| Arc::ptr_eq(&mailbox.common, common);
        if self.until.is_some() || !common.graph.is_on() {
            return None;
        }
        if let Situation::Call(at) = self.situation {
            return self.thread.with_outgoing(|calls| {
                let call = calls.get(at).filter(|call| ours(&call.callee))?;
                let has_deadline = call.deadline.is_some() && call.ticket.is_open();
                let leaves_line = call.room_until.is_some() && call.callee.waits_for_room(&call.ticket);
                let entry = || Entry {
                    ticket: call.ticket.clone(),
                    callee: place(&call.callee),
                    id: call.id,
                    chain: call.chain,
                    kind: call.kind,
                    target: call.target,
                    waits_for_room: call.waits_for_room,
                };
                (!has_deadline && !leaves_line).then(|| On::Entry(entry()))
            });
        }
        match self.depends {
            Depends::Room(callee, ticket, header) if ours(callee) => Some(On::Entry(Entry {
                ticket: ticket.clone(),
                callee: place(callee),
                id: header.id,
                chain: header.chain,
                kind: header.kind,
                target: header.target,
                waits_for_room: true,
            })),
            Depends::End(of, location) if ours(of) => Some(On::End { of: place(of), location }),
            Depends::Calls(of, object, location) if ours(of) => {
                Some(On::Disconnect { of: place(of), object, location })
            }
            Depends::Doer(doer, awaits) => Some(On::Doer { doer: Arc::clone(doer), awaits: awaits.clone() }),
            _ => None,
        }
    }

    fn fill(&self, node: &mut Node, on: On, sleeps: &Sleeps<'_>) {
        let Self { thread, situation, home, .. } = self;
        node.thread = Some(thread.who().0);
        node.bell = Some(Arc::clone(thread.bell()));
        node.home = home.as_ref().map(|home| place(home.mailbox()));
        node.is_pool_thread = home.as_ref().is_some_and(Home::is_pool_thread);
        let sta = self.sta();
        node.lets.nothing = !situation.pumps() || thread.dispatches_nothing() || sta.is_none();
        node.lets.leaving = sta.is_some_and(|home| home.is_leaving.get());
        node.lets.scope = sta.map_or(Scope::Nothing, |home| scope(home, thread, *situation, thread.waits_open()));
        node.lets.messages = asks_about_messages(thread, *situation);
        node.lets.loops = sleeps.runs_a_loop();
        node.since = self.began;
        thread.with_outgoing(|calls| {
            node.lets.chains.extend(calls.iter().map(|call| call.chain));
            if let Situation::Call(at) = situation {
                node.since = calls.get(*at).map_or(node.since, |call| call.made);
            }
        });
        thread.with_frames(|frames| {
            let serving = frames.iter().map(|frame| Serving { id: frame.id, chain: frame.chain, target: frame.target });
            node.serving.extend(serving);
        });
        node.on = Some(on);
    }

    /// Nobody can go on if it waits on. A call or a post is taken back, if it still can be: that ends the wait.
    fn hear(&self, told: Arc<Deadlock>, common: &Common) -> Result<(), Arc<Deadlock>> {
        let error = || CallError::Deadlock(Arc::clone(&told));
        let who = self.thread.who();
        let failed = match (self.situation, self.depends) {
            (Situation::Call(at), _) => self.thread.outgoing(at).and_then(|call| {
                let failed = call.callee.fail(&call.ticket, error(), who);
                failed.then_some(CallRef { id: call.id, chain: call.chain, attempt: call.attempt })
            }),
            (_, Depends::Room(callee, ticket, header)) => callee.fail(ticket, error(), who).then(|| header.call_ref()),
            _ => return Err(told),
        };
        self.is_taken_back.set(failed.is_some());
        match (failed, &self.home) {
            (Some(call), Some(home)) => home.mailbox().tell(who, Some(call), || What::Deadlock(told)),
            (Some(call), None) => common.tell(who, Some(call), || What::Deadlock(told)),
            (None, _) => {}
        }
        Ok(())
    }
}

fn place(mailbox: &Arc<Mailbox>) -> Arc<dyn Place> {
    let place: Arc<Mailbox> = Arc::clone(mailbox);
    place
}
