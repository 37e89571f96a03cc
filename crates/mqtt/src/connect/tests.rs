use super::*;
use crate::wire::{NONE, V5, V31, V311, buffer, read, refused, same, written};
use crate::{Packet, Property, PropertyIdentifier, TopicError};

fn connect(version: Version, client_identifier: &str) -> Connect<'_> {
    Connect {
        version,
        clean_start: true,
        keep_alive: 60,
        client_identifier,
        will: None,
        username: None,
        password: None,
        properties: NONE,
    }
}

fn will<'a>(payload: &'a [u8]) -> Will<'a> {
    let topic = TopicName::new("w").expect("a topic name");
    Will {
        topic,
        payload,
        qos: QoS::AtMostOnce,
        retain: false,
        properties: NONE,
    }
}

#[test]
fn the_smallest_of_each_version() {
    same(
        Packet::Connect(connect(V31, "a")),
        V31,
        b"\x10\x0F\x00\x06MQIsdp\x03\x02\x00\x3C\x00\x01a",
    );
    same(
        Packet::Connect(connect(V311, "")),
        V311,
        b"\x10\x0C\x00\x04MQTT\x04\x02\x00\x3C\x00\x00",
    );
    same(
        Packet::Connect(connect(V5, "")),
        V5,
        b"\x10\x0D\x00\x04MQTT\x05\x02\x00\x3C\x00\x00\x00",
    );
}

#[test]
fn its_own_version_counts() {
    same(
        Packet::Connect(connect(V5, "")),
        V31,
        b"\x10\x0D\x00\x04MQTT\x05\x02\x00\x3C\x00\x00\x00",
    );
}

#[test]
fn the_example_of_the_standard() {
    // Section 3.1.2.12: user name, password, will of QoS 1, clean start, keep alive 10, session expiry 10.
    let properties = buffer(&[Property::SessionExpiryInterval(10)]);
    let packet = Connect {
        keep_alive: 10,
        will: Some(Will {
            qos: QoS::AtLeastOnce,
            ..will(b"x")
        }),
        username: Some("u"),
        password: Some(b"p"),
        properties: properties.as_properties(),
        ..connect(V5, "c")
    };
    let bytes = b"\x10\x20\x00\x04MQTT\x05\xCE\x00\x0A\x05\x11\x00\x00\x00\x0A\
        \x00\x01c\x00\x00\x01w\x00\x01x\x00\x01u\x00\x01p";
    same(Packet::Connect(packet), V5, bytes);
}

#[test]
fn everything_in_3_1_1() {
    let packet = Connect {
        clean_start: false,
        will: Some(Will {
            qos: QoS::ExactlyOnce,
            retain: true,
            ..will(&[0, 0xFF])
        }),
        username: Some("u"),
        password: Some(&[0xFF]),
        ..connect(V311, "c")
    };
    let bytes = b"\x10\x1A\x00\x04MQTT\x04\xF4\x00\x3C\x00\x01c\x00\x01w\x00\x02\x00\xFF\x00\x01u\x00\x01\xFF";
    same(Packet::Connect(packet), V311, bytes);
}

#[test]
fn a_will_has_properties_of_its_own() {
    let properties = buffer(&[
        Property::WillDelayInterval(7),
        Property::UserProperty("", ""),
    ]);
    let properties = properties.as_properties();
    let packet = Connect {
        will: Some(Will {
            properties,
            ..will(b"")
        }),
        ..connect(V5, "")
    };
    let bytes = b"\x10\x1D\x00\x04MQTT\x05\x06\x00\x3C\x00\x00\x00\x0A\x18\x00\x00\x00\x07\x26\x00\x00\x00\x00\
        \x00\x01w\x00\x00";
    same(Packet::Connect(packet), V5, bytes);
    let elsewhere = Connect {
        properties,
        ..connect(V5, "")
    };
    let refused = DecodeError::PropertyNotAllowed(PropertyIdentifier::WillDelayInterval);
    assert_eq!(written(Packet::Connect(elsewhere), V5), Err(refused.into()));

    let properties = buffer(&[Property::TopicAlias(1)]);
    let wrong = Will {
        properties: properties.as_properties(),
        ..will(b"")
    };
    let packet = Connect {
        will: Some(wrong),
        ..connect(V5, "")
    };
    let refused = DecodeError::PropertyNotAllowed(PropertyIdentifier::TopicAlias);
    assert_eq!(written(Packet::Connect(packet), V5), Err(refused.into()));
}

#[test]
fn names_and_levels_that_are_not_ours() {
    let refused_as = |bytes: &[u8]| refused(0x10, bytes, V311);
    let rest = "\x02\x00\x3C\x00\x00";
    let with = |start: &str| refused_as(format!("{start}{rest}").as_bytes());
    assert_eq!(
        with("\0\x04MQTT\x06"),
        DecodeError::UnsupportedProtocolVersion(6)
    );
    assert_eq!(
        with("\0\x04MQTT\x03"),
        DecodeError::UnsupportedProtocolVersion(3)
    );
    assert_eq!(
        with("\0\x06MQIsdp\x04"),
        DecodeError::UnsupportedProtocolVersion(4)
    );
    assert_eq!(with("\0\x04MQTX\x04"), DecodeError::ProtocolName);
    assert_eq!(with("\0\x00\x04"), DecodeError::ProtocolName);
    // What stands behind the version does not count then.
    assert_eq!(
        refused_as(b"\0\x04MQTT\x84"),
        DecodeError::UnsupportedProtocolVersion(0x84)
    );
    assert_eq!(refused_as(b"GET / HTTP/1.1\r\n"), DecodeError::Truncated);
}

#[test]
fn flags_that_do_not_fit() {
    let flags = |version: u8, flags: u8| {
        let name = if version == 3 { "MQIsdp" } else { "MQTT" };
        let mut bytes = vec![0, name.len() as u8];
        bytes.extend_from_slice(name.as_bytes());
        bytes.extend_from_slice(&[version, flags, 0, 60]);
        if version == 5 {
            bytes.push(0);
        }
        bytes.extend_from_slice(&[0, 0]);
        let bytes = crate::wire::framed(0x10, &bytes);
        read(&bytes, V311).map(drop)
    };
    for version in [4, 5] {
        assert_eq!(
            flags(version, 0b0000_0011),
            Err(DecodeError::ConnectReservedFlag)
        );
        assert_eq!(
            flags(version, 0b0000_1000),
            Err(DecodeError::WillFlagsWithoutWill)
        );
        assert_eq!(
            flags(version, 0b0001_0000),
            Err(DecodeError::WillFlagsWithoutWill)
        );
        assert_eq!(
            flags(version, 0b0010_0000),
            Err(DecodeError::WillFlagsWithoutWill)
        );
        assert_eq!(flags(version, 0b1000_0000), Err(DecodeError::Truncated));
    }
    // 3.1 disregards them, and lets user name and password be missing.
    for ignored in [
        0b0000_0001,
        0b0000_1000,
        0b0010_0000,
        0b1000_0000,
        0b1100_0000,
    ] {
        assert_eq!(flags(3, ignored), Ok(()), "{ignored:08b}");
    }
    for version in [3, 4, 5] {
        assert_eq!(flags(version, 0b0001_1100), Err(DecodeError::WillQoS));
    }
    assert_eq!(
        flags(3, 0b0100_0000),
        Err(DecodeError::PasswordWithoutUserName)
    );
    assert_eq!(
        flags(4, 0b0100_0000),
        Err(DecodeError::PasswordWithoutUserName)
    );
    assert_eq!(flags(5, 0b0100_0000), Err(DecodeError::Truncated));
}

#[test]
fn a_password_alone_belongs_to_5() {
    let packet = |version| {
        Packet::Connect(Connect {
            password: Some(b"p"),
            ..connect(version, "c")
        })
    };
    same(
        packet(V5),
        V5,
        b"\x10\x11\x00\x04MQTT\x05\x42\x00\x3C\x00\x00\x01c\x00\x01p",
    );
    for version in [V31, V311] {
        assert_eq!(
            written(packet(version), version),
            Err(DecodeError::PasswordWithoutUserName.into())
        );
    }
}

#[test]
fn in_3_1_only_the_password_may_be_missing_too() {
    let packet = Connect {
        username: Some("u"),
        ..connect(V31, "a")
    };
    let bytes = b"\x10\x12\x00\x06MQIsdp\x03\xC2\x00\x3C\x00\x01a\x00\x01u";
    assert_eq!(read(bytes, V31), Ok(Packet::Connect(packet)));
    // Half a field is still wrong.
    let bytes = b"\x10\x10\x00\x06MQIsdp\x03\xC2\x00\x3C\x00\x01a\x00";
    assert_eq!(read(bytes, V31), Err(DecodeError::Truncated));
}

#[test]
fn fields_that_are_wrong() {
    let head = b"\x00\x04MQTT\x04";
    let with = |tail: &[u8]| refused(0x10, &[head, tail].concat(), V311);
    assert_eq!(with(b"\x02\x00\x3C\x00\x01\xFF"), DecodeError::NotUtf8);
    assert_eq!(with(b"\x02\x00\x3C\x00\x01\x00"), DecodeError::NulInString);
    assert_eq!(
        with(b"\x02\x00\x3C\x00\x01\x7F"),
        DecodeError::ControlCharacter
    );
    assert_eq!(
        with(b"\x02\x00\x3C\x00\x00\x00"),
        DecodeError::TrailingBytes
    );
    assert_eq!(with(b"\x02\x00\x3C\x00"), DecodeError::Truncated);
    assert_eq!(with(b"\x02\x00"), DecodeError::Truncated);
    assert_eq!(
        with(b"\x06\x00\x3C\x00\x00\x00\x00\x00\x00"),
        DecodeError::TopicName(TopicError::Empty)
    );
    let wildcard = DecodeError::TopicName(TopicError::WildcardInName);
    assert_eq!(with(b"\x06\x00\x3C\x00\x00\x00\x01#\x00\x00"), wildcard);
    assert_eq!(
        with(b"\x82\x00\x3C\x00\x00\x00\x01\xFF"),
        DecodeError::NotUtf8
    );
    assert_eq!(
        with(b"\x82\x00\x3C\x00\x00\x00\x02\x00a"),
        DecodeError::NulInString
    );
}

#[test]
fn properties_that_are_wrong() {
    let with = |properties: &[u8]| {
        let mut body = b"\x00\x04MQTT\x05\x02\x00\x3C".to_vec();
        body.push(properties.len() as u8);
        body.extend_from_slice(properties);
        body.extend_from_slice(&[0, 0]);
        refused(0x10, &body, V5)
    };
    let value = DecodeError::PropertyValue;
    assert_eq!(
        with(&[0x21, 0, 0]),
        value(PropertyIdentifier::ReceiveMaximum)
    );
    assert_eq!(
        with(&[0x27, 0, 0, 0, 0]),
        value(PropertyIdentifier::MaximumPacketSize)
    );
    assert_eq!(
        with(&[0x17, 2]),
        value(PropertyIdentifier::RequestProblemInformation)
    );
    assert_eq!(
        with(&[0x19, 2]),
        value(PropertyIdentifier::RequestResponseInformation)
    );
    assert_eq!(
        with(&[0x16, 0, 1, 0]),
        DecodeError::AuthenticationDataWithoutMethod
    );
    let twice = with(&[0x11, 0, 0, 0, 1, 0x11, 0, 0, 0, 1]);
    assert_eq!(
        twice,
        DecodeError::PropertyTwice(PropertyIdentifier::SessionExpiryInterval)
    );
    let elsewhere = with(&[0x23, 0, 1]);
    assert_eq!(
        elsewhere,
        DecodeError::PropertyNotAllowed(PropertyIdentifier::TopicAlias)
    );
}

#[test]
fn padding_of_the_remaining_length_is_refused_by_5_alone() {
    let padded = b"\x10\x8D\x00\x00\x04MQTT\x05\x02\x00\x3C\x00\x00\x00";
    assert_eq!(
        read(padded, V311),
        Err(DecodeError::VariableByteIntegerNotMinimal)
    );
    let padded = b"\x10\x8C\x00\x00\x04MQTT\x04\x02\x00\x3C\x00\x00";
    assert_eq!(read(padded, V5), Ok(Packet::Connect(connect(V311, ""))));
}

#[test]
fn what_is_not_written() {
    let long = "x".repeat(65_536);
    let too_long = Err(EncodeError::FieldTooLong);
    assert_eq!(
        written(Packet::Connect(connect(V311, &long)), V311),
        too_long
    );
    let packet = Connect {
        username: Some(&long),
        ..connect(V311, "")
    };
    assert_eq!(written(Packet::Connect(packet), V311), too_long);
    let packet = Connect {
        username: Some(""),
        password: Some(long.as_bytes()),
        ..connect(V311, "")
    };
    assert_eq!(written(Packet::Connect(packet), V311), too_long);
    let packet = Connect {
        will: Some(will(long.as_bytes())),
        ..connect(V311, "")
    };
    assert_eq!(written(Packet::Connect(packet), V311), too_long);
    assert_eq!(
        written(Packet::Connect(connect(V311, "\0")), V311),
        Err(DecodeError::NulInString.into())
    );
}

#[test]
fn the_version_is_seen_in_a_connect_that_is_none() {
    let claimed = |bytes: &[u8]| Connect::claimed_version(bytes);
    // Larger than any limit, and the rest has not come.
    assert_eq!(
        claimed(b"\x10\xff\xff\xff\x7f\x00\x04MQTT\x05"),
        Some(Version::V5)
    );
    assert_eq!(claimed(b"\x10\x08\x00\x06MQIsdp\x03"), Some(Version::V31));
    for none in [
        b"".as_slice(),
        b"\x10",
        b"\x10\x0d\x00\x04MQT",
        b"\x10\x0d\x00\x04MQTT\x06",
        b"\x30\x0d\x00\x04MQTT\x05",
        b"\x10\xff\xff\xff\xff\x00\x04MQTT\x05",
    ] {
        assert_eq!(claimed(none), None, "{none:?}");
    }
}
