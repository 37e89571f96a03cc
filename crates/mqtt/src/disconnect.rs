//! DISCONNECT (MQTT 5.0 section 3.14).

use crate::reader::Reader;
use crate::{DecodeError, EncodeError, PacketType, Properties, ReasonCode, Version, writer};

const SECTION: u16 = PacketType::Disconnect.bit();

/// A DISCONNECT packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disconnect<'a> {
    /// The Reason Code; `Success` in 3.x.
    pub reason: ReasonCode,
    /// The properties; none in 3.x.
    pub properties: Properties<'a>,
}

impl<'a> Disconnect<'a> {
    /// A DISCONNECT without properties.
    #[inline]
    pub const fn new(reason: ReasonCode) -> Self {
        Self {
            reason,
            properties: Properties::EMPTY,
        }
    }

    pub(crate) fn parse(body: &'a [u8], version: Version) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let mut packet = Self::new(ReasonCode::Success);
        // In 5.0 the properties may be missing, and then the Reason Code too if it is 0x00 (section 3.14.2.1).
        if version == Version::V5 && !reader.is_empty() {
            packet.reason = ReasonCode::parse(reader.u8()?, PacketType::Disconnect)?;
            if !reader.is_empty() {
                packet.properties = Properties::parse(&mut reader, SECTION)?;
            }
        }
        reader.finish()?;
        Ok(packet)
    }

    /// Appends the packet; on an error `out` is as it was. 3.x has neither Reason Code nor properties.
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        if version == Version::V5 {
            ReasonCode::parse(self.reason as u8, PacketType::Disconnect)?;
            self.properties.check(SECTION)?;
        }
        let length = self.remaining_length(version);
        writer::fixed_header(out, PacketType::Disconnect.first_byte(), length)?;
        if length > 0 {
            out.push(self.reason as u8);
        }
        if length > 1 {
            self.properties.put(out);
        }
        Ok(())
    }

    /// The length of the encoded packet.
    pub fn encoded_len(&self, version: Version) -> usize {
        writer::packet_len(self.remaining_length(version))
    }

    fn remaining_length(&self, version: Version) -> usize {
        match (version, self.reason, self.properties.is_empty()) {
            (Version::V31 | Version::V311, _, _) | (Version::V5, ReasonCode::Success, true) => 0,
            (Version::V5, _, true) => 1,
            (Version::V5, _, false) => 1 + self.properties.encoded_len(),
        }
    }
}
