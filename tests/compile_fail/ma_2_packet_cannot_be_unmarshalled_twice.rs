//! A normal packet is used up by unmarshalling it.
use apartment::Sta;

fn main() -> Result<(), apartment::Error> {
    let home = Sta::spawn("home")?;
    let packet = home.create(|| String::from("text"))?.marshal()?;
    let first = packet.unmarshal()?;
    //~ use of moved value: `packet`
    let second = packet.unmarshal()?;
    assert_eq!(first, second);
    Ok(())
}
