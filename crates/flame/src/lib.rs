//! Views of a profile: folded stacks and the SVG flame graph.

mod folded;
mod name;
mod svg;

pub use folded::folded;
pub use name::{frame_name, safe_name};
pub use svg::{Graph, MIN_WIDTH_PERCENT, SvgError, svg};
