//! Servers: groups of classes that are loaded and unloaded together.

use super::contained;
use super::create::begins_with;
use super::model::Class;
use crate::apartment::{Load, Terms, invoke, wait_for, waits_for_itself};
use crate::call::record::Attempt;
use crate::cycle::Awaited;
use crate::describe::{CallKind, CallTarget, Method, ThreadingModel};
use crate::diagnose::{ServerAnswer, WaitFor, What};
use crate::error::CallError;
use crate::process::{Asking, Begun, Code, Count, Loaded, Process, ServerId};
use crate::sync::Arc;
use crate::thread::{Thread, panic_message};
use std::any::Any;
use std::error::Error as StdError;
use std::fmt;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

/// A group of classes that is loaded with the first object of one of them, and unloaded when nobody uses it any more
/// (rule CL-5).
///
/// It is in use as long as there is an object of its classes, until whose destructor has run; a
/// [lock](crate::ServerLock); or a creation under way. [`Process::free_unused_servers`] asks it whether it can be unloaded.
///
/// ```
/// use apartment::{Class, Process, Server, implements};
/// use std::io;
/// use std::time::Duration;
///
/// struct Engine;
/// implements!(Engine);
///
/// let process = Process::new();
/// let server = Server::new("engines")
///     .class("Engine", Class::apartment(|| Engine))
///     .around(|| Ok::<_, io::Error>(String::from("what all engines share")));
/// process.register_server(server)?;
/// let home = process.sta("home").enter()?;
///
/// let engine = process.create_instance::<Engine>("Engine")?;                 // loads it
/// assert!(process.free_unused_servers(Duration::ZERO)?.is_empty());
/// drop(engine);
/// assert_eq!(process.free_unused_servers(Duration::ZERO)?, ["engines"]);
/// let again = process.create_instance::<Engine>("Engine")?;                  // loads it again
/// # drop((again, home));
/// # Ok::<(), apartment::Error>(())
/// ```
#[doc(alias("in-process server", "DLL", "InprocServer32", "DllGetClassObject"))]
pub struct Server {
    name: Arc<str>,
    classes: Vec<(Arc<str>, Class)>,
    code: Code,
}

impl Server {
    /// A server without classes so far.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self { name: name.into(), classes: Vec::new(), code: Code::default() }
    }

    /// One more class, by the id under which its objects are made. Ids are compared as they are written.
    #[must_use]
    #[doc(alias("CLSID", "ProgID"))]
    pub fn class(mut self, id: impl Into<Arc<str>>, class: Class) -> Self {
        self.classes.push((id.into(), class));
        self
    }

    /// Loads it: runs on the thread of the first creation, before anything is made, and again after each unloading. What
    /// it gives is dropped when the server is unloaded, where that is asked for; creations on other threads wait
    /// meanwhile. If it fails or panics, all of them fail with `SysCallFailed` and this error as the source, and the next
    /// one tries again.
    #[must_use]
    #[doc(alias("DllMain", "LoadLibrary"))]
    pub fn around<G: Send + 'static, E: Into<Box<dyn StdError + Send + Sync>>>(
        mut self,
        load: impl Fn() -> Result<G, E> + Send + Sync + 'static,
    ) -> Self {
        self.code.load = Some(Box::new(move || match load() {
            Ok(guard) => Ok(Box::new(guard) as Loaded),
            Err(error) => Err(error.into()),
        }));
        self
    }

    /// Its own say: asked when its counts are zero, it may still refuse to be unloaded. Runs on the main STA, or where
    /// [`Process::free_unused_servers`] says. A panic counts as no.
    #[must_use]
    #[doc(alias = "DllCanUnloadNow")]
    pub fn can_unload(mut self, can_unload: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        self.code.can_unload = Some(Box::new(can_unload));
        self
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("name", &self.name).field("classes", &self.classes).finish_non_exhaustive()
    }
}

impl Process {
    /// Registers a server with its classes. It is loaded when first used. Does not wait.
    ///
    /// # Errors
    /// `InvalidArgument` if a server of that name, or a class of one of the ids, is registered already, or if a class is
    /// said to be free-threaded that is not of the model Both; then nothing of it is registered. `NotInitialized` under
    /// strict rules, on a thread of no apartment while there is no MTA.
    #[doc(alias("DllRegisterServer", "CoRegisterClassObject"))]
    pub fn register_server(&self, server: Server) -> Result<(), CallError> {
        Thread::current().is_initialized(self.common())?;
        let Server { name, classes, code } = server;
        let other = |class: &Class| class.free_threaded && class.model() != ThreadingModel::Both;
        if let Some((id, class)) = classes.iter().find(|(_, class)| other(class)) {
            let what = format!("class {id:?} is to be free-threaded, and its model is {:?}, not Both", class.model());
            return Err(CallError::InvalidArgument { what: what.into() });
        }
        let single = classes.iter().any(|(_, class)| class.model() == ThreadingModel::Single);
        let classes = classes.into_iter().map(|(id, class)| (id, Arc::new(class) as Arc<dyn Any + Send + Sync>));
        self.register(name, code, single, classes.collect())
    }

    /// Registers a class by an id: a server of that name with this one class. Does not wait.
    ///
    /// # Errors
    /// As [`register_server`](Process::register_server).
    #[doc(alias = "CoRegisterClassObject")]
    pub fn register_class(&self, id: impl Into<Arc<str>>, class: Class) -> Result<(), CallError> {
        let id = id.into();
        self.register_server(Server::new(Arc::clone(&id)).class(id, class))
    }

    /// Unloads the servers that nobody uses; gives their names (rule CL-5).
    ///
    /// Every server is asked on the main STA, whatever thread this is called from: it is a call there, direct on the main
    /// STA itself; an STA that waits for it pumps, other threads block. While there is no main STA, or it takes no calls any
    /// more, servers with Single classes are left alone and the others are asked on this thread.
    ///
    /// A server can be unloaded if it has no objects and no locks, makes none, and says so itself if it has a
    /// [say](crate::Server::can_unload). It is, if it could be each time it was asked for at least `delay`, on the process'
    /// clock, and has not been used meanwhile: so with a delay a first call only takes note. (Windows' own delay is ten
    /// minutes.) From then on a creation gets `ServerStopping`, until what its loading gave is dropped; after that it is
    /// loaded anew. A server that is just being loaded, or asked by somebody else, is left alone.
    ///
    /// # Errors
    /// As a call to the main STA, `CantCallOut` included; nothing was asked then. `NotInitialized` under strict rules, on a
    /// thread of no apartment while there is no MTA.
    #[doc(alias("CoFreeUnusedLibraries", "CoFreeUnusedLibrariesEx"))]
    #[track_caller]
    pub fn free_unused_servers(&self, delay: Duration) -> Result<Vec<String>, CallError> {
        let location = Location::caller();
        Thread::current().is_initialized(self.common())?;
        let thread = Thread::current();
        if let Some(main) = self.main_mailbox().filter(|main| !begins_with(&thread, main)) {
            let mut freed = Vec::new();
            let mut job = |_: &dyn Any| {
                freed = ask(self, &self.servers(false), delay);
                Attempt::Ran(None)
            };
            let target = CallTarget { object: None, type_name: "server", method: Some(&CAN_UNLOAD), location };
            match invoke(&main, CallKind::Synchronous, target, Terms::default(), Load::Lent(&mut job)) {
                Ok(()) => return Ok(freed),
                // It has ended meanwhile, or is about to.
                Err(CallError::Disconnected(_) | CallError::ServerDiedDne { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(ask(self, &self.servers(true), delay))
    }
}

/// As what the asking is seen by filters and in recordings.
static CAN_UNLOAD: Method = Method::new("server", "can_unload", 0, CallKind::Synchronous);

/// Asks each server on this thread, and unloads those that can be.
fn ask(process: &Process, servers: &[ServerId], delay: Duration) -> Vec<String> {
    let thread = Thread::current();
    let mut freed = Vec::new();
    for &id in servers {
        let (answer, loaded) = match process.begin_asking(id) {
            Asking::Nothing => continue,
            Asking::Answered(answer) => (answer, None),
            Asking::Say(code, uses) => {
                let say = || code.can_unload.as_ref().is_none_or(|can_unload| can_unload());
                let says = contained(process, "a server's can_unload", say).unwrap_or(false);
                process.end_asking(id, uses, says, delay)
            }
        };
        let name = process.server_name(id);
        thread.tell_in(process.common(), None, || What::ServerAsked { server: Arc::clone(&name), answer });
        if answer == ServerAnswer::Stopping {
            contained(process, "the destructor of what a server's loading gave", || drop(loaded));
            process.unloaded(id);
            freed.push(name.to_string());
        }
    }
    freed
}

/// Begins an activation: loads the server, or waits until another thread has. It stays loaded while the count lives.
pub(super) fn activate(process: &Process, thread: &Rc<Thread>, id: ServerId) -> Result<Count, CallError> {
    loop {
        match process.begin_activation(id, thread.who().0) {
            Begun::Ready(count) => return Ok(count),
            Begun::Stopping => return Err(CallError::ServerStopping),
            Begun::Comes(coming) => wait_for(thread, WaitFor::Server, process.common(), &coming)?,
            Begun::LoadsHere => {
                let awaits = Awaited::Server { server: process.server_name(id) };
                return Err(waits_for_itself(thread, process.common(), awaits));
            }
            Begun::Load(count, code) => {
                // What the hook creates is to find that it is this thread that loads, its locals being destroyed or not.
                let _known = thread.stays_known();
                let outcome = load(&process.server_name(id), &code);
                let failed = outcome.as_ref().err().cloned();
                process.loaded(id, outcome);
                return match failed {
                    None => Ok(count),
                    Some(error) => Err(error),
                };
            }
        }
    }
}

/// Runs the user's hook; a panic in it fails the loading like an error.
fn load(name: &str, code: &Code) -> Result<Loaded, CallError> {
    let Some(load) = &code.load else { crate::broken("a server without a hook has nothing to be loaded by") };
    let failed = |source| CallError::sys_call_failed(format!("server {name:?} could not be loaded"), source);
    match catch_unwind(AssertUnwindSafe(load)) {
        Ok(Ok(loaded)) => Ok(loaded),
        Ok(Err(error)) => Err(failed(error)),
        Err(payload) => Err(failed(format!("it panicked: {}", panic_message(payload)).into())),
    }
}
