//! Input-synchronized calls across each other, and an event loop's own thread.

use super::Scenario;
use super::common::{Count, join, start};
use crate::seen::saw;
use apartment::{
    Apartment, Budget, CallError, Host, NotWoken, Parked, Parking, Process, Proxy, Reentrancy, Wake, implements,
    interface,
};
use shuttle::sync::{Condvar, Mutex};
use std::cell::{Cell, RefCell};
use std::sync::Arc;

pub(super) const ALL: &[Scenario] = &[
    Scenario {
        name: "crossing_input_synchronized_calls",
        threads: 6,
        rules: "CK-3, DI-12, MB-6",
        outcomes: &["ahead of a post", "behind the posts"],
        program: crossing_input_synchronized_calls,
    },
    Scenario {
        name: "loop_of_somebody_else",
        threads: 8,
        rules: "AP-9, MB-8, DI-3",
        outcomes: &["woken for many", "woken for each"],
        program: loop_of_somebody_else,
    },
];

interface! {
    trait Desk {
        fn focus(&self, inside: &mut (dyn FnMut(usize) + Send)) -> Result<(), CallError> as input_sync;
    }
}

struct Table {
    number: usize,
    focused: Cell<usize>,
    posted: Cell<usize>,
}

impl Desk for Table {
    fn focus(&self, inside: &mut (dyn FnMut(usize) + Send)) -> Result<(), CallError> {
        self.focused.set(self.focused.get() + 1);
        if self.focused.get() > self.posted.get() {
            saw("ahead of a post");
        } else {
            saw("behind the posts");
        }
        inside(self.number);
        Ok(())
    }
}

implements!(Table: dyn Desk);

/// Six STAs that let nobody in: each posts to all others and focuses them in its own order, all at once.
fn crossing_input_synchronized_calls() {
    const SIZE: usize = 6;
    let process = Process::new();
    let seats: Arc<std::sync::Mutex<Vec<Option<Proxy<Table>>>>> = Arc::new(std::sync::Mutex::new(vec![None; SIZE]));
    let all_sit = Arc::new(shuttle::sync::Barrier::new(SIZE));
    let done = Count::default();
    let member = move |number: usize| {
        let here = process.sta("member").reentrancy(Reentrancy::None).enter().unwrap();
        let table = here.create(|| Table { number, focused: Cell::new(0), posted: Cell::new(0) }).unwrap();
        let own = table.local().unwrap();
        seats.lock().unwrap()[number] = Some(table);
        all_sit.wait();
        let others: Vec<_> = seats.lock().unwrap().iter().map(|seat| seat.clone().unwrap()).collect();
        for at in [number + 1, number + 2] {
            let other = &others[at % SIZE];
            other.post(|table| table.posted.set(table.posted.get() + 1)).unwrap();
            let mut seen = None;
            other.cast::<dyn Desk>().focus(&mut |number| seen = Some(number)).unwrap();
            assert_eq!(seen, Some(at % SIZE));
        }
        if done.add() == SIZE {
            seats.lock().unwrap().clear();
            let apartments: Vec<Apartment> = others.iter().map(|other| other.apartment().unwrap()).collect();
            apartments.iter().for_each(Apartment::quit);
        }
        drop(others);
        here.run();
        assert_eq!((own.focused.get(), own.posted.get()), (2, 2));
    };
    let others = start(SIZE - 1, {
        let member = member.clone();
        move |number| member(number + 1)
    });
    member(0);
    join(others);
}

/// A loop that sleeps until somebody wakes it.
#[derive(Clone, Default)]
struct Loop(Arc<(Mutex<bool>, Condvar)>);

impl Loop {
    fn until_woken(&self) {
        let mut woken = self.0.0.lock().unwrap();
        while !std::mem::take(&mut *woken) {
            woken = self.0.1.wait(woken).unwrap();
        }
    }
}

impl Host for Loop {
    fn waker(&self) -> Box<dyn Wake> {
        let Self(own) = self.clone();
        Box::new(move || {
            *own.0.lock().unwrap() = true;
            own.1.notify_all();
            Ok::<(), NotWoken>(())
        })
    }

    fn park(&self, _: &Parking) -> Parked {
        self.until_woken();
        Parked::Looped
    }
}

/// Five post to a loop's thread and one calls it, while it dispatches when it is woken, and calls out in between.
fn loop_of_somebody_else() {
    const POSTERS: usize = 5;
    let process = Process::new();
    let own = Loop::default();
    let ui = process.sta("ui").host(own.clone()).enter().unwrap();
    let worker = process.sta("worker").spawn().unwrap();
    let job = worker.create(|| ()).unwrap();
    let here = ui.create(|| RefCell::new(Vec::new())).unwrap();
    let local = here.local().unwrap();
    let posters = start(POSTERS, {
        let here = here.clone();
        move |number| {
            for post in 0..2 {
                here.post(move |order| order.borrow_mut().push((number, post))).unwrap();
            }
        }
    });
    let caller = start(1, {
        let here = here.clone();
        move |_| here.call(|order| order.borrow_mut().push((POSTERS, 0))).unwrap()
    });
    let mut woken = 0;
    // Looked at without the library, which would look at the mailbox.
    while local.borrow().len() < POSTERS * 2 + 1 {
        own.until_woken();
        woken += 1;
        let _ = ui.dispatch(Budget::ALL);
        if woken == 1 {
            job.call(|()| ()).unwrap();
        }
    }
    join(posters);
    join(caller);
    for number in 0..POSTERS {
        let order = local.borrow();
        let own = order.iter().filter(|(from, _)| *from == number).map(|(_, post)| *post);
        assert!(own.eq(0..2), "{order:?}");
    }
    saw(if woken < POSTERS { "woken for many" } else { "woken for each" });
    drop(job);
    drop(worker);
}
