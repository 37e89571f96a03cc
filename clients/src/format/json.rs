//! `%j` and `%J`: a message as a JSON object (RFC 8259), laid out as the original does.

use std::io::{self, Write};
use std::time::SystemTime;

use mqtt::{Property, PropertyIdentifier, Publish, QoS};

use crate::format::time;

/// A payload that is JSON itself.
#[derive(Clone, Copy, Debug)]
pub(super) enum Payload<'a> {
    Empty,
    /// It was parsed without an error.
    Text(&'a str),
}

impl Payload<'_> {
    pub(super) fn parse(payload: &[u8]) -> Option<Payload<'_>> {
        if payload.is_empty() {
            return Some(Payload::Empty);
        }
        let text = std::str::from_utf8(payload).ok()?;
        // As a value: what only skips would let half surrogates and numbers out of range pass.
        serde_json::from_str::<serde_json::Value>(text).ok()?;
        Some(Payload::Text(text))
    }
}

/// Writes a message; its payload as a string, or as the JSON that it is.
pub(super) fn write(
    message: &Publish<'_>,
    topic: &str,
    now: SystemTime,
    payload: Option<Payload<'_>>,
    pretty: bool,
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut json = Json {
        out,
        pretty,
        depth: 0,
        is_first: true,
    };
    json.open()?;
    json.key("tst")?;
    json.string(time::timestamp(now).as_bytes())?;
    json.key("topic")?;
    json.string(topic.as_bytes())?;
    json.key("qos")?;
    json.number(message.qos as u32)?;
    json.key("retain")?;
    json.number(message.retain.into())?;
    json.key("payloadlen")?;
    write!(json.out, "{}", message.payload.len())?;
    if message.qos > QoS::AtMostOnce {
        json.key("mid")?;
        json.number(
            message
                .packet_identifier
                .map_or(0, |identifier| identifier.get().into()),
        )?;
    }
    if !message.properties.is_empty() {
        json.key("properties")?;
        properties(message, &mut json)?;
    }
    json.key("payload")?;
    match payload {
        _ if message.payload.is_empty() => json.out.write_all(b"null")?,
        None => json.string(message.payload)?,
        Some(Payload::Empty) => json.out.write_all(b"null")?,
        Some(Payload::Text(text)) => json.value(text)?,
    }
    json.close()
}

fn properties(message: &Publish<'_>, json: &mut Json<'_>) -> io::Result<()> {
    json.open()?;
    let mut has_users = false;
    for property in message.properties.iter() {
        match property {
            // All of them stand where the first has come.
            Property::UserProperty(..) if has_users => {}
            Property::UserProperty(..) => {
                has_users = true;
                json.key("user-properties")?;
                json.open()?;
                for (name, value) in message.properties.user_properties() {
                    json.key(name)?;
                    json.string(value.as_bytes())?;
                }
                json.close()?;
            }
            Property::PayloadFormatIndicator(value) => json.pair(&property, value.into())?,
            Property::TopicAlias(value) => json.pair(&property, value.into())?,
            Property::MessageExpiryInterval(value) | Property::SubscriptionIdentifier(value) => {
                json.pair(&property, value)?;
            }
            Property::ContentType(value) | Property::ResponseTopic(value) => {
                json.key(&name(property.identifier()))?;
                json.string(value.as_bytes())?;
            }
            Property::CorrelationData(value) => {
                json.key(&name(property.identifier()))?;
                json.string(value)?;
            }
            // PUBLISH has no others.
            _ => {}
        }
    }
    json.close()
}

/// `Content Type` is `content-type`.
fn name(identifier: PropertyIdentifier) -> String {
    identifier.name().to_ascii_lowercase().replace(' ', "-")
}

/// Writes JSON token by token.
struct Json<'a> {
    out: &'a mut dyn Write,
    /// Indented by tabs, a line for each member of an object; arrays stay in their line.
    pretty: bool,
    depth: usize,
    /// Nothing stands in the innermost object or array yet.
    is_first: bool,
}

impl Json<'_> {
    fn open(&mut self) -> io::Result<()> {
        self.depth += 1;
        self.is_first = true;
        let text: &[u8] = if self.pretty { b"{\n" } else { b"{" };
        self.out.write_all(text)
    }

    fn close(&mut self) -> io::Result<()> {
        self.depth = self.depth.saturating_sub(1);
        if self.pretty && !self.is_first {
            self.out.write_all(b"\n")?;
        }
        self.is_first = false;
        if self.pretty {
            self.indent()?;
        }
        self.out.write_all(b"}")
    }

    fn indent(&mut self) -> io::Result<()> {
        (0..self.depth).try_for_each(|_| self.out.write_all(b"\t"))
    }

    /// What stands before the key of a member.
    fn member(&mut self) -> io::Result<()> {
        if !self.is_first {
            let text: &[u8] = if self.pretty { b",\n" } else { b"," };
            self.out.write_all(text)?;
        }
        self.is_first = false;
        if self.pretty {
            self.indent()?;
        }
        Ok(())
    }

    fn colon(&mut self) -> io::Result<()> {
        let text: &[u8] = if self.pretty { b":\t" } else { b":" };
        self.out.write_all(text)
    }

    fn key(&mut self, key: &str) -> io::Result<()> {
        self.member()?;
        self.string(key.as_bytes())?;
        self.colon()
    }

    fn number(&mut self, number: u32) -> io::Result<()> {
        write!(self.out, "{number}")
    }

    fn pair(&mut self, property: &Property<'_>, number: u32) -> io::Result<()> {
        self.key(&name(property.identifier()))?;
        self.number(number)
    }

    /// A string of any bytes: what is not UTF-8 becomes U+FFFD, for JSON has nothing else.
    fn string(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(b"\"")?;
        for chunk in bytes.utf8_chunks() {
            self.characters(chunk.valid())?;
            if !chunk.invalid().is_empty() {
                self.out.write_all("\u{fffd}".as_bytes())?;
            }
        }
        self.out.write_all(b"\"")
    }

    fn characters(&mut self, text: &str) -> io::Result<()> {
        let mut plain = 0;
        for (at, byte) in text.bytes().enumerate() {
            let short = match byte {
                b'"' => b'"',
                b'\\' => b'\\',
                0x08 => b'b',
                0x0c => b'f',
                b'\n' => b'n',
                b'\r' => b'r',
                b'\t' => b't',
                0..=0x1f => 0,
                _ => continue,
            };
            self.out.write_all(&text.as_bytes()[plain..at])?;
            plain = at + 1;
            match short {
                0 => write!(self.out, "\\u{byte:04x}")?,
                short => self.out.write_all(&[b'\\', short])?,
            }
        }
        self.out.write_all(&text.as_bytes()[plain..])
    }

    /// JSON that was parsed before: its strings and numbers stay as they are, the space between is ours.
    fn value(&mut self, text: &str) -> io::Result<()> {
        let bytes = text.as_bytes();
        // Whether each open bracket is an object's.
        let mut open = Vec::new();
        let mut is_key = false;
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            let mut end = at + 1;
            match byte {
                b' ' | b'\t' | b'\n' | b'\r' => {}
                b'{' => {
                    open.push(true);
                    is_key = true;
                    self.open()?;
                }
                b'[' => {
                    open.push(false);
                    self.depth += 1;
                    self.out.write_all(b"[")?;
                }
                b'}' => {
                    open.pop();
                    is_key = false;
                    self.close()?;
                }
                b']' => {
                    open.pop();
                    self.depth = self.depth.saturating_sub(1);
                    self.out.write_all(b"]")?;
                }
                b',' if open.last() == Some(&true) => is_key = true,
                b',' => self.out.write_all(if self.pretty { b", " } else { b"," })?,
                b':' => self.colon()?,
                b'"' => {
                    end = end_of_string(bytes, at);
                    if is_key {
                        self.member()?;
                        is_key = false;
                    }
                    self.out.write_all(&bytes[at..end])?;
                }
                _ => {
                    let is_token = |byte: &u8| {
                        !matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | b',' | b']' | b'}')
                    };
                    end = at + bytes[at..].iter().take_while(|byte| is_token(byte)).count();
                    self.out.write_all(&bytes[at..end])?;
                }
            }
            at = end;
        }
        self.is_first = false;
        Ok(())
    }
}

/// The place behind the string that begins here.
fn end_of_string(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use mqtt::{Properties, PropertiesBuffer};
    use proptest::prelude::*;
    use serde_json::Value;

    use super::super::tests::message;
    use super::*;

    fn json(message: &Publish<'_>, payload: Option<Payload<'_>>, pretty: bool) -> String {
        let mut out = Vec::new();
        let topic = message.topic.expect("stated").as_str();
        write(
            message,
            topic,
            SystemTime::UNIX_EPOCH,
            payload,
            pretty,
            &mut out,
        )
        .expect("memory");
        let text = String::from_utf8(out).expect("UTF-8");
        let (start, rest) = text.split_once("1970-01-01T").expect("a date");
        let (_, rest) = rest.split_once('"').expect("its end");
        format!("{start}TIME\"{rest}")
    }

    fn payload_of(payload: &[u8], pretty: bool) -> String {
        let parsed = Payload::parse(payload).expect("JSON");
        let text = json(&message(payload, Properties::EMPTY), Some(parsed), pretty);
        let key = if pretty {
            "\"payload\":\t"
        } else {
            "\"payload\":"
        };
        let (_, value) = text.split_once(key).expect("a payload");
        value
            .strip_suffix('}')
            .expect("an object")
            .trim_end_matches('\n')
            .to_string()
    }

    #[test]
    fn the_members_have_their_order() {
        let text = json(&message(b"hello", Properties::EMPTY), None, false);
        assert_eq!(
            text,
            r#"{"tst":"TIME","topic":"a/bc","qos":0,"retain":0,"payloadlen":5,"payload":"hello"}"#
        );
        let mut message = message(b"", Properties::EMPTY);
        message.qos = QoS::AtLeastOnce;
        message.retain = true;
        message.packet_identifier = std::num::NonZeroU16::new(7);
        assert_eq!(
            json(&message, None, false),
            r#"{"tst":"TIME","topic":"a/bc","qos":1,"retain":1,"payloadlen":0,"mid":7,"payload":null}"#
        );
    }

    #[test]
    fn properties_stand_as_they_came() {
        let mut buffer = PropertiesBuffer::new();
        for property in [
            Property::UserProperty("k", "v"),
            Property::ContentType("x"),
            Property::UserProperty("k", "w\""),
            Property::CorrelationData(b"\x01\xff"),
            Property::TopicAlias(3),
            Property::SubscriptionIdentifier(77),
            Property::ResponseTopic("r"),
            Property::PayloadFormatIndicator(0),
            Property::MessageExpiryInterval(u32::MAX),
        ] {
            buffer.push(property).expect("legal");
        }
        let text = json(&message(b"x", buffer.as_properties()), None, false);
        let (_, text) = text.split_once(r#""payloadlen":1,"#).expect("a length");
        assert_eq!(
            text,
            "\"properties\":{\"user-properties\":{\"k\":\"v\",\"k\":\"w\\\"\"},\"content-type\":\"x\",\
             \"correlation-data\":\"\\u0001\u{fffd}\",\"topic-alias\":3,\"subscription-identifier\":77,\
             \"response-topic\":\"r\",\"payload-format-indicator\":0,\"message-expiry-interval\":4294967295},\
             \"payload\":\"x\"}"
        );
    }

    #[test]
    fn pretty_is_as_the_original_s() {
        let payload = br#"{"a":[1,{"b":2},[],{}],"c":{}}"#;
        let parsed = Payload::parse(payload);
        assert_eq!(
            json(&message(payload, Properties::EMPTY), parsed, true),
            "{\n\t\"tst\":\t\"TIME\",\n\t\"topic\":\t\"a/bc\",\n\t\"qos\":\t0,\n\t\"retain\":\t0,\n\
             \t\"payloadlen\":\t30,\n\t\"payload\":\t{\n\t\t\"a\":\t[1, {\n\t\t\t\t\"b\":\t2\n\t\t\t}, [], {\n\t\t\t}],\n\
             \t\t\"c\":\t{\n\t\t}\n\t}\n}"
        );
    }

    #[test]
    fn payloads_that_are_json() {
        for (payload, expected) in [
            ("  12 ", "12"),
            ("2.50", "2.50"),
            ("\"abc\"", "\"abc\""),
            ("true", "true"),
            ("null", "null"),
            ("[ 1 , 2,\n3 ]", "[1,2,3]"),
            ("[]", "[]"),
            ("{}", "{}"),
            ("{ \"a\" : { \"b\" : [ { } ] } }", "{\"a\":{\"b\":[{}]}}"),
            ("{\"a\":1,\"a\":2}", "{\"a\":1,\"a\":2}"),
            ("\"\\u00e9 \\\" \\\\\"", "\"\\u00e9 \\\" \\\\\""),
            ("{\"a, b: {\":\"[ x ]\"}", "{\"a, b: {\":\"[ x ]\"}"),
            (
                "123456789012345678901234567890",
                "123456789012345678901234567890",
            ),
        ] {
            assert_eq!(payload_of(payload.as_bytes(), false), expected, "{payload}");
        }
    }

    #[test]
    fn payloads_that_are_not() {
        for payload in [
            "12 x",
            "bad",
            "{",
            "{\"a\"}",
            "[1,]",
            "\"\\ud800\"",
            "1e999",
            "01",
            "'a'",
            "\"\u{1}\"",
            " ",
            "\u{feff}1",
        ] {
            assert!(Payload::parse(payload.as_bytes()).is_none(), "{payload}");
        }
        assert!(Payload::parse(b"\"\xff\"").is_none());
        let deep = "[".repeat(100_000);
        assert!(Payload::parse(deep.as_bytes()).is_none());
        assert!(matches!(Payload::parse(b""), Some(Payload::Empty)));
    }

    #[test]
    fn strings_of_any_bytes() {
        let text = json(
            &message(b"a\"b\\c/\t\x01\x7f\xff\x08\x0c\0\n\r", Properties::EMPTY),
            None,
            false,
        );
        assert!(
            text.ends_with(
                "\"payload\":\"a\\\"b\\\\c/\\t\\u0001\x7f\u{fffd}\\b\\f\\u0000\\n\\r\"}"
            ),
            "{text}"
        );
    }

    /// Any JSON value, not too deep.
    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".{0,8}".prop_map(Value::String),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
                proptest::collection::vec((".{0,4}", inner), 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_payload_and_properties_give_json(
            payload in proptest::collection::vec(any::<u8>(), 0..64),
            data in proptest::collection::vec(any::<u8>(), 0..16),
            name in "[^\u{0}-\u{1f}\u{7f}-\u{9f}\u{fffe}\u{ffff}]{0,8}",
            pretty in any::<bool>(),
        ) {
            let mut buffer = PropertiesBuffer::new();
            buffer.push(Property::CorrelationData(&data)).expect("legal");
            let _ = buffer.push(Property::UserProperty(&name, &name));
            let message = message(&payload, buffer.as_properties());
            let value: Value = serde_json::from_str(&json(&message, None, pretty)).expect("JSON");
            let expected = match payload.is_empty() {
                true => Value::Null,
                false => Value::from(String::from_utf8_lossy(&payload)),
            };
            prop_assert_eq!(&value["payload"], &expected);
            let expected = Value::from(String::from_utf8_lossy(&data));
            prop_assert_eq!(&value["properties"]["correlation-data"], &expected);
        }

        #[test]
        fn a_payload_of_json_keeps_its_value(value in any_value(), spaced in any::<bool>(), pretty in any::<bool>()) {
            let payload = match spaced {
                true => serde_json::to_vec_pretty(&value),
                false => serde_json::to_vec(&value),
            }.expect("JSON");
            let parsed = Payload::parse(&payload).expect("JSON");
            let text = json(&message(&payload, Properties::EMPTY), Some(parsed), pretty);
            let printed: Value = serde_json::from_str(&text).expect("JSON");
            let expected: Value = serde_json::from_slice(&payload).expect("JSON");
            prop_assert_eq!(&printed["payload"], &expected);
        }

        #[test]
        fn what_looks_like_json_is_refused_or_stays_json(text in "[\\[\\]{}:,\"\\\\0-9eE.+ tfnu-]{0,16}", pretty in any::<bool>()) {
            if let Some(parsed) = Payload::parse(text.as_bytes()) {
                let printed = json(&message(text.as_bytes(), Properties::EMPTY), Some(parsed), pretty);
                prop_assert!(serde_json::from_str::<Value>(&printed).is_ok(), "{}", printed);
            }
        }
    }
}
