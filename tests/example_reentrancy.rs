//! The example `reentrancy`, run as the program it is.

mod example;

use example::{outlives_its_reader, program};

#[test]
fn di_12_the_policies_are_compared_by_one_story() {
    let run = program("reentrancy").output().expect("the example can be started");
    let out = String::from_utf8(run.stdout).expect("it prints text");
    assert!(run.status.success(), "{out}{}", String::from_utf8_lossy(&run.stderr));
    let mut rest = &*out;
    for expected in [
        "Classic: the letter is written",
        // Both are served inside the wait.
        "┃◀────────────────┃─── call Invoice ─╎",
        "┃◀── call Letter ─┃",
        "SameCausality: the letter is written",
        "─── call Invoice ─╎   held by the re-entrancy policy",
        "┃◀── call Letter ─┃",
        "call Invoice begins",
        "None: the letter is not written: deadlock: nobody here can go on",
        "╭─▶ excel waits for word in Letter at ",
        "╰── word waits for excel in Sheet at ",
        "─── call Invoice ─╎   held by the re-entrancy policy",
        "┆◀── call Letter ─┃",
        "Deadlock, not started",
        "call Invoice begins",
    ] {
        let at = rest.find(expected).unwrap_or_else(|| panic!("no `{expected}` where it should be in:\n{out}"));
        rest = &rest[at + expected.len()..];
    }
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    outlives_its_reader(program("reentrancy"));
}
