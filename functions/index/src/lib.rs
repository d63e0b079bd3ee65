//! The index Lambda: keeps the index small and the catalogue true.
//!
//! A thin shell over [`flambeau_pipeline`]. An event from the table's stream
//! is only a hint where to look; everything is read again from the table, so
//! that a repeated, late or reordered event changes nothing.

use std::{collections::BTreeSet, time::Instant};

use anyhow::Context;
use aws_lambda_events::dynamodb::{Event, EventRecord};
use flambeau_pipeline::catalogue;
use flambeau_store::Store;
use serde::Deserialize;
use serde_json::Value;

/// What stays between invocations.
#[derive(Debug, Clone)]
pub struct State {
    /// The index.
    pub store: Store,
}

/// What one invocation did.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Handled {
    /// Block rows named by the event that exist.
    pub rows: usize,
    /// Catalogue rows written.
    pub services: usize,
}

impl State {
    /// Reads the environment and connects.
    ///
    /// # Errors
    /// When a variable is missing, naming it.
    pub async fn from_env() -> anyhow::Result<Self> {
        Ok(Self { store: Store::from_env().await? })
    }
}

/// Handles an event of the table's stream. Safe to repeat and to run many at a
/// time.
///
/// # Errors
/// When the store fails; the same event may be handled again.
pub async fn handle(event: Value, state: &State) -> anyhow::Result<Handled> {
    let started = Instant::now();
    let event: Event =
        serde_json::from_value(event).context("not an event of the table's stream")?;
    let keys: BTreeSet<(String, String)> =
        event.records.into_iter().filter_map(block_key).collect();
    let keys: Vec<(String, String)> = keys.into_iter().collect();
    let rows = state.store.rows_at(&keys).await?;
    let rows: Vec<_> = rows.into_iter().map(|indexed| indexed.row).collect();
    let services = catalogue::update(&state.store, &rows).await?;
    let millis = started.elapsed().as_millis();
    tracing::info!(rows = rows.len(), services, millis, "index done");
    Ok(Handled { rows: rows.len(), services })
}

/// The row's key, when the record tells of a new block.
fn block_key(record: EventRecord) -> Option<(String, String)> {
    #[derive(Deserialize)]
    struct Keys {
        pk: String,
        sk: String,
    }
    let Keys { pk, sk } = serde_dynamo::from_item(record.change.keys).ok()?;
    let is_new = record.event_name != "REMOVE";
    (is_new && sk.starts_with("open/")).then_some((pk, sk))
}
