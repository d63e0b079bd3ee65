#![doc = include_str!("../README.md")]
#![deny(missing_docs)]

// Not every build uses every part of the engine.
#[allow(dead_code)]
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod cpu;
mod cpu_timer;
mod engine;
mod label;
mod outbox;
mod pprof_engine;
mod profile_builder;
mod profiler;
#[cfg(feature = "aws")]
mod s3;
mod service;
mod session;
mod settings;
mod shutdown;
mod sink;
mod steering;
mod symbolize;

pub use engine::{Engine, EngineError};
pub use label::{MAX_LABELS, label_future, label_scope};
pub use pprof_engine::PprofEngine;
pub use profiler::{Profiler, ProfilerBuilder};
#[cfg(feature = "aws")]
pub use s3::S3Sink;
pub use service::{
    AfterAnswer, AfterAnswerFuture, DEADLINE_MARGIN, FLUSH_LIMIT, Profiled, ProfiledFuture,
    ProfilerLayer,
};
pub use settings::{
    DEFAULT_HZ, DEFAULT_INTERVAL, Destination, MIN_MEMORY_MB, Settings, SettingsError,
};
pub use shutdown::EXTENSION_NAME;
pub use sink::{DirectorySink, PutFuture, Receipt, Sink, SinkError, SteeringFuture, clock_offset};
