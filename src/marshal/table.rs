//! The global interface table: references that anybody of a process can get, by cookie.

use super::parcel::{Contents, Parcel};
use super::proxy::Proxy;
use crate::diagnose::PacketForm;
use crate::error::CallError;
use crate::id::PacketId;
use crate::process::Process;
use crate::sync::Arc;
use crate::thread::Thread;
use crate::view::{Declares, View};
use std::fmt;
use std::hash::{Hash, Hasher};

/// A process' table of references that are for everybody (rule MA-8): registered from anywhere, had anywhere by their
/// [`Cookie`], each time as a reference proper to the apartment that gets it; made by [`Process::global_table`].
///
/// An entry keeps its object, until it is revoked, from whatever apartment, or the process is gone. It does not keep the
/// object's apartment. Getting and revoking at the same time needs no order: a get has the reference, or is told that
/// there is none any more. Nothing here waits, or asks an object or a filter. Clones are the same table.
///
/// ```
/// use apartment::{CallError, Process};
///
/// let process = Process::new();
/// let excel = process.sta("excel").spawn()?;
/// let word = process.sta("word").spawn()?;
/// let table = process.global_table();
///
/// let cookie = table.register(&excel.create(|| 7)?)?;
/// let in_word = word.create(|| ())?;
/// let value = in_word.call(|()| table.get(&cookie)?.call(|n| *n))??;
/// assert_eq!(value, 7);
///
/// table.revoke(&cookie)?;
/// assert!(matches!(table.get(&cookie), Err(CallError::InvalidCookie)));
/// # Ok::<(), apartment::Error>(())
/// ```
#[doc(alias = "IGlobalInterfaceTable")]
#[derive(Clone)]
pub struct GlobalTable(Process);

/// Names an entry of a [`GlobalTable`], and knows its type. It is fresh: no other entry of the program ever has the same.
pub struct Cookie<T: ?Sized> {
    id: PacketId,
    view: View<T>,
}

impl Process {
    /// Its global interface table. Does not wait.
    #[doc(alias = "IGlobalInterfaceTable")]
    pub fn global_table(&self) -> GlobalTable {
        GlobalTable(self.clone())
    }
}

impl GlobalTable {
    /// Puts a reference into the table, which keeps the object from now on; the proxy stays. The object may be of another
    /// process, too.
    ///
    /// # Errors
    /// `Disconnected` once the object's apartment has ended. Under strict rules `WrongThread` if the proxy belongs to another
    /// apartment, `NotInitialized` on a thread that is in none while there is no MTA.
    #[doc(alias = "RegisterInterfaceInGlobal")]
    pub fn register<T: ?Sized + 'static>(&self, proxy: &Proxy<T>) -> Result<Cookie<T>, CallError> {
        self.is_initialized()?;
        let parcel = Parcel::pack::<T>(proxy.reference(), PacketForm::GlobalTable)?;
        let id = parcel.id();
        self.0.table().register(id, Arc::new(parcel));
        Ok(Cookie { id, view: proxy.view() })
    }

    /// A proxy of the apartment in which the calling thread is; the entry stays.
    ///
    /// # Errors
    /// `InvalidCookie` if the entry was revoked, or is another process'; `Disconnected` if the object's apartment has ended.
    /// Under strict rules `NotInitialized` on a thread that is in no apartment while there is no MTA.
    #[doc(alias = "GetInterfaceFromGlobal")]
    pub fn get<T: ?Sized + 'static>(&self, cookie: &Cookie<T>) -> Result<Proxy<T>, CallError> {
        self.parcel(cookie)?.unpack(|_| Ok(cookie.view))
    }

    /// As [`get`](GlobalTable::get), as another interface of the object: what its type declares with
    /// [`implements!`](crate::implements).
    ///
    /// # Errors
    /// `NoInterface` if the object does not have it; the entry stays (rule MA-5). Otherwise as [`get`](GlobalTable::get).
    #[doc(alias = "GetInterfaceFromGlobal")]
    pub fn get_as<T: ?Sized + Declares + 'static, I: ?Sized + 'static>(
        &self,
        cookie: &Cookie<T>,
    ) -> Result<Proxy<I>, CallError> {
        self.parcel(cookie)?.unpack(Contents::seen_as::<T, I>)
    }

    /// Takes the entry out, from whatever apartment. The proxies that were had by it stay.
    ///
    /// # Errors
    /// `InvalidCookie` if it was revoked already, or is another process'. Under strict rules `NotInitialized` on a thread that
    /// is in no apartment while there is no MTA.
    #[doc(alias = "RevokeInterfaceFromGlobal")]
    pub fn revoke<T: ?Sized>(&self, cookie: &Cookie<T>) -> Result<(), CallError> {
        self.is_initialized()?;
        // Here it is dropped, in no lock.
        self.0.table().revoke(cookie.id).map(drop).ok_or(CallError::InvalidCookie)
    }

    fn parcel<T: ?Sized>(&self, cookie: &Cookie<T>) -> Result<Arc<Parcel>, CallError> {
        self.is_initialized()?;
        let kept = self.0.table().get(cookie.id).ok_or(CallError::InvalidCookie)?;
        kept.downcast().map_err(|_| crate::broken("the table holds parcels"))
    }

    fn is_initialized(&self) -> Result<(), CallError> {
        Thread::current().is_initialized(self.0.common())
    }
}

impl fmt::Debug for GlobalTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("GlobalTable").field(&self.0).finish()
    }
}

impl<T: ?Sized> Clone for Cookie<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: ?Sized> Copy for Cookie<T> {}

impl<T: ?Sized> PartialEq for Cookie<T> {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl<T: ?Sized> Eq for Cookie<T> {}

impl<T: ?Sized> Hash for Cookie<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.id.hash(state);
    }
}

impl<T: ?Sized> fmt::Debug for Cookie<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cookie<{}>({}.{})", std::any::type_name::<T>(), self.id.thread.get(), self.id.count)
    }
}

impl<T: ?Sized> fmt::Display for Cookie<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cookie {}.{}", self.id.thread.get(), self.id.count)
    }
}
