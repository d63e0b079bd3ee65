//! CopyObject: the copy shares the source's bytes by a hard link.

use super::bodies::NewBody;
use super::catalog;
use super::catalog::{ObjectRow, time_of_seconds};
use super::condition::{ReadCondition, WriteCondition};
use super::error::Fault;
use super::get::missing;
use super::outbox::EventName;
use super::put::{Put, headers};
use super::store::{Store, blocking};
use s3s::dto::{
    CopyObjectInput, CopyObjectOutput, CopyObjectResult, CopySource, ETag, MetadataDirective,
    Timestamp,
};
use s3s::s3_error;
use std::io;
use std::sync::Arc;

pub(super) async fn copy_object(
    store: &Store,
    mut input: CopyObjectInput,
) -> Result<CopyObjectOutput, Fault> {
    let CopySource::Bucket { bucket, key, .. } = &input.copy_source else {
        return Err(s3_error!(NotImplemented, "copy from `bucket/key` only").into());
    };
    let source = (bucket.to_string(), key.to_string());
    let replaces = is_replacing(&input);
    if !replaces && source == (input.bucket.clone(), input.key.clone()) {
        let why = "a copy onto itself must replace the metadata";
        return Err(s3_error!(InvalidRequest, "{why}").into());
    }
    let condition = ReadCondition {
        if_match: input.copy_source_if_match.take(),
        if_none_match: input.copy_source_if_none_match.take(),
        if_modified_since: input.copy_source_if_modified_since.take(),
        if_unmodified_since: input.copy_source_if_unmodified_since.take(),
    };
    let (row, body) = link(store, source, condition).await?;
    let mut headers = row.headers;
    if replaces {
        let checksums = headers.checksums;
        headers = headers!(input);
        headers.checksums = checksums;
    }
    let put = Put {
        bucket: input.bucket,
        key: input.key,
        body,
        size: row.size,
        etag: row.etag,
        headers,
        condition: WriteCondition::default(),
        event: EventName::CreatedCopy,
        now: store.now(),
    };
    let row = store.writer.commit(|batch| put.apply(batch)).await?;
    let result = CopyObjectResult {
        e_tag: Some(ETag::Strong(row.etag)),
        last_modified: Some(Timestamp::from(time_of_seconds(row.modified))),
        ..Default::default()
    };
    Ok(CopyObjectOutput { copy_object_result: Some(result), ..Default::default() })
}

fn is_replacing(input: &CopyObjectInput) -> bool {
    let directive = input.metadata_directive.as_ref();
    directive.is_some_and(|d| d.as_str() == MetadataDirective::REPLACE)
}

/// The source's row, and a new body with its bytes.
async fn link(
    store: &Store,
    (bucket, key): (String, String),
    condition: ReadCondition,
) -> Result<(ObjectRow, NewBody), Fault> {
    let readers = Arc::clone(&store.readers);
    let bodies = Arc::clone(&store.bodies);
    blocking(move || {
        loop {
            let row = readers.read(|conn| match catalog::object(conn, &bucket, &key)? {
                Some(row) => Ok(row),
                None => Err(missing(conn, &bucket)?),
            })?;
            // The date conditions are failed preconditions here, never 304.
            condition.check(&row).map_err(|_| {
                s3_error!(PreconditionFailed, "the source does not meet the condition")
            })?;
            match bodies.link(row.body) {
                Ok(body) => return Ok((row, body)),
                // Replaced between the row and the link: look again.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    let now = readers.read(|conn| catalog::object(conn, &bucket, &key))?;
                    if now.is_some_and(|now| now.body == row.body) {
                        return Err(Fault::from(error));
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
    })
    .await
}
