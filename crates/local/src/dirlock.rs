//! One process per directory.
//!
//! The lock is the kernel's (`flock` on Unix), taken on a file inside the
//! directory, so `kill -9` releases it and a stale file blocks nobody. The
//! file's text is the holder's pid, for the message a second process gives.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Name of the lock file inside the directory.
pub const LOCK_FILE: &str = "lock";

/// How long a refused process waits for a holder that has the lock but has
/// not written its pid yet.
const PID_WAIT: Duration = Duration::from_millis(500);

/// Why a directory could not be locked.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process holds it.
    #[error("`{}` is in use by {}: stop it or choose another directory", dir.display(), holder(pid))]
    Held {
        /// The directory asked for.
        dir: PathBuf,
        /// The holder's process id, when it could be read.
        pid: Option<u32>,
    },
    /// The directory or its lock file could not be used.
    #[error("cannot lock `{}`: {source}", dir.display())]
    Io {
        /// The directory asked for.
        dir: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

fn holder(pid: &Option<u32>) -> String {
    match pid {
        Some(pid) => format!("process {pid}"),
        None => "another process".to_owned(),
    }
}

/// A held lock; dropping it, or the death of the process, releases it.
#[derive(Debug)]
pub struct DirLock {
    file: File,
}

impl DirLock {
    /// Locks `dir`, creating it if it is missing.
    ///
    /// # Errors
    /// [`LockError::Held`] at once, without waiting, if anyone holds it (this
    /// process included); [`LockError::Io`] if the directory cannot be used.
    pub fn acquire(dir: &Path) -> Result<Self, LockError> {
        let failed = |source| LockError::Io { dir: dir.to_owned(), source };
        std::fs::create_dir_all(dir).map_err(failed)?;
        let mut file = open(&dir.join(LOCK_FILE)).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {
                write_pid(&mut file).map_err(failed)?;
                Ok(Self { file })
            }
            Err(TryLockError::WouldBlock) => {
                Err(LockError::Held { dir: dir.to_owned(), pid: read_pid(&mut file) })
            }
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }
}

impl Drop for DirLock {
    fn drop(&mut self) {
        // The pid goes first, so nobody is told of a holder that has left.
        // Closing the file would unlock as well; nothing is left to report to.
        let _ = self.file.set_len(0);
        let _ = self.file.unlock();
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
}

fn write_pid(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    write!(file, "{}", std::process::id())
}

fn read_pid(file: &mut File) -> Option<u32> {
    let deadline = Instant::now() + PID_WAIT;
    loop {
        let mut text = String::new();
        file.rewind().ok()?;
        file.read_to_string(&mut text).ok()?;
        if let Ok(pid) = text.trim().parse() {
            return Some(pid);
        }
        if Instant::now() >= deadline {
            return None;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn second_holder_is_told_the_first_pid() {
        let dir = tempfile::tempdir().unwrap();
        let held = DirLock::acquire(dir.path()).unwrap();
        let refused = DirLock::acquire(dir.path()).unwrap_err();
        let LockError::Held { pid, .. } = &refused else {
            panic!("expected Held, got {refused:?}");
        };
        assert_eq!(*pid, Some(std::process::id()));
        assert!(refused.to_string().contains(&std::process::id().to_string()));
        drop(held);
        DirLock::acquire(dir.path()).unwrap();
    }

    #[test]
    fn a_file_left_by_a_dead_process_does_not_block() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(LOCK_FILE), "4294967295 and more text").unwrap();
        let _held = DirLock::acquire(dir.path()).unwrap();
        let text = std::fs::read_to_string(dir.path().join(LOCK_FILE)).unwrap();
        assert_eq!(text, std::process::id().to_string());
    }

    #[test]
    fn a_path_that_is_a_file_is_an_io_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, "").unwrap();
        assert!(matches!(DirLock::acquire(&path), Err(LockError::Io { .. })));
    }
}
