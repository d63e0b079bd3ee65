//! What a sample taken on this thread belongs to.
//!
//! Two small numbers in a thread-local cell: a set of labels and a path of spans, both interned
//! in [`names`](crate::names). A signal handler reads them without calling anything, so they
//! are exact at the very instruction that was interrupted.

use std::cell::Cell;

/// Ids of a label set and a span path; 0 is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) struct Context {
    pub(crate) labels: u32,
    pub(crate) span: u32,
}

thread_local! {
    // Const and without a destructor: an access is a plain load relative to the thread's
    // register, which is what makes it safe in a signal handler.
    static CURRENT: Cell<Context> = const { Cell::new(Context { labels: 0, span: 0 }) };
}

/// The context of this thread. Async-signal-safe.
#[inline]
pub(crate) fn current() -> Context {
    CURRENT.with(Cell::get)
}

/// Sets the label set; gives the one before.
#[inline]
pub(crate) fn set_labels(labels: u32) -> u32 {
    CURRENT.with(|cell| {
        let before = cell.get();
        cell.set(Context { labels, ..before });
        before.labels
    })
}

/// Sets the span path; gives the one before.
#[cfg_attr(not(feature = "spans"), allow(dead_code))]
#[inline]
pub(crate) fn set_span(span: u32) -> u32 {
    CURRENT.with(|cell| {
        let before = cell.get();
        cell.set(Context { span, ..before });
        before.span
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_halves_are_set_apart_and_per_thread() {
        assert_eq!(current(), Context::default());
        assert_eq!((set_labels(3), set_span(4)), (0, 0));
        assert_eq!(current(), Context { labels: 3, span: 4 });
        let elsewhere = std::thread::spawn(current).join();
        assert_eq!(elsewhere.ok(), Some(Context::default()));
        assert_eq!((set_labels(0), set_span(0)), (3, 4));
    }
}
