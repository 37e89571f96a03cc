//! Strategies for legal packets of each version, as bytes. What the standard says of properties and Reason Codes is
//! written down in these tests a second time, from its tables, so that a slip in the crate's own tables shows.

use mqtt::{
    Ack, Auth, ConnAck, Connect, Disconnect, FiltersBuffer, MAX_PACKET_SIZE, Packet,
    PacketIdentifier, Properties, Property, Publish, QoS, ReasonCode, RetainHandling, SubAck,
    Subscribe, SubscriptionOptions, TopicFilter, TopicName, UnsubAck, Unsubscribe,
    UnsubscribeFiltersBuffer, Version, Will, decode,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use crate::properties::{self, some_properties};

/// Any legal packet of the version.
pub(crate) fn packet(version: Version) -> BoxedStrategy<Vec<u8>> {
    let common = prop_oneof![
        2 => connect(version),
        2 => connack(version),
        4 => publish(version),
        2 => ack(version),
        2 => subscribe(version),
        1 => suback(version),
        2 => unsubscribe(version),
        1 => unsuback(version),
        1 => select(vec![Packet::PingReq, Packet::PingResp]).prop_map(move |packet| bytes(&packet, version)),
        1 => disconnect(version),
    ];
    if version == Version::V5 {
        prop_oneof![14 => common, 1 => auth()].boxed()
    } else {
        common.boxed()
    }
}

/// The bytes of a packet, which give the same packet again.
fn bytes(packet: &Packet<'_>, version: Version) -> Vec<u8> {
    let mut out = Vec::new();
    packet
        .encode(version, &mut out)
        .expect("the strategies make legal packets");
    assert_eq!(out.len(), packet.encoded_len(version));
    assert_eq!(
        decode(&out, version, MAX_PACKET_SIZE),
        Ok(Some((*packet, out.len())))
    );
    out
}

/// A string without control characters and non-characters.
pub(crate) fn text() -> impl Strategy<Value = String> {
    let any = "[^\\p{Cc}\\p{Noncharacter_Code_Point}]{0,12}";
    prop_oneof!["[a-z0-9]{0,12}", any]
}

pub(crate) fn data() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..24)
}

fn level() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z0-9 $]{0,4}", "[äß中\u{2A6D4}]{1,2}"]
}

/// A Topic Name.
pub(crate) fn topic() -> impl Strategy<Value = String> {
    vec(level(), 1..5)
        .prop_map(|levels| levels.join("/"))
        .prop_filter("a topic has a character", |topic| !topic.is_empty())
}

/// A Topic Filter, now and then of a Shared Subscription.
pub(crate) fn filter() -> impl Strategy<Value = String> {
    let level = prop_oneof![3 => level(), 1 => Just("+".to_owned())];
    let share = option::weighted(0.2, "\\$share/[a-z]{1,3}/");
    (share, vec(level, 0..4), any::<bool>())
        .prop_map(|(share, mut levels, multi)| {
            if multi {
                levels.push("#".to_owned());
            }
            (share.unwrap_or_default(), levels.join("/"))
        })
        .prop_filter("a filter has a character", |(_, filter)| !filter.is_empty())
        .prop_map(|(share, filter)| share + &filter)
        .prop_filter("a share has a filter", |filter| {
            TopicFilter::new(filter).is_ok()
        })
}

fn qos() -> impl Strategy<Value = QoS> {
    select(vec![QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce])
}

fn identifier() -> impl Strategy<Value = PacketIdentifier> {
    (1..=u16::MAX).prop_map(|value| PacketIdentifier::new(value).expect("from 1 on"))
}

fn reason(codes: &'static [u8]) -> impl Strategy<Value = ReasonCode> {
    select(codes).prop_map(|code| ReasonCode::try_from(code).expect("a code of the standard"))
}

fn connect(version: Version) -> BoxedStrategy<Vec<u8>> {
    let will = (
        topic(),
        data(),
        qos(),
        any::<bool>(),
        some_properties(properties::WILL, version),
    );
    let fields = (any::<bool>(), any::<u16>(), text(), option::of(will));
    (
        fields,
        option::of(text()),
        option::of(data()),
        some_properties(properties::CONNECT, version),
    )
        .prop_map(
            move |(
                (clean_start, keep_alive, client_identifier, will),
                username,
                password,
                properties,
            )| {
                let will = will
                    .as_ref()
                    .map(|(topic, payload, qos, retain, properties)| Will {
                        topic: TopicName::new(topic).expect("a topic name"),
                        payload,
                        qos: *qos,
                        retain: *retain,
                        properties: properties.as_properties(),
                    });
                let has_password = version == Version::V5 || username.is_some();
                let packet = Connect {
                    version,
                    clean_start,
                    keep_alive,
                    client_identifier: &client_identifier,
                    will,
                    username: username.as_deref(),
                    password: password.as_deref().filter(|_| has_password),
                    properties: properties.as_properties(),
                };
                bytes(&Packet::Connect(packet), version)
            },
        )
        .boxed()
}

fn connack(version: Version) -> BoxedStrategy<Vec<u8>> {
    let codes: &[u8] = match version {
        Version::V31 | Version::V311 => &[1, 2, 3, 4, 5],
        Version::V5 => &[
            0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8A, 0x8C, 0x90, 0x95,
            0x97, 0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9F,
        ],
    };
    let code = prop_oneof![
        any::<bool>().prop_map(move |present| (present && version != Version::V31, 0)),
        select(codes).prop_map(|code| (false, code)),
    ];
    (code, some_properties(properties::CONNACK, version))
        .prop_map(move |((session_present, code), properties)| {
            let packet = ConnAck {
                session_present,
                code,
                properties: properties.as_properties(),
            };
            bytes(&Packet::ConnAck(packet), version)
        })
        .boxed()
}

fn publish(version: Version) -> BoxedStrategy<Vec<u8>> {
    (
        any::<[bool; 3]>(),
        qos(),
        topic(),
        identifier(),
        some_properties(properties::PUBLISH, version),
        vec(any::<u8>(), 0..300),
    )
        .prop_map(
            move |([dup, retain, by_alias], qos, topic, identifier, properties, payload)| {
                let properties = properties.as_properties();
                let by_alias = by_alias && properties.topic_alias().is_some();
                let packet = Publish {
                    dup: dup && qos != QoS::AtMostOnce,
                    qos,
                    retain,
                    topic: (!by_alias).then(|| TopicName::new(&topic).expect("a topic name")),
                    packet_identifier: (qos != QoS::AtMostOnce).then_some(identifier),
                    properties,
                    payload: &payload,
                };
                bytes(&Packet::Publish(packet), version)
            },
        )
        .boxed()
}

fn ack(version: Version) -> BoxedStrategy<Vec<u8>> {
    type Variant = fn(Ack<'_>) -> Packet<'_>;
    const PUBACK: &[u8] = &[0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99];
    const PUBREL: &[u8] = &[0x00, 0x92];
    let kinds: Vec<(Variant, &'static [u8])> = vec![
        (|ack| Packet::PubAck(ack), PUBACK),
        (|ack| Packet::PubRec(ack), PUBACK),
        (|ack| Packet::PubRel(ack), PUBREL),
        (|ack| Packet::PubComp(ack), PUBREL),
    ];
    let reason = select(kinds).prop_flat_map(move |(variant, codes)| {
        let codes = if version == Version::V5 {
            codes
        } else {
            &[0x00][..]
        };
        (Just(variant), reason(codes))
    });
    (
        reason,
        identifier(),
        some_properties(properties::ACK, version),
    )
        .prop_map(move |((variant, reason), packet_identifier, properties)| {
            let ack = Ack {
                packet_identifier,
                reason,
                properties: properties.as_properties(),
            };
            bytes(&variant(ack), version)
        })
        .boxed()
}

fn options(version: Version) -> BoxedStrategy<SubscriptionOptions> {
    if version != Version::V5 {
        return qos()
            .prop_map(|qos| SubscriptionOptions {
                qos,
                ..SubscriptionOptions::default()
            })
            .boxed();
    }
    let handling = vec![
        RetainHandling::Send,
        RetainHandling::SendIfNew,
        RetainHandling::DoNotSend,
    ];
    (qos(), any::<[bool; 2]>(), select(handling))
        .prop_map(
            |(qos, [no_local, retain_as_published], retain_handling)| SubscriptionOptions {
                qos,
                no_local,
                retain_as_published,
                retain_handling,
            },
        )
        .boxed()
}

fn subscribe(version: Version) -> BoxedStrategy<Vec<u8>> {
    (
        identifier(),
        some_properties(properties::SUBSCRIBE, version),
        vec((filter(), options(version)), 1..5),
    )
        .prop_map(move |(packet_identifier, properties, entries)| {
            let mut filters = FiltersBuffer::new();
            for (filter, options) in &entries {
                let filter = TopicFilter::new(filter).expect("a topic filter");
                let no_local = options.no_local && filter.share().is_none();
                filters
                    .push(
                        filter,
                        SubscriptionOptions {
                            no_local,
                            ..*options
                        },
                    )
                    .expect("legal");
            }
            assert_eq!(filters.as_filters().len(), entries.len());
            assert_eq!(filters.as_filters().iter().count(), entries.len());
            let properties = properties.as_properties();
            let packet = Subscribe {
                packet_identifier,
                properties,
                filters: filters.as_filters(),
            };
            bytes(&Packet::Subscribe(packet), version)
        })
        .boxed()
}

fn unsubscribe(version: Version) -> BoxedStrategy<Vec<u8>> {
    (
        identifier(),
        some_properties(properties::UNSUBSCRIBE, version),
        vec(filter(), 1..5),
    )
        .prop_map(move |(packet_identifier, properties, entries)| {
            let mut filters = UnsubscribeFiltersBuffer::new();
            for filter in &entries {
                filters
                    .push(TopicFilter::new(filter).expect("a topic filter"))
                    .expect("legal");
            }
            let found: Vec<_> = filters
                .as_filters()
                .iter()
                .map(TopicFilter::as_str)
                .collect();
            assert_eq!(found, entries);
            let properties = properties.as_properties();
            let packet = Unsubscribe {
                packet_identifier,
                properties,
                filters: filters.as_filters(),
            };
            bytes(&Packet::Unsubscribe(packet), version)
        })
        .boxed()
}

fn suback(version: Version) -> BoxedStrategy<Vec<u8>> {
    let codes: &[u8] = match version {
        Version::V31 | Version::V311 => &[0, 1, 2, 0x80],
        Version::V5 => &[
            0, 1, 2, 0x80, 0x83, 0x87, 0x8F, 0x91, 0x97, 0x9E, 0xA1, 0xA2,
        ],
    };
    (
        identifier(),
        some_properties(properties::ACK, version),
        vec(select(codes), 1..6),
    )
        .prop_map(move |(packet_identifier, properties, codes)| {
            let packet = SubAck {
                packet_identifier,
                properties: properties.as_properties(),
                codes: &codes,
            };
            bytes(&Packet::SubAck(packet), version)
        })
        .boxed()
}

fn unsuback(version: Version) -> BoxedStrategy<Vec<u8>> {
    const CODES: &[u8] = &[0x00, 0x11, 0x80, 0x83, 0x87, 0x8F, 0x91];
    let count = if version == Version::V5 { 1..6 } else { 0..1 };
    (
        identifier(),
        some_properties(properties::ACK, version),
        vec(select(CODES), count),
    )
        .prop_map(move |(packet_identifier, properties, codes)| {
            let packet = UnsubAck {
                packet_identifier,
                properties: properties.as_properties(),
                codes: &codes,
            };
            bytes(&Packet::UnsubAck(packet), version)
        })
        .boxed()
}

fn disconnect(version: Version) -> BoxedStrategy<Vec<u8>> {
    const CODES: &[u8] = &[
        0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8B, 0x8D, 0x8E, 0x8F, 0x90, 0x93, 0x94,
        0x95, 0x96, 0x97, 0x98, 0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9E, 0x9F, 0xA0, 0xA1, 0xA2,
    ];
    let codes = if version == Version::V5 {
        CODES
    } else {
        &[0x00]
    };
    (
        reason(codes),
        some_properties(properties::DISCONNECT, version),
    )
        .prop_map(move |(reason, properties)| {
            let packet = Disconnect {
                reason,
                properties: properties.as_properties(),
            };
            bytes(&Packet::Disconnect(packet), version)
        })
        .boxed()
}

fn auth() -> BoxedStrategy<Vec<u8>> {
    (
        reason(&[0x00, 0x18, 0x19]),
        some_properties(properties::AUTH, Version::V5),
        text(),
        option::of(data()),
    )
        .prop_map(|(reason, mut properties, method, data)| {
            properties
                .push(Property::AuthenticationMethod(&method))
                .expect("legal");
            if let Some(data) = &data {
                properties
                    .push(Property::AuthenticationData(data))
                    .expect("legal");
            }
            // Success may be without anything.
            let is_short = reason == ReasonCode::Success && data.is_none();
            let properties = if is_short {
                Properties::EMPTY
            } else {
                properties.as_properties()
            };
            bytes(&Packet::Auth(Auth { reason, properties }), Version::V5)
        })
        .boxed()
}
