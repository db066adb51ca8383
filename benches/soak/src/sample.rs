//! What the program holds: bytes, memory as the system sees it, threads and handles.

use crate::count::held;
use anyhow::{Context, Result};
use std::time::{Duration, Instant};
use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System, get_current_pid};

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sample {
    pub(crate) seconds: f64,
    pub(crate) calls: u64,
    /// Taken when everything of a round had been let go; the others in the middle of one.
    pub(crate) at_rest: bool,
    /// What the allocator has given out, in bytes, without the program's own buffers.
    pub(crate) held: i64,
    /// What is in the machine's memory, in bytes.
    pub(crate) resident: u64,
    /// Besides the main one.
    pub(crate) threads: usize,
    pub(crate) handles: usize,
}

pub(crate) struct Sampler {
    own: Pid,
    began: Instant,
    /// What the program held before, for itself.
    base: i64,
}

impl Sampler {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self { own: get_current_pid().map_err(anyhow::Error::msg)?, began: Instant::now(), base: held() })
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    pub(crate) fn take(&self, calls: u64, at_rest: bool) -> Result<Sample> {
        // Before the sampling itself holds something.
        let held = held() - self.base;
        let mut system = System::new()?;
        let what = ProcessRefreshKind::nothing().with_memory().with_tasks();
        system.refresh_processes_specifics(ProcessesToUpdate::Some(&[self.own]), true, what);
        let process = system.process(self.own).context("the system does not know this process")?;
        let threads = process.tasks().map_or(0, |tasks| tasks.len());
        let handles = process.open_files().unwrap_or(0);
        Ok(Sample {
            seconds: self.elapsed().as_secs_f64(),
            calls,
            at_rest,
            held,
            resident: process.memory(),
            threads,
            handles,
        })
    }
}
