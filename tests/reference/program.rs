//! Programs: what is generated, and how it is made fit for the state that it meets.
//!
//! An operation names nothing that there must be: it says *the third of those that could*. So every list of operations is a
//! program, and so is every list that is left when some are taken away, which is what shrinking needs.

use crate::model::words::*;
use crate::model::{Door, Frame, Model};
use proptest::collection::vec;
use proptest::prelude::*;

/// One of those that could, counted from the innermost or the youngest.
type Pick = u8;

#[derive(Clone, Debug)]
pub(crate) enum Op {
    Spawn(Options),
    Create { by: Pick, to: Pick },
    Call { by: Pick, object: Pick, how: How, within: Option<u8>, room: Room, handle: Handle, own_policy: bool },
    Post { by: Pick, object: Pick, room: Room, method: bool },
    Return { by: Pick, panics: bool },
    Answer { by: Pick, verdict: Verdict, again: Again },
    AskCancelled { by: Pick },
    Pump { by: Pick },
    Leave { by: Pick },
    Cancel { call: Pick },
    Quit { apartment: Pick },
    Drop { object: Pick },
    Advance,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    Borrowing,
    Owning,
    InputSynchronized,
}

/// What is played: the apartments that there are at first, each with an object; the first of them may be a client's own
/// thread; then the operations.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    pub(crate) entered: Option<Options>,
    pub(crate) spawned: Vec<Options>,
    pub(crate) ops: Vec<Op>,
}

/// How many threads there are that belong to no apartment's loop.
pub(crate) const CLIENTS: usize = 2;

const MS: Time = 1_000_000;

pub(crate) fn programs() -> impl Strategy<Value = Program> {
    let entered = prop_oneof![1 => Just(None), 1 => options().prop_map(Some)];
    (entered, vec(options(), 1..=3), vec(ops(), 1..=40)).prop_map(|(entered, spawned, ops)| Program {
        entered,
        spawned,
        ops,
    })
}

fn options() -> impl Strategy<Value = Options> {
    let policy = prop_oneof![
        3 => Just(Policy::Classic),
        2 => Just(Policy::SameCausality),
        1 => Just(Policy::None),
    ];
    let nested_waits = prop_oneof![4 => Just(64_usize), 1 => 1..=2_usize];
    let capacity = prop_oneof![3 => 1..=2_usize, 1 => Just(8_usize)];
    (capacity, policy, nested_waits, prop::bool::weighted(0.6))
        .prop_map(|(capacity, policy, nested_waits, filter)| Options { capacity, policy, nested_waits, filter })
}

fn room() -> impl Strategy<Value = Room> {
    prop_oneof![3 => Just(Room::Refuse), 2 => Just(Room::Wait), 1 => (1..20_u64).prop_map(|ms| Room::Within(ms * MS))]
}

fn ops() -> impl Strategy<Value = Op> {
    let pick = any::<Pick>;
    let handle = prop_oneof![4 => Just(Handle::Without), 6 => Just(Handle::Fresh), 1 => Just(Handle::Cancelled)];
    let verdict =
        prop_oneof![5 => Just(Verdict::Handled), 3 => Just(Verdict::Rejected), 3 => Just(Verdict::RetryLater)];
    let again = prop_oneof![
        2 => Just(Again::GiveUp),
        3 => Just(Again::Now),
        3 => (100..200_u64).prop_map(|ms| Again::After(ms * MS)),
    ];
    let terms = (prop::option::weighted(0.3, 1..60_u8), room(), handle, prop::bool::weighted(0.3));
    let how = prop_oneof![14 => Just(How::Borrowing), 4 => Just(How::Owning), 3 => Just(How::InputSynchronized)];
    let call = (pick(), pick(), how, terms);
    prop_oneof![
        30 => call.prop_map(|(by, object, how, (within, room, handle, own_policy))| {
            Op::Call { by, object, how, within, room, handle, own_policy }
        }),
        12 => (pick(), pick(), room(), prop::bool::weighted(0.3)).prop_map(|(by, object, room, method)| {
            Op::Post { by, object, room, method }
        }),
        18 => (pick(), prop::bool::weighted(0.1)).prop_map(|(by, panics)| Op::Return { by, panics }),
        16 => (pick(), verdict, again).prop_map(|(by, verdict, again)| Op::Answer { by, verdict, again }),
        4 => (pick(), pick()).prop_map(|(by, to)| Op::Create { by, to }),
        3 => pick().prop_map(|by| Op::AskCancelled { by }),
        4 => pick().prop_map(|by| Op::Pump { by }),
        1 => pick().prop_map(|by| Op::Leave { by }),
        5 => pick().prop_map(|call| Op::Cancel { call }),
        2 => pick().prop_map(|apartment| Op::Quit { apartment }),
        3 => pick().prop_map(|object| Op::Drop { object }),
        6 => Just(Op::Advance),
        1 => options().prop_map(Op::Spawn),
    ]
}

/// The pick among those that there are; none if there are none.
fn picked<T: Copy>(all: &[T], pick: Pick) -> Option<T> {
    all.get(usize::from(pick) % all.len().max(1)).copied()
}

impl Op {
    /// What it means now, if it can mean anything.
    pub(crate) fn command(&self, model: &mut Model) -> Option<Command> {
        Some(match *self {
            Self::Spawn(options) => (model.apartments.len() < 5).then_some(Command::Spawn(options))?,
            Self::Create { by, to } => {
                let thread = picked(&callers(model, by), by)?;
                let to = picked(&(0..model.apartments.len()).collect::<Vec<_>>(), to)?;
                // Who enters makes its object itself; made at home, one would be made by a direct call like any other.
                let away = model.threads[thread].home != Some(to) && !model.apartments[to].entered;
                away.then(|| Command::Call(thread, making(model.new_call(), to)))?
            }
            Self::Call { by, object, how, within, room, handle, own_policy } => {
                let thread = picked(&callers(model, by), by)?;
                let object = picked(&callable(model), object)?;
                let (to, call) = (model.objects[&object].home, model.new_call());
                let within = within.map(|ms| Time::from(ms) * MS);
                let direct = model.threads[thread].home == Some(to);
                let plain = Calls { object: Some(object), ..making(call, to) };
                let (owned, input_sync) = (how == How::Owning, how == How::InputSynchronized);
                let calls = Calls { owned, within, room, handle, own_policy, input_sync, ..plain };
                Command::Call(thread, if direct { Calls { owned, within, input_sync, ..plain } } else { calls })
            }
            Self::Post { by, object, room, method } => {
                let thread = picked(&callers(model, by), by)?;
                let object = picked(&callable(model), object)?;
                let (to, call) = (model.objects[&object].home, model.new_call());
                Command::Post(thread, Posts { call, to, object, room, method })
            }
            Self::Return { by, panics } => {
                let thread = picked(&serving(model), by)?;
                Command::Return { thread, panics }
            }
            Self::Answer { by, verdict, again } => {
                let thread = picked(&asked(model), by)?;
                match model.threads[thread].stack.last()? {
                    Frame::Asked { .. } => Command::Answer(thread, verdict),
                    _ => Command::AnswerAgain(thread, again),
                }
            }
            Self::AskCancelled { by } => Command::AskCancelled(picked(&serving(model), by)?),
            Self::Pump { by } => Command::Pump(picked(&entered(model), by)?),
            Self::Leave { by } => Command::Leave(picked(&entered(model), by)?),
            Self::Cancel { call } => {
                let out = |thread: usize| model.out(thread).filter(|call| model.calls[call].handle == Handle::Fresh);
                let out: Vec<Call> = (0..model.threads.len()).flat_map(out).collect();
                Command::Cancel(picked(&out, call)?)
            }
            Self::Quit { apartment } => {
                let there: Vec<Apartment> =
                    (0..model.apartments.len()).filter(|apartment| model.is_there(*apartment)).collect();
                Command::Quit(picked(&there, apartment)?)
            }
            Self::Drop { object } => Command::Drop(picked(&droppable(model), object)?),
            Self::Advance => Command::Advance(model.next_time()?),
        })
    }
}

/// What brings a program to its end when its operations are done; none when nothing is left to do.
pub(crate) fn winds_down(model: &Model) -> Option<Command> {
    if let Some(thread) = asked(model).first() {
        return Some(match model.threads[*thread].stack.last() {
            Some(Frame::Asked { .. }) => Command::Answer(*thread, Verdict::Handled),
            _ => Command::AnswerAgain(*thread, Again::GiveUp),
        });
    }
    if let Some(thread) = serving(model).first() {
        return Some(Command::Return { thread: *thread, panics: false });
    }
    if let Some(thread) = entered(model).first() {
        return Some(Command::Leave(*thread));
    }
    if let Some(time) = model.next_time() {
        return Some(Command::Advance(time));
    }
    let open = |apartment: &Apartment| model.apartments[*apartment].door == Door::Open;
    (0..model.apartments.len()).find(open).map(Command::Quit)
}

pub(crate) fn making(call: Call, to: Apartment) -> Calls {
    let (room, handle) = (Room::Refuse, Handle::Without);
    Calls { call, to, object: None, owned: false, within: None, room, handle, own_policy: false, input_sync: false }
}

fn tops(model: &Model, is: impl Fn(&Frame) -> bool) -> Vec<Thread> {
    let mut tops: Vec<Thread> =
        (1..model.threads.len()).filter(|thread| model.threads[*thread].stack.last().is_some_and(&is)).collect();
    // Who is in the middle of most comes first: that is where it is interesting.
    tops.sort_by_key(|thread| std::cmp::Reverse(model.threads[*thread].stack.len()));
    tops
}

fn serving(model: &Model) -> Vec<Thread> {
    tops(model, |frame| matches!(frame, Frame::Serves { .. }))
}

fn asked(model: &Model) -> Vec<Thread> {
    tops(model, |frame| matches!(frame, Frame::Asked { .. } | Frame::AskedAgain { .. }))
}

/// Threads that are in their own code; now and then those in a filter's method, from which little can be called.
fn callers(model: &Model, by: Pick) -> Vec<Thread> {
    if by % 8 == 7 { asked(model) } else { tops(model, |frame| matches!(frame, Frame::Base | Frame::Serves { .. })) }
}

fn entered(model: &Model) -> Vec<Thread> {
    let mut based = tops(model, |frame| *frame == Frame::Base);
    based.retain(|thread| model.threads[*thread].home.is_some());
    based
}

fn callable(model: &Model) -> Vec<Object> {
    model.objects.iter().filter(|(_, state)| state.driver_has).map(|(object, _)| *object).collect()
}

/// Objects that no caller refers to who waits: its reference is a copy of the driver's.
fn droppable(model: &Model) -> Vec<Object> {
    let borrowed = |object: &Object| model.calls.values().any(|call| call.object == Some(*object) && !call.back);
    callable(model).into_iter().filter(|object| !borrowed(object)).collect()
}
