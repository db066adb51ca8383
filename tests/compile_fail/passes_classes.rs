//! The control: what stands beside each class that must not compile does compile.
use apartment::{implements, interface, Class, Process, Server};
use std::cell::Cell;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::Mutex;
use std::time::Duration;

interface! {
    trait Count {
        fn count(&self) -> Result<u32, apartment::CallError>;
    }
}

/// It stays on its thread.
struct Bound(Rc<Cell<u32>>);

impl Count for Bound {
    fn count(&self) -> Result<u32, apartment::CallError> {
        Ok(self.0.replace(self.0.get() + 1))
    }
}

implements!(Bound: dyn Count);

/// Any thread may call it.
struct Shared(Mutex<u32>);

impl Count for Shared {
    fn count(&self) -> Result<u32, apartment::CallError> {
        let mut count = self.0.lock().unwrap();
        *count += 1;
        Ok(*count)
    }
}

implements!(Shared: dyn Count);

fn anywhere<T: Send + Sync + 'static>(_: &T) {}

fn main() -> Result<(), apartment::Error> {
    let process = Process::new();
    // A factory is called from any thread, whatever its objects are; and what it makes may depend on what it holds.
    let next = AtomicU32::new(0);
    let server = Server::new("counters")
        .class("single", Class::single(|| Bound(Rc::new(Cell::new(0)))))
        .class("apartment", Class::apartment(move || Bound(Rc::new(Cell::new(next.fetch_add(1, Ordering::Relaxed))))))
        .class("parsed", Class::try_apartment(|| "7".parse().map(|n| Bound(Rc::new(Cell::new(n))))))
        .class("free", Class::free(|| Shared(Mutex::new(0))))
        .class("both", Class::both(|| Shared(Mutex::new(0))))
        .class("agile", Class::both(|| Shared(Mutex::new(0))).free_threaded())
        .around(|| std::env::current_dir())
        .can_unload(|| true);
    process.register_server(server)?;
    let factory = process.class_factory("apartment")?;
    anywhere(&factory);
    anywhere(&factory.lock_server());
    let by_type = process.create_instance::<Bound>("single")?;
    let by_interface = factory.create_instance::<dyn Count>()?;
    println!("{:?} {}", by_type.call(|bound| bound.count())?, by_interface.count()?);
    println!("{:?}", process.free_unused_servers(Duration::from_secs(600))?);
    Ok(())
}
