//! W4: a call between two STAs, and callbacks within it.

use super::chain::Pair;
use crate::measure::{Case, Entrant, Kind, Meter, Program, Turn};
use crate::peers::CAPACITY;
use crate::place::{Joined, Place};
use crossbeam_channel::{Receiver, Sender, bounded};

pub(crate) fn cases(place: Place) -> Vec<Case> {
    let mut entrants = vec![ours(1, "apartments, no callback", Kind::Base)];
    entrants.extend(
        [1, 2, 4, 8].map(|callbacks| {
            ours(callbacks + 1, &format!("apartments, callbacks to depth {callbacks}"), Kind::Variant)
        }),
    );
    entrants.extend([0, 1, 8].map(|callbacks| by_hand(callbacks + 1, callbacks)));
    let notes = "A calls B, which calls back while A waits, and so on; the figure is one of these calls. Of the peers \
                 only a loop written by hand can do it: where a caller blocks, or an actor does not look at its mailbox \
                 before its handler has ended, a callback waits for ever.";
    let title = "callbacks A to B to A".into();
    vec![Case { workload: "W4", title, place, unit: "ns per call", notes, entrants }]
}

fn ours(depth: u64, name: &str, kind: Kind) -> Entrant {
    Entrant::new(name, kind, move |place: Place| chains(place, depth))
}

/// Chains of calls between two STAs, so many calls deep.
pub(super) fn chains(place: Place, depth: u64) -> Program {
    let pair = Pair::start(place, |builder| builder);
    let mut expected = 0;
    Box::new(move |count| {
        let times = count.div_ceil(depth);
        let metered = pair.call(depth, times);
        let ops = times * depth;
        expected += ops;
        Turn { metered, ops, counted: pair.counted(), expected }
    })
}

fn by_hand(depth: u64, callbacks: u64) -> Entrant {
    let name = match callbacks {
        0 => "crossbeam by hand, no callback".into(),
        depth => format!("crossbeam by hand, callbacks to depth {depth}"),
    };
    Entrant::new(name, Kind::Peer, move |place: Place| -> Program {
        let partner = Partner::start(place);
        let (mut counted, mut expected) = (0, 0);
        Box::new(move |count| {
            let times = count.div_ceil(depth);
            let ops = times * depth;
            let meter = Meter::start();
            counted += (0..times).map(|_| partner.call(depth)).sum::<u64>();
            let metered = meter.stop();
            expected += ops;
            Turn { metered, ops, counted, expected }
        })
    })
}

/// What one of two threads that call each other gets from the other.
enum Message {
    /// So many calls deep, this one counted.
    Call { depth: u64 },
    /// So many calls have been made, this one counted.
    Reply { calls: u64 },
}

/// One of two threads that call each other. It has a single inbox for calls and replies, so that it can serve a call
/// while it waits for a reply.
struct Partner {
    inbox: Receiver<Message>,
    other: Sender<Message>,
    _thread: Option<Joined>,
}

impl Partner {
    /// The one that the current thread plays; the other one gets a thread, which ends when this one is gone.
    fn start(place: Place) -> Self {
        let (to_here, here) = bounded(CAPACITY);
        let (to_there, there) = bounded(CAPACITY);
        let body = move || {
            let partner = Self { inbox: there, other: to_here, _thread: None };
            while let Ok(message) = partner.inbox.recv() {
                let reply = partner.got(message);
                assert_eq!(reply, None, "it waits for no reply");
            }
        };
        Self { inbox: here, other: to_there, _thread: Some(Joined::start(place.callee, body)) }
    }

    /// Calls the other one: that many calls within each other. How many have been made.
    fn call(&self, depth: u64) -> u64 {
        self.other.send(Message::Call { depth }).expect("the other one lives");
        loop {
            let message = self.inbox.recv().expect("the other one answers");
            if let Some(calls) = self.got(message) {
                return calls;
            }
        }
    }

    fn got(&self, message: Message) -> Option<u64> {
        match message {
            Message::Reply { calls } => Some(calls),
            Message::Call { depth } => {
                let calls = if depth == 1 { 1 } else { 1 + self.call(depth - 1) };
                self.other.send(Message::Reply { calls }).expect("the other one lives");
                None
            }
        }
    }
}
