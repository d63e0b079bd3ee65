//! Operations on merged profiles, each against an answer worked out by hand.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::{Builder, lines};
use flambeau_profile::proto::{Label, Line, Location, Sample};
use flambeau_profile::{
    Condition, Filter, Limits, MergeError, Merged, Selector, TagFilter, ValueType,
};
use regex::Regex;

fn merged(b: &Builder) -> Merged {
    Merged::from_bytes(&b.bytes(), &Limits::default()).unwrap()
}

/// main → a → b → c (3), main → a → d (5), main → e (7), and no stack at all (11).
fn tree() -> Builder {
    let mut b = Builder::new(&[("cpu", "ns")]);
    b.sample(&["c", "b", "a", "main"], &[3]);
    b.labelled(&["d", "a", "main"], &[5], &[("tier", "gold")]);
    b.labelled(&["e", "main"], &[7], &[("tier", "silver"), ("zone", "z1")]);
    b.sample(&[], &[11]);
    b
}

fn rx(expression: &str) -> Option<Regex> {
    Some(Regex::new(expression).unwrap())
}

fn filtered(b: &Builder, filter: &Filter) -> Vec<String> {
    lines(&merged(b).filtered(filter).0)
}

#[test]
fn focus_and_ignore_choose_samples() {
    let focus = Filter { focus: rx("^a$"), ..Filter::default() };
    assert_eq!(
        filtered(&tree(), &focus),
        ["main;a;b;c {} [3]", r#"main;a;d {tier=Text("gold")} [5]"#]
    );
    let both = Filter { focus: rx("^a$"), ignore: rx("^c$"), ..Filter::default() };
    assert_eq!(filtered(&tree(), &both), [r#"main;a;d {tier=Text("gold")} [5]"#]);
    let (none, matched) =
        merged(&tree()).filtered(&Filter { focus: rx("zz"), ..Filter::default() });
    assert_eq!((none.samples().len(), matched.focus), (0, false));
}

#[test]
fn hide_and_show_choose_frames() {
    let hide = Filter { hide: rx("^(a|b|e|main)$"), ..Filter::default() };
    assert_eq!(filtered(&tree(), &hide), ["c {} [3]", r#"d {tier=Text("gold")} [5]"#]);
    let show = Filter { show: rx("^(a|main)$"), ..Filter::default() };
    assert_eq!(
        filtered(&tree(), &show),
        [
            r#"main {tier=Text("silver"),zone=Text("z1")} [7]"#,
            r#"main;a {tier=Text("gold")} [5]"#,
            "main;a {} [3]",
        ]
    );
    let show_from = Filter { show_from: rx("^[ae]$"), ..Filter::default() };
    assert_eq!(
        filtered(&tree(), &show_from),
        [
            "a;b;c {} [3]",
            r#"a;d {tier=Text("gold")} [5]"#,
            r#"e {tier=Text("silver"),zone=Text("z1")} [7]"#,
        ]
    );
}

#[test]
fn inlined_lines_are_frames_of_their_own() {
    let mut b = Builder::new(&[("cpu", "ns")]);
    let line = |function_id| Line { function_id, ..Line::default() };
    let functions: Vec<u64> = ["leaf", "inlined", "outer"].iter().map(|f| b.function(f)).collect();
    let line = functions.into_iter().map(line).collect();
    b.profile.location.push(Location { id: 1, line, ..Location::default() });
    b.profile.sample.push(Sample { location_id: vec![1], value: vec![2], ..Sample::default() });
    assert_eq!(lines(&merged(&b)), ["outer;inlined;leaf {} [2]"]);
    let inlined: Vec<bool> =
        merged(&b).samples().next().unwrap().frames().map(|f| f.inlined).collect();
    assert_eq!(inlined, [true, true, false]);
    let hide = Filter { hide: rx("inlined"), ..Filter::default() };
    assert_eq!(filtered(&b, &hide), ["outer;leaf {} [2]"]);
    let show_from = Filter { show_from: rx("inlined"), ..Filter::default() };
    assert_eq!(filtered(&b, &show_from), ["inlined;leaf {} [2]"]);
    let is = |f: &flambeau_profile::Frame<'_>| f.name() == "inlined";
    assert_eq!(lines(&merged(&b).callees(is)), ["inlined;leaf {} [2]"]);
    assert_eq!(lines(&merged(&b).callers(is)), ["inlined;outer {} [2]"]);
}

#[test]
fn tags_choose_samples_and_labels() {
    let filter =
        |tag: &str| Filter { tag_focus: Some(TagFilter::parse(tag).unwrap()), ..Filter::default() };
    let values = |filter: &Filter| -> i128 { merged(&tree()).filtered(filter).0.totals()[0] };
    assert_eq!(values(&filter("tier=gold")), 5);
    assert_eq!(values(&filter("tier=gold,silver")), 12, "either, under one key");
    assert_eq!(values(&filter("tier:silver,zone:z1")), 7, "both, without a key");
    assert_eq!(values(&filter("tier:gold,zone:z1")), 0);
    let ignore = Filter { tag_ignore: filter("tier=.").tag_focus, ..Filter::default() };
    assert_eq!(values(&ignore), 14);
    let hide = Filter { focus: rx("^e$"), tag_hide: rx("^tier$"), ..Filter::default() };
    assert_eq!(filtered(&tree(), &hide), [r#"main;e {zone=Text("z1")} [7]"#]);
    let show = Filter { focus: rx("^e$"), tag_show: rx("^tier$"), ..Filter::default() };
    assert_eq!(filtered(&tree(), &show), [r#"main;e {tier=Text("silver")} [7]"#]);
    assert!(TagFilter::parse("k=(").is_err());
    assert!(TagFilter::parse("99999999999999999999").is_err());
}

#[test]
fn tags_understand_ranges_and_units() {
    let mut b = Builder::new(&[("space", "bytes")]);
    let (key, unit) = (b.string("size"), b.string("kilobytes"));
    for (i, num) in [1, 16, 1024].into_iter().enumerate() {
        b.sample(&["f"], &[1 << (4 * i)]);
        let label = Label { key, num, num_unit: unit, ..Label::default() };
        b.profile.sample.last_mut().unwrap().label.push(label);
    }
    let total = |tag: &str| {
        let filter =
            Filter { tag_focus: Some(TagFilter::parse(tag).unwrap()), ..Filter::default() };
        merged(&b).filtered(&filter).0.totals()[0]
    };
    assert_eq!(total("size=16kb"), 0x10);
    assert_eq!(total("16384b"), 0x10, "without a key");
    assert_eq!(total("size=:16kb"), 0x11);
    assert_eq!(total("size=16kb:"), 0x110);
    assert_eq!(total("size=2kb:1mb"), 0x110);
    assert_eq!(total("size=1s:2s"), 0, "another sort of unit");
    assert_eq!(total("other=1kb"), 0);
}

#[test]
fn selectors_follow_prometheus() {
    let total = |selector: &str| {
        let selector = Selector::parse(selector).unwrap();
        merged(&tree()).selected(&selector).totals()[0]
    };
    assert_eq!(total("{}"), 26);
    assert_eq!(total(""), 26);
    assert_eq!(total(r#"{tier="gold"}"#), 5);
    assert_eq!(total(r#"{ tier != "gold" , }"#), 21, "no label counts as empty");
    assert_eq!(total(r#"{tier=~"go|silver"}"#), 7, "anchored");
    assert_eq!(total(r#"{tier=~".+",zone!~"z.*"}"#), 5);
    assert_eq!(total(r#"{"tier"='gold'}"#), 5);
    assert_eq!(total(r#"{zone=""}"#), 19);
    let named = Selector::parse(r#"process_cpu:cpu{a=`\d`, b="\u00e9\n\x41\101"}"#).unwrap();
    let of = |key: &str| match key {
        "__name__" => "process_cpu:cpu",
        "a" => r"\d",
        "b" => "é\nAA",
        _ => "",
    };
    assert_eq!(named.matchers().len(), 3);
    assert!(named.matches(of));
    assert!(!named.matches(|key| if key == "b" { "other" } else { of(key) }));
}

#[test]
fn bad_selectors_are_refused_with_the_place() {
    for (text, at) in [
        ("{", 1),
        ("{a}", 2),
        ("{a=b}", 3),
        (r#"{a="b"#, 5),
        (r#"{a="b" c="d"}"#, 7),
        (r#"{a="b"} x"#, 8),
        (r#"{a="\q"}"#, 6),
        (r#"{1a="b"}"#, 1),
    ] {
        let error = Selector::parse(text).unwrap_err().to_string();
        assert!(error.ends_with(&format!("at byte {at}")), "{text}: {error}");
    }
    assert!(Selector::parse(r#"{a=~"("}"#).is_err());
}

#[test]
fn selectors_are_written_as_they_are_read() {
    for text in [
        r#"{}"#,
        r#"{a="b",_c!="d"}"#,
        r#"{"a.b"=~"x|y.*","1"!~"\\d+"}"#,
        "{a=\"quote \\\" slash \\\\ line \\n\"}",
        r#"{"λ "="é"}"#,
    ] {
        let selector = Selector::parse(text).unwrap();
        assert_eq!(selector.to_string(), text);
        assert_eq!(Selector::parse(&selector.to_string()).unwrap().to_string(), text);
    }
    let one = Selector::parse(r#"{a="1",b="2",a!="3"}"#).unwrap();
    let other = one.without("a").with("c", Condition::Equal("4".into()));
    assert_eq!(other.to_string(), r#"{b="2",c="4"}"#);
}

#[test]
fn diff_marks_and_negates_the_base() {
    let mut new = Builder::new(&[("cpu", "ns")]);
    new.sample(&["a", "main"], &[10]).sample(&["new", "main"], &[4]);
    let mut base = Builder::new(&[("cpu", "ns")]);
    base.sample(&["a", "main"], &[6]).sample(&["gone", "main"], &[3]);
    let (new, base) = (merged(&new), merged(&base));
    assert_eq!(
        lines(&new.subtract(&base).unwrap()),
        ["main;a {} [4]", "main;gone {} [-3]", "main;new {} [4]"]
    );
    assert_eq!(
        lines(&new.diff(&base).unwrap()),
        [
            r#"main;a {pprof::base=Text("true")} [-6]"#,
            "main;a {} [10]",
            r#"main;gone {pprof::base=Text("true")} [-3]"#,
            "main;new {} [4]",
        ]
    );
    let normalized = new.scaled(&new.normalizing(&base).unwrap()).unwrap();
    assert_eq!(lines(&normalized), ["main;a {} [6]", "main;new {} [3]"]);
    let heap = merged(Builder::new(&[("space", "bytes")]).sample(&["a"], &[1]));
    assert!(matches!(new.diff(&heap), Err(MergeError::Incompatible { .. })));
}

#[test]
fn scaling_rounds_and_drops_zeros() {
    let mut b = Builder::cpu();
    b.sample(&["a"], &[1, 3]).sample(&["b"], &[1, -3]).sample(&["c"], &[0, i64::MAX]);
    let half = merged(&b).scaled(&[0.0, 0.5]).unwrap();
    assert_eq!(lines(&half)[..2], ["a {} [0, 2]", "b {} [0, -2]"]);
    let same = merged(&b).scaled(&[1.0, 1.0]).unwrap();
    assert_eq!(lines(&same)[2], format!("c {{}} [0, {}]", i64::MAX), "not through a float");
    let more = merged(&b).scaled(&[1.0, 2.0]).unwrap();
    assert_eq!(more.saturated(), 1);
    assert_eq!(merged(&b).scaled(&[0.0, 0.1]).unwrap().samples().len(), 1);
    assert!(merged(&b).scaled(&[1.0]).is_err());
}

#[test]
fn pruning_keeps_totals_and_says_the_rest() {
    let whole = merged(&tree());
    let all = whole.pruned(100, 0).unwrap();
    assert_eq!((all.nodes, all.kept, all.folded), (6, 6, 0));
    assert_eq!(all.profile.encode(), whole.encode());
    let three = whole.pruned(3, 0).unwrap();
    assert_eq!((three.nodes, three.kept, three.folded), (6, 3, 8));
    assert_eq!(
        lines(&three.profile),
        [
            " {} [11]",
            r#"main;a;other {tier=Text("gold")} [5]"#,
            "main;a;other {} [3]",
            r#"main;e {tier=Text("silver"),zone=Text("z1")} [7]"#,
        ]
    );
    let none = whole.pruned(0, 0).unwrap();
    assert_eq!(none.profile.totals(), whole.totals());
    assert_eq!(none.folded, 15);
    assert!(whole.pruned(3, 1).is_err());
}

#[test]
fn grouping_splits_without_loss() {
    let whole = merged(&tree());
    let groups = whole.grouped("tier");
    let totals: Vec<_> = groups.iter().map(|(k, p)| (k.as_deref(), p.totals()[0])).collect();
    assert_eq!(totals, [(None, 14), (Some("gold"), 5), (Some("silver"), 7)]);
    let direct: Vec<_> = whole.totals_by("tier").into_iter().map(|(k, v)| (k, v[0])).collect();
    assert_eq!(direct, totals);
}

#[test]
fn callers_and_callees_count_each_sample_once() {
    let mut b = Builder::new(&[("cpu", "ns")]);
    b.sample(&["leaf", "f", "mid", "f", "main"], &[1]);
    b.sample(&["f", "other"], &[2]);
    b.sample(&["unrelated"], &[4]);
    let is = |f: &flambeau_profile::Frame<'_>| f.name() == "f";
    assert_eq!(lines(&merged(&b).callees(is)), ["f {} [2]", "f;mid;f;leaf {} [1]"]);
    assert_eq!(lines(&merged(&b).callers(is)), ["f;main {} [1]", "f;other {} [2]"]);
}

#[test]
fn headers_pass_through_operations() {
    let mut b = tree();
    b.profile.time_nanos = 5;
    b.profile.comment = vec![b.string("flambeau:v=1")];
    let whole = merged(&b);
    let kept = whole.selected(&Selector::parse("{}").unwrap());
    assert_eq!(kept.header(), whole.header());
    assert_eq!(kept.encode(), whole.encode());
    assert_eq!(kept.sample_types(), [ValueType::new("cpu", "ns")]);
}
