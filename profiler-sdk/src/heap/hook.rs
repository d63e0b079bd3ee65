//! What runs at every allocation and every free.
//!
//! It may run anywhere: before `main`, while a thread is being set up or torn down, with any
//! lock held. So it allocates nothing and frees nothing, its thread-local state is plain data
//! that needs neither set-up nor tear-down, and it never panics. Three guards beside that:
//!
//! * a thread that is inside already (the books are being kept) passes by: if ever something
//!   in there allocated, a sample were missing, and no thread would wait for itself;
//! * a forked child passes by: the lock it inherited may be held by a thread it has not got;
//! * `errno` is as it was, since callers may read it after an allocation.

use std::cell::Cell;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU32};

use crate::context;
use crate::heap::books::{self, Block, LIVE, PERIOD};
use crate::heap::draw::Draw;
use crate::heap::stack::Stack;

/// Whether allocations are counted.
static IS_ON: AtomicBool = AtomicBool::new(false);

/// The process whose allocations these are.
static OWNER: AtomicU32 = AtomicU32::new(0);

/// What a thread needs to decide.
struct Local {
    /// Bytes this thread still allocates before the next sample.
    left: Cell<i64>,
    draw: Draw,
    is_inside: Cell<bool>,
}

thread_local! {
    // Const and without a destructor: there is no moment in a thread's life when it is not
    // there. Zero bytes left at first, so that the first allocation draws where to sample.
    static LOCAL: Local =
        const { Local { left: Cell::new(0), draw: Draw::new(), is_inside: Cell::new(false) } };
}

/// Whether allocations are counted: all there is to do when they are not.
#[inline(always)]
pub(crate) fn is_on() -> bool {
    IS_ON.load(Relaxed)
}

/// Begins to count; the books are open.
pub(crate) fn switch_on() {
    OWNER.store(std::process::id(), Relaxed);
    IS_ON.store(true, Relaxed);
}

/// Counts no more.
pub(crate) fn switch_off() {
    IS_ON.store(false, Relaxed);
}

/// Something that differs whenever this thread has allocated meanwhile.
pub(crate) fn progress() -> (i64, u64) {
    LOCAL.with(|local| (local.left.get(), local.draw.state()))
}

/// Counts a block that was just allocated, before anybody else knows its address.
#[inline(always)]
pub(crate) fn allocated(address: *mut u8, size: usize) {
    let is_due = LOCAL.with(|local| {
        let left = local.left.get().wrapping_sub(size as i64);
        local.left.set(left);
        left < 0
    });
    if is_due && !address.is_null() {
        due(Block { address: address as u64, size: size as u64 });
    }
}

/// Counts a block that is about to be freed, while nobody else can have its address. True if
/// it was a sampled one.
#[inline(always)]
pub(crate) fn freed(address: *mut u8) -> bool {
    LIVE.may_hold(address as u64) && maybe_freed(address as u64)
}

/// Takes back what [`freed`] said: the block was to be moved, and could not.
#[cold]
#[inline(never)]
pub(crate) fn survived(address: *mut u8, size: usize) {
    let stack = Stack::here();
    let block = Block { address: address as u64, size: size as u64 };
    guarded(|| books::survived(block, stack.callers(), context::current()));
}

#[cold]
#[inline(never)]
fn maybe_freed(address: u64) -> bool {
    LIVE.find(address).is_some() && guarded(|| books::freed(address)).unwrap_or(false)
}

/// The thread has allocated as much as it was to before the next sample.
#[cold]
#[inline(never)]
fn due(block: Block) {
    if LOCAL.with(|local| local.is_before_first(block.size)) {
        return;
    }
    let stack = Stack::here();
    LOCAL.with(Local::draw_next);
    guarded(|| books::allocated(block, stack.callers(), context::current()));
}

impl Local {
    /// On the thread's first allocation nothing has been drawn yet; it may well be sampled.
    fn is_before_first(&self, size: u64) -> bool {
        if self.draw.is_used() {
            return false;
        }
        self.draw_next();
        self.left.set(self.left.get().wrapping_sub_unsigned(size));
        self.left.get() >= 0
    }

    /// Where the next sample is. It does not depend on how far the last block went beyond its
    /// own: of an exponential distribution what remains is distributed like the whole.
    fn draw_next(&self) {
        self.left.set(self.draw.exponential(PERIOD as f64) as i64);
    }
}

/// Runs what must not run within itself, nor in a forked child.
fn guarded<R>(act: impl FnOnce() -> R) -> Option<R> {
    let _errno = Errno::kept();
    LOCAL.with(|local| {
        let is_ours = is_on() && std::process::id() == OWNER.load(Relaxed);
        if !is_ours || local.is_inside.replace(true) {
            return None;
        }
        let result = act();
        local.is_inside.set(false);
        Some(result)
    })
}

/// Puts the thread's error number back.
struct Errno(i32);

impl Errno {
    fn kept() -> Self {
        Self(errno().map_or(0, |errno| errno.get()))
    }
}

impl Drop for Errno {
    fn drop(&mut self) {
        if let Some(errno) = errno() {
            errno.set(self.0);
        }
    }
}

fn errno() -> Option<&'static Cell<i32>> {
    #[cfg(target_os = "linux")]
    // SAFETY: the thread's own variable, which lives as long as the thread and is accessed by
    // it alone; a `Cell` has the same representation.
    return Some(unsafe { &*libc::__errno_location().cast::<Cell<i32>>() });
    #[cfg(not(target_os = "linux"))]
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errno_is_as_it_was() {
        let errno = errno().expect("linux");
        errno.set(7);
        {
            let _kept = Errno::kept();
            errno.set(9);
        }
        assert_eq!(errno.get(), 7);
    }
}
