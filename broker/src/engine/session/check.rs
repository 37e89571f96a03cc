//! What must hold of a Session by itself.

use super::super::check::Messages;
use super::super::window::Awaiting;
use super::Session;

impl Session {
    /// Panics where something does not hold; notes its messages and returns what it is charged for beside them.
    pub(crate) fn check(&self, messages: &mut Messages) -> usize {
        let name = &self.client_identifier;
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
        if let Some(will) = &self.will {
            messages.meet(&will.message);
        }
        let charged = size_of::<Session>() + name.len();
        assert_eq!(self.charge.bytes(), charged, "{name:?}: charge");
        charged + self.queue.check(name, messages)
    }
}
