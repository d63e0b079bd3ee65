//! The embedded stores against the real AWS SDKs, over TCP.
//!
//! One binary, because each links the SDKs. `FLAMBEAU_KILL_ROUNDS` lengthens
//! the `kill -9` loops (default 3 each). With `FLAMBEAU_S3_SUITE_URL` the S3
//! cases run against another server, to judge the cases themselves; `second`
//! does that with the one `tests/second-s3/fetch.sh` builds.
#![allow(clippy::unwrap_used)]

mod doors;
mod dynamo;
mod kill;
mod multipart;
mod near;
mod objects;
mod outbox;
mod races;
mod second;
#[path = "../../../../tests/second-s3/server.rs"]
mod second_s3;
mod support;
