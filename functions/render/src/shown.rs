//! A profile as it is looked at: what was asked for of it, by functions, and what
//! could not be told. Kept in memory for a while, since a page asks for the same
//! one in several ways.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use flambeau_flame::{Stacks, frame_name};
use flambeau_profile::{Merged, ValueType};
use flambeau_query::{Narrowing, cost::Pricing};

use crate::{
    error::RenderError,
    request::{ProfileQuery, Way},
};

/// A profile as it is looked at.
pub(crate) struct Shown {
    pub(crate) profile: Merged,
    pub(crate) stacks: Stacks,
    /// Options that matched nothing.
    pub(crate) unmatched: Vec<&'static str>,
    /// Value that has no price, where dollars were asked for.
    pub(crate) unpriced: i128,
}

/// What of a profile is asked for.
#[derive(Default)]
pub(crate) struct Wish {
    pub(crate) narrowing: Narrowing,
    pub(crate) moments: Option<(i64, i64)>,
    pub(crate) pricing: Option<Pricing>,
    pub(crate) sample_type: Option<String>,
    pub(crate) middle: Option<(String, Way)>,
}

impl Wish {
    pub(crate) fn of(query: &ProfileQuery, told: Pricing) -> Result<Self, RenderError> {
        let middle = query.middle()?.map(|(function, way)| (function.to_owned(), way));
        Ok(Self {
            narrowing: query.narrowing()?,
            moments: query.moments()?,
            pricing: query.pricing(told)?,
            sample_type: query.sample_type().map(str::to_owned),
            middle,
        })
    }

    /// Whether the whole is asked for, as it is.
    pub(crate) fn is_none(&self) -> bool {
        let Self { narrowing, moments, pricing, middle, sample_type: _ } = self;
        narrowing.is_none() && moments.is_none() && pricing.is_none() && middle.is_none()
    }

    /// The part of a profile that is asked for.
    pub(crate) fn apply(&self, profile: Merged) -> Result<Shown, RenderError> {
        let (mut profile, mut unmatched) = self.narrowing.apply(profile);
        if let Some((from, until)) = self.moments {
            profile = profile.between(from, until);
        }
        if let Some((function, way)) = &self.middle {
            profile = turned(&profile, function, *way);
            if profile.samples().len() == 0 {
                unmatched.push("around");
            }
        }
        let mut unpriced = 0;
        if let Some(pricing) = self.pricing {
            let column = self.column(profile.sample_types(), profile.header())?;
            let priced = pricing.price(&profile, column)?;
            (profile, unpriced) = (priced.profile, priced.unpriced);
        }
        let stacks = Stacks::of(&profile);
        Ok(Shown { profile, stacks, unmatched, unpriced })
    }

    fn column(
        &self,
        types: &[ValueType],
        header: &flambeau_profile::Header,
    ) -> Result<usize, RenderError> {
        let names = types.iter().map(|measure| measure.typ.as_str()).collect::<Vec<_>>();
        column(&names, &header.default_sample_type, self.sample_type.as_deref())
    }

    /// The sample type that is shown, by position.
    pub(crate) fn shown_column(&self, shown: &Shown) -> Result<usize, RenderError> {
        match self.pricing {
            Some(_) => Ok(0),
            None => self.column(shown.profile.sample_types(), shown.profile.header()),
        }
    }
}

fn turned(profile: &Merged, function: &str, way: Way) -> Merged {
    let is = |frame: &flambeau_profile::Frame<'_>| frame_name(profile, frame) == function;
    match way {
        Way::Callers => profile.callers(is),
        Way::Callees => profile.callees(is),
    }
}

/// The sample type asked for, as pprof finds it: by position, by name (also
/// without `inuse_`); else the profile's default, else the last.
pub(crate) fn column(
    names: &[&str],
    default: &str,
    asked: Option<&str>,
) -> Result<usize, RenderError> {
    let named = |name: &str| names.iter().position(|own| *own == name);
    let Some(asked) = asked else {
        return Ok(named(default).unwrap_or(names.len().saturating_sub(1)));
    };
    let position = asked.parse().ok().filter(|column| *column < names.len());
    let legacy = || named(asked.strip_prefix("inuse_")?);
    position.or_else(|| named(asked)).or_else(legacy).ok_or_else(|| {
        let known = names.join(", ");
        RenderError::Parameter(format!("sample type `{asked}` is not here; there are {known}"))
    })
}

/// What takes memory by its stacks.
pub(crate) trait Weighs {
    /// Frames in its stacks.
    fn frames(&self) -> usize;
}

impl Weighs for Shown {
    fn frames(&self) -> usize {
        self.stacks.frames()
    }
}

/// What is kept in memory, the latest used last.
pub(crate) struct Kept<V>(Mutex<VecDeque<(String, Arc<V>)>>);

/// Most things kept of a kind.
const MAX_KEPT: usize = 8;
/// Most frames in the stacks of all of them: some 200 MB with all that belongs to
/// them. One of more is not kept.
const MAX_KEPT_FRAMES: usize = 8 << 20;

impl<V> Default for Kept<V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<V> std::fmt::Debug for Kept<V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Kept")
    }
}

impl<V: Weighs> Kept<V> {
    pub(crate) fn get(&self, key: &str) -> Option<Arc<V>> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = kept.iter().position(|(own, _)| own == key)?;
        let found = kept.remove(at)?;
        let shown = Arc::clone(&found.1);
        kept.push_back(found);
        Some(shown)
    }

    pub(crate) fn put(&self, key: String, shown: Arc<V>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|(own, _)| *own != key);
        kept.push_back((key, shown));
        let mut sum: usize = kept.iter().map(|(_, shown)| shown.frames()).sum();
        while kept.len() > MAX_KEPT || sum > MAX_KEPT_FRAMES {
            let Some((_, oldest)) = kept.pop_front() else { return };
            sum -= oldest.frames();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use flambeau_profile::{Limits, encode, proto};

    use super::*;

    #[test]
    fn sample_types_are_found_as_pprof_finds_them() {
        let heap = ["alloc_space", "inuse_space", "space"];
        let of = |asked| column(&heap, "inuse_space", asked).ok();
        assert_eq!(of(None), Some(1));
        assert_eq!(column(&heap, "", None).unwrap(), 2);
        assert_eq!((of(Some("0")), of(Some("alloc_space"))), (Some(0), Some(0)));
        assert_eq!(column(&["space"], "", Some("inuse_space")).unwrap(), 0);
        assert_eq!((of(Some("3")), of(Some("wall"))), (None, None));
    }

    /// One stack of so many frames.
    fn shown(frames: usize) -> Arc<Shown> {
        let profile = proto::Profile {
            string_table: ["", "cpu", "ns"].map(str::to_owned).to_vec(),
            sample_type: vec![proto::ValueType { r#type: 1, unit: 2 }],
            location: (1..=frames as u64)
                .map(|id| proto::Location { id, address: id, ..Default::default() })
                .collect(),
            sample: vec![proto::Sample {
                location_id: (1..=frames as u64).collect(),
                value: vec![1],
                label: vec![],
            }],
            ..Default::default()
        };
        let profile = Merged::from_bytes(&encode(&profile), &Limits::default()).unwrap();
        let stacks = Stacks::of(&profile);
        Arc::new(Shown { profile, stacks, unmatched: vec![], unpriced: 0 })
    }

    #[test]
    fn the_one_used_longest_ago_makes_way() {
        let kept = Kept::default();
        for n in 0..MAX_KEPT {
            kept.put(n.to_string(), shown(1));
        }
        assert!(kept.get("0").is_some());
        kept.put("more".into(), shown(1));
        assert!(kept.get("0").is_some() && kept.get("1").is_none() && kept.get("more").is_some());
    }
}
