//! The objects that are called, and their interface. Each knows where it belongs, and looks whether it is there.

use crate::census::{Counted, wrong};
use apartment::{CallError, Kind, Proxy, current, implements, interface};
use std::cell::{Cell, RefCell};
use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread::{self, ThreadId};

/// What a panic says that is meant.
pub(crate) const MEANT: &str = "soak: meant";

interface! {
    /// What every object answers to.
    pub(crate) trait Desk {
        /// One more.
        fn add(&self, n: u64) -> Result<u64, CallError>;
        /// Of what is borrowed, the length of the name included.
        fn sum(&self, numbers: &[u64], name: &str) -> Result<u64, CallError>;
        /// The next number of that sender.
        fn note(&self, from: usize, number: u64) -> Result<(), CallError> as one_way;
        /// How many that sender has noted.
        fn noted(&self, from: usize) -> Result<u64, CallError>;
        /// One more, ahead of all.
        fn peek(&self, n: u64) -> Result<u64, CallError> as input_sync;
        /// Goes on to the last of the route, with the others: how many there were.
        fn visit(&self, route: Vec<Proxy<dyn Desk>>) -> Result<u64, CallError>;
        /// Calls the other one, which calls back, that deep.
        fn bounce(&self, own: &Proxy<dyn Desk>, other: &Proxy<dyn Desk>, depth: u64) -> Result<u64, CallError>;
        /// Gives a reference back.
        fn hand(&self, desk: &Proxy<dyn Desk>) -> Result<Proxy<dyn Desk>, CallError>;
        /// Panics.
        fn fail(&self) -> Result<(), CallError>;
    }
}

pub(crate) type At = Proxy<dyn Desk>;

/// How many senders there may be.
pub(crate) const SENDERS: usize = 16;

/// What both types of objects do.
macro_rules! desk {
    ($type:ty) => {
        impl Desk for $type {
            fn add(&self, n: u64) -> Result<u64, CallError> {
                self.is_here();
                Ok(n + 1)
            }

            fn sum(&self, numbers: &[u64], name: &str) -> Result<u64, CallError> {
                self.is_here();
                Ok(numbers.iter().fold(name.len() as u64, |sum, number| sum.wrapping_add(*number)))
            }

            fn note(&self, from: usize, number: u64) -> Result<(), CallError> {
                self.is_here();
                self.next(from, number);
                Ok(())
            }

            fn noted(&self, from: usize) -> Result<u64, CallError> {
                self.is_here();
                Ok(self.last(from))
            }

            fn peek(&self, n: u64) -> Result<u64, CallError> {
                self.is_here();
                Ok(n + 1)
            }

            fn visit(&self, mut route: Vec<At>) -> Result<u64, CallError> {
                self.is_here();
                let Some(next) = route.pop() else { return Ok(0) };
                let visited = next.visit(route)?;
                self.is_here();
                Ok(visited + 1)
            }

            fn bounce(&self, own: &At, other: &At, depth: u64) -> Result<u64, CallError> {
                self.is_here();
                if depth == 0 { Ok(0) } else { Ok(other.bounce(other, own, depth - 1)? + 1) }
            }

            fn hand(&self, desk: &At) -> Result<At, CallError> {
                self.is_here();
                Ok(desk.clone())
            }

            fn fail(&self) -> Result<(), CallError> {
                self.is_here();
                panic!("{MEANT}")
            }
        }
        implements!($type: dyn Desk);

        impl Drop for $type {
            fn drop(&mut self) {
                self.is_here();
            }
        }
    };
}

/// Lives in an STA, and is not `Send`.
pub(crate) struct Thing {
    home: ThreadId,
    noted: RefCell<[u64; SENDERS]>,
    calls: Cell<u64>,
    _counted: Counted,
    _stays: PhantomData<Rc<()>>,
}

impl Thing {
    pub(crate) fn new() -> Self {
        let (home, noted, calls) = (thread::current().id(), RefCell::default(), Cell::new(0));
        Self { home, noted, calls, _counted: Counted::new(), _stays: PhantomData }
    }

    pub(crate) fn is_here(&self) {
        if thread::current().id() != self.home {
            wrong(format!("an object of {:?} is used on {:?}", self.home, thread::current().id()));
        }
        self.calls.set(self.calls.get() + 1);
    }

    /// The sender's next number.
    fn next(&self, from: usize, number: u64) {
        let last = &mut self.noted.borrow_mut()[from];
        if number != *last + 1 {
            wrong(format!(
                "sender {from} sent number {number}, and its last one was {last}: out of order, or not once"
            ));
        }
        *last = number;
    }

    fn last(&self, from: usize) -> u64 {
        self.noted.borrow()[from]
    }
}
desk!(Thing);

/// Lives in the MTA, or nowhere.
pub(crate) struct Shared {
    in_mta: bool,
    /// Of many threads no order can be asked: these are counts.
    noted: Mutex<[u64; SENDERS]>,
    calls: AtomicU64,
    _counted: Counted,
}

impl Shared {
    fn new(in_mta: bool) -> Self {
        Self { in_mta, noted: Mutex::default(), calls: AtomicU64::new(0), _counted: Counted::new() }
    }

    pub(crate) fn in_mta() -> Self {
        Self::new(true)
    }

    pub(crate) fn free() -> Self {
        Self::new(false)
    }

    pub(crate) fn is_here(&self) {
        if self.in_mta && current().kind != Some(Kind::Mta) {
            wrong(format!("an object of the MTA is used in {:?}", current()));
        }
        self.calls.fetch_add(1, Relaxed);
    }

    fn next(&self, from: usize, _: u64) {
        self.noted.lock().expect("nobody panics under this lock")[from] += 1;
    }

    fn last(&self, from: usize) -> u64 {
        self.noted.lock().expect("nobody panics under this lock")[from]
    }
}
desk!(Shared);
