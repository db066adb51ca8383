//! The example `threading_models`, run as the program it is.

mod example;

use example::{outlives_its_reader, program};

/// The cells of the table whose head begins with that word.
fn table(text: &str, head: &str) -> Vec<Vec<String>> {
    let cells = |line: &str| line.split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    let lines = text.lines().skip_while(|line| !line.starts_with(head));
    let rows: Vec<_> = lines.take_while(|line| line.contains('|')).map(cells).collect();
    assert!(rows.len() > 2, "no table of {head}s in:\n{text}");
    rows.into_iter().filter(|row| !row[0].starts_with('-')).collect()
}

#[test]
fn cl_2_the_table_is_what_happens() {
    let run = program("threading_models").output().expect("the example can be started");
    let out = String::from_utf8(run.stdout).expect("it prints text");
    assert!(run.status.success(), "{out}{}", String::from_utf8_lossy(&run.stderr));
    let single = "main STA (host if none), proxy";
    let free = "MTA (host if none), proxy";
    assert_eq!(
        table(&out, "creator"),
        [
            ["creator", "Single", "Apartment", "Free", "Both"],
            ["main STA", "direct", "direct", free, "direct"],
            ["another STA", single, "direct", free, "direct"],
            ["MTA", single, "host STA, proxy", "direct", "direct"],
            ["no apartment", single, "host STA, proxy", "direct (host MTA if none)", "direct (host MTA if none)"],
        ]
    );
    assert_eq!(
        table(&out, "caller"),
        [
            ["caller", "Both", "Both, free-threaded"],
            ["main STA", "direct", "direct, free-threaded"],
            ["another STA", "proxy", "direct, free-threaded"],
            ["MTA", "proxy", "direct, free-threaded"],
        ]
    );
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    outlives_its_reader(program("threading_models"));
}
