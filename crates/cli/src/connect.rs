//! Where the store is: a running `serve`, or AWS.

use anyhow::Context;
use clap::Args;
use flambeau_layout::TenantId;
use flambeau_local::{Endpoints, serve::ENDPOINTS_PATH};
use flambeau_store::Store;

/// Which store a command works on.
#[derive(Debug, Clone, Args)]
pub(crate) struct Connect {
    /// A running `flambeau serve`, which tells where its stores are. Without
    /// it, FLAMBEAU_BUCKET and FLAMBEAU_TABLE and the usual AWS configuration.
    #[arg(long, value_name = "URL", env = "FLAMBEAU_URL")]
    pub(crate) url: Option<String>,
    /// Whose profiles these are.
    #[arg(long, env = "FLAMBEAU_TENANT")]
    tenant: Option<TenantId>,
}

/// A connected store and whose profiles to work on.
pub(crate) struct Connected {
    pub(crate) store: Store,
    pub(crate) tenant: TenantId,
}

impl Connect {
    pub(crate) async fn connect(&self) -> anyhow::Result<Connected> {
        let given = self.tenant.clone();
        let Some(url) = &self.url else {
            let store = Store::from_env().await.context("no --url is given")?;
            return Ok(Connected { store, tenant: given.map_or_else(|| "default".parse(), Ok)? });
        };
        let endpoints = endpoints(url).await?;
        let store = Store::connect(&endpoints.store_config()).await;
        Ok(Connected { store, tenant: given.unwrap_or(endpoints.tenant) })
    }
}

/// Asks a running server where its stores are.
pub(crate) async fn endpoints(url: &str) -> anyhow::Result<Endpoints> {
    let asked = format!("{}{ENDPOINTS_PATH}", url.trim_end_matches('/'));
    let get = tokio::task::spawn_blocking(move || {
        let mut answer = ureq::get(&asked).call()?;
        answer.body_mut().read_to_string()
    });
    let told = get.await?.with_context(|| {
        format!("{url} does not answer as `flambeau serve` does; is it running?")
    })?;
    serde_json::from_str(&told).with_context(|| format!("{url} is no `flambeau serve`"))
}
