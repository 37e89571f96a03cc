//! What must hold of a queue by itself.

use std::collections::BTreeSet;

use mqtt::QoS;

use super::super::check::Messages;
use super::{Delivery, Queue, Waiting};

impl Queue {
    /// Panics where something does not hold; notes its messages and returns what it is charged for beside them.
    pub(crate) fn check(&self, name: &str, messages: &mut Messages) -> usize {
        let Some(waiting) = &self.0 else { return 0 };
        let deliveries = &waiting.deliveries;
        assert!(!deliveries.is_empty(), "{name:?}: memory for nothing");
        let count = |holds: fn(&&Delivery) -> bool| deliveries.iter().filter(holds).count();
        let replayed = count(|one| one.is_replayed());
        assert_eq!(waiting.replayed as usize, replayed, "{name:?}: replayed");
        let unordered = count(|one| one.is_replayed() || one.qos == QoS::AtMostOnce);
        assert_eq!(waiting.unordered as usize, unordered, "{name:?}: unordered");
        let counted = count(|one| !one.is_replayed());
        assert_eq!(waiting.counted as usize, counted, "{name:?}: counted");
        let counted = deliveries.iter().filter(|one| !one.is_replayed());
        let bytes: usize = counted.map(|delivery| delivery.message.cost()).sum();
        assert_eq!(waiting.counted_bytes, bytes as u64, "{name:?}: bytes");
        let replays = deliveries.iter().filter(|one| one.is_replayed());
        let nodes: BTreeSet<_> = replays.map(|delivery| delivery.replay).collect();
        let noted: BTreeSet<_> = waiting.replaying.iter().copied().collect();
        assert!(
            noted.is_superset(&nodes),
            "{name:?}: {nodes:?} are replayed"
        );
        assert_eq!(
            noted.len(),
            waiting.replaying.len(),
            "{name:?}: noted twice"
        );
        for delivery in deliveries {
            messages.meet(&delivery.message);
        }
        let charged = deliveries.iter().map(Delivery::cost).sum::<usize>() + size_of::<Waiting>();
        assert_eq!(waiting.charge.bytes(), charged, "{name:?}: charge");
        charged
    }
}
