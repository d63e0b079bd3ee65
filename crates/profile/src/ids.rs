//! From ids given by a profile to positions in its tables.

use hashbrown::HashMap;

/// A position that does not exist.
pub(crate) const NONE: u32 = u32::MAX;

/// Ids to positions. Most profilers number from 1, some use addresses: small
/// ids are looked up in a list, the rest in a map.
#[derive(Default)]
pub(crate) struct IdMap {
    dense: Vec<u32>,
    sparse: HashMap<u64, u32>,
}

impl IdMap {
    /// Forgets everything and makes ready for about `len` ids.
    pub(crate) fn reset(&mut self, len: usize) {
        self.dense.clear();
        self.dense.resize(len * 2 + 1, NONE);
        self.sparse.clear();
    }

    /// Remembers `id`; false if it was there already.
    #[inline]
    pub(crate) fn insert(&mut self, id: u64, position: u32) -> bool {
        if let Some(slot) = self.dense.get_mut(id as usize) {
            let fresh = *slot == NONE;
            *slot = position;
            fresh
        } else {
            self.sparse.insert(id, position).is_none()
        }
    }

    /// The position of `id`, or [`NONE`].
    #[inline(always)]
    pub(crate) fn get(&self, id: u64) -> u32 {
        match self.dense.get(id as usize) {
            Some(&position) => position,
            None => self.get_sparse(id),
        }
    }

    #[inline(never)]
    fn get_sparse(&self, id: u64) -> u32 {
        self.sparse.get(&id).copied().unwrap_or(NONE)
    }
}
