//! What there is in a round: one process of apartments that all drivers share, and the residents that see all rounds.

use crate::desk::{At, Desk, SENDERS, Shared, Thing};
use crate::watch::{LONG, Shown};
use anyhow::{Result, anyhow, ensure};
use apartment::{Apartment, CallError, Class, Kind, Mta, Process, Reentrancy, Server, Signal, Spin, Sta};
use std::sync::atomic::AtomicUsize;
use std::sync::mpsc::channel;
use std::sync::{Barrier, OnceLock};

/// An object that everybody may call: it is in an STA, in the MTA or, without an apartment, nowhere.
pub(crate) struct Target {
    pub(crate) desk: At,
    pub(crate) apartment: Option<Apartment>,
    /// Whether it may call out while others wait for it: everybody on the way lets everybody in.
    pub(crate) open: bool,
}

impl Target {
    pub(crate) fn kind(&self) -> Option<Kind> {
        self.apartment.as_ref().map(Apartment::kind)
    }
}

/// How much a driver sends at most before it waits for that.
pub(crate) const BATCH: usize = 64;

/// Apartments that live as long as the program, so that what they keep from call to call is seen to grow.
pub(crate) struct Residents {
    pub(crate) sta: Sta,
    pub(crate) mta: Mta,
    pub(crate) process: Process,
    _shown: Shown,
}

impl Residents {
    /// A mailbox keeps as many places as there ever were entries at once. So that this is no growth, there are at once, first of
    /// all, as many as the drivers can ever have in it.
    pub(crate) fn new(drivers: usize) -> Result<Self> {
        let process = Process::builder().name("residents").build();
        let _shown = Shown::new(&process);
        let sta = process.sta("resident").spawn()?;
        let mta = process.mta().threads(1).spawn()?;
        let desks: [At; 2] = [sta.create(Thing::new)?.cast(), mta.create(Shared::in_mta)?.cast()];
        for desk in desks {
            let (go_on, goes_on) = channel();
            desk.post(move |_| goes_on.recv().expect("it is told to go on")).map_err(CallError::from)?;
            for _ in 0..drivers * (BATCH + 2) {
                desk.post(|_| ()).map_err(CallError::from)?;
            }
            go_on.send(())?;
            desk.add(1)?;
        }
        Ok(Self { sta, mta, process, _shown })
    }
}

/// In the order in which it goes: what refers to objects before the apartments.
pub(crate) struct World<'r> {
    pub(crate) targets: Vec<Target>,
    /// The drivers' own objects, of those who are STAs.
    pub(crate) homes: Vec<OnceLock<At>>,
    /// Has little room.
    pub(crate) tight_desk: At,
    pub(crate) stas: Vec<Sta>,
    pub(crate) mta: Mta,
    pub(crate) residents: &'r Residents,
    pub(crate) process: Process,
    pub(crate) all_are_there: Barrier,
    pub(crate) at_work: AtomicUsize,
    pub(crate) all_are_done: Signal,
    _shown: Shown,
}

/// Classes, so that a round's creators meet in the same hosts.
pub(crate) const CLASSES: [&str; 4] = ["Single", "Apartment", "Free", "Both"];

impl<'r> World<'r> {
    pub(crate) fn new(residents: &'r Residents, drivers: usize, rng: &mut fastrand::Rng) -> Result<Self> {
        let spin = if rng.u8(..8) == 0 { Spin::Never } else { Spin::Adaptive };
        let process = Process::builder().name("round").spin(spin).build();
        let _shown = Shown::new(&process);
        let server = Server::new("desks")
            .class(CLASSES[0], Class::single(Thing::new))
            .class(CLASSES[1], Class::apartment(Thing::new))
            .class(CLASSES[2], Class::free(Shared::in_mta))
            .class(CLASSES[3], Class::both(Shared::free).free_threaded());
        process.register_server(server)?;

        let mut stas = Vec::new();
        let mut targets = Vec::new();
        let mut sta = |name: &str, policy, capacity| -> Result<()> {
            let sta = process.sta(name).reentrancy(policy).capacity(capacity).spawn()?;
            let desk = sta.create(Thing::new)?.cast();
            targets.push(Target {
                desk,
                apartment: Some(sta.apartment().clone()),
                open: policy == Reentrancy::Classic,
            });
            stas.push(sta);
            Ok(())
        };
        sta("main", Reentrancy::Classic, 10_000)?;
        sta("other", Reentrancy::Classic, 10_000)?;
        match rng.u8(..3) {
            0 => sta("same", Reentrancy::SameCausality, 10_000)?,
            1 => sta("none", Reentrancy::None, 10_000)?,
            _ => {}
        }
        let tight = process.sta("tight").capacity(rng.usize(1..8)).spawn()?;
        let tight_desk = tight.create(Thing::new)?.cast();
        stas.push(tight);
        let mta = process.mta().threads(2).spawn()?;
        let in_mta = mta.create(Shared::in_mta)?.cast();
        targets.push(Target { desk: in_mta, apartment: Some(mta.apartment().clone()), open: true });
        targets.push(Target { desk: process.free_threaded(Shared::free())?.cast(), apartment: None, open: true });
        let resident = residents.sta.create(Thing::new)?.cast();
        targets.push(Target { desk: resident, apartment: Some(residents.sta.apartment().clone()), open: false });
        let resident = residents.mta.create(Shared::in_mta)?.cast();
        targets.push(Target { desk: resident, apartment: Some(residents.mta.apartment().clone()), open: false });
        assert!(drivers <= SENDERS);
        Ok(Self {
            targets,
            homes: (0..drivers).map(|_| OnceLock::new()).collect(),
            tight_desk,
            stas,
            mta,
            residents,
            process,
            all_are_there: Barrier::new(drivers),
            at_work: AtomicUsize::new(drivers),
            all_are_done: Signal::manual(),
            _shown,
        })
    }

    /// All that is left ends with the process: the hosts, and the others as well if they have not been let go first.
    pub(crate) fn end(self, let_go_first: bool) -> Result<()> {
        let Self { targets, homes, tight_desk, stas, mta, process, .. } = self;
        let all = (targets, homes, tight_desk, stas, mta);
        let kept = if let_go_first { None } else { Some(all) };
        let ended = process.end(LONG).map_err(|refused| anyhow!("{refused}"))?;
        ensure!(ended.still_in.is_empty(), "still in: {:?}", ended.still_in);
        drop(kept);
        Ok(())
    }

    pub(crate) fn main(&self) -> &Sta {
        &self.stas[0]
    }
}
