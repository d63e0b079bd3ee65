//! `focus`, `ignore`, `hide`, `show`, `show_from` and the tag filters against
//! pprof's library and its command line driver.
//!
//! pprof filters the very bytes that Flambeau merged, because the unit of a
//! numeric label is the one of the first sample that has one.

use std::collections::BTreeMap;

use flambeau_profile::proto::Profile;
use flambeau_profile::{Filter, Merged, TagFilter};
use regex::Regex;

use crate::generate::Kind;
use crate::judge::{Judge, Question, judge};
use crate::merging::{explain, merge};
use crate::spell::spell;
use crate::{cases, compare, corpus, seed};
use flambeau_random::Random;

/// None matches the empty string: the driver lends profiles without mappings
/// one whose file is empty.
const FRAMES: &[&str] = &[
    "main",
    "parse",
    "^main\\.",
    "serve|Go$",
    "libm",
    "server",
    "größe",
    "a",
    "\\(",
    "nothing",
    "x\\n",
    "[.]rs$",
    "vdso",
];
const KEYS: &[&str] = &["tenant", "^bytes$", "e", "nothing", "handler|request", "pprof"];
const TAGS: &[&str] = &[
    "tenant=acme",
    "tenant=acme,globex",
    "acme",
    "handler:index",
    "tenant:a,handler",
    "bytes=512",
    "bytes=512b",
    "bytes=512bytes",
    "bytes=:1kb",
    "bytes=1b:",
    "bytes=1b:1kb",
    "request=1kb:2kb",
    "latency=1ms:2s",
    ":2mb",
    "1:",
    "-1",
    "32",
    "32kb",
    "latency=32ms",
    "latency=:0s",
    "bytes=1b:2s",
    "=acme",
    "tenant=",
    "a b=.",
    "bytes=1kb:1b",
    "widgets",
    "bytes=0b:9widgets",
    "latency=32seconds:",
    "x=y",
    "request=+1:+600",
    "nothing=1",
    "1kb2kb",
    "::5",
];

type Options = BTreeMap<&'static str, &'static str>;

fn options(rng: &mut Random) -> Options {
    let mut options = Options::new();
    for name in ["focus", "ignore", "hide", "show", "show_from"] {
        if rng.percent(25) {
            options.insert(name, *rng.pick(FRAMES));
        }
    }
    for (name, pool, percent) in [
        ("tagfocus", TAGS, 40),
        ("tagignore", TAGS, 25),
        ("tagshow", KEYS, 10),
        ("taghide", KEYS, 10),
    ] {
        if rng.percent(percent) {
            options.insert(name, *rng.pick(pool));
        }
    }
    options
}

fn filter(options: &Options) -> Filter {
    let frames = |name| options.get(name).map(|rx| Regex::new(rx).unwrap());
    let tags = |name| options.get(name).map(|filter| TagFilter::parse(filter).unwrap());
    Filter {
        focus: frames("focus"),
        ignore: frames("ignore"),
        hide: frames("hide"),
        show: frames("show"),
        show_from: frames("show_from"),
        tag_focus: tags("tagfocus"),
        tag_ignore: tags("tagignore"),
        tag_show: frames("tagshow"),
        tag_hide: frames("taghide"),
    }
}

/// Why Flambeau's filtered profile is not pprof's, if it is not.
fn disagreement(judge: &Judge, merged: &Merged, options: &Options) -> Option<String> {
    let tags = options.keys().any(|name| name.starts_with("tag"));
    let inputs = [merged.encode()];
    let op = if tags { "driver" } else { "focus" };
    let pprof = judge.ask(&Question { op, inputs: &inputs, bases: &[], options: options.clone() });
    let ours = judge.text(merged.filtered(&filter(options)).0.encode());
    (pprof != ours).then(|| explain(&pprof, &ours))
}

/// The driver takes types by name and cuts by `drop_frames`; neither is at
/// issue here.
pub fn fit_for_driver(profile: &mut Profile) -> bool {
    (profile.drop_frames, profile.keep_frames, profile.default_sample_type) = (0, 0, 0);
    let types = &profile.sample_type;
    let name = |i: usize| &profile.string_table[types[i].r#type as usize];
    (0..types.len()).all(|i| (0..i).all(|j| name(i) != name(j)))
}

#[test]
fn generated_filters() {
    let Some(judge) = judge() else { return };
    let (mut changed, mut left) = (0, 0);
    for case in 0..cases() {
        let seed = seed(4, case);
        let mut rng = Random::new(seed);
        let kind = Kind::any(&mut rng);
        let mut profiles = [kind.profile(&mut rng), kind.profile(&mut rng)];
        let options = options(&mut rng);
        if !profiles.iter_mut().all(fit_for_driver) {
            continue;
        }
        let Ok(merged) = merge(&profiles.each_ref().map(|p| spell(p, 0))) else { continue };
        if merged.saturated() > 0 {
            continue;
        }
        if let Some(why) = disagreement(judge, &merged, &options) {
            report(seed, judge, profiles.to_vec(), &options, why);
        }
        let filtered = merged.filtered(&filter(&options)).0;
        changed += u64::from(filtered.totals() != merged.totals());
        left += filtered.samples().len() as u64;
    }
    assert!(changed > cases() / 5, "only {changed} filters took anything away");
    assert!(left > cases() / 2, "only {left} samples are left of all");
}

fn report(seed: u64, judge: &Judge, profiles: Vec<Profile>, options: &Options, why: String) -> ! {
    let plainly =
        |profiles: &[Profile]| -> Vec<_> { profiles.iter().map(|p| spell(p, 0)).collect() };
    let (profiles, why) = compare::shrink(profiles, why, |profiles| {
        disagreement(judge, &merge(&plainly(profiles)).ok()?, options)
    });
    let inputs = plainly(&profiles);
    let kept = compare::keep(&format!("filter-{seed}"), &inputs);
    let merged = judge.text(merge(&inputs).unwrap().encode()).unwrap();
    panic!(
        "seed {seed}, {options:?} of\n{merged}pprof (-) and Flambeau (+) differ:\n{why}inputs kept in {}",
        kept.display()
    );
}

/// Real names, real labels: every file under a few filters.
#[test]
fn filters_of_the_corpus() {
    let Some(judge) = judge() else { return };
    const FILTERS: &[&[(&str, &str)]] = &[
        &[("focus", "main|Workload|corpus")],
        &[("ignore", "runtime|java/")],
        &[("hide", "runtime|std::|java/util")],
        &[("show", "main|work|Workload")],
        &[("show_from", "work|run|serve")],
        &[("tagfocus", "handler=json|index"), ("focus", "json|server")],
        &[("tagfocus", "bytes=:2kb")],
        &[("tagignore", "thread=C[12] Comp")],
        &[("tagignore", "tenant"), ("taghide", "handler")],
    ];
    let mut compared = 0;
    for file in corpus::files().into_iter().filter(|f| f.golden.starts_with("accept")) {
        let plain = !file.golden.contains("\\x") && !file.golden.contains("drop_frames");
        let Some(merged) = merge(&[file.bytes]).ok().filter(|m| plain && m.saturated() == 0) else {
            continue;
        };
        if merged.sample_types().is_empty() {
            continue;
        }
        for &pairs in FILTERS {
            let options: Options = pairs.iter().copied().collect();
            if let Some(why) = disagreement(judge, &merged, &options) {
                panic!("{}, {options:?}: pprof (-), Flambeau (+)\n{why}", file.name);
            }
            compared += 1;
        }
    }
    assert!(compared > 300, "only {compared} filters compared");
}
