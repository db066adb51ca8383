//! The example `retry_leak`, run as the program it is.

use std::process::{Command, Output, Stdio};

fn program() -> Command {
    // target/debug/deps/example_retry_leak-0123 → target/debug/examples/retry_leak
    let this = std::env::current_exe().expect("this program has a path");
    let built = this.parent().and_then(std::path::Path::parent).expect("it is in a target folder");
    let program = built.join("examples").join(format!("retry_leak{}", std::env::consts::EXE_SUFFIX));
    assert!(program.exists(), "{} is missing: cargo build --example retry_leak", program.display());
    Command::new(program)
}

fn run(retries: &str) -> (Output, String) {
    let run = program().arg(retries).output().expect("the example can be started");
    let out = String::from_utf8(run.stdout.clone()).expect("it prints text");
    (run, out)
}

/// What a row of the table says.
fn row<'a>(out: &'a str, name: &str) -> Vec<&'a str> {
    let row = out.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no row {name} in:\n{out}"));
    row.split_whitespace().skip(1).collect()
}

#[test]
fn mf_7_the_process_has_the_same_memory_handles_and_threads_after_many_retries() {
    let (run, out) = run("20000");
    assert!(run.status.success(), "{out}{}", String::from_utf8_lossy(&run.stderr));
    assert_eq!(out.matches("its own policy: retry now").count(), 2, "{out}");
    assert!(out.contains("20000 retries in "), "{out}");
    assert!(out.contains("attempt 20001 was let in"), "{out}");
    assert!(out.contains("They have left nothing behind."), "{out}");
    for name in ["handles", "threads"] {
        let [before, after] = row(&out, name)[..] else { panic!("{out}") };
        assert_eq!(before, after, "{name}");
    }
    let memory = row(&out, "memory");
    assert!(memory.iter().all(|bytes| bytes.parse::<u64>().is_ok_and(|bytes| bytes > 100_000)), "{out}");
}

#[test]
fn what_is_no_number_of_retries_is_refused() {
    let (run, out) = run("many");
    assert!(!run.status.success(), "{out}");
    let said = String::from_utf8_lossy(&run.stderr);
    assert!(said.contains("the first argument is the number of retries"), "{said}");
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let mut run = program();
    let run = run.arg("100").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut run = run.expect("the example can be started");
    drop(run.stdout.take());
    let run = run.wait_with_output().expect("it ends");
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
}
