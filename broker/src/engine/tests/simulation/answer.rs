//! What the broker must answer, at once and in the order of the requests.

use mqtt::{AckType, Packet, PacketIdentifier, QoS, ReasonCode, Version};

use super::super::super::Limits;

/// One packet that must follow.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Refusal(u8),
    ConnAck {
        session_present: bool,
        /// What the client asked for, and what is in force.
        expiry: (u32, u32),
        keep_alive: (u16, u16),
        assigned: bool,
    },
    Ack(AckType, PacketIdentifier, ReasonCode),
    SubAck(PacketIdentifier, Vec<u8>),
    UnsubAck(PacketIdentifier, Vec<u8>),
    PingResp,
    Disconnect(ReasonCode),
}

impl Answer {
    /// Whether this is the packet that must follow.
    pub(super) fn is(&self, packet: &Packet<'_>, version: Version, limits: &Limits) -> bool {
        match (self, packet) {
            (&Answer::Refusal(code), Packet::ConnAck(it)) => it.code == code && !it.session_present,
            (Answer::ConnAck { .. }, Packet::ConnAck(it)) => {
                it.code == 0 && self.promises(it, version, limits)
            }
            (&Answer::Ack(kind, identifier, reason), packet) => {
                let ack = match (kind, packet) {
                    (AckType::PubAck, Packet::PubAck(ack))
                    | (AckType::PubRec, Packet::PubRec(ack))
                    | (AckType::PubRel, Packet::PubRel(ack))
                    | (AckType::PubComp, Packet::PubComp(ack)) => ack,
                    _ => return false,
                };
                // 3.x has no reason codes.
                ack.packet_identifier == identifier
                    && (version < Version::V5 || ack.reason == reason)
            }
            (Answer::SubAck(identifier, codes), Packet::SubAck(it)) => {
                it.packet_identifier == *identifier && it.codes == codes
            }
            (Answer::UnsubAck(identifier, codes), Packet::UnsubAck(it)) => {
                it.packet_identifier == *identifier && (version < Version::V5 || it.codes == codes)
            }
            (Answer::PingResp, Packet::PingResp) => true,
            (Answer::Disconnect(reason), Packet::Disconnect(it)) => it.reason == *reason,
            _ => false,
        }
    }

    /// Whether CONNACK says what is in force.
    fn promises(&self, connack: &mqtt::ConnAck<'_>, version: Version, limits: &Limits) -> bool {
        let &Answer::ConnAck {
            session_present,
            expiry,
            keep_alive,
            assigned,
        } = self
        else {
            return false;
        };
        let it = connack.properties;
        let is_present = session_present && version > Version::V31;
        connack.session_present == is_present
            && (version < Version::V5
                || (it.session_expiry_interval().unwrap_or(expiry.0) == expiry.1
                    && it.server_keep_alive().unwrap_or(keep_alive.0) == keep_alive.1
                    && it.assigned_client_identifier().is_some() == assigned
                    && it.receive_maximum().unwrap_or(u16::MAX) == limits.max_inflight
                    && it.maximum_qos().unwrap_or(2) == limits.max_qos as u8
                    && it.retain_available().unwrap_or(true) == limits.retain_available
                    && it.maximum_packet_size().unwrap_or(Limits::LARGEST_PACKET)
                        == limits.max_packet_size
                    && it.topic_alias_maximum().unwrap_or(0) == limits.max_topic_alias))
    }
}

/// The code for a client of this version.
pub(super) fn code(version: Version, new: ReasonCode, old: u8) -> u8 {
    match version {
        Version::V5 => new as u8,
        _ => old,
    }
}

/// The QoS that is granted.
pub(super) fn granted(wanted: QoS, limits: &Limits) -> QoS {
    wanted.min(limits.max_qos)
}
