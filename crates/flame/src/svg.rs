//! The SVG flame graph, drawn by inferno.

use flambeau_profile::Merged;
use inferno::flamegraph::{self, Options};

use crate::folded::folded;

/// Frames narrower than this share of the whole, in percent, are not drawn:
/// below it a frame is thinner than a pixel of a wide screen.
pub const MIN_WIDTH_PERCENT: f64 = 0.02;

/// Why there is no picture.
#[derive(Debug, thiserror::Error)]
pub enum SvgError {
    /// No stack has a value to draw.
    #[error("nothing to draw: all {0} values are zero or negative")]
    Nothing(String),
    /// inferno failed.
    #[error("flame graph could not be drawn: {0}")]
    Draw(#[from] std::io::Error),
}

/// What to draw.
#[derive(Debug, Clone)]
pub struct Graph {
    /// The sample type, by position.
    pub column: usize,
    /// Headline.
    pub title: String,
    /// Second line.
    pub subtitle: Option<String>,
    /// Leaves on top (`false`) or root on top (`true`).
    pub icicle: bool,
}

/// Draws one sample type of a profile. Colours follow names, so that the same
/// function has the same colour in every picture.
///
/// # Errors
/// When there is nothing to draw.
pub fn svg(profile: &Merged, graph: &Graph) -> Result<Vec<u8>, SvgError> {
    let stacks = folded(profile, graph.column);
    let measure = profile.sample_types().get(graph.column);
    if stacks.is_empty() {
        return Err(SvgError::Nothing(measure.map_or_else(String::new, ToString::to_string)));
    }
    let mut options = Options::default();
    options.title.clone_from(&graph.title);
    options.subtitle.clone_from(&graph.subtitle);
    options.min_width = MIN_WIDTH_PERCENT;
    options.hash = true;
    options.image_width = None;
    options.direction = match graph.icicle {
        true => flamegraph::Direction::Inverted,
        false => flamegraph::Direction::Straight,
    };
    options.count_name = measure.map_or_else(|| "samples".to_owned(), |m| m.unit.clone());
    // Our lines come sorted and merged already.
    options.no_sort = true;
    let lines: Vec<String> =
        stacks.iter().map(|(stack, value)| format!("{stack} {value}")).collect();
    let mut picture = Vec::new();
    flamegraph::from_lines(&mut options, lines.iter().map(String::as_str), &mut picture)?;
    Ok(picture)
}
