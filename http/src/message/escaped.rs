//! Text of a peer in log lines and error texts.

use std::fmt::{self, Display, Write};

/// Displays a value with its control characters escaped, such as line ends, which could forge a
/// line of the log, and those that change the direction of text.
pub(crate) struct Escaped<T>(pub(crate) T);

impl<T: Display> Display for Escaped<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escaping { out: f }, "{}", self.0)
    }
}

struct Escaping<'a, 'b> {
    out: &'a mut fmt::Formatter<'b>,
}

impl Write for Escaping<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        while let Some(at) = rest.find(is_escaped) {
            let (plain, after) = rest.split_at(at);
            self.out.write_str(plain)?;
            let mut chars = after.chars();
            if let Some(character) = chars.next() {
                write!(self.out, "{}", character.escape_default())?;
            }
            rest = chars.as_str();
        }
        self.out.write_str(rest)
    }
}

/// Returns `true` for control characters, for the separators of lines and paragraphs, and for the
/// marks and overrides of the writing direction.
pub(crate) fn is_escaped(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped_and_others_are_not() {
        for (text, shown) in [
            ("plain \"text\" é \\", "plain \"text\" é \\"),
            ("a\r\nERROR b\0", "a\\r\\nERROR b\\u{0}"),
            ("\u{1b}[2J\u{7f}\u{85}", "\\u{1b}[2J\\u{7f}\\u{85}"),
            ("\u{202e}\u{2028}\u{2066}", "\\u{202e}\\u{2028}\\u{2066}"),
            ("", ""),
        ] {
            assert_eq!(Escaped(text).to_string(), shown);
        }
    }
}
