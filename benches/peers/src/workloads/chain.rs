//! Two STAs that call each other.

use crate::measure::{Meter, Metered};
use crate::place::{Place, pin};
use apartment::{CallError, Process, Proxy, Sta, StaBuilder};
use core_affinity::CoreId;
use std::cell::Cell;
use std::convert::Infallible;

/// An STA whose thread runs on the core, with a counter in it.
pub(crate) fn counter(builder: StaBuilder, core: Option<CoreId>) -> (Proxy<Cell<u64>>, Sta) {
    let hook = move || {
        pin(core);
        Ok::<_, Infallible>(())
    };
    let home = builder.around(hook).spawn().expect("an apartment can be made");
    (home.create(|| Cell::new(0)).expect("an object can be made"), home)
}

pub(crate) fn add(counter: &Cell<u64>) -> u64 {
    counter.set(counter.get() + 1);
    counter.get()
}

/// Two STAs, with a counter in each.
pub(crate) struct Pair {
    pub(crate) here: Proxy<Cell<u64>>,
    pub(crate) there: Proxy<Cell<u64>>,
    _homes: [Sta; 2],
}

impl Pair {
    pub(crate) fn start(place: Place, order: impl Fn(StaBuilder) -> StaBuilder) -> Self {
        let process = Process::new();
        let start = |core| counter(order(process.sta("counter")), core);
        let ((here, our), (there, other)) = (start(place.caller), start(place.callee));
        Self { here, there, _homes: [our, other] }
    }

    /// The first calls the other, which calls back, and so on, so many calls deep; and that so often.
    pub(crate) fn call(&self, depth: u64, times: u64) -> Metered {
        let Self { here, there, .. } = self;
        let calls = |_: &Cell<u64>| {
            let meter = Meter::start();
            (0..times).try_for_each(|_| nested(there, here, depth))?;
            Ok::<_, CallError>(meter.stop())
        };
        here.call(calls).and_then(|called| called).expect("both answer")
    }

    /// How many calls there were: each added one where it arrived.
    pub(crate) fn counted(&self) -> u64 {
        [&self.here, &self.there].map(|counter| counter.call(Cell::get).expect("both answer")).iter().sum()
    }
}

fn nested(callee: &Proxy<Cell<u64>>, caller: &Proxy<Cell<u64>>, depth: u64) -> Result<(), CallError> {
    callee.call(|counter| {
        add(counter);
        match depth {
            1 => Ok(()),
            depth => nested(caller, callee, depth - 1),
        }
    })?
}
