//! Who was refused and why: one line in the log per address and minute, and the last twenty for the status page.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// A refused connection, with how often the same happened again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// When it happened last.
    pub(crate) at: Instant,
    pub(crate) address: IpAddr,
    /// In words.
    pub(crate) reason: Cow<'static, str>,
    pub(crate) count: u32,
}

/// The last refusals.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    /// Newest last.
    last: VecDeque<Refusal>,
    /// Who has a line in the log, and since when.
    logged: VecDeque<(IpAddr, Instant)>,
    total: u64,
}

impl Refusals {
    const KEPT: usize = 20;
    /// At most so many addresses get a line within [`Refusals::QUIET`]: a scan must not flood the log.
    const LOGGED: usize = 60;
    const QUIET: Duration = Duration::from_secs(60);

    /// Notes a refusal and logs it, unless this address has had its line.
    pub(crate) fn note(
        &mut self,
        now: Instant,
        address: IpAddr,
        reason: impl Into<Cow<'static, str>>,
    ) {
        let reason = reason.into();
        self.total += 1;
        while self
            .logged
            .front()
            .is_some_and(|&(_, since)| now.duration_since(since) >= Self::QUIET)
        {
            self.logged.pop_front();
        }
        if self.logged.len() < Self::LOGGED && !self.logged.iter().any(|&(had, _)| had == address) {
            self.logged.push_back((address, now));
            log::warn!("refused {address}: {reason}");
        }
        let same = |refusal: &Refusal| refusal.address == address && refusal.reason == reason;
        let count = match self.last.iter().position(same) {
            Some(index) => self
                .last
                .remove(index)
                .map_or(1, |old| old.count.saturating_add(1)),
            None => 1,
        };
        if self.last.len() == Self::KEPT {
            self.last.pop_front();
        }
        self.last.push_back(Refusal {
            at: now,
            address,
            reason,
            count,
        });
    }

    /// How many there were.
    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// The last refusals, newest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Refusal> {
        self.last.iter().rev()
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn address(last: u8) -> IpAddr {
        Ipv4Addr::new(192, 0, 2, last).into()
    }

    #[test]
    fn repeats_are_counted_and_only_twenty_are_kept() {
        let (mut refusals, now) = (Refusals::default(), Instant::now());
        for _ in 0..3 {
            refusals.note(now, address(1), "wrong user name or password");
        }
        refusals.note(now, address(1), "another reason");
        assert_eq!(
            refusals.iter().map(|one| one.count).collect::<Vec<_>>(),
            [1, 3]
        );
        assert_eq!(refusals.total(), 4);
        for last in 2..40 {
            refusals.note(now, address(last), "x");
        }
        assert_eq!(refusals.iter().count(), Refusals::KEPT);
        assert_eq!(
            refusals.iter().next().map(|one| one.address),
            Some(address(39))
        );
    }

    #[test]
    fn an_address_has_one_line_a_minute() {
        let (mut refusals, now) = (Refusals::default(), Instant::now());
        refusals.note(now, address(1), "x");
        refusals.note(now + Duration::from_secs(30), address(1), "y");
        assert_eq!(refusals.logged.len(), 1);
        refusals.note(now + Duration::from_secs(60), address(1), "z");
        assert_eq!(
            refusals.logged.back(),
            Some(&(address(1), now + Duration::from_secs(60)))
        );
        for last in 0..200 {
            refusals.note(now + Duration::from_secs(61), address(last), "scan");
        }
        assert_eq!(refusals.logged.len(), Refusals::LOGGED);
    }
}
