//! The reference model: what a process of apartments may do, as a program of one thread.
//!
//! It has no lock, no atomic and no sleep, and shares no code with the library. A program is a list of commands; each is given
//! to the model, which says what comes of it: the events in their order, and what each thread's own code sees. It knows of
//! each thread what stands on its stack, and lets one after the other go on until each of them is in the user's code or
//! waits for somebody. It can let them go on in other orders, too: what the rules leave open. Rules are named where they are
//! decided; their wording is in `docs/semantics.md`.
//!
//! `turns.rs` says in which steps a thread goes on; `life.rs` how apartments and objects come and go; `mailbox.rs` what comes
//! in, what waits, and in which order things leave; `serve.rs` what a thread does with what it finds; `wait.rs` how a call
//! goes out, waits, is tried again and comes back; `cancel.rs` how it is cancelled; `deadlock.rs` when nobody can go on.

mod cancel;
mod deadlock;
mod life;
mod mailbox;
mod serve;
mod turns;
mod wait;
pub(crate) mod words;

use std::collections::{BTreeMap, VecDeque};
use turns::Look;
pub(crate) use turns::Moved;
use words::*;

/// A process.
#[derive(Clone, Hash)]
pub(crate) struct Model {
    pub(crate) now: Time,
    pub(crate) threads: Vec<Threads>,
    pub(crate) apartments: Vec<Apartments>,
    pub(crate) calls: BTreeMap<Call, CallState>,
    /// Live objects and how many references to each there are, with the apartment each is at home in.
    pub(crate) objects: BTreeMap<Object, ObjectState>,
    objects_made: usize,
    calls_made: Call,
    main: Option<Apartment>,
    /// What has been said and told since the last command.
    told: Vec<Event>,
    said: Vec<(Thread, Said)>,
}

/// A thread: where it is, and what stands on its stack.
#[derive(Clone, Hash)]
pub(crate) struct Threads {
    pub(crate) home: Option<Apartment>,
    pub(crate) stack: Vec<Frame>,
    look: Look,
    waits_made: u64,
    /// The closure that it has begun, and that has not looked yet where it is.
    begins: Option<Call>,
}

impl Threads {
    fn new(home: Option<Apartment>, bottom: Frame) -> Self {
        Self { home, stack: vec![bottom], look: Look::Afresh, waits_made: 1, begins: None }
    }
}

/// What stands on a thread's stack. The innermost is the last.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Frame {
    /// A client's own code.
    Base,
    /// The loop of an STA's own thread.
    Loop { wait: u64 },
    /// A client serves what is there: how many entries more of this round, and how many it has served.
    Pump { wait: u64, left: usize, round: usize, served: usize },
    /// A client leaves its STA, and serves what was accepted (rule LT-2).
    Leave { wait: u64 },
    /// A call's closure, in its own code.
    Serves { call: Call },
    /// The filter is asked about an entry.
    Asked { call: Call, call_type: CallType, elapsed: Option<Time> },
    /// A call waits. `in_line` is what has been told of it last.
    Waits { call: Call, wait: u64, in_line: bool },
    /// The caller is asked whether to try a rejected call again.
    AskedAgain { call: Call, rejected: Verdict, elapsed: Time },
    /// What is already waiting is served before a call is tried again at once (rule MF-6).
    ServesFirst { call: Call, wait: u64, left: usize },
    /// A call waits for the time of its next attempt.
    WaitsToRetry { call: Call, wait: u64, until: Time },
    /// A post waits for room (rule MB-3).
    WaitsForRoom { call: Call, wait: u64, until: Option<Time> },
}

/// How far the end of an apartment has come (rule LT-2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Door {
    Open,
    Closing,
    Ended,
}

#[derive(Clone, Hash)]
pub(crate) struct Apartments {
    pub(crate) options: Options,
    pub(crate) thread: Thread,
    pub(crate) entered: bool,
    pub(crate) door: Door,
    /// Accepted, in order (rule MB-6).
    pub(crate) entries: VecDeque<Entry>,
    /// Waiting for room, in order (rule MB-3).
    pub(crate) line: VecDeque<Call>,
    /// Objects whose last reference went (rule LT-1).
    pub(crate) releases: VecDeque<Object>,
}

/// An entry of a mailbox.
#[derive(Clone, Copy, Debug, Hash)]
pub(crate) struct Entry {
    pub(crate) call: Call,
    /// Whether it holds room.
    pub(crate) room: bool,
    /// The wait that was told to hold it.
    held_told: u64,
}

/// How far a call has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Phase {
    /// Nowhere: before its first attempt, or between two.
    Out,
    InLine,
    Queued,
    Running,
    /// Its caller has left while it runs (rule CA-2).
    Detached,
    /// It has run; whether it panicked.
    Done {
        panicked: bool,
    },
    Rejected(Verdict),
    /// Taken out of the queue or the line.
    Revoked,
    /// Answered without having run.
    Failed(Failure),
}

/// A call, or a post.
#[derive(Clone, Debug, Hash)]
pub(crate) struct CallState {
    pub(crate) kind: Kind,
    pub(crate) thread: Thread,
    pub(crate) from: Option<Apartment>,
    pub(crate) to: Apartment,
    pub(crate) object: Option<Object>,
    pub(crate) direct: bool,
    pub(crate) owned: bool,
    pub(crate) chain: Call,
    pub(crate) depth: u32,
    /// The call that its caller was serving.
    parent: Option<Call>,
    from_chain: Option<Call>,
    /// Whose cancelling cancels this: the call around it that came through a mailbox.
    around: Option<Call>,
    pub(crate) made: Time,
    pub(crate) deadline: Option<Time>,
    room: Room,
    room_until: Option<Time>,
    pub(crate) handle: Handle,
    own_policy: bool,
    /// A one-way method of an interface.
    method: bool,
    attempt: u32,
    pub(crate) phase: Phase,
    pub(crate) why: Option<Why>,
    /// Its caller has it back.
    pub(crate) back: bool,
}

#[derive(Clone, Copy, Debug, Hash)]
pub(crate) struct ObjectState {
    pub(crate) home: Apartment,
    /// The driver's, and those of posts and owned calls that have not ended.
    references: usize,
    /// Whether the driver still has its own.
    pub(crate) driver_has: bool,
    /// Its apartment has ended, and it with that; references may be left.
    pub(crate) gone: bool,
}

/// What comes of a command.
#[derive(Clone, Debug, Default)]
pub(crate) struct Step {
    pub(crate) events: Vec<Event>,
    pub(crate) said: Vec<(Thread, Said)>,
}

impl Model {
    /// A process, the driver, and so many clients in no apartment.
    pub(crate) fn new(clients: usize) -> Self {
        let base = || Threads::new(None, Frame::Base);
        Self {
            now: 0,
            threads: (0..=clients).map(|_| base()).collect(),
            apartments: Vec::new(),
            calls: BTreeMap::new(),
            objects: BTreeMap::new(),
            objects_made: 0,
            calls_made: 0,
            main: None,
            told: Vec::new(),
            said: Vec::new(),
        }
    }

    pub(crate) fn objects_made(&self) -> usize {
        self.objects_made
    }

    /// The number of the next call.
    pub(crate) fn new_call(&mut self) -> Call {
        self.calls_made += 1;
        self.calls_made
    }

    /// Does one thing, and all that comes of it, one thread after the other as far as it goes.
    pub(crate) fn run(&mut self, command: &Command) -> Step {
        self.begins(command);
        self.settle();
        self.takes()
    }

    /// What has been told and said since it was last asked.
    pub(crate) fn takes(&mut self) -> Step {
        Step { events: std::mem::take(&mut self.told), said: std::mem::take(&mut self.said) }
    }

    /// Does one thing. What comes of it is left to the threads.
    pub(crate) fn begins(&mut self, command: &Command) {
        match *command {
            Command::Spawn(options) => self.spawn(options),
            Command::Enter(thread, options) => self.enter(thread, options),
            Command::Call(thread, ref calls) => self.call(thread, calls),
            Command::Post(thread, ref posts) => self.post(thread, posts),
            Command::Return { thread, panics } => self.returns(thread, panics),
            Command::Answer(thread, verdict) => self.answer(thread, verdict),
            Command::AnswerAgain(thread, again) => self.answer_again(thread, again),
            Command::AskCancelled(thread) => {
                let cancelled = self.serving(thread).is_some_and(|call| self.served_why(call).is_some());
                self.says(thread, Said::Cancelled(cancelled));
            }
            Command::Pump(thread) => {
                let (wait, left) = (self.new_wait(thread), self.waiting_entries(thread));
                self.threads[thread].stack.push(Frame::Pump { wait, left, round: 0, served: 0 });
            }
            Command::Leave(thread) => {
                if let Some(apartment) = self.threads[thread].home {
                    self.quit(apartment, thread);
                    let wait = self.new_wait(thread);
                    self.threads[thread].stack.push(Frame::Leave { wait });
                }
            }
            Command::Cancel(call) => drop(self.cancel(call, Why::Handle, 0)),
            Command::Quit(apartment) => self.quit(apartment, 0),
            Command::Drop(object) => {
                self.driver_has(object, false);
                self.unreference(object, 0);
            }
            Command::Advance(to) => self.now = to,
        }
    }

    // ---- telling

    fn tells(&mut self, apartment: Option<Apartment>, thread: Thread, call: Option<Call>, what: What) {
        let call = call.map(|call| {
            let state = &self.calls[&call];
            (call, state.chain, state.attempt)
        });
        self.told.push(Event { at: self.now, apartment, thread, call, what });
    }

    /// A step of the caller's: of its apartment, if it is in one.
    fn tells_at_home(&mut self, call: Call, what: What) {
        let (from, thread) = (self.calls[&call].from, self.calls[&call].thread);
        self.tells(from, thread, Some(call), what);
    }

    /// The same, of a call as it was made, whichever attempt it has come to.
    fn tells_as_made(&mut self, call: Call, what: What) {
        self.tells_at_home(call, what);
        self.names_as_made();
    }

    fn names_as_made(&mut self) {
        if let Some(Event { call: Some((.., attempt)), .. }) = self.told.last_mut() {
            *attempt = 1;
        }
    }

    /// A step of the callee's.
    fn tells_there(&mut self, call: Call, thread: Thread, what: What) {
        self.tells(Some(self.calls[&call].to), thread, Some(call), what);
    }

    fn says(&mut self, thread: Thread, said: Said) {
        self.said.push((thread, said));
    }

    fn call_mut(&mut self, call: Call) -> &mut CallState {
        self.calls.get_mut(&call).expect("a call that is spoken of was made")
    }

    /// The number of a thread's next wait.
    fn new_wait(&mut self, thread: Thread) -> u64 {
        let waits = &mut self.threads[thread].waits_made;
        *waits += 1;
        *waits
    }

    /// The call that a thread serves, innermost.
    pub(crate) fn serving(&self, thread: Thread) -> Option<Call> {
        self.threads[thread].stack.iter().rev().find_map(|frame| match frame {
            Frame::Serves { call } => Some(*call),
            _ => None,
        })
    }

    /// The calls that a thread has out, outermost first: also while it is asked whether to try again (rule MF-3).
    pub(crate) fn out(&self, thread: Thread) -> impl DoubleEndedIterator<Item = Call> + '_ {
        self.threads[thread].stack.iter().filter_map(|frame| match frame {
            Frame::Waits { call, .. }
            | Frame::AskedAgain { call, .. }
            | Frame::ServesFirst { call, .. }
            | Frame::WaitsToRetry { call, .. } => Some(*call),
            _ => None,
        })
    }

    /// When something next ends by itself.
    pub(crate) fn next_time(&self) -> Option<Time> {
        let of_call = |call: Call| {
            let state = &self.calls[&call];
            let deadline = state.deadline.filter(|_| self.is_open(call));
            deadline.into_iter().chain(state.room_until.filter(|_| state.phase == Phase::InLine))
        };
        let of_thread = |thread: usize| {
            let waits = self.threads[thread].stack.iter().filter_map(|frame| match frame {
                Frame::WaitsToRetry { until, .. } => Some(*until),
                Frame::WaitsForRoom { until, .. } => *until,
                _ => None,
            });
            self.out(thread).flat_map(of_call).chain(waits)
        };
        (0..self.threads.len()).flat_map(of_thread).filter(|at| *at > self.now).min()
    }
}
