//! Verify: are the blocks what the raw snapshots say?
//!
//! Recomputes, block by block, the totals of the snapshots that a block covers
//! and the totals of the block's own profiles, and compares both with the row.
//! Reads every raw object and every level-0 block of a service once; holds one
//! service's totals in memory, never its profiles.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bytes::Bytes;
use flambeau_layout::{
    BlockId, BlockRow, ClaimRow, Fate, IdentityHash, Level, Note, ProfileType, RowState,
    ServiceName, SnapshotKey, SnapshotNote, SnapshotShape, TenantId, Total, UnixMillis, archive,
    snapshot::{MAX_TYPES, SNAPSHOTS},
};
use flambeau_profile::{AddOptions, Added, Limits, MergeError, Merger};
use flambeau_store::{Store, StoreError};
use futures::{StreamExt, TryStreamExt};

use crate::merge::{MAX_OBJECT_BYTES, columns::Columns};

/// Objects read at the same time.
const FETCHES: usize = 16;

/// What to verify.
#[derive(Debug, Clone)]
pub struct Scope {
    /// Whose snapshots.
    pub tenant: TenantId,
    /// Of which service; of all when `None`.
    pub service: Option<ServiceName>,
    /// Windows that meet this range.
    pub range: (UnixMillis, UnixMillis),
}

/// What was compared, and what differs.
#[derive(Debug, Default)]
pub struct Verified {
    /// Services looked at.
    pub services: BTreeSet<ServiceName>,
    /// Raw snapshots recomputed.
    pub snapshots: u64,
    /// Blocks recomputed and compared.
    pub blocks: u64,
    /// Windows that these blocks cover.
    pub windows: u64,
    /// Blocks whose raw snapshots are gone, all or in part: compared with their
    /// rows only.
    pub raw_expired: u64,
    /// Raw snapshots without a fate: still queued.
    pub queued: u64,
    /// Raw snapshots that are parked.
    pub parked: u64,
    /// Each difference, with the keys to look at.
    pub differences: Vec<String>,
}

/// Totals per type and, in it, per sample type.
pub type Totals = BTreeMap<ProfileType, BTreeMap<String, Total>>;

/// A raw snapshot's fate and totals.
struct Raw {
    key: SnapshotKey,
    fate: Option<Fate>,
}

/// Compares raw snapshots, blocks and rows.
///
/// # Errors
/// When the store fails. What differs is no error but a difference.
pub async fn verify(store: &Store, scope: &Scope) -> Result<Verified, StoreError> {
    let mut verified = Verified::default();
    let mut raws = raw_snapshots(store, scope).await?;
    let mut services: BTreeSet<ServiceName> = raws.keys().cloned().collect();
    match &scope.service {
        Some(service) => services = BTreeSet::from([service.clone()]),
        None => {
            let known = store.services(&scope.tenant).await?;
            services.extend(known.into_iter().map(|entry| entry.service));
        }
    }
    for service in services {
        let raws = raws.remove(&service).unwrap_or_default();
        verify_service(store, scope, &service, raws, &mut verified).await?;
        verified.services.insert(service);
    }
    Ok(verified)
}

async fn raw_snapshots(
    store: &Store,
    scope: &Scope,
) -> Result<BTreeMap<ServiceName, Vec<SnapshotKey>>, StoreError> {
    let prefix = match &scope.service {
        Some(service) => SnapshotKey::prefix(&scope.tenant, service),
        None => format!("{SNAPSHOTS}{}/", scope.tenant.encoded()),
    };
    let mut services: BTreeMap<ServiceName, Vec<SnapshotKey>> = BTreeMap::new();
    let mut next = None;
    loop {
        let page = store.list(&prefix, next.as_deref()).await?;
        for object in page.objects {
            // Keys outside the layout have no fate but their parked note.
            if let Ok(key) = object.key.parse::<SnapshotKey>() {
                services.entry(key.identity.service.clone()).or_default().push(key);
            }
        }
        next = page.next;
        if next.is_none() {
            return Ok(services);
        }
    }
}

async fn verify_service(
    store: &Store,
    scope: &Scope,
    service: &ServiceName,
    keys: Vec<SnapshotKey>,
    verified: &mut Verified,
) -> Result<(), StoreError> {
    let raws = with_fates(store, keys).await?;
    let mut by_identity: HashMap<IdentityHash, &Raw> = HashMap::new();
    for raw in &raws {
        by_identity.entry(raw.key.identity.hash()).or_insert(raw);
    }
    verified.queued += by_identity.values().filter(|raw| raw.fate.is_none()).count() as u64;
    let parked = |raw: &&&Raw| matches!(raw.fate, Some(Fate::Parked { .. }));
    verified.parked += by_identity.values().filter(parked).count() as u64;
    let rows = level_0(store, scope, service).await?;
    let mut windows = BTreeSet::new();
    let mut listed: HashMap<IdentityHash, BlockId> = HashMap::new();
    for row in &rows {
        windows.insert(row.window);
        verify_block(store, row, &by_identity, &mut listed, verified).await?;
    }
    verified.windows += windows.len() as u64;
    claims_are_kept(scope, &by_identity, &listed, verified);
    Ok(())
}

async fn with_fates(store: &Store, keys: Vec<SnapshotKey>) -> Result<Vec<Raw>, StoreError> {
    let identities: Vec<IdentityHash> = keys.iter().map(|key| key.identity.hash()).collect();
    let mut claims: HashMap<IdentityHash, ClaimRow> = store.claims_of(&identities).await?;
    let fate = |identity: &IdentityHash| claims.get(identity).map(|claim| claim.fate.clone());
    let fates: Vec<Option<Fate>> = identities.iter().map(fate).collect();
    claims.clear();
    Ok(keys.into_iter().zip(fates).map(|(key, fate)| Raw { key, fate }).collect())
}

/// Level-0 rows, open and done; a block just moving from one to the other
/// counts once.
async fn level_0(
    store: &Store,
    scope: &Scope,
    service: &ServiceName,
) -> Result<Vec<BlockRow>, StoreError> {
    let mut rows: BTreeMap<BlockId, BlockRow> = BTreeMap::new();
    for state in [RowState::Open, RowState::Done] {
        let found = store.rows(&scope.tenant, service, state, Level::Minute, scope.range).await?;
        rows.extend(found.into_iter().map(|indexed| (indexed.row.block.clone(), indexed.row)));
    }
    Ok(rows.into_values().collect())
}

/// Totals of a service's finest blocks, by their rows.
///
/// # Errors
/// When the store fails.
pub async fn finest_totals(
    store: &Store,
    scope: &Scope,
    service: &ServiceName,
) -> Result<Totals, StoreError> {
    let mut sum = Totals::new();
    for row in level_0(store, scope, service).await? {
        add(&mut sum, of_row(&row));
    }
    Ok(sum)
}

async fn verify_block(
    store: &Store,
    row: &BlockRow,
    raws: &HashMap<IdentityHash, &Raw>,
    listed: &mut HashMap<IdentityHash, BlockId>,
    verified: &mut Verified,
) -> Result<(), StoreError> {
    verified.blocks += 1;
    let at = |what: &str| format!("{what} of block {} (window {})", row.block, row.window.start);
    let (own, covers) = match read_block(store, row).await? {
        Ok(read) => read,
        Err(error) => {
            verified.differences.push(format!("{}: {error}", at("profile")));
            return Ok(());
        }
    };
    compare(&at("profile and row"), &own, &of_row(row), &mut verified.differences);
    for identity in &covers {
        if let Some(other) = listed.insert(identity.clone(), row.block.clone()) {
            let twice = format!("snapshot {identity} is in block {other} as well");
            verified.differences.push(format!("{}: {twice}", at("cover")));
        }
    }
    let members: Option<Vec<&Raw>> = covers.iter().map(|id| raws.get(id).copied()).collect();
    let Some(members) = members else {
        verified.raw_expired += 1;
        return Ok(());
    };
    let raw = sum_raw(store, &members).await?;
    verified.snapshots += members.len() as u64;
    compare(&at("raw snapshots and profile"), &raw, &own, &mut verified.differences);
    Ok(())
}

fn of_row(row: &BlockRow) -> Totals {
    let measures = |part: &flambeau_layout::TypePart| {
        part.sample_types.iter().cloned().zip(part.totals.iter().copied()).collect()
    };
    row.parts.iter().map(|part| (part.typ.clone(), measures(part))).collect()
}

type ReadBlock = Result<(Totals, Vec<IdentityHash>), String>;

/// Totals of a block's profiles as they lie in the bucket, and the snapshots
/// they say they cover.
async fn read_block(store: &Store, row: &BlockRow) -> Result<ReadBlock, StoreError> {
    let (mut totals, mut covers) = (Totals::new(), Vec::new());
    for part in &row.parts {
        let bytes = store.get_range(&part.at).await?;
        let (own, comments) = match totals_of(&bytes) {
            Ok(read) => read,
            Err(error) => return Ok(Err(format!("{}: {error}", part.at.key))),
        };
        totals.insert(part.typ.clone(), own);
        match Note::find(comments.iter().map(String::as_str)) {
            Ok(Some(Note::Block(note))) => covers = note.covers,
            _ => return Ok(Err(format!("{}: no block's note in it", part.at.key))),
        }
    }
    Ok(Ok((totals, covers)))
}

fn added(bytes: &[u8]) -> Result<Added, MergeError> {
    Merger::new(Limits::default()).add(bytes, &AddOptions::default())
}

fn totals_of(bytes: &[u8]) -> Result<(BTreeMap<String, Total>, Vec<String>), MergeError> {
    let added = added(bytes)?;
    let names = added.header.sample_types.iter().map(ToString::to_string);
    let totals = names.zip(added.totals.into_iter().map(Total)).collect();
    Ok((totals, added.header.comments))
}

async fn sum_raw(store: &Store, members: &[&Raw]) -> Result<Totals, StoreError> {
    let reads = members.iter().map(|raw| raw_totals(store, &raw.key));
    let all: Vec<Totals> = futures::stream::iter(reads).buffered(FETCHES).try_collect().await?;
    let mut sum = Totals::new();
    all.into_iter().for_each(|totals| add(&mut sum, totals));
    Ok(sum)
}

fn add(sum: &mut Totals, more: Totals) {
    for (typ, measures) in more {
        let of_type = sum.entry(typ).or_default();
        for (name, total) in measures {
            *of_type.entry(name).or_default() += total;
        }
    }
}

/// Totals of one raw snapshot, by the columns that count; what merge parks of
/// it counts nothing.
async fn raw_totals(store: &Store, key: &SnapshotKey) -> Result<Totals, StoreError> {
    let bytes = store.get(&key.to_string(), MAX_OBJECT_BYTES).await?.bytes;
    let mut read: BTreeMap<ProfileType, Added> = BTreeMap::new();
    for (typ, content) in profiles_of(key, &bytes) {
        if let Ok(added) = added(&content) {
            read.entry(typ).or_insert(added);
        }
    }
    let comments = read.values().flat_map(|added| &added.header.comments);
    let note = match Note::find(comments.map(String::as_str)) {
        Ok(Some(Note::Snapshot(note))) => note,
        _ => SnapshotNote::default(),
    };
    let counting = |added: Added| {
        let columns = Columns::of(&added.header, &note, key.identity.seq);
        let named = added.header.sample_types.iter().zip(added.totals).enumerate();
        let total = |position, total| match columns.dropped.contains(&position) {
            true => Total::default(),
            false => Total(total),
        };
        named.map(|(position, (name, sum))| (name.to_string(), total(position, sum))).collect()
    };
    Ok(read.into_iter().map(|(typ, added)| (typ, counting(added))).collect())
}

/// The profiles in a raw object, by type.
fn profiles_of(key: &SnapshotKey, bytes: &Bytes) -> Vec<(ProfileType, Bytes)> {
    match &key.shape {
        SnapshotShape::Single(typ) => vec![(typ.clone(), bytes.clone())],
        SnapshotShape::Zip => {
            let entries = archive::read(bytes, MAX_TYPES).unwrap_or_default().into_iter();
            let entry = |(name, content): (String, Result<Vec<u8>, _>)| {
                let typ = ProfileType::from_encoded(name.strip_suffix(".pb.gz")?).ok()?;
                Some((typ, content.ok()?.into()))
            };
            entries.filter_map(entry).collect()
        }
    }
}

fn compare(what: &str, left: &Totals, right: &Totals, differences: &mut Vec<String>) {
    let types: BTreeSet<&ProfileType> = left.keys().chain(right.keys()).collect();
    for typ in types {
        let (ours, theirs) = (left.get(typ), right.get(typ));
        if ours != theirs {
            differences.push(format!("{what} differ in {typ}: {ours:?} against {theirs:?}"));
        }
    }
}

/// Every raw snapshot that claims to be merged must stand in the block it names.
fn claims_are_kept(
    scope: &Scope,
    raws: &HashMap<IdentityHash, &Raw>,
    listed: &HashMap<IdentityHash, BlockId>,
    verified: &mut Verified,
) {
    for (identity, raw) in raws {
        let Some(Fate::Block { block, window }) = &raw.fate else { continue };
        let (from, until) = scope.range;
        if window.meets(from, until) && listed.get(identity) != Some(block) {
            let key = &raw.key;
            verified
                .differences
                .push(format!("snapshot {key} claims block {block}, which does not have it"));
        }
    }
}
