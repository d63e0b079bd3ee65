//! Conditional requests (RFC 9110, section 13), as S3 answers them.

use super::catalog::{ObjectRow, time_of_seconds};
use s3s::dto::{ETag, ETagCondition, Timestamp};
use s3s::{S3Error, S3Result, s3_error};

/// What a write demands of the object under its key.
#[derive(Debug, Default)]
pub(super) struct WriteCondition {
    pub(super) if_match: Option<ETagCondition>,
    pub(super) if_none_match: Option<ETagCondition>,
}

impl WriteCondition {
    /// # Errors
    /// `PreconditionFailed`; `NoSuchKey` for `If-Match` on nothing;
    /// `NotImplemented` for `If-None-Match` with anything but `*`, as in S3.
    pub(super) fn check(&self, current: Option<&ObjectRow>) -> S3Result<()> {
        match &self.if_none_match {
            Some(ETagCondition::ETag(_)) => {
                return Err(s3_error!(NotImplemented, "If-None-Match takes only `*` here"));
            }
            Some(ETagCondition::Any) if current.is_some() => {
                return Err(s3_error!(PreconditionFailed, "the object exists"));
            }
            _ => {}
        }
        let Some(wanted) = &self.if_match else {
            return Ok(());
        };
        match current {
            None => Err(s3_error!(NoSuchKey, "If-Match on a key that does not exist")),
            Some(row) if matches(wanted, row) => Ok(()),
            Some(_) => Err(s3_error!(PreconditionFailed, "the object has changed")),
        }
    }
}

/// What a read demands of the object.
#[derive(Debug, Default)]
pub(super) struct ReadCondition {
    pub(super) if_match: Option<ETagCondition>,
    pub(super) if_none_match: Option<ETagCondition>,
    pub(super) if_modified_since: Option<Timestamp>,
    pub(super) if_unmodified_since: Option<Timestamp>,
}

impl ReadCondition {
    /// An entity tag outranks a date, a failed precondition a 304.
    ///
    /// # Errors
    /// `PreconditionFailed` (412) or `NotModified` (304, with the `ETag`).
    pub(super) fn check(&self, row: &ObjectRow) -> S3Result<()> {
        let modified = Timestamp::from(time_of_seconds(row.modified));
        let still_wanted = match (&self.if_match, &self.if_unmodified_since) {
            (Some(wanted), _) => matches(wanted, row),
            (None, Some(date)) => modified <= *date,
            (None, None) => true,
        };
        if !still_wanted {
            return Err(s3_error!(PreconditionFailed, "the object has changed"));
        }
        let already_had = match (&self.if_none_match, &self.if_modified_since) {
            (Some(had), _) => matches(had, row),
            (None, Some(date)) => modified <= *date,
            (None, None) => false,
        };
        if already_had {
            return Err(not_modified(row));
        }
        Ok(())
    }
}

fn matches(condition: &ETagCondition, row: &ObjectRow) -> bool {
    condition.as_etag().is_none_or(|etag| etag.value() == row.etag)
}

fn not_modified(row: &ObjectRow) -> S3Error {
    let mut error = s3_error!(NotModified);
    if let Ok(etag) = ETag::Strong(row.etag.clone()).to_http_header() {
        error.set_headers([(axum::http::header::ETAG, etag)].into_iter().collect());
    }
    error
}
