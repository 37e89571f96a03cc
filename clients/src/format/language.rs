//! The language of `-F`, read once: `%t` and its like, `@X` for strftime's `%X`, and `\n` and its like.

/// A format, checked as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Format {
    pub(super) pieces: Vec<Piece>,
}

/// A part of a format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// These bytes.
    Text(Vec<u8>),
    /// Something of the message, and how wide it is to be.
    Field(Field, Shape),
    /// strftime's conversion of this letter.
    Time(u8),
}

/// Something of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    TopicAlias,
    ContentType,
    CorrelationData,
    Double,
    MessageExpiryInterval,
    PayloadFormatIndicator,
    Float,
    DateAndTime,
    Json,
    JsonPayload,
    Length,
    PacketIdentifier,
    Payload,
    UserProperties,
    QoS,
    ResponseTopic,
    Retain,
    SubscriptionIdentifier,
    Topic,
    Seconds,
    LowerHex,
    UpperHex,
}

impl Field {
    const fn from_letter(letter: u8) -> Option<Field> {
        Some(match letter {
            b'A' => Field::TopicAlias,
            b'C' => Field::ContentType,
            b'D' => Field::CorrelationData,
            b'd' => Field::Double,
            b'E' => Field::MessageExpiryInterval,
            b'F' => Field::PayloadFormatIndicator,
            b'f' => Field::Float,
            b'I' => Field::DateAndTime,
            b'j' => Field::Json,
            b'J' => Field::JsonPayload,
            b'l' => Field::Length,
            b'm' => Field::PacketIdentifier,
            b'p' => Field::Payload,
            b'P' => Field::UserProperties,
            b'q' => Field::QoS,
            b'R' => Field::ResponseTopic,
            b'r' => Field::Retain,
            b'S' => Field::SubscriptionIdentifier,
            b't' => Field::Topic,
            b'U' => Field::Seconds,
            b'x' => Field::LowerHex,
            b'X' => Field::UpperHex,
            _ => return None,
        })
    }
}

/// What stands between `%` and the letter: `[-][0][width][.precision[separator]]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Shape {
    /// Padding goes to the right.
    pub(super) left: bool,
    /// Padding is zeros.
    pub(super) zeros: bool,
    /// 0 if there is none.
    pub(super) width: usize,
    pub(super) precision: Option<usize>,
    /// Stands between groups of hexadecimal digits.
    pub(super) separator: Option<u8>,
}

/// The greatest width and precision: a longer payload does not exist.
const MAX_NUMBER: usize = 268_435_455;

/// No `%d` has more places that are not zero.
const MAX_PLACES: usize = 1100;

impl Format {
    /// Reads a format.
    ///
    /// # Errors
    /// What is wrong, as a sentence.
    pub fn parse(text: &[u8]) -> Result<Format, String> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((&first, behind)) = rest.split_first() {
            rest = behind;
            match first {
                b'%' => {
                    let (piece, behind) = conversion(rest)?;
                    rest = behind;
                    match piece {
                        Some(piece) => pieces.push(piece),
                        None => add(&mut pieces, b'%'),
                    }
                }
                b'@' => match rest.split_first() {
                    None => return Err(INCOMPLETE.into()),
                    Some((b'@', behind)) => {
                        add(&mut pieces, b'@');
                        rest = behind;
                    }
                    Some((&letter, behind)) => {
                        pieces.push(Piece::Time(letter));
                        rest = behind;
                    }
                },
                b'\\' => {
                    let (&letter, behind) =
                        rest.split_first().ok_or("Incomplete escape specifier.")?;
                    add(
                        &mut pieces,
                        escape(letter).ok_or_else(|| invalid("escape", rest))?,
                    );
                    rest = behind;
                }
                byte => add(&mut pieces, byte),
            }
        }
        Ok(Format { pieces })
    }
}

const INCOMPLETE: &str = "Incomplete format specifier.";

fn invalid(kind: &str, rest: &[u8]) -> String {
    let shown = String::from_utf8_lossy(&rest[..rest.len().min(4)]);
    let letter = shown.chars().next().unwrap_or_default();
    format!("Invalid {kind} specifier '{letter}'.")
}

fn add(pieces: &mut Vec<Piece>, byte: u8) {
    match pieces.last_mut() {
        Some(Piece::Text(text)) => text.push(byte),
        _ => pieces.push(Piece::Text(vec![byte])),
    }
}

const fn escape(letter: u8) -> Option<u8> {
    Some(match letter {
        b'0' => 0,
        b'a' => 0x07,
        b'e' => 0x1b,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'v' => 0x0b,
        b'\\' => b'\\',
        _ => return None,
    })
}

/// What follows a `%`, and the rest; None stands for a `%` itself.
fn conversion(text: &[u8]) -> Result<(Option<Piece>, &[u8]), String> {
    let mut shape = Shape::default();
    let mut rest = text;
    if let Some(behind) = rest.strip_prefix(b"-") {
        shape.left = true;
        rest = behind;
    }
    if let Some(behind) = rest.strip_prefix(b"0") {
        shape.zeros = true;
        rest = behind;
    }
    let (width, behind) = number(rest)?;
    shape.width = width.unwrap_or(0);
    rest = behind;
    if let Some(behind) = rest.strip_prefix(b".") {
        let (precision, behind) = number(behind)?;
        if precision.is_none() {
            return Err(match behind {
                [] => INCOMPLETE.into(),
                _ => invalid("format", behind),
            });
        }
        shape.precision = precision;
        rest = behind;
        if let [separator, b'x' | b'X', ..] = rest
            && (*separator == b' ' || separator.is_ascii_punctuation())
            && *separator != b'%'
        {
            shape.separator = Some(*separator);
            rest = &rest[1..];
        }
    }
    let (&letter, behind) = rest.split_first().ok_or(INCOMPLETE)?;
    if letter == b'%' {
        return Ok((None, behind));
    }
    let field = Field::from_letter(letter).ok_or_else(|| invalid("format", rest))?;
    let has_places = matches!(field, Field::Float | Field::Double);
    if has_places && shape.precision.is_some_and(|places| places > MAX_PLACES) {
        return Err(format!(
            "Format specifier '{}' has too many places.",
            letter as char
        ));
    }
    let is_pointless = shape.separator.is_some() && shape.precision == Some(0);
    if is_pointless {
        return Err("Groups of hexadecimal digits cannot be empty.".into());
    }
    Ok((Some(Piece::Field(field, shape)), behind))
}

/// The number at the beginning, if there is one, and the rest.
fn number(text: &[u8]) -> Result<(Option<usize>, &[u8]), String> {
    let end = text
        .iter()
        .position(|byte| !byte.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    if digits.is_empty() {
        return Ok((None, rest));
    }
    let number = std::str::from_utf8(digits)
        .ok()
        .and_then(|digits| digits.parse().ok())
        .filter(|number| *number <= MAX_NUMBER);
    match number {
        Some(number) => Ok((Some(number), rest)),
        None => Err("Width or precision of a format specifier is too large.".into()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fields(format: &str) -> Vec<Piece> {
        Format::parse(format.as_bytes()).expect(format).pieces
    }

    #[test]
    fn shapes() {
        for (format, left, zeros, width, precision) in [
            ("%t", false, false, 0, None),
            ("%-t", true, false, 0, None),
            ("%0t", false, true, 0, None),
            ("%00t", false, true, 0, None),
            ("%-05.3t", true, true, 5, Some(3)),
            ("%.0t", false, false, 0, Some(0)),
            ("%268435455t", false, false, 268_435_455, None),
        ] {
            let shape = Shape {
                left,
                zeros,
                width,
                precision,
                separator: None,
            };
            assert_eq!(
                fields(format),
                [Piece::Field(Field::Topic, shape)],
                "{format}"
            );
        }
    }

    #[test]
    fn text_is_one_piece() {
        assert_eq!(
            fields("a%%b@@c\\\\d\\n%5%"),
            [Piece::Text(b"a%b@c\\d\n%".to_vec())]
        );
        assert_eq!(
            fields("@Y-"),
            [Piece::Time(b'Y'), Piece::Text(b"-".to_vec())]
        );
    }

    #[test]
    fn separators_belong_to_hexadecimal_digits() {
        for separator in [b' ', b':', b'-', b'.', b',', b'_', b'@', b'\\'] {
            let text = [b"%.2", [separator].as_slice(), b"x"].concat();
            let format = Format::parse(&text).expect("legal");
            let [Piece::Field(Field::LowerHex, shape)] = format.pieces[..] else {
                panic!("{format:?}");
            };
            assert_eq!(shape.separator, Some(separator));
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (format, said) in [
            ("%z", "Invalid format specifier 'z'."),
            ("%é", "Invalid format specifier 'é'."),
            ("%\u{1f600}", "Invalid format specifier '\u{1f600}'."),
            ("\\z", "Invalid escape specifier 'z'."),
            ("%", "Incomplete format specifier."),
            ("a\\", "Incomplete escape specifier."),
            ("@", "Incomplete format specifier."),
            ("%5", "Incomplete format specifier."),
            ("%-", "Incomplete format specifier."),
            ("%.", "Incomplete format specifier."),
            ("%.3", "Incomplete format specifier."),
            ("%5.3.t", "Invalid format specifier '.'."),
            ("%0-t", "Invalid format specifier '-'."),
            ("%.:x", "Invalid format specifier ':'."),
            ("%2:x", "Invalid format specifier ':'."),
            ("%.2ax", "Invalid format specifier 'a'."),
            ("%.2::x", "Invalid format specifier ':'."),
            ("%.2:p", "Invalid format specifier ':'."),
            ("%.0:x", "Groups of hexadecimal digits cannot be empty."),
            (
                "%268435456t",
                "Width or precision of a format specifier is too large.",
            ),
            (
                "%.99999999999999999999999t",
                "Width or precision of a format specifier is too large.",
            ),
            ("%.1101f", "Format specifier 'f' has too many places."),
        ] {
            assert_eq!(
                Format::parse(format.as_bytes()),
                Err(said.to_string()),
                "{format}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(text in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = Format::parse(&text);
        }

        #[test]
        fn no_conversion_panics(text in "(%[-0-9.: a-zA-Z]{0,8}|@[!-~]|\\\\.){0,4}") {
            let _ = Format::parse(text.as_bytes());
        }
    }
}
