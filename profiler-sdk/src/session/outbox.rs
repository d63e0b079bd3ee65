//! Closed snapshots that nobody has acknowledged yet.

use std::collections::VecDeque;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use tracing::debug;

/// Most snapshots kept for another attempt.
pub const MAX_SNAPSHOTS: usize = 16;

/// Most bytes of snapshots kept for another attempt.
pub const MAX_SNAPSHOT_BYTES: usize = 4 << 20;

/// How the names of spooled snapshots end.
const SPOOLED: &str = "snapshot";

/// One closed snapshot: from here on neither its key nor its bytes change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Closed {
    pub(crate) key: String,
    pub(crate) bytes: Bytes,
    /// Losses that this snapshot tells of; if it is lost, another must tell them.
    pub(crate) told_dropped: u64,
}

/// A bounded queue that gives up its oldest rather than grow.
///
/// With a spool, a file per snapshot lies beside the sample log until it is acknowledged, so
/// that the next process of this environment can write what this one could not.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    spool: Option<Spool>,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    waiting: VecDeque<Waiting>,
    bytes: usize,
    untold: u64,
}

#[derive(Debug)]
struct Waiting {
    closed: Closed,
    file: Option<PathBuf>,
}

impl Outbox {
    /// A queue that spools to files called `{stem}.{n}.snapshot`.
    pub(crate) fn spooled(stem: PathBuf) -> Self {
        Self { spool: Some(Spool { stem }), inner: Mutex::default() }
    }

    /// Adds a snapshot, dropping the oldest if there is no room; true if any was dropped.
    pub(crate) fn push(&self, closed: Closed) -> bool {
        let file = self.spool.as_ref().and_then(|spool| spool.keep(&closed));
        self.add(Waiting { closed, file })
    }

    /// Adds a snapshot that another process left in `file`; as [`Outbox::push`]. The file
    /// becomes one of this process's, whose log a third process would look for.
    pub(crate) fn adopt(&self, closed: Closed, file: PathBuf) -> bool {
        let own = self.spool.as_ref().and_then(|spool| spool.keep(&closed));
        if own.is_some() {
            let _ = std::fs::remove_file(&file);
        }
        self.add(Waiting { closed, file: own.or(Some(file)) })
    }

    fn add(&self, waiting: Waiting) -> bool {
        let mut inner = self.lock();
        inner.bytes += waiting.closed.bytes.len();
        inner.waiting.push_back(waiting);
        let mut dropped = false;
        while inner.waiting.len() > MAX_SNAPSHOTS || inner.bytes > MAX_SNAPSHOT_BYTES {
            let Some(oldest) = inner.waiting.pop_front() else { break };
            inner.bytes -= oldest.closed.bytes.len();
            inner.untold += 1 + oldest.closed.told_dropped;
            oldest.forget();
            dropped = true;
        }
        dropped
    }

    /// The oldest snapshot still waiting.
    pub(crate) fn oldest(&self) -> Option<Closed> {
        self.lock().waiting.front().map(|waiting| waiting.closed.clone())
    }

    /// Forgets a snapshot that is held elsewhere now.
    pub(crate) fn acknowledge(&self, key: &str) {
        let mut inner = self.lock();
        if let Some(at) = inner.waiting.iter().position(|waiting| waiting.closed.key == key) {
            let held = inner.waiting.remove(at);
            inner.bytes -= held.as_ref().map_or(0, |held| held.closed.bytes.len());
            held.iter().for_each(Waiting::forget);
        }
    }

    /// Snapshots dropped that no snapshot has told of; the caller's next one will.
    pub(crate) fn take_untold(&self) -> u64 {
        std::mem::take(&mut self.lock().untold)
    }

    /// How many snapshots wait.
    pub(crate) fn len(&self) -> usize {
        self.lock().waiting.len()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn forget(&self) {
        let removed = self.file.as_ref().map(std::fs::remove_file);
        if let Some(Err(error)) = removed {
            debug!(%error, file = ?self.file, "a spooled snapshot stays behind");
        }
    }
}

#[derive(Debug)]
struct Spool {
    stem: PathBuf,
}

impl Spool {
    /// Where the snapshot is kept; `None` if it cannot be: it is then in memory only.
    fn keep(&self, closed: &Closed) -> Option<PathBuf> {
        let digest = closed
            .key
            .bytes()
            .fold(0_u64, |sum, byte| sum.wrapping_mul(0x100_0000_01b3).wrapping_add(byte.into()));
        let path = self.stem.with_extension(format!("{digest:016x}.{SPOOLED}"));
        match write_whole(&path, closed) {
            Ok(()) => Some(path),
            Err(error) => {
                debug!(%error, "a snapshot is kept in memory only");
                None
            }
        }
    }
}

/// Key, a line's end, then the bytes; under its name only when whole.
fn write_whole(path: &Path, closed: &Closed) -> std::io::Result<()> {
    let draft = path.with_extension("draft");
    let mut file = std::fs::File::create(&draft)?;
    file.write_all(closed.key.as_bytes())?;
    file.write_all(b"\n")?;
    file.write_all(&closed.bytes)?;
    std::fs::rename(draft, path)
}

/// Snapshots that a process which is no more has spooled to `stem`, oldest first.
pub(crate) fn left_behind(stem: &Path) -> Vec<(PathBuf, Closed)> {
    let (Some(folder), Some(name)) = (stem.parent(), stem.file_stem()) else { return Vec::new() };
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let begin = format!("{}.", name.to_string_lossy());
    let is_ours = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with(&begin) && name.ends_with(&format!(".{SPOOLED}"))
    };
    let mut files: Vec<_> =
        entries.filter_map(Result::ok).map(|entry| entry.path()).filter(is_ours).collect();
    files.sort_by_key(|path| path.metadata().and_then(|meta| meta.modified()).ok());
    files.into_iter().filter_map(|path| Some((path.clone(), read_whole(&path)?))).collect()
}

fn read_whole(path: &Path) -> Option<Closed> {
    // What outgrew the outbox was never spooled.
    let small = path.metadata().is_ok_and(|meta| meta.len() <= 2 * MAX_SNAPSHOT_BYTES as u64);
    let bytes = Bytes::from(std::fs::read(path).ok().filter(|_| small)?);
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let key = String::from_utf8(bytes[..end].to_vec()).ok()?;
    Some(Closed { key, bytes: bytes.slice(end + 1..), told_dropped: 0 })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn closed(number: usize, bytes: usize) -> Closed {
        Closed { key: number.to_string(), bytes: vec![0; bytes].into(), told_dropped: 0 }
    }

    #[test]
    fn the_oldest_goes_first_when_there_are_too_many() {
        let outbox = Outbox::default();
        for number in 0..MAX_SNAPSHOTS {
            assert!(!outbox.push(closed(number, 1)));
        }
        assert!(outbox.push(closed(99, 1)));
        assert_eq!(outbox.len(), MAX_SNAPSHOTS);
        assert_eq!(outbox.oldest().unwrap().key, "1");
        assert_eq!((outbox.take_untold(), outbox.take_untold()), (1, 0));
    }

    #[test]
    fn bytes_are_bounded_and_counted_back() {
        let outbox = Outbox::default();
        assert!(!outbox.push(closed(0, MAX_SNAPSHOT_BYTES)));
        outbox.acknowledge("0");
        outbox.acknowledge("0");
        assert!(!outbox.push(closed(1, MAX_SNAPSHOT_BYTES)));
        assert!(outbox.push(closed(2, 1)));
        assert_eq!(outbox.oldest().unwrap().key, "2");
        assert!(outbox.push(closed(3, MAX_SNAPSHOT_BYTES + 1)), "even the newest may be too large");
        assert_eq!(outbox.len(), 0);
        assert_eq!(outbox.take_untold(), 3);
    }

    #[test]
    fn a_lost_messenger_hands_its_news_on() {
        let outbox = Outbox::default();
        outbox.push(Closed { told_dropped: 5, ..closed(0, 1) });
        for number in 1..=MAX_SNAPSHOTS {
            outbox.push(closed(number, 1));
        }
        assert_eq!(outbox.take_untold(), 6);
    }

    #[test]
    fn what_is_spooled_outlives_the_process_until_acknowledged() {
        let folder = tempfile::tempdir().unwrap();
        let stem = folder.path().join("1-2.log");
        let outbox = Outbox::spooled(stem.clone());
        outbox.push(closed(1, 10));
        outbox.push(closed(2, 20));
        std::fs::write(folder.path().join("1-2.0.draft"), b"half").unwrap();
        std::fs::write(folder.path().join("1-3.0.snapshot"), b"other\n").unwrap();
        let left = left_behind(&stem);
        let keys: Vec<_> = left.iter().map(|(_, closed)| closed.key.as_str()).collect();
        assert_eq!(keys, ["1", "2"]);
        assert_eq!(left[1].1, closed(2, 20));

        let next = Outbox::default();
        let (file, found) = left[0].clone();
        next.adopt(found, file);
        next.acknowledge("1");
        assert_eq!(left_behind(&stem).len(), 1);
        outbox.acknowledge("2");
        assert!(left_behind(&stem).is_empty());
    }

    #[test]
    fn what_is_dropped_leaves_the_spool_too() {
        let folder = tempfile::tempdir().unwrap();
        let stem = folder.path().join("1.log");
        let outbox = Outbox::spooled(stem.clone());
        let dropped = (0..=MAX_SNAPSHOTS).filter(|number| outbox.push(closed(*number, 1)));
        assert_eq!(dropped.count(), 1);
        assert_eq!(left_behind(&stem).len(), MAX_SNAPSHOTS);
        let nowhere = Outbox::spooled("/nowhere/at/all.log".into());
        assert!(!nowhere.push(closed(1, 1)));
        assert_eq!(nowhere.len(), 1, "memory must do");
    }
}
