//! A merged profile in the format asked for.

use flambeau_flame::{
    Graph, Stacks, ViewError, chrome, csv, firefox, flame_json, flamebearer, folded, speedscope,
    svg, top_json,
};
use flambeau_profile::{DEFAULT_LEVEL, Merged, gzip};

use crate::{error::RenderError, format::Format, request::ProfileQuery};

/// What a view is called.
pub(crate) struct Titles {
    pub(crate) title: String,
    pub(crate) subtitle: String,
}

/// Draws or lists a profile. HTML is not made here: it needs no profile.
pub(crate) fn view(
    profile: &Merged,
    format: Format,
    query: &ProfileQuery,
    titles: &Titles,
) -> Result<Vec<u8>, RenderError> {
    if matches!(format, Format::Pprof | Format::Html) {
        return Ok(profile.encode_gzip(DEFAULT_LEVEL));
    }
    let column = column(profile, query.sample_type())?;
    let (cut, sort, title) = (query.cut()?, query.sort()?, titles.title.as_str());
    let stacks = Stacks::of(profile);
    let mut out = Vec::new();
    match format {
        Format::Svg => {
            let (title, subtitle) = (titles.title.clone(), Some(titles.subtitle.clone()));
            let graph = Graph { column, title, subtitle, icicle: query.icicle()?, cut };
            out = svg(&stacks, &graph)?;
        }
        Format::FlameJson => flame_json(&stacks, column, cut, &mut out)?,
        Format::TopJson => top_json(&stacks, column, sort, query.max_nodes()?, &mut out)?,
        Format::Folded => folded(&stacks, column, &mut out).map_err(ViewError::Write)?,
        Format::Csv => csv(&stacks, column, sort, &mut out).map_err(ViewError::Write)?,
        Format::Speedscope => speedscope(&stacks, column, title, &mut out)?,
        Format::Chrome => chrome(&stacks, column, cut, title, &mut out)?,
        Format::Firefox => firefox(&stacks, column, cut, title, &mut out)?,
        Format::Flamebearer => flamebearer(&stacks, column, cut, title, &mut out)?,
        Format::Pprof | Format::Html => {}
    }
    Ok(out)
}

/// The sample type asked for, as pprof finds it: by position, by name (also
/// without `inuse_`); else the profile's default, else the last.
fn column(profile: &Merged, asked: Option<&str>) -> Result<usize, RenderError> {
    let types = profile.sample_types();
    let named = |name: &str| types.iter().position(|measure| measure.typ == name);
    let Some(asked) = asked else {
        let default = named(&profile.header().default_sample_type);
        return Ok(default.unwrap_or(types.len().saturating_sub(1)));
    };
    let position = asked.parse().ok().filter(|column| *column < types.len());
    let legacy = || named(asked.strip_prefix("inuse_")?);
    position.or_else(|| named(asked)).or_else(legacy).ok_or_else(|| {
        let known: Vec<&str> = types.iter().map(|measure| measure.typ.as_str()).collect();
        RenderError::Parameter(format!(
            "sample type `{asked}` is not here; there are {}",
            known.join(", ")
        ))
    })
}

/// Answers shorter than this are sent as they are.
const MIN_COMPRESSED: usize = 1_024;

/// The body as gzip where the client takes it and it is worth it.
pub(crate) fn compressed(body: Vec<u8>, accept_encoding: &str) -> (Vec<u8>, bool) {
    let takes = accept_encoding.split(',').any(|part| {
        let mut words = part.split(';').map(str::trim);
        let gzip = words.next().is_some_and(|word| word.eq_ignore_ascii_case("gzip"));
        let refused = words.any(|word| matches!(word, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"));
        gzip && !refused
    });
    match takes && body.len() >= MIN_COMPRESSED {
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
