//! The CPU engine in a real process, against the kernel's own account of CPU time.
//!
//! One engine and one SIGPROF serve all tests here, one test at a time.

#![cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
#![allow(clippy::unwrap_used, missing_docs)]

mod undisturbed;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use flambeau_profile::proto::{Profile, Sample};
use object::{Object, ObjectSymbol};
use profiler_sdk::cpu::Sampler;
use undisturbed::undisturbed;

const PATIENCE: Duration = Duration::from_secs(60);

/// The engine, ready, with nothing left over from the test before.
fn sampler() -> MutexGuard<'static, Sampler> {
    static SAMPLER: OnceLock<Mutex<Sampler>> = OnceLock::new();
    let sampler = SAMPLER.get_or_init(|| Mutex::new(Sampler::start(99).unwrap()));
    let mut sampler = sampler.lock().unwrap_or_else(PoisonError::into_inner);
    sampler.pause();
    assert!(sampler.wait_until_ready(PATIENCE), "the unwinder's self-test failed");
    sampler.collect().unwrap();
    sampler.set_rate(99);
    sampler.report();
    sampler
}

fn thread_cpu() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: fills a structure of ours.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

#[inline(never)]
fn burn(nanos: u64) {
    let begun = thread_cpu();
    let mut now = begun;
    while now - begun < nanos {
        doze_now_and_then(now);
        black_box((0..1000_u64).fold(0, |sum, next| black_box(sum ^ next)));
        now = thread_cpu();
    }
}

/// Sleeps up to 3 ms after each 3 to 7 ms of CPU time, neither ever the same.
///
/// The kernel looks at CPU timers at its ticks only. Among other work a thread may get its turns
/// from behind one tick to before the next for seconds, and is never met; one that wakes when
/// it likes is.
fn doze_now_and_then(cpu: u64) {
    static DOZES: AtomicU64 = AtomicU64::new(0);
    thread_local!(static NEXT: Cell<u64> = const { Cell::new(0) });
    if cpu < NEXT.get() {
        return;
    }
    let nth = DOZES.fetch_add(1, Relaxed);
    NEXT.set(cpu + 3_000_000 + nth * 7_919_000 % 4_000_000);
    std::thread::sleep(Duration::from_micros(nth * 6_007 % 3_000));
}

/// CPU nanoseconds that `work` takes on this thread, sampled.
fn sampled(sampler: &Sampler, work: impl FnOnce()) -> u64 {
    sampler.resume();
    let begun = thread_cpu();
    work();
    let spent = thread_cpu() - begun;
    sampler.pause();
    spent
}

/// What the kernel says of some work, and the engine.
#[derive(Debug, Default)]
struct Ran {
    cpu_nanos: u64,
    samples: u64,
    dropped: u64,
    truncated: u64,
    degraded: bool,
}

/// Repeats `work`, which samples itself and gives its CPU nanoseconds, until so many samples were
/// taken of it that its stacks and shares mean something.
///
/// CPU time that no tick met counts with the next sample: of this snapshot if there is one, else
/// of the next.
fn until_sampled(sampler: &Sampler, samples: u64, mut work: impl FnMut() -> u64) -> Ran {
    let begun = Instant::now();
    let mut ran = Ran::default();
    while ran.samples < samples {
        assert!(begun.elapsed() < PATIENCE, "too few samples: {ran:?}");
        ran.cpu_nanos += work();
        let report = sampler.report();
        ran.samples += report.samples;
        ran.dropped += report.dropped;
        ran.truncated += report.truncated;
        ran.degraded |= report.degraded;
    }
    ran
}

fn text(profile: &Profile, index: i64) -> &str {
    &profile.string_table[index as usize]
}

fn label<'p>(profile: &'p Profile, sample: &Sample, key: &str) -> &'p str {
    let found = sample.label.iter().find(|label| text(profile, label.key) == key);
    found.map_or("", |label| text(profile, label.str))
}

fn cpu(profile: &Profile, wanted: impl Fn(&Sample) -> bool) -> u64 {
    profile.sample.iter().filter(|sample| wanted(sample)).map(|sample| sample.value[1] as u64).sum()
}

/// Names of the functions on a sample's stack, leaf first; those of other files are "".
fn stack(profile: &Profile, sample: &Sample) -> Vec<String> {
    let address = |id: &u64| profile.location[*id as usize - 1].address;
    sample.location_id.iter().map(|id| name_of(address(id))).collect()
}

fn is_on(profile: &Profile, sample: &Sample, function: &str) -> bool {
    stack(profile, sample).iter().any(|name| name.ends_with(&format!("::{function}")))
}

/// This program's functions by address, from its symbol table.
fn name_of(address: u64) -> String {
    static SYMBOLS: OnceLock<BTreeMap<u64, (u64, String)>> = OnceLock::new();
    let symbols = SYMBOLS.get_or_init(|| {
        let file = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let file = object::File::parse(&*file).unwrap();
        let name = |raw: &str| format!("{:#}", rustc_demangle::demangle(raw));
        let all = file.symbols().filter(|symbol| symbol.is_definition() && symbol.size() > 0);
        let all = all.filter_map(|s| Some((s.address(), (s.size(), name(s.name().ok()?)))));
        let all: BTreeMap<_, _> = all.collect();
        let here = all.iter().find(|(_, (_, name))| name == "cpu_engine::burn").unwrap();
        let bias = (burn as *const () as u64).wrapping_sub(*here.0);
        all.into_iter().map(|(at, symbol)| (at.wrapping_add(bias), symbol)).collect()
    });
    let at_or_before = symbols.range(..=address).next_back();
    let found = at_or_before.filter(|(start, (size, _))| address < **start + size);
    found.map(|(_, (_, name))| name.clone()).unwrap_or_default()
}

#[inline(never)]
fn slow() {
    burn(160_000_000);
    black_box("slow");
}

#[inline(never)]
fn fast() {
    burn(40_000_000);
    black_box("fast");
}

#[inline(never)]
fn slow_and_fast() {
    for _ in 0..3 {
        slow();
        fast();
    }
    // As in all functions here: a call at the very end would be a jump.
    black_box("both");
}

#[test]
fn samples_add_up_to_the_cpu_time() {
    let mut sampler = sampler();
    for hz in [99, 999] {
        sampler.set_rate(hz);
        let ran = until_sampled(&sampler, 200, || sampled(&sampler, slow_and_fast));
        assert!(ran.dropped == 0 && !ran.degraded, "{ran:?}");
        let profile = sampler.collect().unwrap().unwrap();
        let mine = cpu(&profile, |sample| is_on(&profile, sample, "slow_and_fast"));
        let ratio = mine as f64 / ran.cpu_nanos as f64;
        assert!((0.97..1.03).contains(&ratio), "{ratio} at {hz} Hz");
        let share = cpu(&profile, |sample| is_on(&profile, sample, "slow")) as f64 / mine as f64;
        assert!((0.55..0.97).contains(&share), "{share} instead of 0.8 at {hz} Hz");
        let achieved_hz = ran.samples as f64 * 1e9 / ran.cpu_nanos as f64;
        assert!((20.0..1_100.0).contains(&achieved_hz), "{ran:?} at {hz} Hz");
    }
}

#[test]
fn what_runs_while_paused_is_not_there_and_periods_go_on() {
    let mut sampler = sampler();
    let in_turns = || {
        let turn = |_| {
            let nanos = sampled(&sampler, inside);
            outside();
            nanos
        };
        (0..400).map(turn).sum()
    };
    let ran = until_sampled(&sampler, 40, in_turns);
    let profile = sampler.collect().unwrap().unwrap();
    assert_eq!(cpu(&profile, |sample| is_on(&profile, sample, "outside")), 0);
    let found = cpu(&profile, |sample| is_on(&profile, sample, "inside"));
    let ratio = found as f64 / ran.cpu_nanos as f64;
    assert!((0.9..1.1).contains(&ratio), "{ratio}");
}

#[inline(never)]
fn inside() {
    burn(1_500_000);
    black_box("inside");
}

#[inline(never)]
fn outside() {
    burn(700_000);
    black_box("outside");
}

#[test]
fn threads_too_short_for_a_sample_count_in_full() {
    let mut sampler = sampler();
    undisturbed(|| short_threads_counted(&mut sampler));
}

fn short_threads_counted(sampler: &mut Sampler) -> Result<(), String> {
    let ran = until_sampled(sampler, 60, || {
        sampler.resume();
        let nanos = (0..150).map(|_| short_thread()).sum();
        sampler.pause();
        nanos
    });
    let truth = ran.cpu_nanos;
    let profile = sampler.collect().unwrap().unwrap();
    let named = |sample: &Sample| label(&profile, sample, "thread") == "short";
    let ratio = cpu(&profile, named) as f64 / truth as f64;
    // What the thread library does after the work is theirs too, and not in the truth.
    if !(0.97..1.5).contains(&ratio) {
        return Err(format!("{ratio} of their time"));
    }
    let seen = |sample: &Sample| named(sample) && is_on(&profile, sample, "inside");
    let seen = cpu(&profile, seen) as f64 / truth as f64;
    if seen <= 0.5 {
        return Err(format!("{seen}: stacks of siblings do not stand for the others"));
    }
    Ok(())
}

/// CPU nanoseconds of a thread that ends within a period.
fn short_thread() -> u64 {
    let short = std::thread::Builder::new().name("short".into());
    let work = || {
        inside();
        thread_cpu()
    };
    short.spawn(work).unwrap().join().unwrap()
}

#[test]
fn each_thread_is_sampled_by_its_own_clock() {
    let mut sampler = sampler();
    sampler.resume();
    let spawn = |name: &str, nanos: u64| {
        let work = move || {
            burn(nanos);
            thread_cpu()
        };
        std::thread::Builder::new().name(name.into()).spawn(work).unwrap()
    };
    let threads = [spawn("two-thirds", 680_000_000), spawn("one-third", 320_000_000)];
    let [much, little] = threads.map(|thread| thread.join().unwrap());
    sampler.pause();
    let profile = sampler.collect().unwrap().unwrap();
    for (name, truth) in [("two-thirds", much), ("one-third", little)] {
        let found = cpu(&profile, |sample| label(&profile, sample, "thread") == name);
        let ratio = found as f64 / truth as f64;
        assert!((0.97..1.03).contains(&ratio), "{ratio} of `{name}`");
    }
}

unsafe extern "C" fn compare(one: *const libc::c_void, _: *const libc::c_void) -> libc::c_int {
    burn(3_000_000);
    black_box(one as usize as libc::c_int & 1)
}

#[inline(never)]
fn sort_by_the_c_library() {
    let mut words = [3_u64; 40];
    // SAFETY: 40 elements of a word's size.
    unsafe { libc::qsort(words.as_mut_ptr().cast(), words.len(), 8, Some(compare)) };
    black_box(words);
}

#[test]
fn stacks_are_whole_through_code_without_frame_pointers() {
    let mut sampler = sampler();
    let ran = until_sampled(&sampler, 20, || sampled(&sampler, sort_by_the_c_library));
    let profile = sampler.collect().unwrap().unwrap();
    let sorted = cpu(&profile, |sample| is_on(&profile, sample, "compare"));
    let whole = cpu(&profile, |sample| {
        let names = stack(&profile, sample);
        let at = |name: &str| names.iter().position(|found| found.ends_with(name));
        // In between lies the C library, and at the root the thread's beginning.
        at("::compare").is_some()
            && at("::sort_by_the_c_library") > at("::compare").map(|at| at + 1)
            && names.iter().any(|name| name.contains("thread_start"))
    });
    assert!(sorted > ran.cpu_nanos / 2 && whole == sorted, "{whole} of {sorted} ns are whole");
    assert_eq!(ran.truncated, 0);
}

extern "C" fn on_usr1(_: libc::c_int) {
    burn(100_000_000);
    black_box("in a handler");
}

#[inline(never)]
fn interrupted_by_a_signal() {
    // SAFETY: the handler only computes.
    unsafe {
        libc::signal(libc::SIGUSR1, on_usr1 as *const () as libc::sighandler_t);
        libc::raise(libc::SIGUSR1);
    }
    black_box("after the handler");
}

#[test]
fn stacks_lead_out_of_signal_handlers() {
    let mut sampler = sampler();
    let ran = until_sampled(&sampler, 10, || sampled(&sampler, interrupted_by_a_signal));
    let profile = sampler.collect().unwrap().unwrap();
    let handled = cpu(&profile, |sample| is_on(&profile, sample, "on_usr1"));
    let both = cpu(&profile, |sample| {
        is_on(&profile, sample, "on_usr1") && is_on(&profile, sample, "interrupted_by_a_signal")
    });
    assert!(handled > ran.cpu_nanos / 2 && both == handled, "{both} of {handled} ns lead out");
}

#[test]
fn other_peoples_signals_are_no_samples_and_errno_is_kept() {
    let mut sampler = sampler();
    // So rarely that no timer signals in between.
    sampler.set_rate(1);
    sampler.resume();
    // SAFETY: plain calls; the thread's own errno.
    let errno = unsafe {
        libc::raise(libc::SIGPROF);
        *libc::__errno_location() = 1234;
        assert!(sampler.signal_here());
        *libc::__errno_location()
    };
    sampler.pause();
    assert_eq!(errno, 1234);
    assert_eq!(sampler.report().samples, 1);
    // Late ones change nothing.
    assert!(sampler.signal_here());
    assert_eq!(sampler.report().samples, 0);
    sampler.collect().unwrap();
}

#[test]
fn libraries_loaded_later_are_walked_too() {
    let mut sampler = sampler();
    let (before, _) = sampler.tables();
    // SAFETY: a library of the C library's own.
    let handle = unsafe { libc::dlopen(c"libresolv.so.2".as_ptr(), libc::RTLD_NOW) };
    if handle.is_null() {
        return println!("there is no libresolv.so.2 here");
    }
    sampler.collect().unwrap();
    let (after, bytes) = sampler.tables();
    assert!(after > before + 100, "{before} rows, then {after}");
    assert!(bytes < 5 * after, "{bytes} bytes for {after} rows");
}

#[test]
fn a_forked_child_starts_threads_and_ends() {
    let mut sampler = sampler();
    sampler.resume();
    // SAFETY: the child only starts a thread and leaves.
    let status = unsafe {
        let child = libc::fork();
        if child == 0 {
            let ended = std::thread::spawn(|| burn(30_000_000)).join();
            libc::_exit(if ended.is_ok() { 0 } else { 1 });
        }
        let mut status = 0;
        assert_eq!(libc::waitpid(child, &mut status, 0), child);
        status
    };
    until_sampled(&sampler, 1, || sampled(&sampler, || burn(30_000_000)));
    assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0, "{status:#x}");
    let profile = sampler.collect().unwrap().unwrap();
    assert!(cpu(&profile, |_| true) < 10_000_000_000);
}

#[test]
fn hundreds_of_threads_come_and_go() {
    let mut sampler = sampler();
    sampler.resume();
    for _ in 0..8 {
        let threads: Vec<_> = (0..50).map(|_| std::thread::spawn(|| burn(300_000))).collect();
        sampler.pause();
        sampler.resume();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    }
    sampler.pause();
    let profile = sampler.collect().unwrap().unwrap();
    let burnt = cpu(&profile, |_| true);
    assert!(burnt > 60_000_000, "{burnt}");
    assert_eq!(sampler.report().dropped, 0);
}
