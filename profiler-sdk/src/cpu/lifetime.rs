//! From a thread's beginning to its end.

use std::cell::Cell;
use std::sync::OnceLock;

use libc::{c_void, pthread_key_t};

use crate::cpu::bounds;
use crate::cpu::threads::{self, Origin};
use crate::cpu::timer::this_thread;

thread_local! {
    /// The ticket of this thread, 0 if it has none yet.
    static TICKET: Cell<u64> = const { Cell::new(0) };
}

/// Enters the calling thread, once, and sees to it that its end is noticed.
pub(crate) fn begin_here(origin: Origin) {
    if TICKET.get() != 0 {
        return;
    }
    #[cfg(target_env = "gnu")]
    bounds::set_here(bounds::of_this_pthread());
    let Some(ticket) = threads::begin_here(origin, bounds::here()) else { return };
    TICKET.set(ticket);
    if let Some(key) = key() {
        // SAFETY: our own key; the value is a number.
        unsafe { libc::pthread_setspecific(key, ticket as *const c_void) };
    }
}

/// The ticket of the calling thread; 0 if it has none.
pub(crate) fn ticket_here() -> u64 {
    match TICKET.get() {
        // Found by a scan, which cannot tell the thread.
        0 => threads::ticket_of(this_thread()).unwrap_or(0),
        ticket => ticket,
    }
}

/// The key whose destructor runs at the end of threads. `None` where all keys are taken:
/// scans find out then.
fn key() -> Option<pthread_key_t> {
    static KEY: OnceLock<Option<pthread_key_t>> = OnceLock::new();
    *KEY.get_or_init(|| {
        let mut key = 0;
        // SAFETY: the key is ours, and the destructor fits.
        let result = unsafe { libc::pthread_key_create(&raw mut key, Some(end_here)) };
        (result == 0).then_some(key)
    })
}

unsafe extern "C" fn end_here(ticket: *mut c_void) {
    threads::end_here(ticket as u64);
}
