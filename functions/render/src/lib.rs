//! The render Lambda: HTTP to profiles, flame graphs and pages.
//!
//! One resource has many representations: `/s/{service}/{type}` is a merged
//! pprof unless `format=`, the path's suffix or `Accept` asks for something
//! else, because `go tool pprof` sends no `Accept` at all.
//!
//! | path | what it is |
//! |---|---|
//! | `/` | services and types |
//! | `/s/{service}` | the way to a service's main type |
//! | `/s/{service}/{type}` | a merged profile |
//! | `/s/{service}/{type}/blocks/{block}` | the merged object of one block |
//! | `/s/{service}/{type}/traces` | timed profiles kept whole, and each of them |
//! | `/diff/{service}/{type}` | two selections side by side |

pub mod access;
mod answer;
mod assets;
mod diff;
mod error;
mod format;
mod heat;
mod pages;
mod params;
mod policy;
mod problem;
mod profile;
mod quantity;
mod request;
mod shown;
mod timeline;
mod traces;
mod view;

use std::sync::Arc;

use access::Access;
use anyhow::Context;
use axum::{
    Router,
    middleware::{from_fn, from_fn_with_state},
    routing::get,
};
use flambeau_layout::{TenantId, environment};
use flambeau_query::cost::Pricing;
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
    /// Who may ask; `FLAMBEAU_ACCESS`.
    pub access: Arc<Access>,
    /// What time costs, where it is not as AWS lists; `FLAMBEAU_GB_SECOND`.
    pub pricing: Pricing,
    kept: Arc<shown::Kept<shown::Shown>>,
    kept_sides: Arc<shown::Kept<diff::Sides>>,
}

impl State {
    /// A state in which whoever gets here may ask, and prices are as listed.
    #[must_use]
    pub fn new(store: Store, tenant: TenantId) -> Self {
        let (access, pricing) = (Arc::new(Access::Iam), Pricing::default());
        let (kept, kept_sides) = (Arc::default(), Arc::default());
        Self { store, tenant, access, pricing, kept, kept_sides }
    }

    /// Reads the environment and connects.
    ///
    /// # Errors
    /// When a variable is missing or malformed, naming it.
    pub async fn from_env() -> anyhow::Result<Self> {
        let tenant = environment::tenant(std::env::var(environment::TENANT).ok())?;
        let (access, pricing) = (Arc::new(Access::from_env()?), pricing_from_env()?);
        let state = Self::new(Store::from_env().await?, tenant);
        Ok(Self { access, pricing, ..state })
    }
}

/// Prices that the environment tells.
///
/// # Errors
/// When one is no price.
pub fn pricing_from_env() -> anyhow::Result<Pricing> {
    let name = environment::GB_SECOND;
    let told = std::env::var(name).ok().filter(|text| !text.is_empty());
    let price =
        told.map(|text| text.parse::<f64>().ok().filter(|price| *price > 0.0).context(text));
    let price =
        price.transpose().map_err(|text| anyhow::anyhow!("{name} `{text}` is not above 0"))?;
    Ok(Pricing { gb_second: price, memory_mb: None })
}

/// All routes. The same router runs under `lambda_http` and on one machine.
pub fn router(state: State) -> Router {
    Router::new()
        .route("/", get(pages::services::services))
        .route("/ready", get(|| async { "ready\n" }))
        .route("/favicon.ico", get(assets::icon))
        .route("/static/{file}", get(assets::file))
        .route("/s/{service}", get(pages::services::service))
        .route("/s/{service}/{type}", get(profile::merged).post(symbols))
        .route("/s/{service}/{type}/blocks/{block}", get(profile::block).post(symbols))
        .route("/s/{service}/{type}/traces", get(traces::list))
        .route("/s/{service}/{type}/traces/{trace}", get(traces::trace).post(symbols))
        .route("/diff/{service}/{type}", get(diff::diff).post(symbols))
        .fallback(|| async { RenderError::NoRoute })
        .layer(from_fn_with_state(state.clone(), access::guard))
        .layer(from_fn(problem::shaped))
        .layer(from_fn(policy::guarded))
        .with_state(state)
}

/// `go tool pprof` posts the addresses of mappings without names to
/// `…/symbolz` beside the profile, and gives up unless it gets an answer. We
/// know no more names than the profile has: an empty answer lets it go on.
async fn symbols() -> &'static str {
    ""
}
