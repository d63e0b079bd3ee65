//! Which objects an event names.

use anyhow::Context;
use aws_lambda_events::{s3::S3Event, sqs::SqsEvent};
use serde_json::Value;

/// Objects named by an event, by message.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) messages: Vec<Message>,
    /// Whether the sender takes an answer per message.
    pub(crate) per_message: bool,
}

/// One message of a batch.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) id: String,
    /// Keys as stored.
    pub(crate) keys: Vec<String>,
    /// Why it names no objects, when it should.
    pub(crate) unreadable: Option<String>,
}

impl Batch {
    pub(crate) fn read(event: Value) -> anyhow::Result<Self> {
        let source = event["Records"][0]["eventSource"].as_str().unwrap_or_default();
        if source == "aws:sqs" {
            let event: SqsEvent =
                serde_json::from_value(event).context("the SQS event is not readable")?;
            let messages = event.records.into_iter().map(|record| {
                let id = record.message_id.unwrap_or_default();
                Message::read(id, record.body.as_deref().unwrap_or_default())
            });
            return Ok(Self { messages: messages.collect(), per_message: true });
        }
        let message = Message::of(String::new(), event);
        if let Some(reason) = &message.unreadable {
            anyhow::bail!("{reason}; merge takes S3 notifications, bare or by SQS");
        }
        Ok(Self { messages: vec![message], per_message: false })
    }
}

impl Message {
    fn read(id: String, body: &str) -> Self {
        match serde_json::from_str(body) {
            Ok(event) => Self::of(id, event),
            Err(error) => {
                let unreadable = Some(format!("the body is not JSON: {error}"));
                Self { id, unreadable, ..Self::default() }
            }
        }
    }

    fn of(id: String, event: Value) -> Self {
        // S3 sends this once, when a notification is configured.
        if event["Event"] == "s3:TestEvent" {
            return Self { id, ..Self::default() };
        }
        match serde_json::from_value::<S3Event>(event) {
            Ok(event) if !event.records.is_empty() => {
                let created = event.records.iter().filter(|record| {
                    let name = record.event_name.as_deref().unwrap_or_default();
                    name.trim_start_matches("s3:").starts_with("ObjectCreated:")
                });
                let keys = created.filter_map(|record| record.s3.object.key.as_deref());
                Self { id, keys: keys.map(url_decode).collect(), unreadable: None }
            }
            Ok(_) => {
                let unreadable = Some("the event has no records".to_owned());
                Self { id, unreadable, ..Self::default() }
            }
            Err(error) => {
                let unreadable = Some(format!("not an S3 event: {error}"));
                Self { id, unreadable, ..Self::default() }
            }
        }
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

    fn s3(keys: &[&str]) -> Value {
        let record = |key: &&str| {
            json!({
                "eventVersion": "2.1", "eventSource": "aws:s3", "awsRegion": "us-east-1",
                "eventTime": "2026-11-21T00:00:00.000Z", "eventName": "ObjectCreated:Put",
                "userIdentity": {}, "requestParameters": {}, "responseElements": {},
                "s3": {
                    "s3SchemaVersion": "1.0", "configurationId": "x",
                    "bucket": {"name": "b", "ownerIdentity": {}, "arn": "arn:aws:s3:::b"},
                    "object": {"key": key, "size": 1, "eTag": "e", "sequencer": "1"}
                }
            })
        };
        json!({ "Records": keys.iter().map(record).collect::<Vec<_>>() })
    }

    fn sqs(bodies: &[&str]) -> Value {
        let record = |(index, body): (usize, &&str)| json!({ "messageId": format!("m{index}"), "body": body, "eventSource": "aws:sqs" });
        json!({ "Records": bodies.iter().enumerate().map(record).collect::<Vec<_>>() })
    }

    #[test]
    fn keys_arrive_url_encoded() {
        let batch = Batch::read(s3(&["a+b/%CE%BB", "p%2525"])).unwrap();
        assert_eq!(batch.messages[0].keys, ["a b/λ", "p%25"]);
        assert!(!batch.per_message);
    }

    #[test]
    fn messages_are_read_one_by_one() {
        let good = s3(&["k"]).to_string();
        let test = json!({"Service": "Amazon S3", "Event": "s3:TestEvent"}).to_string();
        let batch = Batch::read(sqs(&[&good, "rubbish", &test, "{}"])).unwrap();
        let unreadable: Vec<bool> =
            batch.messages.iter().map(|message| message.unreadable.is_some()).collect();
        assert_eq!(unreadable, [false, true, false, true]);
        assert_eq!(
            batch.messages[0],
            Message { id: "m0".into(), keys: vec!["k".into()], unreadable: None }
        );
        assert!(batch.messages[2].keys.is_empty() && batch.per_message);
    }

    #[test]
    fn a_bare_test_event_is_no_error_and_rubbish_is() {
        let test = json!({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "b"});
        assert!(Batch::read(test).unwrap().messages[0].keys.is_empty());
        assert!(Batch::read(json!({"hello": 1})).is_err());
    }
}
