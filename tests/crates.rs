//! Interfaces, objects and their users in different crates: what the macros make of a trait in one of them is enough for
//! the others.

use apartment::{CallError, Clock, Process, Proxy, implements, interface};
use sheet_interfaces::{Cell, Listen, Listeners, Persist, Sheet, SheetError, SheetResult};
use sheet_objects::{Note, Workbook};
use std::cell::RefCell;
use std::rc::Rc;

/// An interface of this crate's, for a type of this crate's, which has one of another's as well.
struct Bar(Rc<RefCell<Vec<Cell>>>);

interface! {
    trait Count {
        fn count(&self) -> Result<usize, CallError>;
    }
}

impl Listen for Bar {
    fn changed(&self, cell: &Cell) -> SheetResult {
        self.0.borrow_mut().push(cell.clone());
        Ok(())
    }
}

impl Count for Bar {
    fn count(&self) -> Result<usize, CallError> {
        Ok(self.0.borrow().len())
    }
}

implements!(Bar: dyn Listen, dyn Count);

fn cell(name: &str, value: f64) -> Cell {
    Cell { name: name.into(), value }
}

/// Knows the interface alone.
fn sum(sheet: &impl Sheet, names: &[&str]) -> SheetResult<f64> {
    Ok(sheet.cells(names)?.into_iter().sum())
}

#[test]
fn ma_5_interfaces_objects_and_users_may_be_in_different_crates() -> SheetResult {
    let process = Process::builder().clock(Clock::driven()).build();
    let home = process.sta("home").spawn()?;
    let book = home.create(Workbook::default)?;
    let sheet: Proxy<dyn Sheet> = book.cast();
    sheet.set(cell("A1", 1.5))?;
    sheet.set(cell("A2", 2.0))?;
    assert_eq!(sum(&sheet, &["A1", "A2"])?, 3.5);
    assert!(matches!(sum(&sheet, &["A1", "B7"]), Err(SheetError::NoSuchCell(name)) if name == "B7"));
    assert_eq!(sheet.query::<dyn Persist>()?.save()?, "A1=1.5;A2=2;");
    sheet.clear()?;
    assert_eq!(sheet.query::<Workbook>()?.call(Persist::save)??, "");
    Ok(())
}

#[test]
fn ma_5_a_query_across_crates_answers_what_the_type_declares() -> SheetResult {
    let process = Process::builder().clock(Clock::driven()).build();
    let home = process.sta("home").spawn()?;
    let mut saved = Vec::new();
    let objects = [home.create(Workbook::default)?.cast(), home.create(|| Note("note".into()))?.cast()];
    for persist in objects {
        let persist: Proxy<dyn Persist> = persist;
        // An interface that the objects' crate has never heard of.
        assert!(matches!(persist.query::<dyn Count>(), Err(CallError::NoInterface { .. })));
        saved.push((persist.save()?, persist.query::<dyn Sheet>().is_ok()));
    }
    assert_eq!(saved, [(String::new(), true), ("note".into(), false)]);
    Ok(())
}

#[test]
fn ck_6_references_to_objects_of_a_user_s_crate_travel_through_another_s_types() -> SheetResult {
    let process = Process::builder().clock(Clock::driven()).strict_rules().build();
    let here = process.sta("here").enter()?;
    let home = process.sta("home").spawn()?;
    let sheet: Proxy<dyn Sheet> = home.create(Workbook::default)?.cast();
    sheet.set(cell("A1", 1.0))?;
    sheet.set(cell("A2", 2.0))?;
    let seen = Rc::default();
    let bar = here.create(|| Bar(Rc::clone(&seen)))?;
    let listeners = Listeners(vec![bar.cast(), bar.cast::<dyn Count>().query()?]);
    assert_eq!(sheet.tell(&listeners)?, 2);
    assert_eq!(*seen.borrow(), [cell("A1", 1.0), cell("A2", 2.0), cell("A1", 1.0), cell("A2", 2.0)]);
    assert_eq!(listeners.0[0].query::<dyn Count>()?.count()?, 4);
    drop((bar, listeners, home));
    here.leave();
    Ok(())
}
