//! The filters that everybody writes (rule MF-10), each in a file of its own, standing on what is public like anybody's.

mod busy_dialogue;
mod busy_state;
mod cancel_after;
mod reject_while_out;
mod retry_for;

pub use busy_dialogue::{BusyAnswer, BusyCall, BusyDialogue, WhyBusy};
pub use busy_state::{BusyGuard, BusyState};
pub use cancel_after::CancelAfter;
pub use reject_while_out::RejectWhileOut;
pub use retry_for::RetryFor;
