//! From a selection to the blocks that answer it, by index rows alone.

use flambeau_layout::{
    BlockId, BlockRow, Level, ProfileType, RowState, ServiceName, TenantId, Total, TypePart,
};
use flambeau_store::{Store, StoreError};

use crate::range::Range;

/// A question that has no answer.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// Nothing is held for it.
    #[error("no {typ} profiles of service `{service}` between {} and {}; {hint}", range.from, range.until)]
    Nothing {
        /// The service asked for.
        service: ServiceName,
        /// The type asked for.
        typ: ProfileType,
        /// The range asked for, rounded.
        range: Range,
        /// What to do about it.
        hint: &'static str,
    },
    /// No such block.
    #[error("no block `{block}` with {typ} profiles of service `{service}`; it may be rolled up")]
    NoBlock {
        /// The service asked for.
        service: ServiceName,
        /// The type asked for.
        typ: ProfileType,
        /// The block asked for.
        block: BlockId,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The answer cannot be made of its blocks.
    #[error("the blocks do not make one profile: {0}")]
    Merge(flambeau_profile::MergeError),
    /// A block cannot be read or merged.
    #[error("block `{block}` is not usable: {error}")]
    Broken {
        /// The block.
        block: BlockId,
        /// Why.
        error: flambeau_profile::MergeError,
    },
}

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Selection {
    /// Whose profiles.
    pub tenant: TenantId,
    /// Of what.
    pub service: ServiceName,
    /// Of which type.
    pub typ: ProfileType,
    /// From when.
    pub range: Range,
}

/// The blocks that answer a selection.
#[derive(Debug)]
pub struct Plan {
    /// The range answered: the selection's, rounded outward to whole windows.
    pub range: Range,
    /// The blocks to read, in order of time.
    pub blocks: Vec<BlockRow>,
    /// The type asked for.
    pub typ: ProfileType,
    /// Snapshots left out, because they measure something else under the same
    /// type name than the newest do.
    pub left_out: u64,
}

impl Plan {
    /// The parts to read.
    pub fn parts(&self) -> impl Iterator<Item = (&BlockRow, &TypePart)> {
        self.blocks.iter().filter_map(|row| Some((row, row.part(&self.typ)?)))
    }

    /// Snapshots in the answer.
    #[must_use]
    pub fn snapshots(&self) -> u64 {
        self.parts().map(|(_, part)| part.snapshots).sum()
    }

    /// Totals per sample type (as `type/unit`), by rows alone.
    #[must_use]
    pub fn totals(&self) -> Vec<(String, Total)> {
        let mut totals: Vec<(String, Total)> = Vec::new();
        for (_, part) in self.parts() {
            for (index, (name, total)) in part.sample_types.iter().zip(&part.totals).enumerate() {
                match totals.get_mut(index) {
                    Some((_, sum)) => *sum += *total,
                    None => totals.push((name.clone(), *total)),
                }
            }
        }
        totals
    }

    /// Bytes to read.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.parts().map(|(_, part)| part.at.len).sum()
    }
}

/// Finds the blocks that answer a selection.
///
/// # Errors
/// [`QueryError::Nothing`] when there are none, or when the store fails.
pub async fn plan(store: &Store, selection: &Selection) -> Result<Plan, QueryError> {
    let Selection { tenant, service, typ, range } = selection;
    let range = range.rounded(Level::Minute);
    let rows =
        store.rows(tenant, service, RowState::Open, Level::Minute, (range.from, range.until));
    let rows = rows.await?.into_iter().map(|indexed| indexed.row);
    let blocks: Vec<BlockRow> = rows.filter(|row| row.part(typ).is_some()).collect();
    if blocks.is_empty() {
        return Err(QueryError::Nothing {
            service: service.clone(),
            typ: typ.clone(),
            range,
            hint: "widen the range, or look at / for what there is",
        });
    }
    Ok(alike(Plan { range, blocks, typ: typ.clone(), left_out: 0 }))
}

/// Keeps the blocks whose profiles measure what the newest one does: others
/// cannot be merged with it.
fn alike(mut plan: Plan) -> Plan {
    let shape = plan.parts().last().map(|(_, part)| part.sample_types.clone());
    let typ = plan.typ.clone();
    let (alike, others): (Vec<_>, Vec<_>) = plan
        .blocks
        .into_iter()
        .partition(|row| row.part(&typ).map(|part| &part.sample_types) == shape.as_ref());
    let snapshots = others.iter().filter_map(|row| row.part(&typ)).map(|part| part.snapshots);
    plan.left_out = snapshots.sum();
    plan.blocks = alike;
    plan
}

/// Finds one block by its id.
///
/// # Errors
/// [`QueryError::NoBlock`] when the service has none of this id and type.
pub async fn block(
    store: &Store,
    selection: &Selection,
    id: &BlockId,
) -> Result<TypePart, QueryError> {
    let all = Range::all();
    let Selection { tenant, service, typ, .. } = selection;
    let range = (all.from, all.until);
    let rows = store.rows(tenant, service, RowState::Open, Level::Minute, range).await?;
    let found = rows.into_iter().find(|indexed| indexed.row.block == *id);
    found.and_then(|indexed| indexed.row.part(typ).cloned()).ok_or_else(|| QueryError::NoBlock {
        service: service.clone(),
        typ: typ.clone(),
        block: id.clone(),
    })
}
