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

/// What was seen of an object that was made and called.
struct Seen {
    made_on: ThreadId,
    home: Current,
    called_on: ThreadId,
    caller: ThreadId,
    /// How the call went, as the recording has it.
    route: Option<Route>,
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

    /// What `creator` sees of an object of that class that it has just created, and whether a host was made for it.
    fn create(&self, creator: Creator, class: &str) -> Result<(Seen, bool), CallError> {
        let hosts = self.hosts();
        let seen = self.as_creator(creator, || {
            // An STA's object need not be `Send`, so it is another type than the MTA's.
            match class {
                "Single" | "Apartment" => self.call(&self.process.create_instance::<Bound>(class)?),
                _ => self.call(&self.process.create_instance::<Object>(class)?),
            }
        })??;
        Ok((seen, self.hosts() > hosts))
    }

    /// Calls the object from this thread.
    fn call<T: Saw + 'static>(&self, object: &Proxy<T>) -> Result<Seen, CallError> {
        let (made_on, home, called_on) = object.call(|object| {
            let object = object.saw();
            (object.made_on, object.home.clone(), thread::current().id())
        })?;
        Ok(Seen { made_on, home, called_on, caller: thread::current().id(), route: self.last_route() })
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

impl Seen {
    /// Where the object lives.
    fn place(&self) -> &'static str {
        match self.home {
            _ if self.made_on == self.caller => "here",
            Current { kind: Some(Kind::Sta), host: true, main: false, .. } => "host STA",
            Current { kind: Some(Kind::Sta), main: true, .. } => "main STA",
            Current { kind: Some(Kind::Sta), .. } => "some STA",
            Current { kind: Some(Kind::Mta), .. } => "MTA",
            _ => "nowhere",
        }
    }

    /// How it is called. What the recording says of it must be what the threads have seen.
    fn reached(&self) -> &'static str {
        let stays = self.called_on == self.caller;
        // Of the MTA's threads any may be the one.
        let at_home = self.home.kind == Some(Kind::Mta) || self.called_on == self.made_on;
        match self.route {
            Some(Route::Direct) if stays => "direct",
            Some(Route::FreeThreaded) if stays => "direct, free-threaded",
            Some(Route::Mailbox) if !stays && at_home => "proxy",
            _ => "called on a wrong thread",
        }
    }

    /// Whether it is as `other` is, where there may be nobody but its creator.
    fn is_like(&self, other: &Seen) -> bool {
        // The first host STA of a process that has no other STA is its main STA, too.
        let is_both = self.home.host && self.home.main && matches!(other.place(), "host STA" | "main STA");
        (self.place() == other.place() || is_both) && self.reached() == other.reached()
    }

    fn told(&self) -> String {
        match (self.place(), self.reached()) {
            ("here", "direct") => "direct".to_owned(),
            (place, reached) => format!("{place}, {reached}"),
        }
    }
}

/// A cell of the table: seen in a process that has everything, and in one that has nothing but the creator.
fn cell(creator: Creator, model: ThreadingModel) -> Result<String, CallError> {
    let class = format!("{model:?}");
    let (seen, host_made) = World::new(creator, false)?.create(creator, &class)?;
    let (alone, host_made_alone) = World::new(creator, true)?.create(creator, &class)?;
    let told = seen.told();
    if !alone.is_like(&seen) {
        return Ok(format!("{told}; alone: {}", alone.told()));
    }
    // Where there is a host whatever the process has, its name says so.
    let if_none = if host_made_alone && !host_made { " (host if none)" } else { "" };
    Ok(match told.split_once(", ") {
        Some((place, reached)) => format!("{place}{if_none}, {reached}"),
        // It needs the MTA to be there, but is made on the thread of its creator.
        None if host_made_alone => format!("{told} (host MTA if none)"),
        None => told,
    })
}

/// Who calls an object that the main STA has created, and how.
fn called_from(caller: Creator, class: &str) -> Result<String, CallError> {
    let world = World::new(caller, false)?;
    let object = world.as_creator(Creator::MainSta, || world.process.create_instance::<Object>(class))??;
    Ok(world.as_creator(caller, || world.call(&object))??.reached().to_owned())
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
