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

/// A message, or what is left of it.
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

    /// What is left.
    #[inline]
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
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
                Ok(two_bytes(a, b))
            }
            _ => self.long_varint(),
        }
    }

    /// The key of a field and the varint behind it: the value, or the length of
    /// the payload, which is then to be taken by [`Reader::message`]. Keys of
    /// other wire types come with 0, to be skipped.
    #[inline(always)]
    pub(crate) fn field(&mut self) -> Result<(u64, u64), WireError> {
        match *self.rest {
            [key, a, ref rest @ ..] if key & 0x85 == 0 && a < 0x80 => {
                self.rest = rest;
                Ok((u64::from(key), u64::from(a)))
            }
            [key, a, b, ref rest @ ..] if key & 0x85 == 0 && b < 0x80 => {
                self.rest = rest;
                Ok((u64::from(key), two_bytes(a, b)))
            }
            _ => self.long_field(),
        }
    }

    #[inline(never)]
    fn long_field(&mut self) -> Result<(u64, u64), WireError> {
        /// Not the end of a varint, so that none ends in what is not there.
        const GAP: u64 = 0x80 << 56;
        if let Some(&word) = self.rest.first_chunk::<8>() {
            let word = u64::from_le_bytes(word);
            if word & 0x85 == 0
                && let Some((value, len)) = eight_bytes(word >> 8 | GAP)
            {
                self.rest = &self.rest[len + 1..];
                return Ok((word & 0x7f, value));
            }
        }
        let key = self.varint()?;
        match key & 7 {
            VARINT | BYTES => Ok((key, self.long_varint()?)),
            _ => Ok((key, 0)),
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

    /// The payload of the given length, which may be a message.
    #[inline(always)]
    pub(crate) fn message(&mut self, len: u64) -> Result<Reader<'a>, WireError> {
        if len > self.rest.len() as u64 {
            return Err(WireError::Short);
        }
        let (message, rest) = self.rest.split_at(len as usize);
        self.rest = rest;
        Ok(Reader { rest: message })
    }

    /// Steps over the rest of a field whose key and varint were read, unless
    /// the schema knows its number (`1..=known`): then its wire type is wrong.
    #[cold]
    pub(crate) fn skip(&mut self, key: u64, value: u64, known: u64) -> Result<(), WireError> {
        match key & 7 {
            VARINT => {}
            BYTES => self.message(value).map(drop)?,
            1 => self.message(8).map(drop)?,
            5 => self.message(4).map(drop)?,
            _ => return Err(WireError::WireType),
        }
        let field = key >> 3;
        if field != 0 && field <= known {
            return Err(WireError::Mismatch);
        }
        Ok(())
    }
}

/// A varint of two bytes.
#[inline(always)]
fn two_bytes(a: u8, b: u8) -> u64 {
    u64::from(a & 0x7f) | u64::from(b) << 7
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
                    assert_eq!(reader.rest(), tail);
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
        let skip = |bytes: &[u8]| {
            let mut reader = Reader::new(bytes);
            let (key, value) = reader.field()?;
            reader.skip(key, value, 4)
        };
        assert_eq!(skip(&[5 << 3, 1]), Ok(()));
        assert_eq!(skip(&[1 << 3 | 1, 0, 0, 0, 0, 0, 0, 0, 0]), Err(WireError::Mismatch));
        assert_eq!(skip(&[9 << 3 | 1, 0, 0, 0, 0, 0, 0, 0]), Err(WireError::Short));
        assert_eq!(skip(&[9 << 3 | 5, 0, 0, 0, 0]), Ok(()));
        assert_eq!(skip(&[9 << 3 | 3, 0, 0, 0, 0]), Err(WireError::WireType));
        assert_eq!(skip(&[2, 1, 0]), Ok(()), "field number 0");
        assert_eq!(skip(&[4 << 3 | 2, 2, 0]), Err(WireError::Short));
    }

    #[test]
    fn fields_are_read_alike_at_the_end_and_before_it() {
        for shift in 0..64 {
            let value = 1u64 << shift;
            let mut bytes = vec![3 << 3];
            bytes.extend(encoded(value));
            let len = bytes.len();
            assert_eq!(Reader::new(&bytes).field(), Ok((24, value)));
            bytes.extend([0xff; 9]);
            let mut reader = Reader::new(&bytes).message(len as u64).unwrap();
            assert_eq!(reader.field(), Ok((24, value)));
            assert!(reader.is_empty());
            let mut cut = Reader::new(&bytes).message(len as u64 - 1).unwrap();
            assert_eq!(cut.field(), Err(WireError::Short), "shift {shift}");
        }
    }
}
