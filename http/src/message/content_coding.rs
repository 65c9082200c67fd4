//! Content codings, and which of them a client wants (RFC 9110 sections 8.4 and 12.5.3).

use http::HeaderValue;

use crate::protocol::head::RequestHead;
use crate::protocol::syntax::{list_members, trim_ows};

/// A way to compress a body. Those that compress better come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ContentCoding {
    Zstd,
    Brotli,
    Gzip,
}

impl ContentCoding {
    pub(crate) const ALL: [Self; 3] = [Self::Zstd, Self::Brotli, Self::Gzip];

    /// Returns the name in `Content-Encoding` and `Accept-Encoding`.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Brotli => "br",
            Self::Gzip => "gzip",
        }
    }

    pub(crate) const fn value(self) -> HeaderValue {
        HeaderValue::from_static(self.name())
    }

    /// Returns `true` if `name` is that of this coding.
    pub(crate) fn is_named(self, name: &[u8]) -> bool {
        let is_alias = || self == Self::Gzip && name.eq_ignore_ascii_case(b"x-gzip");
        name.eq_ignore_ascii_case(self.name().as_bytes()) || is_alias()
    }

    /// Returns the coding that the client of `head` likes best among `offered`, of which the first
    /// ones are preferred. `None` if it likes the plain content better, or accepts none of them.
    pub(crate) fn negotiate(
        head: &RequestHead,
        offered: impl IntoIterator<Item = Self>,
    ) -> Option<Self> {
        let accepted = Accepted { head };
        let plain = accepted.quality(|name| name.eq_ignore_ascii_case(b"identity"));
        let mut best = None;
        for coding in offered {
            let quality = accepted.quality(|name| coding.is_named(name)).unwrap_or(0);
            let is_acceptable = quality > 0 && quality >= plain.unwrap_or(0);
            if is_acceptable && best.is_none_or(|(known, _)| quality > known) {
                best = Some((quality, coding));
            }
        }
        best.map(|(_, coding)| coding)
    }
}

/// The `Accept-Encoding` of a request.
pub(super) struct Accepted<'a> {
    pub(super) head: &'a RequestHead,
}

impl Accepted<'_> {
    /// Returns the quality that the client gives to the coding that `is_named` accepts, in
    /// thousandths: its own, or else that of `*`. `None` if it lists neither.
    pub(super) fn quality(&self, is_named: impl Fn(&[u8]) -> bool) -> Option<u16> {
        let lines = self.head.header_lines();
        let lines = lines.filter(|(name, _)| name.eq_ignore_ascii_case(b"accept-encoding"));
        let mut any = None;
        for member in lines.flat_map(|(_, value)| list_members(value)) {
            let end = memchr::memchr(b';', member).unwrap_or(member.len());
            let (name, weight) = (trim_ows(&member[..end]), &member[end..]);
            if is_named(name) {
                return Some(quality_of(weight));
            }
            if name == b"*" {
                any = Some(quality_of(weight));
            }
        }
        any
    }
}

/// Returns the quality in `weight`, such as `;q=0.5`, in thousandths. One that is malformed counts
/// as zero: the coding is not used.
fn quality_of(weight: &[u8]) -> u16 {
    let Some(weight) = weight.strip_prefix(b";") else { return 1000 };
    let [b'q' | b'Q', b'=', digits @ ..] = trim_ows(weight) else { return 0 };
    match digits {
        [b'1'] | [b'1', b'.'] => 1000,
        [b'1', b'.', zeros @ ..] if zeros.len() <= 3 && zeros.iter().all(|&b| b == b'0') => 1000,
        [b'0'] => 0,
        [b'0', b'.', digits @ ..] if digits.len() <= 3 && digits.iter().all(u8::is_ascii_digit) => {
            let digit = |index| digits.get(index).map_or(0, |digit| u16::from(digit - b'0'));
            100 * digit(0) + 10 * digit(1) + digit(2)
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;
    use crate::message::request::Request;

    fn head(lines: &[&'static str]) -> Request {
        let request = Request::builder(Method::GET, "/");
        let add = |request: crate::RequestBuilder, value: &&'static str| {
            request.header("accept-encoding", HeaderValue::from_static(value))
        };
        lines.iter().fold(request, add).build().unwrap()
    }

    #[test]
    fn the_coding_with_the_highest_quality_is_chosen_and_of_equals_the_first() {
        for (lines, expected) in [
            (&["gzip"][..], Some("gzip")),
            (&["gzip, br"], Some("br")),
            (&["gzip, deflate, br, zstd"], Some("zstd")),
            (&["GZIP"], Some("gzip")),
            (&["x-gzip"], Some("gzip")),
            (&["br;q=0.5, gzip;q=0.8"], Some("gzip")),
            (&["br ; q=0.501,gzip;Q=0.5"], Some("br")),
            (&["gzip;q=1.000, br;q=0.999"], Some("gzip")),
            (&["br;q=0.5", "gzip"], Some("gzip")),
            (&["*"], Some("zstd")),
            (&["zstd;q=0, *;q=0.1"], Some("br")),
            (&["gzip;q=0"], None),
            (&["gzip;q=0.000"], None),
            (&["identity"], None),
            (&["identity, gzip;q=0.9"], None),
            (&["identity;q=0.5, gzip;q=0.9"], Some("gzip")),
            (&["*;q=0"], None),
            (&["deflate"], None),
            (&[""], None),
            (&[], None),
            (&["gzip;q=2"], None),
            (&["gzip;q=0.1234"], None),
            (&["gzip;level=9"], None),
            (&["gzipped"], None),
        ] {
            let coding = ContentCoding::negotiate(&head(lines), ContentCoding::ALL);
            assert_eq!(coding.map(ContentCoding::name), expected, "{lines:?}");
        }
        let coding = ContentCoding::negotiate(&head(&["zstd, gzip"]), [ContentCoding::Gzip]);
        assert_eq!(coding, Some(ContentCoding::Gzip));
    }
}
