//! Bytes of any origin give a packet or a named error, never a panic, and never a packet that cannot be written.

use mqtt::{Properties, PropertyIdentifier};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::packet_check::{VERSIONS, check};
use crate::packets;
use crate::replay::{apply, mutation};

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
        packets in VERSIONS.map(packets::packet),
        mutations in vec(mutation(), 1..4),
    ) {
        for mut bytes in packets {
            for mutation in &mutations {
                apply(&mut bytes, mutation);
            }
            check(&bytes);
            if let Some(mended) = mend_length(&bytes) {
                check(&mended);
            }
        }
    }

    #[test]
    fn legal_packets_in_any_version(packets in VERSIONS.map(packets::packet)) {
        for bytes in packets {
            check(&bytes);
        }
    }

    #[test]
    fn random_bytes(bytes in vec(any::<u8>(), 0..200)) {
        check(&bytes);
    }

    #[test]
    fn random_bodies(first_byte in any::<u8>(), body in vec(prop_oneof![0..8u8, any::<u8>()], 0..100)) {
        let mut bytes = vec![first_byte, body.len() as u8];
        bytes.extend_from_slice(&body);
        check(&bytes);
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
