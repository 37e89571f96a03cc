//! One queue of everything that happens at a time: the engine sleeps until its first entry.

use std::collections::BTreeSet;
use std::time::Instant;

use super::connection::ConnectionKey;
use super::session::SessionKey;

/// Whose time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Due {
    /// Time to CONNECT, or Keep Alive.
    Connection(ConnectionKey),
    /// Will Delay, or Session Expiry.
    Session(SessionKey),
    /// Retained Messages that expire.
    Retained,
    /// The values below `$SYS`.
    Sys,
}

/// At most one deadline for each connection and each Session.
#[derive(Debug, Default)]
pub(crate) struct Deadlines(BTreeSet<(Instant, Due)>);

impl Deadlines {
    /// Moves the deadline of `due` from `slot`, where its owner keeps it, to `at`.
    pub(crate) fn set(&mut self, due: Due, slot: &mut Option<Instant>, at: Option<Instant>) {
        if *slot == at {
            return;
        }
        if let Some(old) = *slot {
            self.0.remove(&(old, due));
        }
        if let Some(at) = at {
            self.0.insert((at, due));
        }
        *slot = at;
    }

    /// When the first one is due.
    pub(crate) fn first(&self) -> Option<Instant> {
        self.0.first().map(|&(at, _)| at)
    }

    /// Panics unless exactly these are noted.
    #[cfg(test)]
    pub(crate) fn check(&self, owners: &BTreeSet<(Instant, Due)>) {
        assert_eq!(&self.0, owners, "deadlines and their owners");
    }

    /// Takes out one that is due; its owner must set its slot to `None`.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<Due> {
        let &(at, due) = self.0.first()?;
        if at > now {
            return None;
        }
        self.0.pop_first();
        Some(due)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn each_owner_has_one_deadline() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut deadlines = Deadlines::default();
        let (mut one, mut two) = (None, None);
        deadlines.set(Due::Connection(1), &mut one, Some(at(5)));
        deadlines.set(Due::Session(1), &mut two, Some(at(4)));
        deadlines.set(Due::Connection(1), &mut one, Some(at(3)));
        assert_eq!(deadlines.first(), Some(at(3)));
        assert_eq!(deadlines.pop(at(2)), None);
        assert_eq!(deadlines.pop(at(4)), Some(Due::Connection(1)));
        assert_eq!(deadlines.pop(at(4)), Some(Due::Session(1)));
        assert_eq!(deadlines.pop(at(9)), None);
        (one, two) = (None, None);
        deadlines.set(Due::Session(1), &mut two, Some(at(7)));
        deadlines.set(Due::Session(1), &mut two, None);
        assert_eq!((deadlines.first(), one), (None, None));
    }
}
