//! Store errors: callers match the kind, never the text.

use std::fmt;

use aws_sdk_dynamodb::error::ProvideErrorMetadata;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::SdkError;

/// What a caller can do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// There is no such object or item.
    NotFound,
    /// The service asks for patience: retry later.
    Throttled,
    /// The service is unreachable or failing: retry later.
    Unavailable,
    /// Two writers met; retry with fresh state.
    Conflict,
    /// Credentials or policies forbid it.
    Denied,
    /// The object is larger than the caller allows.
    TooLarge,
    /// What was read is not what was written.
    Corrupt,
    /// The request itself is wrong: a bug, or a missing bucket or table.
    Rejected,
}

/// An error of S3 or DynamoDB, with what was being done.
#[derive(Debug)]
pub struct StoreError {
    kind: ErrorKind,
    doing: String,
    detail: String,
}

impl StoreError {
    /// Makes an error; `doing` completes "failed to …".
    pub fn new(kind: ErrorKind, doing: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { kind, doing: doing.into(), detail: detail.into() }
    }

    /// What a caller can do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Whether the object may just be gone: S3 says "denied" of a missing one to
    /// whoever may not list its bucket.
    #[must_use]
    pub fn may_be_missing(&self) -> bool {
        matches!(self.kind, ErrorKind::NotFound | ErrorKind::Denied)
    }

    /// Whether the same call may succeed later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self.kind, ErrorKind::Throttled | ErrorKind::Unavailable | ErrorKind::Conflict)
    }

    pub(crate) fn corrupt(doing: impl Into<String>, detail: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Corrupt, doing, detail.to_string())
    }

    pub(crate) fn sdk<E>(doing: impl Into<String>, error: SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let status = error.raw_response().map(|response| response.status().as_u16());
        let kind = match &error {
            SdkError::ServiceError(service) => kind_of(service.err().code(), status),
            SdkError::ResponseError(_) => ErrorKind::Unavailable,
            SdkError::TimeoutError(_) | SdkError::DispatchFailure(_) => ErrorKind::Unavailable,
            _ => ErrorKind::Rejected,
        };
        let detail = match error.code() {
            Some(code) => format!("{code}: {}", error.message().unwrap_or("no message")),
            None => aws_sdk_s3::error::DisplayErrorContext(&error).to_string(),
        };
        Self::new(kind, doing, detail)
    }
}

/// Whether a conditional write was done: `false` when its condition did not
/// hold.
pub(crate) fn held<T, E>(
    answer: Result<T, SdkError<E, HttpResponse>>,
    doing: impl FnOnce() -> String,
) -> Result<bool, StoreError>
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    match answer {
        Ok(_) => Ok(true),
        Err(error) if error.code() == Some("ConditionalCheckFailedException") => Ok(false),
        Err(error) => Err(StoreError::sdk(doing(), error)),
    }
}

fn kind_of(code: Option<&str>, status: Option<u16>) -> ErrorKind {
    match (code, status) {
        (Some("NoSuchKey" | "NotFound"), _) => ErrorKind::NotFound,
        (
            Some(
                "SlowDown"
                | "ThrottlingException"
                | "ProvisionedThroughputExceededException"
                | "RequestLimitExceeded"
                | "RequestTimeout",
            ),
            _,
        )
        | (_, Some(429)) => ErrorKind::Throttled,
        (
            Some(
                "ConditionalRequestConflict"
                | "TransactionConflictException"
                | "TransactionInProgressException"
                | "TransactionCanceledException"
                | "ConditionalCheckFailedException"
                | "PreconditionFailed",
            ),
            _,
        ) => ErrorKind::Conflict,
        (Some("AccessDenied" | "AccessDeniedException"), _) | (_, Some(401 | 403)) => {
            ErrorKind::Denied
        }
        (None, Some(404)) => ErrorKind::NotFound,
        (_, Some(500..=599)) | (None, None) => ErrorKind::Unavailable,
        _ => ErrorKind::Rejected,
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "failed to {}: {}", self.doing, self.detail)
    }
}

impl std::error::Error for StoreError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_passing_troubles_are_transient() {
        let transient =
            |code, status| StoreError::new(kind_of(code, status), "read", "").is_transient();
        assert!(transient(Some("SlowDown"), Some(503)));
        assert!(transient(None, Some(500)));
        assert!(transient(None, None));
        assert!(transient(Some("ThrottlingException"), Some(400)));
        assert!(!transient(Some("NoSuchKey"), Some(404)));
        assert!(!transient(Some("NoSuchBucket"), Some(404)));
        assert!(!transient(Some("AccessDenied"), Some(403)));
        assert!(!transient(Some("ValidationException"), Some(400)));
    }
}
