//! How much a value varies by itself, so that a difference within that is
//! called so.
//!
//! A side is several parts (groups of snapshots), and what is compared is a
//! ratio: the value over what the basis divides by. Its variance is estimated
//! from how far each part lies from what the whole would let expect:
//!
//! `var(r) = g / (g − 1) · Σ (vᵢ − r·wᵢ)² / (Σ wᵢ)²`
//!
//! Source: the variance of a ratio estimate, W. G. Cochran, "Sampling
//! Techniques", 3rd edition, section 6.4 (without the correction for finite
//! populations). Where samples are counted, the variance is no less than that of
//! the count (Poisson): `v · period / (Σ wᵢ)²`.

use super::Side;

/// A difference of fewer standard deviations than this is within noise: by
/// chance alone, one in twenty lies beyond.
pub const QUIET_SIGMAS: f64 = 2.0;

/// Fewer parts than this say too little about how they vary.
const LEAST_PARTS: usize = 4;

/// What is needed to tell how much one side's values vary.
#[derive(Debug, Clone)]
pub struct Noise {
    weights: Vec<f64>,
    period: Option<f64>,
}

impl Noise {
    pub(super) fn of(side: &Side<'_>) -> Self {
        let weights = side.parts.iter().map(|part| part.weight).collect();
        Self { weights, period: side.period }
    }

    /// Whether the parts are enough to tell.
    #[must_use]
    pub fn is_spread(&self) -> bool {
        self.weights.iter().filter(|weight| **weight > 0.0).count() >= LEAST_PARTS
    }

    /// The variance of `Σ values / Σ weights`, a value for each part; `None` where
    /// neither the parts nor the period tell.
    pub(super) fn variance(&self, values: &[f64]) -> Option<f64> {
        let weight: f64 = self.weights.iter().sum();
        if weight <= 0.0 {
            return None;
        }
        let sum: f64 = values.iter().sum();
        let counted = self.period.map(|period| sum.abs() * period / (weight * weight));
        let spread = self.is_spread().then(|| {
            let (ratio, count) = (sum / weight, self.weights.len() as f64);
            let off = |(value, weight): (&f64, &f64)| (value - ratio * weight).powi(2);
            let squares: f64 = values.iter().zip(&self.weights).map(off).sum();
            count / (count - 1.0) * squares / (weight * weight)
        });
        match (counted, spread) {
            (Some(counted), Some(spread)) => Some(counted.max(spread)),
            (counted, spread) => counted.or(spread),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(weights: &[f64], period: Option<f64>) -> Noise {
        Noise { weights: weights.to_vec(), period }
    }

    #[test]
    fn what_never_varies_has_no_noise() {
        assert_eq!(noise(&[1.0, 2.0, 3.0, 4.0], None).variance(&[2.0, 4.0, 6.0, 8.0]), Some(0.0));
    }

    #[test]
    fn the_spread_is_that_of_a_mean() {
        // Five equal parts: the variance of a mean is s² / n, with s² over n − 1.
        let values = [9.0, 10.0, 11.0, 12.0, 8.0];
        let found = noise(&[1.0; 5], None).variance(&values).unwrap_or_default();
        assert!((found - 2.5 / 5.0).abs() < 1e-12, "{found}");
    }

    #[test]
    fn counts_vary_by_their_root_at_least() {
        // A hundred samples of ten each, in one part.
        let found = noise(&[1.0], Some(10.0)).variance(&[1_000.0]).unwrap_or_default();
        assert!((found.sqrt() - 100.0).abs() < 1e-9, "{found}");
        assert_eq!(noise(&[1.0; 3], None).variance(&[1.0, 2.0, 3.0]), None);
        assert_eq!(noise(&[0.0; 4], Some(1.0)).variance(&[0.0; 4]), None);
    }
}
