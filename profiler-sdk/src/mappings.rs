//! The executable and the libraries mapped into this process.

#[cfg(target_os = "linux")]
use std::ffi::CStr;
use std::ops::Range;

/// One mapped piece of code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mapping {
    /// Addresses of the code in this process.
    pub(crate) code: Range<u64>,
    /// Where `code` begins in the file.
    pub(crate) offset: u64,
    /// What to subtract from an address to get the file's own virtual address.
    pub(crate) bias: u64,
    /// Path of the file; `[vdso]` for the kernel's.
    pub(crate) file: String,
    /// Lowercase hex; empty where the file has none.
    pub(crate) build_id: String,
}

/// All executable segments, the program's own first, in the loader's order.
///
/// Takes the loader's lock, so never in a signal handler.
#[cfg(target_os = "linux")]
pub(crate) fn mappings() -> Vec<Mapping> {
    let mut found: Vec<Mapping> = Vec::new();
    let into: *mut Vec<Mapping> = &mut found;
    // SAFETY: the callback gets back the pointer to `found`, which outlives the call.
    unsafe { libc::dl_iterate_phdr(Some(visit), into.cast()) };
    found
}

/// Other loaders are not asked.
#[cfg(not(target_os = "linux"))]
pub(crate) fn mappings() -> Vec<Mapping> {
    Vec::new()
}

#[cfg(target_os = "linux")]
unsafe extern "C" fn visit(
    info: *mut libc::dl_phdr_info,
    _size: libc::size_t,
    found: *mut libc::c_void,
) -> libc::c_int {
    // SAFETY: the loader hands over a valid description; `found` is ours, see `mappings`.
    let (info, found) = unsafe { (&*info, &mut *found.cast::<Vec<Mapping>>()) };
    // SAFETY: the loader's table of `dlpi_phnum` headers.
    let headers = match info.dlpi_phdr.is_null() {
        true => return 0,
        false => unsafe { std::slice::from_raw_parts(info.dlpi_phdr, info.dlpi_phnum.into()) },
    };
    let bias = info.dlpi_addr;
    let file = file_of(info, found.is_empty());
    let build_id = headers
        .iter()
        .filter(|header| header.p_type == libc::PT_NOTE)
        .find_map(|header| build_id(note_bytes(bias, header)))
        .unwrap_or_default();
    let code = |header: &&libc::Elf64_Phdr| {
        header.p_type == libc::PT_LOAD && header.p_flags & libc::PF_X != 0
    };
    for header in headers.iter().filter(code) {
        let start = bias.wrapping_add(header.p_vaddr);
        found.push(Mapping {
            code: start..start.saturating_add(header.p_memsz),
            offset: header.p_offset,
            bias,
            file: file.clone(),
            build_id: build_id.clone(),
        });
    }
    0
}

/// The loader leaves the program's own name empty.
#[cfg(target_os = "linux")]
fn file_of(info: &libc::dl_phdr_info, is_program: bool) -> String {
    // SAFETY: a C string of the loader's, or null.
    let name = match info.dlpi_name.is_null() {
        true => c"",
        false => unsafe { CStr::from_ptr(info.dlpi_name) },
    };
    let name = name.to_string_lossy();
    match () {
        () if name.starts_with("linux-vdso") => "[vdso]".to_owned(),
        () if name.is_empty() && is_program => std::env::current_exe()
            .map_or_else(|_| "[program]".to_owned(), |path| path.to_string_lossy().into_owned()),
        () => name.into_owned(),
    }
}

#[cfg(target_os = "linux")]
fn note_bytes(bias: u64, header: &libc::Elf64_Phdr) -> &'static [u8] {
    let start = bias.wrapping_add(header.p_vaddr) as usize as *const u8;
    let len = usize::try_from(header.p_memsz).unwrap_or(0);
    // SAFETY: notes are part of a loaded segment, and a library is not unloaded while the
    // loader walks its list; the slice does not leave `visit`.
    unsafe { std::slice::from_raw_parts(start, len) }
}

/// The descriptor of the note `GNU`, type 3 (`NT_GNU_BUILD_ID` of the ELF gABI's GNU
/// extension): name size, descriptor size, type, then both, each padded to four bytes.
#[cfg(target_os = "linux")]
fn build_id(mut notes: &[u8]) -> Option<String> {
    const BUILD_ID: u32 = 3;
    while let Some((head, rest)) = notes.split_first_chunk::<12>() {
        let word = |at: usize| {
            let bytes = head[at..at + 4].try_into().unwrap_or_default();
            u32::from_ne_bytes(bytes)
        };
        let (name_len, desc_len) = (word(0) as usize, word(4) as usize);
        let desc_at = name_len.next_multiple_of(4);
        let next_at = desc_at.checked_add(desc_len)?.checked_next_multiple_of(4)?;
        let desc = rest.get(desc_at..desc_at.checked_add(desc_len)?)?;
        if word(8) == BUILD_ID && rest.get(..name_len)? == b"GNU\0" {
            return Some(desc.iter().map(|byte| format!("{byte:02x}")).collect());
        }
        notes = rest.get(next_at..)?;
    }
    None
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_program_comes_first_and_holds_our_code() {
        let all = mappings();
        let here = the_program_comes_first_and_holds_our_code as *const () as u64;
        assert!(all[0].code.contains(&here), "{all:?}");
        let own = std::env::current_exe().unwrap();
        assert_eq!(all[0].file, own.to_string_lossy());
        assert!(all.iter().any(|mapping| mapping.file.contains("libc")));
        assert!(all.iter().any(|mapping| mapping.file == "[vdso]"));
    }

    #[test]
    fn build_ids_are_read_from_notes() {
        let note = |name: &[u8], typ: u32, desc: &[u8]| {
            let mut bytes = Vec::new();
            for word in [name.len() as u32, desc.len() as u32, typ] {
                bytes.extend(word.to_ne_bytes());
            }
            for part in [name, desc] {
                bytes.extend(part);
                bytes.resize(bytes.len().next_multiple_of(4), 0);
            }
            bytes
        };
        let wanted = note(b"GNU\0", 3, &[0xab, 0x01, 0x02]);
        let other = note(b"GNU\0", 1, &[1, 2, 3, 4, 5]);
        assert_eq!(build_id(&[other, wanted.clone()].concat()).as_deref(), Some("ab0102"));
        assert_eq!(build_id(&wanted[..wanted.len() - 2]), None, "cut short");
        assert_eq!(build_id(&[0xff; 64]), None, "nonsense");
        assert_eq!(build_id(&[]), None);
    }
}
