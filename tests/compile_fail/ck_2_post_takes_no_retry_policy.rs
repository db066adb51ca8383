//! No filter rejects a post, so it takes no retry policy.
use apartment::{CallOptions, RetryFor, Sta};
use std::time::Duration;

fn main() -> Result<(), apartment::Error> {
    let home = Sta::spawn("home")?;
    let text = home.create(|| String::from("text"))?;
    let options = CallOptions::new().retry(RetryFor::new(Duration::from_secs(1)));
    //~ no method named `post` found
    //~ CallOptions
    text.with(&options).post(|text| println!("{text}"));
    Ok(())
}
