//! W5: what memory an idle apartment holds.

use super::Look;
use crate::count::{allocations, counting, held};
use crate::measure::{Kind, Measured, Row, heading};
use crate::options::Options;
use crate::peers::{Client, Peer, for_all};
use crate::place::{Joined, Place, Placement};
use std::sync::atomic::{AtomicBool, Ordering::*};
use std::sync::{Arc, OnceLock};
use std::thread::{self, Thread};

/// Where threads run makes no difference.
pub(crate) fn looks(place: Place) -> Option<Look> {
    (place.placement == Placement::Unpinned).then_some(measure)
}

/// Somebody whose idle threads can be looked at: so many of them at most.
struct Crowd {
    name: &'static str,
    kind: Kind,
    look: fn(usize) -> Row,
}

fn measure(place: Place, options: &Options) -> Option<Measured> {
    let title = "memory while idle";
    let placement = place.placement;
    let whole = options.wants(&heading("W5", title, placement));
    let mut crowds = vec![Crowd { name: BARE_THREAD, kind: Kind::Limit, look: bare_threads }];
    crowds.extend(for_all!(peers()));
    let wanted = |crowd: &Crowd| whole || options.wants(crowd.name);
    if !crowds.iter().any(wanted) {
        return None;
    }
    crowds.retain(|crowd| matches!(crowd.kind, Kind::Base | Kind::Limit) || wanted(crowd));
    let rows = crowds.into_iter().map(|crowd| (crowd.look)(options.crowd())).collect();
    let notes = "Heap of one of 1,000 (actix: 100; a quick run: 100) after its first call; its stack is the system's.";
    let (title, unit) = (title.into(), "bytes of heap");
    Some(Measured { workload: "W5", title, placement, unit, notes, tells_most: false, rows })
}

fn peers<P: Peer>() -> Crowd {
    let look = |most: usize| {
        of_one(P::NAME, P::KIND, most.min(P::MOST), || {
            let peer = P::start(None);
            assert_eq!(peer.client().call(), 1, "{}: a call counts by one", P::NAME);
            peer
        })
    };
    Crowd { name: P::NAME, kind: P::KIND, look }
}

/// What one of so many holds.
fn of_one<T>(name: &str, kind: Kind, number: usize, make: impl Fn() -> T) -> Row {
    let mut all = Vec::with_capacity(number + 1);
    // What the first one makes for all is nobody's own.
    all.push(make());
    let (bytes, allocated) = counting(|| {
        let (bytes, allocated) = (held(), allocations());
        (0..number).for_each(|_| all.push(make()));
        (held() - bytes, allocations() - allocated)
    });
    let each = |sum: f64| sum / number as f64;
    let (values, allocations) = (vec![each(bytes as f64)], each(allocated as f64));
    Row { name: name.into(), kind, values, allocations, switches: None, waits: None }
}

const BARE_THREAD: &str = "limit: a thread that sleeps";

fn bare_threads(number: usize) -> Row {
    of_one(BARE_THREAD, Kind::Limit, number, Sleeper::start)
}

/// A thread that sleeps until this is dropped.
pub(super) struct Sleeper {
    end: Arc<AtomicBool>,
    thread: Thread,
    _joined: Joined,
}

impl Sleeper {
    pub(super) fn start() -> Self {
        let (end, started) = (Arc::new(AtomicBool::new(false)), Arc::new(OnceLock::new()));
        let (its_end, tell) = (Arc::clone(&end), Arc::clone(&started));
        let joined = Joined::start(None, move || {
            tell.get_or_init(thread::current);
            drop(tell);
            while !its_end.load(Acquire) {
                thread::park();
            }
        });
        let thread = started.wait().clone();
        Self { end, thread, _joined: joined }
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        self.end.store(true, Release);
        self.thread.unpark();
    }
}
