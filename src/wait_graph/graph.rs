//! Who sleeps in a wait, of all threads of a process: published, looked at, told.

use super::look::Sleepers;
use super::node::{Node, On, Place, Stands};
use super::scope::{Lets, Scope};
use crate::call::Ticket;
use crate::cycle::{Awaited, Deadlock, Waiter};
use crate::describe::Serves;
use crate::sync::{Arc, Bell, Clock, MODELLED, Mutex, MutexGuard};
use std::time::Duration;

/// See the module's documentation.
pub(crate) struct Graph {
    state: Mutex<State>,
    /// In a model: that there is none, to show what becomes of a deadlock then.
    is_off: bool,
}

#[derive(Default)]
struct State {
    sleepers: Sleepers,
    free: Vec<usize>,
    generations: u64,
}

/// A thread's place in the graph while it sleeps.
pub(crate) struct Asleep(usize);

/// What a sleeper takes back.
struct Woken {
    told: Option<Arc<Deadlock>>,
    on: Option<On>,
    home: Option<Arc<dyn Place>>,
    bell: Option<Arc<Bell>>,
}

/// One who is stuck by what the sleepers say, and what only a mailbox can confirm.
struct Suspect {
    slot: usize,
    generation: u64,
    entry: Option<(Ticket, Arc<dyn Place>, Lets)>,
}

impl Graph {
    pub(crate) fn new() -> Self {
        Self { state: Mutex::new(State::default()), is_off: false }
    }

    /// Nobody is seen, and nobody told.
    pub(crate) fn off() -> Self {
        Self { is_off: true, ..Self::new() }
    }

    /// Whether anybody looks.
    pub(crate) fn is_on(&self) -> bool {
        !(MODELLED && self.is_off)
    }

    /// Publishes a thread that is about to sleep, then looks whether that closes a cycle, and tells one of those in it: this
    /// one if its wait can fail. `fill` writes the node, and runs nobody's code.
    pub(crate) fn sleeps(&self, clock: &Clock, fill: impl FnOnce(&mut Node)) -> Asleep {
        let mut state = self.state.lock();
        let slot = state.publish(fill);
        let stuck = state.sleepers.stuck(slot);
        if stuck.is_empty() {
            drop(state);
        } else {
            self.resolve(state, stuck, slot, clock);
        }
        Asleep(slot)
    }

    /// The thread has woken. Gives what it was told meanwhile.
    pub(crate) fn wakes(&self, Asleep(slot): Asleep) -> Option<Arc<Deadlock>> {
        let woken = self.state.lock().withdraw(slot);
        // With no lock held: it may be the last to hold an apartment.
        drop((woken.on, woken.home, woken.bell));
        woken.told
    }

    /// Confirms with the mailboxes what the sleepers say, and tells somebody of each ring.
    #[cold]
    fn resolve<'a>(&'a self, mut state: MutexGuard<'a, State>, mut stuck: Vec<usize>, looker: usize, clock: &Clock) {
        // Dropped with no lock held: a suspect may be the last to hold an apartment.
        let mut before = Vec::new();
        loop {
            let suspects = state.suspects(&stuck);
            drop(state);
            let first: Vec<_> = suspects.iter().map(Suspect::stands).collect();
            let second: Vec<_> = suspects.iter().map(Suspect::stands).collect();
            let now = clock.nanos();
            state = self.state.lock();
            // Who went to sleep meanwhile may be stuck too, of all whom somebody waits for; its mailbox has not been asked.
            stuck = state.sleepers.stuck(looker);
            let all_asked = stuck.iter().all(|slot| suspects.iter().any(|suspect| suspect.slot == *slot));
            let still = all_asked && first == second && suspects.iter().all(|suspect| state.is_still(suspect));
            let mut bells = Vec::new();
            if still {
                state.release(&suspects, &first, true);
                loop {
                    stuck = state.sleepers.stuck(looker);
                    if stuck.is_empty() {
                        break;
                    }
                    bells.extend(state.tell(&stuck, looker, &suspects, &first, now));
                }
                state.release(&suspects, &first, false);
            }
            before.push(suspects);
            if stuck.is_empty() {
                drop(state);
                bells.into_iter().for_each(|bell: Arc<Bell>| bell.ring());
                return;
            }
        }
    }
}

impl Suspect {
    fn stands(&self) -> Stands {
        self.entry.as_ref().map_or(Stands::Held, |(ticket, callee, lets)| callee.stands(ticket, lets))
    }
}

impl State {
    fn publish(&mut self, fill: impl FnOnce(&mut Node)) -> usize {
        let Sleepers { nodes, pool, .. } = &mut self.sleepers;
        let slot = self.free.pop().unwrap_or_else(|| {
            nodes.push(Node::default());
            nodes.len() - 1
        });
        self.generations += 1;
        let node = &mut nodes[slot];
        node.generation = self.generations;
        fill(node);
        match &node.home {
            Some(_) if node.is_pool_thread => pool.push(slot),
            Some(home) if home.seat().pool().is_none() => home.seat().set_owner(Some(slot)),
            _ => {}
        }
        slot
    }

    fn withdraw(&mut self, slot: usize) -> Woken {
        let Sleepers { nodes, pool, .. } = &mut self.sleepers;
        let node = &mut nodes[slot];
        match &node.home {
            Some(_) if node.is_pool_thread => pool.retain(|thread| *thread != slot),
            Some(home) if home.seat().pool().is_none() => home.seat().set_owner(None),
            _ => {}
        }
        node.serving.clear();
        node.lets.chains.clear();
        self.generations += 1;
        node.generation = self.generations;
        self.free.push(slot);
        Woken { told: node.told.take(), on: node.on.take(), home: node.home.take(), bell: node.bell.take() }
    }

    fn suspects(&self, stuck: &[usize]) -> Vec<Suspect> {
        let nodes = &self.sleepers.nodes;
        let suspect = |&slot: &usize| {
            let node = &nodes[slot];
            let entry = match &node.on {
                Some(On::Entry(entry)) if entry.ticket.is_queued() => {
                    let owner = entry.callee.seat().owner();
                    let lets = owner.map(|owner| nodes[owner].lets.clone()).unwrap_or_default();
                    Some((entry.ticket.clone(), Arc::clone(&entry.callee), lets))
                }
                _ => None,
            };
            Suspect { slot, generation: node.generation, entry }
        };
        stuck.iter().map(suspect).collect()
    }

    /// Whether it sleeps as it did, and nobody has told it anything.
    fn is_still(&self, suspect: &Suspect) -> bool {
        let node = &self.sleepers.nodes[suspect.slot];
        node.generation == suspect.generation && node.told.is_none()
    }

    /// Those go on of whom a mailbox says so, as long as this look lasts.
    fn release(&mut self, suspects: &[Suspect], stand: &[Stands], released: bool) {
        for (suspect, stands) in suspects.iter().zip(stand) {
            self.sleepers.nodes[suspect.slot].released = released && *stands == Stands::Moves;
        }
    }

    /// Tells one of a ring: of those whose wait can fail, the one whose wait began last, which closed the ring. Gives whom to
    /// ring.
    fn tell(
        &mut self,
        stuck: &[usize],
        looker: usize,
        suspects: &[Suspect],
        stand: &[Stands],
        now: u64,
    ) -> Option<Arc<Bell>> {
        let ring = self.sleepers.ring(stuck, looker);
        let nodes = &mut self.sleepers.nodes;
        let can_fail = |at: &usize| nodes[*at].can_fail();
        let Some(victim) = ring.iter().copied().filter(can_fail).max_by_key(|at| nodes[*at].youth()) else {
            if stuck.iter().any(|at| nodes[*at].has_ended()) {
                // Somebody cancelled it just now, perhaps before the ring was looked for, which then is none any more.
                return None;
            }
            crate::broken("of those who wait in a ring, one waits for something that has not begun")
        };
        let begin = ring.iter().position(|at| *at == victim).unwrap_or_default();
        let line = |at: &usize| {
            let known = suspects.iter().position(|suspect| suspect.slot == *at);
            waiter(&nodes[*at], known.map_or(Stands::Held, |known| stand[known]), now)
        };
        let cycle = ring[begin..].iter().chain(&ring[..begin]).map(line).collect();
        let victim = &mut nodes[victim];
        victim.told = Some(Arc::new(Deadlock { cycle }));
        victim.bell.clone()
    }
}

/// A sleeper as the cycle shows it.
fn waiter(node: &Node, stands: Stands, now: u64) -> Waiter {
    let (Some(thread), Some(on)) = (node.thread, &node.on) else { crate::broken("who is stuck sleeps") };
    let awaits = match (on, stands) {
        (On::Entry(entry), Stands::InLine { queued }) => Awaited::Room {
            callee: entry.callee.name().clone(),
            target: entry.target,
            queued,
            capacity: entry.callee.capacity(),
        },
        (On::Entry(entry), _) => Awaited::Call {
            callee: entry.callee.name().clone(),
            target: entry.target,
            started: !entry.ticket.is_queued(),
        },
        (On::End { of, location }, _) => Awaited::End { of: of.name().clone(), location: *location },
        (On::Disconnect { of, object, location }, _) => {
            Awaited::Disconnect { of: of.name().clone(), object: *object, location }
        }
        (On::Doer { awaits, .. }, _) => awaits.clone(),
    };
    let serves = match node.lets {
        Lets { nothing: true, .. } => Serves::Nothing,
        Lets { scope: Scope::Everything, .. } => Serves::Everything,
        Lets { scope: Scope::Chains(_), .. } => Serves::Chain,
        Lets { scope: Scope::InputSynchronized | Scope::Nothing, .. } => Serves::InputSynchronized,
    };
    Waiter {
        thread,
        apartment: node.home.as_ref().map(|home| home.name().clone()),
        in_mta: node.home.as_ref().is_some_and(|home| home.seat().pool().is_some()),
        awaits,
        serves,
        serving: node.serving.iter().map(|serving| serving.target).collect(),
        waited: Duration::from_nanos(now.saturating_sub(node.since)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::node::{Entry, Seat};
    use super::*;
    use crate::call::record::{Errand, Waiter as Rung};
    use crate::call::{Record, Verdict};
    use crate::describe::{ApartmentName, CallKind, CallTarget};
    use crate::id::{ApartmentId, CallId, ChainId, ThreadId};
    use crate::sync::{AtomicU64, Ordering, Weak};
    use std::panic::Location;

    /// An apartment that says how entries stand as a test tells it.
    struct Apartment {
        own: Weak<Apartment>,
        name: ApartmentName,
        seat: Seat,
        stands: Box<Says>,
    }

    type Says = dyn Fn(&Arc<dyn Place>, &Ticket) -> Stands + Send + Sync;

    impl Place for Apartment {
        fn name(&self) -> &ApartmentName {
            &self.name
        }

        fn capacity(&self) -> usize {
            1
        }

        fn seat(&self) -> &Seat {
            &self.seat
        }

        fn stands(&self, ticket: &Ticket, _: &Lets) -> Stands {
            let own: Arc<dyn Place> = self.own.upgrade().unwrap();
            (self.stands)(&own, ticket)
        }
    }

    fn apartment(
        id: u64,
        pool: Option<usize>,
        stands: impl Fn(&Arc<dyn Place>, &Ticket) -> Stands + Send + Sync + 'static,
    ) -> Arc<dyn Place> {
        let name = ApartmentName { id: ApartmentId(id), name: "tested".into() };
        Arc::new_cyclic(|own| Apartment { own: own.clone(), name, seat: Seat::new(pool), stands: Box::new(stands) })
    }

    /// A call that is queued as long as its errand is there.
    fn queued() -> (Ticket, Errand<Verdict>) {
        let ticket = Record::new(Rung::Thread(Arc::new(Bell::new()))).unused().next();
        let errand = ticket.queue_without_loan();
        (ticket, errand)
    }

    /// A thread of that apartment sleeps, since then.
    fn sleeps(graph: &Graph, thread: u32, home: &Arc<dyn Place>, since: u64, on: On) -> Asleep {
        graph.sleeps(&Clock::driven(), |node| {
            node.thread = Some(ThreadId(thread));
            node.bell = Some(Arc::new(Bell::new()));
            node.home = Some(Arc::clone(home));
            node.since = since;
            node.on = Some(on);
        })
    }

    /// It has called that apartment, and would wait for room there.
    fn called(thread: u32, callee: &Arc<dyn Place>, ticket: &Ticket) -> On {
        let id = CallId { thread: ThreadId(thread), count: 1 };
        let target = CallTarget { object: None, type_name: "()", method: None, location: Location::caller() };
        let (kind, waits_for_room) = (CallKind::Synchronous, true);
        let (ticket, callee, chain) = (ticket.clone(), Arc::clone(callee), ChainId(id));
        On::Entry(Entry { ticket, callee, id, chain, kind, target, waits_for_room })
    }

    /// A waits for the end of the MTA, one of whose threads has called A and is held there. While A's mailbox is asked about
    /// that, another thread of the MTA calls A, and is about to come in.
    #[test]
    fn dl_1_who_goes_to_sleep_during_a_look_is_asked_before_anybody_is_told() {
        let graph = Arc::new(Graph::new());
        let queued = [(); 4].map(|()| queued());
        let [held, comes_in, of_8, of_9] = queued.each_ref().map(|(ticket, _)| ticket.clone());
        let mta = apartment(1, Some(1), |_, _| Stands::Held);
        let late: Arc<Mutex<Option<Asleep>>> = Arc::default();
        let a = {
            let (graph, mta, late, comes_in) = (Arc::clone(&graph), Arc::clone(&mta), Arc::clone(&late), comes_in);
            let asked = AtomicU64::new(0);
            apartment(2, None, move |a, ticket| {
                if asked.fetch_add(1, Ordering::Relaxed) == 0 {
                    *late.lock() = Some(sleeps(&graph, 2, &mta, 1, called(2, a, &comes_in)));
                }
                if ticket.is(&comes_in) { Stands::Moves } else { Stands::Held }
            })
        };
        // So that the late one has an earlier slot than the one that is held, and is found first.
        let [one, two] = [(8, of_8), (9, of_9)]
            .map(|(thread, ticket)| sleeps(&graph, thread, &mta, 0, called(thread, &mta, &ticket)));
        let first = sleeps(&graph, 1, &mta, 0, called(1, &a, &held));
        for woken in [two, one] {
            assert!(graph.wakes(woken).is_none());
        }
        let joins = sleeps(&graph, 3, &a, 0, On::End { of: mta, location: None });
        let late = late.lock().take().unwrap();
        assert!(graph.wakes(late).is_none(), "it was to come in");
        let told = [joins, first].map(|asleep| graph.wakes(asleep).is_some());
        assert_eq!(told, [true, false], "who closed the ring");
    }
}
