//! What carries the bytes of a connection: its socket, plain or through TLS.

use std::io::{self, IoSlice};
use std::net::TcpStream;
use std::pin::Pin;
use std::task::{Context, Poll};

use smol::io::AsyncWrite;
use tls::Stream;

use crate::handshake::Wanted;
use crate::socket::Socket;

/// The socket's side of a connection.
#[derive(Debug)]
pub(crate) enum Link {
    /// The handshake has the socket.
    Handshaking(#[expect(dead_code, reason = "it ends the handshake when it is dropped")] Wanted),
    /// Bytes may come and go.
    Open(Stream<Socket>),
}

impl Link {
    /// A connection without TLS.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn plain(stream: TcpStream) -> io::Result<Link> {
        Ok(Link::Open(Stream::plain(Socket::new(stream)?)))
    }

    /// A connection whose handshake is complete.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn secured(stream: Stream<TcpStream>) -> io::Result<Link> {
        Ok(Link::Open(stream.try_map(Socket::new)?))
    }

    pub(crate) fn is_open(&self) -> bool {
        matches!(self, Link::Open(_))
    }

    /// Reads what is there, up to the buffer's length; 0 is the end. After a read that was short
    /// [`Link::poll_readable`] tells the rest, and after one that is pending [`Link::has_unread`].
    pub(crate) fn poll_read(
        &mut self,
        cx: &Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        match self {
            Link::Handshaking(_) => Poll::Pending,
            Link::Open(stream) => stream.poll_read_once(&mut again(cx), buffer),
        }
    }

    /// Takes as much as there is room for.
    pub(crate) fn poll_write(&mut self, cx: &Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Link::Handshaking(_) => Poll::Pending,
            Link::Open(stream) => Pin::new(stream).poll_write(&mut again(cx), bytes),
        }
    }

    /// Takes as much as there is room for of several pieces, or of the first.
    pub(crate) fn poll_write_vectored(
        &mut self,
        cx: &Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self {
            Link::Handshaking(_) => Poll::Pending,
            Link::Open(stream) => Pin::new(stream).poll_write_vectored(&mut again(cx), pieces),
        }
    }

    /// Whether there is more to do with what has come, though nothing could be read: others first.
    pub(crate) fn has_unread(&self) -> bool {
        matches!(self, Link::Open(stream) if stream.has_unread())
    }

    /// Whether a read is worth trying; otherwise the task is woken once it is.
    pub(crate) fn poll_readable(&self, cx: &Context<'_>) -> Poll<()> {
        match self {
            Link::Handshaking(_) => Poll::Pending,
            Link::Open(stream) if stream.has_unread() => Poll::Ready(()),
            Link::Open(stream) => stream.get_ref().poll_readable(cx),
        }
    }

    /// Whether a write is worth trying; otherwise the task is woken once it is.
    pub(crate) fn poll_writable(&self, cx: &Context<'_>) -> Poll<()> {
        match self {
            Link::Handshaking(_) => Poll::Pending,
            Link::Open(stream) => stream.get_ref().poll_writable(cx),
        }
    }

    /// Whether the socket has taken everything that was written; otherwise the task is woken once there is room for more.
    pub(crate) fn poll_taken(&mut self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Link::Handshaking(_) => Poll::Pending,
            Link::Open(stream) => Pin::new(stream).poll_flush(&mut again(cx)),
        }
    }

    /// Says that nothing more will be written; the peer reads the end after the last bytes.
    pub(crate) fn poll_finish(&mut self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Link::Handshaking(_) => Poll::Pending,
            Link::Open(stream) => Pin::new(stream).poll_close(&mut again(cx)),
        }
    }
}

fn again<'a>(cx: &Context<'a>) -> Context<'a> {
    Context::from_waker(cx.waker())
}
