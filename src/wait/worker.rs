//! A thread of the user's own, whose end an STA can wait for and still serve (rule WA-3).

use super::signal::Signal;
use crate::apartment::{join_threads, wait_elsewhere, waits_for_itself_elsewhere};
use crate::cycle::Awaited;
use crate::diagnose::WaitFor;
use crate::error::CallError;
use crate::sync::{Arc, JoinHandle, Mutex, is_this_thread, spawn};
use crate::thread::{Thread, panic_message};
use crate::wait_graph::Doer;
use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};

/// A thread in no apartment, started to run one closure; an STA that [joins](Worker::join) it is still called meanwhile.
///
/// Dropped, it detaches: the thread goes on, and what it gives, or its panic, is dropped. Use it as `std::thread` where the
/// worker may need the thread that waits for it:
///
/// ```
/// use apartment::{Sta, Worker};
///
/// let ui = Sta::builder("ui").enter()?;
/// let bar = ui.create(|| std::cell::Cell::new(0))?;
/// let to_bar = bar.clone();
/// let worker = Worker::spawn("copy", move || {
///     for percent in 1..=100 {
///         // A call to the thread that joins this one.
///         to_bar.call(|bar| bar.set(percent)).unwrap();
///     }
///     "copied"
/// })?;
/// assert_eq!(worker.join()?.unwrap(), "copied");
/// assert_eq!(bar.call(|bar| bar.get())?, 100);
/// # drop(ui);
/// # Ok::<(), apartment::Error>(())
/// ```
pub struct Worker<T> {
    work: Arc<Work<T>>,
    /// None once it is joined.
    thread: Option<JoinHandle>,
}

/// What came of a closure, as std's threads say it: its panic is an error.
type Ended<T> = Result<T, Box<dyn Any + Send>>;

/// What a worker and who waits for it share.
struct Work<T> {
    name: Arc<str>,
    /// What came of it, until somebody takes it. It is left here before the signal is set.
    result: Mutex<Option<Ended<T>>>,
    ended: Signal,
    /// As which its thread is waited for.
    doer: Arc<Doer>,
}

/// Starts a [`Worker`] to order.
#[derive(Clone, Debug)]
pub struct WorkerBuilder {
    name: String,
    stack_size: Option<usize>,
}

impl Worker<()> {
    /// A worker to order.
    pub fn builder(name: impl Into<String>) -> WorkerBuilder {
        WorkerBuilder { name: name.into(), stack_size: None }
    }
}

impl WorkerBuilder {
    /// The size of its thread's stack, in bytes; the system's choice otherwise.
    #[must_use]
    pub fn stack_size(self, bytes: usize) -> Self {
        Self { stack_size: Some(bytes), ..self }
    }

    /// Starts the thread. Does not wait.
    ///
    /// # Errors
    /// `SysCallFailed` if the thread cannot be started; `run` is dropped then.
    pub fn spawn<T: Send + 'static>(self, run: impl FnOnce() -> T + Send + 'static) -> Result<Worker<T>, CallError> {
        let Self { name, stack_size } = self;
        let work =
            Arc::new(Work { name: name.into(), result: Mutex::new(None), ended: Signal::manual(), doer: Doer::new() });
        let body = {
            let work = Arc::clone(&work);
            move || {
                let does = Thread::current().does(Arc::clone(&work.doer));
                let result = catch_unwind(AssertUnwindSafe(run));
                drop(does);
                *work.result.lock() = Some(result);
                work.ended.set();
            }
        };
        match spawn(&work.name, stack_size, body) {
            Ok(thread) => Ok(Worker { work, thread: Some(thread) }),
            Err(error) => {
                Err(CallError::sys_call_failed(format!("the thread of {:?} could not be started", work.name), error))
            }
        }
    }
}

impl<T: Send + 'static> Worker<T> {
    /// Starts a thread of that name that runs a closure. Does not wait.
    ///
    /// # Errors
    /// `SysCallFailed` if the thread cannot be started; `run` is dropped then.
    #[doc(alias = "CreateThread")]
    pub fn spawn(name: impl Into<String>, run: impl FnOnce() -> T + Send + 'static) -> Result<Self, CallError> {
        Worker::builder(name).spawn(run)
    }
}

impl<T> Worker<T> {
    /// Waits until the closure has ended, and gives what it gave; its panic as `std` does, as an error inside. An STA pumps
    /// in this wait as in [`wait_any`](crate::wait_any), and so the worker may call it. On other threads it blocks, and waits
    /// for the destructors of the thread's locals, too.
    ///
    /// It waits as long as it takes: to wait for a time, or no longer than the call that is being served, wait for
    /// [`ended`](Worker::ended) first.
    ///
    /// ```
    /// use apartment::Worker;
    ///
    /// let worker = Worker::spawn("fails", || panic!("out of paper"))?;
    /// let payload = worker.join()?.unwrap_err();
    /// assert_eq!(*payload.downcast::<&str>().unwrap(), "out of paper");
    /// # Ok::<(), apartment::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Deadlock` on its own thread, which would wait for itself, or if the worker waits for this thread, which could not
    /// serve it (rule DL-1); `NotSupported` where a [host](crate::Host) lets nothing block its thread and the worker has not
    /// ended. It is detached then: look at [`is_finished`](Worker::is_finished) first.
    #[track_caller]
    pub fn join(mut self) -> Result<Result<T, Box<dyn Any + Send>>, CallError> {
        let thread = Thread::current();
        let own = self.thread.as_ref().is_some_and(is_this_thread);
        let awaits = Awaited::Worker { name: Arc::clone(&self.work.name), location: Location::caller() };
        if own {
            return Err(waits_for_itself_elsewhere(&thread, awaits));
        }
        let work = Arc::clone(&self.work);
        let by = Some((&work.doer, &awaits));
        let result = wait_elsewhere(&thread, WaitFor::Thread, by, None, true, || {
            // Its bell is listed before the result is looked for, which is left before the bells are rung.
            work.ended.rings(thread.bell());
            work.result.lock().take()
        });
        work.ended.rings_no_more(thread.bell());
        let result = result?;
        join_threads(self.thread.take());
        Ok(result)
    }

    /// Whether it has ended. Never waits.
    pub fn is_finished(&self) -> bool {
        self.work.result.lock().is_some()
    }

    /// A signal with manual reset that is set when it has ended: to wait for it together with others, or for a time.
    ///
    /// ```
    /// use apartment::{Signal, Worker, wait_any};
    /// use std::time::Duration;
    ///
    /// let (go, goes) = std::sync::mpsc::channel::<()>();
    /// let worker = Worker::spawn("waits", move || goes.recv())?;
    /// assert_eq!(wait_any(&[worker.ended()], Some(Duration::ZERO)).unwrap_err().hresult(), 0x8001_0115);
    /// drop(go);
    /// assert_eq!(wait_any(&[worker.ended(), &Signal::manual()], None)?, 0);
    /// assert!(worker.is_finished() && worker.join()?.unwrap().is_err());
    /// # Ok::<(), apartment::Error>(())
    /// ```
    pub fn ended(&self) -> &Signal {
        &self.work.ended
    }
}

impl<T> Drop for Work<T> {
    fn drop(&mut self) {
        // It is the user's, and a panic in its destructor has nobody to go to: another may unwind here already.
        let result = self.result.lock().take();
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(result))) {
            panic_message(payload);
        }
    }
}

impl<T> fmt::Debug for Worker<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ended = self.is_finished();
        f.debug_struct("Worker").field("name", &self.work.name).field("ended", &ended).finish_non_exhaustive()
    }
}
