//! What a page says of a selection, by rows alone: labels to choose among,
//! conditions to take away, ranges to go to.

use flambeau_profile::{Condition, Selector};
use flambeau_query::{Facets, Plan, Range};

use super::{Chip, Tab, said};
use crate::{params::Params, request::ProfileQuery};

/// Values of a label that a page lists.
const MAX_VALUES: usize = 12;
/// Ranges that a page offers.
const RANGES: [(&str, &str); 7] = [
    ("15 min", "now-15m"),
    ("1 h", "now-1h"),
    ("6 h", "now-6h"),
    ("24 h", "now-24h"),
    ("7 d", "now-7d"),
    ("30 d", "now-30d"),
    ("all", "0"),
];
/// Labels worth a look before others.
const FIRST_LABELS: [&str; 4] = ["version", "init", "outcome", "function_name"];
/// pprof's options by their short names, and what a page calls them.
const OPTIONS: [(&str, &str); 9] = [
    ("f", "focus"),
    ("i", "ignore"),
    ("h", "hide"),
    ("s", "show"),
    ("sf", "show from"),
    ("tf", "tag focus"),
    ("ti", "tag ignore"),
    ("ts", "tag show"),
    ("th", "tag hide"),
];

/// A label and the values it has.
pub(crate) struct FacetView {
    pub(crate) label: String,
    pub(crate) values: Vec<ValueView>,
    pub(crate) more: usize,
}

/// A value to choose.
pub(crate) struct ValueView {
    pub(crate) value: String,
    pub(crate) snapshots: u64,
    pub(crate) href: String,
}

/// Everything that narrows: conditions on labels, pprof's options.
pub(crate) fn chips(selector: Option<&Selector>, params: &Params) -> Vec<Chip> {
    let mut chips: Vec<Chip> = Vec::new();
    for matcher in selector.map(Selector::matchers).unwrap_or_default() {
        let rest = selector.cloned().unwrap_or_default().without(&matcher.name);
        let rest = if rest.matchers().is_empty() { String::new() } else { rest.to_string() };
        let without = here(&params.with("q", &rest));
        chips.push(Chip { text: matcher.to_string(), without });
    }
    for (short, long) in OPTIONS {
        let said = [short.to_owned(), long.replace(' ', "_"), long.replace(' ', "")];
        for (name, value) in params
            .pairs()
            .filter(|(name, value)| !value.is_empty() && said.iter().any(|own| own == name))
        {
            let without = here(&params.with(name, ""));
            chips.push(Chip { text: format!("{long}: {value}"), without });
        }
    }
    chips
}

/// A link to this page with another question; never an empty one, which would be
/// no link at all.
pub(crate) fn here(params: &Params) -> String {
    let href = params.without(&["exp", "sig", "pin"]).href();
    if href.is_empty() { "?".to_owned() } else { href }
}

/// The labels of a plan, each value a link that asks for it.
pub(crate) fn facets(
    facets: &Facets,
    selector: Option<&Selector>,
    params: &Params,
) -> Vec<FacetView> {
    let selector = selector.cloned().unwrap_or_default();
    let mut views: Vec<FacetView> = facets
        .labels
        .iter()
        .map(|(label, values)| {
            let href = |value: &str| {
                let asked = selector.clone().without(label);
                let asked = asked.with(label, Condition::Equal(value.to_owned()));
                here(&params.with("q", &asked.to_string()))
            };
            let value = |facet: &flambeau_query::Facet| ValueView {
                value: facet.value.clone(),
                snapshots: facet.snapshots,
                href: href(&facet.value),
            };
            FacetView {
                label: label.clone(),
                values: values.iter().take(MAX_VALUES).map(value).collect(),
                more: values.len().saturating_sub(MAX_VALUES),
            }
        })
        .collect();
    let place = |view: &FacetView| {
        let first = FIRST_LABELS.iter().position(|label| *label == view.label);
        // A label with one value tells nothing apart.
        (view.values.len() < 2, first.unwrap_or(FIRST_LABELS.len()), view.label.clone())
    };
    views.sort_by_key(place);
    views
}

/// Ranges to go to.
pub(crate) fn ranges(query: &ProfileQuery, params: &Params) -> Vec<Tab> {
    let plain = params.without(&["until", "seconds", "tfrom", "tuntil"]);
    let tab = |(name, from): (&str, &str)| Tab {
        name: name.to_owned(),
        href: here(&plain.with("from", from)),
        current: query.from.as_deref() == Some(from) && query.until.is_none(),
    };
    RANGES.map(tab).into()
}

/// Hidden fields that keep the rest of a question while a form changes some of it.
pub(crate) fn kept(params: &Params, changed: &[&str]) -> Vec<(String, String)> {
    let kept = params.without(changed).without(&["format", "exp", "sig", "pin", "root"]);
    kept.pairs().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// What a plan's answer covers and what it left out, in sentences.
pub(crate) fn notes(plan: &Plan, means: bool, facets: &Facets) -> Vec<String> {
    let mut notes = Vec::new();
    let (asked, range, all) = (plan.asked, plan.range, Range::all());
    let edge = |asked, rounded, open| match asked == open {
        true => "the end".to_owned(),
        false => said(rounded),
    };
    if asked != all && asked != range {
        let from = edge(asked.from, range.from, all.from).replace("end", "beginning");
        let until = edge(asked.until, range.until, all.until);
        notes.push(format!("Rounded to whole windows: {from} to {until}."));
    }
    if plan.left_out > 0 {
        let count = plan.left_out;
        notes.push(format!(
            "{count} snapshots measure something else under this name and are left out."
        ));
    }
    if plan.undifferenced() > 0 {
        let count = plan.undifferenced();
        notes.push(format!(
            "{count} snapshots hold totals since their process began; those columns count once per \
             process, from its first snapshot."
        ));
    }
    if means {
        notes.push(
            "What is true at a moment is shown as the mean per snapshot; agg=sum gives the sums."
                .to_owned(),
        );
    }
    if facets.more {
        notes.push("There are more label values than the index keeps; some are not listed.".into());
    }
    notes
}
