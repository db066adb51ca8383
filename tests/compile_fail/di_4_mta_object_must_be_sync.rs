//! An object of the MTA is called by several threads at once.
use apartment::Mta;
use std::cell::Cell;

fn main() -> Result<(), apartment::Error> {
    let pool = Mta::spawn()?;
    //~ `Cell<bool>` cannot be shared between threads safely
    pool.create(|| Cell::new(true))?;
    Ok(())
}
