//! The protobuf wire format, walked without building anything.
//!
//! Accepts exactly what google/pprof's own small decoder accepts: varints of up
//! to ten bytes whose overflowing bits are dropped, field number 0, and unknown
//! fields of any kind but groups. See
//! <https://protobuf.dev/programming-guides/encoding/>.

/// What the walker stumbled over. Small, so that results travel in registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WireError {
    /// A field or varint runs over the end.
    Short,
    /// A varint of more than ten bytes.
    LongVarint,
    /// A group, or a wire type that does not exist.
    WireType,
    /// A known field of another wire type than the schema has.
    Mismatch,
}

impl WireError {
    pub(crate) fn reason(self) -> &'static str {
        match self {
            WireError::Short => "field runs over the end",
            WireError::LongVarint => "varint of more than ten bytes",
            WireError::WireType => "unknown wire type",
            WireError::Mismatch => "field of another wire type",
        }
    }
}

/// The wire types a profile uses, as they end a key.
pub(crate) const VARINT: u64 = 0;
/// Strings, messages and packed numbers.
pub(crate) const BYTES: u64 = 2;

/// What is left of a message.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    #[inline]
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Reader { rest: bytes }
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Bytes left.
    #[inline]
    pub(crate) fn left(&self) -> usize {
        self.rest.len()
    }

    /// A varint; most are of one byte or two.
    #[inline(always)]
    pub(crate) fn varint(&mut self) -> Result<u64, WireError> {
        match *self.rest {
            [a, ref rest @ ..] if a < 0x80 => {
                self.rest = rest;
                Ok(u64::from(a))
            }
            [a, b, ref rest @ ..] if b < 0x80 => {
                self.rest = rest;
                Ok(u64::from(a & 0x7f) | u64::from(b) << 7)
            }
            _ => self.long_varint(),
        }
    }

    #[inline(never)]
    fn long_varint(&mut self) -> Result<u64, WireError> {
        if let Some(&word) = self.rest.first_chunk::<8>()
            && let Some((value, len)) = eight_bytes(u64::from_le_bytes(word))
        {
            self.rest = &self.rest[len..];
            return Ok(value);
        }
        let mut value = 0u64;
        for (i, &byte) in self.rest.iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * i);
            if byte < 0x80 {
                self.rest = &self.rest[i + 1..];
                return Ok(value);
            }
        }
        match self.rest.len() {
            0..10 => Err(WireError::Short),
            _ => Err(WireError::LongVarint),
        }
    }

    /// A length and as many bytes.
    #[inline(always)]
    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], WireError> {
        let len = self.varint()?;
        if len > self.rest.len() as u64 {
            return Err(WireError::Short);
        }
        let (bytes, rest) = self.rest.split_at(len as usize);
        self.rest = rest;
        Ok(bytes)
    }

    /// Steps over the field of `key`, unless the schema knows its number
    /// (`1..=known`): then its wire type is wrong, or the caller had taken it.
    #[cold]
    pub(crate) fn skip(&mut self, key: u64, known: u64) -> Result<(), WireError> {
        match key & 7 {
            VARINT => self.varint().map(drop)?,
            BYTES => self.bytes().map(drop)?,
            1 => self.fixed(8)?,
            5 => self.fixed(4)?,
            _ => return Err(WireError::WireType),
        }
        let field = key >> 3;
        if field != 0 && field <= known {
            return Err(WireError::Mismatch);
        }
        Ok(())
    }

    fn fixed(&mut self, len: usize) -> Result<(), WireError> {
        self.rest = self.rest.get(len..).ok_or(WireError::Short)?;
        Ok(())
    }
}

/// The varint at the start of `word` and its length, if it ends within.
#[inline]
fn eight_bytes(word: u64) -> Option<(u64, usize)> {
    let stops = !word & 0x8080_8080_8080_8080;
    if stops == 0 {
        return None;
    }
    let len = stops.trailing_zeros() as usize / 8 + 1;
    let kept = word & (u64::MAX >> (64 - 8 * len));
    // Close the gaps of the continuation bits: 7 + 7, 14 + 14, 28 + 28 bits.
    let x = kept & 0x7f7f_7f7f_7f7f_7f7f;
    let x = (x & 0x007f_007f_007f_007f) | ((x & 0x7f00_7f00_7f00_7f00) >> 1);
    let x = (x & 0x0000_3fff_0000_3fff) | ((x & 0x3fff_0000_3fff_0000) >> 2);
    let x = (x & 0x0fff_ffff) | ((x & 0x0fff_ffff_0000_0000) >> 4);
    Some((x, len))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn encoded(mut value: u64) -> Vec<u8> {
        let mut out = Vec::new();
        while value >= 0x80 {
            out.push(value as u8 | 0x80);
            value >>= 7;
        }
        out.push(value as u8);
        out
    }

    #[test]
    fn varints_of_every_length_with_and_without_more_behind() {
        for shift in 0..64 {
            for value in [1u64 << shift, (1 << shift) - 1, u64::MAX >> shift] {
                for tail in [&[][..], &[0xff; 12], &[0x01; 12]] {
                    let mut bytes = encoded(value);
                    bytes.extend_from_slice(tail);
                    let mut reader = Reader::new(&bytes);
                    assert_eq!(reader.varint(), Ok(value));
                    assert_eq!(reader.left(), tail.len());
                }
            }
        }
    }

    #[test]
    fn padded_and_overflowing_varints_are_read_as_google_reads_them() {
        let padded = [0x85, 0x80, 0x80, 0x00];
        assert_eq!(Reader::new(&padded).varint(), Ok(5));
        let mut overflowing = [0xff; 10];
        overflowing[9] = 0x7f;
        assert_eq!(Reader::new(&overflowing).varint(), Ok(u64::MAX));
    }

    #[test]
    fn short_and_long_varints_are_told_apart() {
        assert_eq!(Reader::new(&[]).varint(), Err(WireError::Short));
        assert_eq!(Reader::new(&[0x80; 9]).varint(), Err(WireError::Short));
        assert_eq!(Reader::new(&[0x80; 10]).varint(), Err(WireError::LongVarint));
    }

    #[test]
    fn known_fields_are_not_skipped() {
        let skip = |key: u64, bytes: &[u8]| Reader::new(bytes).skip(key, 4);
        assert_eq!(skip(5 << 3, &[1]), Ok(()));
        assert_eq!(skip(1 << 3 | 1, &[0; 8]), Err(WireError::Mismatch));
        assert_eq!(skip(9 << 3 | 1, &[0; 7]), Err(WireError::Short));
        assert_eq!(skip(9 << 3 | 5, &[0; 4]), Ok(()));
        assert_eq!(skip(9 << 3 | 3, &[0; 4]), Err(WireError::WireType));
        assert_eq!(skip(2, &[1, 0]), Ok(()), "field number 0");
    }
}
