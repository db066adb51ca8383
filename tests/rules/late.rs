//! What the system runs at the end of a thread after Rust's locals are gone, and the thread's own handle among them.
#![expect(unsafe_code, reason = "only the system runs anything so late")]

pub(crate) use system::when_the_locals_are_gone;

/// C's end of a thread.
#[cfg(unix)]
mod system {
    use std::ffi::c_void;

    struct Late {
        rounds: u32,
        run: Box<dyn FnOnce()>,
    }

    static KEY: std::sync::OnceLock<libc::pthread_key_t> = std::sync::OnceLock::new();

    /// Runs when the thread's locals are gone.
    pub(crate) fn when_the_locals_are_gone(run: impl FnOnce() + 'static) {
        // C goes through what there is in rounds; Rust's locals go in one of the first two.
        set(Box::new(Late { rounds: 2, run: Box::new(run) }));
    }

    fn set(late: Box<Late>) {
        let key = KEY.get_or_init(|| {
            let mut key = 0;
            // SAFETY: what is set under the key is a `Late` of `set`, which `next_round` takes for one.
            assert_eq!(unsafe { libc::pthread_key_create(&mut key, Some(next_round)) }, 0);
            key
        });
        // SAFETY: the key is never deleted.
        assert_eq!(unsafe { libc::pthread_setspecific(*key, Box::into_raw(late).cast()) }, 0);
    }

    extern "C" fn next_round(late: *mut c_void) {
        // SAFETY: it is what `set` was given, and C has forgotten it.
        let late = unsafe { Box::from_raw(late.cast::<Late>()) };
        match late.rounds.checked_sub(1) {
            Some(rounds) => set(Box::new(Late { rounds, ..*late })),
            None => (late.run)(),
        }
    }
}

/// A callback of the program's file, which Windows calls at each thread's end.
#[cfg(windows)]
mod system {
    use std::cell::Cell;
    use std::ffi::c_void;
    use std::mem::ManuallyDrop;

    type Run = Box<dyn FnOnce()>;

    thread_local! {
        // It is not dropped, and so it is there to the end.
        static LATE: ManuallyDrop<Cell<Option<Run>>> = const { ManuallyDrop::new(Cell::new(None)) };
    }

    type Callback = extern "system" fn(*mut c_void, u32, *mut c_void);

    // They are called in the order of their sections' names; what destroys Rust's locals is in `.CRT$XLB`.
    #[used]
    #[unsafe(link_section = ".CRT$XLY")]
    static CALLBACK: Callback = of_a_thread;

    /// Runs when the thread's locals are gone.
    pub(crate) fn when_the_locals_are_gone(run: impl FnOnce() + 'static) {
        LATE.with(|late| late.set(Some(Box::new(run))));
    }

    extern "system" fn of_a_thread(_: *mut c_void, reason: u32, _: *mut c_void) {
        const THREAD_DETACH: u32 = 3;
        if reason != THREAD_DETACH {
            return;
        }
        if let Some(run) = LATE.with(|late| late.take()) {
            run();
        }
    }
}
