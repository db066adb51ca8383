//! The end of a scene: what never ended, and where each lane stands and what it is called.

use super::diagram::Topic;
use super::scene::{Lane, Scene, Shape, State};
use super::story::Story;
use std::collections::HashMap;

impl Story<'_> {
    /// What never ended is said, and every lane gets its place and its name.
    pub(super) fn close(mut self) -> Scene {
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
    pub(super) fn placed(mut self) -> Scene {
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

    pub(super) fn names(&self, shown: &[usize]) -> Vec<String> {
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

/// Equal names get numbers.
pub(super) fn numbered(names: Vec<String>) -> Vec<String> {
    let mut counts: HashMap<&str, usize> = HashMap::new();
    names.iter().for_each(|name| *counts.entry(name).or_default() += 1);
    let mut nths: HashMap<&str, usize> = HashMap::new();
    names
        .iter()
        .map(|name| {
            if counts[name.as_str()] == 1 {
                return name.clone();
            }
            let nth = nths.entry(name).or_default();
            loop {
                *nth += 1;
                let numbered = format!("{name} {nth}");
                // Somebody may be called so.
                if !counts.contains_key(numbered.as_str()) {
                    return numbered;
                }
            }
        })
        .collect()
}
