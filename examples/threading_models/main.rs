//! Who creates what where: `cargo run --example threading_models`.
//!
//! COM's table of creators and threading models, not from a book: for each cell a process is made, an object of a class
//! of that model is created in it by that creator, and what is printed is what the object, its creator and the recording
//! of the process have seen.

mod table;

use std::cell::Cell;
use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;
use std::thread::{self, ThreadId};

use apartment::{
    ApartmentHow, CallError, CallKind, Class, Current, Kind, Mta, Process, Proxy, Route, Sta, ThreadingModel, What,
    current, implements,
};

use crate::table::Table;

const MODELS: [ThreadingModel; 4] =
    [ThreadingModel::Single, ThreadingModel::Apartment, ThreadingModel::Free, ThreadingModel::Both];

const LEGEND: &str = "\
direct          made where its creator is, on its creator's own thread; so are its calls from there
X, proxy        lives in X, and is called through a proxy: X's own thread runs the call
X (host if none)
                if the process has no X, the library makes one for it: a host apartment
main STA        the first STA of the process; without it, the next that is made
host STA        a single-threaded apartment of the library's own, for those who are in none
no apartment    a thread that has entered none is an implicit thread of the MTA
";

/// Who creates.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Creator {
    MainSta,
    AnotherSta,
    Mta,
    NoApartment,
}

impl fmt::Display for Creator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Creator::MainSta => "main STA",
            Creator::AnotherSta => "another STA",
            Creator::Mta => "MTA",
            Creator::NoApartment => "no apartment",
        })
    }
}

/// It knows the thread that it was made on, and in which apartment.
struct Object {
    made_on: ThreadId,
    home: Current,
}

implements!(Object);

impl Object {
    fn new() -> Object {
        Object { made_on: thread::current().id(), home: current() }
    }
}

/// An object that is not even `Send`: it stays on the thread it was made on.
struct Bound(Object, Cell<()>);

implements!(Bound);

/// What an object has seen, whatever its type is.
trait Saw {
    fn saw(&self) -> &Object;
}

impl Saw for Object {
    fn saw(&self) -> &Object {
        self
    }
}

impl Saw for Bound {
    fn saw(&self) -> &Object {
        &self.0
    }
}

/// What was seen of an object when it had been created.
struct Seen {
    made_on: ThreadId,
    home: Current,
    /// How its creator's call of it went.
    route: Option<Route>,
    host_made: bool,
}

/// A process with what is to be there when an object is created in it.
struct World {
    process: Process,
    main: Option<Sta>,
    another: Option<Sta>,
    mta: Option<Mta>,
}

impl World {
    /// A process with its main STA, another one, and the MTA; or, if the creator is to be alone, with nothing but its
    /// creator's apartment.
    fn new(creator: Creator, alone: bool) -> Result<World, CallError> {
        let process = Process::builder().record(1_000).build();
        for (id, class) in [
            ("Single", Class::single(|| Bound(Object::new(), Cell::new(())))),
            ("Apartment", Class::apartment(|| Bound(Object::new(), Cell::new(())))),
            ("Free", Class::free(Object::new)),
            ("Both", Class::both(Object::new)),
            ("Both, free-threaded", Class::both(Object::new).free_threaded()),
        ] {
            process.register_class(id, class)?;
        }
        let main = process.sta("main").spawn()?;
        let another = process.sta("another").spawn()?;
        let mut world = World { main: Some(main), another: Some(another), mta: None, process };
        if !alone || creator == Creator::Mta {
            world.mta = Some(world.process.mta().spawn()?);
        }
        if alone && creator != Creator::MainSta {
            world.main = None;
        }
        if alone && creator != Creator::AnotherSta {
            world.another = None;
        }
        Ok(world)
    }

    /// Runs `body` as that creator.
    fn as_creator<R: Send>(&self, creator: Creator, body: impl FnOnce() -> R + Send) -> Result<R, CallError> {
        match (creator, &self.main, &self.another, &self.mta) {
            (Creator::MainSta, Some(sta), ..) | (Creator::AnotherSta, _, Some(sta), _) => {
                sta.create(|| ())?.call(|()| body())
            }
            (Creator::Mta, .., Some(mta)) => {
                let entered = mta.enter()?;
                let result = body();
                drop(entered);
                Ok(result)
            }
            _ => Ok(body()),
        }
    }

    /// What `creator` sees of an object of that class that it has just created.
    fn see(&self, creator: Creator, class: &str) -> Result<Seen, CallError> {
        let hosts = self.hosts();
        let (made_on, home) = self.as_creator(creator, || {
            // An STA's object need not be `Send`, so it is another type than the MTA's.
            match class {
                "Single" | "Apartment" => what_it_saw(&self.process.create_instance::<Bound>(class)?),
                _ => what_it_saw(&self.process.create_instance::<Object>(class)?),
            }
        })??;
        Ok(Seen { made_on, home, route: self.last_route(), host_made: self.hosts() > hosts })
    }

    /// How many host apartments the recording tells of.
    fn hosts(&self) -> usize {
        let host = |what: &What| matches!(what, What::ApartmentBegan { how: ApartmentHow::Host, .. });
        self.events().iter().filter(|what| host(what)).count()
    }

    /// How the last call of an object went that is no mere making.
    fn last_route(&self) -> Option<Route> {
        self.events().iter().rev().find_map(|what| match what {
            What::CallMade(call) if call.kind == CallKind::Synchronous && is_of_ours(call.target.type_name) => {
                Some(call.route)
            }
            _ => None,
        })
    }

    fn events(&self) -> Vec<What> {
        let recording = self.process.recording().expect("the process was made to record");
        recording.events().into_iter().map(|event| event.what).collect()
    }
}

fn is_of_ours(type_name: &str) -> bool {
    type_name.ends_with("::Object") || type_name.ends_with("::Bound")
}

/// Calls the object, and asks it what it saw.
fn what_it_saw<T: Saw + 'static>(object: &Proxy<T>) -> Result<(ThreadId, Current), CallError> {
    object.call(|object| (object.saw().made_on, object.saw().home.clone()))
}

/// How the object is reached, as the recording says, where the creator and the object have seen the same.
fn reached(seen: &Seen) -> &'static str {
    match seen.route {
        Some(Route::Direct | Route::FreeThreaded) => "direct",
        Some(_) => "proxy",
        None => "never called",
    }
}

/// A cell of the table: seen in a process that has everything, and in one that has nothing but the creator.
fn cell(creator: Creator, model: ThreadingModel) -> Result<String, CallError> {
    let class = format!("{model:?}");
    let world = World::new(creator, false)?;
    let seen = world.see(creator, &class)?;
    let alone = World::new(creator, true)?.see(creator, &class)?;

    let creator_s_thread = world.as_creator(creator, || thread::current().id())?;
    if seen.made_on == creator_s_thread {
        let made = if alone.host_made { " (host MTA if none)" } else { "" };
        return Ok(format!("{}{made}", reached(&seen)));
    }
    let place = match seen.home {
        Current { kind: Some(Kind::Sta), main: true, .. } => "main STA",
        Current { kind: Some(Kind::Sta), .. } => "STA",
        Current { kind: Some(Kind::Mta), .. } => "MTA",
        _ => "nowhere",
    };
    let host = |host: bool, text| if host { text } else { "" };
    let (always, if_none) = (seen.host_made, alone.host_made && !seen.host_made);
    Ok(format!("{}{place}{}, {}", host(always, "host "), host(if_none, " (host if none)"), reached(&seen)))
}

/// Who calls an object that the main STA has created, and how.
fn called_from(caller: Creator, class: &str) -> Result<String, CallError> {
    let world = World::new(caller, false)?;
    let create = || world.process.create_instance::<Object>(class);
    let object = world.as_creator(Creator::MainSta, create)??;
    world.as_creator(caller, || what_it_saw(&object))??;
    Ok(match world.last_route() {
        Some(Route::Direct) => "direct",
        Some(Route::FreeThreaded) => "direct, free-threaded",
        _ => "proxy",
    }
    .to_owned())
}

fn tables() -> Result<String, CallError> {
    let mut created = Table::new(["creator".to_owned()].into_iter().chain(MODELS.map(|model| format!("{model:?}"))));
    for creator in [Creator::MainSta, Creator::AnotherSta, Creator::Mta, Creator::NoApartment] {
        let cells = MODELS.map(|model| cell(creator, model)).into_iter().collect::<Result<Vec<_>, _>>()?;
        created.row([creator.to_string()].into_iter().chain(cells));
    }
    let both = ["Both", "Both, free-threaded"];
    let mut called = Table::new(["caller".to_owned()].into_iter().chain(both.map(str::to_owned)));
    for caller in [Creator::MainSta, Creator::AnotherSta, Creator::Mta] {
        let cells = both.map(|class| called_from(caller, class)).into_iter().collect::<Result<Vec<_>, _>>()?;
        called.row([caller.to_string()].into_iter().chain(cells));
    }
    Ok(format!(
        "Where an object lives, by who creates it and the threading model of its class:\n\n{created}\n{LEGEND}\n\
         How an object of a Both class is called that was created in the main STA:\n\n{called}"
    ))
}

fn main() -> ExitCode {
    match tables() {
        Ok(text) => {
            // Whoever has closed the pipe has seen enough.
            let _ = io::stdout().write_all(text.as_bytes());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("threading_models: {error}");
            ExitCode::FAILURE
        }
    }
}
