//! A thread that makes calls: where it is, what it has of its own, and how it goes through a round.

use crate::census::nothing_wrong;
use crate::desk::{At, Desk, Thing};
use crate::kinds::{Kind, Mix, Tally};
use crate::refusing::{How, Script, Scripted};
use crate::watch::{Busy, LONG};
use crate::world::{Target, World};
use anyhow::{Context as _, Result, ensure};
use apartment::{
    CallError, CallFuture, Doorbell, Entered, EnteredMta, Kind as In, Parked, Proxy, Signal, Sta, blocking_wait_any,
    wait_any,
};
use std::cell::RefCell;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Instant;

/// What lets its thread be where it is.
enum Home {
    Nowhere,
    Sta(Entered),
    Mta(#[expect(dead_code, reason = "it is there to be dropped")] EnteredMta),
}

/// Apartments that nobody else calls, so that what comes of a call is known exactly.
pub(crate) struct Own {
    /// Sends calls away as its script says.
    pub(crate) shy: Sta,
    pub(crate) shy_desk: At,
    pub(crate) script: Arc<Script>,
    /// Has room for [`ROOM`].
    pub(crate) small: Sta,
    pub(crate) small_desk: At,
    pub(crate) cell: Proxy<RefCell<u64>>,
}

pub(crate) const ROOM: usize = 4;

impl Own {
    fn new(world: &World<'_>, index: usize) -> Result<Self> {
        let script = Arc::<Script>::default();
        let filter = Scripted(Arc::clone(&script));
        let shy = world.process.sta(format!("shy {index}")).filter(|| filter).spawn()?;
        let small = world.process.sta(format!("small {index}")).capacity(ROOM).spawn()?;
        let (shy_desk, small_desk) = (shy.create(Thing::new)?.cast(), small.create(Thing::new)?.cast());
        let cell = small.create(|| RefCell::new(0))?;
        Ok(Self { shy, shy_desk, script, small, small_desk, cell })
    }
}

pub(crate) struct Driver<'w> {
    pub(crate) world: &'w World<'w>,
    pub(crate) index: usize,
    pub(crate) rng: fastrand::Rng,
    pub(crate) own: Own,
    /// How many notes each target has been sent.
    sent: Vec<u64>,
    home: Home,
}

impl<'w> Driver<'w> {
    /// Makes its share of a round's calls, or as many as there is time for.
    pub(crate) fn run(
        world: &'w World<'w>,
        index: usize,
        seed: u64,
        share: u64,
        mix: &Mix,
        in_time: impl Fn() -> bool,
    ) -> Result<Vec<Tally>> {
        let mut rng = fastrand::Rng::with_seed(seed);
        let home = match rng.u8(..4) {
            0 => Home::Nowhere,
            1 => Home::Mta(world.mta.enter()?),
            2 => Home::Sta(world.process.sta(format!("driver {index}")).enter()?),
            _ => {
                let (doorbell, rings) = Doorbell::new();
                let looping = doorbell.turning(move |parking| {
                    // Both ends say alike that it is time to look.
                    let _rung = match parking.timeout() {
                        Some(time) => rings.recv_timeout(time).is_ok(),
                        None => rings.recv().is_ok(),
                    };
                    Parked::Looped
                });
                Home::Sta(world.process.sta(format!("looping driver {index}")).host(looping).enter()?)
            }
        };
        if let Home::Sta(entered) = &home {
            let set = world.homes[index].set(entered.create(Thing::new)?.cast());
            ensure!(set.is_ok(), "a driver has one home");
        }
        let own = Own::new(world, index)?;
        let mut driver = Self { world, index, rng, own, sent: vec![0; world.targets.len() + 1], home };
        world.all_are_there.wait();

        let busy = Busy::driver(index);
        let (mut made, mut tallies) = (0, vec![Tally::default(); Kind::ALL.len()]);
        let mut steps = 0..share;
        // Some kinds are for STAs alone, and make no call elsewhere.
        while made < share && steps.next().is_some() && in_time() {
            let (number, kind) = mix.choose(&mut driver.rng);
            busy.step(number);
            let began = Instant::now();
            let calls = (kind.run)(&mut driver).and_then(|calls| nothing_wrong().map(|()| calls));
            let calls = calls.with_context(|| format!("driver {index} ({}), {}", driver.place(), kind.name))?;
            tallies[number].add(&Tally { calls, time: began.elapsed() });
            made += calls;
        }
        drop(busy);
        driver.leave()?;
        Ok(tallies)
    }

    /// Everybody else may still need this thread, so it serves until the last one has made its calls.
    fn leave(self) -> Result<()> {
        let Self { world, own, home, .. } = self;
        drop(own);
        if world.at_work.fetch_sub(1, Relaxed) == 1 {
            world.all_are_done.set();
        }
        wait_any(&[&world.all_are_done], None)?;
        drop(home);
        Ok(())
    }

    pub(crate) fn place(&self) -> &'static str {
        match &self.home {
            Home::Nowhere => "in no apartment",
            Home::Sta(_) => "an STA",
            Home::Mta(_) => "in the MTA",
        }
    }

    pub(crate) fn sta(&self) -> Option<&Entered> {
        if let Home::Sta(entered) = &self.home { Some(entered) } else { None }
    }

    /// Its own object, if it is an STA.
    pub(crate) fn desk(&self) -> Option<&'w At> {
        self.world.homes[self.index].get()
    }

    /// Whether its calls of that target run on its own thread.
    pub(crate) fn is_direct(&self, target: &Target) -> bool {
        let in_its_mta = || self.sta().is_none() && target.apartment.as_ref() == Some(self.world.mta.apartment());
        target.apartment.is_none() || in_its_mta()
    }

    /// Anyone that is called as everybody calls it.
    pub(crate) fn any(&mut self) -> (usize, &'w Target) {
        let number = self.rng.usize(..self.world.targets.len());
        (number, &self.world.targets[number])
    }

    /// Any that is in an STA.
    pub(crate) fn any_sta(&mut self) -> (usize, &'w Target) {
        loop {
            let (number, target) = self.any();
            if target.kind() == Some(In::Sta) {
                return (number, target);
            }
        }
    }

    /// The number of the next note to that target: to be taken when it was accepted.
    pub(crate) fn next_note(&self, target: usize) -> u64 {
        self.sent[target] + 1
    }

    pub(crate) fn noted(&mut self, target: usize) {
        self.sent[target] += 1;
    }

    /// Waits until that target has noted what was sent, and not one more.
    pub(crate) fn settle(&self, target: usize) -> Result<u64> {
        let desk = &self.world.targets[target].desk;
        let in_order = self.world.targets[target].kind() == Some(In::Sta);
        let (expected, began, mut calls) = (self.sent[target], Instant::now(), 0);
        loop {
            let noted = desk.noted(self.index)?;
            calls += 1;
            if noted == expected {
                return Ok(calls);
            }
            ensure!(noted < expected && !in_order, "{noted} of {expected} one-way calls have run");
            ensure!(began.elapsed() < LONG, "only {noted} of {expected} one-way calls have run");
            thread::yield_now();
        }
    }

    /// Its shy apartment sends away what is asked of it from here on. What was posted there before is served first: a filter
    /// is asked about posts, too.
    pub(crate) fn refuses(&self, times: u32, how: How) -> Result<()> {
        self.own.shy_desk.add(0)?;
        self.own.script.refuse(times, how);
        Ok(())
    }

    /// A stop of a route, on which everybody lets everybody in.
    pub(crate) fn stop(&mut self) -> At {
        loop {
            let homes = self.world.homes.len();
            let number = self.rng.usize(..homes + self.world.targets.len());
            let home = self.world.homes.get(number).map(|home| home.get());
            match home {
                Some(Some(home)) => return home.clone(),
                Some(None) => {}
                None => {
                    let target = &self.world.targets[number - homes];
                    if target.open {
                        return target.desk.clone();
                    }
                }
            }
        }
    }
}

/// Waits for a future without an executor: an STA serves meanwhile.
pub(crate) fn finish<R>(future: CallFuture<R>) -> Result<R, CallError> {
    struct Rings(Signal);
    impl Wake for Rings {
        fn wake(self: Arc<Self>) {
            self.0.set();
        }
    }
    let rung = Arc::new(Rings(Signal::auto()));
    let waker = Waker::from(Arc::clone(&rung));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(result) => return result,
            Poll::Pending => wait_any(&[&rung.0], None)?,
        };
    }
}

/// Blocks its thread, for what is served while it may not serve others; never for ever.
pub(crate) fn hold(until: &Signal) -> bool {
    blocking_wait_any(&[until], Some(LONG)).is_ok()
}
