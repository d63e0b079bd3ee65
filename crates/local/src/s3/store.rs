//! What every request shares: catalogue, bodies, clock, limits.

use super::bodies::{Bodies, NewBody};
use super::catalog::{self, Readers};
use super::error::{Error, Fault};
use super::writer::Writer;
use super::{Clock, Options};
use crate::dirlock::DirLock;
use rusqlite::Connection;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

pub(super) struct Store {
    // Fields drop in this order: the writer ends before the lock goes.
    pub(super) writer: Writer,
    pub(super) readers: Arc<Readers>,
    pub(super) bodies: Arc<Bodies>,
    pub(super) max_object_bytes: u64,
    clock: Clock,
    _lock: DirLock,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").finish_non_exhaustive()
    }
}

impl Store {
    /// Takes the directory's lock, opens the catalogue, sweeps orphans.
    pub(super) fn open(dir: &Path, options: Options) -> Result<Self, Error> {
        let lock = DirLock::acquire(dir)?;
        let path = dir.join("catalogue.sqlite");
        let conn = catalog::open(&path)?;
        let live = catalog::live_bodies(&conn)?;
        let bodies = Arc::new(Bodies::open(dir.join("bodies"), &live)?);
        let writer = Writer::start(conn, Arc::clone(&bodies), options.event_prefixes)?;
        Ok(Self {
            writer,
            readers: Arc::new(Readers::new(&path)),
            bodies,
            max_object_bytes: options.max_object_bytes,
            clock: options.clock,
            _lock: lock,
        })
    }

    pub(super) fn now(&self) -> SystemTime {
        (self.clock)()
    }

    /// Runs a query off the async threads.
    pub(super) async fn read<T, E>(
        &self,
        query: impl FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + From<rusqlite::Error> + Send + 'static,
    {
        let readers = Arc::clone(&self.readers);
        blocking(move || readers.read(query)).await
    }

    /// A new body file.
    pub(super) async fn new_body(&self) -> Result<NewBody, Fault> {
        let bodies = Arc::clone(&self.bodies);
        blocking(move || Ok(bodies.create()?)).await
    }
}

/// Runs blocking work off the async threads.
pub(super) async fn blocking<T, E>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, E>
where
    T: Send + 'static,
    E: From<Error> + Send + 'static,
{
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        // A panic, already reported, or the runtime's end.
        Err(_) => Err(Error::Stopping.into()),
    }
}
