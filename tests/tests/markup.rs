//! Any bytes can be a name, and no name becomes markup: pages of made-up names are
//! read tag by tag.
#![allow(clippy::unwrap_used)]

use flambeau_layout::{Fate, Identity, KeyDate, SnapshotKey, SnapshotShape, name::encode_part};
use flambeau_profile::{
    encode,
    proto::{Function, Label, Line, Location, Profile, Sample, ValueType},
};
use flambeau_random::Random;
use flambeau_tests::{
    ask::get,
    stack::{Stack, now},
};

const CASES: usize = 24;
const SEED: u64 = 8;
const PIECES: [&str; 22] = [
    "<script>alert(1)</script>",
    "</table>",
    "<!--",
    "-->",
    "]]>",
    "<![CDATA[",
    "\"",
    "'",
    "&",
    "&lt;",
    "&#x3c;",
    "=",
    "`",
    "\u{0}",
    "\u{1b}[31m",
    "\u{202e}",
    "\u{fffe}",
    "{{ x }}",
    "</textarea>",
    " onload=x ",
    "javascript:",
    "ü漢",
];
/// Elements that have no end.
const VOID: [&str; 5] = ["meta", "link", "input", "img", "br"];

/// A name of pieces, as text.
fn text(random: &mut Random) -> String {
    (0..1 + random.below(3)).map(|_| *random.pick(&PIECES)).collect()
}

/// Four letters that stand in a profile until bytes take their place.
fn stand_in(at: usize) -> String {
    format!("zq{at:02}")
}

/// A profile whose names are any bytes at all, also such as are no UTF-8.
fn profile(random: &mut Random) -> Vec<u8> {
    const NAMES: usize = 8;
    let mut strings: Vec<String> = ["", "cpu", "nanoseconds"].map(str::to_owned).to_vec();
    strings.extend((0..NAMES).map(stand_in));
    strings.extend((0..4).map(|_| text(random)));
    let (name, texts) = (|at: usize| 3 + at as i64, 3 + NAMES as i64);
    let function = |id: u64| Function {
        id,
        name: name(id as usize - 1),
        filename: texts,
        ..Default::default()
    };
    let profile = Profile {
        string_table: strings,
        sample_type: vec![ValueType { r#type: 1, unit: 2 }],
        function: (1..=NAMES as u64).map(function).collect(),
        location: (1..=NAMES as u64)
            .map(|id| Location {
                id,
                line: vec![Line { function_id: id, line: 1, column: 0 }],
                ..Default::default()
            })
            .collect(),
        sample: (1..=NAMES as u64)
            .map(|id| Sample {
                location_id: vec![id, 1],
                value: vec![1 + id as i64],
                label: vec![Label { key: texts + 1, str: texts + 2, ..Default::default() }],
            })
            .collect(),
        time_nanos: now().plus_millis(-60_000).as_nanos(),
        ..Default::default()
    };
    let mut bytes = encode(&profile);
    for at in 0..NAMES {
        let letters = stand_in(at).into_bytes();
        let place = bytes.windows(4).position(|window| window == letters).unwrap();
        bytes[place..place + 4].copy_from_slice(&random.draw().to_le_bytes()[..4]);
    }
    bytes
}

fn key(service: &str, seq: usize) -> SnapshotKey {
    let identity = Identity {
        tenant: "default".parse().unwrap(),
        service: service.parse().unwrap(),
        env: "e1".parse().unwrap(),
        boot: "b1".parse().unwrap(),
        seq: seq as u64,
    };
    SnapshotKey::new(identity, KeyDate::of(now()), SnapshotShape::Single("cpu".parse().unwrap()))
}

/// Reads a page strictly: every `<` begins a tag of our spelling, every element ends
/// where it must, every attribute is quoted. Answers the elements in order.
fn elements(page: &str) -> Result<Vec<String>, String> {
    let mut rest = page.strip_prefix("<!doctype html>").ok_or("no doctype")?;
    let (mut open, mut all) = (Vec::new(), Vec::new());
    while let Some(at) = rest.find(['<', '>']) {
        let tag = rest[at..].strip_prefix('<').ok_or_else(|| near(rest, at))?;
        let end = tag.find('>').ok_or_else(|| near(rest, at))?;
        let (inside, after) = (&tag[..end], &tag[end + 1..]);
        match inside.strip_prefix('/') {
            Some(name) if open.last().is_some_and(|last| last == name) => drop(open.pop()),
            Some(name) => return Err(format!("</{name}> ends {open:?}")),
            None => {
                let (inside, whole) = match inside.strip_suffix('/') {
                    Some(inside) => (inside, true),
                    None => (inside, false),
                };
                let name = inside.split(' ').next().unwrap_or_default();
                attributes(&inside[name.len()..]).ok_or_else(|| near(rest, at))?;
                all.push(name.to_owned());
                if !whole && !VOID.contains(&name) {
                    open.push(name.to_owned());
                }
            }
        }
        rest = after;
    }
    if open.is_empty() { Ok(all) } else { Err(format!("{open:?} have no end")) }
}

fn near(text: &str, at: usize) -> String {
    text[at..].chars().take(120).collect()
}

/// ` name`, ` name="value"` and so on, to the end.
fn attributes(mut rest: &str) -> Option<()> {
    while !rest.is_empty() {
        rest = rest.strip_prefix(' ')?;
        let name = rest.find(|c: char| !c.is_ascii_alphabetic() && c != '-').unwrap_or(rest.len());
        (name > 0).then_some(())?;
        rest = &rest[name..];
        if let Some(value) = rest.strip_prefix('=') {
            let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
            let end = value[1..].find(quote)?;
            rest = &value[end + 2..];
        }
    }
    Some(())
}

#[test]
fn the_reader_is_strict() {
    let read = |body: &str| elements(&format!("<!doctype html>{body}"));
    assert_eq!(read("<p class=\"a\" hidden>x<br></p>").unwrap(), ["p", "br"]);
    for bad in
        ["<p>", "</p>", "<p><b></p></b>", "a > b", "<p a=b></p>", "<p a=\"></p>", "<p<b></p>"]
    {
        assert!(read(bad).is_err(), "{bad}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_name_becomes_markup() {
    let mut random = Random::new(SEED);
    let stack = Stack::start().await.unwrap();
    let services: Vec<String> = (0..CASES).map(|at| format!("{}{at}", text(&mut random))).collect();
    let keys: Vec<SnapshotKey> =
        services.iter().enumerate().map(|(seq, name)| key(name, seq)).collect();
    for key in &keys {
        stack.put(&key.to_string(), profile(&mut random)).await.unwrap();
    }
    let fates = stack.fates(&keys).await.unwrap();
    assert!(fates.iter().all(|claim| matches!(claim.fate, Fate::Block { .. })), "{fates:?}");
    let asked = encode_part(&text(&mut random));
    let mut shapes = Vec::new();
    for service in &services {
        let service = encode_part(service);
        for path in [
            format!("/s/{service}/cpu?view=table"),
            format!("/s/{service}/cpu?f={asked}&q={asked}"),
            format!("/s/{service}/cpu?search={asked}&around={asked}"),
            format!("/s/{service}/cpu?view=heatmap&by={asked}"),
            format!("/s/{service}/{asked}"),
            format!("/s/{service}/cpu/traces"),
            format!("/diff/{service}/cpu?a.q={asked}&b.from={asked}"),
            format!("/diff/{service}/cpu"),
        ] {
            let page = get(&stack, &path, &[("accept", "text/html")]).await;
            assert!(page.header("content-type").starts_with("text/html"), "{path}");
            let read = elements(&page.text()).unwrap_or_else(|error| panic!("{path}: {error}"));
            if path.ends_with("view=table") {
                shapes.push(read);
            }
        }
    }
    elements(&get(&stack, "/", &[("accept", "text/html")]).await.text()).unwrap();
    // Whatever the names, the page is made of the same elements.
    assert!(shapes.iter().all(|shape| shape == &shapes[0]));
    stack.serving.stop().await;
}
