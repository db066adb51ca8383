//! A free-threaded object is called on every thread; a direct reference belongs to one.
use apartment::{Local, Process, Sta};

struct Holder {
    text: Local<String>,
}

fn main() -> Result<(), apartment::Error> {
    let home = Sta::builder("home").enter()?;
    let text = home.create(|| String::from("text"))?;
    let holder = Holder { text: text.local().unwrap() };
    //~ cannot be sent between threads safely
    //~ cannot be shared between threads safely
    //~ required because it appears within the type `Local<String>`
    let free = Process::global().free_threaded(holder)?;
    free.call(|holder| println!("{}", *holder.text))?;
    Ok(())
}
