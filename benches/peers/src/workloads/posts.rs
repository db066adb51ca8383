//! W2: posts from 1, 2 and 4 producers, until all have run.

use crate::crew::Crew;
use crate::measure::{Case, Entrant, Meter, Program, Turn};
use crate::peers::{Client, Mutex, Ours, Peer, Served, Wide, for_all, for_each};
use crate::place::Place;

pub(crate) fn cases(place: Place) -> Vec<Case> {
    [1, 2, 4].into_iter().map(|producers| case(place, producers)).collect()
}

fn case(place: Place, producers: u64) -> Case {
    let mut entrants = for_each!(posts(producers): Ours, Ours<Wide>, Mutex);
    // Crossbeam's two ways differ in the replies only.
    entrants.splice(1..1, for_all!(posts(producers)).into_iter().skip(1).filter(|entrant| !is_reused(entrant)));
    let title = format!("posts from {producers}");
    let notes = "Room for 1,024 where there are bounds; whoever finds none waits.";
    Case { workload: "W2", title, place, unit: "ns per post", notes, entrants }
}

fn is_reused(entrant: &Entrant) -> bool {
    entrant.name == crate::peers::CrossbeamReused::NAME
}

/// The current thread is one of the producers.
fn posts<P: Peer>(producers: u64) -> Entrant {
    Entrant::new(P::NAME, P::KIND, move |place: Place| -> Program {
        let mut served = Served::<P>::start(place);
        let clients: Vec<_> = (1..producers).map(|_| served.another_client()).collect();
        let crew = Crew::new(place.caller, clients.into_iter().map(|mut client| move |posts| post(&mut client, posts)));
        let mut expected = 0;
        Box::new(move |count| {
            let each = (count / producers).max(1);
            let ops = each * producers;
            let meter = Meter::start();
            crew.order(|| each);
            post(served.client(), each);
            crew.reports();
            let counted = served.client().settle();
            let metered = meter.stop();
            expected += ops + 1;
            Turn { metered, ops, counted, expected }
        })
    })
}

fn post(client: &mut impl Client, posts: u64) {
    for _ in 0..posts {
        client.post();
    }
}
