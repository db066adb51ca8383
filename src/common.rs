//! What all apartments of a process share, and by which they know that they are of the same.

use crate::diagnose::{CallRef, Recorder, What};
use crate::error::CallError;
use crate::id::{ApartmentId, ObjectId, ThreadId};
use crate::sync::{Arc, AtomicU64, Clock, Ordering, Spin};
use crate::wait_graph::Graph;

/// Below the process, which knows its apartments; an apartment knows only this of its process.
pub(crate) struct Common {
    pub(crate) name: Arc<str>,
    pub(crate) clock: Clock,
    pub(crate) recorder: Arc<Recorder>,
    /// Whether its threads look again before they sleep.
    pub(crate) spin: Spin,
    /// Whether COM's rules hold to the letter (rules ST-1 to ST-3).
    pub(crate) strict: bool,
    /// Who waits for whom (rule DL-1).
    pub(crate) graph: Graph,
    /// The id of the MTA while there is one; 0 otherwise. Written under the process' lock.
    mta: AtomicU64,
    /// 1 once the process' end has begun (rule LT-8): nothing is made any more. Written under the list's lock.
    stopping: AtomicU64,
    /// Free-threaded objects are numbered by their process, having no apartment.
    objects_made: AtomicU64,
}

impl Common {
    pub(crate) fn new(
        name: Arc<str>,
        clock: Clock,
        recorder: Arc<Recorder>,
        graph: Graph,
        spin: Spin,
        strict: bool,
    ) -> Arc<Self> {
        let (mta, stopping, objects_made) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
        Arc::new(Self { name, clock, recorder, spin, strict, graph, mta, stopping, objects_made })
    }

    /// The MTA began, or ended.
    pub(crate) fn set_mta(&self, mta: Option<ApartmentId>) {
        self.mta.store(mta.map_or(0, ApartmentId::get), Ordering::Release);
    }

    pub(crate) fn mta(&self) -> Option<ApartmentId> {
        match self.mta.load(Ordering::Acquire) {
            0 => None,
            id => Some(ApartmentId(id)),
        }
    }

    /// Its end begins.
    pub(crate) fn stops(&self) {
        self.stopping.store(1, Ordering::Release);
    }

    /// Whether something can still be made in it: `ServerStopping` once its end has begun.
    pub(crate) fn makes(&self) -> Result<(), CallError> {
        match self.stopping.load(Ordering::Acquire) {
            0 => Ok(()),
            _ => Err(CallError::ServerStopping),
        }
    }

    /// A step that is no apartment's.
    #[inline]
    pub(crate) fn tell(&self, who: (ThreadId, u16), call: Option<CallRef>, what: impl FnOnce() -> What) {
        if self.recorder.is_on() {
            self.tell_now(who, call, what());
        }
    }

    #[cold]
    fn tell_now(&self, who: (ThreadId, u16), call: Option<CallRef>, what: What) {
        self.recorder.push(None, who, call, what);
    }

    /// A number for a free-threaded object.
    pub(crate) fn new_object(&self) -> ObjectId {
        ObjectId(self.objects_made.fetch_add(1, Ordering::Relaxed) + 1)
    }
}
