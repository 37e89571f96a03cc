//! PUBLISH: an Application Message (MQTT 5.0 section 3.3).

use crate::reader::Reader;
use crate::writer::{self, put_binary, put_packet_identifier};
use crate::{
    DecodeError, EncodeError, PacketIdentifier, PacketType, Properties, QoS, TopicName, Version,
};

const SECTION: u16 = PacketType::Publish.bit();
const DUP: u8 = 0b1000;
const RETAIN: u8 = 0b0001;

/// A PUBLISH packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Publish<'a> {
    /// Whether this may be a packet sent before.
    pub dup: bool,
    /// The Quality of Service.
    pub qos: QoS,
    /// The RETAIN flag.
    pub retain: bool,
    /// The Topic Name; `None` when a Topic Alias stands for it (MQTT 5.0).
    pub topic: Option<TopicName<'a>>,
    /// There with QoS 1 and 2, and only then [MQTT-2.2.1-2].
    pub packet_identifier: Option<PacketIdentifier>,
    /// The properties; none in 3.x.
    pub properties: Properties<'a>,
    /// The payload.
    pub payload: &'a [u8],
}

impl<'a> Publish<'a> {
    /// The flags in the first byte: DUP, QoS, RETAIN. QoS is not 3 [MQTT-3.3.1-4], DUP needs QoS 1 or 2 [MQTT-3.3.1-2].
    #[inline]
    pub(crate) fn flags(first_byte: u8) -> Result<(bool, QoS, bool), DecodeError> {
        let qos = QoS::try_from(first_byte >> 1 & 0b11)?;
        let dup = first_byte & DUP != 0;
        if dup && qos == QoS::AtMostOnce {
            return Err(DecodeError::DupWithQoS0);
        }
        Ok((dup, qos, first_byte & RETAIN != 0))
    }

    #[inline]
    pub(crate) fn parse(
        first_byte: u8,
        body: &'a [u8],
        version: Version,
    ) -> Result<Self, DecodeError> {
        let (dup, qos, retain) = Self::flags(first_byte)?;
        let mut reader = Reader::new(body);
        let name = reader.binary()?;
        let topic = if name.is_empty() {
            None
        } else {
            Some(TopicName::parse(name)?)
        };
        let packet_identifier = match qos {
            QoS::AtMostOnce => None,
            QoS::AtLeastOnce | QoS::ExactlyOnce => Some(reader.packet_identifier()?),
        };
        let properties = match version {
            Version::V5 => Properties::parse(&mut reader, SECTION)?,
            Version::V31 | Version::V311 => Properties::EMPTY,
        };
        let publish = Self {
            dup,
            qos,
            retain,
            topic,
            packet_identifier,
            properties,
            payload: reader.rest(),
        };
        publish.check_topic(version)?;
        Ok(publish)
    }

    /// A Topic Name, or in 5.0 a Topic Alias for it (section 3.3.2.1).
    #[inline]
    fn check_topic(&self, version: Version) -> Result<(), DecodeError> {
        if self.topic.is_some() || version == Version::V5 && self.properties.topic_alias().is_some()
        {
            Ok(())
        } else {
            Err(DecodeError::TopicMissing)
        }
    }

    /// Appends the packet; on an error `out` is as it was.
    #[inline]
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        self.check(version)?;
        let flags = u8::from(self.dup) << 3 | (self.qos as u8) << 1 | u8::from(self.retain);
        writer::fixed_header(
            out,
            PacketType::Publish.first_byte() | flags,
            self.remaining_length(version),
        )?;
        put_binary(out, self.topic.map_or("", TopicName::as_str).as_bytes());
        if let Some(identifier) = self.packet_identifier {
            put_packet_identifier(out, identifier);
        }
        if version == Version::V5 {
            self.properties.put(out);
        }
        out.extend_from_slice(self.payload);
        Ok(())
    }

    /// The length of the encoded packet.
    #[inline]
    pub fn encoded_len(&self, version: Version) -> usize {
        writer::packet_len(self.remaining_length(version))
    }

    #[inline]
    fn remaining_length(&self, version: Version) -> usize {
        let topic = 2 + self.topic.map_or(0, |topic| topic.as_str().len());
        let identifier = if self.packet_identifier.is_some() {
            2
        } else {
            0
        };
        let properties = if version == Version::V5 {
            self.properties.encoded_len()
        } else {
            0
        };
        topic + identifier + properties + self.payload.len()
    }

    #[inline]
    fn check(&self, version: Version) -> Result<(), EncodeError> {
        if self.packet_identifier.is_some() != (self.qos != QoS::AtMostOnce) {
            return Err(EncodeError::PacketIdentifier);
        }
        if self.dup && self.qos == QoS::AtMostOnce {
            return Err(DecodeError::DupWithQoS0.into());
        }
        if version == Version::V5 && !self.properties.is_empty() {
            self.properties.check(SECTION)?;
        }
        if let Some(topic) = self.topic {
            writer::check_binary(topic.as_str().as_bytes())?;
        }
        Ok(self.check_topic(version)?)
    }
}
