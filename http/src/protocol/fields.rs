//! The header lines or trailer lines of a received message.

// std
use std::cell::OnceCell;
use std::fmt;

// crates
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};

// ours
use crate::protocol::syntax::trim_ows;

/// A part of a head, as offsets from the start of the head.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Span {
    pub(crate) start: u16,
    pub(crate) end: u16,
}

impl Span {
    pub(crate) const fn is_empty(self) -> bool {
        self.start == self.end
    }
}

/// Header lines as they were received, and a map of them that is built on demand.
///
/// The bytes are copied into memory that is reused for one head after another. That costs less than
/// sharing the receive buffer by a reference count.
#[derive(Clone)]
pub(crate) struct Fields {
    bytes: Vec<u8>,
    map: OnceCell<Box<HeaderMap>>,
    /// The offset of the first line in `bytes`.
    start: u16,
}

impl Fields {
    /// Creates an instance without lines.
    pub(crate) const fn empty() -> Self {
        Self { bytes: Vec::new(), map: OnceCell::new(), start: 0 }
    }

    /// Copies `head`, whose lines begin at `start`. They have been checked, and each ends in CR LF.
    pub(crate) fn new(head: &[u8], start: u16) -> Self {
        Self { bytes: head.to_vec(), map: OnceCell::new(), start }
    }

    /// Does the same as [`new`](Self::new), but reuses the memory of this instance.
    pub(crate) fn fill(&mut self, head: &[u8], start: u16) {
        self.map.take();
        self.bytes.clear();
        // Exact, since a handler may hold the head for long.
        self.bytes.reserve_exact(head.len());
        self.bytes.extend_from_slice(head);
        self.start = start;
    }

    /// Removes the lines with these names, ignoring case.
    pub(crate) fn remove(&mut self, names: &[&str]) {
        let is_removed = |line: &[u8]| {
            let name = &line[..memchr::memchr(b':', line).unwrap_or(0)];
            names.iter().any(|removed| name.eq_ignore_ascii_case(removed.as_bytes()))
        };
        let (first, lines) = self.bytes.split_at(self.start.into());
        let lines = lines.split_inclusive(|&byte| byte == b'\n').filter(|line| !is_removed(line));
        self.bytes = [first].into_iter().chain(lines).flatten().copied().collect();
        self.map.take();
    }

    /// Drops the map, and also the memory of the lines if that is more than `bytes_max`.
    pub(crate) fn release(&mut self, bytes_max: usize) {
        self.map.take();
        if self.bytes.capacity() > bytes_max {
            self.bytes = Vec::new();
        }
    }

    /// Returns the whole head as it was received, including the start line.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns a part of the head that decoding has found to be ASCII.
    pub(crate) fn text(&self, part: Span) -> &str {
        std::str::from_utf8(self.part(part)).unwrap_or_default()
    }

    pub(crate) fn part(&self, part: Span) -> &[u8] {
        self.bytes.get(usize::from(part.start)..usize::from(part.end)).unwrap_or_default()
    }

    pub(crate) fn lines(&self) -> HeaderLines<'_> {
        HeaderLines { rest: self.bytes.get(usize::from(self.start)..).unwrap_or_default() }
    }

    pub(crate) fn value(&self, name: &str) -> Option<&[u8]> {
        self.lines()
            .find(|(known, _)| known.eq_ignore_ascii_case(name.as_bytes()))
            .map(|(_, value)| value)
    }

    pub(crate) fn map(&self) -> &HeaderMap {
        self.map.get_or_init(|| Box::new(self.build_map()))
    }

    /// Returns a map of its own. Unless there is one to copy, it is built.
    pub(crate) fn to_map(&self) -> HeaderMap {
        self.map.get().map_or_else(|| self.build_map(), |map| (**map).clone())
    }

    /// Builds a map whose values share one copy of the received bytes.
    fn build_map(&self) -> HeaderMap {
        let mut map = HeaderMap::with_capacity(self.lines_count());
        self.for_each(|name, value| {
            map.append(name, value);
        });
        map
    }

    fn lines_count(&self) -> usize {
        memchr::memchr_iter(b'\n', self.lines().rest).count()
    }

    /// Calls `take` with each line. The values share one copy of the received bytes.
    pub(crate) fn for_each(&self, mut take: impl FnMut(HeaderName, HeaderValue)) {
        let bytes = Bytes::copy_from_slice(&self.bytes);
        let lines = HeaderLines { rest: bytes.get(usize::from(self.start)..).unwrap_or_default() };
        for (name, value) in lines {
            let shared = bytes.slice_ref(value);
            let name = HeaderName::from_bytes(name);
            let value = HeaderValue::from_maybe_shared(shared);
            debug_assert!(
                name.is_ok() && value.is_ok(),
                "the decoder accepts only what these types accept"
            );
            if let (Ok(name), Ok(value)) = (name, value) {
                take(name, value);
            }
        }
    }
}

impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = String::from_utf8_lossy;
        f.debug_map().entries(self.lines().map(|(name, value)| (text(name), text(value)))).finish()
    }
}

/// An iterator over header lines, as name and value, in the order and the case in which they were
/// sent. White space around a value is left out.
#[derive(Clone, Debug)]
pub struct HeaderLines<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for HeaderLines<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let end = memchr::memchr(b'\n', self.rest)?;
        let (line, rest) = self.rest.split_at(end + 1);
        self.rest = rest;
        let colon = memchr::memchr(b':', line)?;
        Some((&line[..colon], trim_ows(line[colon + 1..].strip_suffix(b"\r\n")?)))
    }
}
