//! What was freed once is used again.
//!
//! By default the C library asks the kernel anew for each large piece, gives it back
//! when it is freed, and learns only slowly not to; every fresh page is a fault, and
//! a view makes and drops large tables one after the other. Memory is paid for by the
//! function's size and not by what it uses, so that giving back saves nobody a cent.

/// Keeps all memory with the process from now on, where the C library is glibc.
pub(crate) fn keep_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    for (option, bytes) in [
        // The most that all versions take (mallopt(3)).
        (libc::M_MMAP_THRESHOLD, 32 << 20),
        (libc::M_TRIM_THRESHOLD, libc::c_int::MAX),
    ] {
        // SAFETY: sets a number of the allocator, which takes its own lock. One it
        // refuses stays as it was.
        unsafe { libc::mallopt(option, bytes) };
    }
}
