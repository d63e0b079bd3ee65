//! Where the account is kept so that it outlives the process.
//!
//! An account is a row of numbers that only grow; a window is by how much. So they can be added
//! to one by one by a process that may be killed between any two additions.

/// A place for the account beyond the process. Called under the ledger's lock, so it must not
/// open spans, and in the order of events.
pub trait Slots: Send + Sync + 'static {
    /// Adds to a number, [`SLOTS`] of them, all zero at first.
    fn add(&self, slot: u32, nanos: u64);

    /// Replaces what was said last: all up to `settled` ([`Clock::now`](super::Clock::now)) is
    /// in the slots; what comes after belongs to the paths of `owners`, equally, each as often
    /// as it has shares. 0 is the invocation itself; empty is nobody, between invocations.
    fn note_open(&self, settled: u64, owners: &[u32]);
}

/// How many numbers an account has.
pub const SLOTS: u32 = 4_096;

/// Most owners that are said to be open; further ones have no share in a killed process's last
/// moments.
pub const MAX_OWNERS: usize = 16;

/// Paths of ids below this have slots of their own; the time of others is their nearest
/// ancestor's.
pub const MAX_PATHS: u32 = (SLOTS - PATHS_AT) / 2;

/// Invocations whose account is closed.
pub(super) const INVOCATIONS: u32 = 0;
/// What was billed for them, in nanoseconds: whole milliseconds each.
pub(super) const BILLED: u32 = 1;
/// The init phase.
pub(super) const INIT: u32 = 2;
/// Between the answer and the end of the flush behind it.
pub(super) const FLUSH: u32 = 3;
/// To whole milliseconds.
pub(super) const ROUNDED: u32 = 4;

const PATHS_AT: u32 = 16;

/// What a slot of a path holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Waiting,
    OnCpu,
}

/// The slot of a path below [`MAX_PATHS`].
pub(super) fn slot(path: u32, kind: Kind) -> u32 {
    PATHS_AT + 2 * path + kind as u32
}

/// Which path's slot this is, if it is one's.
pub(super) fn path_of(slot: u32) -> Option<(u32, Kind)> {
    let from = slot.checked_sub(PATHS_AT).filter(|_| slot < SLOTS)?;
    Some((from / 2, if from.is_multiple_of(2) { Kind::Waiting } else { Kind::OnCpu }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_path_has_slots_of_its_own() {
        for path in [0, 1, MAX_PATHS - 1] {
            for kind in [Kind::Waiting, Kind::OnCpu] {
                assert_eq!(path_of(slot(path, kind)), Some((path, kind)));
            }
        }
        assert_eq!(slot(MAX_PATHS - 1, Kind::OnCpu), SLOTS - 1);
        assert_eq!((path_of(ROUNDED), path_of(SLOTS)), (None, None));
    }
}
