//! Merge: snapshot keys in, committed blocks and one fate per key out.
//!
//! Snapshots of one (tenant, service) are merged in *chunks*, so small that
//! the claims of its snapshots and the rows of its blocks commit in one
//! transaction. All blocks of one tenant in one merge share a *segment*, put
//! before the first transaction. Whoever finds a snapshot claimed by another
//! leaves it out and merges the rest again.

mod chunk;
pub(crate) mod columns;
mod drain;
mod park;
mod read;
mod segment;

use std::collections::{BTreeMap, HashMap, HashSet};

use flambeau_layout::{
    Arrivals, BlockRow, CommitMark, Fate, Identity, IdentityHash, ParkReason, SnapshotKey,
    TenantId, UnixMillis,
};
use flambeau_profile::Limits;
use flambeau_store::{CommitOutcome, Store, StoreError};
use futures::StreamExt;

use self::{
    chunk::{Chunk, Member},
    read::Read,
    segment::{Segment, Unencodable},
};
use crate::compact::put_mark;

pub use self::{chunk::chunk_fits, drain::drain, read::SMALL_OBJECT_BYTES};

/// Largest snapshot object that is read; larger ones are parked unread.
pub const MAX_OBJECT_BYTES: u64 = 32 << 20;

/// Snapshots that stay unmerged longer than this after they were written are
/// parked: claims live 30 days, and a claim must outlive every copy of its
/// snapshot.
pub const MAX_AGE_MILLIS: i64 = 21 * 86_400_000;

/// Rounds in which snapshots that others claimed meanwhile are left out. Each
/// round loses at least one snapshot to another merge, so more are needed only
/// under continuous duplication; then the queue delivers again.
const MAX_ROUNDS: usize = 4;

/// Chunks of one service that are open at the same time: profiles of one type
/// name that do not measure the same cannot share one.
const MAX_OPEN_CHUNKS: usize = 4;

/// How a merge works.
#[derive(Debug, Clone)]
pub struct MergeOptions {
    /// Whose an object outside the layout is.
    pub tenant: TenantId,
    /// The time now; used for what is written, never to place a snapshot.
    pub now: UnixMillis,
    /// Objects fetched at the same time; bounds memory together with
    /// [`MAX_OBJECT_BYTES`].
    pub fetches: usize,
    /// Limits of each profile.
    pub limits: Limits,
}

/// What became of one item of the batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ItemOutcome {
    /// Its snapshot is merged.
    Merged,
    /// Its snapshot had its fate already.
    AlreadyThere,
    /// Set aside for good.
    Parked(ParkReason),
    /// To be delivered again.
    Retry(String),
}

/// What a merge did.
#[derive(Debug, Default)]
pub struct MergeReport {
    /// One outcome per key, in the order of the keys.
    pub outcomes: Vec<ItemOutcome>,
    /// The rows committed.
    pub rows: Vec<BlockRow>,
    /// Bytes of snapshot objects read.
    pub bytes_read: u64,
    /// Snapshots among the merged that came late or from the future.
    pub arrivals: Arrivals,
    /// Entries parked out of snapshots whose rest was merged.
    pub entries_parked: usize,
}

impl MergeReport {
    /// Adds what another merge did, its outcomes behind ours.
    pub fn absorb(&mut self, other: Self) {
        self.outcomes.extend(other.outcomes);
        self.rows.extend(other.rows);
        self.bytes_read += other.bytes_read;
        self.arrivals += other.arrivals;
        self.entries_parked += other.entries_parked;
    }
}

/// Merges the snapshots at `keys` (as stored, not URL-encoded).
///
/// Never fails as a whole: what cannot be done now is [`ItemOutcome::Retry`]
/// for its own item only. Memory is bounded by the objects in flight and by
/// what is distinct in one chunk.
pub async fn merge(store: &Store, keys: &[String], options: &MergeOptions) -> MergeReport {
    let mut merge = Merge {
        store,
        options,
        outcomes: HashMap::new(),
        alone: HashSet::new(),
        report: MergeReport::default(),
    };
    let (inside, outside) = sort(keys);
    let mut outside_outcomes = HashMap::new();
    for key in outside {
        let outcome = park::outside_layout(store, key, options).await;
        outside_outcomes.insert(key.clone(), outcome);
    }
    merge.run(inside).await;
    let Merge { outcomes, mut report, .. } = merge;
    report.outcomes = in_order(keys, &outcomes, &outside_outcomes);
    report
}

/// Sorts keys into one per identity and those outside the layout.
fn sort(keys: &[String]) -> (BTreeMap<Identity, SnapshotKey>, Vec<&String>) {
    let (mut inside, mut outside) = (BTreeMap::new(), Vec::new());
    for key in keys {
        match key.parse::<SnapshotKey>() {
            Ok(parsed) => {
                inside.entry(parsed.identity.clone()).or_insert(parsed);
            }
            Err(_) => outside.push(key),
        }
    }
    outside.sort_unstable();
    outside.dedup();
    (inside, outside)
}

fn in_order(
    keys: &[String],
    inside: &HashMap<Identity, ItemOutcome>,
    outside: &HashMap<String, ItemOutcome>,
) -> Vec<ItemOutcome> {
    let undecided = || ItemOutcome::Retry("merge ended before this item".to_owned());
    let outcome = |key: &String| match key.parse::<SnapshotKey>() {
        Ok(parsed) => inside.get(&parsed.identity).cloned(),
        Err(_) => outside.get(key).cloned(),
    };
    keys.iter().map(|key| outcome(key).unwrap_or_else(undecided)).collect()
}

struct Merge<'a> {
    store: &'a Store,
    options: &'a MergeOptions,
    outcomes: HashMap<Identity, ItemOutcome>,
    /// Snapshots that no other may share a chunk with.
    alone: HashSet<Identity>,
    report: MergeReport,
}

impl Merge<'_> {
    async fn run(&mut self, mut open: BTreeMap<Identity, SnapshotKey>) {
        for _ in 0..MAX_ROUNDS {
            if open.is_empty() {
                return;
            }
            match self.leave_out_claimed(open).await {
                Some(rest) => open = self.round(rest).await,
                None => return,
            }
        }
        for identity in open.into_keys() {
            self.settle(identity, ItemOutcome::Retry("others kept claiming beside it".to_owned()));
        }
    }

    fn settle(&mut self, identity: Identity, outcome: ItemOutcome) {
        self.outcomes.insert(identity, outcome);
    }

    /// Settles what has a fate already; `None` when that cannot be known now.
    async fn leave_out_claimed(
        &mut self,
        mut open: BTreeMap<Identity, SnapshotKey>,
    ) -> Option<BTreeMap<Identity, SnapshotKey>> {
        let hashes: HashMap<IdentityHash, Identity> =
            open.keys().map(|identity| (identity.hash(), identity.clone())).collect();
        let wanted: Vec<IdentityHash> = hashes.keys().cloned().collect();
        match self.store.claims_of(&wanted).await {
            Ok(claims) => {
                for (hash, claim) in claims {
                    // Given up once, delivered again: another chance.
                    if claim.is_replaceable() {
                        continue;
                    }
                    if let Some(identity) = hashes.get(&hash) {
                        open.remove(identity);
                        self.settle(identity.clone(), outcome_of(&claim.fate));
                    }
                }
                Some(open)
            }
            Err(error) => {
                self.retry_all(open.into_keys(), &error);
                None
            }
        }
    }

    fn retry_all(&mut self, identities: impl IntoIterator<Item = Identity>, error: &StoreError) {
        for identity in identities {
            self.settle(identity, ItemOutcome::Retry(error.to_string()));
        }
    }

    /// Merges and commits; answers what others claimed beside and must be
    /// merged again without them.
    async fn round(
        &mut self,
        open: BTreeMap<Identity, SnapshotKey>,
    ) -> BTreeMap<Identity, SnapshotKey> {
        let mut again = BTreeMap::new();
        let mut tenants: BTreeMap<TenantId, Vec<SnapshotKey>> = BTreeMap::new();
        for (identity, key) in open {
            tenants.entry(identity.tenant).or_default().push(key);
        }
        for (tenant, keys) in tenants {
            match Segment::open(&tenant, self.options) {
                Ok(segment) => again.extend(self.merge_tenant(segment, keys).await),
                Err(error) => self.retry_all(keys.into_iter().map(|key| key.identity), &error),
            }
        }
        again
    }

    /// Reads snapshots side by side, in order, merges them into chunks and
    /// commits whenever a segment is full.
    async fn merge_tenant(
        &mut self,
        mut segment: Segment,
        keys: Vec<SnapshotKey>,
    ) -> BTreeMap<Identity, SnapshotKey> {
        let (store, options) = (self.store, self.options);
        let mut reads = futures::stream::iter(keys)
            .map(|key| async move { read::read_small(store, key, options).await })
            .buffered(options.fetches.max(1));
        let (mut open, mut again): (Vec<Chunk>, _) = (Vec::new(), BTreeMap::new());
        while let Some(read) = reads.next().await {
            let Some(member) = self.take(read).await else { continue };
            let mut closed = Vec::new();
            // Keys come sorted, so a new service means no more of the old one.
            if open.first().is_some_and(|chunk| !chunk.is_of(&member)) {
                closed.append(&mut open);
            }
            closed.extend(self.place(member, &mut open).await);
            for chunk in closed {
                again.extend(self.pack(chunk, &mut segment).await);
            }
        }
        for chunk in open {
            again.extend(self.pack(chunk, &mut segment).await);
        }
        again.extend(self.commit(segment).await);
        again
    }

    /// Encodes a chunk into the segment; commits that when it is full.
    async fn pack(
        &mut self,
        chunk: Chunk,
        segment: &mut Segment,
    ) -> BTreeMap<Identity, SnapshotKey> {
        let Some(chunk) = chunk.finish() else { return BTreeMap::new() };
        let members: Vec<Identity> = chunk.keys.iter().map(|key| key.identity.clone()).collect();
        let tenant = members[0].tenant.clone();
        let keys = chunk.keys.clone();
        match segment.add(chunk, self.options) {
            Ok(()) => {}
            Err(Unencodable::Overflows) => return self.part(keys).await,
            Err(error) => {
                self.retry_all(members, &segment::refused(error));
                return BTreeMap::new();
            }
        }
        match segment.is_full().then(|| Segment::open(&tenant, self.options)) {
            Some(Ok(next)) => self.commit(std::mem::replace(segment, next)).await,
            // Without a name for another, this one grows on.
            Some(Err(_)) | None => BTreeMap::new(),
        }
    }

    /// Parts snapshots whose sums no block can hold, to be merged again each
    /// alone; parks one that is more than a block holds by itself.
    async fn part(&mut self, keys: Vec<SnapshotKey>) -> BTreeMap<Identity, SnapshotKey> {
        if let [key] = keys.as_slice() {
            let detail = Unencodable::Overflows.to_string();
            let parked = park::Parked::new(key, ParkReason::TooLarge, detail);
            let outcome = park::snapshot(self.store, key, parked, self.options).await;
            self.settle(key.identity.clone(), outcome);
            return BTreeMap::new();
        }
        let again: BTreeMap<_, _> =
            keys.into_iter().map(|key| (key.identity.clone(), key)).collect();
        self.alone.extend(again.keys().cloned());
        again
    }

    /// Settles what cannot be merged; gives back what can.
    async fn take(&mut self, read: Read) -> Option<Member> {
        match read {
            Read::Member(member) => {
                self.report.bytes_read += member.size;
                Some(*member)
            }
            Read::Park { key, parked } => {
                let outcome = park::snapshot(self.store, &key, parked, self.options).await;
                self.settle(key.identity, outcome);
                None
            }
            Read::Retry { key, error } => {
                self.settle(key.identity, ItemOutcome::Retry(error));
                None
            }
            Read::Large(key) => {
                let read = read::read_large(self.store, key, self.options).await;
                Box::pin(self.take(read)).await
            }
        }
    }

    /// Puts a snapshot into the first open chunk that can take it; answers the
    /// chunk that had to be closed for it, if any.
    async fn place(&mut self, member: Member, open: &mut Vec<Chunk>) -> Option<Chunk> {
        let mut closed = None;
        let suiting = match self.alone.contains(&member.key.identity) {
            true => None,
            false => open.iter().position(|chunk| chunk.suits(&member)),
        };
        let index = match suiting {
            Some(index) if open[index].has_room(&member) => index,
            found => {
                let crowded = (open.len() >= MAX_OPEN_CHUNKS).then_some(0);
                closed = found.or(crowded).map(|index| open.remove(index));
                open.push(Chunk::new(&member.key, self.options));
                open.len() - 1
            }
        };
        let identity = member.key.identity.clone();
        match open[index].add(member) {
            Ok(bad_entries) => {
                self.report.entries_parked += bad_entries.len();
                if let Err(error) = self.park_entries(&identity, bad_entries).await {
                    // Committed without its note, an entry would vanish.
                    self.retry_all(open.remove(index).identities(), &error);
                }
            }
            Err(refused) => {
                let (key, parked) = *refused;
                let outcome = park::snapshot(self.store, &key, parked, self.options).await;
                self.settle(identity, outcome);
            }
        }
        closed
    }

    async fn park_entries(
        &self,
        identity: &Identity,
        entries: Vec<park::Parked>,
    ) -> Result<(), StoreError> {
        for parked in entries {
            park::note(self.store, &identity.tenant, parked, self.options).await?;
        }
        Ok(())
    }

    /// Puts a segment and commits its chunks; answers what others claimed
    /// beside.
    async fn commit(&mut self, segment: Segment) -> BTreeMap<Identity, SnapshotKey> {
        let mut again = BTreeMap::new();
        let members: Vec<Identity> = segment.identities().collect();
        let commits = match segment.put(self.store, self.options).await {
            Ok(commits) => commits,
            Err(error) => {
                self.retry_all(members, &error);
                return again;
            }
        };
        let mut mark = Some(CommitMark::new(Vec::new(), Vec::new()));
        for commit in commits {
            let ended = self.store.commit(&commit.chunk).await;
            mark = extended(mark, &commit, &ended);
            again.extend(self.settle_commit(commit, ended));
        }
        self.mark(mark).await;
        again
    }

    /// Puts the mark. Where it fails, or a commit stayed undecided, the sweep
    /// finds out later what stands and marks it.
    async fn mark(&self, mark: Option<CommitMark>) {
        if let Some(mark) = mark
            && let Err(error) = put_mark(self.store, &mark).await
        {
            tracing::warn!(%error, "segment stays unmarked until the sweep");
        }
    }

    fn settle_commit(
        &mut self,
        commit: segment::Commit,
        ended: Result<CommitOutcome, StoreError>,
    ) -> BTreeMap<Identity, SnapshotKey> {
        match ended {
            Ok(CommitOutcome::Committed) => {
                for row in commit.chunk.rows {
                    self.report.arrivals += row.arrivals;
                    self.report.rows.push(row);
                }
                for key in commit.keys {
                    self.settle(key.identity, ItemOutcome::Merged);
                }
                BTreeMap::new()
            }
            Ok(CommitOutcome::Claimed(_)) => {
                commit.keys.into_iter().map(|key| (key.identity.clone(), key)).collect()
            }
            Err(error) => {
                self.retry_all(commit.keys.into_iter().map(|key| key.identity), &error);
                BTreeMap::new()
            }
        }
    }
}

/// The mark with what this commit brought; none once a commit is undecided.
fn extended(
    mark: Option<CommitMark>,
    commit: &segment::Commit,
    ended: &Result<CommitOutcome, StoreError>,
) -> Option<CommitMark> {
    let mut mark = mark?;
    match ended {
        Ok(CommitOutcome::Committed) => {
            mark.rows.extend(commit.chunk.rows.iter().cloned());
            mark.claims.extend(commit.chunk.claims.iter().cloned());
            Some(mark)
        }
        Ok(CommitOutcome::Claimed(_)) => Some(mark),
        Err(_) => None,
    }
}

fn outcome_of(fate: &Fate) -> ItemOutcome {
    match fate {
        Fate::Block { .. } => ItemOutcome::AlreadyThere,
        Fate::Parked { reason, .. } => ItemOutcome::Parked(*reason),
    }
}
