//! What stores answer when they have troubles of their own, by a seed.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::http::{Method, header};
use flambeau_store::Patience;
use serde_json::{Value, json};

use super::{
    Random,
    proxy::{Answer, Asked},
};

const JSON: &str = "application/x-amz-json-1.0";
const XML: &str = "application/xml";

/// What becomes of one request.
pub(super) enum Trouble {
    /// It is answered.
    None,
    /// The service refuses; nothing happens.
    Refused(Answer),
    /// It happens, and the service says that it failed.
    RefusedAfter(Answer),
    /// It happens, and half of the answer arrives.
    Torn,
    /// Nothing happens, and nobody answers.
    Silent,
    /// It happens, and nobody answers.
    SilentAfter,
    /// A part of a batch is answered, the rest handed back.
    Partly(Asked, Value),
}

/// Troubles by chance.
pub struct Troubles {
    random: Mutex<Random>,
    per_mille: AtomicUsize,
    met: Mutex<BTreeMap<&'static str, usize>>,
}

impl Troubles {
    /// For stores with troubles: two attempts, so that some errors arrive, and
    /// no long waits.
    const PATIENCE: Patience = Patience {
        attempts: 2,
        attempt: Duration::from_millis(700),
        first_wait: Duration::from_millis(5),
    };

    /// Troubles for so many of a thousand requests.
    #[must_use]
    pub fn new(random: Random, per_mille: usize) -> Self {
        let per_mille = AtomicUsize::new(per_mille);
        Self { random: Mutex::new(random), per_mille, met: Mutex::default() }
    }

    /// None at all.
    #[must_use]
    pub fn none() -> Self {
        Self::new(Random::new(0), 0)
    }

    /// What a store behind these troubles should have; `None` where there are
    /// none: on a busy machine a healthy request may take longer than this.
    pub(super) fn patience(&self) -> Option<Patience> {
        (self.per_mille.load(Ordering::SeqCst) > 0).then_some(Self::PATIENCE)
    }

    /// From now on there are none.
    pub fn cease(&self) {
        self.per_mille.store(0, Ordering::SeqCst);
    }

    /// How often each was met.
    #[must_use]
    pub fn met(&self) -> BTreeMap<&'static str, usize> {
        self.met.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn draw(&self, asked: &Asked) -> Trouble {
        let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
        if !random.per_mille(self.per_mille.load(Ordering::SeqCst)) {
            return Trouble::None;
        }
        let part = partly(asked).filter(|_| random.per_mille(400));
        let (name, trouble) = match (part, random.below(40)) {
            (Some((some, rest)), _) => ("a part of a batch", Trouble::Partly(some, rest)),
            (None, 0..22) => ("refused", Trouble::Refused(refusal(asked, &mut random))),
            (None, 22..30) => {
                ("refused after it happened", Trouble::RefusedAfter(failure(asked, &mut random)))
            }
            (None, 30..38) => ("torn", Trouble::Torn),
            (None, 38) => ("silent", Trouble::Silent),
            (None, _) => ("silent after it happened", Trouble::SilentAfter),
        };
        *self.met.lock().unwrap_or_else(PoisonError::into_inner).entry(name).or_default() += 1;
        trouble
    }
}

/// A refusal before anything happened.
fn refusal(asked: &Asked, random: &mut Random) -> Answer {
    match asked.operation() {
        Some("TransactWriteItems") if random.per_mille(600) => cancelled(asked, random),
        Some("PutItem" | "UpdateItem" | "DeleteItem") if random.per_mille(300) => {
            dynamo(400, "com.amazonaws.dynamodb.v20120810#TransactionConflictException")
        }
        Some(_) => match random.below(3) {
            0 => dynamo(400, "com.amazon.coral.availability#ThrottlingException"),
            1 => dynamo(
                400,
                "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException",
            ),
            _ => failure(asked, random),
        },
        None => {
            let headers = &asked.parts.headers;
            match random.below(4) {
                0 => s3(503, "SlowDown"),
                1 => Answer::refusal(429, XML, String::new()),
                2 if headers.contains_key(header::IF_NONE_MATCH)
                    && asked.parts.method == Method::PUT =>
                {
                    s3(409, "ConditionalRequestConflict")
                }
                _ => failure(asked, random),
            }
        }
    }
}

/// A failure that leaves open what happened.
fn failure(asked: &Asked, random: &mut Random) -> Answer {
    match (asked.operation().is_some(), random.per_mille(500)) {
        (true, true) => dynamo(500, "com.amazonaws.dynamodb.v20120810#InternalServerError"),
        (true, false) => dynamo(503, "com.amazonaws.dynamodb.v20120810#ServiceUnavailable"),
        (false, true) => s3(500, "InternalError"),
        (false, false) => s3(503, "ServiceUnavailable"),
    }
}

/// Another transaction holds one of the items, or they are asked for too often.
fn cancelled(asked: &Asked, random: &mut Random) -> Answer {
    let items = asked.json()["TransactItems"].as_array().map_or(1, Vec::len);
    let (hit, code) =
        (random.below(items), *random.pick(&["TransactionConflict", "ThrottlingError"]));
    let reason = |item| match item == hit {
        true => json!({ "Code": code, "Message": "injected" }),
        false => json!({ "Code": "None" }),
    };
    let reasons: Vec<Value> = (0..items).map(reason).collect();
    let body = json!({
        "__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
        "Message": format!("Transaction cancelled, please refer cancellation reasons ({code})"),
        "CancellationReasons": reasons,
    });
    Answer::refusal(400, JSON, body.to_string())
}

fn dynamo(status: u16, typ: &str) -> Answer {
    Answer::refusal(status, JSON, json!({ "__type": typ, "message": "injected" }).to_string())
}

fn s3(status: u16, code: &str) -> Answer {
    let xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code>\
         <Message>injected</Message><RequestId>1</RequestId></Error>"
    );
    Answer::refusal(status, XML, xml)
}

/// Half of a batch to read, and the other half as DynamoDB hands it back; none
/// where there is no batch of several keys in one table.
fn partly(asked: &Asked) -> Option<(Asked, Value)> {
    if asked.operation() != Some("BatchGetItem") {
        return None;
    }
    let mut request = asked.json();
    let (table, wanted) = request["RequestItems"].as_object()?.iter().next()?;
    let (table, mut rest) = (table.clone(), wanted.clone());
    let keys = rest["Keys"].as_array()?.clone();
    if keys.len() < 2 {
        return None;
    }
    let (now, later) = keys.split_at(keys.len() / 2);
    request["RequestItems"][&table]["Keys"] = json!(now);
    rest["Keys"] = json!(later);
    Some((asked.instead("BatchGetItem", &request), json!({ table: rest })))
}
