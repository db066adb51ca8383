//! A call runs elsewhere, so its result must be able to come back.
use apartment::Sta;
use std::rc::Rc;

fn main() -> Result<(), apartment::Error> {
    let home = Sta::spawn("home")?;
    let text = home.create(|| Rc::new(String::from("text")))?;
    //~ `Rc<String>` cannot be sent between threads safely
    //~ required by this bound in `Proxy::<T>::call`
    let other = text.call(|text| text.clone())?;
    println!("{other}");
    Ok(())
}
