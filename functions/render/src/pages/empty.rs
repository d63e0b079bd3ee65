//! Three ways of having nothing to show, each with what to do about it: no such
//! service yet, a service without data in the range, one without the type.
//! (What a filter leaves empty is seen, and said, where the profile is drawn.)

use askama::Template;
use axum::response::Response;
use flambeau_layout::{ProfileType, ServiceEntry};
use http::{HeaderMap, StatusCode};

use super::{Head, Tab, said, selection::here};
use crate::{access::Admitted, answer, error::RenderError, profile::Asked};

#[derive(Template)]
#[template(path = "empty.html")]
struct EmptyPage {
    head: Head,
    service: String,
    typ: String,
    tenant: String,
    bucket: String,
    known: Option<Known>,
    /// Services whose names are near.
    near: Vec<Tab>,
}

/// What is known of the service.
struct Known {
    last: String,
    /// The range that ends with the last data.
    jump: String,
    /// Everything that is held.
    all: String,
    types: Vec<Tab>,
    has_type: bool,
}

/// Most services that are suggested.
const MAX_NEAR: usize = 5;

pub(super) async fn page(
    state: &crate::State,
    asked: &Asked,
    entry: Option<&ServiceEntry>,
    admitted: &Admitted,
    headers: &HeaderMap,
) -> Result<Response, RenderError> {
    let (service, typ) = (asked.selection.service.to_string(), asked.selection.typ.to_string());
    let near = match entry {
        Some(_) => Vec::new(),
        None => near(&service, &state.store.services(&state.tenant).await?, &asked.selection.typ),
    };
    let page = EmptyPage {
        head: Head::of(format!("{service} · {typ}"), Some(admitted)),
        tenant: state.tenant.to_string(),
        bucket: state.store.bucket().to_owned(),
        known: entry.map(|entry| known(asked, entry)),
        service,
        typ,
        near,
    };
    Ok(answer::html(page.render()?, StatusCode::NOT_FOUND, headers))
}

fn known(asked: &Asked, entry: &ServiceEntry) -> Known {
    let params = asked.params.without(&["format", "seconds", "tfrom", "tuntil"]);
    let plain = params.without(&["from", "until"]);
    let service = entry.service.encoded();
    let tab =
        |typ: &ProfileType| Tab::to(typ.to_string(), format!("/s/{service}/{}", typ.encoded()));
    Known {
        last: said(entry.last),
        jump: here(&plain),
        all: here(&plain.with("from", "0")),
        types: entry.types.keys().map(tab).collect(),
        has_type: entry.types.contains_key(&asked.selection.typ),
    }
}

/// Services whose names have most in common with one that is not there.
fn near(wanted: &str, entries: &[ServiceEntry], typ: &ProfileType) -> Vec<Tab> {
    let wanted = wanted.to_lowercase();
    let mut found: Vec<(usize, &ServiceEntry)> = entries
        .iter()
        .map(|entry| (distance(&wanted, &entry.service.as_str().to_lowercase()), entry))
        .filter(|(distance, entry)| *distance * 2 <= wanted.len().max(entry.service.as_str().len()))
        .collect();
    found.sort_by_key(|(distance, entry)| (*distance, entry.service.as_str().to_owned()));
    let tab = |(_, entry): (usize, &ServiceEntry)| {
        let service = entry.service.encoded();
        Tab::to(entry.service.to_string(), format!("/s/{service}/{}", typ.encoded()))
    };
    found.into_iter().take(MAX_NEAR).map(tab).collect()
}

/// Letters put in, taken away or changed (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut before = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let changed = before + usize::from(x != *y);
            before = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(before + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn near_names_are_suggested_and_others_not() {
        let services = ["checkout", "check-in", "billing", "λ"];
        let entries: Vec<ServiceEntry> =
            services.iter().map(|name| ServiceEntry::new(name.parse().unwrap())).collect();
        let near = |wanted: &str| {
            let tabs = near(wanted, &entries, &"cpu".parse().unwrap());
            tabs.into_iter().map(|tab| tab.name).collect::<Vec<_>>()
        };
        assert_eq!(near("Chekout"), ["checkout", "check-in"]);
        assert!(near("zzzzzz").is_empty());
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
