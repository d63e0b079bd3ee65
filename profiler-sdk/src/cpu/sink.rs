//! Where samples go, for now.

use crate::context::Context;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SampleKind {
    Cpu,
    Residual,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct SampleHead {
    pub(crate) tid: u32,
    pub(crate) kind: SampleKind,
    pub(crate) at: u64,
    pub(crate) weight: u64,
    pub(crate) context: Context,
}

pub(crate) trait Sink: Send + Sync + 'static {
    fn append(&self, head: SampleHead, frames: &[u64]) -> bool;
}
