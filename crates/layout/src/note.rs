//! What Flambeau adds to a pprof: one `comment` string, `flambeau:` followed
//! by JSON, so that any pprof tool opens the file and keeps the comment.

use std::collections::BTreeMap;

use flambeau_profile::Temporality;
use serde::{Deserialize, Serialize};

use crate::{
    FORMAT_VERSION,
    block::Total,
    ids::{BlockId, IdentityHash},
    name::{ProfileType, ServiceName, TenantId},
    time::{UnixMillis, Window},
};

/// How every comment of ours begins.
pub const NOTE_PREFIX: &str = flambeau_profile::FLAMBEAU_COMMENT;

/// Longest note, in bytes.
pub const MAX_NOTE_BYTES: usize = 64 * 1024;

/// Most labels one snapshot may carry for all its samples.
pub const MAX_NOTE_LABELS: usize = 32;

/// A note that this version cannot use.
#[derive(Debug, thiserror::Error)]
pub enum NoteError {
    /// Written by a newer Flambeau.
    #[error(
        "note has version {found}, this build knows up to {FORMAT_VERSION}; update the functions"
    )]
    UnknownVersion {
        /// The version found.
        found: u32,
    },
    /// Not the JSON it should be.
    #[error("note is not readable: {0}")]
    Malformed(#[from] serde_json::Error),
    /// Beyond a limit.
    #[error("note has {found} {what}, more than the {limit} allowed")]
    TooLarge {
        /// What there is too much of.
        what: &'static str,
        /// How much was found.
        found: usize,
        /// How much is allowed.
        limit: usize,
    },
}

/// What a snapshot says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SnapshotNote {
    /// Labels of the whole snapshot: function, version, region, …
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Begin of the time it covers, by the writer's own clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<UnixMillis>,
    /// End of the time it covers, by the writer's own clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<UnixMillis>,
    /// Server time minus the writer's clock, in milliseconds, as last seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset_millis: Option<i64>,
    /// Nanoseconds in which an invocation ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_nanos: Option<i64>,
    /// Invocations that ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invocations: Option<u64>,
    /// Temporality by sample type name, where it differs from what is inferred:
    /// `delta` for a cumulative one that the writer made differences of.
    #[serde(default, with = "by_name", skip_serializing_if = "BTreeMap::is_empty")]
    pub temporality: BTreeMap<String, Temporality>,
    /// How many times what was seen each value counts: one environment of so
    /// many was sampled. 1 where it is 0.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub weight: u64,
    /// Snapshots the writer had to drop since the last one it wrote.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub dropped: u64,
    /// How the last invocation in it ended, when not well: `timeout`, `panic`, …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// What taking and writing profiles cost the function, and how well it went.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profiler: Option<ProfilerNote>,
}

/// A profiler's account of itself since its last snapshot. None of it is a label: it differs
/// from snapshot to snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ProfilerNote {
    /// CPU time of the profiler's own thread, in nanoseconds; samples are not in it.
    pub cpu_nanos: u64,
    /// Bytes of snapshots closed before this one and written or dropped since.
    pub bytes: u64,
    /// Samples taken.
    pub samples: u64,
    /// Samples lost for want of room.
    pub dropped: u64,
    /// Stacks cut short.
    pub truncated: u64,
    /// Periods that ended before the sample of the last one was taken; samples count them.
    pub overruns: u64,
    /// Samples per second of CPU time asked for.
    pub requested_hz: u32,
    /// Samples per second of CPU time taken, rounded.
    pub achieved_hz: u32,
    /// How stacks are read.
    pub unwinder: String,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// Temporalities as the words they are written with.
mod by_name {
    use std::collections::BTreeMap;

    use flambeau_profile::Temporality;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    type Temporalities = BTreeMap<String, Temporality>;

    pub(super) fn serialize<S: Serializer>(map: &Temporalities, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(map.iter().map(|(name, temporality)| (name, temporality.to_string())))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Temporalities, D::Error> {
        let words = BTreeMap::<String, String>::deserialize(from)?;
        let read =
            |(name, word): (String, String)| Ok((name, word.parse().map_err(D::Error::custom)?));
        words.into_iter().map(read).collect()
    }
}

/// What a block's pprof says of itself; its index row is a copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockNote {
    /// The block.
    pub block: BlockId,
    /// Whose it is.
    pub tenant: TenantId,
    /// What it profiles.
    pub service: ServiceName,
    /// Which of the block's profiles this is.
    pub typ: ProfileType,
    /// The time it covers.
    pub window: Window,
    /// Times rolled up inside the window.
    pub tier: u8,
    /// Snapshots merged in, for every level.
    pub snapshots: u64,
    /// Totals per sample type, in the profile's order.
    pub totals: Vec<Total>,
    /// Claims of the snapshots in it (level 0).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub covers: Vec<IdentityHash>,
    /// Blocks rolled up into it (levels above 0).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub children: Vec<BlockId>,
}

/// A comment of ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Note {
    /// On a snapshot.
    Snapshot(SnapshotNote),
    /// On a block.
    Block(BlockNote),
}

#[derive(Serialize, Deserialize)]
struct Versioned<N> {
    v: u32,
    #[serde(flatten)]
    note: N,
}

#[derive(Deserialize)]
struct VersionOnly {
    v: u32,
}

impl Note {
    /// The comment to put into the pprof.
    ///
    /// # Errors
    /// Never in practice: every field is plain data.
    pub fn to_comment(&self) -> Result<String, serde_json::Error> {
        let json = serde_json::to_string(&Versioned { v: FORMAT_VERSION, note: self })?;
        Ok(format!("{NOTE_PREFIX}{json}"))
    }

    /// Finds the note among a pprof's comments; `None` for a foreign pprof.
    ///
    /// # Errors
    /// When there is one that this version cannot read.
    pub fn find<'a>(
        comments: impl IntoIterator<Item = &'a str>,
    ) -> Result<Option<Self>, NoteError> {
        let mut found = comments.into_iter().filter_map(|text| text.strip_prefix(NOTE_PREFIX));
        found.next().map(Self::parse).transpose()
    }

    fn parse(json: &str) -> Result<Self, NoteError> {
        within("bytes", json.len(), MAX_NOTE_BYTES)?;
        let VersionOnly { v } = serde_json::from_str(json)?;
        if v > FORMAT_VERSION {
            return Err(NoteError::UnknownVersion { found: v });
        }
        let Versioned::<Self> { note, .. } = serde_json::from_str(json)?;
        if let Self::Snapshot(snapshot) = &note {
            within("labels", snapshot.labels.len(), MAX_NOTE_LABELS)?;
        }
        Ok(note)
    }
}

fn within(what: &'static str, found: usize, limit: usize) -> Result<(), NoteError> {
    if found > limit { Err(NoteError::TooLarge { what, found, limit }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn noted(labels: usize) -> Note {
        let labels = (0..labels).map(|i| (format!("k{i}"), "v".to_owned())).collect();
        Note::Snapshot(SnapshotNote { labels, end: Some(UnixMillis(5)), ..Default::default() })
    }

    #[test]
    fn notes_come_back() {
        let note = noted(2);
        let comment = note.to_comment().unwrap();
        let found = Note::find(["someone else's", comment.as_str()]).unwrap();
        assert_eq!(found, Some(note));
        assert_eq!(Note::find(["other"]).unwrap(), None);
    }

    #[test]
    fn newer_versions_are_refused_and_unknown_fields_are_not() {
        let newer = [r#"flambeau:{"v":2,"kind":"tree"}"#];
        assert!(matches!(Note::find(newer), Err(NoteError::UnknownVersion { found: 2 })));
        let wider = [r#"flambeau:{"v":1,"kind":"snapshot","moon":"full"}"#];
        assert!(Note::find(wider).unwrap().is_some());
        assert!(matches!(Note::find(["flambeau:{"]), Err(NoteError::Malformed(_))));
    }

    #[test]
    fn limits_have_two_sides() {
        let read = |note: Note| Note::find([note.to_comment().unwrap().as_str()]);
        assert!(read(noted(MAX_NOTE_LABELS)).is_ok());
        assert!(matches!(read(noted(MAX_NOTE_LABELS + 1)), Err(NoteError::TooLarge { .. })));
    }
}
