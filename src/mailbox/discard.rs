//! Messages that are thrown away unrun.

use super::entry::{Body, Place};
use super::later::Later;
use super::{Mailbox, Who};
use crate::diagnose::What;
use crate::filter::MessageClass;
use crate::sync::Arc;

impl Mailbox {
    /// Takes the queued messages of that class out. Their room is free from here on; they are the caller's to drop.
    pub(crate) fn discard(self: &Arc<Self>, class: MessageClass, who: Who) -> Vec<Place> {
        let mut later = Later::default();
        let mut monitor = self.monitor();
        let is_of_it = |entry: &Place| matches!(&entry.body, Body::Message { class: own, .. } if *own == class);
        let (mut discarded, kept): (Vec<_>, Vec<_>) =
            std::mem::take(&mut monitor.entries).into_iter().partition(is_of_it);
        monitor.entries = kept.into();
        for entry in &discarded {
            self.push_event(&monitor, who, Some(entry.header.call_ref()), || What::MessageDropped { class });
        }
        // Only now: who waits for room comes in behind what was there.
        for entry in &mut discarded {
            self.give_back_room(&mut monitor, entry, who, &mut later);
        }
        drop(monitor);
        self.carry_out(later);
        discarded
    }
}
