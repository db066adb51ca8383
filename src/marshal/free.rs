//! Objects that belong to no apartment.

use super::proxy::Proxy;
use crate::diagnose::What;
use crate::error::CallError;
use crate::process::Process;
use crate::stub::Stub;
use crate::sync::Arc;
use crate::thread::Thread;
use crate::view::Held;
use std::any::type_name;

impl Process {
    /// Gives an object to nobody in particular: it is free-threaded (rule MA-7). It is called directly, on its caller's own
    /// thread, from every apartment and from threads in none, of this process and of others; so calls of it run side by
    /// side, and it guards what it changes itself. It survives the apartment that made it.
    ///
    /// Its calls are calls all the same: they have a [context](crate::current_call), a deadline, whatever cancels them, and
    /// a panic in them is `ServerFault`. But nothing leaves the caller's apartment and nothing is waited for, so they are
    /// allowed wherever the thread is. A [post](Proxy::post) runs at once. It is dropped on the thread that drops the last
    /// reference, in no call and no chain.
    ///
    /// It may hold proxies. A [`Local`](crate::Local) it may not, which belongs to a thread: that does not compile.
    ///
    /// Does not wait.
    ///
    /// ```
    /// use apartment::Process;
    /// use std::sync::atomic::{AtomicU32, Ordering};
    /// use std::thread;
    ///
    /// let process = Process::new();
    /// let hits = process.free_threaded(AtomicU32::new(0))?;
    /// let count = |hits: &AtomicU32| (hits.fetch_add(1, Ordering::Relaxed), thread::current().id());
    /// assert_eq!(hits.call(count)?, (0, thread::current().id()));
    ///
    /// let sta = process.sta("home").spawn()?;
    /// let object = sta.create(|| ())?;
    /// let there = object.call(|()| hits.call(count).map(|(before, thread)| (before, thread == thread::current().id())))?;
    /// assert_eq!(there?, (1, true));
    /// # Ok::<(), apartment::Error>(())
    /// ```
    ///
    /// # Errors
    /// `ServerStopping` once the process is ending (rule LT-8). `NotInitialized` under strict rules, on a thread that is in no
    /// apartment while there is no MTA.
    #[doc(alias("CoCreateFreeThreadedMarshaler", "IAgileObject"))]
    pub fn free_threaded<T: Send + Sync + 'static>(&self, object: T) -> Result<Proxy<T>, CallError> {
        Thread::current().is_initialized(self.common())?;
        self.common().makes()?;
        Ok(Proxy::from_stub(self.keep_free(Held::new(object))))
    }

    pub(crate) fn keep_free<T: Send + Sync + 'static>(&self, object: Held<T>) -> Arc<Stub> {
        let stub = Stub::free(self.common(), Box::new(object));
        let made = || What::ObjectMade { object: stub.object, type_name: type_name::<T>() };
        self.common().tell(Thread::current().who(), None, made);
        stub
    }
}
