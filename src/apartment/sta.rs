//! Single-threaded apartments: the handle that owns one.

use super::deadlock::waits_for_itself;
use super::handle::Apartment;
use super::join::{join_sta, may_wait_for_end};
use super::make::{keep_at_home, make};
use super::sta_builder::StaBuilder;
use crate::cycle::Awaited;
use crate::error::CallError;
use crate::marshal::Proxy;
use crate::sync::{JoinHandle, Mutex};
use crate::thread::Thread;
use crate::view::Held;
use std::fmt;
use std::panic::Location;

/// A single-threaded apartment with a thread of its own: the handle that owns it.
///
/// Objects are made on its thread, called there and dropped there (rule AP-2); they need not be `Send`. Dropping the
/// handle asks the apartment to quit and waits until what it accepted is served, its objects are dropped and its thread
/// has ended; on an STA that wait pumps. Dropped inside its own apartment, inside a filter's method or an
/// input-synchronized call, while its thread unwinds, or once its process has
/// ended without it, it asks to quit and does not wait (rules LT-2, CK-3, CK-4, LT-8).
///
/// ```
/// use apartment::Sta;
/// use std::rc::Rc;
///
/// let home = Sta::spawn("db")?;
/// let db = home.create(|| Rc::new(String::from("hello")))?;
/// let prefix = String::from("hel");
/// assert_eq!(db.call(|s| s.strip_prefix(&*prefix).map(str::len))?, Some(2));
/// # Ok::<(), apartment::Error>(())
/// ```
#[doc(alias("STA", "single-threaded apartment", "COINIT_APARTMENTTHREADED"))]
pub struct Sta {
    apartment: Apartment,
    thread: Mutex<Option<JoinHandle>>,
}

impl Sta {
    /// An STA with default options in the default process.
    ///
    /// # Errors
    /// `SysCallFailed` if its thread cannot be started.
    pub fn spawn(name: impl Into<String>) -> Result<Self, CallError> {
        Self::builder(name).spawn()
    }

    /// An STA to order.
    pub fn builder(name: impl Into<String>) -> StaBuilder {
        StaBuilder::new(name.into())
    }

    pub(super) fn of(apartment: Apartment, thread: JoinHandle) -> Self {
        Self { apartment, thread: Mutex::new(Some(thread)) }
    }

    /// Makes an object in the apartment. `make` runs on its thread and may borrow from the caller's stack; the object
    /// stays there and need not be `Send`. It is a call: an STA that waits for it pumps, other threads block; on the
    /// apartment's own thread it is direct.
    ///
    /// # Errors
    /// As a call: `MailboxFull`, `Disconnected`, the filter's answers; `ServerFault` if `make` panics.
    #[doc(alias("CoCreateInstance", "marshal"))]
    #[track_caller]
    pub fn create<T: 'static>(&self, make: impl FnOnce() -> T + Send) -> Result<Proxy<T>, CallError> {
        match self.try_create(|| Ok::<T, std::convert::Infallible>(make()))? {
            Ok(proxy) => Ok(proxy),
            Err(never) => match never {},
        }
    }

    /// As [`create`](Sta::create), with a constructor that may fail: its own error comes back nested.
    ///
    /// ```
    /// use apartment::Sta;
    ///
    /// fn open(port: &str) -> Result<(), Box<dyn std::error::Error>> {
    ///     let device = Sta::spawn("device")?;
    ///     let port = device.try_create(|| port.parse::<u16>())??;
    ///     assert_eq!(port.call(|port| *port)?, 8080);
    ///     Ok(())
    /// }
    /// open("8080").unwrap();
    /// assert!(open("eighty").is_err());
    /// ```
    ///
    /// # Errors
    /// As [`create`](Sta::create); inside, what `make` failed with.
    #[track_caller]
    pub fn try_create<T: 'static, E: Send>(
        &self,
        make_it: impl FnOnce() -> Result<T, E> + Send,
    ) -> Result<Result<Proxy<T>, E>, CallError> {
        Ok(make(&self.apartment.0, || make_it().map(Held::new), keep_at_home::<T>)?.map(Proxy::from_stub))
    }

    /// The apartment as anybody may hold it.
    pub fn apartment(&self) -> &Apartment {
        &self.apartment
    }

    /// Asks it to quit; see [`Apartment::quit`]. Never waits.
    pub fn quit(&self) {
        self.apartment.quit();
    }

    /// Waits until it has ended, which somebody else has to ask for or has asked for: what it accepted is served, its
    /// objects are dropped, its thread has left the library. Waits for ever if nobody does. An STA pumps in this wait;
    /// other threads block, and wait for the destructors of the thread's locals, too.
    ///
    /// # Errors
    /// `Deadlock` on its own thread, which would wait for itself; `NotSupported` on a thread whose host lets nothing block it
    /// (rule AP-9). The handle is gone then, and so the apartment quits.
    #[track_caller]
    pub fn join(self) -> Result<(), CallError> {
        let location = Location::caller();
        if self.is_here() {
            let mailbox = &self.apartment.0;
            let awaits = Awaited::End { of: mailbox.name.clone(), location: Some(location) };
            return Err(waits_for_itself(&Thread::current(), &mailbox.common, awaits));
        }
        Thread::current().may_block()?;
        let joined = self.wait_for_end(Some(location));
        if joined.is_err() {
            // It ends without being joined.
            drop(self.thread.lock().take());
            self.quit();
        }
        joined
    }

    fn is_here(&self) -> bool {
        Thread::current().home().is_some_and(|home| home.is_at(&self.apartment.0))
    }

    fn wait_for_end(&self, location: Option<&'static Location<'static>>) -> Result<(), CallError> {
        join_sta(&self.apartment.0, &self.thread, location)
    }
}

impl Drop for Sta {
    fn drop(&mut self) {
        if self.thread.lock().is_none() {
            return;
        }
        self.quit();
        if may_wait_for_end(&self.apartment.0) && !self.is_here() {
            // If it can never end while this waits it is not joined; that has been told.
            let _told = self.wait_for_end(None);
        }
    }
}

impl fmt::Debug for Sta {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Sta").field(&self.apartment).finish()
    }
}
