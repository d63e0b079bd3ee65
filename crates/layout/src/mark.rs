//! Commit marks: which blocks of an object count. Put beside the object after
//! its transactions, they are all that is needed to make the tables again.

use serde::{Deserialize, Serialize};

use crate::{FORMAT_VERSION, block::BlockRow, claim::ClaimRow, object::MergedKey};

/// How the key of a mark ends.
pub const MARK_SUFFIX: &str = ".commit";

/// What stands in a mark: the rows that committed, as committed, and the
/// claims that committed with them.
///
/// Claims stand here, not only as hashes in the blocks' notes, so that a
/// rebuild reads one small object per segment and opens no profile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitMark {
    /// Version of this document.
    pub v: u32,
    /// Rows that committed.
    pub rows: Vec<BlockRow>,
    /// Claims that committed with them (level 0).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub claims: Vec<ClaimRow>,
}

impl CommitMark {
    /// A mark of this version.
    #[must_use]
    pub fn new(rows: Vec<BlockRow>, claims: Vec<ClaimRow>) -> Self {
        Self { v: FORMAT_VERSION, rows, claims }
    }

    /// Key of the mark of a segment.
    #[must_use]
    pub fn key_of_segment(segment: &str) -> String {
        format!("{segment}{MARK_SUFFIX}")
    }

    /// Key of the mark of a rollup: one for all its types, beside their folder.
    #[must_use]
    pub fn key_of_rollup(row: &BlockRow) -> String {
        format!(
            "{}{}{MARK_SUFFIX}",
            MergedKey::window_prefix(&row.tenant, &row.service, row.window),
            row.block
        )
    }

    /// Key of the mark that makes this row count: its segment's, or its own.
    #[must_use]
    pub fn key_for(row: &BlockRow) -> String {
        match row.parts.first() {
            Some(part) if row.children.is_empty() => Self::key_of_segment(&part.at.key),
            _ => Self::key_of_rollup(row),
        }
    }
}
