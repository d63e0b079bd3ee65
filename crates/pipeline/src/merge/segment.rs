//! Segments: the object that holds all blocks one merge made for a tenant.

use bytes::Bytes;
use flambeau_layout::{
    BlockId, BlockNote, BlockRow, ClaimRow, FORMAT_VERSION, Fate, Identity, KeyDate, Note,
    ObjectRange, SegmentId, SegmentKey, SnapshotKey, TenantId, TypePart, Window, archive,
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
    blobs: Vec<Vec<u8>>,
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
        let blobs = draft.blocks.iter().flat_map(|block| &block.blobs);
        self.bytes += blobs.map(Vec::len).sum::<usize>();
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
    let MergedBlock { window, snapshots, arrivals, label_sets, types, covers } = block;
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
    let row = BlockRow {
        v: FORMAT_VERSION,
        block: id,
        tenant,
        service,
        window,
        tier: 0,
        snapshots,
        parts,
        label_sets,
        more: false,
        children: Vec::new(),
        arrivals,
        written: options.now,
    };
    Ok(Draft { row, blobs })
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
    let mut entries: Vec<(String, Vec<u8>)> = Vec::new();
    for draft in chunks.iter_mut().flat_map(|chunk| &mut chunk.blocks) {
        for (part, blob) in draft.row.parts.iter().zip(draft.blobs.drain(..)) {
            entries.push((format!("{}/{}.pb.gz", draft.row.block, part.typ.encoded()), blob));
        }
    }
    let named = entries.iter().map(|(name, blob)| (name.as_str(), blob.as_slice()));
    let (bytes, written) = archive::write(named)?;
    let blocks = chunks.iter_mut().flat_map(|chunk| &mut chunk.blocks);
    let parts = blocks.flat_map(|draft| &mut draft.row.parts);
    for (part, written) in parts.zip(written) {
        part.at = ObjectRange { key: key.to_string(), offset: written.offset, len: written.len };
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
