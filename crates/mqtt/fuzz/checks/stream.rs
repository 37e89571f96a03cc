//! A stream gives the same packets wherever the network cuts it.

use mqtt::{DecodeError, MAX_PACKET_SIZE, Version, decode};

/// The first byte chooses the version, the next three how long the pieces are; the rest is the stream.
pub(crate) fn check(data: &[u8]) {
    let Some((&[version, pieces @ ..], stream)) = data.split_first_chunk::<4>() else {
        return;
    };
    let version = match version % 3 {
        0 => Version::V31,
        1 => Version::V311,
        _ => Version::V5,
    };
    let mut whole = Reception::new(version);
    whole.receive(stream);
    let mut cut = Reception::new(version);
    let mut lengths = pieces.iter().cycle().map(|&byte| usize::from(byte) + 1);
    let mut rest = stream;
    while !rest.is_empty() {
        let length = lengths.next().map_or(1, |length| length.min(rest.len()));
        let (piece, after) = rest.split_at(length);
        cut.receive(piece);
        rest = after;
    }
    assert_eq!(cut, whole);
}

/// One side of a Network Connection.
#[derive(Debug, PartialEq)]
struct Reception {
    version: Version,
    /// What is no whole packet yet.
    waiting: Vec<u8>,
    /// The packets so far, written again.
    packets: Vec<Vec<u8>>,
    /// Why nothing more is read.
    error: Option<DecodeError>,
}

impl Reception {
    fn new(version: Version) -> Self {
        Self {
            version,
            waiting: Vec::new(),
            packets: Vec::new(),
            error: None,
        }
    }

    fn receive(&mut self, piece: &[u8]) {
        if self.error.is_some() {
            return;
        }
        self.waiting.extend_from_slice(piece);
        let mut used = 0;
        loop {
            match decode(&self.waiting[used..], self.version, MAX_PACKET_SIZE) {
                Ok(None) => break,
                Ok(Some((packet, len))) => {
                    let mut bytes = Vec::new();
                    // How a server of 3.x refuses 5.0 is the one packet that is not written.
                    let _ = packet.encode(self.version, &mut bytes);
                    self.packets.push(bytes);
                    used += len;
                }
                Err(error) => {
                    self.error = Some(error);
                    self.waiting.clear();
                    return;
                }
            }
        }
        self.waiting.drain(..used);
    }
}
