//! What an owned call hands over: its closure goes to the object, its result comes back to whoever still wants it.

use crate::call::record::{Attempt, Work};
use crate::diagnose::What;
use crate::error::{CallError, Outcome};
use crate::stub::Stub;
use crate::sync::{Arc, Mutex};
use crate::thread::{Thread, panic_message};
use crate::view::View;
use std::any::Any;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Shared by the caller and the callee of one call; it keeps the object as long as the call needs it.
///
/// Its lock guards the stage alone, and is held for no more than a look or a step: the closure and the result are taken
/// out before anything is done with them.
pub(super) struct Owned<T: ?Sized, F, R> {
    stage: Mutex<Stage<F, R>>,
    view: View<T>,
    stub: Arc<Stub>,
}

enum Stage<F, R> {
    /// The closure has not run.
    Waiting(F),
    /// It runs, or did not come to its end.
    Begun,
    Returned(R),
    Panicked(Arc<str>),
    /// Its result was taken.
    Over,
}

impl<T: ?Sized, F, R> Owned<T, F, R> {
    pub(super) fn new(closure: F, view: View<T>, stub: Arc<Stub>) -> Self {
        Self { stage: Mutex::new(Stage::Waiting(closure)), view, stub }
    }

    fn step(&self, to: Stage<F, R>) -> Stage<F, R> {
        mem::replace(&mut *self.stage.lock(), to)
    }

    /// Takes the result, if it has one.
    fn take(&self) -> Option<R> {
        let mut stage = self.stage.lock();
        match mem::replace(&mut *stage, Stage::Over) {
            Stage::Returned(result) => Some(result),
            other => {
                *stage = other;
                None
            }
        }
    }

    fn drop_left(&self) {
        let left = self.step(Stage::Over);
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(left))) {
            let message = panic_message(payload);
            let place = "the destructor of what an owned call left";
            Thread::current().tell_in(self.stub.process(), None, || What::Contained { place, message });
        }
    }
}

impl<T, F, R> Work for Owned<T, F, R>
where
    T: ?Sized + 'static,
    F: FnOnce(&T) -> R + Send + 'static,
    R: Send + 'static,
{
    fn run(&self, object: &dyn Any) -> Attempt {
        let Some(_running) = self.stub.runs() else { return Attempt::Gone };
        let Stage::Waiting(closure) = self.step(Stage::Begun) else { crate::broken("a call's closure runs once") };
        match catch_unwind(AssertUnwindSafe(|| closure(self.view.of(object)))) {
            Ok(result) => {
                self.step(Stage::Returned(result));
                Attempt::Ran(None)
            }
            Err(payload) => {
                let message = panic_message(payload);
                self.step(Stage::Panicked(Arc::clone(&message)));
                Attempt::Ran(Some(message))
            }
        }
    }

    fn ran(&self) -> Option<Option<Arc<str>>> {
        match &*self.stage.lock() {
            Stage::Waiting(_) | Stage::Begun => None,
            Stage::Returned(_) | Stage::Over => Some(None),
            Stage::Panicked(message) => Some(Some(Arc::clone(message))),
        }
    }

    fn take_late(&self) -> Option<Box<dyn Any + Send>> {
        Some(Box::new(self.take()?))
    }
}

/// An owned call as its caller sees it, who knows the result's type alone.
pub(super) trait Gives<R>: Work {
    /// The result of a call that ran.
    fn give(&self) -> R;
    /// A call that failed before it started: its closure goes with its caller.
    fn failed(&self, error: &CallError);
}

impl<T, F, R> Gives<R> for Owned<T, F, R>
where
    T: ?Sized + 'static,
    F: FnOnce(&T) -> R + Send + 'static,
    R: Send + 'static,
{
    fn give(&self) -> R {
        self.take().unwrap_or_else(|| crate::broken("a call that ran left its result"))
    }

    fn failed(&self, error: &CallError) {
        if error.outcome() == Outcome::NotStarted {
            self.drop_left();
        }
    }
}

/// A closure that never ran, or a result that nobody took, is dropped by whoever has it last: nobody's call may fail for a
/// panic of that.
impl<T: ?Sized, F, R> Drop for Owned<T, F, R> {
    fn drop(&mut self) {
        self.drop_left();
    }
}
