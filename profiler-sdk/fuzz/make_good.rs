//! Gives damaged records checksums that hold, so that what is behind them is read.
//!
//! Written from the format's description (`src/log/format.rs`) and not with its code, so that
//! the two check each other.

/// Samples, definitions, mappings, notes: their markers and most words.
const RECORDS: [(u64, usize); 4] = [(0xf1a5, 262), (0xf1d0, 515), (0xf1e3, 1030), (0xf1c7, 24)];

/// Words of the header that never change.
const FIXED: usize = 8;

/// Makes the checksums of the header and of all that looks like a record hold.
pub(crate) fn make_good(bytes: &mut [u8]) {
    let (words, _) = bytes.as_chunks_mut::<8>();
    if words.len() <= FIXED {
        return;
    }
    let crc = crc32c(words[0].iter().chain(words[..FIXED].as_flattened()));
    words[FIXED] = u64::from(crc).to_le_bytes();
    for at in FIXED + 1..words.len() {
        let first = u64::from_le_bytes(words[at]);
        let len = (first >> 32 & 0xffff) as usize;
        let is_record = RECORDS.iter().any(|(marker, most)| first >> 48 == *marker && len <= *most);
        if is_record && len > 0 && at + len <= words.len() {
            let tag = (first >> 32).to_le_bytes();
            let crc = crc32c(tag.iter().chain(words[at + 1..at + len].as_flattened()));
            words[at] = (first >> 32 << 32 | u64::from(crc)).to_le_bytes();
        }
    }
}

/// RFC 3720, bit by bit.
fn crc32c<'a>(bytes: impl Iterator<Item = &'a u8>) -> u32 {
    !bytes.fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg())
        })
    })
}
