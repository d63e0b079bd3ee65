//! The sample log: what was sampled outlives the process, however it ends.
//!
//! Each process start has a file of its own, mapped and shared with the kernel's page cache:
//! a store is all it takes to save a sample, and a `SIGKILL` does not undo it. The next start in
//! the environment finds the files of the dead and sends what they had not.
//!
//! | file | |
//! |---|---|
//! | `protocol.rs` | who may write where: reserve, commit, seal, release; model-checked |
//! | `format.rs` | the shape of the file, word by word |
//! | `write.rs` | making a log, samples, definitions |
//! | `seal.rs` | taking a half's samples away |
//! | `account.rs` | counters and the ledger: told once |
//! | `notes.rs` | identity, clocks, invocation, open spans |
//! | `scan.rs`, `read.rs` | records among any bytes; a whole file |
//! | `memory.rs`, `dead.rs` | files: made, locked, found, claimed |
//! | `crc.rs`, `sample.rs` | checksums; a sample's words |
//!
//! Deliberately absent: rotation, compression, interning of stacks. The file is a minute's
//! memory, not a store.

mod account;
mod crc;
mod dead;
mod format;
mod memory;
mod notes;
mod protocol;
mod read;
mod sample;
mod scan;
mod seal;
mod write;

#[cfg(test)]
mod tests;

/// What the protocol's counters are made of; its model puts others here.
mod atomic {
    pub(crate) use std::sync::atomic::{AtomicU64, Ordering, fence};
}

pub(crate) use account::Account;
pub(crate) use dead::{DeadFile, Found, MAX_DEAD_BYTES, MAX_DEAD_FILES, find_dead};
pub(crate) use format::{Counter, LEDGER_SLOTS, MAX_FRAMES};
pub(crate) use notes::{
    Clock, LoggedIdentity, LoggedInvocation, MAX_OPEN_SPANS, Notes, OpenSpans, Outcome,
};
pub(crate) use read::{DeadHalf, DeadLog, Header, LoggedDefinition, read};
pub(crate) use sample::{Sample, SampleHead, SampleKind};
pub(crate) use seal::{Fill, Sealed};
pub(crate) use write::{LogError, LogOptions, SampleLog};
