//! A DynamoDB for one machine: the engine is [`dynoxide`], over one SQLite
//! file; the HTTP door is ours.
//!
//! Why not the engine's own server: it lets any web page in (its CORS answer
//! is `*`) and runs SQLite on the async threads. Both doors speak the same
//! JSON; this one takes what SDKs send and leaves the exact wording of
//! answers to malformed JSON to the engine's.
//!
//! No streams: with one in the file every write costs time linear in all
//! stream records ever made. The S3 outbox drives what a stream would.

use crate::dirlock::{DirLock, LockError};
use crate::loopback::{self, Served};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use dynoxide::{Database, DynoxideError};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;
use tokio::net::TcpListener;

/// Largest request, as in DynamoDB: 16 MiB.
pub const MAX_REQUEST_BYTES: usize = 16 << 20;

/// What `X-Amz-Target` begins with.
const TARGET: &str = "DynamoDB_20120810.";

const CONTENT_TYPE: HeaderValue = HeaderValue::from_static("application/x-amz-json-1.0");

/// Why the database could not be opened or used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The directory is in use or unusable.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The path is not UTF-8, which the engine needs.
    #[error("`{0}` is not UTF-8: choose another directory")]
    Path(String),
    /// The engine refused.
    #[error("embedded DynamoDB: {0}")]
    Engine(#[from] DynoxideError),
    /// The runtime is shutting down.
    #[error("embedded DynamoDB is stopping")]
    Stopping,
}

/// An open database. Clones share it; its directory stays locked until the
/// last one and its servers' requests are gone.
#[derive(Clone)]
pub struct EmbeddedDynamo {
    shared: Arc<Shared>,
}

struct Shared {
    database: Database,
    _lock: DirLock,
}

impl fmt::Debug for EmbeddedDynamo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedDynamo").finish_non_exhaustive()
    }
}

impl EmbeddedDynamo {
    /// Opens or creates the database in `dir`. Blocks.
    ///
    /// # Errors
    /// If the directory is in use ([`Error::Lock`]) or the engine cannot read
    /// the file.
    pub fn open(dir: &Path) -> Result<Self, Error> {
        let lock = DirLock::acquire(dir)?;
        let path = dir.join("dynamodb.sqlite");
        let path = path.to_str().ok_or_else(|| Error::Path(path.display().to_string()))?;
        let shared = Shared { database: Database::new(path)?, _lock: lock };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Serves DynamoDB's JSON protocol on `listener`, to loopback names only
    /// ([`loopback_only`](loopback::loopback_only)). Signatures must be there
    /// and are not checked.
    ///
    /// # Errors
    /// If the listener cannot tell its address.
    pub fn serve(&self, listener: TcpListener) -> io::Result<Served> {
        let app = Router::new()
            .route("/", post(answer))
            .layer(DefaultBodyLimit::max(MAX_REQUEST_BYTES))
            .with_state(self.clone());
        loopback::serve(listener, app)
    }

    /// Deletes items whose time to live has passed, in every table that has
    /// one; returns how many. Nothing else does: call it from time to time.
    ///
    /// # Errors
    /// If the engine fails.
    pub async fn sweep_ttl(&self) -> Result<usize, Error> {
        let shared = Arc::clone(&self.shared);
        let sweep = tokio::task::spawn_blocking(move || shared.database.sweep_ttl());
        Ok(sweep.await.map_err(|_| Error::Stopping)??)
    }
}

async fn answer(State(dynamo): State<EmbeddedDynamo>, headers: HeaderMap, body: Bytes) -> Response {
    let target = headers.get("x-amz-target").and_then(|v| v.to_str().ok());
    let operation = target.and_then(|t| t.strip_prefix(TARGET)).map(str::to_owned);
    if !headers.contains_key(header::AUTHORIZATION) {
        let code = "com.amazon.coral.service#MissingAuthenticationTokenException";
        return refuse(code, "Request is missing Authentication Token");
    }
    let call = move || match operation {
        Some(operation) => call(&dynamo.shared.database, &operation, &body),
        None => Err(Refusal::UnknownOperation),
    };
    match tokio::task::spawn_blocking(call).await {
        Ok(Ok(json)) => respond(StatusCode::OK, json),
        Ok(Err(Refusal::Engine(error))) => {
            let status = StatusCode::from_u16(error.status_code());
            respond(status.unwrap_or(StatusCode::BAD_REQUEST), error.to_json())
        }
        Ok(Err(Refusal::UnknownOperation)) => {
            refuse("com.amazon.coral.service#UnknownOperationException", "")
        }
        // A panic in the engine, already reported, or the runtime's end.
        Err(_) => respond(
            StatusCode::INTERNAL_SERVER_ERROR,
            error_body("com.amazonaws.dynamodb.v20120810#InternalServerError", "request failed"),
        ),
    }
}

fn refuse(code: &str, message: &str) -> Response {
    respond(StatusCode::BAD_REQUEST, error_body(code, message))
}

fn error_body(code: &str, message: &str) -> String {
    serde_json::json!({ "__type": code, "message": message }).to_string()
}

fn respond(status: StatusCode, json: String) -> Response {
    (status, [(header::CONTENT_TYPE, CONTENT_TYPE)], json).into_response()
}

/// Why a request got no answer of its operation.
enum Refusal {
    UnknownOperation,
    Engine(DynoxideError),
}

impl From<DynoxideError> for Refusal {
    fn from(error: DynoxideError) -> Self {
        Self::Engine(error)
    }
}

/// One request on the engine; blocks.
fn call(db: &Database, operation: &str, body: &[u8]) -> Result<String, Refusal> {
    match operation {
        "CreateTable" => run(body, |r| db.create_table(r)),
        "DeleteTable" => run(body, |r| db.delete_table(r)),
        "DescribeTable" => run(body, |r| db.describe_table(r)),
        "ListTables" => run(body, |r| db.list_tables(r)),
        "UpdateTable" => run(body, |r| db.update_table(r)),
        "PutItem" => run(body, |r| db.put_item(r)),
        "GetItem" => run(body, |r| db.get_item(r)),
        "DeleteItem" => run(body, |r| db.delete_item(r)),
        "UpdateItem" => run(body, |r| db.update_item(r)),
        "Query" => run(body, |r| db.query(r)),
        "Scan" => run(body, |r| db.scan(r)),
        "BatchGetItem" => run(body, |r| db.batch_get_item(r)),
        "BatchWriteItem" => run(body, |r| db.batch_write_item(r)),
        "TransactWriteItems" => run(body, |r| db.transact_write_items(r)),
        "TransactGetItems" => run(body, |r| db.transact_get_items(r)),
        "UpdateTimeToLive" => run(body, |r| db.update_time_to_live(r)),
        "DescribeTimeToLive" => run(body, |r| db.describe_time_to_live(r)),
        "ExecuteStatement" => run(body, |r| db.execute_statement(r)),
        "TagResource" => run(body, |r| db.tag_resource(r)),
        "UntagResource" => run(body, |r| db.untag_resource(r)),
        "ListTagsOfResource" => run(body, |r| db.list_tags_of_resource(r)),
        _ => Err(Refusal::UnknownOperation),
    }
}

fn run<Q: DeserializeOwned, A: Serialize>(
    body: &[u8],
    operation: impl FnOnce(Q) -> dynoxide::Result<A>,
) -> Result<String, Refusal> {
    let malformed =
        |error: serde_json::Error| DynoxideError::SerializationException(error.to_string());
    let request = serde_json::from_slice(body).map_err(malformed)?;
    let answer = operation(request)?;
    let failed = |error: serde_json::Error| DynoxideError::InternalServerError(error.to_string());
    Ok(serde_json::to_string(&answer).map_err(failed)?)
}
