//! The merge Lambda: S3 events in, committed blocks out.
//!
//! A thin shell: it reads which objects an event names, lets
//! [`flambeau_pipeline::merge()`] do the work and answers per message.

mod event;

use std::time::Instant;

use anyhow::Context;
use aws_lambda_events::sqs::{BatchItemFailure, SqsBatchResponse};
use flambeau_layout::{TenantId, UnixMillis, environment};
use flambeau_pipeline::{ItemOutcome, MergeOptions, MergeReport, merge};
use flambeau_profile::Limits;
use flambeau_store::Store;
use serde_json::Value;

use crate::event::Batch;

pub use event::Message;

/// Objects fetched at the same time unless `FLAMBEAU_FETCHES` says otherwise.
pub const DEFAULT_FETCHES: usize = 32;

/// What stays between invocations.
#[derive(Debug, Clone)]
pub struct State {
    /// Where snapshots are read and blocks written.
    pub store: Store,
    /// Whose objects outside the layout are; `FLAMBEAU_TENANT`.
    pub tenant: TenantId,
    /// Objects fetched at the same time; `FLAMBEAU_FETCHES`.
    pub fetches: usize,
}

/// What one invocation did.
#[derive(Debug)]
pub struct Handled {
    /// The answer for SQS: which messages shall come again.
    pub response: SqsBatchResponse,
    /// What the merge did, for a caller in the same process.
    pub report: MergeReport,
}

impl State {
    /// Reads the environment and connects.
    ///
    /// # Errors
    /// When a variable is missing or malformed, naming it.
    pub async fn from_env() -> anyhow::Result<Self> {
        let tenant = std::env::var(environment::TENANT).ok();
        let fetches = match std::env::var(environment::FETCHES) {
            Ok(text) => text.parse().context("FLAMBEAU_FETCHES is not a number")?,
            Err(_) => DEFAULT_FETCHES,
        };
        let tenant = environment::tenant(tenant).context(environment::TENANT)?;
        Ok(Self { store: Store::from_env().await?, tenant, fetches })
    }
}

/// Handles an SQS event that wraps S3 notifications, or a bare S3 event.
///
/// # Errors
/// For a bare event, when an object must come again: there is no way to say
/// which. For SQS never, except when the event is neither.
pub async fn handle(event: Value, state: &State) -> anyhow::Result<Handled> {
    let started = Instant::now();
    let batch = Batch::read(event)?;
    let now = UnixMillis::from(jiff::Timestamp::now());
    let options = MergeOptions {
        tenant: state.tenant.clone(),
        now,
        fetches: state.fetches,
        limits: Limits::default(),
    };
    let mut merged = Merged::default();
    for group in groups(&batch.messages) {
        let keys: Vec<String> = group.iter().flat_map(|m| m.keys.iter().cloned()).collect();
        // Boxed, because the layout of the whole future would be too deep to compute.
        let report = Box::pin(merge(&state.store, &keys, &options)).await;
        merged.failed.extend(failed(&group, &report.outcomes));
        merged.report.absorb(report);
    }
    let Merged { report, failed } = merged;
    log(&batch, &report, &failed, started);
    if !batch.per_message && !failed.is_empty() {
        let count = failed.len();
        anyhow::bail!("{count} objects could not be merged now; the event must come again");
    }
    Ok(Handled { response: response(&failed), report })
}

/// Messages delivered this often are merged last and alone: one of them may be
/// what killed the merges before, and must not take the others with it again.
pub const LONELY_RECEIVES: u32 = 3;

#[derive(Default)]
struct Merged {
    report: MergeReport,
    failed: Vec<String>,
}

/// What is merged together: all that came seldom, then each that came often.
fn groups(messages: &[Message]) -> Vec<Vec<&Message>> {
    let (often, seldom): (Vec<_>, Vec<_>) =
        messages.iter().partition(|message| message.receives >= LONELY_RECEIVES);
    let together = (!seldom.is_empty()).then_some(seldom);
    together.into_iter().chain(often.into_iter().map(|message| vec![message])).collect()
}

/// Ids of the messages that must come again: those that could not be read, and
/// those with an object that could not be decided.
fn failed(messages: &[&Message], outcomes: &[ItemOutcome]) -> Vec<String> {
    let mut outcomes = outcomes.iter();
    let mut failed = Vec::new();
    for message in messages {
        let of_message = outcomes.by_ref().take(message.keys.len());
        let retries = of_message.filter(|outcome| matches!(outcome, ItemOutcome::Retry(_))).count();
        if retries > 0 || message.unreadable.is_some() {
            failed.push(message.id.clone());
        }
    }
    failed
}

fn response(failed: &[String]) -> SqsBatchResponse {
    let mut response = SqsBatchResponse::default();
    for id in failed {
        let mut failure = BatchItemFailure::default();
        failure.item_identifier = id.clone();
        response.batch_item_failures.push(failure);
    }
    response
}

/// The closing line of an invocation.
fn log(batch: &Batch, report: &MergeReport, failed: &[String], started: Instant) {
    for message in &batch.messages {
        if let Some(reason) = &message.unreadable {
            tracing::warn!(message = %message.id, %reason, "message is no S3 notification");
        }
    }
    for outcome in &report.outcomes {
        if let ItemOutcome::Retry(error) = outcome {
            tracing::warn!(%error, "to be delivered again");
        }
    }
    let count = |wanted: fn(&ItemOutcome) -> bool| {
        report.outcomes.iter().filter(|outcome| wanted(outcome)).count()
    };
    tracing::info!(
        messages = batch.messages.len(),
        objects = report.outcomes.len(),
        merged = count(|outcome| matches!(outcome, ItemOutcome::Merged)),
        already_there = count(|outcome| matches!(outcome, ItemOutcome::AlreadyThere)),
        parked = count(|outcome| matches!(outcome, ItemOutcome::Parked(_))),
        entries_parked = report.entries_parked,
        failed = failed.len(),
        blocks = report.rows.len(),
        bytes_read = report.bytes_read,
        millis = started.elapsed().as_millis(),
        "merge done"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn third_receipts_come_last_and_alone() {
        let message =
            |id: &str, receives| Message { id: id.into(), receives, ..Message::default() };
        let messages = [message("a", 3), message("b", 1), message("c", 2), message("d", 9)];
        let groups = groups(&messages);
        let ids: Vec<Vec<&str>> =
            groups.iter().map(|group| group.iter().map(|m| m.id.as_str()).collect()).collect();
        assert_eq!(ids, [vec!["b", "c"], vec!["a"], vec!["d"]]);
    }
}
