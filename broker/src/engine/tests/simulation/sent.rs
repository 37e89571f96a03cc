//! What the engine has sent in a step: each packet is one that the ledger expects.

use std::borrow::Cow;
use std::rc::Rc;
use std::time::Instant;

use mqtt::{AckType, Packet, PacketIdentifier, Publish, QoS, TopicName, Version};

use super::super::super::message::Message;
use super::super::super::window::{Awaiting, InFlight};
use super::super::super::{ConnectionKey, Engine};
use super::answer::Answer;
use super::kept;
use super::ledger::Ledger;
use super::message;
use super::record::{Description, Origin, Owed, Seen, passed_on};
use super::state::{Flight, Stage};

impl Ledger {
    /// Reads what was appended to the outbox of a connection.
    pub(super) fn look_at_outbox(&mut self, now: Instant, engine: &Engine, key: ConnectionKey) {
        let observed = self.connections[&key].observed;
        let outbox = &engine.connections[key as usize].outbox;
        if outbox.len() > observed {
            let bytes = outbox.unwritten(observed);
            self.connection(key).observed += bytes.len();
            let mut at = 0;
            while at < bytes.len() {
                let connection = &self.connections[&key];
                let decoded = mqtt::decode(&bytes[at..], connection.version, u32::MAX);
                let (packet, len) = decoded
                    .expect("the engine sends packets")
                    .expect("the engine sends whole packets");
                assert!(
                    len <= connection.max_packet as usize,
                    "{len} bytes for a client that takes {}",
                    connection.max_packet
                );
                assert!(!connection.is_mute, "{packet:?} after DISCONNECT");
                self.look_at_packet(now, engine, key, &packet);
                at += len;
            }
        }
        let connection = self.connection(key);
        if connection.is_speechless {
            connection.answers.clear();
        }
        let answers = &connection.answers;
        assert!(
            answers.is_empty(),
            "not answered on connection {key}: {answers:?}"
        );
    }

    pub(super) fn look_at_packet(
        &mut self,
        now: Instant,
        engine: &Engine,
        key: ConnectionKey,
        packet: &Packet<'_>,
    ) {
        let connection = &self.connections[&key];
        let version = connection.version;
        if let Packet::Publish(publish) = packet {
            self.messages.1 += 1;
            self.look_at_publish(now, engine, key, publish);
            return;
        }
        if let Packet::PubRel(ack) = packet
            && !matches!(connection.answers.front(), Some(&Answer::Ack(AckType::PubRel, of, _))
                if of == ack.packet_identifier)
        {
            let epoch = connection.session.expect("a session");
            let flight = self.next_again(now, key, epoch, ack.packet_identifier);
            assert_eq!(flight.stage, Stage::Comp, "PUBREL before PUBREC");
            return;
        }
        let connection = self.connection(key);
        let expected = connection.answers.pop_front();
        connection.is_mute = matches!(packet, Packet::Disconnect(_));
        let is_expected = expected
            .as_ref()
            .is_some_and(|expected| expected.is(packet, version, &self.limits));
        assert!(
            is_expected,
            "{packet:?} on connection {key}, expected {expected:?}"
        );
    }

    /// The delivery that is sent again now: nothing before it in the original order still waits for that
    /// [MQTT-4.4.0-1], [MQTT-4.6.0-1].
    fn next_again(
        &mut self,
        now: Instant,
        key: ConnectionKey,
        epoch: u32,
        identifier: PacketIdentifier,
    ) -> &mut Flight {
        let connection = &self.connections[&key];
        let (version, max_packet) = (connection.version, connection.max_packet);
        let session = self.session(epoch);
        assert_eq!(
            session.connection,
            Some(key),
            "sent again to a connection that has ended"
        );
        let window = session.window;
        let is_under_way = |flight: &&Flight| !flight.again;
        let under_way = session.flights.iter().filter(is_under_way).count();
        for flight in &mut session.flights {
            if !flight.again {
                continue;
            }
            if flight.identifier == identifier {
                assert!(
                    under_way < window || flight.stage == Stage::Comp,
                    "more sent again than Receive Maximum allows"
                );
                flight.again = false;
                return flight;
            }
            assert!(
                flight.is_void(now, version, max_packet),
                "{identifier} is sent again before {}",
                flight.identifier
            );
        }
        panic!("{identifier} is sent again, but is not under way");
    }

    pub(super) fn look_at_publish(
        &mut self,
        now: Instant,
        engine: &Engine,
        key: ConnectionKey,
        publish: &Publish<'_>,
    ) {
        let connection = self.connection(key);
        let (version, max_packet) = (connection.version, connection.max_packet);
        let epoch = connection.session.expect("PUBLISH before CONNACK");
        let unanswered = connection.answers.iter();
        assert!(
            unanswered
                .clone()
                .all(|one| !matches!(one, Answer::ConnAck { .. })),
            "PUBLISH before CONNACK"
        );
        let topic: Rc<str> = match (publish.topic, publish.properties.topic_alias()) {
            (topic, Some(alias)) => {
                assert!(
                    (1..=connection.max_alias).contains(&alias),
                    "Topic Alias {alias}"
                );
                if let Some(topic) = topic.map(TopicName::as_str) {
                    connection.broker_aliases.insert(alias, topic.into());
                }
                let topic = connection.broker_aliases.get(&alias).cloned();
                topic.expect("a Topic Alias that was set")
            }
            (topic, None) => topic.map(TopicName::as_str).expect("a topic").into(),
        };
        let mut identifiers: Vec<_> = publish.properties.subscription_identifiers().collect();
        identifiers.sort_unstable();
        let stored = self.stored(engine, epoch, publish.packet_identifier);
        let seen = Seen {
            topic: Cow::Borrowed(&topic),
            payload: publish.payload.into(),
            qos: publish.qos,
            retain: publish.retain,
            identifiers: (version == Version::V5).then_some(identifiers),
            origin: self.origin(engine, epoch, publish.packet_identifier),
            stored: stored.map(Message::address),
            described: match version {
                Version::V5 => Some(Description {
                    at: now,
                    lifetime: publish.properties.message_expiry_interval(),
                    properties: passed_on(publish.properties),
                }),
                _ => stored.map(|message| Description::of(message, now)),
            },
        };
        if publish.dup {
            let identifier = publish.packet_identifier.expect("DUP has an identifier");
            let flight = self.next_again(now, key, epoch, identifier);
            assert_ne!(flight.stage, Stage::Comp, "PUBLISH after PUBREC");
            assert!(
                flight.owed.is(&seen),
                "{seen:?} is sent again for {:?}",
                flight.owed
            );
        } else {
            let owed = self.leave(now, engine, epoch, (version, max_packet), &seen);
            assert!(owed.may_leave(now), "{} has expired", owed.record.name());
            let session = self.session(epoch);
            if let Some(number) = message::number(publish.payload) {
                let left = session.left.entry(number).or_default();
                left[publish.qos as usize] += 1;
            }
            if let Some(identifier) = publish.packet_identifier {
                let again = session.connection != Some(key);
                let flights = &mut session.flights;
                assert!(
                    flights.iter().all(|flight| flight.identifier != identifier),
                    "Packet Identifier {identifier} is in use"
                );
                // What has become too large for the client counts no more.
                let is_void = |flight: &Flight| flight.is_void(now, version, max_packet);
                let live = || flights.iter().filter(|flight| !is_void(flight));
                assert!(
                    again || live().all(|flight| !flight.again),
                    "something new before all is sent again"
                );
                assert!(
                    live().count() < session.window,
                    "more under way than Receive Maximum allows"
                );
                flights.push(Flight {
                    identifier,
                    owed,
                    stage: match publish.qos {
                        QoS::ExactlyOnce => Stage::Rec,
                        _ => Stage::Ack,
                    },
                    again,
                });
            }
        }
    }

    /// Which subscription the PUBLISH with this identifier comes from: where a Session gets one message more than once,
    /// because of Shared Subscriptions, only the engine knows.
    pub(super) fn origin(
        &self,
        engine: &Engine,
        epoch: u32,
        identifier: Option<PacketIdentifier>,
    ) -> Origin {
        match self.in_flight(engine, epoch, identifier) {
            Some(sent) if sent.awaiting != Awaiting::Comp => {
                Origin::of(sent.delivery.as_ref(), engine)
            }
            _ => Origin::Unknown,
        }
    }

    /// The engine's message behind the PUBLISH with this identifier, if it is kept.
    fn stored<'a>(
        &self,
        engine: &'a Engine,
        epoch: u32,
        identifier: Option<PacketIdentifier>,
    ) -> Option<&'a Message> {
        let sent = self.in_flight(engine, epoch, identifier)?;
        sent.delivery.as_ref().map(|delivery| &delivery.message)
    }

    fn in_flight<'a>(
        &self,
        engine: &'a Engine,
        epoch: u32,
        identifier: Option<PacketIdentifier>,
    ) -> Option<&'a InFlight> {
        let session = engine.find_session(&self.sessions.get(&epoch)?.name)?;
        let session = &engine.sessions[session as usize];
        let index = session.window.position(identifier?)?;
        session.window.iter().nth(index)
    }

    /// A message leaves for the first time.
    fn leave(
        &mut self,
        now: Instant,
        engine: &Engine,
        epoch: u32,
        (version, max_packet): (Version, u32),
        seen: &Seen<'_>,
    ) -> Owed {
        let session = self.session(epoch);
        let owed = &session.owed;
        let mut alike: Vec<_> = (0..owed.len()).filter(|&one| owed[one].is(seen)).collect();
        if alike.len() > 1
            && let Some(theirs) = engine.find_session(&session.name)
        {
            // What waits still has not left.
            for delivery in engine.sessions[theirs as usize].queue.iter() {
                let waiting = kept::seen(now, delivery, engine);
                let is_it = |one: &Owed| one.replay.is_none() && one.is(&waiting);
                let place = alike.iter().rposition(|&one| is_it(&owed[one]));
                if let Some(place) = place.filter(|_| alike.len() > 1) {
                    alike.remove(place);
                }
            }
        }
        // Of several that are alike one that must and may come.
        let index = alike.into_iter().min_by_key(|&index| {
            let one = &owed[index];
            (one.perhaps, one.record.expired(now), !one.may_leave(now))
        });
        let Some(index) = index else {
            return self.choose(epoch, seen).unwrap_or_else(|| {
                let session = self.session(epoch);
                let owed = session.owed.iter().find(|owed| owed.is_message(seen));
                panic!(
                    "{seen:?} leaves for {:?} ({epoch}), which is owed {owed:?} and has subscribed to {:?}",
                    session.name, session.subscriptions
                );
            });
        };
        let owed = session.owed.remove(index);
        for earlier in &mut session.owed[..index] {
            let is_earlier = match (&earlier.replay, &owed.replay) {
                // What came in one step has an order only within one publisher's topic.
                (None, None) => {
                    let same_topic = earlier.record.topic == owed.record.topic
                        && earlier.record.publisher == owed.record.publisher;
                    let same_class = match owed.qos {
                        QoS::AtMostOnce => earlier.qos == QoS::AtMostOnce,
                        _ => earlier.qos > QoS::AtMostOnce,
                    };
                    same_class && (earlier.tick < owed.tick || same_topic)
                }
                // All replays of a topic send the same message.
                (Some(_), Some(_)) => false,
                // A message does not come before the retained one of its topic that is older, nor the other way round.
                _ => earlier.record.topic == owed.record.topic,
            };
            earlier.overtaken |= is_earlier && !earlier.is_void(now, version, max_packet);
        }
        owed
    }
}
