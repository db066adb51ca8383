//! A direct reference belongs to its apartment's thread.
use apartment::Sta;

fn main() -> Result<(), apartment::Error> {
    let home = Sta::spawn("home")?;
    let text = home.create(|| String::from("text"))?;
    let local = text.local().unwrap();
    //~ cannot be sent between threads safely
    //~ Local<String>`
    std::thread::spawn(move || println!("{}", *local));
    Ok(())
}
