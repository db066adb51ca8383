//! MF-9: what a filter's methods may do, and what becomes of one that panics, of its filter too.

use crate::stage::{Answers, Stage, gate, hresult, incoming, like, pending, play, rejected, secs};
use apartment::{
    Apartment, CallError, CallKind, CallOptions, CancelHandle, CantCallOut, Clock, Event, MessageClass, MessageFilter,
    Outcome, PendingAnswer, Process, Proxy, RejectedCall, Retry, ServerCall, Sta, What, current, current_call,
    discard_messages, is_cancelled, register_filter,
};
use crossbeam_channel::{Sender, unbounded};
use std::cell::{Cell, RefCell};
use std::panic::panic_any;
use std::rc::Rc;
use std::thread;

/// What a method gets at, in the apartment "home" and elsewhere.
struct Reach {
    process: Process,
    clock: Clock,
    home: Apartment,
    own: Proxy<RefCell<u32>>,
    away: Proxy<RefCell<u32>>,
    of_away: Apartment,
    _away: Sta,
}

impl Reach {
    fn of(stage: &Stage, home: &Sta) -> Result<Self, CallError> {
        let away = stage.sta("away").spawn()?;
        let own = home.create(|| RefCell::new(0))?;
        let object = away.create(|| RefCell::new(0))?;
        let of_away = away.apartment().clone();
        let (process, clock) = (stage.process.clone(), stage.clock.clone());
        Ok(Self { process, clock, home: home.apartment().clone(), own, away: object, of_away, _away: away })
    }

    /// Does all that does not leave the apartment, and tries what does.
    fn use_all(&self) {
        // Asking.
        assert_eq!(current().apartment, Some(self.home.id()));
        assert_eq!(self.process.current().apartment, Some(self.home.id()));
        let _served = current_call();
        assert!(!is_cancelled());
        self.home.queued();
        self.of_away.queued();
        drop((self.process.main_sta(), self.process.recording().unwrap().events()));
        self.process.note("from a filter");
        self.clock.advance(secs(1));
        // Direct calls, and entering once more.
        self.own.call(|n| *n.borrow_mut() += 1).unwrap();
        self.own.call_mut(|n| *n += 1).unwrap();
        let again = self.process.sta("home").enter().unwrap();
        let made = again.create(|| RefCell::new(0)).unwrap();
        assert_eq!(again.pump(), 0, "nothing is dispatched meanwhile");
        drop(again);
        // References: copied, compared, cast, packed, kept, dropped; the last ones of an object here, and of one there.
        assert!(self.own.clone() == self.own);
        let packet = made.marshal().unwrap();
        let made_again = packet.unmarshal().unwrap();
        assert!(made_again == made);
        let cookie = self.process.global_table().register(&made).unwrap();
        drop(self.process.global_table().get(&cookie).unwrap());
        self.process.global_table().revoke(&cookie).unwrap();
        drop((made, made_again));
        drop(self.away.downgrade());
        // Posts and messages, to both.
        self.own.post(|n| *n.borrow_mut() += 1).unwrap();
        self.away.post(|n| *n.borrow_mut() += 1).unwrap();
        self.home.post_message(MessageClass::User, || ()).unwrap();
        self.of_away.post_message(MessageClass::User, || ()).unwrap();
        self.home.post_message(MessageClass::Input, || panic!("discarded")).unwrap();
        assert!(discard_messages(MessageClass::Input).unwrap() >= 1);
        // Cancelling what nobody has made.
        CancelHandle::new().cancel();
        // What leaves.
        for error in [
            self.away.call(|_| ()).unwrap_err(),
            self.away.within(secs(1)).call_mut(|_| ()).unwrap_err(),
            self.away.with(&CallOptions::new().wait_for_room()).call(|_| ()).unwrap_err(),
        ] {
            assert!(matches!(error, CallError::CantCallOut(CantCallOut::InFilter)), "{error}");
        }
        // The filter itself: taken off, and set again.
        let own = register_filter(None).unwrap();
        register_filter(own).unwrap();
        // The end, of the other one.
        self.of_away.quit();
    }
}

/// What a method does: everything, and it says so.
fn uses(reach: Reach, done: Sender<()>) -> impl Fn() {
    let used = Cell::new(false);
    move || {
        if !used.replace(true) {
            reach.use_all();
            done.send(()).unwrap();
        }
    }
}

#[test]
fn mf_9_handle_incoming_may_do_whatever_does_not_leave_the_apartment() {
    play(|stage| {
        let home = stage.sta("home").spawn()?;
        let at_home = home.create(|| ())?;
        let reach = Reach::of(stage, &home)?;
        let (done, is_done) = unbounded();
        at_home.call(move |()| {
            let uses = uses(reach, done);
            register_filter(Some(Rc::new(incoming(move |_| (uses(), ServerCall::Handled).1)))).map(drop)
        })??;
        at_home.call(|()| ())?;
        is_done.recv().unwrap();
        Ok(())
    });
}

#[test]
fn mf_9_retry_rejected_may_do_whatever_does_not_leave_the_apartment() {
    play(|stage| {
        let refuses = || {
            incoming(|call| match call.kind {
                CallKind::Create => ServerCall::Handled,
                _ => ServerCall::RetryLater,
            })
        };
        let busy = stage.sta("busy").filter(refuses).spawn()?;
        let at_busy = busy.create(|| ())?;
        // As the apartment's filter, and as the call's own policy.
        for own in [false, true] {
            let home = stage.sta("home").spawn()?;
            let at_home = home.create(|| ())?;
            let reach = Reach::of(stage, &home)?;
            let (done, is_done) = unbounded();
            let error = at_home.call(|()| {
                let uses = uses(reach, done);
                let answer = move |_: &RejectedCall| (uses(), Retry::GiveUp).1;
                if own {
                    register_filter(Some(Rc::new(Answers::default()))).unwrap();
                    return at_busy.with(&CallOptions::new().retry(answer)).call(|()| ());
                }
                register_filter(Some(Rc::new(rejected(answer)))).unwrap();
                at_busy.call(|()| ())
            })?;
            assert_eq!(error.unwrap_err().hresult(), hresult::CALL_REJECTED);
            is_done.recv().unwrap();
        }
        Ok(())
    });
}

#[test]
fn mf_9_message_pending_may_do_whatever_does_not_leave_the_apartment() {
    play(|stage| {
        let home = stage.sta("home").spawn()?;
        let at_home = home.create(|| ())?;
        let callee = stage.sta("callee").spawn()?;
        let at_callee = callee.create(|| ())?;
        let reach = Reach::of(stage, &home)?;
        let (done, is_done) = unbounded();
        at_home.call(|()| {
            let uses = uses(reach, done);
            let filter = pending(move |_| (uses(), PendingAnswer::wait_def_process()).1);
            register_filter(Some(Rc::new(filter))).unwrap();
            at_callee.call(|()| {
                home.apartment().post_message(MessageClass::User, || ()).unwrap();
                is_done.recv().unwrap();
            })
        })??;
        Ok(())
    });
}

#[test]
fn mf_9_a_method_may_ask_its_own_apartment_to_quit() {
    play(|stage| {
        for (answer, runs) in [(ServerCall::Handled, true), (ServerCall::Rejected, false)] {
            let home = stage.sta("home").spawn()?;
            let at_home = home.create(|| ())?;
            let apartment = home.apartment().clone();
            let quits = apartment.clone();
            at_home.call(move |()| {
                let filter = incoming(move |_| (quits.quit(), answer).1);
                register_filter(Some(Rc::new(filter))).map(drop)
            })??;
            stage.begin();
            // It was accepted, and the door closes while the filter is asked about it.
            assert_eq!(at_home.call(|()| ()).is_ok(), runs);
            stage.until(&apartment, like!(ApartmentEnded));
            assert_eq!(at_home.call(|()| ()).unwrap_err().hresult(), hresult::DISCONNECTED);
        }
        Ok(())
    });
}

// ---- Panics

/// A filter whose methods take it off, and whose destructor panics.
struct Falls(&'static str);

impl Drop for Falls {
    fn drop(&mut self) {
        panic!("{}", self.0);
    }
}

impl MessageFilter for Falls {
    fn handle_incoming(&self, _: &apartment::IncomingCall) -> ServerCall {
        drop(register_filter(None).unwrap());
        ServerCall::Handled
    }

    fn retry_rejected(&self, _: &RejectedCall) -> Retry {
        drop(register_filter(None).unwrap());
        Retry::GiveUp
    }

    fn message_pending(&self, _: &apartment::PendingMessage) -> PendingAnswer {
        drop(register_filter(None).unwrap());
        PendingAnswer::wait_def_process()
    }
}

fn fell(event: &Event, message: &str) -> bool {
    matches!(&event.what, What::Contained { place: "a filter's destructor", message: told } if **told == *message)
}

#[test]
fn mf_9_the_destructor_of_a_filter_that_was_asked_last_is_contained() {
    play(|stage| {
        let refuses = || {
            incoming(|call| match call.kind {
                CallKind::Create => ServerCall::Handled,
                _ => ServerCall::Rejected,
            })
        };
        let busy = stage.sta("busy").filter(refuses).spawn()?;
        let (home, callee) = (stage.sta("home").spawn()?, stage.sta("callee").spawn()?);
        let (at_busy, at_home, at_callee) = (busy.create(|| ())?, home.create(|| ())?, callee.create(|| ())?);
        let set = |name| at_home.call(move |()| register_filter(Some(Rc::new(Falls(name)))).map(drop)).unwrap();

        set("incoming")?;
        at_home.call(|()| ())?;
        stage.until_any(|event| fell(event, "incoming"));

        at_home.call(|()| {
            register_filter(Some(Rc::new(Falls("rejected")))).unwrap();
            assert_eq!(at_busy.call(|()| ()).unwrap_err().hresult(), hresult::CALL_REJECTED);
        })?;
        stage.until_any(|event| fell(event, "rejected"));

        at_home.call(|()| {
            register_filter(Some(Rc::new(Falls("pending")))).unwrap();
            let pends = || {
                home.apartment().post_message(MessageClass::User, || ()).unwrap();
                stage.until_any(|event| fell(event, "pending"));
            };
            at_callee.call(|()| pends()).unwrap();
        })?;

        // Its apartment ends with it.
        set("the end")?;
        let apartment = home.apartment().clone();
        drop(home);
        stage.until_any(|event| fell(event, "the end"));
        stage.until(&apartment, like!(ApartmentEnded { abnormal: false }));
        Ok(())
    });
}

/// A payload that panics when it is dropped.
struct Payload;

impl Drop for Payload {
    fn drop(&mut self) {
        panic_any(Payload);
    }
}

#[test]
fn mf_9_a_panic_whose_payload_panics_counts_as_any_other() {
    play(|stage| {
        let home = stage.sta("home").spawn()?;
        let callee = stage.sta("callee").spawn()?;
        let (at_home, at_callee) = (home.create(|| ())?, callee.create(|| ())?);
        let filter = || {
            Answers::default()
                .incoming(
                    |call| if call.kind == CallKind::Synchronous { panic_any(Payload) } else { ServerCall::Handled },
                )
                .rejected(|_| panic_any(Payload))
                .pending(|_| panic_any(Payload))
        };
        at_home.call(move |()| register_filter(Some(Rc::new(filter()))).map(drop))??;
        stage.begin();
        let error = at_home.call(|()| ()).unwrap_err();
        assert_eq!((error.hresult(), error.outcome()), (hresult::CALL_REJECTED, Outcome::NotStarted));
        // Its own call, refused by itself, as it were: by another with the same filter.
        at_callee.call(move |()| register_filter(Some(Rc::new(filter()))).map(drop))??;
        let (told, tells) = unbounded();
        let window = home.apartment().clone();
        let called = at_callee.clone();
        at_home.post(move |()| told.send(called.call(|()| ())).unwrap())?;
        assert_eq!(tells.recv().unwrap().unwrap_err().hresult(), hresult::CALL_REJECTED);
        let quiet = stage.sta("quiet").spawn()?;
        let at_quiet = quiet.create(|| ())?;
        let (key, gate) = gate();
        let (ended, ends) = unbounded();
        at_home.post(move |()| ended.send(at_quiet.call(|()| gate.pass())).unwrap())?;
        thread::scope(|_| {
            stage.until_any(|event| event.apartment == Some(quiet.apartment().id()) && like!(Began)(&event.what));
            window.post_message(MessageClass::Paint, || ()).unwrap();
            stage.until(&window, like!(PendingAsked));
            key.open();
        });
        ends.recv().unwrap()?;
        let places: Vec<_> = stage
            .events()
            .into_iter()
            .filter_map(|event| match event.what {
                What::Contained { place, .. } => Some(place),
                _ => None,
            })
            .collect();
        // At home; at the callee, and what home makes of it; the posts, which are let in; the message.
        for (place, times) in [("handle_incoming", 2), ("retry_rejected", 1), ("message_pending", 1)] {
            assert_eq!(places.iter().filter(|told| **told == place).count(), times, "{place}: {places:?}");
        }
        Ok(())
    });
}
