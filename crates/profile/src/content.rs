//! A hash of contents that is the same everywhere and for ever.

/// 64 bits of `bytes`: same bytes, same hash, on any machine in any version.
///
/// It breaks ties between inputs of the same time and chooses among values of
/// labels, so it must be stable and fast, not hard to collide.
pub(crate) fn content_hash(bytes: &[u8]) -> u64 {
    const K0: u64 = 0xa076_1d64_78bd_642f;
    const K1: u64 = 0xe703_7ed1_a0b4_28db;
    let mut lanes = [K0 ^ bytes.len() as u64, K1];
    let mut chunks = bytes.chunks_exact(32);
    for chunk in &mut chunks {
        lanes[0] = fold(word(chunk, 0) ^ lanes[0], word(chunk, 8) ^ K1);
        lanes[1] = fold(word(chunk, 16) ^ lanes[1], word(chunk, 24) ^ K0);
    }
    let mut rest = [0; 32];
    rest[..chunks.remainder().len()].copy_from_slice(chunks.remainder());
    let a = fold(word(&rest, 0) ^ lanes[0], word(&rest, 8) ^ K1);
    let b = fold(word(&rest, 16) ^ lanes[1], word(&rest, 24) ^ K0);
    fold(a ^ K0, b ^ K1)
}

fn word(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::content_hash;

    /// Stored order depends on these: a change here changes merged bytes.
    #[test]
    fn is_the_same_for_ever() {
        let bytes: Vec<u8> = (0..=99).collect();
        assert_eq!(content_hash(b""), EMPTY);
        assert_eq!(content_hash(&bytes), HUNDRED);
        assert_ne!(content_hash(&bytes[..99]), HUNDRED);
        assert_ne!(content_hash(b"\0"), EMPTY);
    }

    const EMPTY: u64 = 13_802_149_437_307_881_658;
    const HUNDRED: u64 = 1_946_023_336_154_730_579;
}
