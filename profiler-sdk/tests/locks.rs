//! Locks whose waits are known, and std's shape.
#![allow(clippy::unwrap_used)]

use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Condvar, Mutex as StdMutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use flambeau_profile::Temporality;
use profiler_sdk::profiled::{Mutex, RwLock};
use profiler_sdk::{MutexRecorder, MutexRecorderError, Recorder, label_scope};

/// One recorder at a time.
static TURN: StdMutex<()> = StdMutex::new(());

fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Contentions and delay of all samples with this label.
fn sums(recorder: &MutexRecorder, value: &str) -> [i64; 2] {
    let mut sums = [0, 0];
    let Some(profile) = recorder.collect() else { return sums };
    for sample in &profile.sample {
        let is_meant =
            |str: i64| profile.string_table[usize::try_from(str).unwrap()].as_str() == value;
        if sample.label.iter().any(|label| is_meant(label.str)) {
            sums.iter_mut().zip(&sample.value).for_each(|(sum, value)| *sum += value);
        }
    }
    sums
}

/// How the kernel names what a thread of this process does: `S` while it sleeps.
#[cfg(target_os = "linux")]
fn is_asleep(tid: usize) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/self/task/{tid}/stat")).unwrap();
    stat.rsplit_once(") ").unwrap().1.starts_with('S')
}

#[cfg(target_os = "linux")]
fn this_thread() -> usize {
    let link = std::fs::read_link("/proc/thread-self").unwrap();
    link.file_name().unwrap().to_str().unwrap().parse().unwrap()
}

/// Runs `wait`, and nothing else that could sleep after it has told its thread.
#[cfg(target_os = "linux")]
fn timed(tid: &AtomicUsize, wait: impl Fn()) -> Duration {
    let began = Instant::now();
    tid.store(this_thread(), Relaxed);
    wait();
    began.elapsed()
}

/// Waits until a thread has told itself, and sleeps.
#[cfg(target_os = "linux")]
fn until_asleep(tid: &AtomicUsize) {
    while tid.load(Relaxed) == 0 || !is_asleep(tid.load(Relaxed)) {
        std::thread::yield_now();
    }
}

/// Keeps this thread busy for so long, and gives how long it really was.
#[cfg(target_os = "linux")]
fn linger(time: Duration) -> Duration {
    let began = Instant::now();
    while began.elapsed() < time {
        std::thread::yield_now();
    }
    began.elapsed()
}

/// Runs `wait` on three threads, each of which sleeps in it until `release`, and gives the
/// least and the most they can have waited together: by clocks read inside and outside of
/// every wait.
#[cfg(target_os = "linux")]
fn waits(wait: impl Fn() + Sync, release: impl FnOnce()) -> [i64; 2] {
    let wait = &wait;
    let tids = [const { AtomicUsize::new(0) }; 3];
    std::thread::scope(|scope| {
        let threads: Vec<_> = tids
            .iter()
            .map(|tid| scope.spawn(|| label_scope("lock", "waited-for", || timed(tid, wait))))
            .collect();
        tids.iter().for_each(until_asleep);
        // All of them wait by now, and do so for as long as this lasts.
        let least = 3 * linger(Duration::from_millis(30));
        release();
        let most: Duration = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
        [least, most].map(|time| i64::try_from(time.as_nanos()).unwrap())
    })
}

#[cfg(target_os = "linux")]
fn assert_between([least, most]: [i64; 2], [contentions, delay]: [i64; 2]) {
    assert_eq!(contentions, 3);
    assert!(least <= delay && delay <= most, "{least} <= {delay} <= {most}");
}

#[cfg(target_os = "linux")]
#[test]
fn waits_for_a_mutex_are_as_long_as_they_are() {
    let _turn = turn();
    let recorder = MutexRecorder::start().unwrap();
    let lock = Mutex::new(0);
    let held = lock.lock().unwrap();
    let truth = waits(|| *lock.lock().unwrap() += 1, || drop(held));
    assert_between(truth, sums(&recorder, "waited-for"));
    assert_eq!(sums(&recorder, "waited-for"), [0, 0], "told twice");
    assert_eq!(lock.into_inner().unwrap(), 3);
}

#[cfg(target_os = "linux")]
#[test]
fn readers_and_writers_wait_for_a_writer() {
    let _turn = turn();
    let recorder = MutexRecorder::start().unwrap();
    let lock = RwLock::new(0);
    let held = lock.write().unwrap();
    let truth = waits(|| assert_eq!(*lock.read().unwrap(), 0), || drop(held));
    assert_between(truth, sums(&recorder, "waited-for"));
    let held = lock.read().unwrap();
    let truth = waits(|| *lock.write().unwrap() += 1, || drop(held));
    assert_between(truth, sums(&recorder, "waited-for"));
}

/// Many short waits, few of which are kept, against clocks inside and outside of each.
#[cfg(target_os = "linux")]
#[test]
fn short_waits_are_right_in_sum() {
    const WAITS: usize = 1_000;
    let _turn = turn();
    let period = Duration::from_millis(1);
    let recorder = MutexRecorder::with_period(period).unwrap();
    let (lock, tid, begun) = (Mutex::new(()), AtomicUsize::new(0), AtomicUsize::new(0));
    let wait_for_each = || {
        let mut most = Duration::ZERO;
        for wait in 1..=WAITS {
            while begun.load(Relaxed) < wait {
                std::thread::yield_now();
            }
            most += timed(&tid, || drop(lock.lock().unwrap()));
            tid.store(0, Relaxed);
        }
        most
    };
    let (least, most) = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| label_scope("lock", "short", wait_for_each));
        let mut least = Vec::new();
        for wait in 1..=WAITS {
            let held = lock.lock().unwrap();
            begun.store(wait, Relaxed);
            until_asleep(&tid);
            least.push(linger(Duration::from_micros(100)));
            drop(held);
            while tid.load(Relaxed) != 0 {
                std::thread::yield_now();
            }
        }
        (least, waiting.join().unwrap())
    });
    let [contentions, delay] = sums(&recorder, "short").map(|sum| sum as f64);
    // A wait of d that is kept with p = d / period has a variance of (1 - p) / p in
    // contentions, and of d * period at most in delay.
    let ratio = |wait: &Duration| period.as_secs_f64() / wait.as_secs_f64();
    let bound = 5.0 * least.iter().map(ratio).sum::<f64>().sqrt();
    assert!((contentions - WAITS as f64).abs() < bound, "{contentions} +- {bound}");
    let [least, most, period] =
        [least.iter().sum(), most, period].map(|time: Duration| time.as_nanos() as f64);
    let bound = 5.0 * (most * period).sqrt();
    let is_right = least - bound < delay && delay < most + bound;
    assert!(is_right, "{least} < {delay} < {most}, +- {bound}");
}

#[test]
fn who_need_not_wait_is_not_told() {
    let _turn = turn();
    let recorder = MutexRecorder::with_period(Duration::ZERO).unwrap();
    let (lock, shared) = (Mutex::new(1), RwLock::new(1));
    label_scope("lock", "free", || {
        for _ in 0..1_000 {
            *lock.lock().unwrap() += 1;
            *shared.write().unwrap() += 1;
            let _both = (shared.read().unwrap(), shared.read().unwrap());
        }
        let _held = (lock.lock().unwrap(), shared.read().unwrap());
        assert!(matches!(lock.try_lock(), Err(TryLockError::WouldBlock)));
        assert!(matches!(shared.try_write(), Err(TryLockError::WouldBlock)));
        assert!(shared.try_read().is_ok());
    });
    assert_eq!(sums(&recorder, "free"), [0, 0]);
}

#[test]
fn there_is_one_recorder_and_it_tells_deltas() {
    let _turn = turn();
    let recorder = MutexRecorder::start().unwrap();
    assert_eq!(MutexRecorder::start().err(), Some(MutexRecorderError::AlreadyRunning));
    assert_eq!(recorder.profile_type(), "mutex");
    let delta = |name: &str| (name.to_owned(), Temporality::Delta);
    assert_eq!(recorder.temporality(), ["contentions", "delay"].map(delta).into());
    drop(recorder);
    drop(MutexRecorder::start().unwrap());
}

/// With and without a recorder, the locks behave like std's.
#[test]
fn poison_and_all_are_stds() {
    let _turn = turn();
    for recorder in [None, Some(MutexRecorder::start().unwrap())] {
        let (mut lock, mut shared) = (Mutex::from(vec![1]), RwLock::<Vec<i32>>::default());
        let fell = std::thread::scope(|scope| {
            let fall = || {
                let _held = (lock.lock().unwrap(), shared.write().unwrap());
                std::panic::resume_unwind(Box::new("on purpose"));
            };
            scope.spawn(fall).join()
        });
        assert!(fell.is_err());
        assert!(lock.is_poisoned() && shared.is_poisoned());
        assert_eq!(*lock.lock().unwrap_err().into_inner(), [1]);
        assert!(matches!(lock.try_lock(), Err(TryLockError::Poisoned(_))));
        assert!(matches!(shared.try_read(), Err(TryLockError::Poisoned(_))));
        assert!(shared.read().is_err() && shared.write().is_err());
        assert!(lock.get_mut().is_err() && shared.get_mut().is_err());
        lock.clear_poison();
        shared.clear_poison();
        lock.get_mut().unwrap().push(2);
        shared.get_mut().unwrap().push(3);
        assert_eq!(
            (lock.into_inner().unwrap(), shared.into_inner().unwrap()),
            (vec![1, 2], vec![3])
        );
        drop(recorder);
    }
}

#[test]
fn guards_work_with_a_condvar_and_values_may_be_unsized() {
    let _turn = turn();
    let _recorder = MutexRecorder::start().unwrap();
    let (ready, changed) = (Mutex::new(false), Condvar::new());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            *ready.lock().unwrap() = true;
            changed.notify_all();
        });
        let guard = changed.wait_while(ready.lock().unwrap(), |ready| !*ready).unwrap();
        assert!(*guard);
    });
    let unsized_lock: &Mutex<[u8]> = &Mutex::new([1, 2]);
    assert_eq!(unsized_lock.lock().unwrap().len(), 2);
}
