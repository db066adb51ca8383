//! The servers of a process and their classes: what is registered, what is loaded, who uses it (rule CL-5).
//!
//! All of it is guarded by the process' lock. A server is in one of these states:
//!
//! | state | means | it leaves to | by whom |
//! |---|---|---|---|
//! | `Absent` | not loaded | `Loading` | the first activation, on whose thread it is loaded (`begin_activation`) |
//! | `Loading` | its hook is running; other activations wait | `Ready` or `Absent` | that activation, when the hook has returned or failed (`loaded`) |
//! | `Ready` | it makes objects | `Stopping` | who asks it, in `end_asking` |
//! | `Stopping` | it is being unloaded; activations are refused | `Absent` | the same, when what the hook gave is dropped (`unloaded`) |
//!
//! Three counts say who uses it: objects, which count until their destructors have run; locks; and activations, from
//! `begin_activation` until the object is made and counted. A count goes up from zero in `begin_activation` alone: objects
//! and locks are counted in the course of an activation, or by who holds a lock already.
//!
//! *Can unload, and refuses* is one step: `end_asking` looks at the counts and writes `Stopping` under one lock, under which
//! an activation counts itself or sees `Stopping`. The server's own say is its code, and runs outside the lock in between
//! `begin_asking` and `end_asking`; if an activation has begun meanwhile (`uses`), that say is out of date, and the answer
//! is no. One at a time asks (`asked`), or one could unload it while the other still runs its say.

use super::coming::Coming;
use super::{Inner, Process};
use crate::diagnose::ServerAnswer;
use crate::error::CallError;
use crate::id::ThreadId;
use crate::sync::{Arc, Clock, Weak};
use crate::thread::drop_payload;
use std::any::Any;
use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

/// What of a server is the user's code.
#[derive(Default)]
pub(crate) struct Code {
    /// Loads it: what it gives is dropped when the server is unloaded.
    pub(crate) load: Option<Box<Load>>,
    /// Whether it can be unloaded, besides its counts.
    pub(crate) can_unload: Option<Box<dyn Fn() -> bool + Send + Sync>>,
}

pub(crate) type Load = dyn Fn() -> Result<Loaded, Box<dyn StdError + Send + Sync>> + Send + Sync;

pub(crate) type Loaded = Box<dyn Any + Send>;

/// A server of a process: which one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct ServerId(usize);

/// A class as it is kept here: known to the layer above.
pub(crate) type Registered = Arc<dyn Any + Send + Sync>;

#[derive(Default)]
pub(super) struct Servers {
    servers: Vec<Server>,
    classes: BTreeMap<Arc<str>, (ServerId, Registered)>,
}

pub(crate) struct Server {
    name: Arc<str>,
    code: Arc<Code>,
    /// One of its classes lives on one thread only: it can be asked on the main STA alone.
    single: bool,
    phase: Phase,
    objects: usize,
    locks: usize,
    activations: usize,
    /// How many activations have begun.
    uses: u64,
    /// Its own say is being asked for.
    asked: bool,
    /// When it was first found that it could be unloaded, if it has not been used since.
    unused_since: Option<u64>,
}

/// See the table above.
enum Phase {
    Absent,
    Loading { by: ThreadId, coming: Arc<Coming> },
    Ready(Option<Loaded>),
    Stopping,
}

impl Server {
    pub(crate) fn objects(&mut self) -> &mut usize {
        &mut self.objects
    }

    pub(crate) fn locks(&mut self) -> &mut usize {
        &mut self.locks
    }

    pub(crate) fn activations(&mut self) -> &mut usize {
        &mut self.activations
    }

    fn is_unused(&self) -> bool {
        self.objects == 0 && self.locks == 0 && self.activations == 0
    }
}

/// How an activation begins.
pub(crate) enum Begun {
    /// The server is loaded, and stays so while the count lives.
    Ready(Count),
    /// It is for this activation to load it.
    Load(Count, Arc<Code>),
    /// It is being loaded by another thread: wait, and begin again.
    Comes(Arc<Coming>),
    /// It is being loaded by this very thread, below on the stack.
    LoadsHere,
    /// It is being unloaded.
    Stopping,
}

/// How the asking of a server begins.
pub(crate) enum Asking {
    /// Ask for its own say; and how often it had been used by then.
    Say(Arc<Code>, u64),
    Answered(ServerAnswer),
    /// There is nothing to ask: it is not loaded, or somebody else asks it.
    Nothing,
}

/// Counts something for as long as it lives.
pub(crate) struct Count {
    process: Weak<Inner>,
    server: ServerId,
    which: fn(&mut Server) -> &mut usize,
}

impl Drop for Count {
    fn drop(&mut self) {
        if let Some(process) = self.process.upgrade() {
            *(self.which)(&mut process.state.lock().servers[self.server]) -= 1;
        }
    }
}

impl std::ops::Index<ServerId> for Servers {
    type Output = Server;

    fn index(&self, id: ServerId) -> &Server {
        &self.servers[id.0]
    }
}

impl std::ops::IndexMut<ServerId> for Servers {
    fn index_mut(&mut self, id: ServerId) -> &mut Server {
        &mut self.servers[id.0]
    }
}

impl Process {
    /// Registers a server with its classes: all of them or, if one is there already, none.
    pub(crate) fn register(
        &self,
        name: Arc<str>,
        code: Code,
        single: bool,
        classes: Vec<(Arc<str>, Registered)>,
    ) -> Result<(), CallError> {
        let twice = {
            let mut state = self.0.state.lock();
            let servers = &mut state.servers;
            let known = |id: &Arc<str>| servers.classes.contains_key(id);
            let again = |at: usize| classes[..at].iter().any(|(id, _)| *id == classes[at].0);
            let class = (0..classes.len()).find(|&at| known(&classes[at].0) || again(at));
            if servers.servers.iter().any(|server| server.name == name) {
                Err(format!("a server {name:?} is registered already"))
            } else if let Some(at) = class {
                Err(format!("a class {:?} is registered already", classes[at].0))
            } else {
                let id = ServerId(servers.servers.len());
                servers.servers.push(Server {
                    name,
                    code: Arc::new(code),
                    single,
                    phase: Phase::Absent,
                    objects: 0,
                    locks: 0,
                    activations: 0,
                    uses: 0,
                    asked: false,
                    unused_since: None,
                });
                servers.classes.extend(classes.into_iter().map(|(class, registered)| (class, (id, registered))));
                return Ok(());
            }
        };
        // What was to be registered is dropped after this, with no lock held.
        twice.map_err(|what| CallError::InvalidArgument { what: what.into() })
    }

    /// The class of that id, under the name it is registered by.
    pub(crate) fn class(&self, id: &str) -> Option<(Arc<str>, ServerId, Registered)> {
        let state = self.0.state.lock();
        let (class, (server, registered)) = state.servers.classes.get_key_value(id)?;
        Some((Arc::clone(class), *server, Arc::clone(registered)))
    }

    pub(crate) fn server_name(&self, server: ServerId) -> Arc<str> {
        Arc::clone(&self.0.state.lock().servers[server].name)
    }

    /// Its servers; without those that can be asked on the main STA only, if so wanted.
    pub(crate) fn servers(&self, without_single: bool) -> Vec<ServerId> {
        let state = self.0.state.lock();
        let servers = state.servers.servers.iter().enumerate();
        servers.filter(|(_, server)| !(without_single && server.single)).map(|(at, _)| ServerId(at)).collect()
    }

    /// Counts one more, in the course of an activation or by who holds a lock.
    pub(crate) fn count(&self, server: ServerId, which: fn(&mut Server) -> &mut usize) -> Count {
        *which(&mut self.0.state.lock().servers[server]) += 1;
        Count { process: Arc::downgrade(&self.0), server, which }
    }

    pub(crate) fn begin_activation(&self, id: ServerId, thread: ThreadId) -> Begun {
        let mut state = self.0.state.lock();
        let server = &mut state.servers[id];
        let load = match &server.phase {
            Phase::Loading { by, .. } if *by == thread => return Begun::LoadsHere,
            Phase::Loading { coming, .. } => return Begun::Comes(Arc::clone(coming)),
            Phase::Stopping => return Begun::Stopping,
            Phase::Ready(_) => None,
            Phase::Absent if server.code.load.is_none() => {
                server.phase = Phase::Ready(None);
                None
            }
            Phase::Absent => {
                server.phase = Phase::Loading { by: thread, coming: Coming::new() };
                Some(Arc::clone(&server.code))
            }
        };
        server.activations += 1;
        server.uses += 1;
        server.unused_since = None;
        let count = Count { process: Arc::downgrade(&self.0), server: id, which: Server::activations };
        match load {
            Some(code) => Begun::Load(count, code),
            None => Begun::Ready(count),
        }
    }

    /// How the loading ended. Everybody who waits for it is told.
    pub(crate) fn loaded(&self, id: ServerId, outcome: Result<Loaded, CallError>) {
        let mut state = self.0.state.lock();
        let (phase, told) = match outcome {
            Ok(loaded) => (Phase::Ready(Some(loaded)), Ok(())),
            Err(error) => (Phase::Absent, Err(error)),
        };
        let Phase::Loading { coming, .. } = std::mem::replace(&mut state.servers[id].phase, phase) else {
            crate::broken("a server that was loaded was being loaded")
        };
        drop(state);
        coming.settle(told);
    }

    pub(crate) fn begin_asking(&self, id: ServerId) -> Asking {
        let mut state = self.0.state.lock();
        let server = &mut state.servers[id];
        if !matches!(server.phase, Phase::Ready(_)) || server.asked {
            return Asking::Nothing;
        }
        if !server.is_unused() {
            server.unused_since = None;
            return Asking::Answered(ServerAnswer::InUse);
        }
        server.asked = true;
        Asking::Say(Arc::clone(&server.code), server.uses)
    }

    /// Carries out what the asked server said. If it stops, gives what is to be dropped before it is `unloaded`.
    pub(crate) fn end_asking(
        &self,
        id: ServerId,
        uses: u64,
        says: bool,
        delay: Duration,
    ) -> (ServerAnswer, Option<Loaded>) {
        let now = self.clock().nanos();
        let mut state = self.0.state.lock();
        let server = &mut state.servers[id];
        server.asked = false;
        if !server.is_unused() || server.uses != uses {
            return (ServerAnswer::InUse, None);
        }
        if !says {
            server.unused_since = None;
            return (ServerAnswer::Refused, None);
        }
        let since = *server.unused_since.get_or_insert(now);
        if now < Clock::later(since, delay) {
            return (ServerAnswer::NotYet, None);
        }
        match std::mem::replace(&mut server.phase, Phase::Stopping) {
            Phase::Ready(loaded) => (ServerAnswer::Stopping, loaded),
            _ => crate::broken("a server that is being asked is loaded"),
        }
    }

    /// What the loading gave has been dropped.
    pub(crate) fn unloaded(&self, id: ServerId) {
        let server = &mut self.0.state.lock().servers[id];
        server.phase = Phase::Absent;
        server.unused_since = None;
    }
}

impl Drop for Inner {
    /// What is the user's may panic when it is dropped. Nobody is left to be told.
    fn drop(&mut self) {
        let servers = std::mem::take(&mut self.state.lock().servers);
        for server in servers.servers {
            contained(server.phase);
            contained(server.code);
        }
        for class in servers.classes.into_values() {
            contained(class);
        }
    }
}

fn contained<T>(dropped: T) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(dropped))) {
        drop_payload(payload);
    }
}
