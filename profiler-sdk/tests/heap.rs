//! The heap profile against an allocator beneath it that counts everything.
#![cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
#![allow(clippy::unwrap_used)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::RefCell;
use std::hint::black_box;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Barrier, Mutex, MutexGuard, Once, PoisonError};
use std::time::{Duration, Instant};

use flambeau_profile::Temporality;
use flambeau_profile::proto::Profile;
use profiler_sdk::{HeapError, HeapRecorder, Recorder, SampledAlloc, label_scope};

const PATIENCE: Duration = Duration::from_secs(60);

/// Bytes per sample.
const PERIOD: f64 = 524_288.0;

#[global_allocator]
static ALLOCATOR: SampledAlloc<Counting> = SampledAlloc::new(Counting);

/// The system's allocator, counting.
struct Counting;

static ALLOCATED: Truth = Truth::new();
static FREED: Truth = Truth::new();

/// A size that nobody else asks for.
const REFUSED: usize = 64 << 20;

/// Lets resizes to [`REFUSED`] fail.
static REFUSES: AtomicBool = AtomicBool::new(false);

/// Sums over blocks; the last two are variances of estimates, see [`Truth::add`].
struct Truth {
    objects: AtomicU64,
    bytes: AtomicU64,
    objects_variance: AtomicU64,
    bytes_variance: AtomicU64,
}

#[derive(Debug, Clone, Copy)]
struct Sums {
    objects: f64,
    bytes: f64,
    objects_variance: f64,
    bytes_variance: f64,
}

impl Truth {
    const fn new() -> Self {
        Self {
            objects: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            objects_variance: AtomicU64::new(0),
            bytes_variance: AtomicU64::new(0),
        }
    }

    /// A block that is sampled with probability p and then counts 1/p has the variance
    /// (1 - p) / p.
    fn add(&self, size: usize) {
        let odds = 1.0 / (size as f64 / PERIOD).exp_m1();
        self.objects.fetch_add(1, Relaxed);
        self.bytes.fetch_add(size as u64, Relaxed);
        self.objects_variance.fetch_add(odds as u64 + 1, Relaxed);
        self.bytes_variance.fetch_add((odds * (size as f64).powi(2)) as u64 + 1, Relaxed);
    }

    fn get(&self) -> Sums {
        let get = |sum: &AtomicU64| sum.load(Relaxed) as f64;
        Sums {
            objects: get(&self.objects),
            bytes: get(&self.bytes),
            objects_variance: get(&self.objects_variance),
            bytes_variance: get(&self.bytes_variance),
        }
    }
}

impl std::ops::Sub for Sums {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self {
            objects: self.objects - other.objects,
            bytes: self.bytes - other.bytes,
            objects_variance: self.objects_variance - other.objects_variance,
            bytes_variance: self.bytes_variance - other.bytes_variance,
        }
    }
}

// SAFETY: every call goes to the system's allocator as it is; a refused resize leaves the
// block as it was.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATED.add(layout.size());
        // SAFETY: the caller's promises, passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        ALLOCATED.add(layout.size());
        // SAFETY: the caller's promises, passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        FREED.add(layout.size());
        // SAFETY: the caller's promises, passed on.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if size == REFUSED && REFUSES.load(Relaxed) {
            return std::ptr::null_mut();
        }
        FREED.add(layout.size());
        ALLOCATED.add(size);
        // SAFETY: the caller's promises, passed on.
        unsafe { System.realloc(block, layout, size) }
    }
}

/// One recorder at a time.
static TURN: Mutex<()> = Mutex::new(());

/// The first recorder of a process has unwind tables built, on a thread that allocates too.
static SETTLED: Once = Once::new();

fn start() -> (MutexGuard<'static, ()>, HeapRecorder) {
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    SETTLED.call_once(|| assert!(stacks_are_whole(&HeapRecorder::start().unwrap())));
    (turn, HeapRecorder::start().unwrap())
}

/// Whether stacks lead to who allocated, soon.
fn stacks_are_whole(recorder: &HeapRecorder) -> bool {
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        drop(calls());
        if leads_through(&recorder.collect().unwrap(), &[allocates, calls]) {
            return true;
        }
    }
    false
}

/// Sums over the samples that `is_meant`: alloc objects and space, inuse objects and space.
fn sums_of(profile: &Profile, is_meant: impl Fn(&[(String, String)]) -> bool) -> [f64; 4] {
    let text = |id: i64| profile.string_table[usize::try_from(id).unwrap()].clone();
    let mut sums = [0.0; 4];
    for sample in &profile.sample {
        let labels: Vec<_> =
            sample.label.iter().map(|label| (text(label.key), text(label.str))).collect();
        if is_meant(&labels) {
            sums.iter_mut().zip(&sample.value).for_each(|(sum, value)| *sum += *value as f64);
        }
    }
    sums
}

fn sums(recorder: &HeapRecorder) -> [f64; 4] {
    recorder.collect().map_or([0.0; 4], |profile| sums_of(&profile, |_| true))
}

/// Five standard deviations, and what little the test's own surroundings allocate.
fn assert_near(what: &str, found: f64, truth: f64, variance: f64) {
    let bound = 5.0 * (variance + 4.0 * PERIOD.powi(2)).sqrt();
    let off = (found - truth) / truth * 100.0;
    assert!((found - truth).abs() < bound, "{what}: {found} for {truth}, off {off:.2} %");
}

/// Sizes from 16 bytes to 16 KiB, many small ones, and now and then 1 MiB.
fn size(turn: u64) -> usize {
    let mixed = turn.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33;
    match mixed % 4_096 {
        0 => 1 << 20,
        some => 16 << (some % 11),
    }
}

#[test]
fn totals_are_those_of_the_allocator_beneath() {
    let (_turn, recorder) = start();
    let (allocated, freed) = (ALLOCATED.get(), FREED.get());
    let work = |thread: u64| {
        let mut kept = Vec::new();
        for turn in 0..400_000 {
            let block = black_box(vec![0_u8; size(turn * 4 + thread)]);
            if turn % 13 == 0 {
                kept.push(block);
            }
        }
        kept
    };
    let kept: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|thread| scope.spawn(move || work(thread))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let allocated = ALLOCATED.get() - allocated;
    let alive = allocated - (FREED.get() - freed);
    assert!(allocated.bytes > 3e9 && alive.bytes > 2e8, "{allocated:?} {alive:?}");
    // What was alive is subtracted of what was allocated, but each block's variance counts
    // once: those still alive are a part of all.
    let found = sums(&recorder);
    assert_near("alloc_space", found[1], allocated.bytes, allocated.bytes_variance);
    assert_near("inuse_space", found[3], alive.bytes, alive.bytes_variance);
    assert_near("inuse_objects", found[2], alive.objects, alive.objects_variance);
    // Objects are dominated by the smallest, of which one sample stands for 32 768.
    let bound = 5.0 * (allocated.objects_variance + 2.0 * (PERIOD / 8.0).powi(2)).sqrt();
    assert!((found[0] - allocated.objects).abs() < bound, "{found:?} {allocated:?}");
    drop(kept);
    let [_, alloc_space, inuse_objects, inuse_space] = sums(&recorder);
    assert!(inuse_space < 16.0 * PERIOD, "{inuse_space} in {inuse_objects} are left");
    assert!(alloc_space < 16.0 * PERIOD, "{alloc_space} is told twice");
    assert_eq!((recorder.report().unkept, recorder.report().stackless), (0, 0));
}

#[test]
fn resizes_are_a_free_and_an_allocation() {
    let (_turn, recorder) = start();
    let (allocated, freed) = (ALLOCATED.get(), FREED.get());
    let mut kept = Vec::new();
    for round in 0..40 {
        let mut grown: Vec<u8> = Vec::with_capacity(64);
        for _ in 0..20 {
            grown.reserve_exact(grown.capacity() * 2);
            let capacity = grown.capacity();
            grown.resize(capacity, 1);
            if grown.len() > 1 << 22 {
                break;
            }
        }
        grown.truncate(1 << 21);
        grown.shrink_to_fit();
        if round % 2 == 0 {
            kept.push(black_box(grown));
        }
    }
    let allocated = ALLOCATED.get() - allocated;
    let alive = allocated - (FREED.get() - freed);
    let found = sums(&recorder);
    assert_near("alloc_space", found[1], allocated.bytes, allocated.bytes_variance);
    assert_near("inuse_space", found[3], alive.bytes, alive.bytes_variance);
    assert!(alive.bytes >= (20 << 21) as f64, "{alive:?}");
}

#[test]
fn a_resize_that_fails_leaves_the_block_alive() {
    let (_turn, recorder) = start();
    // So large that it is always sampled: the chance not to be is e^-64. Whoever optimises may
    // leave out allocations of which it sees all.
    let large = Layout::from_size_align(32 << 20, 4_096).unwrap();
    // SAFETY: a block of a valid layout that is not zero, resized and freed with the same.
    unsafe {
        let block = black_box(std::alloc::alloc(large));
        let before = sums(&recorder);
        REFUSES.store(true, Relaxed);
        let resized = black_box(std::alloc::realloc(block, large, REFUSED));
        REFUSES.store(false, Relaxed);
        assert!(resized.is_null());
        let after = sums(&recorder);
        assert!(before[3] >= (32 << 20) as f64 && after[3] >= (32 << 20) as f64, "{after:?}");
        assert!(after[1] < (16 << 20) as f64, "{after:?}: nothing was allocated");
        let resized = black_box(std::alloc::realloc(block, large, REFUSED));
        let larger = Layout::from_size_align(REFUSED, 4_096).unwrap();
        assert!(sums(&recorder)[3] < (80 << 20) as f64);
        std::alloc::dealloc(resized, larger);
    }
    assert!(sums(&recorder)[3] < 16.0 * PERIOD);
}

#[test]
fn who_allocated_is_told_with_labels_and_deltas_say_so() {
    let (_turn, recorder) = start();
    let allocate = || black_box(vec![1_u8; 16 << 20]);
    let kept = [label_scope("heap-of", "one", allocate), label_scope("heap-of", "two", allocate)];
    drop(label_scope("heap-of", "one", allocate));
    let profile = recorder.collect().unwrap();
    let of = |value: &'static str| {
        sums_of(&profile, |labels| labels.contains(&("heap-of".to_owned(), value.to_owned())))
    };
    let mib = |mib: i64| (mib << 20) as f64;
    assert_eq!(
        (of("one"), of("two")),
        ([2.0, mib(32), 1.0, mib(16)], [1.0, mib(16), 1.0, mib(16)])
    );
    drop(kept);
    assert_eq!((recorder.profile_type(), profile.period), ("heap", 524_288));
    let delta = |name: &str| (name.to_owned(), Temporality::Delta);
    assert_eq!(recorder.temporality(), ["alloc_objects", "alloc_space"].map(delta).into());
}

#[inline(never)]
fn allocates() -> Vec<u8> {
    black_box(vec![1_u8; 16 << 20])
}

#[inline(never)]
fn calls() -> Vec<u8> {
    black_box(allocates())
}

/// Whether a sample's frames lead through these functions, innermost first. They are short.
fn leads_through(profile: &Profile, functions: &[fn() -> Vec<u8>]) -> bool {
    profile.sample.iter().any(|sample| {
        let address = |id: &u64| profile.location[usize::try_from(*id).unwrap() - 1].address;
        let mut frames = sample.location_id.iter().map(address);
        functions.iter().all(|function| {
            let start = *function as usize as u64;
            frames.any(|frame| (start..start + 256).contains(&frame))
        })
    })
}

/// Without frame pointers it takes the unwind tables.
#[test]
fn stacks_lead_to_who_allocated() {
    let (_turn, recorder) = start();
    assert!(stacks_are_whole(&recorder));
}

#[test]
fn there_is_one_recorder_and_the_next_begins_anew() {
    let (_turn, recorder) = start();
    assert_eq!(HeapRecorder::start().err(), Some(HeapError::AlreadyRunning));
    let kept = black_box(vec![1_u8; 16 << 20]);
    assert!(sums(&recorder)[3] >= (16 << 20) as f64);
    drop(recorder);
    let unseen = black_box(vec![1_u8; 16 << 20]);
    let recorder = HeapRecorder::start().unwrap();
    assert!(sums(&recorder)[1] < 16.0 * PERIOD);
    // Of these two it never knew.
    drop((kept, unseen));
    assert!(sums(&recorder)[3] < 16.0 * PERIOD);
}

/// What has a destructor may run when other thread-local data is gone; it allocates.
struct Late(Vec<Vec<u8>>);

impl Drop for Late {
    fn drop(&mut self) {
        self.0.extend((0..32).map(|_| black_box(vec![2; 64 << 10])));
    }
}

thread_local! {
    static LATE: RefCell<Option<Late>> = const { RefCell::new(None) };
}

#[test]
fn threads_that_come_and_go_are_counted_to_their_very_end() {
    let (_turn, recorder) = start();
    let (allocated, freed) = (ALLOCATED.get(), FREED.get());
    for _ in 0..100 {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                std::thread::spawn(|| {
                    LATE.set(Some(Late(vec![])));
                    black_box(vec![3_u8; 32 << 10])
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| drop(thread.join().unwrap()));
    }
    let allocated = ALLOCATED.get() - allocated;
    let alive = allocated - (FREED.get() - freed);
    // A thread's very last frees may come after it was joined; its blocks are gone by then.
    assert!(allocated.bytes > 8e8 && alive.bytes < 1e7, "{allocated:?} {alive:?}");
    let found = sums(&recorder);
    assert_near("alloc_space", found[1], allocated.bytes, allocated.bytes_variance);
    assert!(found[3] < 64.0 * PERIOD, "{found:?}");
}

/// Blocks are freed on another thread than they were allocated on, while profiles are taken.
#[test]
fn blocks_change_hands_and_none_is_left_behind() {
    let (_turn, recorder) = start();
    let (send, receive) = std::sync::mpsc::sync_channel::<Vec<u8>>(64);
    std::thread::scope(|scope| {
        for thread in 0..2 {
            let send = send.clone();
            scope.spawn(move || {
                for turn in 0..100_000 {
                    send.send(black_box(vec![0; size(turn * 2 + thread)])).unwrap();
                }
            });
        }
        drop(send);
        scope.spawn(|| (0..50).for_each(|_| drop(recorder.collect())));
        receive.iter().for_each(drop);
    });
    assert!(recorder.report().samples > 100, "{:?}", recorder.report());
    assert!(sums(&recorder)[3] < 16.0 * PERIOD);
}

/// A child of a process with threads has a copy of every lock as it was, and nobody to open
/// those that were shut.
#[test]
fn a_forked_child_may_allocate() {
    let (_turn, recorder) = start();
    let (stop, ready) = (AtomicBool::new(false), Barrier::new(3));
    let ended = std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                ready.wait();
                while !stop.load(Relaxed) {
                    drop(black_box(vec![0_u8; 1 << 20]));
                }
            });
        }
        ready.wait();
        let ended: Vec<_> = (0..40).map(|_| child_ends_well()).collect();
        stop.store(true, Relaxed);
        ended
    });
    assert_eq!(ended, vec![true; 40]);
    assert!(recorder.report().samples > 0);
}

/// Whether a child that allocates 16 MiB ends by itself, and well; it is killed after 20 s.
fn child_ends_well() -> bool {
    // SAFETY: the child only allocates, which the C library allows after a fork, and leaves
    // without running anything of the parent's; the alarm is its own.
    unsafe {
        let child = libc::fork();
        assert!(child >= 0, "{}", std::io::Error::last_os_error());
        if child == 0 {
            libc::alarm(20);
            for _ in 0..4_096 {
                drop(black_box(vec![0_u8; 4_096]));
            }
            libc::_exit(0);
        }
        let mut status = 0;
        libc::waitpid(child, &mut status, 0) == child && status == 0
    }
}
