//! A model of which it is known beforehand whether somebody is told `Deadlock`, and whose [`Ghost`] judges who is.

use crate::{Ghost, Model, Seen};

/// Whether one is told, over all executions.
#[derive(Clone, Copy, Debug)]
pub enum Told {
    /// In none.
    Never,
    /// In some, and not in others.
    Sometimes,
    /// In each.
    Always,
}

const NOBODY: &str = "nobody was told";
const ONE: &str = "one was told";

/// Searches a program with a ghost of its own in each execution. When it returns its threads have ended, or have nothing left
/// to wait for.
#[track_caller]
pub fn judge(name: &'static str, bound: usize, told: Told, program: impl Fn(&Ghost) + Send + Sync + 'static) {
    let seen = Seen::new(match told {
        Told::Never => &[NOBODY],
        Told::Sometimes => &[NOBODY, ONE],
        Told::Always => &[ONE],
    });
    let see = seen.clone();
    Model::new(name).preemptions(bound).check(move || {
        let ghost = Ghost::new();
        program(&ghost);
        see.saw(match ghost.verdict() {
            0 => NOBODY,
            1 => ONE,
            _ => "several were told",
        });
    });
    seen.all();
}

/// Models with their bound, one for each program: its name, who is told, and what it does.
#[macro_export]
macro_rules! judged {
    (bound $bound:literal; $($name:ident: $told:ident, |$ghost:ident| $program:expr;)*) => {$(
        #[test]
        fn $name() {
            $crate::judge(stringify!($name), $bound, $crate::Told::$told, |$ghost| $program);
        }
    )*};
}
