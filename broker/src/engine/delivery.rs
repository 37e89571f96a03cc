//! From a published message to the outboxes and queues of those who subscribed.

use std::time::{Duration, Instant};

use mqtt::{Ack, AckType, PacketIdentifier, Properties, QoS, ReasonCode};

use super::aliases::Alias;
use super::connection::{Connection, ConnectionKey};
use super::deadlines::Due;
use super::frame::{self, Frames, Header, Own};
use super::message::{Message, Passing};
use super::outbox::Outbox;
use super::queue::{Delivery, Envelope, Queued};
use super::replay::{self, Turn};
use super::session::SessionKey;
use super::subscriptions::{Match, Share, Subscriber};
use super::window::Awaiting;
use super::{Engine, sharing};

/// The shortest time between two searches for expired Retained Messages.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);

/// One Session that gets a message, however many of its subscriptions match.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target {
    session: SessionKey,
    /// The highest granted QoS [MQTT-3.3.4-2].
    qos: QoS,
    retain_as_published: bool,
    /// Whether some of its subscriptions have an identifier.
    identified: bool,
    /// The Shared Subscription that it was chosen from.
    share: Option<Share>,
}

impl Target {
    pub(super) fn new(subscriber: &Subscriber, share: Option<Share>) -> Self {
        Target {
            session: subscriber.session,
            qos: subscriber.qos,
            retain_as_published: subscriber.retain_as_published,
            identified: subscriber.identifier > 0,
            share,
        }
    }
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Distributed {
    /// Some Session has a matching subscription.
    pub(super) matched: bool,
    /// Some Session was to keep it, but there was no memory.
    pub(super) lost: bool,
    /// It was to be retained, but there was no room.
    pub(super) unretained: bool,
}

/// What routing needs again and again; kept for its capacity.
#[derive(Debug, Default)]
pub(super) struct Router {
    targets: Vec<Target>,
    /// Whether there is a matching subscription, even one that does not get this message.
    matched: bool,
    /// Subscription Identifiers, each with the number of its target.
    identifiers: Vec<(u32, u32)>,
    /// Away while a message is being delivered.
    frames: Option<Box<Frames>>,
    /// Connections for which the publisher of this message should wait, each with the QoS that it gets it with.
    pub(super) behind: Vec<(ConnectionKey, QoS)>,
    /// Whether somebody beside the publisher gets this message whom nobody needs to wait for.
    pub(super) keeping_up: bool,
    /// Numbers the messages, so that a Session knows whether it is among the targets already.
    sequence: u64,
}

impl Router {
    /// Where to encode a message.
    pub(super) fn take_frames(&mut self) -> Box<Frames> {
        let mut frames = self.frames.take().unwrap_or_default();
        frames.clear();
        frames
    }
}

impl Engine {
    /// Gives a message to every Session with a matching subscription [MQTT-4.5.0-1].
    pub(super) fn distribute(
        &mut self,
        now: Instant,
        publisher: SessionKey,
        passing: &Passing<'_>,
    ) -> Distributed {
        let unretained = passing.retain && !self.retain(now, passing);
        Distributed {
            unretained,
            ..self.route(now, Some(publisher), passing)
        }
    }

    /// Gives a message to every Session with a matching subscription, without retaining it. One that no client published
    /// is the broker's own word on how things are now: it is not kept for those who are away.
    pub(super) fn route(
        &mut self,
        now: Instant,
        publisher: Option<SessionKey>,
        passing: &Passing<'_>,
    ) -> Distributed {
        self.collect(publisher, passing);
        self.router.behind.clear();
        self.router.keeping_up = false;
        let (mut stored, mut lost) = (None, false);
        let targets = std::mem::take(&mut self.router.targets);
        let of_targets = std::mem::take(&mut self.router.identifiers);
        // For one alone it is encoded where it is to go.
        let is_shared = targets.len() > 1;
        let mut frames = is_shared.then(|| self.router.take_frames());
        for (number, target) in targets.iter().enumerate() {
            let is_absent = |key| self.sessions[key as usize].connection.is_none();
            if publisher.is_none() && is_absent(target.session) {
                continue;
            }
            let mut identifiers = Vec::new();
            if target.identified {
                let of = |number| of_targets.partition_point(|&(of, _)| of < number);
                let range = of(number as u32)..of(number as u32 + 1);
                identifiers.extend(of_targets[range].iter().map(|&(_, one)| one));
            }
            let frames = frames.as_deref_mut();
            let keeping_up = self.router.keeping_up;
            lost |= !self.deliver(now, target, passing, &mut stored, frames, &identifiers);
            if publisher == Some(target.session) {
                // It would wait with nobody.
                self.router.keeping_up = keeping_up;
            }
        }
        let router = &mut self.router;
        (router.targets, router.identifiers) = (targets, of_targets);
        router.frames = router.frames.take().or(frames);
        Distributed {
            matched: self.router.matched,
            lost,
            unretained: false,
        }
    }

    /// Stores or removes the Retained Message of a topic [MQTT-3.3.1-5] to [MQTT-3.3.1-7]. Returns whether there was room.
    fn retain(&mut self, now: Instant, passing: &Passing<'_>) -> bool {
        if passing.payload.is_empty() {
            self.retained.remove(passing.topic);
            return true;
        }
        // A search looks at all of the store, so there must be something to find.
        if self.retained_is_full(passing) && self.retained.has_expired(now) {
            self.sweep(now);
        }
        if !self.retained_is_full(passing) {
            let message = Message::store(passing, now, &self.account);
            if let Some(at) = message.expires_at() {
                // Soon enough, and seldom.
                let at = at.max(now + SWEEP_INTERVAL);
                let at = self.sweep_at.map_or(at, |other| other.min(at));
                self.deadlines
                    .set(Due::Retained, &mut self.sweep_at, Some(at));
            }
            self.retained.insert(message);
            return true;
        }
        // What was retained here is out of date, so it goes too.
        self.retained.remove(passing.topic);
        self.stats.dropped.not_retained += 1;
        // A line when it begins, and whenever the number has doubled.
        if self.stats.dropped.not_retained.is_power_of_two() {
            log::warn!(
                "{} messages were not retained so far, the last on {:?}: {} are, no more may be \
                 (MAX_RETAINED, MAX_RETAINED_BYTES, MAX_MEMORY)",
                self.stats.dropped.not_retained,
                passing.topic,
                self.retained.len(),
            );
        }
        false
    }

    fn retained_is_full(&self, passing: &Passing<'_>) -> bool {
        let cost = Message::cost_of(passing);
        let many = self
            .limits
            .max_retained
            .is_some_and(|max| self.retained.len() >= max as usize)
            && !self.retained.contains(passing.topic);
        let large = (self.retained.bytes() + cost) as u64 > self.limits.max_retained_bytes;
        many || large || !self.has_memory_for_message(cost)
    }

    /// Removes Retained Messages that have expired.
    pub(super) fn sweep(&mut self, now: Instant) {
        let next = self
            .retained
            .sweep(now)
            .map(|at| at.max(now + SWEEP_INTERVAL));
        self.deadlines.set(Due::Retained, &mut self.sweep_at, next);
    }

    /// Finds the targets of a topic, each Session once.
    fn collect(&mut self, publisher: Option<SessionKey>, passing: &Passing<'_>) {
        let Router {
            targets,
            matched,
            identifiers,
            sequence,
            ..
        } = &mut self.router;
        targets.clear();
        *matched = false;
        identifiers.clear();
        *sequence += 1;
        let (sequence, sessions) = (*sequence, &mut self.sessions);
        let connections = &self.connections;
        let steps = self
            .subscriptions
            .matches(passing.topic, |found| match found {
                Match::Each(subscribers) => {
                    *matched = true;
                    for subscriber in subscribers {
                        // [MQTT-3.8.3-3]
                        if subscriber.no_local && publisher == Some(subscriber.session) {
                            continue;
                        }
                        let session = &mut sessions[subscriber.session as usize];
                        let (of, number) = session.matched;
                        let number = if of == sequence {
                            let target = &mut targets[number as usize];
                            target.qos = target.qos.max(subscriber.qos);
                            target.retain_as_published |= subscriber.retain_as_published;
                            number
                        } else {
                            session.matched = (sequence, targets.len() as u32);
                            targets.push(Target::new(subscriber, None));
                            targets.len() as u32 - 1
                        };
                        if subscriber.identifier > 0 {
                            targets[number as usize].identified = true;
                            identifiers.push((number, subscriber.identifier));
                        }
                    }
                }
                Match::OneOf(group) => {
                    *matched = true;
                    let chosen = sharing::choose(group, passing.qos, sessions, connections);
                    if let Some(subscriber) = chosen {
                        if subscriber.identifier > 0 {
                            identifiers.push((targets.len() as u32, subscriber.identifier));
                        }
                        targets.push(Target::new(subscriber, Some(group.share())));
                    }
                }
            });
        self.steps += steps + targets.len();
        identifiers.sort_by_key(|&(target, _)| target);
    }

    /// Sends a message to one Session, or lets it wait there. Returns false if it could not be kept for lack of memory.
    pub(super) fn deliver(
        &mut self,
        now: Instant,
        target: &Target,
        passing: &Passing<'_>,
        stored: &mut Option<Message>,
        frames: Option<&mut Frames>,
        identifiers: &[u32],
    ) -> bool {
        let session = &mut self.sessions[target.session as usize];
        let qos = passing.qos.min(target.qos); // [MQTT-3.8.4-8]
        let retain = passing.retain && target.retain_as_published; // [MQTT-3.3.1-12], [MQTT-3.3.1-13]
        let account = &self.account;
        let mut delivery = || {
            let message = stored.get_or_insert_with(|| Message::store(passing, now, account));
            let envelope = Envelope {
                message: message.clone(),
                qos,
                retain,
            };
            Delivery::new(envelope, identifiers, target.share)
        };
        let Some(key) = session.connection else {
            // What was retained goes on in its replay, but for what has come in its place: that must not be missed.
            let is_left =
                || passing.retain && target.share.is_none() && session.queue.has_replays();
            return (qos == QoS::AtMostOnce && !is_left()) || {
                let delivery = delivery();
                self.enqueue(target.session, delivery)
            };
        };
        let connection = &mut self.connections[key as usize];
        let queue = &session.queue;
        let waits = (qos > QoS::AtMostOnce && !session.window.has_room())
            || (!queue.is_idle()
                && (replay::must_wait(queue, &self.retained, passing.topic)
                    || match qos {
                        QoS::AtMostOnce => queue.has_qos_0(),
                        _ => !queue.is_empty(),
                    }));
        if waits || !connection.outbox.has_room() {
            let delivery = delivery();
            let kept = self.enqueue(target.session, delivery);
            // What held up the rest may have been dropped for it.
            match self.sessions[target.session as usize].queue.has_replays() {
                true => self.list(now, target.session),
                false => self.send_some(now, target.session, &mut 0),
            }
            match self.is_behind(target.session) {
                true => self.router.behind.push((key, qos)),
                false => self.router.keeping_up |= !self.connections[key as usize].stalled,
            }
            return kept || qos == QoS::AtMostOnce;
        }
        self.router.keeping_up = true;
        // For one alone a large payload is copied to where it is written from; several share it.
        let large = match frames {
            Some(_) => passing.payload.len() >= Outbox::SHARED_FROM,
            None => passing.payload.len() >= Outbox::APART_FROM,
        };
        // Only what is kept can be sent again, or to another member of a Shared Subscription.
        let kept = qos > QoS::AtMostOnce && (session.is_persistent() || target.share.is_some());
        let delivery = (large || kept).then(delivery);
        if kept && !self.has_memory_for_message(0) && !self.free_memory(target.session, qos) {
            self.stats.dropped.memory += 1;
            return false;
        }
        let session = &mut self.sessions[target.session as usize];
        let connection = &mut self.connections[key as usize];
        let identifier = (qos > QoS::AtMostOnce).then(|| session.window.next_identifier());
        let header = Header {
            dup: false,
            retain,
            qos,
            identifier,
        };
        let own = Own {
            identifiers,
            alias: connection.sent_aliases.find(passing.topic),
        };
        let body = delivery.as_ref().map(|delivery| &delivery.message);
        if !frame::send(connection, frames, passing, header, own, body) {
            self.stats.dropped.too_large += 1; // [MQTT-3.1.2-25]
            return true;
        }
        if let Some(identifier) = identifier {
            session
                .window
                .push(identifier, qos, delivery.filter(|_| kept));
            self.let_go(now, key);
        }
        self.stats.count_sent(passing.payload.len());
        self.touch(key);
        true
    }

    /// Puts a message into the queue of a Session, where others may have to go for it. Returns false if it could not be kept
    /// for lack of memory.
    pub(super) fn enqueue(&mut self, key: SessionKey, delivery: Delivery) -> bool {
        // The message itself is charged already, its place in the queue is not.
        if !self.has_memory_for_message(0) && !self.free_memory(key, delivery.qos) {
            self.stats.dropped.memory += 1;
            self.note_dropped(key, 1);
            return false;
        }
        let limits = &self.limits;
        let queued = self.sessions[key as usize].queue.enqueue(
            delivery,
            limits.max_queued_messages,
            limits.max_queued_bytes,
            limits.full_queue_drops,
        );
        let dropped = match queued {
            Queued::Kept => 0,
            Queued::DroppedOldest(count) => count,
            Queued::DroppedNewest(others) => others + 1,
        };
        self.stats.dropped.queue_full += u64::from(dropped);
        self.note_dropped(key, dropped);
        true
    }

    /// Sends what waits for a Session, as far as its window and its outbox allow: first what was sent on an earlier
    /// connection [MQTT-4.4.0-1], then the queue, or a slice of it where there are replays.
    pub(super) fn pump(&mut self, now: Instant, key: SessionKey) {
        let session = &self.sessions[key as usize];
        if session.queue.has_replays() {
            self.steps += self.send_slice(now, key);
        } else if !session.queue.is_idle() || session.window.waits() {
            self.send_some(now, key, &mut 0);
        }
        self.relieve(now, key);
    }

    /// The same, but where there are replays it goes on next turn.
    pub(super) fn pump_later(&mut self, now: Instant, key: SessionKey) {
        match self.sessions[key as usize].queue.has_replays() {
            true => self.list(now, key),
            false => self.pump(now, key),
        }
    }

    /// The same, where a search for Retained Messages takes from `steps`.
    pub(super) fn send_some(&mut self, now: Instant, key: SessionKey, steps: &mut usize) {
        loop {
            let mut session = &mut self.sessions[key as usize];
            let Some(connection_key) = session.connection else {
                return;
            };
            let mut connection = &mut self.connections[connection_key as usize];
            if !connection.outbox.has_room() {
                return;
            }
            if session.window.waits() {
                let Some((position, sent)) = session.window.next_again() else {
                    return;
                };
                let mut is_sent = true;
                match (sent.awaiting, &sent.delivery) {
                    (Awaiting::Comp, _) => {
                        append_ack(
                            connection,
                            AckType::PubRel,
                            sent.identifier,
                            ReasonCode::Success,
                        );
                        self.stats.answers_sent += 1;
                    }
                    (_, Some(delivery)) => {
                        let header = Header {
                            dup: true, // [MQTT-3.3.1-1]
                            retain: delivery.retain,
                            qos: delivery.qos,
                            identifier: Some(sent.identifier),
                        };
                        // Not dropped for its age: it is under way.
                        let passing = delivery.message.passing(now);
                        let own = Own {
                            identifiers: delivery.identifiers(),
                            alias: Alias::None,
                        };
                        let body = Some(&delivery.message);
                        if frame::send(connection, None, &passing, header, own, body) {
                            self.stats.count_sent(passing.payload.len());
                        } else {
                            is_sent = false;
                            self.stats.dropped.too_large += 1;
                        }
                    }
                    (_, None) => is_sent = false,
                }
                match is_sent {
                    true => session.window.sent_again(),
                    false => session.window.complete(position),
                }
                self.touch(connection_key);
                continue;
            }
            let turn = match session.queue.front() {
                _ if session.queue.has_replays() => {
                    let turn = self.next_turn(now, key, steps);
                    session = &mut self.sessions[key as usize];
                    connection = &mut self.connections[connection_key as usize];
                    turn
                }
                Some(next) if next.qos == QoS::AtMostOnce || session.window.has_room() => {
                    Turn::Message
                }
                _ => return,
            };
            let is_replayed = matches!(turn, Turn::Retained(_));
            let delivery = match turn {
                Turn::Retained(delivery) => delivery,
                Turn::Message => match session.queue.pop() {
                    Some(delivery) => delivery,
                    None => return,
                },
                Turn::Over => continue,
                Turn::Later => {
                    self.list(now, key);
                    return;
                }
                Turn::Nobody => return,
            };
            if delivery.message.expired(now) {
                self.stats.dropped.expired += 1; // [MQTT-3.3.2-5]
                if delivery.qos > QoS::AtMostOnce {
                    // Mosquitto counts it too: it numbers messages before they wait.
                    session.window.next_identifier();
                }
                continue;
            }
            let identifier =
                (delivery.qos > QoS::AtMostOnce).then(|| session.window.next_identifier());
            let header = Header {
                dup: false,
                retain: delivery.retain,
                qos: delivery.qos,
                identifier,
            };
            let passing = delivery.message.passing(now);
            let alias = match connection.sent_aliases.find(passing.topic) {
                // A replay would use the numbers up for topics that may never come again.
                Alias::New(_) if is_replayed => Alias::None,
                alias => alias,
            };
            let own = Own {
                identifiers: delivery.identifiers(),
                alias,
            };
            let body = Some(&delivery.message);
            if !frame::send(connection, None, &passing, header, own, body) {
                self.stats.dropped.too_large += 1;
                continue;
            }
            self.stats.count_sent(passing.payload.len());
            if let Some(identifier) = identifier {
                let qos = delivery.qos;
                let kept = session.is_persistent() || delivery.share().is_some();
                let kept = kept.then_some(delivery);
                session.window.push(identifier, qos, kept);
            }
            self.touch(connection_key);
        }
    }

    /// Appends an acknowledgement to the outbox of a connection. It has five bytes at most, as many as the CONNACK that its
    /// client could take.
    pub(super) fn acknowledge_packet(
        &mut self,
        key: ConnectionKey,
        kind: AckType,
        packet_identifier: PacketIdentifier,
        reason: ReasonCode,
    ) {
        append_ack(
            &mut self.connections[key as usize],
            kind,
            packet_identifier,
            reason,
        );
        self.stats.answers_sent += 1;
        self.touch(key);
    }
}

fn append_ack(
    connection: &mut Connection,
    kind: AckType,
    packet_identifier: PacketIdentifier,
    reason: ReasonCode,
) {
    let ack = Ack {
        packet_identifier,
        reason,
        properties: Properties::EMPTY,
    };
    let out = connection.outbox.append();
    let start = out.len();
    let encoded = ack.encode(kind, connection.version, out);
    let len = out.len() - start;
    connection.outbox.note_answer(len);
    debug_assert!(
        encoded.is_ok(),
        "an acknowledgement without properties has five bytes at most"
    );
}
