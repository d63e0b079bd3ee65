//! The render Lambda: HTTP to profiles, flame graphs and pages.
//!
//! One resource has many representations: `/s/{service}/{type}` is a merged
//! pprof unless `format=`, the path's suffix or `Accept` asks for something
//! else, because `go tool pprof` sends no `Accept` at all.

mod answer;
mod error;
mod format;
mod pages;
mod profile;
mod request;
mod view;

use axum::{Router, routing::get};
use flambeau_layout::{TenantId, environment};
use flambeau_store::Store;

pub use error::RenderError;

/// How the Function URL must invoke it: answers leave as they are made, so that
/// none is bound by the 6 MB that Lambda buffers.
pub const INVOKE_MODE: &str = "RESPONSE_STREAM";

/// What stays between invocations.
#[derive(Debug, Clone)]
pub struct State {
    /// Where blocks and rows are read.
    pub store: Store,
    /// Whose profiles are shown; `FLAMBEAU_TENANT`.
    pub tenant: TenantId,
}

impl State {
    /// Reads the environment and connects.
    ///
    /// # Errors
    /// When a variable is missing or malformed, naming it.
    pub async fn from_env() -> anyhow::Result<Self> {
        let tenant = environment::tenant(std::env::var(environment::TENANT).ok())?;
        Ok(Self { store: Store::from_env().await?, tenant })
    }
}

/// All routes. The same router runs under `lambda_http` and on one machine.
pub fn router(state: State) -> Router {
    Router::new()
        .route("/", get(pages::services))
        .route("/ready", get(|| async { "ready\n" }))
        .route("/s/{service}/{type}", get(profile::merged).post(symbols))
        .route("/s/{service}/{type}/blocks/{block}", get(profile::block).post(symbols))
        .fallback(|| async { RenderError::NoRoute })
        .with_state(state)
}

/// `go tool pprof` posts the addresses of mappings without names to
/// `…/symbolz` beside the profile, and gives up unless it gets an answer. We
/// know no more names than the profile has: an empty answer lets it go on.
async fn symbols() -> &'static str {
    ""
}
