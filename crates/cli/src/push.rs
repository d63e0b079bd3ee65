//! `flambeau push`: pprof files in, as snapshots of a service.
//!
//! A file's identity comes from its bytes, type and labels, so pushing it again
//! changes nothing.

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::Context;
use bytes::Bytes;
use clap::Args;
use flambeau_layout::{
    BootId, ClaimRow, EnvId, Fate, Identity, IdentityHash, KeyDate, Note, ProfileType, ServiceName,
    SnapshotKey, SnapshotNote, SnapshotShape, UnixMillis, implied_type,
};
use flambeau_profile::{DEFAULT_LEVEL, Limits, decode, encode_gzip, gzip, peek};
use flambeau_store::{Put, Store};
use futures::{StreamExt, TryStreamExt};
use sha2::{Digest, Sha256};

use crate::{
    connect::{Connect, Connected},
    exit::Exit,
};

/// Uploads at the same time.
const UPLOADS: usize = 16;
/// How often the fates are looked up while waiting.
const POLL: Duration = Duration::from_millis(200);

/// Arguments of `push`.
#[derive(Debug, Args)]
pub(crate) struct Push {
    /// pprof files, gzip or not.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// The service they profile.
    #[arg(long)]
    service: ServiceName,
    /// Their type (cpu, heap, …); else as their sample types imply.
    #[arg(long = "type")]
    typ: Option<ProfileType>,
    /// A label of all their samples; may be repeated.
    #[arg(long = "label", value_name = "K=V", value_parser = label)]
    labels: Vec<(String, String)>,
    /// Do not wait until they are merged.
    #[arg(long)]
    no_wait: bool,
    /// Longest wait, in seconds.
    #[arg(long, default_value_t = 120)]
    wait: u64,
    #[command(flatten)]
    connect: Connect,
}

fn label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(format!("`{text}` is not a label: write key=value")),
    }
}

/// A file made into a snapshot.
struct Snapshot {
    file: PathBuf,
    key: SnapshotKey,
    bytes: Bytes,
}

/// A snapshot in the bucket.
struct Sent {
    file: PathBuf,
    identity: IdentityHash,
    new: bool,
}

impl Push {
    pub(crate) async fn run(self) -> anyhow::Result<Exit> {
        let connected = self.connect.connect().await?;
        let (this, there) = (&self, &connected);
        let sent: Vec<Sent> = futures::stream::iter(self.files.clone())
            .map(|file| async move { this.send(file, there).await })
            .buffered(UPLOADS)
            .try_collect()
            .await?;
        let fates = match self.no_wait {
            true => HashMap::new(),
            false => wait(&connected.store, &sent, Duration::from_secs(self.wait)).await?,
        };
        Ok(tell(&sent, &fates, self.no_wait))
    }

    async fn send(&self, file: PathBuf, there: &Connected) -> anyhow::Result<Sent> {
        let bytes = tokio::fs::read(&file).await;
        let bytes = bytes.with_context(|| format!("read `{}`", file.display()))?;
        let snapshot = self.snapshot(file, bytes, there)?;
        let identity = snapshot.key.identity.hash();
        let known = there.store.claims_of(std::slice::from_ref(&identity)).await?;
        if known.contains_key(&identity) {
            return Ok(Sent { file: snapshot.file, identity, new: false });
        }
        let key = snapshot.key.to_string();
        let put = there.store.put_new(&key, snapshot.bytes, "application/octet-stream").await?;
        Ok(Sent { file: snapshot.file, identity, new: put == Put::Created })
    }

    fn snapshot(&self, file: PathBuf, raw: Vec<u8>, there: &Connected) -> anyhow::Result<Snapshot> {
        let typ = self.type_of(&file, &raw);
        let env = EnvId::from_bytes(self.digest(&raw, &typ));
        let identity = Identity {
            tenant: there.tenant.clone(),
            service: self.service.clone(),
            env,
            boot: "push".parse::<BootId>()?,
            seq: 0,
        };
        let date = KeyDate::of(UnixMillis::from(jiff::Timestamp::now()));
        let key = SnapshotKey::new(identity, date, SnapshotShape::Single(typ));
        Ok(Snapshot { file, key, bytes: self.labelled(raw)?.into() })
    }

    /// What nobody can read is sent all the same: merge parks it with a reason.
    fn type_of(&self, file: &Path, raw: &[u8]) -> ProfileType {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let implied = || implied_type(&peek(raw, &Limits::default()).ok()?, &name);
        self.typ.clone().or_else(implied).unwrap_or_else(unknown_type)
    }

    fn digest(&self, raw: &[u8], typ: &ProfileType) -> [u8; 16] {
        let mut sha = Sha256::new();
        let labels: BTreeMap<_, _> = self.labels.iter().cloned().collect();
        for part in std::iter::once(typ.as_str())
            .chain(labels.iter().flat_map(|(key, value)| [key.as_str(), value.as_str()]))
        {
            sha.update((part.len() as u64).to_be_bytes());
            sha.update(part);
        }
        sha.update(raw);
        let mut digest = [0; 16];
        digest.copy_from_slice(&sha.finalize()[..16]);
        digest
    }

    /// The bytes to send: gzip, with a note where labels are given.
    fn labelled(&self, raw: Vec<u8>) -> anyhow::Result<Vec<u8>> {
        const GZIP: &[u8] = &[0x1f, 0x8b];
        if self.labels.is_empty() {
            let sent_as_is = raw.starts_with(GZIP) || raw.is_empty();
            return Ok(if sent_as_is { raw } else { gzip(&raw, DEFAULT_LEVEL) });
        }
        let Ok(mut profile) = decode(&raw, &Limits::default()) else { return Ok(raw) };
        let labels = self.labels.iter().cloned().collect();
        let note = Note::Snapshot(SnapshotNote { labels, ..SnapshotNote::default() });
        profile.comment.push(i64::try_from(profile.string_table.len())?);
        profile.string_table.push(note.to_comment()?);
        Ok(encode_gzip(&profile))
    }
}

fn unknown_type() -> ProfileType {
    // Short and not empty: always a name.
    ProfileType::new("unknown").unwrap_or_else(|_| unreachable!("`unknown` is a name"))
}

/// Looks at claims until every snapshot has its fate. A claim is written in
/// one transaction with the rows that answer queries, so what is claimed is
/// readable.
async fn wait(
    store: &Store,
    sent: &[Sent],
    longest: Duration,
) -> anyhow::Result<HashMap<IdentityHash, ClaimRow>> {
    let wanted: Vec<IdentityHash> = sent.iter().map(|sent| sent.identity.clone()).collect();
    let since = Instant::now();
    loop {
        let fates = store.claims_of(&wanted).await?;
        let open = wanted.iter().filter(|identity| !fates.contains_key(identity)).count();
        if open == 0 {
            return Ok(fates);
        }
        if since.elapsed() > longest {
            let seconds = longest.as_secs();
            anyhow::bail!(
                "{open} snapshots are in the bucket, but not merged after {seconds} s; is merge running?"
            );
        }
        tokio::time::sleep(POLL).await;
    }
}

fn tell(sent: &[Sent], fates: &HashMap<IdentityHash, ClaimRow>, no_wait: bool) -> Exit {
    let (mut accepted, mut there, mut parked) = (0, 0, 0);
    for sent in sent {
        match fates.get(&sent.identity).map(|claim| &claim.fate) {
            Some(Fate::Parked { reason, detail }) => {
                parked += 1;
                println!("parked: {}: {reason}: {detail}", sent.file.display());
            }
            _ if sent.new => accepted += 1,
            _ => {
                there += 1;
                println!("already there: {}", sent.file.display());
            }
        }
    }
    let waited = if no_wait { " (not waited for)" } else { "" };
    println!("{accepted} accepted, {there} already there, {parked} parked{waited}");
    if parked > 0 { Exit::Parked } else { Exit::Ok }
}
