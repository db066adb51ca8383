//! How a snapshot reads.

use super::event::{ApartmentHow, CallRef, WaitFor};
use super::snapshot::{ApartmentSeen, DoorSeen, EntryAt, EntrySeen, FrameSeen, Snapshot, WaitSeen, WaitsForWhom};
use crate::describe::{CallKind, CallTarget, Caller, Reentrancy, Serves};
use crate::filter::MessageClass;
use std::fmt::{self, Display, Formatter};
use std::time::Duration;

impl Display for Snapshot {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "process {:?} at {}", self.process, Short(self.at))?;
        for apartment in &self.apartments {
            apartment.write(f, self.at)?;
        }
        let waits = self.waits_for_whom();
        if waits.is_empty() {
            return writeln!(f, "nobody waits for an apartment");
        }
        writeln!(f, "who waits for whom")?;
        for WaitsForWhom { thread, from, to, on, call, target, serves, since } in waits {
            let from = from.map(|from| format!(" of {from}")).unwrap_or_default();
            let what = What { call, target };
            let lasts = Short(self.at.saturating_sub(since));
            writeln!(f, "  {thread}{from} -> {to}: {}{what}, for {lasts}, {}", on_what(on), served(serves))?;
        }
        Ok(())
    }
}

impl ApartmentSeen {
    fn write(&self, f: &mut Formatter<'_>, now: Duration) -> fmt::Result {
        let lasts = |since: Duration| Short(now.saturating_sub(since));
        let kind = if self.sta { "STA" } else { "MTA" };
        write!(f, "{} {:?}: {kind}, {}", self.name.id, self.name.name, how(self.how))?;
        if self.main {
            f.write_str(", main")?;
        }
        if let Some(reentrancy) = self.reentrancy {
            write!(f, ", {}", policy(reentrancy))?;
        }
        if self.filter {
            f.write_str(", with a filter")?;
        }
        let door = match self.door {
            DoorSeen::Open => "",
            DoorSeen::Closing => ", asked to quit",
            DoorSeen::Ending => ", drops its objects",
            DoorSeen::Ended => ", ended",
        };
        writeln!(f, "{door}{}", if self.left_behind { ", left behind" } else { "" })?;
        let threads: Vec<_> = self.threads.iter().map(|thread| thread.thread.get().to_string()).collect();
        let (threads, many) = (threads.join(", "), if threads.len() == 1 { "" } else { "s" });
        match threads.as_str() {
            "" => f.write_str("  no thread")?,
            threads => write!(f, "  thread{many} {threads}")?,
        }
        if let Some(pool) = &self.pool {
            let super::PoolSeen { threads, blocked, idle, maximum, .. } = pool;
            write!(f, "; pool of {threads} of at most {maximum}, {blocked} blocked, {idle} idle")?;
        }
        writeln!(f, "; {} object{}", self.objects, if self.objects == 1 { "" } else { "s" })?;
        let (queued, capacity) = (self.queued, self.capacity);
        writeln!(f, "  {queued} of {capacity} queued; dispatched nothing for {}", lasts(self.last_dispatch))?;
        for FrameSeen { thread, call, kind, message, caller, target, since, .. } in &self.executing {
            let lasts = lasts(*since);
            let Some(caller) = caller else {
                let object = target.object.map(|object| format!(" of {object}")).unwrap_or_default();
                writeln!(f, "  {thread} runs a destructor{object}, for {lasts}")?;
                continue;
            };
            let who = Sent { kind: *kind, message: *message, caller };
            let what = What { call: *call, target: Some(*target) };
            writeln!(f, "  {thread} runs {who}{what}, for {lasts}")?;
        }
        for WaitSeen { thread, on, call, whom, target, serves, since, until } in &self.waits {
            let whom = whom.as_ref().map(|whom| format!(", of {whom}")).unwrap_or_default();
            let what = What { call: *call, target: *target };
            write!(f, "  {thread} waits for {}{whom}{what}, for {}, {}", on_what(*on), lasts(*since), served(*serves))?;
            match until {
                Some(until) => writeln!(f, ", until {}", Short(*until))?,
                None => writeln!(f)?,
            }
        }
        for EntrySeen { call, kind, message, caller, target, since, at, .. } in &self.entries {
            let at = match at {
                EntryAt::Room => "queued",
                EntryAt::NoRoom => "queued without room",
                EntryAt::Line => "in the line for room",
            };
            let who = Sent { kind: *kind, message: *message, caller };
            let what = What { call: Some(*call), target: Some(*target) };
            writeln!(f, "  {at}: {who}{what}, for {}", lasts(*since))?;
        }
        Ok(())
    }
}

/// A call and what it asks for, where these are known.
struct What {
    call: Option<CallRef>,
    target: Option<CallTarget>,
}

impl Display for What {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if let Some(CallRef { id, attempt, .. }) = self.call {
            write!(f, ", {id}")?;
            if attempt > 1 {
                write!(f, " (attempt {attempt})")?;
            }
        }
        self.target.map_or(Ok(()), |target| write!(f, ", {target}"))
    }
}

/// How something was sent, and by whom.
struct Sent<'a> {
    kind: CallKind,
    message: Option<MessageClass>,
    caller: &'a Caller,
}

impl Display for Sent<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Caller { thread, apartment } = self.caller;
        match (self.message, self.kind) {
            (Some(class), _) => write!(f, "a message ({class:?})")?,
            (None, CallKind::OneWay) => f.write_str("a one-way call")?,
            (None, CallKind::InputSynchronized) => f.write_str("an input-synchronized call")?,
            (None, CallKind::Create) => f.write_str("the making of an object")?,
            (None, _) => f.write_str("a call")?,
        }
        match apartment {
            Some(apartment) => write!(f, " by {apartment}"),
            None => write!(f, " by {thread}"),
        }
    }
}

/// A time in whole milliseconds: the rest is not meant to be read.
struct Short(Duration);

impl Display for Short {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match u64::try_from(self.0.as_millis()) {
            Ok(0) => f.write_str("0ms"),
            Ok(millis) => write!(f, "{:?}", Duration::from_millis(millis)),
            Err(_) => f.write_str("ever"),
        }
    }
}

fn how(how: ApartmentHow) -> &'static str {
    match how {
        ApartmentHow::Spawned => "spawned",
        ApartmentHow::Entered => "entered",
        ApartmentHow::Adopted => "entered by an event loop",
        ApartmentHow::Host => "host",
    }
}

fn policy(reentrancy: Reentrancy) -> &'static str {
    match reentrancy {
        Reentrancy::Classic => "lets in everybody",
        Reentrancy::SameCausality => "lets in its own chains",
        Reentrancy::None => "lets in nobody",
    }
}

fn on_what(on: WaitFor) -> &'static str {
    match on {
        WaitFor::Reply => "the reply",
        WaitFor::Room => "room",
        WaitFor::RetryTime => "the time to try again",
        WaitFor::Thread => "a thread's start or end",
        WaitFor::Disconnect => "the last call on an object",
        WaitFor::EndHandlers => "the answers of end handlers",
        WaitFor::Host => "a host apartment",
        WaitFor::Server => "the loading of a server",
        WaitFor::Events => "events",
    }
}

fn served(serves: Serves) -> &'static str {
    match serves {
        Serves::Everything => "serves everything",
        Serves::Chain => "serves its own chain only",
        Serves::InputSynchronized => "serves input-synchronized calls only",
        Serves::Nothing => "serves nothing",
    }
}
