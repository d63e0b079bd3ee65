//! Whole nanoseconds, shared without losing one.

/// Shares an amount in proportion to weights that come one by one.
///
/// Each share is what the running total rounds down to, less what was given before: so shares
/// are within one of the exact value and sum to the amount, and where the amount is at most the
/// weights' sum no share exceeds its weight. With no weight at all nothing is given.
pub(super) struct Split {
    amount: u64,
    total: u64,
    seen: u64,
    given: u64,
}

impl Split {
    /// `total` is the sum of the weights that will come.
    pub(super) fn new(amount: u64, total: u64) -> Self {
        Self { amount, total, seen: 0, given: 0 }
    }

    pub(super) fn next(&mut self, weight: u64) -> u64 {
        self.seen = self.seen.saturating_add(weight);
        let exact = u128::from(self.amount) * u128::from(self.seen);
        // At most `amount`, since no more than `total` is seen.
        let due = exact.checked_div(u128::from(self.total)).unwrap_or(0).min(self.amount.into());
        let share = due as u64 - self.given;
        self.given = due as u64;
        share
    }
}

/// `values` scaled so that they sum to `to` exactly, by the method of largest remainders; of
/// equal remainders the earlier gets the unit. All zero if `values` are. O(n log n).
pub(super) fn scale(values: &[u64], to: u64) -> Vec<u64> {
    let total: u128 = values.iter().map(|value| u128::from(*value)).sum();
    if total == 0 {
        return vec![0; values.len()];
    }
    let exact = |value: &u64| u128::from(*value) * u128::from(to);
    let mut scaled: Vec<u64> = values.iter().map(|value| (exact(value) / total) as u64).collect();
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by_key(|index| std::cmp::Reverse(exact(&values[*index]) % total));
    // Fewer units are missing than there are values, each having lost less than one.
    let missing = to - scaled.iter().sum::<u64>();
    order.iter().take(missing as usize).for_each(|index| scaled[*index] += 1);
    scaled
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn remainders_go_to_the_largest() {
        assert_eq!(scale(&[1, 1, 1], 100), [34, 33, 33]);
        assert_eq!(scale(&[5, 0, 3], 4), [3, 0, 1]);
        assert_eq!(scale(&[0, 0], 4), [0, 0]);
        assert_eq!(scale(&[u64::MAX, u64::MAX], u64::MAX), [u64::MAX / 2 + 1, u64::MAX / 2]);
    }

    proptest! {
        #[test]
        fn nothing_is_lost(weights in proptest::collection::vec(0..1_000_000_u64, 1..20), amount in any::<u64>()) {
            let total: u64 = weights.iter().sum();
            let split = |amount| {
                let mut split = Split::new(amount, total);
                weights.iter().map(|weight| split.next(*weight)).collect::<Vec<_>>()
            };
            let all: u128 = split(amount).iter().map(|share| u128::from(*share)).sum();
            prop_assert_eq!(all, if total == 0 { 0 } else { amount.into() });
            let small = split(amount % (total + 1));
            prop_assert!(small.iter().zip(&weights).all(|(share, weight)| share <= weight));
            let scaled: u128 = scale(&weights, amount).iter().map(|share| u128::from(*share)).sum();
            prop_assert_eq!(scaled, if total == 0 { 0 } else { amount.into() });
        }
    }
}
