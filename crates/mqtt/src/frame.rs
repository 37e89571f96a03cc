//! The fixed header: what a packet is and where it ends (MQTT 5.0 section 2.1).

use crate::{DecodeError, varint};

/// The size of the largest packet that the wire format allows: type, four bytes of Remaining Length, and the rest.
pub const MAX_PACKET_SIZE: u32 = 1 + 4 + varint::MAX;

/// The fixed header of a packet, the rest of which may still be missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Packet type and flags.
    pub first_byte: u8,
    /// The length of the fixed header.
    pub header_len: usize,
    /// The length of the whole packet, fixed header included.
    pub total_len: usize,
}

impl Frame {
    /// Whether the Remaining Length has the fewest bytes, which MQTT 5.0 demands [MQTT-1.5.5-1] and 3.x does not.
    #[inline]
    pub const fn is_minimal(&self) -> bool {
        self.header_len == 1 + varint::len((self.total_len - self.header_len) as u32)
    }
}

/// Looks at the fixed header at the start of `input`; `None` means that bytes of it are missing.
///
/// A Remaining Length that is none, and a packet larger than `max_packet_size`, are refused before anything behind the
/// fixed header is there.
#[inline]
pub fn frame(input: &[u8], max_packet_size: u32) -> Result<Option<Frame>, DecodeError> {
    let Some((&first_byte, rest)) = input.split_first() else {
        return Ok(None);
    };
    let (remaining, len) = match varint::parse(rest) {
        Ok(Some(found)) => found,
        Ok(None) => return Ok(None),
        Err(varint::TooLong) => return Err(DecodeError::RemainingLengthTooLong),
    };
    // At most MAX_PACKET_SIZE: neither this sum nor the conversion to usize can overflow, on 32 bits either.
    let header = 1 + len as u32;
    let size = header + remaining;
    if size > max_packet_size {
        return Err(DecodeError::PacketTooLarge {
            size,
            limit: max_packet_size,
        });
    }
    Ok(Some(Frame {
        first_byte,
        header_len: header as usize,
        total_len: size as usize,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NO_LIMIT: u32 = MAX_PACKET_SIZE;

    #[test]
    fn the_header_is_enough() {
        let expected = Frame {
            first_byte: 0x30,
            header_len: 3,
            total_len: 3 + 16_383,
        };
        assert_eq!(frame(&[0x30, 0xFF, 0x7F], NO_LIMIT), Ok(Some(expected)));
        assert!(expected.is_minimal());
    }

    #[test]
    fn a_part_of_the_header_is_waited_for() {
        for input in [&[][..], &[0x30], &[0x30, 0x80], &[0x30, 0xFF, 0xFF, 0xFF]] {
            assert_eq!(frame(input, NO_LIMIT), Ok(None));
        }
    }

    #[test]
    fn the_largest_packet_fits() {
        let largest = frame(&[0x30, 0xFF, 0xFF, 0xFF, 0x7F], NO_LIMIT)
            .expect("legal")
            .expect("complete");
        assert_eq!(largest.total_len, 268_435_460);
    }

    #[test]
    fn a_fifth_byte_of_remaining_length_is_refused() {
        let refused = Err(DecodeError::RemainingLengthTooLong);
        assert_eq!(frame(&[0x30, 0x80, 0x80, 0x80, 0x80], NO_LIMIT), refused);
    }

    #[test]
    fn the_limit_counts_the_fixed_header() {
        // Two bytes of header and ten of body.
        assert!(frame(&[0x30, 10], 12).is_ok());
        let refused = Err(DecodeError::PacketTooLarge {
            size: 12,
            limit: 11,
        });
        assert_eq!(frame(&[0x30, 10], 11), refused);
    }

    #[test]
    fn a_large_packet_is_refused_by_its_header_alone() {
        let refused = Err(DecodeError::PacketTooLarge {
            size: 268_435_460,
            limit: 1 << 20,
        });
        assert_eq!(frame(&[0x10, 0xFF, 0xFF, 0xFF, 0x7F], 1 << 20), refused);
    }

    #[test]
    fn padding_is_seen() {
        let padded = frame(&[0xC0, 0x80, 0x00], NO_LIMIT)
            .expect("legal")
            .expect("complete");
        assert_eq!((padded.header_len, padded.total_len), (3, 3));
        assert!(!padded.is_minimal());
    }
}
