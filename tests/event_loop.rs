//! Rule AP-9 on an event loop that exists: calloop's own thread becomes an STA, and its timers go on during a call it waits
//! for. Its loop cannot run inside itself, which its host has to say.

use apartment::{
    Budget, CallError, CallOptions, Dispatched, Entered, Host, NotWoken, Outcome, Parked, Parking, Process, Signal,
    Wake, wait_any,
};
use calloop::ping::{Ping, make_ping};
use calloop::timer::{TimeoutAction, Timer};
use calloop::{EventLoop, LoopHandle};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

/// calloop's loop, with what its callbacks share.
struct Ui {
    events: RefCell<EventLoop<'static, Shared>>,
    shared: RefCell<Shared>,
    ping: Ping,
}

#[derive(Default)]
struct Shared {
    ticks: usize,
    wakes: usize,
    /// What a timer does besides counting.
    on_tick: Option<Box<dyn FnMut(usize)>>,
}

impl Ui {
    fn new() -> Rc<Self> {
        let events = EventLoop::try_new().unwrap();
        let (ping, woken) = make_ping().unwrap();
        events.handle().insert_source(woken, |(), (), shared: &mut Shared| shared.wakes += 1).unwrap();
        Rc::new(Self { events: RefCell::new(events), shared: RefCell::default(), ping })
    }

    /// A timer that ticks until the loop goes.
    fn tick(handle: &LoopHandle<'static, Shared>, every: Duration) {
        let tick = move |_, _: &mut (), shared: &mut Shared| {
            shared.ticks += 1;
            let ticks = shared.ticks;
            if let Some(on_tick) = &mut shared.on_tick {
                on_tick(ticks);
            }
            TimeoutAction::ToDuration(every)
        };
        handle.insert_source(Timer::from_duration(every), tick).unwrap();
    }

    /// One turn, if the loop is not in the middle of one.
    fn turn(&self, timeout: Option<Duration>) -> Parked {
        let (Ok(mut events), Ok(mut shared)) = (self.events.try_borrow_mut(), self.shared.try_borrow_mut()) else {
            return Parked::Cannot;
        };
        events.dispatch(timeout, &mut shared).unwrap();
        Parked::Looped
    }

    /// The application's loop: calloop's turn, then the apartment's.
    fn run(&self, here: &Entered) {
        loop {
            self.turn(None);
            let Dispatched { quits, .. } = here.dispatch(Budget::default());
            if quits {
                return;
            }
        }
    }
}

/// What the apartment knows of it.
struct Calloop(Rc<Ui>);

impl Host for Calloop {
    fn waker(&self) -> Box<dyn Wake> {
        let ping = self.0.ping.clone();
        Box::new(move || {
            ping.ping();
            Ok::<(), NotWoken>(())
        })
    }

    fn park(&self, parking: &Parking) -> Parked {
        self.0.turn(parking.timeout())
    }
}

/// A thread that is calloop's, and what it does before its loop runs.
fn on_calloop(process: &Process, then: impl FnOnce(&Rc<Ui>, &Entered) + Send + 'static) -> thread::JoinHandle<()> {
    let builder = process.sta("ui");
    thread::spawn(move || {
        let ui = Ui::new();
        let here = builder.host(Calloop(ui.clone())).enter().unwrap();
        then(&ui, &here);
        ui.run(&here);
    })
}

#[test]
fn ap_9_calloop_s_thread_is_called_and_calls() {
    let process = Process::new();
    let (made, given) = channel();
    let ui = on_calloop(&process, move |_, here| made.send(here.create(|| RefCell::new(Vec::new())).unwrap()).unwrap());
    let list = given.recv().unwrap();
    let callers: Vec<_> = (0..4)
        .map(|caller| {
            let list = list.clone();
            thread::spawn(move || (0..50).try_for_each(|n| list.call_mut(|list| list.push((caller, n)))))
        })
        .collect();
    for caller in callers {
        caller.join().unwrap().unwrap();
    }
    let seen = list.call_ref(Vec::clone).unwrap();
    for caller in 0..4 {
        let of_one: Vec<_> = seen.iter().filter(|(who, _)| *who == caller).map(|(_, n)| *n).collect();
        assert_eq!(of_one, (0..50).collect::<Vec<_>>(), "in order");
    }
    list.apartment().unwrap().quit();
    ui.join().unwrap();
    assert!(matches!(list.call_ref(Vec::len), Err(CallError::Disconnected(_))));
}

#[test]
fn ap_9_calloop_s_timers_go_on_during_a_call_it_waits_for() {
    let process = Process::new();
    let worker = process.sta("worker").spawn().unwrap();
    let job = worker.create(|| ()).unwrap();
    let (done, ticked) = channel();
    let ui = on_calloop(&process, move |ui, here| {
        let (enough, ticks) = channel();
        ui.shared.borrow_mut().on_tick = Some(Box::new(move |ticks| {
            if ticks == 5 {
                enough.send(()).unwrap();
            }
        }));
        Ui::tick(&ui.events.borrow().handle(), Duration::from_millis(1));
        let bar = here.create(|| Cell::new(0)).unwrap();
        // The callee reports, and returns when five timers have fired on the thread that waits for it.
        let seen = bar.clone();
        job.call(move |()| {
            seen.call(|bar| bar.set(50)).unwrap();
            ticks.recv().unwrap();
            seen.call(|bar| bar.set(100)).unwrap();
        })
        .unwrap();
        done.send((ui.shared.borrow().ticks, bar.call(Cell::get).unwrap())).unwrap();
        here.apartment().quit();
    });
    let (ticks, bar) = ticked.recv().unwrap();
    assert!(ticks >= 5);
    assert_eq!(bar, 100);
    ui.join().unwrap();
}

#[test]
fn ap_9_calloop_s_timers_go_on_during_a_call_of_a_method_that_it_serves() {
    let process = Process::new();
    let worker = process.sta("worker").spawn().unwrap();
    let job = worker.create(|| ()).unwrap();
    let (made, given) = channel();
    let ui = on_calloop(&process, move |ui, here| {
        Ui::tick(&ui.events.borrow().handle(), Duration::from_millis(1));
        let own = here.create({
            let ui = ui.clone();
            move || ui
        });
        made.send(own.unwrap()).unwrap();
    });
    let own = given.recv().unwrap();
    let (enough, ticks) = channel();
    let ticks = std::sync::Mutex::new(ticks);
    let called = own.call(move |ui| {
        ui.shared.borrow_mut().on_tick = Some(Box::new(move |_| enough.send(()).unwrap_or_default()));
        // Three ticks, all while this method waits.
        let called = job.call(|()| (0..3).for_each(|_| ticks.lock().unwrap().recv().unwrap()));
        ui.shared.borrow_mut().on_tick = None;
        called
    });
    called.unwrap().unwrap();
    own.apartment().unwrap().quit();
    ui.join().unwrap();
}

#[test]
fn ap_9_a_call_from_calloop_s_own_callback_waits_on_the_bell() {
    let process = Process::new();
    let worker = process.sta("worker").spawn().unwrap();
    let job = worker.create(|| ()).unwrap();
    let (done, called) = channel();
    let ui = on_calloop(&process, move |ui, here| {
        let back = here.create(|| Cell::new(0)).unwrap();
        let apartment = here.apartment().clone();
        let call = move |_, _: &mut (), _: &mut Shared| {
            // The loop is in the middle of a turn, and stands still; the apartment serves the callback all the same.
            let seen = back.clone();
            let result = job.call(move |()| seen.call(|n| n.replace(7)));
            done.send((result.unwrap().unwrap(), back.call(Cell::get).unwrap())).unwrap();
            apartment.quit();
            TimeoutAction::Drop
        };
        ui.events.borrow().handle().insert_source(Timer::immediate(), call).unwrap();
    });
    assert_eq!(called.recv().unwrap(), (0, 7));
    ui.join().unwrap();
}

#[test]
fn ap_9_a_deadline_ends_a_wait_inside_calloop_on_a_real_clock() {
    let process = Process::new();
    let worker = process.sta("worker").spawn().unwrap();
    let (held, job) = (worker.create(|| ()).unwrap(), worker.create(|| ()).unwrap());
    let (go, goes) = channel::<()>();
    held.post(move |()| goes.recv().unwrap_or_default()).unwrap();
    let (done, ended) = channel();
    let ui = on_calloop(&process, move |ui, here| {
        Ui::tick(&ui.events.borrow().handle(), Duration::from_millis(1));
        let time = Duration::from_millis(20);
        let (call, began) = (job.with(&CallOptions::new().within(time)).call(|()| ()), Instant::now());
        let wait = wait_any(&[&Signal::auto()], Some(time));
        done.send((call, wait, began.elapsed() >= time, ui.shared.borrow().ticks)).unwrap();
        here.apartment().quit();
    });
    let (call, wait, waited, ticks) = ended.recv().unwrap();
    assert!(matches!(call, Err(CallError::TimedOut { outcome: Outcome::NotStarted })), "{call:?}");
    assert!(matches!(wait, Err(CallError::CallPending)) && waited, "{wait:?}");
    assert!(ticks > 0, "the loop ran meanwhile");
    go.send(()).unwrap();
    ui.join().unwrap();
}
