//! From registers to the addresses of a stack.

use crate::cpu::bounds::{self, Bounds};
use crate::cpu::registers::{self, FRAME_RECORD, Registers, code_address, load};

/// Addresses below this are no code: the kernel maps nothing there.
const LOWEST_CODE: u64 = 4096;

/// How a walk ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// At the function that nobody called.
    Root,
    /// There are more frames than there was room for.
    Full,
    /// At a frame that could not be understood.
    Lost,
    /// At once: it is not known where this stack lies.
    NoBounds,
}

/// Return addresses of this thread, the caller of this function first; how many there are.
///
/// For ordinary code such as an allocator: allocates nothing, takes no lock, reads nothing
/// outside the thread's stack. Return addresses point behind their calls.
#[inline(never)]
pub(crate) fn walk_here(out: &mut [u64]) -> usize {
    let mut from = registers::here();
    // From this very frame to its caller, which is frame 0.
    match bounds::here().top_for(from.sp).and_then(|top| step(&mut from, top, true)) {
        Some(()) => walk(from, bounds::here(), out).0,
        None => 0,
    }
}

/// Writes the stack of `from`, its own pc first, and says how many addresses that are.
/// Async-signal-safe.
pub(crate) fn walk(from: Registers, bounds: Bounds, out: &mut [u64]) -> (usize, End) {
    let Some(first) = out.first_mut() else { return (0, End::Full) };
    *first = from.pc;
    let Some(top) = bounds.top_for(from.sp) else { return (1, End::NoBounds) };
    let mut at = from;
    let mut written = 1;
    loop {
        if step(&mut at, top, written == 1).is_none() {
            return (written, End::Lost);
        }
        if at.pc < LOWEST_CODE {
            return (written, End::Root);
        }
        let Some(slot) = out.get_mut(written) else { return (written, End::Full) };
        *slot = at.pc;
        written += 1;
    }
}

/// Goes on to the caller, if this frame tells where it is. A stack pointer only ever rises,
/// so a walk ends.
#[inline(always)]
fn step(at: &mut Registers, top: u64, _is_leaf: bool) -> Option<()> {
    let below_top = at.fp.checked_add(FRAME_RECORD).is_some_and(|end| end <= top);
    if at.fp < at.sp || !below_top || !at.fp.is_multiple_of(8) {
        return None;
    }
    // SAFETY: between the stack pointer and the top of the stack.
    let (fp, pc) = unsafe { (load(at.fp), load(at.fp + 8)) };
    *at = Registers { pc: code_address(pc), sp: at.fp + FRAME_RECORD, fp, lr: 0 };
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stack made by hand: frame records at the given words, each with the next one's
    /// address and a return address.
    fn records(stack: &mut [u64], at: &[usize], pcs: &[u64]) -> Registers {
        let base = stack.as_ptr() as u64;
        for (index, (word, pc)) in at.iter().zip(pcs).enumerate() {
            stack[*word] = at.get(index + 1).map_or(0, |next| base + 8 * *next as u64);
            stack[*word + 1] = *pc;
        }
        Registers { pc: 0x1111_0000, sp: base, fp: base + 8 * at[0] as u64, lr: 0 }
    }

    fn bounds_of(stack: &[u64]) -> Bounds {
        let range = stack.as_ptr_range();
        Bounds::new(range.start as u64, range.end as u64)
    }

    #[test]
    fn frame_records_are_followed_to_the_root() {
        let mut stack = [0; 32];
        let from = records(&mut stack, &[2, 9, 30], &[0x2222_0000, 0x3333_0000, 0]);
        let mut out = [0; 8];
        assert_eq!(walk(from, bounds_of(&stack), &mut out), (3, End::Root));
        assert_eq!(out[..3], [0x1111_0000, 0x2222_0000, 0x3333_0000]);
        assert_eq!(walk(from, bounds_of(&stack), &mut out[..2]), (2, End::Full));
        assert_eq!(walk(from, bounds_of(&stack), &mut []), (0, End::Full));
    }

    #[test]
    fn nothing_outside_of_the_stack_is_read() {
        let mut stack = [0; 32];
        let from = records(&mut stack, &[2], &[0x2222_0000]);
        let bounds = bounds_of(&stack);
        let mut out = [0; 8];
        for fp in [0, 1, 8, from.sp - 8, from.fp + 1, bounds.high(), bounds.high() - 8, u64::MAX] {
            let (written, end) = walk(Registers { fp, ..from }, bounds, &mut out);
            assert_eq!((written, end), (1, End::Lost), "{fp:#x}");
        }
        let elsewhere = Registers { sp: bounds.high(), ..from };
        assert_eq!(walk(elsewhere, bounds, &mut out), (1, End::NoBounds));
        assert_eq!(walk(from, Bounds::UNKNOWN, &mut out), (1, End::NoBounds));
    }

    #[test]
    fn a_circle_of_records_ends() {
        let mut stack = [0; 32];
        let from = records(&mut stack, &[2, 9], &[0x2222_0000, 0x3333_0000]);
        stack[9] = from.fp;
        let mut out = [0; 8];
        assert_eq!(walk(from, bounds_of(&stack), &mut out), (3, End::Lost));
    }

    #[test]
    fn any_words_on_the_stack_are_survived() {
        let mut random = 0x9e37_79b9_7f4a_7c15_u64;
        let mut stack = [0; 64];
        let base = stack.as_ptr() as u64;
        for _ in 0..2_000 {
            for word in &mut stack {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                // Half of them look like addresses in here.
                *word = if random >> 63 == 0 { base + (random >> 32) % 600 } else { random };
            }
            let from = Registers { pc: 1, sp: base, fp: stack[0], lr: stack[1] };
            let (written, _) = walk(from, bounds_of(&stack), &mut [0; 100]);
            assert!((1..=34).contains(&written), "{written}");
        }
    }
}
