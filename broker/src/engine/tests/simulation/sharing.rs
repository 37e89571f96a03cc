//! Who of a Shared Subscription may get a message.

use std::rc::Rc;

use mqtt::QoS;

use super::ledger::Ledger;
use super::record::Record;
use super::state::{Choice, Session, Stage};

impl Ledger {
    /// Gives a message to one member of a Shared Subscription, of those for which `fits` is true. Returns whether there is
    /// one.
    pub(super) fn share(
        &mut self,
        record: &Rc<Record>,
        filter: &Rc<str>,
        fits: impl Fn(u32, &Session) -> bool,
    ) -> bool {
        let number = self.shares.get(filter).copied().unwrap_or(0);
        let mut choice = Choice {
            members: Vec::new(),
            taker: None,
            may_fail: false,
        };
        let (mut is_urgent, mut is_kept, mut may_end) = (false, false, 0);
        let mut heirs = Vec::new();
        for (&epoch, session) in self.sessions.iter().chain(&self.gone) {
            let mut subscriptions = session.subscriptions.iter();
            let Some(one) = subscriptions.find(|one| one.filter == *filter) else {
                continue;
            };
            let is_uncertain = self.uncertain.contains(&epoch);
            let is_gone = !self.sessions.contains_key(&epoch);
            if is_gone && !is_uncertain {
                continue;
            }
            let mut owed = one.owed(record, self.tick);
            owed.share = Some((Rc::clone(filter), number));
            heirs.push((epoch, owed.clone()));
            if !fits(epoch, session) {
                continue;
            }
            may_end += u32::from(is_uncertain);
            is_urgent |= session.connection.is_some();
            // Nothing of QoS 0 waits for the absent.
            is_kept |= owed.qos > QoS::AtMostOnce;
            choice.members.push((epoch, owed));
        }
        choice.may_fail = may_end > 0 || (!is_urgent && !is_kept);
        let any = !choice.members.is_empty();
        for _ in 0..may_end {
            // Sent to one that ended then, it may have been passed on.
            self.choices.push(Choice {
                members: heirs.clone(),
                taker: None,
                may_fail: true,
            });
        }
        if any {
            self.choices.push(choice);
        }
        any
    }

    /// The client of a Session has gone: what waits for it from a Shared Subscription goes to members that are connected.
    pub(super) fn pass_on(&mut self, epoch: u32) {
        let mut owed = std::mem::take(&mut self.session(epoch).owed);
        // Whoever loses its connection at the same time may have been there still.
        let uncertain = self.uncertain.clone();
        owed.retain_mut(|owed| {
            let Some((filter, number)) = owed.share.clone() else {
                return true;
            };
            if owed.perhaps || self.shares.get(&filter) != Some(&number) {
                return true;
            }
            let is_here = |session: &Session| session.connection.is_some();
            let is_member = |session: &Session| {
                let mut subscriptions = session.subscriptions.iter();
                subscriptions.any(|one| one.filter == filter)
            };
            let mut sessions = self.sessions.iter();
            let is_sure = sessions.any(|(epoch, session)| {
                is_here(session) && is_member(session) && !uncertain.contains(epoch)
            });
            let fits = |other: u32, session: &Session| {
                other != epoch && (is_here(session) || uncertain.contains(&other))
            };
            let found = self.share(&owed.record, &filter, fits);
            owed.perhaps |= found;
            !found || !is_sure
        });
        self.session(epoch).owed = owed;
    }

    /// A Session has ended: what it leaves of a Shared Subscription goes to the members that are left; of what was begun,
    /// QoS 1 alone.
    pub(super) fn bequeath(&mut self, epoch: u32) {
        let session = self.session(epoch);
        let begun = session
            .flights
            .iter()
            .filter(|flight| flight.stage == Stage::Ack);
        let left = begun.map(|flight| &flight.owed).chain(&session.owed);
        let left: Vec<_> = left.filter(|owed| owed.share.is_some()).cloned().collect();
        for owed in left {
            let Some((filter, number)) = &owed.share else {
                continue;
            };
            let is_same = self.shares.get(filter) == Some(number);
            let is_uncertain = owed.perhaps;
            let found = is_same && self.share(&owed.record, filter, |_, _| true);
            match self.choices.last_mut() {
                Some(choice) if found => choice.may_fail |= is_uncertain,
                _ => self.orphans += u64::from(!is_uncertain),
            }
        }
    }
}
