//! The one order of everything, whatever order it came in.
//!
//! Tables are sorted by content and positions rewritten, so that the same
//! samples make the same bytes. What no sample refers to falls away here, and
//! so do samples whose sums are all 0.

use crate::header::{Header, saturated};
use crate::ids::NONE;
use crate::merged::{Merged, Truncations};
use crate::tables::{MappingEntry, Tables};

/// Ends the growth of `tables`. `main` is the mapping to put first, or [`NONE`].
pub(crate) fn settle(
    mut tables: Tables,
    main: u32,
    header: Header,
    truncations: Truncations,
) -> Merged {
    tables.forget_indices();
    let live = live_samples(&tables);
    let used = Used::by(&tables, &live, main);
    settle_strings(&mut tables, &used);
    settle_functions(&mut tables, &used);
    settle_mappings(&mut tables, &used, main);
    settle_locations(&mut tables, &used);
    let stacks = settle_stacks(&mut tables, &used);
    let label_sets = settle_label_sets(&mut tables, &used);
    let order = by_stack(&tables, &live, &stacks, &label_sets);
    let sums = Sums::of(&tables, &order);
    tables.sums = Vec::new();
    tables.samples = order.iter().map(|&(s, l, _)| (s, l)).collect();
    Merged {
        tables,
        header,
        truncations,
        values: sums.values,
        totals: sums.totals,
        saturated: sums.saturated,
    }
}

fn live_samples(tables: &Tables) -> Vec<u32> {
    let types = tables.types;
    (0..tables.samples.len())
        .filter(|i| tables.sums[i * types..][..types].iter().any(|&sum| sum != 0))
        .map(|i| i as u32)
        .collect()
}

/// Samples as (stack, label set, old position), sorted. Stacks are counted, not
/// compared: most have one sample, and only those of one stack need sorting.
fn by_stack(
    tables: &Tables,
    live: &[u32],
    stacks: &[u32],
    label_sets: &[u32],
) -> Vec<(u32, u32, u32)> {
    let place = |i: u32| {
        let (stack, labels) = tables.samples[i as usize];
        (stacks[stack as usize], label_sets[labels as usize], i)
    };
    let mut ends = vec![0u32; tables.stacks.ranges.len() + 1];
    for &i in live {
        ends[place(i).0 as usize + 1] += 1;
    }
    for stack in 1..ends.len() {
        ends[stack] += ends[stack - 1];
    }
    let mut next = ends.clone();
    let mut order = vec![(0, 0, 0); live.len()];
    for &i in live {
        let sample = place(i);
        let slot = &mut next[sample.0 as usize];
        order[*slot as usize] = sample;
        *slot += 1;
    }
    for stack in ends.windows(2).filter(|w| w[1] - w[0] > 1) {
        order[stack[0] as usize..stack[1] as usize].sort_unstable();
    }
    order
}

/// Sums as profiles hold them, in the order of samples.
struct Sums {
    values: Vec<i64>,
    totals: Vec<i128>,
    saturated: u64,
}

impl Sums {
    fn of(tables: &Tables, order: &[(u32, u32, u32)]) -> Sums {
        let types = tables.types;
        let mut sums = Sums {
            values: Vec::with_capacity(order.len() * types),
            totals: vec![0; types],
            saturated: 0,
        };
        for &(_, _, i) in order {
            let own = &tables.sums[i as usize * types..][..types];
            for (sum, total) in own.iter().zip(&mut sums.totals) {
                let (value, bent) = saturated(*sum);
                *total += sum;
                sums.saturated += u64::from(bent);
                sums.values.push(value);
            }
        }
        sums
    }
}

/// What is referred to, found from the samples down.
struct Used {
    stacks: Vec<bool>,
    label_sets: Vec<bool>,
    locations: Vec<bool>,
    functions: Vec<bool>,
    mappings: Vec<bool>,
    strings: Vec<bool>,
}

impl Used {
    fn by(tables: &Tables, live: &[u32], main: u32) -> Used {
        let mut used = Used {
            stacks: vec![false; tables.stacks.ranges.len()],
            label_sets: vec![false; tables.label_sets.ranges.len()],
            locations: vec![false; tables.locations.len()],
            functions: vec![false; tables.functions.len()],
            mappings: vec![false; tables.mappings.len()],
            strings: vec![false; tables.strings.len()],
        };
        for &i in live {
            let (stack, labels) = tables.samples[i as usize];
            used.stacks[stack as usize] = true;
            used.label_sets[labels as usize] = true;
        }
        for stack in positions(&used.stacks) {
            for &location in tables.stacks.get(stack) {
                used.locations[location as usize] = true;
            }
        }
        if main != NONE {
            used.mappings[main as usize] = true;
        }
        for location in positions(&used.locations) {
            let location = &tables.locations[location as usize];
            if location.place.mapping != NONE {
                used.mappings[location.place.mapping as usize] = true;
            }
            for line in location.lines.of(&tables.lines) {
                used.functions[line.function as usize] = true;
            }
        }
        used.strings_of(tables);
        used
    }

    fn strings_of(&mut self, tables: &Tables) {
        let strings = &mut self.strings;
        let mut mark = |s: u32| strings[s as usize] = true;
        mark(0);
        for function in positions(&self.functions) {
            let f = tables.functions[function as usize];
            [f.name, f.system_name, f.file].into_iter().for_each(&mut mark);
        }
        for mapping in positions(&self.mappings) {
            let m = tables.mappings[mapping as usize];
            [m.file, m.build_id].into_iter().for_each(&mut mark);
        }
        for set in positions(&self.label_sets) {
            for l in tables.label_sets.get(set) {
                [l.key, l.text, l.unit].into_iter().for_each(&mut mark);
            }
        }
    }
}

fn positions(used: &[bool]) -> impl Iterator<Item = u32> {
    let marked = used.iter().enumerate().filter(|&(_, &used)| used);
    marked.map(|(i, _)| i as u32)
}

/// From old positions to new ones; [`NONE`] for what is not in `order`.
fn ranks(order: &[u32], len: usize) -> Vec<u32> {
    let mut ranks = vec![NONE; len];
    for (rank, &old) in order.iter().enumerate() {
        ranks[old as usize] = rank as u32;
    }
    ranks
}

fn reordered<T: Copy>(items: &[T], order: &[u32]) -> Vec<T> {
    order.iter().map(|&i| items[i as usize]).collect()
}

fn settle_strings(tables: &mut Tables, used: &Used) {
    let mut order: Vec<u32> = positions(&used.strings).collect();
    order.sort_unstable_by(|&a, &b| tables.strings.get(a).cmp(tables.strings.get(b)));
    let rank = ranks(&order, tables.strings.len());
    tables.strings.reorder(&order);
    let renew = |s: &mut u32| *s = rank[*s as usize];
    for f in &mut tables.functions {
        [&mut f.name, &mut f.system_name, &mut f.file].into_iter().for_each(renew);
    }
    for m in &mut tables.mappings {
        [&mut m.file, &mut m.build_id].into_iter().for_each(renew);
    }
    for l in &mut tables.label_sets.arena {
        [&mut l.key, &mut l.text, &mut l.unit].into_iter().for_each(renew);
    }
}

fn settle_functions(tables: &mut Tables, used: &Used) {
    let mut order: Vec<u32> = positions(&used.functions).collect();
    order.sort_unstable_by_key(|&i| {
        let f = tables.functions[i as usize];
        (f.name, f.system_name, f.file, f.start_line)
    });
    let rank = ranks(&order, tables.functions.len());
    tables.functions = reordered(&tables.functions, &order);
    for line in &mut tables.lines {
        line.function = rank[line.function as usize];
    }
}

fn settle_mappings(tables: &mut Tables, used: &Used, main: u32) {
    let mut order: Vec<u32> = positions(&used.mappings).collect();
    order.sort_unstable_by_key(|&i| {
        let m: MappingEntry = tables.mappings[i as usize];
        (i != main, m.file, m.build_id, m.offset, m.start, m.limit)
    });
    let rank = ranks(&order, tables.mappings.len());
    tables.mappings = reordered(&tables.mappings, &order);
    let places = tables.locations.iter_mut().map(|l| &mut l.place);
    for place in places.filter(|p| p.mapping != NONE) {
        place.mapping = rank[place.mapping as usize];
    }
}

fn settle_locations(tables: &mut Tables, used: &Used) {
    let mut order: Vec<u32> = positions(&used.locations).collect();
    order.sort_unstable_by(|&a, &b| {
        let (a, b) = (&tables.locations[a as usize], &tables.locations[b as usize]);
        let lines = || a.lines.of(&tables.lines).cmp(b.lines.of(&tables.lines));
        a.place.cmp(&b.place).then_with(lines)
    });
    let rank = ranks(&order, tables.locations.len());
    tables.locations = reordered(&tables.locations, &order);
    for location in &mut tables.stacks.arena {
        *location = rank[*location as usize];
    }
}

/// Stacks from the root, so that neighbours share callers (and compress well).
fn settle_stacks(tables: &mut Tables, used: &Used) -> Vec<u32> {
    let stacks = &tables.stacks;
    let mut order: Vec<(u128, u32)> =
        positions(&used.stacks).map(|i| (root_key(stacks.get(i)), i)).collect();
    order.sort_unstable_by(|&(a_key, a), &(b_key, b)| {
        a_key.cmp(&b_key).then_with(|| {
            let (a, b) = (stacks.get(a), stacks.get(b));
            a.iter().rev().cmp(b.iter().rev())
        })
    });
    let order: Vec<u32> = order.into_iter().map(|(_, i)| i).collect();
    let rank = ranks(&order, tables.stacks.ranges.len());
    tables.stacks.ranges = reordered(&tables.stacks.ranges, &order);
    rank
}

/// The part of a stack nearest the root, as a number. Its order is that of the
/// frames, but for locations so many that they count as equal.
fn root_key(stack: &[u32]) -> u128 {
    /// Six frames fit.
    const BITS: u32 = 21;
    const MOST: u32 = (1 << BITS) - 1;
    let mut roots = stack.iter().rev();
    (0..u128::BITS / BITS).fold(0, |key, _| {
        let frame = roots.next().map_or(0, |&l| (l + 1).min(MOST));
        key << BITS | u128::from(frame)
    })
}

fn settle_label_sets(tables: &mut Tables, used: &Used) -> Vec<u32> {
    let mut order: Vec<u32> = positions(&used.label_sets).collect();
    order.sort_unstable_by(|&a, &b| tables.label_sets.get(a).cmp(tables.label_sets.get(b)));
    let rank = ranks(&order, tables.label_sets.ranges.len());
    tables.label_sets.ranges = reordered(&tables.label_sets.ranges, &order);
    rank
}
