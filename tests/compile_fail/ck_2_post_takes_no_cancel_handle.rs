//! Nobody waits for a post, so it takes no cancel handle.
use apartment::{CallOptions, CancelHandle, Sta};

fn main() -> Result<(), apartment::Error> {
    let home = Sta::spawn("home")?;
    let text = home.create(|| String::from("text"))?;
    let handle = CancelHandle::new();
    let options = CallOptions::new().cancel(&handle);
    //~ no method named `post` found
    //~ CallOptions
    text.with(&options).post(|text| println!("{text}"));
    Ok(())
}
