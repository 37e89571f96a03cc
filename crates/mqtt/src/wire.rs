//! How the tests compare packets with the bytes of the standard.

use crate::{DecodeError, EncodeError, MAX_PACKET_SIZE, Packet, PacketIdentifier, Properties};
use crate::{PropertiesBuffer, Property, Version, decode};

pub(crate) use crate::Version::{V5, V31, V311};

pub(crate) fn identifier(value: u16) -> PacketIdentifier {
    PacketIdentifier::new(value).expect("tests use identifiers above 0")
}

pub(crate) fn buffer(properties: &[Property<'_>]) -> PropertiesBuffer {
    let mut buffer = PropertiesBuffer::new();
    for property in properties {
        buffer.push(*property).expect("tests use legal properties");
    }
    buffer
}

/// The packet is written as these bytes and read from them.
#[track_caller]
pub(crate) fn same(packet: Packet<'_>, version: Version, bytes: &[u8]) {
    assert_eq!(written(packet, version).as_deref(), Ok(bytes));
    assert_eq!(packet.encoded_len(version), bytes.len());
    assert_eq!(read(bytes, version), Ok(packet));
}

/// What stands in the bytes, which are one whole packet.
#[track_caller]
pub(crate) fn read(bytes: &[u8], version: Version) -> Result<Packet<'_>, DecodeError> {
    let decoded = decode(bytes, version, MAX_PACKET_SIZE)?;
    let (packet, used) = decoded.expect("tests give whole packets");
    assert_eq!(used, bytes.len());
    Ok(packet)
}

/// The bytes of a packet; a refused one leaves no trace in the output.
#[track_caller]
pub(crate) fn written(packet: Packet<'_>, version: Version) -> Result<Vec<u8>, EncodeError> {
    let mut out = vec![0xAA];
    let result = packet.encode(version, &mut out);
    let bytes = out.split_off(1);
    if result.is_err() {
        assert_eq!(bytes, []);
    }
    result.map(|()| bytes)
}

/// A packet of this first byte with this body, shorter than 128 bytes.
pub(crate) fn framed(first_byte: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first_byte, u8::try_from(body.len()).expect("a short body")];
    assert!(body.len() < 128);
    bytes.extend_from_slice(body);
    bytes
}

/// Why a packet of this first byte with this body is refused.
#[track_caller]
pub(crate) fn refused(first_byte: u8, body: &[u8], version: Version) -> DecodeError {
    read(&framed(first_byte, body), version).expect_err("the packet must be refused")
}

pub(crate) const NONE: Properties<'static> = Properties::EMPTY;
