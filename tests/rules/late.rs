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
    use std::ffi::c_void;
    use std::ptr;
    use std::sync::OnceLock;
    use windows_sys::Win32::System::SystemServices::DLL_THREAD_DETACH;
    use windows_sys::Win32::System::Threading::{TlsAlloc, TlsGetValue, TlsSetValue};

    type Run = Box<dyn FnOnce()>;

    // Not one of Rust's locals, which may be gone by then, or be made anew.
    static INDEX: OnceLock<u32> = OnceLock::new();

    type Callback = extern "system" fn(*mut c_void, u32, *mut c_void);

    // They are called in the order of their sections' names; what destroys Rust's locals is in `.CRT$XLB`.
    #[used]
    #[unsafe(link_section = ".CRT$XLY")]
    static CALLBACK: Callback = of_a_thread;

    /// Runs when the thread's locals are gone.
    pub(crate) fn when_the_locals_are_gone(run: impl FnOnce() + 'static) {
        // SAFETY: it takes nothing.
        let index = *INDEX.get_or_init(|| unsafe { TlsAlloc() });
        let run: Run = Box::new(run);
        // SAFETY: the index is never freed; what is set under it is a `Run`, which `of_a_thread` takes for one.
        assert_ne!(unsafe { TlsSetValue(index, Box::into_raw(Box::new(run)).cast()) }, 0);
    }

    extern "system" fn of_a_thread(_: *mut c_void, reason: u32, _: *mut c_void) {
        let Some(&index) = INDEX.get() else { return };
        if reason != DLL_THREAD_DETACH {
            return;
        }
        // SAFETY: as above.
        let run = unsafe { TlsGetValue(index) };
        if !run.is_null() {
            // SAFETY: as above.
            unsafe { TlsSetValue(index, ptr::null()) };
            // SAFETY: it is a `Run` of `when_the_locals_are_gone`, and nobody else has it.
            let run = unsafe { Box::from_raw(run.cast::<Run>()) };
            run();
        }
    }
}
