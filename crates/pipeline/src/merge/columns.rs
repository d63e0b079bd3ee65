//! Which columns of a snapshot add up, and how.

use flambeau_layout::SnapshotNote;
use flambeau_profile::{Header, Temporality};

/// How the columns of one profile enter a merge.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Columns {
    /// Positions that count as 0: cumulative, without a known difference.
    pub(crate) dropped: Vec<usize>,
    /// Positions that are true at a moment.
    pub(crate) gauges: Vec<usize>,
}

impl Columns {
    /// Columns of snapshot `seq` of a boot. What happened since the process
    /// began counts whole in the boot's first snapshot; later ones hold it
    /// again, and only their writer could have told the difference. A function
    /// of this snapshot alone, so that order cannot matter.
    pub(crate) fn of(header: &Header, note: &SnapshotNote, seq: u64) -> Self {
        let inferred = Temporality::of_columns(header).into_iter();
        let known = header.sample_types.iter().zip(inferred).map(|(measure, inferred)| {
            note.temporality.get(&measure.typ).copied().unwrap_or(inferred)
        });
        let mut columns = Self::default();
        for (position, temporality) in known.enumerate() {
            match temporality {
                Temporality::Delta => {}
                Temporality::Cumulative if seq == 0 => {}
                Temporality::Cumulative => columns.dropped.push(position),
                Temporality::Gauge => columns.gauges.push(position),
            }
        }
        columns
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flambeau_profile::ValueType;

    fn heap() -> Header {
        let types = ["alloc_space", "inuse_space", "cpu"]
            .map(|typ| ValueType { typ: typ.to_owned(), unit: "bytes".to_owned() });
        Header { sample_types: types.to_vec(), ..Header::default() }
    }

    #[test]
    fn only_the_first_snapshot_keeps_what_was_never_differenced() {
        let of = |seq| Columns::of(&heap(), &SnapshotNote::default(), seq);
        assert_eq!(of(0), Columns { dropped: vec![], gauges: vec![1] });
        assert_eq!(of(1), Columns { dropped: vec![0], gauges: vec![1] });
    }

    #[test]
    fn the_writer_knows_better() {
        let temporality = [("alloc_space", Temporality::Delta), ("cpu", Temporality::Gauge)]
            .map(|(name, temporality)| (name.to_owned(), temporality));
        let note = SnapshotNote { temporality: temporality.into(), ..SnapshotNote::default() };
        assert_eq!(Columns::of(&heap(), &note, 7), Columns { dropped: vec![], gauges: vec![1, 2] });
    }
}
