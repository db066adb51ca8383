//! An object that cannot be sent is made in its apartment, not brought there.
use apartment::Sta;
use std::rc::Rc;

fn main() -> Result<(), apartment::Error> {
    let home = Sta::spawn("home")?;
    let mine = Rc::new(String::from("text"));
    //~ `Rc<String>` cannot be sent between threads safely
    //~ required by this bound in `Sta::create`
    home.create(move || mine)?;
    Ok(())
}
