//! Session State: what the broker remembers of a Client Identifier, connected or not.

#[cfg(test)]
mod check;

use std::net::IpAddr;
use std::time::{Duration, Instant};

use thin_vec::ThinVec;

use super::connection::ConnectionKey;
use super::edges::NodeKey;
use super::message::{Account, Charge, Message};
use super::queue::{Delivery, Queue};
use super::received::Received;
use super::window::{Awaiting, Window};

/// Where a Session lies in the engine.
pub(crate) type SessionKey = u32;

/// A Will Message and when to publish it.
#[derive(Debug)]
pub(crate) struct Will {
    pub(crate) message: Message,
    pub(crate) delay: Duration,
    /// Its Message Expiry Interval, which begins when it is published.
    pub(crate) lifetime: Option<Duration>,
}

/// What is to happen while a client is away.
#[derive(Debug)]
pub(crate) struct Absence {
    /// Where the client was.
    pub(crate) address: IpAddr,
    /// When the Session ends.
    pub(crate) ends_at: Option<Instant>,
    /// When the Will Message is due.
    pub(crate) will_at: Option<Instant>,
    /// What `deadlines` holds for this Session.
    pub(crate) deadline: Option<Instant>,
}

/// The Session State of one Client Identifier.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) client_identifier: Box<str>,
    pub(crate) connection: Option<ConnectionKey>,
    /// Session Expiry Interval in seconds; `u32::MAX` never ends [MQTT 5.0, 3.1.2.11.2].
    pub(crate) expiry: u32,
    /// While there is no connection.
    pub(crate) absence: Option<Box<Absence>>,
    pub(crate) will: Option<Box<Will>>,
    pub(crate) subscriptions: ThinVec<NodeKey>,
    /// How many of them are below `$SYS`.
    pub(crate) sys_subscriptions: u32,
    /// Packet Identifiers of QoS 2 messages received and not yet released.
    pub(crate) received: Received,
    pub(crate) window: Window,
    pub(crate) queue: Queue,
    /// Messages dropped because the queue was full.
    pub(crate) dropped: u64,
    /// Which PUBLISH this Session was last matched for, and where it stands among the targets.
    pub(crate) matched: (u64, u32),
    /// What it holds beside messages.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "it returns to the account when it is dropped")
    )]
    charge: Charge,
}

impl Session {
    pub(crate) fn new(client_identifier: &str, account: &Account) -> Self {
        let mut charge = account.open();
        charge.add(size_of::<Session>() + client_identifier.len());
        Session {
            client_identifier: client_identifier.into(),
            connection: None,
            expiry: 0,
            absence: None,
            will: None,
            subscriptions: ThinVec::new(),
            sys_subscriptions: 0,
            received: Received::default(),
            window: Window::new(),
            queue: Queue::default(),
            dropped: 0,
            matched: (0, 0),
            charge,
        }
    }

    /// Whether the Session outlives its connection [MQTT-3.1.2-23].
    pub(crate) fn is_persistent(&self) -> bool {
        self.expiry > 0
    }

    /// At the end: what came from Shared Subscriptions and was not begun, or is of QoS 1 and was not acknowledged, oldest
    /// first.
    pub(crate) fn take_shared(&mut self) -> Vec<Delivery> {
        let in_flight = self.window.take().into_iter();
        let unacknowledged = in_flight
            .filter(|sent| sent.awaiting == Awaiting::Ack)
            .filter_map(|sent| sent.delivery);
        let mut left: Vec<_> = unacknowledged
            .filter(|delivery| delivery.share().is_some())
            .collect();
        left.extend(self.queue.take(|delivery| delivery.share().is_some()));
        left
    }
}
