//! Diffs: `-diff_base`, `-base` and `-normalize` against pprof's library and
//! its command line driver.

use std::collections::BTreeMap;

use flambeau_profile::Merged;
use flambeau_profile::proto::Profile;

use crate::compare::{keep, shrink};
use crate::filtering::fit_for_driver;
use crate::generate::Kind;
use crate::judge::{Answer, Judge, Question, judge};
use crate::merging::{explain, merge, with_earliest_time};
use crate::spell::spell;
use crate::{cases, corpus, seed};
use flambeau_random::Random;

/// Which of pprof's ways to compare.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    /// The library's calls that make up `-diff_base`.
    Library,
    DiffBase,
    Base,
    Normalized,
}

const WAYS: [Way; 4] = [Way::Library, Way::DiffBase, Way::Base, Way::Normalized];

fn ours(way: Way, source: &Merged, base: &Merged) -> Option<Merged> {
    let diff = match way {
        Way::Library | Way::DiffBase => source.diff(base),
        Way::Base => source.subtract(base),
        Way::Normalized => {
            let ratios = source.normalizing(base).ok()?;
            // A sample whose only values stand under a ratio of exactly 1 is
            // dropped by pprof's ScaleN when another column is scaled.
            if ratios.contains(&1.0) {
                return None;
            }
            source.scaled(&ratios).and_then(|scaled| scaled.diff(base))
        }
    };
    diff.ok().filter(|merged| merged.saturated() == 0)
}

fn pprof(judge: &Judge, way: Way, source: Vec<u8>, base: Vec<u8>) -> Answer {
    let options = match way {
        Way::Library | Way::DiffBase => BTreeMap::new(),
        Way::Base => BTreeMap::from([("base", "plain")]),
        Way::Normalized => BTreeMap::from([("normalize", "true")]),
    };
    let op = if way == Way::Library { "diff" } else { "driver" };
    let both = [source, base];
    let question = Question { op, inputs: &both[..1], bases: &both[1..], options };
    with_earliest_time(judge.ask(&question), &both)
}

/// Why the difference of the two is not pprof's, if it is not.
fn disagreement(judge: &Judge, way: Way, source: &Merged, base: &Merged) -> Option<String> {
    let ours = judge.text(ours(way, source, base)?.encode());
    let pprof = pprof(judge, way, source.encode(), base.encode());
    (pprof != ours).then(|| explain(&pprof, &ours))
}

/// pprof negates by way of floats, which hold 53 bits.
fn tame(profile: &mut Profile) {
    let values = profile.sample.iter_mut().flat_map(|s| &mut s.value);
    values.for_each(|v| *v %= 1_000_003);
}

#[test]
fn generated_diffs() {
    let Some(judge) = judge() else { return };
    let mut compared = 0;
    for case in 0..cases() {
        let seed = seed(5, case);
        let mut rng = Random::new(seed);
        let kind = Kind::any(&mut rng);
        let mut profiles = [kind.profile(&mut rng), kind.profile(&mut rng)];
        profiles.iter_mut().for_each(tame);
        let way = *rng.pick(&WAYS);
        if way != Way::Library && !(profiles.iter_mut().all(fit_for_driver) && mapped(&profiles)) {
            continue;
        }
        compared += 1;
        let fails = |profiles: &[Profile]| {
            let [source, base] = profiles else { return None };
            let alone = |p| merge(&[spell(p, 0)]).ok();
            let (source, base) = (alone(source)?, alone(base)?);
            disagreement(judge, way, &source, &base)
        };
        if let Some(why) = fails(&profiles) {
            let (profiles, why) = shrink(profiles.to_vec(), why, fails);
            let inputs: Vec<_> = profiles.iter().map(|p| spell(p, 0)).collect();
            let kept = keep(&format!("diff-{seed}"), &inputs);
            panic!(
                "seed {seed}, {way:?}: pprof (-), Flambeau (+)\n{why}kept in {}",
                kept.display()
            );
        }
    }
    assert!(compared > cases() / 3, "only {compared} diffs compared");
}

/// The driver lends a profile without mappings an empty one, which then does
/// not meet the other profile's locations without any.
fn mapped(profiles: &[Profile]) -> bool {
    let with = profiles.iter().filter(|p| !p.mapping.is_empty()).count();
    with == 0 || with == profiles.len()
}

#[test]
fn diffs_of_the_corpus() {
    let Some(judge) = judge() else { return };
    let read = |name: &str| {
        let file = corpus::files().into_iter().find(|f| f.name == name).unwrap();
        merge(&[file.bytes]).unwrap()
    };
    for (source, base) in [
        ("go-heap-2.pb.gz", "go-heap-1.pb.gz"),
        ("go-pie-b.pb.gz", "go-pie-a.pb.gz"),
        ("go-cpu-500hz.pb.gz", "go-cpu.pb.gz"),
        ("java-cpu.pb.gz", "java-cpu.pb.gz"),
        ("odd-labels.pb", "odd-negative.pb"),
        ("odd-aslr-b.pb", "odd-inline-columns.pb"),
    ] {
        let (a, b) = (read(source), read(base));
        for way in WAYS {
            if let Some(why) = disagreement(judge, way, &a, &b) {
                panic!("{source} - {base}, {way:?}: pprof (-), Flambeau (+)\n{why}");
            }
        }
    }
}
