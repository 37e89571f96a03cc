//! Bytes of any origin give a packet or a named error, never a panic, and never a packet that cannot be written.

use mqtt::{
    ConnAck, DecodeError, MAX_PACKET_SIZE, Packet, Properties, PropertiesBuffer, Version, decode,
    frame,
};

pub(crate) const VERSIONS: [Version; 3] = [Version::V31, Version::V311, Version::V5];

/// Checks everything that must hold whatever the bytes are, in each version.
pub(crate) fn check(data: &[u8]) {
    let frame = frame(data, MAX_PACKET_SIZE);
    for version in VERSIONS {
        match decode(data, version, MAX_PACKET_SIZE) {
            Ok(None) => {
                prefixes(data, version);
                if let Ok(Some(frame)) = frame {
                    assert!(data.len() < frame.total_len);
                }
            }
            Ok(Some((packet, used))) => {
                let frame = frame.expect("legal").expect("complete");
                assert_eq!(frame.total_len, used);
                accepted(&packet, &data[..used], version);
            }
            Err(error) => refused(error, data, version),
        }
        if let Ok(Some(frame)) = frame {
            limit(data, version, (frame.header_len, frame.total_len));
        }
    }
}

/// A packet can be looked at from all sides, is the same whatever follows it, and survives another round trip.
fn accepted(packet: &Packet<'_>, bytes: &[u8], version: Version) {
    let expected = Ok(Some((*packet, bytes.len())));
    assert!(bytes.len() >= 2);
    assert_eq!(decode(bytes, version, bytes.len() as u32), expected);
    prefixes(&bytes[..bytes.len() - 1], version);
    look(packet);
    let mut out = vec![0xAA];
    let written = packet.encode(version, &mut out);
    if is_refusal_by_3(packet, version) {
        assert!(written.is_err());
        return;
    }
    assert_eq!(written, Ok(()));
    let out = &out[1..];
    assert_eq!(out.len(), packet.encoded_len(version));
    let again = decode(out, version, MAX_PACKET_SIZE);
    assert_eq!(again, Ok(Some((*packet, out.len()))));
    // What is written is never longer than what was read: the short forms are used where there are any.
    assert!(out.len() <= bytes.len());
}

/// Every part from the start on of what is no whole packet yet is waited for.
pub(crate) fn prefixes(bytes: &[u8], version: Version) {
    for end in 0..=bytes.len() {
        let decoded = decode(&bytes[..end], version, MAX_PACKET_SIZE);
        assert_eq!(decoded, Ok(None), "{end} bytes");
    }
}

/// An error has a name, a statement and a Reason Code, and nothing that follows makes it another.
fn refused(error: DecodeError, data: &[u8], version: Version) {
    assert!(!error.to_string().is_empty());
    assert!(error.statement().starts_with("MQTT"));
    assert!(error.reason_code().is_error());
    let longer = [data, &[0]].concat();
    assert_eq!(decode(&longer, version, MAX_PACKET_SIZE), Err(error));
}

/// A packet larger than the limit is refused when no more than its fixed header is there.
fn limit(data: &[u8], version: Version, (header, size): (usize, usize)) {
    let (header, size) = (&data[..header], size as u32);
    let too_large = |limit| DecodeError::PacketTooLarge { size, limit };
    for limit in [0, 1, size / 2, size - 1] {
        assert_eq!(frame(header, limit), Err(too_large(limit)));
        // What the first byte says is wrong comes first.
        let error = decode(header, version, limit).expect_err("too large");
        let by_first_byte = decode(&header[..1], version, MAX_PACKET_SIZE);
        assert_eq!(error, by_first_byte.err().unwrap_or(too_large(limit)));
    }
}

/// The only packet that is read but not written: how a server of 3.x refuses 5.0.
fn is_refusal_by_3(packet: &Packet<'_>, version: Version) -> bool {
    version == Version::V5 && matches!(packet, Packet::ConnAck(ConnAck { code: 1, .. }))
}

/// Walks through everything that is read late.
fn look(packet: &Packet<'_>) {
    properties(packet).into_iter().for_each(walk);
    match packet {
        Packet::Publish(packet) => {
            assert!(packet.topic.is_some() || packet.properties.topic_alias().is_some());
        }
        Packet::Subscribe(packet) => {
            assert_eq!(packet.filters.iter().count(), packet.filters.len());
            assert!(!packet.filters.is_empty());
        }
        Packet::Unsubscribe(packet) => {
            assert_eq!(packet.filters.iter().count(), packet.filters.len());
            assert!(!packet.filters.is_empty());
        }
        _ => {}
    }
}

/// The properties of the packet and of the Will in it.
pub(crate) fn properties<'a>(packet: &Packet<'a>) -> [Properties<'a>; 2] {
    let none = Properties::EMPTY;
    match packet {
        Packet::Connect(packet) => {
            let will = packet.will.map_or(none, |will| will.properties);
            [packet.properties, will]
        }
        Packet::ConnAck(packet) => [packet.properties, none],
        Packet::Publish(packet) => [packet.properties, none],
        Packet::PubAck(packet)
        | Packet::PubRec(packet)
        | Packet::PubRel(packet)
        | Packet::PubComp(packet) => [packet.properties, none],
        Packet::Subscribe(packet) => [packet.properties, none],
        Packet::Unsubscribe(packet) => [packet.properties, none],
        Packet::SubAck(packet) => [packet.properties, none],
        Packet::UnsubAck(packet) => [packet.properties, none],
        Packet::Disconnect(packet) => [packet.properties, none],
        Packet::Auth(packet) => [packet.properties, none],
        Packet::PingReq | Packet::PingResp => [none, none],
    }
}

/// Each property can be written again, and the first of its kind is found by its identifier.
fn walk(properties: Properties<'_>) {
    let mut copy = PropertiesBuffer::new();
    for property in properties.iter() {
        copy.push(property).expect("what was read can be written");
        let first = properties.get(property.identifier());
        assert_eq!(
            first.map(|first| first.identifier()),
            Some(property.identifier())
        );
    }
    assert_eq!(copy.as_properties(), properties);
}
