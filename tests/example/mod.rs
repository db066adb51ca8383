//! What the tests of all examples need: each runs its example as the program it is.
#![allow(dead_code, reason = "no test needs all of it")]

#[path = "../programs/mod.rs"]
mod programs;

use std::path::Path;
use std::process::{Command, Stdio};

/// The program that the example of that name is.
pub(crate) fn program(name: &str) -> Command {
    // target/debug/deps/example_NAME-0123 → target/debug/examples/NAME
    let this = std::env::current_exe().expect("this program has a path");
    let built = this.parent().and_then(Path::parent).expect("it is in a target folder");
    let program = built.join("examples").join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    assert!(program.exists(), "{} is missing: cargo build --example {name}", program.display());
    programs::start(&program)
}

/// Whoever reads what it prints goes away, which is no failure.
#[track_caller]
pub(crate) fn outlives_its_reader(mut program: Command) {
    let run = program.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut run = run.expect("the example can be started");
    drop(run.stdout.take());
    let run = run.wait_with_output().expect("it ends");
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
}
