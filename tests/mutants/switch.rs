//! Which mutant this program is: `MUTANT=3`; without, it is as it was. Put into the library by `apartment-mutants`.
#![allow(missing_docs, unreachable_pub, dead_code)]

use std::fs::OpenOptions;
use std::io::Write;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

struct Switch {
    chosen: usize,
    /// Where the numbers of those are written that are come by.
    met: Option<String>,
}

static SWITCH: LazyLock<Switch> = LazyLock::new(|| Switch {
    chosen: std::env::var("MUTANT").map_or(0, |number| number.parse().expect("a mutant's number")),
    met: std::env::var("MUTANTS_MET").ok(),
});
static MET: [AtomicBool; 10_000] = [const { AtomicBool::new(false) }; 10_000];

/// Asked where a mutant differs.
pub fn on(number: usize) -> bool {
    let switch = &*SWITCH;
    if let Some(file) = &switch.met
        && !MET[number].swap(true, Relaxed)
    {
        let file = OpenOptions::new().create(true).append(true).open(file);
        file.and_then(|mut file| file.write_all(format!("{number}\n").as_bytes())).expect("it can be written");
    }
    switch.chosen == number
}

/// `not(n, x)` is `!x`, and in mutant `n` `x`.
pub fn not<T: std::ops::Not<Output = T>>(number: usize, value: T) -> T {
    if on(number) { value } else { !value }
}

/// `operator!([(n -) (m *)] a, +, b)` is `a + b`, in mutant `n` `a - b`, in `m` `a * b`.
#[macro_export]
macro_rules! operator {
    ([$(($number:literal $other:tt))*] $left:expr, $operator:tt, $right:expr) => {
        ($(if $crate::switch::on($number) { $left $other $right } else)* { $left $operator $right })
    };
}

/// `guard!([(n true)] g)` is `g`, and in mutant `n` `true`.
#[macro_export]
macro_rules! guard {
    ([$(($number:literal $other:tt))*] $guard:expr) => {
        ($(if $crate::switch::on($number) { $other } else)* { $guard })
    };
}
