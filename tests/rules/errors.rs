//! The error type: its numbers, its outcomes, its texts, and where it goes with `?`.

use crate::support::{TOO_MUCH, hold, join};
use apartment::{
    ApartmentName, Awaited, CallError, CallKind, CallTarget, CantCallOut, Class, Deadlock, Disconnected, MailboxFull,
    Method, ObjectId, Outcome, PostError, Process, Proxy, Reentrant, Serves, ThreadId, Waiter, WhyDisconnected,
    current_call, implements, interface,
};
use std::cell::{Cell, RefCell};
use std::error::Error;
use std::panic::Location;
use std::rc::Rc;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

type AnyError = Box<dyn Error + Send + Sync>;

/// What errors name: an apartment and an object of it.
fn named() -> (ApartmentName, ObjectId) {
    let sta = Process::new().sta("db").spawn().unwrap();
    let name = ApartmentName { id: sta.apartment().id(), name: "db".into() };
    (name, sta.create(|| ()).unwrap().object_id())
}

/// A thread's number.
fn number_of_a_thread() -> ThreadId {
    let sta = Process::new().sta("asked").spawn().unwrap();
    let object = sta.create(|| ()).unwrap();
    object.call(|()| current_call().unwrap().caller().thread).unwrap()
}

#[track_caller]
fn target(object: Option<ObjectId>) -> CallTarget {
    let type_name = "core::cell::RefCell<app::model::Table>";
    static VACUUM: Method = Method::new("Table", "vacuum", 0, CallKind::Synchronous);
    CallTarget { object, type_name, method: Some(&VACUUM), location: Location::caller() }
}

/// One of each, with its HRESULT, whether it may have run, and a part of its text.
pub(crate) fn all() -> Vec<(CallError, u32, Outcome, &'static str)> {
    use CallError as E;
    use Outcome::{MayHaveRun, NotStarted};
    let (callee, object) = named();
    let full = MailboxFull {
        callee: callee.clone(),
        queued: 1,
        capacity: 1,
        waiting: 0,
        executing: None,
        idle_for: Duration::ZERO,
    };
    let gone = Disconnected { callee: callee.clone(), why: WhyDisconnected::Ended, object: None };
    let busy = Reentrant { object, holder: None, retryable: true };
    let itself = Waiter {
        thread: number_of_a_thread(),
        apartment: Some(callee.clone()),
        in_mta: false,
        awaits: Awaited::End { of: callee.clone(), location: None },
        serves: Serves::Nothing,
        serving: Vec::new(),
        waited: Duration::ZERO,
    };
    let deadlock = Deadlock { cycle: vec![itself] };
    let fault = || E::ServerFault { target: target(Some(object)), message: "out of range".into() };
    let callee = || callee.clone();
    vec![
        (E::MailboxFull(Arc::new(full)), 0x8001_0100, NotStarted, "refused a call"),
        (sys_call_failed(), 0x8001_0100, NotStarted, "could not be started"),
        (E::Disconnected(Arc::new(gone)), 0x8001_0108, NotStarted, "has ended"),
        (E::ServerDied { callee: callee() }, 0x8001_0007, MayHaveRun, "ended abnormally while it ran the call"),
        (E::ServerDiedDne { callee: callee() }, 0x8001_0012, NotStarted, "ended abnormally before it ran the call"),
        (fault(), 0x8001_0105, MayHaveRun, "panicked: out of range"),
        (server_cant_marshal(), 0x8001_000D, MayHaveRun, "`Lend::lent` called at "),
        (E::CallRejected { callee: callee() }, 0x8001_0001, NotStarted, "rejected the call"),
        (E::RetryLater { callee: callee() }, 0x8001_010A, NotStarted, "try again later"),
        (E::Reentrant(Arc::new(busy)), 0x8001_0109, NotStarted, "is borrowed by hand"),
        (E::CallCanceled { outcome: NotStarted }, 0x8001_0002, NotStarted, "cancelled before it started"),
        (E::CallCanceled { outcome: MayHaveRun }, 0x8001_0002, MayHaveRun, "cancelled while it ran"),
        (E::TimedOut { outcome: NotStarted }, 0x8001_011F, NotStarted, "deadline passed before it started"),
        (E::TimedOut { outcome: MayHaveRun }, 0x8001_011F, MayHaveRun, "deadline passed while it ran"),
        (E::CantCallOut(CantCallOut::InAsyncCall), 0x8001_0004, NotStarted, "a one-way method"),
        (E::CantCallOut(CantCallOut::InFilter), 0x8001_0005, NotStarted, "a message filter's method"),
        (E::CantCallOut(CantCallOut::InInputSyncCall), 0x8001_010D, NotStarted, "an input-synchronized call"),
        (E::ChangedMode { current: callee(), why: "of another" }, 0x8001_0106, NotStarted, "of another"),
        (E::NotSupported { what: "not in the MTA" }, 0x8000_4021, NotStarted, "not in the MTA"),
        (E::InvalidArgument { what: "a capacity of 0".into() }, 0x8007_0057, NotStarted, "a capacity of 0"),
        (E::CallComplete, 0x8001_0117, NotStarted, "no call is being served"),
        (E::Deadlock(Arc::new(deadlock)), 0x8004_E005, NotStarted, "db waits for the end of db"),
        (E::ServerStopping, 0x8008_0008, NotStarted, "stopping"),
        (E::ObjectNotRegistered, 0x8004_01FB, NotStarted, "no longer registered"),
        (E::NoInterface { interface: "Sheet" }, 0x8000_4002, NotStarted, "`Sheet`"),
        (E::InvalidCookie, 0x8007_0057, NotStarted, "cookie"),
        (E::ClassNotRegistered { class: "Word.Document".into() }, 0x8004_0154, NotStarted, "`Word.Document`"),
        (factory_failed(), 0x8000_4005, MayHaveRun, "the factory of class `Word.Document` failed"),
        (E::CallPending, 0x8001_0115, NotStarted, "in time"),
        (E::NoSync, 0x8001_0120, NotStarted, "nothing to wait for"),
        (E::NotInitialized, 0x8004_01F0, NotStarted, "in no apartment"),
        (E::WrongThread, 0x8001_010E, NotStarted, "another apartment"),
    ]
}

fn sys_call_failed() -> CallError {
    Process::new().sta("db").stack_size(TOO_MUCH).spawn().unwrap_err()
}

interface! {
    trait Lend {
        fn lent(&self) -> Result<Proxy<()>, CallError>;
    }
}

struct Lender(Proxy<()>);

impl Lend for Lender {
    fn lent(&self) -> Result<Proxy<()>, CallError> {
        Ok(self.0.clone())
    }
}
implements!(Lender: dyn Lend);

/// Of a method that gives a reference which belongs to another apartment than its own.
fn server_cant_marshal() -> CallError {
    let process = Process::builder().strict_rules().build();
    let _here = process.mta_usage().unwrap();
    let (sta, other) = (process.sta("db").spawn().unwrap(), process.sta("other").spawn().unwrap());
    let theirs = other.create(|| ()).unwrap();
    let lender = sta.create(|| Lender(theirs)).unwrap().cast::<dyn Lend>();
    lender.lent().unwrap_err()
}

/// Of a class whose factory has an error of its own.
fn factory_failed() -> CallError {
    let process = Process::new();
    let class = Class::try_both(|| Err::<Lender, _>(CallError::CallComplete)).free_threaded();
    process.register_class("Word.Document", class).unwrap();
    process.create_instance::<Lender>("Word.Document").unwrap_err()
}

#[test]
fn every_error_has_com_s_number_and_tells_whether_the_call_may_have_run() {
    for (error, hresult, outcome, _) in all() {
        assert_eq!(error.hresult(), hresult, "{error:?}: {:08X}", error.hresult());
        assert_eq!(error.outcome(), outcome, "{error:?}");
        assert_eq!(error.hresult() >> 31, 1, "a failure");
    }
}

#[test]
fn every_error_says_what_happened_in_one_line() {
    for (error, _, _, part) in all() {
        let text = error.to_string();
        assert!(text.contains(part), "{text}");
        // A cycle has a line for each waiter.
        let one_line = !text.contains('\n') || matches!(error, CallError::Deadlock(_));
        assert!(one_line && !text.ends_with('.'), "{text}");
        assert!(text.starts_with(|c: char| !c.is_uppercase()), "{text}");
    }
    // Those which speak of an apartment name it.
    let named = all().into_iter().map(|(error, ..)| error.to_string()).filter(|text| text.contains("apartment \"db\""));
    assert_eq!(named.count(), 8);
}

#[test]
fn a_clone_says_the_same_and_shares_its_sources() {
    for (error, hresult, outcome, _) in all() {
        let clone = error.clone();
        assert_eq!((clone.hresult(), clone.outcome(), clone.to_string()), (hresult, outcome, error.to_string()));
        let caused = matches!(
            error,
            CallError::SysCallFailed { .. } | CallError::ServerCantMarshal { .. } | CallError::FactoryFailed { .. }
        );
        assert_eq!(clone.source().is_some(), caused, "{error}");
    }
    let source = |error: CallError| error.source().unwrap().downcast_ref::<CallError>().cloned();
    assert!(matches!(source(server_cant_marshal()), Some(CallError::WrongThread)));
    assert!(matches!(source(factory_failed()), Some(CallError::CallComplete)));
    let error = sys_call_failed();
    let source = |error: &CallError| std::ptr::from_ref(error.source().unwrap()).addr();
    let clone = error.clone();
    assert_eq!(source(&error), source(&clone));
    let CallError::MailboxFull(one) = &all()[0].0 else { unreachable!() };
    let error = CallError::MailboxFull(Arc::clone(one));
    let CallError::MailboxFull(other) = error.clone() else { unreachable!() };
    assert!(Arc::ptr_eq(one, &other));
}

#[test]
fn an_error_may_be_kept_and_sent_anywhere() {
    fn anywhere<T: Clone + Send + Sync + 'static + Error>(error: T) -> T {
        error
    }
    let error = anywhere(CallError::CallComplete);
    let result = join(thread::spawn({
        let error = error.clone();
        move || error.hresult()
    }));
    assert_eq!(result, error.hresult());
    // It is in the result of every call; from here on clippy complains of what returns it.
    let size = size_of::<CallError>();
    assert!(size < 128, "{size} bytes");
}

#[test]
fn mailbox_full_says_how_full_and_what_its_owner_does_instead() {
    let (callee, object) = named();
    let executing = target(Some(object));
    let seconds = Duration::from_secs_f64;
    let idle = MailboxFull { callee, queued: 64, capacity: 64, waiting: 0, executing: None, idle_for: seconds(0.5) };
    let called = format!("`Table::vacuum` called at {}", executing.location);
    let refused = "apartment \"db\" refused a call: 64 of 64 queued";
    assert_eq!(idle.to_string(), format!("{refused}; it executes nothing and has dispatched nothing for 0.5 s"));
    let busy = MailboxFull { executing: Some((executing, seconds(12.4))), idle_for: seconds(12.4), ..idle.clone() };
    let text = format!("{refused}; it has executed {called} for 12.4 s and dispatched nothing meanwhile");
    assert_eq!(busy.to_string(), text);
    let pumps = MailboxFull { idle_for: seconds(3.0), ..busy };
    let text = format!("{refused}; it has executed {called} for 12.4 s and last dispatched 3.0 s ago");
    assert_eq!(pumps.to_string(), text);
    let line = MailboxFull { waiting: 3, ..idle };
    assert!(line.to_string().starts_with(&format!("{refused} and 3 waiting for room; ")), "{line}");
    // The error says the same.
    assert_eq!(CallError::MailboxFull(Arc::new(line.clone())).to_string(), line.to_string());
}

#[test]
fn a_call_without_a_method_s_name_is_known_by_where_it_was_made() {
    let location = Location::caller();
    let target = CallTarget { object: None, type_name: "alloc::string::String", method: None, location };
    assert_eq!(target.to_string(), format!("`String` called at {location}"));
    assert!(location.file().ends_with("errors.rs"));
}

#[test]
fn disconnected_says_how_far_the_end_has_come() {
    let (callee, object) = named();
    let quitting = Disconnected { callee, why: WhyDisconnected::Quitting, object: Some(object) };
    assert_eq!(quitting.to_string(), "apartment \"db\" was asked to quit and takes no new calls");
    let ended = Disconnected { why: WhyDisconnected::Ended, ..quitting.clone() };
    assert_eq!(ended.to_string(), "apartment \"db\" has ended");
    let gone = Disconnected { why: WhyDisconnected::ObjectGone, ..quitting };
    assert_eq!(gone.to_string(), "object 1 of apartment \"db\" is gone");
    let some = Disconnected { object: None, ..gone };
    assert_eq!(some.to_string(), "an object of apartment \"db\" is gone");
    assert_eq!(CallError::Disconnected(Arc::new(some.clone())).to_string(), some.to_string());
}

#[test]
fn reentrant_names_the_holder_and_whether_trying_again_could_help() {
    let (_, object) = named();
    let by_hand = Reentrant { object, holder: None, retryable: true };
    assert_eq!(by_hand.to_string(), "object 1 is borrowed by hand");
    let holder = target(Some(object));
    let held = Reentrant { object, holder: Some(holder), retryable: false };
    let text = format!("object 1 is borrowed by {holder}, which has not ended; trying again cannot help");
    assert_eq!(held.to_string(), text);
}

#[test]
fn disconnected_carries_its_fields() {
    let process = Process::new();
    let sta = process.sta("db").spawn().unwrap();
    let object = sta.create(|| ()).unwrap();
    let apartment = sta.apartment().clone();
    let held = hold(&object);
    sta.quit();
    let why = |error: &CallError| match error {
        CallError::Disconnected(told) => (told.callee.id, told.callee.name.to_string(), told.why, told.object),
        other => panic!("{other}"),
    };
    let id = Some(object.object_id());
    let quitting = (apartment.id(), "db".to_owned(), WhyDisconnected::Quitting, id);
    assert_eq!(why(&object.call(|()| ()).unwrap_err()), quitting);
    assert_eq!(why(&sta.create(|| ()).unwrap_err()), (quitting.0, quitting.1.clone(), quitting.2, None));
    held.open();
    drop(sta);
    let ended = (quitting.0, quitting.1, WhyDisconnected::Ended, id);
    assert_eq!(why(&object.call(|()| ()).unwrap_err()), ended);
}

#[test]
fn a_call_s_error_goes_with_a_question_mark() {
    fn fails() -> Result<u32, CallError> {
        Err(CallError::CallComplete)
    }
    fn into_anyhow() -> anyhow::Result<u32> {
        Ok(fails()?)
    }
    fn into_box() -> Result<u32, AnyError> {
        Ok(fails()?)
    }
    fn into_plain_box() -> Result<u32, Box<dyn Error>> {
        Ok(fails()?)
    }
    let complete = |error: Option<&CallError>| matches!(error, Some(CallError::CallComplete));
    assert!(complete(into_anyhow().unwrap_err().downcast_ref()));
    assert!(complete(into_box().unwrap_err().downcast_ref()));
    assert!(complete(into_plain_box().unwrap_err().downcast_ref()));
}

/// A proxy to an object of an apartment that has ended.
fn dead() -> apartment::Proxy<RefCell<u32>> {
    Process::new().sta("db").spawn().unwrap().create(|| RefCell::new(0)).unwrap()
}

#[test]
fn a_refused_post_goes_with_a_question_mark() {
    // What it captures is `Send`, and neither `Sync` nor printable.
    fn into_anyhow() -> anyhow::Result<()> {
        let cell = Cell::new(1);
        Ok(dead().post(move |n| cell.set(*n.borrow()))?)
    }
    fn into_box() -> Result<(), AnyError> {
        let cell = Cell::new(1);
        dead().post(move |n| cell.set(*n.borrow()))?;
        Ok(())
    }
    fn into_call_error() -> Result<(), CallError> {
        let cell = Cell::new(1);
        Ok(dead().post(move |n| cell.set(*n.borrow()))?)
    }
    let texts = [into_anyhow().unwrap_err().to_string(), into_box().unwrap_err().to_string()];
    let error = into_call_error().unwrap_err();
    assert!(matches!(error, CallError::Disconnected(_)), "{error}");
    assert_eq!(texts, ["apartment \"db\" has ended"; 2]);
}

#[test]
fn a_refused_post_asks_nothing_of_its_closure_but_send() {
    fn anywhere<E: Error + Send + Sync + 'static>(error: E) -> E {
        error
    }
    /// Asks of a type what a `PostError` asks of it.
    fn error_of<F: Send + 'static>(refused: PostError<F>) -> (String, String, u32, bool) {
        let refused = anywhere(refused);
        let debug = format!("{refused:?}");
        (refused.to_string(), debug, refused.error().hresult(), refused.source().is_some())
    }
    let (channel, _never) = std::sync::mpsc::channel::<u32>();
    let cell = Cell::new(1);
    let refused = dead().post(move |n| drop((channel, cell.get(), n.borrow().count_ones()))).unwrap_err();
    let (text, debug, hresult, source) = error_of(refused);
    assert_eq!((&*text, hresult, source), ("apartment \"db\" has ended", 0x8001_0108, false));
    assert!(debug.contains("Disconnected"), "{debug}");
}

#[test]
fn a_refused_post_gives_its_closure_back_and_its_error() {
    let (object, kept) = (dead(), Arc::new(()));
    let captured = Arc::clone(&kept);
    let refused = object
        .post(move |n| {
            *n.borrow_mut() += 1;
            drop(captured);
        })
        .unwrap_err();
    let told = refused.error().clone();
    let (error, run) = refused.into_parts();
    assert_eq!(error.to_string(), told.to_string());
    // Not run, and not dropped either.
    assert_eq!(Arc::strong_count(&kept), 2);
    let own = RefCell::new(1);
    run(&own);
    assert_eq!((*own.borrow(), Arc::strong_count(&kept)), (2, 1));
}

#[test]
fn a_refused_closure_may_be_sent_to_another_apartment() {
    let process = Process::new();
    let ui = process.sta("ui").enter().unwrap();
    let object = ui.create(|| RefCell::new(Vec::new())).unwrap();
    let gone = Process::new().sta("gone").spawn().unwrap().create(|| RefCell::new(Vec::new())).unwrap();
    let line = String::from("once");
    let run = gone.post(move |lines| lines.borrow_mut().push(line)).unwrap_err().into_closure();
    object.post(run).unwrap();
    ui.pump();
    assert_eq!(object.call_ref(Clone::clone).unwrap(), ["once"]);
}

#[test]
fn a_method_s_own_result_comes_back_nested() {
    #[derive(Debug)]
    struct NoSuchRow(u32);
    impl std::fmt::Display for NoSuchRow {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(f, "there is no row {}", self.0)
        }
    }
    impl Error for NoSuchRow {}
    let process = Process::new();
    let sta = process.sta("db").spawn().unwrap();
    let rows = sta.create(|| Rc::new(vec![10, 20])).unwrap();
    let row = |n: u32| rows.call(|rows| rows.get(n as usize).copied().ok_or(NoSuchRow(n)));
    let both = |n| -> Result<i32, AnyError> { Ok(row(n)??) };
    let anyhow = |n| -> anyhow::Result<i32> { Ok(row(n)??) };
    assert_eq!((both(1).unwrap(), anyhow(0).unwrap()), (20, 10));
    assert_eq!(both(7).unwrap_err().to_string(), "there is no row 7");
    assert!(anyhow(7).unwrap_err().downcast_ref::<NoSuchRow>().is_some());
    let made = sta.try_create(|| "12".parse::<u8>()).unwrap().unwrap();
    assert_eq!(made.call(|n| *n).unwrap(), 12);
    assert!(sta.try_create(|| "many".parse::<u8>()).unwrap().is_err());
    drop(sta);
    let error = both(1).unwrap_err();
    assert!(error.downcast_ref::<CallError>().is_some(), "{error}");
}
