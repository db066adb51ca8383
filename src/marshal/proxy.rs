//! The typed handle that crosses threads.

use super::future::CallFuture;
use super::local::Local;
use super::reference::{Reference, WeakReference};
use super::verbs::{With, call, call_async, call_mut, call_owned, call_ref, post};
use crate::apartment::{Apartment, AsyncOptions, CallOptions, Terms, disconnect};
use crate::error::{CallError, PostError};
use crate::id::ObjectId;
use crate::stub::Stub;
use crate::sync::Arc;
use crate::view::{Declares, Implements, View};
use std::cell::RefCell;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::panic::Location;
use std::time::Duration;

/// A reference to an object of an apartment, to be called from anywhere.
///
/// It is `Send + Sync` whatever `T` is, for it does not contain the object: the object stays in its apartment. Clones
/// refer to the same object, which lives as long as one of them does, or a [`Local`]. Dropping one never waits
/// (rule LT-1). Two are equal exactly if they mean the same object (rule LT-7).
///
/// Inside the object's apartment its calls are direct, and those of a
/// [free-threaded](crate::Process::free_threaded) object are everywhere; what they ask of their types does not depend on
/// that.
///
/// ```
/// use apartment::Sta;
/// use std::cell::RefCell;
///
/// let sta = Sta::spawn("list")?;
/// let list = sta.create(|| RefCell::new(Vec::new()))?;
/// let words = ["to", "be"];
/// list.call_mut(|list| list.extend(words.iter().map(|word| word.len())))?;   // borrows `words`
/// list.post(|list| list.borrow_mut().push(0))?;                              // does not wait
/// assert_eq!(list.call_ref(|list| list.clone())?, [2, 2, 0]);
/// # Ok::<(), apartment::Error>(())
/// ```
#[doc(alias("agile reference", "interface proxy", "IAgileReference"))]
pub struct Proxy<T: ?Sized> {
    reference: Reference,
    view: View<T>,
}

impl<T: 'static> Proxy<T> {
    pub(crate) fn from_stub(stub: Arc<Stub>) -> Self {
        Self { reference: Reference::new(stub), view: View::own() }
    }
}

impl<T: ?Sized> Proxy<T> {
    pub(crate) fn of(reference: Reference, view: View<T>) -> Self {
        Self { reference, view }
    }

    pub(crate) fn reference(&self) -> &Reference {
        &self.reference
    }

    pub(crate) fn reference_mut(&mut self) -> &mut Reference {
        &mut self.reference
    }

    pub(crate) fn view(&self) -> View<T> {
        self.view
    }
}

impl<T: ?Sized + 'static> Proxy<T> {
    /// Calls the object: runs `method` on it, in its apartment, and gives the result. The closure may borrow from the
    /// caller's stack: the call does not return before the callee has let go, on every path (rule CK-5).
    ///
    /// Waits for the reply: an STA pumps meanwhile (rule DI-5), any other thread blocks (rules DI-7, AP-5). At home the
    /// call is direct (rule DI-2). It waits for ever if the callee does; [`within`](Proxy::within) gives it an end.
    ///
    /// A closure's own `Result` comes back nested: `db.call(|db| db.execute(sql))??`.
    ///
    /// # Errors
    /// `MailboxFull` at once if there is no room; `Disconnected` if the apartment, or the object, is gone; `ServerFault`
    /// if the method panicked; `ServerDied` or `ServerDiedDne` if the apartment's thread ended abnormally; `CallRejected` or `RetryLater` if the callee's filter refused and the caller's gave up;
    /// `CallCanceled`, `TimedOut`; `CantCallOut` from inside a filter's method or an input-synchronized call, and where a one-way
    /// method would call back to its sender.
    #[track_caller]
    pub fn call<R: Send>(&self, method: impl FnOnce(&T) -> R + Send) -> Result<R, CallError> {
        call(self, Terms::default(), None, method)
    }

    /// Calls the object as [`call`](Proxy::call) does, with a closure and a result that are nobody's but the call's: it can
    /// be given up while it runs (rule CA-2). Cancelled by its handle, past its deadline, or when the caller's filter says
    /// so, it returns at once, and the closure goes on in the object's apartment, where [`is_cancelled`](crate::is_cancelled)
    /// says that nobody waits for it. What it gives then is dropped there, on that thread; a panic of that drop is
    /// contained. The object stays until the closure has ended.
    ///
    /// It is for what may hang, and allocates; a call that borrows does neither return early nor allocate. Waits, as a
    /// call does: an STA pumps, other threads block. One that is buried under what was served in its wait returns when
    /// that has ended (rule DI-6). At home it is direct, and runs to its end.
    ///
    /// ```
    /// use apartment::{CallOptions, CancelHandle, Outcome, Sta, is_cancelled};
    /// use std::sync::mpsc::channel;
    ///
    /// let sta = Sta::spawn("slow")?;
    /// let slow = sta.create(|| ())?;
    /// let cancel = CancelHandle::new();
    /// let (here, hangs) = channel();
    /// let handle = cancel.clone();
    /// let watchdog = std::thread::spawn(move || {
    ///     hangs.recv().unwrap();
    ///     handle.cancel();
    /// });
    /// let options = CallOptions::new().cancel(&cancel);
    /// let error = slow.with(&options).call_owned(move |()| {
    ///     here.send(()).unwrap();
    ///     while !is_cancelled() {
    ///         std::thread::yield_now();
    ///     }
    /// });
    /// assert_eq!(error.unwrap_err().outcome(), Outcome::MayHaveRun);
    /// watchdog.join().unwrap();
    /// # Ok::<(), apartment::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`call`](Proxy::call). `CallCanceled` and `TimedOut` say `MayHaveRun` if it had started, `NotStarted` if it never
    /// will.
    #[track_caller]
    pub fn call_owned<R, F>(&self, method: F) -> Result<R, CallError>
    where
        R: Send + 'static,
        F: FnOnce(&T) -> R + Send + 'static,
    {
        call_owned(self, Terms::default(), method)
    }

    /// Calls the object without waiting: gives a future, for async callers on any runtime (rule CK-7). Closure and result
    /// are nobody's but the call's, as with [`call_owned`](Proxy::call_owned).
    ///
    /// The call is made here and now, not when the future is first polled: its place in the queue, its chain and its
    /// deadline are those of this moment, so calls of one sender keep their order. Made while a call is served, it is part
    /// of that call's chain and inherits its deadline; it is cancelled with that call while that is served. What is refused
    /// at once, `MailboxFull` above all, the first poll says. The callee's filter is asked as about a synchronous call.
    ///
    /// Does not wait, and so is not forbidden where waiting is (rules CK-2 to CK-4), but for strict rules in a filter's
    /// method. On a thread that is in the object's apartment the call is direct (rule DI-2): the closure has run when this
    /// returns, and the future is ready. So it is for a [free-threaded](crate::Process::free_threaded) object. A thread in
    /// no apartment, an async runtime's above all, is not in the MTA for this: calls of the MTA's objects go to its pool.
    ///
    /// An executor that blocks its thread pumps nothing. On an STA's thread, do not block on a future whose call needs that
    /// STA before it ends: it waits for ever. Methods of interfaces have no such form: call them in the closure.
    ///
    /// ```
    /// use apartment::Sta;
    ///
    /// let sta = Sta::spawn("db")?;
    /// let db = sta.create(|| vec![3, 1, 2])?;
    /// let (sum, longest) = pollster::block_on(async {
    ///     let sum = db.call_async(|rows| rows.iter().sum::<i32>());
    ///     let longest = db.call_async(|rows| rows.iter().copied().max());
    ///     Ok::<_, apartment::Error>((sum.await?, longest.await?))
    /// })?;
    /// assert_eq!((sum, longest), (6, Some(3)));
    /// # Ok::<(), apartment::Error>(())
    /// ```
    ///
    /// # Errors
    /// The future's: as those of [`call_owned`](Proxy::call_owned), but that no filter of the caller's is asked about a
    /// rejected call. Every call ends with a result or an error: if its apartment ends, with `Disconnected`, `ServerDied` or
    /// `ServerDiedDne`.
    #[doc(alias("ISynchronize", "ICallFactory"))]
    #[track_caller]
    pub fn call_async<R, F>(&self, method: F) -> CallFuture<R>
    where
        R: Send + 'static,
        F: FnOnce(&T) -> R + Send + 'static,
    {
        call_async(self, &AsyncOptions::new(), method)
    }

    /// Posts a closure to the object: a one-way call (rule CK-2). Does not wait, not even for room: without it the post
    /// is refused and the closure handed back. Filters are told and cannot reject it. At home it is queued like from
    /// elsewhere, and runs in its turn. A free-threaded object has no queue: there the closure runs at once, on the caller's
    /// thread, as long as it takes; a panic in it is contained and recorded.
    ///
    /// # Errors
    /// `MailboxFull` or `Disconnected`, with the closure.
    #[track_caller]
    pub fn post<F: FnOnce(&T) + Send + 'static>(&self, run: F) -> Result<(), PostError<F>> {
        post(self, Terms::default(), None, run)
    }

    /// The same verbs with options, which are borrowed: [`CallOptions`] give `call`, `call_owned`, `call_mut` and
    /// `call_ref`, [`AsyncOptions`] give `call_async`, [`PostOptions`](crate::PostOptions) give `post`.
    pub fn with<'a, O>(&'a self, options: &'a O) -> With<'a, T, &'a O> {
        With::new(self, options)
    }

    /// The calling verbs with a deadline (rule CA-3).
    ///
    /// ```
    /// use apartment::Sta;
    /// use std::time::Duration;
    ///
    /// let sta = Sta::spawn("db")?;
    /// let db = sta.create(|| 7)?;
    /// assert_eq!(db.within(Duration::from_secs(5)).call(|n| *n)?, 7);
    /// # Ok::<(), apartment::Error>(())
    /// ```
    pub fn within(&self, time: Duration) -> With<'_, T, CallOptions<'static>> {
        With::new(self, CallOptions::new().within(time))
    }

    /// The object itself, if the calling thread is at home in its apartment (rule LT-7), or if it is free-threaded; `None`
    /// elsewhere, and when the object is gone. Does not wait.
    pub fn local(&self) -> Option<Local<T>> {
        Local::of(self)
    }

    /// Disconnects the object from all its proxies (rule LT-5): waits until the calls that run on it have ended; then its
    /// apartment's own reference to it goes, and calls, those that were queued and have not started included, are
    /// `Disconnected`. The object is dropped at home, unless a [`Local`] still holds it; no proxy can be had of that one
    /// any more. It is for an object whose time is over though others still refer to it, such as a document that is
    /// closed.
    ///
    /// From any thread. It is no call: no filter is asked, and it needs no room. From the asking on nothing new gets in,
    /// but what the calls that run make themselves: calls of their chains. An STA pumps while it waits, other threads
    /// block; if nothing runs it does not wait, nor for the object's destructor. Called *inside* the object, by a call
    /// that runs on it or by one that such a call waits for, or while such a call is buried on this thread's stack, it
    /// returns at once and takes effect when the last of the calls that run has ended.
    ///
    /// Who asks again, or for an object whose apartment has ended, gets what was asked for: `Ok`.
    ///
    /// ```
    /// use apartment::{Sta, WhyDisconnected, CallError};
    ///
    /// let editor = Sta::spawn("editor")?;
    /// let document = editor.create(|| String::from("Dear Sir or Madam"))?;
    /// let reader = document.clone();
    /// document.disconnect()?;
    /// match reader.call(|text| text.len()) {
    ///     Err(CallError::Disconnected(why)) => assert_eq!(why.why, WhyDisconnected::ObjectGone),
    ///     other => panic!("{other:?}"),
    /// }
    /// # Ok::<(), apartment::Error>(())
    /// ```
    ///
    /// # Errors
    /// `NotSupported` for a free-threaded object, which is in no apartment and goes with its last reference. `CantCallOut`,
    /// and nothing has changed, where it would have to wait and cannot: in a filter's method or an
    /// input-synchronized call, where a wait serves nothing; likewise `NotSupported` while the thread's locals are
    /// destroyed, and `Deadlock` if the calls that run could not end before this thread goes on (rule DL-1). Under strict
    /// rules as any use of the proxy.
    #[doc(alias = "CoDisconnectObject")]
    #[track_caller]
    pub fn disconnect(&self) -> Result<(), CallError> {
        self.reference.usable()?;
        disconnect(&self.reference.stub, Location::caller())
    }

    /// A reference that does not keep the object.
    pub fn downgrade(&self) -> WeakProxy<T> {
        WeakProxy { reference: self.reference.downgrade(), view: self.view }
    }

    /// The object's apartment; `None` if it is [free-threaded](crate::Process::free_threaded), and so in none.
    pub fn apartment(&self) -> Option<Apartment> {
        self.reference.stub.mailbox().map(|mailbox| Apartment(Arc::clone(mailbox)))
    }

    /// The object's id, as filters and events name it; unique within its apartment, or among its process' free-threaded
    /// objects.
    pub fn object_id(&self) -> ObjectId {
        self.reference.stub.object
    }
}

impl<T: 'static> Proxy<T> {
    /// The same object through an interface that its type declares with [`implements!`](crate::implements!): known when
    /// the program is compiled, so it cannot fail. Does not wait, and asks nobody.
    #[doc(alias = "QueryInterface")]
    pub fn cast<I: ?Sized + 'static>(&self) -> Proxy<I>
    where
        T: Implements<I>,
    {
        Proxy::of(self.reference.declared(T::declaration(None)), T::VIEW)
    }
}

impl<T: ?Sized + 'static> Proxy<T> {
    /// The same object through another interface, or as its own type, if it has it: asked while the program runs
    /// (rule MA-5). The answer is what the object's type declares, whatever casts were made before. Does not wait, and
    /// asks nobody: neither the object nor its apartment's filter.
    ///
    /// # Errors
    /// `NoInterface` if the object's type does not declare it.
    #[doc(alias = "QueryInterface")]
    pub fn query<I: ?Sized + 'static>(&self) -> Result<Proxy<I>, CallError>
    where
        T: Declares,
    {
        self.reference.usable()?;
        let declaration = T::declaration(self.reference.declaration);
        Ok(Proxy::of(self.reference.declared(declaration), declaration.require::<I>()?))
    }
}

impl<T: 'static> Proxy<RefCell<T>> {
    /// Calls the object with `&mut T`: takes the cell's borrow for the call and gives it back, after a panic too
    /// (rule DI-13). Otherwise as [`call`](Proxy::call).
    ///
    /// An object that is borrowed is busy, which is an answer like a filter's `RetryLater`: the caller's filter, or the
    /// call's own policy, is asked. Nothing hangs, nothing panics.
    ///
    /// # Errors
    /// As [`call`](Proxy::call); `Reentrant` if the object is borrowed and there is nobody to ask, or where trying again
    /// cannot help: the call is direct, or whoever holds the borrow waits for this call's own chain.
    #[track_caller]
    pub fn call_mut<R: Send>(&self, method: impl FnOnce(&mut T) -> R + Send) -> Result<R, CallError> {
        call_mut(self, Terms::default(), method)
    }

    /// Calls the object with `&T`: as [`call_mut`](Proxy::call_mut), sharing the borrow with others that only read.
    ///
    /// # Errors
    /// As [`call_mut`](Proxy::call_mut).
    #[track_caller]
    pub fn call_ref<R: Send>(&self, method: impl FnOnce(&T) -> R + Send) -> Result<R, CallError> {
        call_ref(self, Terms::default(), method)
    }
}

impl<T: ?Sized> Clone for Proxy<T> {
    fn clone(&self) -> Self {
        Self { reference: self.reference.clone(), view: self.view }
    }
}

/// Equal exactly if both mean the same object, whatever they see it as (rule LT-7).
impl<T: ?Sized, U: ?Sized> PartialEq<Proxy<U>> for Proxy<T> {
    fn eq(&self, other: &Proxy<U>) -> bool {
        self.reference.same_object(&other.reference)
    }
}

impl<T: ?Sized> Eq for Proxy<T> {}

impl<T: ?Sized> Hash for Proxy<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.reference.stub).hash(state);
    }
}

impl<T: ?Sized> fmt::Debug for Proxy<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stub = &self.reference.stub;
        write!(f, "Proxy<{}>({}", std::any::type_name::<T>(), stub.object)?;
        match stub.mailbox() {
            Some(mailbox) => write!(f, " of {})", mailbox.name),
            None => f.write_str(", free-threaded)"),
        }
    }
}

/// A reference that does not keep the object.
///
/// ```
/// use apartment::Sta;
///
/// let sta = Sta::spawn("db")?;
/// let db = sta.create(|| 7)?;
/// let weak = db.downgrade();
/// assert_eq!(weak.upgrade().as_ref(), Some(&db));
/// drop(db);
/// assert!(weak.upgrade().is_none());
/// # Ok::<(), apartment::Error>(())
/// ```
pub struct WeakProxy<T: ?Sized> {
    reference: WeakReference,
    view: View<T>,
}

impl<T: ?Sized> WeakProxy<T> {
    /// A proxy, if the object still has references; under strict rules it belongs where the one belonged that this was
    /// made of. Does not wait, and does not say whether its apartment lives.
    pub fn upgrade(&self) -> Option<Proxy<T>> {
        self.reference.upgrade().map(|reference| Proxy::of(reference, self.view))
    }
}

impl<T: ?Sized> Clone for WeakProxy<T> {
    fn clone(&self) -> Self {
        Self { reference: self.reference.clone(), view: self.view }
    }
}

impl<T: ?Sized> fmt::Debug for WeakProxy<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WeakProxy<{}>", std::any::type_name::<T>())
    }
}
