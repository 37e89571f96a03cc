//! Topic Aliases that the broker sets: a topic that a client gets again and again travels as a number.
//!
//! The first topics that are long enough to gain by it have their numbers for as long as the connection lasts
//! [MQTT-3.3.2-7]; who has as many as it allows gets further topics in full.

use hashbrown::HashMap;

use super::message::Charge;

/// How the topic of one PUBLISH is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Alias {
    /// In full.
    None,
    /// In full, and with a number for the next time.
    New(u16),
    /// As its number alone.
    Known(u16),
}

/// The aliases of one connection.
#[derive(Debug, Default)]
pub(crate) struct SentAliases(Option<Box<Table>>);

#[derive(Debug)]
struct Table {
    /// The highest number that may be used [MQTT-3.1.2-26].
    maximum: u16,
    numbers: HashMap<Box<str>, u16, ahash::RandomState>,
}

impl SentAliases {
    /// The property takes three bytes, so shorter topics lose by it.
    const WORTH_IT: usize = 4;
    /// Bytes of an entry beside its topic.
    const OVERHEAD: usize = 64;

    /// For a client that takes numbers up to `maximum`; 0 means none [MQTT-3.1.2-27].
    pub(crate) fn new(maximum: u16) -> Self {
        let table = || Table {
            maximum,
            numbers: HashMap::default(),
        };
        SentAliases((maximum > 0).then(|| Box::new(table())))
    }

    /// How to write a topic. A new number counts once [`SentAliases::set`] says that it was sent.
    #[inline]
    pub(crate) fn find(&self, topic: &str) -> Alias {
        let Some(table) = &self.0 else {
            return Alias::None;
        };
        match table.numbers.get(topic) {
            Some(&number) => Alias::Known(number),
            None if topic.len() < Self::WORTH_IT => Alias::None,
            // At most `maximum` are there, which is a u16.
            None if table.numbers.len() < usize::from(table.maximum) => {
                Alias::New(table.numbers.len() as u16 + 1)
            }
            None => Alias::None,
        }
    }

    /// Memory of all entries, in bytes.
    #[cfg(test)]
    pub(crate) fn cost(&self) -> usize {
        let numbers = self.0.iter().flat_map(|table| table.numbers.keys());
        numbers.map(|topic| topic.len() + Self::OVERHEAD).sum()
    }

    /// A PUBLISH that sets this number is on its way.
    pub(crate) fn set(&mut self, topic: &str, number: u16, charge: &mut Charge) {
        if let Some(table) = &mut self.0 {
            charge.add(topic.len() + Self::OVERHEAD);
            table.numbers.insert(topic.into(), number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::message::Account;
    use super::*;

    #[test]
    fn the_first_topics_get_the_numbers_there_are() {
        let account = Account::default();
        let mut charge = account.open();
        let mut aliases = SentAliases::new(2);
        assert_eq!(aliases.find("a/b/c"), Alias::New(1));
        assert_eq!(aliases.find("a/b/c"), Alias::New(1));
        aliases.set("a/b/c", 1, &mut charge);
        assert_eq!(aliases.find("a/b/c"), Alias::Known(1));
        assert_eq!(aliases.find("a/b"), Alias::None);
        assert_eq!(aliases.find("a/b/d"), Alias::New(2));
        aliases.set("a/b/d", 2, &mut charge);
        assert_eq!(aliases.find("a/b/e"), Alias::None);
        assert!(account.bytes() > 0);
    }

    #[test]
    fn who_wants_none_gets_none() {
        let aliases = SentAliases::new(0);
        assert_eq!(aliases.find("a/b/c"), Alias::None);
        assert_eq!(size_of::<SentAliases>(), size_of::<usize>());
    }
}
