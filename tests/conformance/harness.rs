//! Plays a scenario and draws what happened.

use crate::golden::Golden;
use crate::stage::{Stage, millis, play_in};
use apartment::{CallError, Diagram, Event, Process, Topic, What};
use std::ops::Deref;
use std::sync::mpsc::channel;
use std::sync::{Mutex, PoisonError};
use std::thread::{Scope, ScopedJoinHandle};

/// Who does what, and which rules say what happens.
#[derive(Clone, Copy)]
pub(crate) struct Scenario {
    /// Its test's name, and its golden file's.
    pub(crate) name: &'static str,
    pub(crate) rules: &'static [&'static str],
    pub(crate) title: &'static str,
    /// What it shows, in as many lines as it takes.
    pub(crate) shows: &'static [&'static str],
    pub(crate) play: Body,
}

/// What is played.
pub(crate) type Body = fn(&Play) -> Result<(), CallError>;

/// The table of a file: what each scenario shows, its name, its title and its rules. Each becomes a test.
macro_rules! scenarios {
    ($($(#[doc = $shows:literal])+ $name:ident: $title:literal, [$($rule:literal),+ $(,)?];)+) => {
        pub(crate) const ALL: &[$crate::harness::Scenario] = &[$($crate::harness::Scenario {
            name: stringify!($name),
            rules: &[$($rule),+],
            title: $title,
            shows: &[$($shows),+],
            play: $name,
        }),+];

        mod plays {
            $(
                #[test]
                fn $name() {
                    $crate::harness::holds(super::ALL, stringify!($name));
                }
            )+
        }
    };
}
pub(crate) use scenarios;

/// Plays the scenario of that name and compares what happened with what is kept.
pub(crate) fn holds(all: &[Scenario], name: &str) {
    let scenario = all.iter().find(|scenario| scenario.name == name).expect("the table has each of its tests");
    Golden::kept().holds(scenario.name, &scenario.told()).unwrap_or_else(|wrong| panic!("{wrong}"));
}

impl Scenario {
    /// What it shows, as one text.
    pub(crate) fn sentence(&self) -> String {
        self.shows.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ")
    }

    /// Plays it, and tells what happened.
    pub(crate) fn told(&self) -> String {
        let Self { name, rules, title, play: body, .. } = *self;
        // What is about the strict rules has them.
        let process = Process::builder();
        let process = if name.starts_with("st_") { process.strict_rules() } else { process };
        let (tell, told) = channel();
        play_in(process, move |stage| {
            let play = Play { stage, drawn: Mutex::default() };
            body(&play)?;
            tell.send(play.diagram()).expect("who plays it waits for it");
            Ok(())
        });
        let diagram = told.recv().expect("it was played to its end");
        let shows: Vec<_> = self.shows.iter().map(|line| line.trim()).collect();
        format!("{title}\n{}\n\n{}\n\n{diagram}", rules.join(", "), shows.join("\n"))
    }
}

/// The stage on which a scenario is played, and what of it is drawn.
pub(crate) struct Play<'a> {
    stage: &'a Stage,
    drawn: Mutex<Drawn>,
}

/// From which event to which, and what of them is shown and hidden.
#[derive(Default)]
struct Drawn {
    since: u64,
    until: Option<u64>,
    shown: Vec<Topic>,
    hidden: Vec<Topic>,
}

/// A note that only says who its thread is begins so.
const I_AM: &str = "I am ";

impl Deref for Play<'_> {
    type Target = Stage;

    fn deref(&self) -> &Stage {
        self.stage
    }
}

impl Play<'_> {
    /// The scene is set: from here on it is drawn, and waited for.
    pub(crate) fn begin(&self) {
        self.stage.begin();
        self.drawn(|drawn, now| drawn.since = now);
    }

    /// All has happened that is to be drawn.
    pub(crate) fn end(&self) {
        self.drawn(|drawn, now| drawn.until = Some(now));
    }

    /// Moves the time on by a moment: what is done after it is drawn after what was done before it.
    pub(crate) fn later(&self) {
        self.stage.clock.advance(millis(1));
    }

    /// Draws all of a topic.
    pub(crate) fn show(&self, topic: Topic) {
        self.drawn(|drawn, _| drawn.shown.push(topic));
    }

    /// Draws nothing of a topic.
    pub(crate) fn hide(&self, topic: Topic) {
        self.drawn(|drawn, _| drawn.hidden.push(topic));
    }

    /// A line across the picture.
    pub(crate) fn note(&self, text: &str) {
        self.stage.process.note(text);
    }

    /// Starts a thread that is in no apartment; its column has that name.
    pub(crate) fn actor<'scope, T: Send + 'scope>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
        name: &'static str,
        does: impl FnOnce() -> T + Send + 'scope,
    ) -> ScopedJoinHandle<'scope, T> {
        scope.spawn(move || {
            self.i_am(name);
            does()
        })
    }

    /// Names the column of the calling thread.
    pub(crate) fn i_am(&self, name: &str) {
        self.note(&format!("{I_AM}{name}"));
    }

    fn drawn(&self, change: impl FnOnce(&mut Drawn, u64)) {
        let now = self.all().last().map_or(0, |event| event.seq);
        change(&mut self.drawn.lock().unwrap_or_else(PoisonError::into_inner), now);
    }

    fn all(&self) -> Vec<Event> {
        self.stage.process.recording().expect("the stage records").events()
    }

    /// The picture of what has happened.
    fn diagram(&self) -> Diagram {
        let drawn = self.drawn.lock().unwrap_or_else(PoisonError::into_inner);
        let until = drawn.until.expect("a scenario says where it ends: `stage.end()`");
        let mut events = self.all();
        events.retain(|event| event.seq <= until);
        let who = |event: &Event| match &event.what {
            What::Note { text } => text.strip_prefix(I_AM).map(|name| (event.thread, name.to_owned())),
            _ => None,
        };
        let names: Vec<_> = events.iter().filter_map(who).collect();
        events.retain(|event| who(event).is_none());
        let mut diagram = Diagram::of(&events).since(drawn.since);
        diagram = names.into_iter().fold(diagram, |diagram, (thread, name)| diagram.named(thread, name));
        diagram = drawn.shown.iter().fold(diagram, |diagram, topic| diagram.show(*topic));
        drawn.hidden.iter().fold(diagram, |diagram, topic| diagram.hide(*topic))
    }
}

#[test]
fn each_scenario_has_a_name_of_its_own_that_begins_with_a_rule_it_names() {
    let all = crate::scenarios::all();
    for (at, scenario) in all.iter().enumerate() {
        let Scenario { name, rules, .. } = scenario;
        assert!(all[..at].iter().all(|other| other.name != *name), "two scenarios are named {name}");
        let id = |rule: &str| format!("{}_", rule.to_lowercase().replace('-', "_"));
        assert!(rules.iter().any(|rule| name.starts_with(&id(rule))), "{name} is about none of {rules:?}");
    }
}

#[test]
fn another_play_gives_another_picture() {
    // Two scenarios that differ in one answer of one filter.
    let plays: [Body; 2] = [
        |stage| crate::scenarios::basics::once_refused(stage, apartment::ServerCall::RetryLater),
        |stage| crate::scenarios::basics::once_refused(stage, apartment::ServerCall::Rejected),
    ];
    let [later, rejected] = plays.map(|play| {
        let shows = &[" The same words for both."];
        Scenario { name: "x", rules: &["MF-6"], title: "A title", shows, play }.told()
    });
    assert!(later.contains("RetryLater") && !later.contains("Rejected"), "{later}");
    assert!(rejected.contains("Rejected") && !rejected.contains("RetryLater"), "{rejected}");
}
