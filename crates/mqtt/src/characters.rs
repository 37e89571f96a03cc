//! The characters that strings may have (MQTT 5.0 section 1.5.4).
//!
//! U+0000 is forbidden. Control characters and non-characters a receiver may refuse; this one does, in every string, as
//! Mosquitto does: the others pass strings such as User Properties on to clients that refuse them, and what one client
//! sends must not end the connection of another (section 5.4.9).

/// What a string must not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// U+0000 [MQTT-1.5.4-2].
    Nul,
    /// U+0001 to U+001F, U+007F to U+009F, or a non-character.
    Control,
}

/// The classes of bytes that need a closer look; 0 is any other character of ASCII.
const NUL: u8 = 1;
const CONTROL: u8 = 2;
const WILDCARD: u8 = 4;
const NON_ASCII: u8 = 8;

static CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte = 0;
    while byte < classes.len() {
        classes[byte] = match byte as u8 {
            0 => NUL,
            0x01..=0x1F | 0x7F => CONTROL,
            b'+' | b'#' => WILDCARD,
            0x80.. => NON_ASCII,
            _ => 0,
        };
        byte += 1;
    }
    classes
};

/// Checks all characters in one pass over the bytes; tells whether `+` or `#` is among them.
#[inline]
pub(crate) fn check(string: &str) -> Result<bool, Refused> {
    let found = string
        .bytes()
        .fold(0, |found, byte| found | CLASSES[usize::from(byte)]);
    if found & !WILDCARD != 0 {
        look_closer(string, found)?;
    }
    Ok(found & WILDCARD != 0)
}

#[cold]
fn look_closer(string: &str, found: u8) -> Result<(), Refused> {
    if found & NUL != 0 {
        Err(Refused::Nul)
    } else if found & CONTROL != 0 || string.chars().any(is_refused) {
        Err(Refused::Control)
    } else {
        Ok(())
    }
}

/// Beyond ASCII: U+0080 to U+009F and the non-characters.
const fn is_refused(character: char) -> bool {
    let code = character as u32;
    matches!(code, 0x80..=0x9F | 0xFDD0..=0xFDEF) || code & 0xFFFE == 0xFFFE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_character_by_itself() {
        for character in '\0'..=char::MAX {
            let code = u32::from(character);
            let is_non_character =
                code % 0x1_0000 >= 0xFFFE || ('\u{FDD0}'..='\u{FDEF}').contains(&character);
            let expected = if character == '\0' {
                Err(Refused::Nul)
            } else if character.is_control() || is_non_character {
                Err(Refused::Control)
            } else {
                Ok(character == '+' || character == '#')
            };
            let mut utf8 = [0; 4];
            assert_eq!(
                check(character.encode_utf8(&mut utf8)),
                expected,
                "{code:04x}"
            );
        }
    }

    #[test]
    fn every_place_counts() {
        assert_eq!(check(""), Ok(false));
        assert_eq!(check("ä+"), Ok(true));
        assert_eq!(check("ab\u{1}"), Err(Refused::Control));
        assert_eq!(check("\u{FEFF}ü\u{85}"), Err(Refused::Control));
        // U+0000 is the worse one.
        assert_eq!(check("\u{1}\0"), Err(Refused::Nul));
    }
}
