//! The index Lambda: keeps the index small and the catalogue true.
//!
//! A thin shell over [`flambeau_pipeline`]. It takes three kinds of event:
//!
//! - the table's stream: only a hint where to look; everything is read again
//!   from the table, so that a repeated, late or reordered event changes
//!   nothing;
//! - the schedule: does for every service what a lost event would have done,
//!   and sweeps ([`tick`]);
//! - the dead-letter queue, as an event source: what merge gave up is parked.

mod event;
mod tick;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use anyhow::Context;
use flambeau_layout::{BlockRow, Level, ServiceName, TenantId, UnixMillis, Window, environment};
use flambeau_merge::Message;
use flambeau_pipeline::{
    CompactOptions, ItemOutcome, MergeOptions, Scope, catalogue, compact, drain,
};
use flambeau_profile::Limits;
use flambeau_store::Store;
use serde_json::{Value, json};

use crate::event::Asked;

pub use event::HINTED_ROWS;
pub use flambeau_pipeline::sweep::TICK_MILLIS;
pub use tick::{Ticked, tick};

/// What stays between invocations.
#[derive(Debug, Clone)]
pub struct State {
    /// The index.
    pub store: Store,
    /// Whose objects outside the layout are; `FLAMBEAU_TENANT`.
    pub tenant: TenantId,
}

/// What one invocation did.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Handled {
    /// Block rows named by the event that exist.
    pub rows: usize,
    /// Catalogue rows written.
    pub services: usize,
    /// Rollups made.
    pub rollups: usize,
    /// What the schedule did, if it was the schedule.
    pub ticked: Option<Ticked>,
    /// Dead letters parked, or found to have their fate.
    pub drained: usize,
    /// Ids of dead letters that must stay in their queue.
    pub failed_letters: Vec<String>,
}

impl Handled {
    /// The answer to a queue; other sources do not read it.
    #[must_use]
    pub fn response(&self) -> Value {
        let failures = self.failed_letters.iter().map(|id| json!({ "itemIdentifier": id }));
        json!({ "batchItemFailures": failures.collect::<Vec<_>>() })
    }
}

impl State {
    /// Reads the environment and connects.
    ///
    /// # Errors
    /// When a variable is missing or malformed, naming it.
    pub async fn from_env() -> anyhow::Result<Self> {
        let tenant = std::env::var(environment::TENANT).ok();
        let tenant = environment::tenant(tenant).context(environment::TENANT)?;
        Ok(Self { store: Store::from_env().await?, tenant })
    }
}

/// Handles one event. Safe to repeat and to run many at a time.
///
/// # Errors
/// When the event is of no known kind or the store fails; the same event may
/// be handled again.
pub async fn handle(event: Value, state: &State) -> anyhow::Result<Handled> {
    let started = Instant::now();
    let now = UnixMillis::from(jiff::Timestamp::now());
    let handled = match Asked::read(event)? {
        Asked::Rows(keys) => hinted(state, &keys, now).await?,
        Asked::Tick => {
            let ticked = Some(tick(state, now).await?);
            Handled { ticked, ..Handled::default() }
        }
        Asked::DeadLetters(letters) => drained(state, letters, now).await,
    };
    let millis = started.elapsed().as_millis();
    let Handled { rows, services, rollups, ticked, drained, failed_letters } = &handled;
    let failed = failed_letters.len();
    tracing::info!(rows, services, rollups, ?ticked, drained, failed, millis, "index done");
    Ok(handled)
}

/// Follows a hint: the catalogue learns, the touched minutes are compacted.
async fn hinted(
    state: &State,
    keys: &[(String, String)],
    now: UnixMillis,
) -> anyhow::Result<Handled> {
    let rows = state.store.rows_at(keys).await?;
    let rows: Vec<BlockRow> = rows.into_iter().map(|indexed| indexed.row).collect();
    let services = catalogue::update(&state.store, &rows).await?;
    let mut rollups = 0;
    let options = CompactOptions { now, limits: Limits::default() };
    for ((tenant, service), minutes) in touched(&rows) {
        let scope = Scope::Minutes(minutes.into_iter().collect());
        // The schedule does what a hint could not; a failing hint would only
        // block the stream behind it.
        match compact(&state.store, &tenant, &service, &scope, &options).await {
            Ok(report) => rollups += report.rollups,
            Err(error) => tracing::warn!(%service, %error, "left to the schedule"),
        }
    }
    Ok(Handled { rows: rows.len(), services, rollups, ..Handled::default() })
}

fn touched(rows: &[BlockRow]) -> BTreeMap<(TenantId, ServiceName), BTreeSet<Window>> {
    let mut touched: BTreeMap<_, BTreeSet<Window>> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.window.level == Level::Minute) {
        let key = (row.tenant.clone(), row.service.clone());
        touched.entry(key).or_default().insert(row.window);
    }
    touched
}

/// Parks what merge gave up. A message that names no objects is let go: there
/// is nothing to park, and it is in the log.
async fn drained(state: &State, letters: Vec<Message>, now: UnixMillis) -> Handled {
    let mut handled = Handled::default();
    for letter in letters {
        match drain_letter(state, &letter, now).await {
            Ok(()) => handled.drained += 1,
            Err(error) => {
                tracing::warn!(letter = %letter.id, %error, "dead letter stays");
                handled.failed_letters.push(letter.id);
            }
        }
    }
    handled
}

async fn drain_letter(state: &State, letter: &Message, now: UnixMillis) -> anyhow::Result<()> {
    let tenant = state.tenant.clone();
    let options = MergeOptions { tenant, now, fetches: 1, limits: Limits::default() };
    if let Some(reason) = &letter.unreadable {
        tracing::warn!(letter = %letter.id, %reason, "dead letter names no objects");
    }
    let detail = "merge failed at every delivery; see its log, then redrive or push it again";
    for key in &letter.keys {
        if let ItemOutcome::Retry(error) = drain(&state.store, key, detail, &options).await? {
            anyhow::bail!(error);
        }
    }
    Ok(())
}

/// Parks what one dead letter names: an SQS record as the queue or the pump
/// keeps it.
///
/// # Errors
/// When it is no SQS record or the store fails; the letter must be kept.
pub async fn drain_record(record: &Value, state: &State) -> anyhow::Result<()> {
    let now = UnixMillis::from(jiff::Timestamp::now());
    let record = serde_json::from_value(record.clone()).context("no SQS record")?;
    drain_letter(state, &Message::read(record), now).await
}
