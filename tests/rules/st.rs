//! Strict rules: COM's to the letter, for teaching and porting.

use apartment::{
    CallError, CallKind, CallOptions, Clock, EndRefused, IncomingCall, MessageClass, MessageFilter, NotFromHere,
    Process, Proxy, RejectedCall, Retry, ServerCall, What, implements, interface,
};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

fn strict() -> Process {
    Process::builder().clock(Clock::driven()).record(100_000).strict_rules().build()
}

fn is_not_initialized<T>(result: Result<T, CallError>) -> bool {
    matches!(result.err(), Some(error @ CallError::NotInitialized) if error.hresult() == 0x8004_01F0)
}

fn is_wrong_thread<T>(result: Result<T, CallError>) -> bool {
    matches!(result.err(), Some(error @ CallError::WrongThread) if error.hresult() == 0x8001_010E)
}

/// A proxy that an entered STA made, given to this thread as it is; the STA ends with `work`.
fn with_a_proxy_of_another<R>(process: &Process, work: impl FnOnce(&Process, Proxy<u32>) -> R) -> R {
    let sta = process.sta("home").spawn().unwrap();
    let made = {
        let entered = process.sta("maker").enter().unwrap();
        let made = sta.create(|| 7).unwrap();
        entered.leave();
        made
    };
    work(process, made)
}

#[test]
fn st_1_a_thread_in_no_apartment_can_do_nothing_while_there_is_no_mta() {
    with_a_proxy_of_another(&strict(), |process, proxy| {
        let sta = process.sta("another").spawn().unwrap();
        assert!(is_not_initialized(sta.create(|| 1)));
        assert!(is_not_initialized(proxy.call(|n| *n)));
        assert!(is_not_initialized(proxy.post(|_| {}).map_err(CallError::from)));
        let message = sta.apartment().post_message(MessageClass::User, || {});
        assert!(is_not_initialized(message.map_err(CallError::from)));
        assert!(proxy.local().is_none());
        let ended = process.end(std::time::Duration::ZERO);
        assert!(matches!(ended, Err(EndRefused::NotFromHere(NotFromHere::NotInitialized))), "{ended:?}");
    });
}

#[test]
fn st_1_nothing_reaches_anybody_and_a_refused_post_hands_its_closure_back() {
    let process = strict();
    with_a_proxy_of_another(&process, |_, proxy| {
        let ran = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&ran);
        let refused = proxy.post(move |n| _ = count.fetch_add(*n, Ordering::Relaxed)).unwrap_err();
        assert_eq!(Arc::strong_count(&ran), 2, "the closure is still there");
        refused.into_closure()(&1);
        assert_eq!(ran.load(Ordering::Relaxed), 1);
    });
    let events = process.recording().unwrap().events();
    let made = events.iter().filter(|event| matches!(event.what, What::CallMade(_))).count();
    assert_eq!(made, 1, "only the creation");
    let refused = events.iter().filter(|event| match &event.what {
        What::Refused { error } => error.hresult == CallError::NotInitialized.hresult(),
        _ => false,
    });
    assert_eq!(refused.count(), 1, "but the refusal is told");
}

#[test]
fn st_1_entering_asking_where_one_is_and_dropping_references_is_always_possible() {
    with_a_proxy_of_another(&strict(), |process, proxy| {
        assert_eq!(process.current().kind, None);
        let clone = proxy.clone();
        drop(proxy);
        let ui = process.sta("ui").enter().unwrap();
        // In an apartment now, but the proxy was made in another.
        assert!(is_wrong_thread(clone.call(|n| *n)));
        drop(clone);
        drop(ui);
        drop(process.mta().spawn().unwrap());
    });
}

#[test]
fn st_1_with_an_mta_a_thread_in_no_apartment_counts_as_one_of_its_threads() {
    let process = strict();
    let sta = process.sta("home").spawn().unwrap();
    let mta = process.mta().spawn().unwrap();
    let number = sta.create(|| 7).unwrap();
    assert_eq!(number.call(|n| *n).unwrap(), 7);
    // What belongs to the MTA belongs to all its threads, implicit ones and others.
    let from_another = number.clone();
    assert_eq!(thread::spawn(move || from_another.call(|n| *n).unwrap()).join().unwrap(), 7);
    // This waits until it has ended.
    drop(mta);
    assert!(is_not_initialized(number.call(|n| *n)));
}

#[test]
fn st_1_without_strict_rules_nothing_of_this_holds() {
    let process = Process::new();
    with_a_proxy_of_another(&process, |_, proxy| assert_eq!(proxy.call(|n| *n).unwrap(), 7));
}

#[test]
fn st_2_a_proxy_used_where_it_was_not_marshalled_to_is_wrong_thread_and_nothing_reaches_the_server() {
    let process = strict();
    with_a_proxy_of_another(&process, |process, proxy| {
        let ui = process.sta("ui").enter().unwrap();
        assert!(is_wrong_thread(proxy.call(|n| *n)));
        assert!(is_wrong_thread(proxy.post(|_| {}).map_err(CallError::from)));
        assert!(is_wrong_thread(proxy.within(std::time::Duration::from_secs(1)).call(|n| *n)));
        assert!(proxy.local().is_none());
        let weak = proxy.downgrade();
        assert!(is_wrong_thread(weak.upgrade().unwrap().call(|n| *n)), "a weak one does not launder it");
        drop(ui);
    });
    let events = process.recording().unwrap().events();
    let queued = events.iter().filter(|event| matches!(event.what, What::Queued { .. })).count();
    assert_eq!(queued, 1, "only the creation: {events:#?}");
    let refused = events.iter().filter(|event| matches!(event.what, What::Refused { .. })).count();
    assert_eq!(refused, 4, "each refusal is told: {events:#?}");
}

#[test]
fn st_2_a_proxy_captured_by_a_closure_is_not_seen_and_hence_wrong_there() {
    let process = strict();
    let (a, b) = (process.sta("a").spawn().unwrap(), process.sta("b").spawn().unwrap());
    let ui = process.sta("ui").enter().unwrap();
    let (in_a, in_b) = (a.create(|| 1).unwrap(), b.create(|| 2).unwrap());
    assert_eq!(in_b.call(|n| *n).unwrap(), 2, "it belongs here");
    let captured = in_b.clone();
    assert!(is_wrong_thread(in_a.call(move |_| captured.call(|n| *n)).unwrap()));
    // What a callee made is the callee's.
    let made_there = in_a.call(move |_| a.create(|| 3).unwrap()).unwrap();
    assert!(is_wrong_thread(made_there.call(|n| *n)));
    drop(ui);
}

#[test]
fn st_2_at_home_even_the_object_itself_must_have_been_marshalled_there() {
    let process = strict();
    let sta = process.sta("home").spawn().unwrap();
    let ui = process.sta("ui").enter().unwrap();
    let number = sta.create(|| 7).unwrap();
    let inside = number.clone();
    let (called, local) = number.call(move |_| (inside.call(|n| *n), inside.local().is_none())).unwrap();
    assert!(is_wrong_thread(called));
    assert!(local);
    drop(ui);
}

#[test]
fn st_2_an_apartment_of_another_process_is_elsewhere_too() {
    let (process, other) = (strict(), Process::new());
    with_a_proxy_of_another(&process, |_, proxy| {
        let ui = other.sta("ui").enter().unwrap();
        assert!(is_wrong_thread(proxy.call(|n| *n)));
        drop(ui);
    });
}

/// What reaches it, by kind.
struct Kinds(Rc<RefCell<Vec<CallKind>>>);

impl MessageFilter for Kinds {
    fn handle_incoming(&self, call: &IncomingCall) -> ServerCall {
        self.0.borrow_mut().push(call.kind);
        ServerCall::Handled
    }
}

#[test]
fn st_3_a_post_by_a_thread_of_the_mta_waits_and_is_synchronous() {
    let process = strict();
    let mta = process.mta().spawn().unwrap();
    let log = process.sta("log").spawn().unwrap();
    let lines = log.create(|| ()).unwrap();
    lines
        .call(|_| {
            let kinds = Rc::new(RefCell::new(vec![]));
            apartment::register_filter(Some(Rc::new(Kinds(Rc::clone(&kinds))))).unwrap();
        })
        .unwrap();
    // This thread is in no apartment: one of the MTA's, as there is one.
    let ran = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&ran);
    lines.post(move |_| _ = count.fetch_add(1, Ordering::Relaxed)).unwrap();
    assert_eq!(ran.load(Ordering::Relaxed), 1, "it has run when the post returns");
    let events = process.recording().unwrap().events();
    let mut last = events.iter().filter_map(|event| match &event.what {
        What::CallMade(made) => Some(made.kind),
        _ => None,
    });
    assert_eq!(last.next_back(), Some(CallKind::Synchronous));
    drop(mta);
}

#[test]
fn st_3_so_is_one_in_a_synchronous_call_that_such_a_thread_serves() {
    let process = strict();
    let mta = process.mta().spawn().unwrap();
    let log = process.sta("log").spawn().unwrap();
    let (lines, shared) = (log.create(|| ()).unwrap(), mta.create(|| ()).unwrap());
    let ran = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&ran);
    shared
        .call(|()| {
            lines.post(move |()| _ = count.fetch_add(1, Ordering::Relaxed)).unwrap();
            assert_eq!(ran.load(Ordering::Relaxed), 1, "it has run when the post returns");
        })
        .unwrap();
    drop(mta);
}

#[test]
fn st_3_one_that_is_refused_hands_its_closure_back_and_one_that_panics_is_not_its_senders_to_hear() {
    struct Busy;
    impl MessageFilter for Busy {
        fn handle_incoming(&self, _: &IncomingCall) -> ServerCall {
            ServerCall::Rejected
        }
    }
    let process = strict();
    let mta = process.mta().spawn().unwrap();
    let log = process.sta("log").spawn().unwrap();
    let lines = log.create(|| RefCell::new(vec![])).unwrap();
    lines.post(|_| panic!("in a post")).unwrap();
    lines.call(|_| _ = apartment::register_filter(Some(Rc::new(Busy))).unwrap()).unwrap();
    let refused = lines.post(|lines| lines.borrow_mut().push("kept")).unwrap_err();
    assert!(matches!(refused.error(), CallError::CallRejected { .. }), "{refused}");
    let lines = RefCell::new(vec![]);
    refused.into_closure()(&lines);
    assert_eq!(*lines.borrow(), ["kept"]);
    drop(mta);
}

interface! {
    trait Log {
        fn line(&self, line: &str) -> Result<(), CallError> as one_way;
    }
}

struct Lines(RefCell<Vec<String>>);

impl Log for Lines {
    fn line(&self, line: &str) -> Result<(), CallError> {
        self.0.borrow_mut().push(format!("{line}, {:?}", apartment::current_call()?.kind()));
        Ok(())
    }
}

implements!(Lines: dyn Log);

#[test]
fn st_3_so_does_a_one_way_method_which_is_retried_with_its_arguments() {
    /// Busy, three times.
    struct Busy(Cell<u32>);
    impl MessageFilter for Busy {
        fn handle_incoming(&self, _: &IncomingCall) -> ServerCall {
            self.0.set(self.0.get().saturating_sub(1));
            if self.0.get() > 0 { ServerCall::RetryLater } else { ServerCall::Handled }
        }
    }
    let process = strict();
    let mta = process.mta().spawn().unwrap();
    let home = process.sta("log").spawn().unwrap();
    let lines = home.create(|| Lines(RefCell::default())).unwrap();
    let log = lines.cast::<dyn Log>();
    lines.call(|_| _ = apartment::register_filter(Some(Rc::new(Busy(Cell::new(4))))).unwrap()).unwrap();
    assert!(matches!(log.line("refused"), Err(CallError::RetryLater { .. })));
    let retries = CallOptions::new().retry(|_: &RejectedCall| Retry::Now);
    log.with(&retries).line("retried").unwrap();
    assert_eq!(lines.call(|lines| lines.0.take()).unwrap(), ["retried, Synchronous"]);
    drop(mta);
}

#[test]
fn st_3_so_does_a_post_to_a_free_threaded_object_which_may_then_call_out() {
    let process = strict();
    let mta = process.mta().spawn().unwrap();
    let entered = mta.enter().unwrap();
    let home = process.sta("home").spawn().unwrap();
    let number = home.create(|| 7).unwrap();
    let free = process.free_threaded(AtomicU32::new(0)).unwrap();
    free.post(move |sum| _ = sum.fetch_add(number.call(|n| *n).unwrap(), Ordering::Relaxed)).unwrap();
    free.post(|_| panic!("not its sender's to hear")).unwrap();
    assert_eq!(free.call(|sum| sum.load(Ordering::Relaxed)).unwrap(), 7);
    entered.leave();
    drop(mta);
}

#[test]
fn st_3_a_post_by_an_sta_stays_one_way() {
    let process = strict();
    let log = process.sta("log").spawn().unwrap();
    let ui = process.sta("ui").enter().unwrap();
    let lines = log.create(|| ()).unwrap();
    lines.post(|()| {}).unwrap();
    lines.call(|()| {}).unwrap();
    let events = process.recording().unwrap().events();
    let kinds: Vec<_> = events
        .iter()
        .filter_map(|event| match &event.what {
            What::CallMade(made) => Some(made.kind),
            _ => None,
        })
        .collect();
    assert_eq!(kinds, [CallKind::Create, CallKind::OneWay, CallKind::Synchronous]);
    drop(ui);
}

/// Posts to the object when it is asked.
struct Posts(Rc<RefCell<Option<Result<(), CallError>>>>, Proxy<()>);

impl MessageFilter for Posts {
    fn retry_rejected(&self, _: &RejectedCall) -> Retry {
        *self.0.borrow_mut() = Some(self.1.post(|()| {}).map_err(CallError::from));
        Retry::GiveUp
    }
}

struct Rejects;

impl MessageFilter for Rejects {
    fn handle_incoming(&self, _: &IncomingCall) -> ServerCall {
        ServerCall::Rejected
    }
}

fn what_a_post_in_a_filter_gives(process: &Process) -> Result<(), CallError> {
    let log = process.sta("log").spawn().unwrap();
    let ui = process.sta("ui").enter().unwrap();
    let object = log.create(|| ()).unwrap();
    object.call(|()| _ = apartment::register_filter(Some(Rc::new(Rejects))).unwrap()).unwrap();
    let posted = Rc::new(RefCell::new(None));
    apartment::register_filter(Some(Rc::new(Posts(Rc::clone(&posted), object.clone())))).unwrap();
    object.call(|()| {}).unwrap_err();
    apartment::register_filter(None).unwrap();
    drop(ui);
    posted.take().unwrap()
}

#[test]
fn ck_4_under_strict_rules_a_filter_may_not_even_post() {
    let refused = what_a_post_in_a_filter_gives(&strict()).unwrap_err();
    assert_eq!(refused.hresult(), 0x8001_0005);
    what_a_post_in_a_filter_gives(&Process::new()).unwrap();
}

#[test]
fn st_3_a_post_made_in_a_one_way_call_served_in_the_mta_stays_one_way_as_no_synchronous_call_may_go_out() {
    let process = strict();
    let mta = process.mta().spawn().unwrap();
    let ui = process.sta("ui").enter().unwrap();
    let (tell, told) = std::sync::mpsc::channel();
    let relay = mta.create(|| ()).unwrap();
    let target = process.sta("target").spawn().unwrap();
    let packet = target.create(|| ()).unwrap().marshal().unwrap();
    relay
        .post(move |()| {
            let target = packet.unmarshal().unwrap();
            let refused = target.call(|()| ()).unwrap_err();
            tell.send(refused.hresult()).unwrap();
            let again = tell.clone();
            target.post(move |()| again.send(0).unwrap()).unwrap();
        })
        .unwrap();
    assert_eq!(told.recv().unwrap(), 0x8001_0004);
    assert_eq!(told.recv().unwrap(), 0);
    drop(ui);
}
