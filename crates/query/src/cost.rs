//! Time as dollars: value × memory × price of a GB-second.

use flambeau_profile::{LabelSetId, Merged, ValueType, nanos_in};

use crate::prices::{GB_SECOND_EVERYWHERE, REGIONS};

/// What a priced profile counts: 10⁻¹² dollars, so that a nanosecond on a small
/// function still is some hundredths of one, and nine million dollars fit.
pub const COST: (&str, &str) = ("cost", "picodollars");

/// Picodollars in a dollar.
pub const PER_DOLLAR: f64 = 1e12;

/// What to price with, where samples or tables do not say or somebody knows
/// better.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Pricing {
    /// Dollars per GB-second, instead of the table's: a savings plan, a higher
    /// tier, a region the table does not have.
    pub gb_second: Option<f64>,
    /// MB of memory of samples without a label `memory`.
    pub memory_mb: Option<f64>,
}

/// A profile in dollars, and what could not be told.
pub struct Priced {
    /// One sample type, [`COST`].
    pub profile: Merged,
    /// The value of samples that have no price, because nothing says how much
    /// memory their function had; in the unit of what was priced.
    pub unpriced: i128,
}

/// Why there are no dollars.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} is no time: only what counts time can be shown in dollars")]
pub struct NotTime(pub String);

impl Pricing {
    /// Dollars per GB-second in a region on an architecture (`arm64`, else
    /// x86_64); where nobody tells, us-east-1's.
    #[must_use]
    pub fn of(&self, region: &str, arch: &str) -> f64 {
        let known = REGIONS.iter().find(|(name, _)| *name == region);
        let prices = known.map_or(GB_SECOND_EVERYWHERE, |(_, prices)| *prices);
        self.gb_second.unwrap_or(prices[usize::from(arch == "arm64")])
    }

    /// Picodollars of a nanosecond under these labels.
    fn of_nanosecond(&self, profile: &Merged, labels: LabelSetId) -> Option<f64> {
        let label = |key| profile.label_text(labels, key);
        let told = label("memory").and_then(|text| text.parse::<f64>().ok());
        let memory = told.filter(|mb| mb.is_finite() && *mb > 0.0).or(self.memory_mb)?;
        let price = self.of(label("region").unwrap_or_default(), label("arch").unwrap_or_default());
        Some(memory / 1024.0 * price * (PER_DOLLAR / 1e9))
    }

    /// One sample type of a profile in dollars: each sample's time, on the memory
    /// and at the price that its labels `memory`, `region` and `arch` tell, rounded
    /// to the picodollar.
    ///
    /// # Errors
    /// When the sample type is no time.
    pub fn price(&self, profile: &Merged, column: usize) -> Result<Priced, NotTime> {
        let measure = profile.sample_types().get(column).cloned().unwrap_or_default();
        let nanos = nanos_in(&measure.unit).ok_or_else(|| NotTime(measure.to_string()))? as f64;
        let ids = profile.samples().map(|sample| sample.label_set());
        let mut ratios = vec![None; profile.label_set_count()];
        for id in ids {
            ratios[id.index()] = self.of_nanosecond(profile, id).map(|ratio| ratio * nanos);
        }
        let value = |values: &[i64]| values.get(column).copied().unwrap_or(0);
        let unpriced = profile.samples().filter(|s| ratios[s.label_set().index()].is_none());
        let unpriced = unpriced.map(|sample| i128::from(value(sample.values()))).sum();
        let (typ, unit) = COST;
        let priced = profile.revalued(ValueType::new(typ, unit), |sample| {
            let ratio = ratios[sample.label_set().index()].unwrap_or(0.0);
            (value(sample.values()) as f64 * ratio).round() as i128
        });
        Ok(Priced { profile: priced, unpriced })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use flambeau_profile::{AddOptions, Limits, Merger, encode, proto};

    use super::*;

    /// One stack that took so many milliseconds, under these labels.
    fn profile(millis: i64, labels: &[(&str, &str)]) -> Merged {
        let strings = ["", "cpu", "milliseconds"].map(str::to_owned).to_vec();
        let raw = proto::Profile {
            string_table: strings,
            sample_type: vec![proto::ValueType { r#type: 1, unit: 2 }],
            sample: vec![proto::Sample { value: vec![millis], ..Default::default() }],
            ..Default::default()
        };
        let mut merger = Merger::new(Limits::default());
        merger.add(&encode(&raw), &AddOptions { labels, ..Default::default() }).unwrap();
        merger.finish().unwrap()
    }

    fn dollars(labels: &[(&str, &str)], pricing: Pricing) -> f64 {
        let priced = pricing.price(&profile(1_000, labels), 0).unwrap();
        priced.profile.totals()[0] as f64 / PER_DOLLAR
    }

    #[test]
    fn a_second_costs_memory_times_price() {
        let near = |found: f64, expected: f64| assert!((found / expected - 1.0).abs() < 1e-6);
        let none = Pricing::default();
        near(dollars(&[("memory", "1024")], none), 1.666_67e-5);
        near(dollars(&[("memory", "512"), ("arch", "arm64")], none), 1.333_34e-5 / 2.0);
        let milan = [("memory", "1024"), ("region", "eu-south-1"), ("arch", "x86_64")];
        near(dollars(&milan, none), 1.951_72e-5);
        near(dollars(&milan, Pricing { gb_second: Some(1e-5), memory_mb: Some(1.0) }), 1e-5);
        near(dollars(&[], Pricing { memory_mb: Some(2048.0), gb_second: None }), 2.0 * 1.666_67e-5);
    }

    #[test]
    fn what_has_no_memory_has_no_price_and_is_said() {
        for labels in [&[][..], &[("memory", "much")], &[("memory", "-1")]] {
            let priced = Pricing::default().price(&profile(7, labels), 0).unwrap();
            assert_eq!((priced.profile.totals(), priced.unpriced), (&[0][..], 7), "{labels:?}");
        }
    }

    #[test]
    fn only_time_has_a_price() {
        let bytes = profile(1, &[]).revalued(ValueType::new("space", "bytes"), |_| 1);
        let refused = Pricing::default().price(&bytes, 0).err().unwrap();
        assert!(refused.to_string().starts_with("space/bytes is no time"));
    }
}
