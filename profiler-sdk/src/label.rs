//! Labels on samples, carried by the stack itself.
//!
//! The sampler of the first engine keeps a stack as its sequence of *functions*, and nothing
//! else of the moment. So a label travels as functions: [`label_scope`] calls its closure
//! through three marker functions, whose addresses spell the label's number in base 16.
//! The engine finds the markers when it reads a stack, and takes them out again.
//!
//! This needs no help from the signal handler, follows the stack through nesting, panics and
//! threads by itself, and costs three calls. Its limits: at most [`MAX_LABELS`] different
//! key-value pairs in the life of a process, and stacks deeper than the engine's limit (128
//! frames) lose their outermost frames, with them the labels of outer scopes.

use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::hint::black_box;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{LazyLock, Mutex, PoisonError};

/// Most different key-value pairs one process can use; scopes of further pairs run without
/// their label.
pub const MAX_LABELS: usize = RADIX.pow(DIGITS as u32);

/// This file as debug information names it, and functions in it where only symbols do: frames
/// of scopes themselves, which are left out of stacks. With line tables alone names come bare.
const OWN_FILE: &str = file!();
const OWN_NAMES: &str = concat!(module_path!(), "::");

const RADIX: usize = 16;
const DIGITS: usize = 3;

/// Whether anybody looks at labels; without that a scope is a plain call.
static WANTED: AtomicBool = AtomicBool::new(false);
static REFUSED: AtomicU64 = AtomicU64::new(0);
static NUMBERS: LazyLock<Mutex<Numbers>> = LazyLock::new(Mutex::default);

/// Runs `body`; samples taken meanwhile on this thread carry the label `key=value`.
///
/// Scopes nest: all their labels hold, and of one key the innermost. Threads and tasks that
/// `body` starts do not inherit them. The values of a key should be few (see [`MAX_LABELS`]):
/// an operation or a tenant class, never a request id.
///
/// ```
/// let sum: u64 = profiler_sdk::label_scope("function", "fast", || (0..100).sum());
/// assert_eq!(sum, 4950);
/// ```
pub fn label_scope<R>(key: &str, value: &str, body: impl FnOnce() -> R) -> R {
    match number_of(key, value) {
        Some(number) => marked(number, body),
        None => body(),
    }
}

/// Runs `future`; samples taken while it is polled carry the label `key=value`.
///
/// The asynchronous form of [`label_scope`]: the label is there on whatever thread the task is
/// polled, and not on other tasks in between.
pub async fn label_future<F: Future>(key: &str, value: &str, future: F) -> F::Output {
    let mut future = pin!(future);
    let number = number_of(key, value);
    poll_fn(|context| match number {
        Some(number) => marked(number, || future.as_mut().poll(context)),
        None => future.as_mut().poll(context),
    })
    .await
}

/// Whether a line of code belongs to the machinery of scopes.
pub(crate) fn is_own(name: &str, file: &str) -> bool {
    file.ends_with(OWN_FILE) || name.starts_with(OWN_NAMES)
}

/// Switches labels on or off for the whole process.
pub(crate) fn want_labels(wanted: bool) {
    let tellable =
        || MARKERS.iter().flatten().map(address).collect::<std::collections::HashSet<_>>();
    // A linker that folds equal functions could make markers one; ours differ, but then
    // labels would be wrong, and none are better.
    WANTED.store(wanted && tellable().len() == RADIX * DIGITS, Relaxed);
}

/// How many scopes ran without their label because [`MAX_LABELS`] was reached.
pub(crate) fn refused_labels() -> u64 {
    REFUSED.load(Relaxed)
}

#[derive(Default)]
struct Numbers {
    by_key: HashMap<String, HashMap<String, u16>>,
    pairs: Vec<(String, String)>,
}

fn number_of(key: &str, value: &str) -> Option<u16> {
    if !WANTED.load(Relaxed) {
        return None;
    }
    let mut numbers = NUMBERS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(number) = numbers.by_key.get(key).and_then(|values| values.get(value)) {
        return Some(*number);
    }
    if numbers.pairs.len() >= MAX_LABELS {
        REFUSED.fetch_add(1, Relaxed);
        return None;
    }
    let number = u16::try_from(numbers.pairs.len()).ok()?;
    numbers.pairs.push((key.to_owned(), value.to_owned()));
    numbers.by_key.entry(key.to_owned()).or_default().insert(value.to_owned(), number);
    Some(number)
}

fn pair_of(number: u16) -> Option<(String, String)> {
    let numbers = NUMBERS.lock().unwrap_or_else(PoisonError::into_inner);
    numbers.pairs.get(usize::from(number)).cloned()
}

type Marker = fn(u16, &mut dyn FnMut());

static MARKERS: [[Marker; RADIX]; DIGITS] = [markers::<0>(), markers::<1>(), markers::<2>()];

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
fn marker<const DIGIT: usize, const VALUE: usize>(number: u16, body: &mut dyn FnMut()) {
    match MARKERS.get(DIGIT + 1) {
        Some(next) => next[digit(number, DIGIT + 1)](number, body),
        None => body(),
    }
    black_box((DIGIT, VALUE));
}

fn marked<R>(number: u16, body: impl FnOnce() -> R) -> R {
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

fn digit(number: u16, index: usize) -> usize {
    usize::from(number) / RADIX.pow((DIGITS - 1 - index) as u32) % RADIX
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

    /// The labels spelled by a stack's functions, which come leaf first; sorted by key, one
    /// value per key, the innermost.
    pub(crate) fn labels(&self, functions: impl Iterator<Item = usize>) -> Vec<(String, String)> {
        let mut labels: Vec<(String, String)> = Vec::new();
        let mut number = 0;
        for (index, value) in functions.filter_map(|address| self.0.get(&address).copied()) {
            number += value * RADIX.pow((DIGITS - 1 - index) as u32);
            if index > 0 {
                continue;
            }
            let pair = u16::try_from(number).ok().and_then(pair_of);
            labels.extend(pair.filter(|(key, _)| labels.iter().all(|(known, _)| known != key)));
            number = 0;
        }
        labels.sort();
        labels
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn spelled(number: u16) -> Vec<usize> {
        let inner_first = (0..DIGITS).rev();
        inner_first.map(|index| address(&MARKERS[index][digit(number, index)])).collect()
    }

    #[test]
    fn numbers_are_spelled_and_read() {
        want_labels(true);
        let map = MarkerMap::new();
        for index in 0..40 {
            number_of("spelled", &index.to_string()).unwrap();
        }
        for index in [0, 1, 15, 16, 17, 39] {
            let value = index.to_string();
            let number = number_of("spelled", &value).unwrap();
            let stack = spelled(number);
            let found = map.labels(stack.into_iter());
            assert_eq!(found, [("spelled".to_owned(), value)]);
        }
    }

    #[test]
    fn the_innermost_value_of_a_key_holds() {
        want_labels(true);
        let number = |key, value| number_of(key, value).unwrap();
        let inner = spelled(number("inner-key", "b"));
        let outer = spelled(number("inner-key", "a"));
        let other = spelled(number("other-key", "c"));
        let other_function = [digit as fn(u16, usize) -> usize as usize];
        let stack = [&inner[..], &other_function, &other, &outer].concat();
        let found = MarkerMap::new().labels(stack.into_iter());
        let expected = [("inner-key", "b"), ("other-key", "c")];
        assert_eq!(found, expected.map(|(k, v)| (k.to_owned(), v.to_owned())));
    }

    #[test]
    fn a_scope_gives_its_bodys_result_and_passes_its_panic() {
        want_labels(true);
        assert_eq!(label_scope("k", "v", || label_scope("k", "w", || 7)), 7);
        let panicked = std::panic::catch_unwind(|| label_scope("k", "v", || panic!("through")));
        assert!(panicked.is_err());
    }
}
