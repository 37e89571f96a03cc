//! The properties of MQTT 5.0 (section 2.2.2.2), one by one: identifier, type, value, and the packets that have them.

use core::fmt;

use crate::packet_type::WILL;
use crate::reader::Reader;
use crate::{DecodeError, EncodeError, PacketType, TopicName, varint, writer};

/// How the value of a property is written, and what it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A byte that is 0 or 1.
    Flag,
    /// Two bytes.
    Two,
    /// Two bytes, not 0.
    TwoNonZero,
    /// Four bytes.
    Four,
    /// Four bytes, not 0.
    FourNonZero,
    /// A Variable Byte Integer, not 0.
    VariableNonZero,
    /// A UTF-8 Encoded String.
    String,
    /// A UTF-8 Encoded String that is a Topic Name.
    Topic,
    /// Binary Data.
    Binary,
    /// A UTF-8 String Pair.
    Pair,
}

/// What the standard says of one property.
struct Rule {
    kind: Kind,
    /// The packet types that have it, and [`WILL`].
    packets: u16,
    /// Those in which it may stand more than once.
    repeats: u16,
}

const CONNECT: u16 = PacketType::Connect.bit();
const CONNACK: u16 = PacketType::ConnAck.bit();
const PUBLISH: u16 = PacketType::Publish.bit();
const SUBSCRIBE: u16 = PacketType::Subscribe.bit();
const DISCONNECT: u16 = PacketType::Disconnect.bit();
const AUTH: u16 = PacketType::Auth.bit();
/// The packets that answer, and may say why.
const ANSWERS: u16 = CONNACK
    | PacketType::PubAck.bit()
    | PacketType::PubRec.bit()
    | PacketType::PubRel.bit()
    | PacketType::PubComp.bit()
    | PacketType::SubAck.bit()
    | PacketType::UnsubAck.bit()
    | DISCONNECT
    | AUTH;
/// All that have properties.
const ALL: u16 = CONNECT | PUBLISH | WILL | SUBSCRIBE | PacketType::Unsubscribe.bit() | ANSWERS;

/// One row a property: name, identifier, the words for it, kind, packets, packets in which it may be repeated.
macro_rules! properties {
    ($($name:ident = $identifier:literal, $words:literal, $kind:ident, $packets:expr, $repeats:expr;)*) => {
        /// The identifier of a property (MQTT 5.0 section 2.2.2.2).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum PropertyIdentifier {
            $(
                #[doc = concat!(stringify!($identifier), ": ", $words, ".")]
                $name = $identifier,
            )*
        }

        impl PropertyIdentifier {
            const fn from_byte(byte: u8) -> Option<Self> {
                match byte {
                    $($identifier => Some(Self::$name),)*
                    _ => None,
                }
            }

            const fn rule(self) -> Rule {
                match self {
                    $(Self::$name => Rule { kind: Kind::$kind, packets: $packets, repeats: $repeats },)*
                }
            }

            /// The name as the standard writes it, such as `Topic Alias`.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $words,)*
                }
            }
        }
    };
}

properties! {
    PayloadFormatIndicator = 0x01, "Payload Format Indicator", Flag, PUBLISH | WILL, 0;
    MessageExpiryInterval = 0x02, "Message Expiry Interval", Four, PUBLISH | WILL, 0;
    ContentType = 0x03, "Content Type", String, PUBLISH | WILL, 0;
    ResponseTopic = 0x08, "Response Topic", Topic, PUBLISH | WILL, 0;
    CorrelationData = 0x09, "Correlation Data", Binary, PUBLISH | WILL, 0;
    SubscriptionIdentifier = 0x0B, "Subscription Identifier", VariableNonZero, PUBLISH | SUBSCRIBE, PUBLISH;
    SessionExpiryInterval = 0x11, "Session Expiry Interval", Four, CONNECT | CONNACK | DISCONNECT, 0;
    AssignedClientIdentifier = 0x12, "Assigned Client Identifier", String, CONNACK, 0;
    ServerKeepAlive = 0x13, "Server Keep Alive", Two, CONNACK, 0;
    AuthenticationMethod = 0x15, "Authentication Method", String, CONNECT | CONNACK | AUTH, 0;
    AuthenticationData = 0x16, "Authentication Data", Binary, CONNECT | CONNACK | AUTH, 0;
    RequestProblemInformation = 0x17, "Request Problem Information", Flag, CONNECT, 0;
    WillDelayInterval = 0x18, "Will Delay Interval", Four, WILL, 0;
    RequestResponseInformation = 0x19, "Request Response Information", Flag, CONNECT, 0;
    ResponseInformation = 0x1A, "Response Information", String, CONNACK, 0;
    ServerReference = 0x1C, "Server Reference", String, CONNACK | DISCONNECT, 0;
    ReasonString = 0x1F, "Reason String", String, ANSWERS, 0;
    ReceiveMaximum = 0x21, "Receive Maximum", TwoNonZero, CONNECT | CONNACK, 0;
    TopicAliasMaximum = 0x22, "Topic Alias Maximum", Two, CONNECT | CONNACK, 0;
    TopicAlias = 0x23, "Topic Alias", TwoNonZero, PUBLISH, 0;
    MaximumQoS = 0x24, "Maximum QoS", Flag, CONNACK, 0;
    RetainAvailable = 0x25, "Retain Available", Flag, CONNACK, 0;
    UserProperty = 0x26, "User Property", Pair, ALL, ALL;
    MaximumPacketSize = 0x27, "Maximum Packet Size", FourNonZero, CONNECT | CONNACK, 0;
    WildcardSubscriptionAvailable = 0x28, "Wildcard Subscription Available", Flag, CONNACK, 0;
    SubscriptionIdentifierAvailable = 0x29, "Subscription Identifier Available", Flag, CONNACK, 0;
    SharedSubscriptionAvailable = 0x2A, "Shared Subscription Available", Flag, CONNACK, 0;
}

impl PropertyIdentifier {
    /// Reads an identifier. The standard writes a Variable Byte Integer; all that it defines have one byte.
    #[inline]
    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Self::try_from(reader.u8()?)
    }

    /// The bit of this property in a set of properties: no identifier is above 63.
    #[inline]
    pub(crate) const fn bit(self) -> u64 {
        1 << self as u8
    }

    /// Checks that it may stand in `section` (a packet type's bit, or [`WILL`]) after those in the set `seen`.
    #[inline]
    pub(crate) fn check_place(self, section: u16, seen: u64) -> Result<(), DecodeError> {
        let rule = self.rule();
        if rule.packets & section == 0 {
            Err(DecodeError::PropertyNotAllowed(self))
        } else if seen & self.bit() != 0 && rule.repeats & section == 0 {
            Err(DecodeError::PropertyTwice(self))
        } else {
            Ok(())
        }
    }

    /// Reads over a value and checks it.
    pub(crate) fn check_value(self, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
        let is_allowed = match self.rule().kind {
            Kind::Flag => reader.u8()? <= 1,
            Kind::Two => reader.u16().map(|_| true)?,
            Kind::TwoNonZero => reader.u16()? != 0,
            Kind::Four => reader.u32().map(|_| true)?,
            Kind::FourNonZero => reader.u32()? != 0,
            Kind::VariableNonZero => reader.varint()? != 0,
            Kind::String => reader.string().map(|_| true)?,
            Kind::Topic => TopicName::new(reader.string()?).is_ok(),
            Kind::Binary => reader.binary().map(|_| true)?,
            Kind::Pair => {
                reader.string()?;
                reader.string().map(|_| true)?
            }
        };
        if is_allowed {
            Ok(())
        } else {
            Err(DecodeError::PropertyValue(self))
        }
    }

    /// Reads over a value that was checked before.
    pub(crate) fn skip_value(self, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
        match self.rule().kind {
            Kind::Flag => reader.bytes(1)?,
            Kind::Two | Kind::TwoNonZero => reader.bytes(2)?,
            Kind::Four | Kind::FourNonZero => reader.bytes(4)?,
            Kind::VariableNonZero => return reader.varint().map(drop),
            Kind::String | Kind::Topic | Kind::Binary => reader.binary()?,
            Kind::Pair => {
                reader.binary()?;
                reader.binary()?
            }
        };
        Ok(())
    }
}

impl TryFrom<u8> for PropertyIdentifier {
    type Error = DecodeError;

    #[inline]
    fn try_from(byte: u8) -> Result<Self, DecodeError> {
        Self::from_byte(byte).ok_or(DecodeError::PropertyUnknown(byte))
    }
}

impl fmt::Display for PropertyIdentifier {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// A property with its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "each is named and described by its PropertyIdentifier"
)]
pub enum Property<'a> {
    PayloadFormatIndicator(u8),
    MessageExpiryInterval(u32),
    ContentType(&'a str),
    ResponseTopic(&'a str),
    CorrelationData(&'a [u8]),
    SubscriptionIdentifier(u32),
    SessionExpiryInterval(u32),
    AssignedClientIdentifier(&'a str),
    ServerKeepAlive(u16),
    AuthenticationMethod(&'a str),
    AuthenticationData(&'a [u8]),
    RequestProblemInformation(bool),
    WillDelayInterval(u32),
    RequestResponseInformation(bool),
    ResponseInformation(&'a str),
    ServerReference(&'a str),
    ReasonString(&'a str),
    ReceiveMaximum(u16),
    TopicAliasMaximum(u16),
    TopicAlias(u16),
    MaximumQoS(u8),
    RetainAvailable(bool),
    UserProperty(&'a str, &'a str),
    MaximumPacketSize(u32),
    WildcardSubscriptionAvailable(bool),
    SubscriptionIdentifierAvailable(bool),
    SharedSubscriptionAvailable(bool),
}

/// A value as it is written.
#[derive(Clone, Copy)]
enum Value<'a> {
    Byte(u8),
    Two(u16),
    Four(u32),
    Variable(u32),
    String(&'a str),
    Binary(&'a [u8]),
    Pair(&'a str, &'a str),
}

impl<'a> Property<'a> {
    /// Its identifier.
    pub fn identifier(&self) -> PropertyIdentifier {
        self.parts().0
    }

    #[rustfmt::skip]
    fn parts(&self) -> (PropertyIdentifier, Value<'a>) {
        use PropertyIdentifier as Id;
        match *self {
            Self::PayloadFormatIndicator(value) => (Id::PayloadFormatIndicator, Value::Byte(value)),
            Self::MessageExpiryInterval(value) => (Id::MessageExpiryInterval, Value::Four(value)),
            Self::ContentType(value) => (Id::ContentType, Value::String(value)),
            Self::ResponseTopic(value) => (Id::ResponseTopic, Value::String(value)),
            Self::CorrelationData(value) => (Id::CorrelationData, Value::Binary(value)),
            Self::SubscriptionIdentifier(value) => (Id::SubscriptionIdentifier, Value::Variable(value)),
            Self::SessionExpiryInterval(value) => (Id::SessionExpiryInterval, Value::Four(value)),
            Self::AssignedClientIdentifier(value) => (Id::AssignedClientIdentifier, Value::String(value)),
            Self::ServerKeepAlive(value) => (Id::ServerKeepAlive, Value::Two(value)),
            Self::AuthenticationMethod(value) => (Id::AuthenticationMethod, Value::String(value)),
            Self::AuthenticationData(value) => (Id::AuthenticationData, Value::Binary(value)),
            Self::RequestProblemInformation(value) => (Id::RequestProblemInformation, Value::Byte(value.into())),
            Self::WillDelayInterval(value) => (Id::WillDelayInterval, Value::Four(value)),
            Self::RequestResponseInformation(value) => (Id::RequestResponseInformation, Value::Byte(value.into())),
            Self::ResponseInformation(value) => (Id::ResponseInformation, Value::String(value)),
            Self::ServerReference(value) => (Id::ServerReference, Value::String(value)),
            Self::ReasonString(value) => (Id::ReasonString, Value::String(value)),
            Self::ReceiveMaximum(value) => (Id::ReceiveMaximum, Value::Two(value)),
            Self::TopicAliasMaximum(value) => (Id::TopicAliasMaximum, Value::Two(value)),
            Self::TopicAlias(value) => (Id::TopicAlias, Value::Two(value)),
            Self::MaximumQoS(value) => (Id::MaximumQoS, Value::Byte(value)),
            Self::RetainAvailable(value) => (Id::RetainAvailable, Value::Byte(value.into())),
            Self::UserProperty(name, value) => (Id::UserProperty, Value::Pair(name, value)),
            Self::MaximumPacketSize(value) => (Id::MaximumPacketSize, Value::Four(value)),
            Self::WildcardSubscriptionAvailable(value) => (Id::WildcardSubscriptionAvailable, Value::Byte(value.into())),
            Self::SubscriptionIdentifierAvailable(value) => (Id::SubscriptionIdentifierAvailable, Value::Byte(value.into())),
            Self::SharedSubscriptionAvailable(value) => (Id::SharedSubscriptionAvailable, Value::Byte(value.into())),
        }
    }

    /// Reads the value of a property whose bytes were checked before.
    pub(crate) fn read_value(
        id: PropertyIdentifier,
        reader: &mut Reader<'a>,
    ) -> Result<Self, DecodeError> {
        use PropertyIdentifier as Id;
        Ok(match id {
            Id::PayloadFormatIndicator => Self::PayloadFormatIndicator(reader.u8()?),
            Id::MessageExpiryInterval => Self::MessageExpiryInterval(reader.u32()?),
            Id::ContentType => Self::ContentType(reader.string()?),
            Id::ResponseTopic => Self::ResponseTopic(reader.string()?),
            Id::CorrelationData => Self::CorrelationData(reader.binary()?),
            Id::SubscriptionIdentifier => Self::SubscriptionIdentifier(reader.varint()?),
            Id::SessionExpiryInterval => Self::SessionExpiryInterval(reader.u32()?),
            Id::AssignedClientIdentifier => Self::AssignedClientIdentifier(reader.string()?),
            Id::ServerKeepAlive => Self::ServerKeepAlive(reader.u16()?),
            Id::AuthenticationMethod => Self::AuthenticationMethod(reader.string()?),
            Id::AuthenticationData => Self::AuthenticationData(reader.binary()?),
            Id::RequestProblemInformation => Self::RequestProblemInformation(reader.u8()? != 0),
            Id::WillDelayInterval => Self::WillDelayInterval(reader.u32()?),
            Id::RequestResponseInformation => Self::RequestResponseInformation(reader.u8()? != 0),
            Id::ResponseInformation => Self::ResponseInformation(reader.string()?),
            Id::ServerReference => Self::ServerReference(reader.string()?),
            Id::ReasonString => Self::ReasonString(reader.string()?),
            Id::ReceiveMaximum => Self::ReceiveMaximum(reader.u16()?),
            Id::TopicAliasMaximum => Self::TopicAliasMaximum(reader.u16()?),
            Id::TopicAlias => Self::TopicAlias(reader.u16()?),
            Id::MaximumQoS => Self::MaximumQoS(reader.u8()?),
            Id::RetainAvailable => Self::RetainAvailable(reader.u8()? != 0),
            Id::UserProperty => Self::UserProperty(reader.string()?, reader.string()?),
            Id::MaximumPacketSize => Self::MaximumPacketSize(reader.u32()?),
            Id::WildcardSubscriptionAvailable => {
                Self::WildcardSubscriptionAvailable(reader.u8()? != 0)
            }
            Id::SubscriptionIdentifierAvailable => {
                Self::SubscriptionIdentifierAvailable(reader.u8()? != 0)
            }
            Id::SharedSubscriptionAvailable => Self::SharedSubscriptionAvailable(reader.u8()? != 0),
        })
    }

    /// Appends identifier and value. A value that is not allowed is refused and leaves no trace.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let (identifier, value) = self.parts();
        match value {
            Value::Variable(value) if value > varint::MAX => {
                return Err(DecodeError::PropertyValue(identifier).into());
            }
            Value::String(value) => writer::check_string(value)?,
            Value::Binary(value) => writer::check_binary(value)?,
            Value::Pair(name, value) => {
                writer::check_string(name)?;
                writer::check_string(value)?;
            }
            _ => {}
        }
        let start = out.len();
        out.push(identifier as u8);
        match value {
            Value::Byte(value) => out.push(value),
            Value::Two(value) => writer::put_u16(out, value),
            Value::Four(value) => out.extend_from_slice(&value.to_be_bytes()),
            Value::Variable(value) => varint::put(out, value),
            Value::String(value) => writer::put_binary(out, value.as_bytes()),
            Value::Binary(value) => writer::put_binary(out, value),
            Value::Pair(name, value) => {
                writer::put_binary(out, name.as_bytes());
                writer::put_binary(out, value.as_bytes());
            }
        }
        let written = identifier.check_value(&mut Reader::new(&out[start + 1..]));
        if written.is_err() {
            out.truncate(start);
        }
        Ok(written?)
    }
}

#[cfg(test)]
mod tests;
