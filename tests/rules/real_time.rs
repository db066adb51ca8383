//! What ends by the system's clock: every other test drives its own. None of these waits for a time to be right; each waits
//! for the end that only the clock can bring.

use crate::support::{in_child, is_child, join, must_end};
use apartment::{
    CallError, CallOptions, CallType, IncomingCall, MessageClass, MessageFilter, Outcome, PendingAnswer,
    PendingMessage, PostOptions, Process, Retry, ServerCall, Signal, Spin, wait_any,
};
use std::cell::Cell;
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::Duration;

const SHORT: Duration = Duration::from_millis(20);

#[test]
fn ca_3_a_deadline_of_the_systems_clock_ends_a_wait() {
    let process = Process::new();
    let here = process.sta("nobody serves").enter().unwrap();
    let object = here.create(|| ()).unwrap();
    let caller = thread::spawn(move || object.within(SHORT).call(|()| ()));
    let error = caller.join().unwrap().unwrap_err();
    assert!(matches!(error, CallError::TimedOut { outcome: Outcome::NotStarted }), "{error}");
    assert_eq!(here.apartment().queued(), 0);
}

#[test]
fn ck_1_a_call_that_sleeps_leaves_its_thread_what_was_given_for_a_park_of_its_own() {
    must_end(|| {
        let process = Process::builder().spin(Spin::Never).build();
        let here = process.sta("nobody serves").enter().unwrap();
        let object = here.create(|| ()).unwrap();
        let caller = thread::spawn(move || {
            thread::current().unpark();
            // It sleeps until then.
            object.within(SHORT).call(|()| ()).unwrap_err();
            thread::park();
        });
        join(caller);
        // And while it sleeps.
        let callee = process.sta("callee").spawn().unwrap();
        let object = callee.create(|| ()).unwrap();
        let own = thread::current();
        object.call(|()| own.unpark()).unwrap();
        thread::park();
    });
}

#[test]
fn mb_3_a_wait_for_room_ends_by_the_systems_clock() {
    let process = Process::new();
    let here = process.sta("nobody serves").capacity(1).enter().unwrap();
    let object = here.create(|| ()).unwrap();
    object.post(|()| ()).unwrap();
    let caller = thread::spawn(move || {
        let call = object.with(&CallOptions::new().wait_for_room_within(SHORT)).call(|()| ());
        let post = object.with(&PostOptions::new().wait_for_room_within(SHORT)).post(|()| ());
        let late = object.with(&PostOptions::new().wait_for_room().within(SHORT)).post(|()| ());
        (call.unwrap_err(), post.unwrap_err(), late.unwrap_err())
    });
    let (call, post, late) = caller.join().unwrap();
    assert!(matches!(call, CallError::MailboxFull(_)), "{call}");
    assert!(matches!(post.error(), CallError::MailboxFull(_)), "{post}");
    assert!(matches!(late.error(), CallError::TimedOut { outcome: Outcome::NotStarted }), "{late}");
}

#[test]
fn mf_6_a_delay_before_a_retry_ends_by_the_systems_clock() {
    struct BusyOnce(Cell<bool>);
    impl MessageFilter for BusyOnce {
        fn handle_incoming(&self, call: &IncomingCall) -> ServerCall {
            assert_eq!(call.call_type, CallType::TopLevel);
            if self.0.replace(false) { ServerCall::RetryLater } else { ServerCall::Handled }
        }
    }
    let process = Process::new();
    let here = process.sta("busy once").filter(|| BusyOnce(Cell::new(true))).enter().unwrap();
    let object = here.create(|| 5).unwrap();
    let caller = thread::spawn(move || {
        let options = CallOptions::new().retry(|_: &_| Retry::After(Duration::from_millis(100)));
        let result = object.with(&options).call(|n| *n);
        object.apartment().unwrap().quit();
        result
    });
    here.run();
    assert_eq!(caller.join().unwrap().unwrap(), 5);
}

#[test]
fn mf_8_a_wait_that_asks_nobody_sleeps_though_it_is_time_to_ask_again() {
    if !is_child() {
        // The time of all threads is counted.
        in_child("real_time::mf_8_a_wait_that_asks_nobody_sleeps_though_it_is_time_to_ask_again");
        return;
    }
    const LONG: Duration = Duration::from_secs(1);
    struct AsksAgain(Sender<()>);
    impl MessageFilter for AsksAgain {
        fn message_pending(&self, _: &PendingMessage) -> PendingAnswer {
            self.0.send(()).unwrap();
            PendingAnswer::wait_def_process().ask_again_after(LONG / 20)
        }
    }
    let (asks, asked) = channel();
    let process = Process::new();
    let ui = process.sta("ui").filter(|| AsksAgain(asks)).enter().unwrap();
    let callee = process.sta("callee").spawn().unwrap();
    let object = callee.create(|| ()).unwrap();
    let window = ui.apartment().clone();
    object
        .call(move |()| {
            window.post_message(MessageClass::Input, || ()).unwrap();
            asked.recv().unwrap();
        })
        .unwrap();
    // Not a call's wait: the time to ask again comes in it, and nobody is asked.
    let before = cpu_time();
    let never = Signal::manual();
    assert!(matches!(wait_any(&[&never], Some(LONG)), Err(CallError::CallPending)));
    let used = cpu_time() - before;
    assert!(used < LONG / 20, "it was awake for {used:?} of {LONG:?}");
    assert_eq!(ui.pump(), 1);
}

/// What this process has used of its processors so far.
fn cpu_time() -> Duration {
    let own = sysinfo::get_current_pid().unwrap();
    let mut system = sysinfo::System::new();
    let what = sysinfo::ProcessRefreshKind::nothing().with_cpu();
    system.refresh_processes_specifics(sysinfo::ProcessesToUpdate::Some(&[own]), true, what);
    Duration::from_millis(system.process(own).unwrap().accumulated_cpu_time())
}
