//! The outbox: what happened to objects, recorded in the transaction that
//! made it happen, handed out until acknowledged.

use super::catalog::{millis, time_of_millis};
use super::error::Error;
use super::store::Store;
use rusqlite::{Connection, Row, params};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::SystemTime;
use tokio::sync::watch;

/// What happened, by the name S3 notifications give it (without `s3:`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventName {
    /// `ObjectCreated:Put`
    CreatedPut,
    /// `ObjectCreated:Copy`
    CreatedCopy,
    /// `ObjectCreated:CompleteMultipartUpload`
    CreatedCompleteMultipartUpload,
    /// `ObjectRemoved:Delete`
    RemovedDelete,
}

impl EventName {
    const ALL: [Self; 4] = [
        Self::CreatedPut,
        Self::CreatedCopy,
        Self::CreatedCompleteMultipartUpload,
        Self::RemovedDelete,
    ];

    /// The name as in an S3 event record.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CreatedPut => "ObjectCreated:Put",
            Self::CreatedCopy => "ObjectCreated:Copy",
            Self::CreatedCompleteMultipartUpload => "ObjectCreated:CompleteMultipartUpload",
            Self::RemovedDelete => "ObjectRemoved:Delete",
        }
    }

    /// Whether an object came to be.
    pub fn is_created(self) -> bool {
        self != Self::RemovedDelete
    }
}

impl fmt::Display for EventName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A name that no [`EventName`] has.
#[derive(Debug, thiserror::Error)]
#[error("unknown event name `{0}`")]
pub struct UnknownEventName(String);

impl FromStr for EventName {
    type Err = UnknownEventName;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.into_iter().find(|e| e.as_str() == name);
        known.ok_or_else(|| UnknownEventName(name.to_owned()))
    }
}

/// One entry of the outbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Place in the order of commits; never used twice, gaps are possible.
    pub seq: u64,
    /// What happened.
    pub name: EventName,
    /// The object's bucket.
    pub bucket: String,
    /// The object's key, not URL-encoded.
    pub key: String,
    /// Bytes; of a removed object, what it had.
    pub size: u64,
    /// Entity tag without quotes.
    pub etag: String,
    /// The server's clock at the commit, to the millisecond.
    pub event_time: SystemTime,
}

/// What a job tells about an event.
#[derive(Clone, Copy, Debug)]
pub(super) struct NewEvent<'a> {
    pub(super) bucket: &'a str,
    pub(super) key: &'a str,
    pub(super) size: u64,
    pub(super) etag: &'a str,
    pub(super) at: SystemTime,
}

/// The reading end, for the event pump in the same process.
///
/// Delivery is at least once: an event is listed, in commit order, until it
/// is acknowledged, across restarts. Who has it in hand is the caller's to
/// remember; `after` skips over those.
#[derive(Clone, Debug)]
pub struct Outbox {
    store: Arc<Store>,
}

impl Outbox {
    pub(super) fn new(store: Arc<Store>) -> Self {
        Self { store }
    }

    /// The oldest `limit` events not acknowledged.
    ///
    /// # Errors
    /// If the catalogue cannot be read.
    pub async fn pending(&self, limit: usize) -> Result<Vec<Event>, Error> {
        self.pending_for_prefix("", 0, limit).await
    }

    /// The oldest `limit` events not acknowledged whose key begins with
    /// `prefix` and whose number is greater than `after`. Reads past events
    /// of other prefixes: record only the prefixes that someone acknowledges.
    ///
    /// # Errors
    /// If the catalogue cannot be read.
    pub async fn pending_for_prefix(
        &self,
        prefix: &str,
        after: u64,
        limit: usize,
    ) -> Result<Vec<Event>, Error> {
        let prefix = prefix.as_bytes().to_owned();
        self.store.read(move |conn| Ok(select(conn, &prefix, after, limit)?)).await
    }

    /// Forgets these events, durably. Unknown numbers are ignored.
    ///
    /// # Errors
    /// If the catalogue cannot be written; the events are then handed out
    /// again.
    pub async fn ack(&self, seqs: &[u64]) -> Result<(), Error> {
        let seqs = seqs.to_vec();
        let commit = self.store.writer.commit(move |batch| {
            let mut delete = batch.conn.prepare_cached("DELETE FROM outbox WHERE seq = ?1")?;
            for seq in seqs {
                delete.execute([seq])?;
            }
            Ok(())
        });
        Ok(commit.await?)
    }

    /// The newest event's number, acknowledged or not; 0 before the first.
    /// `changed()` returns once a newer one was committed.
    pub fn newest(&self) -> watch::Receiver<u64> {
        self.store.writer.newest_event()
    }
}

#[cfg(test)]
impl Outbox {
    /// Records `count` puts of small objects below `prefix` that are nowhere.
    pub(crate) async fn record(&self, prefix: &'static str, count: usize) -> Result<(), Error> {
        let commit = self.store.writer.commit(move |batch| {
            for index in 0..count {
                let key = format!("{prefix}{index}");
                let at = SystemTime::UNIX_EPOCH;
                let event = NewEvent { bucket: "flambeau", key: &key, size: 1, etag: "e", at };
                batch.emit(EventName::CreatedPut, event)?;
            }
            Ok(())
        });
        Ok(commit.await?)
    }
}

/// The newest number ever given.
pub(super) fn newest(conn: &Connection) -> rusqlite::Result<u64> {
    conn.query_row(
        "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'outbox'",
        [],
        |row| row.get(0),
    )
}

/// Records an event and returns its number.
pub(super) fn insert(
    conn: &Connection,
    name: EventName,
    event: NewEvent<'_>,
) -> rusqlite::Result<u64> {
    conn.prepare_cached(
        "INSERT INTO outbox (name, bucket, key, size, etag, at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         RETURNING seq",
    )?
    .query_row(
        params![
            name.as_str(),
            event.bucket,
            event.key.as_bytes(),
            event.size,
            event.etag,
            millis(event.at)
        ],
        |row| row.get(0),
    )
}

fn select(
    conn: &Connection,
    prefix: &[u8],
    after: u64,
    limit: usize,
) -> rusqlite::Result<Vec<Event>> {
    conn.prepare_cached(
        "SELECT seq, name, bucket, key, size, etag, at FROM outbox
         WHERE seq > ?1 AND substr(key, 1, ?2) = ?3 ORDER BY seq LIMIT ?4",
    )?
    .query_map(params![after, prefix.len(), prefix, limit], read)?
    .collect()
}

fn read(row: &Row<'_>) -> rusqlite::Result<Event> {
    let name: String = row.get(1)?;
    let key: Vec<u8> = row.get(3)?;
    Ok(Event {
        seq: row.get(0)?,
        name: name.parse().map_err(|error| unreadable(1, error))?,
        bucket: row.get(2)?,
        key: String::from_utf8(key).map_err(|error| unreadable(3, error))?,
        size: row.get(4)?,
        etag: row.get(5)?,
        event_time: time_of_millis(row.get(6)?),
    })
}

fn unreadable(
    column: usize,
    error: impl std::error::Error + Send + Sync + 'static,
) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, Box::new(error))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn names_read_as_they_are_written() {
        for name in EventName::ALL {
            assert_eq!(name.to_string().parse::<EventName>().unwrap(), name);
        }
        assert!("s3:ObjectCreated:Put".parse::<EventName>().is_err());
    }
}
