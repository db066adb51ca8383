//! An object of a Both class may come to live in the MTA, where any thread drops it.
use apartment::{implements, Class};
use std::sync::{Mutex, MutexGuard};

static LOCK: Mutex<i32> = Mutex::new(1);

struct Locked(MutexGuard<'static, i32>);
implements!(Locked);

fn main() {
    // A guard is `Sync`, but only the thread that took it may give it back.
    //~ MutexGuard<'static, i32>` cannot be sent between threads safely
    //~ required by this bound in `Class::both`
    Class::both(|| Locked(LOCK.lock().unwrap()));
    println!("{}", Locked(LOCK.lock().unwrap()).0);
}
