//! Channels, of a mutex and a condition variable.

use super::sync::{Arc, Condvar, Mutex};
use std::collections::VecDeque;
use std::time::Instant;

struct Channel<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

struct State<T> {
    queue: VecDeque<T>,
    room: usize,
    senders: usize,
    receivers: usize,
    /// Who waits for this and for others.
    selects: Vec<Select>,
}

impl<T> Channel<T> {
    /// Something has been sent, or will never be.
    fn tell(&self, selects: Vec<Select>) {
        self.changed.notify_all();
        selects.into_iter().for_each(|select| select.told());
    }
}

pub(crate) struct Sender<T>(Arc<Channel<T>>);
pub(crate) struct Receiver<T>(Arc<Channel<T>>);

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct SendError<T>(pub(crate) T);

impl<T> std::fmt::Debug for SendError<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SendError")
    }
}
impl<T> std::fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sender")
    }
}

pub(crate) enum TrySendError<T> {
    Full(T),
    Disconnected(T),
}
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecvError;
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TryRecvError {
    Empty,
    Disconnected,
}

pub(crate) fn unbounded<T>() -> (Sender<T>, Receiver<T>) {
    bounded(usize::MAX)
}

pub(crate) fn bounded<T>(room: usize) -> (Sender<T>, Receiver<T>) {
    let state = Mutex::new(State { queue: VecDeque::new(), room, senders: 1, receivers: 1, selects: Vec::new() });
    let channel = Arc::new(Channel { state, changed: Condvar::new() });
    (Sender(channel.clone()), Receiver(channel))
}

impl<T> Sender<T> {
    pub(crate) fn send(&self, value: T) -> Result<(), SendError<T>> {
        let state = self.0.state.lock().unwrap();
        let full = |state: &mut State<T>| state.receivers > 0 && state.queue.len() >= state.room.max(1);
        let mut state = self.0.changed.wait_while(state, full).unwrap();
        if state.receivers == 0 {
            return Err(SendError(value));
        }
        state.queue.push_back(value);
        self.0.tell(std::mem::take(&mut state.selects));
        Ok(())
    }

    pub(crate) fn try_send(&self, value: T) -> Result<(), TrySendError<T>> {
        let mut state = self.0.state.lock().unwrap();
        if state.receivers == 0 {
            return Err(TrySendError::Disconnected(value));
        }
        if state.queue.len() >= state.room {
            return Err(TrySendError::Full(value));
        }
        state.queue.push_back(value);
        self.0.tell(std::mem::take(&mut state.selects));
        Ok(())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.state.lock().unwrap().queue.is_empty()
    }
}

/// One through which nothing ever comes.
pub(crate) fn never<T>() -> Receiver<T> {
    let (sender, receiver) = unbounded();
    std::mem::forget(sender);
    receiver
}

/// No time comes by itself in a model.
pub(crate) fn at(_: Instant) -> Receiver<Instant> {
    never()
}

/// A wait for several channels.
#[derive(Clone, Default)]
pub(crate) struct Select(Arc<(Mutex<bool>, Condvar)>);

impl Select {
    fn told(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }

    /// Waits until one of the channels that were looked at tells.
    pub(crate) fn wait(&self) {
        let mut told = self.0.1.wait_while(self.0.0.lock().unwrap(), |told| !*told).unwrap();
        *told = false;
    }
}

/// As crossbeam's, in the arms' order if several are ready; a comma is behind each.
macro_rules! select {
    ($(recv($receiver:expr) -> $value:pat => $body:expr),+ $(,)?) => {{
        let select = $crate::meet::Select::default();
        'selected: loop {
            $(
                if let Some($value) = $receiver.look(&select) {
                    let selected = $body;
                    break 'selected selected;
                }
            )+
            select.wait();
        }
    }};
}
pub(crate) use select;

impl<T> Receiver<T> {
    /// What there is; if there is nothing, that is told when it changes.
    pub(crate) fn look(&self, select: &Select) -> Option<Result<T, RecvError>> {
        let mut state = self.0.state.lock().unwrap();
        if state.queue.is_empty() && state.senders > 0 {
            state.selects.push(select.clone());
            return None;
        }
        let value = state.queue.pop_front().ok_or(RecvError);
        drop(state);
        self.0.changed.notify_all();
        Some(value)
    }

    pub(crate) fn recv(&self) -> Result<T, RecvError> {
        let state = self.0.state.lock().unwrap();
        let mut state = self.0.changed.wait_while(state, |state| state.queue.is_empty() && state.senders > 0).unwrap();
        let value = state.queue.pop_front().ok_or(RecvError);
        self.0.changed.notify_all();
        value
    }

    pub(crate) fn try_recv(&self) -> Result<T, TryRecvError> {
        let mut state = self.0.state.lock().unwrap();
        let none = if state.senders > 0 { TryRecvError::Empty } else { TryRecvError::Disconnected };
        let value = state.queue.pop_front().ok_or(none);
        self.0.changed.notify_all();
        value
    }

    pub(crate) fn try_iter(&self) -> impl Iterator<Item = T> {
        std::iter::from_fn(|| self.try_recv().ok())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = T> {
        std::iter::from_fn(|| self.recv().ok())
    }

    pub(crate) fn len(&self) -> usize {
        self.0.state.lock().unwrap().queue.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<T: 'static> IntoIterator for Receiver<T> {
    type Item = T;
    type IntoIter = Box<dyn Iterator<Item = T>>;

    fn into_iter(self) -> Self::IntoIter {
        Box::new(std::iter::from_fn(move || self.recv().ok()))
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.0.state.lock().unwrap().senders += 1;
        Self(self.0.clone())
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        self.0.state.lock().unwrap().receivers += 1;
        Self(self.0.clone())
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock().unwrap();
        state.senders -= 1;
        let selects = std::mem::take(&mut state.selects);
        drop(state);
        self.0.tell(selects);
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock().unwrap();
        state.receivers -= 1;
        let left = if state.receivers == 0 { std::mem::take(&mut state.queue) } else { VecDeque::new() };
        drop(state);
        drop(left);
        self.0.changed.notify_all();
    }
}
