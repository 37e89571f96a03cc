//! CONNECT, the first packet of a Client, and the Will in it (MQTT 5.0 section 3.1).

use crate::packet_type::WILL;
use crate::reader::Reader;
use crate::writer::{self, check_binary, check_string, put_binary, put_u16};
use crate::{
    DecodeError, EncodeError, MAX_PACKET_SIZE, PacketType, Properties, QoS, TopicName, Version,
    frame,
};

const SECTION: u16 = PacketType::Connect.bit();

const RESERVED: u8 = 0b0000_0001;
const CLEAN_START: u8 = 0b0000_0010;
const WILL_FLAG: u8 = 0b0000_0100;
const WILL_QOS: u8 = 0b0001_1000;
const WILL_RETAIN: u8 = 0b0010_0000;
const PASSWORD: u8 = 0b0100_0000;
const USER_NAME: u8 = 0b1000_0000;

/// A CONNECT packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connect<'a> {
    /// The version that the connection speaks from here on.
    pub version: Version,
    /// Clean Start; in 3.x Clean Session.
    pub clean_start: bool,
    /// Keep Alive in seconds; 0 means none.
    pub keep_alive: u16,
    /// The Client Identifier, possibly empty.
    pub client_identifier: &'a str,
    /// The Will.
    pub will: Option<Will<'a>>,
    /// The User Name.
    pub username: Option<&'a str>,
    /// The Password; in 3.x only with a User Name.
    pub password: Option<&'a [u8]>,
    /// The properties; none in 3.x.
    pub properties: Properties<'a>,
}

/// The Will Message and its properties.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Will<'a> {
    /// The Will Topic.
    pub topic: TopicName<'a>,
    /// The Will Payload, at most 65,535 bytes.
    pub payload: &'a [u8],
    /// The Will QoS.
    pub qos: QoS,
    /// Will Retain.
    pub retain: bool,
    /// The Will Properties; none in 3.x.
    pub properties: Properties<'a>,
}

impl<'a> Connect<'a> {
    /// `is_minimal`: whether the Remaining Length has the fewest bytes, as only 5.0 demands [MQTT-1.5.5-1].
    pub(crate) fn parse(body: &'a [u8], is_minimal: bool) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let name = reader.binary()?;
        let version = Version::named(name, reader.u8()?)?;
        if version == Version::V5 && !is_minimal {
            return Err(DecodeError::VariableByteIntegerNotMinimal);
        }
        let flags = reader.u8()?;
        check_flags(flags, version)?;
        let keep_alive = reader.u16()?;
        let properties = Properties::parse(&mut reader, SECTION, version)?;
        let client_identifier = reader.string()?;
        let will = if flags & WILL_FLAG != 0 {
            Some(Will::parse(flags, &mut reader, version)?)
        } else {
            None
        };
        // In 3.1 the end of the packet overrules these two flags (3.1 section 3.1, "User name and password flags").
        let may_be_missing = version == Version::V31;
        let has =
            |flag, reader: &Reader<'_>| flags & flag != 0 && !(may_be_missing && reader.is_empty());
        let username = if has(USER_NAME, &reader) {
            Some(reader.string()?)
        } else {
            None
        };
        let password = if has(PASSWORD, &reader) {
            Some(reader.binary()?)
        } else {
            None
        };
        reader.finish()?;
        let clean_start = flags & CLEAN_START != 0;
        Ok(Self {
            version,
            clean_start,
            keep_alive,
            client_identifier,
            will,
            username,
            password,
            properties,
        })
    }

    /// The version that the beginning of a packet names, whatever is wrong with the rest: a server can answer in it.
    pub fn claimed_version(input: &[u8]) -> Option<Version> {
        let header = frame(input, MAX_PACKET_SIZE).ok()??;
        if header.first_byte != PacketType::Connect.first_byte() {
            return None;
        }
        let mut reader = Reader::new(&input[header.header_len..]);
        let name = reader.binary().ok()?;
        Version::named(name, reader.u8().ok()?).ok()
    }

    /// Appends the packet in its own [`version`](Self::version); on an error `out` is as it was.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        self.check()?;
        writer::fixed_header(
            out,
            PacketType::Connect.first_byte(),
            self.remaining_length(),
        )?;
        put_binary(out, self.version.protocol_name().as_bytes());
        out.push(self.version as u8);
        out.push(self.flags());
        put_u16(out, self.keep_alive);
        self.properties.put(self.version, out);
        put_binary(out, self.client_identifier.as_bytes());
        if let Some(will) = &self.will {
            will.properties.put(self.version, out);
            put_binary(out, will.topic.as_str().as_bytes());
            put_binary(out, will.payload);
        }
        if let Some(username) = self.username {
            put_binary(out, username.as_bytes());
        }
        if let Some(password) = self.password {
            put_binary(out, password);
        }
        Ok(())
    }

    /// The length of the encoded packet.
    pub fn encoded_len(&self) -> usize {
        writer::packet_len(self.remaining_length())
    }

    fn remaining_length(&self) -> usize {
        // Length, name, version, flags, Keep Alive.
        2 + self.version.protocol_name().len()
            + 1
            + 1
            + 2
            + self.properties.encoded_len(self.version)
            + 2
            + self.client_identifier.len()
            + self.will.map_or(0, |will| {
                will.properties.encoded_len(self.version)
                    + 2
                    + will.topic.as_str().len()
                    + 2
                    + will.payload.len()
            })
            + self.username.map_or(0, |username| 2 + username.len())
            + self.password.map_or(0, |password| 2 + password.len())
    }

    fn flags(&self) -> u8 {
        let mut flags = 0;
        if self.clean_start {
            flags |= CLEAN_START;
        }
        if let Some(will) = &self.will {
            flags |= WILL_FLAG | (will.qos as u8) << 3;
            if will.retain {
                flags |= WILL_RETAIN;
            }
        }
        if self.password.is_some() {
            flags |= PASSWORD;
        }
        if self.username.is_some() {
            flags |= USER_NAME;
        }
        flags
    }

    fn check(&self) -> Result<(), EncodeError> {
        check_flags(self.flags(), self.version)?;
        check_string(self.client_identifier)?;
        if let Some(will) = &self.will {
            check_string(will.topic.as_str())?;
            check_binary(will.payload)?;
            will.properties.check(WILL, self.version)?;
        }
        if let Some(username) = self.username {
            check_string(username)?;
        }
        if let Some(password) = self.password {
            check_binary(password)?;
        }
        self.properties.check(SECTION, self.version)?;
        Ok(())
    }
}

impl<'a> Will<'a> {
    fn parse(flags: u8, reader: &mut Reader<'a>, version: Version) -> Result<Self, DecodeError> {
        Ok(Self {
            properties: Properties::parse(reader, WILL, version)?,
            topic: TopicName::parse(reader.binary()?)?,
            payload: reader.binary()?,
            qos: will_qos(flags)?,
            retain: flags & WILL_RETAIN != 0,
        })
    }
}

fn will_qos(flags: u8) -> Result<QoS, DecodeError> {
    QoS::try_from((flags & WILL_QOS) >> 3).map_err(|_| DecodeError::WillQoS)
}

/// What the Connect Flags may be. 3.1 disregards the reserved flag and the flags of a Will that is not there.
fn check_flags(flags: u8, version: Version) -> Result<(), DecodeError> {
    if version > Version::V31 {
        if flags & RESERVED != 0 {
            return Err(DecodeError::ConnectReservedFlag);
        }
        if flags & WILL_FLAG == 0 && flags & (WILL_QOS | WILL_RETAIN) != 0 {
            return Err(DecodeError::WillFlagsWithoutWill);
        }
    }
    if flags & WILL_FLAG != 0 {
        will_qos(flags)?;
    }
    // [MQTT-3.1.2-22] of 3.1.1, and section 3.1 of 3.1; 5.0 allows it.
    if version < Version::V5 && flags & PASSWORD != 0 && flags & USER_NAME == 0 {
        return Err(DecodeError::PasswordWithoutUserName);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
