//! The guard of a thread that is in the MTA stays with that thread.
use apartment::Mta;

fn main() -> Result<(), apartment::Error> {
    let pool = Mta::spawn()?;
    let entered = pool.enter()?;
    //~ cannot be sent between threads safely
    //~ EnteredMta`
    std::thread::spawn(move || drop(entered));
    Ok(())
}
