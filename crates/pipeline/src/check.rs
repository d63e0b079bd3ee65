//! Check: do rows, objects, marks and claims tell one story?

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
};

use flambeau_layout::{
    BlockId, BlockRow, CommitMark, Fate, Level, RowState, ServiceName, TenantId, Total,
    mark::MARK_SUFFIX, object::SEGMENTS,
};
use flambeau_store::{IndexedRow, Store, StoreError};

use crate::catalogue::read_mark;

/// Something that does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// A row names bytes that are not there.
    ObjectMissing {
        /// The block.
        block: BlockId,
        /// The object.
        key: String,
    },
    /// A row's object has no commit mark: a rebuild would not find it. Passing,
    /// while its writer or the sweep is at it.
    Unmarked {
        /// The block.
        block: BlockId,
    },
    /// A block stands as `open`, and in an open rollup that is not covering it.
    CountedTwice {
        /// The block.
        block: BlockId,
        /// The rollup that lists it.
        rollup: BlockId,
    },
    /// A rollup's totals are not the sum of its children's.
    NotTheSum {
        /// The rollup.
        rollup: BlockId,
        /// The type.
        typ: String,
    },
    /// A marked claim is missing or tells of another block.
    Claim {
        /// The snapshot.
        key: String,
        /// The block it should name.
        block: BlockId,
    },
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ObjectMissing { block, key } => write!(f, "block {block}: `{key}` is missing"),
            Self::Unmarked { block } => write!(f, "block {block} has no commit mark yet"),
            Self::CountedTwice { block, rollup } => {
                write!(f, "block {block} is open, and stands in rollup {rollup}")
            }
            Self::NotTheSum { rollup, typ } => {
                write!(f, "rollup {rollup}: its {typ} is not the sum of its children")
            }
            Self::Claim { key, block } => {
                write!(f, "claim of `{key}` does not name block {block}")
            }
        }
    }
}

/// What was compared, and what does not fit.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Checked {
    /// Rows looked at.
    pub rows: usize,
    /// Rollups whose children were all there to be added up.
    pub rollups: usize,
    /// Claims looked at.
    pub claims: usize,
    /// What does not fit.
    pub findings: Vec<Finding>,
}

/// Compares a service's rows with their objects, marks and each other. One HEAD
/// per object and mark.
///
/// # Errors
/// When the store fails.
pub async fn check_service(
    store: &Store,
    tenant: &TenantId,
    service: &ServiceName,
) -> Result<Checked, StoreError> {
    let rows = store.all_rows(tenant, service).await?;
    let mut checked = Checked { rows: rows.len(), ..Checked::default() };
    let mut sizes: HashMap<String, Option<u64>> = HashMap::new();
    for IndexedRow { row, .. } in &rows {
        for part in &row.parts {
            let size = size_of(store, &mut sizes, part.at.key.clone()).await?;
            if size.is_none_or(|size| size < part.at.offset + part.at.len) {
                let (block, key) = (row.block.clone(), part.at.key.clone());
                checked.findings.push(Finding::ObjectMissing { block, key });
            }
        }
        if size_of(store, &mut sizes, CommitMark::key_for(row)).await?.is_none() {
            checked.findings.push(Finding::Unmarked { block: row.block.clone() });
        }
    }
    compare(&rows, &mut checked);
    Ok(checked)
}

async fn size_of(
    store: &Store,
    sizes: &mut HashMap<String, Option<u64>>,
    key: String,
) -> Result<Option<u64>, StoreError> {
    if let Some(size) = sizes.get(&key) {
        return Ok(*size);
    }
    let size = store.size_of(&key).await?;
    sizes.insert(key, size);
    Ok(size)
}

/// Rows against each other.
fn compare(rows: &[IndexedRow], checked: &mut Checked) {
    let by_id: BTreeMap<&BlockId, &IndexedRow> =
        rows.iter().rev().map(|indexed| (&indexed.row.block, indexed)).collect();
    for rollup in rows.iter().filter(|indexed| !indexed.row.children.is_empty()) {
        let children: Vec<&IndexedRow> =
            rollup.row.children.iter().filter_map(|id| by_id.get(id).copied()).collect();
        for child in &children {
            if child.state == RowState::Open && child.covered_by.is_none() {
                checked.findings.push(Finding::CountedTwice {
                    block: child.row.block.clone(),
                    rollup: rollup.row.block.clone(),
                });
            }
        }
        // Children past their days are forgotten one by one.
        if children.len() == rollup.row.children.len() {
            checked.rollups += 1;
            let children: Vec<&BlockRow> = children.iter().map(|child| &child.row).collect();
            add_up(&rollup.row, &children, checked);
        }
    }
}

fn add_up(rollup: &BlockRow, children: &[&BlockRow], checked: &mut Checked) {
    for part in &rollup.parts {
        let mut sums = vec![Total::default(); part.totals.len()];
        let mut snapshots = 0;
        for child in children.iter().filter_map(|child| child.part(&part.typ)) {
            sums.iter_mut().zip(&child.totals).for_each(|(sum, total)| *sum += *total);
            snapshots += child.snapshots;
        }
        if sums != part.totals || snapshots != part.snapshots {
            let (rollup, typ) = (rollup.block.clone(), part.typ.to_string());
            checked.findings.push(Finding::NotTheSum { rollup, typ });
        }
    }
}

/// Compares the claims that a tenant's segment marks hold with the table.
///
/// # Errors
/// When the store fails or a mark is unreadable.
pub async fn check_claims(store: &Store, tenant: &TenantId) -> Result<Checked, StoreError> {
    let mut checked = Checked::default();
    for object in store.list_all(&format!("{SEGMENTS}{}/", tenant.encoded())).await? {
        if !object.key.ends_with(MARK_SUFFIX) {
            continue;
        }
        let mark = read_mark(store, &object.key).await?;
        debug_assert!(mark.rows.iter().all(|row| row.window.level == Level::Minute));
        let hashes: Vec<_> = mark.claims.iter().map(|claim| claim.identity.clone()).collect();
        let held = store.claims_of(&hashes).await?;
        checked.claims += mark.claims.len();
        for claim in mark.claims {
            let Fate::Block { block, .. } = claim.fate.clone() else { continue };
            if held.get(&claim.identity).is_none_or(|held| held.fate != claim.fate) {
                checked.findings.push(Finding::Claim { key: claim.key, block });
            }
        }
    }
    Ok(checked)
}
