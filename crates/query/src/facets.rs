//! What a plan's rows tell of labels: values, how often, how lately; and what is
//! worth comparing.

use std::{cmp::Reverse, collections::BTreeMap};

use flambeau_layout::{Activity, BlockRow, LabelSet, TypePart, UnixMillis};
use flambeau_profile::{Matcher, Selector};

use crate::plan::Plan;

/// A label's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facet {
    /// The value.
    pub value: String,
    /// Snapshots that have it.
    pub snapshots: u64,
    /// End of the last window that has one.
    pub last: UnixMillis,
}

/// The labels of a plan's snapshots. Labels that single samples carry are not
/// among them: rows do not know those.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Facets {
    /// Values of each label, the most frequent first.
    pub labels: BTreeMap<String, Vec<Facet>>,
    /// Whether rows left label sets out.
    pub more: bool,
}

/// Two values of a label that people want to see side by side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comparison {
    /// The label.
    pub label: &'static str,
    /// What is compared with: `warm`, the version before.
    pub base: String,
    /// What is looked at: `cold`, the latest version.
    pub subject: String,
}

/// Label of a process's first snapshots (`cold`) and later ones (`warm`).
const INIT: &str = "init";
/// Label of a function's published version.
const VERSION: &str = "version";

impl Plan {
    /// The labels of its snapshots, by rows alone.
    #[must_use]
    pub fn facets(&self) -> Facets {
        let mut found: BTreeMap<&str, BTreeMap<&str, (u64, UnixMillis)>> = BTreeMap::new();
        for (row, part) in self.parts() {
            for (set, snapshots) in labelled(row, part) {
                for (label, value) in set {
                    let values = found.entry(label).or_default();
                    let (count, last) = values.entry(value).or_default();
                    *count += snapshots;
                    *last = row.window.end().max(*last);
                }
            }
        }
        let labels = found.into_iter().map(|(label, values)| (label.to_owned(), listed(values)));
        Facets { labels: labels.collect(), more: self.blocks.iter().any(|row| row.more) }
    }

    /// What functions did under a selector; `None` where rows left out label sets
    /// that it would have to know. Conditions on labels that no snapshot has as a
    /// whole do not narrow it: an invocation has samples of many kinds.
    #[must_use]
    pub fn activity(&self, selector: Option<&Selector>) -> Option<Activity> {
        let mut sum = Activity::default();
        let matchers = selector.map(Selector::matchers).unwrap_or_default();
        let of_snapshots: Vec<&Matcher> =
            matchers.iter().filter(|matcher| self.has_label(&matcher.name)).collect();
        for (row, _) in self.parts() {
            if of_snapshots.is_empty() {
                sum += row.activity;
                continue;
            }
            if row.more {
                return None;
            }
            for (set, activity) in row.label_sets.iter().zip(&row.set_activity) {
                let value = |name: &str| set.get(name).map_or("", String::as_str);
                if of_snapshots.iter().all(|matcher| matcher.condition.holds(value(&matcher.name)))
                {
                    sum += *activity;
                }
            }
        }
        Some(sum)
    }

    fn has_label(&self, name: &str) -> bool {
        let mut sets = self.blocks.iter().flat_map(|row| &row.label_sets);
        sets.any(|set| set.contains_key(name))
    }
}

/// The label sets of one profile of a row, and how many snapshots have each.
fn labelled<'a>(
    row: &'a BlockRow,
    part: &'a TypePart,
) -> impl Iterator<Item = (&'a LabelSet, u64)> {
    part.sets.iter().filter_map(|(set, snapshots)| Some((row.label_sets.get(*set)?, *snapshots)))
}

fn listed(values: BTreeMap<&str, (u64, UnixMillis)>) -> Vec<Facet> {
    let facet = |(value, (snapshots, last)): (&str, (u64, UnixMillis))| Facet {
        value: value.to_owned(),
        snapshots,
        last,
    };
    let mut facets: Vec<Facet> = values.into_iter().map(facet).collect();
    facets.sort_by_key(|facet| Reverse(facet.snapshots));
    facets
}

impl Facets {
    /// What is worth comparing: cold starts with warm ones, the version seen last
    /// with the one before; each only where both are there.
    #[must_use]
    pub fn comparisons(&self) -> Vec<Comparison> {
        let has = |value: &str| {
            let mut values = self.labels.get(INIT).into_iter().flatten();
            values.any(|facet| facet.value == value)
        };
        let compare = |label, base: &str, subject: &str| Comparison {
            label,
            base: base.to_owned(),
            subject: subject.to_owned(),
        };
        let starts = (has("cold") && has("warm")).then(|| compare(INIT, "warm", "cold"));
        let versions = self.versions();
        let versions = match versions.as_slice() {
            [latest, before, ..] => Some(compare(VERSION, before, latest)),
            _ => None,
        };
        starts.into_iter().chain(versions).collect()
    }

    /// Versions, the one seen last first; of those seen last together, the one
    /// with the higher number.
    #[must_use]
    pub fn versions(&self) -> Vec<&str> {
        let mut versions: Vec<&Facet> = self.labels.get(VERSION).into_iter().flatten().collect();
        let number = |facet: &Facet| facet.value.parse::<u64>().ok();
        versions.sort_by_key(|facet| Reverse((facet.last, number(facet))));
        versions.into_iter().map(|facet| facet.value.as_str()).collect()
    }
}
