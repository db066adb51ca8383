//! How apartments end where guards, handles, hooks and destructors lie in unusual places: LT, and what AP and WA say of it.

use crate::late::when_the_locals_are_gone;
use crate::support::{
    Gate, Log, at, forget, hold, in_child, is_child, join, left_after_the_end, must_end, nth, recorded,
};
use apartment::{
    CallError, CallKind, CancelHandle, Entered, EnteredMta, IncomingCall, Kind, MessageClass, MessageFilter, Mta,
    MtaUsage, PostOptions, Process, Proxy, ServerCall, Sta, WaitFor, What, Worker, current, register_filter,
};
use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Barrier, Mutex};
use std::thread;

const DISCONNECTED: u32 = 0x8001_0108;
const REJECTED: u32 = 0x8001_0001;
const DEADLOCK: u32 = 0x8004_E005;
const SERVER_FAULT: u32 = 0x8001_0105;

thread_local! {
    static GUARD: RefCell<Option<Entered>> = const { RefCell::new(None) };
    static MTA_GUARD: RefCell<Option<EnteredMta>> = const { RefCell::new(None) };
    static HANDLE: RefCell<Option<Sta>> = const { RefCell::new(None) };
    static LAST_WORDS: RefCell<Option<LastWords>> = const { RefCell::new(None) };
}

type LastWords = OnDrop<Box<dyn FnMut()>>;

/// Says something when it is dropped.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// Runs when the thread's locals are destroyed.
fn with_the_locals(last_words: impl FnMut() + 'static) {
    LAST_WORDS.set(Some(OnDrop(Box::new(last_words))));
}

/// The body in a process of its own: if the rule were broken, it would abort.
#[track_caller]
fn alone(test: &str, body: impl FnOnce() + Send + 'static) {
    if is_child() { must_end(body) } else { in_child(&format!("endings::{test}")) }
}

fn ended(what: &What) -> bool {
    matches!(what, What::ApartmentEnded { .. })
}

fn number<T>(result: Result<T, CallError>) -> Option<u32> {
    result.err().map(|error| error.hresult())
}

// ---- Entering again while the apartment ends

#[test]
fn ap_3_entering_again_in_a_destructor_while_the_last_guard_leaves_nests() {
    must_end(|| {
        let process = Process::new();
        let log = Log::new();
        let ui = process.sta("ui").enter().unwrap();
        let again = {
            let (process, log) = (process.clone(), log.clone());
            move || log.add(number(process.sta("again").enter()))
        };
        let _object = ui.create(|| OnDrop(again)).unwrap();
        drop(ui);
        assert_eq!(log.take(), [None], "no error");
        assert_eq!(process.current().kind, None);
    });
}

#[test]
fn lt_2_a_guard_that_outlives_its_apartment_makes_nothing_and_ends_nothing() {
    must_end(|| {
        let process = Process::new();
        let slot = Rc::new(RefCell::new(None));
        let ui = process.sta("ui").enter().unwrap();
        let enters = {
            let (process, slot) = (process.clone(), Rc::clone(&slot));
            move || *slot.borrow_mut() = Some(process.sta("again").enter().unwrap())
        };
        let _object = ui.create(|| OnDrop(enters)).unwrap();
        drop(ui);
        let kept: Entered = slot.take().unwrap();
        assert_eq!(process.current().kind, None);
        let log = Log::new();
        let make = || {
            let log = log.clone();
            OnDrop(move || log.add("dropped"))
        };
        assert_eq!(number(kept.create(make)), Some(DISCONNECTED));
        assert_eq!(log.take(), ["dropped"]);
        // Nor in what the thread is next.
        let other = process.sta("other").enter().unwrap();
        assert_eq!(number(kept.create(make)), Some(DISCONNECTED));
        assert_eq!(log.take(), ["dropped"]);
        drop(kept);
        assert_eq!(process.current().name.as_deref(), Some("other"));
        assert_eq!(number(other.create(|| ())), None);
    });
}

#[test]
fn lt_2_a_call_served_while_leaving_may_try_to_enter_again_and_a_destructor_may_call_out() {
    must_end(|| {
        let process = Process::new();
        let (ui, away) = (process.sta("ui").enter().unwrap(), process.sta("away").spawn().unwrap());
        let at_away = away.create(|| 7).unwrap();
        let log = Log::new();
        let calls_out = {
            let log = log.clone();
            move || log.add(at_away.call(|n| *n).ok())
        };
        let object = ui.create(|| OnDrop(calls_out)).unwrap();
        let again = process.clone();
        object.post(move |_| drop(again.sta("again").enter())).unwrap();
        drop(ui);
        assert_eq!(log.take(), [Some(7)]);
        assert_eq!(process.current().kind, None);
    });
}

#[test]
fn lt_2_a_hook_s_guard_and_a_filter_that_enter_when_they_go_leave_the_thread_in_no_apartment() {
    struct Enters(Process, Log<&'static str>);
    impl MessageFilter for Enters {}
    impl Drop for Enters {
        fn drop(&mut self) {
            drop(self.0.sta("late").enter());
            self.1.add("gone");
        }
    }
    must_end(|| {
        let process = Process::new();
        let log = Log::new();
        let (for_hook, for_filter) = ((process.clone(), log.clone()), (process.clone(), log.clone()));
        let hook = move || Ok::<_, Infallible>(Enters(for_hook.0.clone(), for_hook.1.clone()));
        drop(process.sta("ui").around(hook).enter().unwrap());
        assert_eq!((process.current().kind, log.take()), (None, vec!["gone"]));
        drop(process.sta("ui").filter(|| Enters(for_filter.0, for_filter.1)).enter().unwrap());
        assert_eq!((process.current().kind, log.take()), (None, vec!["gone"]));
    });
}

// ---- Guards and handles in thread-locals and in objects

#[test]
fn lt_3_a_guard_in_a_thread_local_ends_its_apartment_when_the_thread_ends() {
    alone("lt_3_a_guard_in_a_thread_local_ends_its_apartment_when_the_thread_ends", || {
        for library_first in [false, true] {
            let (process, recording) = recorded();
            let owner = thread::spawn(move || {
                if library_first {
                    current();
                }
                // Touched before or after the library's own locals, it is destroyed after or before them.
                GUARD.with(|_| ());
                let ui = process.sta("ui").enter().unwrap();
                let object = ui.create(|| 7).unwrap();
                GUARD.set(Some(ui));
                object
            });
            let object = join(owner);
            recording.until(at(&object.apartment().unwrap(), ended));
            assert_eq!(number(object.call(|_| ())), Some(DISCONNECTED));
        }
    });
}

#[test]
fn lt_3_a_guard_in_a_leaked_object_of_its_apartment_ends_it_when_the_thread_ends() {
    alone("lt_3_a_guard_in_a_leaked_object_of_its_apartment_ends_it_when_the_thread_ends", || {
        let (process, recording) = recorded();
        let owner = thread::spawn(move || {
            let ui = process.sta("ui").enter().unwrap();
            let slot = ui.create(|| RefCell::new(None)).unwrap();
            *slot.local().unwrap().borrow_mut() = Some(ui);
            let apartment = slot.apartment().unwrap();
            forget(slot);
            apartment
        });
        recording.until(at(&join(owner), ended));
    });
}

#[test]
fn ap_6_an_mta_guard_in_a_thread_local_gives_its_usage_back_once() {
    alone("ap_6_an_mta_guard_in_a_thread_local_gives_its_usage_back_once", || {
        let process = Process::new();
        let mta = Arc::new(process.mta().spawn().unwrap());
        let object = mta.create(|| 7).unwrap();
        for library_first in [false, true] {
            let mta = Arc::clone(&mta);
            join(thread::spawn(move || {
                if library_first {
                    current();
                }
                MTA_GUARD.with(|_| ());
                MTA_GUARD.set(Some(mta.enter().unwrap()));
            }));
            assert_eq!(object.call(|n| *n).unwrap(), 7, "the MTA still has its owner");
        }
        drop(mta);
        assert_eq!(number(object.call(|_| ())), Some(DISCONNECTED));
    });
}

#[test]
fn lt_2_a_handle_in_a_thread_local_of_its_own_apartment_s_thread_does_not_join() {
    alone("lt_2_a_handle_in_a_thread_local_of_its_own_apartment_s_thread_does_not_join", || {
        let (process, recording) = recorded();
        let sta = process.sta("sta").spawn().unwrap();
        let apartment = sta.apartment().clone();
        let (gone, goes) = channel::<()>();
        let object = sta.create(|| ()).unwrap();
        object
            .call(move |()| {
                // Destroyed after the handle: locals go in the reverse order of their making.
                with_the_locals(move || gone.send(()).unwrap());
                HANDLE.set(Some(sta));
            })
            .unwrap();
        apartment.quit();
        recording.until(left_after_the_end(&apartment));
        goes.recv().unwrap();
    });
}

#[test]
fn wa_3_an_sta_does_not_wait_for_the_locals_of_a_joined_thread_which_may_call_it() {
    must_end(|| {
        let process = Process::new();
        let ui = process.sta("ui").enter().unwrap();
        let counter = ui.create(|| Cell::new(0)).unwrap();
        let worker = process.sta("worker").spawn().unwrap();
        let object = worker.create(|| ()).unwrap();
        let calls = counter.clone();
        let last_words = move || {
            calls.call(|n| n.set(n.get() + 1)).unwrap();
            calls.apartment().unwrap().quit();
        };
        object.call(move |()| with_the_locals(last_words)).unwrap();
        drop(worker);
        // Ends when the last words have been heard, here or before.
        ui.run();
        assert_eq!(counter.call(Cell::get).unwrap(), 1);
    });
}

#[test]
fn wa_3_who_is_no_sta_waits_for_the_locals_of_the_threads_of_what_it_joins() {
    must_end(|| {
        let process = Process::new();
        let (sta, mta) = (process.sta("sta").spawn().unwrap(), process.mta().threads(1).spawn().unwrap());
        let gone = Arc::new(AtomicUsize::new(0));
        let counts = || {
            let gone = Arc::clone(&gone);
            // They take their time: who does not wait would be back before.
            let last_words = move || {
                (0..1_000).for_each(|_| thread::yield_now());
                gone.fetch_add(1, Ordering::Relaxed);
            };
            move |_: &()| with_the_locals(last_words)
        };
        sta.create(|| ()).unwrap().call(counts()).unwrap();
        drop(sta);
        assert_eq!(gone.load(Ordering::Relaxed), 1);
        // On a thread of the pool.
        mta.create(|| ()).unwrap().post(counts()).unwrap();
        mta.join().unwrap();
        assert_eq!(gone.load(Ordering::Relaxed), 2);
    });
}

#[test]
fn wa_3_an_sta_that_drops_another_s_handle_does_not_wait_for_the_locals_of_its_thread() {
    must_end(|| {
        let process = Process::new();
        let (ui, sta) = (process.sta("ui").enter().unwrap(), process.sta("sta").spawn().unwrap());
        // Their destructors stand at a gate, which is opened afterwards.
        let gate = Gate::new();
        let stop = gate.stop();
        sta.create(|| ()).unwrap().call(|()| with_the_locals(move || stop.wait())).unwrap();
        drop(sta);
        gate.open();
        drop(ui);
    });
}

/// What a thread uses when its locals are destroyed, or gone.
struct Everything {
    process: Process,
    usage: Mutex<Option<MtaUsage>>,
    at_sta: Proxy<RefCell<i32>>,
    at_mta: Proxy<i32>,
    _apartments: (Sta, Mta),
}

impl Everything {
    fn new() -> Self {
        let process = Process::new();
        let (sta, mta) = (process.sta("sta").spawn().unwrap(), process.mta().spawn().unwrap());
        let (at_sta, at_mta) = (sta.create(|| RefCell::new(1)).unwrap(), mta.create(|| 5).unwrap());
        // The pool has its thread.
        assert_eq!(at_mta.call(|n| *n).unwrap(), 5);
        Self { process, usage: Mutex::new(Some(mta.usage().unwrap())), at_sta, at_mta, _apartments: (sta, mta) }
    }

    /// Windows lets no thread begin or end while another's locals are destroyed: there the apartments outlive that.
    fn is_kept(this: &Arc<Self>) -> Option<Arc<Self>> {
        cfg!(windows).then(|| Arc::clone(this))
    }

    fn is_used(&self) {
        drop(self.usage.lock().unwrap().take());
        self.at_sta.call_mut(|n| *n += 1).unwrap();
        assert_eq!(self.at_sta.call(|_| self.at_mta.call(|n| *n).unwrap()).unwrap(), 5);
        assert_eq!(self.at_mta.call(|_| self.at_sta.call_ref(|n| *n).unwrap()).unwrap(), 2);
        if cfg!(windows) {
            return; // What begins a thread and waits for it would wait for ever.
        }
        let made = self.process.sta("made").spawn().unwrap();
        let object = made.create(|| 3).unwrap();
        assert_eq!(object.call(|n| *n).unwrap(), 3);
        drop(made);
        assert_eq!(number(object.call(|_| ())), Some(DISCONNECTED));
        let worker = Worker::spawn("worker", || 4).unwrap();
        assert_eq!(worker.join().unwrap().unwrap(), 4);
    }
}

#[test]
fn lt_1_a_thread_whose_locals_are_destroyed_may_use_everything() {
    must_end(|| {
        let everything = Arc::new(Everything::new());
        let _kept = Everything::is_kept(&everything);
        let (tell, told) = channel();
        join(thread::spawn(move || {
            with_the_locals(move || {
                everything.is_used();
                tell.send(()).unwrap();
            });
            current();
        }));
        told.recv().unwrap();
    });
}

#[test]
fn lt_1_a_thread_whose_locals_are_gone_may_use_everything() {
    alone("lt_1_a_thread_whose_locals_are_gone_may_use_everything", || {
        for library_first in [false, true] {
            let everything = Arc::new(Everything::new());
            let _kept = Everything::is_kept(&everything);
            let (tell, told) = channel();
            join(thread::spawn(move || {
                with_the_locals(|| ());
                if library_first {
                    everything.at_sta.call(|_| ()).unwrap();
                }
                when_the_locals_are_gone(move || {
                    // Where the system knows of no locals, Rust makes them anew for who asks so late.
                    assert!(cfg!(windows) || LAST_WORDS.try_with(|_| ()).is_err());
                    everything.is_used();
                    tell.send(()).unwrap();
                });
            }));
            told.recv().unwrap();
        }
    });
}

#[test]
fn lt_3_an_sta_may_be_tried_to_be_entered_while_thread_locals_are_destroyed() {
    alone("lt_3_an_sta_may_be_tried_to_be_entered_while_thread_locals_are_destroyed", || {
        for library_first in [false, true] {
            let process = Process::new();
            let (tell, told) = channel();
            join(thread::spawn(move || {
                if library_first {
                    current();
                }
                with_the_locals(move || {
                    // Whether it is let in is not said by the rules; if it is, the apartment works.
                    if let Ok(ui) = process.sta("late").enter() {
                        assert_eq!(ui.create(|| 7).unwrap().call(|n| *n).unwrap(), 7);
                    }
                    tell.send(process.current().kind).unwrap();
                });
                current();
            }));
            assert_eq!(told.recv().unwrap(), None);
        }
    });
}

#[test]
fn lt_2_a_guard_in_an_object_goes_after_the_other_objects_and_before_the_hook_s_guard() {
    must_end(|| {
        let process = Process::new();
        let log = Log::new();
        let told = |name| {
            let log = log.clone();
            move || {
                let log = log.clone();
                OnDrop(move || log.add((name, current().kind)))
            }
        };
        let guard = told("the hook's guard");
        let ui = process.sta("ui").around(move || Ok::<_, Infallible>(guard())).enter().unwrap();
        let _object = ui.create(told("object")).unwrap();
        let slot = ui.create(|| RefCell::new(None)).unwrap();
        *slot.local().unwrap().borrow_mut() = Some(ui);
        drop(slot);
        assert_eq!(process.current().kind, None);
        let names: Vec<_> = log.take();
        assert_eq!(names[0], ("object", Some(Kind::Sta)));
        assert_eq!((names[1].0, names.len()), ("the hook's guard", 2));
    });
}

// ---- Guards that go in destructors, in calls, in filters

#[test]
fn lt_2_a_guard_that_goes_in_a_destructor_leaves_the_others() {
    must_end(|| {
        let process = Process::new();
        let ui = process.sta("ui").enter().unwrap();
        let mut second = Some(process.sta("ui").enter().unwrap());
        let object = ui.create(|| OnDrop(move || drop(second.take()))).unwrap();
        join(thread::spawn(move || drop(object)));
        ui.pump();
        assert_eq!(process.current().kind, Some(Kind::Sta));
        drop(ui);
        assert_eq!(process.current().kind, None);
    });
}

#[test]
fn lt_2_the_last_guard_may_go_in_a_destructor_that_unwinds() {
    alone("lt_2_the_last_guard_may_go_in_a_destructor_that_unwinds", || {
        let process = Process::new();
        let ui = process.sta("ui").enter().unwrap();
        let log = Log::new();
        let told = log.clone();
        let other = ui.create(|| OnDrop(move || told.add("the other object"))).unwrap();
        let goes = || {
            let _guard = GUARD.take();
            panic!("the destructor's own panic");
        };
        let object = ui.create(|| OnDrop(goes)).unwrap();
        GUARD.set(Some(ui));
        drop(object);
        assert_eq!((process.current().kind, log.take()), (None, vec!["the other object"]));
        assert_eq!(number(other.call(|_| ())), Some(DISCONNECTED));
    });
}

#[test]
fn lt_2_the_last_guard_may_go_in_a_filter_s_method_and_the_call_still_runs() {
    struct Leaves(RefCell<Option<Entered>>);
    impl MessageFilter for Leaves {
        fn handle_incoming(&self, _: &IncomingCall) -> ServerCall {
            drop(self.0.take());
            drop(register_filter(None).unwrap());
            ServerCall::Handled
        }
    }
    must_end(|| {
        let process = Process::new();
        let ui = process.sta("ui").enter().unwrap();
        let object = ui.create(|| 7).unwrap();
        let away = process.sta("away").spawn().unwrap();
        let at_away = away.create(|| ()).unwrap();
        register_filter(Some(Rc::new(Leaves(RefCell::new(Some(ui)))))).unwrap();
        assert_eq!(at_away.call(|()| object.call(|n| *n)).unwrap().unwrap(), 7);
        assert_eq!(process.current().kind, None);
    });
}

#[test]
fn lt_2_while_leaving_is_due_no_apartment_can_be_entered() {
    must_end(|| {
        let (process, other) = (Process::new(), Process::new());
        let ui = process.sta("ui").enter().unwrap();
        let object = ui.create(|| ()).unwrap();
        let away = other.sta("away").spawn().unwrap();
        let at_away = away.create(|| ()).unwrap();
        GUARD.set(Some(ui));
        let refused = at_away.call(|()| {
            object.call(|()| {
                drop(GUARD.take());
                (other.sta("of another process").enter().is_err(), process.mta().spawn().unwrap().enter().is_err())
            })
        });
        assert_eq!(refused.unwrap().unwrap(), (true, true));
        assert_eq!(process.current().kind, None);
        let next = other.sta("next").enter().unwrap();
        assert_eq!(number(object.call(|()| ())), Some(DISCONNECTED));
        next.leave();
    });
}

#[test]
fn lt_1_an_unwinding_thread_may_call_and_be_called_back() {
    must_end(|| {
        let process = Process::new();
        let (sta, ui) = (process.sta("sta").spawn().unwrap(), process.sta("ui").enter().unwrap());
        let (at_sta, at_ui) = (sta.create(|| ()).unwrap(), ui.create(|| Cell::new(0)).unwrap());
        let unwound = catch_unwind(AssertUnwindSafe(|| {
            let _last_words = OnDrop(|| {
                at_sta
                    .call(|()| {
                        at_ui.call(|n| n.set(n.get() + 1)).unwrap();
                        assert_eq!(number(at_ui.call(|_| panic!("the callback's own"))), Some(SERVER_FAULT));
                        at_ui.call(|_| drop(process.sta("made").spawn().unwrap())).unwrap();
                    })
                    .unwrap();
            });
            panic!("the outer one");
        }));
        assert!(unwound.is_err());
        assert_eq!(at_ui.call(Cell::get).unwrap(), 1);
    });
}

// ---- The MTA's end

#[test]
fn lt_2_nothing_is_made_in_an_mta_that_has_ended() {
    must_end(|| {
        let (process, recording) = recorded();
        let mta = process.mta().spawn().unwrap();
        let log = Log::new();
        // The maker itself sees the end come: its object is dropped there all the same, before it, or was never made.
        let told = log.clone();
        let made = mta.create(|| {
            mta.quit();
            recording.until(at(mta.apartment(), |what| matches!(what, What::DoorClosed)));
            OnDrop(move || told.add(current().kind))
        });
        recording.until(at(mta.apartment(), ended));
        drop(made);
        assert_eq!(log.take(), [Some(Kind::Mta)]);
        assert_eq!(number(mta.create(|| ())), Some(DISCONNECTED));
    });
}

#[test]
fn di_14_the_mta_does_not_end_while_one_of_its_threads_runs_a_destructor() {
    must_end(|| {
        for calls_out_before in [false, true] {
            let (process, recording) = recorded();
            let mta = process.mta().threads(2).max_threads(4).spawn().unwrap();
            let apartment = mta.apartment().clone();
            let object = mta.create(|| 3).unwrap();
            let (sta, releases) = (process.sta("sta").spawn().unwrap(), process.sta("releases").spawn().unwrap());
            let (at_sta, elsewhere) = (sta.create(|| ()).unwrap(), releases.create(|| ()).unwrap());
            // There are two threads, so that one is free to end the MTA.
            let both = Arc::new(Barrier::new(2));
            for _ in 0..2 {
                let both = Arc::clone(&both);
                object
                    .post(move |_| {
                        both.wait();
                    })
                    .unwrap();
            }
            let gate = Gate::new();
            let (stop, (tell, told)) = (gate.stop(), channel());
            let (tell, back) = (Mutex::new(tell), Mutex::new(Some(object)));
            let last_words = move || {
                if calls_out_before {
                    at_sta.call(|()| ()).unwrap();
                }
                stop.wait();
                let back = back.lock().unwrap().take().unwrap();
                let called_back = at_sta.call(move |()| back.call(|n| *n).map_err(|error| error.hresult()));
                tell.lock().unwrap().send(called_back.unwrap()).unwrap();
            };
            let victim = mta.create(move || OnDrop(last_words)).unwrap();
            elsewhere.call(move |()| drop(victim)).unwrap();
            gate.met();
            let owner = thread::spawn(move || drop(mta));
            recording.until(at(&apartment, |what| matches!(what, What::DoorClosed)));
            gate.open();
            assert_eq!(told.recv().unwrap(), Ok(3));
            join(owner);
            recording.until(at(&apartment, ended));
        }
    });
}

#[test]
fn wa_3_the_handle_of_an_mta_that_goes_on_a_thread_of_it_waits_for_nothing() {
    must_end(|| {
        for joins in [false, true] {
            let (process, recording) = recorded();
            let mta = process.mta().threads(1).spawn().unwrap();
            let (object, home) = (mta.create(|| ()).unwrap(), mta.apartment().clone());
            object
                .post(move |()| match joins {
                    true => assert_eq!(number(mta.join()), Some(DEADLOCK)),
                    false => drop(mta),
                })
                .unwrap();
            recording.until(at(&home, ended));
            let waited = |what: &What| matches!(what, What::WaitBegan { .. });
            let told = |what: &What| matches!(what, What::Deadlock(_));
            let count = |is: fn(&What) -> bool| crate::support::count(&recording, |event| is(&event.what));
            assert_eq!((count(waited), count(told)), (0, usize::from(joins)));
        }
    });
}

#[test]
fn ap_10_what_the_pool_s_hook_holds_goes_with_the_mta() {
    must_end(|| {
        let (process, recording) = recorded();
        let (gone, goes) = channel::<()>();
        let held = OnDrop(move || gone.send(()).unwrap());
        let held = Mutex::new(held);
        let hook = move || {
            let _held = &held;
            Ok::<_, Infallible>(())
        };
        let mta = process.mta().around(hook).spawn().unwrap();
        let apartment = mta.apartment().clone();
        // A reference to an ended MTA, and a thread that has called there, hold nothing of it.
        let object = mta.create(|| 7).unwrap();
        assert_eq!(object.call(|n| *n).unwrap(), 7);
        drop(mta);
        recording.until(at(&apartment, ended));
        goes.recv().unwrap();
        assert_eq!(number(object.call(|_| ())), Some(DISCONNECTED));
    });
}

#[test]
fn lt_2_a_thread_local_of_a_pool_thread_may_call_out_when_the_mta_has_ended() {
    must_end(|| {
        let process = Process::new();
        let (sta, mta) = (process.sta("sta").spawn().unwrap(), process.mta().threads(1).spawn().unwrap());
        let (at_sta, at_mta) = (sta.create(|| ()).unwrap(), mta.create(|| ()).unwrap());
        let (tell, told) = channel();
        at_sta
            .call(|()| {
                let (at_sta, back) = (at_sta.clone(), at_mta.clone());
                let last_words = move || {
                    at_sta.call(|()| ()).unwrap();
                    tell.send(number(back.call(|()| ()))).unwrap();
                };
                at_mta.call(|()| with_the_locals(last_words)).unwrap();
            })
            .unwrap();
        drop(mta);
        assert_eq!(told.recv().unwrap(), Some(DISCONNECTED));
    });
}

#[test]
fn lt_2_a_hook_s_capture_may_call_another_mta_when_it_goes() {
    must_end(|| {
        let (other, process) = (Process::new(), Process::new());
        let others = other.mta().spawn().unwrap();
        let object = others.create(|| 5).unwrap();
        let (tell, told) = channel();
        let (at_other, tell) = (object.clone(), Mutex::new(tell));
        let last_words = OnDrop(move || tell.lock().unwrap().send(at_other.call(|n| *n).unwrap()).unwrap());
        let hook = move || {
            let _last_words = &last_words;
            Ok::<_, Infallible>(())
        };
        let mta = process.mta().around(hook).spawn().unwrap();
        assert_eq!(mta.create(|| 1).unwrap().call(|n| *n).unwrap(), 1);
        drop(mta);
        assert_eq!(told.recv().unwrap(), 5);
        assert_eq!(object.call(|n| *n).unwrap(), 5);
    });
}

// ---- Destructors

#[test]
fn lt_1_a_destructor_that_waits_does_not_hold_up_the_others() {
    must_end(|| {
        let process = Process::new();
        let (a, b) = (process.sta("a").spawn().unwrap(), process.sta("b").spawn().unwrap());
        let at_b = b.create(|| ()).unwrap();
        let (gone, mut goes) = channel::<()>();
        let mut second = Some(a.create(|| OnDrop(move || gone.send(()).unwrap())).unwrap());
        let (tell, told) = channel();
        let waits = move || {
            let second = second.take();
            let waits_for = Mutex::new(&mut goes);
            at_b.call(|()| {
                drop(second);
                waits_for.lock().unwrap().recv().unwrap();
            })
            .unwrap();
            tell.send(()).unwrap();
        };
        drop(a.create(|| OnDrop(waits)).unwrap());
        told.recv().unwrap();
    });
}

#[test]
fn ca_2_a_destructor_s_call_is_not_cancelled_with_the_call_below_it_on_the_stack() {
    must_end(|| {
        let (process, recording) = recorded();
        let [a, b, log] = ["a", "b", "log"].map(|name| process.sta(name).spawn().unwrap());
        let (at_a, at_b, at_log) = (a.create(|| ()).unwrap(), b.create(|| ()).unwrap(), log.create(|| 1).unwrap());
        let (tell, told) = channel();
        let last_words = move || tell.send((current_depth(), at_log.call(|n| *n).map_err(|e| e.hresult()))).unwrap();
        let victim = a.create(|| OnDrop(last_words)).unwrap();
        let gate = Gate::new();
        let (stop, cancel) = (gate.stop(), CancelHandle::new());
        let caller = thread::spawn({
            let cancel = cancel.clone();
            move || {
                let options = apartment::CallOptions::new().cancel(&cancel);
                at_a.with(&options).call(|()| at_b.call(|()| stop.wait()))
            }
        });
        gate.met();
        recording.until(at(a.apartment(), |what| matches!(what, What::WaitBegan { on: WaitFor::Reply, .. })));
        cancel.cancel();
        drop(victim);
        assert_eq!(told.recv().unwrap(), (None, Ok(1)));
        gate.open();
        join(caller).unwrap_err();
    });
}

fn current_depth() -> Option<u32> {
    apartment::current_call().ok().map(|call| call.depth())
}

#[test]
fn lt_4_a_refused_closure_that_panics_when_it_goes_is_a_fault_of_its_caller_alone() {
    alone("lt_4_a_refused_closure_that_panics_when_it_goes_is_a_fault_of_its_caller_alone", || {
        let (process, recording) = recorded();
        let [a, b] = ["a", "b"].map(|name| process.sta(name).spawn().unwrap());
        let (at_a, at_b) = (a.create(|| ()).unwrap(), b.create(|| ()).unwrap());
        let apartment = b.apartment().clone();
        drop(b);
        recording.until(at(&apartment, ended));
        for _ in 0..3 {
            let fault = at_a.call(|()| {
                let bad = OnDrop(|| panic!("a refused call's closure"));
                drop(at_b.call(move |()| drop(bad)));
            });
            assert_eq!(number(fault), Some(SERVER_FAULT));
            let fault = at_a.call(|()| {
                let bad = OnDrop(|| panic!("a refused post's closure"));
                drop(at_b.post(move |()| drop(bad)));
            });
            assert_eq!(number(fault), Some(SERVER_FAULT));
        }
        at_a.call(|()| ()).unwrap();
    });
}

#[test]
fn ap_3_a_destructor_may_enter_again_and_panic_while_its_apartment_ends() {
    alone("ap_3_a_destructor_may_enter_again_and_panic_while_its_apartment_ends", || {
        struct Makes(Process, Log<Option<u32>>);
        impl Drop for Makes {
            fn drop(&mut self) {
                self.1.add(number(self.0.sta("late").enter()));
                panic!("the destructor's own panic");
            }
        }
        let process = Process::new();
        let log = Log::new();
        let sta = process.sta("sta").spawn().unwrap();
        let makes = Makes(process.clone(), log.clone());
        let object = sta.create(move || makes).unwrap();
        drop(sta);
        assert_eq!(log.take(), [None], "no error");
        assert_eq!(number(object.call(|_| ())), Some(DISCONNECTED));
    });
}

// ---- Hooks and filters whose destructors panic

#[test]
fn lt_4_a_filter_s_maker_that_panics_when_it_goes_leaves_nobody_waiting() {
    alone("lt_4_a_filter_s_maker_that_panics_when_it_goes_leaves_nobody_waiting", || {
        struct Plain;
        impl MessageFilter for Plain {}
        let bad = OnDrop(|| panic!("the maker's own panic"));
        let process = Process::new();
        let maker = move || {
            drop(bad);
            Plain
        };
        let failed = process.sta("sta").around(|| Err::<(), _>("no")).filter(maker).spawn().map(drop);
        assert_eq!(number(failed), Some(0x8001_0100));
        assert!(process.main_sta().is_none());
    });
}

#[test]
fn lt_4_an_error_of_a_pool_s_hook_that_panics_when_it_goes_is_contained() {
    alone("lt_4_an_error_of_a_pool_s_hook_that_panics_when_it_goes_is_contained", || {
        #[derive(Debug)]
        struct Bad;
        impl fmt::Display for Bad {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bad")
            }
        }
        impl std::error::Error for Bad {}
        impl Drop for Bad {
            fn drop(&mut self) {
                panic!("the error's own panic");
            }
        }
        let process = Process::new();
        let threads = AtomicUsize::new(0);
        let hook = move || if threads.fetch_add(1, Ordering::Relaxed) == 0 { Ok(()) } else { Err(Bad) };
        let mta = process.mta().threads(2).around(hook).spawn().unwrap();
        let object = mta.create(|| ()).unwrap();
        let held = hold(&object);
        for _ in 0..20 {
            object.post(|()| ()).unwrap();
        }
        held.open();
        drop(mta);
    });
}

#[test]
fn lt_4_a_pool_s_hook_that_panics_when_it_goes_is_contained() {
    alone("lt_4_a_pool_s_hook_that_panics_when_it_goes_is_contained", || {
        let process = Process::new();
        let bad = OnDrop(|| panic!("the hook's own panic"));
        let hook = move || {
            let _bad = &bad;
            Ok::<_, Infallible>(())
        };
        let mta = process.mta().around(hook).spawn().unwrap();
        let object = mta.create(|| 7).unwrap();
        assert_eq!(object.call(|n| *n).unwrap(), 7);
        drop(mta);
        assert_eq!(number(object.call(|_| ())), Some(DISCONNECTED));
    });
}

#[test]
fn lt_4_a_filter_that_takes_itself_off_and_panics_may_panic_when_it_goes_too() {
    struct Bad;
    impl MessageFilter for Bad {
        fn handle_incoming(&self, call: &IncomingCall) -> ServerCall {
            if call.kind == CallKind::Create {
                return ServerCall::Handled;
            }
            drop(register_filter(None));
            panic!("the method's own panic");
        }
    }
    impl Drop for Bad {
        fn drop(&mut self) {
            panic!("the destructor's own panic");
        }
    }
    alone("lt_4_a_filter_that_takes_itself_off_and_panics_may_panic_when_it_goes_too", || {
        let process = Process::new();
        let sta = process.sta("sta").filter(|| Bad).spawn().unwrap();
        let object = sta.create(|| 7).unwrap();
        assert_eq!(number(object.call(|_| ())), Some(REJECTED));
        assert_eq!(object.call(|n| *n).unwrap(), 7);
    });
}

#[test]
fn lt_4_a_filter_that_a_filter_s_destructor_sets_while_the_apartment_ends_may_panic_when_it_goes() {
    struct Sets(u32);
    impl MessageFilter for Sets {}
    impl Drop for Sets {
        fn drop(&mut self) {
            assert!(self.0 > 0, "the last one's own panic");
            drop(register_filter(Some(Rc::new(Sets(self.0 - 1)))));
        }
    }
    alone("lt_4_a_filter_that_a_filter_s_destructor_sets_while_the_apartment_ends_may_panic_when_it_goes", || {
        let process = Process::new();
        drop(process.sta("sta").filter(|| Sets(1)).spawn().unwrap());
        drop(process.sta("ui").filter(|| Sets(1)).enter().unwrap());
        assert_eq!(process.current().kind, None);
    });
}

#[test]
fn lt_4_what_a_failed_spawn_never_ran_may_panic_when_it_goes() {
    alone("lt_4_what_a_failed_spawn_never_ran_may_panic_when_it_goes", || {
        let process = Process::new();
        let own = process.clone();
        let hook = move || {
            let bad = OnDrop(|| panic!("the message's own panic"));
            own.main_sta().unwrap().post_message(MessageClass::User, move || drop(bad)).unwrap();
            Err::<(), _>("no")
        };
        let failed = process.sta("sta").around(hook).spawn().map(drop);
        assert_eq!(number(failed), Some(0x8001_0100));
    });
}

// ---- Who waits for room when the owner is gone

/// Callers that wait for room in a full mailbox when its owner ends out of order: what each is told.
fn answers_of_those_who_wait_for_room(end: impl FnOnce(Entered) + Send + 'static) -> Vec<u32> {
    must_end(|| {
        let (process, recording) = recorded();
        let (pass_on, passed_on) = channel::<Proxy<u8>>();
        let (go, gone) = channel::<()>();
        let owner = thread::spawn(move || {
            let ui = process.sta("ui").capacity(1).enter().unwrap();
            let object = ui.create(|| 1).unwrap();
            object.post(|_| ()).unwrap();
            pass_on.send(object).unwrap();
            gone.recv().unwrap();
            end(ui);
        });
        let object = passed_on.recv().unwrap();
        let callers: Vec<_> = (0..4)
            .map(|n| {
                let object = object.clone();
                thread::spawn(move || {
                    let error = if n % 2 == 0 {
                        object.with(&apartment::CallOptions::new().wait_for_room()).call(|_| ()).unwrap_err()
                    } else {
                        object.with(&PostOptions::new().wait_for_room()).post(|_| ()).unwrap_err().into()
                    };
                    error.hresult()
                })
            })
            .collect();
        // A call's wait turns to room, a post's begins with it.
        let in_line = |what: &What| {
            matches!(what, What::WaitBegan { on: WaitFor::Room, .. } | What::WaitTurned { on: WaitFor::Room, .. })
        };
        recording.until(nth(4, |event| in_line(&event.what)));
        go.send(()).unwrap();
        drop(owner.join());
        callers.into_iter().map(join).collect()
    })
}

#[test]
fn lt_3_who_waits_for_room_when_the_owner_panics_or_leaks_its_guard_is_answered() {
    let panicked = answers_of_those_who_wait_for_room(|ui| {
        let _ui = ui;
        panic!("the owner's own panic");
    });
    assert_eq!(panicked, [DISCONNECTED; 4]);
    assert_eq!(answers_of_those_who_wait_for_room(forget), [DISCONNECTED; 4]);
}
