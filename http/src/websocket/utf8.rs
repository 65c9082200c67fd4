//! Checks a text that arrives in parts for being UTF-8.

use std::str::from_utf8;

use crate::websocket::error::WsError;

/// Checks `text` from `checked` on, up to which it was checked before. Returns up to where it is
/// UTF-8 now: up to its end, or to the beginning of a character whose rest is still to come.
///
/// # Errors
/// [`WsError::Utf8`] if no rest can make `text` UTF-8.
pub(super) fn check(text: &[u8], checked: usize) -> Result<usize, WsError> {
    match from_utf8(&text[checked..]) {
        Ok(_) => Ok(text.len()),
        Err(error) if error.error_len().is_none() => Ok(checked + error.valid_up_to()),
        Err(_) => Err(WsError::Utf8),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks `text` byte by byte. Returns after how many bytes it is refused.
    fn refused_after(text: &[u8]) -> Option<usize> {
        let mut checked = 0;
        for end in 1..=text.len() {
            match check(&text[..end], checked) {
                Ok(now) => checked = now,
                Err(_) => return Some(end),
            }
        }
        assert_eq!(checked == text.len(), from_utf8(text).is_ok());
        None
    }

    #[test]
    fn a_text_is_refused_at_the_first_byte_after_which_it_cannot_become_utf8() {
        for good in ["κόσμε", "\u{10FFFF}", "\u{D7FF}\u{E000}", "a\u{0}b", ""] {
            assert_eq!(refused_after(good.as_bytes()), None, "{good}");
        }
        for (bad, after) in [
            (&b"ab\x80"[..], 3),
            (b"\xC0", 1),
            (b"\xED\xA0\x80", 2),
            (b"\xF4\x90\x80\x80", 2),
            (b"\xF5", 1),
            (b"\xE1\x80a", 3),
            (b"\xF0\x80", 2),
        ] {
            assert_eq!(refused_after(bad), Some(after), "{bad:?}");
        }
    }
}
