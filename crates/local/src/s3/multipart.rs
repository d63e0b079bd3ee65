//! Multipart uploads: parts are bodies of their own until they are joined
//! into one.

use super::bodies::{BodyId, NewBody};
use super::catalog::{self, Headers, seconds, time_of_seconds};
use super::condition::WriteCondition;
use super::digest::{Expected, hex, md5, stated};
use super::error::Fault;
use super::outbox::EventName;
use super::put::{Put, headers, no_such_bucket};
use super::receive::{Received, check_announced, receive};
use super::store::{Store, blocking};
use super::writer::Batch;
use rusqlite::{Connection, OptionalExtension, params};
use s3s::dto::{
    AbortMultipartUploadInput, AbortMultipartUploadOutput, CompleteMultipartUploadInput,
    CompleteMultipartUploadOutput, CompletedPart, CreateMultipartUploadInput,
    CreateMultipartUploadOutput, ETag, ListPartsInput, ListPartsOutput, Part as ListedPart,
    Timestamp, UploadPartInput, UploadPartOutput,
};
use s3s::{S3Request, S3Result, s3_error};
use std::io;
use std::sync::Arc;

/// Least size of every part but the last, as in S3: 5 MiB.
pub(super) const MIN_PART_BYTES: u64 = 5 << 20;

/// Highest part number, as in S3.
pub(super) const MAX_PARTS: i32 = 10_000;

/// Most parts of one page of a listing, as in S3.
const MAX_LISTED: i32 = 1000;

/// An upload under way: which object it will be.
#[derive(Clone)]
struct Upload {
    id: String,
    bucket: String,
    key: String,
}

impl Upload {
    /// The headers it was begun with.
    fn headers(&self, conn: &Connection) -> Result<Headers, Fault> {
        let found = conn
            .prepare_cached(
                "SELECT headers FROM uploads WHERE id = ?1 AND bucket = ?2 AND key = ?3",
            )?
            .query_row(params![self.id, self.bucket, self.key.as_bytes()], |row| {
                catalog::json(row, 0)
            })
            .optional()?;
        found.ok_or_else(|| {
            s3_error!(NoSuchUpload, "the upload was completed, aborted or never begun").into()
        })
    }
}

/// A part as the catalogue knows it.
#[derive(Clone, Debug, PartialEq)]
struct Part {
    number: i32,
    body: BodyId,
    size: u64,
    etag: String,
    modified: i64,
}

fn parts(conn: &Connection, upload: &str) -> rusqlite::Result<Vec<Part>> {
    conn.prepare_cached(
        "SELECT number, body, size, etag, modified FROM parts WHERE upload = ?1 ORDER BY number",
    )?
    .query_map([upload], |row| {
        Ok(Part {
            number: row.get(0)?,
            body: row.get(1)?,
            size: row.get(2)?,
            etag: row.get(3)?,
            modified: row.get(4)?,
        })
    })?
    .collect()
}

pub(super) async fn create(
    store: &Store,
    mut input: CreateMultipartUploadInput,
) -> Result<CreateMultipartUploadOutput, Fault> {
    let headers = catalog::to_json(&headers!(input))?;
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|error| io::Error::other(error.to_string()))?;
    let upload = Upload { id: hex(&random), bucket: input.bucket, key: input.key };
    let (begun, started) = (upload.clone(), seconds(store.now()));
    let job = move |batch: &mut Batch<'_>| {
        if !catalog::has_bucket(batch.conn, &begun.bucket)? {
            return Err(no_such_bucket(&begun.bucket).into());
        }
        batch.conn.execute(
            "INSERT INTO uploads VALUES (?1, ?2, ?3, ?4, ?5)",
            params![begun.id, begun.bucket, begun.key.as_bytes(), started, headers],
        )?;
        Ok(())
    };
    store.writer.commit(job).await?;
    Ok(CreateMultipartUploadOutput {
        bucket: Some(upload.bucket),
        key: Some(upload.key),
        upload_id: Some(upload.id),
        ..Default::default()
    })
}

pub(super) async fn upload_part(
    store: &Store,
    mut request: S3Request<UploadPartInput>,
) -> Result<UploadPartOutput, Fault> {
    let input = &mut request.input;
    let number = input.part_number;
    if !(1..=MAX_PARTS).contains(&number) {
        return Err(s3_error!(InvalidArgument, "part numbers are 1 to {MAX_PARTS}").into());
    }
    check_announced(store, input.content_length)?;
    let stated = stated!(input);
    let blob = input.body.take();
    let expected = Expected::of(&request, stated);
    let Received { body, size, digests } = receive(store, blob, &expected).await?;
    let upload = Upload {
        id: request.input.upload_id,
        bucket: request.input.bucket,
        key: request.input.key,
    };
    let etag = hex(&digests.md5);
    let part =
        Part { number, body: body.id(), size, etag: etag.clone(), modified: seconds(store.now()) };
    let job = move |batch: &mut Batch<'_>| put_part(batch, &upload, &part, body);
    store.writer.commit(job).await?;
    let sum = digests.checksum;
    Ok(UploadPartOutput {
        e_tag: Some(ETag::Strong(etag)),
        checksum_crc32: sum.checksum_crc32,
        checksum_crc32c: sum.checksum_crc32c,
        checksum_crc64nvme: sum.checksum_crc64nvme,
        checksum_sha1: sum.checksum_sha1,
        checksum_sha256: sum.checksum_sha256,
        ..Default::default()
    })
}

/// A part sent again replaces the one before.
fn put_part(
    batch: &mut Batch<'_>,
    upload: &Upload,
    part: &Part,
    body: NewBody,
) -> Result<(), Fault> {
    upload.headers(batch.conn)?;
    let replaced = batch
        .conn
        .prepare_cached("SELECT body FROM parts WHERE upload = ?1 AND number = ?2")?
        .query_row(params![upload.id, part.number], |row| row.get(0))
        .optional()?;
    batch
        .conn
        .prepare_cached("INSERT OR REPLACE INTO parts VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?
        .execute(params![upload.id, part.number, part.body, part.size, part.etag, part.modified])?;
    batch.added(body.keep());
    if let Some(replaced) = replaced {
        batch.dropped(replaced);
    }
    Ok(())
}

pub(super) async fn complete(
    store: &Store,
    input: CompleteMultipartUploadInput,
) -> Result<CompleteMultipartUploadOutput, Fault> {
    let upload = Upload { id: input.upload_id, bucket: input.bucket, key: input.key };
    let wanted = input.multipart_upload.and_then(|u| u.parts);
    let wanted = wanted.unwrap_or_default();
    let asked = upload.clone();
    let query = move |conn: &Connection| {
        let headers = asked.headers(conn)?;
        let held = parts(conn, &asked.id)?;
        Ok::<_, Fault>((headers, held.clone(), choose(&held, &wanted)?))
    };
    let (headers, held, chosen) = store.read(query).await?;
    let body = join(store, chosen.clone()).await?;
    let put = Put {
        bucket: upload.bucket.clone(),
        key: upload.key.clone(),
        body,
        size: chosen.iter().map(|part| part.size).sum(),
        etag: joined_etag(&chosen)?,
        headers,
        condition: WriteCondition { if_match: input.if_match, if_none_match: input.if_none_match },
        event: EventName::CreatedCompleteMultipartUpload,
        now: store.now(),
    };
    let ended = upload.clone();
    let job = move |batch: &mut Batch<'_>| {
        ended.headers(batch.conn)?;
        if parts(batch.conn, &ended.id)? != held {
            return Err(s3_error!(InvalidPart, "a part was sent again meanwhile").into());
        }
        let row = put.apply(batch)?;
        end(batch, &ended.id)?;
        Ok(row)
    };
    let row = store.writer.commit(job).await?;
    Ok(CompleteMultipartUploadOutput {
        location: Some(format!("/{}/{}", upload.bucket, upload.key)),
        bucket: Some(upload.bucket),
        key: Some(upload.key),
        e_tag: Some(ETag::Strong(row.etag)),
        ..Default::default()
    })
}

/// The held parts that the client names, in its order, which must ascend.
fn choose(held: &[Part], wanted: &[CompletedPart]) -> S3Result<Vec<Part>> {
    if wanted.is_empty() {
        return Err(s3_error!(MalformedXML, "name at least one part"));
    }
    let mut chosen: Vec<Part> = Vec::with_capacity(wanted.len());
    for part in wanted {
        let number = part.part_number.unwrap_or(0);
        if chosen.last().is_some_and(|last| last.number >= number) {
            return Err(s3_error!(InvalidPartOrder, "part {number} is out of order"));
        }
        let etag = part.e_tag.as_ref().map(ETag::value);
        let found = held.iter().find(|h| h.number == number);
        let found = found.filter(|h| etag.is_some_and(|etag| etag == h.etag));
        let missing = || s3_error!(InvalidPart, "part {number} is not the one that was sent");
        chosen.push(found.ok_or_else(missing)?.clone());
    }
    let before_last = chosen.get(..chosen.len() - 1).unwrap_or_default();
    if let Some(small) = before_last.iter().find(|p| p.size < MIN_PART_BYTES) {
        let (number, least) = (small.number, MIN_PART_BYTES);
        return Err(s3_error!(EntityTooSmall, "part {number} is under {least} bytes"));
    }
    Ok(chosen)
}

async fn join(store: &Store, chosen: Vec<Part>) -> Result<NewBody, Fault> {
    let bodies = Arc::clone(&store.bodies);
    blocking(move || {
        let mut joined = bodies.create()?;
        for part in &chosen {
            // Gone if the upload ended meanwhile.
            let mut source = bodies.read(part.body).map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => s3_error!(NoSuchUpload).into(),
                _ => Fault::from(error),
            })?;
            io::copy(&mut source, joined.file()?)?;
        }
        joined.sync()?;
        Ok(joined)
    })
    .await
}

/// S3's entity tag of a joined object: MD5 over the parts' MD5s, and how many.
fn joined_etag(chosen: &[Part]) -> Result<String, Fault> {
    let mut sums = Vec::with_capacity(chosen.len() * 16);
    for part in chosen {
        let sum = u128::from_str_radix(&part.etag, 16).map_err(io::Error::other)?;
        sums.extend_from_slice(&sum.to_be_bytes());
    }
    Ok(format!("{}-{}", hex(&md5(&sums)), chosen.len()))
}

/// Forgets an upload; its parts' bodies go after the commit.
fn end(batch: &mut Batch<'_>, upload: &str) -> rusqlite::Result<()> {
    for part in parts(batch.conn, upload)? {
        batch.dropped(part.body);
    }
    let delete = "DELETE FROM uploads WHERE id = ?1";
    batch.conn.prepare_cached(delete)?.execute([upload])?;
    Ok(())
}

pub(super) async fn abort(
    store: &Store,
    input: AbortMultipartUploadInput,
) -> Result<AbortMultipartUploadOutput, Fault> {
    let upload = Upload { id: input.upload_id, bucket: input.bucket, key: input.key };
    let job = move |batch: &mut Batch<'_>| {
        upload.headers(batch.conn)?;
        Ok(end(batch, &upload.id)?)
    };
    store.writer.commit(job).await?;
    Ok(AbortMultipartUploadOutput::default())
}

pub(super) async fn list_parts(
    store: &Store,
    input: ListPartsInput,
) -> Result<ListPartsOutput, Fault> {
    let upload = Upload {
        id: input.upload_id.clone(),
        bucket: input.bucket.clone(),
        key: input.key.clone(),
    };
    let query = move |conn: &Connection| {
        upload.headers(conn)?;
        Ok::<_, Fault>(parts(conn, &upload.id)?)
    };
    let mut held = store.read(query).await?;
    let after = input.part_number_marker.unwrap_or(0);
    held.retain(|part| part.number > after);
    let limit = input.max_parts.unwrap_or(MAX_LISTED).clamp(0, MAX_LISTED);
    let is_truncated = held.len() > limit as usize;
    held.truncate(limit as usize);
    let next = held.last().map(|part| part.number);
    Ok(ListPartsOutput {
        bucket: Some(input.bucket),
        key: Some(input.key),
        upload_id: Some(input.upload_id),
        max_parts: Some(limit),
        part_number_marker: input.part_number_marker,
        next_part_number_marker: next.filter(|_| is_truncated),
        is_truncated: Some(is_truncated),
        parts: Some(held.into_iter().map(listed).collect()),
        ..Default::default()
    })
}

fn listed(part: Part) -> ListedPart {
    ListedPart {
        part_number: Some(part.number),
        size: i64::try_from(part.size).ok(),
        e_tag: Some(ETag::Strong(part.etag)),
        last_modified: Some(Timestamp::from(time_of_seconds(part.modified))),
        ..Default::default()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::s3::bodies::Bodies;
    use std::collections::HashSet;

    #[test]
    fn all_parts_but_the_last_have_a_least_size() {
        let dir = tempfile::tempdir().unwrap();
        let bodies = Bodies::open(dir.path().into(), &HashSet::new()).unwrap();
        let part = |number, size| Part {
            number,
            body: bodies.create().unwrap().id(),
            size,
            etag: "0".into(),
            modified: 0,
        };
        let named = |part: &Part| CompletedPart {
            part_number: Some(part.number),
            e_tag: Some(ETag::Strong(part.etag.clone())),
            ..Default::default()
        };
        let code_of = |sizes: [u64; 2]| {
            let held = [part(1, sizes[0]), part(2, sizes[1])];
            let chosen = choose(&held, &held.each_ref().map(named));
            chosen.map(|c| c.len()).map_err(|e| e.code().as_str().to_owned())
        };
        assert_eq!(code_of([MIN_PART_BYTES, 0]), Ok(2));
        let refused = code_of([MIN_PART_BYTES - 1, MIN_PART_BYTES]);
        assert_eq!(refused, Err("EntityTooSmall".to_owned()));
    }
}
