//! The jobs that are counted, and what they may cost.

use apartment::{IncomingCall, MessageFilter, Process, Proxy, ServerCall, Spin};
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

pub(crate) struct Job {
    pub(crate) name: &'static str,
    /// Does it that often, and checks that it has been done.
    pub(crate) run: fn(u64),
    /// How many instructions it takes, of both sides together.
    pub(crate) instructions: u32,
    /// How far from that it may be, in parts of a hundred. On one thread it repeats to the instruction; between two it is
    /// chance whether one falls asleep before the other is there. Compilers differ, too.
    pub(crate) tolerance: u32,
    /// How often a thread goes to sleep for it, or is woken, at most.
    pub(crate) waits: u32,
}

pub(crate) const ALL: &[Job] = &[
    Job { name: "call from no apartment", run: call, instructions: 3_950, tolerance: 25, waits: 4 },
    Job { name: "call between STAs", run: between, instructions: 5_800, tolerance: 25, waits: 4 },
    Job {
        name: "call from no apartment, asked of a filter",
        run: filtered,
        instructions: 4_150,
        tolerance: 25,
        waits: 4,
    },
    Job { name: "call from no apartment, with a deadline", run: within, instructions: 5_600, tolerance: 25, waits: 4 },
    Job { name: "call and callback between STAs", run: callback, instructions: 12_750, tolerance: 25, waits: 8 },
    Job { name: "call into the MTA", run: into_mta, instructions: 5_600, tolerance: 25, waits: 4 },
    Job { name: "direct call", run: direct, instructions: 1_745, tolerance: 3, waits: 0 },
    Job { name: "post", run: post, instructions: 2_610, tolerance: 3, waits: 0 },
];

type Counter = Proxy<Cell<u64>>;

fn process() -> Process {
    Process::builder().spin(Spin::Never).build()
}

fn add(count: &Cell<u64>) {
    count.set(count.get() + 1);
}

fn done(counter: &Counter, count: u64) {
    assert_eq!(counter.call(Cell::get).unwrap(), count);
}

fn call(count: u64) {
    let process = process();
    let sta = process.sta("callee").spawn().unwrap();
    let counter = sta.create(|| Cell::new(0)).unwrap();
    (0..count).for_each(|_| counter.call(add).unwrap());
    done(&counter, count);
}

struct Handles;

impl MessageFilter for Handles {
    fn handle_incoming(&self, _: &IncomingCall) -> ServerCall {
        ServerCall::Handled
    }
}

fn filtered(count: u64) {
    let process = process();
    let sta = process.sta("callee").filter(|| Rc::new(Handles)).spawn().unwrap();
    let counter = sta.create(|| Cell::new(0)).unwrap();
    (0..count).for_each(|_| counter.call(add).unwrap());
    done(&counter, count);
}

fn within(count: u64) {
    let process = process();
    let sta = process.sta("callee").spawn().unwrap();
    let counter = sta.create(|| Cell::new(0)).unwrap();
    (0..count).for_each(|_| counter.within(Duration::from_secs(3600)).call(add).unwrap());
    done(&counter, count);
}

fn between(count: u64) {
    let process = process();
    let own = process.sta("caller").enter().unwrap();
    let sta = process.sta("callee").spawn().unwrap();
    let counter = sta.create(|| Cell::new(0)).unwrap();
    (0..count).for_each(|_| counter.call(add).unwrap());
    done(&counter, count);
    own.leave();
}

fn callback(count: u64) {
    let process = process();
    let own = process.sta("caller").enter().unwrap();
    let sta = process.sta("callee").spawn().unwrap();
    let (here, there) = (own.create(|| Cell::new(0)).unwrap(), sta.create(|| ()).unwrap());
    (0..count).for_each(|_| there.call(|()| here.call(add).unwrap()).unwrap());
    done(&here, count);
    drop(here);
    own.leave();
}

fn into_mta(count: u64) {
    use std::sync::atomic::{AtomicU64, Ordering};
    let process = process();
    let own = process.sta("caller").enter().unwrap();
    let mta = process.mta().threads(1).spawn().unwrap();
    let counter = mta.create(|| AtomicU64::new(0)).unwrap();
    (0..count).for_each(|_| assert!(counter.call(|count| count.fetch_add(1, Ordering::Relaxed)).is_ok()));
    assert_eq!(counter.call(|seen| seen.load(Ordering::Relaxed)).unwrap(), count);
    drop(counter);
    own.leave();
}

fn direct(count: u64) {
    let process = process();
    let own = process.sta("own").enter().unwrap();
    let counter = own.create(|| Cell::new(0)).unwrap();
    (0..count).for_each(|_| counter.call(add).unwrap());
    done(&counter, count);
    drop(counter);
    own.leave();
}

/// To the thread's own apartment, which serves them afterwards: how often two threads meet on the way is not counted.
fn post(count: u64) {
    let process = process();
    let own = process.sta("own").enter().unwrap();
    let counter = own.create(|| Cell::new(0)).unwrap();
    for _ in 0..count {
        counter.post(add).unwrap();
        own.pump();
    }
    done(&counter, count);
    drop(counter);
    own.leave();
}
