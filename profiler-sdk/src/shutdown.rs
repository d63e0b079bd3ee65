//! The last flush, when Lambda ends the environment.

use std::future::pending;
use std::mem::MaybeUninit;
use std::time::Duration;

use lambda_extension::Extension;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::timeout;
use tracing::{debug, warn};

/// Name of the internal extension without which Lambda sends no `SIGTERM`.
pub const EXTENSION_NAME: &str = "flambeau-profiler";

/// Lambda kills 500 ms after `SIGTERM`; a part of that is for the way out.
pub(crate) const SHUTDOWN_LIMIT: Duration = Duration::from_millis(400);

/// Registering is a request on loopback.
const REGISTRATION_LIMIT: Duration = Duration::from_secs(1);

/// The coming end of the environment.
pub(crate) struct Termination {
    sigterm: Option<Signal>,
    ends_process: bool,
}

impl Termination {
    /// One that does not come.
    pub(crate) fn never() -> Self {
        Self { sigterm: None, ends_process: false }
    }

    /// Comes back when the end comes.
    pub(crate) async fn come(&mut self) {
        let came = match &mut self.sigterm {
            Some(sigterm) => sigterm.recv().await.is_some(),
            None => false,
        };
        if !came {
            pending().await
        }
    }

    /// Ends the process, if nobody else would.
    pub(crate) fn finish(&self) {
        if self.ends_process {
            // Listening replaced the signal's default, which was to end the process.
            std::process::exit(0);
        }
    }
}

/// Listens for `SIGTERM`, and makes Lambda send one.
///
/// Must be called in the init phase, since Lambda takes no registration after it.
pub(crate) async fn expect_termination() -> Termination {
    let ends_process = sigterm_is_default();
    let sigterm = match signal(SignalKind::terminate()) {
        Ok(sigterm) => sigterm,
        Err(error) => {
            warn!(%error, "the last profile snapshot will not be written");
            return Termination::never();
        }
    };
    if std::env::var_os("AWS_LAMBDA_RUNTIME_API").is_some() {
        register().await;
    }
    Termination { sigterm: Some(sigterm), ends_process }
}

/// An extension without events costs one waiting request, and buys a `SIGTERM`.
async fn register() {
    let registering =
        Extension::new().with_events(&[]).with_extension_name(EXTENSION_NAME).register();
    match timeout(REGISTRATION_LIMIT, registering).await {
        Ok(Ok(extension)) => {
            tokio::spawn(async move {
                // Its one request ends only with the environment.
                if let Err(error) = extension.run().await {
                    debug!(%error, "the profiler's extension ended");
                }
            });
        }
        Ok(Err(error)) => warn!(%error, "the last profile snapshot will not be written"),
        Err(_) => warn!("registering took too long; the last profile snapshot will not be written"),
    }
}

/// Whether nobody else in this process handles `SIGTERM` so far.
fn sigterm_is_default() -> bool {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: reads into a structure of ours, for which zeroes are valid.
    unsafe {
        let read = libc::sigaction(libc::SIGTERM, std::ptr::null(), action.as_mut_ptr());
        read == 0 && action.assume_init().sa_sigaction == libc::SIG_DFL
    }
}
