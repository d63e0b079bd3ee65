//! Does unwinding work in this process?
//!
//! A known chain of calls through the C library's `qsort`, which keeps no frame pointers, must
//! be found whole, from the callback to the thread's root. If it is not, no stack is trusted.

use std::cell::RefCell;
use std::hint::black_box;

use libc::{c_int, c_void};

use crate::cpu::build_cfi::function_start;
use crate::cpu::modules::Module;
use crate::cpu::unwind::{End, trace_here};

/// Far more than the chain has.
const ROOM: usize = 64;

/// What the callback saw.
struct Seen {
    frames: [u64; ROOM],
    depth: usize,
    end: End,
}

/// Whether the chain is found whole.
pub(crate) fn passes(modules: &[Module]) -> bool {
    let seen = outer();
    let start = |pc: &u64| {
        let call = pc.wrapping_sub(1);
        let module = modules.iter().find(|module| module.code.contains(&call));
        module.and_then(|module| function_start(module, call)).unwrap_or(0)
    };
    let starts: Vec<_> = seen.frames.iter().take(seen.depth).map(start).collect();
    let [compare, inner, outer] =
        [compare as *const (), inner as *const (), outer as *const ()].map(|entry| entry as u64);
    let at = |function: u64| starts.iter().position(|start| *start == function);
    let sorting = at(inner).unwrap_or(0);
    // Between the callback and `inner` there is the C library's part, of one or more frames.
    seen.end == End::Root
        && at(compare) == Some(0)
        && sorting >= 2
        && at(outer) == Some(sorting + 1)
        && !starts.contains(&0)
}

#[inline(never)]
fn outer() -> Seen {
    let seen = RefCell::new(Seen { frames: [0; ROOM], depth: 0, end: End::Lost });
    inner(&seen);
    black_box(&seen);
    seen.into_inner()
}

#[inline(never)]
fn inner(seen: &RefCell<Seen>) {
    let mut elements = [std::ptr::from_ref(seen); 2];
    // SAFETY: two elements of a pointer's size, of the type that `compare` expects.
    unsafe {
        libc::qsort(elements.as_mut_ptr().cast(), 2, size_of::<usize>(), Some(compare));
    }
    black_box(&elements);
}

unsafe extern "C" fn compare(one: *const c_void, _other: *const c_void) -> c_int {
    // SAFETY: an element of the array in `inner`.
    let seen = unsafe { &**one.cast::<*const RefCell<Seen>>() };
    let mut frames = [0; ROOM];
    let (depth, end) = trace_here(&mut frames);
    *seen.borrow_mut() = Seen { frames, depth, end };
    black_box(0)
}
