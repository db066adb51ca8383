//! Class factories and locks: what keeps a server loaded without an object.

use super::create::Known;
use super::server::activate;
use crate::describe::ThreadingModel;
use crate::error::CallError;
use crate::marshal::Proxy;
use crate::process::{Count, Process, Server};
use crate::thread::Thread;
use std::fmt;
use std::panic::Location;

impl Process {
    /// The factory of a class, to make many objects by: it keeps the class' server loaded. Loads the server if it is not,
    /// or waits until another thread has: an STA pumps, other threads block.
    ///
    /// ```
    /// use apartment::{Class, Process, implements};
    ///
    /// struct Cell;
    /// implements!(Cell);
    ///
    /// let process = Process::new();
    /// process.register_class("Cell", Class::apartment(|| Cell))?;
    /// let home = process.sta("home").enter()?;
    /// let cells = process.class_factory("Cell")?;
    /// let row: Vec<_> = (0..10).map(|_| cells.create_instance::<Cell>()).collect::<Result<_, _>>()?;
    /// # drop((row, home));
    /// # Ok::<(), apartment::Error>(())
    /// ```
    ///
    /// # Errors
    /// `ClassNotRegistered`; `SysCallFailed`, `ServerStopping`, `Deadlock` and `NotInitialized` as
    /// [`create_instance`](Process::create_instance).
    #[doc(alias = "CoGetClassObject")]
    pub fn class_factory(&self, class: &str) -> Result<ClassFactory, CallError> {
        Thread::current().is_initialized(self.common())?;
        let class = Known::find(self, class)?;
        self.common().makes()?;
        let activation = activate(self, &Thread::current(), class.server)?;
        let lock = ServerLock(self.count(class.server, Server::locks));
        drop(activation);
        Ok(ClassFactory { process: self.clone(), class, lock })
    }
}

/// Makes objects of one class; made by [`Process::class_factory`]. Its server stays loaded as long as it lives. It belongs
/// to no apartment: each object goes where its own creator is, as the threading model says.
#[doc(alias = "IClassFactory")]
pub struct ClassFactory {
    process: Process,
    class: Known,
    lock: ServerLock,
}

impl ClassFactory {
    /// Makes an object: [`Process::create_instance`].
    ///
    /// # Errors
    /// As [`Process::create_instance`], but for those of finding the class and loading its server.
    #[track_caller]
    pub fn create_instance<I: ?Sized + 'static>(&self) -> Result<Proxy<I>, CallError> {
        let location = Location::caller();
        Thread::current().is_initialized(self.process.common())?;
        self.class.create(&self.process, location)
    }

    /// One more lock on the class' server, to be kept longer than the factory. Does not wait.
    #[doc(alias("LockServer", "CoLockObjectExternal"))]
    pub fn lock_server(&self) -> ServerLock {
        ServerLock(self.process.count(self.class.server, Server::locks))
    }

    /// The id of the class.
    pub fn class(&self) -> &str {
        &self.class.id
    }

    /// The threading model of the class.
    pub fn model(&self) -> ThreadingModel {
        self.class.class.model()
    }
}

impl fmt::Debug for ClassFactory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClassFactory")
            .field("class", &self.class())
            .field("model", &self.model())
            .field("lock", &self.lock)
            .finish_non_exhaustive()
    }
}

/// Keeps a server loaded; made by [`ClassFactory::lock_server`] (rule CL-5). It can be dropped on any thread, and its drop
/// never waits.
#[must_use = "the server is unlocked when the guard is dropped"]
pub struct ServerLock(#[expect(dead_code, reason = "it is there to be dropped")] Count);

impl fmt::Debug for ServerLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerLock")
    }
}
