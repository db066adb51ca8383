//! A class: how its objects are made, and on which threads they can live.

use crate::apartment::{keep_at_home, keep_shared, make_from};
use crate::describe::{CallTarget, ThreadingModel};
use crate::error::CallError;
use crate::mailbox::Mailbox;
use crate::process::Process;
use crate::stub::Stub;
use crate::sync::Arc;
use crate::thread::panic_message;
use crate::view::{After, Declaration, Declares, Held};
use std::any::type_name;
use std::convert::Infallible;
use std::error::Error as StdError;
use std::fmt;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};

/// A class: a factory of objects and the threading model that says where they can live (rule CL-1).
///
/// The factory makes a new object each time it is called. It is called in the apartment in which the object is to live, and
/// may be called from several at once: so it is `Send + Sync`, though its objects need not be. A Single class' factory is
/// only ever called on the main STA (rule CL-4). The objects' type says with [`implements!`](crate::implements) which
/// interfaces they answer to.
///
/// Classes are registered by an id, alone or as part of a [`Server`](crate::Server), and made by
/// [`Process::create_instance`](crate::Process::create_instance), which has the table of who makes what where.
#[doc(alias("coclass", "ThreadingModel", "IClassFactory"))]
pub struct Class {
    model: ThreadingModel,
    pub(super) free_threaded: bool,
    pub(super) maker: Box<dyn Maker>,
}

/// Makes objects of a type that only it knows.
pub(super) trait Maker: Send + Sync {
    /// What the objects' type answers to.
    fn declaration(&self) -> &'static Declaration;

    fn make(&self, at: &Arc<Mailbox>, making: Making<'_>) -> Result<Arc<Stub>, CallError>;

    /// Makes one that belongs to no apartment, on this thread.
    fn make_free(&self, process: &Process, making: Making<'_>) -> Result<Arc<Stub>, CallError>;
}

/// An object that is to be made.
pub(super) struct Making<'a> {
    pub(super) class: &'a Arc<str>,
    /// Dropped behind the object.
    pub(super) after: After,
    pub(super) location: &'static Location<'static>,
}

type Boxed = Box<dyn StdError + Send + Sync>;

/// For objects that stay on an STA's thread.
struct Stays<T, F> {
    factory: F,
    makes: PhantomData<fn() -> T>,
}

/// For objects that any thread can call: they can live in an STA, too.
struct Shared<T, F> {
    factory: F,
    makes: PhantomData<fn() -> T>,
}

impl<T: Declares + 'static, F: Fn() -> Result<T, Boxed> + Send + Sync> Maker for Stays<T, F> {
    fn declaration(&self) -> &'static Declaration {
        T::declaration(None)
    }

    fn make(&self, at: &Arc<Mailbox>, making: Making<'_>) -> Result<Arc<Stub>, CallError> {
        let Making { class, after, location } = making;
        let make = || Ok(Held::with((self.factory)()?, after));
        make_from(location, at, make, keep_at_home::<T>)?.map_err(|error| CallError::factory_failed(class, error))
    }

    fn make_free(&self, _: &Process, _: Making<'_>) -> Result<Arc<Stub>, CallError> {
        crate::broken("a free-threaded class is registered only if its objects are shared")
    }
}

impl<T: Declares + Send + Sync + 'static, F: Fn() -> Result<T, Boxed> + Send + Sync> Maker for Shared<T, F> {
    fn declaration(&self) -> &'static Declaration {
        T::declaration(None)
    }

    fn make(&self, at: &Arc<Mailbox>, making: Making<'_>) -> Result<Arc<Stub>, CallError> {
        let Making { class, after, location } = making;
        let make = || Ok(Held::with((self.factory)()?, after));
        let keep = if at.is_sta() { keep_at_home::<T> } else { keep_shared::<T> };
        make_from(location, at, make, keep)?.map_err(|error| CallError::factory_failed(class, error))
    }

    fn make_free(&self, process: &Process, making: Making<'_>) -> Result<Arc<Stub>, CallError> {
        let Making { class, after, location } = making;
        match catch_unwind(AssertUnwindSafe(&self.factory)) {
            Ok(Ok(object)) => Ok(process.keep_free(Held::with(object, after))),
            Ok(Err(error)) => Err(CallError::factory_failed(class, error)),
            Err(payload) => {
                let target = CallTarget { object: None, type_name: type_name::<T>(), method: None, location };
                Err(CallError::ServerFault { target, message: panic_message(payload) })
            }
        }
    }
}

impl Class {
    /// All its objects live in the main STA, on one thread of the process; and nothing else of it, its factory included,
    /// ever runs elsewhere. COM's classes without a threading model.
    pub fn single<T: Declares + 'static>(factory: impl Fn() -> T + Send + Sync + 'static) -> Self {
        Self::try_single(move || Ok::<_, Infallible>(factory()))
    }

    /// As [`single`](Class::single), with a factory that may fail.
    pub fn try_single<T: Declares + 'static, E: Into<Boxed>>(
        factory: impl Fn() -> Result<T, E> + Send + Sync + 'static,
    ) -> Self {
        Self::stays(ThreadingModel::Single, factory)
    }

    /// Its objects live in STAs: each in that of its creator, or in the host STA if that is in none.
    ///
    /// ```
    /// use apartment::{Class, Process, implements};
    /// use std::cell::Cell;
    ///
    /// struct Counter(Cell<u32>);
    /// implements!(Counter);
    ///
    /// let process = Process::new();
    /// process.register_class("Counter", Class::apartment(|| Counter(Cell::new(0))))?;
    /// let counter = process.create_instance::<Counter>("Counter")?;
    /// counter.call(|counter| counter.0.set(counter.0.get() + 1))?;
    /// // This thread is in no STA: the object lives in a host.
    /// assert_eq!(counter.apartment().unwrap().name(), "host STA");
    /// # Ok::<(), apartment::Error>(())
    /// ```
    #[doc(alias = "apartment-threaded")]
    pub fn apartment<T: Declares + 'static>(factory: impl Fn() -> T + Send + Sync + 'static) -> Self {
        Self::try_apartment(move || Ok::<_, Infallible>(factory()))
    }

    /// As [`apartment`](Class::apartment), with a factory that may fail.
    ///
    /// ```
    /// use apartment::{CallError, Class, Process, implements};
    /// use std::error::Error;
    /// use std::num::ParseIntError;
    ///
    /// struct Port(u16);
    /// implements!(Port);
    ///
    /// let process = Process::new();
    /// process.register_class("Port", Class::try_apartment(|| Ok::<_, ParseIntError>(Port("eighty".parse()?))))?;
    /// let error = process.create_instance::<Port>("Port").unwrap_err();
    /// assert!(matches!(error, CallError::FactoryFailed { .. }));
    /// assert!(error.source().is_some_and(|source| source.is::<ParseIntError>()));
    /// # Ok::<(), apartment::Error>(())
    /// ```
    pub fn try_apartment<T: Declares + 'static, E: Into<Boxed>>(
        factory: impl Fn() -> Result<T, E> + Send + Sync + 'static,
    ) -> Self {
        Self::stays(ThreadingModel::Apartment, factory)
    }

    /// Its objects live in the MTA. They are called by several threads at once, and must be `Send + Sync`.
    pub fn free<T: Declares + Send + Sync + 'static>(factory: impl Fn() -> T + Send + Sync + 'static) -> Self {
        Self::try_free(move || Ok::<_, Infallible>(factory()))
    }

    /// As [`free`](Class::free), with a factory that may fail.
    pub fn try_free<T: Declares + Send + Sync + 'static, E: Into<Boxed>>(
        factory: impl Fn() -> Result<T, E> + Send + Sync + 'static,
    ) -> Self {
        Self::shared(ThreadingModel::Free, factory)
    }

    /// Its objects live where their creator is, whose calls are always direct; from elsewhere they are called through
    /// proxies. In the MTA they are called by several threads at once, and so must be `Send + Sync`.
    pub fn both<T: Declares + Send + Sync + 'static>(factory: impl Fn() -> T + Send + Sync + 'static) -> Self {
        Self::try_both(move || Ok::<_, Infallible>(factory()))
    }

    /// As [`both`](Class::both), with a factory that may fail.
    pub fn try_both<T: Declares + Send + Sync + 'static, E: Into<Boxed>>(
        factory: impl Fn() -> Result<T, E> + Send + Sync + 'static,
    ) -> Self {
        Self::shared(ThreadingModel::Both, factory)
    }

    /// Its objects are also [free-threaded](crate::Process::free_threaded): they belong to no apartment and are called
    /// directly from everywhere (rule MA-7). For classes of the model Both only; registering another fails.
    #[must_use]
    #[doc(alias("CoCreateFreeThreadedMarshaler", "free-threaded marshaler"))]
    pub fn free_threaded(self) -> Self {
        Self { free_threaded: true, ..self }
    }

    /// Its threading model.
    pub fn model(&self) -> ThreadingModel {
        self.model
    }

    fn stays<T: Declares + 'static, E: Into<Boxed>>(
        model: ThreadingModel,
        factory: impl Fn() -> Result<T, E> + Send + Sync + 'static,
    ) -> Self {
        let factory = move || factory().map_err(Into::into);
        Self { model, free_threaded: false, maker: Box::new(Stays { factory, makes: PhantomData }) }
    }

    fn shared<T: Declares + Send + Sync + 'static, E: Into<Boxed>>(
        model: ThreadingModel,
        factory: impl Fn() -> Result<T, E> + Send + Sync + 'static,
    ) -> Self {
        let factory = move || factory().map_err(Into::into);
        Self { model, free_threaded: false, maker: Box::new(Shared { factory, makes: PhantomData }) }
    }
}

impl fmt::Debug for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Class")
            .field("model", &self.model)
            .field("free_threaded", &self.free_threaded)
            .field("objects", &self.maker.declaration().type_name())
            .finish_non_exhaustive()
    }
}
