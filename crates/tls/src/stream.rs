//! A connection, encrypted or not.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_io::{AsyncRead, AsyncWrite};

use crate::handshake::poll_send;
use crate::session::Session;

/// A connection over `S`, plain or through TLS.
///
/// What a caller may rely on:
/// - A read that returns fewer bytes than asked for has left none inside that could be read before more comes from the
///   socket, so readiness of the socket tells the rest; for an end or an error right behind them the task is woken.
///   [`Stream::has_unread`] says at any time whether to read without waiting; it is true after the handshake, since the
///   first bytes may have come with it.
/// - A read that is pending has asked the socket, which wakes the task. Reading never takes the waker of a task that waits
///   to write, so reading and writing may be two tasks.
/// - A write takes up to 64 KiB, gives all its ciphertext to the socket with one call, and takes no more before the socket
///   has taken that. What the socket has no room for is kept: [`Stream::has_unsent`]. The task is then woken when there is
///   room and calls `poll_flush` (or writes on).
/// - Dropping a future loses nothing: all state is in the stream.
/// - A connection that ends without TLS' own farewell fails with `UnexpectedEof`; 0 bytes are a proper end.
/// - An idle stream holds no buffer but rustls' 4 KiB.
#[derive(Debug)]
pub struct Stream<S> {
    socket: S,
    tls: Option<Box<Tls>>,
}

#[derive(Debug)]
struct Tls {
    session: Session,
    common_name: Option<Box<str>>,
    unread: bool,
    /// The last write, flush or close is pending, and its waker with the socket.
    writer_waits: bool,
    closing: bool,
    /// Found while reading, and to be said once the bytes before it are read.
    failed: Option<io::Error>,
}

/// Plaintext taken at a time.
const MOST_PLAINTEXT: usize = 64 * 1024;
/// Ciphertext that reading alone may leave unsent: answers to a peer that demands them and reads none.
const MOST_ANSWERS: usize = 4 * 1024;
/// How often one poll reads from the socket without any plaintext coming of it.
const READS_A_POLL: usize = 8;
/// What one poll may spend on messages without plaintext, in reads of OpenSSL's: 16 changes of keys, each of which costs as
/// much as some messages of a client.
const PATIENCE: u32 = 32;
/// Read from the socket at a time: a record of 16 KiB and its neighbours.
const SCRATCH: usize = 32 * 1024;

thread_local! {
    static SCRATCH_BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Lends the thread's one buffer for ciphertext.
pub(crate) fn with_scratch<T>(act: impl FnOnce(&mut [u8]) -> T) -> T {
    // Taken out, so that a socket which is such a stream itself finds none and makes its own.
    let mut buffer = SCRATCH_BUFFER.take();
    buffer.resize(SCRATCH, 0);
    let result = act(&mut buffer);
    SCRATCH_BUFFER.set(buffer);
    result
}

impl<S> Stream<S> {
    /// A connection without TLS.
    pub fn plain(socket: S) -> Stream<S> {
        Stream { socket, tls: None }
    }

    /// A connection whose handshake is complete.
    pub(crate) fn encrypted(socket: S, session: Session, common_name: Option<String>) -> Stream<S> {
        let tls = Tls {
            session,
            common_name: common_name.map(String::into_boxed_str),
            unread: true,
            writer_waits: false,
            closing: false,
            failed: None,
        };
        Stream {
            socket,
            tls: Some(Box::new(tls)),
        }
    }

    /// The socket. Reading from it or writing to it breaks an encrypted connection.
    pub fn get_ref(&self) -> &S {
        &self.socket
    }

    /// The socket. Reading from it or writing to it breaks an encrypted connection.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.socket
    }

    /// Exchanges the socket: `change` makes the new one of the old, for example by registering it with another reactor.
    /// Wakers with the old one are lost, so whoever uses the stream next must poll it first.
    ///
    /// # Errors
    /// Those of `change`; the connection is gone then.
    pub fn try_map<T, E>(self, change: impl FnOnce(S) -> Result<T, E>) -> Result<Stream<T>, E> {
        Ok(Stream {
            socket: change(self.socket)?,
            tls: self.tls,
        })
    }

    /// The socket alone; the connection is over.
    pub(crate) fn into_socket(self) -> S {
        self.socket
    }

    /// Whether TLS is on.
    pub fn is_encrypted(&self) -> bool {
        self.tls.is_some()
    }

    /// The first Common Name in the peer's verified certificate. None without certificate, and where the certificate has
    /// none that is UTF-8 without NUL.
    pub fn peer_common_name(&self) -> Option<&str> {
        self.tls.as_ref()?.common_name.as_deref()
    }

    /// Protocol version and cipher suite by their standard names, such as `TLSv1.3 TLS_AES_128_GCM_SHA256`; None if plain.
    pub fn describe(&self) -> Option<String> {
        Some(self.tls.as_ref()?.session.describe())
    }

    /// Whether bytes may be read that no event of the socket will tell of.
    pub fn has_unread(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.unread)
    }

    /// Whether ciphertext waits for room in the socket; `poll_flush` sends it.
    pub fn has_unsent(&self) -> bool {
        let tls = self.tls.as_ref();
        tls.is_some_and(|tls| tls.session.has_unsent())
    }
}

impl Tls {
    /// Decrypts what has come until `buffer` is full or there is no more of it. If `unread` is true although it is pending or
    /// has left room, there is more to do.
    fn decrypt(&mut self, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        if let Some(error) = self.failed.take() {
            self.failed = Some(io::Error::new(error.kind(), error.to_string()));
            return Poll::Ready(Err(error));
        }
        let (mut filled, mut patience) = (0, PATIENCE);
        self.unread = true;
        while filled < buffer.len() {
            match self.session.read(&mut buffer[filled..], &mut patience) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.unread = false;
                    if filled == 0 {
                        return Poll::Pending;
                    }
                    break;
                }
                // Others first.
                Err(error) if error.kind() == io::ErrorKind::Interrupted && filled == 0 => {
                    return Poll::Pending;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => break,
                Err(error) if filled == 0 => {
                    self.failed = Some(io::Error::new(error.kind(), error.to_string()));
                    return Poll::Ready(Err(error));
                }
                Err(error) => {
                    self.failed = Some(error);
                    break;
                }
            }
        }
        Poll::Ready(Ok(filled))
    }

    fn poll_read<S>(
        &mut self,
        socket: &mut S,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        for _ in 0..READS_A_POLL {
            let decrypted = self.decrypt(buffer);
            self.answer(socket, cx)?;
            if decrypted.is_ready() || self.unread {
                return decrypted;
            }
            let memory = self.session.memory();
            let count = ready!(with_scratch(|scratch| {
                let count = ready!(Pin::new(&mut *socket).poll_read(cx, scratch))?;
                memory.receive(&scratch[..count]);
                Poll::Ready(io::Result::Ok(count))
            }))?;
            if count == 0 {
                memory.end();
            }
        }
        // Much came and none of it was plaintext: others first.
        self.unread = true;
        Poll::Pending
    }

    /// Sends what reading called for: an answer to a change of keys, an alert. As long as a writer waits for room, that is
    /// the writer's to do, for the socket knows one waker.
    fn answer<S>(&mut self, socket: &mut S, cx: &mut Context<'_>) -> io::Result<()>
    where
        S: AsyncWrite + Unpin,
    {
        let unsent = self.session.memory().unsent().len();
        if unsent == 0 || self.writer_waits {
            // A writer has at most its own share inside.
            return if unsent > MOST_ANSWERS + 2 * MOST_PLAINTEXT {
                Err(io::Error::other("the peer demands answers and reads none"))
            } else {
                Ok(())
            };
        }
        match poll_send(&mut self.session, socket, cx) {
            // Whatever is wrong, the reader hears it from the socket, after the bytes that have come.
            Poll::Ready(_) => Ok(()),
            Poll::Pending if unsent > MOST_ANSWERS => {
                Err(io::Error::other("the peer demands answers and reads none"))
            }
            Poll::Pending => Ok(()),
        }
    }

    fn poll_send<S>(&mut self, socket: &mut S, cx: &mut Context<'_>) -> Poll<io::Result<()>>
    where
        S: AsyncWrite + Unpin,
    {
        let result = poll_send(&mut self.session, socket, cx);
        self.writer_waits = result.is_pending();
        result
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Stream<S> {
    /// Like `poll_read`, but for callers that decide themselves when to go on: where that would wake the task at once, since
    /// there is more to do, this only lets [`Stream::has_unread`] say so.
    pub fn poll_read_once(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.tls {
            None => Pin::new(&mut self.socket).poll_read(cx, buffer),
            Some(_) if buffer.is_empty() => Poll::Ready(Ok(0)),
            Some(tls) => tls.poll_read(&mut self.socket, cx, buffer),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Stream<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = this.poll_read_once(cx, buffer);
        let may_sleep = match &result {
            Poll::Pending => true,
            Poll::Ready(Ok(count)) => (1..buffer.len()).contains(count),
            Poll::Ready(Err(_)) => false,
        };
        if may_sleep && this.has_unread() {
            // The end, an error, or more to do: the socket may have nothing more to tell.
            cx.waker().wake_by_ref();
        }
        result
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Stream<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let Some(tls) = &mut this.tls else {
            return Pin::new(&mut this.socket).poll_write(cx, bytes);
        };
        if tls.closing {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        ready!(tls.poll_send(&mut this.socket, cx))?;
        let count = bytes.len().min(MOST_PLAINTEXT);
        if count == 0 {
            return Poll::Ready(Ok(0));
        }
        tls.session.write(&bytes[..count])?;
        if let Poll::Ready(Err(error)) = tls.poll_send(&mut this.socket, cx) {
            return Poll::Ready(Err(error));
        }
        Poll::Ready(Ok(count))
    }

    /// Without TLS with one call of the socket; else the first piece.
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.tls.is_none() {
            return Pin::new(&mut this.socket).poll_write_vectored(cx, pieces);
        }
        let first = pieces.iter().find(|piece| !piece.is_empty());
        Pin::new(this).poll_write(cx, first.map_or(&[], |piece| &**piece))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Some(tls) = &mut this.tls {
            ready!(tls.poll_send(&mut this.socket, cx))?;
        }
        Pin::new(&mut this.socket).poll_flush(cx)
    }

    /// Says goodbye and ends the writing side; the peer can still be read.
    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Some(tls) = &mut this.tls {
            if !tls.closing {
                tls.closing = true;
                tls.session.close();
            }
            ready!(tls.poll_send(&mut this.socket, cx))?;
        }
        Pin::new(&mut this.socket).poll_close(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ClientTls, ServerTls};

    /// A handshake runs on one thread, and what comes of it is used on another.
    #[test]
    fn everything_may_go_to_another_thread() {
        fn sent<T: Send>(_: Option<T>) {}
        fn shared<T: Send + Sync>(_: Option<T>) {}
        trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}
        type Socket = Box<dyn Connection>;
        sent::<Stream<Socket>>(None);
        shared::<ServerTls>(None);
        shared::<ClientTls>(None);
        let accept = |tls: &ServerTls, socket: Socket| sent(Some(tls.accept(socket)));
        let connect = |tls: &ClientTls, socket: Socket| sent(Some(tls.connect("", socket)));
        let _ = (accept, connect);
    }
}
