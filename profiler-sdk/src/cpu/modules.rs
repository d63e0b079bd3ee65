//! The executable and the libraries in this process, and where their unwind tables are.

use std::ffi::{CStr, CString};
use std::ops::Range;

/// A file loaded into this process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Module {
    /// All of its code; empty if it has none.
    pub(crate) code: Range<u64>,
    /// `.eh_frame_hdr`; empty if there is none.
    pub(crate) header: Range<u64>,
    /// Readable segments that cannot be written, and whether they hold no code.
    pub(crate) constant: Vec<(Range<u64>, bool)>,
    /// Empty for the executable.
    pub(crate) name: CString,
}

/// How many modules were loaded and unloaded ever, which tells whether there is news.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Generation {
    loaded: u64,
    unloaded: u64,
}

#[derive(Default)]
struct Found {
    modules: Vec<Module>,
    generation: Generation,
    /// Whether only the generation is asked for.
    only_generation: bool,
}

/// What is loaded now. Takes the loader's lock.
pub(crate) fn loaded() -> (Vec<Module>, Generation) {
    let found = visit(Found::default());
    (found.modules, found.generation)
}

/// Whether [`loaded`] would say something new, asked cheaply.
pub(crate) fn generation() -> Generation {
    visit(Found { only_generation: true, ..Found::default() }).generation
}

fn visit(mut found: Found) -> Found {
    let into: *mut Found = &mut found;
    // SAFETY: the callback gets back the pointer to `found`, which outlives the call.
    unsafe { libc::dl_iterate_phdr(Some(take), into.cast()) };
    found
}

unsafe extern "C" fn take(
    info: *mut libc::dl_phdr_info,
    _size: libc::size_t,
    found: *mut libc::c_void,
) -> libc::c_int {
    // SAFETY: the loader's description is valid during the call; `found` is ours, see `visit`.
    let (info, found) = unsafe { (&*info, &mut *found.cast::<Found>()) };
    found.generation = Generation { loaded: info.dlpi_adds, unloaded: info.dlpi_subs };
    if found.only_generation {
        return 1;
    }
    if !info.dlpi_phdr.is_null() {
        found.modules.push(describe(info));
    }
    0
}

fn describe(info: &libc::dl_phdr_info) -> Module {
    // SAFETY: the loader's table of `dlpi_phnum` headers.
    let headers = unsafe { std::slice::from_raw_parts(info.dlpi_phdr, info.dlpi_phnum.into()) };
    let range = |header: &libc::Elf64_Phdr| {
        let start = info.dlpi_addr.wrapping_add(header.p_vaddr);
        start..start.saturating_add(header.p_memsz)
    };
    let is_code = |header: &libc::Elf64_Phdr| header.p_flags & libc::PF_X != 0;
    let segments = headers.iter().filter(|header| header.p_type == libc::PT_LOAD);
    let code = segments.clone().filter(|header| is_code(header)).map(range);
    let code = code.reduce(|all, next| all.start.min(next.start)..all.end.max(next.end));
    let is_constant =
        |header: &&libc::Elf64_Phdr| header.p_flags & (libc::PF_R | libc::PF_W) == libc::PF_R;
    let constant = segments.filter(is_constant).map(|header| (range(header), !is_code(header)));
    let header = headers.iter().find(|header| header.p_type == libc::PT_GNU_EH_FRAME).map(range);
    // SAFETY: a C string of the loader's, or null.
    let name = match info.dlpi_name.is_null() {
        true => c"",
        false => unsafe { CStr::from_ptr(info.dlpi_name) },
    };
    Module {
        code: code.unwrap_or_default(),
        header: header.unwrap_or_default(),
        constant: constant.collect(),
        name: name.to_owned(),
    }
}

impl Module {
    /// The rest of the constant segment that `address` lies in, from there on.
    pub(crate) fn constant_from(&self, address: u64) -> Option<Range<u64>> {
        let around = self.constant.iter().find(|(range, _)| range.contains(&address));
        around.map(|(range, _)| address..range.end)
    }

    /// Whether the segment around `address` holds nothing but constants.
    pub(crate) fn is_pure_data(&self, address: u64) -> bool {
        self.constant.iter().any(|(range, pure)| *pure && range.contains(&address))
    }

    /// Whether this is the code that the kernel puts into every process.
    pub(crate) fn is_kernels(&self) -> bool {
        self.name.to_bytes().starts_with(b"linux-vdso")
    }

    /// Keeps the module loaded until the guard goes. `None` if it has gone already.
    pub(crate) fn pin(&self) -> Option<Pin> {
        if self.name.is_empty() || self.is_kernels() {
            return Some(Pin(None));
        }
        // SAFETY: a name the loader gave; nothing new is loaded.
        let handle =
            unsafe { libc::dlopen(self.name.as_ptr(), libc::RTLD_NOLOAD | libc::RTLD_LAZY) };
        std::ptr::NonNull::new(handle).map(|handle| Pin(Some(handle)))
    }
}

/// A module that stays loaded.
pub(crate) struct Pin(Option<std::ptr::NonNull<libc::c_void>>);

impl Drop for Pin {
    fn drop(&mut self) {
        if let Some(handle) = self.0 {
            // SAFETY: opened in `pin`, once.
            unsafe { libc::dlclose(handle.as_ptr()) };
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn this_function_lies_in_the_program() {
        let (modules, first) = loaded();
        let here = this_function_lies_in_the_program as fn() as usize as u64;
        let program = modules.iter().find(|module| module.code.contains(&here)).unwrap();
        assert!(program.name.is_empty() && program.pin().is_some());
        assert!(program.constant_from(program.header.start).unwrap().end >= program.header.end);
        assert_eq!(generation(), first);
    }

    #[test]
    fn a_module_that_is_gone_cannot_be_pinned() {
        let (modules, _) = loaded();
        let libc = modules.iter().find(|module| module.name.to_bytes().ends_with(b"libc.so.6"));
        if let Some(libc) = libc {
            assert!(libc.pin().is_some());
            let gone = Module { name: c"/no/such/library.so".into(), ..libc.clone() };
            assert!(gone.pin().is_none());
        }
    }
}
