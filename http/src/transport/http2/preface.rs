//! Recognizes the first bytes of a client that speaks HTTP/2 without asking.

/// What every client of HTTP/2 sends first (RFC 9113 section 3.4).
pub(crate) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What the first bytes of a connection are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Preface {
    /// They do not begin with the preface.
    NotHttp2,
    /// They are a beginning of the preface.
    NeedMore,
    /// They begin with the preface.
    Http2,
}

/// Compares the first bytes of a connection with the preface. One byte is enough to know that a
/// request of HTTP/1.1 is none, unless its method begins with a `P`.
pub(crate) fn preface(first: &[u8]) -> Preface {
    let known = first.len().min(PREFACE.len());
    match first[..known] == PREFACE[..known] {
        false => Preface::NotHttp2,
        true if known < PREFACE.len() => Preface::NeedMore,
        true => Preface::Http2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_beginning_of_the_preface_needs_more_and_the_whole_is_http2() {
        for length in 0..PREFACE.len() {
            assert_eq!(preface(&PREFACE[..length]), Preface::NeedMore, "{length}");
        }
        assert_eq!(preface(PREFACE), Preface::Http2);
        assert_eq!(preface(&[PREFACE, &b"\0\0\0\x04"[..]].concat()), Preface::Http2);
    }

    #[test]
    fn requests_of_http1_are_no_preface_from_the_first_byte_that_differs() {
        for first in ["G", "GET / HTTP/1.1\r\n", "PO", "PRI * HTTP/1", "PRI /", "pri", "\r\n"] {
            assert_eq!(preface(first.as_bytes()), Preface::NotHttp2, "{first:?}");
        }
        let mut wrong = *PREFACE;
        for at in 0..wrong.len() {
            wrong[at] ^= 1;
            assert_eq!(preface(&wrong), Preface::NotHttp2, "{at}");
            wrong[at] ^= 1;
        }
    }
}
