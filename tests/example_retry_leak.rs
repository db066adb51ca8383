//! The example `retry_leak`, run as the program it is.

mod example;

use example::{outlives_its_reader, program};
use std::process::Output;

fn run(retries: &str) -> (Output, String) {
    let run = program("retry_leak").arg(retries).output().expect("the example can be started");
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
        // A number each, or words where the system tells none.
        let row = row(&out, name);
        let (before, after) = row.split_at(row.len() / 2);
        assert!(!before.is_empty() && before == after, "{name}: {out}");
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
fn a_reader_that_goes_away_leaves_nothing_behind() {
    let mut program = program("retry_leak");
    program.arg("100");
    outlives_its_reader(program);
}
