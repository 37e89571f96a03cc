//! The port: bound for IPv4 and IPv6 alike, tried again while another program has it.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};
use settings::Settings;

use crate::broker::Broker;
use crate::reactor::{self, Direction, Token};
use crate::syslog::always;

#[derive(Debug)]
struct Open {
    listener: TcpListener,
    token: Token,
    /// What it is bound to.
    place: (Option<IpAddr>, u16),
}

impl Drop for Open {
    fn drop(&mut self) {
        reactor::deregister(self.token, &self.listener);
    }
}

/// Where clients come in.
#[derive(Debug)]
pub(crate) struct Listener {
    bind: Option<IpAddr>,
    port: u16,
    open: Option<Open>,
    /// Each opening has another number, by which its accepting task knows that it is still wanted.
    serial: u32,
    /// When to try to open.
    retry_at: Option<Instant>,
    /// When to accept again: the system had nothing left for another connection, or too many came at once.
    paused_until: Option<Instant>,
    rate: Rate,
    /// Wakes the accepting task.
    waker: Option<Waker>,
    /// Seconds to wait after the next failure.
    back_off: u64,
    /// Why it is not open, in a sentence.
    error: Option<String>,
}

impl Listener {
    /// Descriptors for connections that are not clients yet.
    pub(crate) const SPARE: u64 = 64;
    /// The longest time between two attempts, in seconds.
    const MAX_BACK_OFF: u64 = 30;
    /// Connections that the kernel keeps until they are accepted.
    const BACKLOG: i32 = 1024;
    /// Accepted at a time; the connections that are there come first again after that.
    pub(crate) const ACCEPT_A_TURN: usize = 64;
    /// A silent connection is probed after this time, so often, and given up after so many.
    const PROBE_AFTER: Duration = Duration::from_secs(120);
    const PROBE_EVERY: Duration = Duration::from_secs(20);
    const PROBES: u32 = 6;
    /// How long sent bytes may stay unacknowledged.
    const UNACKNOWLEDGED: Duration = Duration::from_secs(240);
    /// Bytes that the kernel holds for a client (it doubles them for its own needs).
    const SEND_BUFFER: usize = 128 * 1024;
    /// How long nothing is accepted when there are no descriptors or no memory.
    const BREATH: Duration = Duration::from_secs(1);

    /// One that is to be opened at `now`.
    pub(crate) fn new(settings: &Settings, now: Instant) -> Self {
        Listener {
            bind: settings.bind,
            port: settings.port,
            rate: Rate::new(settings.connect_rate, now),
            open: None,
            serial: 0,
            retry_at: Some(now),
            paused_until: None,
            waker: None,
            back_off: 1,
            error: None,
        }
    }

    /// The port that clients use, or would.
    pub(crate) fn port(&self) -> u16 {
        self.open.as_ref().map_or(self.port, |open| open.place.1)
    }

    /// Whether clients can come in.
    pub(crate) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Why they can't.
    pub(crate) fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }

    pub(crate) fn serial(&self) -> u32 {
        self.serial
    }

    /// When [`Listener::try_open`] is to be called.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        [self.retry_at, self.paused_until]
            .into_iter()
            .flatten()
            .min()
    }

    /// Opens the port if it is time to. Returns whether it was opened; the one before closes only then.
    pub(crate) fn try_open(&mut self, now: Instant) -> bool {
        if self.paused_until.is_some_and(|at| at <= now) {
            self.paused_until = None;
            self.wake();
        }
        if self.retry_at.is_none_or(|at| at > now) {
            return false;
        }
        self.retry_at = None;
        match bind(self.bind, self.port) {
            Ok(open) => {
                self.open = Some(open);
                self.serial = self.serial.wrapping_add(1);
                self.wake();
                (self.error, self.back_off) = (None, 1);
                always!("listening on port {}", self.port);
                true
            }
            Err(error) => {
                let sentence = self.explain(&error);
                if self.error.as_ref() != Some(&sentence) {
                    log::error!("{sentence}");
                }
                self.error = Some(sentence);
                self.retry_at = Some(now + Duration::from_secs(self.back_off));
                self.back_off = (self.back_off * 2).min(Self::MAX_BACK_OFF);
                false
            }
        }
    }

    fn explain(&self, error: &io::Error) -> String {
        let port = self.port;
        match (error.kind(), self.bind) {
            (io::ErrorKind::AddrInUse, _) => {
                format!("port {port} is in use by another program; trying again")
            }
            (io::ErrorKind::AddrNotAvailable, Some(address)) => {
                format!("this router has no address {address} (BIND); trying again")
            }
            (io::ErrorKind::PermissionDenied, _) => {
                format!("port {port} may not be opened without root; trying again")
            }
            _ => format!("port {port} can't be opened: {error}; trying again"),
        }
    }

    fn poll_accept(&mut self, now: Instant, serial: u32, cx: &Context<'_>) -> Poll<Accepted> {
        let Some(open) = self.open.as_ref().filter(|_| self.serial == serial) else {
            return Poll::Ready(Accepted::Closed);
        };
        if self
            .waker
            .as_ref()
            .is_none_or(|waker| !waker.will_wake(cx.waker()))
        {
            self.waker = Some(cx.waker().clone());
        }
        if self.paused_until.is_some() {
            return Poll::Pending;
        }
        std::task::ready!(reactor::poll_ready(open.token, Direction::Read, cx));
        match open.listener.accept() {
            Ok((stream, address)) => {
                self.paused_until = self.rate.take(now);
                Poll::Ready(Accepted::Connection(stream, address.ip().to_canonical()))
            }
            Err(error) => {
                match error.kind() {
                    io::ErrorKind::WouldBlock => {
                        reactor::not_ready(open.token, Direction::Read);
                    }
                    // The peer has gone before it was accepted.
                    io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted => {}
                    _ => {
                        log::error!("no connection can be accepted for a second: {error}");
                        self.paused_until = Some(now + Self::BREATH);
                    }
                }
                Poll::Ready(Accepted::Nothing)
            }
        }
    }

    /// Obeys other settings. Another port or address is opened before the one in use goes.
    pub(crate) fn apply(&mut self, settings: &Settings, now: Instant) {
        let (bind, port) = (settings.bind, settings.port);
        if self.rate.per_second != settings.connect_rate {
            self.rate = Rate::new(settings.connect_rate, now);
        }
        if (self.bind, self.port) == (bind, port) {
            return;
        }
        (self.bind, self.port) = (bind, port);
        (self.retry_at, self.back_off, self.error) = (Some(now), 1, None);
        match self.open.as_ref().map(|open| open.place) {
            // Back where it still is.
            Some(place) if place == (bind, port) => self.retry_at = None,
            // Two sockets can't have the port at once, whatever their addresses.
            Some((_, other)) if other == port => self.open = None,
            _ => {}
        }
    }

    /// Closes the port for good.
    pub(crate) fn close(&mut self) {
        (self.open, self.retry_at, self.paused_until) = (None, None, None);
        self.wake();
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// CONNECT_RATE: connections that come faster wait in the kernel. What was not used in the last seconds may be used at
/// once, so that all clients of a router come back quickly after a power cut.
#[derive(Debug)]
struct Rate {
    per_second: Option<u32>,
    /// When all connections so far would have come at exactly this rate.
    level: Instant,
    /// When the log last said that connections wait.
    told: Option<Instant>,
}

impl Rate {
    /// How many seconds' connections may come at once.
    const BURST: Duration = Duration::from_secs(5);
    /// How often the log says so at most.
    const TELL_EVERY: Duration = Duration::from_secs(60);

    fn new(per_second: Option<u32>, now: Instant) -> Self {
        Rate {
            per_second,
            level: now,
            told: None,
        }
    }

    /// Counts a connection. Returns until when the next one has to wait, if it has to.
    fn take(&mut self, now: Instant) -> Option<Instant> {
        let per_second = self.per_second?;
        self.level = self.level.max(now) + Duration::from_secs(1) / per_second;
        if self.level <= now + Self::BURST {
            return None;
        }
        if self
            .told
            .is_none_or(|told| now.duration_since(told) >= Self::TELL_EVERY)
        {
            self.told = Some(now);
            log::warn!(
                "more than {per_second} new connections a second have to wait (CONNECT_RATE)"
            );
        }
        Some(self.level - Self::BURST)
    }
}

/// What came of asking the port for a connection.
enum Accepted {
    Connection(TcpStream, IpAddr),
    Nothing,
    /// This opening is over.
    Closed,
}

/// Opens a listening socket, for both families where there is no address to bind to.
fn bind(address: Option<IpAddr>, port: u16) -> io::Result<Open> {
    let both = || {
        match listen(Ipv6Addr::UNSPECIFIED.into(), port) {
            // A kernel without IPv6, or one where it is switched off.
            Err(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL | Errno::INVAL) => {
                listen(Ipv4Addr::UNSPECIFIED.into(), port)
            }
            result => result,
        }
    };
    let listener = match address {
        Some(address) => listen(address, port),
        None => both(),
    }?;
    let token = reactor::register(&listener)?;
    let place = (address, port);
    Ok(Open {
        listener,
        token,
        place,
    })
}

fn listen(address: IpAddr, port: u16) -> Result<TcpListener, Errno> {
    let family = match address {
        IpAddr::V4(_) => AddressFamily::INET,
        IpAddr::V6(_) => AddressFamily::INET6,
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    // Connections of the last run that linger must not keep the port.
    sockopt::set_socket_reuseaddr(&socket, true)?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, !address.is_unspecified())?;
    }
    // Connections inherit these. A peer that has vanished must not keep its place for ever, and what the kernel holds for
    // one that does not read comes out of the router's memory too.
    // Where a kernel lacks one of them, it does without.
    let _ = sockopt::set_socket_keepalive(&socket, true);
    let _ = sockopt::set_tcp_keepidle(&socket, Listener::PROBE_AFTER);
    let _ = sockopt::set_tcp_keepintvl(&socket, Listener::PROBE_EVERY);
    let _ = sockopt::set_tcp_keepcnt(&socket, Listener::PROBES);
    let _ = sockopt::set_tcp_user_timeout(&socket, Listener::UNACKNOWLEDGED.as_millis() as u32);
    let _ = sockopt::set_socket_send_buffer_size(&socket, Listener::SEND_BUFFER);
    rustix::net::bind(&socket, &SocketAddr::new(address, port))?;
    rustix::net::listen(&socket, Listener::BACKLOG)?;
    Ok(TcpListener::from(socket))
}

/// The task that takes connections in, for as long as this opening of the port is the one wanted.
pub(crate) async fn accept(broker: Rc<Broker>, serial: u32) {
    std::future::poll_fn(|cx| {
        for _ in 0..Listener::ACCEPT_A_TURN {
            let mut listener = broker.listener.borrow_mut();
            let accepted = std::task::ready!(listener.poll_accept(broker.now(), serial, cx));
            drop(listener);
            match accepted {
                Accepted::Connection(stream, address) => take_in(&broker, stream, address),
                Accepted::Nothing => {}
                Accepted::Closed => return Poll::Ready(()),
            }
        }
        broker.again(cx.waker());
        Poll::Pending
    })
    .await;
}

fn take_in(broker: &Rc<Broker>, stream: TcpStream, address: IpAddr) {
    let (connections, max_clients) = {
        let engine = broker.engine.borrow();
        (engine.connections() as u64, engine.limits().max_clients)
    };
    let refuse = |reason: String| {
        broker
            .engine
            .borrow_mut()
            .refusals
            .note(broker.now(), address, reason);
    };
    let full = max_clients.is_some_and(|max| connections >= u64::from(max) + Listener::SPARE);
    // Whoever is no client makes room: idle strangers must not shut the port.
    if full && !broker.engine.borrow_mut().make_place(broker.now()) {
        return refuse(format!(
            "{connections} connections are open, no more may be"
        ));
    }
    if let Err(error) = broker.admit(stream, address) {
        refuse(format!("the system refuses another connection: {error}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_taken_at_once_and_the_rest_at_the_rate() {
        let start = Instant::now();
        let mut rate = Rate::new(Some(50), start);
        let burst = (0..1000).take_while(|_| rate.take(start).is_none()).count();
        assert_eq!(burst, 250);
        // Each waits for the one before it.
        let mut now = start + Duration::from_millis(20);
        for _ in 0..100 {
            let until = rate.take(now).expect("the burst is used up");
            assert_eq!(until, now + Duration::from_millis(20));
            now = until;
        }
        // What is not used for some seconds may be used again.
        now += Duration::from_secs(60);
        let burst = (0..1000).take_while(|_| rate.take(now).is_none()).count();
        assert_eq!(burst, 250);
    }

    #[test]
    fn without_a_rate_nobody_waits() {
        let now = Instant::now();
        let mut rate = Rate::new(None, now);
        assert!((0..10_000).all(|_| rate.take(now).is_none()));
    }
}
