//! The characters and lines of heads, trailers and chunk framing.

// std
use std::net::Ipv6Addr;

/// The characters of a token besides letters and digits (RFC 9110 section 5.6.2).
static TOKEN: [bool; 256] = alphanumeric_and(b"!#$%&'*+-.^_`|~");

/// The characters of a path: those of RFC 3986, and those that browsers and curl send unescaped.
/// Control characters, spaces, `#`, `<`, `>` and anything outside of ASCII are not among them.
static PATH: [bool; 256] = alphanumeric_and(b"!$%&'()*+,-./:;=@[]_~{}|\\^`\"");

/// The characters of a query, or of a whole target: those of a path, and the question mark.
static QUERY: [bool; 256] = alphanumeric_and(b"!$%&'()*+,-./:;=?@[]_~{}|\\^`\"");

/// The characters of a registered name (RFC 3986 section 3.2.2), except two. A comma could join two
/// hosts into one value, and a percent sign could spell one host in two ways; [`http::Uri`] does
/// not accept it either.
static NAME: [bool; 256] = alphanumeric_and(b"-._~!$&'()*+;=");

/// The digits of the largest port, 65535.
const PORT_DIGITS_MAX: usize = 5;

const fn is_control(byte: u8) -> bool {
    byte < b' ' || byte == 0x7f
}

const fn alphanumeric_and(others: &[u8]) -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        table[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let mut at = 0;
    while at < others.len() {
        table[others[at] as usize] = true;
        at += 1;
    }
    table
}

/// Returns how many bytes at the start of `text` are in `table`. Looks at blocks, for which the
/// compiler generates one look-up a byte without a counter.
fn leading(text: &[u8], table: &[bool; 256]) -> usize {
    const BLOCK: usize = 8;
    let mut rest = text;
    while let Some((block, after)) = rest.split_first_chunk::<BLOCK>() {
        if let Some(end) = block.iter().position(|&byte| !table[usize::from(byte)]) {
            return text.len() - rest.len() + end;
        }
        rest = after;
    }
    let end = rest.iter().position(|&byte| !table[usize::from(byte)]).unwrap_or(rest.len());
    text.len() - rest.len() + end
}

/// Returns `true` if all bytes of `text` are in `table`. Takes one branch for each block.
#[inline]
fn all_in(text: &[u8], table: &[bool; 256]) -> bool {
    const BLOCK: usize = 8;
    let all_of =
        |bytes: &[u8]| bytes.iter().fold(true, |all, &byte| all & table[usize::from(byte)]);
    let (blocks, rest) = text.as_chunks::<BLOCK>();
    blocks.iter().all(|block| all_of(block)) && all_of(rest)
}

/// Returns how many bytes at the start of `text` may be part of a token.
pub(crate) fn token_length(text: &[u8]) -> usize {
    leading(text, &TOKEN)
}

/// Returns how many bytes at the start of `text` are not control characters. Stops at a tab too,
/// although a value may contain one.
pub(crate) fn value_length(text: &[u8]) -> usize {
    /// Bytes that one vector comparison covers.
    const BLOCK: usize = 16;
    let mut rest = text;
    while let Some((block, after)) = rest.split_first_chunk::<BLOCK>()
        && !block.iter().fold(false, |found, &byte| found | is_control(byte))
    {
        rest = after;
    }
    text.len() - rest.len() + visible_length(rest)
}

/// Returns the same as [`value_length`], eight bytes at a time, for the last part of a value.
fn visible_length(text: &[u8]) -> usize {
    let mut rest = text;
    while let Some((word, after)) = rest.split_first_chunk() {
        let controls = controls(u64::from_le_bytes(*word));
        if controls != 0 {
            return text.len() - rest.len() + controls.trailing_zeros() as usize / 8;
        }
        rest = after;
    }
    let end = rest.iter().position(|&byte| is_control(byte)).unwrap_or(rest.len());
    text.len() - rest.len() + end
}

/// Finds the first control character in eight bytes: the lowest bit that is set in the result is
/// the highest bit of that byte. The result is 0 if there is none.
const fn controls(word: u64) -> u64 {
    const EACH: u64 = u64::MAX / 0xff;
    // A byte that is less than its subtrahend borrows from the bytes above it, so those may be
    // marked as well. Only the lowest mark counts. Bytes from 0x80 on are masked out.
    let below_space = word.wrapping_sub(EACH * 0x20) & !word;
    let delete = word ^ (EACH * 0x7f);
    let is_delete = delete.wrapping_sub(EACH) & !delete;
    (below_space | is_delete) & (EACH * 0x80)
}

/// Returns how many bytes at the start of `text` may be part of a path.
pub(crate) fn path_length(text: &[u8]) -> usize {
    leading(text, &PATH)
}

/// Returns how many bytes at the start of `text` may be part of a query, including its question
/// mark.
pub(crate) fn query_length(text: &[u8]) -> usize {
    leading(text, &QUERY)
}

/// Returns `true` if `byte` may be part of a path.
pub(crate) fn is_path_byte(byte: u8) -> bool {
    PATH[usize::from(byte)]
}

/// Returns `true` if `byte` may be part of a token.
pub(crate) fn is_token_byte(byte: u8) -> bool {
    TOKEN[byte as usize]
}

/// Returns `true` if `text` is a token: a method, a header name, a coding.
pub(crate) fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|&byte| is_token_byte(byte))
}

/// Returns `true` if every byte of `text` may be part of a request target.
pub(crate) fn is_target(text: &[u8]) -> bool {
    query_length(text) == text.len()
}

/// Returns the offset of the question mark in `target`, or its length if there is no query.
pub(crate) fn query_start(target: &[u8]) -> usize {
    // Most targets are too short for a vector search to pay off.
    target.iter().position(|&byte| byte == b'?').unwrap_or(target.len())
}

/// Returns `true` if `text` is a host with an optional port and nothing else: no user
/// information, no path, no list (RFC 9112 section 3.2, RFC 3986 section 3.2).
#[inline]
pub(crate) fn is_host_and_port(text: &[u8]) -> bool {
    is_name(text) || is_address_or_with_port(text)
}

/// Returns `true` if `text` is a registered name or an IPv4 address.
#[inline]
fn is_name(text: &[u8]) -> bool {
    !text.is_empty() && all_in(text, &NAME)
}

/// Returns `true` if `text` is an IP address in brackets, or a host with a port. Not inlined, so
/// that the usual case above needs few registers.
#[inline(never)]
fn is_address_or_with_port(text: &[u8]) -> bool {
    let is_host = |text: &[u8]| match text {
        [b'[', address @ .., b']'] => is_ipv6_address(address),
        name => is_name(name),
    };
    let digits = text.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    match text.split_at(text.len() - digits) {
        ([host @ .., b':'], port) => is_host(host) && is_port(port),
        _ => is_host(text),
    }
}

fn is_ipv6_address(text: &[u8]) -> bool {
    std::str::from_utf8(text).is_ok_and(|text| text.parse::<Ipv6Addr>().is_ok())
}

/// Returns `true` if the decimal digits `port` are a port. An empty one stands for the default
/// port (RFC 3986 section 3.2.3).
fn is_port(port: &[u8]) -> bool {
    let number =
        |digits: &[u8]| digits.iter().fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0'));
    port.len() <= PORT_DIGITS_MAX && number(port) <= u16::MAX.into()
}

/// Removes spaces and tabs from both ends (OWS, RFC 9110 section 5.6.3).
pub(crate) fn trim_ows(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = text {
        text = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

/// Returns the members of a comma-separated list, trimmed. Empty members are not left out.
pub(crate) fn list_members(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(trim_ows)
}

/// Returns `true` if `token` is a member of the list, ignoring case.
pub(crate) fn list_contains(value: &[u8], token: &[u8]) -> bool {
    list_members(value).any(|member| member.eq_ignore_ascii_case(token))
}

/// Parses a decimal number. Returns `None` unless `text` consists of digits without leading zeros
/// and the number fits 64 bits.
pub(crate) fn parse_decimal(text: &[u8]) -> Option<u64> {
    match text {
        [] | [b'0', _, ..] => None,
        digits => digits.iter().try_fold(0_u64, |number, &digit| {
            let value = char::from(digit).to_digit(10)?;
            number.checked_mul(10)?.checked_add(value.into())
        }),
    }
}

/// The error for a line feed without a carriage return before it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BareLineFeed;

/// Searches `block` for the blank line that ends it. Returns the length including the blank line,
/// or `None` if that has not arrived.
///
/// The search begins at offset `scanned`, which is updated, so that no byte is searched twice.
pub(crate) fn find_blank_line(
    block: &[u8],
    scanned: &mut usize,
) -> Result<Option<usize>, BareLineFeed> {
    let from = *scanned;
    for offset in memchr::memchr_iter(b'\n', &block[from..]) {
        let line = &block[..from + offset];
        match line {
            [.., b'\n', b'\r'] | [b'\r'] => return Ok(Some(line.len() + 1)),
            [.., b'\r'] => {}
            _ => return Err(BareLineFeed),
        }
    }
    *scanned = block.len();
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_hold_all_visible_characters_except_three() {
        for byte in 0..=u8::MAX {
            let is_refused = b"<>#".contains(&byte) || byte <= b' ' || byte >= 127;
            assert_eq!(query_length(&[byte]), usize::from(!is_refused), "{:?}", byte as char);
            let is_in_path = !is_refused && byte != b'?';
            assert_eq!(path_length(&[byte]), usize::from(is_in_path), "{:?}", byte as char);
            assert_eq!(is_path_byte(byte), is_in_path);
        }
    }

    #[test]
    fn a_value_ends_at_its_first_control_character() {
        let is_control = |byte: u8| matches!(byte, 0..=0x1f | 0x7f);
        // The limits of the ranges, and bytes that borrow or are borrowed from.
        let bytes = [0, 1, 9, 0x1f, 0x20, 0x21, 0x7e, 0x7f, 0x80, 0x81, 0x9f, 0xa0, 0xfe, 0xff];
        for length in 0..40 {
            for at in 0..length {
                for first in 0..=u8::MAX {
                    for second in bytes {
                        let mut text = vec![b'a'; length];
                        text[at] = first;
                        if at + 1 < length {
                            text[at + 1] = second;
                        }
                        let end = text.iter().position(|&byte| is_control(byte));
                        assert_eq!(value_length(&text), end.unwrap_or(length), "{text:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn hosts_are_names_or_addresses_with_an_optional_port() {
        let good = [
            "a",
            "localhost:80",
            "a.b-c_d",
            "[::1]",
            "[::1]:8080",
            "1.2.3.4:65535",
            "a:",
            "[::1]:",
            "80",
            "123456789",
            "long-name.of.several.blocks.example",
            "a:00080",
            "1:2",
        ];
        for host in good {
            assert!(is_host_and_port(host.as_bytes()), "{host}");
        }
        for byte in (0..=255).filter(|&byte| NAME[usize::from(byte)]) {
            let uri = [b"http://a", &[byte][..], b"b/"].concat();
            assert!(http::Uri::try_from(&uri[..]).is_ok(), "{:?} in a host", byte as char);
        }
        for host in good {
            assert!(http::Uri::try_from(format!("http://{host}?q")).is_ok(), "{host}");
        }
        let bad = "|:|:80|a:b|a:65536|a:123456|u@a|a/b|a,b|a b|[::1|[::1]x|[g]|[]|[|]|a:1:2|[::1]:x\
            |a\\b|a%41|a:8 0|a::80|[::1]80|[::1]]|a[::1]|longer/than/a/block|12345678 ";
        for host in bad.split('|') {
            assert!(!is_host_and_port(host.as_bytes()), "{host}");
        }
    }

    #[test]
    fn decimals_are_digits_without_leading_zeros() {
        assert_eq!(parse_decimal(b"0"), Some(0));
        assert_eq!(parse_decimal(b"18446744073709551615"), Some(u64::MAX));
        for bad in ["", "00", "07", "+5", "-1", "0x5", "1_0", "1Z", "1 2", "18446744073709551616"] {
            assert_eq!(parse_decimal(bad.as_bytes()), None, "{bad}");
        }
    }
}
