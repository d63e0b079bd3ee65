//! CRC-32C, word by word, ready for use inside a signal handler.
//!
//! The polynomial of Castagnoli (RFC 3720, section 12.1), because processors compute it by
//! themselves. Whether this one does is asked once, when a log is made, and never in a handler;
//! the other way is a table in the executable's read-only data.

/// Bits reversed, as the hardware has it.
const POLYNOMIAL: u32 = 0x82f6_3b78;

/// What each byte value contributes, `TABLES[n]` with `n` more bytes behind it.
static TABLES: [[u32; 256]; 8] = tables();

const fn tables() -> [[u32; 256]; 8] {
    let mut tables = [[0; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ POLYNOMIAL } else { crc >> 1 };
            bit += 1;
        }
        tables[0][byte] = crc;
        byte += 1;
    }
    let mut behind = 1;
    while behind < 8 {
        let mut byte = 0;
        while byte < 256 {
            let before = tables[behind - 1][byte];
            tables[behind][byte] = (before >> 8) ^ tables[0][(before & 0xff) as usize];
            byte += 1;
        }
        behind += 1;
    }
    tables
}

/// How checksums are computed here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Crc {
    by_hardware: bool,
}

impl Crc {
    /// The fastest way this processor has. Not for signal handlers; the value is.
    pub(crate) fn detect() -> Crc {
        Crc { by_hardware: hardware::is_there() }
    }

    /// The way that works everywhere.
    #[cfg(test)]
    pub(crate) fn by_table() -> Crc {
        Crc { by_hardware: false }
    }

    /// The checksum of a record: its tag (what it is and how long), then its words.
    /// Async-signal-safe.
    #[inline]
    pub(crate) fn of(self, tag: u64, words: impl Iterator<Item = u64>) -> u32 {
        if self.by_hardware {
            // SAFETY: `by_hardware` is only ever set where the instruction was found.
            return unsafe { hardware::of(tag, words) };
        }
        !words.fold(step(!0, tag), step)
    }
}

/// Eight bytes at once, least significant first.
#[inline]
fn step(crc: u32, word: u64) -> u32 {
    let word = word ^ u64::from(crc);
    let bytes = word.to_le_bytes();
    let parts = bytes.iter().zip(TABLES.iter().rev());
    parts.fold(0, |crc, (&byte, table)| crc ^ table[usize::from(byte)])
}

#[cfg(target_arch = "x86_64")]
mod hardware {
    use std::arch::x86_64::_mm_crc32_u64;

    pub(super) fn is_there() -> bool {
        std::is_x86_feature_detected!("sse4.2")
    }

    #[target_feature(enable = "sse4.2")]
    pub(super) fn of(tag: u64, words: impl Iterator<Item = u64>) -> u32 {
        let start = _mm_crc32_u64(u64::from(u32::MAX), tag);
        !(words.fold(start, |crc, word| _mm_crc32_u64(crc, word)) as u32)
    }
}

#[cfg(target_arch = "aarch64")]
mod hardware {
    use std::arch::aarch64::__crc32cd;

    pub(super) fn is_there() -> bool {
        std::arch::is_aarch64_feature_detected!("crc")
    }

    #[target_feature(enable = "crc")]
    pub(super) fn of(tag: u64, words: impl Iterator<Item = u64>) -> u32 {
        let start = __crc32cd(u32::MAX, tag);
        !words.fold(start, |crc, word| __crc32cd(crc, word))
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
mod hardware {
    pub(super) fn is_there() -> bool {
        false
    }

    /// # Safety
    /// Always safe; never called.
    pub(super) unsafe fn of(_: u64, _: impl Iterator<Item = u64>) -> u32 {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition, bit by bit.
    fn by_definition(bytes: &[u8]) -> u32 {
        let mut crc = !0u32;
        for byte in bytes {
            crc ^= u32::from(*byte);
            for _ in 0..8 {
                crc = if crc & 1 == 1 { (crc >> 1) ^ POLYNOMIAL } else { crc >> 1 };
            }
        }
        !crc
    }

    #[test]
    fn the_known_answer() {
        assert_eq!(by_definition(b"123456789"), 0xe306_9283, "RFC 3720's own check value");
        // RFC 3720, appendix B.4: 32 bytes of zeros, of ones.
        for crc in [Crc::by_table(), Crc::detect()] {
            assert_eq!(crc.of(0, [0; 3].into_iter()), 0x8a91_36aa);
            assert_eq!(crc.of(u64::MAX, [u64::MAX; 3].into_iter()), 0x62a8_ab43);
        }
    }

    #[test]
    fn table_and_hardware_agree_with_the_definition() {
        let mut word = 0x9e37_79b9_7f4a_7c15_u64;
        let mut words = Vec::new();
        for len in 0..64 {
            let bytes: Vec<u8> = words.iter().flat_map(|word: &u64| word.to_le_bytes()).collect();
            let expected = by_definition(&[&7u64.to_le_bytes()[..], &bytes].concat());
            for crc in [Crc::by_table(), Crc::detect()] {
                assert_eq!(crc.of(7, words.iter().copied()), expected, "{len} words, {crc:?}");
            }
            word = word.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(len);
            words.push(word);
        }
    }
}
