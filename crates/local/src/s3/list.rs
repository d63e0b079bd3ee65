//! ListObjectsV2 and ListObjects: keys in byte order, folded at a delimiter,
//! in pages. A page costs its own length, not the bucket's: folded keys are
//! skipped by seeking past their prefix.

use super::catalog::{self, ObjectRow, time_of_seconds};
use super::digest::hex;
use super::error::Fault;
use super::put::no_such_bucket;
use super::store::Store;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use rusqlite::{Connection, params};
use s3s::dto::{
    CommonPrefix, ETag, EncodingType, ListObjectsInput, ListObjectsOutput, ListObjectsV2Input,
    ListObjectsV2Output, Object, ObjectStorageClass, Timestamp,
};
use s3s::{S3Result, s3_error};

/// Most entries of one page, as in S3.
pub(super) const MAX_KEYS: usize = 1000;

/// What `encoding-type=url` leaves as it is.
const URL_SAFE: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/');

/// One page asked for.
struct Ask {
    bucket: String,
    prefix: String,
    delimiter: String,
    /// The page begins at the first key not below this.
    from: Vec<u8>,
    limit: usize,
}

/// One page.
struct Page {
    entries: Vec<Entry>,
    /// Where the next page begins, if there is one.
    next: Option<Vec<u8>>,
}

enum Entry {
    Key(String, Box<ObjectRow>),
    Folded(String),
}

pub(super) async fn list_objects_v2(
    store: &Store,
    input: ListObjectsV2Input,
) -> Result<ListObjectsV2Output, Fault> {
    let from = match (&input.continuation_token, &input.start_after) {
        (Some(token), _) => read_token(token)?,
        (None, Some(key)) => successor_of_key(key),
        (None, None) => Vec::new(),
    };
    let ask = Ask {
        bucket: input.bucket.clone(),
        prefix: input.prefix.clone().unwrap_or_default(),
        delimiter: input.delimiter.clone().unwrap_or_default(),
        from,
        limit: limit(input.max_keys)?,
    };
    let page = store.read(move |conn| ask.page(conn)).await?;
    let code = Coding::of(input.encoding_type.as_ref());
    let count = page.entries.len();
    let next = page.next.as_deref().map(hex);
    let (contents, common_prefixes) = code.split(page.entries);
    Ok(ListObjectsV2Output {
        name: Some(input.bucket),
        prefix: input.prefix.map(|text| code.text(text)),
        delimiter: input.delimiter.map(|text| code.text(text)),
        start_after: input.start_after.map(|text| code.text(text)),
        max_keys: input.max_keys.or(Some(MAX_KEYS as i32)),
        key_count: i32::try_from(count).ok(),
        continuation_token: input.continuation_token,
        is_truncated: Some(next.is_some()),
        next_continuation_token: next,
        contents: Some(contents),
        common_prefixes: Some(common_prefixes),
        encoding_type: input.encoding_type,
        ..Default::default()
    })
}

/// The first version of listing, still sent by older tools.
pub(super) async fn list_objects(
    store: &Store,
    input: ListObjectsInput,
) -> Result<ListObjectsOutput, Fault> {
    let prefix = input.prefix.clone().unwrap_or_default();
    let delimiter = input.delimiter.clone().unwrap_or_default();
    let marker = input.marker.clone().unwrap_or_default();
    let ask = Ask {
        bucket: input.bucket.clone(),
        from: after_marker(&marker, &prefix, &delimiter),
        prefix,
        delimiter,
        limit: limit(input.max_keys)?,
    };
    let page = store.read(move |conn| ask.page(conn)).await?;
    let code = Coding::of(input.encoding_type.as_ref());
    let last = page.entries.last().map(|entry| match entry {
        Entry::Key(key, _) | Entry::Folded(key) => code.text(key.clone()),
    });
    let is_truncated = page.next.is_some();
    let (contents, common_prefixes) = code.split(page.entries);
    Ok(ListObjectsOutput {
        name: Some(input.bucket),
        prefix: input.prefix.map(|text| code.text(text)),
        delimiter: input.delimiter.map(|text| code.text(text)),
        marker: input.marker.map(|text| code.text(text)),
        max_keys: input.max_keys.or(Some(MAX_KEYS as i32)),
        is_truncated: Some(is_truncated),
        next_marker: last.filter(|_| is_truncated),
        contents: Some(contents),
        common_prefixes: Some(common_prefixes),
        encoding_type: input.encoding_type,
        ..Default::default()
    })
}

fn limit(asked: Option<i32>) -> S3Result<usize> {
    let asked = asked.map_or(Ok(MAX_KEYS), usize::try_from);
    let refuse = |_| s3_error!(InvalidArgument, "max-keys must not be negative");
    Ok(asked.map_err(refuse)?.min(MAX_KEYS))
}

impl Ask {
    fn page(&self, conn: &Connection) -> Result<Page, Fault> {
        if !catalog::has_bucket(conn, &self.bucket)? {
            return Err(no_such_bucket(&self.bucket).into());
        }
        let mut page = Page { entries: Vec::new(), next: None };
        let mut from = self.from.clone().max(self.prefix.clone().into_bytes());
        if self.limit == 0 {
            return Ok(page);
        }
        // Every round ends at the page's end, the prefix's end or a folded
        // prefix, after which the next round seeks.
        while let Some(seek) = self.scan(conn, &from, &mut page)? {
            from = seek;
        }
        Ok(page)
    }

    /// Adds entries from `from` on; returns where to go on, if anywhere.
    fn scan(
        &self,
        conn: &Connection,
        from: &[u8],
        page: &mut Page,
    ) -> rusqlite::Result<Option<Vec<u8>>> {
        let mut select = conn.prepare_cached(
            "SELECT key, body, size, etag, modified, headers FROM objects
             WHERE bucket = ?1 AND key >= ?2 ORDER BY key",
        )?;
        let mut rows = select.query(params![self.bucket, from])?;
        while let Some(row) = rows.next()? {
            let key = row.get_ref(0)?.as_blob()?;
            let key = std::str::from_utf8(key)?;
            if !key.starts_with(&self.prefix) {
                return Ok(None);
            }
            if page.entries.len() == self.limit {
                page.next = Some(key.as_bytes().to_vec());
                return Ok(None);
            }
            if let Some(folded) = self.fold(key) {
                page.entries.push(Entry::Folded(folded.to_owned()));
                return Ok(successor_of_prefix(folded.as_bytes()));
            }
            let object = ObjectRow::read(row, 1)?;
            page.entries.push(Entry::Key(key.to_owned(), Box::new(object)));
        }
        Ok(None)
    }

    /// The common prefix that stands for `key`, if it is folded.
    fn fold<'k>(&self, key: &'k str) -> Option<&'k str> {
        fold(key, &self.prefix, &self.delimiter)
    }
}

fn fold<'k>(key: &'k str, prefix: &str, delimiter: &str) -> Option<&'k str> {
    if delimiter.is_empty() {
        return None;
    }
    let at = key.strip_prefix(prefix)?.find(delimiter)?;
    key.get(..prefix.len() + at + delimiter.len())
}

/// The first possible key after `key`.
fn successor_of_key(key: &str) -> Vec<u8> {
    let mut next = key.as_bytes().to_vec();
    next.push(0);
    next
}

/// The least byte string above every key that begins with `prefix`; none if
/// there is none.
fn successor_of_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte < u8::MAX)?;
    let mut next = prefix.get(..=last)?.to_vec();
    if let Some(byte) = next.last_mut() {
        *byte += 1;
    }
    Some(next)
}

/// A marker that is itself a folded prefix stands for all keys under it.
fn after_marker(marker: &str, prefix: &str, delimiter: &str) -> Vec<u8> {
    if marker.is_empty() {
        return Vec::new();
    }
    match fold(marker, prefix, delimiter) {
        Some(folded) if folded == marker => {
            successor_of_prefix(marker.as_bytes()).unwrap_or_default()
        }
        _ => successor_of_key(marker),
    }
}

/// A token is the hexadecimal of the key the page begins at.
fn read_token(token: &str) -> S3Result<Vec<u8>> {
    let invalid = || s3_error!(InvalidArgument, "the continuation token is not one of ours");
    let digits = token.as_bytes();
    let is_hex = digits.iter().all(u8::is_ascii_hexdigit);
    if digits.is_empty() || !digits.len().is_multiple_of(2) || !is_hex {
        return Err(invalid());
    }
    let pairs = digits.chunks_exact(2);
    let byte = |pair| {
        let text = std::str::from_utf8(pair).ok()?;
        u8::from_str_radix(text, 16).ok()
    };
    pairs.map(|pair| byte(pair).ok_or_else(invalid)).collect()
}

/// Whether keys are percent-encoded in the answer, which XML needs for keys
/// with control characters.
#[derive(Clone, Copy)]
enum Coding {
    Plain,
    Url,
}

impl Coding {
    fn of(asked: Option<&EncodingType>) -> Self {
        match asked {
            Some(kind) if kind.as_str() == EncodingType::URL => Self::Url,
            _ => Self::Plain,
        }
    }

    fn text(self, text: String) -> String {
        match self {
            Self::Plain => text,
            Self::Url => utf8_percent_encode(&text, URL_SAFE).to_string(),
        }
    }

    fn split(self, entries: Vec<Entry>) -> (Vec<Object>, Vec<CommonPrefix>) {
        let (mut contents, mut folded) = (Vec::new(), Vec::new());
        for entry in entries {
            match entry {
                Entry::Key(key, row) => contents.push(self.object(key, *row)),
                Entry::Folded(prefix) => {
                    folded.push(CommonPrefix { prefix: Some(self.text(prefix)) })
                }
            }
        }
        (contents, folded)
    }

    fn object(self, key: String, row: ObjectRow) -> Object {
        Object {
            key: Some(self.text(key)),
            size: i64::try_from(row.size).ok(),
            e_tag: Some(ETag::Strong(row.etag)),
            last_modified: Some(Timestamp::from(time_of_seconds(row.modified))),
            storage_class: Some(ObjectStorageClass::from_static(ObjectStorageClass::STANDARD)),
            ..Default::default()
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn successors_bound_their_prefix() {
        assert_eq!(successor_of_prefix(b"a/").unwrap(), b"a0");
        assert_eq!(successor_of_prefix(b"a\xff\xff").unwrap(), b"b");
        assert_eq!(successor_of_prefix(b"\xff"), None);
        assert_eq!(successor_of_prefix(b""), None);
        assert!(successor_of_key("a").as_slice() > b"a".as_slice());
    }

    #[test]
    fn tokens_read_back_and_others_are_refused() {
        for bytes in [&b"a"[..], b"\xff\x00", "λ".as_bytes()] {
            assert_eq!(read_token(&hex(bytes)).unwrap(), bytes);
        }
        for bad in ["", "a", "zz", "+1", "λλ"] {
            assert!(read_token(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn pages_have_at_most_1000_entries() {
        let limits = [(None, 1000), (Some(0), 0), (Some(1000), 1000), (Some(1001), 1000)];
        for (asked, given) in limits {
            assert_eq!(limit(asked).unwrap(), given);
        }
        assert!(limit(Some(-1)).is_err());
    }

    #[test]
    fn folding_stops_at_the_first_delimiter_after_the_prefix() {
        assert_eq!(fold("a/b/c", "", "/"), Some("a/"));
        assert_eq!(fold("a/b/c", "a/", "/"), Some("a/b/"));
        assert_eq!(fold("a/b", "a/b", "/"), None);
        assert_eq!(fold("a/b", "", ""), None);
        assert_eq!(fold("aλλb", "a", "λ"), Some("aλ"));
    }
}
