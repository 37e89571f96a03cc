//! Shared Subscriptions: which member gets a message, and who gets what a member that has gone leaves behind.

use std::time::Instant;

use mqtt::QoS;
use slab::Slab;

use super::Engine;
use super::connection::Connection;
use super::delivery::Target;
use super::queue::Delivery;
use super::session::{Session, SessionKey};
use super::subscriptions::{Group, Subscriber};

/// The member that gets a message published with `qos`: in turn, whoever can take it now; else whoever is connected and makes
/// progress; else whoever keeps it for later.
pub(super) fn choose<'a>(
    group: &'a Group,
    qos: QoS,
    sessions: &Slab<Session>,
    connections: &Slab<Connection>,
) -> Option<&'a Subscriber> {
    let connection = |member: &Subscriber| {
        let key = sessions[member.session as usize].connection?;
        Some(&connections[key as usize])
    };
    let is_free = |member: &&Subscriber| {
        let session = &sessions[member.session as usize];
        session.queue.is_empty()
            && (qos.min(member.qos) == QoS::AtMostOnce || session.window.has_room())
            && connection(member).is_some_and(|connection| connection.outbox.has_room())
    };
    let progresses =
        |member: &&Subscriber| connection(member).is_some_and(|connection| !connection.stalled);
    let is_connected = |member: &&Subscriber| connection(member).is_some();
    let keeps = |member: &&Subscriber| qos.min(member.qos) > QoS::AtMostOnce;
    let turn = group.turn();
    let place = |fits: &dyn Fn(&&Subscriber) -> bool| turn.clone().position(|member| fits(&member));
    let place = place(&is_free)
        .or_else(|| place(&progresses))
        .or_else(|| place(&is_connected))
        .or_else(|| place(&keeps))
        .unwrap_or(0);
    group.took(place);
    turn.clone().nth(place)
}

impl Engine {
    /// The client of a Session has gone: what waits for it from a Shared Subscription goes to members that are still there.
    pub(super) fn pass_on_queued(&mut self, now: Instant, key: SessionKey) {
        let mut queue = std::mem::take(&mut self.sessions[key as usize].queue);
        let (subscriptions, sessions) = (&self.subscriptions, &self.sessions);
        let has_others = |delivery: &Delivery| {
            let share = delivery
                .share()
                .and_then(|share| subscriptions.group(share));
            share.is_some_and(|group| {
                group.members().iter().any(|member| {
                    member.session != key && sessions[member.session as usize].connection.is_some()
                })
            })
        };
        let left = queue.take(has_others);
        self.sessions[key as usize].queue = queue;
        self.distribute_again(now, left);
    }

    /// Gives messages of a Session that has ended to other members, as the standard asks for QoS 1. A QoS 2 message that was
    /// begun is among them no more [MQTT-4.8.2-5].
    pub(super) fn distribute_again(&mut self, now: Instant, left: Vec<Delivery>) {
        for delivery in left {
            let share = delivery.share().copied();
            let group = share.and_then(|share| self.subscriptions.group(&share));
            let qos = delivery.message.qos();
            let chosen =
                group.and_then(|group| choose(group, qos, &self.sessions, &self.connections));
            let Some(&subscriber) = chosen else {
                self.stats.dropped.no_subscriber += 1;
                continue;
            };
            if delivery.message.expired(now) {
                self.stats.dropped.expired += 1; // [MQTT-3.3.2-5]
                continue;
            }
            let target = Target::new(&subscriber, share);
            let identifiers: &[u32] = match subscriber.identifier {
                0 => &[],
                ref identifier => std::slice::from_ref(identifier),
            };
            let message = delivery.message.clone();
            let passing = message.passing(now);
            let mut stored = Some(message.clone());
            self.deliver(now, &target, &passing, &mut stored, None, identifiers);
        }
    }
}
