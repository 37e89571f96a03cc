//! One Network Connection: bytes in go to the engine, its outbox goes out.

use std::io::{self, IoSlice};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use smallvec::SmallVec;

use crate::broker::Broker;
use crate::engine::{ConnectionKey, Engine, Spare, Verdict};
use crate::link::Link;
use crate::upgrade::{self, Beginning};
use crate::websocket::{End, WebSocket};

/// The socket's side of a connection; the engine knows the other by the same key.
#[derive(Debug)]
pub(crate) struct Connection {
    link: Link,
    /// Keys are used again, serial numbers are not.
    serial: u32,
    /// The beginning of a packet whose rest has not come yet, or packets for which the engine was not ready.
    partial: Vec<u8>,
    /// The engine is ready for them now.
    resumed: bool,
    /// Wakes the task of this connection.
    waker: Option<Waker>,
    /// Everything is written and the peer was told so; what it still sends is dropped.
    finished: bool,
    /// It is known what the client speaks: MQTT, or HTTP first.
    begun: bool,
    /// What carries MQTT where the connection began with HTTP. Boxed: few need it.
    websocket: Option<Box<WebSocket>>,
}

impl Connection {
    pub(crate) fn new(link: Link, serial: u32) -> Self {
        Connection {
            link,
            serial,
            partial: Vec::new(),
            resumed: false,
            waker: None,
            finished: false,
            begun: false,
            websocket: None,
        }
    }

    /// Whether it is this one; and its handshake is not over.
    pub(crate) fn awaits_handshake(&self, serial: u32) -> bool {
        self.serial == serial && !self.link.is_open()
    }

    /// The handshake is over.
    pub(crate) fn open(&mut self, link: Link) {
        self.link = link;
        self.wake();
    }

    /// The engine goes on with this connection after a pause. Returns whom to wake for it.
    pub(crate) fn resume(&mut self) -> Option<&Waker> {
        self.resumed = true;
        self.waker.as_ref()
    }

    /// Gives the engine what it had no use for before.
    fn take_partial(&mut self, now: Instant, engine: &mut Engine, key: ConnectionKey) {
        let used = engine.receive(now, key, &self.partial);
        self.partial.drain(..used);
        if self.partial.is_empty() {
            Spare::give(std::mem::take(&mut self.partial));
        }
    }

    /// How much is missing of a packet that is too large to be read into the buffer of all connections, if this is one and has
    /// begun.
    fn rest_of_packet(&self) -> Option<usize> {
        if self.partial.len() < LARGE_FROM || !self.begun || self.websocket.is_some() {
            return None;
        }
        // The engine has refused one that is larger than allowed.
        let frame = mqtt::frame(&self.partial, mqtt::MAX_PACKET_SIZE).ok()??;
        let rest = frame.total_len.checked_sub(self.partial.len())?;
        (rest > 0 && frame.total_len > READ_BEHIND).then_some(rest)
    }

    /// Keeps what the engine has no use for yet, and nothing else.
    fn keep(&mut self, rest: &[u8]) {
        if rest.is_empty() {
            Spare::give(std::mem::take(&mut self.partial));
        } else {
            self.partial.clear();
            if rest.len() >= LARGE_FROM && self.partial.capacity() == 0 {
                // Who has sent little gets no room for much.
                self.partial = Spare::take(4 * rest.len());
            }
            self.partial.extend_from_slice(rest);
        }
    }

    /// Leaves what the engine has not used to the next turn, if it has had enough. Returns whether that is so.
    fn rest(&mut self, engine: &Engine) -> bool {
        let rests = engine.is_tired() && !self.partial.is_empty();
        self.resumed |= rests;
        rests
    }

    /// Judges the first bytes of a connection. Returns whether all that has come is `input` and goes to the engine.
    fn begin(&mut self, broker: &Broker, key: ConnectionKey, input: &[u8]) -> bool {
        let known = self.partial.len();
        // Whatever is HTTP begins with a capital letter, and CONNECT is no letter.
        if known == 0 && !input.first().is_some_and(u8::is_ascii_uppercase) {
            self.begun = true;
            return true;
        }
        self.partial.extend_from_slice(input);
        let beginning = upgrade::begin(&self.partial, known, &broker.settings().websocket_origins);
        self.begun = beginning != Beginning::Incomplete;
        let engine = &mut *broker.engine.borrow_mut();
        match beginning {
            Beginning::Incomplete => {}
            Beginning::Mqtt => self.take_partial(broker.now(), engine, key),
            Beginning::Refused(refusal) => {
                self.partial = Vec::new();
                self.websocket = Some(Box::new(WebSocket::refused(refusal.answer)));
                engine.fail(broker.now(), key, refusal.reason);
            }
            Beginning::Upgrade { answer, head } => {
                let mut websocket = Box::new(WebSocket::new(answer));
                self.partial.drain(..head);
                let len = websocket.receive(&mut self.partial);
                self.partial.truncate(len);
                self.websocket = Some(websocket);
                self.take_partial(broker.now(), engine, key);
            }
        }
        false
    }

    /// Wakes the task of this connection.
    pub(crate) fn wake(&self) {
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }
}

/// Bytes read from one connection in one turn: more of them, and what a turn touches outgrows a processor's cache.
const READ_A_TURN: usize = 32 * 1024;
/// Bytes read in one turn where packets are large, so that calls are fewer.
const READ_LARGE: usize = 64 * 1024;
/// Packets are large where so much of one is left from the turn before.
const LARGE_FROM: usize = 4 * 1024;
/// The longest beginning of a packet that what follows it is read behind, so that both are in one piece without being copied.
const READ_BEHIND: usize = 32 * 1024;
/// Bytes of the buffer that all connections share.
pub(crate) const BUFFER: usize = READ_BEHIND + READ_LARGE;

/// How often a connection is written in one turn, while its queue refills the outbox: others wait for their turn.
const WRITES_A_TURN: usize = 8;

/// Of an outbox that lies in pieces, since large payloads are not copied, so many are written with one call.
const PIECES_AT_A_TIME: usize = 16;

/// The task of one connection: ends with it. Not an `async fn`, which would hold what it captures twice.
pub(crate) fn serve(
    broker: Rc<Broker>,
    key: ConnectionKey,
    serial: u32,
) -> impl Future<Output = ()> {
    std::future::poll_fn(move |cx| poll(&broker, key, serial, cx))
}

fn poll(broker: &Broker, key: ConnectionKey, serial: u32, cx: &Context<'_>) -> Poll<()> {
    let connections = &mut *broker.connections.borrow_mut();
    let Some(connection) = connections.get_mut(key).filter(|one| one.serial == serial) else {
        return Poll::Ready(()); // closed by the other side of the house
    };
    if !connection
        .waker
        .as_ref()
        .is_some_and(|waker| waker.will_wake(cx.waker()))
    {
        connection.waker = Some(cx.waker().clone());
    }
    let closed = match write(broker, key, connection) {
        Poll::Ready(reason) => Poll::Ready(reason),
        Poll::Pending => match read(broker, key, connection, cx) {
            Poll::Pending if connection.websocket.is_some() => settle(broker, key, connection),
            result => result,
        },
    };
    closed.map(|reason| {
        connections.remove(key);
        broker.engine.borrow_mut().closed(broker.now(), key, reason);
    })
}

/// Reads once and feeds the engine. Ready when the connection is over, with the reason.
fn read(
    broker: &Broker,
    key: ConnectionKey,
    connection: &mut Connection,
    cx: &Context<'_>,
) -> Poll<&'static str> {
    if broker.engine.borrow().is_held(key) {
        return Poll::Pending; // woken when it may go on
    }
    if connection.resumed {
        connection.resumed = false;
        let engine = &mut *broker.engine.borrow_mut();
        connection.take_partial(broker.now(), engine, key);
        if engine.is_held(key) {
            return Poll::Pending;
        }
        if connection.rest(engine) {
            broker.again(cx.waker());
            return Poll::Pending;
        }
    }
    let filled = match connection.rest_of_packet() {
        Some(rest) => read_rest(broker, key, connection, rest, cx),
        None => read_some(broker, key, connection, cx),
    };
    let there_is_more = match filled {
        Poll::Ready(Ok(there_is_more)) => there_is_more,
        Poll::Ready(Err(reason)) => return Poll::Ready(reason),
        // Nothing to read. There may be more to decrypt.
        Poll::Pending if connection.link.has_unread() => {
            broker.again(cx.waker());
            return Poll::Pending;
        }
        Poll::Pending => return Poll::Pending,
    };
    if connection.rest(&broker.engine.borrow()) || there_is_more {
        // There is more to do; the others come first.
        broker.again(cx.waker());
        return Poll::Pending;
    }
    // A short read: ask the reactor to wake this task for the next bytes, unless the end is near.
    match connection.link.poll_readable(cx) {
        Poll::Ready(()) => {
            broker.again(cx.waker());
            Poll::Pending
        }
        Poll::Pending => Poll::Pending,
    }
}

/// Reads whatever there is into the buffer of all connections. Tells whether there may be more, or why the connection is over.
fn read_some(
    broker: &Broker,
    key: ConnectionKey,
    connection: &mut Connection,
    cx: &Context<'_>,
) -> Poll<Result<bool, &'static str>> {
    let buffer = &mut *broker.buffer.borrow_mut();
    let before = match connection.partial.len() {
        before @ ..=READ_BEHIND if connection.begun => before,
        _ => 0,
    };
    let asked = match connection.partial.len() {
        LARGE_FROM.. => READ_LARGE,
        _ => READ_A_TURN,
    };
    let read = &mut buffer[before..before + asked];
    let count = match std::task::ready!(connection.link.poll_read(cx, read)) {
        Ok(0) => return Poll::Ready(Err("the connection was closed")),
        Ok(count) => count,
        Err(error) => return Poll::Ready(Err(lost(&error))),
    };
    let mut len = count;
    if let Some(websocket) = &mut connection.websocket {
        len = websocket.receive(&mut read[..count]);
    } else if !connection.begun && !connection.begin(broker, key, &read[..count]) {
        len = 0;
    }
    let engine = &mut *broker.engine.borrow_mut();
    let now = broker.now();
    if len == 0 {
        // Nothing for the engine.
    } else if connection.partial.len() == before {
        buffer[..before].copy_from_slice(&connection.partial);
        let input = &buffer[..before + len];
        let used = engine.receive(now, key, input);
        connection.keep(&input[used..]);
    } else {
        let read = &buffer[before..before + len];
        connection.partial.extend_from_slice(read);
        connection.take_partial(now, engine, key);
    }
    Poll::Ready(Ok(count == asked))
}

/// Reads the rest of a large packet to where its beginning lies, and no more.
fn read_rest(
    broker: &Broker,
    key: ConnectionKey,
    connection: &mut Connection,
    rest: usize,
    cx: &Context<'_>,
) -> Poll<Result<bool, &'static str>> {
    let partial = &mut connection.partial;
    let before = partial.len();
    // Only as much as may come now: whoever announces a large packet has not sent it yet.
    let asked = rest.min(READ_LARGE);
    partial.resize(before + asked, 0);
    let result = connection.link.poll_read(cx, &mut partial[before..]);
    let count = match &result {
        Poll::Ready(Ok(count)) => *count,
        _ => 0,
    };
    partial.truncate(before + count);
    if partial.capacity() / 2 > partial.len() {
        // Who sends little at a time gets no room for more.
        partial.shrink_to(2 * partial.len());
    }
    match std::task::ready!(result) {
        Ok(0) => return Poll::Ready(Err("the connection was closed")),
        Ok(_) => {}
        Err(error) => return Poll::Ready(Err(lost(&error))),
    }
    connection.take_partial(broker.now(), &mut broker.engine.borrow_mut(), key);
    Poll::Ready(Ok(count == asked))
}

/// Does what the frames that were read ask for, beside the MQTT in them.
fn settle(broker: &Broker, key: ConnectionKey, connection: &mut Connection) -> Poll<&'static str> {
    let Some(websocket) = &mut connection.websocket else {
        return Poll::Pending;
    };
    // What came before the end may still be waiting.
    let waits = connection.resumed || broker.engine.borrow().is_held(key);
    match if waits { None } else { websocket.take_end() } {
        None if !websocket.is_urgent() => Poll::Pending,
        None => write(broker, key, connection),
        Some(End::Failed(reason)) => {
            let engine = &mut *broker.engine.borrow_mut();
            engine.fail(broker.now(), key, reason);
            Poll::Pending // its Close frame is written at the end of the turn
        }
        Some(End::Closed) => {
            // The answer is a courtesy: it goes if there is room.
            let _ = write(broker, key, connection);
            Poll::Ready("the client closed the WebSocket")
        }
    }
}

/// Writes the outbox. Ready when the connection is over, with the reason.
pub(crate) fn write(
    broker: &Broker,
    key: ConnectionKey,
    connection: &mut Connection,
) -> Poll<&'static str> {
    let engine = &mut *broker.engine.borrow_mut();
    let Some(waker) = &connection.waker else {
        return Poll::Pending;
    };
    let cx = Context::from_waker(waker);
    match engine.verdict(key) {
        Verdict::Keep => {}
        Verdict::CloseWhenWritten if !connection.link.is_open() => return Poll::Ready("closed"),
        // Nobody will take it.
        Verdict::CloseWhenWritten => connection.partial = Vec::new(),
        Verdict::CloseNow => return Poll::Ready("closed"),
    }
    let scratch = &mut *broker.buffer.borrow_mut();
    let is_websocket = connection.websocket.is_some();
    for _ in 0..WRITES_A_TURN {
        let (outbox, verdict) = (engine.outbox(key), engine.verdict(key));
        let is_last = verdict == Verdict::CloseWhenWritten;
        let bytes = match &mut connection.websocket {
            None => outbox,
            Some(websocket) => websocket.next(outbox, is_last, scratch),
        };
        if bytes.is_empty() {
            let websocket = connection.websocket.as_ref();
            let is_said = websocket.is_none_or(|websocket| websocket.is_closed());
            let taken = if is_last && is_said && !connection.finished {
                // Closing with unread bytes would destroy what was just written, so the peer goes first.
                let finished = connection.link.poll_finish(&cx);
                connection.finished = finished.is_ready();
                finished
            } else {
                connection.link.poll_taken(&cx)
            };
            return match taken {
                Poll::Ready(Err(error)) => Poll::Ready(lost(&error)),
                _ => Poll::Pending,
            };
        }
        let (result, len) = {
            let pieces = engine.pieces(key).filter(|_| !is_websocket);
            match pieces {
                None => (connection.link.poll_write(&cx, bytes), bytes.len()),
                Some(pieces) => write_pieces(&mut connection.link, &cx, pieces),
            }
        };
        let count = match &result {
            Poll::Ready(Ok(count)) => *count,
            _ => 0,
        };
        let of_outbox = match &mut connection.websocket {
            None => count,
            Some(websocket) => websocket.wrote(count),
        };
        match result {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Ok(_)) => {
                engine.written(broker.now(), key, of_outbox);
                if count < len && connection.link.poll_writable(&cx).is_pending() {
                    return Poll::Pending; // full: the reactor wakes the task when there is room
                }
            }
            Poll::Ready(Err(error)) => return Poll::Ready(lost(&error)),
        }
    }
    broker.again(waker);
    Poll::Pending
}

/// Writes an outbox that lies in pieces. Also returns how many bytes were offered.
fn write_pieces<'a>(
    link: &mut Link,
    cx: &Context<'_>,
    pieces: impl Iterator<Item = &'a [u8]>,
) -> (Poll<io::Result<usize>>, usize) {
    let pieces = pieces.take(PIECES_AT_A_TIME).map(IoSlice::new);
    let pieces: SmallVec<[_; PIECES_AT_A_TIME]> = pieces.collect();
    let len = pieces.iter().map(|piece| piece.len()).sum();
    (link.poll_write_vectored(cx, &pieces), len)
}

fn lost(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::ConnectionReset => "the connection was reset by the client",
        // TLS ends with a farewell, which many clients leave out.
        io::ErrorKind::BrokenPipe | io::ErrorKind::UnexpectedEof => "the connection was closed",
        io::ErrorKind::TimedOut => "the connection timed out",
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            "the client can no longer be reached"
        }
        _ => "the connection failed",
    }
}
