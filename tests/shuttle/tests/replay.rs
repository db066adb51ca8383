//! What fails is printed, kept, and fails again when it is replayed: shown by programs that are wrong on purpose.
#![cfg(shuttle)]

use std::path::PathBuf;
use std::process::{Command, Output};

fn schedules(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_schedules")).args(arguments).output().unwrap()
}

/// All that it printed.
fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Runs a scenario that is to fail, and replays what was found: what that says.
fn fails_and_replays(scenario: &str, drawn: &str) -> String {
    let found = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{scenario}-{drawn}"));
    let run = || {
        let folder = found.to_str().unwrap();
        let run = ["run", "--scenario", scenario, "--drawn", drawn, "--schedules", "2000", "--found", folder];
        let output = schedules(&run);
        assert!(!output.status.success(), "{scenario} passes: {}", said(&output));
        let file = found.join(format!("{scenario}-{drawn}-1.schedule"));
        (said(&output), std::fs::read_to_string(&file).unwrap(), file)
    };
    let (printed, kept, file) = run();
    assert!(printed.contains(&kept), "the schedule is printed: {printed}");
    assert!(printed.contains("replay") && printed.contains(file.to_str().unwrap()), "and how to replay it: {printed}");
    assert_eq!(run().1, kept, "the same seed finds the same schedule");

    let again = schedules(&["replay", file.to_str().unwrap()]);
    assert!(!again.status.success(), "it fails again: {}", said(&again));
    said(&again)
}

#[test]
fn a_lost_count_is_found_by_each_scheduler_and_replays() {
    for drawn in ["random", "pct2", "pct3", "pct5", "urw"] {
        let again = fails_and_replays("planted_race", drawn);
        assert!(again.contains("again: ") && again.contains("a count was lost"), "{again}");
    }
}

#[test]
fn a_wait_without_an_end_is_found_and_replays() {
    let again = fails_and_replays("planted_wait", "random");
    assert!(again.contains("again: ") && again.contains("deadlock! blocked tasks"), "{again}");
}

/// As a broken invariant of the engine does: nothing is left that could say what ran.
#[test]
fn a_program_that_stops_is_found_and_replays() {
    let again = fails_and_replays("planted_stop", "random");
    assert!(!again.contains("again: ") && !again.contains("it passes"), "it stops without a word: {again}");
}

/// What is drawn twice goes the same way twice: nothing but the schedule decides, or no failure would replay.
#[test]
fn nothing_but_the_schedule_decides() {
    let all = String::from_utf8(schedules(&["list"]).stdout).unwrap().lines().count();
    let said = said(&schedules(&["run", "--drawn", "twice", "--schedules", "30"]));
    assert_eq!(said.matches("twice round 1 of 30: 60 schedules").count(), all, "{said}");
}

/// The list in the documentation is the one there is.
#[test]
fn each_scenario_is_in_the_documentation() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/schedules.md");
    let text = std::fs::read_to_string(path).unwrap();
    let rows: Vec<_> =
        text.lines().filter(|line| line.starts_with("| `")).map(|line| row(line.split('|').skip(1))).collect();
    let list = String::from_utf8(schedules(&["list"]).stdout).unwrap();
    assert!(!rows.is_empty() && rows.iter().map(String::as_str).eq(list.lines()), "{rows:#?} and not {list}");
}

/// A row of the table as `list` prints it: what the scenario is, is said in the table alone.
fn row<'a>(mut cells: impl Iterator<Item = &'a str>) -> String {
    let mut cell = || cells.next().unwrap().trim();
    let (name, threads, _, rules) = (cell().trim_matches('`'), cell(), cell(), cell());
    format!("{name:32} {threads:>2} threads  {rules}")
}
