//! Properties: a strategy for the legal ones of each packet, and the standard's table against the decoder.

use mqtt::{
    DecodeError, MAX_PACKET_SIZE, PropertiesBuffer, Property, PropertyIdentifier, Version, decode,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::packets::{data, text, topic};

/// What a property is made of.
#[derive(Clone, Debug)]
struct Seed {
    number: u32,
    topic: String,
    text: [String; 2],
    data: Vec<u8>,
}

fn seed() -> impl Strategy<Value = Seed> {
    (any::<u32>(), topic(), [text(), text()], data()).prop_map(|(number, topic, text, data)| Seed {
        number,
        topic,
        text,
        data,
    })
}

/// A property of this identifier with a legal value.
fn property(identifier: u8, seed: &Seed) -> Property<'_> {
    let number = seed.number;
    let two = number as u16;
    let flag = number % 2 == 1;
    let text = seed.text[0].as_str();
    match identifier {
        0x01 => Property::PayloadFormatIndicator(flag.into()),
        0x02 => Property::MessageExpiryInterval(number),
        0x03 => Property::ContentType(text),
        0x08 => Property::ResponseTopic(&seed.topic),
        0x09 => Property::CorrelationData(&seed.data),
        0x0B => Property::SubscriptionIdentifier((number % 268_435_456).max(1)),
        0x11 => Property::SessionExpiryInterval(number),
        0x12 => Property::AssignedClientIdentifier(text),
        0x13 => Property::ServerKeepAlive(two),
        0x15 => Property::AuthenticationMethod(text),
        0x16 => Property::AuthenticationData(&seed.data),
        0x17 => Property::RequestProblemInformation(flag),
        0x18 => Property::WillDelayInterval(number),
        0x19 => Property::RequestResponseInformation(flag),
        0x1A => Property::ResponseInformation(text),
        0x1C => Property::ServerReference(text),
        0x1F => Property::ReasonString(text),
        0x21 => Property::ReceiveMaximum(two.max(1)),
        0x22 => Property::TopicAliasMaximum(two),
        0x23 => Property::TopicAlias(two.max(1)),
        0x24 => Property::MaximumQoS(flag.into()),
        0x25 => Property::RetainAvailable(flag),
        0x26 => Property::UserProperty(text, &seed.text[1]),
        0x27 => Property::MaximumPacketSize(number.max(1)),
        0x28 => Property::WildcardSubscriptionAvailable(flag),
        0x29 => Property::SubscriptionIdentifierAvailable(flag),
        0x2A => Property::SharedSubscriptionAvailable(flag),
        _ => unreachable!("the tables below have no other"),
    }
}

/// The properties of each packet (table 2-4), those that may be repeated after the others.
pub(crate) const CONNECT: (&[u8], &[u8]) = (&[0x11, 0x15, 0x17, 0x19, 0x21, 0x22, 0x27], &[0x26]);
pub(crate) const CONNACK: (&[u8], &[u8]) = (
    &[
        0x11, 0x12, 0x13, 0x15, 0x1A, 0x1C, 0x1F, 0x21, 0x22, 0x24, 0x25, 0x27, 0x28, 0x29, 0x2A,
    ],
    &[0x26],
);
pub(crate) const PUBLISH: (&[u8], &[u8]) = (&[0x01, 0x02, 0x03, 0x08, 0x09, 0x23], &[0x0B, 0x26]);
pub(crate) const WILL: (&[u8], &[u8]) = (&[0x01, 0x02, 0x03, 0x08, 0x09, 0x18], &[0x26]);
pub(crate) const ACK: (&[u8], &[u8]) = (&[0x1F], &[0x26]);
pub(crate) const SUBSCRIBE: (&[u8], &[u8]) = (&[0x0B], &[0x26]);
pub(crate) const UNSUBSCRIBE: (&[u8], &[u8]) = (&[], &[0x26]);
pub(crate) const DISCONNECT: (&[u8], &[u8]) = (&[0x11, 0x1C, 0x1F], &[0x26]);
pub(crate) const AUTH: (&[u8], &[u8]) = (&[0x1F], &[0x26]);

/// Some properties of the table in any order; Authentication Data goes with its method. None in 3.x.
pub(crate) fn some_properties(
    table: (&'static [u8], &'static [u8]),
    version: Version,
) -> BoxedStrategy<PropertiesBuffer> {
    if version != Version::V5 {
        return Just(PropertiesBuffer::new()).boxed();
    }
    let (once, often) = table;
    let once = proptest::sample::subsequence(once, 0..=once.len());
    let often = vec(select(often), 0..4);
    (once, often)
        .prop_flat_map(|(mut identifiers, often)| {
            if identifiers.contains(&0x15) {
                identifiers.push(0x16);
            }
            identifiers.extend(often);
            let count = identifiers.len();
            (Just(identifiers).prop_shuffle(), vec(seed(), count))
        })
        .prop_map(|(identifiers, seeds)| {
            let mut buffer = PropertiesBuffer::new();
            let mut expected = Vec::new();
            for (identifier, seed) in identifiers.into_iter().zip(&seeds) {
                let property = property(identifier, seed);
                buffer.push(property).expect("a legal value");
                expected.push(property);
            }
            assert_eq!(buffer.as_properties().iter().collect::<Vec<_>>(), expected);
            for property in &expected {
                let first = expected
                    .iter()
                    .find(|other| other.identifier() == property.identifier());
                assert_eq!(
                    buffer.as_properties().get(property.identifier()).as_ref(),
                    first
                );
            }
            buffer
        })
        .boxed()
}

/// Each property in each packet: table 2-4 of the standard once more, against the whole decoder.
#[test]
fn properties_stand_where_the_standard_has_them() {
    let values: [(u8, &[u8]); 26] = [
        (0x01, &[1]),
        (0x02, &[0, 0, 0, 1]),
        (0x03, &[0, 0]),
        (0x08, &[0, 1, b't']),
        (0x09, &[0, 0]),
        (0x0B, &[1]),
        (0x11, &[0, 0, 0, 1]),
        (0x12, &[0, 0]),
        (0x13, &[0, 1]),
        (0x15, &[0, 0]),
        (0x17, &[1]),
        (0x18, &[0, 0, 0, 1]),
        (0x19, &[1]),
        (0x1A, &[0, 0]),
        (0x1C, &[0, 0]),
        (0x1F, &[0, 0]),
        (0x21, &[0, 1]),
        (0x22, &[0, 1]),
        (0x23, &[0, 1]),
        (0x24, &[1]),
        (0x25, &[1]),
        (0x26, &[0, 0, 0, 0]),
        (0x27, &[0, 0, 0, 1]),
        (0x28, &[1]),
        (0x29, &[1]),
        (0x2A, &[1]),
    ];
    // First byte, what stands before the properties, what behind them, the table.
    type Place = (
        u8,
        &'static [u8],
        &'static [u8],
        (&'static [u8], &'static [u8]),
    );
    let places: [Place; 14] = [
        (0x10, b"\0\x04MQTT\x05\x02\0\0", b"\0\0", CONNECT),
        (0x10, b"\0\x04MQTT\x05\x06\0\0\0\0\0", b"\0\x01w\0\0", WILL),
        (0x20, b"\0\0", b"", CONNACK),
        (0x30, b"\0\x01t", b"", PUBLISH),
        (0x40, b"\0\x01\0", b"", ACK),
        (0x50, b"\0\x01\0", b"", ACK),
        (0x62, b"\0\x01\0", b"", ACK),
        (0x70, b"\0\x01\0", b"", ACK),
        (0x82, b"\0\x01", b"\0\x01a\0", SUBSCRIBE),
        (0x90, b"\0\x01", b"\0", ACK),
        (0xA2, b"\0\x01", b"\0\x01a", UNSUBSCRIBE),
        (0xB0, b"\0\x01", b"\0", ACK),
        (0xE0, b"\0", b"", DISCONNECT),
        (0xF0, b"\x18", b"", (&[0x15, 0x1F], &[0x26])),
    ];
    for (first_byte, before, behind, (once, often)) in places {
        for (byte, value) in values {
            let identifier = PropertyIdentifier::try_from(byte).expect("one of the standard");
            let one = [&[byte], value].concat();
            let with = |properties: &[u8]| {
                // AUTH always has its method.
                let method: &[u8] = if first_byte == 0xF0 && byte != 0x15 {
                    &[0x15, 0, 0]
                } else {
                    &[]
                };
                let properties = [properties, method].concat();
                let len = [properties.len() as u8];
                let body = [before, &len, &properties, behind].concat();
                let bytes = [&[first_byte, body.len() as u8], &body[..]].concat();
                decode(&bytes, Version::V5, MAX_PACKET_SIZE).map(drop)
            };
            let is_allowed = once.contains(&byte) || often.contains(&byte);
            let expected = if is_allowed {
                Ok(())
            } else {
                Err(DecodeError::PropertyNotAllowed(identifier))
            };
            assert_eq!(with(&one), expected, "{identifier} in {first_byte:02x}");
            if once.contains(&byte) {
                let twice = Err(DecodeError::PropertyTwice(identifier));
                assert_eq!(
                    with(&one.repeat(2)),
                    twice,
                    "{identifier} in {first_byte:02x}"
                );
            }
            if often.contains(&byte) {
                assert_eq!(
                    with(&one.repeat(3)),
                    Ok(()),
                    "{identifier} in {first_byte:02x}"
                );
            }
        }
    }
}
