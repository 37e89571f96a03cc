//! What the status page shows: a unix socket that writes one JSON object and closes. It never reads, so there is nothing
//! to attack, and never waits, so nobody who connects can hold up the broker.

use std::fs;
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::rc::Rc;

use rustix::event::EventfdFlags;
use rustix::io::Errno;
use serde::Serialize;
use settings::{Authentication, Settings};

use crate::broker::Broker;
use crate::reactor::{self, Direction, Token};

/// Everything the page may know.
#[derive(Debug, Serialize)]
struct Snapshot<'a> {
    version: &'static str,
    pid: u32,
    /// Seconds; monotonic, like all times here, since a router learns the date late.
    uptime: u64,
    listening: bool,
    listen_error: Option<&'a str>,
    port: u16,
    tls: &'static str,
    authentication: &'static str,
    clients: u32,
    max_clients: Option<u32>,
    sessions: usize,
    subscriptions: usize,
    retained: usize,
    messages_received: u64,
    messages_sent: u64,
    bytes_received: u64,
    bytes_sent: u64,
    dropped: u64,
    refusals: Vec<RefusalLine<'a>>,
    warnings: Vec<String>,
}

#[derive(Debug, Serialize)]
struct RefusalLine<'a> {
    seconds_ago: u64,
    address: IpAddr,
    reason: &'a str,
    count: u32,
}

/// The socket.
#[derive(Debug)]
pub(crate) struct Observer {
    listener: UnixListener,
    token: Token,
    /// A descriptor to give up for the answer when there is no other left.
    spare: Option<OwnedFd>,
}

impl Observer {
    /// Opens the socket for root alone; one that a killed broker has left is replaced.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn open(path: &Path) -> io::Result<Observer> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(path)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
        listener.set_nonblocking(true)?;
        let token = reactor::register(&listener)?;
        let spare = spare();
        Ok(Observer {
            listener,
            token,
            spare,
        })
    }
}

/// The task that answers whoever connects.
pub(crate) async fn serve(broker: Rc<Broker>, mut observer: Observer) {
    loop {
        std::future::poll_fn(|cx| reactor::poll_ready(observer.token, Direction::Read, cx)).await;
        match observer.listener.accept() {
            Ok((stream, _)) => {
                if let Err(error) = tell(&broker, &stream) {
                    log::debug!("status not told: {error}");
                }
            }
            // Clients have all descriptors. Who asks why that is must be answered all the same.
            Err(error)
                if error.raw_os_error() == Some(Errno::MFILE.raw_os_error())
                    && observer.spare.take().is_some() =>
            {
                continue;
            }
            Err(error) => {
                if error.kind() != io::ErrorKind::WouldBlock {
                    log::debug!("status not told: {error}");
                }
                reactor::not_ready(observer.token, Direction::Read);
            }
        }
        if observer.spare.is_none() {
            observer.spare = spare();
        }
    }
}

/// Any descriptor, or none where there is none left.
fn spare() -> Option<OwnedFd> {
    rustix::event::eventfd(0, EventfdFlags::CLOEXEC).ok()
}

/// Writes what fits into the socket's buffer at once; it holds many times the largest snapshot.
fn tell(broker: &Broker, stream: &UnixStream) -> io::Result<()> {
    stream.set_nonblocking(true)?;
    let mut stream = stream;
    stream.write_all(&snapshot(broker)?)
}

fn warnings(broker: &Broker, settings: &Settings) -> Vec<String> {
    let rejected = broker.rejected();
    let rejected = rejected
        .iter()
        .map(|problem| format!("The stored settings are not in force: {problem}"));
    let (own, of_certificates) = (settings.warnings(), broker.certificate_warnings());
    let unwise = own.iter().chain(&of_certificates).map(ToString::to_string);
    rejected.chain(unwise).collect()
}

fn snapshot(broker: &Broker) -> io::Result<Vec<u8>> {
    let now = broker.now();
    let (engine, listener) = (broker.engine.borrow(), broker.listener.borrow());
    let settings = broker.settings();
    let stats = engine.stats();
    let snapshot = Snapshot {
        version: env!("CARGO_PKG_VERSION"),
        pid: std::process::id(),
        uptime: now.duration_since(broker.started()).as_secs(),
        listening: listener.is_open(),
        listen_error: listener.error(),
        port: listener.port(),
        tls: settings.tls.name(),
        authentication: match settings.authentication {
            Authentication::None => "none",
            Authentication::Password { .. } => "password",
            Authentication::CertificateCn { .. } => "certificate_cn",
        },
        clients: engine.clients(),
        max_clients: engine.limits().max_clients,
        sessions: engine.sessions(),
        subscriptions: engine.subscriptions(),
        retained: engine.retained(),
        messages_received: stats.messages_received,
        messages_sent: stats.messages_sent,
        bytes_received: stats.bytes_received,
        bytes_sent: stats.bytes_sent,
        dropped: stats.dropped.total(),
        refusals: engine
            .refusals
            .iter()
            .map(|refusal| RefusalLine {
                seconds_ago: now.saturating_duration_since(refusal.at).as_secs(),
                address: refusal.address,
                reason: &refusal.reason,
                count: refusal.count,
            })
            .collect(),
        warnings: warnings(broker, &settings),
    };
    let mut json = serde_json::to_vec(&snapshot)?;
    json.push(b'\n');
    Ok(json)
}
