//! Which objects an event names.

use anyhow::Context;
use aws_lambda_events::{
    s3::S3Event,
    sqs::{SqsEvent, SqsMessage},
};
use serde_json::Value;

/// Objects named by an event, by message.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) messages: Vec<Message>,
    /// Whether the sender takes an answer per message.
    pub(crate) per_message: bool,
}

/// One message of merge's queue, or of the dead-letter queue behind it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// Its id in the queue.
    pub id: String,
    /// Keys as stored.
    pub keys: Vec<String>,
    /// Times it was delivered, this one included.
    pub receives: u32,
    /// Why it names no objects, when it should.
    pub unreadable: Option<String>,
}

impl Batch {
    pub(crate) fn read(event: Value) -> anyhow::Result<Self> {
        let source = event["Records"][0]["eventSource"].as_str().unwrap_or_default();
        if source == "aws:sqs" {
            let event: SqsEvent =
                serde_json::from_value(event).context("the SQS event is not readable")?;
            let messages = event.records.into_iter().map(Message::read).collect();
            return Ok(Self { messages, per_message: true });
        }
        let message = Message::of(String::new(), keys_of(event, 0));
        if let Some(reason) = &message.unreadable {
            anyhow::bail!("{reason}; merge takes S3 notifications, bare or by SQS");
        }
        Ok(Self { messages: vec![message], per_message: false })
    }
}

impl Message {
    /// Reads a record of an SQS event: an S3 notification, bare or wrapped by
    /// SNS or EventBridge. Never fails; what cannot be read says why.
    #[must_use]
    pub fn read(record: SqsMessage) -> Self {
        let body = record.body.as_deref().unwrap_or_default();
        let receives = record.attributes.get("ApproximateReceiveCount");
        let receives = receives.and_then(|count| count.parse().ok()).unwrap_or(1);
        let id = record.message_id.unwrap_or_default();
        let keys = serde_json::from_str(body)
            .map_err(|error| format!("the body is not JSON: {error}"))
            .and_then(|event| keys_of(event, 0));
        Self { receives, ..Self::of(id, keys) }
    }

    fn of(id: String, keys: Result<Vec<String>, String>) -> Self {
        match keys {
            Ok(keys) => Self { id, keys, receives: 1, unreadable: None },
            Err(reason) => Self { id, keys: Vec::new(), receives: 1, unreadable: Some(reason) },
        }
    }
}

/// Wrappers inside wrappers that are opened: SQS holds SNS holds S3.
const MAX_WRAPPERS: usize = 3;

/// Keys of the objects that an S3 notification tells of, bare, inside an SNS
/// notification or as EventBridge has it.
fn keys_of(event: Value, depth: usize) -> Result<Vec<String>, String> {
    if depth > MAX_WRAPPERS {
        return Err(format!("more than {MAX_WRAPPERS} wrappers around the event"));
    }
    // S3 sends this once, when a notification is configured.
    if event["Event"] == "s3:TestEvent" {
        return Ok(Vec::new());
    }
    if event["Type"] == "Notification" {
        return unwrap_message(&event["Message"], depth);
    }
    if event["source"] == "aws.s3" {
        return eventbridge_key(&event);
    }
    if event["Records"][0]["EventSource"] == "aws:sns" {
        let records = event["Records"].as_array().map(Vec::as_slice).unwrap_or_default();
        let inside: Result<Vec<Vec<String>>, String> =
            records.iter().map(|record| unwrap_message(&record["Sns"]["Message"], depth)).collect();
        return Ok(inside?.concat());
    }
    s3_keys(event)
}

fn unwrap_message(message: &Value, depth: usize) -> Result<Vec<String>, String> {
    let text = message.as_str().ok_or("the SNS notification has no message")?;
    let inside = serde_json::from_str(text)
        .map_err(|error| format!("the SNS message is not JSON: {error}"))?;
    keys_of(inside, depth + 1)
}

/// EventBridge sends keys as they are, not URL-encoded.
fn eventbridge_key(event: &Value) -> Result<Vec<String>, String> {
    if event["detail-type"] != "Object Created" {
        return Ok(Vec::new());
    }
    let key = event["detail"]["object"]["key"].as_str();
    Ok(vec![key.ok_or("the EventBridge event names no object")?.to_owned()])
}

fn s3_keys(event: Value) -> Result<Vec<String>, String> {
    let event: S3Event =
        serde_json::from_value(event).map_err(|error| format!("not an S3 event: {error}"))?;
    if event.records.is_empty() {
        return Err("the event has no records".to_owned());
    }
    let created = event.records.iter().filter(|record| {
        let name = record.event_name.as_deref().unwrap_or_default();
        name.trim_start_matches("s3:").starts_with("ObjectCreated:")
    });
    let keys = created.filter_map(|record| record.s3.object.key.as_deref());
    Ok(keys.map(url_decode).collect())
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
            Message { id: "m0".into(), keys: vec!["k".into()], receives: 1, unreadable: None }
        );
        assert!(batch.messages[2].keys.is_empty() && batch.per_message);
    }

    #[test]
    fn wrapped_events_are_opened() {
        let notification = json!({"Type": "Notification", "Message": s3(&["a+b"]).to_string()});
        let bridge = json!({
            "source": "aws.s3", "detail-type": "Object Created",
            "detail": {"bucket": {"name": "b"}, "object": {"key": "a+b%20", "size": 1}}
        });
        let removed = json!({"source": "aws.s3", "detail-type": "Object Deleted", "detail": {}});
        let batch = sqs(&[&notification.to_string(), &bridge.to_string(), &removed.to_string()]);
        let batch = Batch::read(batch).unwrap();
        let keys: Vec<_> = batch.messages.iter().map(|message| &message.keys[..]).collect();
        assert_eq!(keys, [["a b".to_owned()].as_slice(), &["a+b%20".to_owned()], &[]]);
        let sns = json!({"Records": [{"EventSource": "aws:sns", "Sns": {"Message": s3(&["k"]).to_string()}}]});
        assert_eq!(Batch::read(sns).unwrap().messages[0].keys, ["k"]);
    }

    #[test]
    fn wrappers_end_somewhere() {
        let wrap = |inside: Value| json!({"Type": "Notification", "Message": inside.to_string()});
        let deep = |n| (0..n).fold(s3(&["k"]), |inside, _| wrap(inside));
        assert!(keys_of(deep(MAX_WRAPPERS), 0).is_ok());
        assert!(keys_of(deep(MAX_WRAPPERS + 1), 0).is_err());
    }

    #[test]
    fn receives_are_read() {
        let mut event = sqs(&[&s3(&["k"]).to_string()]);
        event["Records"][0]["attributes"] = json!({"ApproximateReceiveCount": "3"});
        assert_eq!(Batch::read(event).unwrap().messages[0].receives, 3);
    }

    #[test]
    fn a_bare_test_event_is_no_error_and_rubbish_is() {
        let test = json!({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "b"});
        assert!(Batch::read(test).unwrap().messages[0].keys.is_empty());
        assert!(Batch::read(json!({"hello": 1})).is_err());
    }
}
