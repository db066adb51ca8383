//! W1: a synchronous call that adds to a counter.

use crate::limits::{sleeping, sleeping_with_pauses, spinning};
use crate::measure::{Case, Entrant, Kind, repeat, repeat_with_pauses};
use crate::peers::{Client, Deadline, Filtered, Mutex, Ours, Peer, Served, Unspun, for_all, for_each};
use crate::place::{Place, Placement};

pub(crate) fn cases(place: Place) -> Vec<Case> {
    let mut awake = vec![Entrant::new("limit: park and unpark", Kind::Limit, sleeping)];
    if place.placement == Placement::Cross {
        awake.push(Entrant::new("limit: an atomic, spinning", Kind::Limit, spinning));
    }
    awake.extend(for_all!(calls()));
    awake.extend(for_each!(calls(): Ours<Filtered>, Ours<Deadline>, Ours<Unspun>, Mutex));

    let mut asleep = vec![Entrant::new("limit: park and unpark", Kind::Limit, sleeping_with_pauses)];
    asleep.extend(for_all!(calls_to_a_sleeper()));
    asleep.extend(for_each!(calls_to_a_sleeper(): Ours<Unspun>));

    let case = |title: &str, notes, entrants| Case {
        workload: "W1",
        title: title.into(),
        place,
        unit: "ns per call",
        notes,
        entrants,
    };
    vec![
        case("round trip", "The limits carry nothing: there is nothing to run, to refuse or to report.", awake),
        case("round trip to a callee asleep for 1.5 ms", "", asleep),
    ]
}

fn calls<P: Peer>() -> Entrant {
    Entrant::new(P::NAME, P::KIND, |place: Place| {
        let mut served = Served::<P>::start(place);
        repeat(move || served.client().call())
    })
}

fn calls_to_a_sleeper<P: Peer>() -> Entrant {
    Entrant::new(P::NAME, P::KIND, |place: Place| {
        let mut served = Served::<P>::start(place);
        repeat_with_pauses(move || served.client().call())
    })
}
