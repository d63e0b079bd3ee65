//! Gauges beside what is known to be there.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use flambeau_profile::Temporality;
use flambeau_profile::proto::Profile;
use profiler_sdk::{Recorder, ThreadsRecorder, TokioRecorder};

const PATIENCE: Duration = Duration::from_secs(60);

/// Values by the names of a sample's frames, outermost first.
fn samples(profile: &Profile) -> BTreeMap<String, Vec<i64>> {
    let text = |id: i64| profile.string_table[usize::try_from(id).unwrap()].as_str();
    let name = |id: &u64| {
        let location = &profile.location[usize::try_from(*id).unwrap() - 1];
        let function = usize::try_from(location.line[0].function_id).unwrap();
        text(profile.function[function - 1].name)
    };
    let path = |ids: &[u64]| ids.iter().rev().map(name).collect::<Vec<_>>().join(";");
    profile.sample.iter().map(|sample| (path(&sample.location_id), sample.value.clone())).collect()
}

fn column(profile: &Profile, name: &str) -> usize {
    let text = |id: i64| profile.string_table[usize::try_from(id).unwrap()].as_str();
    profile.sample_type.iter().position(|typ| text(typ.r#type) == name).unwrap()
}

/// Asks until the answer is as wished.
fn until<T>(mut ask: impl FnMut() -> T, is_right: impl Fn(&T) -> bool) -> T {
    let began = Instant::now();
    loop {
        let answer = ask();
        if is_right(&answer) || began.elapsed() > PATIENCE {
            return answer;
        }
        std::thread::yield_now();
    }
}

#[cfg(target_os = "linux")]
#[test]
fn threads_are_counted_by_name_and_state() {
    let recorder = ThreadsRecorder::new();
    assert_eq!(recorder.profile_type(), "threads");
    assert_eq!(recorder.temporality(), [("threads".to_owned(), Temporality::Gauge)].into());
    let gate = Arc::new(Barrier::new(6));
    let threads: Vec<_> = (0..5)
        .map(|_| {
            let gate = Arc::clone(&gate);
            let thread = std::thread::Builder::new().name("gauge (asleep)".to_owned());
            thread.spawn(move || gate.wait()).unwrap()
        })
        .collect();
    let told = || samples(&recorder.collect().unwrap());
    let asleep = "gauge (asleep);[sleeping]";
    let all = until(told, |all| all.get(asleep) == Some(&vec![5]));
    assert_eq!(all.get(asleep), Some(&vec![5]), "{all:?}");
    // Whoever asks runs, by definition.
    assert!(all.keys().any(|path| path.ends_with(";[running]")), "{all:?}");
    gate.wait();
    threads.into_iter().for_each(|thread| assert!(thread.join().is_ok()));
    let is_gone = |all: &BTreeMap<String, Vec<i64>>| !all.keys().any(|path| path.contains("(asl"));
    let all = until(told, is_gone);
    assert!(is_gone(&all), "{all:?}");
}

#[test]
fn tasks_and_workers_are_as_the_runtime_has_them() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let recorder = TokioRecorder::new("main", runtime.handle());
    assert_eq!(recorder.profile_type(), "tasks");
    let (open, gate) = tokio::sync::watch::channel(false);
    for _ in 0..7 {
        let mut gate = gate.clone();
        runtime.spawn(async move { gate.wait_for(|open| *open).await.map(|_| ()) });
    }
    let profile = recorder.collect().unwrap();
    let [alive, workers, busy, parks] =
        ["alive_tasks", "workers", "busy", "parks"].map(|name| column(&profile, name));
    let told = samples(&profile);
    assert_eq!(told["main"][alive], 7, "{told:?}");
    assert_eq!(told.values().map(|values| values[workers]).sum::<i64>(), 2, "{told:?}");
    assert_eq!(told.len(), 3, "{told:?}");
    // A task that works is busy time of some worker once that one parks again. Its own clock
    // is inside of the worker's.
    let work = runtime.spawn(async {
        let began = Instant::now();
        while began.elapsed() < Duration::from_millis(20) {
            std::hint::spin_loop();
        }
        began.elapsed()
    });
    let worked = runtime.block_on(work).unwrap().as_nanos();
    let (mut busy_total, mut parks_total) = (0, 0);
    let more = || {
        for values in samples(&recorder.collect().unwrap()).values() {
            busy_total += values[busy];
            parks_total += values[parks];
        }
        (busy_total, parks_total)
    };
    let (busy_total, parks_total) =
        until(more, |(busy, parks)| *busy as u128 >= worked && *parks > 0);
    assert!(busy_total as u128 >= worked && parks_total > 0, "{busy_total} {parks_total}");
    open.send(true).unwrap();
    let alive_now = || samples(&recorder.collect().unwrap())["main"][alive];
    assert_eq!(until(alive_now, |alive| *alive == 0), 0);
}

#[test]
fn busy_time_is_told_once() {
    let began = Instant::now();
    let one = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let other = tokio::runtime::Builder::new_multi_thread().worker_threads(3).build().unwrap();
    let recorder = TokioRecorder::new("one", one.handle()).and("other", other.handle());
    let mut total = 0;
    for _ in 0..200 {
        one.block_on(one.spawn(async { std::hint::black_box(()) })).unwrap();
        let profile = recorder.collect().unwrap();
        let busy = column(&profile, "busy");
        let told = samples(&profile);
        assert_eq!(told.len(), 2 + 1 + 3, "{told:?}");
        assert!(told.contains_key("other;[worker 2]"), "{told:?}");
        assert!(told.values().flatten().all(|value| *value >= 0), "{told:?}");
        total += told["one;[worker 0]"][busy];
    }
    // Were totals told again each time, the sum would go beyond the clock.
    assert!(total as u128 <= began.elapsed().as_nanos(), "{total}");
}

#[test]
fn gauges_say_so() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let temporality = TokioRecorder::new("main", runtime.handle()).temporality();
    let gauge = |name: &str| (name.to_owned(), Temporality::Gauge);
    assert_eq!(temporality, ["alive_tasks", "queued_tasks", "workers"].map(gauge).into());
}
