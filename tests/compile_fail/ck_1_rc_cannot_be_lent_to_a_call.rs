//! A call runs elsewhere, so what its closure holds or borrows must be able to go there.
use apartment::Sta;
use std::rc::Rc;

fn main() -> Result<(), apartment::Error> {
    let home = Sta::spawn("home")?;
    let text = home.create(|| String::from("text"))?;
    let suffix = Rc::new(String::from("!"));
    //~ `Rc<String>` cannot be shared between threads safely
    text.call(|text| text.ends_with(suffix.as_str()))?;
    //~ `Rc<String>` cannot be sent between threads safely
    text.call(move |text| text.ends_with(suffix.as_str()))?;
    Ok(())
}
