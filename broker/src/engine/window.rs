//! The in-flight window of a Session: the QoS 1 and 2 messages that were sent and are not yet acknowledged.

use std::collections::VecDeque;
use std::num::NonZeroU16;

use mqtt::{PacketIdentifier, QoS};

use super::queue::Delivery;

/// What the client still owes for a message that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Awaiting {
    /// QoS 1: PUBACK [MQTT-4.3.2-3].
    Ack,
    /// QoS 2: PUBREC [MQTT-4.3.3-3].
    Rec,
    /// QoS 2: PUBCOMP, after PUBREL was sent [MQTT-4.3.3-5].
    Comp,
}

/// A QoS 1 or 2 message between PUBLISH and its last acknowledgement.
#[derive(Debug)]
pub(crate) struct InFlight {
    pub(crate) identifier: PacketIdentifier,
    pub(crate) awaiting: Awaiting,
    /// What to send again; nothing for a Session that ends with its connection.
    pub(crate) delivery: Option<Delivery>,
}

/// The messages in flight, in the order in which they were sent, and their Packet Identifiers.
#[derive(Debug)]
pub(crate) struct Window {
    messages: VecDeque<InFlight>,
    /// How many at the front were sent on this connection; the rest wait to be sent again.
    sent: u16,
    /// How many may be in flight: the lower of our own limit and the client's Receive Maximum.
    limit: u16,
    last_identifier: u16,
    /// Whether the identifiers count up from the front, perhaps past the highest: they are given out so, and then none
    /// needs to be searched for. It ends when they have come round to the oldest that is in use.
    is_ordered: bool,
}

impl Window {
    /// Nothing in flight, and no room before a client comes.
    pub(crate) const fn new() -> Self {
        Window {
            messages: VecDeque::new(),
            sent: 0,
            limit: 0,
            last_identifier: 0,
            is_ordered: true,
        }
    }

    /// How many messages are in flight.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.messages.len()
    }

    /// Whether none is.
    pub(crate) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// The messages, oldest first.
    #[cfg(test)]
    pub(crate) fn iter(&self) -> impl Iterator<Item = &InFlight> + Clone {
        self.messages.iter()
    }

    /// Whether another PUBLISH may be sent now [MQTT-4.9.0-2]: what waits to be sent again comes before it.
    pub(crate) fn has_room(&self) -> bool {
        self.messages.len() < usize::from(self.limit) && self.sent() == self.messages.len()
    }

    /// A Packet Identifier that is not in use, counting up from 1 [MQTT-2.2.1-4].
    pub(crate) fn next_identifier(&mut self) -> PacketIdentifier {
        loop {
            self.last_identifier = self.last_identifier.wrapping_add(1);
            let Some(identifier) = NonZeroU16::new(self.last_identifier) else {
                continue;
            };
            let oldest = self.messages.front().map(|oldest| oldest.identifier);
            self.is_ordered &= oldest != Some(identifier);
            if self.is_ordered || self.position(identifier).is_none() {
                return identifier;
            }
        }
    }

    /// Where the message with this Packet Identifier stands.
    pub(crate) fn position(&self, identifier: PacketIdentifier) -> Option<usize> {
        let oldest = self.messages.front()?.identifier;
        if !self.is_ordered {
            let mut messages = self.messages.iter();
            return messages.position(|sent| sent.identifier == identifier);
        }
        let distance = |identifier: PacketIdentifier| identifier.get().wrapping_sub(oldest.get());
        self.messages
            .binary_search_by_key(&distance(identifier), |sent| distance(sent.identifier))
            .ok()
    }

    /// The message at a [position](Self::position).
    pub(crate) fn get_mut(&mut self, position: usize) -> Option<&mut InFlight> {
        self.messages.get_mut(position)
    }

    /// The connection has ended: all that is in flight waits.
    pub(crate) fn part(&mut self) {
        self.sent = 0;
    }

    /// The client is back, and takes so many messages at a time. All that is in flight is sent again in its order; what the
    /// window does not hold waits, but for what is to be released: no window holds that back [MQTT-3.3.4-10].
    pub(crate) fn resume(&mut self, limit: u16) {
        self.limit = limit;
        self.sent = 0;
        let held = self.messages.len().min(limit.into());
        let (released, published): (Vec<_>, Vec<_>) = self
            .messages
            .drain(held..)
            .partition(|sent| sent.awaiting == Awaiting::Comp);
        self.is_ordered &= released.is_empty() || published.is_empty();
        self.messages.extend(released);
        self.messages.extend(published);
    }

    /// What is to be sent again and has not been yet, and its position. None if the window holds it back.
    pub(crate) fn next_again(&self) -> Option<(usize, &InFlight)> {
        let next = self.messages.get(self.sent())?;
        let is_held = next.awaiting != Awaiting::Comp && self.sent >= self.limit;
        (!is_held).then_some((self.sent(), next))
    }

    /// Whether something waits to be sent again.
    pub(crate) fn waits(&self) -> bool {
        self.sent() < self.messages.len()
    }

    /// What [`next_again`](Self::next_again) gave was sent.
    pub(crate) fn sent_again(&mut self) {
        self.sent += 1;
    }

    /// Notes a message as sent; `delivery` is kept only where it can be sent again.
    pub(crate) fn push(
        &mut self,
        identifier: PacketIdentifier,
        qos: QoS,
        delivery: Option<Delivery>,
    ) {
        let awaiting = match qos {
            QoS::ExactlyOnce => Awaiting::Rec,
            _ => Awaiting::Ack,
        };
        self.messages.push_back(InFlight {
            identifier,
            awaiting,
            delivery,
        });
        // Each has an identifier of its own, so they are not more than a u16 tells.
        self.sent = self.messages.len() as u16;
    }

    /// The delivery is complete, or was refused.
    pub(crate) fn complete(&mut self, position: usize) {
        self.messages.remove(position);
        self.sent -= u16::from(position < self.sent());
        if self.messages.is_empty() {
            self.is_ordered = true;
            // An idle client holds no memory.
            self.messages = VecDeque::new();
        }
    }

    /// At the end of the Session: everything that was in flight, oldest first.
    pub(crate) fn take(&mut self) -> VecDeque<InFlight> {
        self.sent = 0;
        self.is_ordered = true;
        std::mem::take(&mut self.messages)
    }

    /// Panics where something does not hold.
    #[cfg(test)]
    pub(crate) fn check(&self, name: &str) {
        assert!(self.sent() <= self.messages.len(), "{name:?}: sent");
        for (index, sent) in self.messages.iter().enumerate() {
            let identifier = sent.identifier;
            let position = self.position(identifier);
            assert_eq!(position, Some(index), "{name:?}: {identifier} twice");
        }
    }

    /// How many were sent on this connection.
    pub(crate) fn sent(&self) -> usize {
        self.sent.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(limit: u16) -> Window {
        let mut window = Window::new();
        window.resume(limit);
        window
    }

    fn send(window: &mut Window) -> PacketIdentifier {
        let identifier = window.next_identifier();
        window.push(identifier, QoS::AtLeastOnce, None);
        window.check("c");
        identifier
    }

    fn acknowledge(window: &mut Window, identifier: PacketIdentifier) {
        let position = window.position(identifier).expect("it is in flight");
        window.complete(position);
        assert_eq!(window.position(identifier), None);
    }

    #[test]
    fn identifiers_start_at_one_and_never_are_zero() {
        let mut window = window(10);
        assert_eq!(send(&mut window).get(), 1);
        window.last_identifier = u16::MAX - 1;
        assert_eq!(send(&mut window).get(), u16::MAX);
        assert_eq!(send(&mut window).get(), 2);
    }

    #[test]
    fn one_that_stays_in_use_is_passed_over_each_time_round() {
        let mut window = window(3);
        let first = send(&mut window);
        let mut given = Vec::new();
        for _ in 0..3 * usize::from(u16::MAX - 1) {
            let identifier = send(&mut window);
            given.push(identifier.get());
            acknowledge(&mut window, identifier);
        }
        assert!(!given.contains(&first.get()));
        assert_eq!((given[0], given[65_533]), (2, u16::MAX));
        assert_eq!(given[..65_534], given[65_534..131_068]);
        assert!(!window.is_ordered);
        acknowledge(&mut window, first);
        assert!(window.is_ordered);
    }

    #[test]
    fn acknowledgements_come_in_any_order() {
        let mut window = window(100);
        window.last_identifier = u16::MAX - 50;
        let sent: Vec<_> = (0..100).map(|_| send(&mut window)).collect();
        assert!(window.is_ordered && !window.has_room());
        for place in (0..100).map(|index| index * 37 % 100) {
            assert!(window.position(sent[place]).is_some());
            acknowledge(&mut window, sent[place]);
            window.check("c");
        }
        assert!(window.is_empty() && window.has_room());
    }

    #[test]
    fn what_does_not_fit_waits_but_for_what_is_released() {
        let mut window = window(10);
        let sent: Vec<_> = (0..4).map(|_| send(&mut window)).collect();
        window.get_mut(3).expect("four are in flight").awaiting = Awaiting::Comp;
        window.part();
        window.resume(1);
        let mut again = Vec::new();
        while let Some((_, next)) = window.next_again() {
            again.push(next.identifier);
            window.sent_again();
        }
        assert_eq!(again, [sent[0], sent[3]]);
        assert!(window.waits() && !window.has_room());
        window.check("c");
        acknowledge(&mut window, sent[0]);
        assert!(window.next_again().is_none());
        acknowledge(&mut window, sent[3]);
        assert_eq!(
            window.next_again().map(|(_, next)| next.identifier),
            Some(sent[1])
        );
    }
}
