//! Who is who in a recording, and what comes next for whom: found before anything is drawn.

use super::event::{CallMade, CallRef, Event, What};
use super::words;
use crate::describe::short;
use crate::id::{ApartmentId, CallId, ObjectId, ThreadId};
use std::collections::{HashMap, HashSet};

/// Who is who: found before anything is drawn, for a call may be drawn before it is known who serves it.
#[derive(Default)]
pub(super) struct Cast<'a> {
    pub(super) events: Vec<&'a Event>,
    /// Where the events of a thread, and of an apartment, are among them.
    pub(super) by_thread: HashMap<ThreadId, Vec<usize>>,
    pub(super) by_apartment: HashMap<ApartmentId, Vec<usize>>,
    /// Each thread's lane, in the order in which they appear.
    pub(super) lanes: HashMap<ThreadId, usize>,
    pub(super) threads: Vec<ThreadId>,
    pub(super) names: HashMap<ApartmentId, String>,
    /// The apartments whose thread it is, and the threads of each.
    pub(super) homes: HashMap<usize, Vec<ApartmentId>>,
    pub(super) serving: HashMap<ApartmentId, Vec<usize>>,
    /// Who served an attempt of a call.
    pub(super) served: HashMap<(CallId, u32), usize>,
    pub(super) calls: HashMap<CallId, CallMade>,
    pub(super) objects: HashMap<(Option<ApartmentId>, ObjectId), &'static str>,
    /// The calls whose callers had left when they ended.
    pub(super) left: HashSet<CallId>,
    /// Who made the first apartment.
    pub(super) made_first: Option<(ApartmentId, ThreadId)>,
    /// The last step of each lane, and whether its thread left an apartment with it.
    pub(super) last: Vec<(u64, bool)>,
}

impl<'a> Cast<'a> {
    /// Of what is not told nothing is said in between a call and what comes of it.
    pub(super) fn of(events: &[&'a Event], is_told: impl Fn(&What) -> bool) -> Self {
        let mut cast = Self { events: events.to_vec(), ..Self::default() };
        for (place, event) in events.iter().enumerate() {
            if is_told(&event.what) {
                cast.by_thread.entry(event.thread).or_default().push(place);
                event.apartment.into_iter().for_each(|id| cast.by_apartment.entry(id).or_default().push(place));
            }
            cast.see(event);
        }
        cast
    }

    /// What comes next on a lane.
    pub(super) fn next_on(&self, lane: usize, place: usize) -> Option<&'a Event> {
        Some(self.events[next(self.by_thread.get(&self.threads[lane])?, place)?])
    }

    /// Whether a call that came to a lane is the next thing there, and in its apartment.
    pub(super) fn goes_on(&self, call: CallRef, lane: usize, apartment: Option<ApartmentId>, place: usize) -> bool {
        let is_of = |event: &Event| event.call.is_some_and(|of| of.id == call.id);
        let first = apartment.and_then(|id| next(self.by_apartment.get(&id)?, place)).map(|at| self.events[at]);
        let next = self.next_on(lane, place);
        first.zip(next).is_some_and(|(first, next)| first.seq == next.seq && is_of(next))
    }

    /// Whether a caller's next step is to come back from that call.
    pub(super) fn comes_back(&self, call: CallRef, caller: usize, place: usize) -> bool {
        self.next_on(caller, place).is_some_and(|next| {
            let ends = matches!(next.what, What::WaitEnded { .. } | What::Returned { .. });
            ends && next.call.is_some_and(|of| of.id == call.id)
        })
    }

    pub(super) fn see(&mut self, event: &Event) {
        if matches!(event.what, What::Lost { .. }) {
            return;
        }
        let next = self.threads.len();
        let lane = *self.lanes.entry(event.thread).or_insert(next);
        if lane == next {
            self.threads.push(event.thread);
            self.last.push((0, false));
        }
        self.last[lane] = (event.seq, matches!(event.what, What::ThreadLeft));
        match (&event.what, event.apartment) {
            (What::ApartmentBegan { name, .. }, Some(id)) => {
                self.names.insert(id, name.to_string());
                if self.made_first.is_none_or(|(first, _)| id < first) {
                    self.made_first = Some((id, event.thread));
                }
            }
            (What::ThreadEntered { name, implicit }, Some(id)) => {
                self.names.entry(id).or_insert_with(|| name.to_string());
                if !implicit {
                    self.is_home(lane, id);
                }
            }
            (What::ObjectMade { object, type_name }, of) => {
                self.objects.insert((of, *object), type_name);
            }
            (What::Began { call_type, .. }, Some(id)) => {
                if let Some(call) = event.call {
                    self.served.insert((call.id, call.attempt), lane);
                }
                // The thread's coming may be from before the recording.
                if call_type.is_some() {
                    self.is_home(lane, id);
                }
            }
            (What::ResultDropped, _) => self.left.extend(event.call.map(|call| call.id)),
            (What::CallMade(made), _) => {
                if let Some(call) = event.call {
                    self.calls.insert(call.id, (**made).clone());
                }
            }
            _ => {}
        }
    }

    /// The thread that is called `main`.
    pub(super) fn is_main(&self, lane: usize) -> bool {
        self.made_first.is_some_and(|(_, thread)| thread == self.threads[lane])
    }

    pub(super) fn is_home(&mut self, lane: usize, apartment: ApartmentId) {
        let homes = self.homes.entry(lane).or_default();
        if !homes.contains(&apartment) {
            homes.push(apartment);
            self.serving.entry(apartment).or_default().push(lane);
        }
    }

    /// Who serves an attempt of a call, or is the first who could have.
    pub(super) fn callee(&self, call: CallRef, apartment: Option<ApartmentId>) -> Option<usize> {
        let served = self.served.get(&(call.id, call.attempt)).copied();
        let first = || Some(*self.serving.get(&apartment?)?.first()?);
        served.or_else(first)
    }

    pub(super) fn caller(&self, call: CallRef) -> Option<usize> {
        self.lanes.get(&call.id.thread).copied()
    }

    /// A call in words.
    pub(super) fn call(&self, call: CallId) -> String {
        self.calls.get(&call).map_or_else(|| call.to_string(), words::call)
    }

    pub(super) fn object(&self, of: Option<ApartmentId>, object: ObjectId) -> String {
        match self.objects.get(&(of, object)) {
            Some(type_name) => format!("{object} ({})", short(type_name)),
            None => object.to_string(),
        }
    }

    pub(super) fn apartment(&self, id: Option<ApartmentId>) -> String {
        match id {
            Some(id) => self.names.get(&id).cloned().unwrap_or_else(|| id.to_string()),
            None => "no apartment".to_owned(),
        }
    }
}

/// The first place after this one.
fn next(places: &[usize], place: usize) -> Option<usize> {
    places.get(places.partition_point(|at| *at <= place)).copied()
}
