//! The example `index`, run as the program it is.

mod example;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use rusqlite::Connection;

/// An empty folder of this test's own: for the texts, and beside them for the index.
struct Place {
    texts: PathBuf,
    index: PathBuf,
}

impl Place {
    fn new(test: &str) -> Place {
        let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("example_index").join(test);
        if place.exists() {
            fs::remove_dir_all(&place).expect("the place of an earlier run can be removed");
        }
        let texts = place.join("texts");
        fs::create_dir_all(&texts).expect("a place can be made");
        Place { texts, index: place.join("index.sqlite") }
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        let path = self.texts.join(name);
        fs::create_dir_all(path.parent().expect("a file is in a folder")).expect("a folder can be made");
        fs::write(path, text).expect("a text can be written");
    }

    fn program(&self) -> Command {
        let mut command = example::program("index");
        command.arg(&self.texts).arg("--db").arg(&self.index);
        command
    }

    fn run(&self, more: &[&str]) -> Run {
        Run::of(self.program().args(more).output().expect("the example can be started"))
    }

    /// The names of the files that the index holds.
    fn indexed(&self) -> Vec<String> {
        let index = Connection::open(&self.index).expect("the index can be opened");
        let mut files = index.prepare("SELECT path FROM files ORDER BY path").expect("it has files");
        let paths = files.query_map((), |row| row.get::<_, String>(0)).expect("they have paths");
        let name = |path: String| Path::new(&path).file_name().and_then(|name| name.to_str()).map(str::to_owned);
        paths.map(|path| name(path.expect("a path is text")).expect("a path has a name")).collect()
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

    /// The number before this word in the line of figures, which is the last one.
    fn figure(&self, what: &str) -> u64 {
        let line = self.out.lines().last().unwrap_or_default();
        let words: Vec<&str> = line.split(|c: char| !c.is_alphanumeric() && c != '.').collect();
        let at = words.iter().position(|word| *word == what);
        let number = at.and_then(|at| words[..at].last()).and_then(|number| number.parse().ok());
        number.unwrap_or_else(|| panic!("no {what} in {self:?}"))
    }

    fn succeeded(self) -> Run {
        assert_eq!((self.status, self.err.as_str()), (Some(0), ""), "{self:?}");
        self
    }

    fn failed(self, status: i32, message: &str) -> Run {
        assert_eq!(self.status, Some(status), "{self:?}");
        assert!(self.err.contains(message), "{self:?}");
        assert!(!self.err.contains("panicked"), "{self:?}");
        self
    }
}

#[test]
fn a_folder_is_indexed_with_its_subfolders_but_not_what_is_built_or_kept_by_git() {
    let place = Place::new("first");
    place.write("one.txt", "alpha beta gamma");
    place.write("deep/er/two.txt", "delta, epsilon!\n");
    place.write("target/three.txt", "zeta");
    place.write(".git/four.txt", "eta");
    let run = place.run(&[]).succeeded();
    assert_eq!((run.figure("files"), run.figure("words"), run.figure("bytes")), (2, 5, 32), "{run:?}");
    assert_eq!((run.figure("unchanged"), run.figure("gone"), run.figure("skipped")), (0, 0, 0), "{run:?}");
    assert!(run.figure("calls") >= 4 && run.figure("callbacks") >= 3, "{run:?}");
    assert_eq!(place.indexed(), ["two.txt", "one.txt"]);
}

#[test]
fn indexing_again_reads_what_has_changed_and_forgets_what_has_vanished() {
    let place = Place::new("again");
    place.write("same.txt", "alpha");
    place.write("changed.txt", "beta");
    place.write("vanished.txt", "gamma");
    assert_eq!(place.run(&[]).succeeded().figure("files"), 3);
    let run = place.run(&[]).succeeded();
    assert_eq!((run.figure("files"), run.figure("unchanged"), run.figure("gone")), (0, 3, 0), "{run:?}");

    place.write("changed.txt", "delta delta");
    place.write("new.txt", "epsilon");
    fs::remove_file(place.texts.join("vanished.txt")).expect("a text can be removed");
    let run = place.run(&[]).succeeded();
    assert_eq!((run.figure("files"), run.figure("unchanged"), run.figure("gone")), (2, 1, 1), "{run:?}");
    assert_eq!(place.indexed(), ["changed.txt", "new.txt", "same.txt"]);
    for (word, hits) in [("alpha", true), ("beta", false), ("gamma", false), ("delta", true), ("epsilon", true)] {
        let run = place.run(&["--find", word]).succeeded();
        assert_eq!(run.out.contains(&format!("[{word}]")), hits, "{run:?}");
        assert_eq!(run.out.contains("nothing found"), !hits, "{run:?}");
    }
}

#[test]
fn the_index_holds_one_folder_and_is_no_part_of_it() {
    let place = Place::new("one_folder");
    place.write("kept.txt", "alpha");
    let inside = Place { texts: place.texts.clone(), index: place.texts.join("index.sqlite") };
    assert_eq!(inside.run(&[]).succeeded().figure("files"), 1);
    assert_eq!(inside.run(&[]).succeeded().figure("skipped"), 0);

    let other = Place::new("another_folder");
    other.write("kept.txt", "omega");
    let other = Place { texts: other.texts, index: inside.index };
    let run = other.run(&["--find", "omega"]).succeeded();
    assert_eq!((run.figure("files"), run.figure("gone")), (1, 1), "{run:?}");
    assert_eq!(other.indexed(), ["kept.txt"]);
}

#[test]
fn the_best_hits_come_first_and_the_words_are_only_words() {
    let place = Place::new("find");
    place.write("often.txt", "otter otter otter otter");
    place.write("once.txt", format!("one otter {}", "and many other words ".repeat(50)));
    place.write("never.txt", "no such animal");
    place.write("code.rs", "fn retryLater() {}");
    let run = place.run(&["--find", "otter"]).succeeded();
    let at = |name| run.out.find(name).unwrap_or_else(|| panic!("no {name} in {run:?}"));
    assert!(at("often.txt") < at("once.txt"), "{run:?}");
    assert!(run.out.contains("one [otter] and many") && !run.out.contains("never.txt"), "{run:?}");

    let run = place.run(&["--find", "ANIMAL such"]).succeeded();
    assert!(run.out.contains("never.txt") && run.out.contains("[such] [animal]"), "{run:?}");
    for word in ["later", "retrylater"] {
        assert!(place.run(&["--find", word]).succeeded().out.contains("code.rs"));
    }
    for words in ["otter AND animal", "otter animal", "NOT", "\"", "(", "*", "text:", " ", ""] {
        assert!(place.run(&["--find", words]).succeeded().out.contains("nothing found"), "{words:?}");
    }
}

#[test]
fn a_file_that_is_no_text_is_skipped_and_named() {
    let place = Place::new("binary");
    place.write("text.txt", "näher");
    place.write("zero.bin", b"some\0thing");
    place.write("latin1.txt", b"n\xe4her");
    for read in [1, 0] {
        let run = place.run(&[]).succeeded();
        assert_eq!((run.figure("files"), run.figure("skipped")), (read, 2), "{run:?}");
        assert!(run.out.contains("zero.bin: binary") && run.out.contains("latin1.txt: not UTF-8"), "{run:?}");
    }
    place.write("text.txt", b"\0");
    let run = place.run(&[]).succeeded();
    assert_eq!((run.figure("files"), run.figure("skipped")), (0, 3), "{run:?}");
    assert!(place.indexed().is_empty(), "what it was before is not kept");
}

#[test]
fn many_files_are_merged_while_others_are_read() {
    let place = Place::new("many");
    for n in 0..300 {
        let text: String = (0..200).map(|word| format!("word{} ", n * word)).collect();
        place.write(&format!("{}/{n}.txt", n % 7), text);
    }
    let run = place.run(&["--find", "word59202"]).succeeded();
    assert_eq!((run.figure("files"), run.figure("words")), (300, 60_000), "{run:?}");
    // One to `writer` and one to `db` for each file, and one back to `ui`.
    assert!(run.figure("calls") >= 600 && run.figure("callbacks") >= 300, "{run:?}");
    assert!(run.out.contains("299.txt"), "{run:?}");
    let index = Connection::open(&place.index).expect("the index can be opened");
    let check = "INSERT INTO texts(texts, rank) VALUES('integrity-check', 1)";
    index.execute(check, ()).expect("the full-text index is sound");
    assert_eq!(place.run(&[]).succeeded().figure("unchanged"), 300);
}

#[test]
fn a_folder_that_is_missing_or_none_is_an_error_and_makes_no_index() {
    let mut place = Place::new("no_folder");
    place.write("file.txt", "alpha");
    let folder = place.texts.clone();
    for name in ["missing", "file.txt"] {
        place.texts = folder.join(name);
        let run = place.run(&[]).failed(1, "cannot read the folder");
        assert!(run.err.contains(name) && run.out.is_empty(), "{run:?}");
        assert!(!place.index.exists());
    }
}

#[test]
fn a_file_that_is_no_index_is_left_as_it_is() {
    let place = Place::new("no_index");
    place.write("file.txt", "alpha");
    let text = "This is a text, and so it is not a database.\n".repeat(50);
    fs::write(&place.index, &text).expect("a text can be written");
    place.run(&[]).failed(1, "not a database");
    assert_eq!(fs::read_to_string(&place.index).ok(), Some(text));

    fs::remove_file(&place.index).expect("a text can be removed");
    let database = Connection::open(&place.index).expect("a database can be made");
    database.execute_batch("CREATE TABLE somebodys(x)").expect("a table can be made");
    drop(database);
    let before = fs::read(&place.index).expect("a database can be read");
    place.run(&[]).failed(1, "not an index");
    assert_eq!(fs::read(&place.index).ok(), Some(before));

    let nowhere = Place { texts: place.texts.clone(), index: place.texts.join("missing").join("index.sqlite") };
    nowhere.run(&[]).failed(1, "index.sqlite");
}

#[test]
fn a_locked_database_is_an_error_and_not_waited_for() {
    let place = Place::new("locked");
    place.write("file.txt", "alpha");
    place.run(&[]).succeeded();
    let database = Connection::open(&place.index).expect("the index can be opened");
    database.execute_batch("BEGIN EXCLUSIVE").expect("it can be locked");
    place.run(&[]).failed(1, "locked");
    database.execute_batch("ROLLBACK").expect("it can be unlocked");
    place.run(&[]).succeeded();
}

#[test]
fn the_command_line_is_checked_and_explained() {
    let place = Place::new("usage");
    place.run(&["--nonsense"]).failed(2, "--nonsense");
    let run = place.run(&["--help"]).succeeded();
    assert!(["--db", "--find", "Ctrl-C"].iter().all(|what| run.out.contains(what)), "{run:?}");
    assert!(!place.index.exists());
}

/// What the terminal does at Ctrl-C.
#[cfg(unix)]
mod interrupts {
    use std::process::{Child, Command};

    pub(super) fn can_be_sent(program: &mut Command) -> &mut Command {
        program
    }

    pub(super) fn send(child: &Child) {
        let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
        assert!(kill.expect("there is a kill").success());
    }
}

/// What the console does at Ctrl-Break, which can be sent to some programs alone, and which is heard like Ctrl-C.
#[cfg(windows)]
mod interrupts {
    use std::os::windows::process::CommandExt;
    use std::process::{Child, Command};
    use windows_sys::Win32::System::Console::{CTRL_BREAK_EVENT, GenerateConsoleCtrlEvent};
    use windows_sys::Win32::System::Threading::CREATE_NEW_PROCESS_GROUP;

    pub(super) fn can_be_sent(program: &mut Command) -> &mut Command {
        program.creation_flags(CREATE_NEW_PROCESS_GROUP)
    }

    #[expect(unsafe_code, reason = "only the system sends it")]
    pub(super) fn send(child: &Child) {
        // SAFETY: it only takes numbers.
        let sent = unsafe { GenerateConsoleCtrlEvent(CTRL_BREAK_EVENT, child.id()) };
        assert!(sent != 0, "{}", std::io::Error::last_os_error());
    }
}

/// Where Ctrl-C finds it is certain: it prints more lines than a pipe holds, and waits for somebody to read them.
#[test]
fn ctrl_c_leaves_the_index_as_it_was() {
    use std::io::{BufRead, BufReader, Read};
    use std::process::Stdio;

    let place = Place::new("ctrl_c");
    place.write("kept.txt", "alpha");
    place.write("vanished.txt", "beta");
    place.run(&[]).succeeded();
    fs::remove_file(place.texts.join("vanished.txt")).expect("a text can be removed");
    place.write("new.txt", "gamma");
    for n in 0..1500 {
        place.write(&format!("{n:0>150}.bin"), b"\0");
    }

    let mut program = place.program();
    let program = program.args(["--find", "alpha"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = interrupts::can_be_sent(program).spawn().expect("the example can be started");
    let mut out = BufReader::new(child.stdout.take().expect("it is piped"));
    let mut err = BufReader::new(child.stderr.take().expect("it is piped"));
    let (mut line, mut rest) = (String::new(), String::new());
    out.read_line(&mut line).expect("it prints lines");
    assert!(line.contains(": binary"), "{line}");
    interrupts::send(&child);
    line.clear();
    err.read_line(&mut line).expect("it prints lines");
    assert_eq!(line, "index: cancelling\n");
    out.read_to_string(&mut rest).expect("it prints text");
    err.read_to_string(&mut line).expect("it prints text");

    assert_eq!(child.wait().expect("it ends").code(), Some(130), "{line}");
    assert!(line.ends_with("nothing is left half done\n"), "{line}");
    assert!(!rest.contains("calls") && !rest.contains("[alpha]"), "{rest}");
    assert_eq!(place.indexed(), ["kept.txt", "vanished.txt"]);
    let run = place.run(&[]).succeeded();
    assert_eq!((run.figure("files"), run.figure("skipped"), run.figure("gone")), (1, 1500, 1));
}
