//! Objects within reach: where the bucket lies in this very process, its bytes
//! need no request, no signature and no socket.

use std::{fmt, future::Future, pin::Pin, sync::Arc};

use crate::{Got, Store};

/// What [`NearObjects::read`] returns.
pub type NearRead<'a> = Pin<Box<dyn Future<Output = Option<Got>> + Send + 'a>>;

/// Reads objects of the store's bucket past S3's protocol.
///
/// An answer is what S3 would have answered at some moment of the call. `None`
/// says nothing about the object: S3 is asked then, and it alone says what is
/// missing, too large or broken.
pub trait NearObjects: Send + Sync + fmt::Debug {
    /// Reads `part` (offset and length in bytes) of an object, or the whole;
    /// at most `limit` bytes.
    fn read<'a>(&'a self, key: &'a str, part: Option<(u64, u64)>, limit: u64) -> NearRead<'a>;
}

impl Store {
    /// The same store, reading objects from `near` where that has them.
    #[must_use]
    pub fn with_near_objects(mut self, near: Arc<dyn NearObjects>) -> Self {
        self.near = Some(near);
        self
    }

    pub(crate) async fn read_near(
        &self,
        key: &str,
        part: Option<(u64, u64)>,
        limit: u64,
    ) -> Option<Got> {
        match &self.near {
            Some(near) => near.read(key, part, limit).await,
            None => None,
        }
    }
}
