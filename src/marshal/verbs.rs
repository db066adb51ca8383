//! What can be done with a proxy, with and without options.

use super::proxy::Proxy;
use crate::apartment::{CallOptions, PostOptions, Terms, give_back, invoke, send};
use crate::call::record::Attempt;
use crate::describe::{CallKind, CallTarget};
use crate::error::{CallError, PostError};
use crate::mailbox::{Body, Closure};
use crate::stub::Stub;
use crate::sync::Arc;
use crate::thread::{Borrow, Thread, panic_message};
use std::any::{Any, type_name};
use std::cell::RefCell;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};

/// A proxy with options for its next calls; made by [`Proxy::with`] and [`Proxy::within`].
#[derive(Debug)]
#[must_use = "options do nothing by themselves"]
pub struct With<'a, T: ?Sized, O> {
    proxy: &'a Proxy<T>,
    options: O,
}

impl<'a, T: 'static, O> With<'a, T, O> {
    pub(super) fn new(proxy: &'a Proxy<T>, options: O) -> Self {
        Self { proxy, options }
    }
}

/// Options that a call can have.
trait Callable {
    fn terms(&self) -> Terms<'_>;
}

impl Callable for CallOptions<'_> {
    fn terms(&self) -> Terms<'_> {
        Terms { within: self.within, room: self.room, retry: self.retry.as_deref(), cancel: self.cancel }
    }
}

impl<O: Callable> Callable for &O {
    fn terms(&self) -> Terms<'_> {
        (**self).terms()
    }
}

macro_rules! calling_verbs {
    ($options:ty) => {
        impl<T: 'static> With<'_, T, $options> {
            /// As [`Proxy::call`], with these options.
            ///
            /// # Errors
            /// As [`Proxy::call`].
            #[track_caller]
            pub fn call<R: Send>(&self, method: impl FnOnce(&T) -> R + Send) -> Result<R, CallError> {
                call(self.proxy.stub(), self.options.terms(), method)
            }
        }

        impl<T: 'static> With<'_, RefCell<T>, $options> {
            /// As [`Proxy::call_mut`], with these options.
            ///
            /// # Errors
            /// As [`Proxy::call_mut`].
            #[track_caller]
            pub fn call_mut<R: Send>(&self, method: impl FnOnce(&mut T) -> R + Send) -> Result<R, CallError> {
                call_mut(self.proxy.stub(), self.options.terms(), method)
            }

            /// As [`Proxy::call_ref`], with these options.
            ///
            /// # Errors
            /// As [`Proxy::call_ref`].
            #[track_caller]
            pub fn call_ref<R: Send>(&self, method: impl FnOnce(&T) -> R + Send) -> Result<R, CallError> {
                call_ref(self.proxy.stub(), self.options.terms(), method)
            }
        }
    };
}

calling_verbs!(&CallOptions<'_>);
calling_verbs!(CallOptions<'_>);

impl<T: 'static> With<'_, T, &PostOptions> {
    /// As [`Proxy::post`], with these options: it may wait for room.
    ///
    /// # Errors
    /// As [`Proxy::post`]; `TimedOut` if the deadline passed before there was room.
    #[track_caller]
    pub fn post<F: FnOnce(&T) + Send + 'static>(&self, run: F) -> Result<(), PostError<F>> {
        let PostOptions { within, room } = *self.options;
        post(self.proxy.stub(), Terms { within, room, ..Terms::default() }, run)
    }
}

/// What a call's closure left in the caller's frame.
fn result<R>(left: Option<R>) -> R {
    left.unwrap_or_else(|| crate::broken("a call that ran left its result"))
}

fn object<T: 'static>(object: &dyn Any) -> &T {
    object.downcast_ref().unwrap_or_else(|| crate::broken("a proxy's object is of its type"))
}

fn target<T>(stub: &Stub, location: &'static Location<'static>) -> CallTarget {
    CallTarget { object: Some(stub.object), type_name: type_name::<T>(), method: None, location }
}

#[track_caller]
pub(super) fn call<T: 'static, R: Send>(
    stub: &Arc<Stub>,
    terms: Terms<'_>,
    method: impl FnOnce(&T) -> R + Send,
) -> Result<R, CallError> {
    attempt(stub, terms, method, |cell: &T, method| run(|| method(cell)))
}

#[track_caller]
pub(super) fn call_mut<T: 'static, R: Send>(
    stub: &Arc<Stub>,
    terms: Terms<'_>,
    method: impl FnOnce(&mut T) -> R + Send,
) -> Result<R, CallError> {
    attempt(stub, terms, method, |cell: &RefCell<T>, method| match cell.try_borrow_mut() {
        Ok(mut object) => {
            Thread::current().holds(Borrow::Cell);
            run(|| method(&mut object))
        }
        Err(_) => Ran::Busy(method),
    })
}

#[track_caller]
pub(super) fn call_ref<T: 'static, R: Send>(
    stub: &Arc<Stub>,
    terms: Terms<'_>,
    method: impl FnOnce(&T) -> R + Send,
) -> Result<R, CallError> {
    attempt(stub, terms, method, |cell: &RefCell<T>, method| match cell.try_borrow() {
        Ok(object) => {
            Thread::current().holds(Borrow::Cell);
            run(|| method(&object))
        }
        Err(_) => Ran::Busy(method),
    })
}

/// What came of trying to run a method.
enum Ran<M, R> {
    Returned(R),
    Panicked(Arc<str>),
    /// Not run: the method again, for the next attempt.
    Busy(M),
}

/// A panic in the method is the caller's to learn of (rule LT-4). What it may leave half-changed is the object, which
/// its apartment goes on serving as COM does.
fn run<M, R>(method: impl FnOnce() -> R) -> Ran<M, R> {
    match catch_unwind(AssertUnwindSafe(method)) {
        Ok(result) => Ran::Returned(result),
        Err(payload) => Ran::Panicked(panic_message(payload)),
    }
}

#[track_caller]
fn attempt<T: 'static, M: Send, R: Send>(
    stub: &Arc<Stub>,
    terms: Terms<'_>,
    method: M,
    try_it: fn(&T, M) -> Ran<M, R>,
) -> Result<R, CallError> {
    let target = target::<T>(stub, Location::caller());
    let mut method = Some(method);
    let mut left = None;
    let mut job = |any: &dyn Any| {
        let Some(taken) = method.take() else { crate::broken("a call's closure runs once") };
        match try_it(object(any), taken) {
            Ran::Returned(result) => left = Some(result),
            Ran::Panicked(message) => return Attempt::Ran(Some(message)),
            Ran::Busy(again) => {
                method = Some(again);
                return Attempt::Busy;
            }
        }
        Attempt::Ran(None)
    };
    invoke(&stub.mailbox, CallKind::Synchronous, target, terms, &mut job)?;
    Ok(result(left))
}

#[track_caller]
pub(super) fn post<T: 'static, F: FnOnce(&T) + Send + 'static>(
    stub: &Arc<Stub>,
    terms: Terms<'_>,
    run: F,
) -> Result<(), PostError<F>> {
    let target = target::<T>(stub, Location::caller());
    let closure = Posted { run, stub: Arc::clone(stub), object: PhantomData };
    send(&stub.mailbox, target, terms, Body::Post, Box::new(closure))
        .map_err(|(error, closure)| PostError::new(error, give_back::<Posted<T, F>>(closure).run))
}

/// A post's closure, and a reference: the object is there when it runs.
struct Posted<T, F> {
    run: F,
    stub: Arc<Stub>,
    object: PhantomData<fn() -> T>,
}

impl<T: 'static, F: FnOnce(&T) + Send + 'static> Closure for Posted<T, F> {
    fn run(self: Box<Self>, any: &dyn Any) {
        let Self { run, stub, .. } = *self;
        run(object(any));
        drop(stub);
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}
