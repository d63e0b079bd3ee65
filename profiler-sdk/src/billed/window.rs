//! What a stretch of time was billed for.

use std::collections::BTreeMap;

use super::slots::{self, Kind};

/// The account of a window: each billed nanosecond in exactly one field.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Window {
    /// Inside invocations, by the path of spans.
    pub paths: Vec<PathTime>,
    /// From the process's start to the end of the init phase.
    pub init: u64,
    /// Between answers and the end of the flushes behind them.
    pub flush: u64,
    /// From nanoseconds to whole milliseconds.
    pub rounded: u64,
    /// Billed beyond what the process saw of itself; see [`Window::with_report`].
    pub extension: u64,
    /// Invocations whose account was closed in this window.
    pub invocations: u64,
    /// What those were billed, whole milliseconds each, with their init and flush. A window
    /// that cuts through an invocation has its parts before this counts it.
    pub billed: u64,
}

/// What happened on one path of spans, in nanoseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PathTime {
    /// Span names, outermost first, with `;` between them; empty for the invocation itself.
    pub path: String,
    /// Billed, and off the CPU.
    pub waiting: u64,
    /// Billed, and on it.
    pub on_cpu: u64,
    /// Spans that began.
    pub spans: u64,
    /// Time of threads inside, without spans further in; two threads count twice.
    pub busy: u64,
    /// Time in no thread, without spans below; two spans at once count twice.
    pub idle: u64,
}

/// What a window's spans did, by path; without what was billed.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct WallTime {
    pub(super) spans: u64,
    pub(super) busy: u64,
    pub(super) idle: u64,
}

impl Window {
    /// A window of slots and by how much each grew; others than ours are passed over.
    pub(super) fn of_slots(
        grown: impl IntoIterator<Item = (u32, u64)>,
        wall: &[WallTime],
        name: impl Fn(u32) -> String,
    ) -> Window {
        let mut window = Window::default();
        let mut paths: BTreeMap<u32, PathTime> = BTreeMap::new();
        for (slot, nanos) in grown.into_iter().filter(|(_, nanos)| *nanos > 0) {
            match (slot, slots::path_of(slot)) {
                (slots::INVOCATIONS, _) => window.invocations += nanos,
                (slots::BILLED, _) => window.billed += nanos,
                (slots::INIT, _) => window.init += nanos,
                (slots::FLUSH, _) => window.flush += nanos,
                (slots::ROUNDED, _) => window.rounded += nanos,
                (_, Some((path, Kind::Waiting))) => paths.entry(path).or_default().waiting += nanos,
                (_, Some((path, Kind::OnCpu))) => paths.entry(path).or_default().on_cpu += nanos,
                _ => {}
            }
        }
        for (path, wall) in (0..).zip(wall) {
            let WallTime { spans, busy, idle } = *wall;
            if (spans, busy, idle) != (0, 0, 0) {
                let known = paths.entry(path).or_default();
                (known.spans, known.busy, known.idle) = (spans, busy, idle);
            }
        }
        let named = paths.into_iter().map(|(id, time)| PathTime { path: name(id), ..time });
        window.paths = named.collect();
        window
    }

    /// Time on CPU inside invocations: what CPU samples are scaled to.
    pub fn pool(&self) -> u64 {
        self.paths.iter().map(|path| path.on_cpu).sum()
    }

    /// All of the account, in nanoseconds. Over windows that cut through no invocation it is
    /// [`billed`](Self::billed); times memory times price it is dollars.
    pub fn total(&self) -> u64 {
        let inside: u64 = self.paths.iter().map(|path| path.waiting + path.on_cpu).sum();
        inside + self.init + self.flush + self.rounded + self.extension
    }

    /// What Lambda itself says that this window's invocations were billed (`billedDurationMs`
    /// of its `platform.report`s, as nanoseconds). What exceeds our account is time that
    /// extensions took; less than our account changes nothing.
    #[must_use]
    pub fn with_report(mut self, billed: u64) -> Window {
        let own = self.total() - self.extension;
        self.extension = billed.saturating_sub(own);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_adds_what_the_process_cannot_see() {
        let window = Window { init: 5, rounded: 2, ..Window::default() };
        assert_eq!(window.clone().with_report(10).total(), 10);
        assert_eq!(window.clone().with_report(10).with_report(9).extension, 2);
        assert_eq!(window.with_report(3).total(), 7);
    }

    #[test]
    fn nonsense_slots_are_passed_over() {
        let grown = [(9, 5), (u32::MAX, 5), (slots::INIT, 1), (slots::slot(3, Kind::OnCpu), 4)];
        let window = Window::of_slots(grown, &[], |id| id.to_string());
        assert_eq!((window.total(), window.pool()), (5, 4));
        assert_eq!(window.paths[0].path, "3");
    }
}
