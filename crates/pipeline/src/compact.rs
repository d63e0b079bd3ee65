//! Compact: many small blocks become few large ones, and no reader ever sees a
//! snapshot twice or not at all.
//!
//! A rollup is made in steps, each safe to repeat and to die after: objects are
//! put; T1 puts the rollup's row and covers its children, in one transaction;
//! the row is read back; its commit mark is put; T2 moves each child from
//! `open` to `done`. `README.md` of this crate tells why a reader is exact at
//! each instant.

mod draft;
pub mod plan;
mod unite;

use std::collections::{BTreeMap, HashMap, HashSet};

use bytes::Bytes;
use flambeau_layout::{
    BlockId, BlockRow, CommitMark, Level, RowState, ServiceName, SortKey, TenantId, UnixMillis,
    Window, lifetime::done_expires_secs,
};
use flambeau_profile::Limits;
use flambeau_store::{ErrorKind, IndexedRow, Put, Rollup, RollupOutcome, Store, StoreError};
use futures::{StreamExt, TryStreamExt};
use sha2::{Digest, Sha256};

use self::{
    draft::{Draft, DraftError},
    plan::Job,
};

/// Rounds of one call: what a rollup makes possible is done in the next.
pub const MAX_ROUNDS: usize = 8;
/// Rollups of one call; what remains waits for the next call.
pub const MAX_ROLLUPS: usize = 64;
/// Ids tried for one rollup when tombstones bar them.
const MAX_SALTS: u32 = 4;
/// Requests for children in flight.
const IN_FLIGHT: usize = 8;
/// The end of time for reads of everything: windows inside still fit the clock.
const LAST: UnixMillis = UnixMillis(i64::MAX / 1_000_000);

/// How to compact.
#[derive(Debug, Clone)]
pub struct CompactOptions {
    /// The time now: decides which windows are closed, and stands in rows.
    pub now: UnixMillis,
    /// Limits of each profile.
    pub limits: Limits,
}

/// Where to look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Only inside these minutes: cheap, after new blocks came.
    Minutes(Vec<Window>),
    /// Everything open.
    All,
}

/// What a compaction did.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct CompactReport {
    /// Rollups made.
    pub rollups: usize,
    /// Children moved from `open` to `done`.
    pub retired: usize,
    /// Rollups that another made first.
    pub lost: usize,
    /// Rollups refused, each with why; their children stay open.
    pub refused: Vec<String>,
    /// Whether there was more to do than one call does.
    pub more: bool,
}

/// Rolls up what is due for one service and finishes what others began.
/// Idempotent; any number may run at the same time.
///
/// # Errors
/// When the store fails; whatever was begun is finished by the next call.
pub async fn compact(
    store: &Store,
    tenant: &TenantId,
    service: &ServiceName,
    scope: &Scope,
    options: &CompactOptions,
) -> Result<CompactReport, StoreError> {
    let of = BlockRow::partition(tenant, service);
    let mut run = Run {
        store,
        options,
        partition: of,
        report: CompactReport::default(),
        marked: HashSet::new(),
        tried: HashSet::new(),
    };
    for _ in 0..MAX_ROUNDS {
        let rows = open_rows(store, tenant, service, scope).await?;
        if run.finish_begun(&rows).await? {
            continue;
        }
        let mut jobs = plan::plan(&rows, options.now);
        jobs.retain(|job| run.tried.insert(job.children.clone()));
        if jobs.is_empty() {
            return Ok(run.report);
        }
        for job in jobs {
            if run.report.rollups >= MAX_ROLLUPS {
                run.report.more = true;
                return Ok(run.report);
            }
            run.job(job, &rows).await?;
        }
    }
    run.report.more = true;
    Ok(run.report)
}

/// The row of the rollup that a job makes of these children, before it is made
/// to fit; how long its objects are is not known yet (0). For whoever asks what
/// a rollup weighs without making it. `None` without children.
#[must_use]
pub fn row_of(
    job: &Job,
    children: &[&BlockRow],
    block: BlockId,
    now: UnixMillis,
) -> Option<BlockRow> {
    unite::unite(job, children, block, now)
}

/// Open rows in scope, level by level upward.
async fn open_rows(
    store: &Store,
    tenant: &TenantId,
    service: &ServiceName,
    scope: &Scope,
) -> Result<Vec<IndexedRow>, StoreError> {
    let read = async |level, range| store.rows(tenant, service, RowState::Open, level, range).await;
    let mut rows = Vec::new();
    match scope {
        Scope::Minutes(windows) => {
            for window in windows {
                rows.extend(read(Level::Minute, (window.start, window.end())).await?);
            }
        }
        Scope::All => {
            for level in Level::ALL {
                rows.extend(read(level, (UnixMillis(0), LAST)).await?);
            }
        }
    }
    Ok(rows)
}

struct Run<'a> {
    store: &'a Store,
    options: &'a CompactOptions,
    partition: String,
    report: CompactReport,
    /// Segments known to be marked.
    marked: HashSet<String>,
    /// Jobs tried in this call: a refused one is not tried in each round.
    tried: HashSet<Vec<SortKey>>,
}

impl Run<'_> {
    /// Finishes rollups that stand but whose children are still open; answers
    /// whether there were any.
    async fn finish_begun(&mut self, rows: &[IndexedRow]) -> Result<bool, StoreError> {
        let mut begun: BTreeMap<String, (SortKey, Vec<&BlockRow>)> = BTreeMap::new();
        for indexed in rows {
            if let Some(by) = &indexed.covered_by {
                let entry = begun.entry(by.to_string());
                entry.or_insert_with(|| (by.clone(), Vec::new())).1.push(&indexed.row);
            }
        }
        let retired = self.report.retired;
        for (by, children) in begun.into_values() {
            self.finish(&by, &children).await?;
        }
        Ok(self.report.retired > retired)
    }

    /// From the rollup's row on: read back, mark, T2.
    async fn finish(&mut self, by: &SortKey, children: &[&BlockRow]) -> Result<(), StoreError> {
        let key = [(self.partition.clone(), by.to_string())];
        // Not there: another has finished it, and it was itself rolled up.
        let Some(rollup) = self.store.rows_at(&key).await?.pop() else { return Ok(()) };
        let (store, now) = (self.store, self.options.now);
        put_mark(store, &CommitMark::new(vec![rollup.row.clone()], Vec::new())).await?;
        let retire = |child: BlockRow| async move {
            let expires = done_expires_secs(child.window.level, child.written, now);
            store.retire(&child, by, expires).await
        };
        let children: Vec<BlockRow> = children.iter().map(|row| (*row).clone()).collect();
        self.report.retired += children.len();
        let retired = futures::stream::iter(children).map(retire).buffer_unordered(IN_FLIGHT);
        retired.try_collect::<()>().await
    }

    async fn job(&mut self, job: Job, rows: &[IndexedRow]) -> Result<(), StoreError> {
        let by_key: HashMap<SortKey, &BlockRow> =
            rows.iter().map(|indexed| (indexed.key(), &indexed.row)).collect();
        let children: Vec<&BlockRow> =
            job.children.iter().filter_map(|key| by_key.get(key).copied()).collect();
        let mut rest = self.only_marked(children).await?;
        while rest.len() >= job.fewest() {
            rest = self.roll_up(&job, rest).await?;
        }
        Ok(())
    }

    /// Leaves out level-0 blocks whose segment has no commit mark yet: a
    /// rebuild must find every child of a marked rollup marked.
    async fn only_marked<'r>(
        &mut self,
        children: Vec<&'r BlockRow>,
    ) -> Result<Vec<&'r BlockRow>, StoreError> {
        let unknown: HashSet<String> = children
            .iter()
            .filter(|row| row.children.is_empty())
            .map(|row| CommitMark::key_for(row))
            .filter(|mark| !self.marked.contains(mark))
            .collect();
        let store = self.store;
        let look = |mark: String| async move {
            Ok::<_, StoreError>(store.size_of(&mark).await?.map(|_| mark))
        };
        let found = futures::stream::iter(unknown).map(look).buffer_unordered(IN_FLIGHT);
        let found: Vec<Option<String>> = found.try_collect().await?;
        self.marked.extend(found.into_iter().flatten());
        let is_marked = |row: &&BlockRow| {
            !row.children.is_empty() || self.marked.contains(&CommitMark::key_for(row))
        };
        Ok(children.into_iter().filter(is_marked).collect())
    }

    /// Makes one rollup of as many as go together; answers those left over.
    async fn roll_up<'r>(
        &mut self,
        job: &Job,
        mut children: Vec<&'r BlockRow>,
    ) -> Result<Vec<&'r BlockRow>, StoreError> {
        let mut rest: Vec<&BlockRow> = Vec::new();
        let mut salt = 0;
        while children.len() >= job.fewest() && salt < MAX_SALTS {
            match draft::draft(self.store, job, &children, salt, self.options).await {
                Ok(draft) => match self.put(draft, &children).await? {
                    RollupOutcome::Barred => salt += 1,
                    RollupOutcome::Committed | RollupOutcome::Lost => break,
                },
                Err(DraftError::Store(error)) => return Err(error),
                Err(DraftError::Apart { child, .. }) => rest.push(children.remove(child)),
                // What no profile holds, two may.
                Err(DraftError::Overflows { .. }) if children.len() > 1 => {
                    rest.extend(children.split_off(children.len() / 2));
                }
                Err(DraftError::Full { child, error }) if child > 0 => {
                    tracing::info!(child, %error, "rollup is full");
                    rest.extend(children.split_off(child));
                }
                Err(error) => {
                    // A broken child must not keep its siblings; it stays open.
                    tracing::error!(window = %job.into, %error, "not rolled up");
                    self.report.refused.push(error.to_string());
                    match error {
                        DraftError::Broken { child, .. } => drop(children.remove(child)),
                        _ => break,
                    }
                }
            }
        }
        Ok(rest)
    }

    /// Objects, T1, and all that follows.
    async fn put(
        &mut self,
        draft: Draft,
        children: &[&BlockRow],
    ) -> Result<RollupOutcome, StoreError> {
        let Draft { row, objects } = draft;
        for (key, bytes) in objects {
            if !put_object(self.store, &key, bytes).await? {
                return Ok(RollupOutcome::Barred);
            }
        }
        let key = SortKey::of(&row, RowState::Open);
        let covered = children.iter().map(|row| SortKey::of(row, RowState::Open)).collect();
        let rollup = Rollup { token: token_of(&row), row, children: covered };
        let outcome = self.store.roll_up(&rollup).await?;
        match outcome {
            RollupOutcome::Committed => {
                self.report.rollups += 1;
                self.finish(&key, children).await?;
            }
            RollupOutcome::Lost => self.report.lost += 1,
            RollupOutcome::Barred => {}
        }
        Ok(outcome)
    }
}

/// Puts an object of a rollup; `false` when another content stands under its
/// key, so that another id is needed.
async fn put_object(store: &Store, key: &str, bytes: Bytes) -> Result<bool, StoreError> {
    let size = bytes.len() as u64;
    Ok(match store.put_new(key, bytes, "application/octet-stream").await? {
        Put::Created => true,
        Put::AlreadyThere => store.size_of(key).await? == Some(size),
    })
}

/// Puts the mark of what stands in it. Its content is a function of what
/// committed, so writing it again changes nothing.
pub(crate) async fn put_mark(store: &Store, mark: &CommitMark) -> Result<(), StoreError> {
    let Some(row) = mark.rows.first() else { return Ok(()) };
    let json = serde_json::to_vec(mark).map_err(|error| {
        StoreError::new(ErrorKind::Corrupt, "write a commit mark", error.to_string())
    })?;
    store.put_again(&CommitMark::key_for(row), Bytes::from(json), "application/json").await
}

/// The same row gives the same transaction.
fn token_of(row: &BlockRow) -> String {
    let json = serde_json::to_string(row).unwrap_or_default();
    let hash = Sha256::digest(json);
    hash[..16].iter().fold(String::with_capacity(32), |text, byte| text + &format!("{byte:02x}"))
}
