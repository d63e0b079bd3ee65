//! Distinct stacks and what was summed up on each, in memory taken beforehand.
//!
//! Written to from inside an allocator: apart from [`Stacks::new`] nothing here allocates,
//! frees or panics.

use crate::context::Context;

/// Most distinct stacks kept at a time; further ones go to [`OVERFLOW`].
pub(crate) const MAX_STACKS: usize = 4_096;

/// Most frames of one stack; those nearest to the leaf are kept.
pub(crate) const MAX_DEPTH: usize = 128;

/// Most frames of all stacks together: 1 MiB.
pub(crate) const MAX_FRAMES: usize = 32 * MAX_STACKS;

/// The stack of all that found no room.
pub(crate) const OVERFLOW: u16 = 0;

/// Places in the index: twice as many as stacks, so that chains stay short.
const PLACES: usize = 2 * MAX_STACKS;

/// Numbered stacks.
pub(crate) struct Stacks<S> {
    entries: Vec<Entry<S>>,
    frames: Vec<u64>,
    /// Numbers by hash, probed linearly; 0 is nobody.
    index: Vec<u16>,
    /// New numbers by old ones, while some are thrown out.
    moved: Vec<u16>,
}

/// A stack: addresses, what it belongs to, and sums.
#[derive(Debug, Clone, Copy)]
struct Entry<S> {
    hash: u64,
    start: u32,
    len: u32,
    context: Context,
    sums: S,
}

impl<S: Copy + Default> Stacks<S> {
    /// Takes the memory, which becomes resident as it is used.
    pub(crate) fn new() -> Self {
        let mut stacks = Self {
            entries: Vec::with_capacity(MAX_STACKS),
            frames: Vec::with_capacity(MAX_FRAMES),
            index: vec![0; PLACES],
            moved: vec![0; MAX_STACKS],
        };
        stacks.clear();
        stacks
    }

    /// The number of a stack: a new one, if it is new, and [`OVERFLOW`] without room.
    pub(crate) fn number(&mut self, frames: &[u64], context: Context) -> u16 {
        let hash = hash(frames, context);
        let mut place = place(hash);
        for _ in 0..PLACES {
            match self.index.get(place).copied().unwrap_or(OVERFLOW) {
                OVERFLOW => return self.add(place, hash, frames, context),
                number if self.is(number, hash, frames, context) => return number,
                _ => place = (place + 1) % PLACES,
            }
        }
        OVERFLOW
    }

    /// The sums of a stack.
    pub(crate) fn sums(&mut self, number: u16) -> Option<&mut S> {
        self.entries.get_mut(usize::from(number)).map(|entry| &mut entry.sums)
    }

    /// All sums.
    pub(crate) fn all_sums(&mut self) -> impl Iterator<Item = &mut S> {
        self.entries.iter_mut().map(|entry| &mut entry.sums)
    }

    /// Whether more than half of the room is taken.
    pub(crate) fn is_filling(&self) -> bool {
        self.entries.len() > MAX_STACKS / 2 || self.frames.len() > MAX_FRAMES / 2
    }

    /// Forgets all stacks.
    pub(crate) fn clear(&mut self) {
        self.entries.clear();
        self.frames.clear();
        self.index.fill(0);
        // The overflow is never looked up by its hash.
        let (context, sums) = (Context::default(), S::default());
        self.entries.push(Entry { hash: 0, start: 0, len: 0, context, sums });
    }

    /// Throws out stacks whose sums are not worth keeping. The others get other numbers: those
    /// given back, by the old ones.
    pub(crate) fn retain(&mut self, is_kept: impl Fn(&S) -> bool) -> &[u16] {
        self.index.fill(0);
        let (mut kept, mut end) = (0, 0);
        for old in 0..self.entries.len() {
            let Some(mut entry) = self.entries.get(old).copied() else { break };
            let is_kept = old == usize::from(OVERFLOW) || is_kept(&entry.sums);
            self.moved[old] = if is_kept { kept as u16 } else { OVERFLOW };
            if !is_kept {
                continue;
            }
            let frames = entry.start as usize..entry.start as usize + entry.len as usize;
            entry.start = end as u32;
            end += frames.len();
            // Entries lie in the order of their frames, so these only ever move down.
            self.frames.copy_within(frames, entry.start as usize);
            self.entries[kept] = entry;
            if old != usize::from(OVERFLOW) {
                self.find_place(entry.hash, kept as u16);
            }
            kept += 1;
        }
        self.entries.truncate(kept);
        self.frames.truncate(end);
        &self.moved
    }

    /// Copies everything, if there is room for it without asking for memory.
    pub(crate) fn copy_to(&self, copy: &mut Copied<S>) -> Result<(), Room> {
        let (entries, frames) = (self.entries.len(), self.frames.len());
        if copy.entries.capacity() < entries || copy.frames.capacity() < frames {
            return Err(Room(entries, frames));
        }
        copy.entries.clear();
        copy.entries.extend_from_slice(&self.entries);
        copy.frames.clear();
        copy.frames.extend_from_slice(&self.frames);
        Ok(())
    }

    fn find_place(&mut self, hash: u64, number: u16) {
        let mut place = place(hash);
        for _ in 0..PLACES {
            match self.index.get_mut(place) {
                Some(free) if *free == 0 => {
                    *free = number;
                    return;
                }
                _ => place = (place + 1) % PLACES,
            }
        }
    }

    fn is(&self, number: u16, hash: u64, frames: &[u64], context: Context) -> bool {
        let Some(entry) = self.entries.get(usize::from(number)) else { return false };
        entry.hash == hash && entry.context == context && frames_of(entry, &self.frames) == frames
    }

    fn add(&mut self, place: usize, hash: u64, frames: &[u64], context: Context) -> u16 {
        let (number, start) = (self.entries.len(), self.frames.len());
        if number >= MAX_STACKS || start + frames.len() > MAX_FRAMES {
            return OVERFLOW;
        }
        // Within the capacity of `new`.
        self.frames.extend_from_slice(frames);
        let (start, len) = (start as u32, frames.len() as u32);
        self.entries.push(Entry { hash, start, len, context, sums: S::default() });
        if let Some(free) = self.index.get_mut(place) {
            *free = number as u16;
        }
        number as u16
    }
}

/// What [`Stacks`] held at one moment, to be read at leisure.
pub(crate) struct Copied<S> {
    entries: Vec<Entry<S>>,
    frames: Vec<u64>,
}

/// How much room a copy takes: stacks, and frames.
pub(crate) struct Room(usize, usize);

impl Room {
    pub(crate) const NONE: Self = Self(0, 0);
}

impl<S: Copy> Copied<S> {
    /// Takes the room, and a little more for what comes meanwhile.
    pub(crate) fn with_room(Room(entries, frames): Room) -> Self {
        Self {
            entries: Vec::with_capacity(entries + entries / 4 + 64),
            frames: Vec::with_capacity(frames + frames / 4 + 1_024),
        }
    }

    /// Frames, what they belong to, and sums; without frames what found no room.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u64], Context, &S)> {
        self.entries
            .iter()
            .map(|entry| (frames_of(entry, &self.frames), entry.context, &entry.sums))
    }
}

fn frames_of<'a, S>(entry: &Entry<S>, frames: &'a [u64]) -> &'a [u64] {
    let start = entry.start as usize;
    frames.get(start..start + entry.len as usize).unwrap_or_default()
}

fn place(hash: u64) -> usize {
    (hash >> 32) as usize % PLACES
}

fn hash(frames: &[u64], Context { labels, span }: Context) -> u64 {
    let first = u64::from(span) << 32 | u64::from(labels);
    frames.iter().fold(first, |hash, frame| {
        (hash.rotate_left(5) ^ frame).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const NONE: Context = Context { labels: 0, span: 0 };
    const SOME: Context = Context { labels: 7, span: 0 };

    fn copied(stacks: &Stacks<u64>) -> Vec<(Vec<u64>, Context, u64)> {
        let mut copy = Copied::with_room(Room(0, 0));
        while let Err(room) = stacks.copy_to(&mut copy) {
            copy = Copied::with_room(room);
        }
        copy.iter().map(|(frames, context, sums)| (frames.to_vec(), context, *sums)).collect()
    }

    #[test]
    fn equal_stacks_have_one_number_and_contexts_make_a_difference() {
        let mut stacks = Stacks::<u64>::new();
        let one = stacks.number(&[1, 2, 3], NONE);
        assert_ne!(one, OVERFLOW);
        assert_eq!(stacks.number(&[1, 2, 3], NONE), one);
        let others = [stacks.number(&[1, 2], NONE), stacks.number(&[1, 2, 3], SOME)];
        assert!(!others.contains(&one) && others[0] != others[1]);
        *stacks.sums(others[1]).unwrap() += 5;
        let all = copied(&stacks);
        assert_eq!(all.len(), 4);
        assert!(all.contains(&(vec![1, 2, 3], SOME, 5)) && all.contains(&(vec![], NONE, 0)));
    }

    #[test]
    fn further_stacks_overflow_and_room_comes_back() {
        let mut stacks = Stacks::<u64>::new();
        for stack in 1..MAX_STACKS as u64 {
            assert_ne!(stacks.number(&[stack], NONE), OVERFLOW);
        }
        assert_eq!(stacks.number(&[0], NONE), OVERFLOW);
        assert_ne!(stacks.number(&[1], NONE), OVERFLOW, "a known one");
        assert!(stacks.is_filling());
        let last = stacks.number(&[MAX_STACKS as u64 - 1], NONE);
        *stacks.sums(last).unwrap() = 9;
        let last = stacks.retain(|sums| *sums > 0)[usize::from(last)];
        assert!(!stacks.is_filling());
        assert_eq!(stacks.number(&[MAX_STACKS as u64 - 1], NONE), last);
        assert_eq!(stacks.sums(last), Some(&mut 9));
        assert_ne!(stacks.number(&[0], NONE), OVERFLOW);
    }

    #[test]
    fn frames_have_a_limit_of_their_own() {
        let mut stacks = Stacks::<u64>::new();
        let mut deep = [0; MAX_DEPTH];
        for stack in 0..(MAX_FRAMES / MAX_DEPTH) as u64 {
            deep[0] = stack;
            assert_ne!(stacks.number(&deep, NONE), OVERFLOW);
        }
        deep[0] = u64::MAX;
        assert_eq!(stacks.number(&deep, NONE), OVERFLOW);
        assert_eq!(stacks.number(&[1], NONE), OVERFLOW);
    }

    #[test]
    fn what_is_kept_keeps_its_frames_and_sums() {
        let mut stacks = Stacks::<u64>::new();
        let numbers: Vec<_> = (1..200_u64)
            .map(|stack| {
                let frames: Vec<_> = (0..stack % 7 + 1).map(|depth| stack * 100 + depth).collect();
                let number = stacks.number(&frames, NONE);
                *stacks.sums(number).unwrap() = stack;
                number
            })
            .collect();
        let before = copied(&stacks);
        let moved = stacks.retain(|sums| sums % 3 == 0).to_vec();
        let kept: Vec<_> = before.iter().filter(|(.., sums)| sums % 3 == 0).cloned().collect();
        assert_eq!(copied(&stacks), kept);
        for (stack, old) in (1..).zip(numbers) {
            let new = moved[usize::from(old)];
            let sums = stacks.sums(new).copied().unwrap();
            assert_eq!(sums, if stack % 3 == 0 { stack } else { 0 });
        }
    }
}
