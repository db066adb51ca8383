//! The programs that tests start: themselves once more, and examples.

use std::path::Path;
use std::process::Command;

/// The program, or the one that runs it where the tests are another machine's: that inherits what the tests run through.
pub(crate) fn start(program: &Path) -> Command {
    let Some(runner) = std::env::var_os("APARTMENT_TEST_RUNNER") else {
        return Command::new(program);
    };
    let mut command = Command::new(runner);
    command.arg(program);
    command
}
