//! What the heap profile costs and how right it is, in this machine's nanoseconds:
//! `cargo run --release -p profiler-sdk --example heap_cost`.
//!
//! A loop of nothing but allocations of 16 bytes to 16 KiB and frees, by the system's allocator
//! itself, through the wrapper switched off, and through the wrapper recording; turn about, so
//! that a busy machine is busy for all three.
#![allow(clippy::print_stdout)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::time::{Duration, Instant};

use profiler_sdk::{HeapRecorder, Recorder, SampledAlloc};

#[global_allocator]
static ALLOCATOR: SampledAlloc = SampledAlloc::system();

/// Blocks alive at a time.
const BLOCKS: usize = 82;

const TURNS: usize = 400;

/// Turns that do not count.
const SETTLING: usize = 50;

/// Passes of one turn: a fifth of a millisecond, so that many turns are not interrupted.
const PASSES: usize = 150;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let layouts = layouts();
    let (mut without, mut off, mut on) = (Times::new(), Times::new(), Times::new());
    // The allocator's own state settles first: what it costs depends on what it went through.
    for turn in 0..SETTLING + TURNS {
        if turn == SETTLING {
            [&mut without, &mut off, &mut on].into_iter().for_each(|times| times.0.clear());
        }
        without.add(time(&System, &layouts));
        off.add(time(&ALLOCATOR, &layouts));
        let _recorder = HeapRecorder::start()?;
        on.add(time(&ALLOCATOR, &layouts));
    }
    println!("ns per allocation and free, best and median of {TURNS} turns");
    for (name, times) in [("without", &mut without), ("off", &mut off), ("on", &mut on)] {
        println!("{name:>8} {:>7.1} {:>7.1}", times.best(), times.median());
    }
    let mut extra = |times: &mut Times| (times.best() - without.best(), times.median());
    let (off_best, off_median) = extra(&mut off);
    let (on_best, on_median) = extra(&mut on);
    let median = without.median();
    println!("     off {off_best:>+7.1} {:>+7.1}", off_median - median);
    println!("      on {on_best:>+7.1} {:>+7.1}", on_median - median);
    check(&layouts)
}

/// A hundred gigabytes against the truth, and what a collection takes.
fn check(layouts: &[Layout]) -> Result<(), Box<dyn std::error::Error>> {
    let pass: usize = layouts.iter().map(Layout::size).sum();
    let recorder = HeapRecorder::start()?;
    let passes = 100_000_000_000 / pass;
    for _ in 0..passes {
        run(&ALLOCATOR, layouts);
    }
    let began = Instant::now();
    let profile = recorder.collect().ok_or("nothing was recorded")?;
    let took = began.elapsed();
    let found: i64 = profile.sample.iter().filter_map(|sample| sample.value.get(1)).sum();
    let truth = (pass * passes) as f64;
    println!(
        "{:.1} GB allocated, told {:+.2} % of it more, by {} samples on {} stacks; one deviation \
         is {:.2} %",
        truth / 1e9,
        (found as f64 - truth) / truth * 100.0,
        recorder.report().samples,
        profile.sample.len(),
        (524_288.0 / truth).sqrt() * 100.0,
    );
    println!("collected in {:.0} µs", took.as_secs_f64() * 1e6);
    Ok(())
}

fn layouts() -> Vec<Layout> {
    let size = |block: usize| 16 << (block * 7 % 11);
    (0..BLOCKS).filter_map(|block| Layout::from_size_align(size(block), 8).ok()).collect()
}

fn time(allocator: &impl GlobalAlloc, layouts: &[Layout]) -> Duration {
    // A heap in use: a recorder has something to tell frees apart from.
    let kept = black_box([(); 200].map(|()| Vec::<u8>::with_capacity(512 << 10)));
    (0..PASSES).for_each(|_| run(allocator, layouts));
    let began = Instant::now();
    (0..PASSES).for_each(|_| run(allocator, layouts));
    let took = began.elapsed();
    drop(kept);
    took
}

#[inline(never)]
fn run(allocator: &impl GlobalAlloc, layouts: &[Layout]) {
    let mut blocks = [std::ptr::null_mut(); BLOCKS];
    for (block, layout) in blocks.iter_mut().zip(layouts) {
        // SAFETY: no layout is of size zero.
        *block = black_box(unsafe { allocator.alloc(*layout) });
    }
    for (block, layout) in blocks.iter().zip(layouts) {
        // SAFETY: allocated above, with the same layout and allocator.
        unsafe { allocator.dealloc(*block, *layout) };
    }
}

/// Durations of turns.
struct Times(Vec<Duration>);

impl Times {
    fn new() -> Self {
        Self(Vec::with_capacity(SETTLING + TURNS))
    }

    fn add(&mut self, turn: Duration) {
        self.0.push(turn);
    }

    fn best(&mut self) -> f64 {
        self.at(0)
    }

    fn median(&mut self) -> f64 {
        self.at(TURNS / 2)
    }

    fn at(&mut self, rank: usize) -> f64 {
        self.0.sort();
        self.0[rank].as_secs_f64() * 1e9 / (PASSES * BLOCKS) as f64
    }
}
