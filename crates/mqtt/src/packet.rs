//! Any MQTT Control Packet, out of bytes and into them.

use crate::{
    Ack, AckType, Auth, ConnAck, Connect, DecodeError, Disconnect, EncodeError, PacketType,
    Publish, SubAck, Subscribe, UnsubAck, Unsubscribe, Version, frame, writer,
};

/// An MQTT Control Packet, borrowing from the bytes that it was decoded from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packet<'a> {
    /// CONNECT.
    Connect(Connect<'a>),
    /// CONNACK.
    ConnAck(ConnAck<'a>),
    /// PUBLISH.
    Publish(Publish<'a>),
    /// PUBACK.
    PubAck(Ack<'a>),
    /// PUBREC.
    PubRec(Ack<'a>),
    /// PUBREL.
    PubRel(Ack<'a>),
    /// PUBCOMP.
    PubComp(Ack<'a>),
    /// SUBSCRIBE.
    Subscribe(Subscribe<'a>),
    /// SUBACK.
    SubAck(SubAck<'a>),
    /// UNSUBSCRIBE.
    Unsubscribe(Unsubscribe<'a>),
    /// UNSUBACK.
    UnsubAck(UnsubAck<'a>),
    /// PINGREQ.
    PingReq,
    /// PINGRESP.
    PingResp,
    /// DISCONNECT.
    Disconnect(Disconnect<'a>),
    /// AUTH, of MQTT 5.0 only.
    Auth(Auth<'a>),
}

/// Decodes the packet at the start of `input` and tells how many bytes it takes; `None` means that bytes are missing.
///
/// `version` is the connection's; a CONNECT carries its own. What the first byte or the Remaining Length already
/// tells is refused before the rest is there.
#[inline]
pub fn decode(
    input: &[u8],
    version: Version,
    max_packet_size: u32,
) -> Result<Option<(Packet<'_>, usize)>, DecodeError> {
    let Some(&first_byte) = input.first() else {
        return Ok(None);
    };
    let packet_type = check_first_byte(first_byte, version)?;
    let Some(frame) = frame(input, max_packet_size)? else {
        return Ok(None);
    };
    // 3.x does not forbid a padded Remaining Length, 5.0 does [MQTT-1.5.5-1]. A CONNECT knows by which it goes.
    if version == Version::V5 && packet_type != PacketType::Connect && !frame.is_minimal() {
        return Err(DecodeError::VariableByteIntegerNotMinimal);
    }
    let Some(body) = input.get(frame.header_len..frame.total_len) else {
        return Ok(None);
    };
    let packet = match packet_type {
        PacketType::Publish => Packet::Publish(Publish::parse(first_byte, body, version)?),
        PacketType::PubAck => Packet::PubAck(Ack::parse(AckType::PubAck, body, version)?),
        PacketType::PubRec => Packet::PubRec(Ack::parse(AckType::PubRec, body, version)?),
        PacketType::PubRel => Packet::PubRel(Ack::parse(AckType::PubRel, body, version)?),
        PacketType::PubComp => Packet::PubComp(Ack::parse(AckType::PubComp, body, version)?),
        PacketType::Connect => Packet::Connect(Connect::parse(body, frame.is_minimal())?),
        PacketType::ConnAck => Packet::ConnAck(ConnAck::parse(body, version)?),
        PacketType::Subscribe => Packet::Subscribe(Subscribe::parse(body, version)?),
        PacketType::SubAck => Packet::SubAck(SubAck::parse(body, version)?),
        PacketType::Unsubscribe => Packet::Unsubscribe(Unsubscribe::parse(body, version)?),
        PacketType::UnsubAck => Packet::UnsubAck(UnsubAck::parse(body, version)?),
        PacketType::PingReq => bare(Packet::PingReq, body)?,
        PacketType::PingResp => bare(Packet::PingResp, body)?,
        PacketType::Disconnect => Packet::Disconnect(Disconnect::parse(body, version)?),
        PacketType::Auth => Packet::Auth(Auth::parse(body)?),
    };
    Ok(Some((packet, frame.total_len)))
}

/// Type and flags [MQTT-2.1.3-1]. 3.1 sets DUP in more packets than PUBLISH and does not use the other flags there.
#[inline]
fn check_first_byte(first_byte: u8, version: Version) -> Result<PacketType, DecodeError> {
    let packet_type = PacketType::of(first_byte, version)?;
    if packet_type == PacketType::Publish {
        Publish::flags(first_byte)?;
    } else if first_byte != packet_type.first_byte()
        && (version > Version::V31 || packet_type == PacketType::Connect)
    {
        return Err(DecodeError::FixedHeaderFlags(first_byte));
    }
    Ok(packet_type)
}

/// PINGREQ and PINGRESP have nothing behind the fixed header.
fn bare<'a>(packet: Packet<'a>, body: &[u8]) -> Result<Packet<'a>, DecodeError> {
    if body.is_empty() {
        Ok(packet)
    } else {
        Err(DecodeError::TrailingBytes)
    }
}

impl Packet<'_> {
    /// Its type.
    pub const fn packet_type(&self) -> PacketType {
        match self {
            Self::Connect(_) => PacketType::Connect,
            Self::ConnAck(_) => PacketType::ConnAck,
            Self::Publish(_) => PacketType::Publish,
            Self::PubAck(_) => PacketType::PubAck,
            Self::PubRec(_) => PacketType::PubRec,
            Self::PubRel(_) => PacketType::PubRel,
            Self::PubComp(_) => PacketType::PubComp,
            Self::Subscribe(_) => PacketType::Subscribe,
            Self::SubAck(_) => PacketType::SubAck,
            Self::Unsubscribe(_) => PacketType::Unsubscribe,
            Self::UnsubAck(_) => PacketType::UnsubAck,
            Self::PingReq => PacketType::PingReq,
            Self::PingResp => PacketType::PingResp,
            Self::Disconnect(_) => PacketType::Disconnect,
            Self::Auth(_) => PacketType::Auth,
        }
    }

    /// Appends the packet; on an error `out` is as it was. A CONNECT goes by its own version.
    ///
    /// 3.x has neither properties nor the Reason Codes of acknowledgements: they are left out.
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        match self {
            Self::Connect(packet) => packet.encode(out),
            Self::ConnAck(packet) => packet.encode(version, out),
            Self::Publish(packet) => packet.encode(version, out),
            Self::PubAck(packet) => packet.encode(AckType::PubAck, version, out),
            Self::PubRec(packet) => packet.encode(AckType::PubRec, version, out),
            Self::PubRel(packet) => packet.encode(AckType::PubRel, version, out),
            Self::PubComp(packet) => packet.encode(AckType::PubComp, version, out),
            Self::Subscribe(packet) => packet.encode(version, out),
            Self::SubAck(packet) => packet.encode(version, out),
            Self::Unsubscribe(packet) => packet.encode(version, out),
            Self::UnsubAck(packet) => packet.encode(version, out),
            Self::PingReq | Self::PingResp => {
                writer::fixed_header(out, self.packet_type().first_byte(), 0)
            }
            Self::Disconnect(packet) => packet.encode(version, out),
            Self::Auth(packet) => packet.encode(version, out),
        }
    }

    /// The length of the encoded packet.
    pub fn encoded_len(&self, version: Version) -> usize {
        match self {
            Self::Connect(packet) => packet.encoded_len(),
            Self::ConnAck(packet) => packet.encoded_len(version),
            Self::Publish(packet) => packet.encoded_len(version),
            Self::PubAck(packet)
            | Self::PubRec(packet)
            | Self::PubRel(packet)
            | Self::PubComp(packet) => packet.encoded_len(version),
            Self::Subscribe(packet) => packet.encoded_len(version),
            Self::SubAck(packet) => packet.encoded_len(version),
            Self::Unsubscribe(packet) => packet.encoded_len(version),
            Self::UnsubAck(packet) => packet.encoded_len(version),
            Self::PingReq | Self::PingResp => 2,
            Self::Disconnect(packet) => packet.encoded_len(version),
            Self::Auth(packet) => packet.encoded_len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{V5, V31, V311, read, refused, same};
    use crate::{Ack, MAX_PACKET_SIZE};

    #[test]
    fn pings() {
        for version in [V31, V311, V5] {
            same(Packet::PingReq, version, &[0xC0, 0]);
            same(Packet::PingResp, version, &[0xD0, 0]);
            assert_eq!(refused(0xC0, &[0], version), DecodeError::TrailingBytes);
            assert_eq!(refused(0xD0, &[0], version), DecodeError::TrailingBytes);
        }
    }

    #[test]
    fn packets_follow_one_another() {
        let input = [0xC0, 0, 0x40, 2, 0, 1, 0xD0];
        let (first, used) = decode(&input, V311, MAX_PACKET_SIZE)
            .expect("legal")
            .expect("complete");
        assert_eq!((first, used), (Packet::PingReq, 2));
        let (second, used) = decode(&input[2..], V311, MAX_PACKET_SIZE)
            .expect("legal")
            .expect("complete");
        let one = crate::PacketIdentifier::MIN;
        assert_eq!((second, used), (Packet::PubAck(Ack::new(one)), 4));
        assert_eq!(decode(&input[6..], V311, MAX_PACKET_SIZE), Ok(None));
        assert_eq!(decode(&[], V311, MAX_PACKET_SIZE), Ok(None));
    }

    #[test]
    fn flags_are_fixed_and_seen_in_the_first_byte() {
        for first_byte in 0..=u8::MAX {
            let fits = matches!(
                first_byte,
                0x10 | 0x20 | 0x30..=0x35 | 0x3A..=0x3D | 0x40 | 0x50 | 0x62 | 0x70 | 0x82 | 0x90 | 0xA2 | 0xB0 | 0xC0
                    | 0xD0 | 0xE0
            );
            for (version, fits) in [(V311, fits), (V5, fits || first_byte == 0xF0)] {
                let input = [first_byte];
                let decoded = decode(&input, version, MAX_PACKET_SIZE);
                assert_eq!(decoded == Ok(None), fits, "{first_byte:02x}: {decoded:?}");
            }
        }
    }

    #[test]
    fn version_3_1_resends_more_than_publish() {
        let (packet, _) = decode(b"\x8A\x06\x00\x01\x00\x01a\x00", V31, MAX_PACKET_SIZE)
            .expect("legal")
            .expect("all");
        assert_eq!(packet.packet_type(), PacketType::Subscribe);
        assert!(decode(&[0x6A, 2, 0, 1], V31, MAX_PACKET_SIZE).is_ok());
        assert_eq!(
            decode(&[0x6A, 2, 0, 1], V311, MAX_PACKET_SIZE),
            Err(DecodeError::FixedHeaderFlags(0x6A))
        );
        assert_eq!(
            decode(&[0x18], V31, MAX_PACKET_SIZE),
            Err(DecodeError::FixedHeaderFlags(0x18))
        );
    }

    #[test]
    fn reserved_types() {
        for version in [V31, V311, V5] {
            assert_eq!(
                decode(&[0x00], version, MAX_PACKET_SIZE),
                Err(DecodeError::ReservedPacketType(0))
            );
        }
        assert_eq!(
            decode(&[0xF0], V31, MAX_PACKET_SIZE),
            Err(DecodeError::ReservedPacketType(15))
        );
    }

    #[test]
    fn a_large_packet_is_refused_before_it_is_there() {
        // A Remaining Length of 1,000,000.
        let refused = Err(DecodeError::PacketTooLarge {
            size: 1_000_004,
            limit: 1000,
        });
        assert_eq!(decode(&[0x30, 0xC0, 0x84, 0x3D], V311, 1000), refused);
    }

    #[test]
    fn padding_of_the_remaining_length_is_refused_by_5_alone() {
        assert_eq!(read(&[0xC0, 0x80, 0x00], V31), Ok(Packet::PingReq));
        assert_eq!(
            read(&[0xC0, 0x80, 0x80, 0x80, 0x00], V311),
            Ok(Packet::PingReq)
        );
        let refused = Err(DecodeError::VariableByteIntegerNotMinimal);
        assert_eq!(read(&[0xC0, 0x80, 0x00], V5), refused);
        assert_eq!(
            decode(&[0x30, 0x85, 0x00], V5, MAX_PACKET_SIZE).map(drop),
            refused.map(drop)
        );
    }

    #[test]
    fn encoding_appends() {
        let mut out = vec![1, 2, 3];
        Packet::PingReq.encode(V5, &mut out).expect("legal");
        Packet::PingResp.encode(V5, &mut out).expect("legal");
        assert_eq!(out, [1, 2, 3, 0xC0, 0, 0xD0, 0]);
    }

    #[test]
    fn no_variant_is_out_of_proportion() {
        // A packet is moved around on the way of every PUBLISH.
        assert!(size_of::<Packet<'_>>() <= 22 * size_of::<usize>());
    }
}
