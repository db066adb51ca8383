//! The library's events in the model's words.
//!
//! What the library numbers by itself (apartments, threads, calls, chains, objects) gets the model's number when it is first
//! seen, and keeps it: two things of one side are never one of the other.

use crate::model::words as m;
use crate::players::nanos;
use apartment::{
    ApartmentHow, ApartmentId, CallId, CallKind, CallType, CancelReason, ChainId, ErrorSeen, Event, HeldBy, ObjectId,
    Outcome, Reentrancy, Retry, Route, ServerCall, Serves, ThreadId, WaitEnd, WaitFor, What,
};
use std::collections::HashMap;
use std::hash::Hash;

/// Which is which.
#[derive(Default)]
pub(crate) struct Names {
    apartments: Both<ApartmentId, m::Apartment>,
    threads: Both<ThreadId, m::Thread>,
    calls: Both<CallId, m::Call>,
    chains: Both<ChainId, m::Call>,
    objects: Both<(ApartmentId, ObjectId), m::Object>,
}

/// A relation that is one to one.
struct Both<A, B>(HashMap<A, B>, HashMap<B, A>);

impl<A, B> Default for Both<A, B> {
    fn default() -> Self {
        Self(HashMap::new(), HashMap::new())
    }
}

impl<A: Copy + Eq + Hash, B: Copy + Eq + Hash> Both<A, B> {
    /// What it is called; `hint` if neither is known yet.
    fn name(&mut self, it: A, hint: Option<B>) -> Option<B> {
        if let Some(hint) = hint
            && !self.0.contains_key(&it)
            && !self.1.contains_key(&hint)
        {
            self.0.insert(it, hint);
            self.1.insert(hint, it);
        }
        self.0.get(&it).copied()
    }
}

/// A number that nothing of the model's has.
const UNKNOWN: usize = usize::MAX;

impl Names {
    /// Whether it is a wait of the driver's own, which is for nothing but the start of a thread.
    pub(crate) fn is_of_the_driver(&mut self, seen: &Event) -> bool {
        match seen.what {
            What::WaitBegan { on: WaitFor::Thread, .. } => {
                self.threads.name(seen.thread, Some(0));
                true
            }
            What::WaitEnded { .. } => self.threads.0.get(&seen.thread) == Some(&0),
            _ => false,
        }
    }

    /// The event in the model's words; what is new is named as in what the model expects, where that is made.
    pub(crate) fn read(&mut self, seen: &Event, expected: &[m::Event]) -> m::Event {
        let makes = |expected: &&m::Event| {
            matches!(
                (&seen.what, &expected.what),
                (What::ApartmentBegan { .. }, m::What::ApartmentBegan { .. })
                    | (What::ThreadEntered { .. }, m::What::ThreadEntered)
                    | (What::ObjectMade { .. }, m::What::ObjectMade { .. })
                    | (What::CallMade(_), m::What::CallMade(_))
            )
        };
        let expected = expected.iter().find(makes);
        if let Some(m::What::ApartmentBegan { apartment, .. }) = expected.map(|event| &event.what) {
            seen.apartment.and_then(|id| self.apartments.name(id, Some(*apartment)));
        }
        let thread = self.threads.name(seen.thread, expected.map(|event| event.thread)).unwrap_or(UNKNOWN);
        let apartment = seen.apartment.map(|id| self.apartments.name(id, None).unwrap_or(UNKNOWN));
        let call = seen.call.map(|call| {
            let hint = expected.and_then(|event| event.call);
            let id = self.calls.name(call.id, hint.map(|hint| hint.0)).unwrap_or(UNKNOWN);
            let chain = self.chains.name(call.chain, hint.map(|hint| hint.1)).unwrap_or(UNKNOWN);
            (id, chain, call.attempt)
        });
        let what = self.what(seen, expected.map(|event| &event.what));
        m::Event { at: nanos(seen.at), apartment, thread, call, what }
    }

    fn object(&mut self, home: Option<ApartmentId>, object: ObjectId, hint: Option<m::Object>) -> m::Object {
        home.and_then(|home| self.objects.name((home, object), hint)).unwrap_or(UNKNOWN)
    }

    fn what(&mut self, seen: &Event, expected: Option<&m::What>) -> m::What {
        use m::What as W;
        match &seen.what {
            What::ApartmentBegan { name, how, main, capacity, reentrancy, .. } => W::ApartmentBegan {
                apartment: name.parse().unwrap_or(UNKNOWN),
                entered: *how == ApartmentHow::Entered,
                main: *main,
                capacity: *capacity,
                policy: match reentrancy {
                    Some(Reentrancy::SameCausality) => m::Policy::SameCausality,
                    Some(Reentrancy::None) => m::Policy::None,
                    _ => m::Policy::Classic,
                },
            },
            What::ThreadEntered { .. } => W::ThreadEntered,
            What::FilterSet { set: true } => W::FilterSet,
            What::ThreadLeft => W::ThreadLeft,
            What::QuitAsked => W::QuitAsked,
            What::DoorClosed => W::DoorClosed,
            What::ApartmentEnded { abnormal: false, messages_dropped, objects_dropped } => {
                W::ApartmentEnded { objects_dropped: *objects_dropped, messages_dropped: *messages_dropped }
            }
            What::ObjectMade { object, .. } => {
                let hint = if let Some(W::ObjectMade { object }) = expected { Some(*object) } else { None };
                W::ObjectMade { object: self.object(seen.apartment, *object, hint) }
            }
            What::ObjectDropped { object } => W::ObjectDropped { object: self.object(seen.apartment, *object, None) },
            What::CallMade(made) => {
                let from = made.from.map(|id| self.apartments.name(id, None).unwrap_or(UNKNOWN));
                let to = made.to.and_then(|id| self.apartments.name(id, None)).unwrap_or(UNKNOWN);
                let parent = made.parent.map(|id| self.calls.name(id, None).unwrap_or(UNKNOWN));
                let from_chain = made.from_chain.map(|id| self.chains.name(id, None).unwrap_or(UNKNOWN));
                let object = made.target.object.map(|object| self.object(made.to, object, None));
                W::CallMade(Box::new(m::Made {
                    kind: kind(made.kind),
                    direct: made.route == Route::Direct,
                    from,
                    to,
                    parent,
                    from_chain,
                    object,
                    deadline: made.deadline.map(nanos),
                    borrows: made.borrows,
                }))
            }
            What::Queued { queued, capacity } => W::Queued { queued: *queued, capacity: *capacity },
            What::Filtered { call_type: of, elapsed, answer } => {
                W::Filtered { call_type: call_type(*of), elapsed: elapsed.map(nanos), answer: verdict(*answer) }
            }
            What::Held { by: HeldBy::Policy } => W::Held { by: m::Holds::Policy },
            What::Held { by: HeldBy::Filter } => W::Held { by: m::Holds::Filter },
            What::Held { by: HeldBy::InputSynchronized } => W::Held { by: m::Holds::InputSynchronized },
            What::Began { call_type: of, queued } => W::Began { call_type: of.map(call_type), queued: *queued },
            What::Ended { panicked } => W::Ended { panicked: panicked.is_some() },
            What::ResultDropped => W::ResultDropped,
            What::Returned { error } => W::Returned { error: error.as_ref().map(error_seen) },
            What::WaitBegan { on, serves, until } => {
                let serves = match serves {
                    Serves::Everything => m::Serves::Everything,
                    Serves::Chain => m::Serves::Chain,
                    Serves::InputSynchronized => m::Serves::InputSynchronized,
                    Serves::Nothing => m::Serves::Nothing,
                    _ => return W::Other(format!("{:?}", seen.what)),
                };
                match wait_for(*on) {
                    Some(on) => W::WaitBegan { on, serves, until: until.map(nanos) },
                    None => W::Other(format!("{:?}", seen.what)),
                }
            }
            What::WaitTurned { on, until } => match wait_for(*on) {
                Some(on) => W::WaitTurned { on, until: until.map(nanos) },
                None => W::Other(format!("{:?}", seen.what)),
            },
            What::WaitEnded { by } => W::WaitEnded {
                by: match by {
                    WaitEnd::Done => m::End::Done,
                    WaitEnd::Cancelled => m::End::Cancelled,
                    WaitEnd::TimedOut => m::End::TimedOut,
                    WaitEnd::Rejected => m::End::Rejected,
                    WaitEnd::Deadlock => m::End::Deadlock,
                    _ => return W::Other(format!("{by:?}")),
                },
            },
            What::RetryAsked { rejected, elapsed, answer, own_policy } => W::RetryAsked {
                rejected: verdict(*rejected),
                elapsed: nanos(*elapsed),
                answer: match answer {
                    Retry::GiveUp => m::Again::GiveUp,
                    Retry::Now => m::Again::Now,
                    Retry::After(delay) => m::Again::After(nanos(*delay)),
                },
                own_policy: *own_policy,
            },
            What::CancelAsked { why: by } => match why(*by) {
                Some(why) => W::CancelAsked { why },
                None => W::Other(format!("{by:?}")),
            },
            What::Revoked { why: by, queued } => match why(*by) {
                Some(why) => W::Revoked { why, queued: *queued },
                None => W::Other(format!("{by:?}")),
            },
            What::Refused { error } => W::Refused { error: error_seen(error) },
            What::Deadlock(_) => W::Deadlock,
            other => W::Other(format!("{other:?}")),
        }
    }

    pub(crate) fn apartment(&self, id: ApartmentId) -> Option<m::Apartment> {
        self.apartments.0.get(&id).copied()
    }

    pub(crate) fn call(&self, id: CallId) -> Option<m::Call> {
        self.calls.0.get(&id).copied()
    }
}

fn wait_for(on: WaitFor) -> Option<m::On> {
    match on {
        WaitFor::Reply => Some(m::On::Reply),
        WaitFor::Room => Some(m::On::Room),
        WaitFor::RetryTime => Some(m::On::RetryTime),
        _ => None,
    }
}

fn why(reason: CancelReason) -> Option<m::Why> {
    match reason {
        CancelReason::Handle => Some(m::Why::Handle),
        CancelReason::Deadline => Some(m::Why::Deadline),
        CancelReason::Deadlock => Some(m::Why::Deadlock),
        _ => None,
    }
}

fn verdict(answer: ServerCall) -> m::Verdict {
    match answer {
        ServerCall::Handled => m::Verdict::Handled,
        ServerCall::Rejected => m::Verdict::Rejected,
        ServerCall::RetryLater => m::Verdict::RetryLater,
    }
}

fn error_seen(error: &ErrorSeen) -> m::Seen {
    (error.name.to_string(), error.hresult, error.outcome == Outcome::MayHaveRun)
}

pub(crate) fn call_type(of: CallType) -> m::CallType {
    match of {
        CallType::TopLevel => m::CallType::TopLevel,
        CallType::Nested => m::CallType::Nested,
        CallType::Async => m::CallType::Async,
        CallType::TopLevelCallPending => m::CallType::TopLevelCallPending,
        CallType::AsyncCallPending => m::CallType::AsyncCallPending,
    }
}

pub(crate) fn kind(of: CallKind) -> m::Kind {
    match of {
        CallKind::OneWay => m::Kind::OneWay,
        CallKind::Create => m::Kind::Create,
        CallKind::InputSynchronized => m::Kind::InputSynchronized,
        _ => m::Kind::Synchronous,
    }
}
