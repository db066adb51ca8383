//! MA: marshalling, and what of other rules is about packets. Free-threaded objects are in `free.rs`, the global table is in
//! `table.rs`.

use crate::stage::{Stage, hresult, incoming, like, play};
use crate::support::{Gate, Log, hold, join};
use apartment::{
    Apartment, CallError, Event, Outcome, Packet, PacketForm, Process, ServerCall, Sta, Table, What, WhyDisconnected,
    current_call, implements, interface,
};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{self, ThreadId};

pub(crate) fn here() -> ThreadId {
    thread::current().id()
}

/// An object that tells on which thread it was dropped.
pub(crate) struct Told(pub(crate) &'static str, pub(crate) Log<(&'static str, ThreadId)>);

impl Drop for Told {
    fn drop(&mut self) {
        self.1.add((self.0, here()));
    }
}

thread_local! {
    static KEPT: RefCell<Vec<Box<dyn std::any::Any>>> = const { RefCell::new(Vec::new()) };
}

/// Drops it with the thread's locals. Those go in the reverse order of their making: called before the library has seen
/// the thread it is dropped after the library's own locals, called later, before them.
pub(crate) fn with_the_locals(kept: impl std::any::Any) {
    KEPT.with_borrow_mut(|all| all.push(Box::new(kept)));
}

/// Waits for the object to be dropped at home.
pub(crate) fn dropped(stage: &Stage, at: &Apartment) {
    stage.until(at, like!(ObjectDropped));
}

#[track_caller]
pub(crate) fn is_disconnected<T>(result: Result<T, CallError>, why: WhyDisconnected) {
    match result.map(|_| ()).unwrap_err() {
        CallError::Disconnected(disconnected) => assert_eq!(disconnected.why, why),
        other => panic!("{other}"),
    }
}

// ---- MA-1, MA-2

#[test]
fn ma_1_a_local_reference_marshalled_is_a_packet_that_can_leave() {
    play(|stage| {
        let ui = stage.sta("ui").enter()?;
        let text = ui.create(|| String::from("text"))?;
        let local = text.local().unwrap();
        let (packet, table) = (local.marshal()?, local.marshal_table(Table::Strong)?);
        let got = join(thread::spawn(move || (packet.unmarshal().unwrap(), table.unmarshal().unwrap())));
        assert!(got.0 == text && got.1 == text);
        Ok(())
    });
}

#[test]
fn ma_2_a_packet_is_unmarshalled_in_any_apartment() {
    play(|stage| {
        let (home, other, mta) = (stage.sta("home").spawn()?, stage.sta("other").spawn()?, stage.mta().spawn()?);
        let object = home.create(|| 7)?;
        let (at_home, at_other, in_mta) = (home.create(|| ())?, other.create(|| ())?, mta.create(|| ())?);
        let value = |packet: Packet<i32>| packet.unmarshal().and_then(|proxy| proxy.call(|n| (*n, here())));
        let thread = object.call(|_| here())?;
        for place in [&at_home, &at_other, &in_mta] {
            let packet = object.marshal()?;
            assert_eq!(place.call(move |()| value(packet))??, (7, thread));
        }
        assert_eq!(value(object.marshal()?)?, (7, thread), "in none");
        let packet = object.marshal()?;
        let is_itself = move |_: &()| packet.unmarshal().unwrap().local().is_some_and(|local| *local == 7);
        assert!(at_home.call(is_itself)?, "at home it is the object itself");
        // Marshalled elsewhere than at home, too.
        let packet = at_other.call(|()| object.marshal())??;
        assert_eq!(at_home.call(move |()| value(packet))??, (7, thread));
        Ok(())
    });
}

#[test]
fn ma_2_a_packet_keeps_its_object_and_dropped_unused_gives_its_reference_back() {
    play(|stage| {
        let log = Log::new();
        let home = stage.sta("home").spawn()?;
        let object = home.create(|| Told("object", log.clone()))?;
        let thread = object.call(|_| here())?;
        let packet = object.marshal()?;
        drop(object);
        home.create(|| ())?.call(|()| ())?;
        assert_eq!(log.take(), []);
        drop(packet);
        dropped(stage, home.apartment());
        home.create(|| ())?.call(|()| ())?;
        assert_eq!(log.take(), [("object", thread)]);

        // Unmarshalled, the reference is the proxy's.
        let object = home.create(|| Told("second", log.clone()))?;
        let packet = object.marshal()?;
        drop(object);
        let proxy = packet.unmarshal()?;
        assert_eq!(proxy.call(|told| told.0)?, "second");
        drop(proxy);
        drop(home);
        assert_eq!(log.take(), [("second", thread)]);
        Ok(())
    });
}

#[test]
fn ma_2_packets_and_cookies_may_be_shared_by_threads_whatever_they_lead_to() {
    fn crosses<T: Send + Sync + 'static>(_: &T) {}
    let ui = Process::new().sta("ui").enter().unwrap();
    let object = ui.create(|| Rc::new(Cell::new(1))).unwrap();
    let table = Process::new().global_table();
    crosses(&object.marshal().unwrap());
    crosses(&object.marshal_table(Table::Weak).unwrap());
    crosses(&table);
    crosses(&table.register(&object).unwrap());
}

/// An apartment that nobody can enter: it stands in a method, its mailbox is full, and its filter rejects everything.
/// `make` makes what is there before.
pub(crate) fn barred<T: Send>(
    stage: &Stage,
    make: impl FnOnce(&Sta) -> Result<T, CallError>,
) -> Result<(Sta, T, Gate), CallError> {
    let rejects = Arc::new(AtomicBool::new(false));
    let asks = Arc::clone(&rejects);
    let answer = move || if asks.load(Relaxed) { ServerCall::Rejected } else { ServerCall::Handled };
    let sta = stage.sta("barred").capacity(1).filter(move || incoming(move |_| answer())).spawn()?;
    let (object, made) = (sta.create(|| ())?, make(&sta)?);
    rejects.store(true, Relaxed);
    let gate = hold(&object);
    object.post(|()| ())?;
    assert!(matches!(object.call(|()| ()), Err(CallError::MailboxFull(_))));
    Ok((sta, made, gate))
}

#[test]
fn ma_2_marshalling_and_unmarshalling_wait_for_nobody_and_ask_no_filter() {
    play(|stage| {
        let (sta, object, gate) = barred(stage, |sta| sta.create(|| ()))?;
        stage.begin();
        assert_eq!(object.marshal()?.unmarshal()?, object);
        assert_eq!(object.marshal_table(Table::Weak)?.unmarshal()?, object);
        let table = stage.process.global_table();
        let cookie = table.register(&object)?;
        assert_eq!(table.get(&cookie)?, object);
        table.revoke(&cookie)?;
        let said = |event: &Event| {
            matches!(event.what, What::Packed { .. } | What::Unpacked { .. } | What::PacketDropped { .. })
        };
        assert!(stage.events().iter().all(said), "nothing else happened");
        gate.open();
        drop((object, sta));
        Ok(())
    });
}

#[test]
fn ma_2_packets_have_their_events() {
    play(|stage| {
        let home = stage.sta("home").spawn()?;
        let object = home.create(|| 7_u8)?;
        stage.begin();
        drop(object.marshal()?);
        let used = home.create(|| ())?.call(|()| object.marshal())??.unmarshal()?;
        let events = stage.events();
        let packets = events.iter().filter_map(|event| match &event.what {
            What::Packed { mark, type_name, error: None } => Some((mark, event.apartment, *type_name)),
            What::Unpacked { mark, interface, error: None } => Some((mark, event.apartment, *interface)),
            What::PacketDropped { mark } => Some((mark, event.apartment, "dropped")),
            _ => None,
        });
        let [first, dropped, second, unpacked] = packets.collect::<Vec<_>>()[..] else { panic!("{events:?}") };
        let at = Some(home.apartment().id());
        assert_eq!([first, second].map(|(_, _, name)| name), ["u8"; 2]);
        assert_eq!([first.1, dropped.1, second.1, unpacked.1], [None, None, at, None], "of whoever did it");
        assert_eq!((first.0, second.0), (dropped.0, unpacked.0));
        assert_ne!(first.0.packet, second.0.packet);
        let mark = first.0;
        assert_eq!((mark.form, mark.object, mark.of), (PacketForm::Normal, object.object_id(), at));
        drop(used);
        Ok(())
    });
}

// ---- MA-3

#[test]
fn ma_3_a_table_packet_is_unmarshalled_any_number_of_times_from_anywhere() {
    play(|stage| {
        let (home, other) = (stage.sta("home").spawn()?, stage.sta("other").spawn()?);
        let object = home.create(|| 7)?;
        for table in [Table::Strong, Table::Weak] {
            let packet = object.marshal_table(table)?;
            let second = packet.clone();
            let threads: Vec<_> = (0..4)
                .map(|_| {
                    let packet = packet.clone();
                    thread::spawn(move || packet.unmarshal()?.call(|n| *n))
                })
                .collect();
            for thread in threads {
                assert_eq!(join(thread)?, 7);
            }
            assert_eq!(packet.unmarshal()?, object);
            drop(packet);
            let there = other.create(|| ())?.call(|()| second.unmarshal()?.call(|n| *n))?;
            assert_eq!(there?, 7, "a clone is the same packet");
        }
        Ok(())
    });
}

#[test]
fn ma_3_a_strong_table_packet_keeps_the_object_and_a_weak_one_does_not() {
    play(|stage| {
        let log = Log::new();
        let home = stage.sta("home").spawn()?;
        let object = home.create(|| Told("object", log.clone()))?;
        let thread = object.call(|_| here())?;
        let (strong, weak) = (object.marshal_table(Table::Strong)?, object.marshal_table(Table::Weak)?);
        let second = strong.clone();
        drop(object);
        drop(strong);
        assert_eq!(weak.unmarshal()?.call(|told| told.0)?, "object");
        assert_eq!(log.take(), []);
        drop(second);
        dropped(stage, home.apartment());
        let error = weak.unmarshal().unwrap_err();
        assert!(matches!(error, CallError::ObjectNotRegistered));
        assert_eq!((error.hresult(), error.outcome()), (0x8004_01FB, Outcome::NotStarted));
        drop(home);
        assert_eq!(log.take(), [("object", thread)]);
        Ok(())
    });
}

#[test]
fn ma_3_a_weak_packet_of_a_free_threaded_object_does_not_keep_it() {
    let log = Log::new();
    let object = Process::new().free_threaded(Told("object", log.clone())).unwrap();
    let weak = object.marshal_table(Table::Weak).unwrap();
    assert_eq!(weak.unmarshal().unwrap(), object);
    drop(object);
    assert_eq!(log.take(), [("object", here())]);
    assert!(matches!(weak.unmarshal(), Err(CallError::ObjectNotRegistered)));
}

#[test]
fn ma_3_a_table_packet_has_its_events_and_is_dropped_with_its_last_clone() {
    play(|stage| {
        let home = stage.sta("home").spawn()?;
        let object = home.create(|| 7)?;
        for (table, form) in [(Table::Strong, PacketForm::TableStrong), (Table::Weak, PacketForm::TableWeak)] {
            stage.begin();
            let packet = object.marshal_table(table)?;
            let second = packet.clone();
            packet.unmarshal()?;
            second.unmarshal()?;
            drop(packet);
            assert!(!stage.events().iter().any(|event| matches!(event.what, What::PacketDropped { .. })));
            drop(second);
            let events = stage.events();
            let marks: Vec<_> = events
                .iter()
                .map(|event| match &event.what {
                    What::Packed { mark, error: None, .. } => ("packed", *mark),
                    What::Unpacked { mark, error: None, .. } => ("unpacked", *mark),
                    What::PacketDropped { mark } => ("dropped", *mark),
                    other => panic!("{other:?}"),
                })
                .collect();
            assert_eq!(
                marks.iter().map(|(step, _)| *step).collect::<Vec<_>>(),
                ["packed", "unpacked", "unpacked", "dropped"]
            );
            assert!(marks.iter().all(|(_, mark)| *mark == marks[0].1 && mark.form == form));
        }
        Ok(())
    });
}

// ---- MA-4

#[test]
fn ma_4_a_packet_that_outlives_its_apartment_is_disconnected() {
    play(|stage| {
        for proxy_stays in [true, false] {
            let (sta, mta) = (stage.sta("home").spawn()?, stage.mta().spawn()?);
            let caller = stage.sta("caller").spawn()?.create(|| ())?;
            let in_sta = sta.create(|| 7)?;
            let in_mta = mta.create(|| 7)?;
            let mut packets = Vec::new();
            let mut tables = Vec::new();
            for object in [&in_sta, &in_mta] {
                packets.push(object.marshal()?);
                tables.push(object.marshal_table(Table::Strong)?);
                tables.push(object.marshal_table(Table::Weak)?);
            }
            let kept = proxy_stays.then_some((in_sta, in_mta));
            sta.quit();
            sta.join()?;
            mta.join()?;
            for packet in packets {
                is_disconnected(packet.unmarshal(), WhyDisconnected::Ended);
            }
            for table in tables {
                is_disconnected(table.unmarshal(), WhyDisconnected::Ended);
                is_disconnected(table.unmarshal(), WhyDisconnected::Ended);
            }
            drop(caller);
            if let Some((in_sta, in_mta)) = kept {
                is_disconnected(in_sta.marshal(), WhyDisconnected::Ended);
                is_disconnected(in_mta.marshal_table(Table::Weak), WhyDisconnected::Ended);
            }
        }
        let errors = stage.events().iter().filter(|event| matches!(&event.what, What::Unpacked { error: Some(error), .. } if error.hresult == hresult::DISCONNECTED)).count();
        assert_eq!(errors, 2 * (2 + 8));
        Ok(())
    });
}

#[test]
fn ma_4_a_packet_of_a_disconnected_object_is_disconnected_and_a_weak_one_not_registered() {
    play(|stage| {
        let (sta, mta) = (stage.sta("home").spawn()?, stage.mta().spawn()?);
        for object in [sta.create(|| 7)?, mta.create(|| 7)?] {
            let packet = object.marshal()?;
            let (strong, weak) = (object.marshal_table(Table::Strong)?, object.marshal_table(Table::Weak)?);
            let table = stage.process.global_table();
            let cookie = table.register(&object)?;
            object.disconnect()?;
            is_disconnected(packet.unmarshal(), WhyDisconnected::ObjectGone);
            is_disconnected(strong.unmarshal(), WhyDisconnected::ObjectGone);
            is_disconnected(table.get(&cookie), WhyDisconnected::ObjectGone);
            is_disconnected(object.marshal(), WhyDisconnected::ObjectGone);
            is_disconnected(object.marshal_table(Table::Weak), WhyDisconnected::ObjectGone);
            is_disconnected(table.register(&object), WhyDisconnected::ObjectGone);
            assert!(matches!(weak.unmarshal(), Err(CallError::ObjectNotRegistered)), "its object has ended (MA-3)");
            table.revoke(&cookie)?;
        }
        Ok(())
    });
}

#[test]
fn ap_11_packets_cross_processes() {
    let (one, two) = (Process::new(), Process::builder().strict_rules().build());
    let home = one.sta("home").spawn().unwrap();
    let object = home.create(|| 7).unwrap();
    let (packet, table) = (object.marshal().unwrap(), object.marshal_table(Table::Strong).unwrap());
    let other = two.sta("other").enter().unwrap();
    assert_eq!(packet.unmarshal().unwrap().call(|n| *n).unwrap(), 7);
    // The rules are those of the object's process.
    let here = other.create(|| 8).unwrap();
    let packet = here.marshal().unwrap();
    let there = home.create(|| ()).unwrap();
    let values =
        there.call(|()| Ok::<_, CallError>((packet.unmarshal()?.call(|n| *n)?, table.unmarshal()?.call(|n| *n)?)));
    assert_eq!(values.unwrap().unwrap(), (8, 7));
    assert!(there.call(|()| matches!(here.call(|n| *n), Err(CallError::WrongThread))).unwrap());
}

#[test]
fn ma_4_a_packet_that_fails_is_used_up_and_not_told_as_dropped() {
    play(|stage| {
        let sta = stage.sta("home").spawn()?;
        let packet = sta.create(|| 7)?.marshal()?;
        sta.quit();
        sta.join()?;
        is_disconnected(packet.unmarshal(), WhyDisconnected::Ended);
        assert!(!stage.events().iter().any(|event| matches!(event.what, What::PacketDropped { .. })));
        Ok(())
    });
}

#[test]
fn lt_2_marshalling_from_a_local_reference_of_an_ended_apartment_is_disconnected() {
    let ui = Process::new().sta("ui").enter().unwrap();
    let local = ui.create(|| 7).unwrap().local().unwrap();
    ui.leave();
    is_disconnected(local.marshal(), WhyDisconnected::Ended);
    is_disconnected(local.marshal_table(Table::Weak), WhyDisconnected::Ended);
    assert_eq!(*local, 7, "it is still here");
}

// ---- MA-5

interface! {
    trait Sheet {
        fn cells(&self) -> Result<u32, CallError>;
    }
}
interface! {
    trait Named {
        fn name(&self) -> Result<String, CallError>;
    }
}
interface! {
    pub(crate) trait Other {
        fn other(&self) -> Result<u8, CallError>;
    }
}

struct Workbook {
    cells: u32,
    _log: Option<Told>,
}

impl Sheet for Workbook {
    fn cells(&self) -> Result<u32, CallError> {
        Ok(self.cells)
    }
}

impl Named for Workbook {
    fn name(&self) -> Result<String, CallError> {
        Ok("workbook".into())
    }
}

implements!(Workbook: dyn Sheet, dyn Named);

/// An object that has what a workbook has not.
struct Slide;

impl Other for Slide {
    fn other(&self) -> Result<u8, CallError> {
        Ok(8)
    }
}

implements!(Slide: dyn Other);

fn workbook() -> Workbook {
    Workbook { cells: 7, _log: None }
}

#[track_caller]
fn has_no<T>(result: Result<T, CallError>, name: &str) {
    let error = result.map(|_| ()).unwrap_err();
    assert_eq!(error.hresult(), 0x8000_4002);
    let CallError::NoInterface { interface } = error else { panic!("{error}") };
    assert!(interface.contains(name), "{interface}");
}

#[test]
fn ma_5_a_packet_is_unmarshalled_as_any_interface_that_the_type_declares() {
    play(|stage| {
        let home = stage.sta("home").spawn()?;
        let book = home.create(workbook)?;
        assert_eq!(book.marshal()?.unmarshal_as::<dyn Sheet>()?.cells()?, 7);
        assert_eq!(book.marshal()?.unmarshal_as::<Workbook>()?, book);
        // From one interface to another, and back to the type.
        let sheet = book.cast::<dyn Sheet>();
        let named = sheet.marshal()?.unmarshal_as::<dyn Named>()?;
        assert_eq!(named.name()?, "workbook");
        let table = named.marshal_table(Table::Strong)?;
        assert_eq!(table.unmarshal()?.name()?, "workbook");
        assert_eq!(table.unmarshal_as::<dyn Sheet>()?.cells()?, 7);
        assert_eq!(table.unmarshal_as::<Workbook>()?.call(|book| book.cells)?, 7);
        // It is also known where the packet came out as the type.
        assert_eq!(book.marshal()?.unmarshal()?.query::<dyn Named>()?.name()?, "workbook");
        Ok(())
    });
}

#[test]
fn ma_5_an_interface_that_the_object_does_not_have_is_no_interface_and_the_packet_is_used_up() {
    play(|stage| {
        let log = Log::new();
        let home = stage.sta("home").spawn()?;
        let told = Told("book", log.clone());
        let book = home.create(move || Workbook { cells: 1, _log: Some(told) })?;
        let (packet, table) = (book.marshal()?, book.marshal_table(Table::Strong)?);
        drop(book);
        assert_eq!(home.create(|| Slide)?.marshal()?.unmarshal_as::<dyn Other>()?.other()?, 8);
        has_no(table.unmarshal_as::<dyn Other>(), "Other");
        assert_eq!(table.unmarshal_as::<dyn Sheet>()?.cells()?, 1, "a table packet stays");
        drop(table);
        stage.begin();
        has_no(packet.unmarshal_as::<dyn Other>(), "Other");
        let told = stage.until_any(|event| matches!(event.what, What::Unpacked { .. }));
        let What::Unpacked { interface, error: Some(error), .. } = told.what else { panic!("{told:?}") };
        assert!(interface.contains("Other") && error.hresult == 0x8000_4002);
        drop(home);
        assert_eq!(log.take().len(), 1, "its reference went with it");
        Ok(())
    });
}

// ---- MA-6

#[test]
fn ma_6_a_proxy_marshalled_again_leads_to_the_object() {
    play(|stage| {
        let (home, b, c) = (stage.sta("home").spawn()?, stage.sta("b").spawn()?, stage.sta("c").spawn()?);
        let object = home.create(|| 7)?;
        let mut packet = object.marshal()?;
        // Through other apartments, one of which ends.
        for place in [&b, &c] {
            packet = place.create(|| ())?.call(move |()| packet.unmarshal()?.marshal())??;
        }
        drop(b);
        drop(c);
        let proxy = packet.unmarshal()?;
        assert_eq!(proxy, object);
        assert_eq!((proxy.apartment().as_ref(), proxy.object_id()), (Some(home.apartment()), object.object_id()));
        assert_eq!(proxy.call(|_| current_call().unwrap().depth())?, 1, "with nobody in between");
        Ok(())
    });
}
