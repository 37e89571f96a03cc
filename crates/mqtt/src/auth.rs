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
            packet.properties = Properties::parse(&mut reader, SECTION)?;
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
            self.properties.check(SECTION)?;
            self.check_method()?;
        }
        writer::fixed_header(out, PacketType::Auth.first_byte(), length)?;
        if length > 0 {
            out.push(self.reason as u8);
            self.properties.put(out);
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
            _ => 1 + self.properties.encoded_len(),
        }
    }
}
