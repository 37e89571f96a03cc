//! The Network Connection: a socket to the broker, and TLS on it.

use std::io;
use std::net::{self as blocking, IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{self, AddressFamily, SocketFlags, SocketType, sockopt};
use smol::future::{self, Future, FutureExt};
use smol::io::{AsyncRead, AsyncWrite};
use smol::net::TcpStream;
use smol::net::unix::UnixStream;
use smol::{Async, Timer};

use crate::exit::Failure;
use crate::options::{Connection, Target};
use crate::{passphrase, socks, websocket};

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(60);

/// What a Client talks through.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// How long an address has before the next one is tried beside it (RFC 8305 section 5).
const HEAD_START: Duration = Duration::from_millis(250);

/// Makes Network Connections.
#[derive(Debug)]
pub(crate) struct Dialer<'a> {
    connection: &'a Connection,
    tls: Option<tls::ClientTls>,
}

impl<'a> Dialer<'a> {
    /// One for these options; reads the files that TLS needs.
    ///
    /// # Errors
    /// Those files, or the other options of TLS, cannot be used.
    pub(crate) fn new(connection: &'a Connection) -> Result<Dialer<'a>, Failure> {
        let options = connection.tls.as_ref();
        let tls = options.map(|options| tls::ClientTls::new(options, &mut passphrase::ask));
        let tls = tls.transpose().map_err(Failure::TlsOptions)?;
        Ok(Dialer { connection, tls })
    }

    /// Makes a Network Connection.
    ///
    /// # Errors
    /// There is none.
    pub(crate) async fn dial(&self) -> Result<Box<dyn Stream>, Failure> {
        let connection = self.connection;
        let (host, port, socket) = match (&connection.target, &connection.proxy) {
            (Target::Unix(path), _) => {
                let socket = UnixStream::connect(path).await.map_err(Failure::Dial)?;
                ("localhost", 0, Box::new(socket) as Box<dyn Stream>)
            }
            (Target::Tcp { host, port }, None) => {
                (host.as_str(), *port, self.dial_tcp(host, *port).await?)
            }
            (Target::Tcp { host, port }, Some(proxy)) => {
                let socket = self.dial_tcp(&proxy.host, proxy.port).await?;
                (host.as_str(), *port, socket)
            }
        };
        let limit = async {
            Timer::after(HANDSHAKE).await;
            Err(Failure::Dial(Errno::TIMEDOUT.into()))
        };
        self.shake_hands(host, port, socket).or(limit).await
    }

    /// What is agreed on before MQTT: with the proxy, by TLS, for a WebSocket, as far as they are wanted.
    async fn shake_hands(
        &self,
        host: &str,
        port: u16,
        mut stream: Box<dyn Stream>,
    ) -> Result<Box<dyn Stream>, Failure> {
        if let (Target::Tcp { .. }, Some(proxy)) = (&self.connection.target, &self.connection.proxy)
        {
            let credentials = proxy.credentials.as_ref();
            let connected = socks::connect(&mut stream, credentials, host, port).await;
            connected.map_err(|error| Failure::Proxy(error.to_string()))?;
        }
        if let Some(tls) = &self.tls {
            // A unix socket has no name that a certificate could bear.
            let name = match self.connection.target {
                Target::Unix(_) => "",
                Target::Tcp { .. } => host,
            };
            stream = Box::new(tls.connect(name, stream).await.map_err(Failure::Tls)?);
        }
        if self.connection.websocket {
            let opened = websocket::open(stream, host, port).await;
            stream = Box::new(opened.map_err(Failure::Dial)?);
        }
        Ok(stream)
    }

    async fn dial_tcp(&self, host: &str, port: u16) -> Result<Box<dyn Stream>, Failure> {
        let mut addresses = look_up(host, port).await?;
        let sources = match &self.connection.bind {
            None => Vec::new(),
            Some(source) => look_up(source, 0).await?,
        };
        let mut pairs = Vec::new();
        for address in addresses.drain(..) {
            let same_family = |source: &&SocketAddr| source.is_ipv4() == address.is_ipv4();
            let source = sources.iter().find(same_family).copied();
            if source.is_some() || sources.is_empty() {
                pairs.push((address, source));
            }
        }
        let nodelay = self.connection.nodelay;
        let attempt = |address, source| connect(address, source, nodelay).boxed();
        let socket = first_of(&pairs, &attempt).await;
        Ok(Box::new(socket.map_err(Failure::Dial)?))
    }
}

/// The addresses of a name or a literal.
async fn look_up(host: &str, port: u16) -> Result<Vec<SocketAddr>, Failure> {
    // Without a thread.
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    match smol::net::resolve((host, port)).await {
        Ok(addresses) if !addresses.is_empty() => Ok(addresses),
        _ => Err(Failure::Lookup),
    }
}

type Attempt<T> = Pin<Box<dyn Future<Output = io::Result<T>> + Send>>;
type Pair = (SocketAddr, Option<SocketAddr>);

/// The first connection that comes about. The addresses are tried in their order, each when the one before it has failed
/// or has had its head start (RFC 8305).
async fn first_of<T>(
    pairs: &[Pair],
    connect: &dyn Fn(SocketAddr, Option<SocketAddr>) -> Attempt<T>,
) -> io::Result<T> {
    let mut rest = pairs.iter();
    let mut attempts: Vec<Attempt<T>> = Vec::new();
    let mut head_start = Timer::never();
    let mut error = io::Error::from(Errno::ADDRNOTAVAIL);
    future::poll_fn(|cx| {
        loop {
            let mut at = 0;
            while at < attempts.len() {
                match attempts[at].poll(cx) {
                    Poll::Ready(Ok(socket)) => return Poll::Ready(Ok(socket)),
                    Poll::Ready(Err(failed)) => {
                        error = failed;
                        drop(attempts.remove(at));
                        // Whoever has failed leaves its place to the next one at once.
                        head_start = Timer::after(Duration::ZERO);
                    }
                    Poll::Pending => at += 1,
                }
            }
            let is_due = attempts.is_empty() || Pin::new(&mut head_start).poll(cx).is_ready();
            if !is_due {
                return Poll::Pending;
            }
            match rest.next() {
                Some((address, source)) => {
                    attempts.push(connect(*address, *source));
                    head_start = Timer::after(HEAD_START);
                }
                None if attempts.is_empty() => {
                    let error = std::mem::replace(&mut error, io::ErrorKind::Other.into());
                    return Poll::Ready(Err(error));
                }
                None => return Poll::Pending,
            }
        }
    })
    .await
}

async fn connect(
    address: SocketAddr,
    source: Option<SocketAddr>,
    nodelay: bool,
) -> io::Result<TcpStream> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket: OwnedFd = net::socket_with(family, SocketType::STREAM, flags, None)?;
    if let Some(source) = source {
        net::bind(&socket, &source)?;
    }
    if nodelay {
        sockopt::set_tcp_nodelay(&socket, true)?;
    }
    match net::connect(&socket, &address) {
        Ok(()) | Err(Errno::INPROGRESS) => {}
        Err(error) => return Err(error.into()),
    }
    let socket = Async::new(blocking::TcpStream::from(socket))?;
    socket.writable().await?;
    match sockopt::socket_error(&socket)? {
        Ok(()) => Ok(socket.into()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::ErrorKind;
    use std::net::{Ipv4Addr, TcpListener};
    use std::sync::{Arc, Mutex};
    use std::time::Instant;

    /// What the attempts at each port come to, and the ports tried in their order.
    fn dialled(
        ports: &[u16],
        attempt: fn(u16) -> Attempt<u16>,
    ) -> (io::Result<u16>, Vec<u16>, Duration) {
        let pairs: Vec<Pair> = ports
            .iter()
            .map(|port| (SocketAddr::from((Ipv4Addr::LOCALHOST, *port)), None))
            .collect();
        let tried = Arc::new(Mutex::new(Vec::new()));
        let record = Arc::clone(&tried);
        let connect = move |address: SocketAddr, _| {
            record.lock().unwrap().push(address.port());
            attempt(address.port())
        };
        let start = Instant::now();
        let result = smol::block_on(first_of(&pairs, &connect));
        let tried = tried.lock().unwrap().clone();
        (result, tried, start.elapsed())
    }

    /// Below 10: refused. Below 20: never answered. Else connected.
    fn attempt(port: u16) -> Attempt<u16> {
        Box::pin(async move {
            match port {
                0..10 => Err(io::Error::new(
                    ErrorKind::ConnectionRefused,
                    port.to_string(),
                )),
                10..20 => future::pending().await,
                _ => Ok(port),
            }
        })
    }

    #[test]
    fn addresses_are_tried_in_their_order() {
        let (result, tried, _) = dialled(&[20, 21], attempt);
        assert_eq!((result.unwrap(), tried), (20, vec![20]));
    }

    #[test]
    fn one_that_refuses_holds_nobody_up() {
        let (result, tried, time) = dialled(&[1, 2, 20, 21], attempt);
        assert_eq!((result.unwrap(), tried), (20, vec![1, 2, 20]));
        assert!(time < HEAD_START, "{time:?}");
    }

    #[test]
    fn one_that_is_silent_has_a_head_start_and_no_more() {
        let (result, tried, time) = dialled(&[10, 11, 20], attempt);
        assert_eq!((result.unwrap(), tried), (20, vec![10, 11, 20]));
        assert!(time >= 2 * HEAD_START, "{time:?}");
    }

    #[test]
    fn the_last_error_counts() {
        let (result, tried, _) = dialled(&[1, 2], attempt);
        assert_eq!(result.unwrap_err().to_string(), "2");
        assert_eq!(tried, [1, 2]);
        let (result, ..) = dialled(&[], attempt);
        assert_eq!(result.unwrap_err().kind(), ErrorKind::AddrNotAvailable);
    }

    fn connection(target: Target, bind: Option<&str>) -> Connection {
        Connection {
            target,
            bind: bind.map(String::from),
            nodelay: true,
            proxy: None,
            tls: None,
            websocket: false,
        }
    }

    fn dial(connection: &Connection) -> Result<(), Failure> {
        let dialer = Dialer::new(connection)?;
        smol::block_on(dialer.dial()).map(drop)
    }

    #[test]
    fn a_socket_comes_from_the_address_it_is_bound_to() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        // The name has an IPv6 address too, which does not fit the one to be bound to.
        for host in ["127.0.0.1", "localhost"] {
            let host = host.to_string();
            dial(&connection(Target::Tcp { host, port }, Some("127.0.0.9"))).unwrap();
            let (_, from) = listener.accept().unwrap();
            assert_eq!(from.ip().to_string(), "127.0.0.9");
        }
    }

    #[test]
    fn no_connection() {
        let port = {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            listener.local_addr().unwrap().port()
        };
        let host = "127.0.0.1".to_string();
        let refused = dial(&connection(Target::Tcp { host, port }, None)).unwrap_err();
        assert_eq!(refused.lines(true), "Error: Connection refused\n");
        let host = "127.0.0.1".to_string();
        let elsewhere = connection(Target::Tcp { host, port }, Some("192.0.2.1"));
        assert!(matches!(dial(&elsewhere), Err(Failure::Dial(_))));
        let host = "nobody.invalid".to_string();
        let unknown = dial(&connection(Target::Tcp { host, port }, None)).unwrap_err();
        assert!(matches!(unknown, Failure::Lookup));
    }

    #[test]
    fn unix_sockets() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let unix = connection(Target::Unix(path.clone()), None);
        let missing = dial(&unix).unwrap_err();
        assert_eq!(missing.lines(true), "Error: No such file or directory\n");
        let _listener = std::os::unix::net::UnixListener::bind(path).unwrap();
        dial(&unix).unwrap();
    }
}
