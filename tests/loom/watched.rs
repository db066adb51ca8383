//! The public API as a model uses it where its [`Ghost`] is to see what it does.

use crate::ghost::{At, Call, Ghost, Kind, On, Party, Sent};
use apartment::{
    CallError, CallOptions, CancelHandle, Entered, Mta, PostOptions, Process, Proxy, Reentrancy, Sta, What, Worker,
    implements, interface,
};
use std::time::Duration;

/// How an STA is made: its name, which no other has, what its waits let in, and how much its mailbox holds.
#[derive(Clone, Copy)]
pub struct Kept(pub &'static str, pub Reentrancy, pub usize);

impl Ghost {
    /// The calling thread enters an STA.
    pub fn enter(&self, process: &Process, Kept(name, policy, capacity): Kept) -> Here {
        let entered = process.sta(name).reentrancy(policy).capacity(capacity).enter().unwrap();
        let at = self.sta(name, policy, capacity);
        self.enters(at);
        Here { ghost: self.clone(), at, entered: Some(entered) }
    }

    /// An STA with a thread of its own.
    pub fn spawn(&self, process: &Process, Kept(name, policy, capacity): Kept) -> There {
        let sta = process.sta(name).reentrancy(policy).capacity(capacity).spawn().unwrap();
        There { ghost: self.clone(), at: self.sta(name, policy, capacity), sta }
    }

    /// The MTA, with one thread now and so many at most.
    pub fn pool(&self, process: &Process, threads: usize) -> Pool {
        let mta = process.mta().threads(1).max_threads(threads).spawn().unwrap();
        Pool { ghost: self.clone(), at: self.mta(threads), mta }
    }

    /// A worker.
    pub fn work<R: Send + 'static>(&self, name: &'static str, run: impl FnOnce() -> R + Send + 'static) -> Working<R> {
        let (ghost, party) = (self.clone(), self.worker(name));
        let worker = Worker::spawn(name, {
            let ghost = ghost.clone();
            move || {
                ghost.works(party);
                run()
            }
        });
        Working { ghost, party, worker: worker.unwrap() }
    }

    /// What cancels calls.
    pub fn canceller(&self) -> Canceller {
        Canceller { ghost: self.clone(), number: self.cancel_handle(), handle: CancelHandle::new() }
    }

    /// In a wait for what anybody may bring about.
    pub fn in_a_wait<R>(&self, wait: impl FnOnce() -> R) -> R {
        self.begins_wait(On::Anybody);
        let result = wait();
        self.ends_wait(None);
        result
    }

    fn watched<T: ?Sized>(&self, at: At, proxy: Proxy<T>) -> Watched<T> {
        Watched { ghost: self.clone(), at, object: self.object(), proxy }
    }

    fn until<R>(&self, on: On, wait: impl FnOnce() -> Result<R, CallError>) -> Result<R, CallError> {
        self.begins_wait(on);
        let result = wait();
        self.ends_wait(match &result {
            Err(CallError::Deadlock(deadlock)) => Some(deadlock),
            _ => None,
        });
        result
    }
}

/// The STA that this thread has entered.
pub struct Here {
    ghost: Ghost,
    at: At,
    entered: Option<Entered>,
}

impl Here {
    fn entered(&self) -> &Entered {
        self.entered.as_ref().expect("it is there until it is dropped")
    }

    /// An object here.
    pub fn create<T: 'static>(&self, make: impl FnOnce() -> T) -> Watched<T> {
        self.ghost.watched(self.at, self.entered().create(make).unwrap())
    }

    /// Serves until it is asked to quit.
    pub fn run(&self) {
        self.entered().run();
    }

    /// Serves what is there.
    pub fn pump(&self) -> usize {
        self.entered().pump()
    }

    /// Asks it to quit.
    pub fn quit(&self) {
        self.ghost.meddles(|| self.entered().apartment().quit(), |state| state.closed(self.at));
    }
}

impl Drop for Here {
    fn drop(&mut self) {
        let entered = self.entered.take();
        self.ghost.meddles(|| drop(entered), |state| state.left(self.at));
    }
}

/// An STA with a thread of its own.
pub struct There {
    ghost: Ghost,
    at: At,
    sta: Sta,
}

impl There {
    /// An object there.
    pub fn create<T: 'static>(&self, make: impl FnOnce() -> T + Send) -> Watched<T> {
        self.ghost.watched(self.at, self.sta.create(make).unwrap())
    }

    /// Asks it to quit, and waits for its end.
    pub fn join(self) -> Result<(), CallError> {
        let Self { ghost, at, sta } = self;
        ghost.meddles(|| sta.quit(), |state| state.closed(at));
        ghost.until(On::End(at), || sta.join())
    }

    /// Drops the handle that owns it, which asks it to quit and waits for its end. Whether that was given up is in the
    /// process' recording.
    pub fn drop_it(self, process: &Process) {
        let Self { ghost, at, sta } = self;
        ghost.meddles(|| sta.quit(), |state| state.closed(at));
        ghost.begins_wait(On::End(at));
        drop(sta);
        let told =
            process.recording().expect("it is recorded").events().into_iter().find_map(|event| match event.what {
                What::Deadlock(deadlock) => Some(deadlock),
                _ => None,
            });
        ghost.ends_wait(told.as_deref());
    }
}

/// The MTA.
pub struct Pool {
    ghost: Ghost,
    at: At,
    mta: Mta,
}

impl Pool {
    /// An object there.
    pub fn create<T: Send + Sync + 'static>(&self, make: impl FnOnce() -> T + Send) -> Watched<T> {
        self.ghost.watched(self.at, self.mta.create(make).unwrap())
    }

    /// Asks it to quit, and waits for its end.
    pub fn join(self) -> Result<(), CallError> {
        let Self { ghost, at, mta } = self;
        ghost.meddles(|| mta.quit(), |state| state.closed(at));
        ghost.until(On::End(at), || mta.join())
    }
}

/// A worker.
pub struct Working<R> {
    ghost: Ghost,
    party: Party,
    worker: Worker<R>,
}

impl<R: Send + 'static> Working<R> {
    /// Waits for its end.
    pub fn join(self) -> Result<R, CallError> {
        let Self { ghost, party, worker } = self;
        let joined = ghost.until(On::Worker(party), || worker.join());
        joined.map(|result| result.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    }
}

/// A handle that cancels calls.
#[derive(Clone)]
pub struct Canceller {
    ghost: Ghost,
    number: u32,
    handle: CancelHandle,
}

impl Canceller {
    /// Cancels what is made with it.
    pub fn cancel(&self) {
        self.ghost.meddles(|| self.handle.cancel(), |state| state.cancelled(self.number));
    }
}

interface! {
    /// What can be asked to do something ahead of all else.
    pub trait Desk {
        /// Runs that in an input-synchronized call.
        fn focus(&self, inside: &mut (dyn FnMut() + Send)) -> Result<(), CallError> as input_sync;
    }
}

/// An object that can.
pub struct Object;

impl Desk for Object {
    fn focus(&self, inside: &mut (dyn FnMut() + Send)) -> Result<(), CallError> {
        inside();
        Ok(())
    }
}

implements!(Object: dyn Desk);

/// An object, and where it is.
pub struct Watched<T: ?Sized> {
    ghost: Ghost,
    at: At,
    object: u32,
    proxy: Proxy<T>,
}

impl<T: ?Sized> Clone for Watched<T> {
    fn clone(&self) -> Self {
        let Self { ghost, at, object, proxy } = self;
        Self { ghost: ghost.clone(), at: *at, object: *object, proxy: proxy.clone() }
    }
}

impl<T: ?Sized + 'static> Watched<T> {
    /// Calls it.
    pub fn call<R: Send>(&self, method: impl FnOnce(&T) -> R + Send) -> Result<R, CallError> {
        self.called(self.sent(Kind::Call), |within| self.proxy.call(|object| within.serves(|| method(object))))
    }

    /// Calls it with a deadline.
    pub fn call_within<R: Send>(&self, time: Duration, method: impl FnOnce(&T) -> R + Send) -> Result<R, CallError> {
        let sent = Sent { has_deadline: true, ..self.sent(Kind::Call) };
        self.called(sent, |within| self.proxy.within(time).call(|object| within.serves(|| method(object))))
    }

    /// Calls it, and somebody can cancel that.
    pub fn call_until<R: Send>(&self, by: &Canceller, method: impl FnOnce(&T) -> R + Send) -> Result<R, CallError> {
        let sent = Sent { cancel: Some(by.number), ..self.sent(Kind::Call) };
        let options = CallOptions::new().cancel(&by.handle);
        self.called(sent, |within| self.proxy.with(&options).call(|object| within.serves(|| method(object))))
    }

    /// Calls it, and waits for room.
    pub fn call_waiting<R: Send>(&self, method: impl FnOnce(&T) -> R + Send) -> Result<R, CallError> {
        let sent = Sent { waits_for_room: true, ..self.sent(Kind::Call) };
        let options = CallOptions::new().wait_for_room();
        self.called(sent, |within| self.proxy.with(&options).call(|object| within.serves(|| method(object))))
    }

    /// Posts to it.
    pub fn post(&self, run: impl FnOnce(&T) + Send + 'static) -> Result<(), CallError> {
        self.posted(false, run)
    }

    /// Posts to it, and waits for room.
    pub fn post_waiting(&self, run: impl FnOnce(&T) + Send + 'static) -> Result<(), CallError> {
        self.posted(true, run)
    }

    /// Disconnects it, and waits for the calls that run on it.
    pub fn disconnect(&self) -> Result<(), CallError> {
        // It is so as soon as that begins.
        self.ghost.meddles(|| (), |state| state.disconnected(self.object));
        self.ghost.until(On::Calls(self.at, self.object), || self.proxy.disconnect())
    }

    /// Asks its apartment to quit.
    pub fn quit(&self) {
        let apartment = self.proxy.apartment().unwrap();
        self.ghost.meddles(|| apartment.quit(), |state| state.closed(self.at));
    }

    fn sent(&self, kind: Kind) -> Sent {
        let Self { at, object, .. } = *self;
        Sent { kind, to: at, object, waits_for_room: false, has_deadline: false, cancel: None }
    }

    fn called<R>(&self, sent: Sent, call: impl FnOnce(&Within) -> Result<R, CallError>) -> Result<R, CallError> {
        let id = self.ghost.sends(sent);
        let result = call(&Within { ghost: self.ghost.clone(), call: id });
        self.is_back(id, true, result.as_ref().err());
        result
    }

    fn posted(&self, waits_for_room: bool, run: impl FnOnce(&T) + Send + 'static) -> Result<(), CallError> {
        let id = self.ghost.sends(Sent { waits_for_room, ..self.sent(Kind::Post) });
        let within = Within { ghost: self.ghost.clone(), call: id };
        let run = move |object: &T| within.serves(|| run(object));
        let posted = match waits_for_room {
            true => self.proxy.with(&PostOptions::new().wait_for_room()).post(run),
            false => self.proxy.post(run),
        };
        let result = posted.map_err(|error| error.into_parts().0);
        self.is_back(id, waits_for_room, result.as_ref().err());
        result
    }

    fn is_back(&self, id: Call, waited: bool, error: Option<&CallError>) {
        let told = match error {
            Some(CallError::Deadlock(deadlock)) => Some(&**deadlock),
            _ => None,
        };
        self.ghost.is_back(id, waited, error.is_some(), told);
    }
}

impl Watched<Object> {
    /// Calls it ahead of all else.
    pub fn focus(&self, mut inside: impl FnMut() + Send) -> Result<(), CallError> {
        let focus = |within: &Within| self.proxy.cast::<dyn Desk>().focus(&mut || within.serves(&mut inside));
        self.called(self.sent(Kind::InputSynchronized), focus)
    }
}

/// Where a call is served.
struct Within {
    ghost: Ghost,
    call: Call,
}

impl Within {
    fn serves<R>(&self, run: impl FnOnce() -> R) -> R {
        self.ghost.begins(self.call);
        let result = run();
        self.ghost.ends(self.call);
        result
    }
}
