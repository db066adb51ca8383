//! An object of the MTA is called by several threads at once.
use apartment::Mta;
use std::cell::Cell;

fn main() -> Result<(), apartment::Error> {
    let pool = Mta::spawn()?;
    //~ `Cell<bool>` cannot be shared between threads safely
    //~ required by this bound in `Mta::create`
    pool.create(|| Cell::new(true))?;
    Ok(())
}
