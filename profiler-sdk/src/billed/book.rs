//! The account itself: numbers that grow, by slot, and what of them was told.

use super::slots::{self, Kind, MAX_PATHS, SLOTS, Slots};
use super::window::{WallTime, Window};
use crate::names;

/// All that was ever accounted, and the spans' paths it goes by.
#[derive(Default)]
pub(super) struct Book {
    sums: Vec<u64>,
    told: Vec<u64>,
    /// Since the last window, by path.
    wall: Vec<WallTime>,
    /// By path id.
    paths: Vec<Path>,
    keeper: Option<&'static dyn Slots>,
}

/// Where a name lies and how long it is.
type Name = (usize, usize);

#[derive(Default, Clone)]
struct Path {
    /// The path whose slots this one uses.
    slot: u32,
    /// Paths one further in, by where their name is: a span's name is static.
    children: Vec<(Name, u32)>,
}

impl Book {
    /// Keeps the account in `keeper` too, with what no window told yet.
    pub(super) fn keep_in(&mut self, keeper: &'static dyn Slots) {
        self.grown().for_each(|(slot, nanos)| keeper.add(slot, nanos));
        self.keeper = Some(keeper);
    }

    pub(super) fn keeper(&self) -> Option<&'static dyn Slots> {
        self.keeper
    }

    pub(super) fn add(&mut self, slot: u32, nanos: u64) {
        if nanos == 0 {
            return;
        }
        let index = slot as usize;
        if self.sums.len() <= index {
            // Both of a path at once.
            self.sums.resize((index | 1) + 1, 0);
        }
        self.sums[index] = self.sums[index].wrapping_add(nanos);
        if let Some(keeper) = self.keeper {
            keeper.add(slot, nanos);
        }
    }

    pub(super) fn add_path(&mut self, path: u32, kind: Kind, nanos: u64) {
        self.add(slots::slot(self.slot_path(path), kind), nanos);
    }

    /// What the spans of a path did.
    pub(super) fn wall(&mut self, path: u32) -> &mut WallTime {
        let index = self.slot_path(path) as usize;
        if self.wall.len() <= index {
            self.wall.resize(index + 1, WallTime::default());
        }
        &mut self.wall[index]
    }

    /// The path that goes on from `parent` with `name`; `parent` itself if there is no room.
    pub(super) fn path(&mut self, parent: u32, name: &'static str) -> u32 {
        let place = (name.as_ptr() as usize, name.len());
        let parent_path = self.known(parent);
        let cached = parent_path.children.iter().find(|(known, _)| *known == place);
        if let Some((_, id)) = cached {
            return *id;
        }
        let parent_slot = parent_path.slot;
        let id = match names::span_path(parent, name) {
            0 => parent,
            id => id,
        };
        if id != parent {
            self.known(id).slot = if id < MAX_PATHS { id } else { parent_slot };
        }
        self.known(parent).children.push((place, id));
        id
    }

    /// What was accounted since the last time, and from now on counts as told.
    pub(super) fn take(&mut self) -> Window {
        let wall = std::mem::take(&mut self.wall);
        let window = Window::of_slots(self.grown(), &wall, joined);
        self.told.clone_from(&self.sums);
        window
    }

    fn grown(&self) -> impl Iterator<Item = (u32, u64)> + '_ {
        let told = self.told.iter().copied().chain(std::iter::repeat(0));
        let grown = self.sums.iter().zip(told).map(|(sum, told)| sum.wrapping_sub(told));
        (0..SLOTS).zip(grown).filter(|(_, nanos)| *nanos > 0)
    }

    fn slot_path(&self, path: u32) -> u32 {
        self.paths.get(path as usize).map_or(0, |path| path.slot)
    }

    fn known(&mut self, id: u32) -> &mut Path {
        let index = id as usize;
        if self.paths.len() <= index {
            self.paths.resize(index + 1, Path::default());
        }
        &mut self.paths[index]
    }
}

/// A path as one text.
pub(super) fn joined(path: u32) -> String {
    names::path_of(path).join(";")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_the_same_wherever_its_name_lies() {
        let mut book = Book::default();
        let outer = book.path(0, "book-outer");
        let other: &'static str = String::from("book-outer").leak();
        assert_eq!((book.path(0, other), book.path(0, "book-outer")), (outer, outer));
        assert_eq!(joined(book.path(outer, "book-inner")), "book-outer;book-inner");
    }

    #[test]
    fn names_that_are_refused_are_their_parents() {
        let mut book = Book::default();
        let outer = book.path(0, "book-long");
        let long: &'static str = "n".repeat(names::MAX_NAME_BYTES + 1).leak();
        assert_eq!(book.path(outer, long), outer);
        book.add_path(outer, Kind::Waiting, 3);
        assert_eq!(book.take().total(), 3);
    }

    #[test]
    fn paths_beyond_the_last_slot_are_their_ancestors() {
        let mut book = Book::default();
        book.known(5).slot = 5;
        book.known(MAX_PATHS).slot = 5;
        book.add_path(MAX_PATHS, Kind::OnCpu, 7);
        let grown: Vec<_> = book.grown().collect();
        assert_eq!(grown, [(slots::slot(5, Kind::OnCpu), 7)]);
    }
}
