//! Reads the fields of a packet's body one after the other, borrowing.

use crate::{DecodeError, PacketIdentifier, characters, varint};

/// The part of a body that is not read yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    #[inline]
    pub(crate) const fn new(rest: &'a [u8]) -> Self {
        Self { rest }
    }

    #[inline]
    pub(crate) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// All that is left.
    #[inline]
    pub(crate) const fn rest(self) -> &'a [u8] {
        self.rest
    }

    /// Refuses what is left.
    #[inline]
    pub(crate) const fn finish(self) -> Result<(), DecodeError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(DecodeError::TrailingBytes)
        }
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (array, rest) = self
            .rest
            .split_first_chunk()
            .ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(*array)
    }

    #[inline]
    pub(crate) fn u8(&mut self) -> Result<u8, DecodeError> {
        self.array().map(u8::from_be_bytes)
    }

    #[inline]
    pub(crate) fn u16(&mut self) -> Result<u16, DecodeError> {
        self.array().map(u16::from_be_bytes)
    }

    #[inline]
    pub(crate) fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_be_bytes)
    }

    /// A Variable Byte Integer of the fewest bytes [MQTT-1.5.5-1].
    #[inline]
    pub(crate) fn varint(&mut self) -> Result<u32, DecodeError> {
        match varint::parse(self.rest) {
            Ok(Some((value, len))) if len == varint::len(value) => {
                self.rest = &self.rest[len..];
                Ok(value)
            }
            Ok(Some(_)) => Err(DecodeError::VariableByteIntegerNotMinimal),
            Ok(None) => Err(DecodeError::Truncated),
            Err(varint::TooLong) => Err(DecodeError::VariableByteIntegerTooLong),
        }
    }

    #[inline]
    pub(crate) fn bytes(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        let (bytes, rest) = self
            .rest
            .split_at_checked(len)
            .ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(bytes)
    }

    /// Binary Data: a length of two bytes and so many bytes (MQTT 5.0 section 1.5.6).
    #[inline]
    pub(crate) fn binary(&mut self) -> Result<&'a [u8], DecodeError> {
        let len = self.u16()?;
        self.bytes(usize::from(len))
    }

    /// A UTF-8 Encoded String [MQTT-1.5.4-1] [MQTT-1.5.4-2] without control characters and non-characters.
    #[inline]
    pub(crate) fn string(&mut self) -> Result<&'a str, DecodeError> {
        let string = utf8(self.binary()?)?;
        characters::check(string)?;
        Ok(string)
    }

    /// A Packet Identifier, which is not 0 [MQTT-2.2.1-3].
    #[inline]
    pub(crate) fn packet_identifier(&mut self) -> Result<PacketIdentifier, DecodeError> {
        PacketIdentifier::new(self.u16()?).ok_or(DecodeError::PacketIdentifierZero)
    }
}

/// Well-formed UTF-8 without surrogates, U+FEFF kept [MQTT-1.5.4-1] [MQTT-1.5.4-3]: what a `str` is.
#[inline]
pub(crate) fn utf8(bytes: &[u8]) -> Result<&str, DecodeError> {
    core::str::from_utf8(bytes).map_err(|_| DecodeError::NotUtf8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn string(bytes: &[u8]) -> Result<&str, DecodeError> {
        let mut reader = Reader::new(bytes);
        let string = reader.string()?;
        reader.finish()?;
        Ok(string)
    }

    #[test]
    fn numbers_are_big_endian() {
        let mut reader = Reader::new(&[0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07]);
        assert_eq!(reader.u8(), Ok(0x01));
        assert_eq!(reader.u16(), Ok(0x0203));
        assert_eq!(reader.u32(), Ok(0x0405_0607));
        assert_eq!(reader.finish(), Ok(()));
    }

    #[test]
    fn the_example_string_of_the_standard() {
        // "A" and U+2A6D4 (MQTT 5.0 section 1.5.4.1).
        assert_eq!(
            string(&[0x00, 0x05, 0x41, 0xF0, 0xAA, 0x9B, 0x94]),
            Ok("A\u{2A6D4}")
        );
    }

    #[test]
    fn a_byte_order_mark_is_kept() {
        assert_eq!(
            string(&[0x00, 0x04, 0xEF, 0xBB, 0xBF, 0x41]),
            Ok("\u{FEFF}A")
        );
    }

    #[test]
    fn ill_formed_utf8_is_refused() {
        for bytes in [
            &[0xED, 0xA0, 0x80][..],   // U+D800, a surrogate
            &[0xED, 0xBF, 0xBF],       // U+DFFF, a surrogate
            &[0xC0, 0x80],             // U+0000 in two bytes
            &[0xC1, 0xBF],             // overlong
            &[0xE0, 0x9F, 0xBF],       // overlong
            &[0xF0, 0x8F, 0xBF, 0xBF], // overlong
            &[0xF4, 0x90, 0x80, 0x80], // above U+10FFFF
            &[0xE2, 0x82],             // cut off
            &[0x80],                   // a continuation alone
            &[0xFF],
        ] {
            let mut field = vec![0, bytes.len() as u8];
            field.extend_from_slice(bytes);
            assert_eq!(string(&field), Err(DecodeError::NotUtf8), "{bytes:02x?}");
        }
    }

    #[test]
    fn control_characters_and_non_characters_are_refused() {
        assert_eq!(
            string(&[0, 3, b'a', 0, b'b']),
            Err(DecodeError::NulInString)
        );
        for refused in ["\u{1}", "a\n", "\u{7F}", "\u{80}", "\u{FFFF}"] {
            let field = [&[0, refused.len() as u8], refused.as_bytes()].concat();
            assert_eq!(string(&field), Err(DecodeError::ControlCharacter));
        }
        assert_eq!(string(&[0, 2, 0xC2, 0xA0]), Ok("\u{A0}"));
    }

    #[test]
    fn fields_beyond_the_end_are_refused() {
        for bytes in [&[][..], &[0], &[0, 1], &[0, 2, b'a'], &[0xFF, 0xFF, b'a']] {
            assert_eq!(string(bytes), Err(DecodeError::Truncated));
        }
        assert_eq!(Reader::new(&[]).u8(), Err(DecodeError::Truncated));
        assert_eq!(Reader::new(&[1]).u16(), Err(DecodeError::Truncated));
        assert_eq!(Reader::new(&[1, 2, 3]).u32(), Err(DecodeError::Truncated));
    }

    #[test]
    fn variable_byte_integers_are_minimal_and_complete() {
        assert_eq!(Reader::new(&[0x80, 0x01]).varint(), Ok(128));
        let refused = |bytes| Reader::new(bytes).varint().expect_err("refused");
        assert_eq!(
            refused(&[0x80, 0x00]),
            DecodeError::VariableByteIntegerNotMinimal
        );
        assert_eq!(
            refused(&[0xFF, 0x80, 0x00]),
            DecodeError::VariableByteIntegerNotMinimal
        );
        assert_eq!(refused(&[0x80]), DecodeError::Truncated);
        assert_eq!(refused(&[0xFF; 5]), DecodeError::VariableByteIntegerTooLong);
    }

    #[test]
    fn a_packet_identifier_is_not_zero() {
        assert_eq!(
            Reader::new(&[0, 0]).packet_identifier(),
            Err(DecodeError::PacketIdentifierZero)
        );
        let largest = Reader::new(&[0xFF, 0xFF]).packet_identifier();
        assert_eq!(largest.map(PacketIdentifier::get), Ok(65_535));
    }
}
