//! The S3 cases on a server that shares no line with ours: it judges the
//! cases, so they do not merely say what our own server happens to do.
//!
//! The test binary starts itself with `FLAMBEAU_S3_SUITE_URL`.

use super::second_s3::SecondS3;
use super::support::SUITE_URL;
use flambeau_local::s3::{ACCESS_KEY_ID, SECRET_ACCESS_KEY};
use std::process::{Command, Output};

/// The modules whose cases ask for nothing of ours.
const CASES: [&str; 3] = ["objects::", "multipart::", "races::"];

/// Where versitygw is not S3, and why: it keeps each object in a file of its
/// name, and leaves out what few clients ask for.
const DEVIATIONS: [(&str, &str); 5] = [
    ("objects::keys_are_not_paths", "a file is no folder, `..` leads upward, a name has 255 bytes"),
    ("objects::keys_that_look_like_paths_are_listed_as_put", "`a//b` and `a/b` are one file"),
    ("objects::a_listing_can_be_url_encoded", "it takes `encoding-type` and does not encode"),
    ("objects::a_batch_has_at_most_1000_keys", "it deletes as many as are named"),
    ("objects::a_quiet_batch_tells_only_errors", "it tells of every deleted key, `Quiet` or not"),
];

fn run(server: &SecondS3, args: &[&str]) -> Output {
    Command::new(std::env::current_exe().unwrap())
        .args(args)
        .env(SUITE_URL, &server.url)
        .env("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID)
        .env("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY)
        .env("RUST_BACKTRACE", "0")
        .output()
        .unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_second_server_passes_the_same_cases() {
    if std::env::var_os(SUITE_URL).is_some() {
        return;
    }
    let Some(server) = SecondS3::start(ACCESS_KEY_ID, SECRET_ACCESS_KEY) else { return };
    let skips = DEVIATIONS.iter().flat_map(|(case, _)| ["--skip", case]);
    let args: Vec<&str> = CASES.into_iter().chain(skips).collect();
    let output = run(&server, &args);
    assert!(output.status.success(), "{}", said(&output));
    assert!(!said(&output).contains(" 0 passed"), "{}", said(&output));
    for (case, why) in DEVIATIONS {
        let said = said(&run(&server, &[case, "--exact"]));
        assert!(said.contains(&format!("{case} ... FAILED")), "no longer so: {why}\n{said}");
    }
}
