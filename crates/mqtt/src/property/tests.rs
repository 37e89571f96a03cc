use super::*;

fn bytes(property: Property<'_>) -> Result<Vec<u8>, EncodeError> {
    let mut out = Vec::new();
    let result = property.encode(&mut out);
    assert!(result.is_ok() || out.is_empty());
    result.map(|()| out)
}

#[test]
fn one_of_each_kind_in_bytes() {
    let cases: [(Property<'_>, &[u8]); 9] = [
        (Property::PayloadFormatIndicator(1), &[0x01, 1]),
        (Property::RetainAvailable(false), &[0x25, 0]),
        (Property::ReceiveMaximum(0x0102), &[0x21, 1, 2]),
        (
            Property::MessageExpiryInterval(0x0102_0304),
            &[0x02, 1, 2, 3, 4],
        ),
        (Property::SubscriptionIdentifier(128), &[0x0B, 0x80, 0x01]),
        (Property::ContentType("a"), &[0x03, 0, 1, b'a']),
        (
            Property::ResponseTopic("a/b"),
            &[0x08, 0, 3, b'a', b'/', b'b'],
        ),
        (
            Property::CorrelationData(&[0, 0xFF]),
            &[0x09, 0, 2, 0, 0xFF],
        ),
        (Property::UserProperty("n", ""), &[0x26, 0, 1, b'n', 0, 0]),
    ];
    for (property, expected) in cases {
        assert_eq!(bytes(property).as_deref(), Ok(expected));
        let mut reader = Reader::new(expected);
        let identifier = PropertyIdentifier::read(&mut reader).expect("known");
        assert_eq!(identifier, property.identifier());
        let mut skipped = reader;
        assert_eq!(identifier.skip_value(&mut skipped), Ok(()));
        assert!(skipped.is_empty());
        assert_eq!(Property::read_value(identifier, &mut reader), Ok(property));
        assert!(reader.is_empty());
    }
}

#[test]
fn values_that_are_not_allowed() {
    for property in [
        Property::PayloadFormatIndicator(2),
        Property::MaximumQoS(2),
        Property::ReceiveMaximum(0),
        Property::TopicAlias(0),
        Property::MaximumPacketSize(0),
        Property::SubscriptionIdentifier(0),
        Property::SubscriptionIdentifier(268_435_456),
        Property::SubscriptionIdentifier(u32::MAX),
        Property::ResponseTopic(""),
        Property::ResponseTopic("a/#"),
        Property::ResponseTopic("+"),
    ] {
        let refused = DecodeError::PropertyValue(property.identifier());
        assert_eq!(bytes(property), Err(EncodeError::Invalid(refused)));
    }
}

#[test]
fn values_at_the_border() {
    for property in [
        Property::SubscriptionIdentifier(268_435_455),
        Property::TopicAliasMaximum(0),
        Property::ServerKeepAlive(0),
        Property::SessionExpiryInterval(u32::MAX),
        Property::ReasonString(""),
    ] {
        assert!(bytes(property).is_ok(), "{property:?}");
    }
}

#[test]
fn strings_that_cannot_be_written() {
    let long = "x".repeat(65_536);
    let too_long = Err(EncodeError::FieldTooLong);
    assert_eq!(bytes(Property::ReasonString(&long)), too_long);
    assert_eq!(bytes(Property::UserProperty("", &long)), too_long);
    assert_eq!(bytes(Property::UserProperty(&long, "")), too_long);
    assert_eq!(
        bytes(Property::AuthenticationData(long.as_bytes())),
        too_long
    );
    assert!(bytes(Property::ReasonString(&long[1..])).is_ok());
    let nul = Err(EncodeError::Invalid(DecodeError::NulInString));
    assert_eq!(bytes(Property::ContentType("a\0")), nul);
    assert_eq!(bytes(Property::UserProperty("\0", "")), nul);
    let control = Err(EncodeError::Invalid(DecodeError::ControlCharacter));
    assert_eq!(bytes(Property::UserProperty("a", "\n")), control);
    assert_eq!(bytes(Property::ResponseTopic("a\u{85}")), control);
}

#[test]
fn unknown_identifiers() {
    let known = (0..=u8::MAX)
        .filter(|&byte| PropertyIdentifier::try_from(byte).is_ok())
        .count();
    assert_eq!(known, 27);
    for byte in [0x00, 0x04, 0x0A, 0x2B, 0x80, 0xFF] {
        assert_eq!(
            PropertyIdentifier::try_from(byte),
            Err(DecodeError::PropertyUnknown(byte))
        );
    }
}
