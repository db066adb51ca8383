//! What the tests meet with, of the model checker's: threads, channels and locks.

mod channel;
#[allow(unused, clippy::all)]
mod doorbell {
    include!(concat!(env!("OUT_DIR"), "/rules/doorbell.rs"));
}
pub(crate) mod sync;
pub(crate) mod thread;

use apartment_models::Model;

pub(crate) use channel::{Receiver, Select, Sender, TrySendError, at, bounded, never, select, unbounded};
pub(crate) use doorbell::Doorbell;

/// Looks at a test of a rule as at a model, with such a bound.
pub(crate) fn model(name: &'static str, bound: usize, body: impl Fn() + Send + Sync + 'static) {
    Model::rule(name).preemptions(bound).check(body);
}

macro_rules! locals {
    ($($(#[$attribute:meta])* $vis:vis static $name:ident: $type:ty = const { $value:expr } $(;)?)*) => {$(
        $(#[$attribute])* $vis static $name: $crate::meet::LocalKey<$type> = {
            loom::thread_local! { static INNER: $type = $value; }
            $crate::meet::LocalKey(&INNER)
        };
    )*};
}
pub(crate) use locals as thread_local;

/// A local of one thread of the model.
pub(crate) struct LocalKey<T: 'static>(pub(crate) &'static loom::thread::LocalKey<T>);

impl<T> LocalKey<T> {
    pub(crate) fn with<R>(&'static self, body: impl FnOnce(&T) -> R) -> R {
        self.0.with(body)
    }
}

impl<T> LocalKey<std::cell::Cell<T>> {
    pub(crate) fn set(&'static self, value: T) {
        self.0.with(|cell| cell.set(value));
    }

    pub(crate) fn get(&'static self) -> T
    where
        T: Copy,
    {
        self.0.with(std::cell::Cell::get)
    }

    pub(crate) fn take(&'static self) -> T
    where
        T: Default,
    {
        self.0.with(std::cell::Cell::take)
    }
}

impl<T> LocalKey<std::cell::RefCell<T>> {
    pub(crate) fn set(&'static self, value: T) {
        self.0.with(|cell| drop(cell.replace(value)));
    }

    pub(crate) fn take(&'static self) -> T
    where
        T: Default,
    {
        self.0.with(std::cell::RefCell::take)
    }

    pub(crate) fn with_borrow_mut<R>(&'static self, body: impl FnOnce(&mut T) -> R) -> R {
        self.0.with(|cell| body(&mut cell.borrow_mut()))
    }
}

pub(crate) mod mpsc {
    pub(crate) use super::channel::{Receiver, Sender};

    pub(crate) fn channel<T>() -> (Sender<T>, Receiver<T>) {
        super::unbounded()
    }
}
