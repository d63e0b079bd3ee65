//! Merges and verdicts against `profile.Merge` and `CheckValid`.

use flambeau_profile::proto::Profile;
use flambeau_profile::{AddOptions, MergeError, Merged, Merger, decode, peek};

use crate::compare::{difference, keep, shrink};
use crate::damage::{break_bytes, break_rule};
use crate::generate::Kind;
use crate::judge::{Answer, Judge, Question, judge};
use crate::spell::spell;
use crate::{cases, limits, seed};
use flambeau_random::Random;

/// Merges in the order given.
pub fn merge(inputs: &[Vec<u8>]) -> Result<Merged, MergeError> {
    let mut merger = Merger::new(limits());
    for input in inputs {
        merger.add(input, &AddOptions::default())?;
    }
    merger.finish()
}

/// Why Flambeau's merge is not pprof's, if it is not.
pub fn disagreement(judge: &Judge, inputs: &[Vec<u8>]) -> Option<String> {
    let ours = match merge(inputs) {
        Ok(merged) if merged.saturated() > 0 => return None,
        ours => ours.map(|merged| merged.encode()),
    };
    let ours = ours.map_err(|e| e.to_string()).and_then(|bytes| judge.text(bytes));
    let mut first = None;
    for order in orders(inputs) {
        let question = Question { op: "merge", inputs: &order, ..Question::default() };
        let pprof = with_earliest_time(judge.ask(&question), inputs);
        match (&pprof, &ours) {
            (Err(_), Err(_)) => return None,
            (Ok(a), Ok(b)) if a == b => return None,
            _ => drop(first.get_or_insert(pprof)),
        }
    }
    Some(explain(&first?, &ours))
}

pub fn explain(pprof: &Answer, ours: &Answer) -> String {
    match (pprof, ours) {
        (Ok(pprof), Ok(ours)) => difference(pprof, ours),
        (Err(pprof), _) => format!("pprof refuses ({pprof}), Flambeau does not"),
        (_, Err(ours)) => format!("Flambeau refuses ({ours}), pprof does not"),
    }
}

/// The inputs by time, unknown times last: Flambeau's order of precedence.
/// Inputs of the same time come in every order.
fn orders(inputs: &[Vec<u8>]) -> Vec<Vec<Vec<u8>>> {
    let time = |input: &Vec<u8>| peek(input, &limits()).map_or(0, |header| header.time_nanos);
    let mut all = vec![];
    for order in permutations(inputs.to_vec()) {
        let times: Vec<_> = order.iter().map(|i| (time(i) == 0, time(i))).collect();
        if times.is_sorted() {
            all.push(order);
        }
    }
    all
}

fn permutations(items: Vec<Vec<u8>>) -> Vec<Vec<Vec<u8>>> {
    if items.len() < 2 {
        return vec![items];
    }
    let mut all = Vec::new();
    for i in 0..items.len() {
        let mut rest = items.clone();
        let first = rest.remove(i);
        for mut order in permutations(rest) {
            order.insert(0, first.clone());
            all.push(order);
        }
    }
    all
}

/// pprof's text with the time that is meant: the earliest known one.
pub fn with_earliest_time(pprof: Answer, inputs: &[Vec<u8>]) -> Answer {
    let times = inputs.iter().filter_map(|i| peek(i, &limits()).ok().map(|h| h.time_nanos));
    let earliest = times.filter(|&time| time != 0).min().unwrap_or(0);
    let text = pprof?;
    let (before, rest) = text.split_once("\ntime ").expect("a time in the text");
    let (_, after) = rest.split_once(' ').expect("more after the time");
    Ok(format!("{before}\ntime {earliest} {after}"))
}

#[test]
fn generated_merges() {
    let Some(judge) = judge() else { return };
    let (mut merged, mut samples) = (0, 0);
    for case in 0..cases() {
        let seed = seed(1, case);
        let mut rng = Random::new(seed);
        let kind = Kind::any(&mut rng);
        let count = *rng.pick(&[1, 2, 2, 3, 4]);
        let profiles: Vec<_> = (0..count).map(|_| kind.profile(&mut rng)).collect();
        let spellings: Vec<_> = profiles.iter().map(|_| rng.draw()).collect();
        let spelled: Vec<_> = profiles.iter().zip(&spellings).map(|(p, &s)| spell(p, s)).collect();
        if let Some(why) = disagreement(judge, &spelled) {
            report("merge", seed, judge, profiles, &spelled, why);
        }
        if let Ok(result) = merge(&spelled) {
            merged += 1;
            samples += result.samples().len() as u64;
        }
    }
    assert!(merged > cases() * 3 / 4, "only {merged} of {} cases were compatible", cases());
    assert!(samples > 3 * cases(), "only {samples} samples in {} cases", cases());
}

/// Shrinks, keeps and panics.
fn report(
    name: &str,
    seed: u64,
    judge: &Judge,
    profiles: Vec<Profile>,
    spelled: &[Vec<u8>],
    why: String,
) {
    let plainly =
        |profiles: &[Profile]| -> Vec<_> { profiles.iter().map(|p| spell(p, 0)).collect() };
    let fails = |profiles: &[Profile]| disagreement(judge, &plainly(profiles));
    let (inputs, why) = match fails(&profiles) {
        Some(why) => {
            let (profiles, why) = shrink(profiles, why, fails);
            (plainly(&profiles), why)
        }
        // Only this spelling fails, so only this spelling shows it.
        None => (spelled.to_vec(), why),
    };
    let kept = keep(&format!("{name}-{seed}"), &inputs);
    panic!(
        "seed {seed}: pprof (-) and Flambeau (+) differ:\n{why}inputs kept in {}",
        kept.display()
    );
}

#[test]
fn broken_profiles() {
    let Some(judge) = judge() else { return };
    let (mut accepted, mut rejected) = (0, 0);
    for case in 0..cases() {
        let seed = seed(2, case);
        let mut rng = Random::new(seed);
        let mut profile = Kind::any(&mut rng).profile(&mut rng);
        let on_the_wire = rng.percent(50);
        if !on_the_wire {
            break_rule(&mut profile, &mut rng);
        }
        let mut bytes = spell(&profile, rng.draw());
        if on_the_wire {
            (0..1 + rng.below(2)).for_each(|_| break_bytes(&mut bytes, &mut rng));
        }
        let inputs = [bytes];
        let verdict = judge.ask(&Question { op: "check", inputs: &inputs, ..Question::default() });
        let ours = decode(&inputs[0], &limits());
        if verdict.is_ok() && has_reserved_flags(&inputs[0]) {
            continue;
        }
        if verdict.is_ok() != ours.is_ok() {
            let kept = keep(&format!("broken-{seed}"), &inputs);
            panic!(
                "seed {seed}: pprof says {verdict:?}, Flambeau says {ours:?}; kept in {}",
                kept.display()
            );
        }
        if verdict.is_err() {
            rejected += 1;
            continue;
        }
        accepted += 1;
        // Names that are not UTF-8 read differently by design.
        let spelled_out = verdict.is_ok_and(|text| text.contains("\\x"));
        if let Some(why) = disagreement(judge, &inputs).filter(|_| !spelled_out) {
            let kept = keep(&format!("broken-{seed}"), &inputs);
            panic!(
                "seed {seed}: accepted by both, but pprof (-) and Flambeau (+) differ:\n{why}kept in {}",
                kept.display()
            );
        }
    }
    let share = 100 * rejected / (accepted + rejected).max(1);
    assert!((20..=90).contains(&share), "{rejected} rejected, {accepted} accepted: damage is off");
}

/// A gzip member with flags that RFC 1952 (2.3.1.2) reserves and tells readers
/// to refuse. Flambeau does; Go's gzip overlooks them.
fn has_reserved_flags(bytes: &[u8]) -> bool {
    bytes.windows(4).any(|head| head.starts_with(&[0x1f, 0x8b, 8]) && head[3] & 0xe0 != 0)
}

/// The comparison itself is worth something: a merge with one thing changed is
/// not taken for the right one.
#[test]
fn notices_what_is_wrong() {
    let Some(judge) = judge() else { return };
    let mut noticed = 0;
    for case in 0..100 {
        let mut rng = Random::new(seed(3, case));
        let profile = Kind::any(&mut rng).profile(&mut rng);
        let mut wrong = profile.clone();
        let Some(sample) = wrong.sample.first_mut() else { continue };
        match rng.below(4) {
            0 => sample.value[0] += 1,
            1 => sample.location_id.extend(wrong.location.first().map(|l| l.id)),
            2 => wrong.function.iter_mut().for_each(|f| f.start_line += 1),
            _ => wrong.location.iter_mut().for_each(|l| l.address ^= 1),
        }
        let text = |p: &Profile| judge.text(merge(&[spell(p, 0)]).unwrap().encode()).unwrap();
        let inputs = [spell(&profile, 0)];
        let pprof = judge.ask(&Question { op: "merge", inputs: &inputs, ..Question::default() });
        noticed += usize::from(pprof.unwrap() != text(&wrong));
    }
    assert!(noticed > 70, "only {noticed} changes were noticed");
}
