//! DG-1: what a process does at a moment.

use crate::cancels::occupy;
use crate::stage::{Answers, Stage, gate, incoming, like, millis, play, secs};
use crate::support::must_end;
use apartment::{
    ApartmentHow, ApartmentSeen, CallKind, CallOptions, DoorSeen, EntryAt, MessageClass, PendingAnswer, PostOptions,
    Process, Reentrancy, RejectedCall, Retry, ServerCall, Serves, Snapshot, WaitFor, WaitsForWhom, current_call,
};
use crossbeam_channel::{Sender, unbounded};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// The apartment of that name.
fn of<'a>(snapshot: &'a Snapshot, name: &str) -> &'a ApartmentSeen {
    let found = snapshot.apartments.iter().find(|apartment| &*apartment.name.name == name);
    found.unwrap_or_else(|| panic!("there is no {name} in {snapshot}"))
}

/// Who waits for whom, by name; a thread in no apartment is "-".
fn waits(snapshot: &Snapshot) -> Vec<(String, String, WaitFor)> {
    let name = |wait: WaitsForWhom| {
        let from = wait.from.map_or("-".to_owned(), |from| from.name.to_string());
        (from, wait.to.name.to_string(), wait.on)
    };
    snapshot.waits_for_whom().into_iter().map(name).collect()
}

#[test]
fn dg_1_a_snapshot_says_what_each_apartment_is() {
    play(|stage| {
        let handled = || incoming(|_| ServerCall::Handled);
        let ui = stage.sta("ui").capacity(7).reentrancy(Reentrancy::SameCausality).filter(handled).spawn()?;
        stage.clock.advance(secs(1));
        let mta = stage.mta().threads(2).max_threads(5).spawn()?;
        let (_one, _two, _three) = (ui.create(|| 1)?, ui.create(|| 2)?, mta.create(|| 3)?);
        // Its making does not wait for the pool's first thread.
        stage.until(mta.apartment(), like!(ThreadEntered { implicit: false }));
        let snapshot = stage.process.snapshot();
        assert_eq!((snapshot.at, snapshot.apartments.len()), (secs(1), 2));
        let seen = of(&snapshot, "ui");
        assert_eq!(seen.name.id, ui.apartment().id());
        assert!(seen.sta && seen.main && seen.filter && !seen.left_behind && seen.pool.is_none());
        assert_eq!((seen.how, seen.door), (ApartmentHow::Spawned, DoorSeen::Open));
        assert_eq!((seen.capacity, seen.queued, seen.reentrancy), (7, 0, Some(Reentrancy::SameCausality)));
        assert_eq!((seen.threads.len(), seen.threads[0].since), (1, secs(0)));
        assert_eq!(stage.until(ui.apartment(), like!(ThreadEntered)).thread, seen.threads[0].thread);
        let seen = of(&snapshot, "mta");
        assert!(!seen.sta && !seen.main && !seen.filter && seen.reentrancy.is_none());
        let pool = seen.pool.as_ref().unwrap();
        assert_eq!((pool.threads, pool.blocked, pool.target, pool.maximum, pool.inside), (1, 0, 2, 5, 0));
        assert_eq!((seen.objects, seen.threads.len()), (1, 1));
        Ok(())
    });
}

#[test]
fn dg_1_a_snapshot_counts_objects_as_they_come_and_go() {
    play(|stage| {
        let ui = stage.sta("ui").enter()?;
        let objects = || of(&stage.process.snapshot(), "ui").objects;
        assert_eq!(objects(), 0);
        let (one, two) = (ui.create(|| 1)?, ui.create(|| 2)?);
        assert_eq!(objects(), 2);
        drop(one);
        ui.pump();
        assert_eq!(objects(), 1);
        drop(two);
        ui.pump();
        assert_eq!(objects(), 0);
        Ok(())
    });
}

#[test]
fn dg_1_a_snapshot_says_how_far_an_apartments_end_has_come_and_leaves_out_what_is_gone() {
    play(|stage| {
        let (busy, other) = (stage.sta("busy").spawn()?, stage.sta("other").spawn()?);
        let (key, closed) = gate();
        let at = busy.create(|| ())?;
        at.post(move |()| closed.pass())?;
        stage.until_nth(2, busy.apartment(), like!(Began));
        busy.quit();
        other.quit();
        other.join()?;
        let snapshot = stage.process.snapshot();
        assert_eq!((snapshot.apartments.len(), of(&snapshot, "busy").door), (1, DoorSeen::Closing));
        key.open();
        busy.join()?;
        assert!(stage.process.snapshot().apartments.is_empty());
        Ok(())
    });
}

#[test]
fn dg_1_a_snapshot_shows_what_is_queued_by_whom_and_since_when() {
    play(|stage| {
        let (ui, other) = (stage.sta("ui").capacity(3).spawn()?, stage.sta("other").spawn()?);
        let (at, caller) = (ui.create(|| ())?, other.create(|| ())?);
        let (key, closed) = gate();
        at.post(move |()| closed.pass())?;
        stage.until_nth(2, ui.apartment(), like!(Began));
        stage.begin();
        stage.clock.advance(secs(1));
        at.post(|()| ())?;
        stage.clock.advance(secs(1));
        ui.apartment().post_message(MessageClass::Paint, || ())?;
        stage.clock.advance(secs(1));
        thread::scope(|s| {
            s.spawn(|| caller.call(|()| at.call(|()| ()).unwrap()).unwrap());
            stage.until_nth(3, ui.apartment(), |what| {
                matches!(what, apartment::What::Queued { .. } | apartment::What::MessageQueued { .. })
            });
            stage.clock.advance(secs(1));
            s.spawn(|| at.with(&PostOptions::new().wait_for_room()).post(|()| ()).unwrap());
            stage.until_any(|event| matches!(event.what, apartment::What::WaitBegan { on: WaitFor::Room, .. }));
            let snapshot = stage.process.snapshot();
            let seen = of(&snapshot, "ui");
            assert_eq!((seen.queued, seen.capacity, snapshot.at), (3, 3, secs(4)));
            let entries: Vec<_> = seen.entries.iter().map(|e| (e.kind, e.message, e.at, e.since)).collect();
            let expected = [
                (CallKind::OneWay, None, EntryAt::Room, secs(1)),
                (CallKind::OneWay, Some(MessageClass::Paint), EntryAt::Room, secs(2)),
                (CallKind::Synchronous, None, EntryAt::Room, secs(3)),
                (CallKind::OneWay, None, EntryAt::Line, secs(4)),
            ];
            assert_eq!(entries, expected);
            assert_eq!(seen.entries[2].caller.apartment.as_ref().unwrap().id, other.apartment().id());
            assert!(seen.entries[0].caller.apartment.is_none());
            assert!(seen.entries[2].target.location.file().ends_with("snapshot.rs"));
            assert_eq!(
                waits(&snapshot)[1..],
                [("other".into(), "ui".into(), WaitFor::Reply), ("-".into(), "ui".into(), WaitFor::Room)]
            );
            key.open();
        });
        Ok(())
    });
}

#[test]
fn dg_1_a_snapshot_shows_what_runs_innermost_last_and_since_when_nothing_was_dispatched() {
    play(|stage| {
        let (a, b) = (stage.sta("a").spawn()?, stage.sta("b").spawn()?);
        let (at_a, at_b) = (a.create(|| ())?, b.create(|| ())?);
        stage.clock.advance(secs(1));
        let mut seen = None;
        let mut innermost = || {
            stage.clock.advance(secs(1));
            seen = Some((stage.process.snapshot(), current_call().unwrap().id()));
        };
        let mut back = || {
            stage.clock.advance(secs(1));
            at_a.call(|()| innermost()).unwrap();
        };
        at_a.call(|()| {
            stage.clock.advance(secs(1));
            at_b.call(|()| back()).unwrap();
        })?;
        let (snapshot, innermost) = seen.unwrap();
        let seen = of(&snapshot, "a");
        let frames: Vec<_> = seen.executing.iter().map(|frame| (frame.kind, frame.since)).collect();
        assert_eq!(frames, [(CallKind::Synchronous, secs(1)), (CallKind::Synchronous, secs(3))]);
        assert_eq!(seen.executing[1].call.unwrap().id, innermost);
        assert_eq!(seen.executing[0].call.unwrap().chain, seen.executing[1].call.unwrap().chain);
        assert_eq!((seen.last_dispatch, snapshot.at), (secs(3), secs(4)));
        assert_eq!(of(&snapshot, "b").last_dispatch, secs(2));
        // The callback is served in the wait for the call to `b`.
        assert_eq!((seen.waits.len(), seen.waits[0].since, seen.waits[0].serves), (1, secs(2), Serves::Everything));
        let expected = [("-", "a"), ("a", "b"), ("b", "a")].map(|(a, b)| (a.into(), b.into(), WaitFor::Reply));
        assert_eq!(waits(&snapshot), expected);
        let after = stage.process.snapshot();
        assert!(after.apartments.iter().all(|seen| seen.executing.is_empty() && seen.waits.is_empty()), "{after}");
        Ok(())
    });
}

/// Waits until a snapshot is as it should be, which it will be soon.
fn until(stage: &Stage, is: impl Fn(&Snapshot) -> bool) -> Snapshot {
    loop {
        let snapshot = stage.process.snapshot();
        if is(&snapshot) {
            return snapshot;
        }
        thread::yield_now();
    }
}

#[test]
fn dg_1_a_snapshot_shows_what_a_thread_waits_for_whom_it_needs_for_that_and_what_it_serves() {
    play(|stage| {
        let (a, b) = (stage.sta("a").reentrancy(Reentrancy::None).spawn()?, stage.sta("b").capacity(1).spawn()?);
        let (at_a, at_b) = (a.create(|| ())?, b.create(|| ())?);
        let (key, closed) = gate();
        at_b.post(move |()| closed.pass())?;
        stage.until_nth(2, b.apartment(), like!(Began));
        at_b.post(|()| ())?;
        // In the line for room, and then in the queue.
        let patient = || at_b.with(&CallOptions::new().wait_for_room().within(secs(100))).call(|()| ()).unwrap();
        thread::scope(|s| {
            s.spawn(|| at_a.call(|()| patient()).unwrap());
            stage.until(a.apartment(), like!(WaitTurned { on: WaitFor::Room }));
            let snapshot = stage.process.snapshot();
            let [wait] = &of(&snapshot, "a").waits[..] else { panic!("{snapshot}") };
            assert_eq!((wait.on, wait.serves), (WaitFor::Room, Serves::InputSynchronized));
            assert_eq!(wait.whom.as_ref().unwrap().id, b.apartment().id());
            assert!(wait.target.is_some() && wait.call.is_some());
            key.open();
            stage.until(a.apartment(), like!(WaitEnded));
        });
        // For the time of a retry.
        let no = Arc::new(AtomicBool::new(true));
        let refuses = Arc::clone(&no);
        let filter = move || {
            incoming(move |call| match call.kind {
                CallKind::Synchronous if refuses.load(Ordering::Relaxed) => ServerCall::RetryLater,
                _ => ServerCall::Handled,
            })
        };
        let c = stage.sta("c").filter(filter).spawn()?;
        let at_c = c.create(|| ())?;
        thread::scope(|s| {
            s.spawn(|| {
                let later = || CallOptions::new().retry(|_: &RejectedCall| Retry::After(secs(1)));
                at_a.call(|()| at_c.with(&later()).call(|()| ()).unwrap()).unwrap();
            });
            stage.until(a.apartment(), like!(WaitTurned { on: WaitFor::RetryTime }));
            let snapshot = stage.process.snapshot();
            let wait = &of(&snapshot, "a").waits[0];
            assert_eq!((wait.on, wait.until), (WaitFor::RetryTime, Some(secs(1))));
            no.store(false, Ordering::Relaxed);
            stage.clock.advance(secs(1));
        });
        // For another apartment's end.
        let (key, closed) = gate();
        at_c.post(move |()| closed.pass())?;
        thread::scope(|s| {
            let joins = || c.join().unwrap();
            s.spawn(|| at_a.call(|()| joins()).unwrap());
            let snapshot = until(stage, |snapshot| of(snapshot, "a").waits.iter().any(|w| w.on == WaitFor::Thread));
            let expected = [("-", "a", WaitFor::Reply), ("a", "c", WaitFor::Thread)];
            assert_eq!(waits(&snapshot), expected.map(|(from, to, on)| (from.into(), to.into(), on)));
            at_c.apartment().unwrap().quit();
            key.open();
        });
        Ok(())
    });
}

#[test]
fn dg_1_a_snapshot_shows_the_pool_and_what_each_of_its_threads_does() {
    play(|stage| {
        let mta = stage.mta().threads(1).max_threads(3).spawn()?;
        let sta = stage.sta("sta").spawn()?;
        let (at_mta, at_sta) = (mta.create(|| ())?, sta.create(|| ())?);
        let mut seen = None;
        let mut inner = || seen = Some(stage.process.snapshot());
        let mut middle = || at_mta.call(|()| inner()).unwrap();
        let mut outer = || at_sta.call(|()| middle()).unwrap();
        at_sta.call(|()| at_mta.call(|()| outer()).unwrap())?;
        let snapshot = seen.unwrap();
        let seen = of(&snapshot, "mta");
        let pool = seen.pool.as_ref().unwrap();
        assert_eq!((pool.threads, pool.blocked), (2, 1), "it has grown for the callback");
        let threads: Vec<_> = seen.executing.iter().map(|frame| frame.thread).collect();
        assert_eq!(threads.len(), 2);
        assert_ne!(threads[0], threads[1]);
        assert_eq!((seen.waits.len(), seen.waits[0].serves), (1, Serves::Nothing));
        Ok(())
    });
}

#[test]
fn dg_1_a_pool_s_thread_is_blocked_as_long_as_its_call_is_out() {
    play(|stage| {
        let (mta, sta) = (stage.mta().threads(1).spawn()?, stage.sta("sta").spawn()?);
        let (at_mta, at_sta) = (mta.create(|| ())?, sta.create(|| ())?);
        let process = stage.process.clone();
        let blocked = move || of(&process.snapshot(), "mta").pool.as_ref().unwrap().blocked;
        let (tell, told) = unbounded();
        at_mta.post(move |()| {
            let meanwhile = at_sta.call(|()| blocked()).unwrap();
            tell.send((meanwhile, blocked())).unwrap();
        })?;
        assert_eq!(told.recv().unwrap(), (1, 0));
        Ok(())
    });
}

#[test]
fn dg_1_a_call_that_got_its_room_is_shown_to_wait_for_its_reply() {
    play(|stage| {
        let (a, b) = (stage.sta("a").spawn()?, stage.sta("b").capacity(1).spawn()?);
        let (at_a, at_b) = (a.create(|| ())?, b.create(|| ())?);
        let busy = occupy(stage, &b);
        let (key, gate) = gate();
        at_b.post(move |()| gate.pass())?;
        let patient = at_b.clone();
        at_a.post(move |()| patient.with(&CallOptions::new().wait_for_room()).call(|()| ()).unwrap())?;
        let on = || of(&stage.process.snapshot(), "a").waits[0].on;
        stage.until(a.apartment(), like!(WaitTurned { on: WaitFor::Room }));
        assert_eq!(on(), WaitFor::Room);
        busy.open();
        stage.until(a.apartment(), like!(WaitTurned { on: WaitFor::Reply }));
        assert_eq!(on(), WaitFor::Reply);
        key.open();
        Ok(())
    });
}

#[test]
fn dg_1_a_destructor_that_runs_is_shown() {
    play(|stage| {
        struct Tells(Process, Sender<Snapshot>);
        impl Drop for Tells {
            fn drop(&mut self) {
                self.1.send(self.0.snapshot()).unwrap();
            }
        }
        let (tell, told) = unbounded();
        let (process, sta) = (stage.process.clone(), stage.sta("sta").spawn()?);
        drop(sta.create(|| Tells(process, tell))?);
        let snapshot = told.recv().unwrap();
        let [frame] = &of(&snapshot, "sta").executing[..] else { panic!("{snapshot}") };
        assert!(frame.call.is_none() && frame.caller.is_none());
        assert_eq!(frame.target.method.unwrap().name, "drop");
        let line = format!("  {} runs a destructor of object 1, for 0ms\n", frame.thread);
        assert!(snapshot.to_string().contains(&line), "{snapshot}");
        Ok(())
    });
}

#[test]
fn dg_1_a_snapshot_can_be_taken_in_a_filter_and_in_a_constructor() {
    play(|stage| {
        let (tell, told) = unbounded();
        let process = stage.process.clone();
        let filter = move || {
            let tell = tell.clone();
            let seen = move |process: &Process| tell.send(process.snapshot()).unwrap();
            Answers::default().incoming(move |_| {
                seen(&process);
                ServerCall::Handled
            })
        };
        let sta = stage.sta("sta").filter(filter).spawn()?;
        let process = stage.process.clone();
        let made = sta.create(move || process.snapshot())?;
        // While the filter is asked the entry is still queued.
        let asked = told.recv().unwrap();
        assert_eq!((of(&asked, "sta").entries.len(), of(&asked, "sta").executing.len()), (1, 0));
        assert_eq!(of(&asked, "sta").entries[0].kind, CallKind::Create);
        let constructed = made.call(Clone::clone)?;
        assert_eq!((of(&constructed, "sta").entries.len(), of(&constructed, "sta").executing.len()), (0, 1));
        Ok(())
    });
}

/// Takes a snapshot, a recording and a subscription where it is dropped, and says where that is.
struct Looks(Process, &'static str, Sender<&'static str>);

impl Looks {
    fn look(&self) {
        let Self(process, place, tell) = self;
        assert!(!process.snapshot().to_string().is_empty());
        let (recording, subscription) = (process.record(10), process.subscribe(10));
        assert!(!recording.events().is_empty() || subscription.try_next().is_none());
        tell.send(place).unwrap();
    }
}

impl Drop for Looks {
    fn drop(&mut self) {
        self.look();
    }
}

#[test]
fn dg_1_a_snapshot_can_be_taken_from_every_callback() {
    thread_local!(static LOOKS: RefCell<Vec<Looks>> = const { RefCell::new(Vec::new()) });
    play(|stage| {
        let (tell, told) = unbounded();
        let process = stage.process.clone();
        let looks = |place| Looks(process.clone(), place, tell.clone());
        let [incoming, rejected, filter_dropped] = ["handle_incoming", "retry_rejected", "filter dropped"].map(looks);
        let pending = looks("message_pending");
        let window = stage.sta("window").filter(move || {
            Answers::default()
                .incoming(move |_| {
                    incoming.look();
                    let _ = &filter_dropped;
                    ServerCall::Handled
                })
                .rejected(move |_| {
                    rejected.look();
                    Retry::GiveUp
                })
                .pending(move |_| {
                    pending.look();
                    PendingAnswer::wait_def_process()
                })
        });
        let [before, object, local] = ["constructor", "destructor", "thread-local"].map(looks);
        let window = window.spawn()?;
        let at = window.create(move || {
            before.look();
            LOOKS.with_borrow_mut(|all| all.push(local));
            object
        })?;
        at.call(Looks::look)?;
        let closure = looks("closure dropped");
        at.post(move |_| closure.look())?;
        let busy = stage
            .sta("busy")
            .filter(|| {
                Answers::default().incoming(|call| {
                    if call.kind == CallKind::Create { ServerCall::Handled } else { ServerCall::Rejected }
                })
            })
            .spawn()?;
        let at_busy = busy.create(|| ())?;
        assert!(at.call(|_| at_busy.call(|()| ()))?.is_err());
        let policy = looks("own policy");
        let options = CallOptions::new().retry(move |_: &RejectedCall| {
            policy.look();
            Retry::GiveUp
        });
        assert!(at_busy.with(&options).call(|()| ()).is_err());
        drop(options);
        let (third, apartment) = (stage.sta("third").spawn()?, window.apartment().clone());
        let at_third = third.create(|| ())?;
        let message = looks("message");
        at.call(|_| {
            apartment.post_message(MessageClass::Paint, move || message.look()).unwrap();
            at_third.call(|()| ())
        })??;
        drop((at, at_busy, at_third));
        window.quit();
        window.join()?;
        drop((tell, busy, third));
        let seen: BTreeSet<_> = told.try_iter().collect();
        for place in [
            "handle_incoming",
            "retry_rejected",
            "message_pending",
            "filter dropped",
            "constructor",
            "destructor",
            "thread-local",
            "closure dropped",
            "own policy",
            "message",
        ] {
            assert!(seen.contains(place), "{place}: {seen:?}");
        }
        Ok(())
    });
}

#[test]
fn dg_1_a_snapshot_is_plain_data_that_outlives_its_process() {
    fn plain<T: Clone + Send + Sync + 'static>(_: &T) {}
    let process = Process::builder().name("gone").build();
    let sta = process.sta("sta").spawn().unwrap();
    let snapshot = process.snapshot();
    plain(&snapshot);
    drop((sta, process));
    let printed = thread::spawn(move || snapshot.to_string()).join().unwrap();
    assert!(printed.starts_with("process \"gone\" at "), "{printed}");
}

#[test]
fn dg_1_a_snapshot_prints_a_table_and_who_waits_for_whom() {
    play(|stage| {
        let (office, bank) = (stage.sta("office").spawn()?, stage.sta("bank").capacity(2).spawn()?);
        let (clerk, account) = (office.create(|| ())?, bank.create(|| RefCell::new(10))?);
        stage.clock.advance(secs(1));
        let table = clerk.call(|()| {
            let inside = || {
                account.post(|_| ()).unwrap();
                stage.clock.advance(millis(1_500));
                stage.process.snapshot().to_string()
            };
            account.call(|_| inside()).unwrap()
        })?;
        for line in [
            "process \"process\" at 2.5s\n",
            "apartment 1 \"office\": STA, spawned, main, lets in everybody\n",
            "apartment 2 \"bank\": STA, spawned, lets in everybody\n",
            "; 1 object\n",
            "  1 of 2 queued; dispatched nothing for 1.5s\n",
            "runs a call by apartment \"office\", call ",
            ", `RefCell<i32>` called at tests/rules/snapshot.rs:",
            " waits for the reply, of apartment \"bank\", call ",
            "  queued: a one-way call by apartment \"bank\", call ",
            "who waits for whom\n",
            " of apartment \"office\" -> apartment \"bank\": the reply, call ",
            ", for 1.5s, serves everything\n",
        ] {
            assert!(table.contains(line), "no {line:?} in\n{table}");
        }
        assert!(stage.process.snapshot().to_string().ends_with("nobody waits for an apartment\n"));
        Ok(())
    });
}

#[test]
fn dg_1_snapshots_stop_nobody_and_are_true_of_each_apartment_by_itself() {
    must_end(|| {
        let process = Process::new();
        let (a, b) = (process.sta("a").spawn().unwrap(), process.sta("b").spawn().unwrap());
        let mta = process.mta().threads(2).spawn().unwrap();
        let (at_a, at_b, at_mta) = (a.create(|| ()).unwrap(), b.create(|| ()).unwrap(), mta.create(|| ()).unwrap());
        let done = AtomicBool::new(false);
        thread::scope(|s| {
            let calls = s.spawn(|| {
                for _ in 0..2_000 {
                    let back = || at_mta.call(|()| at_b.post(|()| ()).unwrap()).unwrap();
                    at_a.call(|()| at_b.call(|()| at_a.call(|()| back()).unwrap()).unwrap()).unwrap();
                }
                done.store(true, Ordering::Relaxed);
            });
            while !done.load(Ordering::Relaxed) {
                for seen in process.snapshot().apartments {
                    let room = seen.entries.iter().filter(|entry| entry.at == EntryAt::Room).count();
                    assert_eq!(room, seen.queued);
                    // Whoever runs two things on one thread waits in the outer one.
                    let depth = seen.executing.len();
                    assert!(!seen.sta || depth <= seen.waits.len() + 1, "{seen:?}");
                }
            }
            calls.join().unwrap();
        });
    });
}
