//! The host apartments of a process, and who is main STA and MTA: what is there, what is being made (rules AP-4, CL-3).
//!
//! All of it is guarded by the process' lock. Each of the three hosts is in one of these states:
//!
//! | state | means | it leaves to | by whom |
//! |---|---|---|---|
//! | `Absent` | there is none | `Starting` | the first creation that needs it (`find`) |
//! | `Starting` | its thread is being started | `Ready` | the host's own thread, before it serves anything (`host_started`) |
//! | | | `Absent` | the same, if it could not settle there; who makes it, if there is no thread, or if meanwhile there is a main STA, or an MTA, of somebody's making |
//! | `Ready` | objects are made in it | `Absent` | its own thread, when it ends (`sta_ended`, `mta_ended`) |
//!
//! Only the step out of `Absent` makes one, and it is taken under the lock: two simultaneous creations make one host. It is
//! the host's thread that says `Ready`, not the creation that began it: that one waits like all others, and an STA pumps in
//! that wait; what it serves then may need the host, and would wait on top of it for what it alone could say.
//!
//! A host that could not be made leaves nothing behind, everybody who waited for it is told why, and the next creation
//! tries anew.

use super::Process;
use super::coming::Coming;
use crate::error::CallError;
use crate::mailbox::Mailbox;
use crate::sync::{Arc, Bell, Weak};
use std::any::Any;
use std::error::Error as StdError;

/// Makes the guard around a thread's life; what it fails with, the start of the thread fails with.
pub(crate) type Hook = Arc<dyn Fn() -> Result<Box<dyn Any>, Box<dyn StdError + Send + Sync>> + Send + Sync>;

/// A hook of the user's, whatever its guard and error are.
pub(crate) fn hook<G: 'static, E: Into<Box<dyn StdError + Send + Sync>>>(
    make: impl Fn() -> Result<G, E> + Send + Sync + 'static,
) -> Hook {
    Arc::new(move || match make() {
        Ok(guard) => Ok(Box::new(guard)),
        Err(error) => Err(error.into()),
    })
}

/// What was said of a process' host apartments where it was made.
#[derive(Clone, Default)]
pub(crate) struct HostOptions {
    pub(crate) hook: Option<Hook>,
    pub(crate) stack_size: Option<usize>,
}

/// Which host apartment, by what it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Host {
    /// For objects of Apartment classes that are not created in an STA.
    Sta,
    /// For objects of Free and Both classes, while there is no MTA.
    Mta,
    /// For objects of Single classes, while there is no main STA.
    Main,
}

/// See the table above.
#[derive(Default)]
enum Slot {
    #[default]
    Absent,
    Starting {
        coming: Arc<Coming>,
        /// Known as soon as it has a name.
        mailbox: Option<Arc<Mailbox>>,
    },
    Ready(Arc<Mailbox>),
}

impl Slot {
    fn coming(&self) -> Option<&Arc<Coming>> {
        match self {
            Self::Starting { coming, .. } => Some(coming),
            _ => None,
        }
    }

    fn is_starting(&self, other: &Arc<Mailbox>) -> bool {
        matches!(self, Self::Starting { mailbox: Some(mailbox), .. } if Arc::ptr_eq(mailbox, other))
    }

    fn is_ready(&self, other: &Arc<Mailbox>) -> bool {
        matches!(self, Self::Ready(mailbox) if Arc::ptr_eq(mailbox, other))
    }

    /// Empties it if that apartment stands in it.
    fn vacate(&mut self, ended: &Arc<Mailbox>) -> Option<Self> {
        self.is_ready(ended).then(|| std::mem::take(self))
    }
}

/// The places that apartments of a process can take.
#[derive(Default)]
pub(super) struct Places {
    main: Option<Arc<Mailbox>>,
    mta: Weak<Mailbox>,
    host_sta: Slot,
    host_mta: Slot,
    host_main: Slot,
    /// Rung when an apartment leaves its place, and when the process ends.
    watching: Vec<Arc<Bell>>,
}

/// Where the apartment is that a creation needs.
pub(crate) enum Found {
    There(Arc<Mailbox>),
    /// It is being made: wait, and look again.
    Comes(Arc<Coming>),
    /// There is none: make it, say so with [`Process::host_started`], wait, and look again.
    Make(Arc<Coming>),
}

impl Places {
    fn slot(&mut self, host: Host) -> &mut Slot {
        match host {
            Host::Sta => &mut self.host_sta,
            Host::Mta => &mut self.host_mta,
            Host::Main => &mut self.host_main,
        }
    }

    fn find(&mut self, host: Host) -> Found {
        if let Some(coming) = self.slot(host).coming() {
            return Found::Comes(Arc::clone(coming));
        }
        let there = match host {
            Host::Main => {
                // A host STA that is being made is the main STA if there is no other (rule AP-4).
                let main = self.main.as_ref();
                if let Some(coming) = self.host_sta.coming()
                    && main.is_none_or(|main| self.host_sta.is_starting(main))
                {
                    return Found::Comes(Arc::clone(coming));
                }
                main.cloned()
            }
            Host::Mta => self.mta.upgrade(),
            Host::Sta => match &self.host_sta {
                Slot::Ready(mailbox) => Some(Arc::clone(mailbox)),
                _ => None,
            },
        };
        if let Some(there) = there {
            return Found::There(there);
        }
        let coming = Coming::new();
        *self.slot(host) = Slot::Starting { coming: Arc::clone(&coming), mailbox: None };
        Found::Make(coming)
    }

    fn has(&self, mailbox: &Arc<Mailbox>) -> bool {
        self.main.as_ref().is_some_and(|main| Arc::ptr_eq(main, mailbox))
            || std::ptr::eq(self.mta.as_ptr(), Arc::as_ptr(mailbox))
            || self.host_sta.is_ready(mailbox)
    }

    /// A host has a name. Says whether it takes the place that it is for: another may have been quicker.
    fn host_began(&mut self, host: Host, mailbox: &Arc<Mailbox>) -> bool {
        let taken = match host {
            Host::Sta => false,
            Host::Mta => self.mta.upgrade().is_some(),
            Host::Main => self.main.is_some(),
        };
        if let (false, Slot::Starting { mailbox: known, .. }) = (taken, self.slot(host)) {
            *known = Some(Arc::clone(mailbox));
        }
        !taken
    }
}

impl Process {
    /// An STA was made: the first is the main STA (rule AP-4). Says whether it is.
    pub(crate) fn sta_began(&self, mailbox: &Arc<Mailbox>) -> bool {
        let places = &mut self.0.state.lock().places;
        let first = places.main.is_none();
        if first {
            places.main = Some(Arc::clone(mailbox));
        }
        first
    }

    /// A host STA was made. Says whether it is the main STA; nothing if it was to be, and there is another meanwhile.
    pub(crate) fn host_sta_began(&self, host: Host, mailbox: &Arc<Mailbox>) -> Option<bool> {
        let places = &mut self.0.state.lock().places;
        let first = places.main.is_none();
        if !places.host_began(host, mailbox) {
            return None;
        }
        if first {
            places.main = Some(Arc::clone(mailbox));
        }
        Some(first)
    }

    /// An STA ended. If it was the main one, there is none until the next is made.
    pub(crate) fn sta_ended(&self, mailbox: &Arc<Mailbox>) {
        let mut state = self.0.state.lock();
        let places = &mut state.places;
        let main = places.main.take_if(|main| Arc::ptr_eq(main, mailbox));
        let hosts = [places.host_sta.vacate(mailbox), places.host_main.vacate(mailbox)];
        let watching = std::mem::take(&mut places.watching);
        drop(state);
        // With the lock released.
        drop((main, hosts));
        for bell in watching {
            bell.ring();
        }
    }

    pub(crate) fn main_mailbox(&self) -> Option<Arc<Mailbox>> {
        self.0.state.lock().places.main.clone()
    }

    /// The MTA, if there is one.
    pub(crate) fn mta_mailbox(&self) -> Option<Arc<Mailbox>> {
        self.0.state.lock().places.mta.upgrade()
    }

    /// Puts a new MTA in the place for it (rule AP-1: at most one). False if there is one already.
    pub(crate) fn mta_began(&self, mailbox: &Arc<Mailbox>) -> bool {
        let places = &mut self.0.state.lock().places;
        let free =
            if mailbox.is_host() { places.host_began(Host::Mta, mailbox) } else { places.mta.upgrade().is_none() };
        if free {
            places.mta = Arc::downgrade(mailbox);
            self.0.common.set_mta(Some(mailbox.name.id));
        }
        free
    }

    /// The MTA ended: the place is free.
    pub(crate) fn mta_ended(&self, mailbox: &Arc<Mailbox>) {
        let mut state = self.0.state.lock();
        let places = &mut state.places;
        if std::ptr::eq(places.mta.as_ptr(), Arc::as_ptr(mailbox)) {
            places.mta = Weak::new();
            self.0.common.set_mta(None);
        }
        let host = places.host_mta.vacate(mailbox);
        let watching = std::mem::take(&mut places.watching);
        drop(state);
        drop(host);
        for bell in watching {
            bell.ring();
        }
    }

    /// Where the apartment is in which objects go that are not made where their creator is.
    pub(crate) fn find(&self, host: Host) -> Found {
        self.0.state.lock().places.find(host)
    }

    /// Whether that host is what is coming.
    pub(crate) fn starts(&self, mailbox: &Arc<Mailbox>, coming: &Arc<Coming>) -> bool {
        let places = &self.0.state.lock().places;
        let slots = [&places.host_sta, &places.host_mta, &places.host_main];
        let is = |slot: &&Slot| slot.is_starting(mailbox) && slot.coming().is_some_and(|its| Arc::ptr_eq(its, coming));
        slots.iter().any(is)
    }

    /// How a host's start ended: it is there now, or there is none. Then everybody who waits for it is told.
    pub(crate) fn host_started(&self, host: Host, outcome: Result<(), CallError>) {
        let mut state = self.0.state.lock();
        let slot = state.places.slot(host);
        let Slot::Starting { coming, mailbox } = std::mem::take(slot) else {
            crate::broken("a host that has started was being started")
        };
        if let (Ok(()), Some(mailbox)) = (&outcome, &mailbox) {
            *slot = Slot::Ready(Arc::clone(mailbox));
        }
        drop(state);
        drop(mailbox);
        coming.settle(outcome);
    }

    /// Whether an apartment has left its place, or need not be waited for, since the process makes nothing new any more;
    /// if not, the bell is rung when that changes.
    pub(crate) fn has_left(&self, mailbox: &Arc<Mailbox>, bell: &Arc<Bell>) -> bool {
        let mut state = self.0.state.lock();
        let places = &mut state.places;
        let has_left = !places.has(mailbox);
        if !has_left && !places.watching.iter().any(|watching| Arc::ptr_eq(watching, bell)) {
            places.watching.push(Arc::clone(bell));
        }
        drop(state);
        // Who ends the process says so before it reads the list.
        has_left || self.common().makes().is_err()
    }

    /// The process makes nothing new any more: whoever waits for a place is to look again.
    pub(super) fn wake_watching(&self) {
        let watching = std::mem::take(&mut self.0.state.lock().places.watching);
        for bell in watching {
            bell.ring();
        }
    }

    /// Whether that is the main STA.
    pub(crate) fn is_main(&self, mailbox: &Arc<Mailbox>) -> bool {
        self.0.state.lock().places.main.as_ref().is_some_and(|main| Arc::ptr_eq(main, mailbox))
    }

    pub(crate) fn host_options(&self) -> HostOptions {
        self.0.hosts.clone()
    }
}
