//! Something of everything there is to look at: services over three hours, two
//! versions, cold starts and warm ones, several environments, a timed trace, names
//! that try to be markup. What it holds is the same each time but for the hour.

use std::path::PathBuf;

use anyhow::Context;
use flambeau_layout::{
    Identity, KeyDate, Note, SnapshotKey, SnapshotNote, SnapshotShape, UnixMillis,
};
use flambeau_profile::{
    Limits, decode, encode_gzip,
    proto::{Label, Profile},
};
use flambeau_store::Store;

/// The service that has most.
pub const SHOP: &str = "checkout";
/// A service whose names try to be something else.
pub const HOSTILE: &str = "evil <script>alert(1)</script>";
/// Minutes between two snapshots of an environment.
const EVERY_MINUTES: i64 = 4;
/// Minutes over which they lie.
const MINUTES: i64 = 176;
/// Environments at a time.
const ENVIRONMENTS: i64 = 3;
/// From this minute on version 42 runs, in environments of its own.
const DEPLOYED: i64 = 96;

/// A snapshot on its way.
struct Sent {
    service: &'static str,
    typ: &'static str,
    env: String,
    seq: u64,
    end: UnixMillis,
    labels: Vec<(&'static str, String)>,
    invocations: u64,
    profile: Profile,
}

/// Puts it all; the keys, in order.
///
/// # Errors
/// When the corpus is not there or the store refuses.
pub async fn fill(store: &Store, now: UnixMillis) -> anyhow::Result<Vec<SnapshotKey>> {
    let mut keys = Vec::new();
    for sent in all(now)? {
        let (key, bytes) = sent.object()?;
        store.put_new(&key.to_string(), bytes.into(), "application/octet-stream").await?;
        keys.push(key);
    }
    Ok(keys)
}

fn all(now: UnixMillis) -> anyhow::Result<Vec<Sent>> {
    let mut sent = Vec::new();
    for minute in (0..MINUTES).step_by(EVERY_MINUTES as usize) {
        for environment in 0..ENVIRONMENTS {
            sent.extend(of_the_shop(now, minute, environment)?);
        }
    }
    for (seq, (service, typ, file)) in (0..).zip([
        ("report", "cpu", "rust-cpu.pb"),
        ("report", "heap", "go-heap-1.pb.gz"),
        ("search", "cpu", "cpp-cpu.pb.gz"),
        ("legacy", "cpu", "java-cpu.pb.gz"),
        ("legacy", "wall", "odd-inline-columns.pb"),
    ]) {
        let end = now.plus_millis(-600_000 - seq as i64 * 60_000);
        sent.push(alone(service, typ, seq, end, corpus(file)?));
    }
    sent.push(Sent {
        labels: vec![
            ("version", "\"><img src=x onerror=alert(1)>".into()),
            ("k\u{202e}", "'{{7*7}}'".into()),
        ],
        ..alone(HOSTILE, "cpu", 0, now.plus_millis(-900_000), corpus("odd-markup-names.pb")?)
    });
    sent.push(alone(SHOP, "perf", 9_000, now.plus_millis(-1_800_000), trace()?));
    Ok(sent)
}

/// One environment's snapshot of a minute.
fn of_the_shop(now: UnixMillis, minute: i64, environment: i64) -> anyhow::Result<Vec<Sent>> {
    let new = minute >= DEPLOYED;
    let born = if new { DEPLOYED } else { 0 };
    let seq = ((minute - born) / EVERY_MINUTES) as u64;
    let end = now.plus_millis((minute - MINUTES) * 60_000 - environment * 7_000);
    let labels = vec![
        ("version", if new { "42" } else { "41" }.to_owned()),
        ("init", if seq == 0 { "cold" } else { "warm" }.to_owned()),
        ("memory", "1024".to_owned()),
        ("arch", "arm64".to_owned()),
        ("region", "eu-central-1".to_owned()),
        ("function_name", SHOP.to_owned()),
    ];
    let mut cpu = corpus("go-cpu.pb.gz")?;
    let busy = 60 + (minute * 37 + environment * 11) % 80;
    scale(&mut cpu, busy, |stack| {
        // The new version compiles its expressions anew and has dropped a cache.
        let factor = match stack {
            stack if stack.contains("regexp") && new => 190,
            stack if stack.contains("cacheWork") && new => 0,
            stack if stack.contains("jsonWork") && seq == 0 => 260,
            _ => 100,
        };
        // Snapshots differ by themselves, too.
        factor * (94 + (stack.len() as i64 * 7 + minute * 13 + environment * 29) % 13) / 100
    });
    // Waiting is billed too.
    let mut billed = renamed(&cpu, "billed");
    scale(&mut billed, 160, |_| 100);
    let timeline = since_begin(&cpu);
    let sent = |typ, profile| Sent {
        service: SHOP,
        typ,
        env: format!(
            "{:08x}e{environment}{}",
            (environment + 1) * 0x0101_1011 + born,
            i32::from(new)
        ),
        seq,
        end,
        labels: labels.clone(),
        invocations: (busy * 3) as u64,
        profile,
    };
    let mut all = vec![sent("cpu", cpu), Sent { seq: seq + 1_000, ..sent("billed", billed) }];
    if minute % 16 == 0 {
        all.push(Sent { seq: seq + 2_000, ..sent("timeline", timeline) });
    }
    Ok(all)
}

fn alone(
    service: &'static str,
    typ: &'static str,
    seq: u64,
    end: UnixMillis,
    profile: Profile,
) -> Sent {
    let env = "00000000aa".to_owned();
    Sent { service, typ, env, seq, end, labels: Vec::new(), invocations: 0, profile }
}

impl Sent {
    fn object(self) -> anyhow::Result<(SnapshotKey, Vec<u8>)> {
        let Self { service, typ, env, seq, end, labels, invocations, mut profile } = self;
        let note = Note::Snapshot(SnapshotNote {
            labels: labels.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
            end: Some(end),
            active_nanos: (invocations > 0).then_some(60_000_000_000),
            invocations: (invocations > 0).then_some(invocations),
            ..SnapshotNote::default()
        });
        let place = text(&mut profile, &note.to_comment()?);
        profile.comment.push(place);
        profile.time_nanos = end.as_nanos();
        let identity = Identity {
            tenant: "default".parse()?,
            service: service.parse()?,
            env: env.parse()?,
            boot: "b1".parse()?,
            seq,
        };
        let key = SnapshotKey::new(identity, KeyDate::of(end), SnapshotShape::Single(typ.parse()?));
        Ok((key, encode_gzip(&profile)))
    }
}

fn corpus(name: &str) -> anyhow::Result<Profile> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("data").join(name);
    let bytes = std::fs::read(&path).with_context(|| format!("read {}", path.display()))?;
    let mut profile = decode(&bytes, &Limits::default())?;
    profile.comment.clear();
    Ok(profile)
}

/// The place of a text among a profile's strings.
fn text(profile: &mut Profile, text: &str) -> i64 {
    let found = profile.string_table.iter().position(|known| known == text);
    let place = found.unwrap_or_else(|| {
        profile.string_table.push(text.to_owned());
        profile.string_table.len() - 1
    });
    place as i64
}

/// Names of a sample's functions, root first.
fn stack(profile: &Profile, locations: &[u64]) -> String {
    let name = |id: &u64| {
        let location = profile.location.iter().find(|location| location.id == *id)?;
        let function = location.line.first()?.function_id;
        let function = profile.function.iter().find(|known| known.id == function)?;
        profile.string_table.get(function.name as usize)
    };
    let names: Vec<&str> = locations.iter().rev().filter_map(name).map(String::as_str).collect();
    names.join(";")
}

/// Multiplies values by per cent: of all, and of each stack.
fn scale(profile: &mut Profile, percent: i64, of: impl Fn(&str) -> i64) {
    let factors: Vec<i64> =
        profile.sample.iter().map(|sample| of(&stack(profile, &sample.location_id))).collect();
    for (sample, factor) in profile.sample.iter_mut().zip(factors) {
        sample.value.iter_mut().for_each(|value| *value = *value * percent * factor / 10_000);
    }
    profile.sample.retain(|sample| sample.value.iter().any(|value| *value != 0));
}

/// The last column alone, under another name.
fn renamed(cpu: &Profile, name: &str) -> Profile {
    let mut profile = cpu.clone();
    let typ = text(&mut profile, name);
    let unit = profile.sample_type.last().map_or(0, |typ| typ.unit);
    profile.sample_type = vec![flambeau_profile::proto::ValueType { r#type: typ, unit }];
    profile.sample.iter_mut().for_each(|sample| sample.value = sample.value.split_off(1));
    profile
}

/// The samples as ones that say how long their invocation had run: one function
/// after the other.
fn since_begin(cpu: &Profile) -> Profile {
    let mut profile = cpu.clone();
    let (key, unit) = (text(&mut profile, "invocation_ms"), text(&mut profile, "milliseconds"));
    for (at, sample) in profile.sample.iter_mut().enumerate() {
        let num = (at as i64 * 3 % 29) * 10;
        sample.label.push(Label { key, num, num_unit: unit, ..Default::default() });
    }
    profile
}

/// Ten seconds of samples that say when they were taken, busier in the middle.
fn trace() -> anyhow::Result<Profile> {
    const BEGIN: i64 = 4_242_000_000_000;
    let mut profile = corpus("go-cpu.pb.gz")?;
    let (key, unit) = (text(&mut profile, "timestamp_ns"), text(&mut profile, "nanoseconds"));
    let stacks = std::mem::take(&mut profile.sample);
    let mut at = BEGIN + 137_000_000;
    let mut number = 0_i64;
    while at <= BEGIN + 10_000_000_000 {
        let mut sample = stacks[(number * 17) as usize % stacks.len()].clone();
        sample.value.iter_mut().for_each(|value| *value = (*value).min(10_000_000));
        sample.label.push(Label { key, num: at, num_unit: unit, ..Default::default() });
        profile.sample.push(sample);
        let calm = (at - BEGIN - 5_000_000_000).abs() / 250_000_000;
        at += 2_000_000 + (number * 7_919 % 5 + calm) * 1_000_000;
        number += 1;
    }
    Ok(profile)
}
