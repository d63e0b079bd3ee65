//! The stack of whoever called, where the SDK knows how to walk it.

use crate::context::Context;
use crate::heap::stacks::MAX_DEPTH;
use crate::names;

/// A stack, leaf first: return addresses.
pub(crate) struct Stack {
    frames: [u64; MAX_DEPTH],
    len: usize,
}

impl Stack {
    /// The stack above the caller. Allocates nothing, takes no lock.
    #[inline(always)]
    pub(crate) fn here() -> Self {
        let mut stack = Self { frames: [0; MAX_DEPTH], len: 0 };
        stack.len = walk_here(&mut stack.frames).min(MAX_DEPTH);
        stack
    }

    /// The frames but the innermost, which is that of the function that asked; without one
    /// there is nothing above it.
    pub(crate) fn callers(&self) -> &[u64] {
        self.frames.get(1..self.len).unwrap_or_default()
    }
}

/// The labels of what was recorded in a context, as a CPU sample has them: its own, and the
/// path of spans as `span`.
pub(crate) fn labels(context: Context) -> Vec<(String, String)> {
    let mut labels = names::labels_of(context.labels);
    let span = names::path_of(context.span).join(";");
    if !span.is_empty() {
        labels.push(("span".to_owned(), span));
    }
    labels
}

#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
use crate::cpu::unwind::walk_here;

/// Gets what stacks are walked by, also where nobody samples the CPU. Until it is there, which
/// takes some milliseconds on a thread of its own, they go as far as frame pointers do.
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(crate) fn prepare() {
    if let Err(error) = crate::cpu::prepare::begin() {
        tracing::warn!(%error, "stacks will end where frame pointers do");
    }
}

/// Elsewhere stacks are empty; sums still are right.
#[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
fn walk_here(_out: &mut [u64]) -> usize {
    0
}

#[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
pub(crate) fn prepare() {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_is_its_labels_and_its_spans() {
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let labels_id = names::label_set(0, &[("stack-of", "me")]);
        let span = names::span_path(names::span_path(0, "stack-outer"), "stack-inner");
        let context = Context { labels: labels_id, span };
        let spans = pair("span", "stack-outer;stack-inner");
        assert_eq!(labels(context), [pair("stack-of", "me"), spans]);
        assert_eq!(labels(Context::default()), []);
    }
}
