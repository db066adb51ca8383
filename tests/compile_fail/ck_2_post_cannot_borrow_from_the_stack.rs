//! A post outlives the statement that made it, so it cannot borrow from there.
use apartment::Sta;

fn main() -> Result<(), apartment::Error> {
    let home = Sta::spawn("home")?;
    let text = home.create(|| String::from("text"))?;
    let suffix = String::from("!");
    //~ closure may outlive the current function
    //~ borrowed value `suffix`
    text.post(|text| println!("{text}{suffix}")).unwrap();
    Ok(())
}
