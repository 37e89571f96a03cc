//! What is written is read again, in each version, and a part of it is waited for.

use mqtt::{MAX_PACKET_SIZE, Version, decode};
use proptest::prelude::*;

use crate::packet_check::{VERSIONS, prefixes};
use crate::packets;

/// Reads the packet and writes it again.
fn again(bytes: &[u8], version: Version) -> Vec<u8> {
    let (packet, used) = decode(bytes, version, MAX_PACKET_SIZE)
        .expect("legal")
        .expect("complete");
    assert_eq!(used, bytes.len());
    let mut out = Vec::new();
    packet
        .encode(version, &mut out)
        .expect("what was read can be written");
    out
}

proptest! {
    // The strategies themselves compare what is written with what is read from it.
    #[test]
    fn in_3_1(bytes in packets::packet(Version::V31)) {
        prop_assert_eq!(again(&bytes, Version::V31), bytes);
    }

    #[test]
    fn in_3_1_1(bytes in packets::packet(Version::V311)) {
        prop_assert_eq!(again(&bytes, Version::V311), bytes);
    }

    #[test]
    fn in_5(bytes in packets::packet(Version::V5)) {
        prop_assert_eq!(again(&bytes, Version::V5), bytes);
    }

    #[test]
    fn a_part_is_waited_for(packets in VERSIONS.map(packets::packet)) {
        for (bytes, version) in packets.iter().zip(VERSIONS) {
            prefixes(&bytes[..bytes.len() - 1], version);
        }
    }

    #[test]
    fn packets_in_a_row_are_told_apart(packets in prop::collection::vec(packets::packet(Version::V5), 0..8)) {
        let stream = packets.concat();
        let mut rest = stream.as_slice();
        for bytes in packets {
            let decoded = decode(rest, Version::V5, MAX_PACKET_SIZE).expect("legal");
            let (_, used) = decoded.expect("complete");
            prop_assert_eq!(&rest[..used], bytes);
            rest = &rest[used..];
        }
        prop_assert!(rest.is_empty());
    }
}
