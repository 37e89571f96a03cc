//! PUBLISH: an Application Message (MQTT 5.0 section 3.3).

use crate::reader::Reader;
use crate::writer::{self, put_binary, put_packet_identifier};
use crate::{
    DecodeError, EncodeError, PacketIdentifier, PacketType, Properties, QoS, TopicName, Version,
};

const SECTION: u16 = PacketType::Publish.bit();
const DUP: u8 = 0b1000;
const RETAIN: u8 = 0b0001;

/// A PUBLISH packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Publish<'a> {
    /// Whether this may be a packet sent before.
    pub dup: bool,
    /// The Quality of Service.
    pub qos: QoS,
    /// The RETAIN flag.
    pub retain: bool,
    /// The Topic Name; `None` when a Topic Alias stands for it (MQTT 5.0).
    pub topic: Option<TopicName<'a>>,
    /// There with QoS 1 and 2, and only then [MQTT-2.2.1-2].
    pub packet_identifier: Option<PacketIdentifier>,
    /// The properties; none in 3.x.
    pub properties: Properties<'a>,
    /// The payload.
    pub payload: &'a [u8],
}

impl<'a> Publish<'a> {
    /// The flags in the first byte: DUP, QoS, RETAIN. QoS is not 3 [MQTT-3.3.1-4], DUP needs QoS 1 or 2 [MQTT-3.3.1-2].
    #[inline]
    pub(crate) fn flags(first_byte: u8) -> Result<(bool, QoS, bool), DecodeError> {
        let qos = QoS::try_from(first_byte >> 1 & 0b11)?;
        let dup = first_byte & DUP != 0;
        if dup && qos == QoS::AtMostOnce {
            return Err(DecodeError::DupWithQoS0);
        }
        Ok((dup, qos, first_byte & RETAIN != 0))
    }

    #[inline]
    pub(crate) fn parse(
        first_byte: u8,
        body: &'a [u8],
        version: Version,
    ) -> Result<Self, DecodeError> {
        let (dup, qos, retain) = Self::flags(first_byte)?;
        let mut reader = Reader::new(body);
        let name = reader.binary()?;
        let topic = if name.is_empty() {
            None
        } else {
            Some(TopicName::parse(name)?)
        };
        let packet_identifier = match qos {
            QoS::AtMostOnce => None,
            QoS::AtLeastOnce | QoS::ExactlyOnce => Some(reader.packet_identifier()?),
        };
        let properties = Properties::parse(&mut reader, SECTION, version)?;
        let publish = Self {
            dup,
            qos,
            retain,
            topic,
            packet_identifier,
            properties,
            payload: reader.rest(),
        };
        publish.check_topic(version)?;
        Ok(publish)
    }

    /// A Topic Name, or in 5.0 a Topic Alias for it (section 3.3.2.1).
    #[inline]
    fn check_topic(&self, version: Version) -> Result<(), DecodeError> {
        if self.topic.is_some() || version == Version::V5 && self.properties.topic_alias().is_some()
        {
            Ok(())
        } else {
            Err(DecodeError::TopicMissing)
        }
    }

    /// Appends the packet; on an error `out` is as it was.
    #[inline]
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        self.check(version)?;
        let remaining_length = self.remaining_length(self.payload.len(), version);
        writer::fixed_header(out, self.first_byte(), remaining_length)?;
        self.put_variable_header(version, out);
        out.extend_from_slice(self.payload);
        Ok(())
    }

    /// Appends what stands before a payload of `payload_len` bytes, which the caller sends after it; on an error `out` is
    /// as it was. [`payload`](Self::payload) itself is not looked at: this is for one that is not to be copied, or is not
    /// in memory at all.
    pub fn encode_header(
        &self,
        payload_len: usize,
        version: Version,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        self.check(version)?;
        let remaining_length = self.remaining_length(payload_len, version);
        writer::bare_fixed_header(out, self.first_byte(), remaining_length)?;
        self.put_variable_header(version, out);
        Ok(())
    }

    #[inline]
    fn first_byte(&self) -> u8 {
        let flags = u8::from(self.dup) << 3 | (self.qos as u8) << 1 | u8::from(self.retain);
        PacketType::Publish.first_byte() | flags
    }

    #[inline]
    fn put_variable_header(&self, version: Version, out: &mut Vec<u8>) {
        put_binary(out, self.topic.map_or("", TopicName::as_str).as_bytes());
        if let Some(identifier) = self.packet_identifier {
            put_packet_identifier(out, identifier);
        }
        self.properties.put(version, out);
    }

    /// The length of the encoded packet.
    #[inline]
    pub fn encoded_len(&self, version: Version) -> usize {
        writer::packet_len(self.remaining_length(self.payload.len(), version))
    }

    #[inline]
    fn remaining_length(&self, payload_len: usize, version: Version) -> usize {
        let topic = 2 + self.topic.map_or(0, |topic| topic.as_str().len());
        let identifier = if self.packet_identifier.is_some() {
            2
        } else {
            0
        };
        (topic + identifier + self.properties.encoded_len(version)).saturating_add(payload_len)
    }

    #[inline]
    fn check(&self, version: Version) -> Result<(), EncodeError> {
        if self.packet_identifier.is_some() != (self.qos != QoS::AtMostOnce) {
            return Err(EncodeError::PacketIdentifier);
        }
        if self.dup && self.qos == QoS::AtMostOnce {
            return Err(DecodeError::DupWithQoS0.into());
        }
        self.properties.check(SECTION, version)?;
        if let Some(topic) = self.topic {
            writer::check_binary(topic.as_str().as_bytes())?;
        }
        Ok(self.check_topic(version)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{NONE, V5, V31, V311, buffer, identifier, read, refused, same, written};
    use crate::{Packet, Property, PropertyIdentifier, TopicError};

    fn topic(name: &str) -> Option<TopicName<'_>> {
        Some(TopicName::new(name).expect("a topic name"))
    }

    fn qos0<'a>(name: &'a str, payload: &'a [u8]) -> Publish<'a> {
        Publish {
            dup: false,
            qos: QoS::AtMostOnce,
            retain: false,
            topic: topic(name),
            packet_identifier: None,
            properties: NONE,
            payload,
        }
    }

    #[test]
    fn qos_0_in_each_version() {
        let packet = Packet::Publish(qos0("a/b", b"hello"));
        for version in [V31, V311] {
            same(packet, version, b"\x30\x0A\x00\x03a/bhello");
        }
        same(packet, V5, b"\x30\x0B\x00\x03a/b\x00hello");
    }

    #[test]
    fn the_example_of_the_standard() {
        // Section 3.3.2.4: topic a/b, identifier 10, no properties.
        let packet = Publish {
            qos: QoS::AtLeastOnce,
            packet_identifier: Some(identifier(10)),
            ..qos0("a/b", b"")
        };
        same(
            Packet::Publish(packet),
            V5,
            b"\x32\x08\x00\x03a/b\x00\x0A\x00",
        );
        same(
            Packet::Publish(packet),
            V311,
            b"\x32\x07\x00\x03a/b\x00\x0A",
        );
    }

    #[test]
    fn all_flags() {
        let packet = Publish {
            dup: true,
            qos: QoS::ExactlyOnce,
            retain: true,
            packet_identifier: Some(identifier(0xABCD)),
            ..qos0("t", &[0x00, 0xFF])
        };
        for version in [V31, V311] {
            same(
                Packet::Publish(packet),
                version,
                b"\x3D\x07\x00\x01t\xAB\xCD\x00\xFF",
            );
        }
    }

    #[test]
    fn properties_of_5_are_left_out_in_3() {
        let properties = buffer(&[
            Property::MessageExpiryInterval(60),
            Property::UserProperty("k", "v"),
        ]);
        let packet = Publish {
            properties: properties.as_properties(),
            ..qos0("t", b"x")
        };
        same(
            Packet::Publish(packet),
            V5,
            b"\x30\x11\x00\x01t\x0C\x02\x00\x00\x00\x3C\x26\x00\x01k\x00\x01vx",
        );
        assert_eq!(
            written(Packet::Publish(packet), V311).as_deref(),
            Ok(&b"\x30\x04\x00\x01tx"[..])
        );
        assert_eq!(packet.encoded_len(V311), 6);
    }

    #[test]
    fn an_alias_may_stand_for_the_topic_in_5_only() {
        let properties = buffer(&[Property::TopicAlias(3)]);
        let packet = Publish {
            topic: None,
            properties: properties.as_properties(),
            ..qos0("t", b"x")
        };
        same(
            Packet::Publish(packet),
            V5,
            b"\x30\x07\x00\x00\x03\x23\x00\x03x",
        );
        assert_eq!(
            written(Packet::Publish(packet), V311),
            Err(DecodeError::TopicMissing.into())
        );
        assert_eq!(refused(0x30, b"\x00\x00x", V311), DecodeError::TopicMissing);
        assert_eq!(
            refused(0x30, b"\x00\x00\x00x", V5),
            DecodeError::TopicMissing
        );
        assert_eq!(
            refused(0x30, b"\x00\x00\x03\x23\x00\x00", V5).reason_code(),
            crate::ReasonCode::TopicAliasInvalid
        );
    }

    #[test]
    fn flags_that_do_not_exist() {
        for version in [V31, V311, V5] {
            assert_eq!(
                refused(0x36, b"\x00\x01t\x00\x01\x00", version),
                DecodeError::QoS
            );
            assert_eq!(
                refused(0x3E, b"\x00\x01t\x00\x01\x00", version),
                DecodeError::QoS
            );
            assert_eq!(
                refused(0x38, b"\x00\x01t\x00", version),
                DecodeError::DupWithQoS0
            );
        }
    }

    #[test]
    fn topics_and_identifiers_that_are_none() {
        let wildcard = DecodeError::TopicName(TopicError::WildcardInName);
        for version in [V31, V311, V5] {
            assert_eq!(refused(0x30, b"\x00\x03a/+\x00", version), wildcard);
            assert_eq!(refused(0x30, b"\x00\x01#\x00", version), wildcard);
            assert_eq!(
                refused(0x30, b"\x00\x01\xFF\x00", version),
                DecodeError::NotUtf8
            );
            assert_eq!(
                refused(0x30, b"\x00\x01\x00\x00", version),
                DecodeError::TopicName(TopicError::Nul)
            );
            assert_eq!(
                refused(0x32, b"\x00\x01t\x00\x00\x00", version),
                DecodeError::PacketIdentifierZero
            );
            assert_eq!(
                refused(0x32, b"\x00\x01t\x00", version),
                DecodeError::Truncated
            );
            assert_eq!(refused(0x30, b"\x00\x05t", version), DecodeError::Truncated);
            assert_eq!(refused(0x30, b"", version), DecodeError::Truncated);
        }
        assert_eq!(refused(0x30, b"\x00\x01t", V5), DecodeError::Truncated);
    }

    #[test]
    fn an_empty_payload_is_one() {
        same(Packet::Publish(qos0("t", b"")), V311, b"\x30\x03\x00\x01t");
        same(
            Packet::Publish(Publish {
                retain: true,
                ..qos0("t", b"")
            }),
            V5,
            b"\x31\x04\x00\x01t\x00",
        );
    }

    #[test]
    fn a_long_payload_takes_a_longer_header() {
        let payload = [7; 200];
        let bytes = written(Packet::Publish(qos0("t", &payload)), V311).expect("legal");
        assert_eq!(bytes[..6], [0x30, 0xCB, 0x01, 0, 1, b't']);
        assert_eq!(read(&bytes, V311), Ok(Packet::Publish(qos0("t", &payload))));
    }

    #[test]
    fn the_payload_may_go_another_way() {
        let properties = buffer(&[Property::PayloadFormatIndicator(1)]);
        for version in [V31, V311, V5] {
            let publish = Publish {
                qos: QoS::AtLeastOnce,
                packet_identifier: Some(identifier(7)),
                properties: properties.as_properties(),
                ..qos0("a/b", &[9; 300])
            };
            let mut bytes = Vec::new();
            let elsewhere = Publish {
                payload: b"",
                ..publish
            };
            assert_eq!(elsewhere.encode_header(300, version, &mut bytes), Ok(()));
            assert!(bytes.capacity() < 300);
            bytes.extend_from_slice(publish.payload);
            assert_eq!(written(Packet::Publish(publish), version), Ok(bytes));
        }
        let mut bytes = Vec::new();
        for len in [crate::MAX_PACKET_SIZE as usize, usize::MAX] {
            let refused = qos0("a", b"").encode_header(len, V311, &mut bytes);
            assert_eq!(refused, Err(EncodeError::PacketTooLarge));
        }
        assert!(bytes.is_empty());
    }

    #[test]
    fn what_is_not_written() {
        let wrong = Publish {
            packet_identifier: Some(identifier(1)),
            ..qos0("t", b"")
        };
        assert_eq!(
            written(Packet::Publish(wrong), V311),
            Err(EncodeError::PacketIdentifier)
        );
        let wrong = Publish {
            qos: QoS::AtLeastOnce,
            ..qos0("t", b"")
        };
        assert_eq!(
            written(Packet::Publish(wrong), V311),
            Err(EncodeError::PacketIdentifier)
        );
        let wrong = Publish {
            dup: true,
            ..qos0("t", b"")
        };
        assert_eq!(
            written(Packet::Publish(wrong), V5),
            Err(DecodeError::DupWithQoS0.into())
        );
        let properties = buffer(&[Property::ReceiveMaximum(1)]);
        let wrong = Publish {
            properties: properties.as_properties(),
            ..qos0("t", b"")
        };
        let refused = DecodeError::PropertyNotAllowed(PropertyIdentifier::ReceiveMaximum);
        assert_eq!(written(Packet::Publish(wrong), V5), Err(refused.into()));
    }
}
