//! Labels for a sampler that keeps nothing but a stack.
//!
//! The `pprof` crate keeps a stack as its sequence of *functions*, and nothing else of the
//! moment. So a label set travels as functions: a scope calls its body through four marker
//! functions, whose addresses spell the set's number in base 16. The backend finds the markers
//! when it reads a stack, and takes them out again.
//!
//! Stacks deeper than the crate's limit (128 frames) lose their outermost frames, with them the
//! labels of outer scopes.

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use crate::names;

/// This file and the one of scopes as debug information names them, and functions in them where
/// only symbols do: frames of scopes themselves, which are left out of stacks. With line tables
/// alone names come bare.
const OWN_FILES: [&str; 2] = [file!(), "profiler-sdk/src/tags.rs"];
const OWN_NAMES: [&str; 2] = [concat!(module_path!(), "::"), "profiler_sdk::tags::"];

const RADIX: usize = 16;
const DIGITS: usize = 4;
const _: () = assert!(names::MAX_NAMES < RADIX.pow(DIGITS as u32));

/// Whether anybody looks at labels; without that a scope is a plain call.
static WANTED: AtomicBool = AtomicBool::new(false);

/// Whether a line of code belongs to the machinery of scopes.
pub(super) fn is_own(name: &str, file: &str) -> bool {
    OWN_FILES.iter().any(|own| file.ends_with(own))
        || OWN_NAMES.iter().any(|own| name.starts_with(own))
}

/// Switches labels on or off for the whole process.
pub(super) fn want_labels(wanted: bool) {
    let tellable =
        || MARKERS.iter().flatten().map(address).collect::<std::collections::HashSet<_>>();
    // A linker that folds equal functions could make markers one; ours differ, but then
    // labels would be wrong, and none are better.
    WANTED.store(wanted && tellable().len() == RADIX * DIGITS, Relaxed);
}

type Marker = fn(u32, &mut dyn FnMut());

static MARKERS: [[Marker; RADIX]; DIGITS] =
    [markers::<0>(), markers::<1>(), markers::<2>(), markers::<3>()];

const fn markers<const DIGIT: usize>() -> [Marker; RADIX] {
    [
        marker::<DIGIT, 0>,
        marker::<DIGIT, 1>,
        marker::<DIGIT, 2>,
        marker::<DIGIT, 3>,
        marker::<DIGIT, 4>,
        marker::<DIGIT, 5>,
        marker::<DIGIT, 6>,
        marker::<DIGIT, 7>,
        marker::<DIGIT, 8>,
        marker::<DIGIT, 9>,
        marker::<DIGIT, 10>,
        marker::<DIGIT, 11>,
        marker::<DIGIT, 12>,
        marker::<DIGIT, 13>,
        marker::<DIGIT, 14>,
        marker::<DIGIT, 15>,
    ]
}

/// One digit of a label's number, the most significant outermost.
///
/// What follows the call keeps it from becoming a jump, and one marker's code from being
/// folded into another's.
#[inline(never)]
fn marker<const DIGIT: usize, const VALUE: usize>(number: u32, body: &mut dyn FnMut()) {
    match MARKERS.get(DIGIT + 1) {
        Some(next) => next[digit(number, DIGIT + 1)](number, body),
        None => body(),
    }
    black_box((DIGIT, VALUE));
}

/// Runs `body` with the marks of a label set on its stack, while anybody wants them.
pub(crate) fn marked<R>(number: u32, body: impl FnOnce() -> R) -> R {
    if !WANTED.load(Relaxed) {
        return body();
    }
    let mut body = Some(body);
    let mut result = None;
    let mut once = || {
        if let Some(body) = body.take() {
            result = Some(body());
        }
    };
    MARKERS[0][digit(number, 0)](number, &mut once);
    match result {
        Some(result) => result,
        None => unreachable!("the last marker calls its body once"),
    }
}

fn digit(number: u32, index: usize) -> usize {
    number as usize / RADIX.pow((DIGITS - 1 - index) as u32) % RADIX
}

fn address(marker: &Marker) -> usize {
    *marker as usize
}

/// Tells markers from other functions by their addresses.
pub(crate) struct MarkerMap(HashMap<usize, (usize, usize)>);

impl MarkerMap {
    pub(crate) fn new() -> Self {
        let digits = MARKERS.iter().enumerate();
        let all = digits.flat_map(|(index, values)| {
            let spelled = move |(value, marker)| (address(marker), (index, value));
            values.iter().enumerate().map(spelled)
        });
        Self(all.collect())
    }

    /// Whether the function at `address` is a marker.
    pub(crate) fn contains(&self, address: usize) -> bool {
        self.0.contains_key(&address)
    }

    /// The labels spelled by a stack's functions, which come leaf first: those of the innermost
    /// scope, which holds the outer ones' too.
    pub(crate) fn labels(&self, functions: impl Iterator<Item = usize>) -> Vec<(String, String)> {
        let mut number = 0;
        for (index, value) in functions.filter_map(|address| self.0.get(&address).copied()) {
            number += value * RADIX.pow((DIGITS - 1 - index) as u32);
            if index == 0 {
                return u32::try_from(number).map(names::labels_of).unwrap_or_default();
            }
        }
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn spelled(number: u32) -> Vec<usize> {
        let inner_first = (0..DIGITS).rev();
        inner_first.map(|index| address(&MARKERS[index][digit(number, index)])).collect()
    }

    #[test]
    fn numbers_are_spelled_and_read() {
        let map = MarkerMap::new();
        for index in 0..40 {
            let value = index.to_string();
            let number = names::label_set(0, &[("spelled", &value)]);
            let found = map.labels(spelled(number).into_iter());
            assert_eq!(found, [("spelled".to_owned(), value)]);
        }
    }

    #[test]
    fn the_innermost_scope_holds() {
        let outer = names::label_set(0, &[("inner-key", "a"), ("other-key", "c")]);
        let inner = names::label_set(outer, &[("inner-key", "b")]);
        let other_function = [digit as fn(u32, usize) -> usize as usize];
        let stack = [&spelled(inner)[..], &other_function, &spelled(outer)].concat();
        let found = MarkerMap::new().labels(stack.into_iter());
        let expected = [("inner-key", "b"), ("other-key", "c")];
        assert_eq!(found, expected.map(|(k, v)| (k.to_owned(), v.to_owned())));
    }

    #[test]
    fn a_marked_body_gives_its_result_and_passes_its_panic() {
        want_labels(true);
        assert_eq!(marked(1, || marked(2, || 7)), 7);
        let panicked = std::panic::catch_unwind(|| marked(3, || panic!("through")));
        assert!(panicked.is_err());
    }
}
