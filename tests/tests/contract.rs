//! What the functions and the stack that deploys them must agree on: written
//! here from the constants themselves, read by the constructs in `infra/`.
//!
//! `FLAMBEAU_BLESS=1 cargo test -p flambeau-tests --test contract` writes it anew.
#![allow(clippy::unwrap_used)]

use flambeau_layout::{
    catalogue::CATALOGUE,
    claim, environment, lifetime,
    name::{MAX_SERVICE_BYTES, MAX_TENANT_BYTES, encode_part},
    object::{BLOCKS, RESULTS, SEGMENTS},
    parked::PARKED,
    snapshot::SNAPSHOTS,
    steering::CONFIG,
};
use flambeau_store::{BLOCKS_SUFFIX, CLAIM_KEY, CLAIMS_SUFFIX, EXPIRES, PARTITION, SORT};
use serde_json::{Value, json};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../infra/lib/contract.json");

/// Characters that stand for themselves in keys.
fn plain() -> String {
    (0..128_u8).map(char::from).filter(|c| encode_part(&c.to_string()) == c.to_string()).collect()
}

fn contract() -> Value {
    json!({
        "environment": {
            "access": environment::ACCESS,
            "bucket": environment::BUCKET,
            "fetches": environment::FETCHES,
            "gbSecond": environment::GB_SECOND,
            "hz": environment::HZ,
            "interval": environment::INTERVAL,
            "profiling": environment::PROFILING,
            "secret": environment::SECRET,
            "service": environment::SERVICE,
            "steering": environment::STEERING,
            "table": environment::TABLE,
            "tenant": environment::TENANT,
        },
        "defaults": {
            "fetches": flambeau_merge::DEFAULT_FETCHES,
            "tenant": environment::DEFAULT_TENANT,
        },
        "binaries": { "index": "index", "merge": "merge", "render": "render" },
        "prefixes": {
            "blocks": BLOCKS,
            "config": CONFIG,
            "parked": PARKED,
            "results": RESULTS,
            "segments": SEGMENTS,
            "snapshots": SNAPSHOTS,
        },
        "tables": {
            "claims": { "suffix": CLAIMS_SUFFIX, "partition": CLAIM_KEY },
            "blocks": { "suffix": BLOCKS_SUFFIX, "partition": PARTITION, "sort": SORT },
            "expires": EXPIRES,
        },
        "rows": {
            "catalogue": CATALOGUE,
            "hinted": flambeau_index::HINTED_ROWS,
            "separator": "/",
        },
        "names": {
            "plain": plain(),
            "tenantBytes": MAX_TENANT_BYTES,
            "serviceBytes": MAX_SERVICE_BYTES,
        },
        "days": {
            "claims": claim::CLAIM_LIFE_DAYS,
            "parked": lifetime::PARKED_DAYS,
            "queue": lifetime::QUEUE_DAYS,
            "results": lifetime::RESULT_DAYS,
            "segments": lifetime::SEGMENT_DAYS,
            "snapshots": lifetime::SNAPSHOT_DAYS,
        },
        "merge": { "lonelyReceives": flambeau_merge::LONELY_RECEIVES },
        "index": { "tickMinutes": flambeau_index::TICK_MILLIS / 60_000 },
        "render": {
            "invokeMode": flambeau_render::INVOKE_MODE,
            "secretPlace": "secretsmanager:",
        },
    })
}

#[test]
fn the_stack_reads_what_the_functions_mean() {
    let contract = contract();
    if std::env::var_os("FLAMBEAU_BLESS").is_some() {
        let text = serde_json::to_string_pretty(&contract).unwrap() + "\n";
        std::fs::write(FILE, text).unwrap();
    }
    let held: Value = serde_json::from_str(&std::fs::read_to_string(FILE).unwrap()).unwrap();
    assert_eq!(held, contract, "the contract has drifted: bless it and look at the stack's diff");
}

#[test]
fn binaries_are_named_so() {
    for name in ["merge", "index", "render"] {
        let manifest = format!("{}/../functions/{name}/Cargo.toml", env!("CARGO_MANIFEST_DIR"));
        let manifest = std::fs::read_to_string(manifest).unwrap();
        assert!(manifest.contains(&format!("[[bin]]\nname = \"{name}\"\n")), "{name}");
    }
}
