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
