//! Frames and samples chosen by regular expression: pprof's options, by their
//! names and with their meaning.
//!
//! Source of the meaning: `profile/filter.go` and `internal/driver/driver_focus.go`
//! of <https://github.com/google/pprof>, accidents included (a location without
//! lines in a mapping that `show` matches is hidden; a sample without a stack
//! falls away under any of the four options by frame).

use regex::Regex;

use crate::merged::{LabelSetId, LocationId, Merged};
use crate::rebuild::{Rebuild, Source};
use crate::tables::LineEntry;
use crate::tags::TagFilter;

/// What to keep of a profile. Expressions match anywhere in a function's name,
/// its file, or the mapping's file, as pprof's do; unset ones change nothing.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Keep samples with a matching frame.
    pub focus: Option<Regex>,
    /// Drop samples with a matching frame.
    pub ignore: Option<Regex>,
    /// Drop matching frames; a sample without frames left falls away.
    pub hide: Option<Regex>,
    /// Drop frames that do not match.
    pub show: Option<Regex>,
    /// Drop frames above (towards the root of) the highest matching one, and
    /// samples without one.
    pub show_from: Option<Regex>,
    /// Keep samples with matching labels.
    pub tag_focus: Option<TagFilter>,
    /// Drop samples with matching labels.
    pub tag_ignore: Option<TagFilter>,
    /// Drop labels whose key does not match.
    pub tag_show: Option<Regex>,
    /// Drop labels whose key matches.
    pub tag_hide: Option<Regex>,
}

/// Which of a filter's expressions matched anything. Unset ones count as matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Matched {
    /// See [`Filter::focus`].
    pub focus: bool,
    /// See [`Filter::ignore`].
    pub ignore: bool,
    /// See [`Filter::hide`].
    pub hide: bool,
    /// See [`Filter::show`].
    pub show: bool,
    /// See [`Filter::show_from`].
    pub show_from: bool,
    /// See [`Filter::tag_focus`].
    pub tag_focus: bool,
    /// See [`Filter::tag_ignore`].
    pub tag_ignore: bool,
}

/// What a filter makes of one location.
struct Verdict {
    /// `Some(true)` focused, `Some(false)` ignored.
    focused: Option<bool>,
    /// Taken out of stacks.
    hidden: bool,
    /// Stacks may begin here.
    shown_from: bool,
    lines: Vec<LineEntry>,
}

impl Filter {
    fn by_frame(&self) -> bool {
        let options = [&self.focus, &self.ignore, &self.hide, &self.show];
        options.iter().any(|option| option.is_some())
    }

    fn verdict(&self, merged: &Merged, id: LocationId, seen: &mut Matched) -> Verdict {
        let location = Located::of(merged, id);
        let mut lines = location.lines.to_vec();
        let mut focused = None;
        if self.ignore.as_ref().is_some_and(|rx| location.matches(rx)) {
            seen.ignore = true;
            focused = Some(false);
        } else if self.focus.as_ref().is_none_or(|rx| location.matches(rx)) {
            seen.focus = true;
            focused = Some(true);
        }
        let mut hidden = false;
        if let Some(hide) = self.hide.as_ref().filter(|rx| location.matches(rx)) {
            seen.hide = true;
            lines.retain(|l| !location.mapping_matches(hide) && !location.line_matches(l, hide));
            hidden = lines.is_empty();
        }
        if let Some(show) = &self.show {
            lines.retain(|l| location.mapping_matches(show) || location.line_matches(l, show));
            hidden |= lines.is_empty();
            seen.show |= !lines.is_empty();
        }
        let shown_from = self.cut_to_show_from(&location, &mut lines);
        seen.show_from |= shown_from;
        Verdict { focused, hidden, shown_from, lines }
    }

    /// Drops lines above the highest that matches; tells whether one does.
    fn cut_to_show_from(&self, location: &Located<'_>, lines: &mut Vec<LineEntry>) -> bool {
        let Some(show_from) = &self.show_from else {
            return true;
        };
        if location.mapping_matches(show_from) {
            return true;
        }
        let last = lines.iter().rposition(|l| location.line_matches(l, show_from));
        if let Some(last) = last {
            lines.truncate(last + 1);
        }
        last.is_some()
    }

    /// What is left of a stack (leaf first), or nothing at all of the sample.
    fn stack(&self, stack: &[LocationId], verdicts: &[Verdict]) -> Option<Vec<LocationId>> {
        let of = |id: &LocationId| &verdicts[id.index()];
        let mut kept = stack.to_vec();
        if self.by_frame() {
            let ignored = stack.iter().any(|id| of(id).focused == Some(false));
            let focused = stack.iter().any(|id| of(id).focused == Some(true));
            if ignored || !focused {
                return None;
            }
            kept.retain(|id| !of(id).hidden);
            if kept.is_empty() {
                return None;
            }
        }
        if self.show_from.is_some() {
            let highest = kept.iter().rposition(|id| of(id).shown_from)?;
            kept.truncate(highest + 1);
        }
        Some(kept)
    }

    fn keeps_label(&self, key: &str) -> bool {
        self.tag_show.as_ref().is_none_or(|rx| rx.is_match(key))
            && !self.tag_hide.as_ref().is_some_and(|rx| rx.is_match(key))
    }
}

/// A location with what is needed to match it.
struct Located<'a> {
    merged: &'a Merged,
    lines: &'a [LineEntry],
    mapping_file: Option<&'a str>,
}

impl<'a> Located<'a> {
    fn of(merged: &'a Merged, id: LocationId) -> Self {
        let location = &merged.tables.locations[id.index()];
        let mapping = merged.tables.mappings.get(location.place.mapping as usize);
        Located {
            merged,
            lines: location.lines.of(&merged.tables.lines),
            mapping_file: mapping.map(|m| merged.tables.strings.get(m.file)),
        }
    }

    fn matches(&self, rx: &Regex) -> bool {
        self.lines.iter().any(|l| self.line_matches(l, rx)) || self.mapping_matches(rx)
    }

    fn line_matches(&self, line: &LineEntry, rx: &Regex) -> bool {
        let function = &self.merged.tables.functions[line.function as usize];
        let strings = &self.merged.tables.strings;
        rx.is_match(strings.get(function.name)) || rx.is_match(strings.get(function.file))
    }

    fn mapping_matches(&self, rx: &Regex) -> bool {
        self.mapping_file.is_some_and(|file| rx.is_match(file))
    }
}

impl Merged {
    /// This profile as `filter` has it, and which expressions matched anything.
    /// What becomes equal is added up.
    #[must_use]
    pub fn filtered(&self, filter: &Filter) -> (Merged, Matched) {
        let mut seen = Matched {
            focus: filter.focus.is_none(),
            ignore: filter.ignore.is_none(),
            hide: filter.hide.is_none(),
            show: filter.show.is_none(),
            show_from: filter.show_from.is_none(),
            tag_focus: filter.tag_focus.is_none(),
            tag_ignore: filter.tag_ignore.is_none(),
        };
        let verdicts: Vec<Verdict> = (0..self.location_count())
            .map(|i| filter.verdict(self, LocationId(i as u32), &mut seen))
            .collect();
        let units = self.label_units();
        let tags: Vec<bool> = (0..self.label_set_count())
            .map(|i| {
                let labels = || self.labels(LabelSetId(i as u32));
                let matches = |tags: &TagFilter| tags.matches(labels(), &units);
                let focused = filter.tag_focus.as_ref().is_none_or(matches);
                let ignored = filter.tag_ignore.as_ref().is_some_and(matches);
                seen.tag_focus |= focused;
                seen.tag_ignore |= ignored;
                focused && !ignored
            })
            .collect();
        (self.rebuilt(filter, &verdicts, &tags), seen)
    }

    fn rebuilt(&self, filter: &Filter, verdicts: &[Verdict], tags: &[bool]) -> Merged {
        let mut to = Rebuild::new(self.tables.types);
        let mut source = Source::new(self, &mut to);
        let mut stack = Vec::new();
        for sample in self.samples().filter(|s| tags[s.label_set().index()]) {
            let old: Vec<LocationId> = sample.locations().collect();
            let Some(kept) = filter.stack(&old, verdicts) else {
                continue;
            };
            stack.clear();
            for id in kept {
                stack.push(source.location_with(&mut to, id, &verdicts[id.index()].lines));
            }
            let keep = |key: &str| filter.keeps_label(key);
            let labels = source.label_entries(&mut to, sample.label_set(), keep);
            let labels = to.tables.label_set(&labels);
            to.add(&stack, labels, sample.values().iter().map(|&v| i128::from(v)));
        }
        to.finish(self.header.clone(), self.truncations)
    }
}
