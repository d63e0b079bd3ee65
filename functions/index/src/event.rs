//! What an event asks for.

use std::collections::BTreeSet;

use anyhow::Context;
use aws_lambda_events::{
    dynamodb::{Event as StreamEvent, EventRecord},
    sqs::SqsEvent,
};
use flambeau_merge::Message;
use serde::Deserialize;
use serde_json::Value;

/// What the sort keys begin with of rows whose coming is a hint: blocks that
/// merge made. Rollups tell the catalogue nothing new, and are found by the
/// schedule.
pub const HINTED_ROWS: &str = "open/0/";

/// What an event asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// New rows stand under these (partition, sort) keys.
    Rows(Vec<(String, String)>),
    /// The schedule ticks.
    Tick,
    /// Messages of merge's queue were given up.
    DeadLetters(Vec<Message>),
}

impl Asked {
    pub(crate) fn read(event: Value) -> anyhow::Result<Self> {
        let first = &event["Records"][0]["eventSource"];
        if first == "aws:sqs" {
            let event: SqsEvent =
                serde_json::from_value(event).context("the SQS event is not readable")?;
            let letters = event.records.into_iter().map(Message::read);
            return Ok(Self::DeadLetters(letters.collect()));
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
    (record.event_name == "INSERT" && sk.starts_with(HINTED_ROWS)).then_some((pk, sk))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn dead_letters_are_read_as_merge_reads_its_messages() {
        let bridge = json!({
            "source": "aws.s3", "detail-type": "Object Created",
            "detail": { "object": { "key": "snapshots/a+b" } }
        });
        let record = |body: &str| json!({ "eventSource": "aws:sqs", "body": body });
        let event = json!({ "Records": [record(&bridge.to_string()), record("rubbish")] });
        let Asked::DeadLetters(letters) = Asked::read(event).unwrap() else { panic!("a queue") };
        assert_eq!(letters[0].keys, ["snapshots/a+b"]);
        assert!(letters[1].unreadable.is_some());
    }

    #[test]
    fn hints_are_new_blocks_of_merge() {
        let row = |sort: &str, name: &str| {
            json!({
                "eventID": "1", "eventName": name, "eventVersion": "1.1",
                "eventSource": "aws:dynamodb", "awsRegion": "us-east-1",
                "dynamodb": {
                    "Keys": { "pk": { "S": "t/s" }, "sk": { "S": sort } },
                    "SequenceNumber": "0", "SizeBytes": 1, "StreamViewType": "KEYS_ONLY"
                }
            })
        };
        let block = "open/0/001795000020/00/b1";
        let records = [
            row(block, "INSERT"),
            row(block, "MODIFY"),
            row("open/1/001795000000/00/b2", "INSERT"),
        ];
        let asked = Asked::read(json!({ "Records": records })).unwrap();
        assert_eq!(asked, Asked::Rows(vec![("t/s".to_owned(), block.to_owned())]));
        let row = flambeau_layout::Level::Minute.number();
        assert_eq!(HINTED_ROWS, format!("{}/{row}/", flambeau_layout::RowState::Open.as_str()));
    }

    #[test]
    fn events_are_told_apart() {
        let tick = json!({ "source": "aws.events", "detail-type": "Scheduled Event" });
        assert_eq!(Asked::read(tick).unwrap(), Asked::Tick);
        let queue = json!({ "Records": [{ "eventSource": "aws:sqs", "messageId": "m" }] });
        assert!(
            matches!(Asked::read(queue).unwrap(), Asked::DeadLetters(letters) if letters[0].id == "m")
        );
        assert!(Asked::read(json!({ "some": "thing" })).is_err());
    }
}
