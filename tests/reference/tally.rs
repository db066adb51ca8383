//! What was reached: how often each command, event, result and call type came up in all that was played.

use crate::model::words::*;
use crate::orders::Observed;
use std::collections::BTreeMap;
use std::fmt;

#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) programs: u64,
    pub(crate) commands: u64,
    pub(crate) events: u64,
    /// Operations that could mean nothing where they came.
    pub(crate) skipped: u64,
    /// Commands that came out in another order than the model's own.
    pub(crate) others: u64,
    pub(crate) failed: bool,
    pub(crate) reached: BTreeMap<String, u64>,
}

impl Tally {
    pub(crate) fn count(&mut self, command: &Command, step: &Observed) {
        self.commands += 1;
        self.events += step.events.len() as u64;
        self.add(format!("command {}", word(command)));
        if let Command::Call(_, calls) = command {
            let Calls { owned, within, room, handle, own_policy, .. } = calls;
            self.add(format!("  call, owned {owned}"));
            self.add(format!("  call, with a deadline {}", within.is_some()));
            self.add(format!("  call, room {}", word(room)));
            self.add(format!("  call, handle {}", word(handle)));
            self.add(format!("  call, own policy {own_policy}"));
        }
        for event in &step.events {
            self.add(format!("event {}", word(&event.what)));
            let more = match &event.what {
                What::Filtered { call_type, answer, .. } => format!("  filtered {call_type:?} {answer:?}"),
                What::Began { call_type, .. } => format!("  began {call_type:?}"),
                What::WaitBegan { on, serves, .. } => format!("  wait for {on:?} serves {serves:?}"),
                What::WaitTurned { on, .. } => format!("  wait turned to {on:?}"),
                What::WaitEnded { by } => format!("  wait ended by {by:?}"),
                What::RetryAsked { rejected, answer, own_policy, .. } => {
                    format!("  retry of {rejected:?}, own policy {own_policy}: {}", word(answer))
                }
                What::Held { by } => format!("  held by {by:?}"),
                What::CancelAsked { why } => format!("  cancelled by {why:?}"),
                What::Revoked { why, .. } => format!("  revoked by {why:?}"),
                What::CallMade(made) => {
                    format!("  made {:?}, direct {}, nested {}", made.kind, made.direct, made.parent.is_some())
                }
                _ => continue,
            };
            self.add(more);
        }
        for (_, said) in &step.said {
            match said {
                Said::Back { result: Ok(_), .. } => self.add("result Ok".to_owned()),
                Said::Back { result: Err(Failure::Full { .. }), .. } => self.add("result Full".to_owned()),
                Said::Back { result: Err(error), .. } => self.add(format!("result {error:?}")),
                Said::Serving { depth, .. } => self.add(format!("served at depth {}", (*depth).min(6))),
                Said::Cancelled(cancelled) => self.add(format!("said Cancelled {cancelled}")),
                said => self.add(format!("said {}", word(said))),
            }
        }
    }

    /// What must be reached, and was less than twenty times.
    pub(crate) fn rare(&self) -> Vec<&'static str> {
        let count = |what: &&str| self.reached.get(*what).copied().unwrap_or_default();
        REACHED.lines().map(str::trim_end).filter(|what| !what.is_empty() && count(what) < 20).collect()
    }

    fn add(&mut self, what: String) {
        *self.reached.entry(what).or_default() += 1;
    }

    pub(crate) fn join(&mut self, other: Self) {
        self.programs += other.programs;
        self.commands += other.commands;
        self.events += other.events;
        self.skipped += other.skipped;
        self.others += other.others;
        for (what, count) in other.reached {
            *self.reached.entry(what).or_default() += count;
        }
    }
}

/// The name of a variant.
fn word(it: &impl fmt::Debug) -> String {
    let shown = format!("{it:?}");
    shown.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default().to_owned()
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { programs, commands, events, skipped, others, reached, .. } = self;
        writeln!(f, "{programs} programs, {commands} commands, {events} events; {skipped} operations meant nothing")?;
        writeln!(f, "{others} commands came out in another order than the model's own")?;
        reached.iter().try_for_each(|(what, count)| writeln!(f, "{count:>9}  {what}"))
    }
}

/// Every command, event, result, verdict by call type, answer to a rejection, and scope of a wait that there is here.
const REACHED: &str = include_str!("reached.txt");
