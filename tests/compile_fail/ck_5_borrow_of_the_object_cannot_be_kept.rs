//! What a call lends to its closure cannot be put where it outlives the call, either.
use apartment::Sta;

fn main() -> Result<(), apartment::Error> {
    let home = Sta::spawn("home")?;
    let text = home.create(|| String::from("text"))?;
    let mut kept: Option<&str> = None;
    //~ borrowed data escapes outside of closure
    text.call(|text| kept = Some(text.as_str()))?;
    println!("{kept:?}");
    Ok(())
}
