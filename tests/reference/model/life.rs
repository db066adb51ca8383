//! Lives: how apartments are made and end, and objects.

use super::words::*;
use super::{Apartments, Door, Frame, Model, ObjectState, Phase, Threads};
use std::collections::VecDeque;

impl Model {
    /// Rule AP-1; the first is the main one (rule AP-4).
    pub(super) fn began(&mut self, options: Options, thread: Thread, by: Thread, entered: bool) -> Apartment {
        let apartment = self.apartments.len();
        let (entries, line, releases) = (VecDeque::new(), VecDeque::new(), VecDeque::new());
        let door = Door::Open;
        self.apartments.push(Apartments { options, thread, entered, door, entries, line, releases });
        let main = self.main.is_none();
        if main {
            self.main = Some(apartment);
        }
        let Options { capacity, policy, filter, .. } = options;
        let began = What::ApartmentBegan { apartment, entered, main, capacity, policy };
        self.tells(Some(apartment), by, None, began);
        self.tells(Some(apartment), thread, None, What::ThreadEntered);
        if filter {
            self.tells(Some(apartment), thread, None, What::FilterSet);
        }
        apartment
    }

    pub(super) fn spawn(&mut self, options: Options) {
        let thread = self.threads.len();
        self.threads.push(Threads::new(Some(self.apartments.len()), Frame::Loop { wait: 1 }));
        self.began(options, thread, 0, false);
    }

    pub(super) fn enter(&mut self, thread: Thread, options: Options) {
        let apartment = self.began(options, thread, thread, true);
        self.threads[thread].home = Some(apartment);
        let object = self.makes_object(apartment, thread);
        self.driver_has(object, true);
        self.says(thread, Said::Left);
    }

    /// An object is made on its apartment's thread (rule AP-2), with one reference.
    pub(super) fn makes_object(&mut self, home: Apartment, thread: Thread) -> Object {
        self.objects_made += 1;
        let object = self.objects_made;
        self.objects.insert(object, ObjectState { home, references: 1, driver_has: false, gone: false });
        self.tells(Some(home), thread, None, What::ObjectMade { object });
        object
    }

    /// The door closes at once (rule LT-2): the whole line is turned away.
    pub(super) fn quit(&mut self, apartment: Apartment, by: Thread) {
        self.tells(Some(apartment), by, None, What::QuitAsked);
        if self.apartments[apartment].door != Door::Open {
            return;
        }
        self.apartments[apartment].door = Door::Closing;
        self.tells(Some(apartment), by, None, What::DoorClosed);
        for call in std::mem::take(&mut self.apartments[apartment].line) {
            self.call_mut(call).phase = Phase::Failed(Failure::Quitting);
        }
    }

    /// Ends an apartment whose door is closed and that has served what it accepted: drops its objects, the youngest first, and
    /// disconnects their proxies (rule LT-2).
    pub(super) fn ends(&mut self, thread: Thread, leaves: bool) -> bool {
        let Some(apartment) = self.threads[thread].home else { return false };
        let served = self.apartments[apartment].entries.is_empty();
        if self.apartments[apartment].door != Door::Closing || !served {
            return false;
        }
        let own: Vec<Object> = self.objects_of(apartment).rev().collect();
        for object in &own {
            self.objects.entry(*object).and_modify(|state| state.gone = true);
            self.tells(Some(apartment), thread, None, What::ObjectDropped { object: *object });
        }
        self.apartments[apartment].door = Door::Ended;
        let ended = What::ApartmentEnded { objects_dropped: own.len(), messages_dropped: 0 };
        self.tells(Some(apartment), thread, None, ended);
        if self.main == Some(apartment) {
            self.main = None;
        }
        self.tells(Some(apartment), thread, None, What::ThreadLeft);
        self.threads[thread].home = None;
        self.threads[thread].stack.pop();
        if leaves {
            self.says(thread, Said::Left);
        }
        true
    }

    // ---- objects

    pub(super) fn driver_has(&mut self, object: Object, has: bool) {
        self.objects.entry(object).and_modify(|state| state.driver_has = has);
    }

    pub(super) fn objects_of(&self, apartment: Apartment) -> impl DoubleEndedIterator<Item = Object> + '_ {
        self.objects.iter().filter(move |(_, state)| state.home == apartment && !state.gone).map(|(object, _)| *object)
    }

    pub(super) fn reference(&mut self, object: Option<Object>) {
        if let Some(state) = object.and_then(|object| self.objects.get_mut(&object)) {
            state.references += 1;
        }
    }

    /// A reference goes. With the last one the object goes, at home: at once if that is here, else when its thread looks next
    /// (rule LT-1).
    pub(super) fn unreference(&mut self, object: Object, thread: Thread) {
        let Some(state) = self.objects.get_mut(&object) else { return };
        state.references -= 1;
        let (home, gone) = (state.home, state.gone);
        if state.references > 0 {
            return;
        }
        if gone {
            self.objects.remove(&object);
        } else if self.threads[thread].home == Some(home) {
            self.drops(object, thread);
        } else {
            self.apartments[home].releases.push_back(object);
        }
    }

    pub(super) fn drops(&mut self, object: Object, thread: Thread) {
        if let Some(state) = self.objects.remove(&object) {
            self.tells(Some(state.home), thread, None, What::ObjectDropped { object });
        }
    }
}
