//! The one place where errors become status codes and texts.

use std::sync::Arc;

use axum::{
    extract::rejection::QueryRejection,
    response::{IntoResponse, Response},
};
use flambeau_flame::{NoNode, ViewError};
use flambeau_layout::LayoutError;
use flambeau_profile::MergeError;
use flambeau_query::{NarrowError, QueryError, RangeError, cost::NotTime};
use flambeau_store::{ErrorKind, StoreError};
use http::{HeaderValue, StatusCode, header};

use crate::access::Refusal;

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// No such path.
    #[error("no such page; / lists services and types, /s/{{service}}/{{type}} is a profile")]
    NoRoute,
    /// Whoever asks may not.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// A name that cannot be one.
    #[error(transparent)]
    Name(#[from] LayoutError),
    /// A time that cannot be read.
    #[error(transparent)]
    Range(#[from] RangeError),
    /// A parameter that cannot be read.
    #[error("{0}")]
    Parameter(String),
    /// An expression that cannot be read.
    #[error(transparent)]
    Narrow(#[from] NarrowError),
    /// What was asked for is no time.
    #[error(transparent)]
    NotTime(#[from] NotTime),
    /// More than one answer may hold.
    #[error("{0}")]
    TooLarge(String),
    /// The question has no answer.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// There is no such view.
    #[error(transparent)]
    View(#[from] ViewError),
    /// There is no such node.
    #[error(transparent)]
    Node(#[from] NoNode),
    /// The two sides measure different things.
    #[error("the two sides cannot be compared: {0}")]
    Unlike(String),
    /// There is no such trace.
    #[error("no trace `{0}`; they are kept for some days, …/traces lists them")]
    NoTrace(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A page could not be written.
    #[error("page could not be written: {0}")]
    Page(#[from] askama::Error),
    /// Work was cut short.
    #[error("the answer was not finished: {0}")]
    Unfinished(#[from] tokio::task::JoinError),
}

impl From<QueryRejection> for RenderError {
    fn from(rejection: QueryRejection) -> Self {
        Self::Parameter(format!("the query cannot be read: {}", rejection.body_text()))
    }
}

impl RenderError {
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::NoRoute
            | Self::NoTrace(_)
            | Self::Node(_)
            | Self::Query(QueryError::Nothing { .. } | QueryError::NoBlock { .. })
            | Self::View(ViewError::Nothing(_) | ViewError::NoNode(_) | ViewError::Untimed) => {
                StatusCode::NOT_FOUND
            }
            Self::Refused(Refusal::Nobody | Refusal::UnknownToken) => StatusCode::UNAUTHORIZED,
            Self::Refused(Refusal::Link(_)) => StatusCode::FORBIDDEN,
            Self::Refused(Refusal::Unready(_)) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Name(_)
            | Self::Range(_)
            | Self::Parameter(_)
            | Self::Narrow(_)
            | Self::NotTime(_)
            | Self::Unlike(_) => StatusCode::BAD_REQUEST,
            Self::TooLarge(_)
            | Self::View(ViewError::TooLong { .. })
            | Self::Query(
                QueryError::TooWide { .. }
                | QueryError::Merge(MergeError::Full { .. })
                | QueryError::Broken { error: MergeError::Full { .. }, .. },
            ) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Query(QueryError::Store(error)) | Self::Store(error) => store_status(error),
            Self::Query(_) | Self::View(_) | Self::Page(_) | Self::Unfinished(_) => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
        }
    }

    /// What is said: what is full says how to ask for less.
    fn said(&self) -> String {
        match self {
            Self::Query(QueryError::Broken { error: MergeError::Full { .. }, .. }) => {
                format!("{self}; narrow the range by from and until, or the samples by q")
            }
            _ => self.to_string(),
        }
    }
}

fn store_status(error: &StoreError) -> StatusCode {
    match error.kind() {
        ErrorKind::Throttled => StatusCode::TOO_MANY_REQUESTS,
        ErrorKind::Unavailable | ErrorKind::Conflict => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// What went wrong, for whoever shapes the answer.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    pub(crate) status: StatusCode,
    pub(crate) said: Arc<str>,
}

/// Seconds after which it is worth trying again.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("2");

impl IntoResponse for RenderError {
    /// As text; [`crate::problem::shaped`] makes it what was asked for.
    fn into_response(self) -> Response {
        let status = self.status();
        if status.is_server_error() {
            tracing::error!(error = %self, "request failed");
        }
        let problem = Problem { status, said: self.said().into() };
        let mut response = (status, format!("{}\n", problem.said)).into_response();
        let headers = response.headers_mut();
        if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            headers.insert(header::RETRY_AFTER, RETRY_AFTER);
        }
        if status == StatusCode::UNAUTHORIZED {
            let ways = HeaderValue::from_static("Basic realm=\"Flambeau\", charset=\"UTF-8\"");
            headers.insert(header::WWW_AUTHENTICATE, ways);
        }
        response.extensions_mut().insert(problem);
        response
    }
}
