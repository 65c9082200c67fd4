//! The value of the `Date` header, formatted at most once a second.

// std
use std::fmt;
use std::io::Write;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

// crates
use http::HeaderValue;
use httpdate::HttpDate;

/// The length of a `Date` header's value in bytes (IMF-fixdate, RFC 9110 section 5.6.7).
pub const DATE_BYTES: usize = 29;

/// The text of a `Date` header, formatted again only when the second changes.
///
/// # Examples
/// ```
/// use std::time::{Duration, UNIX_EPOCH};
///
/// use brigade_http::protocol::DateCache;
///
/// let mut cache = DateCache::new();
/// let now = UNIX_EPOCH + Duration::from_secs(784_111_777);
/// assert_eq!(cache.bytes(now), b"Sun, 06 Nov 1994 08:49:37 GMT");
/// ```
#[derive(Clone)]
pub struct DateCache {
    /// The time of `text`, in seconds since the Unix epoch.
    second: u64,
    text: [u8; DATE_BYTES],
    /// The text as a header, once one was wanted.
    header: OnceLock<HeaderValue>,
}

impl DateCache {
    /// Creates a cache that holds the Unix epoch.
    #[must_use]
    pub fn new() -> Self {
        let text = *b"Thu, 01 Jan 1970 00:00:00 GMT";
        Self { second: 0, text, header: OnceLock::new() }
    }

    /// Returns `now` as in `Sun, 06 Nov 1994 08:49:37 GMT`. Times before 1970 are given as the
    /// first second of 1970, times after 9999 as the last second of 9999.
    pub fn bytes(&mut self, now: SystemTime) -> &[u8; DATE_BYTES] {
        let second = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        if second != self.second {
            self.format(second);
        }
        &self.text
    }

    /// Returns the result of the last call of [`bytes`](Self::bytes).
    #[must_use]
    pub const fn text(&self) -> &[u8; DATE_BYTES] {
        &self.text
    }

    /// Returns the same as a header. All headers of a second share their memory.
    #[cfg_attr(not(feature = "http2"), allow(dead_code, reason = "only HTTP/2 needs it"))]
    pub(crate) fn header(&self) -> HeaderValue {
        let header = || HeaderValue::from_bytes(&self.text).expect("a date is printable");
        self.header.get_or_init(header).clone()
    }

    fn format(&mut self, second: u64) {
        const LAST_SECOND_OF_9999: u64 = 253_402_300_799;
        let moment = UNIX_EPOCH + Duration::from_secs(second.min(LAST_SECOND_OF_9999));
        // Writing 29 bytes into a slice of 29 bytes cannot fail.
        let _ = write!(&mut self.text[..], "{}", HttpDate::from(moment));
        self.second = second;
        self.header.take();
    }
}

impl Default for DateCache {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for DateCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("DateCache").field(&String::from_utf8_lossy(&self.text)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(cache: &mut DateCache, second: u64) -> String {
        String::from_utf8(cache.bytes(UNIX_EPOCH + Duration::from_secs(second)).to_vec()).unwrap()
    }

    #[test]
    fn the_example_of_the_rfc_is_formatted() {
        let mut cache = DateCache::new();
        assert_eq!(text(&mut cache, 784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(text(&mut cache, 784_111_778), "Sun, 06 Nov 1994 08:49:38 GMT");
    }

    #[test]
    fn the_header_is_the_last_text() {
        let mut cache = DateCache::new();
        for second in [784_111_777, 784_111_777, 784_111_778] {
            let text = text(&mut cache, second);
            assert_eq!([cache.header(), cache.header()], [&*text, &*text]);
        }
    }

    #[test]
    fn times_outside_of_the_format_are_clamped() {
        let mut cache = DateCache::new();
        let before = UNIX_EPOCH - Duration::from_secs(5);
        assert_eq!(cache.bytes(before), b"Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(text(&mut cache, 300_000_000_000), "Fri, 31 Dec 9999 23:59:59 GMT");
    }
}
