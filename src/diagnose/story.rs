//! From events to a scene: who is drawn, which events get a row of their own, and which say more of the row before.
//!
//! The frames that are open on a thread follow from each event's `frame`, so a beginning or an end that was lost costs no
//! more than its own band.

use super::canonical::ordered;
use super::diagram::{Diagram, Topic};
use super::event::{CallMade, CallRef, Event, Route, WaitFor, What};
use super::scene::{Band, Head, Lane, Row, Scene, Shape, State};
use super::words;
use crate::describe::{Serves, short};
use crate::filter::ServerCall;
use crate::id::{ApartmentId, CallId, ObjectId, ThreadId};
use std::collections::{HashMap, HashSet};
use std::time::Duration;

/// The scene that a diagram shows.
pub(super) fn scene(diagram: &Diagram) -> Scene {
    let events = ordered(&diagram.events, diagram.since);
    let mut story = Story::new(diagram, Cast::of(&events, diagram.shows(Topic::Lives, true)));
    for (place, event) in events.iter().enumerate() {
        story.visible = event.seq > diagram.since;
        story.at = story.at.max(event.at);
        story.place = place;
        story.tell(event);
    }
    story.close()
}

/// Who is who: found before anything is drawn, for a call may be drawn before it is known who serves it.
#[derive(Default)]
struct Cast<'a> {
    events: Vec<&'a Event>,
    /// Where the events of a thread, and of an apartment, are among them.
    by_thread: HashMap<ThreadId, Vec<usize>>,
    by_apartment: HashMap<ApartmentId, Vec<usize>>,
    /// Each thread's lane, in the order in which they appear.
    lanes: HashMap<ThreadId, usize>,
    threads: Vec<ThreadId>,
    names: HashMap<ApartmentId, String>,
    /// The apartments whose thread it is, and the threads of each.
    homes: HashMap<usize, Vec<ApartmentId>>,
    serving: HashMap<ApartmentId, Vec<usize>>,
    /// Who served an attempt of a call.
    served: HashMap<(CallId, u32), usize>,
    calls: HashMap<CallId, CallMade>,
    objects: HashMap<(Option<ApartmentId>, ObjectId), &'static str>,
    /// The calls whose callers had left when they ended.
    left: HashSet<CallId>,
    /// Who made the first apartment.
    made_first: Option<(ApartmentId, ThreadId)>,
    /// The last step of each lane, and whether its thread left an apartment with it.
    last: Vec<(u64, bool)>,
}

impl<'a> Cast<'a> {
    fn of(events: &[&'a Event], told_lives: bool) -> Self {
        let mut cast = Self { events: events.to_vec(), ..Self::default() };
        for (place, event) in events.iter().enumerate() {
            // That a pool gets one more thread for a call is no news of its own.
            if told_lives || !matches!(event.what, What::ThreadEntered { .. }) {
                cast.by_thread.entry(event.thread).or_default().push(place);
                event.apartment.into_iter().for_each(|id| cast.by_apartment.entry(id).or_default().push(place));
            }
            cast.see(event);
        }
        cast
    }

    /// What comes next on a lane.
    fn next_on(&self, lane: usize, place: usize) -> Option<&'a Event> {
        Some(self.events[next(self.by_thread.get(&self.threads[lane])?, place)?])
    }

    /// Whether a call that came to a lane is the next thing there, and in its apartment.
    fn goes_on(&self, call: CallRef, lane: usize, apartment: Option<ApartmentId>, place: usize) -> bool {
        let is_of = |event: &Event| event.call.is_some_and(|of| of.id == call.id);
        let first = apartment.and_then(|id| next(self.by_apartment.get(&id)?, place)).map(|at| self.events[at]);
        let next = self.next_on(lane, place);
        first.zip(next).is_some_and(|(first, next)| first.seq == next.seq && is_of(next))
    }

    /// Whether a caller's next step is to come back from that call.
    fn comes_back(&self, call: CallRef, caller: usize, place: usize) -> bool {
        self.next_on(caller, place).is_some_and(|next| {
            let ends = matches!(next.what, What::WaitEnded { .. } | What::Returned { .. });
            ends && next.call.is_some_and(|of| of.id == call.id)
        })
    }

    fn see(&mut self, event: &Event) {
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
    fn is_main(&self, lane: usize) -> bool {
        self.made_first.is_some_and(|(_, thread)| thread == self.threads[lane])
    }

    fn is_home(&mut self, lane: usize, apartment: ApartmentId) {
        let homes = self.homes.entry(lane).or_default();
        if !homes.contains(&apartment) {
            homes.push(apartment);
            self.serving.entry(apartment).or_default().push(lane);
        }
    }

    /// Who serves an attempt of a call, or is the first who could have.
    fn callee(&self, call: CallRef, apartment: Option<ApartmentId>) -> Option<usize> {
        let served = self.served.get(&(call.id, call.attempt)).copied();
        let first = || Some(*self.serving.get(&apartment?)?.first()?);
        served.or_else(first)
    }

    fn caller(&self, call: CallRef) -> Option<usize> {
        self.lanes.get(&call.id.thread).copied()
    }

    /// A call in words.
    fn call(&self, call: CallId) -> String {
        self.calls.get(&call).map_or_else(|| call.to_string(), words::call)
    }

    fn object(&self, of: Option<ApartmentId>, object: ObjectId) -> String {
        match self.objects.get(&(of, object)) {
            Some(type_name) => format!("{object} ({})", short(type_name)),
            None => object.to_string(),
        }
    }

    fn apartment(&self, id: Option<ApartmentId>) -> String {
        match id {
            Some(id) => self.names.get(&id).cloned().unwrap_or_else(|| id.to_string()),
            None => "no apartment".to_owned(),
        }
    }
}

/// Something that is open on a thread.
struct Open {
    frame: u16,
    from: usize,
    state: State,
    call: Option<CallId>,
    /// What it is, for those that never end.
    what: String,
}

struct Story<'a> {
    diagram: &'a Diagram,
    cast: Cast<'a>,
    scene: Scene,
    open: Vec<Vec<Open>>,
    /// Since which row a thread is there.
    there: Vec<Option<usize>>,
    /// The rows in which calls came to their callees, that begin with them.
    asked: HashMap<CallId, usize>,
    /// The rows in which calls were answered, whose callers come back with them.
    answered: HashMap<CallId, usize>,
    /// The row in which a call was last asked to be cancelled.
    cancelled: Option<(CallId, usize)>,
    held: HashSet<CallId>,
    place: usize,
    at: Duration,
    visible: bool,
}

impl<'a> Story<'a> {
    fn new(diagram: &'a Diagram, cast: Cast<'a>) -> Self {
        let lanes = cast.threads.len();
        let open = (0..lanes).map(|_| Vec::new()).collect();
        Self {
            diagram,
            cast,
            scene: Scene::default(),
            open,
            there: vec![None; lanes],
            asked: HashMap::new(),
            answered: HashMap::new(),
            cancelled: None,
            held: HashSet::new(),
            place: 0,
            at: Duration::ZERO,
            visible: false,
        }
    }

    /// The row that comes next.
    fn next_row(&self) -> usize {
        self.scene.rows.len() + 1
    }

    /// Adds a row, unless it is not to be shown.
    fn row(&mut self, (topic, detail): (Topic, bool), shape: Shape, reason: impl Into<String>) -> bool {
        let shown = self.visible && self.diagram.shows(topic, detail);
        if shown {
            self.scene.rows.push(Row { at: self.at, shape, reason: reason.into(), more: Vec::new() });
        }
        shown
    }

    fn mark(&mut self, topic: (Topic, bool), lane: usize, reason: impl Into<String>) -> bool {
        self.row(topic, Shape::Mark { lane, failed: false }, reason)
    }

    fn failure(&mut self, topic: (Topic, bool), lane: usize, reason: impl Into<String>) -> bool {
        self.row(topic, Shape::Mark { lane, failed: true }, reason)
    }

    /// An arrow; a mark where it would end where it begins, or nobody knows where it goes.
    fn arrow(&mut self, topic: Topic, ends: (usize, Option<usize>), head: Head, label: String, reason: String) -> bool {
        match ends {
            (from, Some(to)) if from != to => self.row((topic, false), Shape::Arrow { from, to, head, label }, reason),
            (from, _) => {
                let reason = if reason.is_empty() { label } else { format!("{label}: {reason}") };
                self.row((topic, false), Shape::Mark { lane: from, failed: head == Head::Refused }, reason)
            }
        }
    }

    /// Says more of a row.
    fn add(&mut self, row: usize, more: &str) {
        let says_so = |row: &&mut Row| more.is_empty() || row.reason.ends_with(more);
        if let Some(row) = self.scene.rows.get_mut(row.wrapping_sub(1)).filter(|row| !says_so(row)) {
            let between = if row.reason.is_empty() { "" } else { "; " };
            row.reason.push_str(between);
            row.reason.push_str(more);
        }
    }

    /// A call has come to its callee, in the last row: what comes of it at once is in that row.
    fn came(&mut self, call: CallRef, callee: Option<usize>, apartment: Option<ApartmentId>) {
        let row = self.scene.rows.len();
        if callee.is_some_and(|callee| self.cast.goes_on(call, callee, apartment, self.place)) {
            self.asked.insert(call.id, row);
        } else {
            self.asked.remove(&call.id);
        }
    }

    /// A call was answered, in the last row: so is its caller's return, if that is next.
    fn answers(&mut self, call: CallRef, caller: usize) {
        if self.cast.comes_back(call, caller, self.place) {
            self.answered.insert(call.id, self.scene.rows.len());
        }
    }

    fn begin(&mut self, lane: usize, event: &Event, from: usize, state: State, what: String) {
        let call = event.call.map(|call| call.id);
        self.open[lane].push(Open { frame: event.frame, from, state, call, what });
    }

    /// Closes what is open above that depth; `to` is the first row that it no longer covers.
    fn close_above(&mut self, lane: usize, depth: u32, to: usize) {
        while let Some(open) = self.open[lane].pop_if(|open| u32::from(open.frame) >= depth) {
            self.scene.bands.push(Band { lane, from: open.from, to, state: open.state });
        }
    }

    fn tell(&mut self, event: &Event) {
        if let What::Lost { count } = event.what {
            let lost =
                format!("{} lost here", words::count(usize::try_from(count).unwrap_or(usize::MAX), "event", "events"));
            self.row((Topic::Notes, false), Shape::Line, lost);
            return;
        }
        let lane = self.cast.lanes[&event.thread];
        let next = self.next_row();
        let before = if self.visible { next } else { 0 };
        self.there[lane].get_or_insert(before);
        self.settle(event, lane);
        match (event.call, &event.what) {
            (_, What::Deadlock(deadlock)) => {
                if self.failure((Topic::Faults, false), lane, "deadlock: nobody here can go on") {
                    self.scene.rows.last_mut().into_iter().for_each(|row| row.more = words::ring(deadlock));
                    event.call.into_iter().for_each(|call| self.answers(call, lane));
                }
            }
            (Some(call), _) => self.tell_of_call(event, lane, call),
            (None, _) => self.tell_of_others(event, lane),
        }
        if self.cast.last[lane].0 == event.seq {
            let foreign = !self.cast.homes.contains_key(&lane);
            if self.cast.last[lane].1 || foreign && self.open[lane].is_empty() {
                self.leaves(lane);
            }
        }
    }

    /// Closes what must have ended before this event, by the depth at which its thread stands.
    fn settle(&mut self, event: &Event, lane: usize) {
        let frame = u32::from(event.frame);
        let begins = matches!(event.what, What::Began { .. } | What::MessageBegan { .. } | What::WaitBegan { .. });
        // Steps of a call that is out stand at the depth of its wait, or within it; its end is told later.
        let of = event.call.map(|call| call.id);
        let same = |open: &Open| open.frame == event.frame && open.call == of;
        let stays = !begins && self.open[lane].iter().rev().any(same);
        self.close_above(lane, if stays { frame + 1 } else { frame }, self.next_row());
    }

    fn leaves(&mut self, lane: usize) {
        let to = self.next_row();
        self.close_above(lane, 0, to);
        if let Some(from) = self.there[lane].take() {
            self.scene.bands.push(Band { lane, from, to, state: State::There });
        }
    }

    fn tell_of_call(&mut self, event: &Event, lane: usize, call: CallRef) {
        let name = self.cast.call(call.id);
        let caller = self.cast.caller(call).unwrap_or(lane);
        let next = self.next_row();
        match &event.what {
            What::Queued { queued, capacity } => {
                let callee = self.cast.callee(call, event.apartment);
                let one_way = self.cast.calls.get(&call.id).is_some_and(|made| made.kind.is_one_way());
                let head = if one_way { Head::OneWay } else { Head::Call };
                let label = format!("{name}{}", words::attempt(call.attempt));
                let room = if self.diagram.shows(Topic::Calls, true) || *capacity <= 16 {
                    format!("{queued} of {capacity} queued")
                } else {
                    String::new()
                };
                if self.arrow(Topic::Calls, (caller, callee), head, label, room) {
                    self.came(call, callee, event.apartment);
                }
            }
            What::Filtered { call_type, answer, .. } => {
                let said = format!("filter: {call_type:?}, {answer:?}");
                let rejects = *answer != ServerCall::Handled
                    && self.cast.calls.get(&call.id).is_none_or(|made| made.kind.can_be_rejected());
                if rejects {
                    let label = format!("{answer:?}");
                    if self.arrow(Topic::Filters, (lane, Some(caller)), Head::Answer, label, said) {
                        self.answers(call, caller);
                    }
                } else if let Some(row) = self.asked.get(&call.id).copied() {
                    if self.diagram.shows(Topic::Filters, false) {
                        self.add(row, &said);
                    }
                    if !self.cast.goes_on(call, lane, event.apartment, self.place) {
                        self.asked.remove(&call.id);
                    }
                } else if self.mark((Topic::Filters, false), lane, format!("{name}: {said}")) {
                    self.came(call, Some(lane), event.apartment);
                }
            }
            What::Busy { holder } => {
                let by = holder.map_or_else(|| "by hand".to_owned(), |holder| format!("by {}", self.cast.call(holder)));
                let reason = format!("{name}: the object is borrowed {by}");
                if self.arrow(Topic::Calls, (lane, Some(caller)), Head::Answer, "busy".to_owned(), reason) {
                    self.answers(call, caller);
                }
            }
            What::Held { by } => {
                let asked = self.asked.remove(&call.id);
                let detail = !self.held.insert(call.id);
                match asked.filter(|_| self.diagram.shows(Topic::Holds, detail)) {
                    Some(row) => self.add(row, words::held(*by)),
                    None => {
                        self.mark((Topic::Holds, detail), lane, format!("{name} {}", words::held(*by)));
                    }
                }
            }
            What::Began { .. } => {
                let direct = self.cast.calls.get(&call.id).is_some_and(|made| made.route != Route::Mailbox);
                let from = if let Some(row) = self.asked.remove(&call.id) {
                    row
                } else {
                    let how = if direct { "directly" } else { "begins" };
                    self.mark((Topic::Calls, false), lane, format!("{name} {how}"));
                    next
                };
                self.begin(lane, event, from, State::Serves, format!("serves {name}"));
            }
            What::Ended { panicked } => {
                let reason = panicked.as_deref().map(words::panicked).unwrap_or_default();
                let made = self.cast.calls.get(&call.id);
                let waited_for = !self.cast.left.contains(&call.id);
                let answers = made.is_none_or(|made| !made.kind.is_one_way()) && lane != caller && waited_for;
                if answers {
                    if self.arrow(Topic::Calls, (lane, Some(caller)), Head::Answer, String::new(), reason) {
                        self.answers(call, caller);
                    }
                } else if panicked.is_some() {
                    self.failure((Topic::Calls, false), lane, format!("{name} {reason}"));
                }
                self.close_above(lane, u32::from(event.frame), next);
            }
            What::ResultDropped => {
                let dropped = format!("the result of {name} is dropped, its caller has left");
                self.mark((Topic::Calls, false), lane, dropped);
            }
            What::Returned { error } => {
                let to = self.answered.get(&call.id).copied().unwrap_or(next);
                self.close_above(lane, u32::from(event.frame), to);
                let error = error.as_ref().map(words::error);
                if let Some(row) = self.answered.remove(&call.id) {
                    // A refusal has said it.
                    let error = error.filter(|error| !self.scene.rows[row - 1].reason.ends_with(error));
                    self.add(row, &error.unwrap_or_default());
                } else if let Some(error) = error {
                    self.failure((Topic::Calls, false), lane, format!("{name}: {error}"));
                } else if self.cast.calls.get(&call.id).is_none_or(|made| made.route == Route::Mailbox) {
                    self.mark((Topic::Calls, false), lane, format!("{name} returns"));
                }
            }
            What::Refused { error } => {
                let callee = self.cast.calls.get(&call.id).and_then(|made| self.cast.callee(call, made.to));
                let label = format!("{name}{}", words::attempt(call.attempt));
                if self.arrow(Topic::Calls, (lane, callee), Head::Refused, label, words::error(error)) {
                    self.answers(call, caller);
                }
            }
            What::WaitBegan { on, serves, .. } => {
                self.mark((Topic::Waits, true), lane, format!("{name} {}", words::wait(*on)));
                // It begins behind the row in which the call goes out.
                let from = self.next_row() + 1;
                let state = if *serves == Serves::Nothing { State::Blocks } else { State::Pumps };
                self.begin(lane, event, from, state, format!("{} of {name}", words::wait(*on)));
            }
            What::WaitTurned { on, .. } => {
                let detail = *on != WaitFor::Room;
                let callee = self.cast.calls.get(&call.id).map(|made| self.cast.apartment(made.to));
                let at = callee.filter(|_| *on == WaitFor::Room).map_or_else(String::new, |at| format!(" in {at}"));
                self.mark((Topic::Waits, detail), lane, format!("{name} {}{at}", words::wait(*on)));
            }
            What::WaitEnded { .. } => {
                let to = self.answered.get(&call.id).copied().unwrap_or(next);
                self.close_above(lane, u32::from(event.frame), to);
            }
            What::RetryAsked { elapsed, answer, own_policy, .. } => {
                let who = if *own_policy { "its own policy" } else { "filter" };
                let after = words::time(*elapsed);
                let said = format!("{who}: {}, after {after}", words::retry(*answer));
                let shape = Shape::Mark { lane, failed: answer.delay().is_none() };
                if self.row((Topic::Filters, false), shape, said) {
                    self.answers(call, lane);
                }
            }
            What::CancelAsked { why } => {
                let callee = self.cast.callee(call, event.apartment);
                let callee = callee.filter(|callee| *callee != lane).or(Some(caller));
                if self.arrow(Topic::Cancels, (lane, callee), Head::OneWay, words::cancel(*why).to_owned(), name) {
                    self.cancelled = Some((call.id, next));
                }
            }
            What::Revoked { why, .. } => {
                if let Some((_, row)) = self.cancelled.take_if(|(id, _)| *id == call.id) {
                    self.add(row, "taken out of the queue");
                } else {
                    let why = words::cancel(*why);
                    self.mark((Topic::Cancels, false), lane, format!("{name} taken out of the queue: {why}"));
                }
            }
            What::Gone { error } => {
                let reason = words::error(error);
                if lane == caller {
                    self.failure((Topic::Calls, false), lane, format!("{name}: {reason}"));
                } else if self.arrow(Topic::Calls, (lane, Some(caller)), Head::Answer, String::new(), reason) {
                    self.answers(call, caller);
                }
                self.close_above(lane, u32::from(event.frame), next);
            }
            What::PostDropped { error } => {
                self.failure((Topic::Calls, false), lane, format!("{name} dropped: {}", words::error(error)));
            }
            What::MessageQueued { class, .. } => {
                let callee = self.cast.callee(call, event.apartment);
                let label = format!("{class:?} message");
                if self.arrow(Topic::Messages, (lane, callee), Head::OneWay, label, String::new()) {
                    self.came(call, callee, event.apartment);
                }
            }
            What::PendingAsked { class, nested, answer, ask_again, .. } => {
                let again = ask_again.map_or_else(String::new, |time| format!(", again in {}", words::time(time)));
                let said = format!("filter: {nested:?}, {answer:?}{again}");
                // It may be asked again later.
                let now = |row: &usize| self.scene.rows.get(row.wrapping_sub(1)).is_some_and(|row| row.at == self.at);
                if let Some(row) = self.asked.get(&call.id).copied().filter(now) {
                    if self.diagram.shows(Topic::Filters, false) {
                        self.add(row, &said);
                    }
                    if !self.cast.goes_on(call, lane, event.apartment, self.place) {
                        self.asked.remove(&call.id);
                    }
                } else if self.mark((Topic::Filters, false), lane, format!("{class:?} message: {said}")) {
                    self.came(call, Some(lane), event.apartment);
                }
            }
            What::MessageBegan { class, .. } => {
                let from = if let Some(row) = self.asked.remove(&call.id) {
                    row
                } else {
                    self.mark((Topic::Messages, false), lane, format!("{class:?} message begins"));
                    next
                };
                self.begin(lane, event, from, State::Serves, format!("serves a message of class {class:?}"));
            }
            What::MessageEnded { panicked } => {
                if let Some(message) = panicked {
                    self.failure((Topic::Messages, false), lane, format!("message {}", words::panicked(message)));
                }
                self.close_above(lane, u32::from(event.frame), next);
            }
            What::MessageDropped { class } => {
                self.failure((Topic::Messages, false), lane, format!("{class:?} message dropped unrun"));
            }
            What::CallMade(_) => {}
            other => {
                self.mark((Topic::Other, true), lane, words::any(other));
            }
        }
    }

    fn tell_of_others(&mut self, event: &Event, lane: usize) {
        let next = self.next_row();
        let of = event.apartment;
        match &event.what {
            What::WaitBegan { on, serves, .. } => {
                self.mark((Topic::Waits, true), lane, words::wait(*on));
                let state = if *serves == Serves::Nothing { State::Blocks } else { State::Pumps };
                self.begin(lane, event, next, state, words::wait(*on).to_owned());
            }
            What::WaitEnded { .. } => self.close_above(lane, u32::from(event.frame), next),
            What::ApartmentBegan { sta, how, capacity, .. } => {
                let kind = if *sta { "STA" } else { "MTA" };
                let text = format!("{} begins: {kind}, {how:?}, room for {capacity}", self.cast.apartment(of));
                self.mark((Topic::Lives, true), lane, text);
            }
            What::ThreadEntered { name, implicit } => {
                let how = if *implicit { " for a call" } else { "" };
                self.mark((Topic::Lives, true), lane, format!("enters {name}{how}"));
            }
            What::ThreadLeft => {
                self.mark((Topic::Lives, true), lane, format!("leaves {}", self.cast.apartment(of)));
            }
            What::QuitAsked => {
                let callee = of.and_then(|of| Some(*self.cast.serving.get(&of)?.first()?));
                self.arrow(Topic::Lives, (lane, callee), Head::OneWay, "quit".to_owned(), String::new());
            }
            What::DoorClosed => {
                self.mark((Topic::Lives, true), lane, format!("{} takes nothing new", self.cast.apartment(of)));
            }
            What::EndAsked => drop(self.mark(
                (Topic::Lives, false),
                lane,
                format!("asks {} whether its process may end", self.cast.apartment(of)),
            )),
            What::EndAnswered { agrees } => {
                let said = if *agrees { "agrees to the end of the process" } else { "refuses the end of the process" };
                self.mark((Topic::Lives, false), lane, said);
            }
            What::LeftBehind => {
                let left = format!("{} is left behind by its process' end", self.cast.apartment(of));
                self.failure((Topic::Lives, false), lane, left);
            }
            What::ApartmentEnded { abnormal, messages_dropped, objects_dropped } => {
                let how = if *abnormal { " abnormally" } else { "" };
                let mut text = format!("{} ended{how}", self.cast.apartment(of));
                for (many, one, more) in
                    [(*objects_dropped, "object", "objects"), (*messages_dropped, "message", "messages")]
                {
                    if many > 0 {
                        text.push_str(&format!(", {} dropped", words::count(many, one, more)));
                    }
                }
                self.row((Topic::Lives, false), Shape::Mark { lane, failed: *abnormal }, text);
            }
            What::ObjectMade { object, .. } => {
                self.mark((Topic::Objects, true), lane, format!("{} made", self.cast.object(of, *object)));
            }
            What::ObjectDropped { object } => {
                self.mark((Topic::Objects, false), lane, format!("{} dropped", self.cast.object(of, *object)));
            }
            What::ObjectDisconnected { object } => {
                let text = format!("{} disconnected", self.cast.object(of, *object));
                self.mark((Topic::Objects, false), lane, text);
            }
            What::Refused { error } => {
                self.failure((Topic::Calls, false), lane, words::error(error));
            }
            What::Placed(placed) => {
                let at = match placed.apartment {
                    None => "free-threaded".to_owned(),
                    Some(_) => format!("in {}", self.cast.apartment(placed.apartment)),
                };
                let host = if placed.host_made { ", a host made for it" } else { "" };
                let model = placed.model;
                self.mark((Topic::Classes, false), lane, format!("class {} ({model:?}) {at}{host}", placed.class));
            }
            What::ServerAsked { server, answer } => {
                self.mark((Topic::Classes, false), lane, format!("server {server} can be unloaded? {answer:?}"));
            }
            What::Packed { mark, error, .. } => {
                let form = mark.form;
                let object = self.cast.object(mark.of, mark.object);
                match error {
                    None => self.mark((Topic::Packets, true), lane, format!("{object} packed: {form:?}")),
                    Some(error) => {
                        let text = format!("{object} not packed: {}", words::error(error));
                        self.failure((Topic::Packets, false), lane, text)
                    }
                };
            }
            What::Unpacked { mark, error, .. } => {
                let object = self.cast.object(mark.of, mark.object);
                match error {
                    None => self.mark((Topic::Packets, true), lane, format!("{object} unpacked")),
                    Some(error) => {
                        let text = format!("{object} not unpacked: {}", words::error(error));
                        self.failure((Topic::Packets, false), lane, text)
                    }
                };
            }
            What::PacketDropped { mark } => {
                let object = self.cast.object(mark.of, mark.object);
                self.mark((Topic::Packets, true), lane, format!("packet of {object} given back"));
            }
            What::Woken { before, after } => {
                let again = if *before { " again" } else { "" };
                let apartment = self.cast.apartment(of);
                let failed = !after;
                let text = if failed { "could not be woken" } else { "is woken" };
                let shape = Shape::Mark { lane, failed };
                self.row((Topic::Waits, !failed), shape, format!("the loop of {apartment} {text}{again}"));
            }
            What::FilterSet { set } => {
                let text = if *set { "filter set" } else { "filter removed" };
                self.mark((Topic::Filters, true), lane, text);
            }
            What::Contained { place, message } => {
                self.failure((Topic::Faults, false), lane, format!("panic contained in {place}: {message}"));
            }
            What::Note { text } => {
                self.row((Topic::Notes, false), Shape::Line, text.to_string());
            }
            other => {
                self.mark((Topic::Other, true), lane, words::any(other));
            }
        }
    }

    /// What never ended is said, and every lane gets its place and its name.
    fn close(mut self) -> Scene {
        self.visible = true;
        for lane in 0..self.open.len() {
            let what = self.open[lane].last().map(|open| open.what.clone());
            if let Some(what) = what {
                self.mark((Topic::Calls, false), lane, format!("still {what}"));
            }
        }
        for lane in 0..self.open.len() {
            self.leaves(lane);
        }
        self.placed()
    }

    /// The lanes of which something is shown, from left to right as they first appear.
    fn placed(mut self) -> Scene {
        let mut shown: Vec<usize> = Vec::new();
        let mut seen = |lane: &usize| {
            if !shown.contains(lane) {
                shown.push(*lane);
            }
        };
        for row in &self.scene.rows {
            match &row.shape {
                Shape::Arrow { from, to, .. } => [from, to].into_iter().for_each(&mut seen),
                Shape::Mark { lane, .. } => seen(lane),
                Shape::Line => {}
            }
        }
        let place: HashMap<usize, usize> = shown.iter().enumerate().map(|(place, lane)| (*lane, place)).collect();
        for row in &mut self.scene.rows {
            match &mut row.shape {
                Shape::Arrow { from, to, .. } => [from, to].into_iter().for_each(|lane| *lane = place[lane]),
                Shape::Mark { lane, .. } => *lane = place[lane],
                Shape::Line => {}
            }
        }
        // Closed from within, and drawn from without.
        self.scene.bands.reverse();
        self.scene.bands.sort_by_key(|band| (band.state != State::There, band.from));
        self.scene.bands.retain_mut(|band| {
            place.get(&band.lane).is_some_and(|to| {
                band.lane = *to;
                true
            })
        });
        let names = self.names(&shown);
        self.scene.lanes = names.into_iter().map(|name| Lane { name }).collect();
        self.scene
    }

    fn names(&self, shown: &[usize]) -> Vec<String> {
        let mut others = 0;
        let mut names: Vec<String> = Vec::new();
        for lane in shown {
            let given = self.diagram.names.iter().rev().find(|(thread, _)| *thread == self.cast.threads[*lane]);
            let homes = self.cast.homes.get(lane);
            names.push(match (given, homes) {
                (Some((_, name)), _) => name.clone(),
                (None, Some(homes)) => {
                    let mut all: Vec<_> = homes.iter().map(|id| self.cast.apartment(Some(*id))).collect();
                    all.dedup();
                    all.join(", ")
                }
                (None, None) => {
                    others += 1;
                    if self.cast.is_main(*lane) { "main".to_owned() } else { format!("thread {others}") }
                }
            });
        }
        numbered(names)
    }
}

/// The first place after this one.
fn next(places: &[usize], place: usize) -> Option<usize> {
    places.get(places.partition_point(|at| *at <= place)).copied()
}

/// Equal names get numbers.
fn numbered(names: Vec<String>) -> Vec<String> {
    let mut counts: HashMap<&str, usize> = HashMap::new();
    names.iter().for_each(|name| *counts.entry(name).or_default() += 1);
    let mut used: HashMap<&str, usize> = HashMap::new();
    names
        .iter()
        .map(|name| {
            if counts[name.as_str()] == 1 {
                return name.clone();
            }
            let nth = used.entry(name).or_default();
            *nth += 1;
            format!("{name} {nth}")
        })
        .collect()
}
