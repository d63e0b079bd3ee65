//! Names that samples refer to by number: label sets, span paths, threads.
//!
//! A sample's record is written by a signal handler, which can carry a number but no text. The
//! text is given its number here, in ordinary code, once, and handed to the sample log *before*
//! anybody gets the number: so a file left by a killed process explains itself.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Most label sets and, separately, most span paths of one process. Scopes of further ones run
/// as if they were not there, and are counted.
pub const MAX_NAMES: usize = 16_384;

/// Longest text of one definition, in bytes; longer ones are refused like too many.
pub const MAX_NAME_BYTES: usize = 4_096;

/// What a definition names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum DefinitionKind {
    /// `key NUL value NUL key NUL value`, sorted by key, complete: the parent is always 0.
    Labels,
    /// A span's own name; the path is that of the parent and this.
    Span,
    /// A thread's name; the id is the kernel's thread id, and a later definition replaces.
    Thread,
}

/// A number and what it stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Definition<'a> {
    pub(crate) kind: DefinitionKind,
    pub(crate) id: u32,
    pub(crate) parent: u32,
    pub(crate) text: &'a str,
}

/// Where definitions are kept beyond the process.
pub(crate) type Keeper = &'static (dyn Fn(&Definition<'_>) + Send + Sync);

#[derive(Default)]
struct Names {
    labels: Table,
    spans: Table,
    threads: HashMap<u32, String>,
    refused: u64,
    keeper: Option<Keeper>,
}

/// Texts by dense ids from 1, under a parent each.
#[derive(Default)]
struct Table {
    ids: HashMap<(u32, String), u32>,
    entries: Vec<(u32, String)>,
}

static NAMES: Mutex<Option<Names>> = Mutex::new(None);

/// The id of `parent`'s labels and these; of one key the new value holds. 0 if there is no room.
pub(crate) fn label_set(parent: u32, pairs: &[(&str, &str)]) -> u32 {
    with(|names| {
        let mut all = names.labels.get(parent).map(split).unwrap_or_default();
        for (key, value) in pairs {
            all.retain(|(known, _)| known != key);
            all.push(((*key).to_owned(), (*value).to_owned()));
        }
        all.sort();
        names.define(DefinitionKind::Labels, 0, &join(&all))
    })
}

/// The pairs of a label set, sorted by key.
pub(crate) fn labels_of(id: u32) -> Vec<(String, String)> {
    with(|names| names.labels.get(id).map(split).unwrap_or_default())
}

/// The id of the path that goes on from `parent` with `name`; 0 if there is no room.
pub(crate) fn span_path(parent: u32, name: &str) -> u32 {
    with(|names| names.define(DefinitionKind::Span, parent, name))
}

/// The names along a path, outermost first.
pub(crate) fn path_of(id: u32) -> Vec<String> {
    with(|names| {
        let mut path = Vec::new();
        let mut at = id;
        while let Some((parent, name)) = names.spans.entry(at) {
            path.push(name.clone());
            at = *parent;
        }
        path.reverse();
        path
    })
}

/// Notes the name of a thread.
pub(crate) fn name_thread(tid: u32, name: &str) {
    with(|names| {
        if names.threads.get(&tid).is_none_or(|known| known != name) {
            names.threads.insert(tid, name.to_owned());
            names.keep(&Definition {
                kind: DefinitionKind::Thread,
                id: tid,
                parent: 0,
                text: name,
            });
        }
    });
}

/// The name of a thread, if one was noted.
pub(crate) fn thread_name(tid: u32) -> Option<String> {
    with(|names| names.threads.get(&tid).cloned())
}

/// How many label sets and paths were refused for want of room.
pub(crate) fn refused() -> u64 {
    with(|names| names.refused)
}

/// Hands every definition, past and future, to `keeper`, which replaces an earlier one.
pub(crate) fn persist(keeper: Keeper) {
    with(|names| {
        names.keeper = Some(keeper);
        for (kind, table) in
            [(DefinitionKind::Labels, &names.labels), (DefinitionKind::Span, &names.spans)]
        {
            for (id, (parent, text)) in (1..).zip(&table.entries) {
                keeper(&Definition { kind, id, parent: *parent, text });
            }
        }
        for (tid, text) in &names.threads {
            keeper(&Definition { kind: DefinitionKind::Thread, id: *tid, parent: 0, text });
        }
    });
}

impl Names {
    fn define(&mut self, kind: DefinitionKind, parent: u32, text: &str) -> u32 {
        let table = match kind {
            DefinitionKind::Labels => &mut self.labels,
            DefinitionKind::Span | DefinitionKind::Thread => &mut self.spans,
        };
        if let Some(id) = table.ids.get(&(parent, text.to_owned())) {
            return *id;
        }
        if table.entries.len() >= MAX_NAMES || text.len() > MAX_NAME_BYTES {
            self.refused += 1;
            return 0;
        }
        table.entries.push((parent, text.to_owned()));
        let id = u32::try_from(table.entries.len()).unwrap_or(0);
        table.ids.insert((parent, text.to_owned()), id);
        self.keep(&Definition { kind, id, parent, text });
        id
    }

    fn keep(&self, definition: &Definition<'_>) {
        if let Some(keeper) = self.keeper {
            keeper(definition);
        }
    }
}

impl Table {
    fn entry(&self, id: u32) -> Option<&(u32, String)> {
        self.entries.get(usize::try_from(id).ok()?.checked_sub(1)?)
    }

    fn get(&self, id: u32) -> Option<&str> {
        self.entry(id).map(|(_, text)| text.as_str())
    }
}

/// Pairs of a label set's text; shared with whoever reads a dead process's log.
pub(crate) fn split(text: &str) -> Vec<(String, String)> {
    let mut parts = text.split('\0');
    std::iter::from_fn(|| Some((parts.next()?.to_owned(), parts.next()?.to_owned()))).collect()
}

/// A NUL inside a name would shift all names behind it.
fn join(pairs: &[(String, String)]) -> String {
    let clean = |text: &str| text.replace('\0', "\u{fffd}");
    let parts: Vec<_> = pairs.iter().flat_map(|(key, value)| [clean(key), clean(value)]).collect();
    parts.join("\0")
}

fn with<R>(act: impl FnOnce(&mut Names) -> R) -> R {
    let mut names: MutexGuard<'_, Option<Names>> =
        NAMES.lock().unwrap_or_else(PoisonError::into_inner);
    act(names.get_or_insert_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_merge_and_the_inner_value_holds() {
        let outer = label_set(0, &[("names-b", "1"), ("names-a", "x\0y")]);
        let inner = label_set(outer, &[("names-b", "2")]);
        assert_ne!(outer, inner);
        assert_eq!(
            label_set(0, &[("names-a", "x\0y"), ("names-b", "2")]),
            inner,
            "same set, same id"
        );
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(labels_of(inner), [pair("names-a", "x\u{fffd}y"), pair("names-b", "2")]);
        assert!(labels_of(0).is_empty() && labels_of(u32::MAX).is_empty());
    }

    #[test]
    fn paths_know_their_way() {
        let handler = span_path(0, "names-handler");
        let parse = span_path(handler, "parse");
        assert_eq!(span_path(handler, "parse"), parse);
        assert_ne!(span_path(0, "parse"), parse);
        assert_eq!(path_of(parse), ["names-handler", "parse"]);
        assert!(path_of(0).is_empty());
    }

    #[test]
    fn what_is_too_long_is_refused_and_counted() {
        let before = refused();
        assert_ne!(span_path(0, &"n".repeat(MAX_NAME_BYTES)), 0);
        assert_eq!(span_path(0, &"n".repeat(MAX_NAME_BYTES + 1)), 0);
        assert!(refused() > before);
    }

    #[test]
    fn a_tables_room_is_bounded() {
        let mut names = Names::default();
        for id in 1..=MAX_NAMES as u32 {
            assert_eq!(names.define(DefinitionKind::Span, 0, &id.to_string()), id);
        }
        assert_eq!(names.define(DefinitionKind::Span, 0, "one more"), 0);
        assert_eq!(names.define(DefinitionKind::Span, 0, "1"), 1);
        assert_eq!(names.refused, 1);
    }
}
