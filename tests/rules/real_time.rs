//! What ends by the system's clock: every other test drives its own. None of these waits for a time to be right; each waits
//! for the end that only the clock can bring.

use apartment::{
    CallError, CallOptions, CallType, IncomingCall, MessageFilter, Outcome, PostOptions, Process, Retry, ServerCall,
};
use std::cell::Cell;
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
