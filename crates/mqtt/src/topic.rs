//! Topic Names (MQTT 5.0 section 4.7) and the characters that topics may have.

use core::fmt;

use crate::{DecodeError, characters, reader};

/// Why a string is no Topic Name or no Topic Filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopicError {
    /// It has no character [MQTT-4.7.3-1].
    Empty,
    /// It has more than 65,535 bytes [MQTT-4.7.3-3].
    TooLong,
    /// It has U+0000 [MQTT-4.7.3-2].
    Nul,
    /// It has a control character or a non-character, which a receiver may refuse (section 1.5.4).
    ControlCharacter,
    /// A Topic Name has `+` or `#` [MQTT-3.3.2-2].
    WildcardInName,
    /// `#` is not alone in its level or not the last [MQTT-4.7.1-1].
    MultiLevelWildcard,
    /// `+` does not fill its level [MQTT-4.7.1-2].
    SingleLevelWildcard,
    /// The share name of a Shared Subscription is empty or has a wildcard [MQTT-4.8.2-1] [MQTT-4.8.2-2].
    ShareName,
    /// No Topic Filter follows the share name [MQTT-4.8.2-2].
    ShareWithoutFilter,
}

impl TopicError {
    /// The number of the statement that is broken, in MQTT 5.0.
    pub const fn statement(self) -> &'static str {
        match self {
            Self::Empty => "MQTT-4.7.3-1",
            Self::TooLong => "MQTT-4.7.3-3",
            Self::Nul => "MQTT-4.7.3-2",
            Self::ControlCharacter => "MQTT 1.5.4",
            Self::WildcardInName => "MQTT-3.3.2-2",
            Self::MultiLevelWildcard => "MQTT-4.7.1-1",
            Self::SingleLevelWildcard => "MQTT-4.7.1-2",
            Self::ShareName | Self::ShareWithoutFilter => "MQTT-4.8.2-2",
        }
    }
}

impl fmt::Display for TopicError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Empty => "it is empty",
            Self::TooLong => "it is longer than 65535 bytes",
            Self::Nul => "it contains the character U+0000",
            Self::ControlCharacter => "it contains a control character",
            Self::WildcardInName => "it contains a wildcard",
            Self::MultiLevelWildcard => "'#' must be a level of its own and the last one",
            Self::SingleLevelWildcard => "'+' must be a level of its own",
            Self::ShareName => "the share name is empty or contains a wildcard",
            Self::ShareWithoutFilter => "no topic filter follows the share name",
        })
    }
}

impl std::error::Error for TopicError {}

/// A Topic Name: at least one character, no wildcard, no control character.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicName<'a>(&'a str);

impl<'a> TopicName<'a> {
    /// The Topic Name in `name`, if it is one.
    #[inline]
    pub fn new(name: &'a str) -> Result<Self, TopicError> {
        if check_characters(name)? {
            Err(TopicError::WildcardInName)
        } else {
            Ok(Self(name))
        }
    }

    /// For a string that was a `TopicName` before, such as a stored one: nothing is checked again.
    #[inline]
    pub fn from_valid(name: &'a str) -> Self {
        debug_assert!(Self::new(name).is_ok());
        Self(name)
    }

    /// The Topic Name in a field of a packet, UTF-8 included.
    #[inline]
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        Self::new(reader::utf8(bytes)?).map_err(DecodeError::TopicName)
    }

    /// The name as a string.
    #[inline]
    pub const fn as_str(self) -> &'a str {
        self.0
    }

    /// The levels, from the first on; they may be empty.
    #[inline]
    pub fn levels(self) -> impl DoubleEndedIterator<Item = &'a str> + Clone {
        self.0.split('/')
    }

    /// Whether it begins with `$`, which a leading wildcard does not match [MQTT-4.7.2-1].
    #[inline]
    pub fn is_dollar(self) -> bool {
        self.0.as_bytes().first() == Some(&b'$')
    }
}

impl AsRef<str> for TopicName<'_> {
    fn as_ref(&self) -> &str {
        self.0
    }
}

impl fmt::Display for TopicName<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0)
    }
}

/// Checks length and characters; tells whether there is a wildcard.
#[inline]
pub(crate) fn check_characters(topic: &str) -> Result<bool, TopicError> {
    if topic.is_empty() {
        return Err(TopicError::Empty);
    }
    if topic.len() > usize::from(u16::MAX) {
        return Err(TopicError::TooLong);
    }
    Ok(characters::check(topic)?)
}

impl From<characters::Refused> for TopicError {
    fn from(refused: characters::Refused) -> Self {
        match refused {
            characters::Refused::Nul => Self::Nul,
            characters::Refused::Control => Self::ControlCharacter,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_topic_names_of_the_standard() {
        for name in [
            "sport/tennis/player1",
            "/finance",
            "/",
            "//",
            "ACCOUNTS",
            "Accounts payable",
            "$SYS/monitor",
            " ",
        ] {
            assert_eq!(TopicName::new(name).map(TopicName::as_str), Ok(name));
        }
    }

    #[test]
    fn other_languages_are_welcome() {
        for name in [
            "küche/wärme",
            "传感器/温度",
            "\u{2A6D4}",
            "\u{FEFF}a",
            "\u{A0}",
        ] {
            assert!(TopicName::new(name).is_ok(), "{name}");
        }
    }

    #[test]
    fn length() {
        assert_eq!(TopicName::new(""), Err(TopicError::Empty));
        assert!(TopicName::new(&"a".repeat(65_535)).is_ok());
        assert_eq!(
            TopicName::new(&"a".repeat(65_536)),
            Err(TopicError::TooLong)
        );
    }

    #[test]
    fn wildcards_and_control_characters() {
        for name in ["#", "+", "a/#", "a/+/b", "a#", "+a"] {
            assert_eq!(
                TopicName::new(name),
                Err(TopicError::WildcardInName),
                "{name}"
            );
        }
        assert_eq!(TopicName::new("a\0b"), Err(TopicError::Nul));
        for name in [
            "\u{1}", "a\n", "\u{1F}", "\u{7F}", "\u{80}", "\u{9F}", "\u{FDD0}", "\u{FDEF}",
            "\u{FFFE}",
        ] {
            assert_eq!(
                TopicName::new(name),
                Err(TopicError::ControlCharacter),
                "{name:?}"
            );
        }
        assert_eq!(
            TopicName::new("ä/\u{10FFFF}"),
            Err(TopicError::ControlCharacter)
        );
        assert!(TopicName::new("\u{FDCF}\u{FDF0}\u{FFFD}\u{10FFFD}").is_ok());
    }

    #[test]
    fn levels_may_be_empty() {
        let levels = |name| {
            TopicName::new(name)
                .expect("a topic name")
                .levels()
                .collect::<Vec<_>>()
        };
        assert_eq!(levels("a/b"), ["a", "b"]);
        assert_eq!(levels("/finance"), ["", "finance"]);
        assert_eq!(levels("a//"), ["a", "", ""]);
    }

    #[test]
    fn bytes_that_are_not_utf8() {
        assert_eq!(TopicName::parse(&[b'a', 0xFF]), Err(DecodeError::NotUtf8));
    }
}
