//! What must hold of a queue by itself.

use mqtt::QoS;

use super::super::check::Messages;
use super::{Delivery, Queue, Waiting};
use crate::engine::replay::Replay;

impl Queue {
    /// Panics where something does not hold; notes its messages and returns what it is charged for beside them.
    pub(crate) fn check(&self, name: &str, messages: &mut Messages) -> usize {
        let Some(waiting) = &self.0 else { return 0 };
        let (deliveries, replays) = (&waiting.deliveries, &waiting.replays);
        assert!(
            !deliveries.is_empty() || !replays.is_empty(),
            "{name:?}: memory for nothing"
        );
        let of_qos_0 = self.iter().filter(|one| one.qos == QoS::AtMostOnce).count();
        assert_eq!(waiting.of_qos_0 as usize, of_qos_0, "{name:?}: QoS 0");
        let bytes: usize = self.iter().map(|one| one.message.cost()).sum();
        assert_eq!(waiting.bytes, bytes as u64, "{name:?}: bytes");
        for delivery in deliveries {
            messages.meet(&delivery.message);
        }
        for replay in replays {
            replay.told().iter().for_each(|one| messages.meet(one));
        }
        let ahead = replays.iter().map(|replay| replay.ahead as usize);
        assert!(
            ahead.clone().is_sorted() && ahead.max() <= Some(deliveries.len()).max(Some(0)),
            "{name:?}: where replays stand"
        );
        let charged = deliveries.iter().map(Delivery::cost).sum::<usize>()
            + replays.iter().map(Replay::cost).sum::<usize>()
            + size_of::<Waiting>();
        assert_eq!(waiting.charge.bytes(), charged, "{name:?}: charge");
        charged
    }
}
