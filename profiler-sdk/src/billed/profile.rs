//! The profile types `billed` and `wall`.

use flambeau_profile::proto::{Label, Profile, Sample};

use super::graft::Graft;
use super::share::scale;
use super::window::{PathTime, Window};

/// The root of all that happened inside invocations.
pub const INVOCATION: &str = "[invocation]";
/// Off the CPU, under the path that waited.
pub const WAITING: &str = "[waiting]";
/// On the CPU, where no sample says in which function.
pub const ON_CPU: &str = "[on cpu]";

/// The label by which a CPU sample says its path of spans: names, outermost first, with `;`
/// between them.
pub const SPAN_LABEL: &str = "span";

/// Every billed nanosecond of a window, on one stack: type `billed`, in nanoseconds, summing to
/// [`Window::total`].
///
/// | stack, root first | what it holds |
/// |---|---|
/// | `[invocation]`; spans; native frames | time on CPU: the samples of `cpu` (their last value), scaled together so that they sum to [`Window::pool`]. Their labels stay, but for [`SPAN_LABEL`] |
/// | `[invocation]`; spans; `[on cpu]` | the same, if `cpu` has no samples |
/// | `[invocation]`; spans; `[waiting]` | time off CPU |
/// | `[init]`, `[flush]`, `[extension]`, `[rounded up]` | as [`Window`]'s fields |
///
/// Where more than one thread computes, wall time is less than CPU time, and the scale makes
/// each count for its part. Multiplied by the memory size in GB and the price of a GB-second
/// for the architecture and region, seconds of this profile are dollars.
///
/// `None` for an empty window. O(samples · log samples).
pub fn billed_profile(window: &Window, cpu: Option<&Profile>) -> Option<Profile> {
    let mut graft = Graft::new(cpu, &[("billed", "nanoseconds")]);
    if !add_on_cpu(&mut graft, window.pool(), cpu) {
        for path in window.paths.iter().filter(|path| path.on_cpu > 0) {
            let stack = under(&mut graft, &[ON_CPU], &path.path);
            graft.sample(stack, Vec::new(), &[path.on_cpu]);
        }
    }
    for path in window.paths.iter().filter(|path| path.waiting > 0) {
        let stack = under(&mut graft, &[WAITING], &path.path);
        graft.sample(stack, Vec::new(), &[path.waiting]);
    }
    let Window { init, flush, rounded, extension, .. } = *window;
    let rest = [
        ("[init]", init),
        ("[flush]", flush),
        ("[extension]", extension),
        ("[rounded up]", rounded),
    ];
    for (name, nanos) in rest.into_iter().filter(|(_, nanos)| *nanos > 0) {
        let frame = graft.named(name);
        graft.sample(vec![frame], Vec::new(), &[nanos]);
    }
    graft.finish()
}

/// What a window's spans did: type `wall`, with spans/count, busy/nanoseconds and
/// idle/nanoseconds on each path of spans, under `[invocation]`.
///
/// All values are a path's own, so a flame graph adds them up: busy is time of threads in this
/// span and none further in; idle is time in which the span was open, in no thread, and had no
/// open span below. A span whose children cover it has no time of its own. What happens at
/// once is counted at once: two concurrent children, or threads, sum to more than their
/// parent took. That is what sets `wall` apart from `billed`, which shares the time out.
///
/// `None` if there were no spans.
pub fn wall_profile(window: &Window) -> Option<Profile> {
    let types = [("spans", "count"), ("busy", "nanoseconds"), ("idle", "nanoseconds")];
    let mut graft = Graft::new(None, &types);
    for PathTime { path, spans, busy, idle, .. } in &window.paths {
        if (*spans, *busy, *idle) != (0, 0, 0) {
            let stack = under(&mut graft, &[], path);
            graft.sample(stack, Vec::new(), &[*spans, *busy, *idle]);
        }
    }
    graft.finish()
}

/// Puts the CPU samples under their spans, scaled to `pool`; false if there is nothing to scale.
fn add_on_cpu(graft: &mut Graft, pool: u64, cpu: Option<&Profile>) -> bool {
    let Some(cpu) = cpu else { return false };
    let weights: Vec<u64> = cpu.sample.iter().map(weight).collect();
    if weights.iter().all(|weight| *weight == 0) {
        return false;
    }
    for (sample, nanos) in cpu.sample.iter().zip(scale(&weights, pool)) {
        if nanos > 0 {
            let (path, labels) = take_path(cpu, sample);
            let mut stack = sample.location_id.clone();
            stack.extend(under(graft, &[], path));
            graft.sample(stack, labels, &[nanos]);
        }
    }
    true
}

fn weight(sample: &Sample) -> u64 {
    sample.value.last().and_then(|value| u64::try_from(*value).ok()).unwrap_or(0)
}

/// A sample's path of spans, and its other labels.
fn take_path<'p>(cpu: &'p Profile, sample: &Sample) -> (&'p str, Vec<Label>) {
    let text = |id: i64| {
        let index = usize::try_from(id).ok();
        index.and_then(|index| cpu.string_table.get(index)).map_or("", String::as_str)
    };
    let (span, others): (Vec<_>, Vec<_>) =
        sample.label.iter().copied().partition(|label| text(label.key) == SPAN_LABEL);
    (span.first().map_or("", |label| text(label.str)), others)
}

/// Frames of a path under the invocation, leaf first, with `leaf` before them.
fn under(graft: &mut Graft, leaf: &[&str], path: &str) -> Vec<u64> {
    let spans = path.split(';').rev().filter(|name| !name.is_empty());
    let names = leaf.iter().copied().chain(spans).chain([INVOCATION]);
    names.map(|name| graft.named(name)).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::profile_builder::ProfileBuilder;

    const TYPES: [(&str, &str); 2] = [("samples", "count"), ("cpu", "nanoseconds")];

    /// Samples of one named function each: name, path of spans, nanoseconds.
    fn cpu(samples: &[(&str, &str, i64)]) -> Option<Profile> {
        let mut builder = ProfileBuilder::new(&[], &TYPES, TYPES[1], 1);
        for (function, path, nanos) in samples {
            let stack = vec![builder.named(function)];
            let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
            let mut labels = vec![pair("tenant", "a")];
            labels.extend((!path.is_empty()).then(|| pair(SPAN_LABEL, path)));
            builder.sample(stack, &[1, *nanos], &labels);
        }
        builder.finish()
    }

    fn window() -> Window {
        let time = |path: &str, waiting, on_cpu| PathTime {
            path: path.to_owned(),
            waiting,
            on_cpu,
            ..PathTime::default()
        };
        let paths = vec![time("", 0, 1), time("a;b", 30, 99)];
        Window { paths, init: 7, flush: 5, rounded: 3, ..Window::default() }
    }

    /// Stacks root first, with values and labels.
    fn told(profile: &Profile) -> Vec<(String, i64, Vec<String>)> {
        let text = |id: i64| profile.string_table[id as usize].clone();
        let name = |id: &u64| {
            let location = profile.location.iter().find(|it| it.id == *id).unwrap();
            let function = location.line[0].function_id;
            text(profile.function.iter().find(|it| it.id == function).unwrap().name)
        };
        let samples = profile.sample.iter().map(|sample| {
            let stack: Vec<_> = sample.location_id.iter().rev().map(name).collect();
            let labels = sample.label.iter().map(|label| text(label.key) + "=" + &text(label.str));
            (stack.join(";"), sample.value[0], labels.collect())
        });
        samples.collect()
    }

    fn row(stack: &str, nanos: i64, labels: &[&str]) -> (String, i64, Vec<String>) {
        (stack.to_owned(), nanos, labels.iter().map(|label| (*label).to_owned()).collect())
    }

    #[test]
    fn samples_stand_under_their_spans_and_sum_to_the_pool() {
        let cpu = cpu(&[("f", "a;b", 10), ("g", "a;b", 10), ("f", "", 10), ("h", "", 0)]);
        let profile = billed_profile(&window(), cpu.as_ref()).unwrap();
        let wanted = [
            row("[invocation];a;b;f", 34, &["tenant=a"]),
            row("[invocation];a;b;g", 33, &["tenant=a"]),
            row("[invocation];f", 33, &["tenant=a"]),
            row("[invocation];a;b;[waiting]", 30, &[]),
            row("[init]", 7, &[]),
            row("[flush]", 5, &[]),
            row("[rounded up]", 3, &[]),
        ];
        assert_eq!(told(&profile), wanted);
        assert_eq!(wanted.iter().map(|row| row.1).sum::<i64>(), window().total() as i64);
        let typ = &profile.sample_type[..];
        let text = |id: i64| profile.string_table[id as usize].as_str();
        assert_eq!(
            (typ.len(), text(typ[0].r#type), text(typ[0].unit)),
            (1, "billed", "nanoseconds")
        );
        assert_eq!(profile.default_sample_type, typ[0].r#type);
    }

    #[test]
    fn without_samples_the_pool_stands_under_the_paths_that_were_entered() {
        let idle = cpu(&[("f", "a", 0), ("f", "a", -4)]);
        for cpu in [None, idle.as_ref()] {
            let told = told(&billed_profile(&window(), cpu).unwrap());
            assert_eq!(told[0], row("[invocation];[on cpu]", 1, &[]));
            assert_eq!(told[1], row("[invocation];a;b;[on cpu]", 99, &[]));
            assert_eq!(told.iter().map(|row| row.1).sum::<i64>(), window().total() as i64);
        }
    }

    #[test]
    fn a_profile_that_points_nowhere_does_no_harm() {
        let mut cpu = cpu(&[("f", "a", 1)]).unwrap();
        cpu.sample[0].label.iter_mut().for_each(|label| label.str = i64::MIN);
        cpu.sample.push(Sample { location_id: vec![77], value: Vec::new(), label: Vec::new() });
        let profile = billed_profile(&window(), Some(&cpu)).unwrap();
        let sum: i64 = profile.sample.iter().map(|sample| sample.value[0]).sum();
        assert_eq!(sum, window().total() as i64);
    }

    #[test]
    fn nothing_is_no_profile() {
        assert_eq!(billed_profile(&Window::default(), None), None);
        assert_eq!(wall_profile(&window()), None, "no span did anything");
    }

    #[test]
    fn spans_of_one_path_are_one_sample() {
        let mut window = window();
        (window.paths[1].spans, window.paths[1].busy, window.paths[1].idle) = (3, 20, 40);
        let profile = wall_profile(&window).unwrap();
        assert_eq!(profile.sample[0].value, [3, 20, 40]);
        assert_eq!(told(&profile)[0].0, "[invocation];a;b");
    }
}
