//! The same jobs by hand: threads, channels, and a message type for each program. No more than is needed: an error, a
//! panic or an end is nobody's business here.

use crate::channels::Channels;
use std::sync::{Arc, Mutex};
use std::thread;

/// As many entries as an apartment's mailbox has room for.
const CAPACITY: usize = 10_000;

/// What can be asked of a counter's thread.
enum Request<C: Channels> {
    Add { reply: C::Sender<u64> },
    AddSilently,
}

/// A thread that owns a counter.
pub(crate) struct Counter<C: Channels> {
    requests: C::Sender<Request<C>>,
    reply: (C::Sender<u64>, C::Receiver<u64>),
}

impl<C: Channels> Counter<C> {
    pub(crate) fn spawn() -> Self {
        let (requests, inbox) = C::bounded(CAPACITY);
        thread::spawn(move || {
            let mut sum = 0;
            while let Some(request) = C::receive(&inbox) {
                sum += 1;
                match request {
                    Request::Add { reply } => C::send(&reply, sum),
                    Request::AddSilently => {}
                }
            }
        });
        Self { requests, reply: C::bounded(1) }
    }

    /// With a reply channel made for this call.
    pub(crate) fn add_once(&self) -> u64 {
        let (reply, answer) = C::bounded(1);
        C::send(&self.requests, Request::Add { reply });
        C::receive(&answer).expect("the counter's thread answers")
    }

    /// With the reply channel that this caller keeps for all its calls.
    pub(crate) fn add(&self) -> u64 {
        C::send(&self.requests, Request::Add { reply: self.reply.0.clone() });
        C::receive(&self.reply.1).expect("the counter's thread answers")
    }

    pub(crate) fn add_silently(&self) {
        C::send(&self.requests, Request::AddSilently);
    }
}

/// What one of two threads that call each other gets from the other.
enum Message {
    Call { nested: u32 },
    Reply(u64),
}

/// One of two threads that call each other. It has a single inbox for calls and replies, so that it can serve a call
/// while it waits for a reply.
pub(crate) struct Partner<C: Channels> {
    sum: u64,
    inbox: C::Receiver<Message>,
    other: C::Sender<Message>,
}

impl<C: Channels> Partner<C> {
    /// The partner that the calling thread plays; the other one gets a thread.
    pub(crate) fn spawn() -> Self {
        let (to_here, here) = C::bounded(CAPACITY);
        let (to_there, there) = C::bounded(CAPACITY);
        thread::spawn(move || {
            let mut partner = Partner::<C> { sum: 0, inbox: there, other: to_here };
            while let Some(message) = C::receive(&partner.inbox) {
                partner.got(message);
            }
        });
        Self { sum: 0, inbox: here, other: to_there }
    }

    /// Calls the other one, which calls back, and so on: that many calls inside this one.
    pub(crate) fn call(&mut self, nested: u32) -> u64 {
        C::send(&self.other, Message::Call { nested });
        loop {
            let message = C::receive(&self.inbox).expect("the other thread answers");
            if let Some(reply) = self.got(message) {
                return reply;
            }
        }
    }

    fn got(&mut self, message: Message) -> Option<u64> {
        match message {
            Message::Reply(reply) => Some(reply),
            Message::Call { nested } => {
                let reply = match nested.checked_sub(1) {
                    Some(nested) => self.call(nested),
                    None => {
                        self.sum += 1;
                        self.sum
                    }
                };
                C::send(&self.other, Message::Reply(reply));
                None
            }
        }
    }
}

/// A pool of threads that share a counter and a queue; their caller keeps one channel for replies.
pub(crate) struct Pool<C: Channels> {
    requests: C::Sender<C::Sender<u64>>,
    reply: (C::Sender<u64>, C::Receiver<u64>),
}

impl<C: Channels> Pool<C> {
    pub(crate) fn spawn(threads: usize) -> Self {
        let (requests, inbox) = C::bounded::<C::Sender<u64>>(CAPACITY);
        let shared = Arc::new((Mutex::new(inbox), Mutex::new(0)));
        for _ in 0..threads {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                let (inbox, sum) = &*shared;
                // The lock ends with this statement: another thread may take the next request meanwhile.
                let next = || C::receive(&inbox.lock().unwrap());
                while let Some(reply) = next() {
                    let sum = {
                        let mut sum = sum.lock().unwrap();
                        *sum += 1;
                        *sum
                    };
                    C::send(&reply, sum);
                }
            });
        }
        Self { requests, reply: C::bounded(1) }
    }

    pub(crate) fn add(&self) -> u64 {
        C::send(&self.requests, self.reply.0.clone());
        C::receive(&self.reply.1).expect("a thread of the pool answers")
    }
}
