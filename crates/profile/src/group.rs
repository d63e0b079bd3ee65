//! One profile as several, by what a label says.

use std::collections::BTreeMap;

use crate::merged::{LabelSetId, Merged};

impl Merged {
    /// The profile split by the (first) text of a label, in order of texts;
    /// `None` are the samples without it. The parts' totals are the whole's.
    #[must_use]
    pub fn grouped(&self, key: &str) -> Vec<(Option<String>, Merged)> {
        let texts: Vec<Option<&str>> = (0..self.label_set_count())
            .map(|i| self.label_text(LabelSetId(i as u32), key))
            .collect();
        let mut groups: Vec<Option<&str>> = texts.clone();
        groups.sort_unstable();
        groups.dedup();
        let part = |text: Option<&str>| {
            let part = self.keeping(|sample| texts[sample.label_set().index()] == text);
            (text.map(str::to_owned), part)
        };
        groups.into_iter().map(part).collect()
    }

    /// The totals by the (first) text of a label, without splitting anything.
    #[must_use]
    pub fn totals_by(&self, key: &str) -> BTreeMap<Option<&str>, Vec<i128>> {
        let mut totals = BTreeMap::new();
        for sample in self.samples() {
            let text = self.label_text(sample.label_set(), key);
            let sums = totals.entry(text).or_insert_with(|| vec![0i128; self.tables.types]);
            for (sum, &value) in sums.iter_mut().zip(sample.values()) {
                *sum += i128::from(value);
            }
        }
        totals
    }
}
