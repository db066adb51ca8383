//! Classes: hosts that several need at once, servers that are loaded and unloaded while they are used.
#![cfg(loom)]

use apartment::{Apartment, CallError, Class, Process, Proxy, Server, implements};
use apartment_models::{Borrowed, Model, Seen};
use loom::thread;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

/// What a server's classes run. It is loaded while the number is odd, and loom fails the model if it is loaded or unloaded
/// while somebody runs it.
#[derive(Clone)]
struct Code(Arc<Borrowed>);

impl Code {
    fn new() -> Self {
        Self(Arc::new(Borrowed::new()))
    }

    fn load(&self) -> Result<Loaded, Infallible> {
        self.0.add();
        Ok(Loaded(self.clone()))
    }

    fn run(&self) {
        assert_eq!(self.0.get() % 2, 1, "a server's code runs while it is loaded");
    }
}

/// Its drop unloads.
struct Loaded(Code);

impl Drop for Loaded {
    fn drop(&mut self) {
        self.0.0.add();
    }
}

/// An object whose making and whose destructor are its server's code.
struct Object(Code);
implements!(Object);

impl Drop for Object {
    fn drop(&mut self) {
        self.0.run();
    }
}

fn process_with_a_server(code: &Code) -> Process {
    let process = Process::new();
    let (loads, makes) = (code.clone(), code.clone());
    let class = Class::both(move || {
        makes.run();
        Object(makes.clone())
    });
    process.register_server(Server::new("server").class("class", class).around(move || loads.load())).unwrap();
    process
}

fn create(process: &Process) -> Result<Proxy<Object>, CallError> {
    process.create_instance::<Object>("class")
}

/// Two STAs create the same class at once: each has its object at home, of a server that was loaded once.
#[test]
fn two_stas_create_a_class_at_once() {
    Model::new("two STAs create a class at once").preemptions(4).check(|| {
        let code = Code::new();
        let process = process_with_a_server(&code);
        let other = thread::spawn({
            let process = process.clone();
            move || {
                let here = process.sta("other").enter().unwrap();
                assert_eq!(create(&process).unwrap().apartment().as_ref(), Some(here.apartment()));
                drop(here);
            }
        });
        let here = process.sta("one").enter().unwrap();
        assert_eq!(create(&process).unwrap().apartment().as_ref(), Some(here.apartment()));
        drop(here);
        other.join().unwrap();
        assert_eq!(code.0.get(), 1, "loaded once");
    });
}

/// An object is made, used and dropped while its server is asked whether it can be unloaded: no code of it ever runs
/// unloaded.
#[test]
fn creation_against_unloading() {
    let seen = Seen::new(&["in use", "refused", "unloaded before", "unloaded after"]);
    let see = seen.clone();
    Model::new("a creation against unloading").threads(2).unbounded().check(move || {
        let code = Code::new();
        let process = process_with_a_server(&code);
        let main = process.sta("main").enter().unwrap();
        drop(create(&process).unwrap());
        let creator = thread::spawn({
            let (process, code) = (process.clone(), code.clone());
            move || {
                let here = process.sta("creator").enter().unwrap();
                let outcome = match create(&process) {
                    Ok(object) => {
                        object.call(|object| object.0.run()).unwrap();
                        // Nobody loads or unloads it while there is the object.
                        let loaded = code.0.get();
                        drop(object);
                        if loaded == 1 { "made" } else { "made of the second loading" }
                    }
                    Err(error) => {
                        assert!(matches!(error, CallError::ServerStopping));
                        "refused"
                    }
                };
                drop(here);
                outcome
            }
        });
        let freed = process.free_unused_servers(Duration::ZERO).unwrap().len();
        let outcome = creator.join().unwrap();
        see.saw(match (outcome, freed) {
            ("made", 0) => "in use",
            ("made", 1) => "unloaded after",
            ("made of the second loading", 1) => "unloaded before",
            ("refused", 1) => "refused",
            other => panic!("{other:?}"),
        });
        assert_eq!(code.0.get() % 2, u32::from(outcome != "refused" && (outcome, freed) != ("made", 1)));
        drop(main);
    });
    seen.all();
}

struct Plain;
implements!(Plain);

fn home(process: &Process) -> Apartment {
    process.create_instance::<Plain>("class").unwrap().apartment().unwrap()
}

/// Two threads need the host STA at once: one is made, and both have their objects there.
#[test]
fn two_creations_make_one_host() {
    Model::new("two creations make one host").preemptions(2).check(|| {
        let process = Process::new();
        process.register_class("class", Class::apartment(|| Plain)).unwrap();
        let other = thread::spawn({
            let process = process.clone();
            move || home(&process)
        });
        let host = home(&process);
        assert_eq!(other.join().unwrap(), host);
        host.quit();
    });
}

/// An object of a Single class is created while the main STA leaves: it is made there before, or in a host afterwards, and
/// the creator is not left waiting.
#[test]
fn creation_against_the_end_of_the_main_sta() {
    let seen = Seen::new(&["in the main STA", "in a host"]);
    let see = seen.clone();
    Model::new("a creation against the end of the main STA").preemptions(4).check(move || {
        let process = Process::new();
        process.register_class("class", Class::single(|| Plain)).unwrap();
        let main = process.sta("main").enter().unwrap();
        let creator = thread::spawn({
            let process = process.clone();
            move || {
                let home = home(&process);
                if home.name() == "main" {
                    return "in the main STA";
                }
                home.quit();
                "in a host"
            }
        });
        drop(main);
        see.saw(creator.join().unwrap());
    });
    seen.all();
}
