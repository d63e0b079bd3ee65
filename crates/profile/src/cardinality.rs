//! How many values of one label are told apart.
//!
//! Of more values than the limit, those with the least hashes are kept (the
//! hash is fixed for ever): a choice that depends on the set of values alone.
//! So the order of inputs leaves no trace, and merging in parts chooses as
//! merging at once does: what is among the least of all is among the least of
//! its part.

use std::collections::BTreeSet;

use hashbrown::HashMap;

use crate::content::content_hash;
use crate::ids::NONE;
use crate::index::Index;
use crate::limits::{Limits, OVERFLOW_VALUE};
use crate::tables::{LabelEntry, Tables};

/// The values of labels seen so far, by (key, whether a number).
#[derive(Default)]
pub(crate) struct Cardinality {
    keys: HashMap<(u32, bool), Values>,
    /// Values turned away so far, counted once for every set of labels.
    pub(crate) overflown: u64,
}

#[derive(Default)]
struct Values {
    /// The least hashes, up to the limit.
    kept: BTreeSet<u64>,
    /// Some had to go.
    full: bool,
}

impl Cardinality {
    /// The label as it may be merged: itself, or the overflow's.
    pub(crate) fn admit(
        &mut self,
        label: LabelEntry,
        limits: &Limits,
        tables: &mut Tables,
    ) -> LabelEntry {
        let number = label.text == 0;
        let limit = if number { limits.label_numbers } else { limits.label_values };
        let Some(hash) = value_hash(&label, tables) else {
            return label;
        };
        let values = self.keys.entry((label.key, number)).or_default();
        if values.kept.contains(&hash) {
            return label;
        }
        values.kept.insert(hash);
        if values.kept.len() <= limit {
            return label;
        }
        values.full = true;
        self.overflown += 1;
        if values.kept.pop_last() == Some(hash) {
            return overflow(label.key, tables);
        }
        label
    }

    /// Turns what was merged before it had to go into the overflow.
    pub(crate) fn settle(&self, tables: &mut Tables) {
        if !self.keys.values().any(|values| values.full) {
            return;
        }
        let sets = tables.label_sets.ranges.len() as u32;
        let renewed: Vec<u32> = (0..sets).map(|set| self.renew(set, tables)).collect();
        relabel(tables, &renewed);
    }

    /// A set of labels with the overflow where it must be.
    fn renew(&self, set: u32, tables: &mut Tables) -> u32 {
        let old = tables.label_sets.get(set).to_vec();
        let mut new = old.clone();
        for label in &mut new {
            let values = self.keys.get(&(label.key, label.text == 0));
            let hash = value_hash(label, tables);
            let goes = values.is_some_and(|v| v.full && hash.is_some_and(|h| !v.kept.contains(&h)));
            if goes {
                *label = overflow(label.key, tables);
            }
        }
        if new == old {
            return set;
        }
        tables.sort_labels(&mut new);
        tables.label_set(&new)
    }
}

/// A value's hash; `None` for the overflow itself, which is always admitted.
fn value_hash(label: &LabelEntry, tables: &Tables) -> Option<u64> {
    if label.text == 0 {
        let unit = tables.strings.get(label.unit).as_bytes();
        return Some(content_hash(&[&label.number.to_le_bytes(), unit].concat()));
    }
    let text = tables.strings.get(label.text);
    (text != OVERFLOW_VALUE).then(|| content_hash(text.as_bytes()))
}

fn overflow(key: u32, tables: &mut Tables) -> LabelEntry {
    LabelEntry { key, text: tables.strings.intern(OVERFLOW_VALUE), number: 0, unit: 0 }
}

/// Gives each sample the set of labels that `renewed` has in place of its own;
/// those that become one are added up.
fn relabel(tables: &mut Tables, renewed: &[u32]) {
    let types = tables.types;
    let samples = std::mem::take(&mut tables.samples);
    let sums = std::mem::take(&mut tables.sums);
    let mut index = Index::default();
    for (i, &(stack, labels)) in samples.iter().enumerate() {
        let key = (stack, renewed[labels as usize]);
        let hash = tables.hash(key);
        let held = &tables.samples;
        let found = index.find(hash, |at| held[at as usize] == key);
        let at = found.unwrap_or(NONE);
        let own = &sums[i * types..][..types];
        if at == NONE {
            index.insert(hash, tables.samples.len() as u32);
            tables.samples.push(key);
            tables.sums.extend_from_slice(own);
            continue;
        }
        let sums = &mut tables.sums[at as usize * types..][..types];
        sums.iter_mut().zip(own).for_each(|(sum, value)| *sum += value);
    }
}
