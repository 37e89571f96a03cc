//! Moves a handshake's bytes between session and socket.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_io::{AsyncRead, AsyncWrite};

use crate::session::{Session, SessionError};
use crate::stream::with_scratch;

/// Why there is no connection.
#[derive(Debug)]
pub(crate) enum Failure {
    Session(SessionError),
    /// The peer ended the connection.
    Closed,
    Socket(io::Error),
    /// The first bytes are no TLS.
    NotTls(u8),
    /// The first message offers nothing newer than TLS 1.1.
    TooOld,
    /// The first message does not end.
    TooLong,
}

/// The content type of a record with a handshake message (RFC 8446 5.1), with which every connection begins.
const HANDSHAKE_RECORD: u8 = 22;
/// Where a ClientHello has its version (RFC 8446 4, 4.1.2), and the shortest length of a record that reaches so far.
const HELLO_VERSION: std::ops::Range<usize> = 9..11;
const HELLO_VERSION_RECORD: u16 = 6;
/// Where it has the length of its session identifier, and the shortest length of a record that reaches so far.
const SESSION_ID: usize = 43;
const SESSION_ID_RECORD: u16 = 39;
/// Where a record has its length (RFC 8446 5.1).
const RECORD_LENGTH: std::ops::Range<usize> = 3..5;
/// What TLS 1.2 and 1.3 have there.
const TLS_1_2: [u8; 2] = [3, 3];
/// A fatal alert, protocol_version (RFC 8446 6.2).
const VERSION_ALERT: &[u8] = &[21, 3, 1, 0, 2, 2, 70];

/// Ciphertext taken of a client before it is answered: OpenSSL would take a ClientHello of 128 KB from anyone, and what it
/// takes, many a C library does not give back. The largest in use, with a session ticket that holds a chain of certificates,
/// has some 20 KB.
const MOST_OF_HELLO: usize = 32 * 1024;

/// Runs the handshake to its end. On failure an alert may have been sent.
pub(crate) async fn run<S>(
    session: &mut Session,
    socket: &mut S,
    is_server: bool,
) -> Result<(), Failure>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut hello = is_server.then_some(0);
    std::future::poll_fn(|cx| poll(session, socket, &mut hello, cx)).await
}

/// `hello` counts the bytes of the ClientHello, until it is answered.
fn poll<S>(
    session: &mut Session,
    socket: &mut S,
    hello: &mut Option<usize>,
    cx: &mut Context<'_>,
) -> Poll<Result<(), Failure>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    loop {
        let complete = match session.handshake() {
            Ok(complete) => complete,
            Err(error) => {
                // The alert; a peer that does not take it need not know.
                let _ = poll_send(session, socket, cx);
                return Poll::Ready(Err(match error {
                    SessionError::Io(_) if session.memory().has_ended() => Failure::Closed,
                    error => Failure::Session(error),
                }));
            }
        };
        if !session.memory().unsent().is_empty() {
            *hello = None;
        }
        ready!(poll_send(session, socket, cx)).map_err(Failure::Socket)?;
        if complete {
            return Poll::Ready(Ok(()));
        }
        if session.memory().has_ended() {
            return Poll::Ready(Err(Failure::Closed));
        }
        let received = with_scratch(|scratch| {
            let count = ready!(Pin::new(&mut *socket).poll_read(cx, scratch))?;
            let bytes = &scratch[..count];
            let wrong = match hello {
                Some(0) => wrong_beginning(bytes),
                Some(length) if *length + count > MOST_OF_HELLO => Some(Failure::TooLong),
                _ => None,
            };
            session.memory().receive(bytes);
            Poll::Ready(io::Result::Ok((count, wrong)))
        });
        let (count, wrong) = ready!(received).map_err(Failure::Socket)?;
        if let Some(length) = hello {
            *length += count;
        }
        if count == 0 {
            session.memory().end();
        }
        if let Some(failure) = wrong {
            if matches!(failure, Failure::TooOld) {
                // rustls would say something else.
                let _ = Pin::new(&mut *socket).poll_write(cx, VERSION_ALERT);
            }
            return Poll::Ready(Err(failure));
        }
    }
}

/// Tells from the first bytes what no TLS library could say as well.
fn wrong_beginning(bytes: &[u8]) -> Option<Failure> {
    let first = *bytes.first()?;
    if first != HANDSHAKE_RECORD {
        return Some(Failure::NotTls(first));
    }
    let version = bytes.get(HELLO_VERSION)?;
    let is_there = record_length(bytes)? >= HELLO_VERSION_RECORD;
    (is_there && version < &TLS_1_2[..]).then_some(Failure::TooOld)
}

/// Of the first record, if so much of it is there.
fn record_length(bytes: &[u8]) -> Option<u16> {
    let length = bytes.get(RECORD_LENGTH)?;
    Some(u16::from_be_bytes([length[0], length[1]]))
}

/// Whether the first message, of which so much is there, has a session identifier. None until that is there.
///
/// In TLS 1.3 it serves no purpose but to look like TLS 1.2 to what lies in between, and all clients have it but those that
/// are made for small devices (RFC 8446 D.4). Of these wolfSSL has room for 8 bytes of a session ticket's nonce, and breaks
/// the connection off when it gets the 32 of rustls' tickets. (One that was built to have an
/// identifier is not told apart.) A first
/// record too short to tell counts as none.
pub(crate) fn has_session_id(bytes: &[u8]) -> Option<bool> {
    if record_length(bytes)? < SESSION_ID_RECORD {
        return Some(false);
    }
    bytes.get(SESSION_ID).map(|&length| length > 0)
}

/// Writes the session's ciphertext until there is none or the socket has no room.
pub(crate) fn poll_send<S>(
    session: &mut Session,
    socket: &mut S,
    cx: &mut Context<'_>,
) -> Poll<io::Result<()>>
where
    S: AsyncWrite + Unpin,
{
    let memory = session.memory();
    while !memory.unsent().is_empty() {
        match ready!(Pin::new(&mut *socket).poll_write(cx, memory.unsent()))? {
            0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            count => memory.sent(count),
        }
    }
    Poll::Ready(Ok(()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn session_identifiers() {
        let hello = |record: u8, length: u8| {
            let mut bytes = vec![22, 3, 1, 0, record];
            bytes.resize(SESSION_ID, 0);
            bytes.push(length);
            bytes
        };
        assert_eq!(has_session_id(&hello(200, 32)), Some(true));
        assert_eq!(has_session_id(&hello(200, 0)), Some(false));
        for seen in 0..SESSION_ID {
            assert_eq!(has_session_id(&hello(200, 32)[..seen]), None, "{seen}");
        }
        assert_eq!(has_session_id(&hello(39, 1)), Some(true));
        assert_eq!(has_session_id(&hello(38, 1)), Some(false));
        assert_eq!(has_session_id(&[22, 3, 1, 0, 4]), Some(false));
    }

    /// The beginning of a ClientHello with this version, in records of so many bytes.
    fn hello(version: [u8; 2], record: u8) -> Vec<u8> {
        let hello = [1, 0, 1, 0, version[0], version[1], 7, 7, 7, 7];
        let records = hello.chunks(record.into());
        let with_header = |content: &[u8]| [&[22, 3, 1, 0, content.len() as u8], content].concat();
        records.flat_map(with_header).collect()
    }

    #[test]
    fn an_old_version_is_found_in_the_first_record_alone() {
        for record in 1..=10 {
            assert!(wrong_beginning(&hello([3, 3], record)).is_none());
            let old = wrong_beginning(&hello([3, 2], record));
            assert_eq!(matches!(old, Some(Failure::TooOld)), record >= 6);
        }
        assert!(matches!(
            wrong_beginning(b"\x10\x0c"),
            Some(Failure::NotTls(0x10))
        ));
    }
}
