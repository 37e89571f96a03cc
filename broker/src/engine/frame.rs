//! PUBLISH packets to clients: encoded once per class of receiver, then copied.

use std::time::Duration;

use mqtt::{
    PacketIdentifier, Properties, PropertiesBuffer, Property, Publish, QoS, TopicName, Version,
};

use super::aliases::Alias;
use super::connection::Connection;
use super::message::{Message, Passing};
use super::outbox::Outbox;

/// What differs between the receivers of one message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Header {
    pub(crate) dup: bool,
    pub(crate) retain: bool,
    pub(crate) qos: QoS,
    /// There for QoS 1 and 2 [MQTT-2.2.1-2].
    pub(crate) identifier: Option<PacketIdentifier>,
}

/// What only one receiver's packet has, if its version knows it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Own<'a> {
    /// Subscription Identifiers [MQTT-3.3.4-3].
    pub(crate) identifiers: &'a [u32],
    pub(crate) alias: Alias,
}

impl Own<'_> {
    /// Nothing.
    pub(crate) const NONE: Self = Own {
        identifiers: &[],
        alias: Alias::None,
    };

    /// Whether the packet is like those of others after all.
    pub(crate) fn is_none(&self) -> bool {
        self.identifiers.is_empty() && self.alias == Alias::None
    }
}

/// Appends a PUBLISH, or what stands before its payload if that is not to be copied. Returns the length of the whole packet.
pub(crate) fn encode(
    out: &mut Vec<u8>,
    version: Version,
    passing: &Passing<'_>,
    header: Header,
    own: Own<'_>,
    is_copied: bool,
) -> usize {
    let start = out.len();
    let mut buffer = PropertiesBuffer::new();
    let mut topic = Some(TopicName::from_valid(passing.topic));
    let properties = match version {
        Version::V5 if passing.lifetime.is_some() || !own.is_none() => {
            passing
                .properties
                .iter()
                .for_each(|property| put(&mut buffer, property));
            if let Some(lifetime) = passing.lifetime {
                put(
                    &mut buffer,
                    Property::MessageExpiryInterval(whole_seconds(lifetime)),
                );
            }
            for &identifier in own.identifiers {
                put(&mut buffer, Property::SubscriptionIdentifier(identifier));
            }
            match own.alias {
                Alias::None => {}
                Alias::New(number) => put(&mut buffer, Property::TopicAlias(number)),
                Alias::Known(number) => {
                    put(&mut buffer, Property::TopicAlias(number));
                    topic = None;
                }
            }
            buffer.as_properties()
        }
        Version::V5 => passing.properties,
        _ => Properties::EMPTY,
    };
    let publish = Publish {
        dup: header.dup,
        qos: header.qos,
        retain: header.retain,
        topic,
        packet_identifier: header.identifier,
        properties,
        payload: passing.payload,
    };
    // The one possible failure, a packet over 256 MiB, leaves nothing in `out`; the message came in a packet of at
    // most that size, and what is added to it is a few bytes.
    let len = passing.payload.len();
    let (encoded, elsewhere) = match is_copied {
        true => (publish.encode(version, out), 0),
        false => (publish.encode_header(len, version, out), len),
    };
    match encoded {
        Ok(()) => out.len() - start + elsewhere,
        Err(_) => 0,
    }
}

/// Appends a property whose value is valid: it came out of a packet, or is a number or a short text of ours.
pub(crate) fn put(buffer: &mut PropertiesBuffer, property: Property<'_>) {
    let pushed = buffer.push(property);
    debug_assert!(pushed.is_ok(), "{property:?}");
}

/// What is left of a lifetime, rounded up: 0 would say that it is over.
fn whole_seconds(lifetime: Duration) -> u32 {
    let seconds = lifetime.as_secs() + u64::from(lifetime.subsec_nanos() > 0);
    u32::try_from(seconds).unwrap_or(u32::MAX)
}

#[derive(Debug, Default)]
struct Frame {
    bytes: Vec<u8>,
    /// The length of the packet, with a payload that is not copied.
    len: usize,
    /// Where the Packet Identifier stands.
    identifier_at: usize,
}

/// The encodings of one message: with and without properties, with and without a Packet Identifier, with and without the
/// payload.
#[derive(Debug, Default)]
pub(crate) struct Frames([Frame; 8]);

impl Frames {
    /// Capacity that is kept from message to message.
    const KEEP: usize = 64 * 1024;

    /// Forgets the last message.
    pub(crate) fn clear(&mut self) {
        for frame in &mut self.0 {
            frame.bytes.clear();
            if frame.bytes.capacity() > Self::KEEP {
                frame.bytes.shrink_to(Self::KEEP);
            }
        }
    }

    /// Appends the PUBLISH for one receiver, unless it is longer than `max_len`. Returns whether it was. With `body`, the
    /// message as it is stored, the payload is not copied.
    pub(crate) fn append(
        &mut self,
        outbox: &mut Outbox,
        version: Version,
        passing: &Passing<'_>,
        header: Header,
        max_len: u32,
        body: Option<Message>,
    ) -> bool {
        let class = usize::from(version == Version::V5) << 2
            | usize::from(header.qos > QoS::AtMostOnce) << 1
            | usize::from(body.is_some());
        let frame = &mut self.0[class];
        if frame.bytes.is_empty() {
            let plain = Header {
                dup: false,
                retain: false,
                ..header
            };
            let bytes = &mut frame.bytes;
            frame.len = encode(bytes, version, passing, plain, Own::NONE, body.is_none());
            let length_bytes = frame.bytes.iter().skip(1).position(|byte| byte & 0x80 == 0);
            frame.identifier_at = 1 + length_bytes.unwrap_or(0) + 1 + 2 + passing.topic.len();
        }
        if frame.len > max_len as usize || frame.len == 0 {
            return false;
        }
        let out = outbox.append();
        let start = out.len();
        out.extend_from_slice(&frame.bytes);
        // [MQTT 5.0, 3.3.1]: type 3, then DUP, QoS and RETAIN.
        out[start] =
            0x30 | u8::from(header.dup) << 3 | (header.qos as u8) << 1 | u8::from(header.retain);
        if let Some(identifier) = header.identifier {
            let at = start + frame.identifier_at;
            out[at..at + 2].copy_from_slice(&identifier.get().to_be_bytes());
        }
        if let Some(body) = body {
            outbox.append_body(body);
        }
        true
    }
}

/// Appends a PUBLISH that is this receiver's alone, unless it is longer than `max_len` [MQTT-3.1.2-24]. Returns whether it
/// was appended. With `body`, the message as it is stored, a large payload is not copied.
fn append(
    outbox: &mut Outbox,
    version: Version,
    passing: &Passing<'_>,
    header: Header,
    own: Own<'_>,
    max_len: u32,
    body: Option<&Message>,
) -> bool {
    let properties = match version {
        Version::V5 => passing.properties.bytes().len(),
        _ => 0,
    };
    if passing.payload.len() + properties > max_len as usize {
        // However much that is, nothing of it is copied.
        return false;
    }
    let out = outbox.append();
    let start = out.len();
    let len = encode(out, version, passing, header, own, body.is_none());
    if len == 0 || len > max_len as usize {
        outbox.take_back(start);
        return false;
    }
    if let Some(body) = body {
        outbox.append_body(body.clone());
    }
    true
}

/// Appends a PUBLISH to what a client is sent, with a Topic Alias if `alias` says so. Returns false if it is too large for the
/// client [MQTT-3.1.2-24]: a new alias, which makes it longer, is then not set. What many clients get alike is taken from
/// `frames`.
pub(crate) fn send(
    connection: &mut Connection,
    mut frames: Option<&mut Frames>,
    passing: &Passing<'_>,
    header: Header,
    own: Own<'_>,
    body: Option<&Message>,
) -> bool {
    let (version, max_len) = (connection.version, connection.max_packet_size);
    let body = body.filter(|_| passing.payload.len() >= Outbox::SHARED_FROM);
    let mut write = |own: Own<'_>| {
        let outbox = &mut connection.outbox;
        match &mut frames {
            Some(frames) if own.is_none() || version != Version::V5 => {
                frames.append(outbox, version, passing, header, max_len, body.cloned())
            }
            _ => append(outbox, version, passing, header, own, max_len, body),
        }
    };
    let plain = Own {
        alias: Alias::None,
        ..own
    };
    match own.alias {
        Alias::New(number) if write(own) => {
            let aliases = &mut connection.sent_aliases;
            aliases.set(passing.topic, number, &mut connection.charge);
            true
        }
        Alias::New(_) => write(plain),
        _ => write(own),
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU16;
    use std::time::Instant;

    use super::super::message::Account;
    use super::*;

    #[test]
    fn a_copied_frame_equals_one_encoded_for_its_receiver() {
        let mut buffer = PropertiesBuffer::new();
        put(&mut buffer, Property::ContentType("text/plain"));
        let (account, now) = (Account::default(), Instant::now());
        for payload in [&b"!"[..], &[1; 100], &[2; 70_000]] {
            let passing = Passing {
                topic: "SENSOR/ROOM8/TEMPERATURE",
                payload,
                properties: buffer.as_properties(),
                qos: QoS::ExactlyOnce,
                retain: true,
                lifetime: Some(Duration::from_millis(1500)),
            };
            let mut frames = Frames::default();
            for version in [Version::V31, Version::V311, Version::V5] {
                for (qos, identifier) in [
                    (QoS::AtMostOnce, None),
                    (QoS::AtLeastOnce, Some(7)),
                    (QoS::ExactlyOnce, Some(65_535)),
                ] {
                    for retain in [false, true] {
                        let identifier = identifier.and_then(NonZeroU16::new);
                        let header = Header {
                            dup: false,
                            retain,
                            qos,
                            identifier,
                        };
                        let (mut outbox, mut encoded) = (Outbox::default(), vec![]);
                        let mut append = |outbox: &mut Outbox, limit, body| {
                            frames.append(outbox, version, &passing, header, limit, body)
                        };
                        assert!(append(&mut outbox, u32::MAX, None));
                        encode(&mut encoded, version, &passing, header, Own::NONE, true);
                        assert_eq!(outbox.pending(), encoded);
                        assert!(!append(&mut outbox, encoded.len() as u32 - 1, None));
                        let stored = Message::store(&passing, now, &account);
                        let mut outbox = Outbox::default();
                        assert!(append(&mut outbox, u32::MAX, Some(stored)));
                        let (head, body) = encoded.split_at(encoded.len() - payload.len());
                        assert_eq!(outbox.pending(), head);
                        outbox.advance(head.len());
                        assert_eq!(outbox.pending(), body);
                    }
                }
            }
        }
    }

    #[test]
    fn lifetimes_are_rounded_up() {
        assert_eq!(whole_seconds(Duration::from_millis(1)), 1);
        assert_eq!(whole_seconds(Duration::from_secs(7)), 7);
        assert_eq!(whole_seconds(Duration::from_secs(u64::MAX)), u32::MAX);
    }
}
