//! AUTH, of MQTT 5.0 only (section 3.15).

use crate::reader::Reader;
use crate::{DecodeError, EncodeError, PacketType, Properties, ReasonCode, Version, writer};

const SECTION: u16 = PacketType::Auth.bit();

/// An AUTH packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Auth<'a> {
    /// The Reason Code.
    pub reason: ReasonCode,
    /// The properties; the Authentication Method is among them unless the packet is the short one of `Success`.
    pub properties: Properties<'a>,
}

impl<'a> Auth<'a> {
    pub(crate) fn parse(body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut packet = Self {
            reason: ReasonCode::Success,
            properties: Properties::EMPTY,
        };
        if !body.is_empty() {
            // Unlike in DISCONNECT, the Reason Code cannot stand alone (section 3.15.2.1).
            let mut reader = Reader::new(body);
            packet.reason = ReasonCode::parse(reader.u8()?, PacketType::Auth)?;
            packet.properties = Properties::parse(&mut reader, SECTION, Version::V5)?;
            packet.check_method()?;
            reader.finish()?;
        }
        Ok(packet)
    }

    /// All but the short form have an Authentication Method (section 3.15.2.2.2).
    fn check_method(&self) -> Result<(), DecodeError> {
        self.properties
            .authentication_method()
            .map(drop)
            .ok_or(DecodeError::AuthenticationMethodMissing)
    }

    /// Appends the packet; on an error `out` is as it was.
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        if version != Version::V5 {
            return Err(EncodeError::NotInVersion);
        }
        let length = self.remaining_length();
        if length > 0 {
            ReasonCode::parse(self.reason as u8, PacketType::Auth)?;
            self.properties.check(SECTION, version)?;
            self.check_method()?;
        }
        writer::fixed_header(out, PacketType::Auth.first_byte(), length)?;
        if length > 0 {
            out.push(self.reason as u8);
            self.properties.put(version, out);
        }
        Ok(())
    }

    /// The length of the encoded packet.
    pub fn encoded_len(&self) -> usize {
        writer::packet_len(self.remaining_length())
    }

    fn remaining_length(&self) -> usize {
        match (self.reason, self.properties.is_empty()) {
            (ReasonCode::Success, true) => 0,
            _ => 1 + self.properties.encoded_len(Version::V5),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{NONE, V5, V31, V311, buffer, refused, same, written};
    use crate::{Packet, Property};

    #[test]
    fn success_may_be_short() {
        same(
            Packet::Auth(Auth {
                reason: ReasonCode::Success,
                properties: NONE,
            }),
            V5,
            &[0xF0, 0],
        );
    }

    #[test]
    fn a_step_of_authentication() {
        let properties = buffer(&[
            Property::AuthenticationMethod("M"),
            Property::AuthenticationData(&[0, 1]),
        ]);
        let packet = Auth {
            reason: ReasonCode::ContinueAuthentication,
            properties: properties.as_properties(),
        };
        same(
            Packet::Auth(packet),
            V5,
            &[0xF0, 11, 0x18, 9, 0x15, 0, 1, b'M', 0x16, 0, 2, 0, 1],
        );
    }

    #[test]
    fn what_is_refused() {
        assert_eq!(refused(0xF0, &[0x18], V5), DecodeError::Truncated);
        assert_eq!(
            refused(0xF0, &[0x18, 0], V5),
            DecodeError::AuthenticationMethodMissing
        );
        assert_eq!(
            refused(0xF0, &[0x00, 0], V5),
            DecodeError::AuthenticationMethodMissing
        );
        assert_eq!(refused(0xF0, &[0x80, 0], V5), DecodeError::ReasonCode(0x80));
        assert_eq!(refused(0xF2, &[], V5), DecodeError::FixedHeaderFlags(0xF2));
        let data_alone = refused(0xF0, &[0x18, 4, 0x16, 0, 1, 9], V5);
        assert_eq!(data_alone, DecodeError::AuthenticationDataWithoutMethod);
        assert_eq!(
            refused(0xF0, &[0x18, 4, 0x15, 0, 1, b'M', 0], V5),
            DecodeError::TrailingBytes
        );
    }

    #[test]
    fn only_5_has_it() {
        let packet = Packet::Auth(Auth {
            reason: ReasonCode::Success,
            properties: NONE,
        });
        for version in [V31, V311] {
            assert_eq!(written(packet, version), Err(EncodeError::NotInVersion));
            assert_eq!(
                refused(0xF0, &[], version),
                DecodeError::ReservedPacketType(15)
            );
        }
        let packet = Packet::Auth(Auth {
            reason: ReasonCode::ReAuthenticate,
            properties: NONE,
        });
        assert_eq!(
            written(packet, V5),
            Err(DecodeError::AuthenticationMethodMissing.into())
        );
    }
}
