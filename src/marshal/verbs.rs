//! What can be done with a proxy, with and without options.

use super::future::CallFuture;
use super::owned::{Gives, Owned};
use super::proxy::Proxy;
use super::reference::Reference;
use crate::apartment::{
    AsyncOptions, CallOptions, Load, PostOptions, Terms, invoke, invoke_async, invoke_free, send, send_free,
    tell_refused,
};
use crate::call::record::{Attempt, Work};
use crate::describe::{CallKind, Method};
use crate::error::{CallError, PostError};
use crate::mailbox::{Body, Closure, Sent};
use crate::stub::{Site, Stub};
use crate::sync::Arc;
use crate::thread::{Borrow, Thread, panic_message};
use crate::view::View;
use std::any::Any;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};

/// A proxy with options for its next calls; made by [`Proxy::with`] and [`Proxy::within`].
#[derive(Debug)]
#[must_use = "options do nothing by themselves"]
pub struct With<'a, T: ?Sized, O> {
    proxy: &'a Proxy<T>,
    options: O,
}

impl<'a, T: ?Sized + 'static, O> With<'a, T, O> {
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
        let Self { within, room, retry, cancel } = self;
        Terms { within: *within, room: *room, retry: retry.as_deref(), cancel: *cancel, internal: false }
    }
}

impl<O: Callable> Callable for &O {
    fn terms(&self) -> Terms<'_> {
        (**self).terms()
    }
}

macro_rules! calling_verbs {
    ($options:ty) => {
        impl<T: ?Sized + 'static> With<'_, T, $options> {
            /// As [`Proxy::call`], with these options.
            ///
            /// # Errors
            /// As [`Proxy::call`].
            #[track_caller]
            pub fn call<R: Send>(&self, method: impl FnOnce(&T) -> R + Send) -> Result<R, CallError> {
                call(self.proxy, self.options.terms(), None, method)
            }

            /// As [`Proxy::call_owned`], with these options.
            ///
            /// # Errors
            /// As [`Proxy::call_owned`].
            #[track_caller]
            pub fn call_owned<R, F>(&self, method: F) -> Result<R, CallError>
            where
                R: Send + 'static,
                F: FnOnce(&T) -> R + Send + 'static,
            {
                call_owned(self.proxy, self.options.terms(), method)
            }
        }

        impl<T: 'static> With<'_, RefCell<T>, $options> {
            /// As [`Proxy::call_mut`], with these options.
            ///
            /// # Errors
            /// As [`Proxy::call_mut`].
            #[track_caller]
            pub fn call_mut<R: Send>(&self, method: impl FnOnce(&mut T) -> R + Send) -> Result<R, CallError> {
                call_mut(self.proxy, self.options.terms(), method)
            }

            /// As [`Proxy::call_ref`], with these options.
            ///
            /// # Errors
            /// As [`Proxy::call_ref`].
            #[track_caller]
            pub fn call_ref<R: Send>(&self, method: impl FnOnce(&T) -> R + Send) -> Result<R, CallError> {
                call_ref(self.proxy, self.options.terms(), method)
            }
        }
    };
}

calling_verbs!(&CallOptions<'_>);
calling_verbs!(CallOptions<'_>);

impl<T: ?Sized + 'static> With<'_, T, &AsyncOptions> {
    /// As [`Proxy::call_async`], with these options.
    #[track_caller]
    pub fn call_async<R, F>(&self, method: F) -> CallFuture<R>
    where
        R: Send + 'static,
        F: FnOnce(&T) -> R + Send + 'static,
    {
        call_async(self.proxy, self.options, method)
    }
}

impl<T: ?Sized + 'static> With<'_, T, CallOptions<'static>> {
    /// As [`Proxy::call_async`], with this deadline: see [`AsyncOptions::within`].
    #[track_caller]
    pub fn call_async<R, F>(&self, method: F) -> CallFuture<R>
    where
        R: Send + 'static,
        F: FnOnce(&T) -> R + Send + 'static,
    {
        let options = AsyncOptions { within: self.options.within, ..AsyncOptions::new() };
        call_async(self.proxy, &options, method)
    }
}

impl<T: ?Sized + 'static> With<'_, T, &PostOptions> {
    /// As [`Proxy::post`], with these options: it may wait for room.
    ///
    /// # Errors
    /// As [`Proxy::post`]; `TimedOut` if the deadline passed before there was room.
    #[track_caller]
    pub fn post<F: FnOnce(&T) + Send + 'static>(&self, run: F) -> Result<(), PostError<F>> {
        let PostOptions { within, room } = *self.options;
        post(self.proxy, Terms { within, room, ..Terms::default() }, None, run)
    }
}

/// Whether a call may be made through the reference here; one that may not is told.
#[inline]
fn usable(reference: &Reference) -> Result<(), CallError> {
    if !reference.stub.process().strict {
        return Ok(());
    }
    reference.usable().inspect_err(|error| tell_refused(&Thread::current(), reference.stub.process(), error))
}

/// What a call's closure left in the caller's frame.
fn result<R>(left: Option<R>) -> R {
    left.unwrap_or_else(|| crate::broken("a call that ran left its result"))
}

#[track_caller]
pub(super) fn call<T: ?Sized + 'static, R: Send>(
    proxy: &Proxy<T>,
    terms: Terms<'_>,
    method: Option<&'static Method>,
    body: impl FnOnce(&T) -> R + Send,
) -> Result<R, CallError> {
    attempt(proxy, terms, method, body, |object: &T, body| run(|| body(object)))
}

#[track_caller]
pub(super) fn call_mut<T: 'static, R: Send>(
    proxy: &Proxy<RefCell<T>>,
    terms: Terms<'_>,
    body: impl FnOnce(&mut T) -> R + Send,
) -> Result<R, CallError> {
    attempt(proxy, terms, None, body, |cell: &RefCell<T>, body| match cell.try_borrow_mut() {
        Ok(mut object) => {
            Thread::current().holds(Borrow::Cell);
            run(|| body(&mut object))
        }
        Err(_) => Ran::Busy(body),
    })
}

#[track_caller]
pub(super) fn call_ref<T: 'static, R: Send>(
    proxy: &Proxy<RefCell<T>>,
    terms: Terms<'_>,
    body: impl FnOnce(&T) -> R + Send,
) -> Result<R, CallError> {
    attempt(proxy, terms, None, body, |cell: &RefCell<T>, body| match cell.try_borrow() {
        Ok(object) => {
            Thread::current().holds(Borrow::Cell);
            run(|| body(&object))
        }
        Err(_) => Ran::Busy(body),
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
fn attempt<T: ?Sized + 'static, B: Send, R: Send>(
    proxy: &Proxy<T>,
    terms: Terms<'_>,
    method: Option<&'static Method>,
    body: B,
    try_it: fn(&T, B) -> Ran<B, R>,
) -> Result<R, CallError> {
    let reference = proxy.reference();
    usable(reference)?;
    let target = reference.target::<T>(method, Location::caller());
    let kind = method.map_or(CallKind::Synchronous, |method| method.kind);
    let view = proxy.view();
    let mut body = Some(body);
    let mut left = None;
    let stub = &reference.stub;
    let mut job = |held: &dyn Any| {
        let Some(_running) = stub.runs() else { return Attempt::Gone };
        let Some(taken) = body.take() else { crate::broken("a call's closure runs once") };
        match try_it(view.of(held), taken) {
            Ran::Returned(result) => left = Some(result),
            Ran::Panicked(message) => return Attempt::Ran(Some(message)),
            Ran::Busy(again) => {
                body = Some(again);
                return Attempt::Busy;
            }
        }
        Attempt::Ran(None)
    };
    let answer = match &reference.stub.site {
        Site::Apartment(mailbox) => invoke(mailbox, kind, target, terms, Load::Lent(&mut job)),
        Site::Free(free) => invoke_free(free, kind, target, terms, Load::Lent(&mut job)),
    };
    // One that did not run may panic as it goes. What is being returned by then nobody would drop.
    drop(body);
    answer?;
    Ok(result(left))
}

#[track_caller]
pub(super) fn call_owned<T: ?Sized + 'static, R: Send + 'static>(
    proxy: &Proxy<T>,
    terms: Terms<'_>,
    method: impl FnOnce(&T) -> R + Send + 'static,
) -> Result<R, CallError> {
    let reference = proxy.reference();
    usable(reference)?;
    let target = reference.target::<T>(None, Location::caller());
    let owned = Arc::new(Owned::new(method, proxy.view(), Arc::clone(&reference.stub)));
    let work: Arc<dyn Work> = Arc::clone(&owned) as _;
    let load = Load::Owned(&work);
    let made = match &reference.stub.site {
        Site::Apartment(mailbox) => invoke(mailbox, CallKind::Synchronous, target, terms, load),
        Site::Free(free) => invoke_free(free, CallKind::Synchronous, target, terms, load),
    };
    made.inspect_err(|error| owned.failed(error)).map(|()| owned.give())
}

#[track_caller]
pub(super) fn call_async<T: ?Sized + 'static, R: Send + 'static>(
    proxy: &Proxy<T>,
    options: &AsyncOptions,
    method: impl FnOnce(&T) -> R + Send + 'static,
) -> CallFuture<R> {
    let reference = proxy.reference();
    if let Err(error) = usable(reference) {
        return CallFuture::ready(Err(error));
    }
    let target = reference.target::<T>(None, Location::caller());
    let owned = Arc::new(Owned::new(method, proxy.view(), Arc::clone(&reference.stub)));
    let work: Arc<dyn Work> = Arc::clone(&owned) as _;
    let made = match &reference.stub.site {
        Site::Apartment(mailbox) => invoke_async(mailbox, target, options, &work),
        Site::Free(free) => {
            let AsyncOptions { within, cancel, .. } = options;
            let terms = Terms { within: *within, cancel: cancel.as_ref(), ..Terms::default() };
            invoke_free(free, CallKind::Synchronous, target, terms, Load::Owned(&work)).map(|()| None)
        }
    };
    match made {
        Ok(Some(call)) => CallFuture::out(call, owned),
        Ok(None) => CallFuture::ready(Ok(owned.give())),
        Err(error) => {
            owned.failed(&error);
            CallFuture::ready(Err(error))
        }
    }
}

#[track_caller]
pub(super) fn post<T: ?Sized + 'static, F: FnOnce(&T) + Send + 'static>(
    proxy: &Proxy<T>,
    terms: Terms<'_>,
    method: Option<&'static Method>,
    run: F,
) -> Result<(), PostError<F>> {
    let reference = proxy.reference();
    if let Err(error) = usable(reference) {
        return Err(PostError::new(error, run));
    }
    let target = reference.target::<T>(method, Location::caller());
    let mailbox = match &reference.stub.site {
        Site::Apartment(mailbox) => mailbox,
        Site::Free(free) => {
            let mut run = Some(run);
            let mut job = |held: &dyn Any| {
                let ran = run.take().map(|run| catch_unwind(AssertUnwindSafe(|| run(proxy.view().of(held)))));
                Attempt::Ran(ran.and_then(Result::err).map(panic_message))
            };
            let result = send_free(free, target, terms, Load::Lent(&mut job));
            return match (result, run) {
                (Err(error), Some(run)) => Err(PostError::new(error, run)),
                _ => Ok(()),
            };
        }
    };
    let closure = Posted { run, view: proxy.view(), stub: Arc::clone(&reference.stub) };
    send(mailbox, target, terms, Body::Post, Sent::new(closure))
        .map_err(|refused| PostError::new(refused.0, refused.1.give_back::<Posted<T, F>>().run))
}

/// A post's closure, and a reference: the object is there when it runs.
struct Posted<T: ?Sized, F> {
    run: F,
    view: View<T>,
    stub: Arc<Stub>,
}

impl<T: ?Sized + 'static, F: FnOnce(&T) + Send + 'static> Closure for Posted<T, F> {
    fn run(self, held: &dyn Any) -> Option<Self> {
        let Self { run, view, stub } = self;
        let Some(running) = stub.runs() else { return Some(Self { run, view, stub }) };
        run(view.of(held));
        drop(running);
        None
    }
}

/// What an interface's methods can be called through: a proxy, with or without options.
#[doc(hidden)]
pub trait Calls<I: ?Sized> {
    fn proxy(&self) -> &Proxy<I>;
    fn options(&self) -> Option<&CallOptions<'_>>;
}

impl<I: ?Sized> Calls<I> for Proxy<I> {
    fn proxy(&self) -> &Proxy<I> {
        self
    }

    fn options(&self) -> Option<&CallOptions<'_>> {
        None
    }
}

impl<I: ?Sized> Calls<I> for With<'_, I, CallOptions<'_>> {
    fn proxy(&self) -> &Proxy<I> {
        self.proxy
    }

    fn options(&self) -> Option<&CallOptions<'_>> {
        Some(&self.options)
    }
}

impl<I: ?Sized> Calls<I> for With<'_, I, &CallOptions<'_>> {
    fn proxy(&self) -> &Proxy<I> {
        self.proxy
    }

    fn options(&self) -> Option<&CallOptions<'_>> {
        Some(self.options)
    }
}

/// Calls an interface's method and waits.
#[doc(hidden)]
#[track_caller]
pub fn call_method<I: ?Sized + 'static, R: Send>(
    caller: &impl Calls<I>,
    method: &'static Method,
    body: impl FnOnce(&I) -> R + Send,
) -> Result<R, CallError> {
    let terms = caller.options().map_or_else(Terms::default, Callable::terms);
    call(caller.proxy(), terms, Some(method), body)
}

/// Sends an interface's one-way method off.
#[doc(hidden)]
#[track_caller]
pub fn post_method<I: ?Sized + 'static>(
    caller: &impl Calls<I>,
    method: &'static Method,
    body: impl FnOnce(&I) + Send + 'static,
) -> Result<(), CallError> {
    let terms = caller.options().map_or_else(Terms::default, Callable::terms);
    Ok(post(caller.proxy(), terms, Some(method), body)?)
}
