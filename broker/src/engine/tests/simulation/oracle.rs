//! What must hold after every step: what the engine has sent and what it keeps is what the ledger says, no more and no less.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::{Duration, Instant};

use mqtt::{AckType, Packet, PacketIdentifier, Publish, QoS, TopicName, Version};

use super::super::super::message::Message;
use super::super::super::session::{Awaiting, Delivery, InFlight};
use super::super::super::{ConnectionKey, Engine, Verdict};
use super::answer::Answer;
use super::ledger::{Choice, Flight, Ledger, Phase, Stage, Taker};
use super::message;
use super::record::{Description, Origin, Owed, Seen, passed_on};

/// What the engine had counted before a step.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counted {
    dropped: u64,
    unretained: u64,
    pub(super) evicted: u64,
}

impl Counted {
    pub(super) fn by(engine: &Engine) -> Self {
        Counted {
            dropped: engine.stats().dropped.total(),
            unretained: engine.stats().dropped.not_retained,
            evicted: engine.evicted,
        }
    }
}

impl Ledger {
    /// Compares the engine with the ledger at the end of a step.
    pub(super) fn judge(&mut self, now: Instant, engine: &Engine, before: Counted, thorough: bool) {
        let keys: Vec<_> = self.connections.keys().copied().collect();
        for &key in &keys {
            self.look_at_outbox(now, engine, key);
        }
        let mut missing = Vec::new();
        self.look_at_flights(now, engine, &mut missing);
        let mut doubtful = 0;
        self.look_at_queues(now, engine, thorough, &mut missing, &mut doubtful);
        self.look_at_choices(now, &mut missing, &mut doubtful);
        self.look_at_retained(now, engine, thorough);
        let after = Counted::by(engine);
        let unretained = after.unretained - before.unretained;
        let counted = after.dropped - before.dropped - unretained;
        if self.distributed > 0 {
            // A Session that ends meanwhile may have been given its own will by each of its subscriptions, and others of
            // its messages may have gone for that.
            let uncertain = self
                .uncertain
                .iter()
                .filter_map(|epoch| self.sessions.get(epoch));
            for ends in self.gone.values().chain(uncertain) {
                let given = ends.subscriptions.len() as u64 * self.distributed;
                doubtful += ends.owed.len() as u64 + given;
            }
        }
        let dropped = self.orphans + missing.len() as u64;
        assert!(
            (dropped..=dropped + doubtful).contains(&counted),
            "{counted} messages are counted as dropped, but {dropped} are missing, and perhaps {doubtful} more: {missing:?}"
        );
        for &key in &keys {
            self.look_at_connection(now, engine, key);
        }
        self.look_at_numbers(engine);
        if thorough {
            engine.check();
        }
        self.end_step();
    }

    /// Reads what was appended to the outbox of a connection.
    fn look_at_outbox(&mut self, now: Instant, engine: &Engine, key: ConnectionKey) {
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

    fn look_at_packet(
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

    fn look_at_publish(
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
        let seen = Seen {
            topic: &topic,
            payload: publish.payload,
            qos: publish.qos,
            retain: publish.retain,
            identifiers: (version == Version::V5).then_some(identifiers),
            origin: self.origin(engine, epoch, publish.packet_identifier),
            stored: self.stored(engine, epoch, publish.packet_identifier),
            described: (version == Version::V5).then(|| Description {
                at: now,
                lifetime: publish.properties.message_expiry_interval(),
                properties: passed_on(publish.properties),
            }),
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
            let owed = self.leave(now, epoch, (version, max_packet), &seen);
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
    fn origin(&self, engine: &Engine, epoch: u32, identifier: Option<PacketIdentifier>) -> Origin {
        match self.in_flight(engine, epoch, identifier) {
            Some(sent) if sent.awaiting != Awaiting::Comp => {
                Origin::of(sent.delivery.as_ref(), engine)
            }
            _ => Origin::Unknown,
        }
    }

    /// The engine's message behind the PUBLISH with this identifier, if it is kept.
    fn stored(
        &self,
        engine: &Engine,
        epoch: u32,
        identifier: Option<PacketIdentifier>,
    ) -> Option<*const Message> {
        let sent = self.in_flight(engine, epoch, identifier)?;
        sent.delivery
            .as_ref()
            .map(|delivery| Rc::as_ptr(&delivery.message))
    }

    fn in_flight<'a>(
        &self,
        engine: &'a Engine,
        epoch: u32,
        identifier: Option<PacketIdentifier>,
    ) -> Option<&'a InFlight> {
        let session = engine.find_session(&self.sessions.get(&epoch)?.name)?;
        let session = &engine.sessions[session as usize];
        let index = session.position(identifier?)?;
        session.in_flight.get(index)
    }

    /// A message leaves for the first time.
    fn leave(
        &mut self,
        now: Instant,
        epoch: u32,
        (version, max_packet): (Version, u32),
        seen: &Seen<'_>,
    ) -> Owed {
        let session = self.session(epoch);
        // Of several that are alike one that must and may come.
        let alike = session
            .owed
            .iter()
            .enumerate()
            .filter(|(_, owed)| owed.is(seen));
        let index = alike.min_by_key(|(_, owed)| (owed.perhaps, !owed.may_leave(now)));
        let Some(index) = index.map(|(index, _)| index) else {
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
            // What came in one step has an order only within one publisher's topic.
            let same_topic = earlier.record.topic == owed.record.topic
                && earlier.record.publisher == owed.record.publisher;
            let is_earlier = earlier.tick < owed.tick || same_topic;
            let same_class = match owed.qos {
                QoS::AtMostOnce => earlier.qos == QoS::AtMostOnce,
                _ => earlier.qos > QoS::AtMostOnce,
            };
            // A live message does not come before the retained one of its topic.
            let is_retained = earlier.replay.is_some() && earlier.record.topic == owed.record.topic;
            earlier.overtaken |= is_earlier
                && (same_class || is_retained)
                && !earlier.is_void(now, version, max_packet);
        }
        owed
    }

    /// What is under way is the same on both sides; deliveries that were given up as too large are missing.
    fn look_at_flights(&mut self, now: Instant, engine: &Engine, missing: &mut Vec<String>) {
        for session in self.sessions.values_mut() {
            let Some(key) = engine.find_session(&session.name) else {
                panic!("the session of {:?} is gone", session.name);
            };
            let in_flight = &engine.sessions[key as usize].in_flight;
            if in_flight.len() < session.flights.len()
                && let Some(connection) = session.connection
            {
                let connection = &self.connections[&connection];
                session.flights.retain(|flight| {
                    let mut in_flight = in_flight.iter();
                    let is_there = in_flight.any(|sent| sent.identifier == flight.identifier);
                    let (version, max) = (connection.version, connection.max_packet);
                    let stays = is_there || !flight.is_void(now, version, max);
                    if !stays {
                        let payload = &flight.owed.record.payload;
                        session.given_up.extend(message::number(payload));
                        missing.push(flight.owed.record.name());
                    }
                    stays
                });
            }
            let ours = session
                .flights
                .iter()
                .map(|flight| (flight.identifier, flight.stage));
            let theirs = in_flight.iter().map(|sent| {
                let stage = match sent.awaiting {
                    Awaiting::Ack => Stage::Ack,
                    Awaiting::Rec => Stage::Rec,
                    Awaiting::Comp => Stage::Comp,
                };
                (sent.identifier, stage)
            });
            assert!(
                ours.clone().eq(theirs.clone()),
                "under way to {:?}: {:?} by the ledger, {:?} by the engine",
                session.name,
                ours.collect::<Vec<_>>(),
                theirs.collect::<Vec<_>>()
            );
            let received = &engine.sessions[key as usize].received;
            assert!(
                session.received.len() == received.len()
                    && session.received.iter().all(|&one| received.contains(one)),
                "received from {:?}",
                session.name
            );
        }
    }

    /// What is owed waits in the queue, and nothing else does. Counts what does not.
    fn look_at_queues(
        &mut self,
        now: Instant,
        engine: &Engine,
        thorough: bool,
        missing: &mut Vec<String>,
        doubtful: &mut u64,
    ) {
        let is_lossy = self.is_lossy();
        let choosers: BTreeSet<u32> = self
            .choices
            .iter()
            .flat_map(|choice| choice.members.iter().map(|&(epoch, _)| epoch))
            .collect();
        let epochs: Vec<_> = self.sessions.keys().copied().collect();
        for epoch in epochs {
            let session = &self.sessions[&epoch];
            let key = engine.find_session(&session.name).expect("a session");
            let theirs = &engine.sessions[key as usize];
            let same = theirs.queue_len() == session.owed.len()
                && session
                    .owed
                    .iter()
                    .all(|owed| !owed.perhaps && !owed.overtaken);
            if same && !thorough && !choosers.contains(&epoch) {
                continue;
            }
            let owed = std::mem::take(&mut self.session(epoch).owed);
            let mut owed: Vec<_> = owed.into_iter().map(Some).collect();
            let mut kept: Vec<Owed> = Vec::with_capacity(owed.len());
            let mut place = 0;
            for delivery in theirs.queue() {
                let seen = seen(delivery, engine);
                let replayed = delivery.is_replayed();
                let filter = engine.subscriptions.filter_at(delivery.replay);
                let filter = filter.as_deref().filter(|_| replayed);
                let fits = |owed: &Owed| {
                    // The place of a filter that is gone may be another one's.
                    owed.is(&seen)
                        && owed.replay.is_some() == replayed
                        && (owed.is_unwanted || owed.replay.as_deref() == filter)
                };
                let found = match align(now, &owed[place..], &fits) {
                    Some(index) => {
                        place += index + 1;
                        owed[place - 1].take()
                    }
                    None => None,
                };
                let found = found.or_else(|| self.choose(epoch, &seen));
                // What came at the same time has no order.
                let found = found.or_else(|| {
                    let last = kept.last().map_or(0, |one| one.tick);
                    let rest = owed.iter_mut().filter(|one| one.as_ref().is_some_and(fits));
                    let found = rest
                        .min_by_key(|one| one.as_ref().map(|one| (one.tick < last, one.perhaps)));
                    found?.take()
                });
                let found = match found {
                    Some(found) => Ok(found),
                    None => self.choose_any(epoch, seen),
                };
                let mut found = found.unwrap_or_else(|seen| {
                    let name = &self.sessions[&epoch].name;
                    panic!("{seen:?} waits for {name:?}, nobody knows why")
                });
                assert!(!found.overtaken, "{} was overtaken", found.record.name());
                assert_eq!(found.replay.is_some(), replayed, "a replay");
                found.perhaps = found.is_unwanted;
                found.stored = Some(Rc::as_ptr(&delivery.message));
                kept.push(found);
            }
            let session = &self.sessions[&epoch];
            let connection = session.connection.map(|key| &self.connections[&key]);
            let (version, max_packet) = connection.map_or((Version::V311, u32::MAX), |one| {
                (one.version, one.max_packet)
            });
            for one in owed.into_iter().flatten() {
                if one.perhaps {
                    *doubtful += 1;
                    continue;
                }
                let comes_anyway = one.replay.is_some()
                    && kept
                        .iter()
                        .any(|other| other.replay == one.replay && other.record == one.record);
                if comes_anyway {
                    continue;
                }
                assert!(
                    is_lossy || one.is_void(now, version, max_packet),
                    "{one:?} for {:?} is lost",
                    session.name
                );
                missing.push(format!("{one:?} for {:?}", session.name));
            }
            let in_order = kept.is_sorted_by(|one, next| one.tick <= next.tick);
            assert!(
                in_order,
                "the queue of {:?} is out of order: {kept:?}",
                session.name
            );
            self.session(epoch).owed = kept;
        }
    }

    /// Whether queues have limits.
    fn is_lossy(&self) -> bool {
        self.limits.max_queued_messages.is_some()
            || self.limits.max_queued_bytes.is_some()
            || self.is_poor()
    }

    /// The same, where what a client has got of QoS 0 may have been taken for what waits.
    #[expect(
        clippy::result_large_err,
        reason = "what is not found is given back as it came"
    )]
    fn choose_any<'a>(&mut self, epoch: u32, mut seen: Seen<'a>) -> Result<Owed, Seen<'a>> {
        if let Some(owed) = self.choose(epoch, &seen) {
            return Ok(owed);
        }
        if seen.origin != Origin::Own || seen.qos > QoS::AtMostOnce {
            return Err(seen);
        }
        seen.origin = Origin::Unknown;
        match self.choose(epoch, &seen) {
            Some(owed) => Ok(Owed {
                share: None,
                ..owed
            }),
            None => Err(seen),
        }
    }

    /// A member of a Shared Subscription has got what fits one of the choices.
    fn choose(&mut self, epoch: u32, seen: &Seen<'_>) -> Option<Owed> {
        let mut visited = vec![false; self.choices.len()];
        let is_sure = seen.origin != Origin::Unknown;
        settle(
            &mut self.choices,
            epoch,
            &|owed| owed.is(seen),
            is_sure,
            &mut visited,
        )
    }

    /// Each message of a Shared Subscription has found its one member. Counts those that were dropped.
    fn look_at_choices(&mut self, now: Instant, missing: &mut Vec<String>, doubtful: &mut u64) {
        let mut choices = std::mem::take(&mut self.choices);
        for index in 0..choices.len() {
            let choice = &choices[index];
            if choice.taker.is_some() || choice.may_fail || self.may_drop(now, choice) {
                continue;
            }
            // Perhaps what a member got was this, and what it was taken for was dropped.
            let other = choices.iter().position(|other| {
                let is_it = |taker: &Taker| {
                    let mut members = choice.members.iter();
                    members.any(|(epoch, owed)| *epoch == taker.epoch && owed.is_like(&taker.owed))
                };
                let taker = other.taker.as_ref().filter(|taker| !taker.is_sure);
                taker.is_some_and(is_it) && (other.may_fail || self.may_drop(now, other))
            });
            let Some(other) = other else {
                let name = choice.members[0].1.record.name();
                panic!(
                    "{name} was given to no member of its group: {:?}",
                    choice.members
                );
            };
            choices[index].taker = choices[other].taker.take();
        }
        for choice in choices.iter().filter(|choice| choice.taker.is_none()) {
            match choice.may_fail {
                true => *doubtful += 1,
                false => missing.push(format!("{:?}", choice.members)),
            }
        }
    }

    /// Whether a message for one of these may have been dropped, and counted.
    fn may_drop(&self, now: Instant, choice: &Choice) -> bool {
        let is_void = |(epoch, owed): &(u32, Owed)| {
            let session = self.sessions.get(epoch).or_else(|| self.gone.get(epoch));
            let connection = session.and_then(|session| session.connection);
            let (version, max_packet) = connection
                .map(|key| &self.connections[&key])
                .map_or((Version::V311, u32::MAX), |one| {
                    (one.version, one.max_packet)
                });
            owed.is_void(now, version, max_packet)
        };
        self.is_lossy() || choice.members.iter().any(is_void)
    }

    fn look_at_retained(&mut self, now: Instant, engine: &Engine, thorough: bool) {
        let touched = std::mem::take(&mut self.touched);
        for (topic, last) in touched.iter().rev() {
            if self.retained.get(topic) != last.as_ref() {
                continue; // settled by a later one
            }
            let mut payload = None;
            engine
                .retained
                .matches(topic, &mut usize::MAX.clone(), |message| {
                    payload = Some(message.payload().to_vec());
                });
            let is = |record: Option<&Rc<super::record::Record>>| {
                record.map(|record| &record.payload) == payload.as_ref()
            };
            if is(last.as_ref()) || last.as_ref().is_some_and(|one| one.expired(now)) {
                continue;
            }
            let others = touched.iter().filter(|(other, _)| other == topic);
            let adopted = others
                .map(|(_, record)| record)
                .find(|record| is(record.as_ref()));
            let adopted = adopted.filter(|_| !self.uncertain.is_empty() || touched.len() > 1);
            match adopted {
                Some(Some(record)) => self.retained.insert(Rc::clone(topic), Rc::clone(record)),
                Some(None) => self.retained.remove(topic),
                None => {
                    assert!(
                        self.is_poor() && payload.is_none(),
                        "on {topic} is retained {:?}, not {last:?}",
                        payload.as_deref().and_then(message::number)
                    );
                    self.retained.remove(topic)
                }
            };
        }
        if !thorough {
            return;
        }
        let mut theirs = BTreeSet::new();
        for filter in ["#", "$own/#"] {
            engine
                .retained
                .matches(filter, &mut usize::MAX.clone(), |message| {
                    if !message.expired(now) {
                        theirs.insert((message.topic().to_owned(), message.payload().to_vec()));
                    }
                });
        }
        let ours = self.retained.values().filter(|record| !record.expired(now));
        let ours: BTreeSet<_> = ours
            .map(|record| (record.topic.to_string(), record.payload.clone()))
            .collect();
        assert!(
            ours == theirs,
            "retained: {ours:?} by the ledger, {theirs:?} by the engine"
        );
    }

    fn look_at_connection(&mut self, now: Instant, engine: &Engine, key: ConnectionKey) {
        let phase = self.connections[&key].phase;
        let verdict = engine.verdict(key);
        assert_eq!(
            verdict == Verdict::Keep,
            phase != Phase::Ended,
            "the engine says {verdict:?} of connection {key}, the ledger says {phase:?}"
        );
        let theirs = &engine.connections[key as usize];
        let is_held = !theirs.held_by.is_empty();
        let connection = self.connection(key);
        if is_held || connection.held_since.is_some() {
            connection.last_sign = now;
        }
        connection.held_since = match (is_held, connection.held_since) {
            (true, None) => Some(now),
            (true, since) => since,
            (false, _) => None,
        };
        if phase != Phase::Connected || !theirs.outbox.has_room() {
            return;
        }
        // Nothing waits that could go.
        let session = &engine.sessions[theirs.session.expect("a session") as usize];
        if session.sent < session.in_flight.len() {
            let next = session.in_flight[session.sent].awaiting;
            let full = session.sent >= usize::from(session.window) && next != Awaiting::Comp;
            assert!(full, "what could be sent again to {key} waits");
        } else if let Some(next) = session.next_queued() {
            let full = next.qos > QoS::AtMostOnce && !session.may_send();
            assert!(full, "what could be sent to {key} waits");
        }
    }

    fn look_at_numbers(&mut self, engine: &Engine) {
        let stats = engine.stats();
        assert_eq!(
            self.messages,
            (stats.messages_received, stats.messages_sent),
            "messages"
        );
        assert_eq!(self.clients(), engine.clients() as usize, "clients");
        assert_eq!(self.connections.len(), engine.connections(), "connections");
        assert_eq!(self.sessions.len(), engine.sessions(), "sessions");
        let subscriptions = self
            .sessions
            .values()
            .map(|session| session.subscriptions.len());
        assert_eq!(
            subscriptions.sum::<usize>(),
            engine.subscriptions(),
            "subscriptions"
        );
        if !self.is_poor() {
            assert_eq!(self.unretained, stats.dropped.not_retained, "not retained");
        }
    }

    /// Whoever has been silent for too long is ended, and what is due is done: what must hold after time has passed.
    pub(super) fn judge_time(&self, now: Instant, engine: &Engine) {
        if let Some(deadline) = engine.deadline() {
            assert!(deadline > now, "a deadline is left in the past");
        }
        for (key, connection) in &self.connections {
            if let Some(since) = connection.held_since {
                let held = now.duration_since(since);
                assert!(
                    held < Duration::from_secs(5),
                    "connection {key} is held for {held:?}"
                );
            }
            match connection.phase {
                Phase::Connecting => {
                    let until = connection.opened_at + self.limits.connect_timeout;
                    assert!(now < until, "connection {key} has not connected in time");
                }
                Phase::Connected if !connection.patience.is_zero() => assert!(
                    now < connection.last_sign + connection.patience,
                    "connection {key} is silent for too long"
                ),
                _ => {}
            }
        }
    }
}

/// Finds the choice that gave a member what it got; where several may have, members change places until all have one.
fn settle(
    choices: &mut [Choice],
    epoch: u32,
    fits: &dyn Fn(&Owed) -> bool,
    is_sure: bool,
    visited: &mut [bool],
) -> Option<Owed> {
    for index in 0..choices.len() {
        let mut members = choices[index].members.iter();
        let member = members.find(|(member, owed)| *member == epoch && fits(owed));
        let Some((_, owed)) = member.filter(|_| !std::mem::replace(&mut visited[index], true))
        else {
            continue;
        };
        let owed = owed.clone();
        if let Some(taker) = choices[index].taker.clone() {
            let same = |owed: &Owed| owed.is_like(&taker.owed);
            if taker.is_sure || settle(choices, taker.epoch, &same, false, visited).is_none() {
                continue;
            }
        }
        choices[index].taker = Some(Taker {
            epoch,
            owed: owed.clone(),
            is_sure,
        });
        return Some(owed);
    }
    None
}

/// Where in a queue a delivery is found again: the fewest that must be there are passed over, and of several that are
/// alike one that must be there is taken.
fn align(now: Instant, owed: &[Option<Owed>], fits: &dyn Fn(&Owed) -> bool) -> Option<usize> {
    let mut found: Option<usize> = None;
    for (index, one) in owed.iter().enumerate() {
        let Some(one) = one else { continue };
        let may_go = one.perhaps || one.record.expired(now);
        let is_it = fits(one);
        if is_it && (found.is_none() || !may_go) {
            found = Some(index);
        }
        if found.is_some() && !may_go {
            break;
        }
    }
    found
}

fn seen<'a>(delivery: &'a Delivery, engine: &Engine) -> Seen<'a> {
    let mut identifiers = delivery.identifiers().to_vec();
    identifiers.sort_unstable();
    Seen {
        topic: delivery.message.topic(),
        payload: delivery.message.payload(),
        qos: delivery.qos,
        retain: delivery.retain,
        identifiers: Some(identifiers),
        origin: Origin::of(Some(delivery), engine),
        described: None,
        stored: Some(Rc::as_ptr(&delivery.message)),
    }
}
