//! A day of one environment, in simulated time: it freezes, thaws, and its clock jumps.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use profiler_sdk::billed::{Ledger, Window};
use tracing::{Instrument, debug_span, info_span};
use tracing_subscriber::{Layer, Registry, layer::SubscriberExt};

use super::{Hands, MS, ledger};

const SECOND: u64 = 1_000 * MS;
const HOUR: u64 = 3_600 * SECOND;

/// Counts what this thread holds, so that other tests do not matter.
struct Counting;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
}

fn hold(bytes: isize) {
    let _ = HELD.try_with(|held| held.set(held.get() + bytes));
}

// SAFETY: hands everything to the system's allocator, and only counts.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        hold(layout.size() as isize);
        // SAFETY: the caller's own promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        hold(-(layout.size() as isize));
        // SAFETY: the caller's own promise.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A small generator of its own: the day is the same each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

/// Polls `wait` once per await point; the test's clock is all that passes.
async fn turn() {
    tokio::task::yield_now().await;
}

async fn invocation(clock: &Hands, dice: &mut Dice) {
    clock.compute(dice.below(3 * MS));
    debug_span!("day-parse").in_scope(|| clock.compute(dice.below(8 * MS)));
    let call = |name: bool| async move {
        turn().await;
        turn().await;
        name
    };
    tokio::join!(
        call(true).instrument(debug_span!("day-get")),
        async {
            turn().await;
            clock.wait(dice.below(400 * MS));
        },
        call(false).instrument(debug_span!("day-put")),
    );
    debug_span!("day-blocked").in_scope(|| clock.wait(dice.below(50 * MS)));
}

struct Day {
    clock: Hands,
    ledger: &'static Ledger,
    dice: Dice,
    billed: u64,
    invocations: u64,
    /// What the invocations closed since the last window were billed, in order.
    since_window: Vec<u64>,
}

impl Day {
    fn run_one(&mut self) {
        let began = self.ledger.now();
        let id = self.ledger.invocation_began(began);
        let handler = invocation(&self.clock, &mut self.dice).instrument(info_span!("day-handler"));
        futures::executor::block_on(handler);
        let raw = self.ledger.now() - began;
        let billed = self.ledger.invocation_ended(id, self.ledger.now());
        assert_eq!(billed, raw.next_multiple_of(MS));
        self.invocations += 1;
        let flush = self.flush();
        let billed = (raw + flush).next_multiple_of(MS);
        self.billed += billed;
        self.since_window.push(billed);
    }

    /// Behind one answer in seven; its time.
    fn flush(&mut self) -> u64 {
        if self.dice.below(7) > 0 {
            return 0;
        }
        let began = self.ledger.now();
        self.ledger.flush_began(began);
        self.clock.compute(self.dice.below(5 * MS));
        self.clock.wait(self.dice.below(60 * MS));
        self.ledger.flush_ended(self.ledger.now());
        self.ledger.now() - began
    }

    /// The environment is frozen; its clock goes on, or stands still, or jumps by an hour.
    fn freeze(&mut self) {
        match self.dice.below(10) {
            0 => {}
            1 => self.clock.set(self.ledger.now() + HOUR),
            2 => self.clock.set(self.ledger.now() - HOUR),
            _ => self.clock.wait(self.dice.below(60 * SECOND)),
        }
    }

    fn window(&mut self) -> Window {
        let window = self.ledger.take_window();
        assert_eq!(window.total(), window.billed);
        assert_eq!(
            window.billed,
            self.since_window.drain(..).sum::<u64>(),
            "its own and no other's"
        );
        window
    }
}

#[test]
fn a_day_sums_exactly_and_leaves_nothing_behind() {
    let (clock, ledger) = ledger();
    let layer =
        profiler_sdk::SpanLayer::new(ledger).with_filter(profiler_sdk::SpanFilter::default());
    let dispatch = tracing::Dispatch::new(Registry::default().with(layer));
    let mut day = Day {
        clock,
        ledger,
        dice: Dice(7),
        billed: 0,
        invocations: 0,
        since_window: Vec::with_capacity(1_000),
    };
    // Time outside the environment, which its own clock does not tell.
    let (mut passed, mut told, mut paths) = (0, 0, 0);
    let mut held = Vec::with_capacity(24);
    let _guard = tracing::dispatcher::set_default(&dispatch);
    for hour in 1..=24 {
        while passed < hour * HOUR {
            for _ in 0..30 {
                day.run_one();
                day.freeze();
                passed += 10 * SECOND;
            }
            let window = day.window();
            told += window.total();
            paths = window.paths.len().max(paths);
        }
        held.push(HELD.get());
    }
    assert_eq!((day.invocations, told), (24 * 360, day.billed));
    assert_eq!((paths, ledger.open_spans()), (5, 0), "the handler and four below");
    assert!(held[1..].iter().all(|bytes: &isize| *bytes == held[1]), "{held:?}");
}
