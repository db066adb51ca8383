//! `docs/scenarios.md`: the table of all scenarios, made from the code.

use crate::golden::Golden;
use crate::scenarios;
use std::collections::BTreeSet;
use std::fmt::Write;
use std::{fs, path::Path};

const HEAD: &str = "\
# Scenarios

What the [rules](semantics.md) say, as it happens: each scenario is played on a driven clock by `tests/conformance`, and
what happened is drawn in canonical order (rule DG-3) and compared with the picture that is kept. This page is made from
the code.

How to read a picture: there is a column for each thread, named by its apartment; `main` and the named others are in none.
The time is at the left, what is to be said at the right.

| | |
|---|---|
| `│` `┃` | the thread is there; it serves a call or a message |
| `┆` `╎` | it waits and lets in what may come in; it waits and is blocked |
| `──▶` `◀╌╌` | a call; its answer |
| `──▷` | something for which nobody waits: a post, a message, a cancel, a word to quit |
| `──✗` | a call that did not arrive |
| `●` `✗` | something happened here; something failed here |
";

fn page() -> String {
    let mut page = HEAD.to_owned();
    for (group, all) in scenarios::GROUPS {
        write!(page, "\n## {group}\n\n| scenario | rules | what it shows |\n|---|---|---|\n").unwrap();
        for scenario in *all {
            let link = format!("../tests/conformance/golden/{}.txt", scenario.name);
            let (title, rules, sentence) = (scenario.title, scenario.rules.join(", "), scenario.sentence());
            writeln!(page, "| [{title}]({link}) | {rules} | {sentence} |").unwrap();
        }
    }
    page
}

#[test]
fn the_table_of_scenarios_is_up_to_date() {
    Golden::pages().holds("scenarios", &page()).unwrap_or_else(|wrong| panic!("{wrong}"));
}

#[test]
fn the_table_names_rules_that_there_are() {
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/semantics.md");
    let rules = fs::read_to_string(rules).unwrap();
    let ids: BTreeSet<&str> = rules.lines().filter_map(|line| line.strip_prefix("| ")?.split(' ').next()).collect();
    for scenario in scenarios::all() {
        for rule in scenario.rules {
            assert!(ids.contains(rule), "{}: there is no rule {rule}", scenario.name);
        }
    }
}
