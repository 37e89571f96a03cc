//! Messages of other threads to the core.

use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::event::EventfdFlags;

use crate::broker::{Broker, Mail};
use crate::reactor::{self, Direction, Token};

/// Where other threads put their mail; cloned for each of them.
#[derive(Clone, Debug)]
pub(crate) struct Sender(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    mail: Mutex<Vec<Mail>>,
    bell: OwnedFd,
}

impl Sender {
    /// Delivers, and wakes the core.
    pub(crate) fn send(&self, mail: Mail) {
        self.0
            .mail
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(mail);
        // Fails only where the bell has been rung 2^64 times unheard.
        let _ = rustix::io::write(&self.0.bell, &1_u64.to_ne_bytes());
    }
}

/// The core's end.
#[derive(Debug)]
pub(crate) struct Mailbox {
    shared: Arc<Shared>,
    token: Token,
}

/// A mailbox of this thread.
///
/// # Errors
/// The system's.
pub(crate) fn new() -> io::Result<(Sender, Mailbox)> {
    let bell = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
    let token = reactor::register(&bell)?;
    let shared = Arc::new(Shared {
        mail: Mutex::default(),
        bell,
    });
    Ok((Sender(Arc::clone(&shared)), Mailbox { shared, token }))
}

/// The task that hands the mail to the broker.
pub(crate) async fn serve(broker: Rc<Broker>, mailbox: Mailbox) {
    let Mailbox { shared, token } = mailbox;
    loop {
        std::future::poll_fn(|cx| reactor::poll_ready(token, Direction::Read, cx)).await;
        reactor::not_ready(token, Direction::Read);
        // Emptied before the mail is taken: what comes later rings again.
        let _ = rustix::io::read(&shared.bell, &mut [0; 8]);
        let mail = std::mem::take(&mut *shared.mail.lock().unwrap_or_else(PoisonError::into_inner));
        for letter in mail {
            broker.receive(letter);
        }
    }
}
