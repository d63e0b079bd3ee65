//! CPU samples by the `pprof` crate.
//!
//! Known limits of this engine, measured on machines like Lambda's: it takes about 140 ms of CPU
//! and 117 MB at its start; samples that hit two threads at once are lost uncounted; stacks are
//! kept as sequences of functions, so the line of a frame is that of its first sample; a stack
//! ends at 128 frames.

mod markers;
mod profile_builder;
mod symbolize;
mod timer;

use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::{Mutex, PoisonError};

use flambeau_profile::proto::Profile;
use pprof::{ProfilerGuard, ProfilerGuardBuilder};

use timer::{CpuTimer, Disposition, sigprof, survive_late_signals};

use crate::engine::{Engine, EngineError};
use crate::tick::tick_hz;
use markers::{MarkerMap, is_own, want_labels};
use profile_builder::ProfileBuilder;
use symbolize::{SourceLine, Symbolizer};

pub(crate) use markers::marked;

/// Different stacks after which the crate's tables are begun anew. Beyond a few thousand it
/// writes evicted stacks, 4 KB each, to a temporary file that never shrinks.
const MAX_STACKS: usize = 2048;

/// The engine on the `pprof` crate, with its default unwinder.
pub struct PprofEngine {
    hz: u32,
    timer: CpuTimer,
    running: Mutex<Option<Running>>,
}

struct Running {
    guard: ProfilerGuard<'static>,
    handler: usize,
    /// Samples already given out, by stack: the crate only ever counts up.
    given: HashMap<u64, isize>,
    markers: MarkerMap,
    symbolizer: Symbolizer,
}

impl PprofEngine {
    /// An engine that takes `hz` samples per second of CPU time, or as many as the kernel's
    /// tick allows (see [`PprofEngine::hz`]).
    pub fn new(hz: u32) -> Self {
        let hz = hz.clamp(1, tick_hz().unwrap_or(hz).max(1));
        Self { hz, timer: CpuTimer::new(hz), running: Mutex::new(None) }
    }

    /// Samples per second of CPU time that are really asked for.
    pub fn hz(&self) -> u32 {
        self.hz
    }

    fn begin(&self) -> Result<Running, EngineError> {
        let rate = i32::try_from(self.hz).unwrap_or(i32::MAX);
        let guard = ProfilerGuardBuilder::default()
            .frequency(rate)
            .build()
            .map_err(|error| EngineError::Failed(error.to_string()))?;
        // The crate arms its timer at once; ours decides when. The first period is kept.
        self.timer.stop();
        match sigprof() {
            Ok(Disposition::Handler(handler)) => Ok(Running {
                guard,
                handler,
                given: HashMap::new(),
                markers: MarkerMap::new(),
                symbolizer: Symbolizer::default(),
            }),
            _ => Err(EngineError::Failed("the pprof crate set no signal handler".into())),
        }
    }
}

impl Engine for PprofEngine {
    fn start(&self) -> Result<(), EngineError> {
        if matches!(sigprof(), Ok(Disposition::Handler(_)) | Err(_)) {
            return Err(EngineError::SignalTaken);
        }
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        *running = Some(self.begin()?);
        want_labels(true);
        Ok(())
    }

    fn resume(&self) {
        self.timer.arm();
    }

    fn pause(&self) {
        self.timer.disarm();
    }

    fn collect(&self, _seq: u64) -> Result<Option<Profile>, EngineError> {
        let mut slot = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(running) = slot.as_mut() else { return Ok(None) };
        let (profile, stacks) = running.collect(self.timer.period())?;
        if stacks > MAX_STACKS {
            // Only here are samples given up on purpose: those of the next milliseconds.
            *slot = None;
            survive_late_signals();
            *slot = Some(self.begin()?);
        }
        Ok(profile)
    }

    fn stop(&self) {
        self.timer.disarm();
        want_labels(false);
        *self.running.lock().unwrap_or_else(PoisonError::into_inner) = None;
        survive_late_signals();
    }
}

impl Running {
    /// What is new, and how many different stacks there are in all.
    fn collect(
        &mut self,
        period: std::time::Duration,
    ) -> Result<(Option<Profile>, usize), EngineError> {
        let failed = |error: pprof::Error| EngineError::Failed(error.to_string());
        let report = self.guard.report().build_unresolved().map_err(failed)?;
        let stacks = report.data.len();
        let mut builder = ProfileBuilder::cpu(period);
        for (stack, count) in report.data {
            let frames = stack.frames.as_slice();
            let given = self.given.entry(fingerprint(frames, stack.thread_id)).or_insert(0);
            let fresh = count - std::mem::replace(given, count);
            if let Ok(fresh @ 1..) = i64::try_from(fresh) {
                let name = &stack.thread_name[..stack.thread_name_length];
                self.add(&mut builder, own_frames(frames, self.handler), name, fresh);
            }
        }
        Ok((builder.finish(self.symbolizer.libraries()), stacks))
    }

    fn add(
        &mut self,
        builder: &mut ProfileBuilder,
        frames: &[backtrace::Frame],
        thread: &[u8],
        count: i64,
    ) {
        let functions = frames.iter().map(|frame| frame.symbol_address() as usize);
        let mut labels = self.markers.labels(functions);
        if !thread.is_empty() {
            labels.push(("thread".to_owned(), String::from_utf8_lossy(thread).into_owned()));
        }
        let mut locations = Vec::with_capacity(frames.len());
        for (depth, frame) in frames.iter().enumerate() {
            if self.markers.contains(frame.symbol_address() as usize) {
                continue;
            }
            let mut resolved = self.symbolizer.resolve(code_address(frame, depth));
            if resolved.lines.iter().any(is_scope) {
                std::sync::Arc::make_mut(&mut resolved).lines.retain(|line| !is_scope(line));
            }
            locations.extend(builder.location(&resolved));
        }
        builder.sample(locations, count, &labels);
    }
}

/// The interrupted frames: those after the signal handler and the kernel's trampoline.
fn own_frames(frames: &[backtrace::Frame], handler: usize) -> &[backtrace::Frame] {
    let at = frames.iter().position(|frame| frame.symbol_address() as usize == handler);
    at.and_then(|at| frames.get(at + 2..)).unwrap_or(frames)
}

/// The leaf was interrupted before its instruction, its callers after theirs.
fn code_address(frame: &backtrace::Frame, depth: usize) -> usize {
    let address = frame.ip() as usize;
    if depth == 0 { address.saturating_add(1) } else { address }
}

fn is_scope(line: &SourceLine) -> bool {
    is_own(&line.name, &line.file)
}

/// Identifies a stack as the crate does: by functions and thread.
fn fingerprint(frames: &[backtrace::Frame], thread: u64) -> u64 {
    let mut hasher = DefaultHasher::new();
    thread.hash(&mut hasher);
    frames.iter().for_each(|frame| (frame.symbol_address() as usize).hash(&mut hasher));
    hasher.finish()
}
