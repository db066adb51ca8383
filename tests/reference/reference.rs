//! Property tests: generated programs are run by the reference model and by the library, and both must say the same.
//!
//! A program is a list of commands, of which one is given at a time, to whichever thread is in code of the program's: a
//! client's, a method's, a filter's, a retry policy's. Then nobody but the library runs, until each thread is in such code
//! again or waits for somebody. The model says what comes of it: each event, each answer, and at the end where every object was
//! dropped. Where several threads go on at once it says what comes of each order in which they can, and what was seen must be
//! one of these. A program is played once: what fails has failed.

mod model;
mod orders;
mod play;
mod players;
mod program;
mod seen;
mod tally;
mod wire;

use proptest::test_runner::{Config, FileFailurePersistence, RngSeed, TestCaseError, TestError, TestRunner};
use std::hash::{BuildHasher, RandomState};
use tally::Tally;

/// How many programs are played, unless the environment says otherwise.
const PROGRAMS: u32 = 20_000;
/// How many players there are, each with a seed of its own.
const PLAYERS: usize = 2;

/// New ones each time, unless the environment says which (`APARTMENT_SEEDS=17,18`): then the same programs come again.
fn seeds() -> Vec<u64> {
    match std::env::var("APARTMENT_SEEDS") {
        Ok(seeds) => seeds.split(',').map(|seed| seed.parse().expect("a number")).collect(),
        Err(_) => (0..PLAYERS).map(|_| RandomState::new().hash_one(()) >> 32).collect(),
    }
}

#[test]
fn the_library_does_what_the_reference_model_says() {
    let programs = std::env::var("APARTMENT_PROGRAMS").map_or(PROGRAMS, |many| many.parse().expect("a number"));
    let seeds = seeds();
    println!("APARTMENT_SEEDS={}", seeds.iter().map(u64::to_string).collect::<Vec<_>>().join(","));
    let share = programs.div_ceil(u32::try_from(seeds.len()).expect("a few"));
    let players = seeds.into_iter().map(|seed| std::thread::spawn(move || plays(seed, share))).collect::<Vec<_>>();
    let mut all = Tally::default();
    let mut failed = false;
    for player in players {
        match player.join() {
            Ok(tally) => all.join(tally),
            Err(_) => failed = true,
        }
    }
    println!("{all}");
    assert!(!failed, "the library and the model do not agree; what was found is above");
    if programs >= PROGRAMS {
        let rare = all.rare();
        assert!(rare.is_empty(), "hardly ever reached: {rare:?}");
    }
}

fn plays(seed: u64, programs: u32) -> Tally {
    let kept = concat!(env!("CARGO_MANIFEST_DIR"), "/regressions.txt");
    let config = Config {
        cases: programs,
        rng_seed: RngSeed::Fixed(seed),
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(kept))),
        max_shrink_iters: 2_000,
        max_shrink_time: 120_000,
        ..Config::default()
    };
    let tally = std::cell::RefCell::new(Tally::default());
    let result = TestRunner::new(config).run(&program::programs(), |program| {
        let mut tally = tally.borrow_mut();
        tally.programs += 1;
        play::play(&program, &mut tally).map_err(|what| {
            if !std::mem::replace(&mut tally.failed, true) {
                println!("seed {seed}, program {}:\n{what}", tally.programs);
            }
            TestCaseError::fail(what)
        })
    });
    match result {
        Ok(()) => {}
        Err(TestError::Fail(why, program)) => panic!("seed {seed}, made smaller: {program:#?}\n{}", why.message()),
        Err(aborted) => panic!("seed {seed}: {aborted}"),
    }
    tally.into_inner()
}
