//! What the rules say of who waits: who lets in what, and on whom a wait depends.

use super::state::{Apartment, Entry, Frame, Stage, State, Thread};
use super::{At, Call, Kind, On, Party};
use apartment::Reentrancy;

/// Whom a thread's wait depends on.
#[derive(Clone)]
pub(super) enum Needs {
    /// Nobody: it goes on by itself.
    Nobody,
    One(Vec<usize>),
    All(Vec<usize>),
}

impl State {
    pub(super) fn threads_at(&self, at: At) -> impl Iterator<Item = usize> {
        (0..self.threads.len()).filter(move |thread| self.threads[*thread].at == Some(at))
    }

    /// The innermost call that it serves.
    pub(super) fn served(&self, at: usize) -> Option<Call> {
        self.threads[at].stack.iter().rev().find_map(|frame| match frame {
            Frame::Serves(call) => Some(*call),
            Frame::Waits(_) => None,
        })
    }

    /// The chains of the calls that it has out.
    pub(super) fn out(&self, at: usize) -> impl Iterator<Item = usize> {
        self.threads[at].stack.iter().filter_map(|frame| match frame {
            Frame::Waits(On::Reply(call)) => Some(self.calls[call.0].chain),
            _ => None,
        })
    }

    /// Whether an STA's thread lets an entry in where it waits now (DI-12, CK-3).
    pub(super) fn lets_in(&self, at: usize, call: Call) -> bool {
        let Thread { at: home, stack, .. } = &self.threads[at];
        let Some(policy) = home.and_then(|At(home)| self.apartments[home].policy) else { return false };
        let kind = |call: &Call| self.calls[call.0].sent.kind;
        let Entry { sent, chain, .. } = &self.calls[call.0];
        if stack.iter().any(|frame| matches!(frame, Frame::Serves(call) if kind(call) == Kind::InputSynchronized)) {
            return false;
        }
        if sent.kind == Kind::InputSynchronized {
            return true;
        }
        if matches!(stack.last(), Some(Frame::Waits(On::Reply(call))) if kind(call) == Kind::InputSynchronized) {
            return false;
        }
        let served = self.served(at).map(|call| self.calls[call.0].chain);
        match policy {
            Reentrancy::Classic => true,
            Reentrancy::SameCausality if served.is_none() && self.out(at).next().is_none() => true,
            Reentrancy::SameCausality => {
                sent.kind == Kind::Call && self.out(at).chain(served).any(|known| known == *chain)
            }
            Reentrancy::None => false,
        }
    }

    /// Whether it ends though it never begins.
    pub(super) fn ends(&self, entry: &Entry) -> bool {
        let cancelled = entry.sent.cancel.is_some_and(|handle| self.cancels[handle as usize]);
        // Whoever waits for room is refused.
        let refused =
            entry.ends || entry.sent.waits_for_room && entry.needs_room && self.apartments[entry.sent.to.0].closing;
        refused || entry.sent.has_deadline || cancelled || self.disconnected.contains(&entry.sent.object)
    }

    /// On whom a thread depends (DL-1, DL-2).
    pub(super) fn needs(&self, at: usize) -> Needs {
        match self.threads[at].waits() {
            None | Some(On::Anybody) => Needs::Nobody,
            Some(On::Reply(call)) => {
                let entry = &self.calls[call.0];
                match entry.stage {
                    Stage::Over => Needs::Nobody,
                    Stage::Begun(_) if entry.sent.has_deadline => Needs::Nobody,
                    Stage::Begun(Party(by)) => Needs::One(vec![by]),
                    Stage::Sent if self.ends(entry) => Needs::Nobody,
                    Stage::Sent if entry.sent.waits_for_room && entry.needs_room && !self.has_room(call) => {
                        self.room(call)
                    }
                    Stage::Sent => self.comes_in(call),
                }
            }
            Some(On::Room(call)) => match self.calls[call.0].stage {
                Stage::Sent if !self.ends(&self.calls[call.0]) && !self.has_room(call) => self.room(call),
                _ => Needs::Nobody,
            },
            Some(On::End(of)) => Needs::All(self.threads_at(of).collect()),
            Some(On::Calls(of, object)) => {
                let runs =
                    |frame: &Frame| matches!(frame, Frame::Serves(call) if self.calls[call.0].sent.object == object);
                let runs = |thread: &usize| *thread != at && self.threads[*thread].stack.iter().any(runs);
                Needs::All(self.threads_at(of).filter(runs).collect())
            }
            Some(On::Worker(Party(of))) => Needs::One(vec![of]),
        }
    }

    /// A call that is queued.
    pub(super) fn comes_in(&self, call: Call) -> Needs {
        let to = self.calls[call.0].sent.to;
        let waits = |thread: &usize| self.threads[*thread].waits().is_some();
        let Apartment { policy, threads, .. } = &self.apartments[to.0];
        if policy.is_none() {
            let blocked: Vec<_> = self.threads_at(to).filter(|at| self.threads[*at].is_of_pool).filter(waits).collect();
            return if blocked.len() < *threads { Needs::Nobody } else { Needs::One(blocked) };
        }
        let Some(owner) = self.owner(to) else { return Needs::Nobody };
        if !waits(&owner) || self.lets_in(owner, call) { Needs::Nobody } else { Needs::One(vec![owner]) }
    }

    /// Those that hold room beside it: of the ones that may themselves wait for it, those that were sent before.
    pub(super) fn holders(&self, call: Call) -> impl Iterator<Item = Call> {
        let to = self.calls[call.0].sent.to;
        let holds = move |(at, entry): (usize, &Entry)| {
            let before = !entry.sent.waits_for_room || at < call.0;
            let holds = entry.sent.to == to && entry.needs_room && entry.stage == Stage::Sent && at != call.0;
            (holds && before).then_some(Call(at))
        };
        self.calls.iter().enumerate().filter_map(holds)
    }

    pub(super) fn has_room(&self, call: Call) -> bool {
        self.holders(call).count() < self.apartments[self.calls[call.0].sent.to.0].capacity
    }

    /// An entry that stands in the line: one that holds room comes in, or ends.
    pub(super) fn room(&self, call: Call) -> Needs {
        let mut holders = self.holders(call);
        let goes = |call: Call| self.ends(&self.calls[call.0]) || matches!(self.comes_in(call), Needs::Nobody);
        match self.owner(self.calls[call.0].sent.to) {
            Some(owner) if !holders.any(goes) => Needs::One(vec![owner]),
            _ => Needs::Nobody,
        }
    }
}
