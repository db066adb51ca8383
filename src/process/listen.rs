//! Listening late, and looking: what is asked of all apartments of a process, one after the other.

use super::Process;
use crate::diagnose::{ListenerId, Recording, Snapshot, Subscription};

impl Process {
    /// Records its events from now on, up to that many (rule DG-2). It begins with a prologue: what is there now, told as the
    /// events that would have said it. Several recordings can go on side by side; this one ends when its last clone is
    /// dropped. Waits for nobody.
    ///
    /// ```
    /// use apartment::{Process, What};
    ///
    /// let process = Process::new();
    /// let sta = process.sta("db").spawn()?;
    /// let recording = process.record(1_000);
    /// sta.create(|| 7)?;
    /// let events = recording.events();
    /// assert!(matches!(&events[0].what, What::ApartmentBegan { name, .. } if &**name == "db"));
    /// assert!(events.iter().any(|event| matches!(event.what, What::ObjectMade { .. })));
    /// # Ok::<(), apartment::Error>(())
    /// ```
    pub fn record(&self, bound: usize) -> Recording {
        let recording = Recording::begin(&self.common().recorder, bound, true);
        self.join(recording.id());
        recording
    }

    /// Its events as they happen, from now on, through a channel of that capacity (rule DG-2). It begins with a prologue, as a
    /// [recording](Process::record) does. What finds the channel full is dropped and counted. Waits for nobody, and nobody
    /// waits for who reads it.
    ///
    /// # Panics
    /// If the capacity is 0.
    pub fn subscribe(&self, capacity: usize) -> Subscription {
        let subscription = Subscription::begin(&self.common().recorder, capacity);
        self.join(subscription.id());
        subscription
    }

    /// The listener has been put on the list before this (see `diagnose/recorder.rs`).
    fn join(&self, listener: ListenerId) {
        for mailbox in self.apartments() {
            mailbox.join(listener);
        }
        self.common().recorder.joined(listener);
    }

    /// What its apartments do now (rule DG-1): what each executes and since when, what is queued, what its threads wait for,
    /// and who waits for whom. Nothing is stopped: the apartments are looked at one after the other, each under its own lock
    /// for as long as it takes to copy what there is; so a call that moves meanwhile may be seen twice, or not at all.
    /// Waits for nobody, and can be taken anywhere: in a filter, in a destructor, and above all from outside, when a program
    /// is stuck.
    ///
    /// ```
    /// use apartment::Process;
    ///
    /// let process = Process::new();
    /// let (office, bank) = (process.sta("office").spawn()?, process.sta("bank").spawn()?);
    /// let (clerk, account) = (office.create(|| ())?, bank.create(|| 10)?);
    /// // Taken in the bank, while the office waits for it.
    /// let snapshot = clerk.call(|()| account.call(|_| process.snapshot()))??;
    /// let waits = snapshot.waits_for_whom();
    /// assert_eq!((waits.len(), waits[1].to.to_string()), (2, "apartment \"bank\"".to_owned()));
    /// println!("{snapshot}");
    /// # Ok::<(), apartment::Error>(())
    /// ```
    pub fn snapshot(&self) -> Snapshot {
        let clock = self.clock();
        // The list's lock is released before the first of the apartments' is taken.
        let apartments = self.apartments().iter().filter_map(|mailbox| mailbox.seen()).collect();
        Snapshot { process: self.common().name.clone(), at: clock.now(), apartments }
    }
}
