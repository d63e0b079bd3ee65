//! All that depends on the processor: registers, and what a frame looks like.

/// The registers that a step from a frame to its caller needs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Registers {
    /// The instruction, or the one after the call for a caller.
    pub(crate) pc: u64,
    pub(crate) sp: u64,
    pub(crate) fp: u64,
    /// The link register; 0 where the processor has none or it is no longer known.
    pub(crate) lr: u64,
}

/// Words of a frame record: the caller's frame pointer, then the return address.
pub(crate) const FRAME_RECORD: u64 = 16;

#[cfg(target_arch = "x86_64")]
mod arch {
    use super::Registers;
    use crate::cpu::cfi::Frame;
    use std::arch::asm;

    /// Numbers of the registers in unwind tables.
    pub(crate) const DWARF_FP: gimli::Register = gimli::X86_64::RBP;
    pub(crate) const DWARF_SP: gimli::Register = gimli::X86_64::RSP;
    pub(crate) const DWARF_RA: gimli::Register = gimli::X86_64::RA;

    /// The base and offset of a frame that a program of its own computes: the linker's stubs
    /// do so, and before their second instruction it is this.
    pub(crate) const EXPRESSION_RULE: Option<(Frame, i32)> = Some((Frame::Sp, 8));

    /// Where the code that a signal handler returns to finds the interrupted pc, sp, fp and
    /// link register, in bytes from its stack pointer: the kernel's `ucontext`, general
    /// registers from byte 40. For want of a link register the pc stands in, unused.
    pub(crate) const SIGNAL_FRAME: [u64; 4] = [40 + 16 * 8, 40 + 15 * 8, 40 + 10 * 8, 40 + 16 * 8];

    /// Where a thread begins: tells of it, then becomes its start routine. A jump, no call:
    /// the thread's stack shows nothing of us, and nothing of us is in the way when it unwinds.
    #[cfg(all(target_env = "gnu", not(target_feature = "crt-static")))]
    #[unsafe(naked)]
    pub(crate) extern "C" fn begin(_spawn: *mut libc::c_void) -> *mut libc::c_void {
        std::arch::naked_asm!(
            "sub rsp, 8",
            "call {enter}",
            "add rsp, 8",
            "mov rdi, rdx",
            "jmp rax",
            enter = sym crate::cpu::spawn_hook::enter,
        )
    }

    /// The registers where this is expanded.
    #[inline(always)]
    pub(crate) fn here() -> Registers {
        let (pc, sp, fp): (u64, u64, u64);
        // SAFETY: copies registers.
        unsafe {
            asm!(
                "lea {pc}, [rip]", "mov {sp}, rsp", "mov {fp}, rbp",
                pc = out(reg) pc, sp = out(reg) sp, fp = out(reg) fp,
                options(nomem, nostack, preserves_flags)
            );
        }
        Registers { pc, sp, fp, lr: 0 }
    }

    /// What was interrupted, from a signal handler's third argument.
    ///
    /// # Safety
    /// `context` is what the kernel gave to a handler with `SA_SIGINFO`.
    pub(crate) unsafe fn interrupted(context: *const libc::c_void) -> Registers {
        // SAFETY: the kernel's own structure.
        let registers = unsafe { &(*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs };
        let at = |index: libc::c_int| registers[index as usize] as u64;
        Registers { pc: at(libc::REG_RIP), sp: at(libc::REG_RSP), fp: at(libc::REG_RBP), lr: 0 }
    }

    /// Reads a word. Not a plain load, so that no sanitizer takes the deliberate look at
    /// somebody else's frame for an error.
    ///
    /// # Safety
    /// `address` is mapped and readable.
    #[inline(always)]
    pub(crate) unsafe fn load(address: u64) -> u64 {
        let word;
        // SAFETY: the caller's promise.
        unsafe {
            asm!("mov {}, [{}]", out(reg) word, in(reg) address,
                options(nostack, readonly, preserves_flags));
        }
        word
    }

    /// A return address as an address.
    #[inline(always)]
    pub(crate) fn code_address(word: u64) -> u64 {
        word
    }

    /// The address at which this thread's control block begins.
    pub(crate) fn thread_pointer() -> u64 {
        let pointer;
        // SAFETY: on Linux the first word of the control block is its own address.
        unsafe {
            asm!("mov {}, fs:[0]", out(reg) pointer,
                options(nostack, readonly, preserves_flags));
        }
        pointer
    }
}

#[cfg(target_arch = "aarch64")]
mod arch {
    use super::Registers;
    use crate::cpu::cfi::Frame;
    use std::arch::asm;

    /// Numbers of the registers in unwind tables.
    pub(crate) const DWARF_FP: gimli::Register = gimli::AArch64::X29;
    pub(crate) const DWARF_SP: gimli::Register = gimli::AArch64::SP;
    pub(crate) const DWARF_RA: gimli::Register = gimli::AArch64::X30;

    /// No frame of ordinary code computes its base by a program of its own.
    pub(crate) const EXPRESSION_RULE: Option<(Frame, i32)> = None;

    /// Where the code that a signal handler returns to finds the interrupted pc, sp, fp and
    /// link register, in bytes from its stack pointer: 128 of `siginfo`, 176 to the machine's
    /// part of `ucontext`, 8 of fault address, then 31 registers, sp and pc.
    pub(crate) const SIGNAL_FRAME: [u64; 4] =
        [312 + 32 * 8, 312 + 31 * 8, 312 + 29 * 8, 312 + 30 * 8];

    /// Where a thread begins: tells of it, then becomes its start routine. A jump, no call:
    /// the thread's stack shows nothing of us, and nothing of us is in the way when it unwinds.
    #[cfg(all(target_env = "gnu", not(target_feature = "crt-static")))]
    #[unsafe(naked)]
    pub(crate) extern "C" fn begin(_spawn: *mut libc::c_void) -> *mut libc::c_void {
        std::arch::naked_asm!(
            "stp x29, x30, [sp, #-16]!",
            "bl {enter}",
            "ldp x29, x30, [sp], #16",
            "mov x16, x0",
            "mov x0, x1",
            "br x16",
            enter = sym crate::cpu::spawn_hook::enter,
        )
    }

    /// The registers where this is expanded.
    #[inline(always)]
    pub(crate) fn here() -> Registers {
        let (pc, sp, fp, lr): (u64, u64, u64, u64);
        // SAFETY: copies registers.
        unsafe {
            asm!(
                "adr {pc}, .", "mov {sp}, sp", "mov {fp}, x29", "mov {lr}, x30",
                pc = out(reg) pc, sp = out(reg) sp, fp = out(reg) fp, lr = out(reg) lr,
                options(nomem, nostack, preserves_flags)
            );
        }
        Registers { pc, sp, fp, lr: code_address(lr) }
    }

    /// What was interrupted, from a signal handler's third argument.
    ///
    /// # Safety
    /// `context` is what the kernel gave to a handler with `SA_SIGINFO`.
    pub(crate) unsafe fn interrupted(context: *const libc::c_void) -> Registers {
        // SAFETY: the kernel's own structure.
        let state = unsafe { &(*context.cast::<libc::ucontext_t>()).uc_mcontext };
        Registers {
            pc: state.pc,
            sp: state.sp,
            fp: state.regs[29],
            lr: code_address(state.regs[30]),
        }
    }

    /// Reads a word. Not a plain load, so that no sanitizer takes the deliberate look at
    /// somebody else's frame for an error.
    ///
    /// # Safety
    /// `address` is mapped and readable.
    #[inline(always)]
    pub(crate) unsafe fn load(address: u64) -> u64 {
        let word;
        // SAFETY: the caller's promise.
        unsafe {
            asm!("ldr {}, [{}]", out(reg) word, in(reg) address,
                options(nostack, readonly, preserves_flags));
        }
        word
    }

    /// A return address as an address: without the signature that pointer authentication
    /// keeps in its upper bits. A no-op on processors that have none.
    #[inline(always)]
    pub(crate) fn code_address(word: u64) -> u64 {
        let address;
        // SAFETY: `hint #7` is XPACLRI, which touches x30 only.
        unsafe {
            asm!("hint #7", inout("x30") word => address,
                options(nomem, nostack, preserves_flags));
        }
        address
    }

    /// The address at which this thread's control block begins.
    pub(crate) fn thread_pointer() -> u64 {
        let pointer;
        // SAFETY: copies a register.
        unsafe {
            asm!("mrs {}, tpidr_el0", out(reg) pointer,
                options(nomem, nostack, preserves_flags));
        }
        pointer
    }
}

pub(crate) use arch::*;
