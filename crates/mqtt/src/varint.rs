//! The Variable Byte Integer (MQTT 5.0 section 1.5.5): seven bits a byte, the least significant first.

/// The largest value that four bytes hold.
pub(crate) const MAX: u32 = 268_435_455;

/// A fourth byte announces a fifth, which the standard does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooLong;

/// The value at the start of `input` and the bytes it takes; `None` when bytes are missing.
///
/// Whether it uses the fewest bytes [MQTT-1.5.5-1] is seen by comparing with [`len`].
#[inline]
pub(crate) fn parse(input: &[u8]) -> Result<Option<(u32, usize)>, TooLong> {
    let mut value = 0;
    for (index, &byte) in input.iter().take(4).enumerate() {
        value |= u32::from(byte & 0x7F) << (7 * index);
        if byte & 0x80 == 0 {
            return Ok(Some((value, index + 1)));
        }
    }
    if input.len() < 4 {
        Ok(None)
    } else {
        Err(TooLong)
    }
}

/// The fewest bytes that hold `value`.
#[inline]
pub(crate) const fn len(value: u32) -> usize {
    match value {
        0..=0x7F => 1,
        0x80..=0x3FFF => 2,
        0x4000..=0x1F_FFFF => 3,
        _ => 4,
    }
}

/// Appends `value`, which is at most [`MAX`].
#[inline]
pub(crate) fn put(out: &mut Vec<u8>, mut value: u32) {
    debug_assert!(value <= MAX);
    while value > 0x7F {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Table 1-1 of MQTT 5.0.
    const BORDERS: [(u32, &[u8]); 8] = [
        (0, &[0x00]),
        (127, &[0x7F]),
        (128, &[0x80, 0x01]),
        (16_383, &[0xFF, 0x7F]),
        (16_384, &[0x80, 0x80, 0x01]),
        (2_097_151, &[0xFF, 0xFF, 0x7F]),
        (2_097_152, &[0x80, 0x80, 0x80, 0x01]),
        (MAX, &[0xFF, 0xFF, 0xFF, 0x7F]),
    ];

    #[test]
    fn the_borders_of_the_standard() {
        for (value, bytes) in BORDERS {
            let mut out = Vec::new();
            put(&mut out, value);
            assert_eq!(out, bytes);
            assert_eq!(len(value), bytes.len());
            assert_eq!(parse(bytes), Ok(Some((value, bytes.len()))));
        }
    }

    #[test]
    fn missing_bytes_are_waited_for() {
        for (_, bytes) in BORDERS {
            for end in 0..bytes.len() {
                assert_eq!(parse(&bytes[..end]), Ok(None));
            }
        }
    }

    #[test]
    fn a_fifth_byte_is_refused_as_soon_as_it_is_announced() {
        assert_eq!(parse(&[0x80, 0x80, 0x80, 0x80]), Err(TooLong));
        assert_eq!(parse(&[0xFF, 0xFF, 0xFF, 0xFF, 0x01]), Err(TooLong));
    }

    #[test]
    fn what_follows_is_left_alone() {
        assert_eq!(parse(&[0x05, 0xFF, 0xFF]), Ok(Some((5, 1))));
    }

    #[test]
    fn padding_shows_in_the_length() {
        let (value, used) = parse(&[0x85, 0x00])
            .expect("not too long")
            .expect("complete");
        assert_eq!((value, used), (5, 2));
        assert_ne!(len(value), used);
    }
}
