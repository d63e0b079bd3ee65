//! PutObject.

use super::bodies::NewBody;
use super::catalog::{self, Headers, ObjectRow, seconds};
use super::condition::WriteCondition;
use super::digest::{Expected, hex, stated};
use super::error::Fault;
use super::outbox::{EventName, NewEvent};
use super::receive::{check_announced, receive};
use super::store::Store;
use super::writer::Batch;
use s3s::dto::{ETag, Metadata, PutObjectInput, PutObjectOutput};
use s3s::{S3Request, S3Result, s3_error};
use std::time::SystemTime;

/// Largest user metadata, names and values together, as in S3.
pub(super) const MAX_METADATA_BYTES: usize = 2048;

/// Longest key in bytes, as in S3. The protocol crate refuses longer ones in
/// a path; this is for keys that come otherwise.
pub(super) const MAX_KEY_BYTES: usize = 1024;

/// Copies the header fields of an S3 input.
macro_rules! headers {
    ($input:expr) => {
        $crate::s3::catalog::Headers {
            content_type: $input.content_type.take(),
            content_encoding: $input.content_encoding.take(),
            content_disposition: $input.content_disposition.take(),
            content_language: $input.content_language.take(),
            cache_control: $input.cache_control.take(),
            metadata: $crate::s3::put::metadata($input.metadata.take())?,
            ..Default::default()
        }
    };
}
pub(super) use headers;

/// # Errors
/// `MetadataTooLarge` over [`MAX_METADATA_BYTES`].
pub(super) fn metadata(
    given: Option<Metadata>,
) -> S3Result<std::collections::BTreeMap<String, String>> {
    let given = given.unwrap_or_default();
    let bytes: usize = given.iter().map(|(k, v)| k.len() + v.len()).sum();
    if bytes > MAX_METADATA_BYTES {
        let limit = MAX_METADATA_BYTES;
        return Err(s3_error!(MetadataTooLarge, "user metadata is over {limit} bytes"));
    }
    Ok(given.into_iter().collect())
}

pub(super) async fn put_object(
    store: &Store,
    mut request: S3Request<PutObjectInput>,
) -> Result<PutObjectOutput, Fault> {
    let input = &mut request.input;
    refuse_unsupported(input)?;
    check_announced(store, input.content_length)?;
    let mut headers: Headers = headers!(input);
    let stated = stated!(input);
    let blob = input.body.take();
    let expected = Expected::of(&request, stated);
    let received = receive(store, blob, &expected).await?;
    let checksum = received.digests.checksum;
    headers.checksums = checksum.clone().into();
    let input = request.input;
    let put = Put {
        bucket: input.bucket,
        key: input.key,
        body: received.body,
        size: received.size,
        etag: hex(&received.digests.md5),
        headers,
        condition: WriteCondition { if_match: input.if_match, if_none_match: input.if_none_match },
        event: EventName::CreatedPut,
        now: store.now(),
    };
    let row = store.writer.commit(|batch| put.apply(batch)).await?;
    Ok(PutObjectOutput {
        e_tag: Some(ETag::Strong(row.etag)),
        size: i64::try_from(row.size).ok(),
        checksum_crc32: checksum.checksum_crc32,
        checksum_crc32c: checksum.checksum_crc32c,
        checksum_crc64nvme: checksum.checksum_crc64nvme,
        checksum_sha1: checksum.checksum_sha1,
        checksum_sha256: checksum.checksum_sha256,
        ..Default::default()
    })
}

fn refuse_unsupported(input: &PutObjectInput) -> S3Result<()> {
    if input.sse_customer_algorithm.is_some() {
        return Err(s3_error!(NotImplemented, "customer keys are not supported here"));
    }
    if input.write_offset_bytes.is_some() {
        return Err(s3_error!(NotImplemented, "appending is not supported here"));
    }
    Ok(())
}

/// A new version of an object, whatever operation made it.
pub(super) struct Put {
    pub(super) bucket: String,
    pub(super) key: String,
    pub(super) body: NewBody,
    pub(super) size: u64,
    pub(super) etag: String,
    pub(super) headers: Headers,
    pub(super) condition: WriteCondition,
    pub(super) event: EventName,
    pub(super) now: SystemTime,
}

impl Put {
    /// Checks the condition and replaces the row: the commit point.
    pub(super) fn apply(self, batch: &mut Batch<'_>) -> Result<ObjectRow, Fault> {
        if !catalog::has_bucket(batch.conn, &self.bucket)? {
            return Err(no_such_bucket(&self.bucket).into());
        }
        let replaced = catalog::object(batch.conn, &self.bucket, &self.key)?;
        self.condition.check(replaced.as_ref())?;
        let row = ObjectRow {
            body: self.body.id(),
            size: self.size,
            etag: self.etag,
            modified: seconds(self.now),
            headers: self.headers,
        };
        catalog::put_object(batch.conn, &self.bucket, &self.key, &row)?;
        let event = NewEvent {
            bucket: &self.bucket,
            key: &self.key,
            size: row.size,
            etag: &row.etag,
            at: self.now,
        };
        batch.emit(self.event, event)?;
        batch.added(self.body.keep());
        if let Some(replaced) = replaced {
            batch.dropped(replaced.body);
        }
        Ok(row)
    }
}

pub(super) fn no_such_bucket(bucket: &str) -> s3s::S3Error {
    s3_error!(NoSuchBucket, "bucket `{bucket}` does not exist")
}
