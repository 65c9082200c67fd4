//! The normal form of paths, in which those of routes and requests are compared.
//!
//! A character can be sent as it is or percent-encoded. Both are the same (RFC 3986 section 6.2.2)
//! unless the character is reserved: `/a%2Db` is `/a-b`, but `/a%2Fb` is not `/a/b`. In the normal
//! form a character is encoded, with upper-case digits, only if it is reserved or cannot be sent as
//! it is.

use std::borrow::Cow;

use crate::protocol::syntax::is_path_byte;

/// The characters that may mean something else when they are encoded (RFC 3986 section 2.2). The
/// brackets are not among them, since a path that follows the RFC does not contain them.
const RESERVED: &[u8] = b"!$&'()*+,;=:@/%";

/// A character of a path in normal form.
#[derive(Clone, Copy)]
enum Unit {
    Plain(u8),
    Encoded(u8),
}

impl Unit {
    /// Returns the first character of `path`, which is not empty, and how many bytes it takes.
    fn first(path: &[u8]) -> (Self, usize) {
        let byte = path[0];
        let digits = path.strip_prefix(b"%").and_then(|rest| rest.first_chunk());
        match digits.and_then(decode) {
            Some(byte) if is_path_byte(byte) && !RESERVED.contains(&byte) => (Self::Plain(byte), 3),
            Some(byte) => (Self::Encoded(byte), 3),
            None if is_path_byte(byte) && byte != b'%' => (Self::Plain(byte), 1),
            None => (Self::Encoded(byte), 1),
        }
    }

    const fn length(self) -> usize {
        match self {
            Self::Plain(_) => 1,
            Self::Encoded(_) => 3,
        }
    }

    fn write(self, out: &mut String) {
        match self {
            Self::Plain(byte) => out.push(char::from(byte)),
            Self::Encoded(byte) => {
                let digit = |value| char::from(b"0123456789ABCDEF"[usize::from(value)]);
                out.extend(['%', digit(byte >> 4), digit(byte & 0xf)]);
            }
        }
    }
}

fn decode(digits: &[u8; 2]) -> Option<u8> {
    let value = |digit| char::from(digit).to_digit(16);
    Some((value(digits[0])? << 4 | value(digits[1])?) as u8)
}

/// Returns the normal form of the path of a request. A path without a percent sign is its own.
pub(super) fn normal_path(path: &str) -> Cow<'_, str> {
    if memchr::memchr(b'%', path.as_bytes()).is_none() {
        return Cow::Borrowed(path);
    }
    let mut normal = String::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while !rest.is_empty() {
        let (unit, length) = Unit::first(rest);
        unit.write(&mut normal);
        rest = &rest[length..];
    }
    Cow::Owned(normal)
}

/// Returns the offset in `path` of what is at `offset` in its normal form.
pub(super) fn offset_in_path(path: &str, offset: usize) -> usize {
    let (mut before, mut normal) = (0, 0);
    while normal < offset {
        let (unit, length) = Unit::first(&path.as_bytes()[before..]);
        before += length;
        normal += unit.length();
    }
    before
}

/// Returns the normal form of the path of a route. Parameters and escaped braces are left as they
/// are.
pub(super) fn normal_pattern(pattern: &str) -> String {
    let mut normal = String::with_capacity(pattern.len());
    let mut rest = pattern;
    while !rest.is_empty() {
        let verbatim = match rest.as_bytes() {
            [b'{', b'{', ..] | [b'}', b'}', ..] => 2,
            // A brace that is not closed is refused when the route is added to the tree.
            [b'{', ..] => rest.find('}').map_or(rest.len(), |end| end + 1),
            [b'}', ..] => 1,
            _ => 0,
        };
        let (copied, after) = rest.split_at(verbatim);
        normal.push_str(copied);
        let literal = after.find(['{', '}']).unwrap_or(after.len());
        let (literal, after) = match verbatim {
            0 => after.split_at(literal),
            _ => ("", after),
        };
        push_literal(literal.as_bytes(), &mut normal);
        rest = after;
    }
    normal
}

/// Appends the normal form of a part of a pattern in which no brace has a meaning.
fn push_literal(mut literal: &[u8], normal: &mut String) {
    while !literal.is_empty() {
        let (unit, length) = Unit::first(literal);
        unit.write(normal);
        if let Unit::Plain(brace @ (b'{' | b'}')) = unit {
            normal.push(char::from(brace));
        }
        literal = &literal[length..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_reserved_and_invalid_characters_stay_encoded() {
        for (path, normal) in [
            ("/a%2Db%2e%5F%7e%41%7a%30", "/a-b._~Az0"),
            ("/a%2fb%3b%3D%40%2B", "/a%2Fb%3B%3D%40%2B"),
            ("/caf%c3%a9", "/caf%C3%A9"),
            ("/%20%00%3c%23%3F", "/%20%00%3C%23%3F"),
            ("/%7Bx%7d%7C%22%60%5b%5D", "/{x}|\"`[]"),
            ("/100%/%4/%zz/%25", "/100%25/%254/%25zz/%25"),
            ("/%%32%35", "/%2525"),
        ] {
            assert_eq!(normal_path(path), normal);
            assert_eq!(normal_path(&normal_path(path)), normal, "the normal form is stable");
        }
        assert!(matches!(normal_path("/plain+:@|"), Cow::Borrowed(_)));
    }

    #[test]
    fn offsets_in_the_normal_form_lead_back_to_the_path() {
        let path = "/%2D%c3%a9%/x";
        let normal = normal_path(path);
        assert_eq!(normal, "/-%C3%A9%25/x");
        for (in_normal, in_path) in [(0, 0), (1, 1), (2, 4), (5, 7), (8, 10), (11, 11), (13, 13)] {
            assert_eq!(offset_in_path(path, in_normal), in_path);
        }
    }

    #[test]
    fn the_literals_of_a_pattern_are_encoded_and_its_parameters_are_not() {
        for (pattern, normal) in [
            ("/café/{é}/{*rest}", "/caf%C3%A9/{é}/{*rest}"),
            ("/a b/%2d%2f", "/a%20b/-%2F"),
            ("/{{x}}%7By%7D", "/{{x}}{{y}}"),
            ("/x{a}é", "/x{a}%C3%A9"),
            ("/100%", "/100%25"),
            ("/{open", "/{open"),
        ] {
            assert_eq!(normal_pattern(pattern), normal);
        }
    }
}
