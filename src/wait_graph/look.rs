//! The look: who of those that sleep cannot go on, and a ring of them. Under the graph's lock, on what the sleepers have
//! written down; it allocates nothing unless it finds some.

use super::node::{Node, On};

/// How many of those it waits for have to go on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Needs {
    /// It goes on by itself.
    None,
    One,
    All,
}

/// The sleepers, and what a look writes down on its way.
#[derive(Default)]
pub(super) struct Sleepers {
    pub(super) nodes: Vec<Node>,
    /// The pool's threads among them.
    pub(super) pool: Vec<usize>,
    reached: Vec<usize>,
    edges: Vec<usize>,
}

impl Sleepers {
    /// Those that sleep for ever, of all on whom that one depends; none if it goes on itself.
    ///
    /// Everybody is taken for stuck who can be reached from there. Then those are struck out that go on by themselves, and
    /// whom they keep waiting, until nothing changes.
    pub(super) fn stuck(&mut self, from: usize) -> Vec<usize> {
        let mut edges = std::mem::take(&mut self.edges);
        let mut reached = std::mem::take(&mut self.reached);
        reached.clear();
        reached.push(from);
        self.nodes[from].seen = true;
        let mut next = 0;
        while let Some(&at) = reached.get(next) {
            self.nodes[at].moves = self.needs(at, &mut edges) == Needs::None;
            for &edge in &edges {
                if !std::mem::replace(&mut self.nodes[edge].seen, true) {
                    reached.push(edge);
                }
            }
            next += 1;
        }
        let mut changed = true;
        while changed && !self.nodes[from].moves {
            changed = false;
            for &at in &reached {
                if !self.nodes[at].moves {
                    let needs = self.needs(at, &mut edges);
                    let moves = |edge: &usize| self.nodes[*edge].moves;
                    let goes_on = if needs == Needs::All { edges.iter().all(moves) } else { edges.iter().any(moves) };
                    self.nodes[at].moves = goes_on;
                    changed |= goes_on;
                }
            }
        }
        for &at in &reached {
            self.nodes[at].seen = false;
        }
        let stuck = match self.nodes[from].moves {
            true => Vec::new(),
            false => reached.iter().copied().filter(|at| !self.nodes[*at].moves).collect(),
        };
        (self.edges, self.reached) = (edges, reached);
        stuck
    }

    /// A ring of those that are stuck, through that one if there is such a ring.
    pub(super) fn ring(&mut self, stuck: &[usize], from: usize) -> Vec<usize> {
        std::iter::once(&from).chain(stuck).find_map(|at| self.ring_through(stuck, *at)).unwrap_or_default()
    }

    /// The shortest.
    fn ring_through(&mut self, stuck: &[usize], from: usize) -> Option<Vec<usize>> {
        let mut edges = Vec::new();
        // Each with the place in this list of the one it was reached from.
        let mut reached = vec![(from, 0)];
        let mut next = 0;
        while let Some(&(at, _)) = reached.get(next) {
            self.needs(at, &mut edges);
            if edges.contains(&from) {
                let mut ring = Vec::new();
                let mut back = next;
                while back != 0 {
                    ring.push(reached[back].0);
                    back = reached[back].1;
                }
                ring.push(from);
                ring.reverse();
                return Some(ring);
            }
            for edge in &edges {
                if stuck.contains(edge) && reached.iter().all(|(known, _)| known != edge) {
                    reached.push((*edge, next));
                }
            }
            next += 1;
        }
        None
    }

    /// On whom a sleeper depends.
    fn needs(&self, at: usize, edges: &mut Vec<usize>) -> Needs {
        edges.clear();
        let node = &self.nodes[at];
        if node.told.is_some() || node.released {
            return Needs::None;
        }
        let needs = match &node.on {
            Some(On::Entry(entry)) => {
                let pool = || self.pool.iter().copied().filter(|slot| self.nodes[*slot].is_at(&entry.callee));
                match entry.callee.seat().pool() {
                    _ if entry.ticket.is_settled() => {}
                    // Whoever runs it has it on its stack; if nobody who sleeps has, its thread is awake. That may seem to
                    // sleep: a loop inside its wait takes an entry out first, and stirs then.
                    None if entry.ticket.is_running() => {
                        edges.extend(entry.callee.seat().owner().filter(|owner| self.serves(*owner, entry.id)));
                    }
                    Some(_) if entry.ticket.is_running() => {
                        edges.extend(pool().filter(|slot| self.serves(*slot, entry.id)));
                    }
                    None => edges.extend(entry.callee.seat().owner().filter(|owner| !self.lets_in(*owner, entry))),
                    // If it has fewer threads, one is awake, or idle, or will be started.
                    Some(maximum) if pool().count() >= maximum => edges.extend(pool()),
                    Some(_) => {}
                }
                Needs::One
            }
            Some(On::End { of, .. }) => {
                edges.extend((0..self.nodes.len()).filter(|slot| self.nodes[*slot].is_at(of)));
                Needs::All
            }
            Some(On::Disconnect { of, object, .. }) => {
                let runs_it = |node: &Node| node.is_at(of) && node.is_in(*object);
                edges.extend((0..self.nodes.len()).filter(|slot| runs_it(&self.nodes[*slot])));
                Needs::All
            }
            Some(On::Doer { doer, .. }) => {
                edges.extend((0..self.nodes.len()).filter(|slot| self.nodes[*slot].is_of(doer)));
                Needs::One
            }
            None => Needs::None,
        };
        if edges.is_empty() { Needs::None } else { needs }
    }

    fn serves(&self, slot: usize, id: crate::id::CallId) -> bool {
        self.nodes[slot].serving.iter().any(|serving| serving.id == id)
    }

    /// Whether the owner's wait lets an entry in without anybody's end. Of one that may stand in the line for room only the
    /// mailbox knows: messages can hold the room, though all calls are served. So it is where the apartment is about to end.
    fn lets_in(&self, owner: usize, entry: &super::node::Entry) -> bool {
        let lets = &self.nodes[owner].lets;
        !entry.waits_for_room && !lets.leaving && lets.lets_in(entry.kind, entry.chain)
    }
}
