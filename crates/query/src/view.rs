//! Views divide last: what adds up stays a sum until it is shown.

use std::str::FromStr;

use flambeau_layout::{Total, TypePart};
use flambeau_profile::{MergeError, Merged};

use crate::plan::Plan;

/// How the snapshots of a gauge become one value. Deltas always add up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Aggregate {
    /// The mean per snapshot: ten environments with 50 MB in use read 50 MB.
    #[default]
    Mean,
    /// The sum over snapshots, which is exact.
    Sum,
}

impl FromStr for Aggregate {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "mean" => Ok(Self::Mean),
            "sum" => Ok(Self::Sum),
            other => Err(format!("aggregate `{other}` is not known; write mean or sum")),
        }
    }
}

impl Plan {
    /// Sample types of its profiles and their units, in order.
    #[must_use]
    pub fn sample_types(&self) -> Vec<(String, String)> {
        let part = self.parts().next().map(|(_, part)| part);
        let names = part.map_or(&[][..], |part| &part.sample_types);
        let split = |name: &String| {
            let (typ, unit) = name.rsplit_once('/').unwrap_or((name, ""));
            (typ.to_owned(), unit.to_owned())
        };
        names.iter().map(split).collect()
    }

    /// Positions of the sample types that are gauges.
    #[must_use]
    pub fn gauges(&self) -> &[usize] {
        self.parts().next().map_or(&[], |(_, part): (_, &TypePart)| &part.gauges)
    }

    /// Whether showing divides anything.
    #[must_use]
    pub fn divides(&self, aggregate: Aggregate) -> bool {
        aggregate == Aggregate::Mean && !self.gauges().is_empty() && self.snapshots() > 1
    }

    /// [`Plan::totals`] as they are shown.
    #[must_use]
    pub fn shown_totals(&self, aggregate: Aggregate) -> Vec<(String, Total)> {
        let mut totals = self.totals();
        if self.divides(aggregate) {
            let snapshots = i128::from(self.snapshots());
            for gauge in self.gauges() {
                if let Some((_, total)) = totals.get_mut(*gauge) {
                    total.0 = (total.0 + snapshots / 2) / snapshots;
                }
            }
        }
        totals
    }

    /// The merged profile as it is shown. Each sample of a gauge is rounded by
    /// itself, so the shown total may differ from [`Plan::shown_totals`] by half
    /// a unit per sample.
    ///
    /// # Errors
    /// When the profile is not of this plan.
    pub fn show(&self, merged: Merged, aggregate: Aggregate) -> Result<Merged, MergeError> {
        if !self.divides(aggregate) {
            return Ok(merged);
        }
        let mut ratios = vec![1.0; merged.sample_types().len()];
        let share = 1.0 / self.snapshots() as f64;
        for gauge in self.gauges() {
            if let Some(ratio) = ratios.get_mut(*gauge) {
                *ratio = share;
            }
        }
        merged.scaled(&ratios)
    }
}
