//! W2: posts from 1, 2 and 4 producers, until all have run.

use crate::crew::Crew;
use crate::measure::{Case, Entrant, Kind, Meter, Program, Turn};
use crate::peers::{
    Actix, Client, Crossbeam, Flume, Kameo, Kanal, Mutex, Ours, Peer, Ractor, Refused, Served, Std, Tokio, Wide,
    for_each,
};
use crate::place::Place;

pub(crate) fn cases(place: Place) -> Vec<Case> {
    [1, 2, 4].into_iter().map(|producers| case(place, producers)).collect()
}

fn case(place: Place, producers: u64) -> Case {
    // Crossbeam's two ways differ in the replies only.
    let mut entrants = for_each!(posts(producers): Ours, Std, Crossbeam, Flume, Kanal, Tokio, Actix, Kameo, Ractor);
    entrants.extend(for_each!(posts(producers): Ours<Wide>, Ours<Refused>, Mutex));
    let title = format!("posts from {producers}");
    let notes = "Room for 1,024 where there are bounds; whoever finds none waits.";
    Case { workload: "W2", title, place, unit: "ns per post", notes, entrants }
}

/// The current thread is one of the producers.
fn posts<P: Peer>(producers: u64) -> Entrant {
    // How a peer replies makes no difference here.
    let name = if P::KIND == Kind::Peer { P::NAME.split(',').next().unwrap_or(P::NAME) } else { P::NAME };
    Entrant::new(name, P::KIND, move |place: Place| -> Program {
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
