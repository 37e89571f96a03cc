//! Why bytes are no packet, and why a packet cannot be written.

use core::fmt;

use crate::{PacketType, PropertyIdentifier, ReasonCode, TopicError, characters};

/// Why the bytes are no packet. Whatever it is, the connection is closed [MQTT-4.13.1-1].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// A packet type that the version does not have.
    ReservedPacketType(u8),
    /// Flags of the fixed header that the packet type does not have; the first byte.
    FixedHeaderFlags(u8),
    /// The Remaining Length goes on after its fourth byte.
    RemainingLengthTooLong,
    /// The packet is larger than the receiver takes.
    PacketTooLarge {
        /// Its size, fixed header included.
        size: u32,
        /// The largest size taken.
        limit: u32,
    },
    /// A Variable Byte Integer goes on after its fourth byte.
    VariableByteIntegerTooLong,
    /// A Variable Byte Integer uses more bytes than it needs.
    VariableByteIntegerNotMinimal,
    /// A field reaches beyond the end of the packet.
    Truncated,
    /// The packet goes on after its last field.
    TrailingBytes,
    /// A string is not well-formed UTF-8.
    NotUtf8,
    /// A string contains U+0000.
    NulInString,
    /// A string contains a control character or a non-character, which a receiver may refuse.
    ControlCharacter,
    /// A Packet Identifier is 0.
    PacketIdentifierZero,
    /// A Topic Name is none.
    TopicName(TopicError),
    /// A Topic Filter is none.
    TopicFilter(TopicError),
    /// The QoS is 3.
    QoS,
    /// The Will QoS is 3.
    WillQoS,
    /// A PUBLISH has DUP and QoS 0.
    DupWithQoS0,
    /// A PUBLISH has neither a Topic Name nor a Topic Alias.
    TopicMissing,
    /// The Protocol Name in CONNECT is not MQTT's.
    ProtocolName,
    /// The Protocol Version in CONNECT is none of 3, 4 and 5, or not one of that Protocol Name. A server can answer it.
    UnsupportedProtocolVersion(u8),
    /// The reserved flag of CONNECT is set.
    ConnectReservedFlag,
    /// CONNECT has Will QoS or Will Retain but no Will.
    WillFlagsWithoutWill,
    /// A 3.x CONNECT has a password but no user name.
    PasswordWithoutUserName,
    /// A reserved flag of CONNACK is set.
    ConnAckFlags(u8),
    /// A CONNACK that refuses says that a session is present.
    SessionPresentWithRefusal,
    /// The packet type does not have this Reason Code or return code.
    ReasonCode(u8),
    /// A SUBSCRIBE or UNSUBSCRIBE without a Topic Filter.
    NoFilters(PacketType),
    /// A SUBACK or UNSUBACK without a Reason Code.
    NoReasonCodes,
    /// Reserved bits of the Subscription Options are set, or QoS or Retain Handling is 3.
    SubscriptionOptions(u8),
    /// No Local is set on a Shared Subscription.
    NoLocalOnShared,
    /// There is no property of this identifier.
    PropertyUnknown(u8),
    /// The packet type does not have this property.
    PropertyNotAllowed(PropertyIdentifier),
    /// The property is there twice.
    PropertyTwice(PropertyIdentifier),
    /// The property does not have this value.
    PropertyValue(PropertyIdentifier),
    /// Authentication Data without Authentication Method.
    AuthenticationDataWithoutMethod,
    /// AUTH without Authentication Method.
    AuthenticationMethodMissing,
}

impl DecodeError {
    /// The Reason Code for the DISCONNECT or CONNACK that may go before the connection is closed (MQTT 5.0).
    pub const fn reason_code(self) -> ReasonCode {
        match self {
            Self::PacketTooLarge { .. } => ReasonCode::PacketTooLarge,
            // So may a server answer that wants to be seen as one of MQTT (section 3.1.2.1).
            Self::ProtocolName | Self::UnsupportedProtocolVersion(_) => {
                ReasonCode::UnsupportedProtocolVersion
            }
            Self::SubscriptionOptions(byte) if byte & 0b1100_0000 != 0 => {
                ReasonCode::MalformedPacket
            }
            // 0x8F and 0x90 mean topics that are correctly formed (section 3.14.2.1). These are not.
            Self::TopicFilter(TopicError::ShareName | TopicError::ShareWithoutFilter) => {
                ReasonCode::ProtocolError
            }
            Self::TopicName(_) | Self::TopicFilter(_) => ReasonCode::MalformedPacket,
            Self::PropertyValue(PropertyIdentifier::TopicAlias) => ReasonCode::TopicAliasInvalid,
            Self::TopicMissing
            | Self::SessionPresentWithRefusal
            | Self::ReasonCode(_)
            | Self::NoFilters(_)
            | Self::SubscriptionOptions(_)
            | Self::NoReasonCodes
            | Self::NoLocalOnShared
            | Self::PropertyTwice(_)
            | Self::PropertyValue(_)
            | Self::AuthenticationDataWithoutMethod
            | Self::AuthenticationMethodMissing => ReasonCode::ProtocolError,
            _ => ReasonCode::MalformedPacket,
        }
    }

    /// The number of the statement that is broken, in MQTT 5.0; its section where the rule has no number.
    pub const fn statement(self) -> &'static str {
        match self {
            Self::ReservedPacketType(_) => "MQTT 2.1.2",
            Self::FixedHeaderFlags(_) => "MQTT-2.1.3-1",
            Self::RemainingLengthTooLong => "MQTT 2.1.4",
            Self::PacketTooLarge { .. } => "MQTT-3.2.2-15",
            Self::VariableByteIntegerTooLong => "MQTT 1.5.5",
            Self::VariableByteIntegerNotMinimal => "MQTT-1.5.5-1",
            Self::Truncated | Self::TrailingBytes => "MQTT 4.13.1",
            Self::NotUtf8 => "MQTT-1.5.4-1",
            Self::NulInString => "MQTT-1.5.4-2",
            Self::ControlCharacter => "MQTT 1.5.4",
            Self::PacketIdentifierZero => "MQTT-2.2.1-3",
            Self::TopicName(error) | Self::TopicFilter(error) => error.statement(),
            Self::QoS => "MQTT-3.3.1-4",
            Self::WillQoS => "MQTT-3.1.2-12",
            Self::DupWithQoS0 => "MQTT-3.3.1-2",
            Self::TopicMissing => "MQTT 3.3.2.1",
            Self::ProtocolName => "MQTT-3.1.2-1",
            Self::UnsupportedProtocolVersion(_) => "MQTT-3.1.2-2",
            Self::ConnectReservedFlag => "MQTT-3.1.2-3",
            Self::WillFlagsWithoutWill => "MQTT-3.1.2-11",
            // Only 3.1.1 has the rule: its own number.
            Self::PasswordWithoutUserName => "MQTT-3.1.2-22",
            Self::ConnAckFlags(_) => "MQTT-3.2.2-1",
            Self::SessionPresentWithRefusal => "MQTT-3.2.2-6",
            Self::ReasonCode(_) => "MQTT 2.4",
            Self::NoFilters(PacketType::Unsubscribe) => "MQTT-3.10.3-2",
            Self::NoFilters(_) => "MQTT-3.8.3-2",
            Self::NoReasonCodes => "MQTT-3.8.4-6",
            Self::SubscriptionOptions(_) => "MQTT-3.8.3-5",
            Self::NoLocalOnShared => "MQTT-3.8.3-4",
            Self::PropertyUnknown(_) | Self::PropertyNotAllowed(_) | Self::PropertyTwice(_) => {
                "MQTT 2.2.2.2"
            }
            Self::PropertyValue(PropertyIdentifier::TopicAlias) => "MQTT-3.3.2-8",
            Self::PropertyValue(PropertyIdentifier::ResponseTopic) => "MQTT-3.3.2-14",
            Self::PropertyValue(_) => "MQTT 2.2.2.2",
            Self::AuthenticationDataWithoutMethod => "MQTT 3.1.2.11.10",
            Self::AuthenticationMethodMissing => "MQTT 3.15.2.2.2",
        }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = match self {
            Self::ReservedPacketType(number) => {
                return write!(formatter, "packet type {number} is reserved");
            }
            Self::FixedHeaderFlags(byte) => {
                return write!(
                    formatter,
                    "the flags of the fixed header are wrong (first byte 0x{byte:02x})"
                );
            }
            Self::PacketTooLarge { size, limit } => {
                return write!(
                    formatter,
                    "the packet has {size} bytes, more than the limit of {limit}"
                );
            }
            Self::TopicName(error) => {
                return write!(formatter, "the topic name is not valid: {error}");
            }
            Self::TopicFilter(error) => {
                return write!(formatter, "the topic filter is not valid: {error}");
            }
            Self::UnsupportedProtocolVersion(level) => {
                return write!(formatter, "protocol version {level} is not supported");
            }
            Self::ConnAckFlags(byte) => {
                return write!(
                    formatter,
                    "reserved flags of CONNACK are set (0x{byte:02x})"
                );
            }
            Self::ReasonCode(code) => {
                return write!(
                    formatter,
                    "the packet cannot have the reason code 0x{code:02x}"
                );
            }
            Self::SubscriptionOptions(byte) => {
                return write!(
                    formatter,
                    "the subscription options are wrong (0x{byte:02x})"
                );
            }
            Self::PropertyUnknown(byte) => {
                return write!(formatter, "there is no property 0x{byte:02x}");
            }
            Self::PropertyNotAllowed(property) => {
                return write!(
                    formatter,
                    "the property {property} does not belong into this packet"
                );
            }
            Self::PropertyTwice(property) => {
                return write!(formatter, "the property {property} is there twice");
            }
            Self::PropertyValue(property) => {
                return write!(
                    formatter,
                    "the property {property} has a value that is not allowed"
                );
            }
            Self::NoFilters(packet) => return write!(formatter, "{packet} has no topic filter"),
            Self::RemainingLengthTooLong => "the remaining length has more than four bytes",
            Self::VariableByteIntegerTooLong => "a variable byte integer has more than four bytes",
            Self::VariableByteIntegerNotMinimal => {
                "a variable byte integer has more bytes than it needs"
            }
            Self::Truncated => "a field reaches beyond the end of the packet",
            Self::TrailingBytes => "the packet goes on after its last field",
            Self::NotUtf8 => "a string is not valid UTF-8",
            Self::NulInString => "a string contains the character U+0000",
            Self::ControlCharacter => "a string contains a control character",
            Self::PacketIdentifierZero => "the packet identifier is 0",
            Self::QoS => "the QoS is 3",
            Self::WillQoS => "the will QoS is 3",
            Self::DupWithQoS0 => "DUP is set with QoS 0",
            Self::TopicMissing => "neither a topic name nor a topic alias is there",
            Self::ProtocolName => "the protocol name is not MQTT",
            Self::ConnectReservedFlag => "the reserved flag of CONNECT is set",
            Self::WillFlagsWithoutWill => "will QoS or will retain is set without a will",
            Self::PasswordWithoutUserName => "a password is there without a user name",
            Self::SessionPresentWithRefusal => "a refusing CONNACK says that a session is present",
            Self::NoReasonCodes => "no reason code is there",
            Self::NoLocalOnShared => "no local is set on a shared subscription",
            Self::AuthenticationDataWithoutMethod => {
                "authentication data is there without an authentication method"
            }
            Self::AuthenticationMethodMissing => "AUTH has no authentication method",
        };
        formatter.write_str(words)
    }
}

impl std::error::Error for DecodeError {}

impl From<characters::Refused> for DecodeError {
    fn from(refused: characters::Refused) -> Self {
        match refused {
            characters::Refused::Nul => Self::NulInString,
            characters::Refused::Control => Self::ControlCharacter,
        }
    }
}

/// Why a packet cannot be written; the output is as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EncodeError {
    /// The Remaining Length would be above 268,435,455.
    PacketTooLarge,
    /// A string or Binary Data has more than 65,535 bytes.
    FieldTooLong,
    /// The version does not have this packet.
    NotInVersion,
    /// A PUBLISH of QoS 0 with a Packet Identifier [MQTT-2.2.1-2], or one of QoS 1 or 2 without.
    PacketIdentifier,
    /// A receiver would refuse the packet for this.
    Invalid(DecodeError),
}

impl From<DecodeError> for EncodeError {
    fn from(error: DecodeError) -> Self {
        Self::Invalid(error)
    }
}

impl fmt::Display for EncodeError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::PacketTooLarge => "the packet is larger than MQTT allows",
            Self::FieldTooLong => "a field is longer than 65535 bytes",
            Self::NotInVersion => "this version of MQTT does not have the packet",
            Self::PacketIdentifier => "the packet identifier does not fit the QoS",
            Self::Invalid(error) => return error.fmt(formatter),
        })
    }
}

impl std::error::Error for EncodeError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_says_what_is_wrong() {
        let property = PropertyIdentifier::TopicAlias;
        let cases = [
            (
                DecodeError::PacketTooLarge { size: 9, limit: 8 },
                "the packet has 9 bytes, more than the limit of 8",
            ),
            (
                DecodeError::TopicName(TopicError::Empty),
                "the topic name is not valid: it is empty",
            ),
            (
                DecodeError::PropertyTwice(property),
                "the property Topic Alias is there twice",
            ),
            (
                DecodeError::UnsupportedProtocolVersion(6),
                "protocol version 6 is not supported",
            ),
            (
                DecodeError::NoFilters(PacketType::Unsubscribe),
                "UNSUBSCRIBE has no topic filter",
            ),
            (
                DecodeError::FixedHeaderFlags(0x8),
                "the flags of the fixed header are wrong (first byte 0x08)",
            ),
        ];
        for (error, words) in cases {
            assert_eq!(error.to_string(), words);
            assert_eq!(EncodeError::from(error).to_string(), words);
        }
    }

    #[test]
    fn reason_codes_can_be_sent() {
        let codes = [
            (DecodeError::Truncated, ReasonCode::MalformedPacket),
            (DecodeError::NotUtf8, ReasonCode::MalformedPacket),
            (
                DecodeError::PropertyTwice(PropertyIdentifier::TopicAlias),
                ReasonCode::ProtocolError,
            ),
            (
                DecodeError::PropertyValue(PropertyIdentifier::ReceiveMaximum),
                ReasonCode::ProtocolError,
            ),
            (
                DecodeError::PropertyNotAllowed(PropertyIdentifier::TopicAlias),
                ReasonCode::MalformedPacket,
            ),
            (
                DecodeError::TopicFilter(TopicError::ShareName),
                ReasonCode::ProtocolError,
            ),
            (
                DecodeError::TopicFilter(TopicError::MultiLevelWildcard),
                ReasonCode::MalformedPacket,
            ),
            (
                DecodeError::TopicName(TopicError::WildcardInName),
                ReasonCode::MalformedPacket,
            ),
            (
                DecodeError::TopicName(TopicError::ControlCharacter),
                ReasonCode::MalformedPacket,
            ),
            (
                DecodeError::TopicFilter(TopicError::ControlCharacter),
                ReasonCode::MalformedPacket,
            ),
            (DecodeError::ControlCharacter, ReasonCode::MalformedPacket),
            (
                DecodeError::PacketTooLarge { size: 2, limit: 1 },
                ReasonCode::PacketTooLarge,
            ),
            (
                DecodeError::UnsupportedProtocolVersion(3),
                ReasonCode::UnsupportedProtocolVersion,
            ),
        ];
        for (error, code) in codes {
            assert_eq!(error.reason_code(), code);
        }
    }

    #[test]
    fn statements_are_those_of_5() {
        assert_eq!(DecodeError::NotUtf8.statement(), "MQTT-1.5.4-1");
        assert_eq!(
            DecodeError::VariableByteIntegerNotMinimal.statement(),
            "MQTT-1.5.5-1"
        );
        assert_eq!(
            DecodeError::TopicName(TopicError::WildcardInName).statement(),
            "MQTT-3.3.2-2"
        );
        assert_eq!(
            DecodeError::NoFilters(PacketType::Subscribe).statement(),
            "MQTT-3.8.3-2"
        );
    }
}
