//! google/pprof judges Flambeau: over every file of the corpus and over
//! generated odd profiles. `FLAMBEAU_ORACLE_CASES` says how many cases each
//! generated test runs, `FLAMBEAU_ORACLE_SEED` where to begin.
//!
//! What may differ, and is allowed for here: the time of a merge (pprof lets a
//! zero reset it), sums beyond 64 bits (pprof wraps), names that are not UTF-8
//! (Flambeau spells them out), names beyond Flambeau's limit, and gzip with
//! reserved flags (Flambeau refuses it, as its RFC says). Where pprof's
//! result hangs on the order of inputs, its answer for Flambeau's order counts.
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

mod compare;
mod corpus;
mod damage;
mod diffing;
mod filtering;
mod generate;
mod judge;
mod merging;
mod spell;

use flambeau_profile::Limits;

/// The usual limits, but names of the corpus are not cut.
pub fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.name_bytes = 1 << 20;
    limits
}

/// How many generated cases each test runs.
pub fn cases() -> u64 {
    number("FLAMBEAU_ORACLE_CASES", 500)
}

/// The seed of a test's case.
pub fn seed(test: u64, case: u64) -> u64 {
    number("FLAMBEAU_ORACLE_SEED", 1)
        .wrapping_mul(1_000_003)
        .wrapping_add(test << 48)
        .wrapping_add(case)
}

fn number(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text:?}")),
        Err(_) => default,
    }
}
