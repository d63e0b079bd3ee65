//! Interned strings.

use std::borrow::Cow;
use std::hash::BuildHasher;

use hashbrown::DefaultHashBuilder;

use crate::index::Index;
use crate::scan::Span;

/// Strings, each held once, known by position; position 0 is the empty string.
pub(crate) struct Strings {
    text: String,
    spans: Vec<Span>,
    index: Index,
    hasher: DefaultHashBuilder,
    /// Names cut to the limit so far.
    pub(crate) cut: u64,
}

impl Strings {
    pub(crate) fn new(hasher: DefaultHashBuilder) -> Self {
        let mut strings = Strings {
            text: String::new(),
            spans: Vec::new(),
            index: Index::default(),
            hasher,
            cut: 0,
        };
        strings.intern("");
        strings
    }

    pub(crate) fn len(&self) -> usize {
        self.spans.len()
    }

    #[inline]
    pub(crate) fn get(&self, position: u32) -> &str {
        let span = self.spans[position as usize];
        &self.text[span.start as usize..][..span.len as usize]
    }

    pub(crate) fn intern(&mut self, string: &str) -> u32 {
        let digest = self.digest(string.as_bytes());
        match self.find(digest, string.as_bytes()) {
            Some(position) => position,
            None => self.push(digest, string),
        }
    }

    /// Interns a name from outside: bytes that are no UTF-8 are spelled out,
    /// what is longer than `limit` is cut.
    pub(crate) fn intern_name(&mut self, bytes: &[u8], limit: usize) -> u32 {
        let digest = self.digest(bytes);
        if let Some(position) = self.find(digest, bytes) {
            return position;
        }
        match std::str::from_utf8(bytes) {
            Ok(name) if name.len() <= limit => self.push(digest, name),
            _ => {
                let (name, cut) = presentable(bytes, limit);
                self.cut += u64::from(cut);
                self.intern(&name)
            }
        }
    }

    #[inline]
    fn digest(&self, bytes: &[u8]) -> u64 {
        self.hasher.hash_one(bytes)
    }

    /// Bytes held.
    pub(crate) fn held(&self) -> usize {
        self.text.capacity() + self.spans.capacity() * size_of::<Span>() + self.index.held()
    }

    /// Keeps the strings at `order`, in that order, and forgets how to find any.
    pub(crate) fn reorder(&mut self, order: &[u32]) {
        self.spans = order.iter().map(|&i| self.spans[i as usize]).collect();
        self.index = Index::default();
    }

    /// Finds a string once they are sorted by [`Strings::reorder`].
    pub(crate) fn search(&self, string: &str) -> Option<usize> {
        let text = |span: &Span| &self.text[span.start as usize..][..span.len as usize];
        self.spans.binary_search_by(|span| text(span).cmp(string)).ok()
    }

    /// Bytes of all strings together.
    pub(crate) fn text_len(&self) -> usize {
        self.text.len()
    }

    #[inline]
    fn find(&self, digest: u64, bytes: &[u8]) -> Option<u32> {
        self.index.find(digest, |i| self.get(i).as_bytes() == bytes)
    }

    fn push(&mut self, digest: u64, string: &str) -> u32 {
        let position = self.spans.len() as u32;
        self.spans.push(Span { start: self.text.len() as u32, len: string.len() as u32 });
        self.text.push_str(string);
        self.index.insert(digest, position);
        position
    }
}

/// Any bytes as a name: what is no UTF-8 becomes `\xff` and the like, what is
/// beyond `limit` bytes is cut and closed by `…`. Tells whether it was cut.
pub(crate) fn presentable(bytes: &[u8], limit: usize) -> (Cow<'_, str>, bool) {
    let mut name = Cow::Borrowed("");
    for chunk in bytes.utf8_chunks() {
        if name.is_empty() {
            name = Cow::Borrowed(chunk.valid());
        } else {
            name.to_mut().push_str(chunk.valid());
        }
        for byte in chunk.invalid() {
            name.to_mut().push_str(&format!("\\x{byte:02x}"));
        }
    }
    if name.len() <= limit {
        return (name, false);
    }
    let end = name.floor_char_boundary(limit.saturating_sub('…'.len_utf8()));
    let mut cut = name.into_owned();
    cut.truncate(end);
    cut.push('…');
    (Cow::Owned(cut), true)
}
