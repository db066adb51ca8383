//! What is to be seen of an apartment: its state as a snapshot, and as the events that would have said it.
//!
//! A step that is told and leaves something behind for who comes to listen later changes the monitor and is told under one
//! lock. Where it leaves no more than itself, the event is kept (`Standings`): an apartment's beginning, a thread that is
//! in, a filter, a closed door. What is queued, runs, or is waited for is in the monitor anyway.

use super::entry::{Body, Entry, Header, ToldBy};
use super::monitor::{Door, Monitor};
use super::open::{Executing, Left, Out, Runs, Waits};
use super::{Mailbox, Who};
use crate::call::Ticket;
use crate::diagnose::{
    ApartmentSeen, CallRef, DoorSeen, EntryAt, EntrySeen, FrameSeen, ListenerId, PoolSeen, Route, Serves, Standing,
    ThreadSeen, WaitFor, WaitSeen, What,
};
use crate::id::ThreadId;
use std::time::Duration;

/// How far since-whens may be behind the clock (rule DG-1).
const TICK: Duration = Duration::from_millis(10);

/// Steps that were told, and still hold.
#[derive(Default)]
pub(super) struct Standings(Vec<Stands>);

struct Stands {
    who: Who,
    at: u64,
    what: What,
}

impl Standings {
    fn learn(&mut self, who: Who, at: u64, what: What) {
        match &what {
            What::ThreadLeft => {
                let entered = |stands: &Stands| matches!(stands.what, What::ThreadEntered { .. });
                self.0.retain(|stands| !entered(stands) || stands.who.0 != who.0);
                return;
            }
            What::FilterSet { .. } | What::ApartmentEnded { .. } => {
                self.0.retain(|stands| !matches!(stands.what, What::FilterSet { .. }));
            }
            _ => {}
        }
        if !matches!(what, What::FilterSet { set: false }) {
            if self.0.is_empty() {
                // It begins, and its thread enters it: nothing more stands while it is idle.
                self.0.reserve_exact(2);
            }
            self.0.push(Stands { who, at, what });
        }
    }

    /// Whether the apartment's beginning was told: nothing is told of it before that.
    fn has_begun(&self) -> bool {
        !self.0.is_empty()
    }

    fn any(&self, is: impl Fn(&What) -> bool) -> bool {
        self.0.iter().any(|stands| is(&stands.what))
    }
}

impl Mailbox {
    /// A step whose having been made is all that there is of it: it begins or ends, a thread enters or leaves, a filter is
    /// set. Who comes to listen later is told of it.
    pub(crate) fn note(&self, who: Who, what: What) {
        self.note_under(&mut self.monitor(), who, what);
    }

    pub(super) fn note_under(&self, monitor: &mut Monitor, who: Who, what: What) {
        let at = self.common.clock.nanos();
        self.push_event(monitor, who, None, || what.clone());
        monitor.standing.learn(who, at, what);
    }

    /// Something that the thread served has ended, and somebody listens; what it served in turn has ended before. While nobody
    /// listens that is found out later, with the lock that the thread takes next.
    #[cold]
    pub(crate) fn frame_ended(&self, who: Who, depth: u32, call: CallRef, what: What) {
        let mut monitor = self.monitor();
        let left = monitor.frames_left(who.0, depth);
        if let (0, Some(pool)) = (depth, &mut monitor.pool) {
            pool.letting_go.push(who.0);
        }
        self.push_event(&monitor, who, Some(call), || what);
        drop(monitor);
        drop(left);
    }

    /// What the thread served above that depth has ended, and nobody was told when it did: whoever has come since, and was
    /// told that it runs, is told now.
    #[inline(always)]
    pub(super) fn frames_left_under(&self, monitor: &mut Monitor, thread: ThreadId, depth: u32) -> Left {
        if self.common.recorder.is_on() {
            let ended = |it: &&Executing| it.told_late && it.who.0 == thread && it.depth >= depth;
            for Executing { who, runs, .. } in monitor.executing.iter().rev().filter(ended) {
                match runs {
                    Runs::Call(entry, _) => {
                        let ended = || What::Ended { panicked: None };
                        self.push_event(monitor, *who, Some(entry.header.call_ref()), ended);
                    }
                    Runs::Message(entry, _) => {
                        let ended = || What::MessageEnded { panicked: None };
                        self.push_event(monitor, *who, Some(entry.header.call_ref()), ended);
                    }
                    Runs::Drop(_) => {}
                }
            }
        }
        monitor.frames_left(thread, depth)
    }

    /// Tells of a call that comes in, where that is told here.
    #[inline]
    pub(super) fn tell_made(&self, under: &Monitor, header: &Header) {
        if self.common.recorder.is_on() && header.attempt == 1 {
            self.tell_made_now(under, header);
        }
    }

    fn tell_made_now(&self, _under: &Monitor, header: &Header) {
        let told = |what| {
            let apartment = header.caller.apartment.as_ref().map(|name| name.id);
            let call = Some(header.call_ref());
            self.common.recorder.push_under(Some(self.name.id), apartment, header.who(), call, what);
        };
        match header.told_by {
            ToldBy::Caller | ToldBy::Elsewhere => return,
            ToldBy::Callee | ToldBy::CalleeWithWait => told(header.call_made(Some(self.name.id), Route::Mailbox)),
        }
        if header.told_by == ToldBy::CalleeWithWait {
            told(What::WaitBegan { on: WaitFor::Reply, serves: Serves::Nothing, until: header.until() });
        }
    }

    /// Who listens joins it (see `diagnose/recorder.rs`).
    pub(crate) fn join(&self, listener: ListenerId) {
        let mut monitor = self.monitor();
        if monitor.standing.has_begun() && !monitor.gone {
            self.common.recorder.join(listener, self.name.id, || self.prologue(&mut monitor));
        }
    }

    /// Its state as events: what it is, what its threads are in the middle of, the oldest first, and what is queued.
    fn prologue(&self, monitor: &mut Monitor) -> Vec<Standing> {
        let own = Some(self.name.id);
        let step = |who, call, at, what| {
            let at = Duration::from_nanos(at);
            Standing { apartment: own, who, call, at, what }
        };
        let mut told: Vec<_> =
            monitor.standing.0.iter().map(|stands| step(stands.who, None, stands.at, stands.what.clone())).collect();
        // By thread, each as its stack has grown; what makes a call known comes before its beginning.
        let mut open: Vec<(Who, Vec<Standing>)> = Vec::new();
        for executing in monitor.executing.iter_mut().filter(|executing| executing.is_open()) {
            executing.told_late = true;
            let Executing { who, runs, since, ticket, .. } = executing;
            let (header, what) = match runs {
                Runs::Call(entry, call_type) => {
                    (&entry.header, What::Began { call_type: *call_type, queued: monitor.queued })
                }
                Runs::Message(entry, class) => {
                    (&entry.header, What::MessageBegan { class: *class, queued: monitor.queued })
                }
                Runs::Drop(_) => continue,
            };
            let left = ticket.as_ref().is_some_and(Ticket::is_detached);
            let mut told: Vec<_> = self.made(header, (!left).then_some(WaitFor::Reply)).collect();
            told.push(step(*who, Some(header.call_ref()), *since, what));
            open.push((*who, told));
        }
        for out in &monitor.out {
            let step = |what| step(out.who, Some(out.call), out.made, what);
            open.push((out.who, vec![step(out.made(self.name.id)), step(out.began())]));
        }
        for waits in &monitor.waits {
            open.push((waits.who, vec![step(waits.who, waits.call, waits.since, waits.began())]));
        }
        let since =
            |thread| open.iter().filter(|(who, _)| who.0 == thread).flat_map(|(_, told)| told).map(|it| it.at).min();
        let oldest: Vec<_> = open.iter().map(|(who, _)| (since(who.0), who.0)).collect();
        let mut order: Vec<_> = (0..open.len()).collect();
        order.sort_by_key(|&at| (oldest[at], open[at].0.1));
        for at in order {
            told.append(&mut open[at].1);
        }
        let (mut queued, capacity) = (0, self.capacity);
        for entry in &monitor.entries {
            let Entry { header, body, room, since, .. } = &**entry;
            queued += usize::from(*room);
            let what = match body {
                Body::Message { class, .. } => What::MessageQueued { class: *class, queued, capacity },
                _ => What::Queued { queued, capacity },
            };
            told.extend(self.made(header, Some(WaitFor::Reply)));
            told.push(step(header.who(), Some(header.call_ref()), *since, what));
        }
        told.extend(monitor.waiting.iter().flat_map(|entry| self.made(&entry.header, Some(WaitFor::Room))));
        // What is counted in ticks may seem older than what it follows.
        let mut latest = Duration::ZERO;
        for standing in &mut told {
            if latest.saturating_sub(standing.at) <= TICK {
                standing.at = standing.at.max(latest);
            }
            latest = latest.max(standing.at);
        }
        told
    }

    /// The making of a call that has come here, and the wait for it where that is told here. (Its maker's own prologue may
    /// tell the making, too: it is told once.) For nothing waits a caller that has left.
    fn made(&self, header: &Header, on: Option<WaitFor>) -> impl Iterator<Item = Standing> {
        let apartment = header.caller.apartment.as_ref().map(|name| name.id);
        let step = |what| {
            let (call, at) = (Some(header.call_ref()), Duration::from_nanos(header.made));
            Standing { apartment, who: header.who(), call, at, what }
        };
        let on = on.filter(|_| header.told_by == ToldBy::CalleeWithWait);
        let made =
            (header.told_by != ToldBy::Elsewhere).then(|| step(header.call_made(Some(self.name.id), Route::Mailbox)));
        let began = on.map(|on| step(What::WaitBegan { on, serves: Serves::Nothing, until: header.until() }));
        made.into_iter().chain(began)
    }

    /// It as a snapshot shows it; none if it is gone.
    pub(crate) fn seen(&self) -> Option<ApartmentSeen> {
        let monitor = self.monitor();
        if !monitor.standing.has_begun() || monitor.gone {
            return None;
        }
        let began = |what: &What| match what {
            What::ApartmentBegan { main, reentrancy, .. } => Some((*main, *reentrancy)),
            _ => None,
        };
        let (main, reentrancy) = monitor.standing.0.iter().find_map(|stands| began(&stands.what)).unwrap_or_default();
        let entered = |stands: &&Stands| matches!(stands.what, What::ThreadEntered { .. });
        let thread = |stands: &Stands| ThreadSeen { thread: stands.who.0, since: Duration::from_nanos(stands.at) };
        let queue = monitor.entries.iter().map(|entry| {
            let at = if entry.room { EntryAt::Room } else { EntryAt::NoRoom };
            entry_seen(entry, at)
        });
        let line = monitor.waiting.iter().map(|entry| entry_seen(entry, EntryAt::Line));
        let mut waits: Vec<_> = monitor.out.iter().map(out_seen).collect();
        waits.extend(monitor.waits.iter().map(waits_seen));
        waits.sort_by_key(|(who, _)| *who);
        let mut executing: Vec<_> = monitor.executing.iter().filter(|executing| executing.is_open()).collect();
        executing.sort_by_key(|executing| (executing.who.0, executing.depth));
        Some(ApartmentSeen {
            name: self.name.clone(),
            sta: self.is_sta(),
            how: self.how,
            main,
            door: match monitor.door {
                Door::Open => DoorSeen::Open,
                Door::Closing => DoorSeen::Closing,
                Door::Ending => DoorSeen::Ending,
                Door::Ended => DoorSeen::Ended,
            },
            left_behind: monitor.cut_off,
            reentrancy,
            filter: monitor.standing.any(|what| matches!(what, What::FilterSet { .. })),
            threads: monitor.standing.0.iter().filter(entered).map(thread).collect(),
            pool: monitor.pool.as_ref().map(|pool| PoolSeen {
                threads: pool.threads,
                blocked: pool.blocked,
                idle: pool.idle.len(),
                target: pool.target,
                maximum: pool.maximum,
                inside: pool.inside,
            }),
            objects: monitor.pool.as_ref().map_or(monitor.objects, |pool| pool.objects.len()),
            queued: monitor.queued,
            capacity: self.capacity,
            entries: queue.chain(line).collect(),
            last_dispatch: Duration::from_nanos(monitor.last_dispatch),
            executing: executing.into_iter().map(frame_seen).collect(),
            waits: waits.into_iter().map(|(_, wait)| wait).collect(),
        })
    }
}

fn entry_seen(entry: &Entry, at: EntryAt) -> EntrySeen {
    let message = match &entry.body {
        Body::Message { class, .. } => Some(*class),
        _ => None,
    };
    let Header { kind, caller, target, .. } = &entry.header;
    let (caller, target, since) = (caller.clone(), *target, Duration::from_nanos(entry.since));
    let waits = at == EntryAt::Line || !kind.is_one_way() && message.is_none();
    let waited_for = waits && !entry.ticket().is_some_and(Ticket::is_of_a_future);
    EntrySeen { call: entry.header.call_ref(), kind: *kind, message, caller, waited_for, target, since, at }
}

fn frame_seen(executing: &Executing) -> FrameSeen {
    let (header, message) = match &executing.runs {
        Runs::Call(entry, _) => (Some(&entry.header), None),
        Runs::Message(entry, class) => (Some(&entry.header), Some(*class)),
        Runs::Drop(_) => (None, None),
    };
    // (What is direct or one-way has no ticket.)
    let waits = |ticket: &Ticket| !ticket.is_of_a_future() && !ticket.is_detached();
    FrameSeen {
        thread: executing.who.0,
        call: header.map(Header::call_ref),
        kind: header.map_or(crate::describe::DROP.kind, |header| header.kind),
        message,
        caller: header.map(|header| header.caller.clone()),
        waited_for: executing.ticket.as_ref().is_some_and(waits),
        target: executing.target(),
        since: Duration::from_nanos(executing.since),
    }
}

fn out_seen(out: &Out) -> (Who, WaitSeen) {
    let wait = WaitSeen {
        thread: out.who.0,
        on: out.on,
        call: Some(out.call),
        whom: Some(out.callee.name.clone()),
        target: Some(out.target),
        serves: out.serves,
        since: Duration::from_nanos(out.made),
        until: out.until.map(Duration::from_nanos),
    };
    (out.who, wait)
}

fn waits_seen(waits: &Waits) -> (Who, WaitSeen) {
    let wait = WaitSeen {
        thread: waits.who.0,
        on: waits.on,
        call: waits.call,
        whom: waits.whom.clone(),
        target: None,
        serves: waits.serves,
        since: Duration::from_nanos(waits.since),
        until: waits.until,
    };
    (waits.who, wait)
}
