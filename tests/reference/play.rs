//! Plays a program on both sides, and compares after each command.

use crate::model::words::*;
use crate::model::{Frame, Model, Step};
use crate::orders::Observed;
use crate::players::{Do, Report, Stage, Target, Thing};
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
const PATIENCE: Duration = Duration::from_secs(120);

/// After this time the driver looks whether what it has seen is all that comes, though the model says that there is more.
const LOOK: Duration = Duration::from_millis(5);
/// After so many of these in which nothing came it looks whether there is anything to wait for.
const SILENT: u32 = 40;

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
        let stage = Stage::new(&clock);
        let events = stage.process.subscribe(4096);
        let clients = (0..=CLIENTS).map(|_| stage.place()).skip(1).map(|at| stage.client(at)).collect();
        Self {
            model: Model::new(CLIENTS),
            names: Names::default(),
            clock,
            stage,
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
            let stacks: Vec<_> = self.model.threads.iter().map(|thread| (thread.home, &thread.stack)).collect();
            return Err(format!("thread {thread} waits for ever: {stacks:#?}\n{:#?}", self.model.calls));
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
        let before = self.model.clone();
        let expected = self.model.run(command);
        self.does(command, before.now);
        let observed = self.compare(&before, command, &expected).map_err(|what| format!("after this:\n{what}"))?;
        tally.count(command, &observed);
        tally.others += u64::from(!observed.is(&expected));
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
        let tell = |thread: Thread, what: Do| self.stage.wire(thread).put(what);
        match command {
            Command::Spawn(options) => {
                let (thread, apartment) = (self.stage.place(), self.model.apartments.len() - 1);
                let sta = self.stage.spawn(thread, apartment.to_string(), *options).expect("a thread can be started");
                self.apartments.insert(apartment, sta.apartment().clone());
                self.stas.insert(apartment, Arc::new(sta));
            }
            Command::Enter(thread, options) => {
                let name = (self.model.apartments.len() - 1).to_string();
                tell(*thread, Do::Enter(name, *options));
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
                tell(*thread, Do::Call(*calls, target, handle));
            }
            Command::Post(thread, posts) => {
                tell(*thread, Do::Post(*posts, Arc::clone(&self.objects[&posts.object])));
            }
            Command::Return { thread, panics } => tell(*thread, Do::Return { panics: *panics }),
            Command::Answer(thread, verdict) => tell(*thread, Do::Answer(*verdict)),
            Command::AnswerAgain(thread, again) => tell(*thread, Do::AnswerAgain(*again)),
            Command::AskCancelled(thread) => tell(*thread, Do::AskCancelled),
            Command::Pump(thread) => tell(*thread, Do::Pump),
            Command::Leave(thread) => tell(*thread, Do::Leave),
            Command::Cancel(call) => self.handles[call].cancel(),
            Command::Quit(apartment) => self.apartments[apartment].quit(),
            Command::Drop(object) => drop(self.objects.remove(object)),
            Command::Advance(to) => self.clock.advance(Duration::from_nanos(to - before)),
        }
    }

    /// Waits for as much as the model says comes, and compares. What has come in another order than the model's own has to be
    /// one that the rules leave open; the model goes on from there.
    fn compare(&mut self, before: &Model, command: &Command, expected: &Step) -> Result<Observed, String> {
        let until = Instant::now() + PATIENCE;
        let mut observed = Observed::default();
        let mut made = Vec::new();
        let mut silent = 0;
        loop {
            let seen = observed.events.len() + observed.said.len();
            while let Some(event) = self.events.try_next() {
                self.sees(&event, expected, &mut observed);
            }
            while let Some(report) = self.stage.says.take(Some(until.min(Instant::now()))) {
                hears(report, &mut observed, &mut made);
            }
            if observed.is(expected) {
                break;
            }
            let all = expected.events.len() + expected.said.len();
            let came = observed.events.len() + observed.said.len();
            silent = if came > seen { 0 } else { silent + 1 };
            if (came >= all || silent == 1)
                && let Some(model) = observed.explains(before, command)
            {
                self.model = model;
                break;
            }
            if Instant::now() >= until || silent == SILENT && !observed.may_go_on(before, command) {
                let mut what = String::from("expected, or in another order\n");
                lines(&mut what, &expected.events);
                lines(&mut what, &expected.said);
                what.push_str("seen\n");
                lines(&mut what, &observed.events);
                lines(&mut what, &observed.said);
                return Err(what);
            }
            let look = until.min(Instant::now() + LOOK);
            if observed.said.len() < expected.said.len() {
                if let Some(report) = self.stage.says.take(Some(look)) {
                    hears(report, &mut observed, &mut made);
                }
            } else if let Ok(event) = self.events.receiver().recv_deadline(look) {
                self.sees(&event, expected, &mut observed);
            }
        }
        for (thread, said, made) in made {
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
        Ok(observed)
    }

    fn sees(&mut self, event: &SeenEvent, expected: &Step, observed: &mut Observed) {
        // Whether the driver sleeps until an apartment's thread has made its filter, nothing says.
        if !self.names.is_of_the_driver(event) {
            observed.events.push(self.names.read(event, &expected.events));
        }
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
        let Self { stage, events, clients, stas, objects, handles, history, mut names, .. } = self;
        let made = self.model.objects_made();
        drop((objects, handles));
        stage.closes();
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
        if let Some((thread, said, _)) = stage.says.take(Some(Instant::now())) {
            return Err(format!("{history}afterwards {thread} says {said:?}"));
        }
        if dropped.len() < made || dropped.contains(&false) {
            return Err(format!("{history}{made} objects were made, and dropped at home: {dropped:?}"));
        }
        Ok(())
    }

    /// Lets everybody go who still can; whoever waits for ever stays behind.
    fn gives_up(self) {
        self.stage.closes();
        for sta in self.stas.values() {
            sta.quit();
        }
        self.handles.values().for_each(CancelHandle::cancel);
        self.clock.advance(Duration::from_secs(1_000_000));
        std::mem::forget(self.stas);
    }
}

fn hears(report: Report, observed: &mut Observed, makings: &mut Vec<(Thread, Said, Arc<Proxy<Thing>>)>) {
    let (thread, said, made) = report;
    makings.extend(made.map(|made| (thread, said.clone(), made)));
    observed.said.push((thread, said));
}

fn lines(text: &mut String, all: &[impl std::fmt::Debug]) {
    for one in all {
        let _infallible = writeln!(text, "  {one:?}");
    }
}
