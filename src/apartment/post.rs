//! One-way entries: posts and application messages.

use super::asleep::Depends;
use super::ban::is_banned;
use super::invoke::invoke;
use super::making::{Terms, one_way, tell, tell_refused};
use super::options::Room;
use super::serve::Situation;
use super::wait::wait_on;
use crate::call::record::{Attempt, Load, Look};
use crate::call::{Ticket, Verdict};
use crate::describe::{CallKind, CallTarget};
use crate::diagnose::{Route, WaitFor, What};
use crate::error::{CallError, CantCallOut, Outcome};
use crate::mailbox::{Body, Entry, Header, Mailbox, NoRoom, Sent, ToldBy};
use crate::sync::{Arc, Clock};
use crate::thread::{Thread, panic_message};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

/// Why a one-way entry did not come in, and its closure again.
type Refused = Box<(CallError, Sent)>;

/// Puts a one-way entry into the callee's queue: a post, or an application message. Waits only for room, if asked to:
/// an STA pumps then, every other thread blocks.
pub(crate) fn send(
    callee: &Arc<Mailbox>,
    target: CallTarget,
    terms: Terms<'_>,
    body: impl FnOnce(Sent) -> Body,
    closure: Sent,
) -> Result<(), Refused> {
    let thread = Thread::current();
    let refused = |error: CallError, closure| {
        tell_refused(&thread, &callee.common, &error);
        Err(Box::new((error, closure)))
    };
    if let Err(error) = thread.is_initialized(&callee.common) {
        return refused(error, closure);
    }
    if terms.room != Room::Refuse
        && let Err(error) = thread.may_block()
    {
        return refused(error, closure);
    }
    // An application message is for the apartment and no call: it has no object.
    if callee.common.strict && target.object.is_some() {
        if thread.in_filter() {
            return refused(CallError::CantCallOut(CantCallOut::InFilter), closure);
        }
        // Where no synchronous call may go, it stays what it is: one-way calls are always allowed (rule CK-2).
        if thread.sta().is_none() && !is_banned(&thread) {
            return send_and_wait(callee, target, terms, closure);
        }
    }
    let mut header = one_way(&thread, &callee.common, target);
    thread.with_home(|home| {
        header.internal = home.is_some_and(|home| home.is_at(callee));
        header.sender = target.method.and(home).map(|home| Arc::downgrade(home.mailbox()));
    });
    let call = header.call_ref();
    if header.told_by == ToldBy::Elsewhere {
        tell(&thread, &thread.home(), callee, call, || header.call_made(Some(callee.name.id), Route::Mailbox));
    }
    let result = if terms.room == Room::Refuse {
        let entry = Entry::new(header, body(closure));
        thread.sends(callee, entry, NoRoom::Refuse).map(drop).map_err(|refused| refused.into_parts())
    } else {
        // From its making on, not from when it stands in the line.
        let line = PostLine::of(&callee.common.clock, terms);
        thread.with_ticket(|ticket| {
            let mut entry = Entry::new(header.clone(), body(closure));
            entry.taken = Some(ticket.queue_without_loan());
            thread.sends(callee, entry, NoRoom::Wait).map_err(|refused| refused.into_parts())?;
            line.wait(&thread, callee, ticket, &header)
        })
    };
    result.inspect_err(|refused| {
        tell(&thread, &thread.home(), callee, call, || What::Refused { error: (&refused.0).into() });
    })
}

/// Under strict rules a thread of the MTA waits for its one-way calls as for others (rule ST-3). What becomes of one that
/// ran is not its sender's to hear, as ever.
fn send_and_wait(callee: &Arc<Mailbox>, target: CallTarget, terms: Terms<'_>, closure: Sent) -> Result<(), Refused> {
    let mut left = Some(closure);
    let mut job = |object: &dyn Any| {
        let Some(mut closure) = left.take() else { crate::broken("a one-way call's closure runs once") };
        match catch_unwind(AssertUnwindSafe(|| closure.run(object))) {
            Ok(true) => Attempt::Ran(None),
            Ok(false) => {
                left = Some(closure);
                Attempt::Gone
            }
            Err(payload) => Attempt::Ran(Some(panic_message(payload))),
        }
    };
    let result = invoke(callee, CallKind::Synchronous, target, terms, Load::Lent(&mut job));
    match (result, left) {
        (Err(error), Some(closure)) => Err(Box::new((error, closure))),
        _ => Ok(()),
    }
}

/// How long a post waits for room, from its making.
struct PostLine {
    deadline: Option<u64>,
    until: Option<u64>,
}

impl PostLine {
    fn of(clock: &Clock, terms: Terms<'_>) -> Self {
        let after = |time| clock.after(time);
        let deadline = terms.within.map(after);
        let room = match terms.room {
            Room::Within(time) => Some(after(time)),
            Room::Refuse | Room::Wait => None,
        };
        Self { deadline, until: room.into_iter().chain(deadline).min() }
    }

    /// The entry is in the queue already, or stands in the line for room.
    fn wait(self, thread: &Rc<Thread>, callee: &Arc<Mailbox>, ticket: &Ticket, header: &Header) -> Result<(), Refused> {
        let until = self.until.map(|at| (&callee.common.clock, at));
        if !ticket.is_settled() {
            let call = header.call_ref();
            let of = Situation::Of(WaitFor::Room, callee, Some(&call));
            // If it could never get room its entry is turned away, which settles it.
            let _settled = wait_on(thread, of, Depends::Room(callee, ticket, header), until, || ticket.is_settled());
        }
        if ticket.look().0 == Look::Done {
            return Ok(());
        }
        let Some(entry) = callee.leave_line(ticket) else {
            // It was taken between the look and this.
            return Ok(());
        };
        let error = match ticket.take_verdict() {
            Some(Verdict::Failed(error)) => error,
            _ if self.deadline.is_some_and(|deadline| deadline <= callee.common.clock.nanos()) => {
                CallError::TimedOut { outcome: Outcome::NotStarted }
            }
            _ => callee.mailbox_full(),
        };
        Err(Box::new((error, entry.into_closure())))
    }
}
