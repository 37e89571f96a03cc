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
        let properties = Properties::parse(&mut reader, SECTION)?;
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
            self.properties.check(SECTION)?;
        }
        writer::fixed_header(
            out,
            PacketType::UnsubAck.first_byte(),
            self.remaining_length(version),
        )?;
        writer::put_packet_identifier(out, self.packet_identifier);
        if version == Version::V5 {
            self.properties.put(out);
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
            2 + self.properties.encoded_len() + self.codes.len()
        } else {
            2
        }
    }
}
