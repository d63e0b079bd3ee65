//! A shown profile in the format asked for.

use flambeau_flame::{
    Beside, Graph, ViewError, chrome, csv, firefox, flame_json, flamebearer, folded, speedscope,
    svg, top_json,
};
use flambeau_profile::{DEFAULT_LEVEL, gzip};

use crate::{error::RenderError, format::Format, profile::Asked, shown::Shown};

/// What a view is called.
pub(crate) struct Titles {
    pub(crate) title: String,
    pub(crate) subtitle: String,
}

/// Draws or lists a profile; `whole` is what it is a part of, if anything.
pub(crate) fn view(
    shown: &Shown,
    asked: &Asked,
    titles: &Titles,
    whole: Option<(u64, &str)>,
) -> Result<Vec<u8>, RenderError> {
    let query = &asked.query;
    if asked.format == Format::Pprof {
        return Ok(shown.profile.encode_gzip(DEFAULT_LEVEL));
    }
    let column = asked.wish.shown_column(shown)?;
    let (cut, sort, title) = (query.cut()?, query.sort()?, titles.title.as_str());
    let stacks = &shown.stacks;
    let mut out = Vec::new();
    match asked.format {
        Format::Svg => {
            let (title, subtitle) = (titles.title.clone(), Some(titles.subtitle.clone()));
            let graph = Graph { column, title, subtitle, icicle: query.icicle()?, cut };
            out = svg(stacks, &graph)?;
        }
        Format::FlameJson => {
            let beside = Beside { rows: query.top()?, whole };
            flame_json(stacks, column, cut, beside, &mut out)?;
        }
        Format::TopJson => top_json(stacks, column, sort, query.max_nodes()?, &mut out)?,
        Format::Folded => folded(stacks, column, &mut out).map_err(ViewError::Write)?,
        Format::Csv => csv(stacks, column, sort, &mut out).map_err(ViewError::Write)?,
        Format::Speedscope => speedscope(stacks, column, title, &mut out)?,
        Format::Chrome => chrome(stacks, column, cut, title, &mut out)?,
        Format::Firefox => firefox(stacks, column, cut, title, &mut out)?,
        Format::Flamebearer => flamebearer(stacks, column, cut, title, &mut out)?,
        // These are made elsewhere, each of something else than a shown profile.
        Format::Pprof
        | Format::Html
        | Format::HeatMap
        | Format::Timeline
        | Format::Sparkline
        | Format::Diff => {}
    }
    Ok(out)
}

/// Answers shorter than this are sent as they are.
const MIN_COMPRESSED: usize = 1_024;

/// Whether a client takes an encoding.
pub(crate) fn takes(accept_encoding: &str, encoding: &str) -> bool {
    accept_encoding.split(',').any(|part| {
        let mut words = part.split(';').map(str::trim);
        let named = words.next().is_some_and(|word| word.eq_ignore_ascii_case(encoding));
        let refused = words.any(|word| matches!(word, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"));
        named && !refused
    })
}

/// The body as gzip where the client takes it and it is worth it.
pub(crate) fn compressed(body: Vec<u8>, accept_encoding: &str) -> (Vec<u8>, bool) {
    match body.len() >= MIN_COMPRESSED && takes(accept_encoding, "gzip") {
        true => (gzip(&body, DEFAULT_LEVEL), true),
        false => (body, false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_bodies_are_compressed_for_who_takes_it() {
        let long = || vec![b'x'; MIN_COMPRESSED];
        let is = |body, accept| compressed(body, accept).1;
        assert!(is(long(), "gzip") && is(long(), "br;q=1.0, GZIP;q=0.8"));
        assert!(!is(long(), "") && !is(long(), "br") && !is(long(), "gzip;q=0"));
        assert!(!is(vec![b'x'; MIN_COMPRESSED - 1], "gzip"));
    }
}
