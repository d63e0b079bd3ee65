//! A request's body → a body file, hashed on the way and synced at the end.

use super::bodies::NewBody;
use super::digest::{Digests, Expected, Hashers};
use super::error::Fault;
use super::store::{Store, blocking};
use bytes::Bytes;
use futures::StreamExt;
use s3s::dto::StreamingBlob;
use s3s::{S3Error, s3_error};
use std::io::Write;

/// Bytes gathered before they are written, so a small body is one piece of
/// blocking work.
const GATHER: usize = 1 << 20;

/// A whole, verified, durable body that no row names yet.
pub(super) struct Received {
    pub(super) body: NewBody,
    pub(super) size: u64,
    pub(super) digests: Digests,
}

struct Sink {
    body: NewBody,
    hashers: Hashers,
}

impl Sink {
    fn write(mut self, gathered: Vec<Bytes>) -> Result<Self, Fault> {
        for bytes in gathered {
            self.hashers.update(&bytes);
            self.body.file()?.write_all(&bytes)?;
        }
        Ok(self)
    }
}

/// Reads `blob` to its end and compares it with what the client said it is.
///
/// # Errors
/// `EntityTooLarge` over the store's limit; `IncompleteBody` if the client
/// breaks off or a signed chunk is wrong; `BadDigest` if a checksum differs.
/// In each case nothing is left behind.
pub(super) async fn receive(
    store: &Store,
    blob: Option<StreamingBlob>,
    expected: &Expected,
) -> Result<Received, Fault> {
    let mut sink = Sink { body: store.new_body().await?, hashers: expected.hashers() };
    let mut blob = blob.unwrap_or_else(|| s3s::Body::empty().into());
    let (mut gathered, mut waiting, mut size) = (Vec::new(), 0, 0_u64);
    while let Some(bytes) = blob.next().await {
        let bytes = bytes.map_err(broken_off)?;
        size = size.saturating_add(bytes.len() as u64);
        if size > store.max_object_bytes {
            return Err(too_large(store).into());
        }
        waiting += bytes.len();
        gathered.push(bytes);
        if waiting >= GATHER {
            waiting = 0;
            let full = std::mem::take(&mut gathered);
            sink = blocking(move || sink.write(full)).await?;
        }
    }
    let (body, digests) = blocking(move || {
        let Sink { mut body, hashers } = sink.write(gathered)?;
        body.sync()?;
        Ok::<_, Fault>((body, hashers.finish()))
    })
    .await?;
    expected.check(&digests)?;
    Ok(Received { body, size, digests })
}

/// Refuses by the announced length, before the body is read.
pub(super) fn check_announced(store: &Store, length: Option<i64>) -> Result<(), Fault> {
    let announced = length.and_then(|n| u64::try_from(n).ok()).unwrap_or(0);
    if announced > store.max_object_bytes {
        return Err(too_large(store).into());
    }
    Ok(())
}

fn too_large(store: &Store) -> S3Error {
    let limit = store.max_object_bytes;
    s3_error!(EntityTooLarge, "the body is larger than {limit} bytes")
}

fn broken_off(error: s3s::StdError) -> S3Error {
    let mut answer = s3_error!(IncompleteBody, "the body is not what was announced: {error}");
    answer.set_source(error);
    answer
}
