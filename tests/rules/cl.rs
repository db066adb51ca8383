//! CL: classes, where their objects live, and their servers; and what of AP and CK is about host apartments.

use crate::stage::{incoming, rejected, secs};
use crate::support::{Gate, Log, TOO_MUCH, at, count, hold, join, must_end, nth, recorded};
use apartment::{
    ApartmentHow, CallError, CallKind, Class, Clock, Creator, Current, Event, Kind, Outcome, Placed, Process, Proxy,
    Recording, Retry, Route, Server, ServerAnswer, ServerCall, Serves, Sta, ThreadingModel, WaitFor, What, current,
    implements, interface,
};
use std::cell::Cell;
use std::error::Error;
use std::io;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Barrier};
use std::thread::{self, ThreadId};
use std::time::Duration;

type AnyError = Box<dyn Error + Send + Sync>;

const NOW: Duration = Duration::ZERO;
const SERVER_STOPPING: u32 = 0x8008_0008;
const SYS_CALL_FAILED: u32 = 0x8001_0100;

const MODELS: [ThreadingModel; 4] =
    [ThreadingModel::Single, ThreadingModel::Apartment, ThreadingModel::Free, ThreadingModel::Both];

fn here() -> ThreadId {
    thread::current().id()
}

interface! {
    trait Where {
        fn thread(&self) -> Result<ThreadId, CallError>;
    }
}

interface! {
    trait Other {
        fn other(&self) -> Result<u32, CallError>;
    }
}

/// Answers to another interface.
struct Stranger;

impl Other for Stranger {
    fn other(&self) -> Result<u32, CallError> {
        Ok(7)
    }
}

implements!(Stranger: dyn Other);

/// An object that any thread may call. It knows the thread it was made on.
struct Object {
    made: ThreadId,
    /// Where it was made, as the thread itself saw it.
    home: Current,
}

impl Object {
    fn new() -> Self {
        Self { made: here(), home: current() }
    }
}

impl Where for Object {
    fn thread(&self) -> Result<ThreadId, CallError> {
        Ok(here())
    }
}

implements!(Object: dyn Where);

/// The class of that model.
fn class(model: ThreadingModel) -> Class {
    match model {
        ThreadingModel::Single => Class::single(Object::new),
        ThreadingModel::Apartment => Class::apartment(Object::new),
        ThreadingModel::Free => Class::free(Object::new),
        ThreadingModel::Both => Class::both(Object::new),
    }
}

/// The same, with a factory that may fail.
fn try_class(model: ThreadingModel, factory: impl Fn() -> Result<Object, AnyError> + Send + Sync + 'static) -> Class {
    match model {
        ThreadingModel::Single => Class::try_single(factory),
        ThreadingModel::Apartment => Class::try_apartment(factory),
        ThreadingModel::Free => Class::try_free(factory),
        ThreadingModel::Both => Class::try_both(factory),
    }
}

/// A recorded process with a class of each model, by the model's name.
fn with_all_models() -> (Process, Recording) {
    let (process, recording) = recorded();
    for model in MODELS {
        process.register_class(id(model), class(model)).unwrap();
    }
    (process, recording)
}

fn id(model: ThreadingModel) -> String {
    format!("{model:?}")
}

/// The placings so far.
fn placings(recording: &Recording) -> Vec<Placed> {
    let placed = |event: Event| match event.what {
        What::Placed(placed) => Some(*placed),
        _ => None,
    };
    recording.events().into_iter().filter_map(placed).collect()
}

/// The host apartments that were made so far, by name.
fn hosts(recording: &Recording) -> Vec<String> {
    let host = |event: Event| match event.what {
        What::ApartmentBegan { name, how: ApartmentHow::Host, .. } => Some(name.to_string()),
        _ => None,
    };
    recording.events().into_iter().filter_map(host).collect()
}

// ---- CL-1

#[test]
fn cl_1_a_class_makes_a_new_object_each_time() {
    let (process, _) = with_all_models();
    for model in MODELS {
        let [one, other] = [0; 2].map(|_| process.create_instance::<Object>(&id(model)).unwrap());
        assert_ne!(one, other, "{model:?}");
    }
}

#[test]
fn cl_1_an_instance_is_had_as_its_type_or_through_a_declared_interface() {
    let (process, _) = with_all_models();
    let home = process.sta("home").enter().unwrap();
    for model in MODELS {
        let by_type = process.create_instance::<Object>(&id(model)).unwrap();
        let by_interface = process.create_instance::<dyn Where>(&id(model)).unwrap();
        assert_eq!(by_type.cast::<dyn Where>(), by_type);
        // What it answers to it still answers to.
        let as_object = by_interface.query::<Object>().unwrap();
        assert_eq!(as_object, by_interface, "{model:?}");
    }
    drop(home);
}

#[test]
fn cl_1_an_interface_that_is_not_declared_is_refused_before_anything_is_made() {
    let (process, recording) = recorded();
    let made = Arc::new(AtomicUsize::new(0));
    let loaded = Arc::clone(&made);
    let mut server = Server::new("server").around(move || {
        loaded.fetch_add(1, Relaxed);
        Ok::<_, io::Error>(())
    });
    for model in MODELS {
        let made = Arc::clone(&made);
        let factory = move || {
            made.fetch_add(1, Relaxed);
            Ok(Object::new())
        };
        server = server.class(id(model), try_class(model, factory));
    }
    process.register_server(server).unwrap();
    process.register_class("stranger", Class::both(|| Stranger)).unwrap();
    for model in MODELS {
        let error = process.create_instance::<dyn Other>(&id(model)).unwrap_err();
        assert!(matches!(error, CallError::NoInterface { interface } if interface.contains("Other")), "{error}");
        assert_eq!(error.outcome(), Outcome::NotStarted);
    }
    assert_eq!(made.load(Relaxed), 0, "nothing was loaded or made");
    assert_eq!((hosts(&recording), placings(&recording).len()), (vec![], 0));
    assert_eq!(process.create_instance::<dyn Other>("stranger").unwrap().other().unwrap(), 7);
}

#[test]
fn cl_1_a_factory_s_own_error_is_the_source_of_the_creation_s() {
    for model in MODELS {
        let (process, _) = recorded();
        let class = try_class(model, || Err(io::Error::new(io::ErrorKind::NotFound, "no such engine").into()));
        process.register_class("engine", class).unwrap();
        let main = process.sta("main").spawn().unwrap();
        let at_home = main.create(|| ()).unwrap();
        let from_main = at_home.call(|()| process.create_instance::<Object>("engine").unwrap_err()).unwrap();
        for error in [from_main, process.create_instance::<Object>("engine").unwrap_err()] {
            let CallError::FactoryFailed { class, .. } = &error else { panic!("{model:?}: {error}") };
            assert_eq!(&**class, "engine");
            assert_eq!((error.hresult(), error.outcome()), (0x8000_4005, Outcome::MayHaveRun));
            let source = error.source().unwrap().downcast_ref::<io::Error>().unwrap();
            assert_eq!(source.kind(), io::ErrorKind::NotFound);
            assert!(error.to_string().contains("`engine`"), "{error}");
        }
        // It counts as nothing.
        assert_eq!(process.free_unused_servers(NOW).unwrap(), ["engine"]);
    }
}

#[test]
fn cl_1_a_factory_that_panics_is_a_server_fault_and_its_apartment_goes_on() {
    for model in MODELS {
        let (process, _) = recorded();
        let fails = Arc::new(AtomicBool::new(true));
        let fail = Arc::clone(&fails);
        let class = try_class(model, move || {
            assert!(!fail.load(Relaxed), "out of engines");
            Ok(Object::new())
        });
        process.register_class("engine", class).unwrap();
        let error = process.create_instance::<Object>("engine").unwrap_err();
        assert!(
            matches!(&error, CallError::ServerFault { message, .. } if &**message == "out of engines"),
            "{model:?}: {error}"
        );
        assert!(error.to_string().contains("cl.rs"), "it says where the object was to be made: {error}");
        fails.store(false, Relaxed);
        let object = process.create_instance::<Object>("engine").unwrap();
        drop(object);
    }
}

#[test]
fn cl_1_an_id_is_registered_once_and_a_server_all_or_nothing() {
    let process = Process::new();
    process.register_class("one", class(ThreadingModel::Free)).unwrap();
    let again = process.register_class("one", class(ThreadingModel::Free)).unwrap_err();
    let server =
        Server::new("server").class("two", class(ThreadingModel::Free)).class("one", class(ThreadingModel::Both));
    let taken = process.register_server(server).unwrap_err();
    let server =
        Server::new("server").class("two", class(ThreadingModel::Free)).class("two", class(ThreadingModel::Both));
    let twice = process.register_server(server).unwrap_err();
    for (error, part) in [(again, "server \"one\""), (taken, "class \"one\""), (twice, "class \"two\"")] {
        assert!(matches!(error, CallError::InvalidArgument { .. }), "{error}");
        assert!(error.to_string().contains(part), "{error}");
    }
    assert!(matches!(process.create_instance::<Object>("two").unwrap_err(), CallError::ClassNotRegistered { .. }));
    // Nothing of it is left in the way; and another process has classes of its own.
    process.register_server(Server::new("server").class("two", class(ThreadingModel::Free))).unwrap();
    Process::new().register_class("one", class(ThreadingModel::Free)).unwrap();
}

#[test]
fn cl_1_only_a_both_class_can_be_free_threaded() {
    let process = Process::new();
    for model in MODELS {
        let registered = process.register_class(id(model), class(model).free_threaded());
        if model == ThreadingModel::Both {
            registered.unwrap();
        } else {
            let error = registered.unwrap_err();
            assert!(matches!(error, CallError::InvalidArgument { .. }), "{error}");
            assert!(error.to_string().contains(&id(model)), "{error}");
        }
    }
}

// ---- CL-2

/// Who creates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum From {
    MainSta,
    AnotherSta,
    /// Another STA, whose process has no main STA any more.
    AnotherStaAlone,
    /// A thread that entered the MTA.
    Mta,
    /// One of the MTA's own.
    PoolThread,
    /// A thread in no apartment, while there is an MTA.
    Outside,
    /// The same, while there is none.
    OutsideAlone,
    /// An STA of another process.
    ForeignSta,
    /// The MTA of another process.
    ForeignMta,
}

const EVERYBODY: [From; 9] = [
    From::MainSta,
    From::AnotherSta,
    From::AnotherStaAlone,
    From::Mta,
    From::PoolThread,
    From::Outside,
    From::OutsideAlone,
    From::ForeignSta,
    From::ForeignMta,
];

/// Where an object is: in whose apartment, and whether that was made for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lives {
    AtTheCreators,
    InTheMainSta,
    InTheMta,
    InAHostMainSta,
    InAHostSta,
    InAHostMta,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reached {
    Directly,
    ByProxy,
}

/// What is seen of a creation.
type Cell_ = (Lives, Reached);

/// Makes an object of that model as that creator, in a process made for that, and looks where it lives.
fn observe(from: From, model: ThreadingModel) -> (Cell_, Placed) {
    let (process, recording) = with_all_models();
    let other = Process::new();
    let create = || {
        let creator = (here(), process.current());
        let object = process.create_instance::<dyn Where>(&id(model)).unwrap();
        let apartment = object.apartment().unwrap();
        (creator, object.thread().unwrap(), apartment)
    };
    let in_sta = |sta: &Sta| sta.create(|| ()).unwrap().call(|()| create()).unwrap();
    // Kept until everything has been looked at.
    let mut stas = Vec::new();
    let mut mta = None;
    let ((thread, creator), object_s_thread, apartment) = match from {
        From::MainSta => {
            stas.push(process.sta("main").spawn().unwrap());
            in_sta(&stas[0])
        }
        From::AnotherSta | From::AnotherStaAlone => {
            stas.push(process.sta("main").spawn().unwrap());
            stas.push(process.sta("another").spawn().unwrap());
            if from == From::AnotherStaAlone {
                drop(stas.remove(0));
            }
            in_sta(&stas[stas.len() - 1])
        }
        From::Mta => {
            let there = mta.insert(process.mta().spawn().unwrap());
            let _entered = there.enter().unwrap();
            create()
        }
        From::PoolThread => {
            let there = mta.insert(process.mta().spawn().unwrap());
            let object = there.create(|| ()).unwrap();
            let caller = other.sta("caller").spawn().unwrap();
            caller.create(|| ()).unwrap().call(|()| object.call(|()| create()).unwrap()).unwrap()
        }
        From::Outside => {
            let _there = mta.insert(process.mta().spawn().unwrap());
            create()
        }
        From::OutsideAlone => create(),
        From::ForeignSta => in_sta(&other.sta("foreign").spawn().unwrap()),
        From::ForeignMta => {
            let there = other.mta().spawn().unwrap();
            let _entered = there.enter().unwrap();
            create()
        }
    };
    let mine = creator.apartment.is_some() && creator.name.as_deref() == Some(apartment.name());
    let foreign = matches!(from, From::ForeignSta | From::ForeignMta);
    let lives = match apartment.name() {
        _ if mine && !foreign && !creator.host && from != From::Outside => Lives::AtTheCreators,
        "main" => Lives::InTheMainSta,
        "mta" => Lives::InTheMta,
        "host STA" => Lives::InAHostSta,
        "host main STA" => Lives::InAHostMainSta,
        "host MTA" => Lives::InAHostMta,
        name => panic!("nobody made {name}"),
    };
    let reached = if object_s_thread == thread { Reached::Directly } else { Reached::ByProxy };
    let [placed] = &placings(&recording)[..] else { panic!("one creation is one placing") };
    assert_eq!(placed.apartment, Some(apartment.id()));
    let expected: &[&str] = match lives {
        Lives::InAHostSta | Lives::InAHostMainSta | Lives::InAHostMta => &[apartment.name()],
        _ => &[],
    };
    assert_eq!(hosts(&recording), expected, "{from:?} {model:?}: hosts are made when they are needed, and only then");
    assert_eq!(placed.host_made, !expected.is_empty(), "{from:?} {model:?}");
    ((lives, reached), placed.clone())
}

/// The table of rule CL-2, and what it says of a creator in another process (AP-11).
fn wanted(from: From, model: ThreadingModel) -> Cell_ {
    use Lives::{AtTheCreators, InAHostMainSta, InAHostMta, InAHostSta, InTheMainSta, InTheMta};
    use Reached::{ByProxy, Directly};
    match (from, model) {
        (From::MainSta, ThreadingModel::Free) => (InAHostMta, ByProxy),
        (From::MainSta, _) => (AtTheCreators, Directly),
        (From::AnotherSta, ThreadingModel::Single) => (InTheMainSta, ByProxy),
        (From::AnotherStaAlone, ThreadingModel::Single) => (InAHostMainSta, ByProxy),
        (From::AnotherSta | From::AnotherStaAlone, ThreadingModel::Free) => (InAHostMta, ByProxy),
        (From::AnotherSta | From::AnotherStaAlone, _) => (AtTheCreators, Directly),
        (_, ThreadingModel::Single) => (InAHostMainSta, ByProxy),
        (_, ThreadingModel::Apartment) => (InAHostSta, ByProxy),
        (From::Mta | From::PoolThread, _) => (AtTheCreators, Directly),
        (From::Outside, _) => (InTheMta, Directly),
        (From::OutsideAlone, _) => (InAHostMta, Directly),
        (From::ForeignSta | From::ForeignMta, _) => (InAHostMta, ByProxy),
    }
}

#[test]
fn cl_2_creator_and_model_decide_where_an_instance_lives() {
    for from in EVERYBODY {
        for model in MODELS {
            let (seen, placed) = observe(from, model);
            assert_eq!(seen, wanted(from, model), "{from:?} {model:?}");
            let creator = match from {
                From::MainSta => Creator::MainSta,
                From::AnotherSta | From::AnotherStaAlone => Creator::Sta,
                From::Mta | From::PoolThread => Creator::Mta,
                From::Outside | From::OutsideAlone => Creator::ImplicitMta,
                From::ForeignSta | From::ForeignMta => Creator::Foreign,
            };
            let route = if seen.1 == Reached::Directly { Route::Direct } else { Route::Mailbox };
            assert_eq!((placed.creator, placed.model, placed.route), (creator, model, route), "{from:?} {model:?}");
            assert_eq!(&*placed.class, id(model));
        }
    }
}

#[test]
fn cl_2_a_both_object_is_direct_only_in_the_apartment_it_was_made_in() {
    let (process, _) = with_all_models();
    let stas = ["one", "other"].map(|name| process.sta(name).spawn().unwrap());
    let [one, other] = stas.each_ref().map(|sta| sta.create(|| ()).unwrap());
    let object = one.call(|()| process.create_instance::<dyn Where>("Both").unwrap()).unwrap();
    let home = one.call(|()| here()).unwrap();
    for caller in [&one, &other] {
        assert_eq!(caller.call(|()| object.thread().unwrap()).unwrap(), home);
    }
    let _mta = process.mta().spawn().unwrap();
    assert_eq!(object.thread().unwrap(), home, "from the MTA too");
    // And the other way round: what was made in the MTA an STA calls there.
    let object = process.create_instance::<dyn Where>("Both").unwrap();
    assert_eq!(object.thread().unwrap(), here());
    assert_ne!(one.call(|()| object.thread().unwrap()).unwrap(), home);
}

#[test]
fn cl_2_a_both_object_that_is_free_threaded_is_direct_everywhere() {
    let (process, recording) = recorded();
    process.register_class("free-threaded", Class::both(Object::new).free_threaded()).unwrap();
    let sta = process.sta("sta").spawn().unwrap();
    let at_home = sta.create(|| ()).unwrap();
    let object = at_home.call(|()| process.create_instance::<dyn Where>("free-threaded").unwrap()).unwrap();
    let home = at_home.call(|()| here()).unwrap();
    assert_eq!(at_home.call(|()| object.thread().unwrap()).unwrap(), home);
    assert_eq!(object.thread().unwrap(), here());
    assert_eq!(object.query::<Object>().unwrap().call(|object| object.made).unwrap(), home, "made by its creator");
    let [placed] = &placings(&recording)[..] else { panic!("one creation is one placing") };
    assert_eq!((placed.apartment, placed.route, placed.host_made), (None, Route::FreeThreaded, false));
    // It counts for its server like any other, until it is gone.
    assert!(process.free_unused_servers(NOW).unwrap().is_empty());
    drop(object);
    assert_eq!(process.free_unused_servers(NOW).unwrap(), ["free-threaded"]);
}

#[test]
fn cl_2_a_free_threaded_class_s_failures_are_told_as_any_others() {
    let process = Process::new();
    let fails = || Class::try_both(|| Err::<Object, _>(io::Error::other("none left"))).free_threaded();
    process.register_class("fails", fails()).unwrap();
    let error = process.create_instance::<Object>("fails").unwrap_err();
    assert!(matches!(&error, CallError::FactoryFailed { .. }) && error.source().unwrap().is::<io::Error>(), "{error}");
    let panics = Class::both(|| -> Object { panic!("out of engines") }).free_threaded();
    process.register_class("panics", panics).unwrap();
    let error = process.create_instance::<Object>("panics").unwrap_err();
    assert!(matches!(&error, CallError::ServerFault { message, .. } if &**message == "out of engines"), "{error}");
    assert_eq!(process.free_unused_servers(NOW).unwrap(), ["fails", "panics"], "nothing of them is left");
}

#[test]
fn cl_2_a_thread_that_leaves_the_apartment_while_it_waits_creates_from_where_it_is_then() {
    must_end(|| {
        let gate = Gate::new();
        let stop = gate.stop();
        let process = Process::builder().record(10_000).around_hosts(move || {
            stop.wait();
            Ok::<_, io::Error>(())
        });
        let process = process.build();
        process.register_class("Free", class(ThreadingModel::Free)).unwrap();
        let recording = process.recording().unwrap();
        let entered = process.sta("left").enter().unwrap();
        let left = entered.apartment().clone();
        let guard = Rc::new(Cell::new(Some(entered)));
        let object = guard.take().map(|entered| {
            let object = entered.create(|| Rc::clone(&guard)).unwrap();
            guard.set(Some(entered));
            object
        });
        let object = object.unwrap();
        let leaver = thread::spawn({
            let (recording, left) = (recording.clone(), left.clone());
            move || {
                recording.until(at(&left, |what| matches!(what, What::WaitBegan { on: WaitFor::Host, .. })));
                object.call(|guard| drop(guard.take())).unwrap();
                gate.open();
            }
        });
        let made = process.create_instance::<dyn Where>("Free").unwrap();
        join(leaver);
        assert!(process.current().implicit, "the thread has left");
        assert_eq!(
            made.thread().unwrap(),
            here(),
            "and is an implicit one of the MTA's, to which the object is at home"
        );
        let placed = placings(&recording);
        assert_eq!((placed[0].creator, placed[0].route), (Creator::ImplicitMta, Route::Direct));
    });
}

// ---- CL-3

/// A process whose hosts stop at a gate when they start, and which is recorded.
fn with_slow_hosts() -> (Process, Recording, Gate) {
    let gate = Gate::new();
    let stop = gate.stop();
    let process = Process::builder().clock(Clock::driven()).record(100_000).around_hosts(move || {
        stop.wait();
        Ok::<_, io::Error>(())
    });
    let process = process.build();
    for model in MODELS {
        process.register_class(id(model), class(model)).unwrap();
    }
    let recording = process.recording().unwrap();
    (process, recording, gate)
}

fn waits_for_a_host(event: &Event) -> bool {
    matches!(event.what, What::WaitBegan { on: WaitFor::Host, .. })
}

#[test]
fn cl_3_a_host_is_made_once_and_serves_all_that_need_it() {
    let (process, recording) = with_all_models();
    let sta = process.sta("sta").spawn().unwrap();
    let another = process.sta("another").spawn().unwrap();
    let at_home = another.create(|| ()).unwrap();
    for _ in 0..3 {
        let create = |model| process.create_instance::<dyn Where>(&id(model)).unwrap().apartment().unwrap();
        assert_eq!(create(ThreadingModel::Apartment).name(), "host STA");
        assert_eq!(at_home.call(|()| create(ThreadingModel::Free)).unwrap().name(), "host MTA");
        assert_eq!(create(ThreadingModel::Both).name(), "host MTA");
    }
    drop(sta);
    for _ in 0..3 {
        let single = at_home.call(|()| process.create_instance::<dyn Where>("Single").unwrap()).unwrap();
        assert_eq!(single.apartment().unwrap().name(), "host main STA");
    }
    assert_eq!(hosts(&recording), ["host STA", "host MTA", "host main STA"]);
}

#[test]
fn cl_3_simultaneous_creations_make_one_host() {
    for (model, host) in [
        (ThreadingModel::Single, "host main STA"),
        (ThreadingModel::Apartment, "host STA"),
        (ThreadingModel::Both, "host MTA"),
    ] {
        must_end(move || {
            let (process, recording, gate) = with_slow_hosts();
            let creators = [0; 3].map(|_| {
                let process = process.clone();
                thread::spawn(move || process.create_instance::<dyn Where>(&id(model)).unwrap())
            });
            recording.until(nth(3, waits_for_a_host));
            gate.open();
            let objects = creators.map(join);
            let names = objects.map(|object| object.apartment().unwrap().name().to_owned());
            assert_eq!(names, [host; 3]);
            assert_eq!(hosts(&recording), [host]);
            let made = placings(&recording).iter().filter(|placed| placed.host_made).count();
            assert_eq!(made, 1, "one of them has made it");
        });
    }
}

#[test]
fn cl_3_a_waiting_sta_pumps_while_a_host_starts() {
    must_end(|| {
        let (process, recording, gate) = with_slow_hosts();
        let sta = process.sta("sta").spawn().unwrap();
        let object = sta.create(|| Cell::new(0)).unwrap();
        let creator = thread::spawn({
            let (process, object) = (process.clone(), object.clone());
            move || object.call(|_| process.create_instance::<dyn Where>("Free").unwrap()).unwrap()
        });
        let waits = recording.until(at(sta.apartment(), |what| {
            matches!(what, What::WaitBegan { on: WaitFor::Host, serves: Serves::Everything, .. })
        }));
        assert_eq!(waits.apartment, Some(sta.apartment().id()));
        object.call(|n| n.set(7)).unwrap();
        gate.open();
        assert_eq!(join(creator).apartment().unwrap().name(), "host MTA");
        assert_eq!(object.call(Cell::get).unwrap(), 7);
    });
}

#[test]
fn cl_3_what_is_served_while_a_host_starts_may_need_that_host() {
    // It waits on top of the wait that had the host made: who brings it about must not be buried under who waits for it.
    for (model, host) in [(ThreadingModel::Free, "host MTA"), (ThreadingModel::Single, "host main STA")] {
        must_end(move || {
            let (process, recording, gate) = with_slow_hosts();
            let main = process.sta("main").spawn().unwrap();
            let sta = process.sta("sta").spawn().unwrap();
            drop(main);
            let object = sta.create(|| ()).unwrap();
            let creators = [1, 2].map(|waits| {
                let (process, object) = (process.clone(), object.clone());
                let creator = thread::spawn(move || {
                    object.call(|()| process.create_instance::<dyn Where>(&id(model)).unwrap()).unwrap()
                });
                recording.until(nth(waits, waits_for_a_host));
                creator
            });
            gate.open();
            let names = creators.map(|creator| join(creator).apartment().unwrap().name().to_owned());
            assert_eq!(names, [host; 2]);
        });
    }
}

/// Hosts fail as often as the number says, then succeed.
fn with_failing_hosts(failures: usize, panics: bool) -> (Process, Recording) {
    let left = AtomicUsize::new(failures);
    let process = Process::builder().clock(Clock::driven()).record(100_000).around_hosts(move || {
        let fails = left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok();
        assert!(!(fails && panics), "no room for a host");
        if fails { Err(io::Error::other("no room for a host")) } else { Ok(()) }
    });
    let process = process.build();
    for model in MODELS {
        process.register_class(id(model), class(model)).unwrap();
    }
    let recording = process.recording().unwrap();
    (process, recording)
}

#[test]
fn cl_3_a_host_that_cannot_be_made_fails_the_creation_and_the_next_one_tries_anew() {
    for panics in [false, true] {
        for model in MODELS {
            let (process, recording) = with_failing_hosts(2, panics);
            for _ in 0..2 {
                let error = process.create_instance::<dyn Where>(&id(model)).unwrap_err();
                assert!(matches!(error, CallError::SysCallFailed { .. }), "{error}");
                assert_eq!((error.hresult(), error.outcome()), (SYS_CALL_FAILED, Outcome::NotStarted));
                assert!(error.source().unwrap().to_string().contains("no room for a host"), "{error}");
                assert!(error.to_string().contains("host"), "it names the host: {error}");
                assert_eq!(process.main_sta(), None, "nothing half-made stays behind");
                assert_eq!(process.current().kind, None);
            }
            let object = process.create_instance::<dyn Where>(&id(model)).unwrap();
            object.thread().unwrap();
            assert_eq!(hosts(&recording).len(), 3, "one for each attempt");
        }
    }
}

#[test]
fn ap_10_everybody_who_waits_for_a_host_learns_that_it_cannot_be_made() {
    for model in [ThreadingModel::Single, ThreadingModel::Apartment, ThreadingModel::Free] {
        must_end(move || {
            let gate = Gate::new();
            let stop = gate.stop();
            let process = Process::builder().record(100_000).around_hosts(move || {
                stop.wait();
                Err::<(), _>(io::Error::other("no room for a host"))
            });
            let process = process.build();
            process.register_class(id(model), class(model)).unwrap();
            let recording = process.recording().unwrap();
            let creators = [0; 3].map(|_| {
                let process = process.clone();
                thread::spawn(move || process.create_instance::<dyn Where>(&id(model)).unwrap_err())
            });
            recording.until(nth(3, waits_for_a_host));
            gate.open();
            for error in creators.map(join) {
                assert!(matches!(error, CallError::SysCallFailed { .. }), "{model:?}: {error}");
                assert_eq!(error.source().unwrap().to_string(), "no room for a host");
            }
            assert_eq!(hosts(&recording).len(), 1);
        });
    }
}

#[test]
fn ap_10_a_host_whose_thread_the_system_refuses_is_sys_call_failed() {
    for model in MODELS {
        let process = Process::builder().host_stack_size(TOO_MUCH).build();
        process.register_class(id(model), class(model)).unwrap();
        let error = process.create_instance::<dyn Where>(&id(model)).unwrap_err();
        assert!(matches!(error, CallError::SysCallFailed { .. }), "{error}");
        assert!(error.source().unwrap().is::<io::Error>(), "with the system's error");
        assert_eq!((process.main_sta(), process.current().kind), (None, None));
    }
}

#[test]
fn ap_10_the_guard_around_a_host_is_made_on_its_thread_and_dropped_there() {
    must_end(|| {
        struct Guard(Sender<(&'static str, ThreadId)>);
        impl Drop for Guard {
            fn drop(&mut self) {
                self.0.send(("dropped", here())).unwrap();
            }
        }
        for model in [ThreadingModel::Single, ThreadingModel::Apartment, ThreadingModel::Both] {
            let (tell, told) = channel();
            let process = Process::builder().around_hosts(move || {
                tell.send(("made", here())).unwrap();
                Ok::<_, io::Error>(Guard(tell.clone()))
            });
            let process = process.build();
            process.register_class("class", class(model)).unwrap();
            let object = process.create_instance::<dyn Where>("class").unwrap();
            let (made, thread) = told.recv().unwrap();
            assert_eq!(made, "made");
            assert_eq!(object.thread().unwrap() == thread, model != ThreadingModel::Both, "{model:?}");
            object.apartment().unwrap().quit();
            assert_eq!(told.recv().unwrap(), ("dropped", thread));
            // The next host has one of its own.
            process.create_instance::<dyn Where>("class").unwrap();
            assert_eq!(told.recv().unwrap().0, "made");
        }
    });
}

#[test]
fn ap_4_a_host_sta_can_be_the_main_sta() {
    let (process, recording) = with_all_models();
    let host = process.create_instance::<dyn Where>("Apartment").unwrap();
    assert_eq!(process.main_sta(), host.apartment());
    // Single classes go there: no other host is needed.
    let single = process.create_instance::<dyn Where>("Single").unwrap();
    assert_eq!(single.apartment(), host.apartment());
    assert_eq!(hosts(&recording), ["host STA"]);
    let began = recording.until(|event| matches!(event.what, What::ApartmentBegan { how: ApartmentHow::Host, .. }));
    assert!(matches!(began.what, What::ApartmentBegan { main: true, sta: true, .. }));
}

#[test]
fn ap_4_a_host_sta_that_starts_is_waited_for_as_the_main_sta() {
    must_end(|| {
        let (process, recording, gate) = with_slow_hosts();
        let create = |model| {
            let process = process.clone();
            thread::spawn(move || process.create_instance::<dyn Where>(&id(model)).unwrap().apartment())
        };
        let first = create(ThreadingModel::Apartment);
        recording.until(waits_for_a_host);
        let second = create(ThreadingModel::Single);
        recording.until(nth(2, waits_for_a_host));
        gate.open();
        assert_eq!(join(first), join(second));
        assert_eq!(hosts(&recording), ["host STA"]);
    });
}

#[test]
fn ap_4_a_main_sta_that_ended_is_made_anew_for_single_classes() {
    let (process, recording) = with_all_models();
    let main = process.sta("main").spawn().unwrap();
    let another = process.sta("another").spawn().unwrap();
    let at_home = another.create(|| ()).unwrap();
    let create = || at_home.call(|()| process.create_instance::<dyn Where>("Single").unwrap()).unwrap();
    assert_eq!(create().apartment().as_ref(), Some(main.apartment()));
    drop(main);
    assert_eq!(process.main_sta(), None);
    let object = create();
    assert_eq!(process.main_sta(), object.apartment());
    let flags = object.query::<Object>().unwrap().call(|object| (object.home.main, object.home.host)).unwrap();
    assert_eq!(flags, (true, true));
    assert!(!at_home.call(|()| current().main).unwrap(), "the others stay what they are");
    assert_eq!(hosts(&recording), ["host main STA"]);
    // A new STA is not the main one while there is the host.
    let third = process.sta("third").spawn().unwrap();
    assert_ne!(process.main_sta().as_ref(), Some(third.apartment()));
}

#[test]
fn ap_8_current_says_that_an_apartment_is_a_host() {
    let (process, _) = with_all_models();
    let main = process.sta("main").spawn().unwrap();
    let flags = |object: &Proxy<Object>| {
        object.call(|object| (object.home.kind, object.home.main, object.home.host, object.home.implicit)).unwrap()
    };
    let sta = process.create_instance::<Object>("Apartment").unwrap();
    assert_eq!(flags(&sta), (Some(Kind::Sta), false, true, false));
    let from_main = main.create(|| ()).unwrap();
    let mta = from_main.call(|()| process.create_instance::<Object>("Free").unwrap()).unwrap();
    assert_eq!(flags(&mta), (Some(Kind::Mta), false, true, false));
    // A thread in no apartment counts as one of the host MTA's.
    let now = process.current();
    assert_eq!((now.kind, now.main, now.host, now.implicit), (Some(Kind::Mta), false, true, true));
    let flags = from_main.call(|()| (current().host, current().main)).unwrap();
    assert_eq!(flags, (false, true));
}

#[test]
fn cl_3_a_host_stays_without_objects_and_an_mta_of_one_s_own_is_used() {
    let (process, recording) = with_all_models();
    let main = process.sta("main").spawn().unwrap();
    let at_home = main.create(|| ()).unwrap();
    let mta = process.mta().name("own").spawn().unwrap();
    let object = at_home.call(|()| process.create_instance::<dyn Where>("Free").unwrap()).unwrap();
    assert_eq!(object.apartment().as_ref(), Some(mta.apartment()));
    assert_eq!(hosts(&recording), [""; 0]);
    drop((object, mta));
    // That one has ended: now a host is needed.
    for _ in 0..2 {
        let object = at_home.call(|()| process.create_instance::<dyn Where>("Free").unwrap()).unwrap();
        let host = object.apartment().unwrap();
        drop(object);
        assert_eq!(process.current().apartment, Some(host.id()), "it is there without an object");
    }
    assert_eq!(hosts(&recording), ["host MTA"]);
    // There is at most one MTA (AP-1), and it can be used as any.
    assert!(matches!(process.mta().spawn().unwrap_err(), CallError::NotSupported { .. }));
    drop(process.mta_usage().unwrap());
    assert!(process.current().kind.is_some());
}

#[test]
fn cl_3_an_mta_that_is_a_host_ends_with_its_process() {
    must_end(|| {
        let (process, recording) = with_all_models();
        let ui = process.sta("ui").enter().unwrap();
        let object = process.create_instance::<dyn Where>("Free").unwrap();
        assert_eq!(hosts(&recording), ["host MTA"]);
        assert_ne!(object.thread().unwrap(), here());
        let host = object.apartment().unwrap();
        assert!(process.end(secs(60)).unwrap().still_in.is_empty());
        recording.until(at(&host, |what| matches!(what, What::ApartmentEnded { abnormal: false, .. })));
        drop(ui);
    });
}

#[test]
fn cl_3_a_host_that_was_asked_to_quit_is_made_anew_when_it_is_needed() {
    for (model, name) in [
        (ThreadingModel::Single, "host main STA"),
        (ThreadingModel::Apartment, "host STA"),
        (ThreadingModel::Free, "host MTA"),
    ] {
        must_end(move || {
            let (process, recording) = with_all_models();
            let first = process.create_instance::<dyn Where>(&id(model)).unwrap();
            let host = first.apartment().unwrap();
            host.quit();
            // Perhaps it is just ending: then this waits for that.
            let second = process.create_instance::<dyn Where>(&id(model)).unwrap();
            assert_ne!(second.apartment().unwrap(), host);
            second.thread().unwrap();
            assert_eq!(hosts(&recording), [name; 2]);
        });
    }
}

/// Stops when it is dropped.
struct StopsInDrop(crate::support::Stop);

impl Drop for StopsInDrop {
    fn drop(&mut self) {
        self.0.wait();
    }
}

#[test]
fn cl_3_a_creation_outlasts_the_end_of_the_main_sta_that_it_was_on_its_way_to() {
    must_end(|| {
        let (process, recording) = with_all_models();
        let main = process.sta("main").spawn().unwrap();
        let another = process.sta("another").spawn().unwrap();
        let object = another.create(|| Cell::new(0)).unwrap();
        let gate = Gate::new();
        let stop = gate.stop();
        let kept = main.create(|| StopsInDrop(stop)).unwrap();
        main.quit();
        // It stands in the destructor, at its end; it is the main STA still.
        gate.met();
        let creator = thread::spawn({
            let (process, object) = (process.clone(), object.clone());
            move || object.call(|_| process.create_instance::<dyn Where>("Single").unwrap()).unwrap()
        });
        recording.until(at(another.apartment(), |what| matches!(what, What::WaitBegan { on: WaitFor::Thread, .. })));
        object.call(|n| n.set(7)).unwrap();
        assert_eq!(hosts(&recording), [""; 0], "there is a main STA until that has ended");
        gate.open();
        assert_eq!(join(creator).apartment().unwrap().name(), "host main STA");
        assert_eq!(object.call(Cell::get).unwrap(), 7, "the creator's wait pumps");
        drop((kept, main));
    });
}

#[test]
fn cl_3_a_creation_outlasts_a_main_sta_that_ends_out_of_order() {
    must_end(|| {
        let (process, recording) = with_all_models();
        let another = {
            let gate = Gate::new();
            let stop = gate.stop();
            let died = thread::spawn({
                let process = process.clone();
                move || {
                    let _main = process.sta("main").enter().unwrap();
                    stop.wait();
                    std::panic::resume_unwind(Box::new("the owner gives up"));
                }
            });
            gate.met();
            let another = process.sta("another").spawn().unwrap();
            let object = another.create(|| ()).unwrap();
            let main = process.main_sta().unwrap();
            let creator = thread::spawn({
                let process = process.clone();
                move || object.call(|()| process.create_instance::<dyn Where>("Single").unwrap()).unwrap()
            });
            recording.until(at(&main, |what| matches!(what, What::Queued { .. })));
            gate.open();
            died.join().unwrap_err();
            assert_eq!(join(creator).apartment().unwrap().name(), "host main STA");
            another
        };
        drop(another);
    });
}

#[test]
fn lt_8_a_creation_that_waits_for_a_main_sta_to_leave_ends_with_its_process() {
    must_end(|| {
        let (process, recording) = with_all_models();
        let gate = Gate::new();
        let stop = gate.stop();
        let owner = thread::spawn({
            let process = process.clone();
            move || {
                let main = process.sta("main").enter().unwrap();
                main.apartment().quit();
                // Asked to quit, it takes its time.
                stop.wait();
            }
        });
        gate.met();
        let creator = thread::spawn({
            let process = process.clone();
            move || process.create_instance::<dyn Where>("Single").unwrap_err()
        });
        recording.until(|event| matches!(event.what, What::WaitBegan { on: WaitFor::Thread, .. }));
        let ended = process.end(Duration::ZERO).unwrap();
        assert_eq!(ended.still_in.len(), 1, "the main STA");
        let error = join(creator);
        assert!(matches!(error, CallError::ServerStopping), "{error}");
        gate.open();
        join(owner);
    });
}

#[test]
fn cl_3_a_creation_waits_for_no_end_that_waits_for_it() {
    // The main STA, the MTA: at its end a destructor has a class' object made elsewhere, which belongs to it.
    struct Ends(Box<dyn Fn() + Send + Sync>);
    impl Drop for Ends {
        fn drop(&mut self) {
            (self.0)();
        }
    }
    for model in [ThreadingModel::Single, ThreadingModel::Free] {
        must_end(move || {
            let (process, _) = with_all_models();
            let log = Log::new();
            let other = process.clone();
            let main = process.sta("main").spawn().unwrap();
            let mta = process.mta().spawn().unwrap();
            let sta = process.sta("sta").spawn().unwrap();
            let there = sta.create(|| ()).unwrap();
            let told = log.clone();
            let end = Ends(Box::new(move || {
                let made = there.call(|()| other.create_instance::<dyn Where>(&id(model)));
                told.add(made.unwrap().map(drop).map_err(|error| error.hresult()));
            }));
            let kept = match model {
                ThreadingModel::Single => main.create(|| end).unwrap(),
                _ => mta.create(|| end).unwrap(),
            };
            drop(mta);
            drop(main);
            drop(kept);
            let [made] = log.take()[..] else { panic!("the destructor has run") };
            match model {
                // A callback of the chain that it waits for still comes in; what is made there goes at once.
                ThreadingModel::Single => assert_eq!(made, Ok(())),
                _ => assert_eq!(made, Err(0x8001_0108), "the MTA keeps no objects any more"),
            }
        });
    }
}

// ---- CL-4

#[test]
fn cl_4_a_class_is_made_in_two_stas_at_the_same_time() {
    for model in [ThreadingModel::Apartment, ThreadingModel::Both] {
        must_end(move || {
            let process = Process::new();
            // Both factories stand here, or nobody goes on.
            let both = Arc::new(Barrier::new(2));
            let class = try_class(model, move || {
                both.wait();
                Ok(Object::new())
            });
            process.register_class("class", class).unwrap();
            let stas = ["one", "other"].map(|name| process.sta(name).spawn().unwrap());
            let creators = stas.each_ref().map(|sta| {
                let (process, at_home) = (process.clone(), sta.create(|| ()).unwrap());
                thread::spawn(move || at_home.call(|()| process.create_instance::<Object>("class").unwrap()).unwrap())
            });
            let made = creators.map(|creator| join(creator).call(|object| object.made).unwrap());
            let threads = stas.each_ref().map(|sta| sta.create(|| ()).unwrap().call(|()| here()).unwrap());
            assert_eq!(made, threads, "each in its own");
        });
    }
}

#[test]
fn cl_4_a_free_class_is_made_by_two_threads_at_the_same_time() {
    must_end(|| {
        let process = Process::new();
        let both = Arc::new(Barrier::new(2));
        let class = Class::free(move || {
            both.wait();
            Object::new()
        });
        process.register_class("class", class).unwrap();
        let creators = [0; 2].map(|_| {
            let process = process.clone();
            thread::spawn(move || {
                let object = process.create_instance::<Object>("class").unwrap();
                (object.call(|object| object.made).unwrap(), here())
            })
        });
        for (made, creator) in creators.map(join) {
            assert_eq!(made, creator);
        }
    });
}

#[test]
fn cl_4_a_single_class_s_factory_runs_on_the_main_sta_alone() {
    let (process, _) = recorded();
    let log = Log::new();
    let made = log.clone();
    let class = Class::single(move || {
        made.add(here());
        Object::new()
    });
    process.register_class("single", class).unwrap();
    let main = process.sta("main").spawn().unwrap();
    let another = process.sta("another").spawn().unwrap();
    let mta = process.mta().spawn().unwrap();
    let foreign = Process::new().sta("foreign").spawn().unwrap();
    let create = || drop(process.create_instance::<Object>("single").unwrap());
    for sta in [&main, &another, &foreign] {
        sta.create(|| ()).unwrap().call(|()| create()).unwrap();
    }
    create();
    let entered = mta.enter().unwrap();
    create();
    drop(entered);
    let thread = main.create(|| ()).unwrap().call(|()| here()).unwrap();
    assert_eq!(log.take(), [thread; 5]);
}

// ---- CL-5

/// A process with a server of that name, with a class of each model; and how often it was loaded and unloaded, and where.
fn with_a_server() -> (Process, Recording, Log<(&'static str, ThreadId)>) {
    let (process, recording) = recorded();
    let log = Log::new();
    process.register_server(server("server", &log)).unwrap();
    (process, recording, log)
}

struct Code(Log<(&'static str, ThreadId)>);

impl Drop for Code {
    fn drop(&mut self) {
        self.0.add(("unloaded", here()));
    }
}

fn server(name: &str, log: &Log<(&'static str, ThreadId)>) -> Server {
    let loads = log.clone();
    let server = Server::new(name).around(move || {
        loads.add(("loaded", here()));
        Ok::<_, io::Error>(Code(loads.clone()))
    });
    server
        .class("apartment", class(ThreadingModel::Apartment))
        .class("free", class(ThreadingModel::Free))
        .class("both", class(ThreadingModel::Both))
}

fn answers(recording: &Recording) -> Vec<ServerAnswer> {
    let asked = |event: Event| match event.what {
        What::ServerAsked { answer, .. } => Some(answer),
        _ => None,
    };
    recording.events().into_iter().filter_map(asked).collect()
}

#[test]
fn cl_5_a_server_is_loaded_by_its_first_creation_and_unloaded_without_objects() {
    let (process, recording, log) = with_a_server();
    assert_eq!(process.free_unused_servers(NOW).unwrap(), [""; 0], "it was never loaded");
    let main = process.sta("main").enter().unwrap();
    let (one, other) = (process.create_instance::<Object>("both"), process.create_instance::<Object>("free"));
    assert_eq!(log.take(), [("loaded", here())]);
    assert_eq!(process.free_unused_servers(NOW).unwrap(), [""; 0]);
    drop(one);
    assert_eq!(process.free_unused_servers(NOW).unwrap(), [""; 0], "one is left");
    drop(other);
    // The release of the MTA's object is on its way.
    recording.until(nth(2, |event| matches!(event.what, What::ObjectDropped { .. })));
    while process.free_unused_servers(NOW).unwrap().is_empty() {
        thread::yield_now();
    }
    assert_eq!(log.take(), [("unloaded", here())]);
    let answers = answers(&recording);
    assert_eq!((answers[0], answers.last()), (ServerAnswer::InUse, Some(&ServerAnswer::Stopping)));
    assert_eq!(process.free_unused_servers(NOW).unwrap(), [""; 0]);
    // The next one loads it again.
    let again = process.create_instance::<Object>("both").unwrap();
    assert_eq!(log.take(), [("loaded", here())]);
    drop((again, main));
}

#[test]
fn cl_5_a_server_is_in_use_until_its_last_object_s_destructor_has_run() {
    must_end(|| {
        struct Slow(#[expect(dead_code, reason = "it is there to be dropped")] StopsInDrop);
        implements!(Slow);
        let (process, _) = recorded();
        let gate = Gate::new();
        let stop = gate.stop();
        let class = Class::apartment(move || Slow(StopsInDrop(stop.clone())));
        process.register_class("slow", class).unwrap();
        let object = process.create_instance::<Slow>("slow").unwrap();
        let home = object.apartment().unwrap();
        let main = process.main_sta().unwrap();
        assert_eq!(home, main);
        drop(object);
        gate.met();
        // Its last reference is gone, its destructor runs, in the main STA itself. So it is asked in this way.
        let asker = thread::spawn({
            let process = process.clone();
            move || process.free_unused_servers(NOW).unwrap()
        });
        gate.open();
        assert_eq!(join(asker), ["slow"], "the question stood behind the destructor");
    });
}

#[test]
fn cl_5_a_destructor_that_runs_elsewhere_keeps_the_server() {
    must_end(|| {
        struct Slow(#[expect(dead_code, reason = "it is there to be dropped")] StopsInDrop);
        implements!(Slow);
        let (process, recording) = recorded();
        let gate = Gate::new();
        let stop = gate.stop();
        let class = Class::apartment(move || Slow(StopsInDrop(stop.clone())));
        process.register_class("slow", class).unwrap();
        let main = process.sta("main").enter().unwrap();
        let another = process.sta("another").spawn().unwrap();
        let at_home = another.create(|| ()).unwrap();
        let object = at_home.call(|()| process.create_instance::<Slow>("slow").unwrap()).unwrap();
        drop(object);
        gate.met();
        assert_eq!(process.free_unused_servers(NOW).unwrap(), [""; 0], "its code still runs");
        gate.open();
        at_home.call(|()| ()).unwrap();
        assert_eq!(process.free_unused_servers(NOW).unwrap(), ["slow"]);
        assert_eq!(answers(&recording), [ServerAnswer::InUse, ServerAnswer::Stopping]);
        drop(main);
    });
}

#[test]
fn cl_5_a_destructor_that_panics_is_no_longer_counted() {
    struct Panics;
    impl Drop for Panics {
        fn drop(&mut self) {
            panic!("in a destructor");
        }
    }
    implements!(Panics);
    let (process, _) = recorded();
    process.register_class("panics", Class::both(|| Panics)).unwrap();
    let main = process.sta("main").enter().unwrap();
    drop(process.create_instance::<Panics>("panics").unwrap());
    assert_eq!(process.free_unused_servers(NOW).unwrap(), ["panics"]);
    drop(main);
}

#[test]
fn cl_5_factories_and_locks_keep_a_server() {
    let (process, recording, log) = with_a_server();
    let main = process.sta("main").enter().unwrap();
    let factory = process.class_factory("both").unwrap();
    assert_eq!((factory.class(), factory.model()), ("both", ThreadingModel::Both));
    assert_eq!(log.take(), [("loaded", here())], "asking for the factory loads it");
    assert_eq!(process.free_unused_servers(NOW).unwrap(), [""; 0]);
    let object = factory.create_instance::<dyn Where>().unwrap();
    assert_eq!(object.thread().unwrap(), here());
    assert!(matches!(factory.create_instance::<dyn Other>().unwrap_err(), CallError::NoInterface { .. }));
    let lock = factory.lock_server();
    drop(factory);
    drop(object);
    assert_eq!(process.free_unused_servers(NOW).unwrap(), [""; 0], "the lock is left");
    join(thread::spawn(move || drop(lock)));
    assert_eq!(process.free_unused_servers(NOW).unwrap(), ["server"]);
    assert_eq!(answers(&recording), [ServerAnswer::InUse, ServerAnswer::InUse, ServerAnswer::Stopping]);
    drop(main);
}

#[test]
fn cl_5_a_creation_under_way_keeps_a_server() {
    must_end(|| {
        let (process, recording) = recorded();
        let gate = Gate::new();
        let stop = gate.stop();
        let class = Class::try_apartment(move || {
            stop.wait();
            Err::<Object, _>(io::Error::other("in the end"))
        });
        process.register_class("slow", class).unwrap();
        let main = process.sta("main").enter().unwrap();
        let creator = thread::spawn({
            let process = process.clone();
            move || process.create_instance::<Object>("slow").unwrap_err()
        });
        gate.met();
        assert_eq!(process.free_unused_servers(NOW).unwrap(), [""; 0], "its factory runs");
        gate.open();
        assert!(matches!(join(creator), CallError::FactoryFailed { .. }));
        assert_eq!(process.free_unused_servers(NOW).unwrap(), ["slow"]);
        assert_eq!(answers(&recording), [ServerAnswer::InUse, ServerAnswer::Stopping]);
        drop(main);
    });
}

#[test]
fn cl_5_a_server_has_a_say_of_its_own_on_the_main_sta() {
    let (process, recording, log) = with_a_server();
    let says = Arc::new(AtomicBool::new(false));
    let asked = Log::new();
    let (say, ask) = (Arc::clone(&says), asked.clone());
    let own = Server::new("own say").class("own", Class::both(Object::new)).can_unload(move || {
        ask.add(here());
        say.load(Relaxed)
    });
    process.register_server(own).unwrap();
    let main = process.sta("main").spawn().unwrap();
    let another = process.sta("another").spawn().unwrap();
    let at_main = main.create(|| ()).unwrap().call(|()| here()).unwrap();
    let at_home = another.create(|| ()).unwrap();
    let object = at_home.call(|()| process.create_instance::<Object>("own").unwrap()).unwrap();
    // As long as its counts say no, it is not asked.
    assert_eq!(process.free_unused_servers(NOW).unwrap(), [""; 0]);
    assert_eq!(asked.take(), []);
    at_home.call(|()| drop(object)).unwrap();
    // Wherever it is asked from: a thread in no apartment, another STA, the main STA, the MTA.
    let free = || process.free_unused_servers(NOW).unwrap();
    assert_eq!(free(), [""; 0]);
    assert_eq!(at_home.call(|()| free()).unwrap(), [""; 0]);
    assert_eq!(main.create(|| ()).unwrap().call(|()| free()).unwrap(), [""; 0]);
    let mta = process.mta().spawn().unwrap();
    let entered = mta.enter().unwrap();
    says.store(true, Relaxed);
    assert_eq!(free(), ["own say"]);
    drop(entered);
    assert_eq!(asked.take(), [at_main; 4]);
    use ServerAnswer::{InUse, Refused, Stopping};
    assert_eq!(answers(&recording), [InUse, Refused, Refused, Refused, Stopping]);
    assert_eq!(log.take(), [], "the other server was never loaded");
}

#[test]
fn cl_5_a_say_that_panics_counts_as_no() {
    let (process, recording) = recorded();
    let server = Server::new("server").class("both", Class::both(Object::new)).can_unload(|| panic!("who asks?"));
    process.register_server(server).unwrap();
    let main = process.sta("main").enter().unwrap();
    drop(process.create_instance::<Object>("both").unwrap());
    assert_eq!(process.free_unused_servers(NOW).unwrap(), [""; 0]);
    assert_eq!(answers(&recording), [ServerAnswer::Refused]);
    let told = |event: &Event| matches!(&event.what, What::Contained { message, .. } if &**message == "who asks?");
    assert_eq!(count(&recording, told), 1);
    drop(main);
}

#[test]
fn cl_5_a_server_is_unloaded_after_a_delay_in_which_nobody_used_it() {
    let (process, recording, log) = with_a_server();
    let clock = process.clock().clone();
    let main = process.sta("main").enter().unwrap();
    let delay = secs(600);
    let free = || !process.free_unused_servers(delay).unwrap().is_empty();
    let make = || drop(process.create_instance::<Object>("both").unwrap());
    make();
    clock.advance(secs(1000));
    assert!(!free(), "the first question takes note");
    clock.advance(secs(599));
    assert!(!free());
    // Used again: it begins anew.
    make();
    clock.advance(secs(1));
    assert!(!free());
    clock.advance(secs(599));
    assert!(!free());
    clock.advance(secs(1));
    assert!(free());
    use ServerAnswer::{NotYet, Stopping};
    assert_eq!(answers(&recording), [NotYet, NotYet, NotYet, NotYet, Stopping]);
    assert_eq!(log.take(), [("loaded", here()), ("unloaded", here())]);
    drop(main);
}

#[test]
fn cl_5_a_no_in_between_begins_the_delay_anew() {
    let (process, _) = recorded();
    let says = Arc::new(AtomicBool::new(true));
    let say = Arc::clone(&says);
    let server = Server::new("server").class("both", Class::both(Object::new)).can_unload(move || say.load(Relaxed));
    process.register_server(server).unwrap();
    let main = process.sta("main").enter().unwrap();
    drop(process.create_instance::<Object>("both").unwrap());
    let free = || !process.free_unused_servers(secs(10)).unwrap().is_empty();
    assert!(!free());
    process.clock().advance(secs(9));
    says.store(false, Relaxed);
    assert!(!free());
    says.store(true, Relaxed);
    process.clock().advance(secs(9));
    assert!(!free(), "18 seconds after the first yes, but with a no in between");
    process.clock().advance(secs(10));
    assert!(free());
    drop(main);
}

#[test]
fn cl_5_without_a_main_sta_single_servers_are_left_alone_and_the_others_asked_here() {
    let (process, recording) = recorded();
    let asked = Log::new();
    let server = |name: &str, class: Class| {
        let (asked, told) = (asked.clone(), name.to_owned());
        Server::new(name).class(name, class).can_unload(move || {
            asked.add((told.clone(), here()));
            true
        })
    };
    process.register_server(server("single", Class::single(Object::new))).unwrap();
    process.register_server(server("free", Class::free(Object::new))).unwrap();
    for name in ["single", "free"] {
        drop(process.create_instance::<Object>(name).unwrap());
    }
    let main = process.main_sta().unwrap();
    // The object's release comes before that.
    main.quit();
    recording.until(at(&main, |what| matches!(what, What::ThreadLeft)));
    assert_eq!(process.main_sta(), None);
    // The release of the MTA's object may still be on its way.
    let mut freed = process.free_unused_servers(NOW).unwrap();
    while freed.is_empty() {
        thread::yield_now();
        freed = process.free_unused_servers(NOW).unwrap();
    }
    assert_eq!(freed, ["free"]);
    assert_eq!(asked.take(), [("free".to_owned(), here())]);
    // With a main STA, of whatever making, it is asked there.
    let next = process.sta("next").spawn().unwrap();
    assert_eq!(process.free_unused_servers(NOW).unwrap(), ["single"]);
    let thread = next.create(|| ()).unwrap().call(|()| here()).unwrap();
    assert_eq!(asked.take(), [("single".to_owned(), thread)]);
}

#[test]
fn cl_5_a_main_sta_that_takes_no_calls_any_more_is_as_none() {
    must_end(|| {
        let (process, _, log) = with_a_server();
        let main = process.sta("main").spawn().unwrap();
        let gate = Gate::new();
        let stop = gate.stop();
        let kept = main.create(|| StopsInDrop(stop)).unwrap();
        drop(process.create_instance::<Object>("free").unwrap());
        main.quit();
        gate.met();
        assert!(process.main_sta().is_some());
        while process.free_unused_servers(NOW).unwrap().is_empty() {
            thread::yield_now();
        }
        assert_eq!(log.take(), [("loaded", here()), ("unloaded", here())]);
        gate.open();
        drop((kept, main));
    });
}

#[test]
fn cl_5_a_creation_that_meets_an_unloading_server_is_refused_and_the_next_one_loads_it() {
    must_end(|| {
        let (process, recording) = recorded();
        let gate = Gate::new();
        let stop = gate.stop();
        let server = Server::new("server")
            .class("both", Class::both(Object::new))
            .around(move || Ok::<_, io::Error>(StopsInDrop(stop.clone())));
        process.register_server(server).unwrap();
        let main = process.sta("main").spawn().unwrap();
        drop(process.create_instance::<Object>("both").unwrap());
        let asker = thread::spawn({
            let process = process.clone();
            move || {
                let mut freed = process.free_unused_servers(NOW).unwrap();
                while freed.is_empty() {
                    freed = process.free_unused_servers(NOW).unwrap();
                }
                freed
            }
        });
        gate.met();
        let refused =
            [process.create_instance::<Object>("both").unwrap_err(), process.class_factory("both").unwrap_err()];
        for error in refused {
            assert!(matches!(error, CallError::ServerStopping), "{error}");
            assert_eq!((error.hresult(), error.outcome()), (SERVER_STOPPING, Outcome::NotStarted));
        }
        gate.open();
        assert_eq!(join(asker), ["server"]);
        drop(process.create_instance::<Object>("both").unwrap());
        assert_eq!(answers(&recording).last(), Some(&ServerAnswer::Stopping));
        drop(main);
    });
}

#[test]
fn cl_5_a_creation_while_the_server_is_asked_keeps_it() {
    must_end(|| {
        let (process, recording) = recorded();
        let gate = Gate::new();
        let stop = gate.stop();
        let server = Server::new("server").class("both", Class::both(Object::new)).can_unload(move || {
            stop.wait();
            true
        });
        process.register_server(server).unwrap();
        let main = process.sta("main").spawn().unwrap();
        let another = process.sta("another").spawn().unwrap();
        let at_home = another.create(|| ()).unwrap();
        let make = || at_home.call(|()| drop(process.create_instance::<Object>("both").unwrap())).unwrap();
        make();
        let asker = thread::spawn({
            let process = process.clone();
            move || process.free_unused_servers(NOW).unwrap()
        });
        gate.met();
        // Made and gone again: all counts are zero when the answer comes, and yet it is out of date.
        make();
        gate.open();
        assert_eq!(join(asker), [""; 0]);
        assert_eq!(answers(&recording), [ServerAnswer::InUse]);
        assert_eq!(process.free_unused_servers(NOW).unwrap(), ["server"]);
        drop(main);
    });
}

#[test]
fn cl_5_a_server_that_is_asked_is_not_unloaded_by_another_s_question() {
    // Its say has the servers freed itself: the inner question finds it being asked, whose code runs.
    let (process, recording) = recorded();
    let log = Log::new();
    let (freeing, told) = (process.clone(), log.clone());
    let server = server("server", &Log::new()).can_unload(move || {
        told.add(freeing.free_unused_servers(NOW).unwrap().len());
        true
    });
    process.register_server(server).unwrap();
    let main = process.sta("main").enter().unwrap();
    drop(process.create_instance::<Object>("both").unwrap());
    assert_eq!(process.free_unused_servers(NOW).unwrap(), ["server"]);
    assert_eq!(log.take(), [0]);
    assert_eq!(answers(&recording), [ServerAnswer::Stopping]);
    drop(main);
}

#[test]
fn cl_5_others_wait_for_the_thread_that_loads_a_server_and_pump() {
    must_end(|| {
        let (process, recording) = recorded();
        let gate = Gate::new();
        let stop = gate.stop();
        let loads = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&loads);
        let server = Server::new("server").class("both", Class::both(Object::new)).around(move || {
            counted.fetch_add(1, Relaxed);
            stop.wait();
            Ok::<_, io::Error>(())
        });
        process.register_server(server).unwrap();
        let stas = ["one", "other"].map(|name| process.sta(name).spawn().unwrap());
        let objects = stas.each_ref().map(|sta| sta.create(|| Cell::new(0)).unwrap());
        let create = |object: &Proxy<Cell<i32>>| {
            let (process, object) = (process.clone(), object.clone());
            thread::spawn(move || object.call(|_| process.create_instance::<dyn Where>("both").unwrap()).unwrap())
        };
        let first = create(&objects[0]);
        gate.met();
        let second = create(&objects[1]);
        recording.until(at(stas[1].apartment(), |what| matches!(what, What::WaitBegan { on: WaitFor::Server, .. })));
        objects[1].call(|n| n.set(7)).unwrap();
        gate.open();
        for (creator, sta) in [first, second].into_iter().zip(&stas) {
            assert_eq!(join(creator).apartment().as_ref(), Some(sta.apartment()));
        }
        assert_eq!(loads.load(Relaxed), 1);
        assert_eq!(objects[1].call(Cell::get).unwrap(), 7);
    });
}

#[test]
fn cl_5_a_server_that_cannot_be_loaded_fails_all_that_wait_for_it() {
    for panics in [false, true] {
        must_end(move || {
            let (process, recording) = recorded();
            let gate = Gate::new();
            let stop = gate.stop();
            let fails = AtomicBool::new(true);
            let server = Server::new("engines").class("both", Class::both(Object::new)).around(move || {
                stop.wait();
                let fails = fails.swap(false, Relaxed);
                assert!(!(fails && panics), "no such file");
                if fails { Err(io::Error::new(io::ErrorKind::NotFound, "no such file")) } else { Ok(()) }
            });
            process.register_server(server).unwrap();
            let create = || {
                let process = process.clone();
                thread::spawn(move || process.create_instance::<dyn Where>("both").unwrap_err())
            };
            let first = create();
            gate.met();
            let others = [create(), create()];
            recording.until(nth(2, |event| matches!(event.what, What::WaitBegan { on: WaitFor::Server, .. })));
            gate.open();
            let [second, third] = others;
            for error in [first, second, third].map(join) {
                assert!(matches!(error, CallError::SysCallFailed { .. }), "{error}");
                assert!(error.to_string().contains("\"engines\""), "it names the server: {error}");
                let source = error.source().unwrap();
                assert!(source.to_string().contains("no such file"), "{source}");
                assert_eq!(source.is::<io::Error>(), !panics);
            }
            // Nothing was made of it, and the next one tries again.
            assert_eq!(placings(&recording).len(), 0);
            process.create_instance::<dyn Where>("both").unwrap().thread().unwrap();
        });
    }
}

#[test]
fn cl_5_a_loading_that_would_wait_for_itself_is_a_deadlock() {
    must_end(|| {
        let process = Process::new();
        let (own, log) = (process.clone(), Log::new());
        let told = log.clone();
        let server = Server::new("server").class("both", Class::both(Object::new)).around(move || {
            told.add(own.create_instance::<Object>("both").unwrap_err());
            Ok::<_, io::Error>(())
        });
        process.register_server(server).unwrap();
        process.create_instance::<Object>("both").unwrap();
        let error = log.take().pop().unwrap();
        assert!(matches!(&error, CallError::Deadlock(cycle) if cycle.to_string().contains("\"server\"")), "{error}");
    });
}

#[test]
fn cl_5_what_the_loading_gave_may_panic_when_it_is_dropped() {
    struct Panics;
    impl Drop for Panics {
        fn drop(&mut self) {
            panic!("in an unloading");
        }
    }
    let (process, recording) = recorded();
    let server = Server::new("server").class("both", Class::both(Object::new)).around(|| Ok::<_, io::Error>(Panics));
    process.register_server(server).unwrap();
    let main = process.sta("main").enter().unwrap();
    drop(process.create_instance::<Object>("both").unwrap());
    assert_eq!(process.free_unused_servers(NOW).unwrap(), ["server"]);
    let told =
        |event: &Event| matches!(&event.what, What::Contained { message, .. } if &**message == "in an unloading");
    assert_eq!(count(&recording, told), 1);
    let loaded_again = process.create_instance::<Object>("both").unwrap();
    drop((loaded_again, main));
    // A process that goes with a server loaded drops what its loading gave, and nobody is hurt.
    drop((process, recording));
}

#[test]
fn cl_5_a_busy_main_sta_can_refuse_to_be_asked() {
    let (process, _, _) = with_a_server();
    let main = process.sta("main").filter(|| incoming(|_| ServerCall::Rejected)).spawn().unwrap();
    let error = process.free_unused_servers(NOW).unwrap_err();
    assert!(matches!(error, CallError::CallRejected { .. }), "{error}");
    drop(main);
}

// ---- CL-6

#[test]
fn cl_6_an_unknown_class_is_not_registered() {
    let (process, recording) = with_all_models();
    let errors = [
        process.create_instance::<Object>("Spreadsheet").unwrap_err(),
        process.class_factory("Spreadsheet").unwrap_err(),
        // Ids are compared as they are written, and are a process' own.
        process.create_instance::<Object>("single").unwrap_err(),
        Process::new().create_instance::<Object>("Single").unwrap_err(),
    ];
    for (error, id) in errors.into_iter().zip(["Spreadsheet", "Spreadsheet", "single", "Single"]) {
        assert!(matches!(&error, CallError::ClassNotRegistered { class } if &**class == id), "{error}");
        assert_eq!((error.hresult(), error.outcome()), (0x8004_0154, Outcome::NotStarted));
        assert!(error.to_string().contains(id), "{error}");
    }
    assert_eq!(hosts(&recording), [""; 0]);
}

// ---- calls

#[test]
fn ck_4_a_filter_s_method_creates_at_home_and_nowhere_else() {
    must_end(|| {
        let (process, recording) = with_all_models();
        let loads = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&loads);
        let server = Server::new("server").class("loaded", class(ThreadingModel::Free)).around(move || {
            counted.fetch_add(1, Relaxed);
            Ok::<_, io::Error>(())
        });
        process.register_server(server).unwrap();
        let log = Log::new();
        let (created, own) = (log.clone(), process.clone());
        let filter = move || {
            incoming(move |_| {
                for model in MODELS {
                    created.add((model, own.create_instance::<dyn Where>(&id(model)).map(drop)));
                }
                assert_eq!(own.create_instance::<dyn Where>("loaded").unwrap_err().hresult(), 0x8001_0005);
                ServerCall::Handled
            })
        };
        let sta = process.sta("main").filter(filter).spawn().unwrap();
        sta.create(|| ()).unwrap();
        for (model, made) in log.take() {
            match made {
                Ok(()) => assert_ne!(model, ThreadingModel::Free),
                Err(error) => {
                    assert_eq!((model, error.hresult()), (ThreadingModel::Free, 0x8001_0005), "{error}");
                    assert_eq!(error.outcome(), Outcome::NotStarted);
                }
            }
        }
        assert_eq!(hosts(&recording), [""; 0], "no host is made for what cannot be");
        assert_eq!(loads.load(Relaxed), 0, "and nothing loaded");
        assert_eq!(count(&recording, |event| matches!(event.what, What::Contained { .. })), 0);
    });
}

interface! {
    trait Rung {
        fn ring(&self) -> Result<(), CallError> as input_sync;
    }
}

/// Tries to make an object of each model while it serves an input-synchronized call.
struct Creates(Process, Log<(ThreadingModel, Result<(), CallError>)>);

impl Rung for Creates {
    fn ring(&self) -> Result<(), CallError> {
        for model in MODELS {
            self.1.add((model, self.0.create_instance::<dyn Where>(&id(model)).map(drop)));
        }
        Ok(())
    }
}

implements!(Creates: dyn Rung);

#[test]
fn ck_3_an_input_synchronized_method_creates_at_home_and_nowhere_else() {
    must_end(|| {
        let (process, recording) = with_all_models();
        let log = Log::new();
        let (_main, sta) = (process.sta("main").spawn().unwrap(), process.sta("sta").spawn().unwrap());
        let caller = process.sta("caller").spawn().unwrap();
        let object = sta.create(|| Creates(process.clone(), log.clone())).unwrap().cast::<dyn Rung>();
        caller.create(|| ()).unwrap().call(|()| object.ring()).unwrap().unwrap();
        for (model, made) in log.take() {
            let direct = matches!(model, ThreadingModel::Apartment | ThreadingModel::Both);
            let why = made.map_err(|error| error.hresult());
            assert_eq!(why, if direct { Ok(()) } else { Err(0x8001_010D) }, "{model:?}");
        }
        assert_eq!(hosts(&recording), [""; 0], "no host is made for what cannot be");
    });
}

#[test]
fn mf_2_a_creation_is_shown_to_the_filter_of_the_apartment_it_goes_to() {
    must_end(|| {
        let (process, _) = with_all_models();
        let seen = Log::new();
        let told = seen.clone();
        let busy = move || {
            let asked = Cell::new(0);
            incoming(move |call| {
                told.add((call.kind, call.target.type_name));
                asked.set(asked.get() + 1);
                if asked.get() < 3 { ServerCall::RetryLater } else { ServerCall::Handled }
            })
        };
        let main = process.sta("main").filter(busy).spawn().unwrap();
        let creator = process.sta("creator").filter(|| rejected(|_| Retry::Now)).spawn().unwrap();
        let at_home = creator.create(|| ()).unwrap();
        let made = at_home.call(|()| process.create_instance::<dyn Where>("Single").unwrap()).unwrap();
        assert_eq!(made.apartment().as_ref(), Some(main.apartment()));
        assert_eq!(seen.take(), [(CallKind::Create, std::any::type_name::<Object>()); 3], "refused twice, then let in");
    });
}

#[test]
fn mb_2_a_creation_in_a_full_main_sta_fails_at_once() {
    let (process, _) = with_all_models();
    let main = process.sta("main").capacity(1).spawn().unwrap();
    let object = main.create(|| ()).unwrap();
    let gate = hold(&object);
    object.post(|()| ()).unwrap();
    let error = process.create_instance::<dyn Where>("Single").unwrap_err();
    assert!(matches!(error, CallError::MailboxFull(_)), "{error}");
    gate.open();
    drop(main);
}

#[test]
fn st_1_a_thread_in_no_apartment_creates_nothing_before_there_is_an_mta() {
    let process = Process::builder().strict_rules().build();
    let error = process.register_class("Free", class(ThreadingModel::Free)).unwrap_err();
    assert!(matches!(error, CallError::NotInitialized), "{error}");
    let first = process.sta("first").enter().unwrap();
    process.register_class("Free", class(ThreadingModel::Free)).unwrap();
    first.leave();
    let refused = [
        process.create_instance::<dyn Where>("Free").unwrap_err(),
        process.class_factory("Free").unwrap_err(),
        process.free_unused_servers(NOW).unwrap_err(),
    ];
    for error in refused {
        assert!(matches!(error, CallError::NotInitialized), "{error}");
    }
    let sta = process.sta("sta").enter().unwrap();
    let free = process.create_instance::<dyn Where>("Free").unwrap();
    assert_ne!(free.thread().unwrap(), here());
    // Now there is one, though a host: another thread is as good as in it.
    let other = process.clone();
    join(thread::spawn(move || {
        let free = other.create_instance::<dyn Where>("Free").unwrap();
        assert_eq!(free.thread().unwrap(), here());
    }));
    drop((free, sta));
}
