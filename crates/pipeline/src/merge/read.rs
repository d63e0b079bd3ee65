//! Reading one snapshot: fetch, take apart, find its window.

use bytes::Bytes;
use flambeau_layout::{
    Arrivals, Level, Note, NoteError, ParkReason, ProfileType, SnapshotKey, SnapshotNote,
    SnapshotShape, UnixMillis, Window, archive, snapshot::MAX_TYPES,
};
use flambeau_profile::{DecodeError, Header, Limits, Timed, peek_timed};
use flambeau_store::{ErrorKind, Got, Store};

use super::{MAX_AGE_MILLIS, MAX_OBJECT_BYTES, MergeOptions, chunk::Member, park::Parked};

/// A snapshot that S3 took this long after its end is counted as late: its
/// minute's hour is likely rolled up.
pub(super) const LATE_MILLIS: i64 = 3_600_000;
/// A snapshot whose end lies this far behind its taking is counted as future;
/// less is rounding.
pub(super) const FUTURE_MILLIS: i64 = 2_000;

/// What reading a snapshot gave.
pub(super) enum Read {
    /// A snapshot to merge.
    Member(Box<Member>),
    /// One that never will be.
    Park { key: SnapshotKey, parked: Parked },
    /// One that could not be read now.
    Retry { key: SnapshotKey, error: String },
    /// One that is not read beside others; [`read_large`] does it.
    Large(SnapshotKey),
}

/// Objects up to this size are read side by side, larger ones one by one: so
/// the memory of a merge hangs on this and on how many it fetches at a time,
/// not on what a batch happens to hold.
pub const SMALL_OBJECT_BYTES: u64 = 1 << 20;

/// One profile of a snapshot.
pub(super) struct Part {
    pub(super) typ: ProfileType,
    pub(super) bytes: Bytes,
    pub(super) header: Header,
    /// Set where its samples carry time.
    pub(super) timed: Option<Timed>,
}

impl Part {
    fn of(typ: ProfileType, bytes: Bytes, limits: &Limits) -> Result<Self, DecodeError> {
        let (header, timed) = peek_timed(&bytes, limits)?;
        Ok(Self { typ, bytes, header, timed })
    }
}

/// Fetches and takes apart the snapshot at `key`, unless it is large.
pub(super) async fn read_small(store: &Store, key: SnapshotKey, options: &MergeOptions) -> Read {
    read(store, key, SMALL_OBJECT_BYTES, options).await
}

/// Fetches and takes apart the snapshot at `key`, however large it may be.
pub(super) async fn read_large(store: &Store, key: SnapshotKey, options: &MergeOptions) -> Read {
    read(store, key, MAX_OBJECT_BYTES, options).await
}

async fn read(store: &Store, key: SnapshotKey, most: u64, options: &MergeOptions) -> Read {
    let got = match store.get(&key.to_string(), most).await {
        Ok(got) => got,
        Err(error) if error.kind() == ErrorKind::TooLarge && most < MAX_OBJECT_BYTES => {
            return Read::Large(key);
        }
        Err(error) => {
            let parked = |reason| Parked::new(&key, reason, error.to_string());
            let parked = match error.kind() {
                ErrorKind::NotFound => parked(ParkReason::Missing),
                ErrorKind::TooLarge => parked(ParkReason::TooLarge),
                _ => return Read::Retry { key, error: error.to_string() },
            };
            return Read::Park { key, parked };
        }
    };
    match open(&key, &got, options) {
        Ok(member) => Read::Member(Box::new(member)),
        Err(parked) => Read::Park { key, parked: parked.sized(got.bytes.len() as u64) },
    }
}

fn open(key: &SnapshotKey, got: &Got, options: &MergeOptions) -> Result<Member, Parked> {
    let age = options.now.0.saturating_sub(got.modified.0);
    if age > MAX_AGE_MILLIS {
        let days = age / 86_400_000;
        let detail = format!("written {days} days ago, more than 21; push it again to merge it");
        return Err(Parked::new(key, ParkReason::TooLate, detail));
    }
    let (parts, bad_entries) = take_apart(key, &got.bytes, &options.limits)?;
    let note = note_of(key, &parts)?;
    let (end, arrivals) = corrected_end(&note, &parts, got.modified);
    Ok(Member {
        arrivals,
        key: key.clone(),
        size: got.bytes.len() as u64,
        window: Window::of(Level::Minute, end),
        end,
        note,
        parts,
        bad_entries,
    })
}

type Apart = (Vec<Part>, Vec<Parked>);

fn take_apart(key: &SnapshotKey, bytes: &Bytes, limits: &Limits) -> Result<Apart, Parked> {
    match &key.shape {
        SnapshotShape::Single(typ) => {
            let part = Part::of(typ.clone(), bytes.clone(), limits);
            Ok((vec![part.map_err(|error| Parked::decode(key, &error))?], Vec::new()))
        }
        SnapshotShape::Zip => unzip(key, bytes, limits),
    }
}

fn unzip(key: &SnapshotKey, bytes: &Bytes, limits: &Limits) -> Result<Apart, Parked> {
    let entries = archive::read(bytes, MAX_TYPES).map_err(|error| {
        let reason = match (&error, bytes.is_empty()) {
            (_, true) => ParkReason::Empty,
            (archive::ArchiveError::TooManyEntries { .. }, _) => ParkReason::TooLarge,
            (archive::ArchiveError::Zip(_), _) => ParkReason::NotPprof,
        };
        Parked::new(key, reason, error.to_string())
    })?;
    let (mut parts, mut bad): Apart = (Vec::new(), Vec::new());
    for (name, content) in entries {
        match entry_part(key, &name, content, limits) {
            Ok(part) if parts.iter().any(|other| other.typ == part.typ) => {
                let detail = format!("a second entry of type `{}`", part.typ);
                bad.push(Parked::new(key, ParkReason::Invalid, detail).entry(&name));
            }
            Ok(part) => parts.push(part),
            Err(parked) => bad.push(parked.entry(&name)),
        }
    }
    match (parts.is_empty(), bad.first()) {
        (false, _) => Ok((parts, bad)),
        (true, Some(first)) => Err(first.clone()),
        (true, None) => Err(Parked::new(key, ParkReason::Empty, "the zip has no entries")),
    }
}

fn entry_part(
    key: &SnapshotKey,
    name: &str,
    content: Result<Vec<u8>, impl std::fmt::Display>,
    limits: &Limits,
) -> Result<Part, Parked> {
    let typ = name.strip_suffix(".pb.gz").and_then(|typ| ProfileType::from_encoded(typ).ok());
    let typ = typ.ok_or_else(|| {
        let detail = format!("entry `{name}` is not named `{{type}}.pb.gz`");
        Parked::new(key, ParkReason::OutsideLayout, detail)
    })?;
    let content = content
        .map_err(|error| Parked::new(key, ParkReason::Truncated, format!("zip entry: {error}")))?;
    Part::of(typ, content.into(), limits).map_err(|error| Parked::decode(key, &error))
}

/// The note of a snapshot stands in each of its profiles; the first speaks.
fn note_of(key: &SnapshotKey, parts: &[Part]) -> Result<SnapshotNote, Parked> {
    let comments = parts.iter().flat_map(|part| &part.header.comments);
    match Note::find(comments.map(String::as_str)) {
        Ok(Some(Note::Snapshot(note))) => Ok(note),
        // A block that someone pushes is a foreign profile as any other.
        Ok(Some(Note::Block(_)) | None) => Ok(SnapshotNote::default()),
        Err(error) => {
            let reason = match error {
                NoteError::UnknownVersion { .. } => ParkReason::UnknownVersion,
                NoteError::Malformed(_) => ParkReason::Invalid,
                NoteError::TooLarge { .. } => ParkReason::TooLarge,
            };
            Err(Parked::new(key, reason, error.to_string()))
        }
    }
}

/// When the snapshot ended: by its own clock, corrected by the offset that its
/// writer saw; never after the server took it. Without a time of its own it
/// ended when the server took it. Beside it, whether it came late or claims to
/// come from the future.
fn corrected_end(
    note: &SnapshotNote,
    parts: &[Part],
    modified: UnixMillis,
) -> (UnixMillis, Arrivals) {
    let own = note.end.or_else(|| parts.iter().find_map(|part| end_of(&part.header)));
    let Some(own) = own else { return (modified, Arrivals::default()) };
    let end = own.plus_millis(note.offset_millis.unwrap_or(0));
    let ahead = end.0.saturating_sub(modified.0);
    let arrivals = Arrivals {
        late: u64::from(ahead < -LATE_MILLIS),
        future: u64::from(ahead > FUTURE_MILLIS),
    };
    (end.min(modified), arrivals)
}

fn end_of(header: &Header) -> Option<UnixMillis> {
    let nanos = header.time_nanos.saturating_add(header.duration_nanos.max(0));
    (header.time_nanos > 0).then(|| UnixMillis::from_nanos(nanos))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const TAKEN: UnixMillis = UnixMillis(1_795_000_000_000);

    fn noted(end: i64, offset: i64) -> SnapshotNote {
        let (end, offset_millis) = (Some(UnixMillis(end)), Some(offset));
        SnapshotNote { end, offset_millis, ..Default::default() }
    }

    #[test]
    fn only_the_future_is_clamped() {
        let end = |note: &SnapshotNote| corrected_end(note, &[], TAKEN).0;
        assert_eq!(end(&SnapshotNote::default()), TAKEN);
        assert_eq!(end(&noted(TAKEN.0 + 7_200_000, 0)), TAKEN);
        assert_eq!(end(&noted(TAKEN.0 - 7_200_000, 0)), UnixMillis(TAKEN.0 - 7_200_000));
        assert_eq!(end(&noted(TAKEN.0 + 7_200_000, -7_200_500)), UnixMillis(TAKEN.0 - 500));
    }
    #[test]
    fn late_and_future_are_counted_from_their_limits_on() {
        let arrivals = |end: i64| corrected_end(&noted(TAKEN.0 + end, 0), &[], TAKEN).1;
        assert_eq!(arrivals(-LATE_MILLIS), Arrivals::default());
        assert_eq!(arrivals(-LATE_MILLIS - 1), Arrivals { late: 1, future: 0 });
        assert_eq!(arrivals(FUTURE_MILLIS), Arrivals::default());
        assert_eq!(arrivals(FUTURE_MILLIS + 1), Arrivals { late: 0, future: 1 });
    }
}
