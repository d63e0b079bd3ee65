#![doc = include_str!("../README.md")]
#![deny(missing_docs)]
// Where nothing is sampled, nobody uses what samples would need.
#![cfg_attr(
    not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))),
    allow(dead_code)
)]

// For our own examples and tests; no part of what is promised.
#[doc(hidden)]
pub mod billed;
mod context;
// Not every build uses every part of the engine.
#[allow(dead_code)]
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
#[doc(hidden)]
pub mod cpu;
mod engine;
mod gauges;
mod heap;
mod invocations;
mod locks;
#[allow(dead_code, unused_imports)]
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod log;
mod mappings;
mod names;
#[cfg(feature = "pprof-backend")]
mod pprof_backend;
mod profile_builder;
mod profiler;
mod pyroscope;
mod recorder;
#[cfg(feature = "s3")]
mod s3;
mod schedule;
mod service;
mod session;
mod settings;
mod shutdown;
mod sink;
mod steering;
mod symbolize;
mod tags;
#[cfg(any(
    feature = "pprof-backend",
    all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))
))]
mod tick;

#[cfg(feature = "spans")]
pub use billed::{SpanFilter, SpanLayer, TRANSPORTS, span_layer};
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
pub use cpu::thread_started;
pub use engine::{Collected, Engine, EngineError, EngineReport};
pub use gauges::{ThreadsRecorder, TokioRecorder};
pub use heap::{HeapError, HeapRecorder, HeapReport, SampledAlloc};
pub use invocations::{Invocations, MAX_INVOCATIONS};
pub use locks::{MutexRecorder, MutexRecorderError, profiled};
pub use names::{MAX_NAME_BYTES, MAX_NAMES};
#[cfg(feature = "pprof-backend")]
pub use pprof_backend::PprofEngine;
pub use profiler::{Profiler, ProfilerBuilder};
pub use recorder::Recorder;
#[cfg(feature = "s3")]
pub use s3::S3Sink;
pub use schedule::schedule_profile_loop;
pub use service::{
    AfterAnswer, AfterAnswerFuture, DEADLINE_MARGIN, FLUSH_LIMIT, Profiled, ProfiledFuture,
    ProfilerLayer,
};
pub use session::{
    Budget, DEADLINE_FLUSH, DEFAULT_BUDGET, FlushError, MAX_DELAY, MAX_INTERVAL,
    MAX_SNAPSHOT_BYTES, MAX_SNAPSHOTS, MIN_HZ,
};
pub use settings::{DEFAULT_HZ, DEFAULT_INTERVAL, Destination, Settings, SettingsError};
pub use shutdown::EXTENSION_NAME;
pub use sink::{DirectorySink, PutFuture, Receipt, Sink, SinkError, SteeringFuture, clock_offset};
pub use tags::{
    AsCall, AsFuture, Taggable, TaggedFuture, Tags, current_tags, label_future, label_scope,
    tag_wrapper,
};
