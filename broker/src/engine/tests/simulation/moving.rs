//! How bytes move between clients and engine, as the broker's core moves them: each call of the engine is judged.

use mqtt::{Connect, DecodeError, Packet, Publish, ReasonCode, Version};

use super::super::super::connection::Phase as EnginePhase;
use super::super::super::{ConnectionKey, Limits, Verdict};
use super::answer::Answer;
use super::schedule::World;
use super::state::Phase;
use super::taking::Hint;

/// How often a connection is written before others have their turn.
const WRITES_A_TURN: usize = 8;

impl World {
    pub(super) fn deliver_up_somewhere(&mut self) {
        let able = |index: &usize| {
            let link = &self.links[*index];
            link.key.is_some() && (link.has_under_way() || link.is_at_end())
        };
        let able: Vec<_> = (0..self.links.len()).filter(able).collect();
        if able.is_empty() {
            return;
        }
        let index = self.random.pick(&able);
        let link = &self.links[index];
        let under_way = link.up.len() - link.arrived;
        let count = match self.random.below(4) {
            0 if under_way > 0 => self.random.between(1, under_way),
            1 if under_way > 0 => self.random.between(1, under_way.min(30)),
            _ => under_way,
        };
        self.deliver_up(index, count);
    }

    /// So many bytes arrive at the broker; after the last one it sees the end.
    pub(super) fn deliver_up(&mut self, index: usize, count: usize) {
        let link = &mut self.links[index];
        let Some(key) = link.key else { return };
        if self.engine.is_held(key) {
            return; // not read
        }
        link.arrived += count;
        if count > 0 {
            self.tell(|_| format!("link {index} delivers {count} bytes to the broker"));
            self.offer(index);
        } else if link.is_at_end() {
            self.tell(|_| format!("link {index} has ended for the broker"));
            self.close(key);
        }
    }

    /// Gives the engine what has arrived.
    pub(super) fn offer(&mut self, index: usize) {
        loop {
            let link = &mut self.links[index];
            let Some(key) = link.key else { return };
            if link.arrived == 0 || self.engine.is_held(key) {
                return;
            }
            let right = link.up.len() - link.wrong;
            let len = match right {
                0 => link.arrived,
                _ => {
                    // An acknowledgement sends what the next packet may put something else in the place of.
                    let session = self.engine.connections[key as usize].session;
                    let has_replays = |session| {
                        let session = &self.engine.sessions[session as usize];
                        session.queue.has_replays()
                    };
                    let is_single = self.scenario.is_single || session.is_some_and(has_replays);
                    portion(&link.up[..link.arrived.min(right)], is_single)
                }
            };
            let input: Vec<u8> = link.up[..len].to_vec();
            let used = self.engine.receive(self.now, key, &input);
            link.up.drain(..used);
            link.arrived -= used;
            link.wrong = link.wrong.min(link.up.len());
            let rest = link.arrived;
            let now = self.now;
            self.ledger.connection(key).last_sign = now;
            self.take(key, &input[..used]);
            self.judge();
            if used < len || rest == 0 || used == 0 {
                return;
            }
        }
    }

    /// The ledger takes what the engine has taken.
    fn take(&mut self, key: ConnectionKey, bytes: &[u8]) {
        let mut at = 0;
        while at < bytes.len() {
            let connection = &self.ledger.connections[&key];
            let phase = connection.phase;
            let limit = match phase {
                Phase::Connecting => self
                    .scenario
                    .limits
                    .max_packet_size
                    .min(Limits::MAX_CONNECT),
                Phase::Connected => self.scenario.limits.max_packet_size,
                Phase::Ended => return,
            };
            let is_ended = self.engine.verdict(key) != Verdict::Keep;
            match mqtt::decode(&bytes[at..], connection.version, limit) {
                Ok(Some((packet, len))) => {
                    at += len;
                    self.tell(|world| {
                        let index = world.by_key[&key];
                        format!(
                            "the engine has taken from link {index}: {}",
                            super::name(&packet)
                        )
                    });
                    let is_refused = is_ended
                        && self.ledger.is_poor()
                        && sets_alias(&packet)
                        && self.has_said(key, |packet| match packet {
                            Packet::Disconnect(it) => it.reason == ReasonCode::QuotaExceeded,
                            _ => false,
                        });
                    if is_refused {
                        // No memory for its Topic Alias.
                        self.ledger.messages.0 += 1;
                        self.ledger
                            .end(self.now, key, Some(ReasonCode::QuotaExceeded));
                        return;
                    }
                    let hint = self.hint(key, &packet);
                    self.ledger.take(self.now, key, &packet, &hint);
                    let link = &mut self.links[self.by_key[&key]];
                    link.epoch = self.ledger.connections[&key].session;
                }
                Ok(None) if phase == Phase::Connecting => {
                    self.ledger.end(self.now, key, None);
                }
                Ok(None) => {
                    // No memory for the rest of a large packet.
                    assert!(is_ended && self.ledger.is_poor(), "half a packet was taken");
                    self.ledger
                        .end(self.now, key, Some(ReasonCode::QuotaExceeded));
                }
                Err(error) => {
                    self.tell(|_| format!("the engine has taken what is no packet: {error}"));
                    if phase == Phase::Connecting {
                        self.refuse(key, &bytes[at..], &error);
                    }
                    self.ledger
                        .take_malformed(self.now, key, &error, &bytes[at..]);
                }
            }
        }
    }

    /// What is said of bytes that are no CONNECT, if anything.
    fn refuse(&mut self, key: ConnectionKey, bytes: &[u8], error: &DecodeError) {
        let connection = self.ledger.connection(key);
        if Connect::claimed_version(bytes) == Some(Version::V5) {
            connection.version = Version::V5;
            let code = error.reason_code() as u8;
            connection.answers.push_back(Answer::Refusal(code));
        } else if matches!(error, DecodeError::UnsupportedProtocolVersion(_)) {
            connection.answers.push_back(Answer::Refusal(1));
        }
    }

    fn hint(&self, key: ConnectionKey, packet: &Packet<'_>) -> Hint {
        let mut hint = Hint::default();
        let version = match packet {
            Packet::Connect(connect) => connect.version,
            Packet::Subscribe(_) => self.ledger.connections[&key].version,
            Packet::Publish(publish) if self.ledger.is_poor() => {
                hint.is_refused = self.is_refused(key, publish);
                return hint;
            }
            _ => return hint,
        };
        let connection = &self.engine.connections[key as usize];
        let observed = self.ledger.connections[&key].observed;
        let bytes = connection.outbox.unwritten(observed);
        match mqtt::decode(&bytes, version, u32::MAX) {
            Ok(Some((Packet::ConnAck(it), _))) => {
                hint.connack = Some((it.code, it.session_present));
            }
            Ok(Some((Packet::SubAck(it), _))) => hint.suback = it.codes.to_vec(),
            _ => {}
        }
        let session = connection
            .session
            .map(|session| &self.engine.sessions[session as usize]);
        hint.name = session.map(|session| session.client_identifier.to_string());
        if let Packet::Connect(connect) = packet
            && self.ledger.is_poor()
            && self.engine.evicted > self.counted.evicted
        {
            let is_gone = |name: &str| self.engine.find_session(name).is_none();
            let sessions = self.ledger.sessions.iter();
            let absent = sessions.filter(|(_, session)| session.connection.is_none());
            let evicted = absent.filter(|(_, session)| {
                is_gone(&session.name) || *session.name == *connect.client_identifier
            });
            hint.evicted = evicted.map(|(&epoch, _)| epoch).collect();
        }
        hint
    }

    /// Whether the engine has said that it could not keep a message.
    fn is_refused(&self, key: ConnectionKey, publish: &Publish<'_>) -> bool {
        let connection = &self.ledger.connections[&key];
        if connection.version < Version::V5 {
            return publish.packet_identifier.is_some()
                && self.engine.verdict(key) != Verdict::Keep;
        }
        self.has_said(key, |packet| match packet {
            Packet::PubAck(ack) | Packet::PubRec(ack) => ack.reason == ReasonCode::QuotaExceeded,
            _ => false,
        })
    }

    /// Whether the engine has sent such a packet to a client of 5.0 in this step.
    fn has_said(&self, key: ConnectionKey, is_such: impl Fn(&Packet<'_>) -> bool) -> bool {
        let outbox = &self.engine.connections[key as usize].outbox;
        let bytes = outbox.unwritten(self.ledger.connections[&key].observed);
        let mut at = 0;
        while let Ok(Some((packet, len))) = mqtt::decode(&bytes[at..], Version::V5, u32::MAX) {
            at += len;
            if is_such(&packet) {
                return true;
            }
        }
        false
    }

    pub(super) fn deliver_down_somewhere(&mut self) {
        let able = |index: &usize| {
            let link = &self.links[*index];
            let is_read = link.client < self.clients.len()
                && self.clients[link.client].link == Some(*index)
                && !link.is_unread;
            is_read && (!link.down.is_empty() || link.down_ends)
        };
        let able: Vec<_> = (0..self.links.len()).filter(able).collect();
        if able.is_empty() {
            return;
        }
        let index = self.random.pick(&able);
        if self.random.one_in(3 * self.scenario.slow) {
            // It stops reading until somebody shakes it.
            self.links[index].is_unread = true;
            return;
        }
        let len = self.links[index].down.len();
        let count = match self.random.below(3) {
            0 if len > 0 => self.random.between(1, len),
            _ => len,
        };
        self.deliver_down(index, count);
        if self.random.one_in(4) {
            let unread = self.random.below(self.links.len());
            self.links[unread].is_unread = false;
        }
    }

    /// So many bytes arrive at a client; after the last one it sees the end.
    pub(super) fn deliver_down(&mut self, index: usize, count: usize) {
        let link = &mut self.links[index];
        let who = link.client;
        let bytes: Vec<u8> = link.down.drain(..count).collect();
        let is_over = link.down.is_empty() && link.down_ends;
        if bytes.is_empty() {
            if is_over {
                self.tell(|_| format!("link {index} has ended for client {who}"));
                self.hang_up(who);
            }
            return;
        }
        let mut partial = std::mem::take(&mut self.clients[who].partial);
        partial.extend_from_slice(&bytes);
        let mut at = 0;
        while self.clients[who].link == Some(index) {
            let version = self.clients[who].terms.version;
            let decoded = mqtt::decode(&partial[at..], version, u32::MAX);
            let Some((packet, len)) = decoded.expect("the broker sends packets") else {
                break;
            };
            at += len;
            self.tell(|_| format!("client {who} gets {}", super::name(&packet)));
            self.arrive(who, &packet);
        }
        if self.clients[who].link == Some(index) {
            partial.drain(..at);
            self.clients[who].partial = partial;
        }
    }

    fn arrive(&mut self, who: usize, packet: &Packet<'_>) {
        if let Packet::ConnAck(connack) = packet {
            if connack.code != 0 {
                self.hang_up(who);
                return;
            }
            let link = self.clients[who].link.expect("a link");
            let epoch = self.links[link].epoch.expect("the Session of a CONNACK");
            for bytes in self.clients[who].take_connack(connack, epoch) {
                self.send(who, &bytes);
            }
            return;
        }
        self.give_up(who);
        let refuses = self.random.one_in(30);
        let answer = self.clients[who].take(packet, refuses);
        if matches!(packet, Packet::Disconnect(_)) {
            self.hang_up(who);
        } else if !self.clients[who].is_done {
            self.send(who, &answer);
        }
    }

    /// A client forgets that it has received what the broker has given up since: nothing will release it.
    pub(super) fn give_up(&mut self, who: usize) {
        let client = &mut self.clients[who];
        let session = client
            .epoch
            .and_then(|epoch| self.ledger.sessions.get(&epoch));
        if let Some(session) = session.filter(|session| !session.given_up.is_empty()) {
            let lives = |id| session.flights.iter().any(|flight| flight.identifier == id);
            client.received.retain(|&id| lives(id));
        }
    }

    /// Writes every connection with something in its outbox, and closes those that are at their end.
    pub(super) fn flush(&mut self) {
        let mut dirty = Vec::new();
        loop {
            for key in self.engine.take_resumed() {
                if let Some(&index) = self.by_key.get(&key) {
                    self.links[index].resumed = true;
                }
            }
            self.engine.take_dirty(&mut dirty);
            if dirty.is_empty() {
                break;
            }
            for &key in &dirty {
                if let Some(&index) = self.by_key.get(&key) {
                    self.write(index);
                }
            }
        }
        for (&key, &index) in &self.by_key {
            let link = &self.links[index];
            let waits = link.is_blocked || link.again;
            assert!(
                waits || self.engine.outbox(key).is_empty(),
                "the outbox of link {index} waits, but nobody knows"
            );
            let is_over = match self.engine.verdict(key) {
                Verdict::Keep => true,
                Verdict::CloseWhenWritten => waits || link.finished,
                Verdict::CloseNow => false,
            };
            assert!(is_over, "link {index} is to be closed, but nobody knows");
            let phase = self.engine.connections[key as usize].phase;
            let has_packet = link.arrived > 0 && phase == EnginePhase::Connected && {
                let limit = self.scenario.limits.max_packet_size;
                let version = self.engine.connections[key as usize].version;
                !matches!(
                    mqtt::decode(&link.up[..link.arrived], version, limit),
                    Ok(None)
                )
            };
            assert!(
                !has_packet || link.resumed || self.engine.is_held(key),
                "link {index} has packets for the engine, but nobody knows"
            );
        }
    }

    /// Writes the outbox of a connection as far as its link takes it.
    pub(super) fn write(&mut self, index: usize) {
        self.links[index].is_blocked = false;
        for _ in 0..WRITES_A_TURN {
            let Some(key) = self.links[index].key else {
                return;
            };
            if self.engine.verdict(key) == Verdict::CloseNow {
                self.tell(|_| format!("the broker closes link {index}"));
                self.close(key);
                return;
            }
            let outbox = self.engine.outbox(key);
            if outbox.is_empty() {
                break;
            }
            let (len, link) = (outbox.len(), &mut self.links[index]);
            let mut count = len.min(link.room());
            if count > 1 && self.random.one_in(8) {
                count = self.random.between(1, count);
            }
            link.is_blocked = count < len;
            if count == 0 {
                return;
            }
            link.write(&outbox[..count]);
            self.engine.written(self.now, key, count);
            self.ledger.connection(key).observed -= count;
            self.judge();
            if count < len {
                return;
            }
        }
        let link = &mut self.links[index];
        let Some(key) = link.key else { return };
        if !self.engine.outbox(key).is_empty() {
            link.again = true;
        } else if self.engine.verdict(key) == Verdict::CloseWhenWritten && !link.finished {
            link.finished = true;
            link.down_ends = true;
        }
    }

    /// The socket of a connection is gone.
    pub(super) fn close(&mut self, key: ConnectionKey) {
        self.engine
            .closed(self.now, key, "closed by the simulation");
        self.ledger.closed(self.now, key);
        if let Some(index) = self.by_key.remove(&key) {
            let link = &mut self.links[index];
            link.key = None;
            link.down_ends = true;
            (link.again, link.resumed, link.is_blocked) = (false, false, false);
        }
        self.judge();
    }

    /// The broker does what is due.
    pub(super) fn expire(&mut self) {
        self.engine.expire(self.now);
        let ended = self.ended();
        self.ledger.expire(self.now, &ended);
        self.judge();
        self.ledger.judge_time(self.now, &self.engine);
        self.flush();
    }

    /// The broker makes place for a connection: of one that has ended, else of the one that waits longest for CONNECT.
    pub(super) fn make_place(&mut self) {
        let phases = self.engine.connections.iter().map(|(_, one)| one.phase);
        let is_drained = phases
            .filter(|&phase| phase == EnginePhase::Draining)
            .count()
            > 0;
        let any = self.engine.make_place(self.now);
        let ended = self.ended();
        assert_eq!(
            ended.len(),
            usize::from(any && !is_drained),
            "strangers ended"
        );
        for key in ended {
            let opened = self.ledger.connections[&key].opened_at;
            let mut others = self.ledger.connections.values();
            let is_oldest =
                others.all(|one| one.phase != Phase::Connecting || one.opened_at >= opened);
            assert!(is_oldest, "not the oldest");
            self.ledger.end(self.now, key, None);
        }
        self.judge();
    }

    /// Connections that the engine has ended, of which the ledger does not know yet.
    pub(super) fn ended(&self) -> Vec<ConnectionKey> {
        let connections = self.ledger.connections.iter();
        let ended = connections.filter(|(key, connection)| {
            connection.phase != Phase::Ended && self.engine.verdict(**key) != Verdict::Keep
        });
        ended.map(|(&key, _)| key).collect()
    }
}

/// Whether this may need memory for a Topic Alias.
fn sets_alias(packet: &Packet<'_>) -> bool {
    match packet {
        Packet::Publish(publish) => {
            publish.topic.is_some()
                && publish
                    .properties
                    .topic_alias()
                    .is_some_and(|alias| alias < 1000)
        }
        _ => false,
    }
}

/// How many of these bytes the engine gets in one call: packets whose effect depends on more than the ledger knows come
/// alone.
fn portion(bytes: &[u8], is_single: bool) -> usize {
    let mut at = 0;
    while at < bytes.len() {
        match mqtt::frame(&bytes[at..], u32::MAX) {
            Ok(Some(frame)) if at + frame.total_len <= bytes.len() => {
                let is_delicate = is_single || !matches!(frame.first_byte >> 4, 3..=7 | 12);
                if is_delicate && at > 0 {
                    return at;
                }
                at += frame.total_len;
                if is_delicate {
                    return at;
                }
            }
            _ => return bytes.len(),
        }
    }
    at
}
