//! Pyroscope's variables, where they mean what ours mean.
//!
//! Whoever comes from Pyroscope keeps the function's settings; a variable of ours holds before
//! one of theirs. Names and meanings as its Java, Node, .NET and Lambda agents read them:
//! `docs/sdk-types.md` has the table and the sources.

use std::collections::BTreeMap;

use flambeau_layout::environment;

/// What Pyroscope's variables say of one of ours; `None` if nothing, or nothing that is clear.
pub(crate) fn said(name: &str, variable: &impl Fn(&str) -> Option<String>) -> Option<String> {
    match name {
        environment::SERVICE => Some(application(variable)?.0),
        environment::TENANT => variable("PYROSCOPE_TENANT_ID"),
        environment::PROFILING => enabled(variable).map(|on| if on { "on" } else { "off" }.into()),
        environment::INTERVAL => Some(interval_seconds(variable)?.to_string()),
        environment::HZ => {
            let nanos = nanos(&variable("PYROSCOPE_PROFILING_INTERVAL")?)?;
            Some((1_000_000_000_u64.checked_div(nanos)?).max(1).to_string())
        }
        _ => None,
    }
}

/// Labels in `PYROSCOPE_LABELS` and in the application's name.
pub(crate) fn labels(variable: &impl Fn(&str) -> Option<String>) -> BTreeMap<String, String> {
    let in_name = application(variable).map(|(_, labels)| labels);
    let lists = in_name.into_iter().chain(variable("PYROSCOPE_LABELS"));
    lists.flat_map(|list| pairs(&list)).collect()
}

/// `name` or `name{key=value,…}`: the name, and what is in the braces.
fn application(variable: &impl Fn(&str) -> Option<String>) -> Option<(String, String)> {
    let whole = variable("PYROSCOPE_APPLICATION_NAME")?;
    let (name, labels) = whole.split_once('{').unwrap_or((&whole, ""));
    Some((name.trim().to_owned(), labels.trim_end().trim_end_matches('}').to_owned()))
}

/// `key=value` (Java) or `key:value` (.NET), separated by commas; others are passed over.
fn pairs(list: &str) -> Vec<(String, String)> {
    let pair = |item: &str| {
        let (key, value) = item.split_once('=').or_else(|| item.split_once(':'))?;
        let (key, value) = (key.trim(), value.trim().trim_matches('"'));
        (!key.is_empty()).then(|| (key.to_owned(), value.to_owned()))
    };
    list.split(',').filter_map(pair).collect()
}

fn enabled(variable: &impl Fn(&str) -> Option<String>) -> Option<bool> {
    let said = variable("PYROSCOPE_AGENT_ENABLED").or(variable("PYROSCOPE_PROFILING_ENABLED"))?;
    Some(["true", "1", "auto", "yes", "t", "y"].contains(&said.to_ascii_lowercase().as_str()))
}

/// Whole seconds, at least one.
fn interval_seconds(variable: &impl Fn(&str) -> Option<String>) -> Option<u64> {
    let java = variable("PYROSCOPE_UPLOAD_INTERVAL").and_then(|text| nanos(&text));
    let millis = || variable("PYROSCOPE_FLUSH_INTERVAL_MS")?.parse::<u64>().ok();
    let node = || millis()?.checked_mul(1_000_000);
    Some(java.or_else(node)?.div_ceil(1_000_000_000).max(1))
}

/// A number and `s`, `ms` or `us`; without a unit it is nanoseconds.
fn nanos(text: &str) -> Option<u64> {
    let text = text.trim();
    let end = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let scale = match unit {
        "s" => 1_000_000_000,
        "ms" => 1_000_000,
        "us" => 1_000,
        "" | "ns" => 1,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(scale).filter(|nanos| *nanos > 0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::Settings;

    fn find<'p>(pairs: &'p [(&'p str, &'p str)]) -> impl Fn(&str) -> Option<String> + 'p {
        |name| pairs.iter().find(|pair| pair.0 == name).map(|pair| pair.1.to_owned())
    }

    #[test]
    fn a_function_set_up_for_pyroscope_needs_only_a_bucket() {
        let (settings, _) = Settings::read(find(&[
            ("FLAMBEAU_BUCKET", "b"),
            ("PYROSCOPE_APPLICATION_NAME", "shop.checkout{team=pay, zone=\"a\"}"),
            ("PYROSCOPE_TENANT_ID", "acme"),
            ("PYROSCOPE_UPLOAD_INTERVAL", "15s"),
            ("PYROSCOPE_PROFILING_INTERVAL", "20ms"),
            ("PYROSCOPE_LABELS", "stage=prod,nonsense"),
        ]))
        .unwrap();
        assert_eq!(settings.service.as_str(), "shop.checkout");
        assert_eq!(settings.tenant.as_str(), "acme");
        assert_eq!((settings.interval.as_secs(), settings.hz), (15, 50));
        let label = |name: &str| settings.labels.get(name).map(String::as_str);
        assert_eq!((label("team"), label("zone")), (Some("pay"), Some("a")));
        assert_eq!((label("stage"), label("nonsense")), (Some("prod"), None));
    }

    #[test]
    fn ours_hold_before_theirs_and_nonsense_says_nothing() {
        let read = |name, pairs: &[(&str, &str)]| said(name, &find(pairs));
        assert_eq!(read(environment::HZ, &[("PYROSCOPE_PROFILING_INTERVAL", "0")]), None);
        assert_eq!(read(environment::HZ, &[("PYROSCOPE_PROFILING_INTERVAL", "1h")]), None);
        let interval = [("PYROSCOPE_FLUSH_INTERVAL_MS", "60000")];
        assert_eq!(read(environment::INTERVAL, &interval).as_deref(), Some("60"));
        let bare = [("PYROSCOPE_UPLOAD_INTERVAL", "10000000000")];
        assert_eq!(read(environment::INTERVAL, &bare).as_deref(), Some("10"));
        let off = [("PYROSCOPE_AGENT_ENABLED", "false")];
        assert_eq!(read(environment::PROFILING, &off).as_deref(), Some("off"));
        let both = [
            ("FLAMBEAU_BUCKET", "b"),
            ("FLAMBEAU_SERVICE", "ours"),
            ("PYROSCOPE_APPLICATION_NAME", "theirs"),
        ];
        assert_eq!(Settings::read(find(&both)).unwrap().0.service.as_str(), "ours");
    }
}
