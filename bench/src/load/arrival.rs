//! A message as a subscriber is sent it.

use mqtt::Version;

/// A PUBLISH as far as it is looked at.
pub(super) struct Arrival<'a> {
    pub(super) qos: u8,
    pub(super) topic: &'a [u8],
    pub(super) identifier: Option<[u8; 2]>,
    pub(super) payload: &'a [u8],
}

impl<'a> Arrival<'a> {
    /// Nothing if it is no PUBLISH, or one with DUP, RETAIN or properties, which nobody has asked for.
    #[inline]
    pub(super) fn read(first_byte: u8, body: &'a [u8], version: Version) -> Option<Arrival<'a>> {
        let qos = match first_byte {
            0x30 => 0,
            0x32 => 1,
            0x34 => 2,
            _ => return None,
        };
        let (len, rest) = body.split_first_chunk()?;
        let (topic, rest) = rest.split_at_checked(u16::from_be_bytes(*len).into())?;
        let (identifier, payload) = match qos {
            0 => (None, rest),
            _ => rest
                .split_first_chunk()
                .map(|(identifier, rest)| (Some(*identifier), rest))?,
        };
        let payload = match version {
            Version::V5 => payload.strip_prefix(&[0])?,
            _ => payload,
        };
        Some(Arrival {
            qos,
            topic,
            identifier,
            payload,
        })
    }
}
