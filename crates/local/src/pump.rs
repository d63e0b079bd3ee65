//! The event pump: object-created events from the outbox to the merge handler,
//! as SQS would deliver them, and the rows it commits to the index handler, as
//! the table's stream would.
//!
//! At least once, in batches, with retries that grow apart; after
//! [`MAX_RECEIVES`] a message goes to the dead-letter folder, which the schedule
//! drains into `parked/`. An event is
//! acknowledged in the outbox only after the handler has answered for it, so a
//! `kill -9` at any moment repeats work and loses none. Receive counts live in
//! memory: a restart starts them anew.

use std::{
    collections::{HashMap, HashSet},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use flambeau_layout::{BlockRow, RowState, snapshot::SNAPSHOTS};
use serde_json::{Value, json};
use tokio::{sync::watch, time::Instant};

use crate::s3::{Event, Outbox};

/// Messages per batch. Under load batches grow towards it by themselves, for
/// more gathers while a larger one is merged; and the more of a service's
/// snapshots are merged at once, the fewer blocks are encoded, indexed and
/// rolled up later.
pub const MAX_BATCH: usize = 5_000;
/// A message that failed this often becomes a dead letter.
pub const MAX_RECEIVES: u32 = 5;
/// How long the pump waits for company before it delivers a batch that has
/// room.
pub const WINDOW: Duration = Duration::from_millis(100);
/// First wait of a failed message; doubles with each failure.
const FIRST_RETRY: Duration = Duration::from_millis(500);
/// Rows of one event for the index handler.
const MAX_STREAM_RECORDS: usize = 100;

/// What the pump delivers to.
#[derive(Debug, Clone)]
pub struct Handlers {
    /// The merge function.
    pub merge: flambeau_merge::State,
    /// The index function.
    pub index: flambeau_index::State,
}

/// How far the pump is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Progress {
    /// Batches delivered.
    pub batches: u64,
    /// Messages that await another try.
    pub retrying: usize,
    /// Messages given up since the start.
    pub dead: u64,
}

/// Delivers until its task is dropped.
pub struct Pump {
    outbox: Outbox,
    handlers: Handlers,
    dead_letters: PathBuf,
    failures: HashMap<u64, Failure>,
    progress: Arc<watch::Sender<Progress>>,
}

#[derive(Debug, Clone, Copy)]
struct Failure {
    receives: u32,
    not_before: Instant,
}

impl Pump {
    /// A pump that puts dead letters into `dead_letters`.
    #[must_use]
    pub fn new(outbox: Outbox, handlers: Handlers, dead_letters: PathBuf) -> Self {
        let progress = Arc::new(watch::Sender::new(Progress::default()));
        Self { outbox, handlers, dead_letters, failures: HashMap::new(), progress }
    }

    /// Where to see how far it is.
    #[must_use]
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// Delivers for ever: what the outbox holds now, then what comes.
    pub async fn run(mut self) {
        let mut newest = self.outbox.newest();
        loop {
            newest.mark_unchanged();
            match self.ready().await {
                Ok(batch) if batch.is_empty() => self.wait(&mut newest).await,
                Ok(batch) => {
                    let has_room = batch.len() < MAX_BATCH;
                    self.deliver(batch).await;
                    if has_room {
                        tokio::time::sleep(WINDOW).await;
                    }
                }
                Err(error) => {
                    tracing::error!(%error, "outbox is not readable");
                    tokio::time::sleep(FIRST_RETRY).await;
                }
            }
        }
    }

    /// Events that may be delivered now, oldest first.
    async fn ready(&self) -> Result<Vec<Event>, crate::s3::Error> {
        let (mut batch, mut after, now) = (Vec::new(), 0, Instant::now());
        loop {
            let page = self.outbox.pending_for_prefix(SNAPSHOTS, after, MAX_BATCH).await?;
            let Some(last) = page.last() else { return Ok(batch) };
            after = last.seq;
            let due = |event: &Event| {
                self.failures.get(&event.seq).is_none_or(|failure| failure.not_before <= now)
            };
            let created = page.into_iter().filter(|event| event.name.is_created());
            batch.extend(created.filter(due).take(MAX_BATCH - batch.len()));
            if batch.len() == MAX_BATCH {
                return Ok(batch);
            }
        }
    }

    async fn wait(&self, newest: &mut watch::Receiver<u64>) {
        let next = self.failures.values().map(|failure| failure.not_before).min();
        let retry = async {
            match next {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            changed = newest.changed() => match changed {
                Ok(()) => tokio::time::sleep(WINDOW).await,
                // The store is gone, and with it the reason to deliver.
                Err(_) => std::future::pending().await,
            },
            () = retry => {}
        }
    }

    async fn deliver(&mut self, batch: Vec<Event>) {
        let (failed, error) = self.hand_over(&batch).await;
        let mut acked = Vec::with_capacity(batch.len());
        for event in &batch {
            if !failed.contains(&message_id(event)) {
                self.failures.remove(&event.seq);
                acked.push(event.seq);
            } else if self.fail(event, &error).await {
                acked.push(event.seq);
            }
        }
        if let Err(error) = self.outbox.ack(&acked).await {
            tracing::error!(%error, "events could not be acknowledged; they come again");
        }
        let retrying = self.failures.len();
        self.progress.send_modify(|progress| {
            progress.batches += 1;
            progress.retrying = retrying;
        });
    }

    /// Calls the handlers; answers the ids of messages that must come again,
    /// and why where the whole batch failed.
    async fn hand_over(&self, batch: &[Event]) -> (HashSet<String>, String) {
        let event =
            json!({ "Records": batch.iter().map(|event| self.message(event)).collect::<Vec<_>>() });
        match flambeau_merge::handle(event, &self.handlers.merge).await {
            Ok(handled) => {
                self.tell_index(&handled.report.rows).await;
                let failures = handled.response.batch_item_failures;
                let ids = failures.into_iter().map(|failure| failure.item_identifier).collect();
                (ids, "see the log of merge".to_owned())
            }
            Err(error) => (batch.iter().map(message_id).collect(), error.to_string()),
        }
    }

    /// A lost hint is repaired by the schedule, so errors are only logged.
    async fn tell_index(&self, rows: &[BlockRow]) {
        for rows in rows.chunks(MAX_STREAM_RECORDS) {
            let event = json!({ "Records": rows.iter().map(stream_record).collect::<Vec<_>>() });
            if let Err(error) = flambeau_index::handle(event, &self.handlers.index).await {
                tracing::warn!(%error, "index did not take the hint");
            }
        }
    }

    /// Counts a failure; `true` when the message was given up and kept as a
    /// dead letter.
    async fn fail(&mut self, event: &Event, error: &str) -> bool {
        let receives = self.failures.get(&event.seq).map_or(0, |failure| failure.receives) + 1;
        if receives >= MAX_RECEIVES && self.keep_dead_letter(event, receives, error).await {
            self.failures.remove(&event.seq);
            self.progress.send_modify(|progress| progress.dead += 1);
            return true;
        }
        let wait = FIRST_RETRY * 2_u32.pow(receives.min(6) - 1);
        self.failures.insert(event.seq, Failure { receives, not_before: Instant::now() + wait });
        false
    }

    fn message(&self, event: &Event) -> Value {
        message(event, self.failures.get(&event.seq).map_or(0, |failure| failure.receives) + 1)
    }

    async fn keep_dead_letter(&self, event: &Event, receives: u32, error: &str) -> bool {
        let letter =
            json!({ "receives": receives, "error": error, "message": self.message(event) });
        let path = self.dead_letters.join(format!("{}.json", event.seq));
        let write = async {
            tokio::fs::create_dir_all(&self.dead_letters).await?;
            tokio::fs::write(&path, format!("{letter:#}\n")).await
        };
        match write.await {
            Ok(()) => {
                tracing::error!(key = %event.key, letter = %path.display(), "given up");
                true
            }
            Err(error) => {
                tracing::error!(key = %event.key, %error, "dead letter could not be written");
                false
            }
        }
    }
}

/// The SQS message that wraps the S3 notification of one event, at its
/// `receives`-th delivery.
#[must_use]
pub fn message(event: &Event, receives: u32) -> Value {
    json!({
        "messageId": message_id(event),
        "eventSource": "aws:sqs",
        "attributes": { "ApproximateReceiveCount": receives.to_string() },
        "body": json!({ "Records": [notification(event)] }).to_string(),
    })
}

fn message_id(event: &Event) -> String {
    event.seq.to_string()
}

fn notification(event: &Event) -> Value {
    let time = jiff::Timestamp::try_from(event.event_time).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    json!({
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": crate::s3::REGION,
        "eventTime": time.to_string(),
        "eventName": event.name.as_str().trim_start_matches("s3:"),
        "userIdentity": {},
        "requestParameters": {},
        "responseElements": {},
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "flambeau",
            "bucket": { "name": event.bucket, "ownerIdentity": {}, "arn": format!("arn:aws:s3:::{}", event.bucket) },
            "object": {
                "key": url_encode(&event.key),
                "size": event.size,
                "eTag": event.etag,
                "sequencer": format!("{:016X}", event.seq),
            },
        },
    })
}

/// Keys are encoded in notifications as HTML forms do.
fn url_encode(key: &str) -> String {
    const FORM: &percent_encoding::AsciiSet = &percent_encoding::NON_ALPHANUMERIC
        .remove(b'-')
        .remove(b'_')
        .remove(b'.')
        .remove(b'*')
        .remove(b'/')
        .remove(b' ');
    percent_encoding::utf8_percent_encode(key, FORM).to_string().replace(' ', "+")
}

/// The record that a DynamoDB stream would carry for a new row.
fn stream_record(row: &BlockRow) -> Value {
    let partition = BlockRow::partition(&row.tenant, &row.service);
    let sort = row.sort(RowState::Open);
    json!({
        "eventID": row.block.as_str(),
        "eventName": "INSERT",
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": crate::s3::REGION,
        "dynamodb": {
            "Keys": { "pk": { "S": partition }, "sk": { "S": sort } },
            "SequenceNumber": "0",
            "SizeBytes": 1,
            "StreamViewType": "KEYS_ONLY",
        },
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::s3::{EmbeddedS3, Options};
    use flambeau_store::{Config, Store};

    /// A pump over an outbox with this many events; what it delivers to is
    /// never reached.
    async fn pump(dir: &std::path::Path, events: usize) -> (EmbeddedS3, Pump) {
        let at = dir.to_owned();
        let s3 = tokio::task::spawn_blocking(move || EmbeddedS3::open(&at, Options::default()));
        let s3 = s3.await.unwrap().unwrap();
        s3.outbox().record(SNAPSHOTS, events).await.unwrap();
        let config = Config {
            bucket: "flambeau".to_owned(),
            table: "flambeau".to_owned(),
            s3_endpoint: Some("http://127.0.0.1:1".to_owned()),
            dynamodb_endpoint: Some("http://127.0.0.1:1".to_owned()),
            credentials: Some(("id".to_owned(), "secret".to_owned())),
        };
        let (store, tenant) = (Store::connect(&config).await, "default".parse().unwrap());
        let index = flambeau_index::State { store: store.clone(), tenant };
        let tenant = index.tenant.clone();
        let handlers =
            Handlers { merge: flambeau_merge::State { store, tenant, fetches: 1 }, index };
        let pump = Pump::new(s3.outbox(), handlers, dir.join("dead-letters"));
        (s3, pump)
    }

    #[tokio::test]
    async fn a_batch_holds_what_it_may_and_no_more() {
        let dir = tempfile::tempdir().unwrap();
        let (s3, pump) = pump(dir.path(), MAX_BATCH).await;
        let whole = pump.ready().await.unwrap();
        assert_eq!(whole.len(), MAX_BATCH);
        s3.outbox().record(SNAPSHOTS, 1).await.unwrap();
        assert_eq!(pump.ready().await.unwrap(), whole);
        let seqs: Vec<u64> = whole.iter().map(|event| event.seq).collect();
        s3.outbox().ack(&seqs).await.unwrap();
        assert_eq!(pump.ready().await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn a_batch_of_failures_does_not_hold_up_what_comes_after() {
        let dir = tempfile::tempdir().unwrap();
        let (s3, mut pump) = pump(dir.path(), MAX_BATCH).await;
        let not_before = Instant::now() + Duration::from_secs(3600);
        for event in pump.ready().await.unwrap() {
            pump.failures.insert(event.seq, Failure { receives: 1, not_before });
        }
        assert_eq!(pump.ready().await.unwrap(), []);
        s3.outbox().record("elsewhere/", 1).await.unwrap();
        s3.outbox().record(SNAPSHOTS, 1).await.unwrap();
        let batch = pump.ready().await.unwrap();
        assert_eq!(batch.len(), 1);
        assert!(!pump.failures.contains_key(&batch[0].seq));
    }
}
