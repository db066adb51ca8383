//! The guard of a thread that became an apartment stays with that thread.
use apartment::Sta;

fn main() -> Result<(), apartment::Error> {
    let entered = Sta::builder("here").enter()?;
    //~ cannot be sent between threads safely
    //~ Entered`
    std::thread::spawn(move || entered.run());
    Ok(())
}
