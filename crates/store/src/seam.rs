//! The seam through which every write goes, so that tests can fail, delay,
//! repeat or end it before and after it happened.

use std::{fmt, future::Future, pin::Pin};

use crate::{Store, StoreError};

/// A write about to happen or just done.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Effect {
    /// An object is put.
    PutObject(String),
    /// An object is deleted.
    DeleteObject(String),
    /// A chunk's rows and claims are committed; names its first block.
    CommitChunk(String),
    /// Claims outside a chunk are put.
    PutClaim(String),
    /// A rollup is put and its children are covered (T1); names the rollup's key.
    RollUp(String),
    /// A covered child's `done` row is put (first half of T2).
    PutDone(String),
    /// A covered child's `open` row is deleted (second half of T2).
    DeleteOpen(String),
    /// A tombstone is put under an `open` key.
    Bar(String),
    /// A row is put as a rebuild found it.
    RestoreRow(String),
    /// A row is deleted for good.
    DeleteRow(String),
    /// A catalogue row is written.
    PutCatalogue(String),
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (verb, what) = match self {
            Self::PutObject(key) => ("put object", key),
            Self::DeleteObject(key) => ("delete object", key),
            Self::CommitChunk(block) => ("commit chunk", block),
            Self::PutClaim(claim) => ("put claim", claim),
            Self::RollUp(key) => ("roll up into", key),
            Self::PutDone(key) => ("put", key),
            Self::DeleteOpen(key) => ("delete", key),
            Self::Bar(key) => ("bar", key),
            Self::RestoreRow(key) => ("restore", key),
            Self::DeleteRow(key) => ("delete row", key),
            Self::PutCatalogue(service) => ("put catalogue", service),
        };
        write!(f, "{verb} `{what}`")
    }
}

/// What a seam's hooks return.
pub type Hook<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Decides over effects. The default does nothing.
pub trait Seam: Send + Sync {
    /// Called before the effect; says how often it shall happen, at least once.
    ///
    /// # Errors
    /// The error is what the caller sees; the effect does not happen.
    fn before<'a>(&'a self, effect: &'a Effect) -> Hook<'a, usize> {
        let _ = effect;
        Box::pin(async { Ok(1) })
    }

    /// Called after the effect happened.
    ///
    /// # Errors
    /// The error is what the caller sees, although the effect happened.
    fn after<'a>(&'a self, effect: &'a Effect) -> Hook<'a, ()> {
        let _ = effect;
        Box::pin(async { Ok(()) })
    }

    /// Called before each page of rows is read.
    ///
    /// # Errors
    /// The error is what the caller sees; the page is not read.
    fn reading<'a>(&'a self, what: &'a str) -> Hook<'a, ()> {
        let _ = what;
        Box::pin(async { Ok(()) })
    }
}

impl Store {
    pub(crate) async fn reading(&self, what: &str) -> Result<(), StoreError> {
        match &self.seam {
            Some(seam) => seam.reading(what).await,
            None => Ok(()),
        }
    }

    /// Runs an effect through the seam. Repeated effects answer as their last
    /// run does.
    pub(crate) async fn through<T, F, Fut>(&self, effect: Effect, run: F) -> Result<T, StoreError>
    where
        F: Fn() -> Fut,
        Fut: Future<Output = Result<T, StoreError>>,
    {
        let Some(seam) = &self.seam else { return run().await };
        for _ in 1..seam.before(&effect).await?.max(1) {
            run().await?;
        }
        let answer = run().await?;
        seam.after(&effect).await?;
        Ok(answer)
    }
}
