//! Fills a running `flambeau serve` with something of everything there is to look
//! at.
//!
//! ```sh
//! flambeau serve --listen 127.0.0.1:4040 &
//! cargo run -p flambeau-tests --example gallery -- http://127.0.0.1:4040
//! ```

use anyhow::Context;
use flambeau_local::{Endpoints, serve::ENDPOINTS_PATH};
use flambeau_store::Store;
use flambeau_tests::{gallery, stack};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let url = std::env::args().nth(1).context("usage: gallery URL")?;
    let (_, told) = stack::get(format!("{url}{ENDPOINTS_PATH}")).await?;
    let endpoints: Endpoints = serde_json::from_slice(&told)?;
    let store = Store::connect(&endpoints.store_config()).await;
    let keys = gallery::fill(&store, stack::now()).await?;
    println!("{} snapshots of {} and others; open {url}", keys.len(), gallery::SHOP);
    Ok(())
}
