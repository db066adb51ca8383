//! What travels: the record through which a call borrows and is answered, and what a caller may say about its call.

#[allow(unsafe_code)]
pub(crate) mod record;

use crate::error::{CallError, Reentrant};
use crate::filter::ServerCall;
use crate::sync::Arc;

/// Why an attempt was rejected.
pub(crate) enum Verdict {
    /// The callee's filter refused.
    Refused(ServerCall),
    /// The object is borrowed (rule DI-13).
    Busy(Arc<Reentrant>),
    /// It cannot run at all.
    Failed(CallError),
}

pub(crate) type Ticket = record::Ticket<Verdict>;
pub(crate) type Errand = record::Errand<Verdict>;
pub(crate) type Unrun = record::Unrun<Verdict>;
pub(crate) type Running = record::Running<Verdict>;
pub(crate) type Record = record::Record<Verdict>;
