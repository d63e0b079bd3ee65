//! Views of a profile, each a function from [`Stacks`] to what a tool opens.
//!
//! | view | opened by |
//! |---|---|
//! | [`folded()`] | flamegraph.pl, inferno, flamelens, speedscope |
//! | [`svg()`] | browsers |
//! | [`flame_json()`], [`top_json()`], [`diff_json()`], [`HeatMap`] | Flambeau's own pages |
//! | [`diff_svg()`] | browsers |
//! | [`csv()`] | spreadsheets |
//! | [`speedscope()`] | speedscope |
//! | [`chrome()`] | Perfetto, chrome://tracing, speedscope |
//! | [`firefox()`] | Firefox Profiler |
//! | [`flamebearer()`] | Pyroscope's and Grafana's older viewers |
//!
//! Trees are cut to their heaviest nodes ([`Cut`]); lists of stacks and rows are
//! written one by one. Any bytes as names give well-formed text, XML and JSON.

mod chrome;
mod colour;
mod csv;
pub mod diff;
mod error;
mod firefox;
mod flame_json;
mod flamebearer;
mod folded;
mod gather;
mod growth;
pub mod heatmap;
mod name;
mod package;
mod speedscope;
mod stacks;
mod svg;
mod symbols;
mod top;
mod tree;

pub use chrome::chrome;
pub use colour::colour;
pub use csv::csv;
pub use diff::{DIFF_JSON_VERSION, diff_json, diff_svg};
pub use error::ViewError;
pub use firefox::{FIREFOX_VERSION, firefox};
pub use flame_json::{Beside, FLAME_JSON_VERSION, flame_json};
pub use flamebearer::flamebearer;
pub use folded::folded;
pub use gather::Stack;
pub use growth::MAX_DEPTH;
pub use heatmap::HeatMap;
pub use name::{NAME_CHARS, NO_STACK, frame_name, shown_name};
pub use package::package;
pub use speedscope::speedscope;
pub use stacks::Stacks;
pub use svg::{Graph, MIN_WIDTH_PERCENT, svg};
pub use symbols::{Inlined, Symbol};
pub use top::{Row, Sort, Top, top_json};
pub use tree::{Cut, DEFAULT_NODES, MAX_NODES, NoNode, Node, NodeId, Tree, Truncated};
