//! The Packet Identifiers of QoS 2 messages that were received and not yet released.

use mqtt::PacketIdentifier;
use thin_vec::ThinVec;

/// A set of Packet Identifiers: a list while there are few, else a bit for each there can be. 8 KiB at most.
#[derive(Debug)]
pub(crate) enum Received {
    /// In order of value.
    Few(ThinVec<PacketIdentifier>),
    Many(Box<Bits>),
}

/// A bit for each identifier that there can be.
#[derive(Debug)]
pub(crate) struct Bits {
    words: [u32; WORDS],
    count: usize,
}

/// So many are a list.
const FEW: usize = 1024;
const WORDS: usize = (u16::MAX as usize + 1) / u32::BITS as usize;

impl Default for Received {
    fn default() -> Self {
        Received::Few(ThinVec::new())
    }
}

impl Received {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        match self {
            Received::Few(list) => list.len(),
            Received::Many(bits) => bits.count,
        }
    }

    /// Whether this one is there.
    pub(crate) fn contains(&self, identifier: PacketIdentifier) -> bool {
        match self {
            Received::Few(list) => list.binary_search(&identifier).is_ok(),
            Received::Many(bits) => bits.contains(identifier),
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
                    let mut bits = Box::new(Bits {
                        words: [0; WORDS],
                        count: 0,
                    });
                    for &one in &*list {
                        bits.insert(one);
                    }
                    let is_new = bits.insert(identifier);
                    *self = Received::Many(bits);
                    is_new
                }
            },
            Received::Many(bits) => bits.insert(identifier),
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
            Received::Many(bits) => bits.remove(identifier),
        };
        if was_there && self.len() == 0 {
            // Memory goes back after a peak.
            *self = Received::default();
        }
        was_there
    }
}

impl Bits {
    fn contains(&self, identifier: PacketIdentifier) -> bool {
        let (word, bit) = place(identifier);
        self.words[word] & bit != 0
    }

    fn insert(&mut self, identifier: PacketIdentifier) -> bool {
        let is_new = !self.contains(identifier);
        let (word, bit) = place(identifier);
        self.words[word] |= bit;
        self.count += usize::from(is_new);
        is_new
    }

    fn remove(&mut self, identifier: PacketIdentifier) -> bool {
        let was_there = self.contains(identifier);
        let (word, bit) = place(identifier);
        self.words[word] &= !bit;
        self.count -= usize::from(was_there);
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
