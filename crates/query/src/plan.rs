//! From a selection to the blocks that answer it, by index rows alone.

use std::collections::HashSet;

use flambeau_layout::{
    BlockId, BlockRow, Level, ProfileType, RowState, ServiceName, TenantId, Total, TypePart,
    UnixMillis, lifetime::finest_kept,
};
use flambeau_store::{ErrorKind, Store, StoreError};

use crate::{
    range::Range,
    select::{self, Counted},
};

/// How often a plan begins again when rows move under it, before it is left to
/// the caller's retry. Each time needs two rollups of one block within one
/// reading.
const MAX_REPLANS: usize = 16;

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
    /// More than can be told apart.
    #[error("{} to {} is too wide: {hint}", range.from, range.until)]
    TooWide {
        /// The range asked for, rounded.
        range: Range,
        /// How to narrow it.
        hint: &'static str,
    },
    /// No such block.
    #[error(
        "no block `{block}` with {typ} profiles of service `{service}`; it is rolled up and forgotten, or never was"
    )]
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

impl Selection {
    /// That nothing is held for it.
    pub(crate) fn nothing(&self, range: Range) -> QueryError {
        let Self { service, typ, .. } = self.clone();
        let hint = "widen the range, or look at / for what there is";
        QueryError::Nothing { service, typ, range, hint }
    }
}

/// How fine and how coarse the blocks of a plan may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grain {
    /// Edges are rounded to windows of no finer level.
    pub finest: Level,
    /// No block is of a coarser level: time is told apart by its windows, and
    /// the number of blocks grows with the range.
    pub coarsest: Level,
}

impl Default for Grain {
    fn default() -> Self {
        Self { finest: Level::Minute, coarsest: Level::Month }
    }
}

impl Grain {
    /// As fine as can be, in windows of at most `coarsest`.
    #[must_use]
    pub fn at_most(coarsest: Level) -> Self {
        Self { coarsest, ..Self::default() }
    }

    /// With edges of no finer level.
    #[must_use]
    pub fn edges(finest: Level) -> Self {
        Self { finest, ..Self::default() }
    }
}

/// The blocks that answer a selection.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The range asked for.
    pub asked: Range,
    /// The range answered: the one asked for, rounded outward to whole windows
    /// of the levels below.
    pub range: Range,
    /// The finest level still kept where the range begins.
    pub from_level: Level,
    /// The finest level still kept where the range ends.
    pub until_level: Level,
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

    /// Snapshots in the answer whose cumulative columns were left out.
    #[must_use]
    pub fn undifferenced(&self) -> u64 {
        self.parts().map(|(_, part)| part.undifferenced).sum()
    }

    /// Bytes to read.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.parts().map(|(_, part)| part.at.len).sum()
    }
}

/// Finds the blocks that answer a selection, exactly, while compaction moves
/// them.
///
/// # Errors
/// [`QueryError::Nothing`] when there are none, or when the store fails.
pub async fn plan(store: &Store, selection: &Selection) -> Result<Plan, QueryError> {
    plan_at(store, selection, jiff::Timestamp::now().into(), Grain::default()).await
}

/// As [`plan`], at a given time, of blocks as fine and as coarse as `grain` has
/// them.
///
/// # Errors
/// As [`plan`].
pub async fn plan_at(
    store: &Store,
    selection: &Selection,
    now: UnixMillis,
    grain: Grain,
) -> Result<Plan, QueryError> {
    let Selection { typ, range: asked, .. } = selection;
    let rounded = select::round(*asked, now, grain.finest);
    let counted = count(store, selection, rounded.range, grain.coarsest).await?;
    let rows = counted.rows.into_iter().map(|indexed| indexed.row);
    let blocks: Vec<BlockRow> = rows.filter(|row| row.part(typ).is_some()).collect();
    if blocks.is_empty() {
        return Err(selection.nothing(rounded.range));
    }
    Ok(alike(Plan {
        asked: *asked,
        range: rounded.range,
        from_level: rounded.from,
        until_level: rounded.until,
        blocks,
        typ: typ.clone(),
        left_out: 0,
    }))
}

/// The coarsest plan of at least `least` blocks, for telling apart what they say;
/// the finest there is where none has as many, and none of more than `most`.
///
/// # Errors
/// As [`plan`].
pub async fn plan_apart(
    store: &Store,
    selection: &Selection,
    now: UnixMillis,
    (least, most): (usize, usize),
) -> Result<Plan, QueryError> {
    let mut found = plan_at(store, selection, now, Grain::default()).await?;
    for level in [Level::Day, Level::Hour, Level::Minute] {
        let enough = found.blocks.len() >= least;
        if enough || finest_kept(found.range.from, now) > level {
            break;
        }
        let finer = plan_at(store, selection, now, Grain::at_most(level)).await?;
        if finer.blocks.len() > most {
            break;
        }
        found = finer;
    }
    Ok(found)
}

/// Rows as merges wrote them, in order of time. Open ones are read before done
/// ones, so that one that is moved meanwhile is seen at least once.
pub(crate) async fn merged_rows(
    store: &Store,
    selection: &Selection,
    range: Range,
) -> Result<Vec<BlockRow>, QueryError> {
    let Selection { tenant, service, .. } = selection;
    let (mut rows, mut seen) = (Vec::new(), HashSet::new());
    for state in [RowState::Open, RowState::Done] {
        let within = (range.from, range.until);
        for indexed in store.rows(tenant, service, state, Level::Minute, within).await? {
            let row = indexed.row;
            let inside = row.window.lies_in(range.from, range.until);
            if row.tier == 0 && inside && seen.insert(row.block.clone()) {
                rows.push(row);
            }
        }
    }
    rows.sort_by_key(|row| row.window.start);
    Ok(rows)
}

/// Reads rows until a count stands.
async fn count(
    store: &Store,
    selection: &Selection,
    range: Range,
    coarsest: Level,
) -> Result<Counted, StoreError> {
    let Selection { tenant, service, .. } = selection;
    let partition = BlockRow::partition(tenant, service);
    for _ in 0..MAX_REPLANS {
        let mut rows = Vec::new();
        for read in select::reads(range, coarsest) {
            let within = (read.range.from, read.range.until);
            rows.extend(store.rows(tenant, service, read.state, read.level, within).await?);
        }
        let counted = select::count(rows, range);
        let present = store.present(&partition, &counted.again).await?;
        if counted.stands(&present) {
            return Ok(counted);
        }
        tracing::debug!(%service, "rows moved twice while they were read; reading again");
    }
    let doing = format!("plan over service `{service}`");
    Err(StoreError::new(ErrorKind::Conflict, doing, "its blocks kept being rolled up"))
}

/// Keeps the blocks whose profiles measure what the newest one does: others
/// cannot be merged with it.
fn alike(mut plan: Plan) -> Plan {
    let typ = plan.typ.clone();
    let newest = plan.blocks.last().and_then(|row| row.part(&typ)).cloned();
    let shape = newest.as_ref().map(TypePart::shape);
    let (alike, others): (Vec<_>, Vec<_>) =
        plan.blocks.into_iter().partition(|row| row.part(&typ).map(TypePart::shape) == shape);
    let snapshots = others.iter().filter_map(|row| row.part(&typ)).map(|part| part.snapshots);
    plan.left_out = snapshots.sum();
    plan.blocks = alike;
    plan
}

/// Finds one block by its id, at any level, among rows that meet the
/// selection's range. Reads the open rows first, then the done ones, level by
/// level: the narrower the range, the cheaper.
///
/// # Errors
/// [`QueryError::NoBlock`] when the service has none of this id and type.
pub async fn block(
    store: &Store,
    selection: &Selection,
    id: &BlockId,
) -> Result<TypePart, QueryError> {
    let Selection { tenant, service, typ, range } = selection;
    for state in [RowState::Open, RowState::Done] {
        for level in Level::ALL {
            let rows = store.rows(tenant, service, state, level, (range.from, range.until)).await?;
            let mut found = rows.iter().filter(|indexed| indexed.row.block == *id);
            if let Some(part) = found.find_map(|indexed| indexed.row.part(typ)) {
                return Ok(part.clone());
            }
        }
    }
    Err(QueryError::NoBlock { service: service.clone(), typ: typ.clone(), block: id.clone() })
}
