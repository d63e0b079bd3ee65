//! Finding what dead processes left, each file exactly once.
//!
//! Whether a writer lives is asked of the kernel: it holds the lock of its file, and loses it
//! with its last instruction. Whoever gets that lock has claimed the file, until it lets go of
//! it or dies too. No process id, start time or clock can mislead this. A child that a host
//! forked without executing anything keeps its parent's lock: such a file is found when the
//! child is gone too.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::format::MAX_LOG_BYTES;
use super::memory::{SUFFIX, UNFINISHED, try_lock};
use super::read::{DeadLog, read};
use super::write::{LogError, SampleLog};

/// Most files of dead processes kept; the oldest go first.
pub(crate) const MAX_DEAD_FILES: usize = 8;

/// Most bytes of them kept.
pub(crate) const MAX_DEAD_BYTES: u64 = 64 << 20;

/// What a folder held.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Claimed logs, oldest first.
    pub(crate) logs: Vec<DeadFile>,
    /// Logs whose writers live, or that another process has claimed.
    pub(crate) held: usize,
    /// Logs that were deleted unread, because there were too many.
    pub(crate) dropped: usize,
}

/// The log of a process that is no more. Ours until it is dropped: then the next start finds it
/// again, unless it was deleted.
#[derive(Debug)]
pub(crate) struct DeadFile {
    file: File,
    path: PathBuf,
    bytes: u64,
}

/// Claims the logs in `folder` whose writers are no more, within [`MAX_DEAD_FILES`] and
/// [`MAX_DEAD_BYTES`]; a folder that does not exist holds none.
///
/// # Errors
/// If the folder cannot be read.
pub(crate) fn find_dead(folder: &Path) -> io::Result<Found> {
    let mut names = match fs::read_dir(folder) {
        Ok(entries) => entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::default()),
        Err(error) => return Err(error),
    };
    // Names begin with the time of the start.
    names.sort_unstable();
    let mut found = Found::default();
    let mut bytes = 0u64;
    for path in names.into_iter().rev() {
        match ending(&path) {
            Some(UNFINISHED) => remove_unfinished(&path),
            Some(_) => match claim(&path) {
                Ok(Some(dead)) => found.keep_within_bounds(dead, &mut bytes),
                Ok(None) => found.held += 1,
                // Gone meanwhile, or not ours to read.
                Err(_) => {}
            },
            None => {}
        }
    }
    found.logs.reverse();
    Ok(found)
}

impl Found {
    fn keep_within_bounds(&mut self, dead: DeadFile, bytes: &mut u64) {
        let with_this = bytes.saturating_add(dead.bytes);
        if self.logs.len() < MAX_DEAD_FILES && with_this <= MAX_DEAD_BYTES {
            *bytes = with_this;
            self.logs.push(dead);
        } else if dead.delete().is_ok() {
            self.dropped += 1;
        }
    }
}

impl DeadFile {
    /// Its name, which no other log has.
    pub(crate) fn name(&self) -> String {
        self.path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Where it is; snapshots that the process spooled lie beside it.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Reads it, at most [`MAX_LOG_BYTES`] of it.
    ///
    /// # Errors
    /// If it is not a log, or cannot be read at all.
    pub(crate) fn read(&self) -> Result<DeadLog, LogError> {
        let failed = |source| LogError::Read { path: self.path.clone(), source };
        let mut bytes = Vec::new();
        (&self.file).rewind().map_err(failed)?;
        // One more than a reader takes, so that it sees that it is too large.
        (&self.file).take(MAX_LOG_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
        read(&bytes)
    }

    /// Deletes it: what it held is safe elsewhere.
    ///
    /// # Errors
    /// If the system refuses; then it is found again.
    pub(crate) fn delete(self) -> io::Result<()> {
        // The lock is let go of after the name is, so nobody claims it in between.
        fs::remove_file(&self.path)
    }
}

impl SampleLog {
    /// Deletes the file of a log all of which is safe elsewhere; the log goes on in memory.
    ///
    /// # Errors
    /// If the system refuses; then a later start finds it, with nothing in it.
    pub(crate) fn remove_file(&self) -> io::Result<()> {
        self.path().map_or(Ok(()), fs::remove_file)
    }
}

fn ending(path: &Path) -> Option<&'static str> {
    let name = path.file_name().and_then(OsStr::to_str)?;
    [SUFFIX, UNFINISHED].into_iter().find(|suffix| name.ends_with(suffix))
}

/// The file, if its lock was to be had and it is still there under its name.
fn claim(path: &Path) -> io::Result<Option<DeadFile>> {
    let file = open(path)?;
    if !try_lock(&file)? {
        return Ok(None);
    }
    // Whoever had the lock before us may have deleted it meanwhile.
    let (ours, named) = (file.metadata()?, fs::symlink_metadata(path)?);
    if (ours.dev(), ours.ino()) != (named.dev(), named.ino()) {
        return Err(io::ErrorKind::NotFound.into());
    }
    Ok(Some(DeadFile { file, path: path.to_owned(), bytes: ours.len() }))
}

/// Opens a plain file, and neither follows a link nor waits for a pipe.
fn open(path: &Path) -> io::Result<File> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::ErrorKind::InvalidInput.into()),
    }
}

/// Removes what a process left that died while it made its log.
///
/// A writer locks its file before it gives it a length. So one with a length and without a lock
/// has lost its writer; an empty one may not have been locked yet, takes no space, and is left.
fn remove_unfinished(path: &Path) {
    let Ok(file) = open(path) else { return };
    let has_length = file.metadata().is_ok_and(|metadata| metadata.len() > 0);
    if has_length && try_lock(&file).unwrap_or(false) {
        // Failing, it is tried again at the next start.
        let _ = fs::remove_file(path);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::HashSet;
    use std::sync::Barrier;
    use std::thread;

    use super::super::{LogOptions, SampleLog};
    use super::*;

    const SMALL: LogOptions = LogOptions { period: 1, half_bytes: 4096, dictionary_bytes: 4096 };

    fn leave(folder: &Path, logs: usize) -> Vec<PathBuf> {
        let leave = |_| SampleLog::create(folder, SMALL).unwrap().path().unwrap().to_owned();
        (0..logs).map(leave).collect()
    }

    #[test]
    fn only_the_dead_are_found_and_stay_until_they_are_deleted() {
        let folder = tempfile::tempdir().unwrap();
        assert!(find_dead(&folder.path().join("none")).unwrap().logs.is_empty());
        let alive = SampleLog::create(folder.path(), SMALL).unwrap();
        let dead = leave(folder.path(), 2);
        let found = find_dead(folder.path()).unwrap();
        let paths: Vec<&Path> = found.logs.iter().map(|log| log.path.as_path()).collect();
        assert_eq!(
            (paths, found.held, found.dropped),
            (dead.iter().map(|path| path.as_path()).collect(), 1, 0)
        );
        assert_eq!(found.logs[0].read().unwrap().header.pid, std::process::id());
        let again = find_dead(folder.path()).unwrap();
        assert_eq!((again.logs.len(), again.held), (0, 3), "they are claimed");
        drop(found);
        let mut found = find_dead(folder.path()).unwrap();
        assert_eq!(found.logs.len(), 2, "a claimant that dies gives them back");
        found.logs.remove(0).delete().unwrap();
        drop(found);
        assert_eq!(find_dead(folder.path()).unwrap().logs.len(), 1);
        drop(alive);
        assert_eq!(find_dead(folder.path()).unwrap().logs.len(), 2);
    }

    #[test]
    fn of_starters_that_race_one_gets_each() {
        let folder = tempfile::tempdir().unwrap();
        for _ in 0..10 {
            let left: HashSet<PathBuf> = leave(folder.path(), 5).into_iter().collect();
            let start = Barrier::new(4);
            let race = || {
                start.wait();
                let mut got = Vec::new();
                for log in find_dead(folder.path()).unwrap().logs {
                    got.push(log.path.clone());
                    log.delete().unwrap();
                }
                got
            };
            let got: Vec<PathBuf> = thread::scope(|scope| {
                let racers: Vec<_> = (0..4).map(|_| scope.spawn(race)).collect();
                racers.into_iter().flat_map(|racer| racer.join().unwrap()).collect()
            });
            assert_eq!(got.len(), left.len(), "{got:?}");
            assert_eq!(got.into_iter().collect::<HashSet<_>>(), left);
        }
    }

    #[test]
    fn the_oldest_go_when_there_are_too_many() {
        let folder = tempfile::tempdir().unwrap();
        let left = leave(folder.path(), MAX_DEAD_FILES);
        assert_eq!(find_dead(folder.path()).unwrap().dropped, 0);
        leave(folder.path(), 1);
        let found = find_dead(folder.path()).unwrap();
        assert_eq!((found.logs.len(), found.dropped), (MAX_DEAD_FILES, 1));
        assert!(!left[0].exists() && left[1].exists());
    }

    #[test]
    fn the_oldest_go_when_they_are_too_large() {
        let folder = tempfile::tempdir().unwrap();
        let left = leave(folder.path(), 3);
        let size = |path: &Path| fs::metadata(path).unwrap().len();
        // Without blocks: a length is all that counts.
        let file = OpenOptions::new().write(true).open(&left[1]).unwrap();
        file.set_len(MAX_DEAD_BYTES - size(&left[2])).unwrap();
        let found = find_dead(folder.path()).unwrap();
        assert_eq!((found.logs.len(), found.dropped), (2, 1));
        drop(found);
        file.set_len(MAX_DEAD_BYTES - size(&left[2]) + 1).unwrap();
        let found = find_dead(folder.path()).unwrap();
        assert_eq!((found.logs.len(), found.dropped), (1, 1));
        assert!(left[2].exists());
    }

    #[test]
    fn what_is_no_finished_log_is_left_alone_or_tidied() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("notes.txt"), "not ours").unwrap();
        fs::create_dir(at("1-2-3.samples")).unwrap();
        std::os::unix::fs::symlink(at("notes.txt"), at("2-2-3.samples")).unwrap();
        fs::write(at("3-2-3.samples"), "no log").unwrap();
        fs::write(at("4-2-3.new"), "begun").unwrap();
        fs::write(at("5-2-3.new"), "").unwrap();
        let locked = File::create(at("6-2-3.new")).unwrap();
        assert!(try_lock(&locked).unwrap());
        locked.set_len(1).unwrap();
        let found = find_dead(folder.path()).unwrap();
        let [log] = &found.logs[..] else { panic!("{:?}", found.logs) };
        assert!(matches!(log.read(), Err(LogError::TooShort)));
        assert_eq!(log.name(), "3-2-3");
        assert!(!at("4-2-3.new").exists() && at("5-2-3.new").exists() && at("6-2-3.new").exists());
        assert!(at("notes.txt").exists() && at("1-2-3.samples").exists());
    }

    #[test]
    fn a_removed_log_goes_on_in_memory() {
        let folder = tempfile::tempdir().unwrap();
        let log = SampleLog::create(folder.path(), SMALL).unwrap();
        log.remove_file().unwrap();
        assert!(find_dead(folder.path()).unwrap().logs.is_empty());
        assert!(log.seal(0).is_some());
        assert!(SampleLog::anonymous(SMALL).unwrap().remove_file().is_ok());
    }

    #[test]
    fn where_no_file_can_be_had_is_said() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("file"), "").unwrap();
        let error = SampleLog::create(&folder.path().join("file"), SMALL).unwrap_err();
        assert!(error.to_string().starts_with("failed to make a sample log in `"), "{error}");
    }
}
