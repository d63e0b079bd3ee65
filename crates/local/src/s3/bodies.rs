//! Body files: written once, never changed, named by number.
//!
//! A body is invisible until a catalogue row names it, so it needs no
//! temporary name: one that no row names is an orphan of a crash or a refused
//! put and is removed at the next open. Numbers only grow, and neighbours
//! share a directory, so a group of puts needs one directory sync.

use rusqlite::types::{FromSql, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Bodies kept in one directory.
const SHARD: u64 = 4096;

/// The number of a body file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct BodyId(u64);

impl BodyId {
    /// The directory it lies in.
    pub(super) fn shard(self) -> ShardId {
        ShardId(self.0 / SHARD)
    }

    fn parse(file_name: &str) -> Option<Self> {
        u64::from_str_radix(file_name, 16).ok().map(Self)
    }
}

impl ToSql for BodyId {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        self.0.to_sql()
    }
}

impl FromSql for BodyId {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        u64::column_result(value).map(Self)
    }
}

/// A directory of [`SHARD`] bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ShardId(u64);

/// The folder of all bodies.
#[derive(Debug)]
pub(super) struct Bodies {
    dir: PathBuf,
    next: AtomicU64,
}

impl Bodies {
    /// Opens the folder and removes every body that is not in `live`.
    ///
    /// Nothing else may use the folder meanwhile: a body being written would
    /// be taken for an orphan.
    pub(super) fn open(dir: PathBuf, live: &HashSet<BodyId>) -> io::Result<Self> {
        fs::create_dir_all(&dir)?;
        let highest = sweep(&dir, live)?.max(live.iter().max().copied());
        let next = AtomicU64::new(highest.map_or(0, |id| id.0 + 1));
        Ok(Self { dir, next })
    }

    /// A new, empty body.
    pub(super) fn create(&self) -> io::Result<NewBody> {
        let (id, path) = self.allocate()?;
        let file = OpenOptions::new().write(true).create_new(true).open(&path)?;
        Ok(NewBody { id, path: Some(path), file: Some(file) })
    }

    /// A second name for the bytes of `source`; bodies never change, so the
    /// two may share them.
    pub(super) fn link(&self, source: BodyId) -> io::Result<NewBody> {
        let (id, path) = self.allocate()?;
        fs::hard_link(self.path(source), &path)?;
        Ok(NewBody { id, path: Some(path), file: None })
    }

    /// Opens a body for reading. It stays readable through this handle even
    /// after it was removed.
    pub(super) fn read(&self, id: BodyId) -> io::Result<File> {
        File::open(self.path(id))
    }

    /// Makes the names in a shard durable.
    pub(super) fn sync(&self, shard: ShardId) -> io::Result<()> {
        File::open(self.shard_path(shard))?.sync_all()
    }

    /// Removes a body. A failure leaves an orphan for the next open.
    pub(super) fn remove(&self, id: BodyId) {
        remove_orphan(&self.path(id));
    }

    fn allocate(&self) -> io::Result<(BodyId, PathBuf)> {
        let id = BodyId(self.next.fetch_add(1, Ordering::Relaxed));
        let shard = self.shard_path(id.shard());
        match fs::create_dir(&shard) {
            Ok(()) => File::open(&self.dir)?.sync_all()?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        Ok((id, self.path(id)))
    }

    fn shard_path(&self, shard: ShardId) -> PathBuf {
        self.dir.join(format!("{:x}", shard.0))
    }

    fn path(&self, id: BodyId) -> PathBuf {
        self.shard_path(id.shard()).join(format!("{:016x}", id.0))
    }
}

/// A body that no row names yet; dropping it removes the file.
#[derive(Debug)]
pub(super) struct NewBody {
    id: BodyId,
    path: Option<PathBuf>,
    file: Option<File>,
}

impl NewBody {
    pub(super) fn id(&self) -> BodyId {
        self.id
    }

    /// The file to write to; none for a link.
    pub(super) fn file(&mut self) -> io::Result<&mut File> {
        let closed = || io::Error::other("body is already closed");
        self.file.as_mut().ok_or_else(closed)
    }

    /// Makes the bytes durable and closes the file.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        self.file.take().map_or(Ok(()), |file| file.sync_all())
    }

    /// A row names it now: leave the file alone.
    pub(super) fn keep(mut self) -> BodyId {
        self.path = None;
        self.id
    }
}

impl Drop for NewBody {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            remove_orphan(path);
        }
    }
}

fn remove_orphan(path: &Path) {
    if let Err(error) = fs::remove_file(path) {
        tracing::warn!(path = %path.display(), %error, "body not removed, left to the next open");
    }
}

/// Removes orphans and empty shards; tells the highest number seen.
fn sweep(dir: &Path, live: &HashSet<BodyId>) -> io::Result<Option<BodyId>> {
    let mut highest = None;
    for shard in fs::read_dir(dir)? {
        let shard = shard?.path();
        for file in fs::read_dir(&shard)? {
            let file = file?;
            let Some(id) = file.file_name().to_str().and_then(BodyId::parse) else {
                continue;
            };
            highest = highest.max(Some(id));
            if !live.contains(&id) {
                remove_orphan(&file.path());
            }
        }
        // Refused, rightly, while anything is left in it.
        let _ = fs::remove_dir(&shard);
    }
    Ok(highest)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    fn written(bodies: &Bodies, bytes: &[u8]) -> BodyId {
        let mut body = bodies.create().unwrap();
        body.file().unwrap().write_all(bytes).unwrap();
        body.sync().unwrap();
        body.keep()
    }

    fn text(bodies: &Bodies, id: BodyId) -> io::Result<String> {
        let mut text = String::new();
        bodies.read(id)?.read_to_string(&mut text)?;
        Ok(text)
    }

    #[test]
    fn open_removes_orphans_and_keeps_live_bodies() {
        let dir = tempfile::tempdir().unwrap();
        let bodies = Bodies::open(dir.path().into(), &HashSet::new()).unwrap();
        let (live, orphan) = (written(&bodies, b"live"), written(&bodies, b"orphan"));
        let bodies = Bodies::open(dir.path().into(), &HashSet::from([live])).unwrap();
        assert_eq!(text(&bodies, live).unwrap(), "live");
        assert!(bodies.read(orphan).is_err());
        assert!(written(&bodies, b"next") > orphan);
    }

    #[test]
    fn a_dropped_body_leaves_no_file() {
        let dir = tempfile::tempdir().unwrap();
        let bodies = Bodies::open(dir.path().into(), &HashSet::new()).unwrap();
        let body = bodies.create().unwrap();
        let id = body.id();
        drop(body);
        assert!(bodies.read(id).is_err());
    }

    #[test]
    fn a_link_outlives_its_source() {
        let dir = tempfile::tempdir().unwrap();
        let bodies = Bodies::open(dir.path().into(), &HashSet::new()).unwrap();
        let source = written(&bodies, b"shared");
        let link = bodies.link(source).unwrap().keep();
        bodies.remove(source);
        assert_eq!(text(&bodies, link).unwrap(), "shared");
    }
}
