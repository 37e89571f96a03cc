//! The Packet Identifiers of QoS 2 messages that were received and not yet released.

use mqtt::PacketIdentifier;

/// A set of Packet Identifiers: a list while there are few, else a bit for each there can be. 8 KiB at most.
#[derive(Debug)]
pub(crate) enum Received {
    /// In order of value.
    Few(Vec<PacketIdentifier>),
    Many {
        bits: Box<[u32; WORDS]>,
        count: usize,
    },
}

/// So many are a list.
const FEW: usize = 1024;
const WORDS: usize = (u16::MAX as usize + 1) / u32::BITS as usize;

impl Default for Received {
    fn default() -> Self {
        Received::Few(Vec::new())
    }
}

impl Received {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        match self {
            Received::Few(list) => list.len(),
            Received::Many { count, .. } => *count,
        }
    }

    /// Whether this one is there.
    pub(crate) fn contains(&self, identifier: PacketIdentifier) -> bool {
        match self {
            Received::Few(list) => list.binary_search(&identifier).is_ok(),
            Received::Many { bits, .. } => {
                let (word, bit) = place(identifier);
                bits[word] & bit != 0
            }
        }
    }

    /// Adds one. False if it was there.
    pub(crate) fn insert(&mut self, identifier: PacketIdentifier) -> bool {
        match self {
            Received::Few(list) => match list.binary_search(&identifier) {
                Ok(_) => false,
                Err(place) if list.len() < FEW => {
                    list.insert(place, identifier);
                    true
                }
                Err(_) => {
                    let mut bits = Box::new([0; WORDS]);
                    for (word, bit) in list.iter().copied().map(place) {
                        bits[word] |= bit;
                    }
                    let count = list.len();
                    *self = Received::Many { bits, count };
                    self.insert(identifier)
                }
            },
            Received::Many { bits, count } => {
                let (word, bit) = place(identifier);
                let new = bits[word] & bit == 0;
                bits[word] |= bit;
                *count += usize::from(new);
                new
            }
        }
    }

    /// Removes one. False if it was not there.
    pub(crate) fn remove(&mut self, identifier: PacketIdentifier) -> bool {
        let was_there = match self {
            Received::Few(list) => match list.binary_search(&identifier) {
                Ok(place) => {
                    list.remove(place);
                    true
                }
                Err(_) => false,
            },
            Received::Many { bits, count } => {
                let (word, bit) = place(identifier);
                let was_there = bits[word] & bit != 0;
                bits[word] &= !bit;
                *count -= usize::from(was_there);
                was_there
            }
        };
        if was_there && self.len() == 0 {
            // Memory goes back after a peak.
            *self = Received::default();
        }
        was_there
    }
}

/// Word and bit.
fn place(identifier: PacketIdentifier) -> (usize, u32) {
    let number = u32::from(identifier.get());
    ((number / u32::BITS) as usize, 1 << (number % u32::BITS))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identifier(number: u16) -> PacketIdentifier {
        PacketIdentifier::new(number).unwrap()
    }

    #[test]
    fn few_are_a_set() {
        let mut received = Received::default();
        assert!([5, 3, 9].map(identifier).map(|one| received.insert(one)) == [true; 3]);
        assert!(!received.insert(identifier(3)));
        assert!(received.contains(identifier(3)) && !received.contains(identifier(4)));
        assert!(received.remove(identifier(3)));
        assert!(!received.remove(identifier(3)));
        assert!(received.insert(identifier(3)));
        assert_eq!(received.len(), 3);
    }

    #[test]
    fn all_that_there_are_fit_and_leave_nothing_behind() {
        let mut received = Received::default();
        for round in 0..2 {
            for number in (1..=u16::MAX).rev() {
                assert_eq!(received.insert(identifier(number)), round == 0);
                assert!(received.contains(identifier(number)));
            }
        }
        assert_eq!(received.len(), 65_535);
        for number in 1..=u16::MAX {
            assert!(received.remove(identifier(number)));
            assert!(!received.contains(identifier(number)));
            assert!(!received.remove(identifier(number)));
        }
        assert!(matches!(received, Received::Few(list) if list.capacity() == 0));
    }
}
