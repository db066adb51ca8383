//! An STA that keeps the counter.

use super::{AsyncClient, CAPACITY, Client, Peer};
use crate::measure::Kind;
use crate::place::pin;
use apartment::{
    CallError, CallOptions, IncomingCall, MessageFilter, PostOptions, Process, Proxy, ServerCall, Spin, Sta, StaBuilder,
};
use core_affinity::CoreId;
use std::cell::Cell;
use std::convert::Infallible;
use std::hint::black_box;
use std::marker::PhantomData;
use std::time::Duration;

fn count(counter: &Cell<u64>) -> u64 {
    counter.set(counter.get() + 1);
    counter.get()
}

/// A way to have and to use it: an option of ours is one, and gets a row of its own.
pub(crate) trait Way: Send + 'static {
    const NAME: &'static str;
    const KIND: Kind = Kind::Variant;

    /// The apartment, to order.
    fn order(builder: StaBuilder) -> StaBuilder {
        builder
    }

    fn call(counter: &Proxy<Cell<u64>>) -> Result<u64, CallError> {
        counter.call(count)
    }

    fn post(counter: &Proxy<Cell<u64>>, options: &PostOptions) {
        let add = |counter: &Cell<u64>| {
            count(counter);
        };
        counter.with(options).post(add).expect("a post waits for room");
    }
}

/// As it comes: no filter, no subscriber, with the detection of deadlocks.
pub(crate) struct Plain;

impl Way for Plain {
    const NAME: &'static str = "apartment";
    const KIND: Kind = Kind::Base;
}

/// With a filter that lets everything in.
pub(crate) struct Filtered;

struct LetsIn;

impl MessageFilter for LetsIn {
    fn handle_incoming(&self, call: &IncomingCall) -> ServerCall {
        black_box(call);
        ServerCall::Handled
    }
}

impl Way for Filtered {
    const NAME: &'static str = "apartment, with a filter";

    fn order(builder: StaBuilder) -> StaBuilder {
        builder.filter(|| LetsIn)
    }
}

/// Its calls have a deadline.
pub(crate) struct Deadline;

impl Way for Deadline {
    const NAME: &'static str = "apartment, with a deadline";

    fn call(counter: &Proxy<Cell<u64>>) -> Result<u64, CallError> {
        counter.within(Duration::from_secs(60)).call(count)
    }
}

/// Nobody in its process spins before it sleeps.
pub(crate) struct Unspun;

impl Way for Unspun {
    const NAME: &'static str = "apartment, never spinning";

    fn order(builder: StaBuilder) -> StaBuilder {
        builder.process(&Process::builder().spin(Spin::Never).build())
    }
}

/// Its posts ask to wait for room only where there is none.
pub(crate) struct Refused;

impl Way for Refused {
    const NAME: &'static str = "apartment, waiting once refused";

    fn post(counter: &Proxy<Cell<u64>>, options: &PostOptions) {
        let add = |counter: &Cell<u64>| {
            count(counter);
        };
        if let Err(refused) = counter.post(add) {
            counter.with(options).post(refused.into_closure()).expect("a post waits for room");
        }
    }
}

/// Its posts carry 64 bytes.
pub(crate) struct Wide;

impl Way for Wide {
    const NAME: &'static str = "apartment, 64 bytes a post";

    fn post(counter: &Proxy<Cell<u64>>, options: &PostOptions) {
        let payload = black_box([1_u64, 0, 0, 0, 0, 0, 0, 0]);
        let add = move |counter: &Cell<u64>| counter.set(counter.get() + payload.iter().sum::<u64>());
        counter.with(options).post(add).expect("a post waits for room");
    }
}

/// The counter's apartment.
pub(crate) struct Ours<W = Plain> {
    counter: Proxy<Cell<u64>>,
    home: Sta,
    way: PhantomData<W>,
}

impl<W: Way> Ours<W> {
    /// The apartment's thread runs on the core.
    fn home(core: Option<CoreId>) -> Sta {
        let builder = W::order(Sta::builder("counter").capacity(CAPACITY));
        // A hook makes the start wait for the thread: only where it is needed.
        let builder = match core {
            Some(_) => builder.around(move || {
                pin(core);
                Ok::<_, Infallible>(())
            }),
            None => builder,
        };
        builder.spawn().expect("an apartment can be made")
    }
}

impl<W: Way> Peer for Ours<W> {
    const NAME: &'static str = W::NAME;
    const KIND: Kind = W::KIND;
    type Client = OurClient<W>;

    fn start(core: Option<CoreId>) -> Self {
        let home = Self::home(core);
        let counter = home.create(|| Cell::new(0)).expect("an object can be made");
        Self { counter, home, way: PhantomData }
    }

    fn client(&self) -> Self::Client {
        assert_eq!(self.home.apartment().capacity(), CAPACITY);
        OurClient { counter: self.counter.clone(), room: PostOptions::new().wait_for_room(), way: PhantomData }
    }

    fn make_and_end() {
        drop(Self::home(None));
    }
}

pub(crate) struct OurClient<W> {
    counter: Proxy<Cell<u64>>,
    room: PostOptions,
    way: PhantomData<W>,
}

impl<W: Way> Client for OurClient<W> {
    fn call(&mut self) -> u64 {
        W::call(&self.counter).expect("the counter's apartment answers")
    }

    fn post(&mut self) {
        W::post(&self.counter, &self.room);
    }

    fn settle(&mut self) -> u64 {
        let patient = CallOptions::new().wait_for_room();
        self.counter.with(&patient).call(count).expect("the counter's apartment answers")
    }
}

impl<W: Way> AsyncClient for OurClient<W> {
    async fn call_async(&mut self) -> u64 {
        self.counter.call_async(count).await.expect("the counter's apartment answers")
    }
}
