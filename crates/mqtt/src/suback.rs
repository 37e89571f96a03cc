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
        let properties = match version {
            Version::V5 => Properties::parse(&mut reader, SECTION)?,
            Version::V31 | Version::V311 => Properties::EMPTY,
        };
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
        if version == Version::V5 {
            self.properties.check(SECTION)?;
        }
        writer::fixed_header(
            out,
            PacketType::SubAck.first_byte(),
            self.remaining_length(version),
        )?;
        writer::put_packet_identifier(out, self.packet_identifier);
        if version == Version::V5 {
            self.properties.put(out);
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
        let properties = if version == Version::V5 {
            self.properties.encoded_len()
        } else {
            0
        };
        2 + properties + self.codes.len()
    }
}
