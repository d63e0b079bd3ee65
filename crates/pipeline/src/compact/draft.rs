//! From children to a rollup ready to be put: profiles merged type by type,
//! totals held against the children's.

use bytes::Bytes;
use flambeau_layout::{BlockNote, BlockRow, Note, ObjectRange, ProfileType, Total, TypePart};
use flambeau_profile::{AddOptions, DEFAULT_LEVEL, Limits, MergeError, Merged, Merger};
use flambeau_store::{ErrorKind, Store, StoreError};
use futures::StreamExt;

use super::{CompactOptions, plan::Job, unite};

/// Child profiles fetched at the same time.
const FETCHES: usize = 16;

/// A rollup ready to be put.
pub(super) struct Draft {
    pub(super) row: BlockRow,
    /// Key and content of each of its objects.
    pub(super) objects: Vec<(String, Bytes)>,
}

/// Why children do not make a rollup.
#[derive(Debug, thiserror::Error)]
pub(super) enum DraftError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// This child does not go together with those before it; it may with
    /// others.
    #[error("child {child} does not go with those before it: {error}")]
    Apart { child: usize, error: MergeError },
    /// No more children go in.
    #[error("child {child} and those after it do not fit in: {error}")]
    Full { child: usize, error: String },
    /// This child cannot be read or merged at all.
    #[error("child {child} is not usable: {error}")]
    Broken { child: usize, error: String },
    /// A value of the merged profile is more than 64 bits hold.
    #[error("values of the merged {typ} profile add up to more than 64 bits hold")]
    Overflows { typ: ProfileType },
    /// What was merged is not the sum of its children.
    #[error("the merged {typ} profile sums to {merged}, its children to {children}: not rolled up")]
    NotConserved { typ: ProfileType, merged: String, children: String },
    /// The row or note cannot be written.
    #[error("the rollup cannot be described: {0}")]
    Unwritable(String),
}

/// Merges `children` (in the order of keys) into a draft.
pub(super) async fn draft(
    store: &Store,
    job: &Job,
    children: &[&BlockRow],
    salt: u32,
    options: &CompactOptions,
) -> Result<Draft, DraftError> {
    let id = unite::id_of(job, children, salt);
    let nothing = || DraftError::Unwritable("no children".to_owned());
    let mut row = unite::unite(job, children, id, options.now).ok_or_else(nothing)?;
    let mut objects = Vec::with_capacity(row.parts.len());
    let note = note_of(&row);
    for part in &mut row.parts {
        let merger = merge_type(store, &part.typ, children, &options.limits).await?;
        let bytes = encode(merger, part, &note)?;
        part.at.len = bytes.len() as u64;
        objects.push((part.at.key.clone(), bytes));
    }
    let row = row.fit().map_err(|error| DraftError::Full {
        child: children.len() / 2,
        error: error.to_string(),
    })?;
    Ok(Draft { row, objects })
}

fn note_of(row: &BlockRow) -> impl Fn(&TypePart) -> BlockNote + use<> {
    let (block, tenant, service) = (row.block.clone(), row.tenant.clone(), row.service.clone());
    let (window, tier, snapshots) = (row.window, row.tier, row.snapshots);
    let children = row.children.clone();
    move |part| BlockNote {
        block: block.clone(),
        tenant: tenant.clone(),
        service: service.clone(),
        typ: part.typ.clone(),
        window,
        tier,
        snapshots,
        totals: part.totals.clone(),
        covers: Vec::new(),
        children: children.clone(),
    }
}

async fn merge_type(
    store: &Store,
    typ: &ProfileType,
    children: &[&BlockRow],
    limits: &Limits,
) -> Result<Merger, DraftError> {
    let parts: Vec<(usize, ObjectRange)> = children
        .iter()
        .enumerate()
        .filter_map(|(child, row)| Some((child, row.part(typ)?.at.clone())))
        .collect();
    let mut blobs = futures::stream::iter(parts)
        .map(|(child, at)| async move { (child, store.get_range(&at).await) })
        .buffered(FETCHES);
    let mut merger = Merger::new(*limits);
    while let Some((child, bytes)) = blobs.next().await {
        let bytes = bytes.map_err(|error| unreadable(child, error))?;
        merger.add(&bytes, &AddOptions::default()).map_err(|error| refused(child, error))?;
    }
    Ok(merger)
}

fn unreadable(child: usize, error: StoreError) -> DraftError {
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::Corrupt => {
            DraftError::Broken { child, error: error.to_string() }
        }
        _ => DraftError::Store(error),
    }
}

fn refused(child: usize, error: MergeError) -> DraftError {
    match error {
        MergeError::Incompatible { .. } => DraftError::Apart { child, error },
        MergeError::Full { .. } => DraftError::Full { child, error: error.to_string() },
        error => DraftError::Broken { child, error: error.to_string() },
    }
}

/// Ends the merge and refuses what is not the sum of its children.
fn encode(
    mut merger: Merger,
    part: &TypePart,
    note: impl Fn(&TypePart) -> BlockNote,
) -> Result<Bytes, DraftError> {
    let unwritable = |error: String| DraftError::Unwritable(error);
    let comment = Note::Block(note(part)).to_comment().map_err(|e| unwritable(e.to_string()))?;
    merger.set_comments(vec![comment]);
    let merged = merger.finish().map_err(|error| unwritable(error.to_string()))?;
    if merged.saturated() > 0 {
        return Err(DraftError::Overflows { typ: part.typ.clone() });
    }
    conserved(part, &merged)?;
    Ok(merged.encode_gzip(DEFAULT_LEVEL).into())
}

fn conserved(part: &TypePart, merged: &Merged) -> Result<(), DraftError> {
    let merged: Vec<Total> = merged.totals().iter().copied().map(Total).collect();
    if merged == part.totals {
        return Ok(());
    }
    let list =
        |totals: &[Total]| totals.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    Err(DraftError::NotConserved {
        typ: part.typ.clone(),
        merged: list(&merged),
        children: list(&part.totals),
    })
}
