//! Profiles made wrong: rules broken in the model, then bytes broken on the
//! wire. Not all damage makes a profile invalid; that is for the judge to say.

use flambeau_profile::proto::{Function, Label, Line, Location, Mapping, Profile};

use flambeau_random::Random;

/// Breaks a rule, or something that looks like one.
pub fn break_rule(p: &mut Profile, rng: &mut Random) {
    let strings = p.string_table.len() as i64;
    let index = *rng.pick(&[strings, strings - 1, -1, i64::MAX, i64::MIN, 1 << 32]);
    let id = *rng.pick(&[0, 1, 2, 1000, u64::MAX, 1 << 32, 1 << 40]);
    match rng.below(24) {
        0 => p.string_table.clear(),
        1 => p.string_table.truncate(1 + rng.below(p.string_table.len())),
        2 => p.string_table[0] = "zero".into(),
        3 => p.sample_type.clear(),
        4 => _ = p.sample_type.pop(),
        5 => {
            p.period_type = p.sample_type.first().map(|t| {
                let mut t = *t;
                t.unit = index;
                t
            })
        }
        6 => p.comment.push(index),
        7 => p.default_sample_type = index,
        8 => p.doc_url = index,
        9 => p.drop_frames = index,
        10 => {
            p.mapping.push(Mapping { id, filename: *rng.pick(&[0, index]), ..Mapping::default() })
        }
        11 => p.function.push(Function { id, name: *rng.pick(&[0, index]), ..Function::default() }),
        12 => p.location.push(Location { id, mapping_id: 5, ..Location::default() }),
        13 => edit(&mut p.mapping, rng, |m| m.build_id = index),
        14 => edit(&mut p.function, rng, |f| f.system_name = index),
        15 => edit(&mut p.function, rng, |f| f.id = id),
        16 => edit(&mut p.location, rng, |l| l.id = id),
        17 => edit(&mut p.location, rng, |l| l.mapping_id = id),
        18 => {
            edit(&mut p.location, rng, |l| l.line.push(Line { function_id: id, ..Line::default() }))
        }
        19 => edit(&mut p.sample, rng, |s| s.location_id.push(id)),
        20 => edit(&mut p.sample, rng, |s| s.value.push(1)),
        21 => edit(&mut p.sample, rng, |s| _ = s.value.pop()),
        _ => damage_label(p, rng, index),
    }
}

/// Which parts of a label are looked at depends on the others.
fn damage_label(p: &mut Profile, rng: &mut Random, index: i64) {
    let mut part = || *rng.pick(&[0, 0, 1, index]);
    let label = Label { key: part(), str: part(), num: part(), num_unit: part() };
    edit(&mut p.sample, rng, |s| s.label.push(label));
}

fn edit<T>(list: &mut [T], rng: &mut Random, change: impl FnOnce(&mut T)) {
    let at = rng.below(list.len());
    if let Some(item) = list.get_mut(at) {
        change(item);
    }
}

/// Damages bytes as bad disks, cut connections and hostile senders do.
pub fn break_bytes(bytes: &mut Vec<u8>, rng: &mut Random) {
    if bytes.is_empty() {
        return;
    }
    let at = rng.below(bytes.len());
    let end = (at + 1 + rng.below(12)).min(bytes.len());
    match rng.below(6) {
        0 => bytes.truncate(at),
        1 => bytes[at] ^= 1 << rng.below(8),
        2 => bytes[at] = *rng.pick(&[0, 1, 0x7f, 0x80, 0xff]),
        3 => drop(bytes.drain(at..end)),
        4 => {
            let again = bytes[at..end].to_vec();
            bytes.splice(at..at, again);
        }
        _ => {
            let noise: Vec<u8> = (0..1 + rng.below(6)).map(|_| rng.draw() as u8).collect();
            bytes.splice(at..at, noise);
        }
    }
}
