//! What must hold of a Network Connection by itself.

use super::super::check::Messages;
use super::Connection;

impl Connection {
    /// Panics where something does not hold; notes its messages and returns what it is charged for beside them.
    pub(crate) fn check(&self, messages: &mut Messages) -> usize {
        self.outbox.check(messages);
        let aliases: usize = self.aliases.iter().flatten().map(|topic| topic.len()).sum();
        let charged = aliases + self.sent_aliases.cost() + self.incomplete as usize;
        assert_eq!(self.charge.bytes(), charged, "charge of a connection");
        charged
    }
}
