//! What a scene says of calls and messages.

use super::diagram::Topic;
use super::event::{CallRef, Event, Route, WaitFor, What};
use super::scene::{Head, Shape, State};
use super::story::Story;
use super::words;
use crate::describe::Serves;
use crate::filter::ServerCall;

impl Story<'_> {
    pub(super) fn tell_of_call(&mut self, event: &Event, lane: usize, call: CallRef) {
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
            What::Detached => {
                self.mark((Topic::Cancels, false), lane, format!("{name} runs on, its future is dropped"));
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
}
