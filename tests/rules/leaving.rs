//! Creations while apartments end, and the end of a process while others are busy.

use crate::support::{Gate, Log, at, forget, join, must_end, recorded};
use apartment::{CallError, Class, EndHandler, Entered, Process, Proxy, Server, WaitFor, What, current, implements};
use std::error::Error;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::Duration;

const DISCONNECTED: u32 = 0x8001_0108;
const SERVER_STOPPING: u32 = 0x8008_0008;
const SYS_CALL_FAILED: u32 = 0x8001_0100;

struct Object;
implements!(Object);

/// Says something when it is dropped.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

fn classes(process: &Process) {
    process.register_class("Single", Class::single(|| Object)).unwrap();
    process.register_class("Apartment", Class::apartment(|| Object)).unwrap();
    process.register_class("Free", Class::free(|| Object)).unwrap();
    process.register_class("Both", Class::both(|| Object)).unwrap();
}

#[test]
fn cl_3_a_creation_waits_for_no_end_that_waits_for_what_is_buried_below_it() {
    must_end(|| {
        let (process, recording) = recorded();
        classes(&process);
        let mta = process.mta().spawn().unwrap();
        let sta = process.sta("sta").spawn().unwrap();
        let there = sta.create(|| ()).unwrap();
        let shared = mta.create(|| ()).unwrap();
        let (gate, below) = (Gate::new(), there.clone());
        let stop = gate.stop();
        // A thread of the pool calls the STA, which waits there for another, and serves meanwhile.
        let other = process.sta("other").spawn().unwrap();
        let elsewhere = other.create(|| ()).unwrap();
        let caller = process.sta("caller").spawn().unwrap();
        let from = caller.create(|| ()).unwrap();
        from.call(move |()| {
            shared
                .post(move |()| below.call(move |()| elsewhere.call(move |()| stop.wait()).unwrap()).unwrap())
                .unwrap()
        })
        .unwrap();
        gate.met();
        mta.quit();
        let creator = {
            let process = process.clone();
            thread::spawn(move || there.call(|()| process.create_instance::<Object>("Free").map(drop)).unwrap())
        };
        recording.until(at(sta.apartment(), |what| matches!(what, What::Placed(_))));
        gate.open();
        assert_eq!(join(creator).unwrap_err().hresult(), DISCONNECTED);
        drop((mta, sta, other, caller));
    });
}

#[test]
fn cl_3_a_creation_waits_for_no_end_that_joins_its_own_apartment() {
    must_end(|| {
        let (process, _) = recorded();
        classes(&process);
        let main = process.sta("main").spawn().unwrap();
        let worker = process.sta("worker").spawn().unwrap();
        let job = worker.create(|| ()).unwrap();
        let gate = Gate::new();
        let (stop, log) = (gate.stop(), Log::new());
        let (told, other) = (log.clone(), process.clone());
        job.post(move |()| {
            stop.wait();
            told.add(other.create_instance::<Object>("Single").map(drop).map_err(|error| error.hresult()));
        })
        .unwrap();
        gate.met();
        // The main STA owns its worker: at its end it waits for that.
        let mut worker = Some(worker);
        let owner = main.create(move || OnDrop(move || drop(worker.take()))).unwrap();
        main.quit();
        gate.open();
        drop((main, owner));
        assert_eq!(log.take(), [Err(DISCONNECTED)]);
    });
}

#[test]
fn cl_3_a_creation_under_way_stops_waiting_for_an_end_that_joins_its_own_apartment() {
    must_end(|| {
        let (process, recording) = recorded();
        classes(&process);
        let main = process.sta("main").spawn().unwrap();
        let worker = process.sta("worker").spawn().unwrap();
        let job = worker.create(|| ()).unwrap();
        let (closing, gate) = (Gate::new(), Gate::new());
        let (hold, stop, log) = (closing.stop(), gate.stop(), Log::new());
        let (told, other) = (log.clone(), process.clone());
        job.post(move |()| {
            stop.wait();
            told.add(other.create_instance::<Object>("Single").map(drop).map_err(|error| error.hresult()));
        })
        .unwrap();
        gate.met();
        let at_worker = worker.apartment().clone();
        let mut worker = Some(worker);
        let owner = main
            .create(move || {
                OnDrop(move || {
                    hold.wait();
                    drop(worker.take());
                })
            })
            .unwrap();
        main.quit();
        closing.met();
        gate.open();
        recording.until(at(&at_worker, |what| matches!(what, What::WaitBegan { on: WaitFor::Thread, .. })));
        closing.open();
        drop((main, owner));
        assert_eq!(log.take(), [Err(DISCONNECTED)]);
    });
}

#[test]
fn cl_3_a_creation_of_the_pool_waits_for_no_end_that_joins_the_mta() {
    must_end(|| {
        let (process, recording) = recorded();
        classes(&process);
        let main = process.sta("main").spawn().unwrap();
        let caller = process.sta("caller").spawn().unwrap();
        let mta = process.mta().spawn().unwrap();
        let job = mta.create(|| ()).unwrap();
        let (closing, gate) = (Gate::new(), Gate::new());
        let (hold, stop, log) = (closing.stop(), gate.stop(), Log::new());
        let (told, other) = (log.clone(), process.clone());
        let from = caller.create(|| ()).unwrap();
        from.call(|()| {
            job.post(move |()| {
                stop.wait();
                told.add(other.create_instance::<Object>("Single").map(drop).map_err(|error| error.hresult()));
            })
            .unwrap()
        })
        .unwrap();
        gate.met();
        let at_mta = mta.apartment().clone();
        let mut mta = Some(mta);
        let owner = main
            .create(move || {
                OnDrop(move || {
                    hold.wait();
                    drop(mta.take());
                })
            })
            .unwrap();
        main.quit();
        closing.met();
        gate.open();
        recording.until(at(&at_mta, |what| matches!(what, What::WaitBegan { on: WaitFor::Thread, .. })));
        closing.open();
        drop((main, owner));
        assert_eq!(log.take(), [Err(DISCONNECTED)]);
    });
}

// A server is loaded on a thread of its own, and Windows lets none begin while another's locals are destroyed.
#[cfg(not(windows))]
#[test]
fn cl_5_a_loading_that_would_wait_for_itself_is_a_deadlock_while_the_thread_s_locals_go() {
    use std::cell::RefCell;
    const DEADLOCK: u32 = 0x8004_E005;

    struct Late(Process, Log<Result<(), u32>>);
    impl Drop for Late {
        fn drop(&mut self) {
            self.1.add(self.0.create_instance::<Object>("Both").map(drop).map_err(|error| error.hresult()));
        }
    }
    thread_local! {
        static LATE: RefCell<Option<Late>> = const { RefCell::new(None) };
    }
    must_end(|| {
        let process = Process::new();
        let inner = process.clone();
        let nested = Log::new();
        let told = nested.clone();
        let server = Server::new("server").class("Both", Class::both(|| Object)).around(move || {
            drop(inner.free_threaded(7).unwrap());
            let made = inner.create_instance::<Object>("Both").map(drop);
            told.add(made.map_err(|error| error.hresult()));
            Ok::<_, io::Error>(())
        });
        process.register_server(server).unwrap();
        let log = Log::new();
        let told = log.clone();
        join(thread::spawn(move || {
            LATE.with(|late| *late.borrow_mut() = Some(Late(process.clone(), told)));
            // Its local is there later than ours.
            let _ = process.current();
            let sta = process.sta("x").enter().unwrap();
            drop(sta);
        }));
        assert_eq!(log.take(), [Ok(())]);
        assert_eq!(nested.take(), [Err(DEADLOCK)]);
    });
}

#[test]
fn ap_10_a_hook_that_needs_the_apartment_it_begins_is_told_so() {
    must_end(|| {
        let process = Process::new();
        classes(&process);
        let inner = process.clone();
        let spawned = process.sta("main").around(move || inner.create_instance::<Object>("Single").map(drop)).spawn();
        let error = spawned.unwrap_err();
        assert_eq!(error.hresult(), SYS_CALL_FAILED);
        assert!(error.source().unwrap().to_string().contains("waits for the start of main"), "{error:?}");
    });
}

#[test]
fn ap_10_a_hook_of_hosts_that_needs_its_host_is_told_so() {
    must_end(|| {
        let cell = Arc::new(std::sync::OnceLock::<Process>::new());
        let inner = Arc::downgrade(&cell);
        let process = Process::builder()
            .around_hosts(move || {
                inner.upgrade().unwrap().get().unwrap().create_instance::<Object>("Apartment").map(drop)
            })
            .build();
        cell.set(process.clone()).unwrap();
        classes(&process);
        let error = process.create_instance::<Object>("Apartment").unwrap_err();
        assert_eq!(error.hresult(), SYS_CALL_FAILED);
        assert!(error.source().unwrap().to_string().contains("waits for the start of host STA"), "{error:?}");
        process.end(Duration::MAX).unwrap();
    });
}

struct Filter;
impl apartment::MessageFilter for Filter {}

#[test]
fn ap_10_what_was_made_before_the_filter_could_not_be_goes_at_home() {
    must_end(|| {
        let (process, recording) = recorded();
        classes(&process);
        let log = Log::new();
        let told = log.clone();
        process
            .register_class(
                "Bad",
                Class::apartment(move || {
                    let told = told.clone();
                    Bad(told)
                }),
            )
            .unwrap();
        let inner = process.clone();
        let (kept, keeps) = std::sync::mpsc::channel();
        let made = process
            .sta("x")
            .filter(move || {
                kept.send(inner.create_instance::<Bad>("Bad").unwrap()).unwrap();
                if true {
                    panic!("no filter");
                }
                Filter
            })
            .spawn();
        assert_eq!(made.unwrap_err().hresult(), 0x8001_0100);
        let object = keeps.recv().unwrap();
        assert!(object.call(|_| ()).is_err());
        assert_eq!(log.take(), [Some("apartment 1".to_owned())], "at home");
        assert!(recording.events().iter().any(|event| matches!(event.what, What::ObjectDropped { .. })));
    });
}

struct Bad(Log<Option<String>>);
implements!(Bad);
impl Drop for Bad {
    fn drop(&mut self) {
        self.0.add(current().apartment.map(|a| a.to_string()));
        panic!("a bad destructor");
    }
}

#[test]
fn ap_10_what_was_made_in_a_pool_whose_first_thread_fails_goes() {
    must_end(|| {
        let (process, _recording) = recorded();
        classes(&process);
        let log = Log::new();
        let told = log.clone();
        process.register_class("Tell", Class::free(move || Tell(told.clone()))).unwrap();
        let gate = Gate::new();
        let stop = gate.stop();
        let mta = {
            let process = process.clone();
            thread::spawn(move || {
                process
                    .mta()
                    .around(move || {
                        stop.wait();
                        Err::<(), _>("no")
                    })
                    .spawn()
                    .map(drop)
            })
        };
        gate.met();
        let object = process.create_instance::<Tell>("Tell").unwrap();
        let apartment = object.apartment();
        gate.open();
        join(mta).unwrap_err();
        assert!(object.call(|_| ()).is_err());
        drop(object);
        assert_eq!(log.take().len(), 1, "it is dropped though somebody still knows the apartment");
        drop(apartment);
    });
}

struct Tell(Log<Option<String>>);
implements!(Tell);
impl Drop for Tell {
    fn drop(&mut self) {
        self.0.add(current().apartment.map(|a| a.to_string()));
    }
}

#[test]
fn lt_8_a_second_mta_that_is_refused_is_not_waited_for() {
    must_end(|| {
        for _ in 0..500 {
            let process = Process::new();
            let _mta = process.mta().spawn().unwrap();
            let other = {
                let process = process.clone();
                thread::spawn(move || while let Err(CallError::NotSupported { .. }) = process.mta().spawn() {})
            };
            let ended = process.end(Duration::from_millis(2000)).unwrap();
            assert!(ended.still_in.is_empty(), "{ended:?}");
            join(other);
        }
    });
}

struct Asks(Log<&'static str>);
impl EndHandler for Asks {
    fn query_end(&self) -> bool {
        self.0.add("asked");
        true
    }
    fn ending(&self) {
        self.0.add("ending");
    }
}

#[test]
fn lt_8_the_own_handler_is_asked_also_in_a_call_that_is_cancelled() {
    must_end(|| {
        let (process, _) = recorded();
        let log = Log::new();
        let told = log.clone();
        let here: Entered = process.sta("here").end_handler(move || Asks(told)).enter().unwrap();
        let own: Proxy<()> = here.create(|| ()).unwrap();
        let clock = process.clock().clone();
        let mut result = None;
        let _late = own.within(Duration::from_secs(1)).call(|()| {
            clock.advance(Duration::from_secs(2));
            result = Some(process.end(Duration::from_secs(9)).map(|ended| ended.still_in.len()));
        });
        drop(here);
        assert!(matches!(result, Some(Ok(0))), "{result:?}");
        assert_eq!(log.take(), ["asked", "ending"]);
    });
}

#[test]
fn lt_8_nothing_of_a_process_stays_behind_its_end() {
    must_end(|| {
        let process = Process::new();
        let (gone, tell) = std::sync::mpsc::channel::<()>();
        for (id, model) in ["Single", "Apartment", "Free", "Both"].into_iter().enumerate() {
            let token = gone.clone();
            let make = move || {
                let _ = &token;
                Object
            };
            let class = match id {
                0 => Class::single(make),
                1 => Class::apartment(make),
                2 => Class::free(make),
                _ => Class::both(make),
            };
            process.register_class(model, class).unwrap();
        }
        drop(gone);
        let objects: Vec<_> =
            ["Single", "Apartment", "Free", "Both"].map(|id| process.create_instance::<Object>(id).unwrap()).into();
        let ended = process.end(Duration::MAX).unwrap();
        assert!(ended.still_in.is_empty());
        drop(process);
        tell.recv().unwrap_err();
        drop(objects);
    });
}

#[test]
fn lt_5_two_that_ask_one_inside_and_callers_all_end_whatever_the_process_does() {
    must_end(|| {
        for round in 0..50 {
            let process = Process::new();
            let mta = process.mta().spawn().unwrap();
            let sta = process.sta("a").spawn().unwrap();
            let objects = [0, 1].map(|n| if n == 0 { sta.create(|| ()).unwrap() } else { mta.create(|| ()).unwrap() });
            let threads: Vec<_> = (0..6)
                .map(|n| {
                    let objects = objects.clone();
                    thread::spawn(move || {
                        for object in &objects {
                            if n < 2 {
                                object.disconnect().unwrap();
                                assert!(object.call(|()| ()).is_err());
                            } else if n == 2 {
                                let o = object.clone();
                                let _ = object.call(|()| {
                                    o.disconnect().unwrap();
                                    let _ = o.call(|()| ());
                                });
                                assert!(object.call(|()| ()).is_err());
                            } else {
                                let _ = object.post(|()| ());
                                while object.call(|()| ()).is_ok() {}
                            }
                        }
                    })
                })
                .collect();
            if round % 2 == 0 {
                process.end(Duration::MAX).unwrap();
            }
            for thread in threads {
                join(thread);
            }
            drop(objects);
        }
    });
}

#[test]
fn cl_3_creations_from_everywhere_end_with_their_process() {
    must_end(|| {
        for round in 0..30 {
            let process = Process::new();
            classes(&process);
            let main = process.sta("main").spawn().unwrap();
            let threads: Vec<_> = (0..4)
                .map(|n| {
                    let process = process.clone();
                    thread::spawn(move || {
                        let entered = if n == 1 { process.sta("e").enter().ok() } else { None };
                        let usage = if n == 2 { process.mta_usage().ok() } else { None };
                        for _ in 0..30 {
                            for model in ["Single", "Apartment", "Free", "Both"] {
                                match process.create_instance::<Object>(model) {
                                    Ok(object) => drop(object.call(|_| ())),
                                    Err(CallError::ServerStopping) => {
                                        drop((entered, usage));
                                        return;
                                    }
                                    Err(error) => panic!("{model}: {error}"),
                                }
                            }
                        }
                        drop((entered, usage));
                    })
                })
                .collect();
            if round % 3 == 0 {
                drop(main);
            } else if round % 3 == 1 {
                main.quit();
                if let Some(main) = process.main_sta() {
                    main.quit();
                }
                let _ = process.free_unused_servers(Duration::ZERO);
                process.end(Duration::MAX).unwrap();
            } else {
                let _ = process.free_unused_servers(Duration::ZERO);
                process.end(Duration::MAX).unwrap();
            }
            for thread in threads {
                join(thread);
            }
            process.end(Duration::MAX).unwrap();
        }
    });
}

#[test]
fn lt_8_owned_handles_may_be_dropped_meanwhile() {
    must_end(|| {
        for _ in 0..20 {
            let process = Process::new();
            let stas: Vec<_> = (0..4).map(|n| process.sta(n.to_string()).spawn().unwrap()).collect();
            let mta = process.mta().spawn().unwrap();
            let p = process.clone();
            let ending = thread::spawn(move || p.end(Duration::MAX).unwrap().still_in.len());
            for sta in stas {
                thread::spawn(move || drop(sta));
            }
            drop(mta);
            assert_eq!(join(ending), 0);
        }
    });
    // Each apartment's object owns the handle of the next.
    must_end(|| {
        for forward in [false, true] {
            let process = Process::new();
            let mut stas: Vec<_> = (0..4).map(|n| process.sta(n.to_string()).spawn().unwrap()).collect();
            if forward {
                stas.reverse();
            }
            let mut inner = stas.pop().unwrap();
            while let Some(outer) = stas.pop() {
                let mut held = Some(inner);
                let object = outer.create(move || OnDrop(move || drop(held.take()))).unwrap();
                forget(object);
                inner = outer;
            }
            assert!(process.end(Duration::MAX).unwrap().still_in.is_empty());
            drop(inner);
        }
    });
}

#[test]
fn cl_5_a_say_may_use_the_server_and_then_it_is_in_use() {
    must_end(|| {
        let process = Arc::new(Process::new());
        let (inner, log) = (Arc::downgrade(&process), Log::new());
        let (told, first) = (log.clone(), AtomicBool::new(true));
        let server = Server::new("server").class("Both", Class::both(|| Object)).can_unload(move || {
            let inner = inner.upgrade().unwrap();
            told.add(inner.free_unused_servers(Duration::ZERO));
            if first.swap(false, SeqCst) {
                drop(inner.create_instance::<Object>("Both").unwrap());
            }
            true
        });
        process.register_server(server).unwrap();
        let here = process.sta("main").enter().unwrap();
        drop(process.create_instance::<Object>("Both").unwrap());
        assert_eq!(process.free_unused_servers(Duration::ZERO).unwrap(), [""; 0], "it made an object meanwhile");
        assert_eq!(process.free_unused_servers(Duration::ZERO).unwrap(), ["server"]);
        for inside in log.take() {
            assert_eq!(inside.unwrap(), [""; 0], "it is asked once at a time");
        }
        drop(here);
    });
}

#[test]
fn cl_5_what_the_loading_gave_finds_its_server_stopping() {
    must_end(|| {
        let process = Arc::new(Process::new());
        let (inner, log) = (Arc::downgrade(&process), Log::new());
        let told = log.clone();
        let class = Class::both(|| Object).free_threaded();
        let server = Server::new("server").class("Both", class).around(move || {
            let (inner, told) = (inner.clone(), told.clone());
            Ok::<_, io::Error>(OnDrop(move || {
                let inner = inner.upgrade().unwrap();
                told.add(inner.create_instance::<Object>("Both").map(drop).map_err(|error| error.hresult()));
                told.add(inner.class_factory("Both").map(drop).map_err(|error| error.hresult()));
                told.add(inner.free_unused_servers(Duration::ZERO).map(drop).map_err(|error| error.hresult()));
            }))
        });
        process.register_server(server).unwrap();
        drop(process.create_instance::<Object>("Both").unwrap());
        assert_eq!(process.free_unused_servers(Duration::ZERO).unwrap(), ["server"]);
        assert_eq!(log.take(), [Err(SERVER_STOPPING), Err(SERVER_STOPPING), Ok(())]);
        process.end(Duration::MAX).unwrap();
    });
}

#[test]
fn lt_8_no_server_is_loaded_for_a_factory_once_the_end_has_begun() {
    must_end(|| {
        let process = Process::new();
        let loaded = Arc::new(AtomicBool::new(false));
        let told = loaded.clone();
        let server = Server::new("server").class("Both", Class::both(|| Object)).around(move || {
            told.store(true, SeqCst);
            Ok::<_, io::Error>(())
        });
        process.register_server(server).unwrap();
        process.end(Duration::MAX).unwrap();
        assert_eq!(process.class_factory("Both").unwrap_err().hresult(), SERVER_STOPPING);
        assert!(!loaded.load(SeqCst));
    });
}

#[test]
fn cl_5_a_main_sta_that_begins_with_the_asking_thread_is_as_none() {
    // The main STA begins with this thread: it is as none.
    must_end(|| {
        let process = Process::new();
        process.register_class("Both", Class::both(|| Object).free_threaded()).unwrap();
        drop(process.create_instance::<Object>("Both").unwrap());
        let (inner, log) = (process.clone(), Log::new());
        let told = log.clone();
        let hook = move || {
            told.add(inner.free_unused_servers(Duration::ZERO).unwrap());
            Ok::<_, io::Error>(())
        };
        let main = process.sta("main").around(hook).spawn().unwrap();
        assert_eq!(log.take(), [["Both"]]);
        drop(main);
        process.end(Duration::MAX).unwrap();
    });
}

#[test]
fn lt_8_it_may_be_ended_from_where_an_apartment_begins_and_ends() {
    struct Ends(Process, Sender<usize>);
    impl Drop for Ends {
        fn drop(&mut self) {
            self.1.send(self.0.end(Duration::MAX).unwrap().still_in.len()).unwrap();
        }
    }
    impl apartment::MessageFilter for Ends {}
    // A filter's destructor.
    must_end(|| {
        let process = Process::new();
        let (ended, told) = channel();
        let inner = process.clone();
        let sta = process.sta("ends").filter(move || Ends(inner, ended)).spawn().unwrap();
        let other = process.sta("other").spawn().unwrap();
        drop(sta);
        assert_eq!(told.recv().unwrap(), 0);
        drop(other);
    });
    // A filter's maker.
    must_end(|| {
        let process = Process::new();
        let inner = process.clone();
        let other = process.sta("other").spawn().unwrap();
        let maker = move || {
            assert!(inner.end(Duration::MAX).unwrap().still_in.is_empty());
            Filter
        };
        process.sta("begins").filter(maker).spawn().unwrap().join().unwrap();
        drop(other);
    });
    // An object's destructor, and a post in the MTA: each apartment then ends by itself.
    must_end(|| {
        let process = Process::new();
        let (ended, told) = channel();
        let (mta, sta) = (process.mta().spawn().unwrap(), process.sta("sta").spawn().unwrap());
        let (inner, object) = (process.clone(), mta.create(|| ()).unwrap());
        let at_sta = sta.create(|| ()).unwrap();
        let post = move || object.post(move |()| ended.send(inner.end(Duration::MAX).unwrap().still_in.len()).unwrap());
        at_sta.call(|()| post().unwrap()).unwrap();
        assert_eq!(told.recv().unwrap(), 0);
        mta.join().unwrap();
        sta.join().unwrap();
    });
    must_end(|| {
        let process = Process::new();
        let (ended, told) = channel();
        let (inner, sta) = (process.clone(), process.sta("sta").spawn().unwrap());
        drop(sta.create(move || Ends(inner, ended)).unwrap());
        assert_eq!(told.recv().unwrap(), 0);
        sta.join().unwrap();
    });
}

#[test]
fn cl_3_a_factory_runs_once_though_the_mta_is_asked_to_quit_meanwhile() {
    must_end(|| {
        let (process, _) = recorded();
        let gate = Gate::new();
        let (stop, made) = (gate.stop(), Log::new());
        let log = made.clone();
        let factory = move || {
            log.add(current().implicit);
            stop.wait();
            Object
        };
        process.register_class("Free", Class::free(factory)).unwrap();
        let mta = process.mta().spawn().unwrap();
        let creator = {
            let process = process.clone();
            thread::spawn(move || process.create_instance::<Object>("Free").map(drop))
        };
        gate.met();
        mta.quit();
        gate.open();
        join(creator).unwrap();
        assert_eq!(made.take(), [true]);
        mta.join().unwrap();
    });
}
