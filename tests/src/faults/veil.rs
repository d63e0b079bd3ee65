//! Transactions shown to readers item by item.
//!
//! A DynamoDB Query or BatchGetItem is only read-committed against
//! transactions: it may meet some of a transaction's items before it and others
//! after it. The embedded DynamoDB never shows that. Behind a veil, what a
//! transaction wrote comes to light one item at a time, in random order, as
//! reads go by; until then such reads meet what stood there before. GetItem,
//! writes and transactions see the truth, and what GetItem has shown or a write
//! has touched is hidden no longer.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use anyhow::ensure;
use serde_json::{Value, json};

use super::{
    Random,
    proxy::{Answer, Asked, Upstream},
};

/// Table, partition key, sort key.
type Key = (String, String, String);

/// Transactions whose items come to light one by one.
pub struct Veil {
    state: Mutex<State>,
    /// Writes go one by one, so that what stood there before is known.
    writing: tokio::sync::Mutex<()>,
}

struct State {
    random: Random,
    /// What stood under a key before; `None` where nothing did.
    hidden: BTreeMap<Key, Option<Value>>,
    withheld: usize,
}

impl Veil {
    /// Over nothing yet.
    #[must_use]
    pub fn new(random: Random) -> Self {
        let state = State { random, hidden: BTreeMap::new(), withheld: 0 };
        Self { state: Mutex::new(state), writing: tokio::sync::Mutex::new(()) }
    }

    /// How many items were withheld from answers, or shown as they were before.
    #[must_use]
    pub fn withheld(&self) -> usize {
        self.state().withheld
    }

    /// Shows all there is.
    pub fn lift(&self) {
        self.state().hidden.clear();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) async fn pass(&self, upstream: &Upstream, asked: Asked) -> anyhow::Result<Answer> {
        let request = asked.json();
        let table = request["TableName"].as_str().unwrap_or_default().to_owned();
        match asked.operation() {
            Some("TransactWriteItems") => self.transact(upstream, asked, &request).await,
            Some("PutItem") => self.write(upstream, asked, key(&table, &request["Item"])).await,
            Some("UpdateItem" | "DeleteItem") => {
                self.write(upstream, asked, key(&table, &request["Key"])).await
            }
            Some("GetItem") => {
                let answer = upstream.forward(asked).await?;
                self.state().hidden.remove(&key(&table, &request["Key"]));
                Ok(answer)
            }
            Some("Query") => {
                let answer = upstream.forward(asked).await?;
                Ok(self.state().over_query(answer, &table))
            }
            Some("BatchGetItem") => {
                let answer = upstream.forward(asked).await?;
                Ok(self.state().over_batch(answer))
            }
            _ => upstream.forward(asked).await,
        }
    }

    async fn write(&self, upstream: &Upstream, asked: Asked, at: Key) -> anyhow::Result<Answer> {
        let _alone = self.writing.lock().await;
        let answer = upstream.forward(asked).await?;
        self.state().hidden.remove(&at);
        Ok(answer)
    }

    async fn transact(
        &self,
        upstream: &Upstream,
        asked: Asked,
        request: &Value,
    ) -> anyhow::Result<Answer> {
        let _alone = self.writing.lock().await;
        let keys = written(request)?;
        let before = stood(upstream, &asked, &keys).await?;
        for at in &keys {
            self.state().hidden.insert(at.clone(), before.get(at).cloned());
        }
        let answer = upstream.forward(asked).await;
        if !answer.as_ref().is_ok_and(|answer| answer.status.is_success()) {
            self.state().hidden.retain(|at, _| !keys.contains(at));
        }
        answer
    }
}

impl State {
    /// The item as a reader meets it now.
    fn met(&mut self, table: &str, item: Value) -> Option<Value> {
        match self.hidden.get(&key(table, &item)) {
            None => Some(item),
            Some(before) => {
                self.withheld += 1;
                before.clone()
            }
        }
    }

    fn over_query(&mut self, answer: Answer, table: &str) -> Answer {
        let mut json = answer.json();
        let Value::Array(items) = json["Items"].take() else { return answer };
        let items: Vec<Value> =
            items.into_iter().filter_map(|item| self.met(table, item)).collect();
        json["Count"] = json!(items.len());
        json["Items"] = Value::Array(items);
        self.bring_to_light();
        answer.with_json(&json)
    }

    /// Batches ask for few attributes; what stood there before is cut to what
    /// the item has now, and both have keys.
    fn over_batch(&mut self, answer: Answer) -> Answer {
        let mut json = answer.json();
        let Some(tables) = json["Responses"].as_object_mut() else { return answer };
        for (table, items) in tables {
            let Value::Array(there) = items.take() else { continue };
            let met = there.into_iter().filter_map(|item| self.met(table, item));
            *items = Value::Array(met.collect());
        }
        self.bring_to_light();
        answer.with_json(&json)
    }

    fn bring_to_light(&mut self) {
        let hidden: Vec<Key> = self.hidden.keys().cloned().collect();
        if !hidden.is_empty() && self.random.per_mille(500) {
            let shown = self.random.pick(&hidden).clone();
            self.hidden.remove(&shown);
        }
    }
}

fn key(table: &str, item: &Value) -> Key {
    let part = |name: &str| item[name]["S"].as_str().unwrap_or_default().to_owned();
    (table.to_owned(), part("pk"), part("sk"))
}

/// What a transaction writes. The store's transactions put and update; a veil
/// over deletions would have to put items back into answers.
fn written(request: &Value) -> anyhow::Result<Vec<Key>> {
    let mut keys = Vec::new();
    for item in request["TransactItems"].as_array().into_iter().flatten() {
        ensure!(item["Delete"].is_null(), "this veil knows no deletions");
        for (kind, at) in [("Put", "Item"), ("Update", "Key")] {
            if let Some(table) = item[kind]["TableName"].as_str() {
                keys.push(key(table, &item[kind][at]));
            }
        }
    }
    Ok(keys)
}

/// What stands under these keys now.
async fn stood(
    upstream: &Upstream,
    asked: &Asked,
    keys: &[Key],
) -> anyhow::Result<BTreeMap<Key, Value>> {
    let mut tables: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    for (table, partition, sort) in keys {
        let mut at = json!({ "pk": { "S": partition } });
        if !sort.is_empty() {
            at["sk"] = json!({ "S": sort });
        }
        tables.entry(table).or_default().push(at);
    }
    let wanted = |keys: &Vec<Value>| json!({ "Keys": keys, "ConsistentRead": true });
    let wanted: BTreeMap<&str, Value> =
        tables.iter().map(|(table, keys)| (*table, wanted(keys))).collect();
    let request = asked.instead("BatchGetItem", &json!({ "RequestItems": wanted }));
    let answer = upstream.forward(request).await?;
    ensure!(answer.status.is_success(), "what stood before: {:?}", answer.body);
    let json = answer.json();
    let unread = json["UnprocessedKeys"].as_object().is_some_and(|keys| !keys.is_empty());
    ensure!(!unread, "what stood before was read in part only");
    let mut stood = BTreeMap::new();
    for (table, items) in json["Responses"].as_object().into_iter().flatten() {
        for item in items.as_array().into_iter().flatten() {
            stood.insert(key(table, item), item.clone());
        }
    }
    Ok(stood)
}
