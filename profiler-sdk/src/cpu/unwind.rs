//! From registers to the addresses of a stack.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicPtr};

use crate::cpu::bounds::{self, Bounds};
use crate::cpu::cfi::{self, Frame, Rule, Table, Tables};
use crate::cpu::registers::{self, FRAME_RECORD, Registers, SIGNAL_FRAME, code_address, load};

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
    /// At once: no unwinder works in this process.
    Off,
}

/// The unwind tables, once they are known. Never freed: handlers may be reading them.
static TABLES: AtomicPtr<Tables> = AtomicPtr::new(std::ptr::null_mut());

/// Whether stacks are not walked at all.
static OFF: AtomicBool = AtomicBool::new(false);

/// Walks no stack any more.
pub(crate) fn turn_off() {
    OFF.store(true, Relaxed);
}

pub(crate) fn is_off() -> bool {
    OFF.load(Relaxed)
}

/// Walks by these tables from now on.
pub(crate) fn set_tables(tables: &'static Tables) {
    TABLES.store(std::ptr::from_ref(tables).cast_mut(), Release);
}

/// The tables that walks go by.
#[inline(always)]
pub(crate) fn tables() -> Option<&'static Tables> {
    // SAFETY: null or from a reference for the life of the process.
    unsafe { TABLES.load(Acquire).as_ref() }
}

/// Return addresses of this thread, the caller of this function first; how many there are.
///
/// For ordinary code such as an allocator: allocates nothing, takes no lock, reads nothing
/// outside the thread's stack. Return addresses point behind their calls.
#[inline(always)]
pub(crate) fn walk_here(out: &mut [u64]) -> usize {
    trace_here(out).0
}

/// As [`walk_here`], and says how the walk ended.
#[inline(never)]
pub(crate) fn trace_here(out: &mut [u64]) -> (usize, End) {
    let bounds = bounds::here();
    let mut walk = Walk::new(registers::here(), tables());
    let Some(top) = bounds.top_for(walk.at.sp) else { return (0, End::NoBounds) };
    if is_off() {
        return (0, End::Off);
    }
    // From this very frame to its caller, which is frame 0.
    match walk.step(top) {
        Ok(()) => walk.write(Some(top), out),
        Err(end) => (0, end),
    }
}

/// Writes the stack of `from`, its own pc first, and says how many addresses that are.
/// Async-signal-safe.
#[inline]
pub(crate) fn walk(from: Registers, bounds: Bounds, out: &mut [u64]) -> (usize, End) {
    Walk::new(from, tables()).write(bounds.top_for(from.sp), out)
}

/// One walk up a stack. The stack pointer only ever rises, so every walk ends.
struct Walk {
    at: Registers,
    /// Whether `pc` is the very instruction; else it is the one behind a call.
    is_exact: bool,
    tables: Option<&'static Tables>,
    last: Option<&'static Table>,
}

impl Walk {
    #[inline(always)]
    fn new(at: Registers, tables: Option<&'static Tables>) -> Self {
        Self { at, is_exact: true, tables, last: None }
    }

    #[inline(always)]
    fn write(&mut self, top: Option<u64>, out: &mut [u64]) -> (usize, End) {
        let Some(first) = out.first_mut() else { return (0, End::Full) };
        *first = self.at.pc;
        if is_off() {
            return (1, End::Off);
        }
        let Some(top) = top else { return (1, End::NoBounds) };
        let mut written = 1;
        loop {
            if let Err(end) = self.step(top) {
                return (written, end);
            }
            let Some(slot) = out.get_mut(written) else { return (written, End::Full) };
            *slot = self.at.pc;
            written += 1;
        }
    }

    /// Goes on to the caller.
    #[inline(always)]
    fn step(&mut self, top: u64) -> Result<(), End> {
        let instruction = self.at.pc.wrapping_sub(u64::from(!self.is_exact));
        let rule = match self.tables {
            Some(tables) => cfi::rule(tables, instruction, &mut self.last),
            None => None,
        };
        let next = match rule {
            Some(rule) if rule.frame != Frame::Unknown => self.by_rule(rule, top)?,
            _ => self.by_frame_pointer(top).ok_or(End::Lost)?,
        };
        self.is_exact = rule.is_some_and(|rule| rule.frame == Frame::Signal);
        self.at = next;
        // Where a thread begins nothing is said at times, but the return address is empty.
        if self.at.pc < LOWEST_CODE { Err(End::Root) } else { Ok(()) }
    }

    #[inline(always)]
    fn by_rule(&self, rule: Rule, top: u64) -> Result<Registers, End> {
        let at = self.at;
        let base = match rule.frame {
            Frame::Sp => at.sp,
            Frame::Fp => at.fp,
            Frame::Root => return Err(End::Root),
            Frame::Signal => return self.by_signal(top).ok_or(End::Lost),
            Frame::Unknown => return Err(End::Lost),
        };
        let sp = base.wrapping_add_signed(rule.offset.into());
        let is_risen = sp > at.sp || (sp == at.sp && self.is_exact);
        if !is_risen || sp > top || !sp.is_multiple_of(8) {
            return Err(End::Lost);
        }
        let saved = |words: i16| self.word(sp.wrapping_add_signed(i64::from(words) * 8), top);
        let pc = match rule.ra {
            0 if self.is_exact && at.lr != 0 => at.lr,
            0 => return Err(End::Lost),
            words => code_address(saved(words).ok_or(End::Lost)?),
        };
        let fp = match rule.fp {
            0 => at.fp,
            words => saved(words).ok_or(End::Lost)?,
        };
        Ok(Registers { pc, sp, fp, lr: 0 })
    }

    /// What a signal interrupted, from what the kernel left for the return from its handler.
    fn by_signal(&self, top: u64) -> Option<Registers> {
        let [pc, sp, fp, lr] = SIGNAL_FRAME.map(|offset| self.word(self.at.sp + offset, top));
        let next = Registers { pc: pc?, sp: sp?, fp: fp?, lr: code_address(lr?) };
        (next.sp > self.at.sp && next.sp <= top && next.sp.is_multiple_of(8)).then_some(next)
    }

    /// For code without a rule. A frame pointer may be anything there, so the caller it
    /// leads to must be loaded code.
    #[inline(always)]
    fn by_frame_pointer(&mut self, top: u64) -> Option<Registers> {
        let record = self.at.fp;
        let fp = self.word(record, top)?;
        let pc = code_address(self.word(record.wrapping_add(8), top)?);
        if let Some(tables) = self.tables
            && pc >= LOWEST_CODE
        {
            tables.table(pc, &mut self.last)?;
        }
        Some(Registers { pc, sp: record + FRAME_RECORD, fp, lr: 0 })
    }

    /// A word between the stack pointer and the top of the stack; nothing else is ever read.
    #[inline(always)]
    fn word(&self, address: u64, top: u64) -> Option<u64> {
        let is_inside = self.at.sp <= address && address < top && top - address >= 8;
        if !is_inside || !address.is_multiple_of(8) {
            return None;
        }
        // SAFETY: mapped, since it lies in the live part of this thread's stack.
        Some(unsafe { load(address) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(from: Registers, bounds: Bounds, out: &mut [u64]) -> (usize, End) {
        Walk::new(from, None).write(bounds.top_for(from.sp), out)
    }

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
