//! What must be on file before a process is killed.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{SystemTime, UNIX_EPOCH};

use flambeau_layout::{BootId, EnvId};
use tracing::debug;

use super::scratch;
use crate::billed::Ledger;
use crate::cpu::engine::TimerEngine;
use crate::engine::{Engine, EngineError};
use crate::log::{Clock, LogOptions, LoggedInvocation, Outcome, SampleLog};
use crate::mappings::mappings;
use crate::names;
use crate::settings::Settings;

/// The sample log of this process, and what is noted in it.
pub(crate) struct Survival {
    log: &'static SampleLog,
    requests: AtomicU64,
}

impl Survival {
    /// A log in the environment's folder; in memory where there is none to be had, so that the
    /// function is profiled all the same.
    ///
    /// # Errors
    /// [`EngineError`] if there is no memory either.
    pub(crate) fn begin(settings: &Settings) -> Result<Self, EngineError> {
        let period = 1_000_000_000 / u64::from(settings.hz.max(1));
        let options = LogOptions { period, ..LogOptions::default() };
        let made = SampleLog::create(&scratch::folder(settings), options).or_else(|error| {
            debug!(%error, "samples will not outlive this process");
            SampleLog::anonymous(options)
        });
        let log = made.map_err(|error| EngineError::Failed(error.to_string()))?;
        let log: &'static SampleLog = Box::leak(Box::new(log));
        for mapping in mappings() {
            log.map(&mapping);
        }
        names::persist(Box::leak(Box::new(|definition: &names::Definition<'_>| {
            log.define(definition);
        })));
        Ok(Self { log, requests: AtomicU64::new(0) })
    }

    /// The engine that writes the log.
    pub(crate) fn engine(&self, hz: u32) -> Arc<dyn Engine> {
        Arc::new(TimerEngine::new(hz, self.log))
    }

    /// Keeps the account of billed time in the log too.
    pub(crate) fn keep(&self, ledger: &Ledger) {
        ledger.keep_in(self.log);
    }

    /// Where snapshots are spooled, beside the log.
    pub(crate) fn spool(&self) -> Option<PathBuf> {
        self.log.path().map(PathBuf::from)
    }

    /// Says who this process is, once that is drawn.
    pub(crate) fn identify(&self, (env, boot): &(EnvId, BootId)) {
        self.log.identify(env.as_str(), boot.as_str());
    }

    /// An invocation begins that is killed at `deadline`.
    pub(crate) fn begin_invocation(&self, deadline: Option<SystemTime>) {
        let now = Clock::now();
        // The environment may have been frozen until now.
        self.log.note_clock(now);
        self.requests.fetch_add(1, Relaxed);
        self.note(now.mono, deadline, Outcome::Running);
    }

    /// The last running invocation has ended.
    pub(crate) fn end_invocations(&self) {
        self.note(Clock::now().mono, None, Outcome::Answered);
    }

    /// Everything is safe elsewhere, and nothing more will be sampled.
    pub(crate) fn finish(&self) {
        if let Err(error) = self.log.remove_file() {
            debug!(%error, "the sample log stays behind");
        }
    }

    fn note(&self, began: u64, deadline: Option<SystemTime>, outcome: Outcome) {
        let since = deadline.and_then(|deadline| deadline.duration_since(UNIX_EPOCH).ok());
        let deadline = since.map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX));
        let request = self.requests.load(Relaxed);
        self.log.note_invocation(&LoggedInvocation { began, deadline, request, outcome });
    }
}
