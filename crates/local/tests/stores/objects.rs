//! Objects, their names, listing.

use super::support::{Rig, code, pattern, status};
use aws_sdk_s3::primitives::{ByteStream, DateTime};
use aws_sdk_s3::types::{ChecksumAlgorithm, ChecksumMode, Delete, ObjectIdentifier};

#[tokio::test(flavor = "multi_thread")]
async fn an_object_comes_back_as_it_was_put() {
    let rig = Rig::new().await;
    let put = rig
        .client
        .put_object()
        .bucket(&rig.bucket)
        .key("snapshots/a.pb.gz")
        .body(ByteStream::from_static(b"bytes"))
        .content_type("application/x-protobuf")
        .content_encoding("gzip")
        .cache_control("immutable")
        .content_disposition("attachment")
        .content_language("en")
        .metadata("seq", "7")
        .metadata("env", "e-1")
        .send()
        .await
        .unwrap();
    assert_eq!(put.e_tag(), Some("\"4b3a6218bb3e3a7303e8a171a60fcf92\""));
    let get =
        rig.client.get_object().bucket(&rig.bucket).key("snapshots/a.pb.gz").send().await.unwrap();
    assert_eq!(get.e_tag(), put.e_tag());
    assert_eq!(get.content_length(), Some(5));
    assert_eq!(get.content_type(), Some("application/x-protobuf"));
    assert_eq!(get.content_encoding(), Some("gzip"));
    assert_eq!(get.cache_control(), Some("immutable"));
    assert_eq!(get.content_disposition(), Some("attachment"));
    assert_eq!(get.content_language(), Some("en"));
    let metadata = get.metadata().unwrap();
    assert_eq!((&*metadata["seq"], &*metadata["env"]), ("7", "e-1"));
    assert_eq!(metadata.len(), 2);
    let modified = get.last_modified().unwrap().secs();
    assert!((DateTime::from(std::time::SystemTime::now()).secs() - modified).abs() < 60);
    assert_eq!(&get.body.collect().await.unwrap().to_vec()[..], b"bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn head_tells_what_get_tells() {
    let rig = Rig::new().await;
    let etag = rig.put("k", b"0123456789").await;
    let head = rig.client.head_object().bucket(&rig.bucket).key("k");
    let head = head.send().await.unwrap();
    assert_eq!(head.content_length(), Some(10));
    assert_eq!(head.e_tag(), Some(&*etag));
    assert_eq!(head.accept_ranges(), Some("bytes"));
    let missing = rig.client.head_object().bucket(&rig.bucket).key("other");
    assert_eq!(status(&missing.send().await.unwrap_err()), 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_buckets_and_keys_are_told_apart() {
    let rig = Rig::new().await;
    assert_eq!(rig.get("none").await.unwrap_err(), "NoSuchKey");
    let get = rig.client.get_object().bucket("no-such-bucket").key("k");
    assert_eq!(code(&get.send().await.unwrap_err()), "NoSuchBucket");
    let put = rig.client.put_object().bucket("no-such-bucket").key("k");
    let put = put.body(ByteStream::from_static(b"x")).send().await;
    assert_eq!(code(&put.unwrap_err()), "NoSuchBucket");
    let list = rig.client.list_objects_v2().bucket("no-such-bucket");
    assert_eq!(code(&list.send().await.unwrap_err()), "NoSuchBucket");
    let delete = rig.client.delete_object().bucket("no-such-bucket").key("k");
    assert_eq!(code(&delete.send().await.unwrap_err()), "NoSuchBucket");
    let head = rig.client.head_bucket().bucket("no-such-bucket");
    assert_eq!(status(&head.send().await.unwrap_err()), 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn any_name_is_a_key_of_its_own() {
    let rig = Rig::new().await;
    let deep = format!("{}end", "segment/".repeat(127));
    let names = [
        "a/b",
        "λ/κλειδί",
        "a b",
        "a+b",
        "100%",
        "%41",
        "q?x=1&y#z",
        "*.~'()!$,;:@=",
        "...",
        "quote\"<tag>",
        "tab\tline\nend",
        &deep,
    ];
    each_is_kept(&rig, &names).await;
    let too_long = "k".repeat(1025);
    let put = rig.client.put_object().bucket(&rig.bucket).key(&too_long);
    let put = put.body(ByteStream::from_static(b"x")).send().await;
    assert_eq!(code(&put.unwrap_err()), "KeyTooLongError");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_not_paths() {
    let rig = Rig::new().await;
    let long = "k".repeat(1024);
    let wide = "λ".repeat(512);
    let names = ["a//b", "a/b", "/a/b", "x", "x/y", "x/", "a/../b", &long, &wide];
    each_is_kept(&rig, &names).await;
}

async fn each_is_kept(rig: &Rig, names: &[&str]) {
    for name in names {
        rig.put(name, name.as_bytes()).await;
    }
    for name in names {
        let body = rig.get(name).await.unwrap_or_else(|e| panic!("{name:?}: {e}"));
        assert_eq!(String::from_utf8(body).unwrap(), *name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn listed_keys_are_the_names_that_were_put() {
    let rig = Rig::new().await;
    each_is_listed(&rig, &["a/b", "λ", "a b", "a+b", "100%", "&<>\"'", "A"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_can_be_url_encoded() {
    let rig = Rig::new().await;
    rig.put("line\nend\u{1}", b"x").await;
    let list = rig.client.list_objects_v2().bucket(&rig.bucket);
    let list = list.prefix("line").encoding_type("url".into()).send().await;
    assert_eq!(list.unwrap().contents()[0].key(), Some("line%0Aend%01"));
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_look_like_paths_are_listed_as_put() {
    let rig = Rig::new().await;
    each_is_listed(&rig, &["a//b", "a/b", "a/"]).await;
}

async fn each_is_listed(rig: &Rig, names: &[&str]) {
    for name in names {
        rig.put(name, b"x").await;
    }
    let mut names = names.to_vec();
    names.sort_unstable();
    let list = rig.client.list_objects_v2().bucket(&rig.bucket);
    let list = list.send().await.unwrap();
    let listed: Vec<&str> = list.contents().iter().filter_map(|o| o.key()).collect();
    assert_eq!(listed, names);
}

#[tokio::test(flavor = "multi_thread")]
async fn ranges_are_exact() {
    let rig = Rig::new().await;
    let body = pattern(1, 700_000);
    rig.put("k", &body).await;
    let cases = [
        ("bytes=0-0", 0..1),
        ("bytes=10-19", 10..20),
        ("bytes=699990-", 699_990..700_000),
        ("bytes=-5", 699_995..700_000),
        ("bytes=1-9999999", 1..700_000),
        ("bytes=262143-524289", 262_143..524_290),
    ];
    for (range, expected) in cases {
        let get = rig.client.get_object().bucket(&rig.bucket).key("k");
        let get = get.range(range).send().await.unwrap();
        let (first, last) = (expected.start, expected.end - 1);
        let content_range = format!("bytes {first}-{last}/700000");
        assert_eq!(get.content_range(), Some(&*content_range), "{range}");
        assert_eq!(get.content_length(), Some(expected.len() as i64));
        assert!(get.body.collect().await.unwrap().to_vec() == body[expected], "{range}");
    }
    let get = rig.client.get_object().bucket(&rig.bucket).key("k");
    let beyond = get.range("bytes=700000-").send().await.unwrap_err();
    assert_eq!((status(&beyond), &*code(&beyond)), (416, "InvalidRange"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_object_is_an_object() {
    let rig = Rig::new().await;
    rig.put("empty", b"").await;
    assert_eq!(rig.get("empty").await.unwrap(), b"");
    let get = rig.client.get_object().bucket(&rig.bucket).key("empty");
    let refused = get.range("bytes=0-0").send().await.unwrap_err();
    assert_eq!(status(&refused), 416);
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_can_be_conditional() {
    let rig = Rig::new().await;
    let etag = rig.put("k", b"x").await;
    let get = || rig.client.get_object().bucket(&rig.bucket).key("k");
    let past = DateTime::from_secs(1_000_000_000);
    let future = DateTime::from_secs(4_000_000_000);
    get().if_match(&etag).send().await.unwrap();
    get().if_none_match("\"other\"").send().await.unwrap();
    get().if_modified_since(past).send().await.unwrap();
    get().if_unmodified_since(future).send().await.unwrap();
    let refused = get().if_match("\"other\"").send().await.unwrap_err();
    assert_eq!(status(&refused), 412);
    let unchanged = get().if_none_match(&etag).send().await.unwrap_err();
    assert_eq!(status(&unchanged), 304);
    let refused = get().if_unmodified_since(past).send().await.unwrap_err();
    assert_eq!(status(&refused), 412);
    let head = rig.client.head_object().bucket(&rig.bucket).key("k");
    let unchanged = head.if_none_match(&etag).send().await.unwrap_err();
    assert_eq!(status(&unchanged), 304);
}

#[tokio::test(flavor = "multi_thread")]
async fn listing_pages_fold_and_seek() {
    let rig = Rig::new().await;
    let mut names = Vec::new();
    for (day, hour) in (0..4).flat_map(|d| (0..6).map(move |h| (d, h))) {
        names.push(format!("logs/day{day}/{hour}"));
    }
    names.extend(["logs/readme".to_owned(), "other".to_owned()]);
    for name in &names {
        rig.put(name, name.as_bytes()).await;
    }
    let mut pages = rig
        .client
        .list_objects_v2()
        .bucket(&rig.bucket)
        .prefix("logs/")
        .into_paginator()
        .page_size(7)
        .send();
    let (mut listed, mut count) = (Vec::new(), 0);
    while let Some(page) = pages.next().await {
        let page = page.unwrap();
        assert!(page.contents().len() <= 7);
        count += 1;
        for object in page.contents() {
            assert_eq!(object.size(), object.key().map(|k| k.len() as i64));
            assert!(object.e_tag().unwrap().len() == 34);
            listed.push(object.key().unwrap().to_owned());
        }
    }
    assert_eq!((listed.as_slice(), count), (&names[..25], 4));

    let list = || rig.client.list_objects_v2().bucket(&rig.bucket);
    let folded = list().prefix("logs/").delimiter("/").send().await.unwrap();
    let prefixes: Vec<_> = folded.common_prefixes().iter().filter_map(|p| p.prefix()).collect();
    assert_eq!(prefixes, ["logs/day0/", "logs/day1/", "logs/day2/", "logs/day3/"]);
    assert_eq!(folded.contents()[0].key(), Some("logs/readme"));
    assert_eq!((folded.contents().len(), folded.key_count()), (1, Some(5)));

    let after = list().start_after("logs/day3/4").send().await.unwrap();
    let keys: Vec<_> = after.contents().iter().filter_map(|o| o.key()).collect();
    assert_eq!(keys, ["logs/day3/5", "logs/readme", "other"]);
    assert_eq!(after.is_truncated(), Some(false));
    let none = list().max_keys(0).send().await.unwrap();
    assert_eq!((none.contents().len(), none.is_truncated()), (0, Some(false)));
    let none = list().prefix("nothing").send().await.unwrap();
    assert_eq!(none.contents().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn folded_pages_join_without_gaps_or_repeats() {
    let rig = Rig::new().await;
    for name in ["a", "b/1", "b/2", "c", "d/1", "e/1", "e/2", "f"] {
        rig.put(name, b"x").await;
    }
    for size in 1..=7 {
        let mut pages = rig
            .client
            .list_objects_v2()
            .bucket(&rig.bucket)
            .delimiter("/")
            .into_paginator()
            .page_size(size)
            .send();
        let mut seen = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.unwrap();
            let keys = page.contents().iter().filter_map(|o| o.key());
            let folded = page.common_prefixes().iter().filter_map(|p| p.prefix());
            let mut page: Vec<_> = keys.chain(folded).map(str::to_owned).collect();
            page.sort_unstable();
            seen.extend(page);
        }
        assert_eq!(seen, ["a", "b/", "c", "d/", "e/", "f"], "page size {size}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_older_listing_pages_too() {
    let rig = Rig::new().await;
    for name in ["a", "b/1", "b/2", "c"] {
        rig.put(name, b"x").await;
    }
    let list = || {
        let list = rig.client.list_objects().bucket(&rig.bucket);
        list.delimiter("/").max_keys(2)
    };
    let first = list().send().await.unwrap();
    assert_eq!(first.contents()[0].key(), Some("a"));
    assert_eq!(first.common_prefixes()[0].prefix(), Some("b/"));
    assert_eq!(first.next_marker(), Some("b/"));
    let second = list().marker("b/").send().await.unwrap();
    assert_eq!(second.contents()[0].key(), Some("c"));
    assert_eq!((second.common_prefixes().len(), second.is_truncated()), (0, Some(false)));
}

#[tokio::test(flavor = "multi_thread")]
async fn deletes_are_idempotent_and_come_in_batches() {
    let rig = Rig::new().await;
    for name in ["a", "b", "c"] {
        rig.put(name, b"x").await;
    }
    let delete = |key| rig.client.delete_object().bucket(&rig.bucket).key(key);
    delete("a").send().await.unwrap();
    delete("a").send().await.unwrap();
    assert_eq!(rig.get("a").await.unwrap_err(), "NoSuchKey");
    let keys = ["b", "never"].map(|k| ObjectIdentifier::builder().key(k).build().unwrap());
    let keys = Delete::builder().set_objects(Some(keys.to_vec())).build().unwrap();
    let many = rig.client.delete_objects().bucket(&rig.bucket).delete(keys);
    let many = many.send().await.unwrap();
    assert_eq!((many.deleted().len(), many.errors().len()), (2, 0));
    assert_eq!(rig.get("b").await.unwrap_err(), "NoSuchKey");
    assert_eq!(rig.get("c").await.unwrap(), b"x");
    assert_eq!(delete_batch(&rig, 1000, false).await.unwrap(), 1000);
    if rig.is_ours() {
        assert_eq!(rig.body_files(), 1, "bodies of deleted objects are removed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_has_at_most_1000_keys() {
    let rig = Rig::new().await;
    assert_eq!(delete_batch(&rig, 1001, false).await.unwrap_err(), "MalformedXML");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quiet_batch_tells_only_errors() {
    let rig = Rig::new().await;
    assert_eq!(delete_batch(&rig, 3, true).await.unwrap(), 0);
}

/// Deletes keys that are not there; how many the answer tells of.
async fn delete_batch(rig: &Rig, count: usize, quiet: bool) -> Result<usize, String> {
    let keys = (0..count).map(|n| ObjectIdentifier::builder().key(format!("{n}")));
    let keys = keys.map(|key| key.build().unwrap()).collect();
    let keys = Delete::builder().set_objects(Some(keys)).quiet(quiet).build().unwrap();
    let batch = rig.client.delete_objects().bucket(&rig.bucket).delete(keys);
    let answer = batch.send().await.map_err(|error| code(&error))?;
    Ok(answer.deleted().len())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_stands_on_its_own() {
    let rig = Rig::new().await;
    let etag = rig.put("from λ", b"original").await;
    let copy = || {
        let copy = rig.client.copy_object().bucket(&rig.bucket);
        copy.copy_source(format!("{}/from%20%CE%BB", rig.bucket))
    };
    let copied = copy().key("to").send().await.unwrap();
    assert_eq!(copied.copy_object_result().unwrap().e_tag(), Some(&*etag));
    rig.put("from λ", b"changed").await;
    assert_eq!(rig.get("to").await.unwrap(), b"original");
    let replaced = copy().key("typed").content_type("text/plain");
    replaced.metadata_directive("REPLACE".into()).send().await.unwrap();
    let head = rig.client.head_object().bucket(&rig.bucket).key("typed");
    assert_eq!(head.send().await.unwrap().content_type(), Some("text/plain"));
    let missing = rig.client.copy_object().bucket(&rig.bucket).key("x");
    let missing = missing.copy_source(format!("{}/none", rig.bucket)).send().await;
    assert_eq!(code(&missing.unwrap_err()), "NoSuchKey");
}

#[tokio::test(flavor = "multi_thread")]
async fn buckets_are_made_once_and_emptied_first() {
    let rig = Rig::new().await;
    let make = |name: &str| rig.client.create_bucket().bucket(name).send();
    let name = format!("{}-second", rig.bucket);
    make(&name).await.unwrap();
    if rig.is_ours() {
        let again = make(&name).await.unwrap_err();
        assert_eq!(code(&again), "BucketAlreadyOwnedByYou");
    }
    assert_eq!(status(&make("No_Such_Name").await.unwrap_err()), 400);
    rig.client.head_bucket().bucket(&name).send().await.unwrap();
    let listed = rig.client.list_buckets().send().await.unwrap();
    assert!(listed.buckets().iter().any(|b| b.name() == Some(&*name)));
    let location = rig.client.get_bucket_location().bucket(&name).send();
    let location = location.await.unwrap();
    let constraint = location.location_constraint();
    assert!(constraint.is_none_or(|c| c.as_str().is_empty()));
    rig.put("k", b"x").await;
    let full = rig.client.delete_bucket().bucket(&rig.bucket).send().await;
    assert_eq!(code(&full.unwrap_err()), "BucketNotEmpty");
    rig.client.delete_bucket().bucket(&name).send().await.unwrap();
    let gone = rig.client.head_bucket().bucket(&name).send().await;
    assert_eq!(status(&gone.unwrap_err()), 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn checksums_are_verified_kept_and_told() {
    let rig = Rig::new().await;
    let algorithms = [
        ChecksumAlgorithm::Crc32,
        ChecksumAlgorithm::Crc32C,
        ChecksumAlgorithm::Crc64Nvme,
        ChecksumAlgorithm::Sha1,
        ChecksumAlgorithm::Sha256,
    ];
    for algorithm in algorithms {
        let key = format!("{algorithm}");
        let put = rig.client.put_object().bucket(&rig.bucket).key(&key);
        let put = put.checksum_algorithm(algorithm).body(pattern(3, 5000).into());
        put.send().await.unwrap();
        // With the mode on, the client itself verifies what it reads.
        let get = rig.client.get_object().bucket(&rig.bucket).key(&key);
        let get = get.checksum_mode(ChecksumMode::Enabled).send().await.unwrap();
        let told = [
            get.checksum_crc32(),
            get.checksum_crc32_c(),
            get.checksum_crc64_nvme(),
            get.checksum_sha1(),
            get.checksum_sha256(),
        ];
        assert_eq!(told.iter().flatten().count(), 1, "{key}: {told:?}");
        assert!(get.body.collect().await.unwrap().to_vec() == pattern(3, 5000));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_checksum_leaves_nothing() {
    let rig = Rig::new().await;
    let put = || {
        let put = rig.client.put_object().bucket(&rig.bucket).key("k");
        put.body(ByteStream::from_static(b"not what was summed"))
    };
    let zeros = "AAAAAAAAAAAAAAAAAAAAAA==";
    let wrong = put().content_md5(zeros).send().await.unwrap_err();
    assert_eq!((status(&wrong), &*code(&wrong)), (400, "BadDigest"));
    let wrong = put().checksum_crc32("AAAAAA==").send().await.unwrap_err();
    assert_eq!(status(&wrong), 400);
    let sha256 = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
    let wrong = put().checksum_sha256(sha256).send().await.unwrap_err();
    assert_eq!(status(&wrong), 400);
    assert_eq!(rig.get("k").await.unwrap_err(), "NoSuchKey");
    if rig.is_ours() {
        assert_eq!(rig.body_files(), 0);
        let outbox = rig.s3.as_ref().unwrap().outbox();
        assert_eq!(outbox.pending(10).await.unwrap(), []);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_megabytes_go_and_come_in_pieces() {
    let rig = Rig::new().await;
    let body = pattern(9, 50_000_000);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &body).unwrap();
    // A stream is sent aws-chunked, its checksum in a trailer.
    let stream = ByteStream::from_path(file.path()).await.unwrap();
    let put = rig.client.put_object().bucket(&rig.bucket).key("streamed");
    put.body(stream).send().await.unwrap();
    assert!(rig.get("streamed").await.unwrap() == body);
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_hold_on_both_sides() {
    use flambeau_local::s3::Options;
    let options = Options { max_object_bytes: 1000, ..Options::default() };
    let rig = Rig::with(options).await;
    let meta = |length: usize| {
        let put = rig.client.put_object().bucket(&rig.bucket).key("meta");
        put.metadata("key", "v".repeat(length)).send()
    };
    meta(2045).await.unwrap();
    assert_eq!(code(&meta(2046).await.unwrap_err()), "MetadataTooLarge");
    if rig.is_ours() {
        rig.put("fits", &pattern(1, 1000)).await;
        let put = rig.client.put_object().bucket(&rig.bucket).key("large");
        let put = put.body(pattern(1, 1001).into()).send().await;
        assert_eq!(code(&put.unwrap_err()), "EntityTooLarge");
        assert_eq!(rig.get("large").await.unwrap_err(), "NoSuchKey");
    }
}
