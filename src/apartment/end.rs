//! Ending a process in two phases: everybody is asked, then everybody leaves (rule LT-8).
//!
//! What is asked and told goes through the mailboxes like calls, but needs no room, and no filter is asked. It is sent
//! with a closure of its own rather than with one that is lent, so the asker can leave when its time is up; what it then
//! still waits for names a state that both share (`process/end.rs`).

use super::ban::ban_of_all;
use super::invoke::invoke;
use super::making::{Terms, made, making, tell};
use super::serve::Situation;
use super::wait::wait;
use crate::call::record::{Attempt, Load};
use crate::describe::{CallKind, CallTarget, Method};
use crate::diagnose::{CallRef, ErrorSeen, Route, WaitFor, What};
use crate::error::{CallError, Outcome};
use crate::id::ChainId;
use crate::mailbox::{Body, Closure, Entry, Mailbox, NoRoom, Sent, ToldBy};
use crate::process::{
    Answer, Asked, Begins, Coming, EndCount, EndHandler, EndRefused, Ended, NotFromHere, Process, Query, TellsOver,
};
use crate::sync::Arc;
use crate::thread::{Home, StaHome, Thread, contain, drop_unrun, panic_message};
use std::any::Any;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

static QUERY: Method = Method::new("EndHandler", "query_end", 0, CallKind::InputSynchronized);
static CANCELLED: Method = Method::new("EndHandler", "end_cancelled", 1, CallKind::InputSynchronized);
static ENDING: Method = Method::new("EndHandler", "ending", 2, CallKind::Synchronous);

impl Process {
    /// Ends the process: asks every STA that has an [`EndHandler`] and, if all agree, ends all apartments (rule LT-8). Both
    /// together have `within` on the process' clock; the wait is one of this library's: an STA pumps in it, other threads
    /// block.
    ///
    /// *The query.* All are asked at once, each on its own thread; this thread's own STA is asked directly. An apartment
    /// without a handler agrees. No answer in time is a refusal. If there is one, all that agreed are told
    /// ([`end_cancelled`](EndHandler::end_cancelled)), and nothing has changed.
    ///
    /// *The end.* From here on nothing is made any more, neither apartments nor objects: `ServerStopping`. Chains that run
    /// may finish. Each handler is told ([`ending`](EndHandler::ending)), one after the other, and all apartments are still
    /// there to be called. Then they leave as if they were asked to [quit](crate::Apartment::quit), one after the other: the
    /// youngest first, hosts (rule CL-3) after the others, the main STA last. What fails meanwhile is recorded and ignored.
    ///
    /// Each is waited for at most for its share of the time that is left, so that one that stays does not keep the others from
    /// ending in order; then all that stayed, until the time is up. Threads that entered an apartment, and threads that are
    /// busy, cannot be made to leave: the apartments of those that are still in then are cut off and named in
    /// [`Ended::still_in`]. Calls to them are `Disconnected`, they drop their objects when they leave, and dropping the handles
    /// that own them waits for nothing. This thread's own
    /// apartment is asked to quit and not waited for: it ends when its guard is dropped, or when what it serves has ended.
    ///
    /// A process that has ended stays so; who ends it again is told ([`Ended::before`]).
    ///
    /// ```
    /// use apartment::{EndHandler, EndRefused, Process};
    /// use std::time::Duration;
    ///
    /// /// A document that has not been saved.
    /// struct Unsaved;
    ///
    /// impl EndHandler for Unsaved {
    ///     fn query_end(&self) -> bool {
    ///         false
    ///     }
    /// }
    ///
    /// let process = Process::new();
    /// let editor = process.sta("editor").end_handler(|| Unsaved).spawn()?;
    /// match process.end(Duration::from_secs(5)) {
    ///     Err(EndRefused::By(refusals)) => assert_eq!(&*refusals[0].apartment.name, "editor"),
    ///     other => panic!("{other:?}"),
    /// }
    /// let document = editor.create(|| 7)?; // nothing has changed
    ///
    /// editor.create(|| ())?.call(|()| apartment::register_end_handler(None).map(drop))??;
    /// let ended = process.end(Duration::from_secs(5))?;
    /// assert!(ended.still_in.is_empty());
    /// assert_eq!(document.call(|n| *n).unwrap_err().hresult(), 0x8001_0108);
    /// assert_eq!(editor.create(|| 8).unwrap_err().hresult(), 0x8008_0008);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`EndRefused`]: by whom; that somebody ends the process already; or that it cannot be ended from here: not in a
    /// filter's method or an input-synchronized call, nor in a call of another thread's, which would wait for this as this
    /// for its apartment. A post or an application message may. Under strict rules, not on a thread in no apartment while
    /// there is no MTA.
    #[doc(alias("WM_QUERYENDSESSION", "WM_ENDSESSION"))]
    #[track_caller]
    pub fn end(&self, within: Duration) -> Result<Ended, EndRefused> {
        let location = Location::caller();
        let thread = Thread::current();
        let outside = thread.is_initialized(self.common()).err().map(|_| NotFromHere::NotInitialized);
        if let Some(why) = outside.or_else(|| not_from_here(&thread)) {
            return Err(EndRefused::NotFromHere(why));
        }
        let home = thread.home();
        match self.begin_query() {
            Begins::Here => {}
            Begins::UnderWay => return Err(EndRefused::UnderWay),
            Begins::Over => {
                let others = self.apartments().into_iter().filter(|other| !is_at(&home, other));
                let still_in = others.filter(|other| !other.has_gone()).map(|other| other.name.clone()).collect();
                return Ok(Ended { still_in, before: true });
            }
        }
        let until = self.clock().after(within);
        let ending = Ending { process: self, thread: &thread, home, until, location };
        ending.ask()?;
        let ended = ending.end();
        thread.leave_if_due();
        Ok(ended)
    }
}

/// Sets the end handler of this thread's STA: it is asked before the process [ends](Process::end); `None` removes it.
/// Gives the one before. Does not wait. One that is set while the query is under way may be asked or not.
///
/// # Errors
/// `NotSupported` on a thread that is in the MTA or in no apartment; nothing changes.
///
/// ```
/// use apartment::{EndHandler, Sta, register_end_handler};
/// use std::rc::Rc;
///
/// struct Agrees;
/// impl EndHandler for Agrees {}
///
/// let ui = Sta::builder("ui").enter()?;
/// assert!(register_end_handler(Some(Rc::new(Agrees)))?.is_none());
/// assert!(register_end_handler(None)?.is_some());
/// # drop(ui);
/// # Ok::<(), apartment::Error>(())
/// ```
pub fn register_end_handler(handler: Option<Rc<dyn EndHandler>>) -> Result<Option<Rc<dyn EndHandler>>, CallError> {
    let Some(Home::Sta(home)) = Thread::current().home() else {
        return Err(CallError::NotSupported { what: "an end handler belongs to an STA, and this thread is in none" });
    };
    home.mailbox.handles_end(handler.is_some());
    Ok(home.end_handler.replace(handler))
}

/// What stands on the thread that would wait for the process' end while that waits for it.
fn not_from_here(thread: &Thread) -> Option<NotFromHere> {
    let (own, _) = thread.who();
    if let Some(why) = ban_of_all(thread) {
        return Some(NotFromHere::CantCallOut(why));
    }
    if thread.may_block().is_err() {
        return Some(NotFromHere::MayNotBlock);
    }
    // Nobody waits for a one-way call, a message or a destructor, and a direct call's caller is this thread.
    let waits = thread.with_frames(|frames| {
        frames.iter().any(|frame| frame.chain.is_some() && !frame.kind.is_one_way() && frame.caller.thread != own)
    });
    waits.then_some(NotFromHere::InCall)
}

fn is_at(home: &Option<Home>, mailbox: &Arc<Mailbox>) -> bool {
    home.as_ref().is_some_and(|home| home.is_at(mailbox))
}

/// A process' end, from the thread that ends it.
struct Ending<'a> {
    process: &'a Process,
    thread: &'a Rc<Thread>,
    home: Option<Home>,
    /// When the time is up, on the process' clock.
    until: u64,
    location: &'static Location<'static>,
}

impl Ending<'_> {
    /// The query: whether all agree.
    fn ask(&self) -> Result<(), EndRefused> {
        let query = Query::new(Arc::clone(self.thread.bell()));
        // Who comes while the others answer is asked, too.
        while self.ask_who_is_new(&query) && self.wait(WaitFor::EndHandlers, || query.is_answered()) {}
        let EndCount { refusals, agreed } = query.count();
        if refusals.is_empty() {
            return Ok(());
        }
        for mailbox in agreed {
            self.tell_cancelled(&mailbox);
        }
        self.process.query_failed();
        Err(EndRefused::By(refusals))
    }

    fn ask_who_is_new(&self, query: &Arc<Query>) -> bool {
        let mut own = None;
        let mut any = false;
        for mailbox in self.process.apartments() {
            if !mailbox.is_to_be_asked() {
                continue;
            }
            let Some(asked) = query.asks(&mailbox) else { continue };
            any = true;
            mailbox.tell(self.thread.who(), None, || What::EndAsked);
            if is_at(&self.home, &mailbox) {
                own = Some((mailbox, asked));
            } else {
                // If it is not accepted, the apartment is ending: then nobody is to be asked.
                let _refused = self.send(&mailbox, &QUERY, move |thread, home| answer(thread, home, &asked));
            }
        }
        // The others answer meanwhile.
        if let Some((mailbox, asked)) = own {
            let at_home = self.directly(&mailbox, &QUERY, |thread, home| answer(thread, home, &asked));
            if at_home.is_err() {
                asked.answer(Answer::Refuses);
            }
        }
        any
    }

    /// Ahead of what is queued, as the query was: nobody hears of the next query before this.
    fn tell_cancelled(&self, mailbox: &Arc<Mailbox>) {
        let _recorded = if is_at(&self.home, mailbox) {
            self.directly(mailbox, &CANCELLED, cancelled)
        } else {
            self.send(mailbox, &CANCELLED, cancelled).map(drop)
        };
    }

    /// The end: handlers are told, then the apartments leave.
    fn end(&self) -> Ended {
        let apartments = self.process.begin_ending();
        for mailbox in &apartments {
            if mailbox.is_to_be_asked() {
                self.tell_ending(mailbox);
            }
        }
        for (at, mailbox) in apartments.iter().enumerate() {
            if !mailbox.has_gone() {
                mailbox.close(self.thread.who(), true);
                // At most its share of the time that is left: one that stays leaves the others time to end in order.
                self.wait_until_gone(mailbox, self.share(apartments.len() - at));
            }
        }
        for mailbox in &apartments {
            self.wait_until_gone(mailbox, self.until);
        }
        let mut still_in = Vec::new();
        for mailbox in apartments.iter().filter(|mailbox| !is_at(&self.home, mailbox)) {
            if let Some(unrun) = mailbox.cut_off(self.thread.who()) {
                drop_unrun(mailbox, self.thread, unrun);
                still_in.push(mailbox.name.clone());
            }
        }
        self.process.has_ended();
        Ended { still_in, before: false }
    }

    fn tell_ending(&self, mailbox: &Arc<Mailbox>) {
        if is_at(&self.home, mailbox) {
            let _recorded = self.directly(mailbox, &ENDING, ending);
            return;
        }
        let told = Coming::new();
        let over = TellsOver(Arc::clone(&told));
        let sent = self.send(mailbox, &ENDING, move |thread, home| {
            ending(thread, home);
            drop(over);
        });
        if let Ok(call) = sent {
            let in_time = self.wait(WaitFor::EndHandlers, || told.look(self.thread.bell()).is_some());
            let error = (!in_time).then_some(CallError::TimedOut { outcome: Outcome::MayHaveRun });
            let returned = || What::Returned { error: error.as_ref().map(ErrorSeen::from) };
            tell(self.thread, &self.home, mailbox, call, returned);
        }
    }

    /// When one of that many has used its share of the time.
    fn share(&self, of: usize) -> u64 {
        let now = self.process.clock().nanos();
        let left = self.until.saturating_sub(now);
        now + left / u64::try_from(of).unwrap_or(u64::MAX)
    }

    /// This thread's own apartment is not waited for.
    fn wait_until_gone(&self, mailbox: &Arc<Mailbox>, until: u64) {
        if !is_at(&self.home, mailbox) && !mailbox.has_gone() {
            self.wait_until(WaitFor::Thread, until, || mailbox.is_gone(self.thread.bell()));
        }
    }

    /// Waits until the deadline at most; says whether it is done.
    fn wait(&self, on: WaitFor, done: impl FnMut() -> bool) -> bool {
        self.wait_until(on, self.until, done)
    }

    fn wait_until(&self, on: WaitFor, until: u64, mut done: impl FnMut() -> bool) -> bool {
        let (common, all) = (self.process.common(), self.process.apartments());
        wait(self.thread, Situation::Plain(on, common, &all), Some((&common.clock, until)), &mut done);
        done()
    }

    fn target(&self, method: &'static Method) -> CallTarget {
        CallTarget { object: None, type_name: "EndHandler", method: Some(method), location: self.location }
    }

    /// Runs something on this thread, in its own apartment.
    fn directly(
        &self,
        mailbox: &Arc<Mailbox>,
        method: &'static Method,
        run: impl FnOnce(&Rc<Thread>, &Rc<StaHome>) + Send,
    ) -> Result<(), CallError> {
        let mut run = Some(run);
        let mut job = |_: &dyn Any| {
            let thread = Thread::current();
            if let (Some(run), Some(home)) = (run.take(), thread.sta()) {
                run(&thread, &home);
            }
            Attempt::Ran(None)
        };
        // What the call that this is made in has of time and cancels is not its own.
        let terms = Terms { internal: true, ..Terms::default() };
        invoke(mailbox, method.kind, self.target(method), terms, Load::Lent(&mut job))
    }

    /// Sends something to an STA's thread, to be run there in its turn. It needs no room, and no filter is asked.
    fn send(
        &self,
        mailbox: &Arc<Mailbox>,
        method: &'static Method,
        run: impl FnOnce(&Rc<Thread>, &Rc<StaHome>) + Send + 'static,
    ) -> Result<CallRef, CallError> {
        let Self { thread, home, .. } = self;
        let terms = Terms { internal: true, ..Terms::default() };
        let mut making = making(thread, mailbox, method.kind, self.target(method), &terms);
        // Whoever ends the process does not wait for it beyond its own time: it is no part of a chain that is under way.
        making.header.chain = ChainId(making.header.id);
        making.header.depth = 1;
        let call = making.header.call_ref();
        match making.header.told_by {
            ToldBy::Elsewhere => made(thread, home, &making, Route::Mailbox),
            // Nobody waits for it as for a call.
            _ => making.header.told_by = ToldBy::Callee,
        }
        let entry = Entry::new(making.header.clone(), Body::Post(Sent::new(Own(run))));
        thread.sends(mailbox, entry, NoRoom::NotNeeded).map_err(|refused| {
            let (error, closure) = *refused.into_parts();
            drop(closure);
            tell(thread, home, mailbox, call, || What::Refused { error: (&error).into() });
            error
        })?;
        Ok(call)
    }
}

/// What the library itself runs in an STA.
struct Own<F>(F);

impl<F: FnOnce(&Rc<Thread>, &Rc<StaHome>) + Send + 'static> Closure for Own<F> {
    fn run(self, _: &dyn Any) -> Option<Self> {
        let thread = Thread::current();
        if let Some(home) = thread.sta() {
            (self.0)(&thread, &home);
        }
        None
    }
}

/// Asks this thread's handler, and answers.
fn answer(thread: &Rc<Thread>, home: &Rc<StaHome>, asked: &Asked) {
    if asked.is_too_late() {
        return;
    }
    let answer = handle(thread, home, "query_end", |handler| handler.query_end());
    let answer = match answer {
        None => Answer::Nobody,
        Some(Ok(true)) => Answer::Agrees,
        Some(Ok(false)) => Answer::Refuses,
        Some(Err(message)) => Answer::Panicked(message),
    };
    let agrees = matches!(answer, Answer::Agrees);
    home.mailbox.tell(thread.who(), None, || What::EndAnswered { agrees });
    // Too late counts as a refusal, and the asker, who is gone, has told those who agreed.
    if !asked.answer(answer) && agrees {
        cancelled(thread, home);
    }
}

fn cancelled(thread: &Rc<Thread>, home: &Rc<StaHome>) {
    handle(thread, home, "end_cancelled", |handler| handler.end_cancelled());
}

fn ending(thread: &Rc<Thread>, home: &Rc<StaHome>) {
    handle(thread, home, "ending", |handler| handler.ending());
}

/// Runs a method of this thread's handler, if it has one; a panic in it is contained and recorded.
fn handle<R>(
    thread: &Rc<Thread>,
    home: &Rc<StaHome>,
    place: &'static str,
    method: impl FnOnce(&dyn EndHandler) -> R,
) -> Option<Result<R, Arc<str>>> {
    let handler = home.end_handler.borrow().clone()?;
    let result = catch_unwind(AssertUnwindSafe(|| method(&*handler))).map_err(|payload| {
        let message = panic_message(payload);
        home.mailbox.tell(thread.who(), None, || What::Contained { place, message: Arc::clone(&message) });
        message
    });
    // It may have taken itself off meanwhile: this is its last reference then.
    contain(&home.mailbox, thread, "an end handler's destructor", || drop(handler));
    Some(result)
}
