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
                packet.properties = Properties::parse(&mut reader, SECTION, version)?;
            }
        }
        reader.finish()?;
        Ok(packet)
    }

    /// Appends the packet; on an error `out` is as it was. 3.x has neither Reason Code nor properties.
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        if version == Version::V5 {
            ReasonCode::parse(self.reason as u8, PacketType::Disconnect)?;
            self.properties.check(SECTION, version)?;
        }
        let length = self.remaining_length(version);
        writer::fixed_header(out, PacketType::Disconnect.first_byte(), length)?;
        if length > 0 {
            out.push(self.reason as u8);
        }
        if length > 1 {
            self.properties.put(version, out);
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
            (Version::V5, _, false) => 1 + self.properties.encoded_len(version),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{V5, V31, V311, buffer, read, refused, same, written};
    use crate::{Packet, Property};

    #[test]
    fn success_has_no_body() {
        let packet = Packet::Disconnect(Disconnect::new(ReasonCode::NORMAL_DISCONNECTION));
        for version in [V31, V311, V5] {
            same(packet, version, &[0xE0, 0]);
        }
        assert_eq!(read(&[0xE0, 1, 0], V5), Ok(packet));
        assert_eq!(read(&[0xE0, 2, 0, 0], V5), Ok(packet));
    }

    #[test]
    fn a_reason_alone() {
        let packet = Disconnect::new(ReasonCode::DisconnectWithWillMessage);
        same(Packet::Disconnect(packet), V5, &[0xE0, 1, 0x04]);
        assert_eq!(
            written(Packet::Disconnect(packet), V311).as_deref(),
            Ok(&[0xE0, 0][..])
        );
    }

    #[test]
    fn a_reason_with_properties() {
        let properties = buffer(&[Property::SessionExpiryInterval(5)]);
        let packet = Disconnect {
            properties: properties.as_properties(),
            ..Disconnect::new(ReasonCode::Success)
        };
        same(
            Packet::Disconnect(packet),
            V5,
            &[0xE0, 7, 0, 5, 0x11, 0, 0, 0, 5],
        );
    }

    #[test]
    fn what_is_refused() {
        assert_eq!(refused(0xE0, &[0], V311), DecodeError::TrailingBytes);
        assert_eq!(refused(0xE0, &[0], V31), DecodeError::TrailingBytes);
        assert_eq!(refused(0xE0, &[0, 0, 0], V5), DecodeError::TrailingBytes);
        assert_eq!(refused(0xE0, &[0x01], V5), DecodeError::ReasonCode(0x01));
        assert_eq!(refused(0xE0, &[0x04, 1], V5), DecodeError::Truncated);
        assert_eq!(refused(0xE1, &[], V5), DecodeError::FixedHeaderFlags(0xE1));
        assert_eq!(
            refused(0xE1, &[], V311),
            DecodeError::FixedHeaderFlags(0xE1)
        );
        let packet = Disconnect::new(ReasonCode::Banned);
        assert_eq!(
            written(Packet::Disconnect(packet), V5),
            Err(DecodeError::ReasonCode(0x8A).into())
        );
    }
}
