//! The canonical order: of all orders in which the events of a recording could have come, always the same one.
//!
//! What is kept is what the rules fix. Each thread's events stay in their order, and each apartment's, for they were
//! numbered under its lock. A call's making comes before whatever else is told of it, and what became of an attempt at the
//! callee (`Ended`, `Revoked`, a rejection) before the step in which its caller learns of it (`RetryAsked`, `WaitEnded`,
//! `Returned`), but not before later steps of that call: a caller that may abandon its call goes on without it. A packet
//! is packed before it is unpacked. All else is open, and here the earlier event comes first, and of two at one time that of
//! the lane which is listed first: apartments' threads, by apartment; then the others, by where they first touch one; last
//! who made the first apartment, which is who sets the scene.
//!
//! What happens to be the same under one lock is history and stays: whoever compares two recordings sees to it that their
//! histories agree.

use super::event::{CallRef, Event, WaitEnd, What};
use crate::cycle::{Awaited, Deadlock};
use crate::filter::ServerCall;
use crate::id::{ApartmentId, CallId, ChainId, PacketId, ThreadId};
use crate::sync::Arc;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

impl Event {
    /// The same events in canonical order (rule DG-3), with everything that is numbered by chance numbered by appearance:
    /// the events, apartments, threads, calls, chains and packets. Recordings that differ only in what the rules leave open
    /// between threads and apartments have one canonical form; this is what golden files keep.
    ///
    /// A function of the events alone. Where events were lost, those before and those after the gap are ordered by
    /// themselves.
    ///
    /// ```
    /// use apartment::{Clock, Event, Process};
    ///
    /// let process = Process::builder().clock(Clock::driven()).record(1_000).build();
    /// let sta = process.sta("db").spawn()?;
    /// sta.create(|| 7)?;
    /// drop(sta);
    /// let events = process.recording().unwrap().events();
    /// let canonical = Event::canonical(&events);
    /// assert_eq!(canonical.len(), events.len());
    /// assert_eq!((canonical[0].seq, canonical[0].thread.get()), (1, 1));
    /// # Ok::<(), apartment::Error>(())
    /// ```
    pub fn canonical(events: &[Self]) -> Vec<Self> {
        let mut numbers = Numbers::default();
        let ordered = ordered(events, 0).into_iter().zip(1..);
        ordered.map(|(event, seq)| numbers.renumbered(event, seq)).collect()
    }
}

/// The events in canonical order, as they are: those up to that number by themselves, and then those after it.
pub(super) fn ordered(events: &[Event], scene: u64) -> Vec<&Event> {
    let mut events: Vec<&Event> = events.iter().collect();
    events.sort_by_key(|event| event.seq);
    let lanes = lanes(&events);
    let gap = |event: &&Event| matches!(event.what, What::Lost { .. });
    let goes_on = |before: &&Event, after: &&Event| {
        let begins = before.seq <= scene && after.seq > scene;
        !begins && !gap(before) && !gap(after)
    };
    events.chunk_by(goes_on).flat_map(|part| extension(part, &lanes)).collect()
}

/// Where a thread stands among the others.
type Rank = (u8, u64, usize);

/// The threads' ranks: an apartment's own first, by the apartment and by when they came; then those that have to do with
/// one, by when they first have; then the rest, by their number.
fn lanes(events: &[&Event]) -> HashMap<ThreadId, Rank> {
    let mut ranks: HashMap<ThreadId, Rank> = HashMap::new();
    let mut steps: HashMap<ApartmentId, usize> = HashMap::new();
    let mut first: Option<(ApartmentId, ThreadId)> = None;
    for event in events {
        let rank = match event.apartment {
            Some(apartment) => {
                let step = steps.entry(apartment).or_default();
                *step += 1;
                let own = matches!(event.what, What::ThreadEntered { implicit: false, .. });
                (u8::from(!own), apartment.get(), *step)
            }
            None => (2, event.thread.get().into(), 0),
        };
        let least = ranks.entry(event.thread).or_insert(rank);
        *least = rank.min(*least);
        if let (What::ApartmentBegan { .. }, Some(made)) = (&event.what, event.apartment) {
            first = Some(first.map_or((made, event.thread), |first| first.min((made, event.thread))));
        }
    }
    // Who sets the scene goes on when all others have.
    if let Some(rank) = first.and_then(|(_, maker)| ranks.get_mut(&maker)).filter(|rank| rank.0 > 0) {
        rank.0 = u8::MAX;
    }
    ranks
}

/// The least order of these events that keeps to what is fixed.
fn extension<'a>(events: &[&'a Event], lanes: &HashMap<ThreadId, Rank>) -> Vec<&'a Event> {
    let Edges { after, mut before } = edges(events);
    let key = |at: usize| Reverse((events[at].at, lanes[&events[at].thread], at));
    let mut ready: BinaryHeap<_> = (0..events.len()).filter(|at| before[*at] == 0).map(key).collect();
    let mut order = Vec::with_capacity(events.len());
    while let Some(Reverse((_, _, at))) = ready.pop() {
        order.push(events[at]);
        for next in &after[at] {
            before[*next] -= 1;
            if before[*next] == 0 {
                ready.push(key(*next));
            }
        }
    }
    order
}

/// What must come before what, by the events' places.
struct Edges {
    after: Vec<Vec<usize>>,
    before: Vec<usize>,
}

impl Edges {
    /// From an earlier place to a later one, and so never in a circle.
    fn add(&mut self, from: usize, to: usize) {
        if from < to {
            self.after[from].push(to);
            self.before[to] += 1;
        }
    }
}

fn edges(events: &[&Event]) -> Edges {
    let mut edges = Edges { after: vec![Vec::new(); events.len()], before: vec![0; events.len()] };
    let mut threads: HashMap<ThreadId, usize> = HashMap::new();
    let mut apartments: HashMap<ApartmentId, usize> = HashMap::new();
    let mut calls: HashMap<CallId, OneCall> = HashMap::new();
    let mut packets: HashMap<PacketId, usize> = HashMap::new();
    for (at, event) in events.iter().enumerate() {
        let thread = threads.insert(event.thread, at);
        let apartment = event.apartment.and_then(|apartment| apartments.insert(apartment, at));
        thread.into_iter().chain(apartment).for_each(|from| edges.add(from, at));
        if let Some(CallRef { id, .. }) = event.call {
            calls.entry(id).or_default().step(at, &event.what, &mut edges);
        }
        match &event.what {
            What::Packed { mark, .. } => {
                packets.insert(mark.packet, at);
            }
            What::Unpacked { mark, .. } | What::PacketDropped { mark } => {
                packets.get(&mark.packet).into_iter().for_each(|packed| edges.add(*packed, at));
            }
            _ => {}
        }
    }
    edges
}

/// What is known of a call while its events are gone through.
#[derive(Default)]
struct OneCall {
    made: Option<usize>,
    /// Whether its caller may go on before the callee has ended.
    owns: bool,
    /// Where its attempts were turned away, and of how many of them the caller has been asked.
    rejected: Vec<usize>,
    asked: usize,
    cancelled: Option<usize>,
    ended: Option<usize>,
    /// Whether the caller went on without an answer.
    abandoned: bool,
}

impl OneCall {
    fn step(&mut self, at: usize, what: &What, edges: &mut Edges) {
        self.made.into_iter().for_each(|made| edges.add(made, at));
        match what {
            What::CallMade(made) => {
                self.made = Some(at);
                self.owns = !made.borrows;
            }
            What::Filtered { answer, .. } if *answer != ServerCall::Handled => self.rejected.push(at),
            What::Busy { .. } => self.rejected.push(at),
            What::CancelAsked { .. } => self.cancelled = Some(at),
            What::Ended { .. } | What::Gone { .. } | What::Revoked { .. } => self.ended = Some(at),
            What::RetryAsked { .. } => {
                self.rejected.get(self.asked).into_iter().for_each(|rejected| edges.add(*rejected, at));
                self.asked += 1;
            }
            What::WaitEnded { by } => {
                self.abandoned = self.owns && matches!(by, WaitEnd::Cancelled | WaitEnd::TimedOut);
                self.learnt(at, edges);
            }
            What::Returned { .. } => self.learnt(at, edges),
            _ => {}
        }
    }

    /// The caller learns what has become of it.
    fn learnt(&self, at: usize, edges: &mut Edges) {
        let answered = self.ended.filter(|_| !self.abandoned).or(self.cancelled);
        let turned_away = self.rejected.get(self.asked).copied();
        answered.into_iter().chain(turned_away).for_each(|from| edges.add(from, at));
    }
}

/// Numbers by appearance.
#[derive(Default)]
struct Numbers {
    apartments: HashMap<ApartmentId, ApartmentId>,
    threads: HashMap<ThreadId, ThreadId>,
    calls: HashMap<CallId, CallId>,
    calls_of: HashMap<ThreadId, u64>,
    packets: HashMap<PacketId, PacketId>,
    packets_of: HashMap<ThreadId, u64>,
}

impl Numbers {
    fn renumbered(&mut self, event: &Event, seq: u64) -> Event {
        let mut event = event.clone();
        event.seq = seq;
        event.thread = self.thread(event.thread);
        event.apartment = event.apartment.map(|id| self.apartment(id));
        if let Some(call) = &mut event.call {
            call.id = self.call(call.id);
            call.chain = self.chain(call.chain);
        }
        self.within(&mut event.what);
        event
    }

    fn within(&mut self, what: &mut What) {
        match what {
            What::CallMade(made) => {
                made.from = made.from.map(|id| self.apartment(id));
                made.to = made.to.map(|id| self.apartment(id));
                made.parent = made.parent.map(|id| self.call(id));
                made.from_chain = made.from_chain.map(|id| self.chain(id));
            }
            What::Busy { holder } => *holder = holder.map(|id| self.call(id)),
            What::Placed(placed) => placed.apartment = placed.apartment.map(|id| self.apartment(id)),
            What::Packed { mark, .. } | What::Unpacked { mark, .. } | What::PacketDropped { mark } => {
                mark.packet = self.packet(mark.packet);
                mark.of = mark.of.map(|id| self.apartment(id));
            }
            What::Deadlock(deadlock) => *deadlock = Arc::new(self.cycle(deadlock)),
            _ => {}
        }
    }

    fn cycle(&mut self, deadlock: &Deadlock) -> Deadlock {
        let mut deadlock = deadlock.clone();
        for waiter in &mut deadlock.cycle {
            waiter.thread = self.thread(waiter.thread);
            waiter.apartment.iter_mut().for_each(|name| name.id = self.apartment(name.id));
            match &mut waiter.awaits {
                Awaited::Call { callee: of, .. }
                | Awaited::Room { callee: of, .. }
                | Awaited::End { of, .. }
                | Awaited::Disconnect { of, .. }
                | Awaited::Start { of } => of.id = self.apartment(of.id),
                Awaited::Server { .. } | Awaited::Worker { .. } => {}
            }
        }
        deadlock
    }

    fn thread(&mut self, id: ThreadId) -> ThreadId {
        let next = u32::try_from(self.threads.len() + 1).unwrap_or(u32::MAX);
        *self.threads.entry(id).or_insert(ThreadId(next))
    }

    fn apartment(&mut self, id: ApartmentId) -> ApartmentId {
        let next = self.apartments.len() as u64 + 1;
        *self.apartments.entry(id).or_insert(ApartmentId(next))
    }

    fn chain(&mut self, id: ChainId) -> ChainId {
        ChainId(self.call(id.0))
    }

    fn call(&mut self, id: CallId) -> CallId {
        let thread = self.thread(id.thread);
        *self.calls.entry(id).or_insert_with(|| CallId { thread, count: next(&mut self.calls_of, thread) })
    }

    fn packet(&mut self, id: PacketId) -> PacketId {
        let thread = self.thread(id.thread);
        *self.packets.entry(id).or_insert_with(|| PacketId { thread, count: next(&mut self.packets_of, thread) })
    }
}

fn next(counts: &mut HashMap<ThreadId, u64>, thread: ThreadId) -> u64 {
    let count = counts.entry(thread).or_default();
    *count += 1;
    *count
}
