//! One execution environment, from its init to its end.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout_at};

use super::api::{Api, FunctionIdentity};
use super::log_tail::LogTail;
use super::outcome::{InvokeError, InvokeOutcome, InvokeStatus, error_document};
use super::process::{GroupId, ProcessGroup};
use super::state::{Answer, ExtensionKinds, Invocation, ShutdownReason, State};

/// How often resident memory is read where the limit is enforced.
const MEMORY_POLL: Duration = Duration::from_millis(10);

/// Time a function with only internal extensions has after `SIGTERM`.
const INTERNAL_GRACE: Duration = Duration::from_millis(500);

/// Time a function without internal extensions has after `SIGTERM` when external ones exist.
const EXTERNAL_RUNTIME_GRACE: Duration = Duration::from_millis(300);

/// Time of the whole shutdown phase when external extensions exist.
const EXTERNAL_GRACE: Duration = Duration::from_secs(2);

/// How long the kernel may take to deliver a kill.
const KILL_PATIENCE: Duration = Duration::from_secs(10);

/// What an environment is started from; the same for each of a function's environments.
pub(super) struct Blueprint {
    pub(super) identity: Arc<FunctionIdentity>,
    pub(super) arn: String,
    pub(super) program: String,
    pub(super) args: Vec<String>,
    pub(super) variables: Vec<(String, String)>,
    pub(super) extensions: Vec<(String, String)>,
    pub(super) timeout: Duration,
    pub(super) init_timeout: Duration,
    pub(super) memory_limit: Option<u64>,
    pub(super) echo: bool,
}

/// A living environment.
pub(super) struct Environment {
    api: Api,
    runtime: ProcessGroup,
    extensions: Vec<ProcessGroup>,
    logs: LogTail,
    memory_watch: Option<AbortHandle>,
    init: Option<Duration>,
    function_arn: String,
}

/// How a shutdown went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShutdownOutcome {
    /// The process ended by itself within its grace, without `SIGKILL`.
    pub graceful: bool,
    /// Its exit code, `None` if a signal ended it.
    pub exit_code: Option<i32>,
}

/// An environment that did not become ready.
pub(super) struct InitFailure {
    pub(super) payload: Vec<u8>,
    pub(super) out_of_memory: bool,
    pub(super) took: Duration,
    pub(super) logs: String,
}

/// What starting an environment came to.
pub(super) enum Started {
    Ready(Box<Environment>),
    Failed(InitFailure),
}

impl Environment {
    /// Starts the processes and waits until all of them are ready for their first event.
    pub(super) async fn start(blueprint: &Blueprint) -> Result<Started, InvokeError> {
        let begun = Instant::now();
        let mut environment = Self::spawn(blueprint).await?;
        let deadline = (begun + blueprint.init_timeout).into();
        let mut changes = environment.api.state.subscribe();
        let ready = changes.wait_for(|state| {
            state.is_ready() || state.has_exited() || state.init_error().is_some()
        });
        let timed_out = timeout_at(deadline, ready).await.is_err();
        drop(changes);
        let took = begun.elapsed();
        if environment.api.state.borrow().is_ready() {
            environment.api.state.send_modify(State::init_ends);
            environment.init = Some(took);
            return Ok(Started::Ready(Box::new(environment)));
        }
        environment.kill().await;
        Ok(Started::Failed(environment.init_failure(timed_out, took)))
    }

    async fn spawn(blueprint: &Blueprint) -> Result<Self, InvokeError> {
        let externals: BTreeSet<String> = blueprint.extensions.iter().map(name_of).collect();
        let api = Api::open(State::new(externals), Arc::clone(&blueprint.identity))
            .await
            .map_err(InvokeError::Listen)?;
        let logs = LogTail::default();
        let mut extensions = Vec::new();
        for (_, program) in &blueprint.extensions {
            let command = blueprint.command(program, &[], &api);
            extensions.push(start_group(program, command, &logs, blueprint.echo, |_| {}).await?);
        }
        let state = Arc::clone(&api.state);
        let on_exit = move |status| state.send_modify(|state| state.process_ended(status));
        let command = blueprint.command(&blueprint.program, &blueprint.args, &api);
        let program = &blueprint.program;
        let runtime = start_group(program, command, &logs, blueprint.echo, on_exit).await?;
        let memory_watch = blueprint
            .memory_limit
            .map(|limit| watch_memory(runtime.id(), limit, Arc::clone(&api.state)));
        Ok(Self {
            api,
            runtime,
            extensions,
            logs,
            memory_watch,
            init: None,
            function_arn: blueprint.arn.clone(),
        })
    }

    /// Whether another invocation can be given to this environment.
    pub(super) fn is_alive(&self) -> bool {
        !self.api.state.borrow().has_exited()
    }

    /// Runs one invocation to its end: answered and idle again, dead, or killed at the deadline.
    pub(super) async fn invoke(
        &mut self,
        payload: Bytes,
        timeout: Duration,
    ) -> Result<InvokeOutcome, InvokeError> {
        let init = self.init.take();
        if init.is_none() {
            self.logs.restart();
        }
        self.thaw();
        let begun = Instant::now();
        let invocation = invocation(&self.function_arn, payload, timeout)?;
        let request_id = invocation.request_id.clone();
        self.api.state.send_modify(|state| state.begin(invocation));
        let in_time = self.wait_until_idle(begun + timeout).await;
        let duration = begun.elapsed();
        match (in_time, self.is_alive()) {
            (true, true) => self.freeze(),
            (true, false) => drop(self.shutdown(ShutdownReason::Failure).await),
            (false, _) => drop(self.shutdown(ShutdownReason::Timeout).await),
        }
        let answer = self.finish();
        let (status, payload) = self.verdict(answer.as_ref(), in_time, timeout, &request_id);
        Ok(InvokeOutcome {
            status,
            payload,
            answered_ms: answer.map(|answer| millis(answer.at.duration_since(begun))),
            duration_ms: millis(duration),
            billed_ms: billed(duration, init),
            init_ms: init.map(millis),
            request_id,
            logs: self.logs.text(),
        })
    }

    /// Ends the environment as Lambda does: as much grace as its extensions buy it.
    pub(super) async fn shutdown(&mut self, reason: ShutdownReason) -> ShutdownOutcome {
        self.thaw();
        let begun = Instant::now();
        let kinds = self.api.state.borrow().extension_kinds();
        if let Some(grace) = runtime_grace(kinds, reason) {
            self.runtime.terminate();
            self.wait_for_exit(begun + grace).await;
        }
        let graceful = !self.is_alive();
        self.runtime.kill();
        if kinds.external {
            self.end_externals(reason, begun + EXTERNAL_GRACE).await;
        }
        self.kill().await;
        ShutdownOutcome { graceful, exit_code: self.exit().and_then(|status| status.code()) }
    }

    async fn end_externals(&mut self, reason: ShutdownReason, deadline: Instant) {
        let deadline_ms = unix_millis(SystemTime::now() + EXTERNAL_GRACE);
        self.api.state.send_modify(|state| state.announce_shutdown(reason, deadline_ms));
        let mut changes = self.api.state.subscribe();
        let done = changes.wait_for(State::externals_idle);
        // Late extensions are killed with the rest.
        let _ = timeout_at(deadline.into(), done).await;
    }

    fn freeze(&self) {
        self.groups().for_each(ProcessGroup::freeze);
    }

    fn thaw(&self) {
        self.groups().for_each(ProcessGroup::thaw);
    }

    fn groups(&self) -> impl Iterator<Item = &ProcessGroup> {
        self.extensions.iter().chain([&self.runtime])
    }

    async fn kill(&self) {
        self.groups().for_each(ProcessGroup::kill);
        self.wait_for_exit(Instant::now() + KILL_PATIENCE).await;
    }

    async fn wait_for_exit(&self, deadline: Instant) {
        let mut changes = self.api.state.subscribe();
        let exited = changes.wait_for(State::has_exited);
        // Whether it did is read from the state.
        let _ = timeout_at(deadline.into(), exited).await;
    }

    /// False if the deadline came first.
    async fn wait_until_idle(&self, deadline: Instant) -> bool {
        let mut changes = self.api.state.subscribe();
        let settled = changes.wait_for(|state| state.is_idle() || state.has_exited());
        timeout_at(deadline.into(), settled).await.is_ok()
    }

    fn finish(&self) -> Option<Answer> {
        let mut answer = None;
        self.api.state.send_modify(|state| answer = state.finish());
        answer
    }

    fn exit(&self) -> Option<ExitStatus> {
        self.api.state.borrow().exit()
    }

    fn verdict(
        &self,
        answer: Option<&Answer>,
        in_time: bool,
        timeout: Duration,
        request_id: &str,
    ) -> (InvokeStatus, Vec<u8>) {
        let seconds = timeout.as_secs_f64();
        if self.api.state.borrow().is_out_of_memory() && answer.is_none() {
            let message = format!("RequestId: {request_id} Error: Runtime exited: memory exceeded");
            return (InvokeStatus::OutOfMemory, error_document("Runtime.OutOfMemory", &message));
        }
        match answer {
            _ if !in_time => {
                let message = format!(
                    "RequestId: {request_id} Error: Task timed out after {seconds:.2} seconds"
                );
                (InvokeStatus::TimedOut, error_document("Sandbox.Timedout", &message))
            }
            Some(answer) => (answer.status, answer.payload.to_vec()),
            None => {
                let how = self.exit().map_or_else(unanswered, describe_exit);
                let message = format!("RequestId: {request_id} Error: {how}");
                (InvokeStatus::Crashed, error_document("Runtime.ExitError", &message))
            }
        }
    }

    fn init_failure(&self, timed_out: bool, took: Duration) -> InitFailure {
        let state = self.api.state.borrow();
        let payload = match (state.init_error(), state.exit()) {
            (Some(document), _) => document.to_vec(),
            (None, _) if timed_out => {
                let message = format!("init timed out after {:.2} seconds", took.as_secs_f64());
                error_document("Sandbox.InitTimedout", &message)
            }
            (None, exit) => {
                let how = exit.map_or_else(unanswered, describe_exit);
                error_document("Runtime.ExitError", &how)
            }
        };
        InitFailure {
            payload,
            out_of_memory: state.is_out_of_memory(),
            took,
            logs: self.logs.text(),
        }
    }
}

impl Drop for Environment {
    fn drop(&mut self) {
        if let Some(watch) = &self.memory_watch {
            watch.abort();
        }
    }
}

impl Blueprint {
    fn command(&self, program: &str, args: &[String], api: &Api) -> Command {
        let mut command = Command::new(program);
        command.args(args).env_clear();
        for (name, value) in &self.variables {
            command.env(name, value);
        }
        command.env("AWS_LAMBDA_RUNTIME_API", api.address.to_string());
        command
    }
}

async fn start_group(
    program: &str,
    command: Command,
    logs: &LogTail,
    echo: bool,
    on_exit: impl FnOnce(ExitStatus) + Send + 'static,
) -> Result<ProcessGroup, InvokeError> {
    ProcessGroup::start(command, logs.clone(), echo, on_exit)
        .await
        .map_err(|source| InvokeError::Spawn { program: program.to_owned(), source })
}

fn name_of(extension: &(String, String)) -> String {
    extension.0.clone()
}

/// Lambda terminates a runtime only if an extension is there; after a timeout or a failure it
/// is killed at once.
fn runtime_grace(kinds: ExtensionKinds, reason: ShutdownReason) -> Option<Duration> {
    match (reason, kinds.internal, kinds.external) {
        (ShutdownReason::Spindown, true, _) => Some(INTERNAL_GRACE),
        (ShutdownReason::Spindown, false, true) => Some(EXTERNAL_RUNTIME_GRACE),
        _ => None,
    }
}

fn watch_memory(group: Arc<GroupId>, limit: u64, state: Arc<watch::Sender<State>>) -> AbortHandle {
    let watching = async move {
        while !state.borrow().has_exited() {
            if group.resident_bytes().is_some_and(|resident| resident > limit) {
                state.send_modify(State::memory_exceeded);
                return group.kill();
            }
            sleep(MEMORY_POLL).await;
        }
    };
    tokio::spawn(watching).abort_handle()
}

fn invocation(arn: &str, payload: Bytes, timeout: Duration) -> Result<Invocation, InvokeError> {
    let now = SystemTime::now();
    Ok(Invocation {
        request_id: random_uuid()?,
        deadline_ms: unix_millis(now + timeout),
        function_arn: arn.to_owned(),
        trace_id: random_trace_id(now)?,
        payload,
    })
}

/// A random UUID, version 4.
pub(super) fn random_uuid() -> Result<String, InvokeError> {
    let mut bytes = random_bytes::<16>()?;
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = hex(&bytes);
    let (a, b, c, d, e) = (&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]);
    Ok(format!("{a}-{b}-{c}-{d}-{e}"))
}

/// An X-Ray trace header, of the form <https://docs.aws.amazon.com/xray/> documents.
fn random_trace_id(now: SystemTime) -> Result<String, InvokeError> {
    let seconds = unix_millis(now) / 1000;
    let root = hex(&random_bytes::<12>()?);
    let parent = hex(&random_bytes::<8>()?);
    Ok(format!("Root=1-{seconds:08x}-{root};Parent={parent};Sampled=0"))
}

fn random_bytes<const N: usize>() -> Result<[u8; N], InvokeError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| InvokeError::Random)?;
    Ok(bytes)
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn unanswered() -> String {
    "Runtime asked for its next event without an answer to this one".to_owned()
}

fn describe_exit(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("Runtime exited with error: exit status {code}"),
        (None, Some(signal)) => format!("Runtime exited with error: signal {signal}"),
        (None, None) => "Runtime exited without a reason".to_owned(),
    }
}

fn billed(duration: Duration, init: Option<Duration>) -> u64 {
    let total = duration + init.unwrap_or_default();
    u64::try_from(total.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

pub(super) fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

fn unix_millis(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
