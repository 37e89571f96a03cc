//! A little server on a port of its own, for peers of any kind.

use std::net::{TcpListener, TcpStream};
use std::thread::JoinHandle;
use std::time::Duration;

use smol::io::{AsyncReadExt, AsyncWriteExt};
use smol::{Async, Timer};
use tls::{Material, ServerTls};

/// What became of one connection.
pub(crate) type Outcome = Result<Served, String>;

/// A connection that came about.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Served {
    pub(crate) description: String,
    pub(crate) common_name: Option<String>,
    pub(crate) received: Vec<u8>,
}

pub(crate) struct Server {
    pub(crate) port: u16,
    thread: JoinHandle<Vec<Outcome>>,
}

/// How long a peer has for everything.
const PATIENCE: Duration = Duration::from_secs(30);

impl Server {
    /// Takes so many connections, one after the other.
    pub(crate) fn start(tls: ServerTls, connections: usize) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let thread = std::thread::spawn(move || {
            smol::block_on(async {
                let listener = Async::new(listener).unwrap();
                let mut outcomes = Vec::new();
                for _ in 0..connections {
                    let served = async {
                        let (socket, _) = listener.accept().await.unwrap();
                        socket.get_ref().set_nodelay(true).unwrap();
                        serve(&tls, socket).await
                    };
                    let too_long = async {
                        Timer::after(PATIENCE).await;
                        Err("the test's patience has ended".to_string())
                    };
                    outcomes.push(smol::future::or(served, too_long).await);
                }
                outcomes
            })
        });
        Server { port, thread }
    }

    /// What became of all connections.
    pub(crate) fn outcomes(self) -> Vec<Outcome> {
        self.thread.join().unwrap()
    }

    /// What became of the only one.
    pub(crate) fn outcome(self) -> Outcome {
        let mut outcomes = self.outcomes();
        assert_eq!(outcomes.len(), 1);
        outcomes.remove(0)
    }
}

/// Answers an MQTT client's CONNECT, and any other's bytes with the same bytes, until a line or the connection ends.
async fn serve(tls: &ServerTls, socket: Async<TcpStream>) -> Outcome {
    let mut stream = match tls.accept(socket).await {
        Ok(stream) => stream,
        Err(refused) => {
            // The peer is to read the alert.
            let _ = refused.socket.get_ref().shutdown(std::net::Shutdown::Write);
            let mut rest = refused.socket;
            let _ = rest.read_to_end(&mut Vec::new()).await;
            return Err(refused.reason.to_string());
        }
    };
    let mut received = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let count = match stream.read(&mut buffer).await {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => break,
            Err(error) => return Err(format!("{error} after {received:?}")),
        };
        received.extend_from_slice(&buffer[..count]);
        let answer = match received[0] {
            0x10 if received.len() == count => &[0x20, 2, 0, 0][..],
            0x10 => &[],
            _ => &buffer[..count],
        };
        if stream.write_all(answer).await.is_err() || stream.flush().await.is_err() {
            break;
        }
        if received[0] != 0x10 && received.contains(&b'\n') {
            break;
        }
    }
    let description = stream.describe().unwrap_or_default();
    let common_name = stream.peer_common_name().map(str::to_string);
    if stream.close().await.is_ok() {
        let _ = stream.read_to_end(&mut Vec::new()).await;
    }
    Ok(Served {
        description,
        common_name,
        received,
    })
}

/// A server's side with a certificate.
pub(crate) fn certificate(
    ca: &[u8],
    certificate: &[u8],
    key: &[u8],
    ask_client: bool,
) -> ServerTls {
    ServerTls::new(&Material::Certificate {
        ca,
        certificate,
        private_key: key,
        ask_client,
    })
    .unwrap()
}

/// A server's side with a pre-shared key.
pub(crate) fn psk(identity: &str, key: &[u8]) -> ServerTls {
    ServerTls::new(&Material::Psk {
        identity: identity.as_bytes(),
        key,
    })
    .unwrap()
}
