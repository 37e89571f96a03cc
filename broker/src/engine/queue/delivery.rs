//! One message for one Session.

use std::ops::Deref;

use mqtt::QoS;

use super::super::message::Message;
use super::super::subscriptions::Share;

/// A message and how a Session gets it.
#[derive(Clone, Debug)]
pub(crate) struct Envelope {
    pub(crate) message: Message,
    /// The lower of published and granted [MQTT-3.8.4-8].
    pub(crate) qos: QoS,
    /// The RETAIN flag to send.
    pub(crate) retain: bool,
}

/// One message for one Session. Queues are long, so what few have lies elsewhere.
#[derive(Clone, Debug)]
pub(crate) enum Delivery {
    /// With nothing beside it.
    Plain(Envelope),
    /// With more.
    Rich(Box<Rich>),
}

const _: () = assert!(size_of::<Delivery>() <= 16);

/// What few deliveries have.
#[derive(Clone, Debug)]
pub(crate) struct Rich {
    envelope: Envelope,
    /// Subscription Identifiers [MQTT-3.3.4-3].
    identifiers: Box<[u32]>,
    /// The Shared Subscription that this Session was chosen from.
    share: Option<Share>,
}

impl Delivery {
    /// A message with these Subscription Identifiers, for a Session that was chosen from a Shared Subscription or was not.
    pub(crate) fn new(envelope: Envelope, identifiers: &[u32], share: Option<Share>) -> Delivery {
        if identifiers.is_empty() && share.is_none() {
            return Delivery::Plain(envelope);
        }
        Delivery::Rich(Box::new(Rich {
            envelope,
            identifiers: identifiers.into(),
            share,
        }))
    }

    pub(crate) fn identifiers(&self) -> &[u32] {
        match self {
            Delivery::Plain(_) => &[],
            Delivery::Rich(rich) => &rich.identifiers,
        }
    }

    pub(crate) fn share(&self) -> Option<&Share> {
        match self {
            Delivery::Plain(_) => None,
            Delivery::Rich(rich) => rich.share.as_ref(),
        }
    }

    /// Memory that it takes in a queue, in bytes, the message apart.
    pub(super) fn cost(&self) -> usize {
        let rich = match self {
            Delivery::Plain(_) => 0,
            Delivery::Rich(rich) => size_of::<Rich>() + size_of_val(&*rich.identifiers),
        };
        size_of::<Delivery>() + rich
    }
}

impl Deref for Delivery {
    type Target = Envelope;

    fn deref(&self) -> &Envelope {
        match self {
            Delivery::Plain(envelope) => envelope,
            Delivery::Rich(rich) => &rich.envelope,
        }
    }
}
