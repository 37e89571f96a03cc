//! What the messages hold, so that each can be told from every other and from a damaged one.
//!
//! A payload begins with the number of its publisher, its own number and the time it was sent or due; a pattern that depends
//! on its number fills the rest. PUBLISH packets are encoded once, and only these fields written anew for each message.

use mqtt::{Packet, PacketIdentifier, Properties, Publish, QoS, TopicName, Version};

use crate::failure::Result;

/// The version that everybody speaks where a scenario says nothing else.
pub(crate) const VERSION: Version = Version::V311;
/// Bytes before the pattern.
pub(crate) const HEADER: usize = 4 + 8 + 8;
/// How many messages follow one another before their encodings are used again.
pub(crate) const SLOTS: u64 = 64;
/// The largest payload.
pub(crate) const LARGEST: usize = 64 * 1024;

/// What fills payloads.
#[derive(Debug)]
pub(crate) struct Pattern(Vec<u8>);

impl Pattern {
    pub(crate) fn new() -> Self {
        let mut state = 0x9E37_79B9_u32;
        let next = || {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state as u8
        };
        Pattern(
            std::iter::repeat_with(next)
                .take(LARGEST + SLOTS as usize)
                .collect(),
        )
    }

    /// What follows the header of this message.
    #[inline]
    fn of(&self, number: u64, len: usize) -> &[u8] {
        let start = (number % SLOTS) as usize;
        &self.0[start..start + len]
    }

    /// A payload.
    pub(crate) fn payload(&self, publisher: u32, number: u64, time: u64, len: usize) -> Vec<u8> {
        let mut payload = Vec::with_capacity(len);
        payload.extend_from_slice(&publisher.to_le_bytes());
        payload.extend_from_slice(&number.to_le_bytes());
        payload.extend_from_slice(&time.to_le_bytes());
        payload.extend_from_slice(self.of(number, len - HEADER));
        payload
    }

    /// Reads a payload; nothing if it is not of this length, or is not as it was sent.
    #[inline]
    pub(crate) fn read(&self, payload: &[u8], len: usize) -> Option<Stamp> {
        if payload.len() != len {
            return None;
        }
        let (publisher, rest) = payload.split_first_chunk()?;
        let (number, rest) = rest.split_first_chunk()?;
        let (time, rest) = rest.split_first_chunk()?;
        let stamp = Stamp {
            publisher: u32::from_le_bytes(*publisher),
            number: u64::from_le_bytes(*number),
            time: u64::from_le_bytes(*time),
        };
        (rest == self.of(stamp.number, rest.len())).then_some(stamp)
    }
}

/// The header of a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) publisher: u32,
    pub(crate) number: u64,
    pub(crate) time: u64,
}

/// The Packet Identifier of a publisher's message.
pub(crate) fn identifier(number: u64) -> PacketIdentifier {
    PacketIdentifier::MIN.saturating_add((number % u64::from(u16::MAX)) as u16)
}

/// The PUBLISH packets of one publisher, ready to be sent.
#[derive(Debug)]
pub(crate) struct Block {
    bytes: Vec<u8>,
    /// Length of a packet.
    stride: usize,
    /// Where things stand in a packet.
    identifier_at: Option<usize>,
    header_at: usize,
}

impl Block {
    /// Encodes `SLOTS` packets with payloads of `len` bytes.
    pub(crate) fn new(
        pattern: &Pattern,
        publisher: u32,
        topic: &str,
        version: Version,
        qos: QoS,
        len: usize,
    ) -> Result<Block> {
        let mut bytes = Vec::new();
        for number in 0..SLOTS {
            let payload = pattern.payload(publisher, number, 0, len);
            let publish = Publish {
                dup: false,
                qos,
                retain: false,
                topic: Some(TopicName::new(topic)?),
                packet_identifier: (qos > QoS::AtMostOnce).then_some(PacketIdentifier::MIN),
                properties: Properties::EMPTY,
                payload: &payload,
            };
            Packet::Publish(publish).encode(version, &mut bytes)?;
        }
        let stride = bytes.len() / SLOTS as usize;
        let header_at = stride - len;
        // In 5.0 the length of the properties lies between.
        let behind = if version == Version::V5 { 3 } else { 2 };
        Ok(Block {
            bytes,
            stride,
            identifier_at: (qos > QoS::AtMostOnce).then_some(header_at - behind),
            header_at,
        })
    }

    /// Makes the packet of a message.
    #[inline]
    pub(crate) fn stamp(&mut self, number: u64, time: u64) {
        let packet = &mut self.bytes[(number % SLOTS) as usize * self.stride..][..self.stride];
        if let Some(at) = self.identifier_at {
            packet[at..at + 2].copy_from_slice(&identifier(number).get().to_be_bytes());
        }
        let header = &mut packet[self.header_at..];
        header[4..12].copy_from_slice(&number.to_le_bytes());
        header[12..20].copy_from_slice(&time.to_le_bytes());
    }

    /// Where the packets of `count` messages from `number` on lie; they must not go beyond the last slot.
    pub(crate) fn range(&self, number: u64, count: u64) -> std::ops::Range<usize> {
        let start = (number % SLOTS) as usize * self.stride;
        start..start + count as usize * self.stride
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use mqtt::decode;

    use super::*;

    #[test]
    fn a_changed_payload_is_found() {
        let pattern = Pattern::new();
        let payload = pattern.payload(7, 130, 99, 100);
        let stamp = Stamp {
            publisher: 7,
            number: 130,
            time: 99,
        };
        assert_eq!(pattern.read(&payload, 100), Some(stamp));
        assert_eq!(pattern.read(&payload[..99], 100), None);
        assert_eq!(pattern.read(&payload, 101), None);
        for at in HEADER..100 {
            let mut changed = payload.clone();
            changed[at] ^= 1;
            assert_eq!(pattern.read(&changed, 100), None, "{at}");
        }
        // The number belongs to the pattern.
        let mut changed = payload.clone();
        changed[4] += 1;
        assert_eq!(pattern.read(&changed, 100), None);
        assert_eq!(pattern.read(&[], 100), None);
    }

    #[test]
    fn a_block_holds_packets() {
        let pattern = Pattern::new();
        let cases = [
            (QoS::AtMostOnce, None),
            (QoS::AtLeastOnce, Some(identifier(200))),
        ];
        let versions = [Version::V311, Version::V5];
        for ((qos, expected), version) in cases
            .into_iter()
            .flat_map(|case| versions.map(|version| (case, version)))
        {
            let mut block = Block::new(&pattern, 3, "a/b", version, qos, 200).unwrap();
            block.stamp(200, 55);
            let bytes = &block.bytes()[block.range(200, 1)];
            let (packet, used) = decode(bytes, version, u32::MAX).unwrap().unwrap();
            assert_eq!(used, bytes.len());
            let Packet::Publish(publish) = packet else {
                panic!("{packet:?}");
            };
            assert_eq!(publish.topic.unwrap().as_str(), "a/b");
            assert_eq!((publish.qos, publish.packet_identifier), (qos, expected));
            let stamp = Stamp {
                publisher: 3,
                number: 200,
                time: 55,
            };
            assert_eq!(pattern.read(publish.payload, 200), Some(stamp));
        }
    }

    #[test]
    fn identifiers_are_never_0() {
        assert_eq!(identifier(0).get(), 1);
        assert_eq!(identifier(65_534).get(), 65_535);
        assert_eq!(identifier(65_535).get(), 1);
    }
}
