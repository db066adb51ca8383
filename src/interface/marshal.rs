//! References to objects inside values (rule CK-6): how they are found, and told that they go to another apartment.

use crate::error::CallError;
use crate::marshal::{Cookie, Place, Proxy, Reference, TablePacket, WeakProxy};
use crate::sync::Arc;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet, LinkedList, VecDeque};
use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::marker::PhantomData;
use std::ops::{Bound, Range, RangeFrom, RangeInclusive, RangeTo};

/// A value in which references to objects are found when it goes to another apartment as an argument or a result of an
/// [interface](crate::interface!)'s method (rule CK-6): each arrives as a working reference of that apartment.
///
/// [`Proxy`] and [`WeakProxy`] are such values, and so are options, vectors, maps, tuples and the like of them, and the
/// plain data of the standard library. A type of one's own derives it; all its fields must be such values, or say that
/// they hold no references. Types that do not implement it cross as they are, which is all that is needed of a type
/// without references in it, and even of one with them unless the process has strict rules: there (rule ST-2) a
/// reference belongs to one apartment, and one that came to another unseen cannot be used there.
///
/// ```
/// use apartment::{Marshal, Proxy, Sta, interface, implements};
///
/// interface! {
///     pub trait Sink {
///         fn line(&self, text: &str) -> Result<(), apartment::Error>;
///     }
///     pub trait Printer {
///         fn print(&self, job: Job) -> Result<usize, apartment::Error>;
///     }
/// }
///
/// #[derive(Clone, Marshal)]
/// pub struct Job {
///     text: String,
///     copies: Vec<Proxy<dyn Sink>>,
///     #[marshal(skip)]                          // not of the standard library, and holds no references
///     at: Option<Pages>,
/// }
/// # #[derive(Clone)]
/// # pub struct Pages;
/// # struct Count(std::cell::Cell<usize>);
/// # impl Sink for Count {
/// #     fn line(&self, text: &str) -> Result<(), apartment::Error> {
/// #         self.0.set(self.0.get() + text.len());
/// #         Ok(())
/// #     }
/// # }
/// # implements!(Count: dyn Sink);
///
/// struct Press;
/// impl Printer for Press {
///     fn print(&self, job: Job) -> Result<usize, apartment::Error> {
///         for sink in &job.copies {
///             sink.line(&job.text)?;            // proper to the printer's apartment
///         }
///         Ok(job.copies.len())
///     }
/// }
/// implements!(Press: dyn Printer);
///
/// let (office, press) = (Sta::spawn("office")?, Sta::spawn("press")?);
/// let sink = office.create(|| Count(0.into()))?;
/// let printer = press.create(|| Press)?.cast::<dyn Printer>();
/// let copies = vec![sink.cast(), sink.cast()];
/// assert_eq!(printer.print(Job { text: "page".into(), copies, at: None })?, 2);
/// assert_eq!(sink.call(|count| count.0.get())?, 8);
/// # Ok::<(), apartment::Error>(())
/// ```
///
/// By hand it is implemented by marshalling each part:
///
/// ```
/// use apartment::{CallError, Marshal, Marshaller, Proxy};
///
/// #[derive(Clone)]
/// struct Listeners<T>(Box<[Proxy<T>]>);
///
/// impl<T> Marshal for Listeners<T>
/// where
///     Self: Clone,
/// {
///     const REFERENCES: bool = true;
///
///     fn marshal_with(&mut self, with: &mut Marshaller) -> Result<(), CallError> {
///         self.0.iter_mut().try_for_each(|listener| listener.marshal_with(with))
///     }
/// }
/// ```
///
/// A type whose fields name it again, a tree, counts as one that can hold references. Types that name each other in a
/// circle have to say so by hand.
#[doc(alias = "IMarshal")]
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say which references to objects it holds",
    label = "does not implement `Marshal`",
    note = "derive it for a type of yours, `#[derive(Clone, Marshal)]`; a field that holds no references is left out with \
            `#[marshal(skip)]`"
)]
pub trait Marshal: Clone {
    /// Whether a value can hold a reference to an object. Of one that can, a borrowed argument is copied, and the copy
    /// marshalled.
    const REFERENCES: bool;

    /// Marshals each reference in the value, on its way out or at its arrival.
    ///
    /// # Errors
    /// The first one of a reference in it: under strict rules `WrongThread` if it belongs to another apartment than the
    /// one that it leaves (rule ST-2). A call whose arguments cannot leave fails with it, and has not started; one whose
    /// result cannot has run, and fails with [`ServerCantMarshal`](CallError::ServerCantMarshal).
    fn marshal_with(&mut self, with: &mut Marshaller) -> Result<(), CallError>;
}

/// Knows whether a value leaves an apartment or arrives in one; values pass it on to their parts
/// ([`Marshal::marshal_with`]).
pub struct Marshaller(Side);

enum Side {
    Leaving,
    Arriving,
    /// What was lent to be changed comes back from there.
    Back(Option<Place>),
}

impl fmt::Debug for Marshaller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Side::Leaving => "Marshaller(leaving)",
            Side::Arriving => "Marshaller(arriving)",
            Side::Back(_) => "Marshaller(coming back)",
        })
    }
}

impl Marshaller {
    /// For values that leave the calling thread's apartment: their references must belong there. Nothing is changed.
    pub(super) fn leaving() -> Self {
        Self(Side::Leaving)
    }

    /// For values that have arrived in the calling thread's apartment: their references belong there from now on.
    pub(super) fn arriving() -> Self {
        Self(Side::Arriving)
    }

    /// For values that come back from where an object lives, changed or not.
    pub(super) fn back_from(object: &Reference) -> Self {
        Self(Side::Back(object.home()))
    }
}

impl<T: ?Sized> Marshal for Proxy<T> {
    const REFERENCES: bool = true;

    fn marshal_with(&mut self, with: &mut Marshaller) -> Result<(), CallError> {
        let reference = self.reference_mut();
        match &with.0 {
            Side::Leaving => return reference.leaves(),
            Side::Arriving => reference.arrives(),
            Side::Back(there) => reference.comes_back(there.as_ref()),
        }
        Ok(())
    }
}

/// One whose object is gone has nothing to marshal.
impl<T: ?Sized + 'static> Marshal for WeakProxy<T> {
    const REFERENCES: bool = true;

    fn marshal_with(&mut self, with: &mut Marshaller) -> Result<(), CallError> {
        if let Some(mut proxy) = self.upgrade() {
            proxy.marshal_with(with)?;
            *self = proxy.downgrade();
        }
        Ok(())
    }
}

/// Types that hold no references.
macro_rules! plain {
    ($($ty:ty),* $(,)?) => { $(
        impl Marshal for $ty {
            const REFERENCES: bool = false;

            fn marshal_with(&mut self, _: &mut Marshaller) -> Result<(), CallError> {
                Ok(())
            }
        }
    )* };
}

plain!(
    bool,
    char,
    u8,
    u16,
    u32,
    u64,
    u128,
    usize,
    i8,
    i16,
    i32,
    i64,
    i128,
    isize,
    f32,
    f64,
    &str,
    String,
    Box<str>,
    std::num::NonZeroU8,
    std::num::NonZeroU16,
    std::num::NonZeroU32,
    std::num::NonZeroU64,
    std::num::NonZeroU128,
    std::num::NonZeroUsize,
    std::num::NonZeroI8,
    std::num::NonZeroI16,
    std::num::NonZeroI32,
    std::num::NonZeroI64,
    std::num::NonZeroI128,
    std::num::NonZeroIsize,
    std::cmp::Ordering,
    std::convert::Infallible,
    std::ffi::CString,
    std::ffi::OsString,
    std::path::PathBuf,
    Box<std::path::Path>,
    Box<std::ffi::OsStr>,
    Box<std::ffi::CStr>,
    Arc<str>,
    std::net::IpAddr,
    std::net::Ipv4Addr,
    std::net::Ipv6Addr,
    std::net::SocketAddr,
    std::net::SocketAddrV4,
    std::net::SocketAddrV6,
    std::ops::RangeFull,
    std::time::Duration,
    std::time::Instant,
    std::time::SystemTime,
    CallError,
    crate::apartment::Apartment,
    crate::describe::ApartmentName,
    crate::id::ApartmentId,
    crate::id::CallId,
    crate::id::ChainId,
    crate::id::ObjectId,
    crate::id::PacketId,
    crate::id::ThreadId,
    crate::process::Process,
    crate::thread::CancelHandle,
);

/// Types that hold no reference of an apartment, whatever their parameter: a packet or a cookie leads to an object, and
/// belongs to nobody.
macro_rules! of_anything {
    ($($ty:ty),*) => { $(
        impl<T: ?Sized> Marshal for $ty {
            const REFERENCES: bool = false;

            fn marshal_with(&mut self, _: &mut Marshaller) -> Result<(), CallError> {
                Ok(())
            }
        }
    )* };
}

of_anything!(PhantomData<T>, TablePacket<T>, Cookie<T>);

/// Types whose parts can be reached in place.
macro_rules! in_place {
    ($([$($parameter:ident)*] $ty:ty, |$value:ident| $parts:expr;)*) => { $(
        impl<$($parameter: Marshal),*> Marshal for $ty {
            const REFERENCES: bool = false $(| $parameter::REFERENCES)*;

            fn marshal_with(&mut self, with: &mut Marshaller) -> Result<(), CallError> {
                let $value = self;
                $parts.into_iter().try_for_each(|part| part.marshal_with(with))
            }
        }
    )* };
}

in_place! {
    [T] Option<T>, |value| value;
    [T] Vec<T>, |value| value;
    [T] VecDeque<T>, |value| value;
    [T] LinkedList<T>, |value| value;
    [T] Box<[T]>, |value| value.iter_mut();
    [T] Box<T>, |value| [&mut **value];
    [T] Range<T>, |value| [&mut value.start, &mut value.end];
    [T] RangeFrom<T>, |value| [&mut value.start];
    [T] RangeTo<T>, |value| [&mut value.end];
}

impl<T: Marshal, const N: usize> Marshal for [T; N] {
    const REFERENCES: bool = T::REFERENCES;

    fn marshal_with(&mut self, with: &mut Marshaller) -> Result<(), CallError> {
        self.iter_mut().try_for_each(|part| part.marshal_with(with))
    }
}

impl<T: Marshal> Marshal for RangeInclusive<T> {
    const REFERENCES: bool = T::REFERENCES;

    fn marshal_with(&mut self, with: &mut Marshaller) -> Result<(), CallError> {
        if T::REFERENCES {
            let (mut start, mut end) = self.clone().into_inner();
            start.marshal_with(with)?;
            end.marshal_with(with)?;
            *self = start..=end;
        }
        Ok(())
    }
}

impl<T: Marshal> Marshal for Bound<T> {
    const REFERENCES: bool = T::REFERENCES;

    fn marshal_with(&mut self, with: &mut Marshaller) -> Result<(), CallError> {
        match self {
            Bound::Included(bound) | Bound::Excluded(bound) => bound.marshal_with(with),
            Bound::Unbounded => Ok(()),
        }
    }
}

impl<T: Marshal, E: Marshal> Marshal for Result<T, E> {
    const REFERENCES: bool = T::REFERENCES | E::REFERENCES;

    fn marshal_with(&mut self, with: &mut Marshaller) -> Result<(), CallError> {
        match self {
            Ok(value) => value.marshal_with(with),
            Err(error) => error.marshal_with(with),
        }
    }
}

impl<B: ToOwned<Owned: Marshal> + ?Sized> Marshal for Cow<'_, B> {
    const REFERENCES: bool = B::Owned::REFERENCES;

    fn marshal_with(&mut self, with: &mut Marshaller) -> Result<(), CallError> {
        if B::Owned::REFERENCES { self.to_mut().marshal_with(with) } else { Ok(()) }
    }
}

/// Marshals what can only be reached by taking it out; all of it goes back.
fn taken_out<T: Marshal, C: Extend<T>>(parts: Vec<T>, with: &mut Marshaller, back: &mut C) -> Result<(), CallError> {
    let mut result = Ok(());
    back.extend(parts.into_iter().map(|mut part| {
        if result.is_ok() {
            result = part.marshal_with(with);
        }
        part
    }));
    result
}

impl<K: Marshal + Eq + Hash, V: Marshal, S: BuildHasher + Clone> Marshal for HashMap<K, V, S> {
    const REFERENCES: bool = K::REFERENCES | V::REFERENCES;

    fn marshal_with(&mut self, with: &mut Marshaller) -> Result<(), CallError> {
        match K::REFERENCES {
            true => taken_out(self.drain().collect(), with, self),
            false => self.values_mut().try_for_each(|value| value.marshal_with(with)),
        }
    }
}

impl<K: Marshal + Ord, V: Marshal> Marshal for BTreeMap<K, V> {
    const REFERENCES: bool = K::REFERENCES | V::REFERENCES;

    fn marshal_with(&mut self, with: &mut Marshaller) -> Result<(), CallError> {
        match K::REFERENCES {
            true => taken_out(std::mem::take(self).into_iter().collect(), with, self),
            false => self.values_mut().try_for_each(|value| value.marshal_with(with)),
        }
    }
}

impl<T: Marshal + Eq + Hash, S: BuildHasher + Clone> Marshal for HashSet<T, S> {
    const REFERENCES: bool = T::REFERENCES;

    fn marshal_with(&mut self, with: &mut Marshaller) -> Result<(), CallError> {
        if T::REFERENCES { taken_out(self.drain().collect(), with, self) } else { Ok(()) }
    }
}

impl<T: Marshal + Ord> Marshal for BTreeSet<T> {
    const REFERENCES: bool = T::REFERENCES;

    fn marshal_with(&mut self, with: &mut Marshaller) -> Result<(), CallError> {
        if T::REFERENCES { taken_out(std::mem::take(self).into_iter().collect(), with, self) } else { Ok(()) }
    }
}

impl<T: Marshal + Ord> Marshal for BinaryHeap<T> {
    const REFERENCES: bool = T::REFERENCES;

    fn marshal_with(&mut self, with: &mut Marshaller) -> Result<(), CallError> {
        if T::REFERENCES { taken_out(std::mem::take(self).into_vec(), with, self) } else { Ok(()) }
    }
}

macro_rules! tuples {
    ($($name:ident)*) => {
        impl<$($name: Marshal),*> Marshal for ($($name,)*) {
            const REFERENCES: bool = false $(| $name::REFERENCES)*;

            #[allow(non_snake_case, reason = "the parts are named as their types")]
            fn marshal_with(&mut self, with: &mut Marshaller) -> Result<(), CallError> {
                let ($($name,)*) = self;
                $($name.marshal_with(with)?;)*
                let _ = with;
                Ok(())
            }
        }
    };
}

tuples!();
tuples!(A);
tuples!(A B);
tuples!(A B C);
tuples!(A B C D);
tuples!(A B C D E);
tuples!(A B C D E F);
tuples!(A B C D E F G);
tuples!(A B C D E F G H);
tuples!(A B C D E F G H I);
tuples!(A B C D E F G H I J);
tuples!(A B C D E F G H I J K);
tuples!(A B C D E F G H I J K L);
