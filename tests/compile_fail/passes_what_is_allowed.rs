//! The control: what stands beside each program that must not compile does compile.
use apartment::{CallOptions, CancelHandle, Mta, PostOptions, Proxy, RetryFor, Sta};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Mutex;
use std::time::Duration;

fn crosses<T: Send + Sync>(_: &T) {}

fn main() -> Result<(), apartment::Error> {
    let home = Sta::spawn("home")?;
    let text: Proxy<Rc<String>> = home.create(|| Rc::new(String::from("text")))?;
    crosses(&text);
    crosses(&home);

    // Calls borrow from the stack, and own what they return.
    let suffix = String::from("!");
    let mut calls = 0;
    let ends: bool = text.call(|text| {
        calls += 1;
        text.ends_with(&suffix)
    })?;
    let owned: String = text.call(|text| text.as_str().to_owned())?;
    println!("{calls} {ends} {owned}");

    // At home, what cannot be sent is at hand.
    let local: Option<usize> = text.call(|_| ()).ok().and(text.local().map(|local| local.len()));
    println!("{local:?}");

    // A call takes every option, a post those that mean something to it.
    let handle = CancelHandle::new();
    let options = CallOptions::new().cancel(&handle).retry(RetryFor::new(Duration::from_secs(1)));
    text.with(&options).call(|text| println!("{text}"))?;
    let options = PostOptions::new().wait_for_room();
    text.with(&options).post(move |text| println!("{text}{suffix}"))?;
    text.post(|text| println!("{text}"))?;

    // An STA's objects are anything, the MTA's are `Send + Sync`.
    home.create(|| (Cell::new(1), RefCell::new(Rc::new(1))))?;
    let pool = Mta::spawn()?;
    pool.create(|| Mutex::new(Cell::new(1)))?;

    let entered = Sta::builder("here").enter()?;
    entered.create(move || Rc::new(Cell::new(owned)))?;
    entered.pump();
    entered.leave();
    Ok(())
}
