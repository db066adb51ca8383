//! What a scene says of all that is no call: waits, apartments, objects, packets, filters, notes.

use super::diagram::Topic;
use super::event::{Event, What};
use super::scene::{Head, Shape, State};
use super::story::Story;
use super::words;
use crate::describe::Serves;

impl Story<'_> {
    pub(super) fn tell_of_others(&mut self, event: &Event, lane: usize) {
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
}
