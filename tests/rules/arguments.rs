//! CK-6: references as arguments and results of an interface's methods. What is to be seen of it is seen under strict
//! rules (ST-2), where a reference works only in the apartment that it was marshalled to.

use crate::stage::play;
use apartment::{
    CallError, Clock, Marshal, Marshaller, Mta, Outcome, Process, Proxy, Sta, WeakProxy, What, implements, interface,
};
use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet, LinkedList, VecDeque};
use std::error::Error;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, Sender, channel};

type Sink = Proxy<dyn Put>;
type Result<T = (), E = CallError> = std::result::Result<T, E>;

interface! {
    trait Put {
        fn put(&self, many: u32) -> Result;
        fn drip(&self) -> Result as one_way;
    }

    /// Each method puts 1 into each sink that it gets.
    trait Server {
        fn lent(&self, sink: &Sink) -> Result;
        fn owned(&self, sink: Sink) -> Result;
        fn lent_or_not(&self, sink: Option<&Sink>, other: Option<&Sink>) -> Result;
        fn owned_or_not(&self, sink: Option<Sink>) -> Result;
        fn slice(&self, sinks: &[Sink]) -> Result;
        fn vector(&self, sinks: Vec<Sink>) -> Result;
        #[expect(clippy::needless_lifetimes, reason = "that they are named makes no difference")]
        fn named<'a, 'b>(&self, one: &'a Sink, other: Option<&'b Sink>) -> Result;
        fn job(&self, job: Job, again: &Job) -> Result;
        fn tree(&self, tree: &Tree<Sink>) -> Result;
        fn everything(&self, all: Box<Everything>) -> Result<u32>;
        fn weak(&self, sink: WeakProxy<dyn Put>, gone: &WeakProxy<dyn Put>) -> Result;
        fn is_home(&self, sink: &Sink) -> Result<bool>;

        /// Takes the first out and puts one of its own in.
        fn changed(&self, sinks: &mut Vec<Sink>) -> Result;
        /// The same, and then panics.
        fn panics(&self, sinks: &mut Vec<Sink>) -> Result;
        fn changed_or_not(&self, sink: &mut Option<Sink>) -> Result;
        fn changed_if_there(&self, sink: Option<&mut Sink>, more: Option<&mut [Sink]>) -> Result;
        fn slice_changed(&self, sinks: &mut [Sink]) -> Result;

        fn gives(&self) -> Result<Sink>;
        fn gives_many(&self) -> Result<HashMap<String, (Sink, u32)>>;
        fn gives_back(&self, sink: &Sink) -> Result<Option<Sink>>;
        fn fails_with(&self) -> Result<(), Failed>;

        fn hidden(&self, hidden: Hidden) -> Result;
        fn gives_hidden(&self) -> Result<Sink>;
        fn changes_to_hidden(&self, sink: &mut Sink) -> Result;

        fn sent(&self, sink: &Sink, more: Vec<Sink>, other: Option<&Sink>, job: &Job) -> Result as one_way;
    }

    trait Counts {
        fn plain(&self, plain: &Counted<false>) -> Result;
        fn references(&self, references: &Counted<true>) -> Result;
        fn neither(&self, neither: &AtomicU32) -> Result;
        fn owned(&self, owned: Counted<true>) -> Result;
        fn changed(&self, changed: &mut Counted<true>) -> Result;
        fn stubborn(&self, stubborn: Stubborn) -> Result;
        fn gives(&self, refuses_at: u32) -> Result<Stubborn>;
        fn sent(&self, stubborn: Stubborn) -> Result as one_way;
    }
}

struct Bowl(Arc<AtomicU32>);

impl Put for Bowl {
    fn put(&self, many: u32) -> Result {
        self.0.fetch_add(many, Relaxed);
        Ok(())
    }

    fn drip(&self) -> Result {
        self.put(1)
    }
}

implements!(Bowl: dyn Put);

#[derive(Clone, Marshal)]
struct Job {
    name: &'static str,
    sinks: Vec<Sink>,
    last: Option<(u8, Box<Sink>)>,
}

#[derive(Clone, Marshal)]
enum Tree<T> {
    Empty,
    Leaf(T),
    Node { left: Box<Tree<T>>, right: Vec<Tree<T>> },
}

impl Tree<Sink> {
    fn put(&self) -> Result {
        match self {
            Tree::Empty => Ok(()),
            Tree::Leaf(sink) => sink.put(1),
            Tree::Node { left, right } => {
                left.put()?;
                right.iter().try_for_each(Tree::put)
            }
        }
    }
}

/// Whatever of the standard library can hold a reference.
#[derive(Clone, Marshal)]
struct Everything {
    result: [std::result::Result<Sink, Sink>; 2],
    queue: VecDeque<Sink>,
    list: LinkedList<Sink>,
    boxed: Box<[Sink]>,
    array: [Sink; 2],
    by_name: HashMap<String, Sink>,
    by_number: BTreeMap<u8, Sink>,
    keys: HashMap<Sink, u8>,
    set: HashSet<Sink>,
    ordered_keys: BTreeMap<Ordered, u8>,
    ordered: BTreeSet<Ordered>,
    heap: BinaryHeap<Ordered>,
    cow: Cow<'static, [Sink]>,
    bounds: (Bound<Sink>, Bound<Sink>),
    ranges: (std::ops::Range<Sink>, std::ops::RangeInclusive<Sink>),
    half: (std::ops::RangeFrom<Sink>, std::ops::RangeTo<Sink>),
    twelve: (u8, u8, u8, u8, u8, u8, u8, u8, u8, u8, u8, Sink),
    none: Option<Sink>,
}

/// A reference in an order.
#[derive(Clone, Marshal)]
struct Ordered(u8, Sink);

impl PartialEq for Ordered {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for Ordered {}

impl PartialOrd for Ordered {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Ordered {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.cmp(&other.0)
    }
}

impl Everything {
    fn of(sink: &Sink) -> Self {
        let one = || sink.clone();
        let ordered = |n| Ordered(n, one());
        Self {
            result: [Ok(one()), Err(one())],
            queue: [one()].into(),
            list: [one()].into(),
            boxed: [one()].into(),
            array: [one(), one()],
            by_name: [("one".into(), one())].into(),
            by_number: [(1, one())].into(),
            keys: [(one(), 1)].into(),
            set: [one()].into(),
            ordered_keys: [(ordered(1), 1), (ordered(2), 2)].into(),
            ordered: [ordered(1), ordered(2)].into(),
            heap: [ordered(1), ordered(2)].into(),
            cow: Cow::Owned(vec![one()]),
            bounds: (Bound::Included(one()), Bound::Excluded(one())),
            ranges: (one()..one(), one()..=one()),
            half: (one().., ..one()),
            twelve: (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, one()),
            none: None,
        }
    }

    fn sinks(&self) -> Vec<&Sink> {
        let mut all: Vec<&Sink> =
            self.result.iter().map(|result| result.as_ref().unwrap_or_else(|sink| sink)).collect();
        all.extend(self.queue.iter().chain(&self.list).chain(&self.boxed).chain(&self.array));
        all.extend(self.by_name.values().chain(self.by_number.values()).chain(self.keys.keys()).chain(&self.set));
        let ordered = self.ordered_keys.keys().chain(&self.ordered).chain(&self.heap);
        all.extend(ordered.map(|ordered| &ordered.1));
        all.extend(self.cow.iter());
        for bound in [&self.bounds.0, &self.bounds.1] {
            if let Bound::Included(sink) | Bound::Excluded(sink) = bound {
                all.push(sink);
            }
        }
        all.extend([&self.ranges.0.start, &self.ranges.0.end, self.ranges.1.start(), self.ranges.1.end()]);
        all.extend([&self.half.0.start, &self.half.1.end, &self.twelve.11]);
        all.extend(&self.none);
        all
    }
}

/// Does not say that it holds a reference.
struct Hidden(Sink);

#[derive(Debug, Clone, Marshal)]
struct Failed {
    sink: Option<Sink>,
    #[marshal(skip)]
    error: Option<CallError>,
}

impl From<CallError> for Failed {
    fn from(error: CallError) -> Self {
        Self { sink: None, error: Some(error) }
    }
}

struct Office {
    own: Sink,
    hidden: RefCell<Option<Sink>>,
    done: Sender<Result>,
}

impl Office {
    fn swap(&self, sinks: &mut Vec<Sink>) -> Result {
        sinks.remove(0).put(1)?;
        sinks.iter().try_for_each(|sink| sink.put(1))?;
        sinks.push(self.own.clone());
        Ok(())
    }
}

impl Server for Office {
    fn lent(&self, sink: &Sink) -> Result {
        sink.put(1)
    }

    fn owned(&self, sink: Sink) -> Result {
        sink.put(1)
    }

    fn lent_or_not(&self, sink: Option<&Sink>, other: Option<&Sink>) -> Result {
        sink.into_iter().chain(other).try_for_each(|sink| sink.put(1))
    }

    fn owned_or_not(&self, sink: Option<Sink>) -> Result {
        sink.map_or(Ok(()), |sink| sink.put(1))
    }

    fn slice(&self, sinks: &[Sink]) -> Result {
        sinks.iter().try_for_each(|sink| sink.put(1))
    }

    fn vector(&self, sinks: Vec<Sink>) -> Result {
        self.slice(&sinks)
    }

    fn named(&self, one: &Sink, other: Option<&Sink>) -> Result {
        one.put(1)?;
        self.lent_or_not(other, None)
    }

    fn job(&self, job: Job, again: &Job) -> Result {
        assert_eq!((job.name, again.name), ("one", "other"));
        self.slice(&job.sinks)?;
        self.lent_or_not(job.last.as_ref().map(|(_, sink)| &**sink), None)?;
        self.slice(&again.sinks)
    }

    fn tree(&self, tree: &Tree<Sink>) -> Result {
        tree.put()
    }

    fn everything(&self, all: Box<Everything>) -> Result<u32> {
        let sinks = all.sinks();
        sinks.iter().try_for_each(|sink| sink.put(1))?;
        assert!(all.set.contains(&all.array[0]) && all.keys.contains_key(&all.array[1]), "it is the same object");
        assert_eq!(all.heap.peek().unwrap().0, 2);
        Ok(sinks.len().try_into().unwrap())
    }

    fn weak(&self, sink: WeakProxy<dyn Put>, gone: &WeakProxy<dyn Put>) -> Result {
        assert!(gone.upgrade().is_none());
        sink.upgrade().unwrap().put(1)
    }

    fn is_home(&self, sink: &Sink) -> Result<bool> {
        Ok(sink.local().is_some())
    }

    fn changed(&self, sinks: &mut Vec<Sink>) -> Result {
        self.swap(sinks)
    }

    fn panics(&self, sinks: &mut Vec<Sink>) -> Result {
        self.swap(sinks)?;
        panic!("changed all the same")
    }

    fn changed_or_not(&self, sink: &mut Option<Sink>) -> Result {
        *sink = match sink.take() {
            Some(sink) => sink.put(1).map(|()| None)?,
            None => Some(self.own.clone()),
        };
        Ok(())
    }

    fn changed_if_there(&self, sink: Option<&mut Sink>, more: Option<&mut [Sink]>) -> Result {
        sink.map_or(Ok(()), |sink| self.slice_changed(std::slice::from_mut(sink)))?;
        more.map_or(Ok(()), |more| self.slice_changed(more))
    }

    fn slice_changed(&self, sinks: &mut [Sink]) -> Result {
        let mut puts = sinks.iter_mut().map(|sink| std::mem::replace(sink, self.own.clone()));
        puts.try_for_each(|sink| sink.put(1))
    }

    fn gives(&self) -> Result<Sink> {
        Ok(self.own.clone())
    }

    fn gives_many(&self) -> Result<HashMap<String, (Sink, u32)>> {
        Ok([("one", 1), ("two", 2)].map(|(name, n)| (name.into(), (self.own.clone(), n))).into())
    }

    fn gives_back(&self, sink: &Sink) -> Result<Option<Sink>> {
        Ok(Some(sink.clone()))
    }

    fn fails_with(&self) -> Result<(), Failed> {
        Err(Failed { sink: Some(self.own.clone()), error: None })
    }

    fn hidden(&self, Hidden(sink): Hidden) -> Result {
        let result = sink.put(1);
        *self.hidden.borrow_mut() = Some(sink);
        result
    }

    fn gives_hidden(&self) -> Result<Sink> {
        Ok(self.hidden.borrow().clone().unwrap())
    }

    fn changes_to_hidden(&self, sink: &mut Sink) -> Result {
        sink.clone_from(self.hidden.borrow().as_ref().unwrap());
        Ok(())
    }

    fn sent(&self, sink: &Sink, more: Vec<Sink>, other: Option<&Sink>, job: &Job) -> Result {
        let mut all = [sink].into_iter().chain(&more).chain(other).chain(&job.sinks);
        // A one-way method may make one-way calls only, under strict rules.
        let dripped = all.try_for_each(|sink| sink.drip());
        self.done.send(dripped).unwrap();
        Ok(())
    }
}

implements!(Office: dyn Server);

/// A server, a bowl in an apartment of its own, one in the server's, and how much was put in each.
struct Scene {
    process: Process,
    office: Proxy<Office>,
    server: Proxy<dyn Server>,
    bowl: Sink,
    bowl_there: Sink,
    filled: Arc<AtomicU32>,
    filled_there: Arc<AtomicU32>,
    done: Receiver<Result>,
    _apartments: [Sta; 2],
}

impl Scene {
    /// Set by the calling thread, which is in an apartment: the references belong there.
    fn set(process: &Process) -> Result<Self> {
        let (home, store) = (process.sta("office").spawn()?, process.sta("store").spawn()?);
        let (filled, filled_there) = (Arc::<AtomicU32>::default(), Arc::<AtomicU32>::default());
        let [count, count_there, own] = [&filled, &filled_there, &filled_there].map(Arc::clone);
        let (done, told) = channel();
        // What the office has of its own it makes at home.
        let maker = process.clone();
        let office = home.create(move || {
            let here = maker.sta("office").enter().unwrap();
            Office { own: here.create(|| Bowl(own)).unwrap().cast(), hidden: RefCell::default(), done }
        })?;
        Ok(Self {
            process: process.clone(),
            server: office.cast(),
            office,
            bowl: store.create(|| Bowl(count))?.cast(),
            bowl_there: home.create(|| Bowl(count_there))?.cast(),
            filled,
            filled_there,
            done: told,
            _apartments: [home, store],
        })
    }

    /// How much was put in since the last time.
    fn put(&self) -> u32 {
        self.filled.swap(0, Relaxed)
    }

    fn put_there(&self) -> u32 {
        self.filled_there.swap(0, Relaxed)
    }

    /// The calls made so far.
    fn calls(&self) -> usize {
        let events = self.process.recording().unwrap().events();
        events.iter().filter(|event| matches!(event.what, What::CallMade(_))).count()
    }

    /// A reference that belongs to the office: it was not marshalled to here.
    fn foreign(&self) -> Sink {
        self.office.call(|office| office.own.clone()).unwrap()
    }
}

/// Plays a test in an STA of a process with strict rules.
fn strictly(test: impl FnOnce(&Scene) -> Result + Send + 'static) {
    play(|_| {
        let process = Process::builder().clock(Clock::driven()).record(100_000).strict_rules().build();
        let here = process.sta("here").enter()?;
        let scene = Scene::set(&process)?;
        test(&scene)?;
        drop(scene);
        here.leave();
        Ok(())
    });
}

fn is_wrong_thread<T>(result: Result<T>) -> bool {
    matches!(result, Err(CallError::WrongThread))
}

#[test]
fn ck_6_a_reference_that_is_lent_or_given_works_where_it_comes_to_and_goes_on_working_here() {
    strictly(|scene| {
        let Scene { server, bowl, .. } = scene;
        server.lent(bowl)?;
        server.owned(bowl.clone())?;
        server.named(bowl, Some(bowl))?;
        assert_eq!(scene.put(), 4);
        bowl.put(1)?;
        assert_eq!(scene.put(), 1);
        assert!(is_wrong_thread(scene.foreign().put(1)), "or else the test shows nothing");
        Ok(())
    });
}

#[test]
fn ck_6_so_does_one_that_is_optional_or_in_a_vector() {
    strictly(|scene| {
        let Scene { server, bowl, .. } = scene;
        server.lent_or_not(Some(bowl), Some(bowl))?;
        server.lent_or_not(None, Some(bowl))?;
        server.owned_or_not(Some(bowl.clone()))?;
        server.owned_or_not(None)?;
        assert_eq!(scene.put(), 4);
        let two = vec![bowl.clone(), bowl.clone()];
        server.slice(&two)?;
        server.vector(two)?;
        server.slice(&[])?;
        assert_eq!(scene.put(), 4);
        Ok(())
    });
}

#[test]
fn ck_6_so_does_one_in_a_type_that_derives_it() {
    strictly(|scene| {
        let Scene { server, bowl, .. } = scene;
        let job = |name| Job { name, sinks: vec![bowl.clone(), bowl.clone()], last: Some((1, Box::new(bowl.clone()))) };
        let other = job("other");
        server.job(job("one"), &other)?;
        assert_eq!(scene.put(), 5);
        other.sinks[0].put(1)?;
        let leaf = || Tree::Leaf(bowl.clone());
        let right = vec![leaf(), Tree::Empty, Tree::Node { left: Box::new(leaf()), right: vec![leaf()] }];
        server.tree(&Tree::Node { left: Box::new(Tree::Empty), right })?;
        assert_eq!(scene.put(), 1 + 3);
        Ok(())
    });
}

#[test]
fn ck_6_so_does_one_in_any_collection_of_the_standard_library() {
    strictly(|scene| {
        let everything = Everything::of(&scene.bowl);
        let many = u32::try_from(everything.sinks().len()).unwrap();
        assert_eq!(many, 27);
        assert_eq!(scene.server.everything(Box::new(everything))?, many);
        assert_eq!(scene.put(), many);
        Ok(())
    });
}

#[test]
fn ck_6_a_weak_reference_is_one_too() {
    strictly(|scene| {
        let gone = scene.office.call(|_| ()).and_then(|()| {
            let here = scene.process.sta("here").enter()?;
            let bowl: Sink = here.create(|| Bowl(Arc::default()))?.cast();
            Ok(bowl.downgrade())
        })?;
        scene.server.weak(scene.bowl.downgrade(), &gone)?;
        assert_eq!(scene.put(), 1);
        Ok(())
    });
}

#[test]
fn ck_6_a_reference_that_comes_home_is_the_object_itself() {
    strictly(|scene| {
        assert!(scene.server.is_home(&scene.bowl_there)?);
        assert!(!scene.server.is_home(&scene.bowl)?);
        // From there and back.
        let here = scene.process.sta("here").enter()?;
        let bowl: Sink = here.create(|| Bowl(Arc::default()))?.cast();
        let back = scene.server.gives_back(&bowl)?.unwrap();
        assert!(back == bowl && back.local().is_some());
        Ok(())
    });
}

#[test]
fn ck_6_what_is_changed_is_marshalled_both_ways() {
    strictly(|scene| {
        let Scene { server, bowl, .. } = scene;
        let mut sinks = vec![bowl.clone(), bowl.clone()];
        server.changed(&mut sinks)?;
        assert_eq!(scene.put(), 2);
        assert_eq!(sinks.len(), 2);
        sinks.iter().try_for_each(|sink| sink.put(1))?;
        assert_eq!((scene.put(), scene.put_there()), (1, 1), "one of ours, one of theirs");
        let mut sink = None;
        server.changed_or_not(&mut sink)?;
        sink.as_ref().unwrap().put(1)?;
        server.changed_or_not(&mut sink)?;
        assert!(sink.is_none());
        assert_eq!(scene.put_there(), 2);
        Ok(())
    });
}

#[test]
fn ck_6_so_is_what_is_changed_in_a_slice_or_if_it_is_there() {
    strictly(|scene| {
        let Scene { server, bowl, .. } = scene;
        let mut sinks = [bowl.clone(), bowl.clone()];
        server.slice_changed(&mut sinks)?;
        assert_eq!(scene.put(), 2);
        sinks.iter().try_for_each(|sink| sink.put(1))?;
        assert_eq!(scene.put_there(), 2);
        let (mut sink, mut more) = (bowl.clone(), [bowl.clone()]);
        server.changed_if_there(Some(&mut sink), Some(&mut more))?;
        server.changed_if_there(None, None)?;
        assert_eq!(scene.put(), 2);
        sink.put(1)?;
        more[0].put(1)?;
        assert_eq!(scene.put_there(), 2);
        // What cannot leave is found there, too.
        let before = scene.calls();
        assert!(is_wrong_thread(server.slice_changed(&mut [bowl.clone(), scene.foreign()])));
        assert!(is_wrong_thread(server.changed_if_there(Some(&mut scene.foreign()), None)));
        assert_eq!((scene.calls() - before, scene.put()), (2, 0), "nothing but what `foreign` calls");
        Ok(())
    });
}

#[test]
fn ck_6_what_was_changed_is_back_whatever_became_of_the_call() {
    strictly(|scene| {
        let mut sinks = vec![scene.bowl.clone(), scene.bowl.clone()];
        assert!(matches!(scene.server.panics(&mut sinks), Err(CallError::ServerFault { .. })));
        assert_eq!((scene.put(), sinks.len()), (2, 2));
        sinks.iter().try_for_each(|sink| sink.put(1))?;
        assert_eq!((scene.put(), scene.put_there()), (1, 1));
        Ok(())
    });
}

#[test]
fn ck_6_a_reference_that_is_given_works_where_it_comes_to() {
    strictly(|scene| {
        scene.server.gives()?.put(1)?;
        assert_eq!(scene.put_there(), 1);
        let many = scene.server.gives_many()?;
        for (sink, n) in many.values() {
            sink.put(*n)?;
        }
        assert_eq!(scene.put_there(), 3);
        scene.server.gives_back(&scene.bowl)?.unwrap().put(1)?;
        assert_eq!(scene.put(), 1);
        // In an error, too.
        let Failed { sink, error } = scene.server.fails_with().unwrap_err();
        assert!(error.is_none());
        sink.unwrap().put(1)?;
        assert_eq!(scene.put_there(), 1);
        Ok(())
    });
}

#[test]
fn ck_6_a_one_way_method_s_references_work_where_they_come_to() {
    strictly(|scene| {
        let Scene { server, bowl, done, .. } = scene;
        let job = Job { name: "job", sinks: vec![bowl.clone()], last: None };
        server.sent(bowl, vec![bowl.clone(), bowl.clone()], Some(bowl), &job)?;
        done.recv().unwrap()?;
        server.sent(bowl, vec![], None, &job)?;
        done.recv().unwrap()?;
        // Behind the last drip.
        bowl.put(0)?;
        assert_eq!(scene.put(), 5 + 2);
        assert!(is_wrong_thread(server.sent(&scene.foreign(), vec![], None, &job)));
        assert!(is_wrong_thread(server.sent(bowl, vec![scene.foreign()], None, &job)));
        Ok(())
    });
}

#[test]
fn ck_6_one_that_cannot_leave_fails_the_call_before_anything_is_sent() {
    strictly(|scene| {
        let Scene { server, bowl, .. } = scene;
        let foreign = scene.foreign();
        let mut sinks = vec![bowl.clone(), foreign.clone(), bowl.clone()];
        let job = Job { name: "job", sinks: sinks.clone(), last: None };
        let good = Job { name: "job", sinks: vec![], last: None };
        let before = scene.calls();
        let failed = [
            server.lent(&foreign),
            server.owned(foreign.clone()),
            server.lent_or_not(Some(bowl), Some(&foreign)),
            server.slice(&sinks),
            server.vector(sinks.clone()),
            server.job(job, &good),
            server.tree(&Tree::Leaf(foreign.clone())),
            server.changed(&mut sinks),
            server.weak(foreign.downgrade(), &bowl.downgrade()),
            server.gives_back(&foreign).map(drop),
        ];
        for (n, result) in failed.into_iter().enumerate() {
            let error = result.unwrap_err();
            assert_eq!((n, error.hresult(), error.outcome()), (n, 0x8001_010E, Outcome::NotStarted));
        }
        assert_eq!((scene.calls(), scene.put()), (before, 0));
        // And nothing of what was to be sent has changed.
        assert_eq!(sinks.len(), 3);
        sinks[0].put(1)?;
        sinks[2].put(1)?;
        assert!(is_wrong_thread(sinks[1].put(1)), "it has not been laundered");
        Ok(())
    });
}

#[test]
fn ck_6_a_result_that_cannot_leave_fails_a_call_that_has_run() {
    strictly(|scene| {
        // Hidden in a type that does not say so, it is not seen; used there, it is in the wrong place.
        assert!(is_wrong_thread(scene.server.hidden(Hidden(scene.bowl.clone()))));
        let mut sink = scene.bowl_there.clone();
        let changes = scene.server.changes_to_hidden(&mut sink).unwrap_err();
        assert!(sink == scene.bowl, "it had run");
        for error in [scene.server.gives_hidden().unwrap_err(), changes] {
            let CallError::ServerCantMarshal { target, source } = &error else { panic!("{error:?}") };
            assert_eq!((error.hresult(), error.outcome()), (0x8001_000D, Outcome::MayHaveRun));
            assert_eq!(target.method.unwrap().interface, "Server");
            assert!(matches!(source.downcast_ref(), Some(CallError::WrongThread)));
            assert!(error.source().is_some_and(|source| source.is::<CallError>()));
        }
        Ok(())
    });
}

#[test]
fn ck_6_what_is_changed_brings_nothing_back_that_was_not_marshalled_to_there() {
    strictly(|scene| {
        let other = scene.process.sta("other").spawn()?;
        let relay: Proxy<dyn Relays> = other.create(|| Relay)?.cast();
        // What the server then has in hiding belongs neither to it nor here.
        assert!(is_wrong_thread(relay.hides(&scene.server, &scene.bowl)));
        let mut sink = scene.bowl.clone();
        let changed = scene.server.changes_to_hidden(&mut sink);
        assert!(matches!(changed, Err(CallError::ServerCantMarshal { .. })));
        assert!(is_wrong_thread(sink.put(1)));
        Ok(())
    });
}

interface! {
    trait Relays {
        fn through(&self, server: &Proxy<dyn Server>, sink: Sink) -> Result<Sink>;
        fn hides(&self, server: &Proxy<dyn Server>, sink: &Sink) -> Result;
    }
}

struct Relay;

impl Relays for Relay {
    fn through(&self, server: &Proxy<dyn Server>, sink: Sink) -> Result<Sink> {
        server.lent(&sink)?;
        sink.put(1)?;
        server.gives()
    }

    fn hides(&self, server: &Proxy<dyn Server>, sink: &Sink) -> Result {
        server.hidden(Hidden(sink.clone()))
    }
}

implements!(Relay: dyn Relays);

#[test]
fn ck_6_references_travel_between_threads_of_the_mta_and_in_calls_at_home() {
    strictly(|scene| {
        // At home: a direct call.
        let here = scene.process.sta("here").enter()?;
        let (process, bowl) = (scene.process.clone(), scene.bowl.clone());
        let (done, _) = channel();
        let office = Office { own: bowl.clone(), hidden: RefCell::default(), done };
        let server: Proxy<dyn Server> = here.create(|| office)?.cast();
        server.lent(&bowl)?;
        server.changed(&mut vec![bowl.clone()])?;
        server.gives()?.put(1)?;
        assert_eq!(scene.put(), 3);

        let mta: Mta = process.mta().spawn()?;
        let relay: Proxy<dyn Relays> = mta.create(|| Relay)?.cast();
        relay.through(&scene.server, bowl)?.put(1)?;
        assert_eq!((scene.put(), scene.put_there()), (2, 1));
        Ok(())
    });
}

#[test]
fn ck_6_without_strict_rules_references_work_wherever_they_come_to() {
    play(|stage| {
        let scene = Scene::set(&stage.process)?;
        let foreign = scene.foreign();
        scene.server.lent(&foreign)?;
        scene.server.hidden(Hidden(scene.bowl.clone()))?;
        scene.server.gives_hidden()?.put(1)?;
        let mut sinks = vec![foreign, scene.bowl.clone()];
        scene.server.changed(&mut sinks)?;
        sinks.iter().try_for_each(|sink| sink.put(1))?;
        Ok(())
    });
}

// ---- what is copied

thread_local! {
    static CLONES: Cell<u32> = const { Cell::new(0) };
}

/// Counts its copies, which are made by the caller.
#[derive(Debug)]
struct Counted<const REFERENCES: bool> {
    marshalled: u32,
}

impl<const REFERENCES: bool> Clone for Counted<REFERENCES> {
    fn clone(&self) -> Self {
        CLONES.set(CLONES.get() + 1);
        Self { ..*self }
    }
}

impl<const HAS: bool> Marshal for Counted<HAS> {
    const REFERENCES: bool = HAS;

    fn marshal_with(&mut self, _: &mut Marshaller) -> Result {
        self.marshalled += 1;
        Ok(())
    }
}

/// Cannot be marshalled for the n-th time.
#[derive(Clone, Debug)]
struct Stubborn {
    refuses_at: u32,
}

impl Marshal for Stubborn {
    const REFERENCES: bool = true;

    fn marshal_with(&mut self, _: &mut Marshaller) -> Result {
        self.refuses_at -= 1;
        if self.refuses_at == 0 { Err(CallError::CallComplete) } else { Ok(()) }
    }
}

#[derive(Default)]
struct Counter(Cell<u32>);

impl Counts for Counter {
    fn plain(&self, plain: &Counted<false>) -> Result {
        assert_eq!(plain.marshalled, 0);
        Ok(())
    }

    fn references(&self, references: &Counted<true>) -> Result {
        assert_eq!(references.marshalled, 2, "out there, in here");
        Ok(())
    }

    fn neither(&self, neither: &AtomicU32) -> Result {
        neither.fetch_add(1, Relaxed);
        Ok(())
    }

    fn owned(&self, owned: Counted<true>) -> Result {
        assert_eq!(owned.marshalled, 2);
        Ok(())
    }

    fn changed(&self, changed: &mut Counted<true>) -> Result {
        assert_eq!(changed.marshalled, 2);
        Ok(())
    }

    fn stubborn(&self, _: Stubborn) -> Result {
        self.0.set(self.0.get() + 1);
        Ok(())
    }

    fn gives(&self, refuses_at: u32) -> Result<Stubborn> {
        self.0.set(self.0.get() + 1);
        Ok(Stubborn { refuses_at })
    }

    fn sent(&self, stubborn: Stubborn) -> Result {
        self.stubborn(stubborn)
    }
}

implements!(Counter: dyn Counts);

#[test]
fn ck_6_only_a_lent_value_that_can_hold_references_is_copied() {
    play(|stage| {
        let home = stage.sta("home").spawn()?;
        let counts: Proxy<dyn Counts> = home.create(Counter::default)?.cast();
        let (plain, mut references) = (Counted { marshalled: 0 }, Counted { marshalled: 0 });
        counts.plain(&plain)?;
        assert_eq!(CLONES.get(), 0);
        counts.references(&references)?;
        assert_eq!((CLONES.get(), references.marshalled), (1, 0), "the copy was marshalled, not this");
        counts.changed(&mut references)?;
        assert_eq!(references.marshalled, 4, "in its place, out and in, twice");
        counts.owned(Counted { marshalled: 0 })?;
        assert_eq!(CLONES.get(), 1);
        let neither = AtomicU32::new(0);
        counts.neither(&neither)?;
        assert_eq!(neither.into_inner(), 1, "what is not `Marshal`, or not even `Clone`, is lent as it is");
        Ok(())
    });
}

#[test]
fn ck_6_values_that_refuse_fail_the_call_on_each_side_with_the_right_outcome() {
    play(|stage| {
        let home = stage.sta("home").spawn()?;
        let counter = home.create(Counter::default)?;
        let counts: Proxy<dyn Counts> = counter.cast();
        let ran = || counter.call(|counter| counter.0.get());
        // Out of here, and into there: it has not run, and the error is the value's own.
        for refuses_at in 1..=2 {
            let error = counts.stubborn(Stubborn { refuses_at }).unwrap_err();
            assert!(matches!(error, CallError::CallComplete), "{error:?}");
            assert_eq!((ran()?, error.outcome()), (0, Outcome::NotStarted));
        }
        counts.stubborn(Stubborn { refuses_at: 3 })?;
        assert_eq!(ran()?, 1);
        // Out of there, and into here: it has.
        for refuses_at in 1..=2 {
            let error = counts.gives(refuses_at).unwrap_err();
            assert!(matches!(error, CallError::ServerCantMarshal { .. }), "{error:?}");
            assert_eq!((ran()?, error.outcome()), (1 + refuses_at, Outcome::MayHaveRun));
        }
        assert_eq!(counts.gives(3)?.refuses_at, 1);
        Ok(())
    });
}

#[test]
fn mb_8_a_one_way_method_whose_arguments_cannot_arrive_is_reported() {
    play(|stage| {
        let home = stage.sta("home").spawn()?;
        let counter = home.create(Counter::default)?;
        let counts: Proxy<dyn Counts> = counter.cast();
        let error = counts.sent(Stubborn { refuses_at: 1 }).unwrap_err();
        assert!(matches!(error, CallError::CallComplete), "it could not leave: {error:?}");
        counts.sent(Stubborn { refuses_at: 2 })?;
        counts.sent(Stubborn { refuses_at: 3 })?;
        assert_eq!(counter.call(|counter| counter.0.get())?, 1);
        let events = stage.process.recording().unwrap().events();
        let failed: Vec<_> = events
            .iter()
            .filter_map(|event| match &event.what {
                What::Ended { panicked: Some(why) } => Some(&**why),
                _ => None,
            })
            .collect();
        assert_eq!(failed, ["its arguments could not arrive: no call is being served on this thread"]);
        Ok(())
    });
}

#[test]
fn ck_6_a_type_knows_whether_it_can_hold_references() {
    #[derive(Clone, Marshal)]
    struct Plain(String, Vec<(u8, Option<Box<[f64]>>)>);

    #[derive(Clone, Marshal)]
    #[expect(dead_code, reason = "looked at by its type")]
    struct Skips(#[marshal(skip)] Option<Sink>, u8);

    fn can<T: Marshal>(_: &T) -> bool {
        T::REFERENCES
    }

    assert!(!can(&Plain(String::new(), vec![])) && !can(&Skips(None, 1)) && !can(&[Some(1)]) && !can(&()));
    assert!(!can(&HashMap::from([("a", 1)])) && !can(&Counted::<false> { marshalled: 0 }));
    assert!(can(&None::<Sink>) && can(&Tree::<Sink>::Empty) && can(&BTreeMap::<u8, Sink>::new()));
    assert!(
        can(&HashMap::<Sink, u8>::new()) && can(&None::<WeakProxy<u8>>) && can(&(1, Err::<(), Option<Sink>>(None)))
    );
    assert!(can(&Tree::<u8>::Empty), "a type that names itself counts as one that can");
}
