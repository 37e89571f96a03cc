//! A TCP connection of the core thread.

use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::pin::Pin;
use std::task::{Context, Poll};

use smol::io::{AsyncRead, AsyncWrite};

use crate::reactor::{self, Direction, Token};

/// A non-blocking stream, watched by the reactor of this thread for as long as it lives.
#[derive(Debug)]
pub(crate) struct Socket {
    stream: TcpStream,
    token: Token,
}

impl Socket {
    /// Takes over an accepted connection.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn new(stream: TcpStream) -> io::Result<Socket> {
        stream.set_nonblocking(true)?;
        // Acknowledgements must not wait for more to send. Fails only where the peer has gone already.
        let _ = stream.set_nodelay(true);
        let token = reactor::register(&stream)?;
        Ok(Socket { stream, token })
    }

    /// Whether a read is worth trying; otherwise the task is woken once it is.
    pub(crate) fn poll_readable(&self, cx: &Context<'_>) -> Poll<()> {
        reactor::poll_ready(self.token, Direction::Read, cx)
    }

    /// Whether a write is worth trying; otherwise the task is woken once it is.
    pub(crate) fn poll_writable(&self, cx: &Context<'_>) -> Poll<()> {
        reactor::poll_ready(self.token, Direction::Write, cx)
    }

    /// Has `len` bytes written as far as there is room.
    fn write(
        &mut self,
        cx: &Context<'_>,
        len: usize,
        mut write: impl FnMut(&mut TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            std::task::ready!(reactor::poll_ready(self.token, Direction::Write, cx));
            match write(&mut self.stream) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    reactor::not_ready(self.token, Direction::Write);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(count) => {
                    if count < len {
                        reactor::not_ready(self.token, Direction::Write);
                    }
                    return Poll::Ready(Ok(count));
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncRead for Socket {
    /// Reads what is there, up to the buffer's length; 0 is the end.
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            std::task::ready!(reactor::poll_ready(self.token, Direction::Read, cx));
            match self.stream.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    reactor::not_ready(self.token, Direction::Read);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(count) => {
                    // Less than asked for: nothing more is there now, and no call is needed to learn it.
                    if count < buffer.len() {
                        reactor::not_ready(self.token, Direction::Read);
                    }
                    return Poll::Ready(Ok(count));
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncWrite for Socket {
    /// Writes as much as there is room for.
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.write(cx, bytes.len(), |stream| stream.write(bytes))
    }

    /// Writes as much as there is room for.
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let len = pieces.iter().map(|piece| piece.len()).sum();
        self.write(cx, len, |stream| stream.write_vectored(pieces))
    }

    /// Nothing is kept here.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Says that nothing more will be written; the peer reads the end after the last bytes.
    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Fails only where the peer has gone already.
        let _ = self.stream.shutdown(Shutdown::Write);
        Poll::Ready(Ok(()))
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        reactor::deregister(self.token, &self.stream);
    }
}
