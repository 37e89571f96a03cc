//! A tool at work: connects, moves bytes between the Client and the Network Connection, and connects again if need be.

use std::io::{self, Write};
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use smol::Timer;
use smol::future::{self, Future};
use smol::io::{AsyncRead, AsyncWrite};

use crate::client::{Client, Event};
use crate::exit::Failure;
use crate::transport::{Dialer, Stream};

/// How long a broken connection rests before the next one.
const REST: Duration = Duration::from_secs(1);
/// How long a broker may take to read the last bytes.
const FAREWELL: Duration = Duration::from_secs(5);
/// How long a broker that still sends may take to see that nobody listens.
const LINGER: Duration = Duration::from_millis(500);
/// Read at a time.
const BUFFER: usize = 16 * 1024;

/// What a tool does with its Client.
pub(crate) trait Application {
    /// Something came from the broker.
    fn event(&mut self, event: Event<'_>, client: &mut Client) -> Next;

    /// Looks for something to do that no packet calls for: input, signals, the time. Called in every turn, connected or
    /// not. `Ready` means that something was done and there may be more.
    fn poll(&mut self, cx: &mut Context<'_>, client: &mut Client) -> Poll<Next>;

    /// Whether a connection that breaks once there was one is followed by another.
    fn reconnects(&self) -> bool;
}

/// What follows.
#[derive(Debug)]
pub(crate) enum Next {
    /// The same as before.
    Continue,
    /// The end, when all that is to be sent is sent.
    End(Result<(), Failure>),
}

/// Runs to the end.
///
/// # Errors
/// Why the tool has failed.
pub(crate) async fn run(
    dialer: &Dialer<'_>,
    client: &mut Client,
    application: &mut dyn Application,
) -> Result<(), Failure> {
    let mut was_connected = false;
    loop {
        let dialled = match meanwhile(application, client, dialer.dial()).await {
            Ok(dialled) => dialled,
            Err(end) => return end,
        };
        let result = match dialled {
            Ok(stream) => {
                was_connected = true;
                Conversation::new(stream).run(client, application).await
            }
            Err(failure) => Err(failure),
        };
        client.lost();
        match result {
            Err(failure)
                if failure.may_pass(client.was_online())
                    && was_connected
                    && application.reconnects() => {}
            result => return result,
        }
        let rest = async {
            Timer::after(REST).await;
        };
        if let Err(end) = meanwhile(application, client, rest).await {
            return end;
        }
    }
}

/// Waits for something else than the broker; the application may end meanwhile.
async fn meanwhile<T>(
    application: &mut dyn Application,
    client: &mut Client,
    future: impl Future<Output = T>,
) -> Result<T, Result<(), Failure>> {
    let mut future = std::pin::pin!(future);
    future::poll_fn(|cx| {
        while let Poll::Ready(next) = application.poll(cx, client) {
            if let Next::End(end) = next {
                return Poll::Ready(Err(end));
            }
        }
        future.as_mut().poll(cx).map(Ok)
    })
    .await
}

/// One Network Connection in use.
struct Conversation {
    stream: Box<dyn Stream>,
    /// Bytes of the broker.
    buffer: Vec<u8>,
    /// Those of them that are not understood yet.
    unread: Range<usize>,
    /// Why reading failed, if it did.
    error: Option<io::Error>,
    /// Nothing can be sent any more; what the broker said before may tell why.
    is_broken: bool,
    /// Everything that the stream has taken is on its way; TLS and WebSockets may hold some back.
    is_flushed: bool,
    /// Whether it is the broker's turn, and not the application's.
    reads_first: bool,
    timer: Timer,
    end: Option<Result<(), Failure>>,
}

/// What has happened.
enum Turn {
    Sent,
    Read(usize),
    Application(Next),
    Time,
}

impl Conversation {
    fn new(stream: Box<dyn Stream>) -> Conversation {
        Conversation {
            stream,
            buffer: Vec::new(),
            unread: 0..0,
            error: None,
            is_broken: false,
            is_flushed: true,
            reads_first: false,
            timer: Timer::never(),
            end: None,
        }
    }

    async fn run(
        mut self,
        client: &mut Client,
        application: &mut dyn Application,
    ) -> Result<(), Failure> {
        client.connect(Instant::now());
        loop {
            print_trace(client);
            if (client.outbox().is_empty() && self.is_flushed || self.is_broken)
                && let Some(end) = self.end.take()
            {
                self.close().await;
                return end;
            }
            self.set_timer(client);
            match future::poll_fn(|cx| self.poll(cx, client, application)).await? {
                Turn::Sent => client.sent(Instant::now()),
                Turn::Read(0) => return self.end_early(),
                Turn::Read(count) => {
                    self.unread.end += count;
                    self.receive(client, application);
                }
                Turn::Application(Next::Continue) => {}
                Turn::Application(Next::End(end)) => self.finish(end),
                // Nobody hears what is left to say.
                Turn::Time if self.end.is_some() => return self.end_early(),
                Turn::Time => client
                    .tick(Instant::now())
                    .map_err(|_silent| Failure::Lost)?,
            }
        }
    }

    /// What it means that nothing can be sent or heard any more.
    fn end_early(&mut self) -> Result<(), Failure> {
        self.end.take().unwrap_or_else(|| {
            Err(match self.error.take() {
                Some(error) if is_of_tls(&error) => Failure::Broken(error),
                _ => Failure::Lost,
            })
        })
    }

    fn finish(&mut self, end: Result<(), Failure>) {
        if self.end.is_none() {
            self.end = Some(end);
            self.timer = Timer::after(FAREWELL);
        }
    }

    fn set_timer(&mut self, client: &Client) {
        if self.end.is_none() {
            match client.deadline() {
                Some(deadline) => self.timer.set_at(deadline),
                None => self.timer = Timer::never(),
            }
        }
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut Client,
        application: &mut dyn Application,
    ) -> Poll<Result<Turn, Failure>> {
        if self.poll_send(cx, client)? {
            if self.end.is_some() {
                // It does read.
                self.timer.set_after(FAREWELL);
            }
            // The application is to see that this was all before the broker that has it closes the connection.
            self.reads_first = false;
            return Poll::Ready(Ok(Turn::Sent));
        }
        // Neither much input nor a talkative broker keeps the other waiting.
        for reads in [self.reads_first, !self.reads_first] {
            if reads {
                if let Poll::Ready(count) = self.poll_read(cx) {
                    self.reads_first = false;
                    return Poll::Ready(Ok(Turn::Read(count)));
                }
            } else if self.end.is_none()
                && let Poll::Ready(next) = application.poll(cx, client)
            {
                self.reads_first = true;
                return Poll::Ready(Ok(Turn::Application(next)));
            }
        }
        ready!(Pin::new(&mut self.timer).poll(cx));
        Poll::Ready(Ok(Turn::Time))
    }

    /// Sends as much as there is room for; whether any was sent.
    fn poll_send(&mut self, cx: &mut Context<'_>, client: &mut Client) -> Result<bool, Failure> {
        if self.is_broken {
            return Ok(false);
        }
        let mut is_sent = false;
        loop {
            let outbox = client.outbox();
            let bytes = match outbox.next() {
                Ok(bytes) => bytes,
                // What is begun cannot be completed, hence there is nothing to be said any more.
                Err(error) => return Err(Failure::File(error)),
            };
            if bytes.is_empty() {
                break;
            }
            match Pin::new(&mut self.stream).poll_write(cx, bytes) {
                Poll::Ready(Ok(count)) if count > 0 => {
                    outbox.wrote(count);
                    self.is_flushed = false;
                    is_sent = true;
                }
                Poll::Ready(_) => {
                    self.is_broken = true;
                    return Ok(is_sent);
                }
                Poll::Pending => return Ok(is_sent),
            }
        }
        // In any case: a WebSocket also has answers of its own.
        match Pin::new(&mut self.stream).poll_flush(cx) {
            Poll::Ready(Ok(())) => is_sent |= !std::mem::replace(&mut self.is_flushed, true),
            Poll::Ready(Err(_)) => self.is_broken = true,
            Poll::Pending => {}
        }
        Ok(is_sent)
    }

    /// Reads once; 0 is the end, also the end by an error.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<usize> {
        if self.unread.is_empty() {
            self.unread = 0..0;
            if self.buffer.len() != BUFFER {
                self.buffer = vec![0; BUFFER];
            }
        } else if self.unread.end == self.buffer.len() {
            self.make_room();
        }
        let room = &mut self.buffer[self.unread.end..];
        let result = ready!(Pin::new(&mut self.stream).poll_read(cx, room));
        Poll::Ready(result.unwrap_or_else(|error| {
            self.error = Some(error);
            0
        }))
    }

    /// Makes room for the rest of a packet: no more than has come already, whatever it claims.
    fn make_room(&mut self) {
        self.buffer.copy_within(self.unread.clone(), 0);
        self.unread = 0..self.unread.len();
        let known = self.unread.len();
        let frame = mqtt::frame(&self.buffer[..known], mqtt::MAX_PACKET_SIZE);
        let wanted = match frame {
            Ok(Some(frame)) => frame.total_len,
            _ => BUFFER,
        };
        let size = wanted.min(2 * known).max(BUFFER);
        if size > self.buffer.len() {
            self.buffer.resize(size, 0);
        }
    }

    fn receive(&mut self, client: &mut Client, application: &mut dyn Application) {
        loop {
            let input = &self.buffer[self.unread.clone()];
            let next = match client.receive(input, Instant::now()) {
                Ok(None) => return,
                Ok(Some((len, event))) => {
                    print_trace(client);
                    self.unread.start += len;
                    match event {
                        Event::None => continue,
                        event => application.event(event, client),
                    }
                }
                Err(_violation) => Next::End(Err(Failure::Protocol)),
            };
            match next {
                Next::Continue => {}
                Next::End(end) => {
                    self.finish(end);
                    return;
                }
            }
        }
    }

    /// Says goodbye. A socket that is closed while bytes wait to be read takes back what it has sent last, so those are
    /// read first.
    async fn close(mut self) {
        let mut scrap = vec![0; BUFFER];
        let mut has_read = false;
        let farewell = future::poll_fn(|cx| {
            let _ = Pin::new(&mut self.stream).poll_close(cx);
            loop {
                match Pin::new(&mut self.stream).poll_read(cx, &mut scrap) {
                    Poll::Ready(Ok(count)) if count > 0 => has_read = true,
                    Poll::Pending if has_read => return Poll::Pending,
                    _ => return Poll::Ready(()),
                }
            }
        });
        let limit = async {
            Timer::after(LINGER).await;
        };
        future::or(farewell, limit).await;
    }
}

/// Whether TLS has failed, and not what is below it.
fn is_of_tls(error: &io::Error) -> bool {
    error.raw_os_error().is_none() && error.kind() != io::ErrorKind::UnexpectedEof
}

/// Prints what the Client has written down. If nobody reads it the tool does its work nevertheless.
fn print_trace(client: &mut Client) {
    let trace = client.take_trace();
    if !trace.is_empty() {
        let mut out = io::stdout().lock();
        let _ = out.write_all(trace.as_bytes()).and_then(|()| out.flush());
    }
}

#[cfg(test)]
mod tests;
