//! What the figures are of: the machine, the day, and the versions.

use std::fmt;
use sysinfo::{CpuRefreshKind, RefreshKind, System};

/// Written by the build script.
mod built {
    #![allow(dead_code, unreachable_pub, reason = "more is written than needed")]
    include!(concat!(env!("OUT_DIR"), "/built.rs"));
}

/// The crates that have figures of their own.
const PEERS: [&str; 11] = [
    "apartment",
    "oneshot",
    "crossbeam-channel",
    "flume",
    "kanal",
    "tokio",
    "actix",
    "kameo",
    "ractor",
    "parking_lot",
    "futures-lite",
];

/// Where and when a run was, and of what.
pub(crate) struct Machine {
    processor: String,
    system: String,
    day: String,
    /// How many threads wanted to run in the minute before.
    load: Option<f64>,
}

impl Machine {
    pub(crate) fn look() -> Self {
        let system = System::new_with_specifics(RefreshKind::nothing().with_cpu(CpuRefreshKind::nothing()));
        let cores = system.as_ref().map_or(&[][..], System::cpus);
        let brand = cores.first().map_or("an unknown processor", |core| core.brand().trim());
        let processor = format!("{brand}, {} cores", cores.len());
        let name = System::long_os_version().unwrap_or_else(|_| std::env::consts::OS.into());
        // Without what its builder calls it.
        let kernel = System::kernel_version().unwrap_or_default();
        let kernel = kernel.split('-').next().unwrap_or_default();
        let day = jiff::Timestamp::now().strftime("%Y-%m-%d").to_string();
        let system = format!("{name}, kernel {kernel}, {}", std::env::consts::ARCH);
        Self { processor, system, day, load: System::load_average().ok().map(|load| load.one) }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { processor, system, day, load } = self;
        writeln!(f, "- Machine: {processor}; {system}")?;
        if let Some(load) = load {
            writeln!(f, "- Load of the minute before: {load:.2}")?;
        }
        writeln!(f, "- Day: {day}")?;
        writeln!(f, "- Compiler: {}, profile \"{}\"", built::RUSTC_VERSION, built::PROFILE)?;
        // Others may depend on an older one.
        let version = |peer: &&str| built::DEPENDENCIES.iter().rfind(|(name, _)| name == peer);
        let versions: Vec<_> =
            PEERS.iter().filter_map(version).map(|(name, version)| format!("{name} {version}")).collect();
        write!(f, "- Versions: {}", versions.join(", "))
    }
}
