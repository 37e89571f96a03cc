//! Bytes of any origin give a packet or a named error, never a panic, and never a packet that cannot be written.

use mqtt::{
    ConnAck, MAX_PACKET_SIZE, Packet, Properties, PropertiesBuffer, PropertyIdentifier, Version,
    decode,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use crate::packets;

/// Decodes; a packet is looked at from all sides and survives another round trip.
fn feed(input: &[u8], version: Version, max_packet_size: u32) {
    match decode(input, version, max_packet_size) {
        Ok(None) => {}
        Ok(Some((packet, used))) => {
            assert!(2 <= used && used <= input.len() && used <= max_packet_size as usize);
            look(&packet);
            let mut out = Vec::new();
            let written = packet.encode(version, &mut out);
            if is_refusal_by_3(&packet, version) {
                assert!(written.is_err());
                return;
            }
            assert_eq!(written, Ok(()));
            assert_eq!(out.len(), packet.encoded_len(version));
            assert_eq!(
                decode(&out, version, MAX_PACKET_SIZE),
                Ok(Some((packet, out.len())))
            );
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            assert!(error.statement().starts_with("MQTT"));
            assert!(error.reason_code().is_error());
        }
    }
}

/// The only packet that is read but not written: how a server of 3.x refuses 5.0.
fn is_refusal_by_3(packet: &Packet<'_>, version: Version) -> bool {
    version == Version::V5 && matches!(packet, Packet::ConnAck(ConnAck { code: 1, .. }))
}

/// Walks through everything that is read late.
fn look(packet: &Packet<'_>) {
    let check = |properties: Properties<'_>| {
        let mut copy = PropertiesBuffer::new();
        for property in properties.iter() {
            copy.push(property)
                .expect("a property that was read can be written");
        }
        assert_eq!(copy.as_properties(), properties);
    };
    match packet {
        Packet::Connect(packet) => {
            check(packet.properties);
            packet
                .will
                .into_iter()
                .for_each(|will| check(will.properties));
        }
        Packet::ConnAck(packet) => check(packet.properties),
        Packet::Publish(packet) => {
            check(packet.properties);
            assert!(packet.topic.is_some() || packet.properties.topic_alias().is_some());
        }
        Packet::PubAck(packet)
        | Packet::PubRec(packet)
        | Packet::PubRel(packet)
        | Packet::PubComp(packet) => {
            check(packet.properties);
        }
        Packet::Subscribe(packet) => {
            check(packet.properties);
            assert_eq!(packet.filters.iter().count(), packet.filters.len());
            assert!(!packet.filters.is_empty());
        }
        Packet::Unsubscribe(packet) => {
            check(packet.properties);
            assert_eq!(packet.filters.iter().count(), packet.filters.len());
            assert!(!packet.filters.is_empty());
        }
        Packet::SubAck(packet) => check(packet.properties),
        Packet::UnsubAck(packet) => check(packet.properties),
        Packet::Disconnect(packet) => check(packet.properties),
        Packet::Auth(packet) => check(packet.properties),
        Packet::PingReq | Packet::PingResp => {}
    }
}

#[derive(Clone, Debug)]
enum Mutation {
    Set(Index, u8),
    Flip(Index, u8),
    Insert(Index, u8),
    Remove(Index),
    Cut(Index),
    Repeat(Index, Index),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let byte = prop_oneof![
        any::<u8>(),
        Just(0),
        Just(1),
        Just(0x7F),
        Just(0x80),
        Just(0xFF),
        Just(b'#')
    ];
    prop_oneof![
        4 => (any::<Index>(), byte.clone()).prop_map(|(at, byte)| Mutation::Set(at, byte)),
        4 => (any::<Index>(), 0..8u8).prop_map(|(at, bit)| Mutation::Flip(at, 1 << bit)),
        2 => (any::<Index>(), byte).prop_map(|(at, byte)| Mutation::Insert(at, byte)),
        2 => any::<Index>().prop_map(Mutation::Remove),
        1 => any::<Index>().prop_map(Mutation::Cut),
        1 => (any::<Index>(), any::<Index>()).prop_map(|(from, to)| Mutation::Repeat(from, to)),
    ]
}

fn apply(bytes: &mut Vec<u8>, mutation: &Mutation) {
    if bytes.is_empty() {
        return;
    }
    let len = bytes.len();
    match mutation {
        Mutation::Set(at, byte) => bytes[at.index(len)] = *byte,
        Mutation::Flip(at, bit) => bytes[at.index(len)] ^= bit,
        Mutation::Insert(at, byte) => bytes.insert(at.index(len), *byte),
        Mutation::Remove(at) => drop(bytes.remove(at.index(len))),
        Mutation::Cut(at) => bytes.truncate(at.index(len)),
        Mutation::Repeat(from, to) => {
            let (from, to) = (from.index(len), to.index(len));
            bytes.extend_from_within(from.min(to)..from.max(to));
        }
    }
}

/// Sets the Remaining Length right, so that a mutation reaches the fields of the body.
fn mend_length(bytes: &[u8]) -> Option<Vec<u8>> {
    let header = bytes.iter().skip(1).position(|byte| byte & 0x80 == 0)? + 2;
    let body = &bytes[header..];
    let mut mended = vec![bytes[0]];
    let mut rest = body.len();
    loop {
        let byte = (rest % 128) as u8;
        rest /= 128;
        if rest == 0 {
            mended.push(byte);
            break;
        }
        mended.push(byte | 0x80);
    }
    mended.extend_from_slice(body);
    Some(mended)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn mutations_of_legal_packets(
        packets in packets::VERSIONS.map(packets::packet),
        mutations in vec(mutation(), 1..4),
    ) {
        for mut bytes in packets {
            for mutation in &mutations {
                apply(&mut bytes, mutation);
            }
            let mended = mend_length(&bytes);
            for version in packets::VERSIONS {
                feed(&bytes, version, MAX_PACKET_SIZE);
                if let Some(mended) = &mended {
                    feed(mended, version, MAX_PACKET_SIZE);
                }
            }
        }
    }

    #[test]
    fn packets_of_another_version(packets in packets::VERSIONS.map(packets::packet)) {
        for bytes in packets {
            for version in packets::VERSIONS {
                feed(&bytes, version, MAX_PACKET_SIZE);
            }
        }
    }

    #[test]
    fn random_bytes(bytes in vec(any::<u8>(), 0..200), limit in prop_oneof![Just(MAX_PACKET_SIZE), 0..300u32]) {
        for version in packets::VERSIONS {
            feed(&bytes, version, limit);
        }
    }

    #[test]
    fn random_bodies(first_byte in any::<u8>(), body in vec(prop_oneof![0..8u8, any::<u8>()], 0..100)) {
        let mut bytes = vec![first_byte, body.len() as u8];
        bytes.extend_from_slice(&body);
        for version in packets::VERSIONS {
            feed(&bytes, version, MAX_PACKET_SIZE);
        }
    }

    #[test]
    fn random_properties(bytes in vec(prop_oneof![0..0x2Bu8, any::<u8>()], 0..60)) {
        let properties = Properties::from_valid(&bytes);
        properties.iter().for_each(drop);
        for byte in 0..=u8::MAX {
            let found = PropertyIdentifier::try_from(byte).ok().and_then(|identifier| properties.get(identifier));
            if let Some(property) = found {
                prop_assert_eq!(property.identifier() as u8, byte);
            }
        }
    }
}
