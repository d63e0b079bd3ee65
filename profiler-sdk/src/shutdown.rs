//! The last flush, when Lambda ends the environment.

use std::mem::MaybeUninit;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lambda_extension::Extension;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::timeout;
use tracing::{debug, warn};

use crate::session::Session;

/// Name of the internal extension without which Lambda sends no `SIGTERM`.
pub const EXTENSION_NAME: &str = "flambeau-profiler";

/// Lambda kills 500 ms after `SIGTERM`; a part of that is for the way out.
const SHUTDOWN_LIMIT: Duration = Duration::from_millis(400);

/// Registering is a request on loopback.
const REGISTRATION_LIMIT: Duration = Duration::from_secs(1);

/// Flushes once on `SIGTERM`, and makes Lambda send one.
///
/// Must be called in the init phase, since Lambda takes no registration after it.
pub(crate) async fn flush_at_the_end(session: Arc<Session>) {
    let ends_process = sigterm_is_default();
    let sigterm = match signal(SignalKind::terminate()) {
        Ok(sigterm) => sigterm,
        Err(error) => return warn!(%error, "the last profile snapshot will not be written"),
    };
    if std::env::var_os("AWS_LAMBDA_RUNTIME_API").is_some() {
        register().await;
    }
    tokio::spawn(wait_and_flush(sigterm, session, ends_process));
}

async fn wait_and_flush(mut sigterm: Signal, session: Arc<Session>, ends_process: bool) {
    if sigterm.recv().await.is_none() {
        return;
    }
    session.flush(Some(Instant::now() + SHUTDOWN_LIMIT)).await;
    if ends_process {
        // Listening replaced the signal's default, which was to end the process.
        std::process::exit(0);
    }
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
