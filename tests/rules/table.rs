//! MA-8: the global interface table.

use crate::ma::{Other, Told, barred, dropped, here, is_disconnected, with_the_locals};
use crate::stage::{like, play};
use crate::support::{Log, join};
use apartment::{
    CallError, Cookie, Event, Outcome, PacketForm, Process, Proxy, What, WhyDisconnected, current_call, implements,
    interface,
};
use std::collections::HashSet;
use std::panic::panic_any;
use std::thread;

#[track_caller]
fn is_invalid<T>(result: Result<T, CallError>) {
    let error = result.map(|_| ()).unwrap_err();
    assert!(matches!(error, CallError::InvalidCookie), "{error}");
    assert_eq!((error.hresult(), error.outcome()), (0x8007_0057, Outcome::NotStarted));
}

#[test]
fn ma_8_a_reference_is_registered_had_and_revoked_from_anywhere() {
    play(|stage| {
        let (home, other, mta) = (stage.sta("home").spawn()?, stage.sta("other").spawn()?, stage.mta().spawn()?);
        let (at_home, at_other, in_mta) = (home.create(|| ())?, other.create(|| ())?, mta.create(|| ())?);
        let table = stage.process.global_table();
        let object = home.create(|| 7)?;
        let thread = object.call(|_| here())?;
        let places = [&at_home, &at_other, &in_mta];
        for (n, maker) in places.iter().enumerate() {
            let cookie = maker.call(|()| table.register(&object))??;
            for place in places {
                assert_eq!(place.call(|()| table.get(&cookie)?.call(|n| (*n, here())))??, (7, thread));
            }
            let at_home_itself = |_: &()| table.get(&cookie).unwrap().local().is_some_and(|local| *local == 7);
            assert!(at_home.call(at_home_itself)?);
            assert_eq!(table.get(&cookie)?, object, "in no apartment");
            places[(n + 1) % places.len()].call(|()| table.revoke(&cookie))??;
            is_invalid(table.get(&cookie));
        }
        Ok(())
    });
}

#[test]
fn ma_8_a_revoked_or_unknown_cookie_is_invalid() {
    play(|stage| {
        let (table, other) = (stage.process.global_table(), Process::new().global_table());
        let home = stage.sta("home").spawn()?;
        let (one, two) = (home.create(|| 1)?, home.create(|| 2)?);
        let (first, second) = (table.register(&one)?, table.register(&two)?);
        let elsewhere = other.register(&one)?;
        table.revoke(&first)?;
        is_invalid(table.revoke(&first));
        is_invalid(table.get(&first));
        is_invalid(table.get(&elsewhere));
        is_invalid(table.revoke(&elsewhere));
        is_invalid(other.get(&second));
        assert_eq!(table.get(&second)?.call(|n| *n)?, 2, "the others stay");
        assert_eq!(other.get(&elsewhere)?.call(|n| *n)?, 1, "objects may be of another process");
        Ok(())
    });
}

#[test]
fn ma_8_a_cookie_is_fresh_over_the_whole_program() {
    let tables = [Process::new().global_table(), Process::new().global_table()];
    let ui = Process::new().sta("ui").enter().unwrap();
    let object = ui.create(|| 7).unwrap();
    let mut cookies: Vec<Cookie<i32>> = Vec::new();
    for table in &tables {
        for _ in 0..3 {
            let cookie = table.register(&object).unwrap();
            cookies.push(cookie);
            table.revoke(&cookie).unwrap();
            let (table, object) = (table.clone(), object.clone());
            cookies.push(join(thread::spawn(move || table.register(&object).unwrap())));
        }
    }
    let shown: HashSet<String> = cookies.iter().map(Cookie::to_string).collect();
    assert!(shown.iter().all(|shown| shown.starts_with("cookie ")));
    assert_eq!((cookies.iter().copied().collect::<HashSet<_>>().len(), shown.len()), (12, 12));
    assert_eq!(cookies[0], cookies[0].clone());
    assert!(format!("{:?}", cookies[0]).starts_with("Cookie<i32>("));
}

#[test]
fn ma_8_an_entry_keeps_its_object_until_it_is_revoked() {
    play(|stage| {
        let log = Log::new();
        let home = stage.sta("home").spawn()?;
        let table = stage.process.global_table();
        let object = home.create(|| Told("object", log.clone()))?;
        let thread = object.call(|_| here())?;
        let cookie = table.register(&object)?;
        drop(object);
        let got = table.get(&cookie)?;
        assert_eq!(got.call(|told| told.0)?, "object");
        table.revoke(&cookie)?;
        assert_eq!(got.call(|told| told.0)?, "object", "what was had stays");
        assert_eq!(log.take(), []);
        drop(got);
        dropped(stage, home.apartment());

        let object = home.create(|| Told("second", log.clone()))?;
        let cookie = table.register(&object)?;
        drop(object);
        table.revoke(&cookie)?;
        drop(home);
        assert_eq!(log.take(), [("object", thread), ("second", thread)]);
        Ok(())
    });
}

#[test]
fn ma_8_an_entry_whose_apartment_has_ended_is_disconnected_until_it_is_revoked() {
    play(|stage| {
        let (sta, mta) = (stage.sta("sta").spawn()?, stage.mta().spawn()?);
        let table = stage.process.global_table();
        let in_sta = sta.create(|| 7)?;
        let cookies = [table.register(&in_sta)?, table.register(&mta.create(|| 7)?)?];
        sta.quit();
        sta.join()?;
        mta.join()?;
        for cookie in &cookies {
            is_disconnected(table.get(cookie), WhyDisconnected::Ended);
            table.revoke(cookie)?;
            is_invalid(table.get(cookie));
        }
        is_disconnected(table.register(&in_sta), WhyDisconnected::Ended);
        Ok(())
    });
}

#[test]
fn ma_8_entries_go_with_their_process() {
    let log = Log::new();
    let process = Process::new();
    let table = process.global_table();
    table.register(&process.free_threaded(Told("free", log.clone())).unwrap()).unwrap();
    // One to an object of the MTA, which knows its process.
    let mta = process.mta().spawn().unwrap();
    table.register(&mta.create(|| 7).unwrap()).unwrap();
    mta.join().unwrap();
    drop(process);
    assert_eq!(log.take(), []);
    drop(table);
    assert_eq!(log.take(), [("free", here())]);
}

#[test]
fn ma_8_a_destructor_may_use_the_table_that_drops_it() {
    struct Revokes(Option<(apartment::GlobalTable, Cookie<i32>, Log<bool>)>);
    impl Drop for Revokes {
        fn drop(&mut self) {
            let Some((table, cookie, log)) = self.0.take() else { return };
            log.add(table.get(&cookie).is_ok());
            table.revoke(&cookie).unwrap();
        }
    }
    let process = Process::new();
    let (table, log) = (process.global_table(), Log::new());
    let ui = process.sta("ui").enter().unwrap();
    let other = table.register(&ui.create(|| 7).unwrap()).unwrap();
    let free =
        process.free_threaded(std::sync::Mutex::new(Revokes(Some((table.clone(), other, log.clone()))))).unwrap();
    let cookie = table.register(&free).unwrap();
    drop(free);
    table.revoke(&cookie).unwrap();
    assert_eq!(log.take(), [true]);
    is_invalid(table.get(&other));
}

interface! {
    trait Sheet {
        fn cells(&self) -> Result<u32, CallError>;
    }
}

struct Workbook;

impl Sheet for Workbook {
    fn cells(&self) -> Result<u32, CallError> {
        Ok(current_call()?.depth())
    }
}

implements!(Workbook: dyn Sheet);

#[test]
fn ma_8_an_entry_is_had_as_any_interface_that_the_type_declares() {
    play(|stage| {
        let home = stage.sta("home").spawn()?;
        let table = stage.process.global_table();
        let book = home.create(|| Workbook)?;
        let cookie = table.register(&book)?;
        assert_eq!(table.get_as::<_, dyn Sheet>(&cookie)?.cells()?, 1);
        let as_sheet = table.register(&book.cast::<dyn Sheet>())?;
        assert_eq!(table.get(&as_sheet)?.cells()?, 1);
        assert_eq!(table.get_as::<_, Workbook>(&as_sheet)?, book);
        let error = table.get_as::<_, dyn Other>(&cookie).unwrap_err();
        assert!(matches!(error, CallError::NoInterface { interface } if interface.contains("Other")));
        assert_eq!(table.get(&cookie)?, book, "the entry stays (MA-5)");
        Ok(())
    });
}

#[test]
fn ma_8_the_table_has_its_events() {
    play(|stage| {
        let home = stage.sta("home").spawn()?;
        let object = home.create(|| 7)?;
        let table = stage.process.global_table();
        stage.begin();
        let cookie = table.register(&object)?;
        home.create(|| ())?.call(|()| table.get(&cookie).map(drop))??;
        table.revoke(&cookie)?;
        is_invalid(table.get(&cookie));
        let events = stage.events();
        let steps = events.iter().filter_map(|event| match &event.what {
            What::Packed { mark, error: None, .. } => Some(("registered", *mark, event.apartment)),
            What::Unpacked { mark, error: None, .. } => Some(("got", *mark, event.apartment)),
            What::PacketDropped { mark } => Some(("revoked", *mark, event.apartment)),
            _ => None,
        });
        let steps: Vec<_> = steps.collect();
        let [(one, mark, _), (two, got, at), (three, gone, _)] = steps[..] else { panic!("{steps:?}") };
        assert_eq!([one, two, three], ["registered", "got", "revoked"]);
        assert!(mark == got && mark == gone);
        assert_eq!((mark.form, mark.object, mark.of), (PacketForm::GlobalTable, object.object_id(), at));
        Ok(())
    });
}

#[test]
fn ma_8_get_and_revoke_may_race_on_many_threads() {
    let process = Process::new();
    let table = process.global_table();
    let log = Log::new();
    let sta = process.sta("home").spawn().unwrap();
    for _ in 0..50 {
        let object = sta.create(|| Told("object", log.clone())).unwrap();
        let cookie = table.register(&object).unwrap();
        drop(object);
        let start = std::sync::Barrier::new(4);
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    start.wait();
                    match table.get(&cookie) {
                        Ok(proxy) => assert_eq!(proxy.call(|told| told.0).unwrap(), "object"),
                        Err(error) => is_invalid(Err::<(), _>(error)),
                    }
                });
            }
            start.wait();
            table.revoke(&cookie).unwrap();
        });
    }
    drop(sta);
    assert_eq!(log.take().len(), 50, "each was dropped once");
}

// ---- LT-1: packets and entries are references like others

/// What holds a reference, made of a proxy; dropping it gives the reference back.
type Held = Box<dyn std::any::Any + Send>;

fn holders(process: &Process) -> [Box<dyn Fn(Proxy<Told>) -> Held + Send + Sync>; 4] {
    struct Entry(apartment::GlobalTable, Cookie<Told>);
    impl Drop for Entry {
        fn drop(&mut self) {
            self.0.revoke(&self.1).unwrap();
        }
    }
    let table = process.global_table();
    [
        Box::new(|proxy| Box::new(proxy.marshal().unwrap())),
        Box::new(|proxy| Box::new(proxy.marshal_table(apartment::Table::Strong).unwrap())),
        Box::new(|proxy| Box::new((proxy.marshal_table(apartment::Table::Weak).unwrap(), proxy))),
        Box::new(move |proxy| Box::new(Entry(table.clone(), table.register(&proxy).unwrap()))),
    ]
}

#[test]
fn lt_1_packets_and_entries_can_be_dropped_while_nobody_can_enter_the_apartment() {
    play(|stage| {
        for holder in holders(&stage.process) {
            let log = Log::new();
            let (sta, held, gate) = barred(stage, |sta| {
                let held = holder(sta.create(|| Told("object", log.clone()))?);
                Ok((held, sta.create(|| ())?.call(|()| here())?))
            })?;
            drop(held.0);
            assert_eq!(log.take(), [], "a release was left, and the dropping did not wait");
            gate.open();
            dropped(stage, sta.apartment());
            drop(sta);
            assert_eq!(log.take(), [("object", held.1)]);
        }
        Ok(())
    });
}

#[test]
fn lt_1_packets_and_entries_of_a_dead_apartment_can_be_dropped() {
    play(|stage| {
        for holder in holders(&stage.process) {
            let log = Log::new();
            let sta = stage.sta("home").spawn()?;
            let held = holder(sta.create(|| Told("object", log.clone()))?);
            sta.quit();
            sta.join()?;
            assert_eq!(log.take().len(), 1);
            drop(held);
            assert_eq!(log.take(), []);
        }
        Ok(())
    });
}

#[test]
fn lt_1_packets_and_entries_can_be_dropped_by_unwinding_and_with_thread_locals() {
    play(|stage| {
        for holder in holders(&stage.process) {
            let log = Log::new();
            let sta = stage.sta("home").spawn()?;
            let objects = ["unwinding", "locals, after", "locals, before"].map(|name| {
                let log = log.clone();
                holder(sta.create(move || Told(name, log)).unwrap())
            });
            let [unwinding, after, before] = objects;
            let unwinds = thread::spawn(move || {
                let _held = unwinding;
                panic_any("it unwinds");
            });
            assert_eq!(*unwinds.join().unwrap_err().downcast::<&str>().unwrap(), "it unwinds");
            join(thread::spawn(move || with_the_locals(after)));
            join(thread::spawn(move || {
                apartment::current();
                with_the_locals(before);
            }));
            stage.until_nth(3, sta.apartment(), like!(ObjectDropped));
            let thread = sta.create(|| ())?.call(|()| here())?;
            drop(sta);
            let names = ["unwinding", "locals, after", "locals, before"];
            assert_eq!(log.take(), names.map(|name| (name, thread)));
            stage.begin();
        }
        let contained = |event: &Event| matches!(event.what, What::Contained { .. });
        assert!(!stage.events().iter().any(contained));
        Ok(())
    });
}

// ---- ST: under strict rules

/// Asks an apartment to quit, also if its test fails.
struct Quits(apartment::Apartment);

impl Drop for Quits {
    fn drop(&mut self) {
        self.0.quit();
    }
}

#[test]
fn st_2_a_reference_goes_to_another_apartment_by_packet_or_table() {
    let process = Process::builder().strict_rules().build();
    let maker = process.sta("home").enter().unwrap();
    let object = maker.create(|| 7).unwrap();
    let table = process.global_table();
    let packet = object.marshal().unwrap();
    let strong = object.marshal_table(apartment::Table::Strong).unwrap();
    let weak = object.marshal_table(apartment::Table::Weak).unwrap();
    let cookie = table.register(&object).unwrap();
    let stolen = object.clone();
    let quits = Quits(maker.apartment().clone());
    let user = thread::spawn(move || {
        let _when_done = quits;
        let outside = [strong.unmarshal().unwrap_err(), table.get(&cookie).unwrap_err()];
        assert!(outside.iter().all(|error| matches!(error, CallError::NotInitialized)), "ST-1");
        assert!(matches!(table.revoke(&cookie), Err(CallError::NotInitialized)));
        assert!(matches!(stolen.marshal(), Err(CallError::NotInitialized)));
        let _other = process.sta("other").enter().unwrap();
        assert!(matches!(stolen.call(|n| *n), Err(CallError::WrongThread)));
        assert!(matches!(stolen.marshal(), Err(CallError::WrongThread)));
        assert!(matches!(table.register(&stolen), Err(CallError::WrongThread)));
        let proxies =
            [packet.unmarshal(), strong.unmarshal(), weak.unmarshal(), table.get(&cookie)].map(Result::unwrap);
        for proxy in &proxies {
            assert_eq!(proxy.call(|n| *n).unwrap(), 7);
            // From here it goes on, to nowhere else.
            assert_eq!(&proxy.marshal().unwrap().unmarshal().unwrap(), proxy);
        }
        table.revoke(&cookie).unwrap();
        proxies
    });
    maker.run();
    let proxies = join(user);
    assert!(matches!(proxies[0].call(|n| *n), Err(CallError::WrongThread)), "they belong to the other one");
    assert_eq!(object.call(|n| *n).unwrap(), 7, "the first stays what it was");
}
