//! Threads tell of themselves, from their first instruction to their last.
//!
//! The program's own `pthread_create` stands before the C library's. It lets every thread begin
//! in [`begin`], which enters it into the books and then *jumps* to the start routine, so that
//! the thread's stack is what it would be without us. The end is told by a key's destructor,
//! which runs however a thread ends.
//!
//! Where the C library is linked statically there is no second `pthread_create` to stand
//! before; [`thread_started`] and the scans of the task directory are for that.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

#[cfg(all(target_env = "gnu", not(target_feature = "crt-static")))]
pub(crate) use interpose::is_linked;

/// Whether the process runs in a fork without the engine.
static FORKED: AtomicBool = AtomicBool::new(false);

/// Whether threads are to be told of.
fn is_wanted() -> bool {
    !FORKED.load(Relaxed)
}

/// In a forked child there are no timers, and a lock may be held by a thread that is not there.
pub(crate) fn watch_forks() {
    extern "C" fn in_child() {
        FORKED.store(true, Relaxed);
        crate::cpu::threads::forget();
    }
    static WATCHED: AtomicBool = AtomicBool::new(false);
    if !WATCHED.swap(true, Relaxed) {
        // SAFETY: the function only stores flags.
        unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
    }
}

#[cfg(not(all(target_env = "gnu", not(target_feature = "crt-static"))))]
pub(crate) fn is_linked() -> bool {
    false
}

/// Tells the profiler of the calling thread, from here to its end.
///
/// Needed only in a statically linked program, where new threads are otherwise found within
/// some tenths of a second: pass it to `on_thread_start` of a runtime's builder. Elsewhere
/// threads tell of themselves, and this does nothing.
pub fn thread_started() {
    if is_wanted() {
        crate::cpu::lifetime::begin_here(crate::cpu::threads::Origin::default());
    }
}

#[cfg(all(target_env = "gnu", not(target_feature = "crt-static")))]
mod interpose {
    use std::sync::atomic::AtomicUsize;
    use std::sync::atomic::Ordering::{Relaxed, Release};

    use libc::{c_int, c_void, pthread_attr_t, pthread_t};

    use crate::cpu::lifetime;
    use crate::cpu::registers::begin;
    use crate::cpu::threads::Origin;
    use crate::cpu::unwind::walk_here;

    /// Frames that tell one place that starts threads from another: some of the standard
    /// library's, and the generic ones that know what is started.
    const SITE_FRAMES: usize = 8;

    pub(crate) type Start = extern "C" fn(*mut c_void) -> *mut c_void;
    type Create =
        unsafe extern "C" fn(*mut pthread_t, *const pthread_attr_t, Start, *mut c_void) -> c_int;

    /// What a new thread is told.
    pub(crate) struct Spawn {
        start: Start,
        argument: *mut c_void,
        site: u64,
    }

    /// A start routine and its argument, in two registers.
    #[repr(C)]
    pub(crate) struct Routine {
        start: Start,
        argument: *mut c_void,
    }

    static NEXT: AtomicUsize = AtomicUsize::new(0);

    /// Whether threads of this program come by here. Calling this links the hook in.
    pub(crate) fn is_linked() -> bool {
        let ours = pthread_create as *const () as usize;
        // SAFETY: looks up a name.
        let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"pthread_create".as_ptr()) };
        found as usize == ours
    }

    /// The C library's `pthread_create(3)`, with a new thread that tells of itself.
    ///
    /// # Safety
    /// As the C library's.
    // Public to the linker.
    #[allow(unreachable_pub)]
    #[unsafe(no_mangle)]
    pub unsafe extern "C" fn pthread_create(
        thread: *mut pthread_t,
        attributes: *const pthread_attr_t,
        start: Start,
        argument: *mut c_void,
    ) -> c_int {
        let Some(next) = next() else { return libc::EAGAIN };
        if !super::is_wanted() {
            // SAFETY: the caller's own arguments.
            return unsafe { next(thread, attributes, start, argument) };
        }
        let spawn = Box::into_raw(Box::new(Spawn { start, argument, site: site() }));
        // SAFETY: `begin` takes what `spawn` points to, once; if no thread came to be, we do.
        unsafe {
            let result = next(thread, attributes, begin, spawn.cast());
            if result != 0 {
                drop(Box::from_raw(spawn));
            }
            result
        }
    }

    /// The next `pthread_create` behind ours.
    fn next() -> Option<Create> {
        let mut address = NEXT.load(Relaxed);
        if address == 0 {
            // SAFETY: looks up a name.
            address = unsafe { libc::dlsym(libc::RTLD_NEXT, c"pthread_create".as_ptr()) } as usize;
            NEXT.store(address, Release);
        }
        // SAFETY: the C library's function, of that type; zero is `None`.
        unsafe { std::mem::transmute::<usize, Option<Create>>(address) }
    }

    /// A hash of the caller's stack (FNV-1a by words).
    fn site() -> u64 {
        let mut frames = [0; SITE_FRAMES];
        let depth = walk_here(&mut frames);
        let mix = |hash: u64, frame: &u64| (hash ^ frame).wrapping_mul(0x0100_0000_01b3);
        frames.iter().take(depth).fold(0xcbf2_9ce4_8422_2325, mix)
    }

    /// The first thing a new thread does. Called by [`begin`].
    ///
    /// # Safety
    /// `spawn` comes from `pthread_create` above, once.
    pub(crate) unsafe extern "C" fn enter(spawn: *mut Spawn) -> Routine {
        // SAFETY: the caller's promise.
        let Spawn { start, argument, site } = *unsafe { Box::from_raw(spawn) };
        let origin = Origin { start: start as *const () as u64, site };
        lifetime::begin_here(origin);
        Routine { start, argument }
    }
}

#[cfg(all(target_env = "gnu", not(target_feature = "crt-static")))]
pub(crate) use interpose::enter;
