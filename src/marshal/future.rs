//! The typed face of a call whose caller is a future.

use super::owned::Gives;
use crate::apartment::AsyncCall;
use crate::error::CallError;
use crate::sync::Arc;
use std::fmt;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};

/// The result of a call that was made with [`Proxy::call_async`](crate::Proxy::call_async), when it is there (rule CK-7).
///
/// It needs no runtime: whoever polls it, on whatever thread, is woken when there is something to see. Dropped, it never
/// waits: a call that has not started is taken back, and its room is free at once; one that runs is detached. It goes on
/// to its end, unasked, and its result is dropped in the object's apartment.
///
/// # Panics
/// When it is polled once more after it was ready.
#[must_use = "a future that is dropped takes its call back, if that has not started"]
pub struct CallFuture<R>(State<R>);

enum State<R> {
    Out {
        /// Dropped first: what is taken back is not run.
        call: Box<AsyncCall>,
        owned: Arc<dyn Gives<R>>,
    },
    Ready(Result<R, CallError>),
    Over,
}

impl<R> CallFuture<R> {
    pub(super) fn out(call: AsyncCall, owned: Arc<dyn Gives<R>>) -> Self {
        Self(State::Out { call: Box::new(call), owned })
    }

    pub(super) fn ready(result: Result<R, CallError>) -> Self {
        Self(State::Ready(result))
    }
}

/// Nothing in it is pinned.
impl<R> Unpin for CallFuture<R> {}

impl<R> Future for CallFuture<R> {
    type Output = Result<R, CallError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let state = &mut self.get_mut().0;
        if let State::Out { call, owned } = state {
            let Poll::Ready(ended) = call.poll(context) else { return Poll::Pending };
            let result = ended.inspect_err(|error| owned.failed(error)).map(|()| owned.give());
            *state = State::Ready(result);
        }
        match mem::replace(state, State::Over) {
            State::Ready(result) => Poll::Ready(result),
            State::Out { .. } | State::Over => panic!("a call's future was polled after it was ready"),
        }
    }
}

impl<R> fmt::Debug for CallFuture<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.0 {
            State::Out { .. } => "out",
            State::Ready(_) => "ready",
            State::Over => "over",
        };
        write!(f, "CallFuture({state})")
    }
}
