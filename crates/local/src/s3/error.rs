//! What can go wrong inside, and what of it a client is told.

use crate::dirlock::LockError;
use s3s::{S3Error, S3ErrorCode};
use std::io;

/// Why the store could not be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The directory is in use or unusable.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The catalogue failed.
    #[error("object catalogue: {0}")]
    Catalogue(#[from] rusqlite::Error),
    /// A newer Flambeau wrote the catalogue.
    #[error("object catalogue has version {found}, this build reads {known}: use a newer flambeau")]
    Version {
        /// The version in the file.
        found: i64,
        /// The version this build writes.
        known: i64,
    },
    /// A body file failed.
    #[error("object bodies: {0}")]
    Bodies(#[from] io::Error),
    /// A change was refused or did not become durable.
    #[error("not committed: {0}")]
    NotCommitted(String),
    /// The writer or the runtime is shutting down.
    #[error("object store is stopping")]
    Stopping,
}

/// Why a request was not answered as asked: the client's doing, or ours.
#[derive(Debug)]
pub(super) enum Fault {
    /// An S3 error for the client.
    Client(S3Error),
    /// An inner failure, told as `InternalError`.
    Store(Error),
}

impl From<S3Error> for Fault {
    fn from(error: S3Error) -> Self {
        Self::Client(error)
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Store(error.into())
    }
}

impl From<Fault> for S3Error {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Client(error) => error,
            Fault::Store(error) => {
                tracing::error!(%error, "request failed");
                S3Error::with_source(S3ErrorCode::InternalError, Box::new(error))
            }
        }
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Client(error) => Self::NotCommitted(error.to_string()),
            Fault::Store(error) => error,
        }
    }
}
