//! The `Range` header (RFC 9110 section 14.1.2).

use std::ops::Range;

use crate::protocol::syntax::trim_ows;

/// The part of a file that a `Range` header selects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Selection {
    /// The whole file. The header is ignored, as RFC 9110 section 14.2 allows, if it is malformed,
    /// has another unit or contains several ranges.
    Whole,
    /// These bytes, at least one.
    Part(Range<u64>),
    /// No bytes: the range is beyond the end of the file.
    Nothing,
}

impl Selection {
    /// Parses the value of a `Range` header for a file of `length` bytes.
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

/// Parses a single range to its first and last byte. Without a first one, the second number is how
/// many bytes at the end are selected.
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

/// Parses a number. The result is `Some(None)` if `text` is empty, and `u64::MAX` if the number is
/// too large.
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
    fn ranges_select_parts_of_a_file_of_ten_bytes() {
        for (value, selection) in [
            ("bytes=0-0", Selection::Part(0..1)),
            ("bytes=2-4", Selection::Part(2..5)),
            ("Bytes= 2-4 ", Selection::Part(2..5)),
            ("bytes=9-", Selection::Part(9..10)),
            ("bytes=5-99", Selection::Part(5..10)),
            ("bytes=0-99999999999999999999999", Selection::Part(0..10)),
            ("bytes=0-18446744073709551615", Selection::Part(0..10)),
            ("bytes=-3", Selection::Part(7..10)),
            ("bytes=-30", Selection::Part(0..10)),
            ("bytes=10-", Selection::Nothing),
            ("bytes=10-20", Selection::Nothing),
            ("bytes=99999999999999999999999-", Selection::Nothing),
            ("bytes=-0", Selection::Nothing),
            ("bytes=4-2", Selection::Whole),
            ("bytes=-", Selection::Whole),
            ("bytes=", Selection::Whole),
            ("bytes", Selection::Whole),
            ("bytes=0-1,3-4", Selection::Whole),
            ("bytes=+1-2", Selection::Whole),
            ("bytes=1 - 2", Selection::Whole),
            ("bytes=0x1-", Selection::Whole),
            ("lines=1-2", Selection::Whole),
        ] {
            assert_eq!(Selection::parse(value.as_bytes(), 10), selection, "{value}");
            assert_eq!(Selection::parse(value.as_bytes(), 0), Selection::Whole, "{value}");
        }
    }
}
