//! The account of a process that is no more, out of its log.

use std::collections::HashMap;

use super::ledger::to_next_millisecond;
use super::share::Split;
use super::slots::{self, Kind, Slots};
use super::window::Window;
use crate::log::{
    Account, Clock, DeadLog, LEDGER_SLOTS, LoggedInvocation, OpenSpans, Outcome, Sample, SampleLog,
};
use crate::names::DefinitionKind;

const _: () = assert!(slots::SLOTS as usize == LEDGER_SLOTS);

/// Longest time that an invocation runs: Lambda's limit. No damaged note is billed for more.
const LONGEST: u64 = 900_000_000_000;

impl Slots for SampleLog {
    fn add(&self, slot: u32, nanos: u64) {
        self.ledger_add(slot, nanos);
    }

    fn note_open(&self, settled: u64, owners: &[u32]) {
        self.note_open_spans(&OpenSpans::new(settled, owners));
    }
}

/// What a dead process's sealed snapshot accounts for ([`DeadHalf::account`]), or a living
/// one's (`Sealed::account`) by the names of its own log. There is nothing of type `wall` in it.
///
/// [`DeadHalf::account`]: crate::log::DeadHalf
pub(crate) fn account_of_snapshot(account: &Account, dead: &DeadLog) -> Window {
    Window::of_slots(account.ledger.iter().copied(), &[], namer(dead))
}

/// What a dead process accounted for and had not sealed, with its last moments: an invocation
/// that was running goes on, with the owners it had, up to the last sample, or to its deadline
/// if Lambda killed it for that (`timed_out`). Of that time as much was on CPU as samples say.
///
/// Of several invocations running at once, the last moments of only one are counted. A process
/// killed while it settled, which takes about a microsecond every [`SETTLE_EVERY`], may have
/// told some of the time it settled twice.
///
/// [`SETTLE_EVERY`]: super::SETTLE_EVERY
pub(crate) fn account_of(dead: &DeadLog, timed_out: bool) -> Window {
    let mut grown: HashMap<u32, u64> = dead.account.ledger.iter().copied().collect();
    if let Some(open) = dead.notes.open_spans.filter(|open| !open.ids().is_empty()) {
        let until = end_of(dead, timed_out).max(open.at);
        add_last_moments(&mut grown, dead, &open, until);
        add_rounding(&mut grown, dead, until);
    }
    Window::of_slots(grown, &[], namer(dead))
}

fn add_last_moments(grown: &mut HashMap<u32, u64>, dead: &DeadLog, open: &OpenSpans, until: u64) {
    let wall = (until - open.at).min(LONGEST);
    let sampled = unsealed(dead).filter(|sample| sample.head.at > open.at);
    let cpu = sampled.fold(0, |sum: u64, sample| sum.saturating_add(sample.head.weight));
    let mut shares = Split::new(wall, open.ids().len() as u64);
    let mut on_cpu = Split::new(wall.min(cpu), wall);
    for path in open.ids() {
        let share = shares.next(1);
        let busy = on_cpu.next(share);
        // A damaged note may name paths that have no slots.
        let path = if *path < slots::MAX_PATHS { *path } else { 0 };
        add(grown, slots::slot(path, Kind::OnCpu), busy);
        add(grown, slots::slot(path, Kind::Waiting), share - busy);
    }
}

/// A killed invocation is billed in whole milliseconds like any other, the first with its init.
fn add_rounding(grown: &mut HashMap<u32, u64>, dead: &DeadLog, until: u64) {
    let running = |it: &LoggedInvocation| it.outcome == Outcome::Running;
    let Some(killed) = dead.notes.invocation.filter(running) else { return };
    let init = match killed.request {
        1 => grown.get(&slots::INIT).copied().unwrap_or(0),
        _ => 0,
    };
    let raw = until.saturating_sub(killed.began).min(LONGEST).saturating_add(init);
    let rounding = to_next_millisecond(raw);
    add(grown, slots::ROUNDED, rounding);
    add(grown, slots::BILLED, raw.saturating_add(rounding));
    add(grown, slots::INVOCATIONS, 1);
}

fn add(grown: &mut HashMap<u32, u64>, slot: u32, nanos: u64) {
    let sum = grown.entry(slot).or_default();
    *sum = sum.saturating_add(nanos);
}

/// When a dead process ended, on its monotonic clock, as far as the log can tell.
fn end_of(dead: &DeadLog, timed_out: bool) -> u64 {
    let deadline = dead.notes.invocation.filter(|_| timed_out).map(|it| it.deadline);
    let anchor = dead.notes.clocks.last().copied().unwrap_or(dead.header.started);
    match deadline {
        Some(deadline) => to_mono(deadline, anchor),
        None => unsealed(dead).map(|sample| sample.head.at).max().unwrap_or(0),
    }
}

/// Wall time on the monotonic scale, by an instant on both.
fn to_mono(wall: u64, anchor: Clock) -> u64 {
    match wall.checked_sub(anchor.wall) {
        Some(after) => anchor.mono.saturating_add(after),
        None => anchor.mono.saturating_sub(anchor.wall - wall),
    }
}

fn unsealed(dead: &DeadLog) -> impl Iterator<Item = &Sample> {
    dead.halves.iter().filter(|half| half.seq.is_none()).flat_map(|half| &half.samples)
}

/// What paths are called, by the log's own definitions.
fn namer(dead: &DeadLog) -> impl Fn(u32) -> String + '_ {
    let spans = dead.definitions.iter().filter(|it| it.kind == DefinitionKind::Span);
    let spans: HashMap<u32, (u32, &str)> =
        spans.map(|span| (span.id, (span.parent, span.text.as_str()))).collect();
    move |path| {
        let mut names = Vec::new();
        let mut at = path;
        while let Some((parent, name)) = spans.get(&at) {
            names.push(*name);
            // Parents are defined first, so this ends whatever the bytes say.
            if *parent >= at {
                break;
            }
            at = *parent;
        }
        names.reverse();
        names.join(";")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::billed::{Clock as Seam, Ledger};
    use crate::context::Context;
    use crate::log::{LogOptions, SampleHead, SampleKind, read};
    use crate::names::{self, Definition};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

    const MS: u64 = 1_000_000;

    #[derive(Clone, Default)]
    struct Hands(Arc<AtomicU64>);

    impl Seam for Hands {
        fn now(&self) -> u64 {
            self.0.load(Relaxed)
        }
        fn cpu(&self) -> u64 {
            0
        }
    }

    struct Scene {
        clock: Hands,
        log: &'static SampleLog,
        ledger: Ledger,
        _folder: tempfile::TempDir,
    }

    impl Scene {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let options = LogOptions { half_bytes: 4096, dictionary_bytes: 4096, period: 7 };
            let log: &SampleLog =
                Box::leak(Box::new(SampleLog::create(folder.path(), options).unwrap()));
            let clock = Hands::default();
            clock.0.store(1_000 * MS, Relaxed);
            let ledger = Ledger::new(clock.clone(), None);
            ledger.keep_in(log);
            Self { clock, log, ledger, _folder: folder }
        }

        fn pass(&self, nanos: u64) {
            self.clock.0.fetch_add(nanos, Relaxed);
        }

        /// Begins an invocation with a deadline a second off, and opens a span 5 ms later.
        fn begin(&self) {
            let began = self.clock.now();
            self.log.note_clock(Clock { wall: 70_000 * MS + began, mono: began });
            self.log.note_invocation(&LoggedInvocation {
                began,
                deadline: 71_000 * MS + began,
                request: 1,
                outcome: Outcome::Running,
            });
            self.ledger.invocation_began(began);
            self.pass(5 * MS);
            let span = self.ledger.open(None, "dead-span");
            let path = span.path();
            assert_eq!(names::path_of(path), ["dead-span"]);
            let text = "dead-span";
            self.log.define(&Definition { kind: DefinitionKind::Span, id: path, parent: 0, text });
            self.ledger.enter(1, Some(span));
            self.ledger.exit(1, Some(span), None);
        }

        fn sample(&self, weight: u64) {
            let (at, context) = (self.clock.now(), Context::default());
            let head = SampleHead { tid: 1, kind: SampleKind::Cpu, at, weight, context };
            assert!(self.log.append(head, &[1]));
        }

        fn dead(&self) -> DeadLog {
            read(&std::fs::read(self.log.path().unwrap()).unwrap()).unwrap()
        }
    }

    fn waiting(window: &Window, path: &str) -> (u64, u64) {
        let found = window.paths.iter().find(|known| known.path == path);
        found.map_or((0, 0), |time| (time.waiting, time.on_cpu))
    }

    #[test]
    fn a_killed_invocation_ends_with_its_last_sample() {
        let scene = Scene::new();
        scene.begin();
        scene.pass(30 * MS + 1);
        scene.sample(10 * MS);
        let window = account_of(&scene.dead(), false);
        assert_eq!(waiting(&window, ""), (5 * MS, 0));
        assert_eq!(waiting(&window, "dead-span"), (20 * MS + 1, 10 * MS));
        assert_eq!((window.rounded, window.total(), window.billed), (MS - 1, 36 * MS, 36 * MS));
        assert_eq!(window.invocations, 1);
    }

    #[test]
    fn a_timed_out_one_ends_at_its_deadline() {
        let scene = Scene::new();
        scene.begin();
        let window = account_of(&scene.dead(), true);
        assert_eq!(waiting(&window, "dead-span"), (995 * MS, 0));
        assert_eq!(window.total(), 1_000 * MS);
    }

    #[test]
    fn without_a_sample_the_last_moments_are_unknown() {
        let scene = Scene::new();
        scene.begin();
        assert_eq!(account_of(&scene.dead(), false).total(), 5 * MS);
    }

    #[test]
    fn between_invocations_nothing_is_billed_to_the_dead() {
        let scene = Scene::new();
        let began = scene.clock.now();
        let invocation = scene.ledger.invocation_began(began);
        scene.pass(3 * MS);
        scene.ledger.invocation_ended(invocation, scene.clock.now());
        scene.pass(3_600_000 * MS);
        scene.sample(MS);
        assert_eq!(account_of(&scene.dead(), true).total(), 3 * MS);
    }

    #[test]
    fn what_was_sealed_is_in_its_snapshot_and_nowhere_else() {
        let scene = Scene::new();
        scene.begin();
        scene.pass(10 * MS);
        scene.sample(MS);
        let (window, _sealed) = scene.ledger.take_window_and(|| scene.log.seal(4).unwrap());
        let dead = scene.dead();
        let half = dead.halves.iter().find(|half| half.seq == Some(4)).unwrap();
        let snapshot = account_of_snapshot(&half.account, &dead);
        assert_eq!((snapshot.total(), window.total()), (15 * MS, 15 * MS));
        assert_eq!(waiting(&snapshot, "dead-span"), waiting(&window, "dead-span"));
        scene.pass(2 * MS);
        scene.sample(0);
        let rest = account_of(&scene.dead(), false);
        assert_eq!((rest.total(), rest.billed), (2 * MS, 17 * MS), "the invocation took 17 ms");
    }
}
