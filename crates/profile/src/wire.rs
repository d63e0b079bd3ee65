//! The protobuf wire format, walked without building anything.
//!
//! Accepts exactly what google/pprof's own small decoder accepts: varints of up
//! to ten bytes whose overflowing bits are dropped, field number 0, and unknown
//! fields of any kind but groups. See
//! <https://protobuf.dev/programming-guides/encoding/>.

/// What the walker stumbled over, and where in the slice it walked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WireError {
    pub(crate) reason: &'static str,
    pub(crate) offset: usize,
    /// The slice ended too early (rather than holding something wrong).
    pub(crate) short: bool,
}

/// A field's payload.
#[derive(Clone, Copy)]
pub(crate) enum Value<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
    /// 32 or 64 bits; no field of a profile has them.
    Fixed,
}

/// A position in a message.
#[derive(Clone)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Reader { bytes, at: 0 }
    }

    #[inline]
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.at >= self.bytes.len()
    }

    #[inline]
    pub(crate) fn varint(&mut self) -> Result<u64, WireError> {
        match self.bytes.get(self.at) {
            Some(&byte) if byte < 0x80 => {
                self.at += 1;
                Ok(u64::from(byte))
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<u64, WireError> {
        let mut value = 0u64;
        for i in 0..10 {
            let Some(&byte) = self.bytes.get(self.at + i) else {
                return Err(self.error("varint runs over the end", true));
            };
            value |= u64::from(byte & 0x7f) << (7 * i);
            if byte < 0x80 {
                self.at += i + 1;
                return Ok(value);
            }
        }
        Err(self.error("varint of more than ten bytes", false))
    }

    /// The next field's number and payload. Call while not [`Self::is_empty`].
    #[inline]
    pub(crate) fn field(&mut self) -> Result<(u64, Value<'a>), WireError> {
        let key = self.varint()?;
        let value = match key & 7 {
            0 => Value::Varint(self.varint()?),
            2 => {
                let len = self.varint()?;
                Value::Bytes(self.take(len)?)
            }
            1 => {
                self.take(8)?;
                Value::Fixed
            }
            5 => {
                self.take(4)?;
                Value::Fixed
            }
            _ => return Err(self.error("unknown wire type", false)),
        };
        Ok((key >> 3, value))
    }

    #[inline]
    fn take(&mut self, len: u64) -> Result<&'a [u8], WireError> {
        let rest = &self.bytes[self.at..];
        if len > rest.len() as u64 {
            return Err(self.error("field runs over the end", true));
        }
        self.at += len as usize;
        Ok(&rest[..len as usize])
    }

    fn error(&self, reason: &'static str, short: bool) -> WireError {
        WireError { reason, offset: self.at, short }
    }
}

impl<'a> Value<'a> {
    #[inline]
    pub(crate) fn uint(self) -> Result<u64, WireError> {
        match self {
            Value::Varint(v) => Ok(v),
            _ => Err(MISMATCH),
        }
    }

    #[inline]
    pub(crate) fn int(self) -> Result<i64, WireError> {
        self.uint().map(|v| v as i64)
    }

    #[inline]
    pub(crate) fn bytes(self) -> Result<&'a [u8], WireError> {
        match self {
            Value::Bytes(bytes) => Ok(bytes),
            _ => Err(MISMATCH),
        }
    }

    /// A repeated number, packed or not.
    #[inline]
    pub(crate) fn each(self, mut f: impl FnMut(u64)) -> Result<(), WireError> {
        match self {
            Value::Varint(v) => f(v),
            Value::Bytes(packed) => {
                let mut reader = Reader::new(packed);
                while !reader.is_empty() {
                    f(reader.varint()?);
                }
            }
            Value::Fixed => return Err(MISMATCH),
        }
        Ok(())
    }
}

const MISMATCH: WireError =
    WireError { reason: "field of another wire type", offset: 0, short: false };
