//! What calls cost in instructions and system calls: figures that repeat, whatever else the machine does.
//!
//! `cargo bench --bench cost` runs each job below under valgrind, a few and then more times, so that what is left between
//! the two is the job alone, both sides of it, and compares that with the figures that stand beside it. More than they
//! allow is a failure, and so is much less: then the figures are to be written down anew. `-- TEXT` runs only the jobs
//! whose name has that text. Threads sleep in each wait here ([`Spin::Never`]): how often one looks before the other
//! comes is nobody's to repeat.
//!
//! Valgrind is for Linux and a few more; where there is none, this says so and fails.

mod jobs;

use std::env;
use std::path::Path;
use std::process::{Command, ExitCode};

/// How often a job is done: the difference is what is counted.
const FEW: u64 = 500;
const MORE: u64 = 2_500;
/// What was counted of one job. Two threads now and then meet at a lock, too, and that is no part of the job: a quarter more
/// waits than it needs are let pass.
struct Cost {
    instructions: f64,
    /// Calls of the system by which threads sleep, wake each other and yield.
    waits: f64,
}

fn main() -> ExitCode {
    let mut arguments = env::args().skip(1).filter(|argument| argument != "--bench");
    match (arguments.next().as_deref(), arguments.next(), arguments.next()) {
        (Some("--do"), Some(name), Some(count)) => {
            let job = jobs::ALL.iter().find(|job| job.name == name).expect("a job's name");
            (job.run)(count.parse().expect("how often"));
            ExitCode::SUCCESS
        }
        // `cargo test --benches`: that each job does what it says.
        (Some("--test"), ..) => {
            jobs::ALL.iter().for_each(|job| (job.run)(3));
            ExitCode::SUCCESS
        }
        (only, ..) => compare(only.unwrap_or_default()),
    }
}

fn compare(only: &str) -> ExitCode {
    let mut kept = true;
    println!("{:<44} {:>12} {:>8} {:>14}", "per job", "instructions", "figure", "waits & wakes");
    for job in jobs::ALL.iter().filter(|job| job.name.contains(only)) {
        let cost = match cost(job.name) {
            Ok(cost) => cost,
            Err(error) => {
                eprintln!("{error}");
                return ExitCode::FAILURE;
            }
        };
        let off = 100.0 * (cost.instructions / f64::from(job.instructions) - 1.0);
        let tolerance = f64::from(job.tolerance);
        let verdict = match () {
            () if cost.waits > f64::from(job.waits) * 1.25 => "FAILED: more calls of the system than it needs",
            () if off > tolerance => "FAILED: dearer than it was",
            () if off < -tolerance => "FAILED: cheaper than it was; write the new figure down",
            () => "",
        };
        kept &= verdict.is_empty();
        let Cost { instructions, waits } = cost;
        println!("{:<44} {instructions:>12.0} {:>8} {waits:>14.2}  {verdict}", job.name, job.instructions);
    }
    if kept { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn cost(name: &str) -> Result<Cost, String> {
    let (few, more) = (count(name, FEW)?, count(name, MORE)?);
    let each = |few: u64, more: u64| more.saturating_sub(few) as f64 / (MORE - FEW) as f64;
    Ok(Cost { instructions: each(few.0, more.0), waits: each(few.1, more.1) })
}

/// The instructions and waits of a whole run.
fn count(name: &str, count: u64) -> Result<(u64, u64), String> {
    let own = env::current_exe().map_err(|error| format!("this program cannot be found: {error}"))?;
    let said = valgrind(&own, name, count)?;
    let instructions = said.lines().find_map(|line| line.split("Collected :").nth(1)).map(str::trim);
    let instructions = instructions.and_then(|number| number.parse().ok());
    let waits = said.lines().filter(|line| line.contains("sys_futex") || line.contains("sys_sched_yield")).count();
    instructions.map(|number| (number, waits as u64)).ok_or_else(|| format!("valgrind counted nothing:\n{said}"))
}

fn valgrind(own: &Path, name: &str, count: u64) -> Result<String, String> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "--trace-syscalls=yes"])
        .arg(own)
        .args(["--do", name, &count.to_string()])
        .output()
        .map_err(|error| format!("valgrind, which counts, cannot be started: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() { Ok(said) } else { Err(format!("{name} failed under valgrind:\n{said}")) }
}
