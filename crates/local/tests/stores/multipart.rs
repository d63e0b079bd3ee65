//! Multipart uploads.

use super::support::{Rig, code, pattern, status};
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};

const MIN_PART: usize = 5 << 20;

async fn begin(rig: &Rig, key: &str) -> String {
    let create = rig.client.create_multipart_upload().bucket(&rig.bucket);
    let create = create.key(key).content_type("text/plain").metadata("a", "b");
    let created = create.send().await.unwrap();
    created.upload_id().unwrap().to_owned()
}

async fn send(rig: &Rig, key: &str, upload: &str, number: i32, body: &[u8]) -> CompletedPart {
    let part = rig.client.upload_part().bucket(&rig.bucket).key(key);
    let part = part.upload_id(upload).part_number(number);
    let sent = part.body(body.to_vec().into()).send().await.unwrap();
    CompletedPart::builder().part_number(number).set_e_tag(sent.e_tag().map(str::to_owned)).build()
}

fn complete(
    rig: &Rig,
    key: &str,
    upload: &str,
    parts: &[CompletedPart],
) -> aws_sdk_s3::operation::complete_multipart_upload::builders::CompleteMultipartUploadFluentBuilder
{
    let parts = CompletedMultipartUpload::builder().set_parts(Some(parts.to_vec()));
    let complete = rig.client.complete_multipart_upload().bucket(&rig.bucket);
    complete.key(key).upload_id(upload).multipart_upload(parts.build())
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_are_joined_in_order() {
    let rig = Rig::new().await;
    let upload = begin(&rig, "joined").await;
    let body = pattern(5, MIN_PART + 1000);
    let (first, second) = body.split_at(MIN_PART);
    let late = send(&rig, "joined", &upload, 7, second).await;
    send(&rig, "joined", &upload, 3, b"replaced by the next").await;
    let early = send(&rig, "joined", &upload, 3, first).await;
    let listed = rig.client.list_parts().bucket(&rig.bucket).key("joined");
    let listed = listed.upload_id(&upload).send().await.unwrap();
    let numbers: Vec<_> = listed.parts().iter().filter_map(|p| p.part_number()).collect();
    assert_eq!(numbers, [3, 7]);
    assert_eq!(rig.get("joined").await.unwrap_err(), "NoSuchKey");
    let parts = [early, late];
    let done = complete(&rig, "joined", &upload, &parts).send().await.unwrap();
    assert!(done.e_tag().unwrap().ends_with("-2\""), "{:?}", done.e_tag());
    assert!(rig.get("joined").await.unwrap() == body);
    let head = rig.client.head_object().bucket(&rig.bucket).key("joined");
    let head = head.send().await.unwrap();
    assert_eq!(head.e_tag(), done.e_tag());
    assert_eq!(head.content_type(), Some("text/plain"));
    assert_eq!(head.metadata().unwrap()["a"], "b");
    if rig.is_ours() {
        let again = complete(&rig, "joined", &upload, &parts).send().await;
        assert_eq!(code(&again.unwrap_err()), "NoSuchUpload");
        assert_eq!(rig.body_files(), 1, "parts are removed");
        let events = rig.s3.as_ref().unwrap().outbox().pending(10).await.unwrap();
        assert_eq!(events[0].name.as_str(), "ObjectCreated:CompleteMultipartUpload");
        assert_eq!((events.len(), events[0].size), (1, body.len() as u64));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_completions_change_nothing() {
    let rig = Rig::new().await;
    let upload = begin(&rig, "k").await;
    let first = send(&rig, "k", &upload, 1, b"small").await;
    let second = send(&rig, "k", &upload, 2, &pattern(2, MIN_PART)).await;
    let refusal = |parts: Vec<CompletedPart>| {
        let complete = complete(&rig, "k", &upload, &parts);
        async move { code(&complete.send().await.unwrap_err()) }
    };
    let both = vec![first.clone(), second.clone()];
    assert_eq!(refusal(both).await, "EntityTooSmall");
    let backwards = vec![second.clone(), first.clone()];
    assert_eq!(refusal(backwards).await, "InvalidPartOrder");
    let unknown = CompletedPart::builder().part_number(9).e_tag("\"0\"").build();
    assert_eq!(refusal(vec![unknown]).await, "InvalidPart");
    let other = CompletedPart::builder().part_number(1).e_tag("\"0\"").build();
    assert_eq!(refusal(vec![other]).await, "InvalidPart");
    if rig.is_ours() {
        assert_eq!(refusal(vec![]).await, "MalformedXML");
    }
    assert_eq!(rig.get("k").await.unwrap_err(), "NoSuchKey");
    rig.put("k", b"there").await;
    if rig.is_ours() {
        let late = complete(&rig, "k", &upload, std::slice::from_ref(&first));
        let late = late.if_none_match("*").send().await.unwrap_err();
        assert_eq!(status(&late), 412);
    }
    assert_eq!(rig.get("k").await.unwrap(), b"there");
    let done = complete(&rig, "k", &upload, &[first]).send().await;
    done.unwrap();
    assert_eq!(rig.get("k").await.unwrap(), b"small");
}

#[tokio::test(flavor = "multi_thread")]
async fn part_numbers_end_at_10_000() {
    let rig = Rig::new().await;
    let upload = begin(&rig, "k").await;
    let last = send(&rig, "k", &upload, 10_000, b"last").await;
    for number in [0, 10_001] {
        let part = rig.client.upload_part().bucket(&rig.bucket).key("k");
        let part = part.upload_id(&upload).part_number(number);
        let part = part.body(b"x".to_vec().into()).send().await;
        assert_eq!(code(&part.unwrap_err()), "InvalidArgument", "{number}");
    }
    complete(&rig, "k", &upload, &[last]).send().await.unwrap();
    assert_eq!(rig.get("k").await.unwrap(), b"last");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_aborted_upload_leaves_nothing() {
    let rig = Rig::new().await;
    let upload = begin(&rig, "k").await;
    send(&rig, "k", &upload, 1, b"part").await;
    let abort = || {
        let abort = rig.client.abort_multipart_upload().bucket(&rig.bucket);
        abort.key("k").upload_id(&upload)
    };
    abort().send().await.unwrap();
    let part = rig.client.upload_part().bucket(&rig.bucket).key("k");
    let part = part.upload_id(&upload).part_number(2);
    let part = part.body(b"late".to_vec().into()).send().await;
    assert_eq!(code(&part.unwrap_err()), "NoSuchUpload");
    assert_eq!(rig.get("k").await.unwrap_err(), "NoSuchKey");
    if rig.is_ours() {
        assert_eq!(rig.body_files(), 0);
        assert_eq!(code(&abort().send().await.unwrap_err()), "NoSuchUpload");
    }
}
