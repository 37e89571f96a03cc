//! UNSUBACK, the answer to UNSUBSCRIBE (MQTT 5.0 section 3.11).

use crate::reader::Reader;
use crate::{
    DecodeError, EncodeError, PacketIdentifier, PacketType, Properties, ReasonCode, Version, writer,
};

const SECTION: u16 = PacketType::UnsubAck.bit();

/// An UNSUBACK packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnsubAck<'a> {
    /// The Packet Identifier of the UNSUBSCRIBE [MQTT-2.2.1-6].
    pub packet_identifier: PacketIdentifier,
    /// The properties; none in 3.x.
    pub properties: Properties<'a>,
    /// One Reason Code for each Topic Filter, in their order [MQTT-3.11.3-1]; none in 3.x.
    pub codes: &'a [u8],
}

impl<'a> UnsubAck<'a> {
    pub(crate) fn parse(body: &'a [u8], version: Version) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let packet_identifier = reader.packet_identifier()?;
        if version < Version::V5 {
            reader.finish()?;
            return Ok(Self {
                packet_identifier,
                properties: Properties::EMPTY,
                codes: &[],
            });
        }
        let properties = Properties::parse(&mut reader, SECTION, version)?;
        let packet = Self {
            packet_identifier,
            properties,
            codes: reader.rest(),
        };
        packet.check_codes()?;
        Ok(packet)
    }

    /// At least one code, and only those listed [MQTT-3.11.3-2].
    fn check_codes(&self) -> Result<(), DecodeError> {
        for &code in self.codes {
            ReasonCode::parse(code, PacketType::UnsubAck)?;
        }
        if self.codes.is_empty() {
            Err(DecodeError::NoReasonCodes)
        } else {
            Ok(())
        }
    }

    /// Appends the packet; on an error `out` is as it was. 3.x has neither codes nor properties.
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        if version == Version::V5 {
            self.check_codes()?;
            self.properties.check(SECTION, version)?;
        }
        writer::fixed_header(
            out,
            PacketType::UnsubAck.first_byte(),
            self.remaining_length(version),
        )?;
        writer::put_packet_identifier(out, self.packet_identifier);
        if version == Version::V5 {
            self.properties.put(version, out);
            out.extend_from_slice(self.codes);
        }
        Ok(())
    }

    /// The length of the encoded packet.
    pub fn encoded_len(&self, version: Version) -> usize {
        writer::packet_len(self.remaining_length(version))
    }

    fn remaining_length(&self, version: Version) -> usize {
        if version == Version::V5 {
            2 + self.properties.encoded_len(version) + self.codes.len()
        } else {
            2
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{NONE, V5, V31, V311, buffer, identifier, refused, same, written};
    use crate::{Packet, Property};

    fn unsuback(codes: &[u8]) -> UnsubAck<'_> {
        UnsubAck {
            packet_identifier: identifier(0x0102),
            properties: NONE,
            codes,
        }
    }

    #[test]
    fn codes_came_with_5() {
        for version in [V31, V311] {
            same(Packet::UnsubAck(unsuback(&[])), version, &[0xB0, 2, 1, 2]);
            assert_eq!(
                written(Packet::UnsubAck(unsuback(&[0])), version).as_deref(),
                Ok(&[0xB0, 2, 1, 2][..])
            );
        }
        same(
            Packet::UnsubAck(unsuback(&[0, 0x11])),
            V5,
            &[0xB0, 5, 1, 2, 0, 0, 0x11],
        );
    }

    #[test]
    fn properties() {
        let properties = buffer(&[Property::ReasonString("a")]);
        let packet = UnsubAck {
            properties: properties.as_properties(),
            ..unsuback(&[0])
        };
        same(
            Packet::UnsubAck(packet),
            V5,
            &[0xB0, 8, 1, 2, 4, 0x1F, 0, 1, b'a', 0],
        );
    }

    #[test]
    fn what_is_refused() {
        assert_eq!(refused(0xB0, &[0, 1, 0], V311), DecodeError::TrailingBytes);
        assert_eq!(
            refused(0xB0, &[0, 0], V311),
            DecodeError::PacketIdentifierZero
        );
        assert_eq!(refused(0xB0, &[0, 1], V5), DecodeError::Truncated);
        assert_eq!(refused(0xB0, &[0, 1, 0], V5), DecodeError::NoReasonCodes);
        assert_eq!(refused(0xB0, &[0, 1, 0, 2], V5), DecodeError::ReasonCode(2));
        assert_eq!(
            written(Packet::UnsubAck(unsuback(&[])), V5),
            Err(DecodeError::NoReasonCodes.into())
        );
    }
}
