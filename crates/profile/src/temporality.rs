//! Whether values add up over time, and how to make them.

use crate::error::MergeError;
use crate::header::{Header, Headers, ValueType};
use crate::merged::{Merged, Sample};
use crate::rebuild::{Rebuild, Source};

/// How values of one sample type relate to time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Temporality {
    /// Happened during the profile: adds up. CPU time.
    Delta,
    /// Happened since the process started: differences add up. Go's `alloc_space`.
    Cumulative,
    /// True at one moment: adds up over processes, is averaged over time.
    /// Go's `inuse_space`.
    Gauge,
}

/// What well-known profilers mean by a sample type, by its name.
///
/// Go: `runtime/pprof`. Java: async-profiler's JFR converter and Pyroscope's
/// names. jemalloc: the `jemalloc_pprof` crate. gperftools: heap profiles as
/// `go tool pprof` converts them (`objects`, `space`). Node: `pprof-nodejs`.
const KNOWN: [(&str, Temporality); 30] = {
    use Temporality::{Cumulative, Delta, Gauge};
    [
        // Go heap and allocs, jemalloc, gperftools
        ("alloc_objects", Cumulative),
        ("alloc_space", Cumulative),
        ("inuse_objects", Gauge),
        ("inuse_space", Gauge),
        ("objects", Gauge),
        ("space", Gauge),
        // Go goroutine, threadcreate, mutex, block
        ("goroutine", Gauge),
        ("goroutines", Gauge),
        ("threadcreate", Cumulative),
        ("contentions", Cumulative),
        ("delay", Cumulative),
        // CPU and wall clock, everywhere
        ("cpu", Delta),
        ("samples", Delta),
        ("sample", Delta),
        ("wall", Delta),
        ("itimer", Delta),
        ("off_cpu", Delta),
        ("events", Delta),
        // Java
        ("alloc_in_new_tlab_objects", Delta),
        ("alloc_in_new_tlab_bytes", Delta),
        ("alloc_outside_tlab_objects", Delta),
        ("alloc_outside_tlab_bytes", Delta),
        ("alloc_sample_objects", Delta),
        ("alloc_sample_bytes", Delta),
        ("lock_count", Delta),
        ("lock_duration", Delta),
        ("live", Gauge),
        ("exceptions", Delta),
        ("exception", Delta),
        ("allocations", Delta),
    ]
};

impl Temporality {
    /// What a sample type means when nobody says so; unknown ones are deltas,
    /// which is what a profile of a stretch of time holds by default.
    #[must_use]
    pub fn infer(sample_type: &ValueType) -> Temporality {
        let known = KNOWN.iter().find(|(typ, _)| *typ == sample_type.typ);
        known.map_or(Temporality::Delta, |&(_, temporality)| temporality)
    }

    /// [`Temporality::infer`] for each sample type of a header. Locks recorded
    /// by Java go by Go's names but are deltas; their period type tells.
    #[must_use]
    pub fn of_columns(header: &Header) -> Vec<Temporality> {
        let period = header.period_type.as_ref().map(|p| p.typ.as_str());
        let foreign_lock = matches!(period, Some("mutex" | "lock" | "block"));
        let columns = header.sample_types.iter().map(|t| match t.typ.as_str() {
            "contentions" | "delay" if foreign_lock => Temporality::Delta,
            _ => Temporality::infer(t),
        });
        columns.collect()
    }
}

impl std::fmt::Display for Temporality {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Temporality::Delta => "delta",
            Temporality::Cumulative => "cumulative",
            Temporality::Gauge => "gauge",
        })
    }
}

/// A temporality nobody knows.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("unknown temporality `{0}`: delta, cumulative or gauge")]
pub struct UnknownTemporality(pub String);

impl std::str::FromStr for Temporality {
    type Err = UnknownTemporality;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        match word {
            "delta" => Ok(Temporality::Delta),
            "cumulative" => Ok(Temporality::Cumulative),
            "gauge" => Ok(Temporality::Gauge),
            other => Err(UnknownTemporality(other.to_owned())),
        }
    }
}

/// What happened between two snapshots of one process.
pub struct Delta {
    /// Cumulative columns hold the difference, the others are the next's.
    pub profile: Merged,
    /// The counters went back, so the process was started anew: everything in
    /// the next snapshot happened since.
    pub reset: bool,
}

impl Merged {
    /// What happened between `previous` and this, the next snapshot of the same
    /// process: for cumulative columns, the difference. `temporalities` as
    /// [`Temporality::of_columns`] has them, or as they are known better.
    ///
    /// Counters only grow. If any sample's went back, or it vanished, the
    /// process was started anew in between, and the next counts whole.
    ///
    /// # Errors
    /// [`MergeError::Incompatible`] if the two measure different things,
    /// [`MergeError::NoColumn`] if a column has no temporality.
    pub fn delta_since(
        &self,
        previous: &Merged,
        temporalities: &[Temporality],
    ) -> Result<Delta, MergeError> {
        let types = self.tables.types;
        Headers::new(&previous.header).check(&self.header)?;
        if temporalities.len() != types {
            return Err(MergeError::NoColumn { column: temporalities.len(), types });
        }
        let difference = self.minus_cumulative(previous, temporalities);
        let went_back = |sample: Sample<'_>| {
            let mut columns = sample.values().iter().zip(temporalities);
            columns.any(|(&v, &t)| t == Temporality::Cumulative && v < 0)
        };
        let reset = difference.samples().any(went_back);
        let profile = if reset { self.keeping(|_| true) } else { difference };
        Ok(Delta { profile, reset })
    }

    fn minus_cumulative(&self, previous: &Merged, temporalities: &[Temporality]) -> Merged {
        let mut to = Rebuild::new(self.tables.types);
        for (profile, is_previous) in [(self, false), (previous, true)] {
            let mut source = Source::new(profile, &mut to);
            let mut stack = Vec::new();
            for sample in profile.samples() {
                stack.clear();
                source.stack(&mut to, sample.stack(), &mut stack);
                let labels = source.label_set(&mut to, sample.label_set());
                let values = sample.values().iter().zip(temporalities);
                let values = values.map(|(&v, &t)| match t {
                    Temporality::Cumulative if is_previous => -i128::from(v),
                    _ if is_previous => 0,
                    _ => i128::from(v),
                });
                to.add(&stack, labels, values);
            }
        }
        to.finish(self.header.clone(), self.truncations)
    }
}
