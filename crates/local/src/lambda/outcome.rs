//! What an invocation came to.

use serde_json::json;

/// How an invocation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InvokeStatus {
    /// The function answered.
    Ok,
    /// The function reported an error of its own; the payload is its error document.
    FunctionError,
    /// The deadline passed; the environment was killed.
    TimedOut,
    /// The process ended without an answer.
    Crashed,
    /// The process outgrew its memory and was killed.
    OutOfMemory,
    /// The environment never became ready: its init failed, ended or took too long.
    InitFailed,
}

/// One finished invocation.
#[derive(Debug, Clone)]
pub struct InvokeOutcome {
    /// How it ended.
    pub status: InvokeStatus,
    /// The answer; for any other status than [`InvokeStatus::Ok`] an error document
    /// `{"errorType", "errorMessage"}` in Lambda's words.
    pub payload: Vec<u8>,
    /// Milliseconds until the function's answer was in, `None` if it never was. A synchronous
    /// caller waits this long.
    pub answered_ms: Option<f64>,
    /// Milliseconds until runtime and extensions were ready for more (or were killed).
    pub duration_ms: f64,
    /// What Lambda would bill: duration and, at a cold start, init, in whole milliseconds.
    pub billed_ms: u64,
    /// Milliseconds of the init phase if this invocation started the environment.
    pub init_ms: Option<f64>,
    /// The request id the function saw.
    pub request_id: String,
    /// The end of what the function wrote since the invocation (or its init) began, at most
    /// [`super::LOG_TAIL_BYTES`].
    pub logs: String,
}

impl InvokeOutcome {
    /// Whether the function answered.
    pub fn is_ok(&self) -> bool {
        self.status == InvokeStatus::Ok
    }
}

/// Why an invocation could not even begin.
#[derive(Debug, thiserror::Error)]
pub enum InvokeError {
    /// The event is above Lambda's limit.
    #[error("event of {0} bytes exceeds the limit of {max}", max = super::MAX_EVENT_BYTES)]
    EventTooLarge(usize),
    /// The program could not be started.
    #[error("failed to start function program `{program}`")]
    Spawn {
        /// The program as given to the builder.
        program: String,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The loopback endpoint could not be opened.
    #[error("failed to open a loopback port for the runtime api")]
    Listen(#[source] std::io::Error),
    /// The operating system gave no random bytes for ids.
    #[error("no random bytes for request ids")]
    Random,
    /// No folder for the function's temporary files.
    #[error("no folder for the function's temporary files; set TMPDIR to one that is writable")]
    Scratch(#[source] std::io::Error),
}

/// An error document in the form functions' callers know.
pub(super) fn error_document(kind: &str, message: &str) -> Vec<u8> {
    json!({ "errorType": kind, "errorMessage": message }).to_string().into_bytes()
}
