//! PUBLISH from a client, and the acknowledgements in both directions.

use std::rc::Rc;
use std::time::{Duration, Instant};

use mqtt::{
    Ack, AckType, Packet, PropertiesBuffer, Property, Publish, QoS, ReasonCode, TopicName, Version,
};

use super::connect::{claims_text, may_publish_to};
use super::connection::ConnectionKey;
use super::frame::put;
use super::message::Passing;
use super::session::SessionKey;
use super::window::Awaiting;
use super::{End, Engine, Outcome};

/// A message that was taken, and whether anybody subscribed to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Matched(bool);

impl From<Matched> for ReasonCode {
    fn from(matched: Matched) -> Self {
        match matched {
            Matched(true) => ReasonCode::Success,
            Matched(false) => ReasonCode::NoMatchingSubscribers,
        }
    }
}

/// Why a message was not taken, or not in all its consequences.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NotForwarded {
    /// Its topic is the broker's own.
    Forbidden,
    /// Its Payload Format Indicator is not true [MQTT 5.0, 3.3.2.3.2].
    NotText,
    /// Some Session was to keep it and could not.
    NoMemory,
    /// It was delivered, but there was no room to retain it.
    NotRetained,
}

impl NotForwarded {
    fn reason(self) -> ReasonCode {
        match self {
            NotForwarded::Forbidden => ReasonCode::NotAuthorized,
            NotForwarded::NotText => ReasonCode::PayloadFormatInvalid,
            NotForwarded::NoMemory | NotForwarded::NotRetained => ReasonCode::QuotaExceeded,
        }
    }

    fn words(self) -> &'static str {
        match self {
            NotForwarded::Forbidden => "topics below $SYS and $share are the broker's own",
            NotForwarded::NotText => "the payload is not the UTF-8 text that it is said to be",
            NotForwarded::NoMemory => {
                "no memory to keep a message for all its subscribers (MAX_MEMORY)"
            }
            NotForwarded::NotRetained => {
                "delivered but not retained: no room (MAX_RETAINED, MAX_RETAINED_BYTES, MAX_MEMORY)"
            }
        }
    }
}

impl From<NotForwarded> for End {
    fn from(refused: NotForwarded) -> End {
        End::told(refused.reason(), refused.words())
    }
}

impl Engine {
    pub(super) fn publish(
        &mut self,
        now: Instant,
        key: ConnectionKey,
        session: SessionKey,
        publish: &Publish<'_>,
    ) -> Outcome {
        self.stats.count_received(publish.payload.len());
        let promise = self.connections[key as usize].promise;
        if publish.qos > promise.max_qos {
            return Err(End::told(
                ReasonCode::QoSNotSupported,
                "PUBLISH with a QoS above MAX_QOS",
            ));
        }
        if publish.retain && !promise.retain_available {
            return Err(End::told(
                ReasonCode::RetainNotSupported,
                "PUBLISH with RETAIN, which the settings forbid",
            ));
        }
        if publish.properties.subscription_identifier().is_some() {
            return Err(End::told(
                ReasonCode::ProtocolError,
                "PUBLISH with a Subscription Identifier", // [MQTT-3.3.4-6]
            ));
        }
        let alias = publish.properties.topic_alias();
        let resolved;
        let topic = match (publish.topic, alias) {
            (Some(topic), None) => topic.as_str(),
            (topic, Some(alias)) => {
                resolved = self.resolve_alias(key, alias, topic.map(TopicName::as_str))?;
                &*resolved
            }
            (None, None) => {
                return Err(End::told(
                    ReasonCode::ProtocolError,
                    "PUBLISH with neither Topic Name nor Topic Alias",
                ));
            }
        };
        if !self.limits.allow_topic(topic) {
            return Err(End::told(
                ReasonCode::TopicNameInvalid,
                "PUBLISH to a topic that is too long or too deep (MAX_TOPIC_LENGTH, MAX_TOPIC_LEVELS)",
            ));
        }
        if publish.qos == QoS::ExactlyOnce
            && let Some(identifier) = publish.packet_identifier
        {
            let received = &mut self.sessions[session as usize].received;
            // Version 3 knows no limit but that of the identifiers.
            if self.connections[key as usize].version == Version::V5
                && received.len() >= usize::from(promise.receive_maximum)
                && !received.contains(identifier)
            {
                return Err(End::told(
                    ReasonCode::ReceiveMaximumExceeded,
                    "more QoS 2 messages at a time than Receive Maximum allows",
                ));
            }
            if !received.insert(identifier) {
                // [MQTT-4.3.3-10]: answered, not delivered again.
                let kind = AckType::PubRec;
                self.acknowledge_packet(key, kind, identifier, ReasonCode::Success);
                return Ok(());
            }
        }
        // Nobody waits for whom an earlier message found behind: they may be gone by now.
        self.router.behind.clear();
        let forwarded = self.forward(now, session, publish, topic);
        self.answer(key, session, publish, forwarded)?;
        self.hold(now, key);
        Ok(())
    }

    /// PUBACK or PUBREC for a message that was passed on, with the reason for one that was not.
    fn answer(
        &mut self,
        key: ConnectionKey,
        session: SessionKey,
        publish: &Publish<'_>,
        forwarded: Result<Matched, NotForwarded>,
    ) -> Outcome {
        let Some(packet_identifier) = publish.packet_identifier else {
            return match forwarded {
                Err(refused @ NotForwarded::NotText) => Err(refused.into()),
                _ => Ok(()),
            };
        };
        let kind = match publish.qos {
            QoS::ExactlyOnce => AckType::PubRec,
            _ => AckType::PubAck,
        };
        let version = self.connections[key as usize].version;
        let refused = match forwarded {
            // It was delivered, and a 3.x client can't be told more.
            Err(NotForwarded::NotRetained) if version != Version::V5 => {
                self.acknowledge_packet(key, kind, packet_identifier, ReasonCode::Success);
                return Ok(());
            }
            Ok(matched) => {
                let reason = match kind {
                    // Mosquitto does not tell here whether anybody has subscribed; the standard asks nobody to.
                    AckType::PubRec => ReasonCode::Success,
                    _ => matched.into(),
                };
                self.acknowledge_packet(key, kind, packet_identifier, reason);
                return Ok(());
            }
            Err(refused) => refused,
        };
        if publish.qos == QoS::ExactlyOnce {
            self.sessions[session as usize]
                .received
                .remove(packet_identifier); // [MQTT-4.3.3-9]
        }
        if refused == NotForwarded::NoMemory && version != Version::V5 {
            // There is no other way to tell it that its message was not taken.
            return Err(refused.into());
        }
        // Five bytes: the fixed header, the identifier and the Reason Code.
        let properties = self.reason(key, 5, refused.words());
        let ack = Ack {
            packet_identifier,
            reason: refused.reason(),
            properties: properties.as_properties(),
        };
        match kind {
            AckType::PubRec => self.reply(key, &Packet::PubRec(ack)),
            _ => self.reply(key, &Packet::PubAck(ack)),
        }
    }

    fn forward(
        &mut self,
        now: Instant,
        session: SessionKey,
        publish: &Publish<'_>,
        topic: &str,
    ) -> Result<Matched, NotForwarded> {
        if !may_publish_to(topic) {
            return Err(NotForwarded::Forbidden);
        }
        if claims_text(&publish.properties) && std::str::from_utf8(publish.payload).is_err() {
            return Err(NotForwarded::NotText);
        }
        let mut passed_on = PropertiesBuffer::new();
        let lifetime = publish.properties.message_expiry_interval();
        let properties = if lifetime.is_some() || publish.properties.topic_alias().is_some() {
            for property in publish.properties.iter() {
                match property {
                    Property::TopicAlias(_) | Property::MessageExpiryInterval(_) => {}
                    property => put(&mut passed_on, property),
                }
            }
            passed_on.as_properties()
        } else {
            publish.properties
        };
        let passing = Passing {
            topic,
            payload: publish.payload,
            properties,
            qos: publish.qos,
            retain: publish.retain,
            lifetime: lifetime.map(|seconds| Duration::from_secs(seconds.into())),
        };
        let distributed = self.distribute(now, session, &passing);
        if distributed.lost {
            Err(NotForwarded::NoMemory)
        } else if distributed.unretained {
            Err(NotForwarded::NotRetained)
        } else {
            Ok(Matched(distributed.matched))
        }
    }

    /// The topic that a Topic Alias stands for, after setting it where a topic comes with it.
    fn resolve_alias(
        &mut self,
        key: ConnectionKey,
        alias: u16,
        topic: Option<&str>,
    ) -> Result<Rc<str>, End> {
        let has_memory = self.has_connection_memory();
        let connection = &mut self.connections[key as usize];
        if alias == 0 || alias > connection.promise.max_topic_alias {
            return Err(End::told(
                ReasonCode::TopicAliasInvalid,
                format!("Topic Alias {alias} is above the maximum"), // [MQTT-3.3.2-9]
            ));
        }
        let aliases = &mut connection.aliases;
        let index = usize::from(alias) - 1;
        if let Some(topic) = topic {
            if aliases.len() <= index {
                aliases.resize(index + 1, None);
            }
            if !has_memory {
                return Err(End::told(
                    ReasonCode::QuotaExceeded,
                    "no memory for a Topic Alias (MAX_MEMORY)",
                ));
            }
            connection.charge.add(topic.len());
            if let Some(old) = aliases[index].replace(topic.into()) {
                connection.charge.remove(old.len());
            }
        }
        aliases.get(index).cloned().flatten().ok_or_else(|| {
            End::told(
                ReasonCode::ProtocolError,
                format!("Topic Alias {alias} was never set"),
            )
        })
    }

    pub(super) fn puback(&mut self, now: Instant, key: SessionKey, ack: &Ack<'_>) -> Outcome {
        self.complete(now, key, ack, Awaiting::Ack)
    }

    pub(super) fn pubrec(
        &mut self,
        now: Instant,
        key: ConnectionKey,
        session_key: SessionKey,
        ack: &Ack<'_>,
    ) -> Outcome {
        if ack.reason.is_error() {
            // [MQTT-4.4.0-2]: the delivery is over, its place in the window is free.
            return self.complete(now, session_key, ack, Awaiting::Rec);
        }
        let window = &mut self.sessions[session_key as usize].window;
        let sent = window
            .position(ack.packet_identifier)
            .and_then(|position| window.get_mut(position));
        let reason = match sent {
            Some(sent) if sent.awaiting == Awaiting::Ack => return Err(unfit()),
            Some(sent) => {
                sent.awaiting = Awaiting::Comp;
                sent.delivery = None; // [MQTT-4.3.3-6]
                ReasonCode::Success
            }
            None => ReasonCode::PacketIdentifierNotFound,
        };
        self.acknowledge_packet(key, AckType::PubRel, ack.packet_identifier, reason);
        Ok(())
    }

    pub(super) fn pubrel(
        &mut self,
        key: ConnectionKey,
        session: SessionKey,
        ack: &Ack<'_>,
    ) -> Outcome {
        let received = &mut self.sessions[session as usize].received;
        // From now on the identifier means a new message [MQTT-4.3.3-12].
        let reason = match received.remove(ack.packet_identifier) {
            true => ReasonCode::Success,
            false => ReasonCode::PacketIdentifierNotFound,
        };
        // [MQTT-4.3.3-11]
        self.acknowledge_packet(key, AckType::PubComp, ack.packet_identifier, reason);
        Ok(())
    }

    pub(super) fn pubcomp(&mut self, now: Instant, key: SessionKey, ack: &Ack<'_>) -> Outcome {
        self.complete(now, key, ack, Awaiting::Comp)
    }

    /// The last acknowledgement of a delivery has come: the next one may go. One for an identifier that is not in use is
    /// ignored, as Mosquitto does.
    fn complete(
        &mut self,
        now: Instant,
        key: SessionKey,
        ack: &Ack<'_>,
        awaited: Awaiting,
    ) -> Outcome {
        let window = &mut self.sessions[key as usize].window;
        let Some(position) = window.position(ack.packet_identifier) else {
            return Ok(());
        };
        let sent = window.get_mut(position);
        if sent.is_none_or(|sent| sent.awaiting != awaited) {
            return Err(unfit());
        }
        window.complete(position);
        self.pump(now, key);
        Ok(())
    }
}

/// An acknowledgement of another kind than the message waits for.
fn unfit() -> End {
    End::told(
        ReasonCode::ProtocolError,
        "an acknowledgement that does not belong to the QoS or the state of its message",
    )
}
