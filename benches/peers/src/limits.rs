//! The least that two threads need to tell each other something: the limits of what a call can cost.

use crate::measure::{Meter, Program, Turn, repeat};
use crate::place::{Joined, Place};
use std::hint::spin_loop;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::*};
use std::thread;

/// Nobody plays: the other one may sleep until somebody does.
const REST: u64 = u64::MAX;
const END: u64 = u64::MAX - 1;

/// Two threads that pass an atomic to and fro, spinning: no job, and no sleep while it is their turn.
pub(crate) fn spinning(place: Place) -> Program {
    let player = SpinningPlayer::start(place);
    let mut expected = 0;
    Box::new(move |ops| {
        player.wakes(expected);
        let meter = Meter::start();
        let mut counted = 0;
        for _ in 0..ops {
            counted = player.pass();
        }
        let metered = meter.stop();
        player.ball.store(REST, Release);
        expected += ops;
        Turn { metered, ops, counted, expected }
    })
}

struct SpinningPlayer {
    /// An odd number is the other's to raise by one, an even one ours.
    ball: Arc<AtomicU64>,
    other: thread::Thread,
    _thread: Joined,
}

impl SpinningPlayer {
    fn start(place: Place) -> Self {
        let ball = Arc::new(AtomicU64::new(REST));
        let here = Arc::clone(&ball);
        let (tell, told) = std::sync::mpsc::channel();
        let body = move || {
            tell.send(thread::current()).expect("the maker waits for it");
            loop {
                match here.load(Acquire) {
                    END => break,
                    REST => thread::park(),
                    ball if ball % 2 == 1 => here.store(ball + 1, Release),
                    _ => spin_loop(),
                }
            }
        };
        let thread = Joined::start(place.callee, body);
        let other = told.recv().expect("the thread has started");
        Self { ball, other, _thread: thread }
    }

    /// Sees to it that the other one spins; that many passes have been counted so far.
    fn wakes(&self, passes: u64) {
        self.ball.store(2 * passes + 1, Release);
        self.other.unpark();
        while self.ball.load(Acquire) != 2 * passes + 2 {
            spin_loop();
        }
        // This one is not counted.
        self.ball.store(2 * passes, Release);
    }

    /// To the other one and back: how many of these there have been.
    fn pass(&self) -> u64 {
        let ball = self.ball.load(Relaxed) + 1;
        self.ball.store(ball, Release);
        while self.ball.load(Acquire) != ball + 1 {
            spin_loop();
        }
        ball.div_ceil(2)
    }
}

impl Drop for SpinningPlayer {
    fn drop(&mut self) {
        self.ball.store(END, Release);
        self.other.unpark();
    }
}

/// Two threads that wake each other up and sleep at once: no job, and no spinning.
pub(crate) fn sleeping(place: Place) -> Program {
    let mut player = SleepingPlayer::start(place);
    repeat(move || player.call())
}

/// As [`sleeping`], with the callee asleep for a while before each call.
pub(crate) fn sleeping_with_pauses(place: Place) -> Program {
    let mut player = SleepingPlayer::start(place);
    crate::measure::repeat_with_pauses(move || player.call())
}

/// How often it was asked, and how often it has answered.
#[derive(Default)]
struct Count {
    asked: AtomicU64,
    answered: AtomicU64,
}

struct SleepingPlayer {
    calls: u64,
    count: Arc<Count>,
    other: thread::Thread,
    _thread: Joined,
}

impl SleepingPlayer {
    /// The current thread is the caller.
    fn start(place: Place) -> Self {
        let count = Arc::new(Count::default());
        let here = Arc::clone(&count);
        let caller = thread::current();
        let (tell, told) = std::sync::mpsc::channel();
        let body = move || {
            tell.send(thread::current()).expect("the maker waits for it");
            let mut last = 0;
            loop {
                match here.asked.load(Acquire) {
                    END => break,
                    asked if asked == last => thread::park(),
                    asked => {
                        last = asked;
                        here.answered.store(asked, Release);
                        caller.unpark();
                    }
                }
            }
        };
        let thread = Joined::start(place.callee, body);
        let other = told.recv().expect("the thread has started");
        Self { calls: 0, count, other, _thread: thread }
    }

    fn call(&mut self) -> u64 {
        self.calls += 1;
        self.count.asked.store(self.calls, Release);
        self.other.unpark();
        loop {
            let answered = self.count.answered.load(Acquire);
            if answered == self.calls {
                return answered;
            }
            thread::park();
        }
    }
}

impl Drop for SleepingPlayer {
    fn drop(&mut self) {
        self.count.asked.store(END, Release);
        self.other.unpark();
    }
}
