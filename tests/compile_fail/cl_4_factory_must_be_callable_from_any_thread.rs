//! Two STAs may create the class at the same time, each on its own thread.
use apartment::{implements, Class};
use std::cell::Cell;
use std::rc::Rc;

struct Numbered(u32);
implements!(Numbered);

fn main() {
    let next = Rc::new(Cell::new(0));
    //~ `Rc<Cell<u32>>` cannot be sent between threads safely
    //~ required by this bound in `Class::apartment`
    Class::apartment(move || Numbered(next.replace(next.get() + 1)));
    println!("{}", Numbered(1).0);
}
