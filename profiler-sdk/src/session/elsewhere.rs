//! Where nothing is sampled: no log, and nothing left by anybody.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use flambeau_layout::{BootId, EnvId};

use super::Session;
use crate::billed::Ledger;
use crate::engine::{Engine, EngineError};
use crate::settings::Settings;

/// There is none.
pub(crate) enum Survival {}

impl Survival {
    pub(crate) fn begin(_settings: &Settings) -> Result<Self, EngineError> {
        Err(EngineError::Failed("only Linux on x86_64 and aarch64 is sampled".into()))
    }

    pub(crate) fn engine(&self, _hz: u32) -> Arc<dyn Engine> {
        match *self {}
    }

    pub(crate) fn keep(&self, _ledger: &Ledger) {
        match *self {}
    }

    pub(crate) fn spool(&self) -> Option<PathBuf> {
        match *self {}
    }

    pub(crate) fn identify(&self, _ids: &(EnvId, BootId)) {
        match *self {}
    }

    pub(crate) fn begin_invocation(&self, _deadline: Option<SystemTime>) {
        match *self {}
    }

    pub(crate) fn end_invocations(&self) {
        match *self {}
    }

    pub(crate) fn finish(&self) {
        match *self {}
    }
}

impl Session {
    pub(super) fn recover(&self) {}
}
