//! Throwing queued application messages away.

use crate::error::CallError;
use crate::filter::MessageClass;
use crate::thread::{Thread, drop_unrun};

/// Throws away the messages of that class that are queued in this thread's STA, unrun, and gives how many there were. What
/// was typed before a dialogue is shown, say, and is not meant for it; [`BusyDialogue`](crate::BusyDialogue) does so.
///
/// Nothing else throws messages away before the apartment is asked to quit (rule MF-8). It may be called from anywhere on
/// the thread, from a filter's method too, and does not wait. The room of the messages is free at once; their closures are
/// dropped here, and a panic in that is contained and recorded. Each is told as an event, `MessageDropped`. What is sent
/// meanwhile stays.
///
/// # Errors
/// `NotSupported` on a thread that is in the MTA or in no apartment: it has no messages.
///
/// ```
/// use apartment::{MessageClass, Sta, discard_messages};
///
/// let ui = Sta::builder("ui").enter()?;
/// ui.apartment().post_message(MessageClass::Input, || panic!("typed too early")).unwrap();
/// ui.apartment().post_message(MessageClass::Paint, || ()).unwrap();
/// assert_eq!(discard_messages(MessageClass::Input)?, 1);
/// assert_eq!(ui.pump(), 1);
/// # Ok::<(), apartment::Error>(())
/// ```
pub fn discard_messages(class: MessageClass) -> Result<usize, CallError> {
    let thread = Thread::current();
    let Some(home) = thread.sta() else {
        return Err(CallError::NotSupported { what: "messages are an STA's, and this thread is in none" });
    };
    let discarded = home.mailbox.discard(class, thread.who());
    let count = discarded.len();
    drop_unrun(&home.mailbox, &thread, discarded);
    Ok(count)
}
