//! The one place where errors become status codes.

use axum::{
    extract::rejection::QueryRejection,
    response::{IntoResponse, Response},
};
use flambeau_flame::ViewError;
use flambeau_layout::LayoutError;
use flambeau_query::{NarrowError, QueryError, RangeError};
use flambeau_store::{ErrorKind, StoreError};
use http::{StatusCode, header};

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// No such path.
    #[error("no such page; / lists services and types, /s/{{service}}/{{type}} is a profile")]
    NoRoute,
    /// A name that cannot be one.
    #[error(transparent)]
    Name(#[from] LayoutError),
    /// A time that cannot be read.
    #[error(transparent)]
    Range(#[from] RangeError),
    /// A parameter that cannot be read.
    #[error("{0}")]
    Parameter(String),
    /// The question has no answer.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// An expression that cannot be read.
    #[error(transparent)]
    Narrow(#[from] NarrowError),
    /// There is no such view.
    #[error(transparent)]
    View(#[from] ViewError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A page could not be written.
    #[error("page could not be written: {0}")]
    Page(#[from] askama::Error),
}

impl From<QueryRejection> for RenderError {
    fn from(rejection: QueryRejection) -> Self {
        Self::Parameter(format!("the query cannot be read: {}", rejection.body_text()))
    }
}

impl RenderError {
    fn status(&self) -> StatusCode {
        match self {
            Self::NoRoute
            | Self::Query(QueryError::Nothing { .. } | QueryError::NoBlock { .. })
            | Self::View(ViewError::Nothing(_) | ViewError::NoNode(_)) => StatusCode::NOT_FOUND,
            Self::Name(_) | Self::Range(_) | Self::Parameter(_) | Self::Narrow(_) => {
                StatusCode::BAD_REQUEST
            }
            Self::Query(QueryError::Store(error)) | Self::Store(error) => store_status(error),
            Self::Query(_) | Self::View(_) | Self::Page(_) => StatusCode::INTERNAL_SERVER_ERROR,
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

impl IntoResponse for RenderError {
    fn into_response(self) -> Response {
        let status = self.status();
        if status.is_server_error() {
            tracing::error!(error = %self, "request failed");
        }
        // `go tool pprof` shows the text of an error only with these two.
        let headers = [(header::CONTENT_TYPE, "text/plain; charset=utf-8"), (GO_PPROF, "1")];
        (status, headers, format!("{self}\n")).into_response()
    }
}

const GO_PPROF: header::HeaderName = header::HeaderName::from_static("x-go-pprof");
