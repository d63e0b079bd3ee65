//! The memory a log lives in: a file of its own, or none.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

use super::format::WORD;

/// How the names of logs end.
pub(crate) const SUFFIX: &str = ".samples";

/// How the name of a log ends that is not finished.
pub(crate) const UNFINISHED: &str = ".new";

/// Words shared with whoever reads the file, zero at first.
///
/// The file is never truncated while it is mapped, by us or any other Flambeau, because a
/// process that touches a page its file no longer has dies of SIGBUS.
#[derive(Debug)]
pub(crate) struct Memory {
    words: NonNull<AtomicU64>,
    len: usize,
    /// Open for its lock: the kernel takes it away when the process ends, however it ends.
    file: Option<(File, PathBuf)>,
}

// SAFETY: plain memory of atomics; the pointer is ours until `drop`.
unsafe impl Send for Memory {}
// SAFETY: as above; all access is atomic.
unsafe impl Sync for Memory {}

impl Memory {
    /// Memory that dies with the process.
    pub(crate) fn anonymous(len: usize) -> io::Result<Memory> {
        let words = map(len, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1)?;
        Ok(Memory { words, len, file: None })
    }

    /// A new file `{name}.samples` in `folder`, locked for as long as this process lives, with
    /// its blocks allocated; `fill` writes what must be there before anybody may find it.
    ///
    /// # Errors
    /// What the system says: no space, no permission, the name taken.
    pub(crate) fn in_file(
        folder: &Path,
        name: &str,
        len: usize,
        fill: impl FnOnce(&[AtomicU64]),
    ) -> io::Result<Memory> {
        let unfinished = folder.join(format!("{name}{UNFINISHED}"));
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&unfinished)?;
        let finished = folder.join(format!("{name}{SUFFIX}"));
        let made = prepare(&file, len).and_then(|words| {
            let memory = Memory { words, len, file: Some((file, finished)) };
            fill(memory.words());
            // Unlike a rename, a link fails if the name is taken.
            fs::hard_link(&unfinished, memory.path().unwrap_or(folder))?;
            Ok(memory)
        });
        // Gone on failure, and one name too many on success.
        let removed = fs::remove_file(&unfinished);
        made.and_then(|memory| removed.map(|()| memory))
    }

    /// All words.
    #[inline]
    pub(crate) fn words(&self) -> &[AtomicU64] {
        // SAFETY: mapped for `len` words, page-aligned, readable and writable until `drop`;
        // nobody accesses it but atomically.
        unsafe { std::slice::from_raw_parts(self.words.as_ptr(), self.len) }
    }

    /// Where the file is, if there is one.
    pub(crate) fn path(&self) -> Option<&Path> {
        self.file.as_ref().map(|(_, path)| path.as_path())
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: our own mapping; `self` borrows to nobody any more.
        unsafe { libc::munmap(self.words.as_ptr().cast(), self.len * WORD) };
    }
}

fn prepare(file: &File, len: usize) -> io::Result<NonNull<AtomicU64>> {
    if !try_lock(file)? {
        return Err(io::Error::new(io::ErrorKind::WouldBlock, "another process locked our file"));
    }
    let bytes = libc::off_t::try_from(len * WORD).map_err(io::Error::other)?;
    // Blocks now, so that a full disk is an error here and not a SIGBUS at some sample.
    loop {
        // SAFETY: an open file of ours.
        match unsafe { libc::posix_fallocate(file.as_raw_fd(), 0, bytes) } {
            0 => return map(len, libc::MAP_SHARED, file.as_raw_fd()),
            libc::EINTR => {}
            error => return Err(io::Error::from_raw_os_error(error)),
        }
    }
}

fn map(len: usize, flags: libc::c_int, fd: libc::c_int) -> io::Result<NonNull<AtomicU64>> {
    let access = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a new mapping at an address of the kernel's choice.
    let at = unsafe { libc::mmap(std::ptr::null_mut(), len * WORD, access, flags, fd, 0) };
    match NonNull::new(at.cast()) {
        Some(words) if at != libc::MAP_FAILED => Ok(words),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Takes the file's lock, if nobody has it. It belongs to the open file: it goes with the last
/// descriptor of it, also when the process is killed.
pub(crate) fn try_lock(file: &File) -> io::Result<bool> {
    // SAFETY: an open file.
    if unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } == 0 {
        return Ok(true);
    }
    match io::Error::last_os_error() {
        error if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
        error => Err(error),
    }
}
