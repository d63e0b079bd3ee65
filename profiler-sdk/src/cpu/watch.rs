//! Looks for new threads while samples are wanted, where threads cannot tell of themselves.

use std::sync::{Condvar, Mutex, Once, PoisonError};
use std::time::Duration;

use crate::cpu::{spawn_hook, threads};

/// Time between two looks. What a thread does before it is seen is not lost, only its stacks.
const INTERVAL: Duration = Duration::from_millis(100);

static WANTED: Mutex<bool> = Mutex::new(false);
static CHANGED: Condvar = Condvar::new();

/// Begins to look, if that is needed here at all.
pub(crate) fn begin() {
    static ONCE: Once = Once::new();
    if !spawn_hook::is_linked() {
        ONCE.call_once(|| {
            let watcher = std::thread::Builder::new().name("flambeau-threads".into());
            // Without it threads are found when an invocation begins and when a snapshot is closed.
            let _ = watcher.spawn(watch);
        });
    }
}

/// Looks while `wanted`.
pub(crate) fn set(wanted: bool) {
    *WANTED.lock().unwrap_or_else(PoisonError::into_inner) = wanted;
    CHANGED.notify_all();
}

fn watch() {
    loop {
        let asleep = WANTED.lock().unwrap_or_else(PoisonError::into_inner);
        let awake = CHANGED.wait_while(asleep, |wanted| !*wanted);
        drop(awake.unwrap_or_else(PoisonError::into_inner));
        std::thread::sleep(INTERVAL);
        threads::scan_if_changed();
    }
}
