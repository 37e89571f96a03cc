//! What a replay has still to send, for those who check it.

use mqtt::QoS;

use super::{Found, Replay, Retained};
use crate::engine::message::Message;

/// A Retained Message that is still to be sent for a Subscription.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) filter: Box<str>,
    pub(crate) message: Message,
    pub(crate) qos: QoS,
    pub(crate) granted: QoS,
    pub(crate) identifier: u32,
}

impl Replay {
    /// All that is still to be sent, as far as nothing changes.
    pub(crate) fn rest(&self, retained: &Retained) -> Vec<Pending> {
        let (mut cursor, mut rest) = (self.cursor.clone(), Vec::new());
        let pending = |message: &Message| Pending {
            filter: self.filter.clone(),
            message: message.clone(),
            qos: message.qos().min(self.qos),
            granted: self.qos,
            identifier: self.identifier,
        };
        rest.extend(self.told.iter().rev().map(pending));
        while let Found::Message(message) =
            retained.search(&self.filter, &mut cursor, self.last, &mut { usize::MAX })
        {
            rest.push(pending(message));
            cursor.pass();
        }
        rest
    }
}
