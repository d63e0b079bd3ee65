//! The Lambda lifecycle on one machine: real function binaries under a Runtime API of our own.
//!
//! A [`Function`] owns at most one execution environment: a process group, spoken to over the
//! [Runtime API](https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html) and the
//! [Extensions API](https://docs.aws.amazon.com/lambda/latest/dg/runtimes-extensions-api.html)
//! on a loopback port. What code in a function can notice is imitated:
//!
//! | phase | here |
//! |---|---|
//! | init | process started with the reserved variables; done when the runtime and every extension asked for their next event, or ended after [`FunctionBuilder::init_timeout`] |
//! | invoke | `Lambda-Runtime-Deadline-Ms` is the true deadline: start of this invocation + timeout |
//! | freeze | `SIGSTOP` to the group, once the answer is in *and* runtime and extensions asked for more; `SIGCONT` before the next event |
//! | timeout | `SIGKILL` at the deadline; the next invocation starts a new environment |
//! | memory | optional: resident memory polled, `SIGKILL` above the limit ([`FunctionBuilder::enforce_memory`]) |
//! | shutdown | no extension: `SIGKILL`; internal extension: `SIGTERM`, 500 ms; external extensions: `SIGTERM`, 300 ms, then `SHUTDOWN` events within 2 s in all |
//! | `/tmp` | a folder of the function's own (`TMPDIR`), which outlives a killed process and is emptied by a shutdown |
//!
//! Not imitated: CPU shares by memory size, response streaming (a streamed
//! answer is collected), SnapStart, the Telemetry API, several environments side by side.

mod api;
mod environment;
mod function;
mod log_tail;
mod outcome;
mod process;
mod state;

pub use environment::ShutdownOutcome;
pub use function::{Function, FunctionBuilder};
pub use outcome::{InvokeError, InvokeOutcome, InvokeStatus};
pub use state::ShutdownReason;

/// Largest event of a synchronous invocation, in bytes.
pub const MAX_EVENT_BYTES: usize = 6_291_456;

/// Largest answer of a buffered invocation, in bytes.
pub const MAX_ANSWER_BYTES: usize = 6_291_556;

/// How much of a function's output an outcome carries, in bytes (as `LogType=Tail`).
pub const LOG_TAIL_BYTES: usize = 4096;
