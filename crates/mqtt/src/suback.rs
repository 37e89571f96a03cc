//! SUBACK, the answer to SUBSCRIBE (MQTT 5.0 section 3.9).

use crate::reader::Reader;
use crate::{
    DecodeError, EncodeError, PacketIdentifier, PacketType, Properties, ReasonCode, Version, writer,
};

const SECTION: u16 = PacketType::SubAck.bit();
/// The only failure that 3.x knows.
const FAILURE: u8 = 0x80;

/// A SUBACK packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubAck<'a> {
    /// The Packet Identifier of the SUBSCRIBE [MQTT-2.2.1-6].
    pub packet_identifier: PacketIdentifier,
    /// The properties; none in 3.x.
    pub properties: Properties<'a>,
    /// One code for each Topic Filter, in their order [MQTT-3.9.3-1]: the granted QoS or an error.
    pub codes: &'a [u8],
}

impl<'a> SubAck<'a> {
    pub(crate) fn parse(body: &'a [u8], version: Version) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let packet_identifier = reader.packet_identifier()?;
        let properties = Properties::parse(&mut reader, SECTION, version)?;
        let packet = Self {
            packet_identifier,
            properties,
            codes: reader.rest(),
        };
        for &code in packet.codes {
            let code = ReasonCode::parse(code, PacketType::SubAck)?;
            // [MQTT-3.9.3-2] of 3.1.1.
            if version < Version::V5 && code.is_error() && code as u8 != FAILURE {
                return Err(DecodeError::ReasonCode(code as u8));
            }
        }
        if packet.codes.is_empty() {
            Err(DecodeError::NoReasonCodes)
        } else {
            Ok(packet)
        }
    }

    /// Appends the packet; on an error `out` is as it was. In 3.x every error becomes 0x80, the only one it knows.
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        if self.codes.is_empty() {
            return Err(DecodeError::NoReasonCodes.into());
        }
        for &code in self.codes {
            ReasonCode::parse(code, PacketType::SubAck)?;
        }
        self.properties.check(SECTION, version)?;
        writer::fixed_header(
            out,
            PacketType::SubAck.first_byte(),
            self.remaining_length(version),
        )?;
        writer::put_packet_identifier(out, self.packet_identifier);
        self.properties.put(version, out);
        if version == Version::V5 {
            out.extend_from_slice(self.codes);
        } else {
            out.extend(self.codes.iter().map(|&code| code.min(FAILURE)));
        }
        Ok(())
    }

    /// The length of the encoded packet.
    pub fn encoded_len(&self, version: Version) -> usize {
        writer::packet_len(self.remaining_length(version))
    }

    fn remaining_length(&self, version: Version) -> usize {
        2 + self.properties.encoded_len(version) + self.codes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{NONE, V5, V31, V311, buffer, identifier, refused, same, written};
    use crate::{Packet, Property};

    fn suback(codes: &[u8]) -> SubAck<'_> {
        SubAck {
            packet_identifier: identifier(10),
            properties: NONE,
            codes,
        }
    }

    #[test]
    fn granted_and_refused() {
        // The example of 3.1.1 section 3.9.3: granted QoS 0, granted QoS 2, failure.
        for version in [V31, V311] {
            same(
                Packet::SubAck(suback(&[0, 2, 0x80])),
                version,
                &[0x90, 5, 0, 10, 0, 2, 0x80],
            );
        }
        same(
            Packet::SubAck(suback(&[1, 0x87, 0x9E])),
            V5,
            &[0x90, 6, 0, 10, 0, 1, 0x87, 0x9E],
        );
    }

    #[test]
    fn properties() {
        let properties = buffer(&[Property::UserProperty("a", "b")]);
        let packet = SubAck {
            properties: properties.as_properties(),
            ..suback(&[0])
        };
        same(
            Packet::SubAck(packet),
            V5,
            &[0x90, 11, 0, 10, 7, 0x26, 0, 1, b'a', 0, 1, b'b', 0],
        );
    }

    #[test]
    fn the_errors_of_5_are_one_in_3() {
        let bytes = written(Packet::SubAck(suback(&[2, 0x87, 0xA2])), V311);
        assert_eq!(bytes.as_deref(), Ok(&[0x90, 5, 0, 10, 2, 0x80, 0x80][..]));
        assert_eq!(
            refused(0x90, &[0, 10, 0x87], V311),
            DecodeError::ReasonCode(0x87)
        );
    }

    #[test]
    fn what_is_refused() {
        assert_eq!(
            refused(0x90, &[0, 0, 0], V311),
            DecodeError::PacketIdentifierZero
        );
        assert_eq!(refused(0x90, &[0, 1], V311), DecodeError::NoReasonCodes);
        assert_eq!(refused(0x90, &[0, 1, 0], V5), DecodeError::NoReasonCodes);
        assert_eq!(refused(0x90, &[0, 1, 3], V311), DecodeError::ReasonCode(3));
        assert_eq!(
            refused(0x90, &[0, 1, 0, 0x8E], V5),
            DecodeError::ReasonCode(0x8E)
        );
        for version in [V31, V311, V5] {
            assert_eq!(
                written(Packet::SubAck(suback(&[])), version),
                Err(DecodeError::NoReasonCodes.into())
            );
            assert_eq!(
                written(Packet::SubAck(suback(&[3])), version),
                Err(DecodeError::ReasonCode(3).into())
            );
        }
    }
}
