//! What the tests meet with, of the model checker's: threads, channels and locks.

use apartment_models::Model;

pub(crate) use channel::{Receiver, Sender, bounded, unbounded};

/// Looks at a test of a rule as at a model: at every execution in which at most so many threads are interrupted where they
/// could have gone on.
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

pub(crate) mod thread {
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
            // SAFETY: `scope` joins the thread before it returns or unwinds, and both are over before `'scope` is.
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
        while let Some(end) = {
            let end = scope.ends.borrow_mut().pop();
            end
        } {
            panicked |= end();
        }
        match outcome {
            Err(panic) => resume_unwind(panic),
            Ok(_) if panicked => panic!("a scoped thread panicked"),
            Ok(value) => value,
        }
    }
}

pub(crate) mod sync {
    pub(crate) use super::mpsc;
    pub(crate) use loom::sync::{Mutex, MutexGuard};
    pub(crate) use std::sync::{Arc, LockResult, RwLock, atomic};

    #[derive(Default)]
    pub(crate) struct Condvar(loom::sync::Condvar);

    impl Condvar {
        pub(crate) fn new() -> Self {
            Self::default()
        }

        pub(crate) fn wait_while<'a, T>(
            &self,
            mut guard: MutexGuard<'a, T>,
            mut condition: impl FnMut(&mut T) -> bool,
        ) -> LockResult<MutexGuard<'a, T>> {
            while condition(&mut guard) {
                guard = self.0.wait(guard)?;
            }
            Ok(guard)
        }

        pub(crate) fn notify_all(&self) {
            self.0.notify_all();
        }
    }

    pub(crate) struct Barrier {
        many: usize,
        state: Mutex<(usize, usize)>,
        changed: Condvar,
    }

    impl Barrier {
        pub(crate) fn new(many: usize) -> Self {
            Self { many, state: Mutex::new((0, 0)), changed: Condvar::new() }
        }

        pub(crate) fn wait(&self) {
            let mut state = self.state.lock().unwrap();
            let round = state.1;
            state.0 += 1;
            if state.0 == self.many {
                *state = (0, round + 1);
                self.changed.notify_all();
                return;
            }
            drop(self.changed.wait_while(state, |state| state.1 == round).unwrap());
        }
    }
}

pub(crate) mod mpsc {
    pub(crate) use super::channel::{Receiver, Sender};

    pub(crate) fn channel<T>() -> (Sender<T>, Receiver<T>) {
        super::unbounded()
    }
}

mod channel {
    use super::sync::{Arc, Condvar, Mutex};
    use std::collections::VecDeque;

    struct Channel<T> {
        state: Mutex<State<T>>,
        changed: Condvar,
    }

    struct State<T> {
        queue: VecDeque<T>,
        room: usize,
        senders: usize,
        receivers: usize,
    }

    pub(crate) struct Sender<T>(Arc<Channel<T>>);
    pub(crate) struct Receiver<T>(Arc<Channel<T>>);

    #[derive(Clone, Copy, PartialEq, Eq)]
    pub(crate) struct SendError<T>(pub(crate) T);

    impl<T> std::fmt::Debug for SendError<T> {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("SendError")
        }
    }
    impl<T> std::fmt::Debug for Sender<T> {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("Sender")
        }
    }

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) struct RecvError;
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) enum TryRecvError {
        Empty,
        Disconnected,
    }

    pub(crate) fn unbounded<T>() -> (Sender<T>, Receiver<T>) {
        bounded(usize::MAX)
    }

    pub(crate) fn bounded<T>(room: usize) -> (Sender<T>, Receiver<T>) {
        let state = Mutex::new(State { queue: VecDeque::new(), room, senders: 1, receivers: 1 });
        let channel = Arc::new(Channel { state, changed: Condvar::new() });
        (Sender(channel.clone()), Receiver(channel))
    }

    impl<T> Sender<T> {
        pub(crate) fn send(&self, value: T) -> Result<(), SendError<T>> {
            let state = self.0.state.lock().unwrap();
            let full = |state: &mut State<T>| state.receivers > 0 && state.queue.len() >= state.room.max(1);
            let mut state = self.0.changed.wait_while(state, full).unwrap();
            if state.receivers == 0 {
                return Err(SendError(value));
            }
            state.queue.push_back(value);
            self.0.changed.notify_all();
            Ok(())
        }

        pub(crate) fn is_empty(&self) -> bool {
            self.0.state.lock().unwrap().queue.is_empty()
        }
    }

    impl<T> Receiver<T> {
        pub(crate) fn recv(&self) -> Result<T, RecvError> {
            let state = self.0.state.lock().unwrap();
            let mut state =
                self.0.changed.wait_while(state, |state| state.queue.is_empty() && state.senders > 0).unwrap();
            let value = state.queue.pop_front().ok_or(RecvError);
            self.0.changed.notify_all();
            value
        }

        pub(crate) fn try_recv(&self) -> Result<T, TryRecvError> {
            let mut state = self.0.state.lock().unwrap();
            let none = if state.senders > 0 { TryRecvError::Empty } else { TryRecvError::Disconnected };
            let value = state.queue.pop_front().ok_or(none);
            self.0.changed.notify_all();
            value
        }

        pub(crate) fn try_iter(&self) -> impl Iterator<Item = T> {
            std::iter::from_fn(|| self.try_recv().ok())
        }

        pub(crate) fn iter(&self) -> impl Iterator<Item = T> {
            std::iter::from_fn(|| self.recv().ok())
        }

        pub(crate) fn len(&self) -> usize {
            self.0.state.lock().unwrap().queue.len()
        }

        pub(crate) fn is_empty(&self) -> bool {
            self.len() == 0
        }
    }

    impl<T: 'static> IntoIterator for Receiver<T> {
        type Item = T;
        type IntoIter = Box<dyn Iterator<Item = T>>;

        fn into_iter(self) -> Self::IntoIter {
            Box::new(std::iter::from_fn(move || self.recv().ok()))
        }
    }

    impl<T> Clone for Sender<T> {
        fn clone(&self) -> Self {
            self.0.state.lock().unwrap().senders += 1;
            Self(self.0.clone())
        }
    }

    impl<T> Clone for Receiver<T> {
        fn clone(&self) -> Self {
            self.0.state.lock().unwrap().receivers += 1;
            Self(self.0.clone())
        }
    }

    impl<T> Drop for Sender<T> {
        fn drop(&mut self) {
            self.0.state.lock().unwrap().senders -= 1;
            self.0.changed.notify_all();
        }
    }

    impl<T> Drop for Receiver<T> {
        fn drop(&mut self) {
            let mut state = self.0.state.lock().unwrap();
            state.receivers -= 1;
            let left = if state.receivers == 0 { std::mem::take(&mut state.queue) } else { VecDeque::new() };
            drop(state);
            drop(left);
            self.0.changed.notify_all();
        }
    }
}
