//! The embedded stack, one per test, in a directory of its own.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use bytes::Bytes;
use flambeau_layout::{
    ClaimRow, Identity, IdentityHash, KeyDate, SnapshotKey, SnapshotShape, UnixMillis,
};
use flambeau_local::{ServeOptions, Serving};
use flambeau_profile::{Limits, Merged};
use flambeau_store::SecretPlace;
use tempfile::TempDir;

/// Longest wait for anything.
pub const DEADLINE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(20);

/// A running stack and its directory.
pub struct Stack {
    /// The stack.
    pub serving: Serving,
    _dir: TempDir,
}

impl Stack {
    /// Starts an empty one on free ports.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn start() -> anyhow::Result<Self> {
        Self::start_with(None).await
    }

    /// Starts an empty one whose pages ask for the tokens kept at `secret`.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn start_with(secret: Option<SecretPlace>) -> anyhow::Result<Self> {
        let dir = tempfile::tempdir()?;
        let options = ServeOptions::in_dir(dir.path(), "127.0.0.1:0".parse()?)?;
        let options = ServeOptions { secret, ..options };
        Ok(Self { serving: Serving::start(options).await?, _dir: dir })
    }

    /// Puts an object as a function would: never over another.
    ///
    /// # Errors
    /// When the store refuses.
    pub async fn put(&self, key: &str, bytes: impl Into<Bytes>) -> anyhow::Result<()> {
        self.serving.store.put_new(key, bytes.into(), "application/octet-stream").await?;
        Ok(())
    }

    /// Waits until these snapshots have their fates, in the order asked.
    ///
    /// # Errors
    /// When one has none in time.
    pub async fn fates(&self, keys: &[SnapshotKey]) -> anyhow::Result<Vec<ClaimRow>> {
        let wanted: Vec<IdentityHash> = keys.iter().map(|key| key.identity.hash()).collect();
        let since = Instant::now();
        loop {
            let mut claims = self.serving.store.claims_of(&wanted).await?;
            if wanted.iter().all(|identity| claims.contains_key(identity)) {
                return wanted
                    .iter()
                    .map(|id| claims.remove(id).context("claimed twice"))
                    .collect();
            }
            ensure!(since.elapsed() < DEADLINE, "{} of {} have a fate", claims.len(), wanted.len());
            tokio::time::sleep(POLL).await;
        }
    }

    /// Gets a path from render: status, and the body as bytes.
    ///
    /// # Errors
    /// When nothing answers.
    pub async fn get(&self, path: &str) -> anyhow::Result<(u16, Vec<u8>)> {
        get(format!("{}{path}", self.serving.endpoints.url)).await
    }

    /// Gets a merged profile from render.
    ///
    /// # Errors
    /// When the answer is no profile.
    pub async fn profile(&self, path: &str) -> anyhow::Result<Merged> {
        let (status, body) = self.get(path).await?;
        ensure!(status == 200, "{status}: {}", String::from_utf8_lossy(&body));
        Ok(Merged::from_bytes(&body, &Limits::default())?)
    }
}

/// Gets a URL: status, and the body as bytes, whatever the status.
///
/// # Errors
/// When nothing answers.
pub async fn get(url: String) -> anyhow::Result<(u16, Vec<u8>)> {
    let get = tokio::task::spawn_blocking(move || {
        let agent: ureq::Agent =
            ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let mut answer = agent.get(&url).call()?;
        Ok::<_, anyhow::Error>((answer.status().as_u16(), answer.body_mut().read_to_vec()?))
    });
    get.await?
}

/// The key of snapshot `seq` of a service.
///
/// # Errors
/// When the service is no name.
pub fn key(service: &str, seq: u64, shape: SnapshotShape) -> anyhow::Result<SnapshotKey> {
    let identity = Identity {
        tenant: "default".parse()?,
        service: service.parse()?,
        env: "e1".parse()?,
        boot: "b1".parse()?,
        seq,
    };
    Ok(SnapshotKey::new(identity, KeyDate::of(now()), shape))
}

/// The time now.
#[must_use]
pub fn now() -> UnixMillis {
    let since = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
    UnixMillis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
