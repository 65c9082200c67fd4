//! Queries and forms: percent-encoded pairs of names and values.

use std::borrow::Cow;
use std::collections::BTreeMap;

/// Values by name, sorted by name; the values of a name are in the order of the request.
pub(crate) type Values = BTreeMap<String, Vec<String>>;

/// Parses a query. Malformed pairs are left out.
pub(crate) fn parse_query(query: &str) -> Values {
    let mut values = Values::new();
    for (name, value) in pairs(query).flatten() {
        values.entry(name).or_default().push(value);
    }
    values
}

/// Parses a form. A malformed pair is an error.
pub(crate) fn parse_form(form: &str) -> Result<Values, String> {
    let mut values = Values::new();
    for pair in pairs(form) {
        let (name, value) = pair?;
        values.entry(name).or_default().push(value);
    }
    Ok(values)
}

fn pairs(text: &str) -> impl Iterator<Item = Result<(String, String), String>> {
    text.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        if pair.contains(';') {
            return Err(format!("a semicolon in {pair:?}: pairs are separated by &"));
        }
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        Ok((decode(&name.replace('+', " "))?, decode(&value.replace('+', " "))?))
    })
}

/// Decodes percent-encoding. Bytes that are not UTF-8 become U+FFFD.
pub(crate) fn decode(text: &str) -> Result<String, String> {
    let mut parts = text.split('%');
    let mut decoded = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let Some(byte) = part.get(..2).and_then(hex_byte) else {
            let wrong: String = part.chars().take(2).collect();
            return Err(format!("invalid URL escape \"%{wrong}\""));
        };
        decoded.push(byte);
        decoded.extend_from_slice(&part.as_bytes()[2..]);
    }
    Ok(match String::from_utf8_lossy(&decoded) {
        Cow::Borrowed(text) => text.to_owned(),
        Cow::Owned(text) => text,
    })
}

fn hex_byte(digits: &str) -> Option<u8> {
    let is_hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    u8::from_str_radix(digits, 16).ok().filter(|_| is_hex)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_leaves_malformed_pairs_out() {
        let values = parse_query("b=2&a=1&&a=%31+%2B&c&x=%zz&y=%4&z;w=1&=e&%C3%A4=%ff");
        let expected = [
            ("", vec!["e"]),
            ("a", vec!["1", "1 +"]),
            ("b", vec!["2"]),
            ("c", vec![""]),
            ("\u{e4}", vec!["\u{fffd}"]),
        ];
        let values: Vec<_> = values.into_iter().collect();
        let expected: Vec<_> = expected
            .into_iter()
            .map(|(name, values)| {
                (name.to_owned(), values.into_iter().map(str::to_owned).collect())
            })
            .collect();
        assert_eq!(values, expected);
    }

    #[test]
    fn a_form_is_refused_for_a_malformed_pair() {
        assert_eq!(parse_form("a=1&b=%2x"), Err("invalid URL escape \"%2x\"".to_owned()));
        assert!(parse_form("a=1;b=2").is_err());
        assert_eq!(parse_form("").map(|values| values.len()), Ok(0));
    }

    #[test]
    fn decoding_takes_hexadecimal_digits_only() {
        assert_eq!(decode("%C2%b5s"), Ok("\u{b5}s".to_owned()));
        for text in ["%", "%1", "%+1", "%1\u{e4}", "a%g0"] {
            assert!(decode(text).is_err(), "{text}");
        }
    }
}
