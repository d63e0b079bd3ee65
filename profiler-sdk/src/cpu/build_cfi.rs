//! Runs the unwind programs of loaded code ahead of time.
//!
//! Format: the Linux Standard Base, "Exception Frames", and DWARF 5, section 6.4. Parsing is
//! gimli's. The search table of `.eh_frame_hdr` gives the functions in the order of their
//! addresses.

use std::ops::Range;

use gimli::{
    BaseAddresses, CfaRule, EhFrame, EhFrameHdr, EndianSlice, FrameDescriptionEntry, NativeEndian,
    ParsedEhFrameHdr, Pointer, RegisterRule, UnwindContext, UnwindSection,
};

use crate::cpu::cfi::{Frame, Rule, Table, TableBuilder};
use crate::cpu::modules::Module;
use crate::cpu::registers::{DWARF_FP, DWARF_RA, DWARF_SP, EXPRESSION_RULE};

/// Most rows of all tables: 4 MiB. A program of 10 MB has about a tenth of it. Code beyond is
/// walked by frame pointers.
pub(crate) const MAX_ROWS: usize = 1 << 20;

/// Rows of a function, on average, for a first guess at memory.
const ROWS_PER_FUNCTION: usize = 9;

type Slice<'a> = EndianSlice<'a, NativeEndian>;

/// The unwind sections of a module, as they lie in memory.
struct Sections<'a> {
    header: ParsedEhFrameHdr<Slice<'a>>,
    frames: EhFrame<Slice<'a>>,
    bases: BaseAddresses,
    frames_at: Range<u64>,
}

/// The table of a module's code, of at most `rows` rows. Without unwind tables it knows where
/// the code is, no more. The module must be pinned meanwhile.
pub(crate) fn build(module: &Module, rows: usize) -> Table {
    let Some(sections) = sections(module) else {
        return Table::without_rules(module.code.clone());
    };
    let table = fill(module, &sections, rows);
    give_back(module, &sections.frames_at);
    table
}

/// The first address of the function around `pc`, by its unwind table.
pub(crate) fn function_start(module: &Module, pc: u64) -> Option<u64> {
    let Sections { header, frames, bases, .. } = sections(module)?;
    let found = header.table()?.fde_for_address(&frames, &bases, pc, EhFrame::cie_from_offset);
    found.ok().map(|function| function.initial_address())
}

fn sections(module: &Module) -> Option<Sections<'_>> {
    let header = bytes_at(module.constant_from(module.header.start)?);
    let bases =
        BaseAddresses::default().set_eh_frame_hdr(module.header.start).set_text(module.code.start);
    let header = EhFrameHdr::new(header, NativeEndian).parse(&bases, 8).ok()?;
    let Pointer::Direct(frames_at) = header.eh_frame_ptr() else { return None };
    let frames_at = module.constant_from(frames_at)?;
    let bases = bases.set_eh_frame(frames_at.start);
    let mut frames = EhFrame::new(bytes_at(frames_at.clone()), NativeEndian);
    frames.set_address_size(8);
    #[cfg(target_arch = "aarch64")]
    frames.set_vendor(gimli::Vendor::AArch64);
    Some(Sections { header, frames, bases, frames_at })
}

/// Bytes of a constant segment of a module that is pinned.
fn bytes_at<'a>(range: Range<u64>) -> &'a [u8] {
    let length = usize::try_from(range.end - range.start).unwrap_or(0);
    // SAFETY: a readable segment that the loader has mapped and nobody writes; callers hold
    // the module's pin.
    unsafe { std::slice::from_raw_parts(range.start as *const u8, length) }
}

fn fill(module: &Module, sections: &Sections<'_>, rows: usize) -> Table {
    let Some(index) = sections.header.table() else {
        return Table::without_rules(module.code.clone());
    };
    let functions = index.iter(&sections.bases);
    let expected = functions.size_hint().0.saturating_mul(ROWS_PER_FUNCTION).min(rows);
    let mut builder = TableBuilder::new(module.code.clone(), expected);
    let mut context = UnwindContext::new();
    for function in functions.map_while(Result::ok) {
        let Ok(offset) = index.pointer_to_offset(function.1) else { continue };
        let entry =
            sections.frames.fde_from_offset(&sections.bases, offset, EhFrame::cie_from_offset);
        let Ok(entry) = entry else { continue };
        if builder.rows() >= rows {
            break;
        }
        add(&mut builder, sections, &entry, &mut context);
    }
    builder.finish()
}

fn add<'a>(
    builder: &mut TableBuilder,
    sections: &Sections<'a>,
    function: &FrameDescriptionEntry<Slice<'a>>,
    context: &mut UnwindContext<usize>,
) {
    let Ok(mut rows) = function.rows(&sections.frames, &sections.bases, context) else { return };
    let is_signal = function.is_signal_trampoline();
    while let Ok(Some(row)) = rows.next_row() {
        let rule = match is_signal {
            true => Rule { frame: Frame::Signal, ..Rule::UNKNOWN },
            false => rule_of(row),
        };
        builder.push(row.start_address(), rule);
    }
    builder.end(function.end_address());
}

fn rule_of(row: &gimli::UnwindTableRow<usize>) -> Rule {
    let ra = match row.register(DWARF_RA) {
        Some(RegisterRule::Undefined) => return Rule { frame: Frame::Root, ..Rule::UNKNOWN },
        Some(RegisterRule::Offset(offset)) => words(offset),
        None | Some(RegisterRule::SameValue) => Some(0),
        _ => None,
    };
    let fp = match row.register(DWARF_FP) {
        Some(RegisterRule::Offset(offset)) => words(offset),
        // Somewhere that these rules cannot say; seldom, and never needed by most callers.
        _ => Some(0),
    };
    let base = match row.cfa() {
        CfaRule::RegisterAndOffset { register, offset } => {
            let frame = match *register {
                DWARF_SP => Frame::Sp,
                DWARF_FP => Frame::Fp,
                _ => Frame::Unknown,
            };
            i32::try_from(*offset).ok().map(|offset| (frame, offset))
        }
        CfaRule::Expression(_) => EXPRESSION_RULE,
    };
    match (base, fp, ra) {
        (Some((frame, offset)), Some(fp), Some(ra)) if frame != Frame::Unknown => {
            Rule { frame, offset, fp, ra }
        }
        _ => Rule::UNKNOWN,
    }
}

fn words(offset: i64) -> Option<i16> {
    (offset % 8 == 0 && offset != 0).then(|| i16::try_from(offset / 8).ok()).flatten()
}

/// Reading made the section's pages resident, a megabyte in a large program, and nobody will
/// need them soon. They are clean pages of a file: the kernel drops and refetches them at will.
fn give_back(module: &Module, section: &Range<u64>) {
    const PAGE: u64 = 65_536;
    let (start, end) = (section.start.next_multiple_of(PAGE), section.end / PAGE * PAGE);
    if start < end && module.is_pure_data(section.start) && !module.is_kernels() {
        advise(start, end);
    }
}

fn advise(start: u64, end: u64) {
    // SAFETY: whole pages of a segment without code that nobody can write.
    unsafe {
        libc::madvise(start as *mut _, (end - start) as usize, libc::MADV_DONTNEED);
    }
}
