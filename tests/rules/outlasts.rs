//! CL-3, AP-8: hosts, and creations that outlast an apartment that ends. Every host is asked to quit here: so each of
//! these is a model, too.

use crate::stage::{Stage, gate, like, play};
use crate::support::must_end;
use apartment::{CallError, Class, Kind, Process, Proxy, Sta, WaitFor, WhyDisconnected, current, implements};
use crossbeam_channel::{Receiver, unbounded};

struct Object;
implements!(Object);

fn classes(process: &Process) {
    process.register_class("Single", Class::single(|| Object)).unwrap();
    process.register_class("Apartment", Class::apartment(|| Object)).unwrap();
    process.register_class("Free", Class::free(|| Object)).unwrap();
}

#[test]
fn ap_8_a_thread_of_a_host_says_that_it_is_one_s() {
    must_end(|| {
        let process = Process::new();
        classes(&process);
        let sta = process.create_instance::<Object>("Apartment").unwrap();
        let now = sta.call(|_| current()).unwrap();
        assert_eq!((now.kind, now.host, now.implicit), (Some(Kind::Sta), true, false));
        let other = process.sta("other").enter().unwrap();
        assert!(!process.current().host);
        other.leave();
        sta.apartment().unwrap().quit();
    });
}

type Made = Result<Proxy<Object>, CallError>;

/// The main STA stands in a call, and was asked to quit; `creator` waits for its end, to make an object where that was.
fn outlasts(stage: &Stage, creator: &Sta) -> Result<(Sta, crate::stage::Key, Receiver<Made>), CallError> {
    classes(&stage.process);
    let main = stage.sta("main").spawn()?;
    let (at_main, from) = (main.create(|| ())?, creator.create(|| ())?);
    let (key, gate) = gate();
    let (arrived, arrives) = unbounded();
    at_main.post(move |()| {
        arrived.send(()).unwrap();
        gate.pass();
    })?;
    arrives.recv().unwrap();
    main.quit();
    let (tell, told) = unbounded();
    let process = stage.process.clone();
    from.post(move |()| tell.send(process.create_instance::<Object>("Single")).unwrap())?;
    stage.until(creator.apartment(), like!(WaitBegan { on: WaitFor::Thread }));
    Ok((main, key, told))
}

/// An STA that is not the main one: that place is taken, and free again.
fn not_main(stage: &Stage) -> Result<Sta, CallError> {
    let first = stage.sta("first").enter()?;
    let sta = stage.sta("creator").spawn()?;
    first.leave();
    Ok(sta)
}

#[test]
fn cl_3_a_creation_stops_waiting_for_the_main_sta_when_its_own_apartment_is_asked_to_quit() {
    play(|stage| {
        let creator = not_main(stage)?;
        let (main, key, told) = outlasts(stage, &creator)?;
        creator.quit();
        let error = told.recv().unwrap().unwrap_err();
        assert!(matches!(&error, CallError::Disconnected(it) if it.why == WhyDisconnected::Quitting), "{error}");
        key.open();
        main.join()?;
        creator.join()
    });
}

#[test]
fn cl_3_a_creation_waits_until_the_main_sta_has_ended_and_is_made_in_a_host() {
    play(|stage| {
        let creator = not_main(stage)?;
        let (main, key, told) = outlasts(stage, &creator)?;
        key.open();
        let home = told.recv().unwrap()?.apartment().unwrap();
        assert_ne!(&home, main.apartment());
        home.quit();
        main.join()
    });
}

#[test]
fn cl_3_a_creation_for_a_destructor_of_the_mta_s_end_does_not_wait_for_that() {
    struct Ends(Box<dyn Fn() + Send + Sync>);
    impl Drop for Ends {
        fn drop(&mut self) {
            (self.0)();
        }
    }
    must_end(|| {
        let process = Process::new();
        classes(&process);
        let (mta, sta) = (process.mta().spawn().unwrap(), process.sta("sta").spawn().unwrap());
        let there = sta.create(|| ()).unwrap();
        let (tell, told) = unbounded();
        let of = process.clone();
        let end = Ends(Box::new(move || {
            let made = there.call(|()| of.create_instance::<Object>("Free").map(drop)).unwrap();
            tell.send(made.map_err(|error| error.hresult())).unwrap();
        }));
        let kept = mta.create(|| end).unwrap();
        drop(mta);
        assert_eq!(told.recv().unwrap(), Err(0x8001_0108), "the MTA keeps no objects any more");
        drop(kept);
    });
}
