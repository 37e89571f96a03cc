//! The property section of a packet or a Will (MQTT 5.0 section 2.2.2).

use crate::property::{Property, PropertyIdentifier as Id};
use crate::reader::Reader;
use crate::{DecodeError, EncodeError, Version, varint, writer};

/// The properties of a packet or a Will: their bytes, checked, without the length before them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Properties<'a> {
    bytes: &'a [u8],
}

impl<'a> Properties<'a> {
    /// No properties, as in every packet of 3.x.
    pub const EMPTY: Self = Self { bytes: &[] };

    /// Reads length and properties, which must belong into `section` (a packet type's bit, or the Will's). 3.x has none.
    #[inline]
    pub(crate) fn parse(
        reader: &mut Reader<'a>,
        section: u16,
        version: Version,
    ) -> Result<Self, DecodeError> {
        if version < Version::V5 {
            return Ok(Self::EMPTY);
        }
        let len = reader.varint()?;
        if len == 0 {
            return Ok(Self::EMPTY);
        }
        let properties = Self {
            bytes: reader.bytes(len as usize)?,
        };
        properties.check(section, version)?;
        Ok(properties)
    }

    /// Checks places, repetitions and values in one pass. In 3.x there is nothing to check: none are written.
    #[inline]
    pub(crate) fn check(self, section: u16, version: Version) -> Result<(), DecodeError> {
        if version < Version::V5 || self.is_empty() {
            return Ok(());
        }
        self.check_each(section)
    }

    fn check_each(self, section: u16) -> Result<(), DecodeError> {
        let mut reader = Reader::new(self.bytes);
        let mut seen = 0;
        while !reader.is_empty() {
            let identifier = Id::read(&mut reader)?;
            identifier.check_place(section, seen)?;
            identifier.check_value(&mut reader)?;
            seen |= identifier.bit();
        }
        if seen & Id::AuthenticationData.bit() != 0 && seen & Id::AuthenticationMethod.bit() == 0 {
            return Err(DecodeError::AuthenticationDataWithoutMethod);
        }
        Ok(())
    }

    /// Properties that were a section of a packet before, such as stored ones: nothing is checked again until a packet
    /// with them is encoded.
    #[inline]
    pub const fn from_valid(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// The bytes, without the length before them.
    #[inline]
    pub const fn bytes(self) -> &'a [u8] {
        self.bytes
    }

    /// Whether there is none.
    #[inline]
    pub const fn is_empty(self) -> bool {
        self.bytes.is_empty()
    }

    /// The bytes that the section takes in a packet, its length included: none in 3.x.
    #[inline]
    pub(crate) fn encoded_len(self, version: Version) -> usize {
        if version < Version::V5 {
            return 0;
        }
        writer::varint_len(self.bytes.len()) + self.bytes.len()
    }

    /// Appends the section with its length: nothing in 3.x.
    #[inline]
    pub(crate) fn put(self, version: Version, out: &mut Vec<u8>) {
        if version == Version::V5 {
            varint::put(out, self.bytes.len() as u32);
            out.extend_from_slice(self.bytes);
        }
    }

    /// The properties in their order.
    pub fn iter(self) -> impl Iterator<Item = Property<'a>> + Clone {
        Iter {
            reader: Reader::new(self.bytes),
        }
    }

    /// The first property of this identifier.
    #[inline]
    pub fn get(self, wanted: Id) -> Option<Property<'a>> {
        // Most packets have none, those of 3.x never.
        if self.bytes.is_empty() {
            return None;
        }
        self.find(wanted)
    }

    fn find(self, wanted: Id) -> Option<Property<'a>> {
        let mut reader = Reader::new(self.bytes);
        while !reader.is_empty() {
            let identifier = Id::read(&mut reader).ok()?;
            if identifier == wanted {
                return Property::read_value(identifier, &mut reader).ok();
            }
            identifier.skip_value(&mut reader).ok()?;
        }
        None
    }
}

/// The getters of the properties that stand at most once.
macro_rules! getters {
    ($($getter:ident, $name:ident, $type:ty;)*) => {
        impl<'a> Properties<'a> {
            $(
                #[doc = concat!("The value of [`", stringify!($name), "`](Property::", stringify!($name), ").")]
                #[inline]
                pub fn $getter(self) -> Option<$type> {
                    match self.get(Id::$name)? {
                        Property::$name(value) => Some(value),
                        _ => None,
                    }
                }
            )*
        }
    };
}

getters! {
    payload_format_indicator, PayloadFormatIndicator, u8;
    message_expiry_interval, MessageExpiryInterval, u32;
    content_type, ContentType, &'a str;
    response_topic, ResponseTopic, &'a str;
    correlation_data, CorrelationData, &'a [u8];
    session_expiry_interval, SessionExpiryInterval, u32;
    assigned_client_identifier, AssignedClientIdentifier, &'a str;
    server_keep_alive, ServerKeepAlive, u16;
    authentication_method, AuthenticationMethod, &'a str;
    authentication_data, AuthenticationData, &'a [u8];
    request_problem_information, RequestProblemInformation, bool;
    will_delay_interval, WillDelayInterval, u32;
    request_response_information, RequestResponseInformation, bool;
    response_information, ResponseInformation, &'a str;
    server_reference, ServerReference, &'a str;
    reason_string, ReasonString, &'a str;
    receive_maximum, ReceiveMaximum, u16;
    topic_alias_maximum, TopicAliasMaximum, u16;
    topic_alias, TopicAlias, u16;
    maximum_qos, MaximumQoS, u8;
    retain_available, RetainAvailable, bool;
    maximum_packet_size, MaximumPacketSize, u32;
    wildcard_subscription_available, WildcardSubscriptionAvailable, bool;
    subscription_identifier_available, SubscriptionIdentifierAvailable, bool;
    shared_subscription_available, SharedSubscriptionAvailable, bool;
    // The first one: a PUBLISH from a server may have several.
    subscription_identifier, SubscriptionIdentifier, u32;
}

impl<'a> Properties<'a> {
    /// All values of [`SubscriptionIdentifier`](Property::SubscriptionIdentifier).
    pub fn subscription_identifiers(self) -> impl Iterator<Item = u32> + Clone {
        self.iter().filter_map(|property| match property {
            Property::SubscriptionIdentifier(value) => Some(value),
            _ => None,
        })
    }

    /// All names and values of [`UserProperty`](Property::UserProperty), in their order.
    pub fn user_properties(self) -> impl Iterator<Item = (&'a str, &'a str)> + Clone {
        self.iter().filter_map(|property| match property {
            Property::UserProperty(name, value) => Some((name, value)),
            _ => None,
        })
    }
}

#[derive(Clone)]
struct Iter<'a> {
    reader: Reader<'a>,
}

impl<'a> Iterator for Iter<'a> {
    type Item = Property<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        // The bytes were checked: an error is no more than the end.
        let identifier = Id::read(&mut self.reader).ok()?;
        Property::read_value(identifier, &mut self.reader).ok()
    }
}

/// Collects properties for a packet; its memory is used again after [`clear`](Self::clear).
#[derive(Clone, Debug, Default)]
pub struct PropertiesBuffer {
    bytes: Vec<u8>,
}

impl PropertiesBuffer {
    /// No properties yet.
    pub const fn new() -> Self {
        Self { bytes: Vec::new() }
    }

    /// Appends a property. A value that is too long or not allowed is refused; whether the packet may have the
    /// property is seen when the packet is encoded.
    pub fn push(&mut self, property: Property<'_>) -> Result<(), EncodeError> {
        property.encode(&mut self.bytes)
    }

    /// Forgets all properties.
    pub fn clear(&mut self) {
        self.bytes.clear();
    }

    /// The properties, for a packet.
    #[inline]
    pub fn as_properties(&self) -> Properties<'_> {
        Properties { bytes: &self.bytes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PacketType;
    use crate::packet_type::WILL;
    use crate::wire::buffer;

    const CONNECT: u16 = PacketType::Connect.bit();
    const PUBLISH: u16 = PacketType::Publish.bit();

    fn parse(bytes: &[u8], section: u16) -> Result<Properties<'_>, DecodeError> {
        Properties::parse(&mut Reader::new(bytes), section, Version::V5)
    }

    #[test]
    fn a_section_has_a_length() {
        assert_eq!(parse(&[0], PUBLISH), Ok(Properties::EMPTY));
        let properties = parse(&[3, 0x23, 0, 7, 0xFF], PUBLISH).expect("legal");
        assert_eq!(properties.bytes(), [0x23, 0, 7]);
        assert_eq!(properties.topic_alias(), Some(7));
        assert_eq!(parse(&[3, 0x23, 0], PUBLISH), Err(DecodeError::Truncated));
        assert_eq!(parse(&[], PUBLISH), Err(DecodeError::Truncated));
        assert_eq!(
            parse(&[0x80, 0], PUBLISH),
            Err(DecodeError::VariableByteIntegerNotMinimal)
        );
        assert_eq!(
            parse(&[0xFF; 5], PUBLISH),
            Err(DecodeError::VariableByteIntegerTooLong)
        );
    }

    #[test]
    fn a_value_does_not_reach_beyond_the_section() {
        assert_eq!(
            parse(&[2, 0x23, 0, 7], PUBLISH),
            Err(DecodeError::Truncated)
        );
        assert_eq!(
            parse(&[3, 0x03, 0, 1, b'a'], PUBLISH),
            Err(DecodeError::Truncated)
        );
        assert_eq!(
            parse(&[1, 0x26, 0, 0, 0, 0], PUBLISH),
            Err(DecodeError::Truncated)
        );
    }

    #[test]
    fn getters_find_their_property_among_others() {
        let buffer = buffer(&[
            Property::UserProperty("a", "1"),
            Property::PayloadFormatIndicator(1),
            Property::ContentType("text/plain"),
            Property::SubscriptionIdentifier(300),
            Property::CorrelationData(&[1, 2]),
            Property::SubscriptionIdentifier(1),
            Property::UserProperty("a", "2"),
            Property::MessageExpiryInterval(60),
        ]);
        let properties = buffer.as_properties();
        assert_eq!(properties.check(PUBLISH, Version::V5), Ok(()));
        assert_eq!(properties.payload_format_indicator(), Some(1));
        assert_eq!(properties.message_expiry_interval(), Some(60));
        assert_eq!(properties.content_type(), Some("text/plain"));
        assert_eq!(properties.correlation_data(), Some(&[1, 2][..]));
        assert_eq!(properties.subscription_identifier(), Some(300));
        assert_eq!(
            properties.subscription_identifiers().collect::<Vec<_>>(),
            [300, 1]
        );
        assert_eq!(
            properties.user_properties().collect::<Vec<_>>(),
            [("a", "1"), ("a", "2")]
        );
        assert_eq!(properties.topic_alias(), None);
        assert_eq!(properties.iter().count(), 8);
    }

    #[test]
    fn only_some_may_stand_twice() {
        let twice = |property: Property<'_>, section| {
            buffer(&[property, property])
                .as_properties()
                .check(section, Version::V5)
        };
        let user = Property::UserProperty("a", "b");
        assert_eq!(twice(user, CONNECT), Ok(()));
        assert_eq!(twice(user, WILL), Ok(()));
        let subscription = Property::SubscriptionIdentifier(1);
        assert_eq!(twice(subscription, PUBLISH), Ok(()));
        let refused = Err(DecodeError::PropertyTwice(Id::SubscriptionIdentifier));
        assert_eq!(twice(subscription, PacketType::Subscribe.bit()), refused);
        let refused = Err(DecodeError::PropertyTwice(Id::TopicAlias));
        assert_eq!(twice(Property::TopicAlias(1), PUBLISH), refused);
        let refused = Err(DecodeError::PropertyTwice(Id::ReceiveMaximum));
        assert_eq!(twice(Property::ReceiveMaximum(1), CONNECT), refused);
    }

    #[test]
    fn values_and_identifiers_are_checked() {
        assert_eq!(
            parse(&[3, 0x23, 0, 0], PUBLISH),
            Err(DecodeError::PropertyValue(Id::TopicAlias))
        );
        assert_eq!(
            parse(&[2, 0x01, 2], PUBLISH),
            Err(DecodeError::PropertyValue(Id::PayloadFormatIndicator))
        );
        assert_eq!(
            parse(&[2, 0x17, 2], CONNECT),
            Err(DecodeError::PropertyValue(Id::RequestProblemInformation))
        );
        assert_eq!(
            parse(&[2, 0x7F, 2], CONNECT),
            Err(DecodeError::PropertyUnknown(0x7F))
        );
        assert_eq!(
            parse(&[2, 0x0B, 0], PUBLISH),
            Err(DecodeError::PropertyValue(Id::SubscriptionIdentifier))
        );
        assert_eq!(
            parse(&[3, 0x0B, 0x81, 0], PUBLISH),
            Err(DecodeError::VariableByteIntegerNotMinimal)
        );
        assert_eq!(
            parse(&[4, 0x08, 0, 1, b'+'], PUBLISH),
            Err(DecodeError::PropertyValue(Id::ResponseTopic))
        );
        assert_eq!(
            parse(&[4, 0x03, 0, 1, 0xFF], PUBLISH),
            Err(DecodeError::NotUtf8)
        );
        assert_eq!(
            parse(&[6, 0x26, 0, 0, 0, 1, 0], PUBLISH),
            Err(DecodeError::NulInString)
        );
    }

    #[test]
    fn authentication_data_needs_a_method() {
        let data = Property::AuthenticationData(&[1]);
        let alone = buffer(&[data]);
        let refused = Err(DecodeError::AuthenticationDataWithoutMethod);
        assert_eq!(alone.as_properties().check(CONNECT, Version::V5), refused);
        let both = buffer(&[data, Property::AuthenticationMethod("SCRAM-SHA-256")]);
        assert_eq!(both.as_properties().check(CONNECT, Version::V5), Ok(()));
    }

    #[test]
    fn bytes_of_unknown_origin_do_no_harm() {
        for bytes in [
            &[0x26, 0][..],
            &[0xFF],
            &[0x03, 0, 1, 0xFF],
            &[0x0B, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF],
        ] {
            let properties = Properties::from_valid(bytes);
            assert_eq!(properties.iter().count(), 0);
            assert_eq!(properties.user_properties().count(), 0);
            assert_eq!(properties.reason_string(), None);
            assert!(properties.check(PUBLISH, Version::V5).is_err());
        }
    }

    #[test]
    fn a_buffer_can_be_used_again() {
        let mut buffer = buffer(&[Property::TopicAlias(1)]);
        assert!(buffer.push(Property::TopicAlias(0)).is_err());
        assert_eq!(buffer.as_properties().bytes(), [0x23, 0, 1]);
        buffer.clear();
        assert!(buffer.as_properties().is_empty());
    }
}
