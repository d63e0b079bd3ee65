//! What the kernel says of this process's threads.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::sync::OnceLock;

use crate::cpu::bounds::{self, Bounds};
use crate::names;

const TASKS: &str = "/proc/self/task";

/// A number that changes by one with each thread, read by one system call; 0 if there is none.
pub(crate) fn count() -> i64 {
    fs::metadata(TASKS).map_or(0, |tasks| tasks.nlink().cast_signed())
}

/// The threads there are; `None` if the directory cannot be read.
pub(crate) fn list() -> Option<Vec<u32>> {
    let entries = fs::read_dir(TASKS).ok()?.flatten();
    Some(entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect())
}

/// The stack of a thread that nobody told of: known for the first thread only, on whose stack
/// the kernel left some random bytes.
pub(crate) fn bounds(tid: u32) -> Bounds {
    if tid != std::process::id() {
        return Bounds::UNKNOWN;
    }
    // SAFETY: reads the process's own auxiliary vector.
    let address = unsafe { libc::getauxval(libc::AT_RANDOM) };
    bounds::mapping_of(address, &mut [0; 4096]).unwrap_or(Bounds::UNKNOWN)
}

/// Notes the name of a thread that is there.
pub(crate) fn name(tid: u32) {
    if let Ok(name) = fs::read_to_string(format!("{TASKS}/{tid}/comm")) {
        note(tid, name.trim_end());
    }
}

/// Notes the name of the calling thread.
pub(crate) fn name_here(tid: u32) {
    let mut name = [0_u8; 16];
    // SAFETY: the kernel writes at most 16 bytes, the last of which is 0.
    let result = unsafe { libc::prctl(libc::PR_GET_NAME, name.as_mut_ptr()) };
    let text = name.split(|byte| *byte == 0).next().unwrap_or_default();
    if result == 0 {
        note(tid, &String::from_utf8_lossy(text));
    }
}

/// The name of a thread, or that of the process, which nameless threads have from it.
pub(crate) fn name_of(tid: u32) -> String {
    names::thread_name(tid).unwrap_or_else(|| first_name().to_owned())
}

/// A name that tells a thread from the first one. Thousands of nameless threads may come and
/// go, and would fill the tables with nothing.
fn note(tid: u32, name: &str) {
    if tid == std::process::id() || name != first_name() {
        names::name_thread(tid, name);
    }
}

/// The name of the first thread.
fn first_name() -> &'static str {
    static NAME: OnceLock<String> = OnceLock::new();
    NAME.get_or_init(|| {
        let name = fs::read_to_string("/proc/self/comm").unwrap_or_default();
        name.trim_end().to_owned()
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::cpu::timer::this_thread;

    #[test]
    fn this_thread_is_listed_and_has_its_name() {
        let named = std::thread::Builder::new().name("tasks-test".into());
        let check = || {
            let tid = this_thread();
            assert!(list().unwrap().contains(&tid) && count() > 0);
            name(tid);
            assert_eq!(name_of(tid), "tasks-test");
            name_here(tid);
            assert_eq!(name_of(tid), "tasks-test");
        };
        named.spawn(check).unwrap().join().unwrap();
        assert_eq!(name_of(u32::MAX), first_name());
    }

    #[test]
    fn the_first_threads_stack_is_found() {
        let stack = bounds(std::process::id());
        // SAFETY: reads the process's own auxiliary vector.
        let bytes = unsafe { libc::getauxval(libc::AT_EXECFN) };
        assert!(stack.is_known() && stack.low() < bytes && bytes < stack.high());
        assert!(!bounds(0).is_known());
    }
}
