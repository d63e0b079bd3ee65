//! The embedded DynamoDB: what the index rests on.

use super::support::{listener, wait_for_lock};
use aws_sdk_dynamodb::error::ProvideErrorMetadata;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType, Put, ReturnValue,
    ReturnValuesOnConditionCheckFailure, ScalarAttributeType, TimeToLiveSpecification,
    TransactWriteItem,
};
use flambeau_local::dynamo::EmbeddedDynamo;
use flambeau_local::loopback::Served;
use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

const TABLE: &str = "blocks";

pub(crate) async fn start(dir: &Path) -> (EmbeddedDynamo, Served) {
    let dynamo = EmbeddedDynamo::open(dir).unwrap();
    let served = dynamo.serve(listener().await).unwrap();
    (dynamo, served)
}

/// Waits until the connections' tasks have let go of the store.
pub(crate) async fn close(dynamo: EmbeddedDynamo, dir: &Path) {
    drop(dynamo);
    wait_for_lock(dir).await;
}

pub(crate) fn client(url: &str) -> aws_sdk_dynamodb::Client {
    use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
    let config = aws_sdk_dynamodb::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::from_static("us-east-1"))
        .credentials_provider(Credentials::new("flambeau", "any", None, None, "tests"))
        .endpoint_url(url);
    aws_sdk_dynamodb::Client::from_conf(config.build())
}

pub(crate) async fn create_table(client: &aws_sdk_dynamodb::Client) {
    let attribute = |name| {
        AttributeDefinition::builder()
            .attribute_name(name)
            .attribute_type(ScalarAttributeType::S)
            .build()
            .unwrap()
    };
    let key = |name, kind| {
        let key = KeySchemaElement::builder().attribute_name(name);
        key.key_type(kind).build().unwrap()
    };
    client
        .create_table()
        .table_name(TABLE)
        .billing_mode(BillingMode::PayPerRequest)
        .attribute_definitions(attribute("pk"))
        .attribute_definitions(attribute("sk"))
        .key_schema(key("pk", KeyType::Hash))
        .key_schema(key("sk", KeyType::Range))
        .send()
        .await
        .unwrap();
    use aws_sdk_dynamodb::client::Waiters;
    let wait = client.wait_until_table_exists().table_name(TABLE);
    wait.wait(std::time::Duration::from_secs(20)).await.unwrap();
}

fn s(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

fn key(pk: &str, sk: &str) -> HashMap<String, AttributeValue> {
    HashMap::from([("pk".to_owned(), s(pk)), ("sk".to_owned(), s(sk))])
}

fn put_new(pk: &str, sk: &str, by: &str) -> TransactWriteItem {
    let put = Put::builder()
        .table_name(TABLE)
        .set_item(Some(key(pk, sk)))
        .item("by", s(by))
        .condition_expression("attribute_not_exists(pk)")
        .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
    TransactWriteItem::builder().put(put.build().unwrap()).build()
}

/// A claim and a row in one transaction, as a merge commits them.
pub(crate) async fn put_pair(client: &aws_sdk_dynamodb::Client, id: &str) {
    let items = ["claim", "row"].map(|pk| put_new(pk, id, id));
    let write = client.transact_write_items();
    write.set_transact_items(Some(items.to_vec())).send().await.unwrap();
}

pub(crate) async fn keys_under(client: &aws_sdk_dynamodb::Client, pk: &str) -> BTreeSet<String> {
    let query = client.query().table_name(TABLE).consistent_read(true);
    let query = query.key_condition_expression("pk = :pk");
    let query = query.expression_attribute_values(":pk", s(pk));
    let items = query.into_paginator().items().send();
    let items: Result<Vec<_>, _> = items.collect().await;
    let sk = |item: HashMap<String, AttributeValue>| item["sk"].as_s().unwrap().clone();
    items.unwrap().into_iter().map(sk).collect()
}

struct Table {
    client: aws_sdk_dynamodb::Client,
    dynamo: EmbeddedDynamo,
    _dir: tempfile::TempDir,
}

impl Table {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (dynamo, served) = start(dir.path()).await;
        let client = client(&served.url());
        create_table(&client).await;
        Self { client, dynamo, _dir: dir }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_condition_guards_a_put_and_tells_the_old_item() {
    let table = Table::new().await;
    let put = |by| {
        let put = table.client.put_item().table_name(TABLE);
        put.set_item(Some(key("p", "s")))
            .item("by", s(by))
            .condition_expression("attribute_not_exists(pk)")
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
    };
    put("first").send().await.unwrap();
    let refused = put("second").send().await.unwrap_err().into_service_error();
    assert!(refused.is_conditional_check_failed_exception(), "{refused:?}");
    let get = table.client.get_item().table_name(TABLE);
    let got = get.set_key(Some(key("p", "s"))).send().await.unwrap();
    assert_eq!(got.item().unwrap()["by"], s("first"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_transaction_of_100_names_the_one_and_writes_none() {
    let table = Table::new().await;
    let items = |by: &str| -> Vec<TransactWriteItem> {
        (0..100).map(|n| put_new("p", &format!("{n:03}"), by)).collect()
    };
    let taken = vec![put_new("p", "037", "first")];
    let write = |items| {
        let write = table.client.transact_write_items();
        write.set_transact_items(Some(items)).send()
    };
    write(taken).await.unwrap();
    let refused = write(items("second")).await.unwrap_err().into_service_error();
    let TransactWriteItemsError::TransactionCanceledException(cancelled) = refused else {
        panic!("expected a cancellation, got {refused:?}");
    };
    let reasons = cancelled.cancellation_reasons();
    assert_eq!(reasons.len(), 100);
    for (number, reason) in reasons.iter().enumerate() {
        let expected = if number == 37 { "ConditionalCheckFailed" } else { "None" };
        assert_eq!(reason.code(), Some(expected), "item {number}");
    }
    assert_eq!(reasons[37].item().unwrap()["by"], s("first"));
    assert_eq!(keys_under(&table.client, "p").await.len(), 1);
    let rest = items("second").into_iter().enumerate();
    let rest = rest.filter(|(n, _)| *n != 37).map(|(_, item)| item).collect();
    write(rest).await.unwrap();
    assert_eq!(keys_under(&table.client, "p").await.len(), 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_sent_again_by_its_token_is_one() {
    let table = Table::new().await;
    let write = |sk: &str| {
        let write = table.client.transact_write_items();
        let write = write.client_request_token("token-1");
        write.transact_items(put_new("p", sk, "x")).send()
    };
    write("a").await.unwrap();
    write("a").await.unwrap();
    let other = write("b").await.unwrap_err().into_service_error();
    assert_eq!(other.code(), Some("IdempotentParameterMismatchException"));
    assert_eq!(keys_under(&table.client, "p").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn exactly_one_of_32_transactions_claims() {
    let table = Table::new().await;
    for round in 0..5 {
        let start = Arc::new(Barrier::new(32));
        let mut racers = JoinSet::new();
        for racer in 0..32 {
            let (client, start) = (table.client.clone(), Arc::clone(&start));
            racers.spawn(async move {
                let claim = put_new("claims", &format!("{round}"), &format!("{racer}"));
                let row = put_new("rows", &format!("{round}-{racer}"), "x");
                let write = client.transact_write_items().transact_items(claim);
                start.wait().await;
                write.transact_items(row).send().await.is_ok()
            });
        }
        let won = racers.join_all().await.into_iter().filter(|won| *won).count();
        assert_eq!(won, 1, "round {round}");
    }
    assert_eq!(keys_under(&table.client, "rows").await.len(), 5, "losers write nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn added_numbers_are_not_lost() {
    let table = Table::new().await;
    let mut writers = JoinSet::new();
    for _ in 0..16 {
        let client = table.client.clone();
        writers.spawn(async move {
            for _ in 0..10 {
                let update = client.update_item().table_name(TABLE);
                let update = update.set_key(Some(key("p", "n")));
                let update = update.update_expression("ADD hits :one");
                let one = AttributeValue::N("1".to_owned());
                update.expression_attribute_values(":one", one).send().await.unwrap();
            }
        });
    }
    writers.join_all().await;
    let get = table.client.get_item().table_name(TABLE);
    let got = get.set_key(Some(key("p", "n"))).send().await.unwrap();
    assert_eq!(got.item().unwrap()["hits"], AttributeValue::N("160".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_go_by_sort_key_in_pages() {
    let table = Table::new().await;
    for number in 0..30 {
        let put = table.client.put_item().table_name(TABLE);
        let put = put.set_item(Some(key("p", &format!("open#{number:02}"))));
        // Large enough that a page of 1 MB ends before the range does.
        put.item("bytes", s(&"x".repeat(100_000))).send().await.unwrap();
    }
    let query = || {
        let query = table.client.query().table_name(TABLE);
        query
            .key_condition_expression("pk = :pk AND sk BETWEEN :from AND :to")
            .expression_attribute_values(":pk", s("p"))
            .expression_attribute_values(":from", s("open#05"))
            .expression_attribute_values(":to", s("open#24"))
    };
    let first = query().send().await.unwrap();
    assert!(first.last_evaluated_key().is_some() && first.count() < 20);
    let all = query().into_paginator().items().send();
    let all: Result<Vec<_>, _> = all.collect().await;
    let all = all.unwrap();
    let keys: Vec<_> = all.iter().map(|item| item["sk"].as_s().unwrap()).collect();
    assert_eq!((keys.len(), keys.is_sorted()), (20, true));
    let newest = query().scan_index_forward(false).limit(1).send().await.unwrap();
    assert_eq!(newest.items()[0]["sk"], s("open#24"));
}

#[tokio::test(flavor = "multi_thread")]
async fn expired_items_go_when_swept() {
    let table = Table::new().await;
    let ttl = TimeToLiveSpecification::builder().enabled(true).attribute_name("expires");
    let update = table.client.update_time_to_live().table_name(TABLE);
    update.time_to_live_specification(ttl.build().unwrap()).send().await.unwrap();
    for (sk, expires) in [("past", "1"), ("future", "99999999999"), ("never", "")] {
        let mut item = key("p", sk);
        if !expires.is_empty() {
            item.insert("expires".to_owned(), AttributeValue::N(expires.to_owned()));
        }
        let put = table.client.put_item().table_name(TABLE);
        put.set_item(Some(item)).send().await.unwrap();
    }
    assert_eq!(table.dynamo.sweep_ttl().await.unwrap(), 1);
    assert_eq!(table.dynamo.sweep_ttl().await.unwrap(), 0);
    let left = keys_under(&table.client, "p").await;
    assert_eq!(left, BTreeSet::from(["future".to_owned(), "never".to_owned()]));
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_are_those_of_dynamodb() {
    let table = Table::new().await;
    let put = |length: usize| {
        let put = table.client.put_item().table_name(TABLE);
        let put = put.set_item(Some(key("p", "s"))).item("b", s(&"x".repeat(length)));
        put.return_values(ReturnValue::None).send()
    };
    // 400 KB with names and keys: pk + p + sk + s + b = 7 bytes.
    put(400 * 1024 - 7).await.unwrap();
    let large = put(400 * 1024 - 6).await.unwrap_err().into_service_error();
    assert_eq!(large.code(), Some("ValidationException"));
    let items: Vec<_> = (0..101).map(|n| put_new("p", &format!("{n}"), "x")).collect();
    let write = table.client.transact_write_items();
    let many = write.set_transact_items(Some(items)).send().await;
    let many = many.unwrap_err().into_service_error();
    assert_eq!(many.code(), Some("ValidationException"));
    let missing = table.client.describe_table().table_name("none").send().await;
    assert!(missing.unwrap_err().into_service_error().is_resource_not_found_exception());
}

/// One request without an SDK; answers status and body.
async fn post(url: &str, operation: &'static str, body: Vec<u8>) -> (u16, String) {
    let request = ureq::http::Request::builder()
        .method("POST")
        .uri(url)
        .header("x-amz-target", format!("DynamoDB_20120810.{operation}"))
        .header("content-type", "application/x-amz-json-1.0")
        .header("authorization", "AWS4-HMAC-SHA256 any");
    let request = request.body(body).unwrap();
    let call = tokio::task::spawn_blocking(move || {
        let agent = ureq::Agent::config_builder().http_status_as_error(false);
        let agent: ureq::Agent = agent.build().into();
        let mut answer = agent.run(request).unwrap();
        let body = answer.body_mut().read_to_string().unwrap();
        (answer.status().as_u16(), body)
    });
    call.await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_requests_are_answered() {
    const MAX: usize = 16 << 20;
    let dir = tempfile::tempdir().unwrap();
    let (_dynamo, served) = start(dir.path()).await;
    let url = served.url();
    let padded = |length: usize| {
        let mut body = vec![b' '; length];
        body[0] = b'{';
        body[length - 1] = b'}';
        body
    };
    let (status, body) = post(&url, "ListTables", padded(MAX)).await;
    assert_eq!((status, &*body), (200, "{\"TableNames\":[]}"));
    assert_eq!(post(&url, "ListTables", padded(MAX + 1)).await.0, 413);
    for body in ["", "{", "[]", "\"\"", "{\"TableName\":7}", "\u{fffd}"] {
        let (status, told) = post(&url, "DescribeTable", body.into()).await;
        assert_eq!(status, 400, "{body}: {told}");
    }
    let (status, told) = post(&url, "NoSuchOperation", b"{}".to_vec()).await;
    assert_eq!((status, told.contains("UnknownOperationException")), (400, true));
}
