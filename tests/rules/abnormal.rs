//! Abnormal ends: nobody waits for ever, nothing is leaked, and the program goes on (rules LT-3, LT-4, LT-1).

use crate::ma::with_the_locals;
use crate::stage::{Answers, Stage, gate, hresult, like, play, secs};
use crate::support::{forget, in_child, is_child, join, must_end};
use apartment::{
    CallError, CallOptions, EndHandler, Entered, MessageClass, MessageFilter, PostOptions, Process, Proxy,
    RejectedCall, Retry, ServerCall, Signal, WaitFor, What, Worker, current, register_filter, wait_any,
};
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::channel;
use std::thread;

#[track_caller]
fn number<T>(result: Result<T, CallError>) -> u32 {
    result.map(drop).expect_err("it is not to succeed").hresult()
}

/// Counts what there is of something: at the end of a test nothing may be left.
#[derive(Clone, Default)]
struct Count(Arc<AtomicUsize>);

/// One that counts as long as it lives.
struct One(Arc<AtomicUsize>);

impl Count {
    fn one(&self) -> One {
        self.0.fetch_add(1, SeqCst);
        One(Arc::clone(&self.0))
    }

    fn left(&self) -> usize {
        self.0.load(SeqCst)
    }
}

impl Drop for One {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

/// A payload whose destructor panics, with another of its kind.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic_any(Bomb);
    }
}

/// A panic of a bomb's, which is forgotten: it would go off once more.
#[track_caller]
fn goes_off(run: impl FnOnce()) {
    forget(catch_unwind(AssertUnwindSafe(run)).expect_err("there is a bomb in it"));
}

/// Does something when it is dropped.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

fn options<'a>(waits: bool) -> CallOptions<'a> {
    let options = CallOptions::new();
    if waits { options.wait_for_room() } else { options }
}

fn waits_for(on: WaitFor) -> impl Fn(&What) -> bool {
    move |what| {
        matches!(what, What::WaitBegan { on: is, .. } if *is == on)
            || matches!(what, What::WaitTurned { on: is, .. } if *is == on)
    }
}

// ---- A thread that ends out of order, and everybody who counts on it

/// A thread becomes an STA of two places, with an object; when everybody is there, it ends as `ends` makes it.
fn ends_out_of_order(ends: fn(Entered)) {
    play(move |s| {
        let count = Count::default();
        let (mta, b, c) = (s.mta().spawn()?, s.sta("b").spawn()?, s.sta("c").spawn()?);
        let (give, given) = channel();
        let (key, closed) = gate();
        let owner = thread::spawn({
            let (builder, count) = (s.sta("dies").capacity(2), count.clone());
            move || {
                let entered = builder.enter().unwrap();
                let object = entered.create(|| count.one()).unwrap();
                give.send((object, entered.apartment().clone())).unwrap();
                closed.pass();
                ends(entered);
            }
        });
        let (object, apartment) = given.recv().unwrap();
        let weak = object.downgrade();
        // Two calls that are accepted: one from a thread, one from an STA, which is then buried under a call that goes on.
        let caller = |waits: bool| {
            let (object, one) = (object.clone(), count.one());
            move || {
                number(object.with(&options(waits)).call(move |_| panic!("it must not run: {}", one.0.load(SeqCst))))
            }
        };
        let first = thread::spawn(caller(false));
        s.until(&apartment, like!(Queued));
        let at_b = b.create(|| ())?;
        let (tell, told) = channel();
        let (buried, says) = (caller(false), tell.clone());
        at_b.post(move |()| says.send(("b", buried())).unwrap())?;
        s.until_nth(2, &apartment, like!(Queued));
        let (over_key, over) = gate();
        at_b.post(move |()| over.pass())?;
        s.until_nth(3, b.apartment(), like!(Began));
        // In the line for room: a thread of the pool, an STA, and a post; and a call that stands on another clock's time.
        let (at_mta, at_c) = (mta.create(|| ())?, c.create(|| ())?);
        for (name, at) in [("mta", &at_mta), ("c", &at_c)] {
            let (waits, says) = (caller(true), tell.clone());
            at.post(move |()| says.send((name, waits())).unwrap())?;
        }
        let (posts, one) = (object.clone(), count.one());
        let poster = thread::spawn(move || {
            let refused = posts.with(&PostOptions::new().wait_for_room()).post(move |_| drop(one)).unwrap_err();
            refused.error().hresult()
        });
        let in_line = waits_for(WaitFor::Room);
        let left = Cell::new(3);
        let _all_there = s.until_any(|event| {
            in_line(&event.what) && {
                left.set(left.get() - 1);
                left.get() == 0
            }
        });
        // Who waits for the thread, and who waits for its apartment: the end of the process.
        let process = s.process.clone();
        let joiner = thread::spawn(move || {
            let joined = owner.join().is_ok();
            (joined, process)
        });
        key.open();
        assert_eq!(join(first), hresult::SERVER_DIED_DNE);
        assert_eq!(join(poster), hresult::DISCONNECTED);
        let mut answers = [told.recv().unwrap(), told.recv().unwrap()];
        answers.sort();
        assert_eq!(answers, [("c", hresult::DISCONNECTED), ("mta", hresult::DISCONNECTED)]);
        let (_joined, process) = join(joiner);
        s.until(&apartment, like!(ApartmentEnded { abnormal: true }));
        // The buried one is answered in its turn.
        assert!(told.try_recv().is_err());
        over_key.open();
        assert_eq!(told.recv().unwrap(), ("b", hresult::SERVER_DIED_DNE));
        assert_eq!(number(object.call(|_| ())), hresult::DISCONNECTED);
        assert!(object.disconnect().is_err() || number(object.call(|_| ())) == hresult::DISCONNECTED);
        drop((b, c, at_b, at_c, at_mta, mta));
        assert_eq!(count.left(), 0, "everything that they carried is gone");
        assert!(process.end(secs(5)).unwrap().still_in.is_empty());
        drop((object, weak));
        Ok(())
    });
}

#[test]
fn lt_3_everybody_who_counts_on_a_thread_that_leaks_its_guard_is_answered() {
    ends_out_of_order(forget);
}

#[test]
fn lt_3_everybody_who_counts_on_an_adopted_thread_whose_owner_panics_is_answered() {
    ends_out_of_order(|entered| {
        let _entered = entered;
        panic_any("the owner's own panic");
    });
}

#[test]
fn lt_3_an_owner_that_panics_with_calls_in_flight_in_both_directions_leaves_nobody_waiting() {
    play(|s| {
        let count = Count::default();
        let b = s.sta("b").spawn()?;
        let at_b = b.create(|| ())?;
        let (give, given) = channel();
        let (key, closed) = gate();
        let owner = thread::spawn({
            let (builder, at_b, count) = (s.sta("a"), at_b.clone(), count.clone());
            move || {
                let entered = builder.enter().unwrap();
                let object = entered.create(|| count.one()).unwrap();
                let back = object.clone();
                let one = count.one();
                // On its way when the owner panics: it runs in `b` and calls back.
                at_b.post(move |()| {
                    let _one = one;
                    give.send(back.apartment().unwrap()).unwrap();
                    closed.pass();
                    give.send(back.apartment().unwrap()).unwrap();
                    assert!([hresult::SERVER_DIED_DNE, hresult::DISCONNECTED].contains(&number(back.call(|_| ()))));
                })
                .unwrap();
                let _entered = entered;
                panic_any("the owner's own panic");
            }
        });
        let apartment = given.recv().unwrap();
        assert!(owner.join().is_err());
        s.until(&apartment, like!(ApartmentEnded { abnormal: true }));
        key.open();
        given.recv().unwrap();
        at_b.call(|()| ())?;
        drop((b, at_b));
        assert_eq!(count.left(), 0);
        Ok(())
    });
}

#[test]
fn lt_3_an_owner_whose_panic_passes_through_a_call_of_its_own_is_answered_before() {
    // The panic begins in a callback, is the callback's alone, and the owner's own comes afterwards.
    play(|s| {
        let (give, given) = channel();
        let b = s.sta("b").spawn()?;
        let at_b = b.create(|| ())?;
        let builder = s.sta("a");
        let calls = at_b.clone();
        let owner = thread::spawn(move || {
            let entered = builder.enter().unwrap();
            let object = entered.create(|| ()).unwrap();
            give.send(entered.apartment().clone()).unwrap();
            let back = object.clone();
            calls.call(|()| back.call(|()| panic_any("a callback's"))).unwrap().expect("which the owner makes its own");
        });
        let apartment = given.recv().unwrap();
        assert!(owner.join().is_err());
        s.until(&apartment, like!(ApartmentEnded { abnormal: true }));
        at_b.call(|()| ())
    });
}

/// A program that exits in the middle of a call destroys the locals of the thread that runs it, while that is in its
/// apartment: the one way in which a call can be running when its thread ends. (Where the system does not run them then,
/// nobody has the time to see an answer.)
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[test]
fn lt_3_an_owned_call_that_runs_when_its_threads_locals_are_destroyed_is_server_died() {
    const NAME: &str = "abnormal::lt_3_an_owned_call_that_runs_when_its_threads_locals_are_destroyed_is_server_died";
    use crate::patience::patience;
    use apartment::Outcome;
    use std::sync::mpsc::RecvTimeoutError;
    if !is_child() {
        return in_child(NAME);
    }
    let process = Process::new();
    let ((give, given), (tell, told)) = (channel(), channel::<(u32, Outcome)>());
    let (tell_lent, told_lent) = channel::<()>();
    let (queue, queued) = channel::<u32>();
    let builder = process.sta("exits");
    let owner = thread::spawn(move || {
        // Made before the library's own locals, and so dropped after them: the last to go before the program.
        with_the_locals(OnDrop(move || {
            let answer = told.recv_timeout(patience());
            let in_queue = queued.recv_timeout(patience());
            let lent = told_lent.recv_timeout(std::time::Duration::ZERO);
            println!("{answer:?} {in_queue:?} {lent:?}");
            let right = answer == Ok((0x8001_0007, Outcome::MayHaveRun)) && in_queue == Ok(hresult::SERVER_DIED_DNE);
            if !right || lent != Err(RecvTimeoutError::Timeout) {
                std::process::abort();
            }
        }));
        let entered = builder.enter().unwrap();
        give.send((entered.create(|| ()).unwrap(), entered.apartment().clone())).unwrap();
        entered.run();
    });
    let (object, apartment) = given.recv().unwrap();
    // A call that lends stands below the one that exits, and another one waits behind that.
    let (lends, serves) = (object.clone(), Signal::auto());
    let (stand, stands) = channel();
    let standing = stand.clone();
    thread::spawn(move || {
        let answered = lends.call(|()| {
            standing.send(()).unwrap();
            wait_any(&[&serves], None)
        });
        tell_lent.send(()).unwrap_or_else(|_| panic!("{answered:?}"));
    });
    stands.recv().unwrap();
    let owned = object.clone();
    thread::spawn(move || {
        let waits = move |(): &()| {
            stand.send(()).unwrap();
            while apartment.queued() == 0 {
                thread::yield_now();
            }
            std::process::exit(0)
        };
        let error = owned.call_owned(waits).map(drop).unwrap_err();
        tell.send((error.hresult(), error.outcome())).unwrap();
    });
    stands.recv().unwrap();
    queue.send(number(object.call(|()| panic!("it must not run")))).unwrap();
    drop(owner.join());
    panic!("the program goes on");
}

// ---- LT-4: payloads whose destructors panic

struct Panics;

impl MessageFilter for Panics {
    fn handle_incoming(&self, _: &apartment::IncomingCall) -> ServerCall {
        panic_any(Bomb)
    }

    fn retry_rejected(&self, _: &RejectedCall) -> Retry {
        panic_any(Bomb)
    }

    fn message_pending(&self, _: &apartment::PendingMessage) -> apartment::PendingAnswer {
        panic_any(Bomb)
    }
}

impl EndHandler for Panics {
    fn query_end(&self) -> bool {
        panic_any(Bomb)
    }

    fn ending(&self) {
        panic_any(Bomb)
    }
}

#[test]
fn lt_4_a_payload_whose_destructor_panics_is_forgotten_wherever_it_comes_from() {
    const NAME: &str = "abnormal::lt_4_a_payload_whose_destructor_panics_is_forgotten_wherever_it_comes_from";
    if !is_child() {
        return in_child(NAME);
    }
    play(|s| {
        let (sta, mta) = (s.sta("sta").spawn()?, s.mta().spawn()?);
        let (at_sta, at_mta, free) = (sta.create(|| ())?, mta.create(|| ())?, s.process.free_threaded(())?);
        for object in [&at_sta, &at_mta, &free] {
            // A call, of each kind; a post.
            assert_eq!(number(object.call(|()| panic_any(Bomb))), hresult::SERVER_FAULT);
            assert_eq!(number(object.call_owned(|()| panic_any(Bomb))), hresult::SERVER_FAULT);
            object.post(|()| panic_any(Bomb))?;
            object.call(|()| ())?;
        }
        at_sta.call(|()| assert_eq!(number(at_sta.call(|()| panic_any(Bomb))), hresult::SERVER_FAULT))?;
        at_mta.call(|()| assert_eq!(number(at_mta.call(|()| panic_any(Bomb))), hresult::SERVER_FAULT))?;
        // A constructor, which may panic with one while another is dropped; a message; a destructor.
        assert_eq!(number(sta.create(|| -> Bomb { panic_any(Bomb) })), hresult::SERVER_FAULT);
        assert_eq!(number(mta.create(|| -> Bomb { panic_any(Bomb) })), hresult::SERVER_FAULT);
        sta.apartment().post_message(MessageClass::User, || panic_any(Bomb))?;
        drop((sta.create(|| Bomb)?, mta.create(|| Bomb)?, s.process.free_threaded(Bomb)?));
        at_sta.call(|()| ())?;
        at_mta.call(|()| ())?;
        // A result that panics when it goes belongs to the caller.
        goes_off(|| drop(at_sta.call(|()| Bomb)));
        // A worker.
        drop(Worker::spawn("worker", || -> Bomb { panic_any(Bomb) })?);
        // A filter's three methods, a call's own policy, an end handler.
        let busy = s.sta("busy").filter(|| Panics).end_handler(|| Panics).spawn()?;
        assert_eq!(number(busy.create(|| ())), hresult::CALL_REJECTED);
        let refuses = Answers::default();
        let at_busy = {
            // Set from a message, which no filter is asked about.
            busy.apartment().post_message(MessageClass::User, || drop(register_filter(None).unwrap()))?;
            s.until(busy.apartment(), like!(MessageEnded));
            let at_busy = busy.create(|| ())?;
            at_busy.call(|()| drop(register_filter(Some(Rc::new(Panics))).unwrap()))?;
            at_busy
        };
        drop(refuses);
        let options = CallOptions::new().retry(|_: &RejectedCall| -> Retry { panic_any(Bomb) });
        assert_eq!(number(at_busy.with(&options).call(|()| ())), hresult::CALL_REJECTED);
        let ui = s.sta("ui").filter(|| Panics).enter()?;
        ui.apartment().post_message(MessageClass::Paint, || ())?;
        assert_eq!(number(at_busy.call(|()| ())), hresult::CALL_REJECTED, "it has asked its own filter");
        at_sta.call(|()| ())?;
        ui.leave();
        let refused = s.process.end(secs(5)).unwrap_err();
        assert!(refused.to_string().contains("busy"), "{refused}");
        Ok(())
    });
}

// ---- A panic while another unwinds

/// Unwinds through a destructor that does that, on this thread; nothing of it may abort the program.
fn while_unwinding(does: impl FnMut()) {
    let unwound = catch_unwind(AssertUnwindSafe(|| {
        let _last_words = OnDrop(does);
        panic_any("the outer one");
    }));
    assert_eq!(*unwound.unwrap_err().downcast::<&str>().unwrap(), "the outer one");
}

fn calls_in_vain(s: &Stage, at_sta: &Proxy<()>, at_mta: &Proxy<()>, own: Option<&Proxy<()>>) {
    for object in [at_sta, at_mta] {
        assert_eq!(number(object.call(|()| panic_any("the callee's"))), hresult::SERVER_FAULT);
        assert_eq!(number(object.call(|()| panic_any(Bomb))), hresult::SERVER_FAULT);
        assert_eq!(number(object.call_owned(|()| panic_any(Bomb))), hresult::SERVER_FAULT);
        object.post(|()| panic_any(Bomb)).unwrap();
        if let Some(own) = own {
            object.call(|()| assert_eq!(number(own.call(|()| panic_any(Bomb))), hresult::SERVER_FAULT)).unwrap();
            assert_eq!(number(own.call(|()| panic_any(Bomb))), hresult::SERVER_FAULT);
        }
        object.call(|()| ()).unwrap();
    }
    // What is made meanwhile goes, and what is made of bombs does, too.
    let made = s.sta("made").spawn().unwrap();
    let apartment = made.apartment().clone();
    drop((made.create(|| Bomb).unwrap(), made));
    s.until(&apartment, like!(ApartmentEnded { abnormal: false }));
    let worker = Worker::spawn("worker", || -> Bomb { panic_any(Bomb) }).unwrap();
    let payload = worker.join().unwrap();
    goes_off(|| drop(payload));
    let signal = Signal::auto();
    let sets = signal.clone();
    at_sta.post(move |()| sets.set()).unwrap();
    assert_eq!(wait_any(&[&signal], None).unwrap(), 0);
}

#[test]
fn lt_4_a_panic_in_a_call_that_is_made_while_another_panic_unwinds_goes_to_its_caller() {
    const NAME: &str = "abnormal::lt_4_a_panic_in_a_call_that_is_made_while_another_panic_unwinds_goes_to_its_caller";
    if !is_child() {
        return in_child(NAME);
    }
    play(|s| {
        let (sta, mta, other) = (s.sta("sta").spawn()?, s.mta().spawn()?, s.sta("other").spawn()?);
        let (at_sta, at_mta, at_other) = (sta.create(|| ())?, mta.create(|| ())?, other.create(|| ())?);
        // In no apartment; in an STA that entered; in a method of an STA, of the MTA, of a message.
        while_unwinding(|| calls_in_vain(s, &at_sta, &at_mta, None));
        let ui = s.sta("ui").enter()?;
        let own = ui.create(|| ())?;
        while_unwinding(|| calls_in_vain(s, &at_sta, &at_mta, Some(&own)));
        own.call(|()| while_unwinding(|| calls_in_vain(s, &at_sta, &at_mta, Some(&own))))?;
        at_other.call(|()| while_unwinding(|| calls_in_vain(s, &at_sta, &at_mta, Some(&own))))?;
        at_mta.call(|()| while_unwinding(|| calls_in_vain(s, &at_sta, &at_other, Some(&own))))?;
        // The method's own panic, through which it calls.
        let thrown = at_other.call(|()| {
            let _last_words = OnDrop(|| calls_in_vain(s, &at_sta, &at_mta, Some(&own)));
            panic_any("the method's");
        });
        assert_eq!(number(thrown), hresult::SERVER_FAULT);
        ui.leave();
        Ok(())
    });
}

#[test]
fn lt_4_what_is_served_while_another_panic_unwinds_may_panic_filters_and_destructors_too() {
    const NAME: &str =
        "abnormal::lt_4_what_is_served_while_another_panic_unwinds_may_panic_filters_and_destructors_too";
    if !is_child() {
        return in_child(NAME);
    }
    play(|s| {
        let b = s.sta("b").spawn()?;
        let at_b = b.create(|| ())?;
        let ui = s.sta("ui").enter()?;
        let own = ui.create(|| ())?;
        let apartment = ui.apartment().clone();
        while_unwinding(|| {
            drop(register_filter(Some(Rc::new(Panics))).unwrap());
            at_b.call(|()| {
                // Refused by a filter that panics; a release whose destructor does.
                assert_eq!(number(own.call(|()| ())), hresult::CALL_REJECTED);
            })
            .unwrap();
            drop(register_filter(None).unwrap());
            let bomb = ui.create(|| Bomb).unwrap();
            at_b.call(move |()| drop(bomb)).unwrap();
            apartment.post_message(MessageClass::Paint, || panic_any(Bomb)).unwrap();
            at_b.call(|()| own.call(|()| ()).unwrap()).unwrap();
            ui.pump();
        });
        assert!(own.call(|()| current().kind.is_some())?);
        ui.leave();
        s.until(&apartment, like!(ApartmentEnded { abnormal: false }));
        Ok(())
    });
}

/// Something that is dropped with its object.
type Things = RefCell<Option<Box<dyn std::any::Any + Send>>>;

// ---- Panics while an apartment leaves, while a wait is nested, and in a release

#[test]
fn lt_4_filters_and_destructors_that_panic_while_an_apartment_leaves_are_contained() {
    const NAME: &str = "abnormal::lt_4_filters_and_destructors_that_panic_while_an_apartment_leaves_are_contained";
    if !is_child() {
        return in_child(NAME);
    }
    play(|s| {
        let count = Count::default();
        let b = s.sta("b").spawn()?;
        let at_b = b.create(|| ())?;
        for spawned in [true, false] {
            let (key, closed) = gate();
            // It calls out when it goes, is called back, and both panic.
            let last_words = |own: &Proxy<Things>| {
                let (one, at_b, own) = (count.one(), at_b.clone(), own.clone());
                OnDrop(move || {
                    let _one = &one;
                    at_b.call(|()| assert!(own.call(|_| panic_any(Bomb)).is_err())).unwrap();
                    panic_any(Bomb);
                })
            };
            let body = |object: &Proxy<Things>| {
                let words = last_words(object);
                object.post(move |_| closed.pass()).unwrap();
                object.post(move |things| *things.borrow_mut() = Some(Box::new(words))).unwrap();
                object.post(|_| drop(register_filter(Some(Rc::new(Panics))).unwrap())).unwrap();
            };
            let caller = |object: &Proxy<Things>| {
                let (object, one) = (object.clone(), count.one());
                thread::spawn(move || number(object.call(move |_| drop(one))))
            };
            if spawned {
                let sta = s.sta("leaves").spawn()?;
                let (object, _bomb) = (sta.create(Things::default)?, sta.create(|| Bomb)?);
                body(&object);
                let late = caller(&object);
                s.until_nth(6, sta.apartment(), like!(Queued));
                sta.quit();
                key.open();
                assert_eq!(join(late), hresult::CALL_REJECTED);
                sta.join()?;
            } else {
                let ui = s.sta("leaves").enter()?;
                let (object, _bomb) = (ui.create(Things::default)?, ui.create(|| Bomb)?);
                key.open();
                body(&object);
                let late = caller(&object);
                s.until_nth(4, ui.apartment(), like!(Queued));
                ui.leave();
                assert_eq!(join(late), hresult::CALL_REJECTED);
            }
        }
        drop((b, at_b));
        // What holds a payload that panics is dropped by it.
        assert_eq!(count.left(), 0);
        Ok(())
    });
}

#[test]
fn lt_4_constructors_and_releases_that_panic_in_a_nested_wait_are_contained() {
    const NAME: &str = "abnormal::lt_4_constructors_and_releases_that_panic_in_a_nested_wait_are_contained";
    if !is_child() {
        return in_child(NAME);
    }
    play(|s| {
        let (a, b) = (s.sta("a").spawn()?, s.sta("b").spawn()?);
        let (at_a, at_b) = (a.create(|| ())?, b.create(|| ())?);
        let bombs: Vec<_> = (0..3).map(|_| a.create(|| Bomb)).collect::<Result<_, _>>()?;
        at_a.call(|()| {
            at_b.call(|()| {
                // Served in the wait of `a`, two deep.
                at_a.call(|()| {
                    at_b.call(|()| {
                        assert_eq!(number(a.create(|| -> () { panic_any(Bomb) })), hresult::SERVER_FAULT);
                        drop(bombs);
                        assert_eq!(number(at_a.call(|()| panic_any(Bomb))), hresult::SERVER_FAULT);
                    })
                    .unwrap();
                })
                .unwrap();
            })
            .unwrap();
        })?;
        assert_eq!(s.count(a.apartment(), like!(Contained { place: "a destructor" })), 3);
        Ok(())
    });
}

// ---- A process that ends with calls in flight

#[test]
fn lt_8_a_process_that_ends_with_calls_in_flight_answers_all_of_them() {
    play(|s| {
        let count = Count::default();
        let (a, mta) = (s.sta("a").capacity(1).spawn()?, s.mta().spawn()?);
        let b = s.sta("b").spawn()?;
        let (at_a, at_b, at_mta) = (a.create(|| ())?, b.create(|| count.one())?, mta.create(|| count.one())?);
        let (key, closed) = gate();
        // A chain through all three that stands in `a`; one call queued there, one in the line, and a post.
        let runs = thread::spawn({
            let (at_a, at_b, at_mta, one) = (at_a.clone(), at_b.clone(), at_mta.clone(), count.one());
            move || {
                let _one = one;
                at_mta.call(|_| at_b.call(|_| at_a.call(|()| closed.pass())))
            }
        });
        s.until_nth(2, a.apartment(), like!(Began));
        let caller = |waits: bool| {
            let (object, one) = (at_a.clone(), count.one());
            thread::spawn(move || object.with(&options(waits)).call(move |()| drop(one)))
        };
        let queued = caller(false);
        s.until_nth(3, a.apartment(), like!(Queued));
        let waits = caller(true);
        s.until_any(|event| waits_for(WaitFor::Room)(&event.what));
        let process = s.process.clone();
        let ends = thread::spawn(move || process.end(secs(5)).map(|ended| ended.still_in.len()));
        s.until(b.apartment(), like!(DoorClosed));
        key.open();
        join(runs)???;
        // Room was free before its apartment was asked to quit, or not.
        assert!(matches!(join(waits), Ok(()) | Err(CallError::Disconnected(_))));
        join(queued)?;
        assert_eq!(join(ends).unwrap(), 0);
        assert_eq!(count.left(), 0);
        for gone in [at_a.call(|()| ()), at_b.call(|_| ()), at_mta.call(|_| ())] {
            assert_eq!(number(gone), hresult::DISCONNECTED);
        }
        Ok(())
    });
}

// ---- Thread-locals that are being destroyed

#[test]
fn lt_1_the_last_reference_may_go_in_a_thread_locals_destructor_whatever_became_of_the_apartment() {
    must_end(|| {
        let count = Count::default();
        let process = Process::builder().record(10_000).build();
        let (lives, dies) = (process.sta("lives").spawn().unwrap(), process.sta("dies").spawn().unwrap());
        let mta = process.mta().spawn().unwrap();
        let proxies = [lives.create(|| count.one()).unwrap(), dies.create(|| count.one()).unwrap()];
        let (at_mta, free) = (mta.create(|| count.one()).unwrap(), process.free_threaded(count.one()).unwrap());
        let calls = lives.create(|| Cell::new(0)).unwrap();
        let counts = calls.clone();
        drop(dies);
        join(thread::spawn({
            move || {
                let mut kept = Some((proxies, at_mta, free, counts));
                with_the_locals(OnDrop(move || {
                    let (proxies, at_mta, free, counts) = kept.take().unwrap();
                    counts.call(|n| n.set(n.get() + 1)).unwrap();
                    assert_eq!(number(counts.call(|_| panic_any("there"))), hresult::SERVER_FAULT);
                    assert_eq!(number(proxies[1].call(|_| ())), hresult::DISCONNECTED);
                    drop((proxies, at_mta, free, counts));
                }));
                current();
            }
        }));
        // A call after the releases is served after them.
        assert_eq!(calls.call(Cell::get).unwrap(), 1);
        drop((calls, lives, mta));
        assert_eq!(count.left(), 0);
    });
}

#[test]
fn lt_3_a_worker_that_leaks_its_guard_is_joined_and_its_apartment_ends() {
    play(|s| {
        let builder = s.sta("leaks");
        let (give, given) = channel();
        let count = Count::default();
        let one = count.one();
        let worker = Worker::spawn("worker", move || {
            let entered = builder.enter().unwrap();
            give.send(entered.create(|| one).unwrap()).unwrap();
            forget(entered);
        })?;
        let object = given.recv().unwrap();
        let apartment = object.apartment().unwrap();
        let caller = thread::spawn(move || number(object.call(|_| ())));
        worker.join()?.unwrap();
        assert!([hresult::SERVER_DIED_DNE, hresult::DISCONNECTED].contains(&join(caller)));
        s.until(&apartment, like!(ApartmentEnded { abnormal: true }));
        assert_eq!(count.left(), 0);
        Ok(())
    });
}
