//! An object of a Free class lives in the MTA, and is called by several threads at once.
use apartment::{implements, Class};
use std::cell::Cell;

struct Counter(Cell<u32>);
implements!(Counter);

fn main() {
    //~ `Cell<u32>` cannot be shared between threads safely
    //~ required by this bound in `Class::free`
    Class::free(|| Counter(Cell::new(0)));
    println!("{}", Counter(Cell::new(0)).0.get());
}
