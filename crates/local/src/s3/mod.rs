//! An S3 server for one machine, over the [`s3s`] protocol crate.
//!
//! An object is a row in SQLite that names an immutable body file. A put
//! writes and syncs its body, then one writer thread checks the condition,
//! writes the row and the event in one transaction, and only then the client
//! gets its 200. So a reader sees one version or the other, exactly one of
//! many conditional puts wins, and no event is lost between object and outbox.
//!
//! Kept: bytes, the standard content headers, user metadata, checksums that
//! the client sent. Accepted and not kept: ACLs, tags, storage class,
//! encryption settings. Absent: versions, policies, lifecycle.

mod bodies;
mod catalog;
mod condition;
mod copy;
mod delete;
mod digest;
mod error;
mod get;
mod list;
mod multipart;
mod near;
mod outbox;
mod put;
mod receive;
mod service;
mod store;
mod writer;

pub use error::Error;
pub use outbox::{Event, EventName, Outbox, UnknownEventName};

use crate::loopback::{self, Served};
use flambeau_store::NearObjects;
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;
use store::Store;
use tokio::net::TcpListener;

/// The access key the server knows, unless [`Options`] names another. It
/// keeps accidents out, not people: who can reach the port can read this.
pub const ACCESS_KEY_ID: &str = "flambeau";

/// The secret of [`ACCESS_KEY_ID`].
pub const SECRET_ACCESS_KEY: &str = "flambeau-local";

/// The region the server says it is in. It accepts signatures for any.
pub const REGION: &str = "us-east-1";

/// Largest object by one put, as in S3: 5 GiB.
pub const MAX_PUT_BYTES: u64 = 5 << 30;

/// Where the time comes from: `Last-Modified`, `Date`, event times.
pub type Clock = Arc<dyn Fn() -> SystemTime + Send + Sync>;

/// How the store is opened.
#[derive(Clone)]
pub struct Options {
    /// Events are recorded for keys that begin with one of these. Default:
    /// one empty prefix, so all keys.
    pub event_prefixes: Vec<String>,
    /// The server's clock. Default: the system's. Presigned links expire by
    /// the system's all the same.
    pub clock: Clock,
    /// Largest body of one put or part. Default: [`MAX_PUT_BYTES`].
    pub max_object_bytes: u64,
    /// The one access key accepted.
    pub access_key_id: String,
    /// Its secret.
    pub secret_access_key: String,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            event_prefixes: vec![String::new()],
            clock: Arc::new(SystemTime::now),
            max_object_bytes: MAX_PUT_BYTES,
            access_key_id: ACCESS_KEY_ID.to_owned(),
            secret_access_key: SECRET_ACCESS_KEY.to_owned(),
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("event_prefixes", &self.event_prefixes)
            .field("max_object_bytes", &self.max_object_bytes)
            .field("access_key_id", &self.access_key_id)
            .finish_non_exhaustive()
    }
}

/// An open store. Clones share it; its directory stays locked until the last
/// one, its outboxes and its servers' requests are gone.
#[derive(Clone, Debug)]
pub struct EmbeddedS3 {
    store: Arc<Store>,
    access_key_id: String,
    secret_access_key: String,
}

impl EmbeddedS3 {
    /// Opens or creates the store in `dir` and removes what a crash left
    /// half done. Blocks for time linear in the number of objects.
    ///
    /// # Errors
    /// If the directory is in use ([`Error::Lock`]) or cannot be read.
    pub fn open(dir: &Path, options: Options) -> Result<Self, Error> {
        let access_key_id = options.access_key_id.clone();
        let secret_access_key = options.secret_access_key.clone();
        Ok(Self { store: Arc::new(Store::open(dir, options)?), access_key_id, secret_access_key })
    }

    /// Creates a bucket unless it exists.
    ///
    /// # Errors
    /// If the name is not a bucket name or the catalogue cannot be written.
    pub async fn ensure_bucket(&self, name: &str) -> Result<(), Error> {
        service::ensure_bucket(&self.store, name).await?;
        Ok(())
    }

    /// Serves S3 on `listener`, to loopback names only
    /// ([`loopback_only`](loopback::loopback_only)).
    ///
    /// # Errors
    /// If the listener cannot tell its address.
    pub fn serve(&self, listener: TcpListener) -> io::Result<Served> {
        let app =
            service::router(Arc::clone(&self.store), &self.access_key_id, &self.secret_access_key);
        loopback::serve(listener, app)
    }

    /// A bucket's objects, read without a request. They are there for as long
    /// as this store or a clone of it is.
    pub fn near(&self, bucket: &str) -> Arc<dyn NearObjects> {
        Arc::new(near::Near { store: Arc::downgrade(&self.store), bucket: bucket.to_owned() })
    }

    /// The events not yet acknowledged.
    pub fn outbox(&self) -> Outbox {
        Outbox::new(Arc::clone(&self.store))
    }
}
