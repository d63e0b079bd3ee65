//! What an event asks for.

use std::collections::BTreeSet;

use anyhow::Context;
use aws_lambda_events::dynamodb::{Event as StreamEvent, EventRecord};
use serde::Deserialize;
use serde_json::Value;

/// How deep an event may be wrapped: SQS around SNS around S3.
const MAX_WRAPPERS: usize = 3;

/// What an event asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// New rows stand under these (partition, sort) keys.
    Rows(Vec<(String, String)>),
    /// The schedule ticks.
    Tick,
    /// Messages were given up.
    DeadLetters(Vec<Letter>),
}

/// A message that was given up.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Letter {
    pub(crate) id: String,
    /// Keys as stored; none when the message names no objects.
    pub(crate) keys: Vec<String>,
}

impl Asked {
    pub(crate) fn read(event: Value) -> anyhow::Result<Self> {
        let first = &event["Records"][0]["eventSource"];
        if first == "aws:sqs" {
            let records = event["Records"].as_array().map(Vec::as_slice).unwrap_or_default();
            return Ok(Self::DeadLetters(records.iter().map(Letter::of).collect()));
        }
        let is_scheduled = event["detail-type"] == "Scheduled Event"
            || event["source"] == "aws.events"
            || event["source"] == "aws.scheduler";
        if is_scheduled {
            return Ok(Self::Tick);
        }
        let event: StreamEvent = serde_json::from_value(event).context(
            "neither an event of the table's stream, nor of the schedule, nor of a queue",
        )?;
        let keys: BTreeSet<_> = event.records.into_iter().filter_map(block_key).collect();
        Ok(Self::Rows(keys.into_iter().collect()))
    }
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

impl Letter {
    /// Reads an SQS record.
    pub(crate) fn of(record: &Value) -> Self {
        let id = record["messageId"].as_str().unwrap_or_default().to_owned();
        let mut keys = Vec::new();
        collect_keys(&record["body"], MAX_WRAPPERS, &mut keys);
        Self { id, keys }
    }
}

/// Object keys of an S3 notification or an EventBridge event, bare, as text, or
/// wrapped by SNS.
fn collect_keys(body: &Value, wrappers: usize, keys: &mut Vec<String>) {
    if let (Some(text), Some(left)) = (body.as_str(), wrappers.checked_sub(1)) {
        if let Ok(inner) = serde_json::from_str(text) {
            collect_keys(&inner, left, keys);
        }
        return;
    }
    let records = body["Records"].as_array().map(Vec::as_slice).unwrap_or_default();
    keys.extend(records.iter().filter_map(|r| r["s3"]["object"]["key"].as_str()).map(url_decode));
    // EventBridge does not encode keys.
    keys.extend(body["detail"]["object"]["key"].as_str().map(str::to_owned));
    if body["Message"].is_string() {
        collect_keys(&body["Message"], wrappers, keys);
    }
}

/// S3 sends keys as HTML forms do: `+` is a space, the rest percent-encoded.
fn url_decode(key: &str) -> String {
    let spaced = key.replace('+', " ");
    percent_encoding::percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    fn letter(body: &Value) -> Vec<String> {
        Letter::of(&json!({ "messageId": "m", "body": body.to_string() })).keys
    }

    #[test]
    fn letters_are_opened_however_they_are_wrapped() {
        let s3 = json!({ "Records": [{ "s3": { "object": { "key": "snapshots/a+b%2Fc" } } }] });
        assert_eq!(letter(&s3), ["snapshots/a b/c"]);
        assert_eq!(letter(&json!({ "Message": s3.to_string() })), ["snapshots/a b/c"]);
        let bridge = json!({ "detail": { "object": { "key": "snapshots/a+b" } } });
        assert_eq!(letter(&bridge), ["snapshots/a+b"]);
        assert!(letter(&json!({ "Event": "s3:TestEvent" })).is_empty());
        assert!(Letter::of(&json!({ "body": "no JSON" })).keys.is_empty());
    }

    #[test]
    fn events_are_told_apart() {
        let tick = json!({ "source": "aws.events", "detail-type": "Scheduled Event" });
        assert_eq!(Asked::read(tick).unwrap(), Asked::Tick);
        let queue = json!({ "Records": [{ "eventSource": "aws:sqs", "messageId": "m" }] });
        let letters = vec![Letter { id: "m".into(), keys: vec![] }];
        assert_eq!(Asked::read(queue).unwrap(), Asked::DeadLetters(letters));
        assert!(Asked::read(json!({ "some": "thing" })).is_err());
    }
}
