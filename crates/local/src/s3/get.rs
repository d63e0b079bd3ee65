//! GetObject and HeadObject.

use super::catalog::{self, ObjectRow, time_of_seconds};
use super::condition::ReadCondition;
use super::error::Fault;
use super::put::no_such_bucket;
use super::store::{Store, blocking};
use bytes::Bytes;
use futures::{StreamExt, stream};
use rusqlite::Connection;
use s3s::dto::{
    ChecksumMode, ETag, GetObjectInput, GetObjectOutput, HeadObjectInput, HeadObjectOutput, Range,
    StreamingBlob, Timestamp,
};
use s3s::{S3Result, s3_error};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops;
use std::sync::Arc;

/// Bytes read from a body at a time.
const CHUNK: u64 = 256 << 10;

/// What GET and HEAD ask alike.
struct Ask {
    bucket: String,
    key: String,
    condition: ReadCondition,
    range: Option<Range>,
    checksums: bool,
}

macro_rules! ask {
    ($input:expr) => {{
        let input = $input;
        refuse_unsupported(input.part_number.is_some(), input.version_id.as_deref())?;
        Ask {
            bucket: input.bucket,
            key: input.key,
            condition: ReadCondition {
                if_match: input.if_match,
                if_none_match: input.if_none_match,
                if_modified_since: input.if_modified_since,
                if_unmodified_since: input.if_unmodified_since,
            },
            range: input.range,
            checksums: is_enabled(input.checksum_mode.as_ref()),
        }
    }};
}

/// Fills the fields that both outputs have.
macro_rules! output {
    ($output:ident, $answer:expr) => {{
        let Answer { row, part, .. } = $answer;
        let sums = row.headers.checksums;
        $output {
            accept_ranges: Some("bytes".to_owned()),
            cache_control: row.headers.cache_control,
            checksum_crc32: sums.crc32,
            checksum_crc32c: sums.crc32c,
            checksum_crc64nvme: sums.crc64nvme,
            checksum_sha1: sums.sha1,
            checksum_sha256: sums.sha256,
            content_disposition: row.headers.content_disposition,
            content_encoding: row.headers.content_encoding,
            content_language: row.headers.content_language,
            content_length: i64::try_from(part.bytes.end - part.bytes.start).ok(),
            content_range: part.content_range,
            content_type: row.headers.content_type,
            e_tag: Some(ETag::Strong(row.etag)),
            last_modified: Some(Timestamp::from(time_of_seconds(row.modified))),
            metadata: Some(row.headers.metadata.into_iter().collect()),
            ..Default::default()
        }
    }};
}

pub(super) async fn get_object(
    store: &Store,
    input: GetObjectInput,
) -> Result<GetObjectOutput, Fault> {
    // What a presigned link says the answer is to be called.
    let saved_as = input.response_content_disposition.clone();
    let ask: Ask = ask!(input);
    let readers = Arc::clone(&store.readers);
    let bodies = Arc::clone(&store.bodies);
    let mut answer: Answer = blocking(move || {
        loop {
            let mut answer = readers.read(|conn| ask.answer(conn))?;
            match bodies.read(answer.row.body) {
                Ok(file) => {
                    answer.body = Some(Body::open(file, answer.part.bytes.clone())?);
                    return Ok(answer);
                }
                // Replaced between the row and the file: the new row has it.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    let now = readers.read(|conn| catalog::object(conn, &ask.bucket, &ask.key))?;
                    if now.is_some_and(|row| row.body == answer.row.body) {
                        return Err(Fault::from(error));
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
    })
    .await?;
    let body = answer.body.take().map(Body::into_blob);
    let mut output: GetObjectOutput = output!(GetObjectOutput, answer);
    output.body = body;
    output.content_disposition = saved_as.or(output.content_disposition);
    Ok(output)
}

pub(super) async fn head_object(
    store: &Store,
    input: HeadObjectInput,
) -> Result<HeadObjectOutput, Fault> {
    let ask: Ask = ask!(input);
    let answer: Answer = store.read(move |conn| ask.answer(conn)).await?;
    Ok(output!(HeadObjectOutput, answer))
}

fn refuse_unsupported(by_part: bool, version: Option<&str>) -> S3Result<()> {
    if by_part {
        return Err(s3_error!(NotImplemented, "reading by part number is not supported here"));
    }
    match version {
        // The id S3 gives to every object of a bucket without versions.
        None | Some("null") => Ok(()),
        Some(_) => Err(s3_error!(NoSuchVersion, "buckets have no versions here")),
    }
}

fn is_enabled(mode: Option<&ChecksumMode>) -> bool {
    mode.is_some_and(|mode| mode.as_str() == ChecksumMode::ENABLED)
}

struct Answer {
    row: ObjectRow,
    part: Part,
    body: Option<Body>,
}

struct Part {
    bytes: ops::Range<u64>,
    content_range: Option<String>,
}

impl Ask {
    fn answer(&self, conn: &Connection) -> Result<Answer, Fault> {
        let Some(mut row) = catalog::object(conn, &self.bucket, &self.key)? else {
            return Err(missing(conn, &self.bucket)?);
        };
        self.condition.check(&row)?;
        let part = self.part(row.size)?;
        if !self.checksums || part.content_range.is_some() {
            // They are of the whole body; a client would check the part.
            row.headers.checksums = Default::default();
        }
        Ok(Answer { row, part, body: None })
    }

    fn part(&self, size: u64) -> S3Result<Part> {
        let Some(range) = self.range else {
            let content_range = None;
            return Ok(Part { bytes: 0..size, content_range });
        };
        let bytes = range.check(size)?;
        if bytes.is_empty() {
            return Err(s3_error!(InvalidRange, "the object is empty"));
        }
        let (first, last) = (bytes.start, bytes.end - 1);
        let content_range = Some(format!("bytes {first}-{last}/{size}"));
        Ok(Part { bytes, content_range })
    }
}

/// The error for a key that is not there.
pub(super) fn missing(conn: &Connection, bucket: &str) -> rusqlite::Result<Fault> {
    let error = if catalog::has_bucket(conn, bucket)? {
        s3_error!(NoSuchKey, "the key does not exist")
    } else {
        no_such_bucket(bucket)
    };
    Ok(error.into())
}

/// A part of a body file, its beginning already read.
struct Body {
    first: Bytes,
    file: File,
    rest: u64,
}

impl Body {
    fn open(mut file: File, part: ops::Range<u64>) -> io::Result<Self> {
        file.seek(SeekFrom::Start(part.start))?;
        let mut rest = part.end - part.start;
        let first = read_chunk(&mut file, &mut rest)?;
        Ok(Self { first, file, rest })
    }

    fn into_blob(self) -> StreamingBlob {
        if self.rest == 0 {
            return s3s::Body::from(self.first).into();
        }
        let Self { first, file, rest } = self;
        let later = stream::try_unfold((file, rest), |(mut file, mut rest)| async move {
            if rest == 0 {
                return Ok(None);
            }
            let read = move || {
                let bytes = read_chunk(&mut file, &mut rest)?;
                Ok(Some((bytes, (file, rest))))
            };
            let joined = tokio::task::spawn_blocking(read).await;
            joined.unwrap_or_else(|error| Err(io::Error::other(error)))
        });
        let first = stream::once(std::future::ready(Ok(first)));
        StreamingBlob::wrap(first.chain(later))
    }
}

fn read_chunk(file: &mut File, rest: &mut u64) -> io::Result<Bytes> {
    let length = (*rest).min(CHUNK);
    let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
    file.read_exact(&mut bytes)?;
    *rest -= length;
    Ok(bytes.into())
}
