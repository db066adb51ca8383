//! Interfaces: one trait for both ends, and what an object's type answers to. The rules are those of calls; these tests
//! look at them through methods.

use crate::stage::{Answers, gate, hresult, like, play, secs};
use apartment::{
    CallError, CallKind, CallOptions, Event, Local, Method, Outcome, Proxy, Retry, ServerCall, What, current_call,
    implements, interface,
};
use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::rc::Rc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

#[derive(Debug)]
enum SheetError {
    NoSuchCell(String),
    Call(CallError),
}

impl From<CallError> for SheetError {
    fn from(error: CallError) -> Self {
        Self::Call(error)
    }
}

impl From<SheetError> for CallError {
    fn from(error: SheetError) -> Self {
        match error {
            SheetError::Call(error) => error,
            SheetError::NoSuchCell(name) => panic!("no such cell: {name}"),
        }
    }
}

type Outcomes<T = ()> = Result<T, SheetError>;

interface! {
    trait Sheet {
        fn cell(&self, name: &str) -> Outcomes<f64>;
        fn set(&self, name: &str, value: f64) -> Outcomes;
        #[cfg(any())]
        fn never(&self) -> NoSuchType;
        fn recalculate(&self, progress: &Proxy<dyn Progress>) -> Outcomes<u32>;
        fn address_of(&self, bytes: &[u8], text: &str, more: Option<&u64>, all: &mut Vec<u8>) -> Outcomes<[usize; 4]>;
        fn longest<'a>(&self, words: &'a [String]) -> Outcomes<Option<&'a str>>;
        fn provided(&self) -> Outcomes<&'static str> {
            Ok("the trait's")
        }
        fn overridden(&self) -> Outcomes<&'static str> {
            Ok("the trait's")
        }
        fn panics(&self) -> Outcomes;
        fn changed(&self, cell: &str, by: Option<&str>, values: &[f64]) -> Outcomes as one_way;
        fn calls_as(&self) -> Outcomes<CallKind>;
    }

    trait Persist {
        fn save(&self) -> Result<usize, CallError>;
    }

    trait Print {
        fn print(&self) -> Result<(), CallError>;
    }

    trait Progress {
        fn done(&self, percent: u32) -> Result<(), CallError>;
    }

    /// Without methods there is nothing to call, but something to ask for.
    trait Marked {}
}

struct Workbook {
    cells: RefCell<Vec<(String, f64)>>,
    changes: Sender<String>,
}

impl Workbook {
    fn new() -> (Self, Receiver<String>) {
        let (changes, told) = channel();
        (Self { cells: RefCell::default(), changes }, told)
    }

    fn mute() -> Self {
        Self::new().0
    }
}

impl Sheet for Workbook {
    fn cell(&self, name: &str) -> Outcomes<f64> {
        let cells = self.cells.borrow();
        let cell = cells.iter().find(|(cell, _)| cell == name);
        cell.map(|(_, value)| *value).ok_or_else(|| SheetError::NoSuchCell(name.into()))
    }

    fn set(&self, name: &str, value: f64) -> Outcomes {
        self.cells.borrow_mut().push((name.into(), value));
        Ok(())
    }

    fn recalculate(&self, progress: &Proxy<dyn Progress>) -> Outcomes<u32> {
        for percent in [50, 100] {
            progress.done(percent)?;
        }
        Ok(2)
    }

    fn address_of(&self, bytes: &[u8], text: &str, more: Option<&u64>, all: &mut Vec<u8>) -> Outcomes<[usize; 4]> {
        let more = more.map_or(0, |more| std::ptr::from_ref(more).addr());
        let addresses = [bytes.as_ptr().addr(), text.as_ptr().addr(), more, all.as_ptr().addr()];
        all.push(9);
        Ok(addresses)
    }

    fn longest<'a>(&self, words: &'a [String]) -> Outcomes<Option<&'a str>> {
        Ok(words.iter().map(|word| word.as_str()).max_by_key(|word| word.len()))
    }

    fn overridden(&self) -> Outcomes<&'static str> {
        Ok("the object's")
    }

    fn panics(&self) -> Outcomes {
        panic!("in formula mode")
    }

    fn changed(&self, cell: &str, by: Option<&str>, values: &[f64]) -> Outcomes {
        let kind = current_call().unwrap().kind();
        self.changes.send(format!("{cell} by {by:?}: {values:?}, {kind:?}")).unwrap();
        // Nobody hears of it.
        Err(SheetError::NoSuchCell(cell.into()))
    }

    fn calls_as(&self) -> Outcomes<CallKind> {
        Ok(current_call()?.kind())
    }
}

impl Persist for Workbook {
    fn save(&self) -> Result<usize, CallError> {
        Ok(self.cells.borrow().len())
    }
}

impl Marked for Workbook {}

implements!(Workbook: dyn Sheet, dyn Persist, dyn Marked);

/// Implements more than it declares.
struct Draft;

impl Persist for Draft {
    fn save(&self) -> Result<usize, CallError> {
        Ok(0)
    }
}

impl Print for Draft {
    fn print(&self) -> Result<(), CallError> {
        Ok(())
    }
}

implements!(Draft: dyn Persist);

#[derive(Clone)]
struct Bar(Rc<RefCell<Vec<u32>>>);

impl Progress for Bar {
    fn done(&self, percent: u32) -> Result<(), CallError> {
        self.0.borrow_mut().push(percent);
        Ok(())
    }
}

implements!(Bar: dyn Progress);

/// Code that asks for the interface, and cannot tell an object from a reference.
fn total(sheet: &impl Sheet) -> Outcomes<f64> {
    Ok(sheet.cell("A1")? + sheet.cell("A2")?)
}

// ---- calls

#[test]
fn ck_1_a_method_of_an_interface_runs_in_the_object_s_apartment_and_its_caller_waits_for_the_result() {
    play(|stage| {
        let excel = stage.sta("excel").spawn()?;
        let sheet: Proxy<dyn Sheet> = excel.create(Workbook::mute)?.cast();
        sheet.set("A1", 1.0)?;
        sheet.set("A2", 2.5)?;
        assert_eq!(total(&sheet).unwrap(), 3.5, "through a reference");
        let object = Workbook::mute();
        object.set("A1", 1.0)?;
        object.set("A2", 2.0)?;
        assert_eq!(total(&object).unwrap(), 3.0, "and without one");
        assert!(matches!(sheet.cell("B7"), Err(SheetError::NoSuchCell(name)) if name == "B7"), "its own error");
        assert!(matches!(sheet.calls_as(), Ok(CallKind::Synchronous)));
        Ok(())
    });
}

#[test]
fn ck_1_a_caller_is_called_back_through_an_interface_while_it_waits() {
    play(|stage| {
        let excel = stage.sta("excel").spawn()?;
        let sheet: Proxy<dyn Sheet> = excel.create(Workbook::mute)?.cast();
        let word = stage.sta("word").enter()?;
        let seen = Rc::new(RefCell::new(Vec::new()));
        let progress = word.create(|| Bar(Rc::clone(&seen)))?.cast();
        assert_eq!(sheet.recalculate(&progress).unwrap(), 2);
        assert_eq!(*seen.borrow(), [50, 100]);
        drop(progress);
        word.leave();
        Ok(())
    });
}

#[test]
fn di_2_at_home_a_method_of_an_interface_is_called_directly() {
    play(|stage| {
        let here = stage.sta("here").enter()?;
        let sheet: Proxy<dyn Sheet> = here.create(Workbook::mute)?.cast();
        stage.begin();
        sheet.set("A1", 1.0)?;
        assert_eq!(stage.count(here.apartment(), like!(Queued)), 0);
        let local: Local<dyn Sheet> = sheet.local().unwrap();
        assert_eq!(local.cell("A1").unwrap(), 1.0, "without any call");
        drop(local);
        here.leave();
        Ok(())
    });
}

#[test]
fn ck_2_a_one_way_method_owns_what_it_is_lent_and_its_error_is_nobody_s() {
    play(|stage| {
        let excel = stage.sta("excel").spawn()?;
        let (book, changes) = Workbook::new();
        let sheet: Proxy<dyn Sheet> = excel.create(|| book)?.cast();
        let (key, closed) = gate();
        sheet.call(|_| ())?;
        sheet.post(move |_| closed.pass())?;
        {
            // Gone when it runs.
            let (cell, by) = (String::from("A1"), String::from("me"));
            sheet.changed(&cell, Some(&by), &[1.0, 2.0])?;
            sheet.changed(&cell, None, &[])?;
        }
        assert!(changes.try_recv().is_err(), "the caller has gone on");
        key.open();
        assert_eq!(changes.recv().unwrap(), "A1 by Some(\"me\"): [1.0, 2.0], OneWay");
        assert_eq!(changes.recv().unwrap(), "A1 by None: [], OneWay");
        Ok(())
    });
}

#[test]
fn ck_2_a_one_way_method_that_cannot_be_sent_says_so() {
    play(|stage| {
        let excel = stage.sta("excel").capacity(1).spawn()?;
        let (book, changes) = Workbook::new();
        let sheet: Proxy<dyn Sheet> = excel.create(|| book)?.cast();
        let (key, closed) = gate();
        sheet.post(move |_| closed.pass())?;
        stage.until_nth(2, excel.apartment(), like!(Began));
        sheet.changed("A1", None, &[])?;
        let error = CallError::from(sheet.changed("A2", None, &[]).unwrap_err());
        assert_eq!((error.hresult(), error.outcome()), (hresult::SYS_CALL_FAILED, Outcome::NotStarted));
        let error = CallError::from(sheet.within(secs(1)).changed("A3", None, &[]).unwrap_err());
        assert_eq!(error.hresult(), hresult::SYS_CALL_FAILED, "a deadline does not make it wait for room");
        // Its options may.
        stage.begin();
        let clock = stage.clock.clone();
        let waits = sheet.clone();
        let waiter = thread::spawn(move || {
            let options = CallOptions::new().wait_for_room().within(secs(5));
            CallError::from(waits.with(&options).changed("A4", None, &[]).unwrap_err()).hresult()
        });
        stage.until_any(|event| like!(WaitBegan)(&event.what) && event.apartment.is_none());
        clock.advance(secs(5));
        assert_eq!(waiter.join().unwrap(), hresult::TIMED_OUT);
        key.open();
        excel.quit();
        excel.join()?;
        assert_eq!(changes.iter().count(), 1, "what was accepted has run");
        let error = CallError::from(sheet.changed("A5", None, &[]).unwrap_err());
        assert_eq!(error.hresult(), hresult::DISCONNECTED);
        Ok(())
    });
}

#[test]
fn ck_5_arguments_are_borrowed_and_not_copied_and_what_is_changed_is_the_caller_s_own() {
    play(|stage| {
        let excel = stage.sta("excel").spawn()?;
        let sheet: Proxy<dyn Sheet> = excel.create(Workbook::mute)?.cast();
        let (bytes, text, more) = (vec![1, 2, 3], String::from("text"), 7);
        let mut all = Vec::with_capacity(8);
        all.push(8);
        let addresses = sheet.address_of(&bytes, &text, Some(&more), &mut all).unwrap();
        let mine = [bytes.as_ptr().addr(), text.as_ptr().addr(), (&raw const more).addr(), all.as_ptr().addr()];
        assert_eq!(addresses, mine);
        assert_eq!(all, [8, 9]);
        assert_eq!(sheet.address_of(&bytes, &text, None, &mut all).unwrap()[2], 0);
        Ok(())
    });
}

#[test]
fn ck_5_a_result_may_borrow_from_an_argument() {
    play(|stage| {
        let excel = stage.sta("excel").spawn()?;
        let sheet: Proxy<dyn Sheet> = excel.create(Workbook::mute)?.cast();
        let words = [String::from("a"), String::from("bcd"), String::from("ef")];
        let longest = sheet.longest(&words).unwrap().unwrap();
        assert!(std::ptr::eq(longest, words[1].as_str()));
        Ok(())
    });
}

#[test]
fn ma_5_a_provided_method_is_called_in_the_object_which_may_have_its_own() {
    play(|stage| {
        let excel = stage.sta("excel").spawn()?;
        let sheet: Proxy<dyn Sheet> = excel.create(Workbook::mute)?.cast();
        stage.begin();
        assert_eq!(sheet.provided().unwrap(), "the trait's");
        assert_eq!(sheet.overridden().unwrap(), "the object's");
        assert_eq!(stage.count(excel.apartment(), like!(Queued)), 2);
        Ok(())
    });
}

#[test]
fn ca_3_a_method_of_an_interface_takes_a_deadline() {
    play(|stage| {
        let excel = stage.sta("excel").spawn()?;
        let sheet: Proxy<dyn Sheet> = excel.create(Workbook::mute)?.cast();
        let (key, closed) = gate();
        sheet.post(move |_| closed.pass())?;
        stage.until_nth(2, excel.apartment(), like!(Began));
        stage.begin();
        let caller = thread::spawn(move || CallError::from(sheet.within(secs(3)).cell("A1").unwrap_err()));
        stage.until_any(|event| like!(WaitBegan)(&event.what) && event.apartment.is_none());
        stage.clock.advance(secs(3));
        let error = caller.join().unwrap();
        assert_eq!((error.hresult(), error.outcome()), (hresult::TIMED_OUT, Outcome::NotStarted));
        key.open();
        Ok(())
    });
}

// ---- who is told which method it is

/// What a filter, an error or an event is to tell of a method.
fn told(method: Option<&'static Method>) -> (&'static str, &'static str, u16, CallKind) {
    let Method { interface, name, index, kind, .. } = *method.unwrap();
    (interface, name, index, kind)
}

#[test]
fn mf_3_a_filter_learns_interface_method_and_index_and_where_the_call_was_made() {
    play(|stage| {
        let (tell, asked) = channel();
        let filter = move || {
            Answers::default().incoming(move |call| {
                let method = call.target.method.map(|_| told(call.target.method));
                tell.send((method, call.target.type_name, call.target.location.line())).unwrap();
                ServerCall::Handled
            })
        };
        let excel = stage.sta("excel").filter(filter).spawn()?;
        let (book, changes) = Workbook::new();
        let book = excel.create(|| book)?;
        assert_eq!(asked.recv().unwrap().0, None, "making an object is no method");
        let sheet: Proxy<dyn Sheet> = book.cast();
        let (name, is) = (std::any::type_name::<Workbook>(), CallKind::Synchronous);
        let line = line!() + 1;
        sheet.set("A1", 1.0)?;
        assert_eq!(asked.recv().unwrap(), (Some(("Sheet", "set", 1, is)), name, line));
        let line = line!() + 1;
        sheet.changed("A1", None, &[])?;
        assert_eq!(asked.recv().unwrap(), (Some(("Sheet", "changed", 9, CallKind::OneWay)), name, line));
        changes.recv().unwrap();
        let line = line!() + 1;
        sheet.query::<dyn Persist>()?.within(secs(1)).save()?;
        assert_eq!(asked.recv().unwrap(), (Some(("Persist", "save", 0, is)), name, line));
        sheet.call(|sheet| sheet.cell("A1"))?.unwrap();
        assert_eq!(asked.recv().unwrap().0, None, "nor is a closure");
        Ok(())
    });
}

#[test]
fn mf_2_casts_and_queries_are_not_asked_about_and_queue_nothing() {
    play(|stage| {
        let excel = stage.sta("excel").filter(|| Answers::default().incoming(|_| ServerCall::Handled)).spawn()?;
        let book = excel.create(Workbook::mute)?;
        let (key, closed) = gate();
        book.post(move |_| closed.pass())?;
        stage.until_nth(2, excel.apartment(), like!(Began));
        stage.begin();
        // While the apartment serves nothing.
        let sheet: Proxy<dyn Sheet> = book.cast();
        sheet.query::<dyn Persist>()?.query::<Workbook>()?;
        assert!(sheet.query::<dyn Print>().is_err());
        assert!(stage.events().is_empty());
        key.open();
        Ok(())
    });
}

#[test]
fn mf_6_a_rejected_method_is_retried_with_its_arguments() {
    play(|stage| {
        let filter = || {
            let asked = Cell::new(0);
            Answers::default().incoming(move |_| {
                asked.set(asked.get() + 1);
                // The creation, and the first two offers of the call.
                if (2..4).contains(&asked.get()) { ServerCall::RetryLater } else { ServerCall::Handled }
            })
        };
        let excel = stage.sta("excel").filter(filter).spawn()?;
        let sheet: Proxy<dyn Sheet> = excel.create(Workbook::mute)?.cast();
        let options = CallOptions::new().retry(|_: &apartment::RejectedCall| Retry::Now);
        let mut all = vec![8];
        sheet.with(&options).address_of(&[1], "text", None, &mut all).unwrap();
        assert_eq!(all, [8, 9], "it ran once");
        Ok(())
    });
}

#[test]
fn lt_4_a_method_s_panic_names_the_method() {
    play(|stage| {
        let excel = stage.sta("excel").spawn()?;
        let sheet: Proxy<dyn Sheet> = excel.create(Workbook::mute)?.cast();
        let error = CallError::from(sheet.panics().unwrap_err());
        let CallError::ServerFault { target, message } = &error else { panic!("{error:?}") };
        assert_eq!((told(target.method).1, &**message), ("panics", "in formula mode"));
        assert!(error.to_string().starts_with("`Sheet::panics` called at "), "{error}");
        Ok(())
    });
}

#[test]
fn dg_2_events_name_the_method() {
    play(|stage| {
        let excel = stage.sta("excel").spawn()?;
        let sheet: Proxy<dyn Sheet> = excel.create(Workbook::mute)?.cast();
        stage.begin();
        sheet.set("A1", 1.0)?;
        let made = |event: &Event| match &event.what {
            What::CallMade(made) => Some(told(made.target.method)),
            _ => None,
        };
        let seen: Vec<_> = stage.events().iter().filter_map(made).collect();
        assert_eq!(seen, [("Sheet", "set", 1, CallKind::Synchronous)]);
        Ok(())
    });
}

#[test]
fn mf_3_the_index_counts_the_methods_that_are_written() {
    play(|stage| {
        let excel = stage.sta("excel").spawn()?;
        let sheet: Proxy<dyn Sheet> = excel.create(Workbook::mute)?.cast();
        let error = CallError::from(sheet.panics().unwrap_err());
        let CallError::ServerFault { target, .. } = error else { panic!("{error:?}") };
        // `never` is under a false `cfg`, and counts all the same: both ends number alike.
        assert_eq!(target.method.unwrap().index, 8);
        Ok(())
    });
}

// ---- what an object answers to

#[test]
fn ma_5_a_query_answers_what_the_type_declares_whatever_casts_were_made_before() {
    play(|stage| {
        let excel = stage.sta("excel").spawn()?;
        let book = excel.create(Workbook::mute)?;
        book.call(|book| book.set("A1", 1.0))??;
        let sheet: Proxy<dyn Sheet> = book.cast();
        let asked: [Proxy<dyn Persist>; 4] = [
            book.cast(),
            book.query()?,
            sheet.query()?,
            // Through an interface that has no methods, and back to the type.
            sheet.query::<dyn Marked>()?.query::<Workbook>()?.query::<dyn Sheet>()?.query()?,
        ];
        for persist in asked {
            assert_eq!(persist.save()?, 1);
        }
        Ok(())
    });
}

#[test]
fn ma_5_an_interface_that_the_type_does_not_declare_is_no_interface() {
    play(|stage| {
        let excel = stage.sta("excel").spawn()?;
        let is_none = |result: Result<(), CallError>| {
            let error = result.unwrap_err();
            assert_eq!((error.hresult(), error.outcome()), (0x8000_4002, Outcome::NotStarted));
            error.to_string()
        };
        let book = excel.create(Workbook::mute)?;
        assert!(is_none(book.query::<dyn Print>().map(drop)).contains("dyn "));
        assert!(is_none(book.cast::<dyn Sheet>().query::<dyn Print>().map(drop)).contains("Print"));
        // Implemented, but not declared; another type altogether.
        Draft.print()?;
        let draft = excel.create(|| Draft)?.cast::<dyn Persist>();
        is_none(draft.query::<dyn Print>().map(drop));
        is_none(draft.query::<Workbook>().map(drop));
        assert_eq!(draft.query::<Draft>()?.call(|draft| draft.save())??, 0);
        Ok(())
    });
}

#[test]
fn ma_5_the_answer_does_not_need_the_apartment() {
    play(|stage| {
        let excel = stage.sta("excel").spawn()?;
        let sheet: Proxy<dyn Sheet> = excel.create(Workbook::mute)?.cast();
        excel.quit();
        excel.join()?;
        let persist = sheet.query::<dyn Persist>()?;
        assert_eq!(persist.save().unwrap_err().hresult(), hresult::DISCONNECTED);
        assert!(sheet.query::<dyn Print>().is_err());
        Ok(())
    });
}

#[test]
fn ma_5_free_threaded_objects_and_those_of_the_mta_answer_like_all_others() {
    struct Shared;

    impl Persist for Shared {
        fn save(&self) -> Result<usize, CallError> {
            Ok(3)
        }
    }

    implements!(Shared: dyn Persist);

    play(|stage| {
        let mta = stage.mta().spawn()?;
        let (in_mta, free) = (mta.create(|| Shared)?, stage.process.free_threaded(Shared)?);
        for proxy in [in_mta, free] {
            assert_eq!(proxy.cast::<dyn Persist>().query::<Shared>()?.query::<dyn Persist>()?.save()?, 3);
            assert!(proxy.query::<dyn Print>().is_err());
        }
        Ok(())
    });
}

#[test]
fn lt_7_references_are_equal_exactly_if_they_mean_one_object_through_any_number_of_interfaces() {
    play(|stage| {
        let excel = stage.sta("excel").spawn()?;
        let (one, two) = (excel.create(Workbook::mute)?, excel.create(Workbook::mute)?);
        let (sheet, persist): (Proxy<dyn Sheet>, Proxy<dyn Persist>) = (one.cast(), one.cast());
        let back: Proxy<Workbook> = persist.query::<dyn Marked>()?.query()?;
        assert!(sheet == persist);
        assert!(persist == sheet);
        assert!(sheet == one && back == one && back == sheet);
        assert!(sheet != two && two.cast::<dyn Sheet>() != sheet && two.cast::<dyn Persist>() != sheet);
        // Equal ones are one entry of a set.
        #[expect(clippy::mutable_key_type, reason = "which object it means never changes")]
        let set: HashSet<Proxy<dyn Sheet>> = [sheet.clone(), persist.query()?, two.cast()].into();
        assert_eq!(set.len(), 2);
        assert!(set.contains(&sheet.downgrade().upgrade().unwrap()));
        Ok(())
    });
}

#[test]
fn lt_1_an_object_lives_as_long_as_a_reference_through_any_interface() {
    struct Told(Sender<&'static str>);

    impl Marked for Told {}

    impl Drop for Told {
        fn drop(&mut self) {
            // The test may have given up.
            let _given_up = self.0.send("dropped");
        }
    }

    implements!(Told: dyn Marked);

    play(|stage| {
        let excel = stage.sta("excel").spawn()?;
        let (tell, dropped) = channel();
        let object = excel.create(move || Told(tell))?;
        let marked: Proxy<dyn Marked> = object.cast();
        let again: Proxy<Told> = marked.query()?;
        drop((object, again));
        marked.call(|_| ())?;
        assert!(dropped.try_recv().is_err());
        drop(marked);
        assert_eq!(dropped.recv().unwrap(), "dropped");
        Ok(())
    });
}

// ---- many methods

/// `interface!` with so many methods, each with 20 lines of documentation.
macro_rules! large {
    ($($method:ident)*) => {
        interface! {
            trait Large {
                $(
                    /// 1
                    /// 2
                    /// 3
                    /// 4
                    /// 5
                    /// 6
                    /// 7
                    /// 8
                    /// 9
                    /// 10
                    /// 11
                    /// 12
                    /// 13
                    /// 14
                    /// 15
                    /// 16
                    /// 17
                    /// 18
                    /// 19
                    /// 20
                    fn $method(&self, text: &str, more: Option<&str>, count: &mut u32) -> Result<usize, CallError>;
                )*
            }
        }

        impl Large for u8 {
            $(
                fn $method(&self, text: &str, more: Option<&str>, count: &mut u32) -> Result<usize, CallError> {
                    *count += 1;
                    Ok(text.len() + more.map_or(0, str::len))
                }
            )*
        }

        struct Small(u8);

        impl Large for Small {
            $(
                fn $method(&self, text: &str, more: Option<&str>, count: &mut u32) -> Result<usize, CallError> {
                    self.0.$method(text, more, count)
                }
            )*
        }

        implements!(Small: dyn Large);

        fn call_all(large: &impl Large, count: &mut u32) -> Result<usize, CallError> {
            Ok(0 $(+ large.$method("text", Some("more"), count)?)*)
        }
    };
}

large! {
    m00 m01 m02 m03 m04 m05 m06 m07 m08 m09 m10 m11 m12 m13 m14 m15 m16 m17 m18 m19 m20 m21 m22 m23 m24
    m25 m26 m27 m28 m29 m30 m31 m32 m33 m34 m35 m36 m37 m38 m39 m40 m41 m42 m43 m44 m45 m46 m47 m48 m49
}

#[test]
fn ck_1_an_interface_of_50_methods_with_20_lines_of_documentation_each_compiles_and_is_called() {
    play(|stage| {
        let home = stage.sta("home").spawn()?;
        let large: Proxy<dyn Large> = home.create(|| Small(1))?.cast();
        let mut count = 0;
        assert_eq!(call_all(&large, &mut count)?, 50 * 8);
        assert_eq!(count, 50);
        Ok(())
    });
}
