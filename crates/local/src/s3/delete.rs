//! DeleteObject and DeleteObjects.

use super::catalog;
use super::condition::WriteCondition;
use super::error::Fault;
use super::outbox::{EventName, NewEvent};
use super::put::{MAX_KEY_BYTES, no_such_bucket};
use super::store::Store;
use super::writer::Batch;
use s3s::dto::{
    DeleteObjectInput, DeleteObjectOutput, DeleteObjectsInput, DeleteObjectsOutput, DeletedObject,
    ETagCondition, Error as KeyError, ObjectIdentifier,
};
use s3s::{S3Error, S3Result, s3_error};
use std::time::SystemTime;

/// Most keys of one DeleteObjects, as in S3.
pub(super) const MAX_DELETES: usize = 1000;

pub(super) async fn delete_object(
    store: &Store,
    input: DeleteObjectInput,
) -> Result<DeleteObjectOutput, Fault> {
    check_version(input.version_id.as_deref())?;
    let now = store.now();
    let condition = WriteCondition { if_match: input.if_match, if_none_match: None };
    let (bucket, key) = (input.bucket, input.key);
    let job = move |batch: &mut Batch<'_>| delete(batch, &bucket, &key, &condition, now);
    store.writer.commit(job).await?;
    Ok(DeleteObjectOutput::default())
}

pub(super) async fn delete_objects(
    store: &Store,
    input: DeleteObjectsInput,
) -> Result<DeleteObjectsOutput, Fault> {
    let objects = input.delete.objects;
    if objects.is_empty() || objects.len() > MAX_DELETES {
        return Err(s3_error!(MalformedXML, "name 1 to {MAX_DELETES} keys").into());
    }
    let quiet = input.delete.quiet.unwrap_or(false);
    let (bucket, now) = (input.bucket, store.now());
    let job = move |batch: &mut Batch<'_>| {
        let (mut deleted, mut errors) = (Vec::new(), Vec::new());
        for object in objects {
            match delete_one(batch, &bucket, &object, now) {
                Ok(()) => {
                    deleted.push(DeletedObject { key: Some(object.key), ..Default::default() })
                }
                Err(Fault::Client(error)) if *error.code() != s3s::S3ErrorCode::NoSuchBucket => {
                    errors.push(key_error(object.key, &error));
                }
                Err(fault) => return Err(fault),
            }
        }
        Ok((deleted, errors))
    };
    let (deleted, errors) = store.writer.commit(job).await?;
    Ok(DeleteObjectsOutput {
        deleted: (!quiet).then_some(deleted),
        errors: (!errors.is_empty()).then_some(errors),
        ..Default::default()
    })
}

fn key_error(key: String, error: &S3Error) -> KeyError {
    KeyError {
        code: Some(error.code().as_str().to_owned()),
        message: error.message().map(str::to_owned),
        key: Some(key),
        ..Default::default()
    }
}

fn delete_one(
    batch: &mut Batch<'_>,
    bucket: &str,
    object: &ObjectIdentifier,
    now: SystemTime,
) -> Result<(), Fault> {
    check_version(object.version_id.as_deref())?;
    if object.key.len() > MAX_KEY_BYTES {
        return Err(s3_error!(KeyTooLongError).into());
    }
    let condition = WriteCondition {
        if_match: object.e_tag.clone().map(ETagCondition::ETag),
        if_none_match: None,
    };
    delete(batch, bucket, &object.key, &condition, now)
}

fn check_version(version: Option<&str>) -> S3Result<()> {
    match version {
        None | Some("null") => Ok(()),
        Some(_) => Err(s3_error!(NoSuchVersion, "buckets have no versions here")),
    }
}

/// Deleting what is not there succeeds and is no event.
fn delete(
    batch: &mut Batch<'_>,
    bucket: &str,
    key: &str,
    condition: &WriteCondition,
    now: SystemTime,
) -> Result<(), Fault> {
    if !catalog::has_bucket(batch.conn, bucket)? {
        return Err(no_such_bucket(bucket).into());
    }
    let old = catalog::object(batch.conn, bucket, key)?;
    condition.check(old.as_ref())?;
    let Some(old) = old else {
        return Ok(());
    };
    catalog::delete_object(batch.conn, bucket, key)?;
    batch.dropped(old.body);
    let event = NewEvent { bucket, key, size: old.size, etag: &old.etag, at: now };
    batch.emit(EventName::RemovedDelete, event)?;
    Ok(())
}
