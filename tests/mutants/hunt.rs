//! One stage: each mutant that is left, against the tests that come by it, until one fails.

use crate::mutant::Mutant;
use crate::programs::{End, How, Test};
use crate::record::{Found, Record};
use anyhow::Result;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

/// A test may take so many times what it takes without a mutant, and ten seconds more, before it is ended.
const TIMES: u32 = 10;
const MORE: Duration = Duration::from_secs(10);
/// After so many tests that had to be ended the others are not tried.
const LATE: usize = 3;

pub(crate) struct Stage<'a> {
    pub(crate) name: &'a str,
    pub(crate) programs: &'a [PathBuf],
    /// Where its tests run.
    pub(crate) folder: PathBuf,
    pub(crate) bound: Option<u32>,
    /// Tests that take longer are not run.
    pub(crate) longest: Duration,
}

/// A test, how long it takes, and how many it has killed: such are tried first.
struct Hunter {
    test: Test,
    took: Duration,
    killed: AtomicUsize,
}

/// Goes through all mutants but those that are not in the programs.
pub(crate) fn hunt(stage: &Stage<'_>, mutants: &[Mutant], out: &BTreeSet<usize>, record: Record) -> Result<()> {
    let left: Vec<_> = (1..).zip(mutants).filter(|(number, _)| !out.contains(number)).collect();
    let left: Vec<_> = left.into_iter().filter(|(_, mutant)| !record.settles(stage.name, &mutant.name)).collect();
    println!("{}: {} mutants are left", stage.name, left.len());
    if left.is_empty() {
        return Ok(());
    }
    let (hunters, meet) = look(stage)?;
    let record = Mutex::new(record);
    all(left, |(number, mutant)| {
        let found = one(stage, number, &hunters, meet.get(&number).map_or(&[], |meet| meet))?;
        record.lock().expect("nobody panics with it").add(stage.name, &mutant.name, found)
    })
}

type Meet = BTreeMap<usize, Vec<usize>>;

/// Which tests there are, and by mutant, which of them come by it.
fn look(stage: &Stage<'_>) -> Result<(Vec<Hunter>, Meet)> {
    let mut tests = Vec::new();
    for program in stage.programs {
        tests.extend(Test::all(program)?);
    }
    let met = Mutex::new(Vec::new());
    all(tests, |test: Test| {
        match test.meets(&stage.folder, stage.bound, stage.longest)? {
            (End::Failed, ..) => println!("{} fails without any mutant, and is left out", test.name),
            (End::Late, ..) => println!("{} takes more than {:?}, and is left out", test.name, stage.longest),
            (End::Passed, numbers, took) => met.lock().expect("nobody panics with it").push((test, numbers, took)),
        }
        Ok(())
    })?;
    let (mut hunters, mut meet) = (Vec::new(), Meet::new());
    for (test, numbers, took) in met.into_inner().expect("nobody panics with it") {
        for number in numbers {
            meet.entry(number).or_default().push(hunters.len());
        }
        hunters.push(Hunter { test, took, killed: AtomicUsize::new(0) });
    }
    println!("{}: {} tests come by {} mutants", stage.name, hunters.len(), meet.len());
    Ok((hunters, meet))
}

fn one(stage: &Stage<'_>, mutant: usize, hunters: &[Hunter], meet: &[usize]) -> Result<Found> {
    let mut order: Vec<_> = meet.iter().map(|&hunter| &hunters[hunter]).collect();
    order.sort_by_cached_key(|hunter| {
        hunter.took / (1 + u32::try_from(hunter.killed.load(Relaxed)).unwrap_or(u32::MAX - 1))
    });
    let how = How { mutant, bound: stage.bound, ..How::default() };
    let mut late = Vec::new();
    for hunter in order {
        let run = |how| hunter.test.run(&stage.folder, how, hunter.took * TIMES + MORE).map(|ran| ran.0);
        match run(&how)? {
            End::Passed => {}
            // Not by accident: it fails once more, and again it does not without the mutant.
            End::Failed if run(&how)? == End::Failed && run(&How { mutant: 0, ..how })? == End::Passed => {
                hunter.killed.fetch_add(1, Relaxed);
                return Ok(Found::Killed(hunter.test.name.clone()));
            }
            End::Failed => println!("{} fails by accident in {mutant}", hunter.test.name),
            End::Late => late.push(hunter.test.name.clone()),
        }
        if late.len() == LATE {
            break;
        }
    }
    Ok(match (late.pop(), meet) {
        (Some(test), _) => Found::Late(test),
        (None, []) => Found::Unmet,
        (None, _) => Found::Survived,
    })
}

/// Does it with each, on as many threads as there are processors.
fn all<T: Send>(things: Vec<T>, does: impl Fn(T) -> Result<()> + Sync) -> Result<()> {
    let things = Mutex::new(things.into_iter());
    let work = || loop {
        let thing = things.lock().expect("nobody panics with it").next();
        match thing {
            Some(thing) => does(thing)?,
            None => return Ok(()),
        }
    };
    thread::scope(|scope| {
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        threads.into_iter().try_for_each(|thread| thread.join().expect("a worker does not panic"))
    })
}
