//! The programs whose tests mutants have to pass, and how one test is run.

use anyhow::{Context, Result, ensure};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use wait_timeout::ChildExt;

/// One test of a program.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Test {
    pub(crate) program: PathBuf,
    pub(crate) name: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum End {
    Passed,
    Failed,
    /// It was ended when its time was up.
    Late,
}

/// Which mutant, how far a model is searched, and where the mutants go that are come by.
#[derive(Default)]
pub(crate) struct How<'a> {
    pub(crate) mutant: usize,
    pub(crate) bound: Option<u32>,
    pub(crate) met: Option<&'a Path>,
}

impl Test {
    pub(crate) fn all(program: &Path) -> Result<Vec<Test>> {
        let listed = Command::new(program).args(["--list", "--format", "terse"]).output();
        let listed = listed.with_context(|| program.display().to_string())?;
        ensure!(listed.status.success(), "{} lists no tests", program.display());
        let listed = String::from_utf8(listed.stdout)?;
        let names = listed.lines().filter_map(|line| line.strip_suffix(": test"));
        Ok(names.map(|name| Test { program: program.to_owned(), name: name.to_owned() }).collect())
    }

    /// Runs it in a process of its own, in a folder of its package's.
    pub(crate) fn run(&self, folder: &Path, how: &How<'_>, limit: Duration) -> Result<(End, Duration)> {
        let mut test = Command::new(&self.program);
        test.args(["--exact", &self.name, "--test-threads=2"]).current_dir(folder);
        test.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        test.env("MUTANT", how.mutant.to_string()).env("RUST_BACKTRACE", "0");
        if let Some(bound) = how.bound {
            test.env("MODELS_AT_MOST", bound.to_string());
        }
        if let Some(met) = how.met {
            test.env("MUTANTS_MET", met);
        }
        let began = Instant::now();
        let mut child = test.spawn()?;
        let end = match child.wait_timeout(limit)? {
            Some(status) if status.success() => End::Passed,
            Some(_) => End::Failed,
            None => {
                child.kill()?;
                child.wait()?;
                End::Late
            }
        };
        Ok((end, began.elapsed()))
    }

    /// How it ends without any mutant, by which it comes, and how long it takes, which may be so much.
    pub(crate) fn meets(
        &self,
        folder: &Path,
        bound: Option<u32>,
        longest: Duration,
    ) -> Result<(End, BTreeSet<usize>, Duration)> {
        let met = tempfile::NamedTempFile::new()?;
        let how = How { bound, met: Some(met.path()), ..How::default() };
        let (end, took) = self.run(folder, &how, longest)?;
        let met = fs::read_to_string(met.path())?.lines().map(str::parse).collect::<Result<_, _>>()?;
        Ok((end, met, took))
    }
}
