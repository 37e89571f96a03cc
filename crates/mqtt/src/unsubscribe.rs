//! UNSUBSCRIBE and its Topic Filters (MQTT 5.0 section 3.10).

use crate::reader::{Reader, utf8};
use crate::writer::{self, check_binary, put_binary};
use crate::{
    DecodeError, EncodeError, PacketIdentifier, PacketType, Properties, TopicFilter, Version,
};

const SECTION: u16 = PacketType::Unsubscribe.bit();

/// An UNSUBSCRIBE packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsubscribe<'a> {
    /// The Packet Identifier.
    pub packet_identifier: PacketIdentifier,
    /// The properties; none in 3.x.
    pub properties: Properties<'a>,
    /// At least one Topic Filter [MQTT-3.10.3-2].
    pub filters: UnsubscribeFilters<'a>,
}

impl<'a> Unsubscribe<'a> {
    pub(crate) fn parse(body: &'a [u8], version: Version) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let packet_identifier = reader.packet_identifier()?;
        let properties = Properties::parse(&mut reader, SECTION, version)?;
        Ok(Self {
            packet_identifier,
            properties,
            filters: UnsubscribeFilters::parse(reader)?,
        })
    }

    /// Appends the packet; on an error `out` is as it was.
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        if self.filters.is_empty() {
            return Err(DecodeError::NoFilters(PacketType::Unsubscribe).into());
        }
        self.properties.check(SECTION, version)?;
        writer::fixed_header(
            out,
            PacketType::Unsubscribe.first_byte(),
            self.remaining_length(version),
        )?;
        writer::put_packet_identifier(out, self.packet_identifier);
        self.properties.put(version, out);
        out.extend_from_slice(self.filters.bytes);
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

/// The Topic Filters of an UNSUBSCRIBE: their bytes, checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnsubscribeFilters<'a> {
    bytes: &'a [u8],
    len: usize,
}

impl<'a> UnsubscribeFilters<'a> {
    fn parse(mut reader: Reader<'a>) -> Result<Self, DecodeError> {
        let bytes = reader.rest();
        let mut len = 0;
        while !reader.is_empty() {
            TopicFilter::parse(reader.binary()?)?;
            len += 1;
        }
        if len == 0 {
            Err(DecodeError::NoFilters(PacketType::Unsubscribe))
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
    pub fn iter(self) -> impl Iterator<Item = TopicFilter<'a>> + Clone {
        let mut reader = Reader::new(self.bytes);
        // The bytes were checked: an error is no more than the end.
        core::iter::from_fn(move || {
            Some(TopicFilter::from_valid(utf8(reader.binary().ok()?).ok()?))
        })
    }
}

/// Collects Topic Filters for an UNSUBSCRIBE.
#[derive(Clone, Debug, Default)]
pub struct UnsubscribeFiltersBuffer {
    bytes: Vec<u8>,
    len: usize,
}

impl UnsubscribeFiltersBuffer {
    /// No Topic Filters yet.
    pub const fn new() -> Self {
        Self {
            bytes: Vec::new(),
            len: 0,
        }
    }

    /// Appends a Topic Filter.
    pub fn push(&mut self, filter: TopicFilter<'_>) -> Result<(), EncodeError> {
        check_binary(filter.as_str().as_bytes())?;
        put_binary(&mut self.bytes, filter.as_str().as_bytes());
        self.len += 1;
        Ok(())
    }

    /// Forgets all Topic Filters.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.len = 0;
    }

    /// The Topic Filters, for a packet.
    pub fn as_filters(&self) -> UnsubscribeFilters<'_> {
        UnsubscribeFilters {
            bytes: &self.bytes,
            len: self.len,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{NONE, V5, V31, V311, buffer, identifier, refused, same, written};
    use crate::{Packet, Property, TopicError};

    fn filters(entries: &[&str]) -> UnsubscribeFiltersBuffer {
        let mut buffer = UnsubscribeFiltersBuffer::new();
        for filter in entries {
            buffer
                .push(TopicFilter::new(filter).expect("a topic filter"))
                .expect("legal");
        }
        buffer
    }

    #[test]
    fn the_example_of_the_standard() {
        let filters = filters(&["a/b", "c/d"]);
        let packet = Unsubscribe {
            packet_identifier: identifier(10),
            properties: NONE,
            filters: filters.as_filters(),
        };
        let names: Vec<_> = packet.filters.iter().map(TopicFilter::as_str).collect();
        assert_eq!(names, ["a/b", "c/d"]);
        assert_eq!(packet.filters.len(), 2);
        for version in [V31, V311] {
            same(
                Packet::Unsubscribe(packet),
                version,
                b"\xA2\x0C\x00\x0A\x00\x03a/b\x00\x03c/d",
            );
        }
        same(
            Packet::Unsubscribe(packet),
            V5,
            b"\xA2\x0D\x00\x0A\x00\x00\x03a/b\x00\x03c/d",
        );
    }

    #[test]
    fn properties() {
        let properties = buffer(&[Property::UserProperty("a", "b")]);
        let filters = filters(&["$share/g/#"]);
        let packet = Unsubscribe {
            packet_identifier: identifier(1),
            properties: properties.as_properties(),
            filters: filters.as_filters(),
        };
        same(
            Packet::Unsubscribe(packet),
            V5,
            b"\xA2\x16\x00\x01\x07\x26\x00\x01a\x00\x01b\x00\x0A$share/g/#",
        );
    }

    #[test]
    fn what_is_refused() {
        let none = DecodeError::NoFilters(PacketType::Unsubscribe);
        assert_eq!(refused(0xA2, b"\x00\x01", V311), none);
        assert_eq!(refused(0xA2, b"\x00\x01\x00", V5), none);
        assert_eq!(none.statement(), "MQTT-3.10.3-2");
        for version in [V31, V311] {
            assert_eq!(
                refused(0xA2, b"\x00\x00\x00\x01a", version),
                DecodeError::PacketIdentifierZero
            );
            assert_eq!(
                refused(0xA2, b"\x00\x01\x00\x02a", version),
                DecodeError::Truncated
            );
            let wildcard = DecodeError::TopicFilter(TopicError::SingleLevelWildcard);
            assert_eq!(refused(0xA2, b"\x00\x01\x00\x02a+", version), wildcard);
        }
        assert_eq!(
            refused(0xA0, b"\x00\x01\x00\x01a", V311),
            DecodeError::FixedHeaderFlags(0xA0)
        );
        let filters = UnsubscribeFiltersBuffer::new();
        let packet = Unsubscribe {
            packet_identifier: identifier(1),
            properties: NONE,
            filters: filters.as_filters(),
        };
        assert_eq!(written(Packet::Unsubscribe(packet), V311), Err(none.into()));
    }
}
