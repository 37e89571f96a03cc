//! The Reason Codes of MQTT 5.0 and the packets that may carry them (section 2.4).

use core::fmt;

use crate::{ConnectReturnCode, PacketType};

const CONNACK: u16 = PacketType::ConnAck.bit();
/// PUBACK and PUBREC share one list.
const PUBACK: u16 = PacketType::PubAck.bit() | PacketType::PubRec.bit();
/// PUBREL and PUBCOMP share one list.
const PUBREL: u16 = PacketType::PubRel.bit() | PacketType::PubComp.bit();
const SUBACK: u16 = PacketType::SubAck.bit();
const UNSUBACK: u16 = PacketType::UnsubAck.bit();
const DISCONNECT: u16 = PacketType::Disconnect.bit();
const AUTH: u16 = PacketType::Auth.bit();

/// One row a code: name, number, words, packets.
macro_rules! reason_codes {
    ($($name:ident = $code:literal, $words:literal, $packets:expr;)*) => {
        /// A Reason Code of MQTT 5.0 (section 2.4). `Success` is also *Normal disconnection* and *Granted QoS 0*.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum ReasonCode {
            $(
                #[doc = concat!(stringify!($code), ": ", $words, ".")]
                $name = $code,
            )*
        }

        impl ReasonCode {
            /// The set of packet types that may carry this code.
            const fn packets(self) -> u16 {
                match self {
                    $(Self::$name => $packets,)*
                }
            }

            /// What the code says, in plain words without a capital.
            pub const fn words(self) -> &'static str {
                match self {
                    $(Self::$name => $words,)*
                }
            }

            const fn from_byte(code: u8) -> Option<Self> {
                match code {
                    $($code => Some(Self::$name),)*
                    _ => None,
                }
            }
        }
    };
}

reason_codes! {
    Success = 0x00, "success", CONNACK | PUBACK | PUBREL | SUBACK | UNSUBACK | DISCONNECT | AUTH;
    GrantedQoS1 = 0x01, "granted QoS 1", SUBACK;
    GrantedQoS2 = 0x02, "granted QoS 2", SUBACK;
    DisconnectWithWillMessage = 0x04, "disconnect with Will Message", DISCONNECT;
    NoMatchingSubscribers = 0x10, "no matching subscribers", PUBACK;
    NoSubscriptionExisted = 0x11, "no subscription existed", UNSUBACK;
    ContinueAuthentication = 0x18, "continue authentication", AUTH;
    ReAuthenticate = 0x19, "re-authenticate", AUTH;
    UnspecifiedError = 0x80, "unspecified error", CONNACK | PUBACK | SUBACK | UNSUBACK | DISCONNECT;
    MalformedPacket = 0x81, "malformed packet", CONNACK | DISCONNECT;
    ProtocolError = 0x82, "protocol error", CONNACK | DISCONNECT;
    ImplementationSpecificError = 0x83, "implementation specific error", CONNACK | PUBACK | SUBACK | UNSUBACK | DISCONNECT;
    UnsupportedProtocolVersion = 0x84, "unsupported protocol version", CONNACK;
    ClientIdentifierNotValid = 0x85, "client identifier not valid", CONNACK;
    BadUserNameOrPassword = 0x86, "bad user name or password", CONNACK;
    NotAuthorized = 0x87, "not authorized", CONNACK | PUBACK | SUBACK | UNSUBACK | DISCONNECT;
    ServerUnavailable = 0x88, "server unavailable", CONNACK;
    ServerBusy = 0x89, "server busy", CONNACK | DISCONNECT;
    Banned = 0x8A, "banned", CONNACK;
    ServerShuttingDown = 0x8B, "server shutting down", DISCONNECT;
    BadAuthenticationMethod = 0x8C, "bad authentication method", CONNACK | DISCONNECT;
    KeepAliveTimeout = 0x8D, "Keep Alive timeout", DISCONNECT;
    SessionTakenOver = 0x8E, "session taken over", DISCONNECT;
    TopicFilterInvalid = 0x8F, "topic filter invalid", SUBACK | UNSUBACK | DISCONNECT;
    TopicNameInvalid = 0x90, "topic name invalid", CONNACK | PUBACK | DISCONNECT;
    PacketIdentifierInUse = 0x91, "packet identifier in use", PUBACK | SUBACK | UNSUBACK;
    PacketIdentifierNotFound = 0x92, "packet identifier not found", PUBREL;
    ReceiveMaximumExceeded = 0x93, "Receive Maximum exceeded", DISCONNECT;
    TopicAliasInvalid = 0x94, "topic alias invalid", DISCONNECT;
    PacketTooLarge = 0x95, "packet too large", CONNACK | DISCONNECT;
    MessageRateTooHigh = 0x96, "message rate too high", DISCONNECT;
    QuotaExceeded = 0x97, "quota exceeded", CONNACK | PUBACK | SUBACK | DISCONNECT;
    AdministrativeAction = 0x98, "administrative action", DISCONNECT;
    PayloadFormatInvalid = 0x99, "payload format invalid", CONNACK | PUBACK | DISCONNECT;
    RetainNotSupported = 0x9A, "retain not supported", CONNACK | DISCONNECT;
    QoSNotSupported = 0x9B, "QoS not supported", CONNACK | DISCONNECT;
    UseAnotherServer = 0x9C, "use another server", CONNACK | DISCONNECT;
    ServerMoved = 0x9D, "server moved", CONNACK | DISCONNECT;
    SharedSubscriptionsNotSupported = 0x9E, "shared subscriptions not supported", SUBACK | DISCONNECT;
    ConnectionRateExceeded = 0x9F, "connection rate exceeded", CONNACK | DISCONNECT;
    MaximumConnectTime = 0xA0, "maximum connect time", DISCONNECT;
    SubscriptionIdentifiersNotSupported = 0xA1, "subscription identifiers not supported", SUBACK | DISCONNECT;
    WildcardSubscriptionsNotSupported = 0xA2, "wildcard subscriptions not supported", SUBACK | DISCONNECT;
}

impl ReasonCode {
    /// DISCONNECT's name of 0x00.
    pub const NORMAL_DISCONNECTION: Self = Self::Success;
    /// SUBACK's name of 0x00.
    pub const GRANTED_QOS_0: Self = Self::Success;

    /// Whether the code tells of a failure: 0x80 and above.
    #[inline]
    pub const fn is_error(self) -> bool {
        self as u8 >= 0x80
    }

    /// Whether a packet of that type may carry the code.
    #[inline]
    pub const fn is_allowed_in(self, packet: PacketType) -> bool {
        self.packets() & packet.bit() != 0
    }

    /// The return code that tells a 3.x client the same in CONNACK; `None` where its standard wants the connection
    /// closed without one [MQTT-3.2.2-6 of 3.1.1].
    pub const fn connect_return_code(self) -> Option<ConnectReturnCode> {
        Some(match self {
            Self::Success => ConnectReturnCode::Accepted,
            Self::UnsupportedProtocolVersion => ConnectReturnCode::UnacceptableProtocolVersion,
            Self::ClientIdentifierNotValid => ConnectReturnCode::IdentifierRejected,
            Self::ServerUnavailable
            | Self::ServerBusy
            | Self::QuotaExceeded
            | Self::UseAnotherServer
            | Self::ServerMoved
            | Self::ConnectionRateExceeded => ConnectReturnCode::ServerUnavailable,
            Self::BadUserNameOrPassword => ConnectReturnCode::BadUserNameOrPassword,
            Self::NotAuthorized | Self::Banned => ConnectReturnCode::NotAuthorized,
            _ => return None,
        })
    }

    /// The code in `byte` if a packet of that type may carry it.
    #[inline]
    pub(crate) fn parse(byte: u8, packet: PacketType) -> Result<Self, crate::DecodeError> {
        match Self::from_byte(byte) {
            Some(code) if code.is_allowed_in(packet) => Ok(code),
            _ => Err(crate::DecodeError::ReasonCode(byte)),
        }
    }
}

impl TryFrom<u8> for ReasonCode {
    type Error = crate::DecodeError;

    fn try_from(byte: u8) -> Result<Self, Self::Error> {
        Self::from_byte(byte).ok_or(crate::DecodeError::ReasonCode(byte))
    }
}

impl From<ReasonCode> for u8 {
    fn from(code: ReasonCode) -> Self {
        code as Self
    }
}

impl fmt::Display for ReasonCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.words())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DecodeError;

    fn codes_of(packet: PacketType) -> Vec<u8> {
        (0..=u8::MAX)
            .filter(|&byte| ReasonCode::parse(byte, packet).is_ok())
            .collect()
    }

    #[test]
    fn each_packet_has_the_codes_of_its_table() {
        assert_eq!(
            codes_of(PacketType::ConnAck),
            [
                0x00, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8A, 0x8C, 0x90,
                0x95, 0x97, 0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9F
            ]
        );
        let publish = [0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99];
        assert_eq!(codes_of(PacketType::PubAck), publish);
        assert_eq!(codes_of(PacketType::PubRec), publish);
        assert_eq!(codes_of(PacketType::PubRel), [0x00, 0x92]);
        assert_eq!(codes_of(PacketType::PubComp), [0x00, 0x92]);
        let subscribe = [
            0x00, 0x01, 0x02, 0x80, 0x83, 0x87, 0x8F, 0x91, 0x97, 0x9E, 0xA1, 0xA2,
        ];
        assert_eq!(codes_of(PacketType::SubAck), subscribe);
        assert_eq!(
            codes_of(PacketType::UnsubAck),
            [0x00, 0x11, 0x80, 0x83, 0x87, 0x8F, 0x91]
        );
        assert_eq!(
            codes_of(PacketType::Disconnect),
            [
                0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8B, 0x8C, 0x8D, 0x8E, 0x8F, 0x90,
                0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9E, 0x9F, 0xA0,
                0xA1, 0xA2
            ]
        );
        assert_eq!(codes_of(PacketType::Auth), [0x00, 0x18, 0x19]);
        assert_eq!(codes_of(PacketType::Publish), []);
    }

    #[test]
    fn the_standard_has_43_codes() {
        let known: Vec<_> = (0..=u8::MAX)
            .filter_map(|byte| ReasonCode::try_from(byte).ok())
            .collect();
        assert_eq!(known.len(), 43);
        for code in known {
            assert_eq!(ReasonCode::try_from(u8::from(code)), Ok(code));
            assert_eq!(code.is_error(), u8::from(code) >= 0x80);
        }
        assert_eq!(
            ReasonCode::try_from(0x03),
            Err(DecodeError::ReasonCode(0x03))
        );
    }

    #[test]
    fn what_a_client_of_3_is_told() {
        assert_eq!(
            ReasonCode::Success.connect_return_code(),
            Some(ConnectReturnCode::Accepted)
        );
        let told = ReasonCode::BadUserNameOrPassword.connect_return_code();
        assert_eq!(told, Some(ConnectReturnCode::BadUserNameOrPassword));
        assert_eq!(ReasonCode::MalformedPacket.connect_return_code(), None);
    }
}
