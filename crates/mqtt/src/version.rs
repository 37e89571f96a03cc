//! The protocol versions.

use core::fmt;

/// A protocol version; its number is the Protocol Version (Protocol Level) byte of CONNECT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Version {
    /// MQTT 3.1, protocol name `MQIsdp`.
    V31 = 3,
    /// MQTT 3.1.1.
    V311 = 4,
    /// MQTT 5.0.
    V5 = 5,
}

impl Version {
    /// The Protocol Name that CONNECT carries.
    pub const fn protocol_name(self) -> &'static str {
        match self {
            Self::V31 => "MQIsdp",
            Self::V311 | Self::V5 => "MQTT",
        }
    }

    /// The version that a CONNECT names [MQTT-3.1.2-1] [MQTT-3.1.2-2].
    pub(crate) fn named(name: &[u8], level: u8) -> Result<Self, crate::DecodeError> {
        match (name, level) {
            (b"MQTT", 4) => Ok(Self::V311),
            (b"MQTT", 5) => Ok(Self::V5),
            (b"MQIsdp", 3) => Ok(Self::V31),
            (b"MQTT" | b"MQIsdp", _) => Err(crate::DecodeError::UnsupportedProtocolVersion(level)),
            _ => Err(crate::DecodeError::ProtocolName),
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::V31 => "3.1",
            Self::V311 => "3.1.1",
            Self::V5 => "5.0",
        })
    }
}
