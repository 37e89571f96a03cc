//! What must hold of a Session by itself.

use mqtt::QoS;

use super::super::check::Messages;
use super::{Awaiting, Delivery, Session};

impl Session {
    /// Panics where something does not hold; notes its messages and returns what it is charged for beside them.
    pub(crate) fn check(&self, messages: &mut Messages) -> usize {
        let name = &self.client_identifier;
        let count = |holds: &dyn Fn(&Delivery) -> bool| {
            self.queue.iter().filter(|delivery| holds(delivery)).count()
        };
        let replayed = count(&|delivery| delivery.is_replayed());
        assert_eq!(self.replayed as usize, replayed, "{name:?}: replayed");
        let unordered = count(&|one| one.is_replayed() || one.qos == QoS::AtMostOnce);
        assert_eq!(self.unordered as usize, unordered, "{name:?}: unordered");
        let queued = count(&|delivery| !delivery.is_replayed());
        assert_eq!(self.queued as usize, queued, "{name:?}: queued");
        let counted = self.queue.iter().filter(|delivery| !delivery.is_replayed());
        let bytes: usize = counted.map(|delivery| delivery.message.cost()).sum();
        assert_eq!(self.queued_bytes, bytes as u64, "{name:?}: queued bytes");
        self.window.check(name);
        for sent in self.window.iter() {
            let identifier = sent.identifier;
            let again = sent.awaiting != Awaiting::Comp && self.is_persistent();
            assert!(
                sent.delivery.is_some() || !again,
                "{name:?}: {identifier} is forgotten"
            );
            if let Some(delivery) = &sent.delivery {
                messages.meet(&delivery.message);
            }
        }
        for delivery in &self.queue {
            messages.meet(&delivery.message);
        }
        if let Some(will) = &self.will {
            messages.meet(&will.message);
        }
        let queued: usize = self.queue.iter().map(Delivery::cost).sum();
        let charged = size_of::<Session>() + name.len() + queued;
        assert_eq!(self.charge.bytes(), charged, "{name:?}: charge");
        charged
    }
}
