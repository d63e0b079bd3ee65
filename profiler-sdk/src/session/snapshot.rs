//! From profiles to the bytes and the key of one snapshot.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Mutex, OnceLock, PoisonError};

use flambeau_layout::{
    BootId, EnvId, Identity, KeyDate, Note, ProfileType, ProfilerNote, SnapshotKey, SnapshotNote,
    SnapshotShape, archive, snapshot::MAX_TYPES,
};
use flambeau_profile::proto::Profile;
use flambeau_profile::{Temporality, ValueType};

use super::clock::Span;
use super::outbox::Closed;
use super::scratch;
use crate::mappings::{Mapping, mappings};
use crate::profile_builder::add_comment;
use crate::settings::Settings;
use crate::symbolize::Symbolizer;

/// Speed before size: the merge compresses again.
const GZIP_LEVEL: u32 = 1;

/// One profile on its way into a snapshot.
pub(crate) struct Part {
    pub(crate) name: &'static str,
    pub(crate) profile: Profile,
    /// By sample type, where names would suggest another.
    pub(crate) temporality: BTreeMap<String, Temporality>,
}

impl Part {
    /// Those profiles that there are.
    pub(crate) fn named<const N: usize>(found: [(&'static str, Option<Profile>); N]) -> Vec<Self> {
        let part = |(name, profile): (&'static str, Option<Profile>)| {
            Some(Self { name, profile: profile?, temporality: BTreeMap::new() })
        };
        found.into_iter().filter_map(part).collect()
    }
}

/// What a snapshot says beside its profiles.
pub(crate) struct About {
    pub(crate) seq: u64,
    pub(crate) span: Span,
    pub(crate) offset_millis: Option<i64>,
    pub(crate) dropped: u64,
    pub(crate) outcome: Option<String>,
    pub(crate) profiler: ProfilerNote,
}

/// Why a snapshot could not be closed.
pub(crate) type CloseError = Box<dyn std::error::Error + Send + Sync>;

/// Names addresses, and writes snapshots of one boot.
pub(crate) struct Writer {
    ids: OnceLock<(EnvId, BootId)>,
    symbolizer: Mutex<Symbolizer>,
    names: bool,
}

impl Writer {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self { ids: OnceLock::new(), symbolizer: Mutex::default(), names: settings.symbols }
    }

    /// Ids are drawn with the first invocation, not at init: copies restored from one image of
    /// an initialised process must differ.
    pub(crate) fn ids(&self, settings: &Settings) -> Result<&(EnvId, BootId), io::Error> {
        if let Some(ids) = self.ids.get() {
            return Ok(ids);
        }
        let env = scratch::environment(settings).map_err(random)?;
        let drawn = (env, BootId::random().map_err(random)?);
        Ok(self.ids.get_or_init(|| drawn))
    }

    /// The snapshot of `parts`, of which there is at least one.
    pub(crate) fn close(
        &self,
        settings: &Settings,
        parts: Vec<Part>,
        about: &About,
    ) -> Result<Closed, CloseError> {
        let (env, boot) = self.ids(settings)?;
        let identity = Identity {
            tenant: settings.tenant.clone(),
            service: settings.service.clone(),
            env: env.clone(),
            boot: boot.clone(),
            seq: about.seq,
        };
        self.close_as(identity, settings, parts, about, &mappings())
    }

    /// As [`Writer::close`], for a boot whose code was mapped like this.
    pub(crate) fn close_as(
        &self,
        identity: Identity,
        settings: &Settings,
        mut parts: Vec<Part>,
        about: &About,
        mapped: &[Mapping],
    ) -> Result<Closed, CloseError> {
        parts.truncate(MAX_TYPES);
        let mut encoded = Vec::with_capacity(parts.len());
        for part in parts {
            encoded
                .push((ProfileType::new(part.name)?, self.encode(settings, part, about, mapped)?));
        }
        let (shape, bytes) = bundle(encoded)?;
        let key = SnapshotKey::new(identity, KeyDate::of(about.span.end), shape);
        Ok(Closed { key: key.to_string(), bytes: bytes.into(), told_dropped: about.dropped })
    }

    fn encode(
        &self,
        settings: &Settings,
        part: Part,
        about: &About,
        mapped: &[Mapping],
    ) -> Result<Vec<u8>, CloseError> {
        let Part { mut profile, temporality, .. } = part;
        if self.names {
            let mut symbolizer = self.symbolizer.lock().unwrap_or_else(PoisonError::into_inner);
            symbolizer.name_locations(&mut profile, mapped);
        }
        weigh(&mut profile, about.span.weight);
        profile.time_nanos = about.span.start.as_nanos();
        profile.duration_nanos =
            about.span.end.as_nanos().saturating_sub(about.span.start.as_nanos()).max(0);
        let note = about.note(settings.labels.clone(), temporality);
        add_comment(&mut profile, Note::Snapshot(note).to_comment()?);
        Ok(flambeau_profile::gzip(&flambeau_profile::encode(&profile), GZIP_LEVEL))
    }
}

impl About {
    fn note(
        &self,
        mut labels: BTreeMap<String, String>,
        temporality: BTreeMap<String, Temporality>,
    ) -> SnapshotNote {
        labels.insert("init".into(), if self.span.cold { "cold" } else { "warm" }.into());
        if let Some(outcome) = &self.outcome {
            labels.insert("outcome".into(), outcome.clone());
        }
        SnapshotNote {
            labels,
            start: Some(self.span.start),
            end: Some(self.span.end),
            offset_millis: self.offset_millis,
            active_nanos: i64::try_from(self.span.active.as_nanos()).ok(),
            invocations: Some(self.span.invocations),
            temporality,
            dropped: self.dropped,
            weight: if self.span.weight > 1 { self.span.weight.into() } else { 0 },
            outcome: self.outcome.clone(),
            profiler: Some(self.profiler.clone()),
        }
    }
}

/// One profile is its own object; several share a zip, for Lambda bills every request.
fn bundle(
    mut encoded: Vec<(ProfileType, Vec<u8>)>,
) -> Result<(SnapshotShape, Vec<u8>), CloseError> {
    if encoded.len() == 1
        && let Some((typ, bytes)) = encoded.pop()
    {
        return Ok((SnapshotShape::Single(typ), bytes));
    }
    let named: Vec<_> =
        encoded.iter().map(|(typ, bytes)| (format!("{typ}.pb.gz"), bytes.as_slice())).collect();
    let (bytes, _) = archive::write(named.iter().map(|(name, bytes)| (name.as_str(), *bytes)))?;
    Ok((SnapshotShape::Zip, bytes))
}

/// Lets one sampled environment stand for those that are not. A gauge is shown as the mean per
/// snapshot, which needs no weight.
fn weigh(profile: &mut Profile, weight: u32) {
    let text = |id: i64| usize::try_from(id).ok().and_then(|id| profile.string_table.get(id));
    let adds_up: Vec<bool> = profile
        .sample_type
        .iter()
        .map(|typ| {
            let name = text(typ.r#type).map_or("", String::as_str);
            Temporality::infer(&ValueType::new(name, "")) != Temporality::Gauge
        })
        .collect();
    for sample in &mut profile.sample {
        for (value, _) in sample.value.iter_mut().zip(&adds_up).filter(|(_, adds)| **adds) {
            *value = value.saturating_mul(weight.into());
        }
    }
}

fn random(error: impl std::fmt::Display) -> io::Error {
    io::Error::other(error.to_string())
}
