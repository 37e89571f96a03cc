//! What must hold of the engine between any two calls, computed anew from what it holds: the simulation asks for it.

use std::collections::BTreeSet;

use super::Engine;
use super::connection::{ConnectionKey, Identity, Phase};
use super::deadlines::Due;
use super::message::Message;
use super::session::SessionKey;

/// Stored messages that were met, each once, however many refer to it.
#[derive(Default)]
pub(crate) struct Messages {
    met: BTreeSet<usize>,
    bytes: usize,
    payload_bytes: usize,
}

impl Messages {
    pub(crate) fn meet(&mut self, message: &Message) {
        if self.met.insert(message.address()) {
            self.bytes += message.cost();
            self.payload_bytes += message.payload().len();
        }
    }
}

impl Engine {
    /// Panics with words where something does not hold.
    pub(crate) fn check(&self) {
        let mut messages = Messages::default();
        let mut deadlines = BTreeSet::new();
        let (mut charged, mut connection_charged) = (0, 0);
        for (key, session) in &self.sessions {
            charged += session.check(&mut messages);
            let key = key as SessionKey;
            let absence = session.absence.as_ref();
            let at = absence.and_then(|absence| absence.deadline);
            deadlines.extend(at.map(|at| (at, Due::Session(key))));
            self.check_session(key);
        }
        charged += self.subscriptions.check(|key| {
            self.sessions
                .get(key as usize)
                .map(|session| &*session.subscriptions)
        });
        charged += self.retained.check(&mut messages);
        for (key, connection) in &self.connections {
            connection_charged += connection.check(&mut messages);
            let key = key as ConnectionKey;
            deadlines.extend(connection.deadline.map(|at| (at, Due::Connection(key))));
            self.check_connection(key);
        }
        deadlines.extend(self.sweep_at.map(|at| (at, Due::Retained)));
        deadlines.extend(self.sys.due().map(|at| (at, Due::Sys)));
        self.deadlines.check(&deadlines);
        assert_eq!(
            self.account.bytes(),
            charged + messages.bytes,
            "bytes accounted and bytes held"
        );
        assert_eq!(
            self.connection_account.bytes(),
            connection_charged,
            "bytes accounted and bytes held with connections"
        );
        assert_eq!(
            (self.account.messages(), self.account.payload_bytes()),
            (messages.met.len(), messages.payload_bytes),
            "messages and bytes of payload"
        );
        assert_eq!(self.identifiers.len(), self.sessions.len(), "identifiers");
        let connected = self
            .connections
            .iter()
            .filter(|(_, connection)| connection.session.is_some());
        assert_eq!(self.clients as usize, connected.count(), "clients counted");
    }

    fn check_session(&self, key: SessionKey) {
        let session = &self.sessions[key as usize];
        let name = &session.client_identifier;
        assert_eq!(self.find_session(name), Some(key), "{name:?} is not found");
        match session.connection {
            Some(connection) => {
                let connection = self.connections.get(connection as usize);
                let connection = connection.expect("the connection of a session is there");
                assert_eq!(connection.session, Some(key), "{name:?} and its connection");
                let absence = &session.absence;
                assert!(absence.is_none(), "{name:?} is connected and {absence:?}");
            }
            None => {
                let absence = session.absence.as_ref().expect("an absence");
                let at = [absence.ends_at, absence.will_at].into_iter().flatten();
                assert_eq!(absence.deadline, at.min(), "deadline of {name:?}");
                assert!(session.is_persistent(), "{name:?} has outlived its end");
                assert_eq!(
                    session.window.sent(),
                    0,
                    "{name:?} is absent, but has been sent"
                );
                assert_eq!(
                    absence.ends_at.is_none(),
                    session.expiry == u32::MAX,
                    "end of {name:?}"
                );
                assert!(
                    absence.will_at.is_none() || session.will.is_some(),
                    "{name:?} is to publish a will that it has not"
                );
            }
        }
    }

    fn check_connection(&self, key: ConnectionKey) {
        let connection = &self.connections[key as usize];
        let this = Identity {
            key,
            serial: connection.serial,
        };
        assert_eq!(
            connection.session.is_some(),
            connection.phase == Phase::Connected,
            "connection {key} is {:?}",
            connection.phase
        );
        if let Some(session) = connection.session {
            let session = self.sessions.get(session as usize);
            let session = session.expect("the session of a connection is there");
            assert_eq!(session.connection, Some(key), "connection {key}");
        }
        let listed = self.dirty.iter().filter(|&&one| one == key).count();
        assert_eq!(
            listed,
            usize::from(connection.dirty),
            "connection {key} on the list"
        );
        if connection.phase == Phase::Connecting {
            assert!(self.connecting.contains(&this), "connection {key} waits");
        }
        if connection.phase == Phase::Draining {
            assert!(self.draining.contains(&this), "connection {key} is drained");
        }
        for (index, awaited) in connection.held_by.iter().enumerate() {
            assert!(!connection.held_by[..index].contains(awaited), "held twice");
            let subscriber = self.connections.get(awaited.key as usize);
            let subscriber = subscriber.filter(|one| one.serial == awaited.serial);
            let holds = subscriber.map(|one| one.holds.contains(&this));
            assert_eq!(
                holds,
                Some(true),
                "{key} is held, but {awaited:?} can't let go"
            );
            assert_eq!(connection.phase, Phase::Connected, "{key} is held");
        }
        for (index, waiting) in connection.holds.iter().enumerate() {
            assert!(!connection.holds[..index].contains(waiting), "holds twice");
            let publisher = self.connections.get(waiting.key as usize);
            let publisher = publisher.filter(|one| one.serial == waiting.serial);
            let held = publisher.map(|one| one.held_by.contains(&this));
            assert_eq!(
                held,
                Some(true),
                "{key} holds {waiting:?}, which does not wait"
            );
        }
    }

    /// Panics unless everything has gone that clients left behind.
    pub(crate) fn check_empty(&self) {
        self.check();
        let counts = (
            self.connections.len(),
            self.sessions.len(),
            self.subscriptions.len(),
            self.retained.len(),
        );
        assert_eq!(
            counts,
            (0, 0, 0, 0),
            "connections, sessions, subscriptions, retained"
        );
        assert_eq!(
            (self.account.bytes(), self.connection_account.bytes()),
            (0, 0),
            "bytes"
        );
        assert_eq!(self.subscriptions.nodes(), 1, "nodes of topic filters");
        assert_eq!(self.retained.nodes(), 1, "nodes of topics");
        assert_eq!(
            (self.deadline(), self.clients),
            (None, 0),
            "deadline, clients"
        );
        assert_eq!(self.sweep_at, None);
    }
}
