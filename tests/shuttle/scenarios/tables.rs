//! The global interface table, and classes that need a host.

use super::Scenario;
use super::common::{Count, Homely, join, start};
use crate::seen::saw;
use apartment::{CallError, Class, Process, Server, implements};
use shuttle::thread;
use std::time::Duration;

pub(super) const ALL: &[Scenario] = &[
    Scenario {
        name: "table_of_objects",
        threads: 8,
        rules: "MA-6, MA-8, LT-1",
        outcomes: &["had", "revoked"],
        program: table_of_objects,
    },
    Scenario {
        name: "classes_that_need_a_host",
        threads: 9,
        rules: "CL-1 to CL-3, CL-5, LT-8",
        outcomes: &["unloaded", "in use"],
        program: classes_that_need_a_host,
    },
];

/// Three register objects of theirs, get all that are there, and revoke; what one has had can be called, whoever revokes it,
/// and each object goes once, at home.
fn table_of_objects() {
    let process = Process::new();
    let table = process.global_table();
    let drops = Count::default();
    let homes: Vec<_> = (0..2).map(|_| process.sta("home").spawn().unwrap()).collect();
    let cookies: Vec<_> = homes
        .iter()
        .map(|home| {
            let drops = drops.clone();
            let object = home.create(move || Homely::new(&drops)).unwrap();
            table.register(&object).unwrap()
        })
        .collect();
    let getters = start(3, {
        let (table, cookies) = (table.clone(), cookies.clone());
        move |number| {
            for turn in 0..2 {
                match table.get(&cookies[(number + turn) % 2]) {
                    Ok(object) => {
                        // Also after it was revoked.
                        object.call(|_| ()).unwrap();
                        saw("had");
                    }
                    Err(error) => {
                        assert!(matches!(error, CallError::InvalidCookie), "{error}");
                        saw("revoked");
                    }
                }
            }
        }
    });
    let revokers = start(2, {
        let (table, cookies) = (table.clone(), cookies.clone());
        move |number| {
            let revoked = [number, 1 - number].map(|at| table.revoke(&cookies[at]).is_ok());
            revoked.into_iter().filter(|revoked| *revoked).count()
        }
    });
    join(getters);
    assert_eq!(join(revokers).into_iter().sum::<usize>(), 2, "each is revoked once");
    drop(homes);
    assert_eq!(drops.get(), 2);
}

/// What the server's classes make. While there is one, its server is loaded.
struct Object {
    loaded: Count,
    unloaded: Count,
    home: thread::ThreadId,
}
implements!(Object);

impl Object {
    fn is_loaded(&self) {
        assert!(self.loaded.get() > self.unloaded.get(), "a server's code runs while it is loaded");
    }
}

impl Drop for Object {
    fn drop(&mut self) {
        self.is_loaded();
        assert_eq!(thread::current().id(), self.home);
    }
}

struct Unloads(Count);

impl Drop for Unloads {
    fn drop(&mut self) {
        self.0.add();
    }
}

/// Four threads in no apartment create instances that need a host STA, two more ask whether the server can be unloaded.
fn classes_that_need_a_host() {
    let process = Process::new();
    let mta = process.mta().threads(1).spawn().unwrap();
    let (loaded, unloaded) = (Count::default(), Count::default());
    let makes = {
        let (loaded, unloaded) = (loaded.clone(), unloaded.clone());
        move || Object { loaded: loaded.clone(), unloaded: unloaded.clone(), home: thread::current().id() }
    };
    let loads = {
        let (loaded, unloaded) = (loaded.clone(), unloaded.clone());
        move || {
            loaded.add();
            Ok::<_, std::convert::Infallible>(Unloads(unloaded.clone()))
        }
    };
    let server = Server::new("server").class("class", Class::apartment(makes)).around(loads);
    process.register_server(server).unwrap();
    let creators = start(4, {
        let process = process.clone();
        move |_| {
            let object = loop {
                match process.create_instance::<Object>("class") {
                    Ok(object) => break object,
                    Err(error) => {
                        assert_eq!(error.hresult(), 0x8008_0008, "{error}");
                        thread::yield_now();
                    }
                }
            };
            object.call(Object::is_loaded).unwrap();
            object.apartment().unwrap().id()
        }
    });
    let unloaders = start(2, {
        let process = process.clone();
        move |_| process.free_unused_servers(Duration::ZERO).unwrap()
    });
    let homes = join(creators);
    assert!(homes.windows(2).all(|pair| pair[0] == pair[1]), "one host");
    join(unloaders).into_iter().for_each(drop);
    saw(if unloaded.get() > 0 { "unloaded" } else { "in use" });
    drop(mta);
    assert!(process.end(Duration::from_secs(1)).unwrap().still_in.is_empty());
}
