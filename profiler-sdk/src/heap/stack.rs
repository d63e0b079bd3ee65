//! The stack of whoever called, where the SDK knows how to walk it.

use crate::heap::stacks::MAX_DEPTH;

/// A stack, leaf first: return addresses.
pub(crate) struct Stack {
    frames: [u64; MAX_DEPTH],
    len: usize,
}

impl Stack {
    /// The stack above the caller. Allocates nothing, takes no lock.
    #[inline(always)]
    pub(crate) fn here() -> Self {
        let mut stack = Self { frames: [0; MAX_DEPTH], len: 0 };
        stack.len = walk_here(&mut stack.frames).min(MAX_DEPTH);
        stack
    }

    /// The frames but the innermost, which is that of the function that asked; without one
    /// there is nothing above it.
    pub(crate) fn callers(&self) -> &[u64] {
        self.frames.get(1..self.len).unwrap_or_default()
    }
}

#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(crate) use crate::cpu::unwind::walk_here;

/// Elsewhere stacks are empty; sums still are right.
#[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
fn walk_here(_out: &mut [u64]) -> usize {
    0
}
