//! The text of one line of the log.

use std::fmt::{self, Write};

/// The longest text of a line, for a datagram of at most 1024 bytes (RFC 3164 section 4.1).
pub(crate) const LONGEST: usize = 980;

/// The text of a record on one line: bounded, and what could forge a line or hide a part of it
/// is written as an escape.
pub(crate) fn line(text: &fmt::Arguments<'_>) -> String {
    struct Line(String);
    impl fmt::Write for Line {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            for character in text.chars() {
                if self.0.len() > LONGEST {
                    return Err(fmt::Error);
                }
                if invisible(character) {
                    write!(self.0, "{}", character.escape_default())?;
                } else {
                    self.0.push(character);
                }
            }
            Ok(())
        }
    }
    let mut line = Line(String::new());
    // It ends with an error once the line is full.
    let _ = line.write_fmt(*text);
    let mut line = line.0;
    if line.len() > LONGEST {
        let boundary = |end: &usize| line.is_char_boundary(*end);
        let end = (0..=LONGEST - "...".len()).rev().find(boundary);
        line.truncate(end.unwrap_or_default());
        line.push_str("...");
    }
    line
}

/// Control characters, and those that change the direction or the look of the text around them.
fn invisible(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_cannot_be_forged() {
        let hostile = "a\n<0>kernel: b\r\0\x1b[2J\u{9b}\u{2028}\u{202e}c\u{feff}";
        assert_eq!(
            line(&format_args!("client {hostile} é 漢")),
            r"client a\n<0>kernel: b\r\u{0}\u{1b}[2J\u{9b}\u{2028}\u{202e}c\u{feff} é 漢"
        );
    }

    #[test]
    fn lines_are_bounded() {
        for (piece, count) in [("x", 70_000), ("é", 70_000), ("\0", 70_000), ("漢", 327)] {
            let line = line(&format_args!("{}", piece.repeat(count)));
            assert!(
                line.len() <= LONGEST && line.len() > LONGEST - 10,
                "{}",
                line.len()
            );
            assert!(line.ends_with("..."));
        }
        let full = "x".repeat(LONGEST);
        assert_eq!(line(&format_args!("{full}")), full);
    }
}
