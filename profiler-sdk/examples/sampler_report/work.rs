//! Work whose CPU time is known by function.

use std::hint::black_box;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

const MILLI: u64 = 1_000_000;

/// Functions that are told apart, and their CPU time.
const FUNCTIONS: [&str; 7] = ["first", "second", "third", "fourth", "copies", "allocates", "sorts"];
static TRUTH: [AtomicU64; 7] = [const { AtomicU64::new(0) }; 7];

/// CPU time by function, of those that ran.
pub(crate) fn truth() -> Vec<(&'static str, u64)> {
    let all = FUNCTIONS.into_iter().zip(TRUTH.iter().map(|nanos| nanos.load(Relaxed)));
    all.filter(|(_, nanos)| *nanos > 0).collect()
}

pub(crate) fn thread_cpu() -> u64 {
    clock(libc::CLOCK_THREAD_CPUTIME_ID)
}

pub(crate) fn process_cpu() -> u64 {
    clock(libc::CLOCK_PROCESS_CPUTIME_ID)
}

fn clock(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: fills a structure of ours.
    unsafe { libc::clock_gettime(clock, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

#[inline(never)]
pub(crate) fn burn(nanos: u64) {
    let begun = thread_cpu();
    while thread_cpu() - begun < nanos {
        black_box((0..20_000_u64).fold(0, |sum, next| black_box(sum ^ next)));
    }
}

macro_rules! burner {
    ($name:ident, $index:literal) => {
        #[inline(never)]
        fn $name(nanos: u64) {
            let begun = thread_cpu();
            burn(nanos);
            TRUTH[$index].fetch_add(thread_cpu() - begun, Relaxed);
            black_box($index);
        }
    };
}

burner!(first, 0);
burner!(second, 1);
burner!(third, 2);
burner!(fourth, 3);

pub(crate) fn run(scenario: &str) {
    match scenario {
        "split" => (0..40).for_each(|_| {
            first(80 * MILLI);
            second(20 * MILLI);
        }),
        "two" | "quota" => threads(&[(first, 68), (second, 32)], 50),
        "four" => threads(&[(first, 40), (second, 30), (third, 20), (fourth, 10)], 50),
        "tokio" => bursts(),
        "short" => (0..300).for_each(|_| {
            std::thread::spawn(|| first(5 * MILLI / 2)).join().unwrap();
            std::thread::spawn(|| second(5 * MILLI / 2)).join().unwrap();
        }),
        "libc" => in_the_c_library(),
        other => panic!("no scenario `{other}`"),
    }
}

/// A function, and how much of the work it does.
type Share = (fn(u64), u64);

/// Each function on a thread of its own, for `rounds` of so many milliseconds.
fn threads(work: &[Share], rounds: u64) {
    std::thread::scope(|scope| {
        for (function, millis) in work.iter().copied() {
            scope.spawn(move || (0..rounds).for_each(|_| function(millis * MILLI)));
        }
    });
}

fn bursts() {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).enable_time().build().unwrap();
    let task = |function: fn(u64), millis: u64| async move {
        for _ in 0..150 {
            tokio::time::sleep(Duration::from_millis(10)).await;
            function(millis * MILLI);
        }
    };
    runtime.block_on(async {
        let tasks = [runtime.spawn(task(first, 4)), runtime.spawn(task(second, 2))];
        for task in tasks {
            task.await.unwrap();
        }
    });
}

/// Turns of lengths that repeat only after long: samples come at the kernel's ticks, and work in
/// step with those would be seen at the same moments again and again.
fn in_the_c_library() {
    let mut dice = 1_u64;
    for _ in 0..60 {
        for call in [copies, allocates, sorts] {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (0..1 + (dice >> 61)).for_each(|_| call());
        }
    }
}

#[inline(never)]
fn copies() {
    let begun = thread_cpu();
    let (from, mut to) = (vec![1_u8; 1 << 20], vec![0_u8; 1 << 20]);
    for _ in 0..200 {
        // SAFETY: two buffers of a mebibyte.
        unsafe { libc::memcpy(to.as_mut_ptr().cast(), from.as_ptr().cast(), 1 << 20) };
        black_box(&to);
    }
    TRUTH[4].fetch_add(thread_cpu() - begun, Relaxed);
    black_box("copies");
}

#[inline(never)]
fn allocates() {
    let begun = thread_cpu();
    for size in 0..60_000_usize {
        // SAFETY: freed at once.
        unsafe { libc::free(black_box(libc::malloc(16 + size % 3_000))) };
    }
    TRUTH[5].fetch_add(thread_cpu() - begun, Relaxed);
    black_box("allocates");
}

unsafe extern "C" fn compare(one: *const libc::c_void, other: *const libc::c_void) -> libc::c_int {
    // SAFETY: two elements of the array below.
    let (one, other) = unsafe { (*one.cast::<u32>(), *other.cast::<u32>()) };
    one.cmp(&other) as libc::c_int
}

#[inline(never)]
fn sorts() {
    let begun = thread_cpu();
    let mut words: Vec<u32> = (0..40_000_u32).map(|n| n.wrapping_mul(2_654_435_761)).collect();
    // SAFETY: an array of words.
    unsafe { libc::qsort(words.as_mut_ptr().cast(), words.len(), 4, Some(compare)) };
    black_box(&words);
    TRUTH[6].fetch_add(thread_cpu() - begun, Relaxed);
    black_box("sorts");
}
