//! SUBSCRIBE, its Topic Filters and their Subscription Options (MQTT 5.0 section 3.8).

use crate::reader::{Reader, utf8};
use crate::writer::{self, check_binary, put_binary};
use crate::{
    DecodeError, EncodeError, PacketIdentifier, PacketType, Properties, QoS, TopicFilter, Version,
};

const SECTION: u16 = PacketType::Subscribe.bit();

const QOS: u8 = 0b0000_0011;
const NO_LOCAL: u8 = 0b0000_0100;
const RETAIN_AS_PUBLISHED: u8 = 0b0000_1000;
const RESERVED: u8 = 0b1100_0000;

/// Which Retained Messages a new Subscription gets (section 3.8.3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum RetainHandling {
    /// 0: all that match, as in 3.x.
    #[default]
    Send = 0,
    /// 1: all that match, if the Subscription did not exist before.
    SendIfNew = 1,
    /// 2: none.
    DoNotSend = 2,
}

/// The Subscription Options (section 3.8.3.1). 3.x has only the QoS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SubscriptionOptions {
    /// The maximum QoS.
    pub qos: QoS,
    /// Nothing back that the Client itself published.
    pub no_local: bool,
    /// The RETAIN flag stays as it was published.
    pub retain_as_published: bool,
    /// Which Retained Messages are sent at once.
    pub retain_handling: RetainHandling,
}

impl SubscriptionOptions {
    /// Reserved bits are 0 [MQTT-3.8.3-5]; neither QoS nor Retain Handling is 3.
    fn parse(byte: u8, version: Version) -> Result<Self, DecodeError> {
        let reserved = if version == Version::V5 {
            RESERVED
        } else {
            !QOS
        };
        let wrong = DecodeError::SubscriptionOptions(byte);
        let retain_handling = match byte >> 4 & 0b11 {
            _ if byte & reserved != 0 => return Err(wrong),
            0 => RetainHandling::Send,
            1 => RetainHandling::SendIfNew,
            2 => RetainHandling::DoNotSend,
            _ => return Err(wrong),
        };
        Ok(Self {
            qos: QoS::try_from(byte & QOS).map_err(|_| wrong)?,
            no_local: byte & NO_LOCAL != 0,
            retain_as_published: byte & RETAIN_AS_PUBLISHED != 0,
            retain_handling,
        })
    }

    const fn byte(self) -> u8 {
        self.qos as u8
            | (self.no_local as u8) << 2
            | (self.retain_as_published as u8) << 3
            | (self.retain_handling as u8) << 4
    }
}

/// A SUBSCRIBE packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subscribe<'a> {
    /// The Packet Identifier.
    pub packet_identifier: PacketIdentifier,
    /// The properties; none in 3.x.
    pub properties: Properties<'a>,
    /// At least one Topic Filter [MQTT-3.8.3-2].
    pub filters: Filters<'a>,
}

impl<'a> Subscribe<'a> {
    pub(crate) fn parse(body: &'a [u8], version: Version) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let packet_identifier = reader.packet_identifier()?;
        let properties = Properties::parse(&mut reader, SECTION, version)?;
        Ok(Self {
            packet_identifier,
            properties,
            filters: Filters::parse(reader, version)?,
        })
    }

    /// Appends the packet; on an error `out` is as it was. In 3.x only the QoS of the options is written.
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        if self.filters.is_empty() {
            return Err(DecodeError::NoFilters(PacketType::Subscribe).into());
        }
        self.properties.check(SECTION, version)?;
        writer::fixed_header(
            out,
            PacketType::Subscribe.first_byte(),
            self.remaining_length(version),
        )?;
        writer::put_packet_identifier(out, self.packet_identifier);
        self.properties.put(version, out);
        if version == Version::V5 {
            out.extend_from_slice(self.filters.bytes);
        } else {
            for (filter, options) in self.filters.iter() {
                put_binary(out, filter.as_str().as_bytes());
                out.push(options.qos as u8);
            }
        }
        Ok(())
    }

    /// The length of the encoded packet.
    pub fn encoded_len(&self, version: Version) -> usize {
        writer::packet_len(self.remaining_length(version))
    }

    fn remaining_length(&self, version: Version) -> usize {
        2 + self.properties.encoded_len(version) + self.filters.bytes.len()
    }
}

/// The Topic Filters of a SUBSCRIBE with their options: their bytes, checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filters<'a> {
    bytes: &'a [u8],
    len: usize,
}

impl<'a> Filters<'a> {
    fn parse(mut reader: Reader<'a>, version: Version) -> Result<Self, DecodeError> {
        let bytes = reader.rest();
        let mut len = 0;
        while !reader.is_empty() {
            let filter = TopicFilter::parse(reader.binary()?)?;
            let options = SubscriptionOptions::parse(reader.u8()?, version)?;
            check_no_local(filter, options)?;
            len += 1;
        }
        if len == 0 {
            Err(DecodeError::NoFilters(PacketType::Subscribe))
        } else {
            Ok(Self { bytes, len })
        }
    }

    /// How many there are.
    #[inline]
    pub const fn len(self) -> usize {
        self.len
    }

    /// Whether there is none, which no packet has.
    #[inline]
    pub const fn is_empty(self) -> bool {
        self.len == 0
    }

    /// The filters in their order.
    pub fn iter(self) -> impl Iterator<Item = (TopicFilter<'a>, SubscriptionOptions)> + Clone {
        let mut reader = Reader::new(self.bytes);
        core::iter::from_fn(move || {
            // The bytes were checked: an error is no more than the end.
            let filter = TopicFilter::from_valid(utf8(reader.binary().ok()?).ok()?);
            let options = SubscriptionOptions::parse(reader.u8().ok()?, Version::V5).ok()?;
            Some((filter, options))
        })
    }
}

/// No Local on a Shared Subscription is a Protocol Error [MQTT-3.8.3-4].
fn check_no_local(
    filter: TopicFilter<'_>,
    options: SubscriptionOptions,
) -> Result<(), DecodeError> {
    if options.no_local && filter.share().is_some() {
        Err(DecodeError::NoLocalOnShared)
    } else {
        Ok(())
    }
}

/// Collects Topic Filters for a SUBSCRIBE.
#[derive(Clone, Debug, Default)]
pub struct FiltersBuffer {
    bytes: Vec<u8>,
    len: usize,
}

impl FiltersBuffer {
    /// No Topic Filters yet.
    pub const fn new() -> Self {
        Self {
            bytes: Vec::new(),
            len: 0,
        }
    }

    /// Appends a Topic Filter.
    pub fn push(
        &mut self,
        filter: TopicFilter<'_>,
        options: SubscriptionOptions,
    ) -> Result<(), EncodeError> {
        check_no_local(filter, options)?;
        check_binary(filter.as_str().as_bytes())?;
        put_binary(&mut self.bytes, filter.as_str().as_bytes());
        self.bytes.push(options.byte());
        self.len += 1;
        Ok(())
    }

    /// Forgets all Topic Filters.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.len = 0;
    }

    /// The Topic Filters, for a packet.
    pub fn as_filters(&self) -> Filters<'_> {
        Filters {
            bytes: &self.bytes,
            len: self.len,
        }
    }
}

#[cfg(test)]
mod tests;
