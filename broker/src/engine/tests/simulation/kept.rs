//! What the engine keeps after a step, under way, queued and retained: what the ledger says, no more and no less.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Instant;

use mqtt::{QoS, Version};

use super::super::super::Engine;
use super::super::super::queue::Delivery;
use super::super::super::replay::check::Pending;
use super::super::super::window::Awaiting;
use super::ledger::Ledger;
use super::message;
use super::record::{Description, Origin, Owed, Seen};
use super::state::{Choice, Stage, Taker};

impl Ledger {
    /// What is under way is the same on both sides; deliveries that were given up as too large are missing.
    pub(super) fn look_at_flights(
        &mut self,
        now: Instant,
        engine: &Engine,
        missing: &mut Vec<String>,
    ) {
        for session in self.sessions.values_mut() {
            let Some(key) = engine.find_session(&session.name) else {
                panic!("the session of {:?} is gone", session.name);
            };
            let in_flight = &engine.sessions[key as usize].window;
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
    pub(super) fn look_at_queues(
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
            let pending: Vec<_> = theirs
                .queue
                .replays()
                .flat_map(|replay| replay.rest(&engine.retained))
                .filter(|pending| !pending.message.expired(now))
                .collect();
            let same = theirs.queue.iter().count() + pending.len() == session.owed.len()
                && session
                    .owed
                    .iter()
                    .all(|owed| !owed.perhaps && !owed.overtaken);
            if same && !thorough && !choosers.contains(&epoch) {
                for owed in &mut self.session(epoch).owed {
                    owed.has_waited = true;
                }
                continue;
            }
            let is_absent = session.connection.is_none();
            let owed = std::mem::take(&mut self.session(epoch).owed);
            let (mut replayed, owed): (Vec<_>, Vec<_>) =
                owed.into_iter().partition(|owed| owed.replay.is_some());
            let mut owed: Vec<_> = owed.into_iter().map(Some).collect();
            let mut kept: Vec<Owed> = Vec::with_capacity(owed.len());
            let mut place = 0;
            for delivery in theirs.queue.iter() {
                let seen = seen(now, delivery, engine);
                let fits = |owed: &Owed| owed.is(&seen);
                let may_wait = delivery.qos > QoS::AtMostOnce
                    || !is_absent
                    || (delivery.message.retain() && theirs.queue.has_replays());
                assert!(may_wait, "{seen:?} is kept for who is away");
                // What has come to the queue again is behind what came before it.
                let last = kept.last().map_or(0, |one| one.tick);
                let fits_here = |owed: &Owed| fits(owed) && owed.tick >= last;
                let found = match align(now, &owed[place..], &fits_here) {
                    Some(index) => {
                        place += index + 1;
                        owed[place - 1].take()
                    }
                    None => None,
                };
                let found = found.or_else(|| self.choose(epoch, &seen));
                // What came at the same time has no order.
                let found = found.or_else(|| {
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
                found.perhaps = false;
                found.has_waited = true;
                found.stored = Some(delivery.message.address());
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
            for one in pending {
                let seen = seen_pending(now, &one);
                let alike = || {
                    replayed
                        .iter()
                        .enumerate()
                        .filter(|(_, owed)| owed.is(&seen))
                };
                // The client can't tell for which of its Subscriptions it has got one.
                let place = alike()
                    .find(|(_, owed)| owed.replay.as_deref() == Some(&*one.filter))
                    .or_else(|| alike().next());
                let Some((place, _)) = place else {
                    let name = &self.sessions[&epoch].name;
                    panic!("{seen:?} is to be sent to {name:?}, nobody knows why");
                };
                let mut found = replayed.remove(place);
                found.replay = Some(one.filter.as_ref().into());
                found.granted = one.granted;
                assert!(!found.overtaken, "{} was overtaken", found.record.name());
                found.perhaps = false;
                found.has_waited = true;
                found.stored = Some(one.message.address());
                kept.push(found);
            }
            for one in replayed {
                // What expires meanwhile is not sent, and nobody counts it.
                if one.perhaps || one.record.expired(now) {
                    *doubtful += u64::from(!one.record.expired(now));
                    continue;
                }
                let name = &self.sessions[&epoch].name;
                assert!(
                    one.is_void(now, version, max_packet),
                    "{one:?} for {name:?} is lost"
                );
                missing.push(format!("{one:?} for {name:?}"));
            }
            kept.sort_by_key(|one| one.tick);
            self.session(epoch).owed = kept;
        }
    }

    /// Whether queues have limits.
    pub(super) fn is_lossy(&self) -> bool {
        self.limits.max_queued_messages.is_some()
            || self.limits.max_queued_bytes.is_some()
            || self.is_poor()
    }

    /// The same, where what a client has got of QoS 0 may have been taken for what waits.
    #[expect(
        clippy::result_large_err,
        reason = "what is not found is given back as it came"
    )]
    pub(super) fn choose_any<'a>(
        &mut self,
        epoch: u32,
        mut seen: Seen<'a>,
    ) -> Result<Owed, Seen<'a>> {
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
    pub(super) fn choose(&mut self, epoch: u32, seen: &Seen<'_>) -> Option<Owed> {
        let mut visited = vec![false; self.choices.len()];
        let is_sure = seen.origin != Origin::Unknown;
        settle(&mut self.choices, epoch, seen, is_sure, &mut visited)
    }

    /// Each message of a Shared Subscription has found its one member. Counts those that were dropped.
    pub(super) fn look_at_choices(
        &mut self,
        now: Instant,
        missing: &mut Vec<String>,
        doubtful: &mut u64,
    ) {
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
                    members.any(|(epoch, owed)| *epoch == taker.epoch && owed.is(&taker.seen))
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
    pub(super) fn may_drop(&self, now: Instant, choice: &Choice) -> bool {
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

    pub(super) fn look_at_retained(&mut self, now: Instant, engine: &Engine, thorough: bool) {
        let touched = std::mem::take(&mut self.touched);
        for (topic, last) in touched.iter().rev() {
            if self.retained.get(topic) != last.as_ref() {
                continue; // settled by a later one
            }
            let found = engine.retained.matching(topic);
            let payload = found.first().map(|message| message.payload().to_vec());
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
            for message in engine.retained.matching(filter) {
                if !message.expired(now) {
                    theirs.insert((message.topic().to_owned(), message.payload().to_vec()));
                }
            }
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
}

/// Finds the choice that gave a member what it got; where several may have, members change places until all have one.
fn settle(
    choices: &mut [Choice],
    epoch: u32,
    seen: &Seen<'_>,
    is_sure: bool,
    visited: &mut [bool],
) -> Option<Owed> {
    for index in 0..choices.len() {
        let mut members = choices[index].members.iter();
        let member = members.find(|(member, owed)| *member == epoch && owed.is(seen));
        let Some((_, owed)) = member.filter(|_| !std::mem::replace(&mut visited[index], true))
        else {
            continue;
        };
        let owed = owed.clone();
        if let Some(taker) = choices[index].taker.clone()
            && (taker.is_sure
                || settle(choices, taker.epoch, &taker.seen, false, visited).is_none())
        {
            continue;
        }
        choices[index].taker = Some(Taker {
            epoch,
            seen: seen.keep(),
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

fn seen_pending(now: Instant, pending: &Pending) -> Seen<'_> {
    let identifier = Some(pending.identifier).filter(|&identifier| identifier > 0);
    Seen {
        topic: pending.message.topic().into(),
        payload: pending.message.payload().into(),
        qos: pending.qos,
        retain: true,
        identifiers: Some(identifier.into_iter().collect()),
        origin: Origin::Own,
        described: Some(Description::of(&pending.message, now)),
        stored: Some(pending.message.address()),
    }
}

/// What waits in a queue.
pub(super) fn seen<'a>(now: Instant, delivery: &'a Delivery, engine: &Engine) -> Seen<'a> {
    let mut identifiers = delivery.identifiers().to_vec();
    identifiers.sort_unstable();
    Seen {
        topic: delivery.message.topic().into(),
        payload: delivery.message.payload().into(),
        qos: delivery.qos,
        retain: delivery.retain,
        identifiers: Some(identifiers),
        origin: Origin::of(Some(delivery), engine),
        described: Some(Description::of(&delivery.message, now)),
        stored: Some(delivery.message.address()),
    }
}
