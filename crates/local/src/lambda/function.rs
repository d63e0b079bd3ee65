//! A function: what to run, and the environment it runs in.

use std::env;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tempfile::TempDir;
use tokio::sync::Mutex;

use super::MAX_EVENT_BYTES;
use super::api::FunctionIdentity;
use super::environment::{
    Blueprint, Environment, InitFailure, ShutdownOutcome, Started, millis, random_uuid,
};
use super::outcome::{InvokeError, InvokeOutcome, InvokeStatus};
use super::state::ShutdownReason;

/// Variables of our own environment that a function may see: it needs programs
/// and nothing else that a developer's shell happens to hold.
const INHERITED: [&str; 3] = ["PATH", "LANG", "RUST_BACKTRACE"];

/// A Lambda function on this machine, with at most one environment at a time: concurrent
/// invocations wait for each other.
///
/// Dropping it kills the environment at once; [`Function::shutdown`] is the polite way.
pub struct Function {
    blueprint: Blueprint,
    environment: Mutex<Option<Box<Environment>>>,
    /// The sandbox's `/tmp`, which outlives a process that was killed in it.
    scratch: TempDir,
}

/// Describes a [`Function`].
#[derive(Debug, Clone)]
pub struct FunctionBuilder {
    name: String,
    program: String,
    args: Vec<String>,
    variables: Vec<(String, String)>,
    extensions: Vec<(String, String)>,
    version: String,
    region: String,
    timeout: Duration,
    init_timeout: Duration,
    memory_mb: u32,
    enforce_memory: bool,
    echo: bool,
}

impl Function {
    /// Starts describing the function `name`, whose binary is `program` (any `lambda_runtime`
    /// or other custom-runtime binary).
    pub fn builder(name: impl Into<String>, program: impl Into<String>) -> FunctionBuilder {
        FunctionBuilder {
            name: name.into(),
            program: program.into(),
            args: Vec::new(),
            variables: Vec::new(),
            extensions: Vec::new(),
            version: "$LATEST".into(),
            region: "us-east-1".into(),
            timeout: Duration::from_secs(3),
            init_timeout: Duration::from_secs(10),
            memory_mb: 512,
            enforce_memory: false,
            echo: false,
        }
    }

    /// The function's name.
    pub fn name(&self) -> &str {
        &self.blueprint.identity.name
    }

    /// Runs one invocation, in a new environment if there is none (yet, or any more).
    ///
    /// Whatever happens inside the function is an [`InvokeOutcome`].
    ///
    /// # Errors
    /// Only if the invocation cannot begin: event too large, program or port not to be had.
    pub async fn invoke(&self, payload: Vec<u8>) -> Result<InvokeOutcome, InvokeError> {
        if payload.len() > MAX_EVENT_BYTES {
            return Err(InvokeError::EventTooLarge(payload.len()));
        }
        let mut slot = self.environment.lock().await;
        if slot.as_ref().is_none_or(|environment| !environment.is_alive()) {
            *slot = match Environment::start(&self.blueprint).await? {
                Started::Ready(environment) => Some(environment),
                Started::Failed(failure) => return failed_init(failure),
            };
        }
        let Some(environment) = slot.as_mut() else {
            unreachable!("an environment was put there above")
        };
        let result = environment.invoke(Bytes::from(payload), self.blueprint.timeout).await;
        if !environment.is_alive() {
            *slot = None;
        }
        result
    }

    /// Ends the environment as Lambda would for `reason`; `None` if there is none.
    ///
    /// The next invocation starts a new one.
    pub async fn shutdown(&self, reason: ShutdownReason) -> Option<ShutdownOutcome> {
        let mut environment = self.environment.lock().await.take()?;
        let outcome = environment.shutdown(reason).await;
        empty(self.scratch.path());
        Some(outcome)
    }
}

impl FunctionBuilder {
    /// Adds an argument to the program.
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Sets an environment variable of the function; the last value of a name wins.
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.variables.push((name.into(), value.into()));
        self
    }

    /// Runs `program` beside the function as the external extension `name`.
    pub fn extension(mut self, name: impl Into<String>, program: impl Into<String>) -> Self {
        self.extensions.push((name.into(), program.into()));
        self
    }

    /// The published version the function believes to be; `$LATEST` by default.
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.version = version.into();
        self
    }

    /// The region the function believes to be in; `us-east-1` by default.
    pub fn region(mut self, region: impl Into<String>) -> Self {
        self.region = region.into();
        self
    }

    /// How long one invocation may take; 3 s by default, as on AWS.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How long the init phase may take; 10 s by default, as on AWS.
    pub fn init_timeout(mut self, timeout: Duration) -> Self {
        self.init_timeout = timeout;
        self
    }

    /// The memory size the function is told; 512 by default (AWS starts at 128, too
    /// little for some). See
    /// [`FunctionBuilder::enforce_memory`].
    pub fn memory_mb(mut self, megabytes: u32) -> Self {
        self.memory_mb = megabytes;
        self
    }

    /// Whether to kill the function when its resident memory passes its size. Resident memory
    /// of the main process is read every 10 ms, so a burst in between goes unseen, and shared
    /// pages of libraries count here that Lambda's own accounting may not count.
    pub fn enforce_memory(mut self, enforce: bool) -> Self {
        self.enforce_memory = enforce;
        self
    }

    /// Whether to repeat the function's output on our stderr.
    pub fn echo(mut self, echo: bool) -> Self {
        self.echo = echo;
        self
    }

    /// The function; nothing is started before its first invocation.
    ///
    /// # Errors
    /// [`InvokeError::Random`] if the system gives no random bytes, [`InvokeError::Scratch`] if
    /// no folder can be made for temporary files.
    pub fn build(self) -> Result<Function, InvokeError> {
        let scratch = TempDir::with_prefix("lambda-").map_err(InvokeError::Scratch)?;
        let mut variables = self.reserved_variables()?;
        variables.push(("TMPDIR".to_owned(), scratch.path().to_string_lossy().into_owned()));
        variables.extend(self.variables);
        let arn = format!("arn:aws:lambda:{}:000000000000:function:{}", self.region, self.name);
        let limit = u64::from(self.memory_mb) << 20;
        Ok(Function {
            blueprint: Blueprint {
                identity: Arc::new(FunctionIdentity { name: self.name, version: self.version }),
                arn,
                program: self.program,
                args: self.args,
                variables,
                extensions: self.extensions,
                timeout: self.timeout,
                init_timeout: self.init_timeout,
                memory_limit: self.enforce_memory.then_some(limit),
                echo: self.echo,
            },
            environment: Mutex::new(None),
            scratch,
        })
    }

    /// What Lambda [reserves](https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html),
    /// and the few variables taken over from us.
    fn reserved_variables(&self) -> Result<Vec<(String, String)>, InvokeError> {
        let stream = random_uuid()?.replace('-', "");
        let memory = self.memory_mb.to_string();
        let log_group = format!("/aws/lambda/{}", self.name);
        let log_stream = format!("[{}]{stream}", self.version);
        let reserved = [
            ("AWS_LAMBDA_FUNCTION_NAME", self.name.as_str()),
            ("AWS_LAMBDA_FUNCTION_VERSION", &self.version),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", &memory),
            ("AWS_LAMBDA_LOG_GROUP_NAME", &log_group),
            ("AWS_LAMBDA_LOG_STREAM_NAME", &log_stream),
            ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand"),
            ("AWS_REGION", &self.region),
            ("AWS_DEFAULT_REGION", &self.region),
            ("_HANDLER", "bootstrap"),
            ("TZ", ":UTC"),
        ];
        let inherited =
            INHERITED.into_iter().filter_map(|name| Some((name.to_owned(), env::var(name).ok()?)));
        let reserved = reserved.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Ok(inherited.chain(reserved).collect())
    }
}

/// A new sandbox begins with nothing; what cannot be removed is removed with the function.
fn empty(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let _ =
            if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
    }
}

fn failed_init(failure: InitFailure) -> Result<InvokeOutcome, InvokeError> {
    let status = match failure.out_of_memory {
        true => InvokeStatus::OutOfMemory,
        false => InvokeStatus::InitFailed,
    };
    Ok(InvokeOutcome {
        status,
        payload: failure.payload,
        answered_ms: None,
        duration_ms: 0.0,
        billed_ms: u64::try_from(failure.took.as_millis()).unwrap_or(u64::MAX),
        init_ms: Some(millis(failure.took)),
        request_id: random_uuid()?,
        logs: failure.logs,
    })
}
