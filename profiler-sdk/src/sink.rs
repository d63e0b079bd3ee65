//! Where closed snapshots go.

use std::future::Future;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::pin::Pin;

use bytes::Bytes;
use flambeau_layout::UnixMillis;

/// A place for snapshots.
///
/// `put` is idempotent: it is called again with the same key and the same bytes after a failure,
/// which may have been one of the answer only.
pub trait Sink: Send + Sync + 'static {
    /// Stores `bytes` under `key` unless the key is taken.
    fn put<'a>(&'a self, key: &'a str, bytes: Bytes) -> PutFuture<'a>;

    /// Reads the object that steers the service; `None` where there is none or
    /// it may not be read. A sink that has none need not say so.
    fn steering<'a>(&'a self, key: &'a str) -> SteeringFuture<'a> {
        let _ = key;
        Box::pin(async { Ok(None) })
    }
}

/// What [`Sink::steering`] comes to.
pub type SteeringFuture<'a> =
    Pin<Box<dyn Future<Output = Result<Option<Bytes>, SinkError>> + Send + 'a>>;

/// What [`Sink::put`] comes to.
pub type PutFuture<'a> = Pin<Box<dyn Future<Output = Result<Receipt, SinkError>> + Send + 'a>>;

/// The snapshot is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Receipt {
    /// It was there already: an earlier attempt had arrived.
    pub already_there: bool,
    /// The keeper's clock minus ours, in milliseconds, if it told its time.
    pub offset_millis: Option<i64>,
}

/// Why a snapshot is not held (or not known to be).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SinkError {
    /// The same again may succeed.
    #[error("{0}")]
    Unreachable(String),
    /// The same again will fail, until somebody changes a permission or a name.
    #[error("{0}")]
    Refused(String),
}

/// Keeps snapshots as files under a folder, one path per key.
#[derive(Debug, Clone)]
pub struct DirectorySink {
    root: PathBuf,
}

impl DirectorySink {
    /// Files go under `root`, which is made when needed.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }
}

impl Sink for DirectorySink {
    fn put<'a>(&'a self, key: &'a str, bytes: Bytes) -> PutFuture<'a> {
        let path = self.root.join(key);
        Box::pin(async move {
            let writing = tokio::task::spawn_blocking(move || write_new(&path, &bytes));
            let written =
                writing.await.map_err(|error| SinkError::Unreachable(error.to_string()))?;
            written.map_err(|error| SinkError::Unreachable(error.to_string()))
        })
    }

    fn steering<'a>(&'a self, key: &'a str) -> SteeringFuture<'a> {
        let path = self.root.join(key);
        let reading = tokio::task::spawn_blocking(move || std::fs::read(path));
        Box::pin(async move { Ok(reading.await.ok().and_then(Result::ok).map(Bytes::from)) })
    }
}

/// Writes aside and links into place: the path is either absent or whole.
fn write_new(path: &Path, bytes: &[u8]) -> std::io::Result<Receipt> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let draft = path.with_extension(format!("draft-{}", std::process::id()));
    std::fs::File::create(&draft)?.write_all(bytes)?;
    let linked = std::fs::hard_link(&draft, path);
    std::fs::remove_file(&draft)?;
    match linked {
        Ok(()) => Ok(Receipt::default()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            Ok(Receipt { already_there: true, ..Receipt::default() })
        }
        Err(error) => Err(error),
    }
}

/// The offset of a server that told `server_millis`, cut to whole seconds as HTTP's `Date` is,
/// in answer to a request sent at `sent` and answered at `received` by our clock.
///
/// What could come from the cut or the way there and back counts as no offset at all.
pub fn clock_offset(server_millis: i64, sent: UnixMillis, received: UnixMillis) -> i64 {
    let earliest = server_millis.saturating_sub(received.0);
    let latest = server_millis.saturating_add(999).saturating_sub(sent.0);
    if earliest <= 0 && latest >= 0 {
        return 0;
    }
    earliest.midpoint(latest)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn a_key_is_written_once() {
        let folder = tempfile::tempdir().unwrap();
        let sink = DirectorySink::new(folder.path());
        let first = sink.put("a/b/1.pb.gz", Bytes::from_static(b"one")).await.unwrap();
        let second = sink.put("a/b/1.pb.gz", Bytes::from_static(b"two")).await.unwrap();
        assert!(!first.already_there && second.already_there);
        let kept = std::fs::read(folder.path().join("a/b/1.pb.gz")).unwrap();
        assert_eq!(kept, b"one");
        let names = std::fs::read_dir(folder.path().join("a/b")).unwrap().count();
        assert_eq!(names, 1, "a draft was left behind");
    }

    #[test]
    fn only_what_the_date_can_show_is_an_offset() {
        let at = |sent, received| (UnixMillis(sent), UnixMillis(received));
        let (sent, received) = at(10_900, 11_100);
        assert_eq!(clock_offset(10_000, sent, received), 0);
        assert_eq!(clock_offset(11_000, sent, received), 0);
        assert_eq!(clock_offset(20_000, sent, received), 9_499);
        assert_eq!(clock_offset(1_000, sent, received), -9_500);
        assert!(clock_offset(i64::MAX, UnixMillis(i64::MIN), UnixMillis(0)) > 0);
    }
}
