//! Reading a log's bytes after its process: whole, cut short, torn, or made to harm.

use super::account::Account;
use super::crc::Crc;
use super::format::{
    HEADER_WORDS, Layout, MAGIC, MAX_LOG_BYTES, Marker, VERSION, WORD, Words, at, unpack,
};
use super::notes::{Clock, Notes};
use super::protocol::{MAX_HALF_WORDS, OPEN, seq_of};
use super::sample::Sample;
use super::scan::{records, samples};
use super::write::{LogError, kind_of};
use crate::mappings::Mapping;
use crate::names::DefinitionKind;

/// What a log says that never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) pid: u32,
    /// Nanoseconds of the sampling period.
    pub(crate) period: u64,
    pub(crate) started: Clock,
    layout: Layout,
}

/// A [`Definition`](crate::names::Definition) read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LoggedDefinition {
    pub(crate) kind: DefinitionKind,
    pub(crate) id: u32,
    pub(crate) parent: u32,
    pub(crate) text: String,
}

/// One half that holds samples nobody is known to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DeadHalf {
    /// The snapshot they belong to; it may be safe elsewhere already, under this seq. None if
    /// they were not sealed.
    pub(crate) seq: Option<u64>,
    pub(crate) samples: Vec<Sample>,
    /// What the snapshot tells beside; empty if it was not sealed, see [`DeadLog::account`].
    pub(crate) account: Account,
}

/// All that a log holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DeadLog {
    pub(crate) header: Header,
    pub(crate) notes: Notes,
    pub(crate) mappings: Vec<Mapping>,
    /// In the order they were made.
    pub(crate) definitions: Vec<LoggedDefinition>,
    /// Sealed ones first, by seq. Two without a seq are of a process that died in a seal.
    pub(crate) halves: Vec<DeadHalf>,
    /// The part of the account that no half tells.
    pub(crate) account: Account,
    /// Places that began like a record and were none: what was being written at the end.
    pub(crate) torn: u64,
}

/// Reads a log's bytes.
///
/// Takes any bytes: what is no intact record is passed over, and memory is bounded by a small
/// multiple of their length.
///
/// # Errors
/// If they do not begin with an intact header of a version known here, or are more than
/// [`MAX_LOG_BYTES`].
pub(crate) fn read(bytes: &[u8]) -> Result<DeadLog, LogError> {
    let header = read_header(bytes)?;
    let crc = Crc::detect();
    let (mappings, definitions, torn) = read_dictionary(bytes, header.layout, crc);
    let mut log = DeadLog {
        header,
        notes: Notes::read(bytes, crc),
        mappings,
        definitions,
        halves: Vec::new(),
        account: Account::running(bytes),
        torn,
    };
    for half in 0..2 {
        let state = bytes.word(at::HALVES[half] + at::STATE).unwrap_or(0);
        let seq = seq_of(state);
        if seq.is_none() && state != OPEN {
            continue;
        }
        let from = header.layout.half_at(half);
        let (samples, torn) = samples(bytes, from..from + header.layout.half_words, crc);
        let account = seq.map_or_else(Account::default, |_| Account::of_half(bytes, half));
        log.halves.push(DeadHalf { seq, samples, account });
        log.torn += torn;
    }
    log.halves.sort_by_key(|half| (half.seq.is_none(), half.seq));
    Ok(log)
}

fn read_header(bytes: &[u8]) -> Result<Header, LogError> {
    if bytes.len() > MAX_LOG_BYTES {
        return Err(LogError::TooLarge(bytes.len()));
    }
    if bytes.word(at::MAGIC).is_some_and(|magic| magic != MAGIC) {
        return Err(LogError::Foreign);
    }
    if bytes.len() < HEADER_WORDS * WORD {
        return Err(LogError::TooShort);
    }
    let fixed: [u64; at::FIXED_CRC] = std::array::from_fn(|at| bytes.word(at).unwrap_or(0));
    let crc = Crc::detect().of(MAGIC, fixed.into_iter());
    if bytes.word(at::FIXED_CRC) != Some(crc.into()) {
        return Err(LogError::Damaged);
    }
    if fixed[at::VERSION] != VERSION {
        return Err(LogError::Version(fixed[at::VERSION]));
    }
    let words =
        |at: usize| usize::try_from(fixed[at]).ok().filter(|words| *words <= MAX_HALF_WORDS);
    let (Some(dictionary_words), Some(half_words)) =
        (words(at::DICTIONARY_WORDS), words(at::HALF_WORDS))
    else {
        return Err(LogError::Damaged);
    };
    Ok(Header {
        pid: fixed[at::PID] as u32,
        period: fixed[at::PERIOD],
        started: Clock { wall: fixed[at::START_WALL], mono: fixed[at::START_MONO] },
        layout: Layout { dictionary_words, half_words },
    })
}

/// Mappings, definitions, torn places. Two passes: records of the other kind are passed over
/// word by word, and text that looks like a record fails its checksum.
fn read_dictionary(
    bytes: &[u8],
    layout: Layout,
    crc: Crc,
) -> (Vec<Mapping>, Vec<LoggedDefinition>, u64) {
    let (mut mappings, mut definitions) = (Vec::new(), Vec::new());
    let range = Layout::DICTIONARY_AT..Layout::DICTIONARY_AT + layout.dictionary_words;
    let torn_mappings = records(bytes, range.clone(), Marker::Mapping, crc, |body| {
        let mapping = parse_mapping(body);
        let is_mapping = mapping.is_some();
        mappings.extend(mapping);
        is_mapping
    });
    let torn_definitions = records(bytes, range, Marker::Definition, crc, |body| {
        let definition = parse_definition(body);
        let is_definition = definition.is_some();
        definitions.extend(definition);
        is_definition
    });
    (mappings, definitions, torn_mappings + torn_definitions)
}

fn parse_definition(body: &[u64]) -> Option<LoggedDefinition> {
    let (&[what, parent], text) = body.split_first_chunk()?;
    Some(LoggedDefinition {
        kind: kind_of(what >> 56)?,
        id: what as u32,
        parent: parent as u32,
        text: unpack(text, (what >> 32 & 0xffff) as usize)?,
    })
}

fn parse_mapping(body: &[u64]) -> Option<Mapping> {
    let (&[lengths, start, end, offset, bias], texts) = body.split_first_chunk()?;
    let (file, build_id) = ((lengths >> 16 & 0xffff) as usize, (lengths & 0xffff) as usize);
    let (file_words, build_id_words) = texts.split_at_checked(file.div_ceil(WORD))?;
    Some(Mapping {
        code: start..end,
        offset,
        bias,
        file: unpack(file_words, file)?,
        build_id: unpack(build_id_words, build_id)?,
    })
}
