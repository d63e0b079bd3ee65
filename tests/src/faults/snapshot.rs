//! Snapshots of which it is known beforehand what must become of them.

use std::collections::BTreeMap;

use bytes::Bytes;
use flambeau_layout::{
    Identity, KeyDate, LayoutError, Note, ParkReason, ProfileType, SnapshotKey, SnapshotNote,
    SnapshotShape, UnixMillis, archive,
};
use flambeau_profile::encode_gzip;

use super::model::{Expected, Part};
use crate::{profiles, stack::now};

/// A snapshot object about to be put.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Its key.
    pub key: String,
    /// Its bytes.
    pub bytes: Bytes,
    /// What must become of it.
    pub expected: Expected,
}

/// When a snapshot says it ended.
#[derive(Debug, Clone, Copy)]
struct Times {
    /// The true end.
    end: UnixMillis,
    /// Server time minus the writer's clock.
    offset: i64,
}

impl Snapshot {
    /// A whole snapshot of `types`, one profile each (as a zip when there are
    /// several), whose leaves tell it from all others and whose values follow
    /// from `seq`.
    ///
    /// The writer's clock is `offset` milliseconds behind the server's, and its
    /// note says so; the window is that of `end`.
    ///
    /// # Errors
    /// When the service or a type is no name.
    pub fn good(
        service: &str,
        seq: u64,
        types: &[&str],
        (end, offset): (UnixMillis, i64),
    ) -> anyhow::Result<Self> {
        let times = Times { end, offset };
        let mut entries = BTreeMap::new();
        for (place, typ) in (1_i64..).zip(types) {
            entries.insert(typ.parse::<ProfileType>()?, part(service, seq, place, times)?);
        }
        let single = match types {
            [typ] => Some(typ.parse()?),
            _ => None,
        };
        Self::assemble(service, seq, single, entries, times, &[])
    }

    /// A zip of one good profile of type `cpu` and a broken entry `heap`.
    ///
    /// # Errors
    /// When the service is no name.
    pub fn half_good(service: &str, seq: u64, end: UnixMillis) -> anyhow::Result<Self> {
        let times = Times { end, offset: 0 };
        let entries = BTreeMap::from([("cpu".parse()?, part(service, seq, 1, times)?)]);
        Self::assemble(service, seq, None, entries, times, &[("heap.pb.gz", b"rubbish")])
    }

    /// One that is no profile at all.
    ///
    /// # Errors
    /// When the service is no name.
    pub fn rubbish(service: &str, seq: u64) -> anyhow::Result<Self> {
        let key = key(service, seq, SnapshotShape::Single("cpu".parse()?))?;
        let expected = Expected::parked(ParkReason::NotPprof);
        Ok(Self { key: key.to_string(), bytes: Bytes::from_static(b"hello, world"), expected })
    }

    /// A good profile under a key that says nothing.
    #[must_use]
    pub fn stray(service: &str, seq: u64) -> Self {
        let bytes = profiles::cpu_gzip(&[1], 0).into();
        let key = format!("snapshots/default/stray {service} {seq} λ+%.gz");
        Self { key, bytes, expected: Expected::parked(ParkReason::OutsideLayout) }
    }

    /// The same snapshot under another date.
    ///
    /// # Errors
    /// When this one's key is outside the layout.
    pub fn redated(&self, date: &str) -> anyhow::Result<Self> {
        let key = SnapshotKey { date: date.parse()?, ..self.key.parse()? };
        Ok(Self { key: key.to_string(), ..self.clone() })
    }

    /// The same snapshot as a zip instead of a single profile.
    ///
    /// # Errors
    /// When this one is no single profile inside the layout.
    pub fn zipped(&self) -> anyhow::Result<Self> {
        let parsed: SnapshotKey = self.key.parse()?;
        let SnapshotShape::Single(typ) = &parsed.shape else {
            anyhow::bail!("`{}` is a zip already", self.key)
        };
        let entry = format!("{}.pb.gz", typ.encoded());
        let (bytes, _) = archive::write([(entry.as_str(), &self.bytes[..])])?;
        let key = SnapshotKey { shape: SnapshotShape::Zip, ..parsed };
        Ok(Self { key: key.to_string(), bytes: bytes.into(), expected: self.expected.clone() })
    }

    /// When it ended, if it is to be merged.
    pub(super) fn end(&self) -> Option<UnixMillis> {
        match &self.expected {
            Expected::Merged { end, .. } => Some(*end),
            Expected::Parked { .. } => None,
        }
    }

    fn assemble(
        service: &str,
        seq: u64,
        single: Option<ProfileType>,
        entries: BTreeMap<ProfileType, (Part, Vec<u8>)>,
        times: Times,
        bad: &[(&str, &[u8])],
    ) -> anyhow::Result<Self> {
        let shape = single.map_or(SnapshotShape::Zip, SnapshotShape::Single);
        let bytes = match &shape {
            SnapshotShape::Single(typ) => entries[typ].1.clone(),
            SnapshotShape::Zip => {
                let named: Vec<(String, &[u8])> = entries
                    .iter()
                    .map(|(typ, (_, bytes))| (format!("{}.pb.gz", typ.encoded()), &bytes[..]))
                    .chain(bad.iter().map(|(name, bytes)| ((*name).to_owned(), *bytes)))
                    .collect();
                let named = named.iter().map(|(name, bytes)| (name.as_str(), *bytes));
                archive::write(named)?.0
            }
        };
        let expected = Expected::Merged {
            end: times.end,
            parts: entries.into_iter().map(|(typ, (part, _))| (typ, part)).collect(),
            bad_entries: bad.iter().map(|(name, _)| (*name).to_owned()).collect(),
        };
        let key = key(service, seq, shape)?.to_string();
        Ok(Self { key, bytes: bytes.into(), expected })
    }
}

fn key(service: &str, seq: u64, shape: SnapshotShape) -> Result<SnapshotKey, LayoutError> {
    let identity = Identity {
        tenant: "default".parse()?,
        service: service.parse()?,
        env: format!("e{}", seq % 3).parse()?,
        boot: "b1".parse()?,
        seq,
    };
    Ok(SnapshotKey::new(identity, KeyDate::of(now()), shape))
}

/// A profile whose leaf is this snapshot's own, with its note.
fn part(service: &str, seq: u64, place: i64, times: Times) -> anyhow::Result<(Part, Vec<u8>)> {
    let nanos = i64::try_from(seq)?.wrapping_mul(1_000_003).rem_euclid(1 << 40) + place;
    let leaf = format!("{service}#{seq}");
    let mut profile = profiles::cpu(&[nanos], 0);
    for name in profile.string_table.iter_mut().filter(|name| *name == "worker_0") {
        leaf.clone_into(name);
    }
    let own_end = times.end.plus_millis(-times.offset);
    let note = SnapshotNote {
        labels: BTreeMap::from([("version".to_owned(), (seq % 2).to_string())]),
        end: Some(own_end),
        offset_millis: Some(times.offset),
        ..Default::default()
    };
    profile.comment.push(i64::try_from(profile.string_table.len())?);
    profile.string_table.push(Note::Snapshot(note).to_comment()?);
    Ok((Part { leaf, nanos }, encode_gzip(&profile)))
}
