//! The Runtime and Extensions APIs on a loopback port.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::body::{Body, to_bytes};
use axum::extract::{Path, State as Shared};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use bytes::Bytes;
use futures::StreamExt;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::outcome::InvokeStatus;
use super::state::{Answer, Invocation, Refusal, State, answer_too_large};
use super::{MAX_ANSWER_BYTES, environment::random_uuid};

/// Largest error or registration document taken, in bytes.
const MAX_DOCUMENT_BYTES: usize = 256 * 1024;

/// Where one environment's processes talk to us.
pub(super) struct Api {
    pub(super) address: SocketAddr,
    pub(super) state: Arc<watch::Sender<State>>,
    serving: AbortHandle,
}

#[derive(Clone)]
struct Context {
    state: Arc<watch::Sender<State>>,
    function: Arc<FunctionIdentity>,
}

/// What extensions are told about the function at registration.
#[derive(Debug, Clone)]
pub(super) struct FunctionIdentity {
    pub(super) name: String,
    pub(super) version: String,
}

impl Api {
    /// Opens the APIs for `state` on a free loopback port.
    pub(super) async fn open(
        state: State,
        function: Arc<FunctionIdentity>,
    ) -> std::io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let state = Arc::new(watch::Sender::new(state));
        let context = Context { state: Arc::clone(&state), function };
        let server = axum::serve(listener, routes(context));
        let serving = tokio::spawn(server.into_future()).abort_handle();
        Ok(Self { address, state, serving })
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn routes(context: Context) -> Router {
    let runtime = Router::new()
        .route("/invocation/next", get(next_invocation))
        .route("/invocation/{id}/response", post(response))
        .route("/invocation/{id}/error", post(error))
        .route("/init/error", post(init_error));
    let extension = Router::new()
        .route("/register", post(register))
        .route("/event/next", get(next_event))
        .route("/init/error", post(extension_leaves))
        .route("/exit/error", post(extension_leaves));
    Router::new()
        .nest("/2018-06-01/runtime", runtime)
        .nest("/2020-01-01/extension", extension)
        .with_state(context)
}

async fn next_invocation(Shared(context): Shared<Context>) -> Response {
    context.state.send_modify(State::runtime_waits);
    let taken = wait_for(&context.state, State::take_invocation).await;
    invocation_response(taken)
}

async fn response(
    Shared(context): Shared<Context>,
    Path(id): Path<String>,
    body: Body,
) -> Response {
    settle(&context, &id, InvokeStatus::Ok, body).await
}

async fn error(Shared(context): Shared<Context>, Path(id): Path<String>, body: Body) -> Response {
    settle(&context, &id, InvokeStatus::FunctionError, body).await
}

async fn settle(context: &Context, id: &str, status: InvokeStatus, body: Body) -> Response {
    let (answer, accepted_as) = match read_answer(body).await {
        Some(payload) => (answer(status, payload), StatusCode::ACCEPTED),
        None => (answer_too_large(), StatusCode::PAYLOAD_TOO_LARGE),
    };
    match modify(&context.state, |state| state.answer(id, answer)) {
        Ok(()) => (accepted_as, Json(json!({ "status": "OK" }))).into_response(),
        Err(refusal) => refusal.into_response(),
    }
}

/// The whole body, or `None` if it is too large; then it is still read to its end, since a
/// runtime that finds its connection closed takes that for a broken Lambda and exits.
async fn read_answer(body: Body) -> Option<Bytes> {
    let mut chunks = body.into_data_stream();
    let mut answer = Vec::new();
    let mut fits = true;
    while let Some(Ok(chunk)) = chunks.next().await {
        fits = fits && answer.len() + chunk.len() <= MAX_ANSWER_BYTES;
        if fits {
            answer.extend_from_slice(&chunk);
        }
    }
    fits.then(|| answer.into())
}

async fn init_error(Shared(context): Shared<Context>, body: Body) -> Response {
    let document = to_bytes(body, MAX_DOCUMENT_BYTES).await.unwrap_or_default();
    context.state.send_modify(|state| state.init_failed(document));
    accepted()
}

#[derive(Deserialize)]
struct Registration {
    #[serde(default)]
    events: Vec<String>,
}

async fn register(Shared(context): Shared<Context>, headers: HeaderMap, body: Body) -> Response {
    let Some(name) = header(&headers, "lambda-extension-name") else {
        return refused(StatusCode::FORBIDDEN, "Extension.InvalidExtensionName");
    };
    let document = to_bytes(body, MAX_DOCUMENT_BYTES).await.unwrap_or_default();
    let Ok(wanted) = serde_json::from_slice::<Registration>(&document) else {
        return refused(StatusCode::BAD_REQUEST, "InvalidRequestFormat");
    };
    let Ok(id) = random_uuid() else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let result = modify(&context.state, |state| state.register(id.clone(), name, &wanted.events));
    match result {
        Ok(()) => registered(&context, &id),
        Err(refusal) => refusal.into_response(),
    }
}

async fn next_event(Shared(context): Shared<Context>, headers: HeaderMap) -> Response {
    let id = header(&headers, "lambda-extension-identifier").unwrap_or_default();
    if let Err(refusal) = modify(&context.state, |state| state.extension_waits(id)) {
        return refusal.into_response();
    }
    let event = wait_for(&context.state, |state| state.take_event(id)).await;
    Json(event).into_response()
}

async fn extension_leaves(Shared(context): Shared<Context>, headers: HeaderMap) -> Response {
    let id = header(&headers, "lambda-extension-identifier").unwrap_or_default();
    match modify(&context.state, |state| state.extension_leaves(id)) {
        Ok(()) => accepted(),
        Err(refusal) => refusal.into_response(),
    }
}

/// Waits until `take` finds something, for ever if need be: long polling is the protocol.
async fn wait_for<T>(
    state: &watch::Sender<State>,
    mut take: impl FnMut(&mut State) -> Option<T>,
) -> T {
    let mut changes = state.subscribe();
    loop {
        let mut taken = None;
        state.send_if_modified(|state| {
            taken = take(state);
            taken.is_some()
        });
        if let Some(taken) = taken {
            return taken;
        }
        if changes.changed().await.is_err() {
            // The sender is borrowed above, so it cannot have gone.
            std::future::pending::<()>().await;
        }
    }
}

fn modify<T>(state: &watch::Sender<State>, change: impl FnOnce(&mut State) -> T) -> T {
    let mut result = None;
    state.send_modify(|state| result = Some(change(state)));
    match result {
        Some(result) => result,
        None => unreachable!("send_modify runs its closure"),
    }
}

fn answer(status: InvokeStatus, payload: Bytes) -> Answer {
    Answer { status, payload, at: Instant::now() }
}

fn invocation_response(invocation: Invocation) -> Response {
    let headers = [
        ("lambda-runtime-aws-request-id", invocation.request_id),
        ("lambda-runtime-deadline-ms", invocation.deadline_ms.to_string()),
        ("lambda-runtime-invoked-function-arn", invocation.function_arn),
        ("lambda-runtime-trace-id", invocation.trace_id),
        ("content-type", "application/json".to_owned()),
    ];
    (headers, invocation.payload).into_response()
}

fn registered(context: &Context, id: &str) -> Response {
    let body = json!({
        "functionName": context.function.name,
        "functionVersion": context.function.version,
        "handler": "bootstrap",
    });
    ([("lambda-extension-identifier", id)], Json(body)).into_response()
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn accepted() -> Response {
    (StatusCode::ACCEPTED, Json(json!({ "status": "OK" }))).into_response()
}

fn refused(status: StatusCode, kind: &str) -> Response {
    let body: Value = json!({ "errorType": kind, "errorMessage": kind });
    (status, Json(body)).into_response()
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        match self {
            Self::UnknownRequest => refused(StatusCode::BAD_REQUEST, "InvalidRequestID"),
            Self::UnknownExtension => {
                refused(StatusCode::FORBIDDEN, "Extension.UnknownExtensionIdentifier")
            }
            Self::DuplicateExtension => {
                refused(StatusCode::FORBIDDEN, "Extension.AlreadyRegistered")
            }
            Self::RegistrationClosed => {
                refused(StatusCode::FORBIDDEN, "Extension.RegistrationClosed")
            }
            Self::ShutdownNotForInternal => {
                refused(StatusCode::BAD_REQUEST, "ShutdownEventNotSupportedForInternalExtension")
            }
        }
    }
}
