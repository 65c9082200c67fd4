//! Which part of a file is wanted (RFC 9110 section 14.1.2).

use std::ops::Range;

use crate::protocol::syntax::trim_ows;

/// What a `Range` header asks of so many bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Everything: the header is malformed, of another unit, or asks for several ranges; all of
    /// which may be ignored (RFC 9110 section 14.2).
    Whole,
    /// These bytes, and at least one.
    Part(Range<u64>),
    /// Bytes of which there are none.
    Nothing,
}

impl Wanted {
    pub(super) fn parse(value: &[u8], length: u64) -> Self {
        match parse(value) {
            _ if length == 0 => Self::Whole,
            Some((Some(first), _)) if first >= length => Self::Nothing,
            Some((Some(first), last)) => {
                Self::Part(first..last.map_or(length, |last| length.min(last.saturating_add(1))))
            }
            Some((None, Some(0))) => Self::Nothing,
            Some((None, Some(suffix))) => Self::Part(length.saturating_sub(suffix)..length),
            Some((None, None)) | None => Self::Whole,
        }
    }
}

/// The first and the last byte of a single range, or, without a first one, how many at the end.
fn parse(value: &[u8]) -> Option<(Option<u64>, Option<u64>)> {
    let text = std::str::from_utf8(value).ok()?;
    let (unit, range) = text.split_once('=')?;
    if !unit.eq_ignore_ascii_case("bytes") {
        return None;
    }
    let (first, last) = std::str::from_utf8(trim_ows(range.as_bytes())).ok()?.split_once('-')?;
    let (first, last) = (number(first)?, number(last)?);
    let is_valid = match (first, last) {
        (Some(first), Some(last)) => first <= last,
        (None, None) => false,
        _ => true,
    };
    is_valid.then_some((first, last))
}

/// `Some(None)` for no digits at all; a number beyond all files for too many.
fn number(text: &str) -> Option<Option<u64>> {
    if text.is_empty() {
        return Some(None);
    }
    let is_decimal = text.bytes().all(|byte| byte.is_ascii_digit());
    is_decimal.then(|| Some(text.parse().unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_ten_bytes() {
        for (value, wanted) in [
            ("bytes=0-0", Wanted::Part(0..1)),
            ("bytes=2-4", Wanted::Part(2..5)),
            ("Bytes= 2-4 ", Wanted::Part(2..5)),
            ("bytes=9-", Wanted::Part(9..10)),
            ("bytes=5-99", Wanted::Part(5..10)),
            ("bytes=0-99999999999999999999999", Wanted::Part(0..10)),
            ("bytes=0-18446744073709551615", Wanted::Part(0..10)),
            ("bytes=-3", Wanted::Part(7..10)),
            ("bytes=-30", Wanted::Part(0..10)),
            ("bytes=10-", Wanted::Nothing),
            ("bytes=10-20", Wanted::Nothing),
            ("bytes=99999999999999999999999-", Wanted::Nothing),
            ("bytes=-0", Wanted::Nothing),
            ("bytes=4-2", Wanted::Whole),
            ("bytes=-", Wanted::Whole),
            ("bytes=", Wanted::Whole),
            ("bytes", Wanted::Whole),
            ("bytes=0-1,3-4", Wanted::Whole),
            ("bytes=+1-2", Wanted::Whole),
            ("bytes=1 - 2", Wanted::Whole),
            ("bytes=0x1-", Wanted::Whole),
            ("lines=1-2", Wanted::Whole),
        ] {
            assert_eq!(Wanted::parse(value.as_bytes(), 10), wanted, "{value}");
            assert_eq!(Wanted::parse(value.as_bytes(), 0), Wanted::Whole, "{value}");
        }
    }
}
