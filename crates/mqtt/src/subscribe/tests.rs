use super::*;
use crate::wire::{NONE, V5, V31, V311, buffer, identifier, read, refused, same, written};
use crate::{Packet, Property, PropertyIdentifier, ReasonCode, TopicError};

fn options(qos: QoS) -> SubscriptionOptions {
    SubscriptionOptions {
        qos,
        ..SubscriptionOptions::default()
    }
}

fn filters(entries: &[(&str, SubscriptionOptions)]) -> FiltersBuffer {
    let mut buffer = FiltersBuffer::new();
    for (filter, options) in entries {
        buffer
            .push(TopicFilter::new(filter).expect("a topic filter"), *options)
            .expect("legal");
    }
    buffer
}

#[test]
fn the_example_of_the_standard() {
    // Section 3.8.3.3: "a/b" with QoS 1, "c/d" with QoS 2.
    let filters = filters(&[
        ("a/b", options(QoS::AtLeastOnce)),
        ("c/d", options(QoS::ExactlyOnce)),
    ]);
    let packet = Subscribe {
        packet_identifier: identifier(10),
        properties: NONE,
        filters: filters.as_filters(),
    };
    assert_eq!(packet.filters.len(), 2);
    for version in [V31, V311] {
        same(
            Packet::Subscribe(packet),
            version,
            b"\x82\x0E\x00\x0A\x00\x03a/b\x01\x00\x03c/d\x02",
        );
    }
    same(
        Packet::Subscribe(packet),
        V5,
        b"\x82\x0F\x00\x0A\x00\x00\x03a/b\x01\x00\x03c/d\x02",
    );
}

#[test]
fn the_options_of_5() {
    let all = SubscriptionOptions {
        qos: QoS::ExactlyOnce,
        no_local: true,
        retain_as_published: true,
        retain_handling: RetainHandling::DoNotSend,
    };
    let new = SubscriptionOptions {
        retain_handling: RetainHandling::SendIfNew,
        ..options(QoS::AtMostOnce)
    };
    let properties = buffer(&[Property::SubscriptionIdentifier(1)]);
    let filters = filters(&[("a", all), ("#", new)]);
    let packet = Subscribe {
        packet_identifier: identifier(1),
        properties: properties.as_properties(),
        filters: filters.as_filters(),
    };
    same(
        Packet::Subscribe(packet),
        V5,
        b"\x82\x0D\x00\x01\x02\x0B\x01\x00\x01a\x2E\x00\x01#\x10",
    );
    let entries: Vec<_> = packet
        .filters
        .iter()
        .map(|(filter, options)| (filter.as_str(), options))
        .collect();
    assert_eq!(entries, [("a", all), ("#", new)]);
    // 3.x has the QoS alone.
    let bytes = written(Packet::Subscribe(packet), V311);
    assert_eq!(
        bytes.as_deref(),
        Ok(&b"\x82\x0A\x00\x01\x00\x01a\x02\x00\x01#\x00"[..])
    );
    assert_eq!(packet.encoded_len(V311), 12);
}

#[test]
fn options_that_do_not_exist() {
    let with = |options, version| {
        let properties: &[u8] = if version == V5 { &[0] } else { &[] };
        let body = [&[0, 1], properties, &[0, 1, b'a', options]].concat();
        read(&crate::wire::framed(0x82, &body), version).map(drop)
    };
    for byte in [0x03, 0x40, 0x80, 0x30] {
        for version in [V31, V311, V5] {
            assert_eq!(
                with(byte, version),
                Err(DecodeError::SubscriptionOptions(byte)),
                "{byte:02x}"
            );
        }
    }
    for byte in [0x04, 0x08, 0x10, 0x20] {
        assert_eq!(
            with(byte, V311),
            Err(DecodeError::SubscriptionOptions(byte)),
            "{byte:02x}"
        );
        assert_eq!(with(byte, V5), Ok(()));
    }
    assert_eq!(
        DecodeError::SubscriptionOptions(0x40).reason_code(),
        ReasonCode::MalformedPacket
    );
    assert_eq!(
        DecodeError::SubscriptionOptions(0x30).reason_code(),
        ReasonCode::ProtocolError
    );
}

#[test]
fn no_local_does_not_go_with_a_share() {
    let refused = refused(0x82, b"\x00\x01\x00\x00\x0A$share/g/a\x04", V5);
    assert_eq!(refused, DecodeError::NoLocalOnShared);
    assert_eq!(refused.reason_code(), ReasonCode::ProtocolError);
    let shared = TopicFilter::new("$share/g/a").expect("a topic filter");
    let options = SubscriptionOptions {
        no_local: true,
        ..options(QoS::AtMostOnce)
    };
    assert_eq!(
        FiltersBuffer::new().push(shared, options),
        Err(DecodeError::NoLocalOnShared.into())
    );
}

#[test]
fn what_is_refused() {
    let none = DecodeError::NoFilters(PacketType::Subscribe);
    for version in [V31, V311] {
        assert_eq!(refused(0x82, b"\x00\x01", version), none);
        assert_eq!(
            refused(0x82, b"\x00\x00\x00\x01a\x00", version),
            DecodeError::PacketIdentifierZero
        );
        assert_eq!(
            refused(0x82, b"\x00\x01\x00\x01a", version),
            DecodeError::Truncated
        );
        let empty = DecodeError::TopicFilter(TopicError::Empty);
        assert_eq!(refused(0x82, b"\x00\x01\x00\x00\x00", version), empty);
        let wildcard = DecodeError::TopicFilter(TopicError::MultiLevelWildcard);
        assert_eq!(refused(0x82, b"\x00\x01\x00\x03#/a\x00", version), wildcard);
        assert_eq!(
            refused(0x82, b"\x00\x01\x00\x01\xFF\x00", version),
            DecodeError::NotUtf8
        );
    }
    assert_eq!(refused(0x82, b"\x00\x01\x00", V5), none);
    let zero = DecodeError::PropertyValue(PropertyIdentifier::SubscriptionIdentifier);
    assert_eq!(
        refused(0x82, b"\x00\x01\x02\x0B\x00\x00\x01a\x00", V5),
        zero
    );
    assert_eq!(
        refused(0x80, b"\x00\x01\x00\x01a\x00", V311),
        DecodeError::FixedHeaderFlags(0x80)
    );
    let filters = FiltersBuffer::new();
    let packet = Subscribe {
        packet_identifier: identifier(1),
        properties: NONE,
        filters: filters.as_filters(),
    };
    assert_eq!(written(Packet::Subscribe(packet), V5), Err(none.into()));
}
