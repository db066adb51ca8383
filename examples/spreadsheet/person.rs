//! The one person there is, at the terminal; or a script that stands in.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::io::{self, BufRead, Write};

use clap::ValueEnum;

/// What to do about somebody who is busy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Answer {
    /// Wait on
    #[value(alias = "g")]
    GoOn,
    /// Turn to the one who is busy
    #[value(alias = "s")]
    Switch,
    /// Do without
    #[value(alias = "u")]
    GiveUp,
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Answer::GoOn => "go-on",
            Answer::Switch => "switch",
            Answer::GiveUp => "give-up",
        })
    }
}

/// Answers questions: out of a script, which comes to an end, or by asking at the terminal.
pub(crate) struct Answers(RefCell<Option<VecDeque<Answer>>>);

impl Answers {
    /// Without a script, the terminal is asked.
    pub(crate) fn new(script: Option<Vec<Answer>>) -> Answers {
        Answers(RefCell::new(script.map(VecDeque::from)))
    }

    /// Who asks has to do without an answer where there is none to come any more.
    pub(crate) fn next(&self, who: &str, question: &str) -> Answer {
        if let Some(script) = &mut *self.0.borrow_mut() {
            let answer = script.pop_front();
            let said = answer.map_or_else(|| "no answer is left: give-up".to_owned(), |answer| answer.to_string());
            say(who, format_args!("{question} {said}"));
            return answer.unwrap_or(Answer::GiveUp);
        }
        loop {
            let Some(line) = ask(who, &format!("{question} [g]o-on, [s]witch, give-[u]p:")) else {
                say(who, "nobody answers any more: give-up");
                return Answer::GiveUp;
            };
            match Answer::from_str(&line, true) {
                Ok(answer) => return answer,
                Err(_) => say(who, format_args!("`{line}` is no answer")),
            }
        }
    }
}

/// A line that is typed at the terminal; none if it is closed. What is no text in it is shown as such, and is no end.
pub(crate) fn ask(who: &str, question: &str) -> Option<String> {
    let mut out = io::stdout();
    let _ = write!(out, "{who:>5} | {question} ").and_then(|()| out.flush());
    let mut line = Vec::new();
    match io::stdin().lock().read_until(b'\n', &mut line) {
        Ok(1..) => Some(String::from_utf8_lossy(&line).trim().to_owned()),
        Ok(0) => {
            let _ = writeln!(out);
            None
        }
        Err(error) => {
            let _ = writeln!(out);
            say(who, format_args!("cannot read what is typed: {error}"));
            None
        }
    }
}

/// Prints who does what, if it can: whoever has closed the pipe may still want the end of it.
pub(crate) fn say(who: &str, what: impl fmt::Display) {
    let _ = writeln!(io::stdout(), "{who:>5} | {what}");
}
