//! Topic Filters and the share names before them (MQTT 5.0 sections 4.7.1 and 4.8.2).

use core::fmt;

use crate::{DecodeError, TopicError, TopicName, reader, topic};

const SHARE: &str = "$share/";

/// A Topic Filter, or a whole Shared Subscription `$share/name/filter`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicFilter<'a>(&'a str);

impl<'a> TopicFilter<'a> {
    /// The Topic Filter in `filter`, if it is one.
    pub fn new(filter: &'a str) -> Result<Self, TopicError> {
        let has_wildcard = topic::check_characters(filter)?;
        if let Some(share) = filter.strip_prefix(SHARE) {
            check_share(share)?;
        }
        if has_wildcard {
            check_wildcards(filter)?;
        }
        Ok(Self(filter))
    }

    /// For a string that was a `TopicFilter` before, such as a stored one: nothing is checked again.
    #[inline]
    pub fn from_valid(filter: &'a str) -> Self {
        debug_assert!(Self::new(filter).is_ok());
        Self(filter)
    }

    /// The Topic Filter in a field of a packet, UTF-8 included.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        Self::new(reader::utf8(bytes)?).map_err(DecodeError::TopicFilter)
    }

    /// The whole string, with `$share/name/` if it has that.
    #[inline]
    pub const fn as_str(self) -> &'a str {
        self.0
    }

    /// The levels of the whole string.
    #[inline]
    pub fn levels(self) -> impl DoubleEndedIterator<Item = &'a str> + Clone {
        self.0.split('/')
    }

    /// Share name and Topic Filter of a Shared Subscription; `None` for any other.
    #[inline]
    pub fn share(self) -> Option<(&'a str, TopicFilter<'a>)> {
        let (name, filter) = self.0.strip_prefix(SHARE)?.split_once('/')?;
        Some((name, Self(filter)))
    }

    /// Whether it has a wildcard.
    pub fn has_wildcard(self) -> bool {
        self.0.contains(['+', '#'])
    }

    /// Whether the Topic Name matches; for a Shared Subscription, whether it matches the filter in it.
    ///
    /// A wildcard in the first level does not match a name that begins with `$` [MQTT-4.7.2-1]; nothing is normalised
    /// [MQTT-4.7.3-4].
    pub fn matches(self, name: TopicName<'_>) -> bool {
        let filter = self.share().map_or(self, |(_, filter)| filter);
        if name.is_dollar() && filter.0.starts_with(['+', '#']) {
            return false;
        }
        let mut levels = name.levels();
        for wanted in filter.levels() {
            // `#` also stands for the parent level, so it needs no level of the name.
            if wanted == "#" {
                return true;
            }
            match levels.next() {
                Some(level) if wanted == "+" || wanted == level => {}
                _ => return false,
            }
        }
        levels.next().is_none()
    }
}

/// Checks what follows `$share/`: a name without wildcards, `/`, and at least one character.
fn check_share(share: &str) -> Result<(), TopicError> {
    let (name, filter) = share.split_once('/').unwrap_or((share, ""));
    if name.is_empty() || name.contains(['+', '#']) {
        Err(TopicError::ShareName)
    } else if filter.is_empty() {
        Err(TopicError::ShareWithoutFilter)
    } else {
        Ok(())
    }
}

fn check_wildcards(filter: &str) -> Result<(), TopicError> {
    let mut levels = filter.split('/').peekable();
    while let Some(level) = levels.next() {
        if level.contains('#') && (level != "#" || levels.peek().is_some()) {
            return Err(TopicError::MultiLevelWildcard);
        }
        if level.contains('+') && level != "+" {
            return Err(TopicError::SingleLevelWildcard);
        }
    }
    Ok(())
}

impl AsRef<str> for TopicFilter<'_> {
    fn as_ref(&self) -> &str {
        self.0
    }
}

impl fmt::Display for TopicFilter<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn matches(filter: &str, name: &str) -> bool {
        let filter = TopicFilter::new(filter).expect("a topic filter");
        filter.matches(TopicName::new(name).expect("a topic name"))
    }

    #[test]
    fn the_multi_level_wildcard_of_the_standard() {
        let filter = "sport/tennis/player1/#";
        assert!(matches(filter, "sport/tennis/player1"));
        assert!(matches(filter, "sport/tennis/player1/ranking"));
        assert!(matches(filter, "sport/tennis/player1/score/wimbledon"));
        assert!(!matches(filter, "sport/tennis/player2"));
        assert!(!matches(filter, "sport/tennis"));
        assert!(matches("sport/#", "sport"));
        assert!(matches("#", "a"));
        assert!(matches("#", "/"));
    }

    #[test]
    fn the_single_level_wildcard_of_the_standard() {
        assert!(matches("sport/tennis/+", "sport/tennis/player1"));
        assert!(matches("sport/tennis/+", "sport/tennis/player2"));
        assert!(!matches("sport/tennis/+", "sport/tennis/player1/ranking"));
        assert!(!matches("sport/+", "sport"));
        assert!(matches("sport/+", "sport/"));
        assert!(matches("+/+", "/finance"));
        assert!(matches("/+", "/finance"));
        assert!(!matches("+", "/finance"));
        assert!(matches("+/tennis/#", "sport/tennis"));
        assert!(matches("+/#", "sport"));
        assert!(matches("a/+/c", "a//c"));
    }

    #[test]
    fn a_leading_wildcard_does_not_match_dollar_topics() {
        for filter in ["#", "+/monitor/Clients", "+/#", "+"] {
            assert!(!matches(filter, "$SYS/monitor/Clients"));
            assert!(!matches(filter, "$SYS"));
        }
        assert!(matches("$SYS/#", "$SYS/monitor/Clients"));
        assert!(matches("$SYS/#", "$SYS"));
        assert!(matches("$SYS/monitor/+", "$SYS/monitor/Clients"));
        // The rule is about the first character of the name alone.
        assert!(matches("+/$SYS", "a/$SYS"));
        assert!(matches("a/#", "a/$SYS"));
    }

    #[test]
    fn characters_are_compared_as_they_are() {
        assert!(!matches("ACCOUNTS", "Accounts"));
        assert!(!matches("a", "a/"));
        assert!(!matches("a", "/a"));
        // U+00E4 and a with U+0308 look alike.
        assert!(!matches("\u{E4}", "a\u{308}"));
        assert!(!matches("abc", "ab"));
        assert!(!matches("ab", "abc"));
    }

    #[test]
    fn wildcards_have_their_place() {
        for filter in [
            "#",
            "+",
            "/#",
            "+/+",
            "a/+/b/#",
            "/",
            "//",
            "+/tennis/#",
            "$SYS/#",
            "a b",
            "ü/#",
        ] {
            assert!(TopicFilter::new(filter).is_ok(), "{filter}");
        }
        for filter in [
            "sport/tennis#",
            "sport/tennis/#/ranking",
            "#/",
            "##",
            "#/#",
            "a#/b",
            "+#",
        ] {
            assert_eq!(
                TopicFilter::new(filter),
                Err(TopicError::MultiLevelWildcard),
                "{filter}"
            );
        }
        for filter in ["sport+", "+a", "a/b+/c", "++"] {
            assert_eq!(
                TopicFilter::new(filter),
                Err(TopicError::SingleLevelWildcard),
                "{filter}"
            );
        }
        assert_eq!(TopicFilter::new(""), Err(TopicError::Empty));
        assert_eq!(TopicFilter::new("a\0/#"), Err(TopicError::Nul));
        assert_eq!(
            TopicFilter::new("a\u{7F}"),
            Err(TopicError::ControlCharacter)
        );
        assert_eq!(
            TopicFilter::new(&"a".repeat(65_536)),
            Err(TopicError::TooLong)
        );
    }

    #[test]
    fn shared_subscriptions() {
        let share = |filter| {
            TopicFilter::new(filter).map(|filter| filter.share().map(|(n, f)| (n, f.as_str())))
        };
        assert_eq!(
            share("$share/consumer1/sport/tennis/+"),
            Ok(Some(("consumer1", "sport/tennis/+")))
        );
        assert_eq!(
            share("$share/consumer1//finance"),
            Ok(Some(("consumer1", "/finance")))
        );
        assert_eq!(share("$share/g/#"), Ok(Some(("g", "#"))));
        assert_eq!(share("$share/g//"), Ok(Some(("g", "/"))));
        // Without the slash it is an ordinary filter, and so is another case.
        assert_eq!(share("$share"), Ok(None));
        assert_eq!(share("$shared/a"), Ok(None));
        assert_eq!(share("$SHARE/g/a"), Ok(None));
        for filter in [
            "$share/",
            "$share//a",
            "$share/+/a",
            "$share/#",
            "$share/g#/a",
            "$share/a+b/c",
        ] {
            assert_eq!(share(filter), Err(TopicError::ShareName), "{filter}");
        }
        for filter in ["$share/g", "$share/g/"] {
            assert_eq!(
                share(filter),
                Err(TopicError::ShareWithoutFilter),
                "{filter}"
            );
        }
        assert_eq!(share("$share/g/a#"), Err(TopicError::MultiLevelWildcard));
        assert_eq!(share("$share/g/a+"), Err(TopicError::SingleLevelWildcard));
    }

    #[test]
    fn a_shared_subscription_matches_by_its_filter() {
        assert!(matches("$share/g/sport/#", "sport/tennis"));
        assert!(!matches("$share/g/sport/#", "$share/g/sport/tennis"));
        assert!(!matches("$share/g/#", "$SYS/uptime"));
        assert!(matches("$share/g/$SYS/#", "$SYS/uptime"));
    }
}
