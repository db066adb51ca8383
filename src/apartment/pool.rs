//! The MTA's pool: how its threads are started, and what one does from its beginning to its end.

use super::hook::{self, Hook};
use super::serve::run;
use super::wait::Alarm;
use crate::diagnose::What;
use crate::error::CallError;
use crate::id::ObjectId;
use crate::mailbox::{Door, Looker, Mailbox, Messages, Next, Shared, Started};
use crate::process::Process;
use crate::sync::{Arc, Bell, JoinHandle, Mutex, reap, spawn};
use crate::thread::{Frame, Home, MtaHome, Thread, contain, drop_shared, drop_unrun, panic_message};
use crate::wait_graph::Scope;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

/// Starts the pool's threads and keeps their handles for the join.
pub(super) struct Starter {
    /// Gone with the MTA, though a proxy may keep the rest: one that the process itself keeps in its table, for example.
    process: Mutex<Option<Process>>,
    /// Gone with it, too.
    hook: Mutex<Option<Hook>>,
    stack_size: Option<usize>,
    threads: Mutex<Threads>,
}

/// Told by the first thread, when it knows, whether it could settle.
pub(super) type Settled = Box<dyn FnOnce(Result<(), CallError>) + Send>;

pub(super) struct Threads {
    started: usize,
    handles: Vec<JoinHandle>,
}

impl Starter {
    pub(super) fn new(process: &Process, hook: Option<Hook>, stack_size: Option<usize>) -> Self {
        let threads = Mutex::new(Threads { started: 0, handles: Vec::new() });
        Self { process: Mutex::new(Some(process.clone())), hook: Mutex::new(hook), stack_size, threads }
    }

    /// Its threads, to be joined.
    pub(super) fn take_threads(&self) -> Vec<JoinHandle> {
        std::mem::take(&mut self.threads.lock().handles)
    }

    /// Starts one; the mailbox has counted it already.
    pub(super) fn start(self: &Arc<Self>, mailbox: &Arc<Mailbox>, start: Option<Settled>) -> Result<(), CallError> {
        let number = {
            let mut threads = self.threads.lock();
            threads.started += 1;
            threads.started
        };
        let name = format!("{} {number}", mailbox.name.name);
        let body = {
            let (starter, mailbox) = (Arc::clone(self), Arc::clone(mailbox));
            move || {
                starter.live(&mailbox, start);
                // With the last of them goes what the hook has captured.
                if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop((starter, mailbox)))) {
                    panic_message(payload);
                }
            }
        };
        match spawn(&name, self.stack_size, body) {
            Ok(handle) => {
                let mut threads = self.threads.lock();
                reap(&mut threads.handles);
                threads.handles.push(handle);
                Ok(())
            }
            Err(error) => {
                let what = format!("a thread of the pool of {} could not be started", mailbox.name);
                Err(CallError::sys_call_failed(what, error))
            }
        }
    }

    /// Nothing half-made stays behind (rule AP-10): there is no first thread, or it could not settle. What others have made
    /// there meanwhile goes here.
    pub(super) fn fail(&self, mailbox: &Arc<Mailbox>) {
        let thread = Thread::current();
        mailbox.close(thread.who(), false);
        let objects = mailbox.begin_end(true).unwrap_or_default();
        self.end(&thread, mailbox, objects, true);
        // The first thread, which was counted: the end of the process need not wait for it.
        mailbox.thread_gone();
    }

    /// The end of the MTA, when everything is served.
    fn end(&self, thread: &Thread, mailbox: &Arc<Mailbox>, objects: Vec<(ObjectId, Shared)>, abnormal: bool) {
        let dropped = objects.len();
        for (id, object) in objects {
            self.drop_object(thread, mailbox, id, object);
        }
        let unrun = mailbox.end(abnormal, dropped, thread.who());
        drop_unrun(mailbox, thread, unrun);
        let hook = self.hook.lock().take();
        contain(mailbox, thread, "the destructor of a hook", || drop(hook));
        let process = self.process.lock().take();
        if let Some(process) = process {
            process.mta_ended(mailbox);
        }
    }

    /// A pool thread's life.
    fn live(&self, mailbox: &Arc<Mailbox>, start: Option<Settled>) {
        let bell = Arc::new(Bell::new());
        let thread = Thread::started(Arc::clone(&bell));
        let hook = self.hook.lock().clone();
        let entered = hook::enter(hook.as_ref(), mailbox, start.is_some());
        contain(mailbox, &thread, "the destructor of a hook", || drop(hook));
        let guard = match entered {
            Ok(guard) => guard,
            Err(error) => {
                match start {
                    Some(settled) => {
                        self.fail(mailbox);
                        settled(Err(error));
                    }
                    None => {
                        mailbox.growth_failed(&error);
                        contain(mailbox, &thread, "the destructor of a hook's error", || drop(error));
                    }
                }
                return;
            }
        };
        let home = MtaHome::new(Arc::clone(mailbox), true, false);
        thread.set_home(Some(Home::Mta(Rc::new(home))));
        let name = Arc::clone(&mailbox.name.name);
        mailbox.note(thread.who(), What::ThreadEntered { name, implicit: false });
        if let Some(settled) = start {
            settled(Ok(()));
        }
        self.serve(&thread, mailbox, &bell);
        mailbox.note(thread.who(), What::ThreadLeft);
        contain(mailbox, &thread, "the destructor of the guard around the thread", || drop(guard));
        thread.set_home(None);
        mailbox.thread_gone();
    }

    fn serve(&self, thread: &Rc<Thread>, mailbox: &Arc<Mailbox>, bell: &Arc<Bell>) {
        loop {
            let looker = Looker {
                who: thread.who(),
                depth: 0,
                wait: 0,
                scope: Scope::Everything,
                messages: Messages::Held,
                filter: false,
                batch: None,
            };
            let mut started = Started::default();
            match mailbox.next(&looker, &mut started) {
                Next::Release(object) => {
                    if let Some(shared) = mailbox.unshelve(object) {
                        thread.push_frame(|| Frame::of_a_release(thread, object));
                        self.drop_object(thread, mailbox, object, shared);
                        thread.pop_frame();
                    }
                }
                Next::Late(shared) => drop_shared(mailbox, thread, shared),
                Next::Run => run(thread, None, mailbox, &mut started),
                Next::Rung => {}
                Next::Nothing(Door::Ended, _) => return,
                Next::Nothing(door, _) => {
                    if door == Door::Closing
                        && let Some(objects) = mailbox.begin_end(false)
                    {
                        self.end(thread, mailbox, objects, false);
                    } else if let Some(alarm) = mailbox.goes_idle(bell, door) {
                        let alarm = Alarm::new(thread, mailbox, alarm);
                        if !alarm.is_due && thread.spin(mailbox.common.spin).is_none() {
                            bell.wait(alarm.at);
                        }
                        mailbox.no_longer_idle(bell);
                    }
                }
                Next::Ask(_) | Next::AskMessage { .. } => crate::broken("the MTA has no filter"),
            }
        }
    }

    fn drop_object(&self, thread: &Thread, mailbox: &Arc<Mailbox>, object: ObjectId, shared: Shared) {
        mailbox.tell(thread.who(), None, || What::ObjectDropped { object });
        contain(mailbox, thread, "a destructor", || drop(shared));
    }
}
