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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DecodeError;

    #[test]
    fn names_and_levels_belong_together() {
        assert_eq!(Version::named(b"MQIsdp", 3), Ok(Version::V31));
        assert_eq!(Version::named(b"MQTT", 4), Ok(Version::V311));
        assert_eq!(Version::named(b"MQTT", 5), Ok(Version::V5));
        for (name, level) in [
            (b"MQTT".as_slice(), 3),
            (b"MQIsdp", 4),
            (b"MQIsdp", 5),
            (b"MQTT", 6),
            (b"MQTT", 0),
        ] {
            let expected = DecodeError::UnsupportedProtocolVersion(level);
            assert_eq!(Version::named(name, level), Err(expected));
        }
    }

    #[test]
    fn the_bit_of_mosquitto_bridges_is_an_unsupported_version() {
        let refused = DecodeError::UnsupportedProtocolVersion;
        assert_eq!(Version::named(b"MQIsdp", 0x83), Err(refused(0x83)));
        assert_eq!(Version::named(b"MQTT", 0x84), Err(refused(0x84)));
    }

    #[test]
    fn another_name_is_another_error() {
        for name in [
            b"".as_slice(),
            b"mqtt",
            b"MQTT\0",
            b"MQTTS",
            b"HTTP",
            b"mqisdp",
        ] {
            assert_eq!(Version::named(name, 4), Err(DecodeError::ProtocolName));
        }
    }

    #[test]
    fn newer_is_greater() {
        assert!(Version::V31 < Version::V311 && Version::V311 < Version::V5);
    }
}
