//! Two readers and a writer of a few prices: what the cache has spared the store, and how often a value came too late.

use apartment::{Error, Process};
use model_checked::{Cache, Store};
use std::thread;

const KEYS: [&str; 4] = ["bread", "butter", "cheese", "milk"];
const READS: usize = 20_000;
const WRITES: usize = 2_000;

fn main() -> Result<(), Error> {
    let process = Process::new();
    let backend = process.sta("store").spawn()?;
    let frontend = process.sta("cache").spawn()?;
    let store = backend.create(Store::default)?;
    let source = store.clone();
    let cache = frontend.create(|| Cache::new(source))?;
    store.call(|store| store.watch(&cache))?;

    thread::scope(|scope| {
        let readers = [0, 1].map(|reader| {
            let cache = &cache;
            scope.spawn(move || {
                (0..READS).try_for_each(|n| cache.call(|cache| cache.get(KEYS[(n + reader) % KEYS.len()]))?.map(drop))
            })
        });
        for n in 0..WRITES {
            store.call(|store| store.write(KEYS[n % KEYS.len()], &format!("{}.{:02}", n / 100, n % 100)))?;
        }
        readers.into_iter().try_for_each(|reader| reader.join().expect("no reader panics"))
    })?;

    println!("{:8} {:>8} {:>8}", "", "cache", "store");
    for key in KEYS {
        let (cached, stored) = (cache.call(|cache| cache.get(key))??, store.call(|store| store.read(key).value)?);
        println!("{key:8} {cached:>8} {stored:>8}");
        assert_eq!(cached, stored, "the cache still gives out what was overwritten");
    }
    let stats = cache.call(Cache::stats)?;
    println!("{} hits, {} misses, {} of them too late to be kept", stats.hits, stats.misses, stats.too_late);
    Ok(())
}
