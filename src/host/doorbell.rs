//! The ready-made host: a channel that the loop's `select!` waits on.

use super::{Host, NotWoken, Parked, Parking, Wake};
use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use std::fmt;

/// A [`Host`] for loops that wait on crossbeam's channels: what there is to serve rings at a receiver.
///
/// While this thread waits for a call the wait serves the apartment, and the loop's other channels wait, unless
/// [`turning`](Doorbell::turning) says how the loop takes a turn.
///
/// ```
/// use apartment::{Budget, Doorbell, Sta};
/// use crossbeam_channel::{select, unbounded};
///
/// let (doorbell, rings) = Doorbell::new();
/// let ui = Sta::builder("ui").host(doorbell).enter()?;
/// let shown = ui.create(|| std::cell::Cell::new(0))?;
///
/// let (keys, pressed) = unbounded();
/// let remote = shown.clone();
/// std::thread::spawn(move || {
///     remote.call(|shown| shown.set(100))?;                          // waits for the loop below
///     keys.send('q').unwrap();
///     Ok::<(), apartment::Error>(())
/// });
/// loop {
///     select! {
///         recv(rings) -> _ => if ui.dispatch(Budget::default()).quits { break },
///         recv(pressed) -> _key => break,
///     }
/// }
/// assert_eq!(shown.call(|shown| shown.get())?, 100);
/// # Ok::<(), apartment::Error>(())
/// ```
pub struct Doorbell {
    button: Sender<()>,
    turn: Option<Turn>,
}

/// How the loop takes a turn.
type Turn = Box<dyn Fn(&Parking) -> Parked>;

impl Doorbell {
    /// A doorbell, and where it rings: received from, it is to be answered by a [`dispatch`](crate::dispatch()).
    pub fn new() -> (Self, Receiver<()>) {
        let (button, rings) = bounded(1);
        (Self { button, turn: None }, rings)
    }

    /// How the loop takes a turn while this thread waits; see [`Host::park`].
    #[must_use]
    pub fn turning(self, turn: impl Fn(&Parking) -> Parked + 'static) -> Self {
        Self { turn: Some(Box::new(turn)), ..self }
    }
}

impl Host for Doorbell {
    fn waker(&self) -> Box<dyn Wake> {
        let button = self.button.clone();
        Box::new(move || match button.try_send(()) {
            // A ring that is still there will be heard.
            Ok(()) | Err(TrySendError::Full(())) => Ok(()),
            Err(TrySendError::Disconnected(())) => Err(NotWoken),
        })
    }

    fn park(&self, parking: &Parking) -> Parked {
        self.turn.as_ref().map_or(Parked::Cannot, |turn| turn(parking))
    }
}

impl fmt::Debug for Doorbell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Doorbell").field("turning", &self.turn.is_some()).finish_non_exhaustive()
    }
}
