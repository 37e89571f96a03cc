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
