//! What calls cost through `apartment`, next to what its users would otherwise write.
//!
//! `cargo run --release --manifest-path benches/peers/Cargo.toml` measures everything in about ten minutes, prints a table
//! as soon as it has one, and writes `table.md` and `plot.svg` to `docs/performance`. `-- --quick` is the same in less
//! than a minute, for a look; `-- --only WORDS` runs what has these words in its name. Neither of those replaces the
//! committed files unless `--out` says where to write.
//!
//! The entrants of a case take turns within a round, and each round begins with another one; whoever has no turn sleeps.
//! A figure is the median of the rounds, with the first and third quartiles; a ratio is the median of the rounds' ratios.
//! Allocations are counted in a turn of their own, in which no time is taken. All figures of a run are of one machine:
//! compare the ratios, not nanoseconds of different days. Nothing else should run meanwhile.

mod count;
mod crew;
mod limits;
mod measure;
mod options;
mod peers;
mod place;
mod report;
mod workloads;

use clap::Parser;
use options::Options;
use place::{Place, Placement};
use report::{Machine, Report};
use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse();
    let mut report = Report::new(Machine::look());
    println!("{}", report.machine);
    for placement in Placement::ALL {
        match Place::find(placement) {
            Ok(place) => {
                for case in workloads::cases(place, options.turn()) {
                    let Some(measured) = case.measure(&options) else { continue };
                    println!("\n{}", report::console(&measured));
                    report.measured.push(measured);
                }
            }
            Err(why) => report.notes.push(format!("No figures for \"{placement}\": {why}.")),
        }
    }
    report.notes.iter().for_each(|note| println!("{note}"));
    if report.measured.is_empty() {
        return Err("nothing has these words in its name".into());
    }
    // Not every case is there in every placement.
    report.measured.sort_by_key(|measured| measured.workload);
    if let Some(folder) = options.folder() {
        report.write(&folder)?;
        println!("written to {}", folder.display());
    }
    Ok(())
}
