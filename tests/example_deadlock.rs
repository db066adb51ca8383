//! The example `deadlock`, run as the program it is.

mod example;

use example::{outlives_its_reader, program};

#[test]
fn dl_1_one_of_two_crossed_chains_is_told_and_the_ring_is_printed() {
    let run = program("deadlock").output().expect("the example can be started");
    let out = String::from_utf8(run.stdout).expect("it prints text");
    assert!(run.status.success(), "{out}{}", String::from_utf8_lossy(&run.stderr));
    let (crossed, cured) = out.split_once("word lets in everybody").expect("there are two stories");
    // Which of the two is told, is open.
    let told = ["author", "accountant"].map(|who| crossed.contains(&format!("the {who} is told")));
    let done = ["author", "accountant"].map(|who| crossed.contains(&format!("the {who} is done")));
    assert!(told[0] != told[1] && done == [told[1], told[0]], "{out}");
    let ring = ["word waits for excel in Sheet::sum at ", "excel waits for word in Text::address at "];
    let [first, second] = if told[0] { ring } else { [ring[1], ring[0]] };
    let waits = crossed.find(&format!("╭─▶ {first}")).zip(crossed.find(&format!("╰── {second}")));
    assert!(waits.is_some_and(|(first, second)| first < second), "{out}");
    assert!(crossed.contains("✗") && crossed.contains("Deadlock, not started"), "{out}");
    for who in ["author", "accountant"] {
        assert!(cured.contains(&format!("the {who} is done")) && !cured.contains("deadlock"), "{out}");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    outlives_its_reader(program("deadlock"));
}
