//! W6: a call from async code, on a one-threaded runtime of `tokio`.

use crate::measure::{Case, Entrant, Meter, Program, Turn};
use crate::peers::{Actix, AsyncClient, Flume, Kameo, Kanal, Ours, Peer, Ractor, Served, Tokio, for_each, runtime};
use crate::place::Place;

pub(crate) fn cases(place: Place) -> Vec<Case> {
    let entrants = for_each!(calls(): Ours, Flume, Kanal, Tokio, Actix, Kameo, Ractor);
    let notes = "The caller is a future on the one-threaded runtime of tokio; one call after the other.";
    vec![Case { workload: "W6", title: "a call from async code".into(), place, unit: "ns per call", notes, entrants }]
}

fn calls<P: Peer<Client: AsyncClient>>() -> Entrant {
    Entrant::new(P::NAME, P::KIND, |place: Place| -> Program {
        let mut served = Served::<P>::start(place);
        let runtime = runtime();
        let mut expected = 0;
        Box::new(move |ops| {
            let meter = Meter::start();
            let counted = runtime.block_on(async {
                let mut counted = 0;
                for _ in 0..ops {
                    counted = served.client().call_async().await;
                }
                counted
            });
            let metered = meter.stop();
            expected += ops;
            Turn { metered, ops, counted, expected }
        })
    })
}
