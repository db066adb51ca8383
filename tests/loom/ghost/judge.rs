//! The judgement: who was stuck when, and whether that is what was reported.

use super::At;
use super::rules::Needs;
use super::state::State;
use apartment::{Deadlock, Waiter};
use std::sync::Arc;

/// Who was stuck at once, and on whom each depended.
pub(super) struct Moment(Vec<Option<Vec<usize>>>);

impl State {
    /// Who could still go on: those that do by themselves, and whoever needs only those.
    pub(super) fn moving(&self, needs: &[Needs]) -> Vec<bool> {
        let mut moving = vec![false; needs.len()];
        loop {
            let moves = |needs: &Needs| match needs {
                Needs::Nobody => true,
                Needs::One(of) => of.iter().any(|at| moving[*at]),
                Needs::All(of) => of.iter().all(|at| moving[*at]),
            };
            let more: Vec<_> = needs.iter().map(moves).collect();
            if more == moving {
                return moving;
            }
            moving = more;
        }
    }

    /// Whoever cannot is stuck in this moment.
    pub(super) fn look(&mut self) {
        let needs: Vec<_> = (0..self.threads.len()).map(|at| self.needs(at)).collect();
        let moving = self.moving(&needs);
        if !moving.contains(&false) {
            return;
        }
        let depends = |(needs, moves): (Needs, &bool)| match needs {
            Needs::One(of) | Needs::All(of) if !*moves => Some(of),
            _ => None,
        };
        let moment = Arc::new(Moment(needs.into_iter().zip(&moving).map(depends).collect()));
        for (thread, _) in self.threads.iter_mut().zip(&moving).filter(|(_, moves)| !**moves) {
            thread.undisturbed = self.meddling == 0;
            thread.stuck = Some(moment.clone());
        }
    }

    /// Whether the one that was told was stuck, and all that it was told of: a ring in which each waited for the next.
    pub(super) fn judge(&self, told: usize, deadlock: &Deadlock) -> Result<(), String> {
        let Some(moment) = &self.threads[told].stuck else {
            let needs: Vec<_> = (0..self.threads.len()).map(|at| self.needs(at)).collect();
            let moving = self.moving(&needs);
            let could = |waiter: &Waiter| self.named(waiter).into_iter().find(|at| moving[*at]);
            let could = deadlock.cycle.iter().find_map(could).unwrap_or(told);
            return Err(format!(
                "reported to {} though {} could move",
                self.threads[told].name, self.threads[could].name
            ));
        };
        let mut reached = vec![told];
        for (at, waiter) in deadlock.cycle.iter().enumerate() {
            let named = self.named(waiter);
            reached.retain(|party| named.contains(party));
            if reached.is_empty() {
                return Err(format!("reported though nobody of the ring waits so for number {at} in\n{deadlock}\n"));
            }
            if let Some(moves) = reached.iter().find(|party| !moment.is_stuck(**party)) {
                return Err(format!("reported though {} could move", self.threads[*moves].name));
            }
            reached = reached.iter().flat_map(|party| moment.0[*party].clone().unwrap_or_default()).collect();
        }
        if reached.contains(&told) { Ok(()) } else { Err(format!("reported as a ring which is none:\n{deadlock}\n")) }
    }

    /// Who that may be: an apartment's thread by the apartment's name, a thread of none by having none.
    pub(super) fn named(&self, waiter: &Waiter) -> Vec<usize> {
        let name = |At(at): At| self.apartments[at].name.as_str();
        let named = waiter.apartment.as_ref().map(|apartment| &*apartment.name);
        let home = |at: &usize| self.threads[*at].at.or(self.threads[*at].was_at);
        let is = |at: &usize| match home(at) {
            Some(home) if self.apartments[home.0].policy.is_none() => waiter.in_mta,
            home => home.map(name) == named,
        };
        (0..self.threads.len()).filter(is).collect()
    }
}

impl Moment {
    pub(super) fn is_stuck(&self, at: usize) -> bool {
        self.0.get(at).is_some_and(Option::is_some)
    }
}
