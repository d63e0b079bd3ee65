//! Two selections side by side: one tree that has the frames of both, so that
//! what vanished is seen as well as what came.

mod json;
mod noise;
mod pair;
mod svg;

pub use json::{DIFF_JSON_VERSION, diff_json};
pub use noise::{Noise, QUIET_SIGMAS};
pub use pair::{DiffNode, DiffRow, DiffTree, Pair};
pub use svg::{Drawn, diff_svg};

use crate::stacks::Stacks;

/// Some snapshots of one side, merged: what such groups differ by is how much a
/// side varies by itself.
pub struct Part<'a> {
    /// Its stacks.
    pub stacks: &'a Stacks,
    /// How much of its side it is, in what the basis divides by.
    pub weight: f64,
}

/// One side of a difference.
pub struct Side<'a> {
    /// Its parts; all of its stacks are their stacks together.
    pub parts: Vec<Part<'a>>,
    /// The sample type, by position.
    pub column: usize,
    /// What one sample stands for, in the sample type's unit, where samples are
    /// counted: the least a value can vary by.
    pub period: Option<f64>,
}

impl Side<'_> {
    /// What the basis divides this side by.
    #[must_use]
    pub fn weight(&self) -> f64 {
        self.parts.iter().map(|part| part.weight).sum()
    }
}

/// What makes two sides comparable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Basis {
    /// Each side's values as shares of its total.
    #[default]
    Share,
    /// As they are; gauges per snapshot.
    Absolute,
    /// Per invocation that ended.
    Invocation,
    /// Per second in which invocations ran.
    Second,
}

impl Basis {
    /// All, by name.
    pub const ALL: [(&'static str, Self); 4] = [
        ("share", Self::Share),
        ("absolute", Self::Absolute),
        ("invocation", Self::Invocation),
        ("second", Self::Second),
    ];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, basis)| *basis == self).map_or("", |(name, _)| name)
    }
}

impl std::str::FromStr for Basis {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let found = Self::ALL.iter().find(|(name, _)| *name == word);
        found.map(|(_, basis)| *basis).ok_or_else(|| {
            format!("basis `{word}` is not known; write share, absolute, invocation or second")
        })
    }
}
