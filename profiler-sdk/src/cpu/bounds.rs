//! Where the stack of a thread lies.
//!
//! A walk up a stack may meet anything. What makes it harmless is that it reads inside the
//! thread's own stack only, between the stack pointer and the top, which is always mapped.

use std::cell::Cell;
use std::ffi::CStr;

use crate::cpu::registers::thread_pointer;

/// How far below its top the first thread's stack may reach. The kernel keeps this much free
/// of other mappings whatever the limits say.
const FIRST_STACK_REACH: u64 = 128 << 20;

/// The addresses of one thread's stack; empty if not known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Bounds {
    low: u64,
    high: u64,
}

thread_local! {
    // `None` until somebody asked. Const and without a destructor, so that it can be read by
    // a handler and by an allocator.
    static MINE: Cell<Option<Bounds>> = const { Cell::new(None) };
}

impl Bounds {
    pub(crate) const UNKNOWN: Self = Self { low: 0, high: 0 };

    pub(crate) const fn new(low: u64, high: u64) -> Self {
        Self { low, high }
    }

    /// The end of the stack that `sp` points into, if it points into this one: a thread may
    /// run on another for a while, as signal handlers and coroutines do.
    #[inline(always)]
    pub(crate) fn top_for(self, sp: u64) -> Option<u64> {
        (self.low <= sp && sp < self.high && sp.is_multiple_of(8)).then_some(self.high)
    }

    pub(crate) fn is_known(self) -> bool {
        self.high > self.low
    }

    pub(crate) fn low(self) -> u64 {
        self.low
    }

    pub(crate) fn high(self) -> u64 {
        self.high
    }
}

/// The stack of this thread. Allocates nothing, also on the first call.
#[inline]
pub(crate) fn here() -> Bounds {
    MINE.with(|mine| {
        mine.get().unwrap_or_else(|| {
            let found = find_here();
            mine.set(Some(found));
            found
        })
    })
}

/// A stack of this thread without what lies above it in the same piece of memory: the control
/// block of the thread stands at the top, and what comes after it may be somebody else's and
/// unmapped at any time. Async-signal-safe.
#[inline(always)]
pub(crate) fn cut_here(bounds: Bounds) -> Bounds {
    let pointer = thread_pointer();
    if bounds.low < pointer && pointer < bounds.high {
        return Bounds::new(bounds.low, pointer);
    }
    bounds
}

/// Tells a thread its bounds, where they are known already.
pub(crate) fn set_here(bounds: Bounds) {
    MINE.with(|mine| mine.set(Some(bounds)));
}

/// The stack of this thread as the thread library knows it. Allocates; not for the first
/// thread, of which the library knows only the limit.
#[cfg(target_env = "gnu")]
pub(crate) fn of_this_pthread() -> Bounds {
    let mut attributes = std::mem::MaybeUninit::<libc::pthread_attr_t>::uninit();
    let (mut base, mut size) = (std::ptr::null_mut(), 0);
    // SAFETY: the structure is filled before it is read, and freed after.
    unsafe {
        if libc::pthread_getattr_np(libc::pthread_self(), attributes.as_mut_ptr()) != 0 {
            return Bounds::UNKNOWN;
        }
        let known = libc::pthread_attr_getstack(attributes.as_ptr(), &mut base, &mut size) == 0;
        libc::pthread_attr_destroy(attributes.as_mut_ptr());
        if !known {
            return Bounds::UNKNOWN;
        }
    }
    let low = base as u64;
    Bounds::new(low, low.saturating_add(size as u64))
}

/// The mapping that this function's own frame lies in, cut to the stack proper.
fn find_here() -> Bounds {
    let local = 0_u64;
    let sp = &raw const local as u64;
    let mut buffer = [0; 1024];
    cut_here(mapping_of(sp, &mut buffer).unwrap_or(Bounds::UNKNOWN))
}

/// The readable mapping around `address`; of the first thread's stack also what it may still
/// grow into. Calls the kernel only.
pub(crate) fn mapping_of(address: u64, buffer: &mut [u8]) -> Option<Bounds> {
    const MAPS: &CStr = c"/proc/self/maps";
    // SAFETY: a constant path.
    let file = unsafe { libc::open(MAPS.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC) };
    if file < 0 {
        return None;
    }
    let mut lines = MapLines::new(address);
    let found = loop {
        // SAFETY: the buffer is ours and as long as said.
        let read = unsafe { libc::read(file, buffer.as_mut_ptr().cast(), buffer.len()) };
        let Some(bytes) = usize::try_from(read).ok().and_then(|read| buffer.get(..read)) else {
            break None;
        };
        if bytes.is_empty() {
            break None;
        }
        if let Some(found) = bytes.iter().find_map(|byte| lines.take(*byte)) {
            break Some(found);
        }
    };
    // SAFETY: opened above.
    unsafe { libc::close(file) };
    found
}

/// Reads `low-high perms … name` lines byte by byte.
struct MapLines {
    wanted: u64,
    low: u64,
    high: u64,
    field: usize,
    readable: bool,
    /// The last eight bytes: enough to know `[stack]`.
    tail: u64,
}

impl MapLines {
    fn new(wanted: u64) -> Self {
        Self { wanted, low: 0, high: 0, field: 0, readable: false, tail: 0 }
    }

    /// The mapping, when `byte` ended its line.
    fn take(&mut self, byte: u8) -> Option<Bounds> {
        if byte == b'\n' {
            let line = std::mem::replace(self, Self::new(self.wanted));
            return line.end();
        }
        self.tail = self.tail << 8 | u64::from(byte);
        match (self.field, byte) {
            (0, b'-') | (1, b' ') => self.field += 1,
            (0, _) => self.low = self.low << 4 | hex(byte),
            (1, _) => self.high = self.high << 4 | hex(byte),
            (2, _) => {
                self.readable = byte == b'r';
                self.field = 3;
            }
            _ => {}
        }
        None
    }

    fn end(self) -> Option<Bounds> {
        let found = Bounds::new(self.low, self.high);
        let holds = self.readable && self.low <= self.wanted && self.wanted < self.high;
        let is_first_stack = self.tail & 0x00ff_ffff_ffff_ffff == u64::from_be_bytes(*b"\0[stack]");
        if holds && is_first_stack {
            return Some(Bounds::new(self.high.saturating_sub(FIRST_STACK_REACH), self.high));
        }
        holds.then_some(found)
    }
}

fn hex(digit: u8) -> u64 {
    u64::from((digit as char).to_digit(16).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn find(maps: &str, address: u64) -> Option<Bounds> {
        let mut lines = MapLines::new(address);
        maps.bytes().find_map(|byte| lines.take(byte))
    }

    #[test]
    fn lines_are_read_as_the_kernel_writes_them() {
        let maps = "7f00-8f00 rw-p 00000000 00:00 0 \n\
                    9000-a000 ---p 00000000 00:00 0 \n\
                    7ffc00000000-7ffc00021000 rw-p 00000000 00:00 0                [stack]\n";
        assert_eq!(find(maps, 0x7eff), None);
        assert_eq!(find(maps, 0x7f00), Some(Bounds::new(0x7f00, 0x8f00)));
        assert_eq!(find(maps, 0x8f00), None);
        assert_eq!(find(maps, 0x9800), None, "a guard page is no stack");
        let top = 0x7ffc_0002_1000;
        let stack = find(maps, top - 8).unwrap();
        assert_eq!((stack.low(), stack.high()), (top - FIRST_STACK_REACH, top));
        assert_eq!(find("no maps at all\n\n--  \nffffffffffffffffffff-1 r", 5), None);
    }

    #[test]
    fn a_thread_finds_the_stack_that_its_library_gave_it() {
        let check = || {
            let local = 0_u64;
            let sp = &raw const local as u64;
            (find_here(), sp, find_here().top_for(sp).is_some())
        };
        let (bounds, _, inside) = check();
        assert!(bounds.is_known() && inside);
        #[cfg(target_env = "gnu")]
        std::thread::spawn(move || {
            let (found, sp, inside) = check();
            let known = of_this_pthread();
            assert!(inside && known.top_for(sp).is_some());
            assert!(found.high() <= known.high(), "{found:?} goes beyond {known:?}");
            assert!(found.high() + 65_536 > known.high(), "{found:?} falls short of {known:?}");
        })
        .join()
        .unwrap();
    }

    #[test]
    fn outside_of_the_bounds_there_is_no_top() {
        let bounds = Bounds::new(0x1000, 0x2000);
        assert_eq!(bounds.top_for(0x1000), Some(0x2000));
        assert_eq!(bounds.top_for(0x1ff8), Some(0x2000));
        for sp in [0, 0xff8, 0x1001, 0x2000, u64::MAX] {
            assert_eq!(bounds.top_for(sp), None, "{sp:#x}");
        }
        assert_eq!(Bounds::UNKNOWN.top_for(0), None);
    }
}
