//! What is measured: a counter on a thread of its own, to which others add by calls and posts, in every way.

mod actix;
mod crossbeam;
mod flume;
mod kameo;
mod kanal;
mod mutex;
mod ours;
mod ractor;
mod std;
mod tokio;

pub(crate) use actix::Actix;
pub(crate) use crossbeam::{Crossbeam, CrossbeamReused};
pub(crate) use flume::Flume;
pub(crate) use kameo::Kameo;
pub(crate) use kanal::Kanal;
pub(crate) use mutex::Mutex;
pub(crate) use ours::{Deadline, Filtered, Ours, Refused, Unspun, Wide};
pub(crate) use ractor::Ractor;
pub(crate) use std::Std;
pub(crate) use tokio::{Tokio, runtime};

use crate::measure::Kind;
use crate::place::Place;
use core_affinity::CoreId;

/// How many entries have room in a queue that has bounds.
pub(crate) const CAPACITY: usize = 1_024;

/// A counter with a thread, which ends when this is dropped; its clients must be gone by then.
pub(crate) trait Peer: Sized + 'static {
    const NAME: &'static str;
    const KIND: Kind = Kind::Peer;
    /// How many of them a process may have files for.
    const MOST: usize = 1_000;
    type Client: Client;

    /// Its thread runs on the core; where its maker is if there is none.
    fn start(core: Option<CoreId>) -> Self;

    fn client(&self) -> Self::Client;

    /// Makes one for nothing.
    fn make_and_end() {
        drop(Self::start(None));
    }
}

/// Whoever adds to a counter.
pub(crate) trait Client: Send + 'static {
    /// Adds one, and says what has been counted.
    fn call(&mut self) -> u64;

    /// Adds one some time; waits for room only.
    fn post(&mut self);

    /// A call that waits for room, too: it comes behind all that this thread knows to have been posted.
    fn settle(&mut self) -> u64 {
        self.call()
    }
}

/// A client that can wait for the answer in a future.
pub(crate) trait AsyncClient: Client {
    fn call_async(&mut self) -> impl Future<Output = u64>;
}

/// A counter, and the client of the thread that started it.
pub(crate) struct Served<P: Peer> {
    // The client is dropped first. Private, so that a closure takes along both.
    client: P::Client,
    peer: P,
}

impl<P: Peer> Served<P> {
    pub(crate) fn start(place: Place) -> Self {
        let peer = P::start(place.callee);
        Self { client: peer.client(), peer }
    }

    /// The thread's own client.
    pub(crate) fn client(&mut self) -> &mut P::Client {
        &mut self.client
    }

    /// One for somebody else.
    pub(crate) fn another_client(&self) -> P::Client {
        self.peer.client()
    }
}

/// What is sent to a counter's thread; a call brings along where to reply.
enum Request<R> {
    Call(R),
    Post,
}

/// What a counter's thread does: counts, and replies, as long as there are requests.
fn serve<R>(requests: impl IntoIterator<Item = Request<R>>, reply: impl Fn(R, u64)) {
    let mut sum = 0;
    for request in requests {
        sum += 1;
        if let Request::Call(caller) = request {
            reply(caller, sum);
        }
    }
}

/// The list of what the function makes for each of the types.
macro_rules! for_each {
    ($make:ident $arguments:tt: $($peer:ty),+ $(,)?) => {
        vec![$($make::<$peer> $arguments),+]
    };
}

/// As [`for_each`], for ours and all the peers that have a thread.
macro_rules! for_all {
    ($make:ident $arguments:tt) => {{
        use $crate::peers::*;
        for_each!($make $arguments: Ours, Std, Crossbeam, CrossbeamReused, Flume, Kanal, Tokio, Actix, Kameo, Ractor)
    }};
}

pub(crate) use {for_all, for_each};
