//! What the cache does, one step after the other: ordinary tests, on real threads.
#![cfg(not(loom))]

use apartment::{Error, Process, Proxy, Sta};
use model_checked::{Cache, Stats, Store};

/// The apartments of a cache and of its store.
fn homes() -> Result<[Sta; 2], Error> {
    let process = Process::new();
    Ok([process.sta("cache").spawn()?, process.sta("store").spawn()?])
}

/// A cache that is told what changes in its store.
fn cached([frontend, backend]: &[Sta; 2]) -> Result<(Proxy<Cache>, Proxy<Store>), Error> {
    let store = backend.create(Store::default)?;
    let source = store.clone();
    let cache = frontend.create(|| Cache::new(source))?;
    store.call(|store| store.watch(&cache))?;
    Ok((cache, store))
}

#[test]
fn what_was_read_is_kept() -> Result<(), Error> {
    let homes = homes()?;
    let (cache, store) = cached(&homes)?;
    store.call(|store| store.write("bread", "3.20"))?;
    for _ in 0..3 {
        assert_eq!(cache.call(|cache| cache.get("bread"))??, "3.20");
    }
    assert_eq!(cache.call(Cache::stats)?, Stats { hits: 2, misses: 1, too_late: 0 });
    Ok(())
}

#[test]
fn what_was_overwritten_is_read_again() -> Result<(), Error> {
    let homes = homes()?;
    let (cache, store) = cached(&homes)?;
    for price in ["3.20", "3.40"] {
        store.call(|store| store.write("bread", price))?;
        assert_eq!(cache.call(|cache| cache.get("bread"))??, price);
    }
    assert_eq!(cache.call(Cache::stats)?, Stats { hits: 0, misses: 2, too_late: 0 });
    Ok(())
}

#[test]
fn what_is_kept_outlives_the_store() -> Result<(), Error> {
    let homes = homes()?;
    let (cache, store) = cached(&homes)?;
    store.call(|store| store.write("bread", "3.20"))?;
    assert_eq!(cache.call(|cache| cache.get("bread"))??, "3.20");
    let [_frontend, backend] = homes;
    drop(backend);
    assert_eq!(cache.call(|cache| cache.get("bread"))??, "3.20");
    assert!(matches!(cache.call(|cache| cache.get("milk"))?, Err(Error::Disconnected(_))));
    Ok(())
}
