//! What a call lends to its closure is lent for that call.
use apartment::Sta;

fn main() -> Result<(), apartment::Error> {
    let home = Sta::spawn("home")?;
    let text = home.create(|| String::from("text"))?;
    //~ lifetime may not live long enough
    let inside: &str = text.call(|text: &String| text.as_str())?;
    println!("{inside}");
    Ok(())
}
