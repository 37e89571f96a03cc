//! Appends the fields of a packet. Lengths are checked before anything is written, so a failed encode leaves no trace.

use crate::{DecodeError, EncodeError, PacketIdentifier, characters, varint};

/// Writes the fixed header and makes room for the body, whose length must be exactly `remaining_length`.
#[inline]
pub(crate) fn fixed_header(
    out: &mut Vec<u8>,
    first_byte: u8,
    remaining_length: usize,
) -> Result<(), EncodeError> {
    remaining(remaining_length)?;
    out.reserve(packet_len(remaining_length));
    bare_fixed_header(out, first_byte, remaining_length)
}

/// Writes the fixed header and makes no room for the body, most of which goes another way.
#[inline]
pub(crate) fn bare_fixed_header(
    out: &mut Vec<u8>,
    first_byte: u8,
    remaining_length: usize,
) -> Result<(), EncodeError> {
    let length = remaining(remaining_length)?;
    out.push(first_byte);
    varint::put(out, length);
    Ok(())
}

/// The length of a packet whose body has this length.
#[inline]
pub(crate) fn packet_len(remaining_length: usize) -> usize {
    1 + varint_len(remaining_length) + remaining_length
}

/// The bytes that a length takes as Variable Byte Integer; 4 for one that is too large.
#[inline]
pub(crate) fn varint_len(length: usize) -> usize {
    varint::len(u32::try_from(length).unwrap_or(u32::MAX))
}

#[inline]
fn remaining(length: usize) -> Result<u32, EncodeError> {
    u32::try_from(length)
        .ok()
        .filter(|&length| length <= varint::MAX)
        .ok_or(EncodeError::PacketTooLarge)
}

#[inline]
pub(crate) fn put_u16(out: &mut Vec<u8>, value: u16) {
    out.extend_from_slice(&value.to_be_bytes());
}

#[inline]
pub(crate) fn put_packet_identifier(out: &mut Vec<u8>, identifier: PacketIdentifier) {
    put_u16(out, identifier.get());
}

/// Binary Data or a string, which [`check_binary`] or [`check_string`] has passed.
#[inline]
pub(crate) fn put_binary(out: &mut Vec<u8>, bytes: &[u8]) {
    debug_assert!(bytes.len() <= usize::from(u16::MAX));
    put_u16(out, bytes.len() as u16);
    out.extend_from_slice(bytes);
}

/// Binary Data has at most 65,535 bytes.
#[inline]
pub(crate) fn check_binary(bytes: &[u8]) -> Result<(), EncodeError> {
    if bytes.len() > usize::from(u16::MAX) {
        Err(EncodeError::FieldTooLong)
    } else {
        Ok(())
    }
}

/// A string has at most 65,535 bytes, no U+0000 [MQTT-1.5.4-2] and nothing else that the reader refuses.
#[inline]
pub(crate) fn check_string(string: &str) -> Result<(), EncodeError> {
    check_binary(string.as_bytes())?;
    characters::check(string).map_err(DecodeError::from)?;
    Ok(())
}
