//! W5: making and ending an apartment.

use crate::measure::{Case, Entrant, Kind, repeat};
use crate::peers::{Client, Peer, for_all};
use crate::place::{Place, Placement};
use std::thread;

pub(crate) fn cases(place: Place) -> Vec<Case> {
    if place.placement == Placement::Cross {
        // A thread starts where its maker is: being moved would be measured, too.
        return Vec::new();
    }
    let mut made = vec![bare_thread()];
    made.extend(for_all!(makes()));
    let mut called = vec![bare_thread()];
    called.extend(for_all!(makes_and_calls()));
    let case = |title: &str, notes, entrants| Case {
        workload: "W5",
        title: title.into(),
        place,
        unit: "ns per apartment",
        notes,
        entrants,
    };
    vec![
        case("making and ending", "Not \"cross\": a thread starts on its maker's core.", made),
        case("making, one call, ending", "Ours makes an object in the apartment, which is a call, too.", called),
    ]
}

fn bare_thread() -> Entrant {
    Entrant::new("limit: a thread's start and join", Kind::Limit, |_| {
        let mut ended = 0;
        repeat(move || {
            ended += thread::spawn(|| 1).join().expect("the thread ends");
            ended
        })
    })
}

fn makes<P: Peer>() -> Entrant {
    Entrant::new(P::NAME, P::KIND, |_| {
        let mut ended = 0;
        repeat(move || {
            P::make_and_end();
            ended += 1;
            ended
        })
    })
}

fn makes_and_calls<P: Peer>() -> Entrant {
    Entrant::new(P::NAME, P::KIND, |_| {
        let mut counted = 0;
        repeat(move || {
            let peer = P::start(None);
            counted += peer.client().call();
            counted
        })
    })
}
