//! The golden files: what was kept, compared with what is.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// A folder of texts that are kept.
pub(crate) struct Golden {
    folder: PathBuf,
    extension: &'static str,
    /// Whether what differs is kept from now on.
    blesses: bool,
}

/// Set to 1, what differs is kept.
const BLESS: &str = "APARTMENT_BLESS";

fn at_home(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn blesses() -> bool {
    env::var_os(BLESS).is_some_and(|value| value == "1")
}

impl Golden {
    /// The scenarios' pictures.
    pub(crate) fn kept() -> Self {
        Self { folder: at_home("tests/conformance/golden"), extension: "txt", blesses: blesses() }
    }

    /// The pages that are made from the code.
    pub(crate) fn pages() -> Self {
        Self { folder: at_home("docs"), extension: "md", blesses: blesses() }
    }

    /// Compares a text with what is kept under that name; says how they differ.
    pub(crate) fn holds(&self, name: &str, text: &str) -> Result<(), String> {
        let file = self.folder.join(name).with_extension(self.extension);
        let kept = match fs::read_to_string(&file) {
            // As a checkout on Windows may have it.
            Ok(kept) => Some(kept.replace("\r\n", "\n")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(format!("{}: {error}", file.display())),
        };
        if kept.as_deref() == Some(text) {
            return Ok(());
        }
        if self.blesses {
            return fs::write(&file, text).map_err(|error| format!("{}: {error}", file.display()));
        }
        let bless = format!("if what it is now is right: {BLESS}=1 cargo test --test conformance {name}");
        Err(match kept {
            None => format!("nothing is kept in {}; {bless}\nit would be:\n\n{text}", file.display()),
            Some(kept) => {
                let changes = changes(&kept, text);
                format!("{} has - and it is now +; {bless}\n\n{changes}", file.display())
            }
        })
    }

    /// Says which files no longer belong to any of these names.
    pub(crate) fn has_only(&self, names: &BTreeSet<&str>) -> Result<(), String> {
        let files = fs::read_dir(&self.folder).map_err(|error| format!("{}: {error}", self.folder.display()))?;
        let mut stray = Vec::new();
        for file in files {
            let path = file.map_err(|error| error.to_string())?.path();
            let name = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
            if !names.contains(name) || path.extension().is_none_or(|extension| extension != self.extension) {
                stray.push(path.display().to_string());
            }
        }
        if stray.is_empty() { Ok(()) } else { Err(format!("no scenario has this name: {}", stray.join(", "))) }
    }
}

/// Two texts as one, line by line: ` ` in both, `-` in the first only, `+` in the second only.
fn changes(before: &str, now: &str) -> String {
    let (a, b): (Vec<_>, Vec<_>) = (before.lines().collect(), now.lines().collect());
    // How many lines the rests of the two have in common.
    let mut common = vec![vec![0_usize; b.len() + 1]; a.len() + 1];
    for i in (0..a.len()).rev() {
        for j in (0..b.len()).rev() {
            common[i][j] = if a[i] == b[j] { common[i + 1][j + 1] + 1 } else { common[i + 1][j].max(common[i][j + 1]) };
        }
    }
    let (mut i, mut j, mut out) = (0, 0, String::new());
    while i < a.len() || j < b.len() {
        let (sign, line) = if i < a.len() && j < b.len() && a[i] == b[j] {
            (i, j) = (i + 1, j + 1);
            (' ', a[i - 1])
        } else if i < a.len() && (j == b.len() || common[i + 1][j] >= common[i][j + 1]) {
            i += 1;
            ('-', a[i - 1])
        } else {
            j += 1;
            ('+', b[j - 1])
        };
        out.push(sign);
        out.push_str(line);
        out.push('\n');
    }
    out
}

#[test]
fn each_golden_file_has_a_scenario() {
    let all = crate::scenarios::all();
    let names = all.iter().map(|scenario| scenario.name).collect();
    Golden::kept().has_only(&names).unwrap_or_else(|stray| panic!("{stray}"));
}

#[test]
fn a_text_that_differs_is_shown_line_by_line() {
    assert_eq!(changes("a\nb\nc\n", "a\nx\nc\nd\n"), " a\n-b\n+x\n c\n+d\n");
    assert_eq!(changes("", "a\n"), "+a\n");
    assert_eq!(changes("a\n", ""), "-a\n");
}

#[test]
fn what_differs_what_is_missing_and_what_is_left_over_fails_until_it_is_blessed() {
    let folder = env::temp_dir().join(format!("apartment-golden-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let golden = |blesses| Golden { folder: folder.clone(), extension: "txt", blesses };
    let missing = golden(false).holds("one", "a\nb\n").unwrap_err();
    assert!(missing.contains("nothing is kept") && missing.contains(BLESS), "{missing}");
    golden(true).holds("one", "a\nb\n").unwrap();
    golden(false).holds("one", "a\nb\n").unwrap();
    let differs = golden(false).holds("one", "a\nc\n").unwrap_err();
    assert!(differs.contains(" a\n-b\n+c\n"), "{differs}");
    fs::write(folder.join("one.txt"), "a\r\nb\r\n").unwrap();
    golden(false).holds("one", "a\nb\n").unwrap();
    golden(false).has_only(&["one"].into()).unwrap();
    fs::write(folder.join("two.txt"), "").unwrap();
    let stray = golden(false).has_only(&["one"].into()).unwrap_err();
    assert!(stray.contains("two.txt") && !stray.contains("one.txt"), "{stray}");
    fs::remove_dir_all(&folder).unwrap();
}
