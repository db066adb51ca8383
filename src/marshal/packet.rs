//! Marshalled references: on their way from one apartment to another.

use super::local::Local;
use super::parcel::{Contents, Parcel};
use super::proxy::Proxy;
use crate::diagnose::PacketForm;
use crate::error::CallError;
use crate::sync::Arc;
use crate::view::{Declares, View};
use std::fmt;

/// A reference on its way to another apartment: marshalled, to be unmarshalled there, once.
///
/// It is `Send + Sync` and belongs to no apartment. Unmarshalling it takes it, so a second time does not compile; dropped
/// unused it gives its reference back (rule MA-2). As long as it is there it keeps the object, but not the object's
/// apartment: once that has ended, unmarshalling it is `Disconnected` (rule MA-4).
///
/// A [`Proxy`] goes everywhere by itself. A packet is for what comes under [strict
/// rules](crate::ProcessBuilder::strict_rules), where a proxy belongs to one apartment, and for a reference that is to be
/// used up by whoever gets it.
///
/// ```
/// use apartment::{Process, Sta};
///
/// let process = Process::builder().strict_rules().build();
/// let here = process.sta("here").enter()?;
/// let text = here.create(|| String::from("text"))?;
/// let packet = text.marshal()?;
///
/// let there = std::thread::spawn(move || {
///     let there = process.sta("there").enter()?;
///     let text = packet.unmarshal()?; // belongs here now
///     let length = text.call(|text| text.len())?;
///     # text.apartment().unwrap().quit();
///     # drop(text);
///     there.leave();
///     Ok::<_, apartment::Error>(length)
/// });
/// # drop(text);
/// here.run(); // serves the call
/// # drop(here);
/// assert_eq!(there.join().unwrap()?, 4);
/// # Ok::<(), apartment::Error>(())
/// ```
#[doc(alias("CoMarshalInterThreadInterfaceInStream", "CoMarshalInterface", "MSHLFLAGS_NORMAL"))]
#[must_use = "dropped unused, it only gives its reference back"]
pub struct Packet<T: ?Sized> {
    parcel: Parcel,
    view: View<T>,
}

/// A marshalled reference that can be unmarshalled any number of times, from anywhere (rule MA-3).
///
/// A [strong](Table::Strong) one keeps the object; a [weak](Table::Weak) one does not, and says `ObjectNotRegistered` once
/// the object is gone. Clones are the same packet. Otherwise it is as a [`Packet`].
///
/// ```
/// use apartment::{CallError, Sta, Table};
///
/// let sta = Sta::spawn("home")?;
/// let text = sta.create(|| String::from("text"))?;
/// let strong = text.marshal_table(Table::Strong)?;
/// let weak = text.marshal_table(Table::Weak)?;
/// drop(text);
/// assert_eq!(strong.unmarshal()?, weak.unmarshal()?);
/// drop(strong);
/// assert!(matches!(weak.unmarshal(), Err(CallError::ObjectNotRegistered)));
/// # Ok::<(), apartment::Error>(())
/// ```
#[doc(alias("MSHLFLAGS_TABLESTRONG", "MSHLFLAGS_TABLEWEAK"))]
pub struct TablePacket<T: ?Sized> {
    parcel: Arc<Parcel>,
    view: View<T>,
}

/// Whether a [`TablePacket`] keeps its object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Table {
    /// The object lives as long as the packet does.
    #[doc(alias = "MSHLFLAGS_TABLESTRONG")]
    Strong,
    /// It does not.
    #[doc(alias = "MSHLFLAGS_TABLEWEAK")]
    Weak,
}

impl<T: ?Sized + 'static> Proxy<T> {
    /// Marshals the reference: into a packet that goes to another apartment and is unmarshalled there, once. What comes out
    /// leads to the object itself, however often a reference was marshalled before (rule MA-6). Never waits, and asks
    /// neither the object nor a filter.
    ///
    /// # Errors
    /// `Disconnected` once the object's apartment has ended. Under strict rules `WrongThread` if the proxy belongs to another
    /// apartment, `NotInitialized` on a thread that is in none while there is no MTA.
    #[doc(alias("CoMarshalInterface", "CoMarshalInterThreadInterfaceInStream"))]
    pub fn marshal(&self) -> Result<Packet<T>, CallError> {
        let parcel = Parcel::pack::<T>(self.reference(), PacketForm::Normal)?;
        Ok(Packet { parcel, view: self.view() })
    }

    /// Marshals the reference into a packet that can be unmarshalled any number of times. Otherwise as
    /// [`marshal`](Proxy::marshal).
    ///
    /// # Errors
    /// As [`marshal`](Proxy::marshal).
    #[doc(alias = "CoMarshalInterface")]
    pub fn marshal_table(&self, table: Table) -> Result<TablePacket<T>, CallError> {
        let form = match table {
            Table::Strong => PacketForm::TableStrong,
            Table::Weak => PacketForm::TableWeak,
        };
        let parcel = Arc::new(Parcel::pack::<T>(self.reference(), form)?);
        Ok(TablePacket { parcel, view: self.view() })
    }
}

impl<T: ?Sized + 'static> Local<T> {
    /// Marshals the reference, as [`Proxy::marshal`].
    ///
    /// # Errors
    /// `Disconnected` once the apartment has ended, though the object may still be here (rule LT-2). Otherwise as
    /// [`Proxy::marshal`].
    #[doc(alias("CoMarshalInterface", "CoMarshalInterThreadInterfaceInStream"))]
    pub fn marshal(&self) -> Result<Packet<T>, CallError> {
        self.proxy()?.marshal()
    }

    /// Marshals the reference, as [`Proxy::marshal_table`].
    ///
    /// # Errors
    /// As [`marshal`](Local::marshal).
    #[doc(alias = "CoMarshalInterface")]
    pub fn marshal_table(&self, table: Table) -> Result<TablePacket<T>, CallError> {
        self.proxy()?.marshal_table(table)
    }
}

impl<T: ?Sized + 'static> Packet<T> {
    /// A proxy of the apartment in which the calling thread is; at home its calls are direct, and
    /// [`local`](Proxy::local) gives the object itself (rule LT-7). The packet is used up, also if this fails. Never waits,
    /// and asks neither the object nor a filter.
    ///
    /// # Errors
    /// `Disconnected` if the object's apartment has ended (rule MA-4). Under strict rules `NotInitialized` on a thread that
    /// is in no apartment while there is no MTA.
    #[doc(alias("CoGetInterfaceAndReleaseStream", "CoUnmarshalInterface"))]
    pub fn unmarshal(self) -> Result<Proxy<T>, CallError> {
        let Self { mut parcel, view } = self;
        parcel.unpack_last(|_| Ok(view))
    }
}

impl<T: ?Sized + Declares + 'static> Packet<T> {
    /// As [`unmarshal`](Packet::unmarshal), as another interface of the object: what its type declares with
    /// [`implements!`](crate::implements). The packet is used up, also if the object does not have it (rule MA-5).
    ///
    /// # Errors
    /// `NoInterface`; otherwise as [`unmarshal`](Packet::unmarshal).
    #[doc(alias("CoGetInterfaceAndReleaseStream", "CoUnmarshalInterface"))]
    pub fn unmarshal_as<I: ?Sized + 'static>(self) -> Result<Proxy<I>, CallError> {
        let Self { mut parcel, .. } = self;
        parcel.unpack_last(Contents::seen_as::<T, I>)
    }
}

impl<T: ?Sized + 'static> TablePacket<T> {
    /// A proxy of the apartment in which the calling thread is, as [`Packet::unmarshal`] gives it; the packet stays. Never
    /// waits, and asks neither the object nor a filter.
    ///
    /// # Errors
    /// `Disconnected` if the object's apartment has ended (rule MA-4); `ObjectNotRegistered` if the packet is weak and the
    /// object alone is gone. Under strict rules `NotInitialized` on a thread that is in no apartment while there is no MTA.
    #[doc(alias = "CoUnmarshalInterface")]
    pub fn unmarshal(&self) -> Result<Proxy<T>, CallError> {
        self.parcel.unpack(|_| Ok(self.view))
    }
}

impl<T: ?Sized + Declares + 'static> TablePacket<T> {
    /// As [`unmarshal`](TablePacket::unmarshal), as another interface of the object: what its type declares with
    /// [`implements!`](crate::implements).
    ///
    /// # Errors
    /// `NoInterface` if the object does not have it; otherwise as [`unmarshal`](TablePacket::unmarshal).
    #[doc(alias = "CoUnmarshalInterface")]
    pub fn unmarshal_as<I: ?Sized + 'static>(&self) -> Result<Proxy<I>, CallError> {
        self.parcel.unpack(Contents::seen_as::<T, I>)
    }
}

impl<T: ?Sized> Clone for TablePacket<T> {
    fn clone(&self) -> Self {
        Self { parcel: Arc::clone(&self.parcel), view: self.view }
    }
}

impl<T: ?Sized> fmt::Debug for Packet<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Packet<{}>({})", std::any::type_name::<T>(), self.parcel)
    }
}

impl<T: ?Sized> fmt::Debug for TablePacket<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TablePacket<{}>({})", std::any::type_name::<T>(), self.parcel)
    }
}
