//! What the programs written by hand ask of their channels, so that both kinds run the same code.

/// A kind of bounded channel.
pub(crate) trait Channels: 'static {
    type Sender<T: Send + 'static>: Clone + Send + 'static;
    type Receiver<T: Send + 'static>: Send + 'static;

    fn bounded<T: Send + 'static>(capacity: usize) -> (Self::Sender<T>, Self::Receiver<T>);

    /// Sends without waiting: no program here may ever fill its channel.
    fn send<T: Send + 'static>(to: &Self::Sender<T>, message: T);

    /// Waits for a message; none once all senders are gone.
    fn receive<T: Send + 'static>(from: &Self::Receiver<T>) -> Option<T>;
}

/// `std::sync::mpsc`.
pub(crate) struct Std;

impl Channels for Std {
    type Sender<T: Send + 'static> = std::sync::mpsc::SyncSender<T>;
    type Receiver<T: Send + 'static> = std::sync::mpsc::Receiver<T>;

    fn bounded<T: Send + 'static>(capacity: usize) -> (Self::Sender<T>, Self::Receiver<T>) {
        std::sync::mpsc::sync_channel(capacity)
    }

    fn send<T: Send + 'static>(to: &Self::Sender<T>, message: T) {
        assert!(to.try_send(message).is_ok(), "the channel has room, and its receiver lives");
    }

    fn receive<T: Send + 'static>(from: &Self::Receiver<T>) -> Option<T> {
        from.recv().ok()
    }
}

/// `crossbeam-channel`.
pub(crate) struct Crossbeam;

impl Channels for Crossbeam {
    type Sender<T: Send + 'static> = crossbeam_channel::Sender<T>;
    type Receiver<T: Send + 'static> = crossbeam_channel::Receiver<T>;

    fn bounded<T: Send + 'static>(capacity: usize) -> (Self::Sender<T>, Self::Receiver<T>) {
        crossbeam_channel::bounded(capacity)
    }

    fn send<T: Send + 'static>(to: &Self::Sender<T>, message: T) {
        assert!(to.try_send(message).is_ok(), "the channel has room, and its receiver lives");
    }

    fn receive<T: Send + 'static>(from: &Self::Receiver<T>) -> Option<T> {
        from.recv().ok()
    }
}
