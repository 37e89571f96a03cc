//! The MQTT wire format: packets, properties, topic names and filters. No I/O, no clock.
//!
//! One codec for MQTT 3.1, 3.1.1 and 5.0, both directions; the [`Version`] is a parameter. Decoding borrows from the
//! input and allocates nothing. What [`Packet::encode`] writes, [`decode`] accepts: both check the same rules.
//!
//! Rules that depend on who sends stay with the caller: no Subscription Identifier in a client's PUBLISH
//! [MQTT-3.3.4-6], no Session Expiry Interval in a server's DISCONNECT [MQTT-3.14.2-2], CONNECT comes first and once.
#![forbid(unsafe_code)]

mod ack;
mod auth;
mod characters;
mod connack;
mod connect;
mod disconnect;
mod error;
mod filter;
mod frame;
mod packet;
mod packet_type;
mod properties;
mod property;
mod publish;
mod qos;
mod reader;
mod reason;
mod suback;
mod subscribe;
mod topic;
mod unsuback;
mod unsubscribe;
mod varint;
mod version;
#[cfg(test)]
mod wire;
mod writer;

pub use ack::{Ack, AckType};
pub use auth::Auth;
pub use connack::{ConnAck, ConnectReturnCode};
pub use connect::{Connect, Will};
pub use disconnect::Disconnect;
pub use error::{DecodeError, EncodeError};
pub use filter::TopicFilter;
pub use frame::{Frame, MAX_PACKET_SIZE, frame};
pub use packet::{Packet, decode};
pub use packet_type::PacketType;
pub use properties::{Properties, PropertiesBuffer};
pub use property::{Property, PropertyIdentifier};
pub use publish::Publish;
pub use qos::QoS;
pub use reason::ReasonCode;
pub use suback::SubAck;
pub use subscribe::{Filters, FiltersBuffer, RetainHandling, Subscribe, SubscriptionOptions};
pub use topic::{TopicError, TopicName};
pub use unsuback::UnsubAck;
pub use unsubscribe::{Unsubscribe, UnsubscribeFilters, UnsubscribeFiltersBuffer};
pub use version::Version;

/// A Packet Identifier; 0 is not one [MQTT-2.2.1-3].
pub type PacketIdentifier = core::num::NonZeroU16;
