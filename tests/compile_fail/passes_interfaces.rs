//! The control: what stands beside each mistake in an interface is none.
use apartment::{implements, interface, CallError, Marshal, Proxy, Sta};
use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

#[derive(Debug)]
pub enum Failed {
    NoSuchCell,
    Call(CallError),
}

impl From<CallError> for Failed {
    fn from(error: CallError) -> Self {
        Self::Call(error)
    }
}

/// Not called `Result`, and an alias.
pub type Outcome<T = ()> = Result<T, Failed>;

/// Not `Clone`, not `Marshal`.
pub struct Once;

#[derive(Clone, Marshal)]
pub struct Row<T, const N: usize>
where
    T: Default,
{
    cells: [T; N],
    next: Option<Box<Row<T, N>>>,
    #[marshal(skip)]
    made: Option<fn() -> u8>,
}

#[derive(Clone, Debug, Marshal)]
pub enum Nothing {}

#[derive(Clone, Debug, Marshal)]
pub enum Value<'a> {
    Text(&'a str),
    Number { value: f64 },
    Sheet(Proxy<dyn Sheet>),
    Empty,
}

interface! {
    /// Attributes and docs are kept.
    #[allow(clippy::too_many_arguments)]
    pub trait Sheet {
        /// Borrows.
        fn cell(&self, name: &str, at: (usize, usize)) -> Outcome<f64>;
        fn cells(&self, names: &[&str], more: Option<&[String]>, once: &Once) -> Outcome<Vec<f64>>;
        fn lent(&self, call: &(dyn Fn(f64) -> f64 + Sync), text: Cow<'_, str>) -> Outcome<f64>;
        fn change(&self, cells: &mut [f64], all: &mut HashMap<String, f64>, once: &mut Once) -> Outcome;
        fn each(&self, run: &mut (dyn FnMut(f64) + Send), more: Option<&mut (dyn FnMut(f64) + Send)>) -> Outcome;
        fn rest(&self, text: Option<&mut &str>, all: Option<&mut [Once]>, more: Option<&mut Vec<&str>>) -> Outcome;
        fn pick<'a>(&self, from: &'a [String], key: &str) -> Outcome<Option<&'a str>>;
        fn push<'a>(&self, to: &mut Vec<&'a str>, text: &'a str) -> Outcome;
        fn keep<'a, 'b: 'a>(&self, to: &'a mut Vec<&'a str>, text: &'b str) -> Outcome;
        fn named(&self, name: &'static str) -> Outcome<&'static str>;
        fn boxed(&self, run: Box<dyn FnOnce() + Send + '_>, list: fn(&str) -> &str) -> Outcome;
        fn own(&self, once: Once, row: Row<f64, 2>, _: u8) -> Outcome<Row<f64, 2>>;
        fn value<'v>(&self, value: Value<'v>) -> Outcome<Value<'v>>;
        fn provided(&self, mut add: f64) -> Outcome<f64> {
            add += 1.0;
            Ok(add)
        }
        #[cfg(any())]
        fn absent(&self) -> NoSuchType;
        #[deprecated]
        #[must_use]
        fn r#type(&self) -> Outcome<Option<Proxy<dyn Row2>>>;
        fn focus(&self, text: &str) -> Outcome as input_sync;
        fn changed(&self, name: &str, all: &[String], more: Option<&str>, once: Once) -> Outcome as one_way;
        fn closed(&self, name: &'static str, by: &Proxy<dyn Sheet>) -> Outcome as one_way {
            Ok(drop((name, by)))
        }
    }

    pub trait Row2 {}

    #[cfg(any())]
    pub trait Absent {}
}

/// A module of its own, a private trait, another visibility.
mod inner {
    use super::{CallError, Proxy};

    apartment::interface! {
        trait Private {
            fn get(&self) -> Result<u8, CallError>;
        }
        pub(in crate::inner) trait Named {
            fn get(&self) -> Result<u8, CallError>;
        }
    }

    pub(crate) fn get(private: &Proxy<super::Workbook>) -> Result<u8, CallError> {
        Ok(private.cast::<dyn Private>().get()? + private.cast::<dyn Named>().get()?)
    }

    impl Private for super::Workbook {
        fn get(&self) -> Result<u8, CallError> {
            Ok(1)
        }
    }

    impl Named for super::Workbook {
        fn get(&self) -> Result<u8, CallError> {
            Ok(1)
        }
    }

    pub(crate) mod declared {
        apartment::implements!(crate::Workbook: dyn super::Private, dyn super::Named, dyn crate::Sheet, dyn crate::Row2);
    }
}

pub struct Workbook(Rc<RefCell<Vec<f64>>>);

impl Sheet for Workbook {
    fn cell(&self, _: &str, (row, _): (usize, usize)) -> Outcome<f64> {
        self.0.borrow().get(row).copied().ok_or(Failed::NoSuchCell)
    }
    fn cells(&self, _: &[&str], _: Option<&[String]>, _: &Once) -> Outcome<Vec<f64>> {
        Ok(self.0.borrow().clone())
    }
    fn lent(&self, call: &(dyn Fn(f64) -> f64 + Sync), text: Cow<'_, str>) -> Outcome<f64> {
        Ok(call(text.len() as f64))
    }
    fn change(&self, cells: &mut [f64], _: &mut HashMap<String, f64>, _: &mut Once) -> Outcome {
        cells.fill(1.0);
        Ok(())
    }
    fn each(&self, run: &mut (dyn FnMut(f64) + Send), more: Option<&mut (dyn FnMut(f64) + Send)>) -> Outcome {
        run(1.0);
        Ok(more.map_or((), |more| more(2.0)))
    }
    fn rest(&self, _: Option<&mut &str>, _: Option<&mut [Once]>, _: Option<&mut Vec<&str>>) -> Outcome {
        Ok(())
    }
    fn pick<'a>(&self, from: &'a [String], key: &str) -> Outcome<Option<&'a str>> {
        Ok(from.iter().map(|text| text.as_str()).find(|text| *text == key))
    }
    fn push<'a>(&self, to: &mut Vec<&'a str>, text: &'a str) -> Outcome {
        Ok(to.push(text))
    }
    fn keep<'a, 'b: 'a>(&self, to: &'a mut Vec<&'a str>, text: &'b str) -> Outcome {
        Ok(to.push(text))
    }
    fn named(&self, name: &'static str) -> Outcome<&'static str> {
        Ok(name)
    }
    fn boxed(&self, run: Box<dyn FnOnce() + Send + '_>, _: fn(&str) -> &str) -> Outcome {
        Ok(run())
    }
    fn own(&self, _: Once, row: Row<f64, 2>, _: u8) -> Outcome<Row<f64, 2>> {
        Ok(row)
    }
    fn value<'v>(&self, value: Value<'v>) -> Outcome<Value<'v>> {
        Ok(value)
    }
    fn r#type(&self) -> Outcome<Option<Proxy<dyn Row2>>> {
        Ok(None)
    }
    fn focus(&self, _: &str) -> Outcome {
        Ok(())
    }
    fn changed(&self, _: &str, _: &[String], _: Option<&str>, _: Once) -> Outcome {
        Ok(())
    }
}

impl Row2 for Workbook {}

/// Answers to nothing, which is a declaration, too.
struct Mute;
implements!(Mute);
struct Generic<T>(T);
implements!(Generic<u8>: #[cfg(all())] dyn Row2, #[cfg(any())] dyn Absent,);
impl<T> Row2 for Generic<T> {}

/// Code that does not care on which side it is.
fn sum(sheet: &impl Sheet) -> Outcome<f64> {
    Ok(sheet.cell("A1", (0, 0))? + sheet.cell("A2", (1, 0))?)
}

fn main() -> Outcome {
    let home = Sta::spawn("home")?;
    let book = home.create(|| Workbook(Rc::default()))?;
    let sheet: Proxy<dyn Sheet> = book.cast();
    sum(&sheet)?;
    sum(&sheet.within(Duration::from_secs(1)))?;
    sum(&sheet.with(&apartment::CallOptions::new().wait_for_room()))?;
    sum(&Workbook(Rc::default()))?;
    let texts = [String::from("a")];
    let mut found = vec![sheet.pick(&texts, "a")?.unwrap_or_default()];
    sheet.push(&mut found, &texts[0])?;
    let mut count = 0;
    sheet.boxed(Box::new(|| count += 1), |text| text)?;
    inner::get(&book)?;
    home.create(|| Mute)?.query::<dyn Sheet>().map(drop).or(sheet.query::<Workbook>().map(drop))?;
    home.create(|| Generic(1u8))?.cast::<dyn Row2>();
    Ok(())
}
