//! The `Range` header (RFC 9110 section 14.2).

use std::ops::Range;

/// More ranges than a client needs; each costs a header of its own in the response.
const RANGES_MAX: usize = 100;

/// The parts that a `Range` header requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Everything: the header has an unknown unit, or requests too much.
    All,
    /// These parts, at least one, in the order of the header; none is empty.
    Parts(Vec<Range<u64>>),
    /// No byte that exists, or the header is malformed.
    Nothing,
}

/// Returns what `header` requests of `size` bytes.
pub(crate) fn parse(header: &str, size: u64) -> Wanted {
    let Some((unit, ranges)) = header.split_once('=') else { return Wanted::Nothing };
    if !unit.eq_ignore_ascii_case("bytes") {
        return Wanted::All;
    }
    let mut parts = Vec::new();
    for range in ranges.split(',').map(|range| range.trim_matches([' ', '\t'])) {
        match parse_range(range, size) {
            _ if range.is_empty() => {}
            Some(part) if part.is_empty() => {}
            Some(part) => parts.push(part),
            None => return Wanted::Nothing,
        }
    }
    let total: u64 = parts.iter().map(|part| part.end - part.start).sum();
    match parts.len() {
        0 => Wanted::Nothing,
        count if count > RANGES_MAX || total > size => Wanted::All,
        _ => Wanted::Parts(parts),
    }
}

/// Parses `first-last`, `first-` or `-length`. Returns an empty range if it lies beyond the end,
/// `None` if it is malformed.
fn parse_range(text: &str, size: u64) -> Option<Range<u64>> {
    let (first, last) = text.split_once('-')?;
    if first.is_empty() {
        let length = number(last)?;
        return Some(size - length.min(size)..size);
    }
    let first = number(first)?;
    let end = match last {
        "" => size,
        last => number(last).filter(|last| *last >= first)?.saturating_add(1).min(size),
    };
    Some(first.min(end)..end)
}

/// Parses digits only. A number too large for the type becomes the largest one.
fn number(digits: &str) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
    is_number.then(|| digits.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_cut_to_the_size() {
        for (header, parts) in [
            ("bytes=0-0", &[(0, 1)][..]),
            ("bytes=0-99", &[(0, 100)]),
            ("bytes=0-1000", &[(0, 100)]),
            ("bytes=90-", &[(90, 100)]),
            ("bytes=-10", &[(90, 100)]),
            ("bytes=-1000", &[(0, 100)]),
            ("Bytes=5-9", &[(5, 10)]),
            ("bytes=0-1, 5-6,\t-1", &[(0, 2), (5, 7), (99, 100)]),
            ("bytes=0-1,200-300", &[(0, 2)]),
            ("bytes=,0-1,", &[(0, 2)]),
            ("bytes=0-99999999999999999999999", &[(0, 100)]),
        ] {
            let parts = parts.iter().map(|(start, end)| *start..*end).collect();
            assert_eq!(parse(header, 100), Wanted::Parts(parts), "{header}");
        }
    }

    #[test]
    fn a_range_beyond_the_end_or_a_malformed_one_yields_nothing() {
        for header in [
            "bytes=100-",
            "bytes=100-200",
            "bytes=-0",
            "bytes=",
            "bytes",
            "",
            "bytes=-",
            "bytes=5-4",
            "bytes=a-b",
            "bytes=+1-2",
            "bytes=1",
            "bytes=1-2-3",
            "bytes=0-1,x",
        ] {
            assert_eq!(parse(header, 100), Wanted::Nothing, "{header}");
        }
    }

    #[test]
    fn ranges_that_sum_to_more_than_the_size_yield_everything() {
        let many = format!("bytes={}", vec!["0-0"; RANGES_MAX + 1].join(","));
        for header in ["items=0-1", "bytes=0-,0-", &many] {
            assert_eq!(parse(header, 1000), Wanted::All, "{header}");
        }
    }
}
