//! The state of one environment, as the Runtime and Extensions APIs see it.
//!
//! A plain machine without clocks, sockets or processes: the API turns requests into
//! transitions, the environment waits for conditions.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::process::ExitStatus;
use std::time::Instant;

use bytes::Bytes;
use serde_json::{Value, json};

use super::outcome::{InvokeStatus, error_document};

/// One event on its way to the function.
#[derive(Debug, Clone)]
pub(super) struct Invocation {
    pub(super) request_id: String,
    /// Milliseconds since the Unix epoch at which the process will be killed.
    pub(super) deadline_ms: u64,
    pub(super) function_arn: String,
    pub(super) trace_id: String,
    pub(super) payload: Bytes,
}

/// What the function said.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) status: InvokeStatus,
    pub(super) payload: Bytes,
    pub(super) at: Instant,
}

/// Why an environment ends, in the words extensions are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShutdownReason {
    /// Not needed any more.
    Spindown,
    /// An invocation passed its deadline.
    Timeout,
    /// The function's process failed.
    Failure,
}

impl ShutdownReason {
    fn as_str(self) -> &'static str {
        match self {
            Self::Spindown => "spindown",
            Self::Timeout => "timeout",
            Self::Failure => "failure",
        }
    }
}

/// Why a request to the API is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    UnknownRequest,
    UnknownExtension,
    DuplicateExtension,
    RegistrationClosed,
    ShutdownNotForInternal,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RuntimePhase {
    Starting,
    Waiting,
    Working,
}

#[derive(Debug)]
struct Extension {
    name: String,
    external: bool,
    invoke: bool,
    shutdown: bool,
    waiting: bool,
    events: VecDeque<Value>,
}

impl Extension {
    fn is_idle(&self) -> bool {
        self.waiting && self.events.is_empty()
    }
}

/// Everything the APIs know about one environment.
#[derive(Debug)]
pub(super) struct State {
    runtime: RuntimePhase,
    queued: Option<Invocation>,
    current: Option<String>,
    answer: Option<Answer>,
    extensions: BTreeMap<String, Extension>,
    externals: BTreeSet<String>,
    initialised: bool,
    init_error: Option<Bytes>,
    exited: Option<ExitStatus>,
    out_of_memory: bool,
}

impl State {
    /// A starting environment, in which `externals` are the names of external extensions.
    pub(super) fn new(externals: BTreeSet<String>) -> Self {
        Self {
            runtime: RuntimePhase::Starting,
            queued: None,
            current: None,
            answer: None,
            extensions: BTreeMap::new(),
            externals,
            initialised: false,
            init_error: None,
            exited: None,
            out_of_memory: false,
        }
    }

    /// The runtime asks for its next invocation.
    pub(super) fn runtime_waits(&mut self) {
        self.runtime = RuntimePhase::Waiting;
    }

    /// Hands the queued invocation to the waiting runtime.
    pub(super) fn take_invocation(&mut self) -> Option<Invocation> {
        let invocation = self.queued.take()?;
        self.runtime = RuntimePhase::Working;
        Some(invocation)
    }

    /// Starts an invocation: an event for the runtime and for extensions that asked for it.
    pub(super) fn begin(&mut self, invocation: Invocation) {
        let event = invoke_event(&invocation);
        for extension in self.extensions.values_mut().filter(|e| e.invoke) {
            extension.events.push_back(event.clone());
        }
        self.current = Some(invocation.request_id.clone());
        self.answer = None;
        self.queued = Some(invocation);
    }

    /// Records the function's answer to the invocation `request_id`.
    pub(super) fn answer(&mut self, request_id: &str, answer: Answer) -> Result<(), Refusal> {
        if self.current.as_deref() != Some(request_id) || self.answer.is_some() {
            return Err(Refusal::UnknownRequest);
        }
        self.answer = Some(answer);
        Ok(())
    }

    /// Ends the invocation and gives the function's answer, if it gave one.
    pub(super) fn finish(&mut self) -> Option<Answer> {
        self.current = None;
        self.queued = None;
        self.answer.take()
    }

    /// Registers an extension under `id`.
    pub(super) fn register(
        &mut self,
        id: String,
        name: &str,
        events: &[String],
    ) -> Result<(), Refusal> {
        if self.initialised {
            return Err(Refusal::RegistrationClosed);
        }
        if self.extensions.values().any(|known| known.name == name) {
            return Err(Refusal::DuplicateExtension);
        }
        let external = self.externals.contains(name);
        let shutdown = events.iter().any(|event| event == "SHUTDOWN");
        if shutdown && !external {
            return Err(Refusal::ShutdownNotForInternal);
        }
        let extension = Extension {
            name: name.to_owned(),
            external,
            invoke: events.iter().any(|event| event == "INVOKE"),
            shutdown,
            waiting: false,
            events: VecDeque::new(),
        };
        self.extensions.insert(id, extension);
        Ok(())
    }

    /// An extension asks for its next event.
    pub(super) fn extension_waits(&mut self, id: &str) -> Result<(), Refusal> {
        let extension = self.extensions.get_mut(id).ok_or(Refusal::UnknownExtension)?;
        extension.waiting = true;
        Ok(())
    }

    /// Hands the oldest event to a waiting extension.
    pub(super) fn take_event(&mut self, id: &str) -> Option<Value> {
        let extension = self.extensions.get_mut(id)?;
        let event = extension.events.pop_front()?;
        extension.waiting = false;
        Some(event)
    }

    /// An extension leaves; nobody waits for it any more.
    pub(super) fn extension_leaves(&mut self, id: &str) -> Result<(), Refusal> {
        let left = self.extensions.remove(id);
        left.map(drop).ok_or(Refusal::UnknownExtension)
    }

    /// Sends `SHUTDOWN` to the extensions that asked for it.
    pub(super) fn announce_shutdown(&mut self, reason: ShutdownReason, deadline_ms: u64) {
        let event = json!({
            "eventType": "SHUTDOWN",
            "shutdownReason": reason.as_str(),
            "deadlineMs": deadline_ms,
        });
        for extension in self.extensions.values_mut().filter(|e| e.shutdown) {
            extension.events.push_back(event.clone());
        }
    }

    /// The runtime reports that its init failed.
    pub(super) fn init_failed(&mut self, document: Bytes) {
        self.init_error = Some(document);
    }

    /// The process ended.
    pub(super) fn process_ended(&mut self, status: ExitStatus) {
        self.exited = Some(status);
    }

    /// The process outgrew its memory and is being killed.
    pub(super) fn memory_exceeded(&mut self) {
        self.out_of_memory = true;
    }

    /// Closes the init phase: no extension can register from here on.
    pub(super) fn init_ends(&mut self) {
        self.initialised = true;
    }

    /// Whether runtime and extensions all wait for more, so that freezing harms nobody.
    pub(super) fn is_idle(&self) -> bool {
        self.runtime == RuntimePhase::Waiting
            && self.queued.is_none()
            && self.extensions.values().all(Extension::is_idle)
    }

    /// Whether init is over: every external extension has registered, as Lambda
    /// demands of each it finds, and all wait for their first event.
    pub(super) fn is_ready(&self) -> bool {
        let is_there = |name: &String| self.extensions.values().any(|known| known.name == *name);
        self.is_idle() && self.externals.iter().all(is_there)
    }

    /// Whether every external extension that was told to shut down is back, waiting.
    pub(super) fn externals_idle(&self) -> bool {
        let mut told = self.extensions.values().filter(|e| e.shutdown);
        told.all(Extension::is_idle)
    }

    /// Whether the process has ended.
    pub(super) fn has_exited(&self) -> bool {
        self.exited.is_some()
    }

    /// How the process ended.
    pub(super) fn exit(&self) -> Option<ExitStatus> {
        self.exited
    }

    /// The error document of a failed init.
    pub(super) fn init_error(&self) -> Option<&Bytes> {
        self.init_error.as_ref()
    }

    /// Whether the memory limit was passed.
    pub(super) fn is_out_of_memory(&self) -> bool {
        self.out_of_memory
    }

    /// Whether any extension is registered, and whether any of them is external.
    pub(super) fn extension_kinds(&self) -> ExtensionKinds {
        ExtensionKinds {
            internal: self.extensions.values().any(|e| !e.external),
            external: self.extensions.values().any(|e| e.external),
        }
    }
}

/// Which kinds of extension an environment has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ExtensionKinds {
    pub(super) internal: bool,
    pub(super) external: bool,
}

fn invoke_event(invocation: &Invocation) -> Value {
    json!({
        "eventType": "INVOKE",
        "deadlineMs": invocation.deadline_ms,
        "requestId": invocation.request_id,
        "invokedFunctionArn": invocation.function_arn,
        "tracing": { "type": "X-Amzn-Trace-Id", "value": invocation.trace_id },
    })
}

/// The answer that replaces one above [`super::MAX_ANSWER_BYTES`].
pub(super) fn answer_too_large() -> Answer {
    let message = format!(
        "Response payload size exceeded maximum allowed payload size ({} bytes).",
        super::MAX_ANSWER_BYTES
    );
    Answer {
        status: InvokeStatus::FunctionError,
        payload: error_document("Function.ResponseSizeTooLarge", &message).into(),
        at: Instant::now(),
    }
}
