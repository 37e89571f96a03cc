//! PUBACK, PUBREC, PUBREL and PUBCOMP, which look alike (MQTT 5.0 sections 3.4 to 3.7).

use crate::reader::Reader;
use crate::{
    DecodeError, EncodeError, PacketIdentifier, PacketType, Properties, ReasonCode, Version, writer,
};

/// Which of the four acknowledgements of a PUBLISH it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AckType {
    /// PUBACK.
    PubAck,
    /// PUBREC.
    PubRec,
    /// PUBREL.
    PubRel,
    /// PUBCOMP.
    PubComp,
}

impl From<AckType> for PacketType {
    #[inline]
    fn from(ack: AckType) -> Self {
        match ack {
            AckType::PubAck => Self::PubAck,
            AckType::PubRec => Self::PubRec,
            AckType::PubRel => Self::PubRel,
            AckType::PubComp => Self::PubComp,
        }
    }
}

/// A PUBACK, PUBREC, PUBREL or PUBCOMP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ack<'a> {
    /// The Packet Identifier of the PUBLISH [MQTT-2.2.1-5].
    pub packet_identifier: PacketIdentifier,
    /// The Reason Code; `Success` in 3.x.
    pub reason: ReasonCode,
    /// The properties; none in 3.x.
    pub properties: Properties<'a>,
}

impl<'a> Ack<'a> {
    /// An acknowledgement of success without properties.
    #[inline]
    pub const fn new(packet_identifier: PacketIdentifier) -> Self {
        Self {
            packet_identifier,
            reason: ReasonCode::Success,
            properties: Properties::EMPTY,
        }
    }

    #[inline]
    pub(crate) fn parse(
        ack: AckType,
        body: &'a [u8],
        version: Version,
    ) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let mut packet = Self::new(reader.packet_identifier()?);
        // In 5.0 the properties may be missing, and then the Reason Code too if it is 0x00 (section 3.4.2.1).
        if version == Version::V5 && !reader.is_empty() {
            packet.reason = ReasonCode::parse(reader.u8()?, ack.into())?;
            if !reader.is_empty() {
                packet.properties =
                    Properties::parse(&mut reader, PacketType::from(ack).bit(), version)?;
            }
        }
        reader.finish()?;
        Ok(packet)
    }

    /// Appends the packet; on an error `out` is as it was. 3.x has neither Reason Code nor properties.
    #[inline]
    pub fn encode(
        &self,
        ack: AckType,
        version: Version,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        let packet = PacketType::from(ack);
        if version == Version::V5 {
            ReasonCode::parse(self.reason as u8, packet)?;
            self.properties.check(packet.bit(), version)?;
        }
        let length = self.remaining_length(version);
        writer::fixed_header(out, packet.first_byte(), length)?;
        writer::put_packet_identifier(out, self.packet_identifier);
        if length > 2 {
            out.push(self.reason as u8);
        }
        if length > 3 {
            self.properties.put(version, out);
        }
        Ok(())
    }

    /// The length of the encoded packet.
    #[inline]
    pub fn encoded_len(&self, version: Version) -> usize {
        writer::packet_len(self.remaining_length(version))
    }

    #[inline]
    fn remaining_length(&self, version: Version) -> usize {
        match (version, self.reason, self.properties.is_empty()) {
            (Version::V31 | Version::V311, _, _) | (Version::V5, ReasonCode::Success, true) => 2,
            (Version::V5, _, true) => 3,
            (Version::V5, _, false) => 3 + self.properties.encoded_len(version),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{V5, V31, V311, buffer, identifier, read, refused, same, written};
    use crate::{Packet, Property};

    #[test]
    fn success_is_short() {
        let ack = Ack::new(identifier(0x0102));
        for version in [V31, V311, V5] {
            same(Packet::PubAck(ack), version, &[0x40, 2, 1, 2]);
            same(Packet::PubRec(ack), version, &[0x50, 2, 1, 2]);
            same(Packet::PubRel(ack), version, &[0x62, 2, 1, 2]);
            same(Packet::PubComp(ack), version, &[0x70, 2, 1, 2]);
        }
    }

    #[test]
    fn a_reason_without_properties() {
        let ack = Ack {
            reason: ReasonCode::NoMatchingSubscribers,
            ..Ack::new(identifier(1))
        };
        same(Packet::PubAck(ack), V5, &[0x40, 3, 0, 1, 0x10]);
        same(Packet::PubRec(ack), V5, &[0x50, 3, 0, 1, 0x10]);
        let ack = Ack {
            reason: ReasonCode::PacketIdentifierNotFound,
            ..ack
        };
        same(Packet::PubRel(ack), V5, &[0x62, 3, 0, 1, 0x92]);
        same(Packet::PubComp(ack), V5, &[0x70, 3, 0, 1, 0x92]);
        // 3.x cannot say why.
        assert_eq!(
            written(Packet::PubComp(ack), V311).as_deref(),
            Ok(&[0x70, 2, 0, 1][..])
        );
    }

    #[test]
    fn properties_bring_the_reason_along() {
        let properties = buffer(&[Property::ReasonString("x")]);
        let ack = Ack {
            properties: properties.as_properties(),
            ..Ack::new(identifier(1))
        };
        same(
            Packet::PubAck(ack),
            V5,
            &[0x40, 8, 0, 1, 0x00, 4, 0x1F, 0, 1, b'x'],
        );
    }

    #[test]
    fn longer_forms_of_success_are_understood() {
        let ack = Packet::PubAck(Ack::new(identifier(1)));
        assert_eq!(read(&[0x40, 3, 0, 1, 0], V5), Ok(ack));
        assert_eq!(read(&[0x40, 4, 0, 1, 0, 0], V5), Ok(ack));
    }

    #[test]
    fn what_is_refused() {
        for version in [V31, V311, V5] {
            assert_eq!(
                refused(0x40, &[0, 0], version),
                DecodeError::PacketIdentifierZero
            );
            assert_eq!(refused(0x40, &[0], version), DecodeError::Truncated);
            assert_eq!(refused(0x62, &[], version), DecodeError::Truncated);
        }
        assert_eq!(refused(0x40, &[0, 1, 0], V311), DecodeError::TrailingBytes);
        assert_eq!(
            refused(0x40, &[0, 1, 0, 0, 0], V5),
            DecodeError::TrailingBytes
        );
        assert_eq!(
            refused(0x40, &[0, 1, 0x92], V5),
            DecodeError::ReasonCode(0x92)
        );
        assert_eq!(
            refused(0x62, &[0, 1, 0x10], V5),
            DecodeError::ReasonCode(0x10)
        );
        assert_eq!(
            refused(0x70, &[0, 1, 0xFF], V5),
            DecodeError::ReasonCode(0xFF)
        );
        assert!(matches!(
            refused(0x40, &[0, 1, 0, 3, 0x21, 0, 1], V5),
            DecodeError::PropertyNotAllowed(_)
        ));
    }

    #[test]
    fn a_reason_of_another_packet_is_not_written() {
        let ack = Ack {
            reason: ReasonCode::SessionTakenOver,
            ..Ack::new(identifier(1))
        };
        assert_eq!(
            written(Packet::PubAck(ack), V5),
            Err(DecodeError::ReasonCode(0x8E).into())
        );
    }
}
