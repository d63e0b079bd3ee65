//! The catalogue: which objects exist, in SQLite. A row is the commit point
//! of a put; what no row names does not exist.

use super::bodies::BodyId;
use super::error::Error;
use rusqlite::{Connection, OptionalExtension, Row, params};
use s3s::dto::Checksum;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Version of the schema below, kept in SQLite's `user_version`.
const VERSION: i64 = 1;

/// How long a connection waits for another's lock.
const BUSY_WAIT: Duration = Duration::from_secs(10);

/// Idle read connections kept open.
const IDLE_READERS: usize = 8;

// Keys are blobs: S3 orders keys by their UTF-8 bytes, and a listing seeks to
// bounds that need not be UTF-8 themselves. Times are Unix seconds in
// `objects` (what HTTP can say) and milliseconds in `outbox`.
const SCHEMA: &str = "
CREATE TABLE buckets (
    name     TEXT PRIMARY KEY,
    created  INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE objects (
    bucket   TEXT NOT NULL,
    key      BLOB NOT NULL,
    body     INTEGER NOT NULL,
    size     INTEGER NOT NULL,
    etag     TEXT NOT NULL,
    modified INTEGER NOT NULL,
    headers  TEXT NOT NULL,
    PRIMARY KEY (bucket, key)
) WITHOUT ROWID;
CREATE TABLE uploads (
    id       TEXT PRIMARY KEY,
    bucket   TEXT NOT NULL,
    key      BLOB NOT NULL,
    started  INTEGER NOT NULL,
    headers  TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE parts (
    upload   TEXT NOT NULL REFERENCES uploads (id) ON DELETE CASCADE,
    number   INTEGER NOT NULL,
    body     INTEGER NOT NULL,
    size     INTEGER NOT NULL,
    etag     TEXT NOT NULL,
    modified INTEGER NOT NULL,
    PRIMARY KEY (upload, number)
) WITHOUT ROWID;
CREATE TABLE outbox (
    seq      INTEGER PRIMARY KEY AUTOINCREMENT,
    name     TEXT NOT NULL,
    bucket   TEXT NOT NULL,
    key      BLOB NOT NULL,
    size     INTEGER NOT NULL,
    etag     TEXT NOT NULL,
    at       INTEGER NOT NULL
);
";

/// What a put says about its object beside the bytes; stored as JSON.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Headers {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) content_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) content_encoding: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) content_disposition: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) content_language: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cache_control: Option<String>,
    /// User metadata, names without `x-amz-meta-`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) metadata: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Checksums::is_empty")]
    pub(super) checksums: Checksums,
}

/// Checksums the client gave and we verified, base64 as on the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Checksums {
    pub(super) crc32: Option<String>,
    pub(super) crc32c: Option<String>,
    pub(super) crc64nvme: Option<String>,
    pub(super) sha1: Option<String>,
    pub(super) sha256: Option<String>,
}

impl Checksums {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl From<Checksum> for Checksums {
    fn from(sum: Checksum) -> Self {
        Self {
            crc32: sum.checksum_crc32,
            crc32c: sum.checksum_crc32c,
            crc64nvme: sum.checksum_crc64nvme,
            sha1: sum.checksum_sha1,
            sha256: sum.checksum_sha256,
        }
    }
}

/// One object as the catalogue knows it.
#[derive(Clone, Debug)]
pub(super) struct ObjectRow {
    pub(super) body: BodyId,
    pub(super) size: u64,
    /// Without quotes.
    pub(super) etag: String,
    /// Last-Modified, Unix seconds.
    pub(super) modified: i64,
    pub(super) headers: Headers,
}

impl ObjectRow {
    /// Columns `body, size, etag, modified, headers`, from `first` on.
    pub(super) fn read(row: &Row<'_>, first: usize) -> rusqlite::Result<Self> {
        Ok(Self {
            body: row.get(first)?,
            size: row.get(first + 1)?,
            etag: row.get(first + 2)?,
            modified: row.get(first + 3)?,
            headers: json(row, first + 4)?,
        })
    }
}

/// Reads a JSON column.
pub(super) fn json<T: serde::de::DeserializeOwned>(
    row: &Row<'_>,
    column: usize,
) -> rusqlite::Result<T> {
    let text: String = row.get(column)?;
    serde_json::from_str(&text).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(
            column,
            rusqlite::types::Type::Text,
            Box::new(error),
        )
    })
}

/// Writes a JSON column.
pub(super) fn to_json<T: Serialize>(value: &T) -> rusqlite::Result<String> {
    serde_json::to_string(value)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
}

/// Whether the bucket exists.
pub(super) fn has_bucket(conn: &Connection, bucket: &str) -> rusqlite::Result<bool> {
    conn.prepare_cached("SELECT 1 FROM buckets WHERE name = ?1")?.exists([bucket])
}

/// The object under a key.
pub(super) fn object(
    conn: &Connection,
    bucket: &str,
    key: &str,
) -> rusqlite::Result<Option<ObjectRow>> {
    conn.prepare_cached(
        "SELECT body, size, etag, modified, headers FROM objects WHERE bucket = ?1 AND key = ?2",
    )?
    .query_row(params![bucket, key.as_bytes()], |row| ObjectRow::read(row, 0))
    .optional()
}

/// Puts a row, replacing the key's old one.
pub(super) fn put_object(
    conn: &Connection,
    bucket: &str,
    key: &str,
    row: &ObjectRow,
) -> rusqlite::Result<()> {
    let headers = to_json(&row.headers)?;
    conn.prepare_cached("INSERT OR REPLACE INTO objects VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?
        .execute(params![
            bucket,
            key.as_bytes(),
            row.body,
            row.size,
            row.etag,
            row.modified,
            headers
        ])?;
    Ok(())
}

/// Removes a row.
pub(super) fn delete_object(conn: &Connection, bucket: &str, key: &str) -> rusqlite::Result<()> {
    conn.prepare_cached("DELETE FROM objects WHERE bucket = ?1 AND key = ?2")?
        .execute(params![bucket, key.as_bytes()])?;
    Ok(())
}

/// Every body that a row names.
pub(super) fn live_bodies(conn: &Connection) -> rusqlite::Result<HashSet<BodyId>> {
    conn.prepare("SELECT body FROM objects UNION ALL SELECT body FROM parts")?
        .query_map([], |row| row.get(0))?
        .collect()
}

/// Opens the catalogue for writing and creates its tables.
///
/// # Errors
/// SQLite's own, and [`Error::Version`] if a newer Flambeau wrote the file.
pub(super) fn open(path: &Path) -> Result<Connection, Error> {
    let mut conn = connect(path)?;
    let tx = conn.transaction()?;
    let version: i64 = tx.pragma_query_value(None, "user_version", |row| row.get(0))?;
    match version {
        0 => {
            tx.execute_batch(SCHEMA)?;
            tx.pragma_update(None, "user_version", VERSION)?;
        }
        VERSION => {}
        found => {
            let known = VERSION;
            return Err(Error::Version { found, known });
        }
    }
    tx.commit()?;
    Ok(conn)
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let conn = Connection::open(path)?;
    conn.busy_timeout(BUSY_WAIT)?;
    conn.pragma_update(None, "journal_mode", "WAL")?;
    // An acknowledged put must survive power loss: sync the log per commit.
    conn.pragma_update(None, "synchronous", "FULL")?;
    conn.pragma_update(None, "foreign_keys", "ON")?;
    Ok(conn)
}

/// Connections for reading. A read sees every commit that ended before it
/// began and never waits for the writer.
#[derive(Debug)]
pub(super) struct Readers {
    path: Box<Path>,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.into(), idle: Mutex::default() }
    }

    /// Runs `query` on a connection of its own. Blocks: call it off the async
    /// threads.
    pub(super) fn read<T, E: From<rusqlite::Error>>(
        &self,
        query: impl FnOnce(&Connection) -> Result<T, E>,
    ) -> Result<T, E> {
        let idle = self.idle().pop();
        let conn = match idle {
            Some(conn) => conn,
            None => connect(&self.path)?,
        };
        let answer = query(&conn);
        let mut idle = self.idle();
        if idle.len() < IDLE_READERS {
            idle.push(conn);
        }
        answer
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        // Nothing is done under this lock that could leave it half done.
        self.idle.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Unix seconds, rounded down; negative before 1970.
pub(super) fn seconds(time: SystemTime) -> i64 {
    millis(time).div_euclid(1000)
}

/// Unix milliseconds, rounded down; negative before 1970.
pub(super) fn millis(time: SystemTime) -> i64 {
    let clamp = |d: Duration| i64::try_from(d.as_millis()).unwrap_or(i64::MAX);
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => clamp(after),
        Err(before) => -clamp(before.duration()),
    }
}

/// The time of Unix milliseconds.
pub(super) fn time_of_millis(millis: i64) -> SystemTime {
    let distance = Duration::from_millis(millis.unsigned_abs());
    if millis >= 0 { UNIX_EPOCH + distance } else { UNIX_EPOCH - distance }
}

/// The time of Unix seconds.
pub(super) fn time_of_seconds(seconds: i64) -> SystemTime {
    time_of_millis(seconds.saturating_mul(1000))
}
