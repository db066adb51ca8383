//! Threads, scoped and not, as the system's are used.

use super::sync::Mutex;
pub(crate) use loom::thread::{ThreadId, current, yield_now};
use std::any::Any;
use std::cell::RefCell;
use std::marker::PhantomData;
use std::mem::transmute;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

pub(crate) type Result<T> = std::result::Result<T, Box<dyn Any + Send + 'static>>;

/// A panic in a thread is its joiner's to see, as the system's threads have it; in loom it would end the model.
pub(crate) struct JoinHandle<T>(loom::thread::JoinHandle<()>, Arc<Mutex<Option<Result<T>>>>);

impl<T> JoinHandle<T> {
    pub(crate) fn join(self) -> Result<T> {
        self.0.join().expect("the panic was caught");
        self.1.lock().unwrap().take().expect("a thread that was joined has ended")
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.1.lock().unwrap().is_some()
    }

    pub(crate) fn thread(&self) -> &loom::thread::Thread {
        self.0.thread()
    }
}

pub(crate) fn spawn<T: Send + 'static>(body: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    Builder::new().spawn(body).expect("loom always starts a thread")
}

pub(crate) struct Builder(loom::thread::Builder);

impl Builder {
    pub(crate) fn new() -> Self {
        Self(loom::thread::Builder::new().stack_size(apartment_models::BIG_STACK))
    }

    pub(crate) fn spawn<T: Send + 'static>(
        self,
        body: impl FnOnce() -> T + Send + 'static,
    ) -> std::io::Result<JoinHandle<T>> {
        let result = Arc::new(Mutex::new(None));
        let kept = result.clone();
        let thread = self.0.spawn(move || {
            let outcome = catch_unwind(AssertUnwindSafe(body));
            *kept.lock().unwrap() = Some(outcome);
        })?;
        Ok(JoinHandle(thread, result))
    }
}

type End = Box<dyn FnOnce() -> bool>;

pub(crate) struct Scope<'scope, 'env: 'scope> {
    /// Each joins one, unless somebody did already, and says whether it panicked.
    ends: RefCell<Vec<End>>,
    scope: PhantomData<&'scope mut &'scope ()>,
    env: PhantomData<&'env mut &'env ()>,
}

pub(crate) struct ScopedJoinHandle<'scope, T>(
    Arc<Mutex<Option<JoinHandle<()>>>>,
    Arc<Mutex<Option<Result<T>>>>,
    PhantomData<&'scope ()>,
);

impl<T> ScopedJoinHandle<'_, T> {
    pub(crate) fn join(self) -> Result<T> {
        let thread = self.0.lock().unwrap().take().expect("nobody else has joined it");
        thread.join()?;
        self.1.lock().unwrap().take().expect("it has ended")
    }
}

impl<'scope, 'env> Scope<'scope, 'env> {
    pub(crate) fn spawn<T: Send + 'scope>(
        &'scope self,
        body: impl FnOnce() -> T + Send + 'scope,
    ) -> ScopedJoinHandle<'scope, T> {
        let result = Arc::new(Mutex::new(None));
        let kept = result.clone();
        let run: Box<dyn FnOnce() + Send + 'scope> = Box::new(move || {
            let outcome = catch_unwind(AssertUnwindSafe(body));
            *kept.lock().unwrap() = Some(outcome);
        });
        // SAFETY: `scope` joins the thread before it returns or unwinds, and `'scope` is longer than that. (Only loom's own
        // failure would keep it from that, and after it no thread of the model goes on.)
        let run: Box<dyn FnOnce() + Send + 'static> = unsafe { transmute(run) };
        let thread = Arc::new(Mutex::new(Some(spawn(run))));
        let (left, outcome) = (thread.clone(), result.clone());
        let end: Box<dyn FnOnce() -> bool + 'scope> = Box::new(move || {
            let left = left.lock().unwrap().take();
            left.is_some_and(|thread| thread.join().is_err() || matches!(*outcome.lock().unwrap(), Some(Err(_))))
        });
        // SAFETY: the same.
        let end: End = unsafe { transmute(end) };
        self.ends.borrow_mut().push(end);
        ScopedJoinHandle(thread, result, PhantomData)
    }
}

pub(crate) fn scope<'env, T>(body: impl for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> T) -> T {
    let scope = Scope { ends: RefCell::default(), scope: PhantomData, env: PhantomData };
    let outcome = catch_unwind(AssertUnwindSafe(|| body(&scope)));
    let mut panicked = false;
    loop {
        let end = scope.ends.borrow_mut().pop();
        let Some(end) = end else { break };
        panicked |= end();
    }
    match outcome {
        Err(panic) => resume_unwind(panic),
        Ok(_) if panicked => panic!("a scoped thread panicked"),
        Ok(value) => value,
    }
}
