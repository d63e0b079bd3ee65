//! Segments: the object that holds all blocks one merge made for a tenant.

use bytes::Bytes;
use flambeau_layout::{
    Activity, BlockId, BlockNote, BlockRow, ClaimRow, Fate, Identity, KeyDate, Note, ObjectRange,
    SegmentId, SegmentKey, SnapshotKey, TenantId, TypePart, Window, archive,
};
use flambeau_profile::DEFAULT_LEVEL;
use flambeau_store::{ChunkCommit, ErrorKind, Store, StoreError};
use sha2::{Digest, Sha256};

use super::{
    MergeOptions,
    chunk::{MergedBlock, MergedChunk, MergedType},
};

/// A chunk placed in a segment, ready to commit.
pub(super) struct Commit {
    pub(super) keys: Vec<SnapshotKey>,
    pub(super) chunk: ChunkCommit,
}

struct Draft {
    row: BlockRow,
    /// The merged profiles, in the order of the row's parts.
    blobs: Vec<Vec<u8>>,
    /// Those kept whole, in the order of the row's traces.
    traces: Vec<Bytes>,
}

impl Draft {
    fn bytes(&self) -> usize {
        let (merged, whole) = (self.blobs.iter(), self.traces.iter());
        merged.map(Vec::len).sum::<usize>() + whole.map(Bytes::len).sum::<usize>()
    }

    /// What it brings into a segment: names and contents, in the order of
    /// [`Draft::places`].
    fn take_entries(&mut self) -> Vec<(String, Bytes)> {
        let row = &self.row;
        let merged = row.parts.iter().zip(self.blobs.drain(..)).map(|(part, blob)| {
            (format!("{}/{}.pb.gz", row.block, part.typ.encoded()), Bytes::from(blob))
        });
        let whole = self
            .traces
            .drain(..)
            .enumerate()
            .map(|(n, bytes)| (format!("{}/trace-{n}.pb.gz", row.block), bytes));
        merged.chain(whole).collect()
    }

    /// Where its entries are said to lie.
    fn places(&mut self) -> impl Iterator<Item = &mut ObjectRange> {
        let BlockRow { parts, traces, .. } = &mut self.row;
        let merged = parts.iter_mut().map(|part| &mut part.at);
        merged.chain(traces.iter_mut().map(|trace| &mut trace.at))
    }
}

/// Bytes of profiles after which a segment is put, and another begun: what a
/// merge holds in memory beside its open chunks.
pub(super) const SEGMENT_BYTES: usize = 16 << 20;

/// A segment being filled with the blocks of one tenant's chunks.
pub(super) struct Segment {
    key: SegmentKey,
    chunks: Vec<ChunkDraft>,
    bytes: usize,
}

impl Segment {
    /// An empty segment with a name of its own.
    pub(super) fn open(tenant: &TenantId, options: &MergeOptions) -> Result<Self, StoreError> {
        let segment = SegmentId::random().map_err(refused)?;
        let key = SegmentKey { tenant: tenant.clone(), date: KeyDate::of(options.now), segment };
        Ok(Self { key, chunks: Vec::new(), bytes: 0 })
    }

    /// Whether it should be put before more is added.
    pub(super) fn is_full(&self) -> bool {
        self.bytes >= SEGMENT_BYTES
    }

    /// The snapshots in it.
    pub(super) fn identities(&self) -> impl Iterator<Item = Identity> {
        self.chunks.iter().flat_map(|chunk| &chunk.keys).map(|key| key.identity.clone())
    }

    /// Encodes a chunk's blocks into it.
    pub(super) fn add(
        &mut self,
        chunk: MergedChunk,
        options: &MergeOptions,
    ) -> Result<(), Unencodable> {
        let draft = draft_chunk(&self.key, self.chunks.len(), chunk, options)?;
        self.bytes += draft.blocks.iter().map(Draft::bytes).sum::<usize>();
        self.chunks.push(draft);
        Ok(())
    }

    /// Puts it; answers the commits that make its blocks count.
    pub(super) async fn put(
        mut self,
        store: &Store,
        options: &MergeOptions,
    ) -> Result<Vec<Commit>, StoreError> {
        if self.chunks.is_empty() {
            return Ok(Vec::new());
        }
        let bytes = pack(&self.key, &mut self.chunks).map_err(refused)?;
        store.put_new(&self.key.to_string(), Bytes::from(bytes), "application/zip").await?;
        self.chunks.into_iter().map(|draft| commit_of(draft, options)).collect()
    }
}

/// Why a chunk's blocks cannot be written.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unencodable {
    /// A value of the merged profile is more than pprof's 64 bits hold.
    #[error("its values add up to more than 64 bits hold")]
    Overflows,
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

impl Unencodable {
    fn other(error: impl std::fmt::Display) -> Self {
        Self::Other(error.to_string())
    }
}

pub(super) fn refused(error: impl std::fmt::Display) -> StoreError {
    StoreError::new(ErrorKind::Rejected, "write a segment", error.to_string())
}

struct ChunkDraft {
    keys: Vec<SnapshotKey>,
    windows: Vec<Window>,
    token: BlockId,
    blocks: Vec<Draft>,
}

fn draft_chunk(
    segment: &SegmentKey,
    index: usize,
    chunk: MergedChunk,
    options: &MergeOptions,
) -> Result<ChunkDraft, Unencodable> {
    let MergedChunk { keys, windows, blocks } = chunk;
    let token = derive(segment, index, "chunk");
    let mut drafts = Vec::with_capacity(blocks.len());
    for block in blocks {
        let id = derive(segment, index, &block.window.to_string());
        drafts.push(draft_block(id, &keys[0], block, options)?);
    }
    Ok(ChunkDraft { keys, windows, token, blocks: drafts })
}

/// Ids derive from where they stand, so a repeated attempt of one segment is
/// the same transaction.
fn derive(segment: &SegmentKey, chunk: usize, what: &str) -> BlockId {
    let hash = Sha256::digest(format!("{segment}#{chunk}#{what}"));
    let mut id = [0; 16];
    id.copy_from_slice(&hash[..16]);
    BlockId::from_bytes(id)
}

fn draft_block(
    id: BlockId,
    of: &SnapshotKey,
    block: MergedBlock,
    options: &MergeOptions,
) -> Result<Draft, Unencodable> {
    let MergedBlock { window, snapshots, arrivals, label_sets, types, covers, .. } = block;
    let (tenant, service) = (of.identity.tenant.clone(), of.identity.service.clone());
    let note = BlockNote {
        block: id.clone(),
        tenant: tenant.clone(),
        service: service.clone(),
        typ: types[0].part.typ.clone(),
        window,
        tier: 0,
        snapshots,
        totals: Vec::new(),
        covers: covers.iter().map(Identity::hash).collect(),
        children: Vec::new(),
    };
    let (mut parts, mut blobs) = (Vec::new(), Vec::new());
    for merged in types {
        let (part, blob) = encode_type(&note, merged)?;
        parts.push(part);
        blobs.push(blob);
    }
    let mut activity = Activity::default();
    block.set_activity.iter().for_each(|told| activity += *told);
    let (traces, whole): (Vec<_>, Vec<_>) =
        block.traces.into_iter().map(|merged| (merged.trace, merged.bytes)).unzip();
    let row = BlockRow {
        snapshots,
        parts,
        label_sets,
        activity,
        set_activity: Activity::told_by(block.set_activity),
        instances: block.instances,
        traces,
        arrivals,
        written: options.now,
        ..BlockRow::empty(tenant, service, window, id)
    };
    Ok(Draft { row, blobs, traces: whole })
}

fn encode_type(note: &BlockNote, merged: MergedType) -> Result<(TypePart, Vec<u8>), Unencodable> {
    let MergedType { mut part, mut merger } = merged;
    let note = BlockNote { typ: part.typ.clone(), totals: part.totals.clone(), ..note.clone() };
    let comment = Note::Block(note).to_comment().map_err(Unencodable::other)?;
    merger.set_comments(vec![comment]);
    let merged = merger.finish().map_err(Unencodable::other)?;
    if merged.saturated() > 0 {
        return Err(Unencodable::Overflows);
    }
    let blob = merged.encode_gzip(DEFAULT_LEVEL);
    part.at.len = blob.len() as u64;
    Ok((part, blob))
}

fn pack(key: &SegmentKey, chunks: &mut [ChunkDraft]) -> Result<Vec<u8>, archive::ArchiveError> {
    let blocks = chunks.iter_mut().flat_map(|chunk| &mut chunk.blocks);
    let entries: Vec<(String, Bytes)> = blocks.flat_map(Draft::take_entries).collect();
    let named = entries.iter().map(|(name, bytes)| (name.as_str(), bytes.as_ref()));
    let (bytes, written) = archive::write(named)?;
    let blocks = chunks.iter_mut().flat_map(|chunk| &mut chunk.blocks);
    for (at, written) in blocks.flat_map(Draft::places).zip(written) {
        *at = ObjectRange { key: key.to_string(), offset: written.offset, len: written.len };
    }
    Ok(bytes)
}

fn commit_of(draft: ChunkDraft, options: &MergeOptions) -> Result<Commit, StoreError> {
    let ChunkDraft { keys, windows, token, blocks } = draft;
    let fit = |draft: Draft| {
        draft.row.fit().map_err(|error| {
            StoreError::new(ErrorKind::Rejected, "fit an index row", error.to_string())
        })
    };
    let rows: Vec<BlockRow> = blocks.into_iter().map(fit).collect::<Result<_, _>>()?;
    let claims = keys.iter().zip(&windows).filter_map(|(key, window)| {
        let row = rows.iter().find(|row| row.window == *window)?;
        let fate = Fate::Block { block: row.block.clone(), window: *window };
        Some(ClaimRow {
            identity: key.identity.hash(),
            fate,
            key: key.to_string(),
            claimed: options.now,
        })
    });
    let claims = claims.collect();
    let chunk = ChunkCommit { rows, claims, token: token.to_string() };
    Ok(Commit { keys, chunk })
}
