//! The profile type `threads`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use flambeau_profile::Temporality;
use flambeau_profile::proto::Profile;

use crate::profile_builder::ProfileBuilder;
use crate::recorder::Recorder;

/// Most threads looked at; a process with more has other troubles.
const MAX_THREADS: usize = 16_384;

/// Records how many threads there are, by name and by what the kernel says they do, as the
/// profile type `threads` with the sample type `threads/count`: a gauge.
///
/// A thread is two frames, its name and under it its state, such as `[sleeping]`. It has no
/// stack: to walk another thread's, that thread would have to be stopped by a signal, and
/// asleep it would say little more than its name does.
///
/// Reading takes some ten microseconds per thread. Without a `/proc` there is nothing to tell.
#[derive(Debug, Clone, Copy, Default)]
pub struct ThreadsRecorder(());

impl ThreadsRecorder {
    /// Nothing runs until a snapshot asks.
    pub const fn new() -> Self {
        Self(())
    }
}

impl Recorder for ThreadsRecorder {
    fn profile_type(&self) -> &'static str {
        "threads"
    }

    fn temporality(&self) -> BTreeMap<String, Temporality> {
        [("threads".to_owned(), Temporality::Gauge)].into()
    }

    fn collect(&self) -> Option<Profile> {
        let mut builder =
            ProfileBuilder::new(&[], &[("threads", "count")], ("threads", "count"), 1);
        for ((name, state), count) in counted(threads(Path::new("/proc/self/task"))) {
            let stack = vec![builder.named(state), builder.named(&name)];
            builder.sample(stack, &[count], &[]);
        }
        builder.finish()
    }
}

/// A thread's name and its state.
type Kind = (String, &'static str);

fn counted(threads: impl Iterator<Item = Kind>) -> BTreeMap<Kind, i64> {
    let mut counts = BTreeMap::new();
    for thread in threads {
        *counts.entry(thread).or_default() += 1;
    }
    counts
}

/// The threads in a `task` folder; one that ends meanwhile is left out.
fn threads(tasks: &Path) -> impl Iterator<Item = Kind> {
    let entries = fs::read_dir(tasks).into_iter().flatten().take(MAX_THREADS);
    entries.filter_map(|entry| {
        let stat = fs::read(entry.ok()?.path().join("stat")).ok()?;
        parse(&String::from_utf8_lossy(&stat))
    })
}

/// `id (name) S …`, as proc(5) has it. The name may itself hold parentheses.
fn parse(stat: &str) -> Option<Kind> {
    let (head, tail) = stat.rsplit_once(") ")?;
    let (_, name) = head.split_once('(')?;
    let state = match tail.chars().next()? {
        'R' => "[running]",
        'S' => "[sleeping]",
        'D' => "[in the kernel]",
        'T' | 't' => "[stopped]",
        'Z' | 'X' | 'x' => "[ended]",
        'I' => "[idle]",
        _ => "[other]",
    };
    Some((name.to_owned(), state))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_may_hold_anything() {
        let kind = |name: &str, state| Some((name.to_owned(), state));
        assert_eq!(parse("7 (tokio-runtime-w) S 1 7"), kind("tokio-runtime-w", "[sleeping]"));
        assert_eq!(parse("7 (a) R (b) D 1 7"), kind("a) R (b", "[in the kernel]"));
        assert_eq!(parse("7 () ? 1"), kind("", "[other]"));
        for broken in ["", "7", "7 (a", "7 a) ", "7 (a)", ") ("] {
            assert_eq!(parse(broken), None, "{broken}");
        }
    }

    #[test]
    fn without_a_folder_there_are_no_threads() {
        assert_eq!(threads(Path::new("/nowhere")).count(), 0);
    }
}
