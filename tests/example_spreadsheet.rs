//! The example `spreadsheet`: its sheet, and the program as it is run.

mod example;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

#[path = "../examples/spreadsheet/formula.rs"]
mod formula;
#[path = "../examples/spreadsheet/grid.rs"]
mod grid;
#[path = "../examples/spreadsheet/letter.rs"]
mod letter;
#[path = "../examples/spreadsheet/value.rs"]
mod value;

use grid::Grid;
use letter::Letter;
use value::{Pos, Value};

fn at(name: &str) -> Pos {
    name.parse().expect("it is a cell's name")
}

/// A sheet with these cells, worked out.
fn sheet<'a>(cells: impl IntoIterator<Item = (&'a str, &'a str)>) -> Grid {
    let mut grid = Grid::default();
    for (name, content) in cells {
        grid.set(at(name), content).unwrap_or_else(|why| panic!("{name}: {why}"));
    }
    work_out(&mut grid);
    grid
}

/// Gives the cycles.
fn work_out(grid: &mut Grid) -> Vec<String> {
    let plan = grid.plan();
    for at in plan.order {
        grid.work_out(at);
    }
    plan.cycles.iter().map(|way| way.iter().map(Pos::to_string).collect::<Vec<_>>().join(" ")).collect()
}

/// What a formula shows, beside A1 to A5: 1, 2, a text, nothing, and an error.
fn shows(formula: &str) -> String {
    let cells = [("A1", "1"), ("A2", "2"), ("A3", "Three"), ("A5", "=1/0"), ("C7", formula)];
    sheet(cells).value(at("C7")).to_string()
}

#[test]
fn operators_bind_and_group_as_in_excel() {
    for (formula, value) in [
        ("=1+2*3", "7"),
        ("=(1+2)*3", "9"),
        ("=10-4-3", "3"),
        ("=16/4/2", "2"),
        ("=2^3^2", "64"),
        ("=-2^2", "4"),
        ("=2^-1", "0.5"),
        ("=--3", "3"),
        ("= 1 + 1 ", "2"),
        (".5 * 2", ".5 * 2"),
        ("=.5 * 2e1", "10"),
        ("=1E3/1e-3", "1000000"),
        ("=0.1+0.2", "0.3"),
        ("=1/3", "0.333333333333333"),
        ("=1e20*10", "1e21"),
        ("=-0.0", "0"),
        ("=1<2", "TRUE"),
        ("=1+1=2", "TRUE"),
        ("=2<>2", "FALSE"),
        ("=2>=2", "TRUE"),
        ("=2<=1", "FALSE"),
        ("=\"abc\"=\"ABC\"", "TRUE"),
        ("=\"a\"<\"b\"", "TRUE"),
        ("=99<\"a\"", "TRUE"),
        ("=\"a\"<FALSE", "TRUE"),
        ("=A4=0", "TRUE"),
        ("=A4=\"\"", "TRUE"),
        ("=\"say \"\"so\"\"\"", "say \"so\""),
        ("=\"\"", ""),
    ] {
        assert_eq!(shows(formula), value, "{formula}");
    }
}

#[test]
fn cells_and_ranges_are_asked_for_by_name() {
    for (formula, value) in [
        ("=A1+A2", "3"),
        ("=a1+$A$2", "3"),
        ("=A3", "Three"),
        ("=A4", "0"),
        ("=-A4+TRUE", "1"),
        ("=SUM(A1:A4)", "3"),
        ("=SUM(A4:A1)", "3"),
        ("=SUM($A$1 : A2, 10, A1)", "14"),
        ("=SUM(A1:B2, A2:A2)", "5"),
        ("=SUM(A4)", "0"),
        ("=SUM(B1:XFD6)", "0"),
        ("=AVERAGE(A1:A4, 6)", "3"),
        ("=MIN(A1:A4)", "1"),
        ("=MAX(A1:A4, 7)", "7"),
        ("=MIN(A4)", "0"),
        ("=COUNT(A1:A5, 3, TRUE, \"4\")", "3"),
        ("=count(A1 : A2)", "2"),
        ("=IF(A1<A2, \"less\", \"more\")", "less"),
        ("=IF(0, 1)", "FALSE"),
        ("=IF(A4, 1/0, A2)", "2"),
        ("=IF(1, SUM(A1:A2), )", "the value is missing"),
    ] {
        if value == "the value is missing" {
            Grid::default().set(at("A1"), formula).expect_err(formula);
        } else {
            assert_eq!(shows(formula), value, "{formula}");
        }
    }
}

#[test]
fn what_cannot_be_worked_out_shows_why() {
    for (formula, value) in [
        ("=1/0", "#DIV/0!"),
        ("=0^-1", "#DIV/0!"),
        ("=AVERAGE(A4)", "#DIV/0!"),
        ("=A5+A3", "#DIV/0!"),
        ("=SUM(A1:A5)", "#DIV/0!"),
        ("=IF(A5, 1, 2)", "#DIV/0!"),
        ("=A1=A5", "#DIV/0!"),
        ("=TOTAL", "#NAME?"),
        ("=TOTAL(A1)", "#NAME?"),
        ("=ABCD1+1", "#NAME?"),
        ("=A1:TOTAL", "#NAME?"),
        ("=A0", "#REF!"),
        ("=SUM(A1:A1048577)", "#REF!"),
        ("=XFE1", "#REF!"),
        ("=A3+1", "#VALUE!"),
        ("=-\"a\"", "#VALUE!"),
        ("=A1:A2+1", "#VALUE!"),
        ("=A1:A2", "#VALUE!"),
        ("=SUM(1, \"2\")", "#VALUE!"),
        ("=1e300*1e300", "#NUM!"),
        ("=(-1)^.5", "#NUM!"),
        ("=C7", "#CYCLE!"),
        ("=SUM(A1:C9)", "#CYCLE!"),
    ] {
        assert_eq!(shows(formula), value, "{formula}");
    }
}

#[test]
fn what_is_no_formula_is_refused_with_its_place() {
    let deep = |depth| format!("={}1{}", "(".repeat(depth), ")".repeat(depth));
    for (formula, why) in [
        ("=", "it ends where a value is expected (character 2 of `=`)"),
        ("=1+", "it ends where a value is expected (character 4 of `=1+`)"),
        ("=(1+2", "`)` is missing (character 6 of `=(1+2`)"),
        ("=SUM(A1;A2)", "`)` is missing (character 8"),
        ("=1 2", "`2` is not expected here (character 4"),
        ("=*2", "`*` is not expected here, but a value (character 2"),
        ("=\"ä\" &", "`&` is not expected here (character 6"),
        ("=\"open", "`\"` is missing (character 7"),
        ("=1.2.3", "`1.2.3` is no number"),
        ("=1e999", "1e999 is too large"),
        ("=A1:", "a cell is missing after `:`"),
        ("=SUM()", "SUM has at least one argument"),
        ("=IF(1)", "IF has 2 or 3 arguments, not 1"),
        ("=IF(1,2,3,4)", "IF has 2 or 3 arguments, not 4"),
        (&deep(65), "nested more than 64 deep"),
        (&format!("={}1", "-".repeat(65)), "nested more than 64 deep"),
        (&format!("=1{}", "+1".repeat(4096)), "longer than 8192 bytes"),
    ] {
        let mut grid = sheet([("A1", "7")]);
        let refused = grid.set(at("A1"), formula).expect_err(formula);
        assert!(refused.contains(why), "{formula}: {refused}");
        assert_eq!(grid.content(at("A1")), "7", "what was there stays");
    }
    assert_eq!(shows(&deep(64)), "1");
    assert_eq!(shows(&format!("=1{}", "+1".repeat(4095))), "4096");
}

#[test]
fn formulas_come_after_those_they_ask_for() {
    let mut grid = sheet([("A1", "=B1+1"), ("B1", "=SUM(C1:C3)"), ("C1", "=D1"), ("C3", "=D1*2"), ("D1", "5")]);
    let plan = grid.plan();
    let place = |name| plan.order.iter().position(|other| *other == at(name)).expect(name);
    assert_eq!((plan.order.len(), plan.cycles.len()), (4, 0));
    assert!(place("C1") < place("B1") && place("C3") < place("B1") && place("B1") < place("A1"), "{plan:?}");
    assert_eq!(grid.value(at("A1")), &Value::Number(16.0));

    grid.set(at("D1"), "6").unwrap();
    grid.set(at("C3"), "").unwrap();
    assert_eq!(grid.value(at("A1")), &Value::Number(16.0), "as old as the last time it was worked out");
    assert!(work_out(&mut grid).is_empty());
    assert_eq!(grid.value(at("A1")), &Value::Number(7.0));
    assert_eq!(grid.content(at("A1")), "=B1+1");
}

#[test]
fn a_long_chain_of_formulas_is_worked_out() {
    const LENGTH: usize = 20_000;
    let csv: String = (1..LENGTH).map(|row| format!("=A{}+1\n", row + 1)).collect::<String>() + "1\n";
    let mut grid = Grid::read(&csv).unwrap();
    assert_eq!(grid.formulas(), LENGTH - 1);
    assert!(work_out(&mut grid).is_empty());
    assert_eq!(grid.value(at("A1")), &Value::Number(LENGTH as f64));
}

#[test]
fn a_cycle_is_found_and_named_and_the_rest_is_worked_out() {
    let mut grid = sheet([
        ("A1", "=B1"),
        ("B1", "=SUM(C1:C2)"),
        ("C2", "=A1+1"),
        ("D1", "=COUNT(A1)"),
        ("D2", "=A1"),
        ("E1", "=E1"),
        ("F1", "=1+1"),
    ]);
    assert_eq!(work_out(&mut grid), ["A1 B1 C2", "E1"]);
    for (name, value) in
        [("A1", "#CYCLE!"), ("C2", "#CYCLE!"), ("D1", "0"), ("D2", "#CYCLE!"), ("E1", "#CYCLE!"), ("F1", "2")]
    {
        assert_eq!(grid.value(at(name)).to_string(), value, "{name}");
    }
    // Two cycles in one knot: a way around one of them, and no value for any, also where one could be had.
    grid.set(at("C2"), "=A1+E1").unwrap();
    grid.set(at("E1"), "=COUNT(A1)").unwrap();
    assert_eq!(work_out(&mut grid), ["A1 B1 C2"]);
    assert_eq!(grid.value(at("E1")).to_string(), "#CYCLE!");

    grid.set(at("C2"), "=F1").unwrap();
    assert!(work_out(&mut grid).is_empty());
    for (name, value) in [("A1", "2"), ("D1", "1"), ("D2", "2"), ("E1", "1")] {
        assert_eq!(grid.value(at(name)).to_string(), value, "{name}");
    }
}

#[test]
fn a_csv_file_is_read_with_its_empty_lines_and_quotes() {
    for end in ["\n", "\r\n"] {
        let csv = "\u{feff}a, 1 ,\"=SUM(B1:B9, 0)\"\n\n\n\"two\nlines\",2.50,\n,inf,NaN\n\n1e400,\"say \"\"so\"\"\"";
        let mut grid = Grid::read(&csv.replace('\n', end)).unwrap();
        work_out(&mut grid);
        for (name, value) in [
            ("A1", "a"),
            ("B1", "1"),
            ("C1", "3.5"),
            ("A2", ""),
            ("A4", "two\nlines"),
            ("B4", "2.5"),
            ("C4", ""),
            ("B5", "inf"),
            ("C5", "NaN"),
            ("A7", "1e400"),
            ("B7", "say \"so\""),
        ] {
            assert_eq!(grid.value(at(name)).to_string().replace("\r\n", "\n"), value, "{name}");
        }
        assert_eq!(grid.end(), Some(at("C7")));
    }
    assert_eq!(Grid::read("").unwrap().end(), None);
    assert_eq!(Grid::read("1,=2+\n").unwrap_err(), "B1: it ends where a value is expected (character 4 of `=2+`)");
    let wide = ",".repeat(1 << 14);
    assert!(Grid::read(&wide).unwrap_err().contains("there is no cell in row 1 and column 16385"));
}

#[test]
fn a_cells_name_and_its_place_are_one() {
    for (name, row, column) in [
        ("A1", 0, 0),
        ("Z9", 8, 25),
        ("AA10", 9, 26),
        ("ZZ1", 0, 701),
        ("AAA1", 0, 702),
        ("XFD1048576", 1048575, 16383),
    ] {
        assert_eq!(at(name), Pos { row, column });
        assert_eq!(Pos::new(row as usize, column as usize).unwrap().to_string(), name);
    }
    assert_eq!(at("b7"), at("B7"));
    for name in ["", "A", "7", "7B", "A1B", "Ä1", "A-1", "A 1"] {
        assert!(name.parse::<Pos>().unwrap_err().contains("is not a cell's name"), "{name}");
    }
    for name in ["A0", "A1048577", "XFE1", "ZZZZZZZZZZZ1", "A99999999999"] {
        assert!(name.parse::<Pos>().unwrap_err().contains("there is no cell"), "{name}");
    }
}

#[test]
fn a_letter_is_filled_in_place_by_place() {
    let letter = Letter::read("{A1}: {{{ b7 : 2 }} and\n{C3:0}{C4:1}").unwrap();
    let places: Vec<_> = letter.places().map(|place| (place.cell.to_string(), place.line)).collect();
    let expected = [("A1", 1), ("B7", 1), ("C3", 2), ("C4", 2)];
    assert_eq!(places, expected.map(|(name, line)| (name.to_owned(), line)));
    let text = letter.fill(|place| {
        Ok::<_, ()>(match place.cell.to_string().as_str() {
            "A1" => Value::Number(0.125),
            "B7" => Value::Number(2.0),
            "C3" => Value::Number(9.5),
            _ => Value::Text("none".to_owned()),
        })
    });
    assert_eq!(text.unwrap(), "0.125: {2.00} and\n10none");
    assert_eq!(letter.fill(|place| if place.line == 2 { Err(place.cell) } else { Ok(Value::Empty) }), Err(at("C3")));
    assert_eq!(Letter::read("no place").unwrap().fill(|_| Err("asked")), Ok("no place".to_owned()));
    for (text, why) in [
        ("one\n{B7", "line 2: a `{` has no `}` in its line"),
        ("{B7\n}", "line 1: a `{` has no `}` in its line"),
        ("{B{7}}", "line 1: a `{` has no `}` in its line"),
        ("\n\n{total}", "line 3: {total}: `total` is not a cell's name, such as B7"),
        ("{A1}{}", "line 1: {}: `` is not a cell's name"),
        ("{A0}", "line 1: {A0}: there is no cell A0"),
        ("{A1:x}", "line 1: {A1:x}: `x` is no number of decimals, from 0 to 20"),
        ("{A1:21}", "line 1: {A1:21}: `21` is no number of decimals"),
    ] {
        let refused = Letter::read(text).unwrap_err();
        assert!(refused.starts_with(why), "{text}: {refused}");
    }
}

/// A folder of this test's own, with a small sheet and a letter about it.
struct Place(PathBuf);

impl Place {
    fn new(test: &str) -> Place {
        let place = Place(Path::new(env!("CARGO_TARGET_TMPDIR")).join("example_spreadsheet").join(test));
        fs::create_dir_all(&place.0).expect("a place can be made");
        place.write("sheet.csv", "price,5\namount,3\ntotal,=B1*B2\ntwice,=2*B3\n");
        place.write("letter.txt", "{A3}: {B3:2}, {A4}: {B4}.\n");
        place
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        fs::write(self.0.join(name), text).expect("a text can be written");
    }

    fn program(&self) -> Command {
        let mut command = example::program("spreadsheet");
        command.arg(self.0.join("sheet.csv")).arg("--letter").arg(self.0.join("letter.txt"));
        command
    }

    fn run(&self, more: &[&str]) -> Run {
        Run::of(self.program().args(more).stdin(Stdio::null()).output().expect("the example can be started"))
    }

    /// As if these lines were typed at the terminal.
    fn typed(&self, lines: impl AsRef<[u8]>, more: &[&str]) -> Run {
        let mut program = self.program();
        let program = program.args(more).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = program.spawn().expect("the example can be started");
        let mut terminal = child.stdin.take().expect("it is piped");
        terminal.write_all(lines.as_ref()).expect("it fits into the pipe");
        drop(terminal);
        Run::of(child.wait_with_output().expect("it ends"))
    }
}

#[derive(Debug)]
struct Run {
    status: Option<i32>,
    out: String,
    err: String,
}

impl Run {
    fn of(output: Output) -> Run {
        let text = |bytes| String::from_utf8(bytes).expect("it prints text");
        Run { status: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    fn succeeded(self) -> Run {
        assert_eq!((self.status, self.err.as_str()), (Some(0), ""), "{self:?}");
        self
    }

    fn failed(self, status: i32, message: &str) -> Run {
        assert_eq!(self.status, Some(status), "{self:?}");
        assert!(self.err.contains(message) && !self.err.contains("panicked"), "{self:?}");
        assert!(!self.out.contains("writes the letter"), "{self:?}");
        self
    }

    fn count(&self, what: &str) -> usize {
        self.out.matches(what).count()
    }

    /// These are said one after the other, with whatever between them.
    fn says(self, story: &[&str]) -> Run {
        let mut rest = self.out.as_str();
        for part in story {
            rest = rest.split_once(part).unwrap_or_else(|| panic!("no {part:?} left in {self:?}")).1;
        }
        self
    }
}

const AT_ONCE: [&str; 2] = ["--patience", "0"];

/// A run in which there was time for what is looked for: a busy machine is given more of it, until it is enough.
fn given_time(run: impl FnMut(String) -> Option<Run>) -> Run {
    let seconds = (0..10).map(|doubled| (0.4 * f64::from(1 << doubled)).to_string());
    seconds.into_iter().find_map(run).expect("it can be seen in a run of some minutes")
}

#[test]
fn who_switches_to_excel_ends_formula_mode_and_gets_the_letter() {
    let run = Place::new("switch").run(&["--answer", "switch", "--formula", "=2^3", AT_ONCE[0], AT_ONCE[1]]);
    let run = run.succeeded().says(&[
        "excel | opens cells up to B4, 2 of them formulas",
        "excel | somebody begins to type into B2, which holds `3`: formula mode",
        "word | sees that somebody is typing into B2",
        "word | asks excel to recalculate",
        "excel | is in formula mode: `recalculate` (TopLevel) from word is to come again later",
        "word | excel has been busy",
        "switch",
        "excel | B2 holds `3`. What shall it hold",
        "=2^3",
        "excel | B2 holds `=2^3`: formula mode ends",
        "word | is called back: 3 of 3 is worked out; B4 shows 80",
        "word | has its answer: 3 formulas are worked out",
        "word | asks excel for the 4 cells",
        "word | writes the letter:",
        "\n\ntotal: 40.00, twice: 80.\n",
    ]);
    // Told by a one-way call, which nothing holds up but the order of what comes in.
    assert_eq!(run.count("word | is told that B2 holds `=2^3` now"), 1, "{run:?}");
    assert_eq!(
        (run.count("is called back"), run.count("lets in `cell` from word: it is part of its own call")),
        (3, 1),
        "{run:?}"
    );
}

#[test]
fn who_goes_on_is_asked_again_as_long_as_excel_is_busy() {
    let run = Place::new("go_on").run(&["--answer", "go-on,go-on", "--answer", "switch", AT_ONCE[0], AT_ONCE[1]]);
    let run = run.succeeded().says(&["What now? go-on", "What now? go-on", "What now? switch", "total: 15.00"]);
    assert_eq!(run.count("is to come again later"), 3, "{run:?}");
    assert_eq!(run.count("is told that"), 0, "nothing has been typed: {run:?}");

    // Its patience begins anew with each answer.
    let place = Place::new("patient");
    let both = given_time(|seconds| {
        let run = place.run(&["--answer", "go-on,switch", "--patience", &seconds]).succeeded();
        let run = run.says(&["What now? go-on", "What now? switch", "total: 15.00"]);
        let (first, second) = run.out.split_once("What now? go-on").expect("it was asked");
        let tried = [first, second].map(|part| part.contains("tries again in"));
        (tried == [true, true]).then_some(run)
    });
    assert_eq!(both.count("What now?"), 2, "{both:?}");
}

#[test]
fn who_gives_up_gets_no_letter_and_the_call_has_not_run() {
    let why = "spreadsheet: the letter is not written: apartment \"excel\" rejected the call (0x80010001, NotStarted)";
    for (answers, questions) in [("give-up", 1), ("go-on,give-up", 2)] {
        let run = Place::new("give_up").run(&["--answer", answers, AT_ONCE[0], AT_ONCE[1]]).failed(1, why);
        assert_eq!((run.count("What now?"), run.count("is called back")), (questions, 0), "{run:?}");
    }
    let run = Place::new("no_answer").run(&["--answer", "go-on", AT_ONCE[0], AT_ONCE[1]]).failed(1, why);
    run.says(&["What now? go-on", "What now? no answer is left: give-up"]);
}

#[test]
fn word_tries_again_by_itself_as_long_as_its_patience_lasts() {
    let place = Place::new("typing");
    let run = given_time(|seconds| {
        let run = place.run(&["--typing", &seconds, "--patience", "1e9", "--answer", "give-up"]).succeeded();
        let (refused, tries) =
            (run.count("is to come again later"), run.count("was sent away (RetryLater), tries again in"));
        assert!(refused == tries && run.count("What now?") == 0, "{run:?}");
        let run = run.says(&["formula mode ends", "is called back", "total: 15.00"]);
        (tries > 0).then_some(run)
    });
    run.says(&["tries again in 0.1 s", "formula mode ends"]);
}

#[test]
fn the_person_at_the_terminal_is_asked_until_there_is_an_answer() {
    let place = Place::new("terminal");
    let run = place.typed("perhaps\ng\nSwitch\n=3*\n=B1*2\n", &AT_ONCE).succeeded().says(&[
        "`perhaps` is no answer",
        "excel has been busy",
        "excel has been busy",
        "What shall it hold",
        "excel | B2: it ends where a value is expected (character 4 of `=3*`)",
        "What shall it hold",
        "B2 holds `=B1*2`: formula mode ends",
        "total: 50.00, twice: 100.",
    ]);
    assert_eq!((run.count("excel has been busy"), run.count("What shall it hold")), (3, 2), "{run:?}");
    place.typed("s\n\n", &AT_ONCE).succeeded().says(&["B2 holds `3`: formula mode ends", "total: 15.00"]);
    place.typed("s\n", &AT_ONCE).succeeded().says(&["B2 holds `3`: formula mode ends", "total: 15.00"]);
    let run = place.typed("g\n", &AT_ONCE).failed(1, "rejected the call");
    run.says(&["What now? [g]o-on, [s]witch, give-[u]p: \n", "word | nobody answers any more: give-up"]);
}

#[test]
fn what_is_no_text_is_no_answer_and_not_the_end_of_them() {
    let place = Place::new("no_text");
    let run = place.typed(b"\xff\xfe\ns\n=\xe4\n=B1\n", &AT_ONCE).succeeded().says(&[
        "word | what is typed there is no text: invalid utf-8",
        "word | excel has been busy",
        "excel | what is typed there is no text: invalid utf-8",
        "excel | B2 holds `3`. What shall it hold",
        "excel | B2 holds `=B1`: formula mode ends",
        "total: 25.00",
    ]);
    assert_eq!(run.count("What shall it hold"), 2, "{run:?}");
}

/// What is there, and cannot be read.
fn unreadable(place: &Place) -> fs::File {
    // A folder is opened like a file where there is Unix; where not, a file that is not opened for reading cannot be read.
    let file = if cfg!(unix) { fs::File::open(&place.0) } else { fs::File::create(place.0.join("unreadable")) };
    file.expect("it can be opened")
}

#[test]
fn what_is_typed_where_nothing_can_be_read_is_told() {
    let place = Place::new("no_terminal");
    let typed = unreadable(&place);
    let run = Run::of(place.program().args(AT_ONCE).stdin(typed).output().expect("the example can be started"));
    run.failed(1, "rejected the call")
        .says(&["word | cannot read what is typed: ", "nobody answers any more: give-up"]);
}

/// What is there, and takes no text.
#[cfg(target_os = "linux")]
fn unwritable(_: &Place) -> fs::File {
    fs::File::options().write(true).open("/dev/full").expect("there is a device that is always full")
}

#[cfg(windows)]
fn unwritable(place: &Place) -> fs::File {
    let path = place.0.join("unwritable");
    fs::write(&path, "").expect("a file can be made");
    fs::File::open(path).expect("it can be opened for reading")
}

#[cfg(any(target_os = "linux", windows))]
#[test]
fn a_letter_that_cannot_be_written_is_a_failure() {
    let place = Place::new("full");
    let full = unwritable(&place);
    let run = place.program().args(["--answer", "switch"]).args(AT_ONCE).stdin(Stdio::null()).stdout(full).output();
    Run::of(run.expect("the example can be started")).failed(1, "spreadsheet: cannot write the letter: ");
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let place = Place::new("gone");
    let mut program = place.program();
    program
        .args(["--answer", "switch"])
        .args(AT_ONCE)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = program.spawn().expect("the example can be started");
    drop(child.stdout.take());
    Run::of(child.wait_with_output().expect("it ends")).succeeded();
}

#[test]
fn what_is_typed_can_be_wrong() {
    let place = Place::new("wrong");
    let typed = |cell, content| {
        place.run(&["--answer", "switch", "--edit", cell, "--formula", content, AT_ONCE[0], AT_ONCE[1]]).succeeded()
    };
    typed("B2", "=(3").says(&["excel | B2: `)` is missing", "B2 holds `3`: formula mode ends", "total: 15.00"]);
    typed("B2", "=B1/0").says(&["B2 shows #DIV/0!", "total: #DIV/0!, twice: #DIV/0!."]);
    typed("B2", "some").says(&["total: #VALUE!, twice: #VALUE!."]);
    typed("B2", "-4").says(&["total: -20.00, twice: -40."]);
    typed("A4", "").says(&["total: 15.00, : 30."]);
    let run = typed("B2", "=B4+1").says(&[
        "has its answer: 0 formulas are worked out",
        "hears of cells that ask for themselves: B2 -> B4 -> B3 -> B2\n",
        "total: #CYCLE!, twice: #CYCLE!.",
    ]);
    assert_eq!(run.count("is called back"), 0, "{run:?}");
    typed("B3", "=B3").says(&["B4 shows #CYCLE!", "ask for themselves: B3 -> B3\n", "total: #CYCLE!"]);
}

#[test]
fn word_can_ask_what_if_and_is_sent_away_with_that_too() {
    let place = Place::new("what_if");
    let run = |more: &[&str]| place.run(&[&["--answer", "switch", AT_ONCE[0], AT_ONCE[1]], more].concat());
    let set = run(&["--set", "B1=7", "--set", "a3==IF(B3>20, \"much\", \"little\")"]).succeeded().says(&[
        "word | asks excel to write `7` into B1",
        "excel | is in formula mode: `set` (TopLevel) from word is to come again later",
        "formula mode ends",
        "word | asks excel to write `=IF(B3>20, \"much\", \"little\")` into A3",
        "word | asks excel to recalculate",
        "much: 21.00, twice: 42.",
    ]);
    assert_eq!(set.count("is to come again later"), 1, "{set:?}");
    run(&["--set", "C9==1+"]).failed(1, "the letter is not written: C9: it ends where a value is expected");
    run(&["--set", "C9"]).failed(2, "such as B7=12");
    run(&["--set", "C=9"]).failed(2, "`C` is not a cell's name");
}

#[test]
fn what_cannot_be_read_is_named() {
    let place = Place::new("unreadable");
    place.write("sheet.csv", "1,2\n3,=SUM(A1:B1\n");
    place.run(&[]).failed(1, "sheet.csv: B2: `)` is missing (character 11 of `=SUM(A1:B1`)");
    place.write("sheet.csv", b"n\xe4her");
    place.run(&[]).failed(1, "cannot read ").failed(1, "UTF-8");
    fs::remove_file(place.0.join("sheet.csv")).expect("a text can be removed");
    place.run(&[]).failed(1, "cannot read ").failed(1, "sheet.csv");

    place.write("letter.txt", "one\n{A1} and {sum}\n");
    place.run(&[]).failed(1, "letter.txt, line 2: {sum}: `sum` is not a cell's name, such as B7");
    fs::remove_file(place.0.join("letter.txt")).expect("a text can be removed");
    place.run(&[]).failed(1, "cannot read ").failed(1, "letter.txt");
}

#[test]
fn a_letter_that_asks_for_a_cell_which_the_sheet_has_not_is_not_written() {
    let place = Place::new("no_cell");
    let run = |place: &Place| place.run(&["--answer", "switch", AT_ONCE[0], AT_ONCE[1]]);
    place.write("letter.txt", "{A1}\n{B5}\n");
    run(&place).failed(1, "the letter is not written: line 2 of the letter: the sheet has no cell B5: it ends at B4");
    place.write("letter.txt", "{C1}\n");
    run(&place).failed(1, "line 1 of the letter: the sheet has no cell C1: it ends at B4");
    place.write("sheet.csv", "");
    run(&place).failed(1, "line 1 of the letter: the sheet has no cell C1: it is empty");
}

#[test]
fn without_files_it_writes_its_own_letter() {
    let output =
        example::program("spreadsheet").args(["--answer", "switch", "--patience", "0"]).stdin(Stdio::null()).output();
    let run = Run::of(output.expect("the example can be started")).succeeded();
    run.says(&["Dear treasurer", "1890.00", "1753.00", "within", "137.00", "1200.00", "nothing planned", "Word"]);
}

#[test]
fn the_command_line_is_checked_and_explained() {
    let place = Place::new("usage");
    place.run(&["--nonsense"]).failed(2, "--nonsense");
    place.run(&["--edit", "7B"]).failed(2, "`7B` is not a cell's name");
    place.run(&["--answer", "maybe"]).failed(2, "[possible values: go-on, switch, give-up]");
    for option in ["--patience", "--typing"] {
        for (seconds, why) in [("-1", "no time"), ("soon", "no number"), ("1e300", "no time"), ("nan", "no time")] {
            place
                .run(&[option, seconds])
                .failed(2, &format!("invalid value '{seconds}' for '{option} <SECONDS>': that is {why}"));
        }
    }
    let run = place.run(&["--help"]).succeeded();
    let options = ["--letter", "--set", "--edit", "--formula", "--typing", "--patience", "--answer", "{B7:2}"];
    assert!(options.iter().all(|what| run.out.contains(what)), "{run:?}");
}
