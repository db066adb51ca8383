//! What is borrowed for `call_mut` and `call_ref` is given back when they return.
use apartment::Sta;
use std::cell::RefCell;

fn main() -> Result<(), apartment::Error> {
    let home = Sta::spawn("home")?;
    let text = home.create(|| RefCell::new(String::from("text")))?;
    //~ returning this value requires that
    let inside: &mut str = text.call_mut(|text: &mut String| text.as_mut_str())?;
    println!("{inside}");
    Ok(())
}
