//! Plays a program on both sides, and compares after each command.

use crate::model::words::*;
use crate::model::{Frame, Model, Phase, Step};
use crate::players::{Do, Stage, Strings, Target, Thing};
use crate::program::{CLIENTS, Program, making, winds_down};
use crate::seen::Names;
use crate::tally::Tally;
use apartment::{CancelHandle, Clock, EntryAt, Event as SeenEvent, Proxy, Sta, Subscription};
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// For how long a side may be silent that ought to say something: nothing but a mistake takes as long.
const PATIENCE: Duration = Duration::from_secs(20);

/// Plays a program; fails with what was expected and what was seen, and all that led to it.
pub(crate) fn play(program: &Program, tally: &mut Tally) -> Result<(), String> {
    let mut play = Play::new();
    let result = play.whole(program, tally);
    match result {
        Ok(()) => play.ends(),
        Err(what) => {
            let history = std::mem::take(&mut play.history);
            play.gives_up();
            Err(format!("{history}{what}"))
        }
    }
}

struct Play {
    model: Model,
    names: Names,
    clock: Clock,
    stage: Arc<Stage>,
    strings: Strings,
    events: Subscription,
    clients: Vec<JoinHandle<()>>,
    stas: BTreeMap<Apartment, Arc<Sta>>,
    apartments: BTreeMap<Apartment, apartment::Apartment>,
    objects: HashMap<Object, Arc<Proxy<Thing>>>,
    handles: HashMap<Call, CancelHandle>,
    /// All that was done, to be shown if something is wrong.
    history: String,
}

impl Play {
    fn new() -> Self {
        let clock = Clock::driven();
        let (stage, mut strings) = Stage::new(&clock);
        let events = stage.process.subscribe(4096);
        let clients = (0..=CLIENTS).map(|_| stage.place(&mut strings)).skip(1).map(|at| stage.client(at)).collect();
        Self {
            model: Model::new(CLIENTS),
            names: Names::default(),
            clock,
            stage,
            strings,
            events,
            clients,
            stas: BTreeMap::new(),
            apartments: BTreeMap::new(),
            objects: HashMap::new(),
            handles: HashMap::new(),
            history: String::new(),
        }
    }

    fn whole(&mut self, program: &Program, tally: &mut Tally) -> Result<(), String> {
        if let Some(options) = program.entered {
            self.step(&Command::Enter(1, options), tally)?;
        }
        for options in &program.spawned {
            self.spawns(*options, tally)?;
        }
        for op in &program.ops {
            let Some(command) = op.command(&mut self.model) else {
                tally.skipped += 1;
                continue;
            };
            if let Command::Spawn(options) = command {
                self.spawns(options, tally)?;
            } else {
                self.step(&command, tally)?;
            }
        }
        self.compare_states()?;
        let mut left = 10_000;
        while let Some(command) = winds_down(&self.model) {
            self.step(&command, tally)?;
            left -= 1;
            if left == 0 {
                return Err("the model finds no end".to_owned());
            }
        }
        let waits = |thread: &usize| self.model.threads[*thread].stack.len() > 1;
        if let Some(thread) = (1..self.model.threads.len()).find(waits) {
            return Err(format!("thread {thread} waits for ever: {:?}", self.model.threads[thread].stack));
        }
        self.compare_states()
    }

    /// An STA, and an object in it if a client is free to make one.
    fn spawns(&mut self, options: Options, tally: &mut Tally) -> Result<(), String> {
        self.step(&Command::Spawn(options), tally)?;
        let free = |client: &Thread| self.model.threads[*client].stack == [Frame::Base];
        let Some(client) = (1..=CLIENTS).rev().find(free) else { return Ok(()) };
        let (apartment, thread) = (self.model.apartments.len() - 1, self.model.threads.len() - 1);
        let making = making(self.model.new_call(), apartment);
        self.step(&Command::Call(client, making), tally)?;
        if options.filter {
            self.step(&Command::Answer(thread, Verdict::Handled), tally)?;
        }
        self.step(&Command::Return { thread, panics: false }, tally)
    }

    /// One command, on both sides.
    fn step(&mut self, command: &Command, tally: &mut Tally) -> Result<(), String> {
        // Time always passes a little: no two things are made at one time, unless one inherits from the other.
        if !matches!(command, Command::Advance(_)) {
            let next = self.model.now + 1;
            if self.model.next_time() != Some(next) {
                self.model.now = next;
                self.clock.advance(Duration::from_nanos(1));
            }
        }
        let _infallible = writeln!(self.history, "{} ns: {command:?}", self.model.now);
        let before = self.model.now;
        let expected = self.model.run(command);
        tally.count(command, &expected);
        self.does(command, before);
        self.compare(expected).map_err(|what| format!("after this:\n{what}"))?;
        if matches!(command, Command::Advance(_)) {
            // Who leaves the line for room under other calls of its own says nothing.
            let until = Instant::now() + PATIENCE;
            while self.compare_states().is_err() && Instant::now() < until {
                std::thread::yield_now();
            }
            self.compare_states()?;
        }
        Ok(())
    }

    /// The command, on the real side.
    fn does(&mut self, command: &Command, before: Time) {
        let tell = |strings: &Strings, thread: Thread, what: Do| {
            // A player that is gone is found by its silence.
            let _gone = strings.tells[thread].send(what);
        };
        let strings = &mut self.strings;
        match command {
            Command::Spawn(options) => {
                let (thread, apartment) = (self.stage.place(strings), self.model.apartments.len() - 1);
                let sta = self.stage.spawn(thread, apartment.to_string(), *options).expect("a thread can be started");
                self.apartments.insert(apartment, sta.apartment().clone());
                self.stas.insert(apartment, Arc::new(sta));
            }
            Command::Enter(thread, options) => {
                let name = (self.model.apartments.len() - 1).to_string();
                tell(strings, *thread, Do::Enter(name, *options));
            }
            Command::Call(thread, calls) => {
                let handle = match calls.handle {
                    Handle::Without => None,
                    Handle::Fresh => {
                        let handle = CancelHandle::new();
                        self.handles.insert(calls.call, handle.clone());
                        Some(handle)
                    }
                    Handle::Cancelled => {
                        let handle = CancelHandle::new();
                        handle.cancel();
                        Some(handle)
                    }
                };
                let target = match calls.object {
                    Some(object) => Target::Object(Arc::clone(&self.objects[&object])),
                    None => Target::New(Arc::clone(&self.stas[&calls.to])),
                };
                tell(strings, *thread, Do::Call(*calls, target, handle));
            }
            Command::Post(thread, posts) => {
                tell(strings, *thread, Do::Post(*posts, Arc::clone(&self.objects[&posts.object])));
            }
            Command::Return { thread, panics } => tell(strings, *thread, Do::Return { panics: *panics }),
            Command::Answer(thread, verdict) => tell(strings, *thread, Do::Answer(*verdict)),
            Command::AnswerAgain(thread, again) => tell(strings, *thread, Do::AnswerAgain(*again)),
            Command::AskCancelled(thread) => tell(strings, *thread, Do::AskCancelled),
            Command::Pump(thread) => tell(strings, *thread, Do::Pump),
            Command::Leave(thread) => tell(strings, *thread, Do::Leave),
            Command::Cancel(call) => self.handles[call].cancel(),
            Command::Quit(apartment) => self.apartments[apartment].quit(),
            Command::Drop(object) => drop(self.objects.remove(object)),
            Command::Advance(to) => self.clock.advance(Duration::from_nanos(to - before)),
        }
    }

    /// Waits for as much as the model says comes, and compares: of each apartment in order, of each player in order.
    fn compare(&mut self, expected: Step) -> Result<(), String> {
        let until = Instant::now() + PATIENCE;
        let Step { mut events, said } = expected;
        // What is taken back in the next moment may be gone before the wait that would hold it looks.
        let queued =
            |event: &Event| event.call.is_some_and(|(call, ..)| self.model.calls[&call].phase == Phase::Queued);
        events.retain(|event| !matches!(event.what, What::Held { .. }) || queued(event));
        let mut left: Vec<Option<Event>> = events.iter().cloned().map(Some).collect();
        let mut read = Vec::new();
        let mut wrong = false;
        // Whoever is silent, or says what nobody expects, is not waited for.
        while !wrong && read.len() < events.len() {
            match self.events.receiver().recv_deadline(until) {
                Ok(seen) => wrong = !self.is_expected(&seen, &mut left, &mut read),
                Err(_) => wrong = true,
            }
        }
        let mut heard = Vec::new();
        while !wrong && heard.len() < said.len() {
            match self.strings.hears.recv_deadline(until) {
                Ok(report) => heard.push(report),
                Err(_) => wrong = true,
            }
        }
        while let Some(seen) = self.events.try_next() {
            wrong |= !self.is_expected(&seen, &mut left, &mut read);
        }
        heard.extend(self.strings.hears.try_iter());
        for thread in 0..self.strings.tells.len() {
            let heard = heard.iter().filter(|report| report.0 == thread).map(|report| &report.1);
            let said = said.iter().filter(|said| said.0 == thread).map(|said| &said.1);
            wrong |= !heard.eq(said);
        }
        wrong |= heard.len() != said.len();
        if wrong {
            let mut what = String::from("expected\n");
            lines(&mut what, &events);
            lines(&mut what, &said);
            what.push_str("seen\n");
            lines(&mut what, &read);
            lines(&mut what, &heard.into_iter().map(|report| (report.0, report.1)).collect::<Vec<_>>());
            return Err(what);
        }
        for (thread, said, made) in heard {
            let Some(made) = made else { continue };
            let object = match said {
                Said::Back { call, .. } => self.model.calls[&call].object,
                // It has just entered.
                _ => self.model.threads[thread].home.and_then(|home| {
                    self.apartments.extend(made.apartment().map(|apartment| (home, apartment)));
                    self.model.objects.iter().find(|(_, it)| it.home == home).map(|(object, _)| *object)
                }),
            };
            self.objects.insert(object.expect("what was made is known to the model"), made);
        }
        Ok(())
    }

    /// Whether that is what comes next of its apartment, or of its thread if it is of none.
    fn is_expected(&mut self, seen: &SeenEvent, left: &mut [Option<Event>], read: &mut Vec<Event>) -> bool {
        // Whether the driver sleeps until an apartment's thread has made its filter, nothing says.
        if self.names.is_of_the_driver(seen) {
            return true;
        }
        let mut at = None;
        let mut before: Vec<&Event> = Vec::new();
        for (place, left) in left.iter().enumerate() {
            let Some(left) = left.as_ref().filter(|left| self.names.is_of(seen, left)) else { continue };
            if self.names.is_by(seen, left) && !before.iter().any(|before| is_ordered(before, left)) {
                at = Some(place);
                break;
            }
            before.push(left);
        }
        let fits = |place: usize| left[place].as_ref().is_some_and(|next| matches!(next.what, What::Held { .. }));
        if self.names.is_held(seen) && !at.is_some_and(fits) {
            // A thread that waits may look once more before it sleeps, or before it learns that it need not wait any more, and
            // pass over what was to be its own in the next moment. That something is held which is not is found by its not
            // being served.
            return true;
        }
        let taken = at.and_then(|at| left[at].take());
        let seen = self.names.read(seen, taken.as_ref());
        let is_it = taken.as_ref() == Some(&seen);
        read.push(seen);
        is_it
    }

    /// The mailboxes as a snapshot shows them (rule DG-1).
    fn compare_states(&self) -> Result<(), String> {
        let snapshot = self.stage.process.snapshot();
        for seen in &snapshot.apartments {
            let Some(apartment) = self.names.apartment(seen.name.id) else { continue };
            let state = &self.model.apartments[apartment];
            let entries = seen.entries.iter().map(|entry| (self.names.call(entry.call.id), entry.at));
            let at = |room: bool| if room { EntryAt::Room } else { EntryAt::NoRoom };
            let queued = state.entries.iter().map(|entry| (Some(entry.call), at(entry.room)));
            let line = state.line.iter().map(|call| (Some(*call), EntryAt::Line));
            let expected: Vec<_> = queued.chain(line).collect();
            let entries: Vec<_> = entries.collect();
            let objects = self.model.objects.values().filter(|it| it.home == apartment && !it.gone).count();
            if expected != entries || objects != seen.objects {
                return Err(format!(
                    "the snapshot of {apartment}: expected {expected:?} and {objects} objects, seen {seen:?}"
                ));
            }
        }
        Ok(())
    }

    /// Everybody goes; nothing more is heard, and every object was dropped once, at home.
    fn ends(self) -> Result<(), String> {
        let Self { stage, strings, events, clients, stas, objects, handles, history, mut names, .. } = self;
        let made = self.model.objects_made();
        drop((objects, handles));
        let Strings { hears, tells } = strings;
        drop(tells);
        for client in clients {
            client.join().map_err(|_| format!("{history}a client has panicked"))?;
        }
        for sta in stas.into_values() {
            let sta = Arc::into_inner(sta).ok_or("somebody still has an apartment's handle")?;
            sta.join().map_err(|error| format!("{history}{error}"))?;
        }
        let dropped = stage.dropped.lock().unwrap().clone();
        if let Some(event) = std::iter::from_fn(|| events.try_next()).find(|event| !names.is_of_the_driver(event)) {
            return Err(format!("{history}afterwards: {event:?}"));
        }
        if let Ok((thread, said, _)) = hears.try_recv() {
            return Err(format!("{history}afterwards {thread} says {said:?}"));
        }
        if dropped.len() < made || dropped.contains(&false) {
            return Err(format!("{history}{made} objects were made, and dropped at home: {dropped:?}"));
        }
        Ok(())
    }

    /// Lets everybody go who still can; whoever waits for ever stays behind.
    fn gives_up(self) {
        drop(self.strings);
        for sta in self.stas.values() {
            sta.quit();
        }
        self.handles.values().for_each(CancelHandle::cancel);
        self.clock.advance(Duration::from_secs(1_000_000));
        std::mem::forget(self.stas);
    }
}

/// Whether the rules say which of two steps of one apartment comes first, when one command has led to both: what one thread
/// does, what happens to one call, and what changes the mailbox.
fn is_ordered(one: &Event, other: &Event) -> bool {
    let of_the_mailbox = |event: &Event| {
        matches!(
            event.what,
            What::Queued { .. }
                | What::Began { .. }
                | What::Revoked { .. }
                | What::DoorClosed
                | What::ApartmentEnded { .. }
        )
    };
    let call = |event: &Event| event.call.map(|(call, ..)| call);
    // What a wait holds is told when it looks, and another thread may have let it look once more.
    let held = |event: &Event| matches!(event.what, What::Held { .. });
    one.thread == other.thread && !held(one) && !held(other)
        || call(one) == call(other)
        || of_the_mailbox(one) && of_the_mailbox(other)
}

fn lines(text: &mut String, all: &[impl std::fmt::Debug]) {
    for one in all {
        let _infallible = writeln!(text, "  {one:?}");
    }
}
