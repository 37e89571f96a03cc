//! The way through a SOCKS5 proxy (RFC 1928), with a user name and a password if it asks for them (RFC 1929).

use std::fmt;
use std::io;
use std::net::IpAddr;

use smol::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use zeroize::Zeroizing;

use crate::options::ProxyCredentials;

const VERSION: u8 = 5;
const NO_AUTHENTICATION: u8 = 0;
const USERNAME_AND_PASSWORD: u8 = 2;
const NO_ACCEPTABLE_METHOD: u8 = 0xff;
const CONNECT: u8 = 1;
const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;
/// The version of the exchange of RFC 1929.
const CREDENTIALS_VERSION: u8 = 1;

/// Why the proxy does not let us through.
#[derive(Debug)]
pub(crate) enum SocksError {
    /// The connection to the proxy failed, or it closed it.
    Lost(io::Error),
    /// What it says is not SOCKS5.
    NotSocks,
    /// It wants a user name and a password, and there are none.
    CredentialsWanted,
    /// It offers no way to authenticate that is known here.
    NoMethod,
    /// User name or password are wrong.
    CredentialsRefused,
    /// The name of the host is longer than 255 bytes.
    NameTooLong,
    /// It does not connect to the broker: the reply's number (RFC 1928 section 6).
    Refused(u8),
}

impl fmt::Display for SocksError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            SocksError::Lost(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                "the proxy closed the connection"
            }
            SocksError::Lost(error) => return error.fmt(formatter),
            SocksError::NotSocks => "it does not speak SOCKS5",
            SocksError::CredentialsWanted => "the proxy wants a user name and a password",
            SocksError::NoMethod => "the proxy offers no known way to authenticate",
            SocksError::CredentialsRefused => "user name or password are wrong",
            SocksError::NameTooLong => "the host's name is too long for the proxy",
            SocksError::Refused(1) => "the proxy reports a general failure",
            SocksError::Refused(2) => "the proxy's rules do not allow the connection",
            SocksError::Refused(3) => "the network is unreachable for the proxy",
            SocksError::Refused(4) => "the host is unreachable for the proxy",
            SocksError::Refused(5) => "the broker refused the proxy's connection",
            SocksError::Refused(6) => "the proxy's connection timed out on its way",
            SocksError::Refused(7) => "the proxy does not make connections",
            SocksError::Refused(8) => "the proxy does not know this kind of address",
            SocksError::Refused(reply) => {
                return write!(formatter, "the proxy refuses for reason {reply}");
            }
        })
    }
}

impl From<io::Error> for SocksError {
    fn from(error: io::Error) -> Self {
        SocksError::Lost(error)
    }
}

/// Has the proxy at the other end of `socket` connect to a host; afterwards the socket leads there.
///
/// # Errors
/// Why it does not.
pub(crate) async fn connect<S>(
    socket: &mut S,
    credentials: Option<&ProxyCredentials>,
    host: &str,
    port: u16,
) -> Result<(), SocksError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let request = request(host, port)?;
    let methods: &[u8] = match credentials {
        None => &[VERSION, 1, NO_AUTHENTICATION],
        Some(_) => &[VERSION, 2, NO_AUTHENTICATION, USERNAME_AND_PASSWORD],
    };
    socket.write_all(methods).await?;
    socket.flush().await?;
    match (read::<2, _>(socket).await?, credentials) {
        ([VERSION, NO_AUTHENTICATION], _) => {}
        ([VERSION, USERNAME_AND_PASSWORD], Some(credentials)) => {
            authenticate(socket, credentials).await?;
        }
        ([VERSION, NO_ACCEPTABLE_METHOD], None) => return Err(SocksError::CredentialsWanted),
        ([VERSION, _], _) => return Err(SocksError::NoMethod),
        _ => return Err(SocksError::NotSocks),
    }
    socket.write_all(&request).await?;
    socket.flush().await?;
    let [version, reply, _, kind] = read(socket).await?;
    if version != VERSION {
        return Err(SocksError::NotSocks);
    }
    if reply != 0 {
        return Err(SocksError::Refused(reply));
    }
    // The address that the proxy connects from is of no use here.
    let length = match kind {
        IPV4 => 4,
        IPV6 => 16,
        NAME => usize::from(read::<1, _>(socket).await?[0]),
        _ => return Err(SocksError::NotSocks),
    };
    let mut rest = [0; 255 + 2];
    socket.read_exact(&mut rest[..length + 2]).await?;
    Ok(())
}

/// The request to connect: an address as it is, a name for the proxy to look up.
fn request(host: &str, port: u16) -> Result<Vec<u8>, SocksError> {
    let mut request = vec![VERSION, CONNECT, 0];
    match host.parse() {
        Ok(IpAddr::V4(address)) => {
            request.push(IPV4);
            request.extend_from_slice(&address.octets());
        }
        Ok(IpAddr::V6(address)) => {
            request.push(IPV6);
            request.extend_from_slice(&address.octets());
        }
        Err(_) => {
            let length = u8::try_from(host.len()).map_err(|_| SocksError::NameTooLong)?;
            request.extend_from_slice(&[NAME, length]);
            request.extend_from_slice(host.as_bytes());
        }
    }
    request.extend_from_slice(&port.to_be_bytes());
    Ok(request)
}

async fn authenticate<S>(socket: &mut S, credentials: &ProxyCredentials) -> Result<(), SocksError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut request = Zeroizing::new(vec![CREDENTIALS_VERSION]);
    // Both have at most 255 bytes.
    request.push(credentials.username.len() as u8);
    request.extend_from_slice(&credentials.username);
    request.push(credentials.password.len() as u8);
    request.extend_from_slice(&credentials.password);
    socket.write_all(&request).await?;
    socket.flush().await?;
    match read(socket).await? {
        [CREDENTIALS_VERSION, 0] => Ok(()),
        [CREDENTIALS_VERSION, _] => Err(SocksError::CredentialsRefused),
        _ => Err(SocksError::NotSocks),
    }
}

/// The next bytes.
async fn read<const COUNT: usize, S>(socket: &mut S) -> Result<[u8; COUNT], SocksError>
where
    S: AsyncRead + Unpin,
{
    let mut bytes = [0; COUNT];
    socket.read_exact(&mut bytes).await?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use smol::net::unix::UnixStream;

    use super::*;

    /// What a proxy reads and answers, in turns.
    type Turn = (&'static [u8], &'static [u8]);

    fn credentials() -> ProxyCredentials {
        ProxyCredentials {
            username: b"house".to_vec(),
            password: Zeroizing::new(b"12345".to_vec()),
        }
    }

    /// Connects by a proxy that follows the script and then closes; the bytes that come through behind its answer.
    fn through(
        credentials: Option<&ProxyCredentials>,
        host: &str,
        script: &[Turn],
    ) -> Result<Vec<u8>, SocksError> {
        let (mut ours, mut theirs) = UnixStream::pair().expect("a pair");
        let proxy = async {
            for (expected, answer) in script {
                let mut read = vec![0; expected.len()];
                theirs.read_exact(&mut read).await.expect("as much");
                assert_eq!(read, *expected);
                // Byte by byte: replies need not come as a whole.
                for byte in *answer {
                    theirs.write_all(&[*byte]).await.expect("written");
                    smol::future::yield_now().await;
                }
            }
            drop(theirs);
        };
        let client = async {
            connect(&mut ours, credentials, host, 1883).await?;
            let mut rest = Vec::new();
            ours.read_to_end(&mut rest).await?;
            Ok(rest)
        };
        smol::block_on(smol::future::zip(client, proxy)).0
    }

    const HELLO: Turn = (b"\x05\x01\x00", b"\x05\x00");
    const HELLO_WITH_NAME: Turn = (b"\x05\x02\x00\x02", b"\x05\x02");

    #[test]
    fn names_and_addresses() {
        let cases: [(&str, &[u8]); 3] = [
            ("router", b"\x05\x01\x00\x03\x06router\x07\x5b"),
            ("10.0.0.1", b"\x05\x01\x00\x01\x0a\x00\x00\x01\x07\x5b"),
            (
                "fc00:202::254",
                b"\x05\x01\x00\x04\xfc\x00\x02\x02\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x54\x07\x5b",
            ),
        ];
        for (host, request) in cases {
            let script = [
                HELLO,
                (request, b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00MQTT"),
            ];
            let passed = through(None, host, &script);
            assert!(
                matches!(passed.as_deref(), Ok(b"MQTT")),
                "{host}: {passed:?}"
            );
        }
    }

    #[test]
    fn replies_have_any_address() {
        let request = b"\x05\x01\x00\x03\x01h\x07\x5b";
        let replies: [&[u8]; 3] = [
            b"\x05\x00\x00\x03\x03abc\x00\x01MQTT",
            b"\x05\x00\x00\x03\x00\x00\x01MQTT",
            b"\x05\x00\x00\x040123456789abcdef\x00\x01MQTT",
        ];
        for reply in replies {
            let passed = through(None, "h", &[HELLO, (request, reply)]);
            assert!(matches!(passed.as_deref(), Ok(b"MQTT")), "{passed:?}");
        }
    }

    #[test]
    fn credentials_are_given_when_they_are_wanted() {
        let request: Turn = (
            b"\x05\x01\x00\x03\x01h\x07\x5b",
            b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00",
        );
        let given: Turn = (b"\x01\x05house\x0512345", b"\x01\x00");
        assert!(
            through(
                Some(&credentials()),
                "h",
                &[HELLO_WITH_NAME, given, request]
            )
            .is_ok()
        );
        let not_wanted: Turn = (b"\x05\x02\x00\x02", b"\x05\x00");
        assert!(through(Some(&credentials()), "h", &[not_wanted, request]).is_ok());
        let refused: Turn = (b"\x01\x05house\x0512345", b"\x01\x01");
        let script = [HELLO_WITH_NAME, refused];
        let failed = through(Some(&credentials()), "h", &script);
        assert!(matches!(failed, Err(SocksError::CredentialsRefused)));
    }

    #[test]
    fn what_goes_wrong_is_told() {
        let asked = b"\x05\x01\x00";
        let failed = |answer| through(None, "h", &[(asked, answer)]).expect_err("no way through");
        assert!(matches!(failed(b"\x05\xff"), SocksError::CredentialsWanted));
        assert!(matches!(failed(b"\x05\x02"), SocksError::NoMethod));
        assert!(matches!(failed(b"\x04\x00"), SocksError::NotSocks));
        assert!(matches!(failed(b"HTTP"), SocksError::NotSocks));
        assert!(matches!(failed(b"\x05"), SocksError::Lost(_)));
        assert!(matches!(failed(b""), SocksError::Lost(_)));
        let request = b"\x05\x01\x00\x03\x01h\x07\x5b";
        let replied = |reply| through(None, "h", &[HELLO, (request, reply)]).expect_err("refused");
        assert!(matches!(
            replied(b"\x05\x02\x00\x01"),
            SocksError::Refused(2)
        ));
        assert!(matches!(replied(b"\x05\x00\x00\x07"), SocksError::NotSocks));
        assert!(matches!(replied(b"\x04\x00\x00\x01"), SocksError::NotSocks));
        assert!(matches!(
            replied(b"\x05\x00\x00\x01\x00"),
            SocksError::Lost(_)
        ));
        let long = "h".repeat(256);
        assert!(matches!(
            through(None, &long, &[]),
            Err(SocksError::NameTooLong)
        ));
    }

    #[test]
    fn every_reply_has_words() {
        for reply in 1..=u8::MAX {
            assert!(SocksError::Refused(reply).to_string().contains("proxy"));
        }
    }
}
