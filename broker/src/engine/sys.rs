//! What the broker publishes of itself below `$SYS/`, under the names that Mosquitto made known.
//!
//! The values are told in intervals of SYS_INTERVAL, each if it has changed, and only while somebody listens: a Session
//! that is connected and has a Subscription below `$SYS`. Without one there is no deadline, and nothing is computed or
//! kept. They are Retained Messages in that a new Subscription gets them at once, but they are not in the retained
//! store; and what is told while a Session is away it does not get later, unlike other messages.

use std::borrow::Cow;
use std::time::Instant;

use mqtt::{Properties, QoS, TopicFilter, TopicName};
use thin_vec::ThinVec;

use super::Engine;
use super::deadlines::Due;
use super::load::{Load, WINDOWS};
use super::message::{Message, Passing};
use super::session::SessionKey;

/// The first level of all topics here.
const FIRST_LEVEL: &str = "$SYS";

/// Finds out how many there are, or were, of something.
type Count = fn(&Engine) -> u64;

/// How many there are of something, by topic.
const COUNTS: [(&str, Count); 32] = [
    ("$SYS/broker/clients/total", |it| it.sessions.len() as u64),
    // Inactive and active are what disconnected and connected were called once.
    ("$SYS/broker/clients/inactive", Engine::absent_sessions),
    ("$SYS/broker/clients/disconnected", Engine::absent_sessions),
    ("$SYS/broker/clients/active", |it| it.clients.into()),
    ("$SYS/broker/clients/connected", |it| it.clients.into()),
    ("$SYS/broker/clients/maximum", |it| {
        it.stats.max_clients.into()
    }),
    ("$SYS/broker/clients/expired", |it| {
        it.stats.sessions_expired
    }),
    ("$SYS/broker/clients/refused", |it| it.refusals.total()),
    ("$SYS/broker/sessions/evicted", |it| it.evicted),
    ("$SYS/broker/messages/stored", |it| {
        it.account.messages() as u64
    }),
    ("$SYS/broker/messages/received", |it| {
        it.stats.packets_received
    }),
    ("$SYS/broker/messages/sent", |it| it.stats.packets_sent()),
    ("$SYS/broker/messages/dropped/queue_full", |it| {
        it.stats.dropped.queue_full
    }),
    ("$SYS/broker/messages/dropped/too_large", |it| {
        it.stats.dropped.too_large
    }),
    ("$SYS/broker/messages/dropped/expired", |it| {
        it.stats.dropped.expired
    }),
    ("$SYS/broker/messages/dropped/not_retained", |it| {
        it.stats.dropped.not_retained
    }),
    ("$SYS/broker/messages/dropped/no_subscriber", |it| {
        it.stats.dropped.no_subscriber
    }),
    ("$SYS/broker/messages/dropped/memory", |it| {
        it.stats.dropped.memory
    }),
    ("$SYS/broker/store/messages/count", |it| {
        it.account.messages() as u64
    }),
    ("$SYS/broker/store/messages/bytes", |it| {
        it.account.payload_bytes() as u64
    }),
    ("$SYS/broker/subscriptions/count", Engine::own_subscriptions),
    ("$SYS/broker/shared_subscriptions/count", |it| {
        it.subscriptions.shared() as u64
    }),
    ("$SYS/broker/retained messages/count", |it| {
        it.retained.len() as u64
    }),
    ("$SYS/broker/heap/current", |it| it.account.bytes() as u64),
    ("$SYS/broker/heap/maximum", |it| {
        it.account.most_bytes() as u64
    }),
    ("$SYS/broker/publish/messages/dropped", |it| {
        it.stats.dropped.total()
    }),
    ("$SYS/broker/publish/messages/received", |it| {
        it.stats.messages_received
    }),
    ("$SYS/broker/publish/messages/sent", |it| {
        it.stats.messages_sent
    }),
    ("$SYS/broker/publish/bytes/received", |it| {
        it.stats.payload_bytes_received
    }),
    ("$SYS/broker/publish/bytes/sent", |it| {
        it.stats.payload_bytes_sent
    }),
    ("$SYS/broker/bytes/received", |it| it.stats.bytes_received),
    ("$SYS/broker/bytes/sent", |it| it.stats.bytes_sent),
];

/// Totals of which the rate per minute is told, by the part of the topic that names them.
const RATES: [(&str, Count); 9] = [
    ("messages/received", |it| it.stats.packets_received),
    ("messages/sent", |it| it.stats.packets_sent()),
    ("publish/dropped", |it| it.stats.dropped.total()),
    ("publish/received", |it| it.stats.messages_received),
    ("publish/sent", |it| it.stats.messages_sent),
    ("bytes/received", |it| it.stats.bytes_received),
    ("bytes/sent", |it| it.stats.bytes_sent),
    ("sockets", |it| it.serial),
    ("connections", |it| it.stats.connects),
];

/// One of the broker's topics and what it says.
#[derive(Debug)]
struct Value {
    topic: Cow<'static, str>,
    text: String,
}

impl Value {
    fn passing(&self) -> Passing<'_> {
        Passing {
            topic: &self.topic,
            payload: self.text.as_bytes(),
            properties: Properties::EMPTY,
            // Each Subscription gets the QoS that it was granted.
            qos: QoS::ExactlyOnce,
            retain: true,
            lifetime: None,
        }
    }
}

/// The state of all this.
#[derive(Debug)]
pub(super) struct Sys {
    started: Instant,
    /// Connected Sessions with a Subscription below `$SYS`.
    listeners: u32,
    /// What `deadlines` holds for the next interval.
    due: Option<Instant>,
    /// What was told last, always in the same order; nothing while nobody listens.
    told: Vec<Value>,
    /// A Session has come back that may have missed changes.
    tell_all: bool,
    loads: [Load; RATES.len()],
    /// When `loads` were last brought up to date.
    loaded: Instant,
}

impl Sys {
    pub(super) fn new(now: Instant) -> Self {
        Sys {
            started: now,
            listeners: 0,
            due: None,
            told: Vec::new(),
            tell_all: false,
            loads: [Load::default(); RATES.len()],
            loaded: now,
        }
    }
}

#[cfg(test)]
impl Sys {
    /// What `deadlines` holds.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }
}

/// Whether a filter may match topics of the broker's own: only by name, no wildcard does [MQTT-4.7.2-1].
fn listens(filter: TopicFilter<'_>) -> bool {
    let filter = filter.share().map_or(filter, |(_, filter)| filter);
    filter.levels().next() == Some(FIRST_LEVEL)
}

/// Whether a topic is, or looks like, one of the broker's own.
pub(super) fn is_own(topic: &str) -> bool {
    topic.starts_with(FIRST_LEVEL)
}

impl Engine {
    /// A connected Session has a new Subscription. Returns whether it is one that [`Engine::begin_telling`] is for.
    pub(super) fn note_subscription(
        &mut self,
        now: Instant,
        key: SessionKey,
        filter: TopicFilter<'_>,
    ) -> bool {
        if !listens(filter) {
            return false;
        }
        let session = &mut self.sessions[key as usize];
        session.sys_subscriptions += 1;
        if session.sys_subscriptions == 1 {
            self.add_listener(now);
        }
        true
    }

    /// Sees to it that there are values for new Subscriptions to begin with. Where others listen, these are what they
    /// were told last, so that all know the same.
    pub(super) fn begin_telling(&mut self, now: Instant) {
        if self.sys.told.is_empty() && self.limits.sys_interval.is_some() {
            self.sys.told = self.values(now);
        }
    }

    /// A connected Session has a Subscription less.
    pub(super) fn note_unsubscription(&mut self, key: SessionKey, filter: TopicFilter<'_>) {
        if !listens(filter) {
            return;
        }
        let session = &mut self.sessions[key as usize];
        session.sys_subscriptions -= 1;
        if session.sys_subscriptions == 0 {
            self.remove_listener();
        }
    }

    /// A Session is connected, with the Subscriptions that it may have.
    pub(super) fn note_arrival(&mut self, now: Instant, key: SessionKey) {
        if self.sessions[key as usize].sys_subscriptions > 0 {
            self.add_listener(now);
            // Who has listened all the time is told what has changed, and no more.
            self.sys.tell_all |= self.sys.listeners == 1;
        }
    }

    /// A Session is connected no longer.
    pub(super) fn note_departure(&mut self, key: SessionKey) {
        if self.sessions[key as usize].sys_subscriptions > 0 {
            self.remove_listener();
        }
    }

    fn add_listener(&mut self, now: Instant) {
        self.sys.listeners += 1;
        if self.sys.listeners == 1 {
            self.set_sys_interval(now);
        }
    }

    fn remove_listener(&mut self) {
        self.sys.listeners -= 1;
        if self.sys.listeners == 0 {
            self.be_quiet();
        }
    }

    fn be_quiet(&mut self) {
        self.deadlines.set(Due::Sys, &mut self.sys.due, None);
        self.sys.told = Vec::new();
        self.sys.tell_all = false;
    }

    /// SYS_INTERVAL has changed.
    pub(super) fn change_sys_interval(&mut self, now: Instant) {
        // Who has listened in vain so far knows nothing yet.
        self.sys.tell_all |= self.sys.told.is_empty();
        self.set_sys_interval(now);
    }

    /// The next interval begins now, if there is somebody to tell at its end.
    fn set_sys_interval(&mut self, now: Instant) {
        match self.limits.sys_interval {
            Some(interval) if self.sys.listeners > 0 => {
                self.deadlines
                    .set(Due::Sys, &mut self.sys.due, Some(now + interval));
            }
            _ => self.be_quiet(),
        }
    }

    /// The interval is over: publishes what has changed in it.
    pub(super) fn tell_changes(&mut self, now: Instant) {
        self.sys.due = None;
        let values = self.values(now);
        let told = std::mem::take(&mut self.sys.told);
        let tell_all = std::mem::take(&mut self.sys.tell_all);
        for (index, value) in values.iter().enumerate() {
            let known = told.get(index).is_some_and(|one| one.text == value.text);
            if tell_all || !known {
                self.route(now, None, &value.passing());
            }
        }
        self.sys.told = values;
        self.set_sys_interval(now);
    }

    /// Values for a new Subscription, like the Retained Messages of others, the first one last.
    pub(super) fn told(&self, now: Instant, filter: TopicFilter<'_>) -> ThinVec<Message> {
        if !listens(filter) {
            return ThinVec::new();
        }
        let values = self.sys.told.iter().rev();
        values
            .filter(|value| filter.matches(TopicName::from_valid(&value.topic)))
            .map(|value| Message::store(&value.passing(), now, &self.account))
            .collect()
    }

    /// All that is published, as it is now.
    fn values(&mut self, now: Instant) -> Vec<Value> {
        let elapsed = now.saturating_duration_since(self.sys.loaded);
        self.sys.loaded = now;
        for (index, (_, total)) in RATES.iter().enumerate() {
            let total = total(self);
            self.sys.loads[index].advance(total, elapsed);
        }
        let uptime = now.saturating_duration_since(self.sys.started).as_secs();
        let version = concat!("mqtt_broker version ", env!("CARGO_PKG_VERSION"));
        let mut values = vec![
            Value {
                topic: "$SYS/broker/version".into(),
                text: version.into(),
            },
            Value {
                topic: "$SYS/broker/uptime".into(),
                text: format!("{uptime} seconds"),
            },
        ];
        values.extend(COUNTS.iter().map(|(topic, count)| Value {
            topic: (*topic).into(),
            text: count(self).to_string(),
        }));
        for ((name, _), load) in RATES.iter().zip(&self.sys.loads) {
            for ((window, _), rate) in WINDOWS.iter().zip(load.per_minute) {
                values.push(Value {
                    topic: format!("$SYS/broker/load/{name}/{window}").into(),
                    text: format!("{rate:.2}"),
                });
            }
        }
        values
    }

    fn absent_sessions(&self) -> u64 {
        (self.sessions.len() as u64).saturating_sub(self.clients.into())
    }

    fn own_subscriptions(&self) -> u64 {
        (self.subscriptions.len() - self.subscriptions.shared()) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_filters_that_name_it_listen() {
        for filter in ["$SYS/#", "$SYS", "$SYS/broker/+", "$share/g/$SYS/#"] {
            assert!(listens(TopicFilter::new(filter).unwrap()), "{filter}");
        }
        for filter in [
            "#",
            "+/broker/uptime",
            "a/$SYS/#",
            "$SYSTEM",
            "$share/$SYS/a",
        ] {
            assert!(!listens(TopicFilter::new(filter).unwrap()), "{filter}");
        }
    }
}
