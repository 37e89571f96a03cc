//! CONNACK, the answer to CONNECT (MQTT 5.0 section 3.2).

use core::fmt;

use crate::reader::Reader;
use crate::{DecodeError, EncodeError, PacketType, Properties, ReasonCode, Version, writer};

const SECTION: u16 = PacketType::ConnAck.bit();

/// A return code of CONNACK in MQTT 3.1 and 3.1.1 (3.1.1 section 3.2.2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ConnectReturnCode {
    /// 0: connection accepted.
    Accepted = 0,
    /// 1: the server does not support the protocol version.
    UnacceptableProtocolVersion = 1,
    /// 2: the server does not allow the client identifier.
    IdentifierRejected = 2,
    /// 3: the MQTT service is unavailable.
    ServerUnavailable = 3,
    /// 4: user name or password is malformed or wrong.
    BadUserNameOrPassword = 4,
    /// 5: the client is not authorized to connect.
    NotAuthorized = 5,
}

impl TryFrom<u8> for ConnectReturnCode {
    type Error = DecodeError;

    fn try_from(code: u8) -> Result<Self, DecodeError> {
        Ok(match code {
            0 => Self::Accepted,
            1 => Self::UnacceptableProtocolVersion,
            2 => Self::IdentifierRejected,
            3 => Self::ServerUnavailable,
            4 => Self::BadUserNameOrPassword,
            5 => Self::NotAuthorized,
            _ => return Err(DecodeError::ReasonCode(code)),
        })
    }
}

impl From<ConnectReturnCode> for u8 {
    fn from(code: ConnectReturnCode) -> Self {
        code as Self
    }
}

impl fmt::Display for ConnectReturnCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Accepted => "connection accepted",
            Self::UnacceptableProtocolVersion => "unacceptable protocol version",
            Self::IdentifierRejected => "identifier rejected",
            Self::ServerUnavailable => "server unavailable",
            Self::BadUserNameOrPassword => "bad user name or password",
            Self::NotAuthorized => "not authorized",
        })
    }
}

/// A CONNACK packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnAck<'a> {
    /// Whether the server had a session. 3.1 does not tell.
    pub session_present: bool,
    /// The Reason Code in 5.0, the [`ConnectReturnCode`] in 3.x.
    ///
    /// Decoded as 5.0 it is 1 where a server that only knows 3.x refuses the version in its own way.
    pub code: u8,
    /// The properties; none in 3.x.
    pub properties: Properties<'a>,
}

impl<'a> ConnAck<'a> {
    pub(crate) fn parse(body: &'a [u8], version: Version) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let flags = reader.u8()?;
        let code = reader.u8()?;
        let refused_by_3x = version == Version::V5
            && body == [0, ConnectReturnCode::UnacceptableProtocolVersion as u8];
        let properties = if refused_by_3x {
            Properties::EMPTY
        } else {
            Properties::parse(&mut reader, SECTION, version)?
        };
        reader.finish()?;
        // 3.1 does not use the first byte.
        let flags = if version == Version::V31 { 0 } else { flags };
        if flags > 1 {
            return Err(DecodeError::ConnAckFlags(flags));
        }
        let packet = Self {
            session_present: flags == 1,
            code,
            properties,
        };
        if !refused_by_3x {
            packet.check_code(version)?;
        }
        Ok(packet)
    }

    /// The code is one of the version's [MQTT-3.2.2-8], and only success has a session [MQTT-3.2.2-6].
    fn check_code(&self, version: Version) -> Result<(), DecodeError> {
        if version == Version::V5 {
            ReasonCode::parse(self.code, PacketType::ConnAck)?;
        } else {
            ConnectReturnCode::try_from(self.code)?;
        }
        if self.session_present && self.code != 0 {
            return Err(DecodeError::SessionPresentWithRefusal);
        }
        Ok(())
    }

    /// Appends the packet; on an error `out` is as it was.
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        self.check_code(version)?;
        self.properties.check(SECTION, version)?;
        writer::fixed_header(
            out,
            PacketType::ConnAck.first_byte(),
            self.remaining_length(version),
        )?;
        out.push(u8::from(self.session_present && version != Version::V31));
        out.push(self.code);
        self.properties.put(version, out);
        Ok(())
    }

    /// The length of the encoded packet.
    pub fn encoded_len(&self, version: Version) -> usize {
        writer::packet_len(self.remaining_length(version))
    }

    fn remaining_length(&self, version: Version) -> usize {
        2 + self.properties.encoded_len(version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{NONE, V5, V31, V311, buffer, read, refused, same, written};
    use crate::{Packet, Property};

    fn connack<'a>(session_present: bool, code: u8) -> ConnAck<'a> {
        ConnAck {
            session_present,
            code,
            properties: NONE,
        }
    }

    #[test]
    fn success() {
        same(Packet::ConnAck(connack(false, 0)), V31, &[0x20, 2, 0, 0]);
        same(Packet::ConnAck(connack(false, 0)), V311, &[0x20, 2, 0, 0]);
        same(Packet::ConnAck(connack(true, 0)), V311, &[0x20, 2, 1, 0]);
        same(Packet::ConnAck(connack(true, 0)), V5, &[0x20, 3, 1, 0, 0]);
    }

    #[test]
    fn refusals() {
        for code in 1..=5 {
            same(
                Packet::ConnAck(connack(false, code)),
                V31,
                &[0x20, 2, 0, code],
            );
            same(
                Packet::ConnAck(connack(false, code)),
                V311,
                &[0x20, 2, 0, code],
            );
        }
        same(
            Packet::ConnAck(connack(false, 0x87)),
            V5,
            &[0x20, 3, 0, 0x87, 0],
        );
    }

    #[test]
    fn what_a_server_tells_about_itself() {
        let properties = buffer(&[
            Property::ReceiveMaximum(20),
            Property::MaximumQoS(1),
            Property::AssignedClientIdentifier("x"),
            Property::ServerKeepAlive(60),
            Property::SharedSubscriptionAvailable(true),
        ]);
        let packet = ConnAck {
            properties: properties.as_properties(),
            ..connack(false, 0)
        };
        let bytes = [
            0x20, 17, 0, 0, 14, 0x21, 0, 20, 0x24, 1, 0x12, 0, 1, b'x', 0x13, 0, 60, 0x2A, 1,
        ];
        same(Packet::ConnAck(packet), V5, &bytes);
        let bytes = written(Packet::ConnAck(packet), V311);
        assert_eq!(bytes.as_deref(), Ok(&[0x20, 2, 0, 0][..]));
    }

    #[test]
    fn version_3_1_does_not_use_the_first_byte() {
        assert_eq!(
            read(&[0x20, 2, 0xFF, 0], V31),
            Ok(Packet::ConnAck(connack(false, 0)))
        );
        let bytes = written(Packet::ConnAck(connack(true, 0)), V31);
        assert_eq!(bytes.as_deref(), Ok(&[0x20, 2, 0, 0][..]));
    }

    #[test]
    fn a_server_of_3_refuses_5_in_its_own_way() {
        assert_eq!(
            read(&[0x20, 2, 0, 1], V5),
            Ok(Packet::ConnAck(connack(false, 1)))
        );
        assert_eq!(refused(0x20, &[0, 2], V5), DecodeError::Truncated);
        assert_eq!(refused(0x20, &[0, 1, 0], V5), DecodeError::ReasonCode(1));
    }

    #[test]
    fn what_is_refused() {
        assert_eq!(refused(0x20, &[2, 0], V311), DecodeError::ConnAckFlags(2));
        assert_eq!(
            refused(0x20, &[0x81, 0, 0], V5),
            DecodeError::ConnAckFlags(0x81)
        );
        assert_eq!(refused(0x20, &[0, 6], V311), DecodeError::ReasonCode(6));
        assert_eq!(
            refused(0x20, &[0, 0x8B, 0], V5),
            DecodeError::ReasonCode(0x8B)
        );
        assert_eq!(
            refused(0x20, &[1, 5], V311),
            DecodeError::SessionPresentWithRefusal
        );
        assert_eq!(
            refused(0x20, &[1, 0x87, 0], V5),
            DecodeError::SessionPresentWithRefusal
        );
        assert_eq!(refused(0x20, &[0, 0, 0], V311), DecodeError::TrailingBytes);
        assert_eq!(refused(0x20, &[0], V311), DecodeError::Truncated);
        let wrong = Packet::ConnAck(connack(true, 5));
        assert_eq!(
            written(wrong, V311),
            Err(DecodeError::SessionPresentWithRefusal.into())
        );
        assert_eq!(
            written(Packet::ConnAck(connack(false, 5)), V5),
            Err(DecodeError::ReasonCode(5).into())
        );
        assert_eq!(
            written(Packet::ConnAck(connack(false, 0x87)), V311),
            Err(DecodeError::ReasonCode(0x87).into())
        );
    }
}
