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
