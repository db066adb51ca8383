//! The protocol of cache and store, in every order that their threads can take.
//!
//! ```text
//! RUSTFLAGS="--cfg loom" cargo test --release --test models -- --nocapture
//! RUSTFLAGS="--cfg loom" cargo test --release --test models --features planted-bug -- --nocapture
//! ```
#![cfg(loom)]

mod search;

use apartment::{Clock, Entered, Error, Process, Proxy, Sta};
use model_checked::{Cache, Stats, Store};
use search::search;

/// A process whose store is in this thread's apartment and whose cache in another. It is recorded, to be seen if it fails.
fn cached() -> (Process, Entered, Sta, Proxy<Store>, Proxy<Cache>) {
    let process = Process::builder().clock(Clock::driven()).record(1_000).build();
    let backend = process.sta("store").enter().unwrap();
    let frontend = process.sta("cache").spawn().unwrap();
    let store = backend.create(Store::default).unwrap();
    let source = store.clone();
    let cache = frontend.create(|| Cache::new(source)).unwrap();
    store.call(|store| store.watch(&cache)).unwrap();
    (process, backend, frontend, store, cache)
}

/// A write comes while the cache reads: who reads when it has returned gets what it wrote.
#[test]
#[cfg_attr(feature = "planted-bug", should_panic(expected = "the cache has kept what was overwritten"))]
fn a_write_against_a_read() {
    search("write_against_read", 2, &["came new", "came too late", "was kept, and dropped"], || {
        let (process, backend, frontend, store, cache) = cached();
        cache.post(|cache| drop(cache.get("bread"))).unwrap();
        backend.pump(); // answers the cache, if it has asked already
        store.call(|store| store.write("bread", "3.20")).unwrap();
        let (read, stats) = cache.call(|cache| (cache.get("bread").unwrap(), cache.stats())).unwrap();
        drop((store, cache, frontend, backend)); // every apartment ends in an execution

        if read != "3.20" {
            println!("{}", process.recording().unwrap().diagram());
            panic!("the cache has kept what was overwritten: {read:?}");
        }
        match stats {
            Stats { hits: 1, misses: 1, too_late: 0 } => "came new",
            Stats { hits: 0, misses: 2, too_late: 1 } => "came too late",
            Stats { hits: 0, misses: 2, too_late: 0 } => "was kept, and dropped",
            _ => panic!("{stats:?}"),
        }
    });
}

/// The store ends while the cache reads: the cache has the value, or says that there is no store, and lives on.
#[test]
fn the_stores_end_against_a_read() {
    search("end_against_read", 2, &["kept", "no store"], || {
        let (_process, backend, frontend, store, cache) = cached();
        cache.post(|cache| drop(cache.get("bread"))).unwrap();
        backend.pump();
        drop((store, backend));
        let read = cache.call(|cache| cache.get("bread")).unwrap();
        drop((cache, frontend));

        match read {
            Ok(_) => "kept",
            Err(Error::Disconnected(_)) => "no store",
            Err(error) => panic!("{error}"),
        }
    });
}
