//! Folded stacks: one line per stack, root first, `a;b;c value`.

use std::collections::BTreeMap;

use flambeau_profile::Merged;

use crate::name::frame_name;

/// The stacks of one sample type, in order, values of equal stacks added up.
/// Stacks whose sum is not positive are left out: a flame graph cannot show
/// them. A sample without frames stands as `(no stack)`.
#[must_use]
pub fn folded(profile: &Merged, column: usize) -> BTreeMap<String, i64> {
    let mut stacks: BTreeMap<String, i64> = BTreeMap::new();
    for sample in profile.samples() {
        let mut names: Vec<String> =
            sample.frames().map(|frame| frame_name(profile, &frame)).collect();
        names.reverse();
        if names.is_empty() {
            names.push("(no stack)".to_owned());
        }
        let value = sample.values().get(column).copied().unwrap_or(0);
        let sum = stacks.entry(names.join(";")).or_default();
        *sum = sum.saturating_add(value);
    }
    stacks.retain(|_, value| *value > 0);
    stacks
}
