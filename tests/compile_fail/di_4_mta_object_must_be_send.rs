//! An object of the MTA is made, called and dropped by whichever thread comes first.
use apartment::Mta;
use std::sync::{Mutex, MutexGuard};

static LOCK: Mutex<i32> = Mutex::new(1);

fn main() -> Result<(), apartment::Error> {
    let pool = Mta::spawn()?;
    // A guard is `Sync`, but only the thread that took it may give it back.
    //~ MutexGuard<'static, i32>` cannot be sent between threads safely
    //~ required by this bound in `Mta::create`
    pool.create(|| -> MutexGuard<'static, i32> { LOCK.lock().unwrap() })?;
    Ok(())
}
