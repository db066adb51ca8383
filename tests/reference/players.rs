//! The real side: threads that do what they are told, one command at a time, on the library's public API.
//!
//! Every place at which the library runs the user's code (a method, a filter, a retry policy) and every client's thread is
//! a *player*: it says where it is, and waits for its next command. Between two commands only the library runs.

use crate::model::words::*;
use crate::wire::Wire;
use apartment::{
    __private, CallError, CallKind, CallOptions, CancelHandle, Clock, Entered, IncomingCall, MessageFilter, Method,
    Outcome, PostOptions, Process, Proxy, Reentrancy, RejectedCall, Retry, ServerCall, Spin, Sta, StaBuilder,
    WhyDisconnected, current_call, is_cancelled,
};
use std::panic::panic_any;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// What one player is told.
pub(crate) enum Do {
    Enter(String, Options),
    Call(Calls, Target, Option<CancelHandle>),
    Post(Posts, Arc<Proxy<Thing>>),
    Return { panics: bool },
    Answer(Verdict),
    AnswerAgain(Again),
    AskCancelled,
    Pump,
    Leave,
}

/// Whom a call is for: its object, or an apartment in which to make one.
pub(crate) enum Target {
    Object(Arc<Proxy<Thing>>),
    New(Arc<Sta>),
}

/// What a player says, and the reference to an object that it has made.
pub(crate) type Report = (Thread, Said, Option<Arc<Proxy<Thing>>>);

/// An object. It says where it is dropped.
pub(crate) struct Thing {
    home: std::thread::ThreadId,
    stage: Arc<Stage>,
}

impl Drop for Thing {
    fn drop(&mut self) {
        let at_home = std::thread::current().id() == self.home;
        self.stage.dropped.lock().unwrap().push(at_home);
    }
}

/// What all players of one program share.
pub(crate) struct Stage {
    pub(crate) process: Process,
    pub(crate) says: Wire<Report>,
    /// What each player is told; which of them a thread is, it knows by its place.
    pub(crate) tells: Mutex<Vec<Arc<Wire<Do>>>>,
    /// For each object that was dropped, whether that was at home.
    pub(crate) dropped: Mutex<Vec<bool>>,
}

/// Methods of an interface, as its macro makes them.
static INPUT_SYNC: Method = Method::new("Thing", "input_sync", 0, CallKind::InputSynchronized);
static ONE_WAY: Method = Method::new("Thing", "one_way", 1, CallKind::OneWay);

thread_local! {
    /// Which player this thread is.
    static PLAYER: std::cell::Cell<Thread> = const { std::cell::Cell::new(0) };
    static ENTERED: std::cell::RefCell<Option<Entered>> = const { std::cell::RefCell::new(None) };
}

impl Stage {
    pub(crate) fn new(clock: &Clock) -> Arc<Self> {
        // Nobody is to look, or to yield, before it sleeps: on a busy machine that is what would take the time.
        let process = Process::builder().clock(clock.clone()).spin(Spin::Never).build();
        let (tells, dropped) = (Mutex::new(Vec::new()), Mutex::new(Vec::new()));
        Arc::new(Self { process, says: Wire::new(), tells, dropped })
    }

    /// A place for one more player.
    pub(crate) fn place(&self) -> Thread {
        let mut tells = self.tells.lock().unwrap();
        tells.push(Arc::new(Wire::new()));
        tells.len() - 1
    }

    /// The command of a player's.
    pub(crate) fn wire(&self, thread: Thread) -> Arc<Wire<Do>> {
        Arc::clone(&self.tells.lock().unwrap()[thread])
    }

    /// Nobody is told anything any more.
    pub(crate) fn closes(&self) {
        self.tells.lock().unwrap().iter().for_each(|wire| wire.close());
    }

    fn say(&self, said: Said, made: Option<Arc<Proxy<Thing>>>) {
        self.says.put((PLAYER.get(), said, made));
    }

    /// A client's thread.
    pub(crate) fn client(self: &Arc<Self>, thread: Thread) -> JoinHandle<()> {
        let stage = Arc::clone(self);
        std::thread::spawn(move || {
            PLAYER.set(thread);
            stage.play();
            drop(ENTERED.take());
        })
    }

    /// An STA of its own thread.
    pub(crate) fn spawn(self: &Arc<Self>, thread: Thread, name: String, options: Options) -> Result<Sta, CallError> {
        let around = move || {
            PLAYER.set(thread);
            Ok::<(), CallError>(())
        };
        self.sta(name, options).around(around).spawn()
    }

    fn sta(self: &Arc<Self>, name: String, options: Options) -> StaBuilder {
        let Options { capacity, policy, nested_waits, filter } = options;
        let policy = match policy {
            Policy::Classic => Reentrancy::Classic,
            Policy::SameCausality => Reentrancy::SameCausality,
            Policy::None => Reentrancy::None,
        };
        let sta = self.process.sta(name).capacity(capacity).reentrancy(policy).nested_waits(nested_waits);
        let stage = Arc::clone(self);
        if filter { sta.filter(move || Asks(stage)) } else { sta }
    }

    fn next(&self) -> Option<Do> {
        self.wire(PLAYER.get()).take(None)
    }

    /// Does what it is told until what it stands in is told to end; gives how.
    fn play(self: &Arc<Self>) -> Option<Do> {
        loop {
            match self.next()? {
                Do::Enter(name, options) => {
                    let entered = self.sta(name, options).enter().expect("a client enters once");
                    let object = entered.create(self.make()).expect("it has just entered");
                    ENTERED.set(Some(entered));
                    // It is no command's result, but where a client's object comes from.
                    self.say(Said::Left, Some(Arc::new(object)));
                }
                Do::Call(calls, target, handle) => self.call(&calls, target, handle.as_ref()),
                Do::Post(posts, proxy) => self.post(posts, proxy),
                Do::AskCancelled => self.say(Said::Cancelled(is_cancelled()), None),
                Do::Pump => {
                    // With no borrow: what is served may look.
                    let entered = ENTERED.take().expect("who pumps has entered");
                    let served = entered.pump();
                    ENTERED.set(Some(entered));
                    self.say(Said::Pumped(served), None);
                }
                Do::Leave => {
                    drop(ENTERED.take());
                    self.say(Said::Left, None);
                }
                ends => return Some(ends),
            }
        }
    }

    fn make(self: &Arc<Self>) -> impl FnOnce() -> Thing + Send + 'static {
        let stage = Arc::clone(self);
        move || Thing { home: std::thread::current().id(), stage }
    }

    fn call(self: &Arc<Self>, calls: &Calls, target: Target, handle: Option<&CancelHandle>) {
        let Calls { call, owned, within, room, own_policy, input_sync, .. } = *calls;
        let mut options = CallOptions::new();
        if let Some(within) = within {
            options = options.within(Duration::from_nanos(within));
        }
        options = match room {
            Room::Refuse => options,
            Room::Wait => options.wait_for_room(),
            Room::Within(time) => options.wait_for_room_within(Duration::from_nanos(time)),
        };
        if let Some(handle) = handle {
            options = options.cancel(handle);
        }
        if own_policy {
            options = options.retry(|rejected: &RejectedCall| self.asked_again(rejected));
        }
        let mut made = None;
        let result = match &target {
            Target::Object(proxy) if owned => {
                let stage = Arc::clone(self);
                proxy.with(&options).call_owned(move |_| stage.serve(call))
            }
            Target::Object(proxy) if input_sync => {
                __private::call(&proxy.with(&options), &INPUT_SYNC, |_| self.serve(call))
            }
            Target::Object(proxy) => proxy.with(&options).call(|_| self.serve(call)),
            Target::New(sta) => {
                let make = self.make();
                let created = sta.create(move || {
                    let thing = make();
                    // If it is told to panic, that one is dropped here, at home.
                    thing.stage.clone().serve(call);
                    thing
                });
                created.map(|proxy| {
                    made = Some(Arc::new(proxy));
                    0
                })
            }
        };
        drop(target);
        self.say(Said::Back { call, result: result.map_err(|error| failure(&error)) }, made);
    }

    fn post(self: &Arc<Self>, Posts { call, room, method, .. }: Posts, proxy: Arc<Proxy<Thing>>) {
        let options = match room {
            Room::Refuse => PostOptions::new(),
            Room::Wait => PostOptions::new().wait_for_room(),
            Room::Within(time) => PostOptions::new().wait_for_room_within(Duration::from_nanos(time)),
        };
        let stage = Arc::clone(self);
        let closure = move |_: &Thing| {
            stage.serve(call);
        };
        let result = if method {
            let options = match room {
                Room::Refuse => CallOptions::new(),
                Room::Wait => CallOptions::new().wait_for_room(),
                Room::Within(time) => CallOptions::new().wait_for_room_within(Duration::from_nanos(time)),
            };
            __private::post(&proxy.with(&options), &ONE_WAY, closure).map_err(|error| failure(&error))
        } else {
            let sent = if room == Room::Refuse { proxy.post(closure) } else { proxy.with(&options).post(closure) };
            sent.map_err(|refused| failure(refused.error()))
        };
        drop(proxy);
        let result = result.map(|()| 0);
        self.say(Said::Back { call, result }, None);
    }

    /// A closure of a call: says where it is, and goes on as it is told.
    fn serve(self: &Arc<Self>, call: Call) -> Call {
        let context = current_call().expect("a call is being served");
        let remaining = context.remaining().map(nanos);
        let (depth, cancelled) = (context.depth(), is_cancelled());
        self.say(Said::Serving { call, depth, remaining, cancelled }, None);
        if let Some(Do::Return { panics: true }) = self.play() {
            // Without the message of the hook.
            std::panic::resume_unwind(Box::new("as it was told"));
        }
        call
    }

    fn asked_again(self: &Arc<Self>, call: &RejectedCall) -> Retry {
        let rejected = match call.rejected {
            ServerCall::RetryLater => Verdict::RetryLater,
            ServerCall::Rejected => Verdict::Rejected,
            ServerCall::Handled => Verdict::Handled,
        };
        self.say(Said::AskedAgain { rejected, attempts: call.attempts, elapsed: nanos(call.elapsed) }, None);
        match self.play() {
            Some(Do::AnswerAgain(Again::Now)) => Retry::Now,
            Some(Do::AnswerAgain(Again::After(delay))) => Retry::After(Duration::from_nanos(delay)),
            Some(Do::AnswerAgain(Again::GiveUp)) | None => Retry::GiveUp,
            Some(_) => panic_any("a command for somebody else"),
        }
    }
}

/// The filter of an apartment: the driver answers.
struct Asks(Arc<Stage>);

impl MessageFilter for Asks {
    fn handle_incoming(&self, call: &IncomingCall) -> ServerCall {
        let from =
            call.caller.apartment.as_ref().map(|name| name.name.parse().expect("apartments are called by numbers"));
        let (call_type, kind) = (crate::seen::call_type(call.call_type), crate::seen::kind(call.kind));
        self.0.say(Said::Asked { call_type, kind, from, elapsed: call.elapsed.map(nanos) }, None);
        match self.0.play() {
            Some(Do::Answer(Verdict::Rejected)) => ServerCall::Rejected,
            Some(Do::Answer(Verdict::RetryLater)) => ServerCall::RetryLater,
            _ => ServerCall::Handled,
        }
    }

    fn retry_rejected(&self, call: &RejectedCall) -> Retry {
        self.0.asked_again(call)
    }
}

pub(crate) fn nanos(time: Duration) -> Time {
    Time::try_from(time.as_nanos()).unwrap_or(Time::MAX)
}

/// An error as the model names it.
fn failure(error: &CallError) -> Failure {
    let may_have_run = error.outcome() == Outcome::MayHaveRun;
    match error {
        CallError::MailboxFull(full) => {
            Failure::Full { queued: full.queued, capacity: full.capacity, waiting: full.waiting }
        }
        CallError::Disconnected(gone) if gone.why == WhyDisconnected::Quitting => Failure::Quitting,
        CallError::Disconnected(gone) if gone.why == WhyDisconnected::Ended => Failure::Ended,
        CallError::CallRejected { .. } => Failure::Rejected,
        CallError::RetryLater { .. } => Failure::RetryLater,
        CallError::CallCanceled { .. } => Failure::Canceled { may_have_run },
        CallError::TimedOut { .. } => Failure::TimedOut { may_have_run },
        CallError::CantCallOut(apartment::CantCallOut::InFilter) => Failure::CantCallOut(Ban::Filter),
        CallError::CantCallOut(apartment::CantCallOut::InInputSyncCall) => Failure::CantCallOut(Ban::InputSync),
        CallError::CantCallOut(apartment::CantCallOut::InAsyncCall) => Failure::CantCallOut(Ban::Async),
        CallError::NotSupported { .. } => Failure::NotSupported,
        CallError::Deadlock(_) => Failure::Deadlock,
        CallError::ServerFault { .. } => Failure::Fault,
        other => Failure::Other(other.hresult()),
    }
}
