//! The example `full_mailbox`, run as the program it is.

mod example;

use example::{outlives_its_reader, program};

#[test]
fn mb_2_the_diagnosis_is_printed_and_waiting_for_room_and_dispatching_are_the_cures() {
    let run = program("full_mailbox").output().expect("the example can be started");
    let out = String::from_utf8(run.stdout).expect("it prints text");
    assert!(run.status.success(), "{out}{}", String::from_utf8_lossy(&run.stderr));
    let mut rest = &*out;
    for expected in [
        "4 of 4 places are taken",
        "apartment \"ui\" refused a call: 4 of 4 queued; it has executed `Window` called at ",
        "for 7.0 s and dispatched nothing meanwhile",
        "HRESULT           0x80010100, NotStarted",
        "apartment         \"ui\"",
        "queued            4 of 4",
        "dispatched last   7 s ago",
        "executing         `Window` called at ",
        ", for 7 s",
        "post Window ──✗",
        "it waits, with 4 of 4 places taken",
        "5 lines are drawn",
        "sender",
        "post Window begins",
        "105 lines are drawn, and none was refused",
    ] {
        let at = rest.find(expected).unwrap_or_else(|| panic!("no `{expected}` where it should be in:\n{out}"));
        rest = &rest[at + expected.len()..];
    }
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    outlives_its_reader(program("full_mailbox"));
}
