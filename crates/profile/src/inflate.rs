//! From gzip or raw bytes to raw bytes, within a limit.

use std::borrow::Cow;
use std::ffi::c_void;
use std::io::Read;
use std::ptr::NonNull;

use libdeflate_sys as sys;

use crate::error::DecodeError;
use crate::limits::Limits;

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
/// A gzip member is never shorter: 10 bytes of header, 2 of data, 8 of trailer.
const MIN_MEMBER: usize = 20;
/// A trailer that claims to expand by more is not believed at first.
const MAX_BELIEVED_RATIO: usize = 16;
/// What most profiles expand by, at most.
const TYPICAL_RATIO: usize = 4;

/// Inflates gzip; passes anything else through untouched.
///
/// Several gzip members are joined, as `gunzip` does. The output never exceeds
/// `limits.inflated_bytes`, and no more than that is ever held.
///
/// # Errors
/// [`DecodeError::Empty`], [`DecodeError::Truncated`], [`DecodeError::Corrupt`]
/// or [`DecodeError::TooLarge`]; what the bytes mean is not looked at.
pub fn inflate<'a>(bytes: &'a [u8], limits: &Limits) -> Result<Cow<'a, [u8]>, DecodeError> {
    if !bytes.starts_with(&GZIP_MAGIC) {
        check_raw(bytes, limits)?;
        return Ok(Cow::Borrowed(bytes));
    }
    let mut inflater = Inflater::default();
    let len = inflater.gunzip(bytes, limits.inflated_bytes)?;
    inflater.buffer.truncate(len);
    Ok(Cow::Owned(inflater.buffer))
}

/// [`inflate`] into a buffer that lives on from input to input.
#[derive(Default)]
pub(crate) struct Inflater {
    buffer: Vec<u8>,
    engine: Option<Engine>,
}

impl Inflater {
    /// The raw bytes, borrowed from the input or from the reused buffer.
    pub(crate) fn inflate<'a>(
        &'a mut self,
        bytes: &'a [u8],
        limits: &Limits,
    ) -> Result<&'a [u8], DecodeError> {
        if !bytes.starts_with(&GZIP_MAGIC) {
            check_raw(bytes, limits)?;
            return Ok(bytes);
        }
        let len = self.gunzip(bytes, limits.inflated_bytes)?;
        Ok(&self.buffer[..len])
    }

    /// Bytes held for reuse.
    pub(crate) fn held(&self) -> usize {
        self.buffer.capacity()
    }

    /// All members of `bytes` into the buffer; returns the total length.
    fn gunzip(&mut self, bytes: &[u8], limit: usize) -> Result<usize, DecodeError> {
        let mut rest = bytes;
        let mut len = 0;
        while !rest.is_empty() {
            if len > 0 && !rest.starts_with(&GZIP_MAGIC) {
                return Err(corrupt("bytes after the end of the gzip data"));
            }
            let (read, written) = self.member(rest, len, limit)?;
            rest = &rest[read..];
            len += written;
        }
        if len == 0 { Err(DecodeError::Empty) } else { Ok(len) }
    }

    /// One member, written at `at`; returns (bytes read, bytes written).
    fn member(
        &mut self,
        rest: &[u8],
        at: usize,
        limit: usize,
    ) -> Result<(usize, usize), DecodeError> {
        let claimed = claimed_size(rest);
        let mut want = (at + first_guess(rest, claimed)).min(limit);
        loop {
            if self.buffer.len() < want {
                self.buffer.resize(want, 0);
            }
            let engine = self.engine.get_or_insert_with(Engine::new);
            match engine.gunzip(rest, &mut self.buffer[at..want]) {
                Outcome::Done { read, written } => return Ok((read, written)),
                Outcome::Bad => return Err(diagnose(rest, limit)),
                Outcome::NoRoom if want >= limit => {
                    return Err(over(limit, claimed.max(limit as u64 + 1)));
                }
                Outcome::NoRoom => want = (want * 2).max(4096).min(limit),
            }
        }
    }
}

fn check_raw(bytes: &[u8], limits: &Limits) -> Result<(), DecodeError> {
    if bytes.is_empty() {
        return Err(DecodeError::Empty);
    }
    if bytes.len() > limits.inflated_bytes {
        return Err(over(limits.inflated_bytes, bytes.len() as u64));
    }
    Ok(())
}

fn over(limit: usize, found: u64) -> DecodeError {
    DecodeError::TooLarge { what: "bytes inflated", limit: limit as u64, found }
}

fn corrupt(reason: &str) -> DecodeError {
    DecodeError::Corrupt { reason: reason.to_owned() }
}

/// The trailer's word (ISIZE, RFC 1952) on the last member's size.
fn claimed_size(gzip: &[u8]) -> u64 {
    gzip.last_chunk::<4>().map_or(0, |tail| u64::from(u32::from_le_bytes(*tail)))
}

/// Anybody can write anything into a trailer, and a truncated gzip has none:
/// it is believed as far as profiles compress, no further.
fn first_guess(gzip: &[u8], claimed: u64) -> usize {
    let most = gzip.len().saturating_mul(MAX_BELIEVED_RATIO);
    match usize::try_from(claimed) {
        Ok(claimed) if claimed <= most => claimed,
        _ => gzip.len().saturating_mul(TYPICAL_RATIO),
    }
}

/// Libdeflate only says "bad"; a slower reader says whether bytes are missing.
fn diagnose(gzip: &[u8], limit: usize) -> DecodeError {
    if gzip.len() < MIN_MEMBER {
        return truncated(gzip);
    }
    let mut reader = flate2::read::GzDecoder::new(gzip).take(limit as u64);
    match std::io::copy(&mut reader, &mut std::io::sink()) {
        Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => truncated(gzip),
        Err(e) => corrupt(&e.to_string()),
        Ok(_) => corrupt("damaged data"),
    }
}

fn truncated(gzip: &[u8]) -> DecodeError {
    DecodeError::Truncated { layer: "gzip", bytes: gzip.len() }
}

enum Outcome {
    Done { read: usize, written: usize },
    Bad,
    NoRoom,
}

/// Libdeflate's decompressor. The safe crate `libdeflater` does not tell how
/// much input a member took, and several members cannot be told apart without.
struct Engine(NonNull<sys::libdeflate_decompressor>);

// SAFETY: the decompressor is plain memory without ties to its thread, and
// every use takes `&mut self`.
unsafe impl Send for Engine {}

impl Engine {
    fn new() -> Self {
        // SAFETY: takes no arguments; null (out of memory) is checked.
        let raw = unsafe { sys::libdeflate_alloc_decompressor() };
        match NonNull::new(raw) {
            Some(engine) => Engine(engine),
            None => std::alloc::handle_alloc_error(std::alloc::Layout::new::<[u8; 1 << 15]>()),
        }
    }

    fn gunzip(&mut self, gzip: &[u8], out: &mut [u8]) -> Outcome {
        let (mut read, mut written) = (0, 0);
        // SAFETY: both pointers come from slices of the lengths passed along,
        // the decompressor is live and not shared, and libdeflate writes only
        // within `out` and to the two counters.
        let result = unsafe {
            sys::libdeflate_gzip_decompress_ex(
                self.0.as_ptr(),
                gzip.as_ptr().cast::<c_void>(),
                gzip.len(),
                out.as_mut_ptr().cast::<c_void>(),
                out.len(),
                &raw mut read,
                &raw mut written,
            )
        };
        match result {
            sys::libdeflate_result_LIBDEFLATE_SUCCESS => Outcome::Done { read, written },
            sys::libdeflate_result_LIBDEFLATE_INSUFFICIENT_SPACE => Outcome::NoRoom,
            _ => Outcome::Bad,
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // SAFETY: allocated by `new`, freed once.
        unsafe { sys::libdeflate_free_decompressor(self.0.as_ptr()) }
    }
}
