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
                packet.properties = Properties::parse(&mut reader, PacketType::from(ack).bit())?;
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
            self.properties.check(packet.bit())?;
        }
        let length = self.remaining_length(version);
        writer::fixed_header(out, packet.first_byte(), length)?;
        writer::put_packet_identifier(out, self.packet_identifier);
        if length > 2 {
            out.push(self.reason as u8);
        }
        if length > 3 {
            self.properties.put(out);
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
            (Version::V5, _, false) => 3 + self.properties.encoded_len(),
        }
    }
}
