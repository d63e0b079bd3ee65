//! Zip files with *stored* entries: any zip tool opens them, and the bytes of
//! each entry are the entry itself, so a range read of one is a valid pprof.

use std::io::{Cursor, Read, Write};

use zip::{CompressionMethod, ZipArchive, ZipWriter, result::ZipError, write::SimpleFileOptions};

/// A zip that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// Not a zip, or a broken one.
    #[error("not a readable zip: {0}")]
    Zip(#[from] ZipError),
    /// Too many entries.
    #[error("zip has {found} entries, more than the {limit} allowed")]
    TooManyEntries {
        /// Entries found.
        found: usize,
        /// Entries allowed.
        limit: usize,
    },
}

/// An entry as written: where its bytes lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The entry's name.
    pub name: String,
    /// First byte of its content.
    pub offset: u64,
    /// Length of its content.
    pub len: u64,
}

/// Writes entries uncompressed, in order, with a fixed time, so that the same
/// entries give the same bytes.
///
/// # Errors
/// When two entries share a name or the archive outgrows zip.
pub fn write<'a>(
    entries: impl IntoIterator<Item = (&'a str, &'a [u8])>,
) -> Result<(Vec<u8>, Vec<Written>), ArchiveError> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for (name, bytes) in entries {
        zip.start_file(name, options)?;
        zip.write_all(bytes).map_err(ZipError::from)?;
    }
    let bytes = zip.finish()?.into_inner();
    let written = locate(&bytes)?;
    Ok((bytes, written))
}

fn locate(bytes: &[u8]) -> Result<Vec<Written>, ArchiveError> {
    let mut zip = ZipArchive::new(Cursor::new(bytes))?;
    (0..zip.len())
        .map(|index| {
            let entry = zip.by_index_raw(index)?;
            let offset = entry.data_start();
            Ok(Written { name: entry.name().to_owned(), offset, len: entry.size() })
        })
        .collect()
}

/// One entry as read: its name and its bytes, or why they cannot be had.
pub type Entry = (String, Result<Vec<u8>, ZipError>);

/// Reads every entry; a bad one does not spoil the others.
///
/// # Errors
/// When the zip itself is broken or has more than `limit` entries.
pub fn read(bytes: &[u8], limit: usize) -> Result<Vec<Entry>, ArchiveError> {
    let mut zip = ZipArchive::new(Cursor::new(bytes))?;
    if zip.len() > limit {
        return Err(ArchiveError::TooManyEntries { found: zip.len(), limit });
    }
    (0..zip.len())
        .map(|index| {
            let name = zip.by_index_raw(index)?.name().to_owned();
            let content = read_entry(&mut zip, index, bytes.len());
            Ok((name, content))
        })
        .collect()
}

fn read_entry(
    zip: &mut ZipArchive<Cursor<&[u8]>>,
    index: usize,
    archive: usize,
) -> Result<Vec<u8>, ZipError> {
    let entry = zip.by_index(index)?;
    let mut content = Vec::new();
    // A stored entry cannot be longer than the archive, whatever it claims.
    entry.take(archive as u64).read_to_end(&mut content)?;
    Ok(content)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_range_is_the_entry() {
        let entries = [("a.pb.gz", b"one".as_slice()), ("b.pb.gz", b"two, longer".as_slice())];
        let (bytes, written) = write(entries).unwrap();
        for ((name, content), found) in entries.iter().zip(&written) {
            assert_eq!(found.name, *name);
            let range = found.offset as usize..(found.offset + found.len) as usize;
            assert_eq!(&bytes[range], *content);
        }
        let read = read(&bytes, 2).unwrap();
        assert_eq!(read[1].1.as_ref().unwrap(), b"two, longer");
    }

    #[test]
    fn the_same_entries_give_the_same_bytes() {
        let entries = [("a", b"x".as_slice())];
        assert_eq!(write(entries).unwrap().0, write(entries).unwrap().0);
    }

    #[test]
    fn one_bad_entry_spoils_only_itself() {
        let entries = [("a", b"payload-a".as_slice()), ("b", b"payload-b".as_slice())];
        let (mut bytes, written) = write(entries).unwrap();
        bytes[written[0].offset as usize] ^= 0xff;
        let read = read(&bytes, 2).unwrap();
        assert!(read[0].1.is_err() && read[1].1.is_ok());
    }

    #[test]
    fn rubbish_and_too_many_are_refused() {
        assert!(read(b"PK\x03\x04 rubbish", 2).is_err());
        let (bytes, _) = write([("a", b"".as_slice()), ("b", b"".as_slice())]).unwrap();
        assert!(read(&bytes, 1).is_err());
    }
}
