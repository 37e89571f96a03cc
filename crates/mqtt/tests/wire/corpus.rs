//! What fuzzing has found, and mutations of it, through the checks of the fuzz targets.

use std::collections::BTreeSet;

use mqtt::{MAX_PACKET_SIZE, PacketType, PropertyIdentifier, Version, decode};

use crate::packet_check::VERSIONS;
use crate::replay::{inputs, replay};
use crate::{packet_check, stream_check, topics_check};

const PACKETS: &str = include_str!("../../fuzz/corpus/packet.txt");
const STREAMS: &str = include_str!("../../fuzz/corpus/stream.txt");
const TOPICS: &str = include_str!("../../fuzz/corpus/topics.txt");

#[test]
fn packets() {
    replay(PACKETS, 64, packet_check::check);
}

#[test]
fn streams() {
    replay(STREAMS, 64, stream_check::check);
}

#[test]
fn topics() {
    replay(TOPICS, 64, topics_check::check);
}

/// Every packet of every version is in the corpus, so that every prefix of each was waited for above.
#[test]
fn nothing_is_missing_from_the_corpus() {
    let mut seen = BTreeSet::new();
    let mut properties = BTreeSet::new();
    for bytes in inputs(PACKETS) {
        for version in VERSIONS {
            let Ok(Some((packet, _))) = decode(&bytes, version, MAX_PACKET_SIZE) else {
                continue;
            };
            let version = match packet {
                mqtt::Packet::Connect(connect) => connect.version,
                _ => version,
            };
            seen.insert((version, packet.packet_type() as u8));
            properties.extend(
                packet_check::properties(&packet)
                    .iter()
                    .flat_map(|properties| properties.iter().map(|property| property.identifier())),
            );
        }
    }
    for version in VERSIONS {
        let last = if version == Version::V5 {
            PacketType::Auth
        } else {
            PacketType::Disconnect
        };
        for packet_type in 1..=last as u8 {
            assert!(
                seen.contains(&(version, packet_type)),
                "{version}: packet type {packet_type}"
            );
        }
    }
    for byte in 0..=u8::MAX {
        if let Ok(identifier) = PropertyIdentifier::try_from(byte) {
            assert!(properties.contains(&identifier), "{identifier}");
        }
    }
}
