//! A synchronous call allocates nothing once it is warm, neither on its caller's thread nor on its callee's, and nor does a
//! post of a closure that is not large; what a retry asks for it gives back; and an apartment that is idle holds little.

mod programs;

use apartment::{
    CallError, CallOptions, Clock, IncomingCall, MessageClass, MessageFilter, Process, Proxy, Reentrancy, RejectedCall,
    Retry, ServerCall, Spin, Sta, implements, interface,
};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Barrier};
use std::time::Duration;

/// The system's allocator, which counts for each thread how often memory was asked for.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

thread_local! {
    // Neither made on demand nor dropped, so that the allocator can use it at any time.
    static COUNT: Cell<u64> = const { Cell::new(0) };
    static HELD: Cell<i64> = const { Cell::new(0) };
    static BYTES: Cell<i64> = const { Cell::new(0) };
}

/// How often this thread has asked for memory so far.
fn count() -> u64 {
    COUNT.get()
}

/// How many pieces of memory this thread has asked for, less those that it gave back, whoever had asked for them.
fn held() -> i64 {
    HELD.get()
}

/// How many bytes of memory this thread has asked for, less those that it gave back, whoever had asked for them.
fn bytes() -> i64 {
    BYTES.get()
}

fn takes(bytes: usize) {
    BYTES.set(BYTES.get() + bytes as i64);
}

fn gives_back(bytes: usize) {
    BYTES.set(BYTES.get() - bytes as i64);
}

#[expect(unsafe_code, reason = "an allocator cannot be had without")]
// SAFETY: everything is the system's allocator's work; the counting does not allocate, and cannot unwind.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        HELD.set(HELD.get() + 1);
        takes(layout.size());
        // SAFETY: the caller promises to us what the system's allocator asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        HELD.set(HELD.get() + 1);
        takes(layout.size());
        // SAFETY: as in `alloc`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        gives_back(layout.size());
        takes(size);
        // SAFETY: as in `alloc`; the memory is the system's, as all that we give is.
        unsafe { System.realloc(memory, layout, size) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        HELD.set(HELD.get() - 1);
        gives_back(layout.size());
        // SAFETY: as in `realloc`.
        unsafe { System.dealloc(memory, layout) }
    }
}

const CALLS: usize = 1_000;
/// How often [`asked`] makes its call.
const ASKED: usize = 4 * CALLS;

/// Makes the call until it is warm, then many times more, and says how often that made the calling thread ask for memory,
/// and the thread that `there` looks at. Of three times the least: whoever first finds a lock taken makes, once, what it
/// sleeps in for that, and this comes when it comes; what a call asks for it asks for each time.
fn asked(call: impl Fn(), there: impl Fn() -> u64) -> (u64, u64) {
    (0..CALLS).for_each(|_| call());
    there();
    let times = [(); 3].map(|()| {
        let before = (there(), count());
        (0..CALLS).for_each(|_| call());
        let after = (count(), there());
        (after.0 - before.1, after.1 - before.0)
    });
    times.into_iter().min().expect("three times")
}

fn calls_allocate_nothing(object: &Proxy<RefCell<u64>>, there: impl Fn() -> u64 + Copy) {
    let lent = String::from("borrowed by the call");
    let length = || lent.len() as u64;
    let add = |n: &mut u64| *n += length();
    assert_eq!(asked(|| object.call(|n| add(&mut n.borrow_mut())).unwrap(), there), (0, 0), "call");
    assert_eq!(asked(|| object.call_mut(add).unwrap(), there), (0, 0), "call_mut");
    let read = || assert_ne!(object.call_ref(|n| *n).unwrap(), 0);
    assert_eq!(asked(read, there), (0, 0), "call_ref");
    let within = || object.within(Duration::from_secs(3600)).call_mut(add).unwrap();
    assert_eq!(asked(within, there), (0, 0), "within");
    let options = CallOptions::new().wait_for_room();
    assert_eq!(asked(|| object.with(&options).call_mut(add).unwrap(), there), (0, 0), "wait_for_room");
}

/// Its threads sleep in each wait. The first sleep of a thread takes memory; one that spins may come to it late.
fn asleep_at_once() -> Process {
    Process::builder().spin(Spin::Never).build()
}

#[test]
fn what_is_counted_is_counted() {
    let process = Process::new();
    let sta = process.sta("sta").spawn().unwrap();
    let object = sta.create(|| ()).unwrap();
    let there = || object.call(|()| count()).unwrap();
    let before = (count(), there());
    let made = object.call(|()| Box::new([0; 100])).unwrap();
    let after = (count(), there());
    assert!(after.1 > before.1, "an allocation on the callee's thread is seen from here");
    let own = (count(), made.clone(), count());
    assert!(own.2 > own.0);
}

#[test]
fn a_call_from_a_thread_in_no_apartment_allocates_nothing() {
    let process = Process::new();
    let sta = process.sta("sta").spawn().unwrap();
    let object = sta.create(|| RefCell::new(0)).unwrap();
    calls_allocate_nothing(&object, || object.call(|_| count()).unwrap());
}

#[test]
fn a_call_between_two_stas_allocates_nothing() {
    for policy in [Reentrancy::Classic, Reentrancy::SameCausality, Reentrancy::None] {
        let process = asleep_at_once();
        let (from, to) = (process.sta("from").reentrancy(policy).spawn().unwrap(), process.sta("to").spawn().unwrap());
        let (caller, object) = (from.create(|| ()).unwrap(), to.create(|| RefCell::new(0)).unwrap());
        caller.call(|()| calls_allocate_nothing(&object, || object.call(|_| count()).unwrap())).unwrap();
    }
}

#[test]
fn a_nested_callback_allocates_nothing() {
    let process = asleep_at_once();
    let (a, b) = (process.sta("a").spawn().unwrap(), process.sta("b").spawn().unwrap());
    let (at_a, at_b) = (a.create(|| RefCell::new(0_u64)).unwrap(), b.create(|| ()).unwrap());
    // Into `b`, back into `a`, which waits, and once more to and fro.
    let nested = || {
        let innermost = || at_b.call(|()| at_a.call_mut(|n| *n += 1).unwrap()).unwrap();
        at_b.call(|()| at_a.call(|_| innermost()).unwrap()).unwrap();
    };
    at_a.call(|_| assert_eq!(asked(nested, || at_b.call(|()| count()).unwrap()), (0, 0))).unwrap();
    assert_eq!(at_a.call_ref(|n| *n).unwrap(), ASKED as u64);
}

#[test]
fn a_direct_call_allocates_nothing() {
    let process = asleep_at_once();
    let ui = process.sta("ui").enter().unwrap();
    let object = ui.create(|| RefCell::new(0)).unwrap();
    calls_allocate_nothing(&object, count);
    ui.leave();
}

#[test]
fn a_call_into_the_mta_allocates_nothing() {
    let process = asleep_at_once();
    let mta = process.mta().threads(1).spawn().unwrap();
    let sta = process.sta("sta").spawn().unwrap();
    let caller = sta.create(|| ()).unwrap();
    let object = mta.create(|| 7_u64).unwrap();
    let there = || object.call(|_| count()).unwrap();
    let call = || assert_eq!(object.call(|n| *n).unwrap(), 7);
    // Through its queue; directly, as a thread of it; and directly, as a thread that is in no apartment.
    assert_eq!(caller.call(|()| asked(call, there)).unwrap(), (0, 0), "from an STA");
    let entered = mta.enter().unwrap();
    assert_eq!(asked(call, there), (0, 0), "from a thread that entered");
    entered.leave();
    assert_eq!(asked(call, there), (0, 0), "from a thread in no apartment");
}

#[test]
fn a_post_of_a_closure_of_64_bytes_allocates_nothing() {
    let process = asleep_at_once();
    let sta = process.sta("sta").spawn().unwrap();
    let sum = sta.create(|| Cell::new(0_u64)).unwrap();
    let gate = Arc::new(Barrier::new(2));
    let words = [1_u64; 8];
    let adds = move |sum: &Cell<u64>| sum.set(sum.get() + words.iter().sum::<u64>());
    assert_eq!(size_of_val(&adds), 64);
    let there = || sum.call(|_| count()).unwrap();
    let posts = || {
        // Its thread is held up, so that as many are queued each time.
        let opens = Arc::clone(&gate);
        sum.post(move |_| _ = opens.wait()).unwrap();
        (0..16).for_each(|_| sum.post(adds).unwrap());
        sta.apartment().post_message(MessageClass::User, move || assert_eq!(words[7], 1)).unwrap();
        gate.wait();
        assert_eq!(sum.call(|sum| sum.take()).unwrap(), 16 * 8);
    };
    assert_eq!(asked(posts, there), (0, 0));
}

/// Sends so many calls away.
struct Busy(Arc<AtomicU32>);

impl MessageFilter for Busy {
    fn handle_incoming(&self, _: &IncomingCall) -> ServerCall {
        let left = self.0.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1));
        if left.is_ok() { ServerCall::RetryLater } else { ServerCall::Handled }
    }
}

/// Has that many attempts of a call refused before it runs, and gives how much memory the two threads hold then. The
/// callee has one place in its queue, which each attempt needs.
struct Retries {
    busy: Arc<AtomicU32>,
    from: Sta,
    to: Sta,
}

impl Retries {
    fn new(process: &Process) -> Self {
        let busy = Arc::new(AtomicU32::new(0));
        let filter = Busy(Arc::clone(&busy));
        let from = process.sta("from").spawn().unwrap();
        let to = process.sta("to").capacity(1).filter(|| filter).spawn().unwrap();
        Self { busy, from, to }
    }

    /// Runs `body` on the caller's thread, with what makes the call.
    fn run(&self, answer: impl Fn(&RejectedCall) -> Retry + Send, body: impl FnOnce(&dyn Fn(u32) -> i64) + Send) {
        let (caller, object) = (self.from.create(|| ()).unwrap(), self.to.create(|| ()).unwrap());
        let run = move || {
            let options = CallOptions::new().retry(|call: &RejectedCall| {
                // It has given its place back.
                assert_eq!(self.to.apartment().queued(), 0);
                answer(call)
            });
            body(&|retries| {
                self.busy.store(retries, Relaxed);
                let there = object.with(&options).call(|()| held()).unwrap();
                assert_eq!(self.busy.load(Relaxed), 0);
                there + held()
            });
        };
        caller.call(move |()| run()).unwrap();
        assert_eq!((self.to.apartment().queued(), self.from.apartment().queued()), (0, 0));
    }
}

// A million where they are quick: `.ci/test` runs this built for release, too.
const RETRIES: u32 = if cfg!(debug_assertions) { 50_000 } else { 1_000_000 };

/// A mailbox makes a few places for entries at once, when it first has none left: a retry may come before the place of the
/// attempt before is given back. That comes once; what a retry left would be there that often.
fn grows_by_none(after_one: i64, after_all: i64, retries: u32) {
    const AT_ONCE: i64 = 8;
    assert!(i64::from(retries) > 10 * AT_ONCE);
    assert!((after_one - AT_ONCE..=after_one + AT_ONCE).contains(&after_all), "{after_one}, then {after_all}");
}

#[test]
fn mf_7_however_many_retries_leave_nothing_behind() {
    let retries = Retries::new(&asleep_at_once());
    let at_once = |call: &RejectedCall| {
        assert!(call.attempts <= RETRIES);
        Retry::Now
    };
    retries.run(at_once, |held_after| {
        held_after(100);
        grows_by_none(held_after(1), held_after(RETRIES), RETRIES);
    });
}

#[test]
fn mf_7_retries_that_wait_leave_nothing_behind_either() {
    let clock = Clock::driven();
    let retries = Retries::new(&Process::builder().clock(clock.clone()).spin(Spin::Never).build());
    let over = AtomicBool::new(false);
    std::thread::scope(|s| {
        let _over = Over(&over);
        // The time passes by itself.
        s.spawn(|| {
            while !over.load(Relaxed) {
                clock.advance(Duration::from_secs(1));
                std::thread::yield_now();
            }
        });
        retries.run(
            |_| Retry::After(Duration::from_millis(150)),
            |held_after| {
                held_after(100);
                grows_by_none(held_after(1), held_after(RETRIES / 50), RETRIES / 50);
            },
        );
    });
}

/// It is over at the end of the scope, also if that is a failure.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// How many handles this process has open, and how many threads it has, where the system tells.
fn handles_and_threads() -> (Option<usize>, Option<usize>) {
    let own = sysinfo::get_current_pid().unwrap();
    let mut system = sysinfo::System::new();
    system.refresh_processes(sysinfo::ProcessesToUpdate::Some(&[own]), true);
    let process = system.process(own).unwrap();
    (process.open_files(), process.tasks().map(std::collections::HashSet::len))
}

#[test]
fn mf_7_however_many_retries_open_no_handle_and_start_no_thread() {
    const CHILD: &str = "APARTMENT_TEST_CHILD";
    if std::env::var_os(CHILD).is_none() {
        // In a process of its own: the other tests open and start what they like.
        let child = programs::start(&std::env::current_exe().unwrap())
            .args(["--exact", "mf_7_however_many_retries_open_no_handle_and_start_no_thread", "--nocapture"])
            .env(CHILD, "1")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&child.stdout);
        assert!(said.contains("running 1 test"), "{said}");
        assert!(child.status.success(), "{said}{}", String::from_utf8_lossy(&child.stderr));
        return;
    }
    let retries = Retries::new(&asleep_at_once());
    retries.run(
        |_| Retry::Now,
        |held_after| {
            held_after(1);
            let before = handles_and_threads();
            // What is counted is counted.
            let more = (std::fs::File::open(std::env::current_exe().unwrap()).unwrap(), handles_and_threads());
            assert!(before.0.is_none() || more.1.0 > before.0, "{before:?}, {:?}", more.1);
            drop(more);
            held_after(RETRIES);
            let after = handles_and_threads();
            println!("handles and threads before and after {RETRIES} retries: {before:?}, {after:?}");
            assert_eq!(before, after);
        },
    );
}

interface! {
    trait Text {
        fn ends_with(&self, text: &str, more: Option<&[u8]>, times: &mut u32) -> Result<bool, CallError>;
        fn is_same(&self, other: &Proxy<dyn Text>) -> Result<bool, CallError>;
        fn allocations(&self) -> Result<u64, CallError>;
    }
}

struct Line(String);

impl Text for Line {
    fn ends_with(&self, text: &str, more: Option<&[u8]>, times: &mut u32) -> Result<bool, CallError> {
        *times += 1;
        Ok(self.0.ends_with(text) && more.is_none_or(|more| self.0.as_bytes().ends_with(more)))
    }

    fn is_same(&self, other: &Proxy<dyn Text>) -> Result<bool, CallError> {
        let own: *const Self = self;
        Ok(other.local().is_some_and(|other| std::ptr::addr_eq(&raw const *other, own)))
    }

    fn allocations(&self) -> Result<u64, CallError> {
        Ok(count())
    }
}

implements!(Line: dyn Text);

#[test]
fn a_method_of_an_interface_allocates_nothing() {
    for strict in [false, true] {
        let process = Process::builder();
        let process = if strict { process.strict_rules() } else { process }.build();
        let here = process.sta("here").enter().unwrap();
        let there = process.sta("there").spawn().unwrap();
        let line: Proxy<dyn Text> = there.create(|| Line("a line of text".into())).unwrap().cast();
        let allocations = || line.allocations().unwrap();
        let (text, times) = (String::from("text"), Cell::new(0));
        let borrows = || {
            let mut count = times.get();
            assert!(line.ends_with(&text, Some(b"t"), &mut count).unwrap());
            times.set(count);
        };
        assert_eq!(asked(borrows, allocations), (0, 0), "what is borrowed is not copied");
        assert_eq!(times.get(), ASKED as u32);
        let refers = || assert!(line.is_same(&line).unwrap());
        assert_eq!(asked(refers, allocations), (0, 0), "a reference is counted, no more");
        here.leave();
    }
}

/// Beyond its thread's stack. Of several the least, as with [`asked`]: some of what a thread makes once is for all.
#[test]
fn an_idle_apartment_holds_at_most_4_kib_of_heap() {
    let process = Process::new();
    let idle = [(); 8].map(|()| {
        let before = bytes();
        let sta = process.sta("idle").spawn().unwrap();
        let object = sta.create(|| Cell::new(0)).unwrap();
        object.call(|n| n.set(n.get() + 1)).unwrap();
        let there = object.call(|_| bytes()).unwrap();
        (bytes() - before + there, sta, object)
    });
    let least = idle.iter().map(|(bytes, ..)| *bytes).min().expect("there are several");
    assert!((1_000..=4_096).contains(&least), "{least} bytes");
}
